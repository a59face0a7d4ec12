/* poll.h - readiness of descriptors, for the scheduler's idle loop.
 *
 * A backend (poll_epoll.c) owes these functions. A waiter is one interest in
 * one descriptor, in its owner's memory (a parked stack); it fires once.
 *
 * Polling is never tied to one worker's progress: an idle worker blocks here,
 * a busy one looks in every so many runs, and the watchdog does when neither
 * comes. One thread at a time is inside weft__poll_wait with a time to wait.
 *
 * Threads: from anywhere.
 */
#ifndef WEFT_SCHED_POLL_H
#define WEFT_SCHED_POLL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weft__poll;

enum { WEFT__POLL_READ = 1, WEFT__POLL_WRITE = 2 };

struct weft__poll_waiter {
    int fd;
    unsigned events;                 /* WEFT__POLL_READ | WEFT__POLL_WRITE */
    /* Called once, by the thread that polls, when one of the events (or an
     * error, which counts as both) is there. The waiter is no longer known by
     * then. May wake processes; must not call poll. */
    void (*fire)(struct weft__poll_waiter *waiter, unsigned events);
    /* The backend's own. */
    struct weft__poll_waiter *next;
    bool is_set;
};

/* *poll, or a negative code. Descriptors are close-on-exec. */
int weft__poll_new(struct weft__poll **poll);
/* Nobody waits any more. NULL is allowed. */
void weft__poll_free(struct weft__poll *poll);

/* Wait for the waiter's events once. 0; -EPERM for a descriptor that is always
 * ready (a plain file); -EBADF; WEFT_EBUSY: somebody waits for the same event
 * of it already; another negative errno. */
int weft__poll_add(struct weft__poll *poll, struct weft__poll_waiter *waiter);
/* true: it will not fire any more; false: it has fired (and fire returned). */
bool weft__poll_cancel(struct weft__poll *poll, struct weft__poll_waiter *waiter);

/* Fire what is ready; block until something is, until weft__poll_wake, or for
 * timeout_ns (0: do not block; negative: for ever). Returns how many fired. */
int weft__poll_wait(struct weft__poll *poll, int64_t timeout_ns);
/* End a blocking wait, or the next one. Async-signal-safe. */
void weft__poll_wake(struct weft__poll *poll);

/* How many waiters are set: nobody needs to poll when 0. One relaxed load. */
size_t weft__poll_n_waiting(const struct weft__poll *poll);

#endif

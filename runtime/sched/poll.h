/* poll.h - readiness of descriptors, for the scheduler's idle loop.
 *
 * A backend (poll_epoll.c) owes these functions. A waiter is one interest in
 * one descriptor, in its owner's memory; it fires once. One waiter for reading
 * and one for writing may be set on a descriptor at a time.
 *
 * Descriptors belong to the program, which may close them and get the same
 * number for another file without telling anybody: a waiter never fires for a
 * file that it was not set on. Such a waiter of a file that is gone is fired
 * with events 0 when the next one is set on that number; who closes by
 * weft__poll_close fires them at once.
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
    /* Set by its owner while it is not set. */
    int fd;
    unsigned events;                 /* WEFT__POLL_READ | WEFT__POLL_WRITE */
    /* Called once, when one of the events (or an error, which counts as both)
     * is there: the waiter is not set any more. events 0: the descriptor was
     * closed. By any thread, under a lock (rank EPOCH): may wake processes and
     * free the waiter, must not call poll, and must be short. */
    void (*fire)(struct weft__poll_waiter *waiter, unsigned events);
    /* The backend's own. */
    bool is_set;
};

/* *poll, or a negative code. Descriptors are close-on-exec. */
int weft__poll_new(struct weft__poll **poll);
/* Nobody waits any more. NULL is allowed. */
void weft__poll_free(struct weft__poll *poll);

/* Wait for the waiter's events once. The descriptor may be blocking or not; an
 * event that is there already fires at the next wait. 0, or with the waiter
 * not set:
 *   -EPERM      always ready: a plain file
 *   -EBADF      not open
 *   WEFT_EBUSY  somebody waits for the same event of it already
 *   WEFT_EAGAIN it is being closed by another thread at this moment
 *   another negative errno */
int weft__poll_add(struct weft__poll *poll, struct weft__poll_waiter *waiter);
/* true: it will not fire any more; false: it has fired, and fire has returned. */
bool weft__poll_cancel(struct weft__poll *poll, struct weft__poll_waiter *waiter);

/* Take the waiter for one event back whoever has it, if is_wanted(waiter, arg)
 * says so (under the lock: short, and no calls): it will not fire. NULL: none. */
struct weft__poll_waiter *weft__poll_take(struct weft__poll *poll, int fd, unsigned event,
                                          bool (*is_wanted)(const struct weft__poll_waiter *waiter, void *arg),
                                          void *arg);

/* Close a descriptor and fire its waiters with events 0: what close(2) says, 0
 * or a negative errno. */
int weft__poll_close(struct weft__poll *poll, int fd);

/* Fire what is ready; block until something is, until weft__poll_wake, or for
 * timeout_ns (0: do not block; negative: for ever). Returns how many fired. */
int weft__poll_wait(struct weft__poll *poll, int64_t timeout_ns);
/* End a blocking wait, or the next one. Async-signal-safe. */
void weft__poll_wake(struct weft__poll *poll);

/* How many waiters are set: nobody needs to poll when 0. One relaxed load. */
size_t weft__poll_n_waiting(const struct weft__poll *poll);

#endif

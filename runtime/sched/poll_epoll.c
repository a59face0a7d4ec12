/* poll_epoll.c - readiness by epoll.
 *
 * A table has an entry for each descriptor number, with its two waiters and a
 * lock of its own, so that different descriptors never meet. The kernel keeps
 * one registration per entry, armed for one event (EPOLLONESHOT) by each
 * weft__poll_add: one system call to wait, none to stop waiting.
 *
 * Stale events. Each time it is armed a registration gets the entry's next
 * sequence number, and events carry number and descriptor. An event with an
 * older number is dropped: it was found before a cancel and a new add, or it
 * comes from a file that is not behind this number any more but lives on
 * elsewhere (dup, fork). Such a registration fires once, as it was armed once,
 * and cannot be reached again. Nothing is lost: arming looks at the file anew.
 *
 * Closed without a word. The kernel forgets a registration with the last
 * descriptor of its file. What add finds then, and what it does:
 *
 *   table says    kernel says     so
 *   not known     ADD: 0          a new file
 *   not known     ADD: EEXIST     the same file came back to this number: MOD
 *   known         MOD: 0          the usual case
 *   known         MOD: ENOENT     another file: its waiters are fired with 0, ADD
 *   known         EBADF           closed: its waiters are fired with 0
 *
 * Waking. An eventfd, level-triggered. Only a blocking wait reads it: else a
 * worker that just looks in would take the wake meant for the one that sleeps.
 *
 * Closing takes the waiters under the lock, closes without it (close may
 * block), then fires them. In between `is_closing` turns adds away, so that
 * none gets lost between the two; they try again.
 */
#include "sched/poll.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/spin.h"
#include "weft/error.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_SIZE 1024  /* entries */
#define N_CHUNKS 16384   /* 16 M descriptors */
#define BATCH 128        /* events taken at once */
#define DATA_WAKE UINT64_MAX

struct entry {
    struct weft__spin lock;           /* guards the entry */
    uint32_t sequence;                /* of the last arming */
    bool is_known;                    /* there is, or was, a registration */
    bool is_closing;
    struct weft__poll_waiter *reader; /* may be the same one */
    struct weft__poll_waiter *writer;
};

struct weft__poll {
    /* Set once. */
    int epoll_fd;
    int wake_fd;
    /* By anyone. */
    _Atomic size_t n_waiting;
    _Atomic(struct entry *) chunks[N_CHUNKS];
};

/* -- life --------------------------------------------------------------------- */

int weft__poll_new(struct weft__poll **result)
{
    struct weft__poll *poll = calloc(1, sizeof *poll);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = DATA_WAKE};
    int code;

    if (poll == NULL)
        return WEFT_ENOMEM;
    poll->wake_fd = -1;
    poll->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll->epoll_fd < 0)
        goto fail;
    poll->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poll->wake_fd < 0 || epoll_ctl(poll->epoll_fd, EPOLL_CTL_ADD, poll->wake_fd, &event) != 0)
        goto fail;
    *result = poll;
    return 0;
fail:
    code = -errno;
    weft__poll_free(poll);
    return code;
}

void weft__poll_free(struct weft__poll *poll)
{
    if (poll == NULL)
        return;
    if (poll->wake_fd >= 0)
        close(poll->wake_fd);
    if (poll->epoll_fd >= 0)
        close(poll->epoll_fd);
    for (size_t i = 0; i < N_CHUNKS; i++)
        free(atomic_load_explicit(&poll->chunks[i], memory_order_relaxed));
    free(poll);
}

/* -- entries -------------------------------------------------------------------- */

static struct entry *chunk_make(struct weft__poll *poll, size_t index)
{
    struct entry *chunk = calloc(CHUNK_SIZE, sizeof *chunk), *there = NULL;

    if (chunk == NULL)
        return NULL;
    for (size_t i = 0; i < CHUNK_SIZE; i++)
        weft__spin_init(&chunk[i].lock, WEFT__RANK_EPOCH);
    /* Release, with the acquire in entry_find: the entries are set up. */
    if (atomic_compare_exchange_strong_explicit(&poll->chunks[index], &there, chunk,
                                                memory_order_acq_rel, memory_order_acquire))
        return chunk;
    free(chunk);
    return there;
}

/* NULL: nobody ever waited for a number near that one. */
static struct entry *entry_find(struct weft__poll *poll, int fd)
{
    size_t index = (size_t)fd / CHUNK_SIZE;
    struct entry *chunk;

    if (fd < 0 || index >= N_CHUNKS)
        return NULL;
    chunk = atomic_load_explicit(&poll->chunks[index], memory_order_acquire);
    return chunk != NULL ? &chunk[(size_t)fd % CHUNK_SIZE] : NULL;
}

static struct entry *entry_make(struct weft__poll *poll, int fd)
{
    struct entry *entry = entry_find(poll, fd);
    struct entry *chunk;

    if (entry != NULL || fd < 0 || (size_t)fd / CHUNK_SIZE >= N_CHUNKS)
        return entry;
    chunk = chunk_make(poll, (size_t)fd / CHUNK_SIZE);
    return chunk != NULL ? &chunk[(size_t)fd % CHUNK_SIZE] : NULL;
}

/* -- waiters in an entry: under its lock ------------------------------------------- */

static void set_locked(struct weft__poll *poll, struct entry *entry, struct weft__poll_waiter *waiter)
{
    if (waiter->events & WEFT__POLL_READ)
        entry->reader = waiter;
    if (waiter->events & WEFT__POLL_WRITE)
        entry->writer = waiter;
    waiter->is_set = true;
    /* Relaxed: a count; who sleeps because of it fences (idle.c). */
    atomic_fetch_add_explicit(&poll->n_waiting, 1, memory_order_relaxed);
}

static void unset_locked(struct weft__poll *poll, struct entry *entry, struct weft__poll_waiter *waiter)
{
    if (entry->reader == waiter)
        entry->reader = NULL;
    if (entry->writer == waiter)
        entry->writer = NULL;
    waiter->is_set = false;
    atomic_fetch_sub_explicit(&poll->n_waiting, 1, memory_order_relaxed);
}

/* Fire one, if there is one. */
static int fire_locked(struct weft__poll *poll, struct entry *entry, struct weft__poll_waiter *waiter,
                       unsigned events)
{
    if (waiter == NULL)
        return 0;
    unset_locked(poll, entry, waiter);
    waiter->fire(waiter, events);
    return 1;
}

/* The file they waited for is gone. */
static int fire_closed_locked(struct weft__poll *poll, struct entry *entry)
{
    int n = fire_locked(poll, entry, entry->reader, 0);

    return n + fire_locked(poll, entry, entry->writer, 0); /* one for both is out by now */
}

/* -- the registration: under the entry's lock ----------------------------------------- */

static int control_locked(struct weft__poll *poll, struct entry *entry, int fd, int op)
{
    struct epoll_event event = {
        .events = EPOLLONESHOT | (entry->reader != NULL ? EPOLLIN | EPOLLRDHUP : 0u) |
                  (entry->writer != NULL ? EPOLLOUT : 0u),
        .data.u64 = (uint64_t)++entry->sequence << 32 | (uint32_t)fd,
    };

    return epoll_ctl(poll->epoll_fd, op, fd, &event) == 0 ? 0 : -errno;
}

/* Arm for the waiters that are set. When the file turns out to be another one,
 * all but `keep` are fired. */
static int arm_locked(struct weft__poll *poll, struct entry *entry, int fd, struct weft__poll_waiter *keep)
{
    int code = control_locked(poll, entry, fd, entry->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD);

    if (code == -EEXIST) {
        code = control_locked(poll, entry, fd, EPOLL_CTL_MOD);
    } else if (code == -ENOENT && entry->is_known) {
        if (keep == NULL || entry->reader != keep)
            fire_locked(poll, entry, entry->reader, 0);
        if (keep == NULL || entry->writer != keep)
            fire_locked(poll, entry, entry->writer, 0);
        entry->is_known = false;
        if (keep == NULL)
            return 0;
        code = control_locked(poll, entry, fd, EPOLL_CTL_ADD);
    }
    entry->is_known = code == 0;
    return code;
}

static bool is_taken(const struct entry *entry, unsigned events)
{
    return ((events & WEFT__POLL_READ) && entry->reader != NULL) ||
           ((events & WEFT__POLL_WRITE) && entry->writer != NULL);
}

static int add_locked(struct weft__poll *poll, struct entry *entry, struct weft__poll_waiter *waiter)
{
    int code;

    if (entry->is_closing)
        return WEFT_EAGAIN;
    if (is_taken(entry, waiter->events)) {
        /* By somebody who waits for this file, or for one that is gone? */
        code = arm_locked(poll, entry, waiter->fd, NULL);
        if (code != 0)
            fire_closed_locked(poll, entry);
        if (code == 0 && is_taken(entry, waiter->events))
            return WEFT_EBUSY;
    }
    set_locked(poll, entry, waiter);
    code = arm_locked(poll, entry, waiter->fd, waiter);
    if (code != 0) {
        unset_locked(poll, entry, waiter);
        if (code == -EBADF)
            fire_closed_locked(poll, entry);
    }
    return code;
}

int weft__poll_add(struct weft__poll *poll, struct weft__poll_waiter *waiter)
{
    struct entry *entry;
    int code;

    waiter->is_set = false;
    if (waiter->fd < 0)
        return WEFT_EBADF;
    if (waiter->events == 0 || (waiter->events & ~(unsigned)(WEFT__POLL_READ | WEFT__POLL_WRITE)) != 0)
        return WEFT_EINVAL;
    entry = entry_make(poll, waiter->fd);
    if (entry == NULL)
        return WEFT_ENOMEM;
    weft__spin_acquire(&entry->lock);
    code = add_locked(poll, entry, waiter);
    weft__spin_release(&entry->lock);
    return code;
}

bool weft__poll_cancel(struct weft__poll *poll, struct weft__poll_waiter *waiter)
{
    struct entry *entry = entry_find(poll, waiter->fd);
    bool was_set;

    if (entry == NULL)
        return false;
    weft__spin_acquire(&entry->lock);
    was_set = waiter->is_set;
    /* The registration stays armed: its event finds nobody, once. */
    if (was_set)
        unset_locked(poll, entry, waiter);
    weft__spin_release(&entry->lock);
    return was_set;
}

struct weft__poll_waiter *weft__poll_take(struct weft__poll *poll, int fd, unsigned event,
                                          bool (*is_wanted)(const struct weft__poll_waiter *waiter, void *arg),
                                          void *arg)
{
    struct entry *entry = entry_find(poll, fd);
    struct weft__poll_waiter *waiter;

    if (entry == NULL)
        return NULL;
    weft__spin_acquire(&entry->lock);
    waiter = event == WEFT__POLL_READ ? entry->reader : entry->writer;
    if (waiter != NULL && !is_wanted(waiter, arg))
        waiter = NULL;
    if (waiter != NULL)
        unset_locked(poll, entry, waiter);
    weft__spin_release(&entry->lock);
    return waiter;
}

int weft__poll_close(struct weft__poll *poll, int fd)
{
    struct entry *entry = entry_find(poll, fd);
    int code;

    if (entry == NULL)
        return close(fd) == 0 ? 0 : -errno;
    weft__spin_acquire(&entry->lock);
    while (entry->is_closing) { /* the number came to a new file before the other was done */
        weft__spin_release(&entry->lock);
        sched_yield();
        weft__spin_acquire(&entry->lock);
    }
    entry->is_closing = true;
    weft__spin_release(&entry->lock);
    code = close(fd) == 0 ? 0 : -errno;
    weft__spin_acquire(&entry->lock);
    entry->is_closing = false;
    entry->is_known = false;
    fire_closed_locked(poll, entry);
    weft__spin_release(&entry->lock);
    return code;
}

/* -- waiting ------------------------------------------------------------------------------ */

static unsigned events_of(uint32_t bits)
{
    unsigned events = 0;

    if (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        events |= WEFT__POLL_READ;
    if (bits & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        events |= WEFT__POLL_WRITE;
    return events;
}

static int deliver_locked(struct weft__poll *poll, struct entry *entry, int fd, unsigned events)
{
    struct weft__poll_waiter *reader = (events & WEFT__POLL_READ) ? entry->reader : NULL;
    struct weft__poll_waiter *writer = (events & WEFT__POLL_WRITE) ? entry->writer : NULL;
    int n = 0;

    if (reader != NULL && reader == writer)
        writer = NULL;
    if (reader != NULL)
        n += fire_locked(poll, entry, reader, events & reader->events);
    if (writer != NULL)
        n += fire_locked(poll, entry, writer, events & writer->events);
    /* The event has disarmed all of it. */
    if ((entry->reader != NULL || entry->writer != NULL) && arm_locked(poll, entry, fd, NULL) != 0)
        n += fire_closed_locked(poll, entry);
    return n;
}

static int deliver(struct weft__poll *poll, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    struct entry *entry = entry_find(poll, fd);
    int n = 0;

    weft__assert(entry != NULL);
    weft__spin_acquire(&entry->lock);
    if (entry->sequence == (uint32_t)(event->data.u64 >> 32))
        n = deliver_locked(poll, entry, fd, events_of(event->events));
    weft__spin_release(&entry->lock);
    return n;
}

static int wait_ms(struct weft__poll *poll, struct epoll_event *events, int64_t timeout_ns)
{
    int64_t ms = timeout_ns < 0 ? -1 : timeout_ns / WEFT__NS_PER_MS + (timeout_ns % WEFT__NS_PER_MS != 0);

    return epoll_wait(poll->epoll_fd, events, BATCH, ms > INT_MAX ? INT_MAX : (int)ms);
}

/* To the nanosecond, where the kernel can (5.11). */
static int wait_ns(struct weft__poll *poll, struct epoll_event *events, int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    static _Atomic bool is_missing;
    struct timespec timeout = {timeout_ns / WEFT__NS_PER_S, timeout_ns % WEFT__NS_PER_S};
    long n;

    /* Relaxed: whoever does not see it yet finds out for himself. */
    if (timeout_ns > 0 && !atomic_load_explicit(&is_missing, memory_order_relaxed)) {
        n = syscall(SYS_epoll_pwait2, poll->epoll_fd, events, BATCH, &timeout, NULL, 0);
        /* A filter of system calls may say EPERM. */
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)n;
        atomic_store_explicit(&is_missing, true, memory_order_relaxed);
    }
#endif
    return wait_ms(poll, events, timeout_ns);
}

int weft__poll_wait(struct weft__poll *poll, int64_t timeout_ns)
{
    struct epoll_event events[BATCH];
    int n = wait_ns(poll, events, timeout_ns);
    int n_fired = 0;
    uint64_t wakes;

    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 != DATA_WAKE)
            n_fired += deliver(poll, &events[i]);
        else if (timeout_ns != 0 && read(poll->wake_fd, &wakes, sizeof wakes) < 0)
            continue; /* read already: the wake was for an earlier wait */
    }
    return n_fired;
}

void weft__poll_wake(struct weft__poll *poll)
{
    uint64_t one = 1;
    int saved = errno;

    /* Fails only when the counter is full: then it is awake enough. */
    if (write(poll->wake_fd, &one, sizeof one) < 0)
        errno = saved;
}

size_t weft__poll_n_waiting(const struct weft__poll *poll)
{
    return atomic_load_explicit(&poll->n_waiting, memory_order_relaxed);
}

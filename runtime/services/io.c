/* io.c - waiting for descriptors, reading and writing.
 *
 * A call tries first and waits only when it must. A system call and its errno
 * are looked at in one small function that is never inlined: across a wait a
 * process may change threads, and the compiler may keep the address of errno.
 */
#include "services/io.h"

#include "base/clock.h"
#include "base/here.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "services/fd.h"
#include "weft/error.h"
#include "weft/io.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define PARTS_MAX 64

_Static_assert((int)WEFT_READ == WEFT__POLL_READ && (int)WEFT_WRITE == WEFT__POLL_WRITE,
               "events are the same inside and outside");

/* -- who calls ------------------------------------------------------------------ */

/* The calling process, if it may park where it is. */
static struct weft__proc *parkable(void)
{
    struct weft__proc *proc = weft__proc_here();

    if (proc == NULL || proc->fiber.kind == WEFT__PROC_GUEST ||
        (proc->flags & (WEFT__IN_BLOCKING | WEFT__ENDS)) != 0)
        return NULL;
    return proc;
}

void weft__io_enter(void)
{
    struct weft__proc *proc = parkable();

    if (proc != NULL)
        weft__proc_obey(proc);
}

bool weft__io_can_park(void)
{
    return parkable() != NULL;
}

void weft__io_give_way(void)
{
    if (parkable() != NULL)
        weft_checkpoint();
}

void weft__io_blocking(void *(*fn)(void *arg), void *arg)
{
    if (parkable() != NULL)
        weft_blocking(fn, arg);
    else
        fn(arg);
}

/* -- time ------------------------------------------------------------------------- */

int64_t weft__io_left_ms(struct weft__io_time *time)
{
    int64_t now_ns, left_ns;

    if (time->timeout_ms == 0 || time->timeout_ms == WEFT_INFINITY)
        return time->timeout_ms;
    now_ns = weft__clock_ns();
    if (time->until_ns == 0)
        time->until_ns = weft__clock_after_ms(now_ns, time->timeout_ms);
    if (time->until_ns == INT64_MAX)
        return WEFT_INFINITY;
    left_ns = time->until_ns - now_ns;
    return left_ns > 0 ? left_ns / WEFT__NS_PER_MS + (left_ns % WEFT__NS_PER_MS != 0) : 0;
}

static NOINLINE void thread_sleep(int64_t ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * WEFT__NS_PER_MS};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

int weft__io_pause(int64_t ms, struct weft__io_time *time)
{
    int64_t left_ms = weft__io_left_ms(time);

    if (left_ms == 0)
        return WEFT_ETIMEDOUT;
    if (ms > left_ms)
        ms = left_ms;
    if (parkable() != NULL)
        weft_sleep(ms);
    else
        thread_sleep(ms);
    return 0;
}

/* -- waiting in a thread ------------------------------------------------------------- */

static NOINLINE int poll_once(int fd, unsigned events, int64_t ms)
{
    struct pollfd one = {.fd = fd};
    int n;

    if (events & WEFT_READ)
        one.events |= POLLIN | POLLRDHUP;
    if (events & WEFT_WRITE)
        one.events |= POLLOUT;
    n = poll(&one, 1, ms > INT_MAX ? (ms == WEFT_INFINITY ? -1 : INT_MAX) : (int)ms);
    if (n < 0)
        return -errno;
    if (n == 0)
        return WEFT_ETIMEDOUT;
    if (one.revents & POLLNVAL)
        return WEFT_EBADF;
    if (one.revents & (POLLHUP | POLLERR))
        return (int)events;
    return (int)(((one.revents & (POLLIN | POLLRDHUP)) ? events & WEFT_READ : 0) |
                 ((one.revents & POLLOUT) ? events & WEFT_WRITE : 0));
}

static int wait_blocking(int fd, unsigned events, struct weft__io_time *time)
{
    for (;;) {
        int64_t left_ms = weft__io_left_ms(time);
        int code = poll_once(fd, events, left_ms);

        if (code > 0 || (code != WEFT_EINTR && code != WEFT_ETIMEDOUT))
            return code;
        if (code == WEFT_ETIMEDOUT && (left_ms == 0 || weft__io_left_ms(time) == 0))
            return code;
    }
}

/* -- waiting parked -------------------------------------------------------------------- */

static void wake_parked(struct weft__poll_waiter *waiter, unsigned events)
{
    struct weft__io *io = (struct weft__io *)(void *)((char *)waiter - offsetof(struct weft__io, waiter));

    /* Release, with the acquire of the process that sees it. */
    atomic_store_explicit(&io->outcome, events, memory_order_release);
    weft__proc_unpark(io->pid);
}

static unsigned outcome_of(struct weft__io *io)
{
    return atomic_load_explicit(&io->outcome, memory_order_acquire);
}

/* 0: the waiter is set, or a code. */
static int set_waiter(struct weft__io *io, int fd, unsigned events)
{
    int code;

    for (;;) {
        io->waiter.fd = fd;
        io->waiter.events = events;
        io->waiter.fire = wake_parked;
        atomic_store_explicit(&io->outcome, WEFT__IO_PENDING, memory_order_relaxed);
        code = weft__poll_add(weft__runtime()->sched->poll, &io->waiter);
        if (code != WEFT_EAGAIN)
            break;
        weft_yield(); /* somebody is closing it */
    }
    if (code != 0)
        io->waiter.fd = -1;
    return code;
}

static int wait_parked(struct weft__proc *proc, int fd, unsigned events, struct weft__io_time *time)
{
    struct weft__io *io = weft__io_of(proc);
    int64_t left_ms = weft__io_left_ms(time);
    struct weft__wait wait;
    int code;

    if (io == NULL)
        return WEFT_ENOMEM;
    code = set_waiter(io, fd, events);
    if (code == WEFT_EPERM)
        return (int)events; /* a plain file: always ready */
    if (code != 0)
        return code;
    weft__wait_begin(&wait, proc, left_ms);
    /* A process that ends in here leaves the waiter to its end (fd.c). */
    while (outcome_of(io) == WEFT__IO_PENDING)
        if (!weft__wait_once(&wait, false) && weft__poll_cancel(weft__runtime()->sched->poll, &io->waiter)) {
            code = WEFT_ETIMEDOUT;
            break;
        }
    weft__wait_end(&wait);
    io->waiter.fd = -1;
    if (code != 0)
        return code;
    return outcome_of(io) != 0 ? (int)outcome_of(io) : WEFT_ECANCELED;
}

int weft__io_wait(int fd, unsigned events, struct weft__io_time *time)
{
    struct weft__proc *proc;

    if (time->timeout_ms == 0)
        return poll_once(fd, events, 0);
    proc = parkable();
    return proc != NULL ? wait_parked(proc, fd, events, time) : wait_blocking(fd, events, time);
}

int weft_io_wait(int fd, unsigned events, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};

    if (timeout_ms < 0 || events == 0 || (events & ~(WEFT_READ | WEFT_WRITE)) != 0)
        return WEFT_EINVAL;
    if (fd < 0)
        return WEFT_EBADF;
    weft__io_enter();
    return weft__io_wait(fd, events, &time);
}

/* -- system calls that never block ---------------------------------------------------------- */

NOINLINE int weft__io_unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return 0;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -errno;
}

/* Something that is no socket. Plain files are left as they are: the flag
 * means nothing to them. */
static int unblock_other(int fd)
{
    struct stat about;

    if (fcntl(fd, F_GETFL) & O_NONBLOCK)
        return 0;
    if (fstat(fd, &about) != 0)
        return -errno;
    return S_ISREG(about.st_mode) ? 0 : weft__io_unblock(fd);
}

static NOINLINE int64_t read_now(int fd, void *buffer, size_t size)
{
    ssize_t n = recv(fd, buffer, size, MSG_DONTWAIT);

    if (n < 0 && errno == ENOTSOCK) {
        int code = unblock_other(fd);

        if (code != 0)
            return code;
        n = read(fd, buffer, size);
    }
    return n >= 0 ? n : -errno;
}

/* Write to what is no socket, without SIGPIPE. The runtime's own threads have
 * it blocked; a pending one is taken away, so that it is not found later. */
static int64_t write_other(int fd, const struct iovec *parts, int n_parts)
{
    bool is_ours = weft__here()->carrier != NULL;
    struct timespec at_once = {0, 0};
    sigset_t pipe_signal, before, pending;
    int code = unblock_other(fd);
    ssize_t n;

    if (code != 0)
        return code;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigemptyset(&pending);
    if (!is_ours) {
        sigpending(&pending);
        pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    }
    n = writev(fd, parts, n_parts);
    code = n < 0 ? -errno : 0;
    if (code == WEFT_EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_signal, NULL, &at_once);
    if (!is_ours)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n >= 0 ? n : code;
}

static NOINLINE int64_t write_now(int fd, const struct iovec *parts, size_t n_parts)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = n_parts};
    ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno == ENOTSOCK)
        return write_other(fd, parts, (int)n_parts);
    return n >= 0 ? n : -errno;
}

/* -- reading ----------------------------------------------------------------------------------- */

/* Bytes (0: the end), or a code; waits for the first one. */
static int64_t read_some(int fd, void *buffer, size_t size, struct weft__io_time *time)
{
    for (;;) {
        int64_t n = read_now(fd, buffer, size);
        int code;

        if (n == WEFT_EINTR)
            continue;
        if (n != WEFT_EAGAIN)
            return n;
        if (time->timeout_ms == 0)
            return WEFT_ETIMEDOUT;
        code = weft__io_wait(fd, WEFT_READ, time);
        if (code < 0)
            return code;
    }
}

int64_t weft_read(int fd, void *buffer, size_t size, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};
    int64_t n;

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    if (size == 0)
        return 0;
    n = read_some(fd, buffer, size, &time);
    weft__io_give_way();
    return n;
}

int64_t weft_read_full(int fd, void *buffer, size_t size, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};
    size_t done = 0;

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    while (done < size) {
        int64_t n = read_some(fd, (char *)buffer + done, size - done, &time);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
        weft__io_give_way();
    }
    return (int64_t)done;
}

/* -- writing ----------------------------------------------------------------------------------- */

static int64_t write_some(int fd, const struct iovec *parts, size_t n_parts, struct weft__io_time *time)
{
    for (;;) {
        int64_t n = write_now(fd, parts, n_parts);
        int code;

        if (n == WEFT_EINTR)
            continue;
        if (n != WEFT_EAGAIN)
            return n;
        if (time->timeout_ms == 0)
            return WEFT_ETIMEDOUT;
        code = weft__io_wait(fd, WEFT_WRITE, time);
        if (code < 0)
            return code;
    }
}

int64_t weft_write(int fd, const void *data, size_t size, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    int64_t n;

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    if (size == 0)
        return 0;
    n = write_some(fd, &part, 1, &time);
    weft__io_give_way();
    return n;
}

/* Past n bytes of the parts. */
static void parts_skip(struct iovec **parts, size_t *n_parts, size_t n)
{
    while (*n_parts > 0 && n >= (*parts)->iov_len) {
        n -= (*parts)->iov_len;
        ++*parts;
        --*n_parts;
    }
    if (*n_parts > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + n;
        (*parts)->iov_len -= n;
    }
}

/* parts are the caller's to change. */
static int64_t write_all(int fd, struct iovec *parts, size_t n_parts, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};
    int64_t done = 0;

    parts_skip(&parts, &n_parts, 0);
    while (n_parts > 0) {
        int64_t n = write_some(fd, parts, n_parts, &time);

        if (n < 0)
            return n;
        done += n;
        parts_skip(&parts, &n_parts, (size_t)n);
        weft__io_give_way();
    }
    return done;
}

int64_t weft_write_all(int fd, const void *data, size_t size, int64_t timeout_ms)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    return write_all(fd, &part, 1, timeout_ms);
}

int64_t weft_write_all_parts(int fd, const struct iovec *parts, size_t n, int64_t timeout_ms)
{
    struct iovec own[PARTS_MAX];

    if (timeout_ms < 0 || n > PARTS_MAX)
        return WEFT_EINVAL;
    weft__io_enter();
    for (size_t i = 0; i < n; i++)
        own[i] = parts[i];
    return write_all(fd, own, n, timeout_ms);
}

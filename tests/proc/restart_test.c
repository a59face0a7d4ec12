/* restart_test.c - a call that our signal cuts short goes on.
 *
 * A thread waits, in each way in turn, and is interrupted again and again by a
 * signal whose handler does what weft's does.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proc/process_test.h"
#include "proc/restart.h"
#include "sched/hog.h"

enum { WAIT_MS = 60, SIGNALS = 4 };

/* -- ways to wait: 0, or errno ----------------------------------------------------------- */

static struct timespec some_time(void)
{
    return (struct timespec){.tv_nsec = WAIT_MS * 1000000};
}

static int code_of(long result)
{
    return result < 0 ? errno : 0;
}

static int by_nanosleep(void)
{
    struct timespec time = some_time();

    return code_of(nanosleep(&time, NULL));
}

static int by_nanosleep_with_rest(void)
{
    struct timespec time = some_time(), rest = {0};

    return code_of(nanosleep(&time, &rest));
}

static int by_nanosleep_in_place(void)
{
    struct timespec time = some_time();

    return code_of(nanosleep(&time, &time));
}

static int by_usleep(void)
{
    return code_of(usleep(WAIT_MS * 1000));
}

static int by_clock_nanosleep(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += WAIT_MS * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static int by_poll(void)
{
    return code_of(poll(NULL, 0, WAIT_MS));
}

static int by_ppoll(void)
{
    struct timespec time = some_time();

    return code_of(ppoll(NULL, 0, &time, NULL));
}

static int by_select(void)
{
    struct timeval time = {.tv_usec = WAIT_MS * 1000};

    return code_of(select(0, NULL, NULL, NULL, &time));
}

static int by_pselect(void)
{
    struct timespec time = some_time();

    return code_of(pselect(0, NULL, NULL, NULL, &time, NULL));
}

static int by_epoll_wait(void)
{
    struct epoll_event event;
    int fd = epoll_create1(0), code = code_of(epoll_wait(fd, &event, 1, WAIT_MS));

    close(fd);
    return code;
}

static int by_epoll_pwait(void)
{
    struct epoll_event event;
    int fd = epoll_create1(0), code = code_of(epoll_pwait(fd, &event, 1, WAIT_MS, NULL));

    close(fd);
    return code;
}

static int by_sigtimedwait(void)
{
    struct timespec time = some_time();
    sigset_t none;
    int code;

    sigemptyset(&none);
    code = code_of(sigtimedwait(&none, NULL, &time));
    return code == EAGAIN ? 0 : code;
}

static int by_semaphore(void)
{
    struct timespec time;
    sem_t semaphore;
    int code;

    sem_init(&semaphore, 0, 0);
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += WAIT_MS * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    code = code_of(sem_timedwait(&semaphore, &time));
    sem_destroy(&semaphore);
    return code == ETIMEDOUT ? 0 : code;
}

static int by_futex(void)
{
    struct timespec time = some_time();
    uint32_t word = 0;
    int code = code_of(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0));

    return code == ETIMEDOUT ? 0 : code;
}

static int by_semop(void)
{
    struct timespec time = some_time();
    struct sembuf down = {.sem_op = -1};
    int set = semget(IPC_PRIVATE, 1, 0600), code = code_of(semtimedop(set, &down, 1, &time));

    semctl(set, 0, IPC_RMID);
    return code == EAGAIN ? 0 : code;
}

static int by_recv(void)
{
    struct timeval time = {.tv_usec = WAIT_MS * 1000};
    char byte;
    int pair[2], code;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return errno;
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    code = code_of(recv(pair[0], &byte, 1, 0));
    close(pair[0]);
    close(pair[1]);
    return code == EAGAIN ? 0 : code;
}

static const struct way {
    const char *name;
    int (*wait)(void);
    bool is_direct; /* by syscall(2): its number is not in the code */
} ways[] = {
    {"nanosleep", by_nanosleep, false},
    {"nanosleep, with room for the rest", by_nanosleep_with_rest, false},
    {"nanosleep, with the rest in its place", by_nanosleep_in_place, false},
    {"usleep", by_usleep, false},
    {"clock_nanosleep", by_clock_nanosleep, false},
    {"poll", by_poll, false},
    {"ppoll", by_ppoll, false},
    {"select", by_select, false},
    {"pselect", by_pselect, false},
    {"epoll_wait", by_epoll_wait, false},
    {"epoll_pwait", by_epoll_pwait, false},
    {"sigtimedwait", by_sigtimedwait, false},
    {"sem_timedwait", by_semaphore, false},
    {"futex", by_futex, true},
    {"semtimedop", by_semop, false},
    {"recv", by_recv, false},
};

/* -- interrupting ------------------------------------------------------------------------- */

static struct weft__waits_in known;
static int64_t known_since_ns, known_waited_ns;
static struct timespec left;
static _Atomic int n_restarts, n_handled, n_posted; /* posted: what the handler is told is there */

/* What happens to a thread that waits. */
enum trouble {
    KNOWN,      /* signals, whose handler is told in which call it waits */
    NOT_KNOWN,  /* it is not told */
    STOPPED     /* before, the program is stopped for a moment */
};

static void on_signal(int signo, siginfo_t *info, void *context)
{
    int errno_before = errno;

    (void)signo;
    (void)info;
    atomic_load(&n_posted);
    atomic_fetch_add(&n_restarts, weft__restart(context, &known, known_waited_ns, &left));
    atomic_fetch_add(&n_handled, 1);
    errno = errno_before;
}

struct waiter {
    const struct way *way;
    _Atomic pid_t tid;
    int code;
    int64_t waited_ms;
    _Atomic bool is_over;
};

static void *wait_main(void *arg)
{
    struct waiter *waiter = arg;
    int64_t began_ns = now_ns();

    atomic_store(&waiter->tid, (pid_t)syscall(SYS_gettid));
    waiter->code = waiter->way->wait();
    waiter->waited_ms = (now_ns() - began_ns) / 1000000;
    atomic_store(&waiter->is_over, true);
    return NULL;
}

/* Is it blocked in a call? Notes which, as weft's watchdog does. */
static bool note_call(struct waiter *waiter)
{
    struct weft__waits_in in;

    if (!weft__hog_waits_in(atomic_load(&waiter->tid), &in))
        return false;
    if (memcmp(&in, &known, sizeof in) != 0)
        known_since_ns = now_ns();
    known = in;
    known_waited_ns = now_ns() - known_since_ns;
    return true;
}

static void stop_and_go_on(void)
{
    pid_t self = getpid(), child = fork();

    if (child == 0) {
        kill(self, SIGSTOP);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        kill(self, SIGCONT);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Wait in that way, while signals come. A machine may have no time for the signals
 * before the wait is over; then nothing is seen of it. */
static void wait_and_interrupt(const struct way *way, enum trouble trouble)
{
    static const char *const what[] = {"", ", not known", ", stopped"};
    struct waiter waiter = {.way = way};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    int n_sent = 0, n_before = atomic_load(&n_handled);
    pthread_t thread;

    known = (struct weft__waits_in){.number = -1};
    known_waited_ns = 0;
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&thread, NULL, wait_main, &waiter);
    while (!atomic_load(&waiter.is_over)) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        if (n_sent == SIGNALS || atomic_load(&n_handled) - n_before < n_sent || !note_call(&waiter))
            continue;
        if (trouble == STOPPED && known.number != SYS_restart_syscall) {
            stop_and_go_on();
            continue;
        }
        if (trouble == NOT_KNOWN) {
            known.number = -1;
            known_waited_ns = 0;
        }
        atomic_fetch_add(&n_posted, 1);
        n_sent += !atomic_load(&waiter.is_over) && pthread_kill(thread, SIGUSR1) == 0;
    }
    pthread_join(thread, NULL);
    if (waiter.code != 0 || waiter.waited_ms < WAIT_MS - 1 || n_sent == 0)
        fprintf(stderr, "# %s%s: %d signals\n", way->name, what[trouble], n_sent);
    check_int(waiter.code, 0);
    check_ge(waiter.waited_ms, WAIT_MS - 1);
}

#if defined(WEFT_TSAN)
#define SKIP_UNDER_TSAN skip("TSan puts signals off until after most of these calls")
#else
#define SKIP_UNDER_TSAN (void)0
#endif

TEST(every_wait_goes_on_after_a_signal)
{
    SKIP_UNDER_TSAN;
    for (size_t i = 0; i < COUNT(ways); i++)
        wait_and_interrupt(&ways[i], KNOWN);
    check_ge(atomic_load(&n_restarts), 1);
}

TEST(the_waits_of_the_c_library_go_on_although_nobody_knew_of_them)
{
    SKIP_UNDER_TSAN;
#if !defined(__x86_64__)
    skip("the first argument of a call is lost on this machine");
#endif
    for (size_t i = 0; i < COUNT(ways); i++)
        if (!ways[i].is_direct)
            wait_and_interrupt(&ways[i], NOT_KNOWN);
    check_ge(atomic_load(&n_restarts), 1);
}

/* Those with which the kernel goes on by a call of its own after a stop: signal(7). */
TEST(a_wait_goes_on_after_a_signal_though_the_program_was_stopped_in_it)
{
    static const struct way by_the_kernel[] = {
        {"nanosleep", by_nanosleep, false},
        {"nanosleep, with room for the rest", by_nanosleep_with_rest, false},
        {"usleep", by_usleep, false},
        {"poll", by_poll, false},
    };

    SKIP_UNDER_TSAN;
#if !defined(__x86_64__)
    skip("which call it was is lost on this machine");
#endif
    for (size_t i = 0; i < COUNT(by_the_kernel); i++)
        wait_and_interrupt(&by_the_kernel[i], STOPPED);
    check_ge(atomic_load(&n_restarts), 1);
}

/* migrate.c - a process that goes to another kernel thread between any two
 * calls that may park finds everything of that thread's. migrate_test.sh builds
 * it together with the whole library at -O3 with link-time optimisation, where
 * a compiler sees into every call and would like to keep the address of what is
 * a thread's own.
 *
 * The truth is what the kernel says (gettid, by a system call of ours). What is
 * read through a function that no compiler sees into has to agree with it: the
 * library's own weft__here(), weft_errno(), and a variable of the program's.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/places.h"
#include "weft/io.h"
#include "weft/task.h"

/* A compiler that does not inline may still see that a function returns the
 * address of one variable, and take that itself: noipa, or an asm in between. */
#if defined(__clang__)
#define OPAQUE __attribute__((noinline))
#else
#define OPAQUE __attribute__((noinline, noipa))
#endif

enum { N_WORKERS = 4, N_MIGRANTS = 6, TRIES_MAX = 2000 };

static pid_t thread_id(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* -- what is a thread's own ---------------------------------------------------------- */

struct mine {
    pid_t tid;
    struct weft__carrier *carrier;
    uint64_t n_looks;
};

static __thread struct mine mine;

OPAQUE static struct mine *mine_here(void)
{
    struct mine *own = &mine;

    __asm__ volatile("" : "+r"(own) : : "memory");
    return own;
}

OPAQUE static void set_errno(int value)
{
    __asm__ volatile("" ::: "memory");
    errno = value;
}

static _Atomic uint64_t n_looks, n_wrong;

static void expect(bool held, const char *what)
{
    if (held)
        return;
    if (atomic_fetch_add(&n_wrong, 1) < 10)
        diag("wrong: %s", what);
}

/* The thread that runs the process, once all of it has been compared. */
OPAQUE static pid_t look(weft_pid self)
{
    pid_t tid = thread_id();
    struct mine *own = mine_here();
    struct weft__here *here = weft__here();

    __asm__ volatile("" ::: "memory");
    atomic_fetch_add(&n_looks, 1);
    if (own->tid == 0)
        *own = (struct mine){ .tid = tid, .carrier = here->carrier };
    own->n_looks++;
    expect(own->tid == tid, "a variable of another thread");
    expect(own->carrier == here->carrier, "the carrier is another thread's");
    expect(here->slot.worker == NULL || here->slot.worker->carrier == here->carrier, "the worker is another thread's");
    expect(pthread_equal(here->carrier->thread, pthread_self()) != 0, "the thread is not the carrier's");
    expect(here->proc != NULL && here->proc->pid.bits == self.bits, "another process runs here");
    expect(here->fiber == &here->proc->fiber, "another fiber runs here");
    expect(here->region == &here->proc->region, "terms are built in another process's region");
    expect(here->slot.worker == NULL || here->slot.cache == here->slot.worker->cache, "memory is another worker's");
    close(-1);
    expect(weft_errno() == EBADF, "weft_errno is not what the system call just left");
    return tid;
}

/* -- calls that may park ---------------------------------------------------------------- */

static weft_pid movers[N_WORKERS], partner;
static int ready_fd;

/* Sits on its worker: who it answers goes on there. */
static weft_term moves(weft_term arg)
{
    weft_receive_each (message) {
        weft_term from = weft_none;

        if (!weft_match(message, weft_tuple(A(move), weft_bind(&from))))
            break;
        weft_send(from, A(moved));
    }
    return arg;
}

static void ask_to_be_moved(void)
{
    weft_send(movers[(unsigned)(worker_here() + 1) % N_WORKERS], weft_tuple(A(move), weft_self()));
}

static void *blocks(void *arg)
{
    pid_t tid = thread_id();

    expect(mine_here()->tid == 0 || mine_here()->tid == tid, "a variable of another thread, in weft_blocking");
    return arg;
}

static weft_term answers(weft_term arg)
{
    return arg;
}

static inline __attribute__((always_inline)) void call_yield(void) { weft_yield(); }
static inline __attribute__((always_inline)) void call_checkpoint(void) { weft_checkpoint(); }
static inline __attribute__((always_inline)) void call_sleep(void) { weft_sleep(1); }
static inline __attribute__((always_inline)) void call_blocking(void) { weft_blocking(blocks, NULL); }
static inline __attribute__((always_inline)) void call_is_alive(void) { weft_is_alive(partner); }
static inline __attribute__((always_inline)) void call_link(void) { weft_link(partner); }
static inline __attribute__((always_inline)) void call_unlink_flush(void) { weft_unlink_flush(partner); }
static inline __attribute__((always_inline)) void call_trap_exit(void) { weft_trap_exit(true); }
static inline __attribute__((always_inline)) void call_unalias(void) { weft_unalias(weft_alias(false)); }
static inline __attribute__((always_inline)) void call_demonitor(void) { weft_demonitor(weft_monitor(partner), true); }
static inline __attribute__((always_inline)) void call_receive_timeout(void) { weft_receive(A(never), 1, NULL); }
static inline __attribute__((always_inline)) void call_io_wait(void) { weft_io_wait(ready_fd, WEFT_WRITE, BOUND_MS); }

static inline __attribute__((always_inline)) void call_receive(void)
{
    ask_to_be_moved();
    weft_receive(A(moved), WEFT_INFINITY, NULL);
}

static inline __attribute__((always_inline)) void call_receive_each(void)
{
    ask_to_be_moved();
    weft_receive_each (message) {
        (void)message;
        break;
    }
}

static inline __attribute__((always_inline)) void call_process_info(void)
{
    weft_process_info(movers[(unsigned)(worker_here() + 1) % N_WORKERS], A(status));
}

static inline __attribute__((always_inline)) void call_await(void)
{
    weft_task_await(weft_task_async(answers, A(ok)), WEFT_INFINITY);
}

#define CALLS(X)                                                              \
    X(yield) X(checkpoint) X(sleep) X(blocking) X(is_alive) X(link)           \
    X(unlink_flush) X(trap_exit) X(unalias) X(demonitor) X(receive_timeout)   \
    X(receive) X(receive_each) X(process_info) X(await) X(io_wait)

enum call_number {
#define NUMBER(name) CALL_##name,
    CALLS(NUMBER)
#undef NUMBER
    N_CALLS
};

static const char *const names[] = {
#define NAME(name) #name,
    CALLS(NAME)
#undef NAME
};

static inline __attribute__((always_inline)) void call(enum call_number which)
{
    switch (which) {
#define CASE(name) case CALL_##name: call_##name(); break;
    CALLS(CASE)
#undef CASE
    case N_CALLS:
        break;
    }
}

/* -- pairs ---------------------------------------------------------------------------------- */

static _Atomic int n_moves[N_CALLS][N_CALLS]; /* between the two */
static _Atomic int n_moves_inside[N_CALLS];   /* in the call itself */
static _Atomic int n_stale_errno, n_stale_own;

/* One call, a move, and the other, in one function, so that a compiler could
 * keep what it learned in the first for the second. */
static inline __attribute__((always_inline)) bool pair(enum call_number a, enum call_number b)
{
    weft_pid self = weft_self();
    pid_t before = look(self), between, moved, after;

    errno = ERANGE;
    mine.n_looks++;
    call(a);
    between = look(self);
    call_receive();
    moved = look(self);
    /* Written for the record: the plain name may still mean the thread that
     * this function began on. */
    set_errno(EDOM);
    expect(weft_errno() == EDOM, "weft_errno is another thread's");
    if (errno != EDOM)
        atomic_fetch_add(&n_stale_errno, 1);
    if (mine.tid != moved)
        atomic_fetch_add(&n_stale_own, 1);
    call(b);
    after = look(self);
    if (before != between)
        atomic_fetch_add(&n_moves_inside[a], 1);
    if (moved != after)
        atomic_fetch_add(&n_moves_inside[b], 1);
    return between != moved;
}

static void until_it_moves(bool (*fn)(void), enum call_number a, enum call_number b)
{
    int tries = 0;

    while (tries++ < TRIES_MAX) {
        WEFT_SCOPE;

        if (fn())
            atomic_fetch_add(&n_moves[a][b], 1);
        if (atomic_load(&n_moves[a][b]) > 0)
            break;
    }
}

#define PAIR(a, b)                                                            \
    static OPAQUE bool pair_##a##_##b(void) { return pair(CALL_##a, CALL_##b); }
#define AFTER(a)                                                              \
    PAIR(a, yield) PAIR(a, checkpoint) PAIR(a, sleep) PAIR(a, blocking)       \
    PAIR(a, is_alive) PAIR(a, link) PAIR(a, unlink_flush) PAIR(a, trap_exit)  \
    PAIR(a, unalias) PAIR(a, demonitor) PAIR(a, receive_timeout)              \
    PAIR(a, receive) PAIR(a, receive_each) PAIR(a, process_info)              \
    PAIR(a, await) PAIR(a, io_wait)                                           \
    static void all_after_##a(void)                                           \
    {                                                                         \
        static bool (*const fns[])(void) = {                                  \
            pair_##a##_yield, pair_##a##_checkpoint, pair_##a##_sleep,        \
            pair_##a##_blocking, pair_##a##_is_alive, pair_##a##_link,        \
            pair_##a##_unlink_flush, pair_##a##_trap_exit,                    \
            pair_##a##_unalias, pair_##a##_demonitor,                         \
            pair_##a##_receive_timeout, pair_##a##_receive,                   \
            pair_##a##_receive_each, pair_##a##_process_info,                 \
            pair_##a##_await, pair_##a##_io_wait,                             \
        };                                                                    \
                                                                              \
        _Static_assert(COUNT(fns) == N_CALLS, "every call is there");         \
        for (size_t b = 0; b < COUNT(fns); b++)                               \
            until_it_moves(fns[b], CALL_##a, (enum call_number)b);            \
    }
CALLS(AFTER)

/* Calls that let others run: the process goes on where somebody steals it, or
 * wakes it. */
static const enum call_number switching[] = {
    CALL_yield, CALL_sleep, CALL_blocking, CALL_receive_timeout, CALL_receive,
    CALL_receive_each, CALL_process_info, CALL_await,
};

static void until_it_moves_inside(enum call_number a)
{
    weft_pid self = weft_self();
    int tries = 0;

    while (atomic_load(&n_moves_inside[a]) == 0 && tries++ < 100 * TRIES_MAX) {
        WEFT_SCOPE;
        pid_t before = look(self);

        call(a);
        if (look(self) != before)
            atomic_fetch_add(&n_moves_inside[a], 1);
    }
}

static weft_term migrates(weft_term arg)
{
    weft_trap_exit(true);
#define ALL_AFTER(a) all_after_##a();
    CALLS(ALL_AFTER)
#undef ALL_AFTER
    for (size_t i = 0; i < COUNT(switching); i++)
        until_it_moves_inside(switching[i]);
    weft_unlink_flush(partner);
    return arg;
}

static _Atomic int n_ended;

/* Now and then leaves its worker with nothing to do, which then steals. */
static weft_term keeps_thieves_busy(weft_term arg)
{
    weft_pid self = weft_self();

    while (atomic_load(&n_ended) == 0) {
        for (int i = 0; i < 50; i++) {
            look(self);
            weft_yield();
        }
        weft_sleep(1);
    }
    return arg;
}

static weft_term runs_migrants(weft_term arg)
{
    weft_ref downs[N_MIGRANTS];
    int fds[2];

    check_int(pipe(fds), 0);
    ready_fd = fds[1];
    partner = weft_spawn(waits_for_stop, A(nil));
    for (unsigned i = 0; i < N_WORKERS; i++)
        movers[i] = spawn_stuck_to(i, moves, A(nil));
    for (int i = 0; i < N_WORKERS; i++)
        weft_spawn(keeps_thieves_busy, A(nil));
    for (int i = 0; i < N_MIGRANTS; i++)
        weft_spawn(migrates, weft_int(i), .monitor = &downs[i]);
    for (int i = 0; i < N_MIGRANTS; i++)
        check_term(await_down(downs[i]), A(normal));
    atomic_store(&n_ended, 1);
    for (unsigned i = 0; i < N_WORKERS; i++)
        weft_send(movers[i], A(stop));
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST_WITH(everything_of_a_thread_is_that_of_the_thread_after_a_move_between_any_two_calls, .deadline_s = 30)
{
    int n = 0, n_never = 0;

    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    run_in_runtime(runs_migrants, .workers = N_WORKERS);
    for (int a = 0; a < N_CALLS; a++) {
        for (int b = 0; b < N_CALLS; b++) {
            n += atomic_load(&n_moves[a][b]);
            if (atomic_load(&n_moves[a][b]) == 0 && n_never++ < 10)
                diag("never moved between %s and %s", names[a], names[b]);
        }
    }
    check_int(n_never, 0);
    for (size_t i = 0; i < COUNT(switching); i++)
        if (!check_gt(atomic_load(&n_moves_inside[switching[i]]), 0))
            diag("  inside %s", names[switching[i]]);
    check_int(atomic_load(&n_wrong), 0);
    check_gt(atomic_load(&n_looks), 0);
    diag("%d pairs of calls, %d moves between them; looked %ju times", N_CALLS * N_CALLS, n,
         (uintmax_t)atomic_load(&n_looks));
    for (int a = 0; a < N_CALLS; a++)
        diag("  %d moves inside %s", atomic_load(&n_moves_inside[a]), names[a]);
    diag("the plain names meant another thread: errno %d times, a __thread variable %d times",
         atomic_load(&n_stale_errno), atomic_load(&n_stale_own));
}

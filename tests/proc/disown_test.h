/* disown_test.h - victims for tests of processes that are disowned.
 *
 * A victim reads a pipe that is empty, or computes where qsort called it, until the
 * test lets it go. So nothing depends on how long anything takes, but for the grace
 * time, which is short.
 */
#ifndef WEFT_TESTS_PROC_DISOWN_TEST_H
#define WEFT_TESTS_PROC_DISOWN_TEST_H

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "sched/places.h"
#include "proc/disown.h"

enum { GRACE_MS = 30, N_PIPES = 64 };

#define DISOWN_TEST(sentence, ...) DISOWN_TEST_(sentence, (void)0, __VA_ARGS__)
/* Of victims that are on their core. */
#define CPU_DISOWN_TEST(sentence, ...) DISOWN_TEST_(sentence, SKIP_UNDER_TSAN, __VA_ARGS__)
#define DISOWN_TEST_(sentence, skip_it, ...) \
    FOUR_WORKERS_TEST(sentence, skip_it, set_up(), .disown_after_ms = GRACE_MS, __VA_ARGS__)

/* -- victims ---------------------------------------------------------------------- */

static int pipes[N_PIPES][2];
static _Atomic int n_in, n_out, n_defers, may_stop, phase;

static inline void set_up(void)
{
    n_in = n_out = n_defers = may_stop = phase = 0;
}

/* In plain C, until release(n). */
__attribute__((noinline, unused)) static void sit(int n)
{
    char byte;

    atomic_fetch_add(&n_in, 1);
    while (read(pipes[n][0], &byte, 1) != 1)
        ;
    atomic_fetch_add(&n_out, 1);
}

static inline void open_pipe(int n)
{
    if (pipes[n][1] == 0)
        check_int(pipe2(pipes[n], O_CLOEXEC), 0);
}

static inline void release(int n)
{
    check_int(write(pipes[n][1], "x", 1), 1);
}

static inline void counts(void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_defers, 1);
}

static inline weft_term sits(weft_term n)
{
    weft_defer(counts, NULL);
    sit((int)weft_to_int(n));
    return n;
}

/* A process that is in its read. */
static inline weft_pid start(weft_fn *fn, int n, weft_ref *down)
{
    int before = atomic_load(&n_in);
    weft_pid pid;

    open_pipe(n);
    pid = weft_spawn(fn, weft_int(n), .monitor = down);
    await_count(&n_in, before + 1);
    return pid;
}

static inline void await_disowned(uint32_t n)
{
    int64_t until = now_ms() + BOUND_MS;

    while (weft__disowned_n() != n && now_ms() < until)
        weft_sleep(1);
    check_int(weft__disowned_n(), n);
}

/* Kill it, and see it gone; it is still in its read. */
static inline void kill_stuck(weft_pid pid, weft_ref down)
{
    weft_kill(pid);
    check_term(await_down(down), A(killed));
}

static inline void *sits_blocking(void *arg)
{
    sit(*(int *)arg);
    return arg;
}

static inline weft_term waits_for_ever(weft_term arg)
{
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static inline int n_hogs(void)
{
    struct weft__sched *sched = the_sched();
    int n;

    pthread_mutex_lock(&sched->carriers.lock);
    n = (int)(sched->hogs.n + sched->carriers.n_blocking);
    pthread_mutex_unlock(&sched->carriers.lock);
    return n;
}

#endif

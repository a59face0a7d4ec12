/* places.h - for tests that care where a process runs: processes that begin on
 * a given worker, and what the scheduler counts.
 *
 *     spawn_on(3, fn, arg)         begins on worker 3, and may then be stolen
 *     spawn_stuck_to(3, fn, arg)   never leaves worker 3
 *     hold(3) ... let_go(3)        worker 3 runs nothing else meanwhile
 *
 * These reach into the runtime: a sticky process is put where it is wanted
 * before anybody sees it, and stops being sticky when it begins.
 */
#ifndef WEFT_TESTS_SCHED_PLACES_H
#define WEFT_TESTS_SCHED_PLACES_H

#include <pthread.h>

#include "base/here.h"
#include "proc/proc.h"
#include "proc/process_test.h"
#include "proc/runtime.h"

static inline struct weft__sched *the_sched(void)
{
    return weft__runtime()->sched;
}

/* The worker that runs the calling process now; -1: none, inside weft_blocking. */
static inline int worker_here(void)
{
    struct weft__worker *worker = weft__here()->slot.worker;

    return worker != NULL ? (int)worker->index : -1;
}

/* The threads that carry workers, have carried, or may. */
static inline int n_threads(void)
{
    struct weft__sched *sched = the_sched();
    int n;

    pthread_mutex_lock(&sched->carriers.lock);
    n = (int)sched->carriers.n_threads;
    pthread_mutex_unlock(&sched->carriers.lock);
    return n;
}

/* Of tests whose processes are on their core and are to answer a signal there. */
#if defined(WEFT_TSAN)
#define SKIP_UNDER_TSAN skip("TSan delivers a signal when its thread next waits, so who computes does not answer")
#else
#define SKIP_UNDER_TSAN (void)0
#endif

/* A test whose body is a process, on four workers, whatever the machine has. skip_it comes
 * first, begin in the process; then options of the runtime. */
#define FOUR_WORKERS_TEST(sentence, skip_it, begin, ...)   \
    static void sentence##_body(void);                     \
    static weft_term sentence##_process(weft_term arg)     \
    {                                                      \
        begin;                                             \
        sentence##_body();                                 \
        return weft_is_none(arg) ? A(ok) : arg;            \
    }                                                      \
    TEST(sentence)                                         \
    {                                                      \
        skip_it;                                           \
        setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1); \
        run_in_runtime(sentence##_process, .workers = 4, __VA_ARGS__); \
    }                                                      \
    static void sentence##_body(void)

/* -- processes at places --------------------------------------------------------- */

static inline void place_child(struct weft__proc *child, void *arg)
{
    child->fiber.is_sticky = 1;
    child->fiber.home = *(unsigned *)arg;
}

static inline weft_pid spawn_stuck_to(unsigned worker, weft_fn *fn, weft_term arg)
{
    struct weft_spawn_options options = { WEFT_SPAWN_DEFAULTS };
    struct weft__spawn how = { .kind = WEFT__PROC_FUNCTION, .fn = fn, .arg = arg, .options = &options,
                               .call = "spawn_stuck_to", .prepare = place_child, .prepare_arg = &worker };
    int code = 0;
    weft_pid pid = weft__proc_spawn(weft__proc_here(), &how, &code);

    if (!check_int(code, 0))
        weft_exit(A(test_gave_up));
    return pid;
}

/* The calling process may leave its worker from now on. */
static inline void come_unstuck(void)
{
    struct weft__fiber *fiber = weft__here()->fiber;

    fiber->is_sticky = 0;
    weft__worker_add_sticky(the_sched()->workers[fiber->home], -1);
}

/* {fn, arg} */
static inline weft_term runs_unstuck(weft_term arg)
{
    weft_fn *fn = (weft_fn *)weft_to_pointer(weft_tuple_at(arg, 0));

    come_unstuck();
    return fn(weft_tuple_at(arg, 1));
}

static inline weft_pid spawn_on(unsigned worker, weft_fn *fn, weft_term arg)
{
    WEFT_SCOPE;

    return spawn_stuck_to(worker, runs_unstuck, weft_tuple(weft_pointer((const void *)fn), arg));
}

/* -- workers that are kept busy ----------------------------------------------------- */

enum { PLACES_MAX = 256 };

static _Atomic int n_held, may_go[PLACES_MAX];

/* Keep the caller's worker, which counts as held, until it is let go; other
 * threads may have the core. */
static inline void keep_worker(void)
{
    int64_t until = now_ms() + 2 * BOUND_MS;
    int here = worker_here();

    while (!atomic_load(&may_go[here]) && now_ms() < until)
        sched_yield();
    check_lt(now_ms(), until);
    atomic_store(&may_go[here], 0);
    atomic_fetch_sub(&n_held, 1);
}

static inline weft_term keeps_its_worker(weft_term arg)
{
    atomic_fetch_add(&n_held, 1);
    keep_worker();
    return arg;
}

/* The worker runs nothing else from now on. Not the caller's own. */
static inline void hold(unsigned worker)
{
    int before = atomic_load(&n_held);

    spawn_stuck_to(worker, keeps_its_worker, A(nil));
    await_count(&n_held, before + 1);
}

static inline void let_go(unsigned worker)
{
    int before = atomic_load(&n_held);
    int64_t until = now_ms() + BOUND_MS;

    atomic_store(&may_go[worker], 1);
    while (atomic_load(&n_held) >= before && now_ms() < until)
        weft_yield();
    check_int(atomic_load(&n_held), before - 1);
}

/* -- counters -------------------------------------------------------------------------- */

static inline uint64_t n_steals(unsigned worker, enum weft__distance distance)
{
    return atomic_load(&the_sched()->workers[worker]->counts.steals[distance]);
}

static inline uint64_t n_stolen(unsigned worker, enum weft__distance distance)
{
    return atomic_load(&the_sched()->workers[worker]->counts.stolen[distance]);
}

static inline uint64_t n_runs(unsigned worker)
{
    return atomic_load(&the_sched()->workers[worker]->counts.runs);
}

static inline struct weft__stack_counts stack_counts(void)
{
    struct weft__stack_counts counts;

    weft__stack_counts(the_sched()->stacks, &counts);
    return counts;
}

/* Wait until no more than that many stacks are in use; in a process. */
static inline bool await_stacks(size_t n)
{
    int64_t until = now_ms() + BOUND_MS;

    while (stack_counts().n_in_use > n && now_ms() < until)
        weft_yield();
    return check_le(stack_counts().n_in_use, n);
}

/* How a process is parked: with a stack of its own? Waits until it is parked. */
static inline bool parks_with_stack(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);
    int64_t until = now_ms() + BOUND_MS;

    while (!weft__proc_is_parked(proc) && now_ms() < until)
        weft_yield();
    check(weft__proc_is_parked(proc));
    return proc->fiber.stack != NULL;
}

#endif

/* park_test.c - stacks of callback processes: none while they wait for a
 * message, one while they are parked in their callback, and the cache's bound
 * when all is over.
 *
 * WEFT_TEST_PARKED: how many are parked at once in the large test (100000). */
#include "sched/places.h"

enum { N_WORKERS = 4, MAX_CACHED = 256 };

/* Beside the processes of a test: a base for each worker, and the stacks that
 * are on their way from one place to another. */
enum { FEW_STACKS = 2 * N_WORKERS + 2 };

static int n_to_park(void)
{
    const char *text = getenv("WEFT_TEST_PARKED");

#if defined(WEFT_TSAN)
    return text != NULL ? atoi(text) : 1000; /* each stack is a fiber to it, of 160 KB */
#else
    return text != NULL ? atoi(text) : scaled(100000);
#endif
}

/* -- many, parked in their callback ----------------------------------------------------- */

struct parker {
    _Atomic int at;  /* worker it was on when it parked */
    int n_parks;     /* until it came back on another one */
    int n_locals_ok;
};

static _Atomic int n_parked, n_moved;
static weft_pid resumers[N_WORKERS];

/* Parks until it is resumed on another worker than it parked on. What lies on
 * its stack comes along. */
static bool parks_in_its_callback(void *state, weft_term message)
{
    struct parker *parker = state;
    volatile uint64_t locals[32];
    int at = worker_here();

    for (unsigned i = 0; i < COUNT(locals); i++)
        locals[i] = (uintptr_t)state * (i + 1);
    atomic_store(&parker->at, at);
    atomic_fetch_add(&n_parked, 1);
    for (;;) {
        parker->n_parks++;
        weft_receive(A(resume), WEFT_INFINITY, NULL);
        if (worker_here() != at)
            break;
        weft_send(resumers[(at + 1) % N_WORKERS], weft_tuple(A(again), weft_self()));
    }
    for (unsigned i = 0; i < COUNT(locals); i++)
        parker->n_locals_ok += locals[i] == (uintptr_t)state * (i + 1);
    atomic_fetch_add(&n_moved, 1);
    return weft_is_tuple(message);
}

/* Never leaves its worker: who it sends to goes on there, or at a thief's. */
static weft_term resumes(weft_term arg)
{
    weft_receive_each (message) {
        weft_term pid = weft_none;

        if (weft_match(message, weft_tuple(A(again), weft_bind(&pid))))
            weft_send(pid, A(resume));
        else
            break;
    }
    return arg;
}

static void start_resumers(void)
{
    for (unsigned i = 0; i < N_WORKERS; i++)
        resumers[i] = spawn_stuck_to(i, resumes, A(nil));
}

static void stop_resumers(void)
{
    for (unsigned i = 0; i < N_WORKERS; i++) {
        weft_ref down = weft_monitor(resumers[i]);

        weft_send(resumers[i], A(stop));
        check_term(await_down(down), A(normal));
    }
}

static weft_pid *spawn_parkers(struct parker *parkers, int n)
{
    weft_pid *pids = weft_alloc((size_t)n * sizeof *pids);

    for (int i = 0; i < n; i++) {
        pids[i] = weft_spawn_handler(parks_in_its_callback, &parkers[i]);
        weft_send(pids[i], weft_tuple(A(park), weft_int(i)));
    }
    await_count(&n_parked, n);
    return pids;
}

static void check_parkers(const struct parker *parkers, int n)
{
    int64_t n_parks = 0;
    int n_whole = 0;

    for (int i = 0; i < n; i++) {
        n_parks += parkers[i].n_parks;
        n_whole += parkers[i].n_locals_ok == 32;
    }
    check_int(n_whole, n);
    diag("%d processes parked in their callbacks %lld times until all had moved", n, (long long)n_parks);
}

static weft_term parks_many(weft_term arg)
{
    size_t n_bound = MAX_CACHED + N_WORKERS * WEFT__STACK_CACHE_MAX;
    int n = n_to_park(), n_with_stack = 0;
    struct parker *parkers = weft_alloc((size_t)n * sizeof *parkers);
    struct weft__stack_counts counts;
    weft_pid *pids;

    start_resumers();
    pids = spawn_parkers(parkers, n);
    for (int i = 0; i < n; i++)
        n_with_stack += parks_with_stack(pids[i]);
    check_int(n_with_stack, n);
    counts = stack_counts();
    check_ge(counts.n_in_use, n);
    check_int(counts.n_unguarded, 0);

    for (int i = 0; i < n; i++)
        weft_send(resumers[(atomic_load(&parkers[i].at) + 1) % N_WORKERS], weft_tuple(A(again), pids[i]));
    await_count(&n_moved, n);
    stop_resumers();
    n_with_stack = 0;
    for (int i = 0; i < n; i++)
        n_with_stack += parks_with_stack(pids[i]);
    check_int(n_with_stack, 0); /* they all wait for the next message */
    await_stacks(FEW_STACKS);
    counts = stack_counts();
    check_le(counts.n_cached, n_bound);
    check_ge(counts.n_cold + n_bound + FEW_STACKS, n); /* the others' memory went back */
    diag("stacks: %zu in use, %zu cached, %zu cold", counts.n_in_use, counts.n_cached, counts.n_cold);
    check_parkers(parkers, n);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST_WITH(as_many_stacks_as_are_parked_in_callbacks_and_the_caches_bound_afterwards, .deadline_s = 120)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    run_in_runtime(parks_many, .workers = N_WORKERS, .max_cached_stacks = MAX_CACHED);
}

/* -- idle ones ---------------------------------------------------------------------------- */

/* Answers {from, n} with n. */
static bool echoes(void *state, weft_term message)
{
    weft_term from = weft_none, n = weft_none;

    (void)state;
    if (weft_match(message, weft_tuple(weft_bind(&from), weft_bind(&n))))
        weft_send(from, weft_tuple(A(echo), n));
    return true;
}

static weft_term asks_idle_ones(weft_term arg)
{
    enum { N = 1000 };
    weft_pid *pids = weft_alloc(N * sizeof *pids);

    for (int i = 0; i < N; i++)
        pids[i] = weft_spawn_handler(echoes, NULL);
    check_le(stack_counts().n_in_use, FEW_STACKS); /* born without one */
    for (int i = 0; i < N; i++) {
        WEFT_SCOPE;

        weft_send(pids[i], weft_tuple(weft_self(), weft_int(i)));
        expect_message(weft_tuple(A(echo), weft_int(i)));
    }
    for (int i = 0; i < N; i++)
        check(!parks_with_stack(pids[i]));
    await_stacks(FEW_STACKS);
    check_le(stack_counts().n_cached, MAX_CACHED + N_WORKERS * WEFT__STACK_CACHE_MAX);
    diag("stacks: %zu in use by %d idle callback processes and %d workers", stack_counts().n_in_use, (int)N,
         (int)N_WORKERS);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(callback_processes_that_wait_hold_no_stack)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    run_in_runtime(asks_idle_ones, .workers = N_WORKERS, .max_cached_stacks = MAX_CACHED);
}

/* -- ends --------------------------------------------------------------------------------- */

static weft_term kills_parked_ones(weft_term arg)
{
    int n = scaled(2000);
    struct parker *parkers = weft_alloc((size_t)n * sizeof *parkers);
    weft_pid *pids = spawn_parkers(parkers, n);

    check_ge(stack_counts().n_in_use, n);
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref down = weft_monitor(pids[i]);

        weft_kill(pids[i]);
        check_term(await_down(down), A(killed));
    }
    await_stacks(FEW_STACKS);
    check_int(atomic_load(&n_moved), 0);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(a_process_that_is_killed_in_its_callback_gives_its_stack_back)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    run_in_runtime(kills_parked_ones, .workers = N_WORKERS, .max_cached_stacks = MAX_CACHED);
}

static bool parks_for_a_moment(void *state, weft_term message)
{
    (void)state;
    weft_receive(A(resume), WEFT_INFINITY, NULL);
    return !weft_eq(message, A(last));
}

/* One process, parked in callback after callback, needs no second stack. */
static weft_term parks_one_often(weft_term arg)
{
    weft_pid pid = weft_spawn_handler(parks_for_a_moment, NULL);
    weft_ref down = weft_monitor(pid);
    struct weft__stack_counts before = stack_counts(), after;

    for (int i = 0, n = scaled(20000); i < n; i++) {
        weft_send(pid, i == n - 1 ? A(last) : A(park));
        weft_send(pid, A(resume));
        weft_yield();
    }
    check_term(await_down(down), A(normal));
    await_stacks(FEW_STACKS);
    after = stack_counts();
    check_le(after.n_guarded + after.n_unguarded, before.n_guarded + before.n_unguarded + FEW_STACKS);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(parking_again_and_again_uses_the_same_few_stacks)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    run_in_runtime(parks_one_often, .workers = N_WORKERS, .max_cached_stacks = MAX_CACHED);
}

/* numa_test.c - who steals from whom on machines with several nodes, which
 * HWLOC_SYNTHETIC lays out, and on which node memory comes from.
 *
 * What is asserted are the workers' counters, not a listing. Chance is kept
 * out: all workers but those that a test is about are held by a process that
 * never leaves them, so it is certain who could steal what.
 */
#include "base/clock.h"
#include "sched/places.h"
#include "sched/stack.h"

/* Two nodes of 8 cores: 8 workers each, every core with a cache of its own. */
#define TWO_NODES "pack:2 numa:1 core:8 pu:1"
/* Four packages of 4 cores of 2 units: units of a core share a cache. */
#define FOUR_PACKAGES "pack:4 numa:1 core:4 pu:2"
/* Two packages of two nodes of two L3 of two cores: all four distances. */
#define ALL_DISTANCES "pack:2 numa:2 l3:2 core:2 pu:1"

static void run_on(const char *machine, weft_fn *body)
{
    setenv("HWLOC_SYNTHETIC", machine, 1);
    run_in_runtime(body, .max_hogs = 0); /* who holds a worker here holds it */
}

/* The nearest worker at exactly that distance; -1: there is none. */
static int worker_at(unsigned from, enum weft__distance distance)
{
    const struct weft__topology *topology = &the_sched()->topology;

    for (unsigned i = 0; i < topology->n_workers; i++)
        if (i != from && weft__topology_distance(topology, from, i) == distance)
            return (int)i;
    return -1;
}

static unsigned n_workers(void)
{
    return the_sched()->n_workers;
}

static uint64_t sum_steals(enum weft__distance distance)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n_workers(); i++)
        sum += n_steals(i, distance);
    return sum;
}

static uint64_t sum_stolen(enum weft__distance distance)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n_workers(); i++)
        sum += n_stolen(i, distance);
    return sum;
}

/* The worker must run nothing but the process that drives the test, or it would
 * take part: who drives is stuck to it, and never waits but by weft_yield. */
static weft_fn *driver;

static weft_term drives(weft_term arg)
{
    driver(arg);
    for (unsigned i = 0; i < n_workers(); i++)
        atomic_store(&may_go[i], 1); /* whoever is held still, since a check failed */
    return arg;
}

static void drive_from(unsigned worker, weft_fn *body)
{
    weft_ref down;

    driver = body;
    down = weft_monitor(spawn_stuck_to(worker, drives, weft_int(worker)));
    check_term(await_down(down), A(normal));
}

/* Hold all but the driver's and up to three more (-1: none). */
static void hold_all_but(int a, int b, int c)
{
    for (int i = 0; i < (int)n_workers(); i++)
        if (i != worker_here() && i != a && i != b && i != c)
            hold((unsigned)i);
}

static void let_go_all_but(int a, int b, int c)
{
    for (int i = 0; i < (int)n_workers(); i++)
        if (i != worker_here() && i != a && i != b && i != c)
            let_go((unsigned)i);
}

/* -- work --------------------------------------------------------------------------------- */

/* Work is put somewhere by a process that then keeps its worker; so that worker
 * cannot do it, and what others do of it they have stolen. */
enum { WORK = 64, ORDER_MAX = 8192 };

static _Atomic int n_put, n_begun, n_done;
/* In which it was done; and until when that worker's node is kept from others. */
static struct { int origin, worker; int64_t abroad_ns; } order[ORDER_MAX];

static weft_term notes_where_it_runs(weft_term origin)
{
    int i = atomic_fetch_add(&n_begun, 1);

    if (i < ORDER_MAX) {
        order[i].origin = (int)weft_to_int(origin);
        order[i].worker = worker_here();
        order[i].abroad_ns = atomic_load(&the_sched()->workers[order[i].worker]->node->abroad_ns);
    }
    atomic_fetch_add(&n_done, 1);
    return origin;
}

static weft_term puts_work_and_keeps_its_worker(weft_term n)
{
    int here = worker_here();

    for (int64_t i = 0; i < weft_to_int(n); i++)
        weft_spawn(notes_where_it_runs, weft_int(here));
    atomic_fetch_add(&n_held, 1);
    atomic_fetch_add(&n_put, 1);
    keep_worker();
    return n;
}

/* A worker that is held is held by the new process from then on: in between it
 * finds that one in its own queue, and does not look elsewhere. */
static void put_work(unsigned worker, int n, bool is_held)
{
    int before = atomic_load(&n_put);

    spawn_stuck_to(worker, puts_work_and_keeps_its_worker, weft_int(n));
    if (is_held)
        atomic_store(&may_go[worker], 1);
    await_count(&n_put, before + 1);
}

/* -- the machines ------------------------------------------------------------------------- */

static weft_term looks_at_two_nodes(weft_term arg)
{
    struct weft__sched *sched = the_sched();

    check_int(sched->n_workers, 16);
    check_int(sched->n_nodes, 2);
    check(sched->topology.is_synthetic);
    for (unsigned i = 0; i < sched->n_workers; i++) {
        check_int(sched->workers[i]->node->index, i / 8);
        check_ptr(sched->workers[i]->cache->depot, sched->nodes[i / 8].depot);
        check_int(sched->workers[i]->stacks.node, i / 8);
    }
    check_int(worker_at(0, WEFT__DISTANCE_NODE), 1);
    check_int(worker_at(0, WEFT__DISTANCE_NEAR), 8); /* the only other node is the nearest */
    check_int(worker_at(0, WEFT__DISTANCE_FAR), -1);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(workers_have_the_caches_of_their_node)
{
    run_on(TWO_NODES, looks_at_two_nodes);
}

static weft_term looks_at_four_packages(weft_term arg)
{
    struct weft__sched *sched = the_sched();

    check_int(sched->n_workers, 32);
    check_int(sched->n_nodes, 4);
    for (unsigned i = 0; i < sched->n_workers; i++) {
        check_int(sched->workers[i]->node->index, i / 8);
        check_int(worker_at(i, WEFT__DISTANCE_CACHE), (int)i ^ 1); /* the other unit of its core */
    }
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(units_of_a_core_are_the_nearest)
{
    run_on(FOUR_PACKAGES, looks_at_four_packages);
}

/* -- each distance by itself ----------------------------------------------------------------- */

/* One free worker, at that distance from worker 0, which has work: it gets all
 * of it, counted at that distance and at no other. */
static void steal_at(enum weft__distance distance)
{
    int thief = worker_at(0, distance), done = atomic_load(&n_done);
    uint64_t steals[WEFT__DISTANCES], stolen[WEFT__DISTANCES];

    if (!check_gt(thief, 0))
        return;
    hold_all_but(0, thief, -1);
    for (enum weft__distance d = 0; d < WEFT__DISTANCES; d++)
        steals[d] = sum_steals(d), stolen[d] = sum_stolen(d);
    put_work(0, WORK, false);
    await_count(&n_done, done + WORK);
    for (enum weft__distance d = 0; d < WEFT__DISTANCES; d++) {
        if (d != distance) {
            check_uint(sum_steals(d), steals[d]);
            check_uint(sum_stolen(d), stolen[d]);
            continue;
        }
        check_ge(sum_stolen(d) - stolen[d], WORK);
        check_ge(sum_steals(d) - steals[d], 1);
        check_ge(n_stolen((unsigned)thief, d), WORK);
    }
    for (int i = done; i < done + WORK; i++)
        check_int(order[i].worker, thief);
    let_go(0);
    let_go_all_but(0, thief, -1);
}

static weft_term steals_at_each(weft_term arg)
{
    for (enum weft__distance d = 0; d < WEFT__DISTANCES; d++)
        steal_at(d);
    return arg;
}

static weft_term drives_steals_at_each(weft_term arg)
{
    drive_from(n_workers() - 2, steals_at_each); /* none of those that take part */
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(a_steal_counts_at_the_distance_of_its_victim)
{
    run_on(ALL_DISTANCES, drives_steals_at_each);
}

/* -- between nodes: not often ------------------------------------------------------------------ */

/* The node of the only free worker has just taken something elsewhere, as far
 * as can be seen: that worker leaves what is there, and says so, until the time
 * has come. Then it keeps the others of its node from it for a while. */
static weft_term waits_until_it_may_steal(weft_term arg)
{
    unsigned thief = (unsigned)worker_at(0, WEFT__DISTANCE_NEAR);
    struct weft__worker *worker = the_sched()->workers[thief];
    int done = atomic_load(&n_done);
    uint64_t refusals, stolen = sum_stolen(WEFT__DISTANCE_NEAR);
    int64_t until = now_ms() + BOUND_MS, before_ns;

    hold_all_but(0, (int)thief, -1);
    atomic_store(&worker->node->abroad_ns, INT64_MAX);
    put_work(0, WORK, false);
    refusals = atomic_load(&worker->counts.refusals);
    while (atomic_load(&worker->counts.refusals) < refusals + 10 && now_ms() < until)
        sched_yield();
    check_ge(atomic_load(&worker->counts.refusals), refusals + 10);
    check_int(atomic_load(&n_done), done);
    check_uint(sum_stolen(WEFT__DISTANCE_NEAR), stolen);
    before_ns = weft__clock_ns();
    atomic_store(&worker->node->abroad_ns, 0);
    await_count(&n_done, done + WORK);
    check_ge(sum_stolen(WEFT__DISTANCE_NEAR), stolen + WORK);
    for (int i = done; i < done + WORK; i++)
        check_ge(order[i].abroad_ns, before_ns + WEFT__ABROAD_GAP_NS);
    let_go(0);
    let_go_all_but(0, (int)thief, -1);
    return arg;
}

static weft_term drives_a_wait(weft_term arg)
{
    drive_from(n_workers() / 2 - 1, waits_until_it_may_steal); /* of the victim's node */
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(a_node_does_not_take_from_another_twice_within_a_moment)
{
    run_on(TWO_NODES, drives_a_wait);
}

static void await_all_asleep(void)
{
    int64_t until = now_ms() + BOUND_MS;

    while (atomic_load(&the_sched()->idle.n_asleep) < n_workers() && now_ms() < until)
        sched_yield();
    check_int(atomic_load(&the_sched()->idle.n_asleep), n_workers());
}

/* Two nodes of one worker each, which both sleep, the second one since later. What comes
 * from outside lies in the queue of the first node, and the second worker is called for it:
 * it goes on looking until it may take it, though nobody else is awake. */
TEST(who_is_called_for_work_of_another_node_looks_until_it_may_take_it)
{
    struct weft__worker *first, *second;
    uint64_t refusals;
    int64_t until;
    weft_ref down;

    setenv("HWLOC_SYNTHETIC", "pack:2 numa:1 core:1 pu:1", 1);
    check_int(weft_runtime_start(), 0);
    await_all_asleep();
    first = the_sched()->workers[0];
    second = the_sched()->workers[1];
    weft__idle_call(second);
    await_all_asleep();
    atomic_store(&second->node->abroad_ns, INT64_MAX);
    refusals = atomic_load(&second->counts.refusals);
    weft_spawn(notes_where_it_runs, weft_int(0), .monitor = &down);
    until = now_ms() + BOUND_MS;
    while (atomic_load(&second->counts.refusals) < refusals + 20 && now_ms() < until)
        sched_yield();
    check_ge(atomic_load(&second->counts.refusals), refusals + 20);
    check_int(atomic_load(&n_done), 0);
    atomic_store(&second->node->abroad_ns, 0);
    check_term(await_down(down), A(normal));
    check_int(order[0].worker, 1);
    check_int(atomic_load(&first->counts.runs), 0);
    runtime_down();
}

/* -- near before far ---------------------------------------------------------------------------- */

/* Two have work, one nearer to the thief than the other. Let loose, the thief
 * takes all that the nearer one has before anything of the other. */
static void steal_near_before(enum weft__distance near, enum weft__distance far)
{
    int near_victim = worker_at(0, near), far_victim = worker_at(0, far);
    int done = atomic_load(&n_done);

    if (!check_gt(near_victim, 0) || !check_gt(far_victim, 0))
        return;
    hold_all_but(-1, -1, -1);
    put_work((unsigned)far_victim, WORK, true);
    put_work((unsigned)near_victim, WORK, true);
    check_int(atomic_load(&n_done), done); /* nobody was free to take any */
    let_go(0);
    await_count(&n_done, done + 2 * WORK);
    for (int i = 0; i < 2 * WORK; i++) {
        check_int(order[done + i].worker, 0);
        check_int(order[done + i].origin, i < WORK ? near_victim : far_victim);
    }
    let_go_all_but(0, -1, -1);
}

static weft_term steals_near_before_far(weft_term arg)
{
    for (enum weft__distance near = 0; near < WEFT__DISTANCES; near++)
        for (enum weft__distance far = near + 1; far < WEFT__DISTANCES; far++)
            steal_near_before(near, far);
    return arg;
}

static weft_term drives_steals_near_before_far(weft_term arg)
{
    drive_from(n_workers() - 2, steals_near_before_far);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(a_thief_takes_from_the_nearest_as_long_as_that_has_something)
{
    run_on(ALL_DISTANCES, drives_steals_near_before_far);
}

/* -- a node that has enough to do ------------------------------------------------------------------ */

/* All work is on node 1, whose workers are free but for the driver's; those of
 * node 0 are held. So nobody has a reason to go to another node. */
static weft_term works_on_one_node(weft_term arg)
{
    unsigned half = n_workers() / 2;
    int n = 20 * WORK, done = atomic_load(&n_done);
    uint64_t runs[PLACES_MAX], within = sum_stolen(WEFT__DISTANCE_CACHE) + sum_stolen(WEFT__DISTANCE_NODE);
    uint64_t abroad;

    for (unsigned i = 0; i < half; i++)
        hold(i);
    abroad = sum_steals(WEFT__DISTANCE_NEAR) + sum_steals(WEFT__DISTANCE_FAR); /* before they were held */
    for (unsigned i = 0; i < half; i++)
        runs[i] = n_runs(i);
    for (int put = 0; put < n; put += WORK) {
        put_work(half, WORK, false);
        await_count(&n_done, done + put + WORK); /* by the others of the node */
        let_go(half);
    }
    for (unsigned i = 0; i < half; i++)
        check_uint(n_runs(i), runs[i]);
    check_uint(sum_steals(WEFT__DISTANCE_NEAR) + sum_steals(WEFT__DISTANCE_FAR), abroad);
    check_ge(sum_stolen(WEFT__DISTANCE_CACHE) + sum_stolen(WEFT__DISTANCE_NODE) - within, n);
    for (int i = done; i < done + n && i < ORDER_MAX; i++)
        check_gt(order[i].worker, (int)half);
    for (unsigned i = 0; i < half; i++)
        let_go(i);
    return arg;
}

static weft_term drives_one_node(weft_term arg)
{
    drive_from(n_workers() - 1, works_on_one_node);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(work_of_one_node_stays_there_while_the_others_are_busy)
{
    run_on(TWO_NODES, drives_one_node);
}

/* What a node's queue holds is its own workers' first: far ones look into it
 * when they have found nothing else. Sticky work is nobody else's ever. */
static weft_term stays_where_it_is(weft_term worker)
{
    for (int i = 0; i < 20; i++) {
        check_int(worker_here(), weft_to_int(worker));
        weft_yield();
    }
    atomic_fetch_add(&n_done, 1);
    return worker;
}

static weft_term spawns_what_stays(weft_term arg)
{
    uint64_t stolen[WEFT__DISTANCES];

    for (enum weft__distance d = 0; d < WEFT__DISTANCES; d++)
        stolen[d] = sum_stolen(d);
    for (int i = 0; i < 50; i++)
        for (unsigned w = 0; w < n_workers(); w++)
            spawn_stuck_to(w, stays_where_it_is, weft_int(w));
    await_count(&n_done, 50 * (int)n_workers());
    for (enum weft__distance d = 0; d < WEFT__DISTANCES; d++)
        check_uint(sum_stolen(d), stolen[d]);
    return arg;
}

static weft_term drives_what_stays(weft_term arg)
{
    drive_from(0, spawns_what_stays);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(sticky_processes_are_not_stolen_at_any_distance)
{
    run_on(FOUR_PACKAGES, drives_what_stays);
}

/* -- everybody ---------------------------------------------------------------------------------------- */

static _Atomic int n_arrived;

/* Waits, without weft, until as many as there are workers do. */
static weft_term waits_for_all(weft_term arg)
{
    int64_t until = now_ms() + BOUND_MS;

    atomic_fetch_add(&n_arrived, 1);
    while (atomic_load(&n_arrived) < (int)n_workers() && now_ms() < until)
        sched_yield();
    return arg;
}

/* As many that keep their worker as there are workers: each gets one, wherever
 * it is, since no other can run it. The caller waits in its mailbox. */
static weft_term fills_the_machine(weft_term arg)
{
    weft_ref downs[PLACES_MAX];

    for (unsigned i = 0; i < n_workers(); i++)
        weft_spawn(waits_for_all, A(nil), .monitor = &downs[i]);
    for (unsigned i = 0; i < n_workers(); i++)
        check_term(await_down(downs[i]), A(normal));
    check_int(atomic_load(&n_arrived), n_workers());
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(work_of_one_worker_reaches_every_worker_that_sleeps)
{
    bool is_good = true;

    for (int i = 0; i < scaled(40) && is_good; i++) {
        setenv("HWLOC_SYNTHETIC", i % 2 == 0 ? TWO_NODES : FOUR_PACKAGES, 1);
        check_int(weft_runtime_start(), 0);
        await_all_asleep();
        atomic_store(&n_arrived, 0);
        run_body(fills_the_machine);
        is_good = atomic_load(&n_arrived) == (int)n_workers();
        runtime_down();
    }
}

/* -- the counters ---------------------------------------------------------------------------------------- */

enum { N_COUNTED = 20000 };

static weft_term spawns_many(weft_term arg)
{
    int done = atomic_load(&n_done), n = scaled(N_COUNTED);
    uint64_t runs = 0, parks = 0;

    for (int i = 0; i < n; i++)
        weft_spawn(notes_where_it_runs, weft_int(0));
    await_count(&n_done, done + n);
    for (unsigned i = 0; i < n_workers(); i++) {
        runs += n_runs(i);
        parks += atomic_load(&the_sched()->workers[i]->counts.parks);
        for (enum weft__distance d = 0; d < WEFT__DISTANCES; d++) {
            check_ge(n_stolen(i, d), n_steals(i, d)); /* at least one fiber each */
            if (worker_at(i, d) < 0)
                check_uint(n_steals(i, d), 0); /* nobody is there */
        }
    }
    check_ge(runs, n); /* each once, and who waited for them */
    check_ge(n_runs((unsigned)worker_here()), 1);
    diag("%d processes: %ju runs, stolen %ju/%ju/%ju/%ju in %ju/%ju/%ju/%ju steals, %ju parks", n, (uintmax_t)runs,
         sum_stolen(0), sum_stolen(1), sum_stolen(2), sum_stolen(3), sum_steals(0), sum_steals(1), sum_steals(2),
         sum_steals(3), (uintmax_t)parks);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(the_counters_add_up)
{
    run_on(ALL_DISTANCES, spawns_many);
    run_on(FOUR_PACKAGES, spawns_many);
}

/* -- memory ------------------------------------------------------------------------------------------------- */

#ifndef WEFT_ASAN
static size_t cut_of(unsigned node)
{
    struct weft__depot_stats stats;

    weft__depot_stats(the_sched()->nodes[node].depot, &stats);
    return stats.cut;
}

static _Atomic int stack_node;

/* Needs more than its worker's cache may have in stock. */
static weft_term takes_memory(weft_term arg)
{
    for (int i = 0; i < 4096; i++)
        memset(weft_alloc(1000), 1, 1000);
    atomic_store(&stack_node, weft__here()->stack->node);
    atomic_fetch_add(&n_done, 1);
    return arg;
}

static weft_term takes_memory_on_each_node(weft_term arg)
{
    unsigned per_node = n_workers() / the_sched()->n_nodes;

    for (unsigned node = 0; node < the_sched()->n_nodes; node++) {
        size_t before[4];

        for (unsigned i = 0; i < the_sched()->n_nodes; i++)
            before[i] = cut_of(i);
        await_end(spawn_stuck_to(node * per_node + 1, takes_memory, A(nil)));
        for (unsigned i = 0; i < the_sched()->n_nodes; i++) {
            if (i == node)
                check_gt(cut_of(i) - before[i], 4096 * 500);
            else
                check_lt(cut_of(i) - before[i], 4096 * 50); /* the caller's own few */
        }
        check_int(atomic_load(&stack_node), node);
    }
    return weft_is_none(arg) ? A(ok) : arg;
}
#endif

TEST(the_memory_of_a_process_comes_from_the_node_it_runs_on)
{
#ifdef WEFT_ASAN
    skip("with the sanitizer all memory is malloc's");
#else
    run_on(FOUR_PACKAGES, takes_memory_on_each_node);
#endif
}

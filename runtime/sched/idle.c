/* idle.c - workers without work: search, sleep, and be woken in time.
 *
 * A worker that finds nothing of its own becomes a searcher, as long as fewer
 * than half of the workers are; it looks through the others' queues, nearest
 * first, a few times, and through those of other nodes only when no worker of
 * its own node took anything there just before. Then it goes to the list of
 * sleepers and sleeps on its futex, or, one of them, in the poller, until it is
 * called or its next timer is due.
 *
 * No lost wake-up. Work is pushed by P and S goes to sleep:
 *
 *   P1  put the fiber in a queue           S1  n_searching - 1, if it was one
 *   P2  full fence                         S2  enter the sleepers, n_asleep + 1
 *   P3  read n_asleep and n_searching:     S3  full fence
 *       wake one if some sleep and         S4  look at every queue again; work:
 *       nobody searches                        leave the sleepers
 *
 *   Either P3 sees S2, or S4 sees P1: the fences order one before the other. P3
 *   may see S2 and still wake nobody because a searcher T is counted. T has not
 *   done its own S1 then as P sees it, so T's S4 comes after P1: T finds the
 *   work or somebody has taken it. A searcher that finds work and is the last
 *   one looks at P3 itself, since pushes may have relied on it.
 *
 * A waker counts the one it wakes as searching before that one runs, so that a
 * burst of pushes wakes one worker, who wakes the next when it finds work.
 *
 * A fiber that gives way is pushed with P3 and no P2 (worker.c, requeue): a
 * sleeper may miss it. Its worker does P2 and P3 for it within WEFT__TICKS runs,
 * at its look around; or it has run it by then.
 *
 * Run-next is not in this: its worker runs it next. A thief takes it only on
 * its last pass and only from a worker that has not moved on since the first,
 * so that two processes that play ping-pong are not torn apart.
 *
 * Raids that do not pay. A stolen fiber's memory comes over line by line, both
 * ways, some 100 ns each; processes that live for 50 ns cost more to carry off
 * than to run. Nothing tells beforehand, so a thief looks at its watch: what it
 * took, some fibers, kept it busy for how long, all they started included? Less
 * than WEFT__LOOT_NS for each, and it naps before the next raid, twice as long
 * each time, and takes fewer. Fibers that run for a moment each time talk to others:
 * to those they came with, then they stay; or to those they were torn from, as the
 * clients of one server are, and then each run has waited for lines of the other
 * worker's, and so has the other. So they must stay longer to have been worth it,
 * WEFT__TALK_LOOT_NS. One raid that pays, and it is as quick as ever.
 * A napping worker is neither asleep nor searching: pushes do not wake it, and
 * it misses nothing, since it goes through all of the above once it is awake.
 * Work that those who are awake may not come to (a late run's queue, what a
 * foreign thread brings) calls it.
 *
 * Who sleeps alone: when all others sleep and no node's queue holds anything,
 * nobody is there to steal from or to be stolen from, so a worker does not
 * search. (Where one does it must: it will not sleep while there is work.) And it does not wake for each of
 * many timers: after it has slept until a timer was due, the next such wake is
 * WEFT__TIMER_GAP_NS later at the earliest, and fires all that came due meanwhile.
 * A timer that is due after more than the gap is not put off.
 *
 * An idle runtime sleeps with no time-out and makes no system call.
 *
 * Ideas: Go's proc.go (spinning Ms, the same fences); tokio's idle.rs.
 */
#include "base/clock.h"
#include "base/here.h"
#include "sched/sched.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WEFT__SEARCH_PASSES 4
#define WEFT__SEARCH_PAUSES 200 /* between two passes: some 5 us */

#define WEFT__LOOT_NS 1000      /* a fiber must bring as much work to be worth it */
#define WEFT__TALK_NS 500       /* whose runs are shorter than this on average, talks, and must */
#define WEFT__TALK_LOOT_NS 20000 /* bring as much: 64 clients of a server stay for 1,000 to 10,000 */
#define WEFT__LOOT_ENOUGH 8     /* fibers to judge by: short ones come between long ones */
#define WEFT__LOOT_MIN 2        /* in a raid that is not likely to pay */
#define WEFT__NAP_NS (50 * WEFT__NS_PER_US)
#define WEFT__NAP_MAX_NS (1 * WEFT__NS_PER_MS)
#define WEFT__NAPS_VAIN 8       /* after so many that brought nothing, sleep */

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* -- the futex -------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / WEFT__NS_PER_S, timeout_ns % WEFT__NS_PER_S};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* -- looking ------------------------------------------------------------------------- */

static bool a_nodes_queue_has_work(const struct weft__sched *sched)
{
    for (uint32_t i = 0; i < sched->n_nodes; i++)
        if (weft__overflow_size(&sched->nodes[i].overflow) > 0)
            return true;
    return false;
}

static bool somewhere_is_work(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;

    for (uint32_t i = 0; i < sched->n_workers; i++)
        if (weft__runq_rings_have_work(&sched->workers[i]->queue))
            return true;
    return a_nodes_queue_has_work(sched) || weft__runq_has_sticky(&worker->queue) ||
           atomic_load_explicit(&sched->stopping, memory_order_relaxed);
}

static inline uint64_t n_runs(const struct weft__worker *worker)
{
    return atomic_load_explicit(&worker->counts.runs, memory_order_relaxed); /* relaxed: its own */
}

static void count_steal(struct weft__worker *worker, enum weft__distance distance, uint32_t n)
{
    if (worker->loot.n == 0) {
        worker->loot.began_ns = weft__clock_ns();
        worker->loot.began_runs = n_runs(worker);
    }
    worker->loot.n += n;
    atomic_fetch_add_explicit(&worker->counts.steals[distance], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->counts.stolen[distance], n, memory_order_relaxed);
}

/* One worker of a node at a time looks at other nodes, and not soon after the
 * last one that found something there. The time until which the others are kept
 * from it, or 0: not now. */
static int64_t go_abroad(struct weft__worker *worker)
{
    _Atomic int64_t *abroad_ns = &worker->node->abroad_ns;
    int64_t now_ns = weft__clock_ns(), next_ns = atomic_load_explicit(abroad_ns, memory_order_relaxed);

    /* Relaxed: it orders nothing but itself. */
    if (now_ns >= next_ns &&
        atomic_compare_exchange_strong_explicit(abroad_ns, &next_ns, now_ns + WEFT__ABROAD_GAP_NS,
                                                memory_order_relaxed, memory_order_relaxed))
        return now_ns + WEFT__ABROAD_GAP_NS;
    atomic_fetch_add_explicit(&worker->counts.refusals, 1, memory_order_relaxed);
    return 0;
}

/* It found nothing there: the next one may look at once. */
static void come_back(struct weft__worker *worker, int64_t until_ns)
{
    atomic_compare_exchange_strong_explicit(&worker->node->abroad_ns, &until_ns, 0, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* From the workers at that distance, beginning with one by chance. */
static struct weft__fiber *steal_at(struct weft__worker *worker, enum weft__distance distance, bool is_last,
                                    const uint64_t *runs_before)
{
    struct weft__sched *sched = worker->sched;
    const struct weft__topology *topology = &sched->topology;
    const uint16_t *victims = weft__topology_victims(topology, worker->index);
    uint32_t begin = distance > 0 ? weft__topology_ring_end(topology, worker->index, distance - 1) : 0;
    uint32_t n = weft__topology_ring_end(topology, worker->index, distance) - begin;
    uint32_t first = weft__rand_below(&worker->rand, n);

    for (uint32_t i = 0; i < n; i++) {
        struct weft__worker *victim = sched->workers[victims[begin + (first + i) % n]];
        bool stands_still = is_last && runs_before[victim->index] ==
                                           atomic_load_explicit(&victim->counts.runs, memory_order_relaxed);
        struct weft__fiber *fiber =
            weft__runq_steal(&victim->queue, &worker->queue, worker->loot.max, stands_still);

        if (fiber != NULL) {
            count_steal(worker, distance, 1 + weft__runq_size(&worker->queue));
            return fiber;
        }
    }
    return NULL;
}

static struct weft__fiber *steal_from_queue(struct weft__worker *worker, uint32_t node)
{
    struct weft__sched *sched = worker->sched;
    struct weft__fiber *fiber = weft__runq_refill(&worker->queue, &sched->nodes[node].overflow, 16);
    uint32_t at = 0;

    if (fiber == NULL)
        return NULL;
    while (weft__topology_node_of(&sched->topology, at) != node)
        at++;
    count_steal(worker, weft__topology_distance(&sched->topology, worker->index, at),
                1 + weft__runq_size(&worker->queue));
    return fiber;
}

static struct weft__fiber *steal_abroad(struct weft__worker *worker, bool is_last, const uint64_t *runs_before)
{
    struct weft__fiber *fiber = NULL;
    int64_t until_ns = go_abroad(worker);

    if (until_ns == 0)
        return NULL;
    for (enum weft__distance d = WEFT__DISTANCE_NEAR; d < WEFT__DISTANCES && fiber == NULL; d++)
        fiber = steal_at(worker, d, is_last, runs_before);
    /* The other nodes' queues, once their own workers had their chance. */
    for (uint32_t i = 0; i < worker->sched->n_nodes && is_last && fiber == NULL; i++)
        if (i != worker->node->index)
            fiber = steal_from_queue(worker, i);
    if (fiber == NULL)
        come_back(worker, until_ns);
    return fiber;
}

/* One pass over the others, nearest first. */
static struct weft__fiber *steal_pass(struct weft__worker *worker, bool is_last, const uint64_t *runs_before)
{
    struct weft__fiber *fiber = NULL;

    for (enum weft__distance d = 0; d < WEFT__DISTANCE_NEAR && fiber == NULL; d++)
        fiber = steal_at(worker, d, is_last, runs_before);
    if (fiber == NULL && worker->sched->n_nodes > 1)
        fiber = steal_abroad(worker, is_last, runs_before);
    return fiber;
}

static struct weft__fiber *search(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;
    uint64_t runs[sched->n_workers];

    for (uint32_t i = 0; i < sched->n_workers; i++)
        runs[i] = atomic_load_explicit(&sched->workers[i]->counts.runs, memory_order_relaxed);
    for (int pass = 1; pass <= WEFT__SEARCH_PASSES; pass++) {
        struct weft__fiber *fiber = steal_pass(worker, pass == WEFT__SEARCH_PASSES, runs);

        if (fiber != NULL)
            return fiber;
        for (int i = 0; i < WEFT__SEARCH_PAUSES && pass < WEFT__SEARCH_PASSES; i++)
            relax();
        weft__worker_turn_timers(worker);
        fiber = weft__runq_pop(&worker->queue);
        if (fiber == NULL)
            fiber = weft__runq_refill(&worker->queue, &worker->node->overflow, 16);
        if (fiber != NULL)
            return fiber;
    }
    return NULL;
}

/* -- searchers -------------------------------------------------------------------------- */

/* All others sleep, so their rings are empty; and so is what nobody's ring holds. That of
 * another node may be this worker's to take, though it was called and kept from it then. */
static bool is_alone(const struct weft__sched *sched)
{
    /* Relaxed: who is missed here looks for work itself when it wakes. */
    return atomic_load_explicit(&sched->idle.n_asleep, memory_order_relaxed) +
                   atomic_load_explicit(&sched->idle.n_napping, memory_order_relaxed) + 1 >=
               sched->n_workers &&
           !a_nodes_queue_has_work(sched);
}

static void begin_search(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;

    if (worker->is_searching)
        return; /* its waker has counted it */
    /* Relaxed: too many or too few searchers is no error. */
    if (2 * atomic_load_explicit(&sched->idle.n_searching, memory_order_relaxed) >= sched->n_workers)
        return;
    /* Seq_cst: in one order with the fences of P2 and S3. */
    atomic_fetch_add_explicit(&sched->idle.n_searching, 1, memory_order_seq_cst);
    worker->is_searching = true;
}

/* true when it was the last one. */
static bool end_search(struct weft__worker *worker)
{
    if (!worker->is_searching)
        return false;
    worker->is_searching = false;
    return atomic_fetch_sub_explicit(&worker->sched->idle.n_searching, 1, memory_order_seq_cst) == 1;
}

void weft__idle_found(struct weft__worker *worker)
{
    /* The last searcher calls the next: pushes may have relied on it. */
    if (end_search(worker))
        weft__idle_notify(worker->sched);
}

/* -- sleepers ------------------------------------------------------------------------------ */

static void enter_sleepers(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;

    weft__spin_acquire(&sched->idle.lock);
    atomic_store_explicit(&worker->rest, WEFT__ASLEEP, memory_order_relaxed);
    worker->next_asleep = sched->idle.asleep;
    sched->idle.asleep = worker;
    worker->is_polling = !sched->idle.has_poller && weft__poll_n_waiting(sched->poll) > 0;
    if (worker->is_polling)
        sched->idle.has_poller = true;
    atomic_fetch_add_explicit(&sched->idle.n_asleep, 1, memory_order_seq_cst);
    weft__spin_release(&sched->idle.lock);
    atomic_thread_fence(memory_order_seq_cst); /* S3 */
}

/* Take a worker out of its list, if it is there. Under the lock. */
static bool unlist(struct weft__sched *sched, struct weft__worker *worker)
{
    struct weft__worker **at = worker->is_napping ? &sched->idle.napping : &sched->idle.asleep;

    while (*at != NULL && *at != worker)
        at = &(*at)->next_asleep;
    if (*at == NULL)
        return false;
    *at = worker->next_asleep;
    atomic_fetch_sub_explicit(worker->is_napping ? &sched->idle.n_napping : &sched->idle.n_asleep, 1,
                              memory_order_relaxed);
    return true;
}

static void leave_sleepers(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;

    weft__spin_acquire(&sched->idle.lock);
    /* Not there any more: a waker took it out and counted it as a searcher. */
    if (!unlist(sched, worker))
        worker->is_searching = atomic_load_explicit(&worker->rest, memory_order_relaxed) == WEFT__CALLED;
    worker->is_napping = false;
    if (worker->is_polling) {
        worker->is_polling = false;
        sched->idle.has_poller = false;
    }
    atomic_store_explicit(&worker->rest, WEFT__AWAKE, memory_order_relaxed);
    weft__spin_release(&sched->idle.lock);
}

/* When to wake for timers: 0 when not to sleep, INT64_MAX when not to wake. */
static int64_t wake_time(const struct weft__worker *worker)
{
    int64_t when_ns = weft__wheel_next(&worker->wheel);

    if (when_ns != 0 && when_ns < worker->woke_ns + WEFT__TIMER_GAP_NS)
        when_ns = worker->woke_ns + WEFT__TIMER_GAP_NS;
    return when_ns;
}

/* false: it was time already. */
static bool sleep_until(struct weft__worker *worker, int64_t when_ns)
{
    int64_t timeout_ns = -1;

    if (when_ns != INT64_MAX) {
        timeout_ns = when_ns - weft__clock_ns();
        if (timeout_ns <= 0)
            return false;
    }
    atomic_fetch_add_explicit(&worker->counts.parks, 1, memory_order_relaxed);
    if (worker->is_polling)
        weft__poll_wait(worker->sched->poll, timeout_ns);
    else
        futex_wait(&worker->rest, WEFT__ASLEEP, timeout_ns);
    return true;
}

/* Until called, or until it is time for timers. */
static void sleep_long(struct weft__worker *worker)
{
    int64_t when_ns = wake_time(worker), now_ns;

    if (!sleep_until(worker, when_ns) || when_ns == INT64_MAX)
        return;
    now_ns = weft__clock_ns();
    if (now_ns >= when_ns)
        worker->woke_ns = now_ns;
}

/* -- raids that do not pay -------------------------------------------------------------------- */

/* Has nothing left of what it took: was it worth it? */
static void weigh_loot(struct weft__worker *worker)
{
    struct weft__loot *loot = &worker->loot;
    int64_t each_ns;
    bool talks;

    if (loot->n == 0)
        return;
    loot->busy_ns += weft__clock_ns() - loot->began_ns;
    loot->n_runs += n_runs(worker) - loot->began_runs;
    loot->n_before += loot->n;
    loot->n = 0;
    loot->n_vain = 0;
    if (loot->n_before < WEFT__LOOT_ENOUGH)
        return;
    each_ns = loot->busy_ns / loot->n_before;
    talks = loot->busy_ns < (int64_t)loot->n_runs * WEFT__TALK_NS;
    loot->busy_ns = 0;
    loot->n_runs = 0;
    loot->n_before = 0;
    if (each_ns >= (talks ? WEFT__TALK_LOOT_NS : WEFT__LOOT_NS)) {
        loot->nap_ns = 0;
        loot->max = UINT32_MAX;
        return;
    }
    loot->max = WEFT__LOOT_MIN;
    loot->nap_ns = loot->nap_ns == 0 ? WEFT__NAP_NS : 2 * loot->nap_ns;
    if (loot->nap_ns > WEFT__NAP_MAX_NS)
        loot->nap_ns = WEFT__NAP_MAX_NS;
}

static void enter_nap(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;

    weft__spin_acquire(&sched->idle.lock);
    worker->is_napping = true;
    atomic_store_explicit(&worker->rest, WEFT__ASLEEP, memory_order_relaxed);
    worker->next_asleep = sched->idle.napping;
    sched->idle.napping = worker;
    atomic_fetch_add_explicit(&sched->idle.n_napping, 1, memory_order_seq_cst);
    weft__spin_release(&sched->idle.lock);
    atomic_thread_fence(memory_order_seq_cst); /* as S3, for those who call this one */
}

/* Before the next raid. What this worker alone can run calls it. */
static void nap(struct weft__worker *worker)
{
    int64_t now_ns = weft__clock_ns(), until_ns = now_ns + worker->loot.nap_ns;
    int64_t timer_ns = weft__wheel_next(&worker->wheel);

    if (++worker->loot.n_vain >= WEFT__NAPS_VAIN)
        worker->loot.nap_ns = 0; /* the next wait is a sleep */
    enter_nap(worker);
    if (!weft__runq_has_sticky(&worker->queue) &&
        !atomic_load_explicit(&worker->sched->stopping, memory_order_relaxed))
        sleep_until(worker, timer_ns < until_ns ? timer_ns : until_ns);
    leave_sleepers(worker);
}

struct weft__fiber *weft__idle_wait(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;
    struct weft__fiber *fiber;

    weigh_loot(worker);
    if (worker->loot.nap_ns > 0 && !worker->is_searching)
        nap(worker);
    weft__worker_turn_timers(worker);
    if (weft__poll_n_waiting(sched->poll) > 0)
        weft__poll_wait(sched->poll, 0);
    fiber = weft__runq_pop(&worker->queue);
    if (fiber == NULL && sched->n_workers > 1) {
        if (!is_alone(sched))
            begin_search(worker);
        if (worker->is_searching)
            fiber = search(worker);
    }
    if (fiber != NULL)
        return fiber; /* weft__idle_found ends the search */
    end_search(worker);
    if (worker->loot.nap_ns > 0)
        return NULL; /* another nap */

    enter_sleepers(worker);
    /* Timers that were set since are fresh: wheel_next is 0, and no sleep. */
    if (!somewhere_is_work(worker))
        sleep_long(worker);
    leave_sleepers(worker);
    weft__watchdog_wake(sched);
    return NULL;
}

/* -- wakers --------------------------------------------------------------------------------- */

/* Out of the list; lock held. */
static void call_locked(struct weft__sched *sched, struct weft__worker *worker)
{
    bool is_polling = worker->is_polling;

    unlist(sched, worker);
    atomic_store_explicit(&worker->rest, WEFT__CALLED, memory_order_relaxed);
    weft__spin_release(&sched->idle.lock);
    if (is_polling)
        weft__poll_wake(sched->poll);
    else
        futex_wake(&worker->rest);
}

/* One of the list becomes the searcher, unless there is one. */
static void wake_one(struct weft__sched *sched, struct weft__worker *const *list)
{
    uint32_t nobody = 0;

    if (!atomic_compare_exchange_strong_explicit(&sched->idle.n_searching, &nobody, 1,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return;
    weft__spin_acquire(&sched->idle.lock);
    if (*list == NULL) {
        weft__spin_release(&sched->idle.lock);
        /* They woke by themselves and look around now. */
        atomic_fetch_sub_explicit(&sched->idle.n_searching, 1, memory_order_seq_cst);
        return;
    }
    call_locked(sched, *list);
}

void weft__idle_notify(struct weft__sched *sched)
{
    atomic_thread_fence(memory_order_seq_cst); /* P2 */
    /* Relaxed: ordered by the fence. */
    if (atomic_load_explicit(&sched->idle.n_asleep, memory_order_relaxed) != 0 &&
        atomic_load_explicit(&sched->idle.n_searching, memory_order_relaxed) == 0)
        wake_one(sched, &sched->idle.asleep);
}

void weft__idle_notify_late(struct weft__sched *sched)
{
    weft__idle_notify(sched);
    /* Relaxed: after notify's fence. */
    if (atomic_load_explicit(&sched->idle.n_asleep, memory_order_relaxed) == 0 &&
        atomic_load_explicit(&sched->idle.n_napping, memory_order_relaxed) != 0 &&
        atomic_load_explicit(&sched->idle.n_searching, memory_order_relaxed) == 0)
        wake_one(sched, &sched->idle.napping);
}

void weft__idle_call(struct weft__worker *worker)
{
    struct weft__sched *sched = worker->sched;

    atomic_thread_fence(memory_order_seq_cst); /* P2; S4 looks at the sticky inbox */
    weft__spin_acquire(&sched->idle.lock);
    if (atomic_load_explicit(&worker->rest, memory_order_relaxed) != WEFT__ASLEEP) {
        weft__spin_release(&sched->idle.lock);
        return;
    }
    atomic_fetch_add_explicit(&sched->idle.n_searching, 1, memory_order_seq_cst);
    call_locked(sched, worker);
}

void weft__idle_notify_all(struct weft__sched *sched)
{
    for (uint32_t i = 0; i < sched->n_workers; i++)
        weft__idle_call(sched->workers[i]);
}

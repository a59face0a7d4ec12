/* watchdog.c - a thread that looks after workers that are late.
 *
 * A worker that runs one fiber for long does not look around. So once a tick,
 * while anybody is awake, this thread
 *   - fires the timers of workers that are late with them,
 *   - polls descriptors when nobody has,
 *   - notes which run has lasted a whole tick: weft_checkpoint gives way then,
 *     and thieves may take what waits in that worker's run-next,
 *   - wakes a sleeper when such a worker has fibers waiting,
 *   - takes the worker away from its thread in the end (hog.c),
 *   - tells the time, roughly, to those who park.
 *
 * When everybody sleeps it ticks ever more slowly for about a second, then
 * sleeps itself: an idle runtime makes no system call. Workers wake it when
 * they wake.
 *
 *     word  0 asleep   1 awake   2 to end
 */
#include "base/clock.h"
#include "base/here.h"
#include "sched/hog.h"
#include "sched/sched.h"
#include "weft/error.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ASLEEP, AWAKE, TO_END };

#define WEFT__TICK_NS (1 * WEFT__NS_PER_MS)
#define WEFT__MOMENT_NS (100 * INT64_C(1000)) /* for a checkpoint that is due */
#define WEFT__TICK_MAX_NS (64 * WEFT__NS_PER_MS)
#define WEFT__QUIET_NS WEFT__NS_PER_S
#define WEFT__HELP_BATCH 64 /* timers fired under one hold of a worker's lock, which it may want */

static void wait_word(_Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / WEFT__NS_PER_S, timeout_ns % WEFT__NS_PER_S};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
}

/* A run has lasted a tick. It may be over by now: whoever is told looks again. true: its
 * slot is wanted. */
static bool tell_of_long_run(struct weft__worker *worker, uint64_t run)
{
    const struct weft__sched_hooks *hooks = worker->sched->hooks;
    /* Acquire, with the release in carry(). A carrier lives until the watchdog
     * has ended. */
    struct weft__carrier *carrier = atomic_load_explicit(&worker->carrier, memory_order_acquire);
    struct weft__fiber *fiber = atomic_load_explicit(&worker->ran[run % WEFT__WORKER_RAN], memory_order_relaxed);

    return hooks != NULL && hooks->runs_long != NULL && carrier != NULL && fiber != NULL &&
           hooks->runs_long(carrier, fiber);
}

static void fire_late(struct weft__worker *worker, int64_t now_ns)
{
    while (weft__wheel_help(&worker->wheel, now_ns, WEFT__HELP_BATCH) == WEFT__HELP_BATCH)
        continue;
}

static void tell_of_blocking(struct weft__sched *sched)
{
    for (struct weft__carrier *carrier = sched->carriers.all; carrier != NULL; carrier = carrier->next_all) {
        struct weft__fiber *fiber = atomic_load_explicit(&carrier->blocking, memory_order_relaxed);

        if (fiber != NULL)
            sched->hooks->blocks(carrier, fiber);
    }
}

/* Those without a slot may have been killed meanwhile. In so many ns tick again, even if
 * all workers sleep; 0: no need. */
static int64_t tell_of_slotless(struct weft__sched *sched)
{
    const struct weft__sched_hooks *hooks = sched->hooks;

    if (hooks == NULL || hooks->runs_long == NULL)
        return 0;
    /* Under the lock the thread cannot end. */
    pthread_mutex_lock(&sched->carriers.lock);
    for (struct weft__carrier *carrier = sched->hogs.list; carrier != NULL; carrier = carrier->next_hog)
        hooks->runs_long(carrier, carrier->hog);
    if (hooks->blocks != NULL && sched->carriers.n_blocking > 0)
        tell_of_blocking(sched);
    pthread_mutex_unlock(&sched->carriers.lock);
    return hooks->tick != NULL ? hooks->tick(sched) : 0;
}

/* true: it ought to give way now; look again in a moment. */
static bool look_at(struct weft__worker *worker, int64_t now_ns)
{
    bool was_due = atomic_load_explicit(&worker->due_run, memory_order_relaxed) == worker->watch.runs;
    uint64_t runs = atomic_load_explicit(&worker->counts.runs, memory_order_relaxed);

    if (weft__wheel_due(&worker->wheel) < now_ns - WEFT__TICK_NS / 2)
        fire_late(worker, now_ns);
    if (runs != worker->watch.runs || worker->watch.since_ns == 0) {
        worker->watch.runs = runs;
        weft__hog_begin(worker, now_ns);
        return false;
    }
    /* Relaxed: a hint for the worker and for thieves. */
    atomic_store_explicit(&worker->due_run, runs, memory_order_relaxed);
    if (!weft__runq_is_empty(&worker->queue))
        weft__idle_notify_late(worker->sched);
    weft__hog_watch(worker, now_ns, was_due, tell_of_long_run(worker, runs));
    return !was_due;
}

static bool tick(struct weft__sched *sched)
{
    int64_t now_ns = weft__clock_ns();
    bool is_one_due = false;

    for (uint32_t i = 0; i < sched->n_workers; i++)
        if (atomic_load_explicit(&sched->workers[i]->rest, memory_order_relaxed) == WEFT__AWAKE)
            is_one_due |= look_at(sched->workers[i], now_ns);
    if (!sched->idle.has_poller && weft__poll_n_waiting(sched->poll) > 0)
        weft__poll_wait(sched->poll, 0);
    return is_one_due;
}

static bool all_asleep(struct weft__sched *sched)
{
    return atomic_load_explicit(&sched->idle.n_asleep, memory_order_seq_cst) == sched->n_workers;
}

/* Nothing for a second: sleep until a worker wakes. */
static void sleep_deep(struct weft__sched *sched)
{
    _Atomic uint32_t *word = &sched->watchdog.word;
    uint32_t awake = AWAKE;

    /* Seq_cst: say "asleep", then look whether somebody woke, or was killed on a
     * thread without a slot; a worker, and who kills, do the two the other way round
     * (weft__watchdog_wake). */
    if (!atomic_compare_exchange_strong_explicit(word, &awake, ASLEEP, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return;
    if (all_asleep(sched) && tell_of_slotless(sched) == 0)
        wait_word(word, ASLEEP, -1);
    awake = ASLEEP;
    atomic_compare_exchange_strong_explicit(word, &awake, AWAKE, memory_order_seq_cst,
                                            memory_order_relaxed);
}

static void tell_time(struct weft__sched *sched)
{
    uint32_t moment = (uint32_t)(weft__clock_ns() / WEFT__COARSE_NS);

    /* Relaxed, both: a figure. Others read the line, so it is written seldom. */
    if (atomic_load_explicit(&sched->watchdog.moment, memory_order_relaxed) != moment)
        atomic_store_explicit(&sched->watchdog.moment, moment, memory_order_relaxed);
}

int64_t weft__sched_since_ns(uint32_t moment)
{
    uint32_t now = (uint32_t)(weft__clock_ns() / WEFT__COARSE_NS);

    return (int64_t)(uint32_t)(now - moment) * WEFT__COARSE_NS;
}

static int64_t bounded(int64_t period_ns)
{
    return period_ns < WEFT__TICK_NS ? WEFT__TICK_NS : period_ns < WEFT__TICK_MAX_NS ? period_ns : WEFT__TICK_MAX_NS;
}

static void *watchdog_main(void *arg)
{
    struct weft__sched *sched = arg;
    _Atomic uint32_t *word = &sched->watchdog.word;
    int64_t period_ns = WEFT__TICK_NS, quiet_ns = 0, again_ns;
    bool is_soon;

    pthread_setname_np(pthread_self(), "weft-watchdog");
    while (atomic_load_explicit(word, memory_order_acquire) != TO_END) {
        wait_word(word, AWAKE, period_ns);
        weft__carriers_bury(sched);
        is_soon = weft__hogs_settle(sched);
        again_ns = tell_of_slotless(sched);
        tell_time(sched);
        if (!all_asleep(sched)) {
            is_soon |= tick(sched);
            period_ns = is_soon ? WEFT__MOMENT_NS : WEFT__TICK_NS;
            quiet_ns = 0;
            continue;
        }
        if (again_ns > 0) {
            period_ns = bounded(again_ns);
            quiet_ns = 0;
            continue;
        }
        quiet_ns += period_ns;
        if (period_ns < WEFT__TICK_MAX_NS)
            period_ns *= 2;
        if (quiet_ns >= WEFT__QUIET_NS) {
            sleep_deep(sched);
            period_ns = WEFT__TICK_NS;
            quiet_ns = 0;
        }
    }
    weft__hogs_end(sched);
    while (sched->hooks != NULL && sched->hooks->tick != NULL && sched->hooks->tick(sched) != 0)
        sched_yield();
    return NULL;
}

void weft__watchdog_wake(struct weft__sched *sched)
{
    _Atomic uint32_t *word = &sched->watchdog.word;
    uint32_t asleep = ASLEEP;

    /* Seq_cst, after n_asleep was lowered: see sleep_deep. */
    if (atomic_load_explicit(word, memory_order_seq_cst) != ASLEEP)
        return;
    if (atomic_compare_exchange_strong_explicit(word, &asleep, AWAKE, memory_order_seq_cst,
                                                memory_order_relaxed)) {
        tell_time(sched);
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

int weft__watchdog_start(struct weft__sched *sched)
{
    sigset_t all, before;
    int failed;

    atomic_init(&sched->watchdog.word, AWAKE);
    tell_time(sched);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&sched->watchdog.thread, NULL, watchdog_main, sched);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sched->watchdog.has_thread = !failed;
    return -failed;
}

void weft__watchdog_stop(struct weft__sched *sched)
{
    if (!sched->watchdog.has_thread)
        return;
    atomic_store_explicit(&sched->watchdog.word, TO_END, memory_order_release);
    syscall(SYS_futex, &sched->watchdog.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(sched->watchdog.thread, NULL);
    sched->watchdog.has_thread = false;
}

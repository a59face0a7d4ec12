/* sched.h - the scheduler: its workers, and what they share.
 *
 * Nouns. A worker is a slot: a run queue, timers, caches. A carrier is a kernel
 * thread; it carries one worker, or none (a spare, or inside a blocking call).
 * A fiber is what workers run. A node is memory that some workers are near to.
 *
 * Files: worker.c the loop; idle.c sleep and wake; carrier.c kernel threads and
 * blocking calls; watchdog.c the thread that looks after late ones; sched.c
 * start and stop.
 */
#ifndef WEFT_SCHED_SCHED_H
#define WEFT_SCHED_SCHED_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/here.h"
#include "base/rand.h"
#include "base/slab.h"
#include "base/spin.h"
#include "sched/fiber.h"
#include "sched/hog.h"
#include "sched/poll.h"
#include "sched/runq.h"
#include "sched/stack.h"
#include "sched/topology.h"
#include "sched/wheel.h"

#define WEFT__CACHE_LINE 64
#define WEFT__WORKER_RAN 16      /* fibers a worker remembers, a power of two */
/* What a thread of the runtime may be interrupted by: harmless to a program
 * that does not know of it. */
#define WEFT__INTERRUPT SIGURG

struct weft__here;
struct weft__sched;
struct weft__carrier;

/* How a worker is off duty. Values of weft__worker.rest. */
enum weft__rest {
    WEFT__AWAKE,
    WEFT__ASLEEP, /* in the list of sleepers: on its futex, or polling */
    WEFT__CALLED  /* taken out of it; must look for work */
};

/* Counted by the owner alone, read by anyone: relaxed, and approximate. */
struct weft__worker_counts {
    _Atomic uint64_t runs;      /* fibers switched to or called */
    _Atomic uint64_t parks;     /* times it went to sleep */
    _Atomic uint64_t steals[WEFT__DISTANCES];  /* batches got */
    _Atomic uint64_t stolen[WEFT__DISTANCES];  /* fibers in them */
    _Atomic uint64_t overflows; /* fibers shed to the node's queue */
    _Atomic uint64_t refusals;  /* looks at other nodes that came too early after the last theft */
};

/* What a worker brought home from its last raid, and what it learned of it: by
 * the thread that carries it (idle.c). */
struct weft__loot {
    uint32_t n;        /* fibers taken since it last had nothing to do */
    uint32_t max;      /* take no more at once */
    int64_t began_ns;  /* when the first of them was taken */
    uint64_t began_runs; /* and counts.runs then */
    uint32_t n_before; /* fibers of raids before, too few to judge by */
    int64_t busy_ns;   /* and how long they kept it busy */
    uint64_t n_runs;   /* in so many runs */
    int64_t nap_ns;    /* before the next raid; 0: at once */
    uint32_t n_vain;   /* naps in a row after which there was nothing */
};

struct weft__worker {
    /* Set once. */
    struct weft__sched *sched;
    struct weft__cache *cache;
    struct weft__node *node;
    uint32_t index;
    /* By the thread that carries it. */
    uint32_t n_turns;            /* looks around, for what is done more rarely */
    uint32_t n_kept;             /* looks around in the run `kept`, which went on after them */
    uint64_t kept;
    struct weft__fiber *pending; /* the base starts with this one */
    struct weft__stack *hot;     /* stopped in the base's loop, for the next fiber without a stack; or NULL */
    _Atomic(struct weft__carrier *) carrier; /* read by the watchdog */
    bool is_searching;           /* counted in idle.n_searching */
    struct weft__loot loot;
    int64_t woke_ns;             /* when it last woke for a timer */
    struct weft__rand rand;
    struct weft__stack_cache stacks;
    struct weft__worker_counts counts;
    /* The fibers of the last runs, by their number: run n at n % WEFT__WORKER_RAN.
     * For reports, and for the watchdog. */
    _Atomic(struct weft__fiber *) ran[WEFT__WORKER_RAN];
    /* By anyone. */
    _Alignas(WEFT__CACHE_LINE) struct weft__runq queue;
    _Alignas(WEFT__CACHE_LINE) struct weft__wheel wheel;
    _Alignas(WEFT__CACHE_LINE) _Atomic uint32_t rest; /* enum weft__rest: the futex */
    _Atomic int32_t n_sticky;    /* fibers that must stay on this thread */
    bool is_polling;             /* under idle.lock: sleeps in the poller */
    bool is_napping;             /* under idle.lock: in the list of those that nap */
    struct weft__worker *next_asleep; /* under idle.lock */
    /* By the watchdog. */
    _Alignas(WEFT__CACHE_LINE) _Atomic uint64_t due_run; /* the run that has lasted a tick */
    struct {
        uint64_t runs;           /* as last seen */
        int64_t since_ns;        /* when this number was seen first */
        int64_t cpu_ns;          /* its thread's time on a core at the last look */
        int64_t since_cpu_ns;    /* and at the first */
        int64_t still_ns;        /* when cpu_ns was seen first */
        int64_t asked_ns, asked_cpu_ns; /* when its slot was asked for, and cpu_ns then */
        uint32_t n_refused;      /* asks in this run */
        int64_t refused_cpu_ns;  /* cpu_ns after the last of them */
        int64_t warned_cpu_ns;   /* and when it was first due to give way */
        bool is_told;            /* that its slot could not be handed over */
    } watch;
    struct weft__ask ask;        /* to give the slot away: hog.h */
};

struct weft__node {
    struct weft__sched *sched;
    struct weft__depot *depot;
    struct weft__overflow overflow;
    uint32_t index;
    /* By its workers: none of them steals from another node before. */
    _Atomic int64_t abroad_ns;
};

/* A kernel thread of the runtime. */
struct weft__carrier {
    pthread_t thread;
    struct weft__sched *sched;
    struct weft__stack native;       /* the stack the kernel gave it */
    struct weft__worker *worker;     /* given before the futex word is set */
    struct weft__fiber *fiber;       /* or: a fiber to run without a worker */
    _Atomic(void *) faults;          /* the hooks' own; set before it carries anything. Release, with
                                      * the acquire of the watchdog, which may see the carrier by then */
    _Atomic uint32_t called;         /* futex: 1 when given something, 2 to end */
    /* By the thread as it starts; here comes last. */
    pid_t tid;
    _Atomic(struct weft__here *) here;
    bool is_niced;                   /* it was a hog's (hog.c); by the thread */
    /* Under carriers.lock. */
    struct weft__fiber *hog;         /* which was asked for its slot, while it is here */
    /* Inside weft_blocking, on this thread; or NULL. By the thread, and the watchdog.
     * Relaxed: the fiber may have left. */
    _Atomic(struct weft__fiber *) blocking;
    /* By the hooks, in the watchdog: of the process that was killed and does not end. */
    struct {
        uint64_t pid, remains;       /* it; what is left of one that was disowned here */
        int64_t since_ns;            /* when it was seen first */
        int64_t next_ns;             /* when to look at it again */
        int64_t again_ns;            /* how long after that the next time */
        int64_t cpu_ns;              /* the thread's then */
    } killed;
    struct weft__hog report;         /* is_untold: of the one that gave it */
    bool is_untold;
    struct weft__carrier *next_hog;
    bool has_ended;                  /* the thread ends by itself, and is in carriers.ended */
    struct weft__carrier *next;      /* spares, under carriers.lock */
    struct weft__carrier *next_all;
};

struct weft__sched {
    /* Set by start, read-only while it runs. */
    struct weft__topology topology;
    struct weft__worker **workers;
    struct weft__node *nodes;
    uint32_t n_workers, n_nodes;
    bool bind;
    uint32_t max_blocking, max_hogs;
    uint64_t seed;
    void (*on_hog)(const struct weft__hog *hog); /* tells of it */
    void (*warn)(void *arg, const char *text);
    struct weft__stack_space *stacks;
    struct weft__poll *poll;
    const struct weft__sched_hooks *hooks;

    /* idle.c */
    struct {
        _Alignas(WEFT__CACHE_LINE) _Atomic uint32_t n_asleep;
        _Atomic uint32_t n_searching;
        struct weft__spin lock;
        struct weft__worker *asleep;    /* newest first */
        struct weft__worker *napping;   /* likewise; not in n_asleep */
        _Atomic uint32_t n_napping;
        _Atomic bool has_poller;        /* one of them sleeps in the poller; written under the lock */
    } idle;

    /* carrier.c */
    struct {
        _Alignas(WEFT__CACHE_LINE) pthread_mutex_t lock;
        pthread_cond_t gone;
        struct weft__carrier *spares;
        struct weft__carrier *all;
        struct weft__carrier *ended;    /* by themselves; to be joined */
        uint32_t n_threads;             /* alive */
        uint32_t n_blocking;            /* permits taken */
        struct weft__fiber *waiting, **waiting_end; /* for a permit */
    } carriers;

    /* hog.c */
    struct {
        struct weft__runq queue;        /* the watchdog's: what it takes out of a queue */
        int usual_nice;
        cpu_set_t cores;                /* where the program may run */
        uint32_t n;                     /* threads with a hog, or asked; under carriers.lock */
        struct weft__carrier *list;     /* them */
        _Atomic uint64_t n_taken;       /* slots handed over so far */
        _Atomic uint64_t n_kept;        /* runs whose slot had to wait */
    } hogs;

    /* watchdog.c */
    struct {
        pthread_t thread;
        _Atomic uint32_t word;          /* futex: 0 asleep, 1 awake, 2 end */
        /* The time, in steps of WEFT__COARSE_NS: for who cannot read the clock so often.
         * Late by a tick, or what the watchdog sleeps while all sleep, 64 ms. */
        _Atomic uint32_t moment;
        bool has_thread;
    } watchdog;

    _Atomic bool stopping;
};

/* -- sched.c ---------------------------------------------------------------- */

/* What a higher room does for the threads. Each may be NULL. */
struct weft__sched_hooks {
    /* On a carrier's thread: first thing, and last. */
    void (*thread_begins)(struct weft__carrier *carrier);
    void (*thread_ends)(struct weft__carrier *carrier);
    /* By the watchdog, each tick: that thread has run this fiber for longer than
     * one, as it seems. The fiber may be gone by now, its memory is not. true: its slot
     * is wanted, whether work waits or not. */
    bool (*runs_long)(struct weft__carrier *carrier, struct weft__fiber *fiber);
    /* The same of one that has a thread for itself, inside weft_blocking. */
    void (*blocks)(struct weft__carrier *carrier, struct weft__fiber *fiber);
    /* By the watchdog, each tick, after these. In so many ns there is to be another one, also
     * when all workers sleep; 0: not for its sake. */
    int64_t (*tick)(struct weft__sched *sched);
    /* By the watchdog: interrupt that thread, and have it answer (hog.h). NULL: no
     * slot is ever asked for. */
    void (*ask)(struct weft__carrier *carrier);
};

struct weft__sched_options {
    uint32_t n_workers;
    uint32_t max_blocking, max_hogs;
    void (*on_hog)(const struct weft__hog *hog);
    uint64_t seed;
    uint32_t max_cached_stacks;
    bool bind;
    void (*warn)(void *arg, const char *text);
    const struct weft__sched_hooks *hooks; /* or NULL */
};

/* All but the threads; on failure *sched is untouched. */
int weft__sched_new(struct weft__sched **sched, const struct weft__sched_options *options);
/* The threads; on failure none runs. */
int weft__sched_start(struct weft__sched *sched);
/* Ends the threads. No fiber may be left that is not idle or gone: those still
 * queued never run. */
void weft__sched_stop(struct weft__sched *sched);
/* What is left to free after stop: memory outlives the threads, since what the
 * higher rooms hold must be freed in between. */
void weft__sched_free(struct weft__sched *sched);

/* -- worker.c: for whoever owns fibers ---------------------------------------- */

/* Stop running this fiber; others go on. When its stack is left, commit(here,
 * fiber) runs (on this thread, with no fiber), and must see to it that somebody
 * makes it ready again. Returns then, perhaps on another thread, whose struct it
 * returns, with here->fiber set. Only inside a fiber. */
struct weft__here *weft__fiber_park(struct weft__here *here, weft__after *commit);

/* Let others run; returns at once when nobody waits. The struct of the thread
 * it goes on. */
struct weft__here *weft__fiber_yield(struct weft__here *here);

/* Run `next` at once in this fiber's place, which stays ready: next in turn, where
 * whoever runs `next` may take it back; or last, when others wait that are to have a
 * turn. Others may run it before. So this returns for no reason, like any wait. next
 * is the caller's, and weft__fiber_can_lend said yes. The struct of the thread it goes
 * on. Only inside a fiber. */
struct weft__here *weft__fiber_lend(struct weft__here *here, struct weft__fiber *next);

/* Abandon this fiber's frames and call entry(arg) on another stack; when entry
 * returns, the fiber's run counts as returned. The frames stay as they are
 * until then: what lies in them may still be known to timers and descriptors.
 * entry may call this again, but not park. */
_Noreturn void weft__fiber_abandon(void (*entry)(void *arg), void *arg);

/* How a fiber that becomes ready is queued. */
enum weft__ready {
    WEFT__READY_NEXT, /* a message woke it: soon, on this worker, cache-warm */
    WEFT__READY_NEW,  /* it has not begun: newest first, with turns for the others */
    WEFT__READY_LAST  /* gave way: behind the others */
};

/* WEFT__READY_LAST by a fiber that goes on: what it queues so may be stolen at once. A
 * sleeper is woken after a look without a fence, as when a fiber gives way. */
void weft__fiber_ready_behind(struct weft__here *here, struct weft__fiber *fiber);

/* Queue a fiber that nobody else has. From any thread; never switches. */
void weft__fiber_ready(struct weft__sched *sched, struct weft__fiber *fiber, enum weft__ready how);

/* A sticky fiber begins (1) or ends (-1) there. From any thread. */
static inline void weft__worker_add_sticky(struct weft__worker *worker, int32_t by)
{
    /* Relaxed: a blocking call that misses one that begins right now hands on
     * a worker on which that one has not run. */
    atomic_fetch_add_explicit(&worker->n_sticky, by, memory_order_relaxed);
}

/* WEFT__READY_NEXT by the thread that carries worker (or NULL), in the usual
 * case: run-next is free. false: nothing happened. */
static inline bool weft__fiber_ready_quick(struct weft__worker *worker, struct weft__fiber *fiber)
{
    if (worker == NULL || fiber->is_sticky || fiber->priority != WEFT__PRIORITY_NORMAL ||
        atomic_load_explicit(&worker->queue.next, memory_order_relaxed) != NULL)
        return false;
    fiber->home = worker->index;
    /* Only the owner fills it, so it is still empty. Release: the thief that
     * takes it sees the fiber. */
    atomic_store_explicit(&worker->queue.next, fiber, memory_order_release);
    return true;
}

/* May this thread's fiber stay ready while another one runs in its place? Not when
 * there are new, urgent or sticky ones, or it is time to look around. */
static inline bool weft__fiber_can_lend(const struct weft__here *here, const struct weft__fiber *fiber)
{
    struct weft__worker *worker = here->slot.worker;

    return worker != NULL && here->ticks > 1 && !fiber->is_sticky && fiber->priority == WEFT__PRIORITY_NORMAL &&
           !worker->queue.has_others && weft__nursery_size(&worker->queue.nursery) == 0;
}

/* Take a fiber out of this thread's run-next: it is the caller's then. false: it is
 * not there, or a thief was quicker. */
static inline bool weft__fiber_take_back(const struct weft__here *here, struct weft__fiber *fiber)
{
    struct weft__worker *worker = here->slot.worker;

    /* Relaxed: the owner wrote it, or a thief emptied it. */
    return worker != NULL && atomic_load_explicit(&worker->queue.next, memory_order_relaxed) == fiber &&
           weft__runq_take_next_back(&worker->queue, fiber);
}

/* When the running fiber, which holds no stack, has left, run this one, before any
 * other. It must not do anything but leave. */
static inline void weft__fiber_run_after(const struct weft__here *here, struct weft__fiber *fiber)
{
    here->slot.worker->pending = fiber;
}

void weft__idle_notify(struct weft__sched *sched);

/* One of many that the thread which carries worker (or NULL) makes ready: last in the ring, if
 * that has room; the caller wakes others for all of them, by weft__idle_notify. false:
 * nothing happened. */
static inline bool weft__fiber_ready_unseen(struct weft__worker *worker, struct weft__fiber *fiber)
{
    if (worker == NULL)
        return false;
    if (!fiber->is_sticky)
        fiber->home = worker->index; /* before others can take it */
    return weft__runq_push_quick(&worker->queue, fiber);
}
/* WEFT__READY_NEW by the thread that carries worker (or NULL); fiber->home is
 * that worker. */
static inline void weft__fiber_ready_new(struct weft__sched *sched, struct weft__worker *worker,
                                         struct weft__fiber *fiber)
{
    if (__builtin_expect(worker == NULL || fiber->is_sticky || fiber->priority != WEFT__PRIORITY_NORMAL ||
                             !weft__nursery_push(&worker->queue.nursery, fiber),
                         0)) {
        weft__fiber_ready(sched, fiber, WEFT__READY_NEW);
        return;
    }
    /* As weft__idle_notify, but that the push was the fence. Seq_cst: P3. */
    if (__builtin_expect(atomic_load_explicit(&sched->idle.n_asleep, memory_order_seq_cst) != 0, 0))
        weft__idle_notify(sched);
}

/* Has what runs on this thread had it for so long that others should? Or has
 * its slot been taken, and it should ask for another? */
bool weft__worker_is_due(const struct weft__here *here);

/* Have a worker: a fiber whose slot is somebody else's (base/here.h) leaves its
 * thread, queues itself, and goes on where it gets its turn. true: it did so, and
 * here is another. A foreign thread does without. */
bool weft__need_slot(void);

/* Does the calling thread carry a worker? It may give it away right after. */
bool weft__has_slot(void);

/* Look around; then: has this run lasted long enough? */
bool weft__worker_turn_is_over(struct weft__here *here);

/* For a fiber that has done a piece of work and could go on without parking, such
 * as with its next message: each piece counts as a run of the worker, which looks
 * around now and then. true: it has had its turn, others should run. */
static inline bool weft__fiber_is_to_give_way(struct weft__here *here)
{
    if (here->carrier == NULL || __builtin_expect(--here->ticks > 1, 1))
        return false;
    return weft__worker_turn_is_over(here);
}

/* First thing on any stack that was switched to: do what the one before it on
 * this thread left to do. */
void weft__worker_arrive(void);

/* A stack that stands at its base, ready for a first switch, with no other
 * behind it (next). Out of memory it waits until somebody gives one back: there
 * is nothing to unwind to. By the thread that carries the worker. */
struct weft__stack *weft__worker_base_stack(struct weft__worker *worker, uint32_t class);

/* The base of every stack: runs fibers until the worker is handed over. */
void weft__worker_base(void *unused);

/* -- idle.c ------------------------------------------------------------------- */

/* Between two thefts of a node's workers from other nodes. What is taken costs
 * its new node some dozens of far cache lines for each fiber, 5 to 10 us; and
 * one theft brings half a ring, which the thief's neighbours then share. */
#define WEFT__ABROAD_GAP_NS (50 * 1000)

/* Between two wakes of a worker that come from its own timers alone. A wake
 * costs 5 to 10 us: 4 % of a core at most. */
#define WEFT__TIMER_GAP_NS (250 * 1000)

/* There is new work in a queue that others can reach: wake a worker unless one
 * is looking already. Full fence inside. */
void weft__idle_notify(struct weft__sched *sched);
/* The same for work that the workers that are awake may not come to soon: wakes
 * one that naps when nobody sleeps. */
void weft__idle_notify_late(struct weft__sched *sched);
/* Wake this one, which alone can run what it was given. */
void weft__idle_call(struct weft__worker *worker);
/* Wake every sleeper (stop). */
void weft__idle_notify_all(struct weft__sched *sched);
/* This worker found nothing: search, then sleep. A fiber, or NULL when it must
 * look around itself or stop. */
struct weft__fiber *weft__idle_wait(struct weft__worker *worker);
/* This worker, which was searching (is_searching), has work. */
void weft__idle_found(struct weft__worker *worker);

/* -- carrier.c ------------------------------------------------------------------ */

/* Hand this thread's worker to another thread; the calling fiber stays on this
 * one, without a worker, until leave. May park first, when too many block. */
void weft__blocking_enter(void);
void weft__blocking_leave(void);
/* A thread that waits, or a new one; NULL: none to be had. It is given a worker,
 * or back. */
struct weft__carrier *weft__carrier_take_spare(struct weft__sched *sched);
void weft__carrier_give(struct weft__carrier *spare, struct weft__worker *worker);
void weft__carrier_give_back(struct weft__carrier *spare);
/* Join and free the threads that ended by themselves. By the watchdog, which may
 * look at a carrier at any other time. */
void weft__carriers_bury(struct weft__sched *sched);
int weft__carriers_start(struct weft__sched *sched);
void weft__carriers_stop(struct weft__sched *sched);

/* -- watchdog.c ------------------------------------------------------------------ */

int weft__watchdog_start(struct weft__sched *sched);
void weft__watchdog_stop(struct weft__sched *sched);
/* Work began after all slept. */
void weft__watchdog_wake(struct weft__sched *sched);

#define WEFT__COARSE_NS (INT64_C(1) << 24) /* 17 ms: it begins anew after two years */

static inline uint32_t weft__sched_moment(const struct weft__sched *sched)
{
    /* Relaxed: a figure, which orders nothing. */
    return atomic_load_explicit(&sched->watchdog.moment, memory_order_relaxed);
}

/* How long ago that moment was. */
int64_t weft__sched_since_ns(uint32_t moment);

/* -- small things the files share ------------------------------------------------- */

/* One turn of the timers of a worker, by anyone. */
void weft__worker_turn_timers(struct weft__worker *worker);

#endif

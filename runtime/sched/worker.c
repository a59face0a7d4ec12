/* worker.c - the loop: pick a fiber, run it, look around now and then.
 *
 * There is no stack of the scheduler's own. At the base of every stack is
 * weft__worker_base, a loop that takes a fiber and runs it: a fiber without a
 * stack is called right there, one with a stack is switched to. The loop keeps
 * nothing across a run; it reads its worker afresh, and so adopts whatever
 * worker carries the stack when the fiber's call comes back.
 *
 *   base on stack A           fiber f (new)         fiber g (holds stack B)
 *     pick f, call it  ---->  runs on A
 *                             parks: f keeps A
 *                             pick g, switch  ----------->  goes on, on B
 *                                                           ends: returns to
 *                                                           B's base, which
 *                                                           picks the next
 *
 * So a fiber that never parks costs a call, and one that parks and is followed
 * by one that holds a stack costs one switch. When a parked fiber is followed
 * by one without a stack, or by nothing, a fresh stack's base takes over.
 *
 * The base that was left last for a fiber with a stack stays as it is, in its loop:
 * the worker's hot stack, on which the next fiber without one is called. So nothing
 * is made anew, and calls and returns on both sides of a switch stay paired, as the
 * processor's prediction of returns wants it: each one mispredicted costs 6 to 10 ns.
 *
 * What must happen once a stack is left (publish the fiber that parked, put a
 * stack away) is left in here->after, and done by whoever runs next on the
 * thread: weft__worker_arrive().
 *
 * Looking around. Every WEFT__TICKS runs the base does what a plain pop does
 * not: timers (one clock reading), the node's overflow queue first, readiness
 * of descriptors. A worker with nothing in its ring looks around at once.
 *
 * Idea: the trampoline is Argobots' and Go's systemstack turned inside out:
 * there, a scheduler's stack runs beside each worker and each park costs two
 * switches.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/code.h"
#include "base/here.h"
#include "sched/context.h"
#include "sched/sched.h"

#include <sched.h>

#define WEFT__TICKS 61       /* runs between two looks around; prime, so that
                              * it falls in with no user's rhythm */
#define WEFT__TURN 1024      /* looks around in one run before it gives way: some 60,000
                              * messages, so the watchdog's tick mostly comes first */
#define WEFT__OVERFLOW_BATCH 64
#define WEFT__TIMER_BATCH 256

/* -- timers and descriptors ---------------------------------------------------- */

void weft__worker_turn_timers(struct weft__worker *worker)
{
    if (weft__wheel_next(&worker->wheel) == INT64_MAX)
        return;
    weft__wheel_turn(&worker->wheel, weft__clock_ns(), WEFT__TIMER_BATCH);
}

static void look_around(struct weft__worker *worker)
{
    struct weft__poll *poll = worker->sched->poll;

    weft__here()->ticks = WEFT__TICKS;
    worker->n_turns++;
    weft__worker_turn_timers(worker);
    /* Those who gave way were queued with a look and no fence: see requeue. */
    if (worker->sched->n_workers > 1 && weft__runq_rings_have_work(&worker->queue))
        weft__idle_notify(worker->sched);
    /* Every fourth look: a system call. */
    if ((worker->n_turns & 3) == 0 && weft__poll_n_waiting(poll) > 0)
        weft__poll_wait(poll, 0);
}

/* -- picking ------------------------------------------------------------------------ */

static struct weft__fiber *look_for_work(struct weft__worker *worker)
{
    for (;;) {
        struct weft__fiber *fiber;

        if (--weft__here()->ticks <= 0) {
            look_around(worker);
            /* The node's queue first, now and then, or it would starve while
             * the ring is never empty. */
            if (weft__overflow_size(&worker->node->overflow) > 0) {
                fiber = weft__runq_refill(&worker->queue, &worker->node->overflow, 1);
                if (fiber != NULL)
                    return fiber;
            }
        }
        fiber = weft__runq_pop(&worker->queue);
        if (fiber != NULL)
            return fiber;
        fiber = weft__runq_refill(&worker->queue, &worker->node->overflow, WEFT__OVERFLOW_BATCH);
        if (fiber != NULL)
            return fiber;
        fiber = weft__idle_wait(worker);
        if (fiber != NULL)
            return fiber;
        /* Relaxed: stop wakes everybody after it has set the flag. */
        if (atomic_load_explicit(&worker->sched->stopping, memory_order_relaxed))
            return NULL;
        weft__here()->ticks = 1;
    }
}

/* The next fiber to run at the base; NULL: stop. */
static struct weft__fiber *pick(struct weft__worker *worker)
{
    struct weft__fiber *fiber = worker->pending;

    worker->pending = NULL;
    if (fiber == NULL)
        fiber = look_for_work(worker);
    /* It was called to look for work, and has it. */
    if (worker->is_searching)
        weft__idle_found(worker);
    return fiber;
}

static inline void count_run(struct weft__worker *worker, struct weft__fiber *fiber)
{
    /* Relaxed, and no read-modify-write: one writer, readers want a trend. */
    uint64_t runs = atomic_load_explicit(&worker->counts.runs, memory_order_relaxed) + 1;

    atomic_store_explicit(&worker->counts.runs, runs, memory_order_relaxed);
    atomic_store_explicit(&worker->ran[runs % WEFT__WORKER_RAN], fiber, memory_order_relaxed);
}

/* -- switching ------------------------------------------------------------------------ */

static inline void arrive(struct weft__here *here)
{
    weft__after *after = here->after;

    if (after != NULL) {
        here->after = NULL;
        after(here, here->after_arg);
    }
}

void weft__worker_arrive(void)
{
    arrive(weft__here());
}

static void put_stack(struct weft__here *here, void *stack)
{
    weft__stack_put(&here->slot.worker->stacks, stack);
}

struct weft__stack *weft__worker_base_stack(struct weft__worker *worker, uint32_t class)
{
    struct weft__stack *stack;

    while ((stack = weft__stack_get(&worker->stacks, class)) == NULL)
        sched_yield();
    stack->next = NULL;
    weft__context_make(stack, weft__worker_base);
    return stack;
}

/* Where a thread goes on with fiber: its stack, or a base that will call it. */
static inline struct weft__stack *stack_for(struct weft__worker *worker, struct weft__fiber *fiber)
{
    struct weft__stack *stack = fiber != NULL ? fiber->stack : NULL;

    if (stack != NULL) {
        fiber->stack = NULL;
        count_run(worker, fiber);
        return stack;
    }
    worker->pending = fiber;
    if (worker->hot != NULL && (fiber == NULL || fiber->stack_class == 0)) {
        stack = worker->hot;
        worker->hot = NULL;
        return stack;
    }
    return weft__worker_base_stack(worker, fiber != NULL ? fiber->stack_class : 0);
}

WEFT__GATE void weft__worker_base(void *unused)
{
    (void)unused;
    weft__worker_arrive();
    for (;;) {
        struct weft__here *here = weft__here();
        struct weft__worker *worker = here->slot.worker;
        struct weft__fiber *fiber;

        /* What ran last on this thread is nobody here. */
        here->proc = NULL;
        here->region = NULL;
        fiber = pick(worker);
        if (fiber == NULL) { /* stopping: back to the thread's own stack */
            if (worker->hot != NULL)
                weft__stack_put(&worker->stacks, worker->hot);
            worker->hot = NULL;
            here->after = put_stack;
            here->after_arg = here->stack;
            weft__switch_last(here->stack, &here->carrier->native, NULL);
        }
        here->fiber = fiber;
        if (fiber->stack == NULL && fiber->stack_class == here->stack->class) {
            count_run(worker, fiber);
            fiber->run(fiber);
            /* Perhaps another thread now, and another worker. */
            weft__here()->fiber = NULL;
        } else {
            struct weft__stack *mine = here->stack;

            here->stack = stack_for(worker, fiber);
            if (worker->hot == NULL && mine->class == 0) {
                worker->hot = mine;
                weft__switch(mine, here->stack, NULL);
                weft__worker_arrive();
                continue;
            }
            here->after = put_stack;
            here->after_arg = mine;
            weft__switch_last(mine, here->stack, NULL);
        }
    }
}

/* Leave the running fiber, with its stack, for `next` (NULL: for the base). The
 * struct of the thread it goes on, perhaps another one. */
static inline struct weft__here *leave_for(struct weft__here *here, struct weft__fiber *next,
                                           weft__after *after)
{
    struct weft__fiber *self = here->fiber;
    struct weft__stack *mine = here->stack;

    self->stack = mine;
    here->stack = stack_for(here->slot.worker, next);
    here->fiber = next;
    here->after = after;
    here->after_arg = self;
    weft__switch(mine, here->stack, NULL);
    here = weft__here();
    arrive(here);
    return here;
}

struct weft__here *weft__fiber_park(struct weft__here *here, weft__after *commit)
{
    struct weft__fiber *next = NULL;

    if (__builtin_expect(here->slot.worker == NULL, 0)) {
        weft__need_slot();
        here = weft__here();
    }
    /* The quick way: whoever is next in the ring. What else there is to look
     * at, the base looks at. */
    if (here->ticks > 1) {
        next = weft__runq_pop(&here->slot.worker->queue);
        if (next != NULL)
            here->ticks--;
    }
    return leave_for(here, next, commit);
}

/* The fiber that gave way goes behind the others. Its push wakes a sleeper after
 * a look without a fence, which may miss one that goes to sleep right now; the
 * worker looks again, with a fence, at its next look around. So a fiber that
 * could run elsewhere may wait for so many runs; it waits in a queue that moves. */
static void requeue(struct weft__here *here, void *arg)
{
    struct weft__worker *worker = here->slot.worker;
    struct weft__fiber *fiber = arg;

    fiber->home = worker->index;
    if (__builtin_expect(!weft__runq_push_quick(&worker->queue, fiber), 0)) {
        weft__fiber_ready(worker->sched, fiber, WEFT__READY_LAST);
        return;
    }
    /* Relaxed: a hint. */
    if (atomic_load_explicit(&worker->sched->idle.n_asleep, memory_order_relaxed) != 0)
        weft__idle_notify(worker->sched);
}

void weft__fiber_ready_behind(struct weft__here *here, struct weft__fiber *fiber)
{
    if (here->slot.worker == NULL)
        weft__fiber_ready(here->carrier->sched, fiber, WEFT__READY_LAST);
    else
        requeue(here, fiber);
}

static void offer(struct weft__here *here, void *arg)
{
    struct weft__worker *worker = here->slot.worker;
    struct weft__fiber *fiber = arg;

    fiber->home = worker->index;
    /* Relaxed: as in weft__fiber_ready_quick; release: a thief sees the fiber. Who was
     * next before goes last, as those who gave way do: nobody is woken for it now. */
    if (__builtin_expect(atomic_load_explicit(&worker->queue.next, memory_order_relaxed) == NULL, 1))
        atomic_store_explicit(&worker->queue.next, fiber, memory_order_release);
    else
        weft__runq_put_next(&worker->queue, fiber, &worker->node->overflow);
}

struct weft__here *weft__fiber_lend(struct weft__here *here, struct weft__fiber *next)
{
    here->ticks--;
    return leave_for(here, next, weft__runq_count_next(&here->slot.worker->queue) ? offer : requeue);
}

/* Who waits, taken out of its queue; NULL: nobody. */
static inline struct weft__fiber *next_in_turn(struct weft__here *here)
{
    struct weft__worker *worker = here->slot.worker;
    struct weft__fiber *next = NULL;

    if (__builtin_expect(--here->ticks <= 1, 0)) {
        look_around(worker);
        next = weft__runq_refill(&worker->queue, &worker->node->overflow, 1);
    }
    if (next == NULL)
        next = weft__runq_pop(&worker->queue);
    if (next == NULL)
        next = weft__runq_refill(&worker->queue, &worker->node->overflow, WEFT__OVERFLOW_BATCH);
    return next;
}

struct weft__here *weft__fiber_yield(struct weft__here *here)
{
    struct weft__fiber *next;

    if (__builtin_expect(here->slot.worker == NULL, 0)) {
        weft__need_slot(); /* waiting for its turn meanwhile */
        return weft__here();
    }
    next = next_in_turn(here);
    if (next != NULL)
        return leave_for(here, next, requeue);
    count_run(here->slot.worker, here->fiber); /* its turn begins anew: it has given way */
    return here;
}

/* Do fibers wait where only the base and pop look for them? Who was woken from outside
 * does, and a sticky one whose waker is elsewhere. */
static inline bool has_left_out(struct weft__worker *worker)
{
    /* Relaxed: a hint, looked at again. */
    return weft__overflow_size(&worker->node->overflow) > 0 ||
           atomic_load_explicit(&worker->queue.inbox, memory_order_relaxed) != NULL;
}

bool weft__worker_turn_is_over(struct weft__here *here)
{
    struct weft__worker *worker = here->slot.worker;
    uint64_t runs;

    if (worker == NULL)
        return true;
    runs = atomic_load_explicit(&worker->counts.runs, memory_order_relaxed);
    look_around(worker);
    if (has_left_out(worker)) {
        /* Two that call each other look around here alone, each time: the base is to. */
        here->ticks = 1;
        return true;
    }
    if (worker->kept != runs) {
        worker->kept = runs;
        worker->n_kept = 0;
    }
    /* Who was woken since, and waits in next, does not wait longer. */
    return ++worker->n_kept >= WEFT__TURN || weft__worker_is_due(here) ||
           atomic_load_explicit(&worker->queue.next, memory_order_relaxed) != NULL;
}

/* On a stack of its own, while those with the fiber's frames wait behind it. */
WEFT__GATE static void abandoned(void *unused)
{
    struct weft__here *here = weft__here();
    struct weft__stack *frames = here->stack->next, *next;
    void (*entry)(void *) = here->abandoned;

    (void)unused;
    here->abandoned = NULL;
    entry(here->after_arg);
    /* A base like any other from here on, with nothing behind it. */
    here = weft__here();
    here->fiber = NULL;
    here->stack->next = NULL;
    for (; frames != NULL; frames = next) {
        next = frames->next;
        put_stack(here, frames);
    }
    weft__worker_base(NULL);
}

_Noreturn void weft__fiber_abandon(void (*entry)(void *arg), void *arg)
{
    struct weft__here *here = weft__here();
    struct weft__stack *mine = here->stack;

    weft__assert(here->after == NULL);
    /* Where the frames are, for who reports of them. */
    mine->context = (struct weft__context){NULL, __builtin_frame_address(0), __builtin_frame_address(0)};
    here->stack = weft__worker_base_stack(here->slot.worker, 0);
    here->stack->next = mine; /* which may be such a one itself: entry abandoned it */
    weft__context_make(here->stack, abandoned);
    here->abandoned = entry;
    here->after_arg = arg;
    weft__switch_last(mine, here->stack, NULL);
}

/* -- queueing ---------------------------------------------------------------------------- */

static void ready_from_outside(struct weft__sched *sched, struct weft__fiber *fiber)
{
    /* A foreign thread has no node of its own: the fiber goes where it ran
     * last, as far as that is known. */
    uint32_t home = fiber->home < sched->n_workers ? fiber->home : 0;
    struct weft__worker *worker = sched->workers[home];

    weft__overflow_push_one(&worker->node->overflow, fiber);
    weft__idle_notify_late(sched);
}

/* worker: the calling thread's, or NULL. */
static void ready(struct weft__sched *sched, struct weft__worker *worker,
                         struct weft__fiber *fiber, enum weft__ready how)
{
    uint32_t n_shed;

    if (fiber->is_sticky && (worker == NULL || worker->index != fiber->home)) {
        worker = sched->workers[fiber->home];
        weft__runq_push_sticky(&worker->queue, fiber);
        weft__idle_call(worker);
        return;
    }
    if (worker == NULL) {
        ready_from_outside(sched, fiber);
        return;
    }
    fiber->home = worker->index;
    if (how == WEFT__READY_NEXT) {
        struct weft__fiber *before = atomic_load_explicit(&worker->queue.next, memory_order_relaxed);

        n_shed = weft__runq_put_next(&worker->queue, fiber, &worker->node->overflow);
        /* What run-next holds alone is this worker's business: it will run as
         * soon as the fiber that runs now parks, and its data is here. The
         * watchdog looks after it when that takes long. */
        if (before == NULL && n_shed == 0)
            return;
    } else if (how == WEFT__READY_NEW) {
        n_shed = weft__runq_put_new(&worker->queue, fiber, &worker->node->overflow);
    } else {
        n_shed = weft__runq_put(&worker->queue, fiber, &worker->node->overflow);
    }
    if (n_shed > 0)
        atomic_fetch_add_explicit(&worker->counts.overflows, n_shed, memory_order_relaxed);
    weft__idle_notify(sched);
}

void weft__fiber_ready(struct weft__sched *sched, struct weft__fiber *fiber, enum weft__ready how)
{
    ready(sched, weft__here()->slot.worker, fiber, how);
}

bool weft__worker_is_due(const struct weft__here *here)
{
    const struct weft__worker *worker = here->slot.worker;

    /* Relaxed: hints from the watchdog; a run's number never comes again. */
    return worker == NULL || atomic_load_explicit(&worker->due_run, memory_order_relaxed) ==
                                 atomic_load_explicit(&worker->counts.runs, memory_order_relaxed);
}

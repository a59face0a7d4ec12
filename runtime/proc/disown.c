/* disown.c - how a process that was killed leaves its thread.
 *
 * The watchdog W sees that a process was killed, and that it goes on, tick after tick,
 * on a thread T. When its time is over, W offers to let it go, and interrupts T as it
 * did all the while. T takes the offer itself, in the handler, between two instructions
 * of whatever it does: where it has given its slot away and no function of weft is on its
 * stack but gates (the rule by which slots are given away, sched/hog.c), it has another
 * process from then on, the remains, which W has made before.
 *
 *     T                                       W                        a worker
 *     proc                                    offer
 *     interrupt: take
 *       here->proc = remains  -- TAKEN -->    tick: queue proc  -->    weft__disowned_end
 *     ... remains ...                                                    weft__life_end(proc)
 *     comes back: waits for  <------------------------------------------ is_over
 *     ends the remains, then frees proc
 *
 * Why T itself. The end of a process is its own doing. T's return from the call and T's
 * taking are things of one thread, one after the other: there is no race between them to be
 * decided. Before, T ends the process by itself, and what W offered is for nobody; after,
 * T has the remains, and what T was about to do with proc finds that out:
 *
 *   1. Functions of weft that begin later take their process from here->proc.
 *   2. Those that were under way are gates, which have proc in a local. A gate looks
 *      again, before it touches the process, when code of users returns to it:
 *      weft__proc_need_slot, or weft__proc_returned. Neither comes back.
 *   3. Frames of users know the process's region, by their scopes and by patterns half
 *      made. So that stays where it is and T's: here->region is not changed. Who ends the
 *      process has a region of its own, and reads of T's memory only what T does not change:
 *      the argument, the message a handler is at, the child's id.
 *   4. Defers and memory are in a list with its head in proc: T hands that to the
 *      remains. But for weft's own defers (a lock given back, a stream's tasks ended),
 *      which are a part of the end.
 *   5. T does not leave its frames before the end of the process is over (is_over): a
 *      timer or a bond may lie in them.
 *
 * The control block and its slot are kept until T is back, as ENDING: to senders that is
 * nobody, and the next life cannot meet what T still knows of this one.
 *
 * The offer: one at a time in the program.
 *
 *     NONE -> OFFERED       W    release: for which process, and the remains
 *     OFFERED -> TAKING     T    by CAS, acquire: what is in it is T's
 *     TAKING -> TAKEN       T    release: W, and who ends the process, see all of it
 *     TAKING -> OFFERED     T    release, as T's claim was: another life of that slot was meant
 *     OFFERED -> REFUSED    T    by CAS: not where it is now
 *     REFUSED -> NONE       W
 *     OFFERED -> NONE       W    by CAS: no answer came
 *     TAKEN -> NONE         W    who ends the process is queued
 *
 * Turns. The next offer goes to who has waited longest for one, by next_ns; who was
 * made one waits for the next twice as long each time, and is not interrupted meanwhile. So
 * those that may not go, and those that do not answer, hold up nobody, and cost little
 * however long they stay.
 *
 * Carriers. T's outlives all of that, since it waits for is_over; of another, which did
 * not take the offer, W keeps nothing.
 *
 * Roads not taken: ending the process from another thread while T still has it (each
 * function of weft on T would have to ask whether it is alone); giving the old process
 * to T and a new control block to the end (pids lead to the old one).
 */
#include "proc/disown.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/here.h"
#include "base/symbol.h"
#include "proc/life.h"
#include "proc/owned.h"
#include "proc/runtime.h"
#include "sched/hog.h"
#include "term/term.h"

#define PATIENCE_NS (20 * WEFT__NS_PER_MS)  /* for an answer; then another's turn */
#define AGAIN_NS (2 * WEFT__NS_PER_MS)      /* until it is the same one's again, at first */
#define AGAIN_MAX_NS (200 * WEFT__NS_PER_MS)
#define NEXT_TICK_NS 1                      /* as soon as the watchdog ticks */
#define LOOK_NS (50 * WEFT__NS_PER_MS)      /* between two looks at remains */
#define HAS_RUN_NS (1 * WEFT__NS_PER_MS)    /* of a core, in between: it does not only wait */

enum { NONE, OFFERED, TAKING, TAKEN, REFUSED };

static struct {
    _Atomic int state;
    /* By W before it is OFFERED. */
    _Atomic(const struct weft__proc *) proc; /* relaxed: looked at before it is claimed */
    weft_pid pid;
    int64_t killed_ns, offered_ns;
    struct weft__disowned *disowned; /* T fills it while TAKING */
} offer;

/* W's. */
static struct {
    int64_t after_ns;               /* INT64_MAX: never */
    struct weft__disowned *made;    /* for the next offer; or NULL */
    int64_t turn_ns;                /* whose next_ns is not later has the next offer */
    /* In this tick. */
    bool is_wanted;                 /* somebody's time is over */
    int64_t least_ns;               /* the least next_ns of those */
    int64_t look_ns;                /* when somebody is to be looked at again */
} watch = {.turn_ns = INT64_MIN, .least_ns = INT64_MAX, .look_ns = INT64_MAX};

static struct {
    pthread_mutex_t lock;
    struct weft__disowned *first;
    _Atomic uint32_t n;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

void weft__disown_start(int64_t after_ms)
{
    watch.after_ns = after_ms > INT64_MAX / WEFT__NS_PER_MS ? INT64_MAX : after_ms * WEFT__NS_PER_MS;
}

/* -- all that are out --------------------------------------------------------------------- */

static void list(struct weft__disowned *disowned)
{
    pthread_mutex_lock(&all.lock);
    disowned->next = all.first;
    all.first = disowned;
    /* Relaxed: a figure. */
    atomic_fetch_add_explicit(&all.n, 1, memory_order_relaxed);
    pthread_mutex_unlock(&all.lock);
}

void weft__disowned_unlist(struct weft__disowned *disowned)
{
    struct weft__disowned **at = &all.first;

    pthread_mutex_lock(&all.lock);
    while (*at != disowned)
        at = &(*at)->next;
    *at = disowned->next;
    atomic_fetch_sub_explicit(&all.n, 1, memory_order_relaxed);
    pthread_mutex_unlock(&all.lock);
}

uint32_t weft__disowned_n(void)
{
    return atomic_load_explicit(&all.n, memory_order_relaxed);
}

struct weft__disowned *weft__disowned_of(const struct weft__proc *proc)
{
    struct weft__disowned *at;

    pthread_mutex_lock(&all.lock);
    for (at = all.first; at != NULL && at->proc != proc; at = at->next)
        ;
    pthread_mutex_unlock(&all.lock);
    return at;
}

/* "#PID<5.1>, which was killed and disowned, is in read < fill < parse_file" */
static void describe(const struct weft__disowned *disowned, char *text, size_t size)
{
    size_t at = weft_inspect_to(text, size, disowned->proc->pid);

    at = at < size ? at : size - 1;
    at += (size_t)snprintf(text + at, size - at, ", which was killed and disowned,%s",
                           disowned->n_frames > 0 ? " is in " : "");
    weft__symbol_stack(text + at, size - at, disowned->frames, disowned->n_frames);
}

bool weft__disowned_describe(weft_pid remains, char *text, size_t size)
{
    struct weft__disowned *at;

    pthread_mutex_lock(&all.lock);
    for (at = all.first; at != NULL && at->remains->pid.bits != remains.bits; at = at->next)
        ;
    if (at != NULL)
        describe(at, text, size);
    pthread_mutex_unlock(&all.lock);
    return at != NULL;
}

/* -- the watchdog ---------------------------------------------------------------------------- */

/* Nobody else has the pid of remains. Release: who looks at all slots, as begin. */
static void set_state(struct weft__proc *remains, uint64_t state)
{
    atomic_store_explicit(&remains->state, weft__pid_serial(remains->pid) << WEFT__SERIAL_SHIFT | state,
                          memory_order_release);
}

/* NULL: no memory, or no slot. */
static struct weft__disowned *make(void)
{
    struct weft__disowned *made = calloc(1, sizeof *made);
    struct weft__proc *remains = made != NULL ? weft__life_begin_bare(weft__runtime(), WEFT__PROC_REMAINS) : NULL;

    if (remains == NULL) {
        free(made);
        return NULL;
    }
    made->remains = remains;
    remains->entry.fn = NULL;
    remains->state_of_handler = made;
    remains->flags = WEFT__DOOMED;
    remains->reason = WEFT_ATOM("killed");
    set_state(remains, WEFT__ENDING | WEFT__DISOWNED); /* nobody lives there yet */
    return made;
}

static void unmake(struct weft__disowned *made)
{
    weft__life_give_back(weft__runtime(), made->remains);
    free(made);
}

static void offer_to(struct weft__carrier *carrier, struct weft__proc *proc, weft_pid pid, int64_t now_ns)
{
    atomic_store_explicit(&offer.proc, proc, memory_order_relaxed);
    offer.pid = pid;
    offer.killed_ns = carrier->killed.since_ns;
    offer.offered_ns = now_ns;
    offer.disowned = watch.made;
    watch.made = NULL;
    watch.turn_ns = INT64_MIN;
    carrier->killed.next_ns = now_ns + carrier->killed.again_ns;
    if (carrier->killed.again_ns < AGAIN_MAX_NS)
        carrier->killed.again_ns *= 2;
    atomic_store_explicit(&offer.state, OFFERED, memory_order_release);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Its time is over. true: it is to be interrupted now. */
static bool take_turn(struct weft__carrier *carrier, struct weft__proc *proc, weft_pid pid, int64_t now_ns)
{
    watch.is_wanted = true;
    if (watch.made != NULL && carrier->killed.next_ns <= least(watch.turn_ns, now_ns))
        offer_to(carrier, proc, pid, now_ns);
    else
        watch.least_ns = least(watch.least_ns, carrier->killed.next_ns);
    watch.look_ns = least(watch.look_ns, carrier->killed.next_ns);
    return now_ns >= carrier->killed.next_ns || weft__disown_is_offered(proc);
}

bool weft__disown_watch(struct weft__carrier *carrier, struct weft__proc *proc, weft_pid pid, bool *is_due)
{
    int64_t now_ns = weft__clock_ns();

    if (carrier->killed.pid != pid.bits) {
        carrier->killed.pid = pid.bits;
        carrier->killed.since_ns = carrier->killed.next_ns = now_ns;
        carrier->killed.again_ns = AGAIN_NS;
    }
    if (watch.after_ns == INT64_MAX)
        return false;
    if (now_ns - carrier->killed.since_ns < watch.after_ns) {
        watch.look_ns = now_ns;
        return false;
    }
    *is_due = take_turn(carrier, proc, pid, now_ns);
    return true;
}

bool weft__disown_has_run(struct weft__carrier *carrier)
{
    int64_t now_ns = weft__clock_ns(), before_ns = carrier->killed.cpu_ns;

    if (now_ns < carrier->killed.next_ns)
        return false;
    carrier->killed.next_ns = now_ns + LOOK_NS;
    carrier->killed.cpu_ns = weft__hog_cpu_ns(carrier);
    if (carrier->killed.cpu_ns - before_ns < HAS_RUN_NS)
        return false;
    watch.look_ns = now_ns;
    return true;
}

/* T has left the process: somebody else ends it. */
static void queue_end(struct weft__sched *sched)
{
    struct weft__disowned *disowned = offer.disowned;
    struct weft__proc *proc = disowned->proc;
    struct weft__carrier *carrier = disowned->carrier;

    carrier->killed.remains = disowned->remains->pid.bits;
    carrier->killed.next_ns = 0;
    carrier->killed.cpu_ns = weft__hog_cpu_ns(carrier);
    weft__hog_rename(sched, &proc->fiber, &disowned->remains->fiber);
    list(disowned);
    proc->fiber.run = weft__disowned_end;
    proc->fiber.stack = NULL;
    proc->fiber.stack_class = 0;
    weft__fiber_ready(sched, &proc->fiber, WEFT__READY_LAST);
}

/* The thread does not come by (OFFERED), or may not take it where it is. Relaxed: nothing
 * was filled in. */
static void withdraw(int state)
{
    if (atomic_compare_exchange_strong_explicit(&offer.state, &state, NONE, memory_order_relaxed,
                                                memory_order_relaxed))
        watch.made = offer.disowned;
}

/* What has become of the offer. true: there is none. */
static bool settle(struct weft__sched *sched)
{
    /* Acquire, with the thread's release: what it filled in. */
    int state = atomic_load_explicit(&offer.state, memory_order_acquire);

    if (state == TAKEN) {
        queue_end(sched);
        atomic_store_explicit(&offer.state, NONE, memory_order_relaxed);
    } else if (state == REFUSED ||
               (state == OFFERED && (!watch.is_wanted || weft__clock_ns() - offer.offered_ns > PATIENCE_NS))) {
        withdraw(state);
    }
    return state == NONE;
}

int64_t weft__disown_tick(struct weft__sched *sched)
{
    bool is_free = settle(sched);
    int64_t wait_ns = watch.look_ns - weft__clock_ns(), look_ns = watch.look_ns;

    if (is_free && watch.is_wanted && watch.made == NULL)
        watch.made = make();
    if (!watch.is_wanted && watch.made != NULL) {
        unmake(watch.made);
        watch.made = NULL;
    }
    watch.turn_ns = watch.is_wanted && watch.least_ns != INT64_MAX ? watch.least_ns : INT64_MIN;
    watch.is_wanted = false;
    watch.least_ns = watch.look_ns = INT64_MAX;
    if (!is_free)
        return NEXT_TICK_NS;
    return look_ns == INT64_MAX ? 0 : wait_ns < NEXT_TICK_NS ? NEXT_TICK_NS : wait_ns;
}

/* -- the thread --------------------------------------------------------------------------------- */

bool weft__disown_is_offered(const struct weft__proc *proc)
{
    /* Acquire, with the offer's release. */
    return atomic_load_explicit(&offer.state, memory_order_acquire) == OFFERED &&
           atomic_load_explicit(&offer.proc, memory_order_relaxed) == proc;
}

void weft__disown_refuse(void)
{
    int offered = OFFERED;

    /* Relaxed: nothing of it was read. */
    atomic_compare_exchange_strong_explicit(&offer.state, &offered, REFUSED, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* From here on the end reads these, and the thread has no say in them. */
static void part(struct weft__proc *proc, struct weft__proc *remains)
{
    weft__owned_part(&proc->owned, &remains->owned);
    if ((proc->flags & WEFT__DOOMED) == 0 || weft__is_memory(proc->reason))
        proc->reason = remains->reason; /* :killed; another reason's memory may go with a scope of the thread's */
    proc->region.is_watched = false;
    /* LEFT: those frames, and the stack behind them, are the thread's as well. */
    proc->flags &= ~(uint32_t)(WEFT__LIMITED | WEFT__IN_BLOCKING | WEFT__WAITS | WEFT__LEFT);
    proc->flags |= WEFT__DISOWNED | WEFT__DOOMED;
    if (proc->extra != NULL)
        proc->extra->catcher = NULL;
    /* Relaxed: for gates of this thread; others hear of it by the offer. */
    atomic_fetch_or_explicit(&proc->state, WEFT__DISOWNED, memory_order_relaxed);
    remains->parent = proc->pid;
    remains->fiber.priority = proc->fiber.priority;
    remains->fiber.home = proc->fiber.home;
    set_state(remains, WEFT__ACTIVE | WEFT__KILLED);
}

void weft__disown_take(struct weft__here *here, const struct weft__autopsy *autopsy)
{
    struct weft__proc *proc = here->proc;
    struct weft__disowned *disowned;
    int offered = OFFERED;

    /* Acquire: what is in it. Relaxed on failure: nothing is read. */
    if (!atomic_compare_exchange_strong_explicit(&offer.state, &offered, TAKING, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    if (offer.pid.bits != proc->pid.bits) {
        /* Release: with the next claim's acquire, as if it had been offered to that. */
        atomic_store_explicit(&offer.state, OFFERED, memory_order_release);
        return;
    }
    disowned = offer.disowned;
    disowned->proc = proc;
    disowned->carrier = here->carrier;
    disowned->after_ms = (weft__clock_ns() - offer.killed_ns) / WEFT__NS_PER_MS;
    disowned->n_frames = autopsy->n_frames;
    for (uint32_t i = 0; i < autopsy->n_frames; i++)
        disowned->frames[i] = autopsy->frames[i];
    part(proc, disowned->remains);
    here->proc = disowned->remains;
    here->fiber = &disowned->remains->fiber;
    atomic_store_explicit(&offer.state, TAKEN, memory_order_release);
}

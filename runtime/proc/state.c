/* state.c - the state word and the inbox's mark: sending, waking, parking. The protocol, and why no
 * wake-up is lost, is in proc.h.
 */
#include "base/assert.h"
#include "base/here.h"
#include "proc/disown.h"
#include "proc/guest.h"
#include "proc/message.h"
#include "proc/post.h"
#include "proc/proc.h"
#include "proc/runtime.h"

/* -- waking --------------------------------------------------------------------- */

/* Take the mark out of the inbox, and with it the process: the caller's to queue.
 * false: it does not wait for mail. */
static bool take_waiting(struct weft__proc *proc)
{
    struct weft__message *mark = WEFT__WAITS_FOR_MAIL;

    /* Seq_cst: (2), and the look again of a park. */
    return atomic_load_explicit(&proc->inbox, memory_order_seq_cst) == mark &&
           atomic_compare_exchange_strong_explicit(&proc->inbox, &mark, NULL, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

/* Set event bits; when the process is parked or waits, it goes on. false: it is
 * not there (any more). */
static bool set_event(struct weft__proc *proc, uint64_t serial, uint64_t event)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_seq_cst);
    uint64_t next;

    do {
        uint64_t run = state & WEFT__STATE_MASK;

        if (weft__state_serial(state) != serial || run == WEFT__FREE || run == WEFT__ENDING)
            return false;
        next = state | event;
        if (run == WEFT__PARKED)
            next = (next & ~WEFT__STATE_MASK) | WEFT__ACTIVE;
        else if (next == state)
            return true; /* who set it wakes it */
        /* Seq_cst: (1), and against the park's exchange of the same word. */
    } while (!atomic_compare_exchange_weak_explicit(&proc->state, &state, next,
                                                    memory_order_seq_cst, memory_order_seq_cst));
    if ((state & WEFT__STATE_MASK) == WEFT__PARKED || take_waiting(proc))
        weft__proc_make_ready(weft__here(), proc);
    return true;
}

void weft__proc_unpark(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);

    if (proc != NULL)
        set_event(proc, weft__pid_serial(pid), WEFT__EVENT_TOKEN);
}

void weft__proc_mark_killed(struct weft__proc *proc, weft_pid pid)
{
    set_event(proc, weft__pid_serial(pid), WEFT__KILLED | WEFT__EVENT_SIGNAL);
    /* Should it run on for long, it is interrupted. */
    weft__watchdog_wake(weft__runtime()->sched);
}

void weft__proc_mark_quiet(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);

    if (proc != NULL)
        set_event(proc, weft__pid_serial(pid), WEFT__QUIET);
}

void weft__proc_mark_told(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);

    if (proc != NULL)
        set_event(proc, weft__pid_serial(pid), WEFT__TOLD);
}

bool weft__proc_take_token(struct weft__proc *proc)
{
    /* Relaxed look, then take: only the process clears it. */
    if ((atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__EVENT_TOKEN) == 0)
        return false;
    atomic_fetch_and_explicit(&proc->state, ~WEFT__EVENT_TOKEN, memory_order_acquire);
    return true;
}

/* -- sending ---------------------------------------------------------------------- */

bool weft__message_send(struct weft__proc *to, weft_pid pid, struct weft__message *message)
{
    enum weft__message_kind kind = message->block.kind;
    /* These are looked at wherever the process is parked: a question, an exit
     * signal, and a task's end without a value, which may end its owner. */
    bool is_urgent = kind == WEFT__SIGNAL_EXIT || kind == WEFT__SIGNAL_INFO ||
                     (kind == WEFT__SIGNAL_TASK_END && !(message->block.flags & WEFT__HAS_VALUE));

    weft__message_post(weft__here(), to, pid, message, kind == WEFT__MESSAGE);
    if (is_urgent)
        return set_event(to, weft__pid_serial(pid), WEFT__EVENT_SIGNAL);
    /* After the push: who sees it gone answers itself. */
    return weft__proc_is_there(to, pid);
}

/* -- parking ------------------------------------------------------------------------- */

static inline bool has_event(uint64_t state)
{
    return (state & (WEFT__EVENT_SIGNAL | WEFT__EVENT_TOKEN)) != 0;
}

static bool commit_parked_state(struct weft__proc *proc, uint64_t state)
{
    do {
        if (has_event(state))
            return false;
        /* Seq_cst: against set_event's exchange of the same word. */
    } while (!atomic_compare_exchange_weak_explicit(&proc->state, &state,
                                                    (state & ~WEFT__STATE_MASK) | WEFT__PARKED,
                                                    memory_order_seq_cst, memory_order_relaxed));
    return true;
}

/* Inline for the park of a process; the other callers have the function. */
static inline bool commit_park(struct weft__proc *proc, bool for_mail)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);
    struct weft__message *none = NULL;

    if (!for_mail)
        return commit_parked_state(proc, state);
    /* Seq_cst: (3). From here on another thread may run it. */
    if (has_event(state) ||
        !atomic_compare_exchange_strong_explicit(&proc->inbox, &none, WEFT__WAITS_FOR_MAIL,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    state = atomic_load_explicit(&proc->state, memory_order_seq_cst); /* (4) */
    return __builtin_expect(!has_event(state), 1) || !take_waiting(proc);
}

bool weft__proc_commit_park(struct weft__proc *proc, bool for_mail)
{
    proc->region.waits_since = weft__sched_moment(weft__runtime()->sched);
    return commit_park(proc, for_mail);
}

bool weft__proc_take_back(struct weft__proc *proc, bool for_mail)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);

    if (for_mail)
        return take_waiting(proc);
    while ((state & WEFT__STATE_MASK) == WEFT__PARKED)
        if (atomic_compare_exchange_weak_explicit(&proc->state, &state,
                                                  (state & ~WEFT__STATE_MASK) | WEFT__ACTIVE,
                                                  memory_order_seq_cst, memory_order_relaxed))
            return true;
    return false;
}

static inline void commit(struct weft__here *here, void *fiber, bool for_mail)
{
    struct weft__proc *proc = fiber; /* the fiber comes first */

    if (__builtin_expect(!commit_park(proc, for_mail), 0))
        weft__fiber_ready(here->slot.worker->sched, &proc->fiber, WEFT__READY_NEXT);
}

static void commit_waiting(struct weft__here *here, void *fiber)
{
    commit(here, fiber, true);
}

static void commit_parked(struct weft__here *here, void *fiber)
{
    commit(here, fiber, false);
}

void weft__proc_enter(struct weft__proc *proc)
{
    weft__proc_enter_on(weft__here(), proc);
}

void weft__proc_leave(void)
{
    struct weft__here *here = weft__here();

    here->proc = NULL;
    here->region = NULL;
}

void weft__proc_need_slot(struct weft__proc *proc)
{
    struct weft__here *here = weft__here();

    if (__builtin_expect(here->slot.worker != NULL, 1))
        return;
    if (here->proc != NULL && weft__remains_are_out(here->proc))
        weft__remains_come_back(here->proc);
    if (!weft__need_slot())
        return;
    weft__proc_enter(proc);
    if (proc->flags & WEFT__DISOWNED)
        weft__here()->region = weft__disowned_region(proc); /* it ends: proc->region is another thread's */
}

void weft__proc_returned_slow(struct weft__proc *proc)
{
    struct weft__here *here = weft__here();

    if (here->proc != proc) /* else it is who ends the process */
        weft__remains_come_back(here->proc);
}

static inline struct weft__here *park(struct weft__here *here, struct weft__proc *proc, bool for_mail)
{
    /* Whoever runs next on this thread sets here->proc and region, and the base
     * clears them. */
    proc->flags |= WEFT__WAITS;
    proc->region.waits_since = weft__sched_moment(weft__runtime()->sched);
    here = weft__fiber_park(here, for_mail ? commit_waiting : commit_parked);
    weft__proc_enter_on(here, proc);
    /* Relaxed: as in take_token and obey. */
    if (__builtin_expect(has_event(atomic_load_explicit(&proc->state, memory_order_relaxed)) ||
                         (proc->flags & WEFT__DOOMED), 0)) {
        weft__proc_take_token(proc);
        weft__proc_obey(proc);
    }
    proc->flags &= ~(uint32_t)WEFT__WAITS;
    return here;
}

struct weft__here *weft__proc_wait_for_mail(struct weft__here *here, struct weft__proc *proc)
{
    return park(here, proc, true);
}

/* -- waiting with a time-out ------------------------------------------------------------ */

static void wait_fired(struct weft__timer *timer)
{
    struct weft__wait *wait = (struct weft__wait *)(void *)timer; /* the timer comes first */
    weft_pid pid = wait->proc->pid;

    /* Release, with the acquire in wait_once. The wait's memory stays: wait_end
     * cancels, and cancel does not return while this runs. */
    atomic_store_explicit(&wait->is_over, true, memory_order_release);
    weft__proc_unpark(pid);
}

static const struct weft__timer_kind wait_kind = {.fire = wait_fired};

void weft__wait_begin(struct weft__wait *wait, struct weft__proc *proc, int64_t timeout_ms)
{
    weft__timer_init(&wait->timer, &wait_kind);
    wait->proc = proc;
    wait->timeout_ns = timeout_ms >= INT64_MAX / 1000000 ? -1 : timeout_ms * 1000000;
    wait->is_set = false;
    atomic_init(&wait->is_over, false);
}

void weft__wait_arm(struct weft__wait *wait)
{
    weft__proc_need_slot(wait->proc);
    wait->is_set = true;
    wait->proc->wait = wait; /* whoever ends the process cancels the timer */
    weft__wheel_add(&weft__here()->slot.worker->wheel, &wait->timer, wait->timeout_ns);
}

bool weft__wait_is_on(struct weft__wait *wait)
{
    /* Acquire, with the release in wait_fired. */
    if (atomic_load_explicit(&wait->is_over, memory_order_acquire) || wait->timeout_ns == 0)
        return false;
    if (!wait->is_set && wait->timeout_ns > 0)
        weft__wait_arm(wait);
    return true;
}

bool weft__wait_once(struct weft__wait *wait, bool for_mail)
{
    struct weft__proc *proc = wait->proc;

    if (proc->fiber.kind == WEFT__PROC_GUEST)
        return weft__guest_wait(wait, for_mail);
    if (!weft__wait_is_on(wait))
        return false;
    park(weft__here(), proc, for_mail);
    return !atomic_load_explicit(&wait->is_over, memory_order_acquire);
}

void weft__wait_end(struct weft__wait *wait)
{
    if (!wait->is_set)
        return;
    weft__wheel_cancel(&wait->timer, 0);
    wait->proc->wait = NULL;
}

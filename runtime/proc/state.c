/* state.c - the state word: sending, waking, parking. The protocol, and why no
 * wake-up is lost, is in proc.h.
 */
#include "base/assert.h"
#include "base/here.h"
#include "proc/guest.h"
#include "proc/message.h"
#include "proc/post.h"
#include "proc/proc.h"
#include "proc/runtime.h"

/* -- waking --------------------------------------------------------------------- */

/* Set event bits; when the process is parked, it goes on. false: it is not
 * there (any more). */
static bool set_event(struct weft__proc *proc, uint64_t serial, uint64_t event)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_seq_cst);
    uint64_t next;

    do {
        uint64_t run = state & WEFT__STATE_MASK;

        if (weft__state_serial(state) != serial || run == WEFT__FREE || run == WEFT__ENDING)
            return false;
        next = state | event;
        if (run == WEFT__WAITING || run == WEFT__PARKED)
            next = (next & ~WEFT__STATE_MASK) | WEFT__ACTIVE;
        else if (next == state)
            return true;
        /* Seq_cst: against the park's exchange of the same word. */
    } while (!atomic_compare_exchange_weak_explicit(&proc->state, &state, next,
                                                    memory_order_seq_cst, memory_order_seq_cst));
    if ((state & WEFT__STATE_MASK) != WEFT__ACTIVE)
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
}

void weft__proc_mark_quiet(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);

    if (proc != NULL)
        set_event(proc, weft__pid_serial(pid), WEFT__QUIET);
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
    bool is_there = weft__message_post(weft__here(), to, pid, message);

    if (is_there && is_urgent)
        return set_event(to, weft__pid_serial(pid), WEFT__EVENT_SIGNAL);
    return is_there;
}

/* -- parking ------------------------------------------------------------------------- */

bool weft__proc_commit_park(struct weft__proc *proc, enum weft__state how)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);

    do {
        if ((state & (WEFT__EVENT_SIGNAL | WEFT__EVENT_TOKEN)) != 0)
            return false;
        /* Seq_cst: (3). */
    } while (!atomic_compare_exchange_weak_explicit(&proc->state, &state,
                                                    (state & ~WEFT__STATE_MASK) | how,
                                                    memory_order_seq_cst, memory_order_relaxed));
    /* From here on another thread may run it. */
    if (how == WEFT__WAITING && atomic_load_explicit(&proc->inbox, memory_order_seq_cst) != NULL) { /* (4) */
        uint64_t waiting = (state & ~WEFT__STATE_MASK) | WEFT__WAITING;

        /* Fails when a sender saw it too, and has queued it. The whole word is
         * compared: that life, that wait. A later wait of the same process
         * looks the same; then taking that one back is right as well, since
         * there was mail, or is a wake for no reason, which callers allow. */
        if (atomic_compare_exchange_strong_explicit(&proc->state, &waiting, state,
                                                    memory_order_seq_cst, memory_order_relaxed))
            return false;
    }
    return true;
}

static inline void commit(struct weft__here *here, void *fiber, enum weft__state how)
{
    struct weft__proc *proc = fiber; /* the fiber comes first */

    if (!weft__proc_commit_park(proc, how))
        weft__fiber_ready(here->worker->sched, &proc->fiber, WEFT__READY_NEXT);
}

static void commit_waiting(struct weft__here *here, void *fiber)
{
    commit(here, fiber, WEFT__WAITING);
}

static void commit_parked(struct weft__here *here, void *fiber)
{
    commit(here, fiber, WEFT__PARKED);
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

static void park(struct weft__proc *proc, bool for_mail)
{
    /* Whoever runs next on this thread sets here->proc and region, and the base
     * clears them. */
    weft__proc_enter_on(weft__fiber_park(weft__here(), for_mail ? commit_waiting : commit_parked), proc);
}

void weft__proc_wait_for_mail(struct weft__proc *proc)
{
    proc->flags |= WEFT__WAITS;
    park(proc, true);
    weft__proc_take_token(proc);
    weft__proc_obey(proc);
    proc->flags &= ~(uint32_t)WEFT__WAITS;
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

void weft__wait_begin(struct weft__wait *wait, struct weft__proc *proc, int64_t timeout_ms)
{
    weft__timer_init(&wait->timer, wait_fired);
    wait->proc = proc;
    wait->timeout_ns = timeout_ms >= INT64_MAX / 1000000 ? -1 : timeout_ms * 1000000;
    wait->is_set = false;
    atomic_init(&wait->is_over, false);
}

bool weft__wait_once(struct weft__wait *wait, bool for_mail)
{
    struct weft__proc *proc = wait->proc;

    if (proc->fiber.kind == WEFT__PROC_GUEST)
        return weft__guest_wait(wait, for_mail);
    if (atomic_load_explicit(&wait->is_over, memory_order_acquire) || wait->timeout_ns == 0)
        return false;
    if (!wait->is_set && wait->timeout_ns > 0) {
        struct weft__worker *worker = weft__here()->worker;

        wait->is_set = true;
        proc->wait = wait; /* whoever ends the process cancels the timer */
        weft__wheel_add(&worker->wheel, &wait->timer, wait->timeout_ns);
    }
    proc->flags |= WEFT__WAITS;
    park(proc, for_mail);
    weft__proc_take_token(proc);
    weft__proc_obey(proc);
    proc->flags &= ~(uint32_t)WEFT__WAITS;
    return !atomic_load_explicit(&wait->is_over, memory_order_acquire);
}

void weft__wait_end(struct weft__wait *wait)
{
    if (!wait->is_set)
        return;
    weft__wheel_cancel(&wait->timer, 0);
    wait->proc->wait = NULL;
}

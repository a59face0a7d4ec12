#include "proc/alarm.h"

#include <sched.h>

#include "base/here.h"
#include "proc/log.h"
#include "proc/message.h"
#include "proc/runtime.h"
#include "weft/log.h"

_Atomic uint32_t weft__alarm_over = UINT32_MAX;

/* Relaxed throughout: figures, and a pid that says itself whether it is stale. */
static _Atomic uint32_t alarm_under;
static _Atomic uint64_t listener; /* bits */
static _Atomic uint64_t n_on, n_ever;

static uint32_t as_count(size_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

void weft__alarm_start(size_t over, size_t under)
{
    atomic_store_explicit(&weft__alarm_over, over > 0 ? as_count(over) : UINT32_MAX, memory_order_relaxed);
    atomic_store_explicit(&alarm_under, as_count(under > 0 ? under : over / 2), memory_order_relaxed);
    atomic_store_explicit(&listener, 0, memory_order_relaxed);
    atomic_store_explicit(&n_on, 0, memory_order_relaxed);
    atomic_store_explicit(&n_ever, 0, memory_order_relaxed);
}

/* -- telling ----------------------------------------------------------------------- */

/* {:monitor, pid, :long_message_queue, is_on} to who listens. */
static void tell_listener(struct weft__proc *proc, bool is_on)
{
    weft_pid to = weft__term(atomic_load_explicit(&listener, memory_order_relaxed));
    const weft_term elements[4] = {WEFT_ATOM("monitor"), proc->pid, WEFT_ATOM("long_message_queue"),
                                   weft_bool(is_on)};
    struct weft__proc *peer = weft__proc_slot(to);
    struct weft__copy_refusal refusal;
    struct weft__message *message;

    if (weft_is_none(to) || peer == NULL || !weft__proc_is_there(peer, to))
        return;
    message = weft__message_tuple(WEFT__MESSAGE, elements, 4, &refusal);
    if (message != NULL) /* else the log says so */
        weft__message_send(peer, to, message);
}

/* What its oldest message is: of a tuple the first element. */
static weft_term oldest(const struct weft__proc *proc)
{
    weft_term root = proc->mailbox.first != NULL ? proc->mailbox.first->root : weft_none;

    if (weft__is_tuple(root) && weft__box_size(root) > 0)
        root = weft__box_terms(root)[0];
    return weft_is_none(root) ? WEFT_ATOM("nil") : root;
}

static weft_term label(const struct weft__proc *proc)
{
    return proc->extra != NULL && proc->extra->label[0] != 0 ? weft_str(proc->extra->label) : WEFT_ATOM("nil");
}

static void tell_log(struct weft__proc *proc)
{
    weft__log_report(WEFT_LOG_WARNING, "Long mailbox",
                     weft_list(weft_tuple(WEFT_ATOM("pid"), proc->pid),
                               weft_tuple(WEFT_ATOM("label"), label(proc)),
                               weft_tuple(WEFT_ATOM("messages"), weft_int(proc->n_messages)),
                               weft_tuple(WEFT_ATOM("oldest"), oldest(proc))));
}

/* -- the states ----------------------------------------------------------------------- */

void weft__alarm_slow(struct weft__proc *proc)
{
    struct weft__extra *extra;
    bool is_new = (proc->flags & WEFT__ALARMED) == 0;

    if ((proc->flags & WEFT__ENDS) != 0 || proc->fiber.kind == WEFT__PROC_GUEST)
        return;
    if (!is_new && proc->n_messages < proc->extra->alarm_next)
        return;
    extra = weft__proc_extra(proc);
    if (extra == NULL)
        return; /* the next look tries again */
    extra->alarm_next = proc->n_messages <= UINT32_MAX / 2 ? 2 * proc->n_messages : UINT32_MAX;
    proc->flags |= WEFT__ALARMED;
    if (is_new) {
        atomic_fetch_add_explicit(&n_on, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&n_ever, 1, memory_order_relaxed);
        tell_listener(proc, true);
    }
    tell_log(proc);
}

void weft__alarm_end(struct weft__proc *proc)
{
    proc->flags &= ~(uint32_t)WEFT__ALARMED;
    atomic_fetch_sub_explicit(&n_on, 1, memory_order_relaxed);
    tell_listener(proc, false);
}

void weft__alarm_left(struct weft__proc *proc)
{
    if (proc->n_messages <= atomic_load_explicit(&alarm_under, memory_order_relaxed))
        weft__alarm_end(proc);
}

/* -- public --------------------------------------------------------------------------------- */

weft_pid weft_monitor_queues(weft_pid to)
{
    weft__proc_need("weft_monitor_queues");
    if (!weft_is_none(to) && !weft_is_pid(to))
        weft__proc_badarg("weft_monitor_queues", "%s is no pid", weft_inspect(to));
    return weft__term(atomic_exchange_explicit(&listener, to.bits, memory_order_relaxed));
}

size_t weft_long_queues(uint64_t *so_far)
{
    if (so_far != NULL)
        *so_far = atomic_load_explicit(&n_ever, memory_order_relaxed);
    return atomic_load_explicit(&n_on, memory_order_relaxed);
}

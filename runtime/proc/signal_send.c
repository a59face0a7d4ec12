#include "proc/signal_make.h"

#include <sched.h>

#include "base/assert.h"
#include "base/here.h"
#include "proc/post.h"
#include "proc/runtime.h"
#include "proc/signal.h"

/* -- making them ------------------------------------------------------------------ */

struct weft__message *weft__signal_new(enum weft__message_kind kind, weft_term term)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;

    while ((message = weft__message_new(kind, term, &refusal)) == NULL) {
        weft__check(refusal.problem == WEFT__COPY_OK);
        sched_yield();
    }
    return message;
}

struct weft__message *weft__signal_tuple(enum weft__message_kind kind, const weft_term *elements, size_t n)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;

    while ((message = weft__message_tuple(kind, elements, n, &refusal)) == NULL) {
        weft__check(refusal.problem == WEFT__COPY_OK);
        sched_yield();
    }
    return message;
}

struct weft__message *weft__signal_exit_new(weft_pid from, weft_term reason, bool by_link)
{
    weft_term elements[3] = {WEFT_ATOM("EXIT"), from, reason};
    struct weft__message *message = weft__signal_tuple(WEFT__SIGNAL_EXIT, elements, 3);

    message->from = from.bits;
    message->block.flags = by_link ? WEFT__BY_LINK : 0;
    return message;
}

struct weft__message *weft__signal_unlinked_new(weft_pid from, uint64_t number)
{
    struct weft__message *message = weft__signal_new(WEFT__SIGNAL_UNLINKED, weft_none);

    message->from = from.bits;
    message->ref = number;
    return message;
}

struct weft__message *weft__signal_down_new(weft_term from, uint64_t ref, weft_term reason)
{
    weft_term elements[5] = {WEFT_ATOM("DOWN"), weft__term(ref), WEFT_ATOM("process"), from, reason};
    struct weft__message *message = weft__signal_tuple(WEFT__SIGNAL_DOWN, elements, 5);

    message->from = from.bits;
    message->ref = ref;
    message->block.flags = WEFT__IS_DOWN;
    return message;
}

/* -- sending them ------------------------------------------------------------------- */

bool weft__signal_give(weft_pid to, struct weft__message *message)
{
    struct weft__proc *peer = weft__proc_slot(to);

    if (peer != NULL && weft__proc_is_there(peer, to))
        return weft__message_send(peer, to, message);
    weft__message_free(message);
    return false;
}

void weft__signal_exit_by_link(struct weft__proc *proc, weft_pid to)
{
    bool is_value = (proc->flags & (WEFT__IS_TASK | WEFT__RETURNED)) == (WEFT__IS_TASK | WEFT__RETURNED);

    weft__signal_give(to, weft__signal_exit_new(proc->pid, is_value ? WEFT_ATOM("normal") : proc->reason, true));
}

static void task_end(struct weft__proc *proc)
{
    bool has_value = (proc->flags & WEFT__RETURNED) != 0;
    struct weft__copy_refusal refusal;
    struct weft__message *message;
    weft_term root = has_value && weft_is_none(proc->reason) ? WEFT_ATOM("nil") : proc->reason;

    while ((message = weft__message_new(WEFT__SIGNAL_TASK_END, root, &refusal)) == NULL) {
        if (refusal.problem == WEFT__COPY_OK) {
            sched_yield();
            continue;
        }
        has_value = false;
        root = weft_tuple(WEFT_ATOM("badarg"), weft_str(weft__copy_words(&refusal)));
        proc->flags &= ~(uint32_t)WEFT__RETURNED;
        proc->reason = root;
    }
    message->from = proc->pid.bits;
    message->ref = atomic_load_explicit(&proc->task_ref, memory_order_relaxed);
    message->block.flags = has_value ? WEFT__HAS_VALUE : 0;
    weft__signal_give(weft__task_owner(proc), message);
}

/* A result that is no memory, an owner that is there: how nearly every task ends.
 * false: nothing was done. */
static bool task_end_quick(struct weft__here *here, struct weft__proc *proc)
{
    weft_pid to = weft__task_owner(proc);
    struct weft__proc *owner = weft__table_at(&weft__runtime()->table, weft__pid_slot(to));
    struct weft__message *message;

    if ((proc->flags & WEFT__RETURNED) == 0 || weft__is_memory(proc->reason) || weft__is_special(proc->reason) ||
        weft_is_none(proc->reason) || owner == NULL || !weft__proc_is_there(owner, to))
        return false;
    message = weft__message_alloc(here->slot.cache, WEFT__SIGNAL_TASK_END, 0);
    if (message == NULL)
        return false;
    message->root = proc->reason;
    message->from = proc->pid.bits;
    message->ref = atomic_load_explicit(&proc->task_ref, memory_order_relaxed);
    message->block.flags = WEFT__HAS_VALUE;
    weft__message_post(here, owner, to, message, false);
    return true;
}

void weft__signal_task_end(struct weft__proc *proc)
{
    if (__builtin_expect(!task_end_quick(weft__here(), proc), 0))
        task_end(proc);
}

static bool send_plain(struct weft__proc *proc, weft_pid to, enum weft__message_kind kind, uint64_t ref)
{
    struct weft__message *message = weft__signal_new(kind, weft_none);

    message->from = proc->pid.bits;
    message->ref = ref;
    return weft__signal_give(to, message);
}

bool weft__signal_task_begin(struct weft__proc *task)
{
    uint64_t ref = atomic_load_explicit(&task->task_ref, memory_order_relaxed);

    return send_plain(task, weft__task_owner(task), WEFT__SIGNAL_TASK_BEGIN, ref);
}

void weft__signal_down(struct weft__proc *proc, weft_pid to, uint64_t ref, weft_term reason)
{
    bool is_value = (proc->flags & WEFT__RETURNED) != 0;

    weft__signal_give(to, weft__signal_down_new(proc->pid, ref, is_value ? WEFT_ATOM("normal") : reason));
}

void weft__signal_link(struct weft__proc *proc, weft_pid to)
{
    if (!send_plain(proc, to, WEFT__SIGNAL_LINK, 0))
        weft__signal_noproc_exit(proc, to);
}

bool weft__signal_unlink(struct weft__proc *proc, weft_pid to, uint64_t number)
{
    return send_plain(proc, to, WEFT__SIGNAL_UNLINK, number);
}

void weft__signal_monitor(struct weft__proc *proc, weft_pid to, uint64_t ref)
{
    if (!send_plain(proc, to, WEFT__SIGNAL_MONITOR, ref))
        weft__signal_noproc_down(proc, to, ref);
}

void weft__signal_demonitor(struct weft__proc *proc, weft_pid to, uint64_t ref)
{
    send_plain(proc, to, WEFT__SIGNAL_DEMONITOR, ref);
}

void weft__signal_exit(struct weft__proc *proc, weft_pid to, weft_term reason)
{
    bool kills = reason.bits == WEFT_ATOM("kill").bits;
    struct weft__proc *peer = weft__proc_slot(to);

    if (peer == NULL || !weft__proc_is_there(peer, to))
        return;
    weft__message_send(peer, to, weft__signal_exit_new(proc->pid, reason, false));
    if (kills)
        weft__proc_mark_killed(peer, to);
}

void weft__signal_stop(struct weft__proc *proc, weft_pid to, weft_term reason)
{
    struct weft__proc *peer = weft__proc_slot(to);
    struct weft__message *message;

    if (peer == NULL || !weft__proc_is_there(peer, to))
        return;
    message = weft__signal_exit_new(proc->pid, reason, false);
    message->block.flags = WEFT__AT_STOP;
    weft__message_send(peer, to, message);
}

void weft__signal_reply(struct weft__proc *proc, weft_pid to, uint64_t ref, weft_term answer)
{
    struct weft__message *message = weft__signal_new(WEFT__MESSAGE_REPLY, answer);

    message->from = proc->pid.bits;
    message->ref = ref;
    weft__signal_give(to, message);
}

void weft__signal_call_over(struct weft__proc *proc, weft_pid to, uint64_t ref)
{
    send_plain(proc, to, WEFT__SIGNAL_CALL_OVER, ref);
}

void weft__signal_call_down(weft_pid from, weft_pid to, uint64_t ref, weft_term reason)
{
    struct weft__message *message = weft__signal_new(WEFT__MESSAGE_REPLY, reason);

    message->from = from.bits;
    message->ref = ref;
    message->block.flags = WEFT__NO_ANSWER;
    weft__signal_give(to, message);
}

void weft__signal_noproc_exit(struct weft__proc *proc, weft_pid peer)
{
    weft__message_send(proc, proc->pid, weft__signal_exit_new(peer, WEFT_ATOM("noproc"), true));
}

void weft__signal_noproc_down(struct weft__proc *proc, weft_pid peer, uint64_t ref)
{
    weft__message_send(proc, proc->pid, weft__signal_down_new(peer, ref, WEFT_ATOM("noproc")));
}

#include "proc/signal.h"

#include <sched.h>
#include <string.h>

#include "base/assert.h"
#include "base/here.h"
#include "proc/alarm.h"
#include "proc/bond.h"
#include "proc/limit.h"
#include "proc/mailbox.h"
#include "proc/post.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "weft/error.h"

/* -- making them ------------------------------------------------------------------ */

/* A signal is never lost for want of memory: others will give some back. */
static struct weft__message *signal_new(enum weft__message_kind kind, weft_term term)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;

    while ((message = weft__message_new(kind, term, &refusal)) == NULL) {
        weft__check(refusal.problem == WEFT__COPY_OK);
        sched_yield();
    }
    return message;
}

static struct weft__message *signal_tuple(enum weft__message_kind kind, const weft_term *elements, size_t n)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;

    while ((message = weft__message_tuple(kind, elements, n, &refusal)) == NULL) {
        weft__check(refusal.problem == WEFT__COPY_OK);
        sched_yield();
    }
    return message;
}

static struct weft__message *exit_new(weft_pid from, weft_term reason, bool by_link)
{
    weft_term elements[3] = {WEFT_ATOM("EXIT"), from, reason};
    struct weft__message *message = signal_tuple(WEFT__SIGNAL_EXIT, elements, 3);

    message->from = from.bits;
    message->block.flags = by_link ? WEFT__BY_LINK : 0;
    return message;
}

static struct weft__message *unlinked_new(weft_pid from, uint64_t number)
{
    struct weft__message *message = signal_new(WEFT__SIGNAL_UNLINKED, weft_none);

    message->from = from.bits;
    message->ref = number;
    return message;
}

static struct weft__message *down_new(weft_term from, uint64_t ref, weft_term reason)
{
    weft_term elements[5] = {WEFT_ATOM("DOWN"), weft__term(ref), WEFT_ATOM("process"), from, reason};
    struct weft__message *message = signal_tuple(WEFT__SIGNAL_DOWN, elements, 5);

    message->from = from.bits;
    message->ref = ref;
    message->block.flags = WEFT__IS_DOWN;
    return message;
}

/* -- sending them ------------------------------------------------------------------- */

/* To a pid that is there, or nowhere: freed at once when the slot is another's. */
static bool send(weft_pid to, struct weft__message *message)
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

    send(to, exit_new(proc->pid, is_value ? WEFT_ATOM("normal") : proc->reason, true));
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
    send(weft__task_owner(proc), message);
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
    struct weft__message *message = signal_new(kind, weft_none);

    message->from = proc->pid.bits;
    message->ref = ref;
    return send(to, message);
}

bool weft__signal_task_begin(struct weft__proc *task)
{
    uint64_t ref = atomic_load_explicit(&task->task_ref, memory_order_relaxed);

    return send_plain(task, weft__task_owner(task), WEFT__SIGNAL_TASK_BEGIN, ref);
}

void weft__signal_down(struct weft__proc *proc, weft_pid to, uint64_t ref, weft_term reason)
{
    bool is_value = (proc->flags & WEFT__RETURNED) != 0;

    send(to, down_new(proc->pid, ref, is_value ? WEFT_ATOM("normal") : reason));
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
    weft__message_send(peer, to, exit_new(proc->pid, reason, false));
    if (kills)
        weft__proc_mark_killed(peer, to);
}

void weft__signal_stop(struct weft__proc *proc, weft_pid to, weft_term reason)
{
    struct weft__proc *peer = weft__proc_slot(to);
    struct weft__message *message;

    if (peer == NULL || !weft__proc_is_there(peer, to))
        return;
    message = exit_new(proc->pid, reason, false);
    message->block.flags = WEFT__AT_STOP;
    weft__message_send(peer, to, message);
}

void weft__signal_reply(struct weft__proc *proc, weft_pid to, uint64_t ref, weft_term answer)
{
    struct weft__message *message = signal_new(WEFT__MESSAGE_REPLY, answer);

    message->from = proc->pid.bits;
    message->ref = ref;
    send(to, message);
}

void weft__signal_call_over(struct weft__proc *proc, weft_pid to, uint64_t ref)
{
    send_plain(proc, to, WEFT__SIGNAL_CALL_OVER, ref);
}

void weft__signal_call_down(weft_pid from, weft_pid to, uint64_t ref, weft_term reason)
{
    struct weft__message *message = signal_new(WEFT__MESSAGE_REPLY, reason);

    message->from = from.bits;
    message->ref = ref;
    message->block.flags = WEFT__NO_ANSWER;
    send(to, message);
}

void weft__signal_noproc_exit(struct weft__proc *proc, weft_pid peer)
{
    weft__message_send(proc, proc->pid, exit_new(peer, WEFT_ATOM("noproc"), true));
}

void weft__signal_noproc_down(struct weft__proc *proc, weft_pid peer, uint64_t ref)
{
    weft__message_send(proc, proc->pid, down_new(peer, ref, WEFT_ATOM("noproc")));
}

/* -- a signal for somebody who is not there any more -------------------------------------- */

static void drop(struct weft__message *message, weft_term reason)
{
    weft_pid from = weft__term(message->from), to = weft__term(message->to);

    switch (message->block.kind) {
    case WEFT__SIGNAL_LINK:
        send(from, exit_new(to, reason, true));
        break;
    case WEFT__SIGNAL_UNLINK:
        send(from, unlinked_new(to, message->ref));
        break;
    case WEFT__SIGNAL_MONITOR:
        send(from, down_new(to, message->ref, reason));
        break;
    case WEFT__MESSAGE_CALL:
    case WEFT__MESSAGE_SYSTEM:
        weft__signal_call_down(to, from, message->ref, reason);
        break;
    case WEFT__SIGNAL_INFO: {
        struct weft__message *reply = signal_new(WEFT__MESSAGE_REPLY, weft_none);

        reply->ref = message->ref;
        send(from, reply);
        break;
    }
    case WEFT__SIGNAL_TASK_BEGIN: /* who wanted it is gone: an end that is no crash (TSUP-10) */
        send(from, exit_new(to, weft_tuple(WEFT_ATOM("shutdown"), reason), false));
        break;
    default:
        break;
    }
    weft__message_free(message);
}

/* What was in an inbox, oldest first, linked both ways. */
struct arrivals {
    struct weft__message *first, *last;
    uint32_t n;
    bool all_plain; /* each is a WEFT__MESSAGE for this process */
};

static inline bool is_plain(const struct weft__proc *proc, const struct weft__message *message)
{
    return message->block.kind == WEFT__MESSAGE && message->to == proc->pid.bits;
}

/* One walk over the chain. A line of it may come from another core, and the way
 * to the next one is in it: so each plain one says what to prefetch on this walk,
 * and is told what to prefetch when it is received. */
static struct arrivals turn_round(const struct weft__proc *proc, struct weft__message *newest)
{
    struct arrivals arrivals = {.last = newest, .all_plain = true};
    struct weft__message *newer = NULL, *older, *window[WEFT__PUSHED] = {NULL};

    for (struct weft__message *message = newest; message != NULL; message = older) {
        older = weft__message_next(message);
        if (__builtin_expect(is_plain(proc, message), 1)) {
            __builtin_prefetch((const void *)(uintptr_t)message->from, 1);
            message->ref = (uintptr_t)window[arrivals.n % WEFT__PUSHED];
            window[arrivals.n % WEFT__PUSHED] = message;
        } else {
            arrivals.all_plain = false;
        }
        message->block.next = newer != NULL ? &newer->block : NULL;
        if (newer != NULL)
            newer->prev = message;
        newer = message;
        arrivals.n++;
    }
    arrivals.first = newer;
    return arrivals;
}

/* All of the inbox. */
static struct arrivals take_inbox(struct weft__proc *proc)
{
    /* Acquire, with the senders' release: what they wrote is there. */
    struct weft__message *newest = atomic_exchange_explicit(&proc->inbox, NULL, memory_order_acquire);

    /* A guest's thread may wait while the runtime that stops ends the guest. */
    return turn_round(proc, newest != WEFT__WAITS_FOR_MAIL ? newest : NULL);
}

void weft__signal_drop_inbox(struct weft__proc *proc)
{
    struct weft__message *message, *next;
    weft_term reason = proc->flags & WEFT__RETURNED ? WEFT_ATOM("normal") : proc->reason;

    for (message = take_inbox(proc).first; message != NULL; message = next) {
        next = weft__message_next(message);
        drop(message, message->to == proc->pid.bits ? reason : WEFT_ATOM("noproc"));
    }
}

void weft__signal_drop_mailbox(struct weft__proc *proc)
{
    struct weft__message *message, *next;

    for (message = proc->mailbox.first; message != NULL; message = next) {
        next = weft__message_next(message);
        drop(message, proc->reason);
    }
    proc->mailbox.first = proc->mailbox.last = proc->mailbox.mark = NULL;
    proc->n_messages = 0;
}

/* -- acting on them -------------------------------------------------------------------------- */

static void doom(struct weft__proc *proc, struct weft__message *message, weft_term reason)
{
    if (proc->flags & (WEFT__DOOMED | WEFT__ENDS)) {
        weft__message_free(message); /* the first one counts */
        return;
    }
    weft__region_adopt(&proc->region, &message->block);
    proc->flags |= WEFT__DOOMED;
    proc->reason = reason;
    /* Release is not needed: a flag that says no earlier than it should. */
    atomic_fetch_or_explicit(&proc->state, WEFT__KILLED, memory_order_relaxed);
}

/* The link with a peer goes; false: there was none. */
static bool take_link(struct weft__proc *proc, uint64_t peer)
{
    struct weft__bond *bond;

    if (weft__is_linked_owner(proc, peer)) {
        proc->flags &= ~(uint32_t)WEFT__OWNER_LINK;
        return true;
    }
    bond = weft__bond_find(proc, peer);
    if (bond == NULL || bond->kind != WEFT__BOND_LINK)
        return false;
    if (bond->cut != 0)
        bond->kind = WEFT__BOND_CUT;
    else
        weft__bond_remove(proc, bond);
    return true;
}

static void on_exit_signal(struct weft__proc *proc, struct weft__message *message)
{
    weft_term reason = weft_tuple_at(message->root, 2);
    bool by_link = (message->block.flags & WEFT__BY_LINK) != 0;

    if (by_link) {
        if (!take_link(proc, message->from)) { /* unlinked since */
            weft__message_free(message);
            return;
        }
    } else if (reason.bits == WEFT_ATOM("kill").bits) {
        doom(proc, message, WEFT_ATOM("killed"));
        return;
    }
    if (proc->flags & WEFT__TRAPS) {
        message->block.kind = WEFT__MESSAGE;
        message->block.flags = (uint8_t)(WEFT__IS_EXIT | (message->block.flags & WEFT__AT_STOP));
        weft__mailbox_append(proc, message);
    } else if (reason.bits == WEFT_ATOM("normal").bits &&
               (by_link || message->from != proc->pid.bits)) {
        weft__message_free(message);
    } else {
        doom(proc, message, reason);
    }
}

static void on_down(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);
    weft_term *elements;

    if (bond == NULL || bond->kind != WEFT__BOND_MONITOR) {
        weft__message_free(message);
        return;
    }
    elements = weft__box_terms(message->root);
    if (!weft_is_none(bond->tag))
        elements[0] = bond->tag;
    if (!weft_is_none(bond->name))
        elements[3] = bond->name;
    if (bond->alias == WEFT_ALIAS_EXPLICIT)
        bond->kind = WEFT__BOND_ALIAS;
    else
        weft__bond_remove(proc, bond);
    message->block.kind = WEFT__MESSAGE;
    weft__mailbox_append(proc, message);
}

static void on_alias(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);

    if (bond == NULL || bond->alias == WEFT_ALIAS_NONE) {
        if (message->block.flags & WEFT__COUNTED)
            weft__room_left(proc, message);
        weft__message_free(message);
        return;
    }
    if (bond->alias == WEFT_ALIAS_REPLY_DEMONITOR) {
        if (bond->kind == WEFT__BOND_MONITOR)
            weft__signal_demonitor(proc, weft__term(bond->peer), bond->key);
        weft__bond_remove(proc, bond);
    }
    message->block.kind = WEFT__MESSAGE;
    weft__mailbox_append(proc, message);
}

/* A bond that is there is a link already, or a CUT, whose answer comes later. */
static void on_link(struct weft__proc *proc, struct weft__message *message)
{
    while (!weft__is_linked_owner(proc, message->from) && weft__bond_find(proc, message->from) == NULL &&
           weft__bond_add(proc, WEFT__BOND_LINK, message->from, message->from) == NULL)
        sched_yield();
    weft__message_free(message);
}

static void on_monitor(struct weft__proc *proc, struct weft__message *message)
{
    while (weft__bond_add(proc, WEFT__BOND_WATCHER, message->ref, message->from) == NULL)
        sched_yield();
    weft__message_free(message);
}

static void on_unlink(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond;

    take_link(proc, message->from);
    /* A task may unlink its owner. */
    bond = weft__bond_find_task(proc, message->from);
    if (bond != NULL)
        bond->is_linked = false;
    send(weft__term(message->from), unlinked_new(proc->pid, message->ref));
    weft__message_free(message);
}

static void on_unlinked(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->from);

    if (bond != NULL && bond->cut == message->ref) {
        bond->cut = 0;
        if (bond->kind == WEFT__BOND_CUT)
            weft__bond_remove(proc, bond);
    }
    weft__message_free(message);
}

static void on_demonitor(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);

    if (bond != NULL && bond->kind == WEFT__BOND_WATCHER)
        weft__bond_remove(proc, bond);
    weft__message_free(message);
}

static void on_info(struct weft__proc *proc, struct weft__message *message)
{
    weft_scope scope;

    weft__scope_enter(&scope, weft__region_here());
    /* A fatal signal came before the question: it is dead to who asks. */
    weft__signal_reply(proc, weft__term(message->from), message->ref,
                       proc->flags & (WEFT__DOOMED | WEFT__ENDS)
                           ? weft_none : weft__info_answer(proc, message->root));
    weft__scope_leave(&scope);
    weft__message_free(message);
}

void weft__signal_take_reply(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);

    if (bond == NULL || bond->kind != WEFT__BOND_REPLY || bond->is_done) {
        weft__message_free(message);
        return;
    }
    bond->is_done = true;
    bond->is_foreign = message->from != bond->peer;
    bond->message = message;
}

/* To a server a request stays what it is; another process finds a plain
 * message: {:"$gen_call", from, request}, {:"$gen_cast", request}, {:system,
 * from, request}. */
static void on_request(struct weft__proc *proc, struct weft__message *message)
{
    weft_term from = weft__term(message->ref);
    weft_term call[3] = {WEFT_ATOM("$gen_call"), from, message->root};
    weft_term system[3] = {WEFT_ATOM("system"), from, message->root};
    weft_term cast[2] = {WEFT_ATOM("$gen_cast"), message->root};
    enum weft__message_kind kind = message->block.kind;
    struct weft__message *plain;

    if (proc->fiber.kind == WEFT__PROC_SERVER) {
        weft__mailbox_append(proc, message);
        return;
    }
    if (weft__wants_reply(message) && weft__waits_for(message->ref))
        while (weft__bond_add(proc, WEFT__BOND_CALLER, message->ref, message->from) == NULL)
            sched_yield();
    plain = signal_tuple(WEFT__MESSAGE, kind == WEFT__MESSAGE_CALL ? call : kind == WEFT__MESSAGE_CAST ? cast : system,
                         kind == WEFT__MESSAGE_CAST ? 2 : 3);
    plain->to = message->to;
    plain->block.flags = message->block.flags & WEFT__COUNTED; /* it has its place */
    weft__mailbox_append(proc, plain);
    weft__message_free(message);
}

static void on_call_over(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);

    if (bond != NULL && bond->kind == WEFT__BOND_CALLER)
        weft__bond_remove(proc, bond);
    weft__message_free(message);
}

/* The link part of a task's end. is_quiet: no {:EXIT, ...} for one that traps. */
static void task_link_part(struct weft__proc *proc, struct weft__bond *bond,
                           struct weft__message *message, bool is_quiet)
{
    weft_term reason = message->block.flags & WEFT__HAS_VALUE ? WEFT_ATOM("normal") : message->root;

    if (!bond->is_linked)
        return;
    bond->is_linked = false;
    if (proc->flags & WEFT__TRAPS) {
        if (!is_quiet) {
            struct weft__message *exit = exit_new(weft__term(message->from), reason, true);

            exit->block.kind = WEFT__MESSAGE;
            exit->block.flags = WEFT__IS_EXIT;
            exit->to = proc->pid.bits;
            weft__mailbox_append(proc, exit);
        }
    } else if (reason.bits != WEFT_ATOM("normal").bits) {
        struct weft__message *exit = exit_new(weft__term(message->from), reason, true);

        doom(proc, exit, weft_tuple_at(exit->root, 2));
    }
}

/* An owner that ends meanwhile, or gave the wait up, wants it to end (TSUP-10). */
static void on_task_begin(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);

    if (bond == NULL || bond->kind != WEFT__BOND_TASK || (proc->flags & WEFT__ENDS) != 0) {
        drop(message, proc->flags & WEFT__ENDS ? proc->reason : WEFT_ATOM("normal"));
        return;
    }
    bond->peer = message->from;
    weft__message_free(message);
}

static void on_task_end(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);

    if (bond == NULL || bond->kind != WEFT__BOND_TASK) {
        weft__message_free(message);
        return;
    }
    if (bond->is_silent) {
        task_link_part(proc, bond, message, true);
        weft__bond_remove(proc, bond);
        weft__message_free(message);
        return;
    }
    bond->is_done = true;
    bond->message = message;
    if (bond->collector != NULL) {
        /* A :normal end of one that is linked tells nobody anything here. */
        if ((message->block.flags & WEFT__HAS_VALUE) == 0)
            task_link_part(proc, bond, message, true);
        bond->collector->ended(bond->collector, proc, bond);
        return;
    }
    message->block.kind = WEFT__MESSAGE_TASK;
    weft__mailbox_append(proc, message);
    task_link_part(proc, bond, message, false);
}

static void act(struct weft__proc *proc, struct weft__message *message)
{
    switch ((enum weft__message_kind)message->block.kind) {
    case WEFT__MESSAGE:
    case WEFT__MESSAGE_TASK:
        weft__mailbox_append(proc, message);
        break;
    case WEFT__MESSAGE_ALIAS:
        on_alias(proc, message);
        break;
    case WEFT__MESSAGE_REPLY:
        weft__signal_take_reply(proc, message);
        break;
    case WEFT__MESSAGE_CALL:
    case WEFT__MESSAGE_SYSTEM:
    case WEFT__MESSAGE_CAST:
        on_request(proc, message);
        break;
    case WEFT__SIGNAL_EXIT:
        on_exit_signal(proc, message);
        break;
    case WEFT__SIGNAL_LINK:
        on_link(proc, message);
        break;
    case WEFT__SIGNAL_UNLINK:
        on_unlink(proc, message);
        break;
    case WEFT__SIGNAL_UNLINKED:
        on_unlinked(proc, message);
        break;
    case WEFT__SIGNAL_MONITOR:
        on_monitor(proc, message);
        break;
    case WEFT__SIGNAL_DEMONITOR:
        on_demonitor(proc, message);
        break;
    case WEFT__SIGNAL_DOWN:
        on_down(proc, message);
        break;
    case WEFT__SIGNAL_INFO:
        on_info(proc, message);
        break;
    case WEFT__SIGNAL_TASK_BEGIN:
        on_task_begin(proc, message);
        break;
    case WEFT__SIGNAL_TASK_END:
        on_task_end(proc, message);
        break;
    case WEFT__SIGNAL_CALL_OVER:
        on_call_over(proc, message);
        break;
    }
}

static inline void put_in(struct weft__proc *proc, struct arrivals arrivals)
{
    struct weft__message *message, *next;

    if (arrivals.n == 0)
        return;
    if (__builtin_expect(arrivals.all_plain, 1)) {
        weft__mailbox_join(proc, arrivals.first, arrivals.last, arrivals.n);
        return;
    }
    for (message = arrivals.first; message != NULL; message = next) {
        next = weft__message_next(message);
        if (is_plain(proc, message))
            weft__mailbox_append(proc, message);
        else if (message->to == proc->pid.bits)
            act(proc, message);
        else
            drop(message, WEFT_ATOM("noproc"));
    }
}

/* The same, with an eye on the limit of its memory. */
static inline void take_in(struct weft__proc *proc, struct arrivals arrivals)
{
    size_t size = 0;

    if (__builtin_expect((proc->flags & WEFT__LIMITED) == 0, 1)) {
        put_in(proc, arrivals);
        return;
    }
    for (struct weft__message *message = arrivals.n > 0 ? arrivals.first : NULL; message != NULL;
         message = weft__message_next(message))
        size += message->block.size;
    put_in(proc, arrivals);
    if (size > 0)
        weft__limit_mail(proc, size);
}

void weft__proc_drain(struct weft__proc *proc)
{
    do {
        if (weft__proc_has_inbox(proc)) {
            take_in(proc, take_inbox(proc));
            weft__alarm_look(proc);
        }
        if ((atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__EVENT_SIGNAL) == 0)
            return;
        /* Only now, since is_alive takes the bit for "something undecided
         * waits"; then look again: seq_cst, against the senders' push and set.
         * It may stand for what was drained before it was set; left there, it
         * would let no park commit. */
        atomic_fetch_and_explicit(&proc->state, ~WEFT__EVENT_SIGNAL, memory_order_seq_cst);
    } while (atomic_load_explicit(&proc->inbox, memory_order_seq_cst) != NULL);
}

void weft__proc_take_in(struct weft__proc *proc, struct weft__message *newest)
{
    take_in(proc, turn_round(proc, newest));
    weft__alarm_look(proc);
}

/* -- task ends in the mailbox ------------------------------------------------------------------ */

static void insert_after(struct weft__proc *proc, struct weft__message *before, struct weft__message *message)
{
    struct weft__message *next = weft__message_next(before);

    message->prev = before;
    message->block.next = next != NULL ? &next->block : NULL;
    before->block.next = &message->block;
    if (next != NULL)
        next->prev = message;
    else
        proc->mailbox.last = message;
    proc->n_messages++;
}

/* Skip the task's {:EXIT, ...}, which stands between the result and the DOWN. */
static struct weft__message *last_part(struct weft__message *message)
{
    struct weft__message *next = weft__message_next(message);

    if (next != NULL && (next->block.flags & WEFT__IS_EXIT) &&
        weft_tuple_at(next->root, 1).bits == message->from)
        return next;
    return message;
}

struct weft__message *weft__mailbox_make_plain(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__bond *bond = weft__bond_find(proc, message->ref);
    weft_pid task = weft__term(message->from);
    struct weft__message *down, *first;

    if (bond != NULL)
        weft__bond_remove(proc, bond);
    down = down_new(task, message->ref,
                    message->block.flags & WEFT__HAS_VALUE ? WEFT_ATOM("normal") : message->root);
    down->block.kind = WEFT__MESSAGE;
    down->to = message->to;
    insert_after(proc, last_part(message), down);
    if (message->block.flags & WEFT__HAS_VALUE) {
        weft_term pair[2] = {weft__term(message->ref), message->root};
        struct weft__message *value = signal_tuple(WEFT__MESSAGE, pair, 2);

        value->to = message->to;
        insert_after(proc, message, value);
    }
    first = weft__message_next(message);
    weft__mailbox_remove(proc, message);
    weft__message_free(message);
    return first;
}

struct weft__message *weft__mailbox_first(struct weft__proc *proc)
{
    struct weft__message *first = proc->mailbox.first;

    if (first != NULL && first->block.kind == WEFT__MESSAGE_TASK)
        return weft__mailbox_make_plain(proc, first);
    return first;
}

/* -- tasks: taking and forgetting ------------------------------------------------------------------ */

/* Take a done task's message out of the mailbox, with its {:EXIT, ...}. */
static struct weft__message *take_end(struct weft__proc *proc, struct weft__bond *bond)
{
    struct weft__message *message = bond->message, *part;

    if (message->block.kind != WEFT__MESSAGE_TASK)
        return message; /* a collector's: never was in it */
    part = last_part(message);
    if (part != message) {
        weft__mailbox_remove(proc, part);
        weft__message_free(part);
    }
    weft__mailbox_remove(proc, message);
    return message;
}

struct weft__message *weft__task_take(struct weft__proc *proc, struct weft__bond *bond)
{
    struct weft__message *message = take_end(proc, bond);

    weft__bond_remove(proc, bond);
    return message;
}

bool weft__task_forget(struct weft__proc *proc, uint64_t ref)
{
    struct weft__bond *bond = weft__bond_find(proc, ref);

    if (bond == NULL || bond->kind != WEFT__BOND_TASK)
        return false;
    if (bond->is_done) {
        weft__message_free(take_end(proc, bond));
        weft__bond_remove(proc, bond);
    } else {
        /* Its end is still to come, and must not leave an {:EXIT, ...}. */
        bond->is_silent = true;
        bond->collector = NULL;
    }
    return true;
}

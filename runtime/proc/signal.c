#include "proc/signal.h"

#include <sched.h>

#include "proc/alarm.h"
#include "proc/bond.h"
#include "proc/limit.h"
#include "proc/mailbox.h"
#include "proc/pack.h"
#include "proc/room.h"
#include "proc/signal_make.h"

/* -- a signal for somebody who is not there any more -------------------------------------- */

static void drop(struct weft__message *message, weft_term reason)
{
    weft_pid from = weft__term(message->from), to = weft__term(message->to);

    switch (message->block.kind) {
    case WEFT__SIGNAL_LINK:
        weft__signal_give(from, weft__signal_exit_new(to, reason, true));
        break;
    case WEFT__SIGNAL_UNLINK:
        weft__signal_give(from, weft__signal_unlinked_new(to, message->ref));
        break;
    case WEFT__SIGNAL_MONITOR:
        weft__signal_give(from, weft__signal_down_new(to, message->ref, reason));
        break;
    case WEFT__MESSAGE_CALL:
    case WEFT__MESSAGE_SYSTEM:
        weft__signal_call_down(to, from, message->ref, reason);
        break;
    case WEFT__SIGNAL_INFO: {
        struct weft__message *reply = weft__signal_new(WEFT__MESSAGE_REPLY, weft_none);

        reply->ref = message->ref;
        weft__signal_give(from, reply);
        break;
    }
    case WEFT__SIGNAL_TASK_BEGIN: /* who wanted it is gone: an end that is no crash (TSUP-10) */
        weft__signal_give(from, weft__signal_exit_new(to, weft_tuple(WEFT_ATOM("shutdown"), reason), false));
        break;
    case WEFT__MESSAGE_PACK:
        weft__pack_done(weft__here()->slot.cache, weft__pack_of(message));
        return;
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
            if (message->block.kind == WEFT__MESSAGE_PACK)
                weft__pack_close(weft__pack_of(message));
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
    weft__bond_unlink(proc, bond);
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
    weft__signal_give(weft__term(message->from), weft__signal_unlinked_new(proc->pid, message->ref));
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
    plain = weft__signal_tuple(WEFT__MESSAGE,
                               kind == WEFT__MESSAGE_CALL ? call : kind == WEFT__MESSAGE_CAST ? cast : system,
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
            struct weft__message *exit = weft__signal_exit_new(weft__term(message->from), reason, true);

            exit->block.kind = WEFT__MESSAGE;
            exit->block.flags = WEFT__IS_EXIT;
            exit->to = proc->pid.bits;
            weft__mailbox_append(proc, exit);
        }
    } else if (reason.bits != WEFT_ATOM("normal").bits) {
        struct weft__message *exit = weft__signal_exit_new(weft__term(message->from), reason, true);

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
    case WEFT__MESSAGE_PACK:
        weft__mailbox_append_pack(proc, weft__pack_of(message));
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

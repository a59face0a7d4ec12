/* task_end.c - the ends of tasks that are in their owner's mailbox.
 *
 * The end of a task is one message, WEFT__MESSAGE_TASK, and its task's bond names it.
 * Who awaits the task takes it by the bond; a receive that comes to it makes of it
 * what Elixir's owner finds: {ref, value}, the {:EXIT, ...} of one that traps, DOWN.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proc/bond.h"
#include "proc/mailbox.h"
#include "proc/signal.h"
#include "proc/signal_make.h"

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
    down = weft__signal_down_new(task, message->ref,
                    message->block.flags & WEFT__HAS_VALUE ? WEFT_ATOM("normal") : message->root);
    down->block.kind = WEFT__MESSAGE;
    down->to = message->to;
    insert_after(proc, last_part(message), down);
    if (message->block.flags & WEFT__HAS_VALUE) {
        weft_term pair[2] = {weft__term(message->ref), message->root};
        struct weft__message *value = weft__signal_tuple(WEFT__MESSAGE, pair, 2);

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

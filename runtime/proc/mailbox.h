/* mailbox.h - what a process has been told and has not received yet.
 *
 * A list, oldest first, linked both ways. By its process alone, or by whoever
 * has the process while it waits (proc.h).
 */
#ifndef WEFT_PROC_MAILBOX_H
#define WEFT_PROC_MAILBOX_H

#include "proc/message.h"
#include "proc/proc.h"

static inline void weft__mailbox_append(struct weft__proc *proc, struct weft__message *message)
{
    message->block.next = NULL;
    message->prev = proc->mailbox.last;
    if (proc->mailbox.last != NULL)
        proc->mailbox.last->block.next = &message->block;
    else
        proc->mailbox.first = message;
    proc->mailbox.last = message;
    proc->n_messages++;
}

/* Append n that are linked both ways. */
static inline void weft__mailbox_join(struct weft__proc *proc, struct weft__message *first,
                                      struct weft__message *last, uint32_t n)
{
    first->prev = proc->mailbox.last;
    if (proc->mailbox.last != NULL)
        proc->mailbox.last->block.next = &first->block;
    else
        proc->mailbox.first = first;
    proc->mailbox.last = last;
    proc->n_messages += n;
}

/* A message was taken out of the mailbox of one that is WATCHED. */
void weft__mailbox_left(struct weft__proc *proc, struct weft__message *message);

/* Take out; it belongs to the caller then. */
static inline void weft__mailbox_remove(struct weft__proc *proc, struct weft__message *message)
{
    struct weft__message *next = weft__message_next(message);

    if (message->prev != NULL)
        message->prev->block.next = message->block.next;
    else
        proc->mailbox.first = next;
    if (next != NULL)
        next->prev = message->prev;
    else
        proc->mailbox.last = message->prev;
    /* The mark says "everything up to here is older than the reference". */
    if (proc->mailbox.mark == message)
        proc->mailbox.mark = message->prev;
    proc->n_messages--;
    if (__builtin_expect((proc->flags & WEFT__WATCHED) != 0, 0))
        weft__mailbox_left(proc, message);
}

/* Free all that is in it. */
void weft__mailbox_clear(struct weft__proc *proc);

#endif

/* post.h - the shortest way from a message to a process that runs.
 *
 * The sending half of the wake-up protocol (proc.h), inline, because it is what
 * a program does most.
 */
#ifndef WEFT_PROC_POST_H
#define WEFT_PROC_POST_H

#include "base/here.h"
#include "proc/guest.h"
#include "proc/mailbox.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "proc/runtime.h"

/* A process that waited or was parked is the caller's: let it run. */
static inline void weft__proc_make_ready(struct weft__here *here, struct weft__proc *proc)
{
    if (__builtin_expect(proc->fiber.kind == WEFT__PROC_GUEST, 0))
        weft__guest_wake(proc);
    else if (!weft__fiber_ready_quick(here->worker, &proc->fiber))
        weft__fiber_ready(weft__runtime()->sched, &proc->fiber, WEFT__READY_NEXT);
}

/* To a process that waits for mail: take it, give it the message, let it run.
 * false: it does not wait any more, and *newest is what is in its inbox. */
static inline bool weft__message_hand_over(struct weft__here *here, struct weft__proc *to,
                                           struct weft__message *message, bool is_plain,
                                           struct weft__message **newest)
{
    message->block.next = NULL;
    /* Seq_cst: acquires the process from the thread that it left, and releases
     * the message. Relaxed on failure: nothing is read through it. */
    if (!atomic_compare_exchange_strong_explicit(&to->inbox, newest, is_plain ? NULL : message,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    if (is_plain) {
        if (__builtin_expect(to->pid.bits == message->to, 1))
            weft__mailbox_append(to, message);
        else
            weft__message_free_to(here->cache, message); /* for one that lived here before */
    }
    weft__proc_make_ready(here, to);
    return true;
}

/* Give the message to the process, and wake it if it waits for mail. Where it is
 * gone, or another lives there now, the message is dropped at some time.
 * is_plain: its kind is WEFT__MESSAGE. */
static inline void weft__message_post(struct weft__here *here, struct weft__proc *to, weft_pid pid,
                                      struct weft__message *message, bool is_plain)
{
    /* Relaxed: a guess, checked by the exchanges. */
    struct weft__message *newest = atomic_load_explicit(&to->inbox, memory_order_relaxed);

    message->to = pid.bits;
    for (;;) {
        if (newest == WEFT__WAITS_FOR_MAIL) {
            if (weft__message_hand_over(here, to, message, is_plain, &newest))
                return;
            continue;
        }
        message->block.next = newest != NULL ? &newest->block : NULL;
        /* Seq_cst: it releases the message, and comes before the look of who
         * wants an answer (weft__message_send). */
        if (atomic_compare_exchange_weak_explicit(&to->inbox, &newest, message,
                                                  memory_order_seq_cst, memory_order_relaxed))
            return;
    }
}

#endif

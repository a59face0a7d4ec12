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
    else if (!weft__fiber_ready_quick(here->slot.worker, &proc->fiber))
        weft__fiber_ready(weft__runtime()->sched, &proc->fiber, WEFT__READY_NEXT);
}

/* It runs soon, mostly here: bring near the frames it stopped in, while its waker
 * still has something to do. With a thousand processes in a ring a hop costs 34
 * instead of 43 ns. (always_inline: gcc 12 drops calls of what only prefetches.) */
__attribute__((always_inline))
static inline void weft__proc_prefetch_stack(const struct weft__proc *proc)
{
    const struct weft__stack *stack = proc->fiber.stack;

    if (stack == NULL)
        return;
#pragma GCC unroll 8
    for (int line = 0; line < 8; line++)
        __builtin_prefetch((const char *)stack->context.sp + 64 * line);
}

/* To a process that waits for mail: take it and give it the message; it is the caller's to
 * make ready. false: it does not wait any more, and *newest is what is in its inbox. */
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
            weft__message_free_to(here->slot.cache, message); /* for one that lived here before */
    }
    return true;
}

/* Take a process that waits for mail: nothing is in its inbox, and until the caller
 * makes it ready it is the caller's, who may do what its drain would. Another one
 * may live there by now. */
static inline bool weft__proc_take_waiting(struct weft__proc *proc)
{
    struct weft__message *mark = WEFT__WAITS_FOR_MAIL;

    /* Relaxed: a guess, checked by the exchange. Seq_cst, as in hand_over. */
    return atomic_load_explicit(&proc->inbox, memory_order_relaxed) == mark &&
           atomic_compare_exchange_strong_explicit(&proc->inbox, &mark, NULL, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

/* The message goes to a process that is busy: many may come to lie there, and
 * who takes them walks from one to the next, perhaps on another core. `from`,
 * which a plain message does not need, says what to prefetch on that walk. */
static inline void weft__message_leave_hint(struct weft__here *here, struct weft__message *message)
{
    const void **slot = &here->pushed[here->n_pushed++ % WEFT__PUSHED];

    message->from = (uintptr_t)*slot;
    *slot = message;
    if (here->slot.cache != NULL)
        weft__slab_prefetch(here->slot.cache, sizeof *message);
}

/* Give the message to the process. Where it is gone, or another lives there now, the
 * message is dropped at some time. is_plain: its kind is WEFT__MESSAGE. true: the process
 * waited for mail, and is the caller's to make ready. */
static inline bool weft__message_give(struct weft__here *here, struct weft__proc *to, weft_pid pid,
                                      struct weft__message *message, bool is_plain)
{
    /* Relaxed: a guess, checked by the exchanges. */
    struct weft__message *newest = atomic_load_explicit(&to->inbox, memory_order_relaxed);

    message->to = pid.bits;
    if (is_plain && newest != WEFT__WAITS_FOR_MAIL)
        weft__message_leave_hint(here, message);
    for (;;) {
        if (newest == WEFT__WAITS_FOR_MAIL) {
            if (weft__message_hand_over(here, to, message, is_plain, &newest))
                return true;
            continue;
        }
        message->block.next = newest != NULL ? &newest->block : NULL;
        /* Seq_cst: it releases the message, and comes before the look of who
         * wants an answer (weft__message_send). */
        if (atomic_compare_exchange_weak_explicit(&to->inbox, &newest, message,
                                                  memory_order_seq_cst, memory_order_relaxed))
            return false;
    }
}

/* The same, and wake it if it waits for mail. */
static inline void weft__message_post(struct weft__here *here, struct weft__proc *to, weft_pid pid,
                                      struct weft__message *message, bool is_plain)
{
    if (weft__message_give(here, to, pid, message, is_plain)) {
        weft__proc_prefetch_stack(to);
        weft__proc_make_ready(here, to);
    }
}

#endif

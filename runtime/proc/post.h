/* post.h - the shortest way from a message to a process that runs.
 *
 * The sending half of the wake-up protocol (proc.h), inline, because it is what
 * a program does most.
 */
#ifndef WEFT_PROC_POST_H
#define WEFT_PROC_POST_H

#include "base/here.h"
#include "proc/guest.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "proc/runtime.h"

/* A process was taken out of WAITING or PARKED: let it run. */
static inline void weft__proc_make_ready(struct weft__here *here, struct weft__proc *proc)
{
    if (__builtin_expect(proc->fiber.kind == WEFT__PROC_GUEST, 0))
        weft__guest_wake(proc);
    else if (!weft__fiber_ready_quick(here->worker, &proc->fiber))
        weft__fiber_ready(weft__runtime()->sched, &proc->fiber, WEFT__READY_NEXT);
}

/* Put the message in the inbox and wake a process that waits for mail. false: it
 * was not there; the message may be dropped at any time, or has been. */
static inline bool weft__message_post(struct weft__here *here, struct weft__proc *to, weft_pid pid,
                                      struct weft__message *message)
{
    struct weft__message *newest = atomic_load_explicit(&to->inbox, memory_order_relaxed);
    uint64_t state;

    message->to = pid.bits;
    do {
        message->block.next = newest != NULL ? &newest->block : NULL;
        /* Seq_cst: (1) of the protocol; it releases the message too. */
    } while (!atomic_compare_exchange_weak_explicit(&to->inbox, &newest, message,
                                                    memory_order_seq_cst, memory_order_relaxed));
    state = atomic_load_explicit(&to->state, memory_order_seq_cst); /* (2) */
    for (;;) {
        uint64_t run = state & WEFT__STATE_MASK;

        if (weft__state_serial(state) != weft__pid_serial(pid) || run == WEFT__FREE ||
            run == WEFT__ENDING)
            return false;
        if (run != WEFT__WAITING)
            return true;
        if (atomic_compare_exchange_weak_explicit(&to->state, &state,
                                                  (state & ~WEFT__STATE_MASK) | WEFT__ACTIVE,
                                                  memory_order_seq_cst, memory_order_seq_cst)) {
            weft__proc_make_ready(here, to);
            return true;
        }
    }
}

#endif

/* fiber.h - what a worker runs: a stack that waits, or a function that has
 * not begun.
 *
 * A fiber that holds no stack is called at the base of the stack its worker
 * is on. If it parks inside that call, it keeps the stack and the worker goes
 * on with another; so most fibers never own one.
 *
 *     idle     stack NULL     run(fiber) starts it
 *     begun    stack set      a switch to the stack goes on with it
 *     running                 some thread's here->fiber is it
 *
 * Invariant: a fiber is in at most one queue, or runs, or is parked.
 */
#ifndef WEFT_SCHED_FIBER_H
#define WEFT_SCHED_FIBER_H

#include <stdint.h>

struct weft__stack;

enum weft__priority {
    WEFT__PRIORITY_HIGH,
    WEFT__PRIORITY_NORMAL,
    WEFT__PRIORITY_LOW,
    WEFT__N_PRIORITIES
};

struct weft__fiber {
    /* Written by whoever holds the fiber: its worker while it runs, the queue
     * while it waits in one. */
    struct weft__fiber *next;                /* queue link */
    struct weft__stack *stack;               /* the stack it holds, or NULL */
    void (*run)(struct weft__fiber *fiber);  /* called at a stack's base */
    uint8_t priority;                        /* enum weft__priority */
    uint8_t is_sticky;                       /* stays on its kernel thread */
    uint8_t stack_class;                     /* weft__stack_class_for() */
    uint8_t kind;                            /* its owner's own note */
    union {
        uint32_t home;         /* worker it ran on last, or is sticky to */
        _Atomic uint32_t word; /* of one that no worker runs: its futex */
    };
};

#endif

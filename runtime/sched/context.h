/* context.h - leave one stack, go on with another.
 *
 * A context is where a stopped stack goes on: pc, sp and fp. All else that
 * must survive, the compiler has put on the stack, because to it a switch is
 * an operation after which every register has changed. So a debugger needs
 * these three words and the ordinary CFI to unwind a stopped stack.
 *
 * Platforms: context_<arch>.S owes weft__context_swap, _enter and
 * weft__context_start. On x86-64 the swap is inline assembly instead, which
 * saves only what is live (1.1 against 2.4 ns); -DWEFT_CONTEXT_PLAIN takes the
 * function there too.
 *
 *  - Resumed by an indirect jump. A `ret` to a stack that was not called from
 *    mispredicts: 7.3 ns.
 *  - The floating-point control words (mxcsr, x87 cw, fpcr) are not switched:
 *    4.2 ns, for what next to nobody changes. They belong to the kernel
 *    thread: a process that changes the rounding mode puts it back before a
 *    call that may park.
 *  - The signal mask is the kernel thread's as well.
 *  - -fcf-protection and branch protection work (landing pads; the jumps to
 *    return sites are notrack). Shadow stacks do not: the object does not
 *    claim them, so that a loader does not turn them on.
 *  - C++ keeps "exceptions being handled" per kernel thread; weft__switch
 *    moves them with the context when libstdc++ is in the program, so that a
 *    catch block may park. Without it that is one load and a branch.
 *
 * Do not cache a thread-local's address across a switch: see base/here.h.
 *
 * Invariant: a context is valid from the switch that saved it, or from
 *            weft__context_make, until the first switch to it.
 * Threads:   a stopped context may go on in any thread; who passes it on
 *            orders the memory (a queue's release and acquire).
 */
#ifndef WEFT_SCHED_CONTEXT_H
#define WEFT_SCHED_CONTEXT_H

#include <stdint.h>

/* Of struct weft__context and of what it means; debugger scripts check it
 * through the symbol weft__context_layout. 1: pc, sp, fp, as in a frame that
 * stopped there. */
#define WEFT__CONTEXT_LAYOUT 1
extern const uint32_t weft__context_layout;

struct weft__stack;

struct weft__context {
    void *pc;
    void *sp;
    void *fp;
};

/* Prepare a stack nobody runs on: the first switch to it calls entry(arg) with
 * the switch's arg. entry must not return. */
void weft__context_make(struct weft__stack *stack, void (*entry)(void *arg));

/* Save the current context in from (the stack this runs on) and go on with to.
 * Returns, when somebody switches to from, what that switch said in arg. */
void *weft__switch(struct weft__stack *from, struct weft__stack *to, void *arg);

/* The same for a context that ends here: from's frames are never resumed, and
 * it may be put away, or made anew, as soon as the other side runs. */
_Noreturn void weft__switch_last(struct weft__stack *from, struct weft__stack *to, void *arg);

/* Abandon all frames of stack, on which this runs, and call entry(arg) at its
 * base. entry must not return. */
_Noreturn void weft__context_rebase(struct weft__stack *stack, void (*entry)(void *arg), void *arg);

#endif

/* context.h - leave one stack, go on with another.
 *
 * A context is where a stopped stack goes on: pc, sp and fp. All else that
 * must survive, the compiler has put on the stack, because to it a switch is
 * an operation after which every register has changed. So a debugger needs
 * these three words and the ordinary CFI to unwind a stopped stack.
 *
 * Platforms: context_<arch>.S owes weft__context_swap, weft__context_enter and
 * weft__context_start. On x86-64 the swap is inline assembly instead: then the
 * compiler saves what is live and no more; -DWEFT_CONTEXT_PLAIN takes the
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

#include "base/assert.h"
#include "sched/stack.h"

extern const uint32_t weft__context_layout;

#define WEFT__CONTEXT_SANITIZED (WEFT__STACK_ASAN || WEFT__STACK_TSAN)

/* On what runs between telling a sanitizer of a switch and making it: a note
 * of a function's entry would be made on one context and that of its exit on
 * the other. */
#if !WEFT__CONTEXT_SANITIZED
#define WEFT__CONTEXT_BARE
#elif defined(__clang__)
#define WEFT__CONTEXT_BARE __attribute__((disable_sanitizer_instrumentation))
#else
#define WEFT__CONTEXT_BARE __attribute__((no_sanitize_address, no_sanitize_thread))
#endif

/* libstdc++'s note of what the calling thread is catching; NULL in a program
 * without C++. The fast one, so that nothing is allocated: the note itself is
 * thread-local. */
struct weft__cxx_globals {
    void *caught;
    unsigned uncaught;
};
extern struct weft__cxx_globals *__cxa_get_globals_fast(void) __attribute__((weak));

/* -- what a platform owes ---------------------------------------------------- */

/* Where a new context begins: its sp points at a function and its second
 * argument; the first is what the switch brings. Ends all backtraces. */
extern char weft__context_start[];

/* Save the context in *save and go on with *to, where arg is the result. */
#if defined(__x86_64__) && !defined(WEFT_CONTEXT_PLAIN)
WEFT__CONTEXT_BARE
static inline void *weft__context_swap(struct weft__context *save, const struct weft__context *to,
                                       void *arg)
{
    __asm__ volatile("leaq 1f(%%rip), %%rcx\n\t"
                     "movq %%rcx, 0(%%rdi)\n\t"
                     "movq %%rsp, 8(%%rdi)\n\t"
                     "movq %%rbp, 16(%%rdi)\n\t"
                     "movq 0(%%rsi), %%rcx\n\t"
                     "movq 8(%%rsi), %%rsp\n\t"
                     "movq 16(%%rsi), %%rbp\n\t"
                     "notrack jmp *%%rcx\n"
                     "1:"
                     : "+a"(arg), "+D"(save), "+S"(to)
                     :
                     /* All registers but rsp and rbp. */
                     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
#ifdef __AVX512F__
                       "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
                       "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31",
                       "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
                       "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",
                       "cc", "memory");
    return arg;
}
#else
void *weft__context_swap(struct weft__context *save, const struct weft__context *to, void *arg);
#endif

/* Go on with *to and save nothing. */
_Noreturn void weft__context_enter(const struct weft__context *to, void *arg);

/* -- switches ----------------------------------------------------------------- */

/* Prepare a stack nobody runs on: the first switch to it calls entry(arg) with
 * the switch's arg. entry must not return. */
void weft__context_make(struct weft__stack *stack, void (*entry)(void *arg));

/* Exceptions that from is handling stay with it. */
WEFT__CONTEXT_BARE
static inline void weft__context_cxx(struct weft__stack *from, struct weft__stack *to)
{
    struct weft__cxx_globals *globals;

    if (__builtin_expect(__cxa_get_globals_fast == NULL, 1))
        return;
    globals = __cxa_get_globals_fast();
    from->cxx_caught = globals->caught;
    from->cxx_uncaught = globals->uncaught;
    globals->caught = to->cxx_caught;
    globals->uncaught = to->cxx_uncaught;
}

/* Save the current context in from, the stack this runs on, and go on with to.
 * Returns, when somebody switches to from, what that switch said in arg. */
#if WEFT__CONTEXT_SANITIZED
void *weft__switch(struct weft__stack *from, struct weft__stack *to, void *arg);
#else
static inline void *weft__switch(struct weft__stack *from, struct weft__stack *to, void *arg)
{
    weft__assert(to->context.pc != NULL);
    weft__context_cxx(from, to);
    return weft__context_swap(&from->context, &to->context, arg);
}
#endif

/* The same for a context that ends here: from's frames are never resumed, and
 * it may be put away, or made anew, as soon as the other side runs. */
_Noreturn void weft__switch_last(struct weft__stack *from, struct weft__stack *to, void *arg);

/* Abandon all frames of stack, on which this runs, and call entry(arg) at its
 * base. entry must not return. */
_Noreturn void weft__context_rebase(struct weft__stack *stack, void (*entry)(void *arg), void *arg);

#endif

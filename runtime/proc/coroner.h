/* coroner.h - was it the process alone that this fault broke?
 *
 * The coroner unwinds the stack on which a process stopped, before anything is
 * cleaned up, and looks whose frames are on it. The process may be ended, and
 * all others go on, when only code that the process called by itself was cut
 * short:
 *
 *   the program's own functions, other libraries' too
 *   at the top, leaves of the C library that hold and change nothing but what
 *       they were given (memcpy, strlen): they count as their caller
 *   abort and failed asserts, when the program called them
 *   weft's gates (base/code.h) from there down to the stack's base
 *
 * Everything else is fatal to the program: the allocator, the loader, weft
 * itself, other functions of the C library, any of its functions that was calling back
 * into the program (qsort), abort from inside the C library (a broken heap, a
 * smashed stack), and a stack that cannot be unwound to its base.
 *
 * It runs in the signal handler, on the alternate stack: so code that is only
 * interrupted (a kill) goes on to the last register when the answer is no. It
 * takes no lock and no memory. A call that a function of weft makes last is a
 * jump, and weft is not on the stack then: its part was done. Unwinding is
 * libgcc's, which is warmed up by prepare; objects are found by _dl_find_object,
 * which is made for this.
 */
#ifndef WEFT_PROC_CORONER_H
#define WEFT_PROC_CORONER_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

struct weft__stack;

#define WEFT__AUTOPSY_FRAMES 24

struct weft__autopsy {
    /* What happened; by the handler. */
    int signo;
    int code;                 /* si_code */
    const void *address;      /* si_addr, of the kernel's faults */
    const void *pc, *sp;
    bool is_overflow;         /* the stack's guard was hit */
    bool is_interrupt;        /* no fault: somebody wants to end it, or its slot */
    bool is_caught;           /* a catch is open (proc/catch.h): what called it goes on */
    /* The stack, innermost first: pc, then in each caller the last byte of its
     * call. */
    uint32_t n_frames;        /* kept below */
    uint32_t n_all;
    const void *frames[WEFT__AUTOPSY_FRAMES];
    const void *function;     /* where the innermost one begins, or NULL */
    /* The verdict. NULL: the process alone. */
    const char *why;
    const void *where;        /* the frame that decided, or NULL */
};

/* Once in the program, before any look. NULL, or why no fault can be told from
 * another here: then every one is fatal. */
const char *weft__coroner_prepare(void);

/* Fill the lower parts of *autopsy. The context is as it was, after. A damaged
 * stack may fault in here: the handler then goes on elsewhere. */
void weft__coroner_look(struct weft__autopsy *autopsy, ucontext_t *context,
                        const struct weft__stack *stack);

/* The same, with another question: is weft itself under way on this stack? Only its
 * gates may be, and what they call must be code of the program or of a library that
 * is its own: a gate may as well be in memcpy. What is cut short does not matter, as
 * it goes on; so the rules above do not hold. The frames are those of the program. */
void weft__coroner_look_for_weft(struct weft__autopsy *autopsy, ucontext_t *context,
                                 const struct weft__stack *stack);

#endif

/* code.h - whose code is it? Told by the address, for whoever looks at a stack.
 *
 * All code of weft lies in one piece of the program: the build renames the
 * sections it is in (build-aux/mark-text), and linkers sort sections of such
 * names. Two kinds of functions are in it:
 *
 *   gates   call functions of the user as they should be called: nothing is
 *           locked or half done meanwhile, so what they called may be given up
 *   others  whoever finds one of these below a function of the user, or at the
 *           top, must let it finish
 *
 * A gate that is called by weft's own code counts with its callers.
 *
 * Where code is put elsewhere after all (link-time optimisation, a linker that
 * does not sort), is_known says so, and nothing can be told.
 */
#ifndef WEFT_BASE_CODE_H
#define WEFT_BASE_CODE_H

#include <stdbool.h>

enum weft__code {
    WEFT__CODE_OTHER, /* not weft's */
    WEFT__CODE_GATE,
    WEFT__CODE_WEFT
};

/* On the definition of a gate: it is not left out by inlining. */
#define WEFT__GATE __attribute__((noinline, section(".text.sorted.weft.b")))

/* Async-signal-safe. */
enum weft__code weft__code_of(const void *pc);
bool weft__code_is_known(void);

#endif

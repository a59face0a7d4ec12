#include "base/code.h"

#include <stdint.h>

/* By name these come in this order: what is marked, gates, boundary, the rest
 * (which mark-text names), end. */
#define MARK(part) __attribute__((used, noinline, section(".text.sorted.weft." part)))

MARK("a") static void code_begins(void)
{
    __asm__ volatile("" ::: "memory");
}

MARK("c") static void gates_end(void)
{
    __asm__ volatile("" ::: "memory");
}

MARK("e") static void code_ends(void)
{
    __asm__ volatile("" ::: "memory");
}

#define ADDRESS(fn) ((uintptr_t)(void (*)(void))(fn))

enum weft__code weft__code_of(const void *pc)
{
    uintptr_t at = (uintptr_t)pc;

    if (at - ADDRESS(code_begins) >= ADDRESS(code_ends) - ADDRESS(code_begins))
        return WEFT__CODE_OTHER;
    return at < ADDRESS(gates_end) ? WEFT__CODE_GATE : WEFT__CODE_WEFT;
}

bool weft__code_is_known(void)
{
    return ADDRESS(code_begins) < ADDRESS(gates_end) && ADDRESS(gates_end) < ADDRESS(code_ends) &&
           weft__code_of((const void *)ADDRESS(weft__code_is_known)) == WEFT__CODE_WEFT;
}

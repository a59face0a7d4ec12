#include "base/here.h"

#include <stddef.h>

/* Initial-exec: an offset from the thread pointer also in a shared library, where
 * the compiler would have to ask the loader for the address each time. It comes
 * out of the room that the loader keeps for libraries opened later. */
__attribute__((tls_model("initial-exec")))
static _Thread_local struct weft__here here_of_thread;

/* noipa, and the asm that the address comes out of: neither inlining, nor LTO,
 * nor "this function is const" may let a caller reuse an address from before a
 * switch. clang has no noipa. It does not inline, but sees that a function
 * returns the address of one variable, and writes that in its callers' place;
 * what an asm may have changed is no such address. */
#if defined(__clang__)
__attribute__((noinline))
#else
__attribute__((noinline, noipa))
#endif
struct weft__here *weft__here(void)
{
    struct weft__here *here = &here_of_thread;

    __asm__ volatile("" : "+r"(here) : : "memory");
    return here;
}

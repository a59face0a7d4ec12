#include "base/here.h"

/* Initial-exec: an offset from the thread pointer also in a shared library, where
 * the compiler would have to ask the loader for the address each time. It comes
 * out of the room that the loader keeps for libraries opened later. */
__attribute__((tls_model("initial-exec")))
static _Thread_local struct weft__here here_of_thread;

/* noipa and the empty asm: neither inlining, nor LTO, nor "this function is
 * const" may let a caller reuse an address from before a switch. */
#if defined(__clang__)
__attribute__((noinline))
#else
__attribute__((noinline, noipa))
#endif
struct weft__here *weft__here(void)
{
    __asm__ volatile("" ::: "memory");
    return &here_of_thread;
}

#include "base/here.h"

static _Thread_local struct weft__here here_of_thread;

void (*weft__here_adopt)(struct weft__here *here);

/* noipa and the empty asm: neither inlining, nor LTO, nor "this function is
 * const" may let a caller reuse an address from before a switch. */
__attribute__((noinline, noclone
#if defined(__GNUC__) && !defined(__clang__)
               , noipa
#endif
               ))
struct weft__here *weft__here(void)
{
    __asm__ volatile("" ::: "memory");
    return &here_of_thread;
}

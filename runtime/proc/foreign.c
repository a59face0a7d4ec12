/* foreign.c - a process says that it holds a lock of somebody else's. */
#include "proc/proc.h"
#include "weft/mutex.h"

void weft_foreign_enter(void)
{
    struct weft__proc *proc = weft__proc_here();

    if (proc != NULL)
        proc->flags += WEFT__FOREIGN_ONE;
}

void weft_foreign_leave(void)
{
    struct weft__proc *proc = weft__proc_here();

    if (proc == NULL)
        return;
    if (proc->flags < WEFT__FOREIGN_ONE)
        weft__proc_badarg("weft_foreign_leave", "there was no weft_foreign_enter before");
    proc->flags -= WEFT__FOREIGN_ONE;
}

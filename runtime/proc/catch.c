/* catch.c - the way back is _longjmp, within one stack and outwards.
 *
 * jmp_buf holds registers only, nothing of a thread's, so the process may have
 * moved to another thread in between; race detectors and ASan know the two
 * functions and follow. The fortified longjmp would look at the alternate
 * signal stack of the thread, which is none of ours: it is not asked for.
 */
#undef _FORTIFY_SOURCE
#include "proc/catch.h"

#include <setjmp.h>

#include "base/code.h"
#include "base/here.h"
#include "proc/bond.h"
#include "proc/proc.h"
#include "proc/runtime.h"

struct weft__catch {
    jmp_buf at;
    weft_scope *scope;         /* innermost when it began */
    weft_term reason;
    struct weft__catch *outer;
};

WEFT__GATE bool weft__catch(struct weft__proc *proc, void (*fn)(void *arg), void *arg, weft_term *reason)
{
    struct weft__extra *extra = weft__proc_extra(proc);
    struct weft__catch here;

    if (extra == NULL)
        weft__proc_system_limit("weft__catch", "out of memory");
    here.scope = proc->region.scope;
    here.reason = weft_none;
    here.outer = extra->catcher;
    extra->catcher = &here;
    if (_setjmp(here.at) == 0) {
        fn(arg);
        proc->extra->catcher = here.outer;
        return true;
    }
    /* A stack that overflowed since goes on with its guard closed. */
    if (weft__here()->stack != NULL)
        weft__stack_close(weft__runtime()->sched->stacks, weft__here()->stack);
    *reason = here.reason;
    return false;
}

bool weft__catch_is_open(const struct weft__proc *proc)
{
    return proc->extra != NULL && proc->extra->catcher != NULL &&
           (proc->flags & (WEFT__DOOMED | WEFT__ENDS)) == 0;
}

void weft__catch_throw(struct weft__proc *proc, weft_term reason)
{
    struct weft__catch *here;

    if (!weft__catch_is_open(proc))
        return;
    here = proc->extra->catcher;
    if (proc->wait != NULL)
        weft__wait_end(proc->wait);
    weft__bond_drop_frames(proc, here);
    proc->flags &= ~(uint32_t)(WEFT__WAITS | WEFT__FAULTED);
    proc->extra->catcher = here->outer;
    /* Scopes within lie in frames that are dropped; their memory goes with this
     * one, the reason's too. */
    proc->region.scope = here->scope;
    here->reason = reason;
    _longjmp(here->at, 1);
}

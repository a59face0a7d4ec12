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
#include "term/term.h"
#include "weft/log.h"

struct weft__catch {
    jmp_buf at;
    weft_scope *scope;         /* innermost when it began */
    struct weft__wait *wait;   /* that was on then: it goes on */
    weft_term reason;
    struct weft__catch *outer;
    bool is_sealed;            /* holds a process that is to end, too */
};

static void begin(struct weft__proc *proc, struct weft__catch *here, bool is_sealed)
{
    here->scope = proc->region.scope;
    here->wait = proc->wait;
    here->reason = weft_none;
    here->outer = proc->extra->catcher;
    here->is_sealed = is_sealed;
    proc->extra->catcher = here;
}

/* What was called has exited, and the process is back. */
static void come_back(void)
{
    /* A stack that overflowed since goes on with its guard closed. */
    if (weft__here()->stack != NULL)
        weft__stack_close(weft__runtime()->sched->stacks, weft__here()->stack);
}

WEFT__GATE bool weft__catch(struct weft__proc *proc, void (*fn)(void *arg), void *arg, weft_term *reason)
{
    struct weft__catch here;

    if (weft__proc_extra(proc) == NULL)
        weft__proc_system_limit("weft__catch", "out of memory");
    begin(proc, &here, false);
    if (_setjmp(here.at) == 0) {
        fn(arg);
        weft__proc_returned(proc);
        proc->extra->catcher = here.outer;
        return true;
    }
    come_back();
    *reason = here.reason;
    return false;
}

/* No gate: what it returns to goes on where it was. */
static void destroy_sealed(struct weft__proc *proc, const weft_native_type *type, void *object)
{
    struct weft__catch here;
    char text[200];

    begin(proc, &here, true);
    if (_setjmp(here.at) == 0) {
        type->destroy(object);
        proc->extra->catcher = here.outer;
        return;
    }
    come_back();
    weft_inspect_to(text, sizeof text, here.reason);
    weft_log_error("the destroy of a native object, a %s, must not call weft, but ended: %s",
                   type->name != NULL ? type->name : "nameless one", text);
}

static void destroy(const weft_native_type *type, void *object)
{
    struct weft__proc *proc = weft__here()->proc;

    if (proc != NULL && weft__proc_extra(proc) != NULL)
        destroy_sealed(proc, type, object);
    else
        type->destroy(object);
}

__attribute__((constructor)) static void seal_destroys(void)
{
    weft__native_destroy = destroy;
}

bool weft__catch_is_open(const struct weft__proc *proc)
{
    return proc->extra != NULL && proc->extra->catcher != NULL &&
           (proc->extra->catcher->is_sealed || (proc->flags & (WEFT__DOOMED | WEFT__ENDS)) == 0);
}

void weft__catch_throw(struct weft__proc *proc, weft_term reason)
{
    struct weft__catch *here;

    if (!weft__catch_is_open(proc))
        return;
    here = proc->extra->catcher;
    if (proc->wait != NULL && proc->wait != here->wait)
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

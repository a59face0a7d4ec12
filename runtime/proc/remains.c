/* remains.c - the two ends of a process that was disowned: its own, which everybody
 * hears of, and that of what was left on its thread. disown.h says how they come about.
 *
 * The second is never over before the first: so it frees what both had.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/code.h"
#include "base/here.h"
#include "proc/disown.h"
#include "proc/life.h"
#include "proc/owned.h"
#include "proc/report.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "weft/error.h"

#define NAP_NS (100 * INT64_C(1000)) /* of a thread that came back before its process has ended */

/* -- the process ------------------------------------------------------------------------- */

struct weft__region *weft__disowned_region(const struct weft__proc *proc)
{
    return &weft__disowned_of(proc)->region;
}

static weft_term stack_of(const struct weft__disowned *disowned)
{
    weft_term list = weft_empty_list;

    for (uint32_t i = disowned->n_frames; i > 0; i--)
        list = weft_cons(weft_pointer(disowned->frames[i - 1]), list);
    return list;
}

static struct weft__report report_of(struct weft__proc *proc, const struct weft__disowned *disowned)
{
    struct weft__report report = weft__report_of(proc, WEFT_ATOM("process"), proc->reason);

    report.stack = stack_of(disowned);
    report.more = weft_list(weft_tuple(WEFT_ATOM("disowned_after_ms"), weft_int(disowned->after_ms)),
                            weft_tuple(WEFT_ATOM("remains"), disowned->remains->pid));
    if (proc->fiber.kind != WEFT__PROC_SERVER)
        report.more = weft_cons(weft_tuple(WEFT_ATOM("function"), weft__log_function(proc->entry.fn)), report.more);
    return report;
}

/* While it has its name. */
static void end(struct weft__proc *proc, struct weft__disowned *disowned)
{
    disowned->has_ended = true;
    disowned->report = weft__report_fields(report_of(proc, disowned));
    weft__life_end(proc, proc->reason);
}

/* After the end: the program's handler of the log may wait for what the thread holds. */
static void tell(struct weft__proc *proc, struct weft__disowned *disowned)
{
    disowned->is_told = true;
    weft__log_report(WEFT_LOG_ERROR, "process disowned: it was killed, and its thread is not back", disowned->report);
    weft__proc_need_slot(proc);
}

WEFT__GATE void weft__disowned_end(struct weft__fiber *fiber)
{
    struct weft__proc *proc = (struct weft__proc *)(void *)fiber;
    struct weft__disowned *disowned = weft__disowned_of(proc);
    struct weft__here *here = weft__here();

    here->proc = proc;
    here->region = &disowned->region;
    /* Whatever comes is too late, and nothing of it goes to the region. */
    proc->flags |= WEFT__ENDS;
    /* Each once, should that handler exit: then this is called again. */
    if (!disowned->has_ended)
        end(proc, disowned);
    if (!disowned->is_told)
        tell(proc, disowned);
    weft__region_destroy(&disowned->region);
    weft__proc_leave();
    /* Release, with the acquire of the thread: all of the above. */
    atomic_store_explicit(&disowned->is_over, true, memory_order_release);
}

/* -- what was left ------------------------------------------------------------------------ */

/* Mostly it is long over, and there is a worker to run it if not: none is held here. */
static void await_end(const struct weft__disowned *disowned)
{
    while (!atomic_load_explicit(&disowned->is_over, memory_order_acquire))
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

WEFT__GATE static void end_on_another_stack(void *remains)
{
    weft__remains_end(remains);
}

_Noreturn void weft__remains_come_back(struct weft__proc *remains)
{
    await_end(remains->state_of_handler);
    remains->flags |= WEFT__LEFT;
    weft__need_slot();
    weft__proc_enter(remains);
    weft__fiber_abandon(end_on_another_stack, remains);
}

/* Nobody can look at the process any more: the frames are left. It is what runs here, as
 * at any end, since natives of its terms call their users. */
static void give_back(struct weft__disowned *disowned)
{
    struct weft__proc *proc = disowned->proc;

    weft__proc_enter(proc);
    weft__disowned_unlist(disowned);
    proc->flags &= ~WEFT__DISOWNED;
    if (weft__life_ending != NULL)
        weft__life_ending(proc); /* once more: its descriptors */
    if (proc->fiber.kind == WEFT__PROC_SERVER)
        proc->entry.behaviour->gone(proc);
    weft__life_give_back(weft__runtime(), proc);
    weft__proc_leave();
    free(disowned);
}

WEFT__GATE void weft__remains_end(struct weft__proc *remains)
{
    struct weft__disowned *disowned = remains->state_of_handler;
    struct weft__runtime *runtime = weft__runtime();

    /* The defers first. Memory goes after the terms, which may point to it, and most of
     * those are in the region of the process. */
    remains->flags |= WEFT__ENDS;
    weft__owned_run_defers(remains);
    disowned->proc->owned = remains->owned;
    remains->owned = NULL;
    weft__life_end(remains, remains->reason);
    give_back(disowned);
    weft__runtime_process_ended(runtime);
}

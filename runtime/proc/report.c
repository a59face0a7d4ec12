#include "proc/report.h"

#include <stdatomic.h>
#include <stdint.h>

#include "base/code.h"
#include "base/here.h"
#include "proc/proc.h"
#include "sched/stack.h"
#include "weft/process.h"

#define FRAMES_MAX 24

/* -- its stack --------------------------------------------------------------------- */

struct frame {
    const struct frame *up;
    const char *returns_to;
};

/* Calls along the frame pointers, innermost first. The frames are the process's own,
 * or were: nobody has run on that stack since. */
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
__attribute__((no_sanitize("address")))
#endif
static uint32_t unwind(const void *fp, const struct weft__stack *stack, const void *calls[FRAMES_MAX])
{
    const char *low = fp, *high = stack->low + stack->size;
    const struct frame *at = fp;
    uint32_t n = 0;

    if (low < stack->low)
        return 0;
    /* Each frame lies above the one it called: so this ends. */
    while (n < FRAMES_MAX && (const char *)at >= low && (const char *)(at + 1) <= high && (uintptr_t)at % 8 == 0 &&
           at->returns_to != NULL) {
        calls[n++] = at->returns_to - 1; /* what does not return may be a function's last */
        low = (const char *)(at + 1);
        at = at->up;
    }
    return n;
}

static bool is_the_programs(const void *call)
{
    return !weft__code_is_known() || weft__code_of(call) == WEFT__CODE_OTHER;
}

/* Without the calls of weft that led here, and the base. */
static weft_term list_of(const void *const *calls, uint32_t n)
{
    weft_term list = weft_empty_list;
    uint32_t first = 0;

    while (first < n && !is_the_programs(calls[first]))
        first++;
    while (n > first && !is_the_programs(calls[n - 1]))
        n--;
    while (n > first)
        list = weft_cons(weft_pointer((void *)(uintptr_t)calls[--n]), list);
    return list;
}

weft_term weft__report_stack(struct weft__proc *proc)
{
    const struct weft__stack *stack = weft__here()->stack;
    const void *fp = __builtin_frame_address(0), *calls[FRAMES_MAX];

    if (stack == NULL)
        return weft_empty_list; /* a foreign thread, whose stack's bounds nobody told */
    /* What it was left on waits behind the stack that it ends on. */
    if (proc->flags & WEFT__LEFT) {
        stack = stack->next;
        fp = stack->context.fp;
    }
    return list_of(calls, unwind(fp, stack, calls));
}

/* -- the reason ------------------------------------------------------------------------ */

/* {kind, %{stack: [...], ...}}: the stack goes to a field of its own. */
static void part_reason(struct weft__report *report)
{
    weft_term kind, facts, stack;

    if (weft_is_none(report->reason) || !weft_match(report->reason, weft_tuple(weft_bind(&kind), weft_bind(&facts))) ||
        !weft_is_map(facts))
        return;
    stack = weft_map_get(facts, WEFT_ATOM("stack"), weft_none);
    if (weft_is_none(stack))
        return;
    report->stack = stack;
    report->reason = weft_tuple(kind, weft_map_delete(facts, WEFT_ATOM("stack")));
}

/* -- the whole --------------------------------------------------------------------------- */

static weft_term add(weft_term fields, weft_atom key, weft_term value)
{
    return weft_is_none(value) ? fields : weft_cons(weft_tuple(key, value), fields);
}

weft_term weft__report_fields(struct weft__report report)
{
    weft_term fields = weft_is_none(report.more) ? weft_empty_list : report.more;

    part_reason(&report);
    if (!weft_is_none(report.stack) && weft_is_empty_list(report.stack))
        report.stack = weft_none;
    fields = add(fields, WEFT_ATOM("last_message"), report.last_message);
    fields = add(fields, WEFT_ATOM("stack"), report.stack);
    fields = add(fields, WEFT_ATOM("reason"), report.reason);
    fields = add(fields, WEFT_ATOM("supervisor"), report.supervisor);
    fields = add(fields, WEFT_ATOM("child"), report.child);
    fields = add(fields, WEFT_ATOM("name"), report.name);
    fields = add(fields, WEFT_ATOM("pid"), report.pid);
    return add(fields, WEFT_ATOM("what"), report.what);
}

weft_term weft__report_name(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);
    uint64_t name;

    if (proc == NULL)
        return weft_none;
    name = atomic_load_explicit(&proc->name, memory_order_acquire);
    /* The name of that process, if it is still the one that lives there. */
    return name != 0 && weft__state_serial(atomic_load_explicit(&proc->state, memory_order_acquire)) ==
                            weft__pid_serial(pid) ? weft__term(name) : weft_none;
}

weft_term weft__report_name_or_pid(weft_pid pid)
{
    weft_term name = weft__report_name(pid);

    return weft_is_none(name) ? pid : name;
}

struct weft__report weft__report_of(struct weft__proc *proc, weft_atom what, weft_term reason)
{
    struct weft__report report = {
        .what = what,
        .pid = proc->pid,
        .name = weft__report_name(proc->pid),
        .child = weft_none,
        .supervisor = weft_none,
        .reason = reason,
        .stack = weft__report_stack(proc),
        .last_message = weft_none,
        .more = weft_none,
    };

    if (proc->extra != NULL && !weft_is_none(proc->extra->child_id)) {
        report.child = proc->extra->child_id;
        report.supervisor = weft__report_name_or_pid(proc->parent);
    }
    return report;
}

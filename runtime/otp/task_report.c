/* task_report.c - what is logged when a task ends otherwise than it should. */
#include "otp/child_spec.h"
#include "otp/task.h"
#include "proc/report.h"
#include "term/atom.h"

static weft_term starter_of(struct weft__proc *proc)
{
    weft_term callers = weft__task_callers(proc);

    return weft__report_name_or_pid(weft_is_empty_list(callers) ? proc->parent : weft_head(callers));
}

static struct weft__report report_of(struct weft__proc *proc, weft_term reason)
{
    struct weft__report report = weft__report_of(proc, WEFT_ATOM("task"), reason);
    weft_term args = weft_is_none(proc->arg) ? weft_list() : weft_list(proc->arg), more = weft_empty_list;

    if (proc->extra != NULL && proc->extra->label[0] != '\0')
        more = weft_cons(weft_tuple(WEFT_ATOM("label"), weft_str(proc->extra->label)), more);
    more = weft_cons(weft_tuple(WEFT_ATOM("args"), args), more);
    more = weft_cons(weft_tuple(WEFT_ATOM("function"), weft__log_function(proc->entry.fn)), more);
    report.more = weft_cons(weft_tuple(WEFT_ATOM("started_from"), starter_of(proc)), more);
    if (weft__task_owner(proc).bits != proc->parent.bits)
        report.supervisor = weft__report_name_or_pid(proc->parent);
    return report;
}

void weft__task_report(struct weft__proc *proc, weft_term reason)
{
    if (!weft__reason_is_quiet(reason))
        weft__report_log(WEFT_LOG_ERROR, "Task terminating", report_of(proc, reason));
}

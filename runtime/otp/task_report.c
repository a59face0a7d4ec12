/* task_report.c - what is logged when a task ends otherwise than it should. */
#include "otp/task.h"

#include <stdatomic.h>

#include "otp/child_spec.h"
#include "proc/log.h"
#include "term/atom.h"

/* The name that a process has now, or its pid. */
static weft_term name_or_pid(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);
    uint64_t name;

    if (proc == NULL)
        return pid;
    name = atomic_load_explicit(&proc->name, memory_order_acquire);
    /* The name of that process, if it is still the one that lives there. */
    return name != 0 && weft__proc_is_there(proc, pid) ? weft__term(name) : pid;
}

static weft_term starter_of(struct weft__proc *proc)
{
    weft_term callers = weft__task_callers(proc);

    return name_or_pid(weft_is_empty_list(callers) ? proc->parent : weft_head(callers));
}

static weft_term fields_of(struct weft__proc *proc, weft_term reason)
{
    weft_term args = weft_is_none(proc->arg) ? weft_list() : weft_list(proc->arg);
    weft_term fields = weft_list(weft_tuple(WEFT__A(reason), reason));

    if (proc->extra != NULL && proc->extra->label[0] != '\0')
        fields = weft_cons(weft_tuple(WEFT_ATOM("label"), weft_str(proc->extra->label)), fields);
    fields = weft_cons(weft_tuple(WEFT_ATOM("args"), args), fields);
    fields = weft_cons(weft_tuple(WEFT_ATOM("function"), weft__log_function(proc->entry.fn)), fields);
    fields = weft_cons(weft_tuple(WEFT_ATOM("started_from"), starter_of(proc)), fields);
    return weft_cons(weft_tuple(WEFT_ATOM("task"), proc->pid), fields);
}

void weft__task_report(struct weft__proc *proc, weft_term reason)
{
    if (!weft__reason_is_quiet(reason))
        weft__log_report(WEFT_LOG_ERROR, "Task terminating", fields_of(proc, reason));
}

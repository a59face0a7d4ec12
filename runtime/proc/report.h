/* report.h - the report of an abnormal end: one shape, whoever makes it.
 *
 * A process, a task, a server, a supervisor about a child or about itself: each
 * fills in what it knows, and the record's fields are then, in this order and
 * without those that are not known,
 *
 *     what           :process, :task, :server, :child, :supervisor
 *     pid, name      of what ended
 *     child          its id, under
 *     supervisor     this one (a name or a pid)
 *     reason         without the stack that a fault's has
 *     stack          functions of the program's own, innermost first
 *     last_message   what it was handling
 *     ...            what its kind alone has: function, args, state, client
 *
 * The log writes them as text, or as an object of JSON, and bounds each.
 *
 * Threads:   in the process that ends, or in the supervisor. Never switches.
 */
#ifndef WEFT_PROC_REPORT_H
#define WEFT_PROC_REPORT_H

#include "proc/log.h"
#include "weft/term.h"

struct weft__proc;

struct weft__report {
    weft_atom what;
    weft_term pid, name, child, supervisor, reason, stack, last_message; /* weft_none: not known */
    weft_term more; /* a list of {key, value}, or weft_none */
};

/* The fields, in the caller's scope. */
weft_term weft__report_fields(struct weft__report report);

/* What the process that ends knows of itself: its name as well while it has one. */
struct weft__report weft__report_of(struct weft__proc *proc, weft_atom what, weft_term reason);

/* The name that a process has now, or weft_none. */
weft_term weft__report_name(weft_pid pid);
/* The same; without one its pid. */
weft_term weft__report_name_or_pid(weft_pid pid);

/* The functions of the program that it was left in: by weft_exit and the like, or,
 * before that, where it stands now. An empty list: none, or on a foreign thread. */
weft_term weft__report_stack(struct weft__proc *proc);

/* A report for the log, whose parts are looked at only when it is written. */
#define weft__report_log(level, title, report) \
    weft__log_report(level, title, weft__report_fields(report))

#endif

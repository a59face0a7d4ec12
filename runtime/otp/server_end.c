/* server_end.c - how a server ends: terminate, the report, what it owed. */
#include "base/code.h"
#include "base/here.h"
#include "base/memory.h"
#include "otp/child_spec.h"
#include "otp/registry.h"
#include "otp/server.h"
#include "proc/life.h"
#include "proc/report.h"
#include "proc/runtime.h"
#include "term/atom.h"
#include "term/region.h"

/* -- the report ----------------------------------------------------------------------- */

weft_term weft__server_term(struct weft__proc *proc, const struct weft__server *server)
{
    return weft_is_none(server->name) ? proc->pid : server->name;
}

WEFT__GATE weft_term weft__server_describe(struct weft__server *server)
{
    weft_term state;

    if (server->callbacks->describe == NULL)
        return weft_pointer(server->state);
    state = server->callbacks->describe(server->state);
    return weft_is_none(state) ? WEFT__A(nil) : state;
}

/* What may be shown of it: a map. */
WEFT__GATE static weft_term status_of(struct weft__proc *proc, struct weft__server *server)
{
    weft_term state = weft__server_describe(server), status;

    weft__proc_returned(proc);
    status = weft_map(WEFT_ATOM("state"), state, WEFT__A(message),
                      weft_is_none(server->last) ? WEFT__A(nil) : server->last, WEFT__A(reason), server->reason);
    if (server->callbacks->format_status == NULL)
        return status;
    status = server->callbacks->format_status(status);
    weft__proc_returned(proc);
    return status;
}

/* status: what may be shown of it. */
static struct weft__report report_of(struct weft__proc *proc, struct weft__server *server, weft_term status)
{
    weft_term shown = weft_is_map(status) ? status : weft_map(), nil = WEFT__A(nil), more;
    struct weft__report report = weft__report_of(proc, WEFT_ATOM("server"), weft_map_get(shown, WEFT__A(reason), nil));

    report.name = server->name;
    report.last_message = weft_map_get(shown, WEFT__A(message), nil);
    more = weft_list(weft_tuple(WEFT_ATOM("state"), weft_map_get(shown, WEFT_ATOM("state"), nil)));
    if (!weft_is_none(server->serving.from))
        more = weft_cons(weft_tuple(WEFT_ATOM("client"), server->serving.client), more);
    if (server->callbacks->name != NULL)
        more = weft_cons(weft_tuple(WEFT_ATOM("module"), weft_str(server->callbacks->name)), more);
    report.more = more;
    return report;
}

WEFT__GATE static void report(struct weft__proc *proc, struct weft__server *server)
{
    if (!weft__reason_is_quiet(server->reason))
        weft__report_log(WEFT_LOG_ERROR, "GenServer terminating", report_of(proc, server, status_of(proc, server)));
}

/* describe or format_status crashed: nothing of the state is shown. GS-59 */
static void report_without_state(struct weft__proc *proc, struct weft__server *server)
{
    proc->flags &= ~(uint32_t)WEFT__LEFT; /* those are its frames now */
    weft__report_log(WEFT_LOG_ERROR, "GenServer terminating",
                     report_of(proc, server,
                               weft_map(WEFT_ATOM("state"), weft_str("describe or format_status crashed"),
                                        WEFT__A(reason), server->reason)));
}

/* -- the end ------------------------------------------------------------------------------ */

WEFT__GATE void weft__server_finish(struct weft__proc *proc, struct weft__server *server)
{
    server->phase = WEFT__REPORTING;
    report(proc, server);
    weft__life_end(proc, server->reason);
}

WEFT__GATE void weft__server_stop(struct weft__proc *proc, struct weft__server *server, weft_term reason)
{
    server->phase = WEFT__TERMINATING;
    server->reason = reason;
    if (server->callbacks->terminate != NULL) {
        server->callbacks->terminate(server->state, reason);
        weft__proc_need_slot(proc);
    }
    weft__server_finish(proc, server);
}

static struct weft__report report_of_start(struct weft__proc *proc, struct weft__server *server)
{
    struct weft__report report = weft__report_of(proc, WEFT_ATOM("server"), proc->reason);

    report.name = server->name;
    report.more = weft_list(weft_tuple(WEFT_ATOM("init"), weft__log_function(server->callbacks->init)));
    return report;
}

/* init ended otherwise than it should. */
WEFT__GATE static void fail_start(struct weft__proc *proc, struct weft__server *server)
{
    if (!weft__reason_is_quiet(proc->reason))
        weft__report_log(WEFT_LOG_ERROR, "GenServer failed to start", report_of_start(proc, server));
    weft__life_end(proc, proc->reason);
}

/* A callback has crashed: terminate sees the state as it stands. After a fault
 * that may be half written, and terminate runs only where it says it can cope. */
WEFT__GATE static void crash(struct weft__proc *proc, struct weft__server *server)
{
    if ((proc->flags & WEFT__FAULTED) == 0 || server->callbacks->terminate_after_fault) {
        weft__server_stop(proc, server, proc->reason);
        return;
    }
    server->reason = proc->reason;
    weft__server_finish(proc, server);
}

WEFT__GATE void weft__server_left(struct weft__proc *proc)
{
    struct weft__server *server = weft__server_of(proc);

    if (proc->wait != NULL)
        weft__wait_end(proc->wait); /* it lies in the frames that were left */
    weft__registry_locks_left(proc); /* REG-50: terminate may want them */
    if (proc->flags & WEFT__DOOMED) {
        weft__life_end(proc, proc->reason);
    } else if (server->phase == WEFT__STARTING) {
        fail_start(proc, server);
    } else if (server->phase == WEFT__RUNNING) {
        crash(proc, server);
    } else if (server->phase == WEFT__TERMINATING) {
        server->reason = proc->reason;
        weft__server_finish(proc, server);
    } else {
        report_without_state(proc, server);
        weft__life_end(proc, server->reason);
    }
    weft__proc_leave();
}

void weft__server_ended(struct weft__proc *proc)
{
    struct weft__server *server = weft__server_of(proc);

    weft__serving_end(proc, &server->serving);
    if (server->more != NULL)
        weft__wheel_cancel(&server->more->timer, 0);
}

void weft__server_gone(struct weft__proc *proc)
{
    struct weft__server *server = weft__server_of(proc);

    if (server->more != NULL)
        weft__memory_free(server->more, sizeof *server->more);
    proc->state_of_handler = NULL;
    weft__memory_free(server, sizeof *server);
}

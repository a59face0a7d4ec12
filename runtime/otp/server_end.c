/* server_end.c - how a server ends: terminate, the report, what it owed. */
#include "base/code.h"
#include "base/here.h"
#include "base/memory.h"
#include "otp/child_spec.h"
#include "otp/server.h"
#include "proc/life.h"
#include "proc/log.h"
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
WEFT__GATE static weft_term status_of(struct weft__server *server)
{
    weft_term status = weft_map(WEFT_ATOM("state"), weft__server_describe(server), WEFT__A(message),
                                weft_is_none(server->last) ? WEFT__A(nil) : server->last, WEFT__A(reason),
                                server->reason);

    return server->callbacks->format_status != NULL ? server->callbacks->format_status(status) : status;
}

static weft_term fields_of(struct weft__proc *proc, struct weft__server *server, weft_term status)
{
    weft_term nil = WEFT__A(nil);
    weft_term shown = weft_is_map(status) ? status : weft_map();
    weft_term fields = weft_list(weft_tuple(WEFT_ATOM("state"), weft_map_get(shown, WEFT_ATOM("state"), nil)),
                                 weft_tuple(WEFT__A(reason), weft_map_get(shown, WEFT__A(reason), nil)));

    if (!weft_is_none(server->serving.from))
        fields = weft_cons(weft_tuple(WEFT_ATOM("client"), server->serving.client), fields);
    fields = weft_cons(weft_tuple(WEFT_ATOM("last_message"), weft_map_get(shown, WEFT__A(message), nil)), fields);
    if (server->callbacks->name != NULL)
        fields = weft_cons(weft_tuple(WEFT_ATOM("module"), weft_str(server->callbacks->name)), fields);
    return weft_cons(weft_tuple(WEFT_ATOM("server"), weft__server_term(proc, server)), fields);
}

WEFT__GATE static void report(struct weft__proc *proc, struct weft__server *server)
{
    if (!weft__reason_is_quiet(server->reason))
        weft__log_report(WEFT_LOG_ERROR, "GenServer terminating", fields_of(proc, server, status_of(server)));
}

/* describe or format_status crashed: nothing of the state is shown. GS-59 */
static void report_without_state(struct weft__proc *proc, struct weft__server *server)
{
    weft__log_report(WEFT_LOG_ERROR, "GenServer terminating",
                     fields_of(proc, server,
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
        weft__proc_let_user();
        server->callbacks->terminate(server->state, reason);
        weft__proc_back_from_user(proc);
    }
    weft__server_finish(proc, server);
}

/* init ended otherwise than it should. */
WEFT__GATE static void fail_start(struct weft__proc *proc, struct weft__server *server)
{
    if (!weft__reason_is_quiet(proc->reason))
        weft__log_report(WEFT_LOG_ERROR, "GenServer failed to start",
                         weft_list(weft_tuple(WEFT_ATOM("server"), weft__server_term(proc, server)),
                                   weft_tuple(WEFT_ATOM("init"), weft__log_function(server->callbacks->init)),
                                   weft_tuple(WEFT__A(reason), proc->reason)));
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
    if (server->more != NULL) {
        weft__wheel_cancel(&server->more->timer, 0);
        weft__memory_free(server->more, sizeof *server->more);
    }
    proc->state_of_handler = NULL;
    weft__memory_free(server, sizeof *server);
}

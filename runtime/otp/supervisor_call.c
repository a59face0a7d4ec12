/* supervisor_call.c - asking a supervisor, and what its answers mean. */
#include "otp/child_spec.h"
#include "otp/server.h"
#include "otp/supervisor.h"
#include "weft/error.h"

#define A(name) WEFT_ATOM(#name)

/* Does the caller's parent wait for it: to be up, or to be gone? (SUP-61) */
static bool is_waited_for(struct weft__proc *proc)
{
    struct weft__server *server;

    if (proc == NULL || proc->fiber.kind != WEFT__PROC_SERVER)
        return false;
    server = weft__server_of(proc);
    return server->phase == WEFT__STARTING || (server->phase == WEFT__TERMINATING && server->by_parent);
}

static weft_term refusal(struct weft__proc *proc)
{
    weft_term id = proc->extra != NULL && !weft_is_none(proc->extra->child_id) ? proc->extra->child_id : proc->pid;

    return weft_tuple(A(calling_supervisor_while_it_waits), id);
}

bool weft__supervisor_ask(weft_server supervisor, weft_atom what, weft_term arg, weft_term *answer)
{
    struct weft__proc *proc = weft__proc_here();

    if (is_waited_for(proc) && weft_eq(weft_gen_server_whereis(supervisor), proc->parent)) {
        *answer = refusal(proc);
        return false;
    }
    return weft_gen_server_try_call(supervisor, weft_tuple(what, arg), WEFT_INFINITY, answer);
}

weft_started weft__supervisor_started(bool is_answer, weft_term answer)
{
    weft_started started = weft_started_error(answer);

    if (!is_answer)
        return started;
    if (weft_match(answer, weft_tuple(A(ok), A(undefined))) || weft_eq(answer, A(ignore)))
        return weft_started_ignore();
    if (weft_match(answer, weft_tuple(A(ok), weft_bind(&started.pid))) ||
        weft_match(answer, weft_tuple(A(ok), weft_bind(&started.pid), weft_bind(&started.info)))) {
        started.ok = true;
        started.reason = weft_none;
        return started;
    }
    weft_match(answer, weft_tuple(A(error), weft_bind(&started.reason)));
    return started;
}

int weft__supervisor_code(bool is_answer, weft_term answer)
{
    weft_term reason;

    if (!is_answer)
        return weft_match(answer, weft_tuple(A(calling_supervisor_while_it_waits), weft_any)) ? WEFT_EDEADLK
                                                                                             : WEFT_ENOPROC;
    if (!weft_match(answer, weft_tuple(A(error), weft_bind(&reason))))
        return 0;
    if (weft_eq(reason, A(not_found)))
        return WEFT_ENOENT;
    if (weft_eq(reason, A(running)))
        return WEFT_EBUSY;
    return weft_eq(reason, A(restarting)) ? WEFT_EINPROGRESS : WEFT_EINVAL;
}

weft_started weft_supervisor_start_child(weft_server supervisor, weft_child_spec spec)
{
    weft_term problem = weft__child_check(&spec, NULL, 0), answer;
    bool is_answer;

    if (!weft_is_none(problem))
        return weft_started_error(problem);
    is_answer = weft__supervisor_ask(supervisor, A(start_child), weft__child_pack(&spec), &answer);
    return weft__supervisor_started(is_answer, answer);
}

weft_started weft_supervisor_restart_child(weft_server supervisor, weft_term id)
{
    weft_term answer;
    bool is_answer = weft__supervisor_ask(supervisor, A(restart_child), id, &answer);

    return weft__supervisor_started(is_answer, answer);
}

int weft_supervisor_terminate_child(weft_server supervisor, weft_term id)
{
    weft_term answer;
    bool is_answer = weft__supervisor_ask(supervisor, A(terminate_child), id, &answer);

    return weft__supervisor_code(is_answer, answer);
}

int weft_supervisor_delete_child(weft_server supervisor, weft_term id)
{
    weft_term answer;
    bool is_answer = weft__supervisor_ask(supervisor, A(delete_child), id, &answer);

    return weft__supervisor_code(is_answer, answer);
}

weft_term weft_supervisor_which_children(weft_server supervisor)
{
    weft_term answer;

    return weft__supervisor_ask(supervisor, A(which_children), A(all), &answer) ? answer : weft_none;
}

int weft_supervisor_count_children(weft_server supervisor, weft_child_counts *counts)
{
    weft_child_counts found;
    weft_term answer;
    bool is_answer = weft__supervisor_ask(supervisor, A(count_children), A(all), &answer);

    if (is_answer && weft_match(answer, weft_tuple(weft_bind_int(&found.specs), weft_bind_int(&found.active),
                                                   weft_bind_int(&found.supervisors), weft_bind_int(&found.workers)))) {
        *counts = found;
        return 0;
    }
    return weft__supervisor_code(is_answer, answer);
}

weft_term weft_supervisor_get_child_spec(weft_server supervisor, weft_term id)
{
    weft_term answer, spec;

    return weft__supervisor_ask(supervisor, A(get_child_spec), id, &answer) &&
                   weft_match(answer, weft_tuple(A(ok), weft_bind(&spec)))
               ? spec
               : weft_none;
}

void weft_supervisor_stop(weft_server supervisor, weft_term reason, int64_t timeout_ms)
{
    weft_gen_server_stop(supervisor, reason, timeout_ms);
}

bool weft_supervisor_try_stop(weft_server supervisor, weft_term reason, int64_t timeout_ms, weft_term *why)
{
    return weft_gen_server_try_stop(supervisor, reason, timeout_ms, why);
}

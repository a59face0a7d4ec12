/* sys.c - the calls of weft/sys.h: each is one system request. What answers is
 * server_sys.c. */
#include "weft/sys.h"

#include "otp/call.h"
#include "otp/task.h"
#include "term/atom.h"

/* Ask, and exit in the name of sys:function(server, timeout) when it fails. */
static weft_term ask(const char *call, weft_atom function, weft_server server, weft_term request,
                     int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    weft_term out;
    enum weft__call_outcome outcome =
        weft__call(proc, call, server, WEFT__MESSAGE_SYSTEM, request, timeout_ms, &out);

    if (outcome != WEFT__ANSWERED)
        weft__call_exit(proc, outcome, out, WEFT_ATOM("sys"), function,
                        weft_list(server, weft__call_timeout_term(timeout_ms)));
    return out;
}

weft_term weft_sys_get_state(weft_server server, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("get_state");

    return ask("weft_sys_get_state", what, server, what, timeout_ms);
}

weft_term weft_sys_replace_state(weft_server server, weft_sys_replace_fn *fn, weft_term arg, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("replace_state");
    weft_term address;

    if (fn == NULL)
        weft__proc_badarg("weft_sys_replace_state", "the function is NULL");
    address = weft_pointer((const void *)(uintptr_t)fn);
    return ask("weft_sys_replace_state", what, server,
               weft_is_none(arg) ? weft_tuple(what, address) : weft_tuple(what, address, arg), timeout_ms);
}

void weft_sys_suspend(weft_server server, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("suspend");

    ask("weft_sys_suspend", what, server, what, timeout_ms);
}

void weft_sys_resume(weft_server server, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("resume");

    ask("weft_sys_resume", what, server, what, timeout_ms);
}

weft_term weft_sys_get_status(weft_server server, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("get_status");

    return ask("weft_sys_get_status", what, server, what, timeout_ms);
}

void weft_sys_trace(weft_server server, bool on, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("trace");

    ask("weft_sys_trace", what, server, weft_tuple(what, weft_bool(on)), timeout_ms);
}

void weft_sys_log(weft_server server, bool on, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("log");

    ask("weft_sys_log", what, server, weft_tuple(what, weft_bool(on)), timeout_ms);
}

weft_term weft_sys_get_log(weft_server server, int64_t timeout_ms)
{
    return ask("weft_sys_get_log", WEFT_ATOM("log"), server, WEFT_ATOM("get_log"), timeout_ms);
}

void weft_sys_statistics(weft_server server, bool on, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("statistics");

    ask("weft_sys_statistics", what, server, weft_tuple(what, weft_bool(on)), timeout_ms);
}

weft_term weft_sys_get_statistics(weft_server server, int64_t timeout_ms)
{
    return ask("weft_sys_get_statistics", WEFT_ATOM("statistics"), server, WEFT_ATOM("get_statistics"),
               timeout_ms);
}

void weft_sys_no_debug(weft_server server, int64_t timeout_ms)
{
    weft_atom what = WEFT_ATOM("no_debug");

    ask("weft_sys_no_debug", what, server, what, timeout_ms);
}

bool weft_sys_try(weft_server server, weft_atom what, int64_t timeout_ms, weft_term *result)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_sys_try");

    if (!weft_is_atom(what)) {
        *result = weft__task_mistake("weft_sys_try", "`what` must be an atom such as get_state");
        return false;
    }
    return weft__call(proc, "weft_sys_try", server, WEFT__MESSAGE_SYSTEM, what, timeout_ms, result) ==
           WEFT__ANSWERED;
}

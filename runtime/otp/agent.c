/* agent.c - an agent is a server whose requests are functions: {what, address} or
 * {what, address, arg}, where what is get, update or get_and_update. A cast is
 * an update that nobody waits for.
 */
#include "weft/agent.h"

#include "base/code.h"
#include "otp/server.h"
#include "otp/task.h"
#include "term/atom.h"

#define FN(fn) weft_pointer((const void *)(uintptr_t)(fn))

struct agent {
    void *state;
    weft_agent_get_fn *describe;
};

/* -- the server's side ------------------------------------------------------------------- */

static weft_term nil_for_none(weft_term term)
{
    return weft_is_none(term) ? WEFT__A(nil) : term;
}

/* Element `index` of a request, or weft_none. */
static weft_term part(weft_term request, size_t index)
{
    return weft_tuple_size(request) > index ? weft_tuple_at(request, index) : weft_none;
}

/* arg: {init, describe} or {init, describe, arg} */
WEFT__GATE static weft_init_result agent_init(weft_term arg)
{
    weft_agent_init_fn *init = (weft_agent_init_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 0));
    struct agent *agent = weft_new(struct agent);

    agent->describe = (weft_agent_get_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 1));
    agent->state = init(part(arg, 2));
    return weft_init_ok(agent);
}

WEFT__GATE static weft_term agent_get(struct agent *agent, uintptr_t fn, weft_term arg)
{
    return nil_for_none(((weft_agent_get_fn *)fn)(agent->state, arg));
}

WEFT__GATE static void agent_update(struct agent *agent, uintptr_t fn, weft_term arg)
{
    agent->state = ((weft_agent_update_fn *)fn)(agent->state, arg);
}

WEFT__GATE static weft_result agent_get_and_update(struct agent *agent, uintptr_t fn, weft_term arg)
{
    weft_agent_pair pair = ((weft_agent_get_and_update_fn *)fn)(agent->state, arg);

    if (!pair.is_set)
        return weft_stop(weft_tuple(WEFT_ATOM("bad_return_value"),
                                    weft_str("a function of weft_agent_get_and_update returned no "
                                             "weft_agent_make_pair(value, state)")));
    agent->state = pair.state;
    return weft_reply(nil_for_none(pair.value));
}

/* Is it a request of ours? Others may call an agent by its pid. */
static bool is_request(weft_term request)
{
    return weft_is_tuple(request) && weft_tuple_size(request) >= 2 && weft_is_pointer(weft_tuple_at(request, 1));
}

WEFT__GATE static weft_result agent_call(void *state, weft_term request, weft_from from)
{
    weft_term what = is_request(request) ? weft_tuple_at(request, 0) : weft_none;
    uintptr_t fn;

    (void)from;
    if (weft_is_none(what))
        weft_error(weft_tuple(WEFT_ATOM("bad_call"), request));
    fn = (uintptr_t)weft_to_pointer(weft_tuple_at(request, 1));
    if (weft_eq(what, WEFT_ATOM("get")))
        return weft_reply(agent_get(state, fn, part(request, 2)));
    if (weft_eq(what, WEFT_ATOM("get_and_update")))
        return agent_get_and_update(state, fn, part(request, 2));
    agent_update(state, fn, part(request, 2));
    return weft_reply(WEFT__A(ok));
}

WEFT__GATE static weft_result agent_cast(void *state, weft_term request)
{
    if (!is_request(request))
        weft_error(weft_tuple(WEFT_ATOM("bad_cast"), request));
    agent_update(state, (uintptr_t)weft_to_pointer(weft_tuple_at(request, 1)), part(request, 2));
    return weft_noreply();
}

WEFT__GATE static weft_term agent_describe(void *state)
{
    const struct agent *agent = state;

    return agent->describe != NULL ? agent->describe(agent->state, weft_none) : weft_pointer(agent->state);
}

static const weft_gen_server agent_server = {
    .init = agent_init,
    .handle_call = agent_call,
    .handle_cast = agent_cast,
    .describe = agent_describe,
    .name = "Agent",
};

/* -- starting ------------------------------------------------------------------------------ */

static weft_started start(const char *call, weft_agent_init_fn *init, weft_term arg,
                          const struct weft_agent_options *given, bool link)
{
    struct weft_agent_options options = {WEFT_AGENT_DEFAULTS};
    struct weft_gen_server_options server = {WEFT_GEN_SERVER_DEFAULTS};
    weft_term init_term, describe;

    weft__options_take(&options, given);
    if (init == NULL)
        weft__proc_badarg(call, "the function is NULL");
    server.name = options.name;
    server.timeout_ms = options.timeout_ms;
    server.monitor = options.monitor;
    server.priority = options.priority;
    server.stack_size = options.stack_size;
    server.sticky = options.sticky;
    server.label = options.label;
    init_term = FN(init);
    describe = FN(options.describe);
    return weft__gen_server_start(call, &agent_server,
                                  weft_is_none(arg) ? weft_tuple(init_term, describe)
                                                    : weft_tuple(init_term, describe, arg),
                                  &server, link);
}

weft_started weft_agent_start_opt(weft_agent_init_fn *init, weft_term arg,
                                  const struct weft_agent_options *options)
{
    return start("weft_agent_start", init, arg, options, false);
}

weft_started weft_agent_start_link_opt(weft_agent_init_fn *init, weft_term arg,
                                       const struct weft_agent_options *options)
{
    return start("weft_agent_start_link", init, arg, options, true);
}

/* arg: {init, name or nil} or {init, name or nil, arg} */
static weft_started start_child(weft_term arg)
{
    weft_term name = weft_tuple_at(arg, 1);

    return weft_agent_start_link((weft_agent_init_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 0)),
                                 part(arg, 2), .name = weft_eq(name, WEFT__A(nil)) ? weft_none : name);
}

weft_child_spec weft_agent_child(weft_agent_init_fn *init, weft_term arg, weft_term name)
{
    weft_term its_name = nil_for_none(name), address = FN(init);

    return weft_child(.id = WEFT_ATOM("Agent"), .start = start_child,
                      .arg = weft_is_none(arg) ? weft_tuple(address, its_name)
                                               : weft_tuple(address, its_name, arg));
}

/* -- using it ---------------------------------------------------------------------------------- */

static weft_term request(const char *call, weft_atom what, uintptr_t fn, weft_term arg)
{
    weft_term address = weft_pointer((const void *)fn);

    if (fn == 0)
        weft__proc_badarg(call, "the function is NULL");
    return weft_is_none(arg) ? weft_tuple(what, address) : weft_tuple(what, address, arg);
}

static bool try_ask(const char *call, weft_server agent, weft_atom what, uintptr_t fn, weft_term arg,
                    int64_t timeout_ms, weft_term *out)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);

    return weft__call(proc, call, agent, WEFT__MESSAGE_CALL, request(call, what, fn, arg), timeout_ms, out) ==
           WEFT__ANSWERED;
}

static weft_term ask(const char *call, weft_server agent, weft_atom what, uintptr_t fn, weft_term arg,
                     int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    weft_term asked = request(call, what, fn, arg), out;
    enum weft__call_outcome outcome =
        weft__call(proc, call, agent, WEFT__MESSAGE_CALL, asked, timeout_ms, &out);

    if (outcome != WEFT__ANSWERED)
        weft__call_exit(proc, outcome, out, WEFT_ATOM("GenServer"), WEFT__A(call),
                        weft_list(agent, asked, weft__call_timeout_term(timeout_ms)));
    return out;
}

weft_term weft_agent_get(weft_server agent, weft_agent_get_fn *fn, weft_term arg, int64_t timeout_ms)
{
    return ask("weft_agent_get", agent, WEFT_ATOM("get"), (uintptr_t)fn, arg, timeout_ms);
}

bool weft_agent_try_get(weft_server agent, weft_agent_get_fn *fn, weft_term arg, int64_t timeout_ms,
                        weft_term *result)
{
    return try_ask("weft_agent_try_get", agent, WEFT_ATOM("get"), (uintptr_t)fn, arg, timeout_ms, result);
}

void weft_agent_update(weft_server agent, weft_agent_update_fn *fn, weft_term arg, int64_t timeout_ms)
{
    ask("weft_agent_update", agent, WEFT_ATOM("update"), (uintptr_t)fn, arg, timeout_ms);
}

bool weft_agent_try_update(weft_server agent, weft_agent_update_fn *fn, weft_term arg, int64_t timeout_ms,
                           weft_term *why)
{
    return try_ask("weft_agent_try_update", agent, WEFT_ATOM("update"), (uintptr_t)fn, arg, timeout_ms, why);
}

weft_term weft_agent_get_and_update(weft_server agent, weft_agent_get_and_update_fn *fn, weft_term arg,
                                    int64_t timeout_ms)
{
    return ask("weft_agent_get_and_update", agent, WEFT_ATOM("get_and_update"), (uintptr_t)fn, arg, timeout_ms);
}

bool weft_agent_try_get_and_update(weft_server agent, weft_agent_get_and_update_fn *fn, weft_term arg,
                                   int64_t timeout_ms, weft_term *result)
{
    return try_ask("weft_agent_try_get_and_update", agent, WEFT_ATOM("get_and_update"), (uintptr_t)fn, arg,
                   timeout_ms, result);
}

void weft_agent_cast(weft_server agent, weft_agent_update_fn *fn, weft_term arg)
{
    weft__proc_need("weft_agent_cast");
    weft__gen_server_cast("weft_agent_cast", agent,
                          request("weft_agent_cast", WEFT_ATOM("update"), (uintptr_t)fn, arg));
}

void weft_agent_stop(weft_server agent, weft_term reason, int64_t timeout_ms)
{
    weft_gen_server_stop(agent, reason, timeout_ms);
}

bool weft_agent_try_stop(weft_server agent, weft_term reason, int64_t timeout_ms, weft_term *why)
{
    return weft_gen_server_try_stop(agent, reason, timeout_ms, why);
}

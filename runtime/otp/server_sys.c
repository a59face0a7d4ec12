/* server_sys.c - what a server answers to system requests, and the events that
 * they make it note.
 *
 * A request is an atom or a tuple {what, ...}. Functions of the program that run
 * here (describe, format_status, a replace_state's) may exit: that is caught, it
 * is the answer, and the server goes on as before.
 */
#include "base/code.h"
#include "otp/server.h"
#include "otp/task.h"
#include "proc/catch.h"
#include "term/atom.h"
#include "weft/log.h"
#include "weft/sys.h"
#include "weft/timer.h"

#define A(name) WEFT_ATOM(#name)

/* -- events ------------------------------------------------------------------------------- */

static weft_atom event_atom(enum weft__event_kind kind)
{
    return kind == WEFT__EVENT_IN      ? A(in)
           : kind == WEFT__EVENT_OUT   ? A(out)
           : kind == WEFT__EVENT_STATE ? A(state)
                                       : A(dropped);
}

static void keep_event(struct weft__server_more *more, weft_term event)
{
    weft_term *place = &more->log[more->n_logged++ % WEFT__EVENTS_KEPT];

    weft_drop(*place);
    *place = weft_keep(event);
}

void weft__server_note(struct weft__proc *proc, struct weft__server *server, enum weft__event_kind kind,
                       weft_term term)
{
    static const char *const verbs[] = {"got", "sent the reply", "has the new state",
                                        "sent a reply that nobody waits for:"};
    struct weft__server_more *more = server->more;

    more->n_in += kind == WEFT__EVENT_IN;
    more->n_out += kind == WEFT__EVENT_OUT;
    if (more->traces)
        weft_log_notice("*DBG* %s %s %s", weft_inspect(weft__server_term(proc, server)), verbs[kind],
                        weft_inspect(term));
    if (more->keeps_log)
        keep_event(more, weft_tuple(event_atom(kind), term));
}

/* The client makes no newer reference while it has not: so who was answered counts too. */
static bool has_answered(const struct weft__server_more *more, weft_ref from)
{
    for (size_t i = 0; i < WEFT__EVENTS_KEPT; i++)
        if (more->answered[i] == from.bits)
            return true;
    return false;
}

void weft__server_note_reply(struct weft__proc *proc, struct weft__server *server, weft_ref from, weft_term value,
                             bool waits)
{
    struct weft__server_more *more = server->more;

    if (waits && !has_answered(more, from)) {
        more->answered[more->n_answered++ % WEFT__EVENTS_KEPT] = from.bits;
        weft__server_note(proc, server, WEFT__EVENT_OUT, value);
    } else {
        weft__server_note(proc, server, WEFT__EVENT_DROPPED, value);
    }
}

/* What describe is asked for, out of its frame. */
struct described {
    struct weft__server *server;
    weft_term state;
};

WEFT__GATE static void describe(void *arg)
{
    struct described *described = arg;

    described->state = weft__server_describe(described->server);
}

WEFT__GATE void weft__server_note_state(struct weft__proc *proc, struct weft__server *server)
{
    struct described described = {server, weft_none};
    weft_term reason;

    if (!server->more->traces && !server->more->keeps_log)
        return;
    /* A describe that crashes ends nobody who is only looked at. */
    if (!weft__catch(proc, describe, &described, &reason))
        described.state = weft_tuple(WEFT_ATOM("describe_crashed"), reason);
    weft__server_note(proc, server, WEFT__EVENT_STATE, described.state);
}

static void forget_log(struct weft__server_more *more)
{
    for (size_t i = 0; i < WEFT__EVENTS_KEPT; i++) {
        weft_drop(more->log[i]);
        more->log[i] = weft_none;
    }
    more->n_logged = 0;
}

/* Oldest first. */
static weft_term log_list(const struct weft__server_more *more)
{
    weft_term list = weft_empty_list;
    uint64_t n = more != NULL ? more->n_logged : 0;

    for (uint64_t i = 0; i < n && i < WEFT__EVENTS_KEPT; i++)
        list = weft_cons(more->log[(n - 1 - i) % WEFT__EVENTS_KEPT], list);
    return list;
}

static weft_term statistics(const struct weft__server_more *more)
{
    if (more == NULL || !more->counts)
        return A(no_statistics);
    return weft_map(A(since_ms), weft_int(more->counting_since_ms), A(now_ms), weft_int(weft_monotonic_ms()),
                    A(messages_in), weft_int((int64_t)more->n_in), A(messages_out),
                    weft_int((int64_t)more->n_out));
}

/* {what, on}: true when it is one of those that are switched. */
static bool set_debug(struct weft__proc *proc, struct weft__server *server, weft_atom what, bool on)
{
    struct weft__server_more *more = weft__server_more(proc, server);

    if (more == NULL)
        weft__proc_system_limit("weft_sys_trace", "no memory");
    if (weft_eq(what, A(trace))) {
        more->traces = on;
    } else if (weft_eq(what, A(log))) {
        more->keeps_log = on;
        if (!on)
            forget_log(more);
    } else if (weft_eq(what, A(statistics))) {
        more->counts = on;
        more->n_in = more->n_out = 0;
        more->counting_since_ms = weft_monotonic_ms();
    } else {
        return false;
    }
    more->has_debug = more->traces || more->keeps_log || more->counts;
    return true;
}

static void no_debug(struct weft__server_more *more)
{
    if (more == NULL)
        return;
    more->traces = more->keeps_log = more->counts = more->has_debug = false;
    forget_log(more);
}

/* -- status ---------------------------------------------------------------------------------- */

static weft_term debug_list(const struct weft__server_more *more)
{
    weft_term list = weft_empty_list;

    if (more != NULL && more->counts)
        list = weft_cons(A(statistics), list);
    if (more != NULL && more->keeps_log)
        list = weft_cons(A(log), list);
    if (more != NULL && more->traces)
        list = weft_cons(A(trace), list);
    return list;
}

static weft_term status_with(struct weft__proc *proc, struct weft__server *server, weft_term state, weft_term log)
{
    const char *module = server->callbacks->name;
    weft_term nil = WEFT__A(nil);

    return weft_map(A(status), server->is_suspended ? A(suspended) : A(running), A(pid), proc->pid, A(name),
                    weft_is_none(server->name) ? nil : server->name, A(parent),
                    server->has_parent ? proc->parent : nil, A(module),
                    weft_str(module != NULL ? module : "GenServer"), A(debug), debug_list(server->more),
                    A(state), state, A(log), log);
}

WEFT__GATE static weft_term status(struct weft__proc *proc, struct weft__server *server)
{
    weft_term shown = weft_map(A(state), weft__server_describe(server), A(log), log_list(server->more));

    if (server->callbacks->format_status != NULL)
        shown = server->callbacks->format_status(shown);
    if (!weft_is_map(shown))
        weft_error(weft_tuple(A(bad_return_value), shown));
    return status_with(proc, server, weft_map_get(shown, A(state), WEFT__A(nil)),
                       weft_map_get(shown, A(log), weft_empty_list));
}

/* -- requests ----------------------------------------------------------------------------------- */

/* One request, and what comes of it. */
struct request {
    struct weft__proc *proc;
    struct weft__server *server;
    weft_term what;   /* an atom */
    weft_term whole;
    weft_term answer; /* weft_none: there is no such request */
};

WEFT__GATE static weft_term replace_state(struct weft__server *server, weft_term request)
{
    weft_sys_replace_fn *fn = (weft_sys_replace_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(request, 1));

    server->state = fn(server->state, weft_tuple_size(request) > 2 ? weft_tuple_at(request, 2) : weft_none);
    return weft__server_describe(server);
}

WEFT__GATE static weft_term without_argument(struct weft__proc *proc, struct weft__server *server, weft_atom what)
{
    if (weft_eq(what, A(get_state)))
        return weft__server_describe(server);
    if (weft_eq(what, A(get_status)))
        return status(proc, server);
    if (weft_eq(what, A(get_log)))
        return log_list(server->more);
    if (weft_eq(what, A(get_statistics)))
        return statistics(server->more);
    if (weft_eq(what, A(suspend)))
        server->is_suspended = true;
    else if (weft_eq(what, A(resume)))
        server->is_suspended = false;
    else if (weft_eq(what, A(no_debug)))
        no_debug(server->more);
    else
        return weft_none;
    return WEFT__A(ok);
}

WEFT__GATE static void run_request(void *arg)
{
    struct request *request = arg;

    if (weft_is_atom(request->whole))
        request->answer = without_argument(request->proc, request->server, request->what);
    else if (weft_eq(request->what, A(replace_state)))
        request->answer = replace_state(request->server, request->whole);
    else if (set_debug(request->proc, request->server, request->what,
                       weft_eq(weft_tuple_at(request->whole, 1), weft_bool(true))))
        request->answer = WEFT__A(ok);
}

static void answer(struct weft__proc *proc, struct weft__server *server, weft_term value)
{
    weft__call_answer(proc, "describe", server->serving.from, value);
}

/* No answer: the caller exits with why. */
static void refuse(struct weft__proc *proc, struct weft__server *server, weft_term why)
{
    server->serving.answer = weft__call_prepare(proc, "weft_sys_try", server->serving.from, why, WEFT__NO_ANSWER);
    weft__serving_end(proc, &server->serving);
}

WEFT__GATE static void handle(struct request *request)
{
    struct weft__server *server = request->server;
    weft_term reason;

    if (!weft__catch(request->proc, run_request, request, &reason)) {
        /* get_status shows a placeholder in place of the raw state. */
        if (weft_eq(request->what, A(get_status)))
            answer(request->proc, server,
                   status_with(request->proc, server, weft_str("describe or format_status crashed"),
                               weft_empty_list));
        else
            refuse(request->proc, server, reason);
    } else if (!weft_is_none(request->answer)) {
        answer(request->proc, server, request->answer);
    } else {
        refuse(request->proc, server,
               weft__task_mistake("weft_sys_try", "a server has no system request %s",
                                  weft_inspect(request->whole)));
    }
}

WEFT__GATE enum weft__step weft__server_system(struct weft__proc *proc, struct weft__server *server,
                                    struct weft__message *message)
{
    weft_term whole = message->root;
    bool is_tuple = weft_is_tuple(whole) && weft_tuple_size(whole) >= 2;
    struct request request = {proc, server, is_tuple ? weft_tuple_at(whole, 0) : whole, whole, weft_none};

    server->in = WEFT__IN_SYSTEM;
    server->last = whole;
    server->serving.from = weft__term(message->ref);
    server->serving.client = weft__term(message->from);
    if (is_tuple && weft_eq(request.what, A(terminate))) {
        weft__server_stop(proc, server, weft_tuple_at(whole, 1));
        return WEFT__STEP_ENDED;
    }
    handle(&request);
    server->seen = NULL; /* what the program does in there may receive it */
    return WEFT__STEP_ON;
}

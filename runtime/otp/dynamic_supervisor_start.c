/* dynamic_supervisor_start.c - options checked, packed and handed over; the calls. */
#include "base/clock.h"
#include "base/options.h"
#include "otp/child_spec.h"
#include "otp/dynamic_supervisor.h"
#include "otp/supervisor.h"
#include "otp/task.h"

#define A(name) WEFT_ATOM(#name)

/* -- options ------------------------------------------------------------------------ */

static weft_term bad(weft_atom what, weft_term value)
{
    return weft_tuple(A(supervisor_data), weft_tuple(what, value));
}

static bool is_proper_list(weft_term term)
{
    while (weft_is_list(term) && !weft_is_empty_list(term))
        term = weft_tail(term);
    return weft_is_empty_list(term);
}

weft_term weft__dynamic_check(const struct weft_dynamic_supervisor_options *options)
{
    weft_term problem;

    if (options->strategy != WEFT_ONE_FOR_ONE)
        return bad(A(invalid_strategy), weft_int((int)options->strategy));
    problem = weft__supervisor_check_intensity(options->max_restarts, options->max_seconds);
    if (!weft_is_none(problem))
        return problem;
    if (options->max_children < 0)
        return bad(A(invalid_max_children), weft_int(options->max_children));
    if (!weft_is_none(options->extra_arguments) && !is_proper_list(options->extra_arguments))
        return bad(A(invalid_extra_arguments), options->extra_arguments);
    return weft_none;
}

weft_term weft__dynamic_pack(const struct weft_dynamic_supervisor_options *options)
{
    return weft_tuple(weft_is_none(options->name) ? A(nil) : options->name, weft_int((int)options->strategy),
                      weft_int(options->max_restarts), weft_int(options->max_seconds),
                      weft_int(options->max_children),
                      weft_is_none(options->extra_arguments) ? weft_empty_list : options->extra_arguments);
}

void weft__dynamic_unpack(struct weft_dynamic_supervisor_options *options, weft_term packed)
{
    weft_term name = weft_tuple_at(packed, 0), extra = weft_tuple_at(packed, 5);

    *options = (struct weft_dynamic_supervisor_options){
        .size = sizeof *options,
        .name = weft_eq(name, A(nil)) ? weft_none : name,
        .strategy = (enum weft_strategy)weft_to_int(weft_tuple_at(packed, 1)),
        .max_restarts = weft_to_int(weft_tuple_at(packed, 2)),
        .max_seconds = weft_to_int(weft_tuple_at(packed, 3)),
        .max_children = weft_to_int(weft_tuple_at(packed, 4)),
        .extra_arguments = weft_is_empty_list(extra) ? weft_none : extra,
    };
}

struct weft__dynamic *weft__dynamic_begin(weft_term name, const struct weft_dynamic_supervisor_options *options)
{
    struct weft__dynamic *dynamic = weft_new(struct weft__dynamic);

    weft_trap_exit(true);
    dynamic->name = weft_is_none(name) ? weft_self() : weft_keep(name);
    dynamic->max_children = options->max_children;
    dynamic->extra = weft_is_none(options->extra_arguments) || weft_is_empty_list(options->extra_arguments)
                         ? weft_none
                         : weft_keep(options->extra_arguments);
    weft__intensity_init(&dynamic->intensity, options->max_restarts, options->max_seconds);
    weft__rand_init(&dynamic->rand, (uint64_t)weft__clock_ns(), weft_self().bits);
    return dynamic;
}

/* -- starting --------------------------------------------------------------------------- */

/* What the server's init gets is {:options, packed} or {:callback, name, fn, [arg]}. */
static weft_started start_packed(weft_term packed)
{
    struct weft_dynamic_supervisor_options options;
    weft_term problem;

    weft__dynamic_unpack(&options, packed);
    problem = weft__dynamic_check(&options);
    if (!weft_is_none(problem))
        return weft_started_error(problem);
    return weft__dynamic_start_link(weft_tuple(A(options), packed), options.name);
}

weft_started weft_dynamic_supervisor_start_link_opt(const struct weft_dynamic_supervisor_options *given)
{
    struct weft_dynamic_supervisor_options options = {WEFT_DYNAMIC_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    return start_packed(weft__dynamic_pack(&options));
}

weft_child_spec weft__dynamic_child(weft_start_fn *start, weft_term id, weft_term arg)
{
    return weft_child(.id = id, .start = start, .arg = arg, .type = WEFT_SUPERVISOR);
}

weft_child_spec weft_dynamic_supervisor_child_opt(const struct weft_dynamic_supervisor_options *given)
{
    struct weft_dynamic_supervisor_options options = {WEFT_DYNAMIC_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    return weft__dynamic_child(start_packed,
                               weft_is_none(options.name) ? WEFT_ATOM("DynamicSupervisor")
                                                          : weft__supervisor_name_id(options.name),
                               weft__dynamic_pack(&options));
}

/* -- by a callback -------------------------------------------------------------------------- */

enum { INIT_OTHER, INIT_RUN, INIT_IGNORE };

weft_dynamic_supervisor_init weft_dynamic_supervisor_init_ok_opt(const struct weft_dynamic_supervisor_options *given)
{
    struct weft_dynamic_supervisor_options options = {WEFT_DYNAMIC_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    return (weft_dynamic_supervisor_init){
        .kind = INIT_RUN,
        .strategy = options.strategy,
        .max_restarts = options.max_restarts,
        .max_seconds = options.max_seconds,
        .max_children = options.max_children,
        .extra_arguments = options.extra_arguments,
    };
}

weft_dynamic_supervisor_init weft_dynamic_supervisor_init_ignore(void)
{
    return (weft_dynamic_supervisor_init){.kind = INIT_IGNORE};
}

weft_started weft_dynamic_supervisor_start_link_init(weft_dynamic_supervisor_init_fn *init, weft_term arg,
                                                     weft_server name)
{
    weft_term args = weft_is_none(arg) ? weft_list() : weft_list(arg);

    if (init == NULL)
        return weft_started_error(
            weft_tuple(A(badarg), weft_str("weft_dynamic_supervisor_start_link_init: init is NULL")));
    return weft__dynamic_start_link(weft_tuple(A(callback), weft_is_none(name) ? A(nil) : name,
                                               weft_pointer((const void *)(uintptr_t)init), args),
                                    name);
}

static weft_init_result init_callback(weft_term name, weft_term callback, weft_term args)
{
    weft_dynamic_supervisor_init_fn *fn =
        (weft_dynamic_supervisor_init_fn *)(uintptr_t)weft_to_pointer(callback);
    weft_dynamic_supervisor_init init = fn(weft_is_empty_list(args) ? weft_none : weft_head(args));
    struct weft_dynamic_supervisor_options options = {WEFT_DYNAMIC_SUPERVISOR_DEFAULTS};
    weft_term problem;

    if (init.kind == INIT_IGNORE)
        return weft_init_ignore();
    if (init.kind != INIT_RUN)
        return weft_init_stop(weft_tuple(A(bad_return), weft_tuple(WEFT_ATOM("weft_dynamic_supervisor"), A(init),
                                                                   weft_int(init.kind))));
    options.strategy = init.strategy;
    options.max_restarts = init.max_restarts;
    options.max_seconds = init.max_seconds;
    options.max_children = init.max_children;
    options.extra_arguments = init.extra_arguments;
    problem = weft__dynamic_check(&options);
    if (!weft_is_none(problem))
        return weft_init_stop(problem);
    return weft_init_ok(weft__dynamic_begin(weft_eq(name, A(nil)) ? weft_none : name, &options));
}

weft_init_result weft__dynamic_init(weft_term arg)
{
    struct weft_dynamic_supervisor_options options;

    if (!weft_eq(weft_tuple_at(arg, 0), A(options)))
        return init_callback(weft_tuple_at(arg, 1), weft_tuple_at(arg, 2), weft_tuple_at(arg, 3));
    weft__dynamic_unpack(&options, weft_tuple_at(arg, 1));
    return weft_init_ok(weft__dynamic_begin(options.name, &options));
}

/* -- the calls ---------------------------------------------------------------------------------- */

weft_started weft_dynamic_supervisor_start_child(weft_server supervisor, weft_child_spec spec)
{
    weft_term problem, answer;
    bool is_answer;

    spec.id = A(undefined);
    if (spec.significant)
        return weft_started_error(weft_tuple(A(invalid_significant), weft_bool(true)));
    problem = weft__child_check(&spec, NULL, 0);
    if (!weft_is_none(problem))
        return weft_started_error(problem);
    is_answer = weft__supervisor_ask(supervisor, A(start_child), weft__child_pack(&spec), &answer);
    return weft__supervisor_started(is_answer, answer);
}

int weft_dynamic_supervisor_terminate_child(weft_server supervisor, weft_pid pid)
{
    return weft_supervisor_terminate_child(supervisor, pid);
}

weft_term weft_dynamic_supervisor_which_children(weft_server supervisor)
{
    return weft_supervisor_which_children(supervisor);
}

int weft_dynamic_supervisor_count_children(weft_server supervisor, weft_child_counts *counts)
{
    return weft_supervisor_count_children(supervisor, counts);
}

void weft_dynamic_supervisor_stop(weft_server supervisor, weft_term reason, int64_t timeout_ms)
{
    weft_supervisor_stop(supervisor, reason, timeout_ms);
}

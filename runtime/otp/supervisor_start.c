/* supervisor_start.c - options and children, checked and handed to a new supervisor.
 *
 * They are checked where they are given, so that a mistake starts nothing: in
 * the caller, or, when an init callback says them, in the new process. To get
 * from one to the other they are a term, since a caller may end while its
 * supervisor starts.
 */
#include <stdio.h>

#include "base/options.h"
#include "otp/child_spec.h"
#include "otp/supervisor.h"
#include "otp/task.h"
#include "weft/log.h"

#define A(name) WEFT_ATOM(#name)

/* -- what is wrong ------------------------------------------------------------------ */

weft_term weft__supervisor_bad_combination(void)
{
    return weft_tuple(A(bad_combination), weft_list(weft_tuple(A(auto_shutdown), A(never)),
                                                    weft_tuple(A(significant), weft_bool(true))));
}

static weft_term bad_flag(weft_atom what, int64_t value)
{
    return weft_tuple(A(supervisor_data), weft_tuple(what, weft_int(value)));
}

weft_term weft__supervisor_check_intensity(int64_t max_restarts, int64_t max_seconds)
{
    if (max_restarts < 0)
        return bad_flag(A(invalid_intensity), max_restarts);
    if (max_seconds <= 0)
        return bad_flag(A(invalid_period), max_seconds);
    return weft_none;
}

static weft_term check_options(const char *call, const struct weft_supervisor_options *options)
{
    char text[200];

    if (options->strategy == 0) {
        snprintf(text, sizeof text,
                 "%s: .strategy is missing: WEFT_ONE_FOR_ONE, WEFT_ONE_FOR_ALL or WEFT_REST_FOR_ONE", call);
        return weft_tuple(A(badarg), weft_str(text));
    }
    if ((unsigned)options->strategy > WEFT_REST_FOR_ONE)
        return bad_flag(A(invalid_strategy), (int)options->strategy);
    if ((unsigned)options->auto_shutdown > WEFT_ALL_SIGNIFICANT)
        return bad_flag(A(invalid_auto_shutdown), (int)options->auto_shutdown);
    return weft__supervisor_check_intensity(options->max_restarts, options->max_seconds);
}

/* weft_none, or what keeps these children from being started under such options. */
static weft_term check(const char *call, const weft_child_spec *children, size_t n,
                       const struct weft_supervisor_options *options)
{
    weft_term problem = check_options(call, options);
    char text[256] = "";

    if (!weft_is_none(problem))
        return problem;
    problem = weft__children_check(children, n, text, sizeof text);
    for (size_t i = 0; weft_is_none(problem) && i < n; i++)
        if (children[i].significant && options->auto_shutdown == WEFT_AUTO_SHUTDOWN_NEVER)
            problem = weft__supervisor_bad_combination();
    if (weft_is_none(problem))
        return weft_none;
    if (text[0] != '\0')
        weft_log_error("%s: %s", call, text);
    return weft_tuple(A(start_spec), problem);
}

weft_term weft__supervisor_name_id(weft_term name)
{
    weft_term key;

    return weft_match(name, weft_tuple(A(via), weft_any, weft_bind(&key))) ? key : name;
}

/* -- from the caller to the supervisor ------------------------------------------------ */

static weft_term pack_children(const weft_child_spec *children, size_t n)
{
    weft_term list = weft_empty_list;

    for (size_t i = n; i-- > 0;)
        list = weft_cons(weft__child_pack(&children[i]), list);
    return list;
}

static weft_term name_or_nil(weft_term name)
{
    return weft_is_none(name) ? A(nil) : name;
}

static weft_started start_link(weft_term arg, weft_term name)
{
    return weft_gen_server_start_link(&weft__supervisor_server, arg, .name = name);
}

weft_started weft__supervisor_start(const char *call, const weft_child_spec *children, size_t n,
                                    const struct weft_supervisor_options *options, bool is_partitioned)
{
    weft_term problem = check(call, children, n, options), flags;

    if (!weft_is_none(problem))
        return weft_started_error(problem);
    flags = weft_tuple(weft_int((int)options->strategy), weft_int(options->max_restarts),
                       weft_int(options->max_seconds), weft_int((int)options->auto_shutdown),
                       weft_bool(is_partitioned));
    return start_link(weft_tuple(A(children), name_or_nil(options->name), flags, pack_children(children, n)),
                      options->name);
}

weft_started weft_supervisor_start_link_opt(const weft_child_spec *children, size_t n,
                                            const struct weft_supervisor_options *given)
{
    struct weft_supervisor_options options = {WEFT_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    return weft__supervisor_start("weft_supervisor_start_link", children, n, &options, false);
}

static weft_init_result init_children(weft_term name, weft_term flags, weft_term packed)
{
    const struct weft_supervisor_options options = {
        .size = sizeof options,
        .strategy = (enum weft_strategy)weft_to_int(weft_tuple_at(flags, 0)),
        .max_restarts = weft_to_int(weft_tuple_at(flags, 1)),
        .max_seconds = weft_to_int(weft_tuple_at(flags, 2)),
        .auto_shutdown = (enum weft_auto_shutdown)weft_to_int(weft_tuple_at(flags, 3)),
    };
    size_t n = weft_list_size(packed), i = 0;
    weft_child_spec *children = weft_alloc((n + 1) * sizeof *children);
    struct weft__partition_table *table = NULL;
    weft_init_result result;

    if (weft_to_bool(weft_tuple_at(flags, 4))) {
        table = weft__partition_table_claim((int64_t)n);
        if (table == NULL)
            return weft_init_stop(A(system_limit));
    }

    weft_list_each (spec, packed)
        weft__child_unpack(&children[i++], spec);
    result = weft__supervisor_begin(name, &options, children, n, table);
    weft_free(children);
    return result;
}

/* -- by a callback ------------------------------------------------------------------------ */

enum { INIT_OTHER, INIT_RUN, INIT_IGNORE };

weft_supervisor_init weft_supervisor_init_ok_opt(const weft_child_spec *children, size_t n,
                                                 const struct weft_supervisor_options *given)
{
    struct weft_supervisor_options options = {WEFT_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    return (weft_supervisor_init){
        .kind = INIT_RUN,
        .children = children,
        .n = n,
        .strategy = options.strategy,
        .max_restarts = options.max_restarts,
        .max_seconds = options.max_seconds,
        .auto_shutdown = options.auto_shutdown,
    };
}

weft_supervisor_init weft_supervisor_init_ignore(void)
{
    return (weft_supervisor_init){.kind = INIT_IGNORE};
}

weft_started weft_supervisor_start_link_init(weft_supervisor_init_fn *init, weft_term arg, weft_server name)
{
    weft_term args = weft_is_none(arg) ? weft_list() : weft_list(arg);

    if (init == NULL)
        return weft_started_error(weft_tuple(A(badarg), weft_str("weft_supervisor_start_link_init: init is NULL")));
    return start_link(weft_tuple(A(callback), name_or_nil(name), weft_pointer((const void *)(uintptr_t)init), args),
                      name);
}

static weft_init_result init_callback(weft_term name, weft_term callback, weft_term args)
{
    weft_supervisor_init_fn *fn = (weft_supervisor_init_fn *)(uintptr_t)weft_to_pointer(callback);
    weft_supervisor_init init = fn(weft_is_empty_list(args) ? weft_none : weft_head(args));
    struct weft_supervisor_options options = {WEFT_SUPERVISOR_DEFAULTS};
    weft_term problem;

    if (init.kind == INIT_IGNORE)
        return weft_init_ignore();
    if (init.kind != INIT_RUN)
        return weft_init_stop(weft_tuple(
            A(bad_return), weft_tuple(WEFT_ATOM("weft_supervisor"), A(init), weft_int(init.kind))));
    options.strategy = init.strategy;
    options.max_restarts = init.max_restarts;
    options.max_seconds = init.max_seconds;
    options.auto_shutdown = init.auto_shutdown;
    problem = check("weft_supervisor_init_ok", init.children, init.n, &options);
    if (!weft_is_none(problem))
        return weft_init_stop(problem);
    return weft__supervisor_begin(name, &options, init.children, init.n, NULL);
}

weft_init_result weft__supervisor_init(weft_term arg)
{
    weft_term how = weft_tuple_at(arg, 0), name = weft_tuple_at(arg, 1);

    if (weft_eq(name, A(nil)))
        name = weft_none;
    if (weft_eq(how, A(children)))
        return init_children(name, weft_tuple_at(arg, 2), weft_tuple_at(arg, 3));
    return init_callback(name, weft_tuple_at(arg, 2), weft_tuple_at(arg, 3));
}

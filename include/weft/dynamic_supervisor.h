/* dynamic_supervisor.h - a supervisor for children that come and go: connections,
 * sessions, jobs.
 *
 * Children are told apart by their pid alone, have no order, and there may be
 * many thousands of them: start, end and lookup of one take the same time
 * however many there are. Who wants to find a child by a name gives it one, or
 * a key in a Registry: a start of a second one then gives {:already_started, pid}.
 *
 * Children are started one at a time, in the supervisor: a slow init holds up
 * all others; weft/partition_supervisor.h splits the load. The default intensity
 * (3 restarts in 5 seconds, all children together) is for few children:
 * thousands want WEFT_TEMPORARY, a back-off, or higher limits. When the
 * supervisor is restarted itself, its children are gone.
 *
 * Where:   every call works in a process, and may park, as those of
 *          weft/supervisor.h; _child and _init_ok only make a value.
 * Meaning: Elixir's DynamicSupervisor; rules DSUP-1 to DSUP-37.
 */
#ifndef WEFT_DYNAMIC_SUPERVISOR_H
#define WEFT_DYNAMIC_SUPERVISOR_H

#include "weft/supervisor.h"

WEFT__BEGIN_C

struct weft_dynamic_supervisor_options {
    WEFT_OPTION(size_t, size, sizeof(weft_dynamic_supervisor_options));
    WEFT_OPTION(weft_server, name, {0});          /* an atom or weft_via(...) */
    WEFT_OPTION(enum weft_strategy, strategy, WEFT_ONE_FOR_ONE); /* the only one */
    WEFT_OPTION(int64_t, max_restarts, 3);
    WEFT_OPTION(int64_t, max_seconds, 5);
    WEFT_OPTION(int64_t, max_children, WEFT_INFINITY); /* at once, those that are being restarted too */
    WEFT_OPTION(weft_term, extra_arguments, {0}); /* a list: start functions get it with their own .arg
                                                   * (if they have one) as last element */
};
#define WEFT_DYNAMIC_SUPERVISOR_DEFAULTS                                  \
    .size = sizeof(struct weft_dynamic_supervisor_options), .name = {0},  \
    .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 3, .max_seconds = 5,    \
    .max_children = WEFT_INFINITY, .extra_arguments = {0}

/* Start one, linked to the caller, without children.
 *
 * Where:    in a process. May park.
 * Returns:  its pid; or not ok: {:supervisor_data, {:invalid_strategy | :invalid_intensity |
 *           :invalid_period | :invalid_max_children | :invalid_extra_arguments, value}},
 *           {:already_started, pid}. DSUP-1, DSUP-2. */
#define weft_dynamic_supervisor_start_link(...)                           \
    WEFT_CALL_OPTIONS(weft_dynamic_supervisor_start_link_opt(             \
        WEFT_OPTIONS(weft_dynamic_supervisor_options, WEFT_DYNAMIC_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_dynamic_supervisor_start_link_opt(
    const struct weft_dynamic_supervisor_options *options);

/* The same as a child of a supervisor: a WEFT_SUPERVISOR with all the time to
 * stop; its id is its name, or the atom DynamicSupervisor. DSUP-4. */
#define weft_dynamic_supervisor_child(...)                                \
    WEFT_CALL_OPTIONS(weft_dynamic_supervisor_child_opt(                  \
        WEFT_OPTIONS(weft_dynamic_supervisor_options, WEFT_DYNAMIC_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_child_spec weft_dynamic_supervisor_child_opt(
    const struct weft_dynamic_supervisor_options *options);

/* What an init callback wants. */
struct weft_dynamic_supervisor_init {
    int kind; /* 0: made by neither of the two below */
    enum weft_strategy strategy;
    int64_t max_restarts, max_seconds, max_children;
    weft_term extra_arguments;
};
typedef struct weft_dynamic_supervisor_init weft_dynamic_supervisor_init;
typedef weft_dynamic_supervisor_init weft_dynamic_supervisor_init_fn(weft_term arg);

#define weft_dynamic_supervisor_init_ok(...)                              \
    WEFT_CALL_OPTIONS(weft_dynamic_supervisor_init_ok_opt(                \
        WEFT_OPTIONS(weft_dynamic_supervisor_options, WEFT_DYNAMIC_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_dynamic_supervisor_init weft_dynamic_supervisor_init_ok_opt(
    const struct weft_dynamic_supervisor_options *options);
WEFT_API weft_dynamic_supervisor_init weft_dynamic_supervisor_init_ignore(void);

/* Start one whose options init(arg) says, in the new process; ignored when it
 * says so; {:bad_return, {:weft_dynamic_supervisor, :init, what}} for anything
 * else. DSUP-3. */
WEFT_API weft_started weft_dynamic_supervisor_start_link_init(weft_dynamic_supervisor_init_fn *init, weft_term arg,
                                                              weft_server name);

/* Start a child. spec.id is not looked at.
 *
 * Where:    in a process. May park.
 * Returns:  its pid; ignored, and nothing is stored; or not ok: what is wrong with
 *           the spec (found before the supervisor is asked), {:invalid_significant, true},
 *           :max_children, {:already_started, pid}, its own reason, :noproc. DSUP-5 to DSUP-15. */
WEFT_API weft_started weft_dynamic_supervisor_start_child(weft_server supervisor, weft_child_spec spec);

/* Stop a child by its .shutdown_ms, and forget it. A child that is being
 * restarted goes by its last pid. 0; WEFT_ENOENT: not a child, or no longer;
 * WEFT_ENOPROC, WEFT_EDEADLK as in weft/supervisor.h. May park. DSUP-24 to DSUP-27. */
WEFT_API int weft_dynamic_supervisor_terminate_child(weft_server supervisor, weft_pid pid);

/* A list of {:undefined, pid | :restarting, :worker | :supervisor, []} in no
 * order; weft_none: no supervisor. May park. DSUP-28. */
WEFT_API weft_term weft_dynamic_supervisor_which_children(weft_server supervisor);

/* Takes the same time however many there are. 0, or WEFT_ENOPROC, WEFT_EDEADLK.
 * May park. DSUP-29, DSUP-30. */
WEFT_API int weft_dynamic_supervisor_count_children(weft_server supervisor, weft_child_counts *counts);

/* weft_supervisor_stop; all children are told to stop at once. DSUP-31 to DSUP-36. */
WEFT_API void weft_dynamic_supervisor_stop(weft_server supervisor, weft_term reason, int64_t timeout_ms);

WEFT__END_C

#endif

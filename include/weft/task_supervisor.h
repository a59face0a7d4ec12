/* task_supervisor.h - a supervisor of tasks that are started on demand.
 *
 *     weft_pid sup = weft_must(weft_task_supervisor_start_link(.name = WEFT_ATOM("fetchers")));
 *     weft_task task = weft_task_supervisor_async_nolink(sup, fetch, url);
 *
 * It gives tasks a place in the tree, bounds their number, ends them in order,
 * and lets a caller start a task whose crash it survives: _nolink. The plain
 * forms link the task to the caller as well, as weft_task_async does: a crash
 * of the task then ends the caller, too.
 *
 * It is a dynamic supervisor (weft/dynamic_supervisor.h) whose children are
 * tasks. Starting one is a request to it: many starters at once are served by
 * weft/partition_supervisor.h.
 *
 * Where:   every call works in a process, and may park; _child and the streams
 *          only make a value.
 * Meaning: Elixir's Task.Supervisor; rules TSUP-1 to TSUP-27.
 */
#ifndef WEFT_TASK_SUPERVISOR_H
#define WEFT_TASK_SUPERVISOR_H

#include "weft/dynamic_supervisor.h"
#include "weft/task.h"

WEFT__BEGIN_C

/* -- the supervisor ------------------------------------------------------------ */

struct weft_task_supervisor_options {
    WEFT_OPTION(size_t, size, sizeof(weft_task_supervisor_options));
    WEFT_OPTION(weft_server, name, {0});
    WEFT_OPTION(int64_t, max_children, WEFT_INFINITY); /* tasks at once */
    WEFT_OPTION(int64_t, max_restarts, 3);
    WEFT_OPTION(int64_t, max_seconds, 5);
};
#define WEFT_TASK_SUPERVISOR_DEFAULTS                                     \
    .size = sizeof(struct weft_task_supervisor_options), .name = {0},     \
    .max_children = WEFT_INFINITY, .max_restarts = 3, .max_seconds = 5

/* Start one, linked to the caller, without tasks. As
 * weft_dynamic_supervisor_start_link. TSUP-1. */
#define weft_task_supervisor_start_link(...)                              \
    WEFT_CALL_OPTIONS(weft_task_supervisor_start_link_opt(                \
        WEFT_OPTIONS(weft_task_supervisor_options, WEFT_TASK_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_task_supervisor_start_link_opt(const struct weft_task_supervisor_options *options);

/* The same as a child of a supervisor; its id is its name, or the atom
 * Task.Supervisor: two without a name in one supervisor clash. TSUP-2. */
#define weft_task_supervisor_child(...)                                   \
    WEFT_CALL_OPTIONS(weft_task_supervisor_child_opt(                     \
        WEFT_OPTIONS(weft_task_supervisor_options, WEFT_TASK_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_child_spec weft_task_supervisor_child_opt(const struct weft_task_supervisor_options *options);

/* The pids of its tasks that live, as a list; weft_none: no supervisor. May
 * park. TSUP-3. */
WEFT_API weft_term weft_task_supervisor_children(weft_server supervisor);

/* End a task by its .shutdown_ms and see it dead: 0; WEFT_ENOENT: not a task of
 * its, or no longer; WEFT_ENOPROC, WEFT_EDEADLK. May park. TSUP-18. */
WEFT_API int weft_task_supervisor_terminate_child(weft_server supervisor, weft_pid pid);

/* -- tasks that answer ------------------------------------------------------------- */

struct weft_supervised_task_options {
    WEFT_OPTION(size_t, size, sizeof(weft_supervised_task_options));
    WEFT_OPTION(int64_t, shutdown_ms, 5000);  /* or WEFT_BRUTAL_KILL: when the supervisor stops. TSUP-11 */
    WEFT_OPTION(enum weft_priority, priority, WEFT_NORMAL);
    WEFT_OPTION(size_t, stack_size, 0);       /* as in weft_spawn */
};
#define WEFT_SUPERVISED_TASK_DEFAULTS                                     \
    .size = sizeof(struct weft_supervised_task_options), .shutdown_ms = 5000, \
    .priority = WEFT_NORMAL, .stack_size = 0

/* Start a task under the supervisor; the caller is its owner, and awaits it as
 * any task. It is never started again.
 *
 * Where:    in a process. May park: the supervisor starts it.
 * Returns:  its handle. When the supervisor has .max_children tasks already, a
 *           handle that has ended, with {:system_limit, text}: await, yield and
 *           shutdown give it.
 * Exits:    {:noproc, {Task.Supervisor, :async, [supervisor]}}   nobody there; what the
 *           supervisor ended with, in its place
 *           a mistake in an option, by name
 * Meaning:  TSUP-4 to TSUP-13. The _try_ forms report: true and *task, or false
 *           and *reason ({:system_limit, text}, :noproc, ...). */
#define weft_task_supervisor_async(supervisor, fn, arg, ...)              \
    WEFT_CALL_OPTIONS(weft_task_supervisor_async_opt((supervisor), (fn), (arg), \
        WEFT_OPTIONS(weft_supervised_task_options, WEFT_SUPERVISED_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_task weft_task_supervisor_async_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                  const struct weft_supervised_task_options *options);
#define weft_task_supervisor_async_nolink(supervisor, fn, arg, ...)       \
    WEFT_CALL_OPTIONS(weft_task_supervisor_async_nolink_opt((supervisor), (fn), (arg), \
        WEFT_OPTIONS(weft_supervised_task_options, WEFT_SUPERVISED_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_task weft_task_supervisor_async_nolink_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                         const struct weft_supervised_task_options *options);

#define weft_task_supervisor_try_async(supervisor, fn, arg, task, reason, ...) \
    WEFT_CALL_OPTIONS(weft_task_supervisor_try_async_opt((supervisor), (fn), (arg), (task), (reason), \
        WEFT_OPTIONS(weft_supervised_task_options, WEFT_SUPERVISED_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API bool weft_task_supervisor_try_async_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                 weft_task *task, weft_term *reason,
                                                 const struct weft_supervised_task_options *options);
#define weft_task_supervisor_try_async_nolink(supervisor, fn, arg, task, reason, ...) \
    WEFT_CALL_OPTIONS(weft_task_supervisor_try_async_nolink_opt((supervisor), (fn), (arg), (task), (reason), \
        WEFT_OPTIONS(weft_supervised_task_options, WEFT_SUPERVISED_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API bool weft_task_supervisor_try_async_nolink_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                        weft_task *task, weft_term *reason,
                                                        const struct weft_supervised_task_options *options);

/* -- tasks that do not ---------------------------------------------------------------- */

struct weft_task_child_options {
    WEFT_OPTION(size_t, size, sizeof(weft_task_child_options));
    WEFT_OPTION(enum weft_restart, restart, WEFT_TEMPORARY); /* restarts count in the supervisor's intensity */
    WEFT_OPTION(int64_t, shutdown_ms, 5000);
};
#define WEFT_TASK_CHILD_DEFAULTS                                          \
    .size = sizeof(struct weft_task_child_options), .restart = WEFT_TEMPORARY, .shutdown_ms = 5000

/* Run fn(arg) under the supervisor, linked to that alone; the caller hears
 * nothing of it. Not ok: :max_children, :noproc, what is wrong with an option.
 * In a process. May park. TSUP-14 to TSUP-17. */
#define weft_task_supervisor_start_child(supervisor, fn, arg, ...)        \
    WEFT_CALL_OPTIONS(weft_task_supervisor_start_child_opt((supervisor), (fn), (arg), \
        WEFT_OPTIONS(weft_task_child_options, WEFT_TASK_CHILD_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_task_supervisor_start_child_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                           const struct weft_task_child_options *options);

/* -- streams ------------------------------------------------------------------------------ */

/* weft_task_async_stream whose tasks are children of the supervisor, with all
 * its options. _nolink: a task that crashes is an item {:exit, reason} for
 * every consumer; a consumer that ends takes its tasks with it all the same.
 * When .max_children is reached in mid-stream its tasks are killed, and the
 * consumer exits with {:system_limit, text}. TSUP-19 to TSUP-24. */
#ifdef __cplusplus
#define weft_task_supervisor_async_stream(supervisor, source, fn, ...)    \
    weft__task_supervisor_async_stream((supervisor), (source), (fn), true, \
        WEFT_OPTIONS(weft_stream_options, WEFT_STREAM_DEFAULTS, __VA_ARGS__))
#define weft_task_supervisor_async_stream_nolink(supervisor, source, fn, ...) \
    weft__task_supervisor_async_stream((supervisor), (source), (fn), false, \
        WEFT_OPTIONS(weft_stream_options, WEFT_STREAM_DEFAULTS, __VA_ARGS__))
#else
#define weft_task_supervisor_async_stream(supervisor, source, fn, ...)    \
    WEFT_CALL_OPTIONS(_Generic((source),                                  \
        weft_term: weft_task_supervisor_async_stream_list_opt,            \
        weft_source: weft_task_supervisor_async_stream_source_opt)((supervisor), (source), (fn), true, \
        WEFT_OPTIONS(weft_stream_options, WEFT_STREAM_DEFAULTS, __VA_ARGS__)))
#define weft_task_supervisor_async_stream_nolink(supervisor, source, fn, ...) \
    WEFT_CALL_OPTIONS(_Generic((source),                                  \
        weft_term: weft_task_supervisor_async_stream_list_opt,            \
        weft_source: weft_task_supervisor_async_stream_source_opt)((supervisor), (source), (fn), false, \
        WEFT_OPTIONS(weft_stream_options, WEFT_STREAM_DEFAULTS, __VA_ARGS__)))
#endif
WEFT_API weft_stream weft_task_supervisor_async_stream_list_opt(weft_server supervisor, weft_term list,
                                                                weft_task_fn *fn, bool link,
                                                                const struct weft_stream_options *options);
WEFT_API weft_stream weft_task_supervisor_async_stream_source_opt(weft_server supervisor, weft_source source,
                                                                  weft_task_fn *fn, bool link,
                                                                  const struct weft_stream_options *options);

WEFT__END_C

#ifdef __cplusplus
inline weft_stream weft__task_supervisor_async_stream(weft_server supervisor, weft_term list, weft_task_fn *fn,
                                                      bool link, const struct weft_stream_options *options)
{
    return weft_task_supervisor_async_stream_list_opt(supervisor, list, fn, link, options);
}
inline weft_stream weft__task_supervisor_async_stream(weft_server supervisor, const weft_source &source,
                                                      weft_task_fn *fn, bool link,
                                                      const struct weft_stream_options *options)
{
    return weft_task_supervisor_async_stream_source_opt(supervisor, source, fn, link, options);
}
#endif

#endif

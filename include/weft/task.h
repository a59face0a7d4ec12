/* task.h - tasks: one function, run by a process of its own.
 *
 * A task mostly hands one result back to the process that started it, its
 * owner:
 *
 *     weft_task task = weft_task_async(square, weft_int(12));
 *     ...
 *     weft_term value = weft_task_await(task, 5000);
 *
 * A task is an extension of its owner, not a wall: the two are linked, so the
 * one's crash ends the other. Who wants to survive a task starts it under a
 * task supervisor (weft_task_supervisor_async_nolink).
 *
 * A handle is awaited once, by its owner: await, await_many, yield, yield_many,
 * shutdown and ignore use it up unless they say so. A task nobody awaits sends
 * its owner what its end came to, as messages {ref, value} and {:DOWN, ref,
 * :process, pid, :normal}, or the :DOWN alone with the reason.
 *
 * A stream maps a function over a list or a source, so many tasks at a time:
 *
 *     weft_stream pages = weft_task_async_stream(urls, fetch, .max_concurrency = 10);
 *
 *     weft_stream_each (page, &pages)
 *         printf("%s\n", weft_inspect(page.ok ? page.value : page.reason));
 *
 * "A mistake" below ends the caller with {:badarg, "call: what is wrong"}; the
 * _try_ forms hand that reason back instead.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/child.h"
#include "weft/options.h"
#include "weft/process.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* What a task runs: one term in, its result out. */
typedef weft_fn weft_task_fn;

/* A handle, by value; copies of it are the same handle. */
typedef struct weft_task {
    weft_pid pid;    /* the atom nil: a completed one */
    weft_ref ref;    /* of its messages */
    weft_pid owner;  /* who may await it */
    weft_term value; /* a completed one's; else weft_none */
} weft_task;

/* The handle as a term, {pid, ref, owner}, as it stands in reasons. From
 * anywhere. Never switches. */
WEFT_API weft_term weft_task_term(weft_task task);

/* -- starting ---------------------------------------------------------------- */

struct weft_task_options {
    WEFT_OPTION(size_t, size, sizeof(weft_task_options));
    WEFT_OPTION(enum weft_priority, priority, WEFT_NORMAL);
    WEFT_OPTION(size_t, stack_size, 0);     /* bytes; 0: 64 KiB. At most 8 MiB */
    WEFT_OPTION(bool, sticky, false);       /* stays on one kernel thread */
    WEFT_OPTION(const char *, label, NULL); /* shown in reports; copied */
};
#define WEFT_TASK_DEFAULTS                                                \
    .size = sizeof(struct weft_task_options), .priority = WEFT_NORMAL,    \
    .stack_size = 0, .sticky = false, .label = NULL

/* Start a task: a process that runs fn(arg), linked to the caller, which is
 * its owner.
 *
 *   arg      copied; weft_none: fn gets weft_none
 *
 * Where:    in a process. Never switches; the task starts later.
 * Returns:  a handle to await.
 * Exits:    a mistake in an option, by name; {:system_limit, text}
 * Ends:     with :normal when fn returns; with another reason than that (and
 *           :shutdown, {:shutdown, _}) it is reported once, and ends an owner
 *           that does not trap exits, awaiting or not. An owner that ends with
 *           :normal leaves it running; another reason ends it too.
 * Meaning:  Elixir Task.async/1; rules TASK-3 to TASK-10. */
#define weft_task_async(fn, arg, ...)                                     \
    WEFT_CALL_OPTIONS(weft_task_async_opt((fn), (arg),                    \
        WEFT_OPTIONS(weft_task_options, WEFT_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_task weft_task_async_opt(weft_task_fn *fn, weft_term arg,
                                       const struct weft_task_options *options);

/* Start a process that runs fn(arg) for its effects: its result is dropped.
 * Not linked: neither touches the other; or linked, with _link. .ok is false,
 * with the reason, when no process can be had. Never switches. As
 * weft_task_async otherwise. TASK-1, TASK-2. */
#define weft_task_start(fn, arg, ...)                                     \
    WEFT_CALL_OPTIONS(weft_task_start_opt((fn), (arg),                    \
        WEFT_OPTIONS(weft_task_options, WEFT_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_task_start_opt(weft_task_fn *fn, weft_term arg,
                                          const struct weft_task_options *options);
#define weft_task_start_link(fn, arg, ...)                                \
    WEFT_CALL_OPTIONS(weft_task_start_link_opt((fn), (arg),               \
        WEFT_OPTIONS(weft_task_options, WEFT_TASK_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_task_start_link_opt(weft_task_fn *fn, weft_term arg,
                                               const struct weft_task_options *options);

/* A child of a supervisor that is a task: fn(arg) by weft_task_start_link. Id
 * Task and restart WEFT_TEMPORARY unless changed in what it returns. The term
 * lives in the caller's scope, as arg has to. From anywhere. Never switches.
 * TASK-2. */
WEFT_API weft_child_spec weft_task_child(weft_task_fn *fn, weft_term arg);

/* A handle that has its value already, and no process; it is never used up.
 * The value lives in its scope as any term. In a process. Never switches.
 * TASK-11. */
WEFT_API weft_task weft_task_completed(weft_term value);

/* Who this process works for: a list of pids, the process that started it as a
 * task first, then that one's callers. Empty when it is no task. In a process.
 * Never switches. TASK-5. */
WEFT_API weft_term weft_task_callers(void);

/* -- await ---------------------------------------------------------------------- */

struct weft_await_options {
    WEFT_OPTION(size_t, size, sizeof(weft_await_options));
    WEFT_OPTION(bool, stop_on_timeout, false); /* kill the task when the time is over:
                                                * it is dead when the reason is made */
};
#define WEFT_AWAIT_DEFAULTS \
    .size = sizeof(struct weft_await_options), .stop_on_timeout = false

/* Wait for a task's result.
 *
 *   timeout_ms   from now; 0 looks once; WEFT_INFINITY waits for ever
 *
 * Where:    in the task's owner. May park.
 * Returns:  the value, which lives to the end of the innermost scope.
 * Uses up:  the handle, in any case: nothing of the task arrives later.
 * Exits:    with {why, {Task, :await, [{pid, ref, owner}, timeout]}}
 *           :timeout           no result in time. The task runs on (it is still
 *                              linked) unless .stop_on_timeout
 *           :already_awaited   the handle is used up
 *           another            the task ended with that and gave no result
 *           or a mistake: not the owner, a negative timeout
 * Meaning:  Elixir Task.await/2; TASK-12 to TASK-20. To look without ending,
 *           weft_task_yield. */
#define weft_task_await(task, timeout_ms, ...)                            \
    WEFT_CALL_OPTIONS(weft_task_await_opt((task), (timeout_ms),           \
        WEFT_OPTIONS(weft_await_options, WEFT_AWAIT_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_term weft_task_await_opt(weft_task task, int64_t timeout_ms,
                                       const struct weft_await_options *options);

/* The same, reporting: true and the value in *result, or false and in *result
 * the reason that weft_task_await would have ended with. May park. */
#define weft_task_try_await(task, timeout_ms, result, ...)                \
    WEFT_CALL_OPTIONS(weft_task_try_await_opt((task), (timeout_ms), (result), \
        WEFT_OPTIONS(weft_await_options, WEFT_AWAIT_DEFAULTS, __VA_ARGS__)))
WEFT_API bool weft_task_try_await_opt(weft_task task, int64_t timeout_ms, weft_term *result,
                                      const struct weft_await_options *options);

/* Wait for all of n tasks, under one timeout.
 *
 *   results      room for n values: in the order of tasks, whichever ends first
 *
 * May park. As weft_task_await, with {why, {Task, :await_many, [tasks, timeout]}}: at once
 * when one of them ended without a result. The others run on, and all handles
 * are used up. .stop_on_timeout kills those that have not answered. The same
 * handle twice gives its value in both places. TASK-21 to TASK-25. */
#define weft_task_await_many(tasks, n, timeout_ms, results, ...)          \
    WEFT_CALL_OPTIONS(weft_task_await_many_opt((tasks), (n), (timeout_ms), (results), \
        WEFT_OPTIONS(weft_await_options, WEFT_AWAIT_DEFAULTS, __VA_ARGS__)))
WEFT_API void weft_task_await_many_opt(const weft_task *tasks, size_t n, int64_t timeout_ms,
                                       weft_term *results, const struct weft_await_options *options);

/* The same, reporting: true; or false with the reason in *reason, and the
 * results all weft_none. May park. */
#define weft_task_try_await_many(tasks, n, timeout_ms, results, reason, ...) \
    WEFT_CALL_OPTIONS(weft_task_try_await_many_opt((tasks), (n), (timeout_ms), (results), (reason), \
        WEFT_OPTIONS(weft_await_options, WEFT_AWAIT_DEFAULTS, __VA_ARGS__)))
WEFT_API bool weft_task_try_await_many_opt(const weft_task *tasks, size_t n, int64_t timeout_ms,
                                           weft_term *results, weft_term *reason,
                                           const struct weft_await_options *options);

/* -- yield, shutdown, ignore ----------------------------------------------------- */

enum weft_task_outcome {
    WEFT_TASK_NONE, /* nothing (yet) */
    WEFT_TASK_OK,   /* a result */
    WEFT_TASK_EXIT  /* it ended with a reason and gave no result */
};

/* In the calls below *result (which may be NULL) becomes the value or the
 * reason, and stays as it is with WEFT_TASK_NONE. */

/* Look whether the task has answered, for at most that long. NONE leaves the
 * handle as it is; else it is used up. Gives EXIT with :already_awaited for a
 * used-up one. In the task's owner. May park. TASK-26, TASK-27. */
WEFT_API enum weft_task_outcome weft_task_yield(weft_task task, int64_t timeout_ms, weft_term *result);

/* What to do about tasks that did not answer in time. */
enum weft_on_timeout {
    WEFT_LEAVE_TASK,  /* nothing: their handles stay. yield_many's */
    WEFT_IGNORE_TASK, /* weft_task_ignore. yield_many's */
    WEFT_KILL_TASK,   /* weft_task_shutdown with WEFT_BRUTAL_KILL */
    WEFT_EXIT_CALLER  /* a stream's: kill all its tasks, exit with :timeout */
};

struct weft_yield_options {
    WEFT_OPTION(size_t, size, sizeof(weft_yield_options));
    WEFT_OPTION(int64_t, timeout_ms, 5000);
    WEFT_OPTION(size_t, limit, SIZE_MAX); /* enough answers to return; at least 1 */
    WEFT_OPTION(enum weft_on_timeout, on_timeout, WEFT_LEAVE_TASK);
};
#define WEFT_YIELD_DEFAULTS                                               \
    .size = sizeof(struct weft_yield_options), .timeout_ms = 5000,        \
    .limit = SIZE_MAX, .on_timeout = WEFT_LEAVE_TASK

struct weft_task_result {
    enum weft_task_outcome outcome;
    weft_term value; /* the value, or the reason, or weft_none */
};
typedef struct weft_task_result weft_task_result;

/* weft_task_yield for n tasks under one timeout.
 *
 *   results   room for n, in the order of tasks
 *
 * Returns:  how many of them are not NONE: at least min(limit, n) unless the
 *           time is over. Handles with NONE stay as they are, but for what
 *           .on_timeout does when the time was over: a killed task is dead on
 *           return, and gives OK when it answered meanwhile.
 * May park. TASK-28 to TASK-30. */
#define weft_task_yield_many(tasks, n, results, ...)                      \
    WEFT_CALL_OPTIONS(weft_task_yield_many_opt((tasks), (n), (results),   \
        WEFT_OPTIONS(weft_yield_options, WEFT_YIELD_DEFAULTS, __VA_ARGS__)))
WEFT_API size_t weft_task_yield_many_opt(const weft_task *tasks, size_t n, struct weft_task_result *results,
                                         const struct weft_yield_options *options);

/* End a task: unlink it, send it :shutdown, and after timeout_ms :kill; or :kill
 * at once with WEFT_BRUTAL_KILL. It is dead on return, and nothing of it is
 * left or comes. Uses the handle up. In the task's owner. May park.
 *
 * Returns:  OK     it had answered, or did on its way out
 *           NONE   it ended with :shutdown (WEFT_BRUTAL_KILL: with :killed)
 *           EXIT   it ended with another reason; :noproc for a used-up handle
 * TASK-31 to TASK-37. */
WEFT_API enum weft_task_outcome weft_task_shutdown(weft_task task, int64_t timeout_ms, weft_term *result);

/* Let a task run on alone: unlinks it, and nothing of it arrives later. OK or
 * EXIT when it has ended already. Uses the handle up. In the task's owner. May
 * park. TASK-38. */
WEFT_API enum weft_task_outcome weft_task_ignore(weft_task task, weft_term *result);

/* -- streams ------------------------------------------------------------------------ */

/* Set *item to the next one; false when there is no more. The item's terms may
 * be built on the spot: they are copied, and given back after the call. */
typedef bool weft_source_next_fn(void *state, weft_term *item);
typedef void weft_source_fn(void *state);

/* Where a stream's items come from, one at a time, in the consuming process.
 * What next ends with (weft_exit, a fault) the consumer ends with. */
struct weft_source {
    WEFT_OPTION(weft_source_next_fn *, next, NULL);
    WEFT_OPTION(weft_source_fn *, close, NULL); /* once after each consumption, however it ends; as
                                                 * a weft_defer: may call what never switches */
    WEFT_OPTION(void *, state, NULL);           /* handed to the three */
    WEFT_OPTION(weft_source_fn *, open, NULL);  /* before a consumption, to begin anew */
};
typedef struct weft_source weft_source;

/* .max_concurrency: as many as the runtime has workers. */
#define WEFT_ONE_PER_WORKER INT64_MIN

struct weft_stream_options {
    WEFT_OPTION(size_t, size, sizeof(weft_stream_options));
    WEFT_OPTION(int64_t, max_concurrency, WEFT_ONE_PER_WORKER); /* tasks alive at once, at least 1 */
    WEFT_OPTION(bool, ordered, true);             /* deliver in the order of the source; else as they end */
    WEFT_OPTION(int64_t, timeout_ms, 5000);       /* of each task, from its start */
    WEFT_OPTION(enum weft_on_timeout, on_timeout, WEFT_EXIT_CALLER); /* or WEFT_KILL_TASK */
    WEFT_OPTION(bool, zip_input_on_exit, false);  /* a reason becomes {input, reason} */
    WEFT_OPTION(int64_t, deadline_ms, WEFT_INFINITY); /* of all of it, from when consumption begins: then as
                                                   * if every running task had timed out, and nothing new starts */
    WEFT_OPTION(bool, bail, false);               /* the first failure delivered is the last item */
    WEFT_OPTION(int64_t, max_buffered, WEFT_INFINITY); /* results that may wait behind a slow one; at that many
                                                   * nothing new starts. At least 1 */
    WEFT_OPTION(bool, durations, false);          /* measure them (two clock readings an item) */
    WEFT_OPTION(enum weft_priority, priority, WEFT_NORMAL); /* of the tasks, as in weft_spawn */
    WEFT_OPTION(size_t, stack_size, 0);
    WEFT_OPTION(int64_t, shutdown_ms, 5000);      /* or WEFT_BRUTAL_KILL: what a task supervisor gives
                                                   * them when it stops */
};
#define WEFT_STREAM_DEFAULTS                                              \
    .size = sizeof(struct weft_stream_options), .max_concurrency = WEFT_ONE_PER_WORKER, \
    .ordered = true, .timeout_ms = 5000, .on_timeout = WEFT_EXIT_CALLER,  \
    .zip_input_on_exit = false, .deadline_ms = WEFT_INFINITY, .bail = false, \
    .max_buffered = WEFT_INFINITY, .durations = false, .priority = WEFT_NORMAL, \
    .stack_size = 0, .shutdown_ms = 5000

/* What to do with a source, not yet begun. Its fields are the library's; they
 * have no default initialisers, as functions of C return it. */
struct weft_stream {
    struct {
        weft_source_next_fn *next; /* NULL: the list */
        weft_source_fn *close;
        void *state;
        weft_source_fn *open;
    } source;
    weft_term list;
    weft_task_fn *fn;
    struct {
        int64_t max_concurrency, timeout_ms, deadline_ms, max_buffered, shutdown_ms;
        size_t stack_size;
        enum weft_priority priority;
        enum weft_on_timeout on_timeout;
        bool ordered, zip_input_on_exit, bail, durations;
    } options;
    const struct weft__stream_kind *kind; /* who starts the tasks */
    weft_term under;                      /* and where */
};
typedef struct weft_stream weft_stream;

/* Map fn over the elements of a list, or the items of a weft_source, each in a
 * task of its own.
 *
 * Starts nothing: each consumption (weft_stream_each, weft_stream_open) runs
 * everything anew, in the process that consumes, which the tasks are linked
 * to. A list, and what state points to, must live until then.
 *
 * The source is asked for an item only when a task may start for it. In order
 * (.ordered) one slow item lets results pile up behind it, see .max_buffered.
 * Who wants only the first 10 items limits the source: a break after ten has
 * run more of them. Items much cheaper than 1 us want to be lists of many.
 *
 * Where:    in a process. Never switches.
 * Exits:    a mistake in an option, by name
 * Meaning:  Elixir Task.async_stream/3; TASK-39 to TASK-62. */
#ifdef __cplusplus
#define weft_task_async_stream(source, fn, ...)                           \
    weft__task_async_stream((source), (fn),                               \
        WEFT_OPTIONS(weft_stream_options, WEFT_STREAM_DEFAULTS, __VA_ARGS__))
#else
#define weft_task_async_stream(source, fn, ...)                           \
    WEFT_CALL_OPTIONS(_Generic((source),                                  \
        weft_term: weft_task_async_stream_list_opt,                       \
        weft_source: weft_task_async_stream_source_opt)((source), (fn),   \
        WEFT_OPTIONS(weft_stream_options, WEFT_STREAM_DEFAULTS, __VA_ARGS__)))
#endif
WEFT_API weft_stream weft_task_async_stream_list_opt(weft_term list, weft_task_fn *fn,
                                                     const struct weft_stream_options *options);
WEFT_API weft_stream weft_task_async_stream_source_opt(weft_source source, weft_task_fn *fn,
                                                       const struct weft_stream_options *options);

struct weft_stream_item {
    bool ok;             /* a value; else a reason */
    weft_term value;     /* what fn returned, or weft_none */
    weft_term reason;    /* what the task ended with (:timeout when it took too long), or weft_none */
    weft_term input;     /* what it was given */
    uint64_t index;      /* which item of the source, from 0 */
    int64_t duration_us; /* .durations: from its start until its end was seen; else 0 */
};
typedef struct weft_stream_item weft_stream_item;

/* weft_stream_each (item, &stream) { ... }: the body once for each item, a
 * weft_stream_item whose terms live to the end of the body. May park between
 * the bodies. An item is delivered when its task has ended.
 *
 * break and return stop the stream: its tasks are killed, trapping or not, and
 * dead before the next statement runs. A consumer that ends within the body,
 * in whatever way, takes them with it.
 *
 * Exits:    the reason of a task that crashed, when the caller does not trap
 *           exits; one that does gets it as an item, and no message
 *           {:timeout, {text, [timeout]}}   a task took too long, when
 *           .on_timeout is WEFT_EXIT_CALLER: after all tasks were killed; the
 *           text names the item
 *           what the source ends with
 *           {:system_limit, text}           no process can be had */
#define weft_stream_each(item, stream) \
    WEFT__STREAM_EACH(WEFT__CAT(weft__each_, __COUNTER__), item, stream)
/* The inner loop runs once; a body left by break leaves in_body set, and then
 * the outer one ends too. */
#define WEFT__STREAM_EACH(each, item, stream)                                 \
    for (struct weft__stream_each each                                        \
             __attribute__((cleanup(weft__stream_each_end))) =                \
                 weft__stream_each_begin(stream);                             \
         !each.in_body && !each.is_over;)                                     \
        for (weft_stream_item item __attribute__((unused)) =                  \
                 weft__stream_each_next(&each);                               \
             each.in_body; each.in_body = false)

/* The same by hand, for two streams in lockstep or an end elsewhere. A cursor
 * is used by the process that opened it, in its scopes: an item's terms live
 * to the end of the innermost one. Exits as weft_stream_each. */
typedef struct weft_stream_cursor {
    struct weft__stream_run *run; /* NULL: at its end */
} weft_stream_cursor;

/* Begin a consumption. Nothing starts before the first next. Never switches. */
WEFT_API weft_stream_cursor weft_stream_open(const weft_stream *stream);
/* The next item, or false at the end; it closes the cursor then. May park. */
WEFT_API bool weft_stream_next(weft_stream_cursor *cursor, weft_stream_item *item);
/* Stop: tasks are killed, and dead on return; the source is closed. At the end
 * and once closed it does nothing. May park. */
WEFT_API void weft_stream_close(weft_stream_cursor *cursor);

/* -- what the macros stand on ----------------------------------------------------- */

struct weft__stream_each {
    struct weft_scope scope;
    struct weft_stream_cursor cursor;
    bool in_body, is_over, has_scope;
};
WEFT_API struct weft__stream_each weft__stream_each_begin(const weft_stream *stream);
WEFT_API weft_stream_item weft__stream_each_next(struct weft__stream_each *each);
WEFT_API void weft__stream_each_end(struct weft__stream_each *each);

WEFT__END_C

#ifdef __cplusplus
inline weft_stream weft__task_async_stream(weft_term list, weft_task_fn *fn,
                                           const struct weft_stream_options *options)
{
    return weft_task_async_stream_list_opt(list, fn, options);
}
inline weft_stream weft__task_async_stream(const weft_source &source, weft_task_fn *fn,
                                           const struct weft_stream_options *options)
{
    return weft_task_async_stream_source_opt(source, fn, options);
}
#endif

#endif

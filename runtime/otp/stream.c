/* stream.c - streams as programs see them: options, cursors, the loop. */
#include "otp/stream.h"

#include "base/here.h"
#include "proc/runtime.h"

static const struct weft__stream_kind plain = {.call = "weft_task_async_stream"};

/* -- making ---------------------------------------------------------------------------- */

static void check_numbers(const char *call, const struct weft_stream_options *options)
{
    if (options->max_concurrency < 1 || options->max_concurrency > INT32_MAX)
        weft__proc_badarg(call, ".max_concurrency is %lld: it must be at least 1",
                          (long long)options->max_concurrency);
    if (options->timeout_ms < 0)
        weft__proc_badarg(call, ".timeout_ms is %lld: it must be 0 or more, or WEFT_INFINITY",
                          (long long)options->timeout_ms);
    if (options->deadline_ms < 0)
        weft__proc_badarg(call, ".deadline_ms is %lld: it must be 0 or more, or WEFT_INFINITY",
                          (long long)options->deadline_ms);
    if (options->max_buffered < 1)
        weft__proc_badarg(call, ".max_buffered is %lld: it must be at least 1, or WEFT_INFINITY",
                          (long long)options->max_buffered);
    if (options->shutdown_ms < 0 && options->shutdown_ms != WEFT_BRUTAL_KILL)
        weft__proc_badarg(call, ".shutdown_ms is %lld: it must be 0 or more, WEFT_INFINITY or "
                                "WEFT_BRUTAL_KILL", (long long)options->shutdown_ms);
}

static void check_options(const char *call, const struct weft_stream_options *options)
{
    struct weft_spawn_options spawn;

    check_numbers(call, options);
    if (options->on_timeout != WEFT_EXIT_CALLER && options->on_timeout != WEFT_KILL_TASK)
        weft__proc_badarg(call, ".on_timeout is %d: it must be WEFT_EXIT_CALLER or WEFT_KILL_TASK",
                          (int)options->on_timeout);
    weft__task_spawn_options(call, &spawn, options->priority, options->stack_size);
}

static void set_options(weft_stream *stream, const struct weft_stream_options *options)
{
    stream->options.max_concurrency = options->max_concurrency;
    stream->options.timeout_ms = options->timeout_ms;
    stream->options.deadline_ms = options->deadline_ms;
    stream->options.max_buffered = options->max_buffered;
    stream->options.shutdown_ms = options->shutdown_ms;
    stream->options.stack_size = options->stack_size;
    stream->options.priority = options->priority;
    stream->options.on_timeout = options->on_timeout;
    stream->options.ordered = options->ordered;
    stream->options.zip_input_on_exit = options->zip_input_on_exit;
    stream->options.bail = options->bail;
    stream->options.durations = options->durations;
}

static void check_list(const char *call, weft_term list)
{
    char text[128];

    if (weft_is_list(list))
        return;
    weft_inspect_to(text, sizeof text, list);
    weft__proc_badarg(call, "%s is no list", text);
}

weft_stream weft__stream_make(const struct weft__stream_kind *kind, const weft_source *source,
                              weft_term list, weft_task_fn *fn, weft_term under,
                              const struct weft_stream_options *given)
{
    struct weft_stream_options options = {WEFT_STREAM_DEFAULTS};
    weft_stream stream = {.list = list, .fn = fn, .kind = kind, .under = under};

    weft__proc_need(kind->call);
    weft__options_take(&options, given);
    if (options.max_concurrency == WEFT_ONE_PER_WORKER)
        options.max_concurrency = weft__runtime()->sched->n_workers;
    check_options(kind->call, &options);
    set_options(&stream, &options);
    if (fn == NULL)
        weft__proc_badarg(kind->call, "the function is NULL");
    if (source == NULL) {
        check_list(kind->call, list);
        return stream;
    }
    if (source->next == NULL)
        weft__proc_badarg(kind->call, "the source has no .next");
    stream.source.next = source->next;
    stream.source.close = source->close;
    stream.source.state = source->state;
    stream.source.open = source->open;
    return stream;
}

weft_stream weft_task_async_stream_list_opt(weft_term list, weft_task_fn *fn,
                                            const struct weft_stream_options *options)
{
    return weft__stream_make(&plain, NULL, list, fn, weft_none, options);
}

weft_stream weft_task_async_stream_source_opt(weft_source source, weft_task_fn *fn,
                                              const struct weft_stream_options *options)
{
    return weft__stream_make(&plain, &source, weft_empty_list, fn, weft_none, options);
}

/* -- cursors ----------------------------------------------------------------------------- */

weft_stream_cursor weft_stream_open(const weft_stream *stream)
{
    struct weft__proc *proc = weft__proc_need("weft_stream_open");

    if (stream == NULL || stream->kind == NULL)
        weft__proc_badarg("weft_stream_open", "this is no stream: weft_task_async_stream makes one");
    return (weft_stream_cursor){.run = weft__stream_run_new(proc, stream)};
}

/* Its run; NULL at the end of the stream. */
static struct weft__stream_run *run_of(const char *call, weft_stream_cursor *cursor)
{
    struct weft__proc *proc;

    if (cursor->run == NULL)
        return NULL;
    proc = weft__proc_need_parkable(call);
    if (weft__stream_run_proc(cursor->run) != proc)
        weft__proc_badarg(call, "only the process that opened a stream may consume it");
    return cursor->run;
}

/* Wait for an item; closes the cursor at the end. */
static bool cursor_ready(weft_stream_cursor *cursor)
{
    if (run_of("weft_stream_next", cursor) == NULL)
        return false;
    if (weft__stream_run_ready(cursor->run))
        return true;
    weft_stream_close(cursor);
    return false;
}

static void cursor_deliver(weft_stream_cursor *cursor, weft_stream_item *item)
{
    if (weft__stream_run_deliver(cursor->run, item))
        weft_stream_close(cursor);
}

bool weft_stream_next(weft_stream_cursor *cursor, weft_stream_item *item)
{
    if (!cursor_ready(cursor))
        return false;
    cursor_deliver(cursor, item);
    return true;
}

void weft_stream_close(weft_stream_cursor *cursor)
{
    struct weft__stream_run *run = run_of("weft_stream_close", cursor);

    cursor->run = NULL;
    if (run != NULL)
        weft__stream_run_close(run);
}

/* -- the loop ------------------------------------------------------------------------------ */

struct weft__stream_each weft__stream_each_begin(const weft_stream *stream)
{
    return (struct weft__stream_each){.cursor = weft_stream_open(stream)};
}

static void leave_body(struct weft__stream_each *each)
{
    if (each->has_scope)
        weft_scope_leave(&each->scope);
    each->has_scope = false;
}

weft_stream_item weft__stream_each_next(struct weft__stream_each *each)
{
    weft_stream_item item = {.ok = false};

    leave_body(each);
    if (!cursor_ready(&each->cursor)) {
        each->is_over = true;
        return item;
    }
    weft_scope_enter(&each->scope);
    each->has_scope = true;
    cursor_deliver(&each->cursor, &item);
    each->in_body = true;
    return item;
}

void weft__stream_each_end(struct weft__stream_each *each)
{
    leave_body(each);
    weft_stream_close(&each->cursor);
}

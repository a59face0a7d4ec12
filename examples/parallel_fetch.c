/*
 * parallel_fetch.c - fetch many URLs at once with back-pressure.
 *
 * The C of
 *   Task.Supervisor.async_stream_nolink(sup, urls, &fetch/1, max_concurrency: 10, ordered: false)
 *
 * with a command line around it. Two processes work together:
 *
 *   fetcher   runs the stream: a task for each URL, so many at a time; what
 *             comes of each it sends to the
 *   reporter  (the app), which prints, and hears of Ctrl-C: then it kills the
 *             fetcher, whose tasks go with it, and sums up what there is. So
 *             it does when nobody takes what it prints.
 *
 *   parallel_fetch URL...      parallel_fetch -f urls.txt -c 100      parallel_fetch
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>
#include <weft/http.h>

#include "demo_plan.h"
#include "demo_server.h"
#include "fetch_options.h"
#include "fetch_report.h"
#include "url_source.h"

#define A(name) WEFT_ATOM(#name)
#define PROGRESS_MS 200

static struct fetch_options options;     /* set before the runtime starts */
static struct demo_plan plan;            /* the fetcher asks it, then the reporter looks it up */
static struct demo_server_counts served;
static _Atomic uint64_t n_started;       /* tasks, for the progress line */

/* -- the fetcher ------------------------------------------------------------------- */

/* A task: {:ok, status, bytes, us}. A fetch that fails ends its task, and
 * nothing else. */
static weft_term fetch(weft_term url)
{
    weft_http_response res;

    atomic_fetch_add_explicit(&n_started, 1, memory_order_relaxed);
    res = weft_http_get(url, .timeout_ms = options.timeout_ms, .max_body = options.max_body);
    if (!res.ok)
        weft_exit(weft_tuple(A(fetch_failed), res.error, weft_int(res.timings.total_us)));
    return weft_tuple(A(ok), weft_int(res.status), weft_int((int64_t)weft_bin_size(res.body)),
                      weft_int(res.timings.total_us));
}

static weft_term fetch_all(weft_term reporter)
{
    struct url_source list = {.urls = options.urls, .n_urls = options.n_urls, .list_fd = options.list_fd};
    weft_source urls = options.is_demo ? demo_plan_source(&plan) : url_source(&list);
    weft_pid sup = weft_must(weft_task_supervisor_start_link(.name = A(fetchers)));
    weft_stream results = weft_task_supervisor_async_stream_nolink(sup, urls, fetch,
            .max_concurrency = options.concurrency, .ordered = false,
            /* The request keeps its own time; this is for what is beyond it. */
            .timeout_ms = options.timeout_ms + 5000, .on_timeout = WEFT_KILL_TASK);

    weft_stream_each (item, &results)
        weft_send(reporter, weft_tuple(A(fetched), weft_int((int64_t)item.index), item.input,
                                       item.ok ? item.value : item.reason));
    return A(ok);
}

/* -- the reporter ---------------------------------------------------------------------- */

static const char *text_of(weft_term term)
{
    return weft_is_bin(term) ? weft_text(term) : weft_inspect(term);
}

/* A result as the report takes it; its texts live in the caller's scope. */
static struct fetch_result result_of(weft_term url, weft_term value, char kind[32])
{
    struct fetch_result result = {.url = weft_text(url)};
    int64_t status, bytes;
    weft_term what, words;

    if (weft_match(value, weft_tuple(A(ok), weft_bind_int(&status), weft_bind_int(&bytes), weft_bind_int(&result.us)))) {
        result.status = (int)status;
        result.bytes = (uint64_t)bytes;
        result.ok = status < 400;
        if (!result.ok) {
            snprintf(kind, 32, "status %d", result.status);
            result.kind = kind;
        }
    } else if (weft_match(value, weft_tuple(A(fetch_failed), weft_tuple(weft_bind(&what), weft_bind(&words)),
                                            weft_bind_int(&result.us)))) {
        result.kind = weft_atom_name(what);
        result.text = text_of(words);
    } else { /* a crash, or a task that took too long */
        result.kind = "crashed";
        result.text = weft_inspect(value);
    }
    return result;
}

static void report_one(struct fetch_report *report, int64_t index, weft_term url, weft_term value)
{
    char kind[32];
    struct fetch_result result = result_of(url, value, kind);

    fetch_report_add(report, &result);
    if (options.is_demo)
        demo_plan_check(&plan, (uint64_t)index, result.url, result.kind);
}

/* Print what comes until the fetcher has ended: what ended it. */
static weft_term report_all(struct fetch_report *report, weft_pid fetcher, weft_ref down)
{
    weft_receive_each (message) {
        int64_t index;
        weft_term url, value, reason;

        if (weft_match(message, weft_tuple(A(fetched), weft_bind_int(&index), weft_bind(&url), weft_bind(&value)))) {
            report_one(report, index, url, value);
            if (weft_message_queue_len() == 0)
                fetch_report_flush(report);
            if (report->output_error != 0)
                weft_kill(fetcher);
        } else if (weft_eq(message, A(tick))) {
            fetch_report_progress(report, atomic_load_explicit(&n_started, memory_order_relaxed));
            weft_send_after(weft_self(), A(tick), PROGRESS_MS);
        } else if (weft_match(message, weft_tuple(A(signal), weft_any)))
            weft_kill(fetcher);
        else if (weft_match(message, weft_tuple(A(DOWN), down, weft_any, weft_any, weft_bind(&reason))))
            return weft_scope_return(reason);
    }
    return weft_none; /* never: only a return ends the loop */
}

/* A server of our own, and a port where nobody listens. */
static void start_demo(void)
{
    struct demo_server server;
    weft_address address = {.size = 0};
    int code = demo_server_start(&server, &served, NULL), dead;

    if (code != 0)
        weft_exit(weft_tuple(A(demo_server), weft_str(weft_error_text(code))));
    dead = weft_listen("127.0.0.1", 0);
    weft_local_address(dead, &address);
    weft_close(dead);
    plan.port = server.port;
    plan.dead_port = weft_address_port(&address);
    fprintf(stderr, "no URLs given: fetching %d from a server inside this program, 127.0.0.1:%u (--help tells more)\n",
            DEMO_URLS, plan.port);
}

static int exit_status(const struct fetch_report *report, weft_term reason)
{
    if (report->output_error != 0) {
        fprintf(stderr, "parallel_fetch: cannot write: %s\n", weft_error_text(report->output_error));
        return 1;
    }
    if (weft_eq(reason, A(killed)))
        return 130;
    if (!weft_eq(reason, A(normal))) {
        fprintf(stderr, "parallel_fetch: %s\n", weft_inspect(reason));
        return 1;
    }
    if (options.is_demo)
        return plan.n_wrong > 0 || report->n_done != DEMO_URLS;
    return report->n_failed > 0;
}

static weft_term app(weft_term arguments)
{
    struct fetch_report report = {.json = options.json, .quiet = options.quiet, .has_progress = isatty(STDERR_FILENO)};
    weft_ref down;
    weft_pid fetcher;
    weft_term reason;

    (void)arguments;
    weft_log_set_level(WEFT_LOG_NONE);                  /* a fetch that failed has a line here anyway */
    weft_os_signal_subscribe(SIGINT);
    if (options.is_demo)
        start_demo();
    fetch_report_begin(&report);
    fetcher = weft_spawn(fetch_all, weft_self(), .monitor = &down, .label = "fetcher");
    if (report.has_progress)
        weft_send_after(weft_self(), A(tick), PROGRESS_MS);
    reason = report_all(&report, fetcher, down);
    fetch_report_end(&report, weft_eq(reason, A(normal)) ? "" : weft_eq(reason, A(killed)) ? ", then stopped" : ", then broke off");
    return weft_int(exit_status(&report, reason));
}

int main(int argc, char **argv)
{
    int status = fetch_options_read(&options, argc, argv);

    return status >= 0 ? status : weft_main(argc, argv, app);
}

/* client.c - a request from the asker's side: check, resolve, ask, wait, and
 * again for each redirect.
 *
 * What a process holds while it waits is one transfer, which a defer gives up
 * when the process ends: the driver is told, and stops working on it.
 */
#include "weft/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/answer.h"
#include "http/driver.h"
#include "http/names.h"
#include "http/target.h"
#include "http/transfer.h"
#include "weft/error.h"
#include "weft/timer.h"

#define MAX_ATTEMPTS 5               /* to find a driver that does not end at that moment */
#define CURL_CONNECT_MS 300000       /* curl's own bound */
#define EXPECT_ABOVE (1u << 20)      /* curl asks for leave to send more than this, and waits a second for it */

/* One call: what is asked next, which redirects change. */
struct request {
    const char *call;       /* the public one, for mistakes */
    struct weft_http_options options;
    const char *method;
    weft_term url;          /* of the caller; or built for a redirect */
    weft_term body;         /* or weft_none */
    bool is_elsewhere;      /* another host, port or scheme than the caller named */
    int64_t start_ns;
    int64_t until_ms;       /* or WEFT_INFINITY */
    int64_t resolve_us;
};

/* -- mistakes ------------------------------------------------------------------------- */

WEFT__NORETURN __attribute__((format(printf, 2, 3))) static void mistake(const char *call, const char *format, ...)
{
    char text[300];
    size_t used = (size_t)snprintf(text, sizeof text, "%s: ", call);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
    weft_exit(weft_tuple(WEFT_ATOM("badarg"), weft_str(text)));
}

static bool is_token(const char *text)
{
    return *text != '\0' && text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] == '\0';
}

static void check_headers(const char *call, weft_term headers)
{
    if (weft_is_none(headers))
        return;
    if (!weft_is_list(headers))
        mistake(call, ".headers is no list");
    weft_list_each (header, headers)
        if (!weft_is_tuple(header) || weft_tuple_size(header) != 2 || !weft_is_bin(weft_tuple_at(header, 0)) ||
            !weft_is_bin(weft_tuple_at(header, 1)))
            mistake(call, ".headers: %s is no {name, value} of two binaries", weft_inspect(header, .max_bytes = 80));
}

static void check_options(const char *call, const struct weft_http_options *options)
{
    if (!weft_is_bin(options->url))
        mistake(call, ".url is no binary: %s", weft_inspect(options->url, .max_bytes = 80));
    if (options->method == NULL || !is_token(options->method) || strlen(options->method) > 32)
        mistake(call, ".method is not a word of letters, digits, - and _, at most 32");
    check_headers(call, options->headers);
    if (!weft_is_none(options->body) && !weft_is_bin(options->body))
        mistake(call, ".body is no binary");
    if (options->timeout_ms < 0)
        mistake(call, ".timeout_ms is negative (%lld)", (long long)options->timeout_ms);
    if (options->connect_timeout_ms < 0)
        mistake(call, ".connect_timeout_ms is negative (%lld)", (long long)options->connect_timeout_ms);
    if (options->follow_redirects < 0)
        mistake(call, ".follow_redirects is negative (%lld)", (long long)options->follow_redirects);
}

/* -- a transfer made from a request ------------------------------------------------------ */

/* Strings of a request end up behind each other in one piece of memory. */
static char *put(char **at, const char *text)
{
    char *start = *at;

    if (text == NULL)
        return NULL;
    *at = stpcpy(start, text) + 1;
    return start;
}

static size_t room_for(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static bool copy_strings(struct weft__http_transfer *transfer, const struct request *request, const char *url)
{
    const struct weft_http_options *options = &request->options;
    char *at = malloc(room_for(url) + room_for(request->method) + room_for(options->user_agent) +
                      room_for(options->ca_file) + room_for(options->proxy));

    if (at == NULL)
        return false;
    transfer->asked.text = at;
    transfer->asked.url = put(&at, url);
    transfer->asked.method = put(&at, request->method);
    transfer->asked.user_agent = put(&at, options->user_agent);
    transfer->asked.ca_file = put(&at, options->ca_file);
    transfer->asked.proxy = put(&at, options->proxy);
    return true;
}

static bool append(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);

    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

static bool is_name(weft_term name, const char *text)
{
    return weft_bin_size(name) == strlen(text) &&
           strncasecmp(weft_bin_data(name), text, weft_bin_size(name)) == 0;
}

static bool has_header(weft_term headers, const char *name)
{
    if (!weft_is_none(headers))
        weft_list_each (header, headers)
            if (is_name(weft_tuple_at(header, 0), name))
                return true;
    return false;
}

/* A byte that would end the line, or the name. */
static bool breaks_line(weft_term text, const char *more)
{
    const char *at = weft_bin_data(text);

    for (size_t i = 0; i < weft_bin_size(text); i++)
        if (at[i] == '\r' || at[i] == '\n' || at[i] == '\0' || strchr(more, at[i]) != NULL)
            return true;
    return false;
}

static bool names_the_caller(weft_term name)
{
    return is_name(name, "authorization") || is_name(name, "cookie") || is_name(name, "proxy-authorization");
}

/* weft_none, or the error. curl takes lines: "name: value", "name:" for none. */
static weft_term add_header(struct curl_slist **list, weft_term name, weft_term value)
{
    char short_line[512], *line = short_line;
    size_t n_name = weft_bin_size(name), n_value = weft_bin_size(value), size = n_name + n_value + 3;
    bool is_added;

    if (n_name == 0 || breaks_line(name, ": \t") || breaks_line(value, ""))
        return weft__http_error(WEFT_ATOM("bad_header"), "%s: %s", n_name == 0 ? "a name is empty" : "it breaks its line",
                                weft_inspect(weft_tuple(name, value), .max_bytes = 200));
    if (size > sizeof short_line)
        line = malloc(size);
    if (line == NULL)
        return weft__http_error(WEFT_ATOM("no_memory"), "no memory for the headers");
    memcpy(line, weft_bin_data(name), n_name);
    memcpy(line + n_name, n_value > 0 ? ": " : ":", 2);
    memcpy(line + n_name + 2, weft_bin_data(value), n_value);
    line[n_name + (n_value > 0 ? 2 : 1) + n_value] = '\0';
    is_added = append(list, line);
    if (line != short_line)
        free(line);
    return is_added ? weft_none : weft__http_error(WEFT_ATOM("no_memory"), "no memory for the headers");
}

static weft_term add_headers(struct weft__http_transfer *transfer, const struct request *request)
{
    weft_term headers = request->options.headers, wrong = weft_none;
    struct curl_slist **list = &transfer->asked.headers;
    bool is_added = true;

    if (!weft_is_none(headers))
        weft_list_each (header, headers) {
            weft_term name = weft_tuple_at(header, 0);

            if (request->is_elsewhere && names_the_caller(name))
                continue;
            wrong = add_header(list, name, weft_tuple_at(header, 1));
            if (!weft_is_none(wrong))
                return wrong;
        }
    if (!weft_is_none(request->body)) {
        /* What curl would say of a body is right for forms alone. */
        if (!has_header(headers, "content-type"))
            is_added = append(list, "Content-Type:");
        if (is_added && weft_bin_size(request->body) > EXPECT_ABOVE && !has_header(headers, "expect"))
            is_added = append(list, "Expect:");
    }
    return is_added ? weft_none : weft__http_error(WEFT_ATOM("no_memory"), "no memory for the headers");
}

static int64_t time_left(const struct request *request)
{
    int64_t left;

    if (request->until_ms == WEFT_INFINITY)
        return WEFT_INFINITY;
    left = request->until_ms - weft_monotonic_ms();
    return left > 0 ? left : 0;
}

static weft_term timed_out(const struct request *request, const char *what)
{
    return weft__http_error(WEFT_ATOM("timeout"), "%s within %lld ms", what, (long long)request->options.timeout_ms);
}

/* Tell curl the addresses of the host; a name that is looked up may take its time. */
static weft_term add_names(struct weft__http_transfer *transfer, struct request *request,
                           const struct weft__http_target *target)
{
    char addresses[WEFT__HTTP_ADDRESSES_MAX];
    char line[WEFT__HTTP_ADDRESSES_MAX + WEFT__HTTP_HOST_MAX + 16];
    size_t size = strlen(target->host);
    int64_t start = weft_monotonic_ns();
    int code = weft__http_names_find(target->host, time_left(request), addresses);

    request->resolve_us = (weft_monotonic_ns() - start) / 1000;
    if (code == WEFT_ETIMEDOUT)
        return timed_out(request, "the name was not resolved");
    if (code != 0)
        return weft__http_error(WEFT_ATOM("resolve"), "%s: %s", target->host, weft_error_text(code));
    /* curl drops the dot that ends a name. "+": until its names are stale. */
    if (size > 1 && target->host[size - 1] == '.')
        size--;
    snprintf(line, sizeof line, "+%.*s:%u:%s", (int)size, target->host, (unsigned)target->port, addresses);
    transfer->asked.is_named = true;
    return append(&transfer->asked.resolved, line)
               ? weft_none
               : weft__http_error(WEFT_ATOM("no_memory"), "no memory for a name");
}

/* Fill the transfer: weft_none, or the error. May park, to resolve. */
static weft_term prepare(struct weft__http_transfer *transfer, struct request *request,
                         struct weft__http_target *target)
{
    const struct weft_http_options *options = &request->options;
    struct weft__http_target proxy;
    const char *url = weft_text(request->url), *why;
    weft_term wrong;

    if (strlen(url) != weft_bin_size(request->url))
        return weft__http_error(WEFT_ATOM("bad_url"), "it has a NUL byte in it");
    if (weft__http_target_parse(url, target, &why) != 0)
        return weft__http_error(WEFT_ATOM("bad_url"), "%s", why);
    if (options->proxy != NULL && weft__http_target_parse_proxy(options->proxy, &proxy, &why) != 0)
        return weft__http_error(WEFT_ATOM("bad_proxy"), "%s", why);
    if (!copy_strings(transfer, request, url))
        return weft__http_error(WEFT_ATOM("no_memory"), "no memory for the request");
    transfer->asked.is_tls = target->is_tls;
    transfer->asked.http2 = options->http2;
    transfer->asked.verify = options->verify;
    transfer->asked.max_body = options->max_body;
    if (options->connect_timeout_ms < CURL_CONNECT_MS)
        transfer->asked.connect_timeout_ms = options->connect_timeout_ms > 0 ? options->connect_timeout_ms : 1;
    if (!weft_is_none(options->headers) || !weft_is_none(request->body)) {
        wrong = add_headers(transfer, request);
        if (!weft_is_none(wrong))
            return wrong;
    }
    /* Through a proxy the host's name is the proxy's to resolve. */
    if (options->proxy != NULL)
        *target = proxy;
    request->resolve_us = 0;
    return target->is_numeric ? weft_none : add_names(transfer, request, target);
}

/* -- asking --------------------------------------------------------------------------------- */

/* The asker ends, or gives up: the driver is to stop working on it. A defer. */
static void abandon(void *arg)
{
    struct weft__http_transfer *transfer = arg;
    weft_pid driver = weft_whereis(WEFT_ATOM("weft_http"));

    if (!weft_is_none(transfer->asked.answer_to) && !weft_is_none(driver)) {
        WEFT_SCOPE;

        atomic_store_explicit(&transfer->is_cancelled, true, memory_order_relaxed);
        weft__http_transfer_hold(transfer);
        weft_send(driver, weft_tuple(WEFT_ATOM("cancel"), weft__http_transfer_term(transfer)));
    }
    weft__http_transfer_drop(transfer);
}

enum outcome { ANSWERED, TIMED_OUT, DRIVER_ENDED };

static enum outcome ask_once(struct weft__http_transfer *transfer, const struct request *request)
{
    WEFT_SCOPE;
    weft_pid driver = weft__http_driver();
    /* One reference for the answer and for the driver's end; whichever comes
     * first ends both. */
    weft_ref ref = weft_monitor(driver, .alias = WEFT_ALIAS_REPLY_DEMONITOR);
    weft_term pattern = weft_tuple(weft_any, ref, weft_any, weft_any, weft_any), message;

    transfer->asked.answer_to = ref;
    weft__http_transfer_hold(transfer);
    weft_send(driver, weft_tuple(WEFT_ATOM("request"), weft__http_transfer_term(transfer),
                                 weft_is_none(request->body) ? WEFT_ATOM("nil") : request->body));
    if (!weft_receive(pattern, time_left(request), &message)) {
        weft_demonitor(ref, true);
        /* It may have come just now. */
        if (!weft_receive(pattern, 0, &message))
            return TIMED_OUT;
    }
    return weft_eq(weft_tuple_at(message, 0), WEFT_ATOM("done")) ? ANSWERED : DRIVER_ENDED;
}

/* Have the driver do it: weft_none when it is over, well or not; or the error
 * that kept it from being done, and then nobody may look at what came. */
static weft_term ask(struct weft__http_transfer *transfer, const struct request *request)
{
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        switch (ask_once(transfer, request)) {
        case ANSWERED:
            return weft_none;
        case TIMED_OUT:
            return timed_out(request, "no whole answer came");
        case DRIVER_ENDED:
            /* Relaxed: its end, which we heard of, comes after. */
            if (atomic_load_explicit(&transfer->has_begun, memory_order_relaxed))
                return weft__http_error(WEFT_ATOM("stopped"), "the process weft_http ended meanwhile");
        }
    }
    return weft__http_error(WEFT_ATOM("stopped"), "no process weft_http stays alive");
}

/* -- the answer ----------------------------------------------------------------------------- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void take_answer(weft_http_response *response, struct weft__http_transfer *transfer,
                        const struct request *request)
{
    response->ok = transfer->came.code == CURLE_OK;
    response->status = (int)transfer->came.status;
    response->headers = weft__http_answer_headers(transfer->came.head.at, transfer->came.head.size);
    if (response->ok)
        response->body = weft__http_answer_body(transfer);
    else
        response->error = weft__http_answer_error(transfer);
    response->timings.resolve_us = request->resolve_us;
    response->timings.connect_us = transfer->came.connect_us;
    response->timings.tls_us = transfer->came.tls_us;
    response->timings.first_byte_us = transfer->came.first_byte_us;
}

/* One request and its answer. true: it is a redirect to follow, `request` is
 * what is to be asked next. */
static bool exchange(struct request *request, weft_http_response *response)
{
    struct weft__http_transfer *transfer = weft__http_transfer_new();
    struct weft__http_target target;
    bool is_answered = false, follow = false;

    if (transfer == NULL) {
        response->error = weft__http_error(WEFT_ATOM("no_memory"), "no memory for the request");
        return false;
    }
    weft_defer(abandon, transfer);
    response->error = prepare(transfer, request, &target);
    if (weft_is_none(response->error)) {
        response->error = ask(transfer, request);
        is_answered = weft_is_none(response->error);
    }
    weft_undefer(abandon, transfer);
    if (!is_answered) {
        abandon(transfer);
        return false;
    }
    follow = transfer->came.code == CURLE_OK && transfer->came.redirect != NULL &&
             is_redirect((int)transfer->came.status) && request->options.follow_redirects > 0;
    if (follow && response->n_redirects == (uint64_t)request->options.follow_redirects) {
        response->status = (int)transfer->came.status;
        response->error = weft__http_error(WEFT_ATOM("too_many_redirects"), "more than %lld",
                                           (long long)request->options.follow_redirects);
        follow = false;
    } else if (follow) {
        int status = (int)transfer->came.status;

        if (!request->is_elsewhere && !weft__http_target_is_same(transfer->asked.url, transfer->came.redirect))
            request->is_elsewhere = true;
        if (((status == 301 || status == 302) && strcmp(request->method, "POST") == 0) ||
            (status == 303 && strcmp(request->method, "HEAD") != 0)) {
            request->method = "GET";
            request->body = weft_none;
        }
        request->url = weft_str(transfer->came.redirect);
        response->n_redirects++;
    } else {
        take_answer(response, transfer, request);
        if (transfer->came.code == CURLE_COULDNT_CONNECT && transfer->asked.is_named)
            weft__http_names_forget(target.host);
    }
    weft__http_transfer_drop(transfer);
    return follow;
}

static weft_http_response run(struct request *request)
{
    weft_http_response response = {.body = weft_none, .headers = weft_empty_list, .error = weft_none};

    if (weft_is_none(weft_self())) {
        response.url = request->url;
        response.error = weft__http_error(WEFT_ATOM("stopped"), "the runtime is not running");
        return response;
    }
    check_options(request->call, &request->options);
    request->start_ns = weft_monotonic_ns();
    request->until_ms = WEFT_INFINITY;
    if (request->options.timeout_ms < WEFT_INFINITY - request->start_ns / 1000000)
        request->until_ms = weft_monotonic_ms() + request->options.timeout_ms;
    while (exchange(request, &response))
        continue;
    response.url = request->url;
    response.timings.total_us = (weft_monotonic_ns() - request->start_ns) / 1000;
    return response;
}

/* -- the public calls ---------------------------------------------------------------------------- */

/* The caller's options; fields that it does not know yet keep their defaults. */
static struct request request_of(const char *call, const struct weft_http_options *options)
{
    struct request request = {.call = call, .options = {WEFT_HTTP_DEFAULTS}};
    size_t size = options->size < sizeof request.options ? options->size : sizeof request.options;

    memcpy(&request.options, options, size);
    request.method = request.options.method;
    request.url = request.options.url;
    request.body = request.options.body;
    return request;
}

weft_http_response weft_http_request_opt(const struct weft_http_options *options)
{
    struct request request = request_of("weft_http_request", options);

    return run(&request);
}

weft_http_response weft_http_get_opt(weft_term url, const struct weft_http_options *options)
{
    struct request request = request_of("weft_http_get", options);

    request.options.url = request.url = url;
    return run(&request);
}

weft_term weft_http_header(const weft_http_response *response, const char *name)
{
    weft_list_each (header, response->headers)
        if (is_name(weft_tuple_at(header, 0), name))
            return weft_tuple_at(header, 1);
    return weft_none;
}

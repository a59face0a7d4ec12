/* http.h - an HTTP client: each request parks its process, all share connections.
 *
 *     weft_http_response res = weft_http_get(url, .timeout_ms = 5000);
 *
 *     if (res.ok)
 *         printf("%d, %zu bytes\n", res.status, weft_bin_size(res.body));
 *     else
 *         printf("%s\n", weft_inspect(res.error));
 *
 * A request looks like a call that blocks; it blocks its own process alone.
 * Behind it one process, registered as weft_http, drives libcurl for all: it
 * starts with the first request, keeps connections alive between requests,
 * ends after two minutes without any, and starts again when it is needed. Who
 * is killed while it waits takes its request with it: the connection is closed,
 * nothing is left.
 *
 * A fault inside libcurl ends the program, with a report: the connections, caches
 * and locks that it was changing are everybody's. So does one in a library that it
 * calls there, such as OpenSSL.
 *
 * This header needs libweft-http beside libweft.
 */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/options.h"
#include "weft/process.h"
#include "weft/term.h"

WEFT__BEGIN_C

struct weft_http_options {
    WEFT_OPTION(size_t, size, sizeof(weft_http_options));
    WEFT_OPTION(const char *, method, "GET");     /* as it is sent: letters, digits, - and _ */
    WEFT_OPTION(weft_term, url, {0});             /* a binary; weft_http_get takes it as an argument */
    WEFT_OPTION(weft_term, headers, {0});         /* a list of {name, value}, binaries; one that curl would add by
                                                   * itself is replaced, and left out when its value is empty */
    WEFT_OPTION(weft_term, body, {0});            /* a binary; large ones are not copied */
    WEFT_OPTION(int64_t, timeout_ms, 30000);      /* of all of it: names, redirects, the last byte */
    WEFT_OPTION(int64_t, connect_timeout_ms, WEFT_INFINITY); /* of connecting, TLS included; 300 s at most */
    WEFT_OPTION(int64_t, follow_redirects, 10);   /* so many at most; 0: a redirect is an answer as any other */
    WEFT_OPTION(uint64_t, max_body, UINT64_C(64) << 20); /* bytes of the answer's body */
    WEFT_OPTION(bool, http2, true);               /* HTTP/2 over TLS where the server has it: one
                                                   * connection for all requests to a host */
    WEFT_OPTION(bool, verify, true);              /* the server's certificate and name */
    WEFT_OPTION(const char *, ca_file, NULL);     /* certificates to trust (PEM) in place of the system's */
    WEFT_OPTION(const char *, proxy, NULL);       /* "http://host:port", also https, socks4a, socks5h; the
                                                   * environment's proxies are not looked at */
    WEFT_OPTION(const char *, user_agent, NULL);  /* NULL: weft's; "": none is sent */
};
#define WEFT_HTTP_DEFAULTS                                                \
    .size = sizeof(struct weft_http_options), .method = "GET",            \
    .url = {0}, .headers = {0}, .body = {0}, .timeout_ms = 30000,         \
    .connect_timeout_ms = WEFT_INFINITY, .follow_redirects = 10,          \
    .max_body = UINT64_C(64) << 20, .http2 = true, .verify = true,        \
    .ca_file = NULL, .proxy = NULL, .user_agent = NULL

/* Where the time went, in microseconds; of the last request when redirects
 * were followed, but for the total. From that request's start each. */
struct weft_http_timings {
    int64_t resolve_us;    /* the name was resolved; near 0: numeric, or known */
    int64_t connect_us;    /* connected; 0: on a connection that was there */
    int64_t tls_us;        /* TLS agreed; 0: none, or that was there */
    int64_t first_byte_us; /* the answer began */
    int64_t total_us;      /* of the whole call */
};
typedef struct weft_http_timings weft_http_timings;

/* What came of a request. Terms live to the end of the caller's scope. */
struct weft_http_response {
    bool ok;           /* a whole answer came, whatever its status */
    int status;        /* 200, 404, ...; of the answer that was cut short, when there was one; or 0 */
    weft_term body;    /* a binary; weft_none when not ok */
    weft_term headers; /* a list of {name, value}: names in small letters, in the order sent */
    weft_term error;   /* not ok: {what, text}, see weft_http_request; else weft_none */
    weft_term url;     /* the last one asked for: another than the first after redirects */
    uint64_t n_redirects; /* followed */
    weft_http_timings timings;
};
typedef struct weft_http_response weft_http_response;

/* Make a request and wait for its answer.
 *
 *     weft_http_request(.method = "POST", .url = url, .body = json,
 *                       .headers = weft_list(weft_tuple(weft_str("content-type"),
 *                                                       weft_str("application/json"))))
 *
 * Where:    in a process. May park.
 * Returns:  the answer; or .ok false and .error one of
 *           {:bad_url, text}     not an http or https URL; so is a redirect's
 *           {:bad_header, text}  a name or value with a line break, or no name
 *           {:bad_proxy, text}
 *           {:resolve, text}     no such host, or the name service is silent
 *           {:connect, text}     refused, unreachable
 *           {:tls, text}         no secure connection, or not to whom it should be
 *           {:timeout, text}     .timeout_ms or .connect_timeout_ms is over
 *           {:closed, text}      the connection ended before the answer did
 *           {:protocol, text}    what came is not HTTP
 *           {:too_large, text}   more than .max_body, or a megabyte of headers
 *           {:too_many_redirects, text}
 *           {:no_memory, text}
 *           {:stopped, text}     no runtime, or the driver was ended meanwhile
 *           {:failed, text}      anything else, in libcurl's words
 * Exits:    {:badarg, text}      a mistake in an option, by name: a negative
 *           time, a url that is no binary, a method with a space in it
 * Redirects: 301 and 302 turn a POST into a GET, 303 all but HEAD. What names
 *           the caller (authorization, cookie, proxy-authorization) is not told
 *           to another host, port or scheme.
 * Limits:   half of the descriptors the program may have, at most 8,192, are
 *           connections; requests beyond wait in line. */
#define weft_http_request(...)                                            \
    WEFT_CALL_OPTIONS(weft_http_request_opt(                              \
        WEFT_OPTIONS(weft_http_options, WEFT_HTTP_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_http_response weft_http_request_opt(const struct weft_http_options *options);

/* weft_http_request with that URL. May park. */
#define weft_http_get(url, ...)                                           \
    WEFT_CALL_OPTIONS(weft_http_get_opt((url),                            \
        WEFT_OPTIONS(weft_http_options, WEFT_HTTP_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_http_response weft_http_get_opt(weft_term url, const struct weft_http_options *options);

/* The value of a header, in any case of letters, or weft_none; the first of
 * several. Never switches. */
WEFT_API weft_term weft_http_header(const weft_http_response *response, const char *name);

WEFT__END_C

#endif

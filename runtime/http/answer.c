#include "http/answer.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A line's {name, value} before rest; rest itself for what is no header: the
 * status line, the empty one, and continuations, which nobody should send. */
static weft_term header_before(char *line, size_t size, weft_term rest)
{
    char *colon = memchr(line, ':', size), *value, *end = line + size;

    if (colon == NULL || colon == line || is_space(line[0]) ||
        (size >= 5 && memcmp(line, "HTTP/", 5) == 0))
        return rest;
    for (char *at = line; at < colon; at++)
        *at = (char)tolower((unsigned char)*at);
    for (value = colon + 1; value < end && is_space(*value);)
        value++;
    while (end > value && is_space(end[-1]))
        end--;
    return weft_cons(weft_tuple(weft_bin(line, (size_t)(colon - line)), weft_bin(value, (size_t)(end - value))),
                     rest);
}

/* From the last line to the first: a list grows at its head. */
weft_term weft__http_answer_headers(char *lines, size_t size)
{
    weft_term list = weft_empty_list;

    while (size > 0) {
        char *before = memrchr(lines, '\n', size - 1);
        char *line = before != NULL ? before + 1 : lines;

        list = header_before(line, (size_t)(lines + size - line), list);
        size = (size_t)(line - lines);
    }
    return list;
}

static void free_body(void *data, void *arg)
{
    (void)arg;
    free(data);
}

weft_term weft__http_answer_body(struct weft__http_transfer *transfer)
{
    size_t size = transfer->came.body.size;

    if (size <= 256) /* stands in the term */
        return weft_bin(transfer->came.body.at, size);
    return weft_bin_wrap(weft__http_transfer_take_body(transfer), size, free_body, NULL);
}

weft_term weft__http_error(weft_atom what, const char *format, ...)
{
    char text[501];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return weft_tuple(what, weft_str(text));
}

static weft_atom kind_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_URL_MALFORMAT:
        return WEFT_ATOM("bad_url");
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return WEFT_ATOM("resolve");
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
    case CURLE_PROXY:
        return WEFT_ATOM("connect");
    case CURLE_OPERATION_TIMEDOUT:
        return WEFT_ATOM("timeout");
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_USE_SSL_FAILED:
        return WEFT_ATOM("tls");
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return WEFT_ATOM("closed");
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* an answer without a status line; the URL's scheme was looked at */
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_BAD_CONTENT_ENCODING:
        return WEFT_ATOM("protocol");
    case CURLE_OUT_OF_MEMORY:
        return WEFT_ATOM("no_memory");
    default:
        return WEFT_ATOM("failed");
    }
}

weft_term weft__http_answer_error(const struct weft__http_transfer *transfer)
{
    switch (transfer->came.stop) {
    case WEFT__HTTP_BODY_TOO_LARGE:
        return weft__http_error(WEFT_ATOM("too_large"), "the body is larger than the %llu bytes allowed",
                                (unsigned long long)transfer->asked.max_body);
    case WEFT__HTTP_HEAD_TOO_LARGE:
        return weft__http_error(WEFT_ATOM("too_large"), "more than %u bytes of headers", WEFT__HTTP_HEAD_MAX);
    case WEFT__HTTP_NO_MEMORY:
        return weft__http_error(WEFT_ATOM("no_memory"), "no memory for the answer");
    case WEFT__HTTP_GOES_ON:
        break;
    }
    return weft__http_error(kind_of(transfer->came.code), "%s",
                            transfer->came.error != NULL ? transfer->came.error
                                                         : curl_easy_strerror(transfer->came.code));
}

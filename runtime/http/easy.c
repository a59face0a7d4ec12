#include "http/easy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weft/error.h"

#define USER_AGENT "weft/0.1"
#define MAX_FREE 256      /* handles, some 6 KiB each */
#define NAMES_KEPT_S 10L  /* each request brings its own; this only bounds curl's memory */

static size_t take_head(char *line, size_t size, size_t n, void *arg)
{
    struct weft__http_easy *easy = arg;

    return weft__http_transfer_head(easy->transfer, line, size * n) ? size * n : 0;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
    struct weft__http_easy *easy = arg;

    /* 0 of 0 bytes would be success. */
    return weft__http_transfer_body(easy->transfer, data, size * n) ? size * n : size * n + 1;
}

/* curl marks sockets non-blocking; that a program's children do not get them
 * is left to us. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct weft__http_easy *easy = arg;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    if (fd < 0)
        easy->no_socket = errno;
    else
        weft__http_sockets_opened(easy->sockets, fd);
    return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    weft__http_sockets_forget(arg, fd);
    return close(fd);
}

/* Called before curl resolves a name that it was not told: it would take a
 * thread for each, and join it at a bad moment. Non-zero: it may not. */
static int may_resolve(void *resolver, void *reserved, void *arg)
{
    struct weft__http_easy *easy = arg;

    (void)resolver;
    (void)reserved;
    /* A numeric address comes by here too and needs no resolver. */
    if (!easy->transfer->asked.is_named)
        return 0;
    easy->was_unresolved = true;
    return 1;
}

static void set_up(struct weft__http_easy *easy)
{
    CURL *curl = easy->curl;

    curl_easy_setopt(curl, CURLOPT_PRIVATE, easy);
    curl_easy_setopt(curl, CURLOPT_CURLU, easy->url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, easy->error);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, easy);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, easy);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, easy);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, easy->sockets);
    curl_easy_setopt(curl, CURLOPT_RESOLVER_START_FUNCTION, may_resolve);
    curl_easy_setopt(curl, CURLOPT_RESOLVER_START_DATA, easy);
    curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, NAMES_KEPT_S);
    /* Threads, not signals, and never wait for one that hangs. */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, USER_AGENT);
    /* "": the environment is not asked either. */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    easy->is_plain = true;
    easy->is_multiplexed = easy->has_names = easy->has_connect_timeout = false;
}

/* Also one half made. */
static void easy_free(struct weft__http_easy *easy)
{
    curl_easy_cleanup(easy->curl);
    curl_url_cleanup(easy->url);
    free(easy->url_text);
    free(easy);
}

static struct weft__http_easy *easy_new(struct weft__http_sockets *sockets)
{
    struct weft__http_easy *easy = calloc(1, sizeof *easy);

    if (easy == NULL)
        return NULL;
    easy->curl = curl_easy_init();
    easy->url = curl_url();
    if (easy->curl == NULL || easy->url == NULL) {
        easy_free(easy);
        return NULL;
    }
    easy->sockets = sockets;
    set_up(easy);
    return easy;
}

/* curl takes a URL apart for each request, and puts it together again; given
 * the parts it copies them, a tenth of all its work on a small request. The
 * text it is told too: redirects are relative to that. */
static CURLcode set_url(struct weft__http_easy *easy, const char *text)
{
    CURLUcode code;

    if (easy->url_text != NULL && strcmp(easy->url_text, text) == 0)
        return CURLE_OK;
    free(easy->url_text);
    easy->url_text = NULL;
    code = curl_url_set(easy->url, CURLUPART_URL, text, 0);
    if (code != CURLUE_OK)
        return code == CURLUE_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_URL_MALFORMAT;
    if (curl_easy_setopt(easy->curl, CURLOPT_URL, text) == CURLE_OK)
        easy->url_text = strdup(text);
    return easy->url_text != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

/* What requests commonly differ in. */
static CURLcode set_common(struct weft__http_easy *easy, const struct weft__http_transfer *transfer)
{
    CURL *curl = easy->curl;
    bool multiplex = transfer->asked.is_tls && transfer->asked.http2;
    CURLcode code = set_url(easy, transfer->asked.url);

    if (code == CURLE_OK && (transfer->asked.resolved != NULL || easy->has_names)) {
        code = curl_easy_setopt(curl, CURLOPT_RESOLVE, transfer->asked.resolved);
        easy->has_names = transfer->asked.resolved != NULL;
    }
    if (code == CURLE_OK && multiplex != easy->is_multiplexed) {
        /* Wait for a connection under way rather than open the next: over
         * plain HTTP that would put all requests behind the first. */
        curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                         (long)(multiplex ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
        code = curl_easy_setopt(curl, CURLOPT_PIPEWAIT, multiplex ? 1L : 0L);
        easy->is_multiplexed = multiplex;
    }
    if (code == CURLE_OK && (transfer->asked.connect_timeout_ms != 0 || easy->has_connect_timeout)) {
        code = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->asked.connect_timeout_ms);
        easy->has_connect_timeout = transfer->asked.connect_timeout_ms != 0;
    }
    return code;
}

static CURLcode set_method(CURL *curl, const char *method, bool has_body)
{
    if (strcmp(method, "HEAD") == 0)
        return curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (strcmp(method, "GET") == 0 && !has_body)
        return CURLE_OK;
    return curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* What few requests need: the handle is not plain any more. */
static CURLcode set_special(struct weft__http_easy *easy, const struct weft__http_transfer *transfer,
                            const void *body, size_t body_size)
{
    CURL *curl = easy->curl;
    CURLcode code = CURLE_OK;

    easy->is_plain = false;
    if (body != NULL) {
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_size);
        if (code == CURLE_OK)
            code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)body);
    }
    if (code == CURLE_OK)
        code = set_method(curl, transfer->asked.method, body != NULL);
    if (code == CURLE_OK && transfer->asked.headers != NULL)
        code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->asked.headers);
    if (code == CURLE_OK && transfer->asked.user_agent != NULL)
        code = curl_easy_setopt(curl, CURLOPT_USERAGENT,
                                *transfer->asked.user_agent ? transfer->asked.user_agent : NULL);
    if (code == CURLE_OK && !transfer->asked.verify) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        code = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (code == CURLE_OK && transfer->asked.ca_file != NULL)
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, transfer->asked.ca_file);
    if (code == CURLE_OK && transfer->asked.proxy != NULL)
        code = curl_easy_setopt(curl, CURLOPT_PROXY, transfer->asked.proxy);
    return code;
}

static bool is_special(const struct weft__http_transfer *transfer, const void *body)
{
    return body != NULL || transfer->asked.headers != NULL || transfer->asked.user_agent != NULL ||
           !transfer->asked.verify || transfer->asked.ca_file != NULL || transfer->asked.proxy != NULL ||
           strcmp(transfer->asked.method, "GET") != 0;
}

struct weft__http_easy *weft__http_easy_take(struct weft__http_easy_pool *pool,
                                             struct weft__http_transfer *transfer,
                                             const void *body, size_t body_size)
{
    struct weft__http_easy *easy = pool->first;
    CURLcode code;

    if (easy != NULL) {
        pool->first = easy->next;
        pool->n--;
    } else {
        easy = easy_new(pool->sockets);
        if (easy == NULL)
            return NULL;
    }
    easy->transfer = transfer;
    easy->was_unresolved = false;
    easy->no_socket = 0;
    easy->error[0] = '\0';
    code = set_common(easy, transfer);
    if (code == CURLE_OK && is_special(transfer, body))
        code = set_special(easy, transfer, body, body_size);
    if (code != CURLE_OK) {
        weft__http_easy_note(easy, code);
        easy_free(easy);
        return NULL;
    }
    return easy;
}

void weft__http_easy_give(struct weft__http_easy_pool *pool, struct weft__http_easy *easy)
{
    easy->transfer = NULL;
    if (pool->n >= MAX_FREE) {
        easy_free(easy);
        return;
    }
    if (!easy->is_plain) {
        curl_easy_reset(easy->curl);
        free(easy->url_text);
        easy->url_text = NULL;
        set_up(easy);
    } else if (easy->has_names) {
        /* The list goes with its transfer. */
        curl_easy_setopt(easy->curl, CURLOPT_RESOLVE, NULL);
        easy->has_names = false;
    }
    easy->next = pool->first;
    pool->first = easy;
    pool->n++;
}

void weft__http_easy_pool_destroy(struct weft__http_easy_pool *pool)
{
    while (pool->first != NULL) {
        struct weft__http_easy *easy = pool->first;

        pool->first = easy->next;
        easy_free(easy);
    }
    pool->n = 0;
}

static int64_t time_of(CURL *curl, CURLINFO info)
{
    curl_off_t us = 0;

    curl_easy_getinfo(curl, info, &us);
    return (int64_t)us;
}

/* curl says of a socket that it did not get just that it could not connect. */
static const char *words_of(const struct weft__http_easy *easy, CURLcode code)
{
    bool is_short = easy->no_socket == EMFILE || easy->no_socket == ENFILE || easy->no_socket == ENOBUFS ||
                    easy->no_socket == ENOMEM;

    if (code == CURLE_COULDNT_CONNECT && is_short)
        return weft_error_text(-easy->no_socket);
    return easy->error[0] ? easy->error : curl_easy_strerror(code);
}

void weft__http_easy_note(struct weft__http_easy *easy, CURLcode code)
{
    struct weft__http_transfer *transfer = easy->transfer;
    char *redirect = NULL;

    transfer->came.code = code;
    curl_easy_getinfo(easy->curl, CURLINFO_RESPONSE_CODE, &transfer->came.status);
    transfer->came.connect_us = time_of(easy->curl, CURLINFO_CONNECT_TIME_T);
    transfer->came.first_byte_us = time_of(easy->curl, CURLINFO_STARTTRANSFER_TIME_T);
    if (transfer->asked.is_tls)
        transfer->came.tls_us = time_of(easy->curl, CURLINFO_APPCONNECT_TIME_T);
    if (code != CURLE_OK) {
        transfer->came.error = strdup(words_of(easy, code));
        return;
    }
    if (transfer->came.status >= 300 && transfer->came.status <= 399) {
        curl_easy_getinfo(easy->curl, CURLINFO_REDIRECT_URL, &redirect);
        if (redirect != NULL) {
            transfer->came.redirect = strdup(redirect);
            if (transfer->came.redirect == NULL)
                transfer->came.code = CURLE_OUT_OF_MEMORY;
        }
    }
}

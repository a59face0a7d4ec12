/* easy.h - curl's handles, made ready once and used many times.
 *
 * Most requests differ in their URL alone, so a handle keeps its settings from
 * one to the next and sets only what changed; with the same URL again, nothing.
 * A request that needs more (a
 * method, headers, a body, a proxy, its own certificates) marks its handle,
 * which is set up anew after it.
 *
 * Knows transfers and sockets, no process. Threads: one at a time.
 */
#ifndef WEFT_HTTP_EASY_H
#define WEFT_HTTP_EASY_H

#include <curl/curl.h>
#include <stdbool.h>

#include "http/sockets.h"
#include "http/transfer.h"

struct weft__http_easy {
    CURL *curl;
    CURLU *url;                           /* taken apart: of the last request, or of this one */
    char *url_text;                       /* what it was made from; NULL: nothing */
    struct weft__http_transfer *transfer; /* at work; NULL: none */
    struct weft__http_sockets *sockets;
    struct weft__http_easy *next;         /* among the free ones */
    bool is_plain;                        /* only the URL and what is below was changed */
    bool is_multiplexed, has_names, has_connect_timeout;
    bool was_unresolved;                  /* curl wanted to resolve by itself and was told no */
    int no_socket;                        /* errno of a socket that could not be had, or 0 */
    char error[CURL_ERROR_SIZE];
};

struct weft__http_easy_pool {
    struct weft__http_easy *first;
    unsigned n;
    struct weft__http_sockets *sockets;
};

/* A handle for the transfer, set up for it; the pool keeps some of those given
 * back. NULL: no memory. body: what is sent, or NULL. */
struct weft__http_easy *weft__http_easy_take(struct weft__http_easy_pool *pool,
                                             struct weft__http_transfer *transfer,
                                             const void *body, size_t body_size);
void weft__http_easy_give(struct weft__http_easy_pool *pool, struct weft__http_easy *easy);
void weft__http_easy_pool_destroy(struct weft__http_easy_pool *pool);

/* Note in the transfer what curl says of it now that it is over. */
void weft__http_easy_note(struct weft__http_easy *easy, CURLcode code);

#endif

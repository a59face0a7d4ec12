/* transfer.h - one request on its way: what is asked, and what came of it.
 *
 * The process that asks makes it, the driver works on it, the process reads
 * what came. Both hold a count, so either may go first:
 *
 *     asker    fills `asked`, sends it (the message holds a count), waits
 *     driver   sets has_begun, lets curl fill `came`, sends its answer last
 *     asker    reads `came` after the answer; or gives up, sets is_cancelled,
 *              tells the driver, and lets go without looking
 *
 * The answer is a message, which orders the driver's writes before the asker's
 * reads. Knows curl's lists, no process.
 */
#ifndef WEFT_HTTP_TRANSFER_H
#define WEFT_HTTP_TRANSFER_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/term.h"

struct weft__http_easy;

#define WEFT__HTTP_HEAD_MAX (1u << 20) /* bytes of an answer's headers */

/* Why curl was told to stop reading. */
enum weft__http_stop {
    WEFT__HTTP_GOES_ON,
    WEFT__HTTP_BODY_TOO_LARGE,
    WEFT__HTTP_HEAD_TOO_LARGE,
    WEFT__HTTP_NO_MEMORY
};

/* Bytes that grow; starts in the room it is given. */
struct weft__http_bytes {
    char *at;
    size_t size, room;
};

struct weft__http_transfer {
    _Atomic uint32_t n_holders;
    /* By the asker, before it is sent. */
    struct {
        const char *method;          /* of `text` */
        const char *url;
        const char *user_agent;      /* NULL: weft's */
        const char *ca_file, *proxy; /* NULL: none */
        char *text;                  /* holds the strings above */
        struct curl_slist *headers;
        struct curl_slist *resolved; /* what curl needs to know of names */
        uint64_t max_body;
        int64_t connect_timeout_ms;  /* 0: curl's own */
        bool is_tls, http2, verify, is_named;
        weft_ref answer_to;          /* an alias of the asker */
    } asked;
    _Atomic bool is_cancelled;       /* by the asker: a hint, the message counts */
    _Atomic bool has_begun;          /* by the driver: it may have reached the server */
    /* By the driver, until it answers. */
    struct weft__http_easy *easy;    /* NULL: not at work */
    weft_term body;                  /* what is sent, kept; or weft_none */
    unsigned n_begun;
    struct weft__http_transfer *next, *prev; /* at work */
    struct {
        CURLcode code;
        enum weft__http_stop stop;
        long status;
        char *redirect;              /* where the answer points, or NULL */
        char *error;                 /* curl's words, or NULL */
        struct weft__http_bytes head;/* lines as they came, of the last answer */
        struct weft__http_bytes body;
        uint64_t expected;           /* bytes of the body, 0: unknown */
        int64_t connect_us, tls_us, first_byte_us;
    } came;
    char head_room[448];             /* enough for most: keeps the whole within malloc's fast sizes */
};

/* One holder; NULL: no memory. The strings of `asked` are the caller's to set. */
struct weft__http_transfer *weft__http_transfer_new(void);
void weft__http_transfer_hold(struct weft__http_transfer *transfer);
void weft__http_transfer_drop(struct weft__http_transfer *transfer);

/* What curl hands on. Each returns whether to go on. */
bool weft__http_transfer_head(struct weft__http_transfer *transfer, const char *line, size_t size);
bool weft__http_transfer_body(struct weft__http_transfer *transfer, const void *data, size_t size);

/* The body, cut to its size, the caller's to free(); NULL when it is empty. */
char *weft__http_transfer_take_body(struct weft__http_transfer *transfer);

#endif

/* target.h - whom a URL leads to: which host's name must be known first.
 *
 * The URL itself goes to curl as it is; this finds out what curl is going to
 * look up, so that it finds the answer there. Most URLs of a busy program are
 * plain; those with a numeric host are told by one glance over the text, all
 * others are taken apart by curl's own parser.
 *
 * Threads: from anywhere. Knows no process.
 */
#ifndef WEFT_HTTP_TARGET_H
#define WEFT_HTTP_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#define WEFT__HTTP_HOST_MAX 256 /* a name in the DNS has 253 bytes */

struct weft__http_target {
    bool is_tls;      /* https */
    bool is_numeric;  /* nothing to resolve */
    uint16_t port;
    char host[WEFT__HTTP_HOST_MAX]; /* as it is to be resolved; "" when numeric */
};

/* 0, or WEFT_EINVAL: *why is what is wrong with the URL, in static words. */
int weft__http_target_parse(const char *url, struct weft__http_target *target, const char **why);

/* The same of a proxy's URL, with the schemes that resolve names themselves. */
int weft__http_target_parse_proxy(const char *url, struct weft__http_target *target, const char **why);

/* Do both URLs have the same scheme, host and port? */
bool weft__http_target_is_same(const char *url, const char *other);

#endif

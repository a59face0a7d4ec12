#include "http/target.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "weft/error.h"

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* A port's digits up to where the authority ends: the port, or 0 for anything
 * that is not plain. */
static uint16_t plain_port(const char *at)
{
    unsigned port = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        port = port * 10 + (unsigned)(*at - '0');
        if (port > UINT16_MAX)
            return 0;
    }
    return *at == '\0' || *at == '/' || *at == '?' || *at == '#' ? (uint16_t)port : 0;
}

/* http://127.0.0.1:8080/..., without the parser. false: look closer. What this
 * takes for numeric and curl does not would be resolved by curl: slower, no
 * more. */
static bool parse_plain(const char *url, struct weft__http_target *target)
{
    char host[INET_ADDRSTRLEN];
    struct in_addr address;
    size_t size;

    if (strncmp(url, "http://", 7) == 0)
        url += 7;
    else if (strncmp(url, "https://", 8) == 0) {
        url += 8;
        target->is_tls = true;
    } else
        return false;

    size = strspn(url, "0123456789.");
    if (size == 0 || size >= sizeof host)
        return false;
    memcpy(host, url, size);
    host[size] = '\0';
    if (inet_pton(AF_INET, host, &address) != 1)
        return false;
    target->port = target->is_tls ? 443 : 80;
    if (url[size] == ':')
        target->port = plain_port(url + size + 1);
    else if (plain_port(url + size) != 0 || (url[size] != '\0' && strchr("/?#", url[size]) == NULL))
        return false;
    /* curl refuses control characters, and so must we, with its words. */
    for (const char *at = url + size; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 127)
            return false;
    target->is_numeric = true;
    return target->port != 0;
}

static bool is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 128)
        text++;
    return *text == '\0';
}

/* The host of a parsed URL, ready to be resolved. curl could put it into
 * punycode, but by the locale, which in most programs is C and refuses. */
static const char *take_host(CURLU *parsed, struct weft__http_target *target)
{
    char *host = NULL;
    const char *why = NULL;
    CURLUcode code = curl_url_get(parsed, CURLUPART_HOST, &host, 0);
    size_t size;

    if (code != CURLUE_OK)
        return curl_url_strerror(code);
    size = strlen(host);
    target->is_numeric = host[0] == '[' || is_address(host);
    if (target->is_numeric)
        target->host[0] = '\0';
    else if (!is_ascii(host))
        why = "the host name is not ASCII: it has to be written as punycode (xn--...)";
    else if (size >= sizeof target->host)
        why = "the host name is longer than 255 bytes";
    else
        memcpy(target->host, host, size + 1);
    curl_free(host);
    return why;
}

static const char *take_port(CURLU *parsed, struct weft__http_target *target, bool has_default)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parsed, CURLUPART_PORT, &text, has_default ? CURLU_DEFAULT_PORT : 0);
    long port;

    if (code == CURLUE_NO_PORT)
        return "a port must be given";
    if (code != CURLUE_OK)
        return curl_url_strerror(code);
    port = strtol(text, NULL, 10);
    curl_free(text);
    if (port < 1 || port > UINT16_MAX)
        return "the port is not one of 1 to 65535";
    target->port = (uint16_t)port;
    return NULL;
}

/* NULL, or what is wrong. schemes: a list ended by NULL. */
static const char *take_scheme(CURLU *parsed, struct weft__http_target *target,
                               const char *const *schemes, const char *otherwise)
{
    char *scheme = NULL;
    CURLUcode code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);

    if (code != CURLUE_OK)
        return curl_url_strerror(code);
    for (; *schemes != NULL; schemes++)
        if (strcmp(scheme, *schemes) == 0)
            break;
    target->is_tls = strcmp(scheme, "https") == 0;
    curl_free(scheme);
    return *schemes != NULL ? NULL : otherwise;
}

int weft__http_target_parse(const char *url, struct weft__http_target *target, const char **why)
{
    static const char *const schemes[] = {"http", "https", NULL};
    CURLU *parsed;
    CURLUcode code;
    const char *wrong;

    *target = (struct weft__http_target){.port = 0};
    if (parse_plain(url, target))
        return 0;
    *target = (struct weft__http_target){.port = 0};
    parsed = curl_url();
    if (parsed == NULL) {
        *why = "out of memory";
        return WEFT_ENOMEM;
    }
    code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_BAD_SCHEME)
        wrong = "it does not begin with http:// or https://";
    else if (code != CURLUE_OK)
        wrong = curl_url_strerror(code);
    else {
        wrong = take_scheme(parsed, target, schemes, "its scheme is neither http nor https");
        if (wrong == NULL)
            wrong = take_host(parsed, target);
        if (wrong == NULL)
            wrong = take_port(parsed, target, true);
    }
    curl_url_cleanup(parsed);
    if (wrong == NULL)
        return 0;
    *why = wrong;
    return WEFT_EINVAL;
}

int weft__http_target_parse_proxy(const char *url, struct weft__http_target *target, const char **why)
{
    static const char *const schemes[] = {"http", "https", "socks4a", "socks5h", NULL};
    CURLU *parsed = curl_url();
    const char *wrong;

    *target = (struct weft__http_target){.port = 0};
    if (parsed == NULL) {
        *why = "out of memory";
        return WEFT_ENOMEM;
    }
    if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        wrong = "it is not scheme://host:port";
    else {
        wrong = take_scheme(parsed, target, schemes, "its scheme is none of http, https, socks4a, socks5h");
        if (wrong == NULL)
            wrong = take_host(parsed, target);
        /* curl takes 1080 for a missing one, which few mean. */
        if (wrong == NULL)
            wrong = take_port(parsed, target, false);
    }
    curl_url_cleanup(parsed);
    if (wrong == NULL)
        return 0;
    *why = wrong;
    return WEFT_EINVAL;
}

/* scheme://host:port, lower case, or NULL. */
static char *origin(const char *url)
{
    CURLU *parsed = curl_url();
    char *text = NULL;

    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_PATH, "/", 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_QUERY, NULL, 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_URL, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
        text = NULL;
    curl_url_cleanup(parsed);
    return text;
}

bool weft__http_target_is_same(const char *url, const char *other)
{
    char *one = origin(url), *two = origin(other);
    bool is_same = one != NULL && two != NULL && strcasecmp(one, two) == 0;

    curl_free(one);
    curl_free(two);
    return is_same;
}

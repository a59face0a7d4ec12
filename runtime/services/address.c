/* address.c - numeric addresses, and names.
 *
 * getaddrinfo blocks, and for as long as the name service likes. So a process
 * of its own makes the call, by weft_blocking, and sends what it found; who
 * asked waits for that message as for any other, and stops waiting when its
 * time is over. A late answer goes to an alias that is gone.
 */
#include "services/net.h"

#include "proc/proc.h"
#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/process.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FOUND_MAX 64
#define HOST_MAX 1024
#define RESOLVER_STACK (256 * 1024) /* name services are plug-ins; 16 KiB were seen */

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof ((weft_address *)0)->data, "any address fits");

/* -- values ----------------------------------------------------------------------- */

union any {
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un name;
};

static union any any_of(const weft_address *address)
{
    union any any;

    memcpy(&any, address->data, sizeof any);
    return any;
}

void weft__address_set(weft_address *address, const void *sockaddr, size_t size)
{
    const struct sockaddr_in6 *six = sockaddr;
    struct sockaddr_in four = {.sin_family = AF_INET};

    memset(address, 0, sizeof *address);
    if (size > sizeof address->data)
        size = sizeof address->data;
    if (size >= sizeof *six && six->sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        four.sin_port = six->sin6_port;
        memcpy(&four.sin_addr, &six->sin6_addr.s6_addr[12], 4);
        sockaddr = &four;
        size = sizeof four;
    }
    memcpy(address->data, sockaddr, size);
    address->size = (uint32_t)size;
}

int weft__address_unix(const char *path, weft_address *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t size = path != NULL ? strlen(path) : 0;

    if (size == 0)
        return WEFT_EADDR;
    if (size >= sizeof name.sun_path)
        return WEFT_ENAMETOOLONG;
    memcpy(name.sun_path, path, size);
    if (path[0] == '@')
        name.sun_path[0] = 0;
    /* An abstract name ends with its length, a path with a NUL. */
    weft__address_set(address, &name, offsetof(struct sockaddr_un, sun_path) + size + (path[0] != '@'));
    return 0;
}

static bool parse_four(const char *text, uint16_t port, weft_address *address)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (inet_pton(AF_INET, text, &four.sin_addr) != 1)
        return false;
    weft__address_set(address, &four, sizeof four);
    return true;
}

static bool parse_six(const char *text, uint16_t port, weft_address *address)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const char *scope = strchr(text, '%');
    char plain[INET6_ADDRSTRLEN];
    size_t size = scope != NULL ? (size_t)(scope - text) : strlen(text);

    if (size >= sizeof plain)
        return false;
    memcpy(plain, text, size);
    plain[size] = 0;
    if (inet_pton(AF_INET6, plain, &six.sin6_addr) != 1)
        return false;
    if (scope != NULL) {
        six.sin6_scope_id = if_nametoindex(scope + 1);
        if (six.sin6_scope_id == 0)
            six.sin6_scope_id = (uint32_t)strtoul(scope + 1, NULL, 10);
        if (six.sin6_scope_id == 0)
            return false;
    }
    weft__address_set(address, &six, sizeof six);
    return true;
}

int weft_address_parse(const char *text, uint16_t port, weft_address *address)
{
    if (text == NULL || text[0] == 0)
        text = "::";
    return parse_four(text, port, address) || parse_six(text, port, address) ? 0 : WEFT_EADDR;
}

uint16_t weft_address_port(const weft_address *address)
{
    union any any = any_of(address);

    switch (weft__address_family(address)) {
    case AF_INET:
        return ntohs(any.four.sin_port);
    case AF_INET6:
        return ntohs(any.six.sin6_port);
    default:
        return 0;
    }
}

static void set_port(weft_address *address, uint16_t port)
{
    union any any = any_of(address);

    if (weft__address_family(address) == AF_INET)
        any.four.sin_port = htons(port);
    else
        any.six.sin6_port = htons(port);
    memcpy(address->data, &any, address->size);
}

static int text_six(const struct sockaddr_in6 *six, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 2] = "";

    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
    if (six->sin6_scope_id != 0) {
        scope[0] = '%';
        if (if_indextoname(six->sin6_scope_id, scope + 1) == NULL)
            snprintf(scope, sizeof scope, "%%%u", six->sin6_scope_id);
    }
    return snprintf(text, size, "[%s%s]:%u", host, scope, ntohs(six->sin6_port));
}

static int text_unix(const struct sockaddr_un *name, size_t name_size, char *text, size_t size)
{
    int n = (int)name_size - (int)offsetof(struct sockaddr_un, sun_path);

    if (n <= 0)
        return snprintf(text, size, "unix:");
    if (name->sun_path[0] == 0)
        return snprintf(text, size, "unix:@%.*s", n - 1, name->sun_path + 1);
    return snprintf(text, size, "unix:%.*s", n, name->sun_path);
}

size_t weft_address_text(const weft_address *address, char *text, size_t size)
{
    union any any = any_of(address);
    char host[INET_ADDRSTRLEN];
    int n;

    switch (weft__address_family(address)) {
    case AF_INET:
        inet_ntop(AF_INET, &any.four.sin_addr, host, sizeof host);
        n = snprintf(text, size, "%s:%u", host, ntohs(any.four.sin_port));
        break;
    case AF_INET6:
        n = text_six(&any.six, text, size);
        break;
    case AF_UNIX:
        n = text_unix(&any.name, address->size, text, size);
        break;
    default:
        n = snprintf(text, size, "?");
    }
    if (n < 0)
        return 0;
    return (size_t)n < size ? (size_t)n : size > 0 ? size - 1 : 0;
}

/* -- names ---------------------------------------------------------------------------- */

struct lookup {
    const char *host;
    int code;              /* how many, or why not */
    weft_address found[FOUND_MAX];
};

static int code_of(int error)
{
    switch (error) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
        return WEFT_EHOST;
    case EAI_MEMORY:
        return WEFT_ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : WEFT_ERESOLVE;
    default:
        return WEFT_ERESOLVE;
    }
}

/* Blocks the thread. */
static void *look_up(void *arg)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    struct lookup *lookup = arg;
    int error = getaddrinfo(lookup->host, NULL, &hints, &list);

    /* A machine with nothing but a loopback has names for that one, too. */
    if (error != 0 && error != EAI_MEMORY) {
        hints.ai_flags = 0;
        error = getaddrinfo(lookup->host, NULL, &hints, &list);
    }
    if (error != 0) {
        lookup->code = code_of(error);
        return NULL;
    }
    lookup->code = 0;
    for (struct addrinfo *one = list; one != NULL && lookup->code < FOUND_MAX; one = one->ai_next)
        if (one->ai_family == AF_INET || one->ai_family == AF_INET6)
            weft__address_set(&lookup->found[lookup->code++], one->ai_addr, one->ai_addrlen);
    freeaddrinfo(list);
    if (lookup->code == 0)
        lookup->code = WEFT_EHOST;
    return NULL;
}

/* A process: its first message is the alias to answer to. */
static weft_term resolver(weft_term host)
{
    struct lookup *lookup = weft_new(struct lookup);
    weft_term alias, found;

    weft_receive(weft_any, WEFT_INFINITY, &alias);
    lookup->host = weft_text(host);
    weft_blocking(look_up, lookup);
    found = weft_bin(lookup->found, lookup->code > 0 ? (size_t)lookup->code * sizeof(weft_address) : 0);
    weft_try_send(alias, weft_tuple(WEFT_ATOM("resolved"), alias, weft_int(lookup->code), found, WEFT_ATOM("nil")));
    return weft_none;
}

/* Ask a process of its own: how many, or a code. */
static int look_up_aside(const char *host, struct weft__io_time *time, weft_address *found, size_t max)
{
    WEFT_SCOPE;
    int64_t left_ms = weft__io_left_ms(time);
    weft_term tag = weft_none, third = weft_none, fourth = weft_none;
    weft_pid pid;
    weft_ref ref;
    int n;

    if (left_ms == 0)
        return WEFT_ETIMEDOUT;
    pid = weft_spawn(resolver, weft_str(host), .stack_size = RESOLVER_STACK, .label = "weft resolver");
    ref = weft_monitor(pid, .alias = WEFT_ALIAS_REPLY_DEMONITOR);
    weft_send(pid, ref);
    /* {:resolved, ref, code, addresses, nil} or {:DOWN, ref, :process, pid, reason} */
    if (!weft_receive(weft_tuple(weft_bind(&tag), ref, weft_bind(&third), weft_bind(&fourth), weft_any), left_ms,
                      NULL)) {
        weft_demonitor(ref, true);
        return WEFT_ETIMEDOUT;
    }
    if (!weft_eq(tag, WEFT_ATOM("resolved")))
        return WEFT_ERESOLVE;
    n = (int)weft_to_int(third);
    if (n > 0) {
        n = (size_t)n < max ? n : (int)max;
        memcpy(found, weft_bin_data(fourth), (size_t)n * sizeof *found);
    }
    return n;
}

static int look_up_here(const char *host, weft_address *found, size_t max)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    int n;

    if (lookup == NULL)
        return WEFT_ENOMEM;
    lookup->host = host;
    look_up(lookup);
    n = lookup->code;
    if (n > 0) {
        n = (size_t)n < max ? n : (int)max;
        memcpy(found, lookup->found, (size_t)n * sizeof *found);
    }
    free(lookup);
    return n;
}

int weft__resolve(const char *host, uint16_t port, struct weft__io_time *time, weft_address *found, size_t max)
{
    int n;

    if (host == NULL || host[0] == 0 || max == 0)
        return WEFT_EINVAL;
    if (strlen(host) >= HOST_MAX)
        return WEFT_ENAMETOOLONG;
    if (weft_address_parse(host, port, found) == 0)
        return 1;
    n = weft__io_can_park() ? look_up_aside(host, time, found, max) : look_up_here(host, found, max);
    for (int i = 0; i < n; i++)
        set_port(&found[i], port);
    return n;
}

int weft_resolve(const char *host, uint16_t port, int64_t timeout_ms, weft_address *found, size_t max)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    return weft__resolve(host, port, &time, found, max);
}

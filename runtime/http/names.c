#include "http/names.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "http/target.h"
#include "weft/error.h"
#include "weft/io.h"
#include "weft/process.h"
#include "weft/timer.h"

#define N_SETS 64u
#define N_WAYS 8u           /* 512 names; of a full set the one that is known shortest goes */
#define KNOWN_MS 60000
#define FAILED_MS 1000
#define LOOKUP_MS 30000
#define MAX_ADDRESSES 8
#define MAX_ATTEMPTS 3

struct entry {
    char host[WEFT__HTTP_HOST_MAX]; /* "": free */
    weft_pid asked;                 /* who resolves it now, or weft_none */
    int64_t until_ms;               /* known until then */
    int code;
    char addresses[WEFT__HTTP_ADDRESSES_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the table; no weft call under it that could wait */
static struct entry table[N_SETS][N_WAYS];

static unsigned set_of(const char *host)
{
    unsigned hash = 2166136261u;

    for (; *host != '\0'; host++)
        hash = (hash ^ ((unsigned char)*host | 0x20u)) * 16777619u;
    return hash % N_SETS;
}

static struct entry *find_locked(const char *host)
{
    struct entry *set = table[set_of(host)];

    for (unsigned i = 0; i < N_WAYS; i++)
        if (strcasecmp(set[i].host, host) == 0)
            return &set[i];
    return NULL;
}

static struct entry *find_or_make_locked(const char *host)
{
    struct entry *set = table[set_of(host)], *entry = find_locked(host);

    if (entry != NULL)
        return entry;
    entry = set;
    for (unsigned i = 1; i < N_WAYS; i++)
        if (set[i].host[0] == '\0' || set[i].until_ms < entry->until_ms)
            entry = &set[i];
    *entry = (struct entry){.code = WEFT_ERESOLVE};
    strcpy(entry->host, host); /* as long as any a target holds */
    return entry;
}

/* -- the process that resolves ------------------------------------------------- */

static size_t append_address(char *text, size_t size, const weft_address *address)
{
    const struct sockaddr *any = (const struct sockaddr *)(const void *)address->data;
    char host[INET6_ADDRSTRLEN];
    const char *open = "", *close = "";
    size_t used;

    if (any->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)any)->sin_addr, host, sizeof host);
    else if (any->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)any)->sin6_addr, host, sizeof host);
        open = "[";
        close = "]";
    } else
        return size;
    used = size + (size > 0) + strlen(open) + strlen(host) + strlen(close);
    if (used >= WEFT__HTTP_ADDRESSES_MAX)
        return size;
    if (size > 0)
        strcat(text, ",");
    strcat(strcat(strcat(text, open), host), close);
    return used;
}

static weft_term resolve(weft_term arg)
{
    const char *host = weft_text(arg);
    weft_address found[MAX_ADDRESSES];
    char addresses[WEFT__HTTP_ADDRESSES_MAX] = "";
    int n = weft_resolve(host, 0, LOOKUP_MS, found, MAX_ADDRESSES);
    size_t size = 0;
    struct entry *entry;
    int64_t now = weft_monotonic_ms();

    for (int i = 0; i < n; i++)
        size = append_address(addresses, size, &found[i]);
    if (n >= 0 && size == 0)
        n = WEFT_EHOST;

    pthread_mutex_lock(&lock);
    entry = find_or_make_locked(host);
    entry->asked = weft_none;
    entry->code = n < 0 ? n : 0;
    entry->until_ms = now + (n < 0 ? FAILED_MS : KNOWN_MS);
    memcpy(entry->addresses, addresses, sizeof addresses);
    pthread_mutex_unlock(&lock);
    return weft_none;
}

/* -- those that ask --------------------------------------------------------------- */

/* What is known: true and *code; or false and in *asked who resolves it, if anybody. */
static bool look(const char *host, char *addresses, int *code, weft_pid *asked)
{
    int64_t now = weft_monotonic_ms();
    struct entry *entry;
    bool is_known;

    pthread_mutex_lock(&lock);
    entry = find_locked(host);
    is_known = entry != NULL && now < entry->until_ms;
    *asked = entry != NULL && !is_known ? entry->asked : weft_none;
    if (is_known) {
        *code = entry->code;
        strcpy(addresses, entry->addresses);
    }
    pthread_mutex_unlock(&lock);
    return is_known;
}

/* Have a process resolve it. Two who ask at the same moment may start two. */
static weft_pid ask(const char *host)
{
    weft_pid pid = weft_spawn(resolve, weft_str(host), .label = "weft_http resolver");

    pthread_mutex_lock(&lock);
    find_or_make_locked(host)->asked = pid;
    pthread_mutex_unlock(&lock);
    return pid;
}

/* Wait until the process has ended: false when the time is over. */
static bool wait_for(weft_pid pid, int64_t timeout_ms)
{
    weft_ref ref = weft_monitor(pid);
    bool has_ended = weft_receive(weft_tuple(weft_any, ref, weft_any, weft_any, weft_any), timeout_ms, NULL);

    if (!has_ended)
        weft_demonitor(ref, true);
    return has_ended;
}

int weft__http_names_find(const char *host, int64_t timeout_ms, char addresses[WEFT__HTTP_ADDRESSES_MAX])
{
    int64_t until = timeout_ms == WEFT_INFINITY ? WEFT_INFINITY : weft_monotonic_ms() + timeout_ms;
    weft_pid waited_for = weft_none, asked;
    int code = WEFT_ERESOLVE;

    for (unsigned i = 0; i < MAX_ATTEMPTS; i++) {
        int64_t left = until == WEFT_INFINITY ? WEFT_INFINITY : until - weft_monotonic_ms();
        WEFT_SCOPE;

        if (look(host, addresses, &code, &asked))
            return code;
        if (left <= 0)
            return WEFT_ETIMEDOUT;
        if (weft_is_none(asked) || weft_eq(asked, waited_for))
            asked = ask(host);
        if (!wait_for(asked, left))
            return WEFT_ETIMEDOUT;
        waited_for = asked;
    }
    /* The process was ended by somebody each time, or the table is crowded. */
    return look(host, addresses, &code, &asked) ? code : WEFT_ERESOLVE;
}

void weft__http_names_forget(const char *host)
{
    struct entry *entry;

    pthread_mutex_lock(&lock);
    entry = find_locked(host);
    if (entry != NULL && entry->code == 0)
        entry->until_ms = 0;
    pthread_mutex_unlock(&lock);
}

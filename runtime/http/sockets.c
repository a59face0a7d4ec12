#include "http/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weft/error.h"

#define WANTED 0x0fu
#define IN_SET_SHIFT 4

int weft__http_sockets_init(struct weft__http_sockets *sockets)
{
    *sockets = (struct weft__http_sockets){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return sockets->epoll < 0 ? -errno : 0;
}

void weft__http_sockets_destroy(struct weft__http_sockets *sockets)
{
    if (sockets->epoll >= 0)
        close(sockets->epoll);
    free(sockets->entries);
    *sockets = (struct weft__http_sockets){.epoll = -1};
}

static int make_room(struct weft__http_sockets *sockets, int fd)
{
    uint32_t n = sockets->n ? sockets->n : 64;
    uint8_t *entries;

    if (fd < 0)
        return WEFT_EBADF;
    if ((uint32_t)fd < sockets->n)
        return 0;
    while (n <= (uint32_t)fd)
        n *= 2;
    entries = realloc(sockets->entries, n);
    if (entries == NULL)
        return WEFT_ENOMEM;
    memset(entries + sockets->n, 0, n - sockets->n);
    sockets->entries = entries;
    sockets->n = n;
    return 0;
}

/* Put it into the set with these events, change them, or (0) take it out. */
static int put(struct weft__http_sockets *sockets, int fd, unsigned in_set, unsigned events)
{
    struct epoll_event event = {.data.fd = fd};
    int how = events == 0 ? EPOLL_CTL_DEL : in_set == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (events & WEFT__HTTP_READ)
        event.events |= EPOLLIN;
    if (events & WEFT__HTTP_WRITE)
        event.events |= EPOLLOUT;
    sockets->n_calls++;
    return epoll_ctl(sockets->epoll, how, fd, &event) == 0 ? 0 : -errno;
}

int weft__http_sockets_want(struct weft__http_sockets *sockets, int fd, unsigned events)
{
    int code = make_room(sockets, fd);
    unsigned in_set, set_to;

    if (code != 0)
        return code;
    in_set = (unsigned)sockets->entries[fd] >> IN_SET_SHIFT;
    /* Let go: it stays in the set until an event comes that nobody wants. curl
     * may have closed it behind our back, and the number may be somebody else's
     * socket by now, so the kernel is not asked about it. */
    set_to = events != 0 ? events : in_set;
    if (set_to != in_set)
        code = put(sockets, fd, in_set, set_to);
    /* Not in the set, whatever it was. */
    if (code != 0)
        set_to = events = 0;
    sockets->entries[fd] = (uint8_t)(set_to << IN_SET_SHIFT | events);
    return code;
}

void weft__http_sockets_opened(struct weft__http_sockets *sockets, int fd)
{
    if (fd >= 0 && (uint32_t)fd < sockets->n)
        sockets->entries[fd] = 0;
}

void weft__http_sockets_forget(struct weft__http_sockets *sockets, int fd)
{
    if (fd < 0 || (uint32_t)fd >= sockets->n)
        return;
    /* close() takes it out of the set, unless somebody else holds the same
     * file: a child between fork and exec. */
    if (sockets->entries[fd] >> IN_SET_SHIFT != 0)
        put(sockets, fd, 1, 0);
    sockets->entries[fd] = 0;
}

int weft__http_sockets_ready(struct weft__http_sockets *sockets, struct epoll_event *events, int max,
                             int *n_seen)
{
    int n = epoll_wait(sockets->epoll, events, max, 0), n_wanted = 0;

    *n_seen = n > 0 ? n : 0;
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        unsigned entry = sockets->entries[fd];

        if ((entry & WANTED) != 0) {
            events[n_wanted++] = events[i];
            continue;
        }
        if (entry >> IN_SET_SHIFT != 0)
            put(sockets, fd, 1, 0);
        sockets->entries[fd] = 0;
    }
    return n_wanted;
}

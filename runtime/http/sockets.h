/* sockets.h - the set of descriptors that curl waits for, lazily kept.
 *
 * curl says REMOVE whenever a connection goes idle, and wants it again with the
 * next request: two system calls a request, a quarter of its cost. So a
 * descriptor stays in the set for reading when curl lets go of it. It is dropped
 * when an event comes that nobody wants (the peer closed an idle connection),
 * and forgotten when it is closed.
 *
 * Invariant: a descriptor that curl wants is in the set with just the events
 * wanted; one that it does not want is in it for reading or not at all.
 * Threads:   one at a time.
 */
#ifndef WEFT_HTTP_SOCKETS_H
#define WEFT_HTTP_SOCKETS_H

#include <stdint.h>
#include <sys/epoll.h>

struct weft__http_sockets {
    int epoll;        /* readable when one of the sockets is ready */
    uint32_t n;       /* entries */
    uint8_t *entries; /* by descriptor: WEFT__HTTP_READ and _WRITE wanted, and << 4 those in the set */
    uint64_t n_calls; /* epoll_ctl so far */
};

enum { WEFT__HTTP_READ = 1, WEFT__HTTP_WRITE = 2 };

/* 0, or -errno. */
int weft__http_sockets_init(struct weft__http_sockets *sockets);
/* The descriptors themselves are not closed. Accepts one zeroed with epoll -1. */
void weft__http_sockets_destroy(struct weft__http_sockets *sockets);

/* A new socket has this number. curl closes one that never was connected
 * without telling anybody: what is known of the number is of that one. */
void weft__http_sockets_opened(struct weft__http_sockets *sockets, int fd);
/* curl wants these events of it from now on; 0: none. 0, or a code. */
int weft__http_sockets_want(struct weft__http_sockets *sockets, int fd, unsigned events);
/* It is about to be closed. */
void weft__http_sockets_forget(struct weft__http_sockets *sockets, int fd);

/* Those that are ready now and wanted, at most max: never waits. A result of
 * max says that there may be more. *n_seen counts those nobody wants too. */
int weft__http_sockets_ready(struct weft__http_sockets *sockets, struct epoll_event *events, int max,
                             int *n_seen);

#endif

/* demo_server.h - a small HTTP server on weft processes: something to fetch from.
 *
 * One process accepts, one serves each connection: HTTP/1.1 with keep-alive.
 * It answers GET, HEAD and POST of
 *
 *     /bytes/N          N bytes
 *     /chunked/N        the same in chunks, their sum not announced
 *     /slow/MS          "slow\n" after so many milliseconds
 *     /redirect/N       leads to /redirect/N-1, and at last to /bytes/64
 *     /loop             leads to itself
 *     /go/URL           leads to that URL (the rest of the path, as it is)
 *     /status/CODE      that status
 *     /drop             announces 1,000 bytes, sends 100, and closes
 *     /never            does not answer at all
 *     /garbage          what is not HTTP
 *     /echo             the request's body, with its method in x-method
 *     /seen             the request's header lines
 *
 * and 404 for the rest. All it gives away is counted in `demo_server_counts`.
 */
#ifndef WEFT_EXAMPLES_DEMO_SERVER_H
#define WEFT_EXAMPLES_DEMO_SERVER_H

#include <stdatomic.h>
#include <stdint.h>
#include <weft.h>

struct demo_server_counts {
    _Atomic uint64_t accepted;         /* connections */
    _Atomic uint64_t open;             /* now */
    _Atomic uint64_t requests;
    _Atomic uint64_t refused;          /* times that no descriptor was left */
    _Atomic uint64_t write_timeouts;   /* readers that stopped */
};

struct demo_server {
    weft_pid pid;                      /* ends with it: the listener and all connections */
    uint16_t port;
    struct demo_server_counts *counts; /* the caller's, and must outlive the server */
};

struct demo_server_options {
    int64_t idle_ms;   /* how long a connection may say nothing */
    int64_t write_ms;  /* how long a reader may take for 64 KiB */
};

/* Start one on a free port of 127.0.0.1, linked to the caller. 0, or a code. */
int demo_server_start(struct demo_server *server, struct demo_server_counts *counts,
                      const struct demo_server_options *options);

#endif

/* pool.h - a pool: a few things that many processes use, one at a time each.
 *
 *     static bool open_connection(weft_term arg, weft_pid pool, weft_term *connection);
 *     static void close_connection(weft_term connection);
 *     static const weft_pool_resource connections = {.open = open_connection, .close = close_connection};
 *
 *     weft_pool_start_link(&connections, weft_str("db.example:5432"), .name = WEFT_ATOM("db"), .capacity = 10);
 *     weft_term rows = weft_pool_transaction(WEFT_ATOM("db"), 5000, query, &question);
 *
 * A resource is any term: a descriptor, a native object, a pointer, the pid of a worker.
 * The pool opens .capacity of them, and up to .max_overflow more while processes wait; those
 * are closed as soon as nobody waits. It never opens or closes anything itself, so it is
 * never busy: each is done in a process of its own. One that cannot be opened is tried
 * again, after .retry_ms, then twice, four times ... as long, up to 30 s.
 *
 * Who waits is served in the order of coming. Who waits and ends, or whose time is over,
 * leaves nothing behind; what it had just been given goes to the next. A client that
 * ends gives back what it held. As it may have been in the middle of something, such
 * a resource is checked before the next client gets it, when there is a check; without
 * one a process is kept, and anything else closed and opened anew.
 *
 * The resource used last is given out first: so those that a quiet time does not need
 * stay idle, and .check_after_ms finds out which of them are gone.
 *
 * The pool is a server (weft/gen_server.h): names, stops and weft/sys.h are a server's.
 * When it ends, it closes all that is open, also what somebody holds. One that is killed
 * closes none: descriptors that it was given, native objects and linked processes
 * go all the same.
 *
 * Where:    every call works in a process. May park, but for weft_pool_child.
 */
#ifndef WEFT_POOL_H
#define WEFT_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/child.h"
#include "weft/gen_server.h"
#include "weft/options.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* -- what is in a pool ------------------------------------------------------------ */

/* Lives as long as the program. All may park. */
struct weft_pool_resource {
    /* Make one: true, and *resource; or false, and in *resource why not. Runs in a process
     * of its own, which ends afterwards. pool: the pool's process, to which a
     * descriptor is to be given (weft_give_fd), so that it outlives this one. A process is
     * started without a link (weft_gen_server_start): the pool links itself to it. */
    bool (*open)(weft_term arg, weft_pid pool, weft_term *resource);
    /* Is it still good? In a client, before it is given one that was idle for
     * .check_after_ms, or that was held by a client which ended. NULL: see above. */
    bool (*check)(weft_term resource);
    /* End it. In a process of its own, at the pool's end in the pool's. NULL: a process is
     * sent :shutdown, and anything else is forgotten. */
    void (*close)(weft_term resource);
    /* In child specs and reports; NULL: "Pool". */
    const char *name;
    void *reserved[4]; /* zero */
};
typedef struct weft_pool_resource weft_pool_resource;

/* -- starting ----------------------------------------------------------------------- */

struct weft_pool_options {
    WEFT_OPTION(size_t, size, sizeof(weft_pool_options));
    WEFT_OPTION(weft_term, name, {0});                /* an atom, or weft_via(registry, key) */
    WEFT_OPTION(int64_t, capacity, 10);               /* how many are kept open */
    WEFT_OPTION(int64_t, max_overflow, 0);            /* how many more while somebody waits */
    WEFT_OPTION(bool, lazy, false);                   /* true: each is opened when it is first needed */
    WEFT_OPTION(int64_t, check_after_ms, INT64_MAX);  /* idle for so long: check it first */
    WEFT_OPTION(int64_t, retry_ms, 100);              /* after one could not be opened */
};
#define WEFT_POOL_DEFAULTS                                                    \
    .size = sizeof(struct weft_pool_options), .name = {0}, .capacity = 10,    \
    .max_overflow = 0, .lazy = false, .check_after_ms = INT64_MAX, .retry_ms = 100

/* Start a pool, linked to the caller. It is up at once, and opens its resources then.
 *
 *   arg      for resource->open; copied
 *
 * Where:    in a process. May park.
 * Returns:  as weft_gen_server_start_link.
 * Exits:    {:badarg, text}   a mistake in an option, by name */
#define weft_pool_start_link(resource, arg, ...)                              \
    WEFT_CALL_OPTIONS(weft_pool_start_link_opt((resource), (arg),             \
        WEFT_OPTIONS(weft_pool_options, WEFT_POOL_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_pool_start_link_opt(const weft_pool_resource *resource, weft_term arg,
                                               const struct weft_pool_options *options);

/* The same as a child of a supervisor: its id is its name, or resource->name as a
 * binary. Never switches. */
#define weft_pool_child(resource, arg, ...)                                   \
    WEFT_CALL_OPTIONS(weft_pool_child_opt((resource), (arg),                  \
        WEFT_OPTIONS(weft_pool_options, WEFT_POOL_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_child_spec weft_pool_child_opt(const weft_pool_resource *resource, weft_term arg,
                                             const struct weft_pool_options *options);

/* -- using it ------------------------------------------------------------------------- */

/* Run fn(resource, arg) in the caller with a resource of the pool, which goes back when
 * fn returns, exits or faults, or the caller ends. A broken one fn may discard.
 *
 *   timeout_ms   for the resource, not for fn; 0: only if one is idle now
 *
 * Where:    in a process. May park.
 * Returns:  what fn does.
 * Exits:    {:timeout, {Pool, :checkout, [pool, timeout]}}   none was free in time; {:noproc,
 *           ...}, or the reason with which the pool ended meanwhile */
WEFT_API weft_term weft_pool_transaction(weft_server pool, int64_t timeout_ms,
                                         weft_term (*fn)(weft_term resource, void *arg), void *arg);
/* The same, reporting: false, and in *result why fn was not called: :timeout, :noproc,
 * the pool's reason. May park. */
WEFT_API bool weft_pool_try_transaction(weft_server pool, int64_t timeout_ms,
                                        weft_term (*fn)(weft_term resource, void *arg), void *arg,
                                        weft_term *result);

/* Take a resource, until weft_pool_checkin or the caller's end.
 *
 * Where:    in a process. May park.
 * Exits:    as weft_pool_transaction. */
WEFT_API weft_term weft_pool_checkout(weft_server pool, int64_t timeout_ms);
/* The same, reporting: false, and in *resource why. May park. */
WEFT_API bool weft_pool_try_checkout(weft_server pool, int64_t timeout_ms, weft_term *resource);

/* Give a resource back that the caller took. May park. Exits {:badarg, text} when it holds
 * no such one. A pool that is gone is no mistake. */
WEFT_API void weft_pool_checkin(weft_server pool, weft_term resource);

/* The same of one that is broken: it is closed, and another opened. May park. */
WEFT_API void weft_pool_discard(weft_server pool, weft_term resource);

/* How many there are. May park. */
struct weft_pool_counts {
    int64_t idle;      /* open, and nobody's */
    int64_t in_use;
    int64_t opening;   /* being opened now */
    int64_t waiting;   /* clients without one */
    int64_t failures;  /* in a row, to open one */
};
typedef struct weft_pool_counts weft_pool_counts;
/* false: no such pool. May park. */
WEFT_API bool weft_pool_status(weft_server pool, weft_pool_counts *counts);

WEFT__END_C

#endif

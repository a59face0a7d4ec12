/* pool.c - the server of a pool: who has what, who waits, and what is opened.
 *
 * A resource is idle, or leased to a client. A client that waits or holds is watched by
 * one monitor, made when it asks and ended when it gives back or leaves: so the
 * way from the queue to a lease cannot be missed by an end in between.
 *
 *     idle     -> leased   a client asks
 *     leased   -> leased   it is given back, somebody waits: served in order
 *     leased   -> idle     it is given back, nobody waits
 *     leased   -> closed   it is given back, nobody waits, and it is one too many; it is
 *                          discarded; its client ended, and it cannot be checked
 *     any      -> gone     it is a process, and ended
 *
 * Time-outs are the client's. It says so by {:cancel, ref}: it is taken out of the queue,
 * or what it was given meanwhile, which it will never see, is taken back.
 *
 * Openers (pool_process.c). Each opens one resource and hands it over; their pids are known,
 * so that one that crashes is missed.
 *
 * Whoever gives back names itself and the resource: the lease is found by both. Whatever is
 * found here is found in one step, however many resources there are.
 *
 * Invariant: n_open = the resources in both lists; n_open + openers is at most capacity
 *            and overflow together.
 */
#include "otp/pool.h"

#include "base/code.h"
#include "otp/pid_map.h"
#include "otp/task.h"
#include "proc/runtime.h"
#include "weft/log.h"
#include "weft/process.h"
#include "weft/timer.h"

#define A(name) WEFT_ATOM(#name)
#define RETRY_MAX_MS 30000
#define CAPACITY_MAX 1000000

struct resource {
    struct resource *next, *prev; /* in the list of idle or of leased ones */
    weft_term term;               /* kept */
    struct client *client;        /* or NULL: it is idle */
    struct resource *same;        /* of the same process, in a chain: where open gives one twice */
    int64_t good_at_ms;           /* when it was opened, or last given back */
    bool is_suspect;              /* a client left it as it was, and none has checked it since */
};

/* Who waits or holds: once for each that it asked for. */
struct client {
    struct client *next, *prev;   /* in the queue, while it waits */
    weft_from from;               /* kept, while it waits */
    weft_ref ref;                 /* by which it asked */
    weft_pid pid;
    weft_ref monitor;
    struct resource *resource;    /* or NULL: it waits */
    struct client *same;          /* with the same lease_key, in a chain */
};

struct pool {
    const weft_pool_resource *kind;
    weft_term arg;         /* kept; for open */
    int64_t capacity, max_overflow, check_after_ms, first_retry_ms;
    bool is_lazy;
    struct resource *idle; /* used last first */
    struct resource *leased;
    struct client *first_waiter, *last_waiter;
    struct weft__pid_map clients; /* by ref, and by monitor */
    struct weft__pid_map leases;  /* clients with a resource, by lease_key; chains */
    struct weft__pid_map workers; /* resources that are processes, by pid; chains */
    struct weft__pid_map openers; /* their pids */
    int64_t n_idle, n_leased, n_waiting, n_opening;
    int64_t retry_ms, n_failures;
    bool is_retrying;      /* a timer is set; nothing is opened until then */
};

/* -- opening ------------------------------------------------------------------------ */

static void start_opener(struct pool *pool)
{
    weft__pid_map_put(&pool->openers, weft__pool_spawn_opener(pool->kind, pool->arg), pool);
    pool->n_opening++;
}

/* false: it is none, or not any more. */
static bool forget_opener(struct pool *pool, weft_pid pid)
{
    if (weft__pid_map_take(&pool->openers, pid) == NULL)
        return false;
    pool->n_opening--;
    return true;
}

/* Open what is missing. */
static void open_missing(struct pool *pool)
{
    while (!pool->is_retrying) {
        int64_t n = pool->n_idle + pool->n_leased + pool->n_opening;
        bool is_wanted = pool->n_waiting > pool->n_opening;
        bool has_room = n < pool->capacity + pool->max_overflow;

        if (!(is_wanted && has_room) && (pool->is_lazy || n >= pool->capacity))
            return;
        start_opener(pool);
    }
}

static void open_failed(struct pool *pool, weft_term reason)
{
    pool->n_failures++;
    weft_log_error("%s: a resource could not be opened, %lld in a row; next in %lld ms; the reason is %s",
                   pool->kind->name != NULL ? pool->kind->name : "Pool", (long long)pool->n_failures,
                   (long long)pool->retry_ms, weft_inspect(reason));
    if (!pool->is_retrying) {
        weft_send_after(weft_self(), A(retry), pool->retry_ms);
        pool->is_retrying = true;
        pool->retry_ms = pool->retry_ms * 2 < RETRY_MAX_MS ? pool->retry_ms * 2 : RETRY_MAX_MS;
    }
}

/* -- resources that are processes ------------------------------------------------------- */

static void note_worker(struct pool *pool, struct resource *resource)
{
    resource->same = weft__pid_map_take(&pool->workers, resource->term);
    weft__pid_map_put(&pool->workers, resource->term, resource);
}

/* true: it was the last one of that process. */
static bool forget_worker(struct pool *pool, struct resource *resource)
{
    struct resource *first = weft__pid_map_take(&pool->workers, resource->term), **at = &first;

    while (*at != resource)
        at = &(*at)->same;
    *at = resource->same;
    if (first != NULL)
        weft__pid_map_put(&pool->workers, first->term, first);
    return first == NULL;
}

/* -- closing ------------------------------------------------------------------------- */

/* One that is in no list. */
static void close_resource(struct pool *pool, struct resource *resource)
{
    weft_term term = resource->term;

    if (weft_is_pid(term) && forget_worker(pool, resource))
        weft_unlink_flush(term);
    if (pool->kind->close != NULL)
        weft__pool_spawn_closer(pool->kind, term);
    else if (weft_is_pid(term))
        weft_exit_signal(term, A(shutdown));
    weft_drop(term);
    weft_free(resource);
}

/* -- lists --------------------------------------------------------------------------- */

static void put_in(struct resource **list, struct resource *resource)
{
    resource->prev = NULL;
    resource->next = *list;
    if (*list != NULL)
        (*list)->prev = resource;
    *list = resource;
}

static void take_out(struct resource **list, struct resource *resource)
{
    if (resource->prev != NULL)
        resource->prev->next = resource->next;
    else
        *list = resource->next;
    if (resource->next != NULL)
        resource->next->prev = resource->prev;
}

static void enqueue(struct pool *pool, struct client *client)
{
    client->prev = pool->last_waiter;
    client->next = NULL;
    if (pool->last_waiter != NULL)
        pool->last_waiter->next = client;
    else
        pool->first_waiter = client;
    pool->last_waiter = client;
    pool->n_waiting++;
}

static void dequeue(struct pool *pool, struct client *client)
{
    if (client->prev != NULL)
        client->prev->next = client->next;
    else
        pool->first_waiter = client->next;
    if (client->next != NULL)
        client->next->prev = client->prev;
    else
        pool->last_waiter = client->prev;
    pool->n_waiting--;
    weft_drop(client->from);
    client->from = weft_none;
}

/* -- clients -------------------------------------------------------------------------- */

static struct client *client_new(struct pool *pool, weft_ref ref, weft_pid pid)
{
    struct client *client = weft_new(struct client);

    client->ref = ref;
    client->pid = pid;
    client->monitor = weft_monitor(pid);
    weft__pid_map_put(&pool->clients, client->ref, client);
    weft__pid_map_put(&pool->clients, client->monitor, client);
    return client;
}

/* It waits for nothing and holds nothing. */
static void client_free(struct pool *pool, struct client *client)
{
    weft__pid_map_take(&pool->clients, client->ref);
    weft__pid_map_take(&pool->clients, client->monitor);
    weft_free(client);
}

/* By what a lease is found: who has what, as one word. */
static weft_term lease_key(weft_pid pid, weft_term term)
{
    return weft_int((int64_t)((weft_hash(term) ^ pid.bits * 0x9E3779B97F4A7C15U) >> 8));
}

static void lease(struct pool *pool, struct resource *resource, struct client *client)
{
    weft_term key = lease_key(client->pid, resource->term);

    resource->client = client;
    client->resource = resource;
    client->same = weft__pid_map_take(&pool->leases, key);
    weft__pid_map_put(&pool->leases, key, client);
    put_in(&pool->leased, resource);
    pool->n_leased++;
}

static void forget_lease(struct pool *pool, const struct client *client)
{
    weft_term key = lease_key(client->pid, client->resource->term);
    struct client *first = weft__pid_map_take(&pool->leases, key), **at = &first;

    while (*at != client)
        at = &(*at)->same;
    *at = client->same;
    if (first != NULL)
        weft__pid_map_put(&pool->leases, key, first);
}

/* The resource is in no list afterwards, the client is gone. */
static struct resource *end_lease(struct pool *pool, struct client *client)
{
    struct resource *resource = client->resource;

    forget_lease(pool, client);
    take_out(&pool->leased, resource);
    pool->n_leased--;
    resource->client = NULL;
    client_free(pool, client);
    return resource;
}

/* -- handing out ----------------------------------------------------------------------- */

/* What its client is told: {resource, check, kind}. Whether that one hears of it is not
 * known: nothing about the resource changes before it is given back. */
static weft_term handed_out(const struct pool *pool, const struct resource *resource)
{
    bool is_old = pool->check_after_ms != WEFT_INFINITY &&
                  weft_monotonic_ms() - resource->good_at_ms >= pool->check_after_ms;
    bool is_checked = pool->kind->check != NULL && (resource->is_suspect || is_old);

    return weft_tuple(resource->term, weft_bool(is_checked), weft_pointer(pool->kind));
}

/* One that is free and in no list: to who waits longest, or to be idle. */
static void give_out(struct pool *pool, struct resource *resource)
{
    struct client *client = pool->first_waiter;

    if (client != NULL) {
        weft_gen_server_reply(client->from, handed_out(pool, resource));
        dequeue(pool, client);
        lease(pool, resource, client);
        return;
    }
    if (pool->n_idle + pool->n_leased >= pool->capacity) {
        close_resource(pool, resource);
        return;
    }
    put_in(&pool->idle, resource);
    pool->n_idle++;
}

static weft_result checkout(struct pool *pool, weft_ref ref, bool waits, weft_pid pid, weft_from from)
{
    struct resource *resource = pool->idle;
    struct client *client;

    if (resource == NULL && !waits)
        return weft_reply(A(none));
    client = client_new(pool, ref, pid);
    if (resource != NULL) {
        take_out(&pool->idle, resource);
        pool->n_idle--;
        lease(pool, resource, client);
        return weft_reply(handed_out(pool, resource));
    }
    client->from = weft_keep(from);
    enqueue(pool, client);
    open_missing(pool);
    return weft_noreply();
}

/* -- taking back -------------------------------------------------------------------------- */

static void set_good(const struct pool *pool, struct resource *resource)
{
    resource->is_suspect = false;
    if (pool->check_after_ms != WEFT_INFINITY)
        resource->good_at_ms = weft_monotonic_ms();
}

static struct client *holder_of(struct pool *pool, weft_pid pid, weft_term term)
{
    struct client *client = weft__pid_map_get(&pool->leases, lease_key(pid, term));

    while (client != NULL && !(weft_eq(client->pid, pid) && weft_eq(client->resource->term, term)))
        client = client->same;
    return client;
}

/* It was left in the middle of something. */
static void take_abandoned(struct pool *pool, struct resource *resource)
{
    if (pool->kind->check == NULL && !weft_is_pid(resource->term)) {
        close_resource(pool, resource);
        open_missing(pool);
        return;
    }
    resource->is_suspect = true;
    give_out(pool, resource);
}

/* how: :checkin, :discard, :abandon. false: the client holds no such one. */
static bool take_back(struct pool *pool, weft_atom how, weft_pid pid, weft_term term)
{
    struct client *client = holder_of(pool, pid, term);
    struct resource *resource;

    if (client == NULL)
        return false;
    weft_demonitor(client->monitor, true);
    resource = end_lease(pool, client);
    if (weft_eq(how, A(checkin))) {
        set_good(pool, resource);
        give_out(pool, resource);
    } else if (weft_eq(how, A(abandon))) {
        take_abandoned(pool, resource);
    } else {
        close_resource(pool, resource);
        open_missing(pool);
    }
    return true;
}

/* Whoever asked by that reference has left: it waits, or it was given one just now. */
static void cancel(struct pool *pool, weft_ref ref)
{
    struct client *client = weft__pid_map_get(&pool->clients, ref);

    if (client == NULL)
        return;
    weft_demonitor(client->monitor, true);
    if (client->resource != NULL) {
        give_out(pool, end_lease(pool, client)); /* nobody used it */
        return;
    }
    dequeue(pool, client);
    client_free(pool, client);
}

/* -- ends of others -------------------------------------------------------------------------- */

static void client_ended(struct pool *pool, weft_ref monitor)
{
    struct client *client = weft__pid_map_get(&pool->clients, monitor);

    if (client == NULL)
        return;
    if (client->resource != NULL) {
        take_abandoned(pool, end_lease(pool, client));
        return;
    }
    dequeue(pool, client);
    client_free(pool, client);
}

/* It is a process, and ended. */
static void worker_ended(struct pool *pool, struct resource *resource)
{
    if (resource->client != NULL) {
        weft_demonitor(resource->client->monitor, true);
        end_lease(pool, resource->client);
    } else {
        take_out(&pool->idle, resource);
        pool->n_idle--;
    }
    weft_free(resource); /* a pid takes no memory */
}

/* A resource that is a process, or an opener. */
static void linked_ended(struct pool *pool, weft_pid pid, weft_term reason)
{
    struct resource *resource, *next;

    if (forget_opener(pool, pid)) {
        open_failed(pool, reason); /* it never said what came of it */
        return;
    }
    next = weft__pid_map_take(&pool->workers, pid);
    while ((resource = next) != NULL) {
        next = resource->same;
        worker_ended(pool, resource);
    }
    open_missing(pool);
}

static void opened(struct pool *pool, weft_pid opener, weft_term term)
{
    struct resource *resource = weft_new(struct resource);

    forget_opener(pool, opener);
    resource->term = weft_keep(term);
    set_good(pool, resource);
    pool->n_failures = 0;
    pool->retry_ms = pool->first_retry_ms;
    if (weft_is_pid(term)) {
        note_worker(pool, resource);
        weft_link(term);
    }
    weft_send(opener, A(taken));
    give_out(pool, resource);
}

/* -- the server's callbacks ------------------------------------------------------------------- */

/* arg: {kind, arg, capacity, max_overflow, lazy, check_after_ms, retry_ms} */
static weft_init_result pool_init(weft_term arg)
{
    struct pool *pool = weft_new(struct pool);

    weft_trap_exit(true);
    pool->kind = WEFT__POOL_KIND(weft_tuple_at(arg, 0));
    pool->arg = weft_keep(weft_tuple_at(arg, 1));
    pool->capacity = weft_to_int(weft_tuple_at(arg, 2));
    pool->max_overflow = weft_to_int(weft_tuple_at(arg, 3));
    pool->is_lazy = weft_to_bool(weft_tuple_at(arg, 4));
    pool->check_after_ms =
        weft_is_int(weft_tuple_at(arg, 5)) ? weft_to_int(weft_tuple_at(arg, 5)) : WEFT_INFINITY;
    pool->first_retry_ms = pool->retry_ms = weft_to_int(weft_tuple_at(arg, 6));
    open_missing(pool);
    return weft_init_ok(pool);
}

static weft_result pool_call(void *state, weft_term request, weft_from from)
{
    struct pool *pool = state;
    weft_term what = weft_is_tuple(request) ? weft_tuple_at(request, 0) : request;

    if (weft_eq(what, A(checkout)))
        return checkout(pool, weft_tuple_at(request, 1), weft_to_bool(weft_tuple_at(request, 2)),
                        weft_tuple_at(request, 3), from);
    if (weft_eq(what, A(checkin)) || weft_eq(what, A(discard)))
        return weft_reply(take_back(pool, what, weft_tuple_at(request, 1), weft_tuple_at(request, 2))
                              ? A(ok) : A(not_held));
    if (weft_eq(what, A(counts)))
        return weft_reply(weft_tuple(weft_int(pool->n_idle), weft_int(pool->n_leased), weft_int(pool->n_opening),
                                     weft_int(pool->n_waiting), weft_int(pool->n_failures)));
    return weft_reply(weft_tuple(A(bad_call), request));
}

static weft_result pool_cast(void *state, weft_term request)
{
    struct pool *pool = state;
    weft_term ref, client, resource;

    if (weft_match(request, weft_tuple(A(cancel), weft_bind(&ref))))
        cancel(pool, ref);
    else if (weft_match(request, weft_tuple(A(abandon), weft_bind(&client), weft_bind(&resource))))
        take_back(pool, A(abandon), client, resource);
    return weft_noreply();
}

static weft_result pool_info(void *state, weft_term message)
{
    struct pool *pool = state;
    weft_term first, second;

    if (weft_match(message, weft_tuple(A(DOWN), weft_bind(&first), A(process), weft_any, weft_any))) {
        client_ended(pool, first);
    } else if (weft_match(message, weft_tuple(A(EXIT), weft_bind(&first), weft_bind(&second)))) {
        linked_ended(pool, first, second);
    } else if (weft_match(message, weft_tuple(A(opened), weft_bind(&first), weft_bind(&second)))) {
        opened(pool, first, second);
    } else if (weft_match(message, weft_tuple(A(failed), weft_bind(&first), weft_bind(&second)))) {
        forget_opener(pool, first);
        open_failed(pool, second);
    } else if (weft_eq(message, A(retry))) {
        pool->is_retrying = false;
        open_missing(pool);
    }
    return weft_noreply();
}

WEFT__GATE static void close_list(const struct pool *pool, struct resource *resource)
{
    for (; resource != NULL; resource = resource->next) {
        if (pool->kind->close != NULL)
            pool->kind->close(resource->term);
        else if (weft_is_pid(resource->term))
            weft_exit_signal(resource->term, A(shutdown));
    }
}

WEFT__GATE static void pool_terminate(void *state, weft_term reason)
{
    struct pool *pool = state;

    (void)reason;
    close_list(pool, pool->idle);
    close_list(pool, pool->leased);
}

static weft_term pool_describe(void *state)
{
    const struct pool *pool = state;

    return weft_map(A(idle), weft_int(pool->n_idle), A(in_use), weft_int(pool->n_leased),
                    A(opening), weft_int(pool->n_opening), A(waiting), weft_int(pool->n_waiting),
                    A(failures), weft_int(pool->n_failures));
}

static const weft_gen_server server = {
    .init = pool_init,
    .handle_call = pool_call,
    .handle_cast = pool_cast,
    .handle_info = pool_info,
    .terminate = pool_terminate,
    .describe = pool_describe,
    .name = "Pool",
};

/* -- starting ------------------------------------------------------------------------------------ */

static weft_term pack(const char *call, const weft_pool_resource *kind, weft_term arg,
                      const struct weft_pool_options *options)
{
    if (kind == NULL || kind->open == NULL)
        weft__proc_badarg(call, "the resource has no open function");
    if (options->capacity < 1 || options->capacity > CAPACITY_MAX)
        weft__proc_badarg(call, ".capacity is %lld: from 1 to %d", (long long)options->capacity, CAPACITY_MAX);
    if (options->max_overflow < 0 || options->max_overflow > CAPACITY_MAX)
        weft__proc_badarg(call, ".max_overflow is %lld: from 0 to %d", (long long)options->max_overflow,
                          CAPACITY_MAX);
    if (options->check_after_ms < 0)
        weft__proc_badarg(call, ".check_after_ms is negative (%lld)", (long long)options->check_after_ms);
    if (options->retry_ms < 1 || options->retry_ms > RETRY_MAX_MS)
        weft__proc_badarg(call, ".retry_ms is %lld: from 1 to %d", (long long)options->retry_ms, RETRY_MAX_MS);
    return weft_tuple(weft_pointer(kind), weft_is_none(arg) ? A(none) : arg, weft_int(options->capacity),
                      weft_int(options->max_overflow), weft_bool(options->lazy),
                      options->check_after_ms == WEFT_INFINITY ? A(infinity) : weft_int(options->check_after_ms),
                      weft_int(options->retry_ms));
}

weft_started weft_pool_start_link_opt(const weft_pool_resource *resource, weft_term arg,
                                      const struct weft_pool_options *given)
{
    struct weft_pool_options options = {WEFT_POOL_DEFAULTS};

    weft__options_take(&options, given);
    return weft_gen_server_start_link(&server, pack("weft_pool_start_link", resource, arg, &options),
                                      .name = options.name);
}

/* packed: {arg of init, name or nil} */
static weft_started start_packed(weft_term packed)
{
    weft_term name = weft_tuple_at(packed, 1);

    return weft_gen_server_start_link(&server, weft_tuple_at(packed, 0),
                                      .name = weft_eq(name, A(nil)) ? weft_none : name);
}

weft_child_spec weft_pool_child_opt(const weft_pool_resource *resource, weft_term arg,
                                    const struct weft_pool_options *given)
{
    struct weft_pool_options options = {WEFT_POOL_DEFAULTS};
    weft_term packed, name;

    weft__options_take(&options, given);
    packed = pack("weft_pool_child", resource, arg, &options);
    name = options.name;
    return weft_child(.id = !weft_is_none(name) ? name : weft_str(resource->name != NULL ? resource->name : "Pool"),
                      .start = start_packed, .arg = weft_tuple(packed, weft_is_none(name) ? A(nil) : name));
}

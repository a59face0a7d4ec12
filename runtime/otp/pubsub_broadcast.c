/* pubsub_broadcast.c - one message to all who are subscribed to a topic.
 *
 * The seats of the topic are walked in an epoch section, without a lock: for each row of
 * them a batch of messages (proc/batch.h), which share the term. A section may neither park
 * nor exit; so a long broadcast is one section after the other, with a turn of
 * the others in between. It goes on behind the number of the seat that it served last, and
 * ends before the numbers that were given after it began: each seat that was there all the
 * while is met once, and the walk ends, whoever subscribes meanwhile.
 *
 * The payload hangs from the caller's region, in a scope of its own: so a caller that is
 * killed during its turn loses nothing.
 */
#include "base/clock.h"
#include "base/code.h"
#include "otp/pubsub.h"
#include "otp/topics.h"
#include "proc/batch.h"
#include "proc/post.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/log.h"

#ifdef WEFT_DEBUG
#define ROWS_IN_TURN 2  /* so that tests see many turns */
#else
#define ROWS_IN_TURN 4  /* some 250 sends, whose receivers a worker's ring holds: they have a turn
                         * while what was written for them is in the cache. With 64, two cores need
                         * a quarter more processor time for a delivery */
#endif
#define AHEAD 8         /* seats: how far ahead subscribers are brought near */

struct broadcast {
    /* Set once. */
    weft_atom pubsub;
    weft_term topic;
    uint64_t hash;
    uint64_t except;               /* bits of a pid, or 0 */
    weft_term message;
    size_t size;                   /* of its copy; 0: it is no memory */
    struct weft__region *region;   /* the caller's */
    struct weft__counted *holder;  /* in there: will have its count of the payload */
    /* As it goes on. */
    struct weft__payload *payload; /* made when there is somebody; or NULL */
    uint32_t part;                 /* the partition that is served */
    uint64_t served;               /* up to this number in it */
    uint64_t end;                  /* from here on seats came later; 0: not looked yet */
    uint32_t n_rows;               /* in this turn */
    size_t n;
    bool is_begun;
    weft_pubsub_telemetry_fn *telemetry; /* or NULL */
    int64_t began_ns;              /* with telemetry */
};

enum outcome { DONE, TURN_OVER, NO_PUBSUB, NO_MEMORY };

/* -- a row -------------------------------------------------------------------------------- */

/* Whom the seat is for, or 0: nobody that gets it. */
static inline uint64_t pid_of(const struct broadcast *broadcast, const struct weft__seat *seat)
{
    /* Relaxed: see topics.h. */
    uint64_t pid = atomic_load_explicit(&seat->pid, memory_order_relaxed);

    return pid != broadcast->except && seat->number > broadcast->served && seat->number < broadcast->end ? pid : 0;
}

/* What a send writes there. (always_inline: gcc 12 drops calls of what only prefetches.) */
__attribute__((always_inline))
static inline void prefetch(struct weft__table *table, const struct weft__seat *seat)
{
    weft_pid pid = weft__term(atomic_load_explicit(&seat->pid, memory_order_relaxed));
    const char *proc = (const char *)&table->base[weft__pid_slot(pid)];

    __builtin_prefetch(proc, 1);
    __builtin_prefetch(proc + 64, 1);
    __builtin_prefetch(proc + 128, 1);
    __builtin_prefetch(proc + 192, 1);
}

static uint32_t count(const struct broadcast *broadcast, const struct weft__row *row, uint32_t n_used)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_used; i++)
        n += pid_of(broadcast, &row->seats[i]) != 0;
    return n;
}

/* false: no memory. */
static bool make_payload(struct broadcast *broadcast)
{
    if (broadcast->size == 0 || broadcast->payload != NULL)
        return true;
    broadcast->payload = weft__payload_new(broadcast->message, broadcast->size);
    if (broadcast->payload == NULL)
        return false;
    broadcast->holder->shared = &broadcast->payload->shared;
    broadcast->holder->next = broadcast->region->counted;
    broadcast->region->counted = broadcast->holder;
    return true;
}

/* For one that has ended: NULL; or whose mailbox has a bound: when that is full, it
 * misses the message, whatever it chose for plain sends. */
static __attribute__((noinline)) struct weft__message *message_for_bounded(struct weft__proc *proc, weft_pid pid,
                                                                           struct weft__batch *batch)
{
    struct weft__message *message;

    if (!weft__proc_is_there(proc, pid) || weft__room_take(pid) != WEFT__ROOM_TAKEN)
        return NULL;
    message = weft__batch_next(batch);
    message->block.flags = WEFT__COUNTED;
    return message;
}

/* The message for a seat's process; NULL: it does not get one. PS-9 */
static inline struct weft__message *message_for(struct weft__proc *proc, weft_pid pid, struct weft__batch *batch)
{
    if (weft_is_none(pid) || proc == NULL)
        return NULL;
    return __builtin_expect(weft__proc_takes_all(proc, pid), 1) ? weft__batch_next(batch)
                                                                : message_for_bounded(proc, pid, batch);
}

/* Those who waited for mail, and are the caller's. */
struct woken {
    uint32_t n;
    struct weft__proc *proc[WEFT__BATCH_MAX];
};

static void post_all(struct weft__here *here, struct broadcast *broadcast, const struct weft__row *row,
                     uint32_t n_used, struct weft__batch *batch, struct woken *woken)
{
    struct weft__table *table = &weft__runtime()->table;

    for (uint32_t i = 0; i < n_used && i < AHEAD; i++)
        prefetch(table, &row->seats[i]);
    for (uint32_t i = 0; i < n_used && batch->n_used < batch->n_messages; i++) {
        weft_pid pid = weft__term(pid_of(broadcast, &row->seats[i]));
        struct weft__proc *proc = weft__table_at(table, weft__pid_slot(pid));
        struct weft__message *message;

        if (i + AHEAD < n_used)
            prefetch(table, &row->seats[i + AHEAD]);
        message = message_for(proc, pid, batch);
        if (message == NULL)
            continue;
        if (weft__message_give(here, proc, pid, message, true))
            woken->proc[woken->n++] = proc;
        broadcast->n++;
    }
}

/* Queue them, and tell others once for all that there is work. The frames that each stopped in
 * are not brought near, as for one that is woken alone: thousands run before the last. */
static void let_run(struct weft__here *here, const struct woken *woken)
{
    bool is_quiet = true;

    for (uint32_t i = 0; i < woken->n; i++) {
        struct weft__proc *proc = woken->proc[i];

        if (proc->fiber.kind != WEFT__PROC_GUEST && weft__fiber_ready_unseen(here->slot.worker, &proc->fiber))
            is_quiet = false;
        else
            weft__proc_make_ready(here, proc);
    }
    if (!is_quiet)
        weft__idle_notify(weft__runtime()->sched);
}

/* n of them want it, at least one. false: no memory. */
static bool serve_seats(struct broadcast *broadcast, const struct weft__row *row, uint32_t n_used, uint32_t n)
{
    struct weft__here *here = weft__here();
    struct weft__batch *batch = weft__batch_new(here->slot.cache, broadcast->payload, broadcast->message, n);
    struct woken woken;

    woken.n = 0;
    if (batch != NULL) {
        post_all(here, broadcast, row, n_used, batch, &woken);
        let_run(here, &woken);
        weft__batch_close(batch);
    }
    return batch != NULL;
}

/* false: no memory. */
static bool serve_row(struct broadcast *broadcast, const struct weft__row *row)
{
    /* Acquire (B): the seats are filled. */
    uint32_t n_used = atomic_load_explicit(&row->n_used, memory_order_acquire), n;

    if (n_used == 0 || row->seats[n_used - 1].number <= broadcast->served)
        return true;
    n = count(broadcast, row, n_used);
    if (n > 0) {
        if (!make_payload(broadcast) || !serve_seats(broadcast, row, n_used, n))
            return false;
        broadcast->n_rows++;
    }
    broadcast->served = row->seats[n_used - 1].number;
    return true;
}

/* -- a turn --------------------------------------------------------------------------------- */

static enum outcome serve_part(struct broadcast *broadcast, const struct weft__part *part)
{
    const struct weft__topic *topic = weft__topics_find(part->topics, broadcast->hash, broadcast->topic);
    const struct weft__row *row;

    /* Acquire (C). */
    if (broadcast->end == 0)
        broadcast->end = atomic_load_explicit(&part->topics->next_number, memory_order_acquire);
    /* Acquire (A). */
    row = topic != NULL ? atomic_load_explicit(&topic->first, memory_order_acquire) : NULL;
    for (; row != NULL; row = atomic_load_explicit(&row->next, memory_order_acquire)) {
        if (broadcast->n_rows >= ROWS_IN_TURN)
            return TURN_OVER;
        if (!serve_row(broadcast, row))
            return NO_MEMORY;
    }
    return DONE;
}

/* One section. */
static enum outcome serve(struct broadcast *broadcast)
{
    struct weft__epoch *epoch = weft__registry_epoch();
    const struct weft__registry *registry;
    enum outcome outcome = DONE;

    if (epoch == NULL)
        return NO_MEMORY;
    broadcast->n_rows = 0;
    weft__epoch_begin(epoch);
    registry = weft__pubsub_find(broadcast->pubsub);
    if (registry == NULL) {
        /* One that ends meanwhile has nobody left who was subscribed all the while. */
        outcome = broadcast->is_begun ? DONE : NO_PUBSUB;
        weft__epoch_end(epoch);
        return outcome;
    }
    if (!broadcast->is_begun && registry->telemetry != NULL) {
        broadcast->telemetry = registry->telemetry;
        broadcast->began_ns = weft__clock_ns();
    }
    broadcast->is_begun = true;
    while (outcome == DONE && broadcast->part < registry->n_parts) {
        outcome = serve_part(broadcast, registry->parts[broadcast->part]);
        if (outcome != DONE)
            break;
        broadcast->part++;
        broadcast->served = broadcast->end = 0;
    }
    weft__epoch_end(epoch);
    return outcome;
}

/* -- all of it -------------------------------------------------------------------------------- */

/* Serve all, with turns for others where the caller may park. */
static enum outcome serve_all(struct broadcast *broadcast, const struct weft__proc *proc)
{
    bool may_park = proc->fiber.kind != WEFT__PROC_GUEST && (proc->flags & (WEFT__IN_BLOCKING | WEFT__ENDS)) == 0;
    enum outcome outcome;

    while ((outcome = serve(broadcast)) == TURN_OVER)
        if (may_park)
            weft_yield();
    if (may_park)
        weft_checkpoint(); /* who makes one after the other gives way, and can be killed */
    return outcome;
}

/* In a scope, at whose end the caller's count of the payload is given back. */
static enum outcome run(struct broadcast *broadcast, const struct weft__proc *proc)
{
    enum outcome outcome;
    weft_scope scope;

    broadcast->region = weft__region_here();
    weft__scope_enter(&scope, broadcast->region);
    if (broadcast->size > 0) {
        broadcast->holder = weft__region_alloc(broadcast->region, WEFT__COUNTED_SIZE(WEFT__BOX_NATIVE));
        broadcast->holder->header = weft__header(WEFT__BOX_NATIVE, 0);
    }
    outcome = serve_all(broadcast, proc);
    weft__scope_leave(&scope);
    return outcome;
}

static int code_of(enum outcome outcome)
{
    return outcome == DONE ? 0 : outcome == NO_PUBSUB ? WEFT_ENOENT : WEFT_ENOMEM;
}

/* A code; what it was sent to is counted in any case. (noinline: a gate calls it, where the
 * process may be stopped at any moment.) */
static __attribute__((noinline)) int send_all(struct broadcast *broadcast, struct weft__copy_refusal *refusal)
{
    const struct weft__proc *proc = weft__proc_here();

    if (proc == NULL)
        return weft__runtime_missing();
    broadcast->size = weft__copy_size(broadcast->message, refusal);
    if (broadcast->size == WEFT__COPY_REFUSED)
        return WEFT_EBADTERM;
    return code_of(run(broadcast, proc));
}

/* -- the calls ----------------------------------------------------------------------------------- */

WEFT__GATE static void tell_telemetry(const struct broadcast *broadcast)
{
    struct weft_pubsub_event event;

    if (broadcast->telemetry == NULL)
        return;
    event = (struct weft_pubsub_event){.pubsub = broadcast->pubsub,
                                       .topic = broadcast->topic,
                                       .n_reached = broadcast->n,
                                       .duration_ns = weft__clock_ns() - broadcast->began_ns};
    broadcast->telemetry(&event);
}

/* What the caller asked for is done. */
WEFT__GATE static void tell(const struct broadcast *broadcast)
{
    if (broadcast->n == 0)
        weft_log(WEFT_LOG_DEBUG, "broadcast to %s of %s: nobody is subscribed", weft_inspect(broadcast->topic),
                 weft_inspect(broadcast->pubsub));
    tell_telemetry(broadcast);
}

static inline struct broadcast to(weft_atom pubsub, weft_pid except, weft_term topic, weft_term message)
{
    return (struct broadcast){.pubsub = pubsub, .topic = topic, .hash = weft_hash(topic), .except = except.bits,
                              .message = message};
}

WEFT__GATE int weft_pubsub_try_broadcast_from(weft_atom pubsub, weft_pid from, weft_term topic, weft_term message,
                                              size_t *n)
{
    struct broadcast broadcast = to(pubsub, from, topic, message);
    struct weft__copy_refusal refusal;
    int code = weft_is_none(topic) ? WEFT_EBADTERM : send_all(&broadcast, &refusal);

    if (code == 0)
        tell(&broadcast);
    if (n != NULL)
        *n = broadcast.n;
    return code;
}

WEFT__GATE int weft_pubsub_try_broadcast(weft_atom pubsub, weft_term topic, weft_term message, size_t *n)
{
    return weft_pubsub_try_broadcast_from(pubsub, weft_none, topic, message, n);
}

static _Noreturn void refuse(const char *call, const struct broadcast *broadcast, int code,
                             const struct weft__copy_refusal *refusal)
{
    if (code == WEFT_EBADTERM)
        weft__copy_fail(call, refusal);
    if (code == WEFT_ENOENT)
        weft__pubsub_unknown(call, broadcast->pubsub);
    weft__proc_system_limit(call, "no memory");
}

WEFT__GATE static size_t send_or_exit(const char *call, weft_atom pubsub, weft_pid except, weft_term topic,
                                      weft_term message)
{
    struct broadcast broadcast = to(pubsub, except, topic, message);
    struct weft__copy_refusal refusal;
    int code;

    weft__proc_need(call);
    weft__pubsub_need_topic(call, topic);
    code = send_all(&broadcast, &refusal);
    if (code != 0)
        refuse(call, &broadcast, code, &refusal);
    tell(&broadcast);
    return broadcast.n;
}

WEFT__GATE size_t weft_pubsub_broadcast(weft_atom pubsub, weft_term topic, weft_term message)
{
    return send_or_exit("weft_pubsub_broadcast", pubsub, weft_none, topic, message);
}

WEFT__GATE size_t weft_pubsub_broadcast_from(weft_atom pubsub, weft_pid from, weft_term topic, weft_term message)
{
    if (!weft_is_pid(from))
        weft__proc_badarg("weft_pubsub_broadcast_from", "%s is no pid: whose subscriptions are left out",
                          weft_inspect(from));
    return send_or_exit("weft_pubsub_broadcast_from", pubsub, from, topic, message);
}

/* -- dispatchers ------------------------------------------------------------------------------------ */

struct dispatch {
    weft_pid from;
    weft_term message;
    weft_pubsub_dispatcher *dispatcher;
    void *arg;
};

WEFT__GATE static void dispatch(weft_term entries, void *arg)
{
    const struct dispatch *to = arg;

    to->dispatcher(entries, to->from, to->message, to->arg);
}

WEFT__GATE void weft_pubsub_dispatch(weft_atom pubsub, weft_pid from, weft_term topic, weft_term message,
                                     weft_pubsub_dispatcher *dispatcher, void *arg)
{
    struct dispatch to = {.from = from, .message = message, .dispatcher = dispatcher, .arg = arg};
    struct broadcast broadcast = {.pubsub = pubsub, .topic = topic};

    if (dispatcher == NULL)
        weft__proc_badarg("weft_pubsub_dispatch", "the dispatcher is NULL");
    weft__pubsub_need_topic("weft_pubsub_dispatch", topic);
    broadcast.telemetry = weft__pubsub_need("weft_pubsub_dispatch", pubsub);
    if (broadcast.telemetry != NULL)
        broadcast.began_ns = weft__clock_ns();
    weft_registry_dispatch(pubsub, topic, dispatch, &to);
    tell_telemetry(&broadcast);
}

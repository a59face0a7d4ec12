/* pubsub.c - options, subscribing and dispatching: what a PubSub adds to its registry. */
#include "otp/pubsub.h"

#include "base/code.h"
#include "otp/task.h"
#include "otp/topics.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "term/atom.h"
#include "weft/log.h"

#define CALL "weft_pubsub_start_link"
#define POOL_MAX 65536

_Noreturn void weft__pubsub_unknown(const char *call, weft_atom name)
{
    weft__proc_badarg(call, "unknown PubSub %s: none of that name runs; start it before its users",
                      weft_inspect(name));
}

weft_pubsub_telemetry_fn *weft__pubsub_need(const char *call, weft_atom name)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    weft_pubsub_telemetry_fn *telemetry = NULL;
    const struct weft__registry *registry;

    weft__epoch_begin(epoch);
    registry = weft__pubsub_find(name);
    if (registry != NULL)
        telemetry = registry->telemetry;
    weft__epoch_end(epoch);
    if (registry == NULL)
        weft__pubsub_unknown(call, name);
    return telemetry;
}

void weft__pubsub_need_topic(const char *call, weft_term topic)
{
    if (weft_is_none(topic))
        weft__proc_badarg(call, "the topic is weft_none, to which nobody can be subscribed");
}

/* -- starting ----------------------------------------------------------------------- */

/* A quarter of the workers. */
static int64_t default_pool_size(void)
{
    return (weft__runtime()->sched->n_workers + 3) / 4;
}

/* What a registry is started with, checked, and the telemetry. PS-1 */
static weft_term pack(const char *call, const struct weft_pubsub_options *given)
{
    struct weft_pubsub_options options = {WEFT_PUBSUB_DEFAULTS};

    weft__proc_need(call);
    weft__options_take(&options, given);
    if (weft_is_none(options.name))
        weft__proc_badarg(call, ".name is missing: an atom");
    if (!weft__registry_is_name(options.name))
        weft__proc_badarg(call, ".name is %s: an atom other than nil, true, false and undefined",
                          weft_inspect(options.name));
    if (options.pool_size < 0 || options.pool_size > POOL_MAX)
        weft__proc_badarg(call, ".pool_size is %lld: from 1 to %d, or 0 for a quarter of the workers",
                          (long long)options.pool_size, POOL_MAX);
    if (options.pool_size == 0)
        options.pool_size = default_pool_size();
    return weft_tuple(options.name, weft_int(WEFT_DUPLICATE), weft_int(options.pool_size), weft_empty_list,
                      weft_empty_list, weft_pointer((void *)(uintptr_t)options.telemetry));
}

weft_started weft_pubsub_start_link_opt(const struct weft_pubsub_options *options)
{
    return weft__registry_start_packed(pack(CALL, options));
}

weft_child_spec weft_pubsub_child_opt(const struct weft_pubsub_options *options)
{
    weft_term packed = pack("weft_pubsub_child", options);

    return weft_child(.id = weft_tuple_at(packed, 0), .start = weft__registry_start_packed, .arg = packed,
                      .type = WEFT_SUPERVISOR);
}

/* -- subscribing ---------------------------------------------------------------------- */

#define SUBSCRIBE "weft_pubsub_subscribe"

bool weft_pubsub_subscribe_opt(weft_atom pubsub, weft_term topic, const struct weft_pubsub_subscribe_options *given)
{
    struct weft_pubsub_subscribe_options options = {WEFT_PUBSUB_SUBSCRIBE_DEFAULTS};
    weft_pid unused;

    weft__options_take(&options, given);
    if (weft_is_none(options.metadata))
        options.metadata = WEFT__A(nil);
    weft__registry_check_sendable(SUBSCRIBE, "topic", topic);
    weft__registry_check_sendable(SUBSCRIBE, "metadata", options.metadata);
    weft__pubsub_need(SUBSCRIBE, pubsub);
    if (options.once && weft__registry_has(SUBSCRIBE, pubsub, topic, weft_none))
        return false;
    if (weft_log_enabled(WEFT_LOG_DEBUG) && weft__registry_has(SUBSCRIBE, pubsub, topic, options.metadata))
        weft_log(WEFT_LOG_DEBUG, "subscribed twice, with equal metadata: each message of %s comes twice",
                 weft_inspect(topic));
    weft__registry_register(SUBSCRIBE, pubsub, topic, options.metadata, &unused);
    return true;
}

size_t weft_pubsub_unsubscribe(weft_atom pubsub, weft_term topic)
{
    weft__pubsub_need("weft_pubsub_unsubscribe", pubsub);
    weft__pubsub_need_topic("weft_pubsub_unsubscribe", topic);
    return weft__registry_unregister("weft_pubsub_unsubscribe", pubsub, topic, weft_none);
}

size_t weft_pubsub_unsubscribe_match(weft_atom pubsub, weft_term topic, weft_term pattern)
{
    weft__pubsub_need("weft_pubsub_unsubscribe_match", pubsub);
    weft__pubsub_need_topic("weft_pubsub_unsubscribe_match", topic);
    if (weft_is_none(pattern))
        weft__proc_badarg("weft_pubsub_unsubscribe_match", "the pattern is weft_none, which fits nothing");
    return weft__registry_unregister("weft_pubsub_unsubscribe_match", pubsub, topic, pattern);
}

size_t weft_pubsub_subscribers(weft_atom pubsub, weft_term topic)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    const struct weft__registry *registry;
    uint64_t hash = weft_hash(topic);
    int64_t n = 0;

    weft__pubsub_need_topic("weft_pubsub_subscribers", topic);
    weft__epoch_begin(epoch);
    registry = weft__pubsub_find(pubsub);
    for (uint32_t i = 0; registry != NULL && i < registry->n_parts; i++) {
        const struct weft__topic *at = weft__topics_find(registry->parts[i]->topics, hash, topic);

        /* Relaxed: a moment's truth. */
        n += at != NULL ? atomic_load_explicit(&at->n, memory_order_relaxed) : 0;
    }
    weft__epoch_end(epoch);
    if (registry == NULL)
        weft__pubsub_unknown("weft_pubsub_subscribers", pubsub);
    return (size_t)n;
}

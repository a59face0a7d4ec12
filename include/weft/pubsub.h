/* pubsub.h - topics within the program: who is subscribed receives what is broadcast.
 *
 *     weft_pubsub_start_link(.name = WEFT_ATOM("events"));
 *     weft_pubsub_subscribe(WEFT_ATOM("events"), weft_str("room:lobby"));
 *     weft_pubsub_broadcast(WEFT_ATOM("events"), weft_str("room:lobby"), weft_tuple(WEFT_ATOM("joined"), id));
 *     weft_receive(weft_tuple(WEFT_ATOM("joined"), weft_bind(&id)), WEFT_INFINITY, NULL);
 *
 * Any process broadcasts a message to a topic, and every process subscribed to it
 * receives the message as it is. A topic is any term; it is not made, it is there while
 * somebody is subscribed. Topics match exactly, by weft_eq: there are no wildcards. (PS-11)
 *
 * Delivery is at most once: nothing is stored or acknowledged, and a process that
 * crashes and is restarted has missed what came between. So subscribe first and then
 * read the state that the messages change; and read it again after every subscribe.
 * The topic is not part of the message: put it, or a tag, there.
 *
 * A message is stored once, however many receive it, and is freed when the last of them
 * has dropped it; to each it is as any message, good to the end of the scope that it was
 * received in. One who is slow has a growing mailbox, and delays nobody. (PS-16, PS-23)
 *
 * Several PubSubs are apart: a topic of one is unknown to another. A PubSub is a registry
 * of duplicate keys under its name, whose keys are topics: weft_registry_lookup and others
 * tell more of it. When it crashes, its subscribers crash with it, since they are linked, and
 * subscribe anew when they are restarted; one that traps exits gets an {:EXIT, ...}, and
 * has to subscribe again itself. Start it before its users. (PS-22)
 *
 * Where:   in a process.
 * Exits:   {:badarg, "call: unknown PubSub ..."}   none of that name runs; (PS-3)
 *          {:badarg, ...} for other mistakes, as a topic that is weft_none; {:system_limit, text} without memory
 * Meaning: Phoenix.PubSub; rules PS-1 to PS-26. There are no nodes and no adapters.
 */
#ifndef WEFT_PUBSUB_H
#define WEFT_PUBSUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/child.h"
#include "weft/gen_server.h"
#include "weft/options.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* -- starting ----------------------------------------------------------------------- */

/* What a broadcast was, for .telemetry. */
struct weft_pubsub_event {
    weft_atom pubsub;
    weft_term topic;
    size_t n_reached;    /* subscriptions that it was sent to; a dispatcher's: 0 */
    int64_t duration_ns; /* of the call */
};
typedef void weft_pubsub_telemetry_fn(const struct weft_pubsub_event *event);

struct weft_pubsub_options {
    WEFT_OPTION(size_t, size, sizeof(weft_pubsub_options));
    WEFT_OPTION(weft_atom, name, {0});       /* must be given: an atom */
    WEFT_OPTION(int64_t, pool_size, 0);      /* partitions of its table; 0: a quarter of the workers, at
                                              * least 1. More pay where many cores subscribe at once */
    WEFT_OPTION(weft_pubsub_telemetry_fn *, telemetry, NULL); /* called after each broadcast, in the caller */
};
#define WEFT_PUBSUB_DEFAULTS                                              \
    .size = sizeof(struct weft_pubsub_options), .name = {0},              \
    .pool_size = 0, .telemetry = NULL

/* Start one, linked to the caller: a supervisor, with one child for each partition.
 *
 * Where:    in a process. May park.
 * Returns:  its pid; or not ok: {:already_started, pid}.
 * Exits:    {:badarg, text}   an option is missing or wrong, by name
 * Meaning:  PS-1, PS-2. */
#define weft_pubsub_start_link(...)                                       \
    WEFT_CALL_OPTIONS(weft_pubsub_start_link_opt(                         \
        WEFT_OPTIONS(weft_pubsub_options, WEFT_PUBSUB_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_pubsub_start_link_opt(const struct weft_pubsub_options *options);

/* The same as a child of a supervisor: its id is its name. Never switches. */
#define weft_pubsub_child(...)                                            \
    WEFT_CALL_OPTIONS(weft_pubsub_child_opt(                              \
        WEFT_OPTIONS(weft_pubsub_options, WEFT_PUBSUB_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_child_spec weft_pubsub_child_opt(const struct weft_pubsub_options *options);

/* -- subscribing ---------------------------------------------------------------------- */

struct weft_pubsub_subscribe_options {
    WEFT_OPTION(size_t, size, sizeof(weft_pubsub_subscribe_options));
    WEFT_OPTION(weft_term, metadata, {0}); /* kept with the subscription, for dispatchers; not given: nil */
    WEFT_OPTION(bool, once, false);        /* not if the caller is subscribed to the topic already */
};
#define WEFT_PUBSUB_SUBSCRIBE_DEFAULTS                                    \
    .size = sizeof(struct weft_pubsub_subscribe_options), .metadata = {0}, .once = false

/* Subscribe the calling process, and no other, to a topic.
 *
 * Who subscribes twice receives each message twice; .once prevents it, as on a reconnect.
 * A second subscription with equal metadata is logged at the level debug.
 *
 * Where:    in a process. May park.
 * Order:    what is broadcast after this has returned, by whoever knows of that, is received.
 * Returns:  true; false: with .once, and there was a subscription.
 * Meaning:  PS-4 to PS-6, PS-10. */
#define weft_pubsub_subscribe(pubsub, topic, ...)                         \
    WEFT_CALL_OPTIONS(weft_pubsub_subscribe_opt((pubsub), (topic),        \
        WEFT_OPTIONS(weft_pubsub_subscribe_options, WEFT_PUBSUB_SUBSCRIBE_DEFAULTS, __VA_ARGS__)))
WEFT_API bool weft_pubsub_subscribe_opt(weft_atom pubsub, weft_term topic,
                                        const struct weft_pubsub_subscribe_options *options);

/* Take back all of the caller's subscriptions to a topic: no broadcast that begins later
 * reaches it by them. What is in its mailbox stays there. May park. Returns how many
 * there were. PS-7, PS-8. */
WEFT_API size_t weft_pubsub_unsubscribe(weft_atom pubsub, weft_term topic);

/* The same, of those only whose metadata fits the pattern. May park. PS-10. */
WEFT_API size_t weft_pubsub_unsubscribe_match(weft_atom pubsub, weft_term topic, weft_term pattern);

/* How many subscriptions to a topic there are; a moment's truth. Never switches. PS-25. */
WEFT_API size_t weft_pubsub_subscribers(weft_atom pubsub, weft_term topic);

/* -- broadcasting ------------------------------------------------------------------------ */

/* Send a message to all who are subscribed to a topic, the caller too if it is.
 *
 * Where:    in a process. May park: others have their turn between the sends.
 * Order:    when it returns, the message is in the mailbox of each process that was
 *           subscribed all the while. Messages that one process broadcasts to one topic
 *           arrive in this order; those of two processes in any. A subscriber whose
 *           mailbox has a bound (.max_queue) and is full misses it.
 * Returns:  how many subscriptions it was sent to; 0 is no mistake.
 * Exits:    {:badarg, text}   the message is weft_none, or has a pattern part
 * Meaning:  PS-12, PS-14 to PS-18, PS-26. One that subscribes or unsubscribes meanwhile gets it
 *           or not, and once at most for each subscription. */
WEFT_API size_t weft_pubsub_broadcast(weft_atom pubsub, weft_term topic, weft_term message);

/* The same but for the subscriptions of one process, mostly the caller's own. May park.
 * PS-13. */
WEFT_API size_t weft_pubsub_broadcast_from(weft_atom pubsub, weft_pid from, weft_term topic, weft_term message);

/* The same, reporting. May park.
 *
 *   n   how many it was sent to, or NULL
 *
 * Returns:  0; WEFT_ENOENT: no such PubSub runs; WEFT_EBADTERM: that is no message, or no topic;
 *           WEFT_ENOMEM, with *n subscriptions served; WEFT_ESTOPPED: there is no runtime */
WEFT_API int weft_pubsub_try_broadcast(weft_atom pubsub, weft_term topic, weft_term message, size_t *n);
WEFT_API int weft_pubsub_try_broadcast_from(weft_atom pubsub, weft_pid from, weft_term topic, weft_term message,
                                            size_t *n);

/* As broadcast, with a dispatcher in the place of plain sends: it is called in the caller, once for
 * each partition that has subscriptions to the topic.
 *
 *   entries   a list of {pid, metadata}
 *   from      the process to leave out, which is the dispatcher's business; or weft_none
 *
 * Where:    in a process. May park.
 * Exits:    as the dispatcher does: whom it has reached keeps the message
 * Meaning:  PS-20, PS-21. */
typedef void weft_pubsub_dispatcher(weft_term entries, weft_pid from, weft_term message, void *arg);
WEFT_API void weft_pubsub_dispatch(weft_atom pubsub, weft_pid from, weft_term topic, weft_term message,
                                   weft_pubsub_dispatcher *dispatcher, void *arg);

/* On this node alone: the same, as there is no other. May park. PS-19. */
static inline size_t weft_pubsub_local_broadcast(weft_atom pubsub, weft_term topic, weft_term message)
{
    return weft_pubsub_broadcast(pubsub, topic, message);
}
static inline size_t weft_pubsub_local_broadcast_from(weft_atom pubsub, weft_pid from, weft_term topic,
                                                      weft_term message)
{
    return weft_pubsub_broadcast_from(pubsub, from, topic, message);
}

WEFT__END_C

#endif

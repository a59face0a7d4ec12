/* pubsub.h - a PubSub inside: a registry whose partitions have topics.
 *
 * Subscribing, unsubscribing, the ends of subscribers, links and restarts are the
 * registry's (registry.h); what is added is an index of the entries by topic (topics.h),
 * and the broadcast, which walks it (pubsub_broadcast.c).
 */
#ifndef WEFT_OTP_PUBSUB_H
#define WEFT_OTP_PUBSUB_H

#include "otp/registry.h"

/* In a section: the PubSub of a name, or NULL. */
static inline const struct weft__registry *weft__pubsub_find(weft_atom name)
{
    const struct weft__registry *registry = weft__registry_find(name);

    return registry != NULL && registry->is_pubsub ? registry : NULL;
}

/* Exits, as there is none of that name. */
_Noreturn void weft__pubsub_unknown(const char *call, weft_atom name);

/* Exits if there is none. Its telemetry, or NULL. */
weft_pubsub_telemetry_fn *weft__pubsub_need(const char *call, weft_atom name);

/* Exits if it is weft_none, to which nobody can be subscribed: a topic that somebody
 * forgot to fill in, mostly. */
void weft__pubsub_need_topic(const char *call, weft_term topic);

#endif

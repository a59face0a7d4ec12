/* pubsub_test.h - a PubSub called :ps, and puppets that are subscribed to its topics. */
#ifndef WEFT_TESTS_OTP_PUBSUB_TEST_H
#define WEFT_TESTS_OTP_PUBSUB_TEST_H

#include "otp/pubsub.h"
#include "otp/topics.h"
#include "proc/process_test.h"
#include "weft/pubsub.h"

static inline weft_pid start(int64_t pool_size)
{
    return weft_must(weft_pubsub_start_link(.name = A(ps), .pool_size = pool_size));
}

/* For puppets, in the PubSub that start makes. */
static inline weft_term do_subscribe(weft_term topic) { return weft_bool(weft_pubsub_subscribe(A(ps), topic)); }
static inline weft_term do_unsubscribe(weft_term topic) { return weft_int((int64_t)weft_pubsub_unsubscribe(A(ps), topic)); }
/* {topic, message} */
static inline weft_term do_broadcast(weft_term arg)
{
    return weft_int((int64_t)weft_pubsub_broadcast(A(ps), weft_tuple_at(arg, 0), weft_tuple_at(arg, 1)));
}

static inline weft_pid subscriber(weft_term topic)
{
    weft_pid puppet = puppet_start();

    ask(puppet, do_subscribe, topic);
    return puppet;
}

/* Every row and seat is as it should be. */
static inline void check_topics(void)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    const struct weft__registry *pubsub;

    weft__epoch_begin(epoch);
    pubsub = weft__pubsub_find(A(ps));
    for (uint32_t i = 0; pubsub != NULL && i < pubsub->n_parts; i++) {
        weft__spin_acquire(&pubsub->parts[i]->lock);
        weft__topics_check_locked(pubsub->parts[i]->topics);
        weft__spin_release(&pubsub->parts[i]->lock);
    }
    weft__epoch_end(epoch);
    check(pubsub != NULL);
}

/* A dispatcher: {metadata, message} to all but one; counts its calls in *(int *)arg. */
static inline void sends_with_metadata(weft_term entries, weft_pid from, weft_term message, void *arg)
{
    (*(int *)arg)++;
    weft_list_each (entry, entries)
        if (!weft_eq(weft_tuple_at(entry, 0), from))
            weft_send(weft_tuple_at(entry, 0), weft_tuple(weft_tuple_at(entry, 1), message));
}

#endif

/* pubsub_test.c - topics, who is subscribed to them, and one message to all of those. */
#include "otp/pubsub_test.h"

#include "proc/runtime.h"
#include "sched/sched.h"
#include "weft/log.h"
#include "weft/registry.h"
#include "weft/supervisor.h"

/* -- starting -------------------------------------------------------------------- */

static weft_term starts_without_name(weft_term arg) { return weft_pubsub_start_link(.pool_size = 1), arg; }
static weft_term starts_named(weft_term name) { return weft_pubsub_start_link(.name = name), name; }
static weft_term starts_small(weft_term size)
{
    return weft_pubsub_start_link(.name = A(ps), .pool_size = weft_to_int(size)), size;
}

PROCESS_TEST(bad_options_fail_in_the_caller_by_name, "PS-1")
{
    check_mistake(starts_without_name, A(x), "weft_pubsub_start_link: .name is missing");
    check_mistake(starts_named, weft_str("events"), ".name is \"events\": an atom");
    check_mistake(starts_named, A(nil), ".name is nil");
    check_mistake(starts_small, weft_int(-1), ".pool_size is -1: from 1");
}

PROCESS_TEST(it_has_a_quarter_as_many_partitions_as_there_are_workers, "PS-1")
{
    size_t n_workers = weft__runtime()->sched->n_workers;

    check_int(weft_list_size(weft_supervisor_which_children(start(0))), (n_workers + 3) / 4);
}

PROCESS_TEST(it_is_a_supervisor_whose_child_spec_has_its_name_as_id, "PS-2")
{
    weft_child_spec children[] = {weft_pubsub_child(.name = A(ps), .pool_size = 3)};
    weft_pid sup = weft_must(weft_supervisor_start_link(children, 1, .strategy = WEFT_ONE_FOR_ONE)), pubsub;

    check_term(children[0].id, A(ps));
    check(children[0].type == WEFT_SUPERVISOR);
    pubsub = weft_whereis(A(ps));
    check_int(weft_list_size(weft_supervisor_which_children(pubsub)), 3);
    weft_supervisor_stop(sup, weft_none, BOUND_MS);
    check(weft_is_none(weft_whereis(A(ps))));
}

PROCESS_TEST(a_topic_of_one_is_unknown_to_another, "PS-2")
{
    start(1);
    weft_must(weft_pubsub_start_link(.name = A(other)));
    weft_pubsub_subscribe(A(ps), A(topic));
    check_int(weft_pubsub_broadcast(A(other), A(topic), A(hello)), 0);
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(hello)), 1);
    expect_message(A(hello));
    expect_no_message(weft_any);
}

static weft_term subscribes_in(weft_term ps) { return weft_pubsub_subscribe(ps, A(t)), ps; }
static weft_term unsubscribes_in(weft_term ps) { return weft_pubsub_unsubscribe(ps, A(t)), ps; }
static weft_term unsubscribes_match_in(weft_term ps) { return weft_pubsub_unsubscribe_match(ps, A(t), A(m)), ps; }
static weft_term broadcasts_in(weft_term ps) { return weft_pubsub_broadcast(ps, A(t), A(m)), ps; }
static weft_term broadcasts_from_in(weft_term ps)
{
    return weft_pubsub_broadcast_from(ps, weft_self(), A(t), A(m)), ps;
}
static weft_term counts_in(weft_term ps) { return weft_pubsub_subscribers(ps, A(t)), ps; }
static void dispatch_none(weft_term entries, weft_pid from, weft_term message, void *arg)
{
    (void)entries, (void)from, (void)message, (void)arg;
}
static weft_term dispatches_in(weft_term ps)
{
    return weft_pubsub_dispatch(ps, weft_none, A(t), A(m), dispatch_none, NULL), ps;
}

PROCESS_TEST(an_unknown_pubsub_is_named, "PS-3")
{
    static weft_fn *const calls[] = {subscribes_in, unsubscribes_in,    unsubscribes_match_in, broadcasts_in,
                                     counts_in,     broadcasts_from_in, dispatches_in};
    size_t n = 7;

    for (size_t i = 0; i < COUNT(calls); i++)
        check_mistake(calls[i], A(nowhere), "unknown PubSub :nowhere");
    check_int(weft_pubsub_try_broadcast(A(nowhere), A(t), A(m), &n), WEFT_ENOENT);
    check_int(n, 0);
    weft_must(weft_registry_start_link(.name = A(reg), .keys = WEFT_DUPLICATE));
    check_mistake(broadcasts_in, A(reg), "unknown PubSub :reg");
    check_mistake(subscribes_in, A(reg), "unknown PubSub :reg");
}

/* -- subscribing --------------------------------------------------------------------- */

PROCESS_TEST(a_subscriber_receives_what_is_broadcast_as_it_is, "PS-4 PS-12")
{
    weft_term topics[] = {A(atom), weft_int(5), weft_str("room:lobby"), weft_tuple(A(room), weft_float(1.5))};
    weft_pid other;

    start(2);
    for (size_t i = 0; i < COUNT(topics); i++) {
        check(weft_pubsub_subscribe(A(ps), topics[i]));
        other = subscriber(topics[i]);
        check_int(weft_pubsub_broadcast(A(ps), topics[i], weft_tuple(A(news), weft_str("text"), weft_self())), 2);
        check_term(expect_message(weft_any), weft_tuple(A(news), weft_str("text"), weft_self()));
        check_term(ask(other, do_take, A(x)), weft_tuple(A(news), weft_str("text"), weft_self()));
        puppet_stop(other);
    }
}

PROCESS_TEST(a_topic_costs_nothing_once_it_has_no_subscribers, "PS-4")
{
    const struct weft__registry *pubsub;

    start(1);
    pubsub = weft__pubsub_find(A(ps));
    for (int i = 0; i < scaled(2000); i++) {
        weft_pubsub_subscribe(A(ps), weft_int(i));
        check_topics();
        check_int(weft_pubsub_unsubscribe(A(ps), weft_int(i)), 1);
    }
    check_int(atomic_load(&pubsub->parts[0]->topics->table->n), 0);
}

static weft_term subscribes_and_tells(weft_term who)
{
    weft_pubsub_subscribe(A(ps), A(topic));
    weft_send(who, A(subscribed));
    expect_message(A(news));
    return who;
}

PROCESS_TEST(what_is_broadcast_after_subscribe_returned_is_received, "PS-5")
{
    start(2);
    for (int i = 0; i < scaled(500); i++) {
        weft_ref down;

        weft_spawn(subscribes_and_tells, weft_self(), .monitor = &down);
        expect_message(A(subscribed));
        check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 1);
        check_term(await_down(down), A(normal));
    }
}

PROCESS_TEST(who_subscribes_twice_receives_twice, "PS-6")
{
    start(2);
    for (int i = 0; i < 100; i++)
        check(weft_pubsub_subscribe(A(ps), A(topic)));
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 100);
    for (int i = 0; i < 100; i++)
        expect_message(A(news));
    expect_no_message(weft_any);
}

PROCESS_TEST(subscribe_once_is_once)
{
    start(1);
    check(weft_pubsub_subscribe(A(ps), A(topic), .once = true));
    check(!weft_pubsub_subscribe(A(ps), A(topic), .once = true));
    check(weft_pubsub_subscribe(A(ps), A(another), .once = true));
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 1);
}

PROCESS_TEST(unsubscribe_removes_all_of_the_callers_to_the_topic, "PS-7")
{
    weft_pid other;

    start(2);
    check_int(weft_pubsub_unsubscribe(A(ps), A(topic)), 0);
    other = subscriber(A(topic));
    for (int i = 0; i < 3; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    weft_pubsub_subscribe(A(ps), A(another));
    check_int(weft_pubsub_unsubscribe(A(ps), A(topic)), 3);
    check_int(weft_pubsub_unsubscribe(A(ps), A(topic)), 0);
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 1);
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 1);
    check_int(weft_pubsub_broadcast(A(ps), A(another), A(other_news)), 1);
    check_term(ask(other, do_take, A(x)), A(news));
    expect_message(A(other_news));
    expect_no_message(weft_any);
}

PROCESS_TEST(after_unsubscribe_only_what_was_queued_is_there, "PS-8")
{
    weft_pid sender = puppet_start(), subscribed;

    start(1);
    subscribed = subscriber(A(topic));
    ask(sender, do_broadcast, weft_tuple(A(topic), A(before)));
    check_term(ask(subscribed, do_unsubscribe, A(topic)), weft_int(1));
    check_term(ask(sender, do_broadcast, weft_tuple(A(topic), A(after))), weft_int(0));
    check_term(ask(subscribed, do_take, A(x)), A(before));
    check_term(ask(subscribed, do_take, A(x)), A(nothing));
}

PROCESS_TEST(a_subscribers_death_removes_its_subscriptions, "PS-9")
{
    start(2);
    for (int i = 0; i < scaled(200); i++) {
        weft_pid puppet = subscriber(A(topic));

        ask(puppet, do_subscribe, A(another));
        ask(puppet, do_subscribe, A(topic));
        weft_kill(puppet);
        weft_pubsub_broadcast(A(ps), A(topic), A(news)); /* it dies meanwhile */
        await_end(puppet);
        check_int(weft_pubsub_subscribers(A(ps), A(topic)), 0);
        check_int(weft_pubsub_subscribers(A(ps), A(another)), 0);
        check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 0);
    }
    check_topics();
}

PROCESS_TEST(unsubscribe_match_removes_those_whose_metadata_fits, "PS-10")
{
    start(1);
    for (int i = 0; i < 4; i++)
        weft_pubsub_subscribe(A(ps), A(topic), .metadata = weft_tuple(A(number), weft_int(i % 2)));
    check_int(weft_pubsub_unsubscribe_match(A(ps), A(topic), weft_tuple(A(number), weft_int(1))), 2);
    check_int(weft_pubsub_unsubscribe_match(A(ps), A(topic), A(number)), 0);
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 2);
    check_int(weft_pubsub_unsubscribe_match(A(ps), A(topic), weft_tuple(A(number), weft_any)), 2);
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 0);
}

PROCESS_TEST(topics_match_exactly, "PS-11")
{
    static const char *const others[] = {"", "room", "room:", "room:*", "room:1 ", "Room:1", "room:11"};

    start(1);
    weft_pubsub_subscribe(A(ps), weft_str("room:1"));
    weft_pubsub_subscribe(A(ps), weft_int(1));
    for (size_t i = 0; i < COUNT(others); i++)
        check_int(weft_pubsub_broadcast(A(ps), weft_str(others[i]), A(news)), 0);
    check_int(weft_pubsub_broadcast(A(ps), weft_float(1), A(news)), 0);
    check_int(weft_pubsub_broadcast(A(ps), weft_str("room:1"), A(news)), 1);
}

static weft_term subscribes_to_none(weft_term arg) { return weft_pubsub_subscribe(A(ps), weft_none), arg; }
static weft_term subscribes_to_pattern(weft_term arg) { return weft_pubsub_subscribe(A(ps), weft_any), arg; }
static weft_term has_pattern_as_metadata(weft_term arg)
{
    return weft_pubsub_subscribe(A(ps), A(topic), .metadata = weft_list(weft_any)), arg;
}

PROCESS_TEST(a_pattern_is_neither_topic_nor_metadata)
{
    start(1);
    check_mistake(subscribes_to_none, A(x), "weft_pubsub_subscribe: the topic cannot be kept");
    check_mistake(subscribes_to_pattern, A(x), "the topic cannot be kept: a term with weft_any in it");
    check_mistake(has_pattern_as_metadata, A(x), "the metadata cannot be kept: a term with weft_any in it");
}

/* -- broadcasting -------------------------------------------------------------------------- */

PROCESS_TEST(broadcast_from_skips_every_subscription_of_that_process, "PS-13")
{
    weft_pid other;

    start(2);
    weft_pubsub_subscribe(A(ps), A(topic));
    other = subscriber(A(topic));
    weft_pubsub_subscribe(A(ps), A(topic));
    check_int(weft_pubsub_broadcast_from(A(ps), weft_self(), A(topic), A(first)), 1);
    expect_no_message(weft_any);
    check_int(weft_pubsub_broadcast_from(A(ps), other, A(topic), A(second)), 2);
    expect_message(A(second));
    expect_message(A(second));
    check_term(ask(other, do_take, A(x)), A(first));
    check_term(ask(other, do_take, A(x)), A(nothing));
}

static weft_term broadcasts_from(weft_term from)
{
    return weft_pubsub_broadcast_from(A(ps), from, A(topic), A(news)), from;
}

PROCESS_TEST(broadcast_from_what_is_no_process_fails_in_words, "PS-13")
{
    start(1);
    check_mistake(broadcasts_from, A(me), "weft_pubsub_broadcast_from: :me is no pid");
}

PROCESS_TEST(when_broadcast_returns_the_message_is_in_every_mailbox, "PS-14")
{
    enum { N = 300 };
    weft_pid subscribers[N];
    int n = scaled(N) < 20 ? 20 : scaled(N);

    start(2);
    weft_pubsub_subscribe(A(ps), A(topic));
    for (int i = 0; i < n; i++)
        subscribers[i] = subscriber(A(topic));
    for (int64_t round = 0; round < 10; round++) {
        check_int(weft_pubsub_broadcast(A(ps), A(topic), weft_int(round)), n + 1);
        check(weft_receive(weft_int(round), 0, NULL));
        for (int i = 0; i < n; i++)
            check_term(ask(subscribers[i], do_take, A(x)), weft_int(round));
    }
}

PROCESS_TEST(two_broadcasts_by_one_process_arrive_in_order, "PS-15")
{
    weft_pid subscribed;

    start(2);
    subscribed = subscriber(A(topic));
    for (int64_t i = 0; i < 100; i++)
        weft_pubsub_broadcast(A(ps), A(topic), i % 2 ? weft_int(i) : weft_tuple(weft_int(i)));
    for (int64_t i = 0; i < 100; i++)
        check_term(ask(subscribed, do_take, A(x)), i % 2 ? weft_int(i) : weft_tuple(weft_int(i)));
}

static weft_term do_hold(weft_term arg)
{
    while (!weft_receive(A(go_on), 0, NULL))
        weft_checkpoint();
    return arg;
}

PROCESS_TEST(a_slow_subscriber_delays_nobody, "PS-16")
{
    weft_pid slow, quick;

    start(1);
    slow = subscriber(A(topic));
    quick = subscriber(A(topic));
    tell(slow, do_hold, A(x));
    for (int64_t i = 0; i < 1000; i++)
        check_int(weft_pubsub_broadcast(A(ps), A(topic), weft_tuple(A(news), weft_int(i))), 2);
    for (int64_t i = 0; i < 1000; i++)
        check_term(ask(quick, do_take, A(x)), weft_tuple(A(news), weft_int(i)));
    weft_send(slow, A(go_on));
    for (int64_t i = 0; i < 1000; i++)
        check_term(ask(slow, do_take, A(x)), weft_tuple(A(news), weft_int(i)));
}

static _Atomic bool is_over;
static _Atomic int n_done;

static weft_term subscribes_over_and_over(weft_term arg)
{
    while (!atomic_load(&is_over)) {
        WEFT_SCOPE;
        int64_t last = -1;
        weft_term message;

        weft_pubsub_subscribe(A(ps), A(topic));
        weft_yield();
        weft_pubsub_unsubscribe(A(ps), A(topic));
        /* A subscription is one copy of each at most, in order. */
        while (weft_receive(weft_any, 0, &message)) {
            check(weft_to_int(message) > last);
            last = weft_to_int(message);
        }
    }
    atomic_fetch_add(&n_done, 1);
    return arg;
}

PROCESS_TEST(who_comes_and_goes_during_broadcasts_gets_each_once_at_most, "PS-17")
{
    enum { N = 8 };

    start(2);
    for (int i = 0; i < 200; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    for (int i = 0; i < N; i++)
        weft_spawn(subscribes_over_and_over, A(x));
    for (int64_t i = 0; i < scaled(2000); i++) {
        weft_pubsub_broadcast(A(ps), A(topic), weft_int(i));
        for (int j = 0; j < 200; j++)
            check(weft_receive(weft_int(i), 0, NULL));
    }
    atomic_store(&is_over, true);
    await_count(&n_done, N);
    check_topics();
}

/* {topic, who is told}, then what is broadcast. */
static bool subscribes_again(void *state, weft_term message)
{
    (void)state;
    weft_pubsub_subscribe(A(ps), A(topic));
    if (weft_is_tuple(message))
        weft_send(weft_tuple_at(message, 1), A(subscribed));
    return true;
}

PROCESS_TEST(who_subscribes_because_of_a_message_does_not_get_it_again, "PS-17 PS-26")
{
    int n = scaled(6000);

    start(1);
    for (int i = 0; i < n; i++)
        weft_send(weft_spawn_handler(subscribes_again, NULL), weft_tuple(A(topic), weft_self()));
    for (int i = 0; i < n; i++)
        expect_message(A(subscribed));
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), n);
    while (weft_pubsub_subscribers(A(ps), A(topic)) < 2 * (size_t)n)
        weft_yield();
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 2 * n);
}

static weft_term broadcasts_none(weft_term arg) { return weft_pubsub_broadcast(A(ps), A(topic), weft_none), arg; }
static weft_term broadcasts_pattern(weft_term arg)
{
    return weft_pubsub_broadcast(A(ps), A(topic), weft_tuple(weft_any)), arg;
}

static weft_term broadcasts_to(weft_term topic) { return weft_pubsub_broadcast(A(ps), topic, A(m)), topic; }
static weft_term broadcasts_from_self_to(weft_term topic)
{
    return weft_pubsub_broadcast_from(A(ps), weft_self(), topic, A(m)), topic;
}
static weft_term unsubscribes_from(weft_term topic) { return weft_pubsub_unsubscribe(A(ps), topic), topic; }
static weft_term unsubscribes_match_from(weft_term topic)
{
    return weft_pubsub_unsubscribe_match(A(ps), topic, weft_any), topic;
}
static weft_term counts(weft_term topic) { return weft_pubsub_subscribers(A(ps), topic), topic; }
static weft_term dispatches_to(weft_term topic)
{
    return weft_pubsub_dispatch(A(ps), weft_none, topic, A(m), dispatch_none, NULL), topic;
}

PROCESS_TEST(a_topic_that_is_none_is_a_mistake, "PS-18")
{
    size_t n = 7;

    start(1);
    check_mistake(broadcasts_to, weft_none, "weft_pubsub_broadcast: the topic is weft_none");
    check_mistake(broadcasts_from_self_to, weft_none, "weft_pubsub_broadcast_from: the topic is weft_none");
    check_mistake(unsubscribes_from, weft_none, "weft_pubsub_unsubscribe: the topic is weft_none");
    check_mistake(unsubscribes_match_from, weft_none, "weft_pubsub_unsubscribe_match: the topic is weft_none");
    check_mistake(counts, weft_none, "weft_pubsub_subscribers: the topic is weft_none");
    check_mistake(dispatches_to, weft_none, "weft_pubsub_dispatch: the topic is weft_none");
    check_int(weft_pubsub_try_broadcast(A(ps), weft_none, A(news), &n), WEFT_EBADTERM);
    check_int(n, 0);
}

PROCESS_TEST(what_is_no_message_fails_or_is_reported, "PS-18")
{
    size_t n = 7;

    start(1);
    weft_pubsub_subscribe(A(ps), A(topic));
    check_mistake(broadcasts_none, A(x), "weft_pubsub_broadcast: was given a term with weft_none");
    check_mistake(broadcasts_pattern, A(x), "weft_any");
    check_int(weft_pubsub_try_broadcast(A(ps), A(topic), weft_none, &n), WEFT_EBADTERM);
    check_int(n, 0);
    check_int(weft_pubsub_try_broadcast(A(ps), A(topic), A(news), &n), 0);
    check_int(n, 1);
    check_int(weft_pubsub_try_broadcast_from(A(ps), weft_self(), A(topic), A(news), &n), 0);
    check_int(n, 0);
    check_int(weft_pubsub_try_broadcast(A(ps), A(topic), A(news), NULL), 0);
    expect_message(A(news));
    expect_message(A(news));
    expect_no_message(weft_any);
}

PROCESS_TEST(local_broadcasts_are_the_plain_ones, "PS-19")
{
    start(1);
    weft_pubsub_subscribe(A(ps), A(topic));
    check_int(weft_pubsub_local_broadcast(A(ps), A(topic), A(news)), 1);
    check_int(weft_pubsub_local_broadcast_from(A(ps), weft_self(), A(topic), A(news)), 0);
    expect_message(A(news));
    expect_no_message(weft_any);
}

/* -- dispatchers ------------------------------------------------------------------------------ */

PROCESS_TEST(a_dispatcher_is_called_for_each_partition_that_has_subscribers, "PS-20")
{
    weft_pid others[8];
    int n_called = 0;

    start(2);
    weft_pubsub_dispatch(A(ps), weft_none, A(topic), A(news), sends_with_metadata, &n_called);
    check_int(n_called, 0);
    weft_pubsub_subscribe(A(ps), A(topic), .metadata = A(mine));
    for (size_t i = 0; i < COUNT(others); i++)
        others[i] = subscriber(A(topic));
    weft_pubsub_dispatch(A(ps), weft_none, A(topic), A(news), sends_with_metadata, &n_called);
    check_int(n_called, 2);
    weft_pubsub_dispatch(A(ps), weft_self(), A(topic), A(more), sends_with_metadata, &n_called);
    check_term(expect_message(weft_any), weft_tuple(A(mine), A(news)));
    expect_no_message(weft_any);
    for (size_t i = 0; i < COUNT(others); i++) {
        check_term(ask(others[i], do_take, A(x)), weft_tuple(A(nil), A(news)));
        check_term(ask(others[i], do_take, A(x)), weft_tuple(A(nil), A(more)));
    }
}

static void sends_one_and_fails(weft_term entries, weft_pid from, weft_term message, void *arg)
{
    (void)from, (void)arg;
    weft_send(weft_tuple_at(weft_head(entries), 0), message);
    weft_exit(A(dispatcher_failed));
}

static weft_term dispatches_and_fails(weft_term arg)
{
    weft_pubsub_dispatch(A(ps), weft_none, A(topic), A(news), sends_one_and_fails, NULL);
    return arg;
}

static weft_term dispatches_to_nothing(weft_term arg)
{
    weft_pubsub_dispatch(A(ps), weft_none, A(topic), A(news), NULL, NULL);
    return arg;
}

PROCESS_TEST(a_dispatcher_that_is_missing_is_refused)
{
    start(1);
    check_mistake(dispatches_to_nothing, A(x), "weft_pubsub_dispatch: the dispatcher is NULL");
}

PROCESS_TEST(a_dispatcher_that_fails_fails_the_broadcast, "PS-21")
{
    weft_ref down;

    start(1);
    weft_pubsub_subscribe(A(ps), A(topic));
    weft_pubsub_subscribe(A(ps), A(topic));
    weft_spawn(dispatches_and_fails, A(x), .monitor = &down);
    check_term(await_down(down), A(dispatcher_failed));
    expect_message(A(news));
    expect_no_message(weft_any);
}

/* -- what users trip over ------------------------------------------------------------------------------ */

static char logged[256];

static void catches(const weft_log_record *record, void *arg)
{
    (void)arg;
    snprintf(logged, sizeof logged, "%s", record->text);
}

PROCESS_TEST(a_second_subscription_and_a_broadcast_to_nobody_are_logged_for_debugging)
{
    start(1);
    weft_log_set_handler(catches, NULL, NULL);
    weft_log_set_level(WEFT_LOG_DEBUG);
    weft_pubsub_subscribe(A(ps), A(topic), .metadata = A(m));
    weft_pubsub_subscribe(A(ps), A(topic), .metadata = A(n));
    check(strstr(logged, "subscribed twice") == NULL);
    weft_pubsub_subscribe(A(ps), A(topic), .metadata = A(m));
    check_has(logged, "subscribed twice");
    weft_pubsub_broadcast(A(ps), A(tpoic), A(news));
    check_has(logged, "broadcast to :tpoic of :ps: nobody is subscribed");
    weft_log_set_level(WEFT_LOG_INFO);
    weft_log_set_handler(NULL, NULL, NULL);
}

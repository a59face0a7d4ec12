/* pubsub_load_test.c - subscribers and messages that come and go: what is freed, and when;
 * many at once; the rows that hold them. */
#include "otp/pubsub_test.h"

#include <pthread.h>

#include "otp/partition_test.h"
#include "weft/registry.h"
#include "weft/supervisor.h"

/* -- life cycle and load --------------------------------------------------------------------------- */

PROCESS_TEST(subscribers_go_with_the_table_and_subscribe_anew, "PS-22")
{
    weft_pid pubsub = start(1), partition = partition_of(pubsub, 0), plain = subscriber(A(topic));
    weft_pid trapping = puppet_start_trapping();
    weft_ref down = weft_monitor(plain), partition_down = weft_monitor(partition);

    ask(trapping, do_subscribe, A(topic));
    weft_kill(partition);
    check_term(await_down(down), A(killed));
    check_term(ask(trapping, do_await_exit, A(x)), weft_tuple(partition, A(killed)));
    await_down(partition_down); /* all links have their signals (PROC-72), its supervisor too */
    weft_supervisor_which_children(pubsub); /* it has restarted it by now */
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(lost)), 0);
    ask(trapping, do_subscribe, A(topic));
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 1);
    check_term(ask(trapping, do_take, A(x)), A(news));
    check_topics();
    puppet_stop(trapping);
}

static _Atomic int n_destroyed;

static void counts_destroyed(void *object)
{
    (void)object;
    atomic_fetch_add(&n_destroyed, 1);
}

static const weft_native_type counted_type = {.name = "counted", .destroy = counts_destroyed};

/* The address at which the text of the oldest message lies, as an integer. */
static weft_term do_look_at_text(weft_term arg)
{
    weft_term message;

    (void)arg;
    if (!weft_receive(weft_any, BOUND_MS, &message) || strcmp(weft_text(weft_tuple_at(message, 1)), "the text") != 0)
        return A(none);
    return weft_int((int64_t)(intptr_t)weft_text(weft_tuple_at(message, 1)));
}

PROCESS_TEST(a_message_is_stored_once_and_freed_when_the_last_has_dropped_it, "PS-23")
{
    enum { N = 150 };
    weft_pid subscribers[N], last;
    weft_term at = weft_none;
    int n = scaled(N) < 70 ? 70 : scaled(N); /* more than a batch */

    start(2);
    for (int i = 0; i < n; i++)
        subscribers[i] = subscriber(A(topic));
    last = subscriber(A(topic));
    {
        WEFT_SCOPE;
        check_int(weft_pubsub_broadcast(A(ps), A(topic), weft_tuple(weft_native(&counted_type, &n_destroyed),
                                                                    weft_str("the text"))), n + 1);
    }
    for (int i = 0; i < n; i++) {
        weft_term seen = ask(subscribers[i], do_look_at_text, A(x));

        check(weft_is_int(seen));
        if (i > 0)
            check_term(seen, at);
        at = seen;
    }
    check_int(atomic_load(&n_destroyed), 0);
    check_term(ask(last, do_look_at_text, A(x)), at);
    ask(last, do_nothing, A(x)); /* the turn is over in which it received */
    await_count(&n_destroyed, 1);
    check_int(atomic_load(&n_destroyed), 1);
}

static weft_term do_keep(weft_term arg)
{
    weft_term message;

    (void)arg;
    return weft_receive(weft_any, BOUND_MS, &message) ? weft_keep(message) : A(nothing);
}

PROCESS_TEST(what_a_receiver_keeps_outlives_the_message, "PS-23")
{
    weft_pid keeps, drops;
    weft_term kept;

    start(1);
    keeps = subscriber(A(topic));
    drops = subscriber(A(topic));
    {
        WEFT_SCOPE;
        weft_pubsub_broadcast(A(ps), A(topic), weft_tuple(weft_native(&counted_type, &n_destroyed), weft_str("text")));
    }
    kept = ask(keeps, do_keep, A(x));
    check_term(weft_tuple_at(kept, 1), weft_str("text"));
    ask(drops, do_take, A(x));
    puppet_stop(drops);
    check_int(atomic_load(&n_destroyed), 0);
    puppet_stop(keeps);
    check_int(atomic_load(&n_destroyed), 0); /* it is in the answer */
}

/* Of nobody who receives it. */
PROCESS_TEST(a_message_that_nobody_receives_is_freed, "PS-23")
{
    weft_pid puppet;

    start(1);
    {
        WEFT_SCOPE;
        check_int(weft_pubsub_broadcast(A(ps), A(topic), weft_native(&counted_type, &n_destroyed)), 0);
    }
    check_int(atomic_load(&n_destroyed), 1);
    puppet = subscriber(A(topic));
    {
        WEFT_SCOPE;
        check_int(weft_pubsub_broadcast(A(ps), A(topic), weft_native(&counted_type, &n_destroyed)), 1);
    }
    check_int(atomic_load(&n_destroyed), 1);
    puppet_stop(puppet);
    await_count(&n_destroyed, 2); /* the mailbox goes after the DOWN */
    check_int(atomic_load(&n_destroyed), 2);
}

static _Atomic int holds, lets_go;

static void *holds_lock(void *part)
{
    weft__spin_acquire(&((struct weft__part *)part)->lock);
    atomic_store(&holds, 1);
    spin_until(&lets_go, 1);
    weft__spin_release(&((struct weft__part *)part)->lock);
    return NULL;
}

PROCESS_TEST(a_broadcast_takes_no_lock_of_subscribers, "PS-24")
{
    const struct weft__registry *pubsub;
    pthread_t thread;

    start(1);
    pubsub = weft__pubsub_find(A(ps));
    weft_pubsub_subscribe(A(ps), A(topic));
    check_int(pthread_create(&thread, NULL, holds_lock, pubsub->parts[0]), 0);
    spin_until(&holds, 1);
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 1);
    check_int(weft_pubsub_broadcast(A(ps), A(another), A(news)), 0);
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 1);
    atomic_store(&lets_go, 1);
    pthread_join(thread, NULL);
    expect_message(A(news));
}

PROCESS_TEST(subscribers_are_counted, "PS-25")
{
    weft_pid other;

    start(3);
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 0);
    weft_pubsub_subscribe(A(ps), A(topic));
    weft_pubsub_subscribe(A(ps), A(topic));
    other = subscriber(A(topic));
    subscriber(A(another));
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 3);
    puppet_stop(other);
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 2);
    check_int(weft_registry_count(A(ps)), 3);
}

static struct weft_pubsub_event last_event;
static int n_events;

static void notes_event(const struct weft_pubsub_event *event)
{
    last_event = *event;
    last_event.topic = weft_keep(event->topic);
    n_events++;
}

PROCESS_TEST(telemetry_tells_of_each_broadcast, "PS-25")
{
    int n_called = 0;

    weft_must(weft_pubsub_start_link(.name = A(ps), .telemetry = notes_event));
    weft_pubsub_subscribe(A(ps), weft_str("topic"));
    weft_pubsub_subscribe(A(ps), weft_str("topic"));
    weft_pubsub_broadcast(A(ps), weft_str("topic"), A(news));
    check_int(n_events, 1);
    check_term(last_event.pubsub, A(ps));
    check_term(last_event.topic, weft_str("topic"));
    check_int(last_event.n_reached, 2);
    check(last_event.duration_ns > 0 && last_event.duration_ns < INT64_C(1000000) * BOUND_MS);
    weft_pubsub_broadcast(A(ps), weft_str("another"), A(news));
    check_int(n_events, 2);
    check_int(last_event.n_reached, 0);
    weft_pubsub_dispatch(A(ps), weft_none, weft_str("topic"), A(news), sends_with_metadata, &n_called);
    check_int(n_events, 3);
    check_term(last_event.topic, weft_str("topic"));
    check_int(last_event.n_reached, 0);
}

static _Atomic int n_turns;
static _Atomic bool is_over;

static weft_term takes_turns(weft_term arg)
{
    while (!atomic_load(&is_over)) {
        atomic_fetch_add(&n_turns, 1);
        weft_yield();
    }
    return arg;
}

static weft_term broadcasts_to_many(weft_term arg)
{
    enum { N = 20000 };
    int before;

    start(1);
    for (int i = 0; i < N; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    weft_spawn(takes_turns, A(x));
    await_count(&n_turns, 1);
    before = atomic_load(&n_turns);
    check_int(weft_pubsub_broadcast(A(ps), A(topic), A(news)), N);
    check(atomic_load(&n_turns) - before >= 4);
    atomic_store(&is_over, true);
    return arg;
}

TEST(others_have_turns_during_a_long_broadcast, "PS-26")
{
    run_in_runtime(broadcasts_to_many, .workers = 1);
}

/* {test, stays}: counts its messages until it is asked, or leaves when it is told. */
static weft_term stays_or_leaves(weft_term arg)
{
    int64_t n = 0;

    weft_pubsub_subscribe(A(ps), A(topic));
    weft_send(weft_tuple_at(arg, 0), A(subscribed));
    weft_receive(A(look), WEFT_INFINITY, NULL);
    if (!weft_to_bool(weft_tuple_at(arg, 1)))
        return A(ok); /* and is out of the topic */
    while (weft_receive(A(news), 0, NULL))
        n++;
    weft_send(weft_tuple_at(arg, 0), weft_tuple(A(got), weft_int(n)));
    return A(ok);
}

/* Rows have 2, 8, 32 and then 62 seats, and a turn ends behind the 64th of them. That one
 * and the next are of processes of which most leave during the first turn of the others,
 * so the two become one, half of which was served. The other seats are the caller's own. */
enum { N_BEFORE = 2 + 8 + 32 + 60 * 62, N_AROUND = 2 * 62, N_AFTER = 500 };

static weft_term broadcasts_to_ever_fewer(weft_term arg)
{
    weft_pid pids[N_AROUND];
    int n = 0;

    start(1);
    for (int i = 0; i < N_BEFORE; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    for (int i = 0; i < N_AROUND; i++) {
        pids[i] = weft_spawn(stays_or_leaves, weft_tuple(weft_self(), weft_bool(i % 8 == 0)));
        expect_message(A(subscribed));
    }
    for (int i = 0; i < N_AFTER; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    for (int i = 0; i < N_AROUND; i++)
        if (i % 8 != 0)
            weft_send(pids[i], A(look));
    weft_pubsub_broadcast(A(ps), A(topic), A(news));
    for (int i = 0; i < N_AROUND; i += 8) {
        weft_send(pids[i], A(look));
        check_term(expect_message(weft_tuple(A(got), weft_any)), weft_tuple(A(got), weft_int(1)));
    }
    while (weft_receive(A(news), 0, NULL))
        n++;
    check_int(n, N_BEFORE + N_AFTER);
    return arg;
}

TEST(who_stays_while_others_leave_gets_a_broadcast_once, "PS-14 PS-17")
{
    run_in_runtime(broadcasts_to_ever_fewer, .workers = 1);
}

static weft_term subscribes_at_every_message(weft_term test)
{
    weft_pubsub_subscribe(A(ps), A(topic));
    weft_send(test, A(subscribed));
    for (;;) {
        weft_receive(A(news), WEFT_INFINITY, NULL);
        weft_pubsub_subscribe(A(ps), A(topic));
    }
    return test;
}

/* Each send makes one more subscription, at the end of the topic. */
static weft_term broadcasts_to_ever_more(weft_term arg)
{
    enum { N = 6000 };

    start(1);
    for (int i = 0; i < N; i++) {
        weft_spawn(subscribes_at_every_message, weft_self());
        expect_message(A(subscribed));
    }
    check_uint(weft_pubsub_broadcast(A(ps), A(topic), A(news)), N);
    return arg;
}

TEST(a_broadcast_ends_whoever_subscribes_meanwhile, "PS-17")
{
    run_in_runtime(broadcasts_to_ever_more, .workers = 1);
}

static weft_term is_killed_in_a_broadcast(weft_term arg)
{
    for (;;) {
        WEFT_SCOPE;

        weft_pubsub_broadcast(A(ps), A(topic), weft_native(&counted_type, &n_destroyed));
    }
    return arg;
}

static weft_term do_subscribe_many(weft_term n)
{
    for (int64_t i = 0; i < weft_to_int(n); i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    return A(ok);
}

PROCESS_TEST(who_is_killed_in_a_broadcast_leaves_nothing, "PS-26")
{
    start(1);
    for (int i = 0; i < scaled(40); i++) {
        weft_pid puppet = puppet_start(), killed;
        int before = atomic_load(&n_destroyed);

        ask(puppet, do_subscribe_many, weft_int(8000));
        killed = weft_spawn(is_killed_in_a_broadcast, A(x));
        pass_time(i * 40);
        weft_kill(killed);
        await_end(killed);
        puppet_stop(puppet);
        check(atomic_load(&n_destroyed) >= before);
    }
    /* Each that was made is gone: the sanitizer would tell of those that are not. */
    check_int(weft_pubsub_subscribers(A(ps), A(topic)), 0);
}

static void broadcasts_in_defer(void *arg)
{
    (void)arg;
    weft_pubsub_broadcast(A(ps), A(topic), A(last_words));
}

static weft_term has_last_words(weft_term arg)
{
    weft_defer(broadcasts_in_defer, NULL);
    return arg;
}

PROCESS_TEST(a_defer_may_broadcast)
{
    start(1);
    for (int i = 0; i < 1000; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    weft_spawn(has_last_words, A(x));
    for (int i = 0; i < 1000; i++)
        expect_message(A(last_words));
}

static size_t n_reached;

static void *broadcasts_as_guest(void *arg)
{
    (void)arg;
    check_int(weft_pubsub_try_broadcast(A(ps), A(topic), weft_tuple(A(news), weft_str("text")), &n_reached), 0);
    check_int(weft_pubsub_try_broadcast(A(nowhere), A(topic), A(news), NULL), WEFT_ENOENT);
    return NULL;
}

PROCESS_TEST(a_foreign_thread_may_broadcast, "PS-12 PS-18")
{
    pthread_t thread;

    start(1);
    for (int i = 0; i < 5000; i++)
        weft_pubsub_subscribe(A(ps), A(topic));
    check_int(pthread_create(&thread, NULL, broadcasts_as_guest, NULL), 0);
    for (int i = 0; i < 5000; i++)
        expect_message(weft_tuple(A(news), weft_str("text")));
    pthread_join(thread, NULL);
    check_int(n_reached, 5000);
}

/* -- rows ----------------------------------------------------------------------------------------- */

PROCESS_TEST(rows_are_merged_as_subscribers_leave, "PS-8 PS-17")
{
    enum { N = 2000 };
    static weft_pid subscribers[N];
    int n = scaled(N) < 200 ? 200 : scaled(N), left;

    start(1);
    for (int i = 0; i < n; i++)
        subscribers[i] = subscriber(A(topic));
    for (int step = 2; step <= 64; step *= 2) {
        left = 0;
        for (int i = 0; i < n; i++) {
            if (i % step == step / 2)
                puppet_stop(subscribers[i]);
            left += i % step == 0;
        }
        check_topics();
        check_int(weft_pubsub_broadcast(A(ps), A(topic), weft_int(step)), left);
        for (int i = 0; i < n; i += step)
            check_term(ask(subscribers[i], do_take, A(x)), weft_int(step));
    }
}

/* Subscribes, and waits until it is told to look. */
static weft_term subscribes_with_a_bound(weft_term test)
{
    weft_pubsub_subscribe(A(ps), A(topic));
    weft_trap_exit(true);
    weft_send(test, A(subscribed));
    for (int i = 0; i < 2; i++) {
        int64_t n = 0;

        weft_receive(weft_tuple(A(EXIT), weft_any, A(look)), WEFT_INFINITY, NULL);
        while (weft_receive(A(news), 0, NULL))
            n++;
        weft_send(test, weft_tuple(A(got), weft_int(n)));
    }
    return A(ok);
}

PROCESS_TEST(a_subscriber_whose_mailbox_is_full_misses_the_message, "PS-12")
{
    weft_pid subscriber;

    start(1);
    subscriber = weft_spawn(subscribes_with_a_bound, weft_self(), .max_queue = 2);
    expect_message(A(subscribed));
    for (int i = 0; i < 2; i++) { /* what it has received has given its place back */
        check_uint(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 1);
        check_uint(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 1);
        check_uint(weft_pubsub_broadcast(A(ps), A(topic), A(news)), 0);
        weft_exit_signal(subscriber, A(look));
        expect_message(weft_tuple(A(got), weft_int(2)));
    }
}

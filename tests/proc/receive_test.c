/* receive_test.c - receive: which message it takes, when it gives up, and what
 * it costs to wait for one among many. */
#include "proc/process_test.h"

/* Sends {tag, 0}, ... {tag, n - 1}; arg is {to, tag, n}. */
static weft_term do_count_to(weft_term arg)
{
    weft_term to = weft_tuple_at(arg, 0), tag = weft_tuple_at(arg, 1);
    int64_t n = weft_to_int(weft_tuple_at(arg, 2));

    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_send(to, weft_tuple(tag, weft_int(i)));
    }
    return A(ok);
}

/* -- selection ----------------------------------------------------------------------------- */

PROCESS_TEST(receive_takes_the_oldest_message_that_fits_and_leaves_the_rest, "PROC-54")
{
    static const int left[] = { 0, 2, 3, 5, 6, 8, 9 };

    for (int i = 0; i < 10; i++)
        weft_send(weft_self(), weft_tuple(weft_int(i % 3), weft_int(i)));
    check_term(expect_message(weft_tuple(weft_int(1), weft_any)), weft_tuple(weft_int(1), weft_int(1)));
    check_term(expect_message(weft_tuple(weft_int(1), weft_any)), weft_tuple(weft_int(1), weft_int(4)));
    check_term(expect_message(weft_tuple(weft_int(1), weft_any)), weft_tuple(weft_int(1), weft_int(7)));
    check(!weft_receive(weft_tuple(weft_int(1), weft_any), 0, NULL));
    for (size_t i = 0; i < COUNT(left); i++)
        check_term(expect_message(weft_any), weft_tuple(weft_int(left[i] % 3), weft_int(left[i])));
    expect_no_message(weft_any);
}

PROCESS_TEST(messages_that_arrive_during_a_selective_receive_keep_their_order, "PROC-54")
{
    weft_pid sender = puppet_start();
    int n = scaled(10000);

    weft_send(weft_self(), A(oldest));
    tell(sender, do_count_to, weft_tuple(weft_self(), A(n), weft_int(n)));
    /* In the middle of the stream, over and over. */
    for (int i = n - 1; i >= 0; i -= n / 10)
        expect_message(weft_tuple(A(n), weft_int(i)));
    check_term(expect_message(weft_any), A(oldest));
    for (int i = 0; i < n; i++) {
        if ((n - 1 - i) % (n / 10) == 0)
            continue;
        if (!check_term(expect_message(weft_any), weft_tuple(A(n), weft_int(i))))
            return;
    }
}

PROCESS_TEST(a_receive_binds_parts_of_the_message_that_fits)
{
    int64_t number = 0;
    double real = 0;
    bool flag = false;
    const char *text = NULL;
    weft_pid pid = weft_none;
    weft_term rest = weft_none, whole = weft_none;

    weft_send(weft_self(), weft_tuple(A(parts), weft_int(1)));
    weft_send(weft_self(), weft_tuple(A(parts), weft_int(42), weft_float(0.5), A(true), weft_str("text"),
                                      weft_self(), weft_list(weft_int(1))));
    check(weft_receive(weft_tuple(A(parts), weft_bind_int(&number), weft_bind_float(&real), weft_bind_bool(&flag),
                                  weft_bind_text(&text), weft_bind_pid(&pid), weft_bind(&rest)),
                       0, &whole));
    check_int(number, 42);
    check_near(real, 0.5, 0);
    check(flag);
    check_str(text, "text");
    check_term(pid, weft_self());
    check_term(rest, weft_list(weft_int(1)));
    check_int(weft_tuple_size(whole), 7);
    check_int(weft_message_queue_len(), 1);
}

PROCESS_TEST(a_receive_that_times_out_binds_nothing_and_takes_nothing)
{
    int64_t number = 7;
    weft_term out = A(untouched);

    weft_send(weft_self(), weft_tuple(A(parts), weft_int(42), A(no)));
    check(!weft_receive(weft_tuple(A(parts), weft_bind_int(&number), A(yes)), 1, &out));
    check_int(number, 7);
    expect_message(weft_tuple(A(parts), weft_int(42), A(no)));
}

PROCESS_TEST(a_received_term_lives_to_the_end_of_its_scope)
{
    weft_term kept = weft_none;

    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;
        weft_term message;

        weft_send(weft_self(), weft_tuple(A(round), weft_int(i), weft_str("some text that takes memory")));
        message = expect_message(weft_any);
        weft_yield();
        for (int j = 0; j < 10; j++)
            weft_tuple(weft_int(j), weft_str("more text that takes memory"));
        check_term(message, weft_tuple(A(round), weft_int(i), weft_str("some text that takes memory")));
        if (i == 500)
            kept = weft_keep(message);
    }
    check_term(kept, weft_tuple(A(round), weft_int(500), weft_str("some text that takes memory")));
    weft_drop(kept);
}

PROCESS_TEST(the_queue_length_counts_what_waits)
{
    check_uint(weft_message_queue_len(), 0);
    for (int i = 0; i < 10; i++)
        weft_send(weft_self(), weft_int(i));
    weft_receive(A(never), 0, NULL);
    check_uint(weft_message_queue_len(), 10);
    expect_message(weft_int(5));
    check_uint(weft_message_queue_len(), 9);
}

/* -- receive_each ------------------------------------------------------------------------------ */

PROCESS_TEST(receive_each_takes_messages_in_order_until_break)
{
    int64_t next = 0;

    for (int i = 0; i < 10; i++)
        weft_send(weft_self(), weft_int(i));
    weft_receive_each (message) {
        check_int(weft_to_int(message), next);
        next++;
        if (next == 3)
            continue;
        if (next == 7)
            break;
    }
    check_int(next, 7);
    check_term(expect_message(weft_any), weft_int(7));
}

static int64_t sum_until_negative(void)
{
    int64_t sum = 0;

    weft_receive_each (message) {
        WEFT_SCOPE;
        int64_t number = weft_to_int(weft_tuple_at(message, 0));

        weft_tuple(weft_str("garbage"), message);
        if (number < 0)
            return sum;
        sum += number;
    }
    return -1;
}

PROCESS_TEST(receive_each_can_be_left_by_return)
{
    for (int i = 0; i < 1000; i++)
        weft_send(weft_self(), weft_tuple(weft_int(i), weft_str("beside it")));
    weft_send(weft_self(), weft_tuple(weft_int(-1)));
    weft_send(weft_self(), A(left));
    check_int(sum_until_negative(), 999 * 1000 / 2);
    check_term(expect_message(weft_any), A(left));
}

static _Atomic int n_each;

static weft_term counts_each(weft_term arg)
{
    (void)arg;
    weft_receive_each (message) {
        atomic_fetch_add(&n_each, 1);
        if (weft_eq(message, A(stop)))
            break;
    }
    return A(ok);
}

PROCESS_TEST(receive_each_waits_for_messages_that_come_later)
{
    weft_pid counter = weft_spawn(counts_each, weft_none);

    for (int i = 1; i <= 100; i++) {
        weft_send(counter, weft_int(i));
        await_count(&n_each, i);
    }
    weft_send(counter, A(stop));
    await_end(counter);
}

/* -- timeouts ------------------------------------------------------------------------------------ */

PROCESS_TEST(a_timeout_of_zero_looks_once_and_is_over, "PROC-55")
{
    for (int i = 0; i < 1000; i++)
        weft_send(weft_self(), weft_int(i));
    check(!weft_receive(A(never), 0, NULL));
    check(weft_receive(weft_int(999), 0, NULL));
    check(weft_receive(weft_int(0), 0, NULL));
    check(!weft_receive(weft_int(0), 0, NULL));
}

static _Atomic int may_stop_flooding;

/* Sends :noise as fast as it can, within what memory there is. */
static weft_term makes_noise(weft_term to)
{
    for (int i = 0; i < scaled(500000) && atomic_load(&may_stop_flooding) == 0; i++) {
        weft_send(to, A(noise));
        weft_checkpoint();
    }
    return A(ok);
}

PROCESS_TEST(messages_that_keep_arriving_do_not_delay_a_timeout_of_zero, "PROC-55")
{
    weft_pid noisy = puppet_start(), noisy_too = puppet_start();
    int64_t began;

    tell(noisy, makes_noise, weft_self());
    tell(noisy_too, makes_noise, weft_self());
    expect_message(A(noise));
    for (int i = 0; i < 20; i++) {
        began = now_ms();
        check(!weft_receive(A(never), 0, NULL));
        check_lt(now_ms() - began, BOUND_MS / 2);
    }
    atomic_store(&may_stop_flooding, 1);
    puppet_stop(noisy);
    puppet_stop(noisy_too);
}

PROCESS_TEST(a_receive_never_times_out_early, "PROC-56")
{
    static const int64_t times_ms[] = { 1, 2, 3, 5, 10, 17, 50, 100, 250 };

    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT(times_ms); i++) {
            int64_t began = now_ns();

            check(!weft_receive(A(never), times_ms[i], NULL));
            check_ge(now_ns() - began, times_ms[i] * 1000000);
        }
}

static weft_term checks_its_timeouts(weft_term arg)
{
    for (int64_t ms = 1; ms <= 20; ms++) {
        int64_t began = now_ns();

        check(!weft_receive(A(never), ms, NULL));
        check_ge(now_ns() - began, ms * 1000000);
    }
    return arg;
}

PROCESS_TEST(many_receives_time_out_side_by_side_and_none_early, "PROC-56")
{
    enum { N = 200 };
    weft_ref downs[N];

    for (int i = 0; i < N; i++)
        weft_spawn(checks_its_timeouts, weft_none, .monitor = &downs[i]);
    for (int i = 0; i < N; i++)
        check_term(await_down(downs[i]), A(normal));
}

/* Sends :noise every two milliseconds. */
static weft_term makes_noise_slowly(weft_term to)
{
    while (atomic_load(&may_stop_flooding) == 0) {
        weft_send(to, A(noise));
        weft_sleep(2);
    }
    return A(ok);
}

PROCESS_TEST(messages_that_do_not_fit_do_not_start_a_timeout_again, "PROC-56")
{
    weft_pid noisy = puppet_start();
    int64_t began;

    tell(noisy, makes_noise_slowly, weft_self());
    expect_message(A(noise));
    began = now_ms();
    check(!weft_receive(A(never), 100, NULL));
    check_ge(now_ms() - began, 100);
    check_lt(now_ms() - began, BOUND_MS / 2);
    atomic_store(&may_stop_flooding, 1);
    puppet_stop(noisy);
}

struct looked_through {
    _Atomic int n_turns; /* of another process, meanwhile */
    _Atomic int is_over;
};

static weft_term counts_turns(weft_term arg)
{
    struct looked_through *test = weft_to_pointer(arg);

    while (atomic_load(&test->is_over) == 0) {
        atomic_fetch_add(&test->n_turns, 1);
        weft_yield();
    }
    return A(ok);
}

/* On the one worker there is: twenty thousand messages, to look at each takes
 * ten microseconds. */
static weft_term looks_through_a_long_mailbox(weft_term arg)
{
    static char noise[200000];
    struct looked_through test = {0, 0};
    weft_term message = weft_bin(noise, sizeof noise), never;
    weft_ref down;
    int n_before;

    for (int i = 0; i < 20000; i++)
        weft_send(weft_self(), message);
    noise[sizeof noise - 1] = 1;
    never = weft_bin(noise, sizeof noise);
    weft_spawn(counts_turns, weft_pointer(&test), .monitor = &down);
    weft_yield();
    n_before = atomic_load(&test.n_turns);
    check(!weft_receive(never, 0, NULL));
    check_gt(atomic_load(&test.n_turns), n_before + 3);
    atomic_store(&test.is_over, 1);
    await_down(down);
    return arg;
}

TEST(who_looks_through_a_long_mailbox_gives_way_to_others, "PROC-54")
{
    run_in_runtime(looks_through_a_long_mailbox, .workers = 1);
}

static weft_term do_receive_for(weft_term timeout_ms)
{
    weft_term message = weft_none;

    if (!weft_receive(weft_tuple(A(awaited), weft_any), weft_to_int(timeout_ms), &message))
        return A(timed_out);
    return message;
}

PROCESS_TEST(a_timeout_may_be_any_number_of_milliseconds, "PROC-56")
{
    static const int64_t times_ms[] = {
        3600000, INT32_MAX, (int64_t)INT32_MAX + 1, UINT32_MAX, (int64_t)UINT32_MAX + 1, INT64_MAX / 1000000,
        INT64_MAX / 1000000 + 1, INT64_MAX / 1000, INT64_MAX / 2, INT64_MAX - 1, WEFT_INFINITY,
    };

    for (size_t i = 0; i < COUNT(times_ms); i++) {
        WEFT_SCOPE;
        weft_pid receiver = puppet_start();
        weft_ref ref = weft_monitor(receiver);

        /* Asked by hand: the answer must not come before the message. */
        weft_send(receiver, weft_tuple(A(puppet), weft_self(), ref, weft_pointer((const void *)do_receive_for),
                                       weft_int(times_ms[i])));
        expect_no_message(weft_any);
        weft_send(receiver, weft_tuple(A(awaited), weft_int((int64_t)i)));
        expect_message(weft_tuple(A(done), ref, A(process), receiver,
                                  weft_tuple(A(awaited), weft_int((int64_t)i))));
        weft_demonitor(ref, true);
    }
}

PROCESS_TEST(a_message_ends_a_receive_long_before_its_timeout)
{
    weft_pid echo = puppet_start();
    int64_t began = now_ms();

    tell(echo, do_send, weft_tuple(weft_self(), A(here)));
    check(weft_receive(A(here), 3600000, NULL));
    check_lt(now_ms() - began, BOUND_MS);
}

/* Sends one numbered message after another, with pauses that drift against the
 * receiver's timeouts. */
static weft_term sends_at_odd_times(weft_term arg)
{
    weft_pid to = weft_tuple_at(arg, 0);
    int64_t n = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;
        int64_t until = now_ns() + 900000 + (i * 37) % 200 * 1000;

        while (now_ns() < until)
            weft_yield();
        weft_send(to, weft_tuple(A(number), weft_int(i)));
    }
    return A(ok);
}

PROCESS_TEST(a_message_that_meets_a_timeout_is_neither_lost_nor_doubled, "PROC-58")
{
    int64_t n = SHARE == 1 ? 2000 : 300, next = 0, n_timeouts = 0;

    weft_spawn(sends_at_odd_times, weft_tuple(weft_self(), weft_int(n)));
    for (int64_t until = now_ms() + BOUND_MS * 3; next < n && now_ms() < until;) {
        WEFT_SCOPE;
        int64_t number = -1;

        if (!weft_receive(weft_tuple(A(number), weft_bind_int(&number)), 1, NULL)) {
            n_timeouts++;
            continue;
        }
        if (!check_int(number, next))
            return;
        next++;
    }
    check_int(next, n);
    expect_no_message(weft_any);
    diag("%lld messages met %lld timeouts", (long long)n, (long long)n_timeouts);
}

/* -- the cost of waiting for a reply -------------------------------------------------------------- */

static weft_term answers_requests(weft_term arg)
{
    weft_receive_each (message) {
        weft_term from, ref;

        if (!weft_match(message, weft_tuple(weft_bind(&from), weft_bind(&ref))))
            break;
        weft_send(from, weft_tuple(ref, A(answer)));
    }
    return arg;
}

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The median time of a request and its reply, in nanoseconds. */
static int64_t request_time_ns(weft_pid server, bool by_monitor)
{
    enum { N = 1001 };
    int64_t *times = weft_alloc(N * sizeof *times), median;

    for (int i = 0; i < N; i++) {
        WEFT_SCOPE;
        int64_t began = now_ns();
        weft_ref ref = by_monitor ? weft_monitor(server) : weft_make_ref();

        weft_send(server, weft_tuple(weft_self(), ref));
        expect_message(weft_tuple(ref, weft_any));
        if (by_monitor)
            weft_demonitor(ref, true);
        times[i] = now_ns() - began;
    }
    qsort(times, N, sizeof *times, compare_times);
    median = times[N / 2];
    weft_free(times);
    return median;
}

/* On one worker: a request that has to wake another kernel thread costs what the
 * machine makes of it. */
static weft_term requests_with_many_in_the_way(weft_term arg)
{
    weft_pid server = weft_spawn(answers_requests, weft_none);
    int n = scaled(500000);
    int64_t empty_ns, empty_monitor_ns, full_ns, full_monitor_ns;

    empty_ns = request_time_ns(server, false);
    empty_monitor_ns = request_time_ns(server, true);
    do_count_to(weft_tuple(weft_self(), A(unrelated), weft_int(n)));
    full_ns = request_time_ns(server, false);
    full_monitor_ns = request_time_ns(server, true);

    diag("with a reference: %lld ns empty, %lld ns with %d messages", (long long)empty_ns, (long long)full_ns, n);
    diag("with a monitor: %lld ns empty, %lld ns", (long long)empty_monitor_ns, (long long)full_monitor_ns);
    check_lt(full_ns, empty_ns * 10);
    check_lt(full_monitor_ns, empty_monitor_ns * 10);
    check_int(weft_message_queue_len(), n);
    check_term(expect_message(weft_any), weft_tuple(A(unrelated), weft_int(0)));
    return arg;
}

TEST_WITH(a_request_costs_the_same_with_500000_messages_in_the_way, .rules = "PROC-57", .deadline_s = 120)
{
    run_in_runtime(requests_with_many_in_the_way, .workers = 1);
}

PROCESS_TEST(a_reference_that_was_in_an_older_message_is_still_found, "PROC-57 PROC-54")
{
    weft_ref ref = weft_make_ref(), newer;

    /* The mark for `newer` must not hide what came for `ref` before it. */
    weft_send(weft_self(), weft_tuple(ref, A(early)));
    newer = weft_make_ref();
    check(!weft_receive(weft_tuple(newer, weft_any), 0, NULL));
    check(weft_receive(weft_tuple(ref, A(early)), 0, NULL));
    weft_send(weft_self(), weft_tuple(A(tag), newer));
    check(weft_receive(weft_tuple(weft_any, newer), 0, NULL));
}

PROCESS_TEST(references_of_two_requests_under_way_find_their_replies, "PROC-57 PROC-54")
{
    weft_pid server = weft_spawn(answers_requests, weft_none);

    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;
        weft_ref first, second;

        first = weft_make_ref();
        weft_send(server, weft_tuple(weft_self(), first));
        weft_send(weft_self(), A(between));
        second = weft_make_ref();
        weft_send(server, weft_tuple(weft_self(), second));
        expect_message(weft_tuple(i % 2 == 0 ? second : first, weft_any));
        expect_message(weft_tuple(i % 2 == 0 ? first : second, weft_any));
        expect_message(A(between));
    }
    expect_no_message(weft_any);
}

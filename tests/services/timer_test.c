/* timer_test.c - timers of processes: weft/timer.h, rules PROC-59 to PROC-66. */
#include "proc/process_test.h"
#include "sched/places.h"
#include "services/timer.h"
#include "weft/timer.h"

#include <pthread.h>
#include <sys/resource.h>

/* Long after any test is over. */
enum { NEVER_MS = 3600 * 1000 };

/* -- setting --------------------------------------------------------------------- */

PROCESS_TEST(a_message_comes_once_and_never_early, "PROC-59")
{
    for (int ms = 0; ms < 8; ms++) {
        int64_t begin = now_ns();

        check(weft_is_ref(weft_send_after(weft_self(), weft_int(ms), ms)));
        expect_message(weft_int(ms));
        check_ge(now_ns() - begin, (int64_t)ms * 1000000);
    }
    expect_no_message(weft_any);
    check_uint(weft__timers_count(), 0);
}

static weft_term sends_with_negative_time(weft_term arg)
{
    weft_send_after(weft_self(), arg, -1);
    return arg;
}

static weft_term starts_with_negative_time(weft_term arg)
{
    weft_start_timer(weft_self(), arg, -1);
    return arg;
}

static weft_term sends_to_an_integer(weft_term arg)
{
    weft_send_after(weft_int(5), arg, 1);
    return arg;
}

static weft_term sends_a_pattern(weft_term arg)
{
    weft_send_after(weft_self(), weft_tuple(weft_int(1), weft_any), 1);
    return arg;
}

static weft_term sends_nothing(weft_term arg)
{
    weft_send_after(weft_self(), weft_none, 1);
    return arg;
}

static weft_term cancels_an_atom(weft_term arg)
{
    weft_cancel_timer(arg);
    return arg;
}

static weft_term reads_an_atom(weft_term arg)
{
    weft_read_timer(arg);
    return arg;
}

PROCESS_TEST(mistakes_end_the_caller_with_words, "PROC-59")
{
    static const struct {
        weft_fn *fn;
        const char *words;
    } mistakes[] = {
        {sends_with_negative_time, "weft_send_after: a negative time"},
        {starts_with_negative_time, "weft_start_timer: a negative time"},
        {sends_to_an_integer, "weft_send_after: the destination is neither"},
        {sends_a_pattern, "weft_any"},
        {sends_nothing, "weft_none"},
        {cancels_an_atom, "weft_cancel_timer: not a reference"},
        {reads_an_atom, "weft_read_timer: not a reference"},
    };

    for (size_t i = 0; i < COUNT(mistakes); i++) {
        weft_ref down;
        weft_term reason;

        weft_spawn(mistakes[i].fn, A(x), .monitor = &down);
        reason = await_down(down);
        check_has(weft_inspect(reason), "badarg");
        check_has(weft_inspect(reason), mistakes[i].words);
    }
    check_uint(weft__timers_count(), 0);
}

PROCESS_TEST(a_moment_that_is_past_comes_at_once, "PROC-59")
{
    weft_send_after(weft_self(), A(past), weft_monotonic_ms() - 1000, .abs = true);
    weft_send_after(weft_self(), A(before_all_time), -5, .abs = true);
    expect_message(A(past));
    expect_message(A(before_all_time));
}

PROCESS_TEST(a_moment_is_not_early, "PROC-59")
{
    int64_t moment = weft_monotonic_ms() + 5;

    weft_send_after(weft_self(), A(now), moment, .abs = true);
    expect_message(A(now));
    check_ge(weft_monotonic_ms(), moment);
}

PROCESS_TEST(a_started_timer_says_which_it_is, "PROC-60")
{
    weft_ref first = weft_start_timer(weft_self(), A(hello), 1);
    weft_ref second = weft_start_timer(weft_self(), weft_list(weft_int(1), weft_str("two")), 1);

    expect_message(weft_tuple(A(timeout), second, weft_list(weft_int(1), weft_str("two"))));
    expect_message(weft_tuple(A(timeout), first, A(hello)));
}

PROCESS_TEST(large_binaries_go_along_and_are_given_back)
{
    static char large[5000] = "large";
    weft_term bin = weft_bin(large, sizeof large), got = weft_none;
    weft_ref ref = weft_send_after(weft_self(), weft_tuple(A(drop), bin), NEVER_MS);

    weft_send_after(weft_self(), weft_tuple(A(take), bin, bin), 1);
    expect_message(weft_tuple(A(take), weft_bind(&got), weft_any));
    check_term(got, bin);
    check_gt(weft_cancel_timer(ref), 0);
}

/* -- cancelling -------------------------------------------------------------------- */

PROCESS_TEST(cancel_gives_the_time_left_and_then_nothing_comes, "PROC-61")
{
    weft_ref ref = weft_send_after(weft_self(), A(late), NEVER_MS);
    int64_t left = weft_cancel_timer(ref);

    check_le(left, NEVER_MS);
    check_gt(left, NEVER_MS - BOUND_MS);
    check_int(weft_cancel_timer(ref), -1);
    ref = weft_send_after(weft_self(), A(late), 5);
    if (weft_cancel_timer(ref) >= 0)
        expect_no_message(A(late));
    else /* five milliseconds have passed */
        expect_message(A(late));
}

PROCESS_TEST(cancel_says_false_when_it_fired_or_never_was, "PROC-61")
{
    weft_ref ref = weft_send_after(weft_self(), A(now), 0);

    expect_message(A(now));
    check_int(weft_cancel_timer(ref), -1);
    check_int(weft_cancel_timer(weft_make_ref()), -1);
    check_int(weft_read_timer(weft_make_ref()), -1);
}

static weft_term do_cancel(weft_term ref)
{
    return weft_int(weft_cancel_timer(ref));
}

static weft_term do_send_after_to_me(weft_term ms)
{
    return weft_send_after(weft_self(), A(tick), weft_to_int(ms));
}

/* {dest, message, ms} */
static weft_term do_send_after(weft_term arg)
{
    return weft_send_after(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), weft_to_int(weft_tuple_at(arg, 2)));
}

PROCESS_TEST(any_process_may_cancel, "PROC-61")
{
    weft_pid puppet = puppet_start();
    weft_ref mine = weft_send_after(weft_self(), A(late), NEVER_MS);
    weft_ref theirs = ask(puppet, do_send_after_to_me, weft_int(NEVER_MS));

    check_gt(weft_to_int(ask(puppet, do_cancel, mine)), 0);
    check_gt(weft_cancel_timer(theirs), 0);
    check_int(weft_read_timer(mine), -1);
    check_int(weft_read_timer(theirs), -1);
}

PROCESS_TEST(false_to_the_destination_means_the_message_is_there, "PROC-62")
{
    int n_rounds = scaled(20000), n_false = 0;

    for (int i = 0; i < n_rounds; i++) {
        weft_ref ref = weft_send_after(weft_self(), weft_int(i), 0);

        for (int spin = i % 512; spin > 0; spin--)
            weft_checkpoint();
        if (i % 3 == 0)
            weft_yield();
        if (weft_cancel_timer(ref) >= 0)
            continue;
        n_false++;
        if (!check(weft_receive(weft_int(i), 0, NULL)))
            break;
    }
    check(!weft_receive(weft_any, 0, NULL));
    check_uint(weft__timers_count(), 0);
    diag("%d of %d had fired", n_false, n_rounds);
}

PROCESS_TEST(an_async_cancel_answers_by_message, "PROC-63")
{
    weft_ref ref = weft_send_after(weft_self(), A(late), NEVER_MS), fired;
    int64_t left = -1;

    check_int(weft_cancel_timer(ref, .async = true), 0);
    expect_message(weft_tuple(A(cancel_timer), ref, weft_bind_int(&left)));
    check_gt(left, 0);
    check_int(weft_cancel_timer(ref, .async = true), 0);
    expect_message(weft_tuple(A(cancel_timer), ref, weft_bool(false)));

    fired = weft_send_after(weft_self(), A(late), NEVER_MS);
    check_int(weft_cancel_timer(fired, .async = true, .info = false), 0);
    check_int(weft_cancel_timer(fired, .info = false), 0);
    check_int(weft_read_timer(fired), -1);
    expect_no_message(weft_any);
}

PROCESS_TEST(reading_changes_nothing, "PROC-64")
{
    weft_ref ref = weft_send_after(weft_self(), A(soon), 20);
    int64_t left = weft_read_timer(ref);

    check_ge(left, -1); /* it has come by now, where the machine stood still */
    check_le(left, 20);
    expect_message(A(soon));
    check_int(weft_read_timer(ref), -1);
    ref = weft_send_after(weft_self(), A(far), NEVER_MS);
    check_gt(weft_read_timer(ref), NEVER_MS - BOUND_MS);
    check_gt(weft_read_timer(ref), 0);
    check_gt(weft_cancel_timer(ref), 0);
}

PROCESS_TEST(times_beyond_all_bounds_just_never_come)
{
    weft_ref ref = weft_send_after(weft_self(), A(never), WEFT_INFINITY);

    check_gt(weft_read_timer(ref), NEVER_MS);
    check_gt(weft_cancel_timer(ref), NEVER_MS);
    ref = weft_send_after(weft_self(), A(never), INT64_MAX / 1000000, .abs = true);
    check_gt(weft_cancel_timer(ref), NEVER_MS);
}

/* -- ends --------------------------------------------------------------------------- */

PROCESS_TEST(a_timer_to_a_pid_is_gone_with_its_process, "PROC-65")
{
    weft_pid puppet = puppet_start();
    weft_ref own = ask(puppet, do_send_after_to_me, weft_int(NEVER_MS));
    weft_ref mine = weft_send_after(puppet, A(late), NEVER_MS);
    weft_ref again = weft_send_after(puppet, A(late), NEVER_MS);

    check_gt(weft_read_timer(own), 0);
    check_gt(weft_read_timer(mine), 0);
    weft_kill(puppet);
    await_end(puppet);
    check_int(weft_read_timer(own), -1);
    check_int(weft_read_timer(mine), -1);
    check_int(weft_cancel_timer(own), -1);
    check_int(weft_cancel_timer(mine), -1);
    check_int(weft_cancel_timer(again), -1);
    check_uint(weft__timers_count(), 0);
    check_int(weft_cancel_timer(weft_send_after(puppet, A(late), 0)), -1);
}

static weft_term sets_many_for_itself(weft_term n)
{
    for (int64_t i = 0; i < weft_to_int(n); i++)
        weft_send_after(weft_self(), weft_int(i), NEVER_MS + i);
    return A(ok);
}

PROCESS_TEST(what_a_process_had_set_for_itself_goes_at_its_end, "PROC-65")
{
    weft_pid puppet = puppet_start();

    ask(puppet, sets_many_for_itself, weft_int(scaled(10000)));
    check_uint(weft__timers_count(), (uintmax_t)scaled(10000));
    puppet_stop(puppet);
    check_uint(weft__timers_count(), 0);
}

PROCESS_TEST(the_end_of_the_creator_means_nothing, "PROC-65")
{
    weft_pid puppet = puppet_start();

    ask(puppet, do_send_after, weft_tuple(weft_self(), A(from_the_dead), weft_int(30)));
    puppet_stop(puppet);
    expect_message(A(from_the_dead));
    check_uint(weft__timers_count(), 0);
}

PROCESS_TEST(a_name_is_looked_up_when_the_time_has_come, "PROC-65")
{
    weft_pid puppet = puppet_start();
    weft_ref early = weft_send_after(A(not_yet_there), A(tick), 20);

    weft_register(A(not_yet_there), puppet);
    if (weft_read_timer(early) >= 0) /* or the machine stood still */
        check_term(ask(puppet, do_await, A(tick)), A(tick));
}

PROCESS_TEST(a_name_that_nobody_holds_drops_the_message, "PROC-65")
{
    weft_ref ref = weft_send_after(A(nobody), A(tick), 1);
    int64_t until = now_ms() + BOUND_MS;

    while (weft_read_timer(ref) >= 0 && now_ms() < until)
        weft_yield();
    check_int(weft_cancel_timer(ref), -1);
    check_uint(weft__timers_count(), 0);
}

/* -- order --------------------------------------------------------------------------- */

static void expect_in_order(int n)
{
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_term message = weft_none;

        if (!check(weft_receive(weft_any, BOUND_MS, &message)) || !check_term(message, weft_int(i)))
            return;
    }
}

PROCESS_TEST(those_of_one_moment_come_in_the_order_set, "PROC-66")
{
    int64_t moment = weft_monotonic_ms() + 20;
    int n = scaled(2000);

    for (int i = 0; i < n; i++)
        weft_send_after(weft_self(), weft_int(i), moment, .abs = true);
    expect_in_order(n);
}

static weft_term sets_one_abs(weft_term arg)
{
    return weft_send_after(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), weft_to_int(weft_tuple_at(arg, 2)),
                           .abs = true);
}

PROCESS_TEST(those_of_one_moment_come_in_order_whoever_set_them, "PROC-66")
{
    int64_t moment = weft_monotonic_ms() + 30;
    int n = scaled(200);
    weft_pid puppets[8];

    for (size_t i = 0; i < COUNT(puppets); i++)
        puppets[i] = puppet_start();
    for (int i = 0; i < n; i++)
        ask(puppets[(size_t)i % COUNT(puppets)], sets_one_abs,
            weft_tuple(weft_self(), weft_int(i), weft_int(moment)));
    expect_in_order(n);
}

PROCESS_TEST(equal_delays_keep_their_order_while_the_creator_moves_about, "PROC-66")
{
    weft_pid puppet = puppet_start();
    int n = scaled(2000);

    for (int i = 0; i < n; i++) {
        weft_send_after(weft_self(), weft_int(i), 10);
        if (i % 5 == 0)
            ask(puppet, do_nothing, A(x)); /* parks: may go on elsewhere */
    }
    for (int i = 0, last = -1; i < n; i++) {
        WEFT_SCOPE;
        int64_t got = -1;

        weft_receive(weft_bind_int(&got), BOUND_MS, NULL);
        if (!check_gt(got, last))
            break;
        last = (int)got;
    }
}

/* -- many ------------------------------------------------------------------------------ */

static int64_t cpu_ms(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static uint64_t n_parks(void)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < the_sched()->n_workers; i++)
        n += atomic_load(&the_sched()->workers[i]->counts.parks);
    return n;
}

/* One is due every 10 us; twice the wakes are allowed, for other workers. */
PROCESS_TEST(many_that_are_due_one_after_the_other_share_a_wake, "PROC-59")
{
    int n = 2000;
    int64_t begin, until = now_ns();
    uint64_t parks;

    for (int i = 0; i < n; i++) {
        weft_send_after(weft_self(), weft_int(i), 40);
        for (until += 10000; now_ns() < until;)
            continue;
    }
    parks = n_parks();
    begin = now_ns();
    for (int i = 0; i < n; i++)
        expect_message(weft_int(i));
    check_le(n_parks() - parks, (uint64_t)(2 * (now_ns() - begin) / WEFT__TIMER_GAP_NS + 10));
}

PROCESS_TEST_WITH(a_great_many_are_all_delivered, .rules = "PROC-59", .deadline_s = 120)
{
    int n = scaled(200000);
    int64_t begin = cpu_ms(), sum = 0;

    for (int i = 0; i < n; i++)
        weft_send_after(weft_self(), weft_int(i), (int64_t)((uint64_t)i * 7919 % 500));
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        int64_t value = -1;

        if (!weft_receive(weft_bind_int(&value), BOUND_MS, NULL))
            break;
        sum += value;
    }
    check_int(sum, (int64_t)n * (n - 1) / 2);
    check(!weft_receive(weft_any, 0, NULL));
    check_uint(weft__timers_count(), 0);
    diag("%d timers took %lld ms of CPU time", n, (long long)(cpu_ms() - begin));
}

static weft_term sets_and_cancels(weft_term arg)
{
    int n = scaled(3000), n_cancelled = 0, n_came = 0;

    (void)arg;
    for (int i = 0; i < n; i++) {
        weft_ref ref = weft_send_after(weft_self(), A(tick), i % 3);

        if (i % 2 == 0)
            n_cancelled += weft_cancel_timer(ref) >= 0;
        if (i % 16 == 0)
            weft_yield();
    }
    for (; n_came + n_cancelled < n; n_came++)
        if (!weft_receive(A(tick), BOUND_MS, NULL))
            break;
    return weft_bool(n_came + n_cancelled == n && !weft_receive(A(tick), 5, NULL));
}

PROCESS_TEST_WITH(many_processes_set_and_cancel_at_once, .rules = "PROC-61", .deadline_s = 120)
{
    weft_pid puppets[16];
    weft_ref asked[16];

    for (size_t i = 0; i < COUNT(puppets); i++) {
        puppets[i] = puppet_start();
        asked[i] = weft_make_ref();
        weft_send(puppets[i], weft_tuple(A(puppet), weft_self(), asked[i],
                                         weft_pointer((const void *)sets_and_cancels), A(x)));
    }
    for (size_t i = 0; i < COUNT(puppets); i++)
        expect_message(weft_tuple(A(done), asked[i], A(process), puppets[i], weft_bool(true)));
    check_uint(weft__timers_count(), 0);
}

/* {stranger, refs...}: cancels what others have set, as they fire. */
static weft_term cancels_list(weft_term refs)
{
    int64_t n = 0;

    weft_list_each (ref, refs)
        n += weft_cancel_timer(ref) >= 0;
    return weft_int(n);
}

PROCESS_TEST_WITH(strangers_cancel_while_they_fire, .rules = "PROC-61", .deadline_s = 120)
{
    weft_pid puppet = puppet_start();
    int rounds = scaled(200);

    for (int round = 0; round < rounds; round++) {
        WEFT_SCOPE;
        enum { N = 100 };
        weft_term refs = weft_empty_list;
        int64_t n_cancelled, n_came = 0;

        for (int i = 0; i < N; i++)
            refs = weft_cons(weft_send_after(weft_self(), A(tick), i % 2), refs);
        n_cancelled = weft_to_int(ask(puppet, cancels_list, refs));
        while (n_came + n_cancelled < N && weft_receive(A(tick), BOUND_MS, NULL))
            n_came++;
        if (!check_int(n_came + n_cancelled, N))
            break;
    }
    check(!weft_receive(A(tick), 0, NULL));
}

PROCESS_TEST_WITH(processes_end_while_their_timers_fire, .rules = "PROC-65", .deadline_s = 120)
{
    int n = scaled(1000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_pid puppet = puppet_start();
        weft_ref down = weft_monitor(puppet);

        tell(puppet, sets_many_for_itself, weft_int(3));
        weft_send_after(puppet, A(tick), i % 2);
        for (int k = 0; k < 5; k++)
            tell(puppet, do_send_after_to_me, weft_int(k % 2));
        if (i % 4 == 0)
            weft_yield();
        weft_kill(puppet);
        await_down(down);
    }
    for (int64_t until = now_ms() + BOUND_MS; weft__timers_count() > 0 && now_ms() < until;)
        weft_yield();
    check_uint(weft__timers_count(), 0);
}

/* -- outside ---------------------------------------------------------------------------- */

static void *guest_thread(void *unused)
{
    weft_term message = weft_none;

    (void)unused;
    weft_send_after(weft_self(), A(tick), 2);
    check(weft_receive(weft_any, BOUND_MS, &message));
    check_term(message, A(tick));
    weft_send_after(weft_self(), A(never), NEVER_MS);
    return NULL;
}

TEST(a_foreign_thread_has_timers_too)
{
    pthread_t thread;

    if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
        return;
    check_int(pthread_create(&thread, NULL, guest_thread, NULL), 0);
    pthread_join(thread, NULL);
    check_uint(weft__timers_count(), 0);
    runtime_down();
}

static weft_term leaves_many(weft_term arg)
{
    weft_pid me = weft_self();

    for (int i = 0; i < 500; i++) {
        weft_send_after(A(nobody_there), weft_str("a message to a name"), NEVER_MS);
        weft_send_after(me, weft_int(i), 1 + i % 3);
        weft_send_after(A(nobody_there), A(soon), i % 5);
    }
    return arg;
}

TEST(a_runtime_stops_with_timers_pending_again_and_again)
{
    for (int i = 0; i < 20; i++) {
        weft_ref ref;

        if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
            return;
        run_body(leaves_many);
        ref = weft_send_after(weft_self(), A(guests_own), NEVER_MS);
        check_gt(weft_read_timer(ref), 0);
        check_gt(weft__timers_count(), 0);
        runtime_down();
        check_uint(weft__timers_count(), 0);
    }
}

TEST(the_clocks_go_and_agree)
{
    int64_t ns = weft_monotonic_ns(), ms = weft_monotonic_ms();

    check_ge(ms, ns / 1000000);
    check_le(ms, weft_monotonic_ns() / 1000000);
    check_near((double)weft_system_time_ms() / 1000, (double)time(NULL), 2);
}

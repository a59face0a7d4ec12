/* gen_server_return_test.c - what callbacks return: replies, stops, continues,
 * idle time-outs, hibernation. */
#include <string.h>

#include "otp/server_test.h"
#include "weft/log.h"
#include "weft/task.h"

static weft_term script_of(script *fn, weft_term arg)
{
    return weft_tuple(SERVER_FN(fn), arg);
}

/* -- the shapes ------------------------------------------------------------------------- */

static weft_result replies_and_times_out(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(arg, .timeout_ms = 1);
}

static weft_result stops_with_reply(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_stop_reply(A(shutdown), arg);
}

PROCESS_TEST(handle_call_may_reply_with_each_option, "GS-29")
{
    weft_pid server = scripted();

    check_term(run_call(server, replies_with, A(plain)), A(plain));
    check_term(run_call(server, replies_and_times_out, A(timed)), A(timed));
    expect_message(weft_tuple(A(info), A(timeout)));
}

PROCESS_TEST(a_stop_with_a_reply_answers_after_terminate, "GS-29 GS-32")
{
    weft_pid server = scripted();

    check_term(run_call(server, stops_with_reply, A(bye)), A(bye));
    /* It was sent before the reply: it is here already. */
    check(weft_receive(weft_tuple(A(terminate), A(shutdown), weft_any), 0, NULL));
}

static void crashing_terminate(void *state, weft_term reason)
{
    scripted_terminate(state, reason);
    weft_exit(A(terminate_crashed));
}

static const weft_gen_server crashing_end = {
    .init = scripted_init, .handle_call = scripted_call, .handle_cast = scripted_cast, .terminate = crashing_terminate};

PROCESS_TEST(a_stop_answers_even_when_terminate_crashes, "GS-32 GS-48")
{
    weft_ref down;
    weft_started started = weft_gen_server_start(&crashing_end, weft_self(), .monitor = &down);

    check_term(run_call(started.pid, stops_with_reply, A(bye)), A(bye));
    check_term(await_down(down), A(terminate_crashed));
}

PROCESS_TEST(handle_cast_info_and_continue_may_stop, "GS-30")
{
    script *how = stops;
    weft_pid servers[2] = {scripted(), scripted()};
    weft_ref down;

    down = weft_monitor(servers[0]);
    run_cast(servers[0], how, A(shutdown));
    check_term(await_down(down), A(shutdown));
    down = weft_monitor(servers[1]);
    run_info(servers[1], how, weft_tuple(A(shutdown), A(info)));
    check_term(await_down(down), weft_tuple(A(shutdown), A(info)));
}

static weft_result replies_then(struct scripted *self, weft_term then, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(A(first), .then = then);
}

static weft_result noreply_then(struct scripted *self, weft_term then, weft_from from)
{
    (void)self, (void)from;
    return weft_noreply(.then = then);
}

PROCESS_TEST(a_continue_may_stop, "GS-30 GS-31")
{
    weft_pid server = scripted();
    weft_ref down = weft_monitor(server);

    check_term(run_call(server, replies_then, script_of(stops, A(shutdown))), A(first));
    check_term(await_down(down), A(shutdown));
}

PROCESS_TEST(the_client_has_its_reply_before_the_continue_begins, "GS-31")
{
    weft_pid server = scripted();

    check_term(run_call(server, replies_then, script_of(waits_for_go, A(nil))), A(first));
    expect_message(weft_tuple(A(waiting), server)); /* it is in the continue, waiting */
    weft_send(server, A(go));
}

/* -- bad returns -------------------------------------------------------------------------- */

static weft_result no_result(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    return (weft_result){0};
}

static weft_result always_replies(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(arg);
}

static weft_result two_wishes(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    return weft_reply(A(x), .timeout_ms = 5, .hibernate = true);
}

static weft_result negative_time(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    return weft_noreply(.timeout_ms = -1);
}

PROCESS_TEST(another_return_ends_the_server_and_the_caller, "GS-33")
{
    script *bad[] = {no_result, two_wishes, negative_time};

    for (size_t i = 0; i < COUNT(bad); i++) {
        WEFT_SCOPE;
        weft_pid server = scripted();
        weft_ref down = weft_monitor(server);
        weft_term reason = weft_none;

        check(!try_run_call(server, bad[i], A(nil), &reason));
        check_fits(reason, weft_tuple(A(bad_return_value), weft_any));
        expect_message(weft_tuple(A(terminate), reason, weft_any));
        check_term(await_down(down), reason);
    }
}

PROCESS_TEST(a_reply_from_a_cast_is_a_bad_return, "GS-33 GS-30")
{
    weft_pid server = scripted();
    weft_ref down = weft_monitor(server);

    run_cast(server, always_replies, A(value));
    check_term(await_down(down), weft_tuple(A(bad_return_value), weft_tuple(A(reply), A(value))));
}

static weft_result replies_pattern(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    return weft_reply(weft_any);
}

PROCESS_TEST(a_reply_that_cannot_be_sent_ends_both_in_words, "GS-33")
{
    weft_pid server = scripted();
    weft_term reason = weft_none, text = weft_none;

    check(!try_run_call(server, replies_pattern, A(nil), &reason));
    if (check_fits(reason, weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), "weft_reply");
}

/* -- crashes --------------------------------------------------------------------------------- */

static weft_result counts_and_crashes(struct scripted *self, weft_term arg, weft_from from)
{
    (void)from;
    self->n = 41;
    self->n++;
    weft_error(arg);
}

PROCESS_TEST(a_crash_runs_terminate_with_the_state_as_it_stands, "GS-34 GS-42")
{
    weft_pid server = scripted();
    weft_ref down = weft_monitor(server);
    weft_term reason = weft_none;

    check(!try_run_call(server, counts_and_crashes, A(boom), &reason));
    check_fits(reason, weft_tuple(A(boom), weft_any));
    expect_message(weft_tuple(A(terminate), reason, weft_int(42)));
    check_term(await_down(down), reason);
}

PROCESS_TEST(an_exit_in_a_callback_ends_it_with_the_plain_reason, "GS-34")
{
    weft_pid server = scripted();
    weft_ref down = weft_monitor(server);

    run_cast(server, exits, A(shutdown));
    expect_message(weft_tuple(A(terminate), A(shutdown), weft_int(0)));
    check_term(await_down(down), A(shutdown));
}

static void tells_defer(void *arg)
{
    weft_send(weft__term((uint64_t)(uintptr_t)arg), A(deferred));
}

static weft_result defers_and_crashes(struct scripted *self, weft_term arg, weft_from from)
{
    (void)arg, (void)from;
    weft_defer(tells_defer, (void *)(uintptr_t)self->test.bits);
    weft_error(A(boom));
}

static weft_result keeps_defer(struct scripted *self, weft_term arg, weft_from from)
{
    (void)from;
    weft_defer(tells_defer, (void *)(uintptr_t)self->test.bits);
    return weft_reply(arg);
}

PROCESS_TEST(the_defers_of_a_server_run_at_its_end, "GS-34")
{
    run_cast(scripted(), defers_and_crashes, A(nil));
    expect_message(A(deferred));
}

static weft_result parks_and_crashes(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    weft_receive(A(never), 1, NULL);
    weft_error(A(boom));
}

static void parking_terminate(void *state, weft_term reason)
{
    weft_receive(A(never_too), 1, NULL);
    scripted_terminate(state, reason);
}

static const weft_gen_server parking = {
    .init = scripted_init, .handle_call = scripted_call, .handle_cast = scripted_cast, .terminate = parking_terminate};

PROCESS_TEST(terminate_may_park_after_a_crash, "GS-34")
{
    for (int i = 0; i < 20; i++) {
        WEFT_SCOPE;
        weft_ref down;
        weft_started started = weft_gen_server_start(&parking, weft_self(), .monitor = &down);

        run_cast(started.pid, parks_and_crashes, A(nil));
        check_fits(await_down(down), weft_tuple(A(boom), weft_any));
        expect_message(weft_tuple(A(terminate), weft_tuple(A(boom), weft_any), weft_any));
    }
}

/* -- continues ---------------------------------------------------------------------------------- */

PROCESS_TEST(a_continue_runs_before_any_queued_message, "GS-35")
{
    weft_pid server = scripted();

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    run_cast(server, noreply_then, script_of(tells, A(continued)));
    run_cast(server, tells, A(queued));
    weft_send(server, A(go));
    check_term(expect_message(weft_any), A(continued));
    check_term(expect_message(weft_any), A(queued));
}

static weft_result chain(struct scripted *self, weft_term n, weft_from from)
{
    (void)from;
    if (weft_to_int(n) == 0) {
        weft_send(self->test, A(chain_is_over));
        return weft_noreply();
    }
    return weft_noreply(.then = script_of(chain, weft_int(weft_to_int(n) - 1)));
}

PROCESS_TEST(continues_chain_before_the_mailbox_is_looked_at, "GS-36")
{
    weft_pid server = scripted();

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    run_cast(server, chain, weft_int(1000));
    run_cast(server, tells, A(queued));
    weft_send(server, A(go));
    check_term(expect_message(weft_any), A(chain_is_over));
    check_term(expect_message(weft_any), A(queued));
}

PROCESS_TEST(a_continue_without_a_callback_crashes_in_words, "GS-35")
{
    static const weft_gen_server none = {.init = scripted_init, .handle_cast = scripted_cast};
    weft_ref down;
    weft_started started = weft_gen_server_start(&none, weft_self(), .monitor = &down);

    run_cast(started.pid, noreply_then, A(more));
    check_fits(await_down(down), weft_tuple(weft_tuple(A(bad_continue), A(more)), weft_any));
}

/* -- idle time-outs -------------------------------------------------------------------------------- */

static weft_result asks_for_timeout(struct scripted *self, weft_term ms, weft_from from)
{
    (void)self;
    return weft_is_none(from) ? weft_noreply(.timeout_ms = weft_to_int(ms))
                              : weft_reply(A(ok), .timeout_ms = weft_to_int(ms));
}

PROCESS_TEST(an_idle_server_gets_its_time_out_once_and_not_early, "GS-37")
{
    weft_pid server = scripted();
    int64_t begin = weft_monotonic_ms();

    run_call(server, asks_for_timeout, weft_int(10));
    expect_message(weft_tuple(A(info), A(timeout)));
    check(weft_monotonic_ms() - begin >= 10);
    expect_no_message(weft_any);
}

PROCESS_TEST(any_message_cancels_the_time_out, "GS-38")
{
    weft_pid server = scripted();

    for (int i = 0; i < 10; i++) {
        WEFT_SCOPE;
        weft_term first;

        run_call(server, asks_for_timeout, weft_int(QUIET_MS / 2));
        weft_send(server, A(stray));
        first = expect_message(weft_any);
        if (weft_eq(first, weft_tuple(A(info), A(timeout)))) /* it was over before the message came */
            first = expect_message(weft_any);
        check_term(first, weft_tuple(A(info), A(stray)));
    }
    expect_no_message(weft_any);
}

PROCESS_TEST(zero_handles_a_queued_message_first, "GS-39")
{
    weft_pid server = scripted();

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    run_cast(server, asks_for_timeout, weft_int(0));
    weft_send(server, A(queued));
    weft_send(server, A(go));
    expect_message(weft_tuple(A(info), A(queued)));
    expect_no_message(weft_any);
}

PROCESS_TEST(zero_times_out_at_once_with_nothing_queued, "GS-39")
{
    weft_pid server = scripted();

    run_cast(server, asks_for_timeout, weft_int(0));
    expect_message(weft_tuple(A(info), A(timeout)));
}

PROCESS_TEST(system_requests_do_not_postpone_the_time_out, "GS-40")
{
    weft_pid server = scripted();
    int64_t until = weft_monotonic_ms() + BOUND_MS;
    weft_term message = weft_none;

    run_call(server, asks_for_timeout, weft_int(10));
    /* Requests without a pause: they would postpone it for ever. */
    while (!weft_receive(weft_any, 0, &message) && weft_monotonic_ms() < until) {
        WEFT_SCOPE;

        weft_sys_get_state(server, BOUND_MS);
    }
    check_term(message, weft_tuple(A(info), A(timeout)));
}

static weft_result hibernates(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(arg, .hibernate = true);
}

PROCESS_TEST(hibernation_changes_nothing_that_can_be_seen, "GS-41")
{
    weft_started started = weft_gen_server_start(&scripted_server, weft_self(), .hibernate_after_ms = 1);

    check_term(run_call(started.pid, hibernates, A(one)), A(one));
    check_term(run_call(started.pid, counts_up, A(nil)), weft_int(1));
}

PROCESS_TEST(a_time_out_that_is_wanted_at_the_end_is_taken_back, "GS-37")
{
    for (int i = 0; i < scaled(500); i++) {
        WEFT_SCOPE;
        weft_pid server = scripted();

        run_call(server, asks_for_timeout, weft_int(i % 3));
        weft_kill(server);
        await_end(server);
    }
    check(true);
}

/* -- a flooded server -------------------------------------------------------------------------------- */

static weft_result spins_and_casts_itself(struct scripted *self, weft_term arg, weft_from from)
{
    (void)from;
    self->n++;
    weft_gen_server_cast(weft_self(), script_of(spins_and_casts_itself, arg));
    return weft_noreply();
}

static weft_term flooded_body(weft_term arg)
{
    weft_pid server = scripted();

    (void)arg;
    run_cast(server, spins_and_casts_itself, A(nil));
    /* One worker: this goes on only if the server lets it. */
    for (int i = 0; i < 100; i++)
        weft_yield();
    weft_kill(server);
    await_end(server);
    return A(ok);
}

TEST(a_server_with_always_a_message_lets_others_run, "GS-62")
{
    run_in_runtime(flooded_body, .workers = 1);
}

/* -- faults ------------------------------------------------------------------------------------------ */

static void *volatile nowhere;

FAULTY static weft_result faults(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    *(volatile int *)nowhere = 1;
    return weft_noreply();
}

PROCESS_TEST(after_a_fault_terminate_does_not_run_and_the_defers_do, "GS-34")
{
    weft_pid server = scripted();
    weft_ref down = weft_monitor(server);
    weft_term reason = weft_none;

    run_call(server, keeps_defer, A(nil));
    check(!try_run_call(server, faults, A(nil), &reason));
    check_fits(reason, weft_tuple(A(sigsegv), weft_any));
    check_term(await_down(down), reason);
    expect_message(A(deferred));
    expect_no_message(weft_any);
}

PROCESS_TEST(after_a_fault_terminate_runs_where_the_callbacks_ask_for_it, "GS-34")
{
    static const weft_gen_server brave = {.init = scripted_init, .handle_cast = scripted_cast,
                                          .terminate = scripted_terminate, .terminate_after_fault = true};
    weft_ref down;
    weft_started started = weft_gen_server_start(&brave, weft_self(), .monitor = &down);

    run_cast(started.pid, faults, A(nil));
    check_fits(await_down(down), weft_tuple(A(sigsegv), weft_any));
    expect_message(weft_tuple(A(terminate), weft_any, weft_any));
}

FAULTY static weft_result faults_at_a_word(void *state, weft_term request, weft_from from)
{
    (void)state, (void)request, (void)from;
    *(volatile int *)nowhere = 1;
    return weft_noreply();
}

PROCESS_TEST(a_fault_at_a_request_without_a_message_ends_the_call_too, "GS-15 GS-34")
{
    static const weft_gen_server server = {.handle_call = faults_at_a_word};

    for (int i = 0; i < 20; i++) {
        weft_pid pid = weft_must(weft_gen_server_start(&server, weft_none));
        weft_term reason = weft_none;

        check(!weft_gen_server_try_call(pid, weft_int(i), BOUND_MS, &reason));
        check_fits(reason, weft_tuple(A(sigsegv), weft_any));
    }
}

FAULTY static weft_init_result faulting_init(weft_term arg)
{
    (void)arg;
    *(volatile int *)nowhere = 1;
    return weft_init_ok(NULL);
}

PROCESS_TEST(a_fault_in_init_fails_the_start, "GS-6")
{
    static const weft_gen_server server = {.init = faulting_init};

    check_fits(weft_gen_server_start(&server, weft_none).reason,
               weft_tuple(A(sigsegv), weft_any));
}

FAULTY static void faulting_terminate(void *state, weft_term reason)
{
    (void)state, (void)reason;
    *(volatile int *)nowhere = 1;
}

PROCESS_TEST(a_fault_in_terminate_is_the_reason_of_the_end, "GS-48")
{
    static const weft_gen_server server = {.init = scripted_init, .handle_call = scripted_call,
                                           .terminate = faulting_terminate};
    weft_started started = weft_gen_server_start(&server, weft_self());
    weft_ref down = weft_monitor(started.pid);

    check_term(run_call(started.pid, stops_with_reply, A(bye)), A(bye));
    check_fits(await_down(down), weft_tuple(A(sigsegv), weft_any));
}

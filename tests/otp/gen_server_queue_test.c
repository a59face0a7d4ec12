/* gen_server_queue_test.c - servers whose mailbox has a bound. */
#include "otp/server_test.h"

enum { PLACES = 2 };

static weft_pid bounded(enum weft_when_full when_full)
{
    return weft_must(weft_gen_server_start(&scripted_server, weft_self(), .max_queue = PLACES, .when_full = when_full));
}

/* Full, and it looks at none of it. */
static weft_pid full(enum weft_when_full when_full)
{
    weft_pid server = bounded(when_full);

    weft_sys_suspend(server, BOUND_MS);
    for (int i = 0; i < PLACES; i++)
        run_cast(server, counts_up, A(nil));
    return server;
}

static void check_count(weft_pid server, int64_t n)
{
    check_term(weft_sys_get_state(server, BOUND_MS), weft_int(n));
}

static weft_term casts_to(weft_term server)
{
    run_cast(server, counts_up, A(nil));
    return A(ok);
}

static weft_term calls(weft_term server)
{
    return run_call(server, counts_up, A(nil));
}

static weft_term casts_wait(weft_term server)
{
    weft_exit(weft_int(weft_gen_server_cast_wait(server, weft_tuple(SERVER_FN(counts_up), A(nil)), WEFT_INFINITY)));
}

static weft_term calls_while_full(weft_term server)
{
    weft_send(weft_self(), A(full));
    check_int(weft_try_send(weft_self(), A(more)), WEFT_EFULL);
    weft_exit(run_call(server, replies_with, weft_int(7)));
}

/* Ends with how many were answered. */
static weft_term calls_many(weft_term server)
{
    int64_t answered = 0;

    for (int i = 0; i < scaled(2000); i++) {
        weft_term result = weft_none;

        if (try_run_call(server, counts_up, A(nil), &result))
            answered++;
        else
            check_term(result, A(mailbox_full));
    }
    weft_exit(weft_int(answered));
}

PROCESS_TEST(a_cast_to_a_full_server_ends_who_does_not_ask_and_tells_who_does, "GS-25")
{
    weft_pid server = full(WEFT_FULL_REFUSE);
    weft_ref down;

    check_int(weft_gen_server_try_cast(server, weft_tuple(SERVER_FN(counts_up), A(nil))), WEFT_EFULL);
    weft_spawn(casts_to, server, .monitor = &down);
    check_term(await_down(down), weft_tuple(A(mailbox_full), server));
    check_int(weft_try_send(server, A(info)), WEFT_EFULL);
    weft_sys_resume(server, BOUND_MS);
    check_int(weft_gen_server_cast_wait(server, weft_tuple(SERVER_FN(counts_up), A(nil)), BOUND_MS), 0);
    check_count(server, PLACES + 1);
    weft_gen_server_stop(server, weft_none, BOUND_MS);
    check_int(weft_gen_server_try_cast(server, A(nobody)), 0);
}

PROCESS_TEST(a_cast_to_a_full_server_that_drops_is_dropped, "GS-25")
{
    weft_pid server = full(WEFT_FULL_DROP);

    run_cast(server, counts_up, A(nil));
    check_int(weft_gen_server_try_cast(server, weft_tuple(SERVER_FN(counts_up), A(nil))), 0);
    weft_sys_resume(server, BOUND_MS);
    check_count(server, PLACES);
    weft_gen_server_stop(server, weft_none, BOUND_MS);
}

PROCESS_TEST(a_call_to_a_full_server_fails_at_once_with_mailbox_full, "GS-15")
{
    enum weft_when_full both[] = {WEFT_FULL_REFUSE, WEFT_FULL_DROP};

    for (size_t i = 0; i < COUNT(both); i++) {
        weft_pid server = full(both[i]);
        weft_term result = weft_none;
        weft_ref down;

        check(!try_run_call(server, counts_up, A(nil), &result));
        check_term(result, A(mailbox_full));
        weft_spawn(calls, server, .monitor = &down);
        check_fits(await_down(down), weft_tuple(A(mailbox_full), weft_tuple(WEFT_ATOM("GenServer"), A(call), weft_any)));
        weft_sys_resume(server, BOUND_MS);
        check_term(run_call(server, counts_up, A(nil)), weft_int(PLACES + 1));
        weft_gen_server_stop(server, weft_none, BOUND_MS);
    }
}

PROCESS_TEST(system_requests_and_a_stop_get_into_a_full_server, "GS-50 GS-57")
{
    weft_pid server = full(WEFT_FULL_REFUSE);

    check_count(server, 0);
    weft_sys_resume(server, BOUND_MS);
    check_count(server, PLACES);
    weft_gen_server_stop(server, A(shutdown), BOUND_MS);
    expect_message(weft_tuple(A(terminate), A(shutdown), weft_int(PLACES)));
}

PROCESS_TEST(a_reply_gets_into_a_caller_whose_own_mailbox_is_full, "GS-14")
{
    weft_pid server = scripted();
    weft_ref down;

    weft_spawn(calls_while_full, server, .monitor = &down, .max_queue = 1);
    check_term(await_down(down), weft_int(7));
    weft_gen_server_stop(server, weft_none, BOUND_MS);
}

PROCESS_TEST(cast_wait_waits_for_room_and_gives_up_in_time, "GS-25")
{
    weft_pid server = full(WEFT_FULL_DROP);
    weft_term request = weft_tuple(SERVER_FN(counts_up), A(nil));
    weft_ref down;
    weft_pid waiter = weft_spawn(casts_wait, server, .monitor = &down);

    check_int(weft_gen_server_cast_wait(server, request, 1), WEFT_ETIMEDOUT);
    await_waiting(waiter);
    weft_sys_resume(server, BOUND_MS);
    check_term(await_down(down), weft_int(0));
    check_count(server, PLACES + 1);
    weft_gen_server_stop(server, weft_none, BOUND_MS);
}

PROCESS_TEST(many_calls_to_a_server_with_a_bound_are_answered_or_refused, "GS-14 GS-15")
{
    weft_pid server = bounded(WEFT_FULL_REFUSE);
    weft_ref downs[8];
    int64_t answered = 0;

    for (size_t i = 0; i < COUNT(downs); i++)
        weft_spawn(calls_many, server, .monitor = &downs[i]);
    for (size_t i = 0; i < COUNT(downs); i++)
        answered += weft_to_int(await_down(downs[i]));
    check_count(server, answered);
    check_term(weft_process_info(server, A(message_queue_len)), weft_int(0));
    weft_sys_suspend(server, BOUND_MS);
    for (int i = 0; i < PLACES; i++)
        check_int(weft_gen_server_try_cast(server, A(lies)), 0);
    check_int(weft_gen_server_try_cast(server, A(lies)), WEFT_EFULL);
    weft_kill(server);
}

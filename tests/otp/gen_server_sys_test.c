/* gen_server_sys_test.c - to look into a server that runs, and to hold it. */
#include <string.h>

#include "otp/server_test.h"
#include "weft/log.h"

enum { N_SEEN = 40 };

static weft_term script_of(script *fn, weft_term arg)
{
    return weft_tuple(SERVER_FN(fn), arg);
}

static weft_term end_of(weft_fn *fn, weft_term arg)
{
    weft_ref down;

    weft_spawn(fn, arg, .monitor = &down);
    return await_down(down);
}

/* -- state -------------------------------------------------------------------------------- */

PROCESS_TEST(get_state_gives_the_described_state, "GS-55")
{
    weft_pid server = scripted();

    check_term(weft_sys_get_state(server, BOUND_MS), weft_int(0));
    run_cast(server, counts_up, A(nil));
    check_term(weft_sys_get_state(server, BOUND_MS), weft_int(1)); /* in mailbox order */
}

PROCESS_TEST(a_state_that_is_not_described_is_its_address, "GS-55")
{
    static const weft_gen_server plain = {.init = scripted_init};
    weft_pid server = weft_must(weft_gen_server_start(&plain, weft_self()));

    check(weft_is_pointer(weft_sys_get_state(server, BOUND_MS)));
}

static void *sets_n(void *state, weft_term n)
{
    ((struct scripted *)state)->n = weft_to_int(n);
    return state;
}

static void *makes_another(void *state, weft_term n)
{
    struct scripted *other = weft_new(struct scripted);

    *other = *(struct scripted *)state;
    other->n = weft_to_int(n);
    return other;
}

static void *crashes_in_replace(void *state, weft_term what)
{
    (void)state;
    weft_error(what);
}

PROCESS_TEST(replace_state_sets_and_returns_the_state, "GS-55")
{
    weft_pid server = scripted();

    check_term(weft_sys_replace_state(server, sets_n, weft_int(7), BOUND_MS), weft_int(7));
    check_term(weft_sys_replace_state(server, makes_another, weft_int(8), BOUND_MS), weft_int(8));
    check_term(run_call(server, counts_up, A(nil)), weft_int(9));
}

static weft_term replaces_badly(weft_term server)
{
    weft_sys_replace_state(server, crashes_in_replace, A(boom), BOUND_MS);
    return A(ok);
}

PROCESS_TEST(a_crash_in_replace_state_is_the_callers, "GS-55")
{
    weft_pid server = scripted();

    run_call(server, counts_up, A(nil));
    check_fits(end_of(replaces_badly, server),
               weft_tuple(weft_tuple(A(boom), weft_any), weft_tuple(A(sys), A(replace_state), weft_any)));
    check_term(run_call(server, counts_up, A(nil)), weft_int(2));
    expect_no_message(weft_any); /* no terminate */
}

/* -- suspend and resume ----------------------------------------------------------------------- */

PROCESS_TEST(a_suspended_server_handles_system_requests_alone, "GS-56 GS-57")
{
    weft_pid server = scripted();

    weft_sys_suspend(server, BOUND_MS);
    weft_sys_suspend(server, BOUND_MS);
    run_cast(server, tells, weft_int(1));
    run_info(server, tells, weft_int(2));
    check_term(weft_sys_get_state(server, BOUND_MS), weft_int(0));
    expect_no_message(weft_any);
    weft_sys_resume(server, BOUND_MS);
    weft_sys_resume(server, BOUND_MS);
    check_term(expect_message(weft_any), weft_int(1));
    check_term(expect_message(weft_any), weft_int(2));
}

PROCESS_TEST(a_call_to_a_suspended_server_waits, "GS-56")
{
    weft_pid server = scripted();
    weft_term reason = weft_none;

    weft_sys_suspend(server, BOUND_MS);
    check(!weft_gen_server_try_call(server, script_of(counts_up, A(nil)), 2, &reason));
    check_term(reason, A(timeout));
    weft_sys_resume(server, BOUND_MS);
    check_term(run_call(server, counts_up, A(nil)), weft_int(2)); /* the first one ran too */
}

static void *looks_for_what_is_not_there(void *state, weft_term more)
{
    (void)more;
    weft_receive(A(never_sent), 0, NULL);
    return state;
}

static void *receives_all(void *state, weft_term more)
{
    (void)more;
    while (weft_receive(weft_any, 0, NULL))
        ;
    return state;
}

/* A server that is suspended, has seen all it was sent, and runs that. */
static weft_pid suspended_that_runs(weft_sys_replace_fn *fn, bool words)
{
    weft_pid server = scripted();

    weft_sys_suspend(server, BOUND_MS);
    for (int64_t i = 0; i < N_SEEN; i++)
        weft_send(server, words ? weft_int(i) : weft_tuple(weft_int(i)));
    weft_sys_get_state(server, BOUND_MS);
    weft_sys_replace_state(server, fn, weft_none, BOUND_MS);
    weft_sys_get_state(server, BOUND_MS);
    check_term(weft_sys_get_state(server, BOUND_MS), weft_int(0));
    return server;
}

PROCESS_TEST(a_suspended_server_that_looks_for_a_message_goes_on, "GS-56 GS-57")
{
    weft_pid server = suspended_that_runs(looks_for_what_is_not_there, true);

    weft_sys_resume(server, BOUND_MS);
    for (int64_t i = 0; i < N_SEEN; i++)
        check_term(expect_message(weft_any), weft_tuple(A(info), weft_int(i)));
}

PROCESS_TEST(a_suspended_server_that_receives_what_it_has_seen_goes_on, "GS-56 GS-57")
{
    for (int words = 0; words < 2; words++) {
        weft_pid server = suspended_that_runs(receives_all, words != 0);

        weft_sys_resume(server, BOUND_MS);
        weft_send(server, A(next));
        check_term(expect_message(weft_any), weft_tuple(A(info), A(next)));
    }
}

PROCESS_TEST(system_requests_wait_their_turn, "GS-57")
{
    weft_pid server = scripted();
    weft_term reason = weft_none;

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    check(!weft_sys_try(server, A(get_state), 2, &reason));
    check_term(reason, A(timeout));
    weft_send(server, A(go));
    check(weft_sys_try(server, A(get_state), BOUND_MS, &reason));
    check_term(reason, weft_int(0));
}

static weft_term asks_nobody(weft_term arg)
{
    return weft_sys_get_state(arg, 100);
}

PROCESS_TEST(a_system_request_to_nobody_exits_as_calls_do, "GS-57")
{
    check_fits(end_of(asks_nobody, A(nobody_at_all)),
               weft_tuple(A(noproc), weft_tuple(A(sys), A(get_state), weft_any)));
}

PROCESS_TEST(an_unknown_system_request_is_refused_in_words, "GS-57")
{
    weft_pid server = scripted();
    weft_term reason = weft_none, text = weft_none;

    check(!weft_sys_try(server, A(dance), BOUND_MS, &reason));
    if (check_fits(reason, weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), ":dance");
}

/* -- status -------------------------------------------------------------------------------------- */

PROCESS_TEST(get_status_shows_what_there_is, "GS-58")
{
    weft_pid server = weft_must(weft_gen_server_start_link(&scripted_server, weft_self(), .name = A(shown)));
    weft_term status = weft_sys_get_status(server, BOUND_MS);

    check_fits(status, weft_map(A(status), A(running), A(pid), server, A(name), A(shown), A(parent), weft_self(),
                                A(debug), weft_empty_list, A(state), weft_int(0)));
    weft_sys_suspend(server, BOUND_MS);
    weft_sys_statistics(server, true, BOUND_MS);
    check_fits(weft_sys_get_status(server, BOUND_MS),
               weft_map(A(status), A(suspended), A(debug), weft_list(A(statistics))));
}

static weft_term hides_state(weft_term status)
{
    return weft_map_put(status, A(state), A(hidden));
}
static weft_term crashing_format(weft_term status)
{
    (void)status;
    weft_error(A(in_format));
}

PROCESS_TEST(format_status_filters_what_get_status_shows, "GS-58 GS-59")
{
    static const weft_gen_server secret = {.init = scripted_init, .format_status = hides_state};
    weft_pid server = weft_must(weft_gen_server_start(&secret, weft_self()));

    check_fits(weft_sys_get_status(server, BOUND_MS), weft_map(A(state), A(hidden)));
}

PROCESS_TEST(a_format_status_that_crashes_leaves_a_placeholder, "GS-59")
{
    static const weft_gen_server secret = {.init = scripted_init, .handle_call = scripted_call,
                                           .format_status = crashing_format};
    weft_pid server = weft_must(weft_gen_server_start(&secret, weft_self()));
    weft_term state = weft_none;

    check_fits(weft_sys_get_status(server, BOUND_MS), weft_map(A(state), weft_bind(&state)));
    check_has(weft_text(state), "crashed");
    check_term(run_call(server, replies_with, A(alive)), A(alive));
}

/* -- debug ------------------------------------------------------------------------------------------ */

PROCESS_TEST(statistics_count_messages_in_and_replies_out, "GS-60")
{
    weft_pid server = scripted();

    check_term(weft_sys_get_statistics(server, BOUND_MS), A(no_statistics));
    run_call(server, counts_up, A(nil));
    weft_sys_statistics(server, true, BOUND_MS);
    run_call(server, counts_up, A(nil));
    run_cast(server, counts_up, A(nil));
    check_fits(weft_sys_get_statistics(server, BOUND_MS),
               weft_map(A(messages_in), weft_int(2), A(messages_out), weft_int(1)));
    weft_sys_statistics(server, false, BOUND_MS);
    check_term(weft_sys_get_statistics(server, BOUND_MS), A(no_statistics));
}

PROCESS_TEST(the_log_keeps_the_last_ten_events, "GS-60")
{
    weft_pid server = scripted();
    weft_term request = script_of(counts_up, A(nil)), log;

    weft_sys_log(server, true, BOUND_MS);
    for (int i = 0; i < 5; i++)
        weft_gen_server_call(server, request, BOUND_MS);
    log = weft_sys_get_log(server, BOUND_MS);
    check_int(weft_list_size(log), 10);
    check_term(weft_head(log), weft_tuple(A(state), weft_int(2)));
    check_term(weft_head(weft_list_reverse(log)), weft_tuple(A(state), weft_int(5)));
    weft_sys_no_debug(server, BOUND_MS);
    check_term(weft_sys_get_log(server, BOUND_MS), weft_empty_list);
}

static _Atomic int n_lines;
static char lines[4][512];

static void catches(const weft_log_record *record, void *arg)
{
    int n = atomic_load(&n_lines);

    (void)arg;
    if (strstr(record->text, "*DBG*") == NULL || n == 4)
        return;
    snprintf(lines[n], sizeof lines[n], "%s", record->text);
    atomic_store(&n_lines, n + 1);
}

PROCESS_TEST(trace_writes_a_line_for_each_event, "GS-60")
{
    weft_pid server = weft_must(weft_gen_server_start(&scripted_server, weft_self(), .name = A(traced)));

    weft_log_set_handler(catches, NULL, NULL);
    weft_sys_trace(server, true, BOUND_MS);
    run_call(server, counts_up, A(nil));
    weft_sys_no_debug(server, BOUND_MS);
    run_call(server, counts_up, A(nil));
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(atomic_load(&n_lines), 3);
    check_has(lines[0], "*DBG* :traced got");
    check_has(lines[1], "*DBG* :traced sent the reply 1");
    check_has(lines[2], "*DBG* :traced has the new state 1");
}

/* gen_server_end_test.c - how a server ends: terminate, its parent, stop. */
#include <string.h>

#include "otp/server_test.h"
#include "weft/log.h"
#include "weft/task.h"

static weft_term script_of(script *fn, weft_term arg)
{
    return weft_tuple(SERVER_FN(fn), arg);
}

/* A server whose parent is a puppet. */
static weft_term do_start_link(weft_term test)
{
    return weft_must(weft_gen_server_start_link(&scripted_server, test));
}

struct family {
    weft_pid parent, server;
    weft_ref down; /* the server's */
};

static struct family family(bool server_traps)
{
    struct family family = {.parent = puppet_start_trapping()};

    family.server = ask(family.parent, do_start_link, weft_self());
    family.down = weft_monitor(family.server);
    if (server_traps)
        run_call(family.server, traps, A(true));
    return family;
}

/* -- when terminate runs -------------------------------------------------------------------- */

PROCESS_TEST(terminate_runs_after_a_stop_return, "GS-42")
{
    run_cast(scripted(), stops, A(shutdown));
    expect_message(weft_tuple(A(terminate), A(shutdown), weft_any));
}

PROCESS_TEST(terminate_runs_after_a_stop_request, "GS-42 GS-50")
{
    weft_gen_server_stop(scripted(), weft_tuple(A(shutdown), A(asked)), BOUND_MS);
    check(weft_receive(weft_tuple(A(terminate), weft_tuple(A(shutdown), A(asked)), weft_any), 0, NULL));
}

PROCESS_TEST(a_trapping_server_terminates_with_its_parents_reason, "GS-42 GS-44")
{
    weft_term reasons[] = {A(shutdown), A(normal), A(lost)};

    for (size_t i = 0; i < COUNT(reasons); i++) {
        WEFT_SCOPE;
        struct family f = family(true);

        tell(f.parent, do_exit, reasons[i]);
        expect_message(weft_tuple(A(terminate), reasons[i], weft_any));
        check_term(await_down(f.down), reasons[i]);
    }
}

PROCESS_TEST(a_server_that_does_not_trap_ends_without_terminate, "GS-43")
{
    struct family f = family(false);

    tell(f.parent, do_exit, A(shutdown));
    check_term(await_down(f.down), A(shutdown));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_kill_ends_it_without_terminate, "GS-43")
{
    struct family f = family(true);

    weft_kill(f.server);
    check_term(await_down(f.down), A(killed));
    expect_no_message(weft_any);
    puppet_stop(f.parent);
}

PROCESS_TEST(a_kill_reaches_a_server_that_waits_in_terminate, "GS-43")
{
    static const weft_gen_server stuck = {
        .init = scripted_init, .handle_cast = scripted_cast, .terminate = scripted_terminate};
    weft_ref down;
    weft_started started = weft_gen_server_start(&stuck, weft_self(), .monitor = &down);

    run_cast(started.pid, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), started.pid));
    weft_kill(started.pid);
    check_term(await_down(down), A(killed));
    expect_no_message(weft_any);
}

PROCESS_TEST(messages_before_the_parents_exit_are_handled_later_ones_not, "GS-45")
{
    struct family f = family(true);

    run_cast(f.server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), f.server));
    run_cast(f.server, tells, A(before));
    tell(f.parent, do_exit, A(shutdown));
    await_end(f.parent);
    run_cast(f.server, tells, A(after));
    weft_send(f.server, A(go));
    check_term(await_down(f.down), A(shutdown));
    check_term(expect_message(weft_any), A(before));
    check_fits(expect_message(weft_any), weft_tuple(A(terminate), A(shutdown), weft_any));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_suspended_server_takes_its_parents_exit_at_once, "GS-45")
{
    struct family f = family(true);

    weft_sys_suspend(f.server, BOUND_MS);
    run_cast(f.server, tells, A(before));
    tell(f.parent, do_exit, A(shutdown));
    check_term(await_down(f.down), A(shutdown));
    check_fits(expect_message(weft_any), weft_tuple(A(terminate), A(shutdown), weft_any));
    expect_no_message(weft_any); /* what waited is not handled */
}

PROCESS_TEST(an_exit_of_another_goes_to_handle_info, "GS-46")
{
    struct family f = family(true);

    weft_exit_signal(f.server, A(oops));
    expect_message(weft_tuple(A(info), weft_tuple(A(EXIT), weft_self(), A(oops))));
    check_term(run_call(f.server, replies_with, A(alive)), A(alive));
    tell(f.parent, do_exit, A(shutdown));
    await_down(f.down);
}

PROCESS_TEST(a_server_that_does_not_trap_outlives_a_parent_that_ends_normally, "GS-47")
{
    struct family f = family(false);

    puppet_stop(f.parent);
    check_term(run_call(f.server, replies_with, A(alive)), A(alive));
}

static void exiting_terminate(void *state, weft_term reason)
{
    scripted_terminate(state, reason);
    weft_error(A(in_terminate));
}

PROCESS_TEST(a_crash_of_terminate_is_the_reason_of_the_end, "GS-48")
{
    static const weft_gen_server crashing = {
        .init = scripted_init, .handle_call = scripted_call, .handle_cast = scripted_cast, .terminate = exiting_terminate};
    weft_ref down;
    weft_started started = weft_gen_server_start(&crashing, weft_self(), .monitor = &down);
    weft_term reason = weft_none;

    check(!try_run_call(started.pid, crashes, A(first), &reason));
    check_fits(reason, weft_tuple(A(in_terminate), weft_any));
    check_term(await_down(down), reason);
    expect_message(weft_tuple(A(terminate), weft_tuple(A(first), weft_any), weft_any));
}

/* -- stop ---------------------------------------------------------------------------------------- */

/* {server, reason, timeout} */
static weft_term stops_server(weft_term arg)
{
    weft_gen_server_stop(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), weft_to_int(weft_tuple_at(arg, 2)));
    return A(ok);
}

static weft_term end_of(weft_fn *fn, weft_term arg)
{
    weft_ref down;

    weft_spawn(fn, arg, .monitor = &down);
    return await_down(down);
}

PROCESS_TEST(stop_returns_once_the_server_has_ended, "GS-50 GS-54")
{
    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_started started = weft_gen_server_start(&scripted_server, weft_self(), .name = A(stopped));

        if (!check(started.ok))
            return;
        run_cast(started.pid, counts_up, A(nil));
        weft_gen_server_stop(A(stopped), weft_none, WEFT_INFINITY);
        check(!weft_is_alive(started.pid));
        expect_message(weft_tuple(A(terminate), A(normal), weft_int(1))); /* the cast came first */
    }
}

PROCESS_TEST(a_suspended_server_can_be_stopped, "GS-50")
{
    weft_pid server = scripted();

    weft_sys_suspend(server, BOUND_MS);
    weft_gen_server_stop(server, weft_none, BOUND_MS);
    check(!weft_is_alive(server));
}

static weft_result stops_itself(struct scripted *self, weft_term arg, weft_from from)
{
    weft_term why = weft_none;

    (void)self, (void)arg, (void)from;
    return weft_reply(weft_gen_server_try_stop(weft_self(), weft_none, 100, &why) ? A(stopped) : why);
}

PROCESS_TEST(stop_says_why_it_could_not, "GS-51")
{
    weft_pid server = scripted(), dead = puppet_start();

    puppet_stop(dead);
    check_fits(end_of(stops_server, weft_tuple(dead, A(normal), weft_int(100))), failed_call(A(noproc), A(stop)));
    check_term(run_call(server, stops_itself, A(nil)), A(calling_self));
    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    check_term(end_of(stops_server, weft_tuple(server, A(normal), weft_int(2))),
               weft_tuple(A(timeout), weft_tuple(WEFT_ATOM("GenServer"), A(stop),
                                                 weft_list(server, A(normal), weft_int(2)))));
    weft_send(server, A(go));
}

PROCESS_TEST(stop_exits_with_the_other_reason_the_server_ended_with, "GS-51")
{
    weft_pid server = scripted(), stopper;
    weft_ref down;

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    run_cast(server, stops, A(shutdown));
    stopper = weft_spawn(stops_server, weft_tuple(server, A(normal), weft_int(WEFT_INFINITY)), .monitor = &down);
    await_waiting(stopper);
    weft_send(server, A(go));
    check_fits(await_down(down), failed_call(A(shutdown), A(stop)));
}

PROCESS_TEST(after_a_timed_out_stop_the_server_ends_on_its_own, "GS-52")
{
    weft_pid server = scripted();
    weft_ref down = weft_monitor(server);
    weft_term why = weft_none;

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    check(!weft_gen_server_try_stop(server, A(shutdown), 2, &why));
    check_term(why, A(timeout));
    check(weft_is_alive(server));
    weft_send(server, A(go));
    check_term(await_down(down), A(shutdown));
}

static weft_term starts_links_and_stops(weft_term test)
{
    weft_pid server = weft_must(weft_gen_server_start_link(&scripted_server, test));

    weft_gen_server_stop(server, A(abnormal), BOUND_MS);
    return A(survived);
}

PROCESS_TEST(stopping_a_linked_server_abnormally_hits_the_caller, "GS-53")
{
    check_term(end_of(starts_links_and_stops, weft_self()), A(abnormal));
}

/* -- reports ----------------------------------------------------------------------------------------- */

static _Atomic int n_reports;
static char last_report[4096];

static void catches(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "GenServer") == NULL)
        return;
    weft_log_format(last_report, sizeof last_report, record);
    atomic_fetch_add(&n_reports, 1);
}

PROCESS_TEST(an_abnormal_end_is_one_report, "GS-49")
{
    weft_pid server = weft_must(weft_gen_server_start(&scripted_server, weft_self(), .name = A(reported)));
    weft_term reason = weft_none;

    weft_log_set_handler(catches, NULL, NULL);
    check(!try_run_call(server, counts_up, A(nil), &reason) || true);
    check(!try_run_call(server, crashes, A(boom), &reason));
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(atomic_load(&n_reports), 1);
    check_has(last_report, "what=:server ");
    check_has(last_report, "name=:reported");
    check_has(last_report, "last_message=");
    check_has(last_report, "state=1");
    check_has(last_report, "reason={:boom, []}");
    check_has(last_report, "client=");
}

PROCESS_TEST(an_orderly_end_is_no_report, "GS-49")
{
    weft_term reasons[] = {A(normal), A(shutdown), weft_tuple(A(shutdown), A(why))};

    weft_log_set_handler(catches, NULL, NULL);
    for (size_t i = 0; i < COUNT(reasons); i++) {
        WEFT_SCOPE;
        weft_pid server = scripted();

        run_cast(server, stops, reasons[i]);
        await_end(server);
    }
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(atomic_load(&n_reports), 0);
}

static weft_term hides_state(weft_term status)
{
    return weft_map_put(status, A(state), A(hidden));
}

PROCESS_TEST(format_status_filters_what_a_report_shows, "GS-59 GS-49")
{
    static const weft_gen_server secret = {.init = scripted_init, .handle_cast = scripted_cast,
                                           .describe = scripted_describe, .format_status = hides_state};
    weft_pid server = weft_must(weft_gen_server_start(&secret, weft_self()));

    weft_log_set_handler(catches, NULL, NULL);
    run_cast(server, crashes, A(boom));
    await_end(server);
    weft_log_set_handler(NULL, NULL, NULL);
    check_has(last_report, "state=:hidden");
}

static weft_term crashing_format(weft_term status)
{
    (void)status;
    weft_error(A(in_format));
}

PROCESS_TEST(a_crash_of_format_status_shows_no_state_and_keeps_the_reason, "GS-59")
{
    static const weft_gen_server secret = {.init = scripted_init, .handle_cast = scripted_cast,
                                           .describe = scripted_describe, .format_status = crashing_format};
    weft_ref down;
    weft_started started = weft_gen_server_start(&secret, weft_self(), .monitor = &down);

    weft_log_set_handler(catches, NULL, NULL);
    run_cast(started.pid, crashes, A(boom));
    check_fits(await_down(down), weft_tuple(A(boom), weft_any));
    weft_log_set_handler(NULL, NULL, NULL);
    check_has(last_report, "format_status crashed");
    check_has(last_report, "{:boom, []}");
}

/* -- what the end leaves -------------------------------------------------------------------------------- */

PROCESS_TEST(each_caller_of_a_server_that_crashes_hears_once, "GS-15 GS-34")
{
    for (int i = 0; i < scaled(500); i++) {
        WEFT_SCOPE;
        weft_pid server = scripted();
        weft_term reason = weft_none;

        if (!check(!try_run_call(server, exits, A(shutdown), &reason)) || !check_term(reason, A(shutdown)))
            return;
        expect_message(weft_tuple(A(terminate), A(shutdown), weft_any));
        weft_gen_server_try_call(server, script_of(replies_with, A(x)), 0, &reason);
        check_term(reason, A(noproc));
    }
    expect_no_message(weft_any);
}

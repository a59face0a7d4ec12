/* gen_server_start_test.c - how a server starts, and how it does not. */
#include "otp/call.h"
#include "otp/server_test.h"

/* -- init by script: arg is {function, arg} ----------------------------------------- */

typedef weft_init_result init_script(weft_term arg);

static weft_init_result runs_init(weft_term arg)
{
    init_script *run = (init_script *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 0));

    return run(weft_tuple_at(arg, 1));
}

static const weft_gen_server starting = {
    .init = runs_init,
    .handle_call = scripted_call,
    .handle_info = scripted_info,
    .handle_continue = scripted_cast,
    .terminate = scripted_terminate,
};

static weft_term init_arg(init_script *fn, weft_term arg)
{
    return weft_tuple(SERVER_FN(fn), arg);
}

static weft_init_result ignores(weft_term test) { return (void)test, weft_init_ignore(); }
static weft_init_result stops_with(weft_term reason) { return weft_init_stop(reason); }
static weft_init_result errs_with(weft_term reason) { return weft_init_error(reason); }
static weft_init_result exits_with(weft_term reason) { weft_exit(reason); }
static weft_init_result crashes_with(weft_term what) { weft_error(what); }
static weft_init_result returns_rubbish(weft_term test)
{
    (void)test;
    return (weft_init_result){0};
}
static weft_init_result tells_and_waits(weft_term test)
{
    weft_send(test, weft_tuple(A(in_init), weft_self()));
    weft_receive(A(go), WEFT_INFINITY, NULL);
    return scripted_init(test);
}
static weft_init_result tells_and_stops(weft_term test)
{
    weft_send(test, weft_tuple(A(in_init), weft_self()));
    weft_receive(A(go), WEFT_INFINITY, NULL);
    return weft_init_stop(A(no_luck));
}

PROCESS_TEST(a_start_returns_when_init_has_returned_in_the_new_process, "GS-1")
{
    weft_started started = weft_gen_server_start(&scripted_server, weft_self());

    check(started.ok);
    check(weft_is_pid(started.pid));
    check(!weft_eq(started.pid, weft_self()));
    check_term(run_call(started.pid, replies_self, A(nil)), started.pid);
    check_term(info_of(started.pid, A(links)), weft_empty_list);
}

PROCESS_TEST(a_linked_start_links_server_and_caller, "GS-1")
{
    weft_pid server = scripted_link();

    check_term(info_of(server, A(links)), weft_list(weft_self()));
    check_term(info_of(server, A(parent)), weft_self());
}

static weft_init_result ok_then(weft_term test)
{
    weft_init_result ok = scripted_init(test);

    return weft_init_ok(ok.state, .then = weft_tuple(SERVER_FN(tells), A(continued)));
}
static weft_init_result ok_with_timeout(weft_term test)
{
    weft_init_result ok = scripted_init(test);

    return weft_init_ok(ok.state, .timeout_ms = 1);
}
static weft_init_result ok_hibernating(weft_term test)
{
    weft_init_result ok = scripted_init(test);

    return weft_init_ok(ok.state, .hibernate = true);
}

PROCESS_TEST(init_may_ask_for_a_continue, "GS-2 GS-35")
{
    check(weft_gen_server_start(&starting, init_arg(ok_then, weft_self())).ok);
    expect_message(A(continued));
}

PROCESS_TEST(init_may_ask_for_an_idle_time_out, "GS-2 GS-37")
{
    check(weft_gen_server_start(&starting, init_arg(ok_with_timeout, weft_self())).ok);
    expect_message(weft_tuple(A(info), A(timeout)));
}

PROCESS_TEST(init_may_ask_for_hibernation, "GS-2 GS-41")
{
    weft_started started = weft_gen_server_start(&starting, init_arg(ok_hibernating, weft_self()));

    check(started.ok);
    check_term(run_call(started.pid, replies_with, A(awake)), A(awake));
}

PROCESS_TEST(an_ignored_start_leaves_no_process, "GS-3 GS-8")
{
    weft_started started;
    weft_ref ref = weft_none;

    weft_trap_exit(true);
    started = weft_gen_server_start_link(&starting, init_arg(ignores, weft_self()), .name = A(ignored),
                                         .monitor = &ref);
    check(started.ok);
    check(weft_started_is_ignored(started));
    check_term(weft_whereis(A(ignored)), weft_none);
    expect_no_message(weft_any); /* no :terminate, no :EXIT, no :DOWN */
}

PROCESS_TEST(a_stop_in_init_fails_the_start_with_its_reason, "GS-4 GS-8")
{
    weft_started started =
        weft_gen_server_start(&starting, init_arg(stops_with, A(no_luck)), .name = A(unlucky));

    check(!started.ok);
    check_term(started.reason, A(no_luck));
    check_term(weft_whereis(A(unlucky)), weft_none);
    expect_no_message(weft_any); /* terminate did not run */
}

PROCESS_TEST(an_error_in_init_fails_the_start_and_hurts_nobody, "GS-5")
{
    /* Linked and not trapping: it would not come to the check. */
    weft_started started = weft_gen_server_start_link(&starting, init_arg(errs_with, A(no_luck)));

    check(!started.ok);
    check_term(started.reason, A(no_luck));
}

PROCESS_TEST(an_error_may_be_the_atom_ignore, "GS-5")
{
    weft_started started = weft_gen_server_start(&starting, init_arg(errs_with, A(ignore)));

    check(!started.ok);
    check_term(started.reason, A(ignore));
}

PROCESS_TEST(an_exit_in_init_fails_the_start_with_its_reason, "GS-6")
{
    check_term(weft_gen_server_start(&starting, init_arg(exits_with, A(out))).reason, A(out));
    check_term(weft_gen_server_start(&starting, init_arg(exits_with, A(normal))).reason, A(normal));
}

PROCESS_TEST(a_crash_in_init_fails_the_start_with_reason_and_trace, "GS-6")
{
    check_fits(weft_gen_server_start(&starting, init_arg(crashes_with, A(boom))).reason,
               weft_tuple(A(boom), weft_any));
}

PROCESS_TEST(no_result_of_init_is_a_bad_return_value, "GS-6")
{
    check_fits(weft_gen_server_start(&starting, init_arg(returns_rubbish, weft_self())).reason,
               weft_tuple(A(bad_return_value), weft_any));
}

PROCESS_TEST(a_start_that_takes_too_long_is_killed_and_leaves_nothing, "GS-7 GS-8")
{
    weft_started started;
    weft_pid child = weft_none;

    weft_trap_exit(true);
    started = weft_gen_server_start_link(&starting, init_arg(tells_and_waits, weft_self()), .timeout_ms = 5,
                                         .name = A(slow));
    check(!started.ok);
    check_term(started.reason, A(timeout));
    check_term(weft_whereis(A(slow)), weft_none);
    /* Unless it was killed before it came to anything. */
    if (weft_receive(weft_tuple(A(in_init), weft_bind(&child)), 0, NULL))
        check(!weft_is_alive(child));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_failed_start_is_over_before_the_starter_hears_of_it, "GS-8")
{
    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;
        weft_started started =
            weft_gen_server_start(&starting, init_arg(stops_with, A(shutdown)), .name = A(busy));

        if (!check_term(started.reason, A(shutdown)))
            return;
    }
}

static weft_term starts_and_fails(weft_term test)
{
    weft_started started = weft_gen_server_start_link(&starting, init_arg(stops_with, A(no_luck)));

    weft_send(test, weft_tuple(A(survived), started.reason));
    return A(ok);
}

PROCESS_TEST(a_failed_linked_start_ends_a_caller_that_does_not_trap, "GS-9")
{
    weft_ref down;

    weft_spawn(starts_and_fails, weft_self(), .monitor = &down);
    check_term(await_down(down), A(no_luck));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_failed_linked_start_leaves_no_exit_message, "GS-9")
{
    weft_trap_exit(true);
    check_term(weft_gen_server_start_link(&starting, init_arg(stops_with, A(no_luck))).reason, A(no_luck));
    check_term(weft_gen_server_start_link(&starting, init_arg(errs_with, A(no_luck))).reason, A(no_luck));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_failed_monitored_start_leaves_no_down_message, "GS-9")
{
    weft_ref ref = weft_none;

    check(!weft_gen_server_start(&starting, init_arg(stops_with, A(no_luck)), .monitor = &ref).ok);
    expect_no_message(weft_any);
}

PROCESS_TEST(a_start_may_monitor_the_server, "GS-1")
{
    weft_ref ref = weft_none;
    weft_started started = weft_gen_server_start(&scripted_server, weft_self(), .monitor = &ref);

    run_cast(started.pid, stops, A(shutdown));
    check_term(await_down(ref), A(shutdown));
}

PROCESS_TEST(a_taken_name_gives_its_holder, "GS-10")
{
    weft_pid first = weft_must(weft_gen_server_start(&scripted_server, weft_self(), .name = A(only_one)));
    weft_started second =
        weft_gen_server_start_link(&starting, init_arg(tells_and_waits, weft_self()), .name = A(only_one));

    check(!second.ok);
    check_term(second.reason, weft_tuple(A(already_started), first));
    check_term(info_of(weft_self(), A(links)), weft_empty_list);
    expect_no_message(weft_any); /* init did not run */
}

static weft_term races(weft_term test)
{
    weft_started started;

    weft_trap_exit(true);
    weft_receive(A(go), WEFT_INFINITY, NULL);
    started = weft_gen_server_start_link(&scripted_server, test, .name = A(raced_for));
    if (started.ok)
        weft_send(test, weft_tuple(A(won), started.pid));
    else
        weft_send(test, weft_tuple(A(lost), started.reason, info_of(weft_self(), A(links)),
                                   weft_int((int64_t)weft_message_queue_len())));
    weft_receive(A(stop), WEFT_INFINITY, NULL);
    return A(ok);
}

PROCESS_TEST(of_racing_starts_of_one_name_one_wins, "GS-10")
{
    enum { RACERS = 8 };

    for (int round = 0; round < scaled(100); round++) {
        WEFT_SCOPE;
        weft_pid racers[RACERS], winner = weft_none;

        for (int i = 0; i < RACERS; i++)
            racers[i] = weft_spawn(races, weft_self());
        for (int i = 0; i < RACERS; i++)
            weft_send(racers[i], A(go));
        expect_message(weft_tuple(A(won), weft_bind(&winner)));
        for (int i = 1; i < RACERS; i++)
            expect_message(weft_tuple(A(lost), weft_tuple(A(already_started), winner), weft_empty_list,
                                      weft_int(0)));
        weft_gen_server_stop(winner, weft_none, BOUND_MS);
        expect_message(weft_tuple(A(terminate), A(normal), weft_any));
        for (int i = 0; i < RACERS; i++)
            weft_send(racers[i], A(stop));
    }
}

static weft_term starts_slowly(weft_term test)
{
    weft_gen_server_start(&starting, init_arg(tells_and_waits, test), .name = A(slow));
    return A(ok);
}

static weft_term starts_and_stops(weft_term test)
{
    weft_gen_server_start(&starting, init_arg(tells_and_stops, test), .name = A(slow));
    return A(ok);
}

PROCESS_TEST(messages_sent_to_the_name_during_init_are_handled_after_it, "GS-11")
{
    weft_pid server = weft_none;

    weft_spawn(starts_slowly, weft_self());
    expect_message(weft_tuple(A(in_init), weft_bind(&server)));
    check_term(weft_whereis(A(slow)), server);
    weft_send(A(slow), A(early));
    weft_send(server, A(go));
    expect_message(weft_tuple(A(info), A(early)));
}

static weft_term calls_slow(weft_term arg)
{
    (void)arg;
    return weft_gen_server_call(A(slow), A(hello), WEFT_INFINITY);
}

PROCESS_TEST(a_call_that_waits_for_an_init_that_fails_exits_with_its_reason, "GS-11 GS-15")
{
    weft_pid server = weft_none, caller;
    weft_ref down;

    weft_spawn(starts_and_stops, weft_self());
    expect_message(weft_tuple(A(in_init), weft_bind(&server)));
    caller = weft_spawn(calls_slow, weft_none, .monitor = &down);
    await_waiting(caller);
    weft_send(server, A(go));
    check_fits(await_down(down), failed_call(A(no_luck), A(call)));
}

static weft_term starts_named(weft_term name)
{
    weft_gen_server_start(&scripted_server, weft_self(), .name = name);
    return A(ok);
}

/* The text of {:badarg, text} with which fn(arg) ends its process. */
static const char *mistake_of(weft_fn *fn, weft_term arg)
{
    weft_term text = weft_none;
    weft_ref down;

    weft_spawn(fn, arg, .monitor = &down);
    if (!check_fits(await_down(down), weft_tuple(A(badarg), weft_bind(&text))))
        return "";
    return weft_text(text);
}

PROCESS_TEST(a_name_that_is_none_fails_with_the_accepted_forms, "GS-12")
{
    weft_term bad[] = {weft_int(1), weft_str("name"), A(true), A(nil), A(undefined), weft_tuple(A(via), A(x))};

    for (size_t i = 0; i < COUNT(bad); i++) {
        WEFT_SCOPE;

        check_has(mistake_of(starts_named, bad[i]), "weft_via(registry, key)");
    }
}

PROCESS_TEST(whereis_takes_a_pid_a_name_and_a_via, "GS-12")
{
    weft_pid server = weft_must(weft_gen_server_start(&scripted_server, weft_self(), .name = A(here)));

    check_term(weft_gen_server_whereis(server), server);
    check_term(weft_gen_server_whereis(A(here)), server);
    check_term(weft_gen_server_whereis(A(nobody_is_here)), weft_none);
    check_term(weft_gen_server_whereis(weft_via(A(no_registry), A(key))), weft_none);
}

/* -- a registry of one place: what a via needs ------------------------------------------ */

static _Atomic uint64_t only_entry;

static int only_whereis(weft_term registry, weft_term key, weft_pid *pid)
{
    (void)registry;
    *pid = weft_eq(key, A(the_key)) ? weft__term(atomic_load(&only_entry)) : weft_none;
    return 0;
}

static int only_register(weft_term registry, weft_term key, weft_term value, weft_pid *holder)
{
    uint64_t nobody = 0;

    (void)key, (void)value;
    if (!weft_eq(registry, A(only)))
        return WEFT_ENOENT;
    if (atomic_compare_exchange_strong(&only_entry, &nobody, weft_self().bits))
        return 0;
    *holder = weft__term(nobody);
    return WEFT_EALREADY;
}

static const struct weft__via only = {only_whereis, only_register};

PROCESS_TEST(a_via_names_a_server_where_an_atom_does, "GS-12 GS-10")
{
    weft_server name = weft_via(A(only), A(the_key));
    weft_started started, again;

    weft__via = &only;
    started = weft_gen_server_start(&scripted_server, weft_self(), .name = name);
    check(started.ok);
    check_term(run_call(name, replies_self, A(nil)), started.pid);
    again = weft_gen_server_start(&scripted_server, weft_self(), .name = name);
    check_term(again.reason, weft_tuple(A(already_started), started.pid));
    run_cast(name, tells, A(by_via));
    expect_message(A(by_via));
    weft_gen_server_stop(name, weft_none, BOUND_MS);
}

PROCESS_TEST(a_via_without_such_a_registry_fails_the_start_in_words, "GS-12")
{
    weft_term text = weft_none;
    weft_started started;

    weft__via = &only;
    started = weft_gen_server_start(&scripted_server, weft_self(), .name = weft_via(A(other), A(key)));
    check(!started.ok);
    if (check_fits(started.reason, weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), "no such registry");
}

PROCESS_TEST(a_child_spec_has_the_defaults_of_a_worker, "GS-13")
{
    static const weft_gen_server named = {.init = scripted_init, .name = "rooms"};
    weft_child_spec spec = weft_gen_server_child(&scripted_server, weft_self(), weft_none);

    check_term(spec.id, WEFT_ATOM("GenServer"));
    check_int(spec.restart, WEFT_PERMANENT);
    check_int(spec.shutdown_ms, WEFT_SHUTDOWN_BY_TYPE);
    check_int(spec.type, WEFT_WORKER);
    check_term(weft_gen_server_child(&named, weft_none, weft_none).id, weft_str("rooms"));
}

PROCESS_TEST(a_child_spec_starts_the_server_linked_and_named, "GS-13")
{
    weft_child_spec spec = weft_gen_server_child(&scripted_server, weft_self(), A(by_spec));
    weft_started started = spec.start(spec.arg);

    check(started.ok);
    check_term(weft_whereis(A(by_spec)), started.pid);
    check_term(info_of(started.pid, A(links)), weft_list(weft_self()));
}

/* -- the starter's own end -------------------------------------------------------------- */

PROCESS_TEST(a_starter_that_is_killed_leaves_a_child_that_is_not_linked, "GS-1")
{
    weft_pid starter, server = weft_none;
    weft_ref down;

    starter = weft_spawn(starts_slowly, weft_self());
    expect_message(weft_tuple(A(in_init), weft_bind(&server)));
    down = weft_monitor(server);
    weft_kill(starter);
    weft_send(server, A(go)); /* not linked: it goes on, its answer is dropped */
    check_term(run_call(server, replies_with, A(up)), A(up));
    weft_kill(server);
    check_term(await_down(down), A(killed));
}

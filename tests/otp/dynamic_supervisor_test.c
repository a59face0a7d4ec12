/* dynamic_supervisor_test.c - children that come and go. Children and what they
 * tell: sup_test.h. */
#include "otp/sup_test.h"

#include "weft/dynamic_supervisor.h"
#include "weft/gen_server.h"
#include "weft/log.h"

static weft_pid start_sup(void)
{
    set_up();
    return weft_must(weft_dynamic_supervisor_start_link(.max_restarts = 1000000));
}

static weft_child_counts counts_of(weft_pid sup)
{
    weft_child_counts counts = {.specs = -1};

    check_int(weft_dynamic_supervisor_count_children(sup, &counts), 0);
    return counts;
}

#define start_child(sup, n, ...) weft_dynamic_supervisor_start_child((sup), child_spec(n, ##__VA_ARGS__))

/* -- starting ------------------------------------------------------------------------ */

PROCESS_TEST(it_starts_without_children, "DSUP-1")
{
    weft_pid sup;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.name = A(dyn)));
    check_term(weft_whereis(A(dyn)), sup);
    check_term(weft_dynamic_supervisor_which_children(sup), weft_empty_list);
    check_int(counts_of(sup).specs, 0);
}

static weft_term bad(weft_atom what, weft_term value)
{
    return weft_tuple(A(supervisor_data), weft_tuple(what, value));
}

PROCESS_TEST(bad_options_are_named_with_their_value, "DSUP-2")
{
    set_up();
    check_term(weft_dynamic_supervisor_start_link(.strategy = WEFT_ONE_FOR_ALL).reason, bad(A(invalid_strategy), weft_int(WEFT_ONE_FOR_ALL)));
    check_term(weft_dynamic_supervisor_start_link(.max_restarts = -1).reason, bad(A(invalid_intensity), weft_int(-1)));
    check_term(weft_dynamic_supervisor_start_link(.max_seconds = 0).reason, bad(A(invalid_period), weft_int(0)));
    check_term(weft_dynamic_supervisor_start_link(.max_children = -1).reason, bad(A(invalid_max_children), weft_int(-1)));
    check_term(weft_dynamic_supervisor_start_link(.extra_arguments = A(x)).reason, bad(A(invalid_extra_arguments), A(x)));
    expect_no_message(weft_any);
}

static weft_dynamic_supervisor_init says(weft_term arg)
{
    if (weft_eq(arg, A(ignore)))
        return weft_dynamic_supervisor_init_ignore();
    if (weft_eq(arg, A(run)))
        return weft_dynamic_supervisor_init_ok(.max_children = 0);
    return (weft_dynamic_supervisor_init){.kind = 0};
}

PROCESS_TEST(an_init_callback_says_its_options_or_ignore, "DSUP-3")
{
    weft_started started;

    set_up();
    started = weft_dynamic_supervisor_start_link_init(says, A(run), A(dyn));
    check(started.ok);
    check_term(start_child(A(dyn), 0).reason, A(max_children));
    check(weft_started_is_ignored(weft_dynamic_supervisor_start_link_init(says, A(ignore), weft_none)));
    check_fits(weft_dynamic_supervisor_start_link_init(says, A(what), weft_none).reason,
               weft_tuple(A(bad_return), weft_tuple(WEFT_ATOM("weft_dynamic_supervisor"), A(init), weft_int(0))));
}

PROCESS_TEST(its_child_spec_is_a_supervisors, "DSUP-4")
{
    weft_child_spec spec = weft_dynamic_supervisor_child(.name = A(dyn), .max_children = 1);
    weft_pid sup;

    set_up();
    check_term(spec.id, A(dyn));
    check_int(spec.type, WEFT_SUPERVISOR);
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    check_term(weft_map_get(weft_supervisor_get_child_spec(sup, A(dyn)), A(shutdown), weft_none), A(infinity));
    check(start_child(A(dyn), 0).ok);
    check_term(start_child(A(dyn), 1).reason, A(max_children));
}

/* -- start_child ------------------------------------------------------------------------- */

static weft_started start_with_info(weft_term arg)
{
    weft_started started = child_start(arg);

    started.info = A(more);
    return started;
}

PROCESS_TEST(a_child_runs_when_start_child_returns, "DSUP-5")
{
    weft_pid sup = start_sup();
    weft_started started = start_child(sup, 0);

    check_term(started.pid, child_pid(0));
    check(weft_is_alive(started.pid));
    check(is_listed(info_of(sup, A(links)), started.pid));
    started = weft_dynamic_supervisor_start_child(sup, weft_child(.start = start_with_info, .arg = weft_int(1)));
    check(started.ok);
    check_term(started.info, A(more));
}

PROCESS_TEST(equal_ids_run_side_by_side, "DSUP-6")
{
    weft_pid sup = start_sup();

    for (int i = 0; i < 3; i++)
        check(weft_dynamic_supervisor_start_child(sup, weft_child(.id = A(same), .start = child_start, .arg = weft_int(i))).ok);
    check_int(counts_of(sup).active, 3);
}

PROCESS_TEST(a_bad_spec_is_told_before_the_supervisor_is_asked, "DSUP-7 DSUP-8")
{
    weft_child_spec spec = child_spec(0);

    set_up();
    check_term(weft_dynamic_supervisor_start_child(A(nobody_here), weft_child(.arg = A(x))).reason, A(missing_start));
    spec.shutdown_ms = -9;
    check_term(weft_dynamic_supervisor_start_child(A(nobody_here), spec).reason, weft_tuple(A(invalid_shutdown), weft_int(-9)));
    spec = child_spec(0);
    spec.restart = (enum weft_restart)9;
    check_term(weft_dynamic_supervisor_start_child(A(nobody_here), spec).reason, weft_tuple(A(invalid_restart_type), weft_int(9)));
    spec = child_spec(0, .significant = true, .restart = WEFT_TRANSIENT);
    check_term(weft_dynamic_supervisor_start_child(A(nobody_here), spec).reason, weft_tuple(A(invalid_significant), A(true)));
    check_term(weft_dynamic_supervisor_start_child(A(nobody_here), child_spec(0)).reason, A(noproc));
}

static weft_started wants_three(weft_term arg)
{
    weft_send(tester, weft_tuple(A(got), arg));
    return child_start(weft_head(weft_list_reverse(arg)));
}

PROCESS_TEST(extra_arguments_come_first_at_each_start, "DSUP-9")
{
    weft_term want = weft_list(A(a), A(b), weft_int(0));
    weft_pid sup;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.extra_arguments = weft_list(A(a), A(b))));
    check(weft_dynamic_supervisor_start_child(sup, weft_child(.start = wants_three, .arg = weft_int(0))).ok);
    expect_message(weft_tuple(A(got), want));
    end_child(sup, 0, A(boom));
    expect_message(weft_tuple(A(got), want));
}

PROCESS_TEST(a_start_that_ignores_stores_nothing, "DSUP-10")
{
    weft_pid sup = start_sup();

    plans[0].start = IGNORES;
    check(weft_started_is_ignored(start_child(sup, 0)));
    check_int(counts_of(sup).specs, 0);
}

PROCESS_TEST(a_start_that_fails_gives_its_reason_and_stores_nothing, "DSUP-11")
{
    weft_pid sup;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.max_restarts = 0));
    plans[0].start = FAILS;
    check_term(start_child(sup, 0).reason, A(will_not));
    plans[0].start = EXITS;
    check_term(start_child(sup, 0).reason, A(exited));
    plans[0].start = CRASHES;
    check_fits(start_child(sup, 0).reason, weft_tuple(A(crashed), weft_any));
    plans[0].start = STARTS_UNLINKED;
    check_term(start_child(sup, 0).reason, A(not_linked));
    check_int(counts_of(sup).specs, 0);
}

static weft_init_result init_nothing(weft_term arg)
{
    (void)arg;
    return weft_init_ok(NULL);
}

static const weft_gen_server idle_server = {.init = init_nothing};

static weft_started start_named(weft_term name)
{
    return weft_gen_server_start_link(&idle_server, weft_none, .name = name);
}

PROCESS_TEST(a_child_whose_name_is_taken_is_not_adopted, "DSUP-12")
{
    weft_pid sup = start_sup(), first;

    first = weft_must(weft_dynamic_supervisor_start_child(sup, weft_child(.start = start_named, .arg = A(taken))));
    check_term(weft_dynamic_supervisor_start_child(sup, weft_child(.start = start_named, .arg = A(taken))).reason,
               weft_tuple(A(already_started), first));
    check_int(counts_of(sup).specs, 1);
}

PROCESS_TEST(at_the_limit_the_start_function_is_not_called, "DSUP-13")
{
    weft_pid sup;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.max_children = 2));
    check(start_child(sup, 0).ok && start_child(sup, 1).ok);
    check_term(start_child(sup, 2).reason, A(max_children));
    check_int(plans[2].n_starts, 0);
    check_int(weft_dynamic_supervisor_terminate_child(sup, child_pid(0)), 0);
    check(start_child(sup, 2).ok);
}

static void await_restarting(weft_pid sup)
{
    weft_child_counts counts;

    do
        counts = counts_of(sup);
    while (counts.active == counts.specs && plans[0].n_starts < 1000000);
}

PROCESS_TEST(a_child_that_is_being_restarted_holds_its_place, "DSUP-14 DSUP-20 DSUP-26 DSUP-29")
{
    weft_pid sup, last;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.max_children = 1, .max_restarts = 1000000000));
    check(start_child(sup, 0, .type = WEFT_SUPERVISOR).ok);
    last = child_pid(0);
    plans[0].start = FAILS;
    weft_send(last, weft_tuple(A(exit), A(boom)));
    await_restarting(sup);
    check_term(start_child(sup, 1).reason, A(max_children));
    check_fits(weft_dynamic_supervisor_which_children(sup),
               weft_list(weft_tuple(A(undefined), A(restarting), A(supervisor), weft_empty_list)));
    check_int(counts_of(sup).specs, 1);
    check_int(counts_of(sup).active, 0);
    check_int(counts_of(sup).supervisors, 1);
    check_int(weft_dynamic_supervisor_terminate_child(sup, last), 0);
    check_int(counts_of(sup).specs, 0);
    check(start_child(sup, 1).ok);
}

static weft_term starts_slowly(weft_term sup)
{
    weft_dynamic_supervisor_start_child(sup, weft_child(.start = takes_its_time, .arg = weft_int(7)));
    return A(ok);
}

static weft_term starts_another(weft_term sup)
{
    check(start_child(sup, 1).ok);
    return A(ok);
}

PROCESS_TEST(a_slow_init_holds_up_the_other_starts, "DSUP-15")
{
    weft_pid sup = start_sup();
    weft_ref down;

    weft_spawn(starts_slowly, sup);
    expect_message(weft_tuple(A(busy), sup));
    weft_spawn(starts_another, sup, .monitor = &down);
    expect_no_message(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any));
    check_int(plans[1].n_starts, 0);
    weft_send(sup, A(go_on));
    check_term(await_down(down), A(normal));
}

/* -- when a child ends ---------------------------------------------------------------------- */

static bool is_restarted(weft_pid sup, enum weft_restart restart, weft_term reason)
{
    WEFT_SCOPE;
    int before = plans[0].n_starts;

    check(start_child(sup, 0, .restart = restart).ok);
    end_child(sup, 0, reason);
    if (plans[0].n_starts == before + 1) {
        check_int(counts_of(sup).specs, 0);
        return false;
    }
    check_int(weft_dynamic_supervisor_terminate_child(sup, child_pid(0)), 0);
    return true;
}

PROCESS_TEST(restarts_are_those_of_a_supervisor_but_leave_no_trace, "DSUP-16")
{
    weft_pid sup = start_sup();

    check(is_restarted(sup, WEFT_PERMANENT, A(normal)));
    check(is_restarted(sup, WEFT_PERMANENT, A(boom)));
    check(is_restarted(sup, WEFT_TRANSIENT, A(boom)));
    check(!is_restarted(sup, WEFT_TRANSIENT, A(normal)));
    check(!is_restarted(sup, WEFT_TRANSIENT, weft_tuple(A(shutdown), A(x))));
    check(!is_restarted(sup, WEFT_TEMPORARY, A(boom)));
}

PROCESS_TEST(a_restarted_child_has_a_new_pid, "DSUP-17")
{
    weft_pid sup = start_sup(), old;

    start_child(sup, 0);
    old = child_pid(0);
    end_child(sup, 0, A(boom));
    check(!weft_eq(child_pid(0), old));
    check_int(weft_dynamic_supervisor_terminate_child(sup, old), WEFT_ENOENT);
    check_int(weft_dynamic_supervisor_terminate_child(sup, child_pid(0)), 0);
}

PROCESS_TEST(a_restart_with_more_to_say_is_a_restart, "DSUP-18")
{
    weft_pid sup = start_sup();

    check(weft_dynamic_supervisor_start_child(sup, weft_child(.start = start_with_info, .arg = weft_int(0))).ok);
    end_child(sup, 0, A(boom));
    check_int(counts_of(sup).active, 1);
    check_int(plans[0].n_starts, 2);
}

PROCESS_TEST(a_restart_that_ignores_removes_the_child, "DSUP-19")
{
    weft_pid sup = start_sup();

    start_child(sup, 0);
    plans[0].start = IGNORES;
    end_child(sup, 0, A(boom));
    check_int(counts_of(sup).specs, 0);
    check(weft_is_alive(sup));
}

PROCESS_TEST(a_restart_that_fails_is_tried_again_and_counts, "DSUP-20 DSUP-21")
{
    weft_pid sup;
    weft_ref down, other;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.max_restarts = 3));
    down = weft_monitor(sup);
    start_child(sup, 0);
    start_child(sup, 1);
    other = weft_monitor(child_pid(1));
    plans[0].start = CRASHES;
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_int(plans[0].n_starts, 1 + 3);
    check_term(await_down(other), A(shutdown));
}

static _Atomic int n_released;

static void released(void *data, void *arg)
{
    (void)data, (void)arg;
    n_released++;
}

static weft_started start_first_of(weft_term arg)
{
    return child_start(weft_tuple_at(arg, 0));
}

/* Starts a child whose argument holds something counted. */
static weft_term starts_with_much(weft_term arg)
{
    static char much[100000];

    weft_dynamic_supervisor_start_child(
        weft_tuple_at(arg, 0), weft_child(.start = start_first_of, .restart = (enum weft_restart)weft_to_int(weft_tuple_at(arg, 1)),
                                          .arg = weft_tuple(weft_int(0), weft_bin_wrap(much, sizeof much, released, NULL))));
    return A(ok);
}

PROCESS_TEST(the_argument_of_a_temporary_child_is_not_kept, "DSUP-22")
{
    weft_pid sup = start_sup();

    await_end(weft_spawn(starts_with_much, weft_tuple(sup, weft_int(WEFT_PERMANENT))));
    counts_of(sup);
    check_int(n_released, 0);
    await_end(weft_spawn(starts_with_much, weft_tuple(sup, weft_int(WEFT_TEMPORARY))));
    counts_of(sup); /* the scope of the request is over */
    await_count(&n_released, 1); /* what the asker had goes after its DOWN */
    check_int(n_released, 1);
}

static weft_term exits_at(weft_term sup)
{
    weft_exit_signal(sup, A(boom));
    return A(ok);
}

PROCESS_TEST(exits_of_strangers_and_stray_messages_are_dropped, "DSUP-23")
{
    weft_pid sup = start_sup();

    await_end(weft_spawn(exits_at, sup));
    weft_send(sup, A(hello));
    weft_gen_server_cast(sup, A(hello));
    check_int(counts_of(sup).specs, 0);
}

/* -- terminate_child ------------------------------------------------------------------------------ */

PROCESS_TEST(terminate_child_removes_it_whatever_its_restart_type, "DSUP-24 DSUP-25")
{
    weft_pid sup, pid;

    set_up();
    sup = weft_must(weft_dynamic_supervisor_start_link(.max_restarts = 0));
    for (int restart = WEFT_PERMANENT; restart <= WEFT_TEMPORARY; restart++) {
        start_child(sup, 0, .restart = (enum weft_restart)restart);
        pid = child_pid(0);
        check_int(weft_dynamic_supervisor_terminate_child(sup, pid), 0);
        check(!weft_is_alive(pid));
        expect_stop(0, A(shutdown));
        check_int(weft_dynamic_supervisor_terminate_child(sup, pid), WEFT_ENOENT);
    }
    check_int(weft_dynamic_supervisor_terminate_child(sup, weft_self()), WEFT_ENOENT);
    check_int(weft_dynamic_supervisor_terminate_child(sup, A(x)), WEFT_ENOENT);
    check_int(weft_dynamic_supervisor_terminate_child(A(nobody_here), weft_self()), WEFT_ENOPROC);
}

static weft_term terminates_first(weft_term sup)
{
    check_int(weft_dynamic_supervisor_terminate_child(sup, child_pid(0)), 0);
    return A(ok);
}

PROCESS_TEST(a_child_whose_exit_is_still_queued_is_not_restarted, "DSUP-27")
{
    weft_pid sup = start_sup(), asker;
    weft_ref dead, asked;

    start_child(sup, 0);
    dead = weft_monitor(child_pid(0));
    weft_spawn(starts_slowly, sup);
    expect_message(weft_tuple(A(busy), sup));
    asker = weft_spawn(terminates_first, sup, .monitor = &asked);
    await_waiting(asker);
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    await_down(dead);
    weft_send(sup, A(go_on));
    check_term(await_down(asked), A(normal));
    counts_of(sup);
    check_int(plans[0].n_starts, 1);
}

/* -- queries ------------------------------------------------------------------------------------- */

PROCESS_TEST(which_children_has_no_ids_and_no_order, "DSUP-28")
{
    weft_pid sup = start_sup();
    weft_term lines;
    int n = 0;

    for (int i = 0; i < 5; i++)
        start_child(sup, i);
    lines = weft_dynamic_supervisor_which_children(sup);
    weft_list_each (line, lines) {
        check_fits(line, weft_tuple(A(undefined), weft_any, A(worker), weft_empty_list));
        for (int i = 0; i < 5; i++)
            n += weft_eq(weft_tuple_at(line, 1), child_pid(i));
    }
    check_int(n, 5);
}

static weft_term idles(weft_term arg)
{
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static weft_started start_idle(weft_term arg)
{
    return weft_started_ok(weft_spawn(idles, arg, .link = true));
}

static void start_many(weft_pid sup, int n, int64_t shutdown_ms)
{
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;

        weft_dynamic_supervisor_start_child(
            sup, weft_child(.start = start_idle, .restart = WEFT_TEMPORARY, .shutdown_ms = shutdown_ms));
    }
}

static int64_t least_count_ns(weft_pid sup)
{
    int64_t least = INT64_MAX;

    for (int i = 0; i < 200; i++) {
        int64_t begun = now_ns(), took;

        counts_of(sup);
        took = now_ns() - begun;
        least = took < least ? took : least;
    }
    return least;
}

PROCESS_TEST(counting_and_starting_take_the_same_time_with_many, "DSUP-30 DSUP-37")
{
    weft_pid sup = start_sup();
    int64_t few, many;

    few = least_count_ns(sup);
    start_many(sup, scaled(20000), 5000);
    many = least_count_ns(sup);
    check_int(counts_of(sup).active, scaled(20000));
    diag("%lld ns with none, %lld ns with %d", (long long)few, (long long)many, scaled(20000));
    check_lt(many, 20 * few);
}

/* -- stopping -------------------------------------------------------------------------------------- */

PROCESS_TEST(all_are_told_at_once_and_waited_for_together, "DSUP-31 DSUP-32")
{
    weft_pid sup = start_sup();
    int64_t begun;

    for (int i = 0; i < 40; i++) {
        plans[i].kind = STUBBORN;
        start_child(sup, i, .shutdown_ms = i < 20 ? 50 : 100);
    }
    begun = now_ms();
    weft_dynamic_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    /* One after the other would take 3,000; the time is what these rules are about. */
    check_ge(now_ms() - begun, 100);
    check_lt(now_ms() - begun, 2900);
}

static weft_term ended_with(enum child_kind kind, int64_t shutdown_ms)
{
    weft_pid sup = start_sup();
    weft_ref down;

    plans[0].kind = kind;
    start_child(sup, 0, .shutdown_ms = shutdown_ms);
    down = weft_monitor(child_pid(0));
    weft_dynamic_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    return await_down(down);
}

PROCESS_TEST(children_end_as_told_or_killed, "DSUP-33")
{
    check_term(ended_with(PLAIN, 0), A(shutdown));
    check_term(ended_with(STUBBORN, 1), A(killed));
    check_term(ended_with(TRAPPING, WEFT_BRUTAL_KILL), A(killed));
    check_term(ended_with(TRAPPING, 5000), A(shutdown));
}

PROCESS_TEST(one_that_unlinked_itself_or_has_just_died_does_not_hang_the_stop, "DSUP-34")
{
    weft_pid sup = start_sup();

    start_child(sup, 0);
    start_child(sup, 1, .restart = WEFT_TEMPORARY);
    weft_send(child_pid(0), weft_tuple(A(run), weft_pointer((const void *)do_unlink), sup));
    expect_message(weft_tuple(A(ran), weft_any));
    weft_send(child_pid(1), weft_tuple(A(exit), A(boom)));
    weft_dynamic_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check(!weft_is_alive(child_pid(0)));
}

static _Atomic int n_reports, n_children;

static void count_reports(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strcmp(record->text, "children did not stop as told") != 0)
        return;
    n_reports++;
    n_children += (int)weft_to_int(weft_keyword(record->fields, A(children), weft_int(0)));
}

PROCESS_TEST(odd_ends_during_the_stop_are_reported_once_for_each_reason, "DSUP-35")
{
    weft_pid sup = start_sup();

    for (int i = 0; i < 10; i++) {
        plans[i].kind = ODD_ENDING;
        start_child(sup, i);
    }
    weft_log_set_handler(count_reports, NULL, NULL);
    weft_dynamic_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(n_reports, 1);
    check_int(n_children, 10);
}

PROCESS_TEST(stop_returns_when_all_are_dead, "DSUP-36")
{
    weft_pid sup = start_sup();
    weft_term why = weft_none;

    start_many(sup, scaled(5000), 5000);
    start_child(sup, 0);
    weft_dynamic_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check(!weft_is_alive(sup) && !weft_is_alive(child_pid(0)));
    check(!weft_supervisor_try_stop(sup, A(normal), 10, &why));
    check_term(why, A(noproc));
}

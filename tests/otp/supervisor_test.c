/* supervisor_test.c - supervisors with a fixed list of children: starts, stops,
 * strategies, intensity. Children and what they tell: sup_test.h. */
#include "otp/sup_test.h"

#include "weft/gen_server.h"
#include "weft/log.h"

/* A supervisor of n plain children by number from 0. */
static weft_child_spec *specs_of(size_t n, weft_child_spec *specs)
{
    for (size_t i = 0; i < n; i++)
        specs[i] = child_spec((int)i);
    return specs;
}

#define start_n(n, ...) weft_must(weft_supervisor_start_link(specs_of((n), (weft_child_spec[N_PLANS]){0}), (n), __VA_ARGS__))

static bool is_up(int n)
{
    return weft_is_alive(child_pid(n));
}

/* -- options and specs ----------------------------------------------------------- */

PROCESS_TEST(a_strategy_has_to_be_given, "SUP-3")
{
    weft_started started;

    set_up();
    started = weft_supervisor_start_link(NULL, 0);
    check(!started.ok);
    check_has(weft_inspect(started.reason), ".strategy is missing");
}

PROCESS_TEST(bad_flags_are_named_with_their_value, "SUP-3 SUP-7")
{
    set_up();
    check_term(weft_supervisor_start_link(NULL, 0, .strategy = (enum weft_strategy)9).reason,
               weft_tuple(A(supervisor_data), weft_tuple(A(invalid_strategy), weft_int(9))));
    check_term(weft_supervisor_start_link(NULL, 0, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = -1).reason,
               weft_tuple(A(supervisor_data), weft_tuple(A(invalid_intensity), weft_int(-1))));
    check_term(weft_supervisor_start_link(NULL, 0, .strategy = WEFT_ONE_FOR_ONE, .max_seconds = 0).reason,
               weft_tuple(A(supervisor_data), weft_tuple(A(invalid_period), weft_int(0))));
    check_term(weft_supervisor_start_link(NULL, 0, .strategy = WEFT_ONE_FOR_ONE,
                                          .auto_shutdown = (enum weft_auto_shutdown)7).reason,
               weft_tuple(A(supervisor_data), weft_tuple(A(invalid_auto_shutdown), weft_int(7))));
}

PROCESS_TEST(a_problem_with_a_spec_is_told_by_kind_before_anything_starts, "SUP-4 SUP-5")
{
    weft_child_spec specs[2];

    set_up();
    specs[0] = child_spec(0);
    specs[1] = weft_child(.start = child_start);
    check_term(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE).reason,
               weft_tuple(A(start_spec), A(missing_id)));
    specs[1] = weft_child(.id = A(x));
    check_term(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE).reason,
               weft_tuple(A(start_spec), A(missing_start)));
    specs[1] = child_spec(1, .significant = true);
    check_fits(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE,
                                          .auto_shutdown = WEFT_ANY_SIGNIFICANT).reason,
               weft_tuple(A(start_spec), weft_tuple(A(bad_combination), weft_any)));
    specs[1].restart = WEFT_TRANSIENT;
    check_fits(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE).reason,
               weft_tuple(A(start_spec), weft_tuple(A(bad_combination), weft_any)));
    check_int(plans[0].n_starts, 0);
    expect_no_message(weft_tuple(A(EXIT), weft_any, weft_any));
}

PROCESS_TEST(two_specs_of_one_id_start_nothing, "SUP-6")
{
    weft_child_spec specs[2];

    set_up();
    specs[0] = specs[1] = child_spec(0);
    check_term(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE).reason,
               weft_tuple(A(start_spec), weft_tuple(A(duplicate_child_name), child_id(0))));
    check_int(plans[0].n_starts, 0);
}

static weft_supervisor_init says(weft_term arg)
{
    static weft_child_spec specs[1];

    if (weft_eq(arg, A(ignore)))
        return weft_supervisor_init_ignore();
    if (weft_eq(arg, A(other)))
        return (weft_supervisor_init){.n = 0};
    specs[0] = child_spec(0);
    return weft_supervisor_init_ok(specs, 1, .strategy = WEFT_ONE_FOR_ONE);
}

PROCESS_TEST(an_init_callback_says_flags_and_children_or_ignore, "SUP-8")
{
    weft_started started;

    set_up();
    started = weft_supervisor_start_link_init(says, A(run), A(by_callback));
    check(started.ok);
    expect_start(0);
    check_term(weft_whereis(A(by_callback)), started.pid);
    check(weft_started_is_ignored(weft_supervisor_start_link_init(says, A(ignore), weft_none)));
    check_fits(weft_supervisor_start_link_init(says, A(other), weft_none).reason,
               weft_tuple(A(bad_return), weft_tuple(WEFT_ATOM("weft_supervisor"), A(init), weft_any)));
}

PROCESS_TEST(a_field_of_a_ready_made_spec_is_changed_by_assignment, "SUP-9")
{
    weft_child_spec spec = child_spec(0);
    weft_pid sup;

    set_up();
    spec.restart = WEFT_TEMPORARY;
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    end_child(sup, 0, A(boom));
    check_int(plans[0].n_starts, 1);
}

/* -- starting --------------------------------------------------------------------- */

PROCESS_TEST(children_start_in_order_and_are_up_when_start_returns, "SUP-10 SUP-11")
{
    weft_pid sup;

    set_up();
    sup = start_n(3, .strategy = WEFT_ONE_FOR_ONE, .name = A(the_sup));
    check_str(events(), "+0 +1 +2");
    check(is_up(0) && is_up(1) && is_up(2));
    check_term(weft_whereis(A(the_sup)), sup);
    check(is_listed(info_of(weft_self(), A(links)), sup));
    check_term(info_of(sup, A(trap_exit)), A(true));
}

PROCESS_TEST(a_child_that_ignores_keeps_its_spec_unless_it_is_temporary, "SUP-13")
{
    weft_child_spec specs[3];
    weft_pid sup;

    set_up();
    plans[0].start = plans[1].start = IGNORES;
    specs[0] = child_spec(0);
    specs[1] = child_spec(1, .restart = WEFT_TEMPORARY);
    specs[2] = child_spec(2);
    sup = weft_must(weft_supervisor_start_link(specs, 3, .strategy = WEFT_ONE_FOR_ONE));
    check_str(events(), "+0 +1 +2");
    check_term(place_of(sup, child_id(0)), A(undefined));
    check(weft_is_none(place_of(sup, child_id(1))));
    check_term(place_of(sup, child_id(2)), child_pid(2));
}

static void fails_with(int how, weft_term pattern)
{
    weft_started started;
    weft_term why;

    plans[2].start = how;
    started = weft_supervisor_start_link(specs_of(3, (weft_child_spec[3]){0}), 3, .strategy = WEFT_ONE_FOR_ONE);
    check(!started.ok);
    check_fits(started.reason, weft_tuple(A(shutdown), weft_tuple(A(failed_to_start_child), child_id(2), weft_bind(&why))));
    check_fits(why, pattern);
    check(!is_up(0) && !is_up(1));
    check_str(events(), "+0 +1 +2 -1 -0");
}

PROCESS_TEST(when_a_child_fails_to_start_those_before_it_are_stopped_in_reverse, "SUP-12 SUP-14")
{
    set_up();
    fails_with(FAILS, A(will_not));
    fails_with(EXITS, A(exited));
    fails_with(CRASHES, weft_tuple(A(crashed), weft_any));
    fails_with(STARTS_UNLINKED, A(not_linked));
}

/* The reason has weft_none or a pattern in it; or the pid is none. */
static weft_started starts_with_no_value(weft_term how)
{
    switch (weft_to_int(how)) {
    case 0: return weft_started_error(weft_tuple(A(already_started), weft_none));
    case 1: return weft_started_error(weft_any);
    case 2: return weft_started_ok(A(no_pid));
    default: return weft_started_ok(weft_any);
    }
}

PROCESS_TEST(what_a_start_function_gives_that_is_no_value_is_told_in_words, "SUP-12")
{
    static const char *const words[] = {"{:bad_return_value, \"{:already_started, weft_none}\"}",
                                        "{:bad_return_value, \"weft_any\"}", "{:bad_return_value, :no_pid}",
                                        "{:bad_return_value, \"weft_any\"}"};
    weft_pid sup;

    set_up();
    sup = start_n(0, .strategy = WEFT_ONE_FOR_ONE);
    for (size_t i = 0; i < COUNT(words); i++) {
        weft_child_spec spec = weft_child(.id = A(bad), .start = starts_with_no_value, .arg = weft_int((int64_t)i));

        check_has(weft_inspect(weft_supervisor_start_child(sup, spec).reason), words[i]);
        check_has(weft_inspect(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE).reason), words[i]);
    }
    check(weft_is_alive(sup));
}

static weft_term starts_badly(weft_term arg)
{
    (void)arg;
    weft_trap_exit(true);
    plans[0].start = FAILS;
    weft_supervisor_start_link(specs_of(1, (weft_child_spec[1]){0}), 1, .strategy = WEFT_ONE_FOR_ONE);
    weft_send(tester, A(checked));
    return A(ok);
}

PROCESS_TEST(a_failed_start_leaves_a_trapping_caller_without_a_message_and_alive, "SUP-15")
{
    weft_pid caller;
    weft_ref down;

    set_up();
    caller = weft_spawn(starts_badly, weft_none, .monitor = &down);
    (void)caller;
    expect_message(A(checked));
    check_term(await_down(down), A(normal));
}

PROCESS_TEST(a_taken_name_starts_nothing, "SUP-16")
{
    weft_pid first;
    weft_started second;

    set_up();
    first = start_n(1, .strategy = WEFT_ONE_FOR_ONE, .name = A(taken));
    second = weft_supervisor_start_link(specs_of(1, (weft_child_spec[1]){0}), 1, .strategy = WEFT_ONE_FOR_ONE,
                                        .name = A(taken));
    check(!second.ok);
    check_term(second.reason, weft_tuple(A(already_started), first));
    check_int(plans[0].n_starts, 1);
}

/* -- when a child ends ------------------------------------------------------------------ */

static void restarts_for(enum weft_restart restart, weft_term reason, bool want)
{
    WEFT_SCOPE;
    weft_child_spec spec = child_spec(0, .restart = restart);
    weft_pid sup, before;
    int n_starts = plans[0].n_starts;

    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    before = child_pid(0);
    end_child(sup, 0, reason);
    check_int(plans[0].n_starts, n_starts + (want ? 2 : 1));
    if (want) {
        check(!weft_eq(child_pid(0), before));
        check_term(place_of(sup, child_id(0)), child_pid(0));
    } else if (restart == WEFT_TRANSIENT) {
        check_term(place_of(sup, child_id(0)), A(undefined));
    } else {
        check(weft_is_none(place_of(sup, child_id(0))));
    }
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
}

PROCESS_TEST(a_permanent_child_is_restarted_for_every_reason, "SUP-17")
{
    set_up();
    restarts_for(WEFT_PERMANENT, A(normal), true);
    restarts_for(WEFT_PERMANENT, A(shutdown), true);
    restarts_for(WEFT_PERMANENT, weft_tuple(A(shutdown), A(x)), true);
    restarts_for(WEFT_PERMANENT, A(boom), true);
}

PROCESS_TEST(a_transient_child_is_restarted_when_it_crashed, "SUP-18")
{
    set_up();
    restarts_for(WEFT_TRANSIENT, A(normal), false);
    restarts_for(WEFT_TRANSIENT, A(shutdown), false);
    restarts_for(WEFT_TRANSIENT, weft_tuple(A(shutdown), A(x)), false);
    restarts_for(WEFT_TRANSIENT, A(boom), true);
    restarts_for(WEFT_TRANSIENT, weft_tuple(A(shutdown), A(x), A(y)), true);
}

PROCESS_TEST(a_temporary_child_is_forgotten_and_costs_no_intensity, "SUP-19")
{
    weft_child_spec specs[6];
    weft_pid sup;

    set_up();
    restarts_for(WEFT_TEMPORARY, A(normal), false);
    restarts_for(WEFT_TEMPORARY, A(boom), false);
    for (int i = 0; i < 6; i++)
        specs[i] = child_spec(i, .restart = WEFT_TEMPORARY);
    sup = weft_must(weft_supervisor_start_link(specs, 6, .strategy = WEFT_ONE_FOR_ALL, .max_restarts = 0));
    for (int i = 0; i < 5; i++)
        end_child(sup, i, A(boom));
    check(is_up(5));
    check_int(plans[5].n_starts, 1);
}

PROCESS_TEST(a_restarted_child_has_its_arguments_and_its_place, "SUP-20")
{
    weft_term lines;
    weft_pid sup;
    int n = 2;

    set_up();
    sup = start_n(3, .strategy = WEFT_ONE_FOR_ONE);
    end_child(sup, 1, A(boom));
    check_str(events(), "+0 +1 +2 +1");
    lines = weft_supervisor_which_children(sup);
    weft_list_each (line, lines)
        check_term(weft_tuple_at(line, 0), child_id(n--));
}

static weft_term exits_at(weft_term sup)
{
    weft_exit_signal(sup, A(boom));
    return A(ok);
}

PROCESS_TEST(exits_of_strangers_and_stray_messages_are_dropped, "SUP-21")
{
    weft_child_counts counts;
    weft_pid sup;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    await_end(weft_spawn(exits_at, sup));
    weft_send(sup, A(hello));
    weft_gen_server_cast(sup, A(hello));
    check_int(weft_supervisor_count_children(sup, &counts), 0);
    check_int(counts.active, 1);
}

static weft_term owns_a_supervisor(weft_term reason)
{
    weft_pid sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);

    weft_send(tester, weft_tuple(A(sup), sup));
    weft_receive(A(go), BOUND_MS, NULL);
    weft_exit(reason);
}

static void follows_parent(weft_term reason)
{
    weft_pid owner = weft_spawn(owns_a_supervisor, reason), sup = weft_none;
    weft_ref down;

    expect_message(weft_tuple(A(sup), weft_bind(&sup)));
    down = weft_monitor(sup);
    weft_send(owner, A(go));
    check_term(await_down(down), reason);
    check_str(events(), "+0 +1 -1 -0");
}

PROCESS_TEST(it_stops_its_children_and_ends_with_its_parent, "SUP-22")
{
    set_up();
    follows_parent(A(normal));
    follows_parent(A(boom));
}

PROCESS_TEST(a_restart_that_ignores_leaves_the_spec, "SUP-23")
{
    weft_pid sup;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    plans[0].start = IGNORES;
    end_child(sup, 0, A(boom));
    check_term(place_of(sup, child_id(0)), A(undefined));
    check(is_up(1));
}

/* -- strategies --------------------------------------------------------------------------- */

PROCESS_TEST(one_for_one_restarts_the_one, "SUP-24")
{
    weft_pid sup;

    set_up();
    sup = start_n(3, .strategy = WEFT_ONE_FOR_ONE);
    end_child(sup, 1, A(boom));
    check_str(events(), "+0 +1 +2 +1");
}

PROCESS_TEST(one_for_all_stops_the_others_in_reverse_and_starts_all_in_order, "SUP-25 SUP-27 SUP-33")
{
    weft_pid sup;

    set_up();
    sup = start_n(4, .strategy = WEFT_ONE_FOR_ALL, .max_restarts = 1);
    end_child(sup, 1, A(boom));
    check_str(events(), "+0 +1 +2 +3 -3 -2 -0 +0 +1 +2 +3");
    check(weft_is_alive(sup));
}

PROCESS_TEST(rest_for_one_leaves_those_before_alone, "SUP-26")
{
    weft_pid sup, first;

    set_up();
    sup = start_n(4, .strategy = WEFT_REST_FOR_ONE);
    first = child_pid(0);
    end_child(sup, 1, A(boom));
    check_str(events(), "+0 +1 +2 +3 -3 -2 +1 +2 +3");
    check_term(child_pid(0), first);
}

PROCESS_TEST(a_group_restart_drops_temporary_children, "SUP-28")
{
    weft_child_spec specs[3];
    weft_pid sup;

    set_up();
    specs[0] = child_spec(0);
    specs[1] = child_spec(1, .restart = WEFT_TEMPORARY);
    specs[2] = child_spec(2);
    sup = weft_must(weft_supervisor_start_link(specs, 3, .strategy = WEFT_ONE_FOR_ALL));
    end_child(sup, 0, A(boom));
    check_str(events(), "+0 +1 +2 -2 -1 +0 +2");
    check(weft_is_none(place_of(sup, child_id(1))));
}

PROCESS_TEST(a_group_restart_starts_those_that_were_down_too, "SUP-29")
{
    weft_child_spec specs[3];
    weft_pid sup;

    set_up();
    specs[0] = child_spec(0, .restart = WEFT_TRANSIENT);
    specs[1] = child_spec(1);
    specs[2] = child_spec(2);
    sup = weft_must(weft_supervisor_start_link(specs, 3, .strategy = WEFT_ONE_FOR_ALL));
    end_child(sup, 0, A(normal));
    check_int(weft_supervisor_terminate_child(sup, child_id(1)), 0);
    events();
    end_child(sup, 2, A(boom));
    check_str(events(), "+0 +1 +2");
}

PROCESS_TEST(a_normal_end_of_a_transient_child_moves_nobody_else, "SUP-30")
{
    weft_child_spec specs[2];
    weft_pid sup;

    set_up();
    specs[0] = child_spec(0, .restart = WEFT_TRANSIENT);
    specs[1] = child_spec(1);
    sup = weft_must(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ALL));
    end_child(sup, 0, A(normal));
    check_str(events(), "+0 +1");
}

/* The first starts of child n go well; the next k fail, and then they go well again. */
static weft_started fails_some_times(weft_term arg)
{
    int n = (int)weft_to_int(weft_tuple_at(arg, 0)), from = (int)weft_to_int(weft_tuple_at(arg, 1));
    int to = (int)weft_to_int(weft_tuple_at(arg, 2));

    if (plans[n].n_starts >= from && plans[n].n_starts < to) {
        plans[n].n_starts++;
        weft_send(tester, weft_tuple(A(event), weft_tuple(A(start), weft_int(n))));
        return weft_started_error(A(not_yet));
    }
    return child_start(arg);
}

static void await_start(int n, int n_starts)
{
    await_count(&plans[n].n_starts, n_starts);
}

PROCESS_TEST(a_failed_start_in_one_for_all_begins_a_new_round_that_counts, "SUP-31")
{
    weft_child_spec specs[3];
    weft_pid sup;

    set_up();
    specs[0] = child_spec(0);
    specs[1] = weft_child(.id = child_id(1), .start = fails_some_times, .arg = weft_tuple(weft_int(1), weft_int(1), weft_int(2)));
    specs[2] = child_spec(2);
    sup = weft_must(weft_supervisor_start_link(specs, 3, .strategy = WEFT_ONE_FOR_ALL, .max_restarts = 2));
    end_child(sup, 2, A(boom));
    await_start(2, 2);
    weft_supervisor_which_children(sup);
    check_str(events(), "+0 +1 +2 -1 -0 +0 +1 -0 +0 +1 +2");
    check(weft_is_alive(sup));
}

PROCESS_TEST(a_failed_start_in_rest_for_one_is_tried_again_with_those_after_it, "SUP-32")
{
    weft_child_spec specs[4];
    weft_pid sup, second;

    set_up();
    specs[0] = child_spec(0);
    specs[1] = child_spec(1);
    specs[2] = weft_child(.id = child_id(2), .start = fails_some_times, .arg = weft_tuple(weft_int(2), weft_int(1), weft_int(2)));
    specs[3] = child_spec(3);
    sup = weft_must(weft_supervisor_start_link(specs, 4, .strategy = WEFT_REST_FOR_ONE));
    end_child(sup, 1, A(boom));
    await_start(3, 2);
    second = child_pid(1);
    weft_supervisor_which_children(sup);
    check_str(events(), "+0 +1 +2 +3 -3 -2 +1 +2 +2 +3");
    check_term(place_of(sup, child_id(1)), second);
}

/* -- intensity ---------------------------------------------------------------------------- */

PROCESS_TEST(the_restart_too_many_stops_all_and_ends_it, "SUP-34 SUP-35")
{
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    down = weft_monitor(sup);
    for (int i = 0; i < 3; i++)
        end_child(sup, 0, A(boom));
    check(weft_is_alive(sup));
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_int(plans[0].n_starts, 4);
    check_str(events(), "+0 +1 +0 +0 +0 -1");
}

PROCESS_TEST(with_no_restart_allowed_the_first_crash_ends_it, "SUP-35")
{
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 0);
    down = weft_monitor(sup);
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_int(plans[0].n_starts, 1);
}

PROCESS_TEST(the_window_is_measured_to_the_millisecond, "SUP-36")
{
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1, .max_seconds = 1);
    down = weft_monitor(sup);
    end_child(sup, 0, A(boom));
    weft_sleep(1100); /* time is what this rule is about */
    end_child(sup, 0, A(boom));
    check(weft_is_alive(sup));
    /* One more, unless the machine stands still for so long. */
    for (int i = 0; i < 10 && weft_is_alive(sup); i++)
        end_child(sup, 0, A(boom));
    check_term(await_down(down), A(shutdown));
}

PROCESS_TEST(crashes_of_different_children_add_up, "SUP-37")
{
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = start_n(3, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 2);
    down = weft_monitor(sup);
    end_child(sup, 0, A(boom));
    end_child(sup, 1, A(boom));
    weft_send(child_pid(2), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
}

PROCESS_TEST(a_child_that_cannot_start_again_is_tried_as_often_as_allowed, "SUP-38")
{
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    down = weft_monitor(sup);
    plans[0].start = FAILS;
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_int(plans[0].n_starts, 1 + 3);
}

PROCESS_TEST(requests_are_answered_between_two_tries, "SUP-39 SUP-50 SUP-55 SUP-56 SUP-57")
{
    weft_child_spec spec = child_spec(0);
    weft_pid sup;
    int n;

    set_up();
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1000000000));
    plans[0].start = FAILS;
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    await_start(0, 10);
    check_term(place_of(sup, child_id(0)), A(restarting));
    check_term(weft_supervisor_start_child(sup, spec).reason, A(already_present));
    check_term(weft_supervisor_restart_child(sup, child_id(0)).reason, A(restarting));
    check_int(weft_supervisor_delete_child(sup, child_id(0)), WEFT_EINPROGRESS);
    check_int(weft_supervisor_terminate_child(sup, child_id(0)), 0);
    check_term(place_of(sup, child_id(0)), A(undefined));
    n = plans[0].n_starts;
    weft_supervisor_which_children(sup);
    check_int(plans[0].n_starts, n);
}

static weft_started start_inner(weft_term arg)
{
    return weft_supervisor_start_link(specs_of(1, (weft_child_spec[1]){0}), 1, .strategy = WEFT_ONE_FOR_ONE,
                                      .max_restarts = weft_to_int(arg));
}

static void inner_gives_up(enum weft_restart restart, bool want_restart)
{
    weft_child_spec spec = weft_child(.id = A(inner), .start = start_inner, .arg = weft_int(0), .restart = restart,
                                      .type = WEFT_SUPERVISOR);
    weft_pid sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    weft_term inner = place_of(sup, A(inner));
    weft_ref down = weft_monitor(inner);

    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_int(weft_is_pid(place_of(sup, A(inner))), want_restart);
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
}

PROCESS_TEST(a_supervisor_that_gave_up_is_restarted_when_permanent, "SUP-40")
{
    set_up();
    inner_gives_up(WEFT_PERMANENT, true);
    inner_gives_up(WEFT_TRANSIENT, false);
}

/* -- stopping ----------------------------------------------------------------------------- */

PROCESS_TEST(children_are_stopped_in_reverse_each_dead_before_the_next, "SUP-41 SUP-47")
{
    weft_pid sup;

    set_up();
    sup = start_n(4, .strategy = WEFT_ONE_FOR_ONE);
    events();
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check_str(events(), "-3 -2 -1 -0");
    check(!is_up(0) && !weft_is_alive(sup));
}

/* What a child of that kind ends with when its supervisor stops. */
static weft_term stopped_with(enum child_kind kind, int64_t shutdown_ms)
{
    weft_child_spec spec = child_spec(0, .shutdown_ms = shutdown_ms);
    weft_pid sup;
    weft_ref down;

    plans[0].kind = kind;
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    down = weft_monitor(child_pid(0));
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    return await_down(down);
}

PROCESS_TEST(a_child_that_does_not_trap_needs_no_time_and_one_that_overstays_is_killed, "SUP-42")
{
    set_up();
    check_term(stopped_with(PLAIN, 0), A(shutdown));
    check_term(stopped_with(PLAIN, 1), A(shutdown));
    check_term(stopped_with(STUBBORN, 1), A(killed));
    check_term(stopped_with(TRAPPING, 5000), A(shutdown));
}

PROCESS_TEST(a_brutal_kill_runs_no_cleanup, "SUP-43")
{
    set_up();
    check_term(stopped_with(TRAPPING, WEFT_BRUTAL_KILL), A(killed));
    check_str(events(), "+0");
}

static weft_term stops(weft_term sup)
{
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    return A(ok);
}

PROCESS_TEST(infinity_waits_for_the_child, "SUP-44")
{
    weft_child_spec spec = child_spec(0, .shutdown_ms = WEFT_INFINITY);
    weft_pid sup;
    weft_ref down;

    set_up();
    plans[0].kind = STUBBORN;
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    weft_spawn(stops, sup, .monitor = &down);
    expect_no_message(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any));
    check(weft_is_alive(sup));
    weft_kill(child_pid(0));
    check_term(await_down(down), A(normal));
}

PROCESS_TEST(a_child_that_unlinked_itself_is_stopped_as_well, "SUP-45")
{
    weft_child_spec spec = child_spec(0);
    weft_pid sup;

    set_up();
    /* It unlinks after its start: a start that gives one that is not linked fails. */
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    weft_send(child_pid(0), weft_tuple(A(run), weft_pointer((const void *)do_unlink), sup));
    expect_message(weft_tuple(A(ran), weft_any));
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check(!is_up(0));
    expect_stop(0, A(shutdown));
}

static _Atomic int n_records;

static void count_records(const weft_log_record *record, void *title)
{
    if (strcmp(record->text, title) == 0)
        n_records++;
}

PROCESS_TEST(an_odd_end_during_a_stop_is_logged_and_stopping_goes_on, "SUP-46 SUP-66")
{
    weft_pid sup;

    set_up();
    plans[1].kind = ODD_ENDING;
    sup = start_n(3, .strategy = WEFT_ONE_FOR_ONE);
    weft_log_set_handler(count_records, "child did not stop as told", NULL);
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(n_records, 1);
    check_str(events(), "+0 +1 +2 -2 -1 -0");
}

static weft_term stops_nobody(weft_term name)
{
    weft_supervisor_stop(name, A(normal), WEFT_INFINITY);
    return A(ok);
}

PROCESS_TEST(stopping_a_name_that_nobody_has_exits_with_noproc, "SUP-47")
{
    weft_term why = weft_none, reason;
    weft_ref down;

    set_up();
    weft_spawn(stops_nobody, A(nobody_here), .monitor = &down);
    reason = await_down(down);
    check(weft_eq(reason, A(noproc)) || weft_match(reason, weft_tuple(A(noproc), weft_any)));
    check(!weft_supervisor_try_stop(A(nobody_here), A(normal), 100, &why));
    check_term(why, A(noproc));
}

PROCESS_TEST(a_killed_supervisor_takes_its_children_along_without_order, "SUP-48")
{
    weft_pid sup;
    weft_ref first, second;

    set_up();
    plans[0].kind = plans[1].kind = PLAIN;
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    first = weft_monitor(child_pid(0));
    second = weft_monitor(child_pid(1));
    weft_kill(sup);
    check_term(await_down(first), A(killed));
    check_term(await_down(second), A(killed));
}

/* -- children at run time ---------------------------------------------------------------------- */

PROCESS_TEST(a_started_child_is_the_last_in_order, "SUP-49")
{
    weft_started started;
    weft_pid sup;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    started = weft_supervisor_start_child(sup, child_spec(1));
    check(started.ok);
    check_term(started.pid, child_pid(1));
    plans[2].start = IGNORES;
    check(weft_started_is_ignored(weft_supervisor_start_child(sup, child_spec(2))));
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check_str(events(), "+0 +1 +2 -1 -0");
}

PROCESS_TEST(an_id_in_use_is_refused, "SUP-50")
{
    weft_pid sup;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    check_term(weft_supervisor_start_child(sup, child_spec(0)).reason, weft_tuple(A(already_started), child_pid(0)));
    weft_supervisor_terminate_child(sup, child_id(0));
    check_term(weft_supervisor_start_child(sup, child_spec(0)).reason, A(already_present));
}

PROCESS_TEST(a_start_that_fails_keeps_no_spec, "SUP-51 SUP-66")
{
    weft_pid sup;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    plans[1].start = FAILS;
    check_term(weft_supervisor_start_child(sup, child_spec(1)).reason, A(will_not));
    plans[1].start = CRASHES;
    check_fits(weft_supervisor_start_child(sup, child_spec(1)).reason, weft_tuple(A(crashed), weft_any));
    check(weft_is_none(place_of(sup, child_id(1))));
    check(is_up(0));
}

PROCESS_TEST(an_invalid_spec_has_no_effect, "SUP-52 SUP-5")
{
    weft_child_spec spec = child_spec(1);
    weft_pid sup;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    spec.shutdown_ms = -9;
    check_term(weft_supervisor_start_child(sup, spec).reason, weft_tuple(A(invalid_shutdown), weft_int(-9)));
    check_fits(weft_supervisor_start_child(sup, child_spec(1, .restart = WEFT_TRANSIENT, .significant = true)).reason,
               weft_tuple(A(bad_combination), weft_any));
    check_int(plans[1].n_starts, 0);
}

PROCESS_TEST(terminate_child_stops_it_and_keeps_its_spec, "SUP-53")
{
    weft_child_spec specs[2];
    weft_pid sup;

    set_up();
    specs[0] = child_spec(0);
    specs[1] = child_spec(1, .restart = WEFT_TEMPORARY);
    sup = weft_must(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE));
    check_int(weft_supervisor_terminate_child(sup, child_id(0)), 0);
    expect_stop(0, A(shutdown));
    check_term(place_of(sup, child_id(0)), A(undefined));
    check_int(weft_supervisor_terminate_child(sup, child_id(0)), 0);
    check_int(weft_supervisor_terminate_child(sup, child_id(1)), 0);
    check(weft_is_none(place_of(sup, child_id(1))));
    check_int(weft_supervisor_terminate_child(sup, A(unknown)), WEFT_ENOENT);
    check_int(weft_supervisor_terminate_child(A(nobody_here), A(unknown)), WEFT_ENOPROC);
}

static weft_term starts_slowly(weft_term sup)
{
    weft_supervisor_start_child(sup, weft_child(.id = child_id(7), .start = takes_its_time, .arg = weft_int(7)));
    return A(ok);
}

static weft_term terminates_first(weft_term sup)
{
    check_int(weft_supervisor_terminate_child(sup, child_id(0)), 0);
    return A(ok);
}

PROCESS_TEST(terminate_child_prevents_the_restart_of_one_whose_exit_is_queued, "SUP-54")
{
    weft_pid sup, asker;
    weft_ref dead, asked;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ALL, .max_restarts = 0);
    dead = weft_monitor(child_pid(0));
    weft_spawn(starts_slowly, sup);
    expect_message(weft_tuple(A(busy), sup));
    /* Behind the request that is being handled: this one, then the exit. */
    asker = weft_spawn(terminates_first, sup, .monitor = &asked);
    await_waiting(asker);
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    await_down(dead);
    weft_send(sup, A(go_on));
    check_term(await_down(asked), A(normal));
    check_term(place_of(sup, child_id(0)), A(undefined));
    check_int(plans[0].n_starts, 1);
    check_int(plans[1].n_starts, 1);
}

PROCESS_TEST(restart_child_starts_a_stopped_one_in_its_place, "SUP-56")
{
    weft_started started;
    weft_pid sup;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    check_term(weft_supervisor_restart_child(sup, child_id(0)).reason, A(running));
    check_term(weft_supervisor_restart_child(sup, A(unknown)).reason, A(not_found));
    weft_supervisor_terminate_child(sup, child_id(0));
    plans[0].start = FAILS;
    check_term(weft_supervisor_restart_child(sup, child_id(0)).reason, A(will_not));
    check_term(place_of(sup, child_id(0)), A(undefined));
    plans[0].start = IGNORES;
    check(weft_started_is_ignored(weft_supervisor_restart_child(sup, child_id(0))));
    plans[0].start = STARTS;
    started = weft_supervisor_restart_child(sup, child_id(0));
    check_term(started.pid, child_pid(0));
    events();
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check_str(events(), "-1 -0");
}

PROCESS_TEST(delete_child_forgets_a_stopped_one, "SUP-57")
{
    weft_pid sup;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    check_int(weft_supervisor_delete_child(sup, child_id(0)), WEFT_EBUSY);
    weft_supervisor_terminate_child(sup, child_id(0));
    check_int(weft_supervisor_delete_child(sup, child_id(0)), 0);
    check_int(weft_supervisor_delete_child(sup, child_id(0)), WEFT_ENOENT);
    check(weft_is_none(place_of(sup, child_id(0))));
}

PROCESS_TEST(which_children_lists_the_latest_first, "SUP-58")
{
    weft_pid sup;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    weft_supervisor_terminate_child(sup, child_id(0));
    check_term(weft_supervisor_which_children(sup),
               weft_list(weft_tuple(child_id(1), child_pid(1), A(worker), weft_list()),
                         weft_tuple(child_id(0), A(undefined), A(worker), weft_list())));
    check(weft_is_none(weft_supervisor_which_children(A(nobody_here))));
}

PROCESS_TEST(count_children_counts_specs_and_what_lives, "SUP-59")
{
    weft_child_spec specs[3];
    weft_child_counts counts;
    weft_pid sup;

    set_up();
    specs[0] = child_spec(0);
    specs[1] = child_spec(1, .type = WEFT_SUPERVISOR);
    specs[2] = child_spec(2);
    sup = weft_must(weft_supervisor_start_link(specs, 3, .strategy = WEFT_ONE_FOR_ONE));
    weft_supervisor_terminate_child(sup, child_id(2));
    check_int(weft_supervisor_count_children(sup, &counts), 0);
    check_int(counts.specs, 3);
    check_int(counts.active, 2);
    check_int(counts.supervisors, 1);
    check_int(counts.workers, 2);
}

static weft_term asks_to_stop(weft_term arg)
{
    check_int(weft_supervisor_terminate_child(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1)), 0);
    return A(ok);
}

PROCESS_TEST(requests_wait_behind_a_stop_in_progress, "SUP-60")
{
    weft_child_spec spec = child_spec(0, .shutdown_ms = WEFT_INFINITY);
    weft_pid sup;
    weft_ref down;

    set_up();
    plans[0].kind = STUBBORN;
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    weft_spawn(asks_to_stop, weft_tuple(sup, child_id(0)), .monitor = &down);
    settle(puppet_start(), puppet_start()); /* others run meanwhile */
    weft_send_after(child_pid(0), weft_tuple(A(exit), A(done)), 20);
    /* Asked while it waits for the child, or before: answered in either case. */
    check(weft_is_list(weft_supervisor_which_children(sup)));
    check_term(await_down(down), A(normal));
}

static weft_pid the_sup;

static weft_started calls_its_supervisor(weft_term arg)
{
    (void)arg;
    weft_send(tester, weft_tuple(A(told), weft_supervisor_start_child(the_sup, child_spec(9)).reason));
    return weft_started_ignore();
}

static weft_init_result init_that_calls(weft_term arg)
{
    weft_child_counts counts;

    (void)arg;
    weft_send(tester, weft_tuple(A(told), weft_supervisor_start_child(the_sup, child_spec(9)).reason));
    check_int(weft_supervisor_count_children(the_sup, &counts), WEFT_EDEADLK);
    weft_trap_exit(true);
    return weft_init_ok(NULL);
}

static void terminate_that_calls(void *state, weft_term reason)
{
    (void)state, (void)reason;
    weft_send(tester, weft_tuple(A(told), weft_supervisor_start_child(the_sup, child_spec(9)).reason));
}

static const weft_gen_server caller = {.init = init_that_calls, .terminate = terminate_that_calls};

static weft_started start_caller(weft_term arg)
{
    return weft_gen_server_start_link(&caller, arg);
}

PROCESS_TEST(a_child_that_calls_its_supervisor_while_that_waits_is_told_so, "SUP-61")
{
    weft_term told = weft_none;

    set_up();
    the_sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    check(weft_started_is_ignored(weft_supervisor_start_child(the_sup, weft_child(.id = A(self), .start = calls_its_supervisor, .arg = A(x)))));
    expect_message(weft_tuple(A(told), weft_bind(&told)));
    check_term(told, A(calling_self));
    check(weft_supervisor_start_child(the_sup, weft_child(.id = A(in_init), .start = start_caller, .arg = A(x))).ok);
    expect_message(weft_tuple(A(told), weft_bind(&told)));
    check_term(told, weft_tuple(A(calling_supervisor_while_it_waits), A(in_init)));
    check_int(weft_supervisor_terminate_child(the_sup, A(in_init)), 0);
    expect_message(weft_tuple(A(told), weft_bind(&told)));
    check_term(told, weft_tuple(A(calling_supervisor_while_it_waits), A(in_init)));
}

PROCESS_TEST(a_spec_can_be_had_with_its_defaults, "SUP-69")
{
    weft_term spec;
    weft_pid sup;

    set_up();
    sup = start_n(1, .strategy = WEFT_ONE_FOR_ONE);
    spec = weft_supervisor_get_child_spec(sup, child_id(0));
    check_term(weft_map_get(spec, A(restart), weft_none), A(permanent));
    check_term(weft_map_get(spec, A(shutdown), weft_none), weft_int(5000));
    check(weft_is_none(weft_supervisor_get_child_spec(sup, A(unknown))));
}

/* -- auto_shutdown ------------------------------------------------------------------------------- */

static weft_pid start_significant(enum weft_auto_shutdown when, weft_ref *down)
{
    weft_child_spec specs[3];
    weft_pid sup;

    specs[0] = child_spec(0, .restart = WEFT_TRANSIENT, .significant = true);
    specs[1] = child_spec(1, .restart = WEFT_TEMPORARY, .significant = true);
    specs[2] = child_spec(2);
    sup = weft_must(weft_supervisor_start_link(specs, 3, .strategy = WEFT_ONE_FOR_ONE, .auto_shutdown = when));
    *down = weft_monitor(sup);
    events();
    return sup;
}

PROCESS_TEST(the_first_significant_end_for_good_shuts_it_down, "SUP-62 SUP-64")
{
    weft_ref down;
    weft_pid sup;

    set_up();
    sup = start_significant(WEFT_ANY_SIGNIFICANT, &down);
    end_child(sup, 0, A(boom));
    check(weft_is_alive(sup));
    weft_send(child_pid(1), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_str(events(), "+0 -2 -0");
    start_significant(WEFT_ANY_SIGNIFICANT, &down);
    weft_send(child_pid(0), weft_tuple(A(exit), A(normal)));
    check_term(await_down(down), A(shutdown));
}

PROCESS_TEST(the_last_significant_end_shuts_it_down, "SUP-63")
{
    weft_ref down;
    weft_pid sup;

    set_up();
    sup = start_significant(WEFT_ALL_SIGNIFICANT, &down);
    end_child(sup, 1, A(boom));
    check(weft_is_alive(sup));
    weft_send(child_pid(0), weft_tuple(A(exit), A(normal)));
    check_term(await_down(down), A(shutdown));
}

PROCESS_TEST(ends_that_were_asked_for_do_not_shut_it_down, "SUP-65")
{
    weft_ref down;
    weft_pid sup;

    set_up();
    sup = start_significant(WEFT_ANY_SIGNIFICANT, &down);
    check_int(weft_supervisor_terminate_child(sup, child_id(0)), 0);
    check_int(weft_supervisor_terminate_child(sup, child_id(1)), 0);
    check(weft_is_list(weft_supervisor_which_children(sup)));
    check(weft_is_alive(sup));
}

/* -- reports ---------------------------------------------------------------------------------------- */

static char endings[1000];

static void keep_endings(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strcmp(record->text, "supervisor gives up: too many restarts") == 0)
        weft_inspect_to(endings, sizeof endings, weft_keyword(record->fields, A(endings), weft_none));
}

PROCESS_TEST(the_report_of_too_many_restarts_shows_the_first_cause, "SUP-66 SUP-67")
{
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1);
    down = weft_monitor(sup);
    weft_log_set_handler(keep_endings, NULL, NULL);
    end_child(sup, 0, A(first_cause));
    weft_send(child_pid(1), weft_tuple(A(exit), A(second)));
    await_down(down);
    weft_log_set_handler(NULL, NULL, NULL);
    check_has(endings, "{:child, 0}, :first_cause");
    check_has(endings, "{:child, 1}, :second");
}

PROCESS_TEST(starts_and_stops_are_told_at_the_debug_level, "SUP-68")
{
    weft_pid sup;

    set_up();
    weft_log_set_level(WEFT_LOG_DEBUG);
    weft_log_set_handler(count_records, "child started", NULL);
    sup = start_n(2, .strategy = WEFT_ONE_FOR_ONE);
    weft_log_set_handler(NULL, NULL, NULL);
    weft_log_set_level(WEFT_LOG_NONE);
    weft_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check_int(n_records, 2);
}

/* -- beyond OTP ---------------------------------------------------------------------------------------- */

PROCESS_TEST(a_child_with_a_back_off_waits_and_costs_no_intensity)
{
    weft_child_spec spec = child_spec(0, .backoff_ms = 1, .backoff_max_ms = 4, .restart_budget = 8);
    weft_pid sup;

    set_up();
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 0));
    for (int i = 1; i <= 5; i++) {
        weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
        await_start(0, i + 1);
        weft_supervisor_which_children(sup);
    }
    check(weft_is_alive(sup));
}

PROCESS_TEST(a_budget_that_is_used_up_ends_the_supervisor)
{
    weft_child_spec spec = child_spec(0, .backoff_ms = 1, .backoff_max_ms = 60000, .restart_budget = 3);
    weft_pid sup;
    weft_ref down;

    set_up();
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    down = weft_monitor(sup);
    plans[0].start = FAILS;
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    check_term(await_down(down), A(shutdown));
    check_int(plans[0].n_starts, 1 + 3);
}

static weft_term holds_a_name(weft_term arg)
{
    (void)arg;
    weft_register(A(held), weft_self());
    weft_send(tester, A(holding));
    weft_receive(A(stop), BOUND_MS, NULL);
    return A(ok);
}

static weft_started needs_the_name(weft_term arg)
{
    weft_pid holder = weft_whereis(A(held));

    if (weft_is_pid(holder)) {
        plans[weft_to_int(arg)].n_starts++; /* upon which the test tells it to end */
        return weft_started_error(weft_tuple(A(already_started), holder));
    }
    return child_start(arg);
}

PROCESS_TEST(a_restart_waits_for_the_old_holder_of_a_name_to_end)
{
    weft_child_spec spec = weft_child(.id = child_id(0), .start = needs_the_name, .arg = weft_int(0));
    weft_pid sup, holder;

    set_up();
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1));
    holder = weft_spawn(holds_a_name, weft_none);
    expect_message(A(holding));
    weft_send(child_pid(0), weft_tuple(A(exit), A(boom)));
    await_start(0, 2);
    weft_send(holder, A(stop));
    await_start(0, 3);
    weft_supervisor_which_children(sup); /* it has dealt with the start */
    check_term(place_of(sup, child_id(0)), child_pid(0));
    check(weft_is_alive(sup));
}

/* -- faults in a start function ------------------------------------------------------------ */

#if defined(__clang__)
__attribute__((noinline, disable_sanitizer_instrumentation))
#else
__attribute__((noinline, no_sanitize("address", "undefined", "thread")))
#endif
static weft_started faults_in_its_start(weft_term arg)
{
    static int *volatile nowhere;

    (void)arg;
    *nowhere = 1;
    return weft_started_error(A(never));
}

PROCESS_TEST(a_start_function_that_faults_fails_as_one_that_exits, "SUP-12")
{
    weft_child_spec spec = weft_child(.id = A(faulty), .start = faults_in_its_start, .arg = A(x));
    weft_started started;
    weft_pid sup;

    weft_trap_exit(true);
    started = weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE);
    check(!started.ok);
    check_has(weft_inspect(started.reason), "{:sigsegv, %{");
    /* One that runs already goes on. */
    sup = weft_must(weft_supervisor_start_link(NULL, 0, .strategy = WEFT_ONE_FOR_ONE));
    for (int i = 0; i < 10; i++) {
        started = weft_supervisor_start_child(sup, spec);
        check(!started.ok);
        check_has(weft_inspect(started.reason), "{:sigsegv, %{");
    }
    check(weft_is_alive(sup));
}

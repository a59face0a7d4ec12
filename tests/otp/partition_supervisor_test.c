/* partition_supervisor_test.c - n copies of a child, and the way to one by key. */
#include "otp/sup_test.h"

#include "proc/runtime.h"
#include "weft/dynamic_supervisor.h"
#include "weft/gen_server.h"
#include "weft/partition_supervisor.h"

/* -- a server that says who it is --------------------------------------------------- */

static weft_init_result teller_init(weft_term arg)
{
    weft_term *kept = weft_new(weft_term);

    *kept = weft_is_none(arg) ? weft_none : weft_keep(arg);
    return weft_init_ok(kept);
}

static weft_result teller_call(void *state, weft_term request, weft_from from)
{
    (void)from;
    if (weft_eq(request, A(crash)))
        return weft_stop_reply(A(crashed), A(ok));
    return weft_reply(weft_tuple(weft_self(), *(weft_term *)state));
}

static weft_result teller_cast(void *state, weft_term to)
{
    (void)state;
    weft_send(to, weft_tuple(A(cast), weft_self()));
    return weft_noreply();
}

static const weft_gen_server teller = {.init = teller_init, .handle_call = teller_call, .handle_cast = teller_cast};

static weft_started start_teller(weft_term arg)
{
    return weft_gen_server_start_link(&teller, arg);
}

static weft_child_spec teller_spec(void)
{
    return weft_child(.id = A(teller), .start = start_teller, .arg = A(x));
}

static weft_pid start_tellers(int64_t partitions)
{
    weft_child_spec spec = teller_spec();

    set_up();
    return weft_must(weft_partition_supervisor_start_link(.name = A(parts), .child = &spec, .partitions = partitions,
                                                          .max_restarts = 100));
}

static weft_pid pid_at(weft_term key)
{
    return weft_tuple_at(weft_gen_server_call(weft_partition(A(parts), key), A(who), BOUND_MS), 0);
}

/* -- starting ---------------------------------------------------------------------------- */

PROCESS_TEST(it_runs_the_child_once_for_each_partition, "PSUP-1 PSUP-3 PSUP-14")
{
    weft_pid sup = start_tellers(3);
    weft_term lines = weft_supervisor_which_children(sup);
    int n = 2;

    weft_list_each (line, lines)
        check_term(weft_tuple_at(line, 0), weft_int(n--));
    check_int(weft_partition_supervisor_partitions(A(parts)), 3);
}

PROCESS_TEST(by_default_there_is_one_for_each_worker, "PSUP-1")
{
    start_tellers(0);
    check_int(weft_partition_supervisor_partitions(A(parts)), weft__runtime()->sched->n_workers);
}

static weft_term starts_without_name(weft_term arg)
{
    weft_child_spec spec = teller_spec();

    (void)arg;
    weft_partition_supervisor_start_link(.child = &spec);
    return A(ok);
}

static weft_term starts_without_child(weft_term arg)
{
    (void)arg;
    weft_partition_supervisor_start_link(.name = A(parts));
    return A(ok);
}

static weft_term starts_a_negative_number(weft_term arg)
{
    weft_child_spec spec = teller_spec();

    (void)arg;
    weft_partition_supervisor_start_link(.name = A(parts), .child = &spec, .partitions = -2);
    return A(ok);
}

static weft_term gives_nothing(weft_term arg, int64_t partition)
{
    (void)arg, (void)partition;
    return weft_none;
}

static weft_term starts_with_no_argument(weft_term arg)
{
    weft_child_spec spec = teller_spec();

    (void)arg;
    weft_partition_supervisor_start_link(.name = A(parts), .child = &spec, .with_argument = gives_nothing);
    return A(ok);
}

PROCESS_TEST(bad_options_fail_in_the_caller_by_name, "PSUP-2 PSUP-4")
{
    check_mistake(starts_without_name, weft_none, ".name is missing");
    check_mistake(starts_without_child, weft_none, ".child is missing");
    check_mistake(starts_a_negative_number, weft_none, ".partitions is -2");
    check_mistake(starts_with_no_argument, weft_none, ".with_argument gave nothing for partition 0");
}

PROCESS_TEST(when_one_partition_fails_to_start_all_are_rolled_back, "PSUP-3")
{
    weft_child_spec spec = child_spec(0);
    weft_started started;

    set_up();
    plans[0].start = FAILS;
    plans[0].n_good = 2;
    started = weft_partition_supervisor_start_link(.name = A(parts), .child = &spec, .partitions = 4);
    check_fits(started.reason, weft_tuple(A(shutdown), weft_tuple(A(failed_to_start_child), weft_int(2), A(will_not))));
    check_str(events(), "+0 +0 +0 -0 -0");
    check(weft_is_none(weft_whereis(A(parts))));
}

/* For child_start: the number alone. */
static weft_term numbered_plainly(weft_term arg, int64_t partition)
{
    (void)arg;
    return weft_int(partition);
}

static weft_term numbered(weft_term arg, int64_t partition)
{
    return weft_tuple(arg, weft_int(partition));
}

PROCESS_TEST(with_argument_says_what_each_is_started_with, "PSUP-4")
{
    weft_child_spec spec = teller_spec();

    set_up();
    weft_must(weft_partition_supervisor_start_link(.name = A(parts), .child = &spec, .partitions = 3, .with_argument = numbered));
    for (int i = 0; i < 3; i++)
        check_term(weft_tuple_at(weft_gen_server_call(weft_partition(A(parts), weft_int(i)), A(who), BOUND_MS), 1),
                   weft_tuple(A(x), weft_int(i)));
}

PROCESS_TEST(a_taken_name_is_told, "PSUP-5")
{
    weft_pid sup = start_tellers(1);
    weft_child_spec spec = teller_spec();

    check_term(weft_partition_supervisor_start_link(.name = A(parts), .child = &spec).reason, weft_tuple(A(already_started), sup));
}

PROCESS_TEST(its_child_spec_has_its_name_as_id, "PSUP-6")
{
    weft_child_spec inner = teller_spec(), spec = weft_partition_supervisor_child(.name = A(parts), .child = &inner, .partitions = 2);

    set_up();
    check_term(spec.id, A(parts));
    weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    check_int(weft_partition_supervisor_partitions(A(parts)), 2);
}

/* -- routing -------------------------------------------------------------------------------- */

PROCESS_TEST(a_partition_is_addressed_wherever_a_server_is, "PSUP-7")
{
    weft_child_spec dynamic = weft_dynamic_supervisor_child();
    weft_pid pid;

    start_tellers(2);
    pid = pid_at(weft_int(1));
    check_term(weft_gen_server_whereis(weft_partition(A(parts), weft_int(1))), pid);
    weft_gen_server_cast(weft_partition(A(parts), weft_int(1)), weft_self());
    expect_message(weft_tuple(A(cast), pid));
    weft_must(weft_partition_supervisor_start_link(.name = A(dynamics), .child = &dynamic, .partitions = 2));
    check(weft_dynamic_supervisor_start_child(weft_partition(A(dynamics), A(key)), child_spec(0)).ok);
    weft_gen_server_stop(weft_partition(A(parts), weft_int(1)), A(normal), BOUND_MS);
    check(!weft_is_alive(pid));
}

PROCESS_TEST(integers_go_by_remainder_other_keys_by_hash, "PSUP-8 PSUP-9")
{
    start_tellers(3);
    check_term(pid_at(weft_int(4)), pid_at(weft_int(1)));
    check_term(pid_at(weft_int(-5)), pid_at(weft_int(2)));
    check_term(pid_at(weft_int(0)), pid_at(weft_int(3)));
    check_term(pid_at(weft_str("some key")), pid_at(weft_str("some key")));
    check_term(pid_at(weft_tuple(A(a), weft_int(1))), pid_at(weft_tuple(A(a), weft_int(1))));
    check_term(pid_at(weft_int(INT64_MIN)), pid_at(weft_int(INT64_MIN)));
}

static weft_term starts_slowly(weft_term sup)
{
    weft_supervisor_start_child(sup, weft_child(.id = A(extra), .start = takes_its_time, .arg = weft_int(7)));
    return A(ok);
}

PROCESS_TEST(keys_lead_to_partitions_while_the_supervisor_is_busy, "PSUP-10")
{
    weft_pid sup = start_tellers(2);

    weft_spawn(starts_slowly, sup);
    expect_message(weft_tuple(A(busy), sup));
    check(weft_is_pid(pid_at(weft_int(0))));
    check_int(weft_partition_supervisor_partitions(A(parts)), 2);
    weft_send(sup, A(go_on));
}

PROCESS_TEST(after_a_crash_the_key_leads_to_the_new_one, "PSUP-11")
{
    weft_pid sup = start_tellers(2), old = pid_at(weft_int(0)), other = pid_at(weft_int(1));
    weft_ref down = weft_monitor(old);

    weft_gen_server_call(weft_partition(A(parts), weft_int(0)), A(crash), BOUND_MS);
    await_down(down);
    weft_supervisor_which_children(sup);
    check(!weft_eq(pid_at(weft_int(0)), old));
    check_term(pid_at(weft_int(1)), other);
}

static weft_term calls_nobody(weft_term arg)
{
    weft_gen_server_call(weft_partition(A(nobody_here), weft_int(0)), arg, BOUND_MS);
    return A(ok);
}

PROCESS_TEST(an_unknown_name_leads_nowhere, "PSUP-12")
{
    weft_ref down;

    weft_spawn(calls_nobody, A(x), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(noproc), weft_any));
    weft_gen_server_cast(weft_partition(A(nobody_here), weft_int(0)), A(x));
    check(weft_is_none(weft_gen_server_whereis(weft_partition(A(nobody_here), weft_int(0)))));
}

PROCESS_TEST(nothing_can_be_started_under_a_partitions_address, "PSUP-13")
{
    weft_started started;

    start_tellers(1);
    started = weft_gen_server_start(&teller, A(x), .name = weft_partition(A(parts), weft_int(0)));
    check_term(started.reason, weft_tuple(A(already_started), pid_at(weft_int(0))));
    started = weft_gen_server_start(&teller, A(x), .name = weft_partition(A(nobody_here), weft_int(0)));
    check(!started.ok);
    check_has(weft_inspect(started.reason), "not supported");
}

/* -- queries and stopping ------------------------------------------------------------------------ */

static weft_term asks_how_many(weft_term name)
{
    return weft_int(weft_partition_supervisor_partitions(name));
}

PROCESS_TEST(how_many_there_are_of_nobody_exits_with_noproc, "PSUP-14")
{
    weft_ref down;

    weft_spawn(asks_how_many, A(nobody_here), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(noproc), weft_any));
}

PROCESS_TEST(it_is_counted_as_any_supervisor, "PSUP-15")
{
    weft_pid sup = start_tellers(2);
    weft_child_counts counts;

    check_int(weft_supervisor_count_children(sup, &counts), 0);
    check_int(counts.specs, 2);
    check_int(counts.active, 2);
    check_term(weft_tuple_at(weft_head(weft_supervisor_which_children(sup)), 1), pid_at(weft_int(1)));
}

PROCESS_TEST(stop_ends_partitions_in_reverse_and_frees_the_name, "PSUP-16")
{
    weft_child_spec spec = weft_child(.id = A(x), .start = child_start);

    set_up();
    weft_must(weft_partition_supervisor_start_link(.name = A(parts), .child = &spec, .partitions = 3,
                                                   .with_argument = numbered_plainly));
    events();
    weft_supervisor_stop(A(parts), A(normal), WEFT_INFINITY);
    check_str(events(), "-2 -1 -0");
    check(weft_is_none(weft_whereis(A(parts))));
}

static void note_partition(int64_t partition, weft_pid pid, void *arg)
{
    check_term(pid, pid_at(weft_int(partition)));
    *(int64_t *)arg += partition + 1;
}

PROCESS_TEST(each_visits_every_partition)
{
    int64_t sum = 0;

    start_tellers(3);
    weft_partition_supervisor_each(A(parts), note_partition, &sum);
    check_int(sum, 6);
}

/* -- resizing --------------------------------------------------------------------------------------- */

static weft_term resizes(weft_term arg)
{
    weft_send(tester, weft_tuple(A(was), weft_int(weft_partition_supervisor_resize(A(parts), weft_to_int(arg)))));
    return A(ok);
}

PROCESS_TEST(resize_returns_how_many_there_were, "PSUP-17 PSUP-19")
{
    weft_pid sup = start_tellers(4);
    weft_child_counts counts;
    weft_term text = weft_none;
    weft_ref down;

    check_int(weft_partition_supervisor_resize(A(parts), 2), 4);
    check_int(weft_partition_supervisor_partitions(A(parts)), 2);
    check_term(pid_at(weft_int(2)), pid_at(weft_int(0)));
    weft_supervisor_count_children(sup, &counts);
    check_int(counts.specs, 4);
    check_int(counts.active, 2);
    weft_gen_server_call(weft_partition(A(parts), weft_int(0)), A(crash), BOUND_MS);
    weft_supervisor_count_children(sup, &counts);
    check_int(counts.specs, 4);
    check_le(counts.active, 2);
    check_int(weft_partition_supervisor_resize(A(parts), 4), 2);
    check(!weft_eq(pid_at(weft_int(3)), pid_at(weft_int(1))));
    weft_spawn(resizes, weft_int(5), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(badarg), weft_bind(&text)));
    check_has(weft_text(text), "is 5: from 0 to 4");
    weft_spawn(resizes, weft_int(-1), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(badarg), weft_any));
}

static _Atomic int stop_callers, n_calls, n_failed;

static weft_term calls_all_the_time(weft_term arg)
{
    while (!stop_callers) {
        WEFT_SCOPE;
        weft_term answer;

        n_failed += !weft_gen_server_try_call(weft_partition(A(parts), weft_int(n_calls++)), A(who), BOUND_MS, &answer) &&
                    weft_eq(answer, A(noproc));
    }
    return arg;
}

PROCESS_TEST(nobody_is_led_to_a_partition_that_is_not_up, "PSUP-18")
{
    weft_ref down;

    start_tellers(4);
    weft_spawn(calls_all_the_time, A(x), .monitor = &down);
    for (int i = 0; i < scaled(200); i++)
        weft_partition_supervisor_resize(A(parts), 1 + i % 4);
    stop_callers = 1;
    await_down(down);
    diag("%d calls, %d found a partition that had just been stopped", n_calls, n_failed);
    /* Between the look-up and the call it may be stopped; a table that led to one
     * that is down would fail nearly always. */
    check_lt(n_failed, n_calls / 2 + 10);
}

PROCESS_TEST(with_none_addressing_says_so_and_growing_repairs_it, "PSUP-20")
{
    weft_term answer = weft_none;

    start_tellers(2);
    check_int(weft_partition_supervisor_resize(A(parts), 0), 2);
    check(!weft_gen_server_try_call(weft_partition(A(parts), weft_int(0)), A(who), BOUND_MS, &answer));
    check_has(weft_inspect(answer), "has zero partitions");
    check_int(weft_partition_supervisor_resize(A(parts), 2), 0);
    check(weft_is_pid(pid_at(weft_int(1))));
}

PROCESS_TEST(resizes_are_one_after_the_other, "PSUP-21 PSUP-22")
{
    int64_t sum = 0, was = 0;

    start_tellers(4);
    for (int i = 0; i < 4; i++)
        weft_spawn(resizes, weft_int(i));
    for (int i = 0; i < 4; i++) {
        expect_message(weft_tuple(A(was), weft_bind_int(&was)));
        sum += was;
    }
    /* Each number that was set was replaced by the next one, but for the last. */
    check_int(sum + weft_partition_supervisor_partitions(A(parts)), 4 + 0 + 1 + 2 + 3);
}

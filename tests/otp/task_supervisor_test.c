/* task_supervisor_test.c - tasks under a supervisor: their owners, their number, their ends. */
#include "proc/process_test.h"
#include "weft/gen_server.h"
#include "weft/log.h"
#include "weft/partition_supervisor.h"
#include "weft/sys.h"
#include "weft/task_supervisor.h"
#include "weft/timer.h"

static weft_term square(weft_term n)
{
    return weft_int(weft_to_int(n) * weft_to_int(n));
}

static weft_term hangs(weft_term tester)
{
    if (weft_is_pid(tester))
        weft_send(tester, weft_tuple(A(hanging), weft_self()));
    weft_receive(A(go), WEFT_INFINITY, NULL);
    return A(went);
}

static weft_term hangs_trapping(weft_term tester)
{
    weft_trap_exit(true);
    weft_send(tester, weft_tuple(A(hanging), weft_self()));
    while (!weft_receive(A(never), WEFT_INFINITY, NULL))
        continue;
    return A(went);
}

static weft_term fails(weft_term reason)
{
    weft_exit(reason);
}

static weft_pid start_sup(int64_t max_children)
{
    return weft_must(weft_task_supervisor_start_link(.max_children = max_children));
}

static int64_t n_active(weft_pid sup)
{
    weft_child_counts counts = {.active = -1};

    weft_dynamic_supervisor_count_children(sup, &counts);
    return counts.active;
}

/* -- the supervisor ---------------------------------------------------------------- */

PROCESS_TEST(it_starts_without_tasks_under_its_name, "TSUP-1")
{
    weft_pid sup = weft_must(weft_task_supervisor_start_link(.name = A(tasks)));

    check_term(weft_whereis(A(tasks)), sup);
    check_term(weft_task_supervisor_children(A(tasks)), weft_empty_list);
    check_fits(weft_task_supervisor_start_link(.max_restarts = -1).reason,
               weft_tuple(A(supervisor_data), weft_tuple(A(invalid_intensity), weft_int(-1))));
}

PROCESS_TEST(its_child_spec_has_its_name_as_id, "TSUP-2")
{
    weft_child_spec specs[2];

    specs[0] = weft_task_supervisor_child(.name = A(tasks));
    check_term(specs[0].id, A(tasks));
    check_int(specs[0].type, WEFT_SUPERVISOR);
    specs[0] = specs[1] = weft_task_supervisor_child();
    check_term(specs[0].id, WEFT_ATOM("Task.Supervisor"));
    weft_trap_exit(true);
    check_fits(weft_supervisor_start_link(specs, 2, .strategy = WEFT_ONE_FOR_ONE).reason,
               weft_tuple(A(start_spec), weft_tuple(A(duplicate_child_name), weft_any)));
    specs[0] = weft_task_supervisor_child(.name = A(tasks));
    weft_must(weft_supervisor_start_link(specs, 1, .strategy = WEFT_ONE_FOR_ONE));
    check(weft_is_pid(weft_whereis(A(tasks))));
}

PROCESS_TEST(children_lists_the_tasks_that_live, "TSUP-3")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_task task = weft_task_supervisor_async_nolink(sup, hangs, weft_none);

    check_term(weft_task_supervisor_children(sup), weft_list(task.pid));
    check_int(n_active(sup), 1);
    check_fits(weft_dynamic_supervisor_which_children(sup),
               weft_list(weft_tuple(A(undefined), task.pid, A(worker), weft_empty_list)));
    weft_send(task.pid, A(go));
    check_term(weft_task_await(task, BOUND_MS), A(went));
    check_term(weft_task_supervisor_children(sup), weft_empty_list);
    check(weft_is_none(weft_task_supervisor_children(A(nobody_here))));
}

/* -- async and async_nolink ------------------------------------------------------------ */

PROCESS_TEST(a_supervised_task_is_awaited_as_any_other, "TSUP-4 TSUP-6")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_task task = weft_task_supervisor_async(sup, square, weft_int(7));

    check_term(weft_task_await(task, BOUND_MS), weft_int(49));
    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;

        check_term(weft_task_await(weft_task_supervisor_async(sup, square, weft_int(i)), BOUND_MS), weft_int((int64_t)i * i));
    }
    expect_no_message(weft_any);
}

static weft_term awaits_failing(weft_term sup)
{
    weft_task task = weft_task_supervisor_async(sup, fails, A(boom));

    weft_receive(A(never), WEFT_INFINITY, NULL);
    (void)task;
    return A(ok);
}

PROCESS_TEST(async_links_the_caller_too, "TSUP-4")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_ref down;

    weft_spawn(awaits_failing, sup, .monitor = &down);
    check_term(await_down(down), A(boom));
    check(weft_is_alive(sup));
}

PROCESS_TEST(async_nolink_leaves_the_caller_alive_whatever_the_task_does, "TSUP-5")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_term reason = weft_none;

    check_int(weft_task_yield(weft_task_supervisor_async_nolink(sup, fails, A(boom)), BOUND_MS, &reason), WEFT_TASK_EXIT);
    check_term(reason, A(boom));
    check_int(weft_task_yield(weft_task_supervisor_async_nolink(sup, fails, A(kill)), BOUND_MS, &reason), WEFT_TASK_EXIT);
    check_term(reason, A(kill));
}

PROCESS_TEST(without_await_the_result_and_the_down_are_messages, "TSUP-6")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_task good = weft_task_supervisor_async_nolink(sup, square, weft_int(3));
    weft_task bad = weft_task_supervisor_async_nolink(sup, fails, A(boom));

    expect_message(weft_tuple(good.ref, weft_int(9)));
    check_term(await_down(good.ref), A(normal));
    check_term(await_down(bad.ref), A(boom));
    expect_no_message(weft_any);
}

PROCESS_TEST(such_tasks_are_never_restarted, "TSUP-7")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_term reason;

    for (int i = 0; i < 10; i++)
        weft_task_yield(weft_task_supervisor_async_nolink(sup, fails, A(boom)), BOUND_MS, &reason);
    check(weft_is_alive(sup));
    check_int(n_active(sup), 0);
}

PROCESS_TEST(a_full_supervisor_says_so_and_the_caller_lives, "TSUP-8")
{
    weft_pid sup = start_sup(1);
    weft_task first = weft_task_supervisor_async_nolink(sup, hangs, weft_none), second;
    weft_term reason = weft_none, text;

    second = weft_task_supervisor_async_nolink(sup, square, weft_int(1));
    check_int(weft_task_yield(second, BOUND_MS, &reason), WEFT_TASK_EXIT);
    check(weft_match(reason, weft_tuple(A(system_limit), weft_bind(&text))));
    check_has(weft_text(text), "maximum number of tasks reached");
    check_has(weft_text(text), "has 1, its .max_children");
    reason = weft_none;
    check(!weft_task_supervisor_try_async(sup, square, weft_int(1), &second, &reason));
    check_fits(reason, weft_tuple(A(system_limit), weft_any));
    check_int(weft_task_shutdown(weft_task_supervisor_async(sup, square, weft_int(1)), WEFT_BRUTAL_KILL, &reason),
              WEFT_TASK_EXIT);
    check(weft_is_alive(sup));
    weft_task_shutdown(first, WEFT_BRUTAL_KILL, NULL);
    expect_no_message(weft_any);
}

static weft_term asks_nobody(weft_term arg)
{
    weft_task_supervisor_async_nolink(A(nobody_here), square, arg);
    return A(ok);
}

PROCESS_TEST(on_a_supervisor_that_is_not_there_it_exits_with_noproc, "TSUP-9")
{
    weft_term reason = weft_none;
    weft_task task;
    weft_ref down;

    weft_spawn(asks_nobody, weft_int(1), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(noproc), weft_any));
    check(!weft_task_supervisor_try_async_nolink(A(nobody_here), square, weft_int(1), &task, &reason));
    check_term(reason, A(noproc));
    expect_no_message(weft_any);
}

static _Atomic int n_ran, n_reports;

static weft_term runs(weft_term arg)
{
    n_ran++;
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static weft_term starts_one(weft_term sup)
{
    weft_task_supervisor_async_nolink(sup, runs, A(x));
    return A(ok);
}

static void count_reports(const weft_log_record *record, void *arg)
{
    (void)arg;
    n_reports += strcmp(record->text, "Task terminating") == 0;
}

static weft_term holds_up(weft_term tester)
{
    weft_send(tester, weft_tuple(A(busy), weft_self()));
    weft_receive(A(go_on), BOUND_MS, NULL);
    return A(ok);
}

static weft_started start_holding_up(weft_term tester)
{
    holds_up(tester);
    return weft_started_ignore();
}

static weft_term starts_holding_up(weft_term arg)
{
    weft_dynamic_supervisor_start_child(weft_tuple_at(arg, 0),
                                        weft_child(.start = start_holding_up, .arg = weft_tuple_at(arg, 1)));
    return A(ok);
}

PROCESS_TEST(a_task_whose_owner_died_meanwhile_ends_and_is_no_crash, "TSUP-10")
{
    weft_pid sup = start_sup(WEFT_INFINITY), owner;
    weft_ref down;

    weft_log_set_handler(count_reports, NULL, NULL);
    /* The supervisor is busy while the owner asks and dies. */
    weft_spawn(starts_holding_up, weft_tuple(sup, weft_self()));
    expect_message(weft_tuple(A(busy), sup));
    owner = weft_spawn(starts_one, sup, .monitor = &down);
    await_waiting(owner);
    weft_kill(owner);
    await_down(down);
    weft_send(sup, A(go_on));
    while (n_active(sup) > 0)
        weft_yield();
    check(n_ran <= 1);
    check_int(n_reports, 0);
    weft_log_set_handler(NULL, NULL, NULL);
}

static weft_term end_when_stopped(weft_task_fn *fn, int64_t shutdown_ms)
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_task task = weft_task_supervisor_async_nolink(sup, fn, weft_self(), .shutdown_ms = shutdown_ms);
    weft_term reason = weft_none;

    expect_message(weft_tuple(A(hanging), task.pid));
    weft_dynamic_supervisor_stop(sup, A(normal), WEFT_INFINITY);
    check_int(weft_task_yield(task, BOUND_MS, &reason), WEFT_TASK_EXIT);
    return reason;
}

PROCESS_TEST(when_the_supervisor_stops_owners_see_how_their_tasks_ended, "TSUP-11 TSUP-13")
{
    check_term(end_when_stopped(hangs, 5000), A(shutdown));
    check_term(end_when_stopped(hangs, 0), A(shutdown));
    check_term(end_when_stopped(hangs_trapping, 10), A(killed));
    check_term(end_when_stopped(hangs, WEFT_BRUTAL_KILL), A(killed));
}

static weft_term tells_callers(weft_term arg)
{
    (void)arg;
    return weft_tuple(weft_task_callers(), info_of(weft_self(), A(parent)));
}

PROCESS_TEST(callers_begin_with_who_asked_the_parent_is_the_supervisor, "TSUP-12")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_term told = weft_task_await(weft_task_supervisor_async(sup, tells_callers, weft_none), BOUND_MS);

    check_term(weft_head(weft_tuple_at(told, 0)), weft_self());
    check_term(weft_tuple_at(told, 1), sup);
}

/* -- start_child ------------------------------------------------------------------------- */

PROCESS_TEST(start_child_tells_its_caller_nothing, "TSUP-14")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_started started = weft_task_supervisor_start_child(sup, fails, A(boom));

    check(started.ok && weft_is_pid(started.pid));
    await_end(started.pid);
    expect_no_message(weft_any);
}

PROCESS_TEST(start_child_of_a_full_supervisor_is_an_error, "TSUP-15")
{
    weft_pid sup = start_sup(1);

    check(weft_task_supervisor_start_child(sup, hangs, weft_none).ok);
    check_term(weft_task_supervisor_start_child(sup, hangs, weft_none).reason, A(max_children));
}

static _Atomic int n_runs;

static weft_term counts_and_ends(weft_term reason)
{
    n_runs++;
    if (weft_eq(reason, A(ok)))
        return A(ok);
    weft_exit(reason);
}

static int runs_of(enum weft_restart restart, weft_term reason, int want)
{
    weft_pid sup = weft_must(weft_task_supervisor_start_link(.max_restarts = 3));
    weft_ref down = weft_monitor(sup);

    n_runs = 0;
    weft_task_supervisor_start_child(sup, counts_and_ends, reason, .restart = restart);
    if (want > 1)
        check_term(await_down(down), A(shutdown));
    else
        while (n_active(sup) > 0)
            weft_yield();
    return n_runs;
}

PROCESS_TEST(start_child_restarts_as_told_and_that_counts, "TSUP-16 TSUP-17")
{
    weft_trap_exit(true);
    check_int(runs_of(WEFT_TEMPORARY, A(boom), 1), 1);
    check_int(runs_of(WEFT_TRANSIENT, A(ok), 1), 1);
    check_int(runs_of(WEFT_TRANSIENT, A(shutdown), 1), 1);
    check_int(runs_of(WEFT_TRANSIENT, A(boom), 4), 4);
    check_int(runs_of(WEFT_PERMANENT, A(ok), 4), 4);
}

PROCESS_TEST(terminate_child_ends_a_task_of_its_own, "TSUP-18")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_pid pid = weft_must(weft_task_supervisor_start_child(sup, hangs, weft_none));

    check_int(weft_task_supervisor_terminate_child(sup, pid), 0);
    check(!weft_is_alive(pid));
    check_int(weft_task_supervisor_terminate_child(sup, pid), WEFT_ENOENT);
    check_int(weft_task_supervisor_terminate_child(sup, weft_self()), WEFT_ENOENT);
}

/* -- streams ------------------------------------------------------------------------------- */

static weft_term numbers(int n)
{
    weft_term list = weft_empty_list;

    while (n-- > 0)
        list = weft_cons(weft_int(n), list);
    return list;
}

static weft_term square_or_fail(weft_term n)
{
    if (weft_to_int(n) == 2)
        weft_exit(A(boom));
    return square(n);
}

PROCESS_TEST(a_stream_runs_its_tasks_under_the_supervisor, "TSUP-19")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_stream stream = weft_task_supervisor_async_stream(sup, numbers(100), square, .max_concurrency = 7);
    int64_t sum = 0;

    weft_stream_each (item, &stream)
        sum += weft_to_int(item.value);
    check_int(sum, 328350);
    check_int(n_active(sup), 0);
    expect_no_message(weft_any);
}

static weft_term makes_a_bad_stream(weft_term sup)
{
    weft_task_supervisor_async_stream(sup, weft_empty_list, square, .shutdown_ms = -7);
    return A(ok);
}

PROCESS_TEST(a_bad_shutdown_is_told_at_creation, "TSUP-19")
{
    weft_ref down;

    weft_spawn(makes_a_bad_stream, start_sup(WEFT_INFINITY), .monitor = &down);
    check_has(weft_inspect(await_down(down)), ".shutdown_ms");
}

static weft_term consumes_linked(weft_term sup)
{
    weft_stream stream = weft_task_supervisor_async_stream(sup, numbers(5), square_or_fail);

    weft_stream_each (item, &stream)
        (void)item;
    return A(ok);
}

PROCESS_TEST(the_linked_stream_fails_as_a_plain_one_the_other_gives_an_item, "TSUP-20")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_stream stream = weft_task_supervisor_async_stream_nolink(sup, numbers(5), square_or_fail);
    int n_ok = 0, n_bad = 0;
    weft_ref down;

    weft_spawn(consumes_linked, sup, .monitor = &down);
    check_term(await_down(down), A(boom));
    weft_stream_each (item, &stream) {
        if (item.ok)
            n_ok++;
        else
            n_bad += weft_eq(item.reason, A(boom));
    }
    check_int(n_ok, 4);
    check_int(n_bad, 1);
    expect_no_message(weft_any);
}

PROCESS_TEST(a_trapping_consumer_of_a_linked_stream_gets_the_item_and_no_message, "TSUP-20 TSUP-21")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_stream stream = weft_task_supervisor_async_stream(sup, numbers(5), square_or_fail);
    int n_bad = 0;

    weft_trap_exit(true);
    weft_stream_each (item, &stream)
        n_bad += !item.ok;
    check_int(n_bad, 1);
    expect_no_message(weft_any);
    check_term(info_of(weft_self(), A(links)), weft_list(sup));
}

PROCESS_TEST(after_an_early_stop_its_tasks_are_dead, "TSUP-21")
{
    weft_pid sup = start_sup(WEFT_INFINITY);
    weft_stream stream = weft_task_supervisor_async_stream_nolink(sup, numbers(100), square, .max_concurrency = 8);

    weft_stream_each (item, &stream)
        if (item.index == 3)
            break;
    check_int(n_active(sup), 0);
    expect_no_message(weft_any);
}

static weft_term streams_into_a_full_one(weft_term sup)
{
    weft_stream stream = weft_task_supervisor_async_stream_nolink(sup, numbers(5), hangs, .max_concurrency = 4);

    weft_stream_each (item, &stream)
        (void)item;
    return A(ok);
}

PROCESS_TEST(a_stream_that_meets_the_limit_closes_and_says_so, "TSUP-22")
{
    weft_pid sup = start_sup(2);
    weft_term reason, text = weft_none;
    weft_ref down;

    weft_log_set_level(WEFT_LOG_NONE);
    weft_spawn(streams_into_a_full_one, sup, .monitor = &down);
    reason = await_down(down);
    check_fits(reason, weft_tuple(A(system_limit), weft_bind(&text)));
    check_has(weft_text(text), "maximum number of tasks reached");
    check_int(n_active(sup), 0);
}

static weft_term streams_hanging(weft_term arg)
{
    weft_stream stream = weft_to_bool(weft_tuple_at(arg, 1))
                             ? weft_task_supervisor_async_stream(weft_tuple_at(arg, 0), weft_list(weft_tuple_at(arg, 2)), hangs)
                             : weft_task_supervisor_async_stream_nolink(weft_tuple_at(arg, 0), weft_list(weft_tuple_at(arg, 2)), hangs);

    weft_stream_each (item, &stream)
        (void)item;
    return A(ok);
}

static void consumer_ends(bool link, weft_term reason)
{
    weft_pid sup = start_sup(WEFT_INFINITY), task = weft_none;
    weft_pid consumer = weft_spawn(streams_hanging, weft_tuple(sup, weft_bool(link), weft_self()));

    expect_message(weft_tuple(A(hanging), weft_bind(&task)));
    weft_exit_signal(consumer, reason);
    await_end(task);
    while (n_active(sup) > 0)
        weft_yield();
}

PROCESS_TEST(a_consumer_that_ends_takes_its_tasks_along, "TSUP-23")
{
    consumer_ends(true, A(boom));
    consumer_ends(false, A(boom));
    consumer_ends(false, A(kill));
}

PROCESS_TEST(the_nolink_stream_leaves_foreign_exits_alone, "TSUP-24")
{
    weft_pid sup = start_sup(WEFT_INFINITY), other;
    weft_stream stream = weft_task_supervisor_async_stream_nolink(sup, numbers(5), square_or_fail);

    weft_trap_exit(true);
    other = weft_spawn(ends_with, A(mine), .link = true);
    weft_stream_each (item, &stream)
        (void)item;
    expect_message(weft_tuple(A(EXIT), other, A(mine)));
    expect_no_message(weft_any);
}

/* -- capacity ---------------------------------------------------------------------------------- */

PROCESS_TEST(after_the_down_there_is_room_again, "TSUP-25")
{
    weft_pid sup = start_sup(1);

    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_task task;
        weft_term reason;

        if (!check(weft_task_supervisor_try_async_nolink(sup, square, weft_int(1), &task, &reason)))
            break;
        await_down(task.ref);
        expect_message(weft_tuple(task.ref, weft_int(1)));
    }
}

/* -- in partitions ------------------------------------------------------------------------ */

/* Two task supervisors, each of at most one task; the key of the first and the second. */
static weft_server first, second;

static void start_partitions(void)
{
    weft_child_spec one = weft_task_supervisor_child(.max_children = 1);

    weft_must(weft_partition_supervisor_start_link(.name = A(parts), .child = &one, .partitions = 2));
    first = weft_partition(A(parts), weft_int(0));
    second = weft_partition(A(parts), weft_int(1));
}

/* Until its place is free again, which await does not wait for. */
static void await_no_task(weft_server sup)
{
    while (!weft_is_empty_list(weft_task_supervisor_children(sup)))
        weft_yield();
}

PROCESS_TEST(tasks_that_answer_are_started_in_a_partition, "TSUP-26")
{
    weft_task task;
    weft_term reason;

    start_partitions();
    check_term(weft_task_await(weft_task_supervisor_async(first, square, weft_int(3)), BOUND_MS), weft_int(9));
    await_no_task(first);
    task = weft_task_supervisor_async_nolink(first, fails, A(boom));
    check_int(weft_task_yield(task, BOUND_MS, &reason), WEFT_TASK_EXIT);
    check_term(reason, A(boom));
    check(weft_task_supervisor_try_async(second, square, weft_int(4), &task, &reason));
    check_term(weft_task_await(task, BOUND_MS), weft_int(16));
    await_no_task(second);
    check(weft_task_supervisor_try_async_nolink(second, square, weft_int(5), &task, &reason));
    check_term(weft_task_await(task, BOUND_MS), weft_int(25));
}

PROCESS_TEST(streams_run_in_a_partition, "TSUP-26")
{
    weft_term numbers = weft_list(weft_int(1), weft_int(2), weft_int(3));
    weft_stream linked, nolink;
    int64_t sum = 0;

    start_partitions();
    linked = weft_task_supervisor_async_stream(first, numbers, square, .max_concurrency = 1);
    nolink = weft_task_supervisor_async_stream_nolink(second, numbers, square, .max_concurrency = 1);
    weft_stream_each (item, &linked)
        sum += weft_to_int(item.value);
    weft_stream_each (item, &nolink)
        sum += 100 * weft_to_int(item.value);
    check_int(sum, 14 + 1400);
}

PROCESS_TEST(each_partition_has_its_own_limit_and_its_own_children, "TSUP-26")
{
    weft_pid in_first, in_second;

    start_partitions();
    in_first = weft_must(weft_task_supervisor_start_child(first, hangs, weft_none));
    check_term(weft_task_supervisor_start_child(first, hangs, weft_none).reason, A(max_children));
    in_second = weft_must(weft_task_supervisor_start_child(second, hangs, weft_none));
    check_term(weft_task_supervisor_start_child(second, hangs, weft_none).reason, A(max_children));
    check_term(weft_task_supervisor_children(first), weft_list(in_first));
    check_term(weft_task_supervisor_children(second), weft_list(in_second));
    check_int(weft_task_supervisor_terminate_child(first, in_second), WEFT_ENOENT);
    check_int(weft_task_supervisor_terminate_child(second, in_second), 0);
    check(!weft_is_alive(in_second));
    check(weft_is_alive(in_first));
    check(weft_task_supervisor_start_child(second, hangs, weft_none).ok);
}

/* Messages that a server has taken, but for this question. */
static int64_t n_messages_of(weft_server server)
{
    return weft_to_int(weft_keyword(weft_sys_get_statistics(server, BOUND_MS), A(messages_in), weft_int(-1)));
}

PROCESS_TEST(starting_a_task_is_one_request_to_one_process, "TSUP-26")
{
    weft_pid whole;
    weft_task task;

    start_partitions();
    whole = weft_whereis(A(parts));
    weft_sys_statistics(whole, true, BOUND_MS);
    weft_sys_statistics(first, true, BOUND_MS);
    weft_sys_statistics(second, true, BOUND_MS);
    task = weft_task_supervisor_async(first, hangs, weft_none);
    check_int(n_messages_of(first), 1);
    check_int(n_messages_of(second), 0);
    check_int(n_messages_of(whole), 0);
    weft_send(task.pid, A(go));
    check_term(weft_task_await(task, BOUND_MS), A(went));
}

PROCESS_TEST(starting_takes_the_same_time_with_many_tasks, "TSUP-27")
{
    enum { FEW = 200 };
    weft_pid sup = start_sup(WEFT_INFINITY);
    int64_t few_ns = INT64_MAX, many_ns = INT64_MAX;

    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 20; i++) {
            WEFT_SCOPE;
            int64_t begun = now_ns(), took;

            for (int k = 0; k < FEW / 20; k++)
                weft_task_await(weft_task_supervisor_async(sup, square, weft_int(k)), BOUND_MS);
            took = now_ns() - begun;
            if (turn == 0)
                few_ns = took < few_ns ? took : few_ns;
            else
                many_ns = took < many_ns ? took : many_ns;
        }
        for (int i = 0; turn == 0 && i < scaled(20000); i++)
            weft_task_supervisor_start_child(sup, hangs, weft_none);
    }
    diag("%lld ns with few, %lld ns with many", (long long)few_ns, (long long)many_ns);
    check_lt(many_ns, 10 * few_ns);
}

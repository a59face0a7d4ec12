/* task_test.c - tasks: start, await, await_many, yield, shutdown, ignore. */
#include "proc/process_test.h"

#include "weft/log.h"
#include "weft/task.h"

/* -- what the tests' tasks run ---------------------------------------------------- */

static weft_term square(weft_term n)
{
    int64_t i = weft_to_int(n);

    return weft_int(i * i);
}

static weft_term exits(weft_term reason)
{
    weft_exit(reason);
}

static weft_term crashes(weft_term what)
{
    weft_error(what);
}

/* Until it is sent {:go, value}. */
static weft_term waits_for_go(weft_term arg)
{
    weft_term value = weft_none;

    (void)arg;
    weft_receive(weft_tuple(A(go), weft_bind(&value)), WEFT_INFINITY, NULL);
    return value;
}

static void go(weft_task task, weft_term value)
{
    weft_send(task.pid, weft_tuple(A(go), value));
}

static weft_term sleeps_ms(weft_term ms)
{
    weft_sleep(weft_to_int(ms));
    return ms;
}

static weft_term sleeps_for_ever(weft_term arg)
{
    weft_sleep(WEFT_INFINITY);
    return arg;
}

static _Atomic int n_ready;

/* Traps exits, says so, and does with the first {:EXIT, _, _} what arg says:
 * {:answer, v} returns v, {:exit, r} exits with r, :ignore waits for ever. */
static weft_term traps(weft_term arg)
{
    weft_term what = weft_none;

    weft_trap_exit(true);
    atomic_fetch_add(&n_ready, 1);
    if (weft_eq(arg, A(ignore)))
        weft_receive(A(never), WEFT_INFINITY, NULL);
    weft_receive(weft_tuple(A(EXIT), weft_any, weft_any), WEFT_INFINITY, NULL);
    if (weft_match(arg, weft_tuple(A(exit), weft_bind(&what))))
        weft_exit(what);
    return weft_tuple_at(arg, 1);
}

static weft_task trapping_task(weft_term arg)
{
    int n = atomic_load(&n_ready);
    weft_task task = weft_task_async(traps, arg);

    await_count(&n_ready, n + 1);
    return task;
}

/* -- helpers ----------------------------------------------------------------------- */

/* What a fresh process that runs fn(arg) ends with. */
static weft_term end_of(weft_fn *fn, weft_term arg)
{
    weft_ref ref;

    weft_spawn(fn, arg, .monitor = &ref);
    return await_down(ref);
}

static void check_mailbox_empty(void)
{
    weft_yield();
    if (!check_int(weft_message_queue_len(), 0))
        show_mailbox();
}

static bool links_to(weft_pid pid)
{
    return is_listed(info_of(weft_self(), A(links)), pid);
}

/* {why, {Task, call, [what, timeout]}} */
static weft_term task_reason(weft_term why, weft_atom call, weft_term what, weft_term timeout)
{
    return weft_tuple(why, weft_tuple(A(Task), call, weft_list(what, timeout)));
}

/* A handle in a message: its terms, and back. */
static weft_term pack(weft_task task) { return weft_task_term(task); }
static weft_task unpack(weft_term term)
{
    return (weft_task){.pid = weft_tuple_at(term, 0),
                       .ref = weft_tuple_at(term, 1),
                       .owner = weft_tuple_at(term, 2),
                       .value = weft_none};
}

/* Until as many messages have come. */
static void await_messages(size_t n)
{
    int64_t until = now_ms() + BOUND_MS;

    while (weft_message_queue_len() < n && now_ms() < until)
        weft_receive(A(nothing_but_a_look), 0, NULL);
    check_ge(weft_message_queue_len(), n);
}

/* See the task dead without awaiting it. */
static void let_end(weft_task task)
{
    await_end(task.pid);
}

/* The same, and its end is in the mailbox, where nothing else is. Who asks about a
 * task in its last moment is told that it is gone before its own words come. */
static void let_come(weft_task task)
{
    await_end(task.pid);
    await_messages(1);
}

/* -- starting --------------------------------------------------------------------- */

PROCESS_TEST(start_gives_a_pid_without_link_and_a_crash_stays_there, "TASK-1")
{
    weft_started started = weft_task_start(waits_for_go, weft_none);
    weft_ref ref;

    check(started.ok);
    check(weft_is_pid(started.pid));
    check(!links_to(started.pid));
    ref = weft_monitor(started.pid);
    weft_exit_signal(started.pid, A(boom));
    check_term(await_down(ref), A(boom));
    check_mailbox_empty();
}

PROCESS_TEST(start_link_returns_at_once_and_links, "TASK-2")
{
    weft_started started = weft_task_start_link(waits_for_go, weft_none);

    check(started.ok); /* though the function waits for a message still to be sent */
    check(links_to(started.pid));
    weft_trap_exit(true);
    weft_exit_signal(started.pid, A(boom));
    expect_message(weft_tuple(A(EXIT), started.pid, A(boom)));
}

PROCESS_TEST(a_child_spec_of_a_task_is_temporary_and_starts_it_linked, "TASK-2")
{
    weft_child_spec spec = weft_task_child(waits_for_go, weft_none);
    weft_started started;

    check_term(spec.id, A(Task));
    check_int(spec.restart, WEFT_TEMPORARY);
    started = spec.start(spec.arg);
    check(started.ok);
    check(links_to(started.pid));
    weft_unlink(started.pid);
    weft_kill(started.pid);
}

static weft_term tells_its_argument(weft_term to)
{
    weft_send(to, weft_tuple(A(ran), weft_self()));
    return A(ok);
}

PROCESS_TEST(a_child_spec_hands_over_the_argument, "TASK-2")
{
    weft_child_spec spec = weft_task_child(tells_its_argument, weft_self());
    weft_started started = spec.start(spec.arg);

    expect_message(weft_tuple(A(ran), started.pid));
}

PROCESS_TEST(a_task_ends_with_normal_its_exit_reason_or_reason_and_trace, "TASK-3")
{
    weft_term reason;

    weft_trap_exit(true);
    check_int(weft_task_yield(weft_task_async(exits, A(boom)), BOUND_MS, &reason), WEFT_TASK_EXIT);
    check_term(reason, A(boom));
    check_int(weft_task_yield(weft_task_async(crashes, A(boom)), BOUND_MS, &reason), WEFT_TASK_EXIT);
    check_fits(reason, weft_tuple(A(boom), weft_any));
    check_term(end_of(square, weft_int(3)), A(normal));

    weft_task task = weft_task_async(square, weft_int(3));

    check_term(await_down(task.ref), A(normal));
}

/* -- reports ----------------------------------------------------------------------- */

static _Atomic int n_reports;
static char last_report[4096];

static void note_report(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (record->level < WEFT_LOG_ERROR)
        return;
    weft_log_format(last_report, sizeof last_report, record);
    atomic_fetch_add(&n_reports, 1);
}

static weft_term give_up(weft_term arg) { weft_exit(weft_tuple(A(gave_up), arg)); }

static weft_term reports_body(weft_term arg)
{
    char starter[64];
    weft_term reason;
    weft_task task;

    (void)arg;
    weft_trap_exit(true);
    weft_inspect_to(starter, sizeof starter, weft_self());

    task = weft_task_async(give_up, weft_str("the argument"), .label = "a label");
    check_int(weft_task_yield(task, BOUND_MS, &reason), WEFT_TASK_EXIT);
    await_end(task.pid);
    check_int(atomic_load(&n_reports), 1);
    check_has(last_report, weft_inspect(task.pid));
    check_has(last_report, starter);
    check_has(last_report, "give_up");
    check_has(last_report, "the argument");
    check_has(last_report, ":gave_up");
    check_has(last_report, "a label");

    weft_register(A(the_starter), weft_self());
    weft_task_yield(weft_task_async(crashes, A(boom)), BOUND_MS, &reason);
    check_int(atomic_load(&n_reports), 2);
    check_has(last_report, "the_starter");

    task = weft_task_async(sleeps_for_ever, weft_none);
    weft_exit_signal(task.pid, A(pushed));
    weft_task_yield(task, BOUND_MS, &reason);
    check_int(atomic_load(&n_reports), 3);

    await_end(weft_must(weft_task_start(give_up, A(x))));
    check_int(atomic_load(&n_reports), 4);
    await_end(weft_must(weft_task_start(crashes, A(x))));
    check_int(atomic_load(&n_reports), 5);
    return A(ok);
}

TEST(an_abnormal_end_is_reported_once_with_all_that_is_known, "TASK-4")
{
    weft_log_set_handler(note_report, NULL, NULL);
    run_in_runtime(reports_body, .workers = test_workers());
}

static weft_term quiet_body(weft_term arg)
{
    weft_term reason;

    (void)arg;
    weft_trap_exit(true);
    weft_task_yield(weft_task_async(square, weft_int(1)), BOUND_MS, &reason);
    weft_task_yield(weft_task_async(exits, A(normal)), BOUND_MS, &reason);
    weft_task_yield(weft_task_async(exits, A(shutdown)), BOUND_MS, &reason);
    weft_task_yield(weft_task_async(exits, weft_tuple(A(shutdown), A(why))), BOUND_MS, &reason);
    check_int(atomic_load(&n_reports), 0);
    return A(ok);
}

TEST(an_orderly_end_is_not_reported, "TASK-4")
{
    weft_log_set_handler(note_report, NULL, NULL);
    run_in_runtime(quiet_body, .workers = test_workers());
}

#ifdef WEFT_DEBUG
static _Atomic int n_warnings;

static void note_warning(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (record->level == WEFT_LOG_WARNING && strstr(record->text, "never awaited") != NULL)
        atomic_fetch_add(&n_warnings, 1);
}

static weft_term awaits_one_of_two(weft_term arg)
{
    weft_task_async(square, weft_int(1));
    return weft_task_await(weft_task_async(square, arg), BOUND_MS);
}

static weft_term awaits_both(weft_term arg)
{
    weft_task_await(weft_task_async(square, weft_int(1)), BOUND_MS);
    return weft_task_await(weft_task_async(square, arg), BOUND_MS);
}

static weft_term unawaited_body(weft_term arg)
{
    (void)arg;
    end_of(awaits_both, weft_int(2));
    check_int(atomic_load(&n_warnings), 0);
    end_of(awaits_one_of_two, weft_int(2));
    check_int(atomic_load(&n_warnings), 1);
    return A(ok);
}

TEST(a_debug_build_tells_of_handles_that_nobody_awaited)
{
    weft_log_set_handler(note_warning, NULL, NULL);
    run_in_runtime(unawaited_body, .workers = test_workers());
}
#endif

/* -- callers ------------------------------------------------------------------------ */

static weft_term callers_below(weft_term depth)
{
    int64_t n = weft_to_int(depth);

    if (n == 0)
        return weft_task_callers();
    return weft_list(weft_self(), weft_task_await(weft_task_async(callers_below, weft_int(n - 1)), BOUND_MS));
}

PROCESS_TEST(callers_are_the_starter_and_its_callers, "TASK-5")
{
    weft_term deep, middle, inner;

    check_term(weft_task_callers(), weft_empty_list);
    check_term(weft_task_await(weft_task_async(callers_below, weft_int(0)), BOUND_MS), weft_list(weft_self()));
    deep = weft_task_await(weft_task_async(callers_below, weft_int(2)), BOUND_MS);
    /* [outer, [middle, [middle, outer, self]]] */
    middle = weft_head(weft_tail(deep));
    inner = weft_head(weft_tail(middle));
    check_term(inner, weft_list(weft_head(middle), weft_head(deep), weft_self()));
}

static weft_term sends_callers(weft_term to)
{
    weft_send(to, weft_task_callers());
    return A(ok);
}

PROCESS_TEST(callers_of_a_started_task_are_its_starter, "TASK-5")
{
    weft_task_start(sends_callers, weft_self());
    expect_message(weft_list(weft_self()));
}

/* -- async and its messages ----------------------------------------------------------- */

PROCESS_TEST(a_handle_says_who_and_whose_and_its_task_is_linked, "TASK-6")
{
    weft_task task = weft_task_async(waits_for_go, weft_none);

    check(weft_is_pid(task.pid));
    check(weft_is_ref(task.ref));
    check_term(task.owner, weft_self());
    check_term(weft_task_term(task), weft_tuple(task.pid, task.ref, weft_self()));
    check(links_to(task.pid));
    go(task, A(ok));
    weft_task_await(task, BOUND_MS);
    check(!links_to(task.pid));
}

PROCESS_TEST(a_task_that_ends_at_once_is_never_noproc, "TASK-6")
{
    weft_trap_exit(true);
    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;
        weft_task task = weft_task_async(exits, weft_int(i));

        check_term(await_down(task.ref), weft_int(i));
        expect_message(weft_tuple(A(EXIT), task.pid, weft_int(i)));
    }
}

PROCESS_TEST(without_await_come_the_value_and_then_the_down, "TASK-7")
{
    weft_term values[] = {A(nil), weft_int(7), weft_tuple(A(ok), weft_str("text")), weft_empty_list};

    for (size_t i = 0; i < COUNT(values); i++) {
        weft_task task = weft_task_async(do_nothing, values[i]);
        weft_term message;

        check(weft_receive(weft_any, BOUND_MS, &message));
        check_term(message, weft_tuple(task.ref, values[i]));
        check(weft_receive(weft_any, BOUND_MS, &message));
        check_term(message, weft_tuple(A(DOWN), task.ref, A(process), task.pid, A(normal)));
    }
    check_mailbox_empty();
}

PROCESS_TEST(the_down_can_be_received_before_the_value, "TASK-7")
{
    weft_task task = weft_task_async(square, weft_int(5));

    check_term(await_down(task.ref), A(normal));
    expect_message(weft_tuple(task.ref, weft_int(25)));
    check_mailbox_empty();
}

PROCESS_TEST(a_task_that_dies_without_a_result_sends_only_the_down, "TASK-8")
{
    weft_task task = weft_task_async(exits, A(normal));

    check_term(await_down(task.ref), A(normal));
    check_mailbox_empty();
    weft_trap_exit(true);
    task = weft_task_async(exits, A(boom));
    check_term(await_down(task.ref), A(boom));
    expect_message(weft_tuple(A(EXIT), task.pid, A(boom)));
    check_mailbox_empty();
}

static weft_term awaits_a_crash(weft_term arg)
{
    (void)arg;
    return weft_task_await(weft_task_async(exits, A(boom)), WEFT_INFINITY);
}

static weft_term receives_beside_a_crash(weft_term arg)
{
    (void)arg;
    weft_task_async(exits, A(boom));
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return A(ok);
}

static weft_term sleeps_beside_a_crash(weft_term arg)
{
    (void)arg;
    weft_task_async(exits, A(boom));
    weft_sleep(WEFT_INFINITY);
    return A(ok);
}

static weft_term works_beside_a_crash(weft_term arg)
{
    (void)arg;
    weft_task_async(exits, A(boom));
    for (;;)
        weft_checkpoint();
    return A(ok);
}

PROCESS_TEST(an_abnormal_end_ends_an_owner_that_does_not_trap, "TASK-9")
{
    check_term(end_of(awaits_a_crash, weft_none), A(boom));
    check_term(end_of(receives_beside_a_crash, weft_none), A(boom));
    check_term(end_of(sleeps_beside_a_crash, weft_none), A(boom));
    check_term(end_of(works_beside_a_crash, weft_none), A(boom));
}

/* Starts a task, tells `to` who it is, and ends with the reason. {to, reason} */
static weft_term leaves_a_task(weft_term arg)
{
    weft_task task = weft_task_async(sleeps_for_ever, weft_none);
    weft_term reason = weft_tuple_at(arg, 1);

    weft_send(weft_tuple_at(arg, 0), weft_tuple(A(task), task.pid));
    weft_receive(A(end), WEFT_INFINITY, NULL);
    if (weft_eq(reason, A(normal)))
        return A(ok);
    weft_exit(reason);
}

static weft_pid left_task(weft_term reason, weft_ref *owner_ref, weft_ref *task_ref)
{
    weft_pid owner = weft_spawn(leaves_a_task, weft_tuple(weft_self(), reason), .monitor = owner_ref);
    weft_pid task = weft_none;

    expect_message(weft_tuple(A(task), weft_bind(&task)));
    *task_ref = weft_monitor(task);
    weft_send(owner, A(end));
    return task;
}

PROCESS_TEST(an_owner_takes_its_task_along_unless_it_ends_normally, "TASK-10")
{
    weft_ref owner_ref, task_ref;
    weft_pid task;

    left_task(A(boom), &owner_ref, &task_ref);
    check_term(await_down(owner_ref), A(boom));
    check_term(await_down(task_ref), A(boom));

    task = left_task(A(normal), &owner_ref, &task_ref);
    check_term(await_down(owner_ref), A(normal));
    expect_no_message(weft_tuple(A(DOWN), task_ref, weft_any, weft_any, weft_any));
    check(weft_is_alive(task));
    weft_kill(task);
    check_term(await_down(task_ref), A(killed));
}

PROCESS_TEST(a_completed_handle_gives_its_value_to_all, "TASK-11")
{
    weft_task task = weft_task_completed(weft_str("done")), tasks[2];
    weft_term value = weft_none, values[2];
    struct weft_task_result results[1];

    check_term(task.pid, A(nil));
    check_term(task.owner, weft_self());
    check_term(weft_task_await(task, 0), weft_str("done"));
    check_int(weft_task_yield(task, 0, &value), WEFT_TASK_OK);
    check_term(value, weft_str("done"));
    value = weft_none;
    check_int(weft_task_shutdown(task, 0, &value), WEFT_TASK_OK);
    check_term(value, weft_str("done"));
    value = weft_none;
    check_int(weft_task_ignore(task, &value), WEFT_TASK_OK);
    check_term(value, weft_str("done"));
    tasks[0] = task;
    tasks[1] = weft_task_async(square, weft_int(4));
    weft_task_await_many(tasks, 2, BOUND_MS, values);
    check_term(values[0], weft_str("done"));
    check_term(values[1], weft_int(16));
    check_int(weft_task_yield_many(&task, 1, results), 1);
    check_term(results[0].value, weft_str("done"));
    check_mailbox_empty();
}

/* -- await ---------------------------------------------------------------------------- */

PROCESS_TEST(await_gives_the_value_and_leaves_nothing, "TASK-12")
{
    check_term(weft_task_await(weft_task_async(square, weft_int(12)), 5000), weft_int(144));
    check_term(weft_task_await(weft_task_async(do_nothing, weft_list(weft_str("a"), weft_int(1))), 5000),
               weft_list(weft_str("a"), weft_int(1)));
    check_mailbox_empty();
    check_term(info_of(weft_self(), A(links)), weft_empty_list);
    check_term(info_of(weft_self(), A(monitors)), weft_empty_list);
}

PROCESS_TEST(await_leaves_other_messages_alone, "TASK-12 TASK-62")
{
    weft_task task = weft_task_async(waits_for_go, weft_none);
    weft_term message;

    weft_send(weft_self(), A(one));
    weft_send(weft_self(), weft_tuple(task.ref, A(fake)));
    weft_send(weft_self(), weft_tuple(A(DOWN), task.ref, A(process), task.pid, A(fake)));
    go(task, A(real));
    check_term(weft_task_await(task, BOUND_MS), A(real));
    check(weft_receive(weft_any, 0, &message));
    check_term(message, A(one));
    check(weft_receive(weft_any, 0, &message));
    check_term(message, weft_tuple(task.ref, A(fake)));
    check(weft_receive(weft_any, 0, &message));
    check_mailbox_empty();
}

PROCESS_TEST(a_result_wins_over_the_down_beside_it, "TASK-13")
{
    weft_task task = weft_task_async(square, weft_int(3));

    let_come(task);
    check_int(weft_message_queue_len(), 2);
    check_term(weft_task_await(task, BOUND_MS), weft_int(9));
    check_mailbox_empty();

    /* A kill that comes after the function returned changes nothing. */
    task = weft_task_async(square, weft_int(4));
    let_end(task);
    weft_kill(task.pid);
    check_term(weft_task_await(task, BOUND_MS), weft_int(16));
}

static weft_term awaits_a_normal_exit(weft_term arg)
{
    (void)arg;
    return weft_task_await(weft_task_async(exits, A(normal)), 1234);
}

PROCESS_TEST(await_exits_with_the_reason_of_a_task_without_result, "TASK-14")
{
    weft_term reason = weft_none;
    weft_task task;

    check_fits(end_of(awaits_a_normal_exit, weft_none),
               task_reason(A(normal), A(await), weft_any, weft_int(1234)));
    weft_trap_exit(true);
    task = weft_task_async(exits, A(boom));
    check(!weft_task_try_await(task, 4321, &reason));
    check_term(reason, task_reason(A(boom), A(await), weft_task_term(task), weft_int(4321)));
    task = weft_task_async(exits, A(normal));
    check(!weft_task_try_await(task, WEFT_INFINITY, &reason));
    check_term(reason, task_reason(A(normal), A(await), weft_task_term(task), A(infinity)));
    check_mailbox_empty();
}

static weft_term awaits_in_vain(weft_term arg)
{
    (void)arg;
    return weft_task_await(weft_task_async(sleeps_for_ever, weft_none), 10);
}

PROCESS_TEST(await_exits_when_the_time_is_over_and_nothing_comes_later, "TASK-15")
{
    int64_t began = now_ms();
    weft_term reason = weft_none;
    weft_task task;

    check_fits(end_of(awaits_in_vain, weft_none),
               task_reason(A(timeout), A(await), weft_any, weft_int(10)));
    check_ge(now_ms() - began, 10);

    task = weft_task_async(waits_for_go, weft_none);
    check(!weft_task_try_await(task, 10, &reason));
    check_term(reason, task_reason(A(timeout), A(await), weft_task_term(task), weft_int(10)));
    go(task, A(late));
    let_end(task);
    check_mailbox_empty();
}

static weft_term awaits_in_vain_and_says_whom(weft_term to)
{
    weft_task task = weft_task_async(sleeps_for_ever, weft_none);

    weft_send(to, weft_tuple(A(task), task.pid));
    weft_receive(A(go), WEFT_INFINITY, NULL);
    return weft_task_await(task, 1);
}

PROCESS_TEST(a_timeout_stops_the_task_only_through_the_link, "TASK-16")
{
    weft_term reason, value = weft_none;
    weft_pid pid = weft_none, owner;
    weft_task task;
    weft_ref ref;

    owner = weft_spawn(awaits_in_vain_and_says_whom, weft_self());
    expect_message(weft_tuple(A(task), weft_bind(&pid)));
    ref = weft_monitor(pid);
    weft_send(owner, A(go));
    check_fits(await_down(ref), weft_tuple(A(timeout), weft_any));

    task = weft_task_async(waits_for_go, weft_none);
    check(!weft_task_try_await(task, 1, &reason));
    check(weft_is_alive(task.pid));
    check(links_to(task.pid));
    weft_send(task.pid, weft_tuple(A(go), A(on)));
    let_end(task);
    (void)value;
}

PROCESS_TEST(await_can_stop_the_task_on_timeout, "TASK-16")
{
    weft_term reason = weft_none;
    weft_task task = trapping_task(A(ignore));

    check(!weft_task_try_await(task, 1, &reason, .stop_on_timeout = true));
    check_fits(reason, weft_tuple(A(timeout), weft_any));
    check(!weft_is_alive(task.pid));
    check_mailbox_empty();
}

enum { BY_AWAIT, BY_MANY, BY_YIELD, BY_YIELD_MANY, BY_SHUTDOWN, BY_IGNORE, N_WAYS };

static weft_term asks_for_anothers(weft_term arg)
{
    weft_task task = unpack(weft_tuple_at(arg, 1));
    struct weft_task_result result;
    weft_term value;

    switch (weft_to_int(weft_tuple_at(arg, 0))) {
    case BY_AWAIT: weft_task_await(task, 100); break;
    case BY_MANY: weft_task_await_many(&task, 1, 100, &value); break;
    case BY_YIELD: weft_task_yield(task, 100, &value); break;
    case BY_YIELD_MANY: weft_task_yield_many(&task, 1, &result); break;
    case BY_SHUTDOWN: weft_task_shutdown(task, 100, &value); break;
    default: weft_task_ignore(task, &value); break;
    }
    return A(ok);
}

PROCESS_TEST(only_the_owner_may_ask_for_a_task, "TASK-17")
{
    weft_task task = weft_task_async(waits_for_go, weft_none);

    for (int way = 0; way < N_WAYS; way++) {
        weft_term text = weft_none, reason = end_of(asks_for_anothers, weft_tuple(weft_int(way), pack(task)));

        if (!check_fits(reason, weft_tuple(A(badarg), weft_bind(&text))))
            continue;
        check_has(weft_text(text), weft_inspect(task.pid));
        check_has(weft_text(text), weft_inspect(weft_self()));
        check_has(weft_text(text), "only the process that started the task may await it");
    }
    check(weft_is_alive(task.pid));
    go(task, A(there));
    check_term(weft_task_await(task, BOUND_MS), A(there));
}

static weft_term try_asks_for_anothers(weft_term packed)
{
    weft_term reason = weft_none;

    if (weft_task_try_await(unpack(packed), 0, &reason))
        return A(ok);
    weft_exit(weft_tuple(A(reported), reason));
}

PROCESS_TEST(the_try_form_reports_a_stranger_instead, "TASK-17")
{
    weft_task task = weft_task_async(square, weft_int(2));

    check_fits(end_of(try_asks_for_anothers, pack(task)),
               weft_tuple(A(reported), weft_tuple(A(badarg), weft_any)));
    check_term(weft_task_await(task, BOUND_MS), weft_int(4));
}

static weft_term awaits_twice(weft_term arg)
{
    weft_task task = weft_task_async(do_nothing, A(value));

    (void)arg;
    weft_task_await(task, BOUND_MS);
    return weft_task_await(task, BOUND_MS);
}

PROCESS_TEST(a_second_await_fails_at_once, "TASK-18")
{
    int64_t began = now_ms();
    weft_term reason = weft_none;
    weft_task task = weft_task_async(square, weft_int(1));

    check_fits(end_of(awaits_twice, weft_none),
               task_reason(A(already_awaited), A(await), weft_any, weft_int(BOUND_MS)));
    weft_task_await(task, BOUND_MS);
    check(!weft_task_try_await(task, BOUND_MS, &reason));
    check_fits(reason, weft_tuple(A(already_awaited), weft_any));
    check_lt(now_ms() - began, BOUND_MS);

    /* A timeout uses it up too, and so does receiving its messages. */
    task = weft_task_async(sleeps_for_ever, weft_none);
    check(!weft_task_try_await(task, 0, &reason));
    check(!weft_task_try_await(task, BOUND_MS, &reason));
    check_fits(reason, weft_tuple(A(already_awaited), weft_any));
    task = weft_task_async(square, weft_int(6));
    check_term(await_down(task.ref), A(normal));
    expect_message(weft_tuple(task.ref, weft_int(36)));
    check(!weft_task_try_await(task, BOUND_MS, &reason));
    check_fits(reason, weft_tuple(A(already_awaited), weft_any));
}

PROCESS_TEST(await_with_no_time_takes_what_is_there, "TASK-19")
{
    weft_task task = weft_task_async(square, weft_int(7));
    weft_term reason = weft_none;

    let_come(task);
    check_term(weft_task_await(task, 0), weft_int(49));
    task = weft_task_async(waits_for_go, weft_none);
    check(!weft_task_try_await(task, 0, &reason));
    check_fits(reason, weft_tuple(A(timeout), weft_any));
    go(task, A(ok));
}

PROCESS_TEST(a_trapping_owner_keeps_no_exit_message, "TASK-20")
{
    weft_term term = weft_none, values[2];
    weft_task task, tasks[2];

    weft_trap_exit(true);
    weft_task_await(weft_task_async(square, weft_int(1)), BOUND_MS);
    check_mailbox_empty();

    task = weft_task_async(square, weft_int(1));
    let_come(task);
    check_int(weft_message_queue_len(), 3); /* {ref, 1}, {:EXIT, ...}, {:DOWN, ...} */
    weft_task_await(task, 0);
    check_mailbox_empty();

    task = weft_task_async(exits, A(boom));
    check_int(weft_task_yield(task, BOUND_MS, &term), WEFT_TASK_EXIT);
    check_mailbox_empty();
    task = weft_task_async(exits, A(boom));
    let_come(task);
    check(!weft_task_try_await(task, BOUND_MS, &term));
    check_mailbox_empty();
    task = weft_task_async(exits, A(boom));
    let_come(task);
    check_int(weft_task_shutdown(task, BOUND_MS, &term), WEFT_TASK_EXIT);
    check_mailbox_empty();
    tasks[0] = weft_task_async(square, weft_int(1));
    tasks[1] = weft_task_async(square, weft_int(2));
    weft_task_await_many(tasks, 2, BOUND_MS, values);
    check_mailbox_empty();
}

static weft_term gives_bad_timeout(weft_term way)
{
    weft_task task = weft_task_async(sleeps_for_ever, weft_none);
    weft_term value;

    switch (weft_to_int(way)) {
    case 0: weft_task_await(task, -5); break;
    case 1: weft_task_yield(task, -5, &value); break;
    case 2: weft_task_shutdown(task, -5, &value); break;
    case 3: weft_task_await_many(&task, 1, -5, &value); break;
    case 4: weft_task_async(square, weft_int(1), .stack_size = (size_t)1 << 40); break;
    default: weft_task_async(square, weft_int(1), .priority = (enum weft_priority)77); break;
    }
    return A(ok);
}

PROCESS_TEST(mistakes_are_named, "TASK-17")
{
    static const char *const words[] = {"-5 ms", "-5 ms", "-5 ms", "-5 ms", ".stack_size", ".priority"};

    for (size_t way = 0; way < COUNT(words); way++) {
        weft_term text = weft_none;

        if (check_fits(end_of(gives_bad_timeout, weft_int((int64_t)way)),
                       weft_tuple(A(badarg), weft_bind(&text))))
            check_has(weft_text(text), words[way]);
    }
}

/* -- await_many ----------------------------------------------------------------------- */

PROCESS_TEST(await_many_gives_values_in_the_order_of_the_handles, "TASK-21")
{
    enum { N = 1000 };
    static weft_task tasks[N];
    static weft_term values[N];

    weft_task_await_many(NULL, 0, 0, NULL);
    for (int i = 0; i < N; i++)
        tasks[i] = weft_task_async(square, weft_int(i));
    weft_task_await_many(tasks, N, BOUND_MS, values);
    for (int i = 0; i < N; i++)
        check_term(values[i], weft_int((int64_t)i * i));

    for (int i = 0; i < 5; i++)
        tasks[i] = weft_task_async(waits_for_go, weft_none);
    for (int i = 4; i >= 0; i--) {
        go(tasks[i], weft_tuple(A(value), weft_int(i)));
        let_end(tasks[i]);
    }
    weft_task_await_many(tasks, 5, BOUND_MS, values);
    for (int i = 0; i < 5; i++)
        check_term(values[i], weft_tuple(A(value), weft_int(i)));
    check_mailbox_empty();
}

static weft_term awaits_many_in_vain(weft_term arg)
{
    weft_task tasks[2] = {weft_task_async(square, weft_int(1)), weft_task_async(sleeps_for_ever, weft_none)};
    weft_term values[2];

    (void)arg;
    weft_task_await_many(tasks, 2, 20, values);
    return A(ok);
}

PROCESS_TEST(one_timeout_covers_all_of_await_many, "TASK-22")
{
    weft_task tasks[3] = {weft_task_async(sleeps_ms, weft_int(30)), weft_task_async(waits_for_go, weft_none),
                          weft_task_async(waits_for_go, weft_none)};
    weft_term values[3], reason = weft_none;
    int64_t began;

    check_fits(end_of(awaits_many_in_vain, weft_none),
               task_reason(A(timeout), A(await_many), weft_list(weft_any, weft_any), weft_int(20)));
    began = now_ms();
    check(!weft_task_try_await_many(tasks, 3, 60, values, &reason));
    check_ge(now_ms() - began, 60);
    check_term(reason, task_reason(A(timeout), A(await_many),
                                   weft_list(pack(tasks[0]), pack(tasks[1]), pack(tasks[2])), weft_int(60)));
    check(weft_is_none(values[0]));
    go(tasks[1], A(late));
    go(tasks[2], A(late));
    let_end(tasks[1]);
    let_end(tasks[2]);
    check_mailbox_empty();
}

PROCESS_TEST(the_first_failure_ends_await_many_and_not_the_others, "TASK-23")
{
    weft_task tasks[4];
    weft_term values[4], reason = weft_none;
    int64_t began = now_ms();

    weft_trap_exit(true);
    for (int i = 0; i < 3; i++)
        tasks[i] = weft_task_async(waits_for_go, weft_none);
    tasks[3] = weft_task_async(exits, A(boom));
    check(!weft_task_try_await_many(tasks, 4, BOUND_MS, values, &reason));
    check_lt(now_ms() - began, BOUND_MS);
    check_fits(reason, task_reason(A(boom), A(await_many), weft_any, weft_int(BOUND_MS)));
    for (int i = 0; i < 3; i++) {
        check(weft_is_alive(tasks[i].pid));
        weft_unlink(tasks[i].pid);
        go(tasks[i], A(late));
        let_end(tasks[i]);
    }
    check_mailbox_empty();
    check_term(info_of(weft_self(), A(monitors)), weft_empty_list);
}

PROCESS_TEST(await_many_leaves_other_messages_in_order, "TASK-24")
{
    weft_task tasks[2] = {weft_task_async(waits_for_go, weft_none), weft_task_async(waits_for_go, weft_none)};
    weft_term values[2], message;

    weft_send(weft_self(), weft_int(1));
    go(tasks[0], A(a));
    let_end(tasks[0]);
    weft_send(weft_self(), weft_tuple(tasks[0].ref, A(once_more)));
    weft_send(weft_self(), weft_int(2));
    go(tasks[1], A(b));
    weft_task_await_many(tasks, 2, BOUND_MS, values);
    check_term(values[0], A(a));
    check_term(values[1], A(b));
    check(weft_receive(weft_any, 0, &message));
    check_term(message, weft_int(1));
    check(weft_receive(weft_any, 0, &message));
    check_term(message, weft_tuple(tasks[0].ref, A(once_more)));
    check(weft_receive(weft_any, 0, &message));
    check_term(message, weft_int(2));
    check_mailbox_empty();
}

PROCESS_TEST(a_handle_that_stands_twice_gives_its_value_twice, "TASK-25")
{
    weft_task early = weft_task_async(square, weft_int(2)), late = weft_task_async(waits_for_go, weft_none);
    weft_task tasks[5] = {early, late, early, late, late};
    weft_term values[5];

    let_end(early);
    go(late, A(x));
    weft_task_await_many(tasks, 5, BOUND_MS, values);
    check_term(values[0], weft_int(4));
    check_term(values[1], A(x));
    check_term(values[2], weft_int(4));
    check_term(values[3], A(x));
    check_term(values[4], A(x));
}

static weft_term awaits_many_used_up(weft_term arg)
{
    weft_task task = weft_task_async(square, weft_int(1));
    weft_term value;

    (void)arg;
    weft_task_await(task, BOUND_MS);
    weft_task_await_many(&task, 1, BOUND_MS, &value);
    return A(ok);
}

PROCESS_TEST(await_many_knows_a_used_up_handle, "TASK-18")
{
    check_fits(end_of(awaits_many_used_up, weft_none),
               task_reason(A(already_awaited), A(await_many), weft_any, weft_any));
}

PROCESS_TEST(a_caller_killed_while_it_awaits_many_leaves_nothing_behind, "TASK-23")
{
    for (int i = 0; i < scaled(100); i++) {
        WEFT_SCOPE;
        weft_ref ref;
        weft_pid owner = weft_spawn(awaits_many_in_vain, weft_none, .monitor = &ref);

        if (i % 2)
            weft_yield();
        weft_kill(owner);
        await_down(ref);
    }
}

/* -- yield ------------------------------------------------------------------------------ */

PROCESS_TEST(yield_tells_values_reasons_and_nothing, "TASK-26")
{
    weft_term result = A(untouched);
    int64_t began;

    check_int(weft_task_yield(weft_task_async(square, weft_int(8)), 5000, &result), WEFT_TASK_OK);
    check_term(result, weft_int(64));
    check_int(weft_task_yield(weft_task_async(exits, A(normal)), 5000, &result), WEFT_TASK_EXIT);
    check_term(result, A(normal));
    result = A(untouched);
    began = now_ms();
    check_int(weft_task_yield(weft_task_async(sleeps_for_ever, weft_none), 10, &result), WEFT_TASK_NONE);
    check_ge(now_ms() - began, 10);
    check_term(result, A(untouched));
    check_int(weft_task_yield(weft_task_async(square, weft_int(8)), 5000, NULL), WEFT_TASK_OK);
    check_mailbox_empty();
}

PROCESS_TEST(after_nothing_a_handle_lives_and_after_an_answer_it_is_used_up, "TASK-27")
{
    weft_task task = weft_task_async(waits_for_go, weft_none);
    weft_term result = weft_none;

    check_int(weft_task_yield(task, 0, &result), WEFT_TASK_NONE);
    check_int(weft_task_yield(task, 1, &result), WEFT_TASK_NONE);
    go(task, A(v));
    check_int(weft_task_yield(task, BOUND_MS, &result), WEFT_TASK_OK);
    check_term(result, A(v));
    check_int(weft_task_yield(task, BOUND_MS, &result), WEFT_TASK_EXIT);
    check_term(result, A(already_awaited));
    check(!weft_task_try_await(task, BOUND_MS, &result));

    task = weft_task_async(waits_for_go, weft_none);
    check_int(weft_task_yield(task, 0, &result), WEFT_TASK_NONE);
    go(task, A(w));
    check_term(weft_task_await(task, BOUND_MS), A(w));
    task = weft_task_async(waits_for_go, weft_none);
    check_int(weft_task_yield(task, 0, &result), WEFT_TASK_NONE);
    check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_NONE);
    check(!weft_is_alive(task.pid));
}

PROCESS_TEST(yield_many_gives_results_in_the_order_of_the_handles, "TASK-28")
{
    weft_task tasks[4] = {weft_task_async(square, weft_int(3)), weft_task_async(waits_for_go, weft_none),
                          weft_task_async(exits, A(normal)), weft_task_async(square, weft_int(4))};
    struct weft_task_result results[4];
    int64_t began;

    await_messages(2 + 1 + 2); /* values and ends */
    began = now_ms();
    check_int(weft_task_yield_many(tasks, 4, results, .timeout_ms = 50), 3);
    check_ge(now_ms() - began, 50);
    check_int(results[0].outcome, WEFT_TASK_OK);
    check_term(results[0].value, weft_int(9));
    check_int(results[1].outcome, WEFT_TASK_NONE);
    check_int(results[2].outcome, WEFT_TASK_EXIT);
    check_term(results[2].value, A(normal));
    check_int(results[3].outcome, WEFT_TASK_OK);
    check_term(results[3].value, weft_int(16));

    /* :nothing is the default: the handle lives. */
    go(tasks[1], A(later));
    check_term(weft_task_await(tasks[1], BOUND_MS), A(later));
    check_mailbox_empty();
}

static weft_term yields_many_badly(weft_term way)
{
    struct weft_task_result result;
    weft_task task = weft_task_async(square, weft_int(1));

    switch (weft_to_int(way)) {
    case 0: weft_task_yield_many(&task, 1, &result, .timeout_ms = -1); break;
    case 1: weft_task_yield_many(&task, 1, &result, .limit = 0); break;
    default: weft_task_yield_many(&task, 1, &result, .on_timeout = WEFT_EXIT_CALLER); break;
    }
    return A(ok);
}

PROCESS_TEST(yield_many_names_bad_options, "TASK-28")
{
    static const char *const words[] = {"-1 ms", ".limit", ".on_timeout"};

    for (size_t way = 0; way < COUNT(words); way++) {
        weft_term text = weft_none;

        if (check_fits(end_of(yields_many_badly, weft_int((int64_t)way)),
                       weft_tuple(A(badarg), weft_bind(&text))))
            check_has(weft_text(text), words[way]);
    }
}

PROCESS_TEST(yield_many_returns_when_enough_have_answered, "TASK-29")
{
    weft_task tasks[3];
    struct weft_task_result results[3];
    int64_t began = now_ms();

    for (int i = 0; i < 3; i++)
        tasks[i] = weft_task_async(waits_for_go, weft_none);
    go(tasks[1], A(one));
    check_int(weft_task_yield_many(tasks, 3, results, .timeout_ms = BOUND_MS, .limit = 1,
                                   .on_timeout = WEFT_KILL_TASK), 1);
    check_lt(now_ms() - began, BOUND_MS);
    check_int(results[0].outcome, WEFT_TASK_NONE);
    check_int(results[1].outcome, WEFT_TASK_OK);
    check_int(results[2].outcome, WEFT_TASK_NONE);
    check(weft_is_alive(tasks[0].pid)); /* on_timeout is not for them */
    go(tasks[0], A(zero));
    check_term(weft_task_await(tasks[0], BOUND_MS), A(zero));
    check_int(weft_task_yield_many(tasks + 2, 1, results, .timeout_ms = 0, .limit = 100), 0);
    go(tasks[2], A(two));
    check_int(weft_task_yield_many(tasks + 2, 1, results, .limit = 100), 1);
}

PROCESS_TEST(yield_many_kills_or_ignores_what_is_late, "TASK-30")
{
    weft_task tasks[3];
    struct weft_task_result results[3];

    tasks[0] = weft_task_async(square, weft_int(2));
    let_come(tasks[0]);
    tasks[1] = trapping_task(A(ignore));
    tasks[2] = weft_task_async(sleeps_for_ever, weft_none);
    check_int(weft_task_yield_many(tasks, 3, results, .timeout_ms = 10, .on_timeout = WEFT_KILL_TASK), 1);
    check_int(results[0].outcome, WEFT_TASK_OK);
    check_int(results[1].outcome, WEFT_TASK_NONE);
    check_int(results[2].outcome, WEFT_TASK_NONE);
    check(!weft_is_alive(tasks[1].pid));
    check(!weft_is_alive(tasks[2].pid));
    check_mailbox_empty();

    tasks[0] = weft_task_async(waits_for_go, weft_none);
    check_int(weft_task_yield_many(tasks, 1, results, .timeout_ms = 10, .on_timeout = WEFT_IGNORE_TASK), 0);
    check(weft_is_alive(tasks[0].pid));
    check(!links_to(tasks[0].pid));
    go(tasks[0], A(late));
    let_end(tasks[0]);
    check_mailbox_empty();
}

/* -- shutdown ----------------------------------------------------------------------------- */

PROCESS_TEST(shutdown_ends_a_task_and_leaves_nothing, "TASK-31")
{
    weft_task task = weft_task_async(sleeps_for_ever, weft_none);
    weft_term result = A(untouched);

    check_int(weft_task_shutdown(task, 5000, &result), WEFT_TASK_NONE);
    check_term(result, A(untouched));
    check(!weft_is_alive(task.pid));
    check(!links_to(task.pid));
    check_mailbox_empty();

    weft_trap_exit(true);
    task = weft_task_async(sleeps_for_ever, weft_none);
    check_int(weft_task_shutdown(task, 5000, NULL), WEFT_TASK_NONE);
    check_mailbox_empty();
}

PROCESS_TEST(shutdown_gives_a_value_that_is_there_or_comes_on_the_way_out, "TASK-32")
{
    weft_task task = weft_task_async(square, weft_int(5));
    weft_term result = weft_none;

    let_come(task);
    check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_OK);
    check_term(result, weft_int(25));
    task = trapping_task(weft_tuple(A(answer), weft_str("last words")));
    check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_OK);
    check_term(result, weft_str("last words"));
    task = weft_task_async(square, weft_int(6));
    let_come(task);
    check_int(weft_task_shutdown(task, WEFT_BRUTAL_KILL, &result), WEFT_TASK_OK);
    check_term(result, weft_int(36));
    check_mailbox_empty();
}

PROCESS_TEST(shutdown_tells_any_other_reason, "TASK-33")
{
    weft_term reasons[] = {A(boom), A(normal), A(killed), weft_tuple(A(shutdown), A(x))};
    weft_term result = weft_none;
    weft_task task;

    for (size_t i = 0; i < COUNT(reasons); i++) {
        task = trapping_task(weft_tuple(A(exit), reasons[i]));
        check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_EXIT);
        check_term(result, reasons[i]);
    }
    task = trapping_task(weft_tuple(A(exit), A(shutdown)));
    check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_NONE);
    weft_trap_exit(true);
    task = weft_task_async(sleeps_for_ever, weft_none);
    weft_kill(task.pid);
    check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_EXIT);
    check_term(result, A(killed));
    check_mailbox_empty();
}

PROCESS_TEST(a_task_that_outlives_shutdown_is_killed, "TASK-34")
{
    weft_task task = trapping_task(A(ignore));
    weft_term result = weft_none;
    int64_t began = now_ms();

    check_int(weft_task_shutdown(task, 10, &result), WEFT_TASK_EXIT);
    check_ge(now_ms() - began, 10);
    check_term(result, A(killed));
    check(!weft_is_alive(task.pid));
    check_mailbox_empty();
}

PROCESS_TEST(brutal_kill_gives_nothing_for_killed_and_other_reasons_as_they_are, "TASK-35")
{
    weft_term result = A(untouched);
    weft_task task = trapping_task(A(ignore));

    check_int(weft_task_shutdown(task, WEFT_BRUTAL_KILL, &result), WEFT_TASK_NONE);
    check_term(result, A(untouched));
    check(!weft_is_alive(task.pid));
    weft_trap_exit(true);
    task = weft_task_async(exits, A(shutdown));
    let_come(task);
    check_int(weft_task_shutdown(task, WEFT_BRUTAL_KILL, &result), WEFT_TASK_EXIT);
    check_term(result, A(shutdown));
    check_mailbox_empty();
}

PROCESS_TEST(shutdown_of_a_used_up_handle_says_noproc, "TASK-36")
{
    weft_task task = weft_task_async(square, weft_int(1));
    weft_term result = weft_none;

    weft_task_await(task, BOUND_MS);
    check_int(weft_task_shutdown(task, BOUND_MS, &result), WEFT_TASK_EXIT);
    check_term(result, A(noproc));
    check_int(weft_task_shutdown(task, WEFT_BRUTAL_KILL, &result), WEFT_TASK_EXIT);
    check_term(result, A(noproc));
}

/* Traps, and tells arg the first exit signal that comes. */
static weft_term tells_its_exit(weft_term to)
{
    weft_term reason = weft_none;

    weft_trap_exit(true);
    weft_send(to, weft_tuple(A(task), weft_self()));
    weft_receive(weft_tuple(A(EXIT), weft_any, weft_bind(&reason)), WEFT_INFINITY, NULL);
    weft_send(to, weft_tuple(A(signalled), reason));
    return A(ok);
}

static weft_term shuts_down_slowly(weft_term to)
{
    weft_task task = weft_task_async(tells_its_exit, to);

    weft_receive(A(go), WEFT_INFINITY, NULL);
    weft_task_shutdown(task, WEFT_INFINITY, NULL);
    return A(ok);
}

PROCESS_TEST(a_caller_killed_within_shutdown_still_signals, "TASK-37")
{
    for (int i = 0; i < scaled(500); i++) {
        WEFT_SCOPE;
        weft_pid owner = weft_spawn(shuts_down_slowly, weft_self());
        weft_term reason = weft_none;

        expect_message(weft_tuple(A(task), weft_any));
        weft_send(owner, A(go));
        for (int turns = i % 4; turns > 0; turns--)
            weft_yield();
        weft_kill(owner);
        expect_message(weft_tuple(A(signalled), weft_bind(&reason)));
        check(weft_eq(reason, A(shutdown)) || weft_eq(reason, A(killed)));
    }
}

/* -- ignore ------------------------------------------------------------------------------- */

PROCESS_TEST(ignore_lets_a_task_run_on_alone, "TASK-38")
{
    weft_task task = weft_task_async(waits_for_go, weft_none);
    weft_term result = A(untouched);

    check_int(weft_task_ignore(task, &result), WEFT_TASK_NONE);
    check_term(result, A(untouched));
    check(weft_is_alive(task.pid));
    check(!links_to(task.pid));
    weft_exit_signal(task.pid, A(boom)); /* nor does its crash arrive */
    let_end(task);
    check_mailbox_empty();

    task = weft_task_async(square, weft_int(3));
    let_come(task);
    check_int(weft_task_ignore(task, &result), WEFT_TASK_OK);
    check_term(result, weft_int(9));
    weft_trap_exit(true);
    task = weft_task_async(exits, A(boom));
    let_come(task);
    check_int(weft_task_ignore(task, &result), WEFT_TASK_EXIT);
    check_term(result, A(boom));
    check_int(weft_task_ignore(task, &result), WEFT_TASK_NONE);
    check_mailbox_empty();
}

/* -- values --------------------------------------------------------------------------------- */

PROCESS_TEST(a_large_value_is_shared_and_lives_to_the_end_of_the_scope, "TASK-12")
{
    static char bytes[100000];
    weft_term big;

    memset(bytes, 'x', sizeof bytes);
    {
        WEFT_SCOPE;
        weft_term sent = weft_bin(bytes, sizeof bytes);
        weft_term got = weft_task_await(weft_task_async(do_nothing, sent), BOUND_MS);

        check_ptr(weft_bin_data(got), weft_bin_data(sent));
        big = weft_scope_return(got);
    }
    check_int(weft_bin_size(big), sizeof bytes);
    check_mem(weft_bin_data(big), bytes, sizeof bytes);
}

/* -- guests --------------------------------------------------------------------------------- */

TEST(a_thread_of_the_program_can_own_tasks)
{
    struct weft_runtime_options options = {WEFT_RUNTIME_DEFAULTS};
    weft_term value = weft_none, values[3];
    weft_task tasks[3];

    if (!runtime_up(&options))
        return;
    check(weft_task_try_await(weft_task_async(square, weft_int(12)), BOUND_MS, &value));
    check_term(value, weft_int(144));
    check(weft_task_try_await(weft_task_async(do_nothing, weft_list(weft_str("a"))), BOUND_MS, &value));
    check_term(value, weft_list(weft_str("a")));
    check(!weft_task_try_await(weft_task_async(sleeps_for_ever, weft_none), 5, &value, .stop_on_timeout = true));
    check_fits(value, weft_tuple(A(timeout), weft_any));
    for (int i = 0; i < 3; i++)
        tasks[i] = weft_task_async(square, weft_int(i));
    check(weft_task_try_await_many(tasks, 3, BOUND_MS, values, &value));
    check_term(values[2], weft_int(4));
    runtime_down();
    check_term(values[1], weft_int(1));
    check_fits(value, weft_tuple(A(timeout), weft_any)); /* what a guest got outlives the runtime */
}

/* monitor_test.c - monitors: one DOWN each, and none after demonitor. */
#include "proc/process_test.h"

PROCESS_TEST(a_monitor_tells_once_that_its_target_ended_and_why, "PROC-30")
{
    weft_pid target = puppet_start();
    weft_ref ref = weft_monitor(target);
    weft_term reason = weft_tuple(A(why), weft_list(weft_int(1), weft_str("text")));

    check(weft_is_ref(ref));
    tell(target, do_exit, reason);
    check_term(expect_message(weft_any), weft_tuple(A(DOWN), ref, A(process), target, reason));
    expect_no_message(weft_any);
}

PROCESS_TEST(every_monitor_has_a_reference_of_its_own, "PROC-30")
{
    enum { N = 1000 };
    weft_pid target = puppet_start();
    weft_ref *refs = weft_alloc(N * sizeof *refs);

    for (int i = 0; i < N; i++)
        refs[i] = weft_monitor(target);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < i; j++)
            if (!check(!weft_eq(refs[i], refs[j])))
                return;
    weft_kill(target);
    for (int i = 0; i < N; i++)
        check_term(await_down(refs[i]), A(killed));
    expect_no_message(weft_any);
}

PROCESS_TEST(monitoring_the_dead_delivers_noproc, "PROC-31")
{
    weft_pid dead = weft_spawn(ends_with, A(boom));
    weft_ref ref;

    await_end(dead);
    ref = weft_monitor(dead);
    check_term(expect_message(weft_any), weft_tuple(A(DOWN), ref, A(process), dead, A(noproc)));
    expect_no_message(weft_any);
}

PROCESS_TEST(monitoring_a_name_that_nobody_has_delivers_noproc, "PROC-31 PROC-33")
{
    weft_ref ref = weft_monitor(A(nobody_has_this));

    check_term(expect_message(weft_any), weft_tuple(A(DOWN), ref, A(process), A(nobody_has_this), A(noproc)));
    expect_no_message(weft_any);
}

PROCESS_TEST(monitoring_who_ends_meanwhile_delivers_one_down, "PROC-30 PROC-31")
{
    int n_noproc = 0, n = scaled(5000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_pid target = weft_spawn(ends_with, A(boom));
        weft_term reason;

        pass_time(i % 50);
        reason = await_down(weft_monitor(target));
        check(weft_eq(reason, A(boom)) || weft_eq(reason, A(noproc)));
        n_noproc += weft_eq(reason, A(noproc));
    }
    expect_no_message(weft_any);
    diag("%d of %d were gone before the monitor", n_noproc, n);
}

PROCESS_TEST(two_monitors_on_one_target_are_independent, "PROC-32")
{
    weft_pid target = puppet_start();
    weft_ref first = weft_monitor(target), second = weft_monitor(target), third = weft_monitor(target);

    check(weft_demonitor(second, false));
    tell(target, do_exit, A(boom));
    check_term(await_down(first), A(boom));
    check_term(await_down(third), A(boom));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_monitor_by_name_carries_the_name, "PROC-33")
{
    weft_pid target = puppet_start();
    weft_ref ref;

    weft_register(A(a_monitored_name), target);
    ref = weft_monitor(A(a_monitored_name));
    tell(target, do_exit, A(boom));
    check_term(expect_message(weft_any), weft_tuple(A(DOWN), ref, A(process), A(a_monitored_name), A(boom)));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_monitor_by_name_stays_with_who_had_the_name_then, "PROC-33")
{
    weft_pid first = puppet_start(), second = puppet_start();
    weft_ref ref;

    weft_register(A(a_passed_on_name), first);
    ref = weft_monitor(A(a_passed_on_name));
    weft_unregister(A(a_passed_on_name));
    weft_register(A(a_passed_on_name), second);
    puppet_stop(second);
    expect_no_message(weft_any);
    tell(first, do_exit, A(boom));
    check_term(expect_message(weft_any), weft_tuple(A(DOWN), ref, A(process), A(a_passed_on_name), A(boom)));
}

static weft_term monitors_itself(weft_term parent)
{
    weft_ref ref = weft_monitor(weft_self());

    weft_send(parent, weft_tuple(A(ref), ref));
    if (weft_receive(weft_any, QUIET_MS, NULL))
        weft_exit(A(fired));
    return A(ok);
}

PROCESS_TEST(a_monitor_of_oneself_never_fires, "PROC-34")
{
    weft_ref down, ref = weft_none;

    weft_spawn(monitors_itself, weft_self(), .monitor = &down);
    expect_message(weft_tuple(A(ref), weft_bind(&ref)));
    check(weft_is_ref(ref));
    check_term(await_down(down), A(normal));
    expect_no_message(weft_any);
}

PROCESS_TEST(after_demonitor_no_down_is_queued, "PROC-35 PROC-36")
{
    weft_pid target = puppet_start();
    weft_ref ref = weft_monitor(target);

    check(weft_demonitor(ref, false));
    check(!weft_demonitor(ref, false)); /* it was removed before */
    puppet_stop(target);
    expect_no_message(weft_any);
}

PROCESS_TEST(demonitor_leaves_a_queued_down_unless_it_flushes, "PROC-35 PROC-36")
{
    for (int flush = 0; flush < 2; flush++) {
        weft_pid target = puppet_start();
        weft_ref ref = weft_monitor(target), other = weft_monitor(target);

        tell(target, do_exit, A(boom));
        await_down(other); /* made later than ref, told later */
        weft_send(weft_self(), A(unrelated));
        check(!weft_demonitor(ref, flush == 1));
        if (flush == 1)
            expect_no_message(weft_tuple(A(DOWN), ref, weft_any, weft_any, weft_any));
        else
            check_term(await_down(ref), A(boom));
        expect_message(A(unrelated));
        expect_no_message(weft_any);
    }
}

PROCESS_TEST(demonitor_with_flush_takes_only_its_own_down, "PROC-35")
{
    weft_pid target = puppet_start();
    weft_ref first = weft_monitor(target), second = weft_monitor(target), last = weft_monitor(target);

    tell(target, do_exit, A(boom));
    await_down(last);
    check(!weft_demonitor(first, true));
    check_term(await_down(second), A(boom));
    expect_no_message(weft_any);
}

PROCESS_TEST(demonitor_of_an_active_monitor_is_true_with_flush_too, "PROC-36")
{
    weft_pid target = puppet_start();
    weft_ref ref = weft_monitor(target);

    check(weft_demonitor(ref, true));
    check(!weft_demonitor(ref, true));
    check(!weft_demonitor(weft_make_ref(), true)); /* unknown */
    check(!weft_demonitor(weft_make_ref(), false));
    puppet_stop(target);
    expect_no_message(weft_any);
}

PROCESS_TEST(demonitor_after_the_down_was_received_is_false, "PROC-36")
{
    weft_ref ref = weft_none;

    weft_spawn(ends_with, A(boom), .monitor = &ref);
    await_down(ref);
    check(!weft_demonitor(ref, false));
    check(!weft_demonitor(ref, true));
}

static weft_term do_demonitor(weft_term ref)
{
    return weft_bool(weft_demonitor(ref, true));
}

PROCESS_TEST(demonitor_of_anothers_reference_changes_nothing, "PROC-37")
{
    weft_pid target = puppet_start(), meddler = puppet_start();
    weft_ref ref = weft_monitor(target);

    check_term(ask(meddler, do_demonitor, ref), A(false));
    tell(target, do_exit, A(boom));
    check_term(await_down(ref), A(boom));
}

/* The target ends while the caller demonitors: true means that no DOWN comes,
 * false that it is there. */
PROCESS_TEST(demonitor_says_whether_the_down_is_there, "PROC-35 PROC-36")
{
    int n_removed = 0, n = scaled(5000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref ref = weft_none;
        weft_pid target = weft_spawn(ends_with, A(boom), .monitor = &ref);
        weft_term down = weft_tuple(A(DOWN), ref, weft_any, weft_any, weft_any);
        bool removed;

        pass_time(i % 50);
        removed = weft_demonitor(ref, false);
        check_int(weft_receive(down, 0, NULL), !removed);
        await_end(target);
        if (!check(!weft_receive(down, 0, NULL)))
            return;
        n_removed += removed;
    }
    expect_no_message(weft_any);
    diag("%d of %d were removed in time", n_removed, n);
}

PROCESS_TEST(demonitor_with_flush_leaves_nothing_whoever_was_first, "PROC-35 PROC-36")
{
    int n = scaled(5000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref ref = weft_none;

        weft_spawn(ends_with, A(boom), .monitor = &ref);
        pass_time(i % 50);
        weft_demonitor(ref, true);
    }
    expect_no_message(weft_any);
}

PROCESS_TEST(a_monitor_ends_silently_with_who_made_it, "PROC-38")
{
    weft_pid target = puppet_start(), watcher = puppet_start(), second = puppet_start();

    ask(watcher, do_monitor, target);
    ask(second, do_monitor, target);
    check(is_listed(info_of(target, A(monitored_by)), watcher));
    check(is_listed(info_of(watcher, A(monitors)), target));
    weft_exit_signal(watcher, A(boom));
    await_end(watcher);
    ask(target, do_nothing, A(nil));
    check(!is_listed(info_of(target, A(monitored_by)), watcher));
    check(is_listed(info_of(target, A(monitored_by)), second));
    check_term(ask(target, do_take, A(nil)), A(nothing));
    check(weft_is_alive(target));
}

PROCESS_TEST(the_end_of_a_target_does_not_touch_the_watcher, "PROC-38")
{
    weft_pid target = puppet_start(), watcher = puppet_start();
    weft_ref ref = ask(watcher, do_monitor, target);

    weft_kill(target);
    ask(watcher, do_await, weft_tuple(A(DOWN), ref, A(process), target, A(killed)));
    check(weft_is_alive(watcher));
}

PROCESS_TEST(a_monitor_may_have_a_tag_of_its_own, "PROC-39")
{
    weft_pid target = puppet_start(), dead = weft_spawn(ends_with, A(normal));
    weft_ref ref = weft_monitor(target, .tag = A(worker_gone));
    weft_ref late;

    tell(target, do_exit, A(boom));
    check_term(expect_message(weft_any), weft_tuple(A(worker_gone), ref, A(process), target, A(boom)));
    await_end(dead);
    late = weft_monitor(dead, .tag = A(worker_gone));
    check_term(expect_message(weft_any), weft_tuple(A(worker_gone), late, A(process), dead, A(noproc)));
    expect_no_message(weft_any);
}

PROCESS_TEST(demonitor_with_flush_finds_a_down_by_its_tag, "PROC-36 PROC-39")
{
    weft_pid target = puppet_start();
    weft_ref ref = weft_monitor(target, .tag = A(worker_gone)), last = weft_monitor(target);

    weft_kill(target);
    await_down(last);
    check(!weft_demonitor(ref, true));
    expect_no_message(weft_any);
}

PROCESS_TEST(many_watchers_of_one_target_each_hear_once, "PROC-30 PROC-32")
{
    int n = scaled(1000);
    weft_pid target = puppet_start(), *watchers = weft_alloc((size_t)n * sizeof *watchers);
    weft_ref *refs = weft_alloc((size_t)n * sizeof *refs);

    for (int i = 0; i < n; i++) {
        watchers[i] = puppet_start();
        refs[i] = ask(watchers[i], do_monitor, target);
    }
    weft_exit_signal(target, A(boom));
    await_end(target);
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;

        ask(watchers[i], do_await, weft_tuple(A(DOWN), refs[i], A(process), target, A(boom)));
        check_term(ask(watchers[i], do_take, A(nil)), A(nothing));
    }
}

/* Drains, which frees the monitor signal, and then sends: the message lies where
 * the signal lay. */
static _Atomic int is_monitored;

static weft_term sends_where_the_signal_lay(weft_term to)
{
    while (atomic_load(&is_monitored) == 0)
        weft_yield();
    weft_receive(A(nothing), 0, NULL);
    weft_send(to, weft_int(7));
    return A(ok);
}

static weft_term flushes_and_keeps_the_message(weft_term arg)
{
    weft_pid other = weft_spawn(sends_where_the_signal_lay, weft_self());
    weft_ref ref;
    int64_t got = 0;

    ref = weft_monitor(other);
    atomic_store(&is_monitored, 1);
    check_term(await_down(ref), A(normal));
    check(!weft_demonitor(ref, true));
    check(weft_receive(weft_bind_int(&got), 0, NULL));
    check_int(got, 7);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST_WITH(a_flush_takes_no_message_that_lies_where_a_signal_lay, .rules = "PROC-35")
{
    run_in_runtime(flushes_and_keeps_the_message, .workers = 1);
}

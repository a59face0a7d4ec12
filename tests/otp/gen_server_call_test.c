/* gen_server_call_test.c - calls, casts and other messages. */
#include "otp/server_test.h"
#include "weft/task.h"

/* The reason with which fn(arg) ends a process of its own. */
static weft_term end_of(weft_fn *fn, weft_term arg)
{
    weft_ref down;

    weft_spawn(fn, arg, .monitor = &down);
    return await_down(down);
}

/* {server, request, timeout} */
static weft_term calls(weft_term arg)
{
    return weft_gen_server_call(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), weft_to_int(weft_tuple_at(arg, 2)));
}

static weft_term script_of(script *fn, weft_term arg)
{
    return weft_tuple(SERVER_FN(fn), arg);
}

/* {GenServer, :call, [server, request, timeout]} */
static weft_term call_term(weft_server server, weft_term request, weft_term timeout)
{
    return weft_tuple(WEFT_ATOM("GenServer"), A(call), weft_list(server, request, timeout));
}

/* -- calls ------------------------------------------------------------------------------ */

PROCESS_TEST(a_call_returns_what_the_server_replies, "GS-14")
{
    weft_pid server = scripted();
    weft_term value = weft_list(weft_str("text"), weft_float(1.5), weft_map(A(key), A(value)));

    check_term(run_call(server, counts_up, A(nil)), weft_int(1));
    check_term(run_call(server, counts_up, A(nil)), weft_int(2));
    check_term(run_call(server, replies_with, value), value);
}

PROCESS_TEST(a_call_to_nobody_exits_with_noproc, "GS-15")
{
    weft_pid dead = puppet_start();
    weft_term reason = weft_none;

    puppet_stop(dead);
    check_term(end_of(calls, weft_tuple(dead, A(hello), weft_int(100))),
               weft_tuple(A(noproc), call_term(dead, A(hello), weft_int(100))));
    check_term(end_of(calls, weft_tuple(A(no_such_name), A(hello), weft_int(100))),
               weft_tuple(A(noproc), call_term(A(no_such_name), A(hello), weft_int(100))));
    check(!weft_gen_server_try_call(dead, A(hello), 100, &reason));
    check_term(reason, A(noproc));
}

PROCESS_TEST(a_call_that_is_not_answered_in_time_exits_with_timeout, "GS-15 GS-17")
{
    weft_pid server = scripted();
    weft_term request = script_of(keeps_quiet, A(nil));

    check_term(end_of(calls, weft_tuple(server, request, weft_int(2))),
               weft_tuple(A(timeout), call_term(server, request, weft_int(2))));
}

PROCESS_TEST(a_call_to_a_server_that_ends_exits_with_its_reason, "GS-15")
{
    weft_term reasons[] = {A(normal), A(shutdown), weft_tuple(A(shutdown), A(why)), weft_int(7)};

    for (size_t i = 0; i < COUNT(reasons); i++) {
        WEFT_SCOPE;
        weft_pid server = scripted();
        weft_term request = script_of(stops, reasons[i]);

        check_term(end_of(calls, weft_tuple(server, request, weft_int(BOUND_MS))),
                   weft_tuple(reasons[i], call_term(server, request, weft_int(BOUND_MS))));
    }
}

PROCESS_TEST(calls_that_wait_in_the_mailbox_get_the_end_reason_too, "GS-15")
{
    weft_pid server = scripted(), callers[10];
    weft_ref downs[10];
    weft_term request = script_of(replies_with, A(nil));

    run_cast(server, waits_for_go, A(nil));
    expect_message(weft_tuple(A(waiting), server));
    run_cast(server, stops, A(shutdown));
    for (int i = 0; i < 10; i++) {
        callers[i] = weft_spawn(calls, weft_tuple(server, request, weft_int(WEFT_INFINITY)), .monitor = &downs[i]);
        await_waiting(callers[i]);
    }
    weft_send(server, A(go));
    for (int i = 0; i < 10; i++)
        check_fits(await_down(downs[i]), failed_call(A(shutdown), A(call)));
}

PROCESS_TEST(a_call_hears_of_a_kill, "GS-15")
{
    weft_pid server = scripted();
    weft_ref down;

    weft_spawn(calls, weft_tuple(server, script_of(waits_for_go, A(nil)), weft_int(WEFT_INFINITY)), .monitor = &down);
    expect_message(weft_tuple(A(waiting), server));
    weft_kill(server);
    check_fits(await_down(down), failed_call(A(killed), A(call)));
}

static weft_result calls_self(struct scripted *self, weft_term name, weft_from from)
{
    weft_term reason = weft_none;

    (void)self, (void)from;
    if (weft_gen_server_try_call(name, A(hello), 100, &reason))
        return weft_reply(A(answered));
    return weft_reply(reason);
}

PROCESS_TEST(a_call_to_oneself_is_refused_before_anything_is_sent, "GS-16")
{
    weft_pid server = weft_must(weft_gen_server_start(&scripted_server, weft_self(), .name = A(me)));

    check_term(run_call(server, calls_self, server), A(calling_self));
    check_term(run_call(server, calls_self, A(me)), A(calling_self));
    check_term(info_of(server, A(message_queue_len)), weft_int(0));
}

static weft_result answers_late(struct scripted *self, weft_term arg, weft_from from)
{
    (void)from;
    weft_receive(A(go), WEFT_INFINITY, NULL);
    self->n++;
    return weft_reply(arg);
}

PROCESS_TEST(a_late_reply_never_enters_the_mailbox_and_the_request_runs, "GS-17")
{
    weft_pid server = scripted();
    weft_term result = weft_none;

    check(!weft_gen_server_try_call(server, script_of(answers_late, A(late)), 2, &result));
    check_term(result, A(timeout));
    weft_send(server, A(go));
    check_term(run_call(server, counts_up, A(nil)), weft_int(2));
    expect_no_message(weft_any);
}

static weft_result replies_and_exits(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self;
    weft_gen_server_reply(from, arg);
    weft_exit(A(shutdown));
}

PROCESS_TEST(a_reply_before_the_end_is_returned, "GS-18 GS-23")
{
    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_pid server = scripted();
        weft_term result = weft_none;

        if (!check(try_run_call(server, replies_and_exits, A(answer), &result)) || !check_term(result, A(answer)))
            return;
        expect_message(weft_tuple(A(terminate), A(shutdown), weft_any));
    }
}

PROCESS_TEST(zero_and_infinity_are_times_and_a_negative_one_is_a_mistake, "GS-19")
{
    weft_pid server = scripted();
    weft_term text = weft_none, result = weft_none;

    check(!weft_gen_server_try_call(server, script_of(keeps_quiet, A(nil)), 0, &result));
    check_term(result, A(timeout));
    check_term(weft_gen_server_call(server, script_of(replies_with, A(x)), WEFT_INFINITY), A(x));
    if (check_fits(end_of(calls, weft_tuple(server, A(x), weft_int(-1))), weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), "weft_gen_server_call: the timeout is -1 ms");
    check(!weft_gen_server_try_call(server, A(x), -1, &result));
    check_fits(result, weft_tuple(A(badarg), weft_any));
}

PROCESS_TEST(what_names_no_server_is_a_mistake_in_words, "GS-16")
{
    weft_term text = weft_none;

    if (check_fits(end_of(calls, weft_tuple(weft_int(12), A(x), weft_int(1))), weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), "12 names no server");
}

PROCESS_TEST(a_pattern_is_no_request, "GS-14")
{
    weft_pid server = scripted();
    weft_term result = weft_none, text = weft_none;

    check(!weft_gen_server_try_call(server, weft_tuple(A(x), weft_any), 100, &result));
    if (check_fits(result, weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), "weft_any");
}

PROCESS_TEST(a_client_that_dies_waiting_does_not_disturb_the_server, "GS-20")
{
    weft_pid server = scripted(), client;

    client = weft_spawn(calls, weft_tuple(server, script_of(waits_for_go, A(nil)), weft_int(WEFT_INFINITY)));
    expect_message(weft_tuple(A(waiting), server));
    weft_kill(client);
    await_end(client);
    weft_send(server, A(go));
    check_term(run_call(server, replies_with, A(fine)), A(fine));
    check_term(info_of(server, A(message_queue_len)), weft_int(0));
}

static weft_result appends(struct scripted *self, weft_term arg, weft_from from)
{
    weft_term list = weft_is_none(self->kept) ? weft_empty_list : self->kept;
    weft_term longer = weft_keep(weft_cons(arg, list));

    weft_drop(self->kept);
    self->kept = longer;
    return weft_is_none(from) ? weft_noreply() : weft_reply(weft_list_reverse(longer));
}

PROCESS_TEST(requests_of_one_client_are_handled_in_the_order_made, "GS-21")
{
    weft_pid server = scripted();

    run_cast(server, appends, weft_int(1));
    run_info(server, appends, weft_int(2));
    run_cast(server, appends, weft_int(3));
    check_term(run_call(server, appends, weft_int(4)),
               weft_list(weft_int(1), weft_int(2), weft_int(3), weft_int(4)));
}

/* The best of ten rounds: the machine has other things to do in some. */
static int64_t time_of_calls(weft_pid server)
{
    int64_t best = INT64_MAX;

    for (int round = 0; round < 10; round++) {
        int64_t begin = now_ns(), took;

        for (int i = 0; i < 200; i++)
            run_call(server, replies_with, A(x));
        took = now_ns() - begin;
        best = took < best ? took : best;
    }
    return best;
}

PROCESS_TEST(a_call_costs_the_same_with_many_messages_held, "GS-22 PROC-57")
{
    weft_pid server = scripted();
    int64_t few = time_of_calls(server), many;

    for (int i = 0; i < scaled(200000); i++)
        weft_send(weft_self(), A(unrelated));
    many = time_of_calls(server);
    /* A look through them all would cost each call milliseconds. */
    check_lt(many, 10 * few + 2000000);
}

PROCESS_TEST(any_process_may_reply, "GS-23")
{
    weft_pid server = scripted(), helper = puppet_start();
    weft_term from = weft_none, value = weft_none;
    weft_task task;

    (void)helper;
    (void)value;
    task = weft_task_async(calls, weft_tuple(server, script_of(gives_from, A(nil)), weft_int(BOUND_MS)));
    expect_message(weft_tuple(A(from), weft_bind(&from)));
    weft_gen_server_reply(from, A(from_the_test));
    check_term(weft_task_await(task, BOUND_MS), A(from_the_test));
}

static weft_result keeps_from(struct scripted *self, weft_term arg, weft_from from)
{
    (void)arg;
    self->kept = weft_keep(from);
    weft_send(self->test, A(kept));
    return weft_noreply();
}

static weft_result answers_kept(struct scripted *self, weft_term arg, weft_from from)
{
    weft_gen_server_reply(self->kept, arg);
    return weft_is_none(from) ? weft_noreply() : weft_reply(A(answered));
}

PROCESS_TEST(a_server_may_reply_after_its_callback_returned, "GS-23")
{
    weft_pid server = scripted();
    weft_task task = weft_task_async(calls, weft_tuple(server, script_of(keeps_from, A(nil)), weft_int(BOUND_MS)));

    expect_message(A(kept));
    check_term(run_call(server, answers_kept, A(later)), A(answered));
    check_term(weft_task_await(task, BOUND_MS), A(later));
}

PROCESS_TEST(a_call_that_was_put_off_hears_of_the_end, "GS-15 GS-23")
{
    weft_pid server = scripted();
    weft_ref down;

    weft_spawn(calls, weft_tuple(server, script_of(keeps_from, A(nil)), weft_int(WEFT_INFINITY)), .monitor = &down);
    expect_message(A(kept));
    run_cast(server, stops, A(shutdown));
    check_fits(await_down(down), failed_call(A(shutdown), A(call)));
}

PROCESS_TEST(a_reply_to_a_client_that_is_gone_is_no_mistake, "GS-23")
{
    weft_pid server = scripted(), client;
    weft_term from = weft_none;

    client = weft_spawn(calls, weft_tuple(server, script_of(gives_from, A(nil)), weft_int(WEFT_INFINITY)));
    expect_message(weft_tuple(A(from), weft_bind(&from)));
    weft_kill(client);
    await_end(client);
    weft_gen_server_reply(from, A(hello));
    check_term(run_call(server, replies_with, A(fine)), A(fine));
}

static weft_result replies_twice(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg;
    weft_gen_server_reply(from, A(first));
    weft_gen_server_reply(from, A(second));
    return weft_reply(A(third));
}

PROCESS_TEST(only_the_first_reply_counts, "GS-24")
{
    weft_pid server = scripted();

    check_term(run_call(server, replies_twice, A(nil)), A(first));
    check_term(run_call(server, replies_with, A(next)), A(next));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_reply_that_is_dropped_is_reported_in_debug_mode, "GS-24 GS-60")
{
    weft_pid server = scripted();
    weft_term log;

    weft_sys_log(server, true, BOUND_MS);
    check_term(run_call(server, replies_twice, A(nil)), A(first));
    log = weft_sys_get_log(server, BOUND_MS);
    check_fits(log, weft_list(weft_tuple(A(in), weft_any), weft_tuple(A(out), A(first)), weft_tuple(A(dropped), A(second)),
                              weft_tuple(A(dropped), A(third)), weft_tuple(A(state), weft_any)));
}

/* -- nothing is left of calls that were given up ------------------------------------------ */

static weft_term gives_up(weft_term server)
{
    weft_term result;

    weft_gen_server_try_call(server, script_of(keeps_quiet, A(nil)), 0, &result);
    return result;
}

PROCESS_TEST(calls_that_were_given_up_leave_nothing_at_the_server, "GS-17 GS-20")
{
    weft_pid server = scripted();
    int64_t before, after;

    run_call(server, replies_with, A(warm));
    before = weft_to_int(info_of(server, A(memory)));
    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;

        gives_up(server);
    }
    run_call(server, replies_with, A(x)); /* pushes all that came before out */
    after = weft_to_int(info_of(server, A(memory)));
    check_int(after, before);
}

static weft_term answers_all(weft_term arg)
{
    weft_receive_each (message) {
        weft_term from = weft_none;

        if (weft_match(message, weft_tuple(A(from), weft_bind(&from))))
            weft_gen_server_reply(from, A(by_another));
    }
    return arg;
}

static weft_result passes_on(struct scripted *self, weft_term to, weft_from from)
{
    (void)self;
    weft_send(to, weft_tuple(A(from), from));
    return weft_noreply();
}

PROCESS_TEST(calls_that_a_third_process_answered_leave_nothing_at_the_server, "GS-23")
{
    weft_pid server = scripted(), helper = weft_spawn(answers_all, weft_none);
    int64_t before, after;

    run_call(server, replies_with, A(warm));
    before = weft_to_int(info_of(server, A(memory)));
    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;

        if (!check_term(run_call(server, passes_on, helper), A(by_another)))
            return;
    }
    run_call(server, replies_with, A(x));
    after = weft_to_int(info_of(server, A(memory)));
    check_int(after, before);
}

/* -- casts and other messages --------------------------------------------------------------- */

PROCESS_TEST(a_cast_returns_at_once_whether_or_not_the_server_is_there, "GS-25")
{
    weft_pid server = scripted(), dead = puppet_start();

    puppet_stop(dead);
    run_cast(server, tells, A(got_it));
    expect_message(A(got_it));
    weft_gen_server_cast(dead, A(x));
    weft_gen_server_cast(A(no_such_name), A(x));
    weft_gen_server_cast(weft_via(A(no_registry), A(key)), A(x));
}

PROCESS_TEST(abcast_casts_to_a_name, "GS-61")
{
    weft_must(weft_gen_server_start(&scripted_server, weft_self(), .name = A(here)));
    weft_gen_server_abcast(A(here), script_of(tells, A(got_it)));
    expect_message(A(got_it));
    weft_gen_server_abcast(A(nobody), A(x));
}

static weft_result monitors(struct scripted *self, weft_term pid, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(weft_monitor(pid));
}

static weft_result links(struct scripted *self, weft_term pid, weft_from from)
{
    (void)self, (void)from;
    weft_trap_exit(true);
    weft_link(pid);
    return weft_reply(A(ok));
}

static weft_result sets_timer(struct scripted *self, weft_term message, weft_from from)
{
    (void)self, (void)from;
    weft_send_after(weft_self(), message, 1);
    return weft_reply(A(ok));
}

PROCESS_TEST(all_other_messages_go_to_handle_info, "GS-26")
{
    weft_pid server = scripted(), peer = puppet_start(), other = puppet_start();
    weft_ref ref = run_call(server, monitors, peer);

    weft_send(server, weft_int(42));
    expect_message(weft_tuple(A(info), weft_int(42)));
    run_call(server, links, other);
    puppet_stop(peer);
    expect_message(weft_tuple(A(info), weft_tuple(A(DOWN), ref, A(process), peer, A(normal))));
    puppet_stop(other);
    expect_message(weft_tuple(A(info), weft_tuple(A(EXIT), other, A(normal))));
    run_call(server, sets_timer, A(tick));
    expect_message(weft_tuple(A(info), A(tick)));
    weft_kill(server); /* it traps: the runtime's stop would wait for it */
}

static weft_result starts_task(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(weft_task_async(do_nothing, arg).ref);
}

PROCESS_TEST(messages_that_came_together_go_to_handle_info_one_by_one, "GS-26")
{
    weft_pid server = scripted();

    for (int i = 0; i < 100; i++)
        weft_send(server, weft_int(i));
    for (int i = 0; i < 100; i++)
        check_term(expect_message(weft_tuple(A(info), weft_any)), weft_tuple(A(info), weft_int(i)));
}

PROCESS_TEST(the_result_of_a_task_goes_to_handle_info, "GS-26")
{
    weft_pid server = scripted();
    weft_ref ref = run_call(server, starts_task, A(result));

    expect_message(weft_tuple(A(info), weft_tuple(ref, A(result))));
    expect_message(weft_tuple(A(info), weft_tuple(A(DOWN), ref, A(process), weft_any, A(normal))));
}

static const weft_gen_server only_calls = {.init = scripted_init, .handle_call = scripted_call};
static const weft_gen_server only_init = {.init = scripted_init};

PROCESS_TEST(an_unhandled_message_is_dropped_and_the_server_goes_on, "GS-27")
{
    weft_pid server = weft_must(weft_gen_server_start(&only_calls, weft_self()));

    weft_send(server, A(stray));
    check_term(run_call(server, replies_with, A(fine)), A(fine));
}

PROCESS_TEST(a_call_without_a_callback_crashes_the_server, "GS-28")
{
    weft_started started = weft_gen_server_start(&only_init, weft_self());
    weft_ref down = weft_monitor(started.pid);
    weft_term reason = weft_none;

    check(!weft_gen_server_try_call(started.pid, A(hello), BOUND_MS, &reason));
    check_fits(reason, weft_tuple(weft_tuple(A(bad_call), A(hello)), weft_any));
    check_term(await_down(down), reason);
}

PROCESS_TEST(a_cast_without_a_callback_crashes_the_server, "GS-28")
{
    weft_started started = weft_gen_server_start(&only_init, weft_self());
    weft_ref down = weft_monitor(started.pid);

    weft_gen_server_cast(started.pid, A(hello));
    check_fits(await_down(down), weft_tuple(weft_tuple(A(bad_cast), A(hello)), weft_any));
}

static weft_term casts_and_sends(weft_term server)
{
    weft_gen_server_cast(server, script_of(counts_up, A(nil)));
    weft_send(server, A(plain));
    return A(ok);
}

/* What a puppet sends while the callback runs. */
static weft_result receives_any(struct scripted *self, weft_term puppet, weft_from from)
{
    weft_term message = weft_none;

    (void)self, (void)from;
    tell(puppet, casts_and_sends, weft_self());
    weft_receive(weft_any, WEFT_INFINITY, &message);
    return weft_reply(message);
}

PROCESS_TEST(a_receive_in_a_callback_sees_no_requests, "GS-21")
{
    weft_pid server = scripted();

    check_term(run_call(server, receives_any, puppet_start()), A(plain));
    check_term(run_call(server, counts_up, A(nil)), weft_int(2));
}

/* -- processes that are no servers ------------------------------------------------------------- */

static weft_term serves_by_hand(weft_term arg)
{
    weft_term from, request;

    (void)arg;
    weft_receive(weft_tuple(WEFT_ATOM("$gen_cast"), A(hello)), WEFT_INFINITY, NULL);
    weft_receive(weft_tuple(WEFT_ATOM("$gen_call"), weft_bind(&from), weft_bind(&request)), WEFT_INFINITY, NULL);
    weft_gen_server_reply(from, weft_tuple(A(by_hand), request));
    weft_receive(weft_tuple(WEFT_ATOM("$gen_call"), weft_any, weft_any), WEFT_INFINITY, NULL);
    weft_exit(A(shutdown));
}

PROCESS_TEST(a_plain_process_finds_requests_as_messages, "GS-14 GS-15")
{
    weft_pid pid = weft_spawn(serves_by_hand, weft_none);
    weft_term reason = weft_none;

    weft_gen_server_cast(pid, A(hello));
    check_term(weft_gen_server_call(pid, A(question), BOUND_MS), weft_tuple(A(by_hand), A(question)));
    check(!weft_gen_server_try_call(pid, A(question), BOUND_MS, &reason));
    check_term(reason, A(shutdown));
}

/* -- many at once ---------------------------------------------------------------------------- */

static weft_term calls_often(weft_term server)
{
    int64_t sum = 0;

    for (int i = 0; i < scaled(20000); i++) {
        WEFT_SCOPE;

        sum += weft_to_int(weft_gen_server_call(server, script_of(replies_with, weft_int(i)), 5000)) == i;
    }
    return weft_int(sum);
}

PROCESS_TEST(many_clients_get_their_own_answers, "GS-14 GS-62")
{
    enum { CLIENTS = 32 };
    weft_pid server = scripted();
    weft_task tasks[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        tasks[i] = weft_task_async(calls_often, server);
    for (int i = 0; i < CLIENTS; i++)
        check_term(weft_task_await(tasks[i], 3 * BOUND_MS), weft_int(scaled(20000)));
}

/* alias_test.c - aliases: references to send to, which end by themselves. */
#include "proc/process_test.h"

PROCESS_TEST(a_message_to_an_active_alias_arrives_as_one_to_the_pid, "PROC-40")
{
    weft_pid sender = puppet_start();
    weft_ref alias = weft_alias(false);

    check(weft_is_ref(alias));
    ask(sender, do_send, weft_tuple(weft_self(), A(first)));
    ask(sender, do_send, weft_tuple(alias, weft_tuple(A(second), weft_str("text"))));
    ask(sender, do_send, weft_tuple(weft_self(), A(third)));
    check_term(expect_message(weft_any), A(first));
    check_term(expect_message(weft_any), weft_tuple(A(second), weft_str("text")));
    check_term(expect_message(weft_any), A(third));
    check_int(weft_try_send(alias, A(to_myself)), 0);
    expect_message(A(to_myself));
}

PROCESS_TEST(a_message_to_an_inactive_alias_is_dropped_without_error, "PROC-40")
{
    weft_pid sender = puppet_start();
    weft_ref alias = weft_alias(false);

    check(weft_unalias(alias));
    check_term(ask(sender, do_send, weft_tuple(alias, A(late))), A(ok));
    check_int(weft_try_send(alias, A(late)), 0);
    check_int(weft_try_send(weft_make_ref(), A(never_an_alias)), 0);
    expect_no_message(weft_any);
}

static weft_term do_alias(weft_term until_reply)
{
    return weft_alias(weft_to_bool(until_reply));
}

static weft_term do_unalias(weft_term alias)
{
    return weft_bool(weft_unalias(alias));
}

PROCESS_TEST(an_alias_of_a_dead_process_takes_messages_and_drops_them, "PROC-40")
{
    weft_pid owner = puppet_start();
    weft_ref alias = ask(owner, do_alias, A(false));

    puppet_stop(owner);
    check_int(weft_try_send(alias, A(late)), 0);
    weft_send(alias, A(late));
}

PROCESS_TEST(unalias_is_true_once_and_only_for_the_owner, "PROC-41")
{
    weft_pid owner = puppet_start(), other = puppet_start();
    weft_ref alias = ask(owner, do_alias, A(false));

    check_term(ask(other, do_unalias, alias), A(false));
    check(!weft_unalias(alias));
    weft_send(alias, A(still_there));
    ask(owner, do_await, A(still_there));
    check_term(ask(owner, do_unalias, alias), A(true));
    check_term(ask(owner, do_unalias, alias), A(false));
    check(!weft_unalias(weft_make_ref()));
}

PROCESS_TEST(unalias_leaves_messages_that_are_queued, "PROC-41")
{
    weft_ref alias = weft_alias(false);

    weft_send(alias, A(queued));
    check(weft_unalias(alias));
    weft_send(alias, A(late));
    expect_message(A(queued));
    expect_no_message(weft_any);
}

PROCESS_TEST(two_aliases_of_one_process_are_independent, "PROC-41")
{
    weft_ref first = weft_alias(false), second = weft_alias(false);

    check(!weft_eq(first, second));
    check(weft_unalias(first));
    weft_send(first, A(to_first));
    weft_send(second, A(to_second));
    check_term(expect_message(weft_any), A(to_second));
    expect_no_message(weft_any);
}

PROCESS_TEST(an_alias_until_reply_takes_one_message, "PROC-42")
{
    weft_pid sender = puppet_start();
    weft_ref alias = weft_alias(true);

    ask(sender, do_send, weft_tuple(alias, A(first)));
    ask(sender, do_send, weft_tuple(alias, A(second)));
    expect_message(A(first));
    expect_no_message(weft_any);
    check(!weft_unalias(alias));
}

/* Sends n messages to the alias. */
static weft_term do_flood(weft_term arg)
{
    int64_t n = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t i = 0; i < n; i++)
        weft_send(weft_tuple_at(arg, 0), weft_tuple(A(flood), weft_int(i)));
    return A(ok);
}

PROCESS_TEST(of_many_senders_to_an_alias_until_reply_one_gets_through, "PROC-42")
{
    enum { SENDERS = 4 };
    weft_pid senders[SENDERS];

    for (int i = 0; i < SENDERS; i++)
        senders[i] = puppet_start();
    for (int round = 0; round < scaled(200); round++) {
        WEFT_SCOPE;
        weft_ref alias = weft_alias(true);

        for (int i = 0; i < SENDERS; i++)
            tell(senders[i], do_flood, weft_tuple(alias, weft_int(5)));
        for (int i = 0; i < SENDERS; i++)
            ask(senders[i], do_nothing, A(nil));
        expect_message(weft_tuple(A(flood), weft_any));
        if (!check(!weft_receive(weft_tuple(A(flood), weft_any), 0, NULL)))
            return;
    }
}

/* -- aliases of monitors --------------------------------------------------------------------- */

PROCESS_TEST(an_alias_of_a_monitor_ends_with_demonitor, "PROC-43")
{
    weft_pid server = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_DEMONITOR);

    ask(server, do_send, weft_tuple(ref, A(in_time)));
    ask(server, do_send, weft_tuple(ref, A(in_time_too)));
    expect_message(A(in_time));
    expect_message(A(in_time_too));

    check(weft_demonitor(ref, true));
    ask(server, do_send, weft_tuple(ref, A(late)));
    expect_no_message(weft_any);
}

PROCESS_TEST(an_alias_of_a_monitor_ends_with_the_down, "PROC-43")
{
    weft_pid server = puppet_start(), helper = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_DEMONITOR);

    tell(server, do_exit, A(boom));
    check_term(await_down(ref), A(boom));
    ask(helper, do_send, weft_tuple(ref, A(late)));
    expect_no_message(weft_any);
}

/* Answers {alias, n} with {:reply, n} after some turns. */
static weft_term answers_late(weft_term arg)
{
    pass_time((int)(weft_to_int(weft_tuple_at(arg, 1)) % 20));
    weft_send(weft_tuple_at(arg, 0), weft_tuple(A(reply), weft_tuple_at(arg, 1)));
    return A(ok);
}

PROCESS_TEST(a_late_reply_to_a_request_that_was_given_up_never_arrives, "PROC-43")
{
    weft_pid server = puppet_start();
    int n_in_time = 0, n = scaled(5000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_DEMONITOR);
        weft_term reply = weft_tuple(A(reply), weft_int(i));
        bool in_time;

        tell(server, answers_late, weft_tuple(ref, weft_int(i)));
        pass_time(i % 30);
        in_time = weft_receive(reply, 0, NULL);
        check(weft_demonitor(ref, true));
        /* It came between the look and the demonitor, or never. */
        in_time = in_time || weft_receive(reply, 0, NULL);
        ask(server, do_nothing, A(nil));
        if (!check(!weft_receive(reply, 0, NULL)))
            return;
        n_in_time += in_time;
    }
    expect_no_message(weft_any);
    diag("%d of %d replies came in time", n_in_time, n);
}

PROCESS_TEST(the_first_message_through_a_reply_demonitor_alias_removes_the_monitor, "PROC-44")
{
    weft_pid server = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_REPLY_DEMONITOR);
    weft_ref down = weft_monitor(server);

    ask(server, do_send, weft_tuple(ref, A(reply)));
    ask(server, do_send, weft_tuple(ref, A(second_reply)));
    tell(server, do_exit, A(boom));
    check_term(await_down(down), A(boom));
    expect_message(A(reply));
    expect_no_message(weft_any);
    check(!weft_demonitor(ref, true));
}

PROCESS_TEST(a_reply_demonitor_alias_without_reply_is_a_monitor, "PROC-43 PROC-44")
{
    weft_pid server = puppet_start(), helper = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_REPLY_DEMONITOR);

    tell(server, do_exit, A(boom));
    check_term(await_down(ref), A(boom));
    ask(helper, do_send, weft_tuple(ref, A(late)));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_reply_demonitor_alias_ends_with_demonitor, "PROC-44")
{
    weft_pid server = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_REPLY_DEMONITOR);

    check(weft_demonitor(ref, true));
    ask(server, do_send, weft_tuple(ref, A(late)));
    puppet_stop(server);
    expect_no_message(weft_any);
}

/* Replies and ends at once: the reply removes the monitor, so no DOWN follows. */
static weft_term replies_and_ends(weft_term parent)
{
    weft_ref alias = weft_none;

    expect_message(weft_tuple(A(alias), weft_bind(&alias)));
    weft_send(alias, A(reply));
    weft_send(parent, A(replied));
    return A(ok);
}

PROCESS_TEST(no_down_follows_a_reply_however_soon_the_server_ends, "PROC-44")
{
    for (int i = 0; i < scaled(3000); i++) {
        WEFT_SCOPE;
        weft_pid server = weft_spawn(replies_and_ends, weft_self());
        weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_REPLY_DEMONITOR);

        weft_send(server, weft_tuple(A(alias), ref));
        expect_message(A(reply));
        expect_message(A(replied));
        await_end(server);
        if (!check(!weft_receive(weft_any, 0, NULL)))
            return;
    }
}

PROCESS_TEST(an_explicit_alias_survives_the_down, "PROC-45")
{
    weft_pid server = puppet_start(), helper = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_EXPLICIT);

    tell(server, do_exit, A(boom));
    check_term(await_down(ref), A(boom));
    ask(helper, do_send, weft_tuple(ref, A(late)));
    expect_message(A(late));
    check(weft_unalias(ref));
    ask(helper, do_send, weft_tuple(ref, A(too_late)));
    expect_no_message(weft_any);
}

PROCESS_TEST(an_explicit_alias_survives_demonitor, "PROC-45")
{
    weft_pid server = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_EXPLICIT);

    check(weft_demonitor(ref, true));
    ask(server, do_send, weft_tuple(ref, A(late)));
    expect_message(A(late));
    check(weft_unalias(ref));
    check(!weft_unalias(ref));
    puppet_stop(server);
    expect_no_message(weft_any);
}

PROCESS_TEST(unalias_of_a_monitors_alias_leaves_the_monitor, "PROC-41 PROC-43")
{
    weft_pid server = puppet_start();
    weft_ref ref = weft_monitor(server, .alias = WEFT_ALIAS_DEMONITOR);

    check(weft_unalias(ref));
    ask(server, do_send, weft_tuple(ref, A(late)));
    tell(server, do_exit, A(boom));
    check_term(await_down(ref), A(boom));
    expect_no_message(weft_any);
}

PROCESS_TEST(a_monitor_without_alias_is_no_alias, "PROC-40")
{
    weft_pid server = puppet_start();
    weft_ref ref = weft_monitor(server);

    ask(server, do_send, weft_tuple(ref, A(dropped)));
    expect_no_message(weft_any);
    puppet_stop(server);
    check_term(await_down(ref), A(normal));
}

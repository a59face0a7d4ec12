/* mailbox_test.c - sending: messages are copies, and arrive in their order. */
#include <string.h>

#include "proc/process_test.h"

/* -- sending -------------------------------------------------------------------------- */

static _Atomic int may_look;

static weft_term keeps_its_thread(weft_term arg)
{
    spin_until(&may_look, 1);
    return arg;
}

/* Sends {tag, 0}, ... {tag, n - 1}; arg is {to, tag, n}. */
static weft_term do_count_to(weft_term arg)
{
    weft_term to = weft_tuple_at(arg, 0), tag = weft_tuple_at(arg, 1);
    int64_t n = weft_to_int(weft_tuple_at(arg, 2));

    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_send(to, weft_tuple(tag, weft_int(i)));
    }
    return A(ok);
}

PROCESS_TEST(send_waits_neither_for_a_receiver_that_runs_nor_for_room, "PROC-50")
{
    int n = scaled(200000);
    weft_pid busy = puppet_start(), parked = weft_spawn(waits_for_stop, weft_none);

    tell(busy, keeps_its_thread, A(nil));
    do_count_to(weft_tuple(busy, A(flood), weft_int(n)));
    do_count_to(weft_tuple(parked, A(flood), weft_int(n)));
    check_int(atomic_load(&may_look), 0);
    atomic_store(&may_look, 1);
    weft_send(parked, A(stop));
    await_end(parked);
    ask(busy, do_nothing, A(nil));
    check_term(info_of(busy, A(message_queue_len)), weft_int(n));
}

PROCESS_TEST(a_process_can_send_to_itself)
{
    weft_send(weft_self(), A(first));
    weft_send(weft_self(), weft_tuple(A(second)));
    check_term(expect_message(weft_any), A(first));
    check_term(expect_message(weft_any), weft_tuple(A(second)));
}

static _Atomic int n_destroyed;
static void counts_destroyed(void *object) { atomic_fetch_add((_Atomic int *)object, 1); }
static const weft_native_type counted_type = { .name = "counted", .destroy = counts_destroyed };

static weft_term do_echo(weft_term arg)
{
    return arg;
}

PROCESS_TEST(every_kind_of_value_arrives_as_it_was_sent, "PROC-51")
{
    char bytes[] = { 0, 1, 2, '\0', (char)255 };
    char *large = weft_alloc(100000);
    weft_pid echo = puppet_start();
    weft_term native = weft_native(&counted_type, &n_destroyed);
    weft_term improper = weft_cons(weft_int(1), weft_int(2));

    memset(large, 'l', 100000);
    const weft_term values[] = {
        weft_int(0), weft_int(-1), weft_int(INT64_MAX), weft_int(INT64_MIN),
        weft_int((int64_t)1 << 61), weft_int(-((int64_t)1 << 61) - 1),
        weft_float(0.0), weft_float(-1.5e300), weft_float(__builtin_nan("")), weft_float(__builtin_inf()),
        A(atom), A(true), weft_self(), echo, weft_make_ref(),
        weft_str(""), weft_str("text"), weft_bin(bytes, sizeof bytes),
        weft_bin(large, 256), weft_bin(large, 257), weft_bin(large, 100000),
        weft_bin_slice(weft_bin(large, 100000), 10, 50000),
        weft_tuple(), weft_tuple(weft_int(1)), weft_tuple(A(a), weft_tuple(A(b), weft_list(weft_str("c")))),
        weft_empty_list, weft_list(weft_int(1), weft_int(2), weft_str("three")), improper,
        weft_map(), weft_map(A(k), weft_int(1), weft_str("key"), weft_map(weft_int(1), weft_float(1))),
        weft_pointer(large), weft_pointer((void *)UINTPTR_MAX), native, weft_list(native, native),
    };

    for (size_t i = 0; i < COUNT(values); i++)
        check_term(ask(echo, do_echo, values[i]), values[i]);
    check_term(ask(echo, do_echo, weft_list_of(values, COUNT(values))), weft_list_of(values, COUNT(values)));
    check_ptr(weft_native_object(ask(echo, do_echo, native), &counted_type), &n_destroyed);
}

PROCESS_TEST(a_message_shows_nothing_of_what_the_sender_does_afterwards, "PROC-51")
{
    static char buffer[100000];
    weft_pid receiver = puppet_start();
    weft_term text;

    memset(buffer, 'a', sizeof buffer);
    for (int i = 0; i < 100; i++) {
        WEFT_SCOPE;

        weft_send(receiver, weft_tuple(weft_int(i), weft_bin(buffer, 200), weft_bin(buffer, sizeof buffer),
                                       weft_list(weft_float(i), weft_str("small"))));
    }
    /* The scopes are gone: write over their memory, and over the buffer. */
    memset(buffer, 'z', sizeof buffer);
    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;

        weft_tuple(weft_str("zzzzzzzzzzzzzzzzzzzzzzzz"), weft_bin(buffer, 200), weft_int(i));
    }
    memset(buffer, 'a', sizeof buffer);
    text = weft_bin(buffer, sizeof buffer);
    for (int i = 0; i < 100; i++)
        check_term(ask(receiver, do_take, A(nil)),
                   weft_tuple(weft_int(i), weft_bin(buffer, 200), text,
                              weft_list(weft_float(i), weft_str("small"))));
}

/* What an object counts is destroyed when the last process is through with it. */
static weft_term do_share_a_native(weft_term arg)
{
    WEFT_SCOPE;
    weft_term native = weft_native(&counted_type, &n_destroyed);

    weft_list_each (pid, arg)
        weft_send(pid, weft_tuple(A(shared), native));
    return A(ok);
}

static weft_term do_drop_one(weft_term arg)
{
    WEFT_SCOPE;
    weft_term message = expect_message(weft_tuple(A(shared), weft_any));

    (void)arg;
    check_ptr(weft_native_object(weft_tuple_at(message, 1), &counted_type), &n_destroyed);
    return A(ok);
}

PROCESS_TEST(an_object_in_messages_is_destroyed_once_after_the_last_of_them)
{
    enum { N = 20 };
    weft_pid maker = puppet_start(), receivers[N];

    for (int i = 0; i < N; i++)
        receivers[i] = puppet_start();
    {
        WEFT_SCOPE;
        ask(maker, do_share_a_native, weft_list_of(receivers, N));
    }
    for (int i = 0; i < N; i++) {
        check_int(atomic_load(&n_destroyed), 0);
        if (i % 2 == 0)
            ask(receivers[i], do_drop_one, A(nil));
        else
            puppet_stop(receivers[i]); /* ends with it in the mailbox */
    }
    await_count(&n_destroyed, 1);
    check_int(atomic_load(&n_destroyed), 1);
}

/* -- order ------------------------------------------------------------------------------ */

PROCESS_TEST(messages_of_each_of_many_senders_arrive_in_its_order, "PROC-52")
{
    enum { SENDERS = 4 };
    int n = scaled(50000);
    int64_t next[SENDERS] = { 0 };

    for (int i = 0; i < SENDERS; i++)
        weft_spawn(do_count_to, weft_tuple(weft_self(), weft_int(i), weft_int(n)));
    for (int i = 0; i < SENDERS * n; i++) {
        WEFT_SCOPE;
        int64_t sender = 0, number = -1;

        expect_message(weft_tuple(weft_bind_int(&sender), weft_bind_int(&number)));
        if (!check_int(number, next[sender]))
            return;
        next[sender]++;
    }
    expect_no_message(weft_any);
}

static weft_term signals_in_a_row(weft_term arg)
{
    weft_pid to = weft_tuple_at(arg, 0);
    weft_ref alias = weft_tuple_at(arg, 1);

    weft_send(to, A(first));
    weft_exit_signal(to, A(second));
    weft_send(alias, A(third));
    weft_send(A(the_receiver), A(fourth));
    weft_exit_signal(to, A(fifth));
    weft_send(to, A(sixth));
    weft_exit(A(seventh));
}

PROCESS_TEST(signals_of_every_kind_arrive_in_the_order_they_were_sent, "PROC-52 PROC-53")
{
    weft_ref alias = weft_alias(false);

    weft_register(A(the_receiver), weft_self());
    weft_trap_exit(true);
    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_pid p = weft_spawn(signals_in_a_row, weft_tuple(weft_self(), alias),
                                .link = true, .monitor = &down);

        check_term(expect_message(weft_any), A(first));
        check_term(expect_message(weft_any), weft_tuple(A(EXIT), p, A(second)));
        check_term(expect_message(weft_any), A(third));
        check_term(expect_message(weft_any), A(fourth));
        check_term(expect_message(weft_any), weft_tuple(A(EXIT), p, A(fifth)));
        check_term(expect_message(weft_any), A(sixth));
        check_term(expect_message(weft_any), weft_tuple(A(EXIT), p, A(seventh)));
        if (!check_term(expect_message(weft_any), weft_tuple(A(DOWN), down, A(process), p, A(seventh))))
            return;
    }
}

PROCESS_TEST(what_a_process_sent_before_it_ended_precedes_its_down, "PROC-53")
{
    for (int round = 0; round < scaled(200); round++) {
        WEFT_SCOPE;
        enum { N = 100 };
        weft_ref down = weft_none;

        weft_spawn(do_count_to, weft_tuple(weft_self(), A(before), weft_int(N)), .monitor = &down);
        await_down(down);
        for (int i = 0; i < N; i++)
            if (!check(weft_receive(weft_tuple(A(before), weft_int(i)), 0, NULL)))
                return;
    }
}

PROCESS_TEST(what_a_process_sent_before_it_ended_precedes_its_exit, "PROC-53")
{
    weft_trap_exit(true);
    for (int round = 0; round < scaled(200); round++) {
        WEFT_SCOPE;
        enum { N = 100 };
        weft_pid p = weft_spawn(do_count_to, weft_tuple(weft_self(), A(before), weft_int(N)), .link = true);

        expect_message(weft_tuple(A(EXIT), p, A(normal)));
        for (int i = 0; i < N; i++)
            if (!check(weft_receive(weft_tuple(A(before), weft_int(i)), 0, NULL)))
                return;
    }
}

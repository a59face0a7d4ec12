/* room_test.c - a mailbox with a bound: who gets in, who waits, who hears. */
#include <string.h>

#include "proc/process_test.h"
#include "weft/timer.h"

enum { PLACES = 3 };

/* Takes n messages {:m, _} for each {:EXIT, _, {:take, n}}, which always gets in, and
 * tells the test of each; ends at {:EXIT, _, :stop}. */
static weft_term keeper(weft_term test)
{
    weft_term what = weft_none, message;

    weft_trap_exit(true);
    weft_send(test, A(ready));
    for (;;) {
        weft_receive(weft_tuple(A(EXIT), weft_any, weft_bind(&what)), WEFT_INFINITY, NULL);
        if (weft_eq(what, A(stop)))
            return A(ok);
        for (int64_t n = weft_to_int(weft_tuple_at(what, 1)); n > 0; n--) {
            weft_receive(weft_tuple(A(m), weft_any), WEFT_INFINITY, &message);
            weft_send(test, weft_tuple(A(took), weft_tuple_at(message, 1)));
        }
    }
}

static weft_pid keeper_start(enum weft_when_full when_full)
{
    weft_pid pid = weft_spawn(keeper, weft_self(), .max_queue = PLACES, .when_full = when_full);

    expect_message(A(ready));
    return pid;
}

static void take(weft_pid keeper, int n)
{
    weft_exit_signal(keeper, weft_tuple(A(take), weft_int(n)));
}

static weft_term m(int64_t n)
{
    return weft_tuple(A(m), weft_int(n));
}

static void fill(weft_pid keeper)
{
    for (int i = 0; i < PLACES; i++)
        check_int(weft_try_send(keeper, m(i)), 0);
}

static void expect_taken(int64_t n)
{
    expect_message(weft_tuple(A(took), weft_int(n)));
}

PROCESS_TEST(a_full_mailbox_refuses_and_the_sender_is_told, "PROC-50")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE);

    fill(pid);
    check_int(weft_try_send(pid, m(9)), WEFT_EFULL);
    take(pid, 1);
    expect_taken(0);
    check_int(weft_try_send(pid, m(3)), 0);
    check_int(weft_try_send(pid, m(9)), WEFT_EFULL);
    check_term(weft_process_info(pid, A(max_queue)), weft_int(PLACES));
    check_term(weft_process_info(pid, A(messages_refused)), weft_int(2));
    take(pid, PLACES);
    for (int i = 1; i <= PLACES; i++)
        expect_taken(i);
}

static weft_term sends(weft_term arg)
{
    weft_send(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1));
    return A(ok);
}

PROCESS_TEST(a_sender_that_does_not_ask_ends_with_mailbox_full, "PROC-50")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE);
    weft_ref down;

    fill(pid);
    weft_spawn(sends, weft_tuple(pid, m(9)), .monitor = &down);
    check_term(await_down(down), weft_tuple(A(mailbox_full), pid));
}

PROCESS_TEST(a_full_mailbox_drops_when_its_owner_chose_so, "PROC-50")
{
    weft_pid pid = keeper_start(WEFT_FULL_DROP);

    fill(pid);
    weft_send(pid, m(9));
    check_int(weft_try_send(pid, m(9)), 0);
    check_term(weft_process_info(pid, A(messages_refused)), weft_int(2));
    take(pid, PLACES + 1);
    for (int i = 0; i < PLACES; i++)
        expect_taken(i);
    weft_send(pid, m(4));
    expect_taken(4);
}

PROCESS_TEST(names_and_aliases_lead_to_the_same_bound, "PROC-40")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE);

    weft_register(A(keeper), pid);
    fill(pid);
    check_int(weft_try_send(A(keeper), m(9)), WEFT_EFULL);
}

static weft_term keeps_an_alias(weft_term test)
{
    weft_ref alias = weft_alias(false);

    weft_send(test, weft_tuple(A(alias), alias));
    weft_trap_exit(true);
    weft_receive(weft_tuple(A(EXIT), weft_any, A(unalias)), WEFT_INFINITY, NULL);
    weft_unalias(alias);
    weft_send(test, A(unaliased));
    weft_receive(weft_tuple(A(EXIT), weft_any, A(look)), WEFT_INFINITY, NULL);
    weft_send(test, A(looked));
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return A(ok);
}

PROCESS_TEST(a_message_to_an_alias_that_has_ended_gives_its_place_back, "PROC-40")
{
    weft_pid pid = weft_spawn(keeps_an_alias, weft_self(), .max_queue = 1);
    weft_term alias = weft_none;

    expect_message(weft_tuple(A(alias), weft_bind(&alias)));
    weft_exit_signal(pid, A(unalias));
    expect_message(A(unaliased));
    check_int(weft_try_send(alias, A(late)), 0);
    weft_exit_signal(pid, A(look)); /* what came before is taken in as well */
    expect_message(A(looked));
    check_int(weft_try_send(pid, A(kept)), 0);
    check_int(weft_try_send(pid, A(kept)), WEFT_EFULL);
    weft_kill(pid);
}

static void await_queue_len(weft_pid pid, int n)
{
    while (!weft_eq(weft_process_info(pid, A(message_queue_len)), weft_int(n)))
        weft_yield();
}

static weft_term traps(weft_term test)
{
    weft_term message;

    weft_trap_exit(true);
    weft_send(test, A(ready));
    weft_receive(weft_tuple(A(EXIT), weft_any, A(go)), WEFT_INFINITY, NULL);
    while (weft_receive(weft_any, 0, &message))
        weft_send(test, weft_tuple(A(took), message));
    weft_send(test, A(empty));
    return A(ok);
}

PROCESS_TEST(exits_downs_and_timers_get_into_a_full_mailbox, "PROC-15 PROC-30 PROC-59")
{
    weft_pid pid = weft_spawn(traps, weft_self(), .max_queue = 1);

    expect_message(A(ready));
    check_int(weft_try_send(pid, A(only)), 0);
    check_int(weft_try_send(pid, A(more)), WEFT_EFULL);
    weft_exit_signal(pid, A(exit_signal));
    weft_send_after(pid, A(timer), 0);
    await_queue_len(pid, 3);
    weft_exit_signal(pid, A(go));
    expect_message(weft_tuple(A(took), A(only)));
    expect_message(weft_tuple(A(took), weft_tuple(A(EXIT), weft_any, A(exit_signal))));
    expect_message(weft_tuple(A(took), A(timer)));
    expect_message(A(empty));
}

/* {keeper, message, timeout_ms}: tells the parent what came of it. */
static weft_term sends_wait(weft_term arg)
{
    int code = weft_send_wait(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), weft_to_int(weft_tuple_at(arg, 2)));

    weft_send(weft_tuple_at(arg, 3), weft_tuple(A(sent), weft_tuple_at(arg, 1), weft_int(code)));
    return A(ok);
}

static weft_pid waiter_start(weft_pid keeper, weft_term message, int64_t timeout_ms)
{
    return weft_spawn(sends_wait, weft_tuple(keeper, message, weft_int(timeout_ms), weft_self()));
}

static void expect_sent(weft_term message, int code)
{
    expect_message(weft_tuple(A(sent), message, weft_int(code)));
}

PROCESS_TEST(send_wait_waits_for_room_and_who_waits_longest_is_first, "PROC-52")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE);

    fill(pid);
    for (int i = 0; i < 3; i++)
        await_waiting(waiter_start(pid, m(PLACES + i), WEFT_INFINITY));
    expect_no_message(weft_tuple(A(sent), weft_any, weft_any));
    take(pid, 2);
    expect_sent(m(PLACES), 0);
    expect_sent(m(PLACES + 1), 0);
    /* The third has its turn before any other send. */
    check_int(weft_try_send(pid, m(99)), WEFT_EFULL);
    take(pid, PLACES + 1);
    expect_sent(m(PLACES + 2), 0);
    for (int i = 0; i < PLACES + 3; i++)
        expect_taken(i);
}

PROCESS_TEST(send_wait_to_one_that_drops_waits_as_well, "PROC-50")
{
    weft_pid pid = keeper_start(WEFT_FULL_DROP);

    fill(pid);
    await_waiting(waiter_start(pid, m(PLACES), WEFT_INFINITY));
    take(pid, PLACES + 1);
    expect_sent(m(PLACES), 0);
}

PROCESS_TEST(send_wait_gives_up_in_time_and_then_nothing_was_sent, "PROC-56")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE);
    int64_t began_ns = now_ns();

    fill(pid);
    check_int(weft_send_wait(pid, m(9), 20), WEFT_ETIMEDOUT);
    check(now_ns() - began_ns >= 20 * INT64_C(1000000));
    check_int(weft_send_wait(pid, m(9), 0), WEFT_ETIMEDOUT);
    take(pid, PLACES);
    for (int i = 0; i < PLACES; i++)
        expect_taken(i);
    fill(pid); /* all places are free again */
    check_int(weft_try_send(pid, m(9)), WEFT_EFULL);
    check_term(weft_process_info(pid, A(message_queue_len)), weft_int(PLACES));
}

PROCESS_TEST(send_wait_to_a_mailbox_without_a_bound_is_a_plain_send, "PROC-50")
{
    check_int(weft_send_wait(weft_self(), A(hello), 0), 0);
    expect_message(A(hello));
    check_int(weft_send_wait(A(nobody_has_this_name), A(hello), 0), WEFT_ENOPROC);
    check_int(weft_send_wait(weft_self(), weft_any, 0), WEFT_EBADTERM);
}

PROCESS_TEST(who_waits_for_room_of_one_that_ends_goes_on, "PROC-48")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE);

    fill(pid);
    for (int i = 0; i < 3; i++)
        await_waiting(waiter_start(pid, m(10 + i), WEFT_INFINITY));
    weft_kill(pid);
    for (int i = 0; i < 3; i++)
        expect_sent(m(10 + i), 0);
    await_end(pid);
    check_int(weft_send_wait(pid, m(9), 0), 0);
    check_int(weft_try_send(pid, m(9)), 0);
}

PROCESS_TEST(one_that_is_killed_while_it_waits_for_room_leaves_no_hole, "PROC-14")
{
    weft_pid pid = keeper_start(WEFT_FULL_REFUSE), first, second;

    fill(pid);
    first = waiter_start(pid, m(10), WEFT_INFINITY);
    await_waiting(first);
    second = waiter_start(pid, m(PLACES), WEFT_INFINITY);
    await_waiting(second);
    weft_kill(first);
    await_end(first);
    take(pid, PLACES + 1);
    expect_sent(m(PLACES), 0);
    for (int i = 0; i <= PLACES; i++)
        expect_taken(i);
    fill(pid);
    check_int(weft_try_send(pid, m(9)), WEFT_EFULL);
}

static weft_term waits_for_itself(weft_term test)
{
    weft_send(weft_self(), A(full));
    weft_send(test, weft_int(weft_send_wait(weft_self(), A(more), WEFT_INFINITY)));
    return A(ok);
}

PROCESS_TEST(send_wait_to_oneself_is_told_that_it_would_wait_for_ever, "PROC-50")
{
    weft_spawn(waits_for_itself, weft_self(), .max_queue = 1);
    expect_message(weft_int(WEFT_EDEADLK));
}

static bool tells_test(void *test, weft_term message)
{
    weft_pid to = {.bits = (uint64_t)(uintptr_t)test};

    weft_send(to, message);
    return true;
}

PROCESS_TEST(a_handler_has_a_bound_as_well_and_its_places_come_back, "PROC-50")
{
    weft_pid pid = weft_spawn_handler(tells_test, (void *)(uintptr_t)weft_self().bits, .max_queue = 2);

    for (int i = 0; i < 100; i++)
        check_int(weft_send_wait(pid, weft_int(i), BOUND_MS), 0);
    for (int i = 0; i < 100; i++)
        expect_message(weft_int(i));
    weft_kill(pid);
}

static weft_term bad_option(weft_term arg)
{
    weft_spawn(sends, weft_none, .max_queue = (size_t)1 << 40);
    return arg;
}

PROCESS_TEST(a_bound_beyond_the_possible_is_a_mistake_in_words, "PROC-7")
{
    weft_ref down;
    weft_term reason, text = weft_none;

    weft_spawn(bad_option, weft_none, .monitor = &down);
    reason = await_down(down);
    check_fits(reason, weft_tuple(A(badarg), weft_bind(&text)));
    check(weft_is_bin(text) && strstr(weft_text(text), ".max_queue") != NULL);
}

/* -- conservation ---------------------------------------------------------------- */

enum { SENDERS = 8, EACH = 2000, BOUND = 4 };

static _Atomic int n_sent, n_refused;

/* By turns it waits, waits a moment only, and does not wait. */
static weft_term sends_many(weft_term to)
{
    for (int i = 0; i < scaled(EACH); i++) {
        int code = i % 3 == 0   ? weft_send_wait(to, weft_int(i), WEFT_INFINITY)
                   : i % 3 == 1 ? weft_send_wait(to, weft_int(i), 1)
                                : weft_try_send(to, weft_int(i));

        check(code == 0 || (i % 3 == 1 && code == WEFT_ETIMEDOUT) || (i % 3 == 2 && code == WEFT_EFULL));
        atomic_fetch_add(code == 0 ? &n_sent : &n_refused, 1);
    }
    return A(ok);
}

static weft_term receives_many(weft_term test)
{
    int64_t n = 0;

    weft_trap_exit(true);
    for (;;) {
        WEFT_SCOPE;
        weft_term message;

        weft_receive(weft_any, WEFT_INFINITY, &message);
        if (!weft_is_int(message))
            break;
        check(weft_message_queue_len() <= BOUND + 1);
        n++;
    }
    while (weft_receive(weft_any, 0, NULL))
        n++;
    weft_send(test, weft_tuple(A(received), weft_int(n)));
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return A(ok);
}

PROCESS_TEST(what_is_sent_with_and_without_waiting_is_received_once, "PROC-52")
{
    weft_pid receiver = weft_spawn(receives_many, weft_self(), .max_queue = BOUND);
    weft_ref downs[SENDERS];

    for (int i = 0; i < SENDERS; i++)
        weft_spawn(sends_many, receiver, .monitor = &downs[i]);
    for (int i = 0; i < SENDERS; i++)
        check_term(await_down(downs[i]), A(normal));
    weft_exit_signal(receiver, A(over));
    expect_message(weft_tuple(A(received), weft_int(atomic_load(&n_sent))));
    check_int(atomic_load(&n_sent) + atomic_load(&n_refused), SENDERS * scaled(EACH));
    /* And all its places are free. */
    for (int i = 0; i < BOUND; i++)
        check_int(weft_try_send(receiver, A(lies)), 0);
    check_int(weft_try_send(receiver, A(lies)), WEFT_EFULL);
    weft_kill(receiver);
}

static weft_term waits_for_ever(weft_term to)
{
    for (;;)
        weft_send_wait(to, weft_int(1), WEFT_INFINITY);
    return to;
}

PROCESS_TEST(senders_that_are_killed_as_they_wait_leave_every_place_to_others, "PROC-14")
{
    weft_pid receiver = weft_spawn(receives_many, weft_self(), .max_queue = BOUND);

    for (int round = 0; round < scaled(200); round++) {
        weft_pid senders[SENDERS];

        for (int i = 0; i < SENDERS; i++)
            senders[i] = weft_spawn(waits_for_ever, receiver);
        for (int i = 0; i < SENDERS; i++) {
            pass_time(round % 20);
            weft_kill(senders[i]);
        }
        for (int i = 0; i < SENDERS; i++)
            await_end(senders[i]);
    }
    weft_exit_signal(receiver, A(over));
    expect_message(weft_tuple(A(received), weft_any));
    for (int i = 0; i < BOUND; i++)
        check_int(weft_send_wait(receiver, A(lies), BOUND_MS), 0);
    check_int(weft_try_send(receiver, A(lies)), WEFT_EFULL);
    weft_kill(receiver);
}

static weft_term lives_shortly(weft_term arg)
{
    weft_receive(weft_any, WEFT_INFINITY, NULL);
    return arg;
}

static _Atomic uint64_t target;
static _Atomic int is_over;

static weft_term sends_late(weft_term arg)
{
    while (!atomic_load(&is_over)) {
        weft_pid to = {.bits = atomic_load(&target)};

        if (to.bits != 0)
            weft_try_send(to, weft_int(1));
        weft_checkpoint();
    }
    return arg;
}

PROCESS_TEST(who_sends_too_late_takes_no_place_of_the_next_process_in_the_slot, "PROC-2")
{
    weft_ref senders[2];

    for (int i = 0; i < 2; i++)
        weft_spawn(sends_late, weft_none, .monitor = &senders[i]);
    for (int i = 0; i < scaled(3000); i++) {
        weft_pid pid = weft_spawn(lives_shortly, weft_none, .max_queue = 2);

        atomic_store(&target, pid.bits);
        weft_send_wait(pid, A(end), BOUND_MS);
        await_end(pid);
    }
    atomic_store(&is_over, 1);
    for (int i = 0; i < 2; i++)
        check_term(await_down(senders[i]), A(normal));
    for (int i = 0; i < 100; i++) {
        weft_pid pid = keeper_start(WEFT_FULL_REFUSE);

        fill(pid);
        check_int(weft_try_send(pid, m(9)), WEFT_EFULL);
        weft_kill(pid);
        await_end(pid);
    }
}

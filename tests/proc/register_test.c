/* register_test.c - registered names. */
#include "proc/process_test.h"

/* What a reason {:badarg, text} says, or "" for any other. */
static const char *badarg_text(weft_term reason)
{
    const char *text = "";

    if (!weft_match(reason, weft_tuple(A(badarg), weft_bind_text(&text))))
        diag("  the reason is %s", weft_inspect(reason));
    return text;
}

PROCESS_TEST(a_registered_name_leads_to_its_process, "PROC-46")
{
    weft_pid pid = puppet_start();

    check(weft_is_none(weft_whereis(A(a_name))));
    check_int(weft_try_register(A(a_name), pid), 0);
    check_term(weft_whereis(A(a_name)), pid);
    weft_send(A(a_name), A(by_name));
    check_int(weft_try_send(A(a_name), A(by_name_too)), 0);
    ask(pid, do_await, A(by_name));
    ask(pid, do_await, A(by_name_too));
    check_int(weft_try_unregister(A(a_name)), 0);
    check(weft_is_none(weft_whereis(A(a_name))));
}

PROCESS_TEST(each_cause_for_which_register_fails_has_its_own_error, "PROC-46")
{
    weft_pid first = puppet_start(), second = puppet_start(), dead = weft_spawn(ends_with, A(normal));
    const weft_term reserved[] = { A(nil), A(true), A(false), A(undefined), weft_int(1), weft_str("text"), first };

    await_end(dead);
    check_int(weft_try_register(A(taken), first), 0);
    check_int(weft_try_register(A(taken), second), WEFT_EALREADY);
    check_int(weft_try_register(A(second_name), first), WEFT_EEXIST);
    check_int(weft_try_register(A(of_the_dead), dead), WEFT_ENOPROC);
    for (size_t i = 0; i < COUNT(reserved); i++)
        check_int(weft_try_register(reserved[i], second), WEFT_EINVAL);

    /* Nothing of it had an effect. */
    check_term(weft_whereis(A(taken)), first);
    check(weft_is_none(weft_whereis(A(second_name))));
    check(weft_is_none(weft_whereis(A(of_the_dead))));
    check_int(weft_try_register(A(second_name), second), 0);
}

static weft_term do_register(weft_term arg)
{
    weft_register(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1));
    return A(ok);
}

PROCESS_TEST(register_exits_with_a_text_for_each_cause, "PROC-46")
{
    weft_pid holder = puppet_start(), dead = weft_spawn(ends_with, A(normal));
    const weft_term mistakes[] = {
        weft_tuple(A(held), weft_self()), weft_tuple(A(another), holder),
        weft_tuple(A(of_the_dead), dead), weft_tuple(A(undefined), weft_self()),
    };
    const char *texts[COUNT(mistakes)];

    await_end(dead);
    weft_register(A(held), holder);
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        weft_ref down;

        weft_spawn(do_register, mistakes[i], .monitor = &down);
        texts[i] = badarg_text(await_down(down));
        check_has(texts[i], "weft_register");
        for (size_t j = 0; j < i; j++)
            check(strcmp(texts[i], texts[j]) != 0);
    }
}

PROCESS_TEST(a_name_can_be_given_again_after_it_was_taken_back, "PROC-46")
{
    weft_pid first = puppet_start(), second = puppet_start();

    weft_register(A(passed_on), first);
    weft_unregister(A(passed_on));
    weft_register(A(passed_on), second);
    weft_register(A(of_first), first);
    check_term(weft_whereis(A(passed_on)), second);
    check_term(weft_whereis(A(of_first)), first);
}

static weft_term do_try_register(weft_term name)
{
    return weft_int(weft_try_register(name, weft_self()));
}

PROCESS_TEST(of_many_that_register_one_name_at_once_one_gets_it, "PROC-46")
{
    enum { N = 20 };
    weft_pid pids[N];

    for (int i = 0; i < N; i++)
        pids[i] = puppet_start();
    for (int round = 0; round < scaled(100); round++) {
        WEFT_SCOPE;
        int n_got_it = 0;

        for (int i = 0; i < N; i++)
            tell(pids[i], do_try_register, A(contended));
        for (int i = 0; i < N; i++)
            ask(pids[i], do_nothing, A(nil));
        for (int i = 0; i < N; i++)
            n_got_it += weft_eq(info_of(pids[i], A(registered_name)), A(contended));
        if (!check_int(n_got_it, 1))
            return;
        weft_unregister(A(contended));
    }
}

static weft_term registers_and_ends(weft_term arg)
{
    weft_register(A(short_lived), weft_self());
    return arg;
}

PROCESS_TEST(a_name_is_free_before_anyone_sees_its_owner_end, "PROC-47")
{
    weft_trap_exit(true);
    for (int i = 0; i < scaled(3000); i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_pid owner = weft_spawn(registers_and_ends, weft_none, .link = true, .monitor = &down);

        if (i % 2 == 0)
            expect_message(weft_tuple(A(EXIT), owner, A(normal)));
        else
            await_down(down);
        /* The next turn registers it again, which would fail. */
        if (!check(weft_is_none(weft_whereis(A(short_lived)))))
            return;
        if (i % 2 == 0)
            check_term(await_down(down), A(normal));
        else
            expect_message(weft_tuple(A(EXIT), owner, A(normal)));
    }
}

PROCESS_TEST(a_name_is_free_however_its_owner_ended, "PROC-47")
{
    const weft_term signals[] = { A(kill), A(boom), A(shutdown) };

    for (size_t i = 0; i < COUNT(signals); i++) {
        weft_pid owner = puppet_start();
        weft_ref down = weft_monitor(owner);

        weft_register(A(of_the_victim), owner);
        weft_exit_signal(owner, signals[i]);
        await_down(down);
        check(weft_is_none(weft_whereis(A(of_the_victim))));
    }
}

static weft_term sends_to_nobody(weft_term arg)
{
    weft_send(A(nobody_is_called_this), arg);
    return A(ok);
}

PROCESS_TEST(sending_to_an_unregistered_name_fails, "PROC-48")
{
    weft_ref down;

    check_int(weft_try_send(A(nobody_is_called_this), A(hello)), WEFT_ENOPROC);
    weft_spawn(sends_to_nobody, A(hello), .monitor = &down);
    check_has(badarg_text(await_down(down)), "weft_send");
}

PROCESS_TEST(sending_to_a_dead_pid_succeeds_and_does_nothing, "PROC-48")
{
    weft_pid dead = weft_spawn(ends_with, A(normal));

    await_end(dead);
    weft_send(dead, A(hello));
    check_int(weft_try_send(dead, A(hello)), 0);
}

static weft_term do_unregister(weft_term name)
{
    return weft_int(weft_try_unregister(name));
}

PROCESS_TEST(any_process_may_unregister_any_name, "PROC-49")
{
    weft_pid owner = puppet_start(), other = puppet_start();

    weft_register(A(a_name), owner);
    check_term(ask(other, do_unregister, A(a_name)), weft_int(0));
    check(weft_is_none(weft_whereis(A(a_name))));
    check_term(ask(other, do_unregister, A(a_name)), weft_int(WEFT_ENOPROC));
    check_int(weft_try_unregister(A(never_registered)), WEFT_ENOPROC);
    check(weft_is_alive(owner));
}

static weft_term unregisters_what_is_not(weft_term arg)
{
    weft_unregister(A(never_registered));
    return arg;
}

PROCESS_TEST(unregister_of_an_unknown_name_exits_with_badarg, "PROC-49")
{
    weft_ref down;

    weft_spawn(unregisters_what_is_not, weft_none, .monitor = &down);
    check_has(badarg_text(await_down(down)), "weft_unregister");
}

PROCESS_TEST(messages_sent_by_name_before_stay_on_their_way, "PROC-49")
{
    weft_pid owner = puppet_start();

    weft_register(A(a_name), owner);
    for (int i = 0; i < 100; i++)
        weft_send(A(a_name), weft_int(i));
    weft_unregister(A(a_name));
    for (int i = 0; i < 100; i++)
        check_term(ask(owner, do_take, A(nil)), weft_int(i));
}

static _Atomic int may_stop_looking, n_looks, n_wrong;

static weft_term looks_it_up(weft_term arg)
{
    while (atomic_load(&may_stop_looking) == 0) {
        weft_pid pid = weft_whereis(A(changing));

        if (!weft_is_none(pid) && !weft_eq(pid, weft_tuple_at(arg, 0)) && !weft_eq(pid, weft_tuple_at(arg, 1)))
            atomic_fetch_add(&n_wrong, 1);
        atomic_fetch_add(&n_looks, 1);
        weft_checkpoint();
    }
    return A(ok);
}

PROCESS_TEST(whereis_sees_one_of_the_owners_while_a_name_changes_hands, "PROC-46")
{
    weft_pid looker = puppet_start(), first = puppet_start(), second = puppet_start();

    tell(looker, looks_it_up, weft_tuple(first, second));
    await_count(&n_looks, 1);
    for (int i = 0; i < scaled(20000); i++) {
        weft_register(A(changing), i % 2 == 0 ? first : second);
        weft_unregister(A(changing));
    }
    atomic_store(&may_stop_looking, 1);
    puppet_stop(looker);
    check_int(atomic_load(&n_wrong), 0);
}

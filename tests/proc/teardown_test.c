/* teardown_test.c - the order in which a process ends: it stops, its name is
 * free, its links hear of it, its monitors hear of it. */
#include "proc/process_test.h"

static _Atomic int n_turns;

static weft_term takes_turns(weft_term arg)
{
    for (;;) {
        atomic_fetch_add(&n_turns, 1);
        weft_checkpoint();
    }
    return arg;
}

PROCESS_TEST(a_process_has_stopped_when_its_down_is_seen, "PROC-71")
{
    for (int i = 0; i < 20; i++) {
        weft_ref down;
        weft_pid victim = weft_spawn(takes_turns, weft_none, .monitor = &down);
        int turns;

        await_count(&n_turns, 1000);
        weft_kill(victim);
        await_down(down);
        turns = atomic_load(&n_turns);
        expect_no_message(weft_any); /* a moment */
        check_int(atomic_load(&n_turns), turns);
        atomic_store(&n_turns, 0);
    }
}

/* How the center ends, one after the other. */
static void end_center(weft_pid center, int way)
{
    switch (way % 4) {
    case 0: tell(center, do_exit, A(boom)); break;
    case 1: weft_exit_signal(center, A(boom)); break;
    case 2: weft_kill(center); break;
    case 3: tell(center, do_error, A(boom)); break;
    }
}

PROCESS_TEST(the_name_of_a_process_is_free_before_its_links_hear_of_its_end, "PROC-71 PROC-47")
{
    for (int i = 0; i < scaled(200); i++) {
        WEFT_SCOPE;
        weft_pid center = puppet_start();

        weft_trap_exit(true);
        weft_link(center);
        weft_register(A(the_center), center);
        end_center(center, i);
        expect_message(weft_tuple(A(EXIT), center, weft_any));
        check(weft_is_none(weft_whereis(A(the_center))));
        if (!check_int(weft_try_register(A(the_center), weft_self()), 0))
            return;
        weft_unregister(A(the_center));
    }
}

/* Looks a name up as soon as a link tells it that the owner ended. */
static weft_term takes_over(weft_term owner)
{
    weft_trap_exit(true);
    weft_link(owner);
    weft_send(owner, A(ready));
    expect_message(weft_tuple(A(EXIT), owner, weft_any));
    weft_exit(weft_int(weft_try_register(A(the_center), weft_self())));
}

PROCESS_TEST(who_hears_an_exit_can_take_the_name_over_at_once, "PROC-71 PROC-47")
{
    for (int i = 0; i < scaled(500); i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_pid center = puppet_start();

        weft_register(A(the_center), center);
        weft_spawn(takes_over, center, .monitor = &down);
        ask(center, do_await, A(ready));
        end_center(center, i);
        if (!check_term(await_down(down), weft_int(0)))
            return;
    }
}

PROCESS_TEST(who_is_linked_and_monitors_hears_the_exit_first, "PROC-71 PROC-72")
{
    weft_trap_exit(true);
    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_ref down;
        weft_pid center = puppet_start();

        /* In either order. */
        if (i % 2 == 0)
            weft_link(center);
        down = weft_monitor(center);
        if (i % 2 == 1)
            weft_link(center);
        end_center(center, i);
        check_fits(expect_message(weft_any), weft_tuple(A(EXIT), center, weft_any));
        if (!check_fits(expect_message(weft_any), weft_tuple(A(DOWN), down, A(process), center, weft_any)))
            return;
    }
}

/* {:EXIT, arg, _} is in the mailbox now. */
static weft_term do_look_for_exit(weft_term from)
{
    return weft_bool(weft_receive(weft_tuple(A(EXIT), from, weft_any), 0, NULL));
}

PROCESS_TEST(every_link_has_its_signal_before_any_monitor_has_its_down, "PROC-72")
{
    enum { N = 40 };
    weft_pid peers[N];

    for (int i = 0; i < N; i++)
        peers[i] = puppet_start_trapping();
    for (int round = 0; round < scaled(200); round++) {
        WEFT_SCOPE;
        weft_pid center = puppet_start();
        weft_ref down = weft_monitor(center);

        for (int i = 0; i < N; i++)
            ask(peers[i], do_link, center);
        end_center(center, round);
        await_down(down);
        for (int i = N - 1; i >= 0; i--) {
            WEFT_SCOPE;
            if (!check_term(ask(peers[i], do_look_for_exit, center), A(true)))
                return;
        }
    }
    for (int i = 0; i < N; i++)
        puppet_stop(peers[i]);
}

PROCESS_TEST(a_link_that_does_not_trap_is_not_asked_anything_after_the_down, "PROC-72")
{
    for (int round = 0; round < scaled(500); round++) {
        WEFT_SCOPE;
        weft_pid center = puppet_start(), peer = puppet_start();
        weft_ref down = weft_monitor(center), peer_down;

        ask(peer, do_link, center);
        weft_exit_signal(center, A(boom));
        await_down(down);
        /* The signal is before this request in the peer's queue. */
        peer_down = weft_monitor(peer);
        tell(peer, do_send, weft_tuple(weft_self(), A(still_here)));
        await_down(peer_down);
        if (!check(!weft_receive(A(still_here), 0, NULL)))
            return;
    }
}

PROCESS_TEST(an_ending_process_is_unknown_when_its_down_is_seen, "PROC-67 PROC-71")
{
    for (int i = 0; i < scaled(500); i++) {
        WEFT_SCOPE;
        weft_pid center = puppet_start();
        weft_ref down = weft_monitor(center);

        end_center(center, i);
        await_down(down);
        check(!weft_is_alive(center));
        check(weft_is_none(weft_process_info(center, A(status))));
        if (!check(!is_listed(weft_processes(), center)))
            return;
    }
}

static weft_term do_link_all(weft_term pids)
{
    weft_list_each (pid, pids)
        weft_link(pid);
    return A(ok);
}

PROCESS_TEST(a_thousand_links_and_monitors_hear_of_one_end, "PROC-27 PROC-72")
{
    int n = scaled(1000);
    weft_pid center = puppet_start_trapping(), *peers = weft_alloc((size_t)n * sizeof *peers);
    weft_ref down, *downs = weft_alloc((size_t)n * sizeof *downs);

    for (int i = 0; i < n; i++) {
        peers[i] = puppet_start();
        downs[i] = weft_monitor(peers[i]);
    }
    ask(center, do_link_all, weft_list_of(peers, (size_t)n));
    down = weft_monitor(center);
    tell(center, do_exit, A(boom));
    check_term(await_down(down), A(boom));
    for (int i = 0; i < n; i++)
        if (!check_term(await_down(downs[i]), A(boom)))
            return;
}

/* exit_test.c - exit signals: what each one does to who gets it, when it takes
 * effect, and what trapping changes. */
#include "proc/process_test.h"

/* -- the propagation table ------------------------------------------------------------- */

enum source {
    PEER_ENDS,     /* a linked process ends itself with the reason */
    OTHER_SIGNALS, /* a process without link sends weft_exit_signal */
    SELF_SIGNALS   /* the receiver sends it to itself */
};

enum outcome {
    IGNORED,
    MESSAGE,    /* {:EXIT, source, reason}, and the receiver lives on */
    ENDS,       /* with the same reason */
    ENDS_KILLED /* with :killed */
};

enum reason { NORMAL, SHUTDOWN, SHUTDOWN_WITH, KILLED, KILL, BOOM, COMPOUND };

struct row {
    const char *rule;
    enum source source;
    enum reason reason;
    enum outcome not_trapping, trapping;
};

static const struct row table[] = {
    { "PROC-9", PEER_ENDS, NORMAL, IGNORED, MESSAGE },
    { "PROC-10", PEER_ENDS, SHUTDOWN, ENDS, MESSAGE },
    { "PROC-10", PEER_ENDS, SHUTDOWN_WITH, ENDS, MESSAGE },
    { "PROC-10", PEER_ENDS, KILLED, ENDS, MESSAGE },
    { "PROC-10", PEER_ENDS, BOOM, ENDS, MESSAGE },
    { "PROC-10", PEER_ENDS, COMPOUND, ENDS, MESSAGE },
    { "PROC-11", PEER_ENDS, KILL, ENDS, MESSAGE },
    { "PROC-12", OTHER_SIGNALS, NORMAL, IGNORED, MESSAGE },
    { "PROC-13", SELF_SIGNALS, NORMAL, ENDS, MESSAGE },
    { "PROC-14", OTHER_SIGNALS, KILL, ENDS_KILLED, ENDS_KILLED },
    { "PROC-14", SELF_SIGNALS, KILL, ENDS_KILLED, ENDS_KILLED },
    { "PROC-15", OTHER_SIGNALS, SHUTDOWN, ENDS, MESSAGE },
    { "PROC-15", OTHER_SIGNALS, SHUTDOWN_WITH, ENDS, MESSAGE },
    { "PROC-15", OTHER_SIGNALS, KILLED, ENDS, MESSAGE },
    { "PROC-15", OTHER_SIGNALS, BOOM, ENDS, MESSAGE },
    { "PROC-15", OTHER_SIGNALS, COMPOUND, ENDS, MESSAGE },
    { "PROC-15", SELF_SIGNALS, BOOM, ENDS, MESSAGE },
    { "PROC-15", SELF_SIGNALS, KILLED, ENDS, MESSAGE },
};

static weft_term reason_term(enum reason reason)
{
    switch (reason) {
    case NORMAL: return A(normal);
    case SHUTDOWN: return A(shutdown);
    case SHUTDOWN_WITH: return weft_tuple(A(shutdown), weft_str("maintenance"));
    case KILLED: return A(killed);
    case KILL: return A(kill);
    case BOOM: return A(boom);
    case COMPOUND: return weft_tuple(A(error), weft_list(weft_int(1), weft_map(A(k), weft_str("v"))));
    }
    return weft_none;
}

/* Make the signal happen, and see it arrive: the process it is from. */
static weft_pid signal_receiver(enum source source, weft_pid receiver, weft_term reason)
{
    weft_pid peer;
    weft_ref down;

    switch (source) {
    case PEER_ENDS:
        peer = puppet_start();
        down = weft_monitor(peer);
        ask(receiver, do_link, peer);
        tell(peer, do_exit, reason);
        /* Signals to links are queued before any DOWN (PROC-72). */
        check_term(await_down(down), reason);
        return peer;
    case OTHER_SIGNALS:
        peer = puppet_start();
        ask(peer, do_signal, weft_tuple(receiver, reason));
        return peer;
    case SELF_SIGNALS:
        tell(receiver, do_signal, weft_tuple(receiver, reason));
        return receiver;
    }
    return weft_none;
}

static void check_outcome(enum outcome outcome, enum source source, weft_pid receiver, weft_ref down,
                          weft_pid from, weft_term reason)
{
    switch (outcome) {
    case IGNORED:
        if (source == OTHER_SIGNALS)
            settle(from, receiver);
        check_term(ask(receiver, do_take, A(nil)), A(nothing));
        break;
    case MESSAGE:
        check_term(ask(receiver, do_await_exit, A(nil)), weft_tuple(from, reason));
        check_term(ask(receiver, do_take, A(nil)), A(nothing));
        break;
    case ENDS:
        check_term(await_down(down), reason);
        return;
    case ENDS_KILLED:
        check_term(await_down(down), A(killed));
        return;
    }
    check(weft_is_alive(receiver));
    puppet_stop(receiver);
}

static void run_row(const struct row *row, bool traps)
{
    WEFT_SCOPE;
    weft_pid receiver = traps ? puppet_start_trapping() : puppet_start();
    weft_ref down = weft_monitor(receiver);
    weft_term reason = reason_term(row->reason);
    weft_pid from = signal_receiver(row->source, receiver, reason);

    check_outcome(traps ? row->trapping : row->not_trapping, row->source, receiver, down, from, reason);
}

static void run_rows(const char *rule)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        if (strcmp(table[i].rule, rule) != 0)
            continue;
        run_row(&table[i], false);
        run_row(&table[i], true);
    }
}

PROCESS_TEST(a_linked_peer_that_ends_normally_is_ignored_unless_trapped, "PROC-9")
{
    run_rows("PROC-9");
}

PROCESS_TEST(a_linked_peer_that_ends_otherwise_takes_the_process_along, "PROC-10")
{
    run_rows("PROC-10");
}

PROCESS_TEST(a_linked_peer_that_exits_with_kill_can_be_trapped, "PROC-11")
{
    run_rows("PROC-11");
}

PROCESS_TEST(a_signal_normal_from_another_process_is_ignored_unless_trapped, "PROC-12")
{
    run_rows("PROC-12");
}

PROCESS_TEST(a_signal_normal_to_oneself_ends_a_process_that_does_not_trap, "PROC-13")
{
    run_rows("PROC-13");
}

PROCESS_TEST(a_signal_kill_ends_any_process_with_killed, "PROC-14")
{
    run_rows("PROC-14");
}

PROCESS_TEST(any_other_signal_ends_a_process_that_does_not_trap, "PROC-15")
{
    run_rows("PROC-15");
}

PROCESS_TEST(weft_kill_is_the_signal_kill, "PROC-14")
{
    weft_pid victim = puppet_start_trapping();
    weft_ref down = weft_monitor(victim);

    weft_kill(victim);
    check_term(await_down(down), A(killed));
}

PROCESS_TEST(a_linked_peer_of_a_killed_process_hears_killed, "PROC-10 PROC-14")
{
    weft_pid victim = puppet_start(), traps = puppet_start_trapping(), does_not = puppet_start();
    weft_ref down = weft_monitor(does_not);

    ask(victim, do_link, traps);
    ask(victim, do_link, does_not);
    weft_kill(victim);
    check_term(await_down(down), A(killed));
    check_term(ask(traps, do_await_exit, A(nil)), weft_tuple(victim, A(killed)));
    puppet_stop(traps);
}

static weft_term returns_at_once(weft_term arg)
{
    return arg;
}

PROCESS_TEST(a_linked_child_that_returns_is_a_peer_that_ends_normally, "PROC-3 PROC-9")
{
    weft_ref down;
    weft_pid child = weft_spawn(returns_at_once, weft_none, .link = true, .monitor = &down);

    await_down(down);
    expect_no_message(weft_any);
    weft_trap_exit(true);
    child = weft_spawn(returns_at_once, weft_none, .link = true);
    expect_message(weft_tuple(A(EXIT), child, A(normal)));
}

PROCESS_TEST(a_linked_peer_that_errs_takes_the_process_along_with_reason_and_trace, "PROC-4 PROC-10")
{
    weft_pid peer = puppet_start(), receiver = puppet_start();
    weft_ref peer_down = weft_monitor(peer), down = weft_monitor(receiver);
    weft_term reason;

    ask(receiver, do_link, peer);
    tell(peer, do_error, A(boom));
    reason = await_down(peer_down);
    check_fits(reason, weft_tuple(A(boom), weft_any));
    check_term(await_down(down), reason);
}

PROCESS_TEST(a_reason_travels_unchanged_through_a_chain_of_links, "PROC-21")
{
    enum { N = 100 };
    weft_pid chain[N];
    weft_ref downs[N];
    weft_term reason = weft_tuple(A(because), weft_list(weft_int(1), weft_float(2.5), weft_str("three")),
                                  weft_map(A(four), weft_tuple()));

    for (int i = 0; i < N; i++) {
        chain[i] = puppet_start();
        downs[i] = weft_monitor(chain[i]);
        if (i > 0)
            ask(chain[i], do_link, chain[i - 1]);
    }
    tell(chain[0], do_exit, reason);
    for (int i = 0; i < N; i++)
        check_term(await_down(downs[i]), reason);
}

PROCESS_TEST(a_chain_of_links_stops_at_a_process_that_traps, "PROC-10 PROC-21")
{
    weft_pid first = puppet_start(), second = puppet_start();
    weft_pid traps = puppet_start_trapping(), behind = puppet_start();

    ask(first, do_link, second);
    ask(second, do_link, traps);
    ask(traps, do_link, behind);
    tell(first, do_exit, A(boom));
    check_term(ask(traps, do_await_exit, A(nil)), weft_tuple(second, A(boom)));
    check_term(ask(behind, do_take, A(nil)), A(nothing));
    check(weft_is_alive(traps));
    puppet_stop(traps);
}

/* -- sending one -------------------------------------------------------------------------------- */

static _Atomic int n_spinning, may_stop_spinning, n_spun;

/* Spins without a call to weft until it is let go. */
static weft_term spins_until_released(weft_term arg)
{
    atomic_fetch_add(&n_spinning, 1);
    spin_until(&may_stop_spinning, 1);
    atomic_fetch_add(&n_spun, 1);
    return arg;
}

PROCESS_TEST(an_exit_signal_needs_no_link_and_returns_at_once, "PROC-16")
{
    weft_ref down;
    weft_pid victim = weft_spawn(spins_until_released, weft_none, .monitor = &down);

    await_count(&n_spinning, 1);
    weft_exit_signal(victim, A(boom));
    check_int(atomic_load(&n_spun), 0); /* we are back before it could look */
    atomic_store(&may_stop_spinning, 1);
    /* It may have returned before it looked. */
    check_fits(await_down(down), weft_any);
}

PROCESS_TEST(an_exit_signal_to_the_dead_does_nothing, "PROC-16")
{
    weft_pid dead = weft_spawn(ends_with, A(normal));

    await_end(dead);
    weft_trap_exit(true);
    weft_exit_signal(dead, A(boom));
    weft_exit_signal(dead, A(kill));
    weft_exit_signal(dead, A(normal));
    weft_kill(dead);
    expect_no_message(weft_any);
}

PROCESS_TEST(every_signal_to_a_process_that_traps_becomes_a_message, "PROC-15 PROC-16")
{
    weft_pid receiver = puppet_start_trapping();

    for (int i = 0; i < 100; i++)
        weft_exit_signal(receiver, weft_int(i));
    for (int i = 0; i < 100; i++)
        check_term(ask(receiver, do_await_exit, A(nil)), weft_tuple(weft_self(), weft_int(i)));
    check_term(ask(receiver, do_take, A(nil)), A(nothing));
    puppet_stop(receiver);
}

static weft_term signals_itself_and_goes_on(weft_term arg)
{
    weft_exit_signal(weft_self(), weft_tuple_at(arg, 1));
    weft_send(weft_tuple_at(arg, 0), A(went_on));
    weft_yield();
    return A(ok);
}

PROCESS_TEST(a_fatal_signal_to_oneself_does_not_return, "PROC-13 PROC-14 PROC-15")
{
    const weft_term reasons[] = { A(normal), A(kill), A(boom) };

    for (size_t i = 0; i < COUNT(reasons); i++) {
        weft_ref down;

        weft_spawn(signals_itself_and_goes_on, weft_tuple(weft_self(), reasons[i]), .monitor = &down);
        check_term(await_down(down), weft_eq(reasons[i], A(kill)) ? A(killed) : reasons[i]);
        expect_no_message(A(went_on));
    }
}

/* -- where it takes effect -------------------------------------------------------------------------- */

static _Atomic int n_cleaned, n_ready, n_past;

static void counts_cleaning(int *frame)
{
    (void)frame;
    atomic_fetch_add(&n_cleaned, 1);
}

static weft_term parks_with_a_cleanup_handler(weft_term arg)
{
    __attribute__((cleanup(counts_cleaning))) int frame = 0;

    (void)arg;
    atomic_fetch_add(&n_ready, 1);
    weft_receive(A(stop), WEFT_INFINITY, NULL);
    atomic_fetch_add(&n_past, 1);
    return weft_int(frame);
}

PROCESS_TEST(a_fatal_signal_runs_no_cleanup_handler_of_the_code_it_interrupts, "PROC-17")
{
    const weft_term reasons[] = { A(boom), A(shutdown), A(kill) };

    for (size_t i = 0; i < COUNT(reasons); i++) {
        weft_ref down;
        weft_pid victim = weft_spawn(parks_with_a_cleanup_handler, weft_none, .monitor = &down);

        await_count(&n_ready, (int)i + 1);
        weft_exit_signal(victim, reasons[i]);
        await_down(down);
    }
    check_int(atomic_load(&n_cleaned), 0);
    check_int(atomic_load(&n_past), 0);

    /* Left by its end it runs, so that the handler is one. */
    weft_send(weft_spawn(parks_with_a_cleanup_handler, weft_none), A(stop));
    await_count(&n_cleaned, 1);
}

static weft_term in_receive(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static weft_term in_receive_for_long(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    weft_receive(A(never), 3600000, NULL);
    return arg;
}

static weft_term in_sleep(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    weft_sleep(3600000);
    return arg;
}

static weft_term in_receive_each(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    weft_receive_each (message)
        arg = message;
    return arg;
}

static weft_term in_yields(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    for (;;)
        weft_yield();
    return arg;
}

static weft_term in_checkpoints(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    for (;;)
        weft_checkpoint();
    return arg;
}

static weft_term in_receives_that_look_once(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    while (!weft_receive(A(never), 0, NULL))
        ;
    return arg;
}

static const struct {
    const char *name;
    weft_fn *run;
} places[] = {
    { "receive", in_receive },
    { "receive with a timeout", in_receive_for_long },
    { "receive_each", in_receive_each },
    { "sleep", in_sleep },
    { "yield", in_yields },
    { "checkpoint", in_checkpoints },
    { "receive that looks once", in_receives_that_look_once },
};

static void check_ends_everywhere(weft_term signal, weft_term reason)
{
    for (size_t i = 0; i < COUNT(places); i++) {
        weft_ref down;
        weft_pid victim;

        atomic_store(&n_ready, 0);
        victim = weft_spawn(places[i].run, weft_none, .monitor = &down);
        await_count(&n_ready, 1);
        weft_exit_signal(victim, signal);
        if (!check_term(await_down(down), reason))
            diag("  in %s", places[i].name);
    }
}

PROCESS_TEST(a_kill_takes_effect_at_every_park_point, "PROC-19")
{
    check_ends_everywhere(A(kill), A(killed));
}

PROCESS_TEST(an_exit_signal_takes_effect_at_every_park_point, "PROC-19")
{
    check_ends_everywhere(A(boom), A(boom));
}

static bool handles_nothing(void *state, weft_term message)
{
    (void)state, (void)message;
    return true;
}

PROCESS_TEST(a_signal_ends_a_callback_process_that_waits, "PROC-19")
{
    const weft_term reasons[] = { A(boom), A(kill) };

    for (size_t i = 0; i < COUNT(reasons); i++) {
        weft_ref down;
        weft_pid victim = weft_spawn_handler(handles_nothing, NULL, .monitor = &down);

        weft_exit_signal(victim, reasons[i]);
        check_term(await_down(down), i == 0 ? A(boom) : A(killed));
    }
}

static weft_term is_killed_before_it_ran(weft_term arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        weft_ref down;
        weft_pid child = weft_spawn(in_receive, weft_none, .monitor = &down);

        weft_exit_signal(child, i % 2 == 0 ? A(kill) : A(boom));
        check_term(await_down(down), i % 2 == 0 ? A(killed) : A(boom));
    }
    return A(ok);
}

TEST(a_signal_ends_a_process_that_never_ran, "PROC-19")
{
    run_in_runtime(is_killed_before_it_ran, .workers = 1);
}

PROCESS_TEST(a_kill_does_not_wait_behind_messages, "PROC-19")
{
    weft_ref down;
    weft_pid victim = weft_spawn(in_receive, weft_none, .monitor = &down);

    for (int i = 0; i < scaled(200000); i++)
        weft_send(victim, weft_int(i));
    weft_kill(victim);
    check_term(await_down(down), A(killed));
}

static weft_term spins_then_yields(weft_term arg)
{
    spins_until_released(arg);
    weft_yield();
    atomic_fetch_add(&n_past, 1);
    return arg;
}

PROCESS_TEST(a_process_that_is_signalled_while_it_runs_ends_at_its_next_park_point, "PROC-19")
{
    const weft_term reasons[] = { A(kill), A(boom) };

    for (size_t i = 0; i < COUNT(reasons); i++) {
        weft_ref down;
        weft_pid victim;

        atomic_store(&n_spinning, 0);
        atomic_store(&may_stop_spinning, 0);
        victim = weft_spawn(spins_then_yields, weft_none, .monitor = &down);
        await_count(&n_spinning, 1);
        weft_exit_signal(victim, reasons[i]);
        atomic_store(&may_stop_spinning, 1);
        check_term(await_down(down), i == 0 ? A(killed) : A(boom));
    }
    check_int(atomic_load(&n_past), 0);
}

/* -- alive ------------------------------------------------------------------------------------------- */

PROCESS_TEST(a_process_is_never_alive_to_who_killed_it, "PROC-20")
{
    weft_fn *const kinds[] = { in_receive, in_sleep, in_yields, in_checkpoints };

    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;
        weft_pid victim = weft_spawn(kinds[(size_t)i % COUNT(kinds)], weft_none);

        if (i % 3 == 0)
            weft_yield();
        check(weft_is_alive(victim));
        weft_kill(victim);
        if (!check(!weft_is_alive(victim)))
            return;
    }
}

PROCESS_TEST(a_process_that_got_a_fatal_signal_is_not_alive, "PROC-20")
{
    for (int i = 0; i < scaled(2000); i++) {
        WEFT_SCOPE;
        weft_pid victim = weft_spawn(in_receive, weft_none);

        weft_exit_signal(victim, A(boom));
        if (!check(!weft_is_alive(victim)))
            return;
    }
}

PROCESS_TEST(a_killed_process_that_spins_is_not_alive_though_it_runs, "PROC-20")
{
    weft_ref down;
    weft_pid victim = weft_spawn(spins_until_released, weft_none, .monitor = &down);

    await_count(&n_spinning, 1);
    check(weft_is_alive(victim));
    weft_kill(victim);
    check(!weft_is_alive(victim));
    check_int(atomic_load(&n_spun), 0); /* it was not waited for */
    atomic_store(&may_stop_spinning, 1);
    await_down(down);
    check(!weft_is_alive(victim));
}

PROCESS_TEST(a_process_that_traps_or_ignores_a_signal_stays_alive, "PROC-12 PROC-20")
{
    weft_pid traps = puppet_start_trapping(), ignores = puppet_start();

    weft_exit_signal(traps, A(boom));
    weft_exit_signal(ignores, A(normal));
    check(weft_is_alive(traps));
    check(weft_is_alive(ignores));
    check(weft_is_alive(weft_self()));
    puppet_stop(traps);
}

PROCESS_TEST(a_process_that_ended_is_not_alive)
{
    weft_pid pid = weft_spawn(ends_with, A(normal));

    await_end(pid);
    check(!weft_is_alive(pid));
}

/* -- trapping ------------------------------------------------------------------------------------------ */

PROCESS_TEST(setting_trap_exit_returns_the_setting_before, "PROC-28")
{
    check(!weft_trap_exit(false));
    check(!weft_trap_exit(true));
    check(weft_trap_exit(true));
    check(weft_trap_exit(false));
    check(!weft_trap_exit(false));
}

PROCESS_TEST(trap_exit_governs_the_signals_after_it, "PROC-28")
{
    weft_pid receiver = puppet_start();
    weft_ref down = weft_monitor(receiver);

    ask(receiver, do_trap, A(true));
    weft_exit_signal(receiver, A(first));
    check_term(ask(receiver, do_await_exit, A(nil)), weft_tuple(weft_self(), A(first)));
    check_term(ask(receiver, do_trap, A(false)), A(true));
    weft_exit_signal(receiver, A(second));
    check_term(await_down(down), A(second));
}

/* Spins through the signal, then changes its trap setting. */
static weft_term sets_trap_after_a_spin(weft_term on)
{
    atomic_fetch_add(&n_spinning, 1);
    spin_until(&may_stop_spinning, 1);
    weft_trap_exit(weft_to_bool(on));
    if (weft_receive(weft_tuple(A(EXIT), weft_any, A(boom)), BOUND_MS, NULL))
        weft_exit(A(got_a_message));
    weft_exit(A(got_nothing));
}

PROCESS_TEST(a_signal_that_came_before_trapping_was_turned_on_is_fatal, "PROC-28")
{
    weft_ref down;
    weft_pid victim = weft_spawn(sets_trap_after_a_spin, A(true), .monitor = &down);

    await_count(&n_spinning, 1);
    weft_exit_signal(victim, A(boom));
    atomic_store(&may_stop_spinning, 1);
    check_term(await_down(down), A(boom));
}

static weft_term traps_then_sets_it_off_after_a_spin(weft_term arg)
{
    weft_trap_exit(true);
    return sets_trap_after_a_spin(arg);
}

PROCESS_TEST(a_signal_that_came_before_trapping_was_turned_off_is_a_message, "PROC-28 PROC-29")
{
    weft_ref down;
    weft_pid victim = weft_spawn(traps_then_sets_it_off_after_a_spin, A(false), .monitor = &down);

    await_count(&n_spinning, 1);
    weft_exit_signal(victim, A(boom));
    atomic_store(&may_stop_spinning, 1);
    check_term(await_down(down), A(got_a_message));
}

PROCESS_TEST(turning_trapping_off_leaves_queued_exits_as_they_are, "PROC-29")
{
    weft_pid receiver = puppet_start_trapping();

    weft_exit_signal(receiver, A(boom));
    weft_exit_signal(receiver, A(shutdown));
    ask(receiver, do_trap, A(false));
    check_term(ask(receiver, do_take, A(nil)), weft_tuple(A(EXIT), weft_self(), A(boom)));
    check_term(ask(receiver, do_take, A(nil)), weft_tuple(A(EXIT), weft_self(), A(shutdown)));
    check(weft_is_alive(receiver));
}

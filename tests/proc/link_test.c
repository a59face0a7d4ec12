/* link_test.c - links: symmetric, single, and gone for good when unlinked. */
#include "proc/process_test.h"

static void check_unlinked(weft_pid a, weft_pid b)
{
    check(!is_listed(info_of(a, A(links)), b));
    check(!is_listed(info_of(b, A(links)), a));
}

/* Whichever of the two calls, one unlink undoes any number of links. */
static void link_both_ways_unlink_once(bool by_first, bool first_ends)
{
    WEFT_SCOPE;
    weft_pid first = puppet_start(), second = puppet_start();
    weft_pid ends = first_ends ? first : second, stays = first_ends ? second : first;
    weft_ref down = weft_monitor(ends);

    ask(first, do_link, second);
    ask(second, do_link, first);
    ask(first, do_link, second);
    check(is_listed(info_of(first, A(links)), second));
    check(is_listed(info_of(second, A(links)), first));

    ask(by_first ? first : second, do_unlink, by_first ? second : first);
    settle(by_first ? first : second, by_first ? second : first);
    check_unlinked(first, second);
    tell(ends, do_exit, A(boom));
    await_down(down);
    ask(stays, do_nothing, A(nil));
    puppet_stop(stays);
}

PROCESS_TEST(two_links_are_undone_by_one_unlink_from_either_side, "PROC-22")
{
    link_both_ways_unlink_once(true, true);
    link_both_ways_unlink_once(true, false);
    link_both_ways_unlink_once(false, true);
    link_both_ways_unlink_once(false, false);
}

static _Atomic int has_linked;

static weft_term do_link_and_say_so(weft_term pid)
{
    weft_link(pid);
    atomic_store(&has_linked, 1);
    return A(ok);
}

/* The peer links, and before its signal is looked at this side links and unlinks. */
PROCESS_TEST(a_link_that_an_unlink_crosses_is_gone_on_both_sides, "PROC-22")
{
    weft_pid peer = puppet_start();

    weft_trap_exit(true);
    tell(peer, do_link_and_say_so, weft_self());
    while (atomic_load(&has_linked) == 0)
        weft_yield();
    weft_link(peer);
    weft_unlink(peer);
    ask(peer, do_nothing, A(nil));
    check_unlinked(weft_self(), peer);
    weft_link(peer); /* it is a link again, not one that was there */
    tell(peer, do_exit, A(boom));
    check_term(expect_message(weft_tuple(A(EXIT), peer, weft_any)), weft_tuple(A(EXIT), peer, A(boom)));
}

PROCESS_TEST(who_unlinks_and_links_again_is_linked, "PROC-22")
{
    weft_pid peer = puppet_start();

    weft_trap_exit(true);
    for (int i = 0; i < 3; i++) {
        weft_link(peer);
        weft_unlink(peer);
    }
    weft_link(peer);
    ask(peer, do_nothing, A(nil));
    check(is_listed(info_of(peer, A(links)), weft_self()));
    check(is_listed(info_of(weft_self(), A(links)), peer));
    tell(peer, do_exit, A(boom));
    check_term(expect_message(weft_tuple(A(EXIT), peer, weft_any)), weft_tuple(A(EXIT), peer, A(boom)));
}

/* Links and unlinks {peer, seed} at random; then has all that the peer sent. */
static weft_term do_link_at_random(weft_term arg)
{
    weft_pid peer = weft_tuple_at(arg, 0);
    uint64_t random = (uint64_t)weft_to_int(weft_tuple_at(arg, 1));

    for (int i = 0; i < scaled(20000); i++) {
        random = random * 6364136223846793005 + 1442695040888963407;
        if (random >> 63)
            weft_link(peer);
        else
            weft_unlink(peer);
        if (random >> 56 & 1)
            weft_yield();
    }
    return A(ok);
}

PROCESS_TEST(two_who_link_and_unlink_at_once_agree_in_the_end, "PROC-22")
{
    for (int round = 0; round < 10; round++) {
        WEFT_SCOPE;
        weft_pid first = puppet_start(), second = puppet_start();
        bool is_linked;

        tell(first, do_link_at_random, weft_tuple(second, weft_int(2 * round)));
        tell(second, do_link_at_random, weft_tuple(first, weft_int(2 * round + 1)));
        ask(first, do_nothing, A(nil));
        ask(second, do_nothing, A(nil));
        settle(first, second);
        settle(second, first);
        is_linked = is_listed(info_of(first, A(links)), second);
        check(is_linked == is_listed(info_of(second, A(links)), first));
        ask(first, do_unlink, second);
        puppet_stop(first);
        puppet_stop(second);
    }
}

PROCESS_TEST(a_link_works_in_both_directions, "PROC-22")
{
    for (int i = 0; i < 2; i++) {
        weft_pid a = puppet_start(), b = puppet_start();
        weft_pid ends = i == 0 ? a : b, follows = i == 0 ? b : a;
        weft_ref down = weft_monitor(follows);

        ask(a, do_link, b);
        tell(ends, do_exit, A(boom));
        check_term(await_down(down), A(boom));
    }
}

PROCESS_TEST(a_link_made_twice_is_heard_of_once, "PROC-22 PROC-27")
{
    weft_pid peer = puppet_start();

    weft_trap_exit(true);
    weft_link(peer);
    weft_link(peer);
    ask(peer, do_link, weft_self());
    tell(peer, do_exit, A(boom));
    expect_message(weft_tuple(A(EXIT), peer, A(boom)));
    await_end(peer);
    expect_no_message(weft_any);
}

static _Atomic int n_linked;

static weft_term links_its_parent(weft_term parent)
{
    weft_link(parent);
    atomic_fetch_add(&n_linked, 1);
    return waits_for_stop(parent);
}

PROCESS_TEST(two_links_that_cross_on_their_way_are_one, "PROC-22")
{
    weft_pid peer = weft_spawn(links_its_parent, weft_self());

    await_count(&n_linked, 1);
    weft_link(peer); /* the peer's is here, and was not looked at */
    check_term(info_of(weft_self(), A(links)), weft_list(peer));
    weft_unlink(peer);
    check_term(info_of(weft_self(), A(links)), weft_empty_list);
    check_term(info_of(peer, A(links)), weft_empty_list);
    weft_send(peer, A(stop));
}

static _Atomic int n_rounds;

/* Link and unlink one peer n times, while the peer does the same. */
static weft_term links_and_unlinks(weft_term arg)
{
    weft_pid peer = weft_tuple_at(arg, 0);
    int64_t n = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;

        weft_link(peer);
        if (i % 7 == 0)
            weft_yield();
        weft_unlink(peer);
        atomic_fetch_add(&n_rounds, 1);
    }
    return A(ok);
}

PROCESS_TEST(two_that_link_and_unlink_each_other_at_once_end_unlinked, "PROC-22 PROC-25")
{
    int n = scaled(20000);
    weft_pid a = puppet_start(), b = puppet_start();
    weft_ref down = weft_monitor(a);

    tell(a, links_and_unlinks, weft_tuple(b, weft_int(n)));
    tell(b, links_and_unlinks, weft_tuple(a, weft_int(n)));
    await_count(&n_rounds, 2 * n);
    ask(a, do_nothing, A(nil));
    ask(b, do_nothing, A(nil));
    settle(a, b);
    settle(b, a);
    check_unlinked(a, b);
    tell(a, do_exit, A(boom));
    check_term(await_down(down), A(boom));
    ask(b, do_nothing, A(nil));
}

PROCESS_TEST(linking_oneself_links_nothing, "PROC-23")
{
    weft_pid puppet = puppet_start();

    check_term(ask(puppet, do_link, puppet), A(ok));
    check_term(info_of(puppet, A(links)), weft_empty_list);

    weft_trap_exit(true);
    weft_link(weft_self());
    check_term(info_of(weft_self(), A(links)), weft_empty_list);
    weft_unlink(weft_self());
    expect_no_message(weft_any);
}

PROCESS_TEST(linking_the_dead_queues_noproc_for_who_traps, "PROC-24")
{
    weft_pid dead = weft_spawn(ends_with, A(boom));

    await_end(dead);
    weft_trap_exit(true);
    weft_link(dead);
    expect_message(weft_tuple(A(EXIT), dead, A(noproc)));
    check_term(info_of(weft_self(), A(links)), weft_empty_list);
    expect_no_message(weft_any);
}

static _Atomic int n_past_link;

static weft_term links_and_goes_on(weft_term pid)
{
    weft_link(pid);
    atomic_fetch_add(&n_past_link, 1);
    return A(ok);
}

PROCESS_TEST(linking_the_dead_ends_who_does_not_trap_with_noproc, "PROC-24")
{
    weft_pid dead = weft_spawn(ends_with, A(normal));
    weft_ref down;

    await_end(dead);
    weft_spawn(links_and_goes_on, dead, .monitor = &down);
    check_term(await_down(down), A(noproc));
    check_int(atomic_load(&n_past_link), 0);
}

/* The one that links is quick, the other ends meanwhile: noproc or the reason,
 * and exactly one of them. */
PROCESS_TEST(linking_who_ends_meanwhile_is_heard_of_once, "PROC-24 PROC-27")
{
    int n_noproc = 0, n = scaled(5000);

    weft_trap_exit(true);
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_pid peer = weft_spawn(ends_with, A(boom));
        weft_term reason = weft_none;

        pass_time(i % 50);
        weft_link(peer);
        expect_message(weft_tuple(A(EXIT), peer, weft_bind(&reason)));
        check(weft_eq(reason, A(boom)) || weft_eq(reason, A(noproc)));
        n_noproc += weft_eq(reason, A(noproc));
    }
    expect_no_message(weft_any);
    diag("%d of %d were gone before the link", n_noproc, n);
}

PROCESS_TEST(after_unlink_the_end_of_a_peer_changes_nothing, "PROC-25")
{
    weft_pid peer = puppet_start(), receiver = puppet_start(), traps = puppet_start_trapping();
    weft_ref down = weft_monitor(peer);

    ask(receiver, do_link, peer);
    ask(traps, do_link, peer);
    ask(receiver, do_unlink, peer);
    ask(traps, do_unlink, peer);
    tell(peer, do_exit, A(boom));
    await_down(down);
    check_term(ask(receiver, do_take, A(nil)), A(nothing));
    check_term(ask(traps, do_take, A(nil)), A(nothing));
    puppet_stop(traps);
}

PROCESS_TEST(unlink_leaves_an_exit_that_is_queued, "PROC-25")
{
    weft_pid peer = puppet_start();
    weft_ref down = weft_monitor(peer);

    weft_trap_exit(true);
    weft_link(peer);
    tell(peer, do_exit, A(boom));
    await_down(down);
    weft_unlink(peer);
    expect_message(weft_tuple(A(EXIT), peer, A(boom)));
}

PROCESS_TEST(unlink_flush_takes_a_queued_exit_out_and_nothing_else)
{
    weft_pid peer = puppet_start(), other = puppet_start();
    weft_ref down = weft_monitor(peer), other_down = weft_monitor(other);

    weft_trap_exit(true);
    weft_link(peer);
    weft_link(other);
    tell(peer, do_exit, A(boom));
    tell(other, do_exit, A(boom));
    await_down(down);
    await_down(other_down);
    weft_send(weft_self(), A(unrelated));
    weft_unlink_flush(peer);
    weft_unlink_flush(peer);
    expect_no_message(weft_tuple(A(EXIT), peer, weft_any));
    expect_message(weft_tuple(A(EXIT), other, A(boom)));
    expect_message(A(unrelated));
}

/* The peer ends while the trapping caller unlinks: what is not in the mailbox
 * when unlink returns never comes. */
PROCESS_TEST(no_exit_is_queued_after_unlink_returned, "PROC-25")
{
    int n_before = 0, n = scaled(5000);

    weft_trap_exit(true);
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_pid peer = weft_spawn(ends_with, A(boom), .link = true, .monitor = &down);

        pass_time(i % 50);
        weft_unlink(peer);
        n_before += weft_receive(weft_tuple(A(EXIT), peer, weft_any), 0, NULL);
        await_down(down);
        if (!check(!weft_receive(weft_tuple(A(EXIT), peer, weft_any), 0, NULL)))
            return;
    }
    diag("%d of %d exits came before unlink", n_before, n);
}

static _Atomic int n_unlinked;

static weft_term unlinks_who_ends(weft_term arg)
{
    weft_pid peer = weft_spawn(ends_with, A(boom), .link = true);

    pass_time((int)(weft_to_int(arg)));
    weft_unlink(peer);
    atomic_store(&n_unlinked, 1);
    await_end(peer);
    weft_yield();
    return A(ok);
}

PROCESS_TEST(no_peer_ends_the_caller_after_unlink_returned, "PROC-25")
{
    int n_normal = 0, n = scaled(5000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_term reason;

        atomic_store(&n_unlinked, 0);
        weft_spawn(unlinks_who_ends, weft_int(i % 50), .monitor = &down);
        reason = await_down(down);
        if (!check(weft_eq(reason, A(normal)) || (weft_eq(reason, A(boom)) && atomic_load(&n_unlinked) == 0)))
            return;
        n_normal += weft_eq(reason, A(normal));
    }
    diag("%d of %d unlinked in time", n_normal, n);
}

PROCESS_TEST(unlink_of_what_is_not_linked_does_nothing, "PROC-26")
{
    weft_pid stranger = puppet_start(), dead = weft_spawn(ends_with, A(normal));

    await_end(dead);
    weft_trap_exit(true);
    weft_unlink(stranger);
    weft_unlink(dead);
    weft_unlink_flush(stranger);
    weft_unlink_flush(dead);
    expect_no_message(weft_any);
    check(weft_is_alive(stranger));
}

PROCESS_TEST(linking_again_after_unlink_links, "PROC-22 PROC-25")
{
    weft_pid a = puppet_start(), b = puppet_start();
    weft_ref down = weft_monitor(b);

    for (int i = 0; i < 10; i++) {
        ask(a, do_link, b);
        ask(a, do_unlink, b);
    }
    ask(b, do_link, a);
    tell(a, do_exit, A(boom));
    check_term(await_down(down), A(boom));
}

PROCESS_TEST(an_ending_process_signals_each_link_once_and_leaves_none, "PROC-27")
{
    enum { N = 50 };
    weft_pid center = puppet_start(), peers[N];
    weft_ref down = weft_monitor(center);

    for (int i = 0; i < N; i++) {
        peers[i] = puppet_start_trapping();
        if (i % 2 == 0)
            ask(center, do_link, peers[i]);
        else
            ask(peers[i], do_link, center);
    }
    for (int i = 0; i < N; i++)
        check(is_listed(info_of(center, A(links)), peers[i]));
    tell(center, do_exit, A(boom));
    await_down(down);
    for (int i = 0; i < N; i++) {
        WEFT_SCOPE;

        check_term(ask(peers[i], do_take, A(nil)), weft_tuple(A(EXIT), center, A(boom)));
        check_term(ask(peers[i], do_take, A(nil)), A(nothing));
        check_term(info_of(peers[i], A(links)), weft_empty_list);
        puppet_stop(peers[i]);
    }
}

PROCESS_TEST(two_linked_processes_that_end_at_once_each_keep_their_reason, "PROC-27")
{
    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_pid a = puppet_start(), b = puppet_start();
        weft_ref a_down = weft_monitor(a), b_down = weft_monitor(b);
        weft_term a_reason, b_reason;

        ask(a, do_link, b);
        tell(a, do_exit, A(from_a));
        tell(b, do_exit, A(from_b));
        a_reason = await_down(a_down);
        b_reason = await_down(b_down);
        check(weft_eq(a_reason, A(from_a)) || weft_eq(a_reason, A(from_b)));
        check(weft_eq(b_reason, A(from_a)) || weft_eq(b_reason, A(from_b)));
        /* Both cannot have been taken along by the other. */
        if (!check(weft_eq(a_reason, A(from_a)) || weft_eq(b_reason, A(from_b))))
            return;
    }
}

/* info_test.c - what can be known of a process. */
#include <string.h>

#include "proc/process_test.h"

PROCESS_TEST(nothing_is_known_of_a_dead_process, "PROC-67")
{
    weft_pid dead = weft_spawn(ends_with, A(normal));

    await_end(dead);
    check(weft_is_none(weft_process_info(dead, A(status))));
    check(weft_is_none(weft_process_info(dead, A(links))));
    check(weft_is_none(weft_process_info(dead, weft_list(A(status), A(links)))));
}

PROCESS_TEST(the_length_of_a_mailbox_is_known, "PROC-67 PROC-68")
{
    weft_pid puppet = puppet_start();

    check_term(info_of(puppet, A(message_queue_len)), weft_int(0));
    for (int i = 0; i < 10; i++)
        weft_send(puppet, weft_int(i));
    check_term(info_of(puppet, A(message_queue_len)), weft_int(10));
    ask(puppet, do_take, A(nil));
    check_term(info_of(puppet, A(message_queue_len)), weft_int(9));
}

PROCESS_TEST(links_and_monitors_are_known_on_both_sides, "PROC-67")
{
    weft_pid puppet = puppet_start(), peer = puppet_start();

    check_term(info_of(puppet, A(links)), weft_empty_list);
    check_term(info_of(puppet, A(monitors)), weft_empty_list);
    check_term(info_of(puppet, A(monitored_by)), weft_empty_list);

    ask(puppet, do_link, peer);
    ask(puppet, do_monitor, peer);
    check_term(info_of(puppet, A(links)), weft_list(peer));
    check_int(weft_list_size(info_of(puppet, A(monitors))), 1);
    check(is_listed(info_of(puppet, A(monitors)), peer));
    settle(puppet, peer);
    check_term(info_of(peer, A(links)), weft_list(puppet));
    check(is_listed(info_of(peer, A(monitored_by)), puppet));
    check_term(info_of(peer, A(monitors)), weft_empty_list);
}

PROCESS_TEST(the_registered_name_is_known, "PROC-67")
{
    weft_pid puppet = puppet_start();

    check_term(info_of(puppet, A(registered_name)), weft_empty_list);
    weft_register(A(known_as), puppet);
    check_term(info_of(puppet, A(registered_name)), A(known_as));
    weft_unregister(A(known_as));
    check_term(info_of(puppet, A(registered_name)), weft_empty_list);
}

PROCESS_TEST(the_trap_setting_is_known, "PROC-67")
{
    weft_pid puppet = puppet_start();

    check_term(info_of(puppet, A(trap_exit)), A(false));
    ask(puppet, do_trap, A(true));
    check_term(info_of(puppet, A(trap_exit)), A(true));
    puppet_stop(puppet); /* it would hold up the end of the program */
}

static _Atomic int n_spinning, may_stop_spinning;

static weft_term spins_until_released(weft_term arg)
{
    atomic_fetch_add(&n_spinning, 1);
    while (atomic_load(&may_stop_spinning) == 0)
        weft_checkpoint();
    return arg;
}

PROCESS_TEST(the_status_tells_who_waits_from_who_runs, "PROC-67")
{
    weft_pid puppet = puppet_start();

    await_waiting(puppet);
    check_term(info_of(weft_self(), A(status)), A(running));
    tell(puppet, spins_until_released, A(nil));
    await_count(&n_spinning, 1);
    check_fits(info_of(puppet, A(status)), weft_any);
    check(!weft_eq(info_of(puppet, A(status)), A(waiting)));
    atomic_store(&may_stop_spinning, 1);
}

static weft_term do_spawn(weft_term arg)
{
    (void)arg;
    return puppet_start();
}

PROCESS_TEST(the_parent_is_known, "PROC-67")
{
    weft_pid parent = puppet_start();
    weft_pid child = ask(parent, do_spawn, A(nil));

    check_term(info_of(child, A(parent)), parent);
    check_term(info_of(parent, A(parent)), weft_self());
    puppet_stop(parent);
    check_term(info_of(child, A(parent)), parent); /* whether it lives or not */
}

static weft_term do_put(weft_term pair)
{
    weft_dict_put(weft_tuple_at(pair, 0), weft_tuple_at(pair, 1));
    return A(ok);
}

PROCESS_TEST(the_dictionary_is_known, "PROC-67")
{
    weft_pid puppet = puppet_start();
    weft_term dictionary;

    ask(puppet, do_put, weft_tuple(A(first), weft_int(1)));
    ask(puppet, do_put, weft_tuple(A(second), weft_list(weft_str("two"))));
    dictionary = info_of(puppet, A(dictionary));
    check_term(weft_keyword(dictionary, A(first), weft_none), weft_int(1));
    check_term(weft_keyword(dictionary, A(second), weft_none), weft_list(weft_str("two")));
}

static weft_term do_label(weft_term text)
{
    weft_set_label(weft_text(text));
    return A(ok);
}

PROCESS_TEST(the_label_is_known_and_cut_at_64_bytes, "PROC-67")
{
    weft_pid puppet = puppet_start();
    char text[201], start[61];

    ask(puppet, do_label, weft_str("a short label"));
    check_has(weft_inspect(info_of(puppet, A(label))), "a short label");

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(start, text, sizeof start - 1);
    start[sizeof start - 1] = '\0';
    ask(puppet, do_label, weft_str(text));
    check_has(weft_inspect(info_of(puppet, A(label))), start);
    check_le(strlen(weft_inspect(info_of(puppet, A(label)))), 64 + 2);
}

PROCESS_TEST(memory_and_priority_are_known)
{
    weft_pid puppet = weft_spawn(puppet_run, weft_none, .priority = WEFT_LOW);

    check_gt(weft_to_int(info_of(puppet, A(memory))), 0);
    check_term(info_of(puppet, A(priority)), A(low));
}

PROCESS_TEST(a_list_of_items_gives_a_keyword_list, "PROC-67")
{
    weft_pid puppet = puppet_start();
    weft_term known = weft_process_info(puppet, weft_list(A(trap_exit), A(links), A(status)));

    check_int(weft_list_size(known), 3);
    check_term(weft_keyword(known, A(trap_exit), weft_none), A(false));
    check_term(weft_keyword(known, A(links), weft_none), weft_empty_list);
    check_term(weft_tuple_at(weft_head(known), 0), A(trap_exit));
}

/* -- the order of a question and what was sent before it ------------------------------------- */

PROCESS_TEST(a_question_sees_every_signal_that_was_sent_before_it, "PROC-68")
{
    for (int i = 0; i < scaled(1000); i++) {
        WEFT_SCOPE;
        weft_pid puppet = puppet_start();
        weft_ref ref;

        weft_send(puppet, A(one));
        weft_send(puppet, A(two));
        check_term(info_of(puppet, A(message_queue_len)), weft_int(2));
        weft_link(puppet);
        check(is_listed(info_of(puppet, A(links)), weft_self()));
        weft_unlink(puppet);
        check(!is_listed(info_of(puppet, A(links)), weft_self()));
        ref = weft_monitor(puppet);
        check(is_listed(info_of(puppet, A(monitored_by)), weft_self()));
        weft_demonitor(ref, true);
        check(!is_listed(info_of(puppet, A(monitored_by)), weft_self()));
        weft_exit_signal(puppet, A(boom));
        if (!check(weft_is_none(info_of(puppet, A(status)))))
            return;
    }
}

/* -- all processes ------------------------------------------------------------------------------ */

PROCESS_TEST(all_living_processes_are_listed_and_no_dead_one)
{
    enum { N = 100 };
    weft_pid living[N], dead[N];
    weft_term all;

    for (int i = 0; i < N; i++) {
        living[i] = puppet_start();
        dead[i] = weft_spawn(ends_with, A(normal));
    }
    for (int i = 0; i < N; i++)
        await_end(dead[i]);
    all = weft_processes();
    check(is_listed(all, weft_self()));
    check_ge(weft_list_size(all), N + 1);
    for (int i = 0; i < N; i++) {
        check(is_listed(all, living[i]));
        check(!is_listed(all, dead[i]));
    }
}

/* registry_test.c - names that are values, groups, and what an end leaves of them. */
#include "otp/partition_test.h"
#include "proc/process_test.h"

#include "weft/gen_server.h"
#include "weft/registry.h"
#include "weft/supervisor.h"
#include "weft/timer.h"

static weft_pid start(enum weft_registry_keys keys, int64_t partitions)
{
    return weft_must(weft_registry_start_link(.name = A(reg), .keys = keys, .partitions = partitions));
}

/* {key, value}, for puppets: 0 or who has it. */
static weft_term do_register(weft_term arg)
{
    weft_pid who;

    return weft_registry_register(A(reg), weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), &who) == 0
               ? weft_tuple(A(ok), who)
               : weft_tuple(A(error), who);
}

static weft_term do_unregister(weft_term key)
{
    return weft_int((int64_t)weft_registry_unregister(A(reg), key));
}

static weft_pid puppet_under(weft_term key, weft_term value)
{
    weft_pid puppet = puppet_start();

    ask(puppet, do_register, weft_tuple(key, value));
    return puppet;
}

static weft_term pair(weft_pid pid, weft_term value)
{
    return weft_tuple(pid, value);
}

/* -- starting -------------------------------------------------------------------- */

static weft_term starts_without_name(weft_term arg)
{
    weft_registry_start_link(.keys = WEFT_UNIQUE);
    return arg;
}

static weft_term starts_without_keys(weft_term arg)
{
    weft_registry_start_link(.name = A(reg));
    return arg;
}

static weft_term starts_without_partitions(weft_term arg)
{
    weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE, .partitions = 0);
    return arg;
}

static weft_term starts_with_listeners(weft_term listeners)
{
    weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE, .listeners = listeners);
    return listeners;
}

PROCESS_TEST(bad_options_fail_in_the_caller_by_name, "REG-1 REG-2")
{
    check_mistake(starts_without_name, A(x), ".name is missing");
    check_mistake(starts_without_keys, A(x), ".keys is missing: WEFT_UNIQUE, WEFT_DUPLICATE");
    check_mistake(starts_without_partitions, A(x), ".partitions is 0: from 1");
    check_mistake(starts_with_listeners, weft_list(weft_int(1)), ".listeners has 1");
}

PROCESS_TEST(it_is_a_supervisor_with_a_child_for_each_partition, "REG-3")
{
    weft_pid registry = start(WEFT_UNIQUE, 3);
    weft_started again;

    check_int(weft_list_size(weft_supervisor_which_children(registry)), 3);
    check_term(weft_whereis(A(reg)), registry);
    again = weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE);
    check(!again.ok);
    check_term(again.reason, weft_tuple(A(already_started), registry));
    weft_supervisor_stop(A(reg), weft_none, BOUND_MS);
    weft_must(weft_registry_start_link(.name = A(reg), .keys = WEFT_DUPLICATE));
}

PROCESS_TEST(it_is_a_child_of_a_supervisor, "REG-3")
{
    weft_child_spec children[] = {weft_registry_child(.name = A(reg), .keys = WEFT_UNIQUE, .partitions = 2)};
    weft_pid sup = weft_must(weft_supervisor_start_link(children, 1, .strategy = WEFT_ONE_FOR_ONE));

    check_term(children[0].id, A(reg));
    puppet_under(A(k), A(v));
    check_int(weft_registry_count(A(reg)), 1);
    weft_supervisor_stop(sup, weft_none, BOUND_MS);
}

static weft_term looks_up(weft_term registry) { return weft_registry_lookup(registry, A(k)); }
static weft_term registers_in(weft_term registry)
{
    weft_registry_register(registry, A(k), A(v), NULL);
    return registry;
}
static weft_term counts(weft_term registry) { return weft_int((int64_t)weft_registry_count(registry)); }
static weft_term puts_meta(weft_term registry) { return weft_registry_put_meta(registry, A(k), A(v)), registry; }
static weft_term unregisters_in(weft_term registry) { return weft_registry_unregister(registry, A(k)), registry; }

PROCESS_TEST(an_unknown_registry_is_named, "REG-4")
{
    static weft_fn *const calls[] = {looks_up, registers_in, counts, puts_meta, unregisters_in};

    for (size_t i = 0; i < COUNT(calls); i++)
        check_mistake(calls[i], A(nowhere), "unknown registry :nowhere");
}

/* -- registering -------------------------------------------------------------------- */

PROCESS_TEST(who_registers_is_found_and_linked_to_the_partition, "REG-6 REG-13 REG-15")
{
    weft_pid registry = start(WEFT_UNIQUE, 1), puppet = puppet_start();
    weft_pid partition = partition_of(registry, 0);

    check_term(ask(puppet, do_register, weft_tuple(A(k), weft_str("v"))), weft_tuple(A(ok), partition));
    check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(puppet, weft_str("v"))));
    check(is_listed(info_of(puppet, A(links)), partition));
}

PROCESS_TEST(a_unique_key_that_is_held_names_its_holder_and_changes_nothing, "REG-7")
{
    weft_pid holder, other = puppet_start();

    start(WEFT_UNIQUE, 1);
    holder = puppet_under(A(k), weft_int(1));
    check_term(ask(other, do_register, weft_tuple(A(k), weft_int(2))), weft_tuple(A(error), holder));
    check_term(ask(holder, do_register, weft_tuple(A(k), weft_int(3))), weft_tuple(A(error), holder));
    check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(holder, weft_int(1))));
    check_int(weft_registry_count(A(reg)), 1);
    check_term(info_of(other, A(links)), weft_empty_list);
}

static _Atomic int n_won, n_lost, n_wrong;

static weft_term races(weft_term arg)
{
    weft_pid who = weft_none;

    if (weft_registry_register(A(reg), A(k), A(v), &who) == 0)
        atomic_fetch_add(&n_won, 1);
    else
        atomic_fetch_add(weft_eq(who, weft_self()) || weft_is_none(who) ? &n_wrong : &n_lost, 1);
    weft_receive(A(stop), WEFT_INFINITY, NULL);
    return arg;
}

PROCESS_TEST(of_many_who_register_a_key_at_once_one_does, "REG-8")
{
    enum { N = 40 };

    start(WEFT_UNIQUE, 2);
    for (int i = 0; i < N; i++)
        weft_spawn(races, A(x));
    while (atomic_load(&n_won) + atomic_load(&n_lost) + atomic_load(&n_wrong) < N)
        weft_yield();
    check_int(n_won, 1);
    check_int(n_wrong, 0);
}

PROCESS_TEST(a_key_is_free_as_soon_as_its_holder_is_dead, "REG-9 REG-10 REG-44")
{
    start(WEFT_UNIQUE, 1);
    for (int i = 0; i < scaled(200); i++) {
        weft_pid old = puppet_under(A(k), weft_int(i)), new;

        weft_kill(old);
        check(!weft_is_alive(old));
        new = puppet_under(A(k), weft_int(-i));
        check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(new, weft_int(-i))));
        await_end(old);
        check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(new, weft_int(-i))));
        puppet_stop(new);
        check_int(weft_registry_count(A(reg)), 0);
    }
}

PROCESS_TEST(a_duplicate_key_has_any_number_of_entries_in_order, "REG-5 REG-11 REG-16")
{
    static const enum weft_registry_keys kinds[] = {WEFT_DUPLICATE, WEFT_DUPLICATE_BY_KEY};

    for (int partitions = 1; partitions < 4; partitions += 2)
        for (size_t i = 0; i < COUNT(kinds); i++) {
            weft_pid registry = start(kinds[i], partitions), a = puppet_under(A(k), weft_int(1)), b = puppet_under(A(k), A(b));

            ask(a, do_register, weft_tuple(A(k), weft_int(2)));
            ask(a, do_register, weft_tuple(A(other), weft_int(7)));
            ask(a, do_register, weft_tuple(A(k), weft_int(3)));
            check_term(weft_registry_values(A(reg), A(k), a), weft_list(weft_int(1), weft_int(2), weft_int(3)));
            check_term(weft_registry_values(A(reg), A(k), b), weft_list(A(b)));
            check_int(weft_list_size(weft_registry_lookup(A(reg), A(k))), 4);
            check_int(weft_registry_count(A(reg)), 5);
            check_int(weft_list_size(weft_registry_keys(A(reg), a)), 4);
            check_term(ask(a, do_unregister, A(k)), weft_int(3));
            check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(b, A(b))));
            puppet_stop(a);
            puppet_stop(b);
            check_int(weft_registry_count(A(reg)), 0);
            weft_supervisor_stop(registry, weft_none, BOUND_MS);
        }
}

PROCESS_TEST(keys_are_compared_exactly, "REG-12 REG-22")
{
    weft_term key = weft_map(A(a), weft_int(1), weft_str("b"), weft_list(weft_float(2.0)));

    start(WEFT_UNIQUE, 2);
    puppet_under(weft_int(1), A(int));
    puppet_under(weft_float(1.0), A(float));
    puppet_under(key, A(map));
    check_term(weft_tuple_at(weft_head(weft_registry_lookup(A(reg), weft_int(1))), 1), A(int));
    check_term(weft_tuple_at(weft_head(weft_registry_lookup(A(reg), weft_float(1.0))), 1), A(float));
    check_term(weft_tuple_at(weft_head(weft_registry_lookup(A(reg), key)), 1), A(map));
    check_term(weft_registry_lookup(A(reg), weft_map(A(a), weft_int(1))), weft_empty_list);
}

static weft_term registers_a_pattern(weft_term arg)
{
    weft_registry_register(A(reg), weft_tuple(weft_any), A(v), NULL);
    return arg;
}

PROCESS_TEST(a_pattern_is_no_key, "REG-22")
{
    start(WEFT_UNIQUE, 1);
    check_mistake(registers_a_pattern, A(x), "the key cannot be kept: a term with weft_any in it");
}

/* -- whereis and via ---------------------------------------------------------------------- */

PROCESS_TEST(whereis_never_gives_a_dead_process, "REG-17")
{
    weft_pid puppet;

    start(WEFT_UNIQUE, 1);
    puppet = puppet_under(A(k), A(v));
    check_term(weft_registry_whereis(A(reg), A(k)), puppet);
    weft_kill(puppet);
    check_term(weft_registry_whereis(A(reg), A(k)), weft_none);
    await_end(puppet);
    check_term(weft_registry_lookup(A(reg), A(k)), weft_empty_list);
}

static weft_init_result server_init(weft_term arg)
{
    /* REG-33: the entry is there before init runs. */
    return weft_init_ok(weft_eq(weft_registry_whereis(A(reg), arg), weft_self()) ? weft_alloc(1) : NULL);
}

static weft_result server_call(void *state, weft_term request, weft_from from)
{
    (void)from, (void)request;
    return weft_reply(weft_tuple(weft_self(), weft_bool(state != NULL)));
}

static const weft_gen_server server = {.init = server_init, .handle_call = server_call};

PROCESS_TEST(a_server_is_started_called_and_stopped_by_a_via_name, "REG-32 REG-33 REG-34")
{
    weft_server name = weft_via(A(reg), weft_str("room 1"));
    weft_started started, again;
    weft_term reason;

    start(WEFT_UNIQUE, 1);
    check(!weft_gen_server_try_call(name, A(x), BOUND_MS, &reason));
    check_term(reason, A(noproc));
    weft_gen_server_cast(name, A(x));
    started = weft_gen_server_start(&server, weft_str("room 1"), .name = name);
    check_term(weft_gen_server_call(name, A(x), BOUND_MS), weft_tuple(started.pid, weft_bool(true)));
    check_term(weft_registry_lookup(A(reg), weft_str("room 1")), weft_list(pair(started.pid, A(nil))));
    again = weft_gen_server_start(&server, weft_str("room 1"), .name = name);
    check_term(again.reason, weft_tuple(A(already_started), started.pid));
    weft_gen_server_stop(name, weft_none, BOUND_MS);
    check_term(weft_registry_whereis(A(reg), weft_str("room 1")), weft_none);
    started = weft_gen_server_start(&server, weft_int(2), .name = weft_via_value(A(reg), weft_int(2), A(value)));
    check_term(weft_registry_lookup(A(reg), weft_int(2)), weft_list(pair(started.pid, A(value))));
}

static weft_term sends_by_via(weft_term key)
{
    weft_send(weft_via(A(reg), key), A(hello));
    return key;
}

PROCESS_TEST(a_message_a_timer_and_a_monitor_take_a_via_name, "REG-32 REG-34")
{
    weft_server name = weft_via(A(reg), weft_str("me")), nobody = weft_via(A(reg), weft_str("nobody"));
    weft_ref down;

    start(WEFT_UNIQUE, 1);
    weft_registry_register(A(reg), weft_str("me"), A(v), NULL);
    weft_send(name, A(hello));
    expect_message(A(hello));
    check_int(weft_try_send(nobody, A(hello)), WEFT_ENOPROC);
    check_mistake(sends_by_via, weft_str("nobody"), "nobody is registered as {:via, :reg, \"nobody\"}");
    weft_send_after(name, weft_tuple(A(later), weft_str("text")), 1);
    expect_message(weft_tuple(A(later), weft_str("text")));
    weft_start_timer(name, A(timer), 1);
    expect_message(weft_tuple(A(timeout), weft_any, A(timer)));
    weft_send_after(nobody, A(lost), 1);
    down = weft_monitor(nobody);
    expect_message(weft_tuple(A(DOWN), down, A(process), nobody, A(noproc)));
    down = weft_monitor(weft_via(A(reg), A(k)));
    expect_message(weft_tuple(A(DOWN), down, A(process), weft_any, A(noproc)));
    down = weft_monitor(puppet_under(A(k), A(v)));
    weft_send(weft_via(A(reg), A(k)), A(hello));
    weft_exit_signal(weft_registry_whereis(A(reg), A(k)), A(shutdown));
    check_term(await_down(down), A(shutdown));
}

static weft_term plus_one(weft_term value, void *arg)
{
    (void)arg;
    return weft_int(weft_to_int(value) + 1);
}

static weft_term do_update(weft_term key)
{
    weft_term before = weft_none, after = weft_none;
    int code = weft_registry_update_value(A(reg), key, plus_one, NULL, &before, &after);

    return code == 0 ? weft_tuple(after, before) : weft_int(code);
}

static weft_term calls_by_via(weft_term arg)
{
    return weft_gen_server_call(weft_via(A(reg), A(k)), arg, BOUND_MS);
}

static weft_term monitors_by_via(weft_term arg)
{
    weft_monitor(weft_via(A(reg), A(k)));
    return arg;
}

PROCESS_TEST(a_via_name_in_a_duplicate_registry_fails_in_words, "REG-31 REG-35")
{
    start(WEFT_DUPLICATE, 1);
    check_mistake(calls_by_via, A(x), "not supported by registry :reg");
    check_mistake(sends_by_via, A(k), "the keys of that registry are duplicate");
    check_mistake(monitors_by_via, A(k), "the keys of that registry are duplicate");
    check_fits(weft_gen_server_start(&server, A(k), .name = weft_via(A(reg), A(k))).reason,
               weft_tuple(A(badarg), weft_any));
    check_mistake(do_update, A(k), "not supported by registry :reg");
}

/* -- unregistering -------------------------------------------------------------------------- */

PROCESS_TEST(unregister_removes_the_callers_entries_alone, "REG-26 REG-29")
{
    weft_pid a, b;

    start(WEFT_DUPLICATE, 1);
    a = puppet_under(A(k), A(a));
    b = puppet_under(A(k), A(b));
    check_term(ask(a, do_unregister, A(k)), weft_int(1));
    check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(b, A(b))));
    check_term(ask(a, do_unregister, A(k)), weft_int(0));
}

PROCESS_TEST(with_its_last_entry_the_link_goes, "REG-28")
{
    weft_pid registry = start(WEFT_DUPLICATE, 1), partition = partition_of(registry, 0);
    weft_pid puppet = puppet_start_trapping();

    ask(puppet, do_register, weft_tuple(A(k), A(v)));
    ask(puppet, do_register, weft_tuple(A(l), A(v)));
    ask(puppet, do_unregister, A(k));
    check(is_listed(info_of(puppet, A(links)), partition));
    ask(puppet, do_unregister, A(l));
    check(!is_listed(info_of(puppet, A(links)), partition));
    check_term(ask(puppet, do_take, A(x)), A(nothing));
    puppet_stop(puppet); /* the runtime's stop would wait for it */
}

static weft_term do_unregister_odd(weft_term arg)
{
    return weft_int((int64_t)weft_registry_unregister_match(A(reg), arg, weft_tuple(A(odd), weft_any)));
}

PROCESS_TEST(unregister_match_removes_those_whose_value_fits, "REG-27")
{
    weft_pid puppet;

    start(WEFT_DUPLICATE, 1);
    puppet = puppet_under(A(k), weft_tuple(A(odd), weft_int(1)));
    for (int i = 2; i < 6; i++)
        ask(puppet, do_register, weft_tuple(A(k), weft_tuple(i % 2 ? A(odd) : A(even), weft_int(i))));
    check_term(ask(puppet, do_unregister_odd, A(k)), weft_int(3));
    check_term(weft_registry_values(A(reg), A(k), puppet),
               weft_list(weft_tuple(A(even), weft_int(2)), weft_tuple(A(even), weft_int(4))));
}

/* -- match, select, values ------------------------------------------------------------------- */

PROCESS_TEST(match_and_select_take_patterns_of_values_and_of_all, "REG-18 REG-19 REG-20 REG-21 REG-23 REG-24 REG-25")
{
    weft_pid puppet;

    start(WEFT_UNIQUE, 4);
    puppet = puppet_under(weft_int(0), weft_map(A(n), weft_int(0), A(more), A(x)));
    for (int i = 1; i < 10; i++)
        ask(puppet, do_register, weft_tuple(weft_int(i), weft_map(A(n), weft_int(i % 2))));
    check_int(weft_list_size(weft_registry_match(A(reg), weft_int(0), weft_map(A(n), weft_int(0)))), 1);
    check_int(weft_registry_count_match(A(reg), weft_int(1), weft_map(A(n), weft_int(0))), 0);
    check_int(weft_registry_count_select(A(reg), weft_any), 10);
    check_int(weft_registry_count_select(A(reg), weft_tuple(weft_any, puppet, weft_map(A(n), weft_int(1)))), 5);
    check_term(weft_registry_select(A(reg), weft_tuple(weft_int(3), weft_any, weft_any)),
               weft_list(weft_tuple(weft_int(3), puppet, weft_map(A(n), weft_int(1)))));
    check_int(weft_list_size(weft_registry_keys(A(reg), puppet)), 10);
    check_term(weft_registry_values(A(reg), weft_int(2), weft_self()), weft_empty_list);
}

static weft_term selects_pairs(weft_term arg)
{
    weft_registry_select(A(reg), weft_tuple(weft_any, weft_any));
    return arg;
}

PROCESS_TEST(a_select_pattern_of_another_size_fails, "REG-24")
{
    start(WEFT_UNIQUE, 1);
    check_mistake(selects_pairs, A(x), "a tuple of three");
}

PROCESS_TEST(update_value_replaces_the_callers_own, "REG-30")
{
    weft_pid puppet;

    start(WEFT_UNIQUE, 1);
    puppet = puppet_under(A(k), weft_int(1));
    check_term(ask(puppet, do_update, A(k)), weft_tuple(weft_int(2), weft_int(1)));
    check_term(weft_registry_lookup(A(reg), A(k)), weft_list(pair(puppet, weft_int(2))));
    check_term(do_update(A(k)), weft_int(WEFT_ENOTOWNER));
    check_term(do_update(A(l)), weft_int(WEFT_ENOENT));
    check_int(weft_registry_count(A(reg)), 1);
}

/* -- dispatch, metadata, listeners ------------------------------------------------------------- */

struct seen {
    int n_calls, n_entries;
};

static void see(weft_term entries, void *arg)
{
    struct seen *seen = arg;

    seen->n_calls++;
    seen->n_entries += (int)weft_list_size(entries);
}

PROCESS_TEST(dispatch_calls_once_for_each_partition_with_entries, "REG-36 REG-37")
{
    struct seen seen = {0, 0};
    weft_pid registry = start(WEFT_DUPLICATE, 1);

    weft_registry_dispatch(A(reg), A(k), see, &seen);
    check_int(seen.n_calls, 0);
    for (int i = 0; i < 5; i++)
        puppet_under(A(k), weft_int(i));
    weft_registry_dispatch(A(reg), A(k), see, &seen);
    check_int(seen.n_calls, 1);
    check_int(seen.n_entries, 5);
    (void)registry;
}

/* -- in parallel ---------------------------------------------------------------------------- */

static _Atomic int n_inside;

/* Returns when as many are inside as the number that arg points to. */
static void see_together(weft_term entries, void *arg)
{
    check_int(weft_list_size(entries), 1);
    atomic_fetch_add(&n_inside, 1);
    await_count(&n_inside, *(const int *)arg);
}

/* Under A(k), one entry in each of n partitions, as a pid's slot says. */
static int puppets_in_each_of(weft_pid registry, int64_t n)
{
    bool has_one[16] = {false};
    int n_found = 0;

    while (n_found < n) {
        weft_pid puppet = puppet_start();
        weft_pid owner = weft_tuple_at(ask(puppet, do_register, weft_tuple(A(k), A(v))), 1);

        for (int64_t i = 0; i < n; i++)
            if (weft_eq(owner, partition_of(registry, i)) && !has_one[i]) {
                has_one[i] = true;
                n_found++;
                owner = weft_none;
            }
        if (!weft_is_none(owner))
            ask(puppet, do_unregister, A(k));
    }
    return n_found;
}

PROCESS_TEST(parallel_dispatch_makes_its_calls_at_once, "REG-38")
{
    int n = puppets_in_each_of(start(WEFT_DUPLICATE, 4), 4);

    weft_trap_exit(true);
    weft_registry_dispatch(A(reg), A(k), see_together, &n, .parallel = true);
    check_int(n_inside, 4);
    expect_no_message(weft_any);
    check_int(weft_list_size(info_of(weft_self(), A(links))), 1); /* the registry */
}

static void note_self(weft_term entries, void *arg)
{
    check(!weft_is_empty_list(entries));
    *(weft_pid *)arg = weft_self();
}

PROCESS_TEST(parallel_has_no_effect_where_there_is_one_call, "REG-38")
{
    weft_pid pid = weft_none;

    start(WEFT_DUPLICATE_BY_KEY, 4);
    puppet_under(A(k), A(v));
    weft_registry_dispatch(A(reg), A(k), note_self, &pid, .parallel = true);
    check_term(pid, weft_self());
}

static void crash(weft_term entries, void *arg)
{
    (void)entries, (void)arg;
    weft_exit(A(crashed));
}

/* traps: bool */
static weft_term dispatches_a_crash(weft_term traps)
{
    weft_trap_exit(weft_to_bool(traps));
    weft_registry_dispatch(A(reg), A(k), crash, NULL, .parallel = true);
    return A(ok);
}

PROCESS_TEST(a_crash_in_parallel_dispatch_crashes_the_caller, "REG-38")
{
    puppets_in_each_of(start(WEFT_DUPLICATE, 2), 2);
    for (int traps = 0; traps < 2; traps++) {
        weft_ref down;

        weft_spawn(dispatches_a_crash, weft_bool(traps), .monitor = &down);
        check_term(await_down(down), A(crashed));
    }
}

PROCESS_TEST(nobody_is_found_under_a_key_that_is_weft_none, "REG-15")
{
    start(WEFT_UNIQUE, 1);
    weft_registry_register(A(reg), A(k), A(v), NULL);
    weft_registry_unregister(A(reg), A(k));
    for (int i = 0; i < 64; i++)
        weft_registry_register(A(reg), weft_int(i), A(v), NULL);
    for (int i = 0; i < 64; i++)
        weft_registry_unregister(A(reg), weft_int(i));
    check_term(weft_registry_lookup(A(reg), weft_none), weft_empty_list);
    check_term(weft_registry_whereis(A(reg), weft_none), weft_none);
}

static weft_term dispatches_nothing(weft_term key)
{
    weft_registry_dispatch(A(reg), key, NULL, NULL);
    return key;
}

static weft_term updates_by_nothing(weft_term key)
{
    return weft_int(weft_registry_update_value(A(reg), key, NULL, NULL, NULL, NULL));
}

PROCESS_TEST(a_function_that_is_missing_is_refused)
{
    start(WEFT_UNIQUE, 1);
    check_mistake(dispatches_nothing, A(k), "weft_registry_dispatch: the function is NULL");
    check_mistake(updates_by_nothing, A(k), "weft_registry_update_value: the function is NULL");
}

PROCESS_TEST(metadata_is_there_from_the_start_and_changes, "REG-39")
{
    weft_must(weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE,
                                       .meta = weft_list(weft_tuple(A(a), weft_str("first")))));
    check_term(weft_registry_meta(A(reg), A(a)), weft_str("first"));
    check_term(weft_registry_meta(A(reg), A(b)), weft_none);
    for (int i = 0; i < 100; i++)
        weft_registry_put_meta(A(reg), weft_int(i), weft_tuple(weft_int(i), weft_str("x")));
    weft_registry_put_meta(A(reg), A(a), weft_int(2));
    check_term(weft_registry_meta(A(reg), A(a)), weft_int(2));
    check_term(weft_registry_meta(A(reg), weft_int(77)), weft_tuple(weft_int(77), weft_str("x")));
    weft_registry_delete_meta(A(reg), A(a));
    check_term(weft_registry_meta(A(reg), A(a)), weft_none);
    check_int(weft_registry_count(A(reg)), 0);
}

PROCESS_TEST(listeners_hear_of_entries_but_not_of_ends, "REG-13 REG-40 REG-41 REG-42 REG-43")
{
    weft_pid puppet;

    weft_register(A(listener), weft_self());
    weft_must(weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE,
                                       .listeners = weft_list(A(nobody_has_it), A(listener))));
    puppet = puppet_under(A(k), weft_int(1));
    expect_message(weft_tuple(A(register), A(reg), A(k), puppet, weft_int(1)));
    ask(puppet, do_unregister, A(k));
    expect_message(weft_tuple(A(unregister), A(reg), A(k), puppet));
    ask(puppet, do_register, weft_tuple(A(k), weft_int(2)));
    expect_message(weft_tuple(A(register), A(reg), A(k), puppet, weft_int(2)));
    puppet_stop(puppet);
    expect_no_message(weft_tuple(A(unregister), weft_any, weft_any, weft_any));
}

/* -- ends -------------------------------------------------------------------------------------- */

static weft_term do_register_many(weft_term n)
{
    for (int64_t i = 0; i < weft_to_int(n); i++)
        weft_registry_register(A(reg), weft_tuple(weft_self(), weft_int(i)), weft_str("some value"), NULL);
    return A(ok);
}

PROCESS_TEST(when_an_owner_is_gone_so_are_its_entries, "REG-14 REG-43 REG-44 REG-54")
{
    int n = scaled(2000);

    start(WEFT_UNIQUE, 4);
    for (int round = 0; round < 3; round++) {
        weft_pid puppet = puppet_start();

        ask(puppet, do_register_many, weft_int(n));
        check_int(weft_registry_count(A(reg)), n);
        check_int(weft_list_size(weft_registry_lookup(A(reg), weft_tuple(puppet, weft_int(n - 1)))), 1);
        weft_kill(puppet);
        await_end(puppet);
        check_int(weft_registry_count(A(reg)), 0);
        check_term(weft_registry_select(A(reg), weft_any), weft_empty_list);
    }
}

PROCESS_TEST(killed_in_the_middle_of_registering_nothing_is_left, "REG-14")
{
    start(WEFT_DUPLICATE, 2);
    for (int i = 0; i < scaled(100); i++) {
        weft_pid puppet = puppet_start();

        tell(puppet, do_register_many, weft_int(1000));
        while (weft_registry_count(A(reg)) == 0)
            weft_yield();
        weft_kill(puppet);
        await_end(puppet);
        check_int(weft_registry_count(A(reg)), 0);
    }
}

PROCESS_TEST(when_the_registry_stops_those_in_it_hear_by_the_partitions_end, "REG-45")
{
    weft_pid registry = start(WEFT_UNIQUE, 1), partition = partition_of(registry, 0);
    weft_pid plain = puppet_under(A(a), A(v)), trapping = puppet_start_trapping();
    weft_ref down = weft_monitor(plain);

    ask(trapping, do_register, weft_tuple(A(b), A(v)));
    weft_supervisor_stop(registry, weft_none, BOUND_MS);
    check_term(await_down(down), A(shutdown));
    check_term(ask(trapping, do_await_exit, A(x)), weft_tuple(partition, A(shutdown)));
    start(WEFT_UNIQUE, 1);
    check_fits(ask(trapping, do_register, weft_tuple(A(b), A(v))), weft_tuple(A(ok), weft_any));
    puppet_stop(trapping);
}

PROCESS_TEST(a_killed_partition_takes_its_own_with_it_and_begins_empty, "REG-46")
{
    static const enum weft_registry_keys kinds[] = {WEFT_UNIQUE, WEFT_DUPLICATE};

    weft_trap_exit(true);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        weft_pid registry = start(kinds[i], 1), partition = partition_of(registry, 0);
        weft_pid puppet = puppet_under(A(k), A(v)), other = puppet_start();
        weft_ref down = weft_monitor(puppet), gone = weft_monitor(partition);

        weft_kill(partition);
        check_term(await_down(down), A(killed));
        await_down(gone);
        weft_supervisor_which_children(registry); /* it has restarted it by now */
        check_int(weft_registry_count(A(reg)), 0);
        check_fits(ask(other, do_register, weft_tuple(A(k), A(w))), weft_tuple(A(ok), partition_of(registry, 0)));
        weft_supervisor_stop(registry, weft_none, BOUND_MS);
    }
}

/* The partition is killed, and there is another one. */
static void lose_partition(weft_pid registry)
{
    weft_pid partition = partition_of(registry, 0);
    weft_ref gone = weft_monitor(partition);

    weft_kill(partition);
    await_down(gone);
    weft_supervisor_which_children(registry);
}

PROCESS_TEST(who_has_several_entries_hears_of_the_end_once, "REG-46")
{
    weft_pid registry = start(WEFT_DUPLICATE, 1), partition = partition_of(registry, 0);
    weft_pid puppet = puppet_start_trapping();

    ask(puppet, do_register, weft_tuple(A(k), A(v)));
    ask(puppet, do_register, weft_tuple(A(k), A(w)));
    ask(puppet, do_register, weft_tuple(A(l), A(v)));
    lose_partition(registry);
    check_term(ask(puppet, do_await_exit, A(x)), weft_tuple(partition, A(killed)));
    check(!is_listed(info_of(puppet, A(links)), partition));
    check_fits(ask(puppet, do_register, weft_tuple(A(k), A(v))), weft_tuple(A(ok), partition_of(registry, 0)));
    check_term(ask(puppet, do_take, A(x)), A(nothing));
    puppet_stop(puppet);
}

PROCESS_TEST(who_has_taken_all_back_survives_the_partition, "REG-28")
{
    weft_pid registry = start(WEFT_UNIQUE, 1), puppet = puppet_under(A(k), A(v));

    ask(puppet, do_unregister, A(k));
    lose_partition(registry);
    check_fits(ask(puppet, do_register, weft_tuple(A(k), A(v))), weft_tuple(A(ok), partition_of(registry, 0)));
}

PROCESS_TEST(a_link_made_by_hand_goes_with_the_last_entry_too, "REG-28")
{
    weft_pid registry = start(WEFT_UNIQUE, 1), partition = partition_of(registry, 0);
    weft_pid before = puppet_start(), after = puppet_start();

    ask(before, do_link, partition);
    ask(before, do_register, weft_tuple(A(k), A(v)));
    ask(after, do_register, weft_tuple(A(l), A(v)));
    ask(after, do_link, partition);
    ask(before, do_unregister, A(k));
    ask(after, do_unregister, A(l));
    check_term(info_of(before, A(links)), weft_empty_list);
    check_term(info_of(after, A(links)), weft_empty_list);
    lose_partition(registry);
    check_term(ask(before, do_nothing, A(x)), A(x));
    check_term(ask(after, do_nothing, A(x)), A(x));
}

PROCESS_TEST(one_that_has_unlinked_is_linked_again_when_it_registers_anew, "REG-6")
{
    weft_pid registry = start(WEFT_UNIQUE, 1), partition = partition_of(registry, 0);
    weft_pid puppet = puppet_start_trapping();

    for (int linked_by_hand = 0; linked_by_hand < 2; linked_by_hand++) {
        if (linked_by_hand)
            ask(puppet, do_link, partition);
        ask(puppet, do_register, weft_tuple(A(k), A(v)));
        ask(puppet, do_unlink, partition);
        check(!is_listed(info_of(puppet, A(links)), partition));
        ask(puppet, do_unregister, A(k));
    }
    ask(puppet, do_register, weft_tuple(A(k), A(v)));
    check(is_listed(info_of(puppet, A(links)), partition));
    lose_partition(registry);
    check_term(ask(puppet, do_await_exit, A(x)), weft_tuple(partition, A(killed)));
    puppet_stop(puppet);
}

PROCESS_TEST(cleaning_up_does_not_rest_on_the_link, "REG-47")
{
    weft_pid registry = start(WEFT_UNIQUE, 1), puppet = puppet_under(A(k), A(v));

    ask(puppet, do_unlink, partition_of(registry, 0));
    puppet_stop(puppet);
    check_int(weft_registry_count(A(reg)), 0);
}

/* -- waiting ------------------------------------------------------------------------------------- */

static weft_term awaits(weft_term to)
{
    weft_send(to, weft_tuple(A(found), weft_registry_await(A(reg), A(k), BOUND_MS)));
    return to;
}

PROCESS_TEST(await_waits_until_a_key_is_registered)
{
    weft_pid puppet;

    start(WEFT_UNIQUE, 1);
    for (int i = 0; i < scaled(100); i++) {
        for (int j = 0; j < 3; j++)
            weft_spawn(awaits, weft_self());
        if (i % 2)
            weft_yield();
        puppet = puppet_under(A(k), A(v));
        for (int j = 0; j < 3; j++)
            expect_message(weft_tuple(A(found), puppet));
        puppet_stop(puppet);
    }
}

PROCESS_TEST(await_gives_up_in_time_and_can_be_killed)
{
    weft_pid waiter;

    start(WEFT_UNIQUE, 1);
    check_term(weft_registry_try_await(A(reg), A(k), 5), weft_none);
    waiter = weft_spawn(awaits, weft_self());
    await_waiting(waiter);
    weft_kill(waiter);
    await_end(waiter);
    check_int(weft_registry_count(A(reg)), 0);
}

static weft_term awaits_in_vain(weft_term arg)
{
    weft_registry_await(A(reg), A(k), WEFT_INFINITY);
    return arg;
}

PROCESS_TEST(who_awaits_a_key_hears_when_the_registry_ends, "REG-4")
{
    weft_term text = weft_none;
    weft_ref down;
    weft_pid waiter;

    start(WEFT_UNIQUE, 1);
    waiter = weft_spawn(awaits_in_vain, A(x), .monitor = &down);
    await_waiting(waiter);
    weft_supervisor_stop(A(reg), weft_none, BOUND_MS);
    check_fits(await_down(down), weft_tuple(A(badarg), weft_bind(&text)));
    check_has(weft_text(text), "unknown registry :reg");
}

/* -- many at once --------------------------------------------------------------------------------- */

static _Atomic int n_stopped;
static _Atomic bool is_over;

/* Registers, looks itself up, takes it back: never sees another's. */
static weft_term churns(weft_term number)
{
    for (int i = 0; i < scaled(4000); i++) {
        WEFT_SCOPE;
        weft_term key = weft_tuple(number, weft_int(i % 50)), value = weft_str("a value");

        if (weft_registry_register(A(reg), key, value, NULL) != 0 ||
            !weft_eq(weft_registry_whereis(A(reg), key), weft_self()) ||
            !weft_eq(weft_registry_lookup(A(reg), key), weft_list(pair(weft_self(), value))))
            break;
        if (i % 3 == 0)
            weft_yield();
        if (weft_registry_unregister(A(reg), key) != 1)
            break;
    }
    atomic_fetch_add(&n_stopped, 1);
    return number;
}

/* Names that stay are found at every moment, while the table grows. */
static weft_term reads(weft_term pid)
{
    while (!atomic_load(&is_over)) {
        WEFT_SCOPE;

        for (int i = 0; i < 20; i++)
            if (weft_list_size(weft_registry_lookup(A(reg), weft_tuple(pid, weft_int(i)))) != 1)
                weft_exit(A(not_found));
        weft_registry_select(A(reg), weft_any);
        weft_yield();
    }
    return A(ok);
}

PROCESS_TEST(readers_and_writers_at_once_see_what_is_there, "REG-8 REG-29 REG-53")
{
    weft_pid owner = puppet_start(), grower = puppet_start();
    weft_ref readers[2];

    start(WEFT_UNIQUE, 2);
    ask(owner, do_register_many, weft_int(20));
    for (int i = 0; i < 2; i++)
        weft_spawn(reads, owner, .monitor = &readers[i]);
    for (int i = 0; i < 4; i++)
        weft_spawn(churns, weft_int(i));
    ask(grower, do_register_many, weft_int(scaled(3000)));
    await_count(&n_stopped, 4);
    atomic_store(&is_over, true);
    for (int i = 0; i < 2; i++)
        check_term(await_down(readers[i]), A(normal));
    check_int(weft_registry_count(A(reg)), 20 + scaled(3000));
}

/* -- memory that is shared goes with its entry ----------------------------------------------------- */

static _Atomic int n_destroyed;
static void count_destroyed(void *object) { (void)object, atomic_fetch_add(&n_destroyed, 1); }
static const weft_native_type counted = {.name = "counted", .destroy = count_destroyed};
static int objects[8];

static weft_term holds_native(weft_term arg)
{
    start(WEFT_DUPLICATE, 1);
    for (size_t i = 0; i < COUNT(objects); i++)
        weft_registry_register(A(reg), weft_int((int64_t)i), weft_native(&counted, &objects[i]), NULL);
    return arg;
}

TEST(what_entries_hold_is_given_back_when_the_runtime_stops)
{
    run_in_runtime(holds_native, .workers = 2);
    check_int(n_destroyed, COUNT(objects));
}

/* registry_lock_test.c - locks by key: one holder, the order of coming, and every way to leave. */
#include "proc/process_test.h"

#include "weft/child.h"
#include "weft/registry.h"
#include "weft/supervisor.h"

static void start(void)
{
    weft_must(weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE));
}

/* -- who holds a lock until it is told to go on ---------------------------------------- */

/* {key, to}: what fn is given. */
static weft_term hold(void *arg)
{
    weft_term *given = arg;

    weft_send(weft_tuple_at(*given, 1), weft_tuple(A(has), weft_tuple_at(*given, 0), weft_self()));
    weft_receive(A(let_go), WEFT_INFINITY, NULL);
    return A(done);
}

static weft_term holds(weft_term arg)
{
    return weft_registry_lock(A(reg), weft_tuple_at(arg, 0), hold, &arg);
}

/* A process that has the lock of the key, or waits for it. */
static weft_pid locker(weft_term key)
{
    return weft_spawn(holds, weft_tuple(key, weft_self()));
}

static weft_pid holder(weft_term key)
{
    weft_pid pid = locker(key);

    expect_message(weft_tuple(A(has), key, pid));
    return pid;
}

static weft_pid waiter(weft_term key)
{
    weft_pid pid = locker(key);

    await_waiting(pid);
    return pid;
}

static weft_term at_once(void *arg)
{
    (void)arg;
    return A(got);
}

/* Is the lock of the key free? */
static bool is_free(weft_term key)
{
    return weft_registry_try_lock(A(reg), key, 0, at_once, NULL, NULL);
}

PROCESS_TEST(lock_runs_the_function_in_the_caller_and_returns_what_it_does, "REG-48")
{
    weft_term result = weft_none;

    start();
    check_term(weft_registry_lock(A(reg), A(k), at_once, NULL), A(got));
    check(weft_registry_try_lock(A(reg), A(k), 0, at_once, NULL, &result));
    check_term(result, A(got));
    check_int(weft_registry_count(A(reg)), 0);
}

PROCESS_TEST(a_key_that_is_registered_is_another_thing_than_its_lock, "REG-48")
{
    start();
    weft_registry_register(A(reg), A(k), A(v), NULL);
    check(is_free(A(k)));
    holder(A(k));
    check_int(weft_registry_unregister(A(reg), A(k)), 1);
}

/* So many that keys share what weft keeps them in. */
PROCESS_TEST(among_a_thousand_keys_the_lock_goes_to_who_waits_for_that_key, "REG-49")
{
    weft_pid first, waits;

    start();
    first = holder(weft_int(0));
    for (int i = 1; i < 1000; i++)
        holder(weft_int(i));
    waits = waiter(weft_int(0));
    weft_send(first, A(let_go));
    expect_message(weft_tuple(A(has), weft_int(0), waits));
}

/* -- one at a time --------------------------------------------------------------------- */

static _Atomic int n_inside, n_together, n_left;

static weft_term be_inside(void *arg)
{
    (void)arg;
    if (atomic_fetch_add(&n_inside, 1) > 0)
        atomic_fetch_add(&n_together, 1);
    weft_yield();
    atomic_fetch_sub(&n_inside, 1);
    return A(ok);
}

static weft_term goes_in_often(weft_term key)
{
    for (int i = 0; i < scaled(500); i++)
        weft_registry_lock(A(reg), key, be_inside, NULL);
    atomic_fetch_add(&n_left, 1);
    return key;
}

PROCESS_TEST(a_lock_has_one_holder_at_a_time, "REG-48")
{
    start();
    for (int i = 0; i < 8; i++)
        weft_spawn(goes_in_often, weft_str("a key"));
    await_count(&n_left, 8);
    check_int(n_together, 0);
    check(is_free(weft_str("a key")));
}

PROCESS_TEST(different_keys_never_wait_for_each_other, "REG-49")
{
    enum { N = 1000 }; /* several to each of the lists that there are */

    start();
    for (int i = 0; i < scaled(N); i++)
        holder(weft_tuple(A(key), weft_int(i)));
    check(!is_free(weft_tuple(A(key), weft_int(0))));
    check(is_free(weft_tuple(A(key), weft_float(0.0))));
}

PROCESS_TEST(waiters_are_served_in_the_order_of_coming, "REG-49")
{
    weft_pid pids[20];

    start();
    pids[0] = holder(A(k));
    for (size_t i = 1; i < COUNT(pids); i++)
        pids[i] = waiter(A(k));
    for (size_t i = 0; i < COUNT(pids); i++) {
        weft_term next = weft_none;

        if (i > 0) {
            expect_message(weft_tuple(A(has), A(k), weft_bind(&next)));
            check_term(next, pids[i]);
        }
        check_int(weft_message_queue_len(), 0);
        weft_send(pids[i], A(let_go));
    }
}

/* -- ways to let go ---------------------------------------------------------------------- */

static weft_term exits(void *arg)
{
    (void)arg;
    weft_exit(A(gone));
}

static weft_term exits_in_lock(weft_term key) { return weft_registry_lock(A(reg), key, exits, NULL); }

PROCESS_TEST(the_lock_of_one_that_ends_goes_to_the_next, "REG-50")
{
    weft_pid first, second;
    weft_ref down;

    start();
    weft_spawn(exits_in_lock, A(k), .monitor = &down);
    check_term(await_down(down), A(gone));
    check(is_free(A(k)));
    first = holder(A(k));
    second = waiter(A(k));
    weft_kill(first);
    expect_message(weft_tuple(A(has), A(k), second));
    weft_exit_signal(second, A(shutdown));
    await_end(second);
    check(is_free(A(k)));
}

#ifndef WEFT_ASAN /* which reports the fault itself */
static weft_term faults(void *arg)
{
    *(volatile int *)arg = 1;
    return A(ok);
}

static weft_term faults_in_lock(weft_term key) { return weft_registry_lock(A(reg), key, faults, NULL); }

PROCESS_TEST(the_lock_of_one_that_faults_is_free, "REG-50")
{
    weft_ref down;

    start();
    weft_spawn(faults_in_lock, A(k), .monitor = &down);
    await_down(down);
    check(is_free(A(k)));
}
#endif

static weft_started starts_and_exits(weft_term key)
{
    weft_registry_lock(A(reg), key, exits, NULL);
    return (weft_started){.ok = false};
}

PROCESS_TEST(an_exit_that_is_caught_further_out_lets_go, "REG-50")
{
    weft_pid sup = weft_must(weft_supervisor_start_link(NULL, 0, .strategy = WEFT_ONE_FOR_ONE));

    start();
    check(!weft_supervisor_start_child(sup, weft_child(.id = A(a), .start = starts_and_exits, .arg = A(k))).ok);
    check(weft_is_alive(sup));
    check(is_free(A(k)));
}

static weft_result crashes_in_lock(void *state, weft_term key)
{
    (void)state;
    weft_registry_lock(A(reg), key, exits, NULL);
    return weft_noreply();
}

/* state: whom to tell whether the lock is free. */
static void tells_if_free(void *state, weft_term reason)
{
    (void)reason;
    weft_send(*(weft_pid *)state, weft_bool(is_free(weft_tuple(A(k), weft_int(7)))));
}

static weft_init_result remembers(weft_term pid)
{
    weft_pid *state = weft_new(weft_pid);

    *state = pid;
    return weft_init_ok(state);
}

PROCESS_TEST(a_server_that_crashed_in_a_lock_terminates_without_it, "REG-50")
{
    static const weft_gen_server server = {
        .init = remembers, .handle_cast = crashes_in_lock, .terminate = tells_if_free};

    start();
    weft_gen_server_cast(weft_must(weft_gen_server_start(&server, weft_self())), weft_tuple(A(k), weft_int(7)));
    expect_message(A(true));
}

PROCESS_TEST(a_waiter_that_died_is_skipped, "REG-50")
{
    weft_pid first, second, third;

    start();
    first = holder(A(k));
    second = waiter(A(k));
    third = waiter(A(k));
    weft_kill(second);
    await_end(second);
    weft_send(first, A(let_go));
    expect_message(weft_tuple(A(has), A(k), third));
}

/* -- time ---------------------------------------------------------------------------------- */

/* {key, to} */
static weft_term holds_in_time(weft_term arg)
{
    weft_term result;

    if (!weft_registry_try_lock(A(reg), weft_tuple_at(arg, 0), 5, hold, &arg, &result))
        weft_send(weft_tuple_at(arg, 1), A(gave_up));
    return A(ok);
}

PROCESS_TEST(a_waiter_whose_time_is_over_is_never_given_the_lock, "REG-51")
{
    weft_pid first, last;

    start();
    first = holder(A(k));
    weft_spawn(holds_in_time, weft_tuple(A(k), weft_self()));
    last = waiter(A(k));
    expect_message(A(gave_up));
    weft_send(first, A(let_go));
    expect_message(weft_tuple(A(has), A(k), last));
    weft_send(last, A(let_go));
    await_end(last);
    check(is_free(A(k)));
}

static weft_term in_turn(void *arg)
{
    (void)arg;
    weft_yield();
    atomic_fetch_add(&n_inside, 1);
    return A(ok);
}

static weft_term tries(weft_term n)
{
    for (int i = 0; i < scaled(300); i++)
        weft_registry_try_lock(A(reg), A(k), i % 3, in_turn, NULL, NULL);
    atomic_fetch_add(&n_left, 1);
    return n;
}

static weft_term insists(weft_term n)
{
    for (;;)
        weft_registry_lock(A(reg), A(k), in_turn, NULL);
    return n;
}

PROCESS_TEST(time_outs_kills_and_grants_at_once_lose_no_lock, "REG-50 REG-51")
{
    weft_pid victims[8];

    start();
    for (int i = 0; i < 4; i++)
        weft_spawn(tries, weft_int(i));
    while (atomic_load(&n_left) < 4) {
        for (size_t i = 0; i < COUNT(victims); i++)
            victims[i] = weft_spawn(insists, weft_none);
        for (size_t i = 0; i < COUNT(victims); i++) {
            weft_yield();
            weft_kill(victims[i]);
        }
    }
    for (size_t i = 0; i < COUNT(victims); i++)
        await_end(victims[i]);
    check(is_free(A(k)));
}

/* -- mistakes -------------------------------------------------------------------------------- */

static weft_term locks_again(void *arg)
{
    weft_registry_lock(A(reg), weft_tuple_of(arg, 2), at_once, NULL);
    return A(ok);
}

static weft_term locks_twice(weft_term arg)
{
    weft_term key[2] = {A(k), weft_int(7)};

    weft_registry_lock(A(reg), weft_tuple(A(k), weft_int(7)), locks_again, key);
    return arg;
}

static weft_term locks_in(weft_term registry)
{
    return weft_registry_lock(registry, A(k), at_once, NULL);
}

static weft_term locks_for_nothing(weft_term key)
{
    return weft_registry_lock(A(reg), key, weft_is_none(key) ? at_once : NULL, NULL);
}

PROCESS_TEST(locking_a_held_key_again_fails_naming_the_key, "REG-52")
{
    start();
    check_mistake(locks_twice, A(x), "holds the lock of {:k, 7} already");
    check(is_free(weft_tuple(A(k), weft_int(7))));
    check_mistake(locks_in, A(nowhere), "unknown registry :nowhere");
    check_mistake(locks_for_nothing, A(k), "the function is NULL");
    check_mistake(locks_for_nothing, weft_none, "the key is weft_none");
}

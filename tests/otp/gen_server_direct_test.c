/* gen_server_direct_test.c - a server that rests runs in its caller's place: what is seen
 * of that by the two, and by others. */
#include <pthread.h>

#include "otp/server_test.h"
#include "weft/task.h"

static weft_term script_of(script *fn, weft_term arg)
{
    return weft_tuple(SERVER_FN(fn), arg);
}

/* -- a server that runs in its caller's place ---------------------------------------------------- */

static _Atomic int n_spinning, is_released;

/* A number is answered with the next one; :spin keeps the worker until it is released;
 * a pid is asked for the number after 1, and its answer plus one is the answer. */
static weft_result plain_call(void *state, weft_term request, weft_from from)
{
    (void)state, (void)from;
    if (weft_is_int(request))
        return weft_reply(weft_int(weft_to_int(request) + 1));
    if (weft_is_pid(request))
        return weft_reply(weft_int(weft_to_int(weft_gen_server_call(request, weft_int(1), BOUND_MS)) + 1));
    if (weft_is_tuple(request))
        return weft_reply(weft_tuple(A(got), weft_tuple_at(request, 0)));
    atomic_fetch_add(&n_spinning, 1);
    spin_until(&is_released, 1);
    return weft_reply(A(late));
}

static const weft_gen_server plain_server = {.handle_call = plain_call};

static weft_pid plain(void)
{
    return weft_must(weft_gen_server_start(&plain_server, weft_none));
}

static weft_term calls_in_a_row(weft_term server)
{
    weft_term value = weft_int(0);

    for (int i = 0; i < scaled(20000); i++) {
        WEFT_SCOPE;

        value = weft_gen_server_call(server, value, BOUND_MS);
        if (i % 7 == 0)
            check_term(weft_gen_server_call(server, weft_tuple(weft_int(i)), BOUND_MS), weft_tuple(A(got), weft_int(i)));
    }
    return value;
}

PROCESS_TEST(many_clients_count_by_one_server, "GS-14 GS-62")
{
    enum { CLIENTS = 32 };
    weft_pid server = plain();
    weft_task tasks[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        tasks[i] = weft_task_async(calls_in_a_row, server);
    for (int i = 0; i < CLIENTS; i++)
        check_term(weft_task_await(tasks[i], 3 * BOUND_MS), weft_int(scaled(20000)));
    weft_kill(server);
}

/* -- who runs beside two that call each other all the time ------------------------- */

static _Atomic int n_heard, n_loops, n_calls;
static weft_pid listener;

static weft_term hears(weft_term sticky)
{
    weft_term message;

    atomic_fetch_add(&n_loops, 1);
    weft_receive(weft_any, WEFT_INFINITY, &message);
    atomic_fetch_add(&n_heard, 1);
    return sticky;
}

static weft_term calls_until_heard(weft_term server)
{
    atomic_fetch_add(&n_loops, 1);
    for (int64_t end = now_ms() + BOUND_MS; atomic_load(&n_heard) == 0 && now_ms() < end;) {
        WEFT_SCOPE;

        check_term(weft_gen_server_call(server, weft_int(1), BOUND_MS), weft_int(2));
        atomic_fetch_add(&n_calls, 1);
    }
    return A(ok);
}

static void *sends_from_outside(void *unused)
{
    (void)unused;
    spin_until(&n_calls, 1000);
    weft_send(listener, A(hello));
    return NULL;
}

static weft_term is_heard_from_outside(weft_term sticky)
{
    weft_pid server = plain();
    pthread_t sender;

    listener = weft_spawn(hears, sticky, .sticky = weft_eq(sticky, A(true)));
    while (atomic_load(&n_loops) == 0)
        weft_yield();
    check_int(pthread_create(&sender, NULL, sends_from_outside, NULL), 0);
    calls_until_heard(server);
    pthread_join(sender, NULL);
    check_int(atomic_load(&n_heard), 1);
    weft_kill(server);
    return A(ok);
}

static weft_term a_plain_one_is_heard(weft_term unused)
{
    (void)unused;
    return is_heard_from_outside(A(false));
}

static weft_term a_sticky_one_is_heard(weft_term unused)
{
    (void)unused;
    return is_heard_from_outside(A(true));
}

TEST_WITH(whom_a_foreign_thread_wakes_runs_beside_two_that_call_each_other, .rules = "GS-62")
{
    run_in_runtime(a_plain_one_is_heard, .workers = 1);
}

TEST_WITH(a_sticky_one_runs_beside_two_that_call_each_other, .rules = "GS-62")
{
    run_in_runtime(a_sticky_one_is_heard, .workers = 1);
}

/* -- what comes to one that calls all the time ------------------------------------------ */

enum { LONG = 100 };
static uint64_t n_long;
static weft_pid busy;

static void *floods_from_outside(void *unused)
{
    (void)unused;
    spin_until(&n_calls, 1000);
    for (int i = 0; i < 2 * LONG; i++)
        weft_send(busy, A(more));
    spin_until(&n_calls, atomic_load(&n_calls) + 1000);
    weft_long_queues(&n_long);
    atomic_store(&n_heard, 1);
    return NULL;
}

static weft_term is_known_to_have_a_long_mailbox(weft_term unused)
{
    weft_pid server = plain();
    pthread_t sender;

    (void)unused;
    busy = weft_self();
    check_int(pthread_create(&sender, NULL, floods_from_outside, NULL), 0);
    calls_until_heard(server);
    pthread_join(sender, NULL);
    check_uint(n_long, 1);
    weft_kill(server);
    return A(ok);
}

TEST_WITH(messages_for_one_that_only_calls_are_counted, .rules = "GS-14")
{
    run_in_runtime(is_known_to_have_a_long_mailbox, .workers = 1, .long_queue = LONG);
}

PROCESS_TEST(a_caller_times_out_while_its_server_keeps_the_worker, "GS-15 PROC-19")
{
    weft_pid server = plain();
    weft_term result = weft_none;

    check_term(weft_gen_server_call(server, weft_int(1), BOUND_MS), weft_int(2));
    check(!weft_gen_server_try_call(server, A(spin), 20, &result));
    check_term(result, A(timeout));
    await_count(&n_spinning, 1);
    atomic_store(&is_released, 1);
    check_term(weft_gen_server_call(server, weft_int(1), BOUND_MS), weft_int(2));
    expect_no_message(weft_any);
    weft_kill(server);
}

/* Keeps its worker, then waits for :over, which its caller sends when its time is
 * over: too long after, had that begun to run only when the server waits. */
static weft_result computes_and_waits(struct scripted *self, weft_term arg, weft_from from)
{
    (void)from;
    for (int64_t end = now_ms() + weft_to_int(arg); now_ms() < end;)
        continue;
    self->n = weft_receive(A(over), 1200, NULL);
    return weft_noreply();
}

static weft_term times_out_from_the_begin(weft_term unused)
{
    weft_pid server = scripted();
    weft_term result = weft_none;

    (void)unused;
    check(!weft_gen_server_try_call(server, script_of(computes_and_waits, weft_int(1700)), 1500, &result));
    check_term(result, A(timeout));
    weft_send(server, A(over));
    check_term(run_call(server, counts_up, A(nil)), weft_int(2)); /* it got it */
    weft_kill(server);
    return A(ok);
}

TEST_WITH(the_time_of_a_call_runs_while_its_server_keeps_the_worker, .rules = "GS-15 PROC-19")
{
    run_in_runtime(times_out_from_the_begin, .workers = 1, .max_hogs = 0);
}

static weft_term asks_to_spin(weft_term server)
{
    return weft_gen_server_call(server, A(spin), WEFT_INFINITY);
}

PROCESS_TEST(a_caller_is_killed_while_its_server_keeps_the_worker, "GS-20 PROC-19")
{
    weft_pid server = plain(), caller;

    caller = weft_spawn(asks_to_spin, server);
    await_count(&n_spinning, 1);
    weft_kill(caller);
    await_end(caller);
    atomic_store(&is_released, 1);
    check_term(weft_gen_server_call(server, weft_int(1), BOUND_MS), weft_int(2));
    weft_kill(server);
}

static weft_term calls_through(weft_term arg)
{
    for (int i = 0; i < scaled(5000); i++)
        check_term(weft_gen_server_call(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1), BOUND_MS), weft_int(3));
    return A(ok);
}

PROCESS_TEST(a_server_that_asks_another_in_its_callback_answers_too, "GS-14")
{
    enum { CLIENTS = 4 };
    weft_pid first = plain(), second = plain();
    weft_task tasks[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        tasks[i] = weft_task_async(calls_through, weft_tuple(first, second));
    for (int i = 0; i < CLIENTS; i++)
        check_term(weft_task_await(tasks[i], 3 * BOUND_MS), A(ok));
    weft_kill(first);
    weft_kill(second);
}

static weft_term calls_without_end(weft_term server)
{
    for (;;)
        calls_in_a_row(server);
    return server;
}

PROCESS_TEST(a_server_that_is_killed_while_it_runs_for_its_caller_ends_the_call, "GS-15 PROC-14")
{
    for (int i = 0; i < scaled(500); i++) {
        weft_pid server = plain();
        weft_ref down;

        weft_spawn(calls_without_end, server, .monitor = &down);
        pass_time(i % 16);
        weft_kill(server);
        check_fits(await_down(down), weft_tuple(weft_any, weft_any));
    }
}

static _Atomic int n_turns;

static weft_term takes_turns(weft_term arg)
{
    for (;;) {
        atomic_fetch_add(&n_turns, 1);
        weft_yield();
    }
    return arg;
}

static weft_term calls_beside_another(weft_term arg)
{
    weft_pid server = plain(), other = weft_spawn(takes_turns, weft_none);
    int before;

    weft_yield();
    before = atomic_load(&n_turns);
    for (int i = 0; i < 10000; i++)
        weft_gen_server_call(server, weft_int(i), BOUND_MS);
    check_ge(atomic_load(&n_turns) - before, 10000 / 16);
    weft_kill(other);
    weft_kill(server);
    return arg;
}

TEST_WITH(who_calls_without_an_end_leaves_others_their_turns, .rules = "GS-62")
{
    run_in_runtime(calls_beside_another, .workers = 1);
}

/* -- a signal on the way to rest ------------------------------------------------------- */

static weft_init_result traps_init(weft_term arg)
{
    weft_trap_exit(true);
    return weft_init_ok(weft_to_pointer(arg));
}

static weft_result traps_cast(void *state, weft_term client)
{
    (void)state;
    weft_send(client, A(served));
    return weft_noreply();
}

/* Tells who sent the exit signal. */
static weft_result traps_info(void *state, weft_term message)
{
    weft_term from = weft_none, reason = weft_none;

    (void)state;
    if (weft_match(message, weft_tuple(A(EXIT), weft_bind(&from), weft_bind(&reason))))
        weft_send(from, reason);
    return weft_noreply();
}

static const weft_gen_server trapping = {.init = traps_init, .handle_cast = traps_cast, .handle_info = traps_info};

static _Atomic int turn; /* which one is under way; -1: none comes */

/* In each turn one cast, of which the server goes to rest on this worker. */
static weft_term do_cast_in_each_turn(weft_term server)
{
    for (int now, seen = 0; (now = atomic_load(&turn)) >= 0;) {
        if (now == seen) {
            weft_yield();
            continue;
        }
        seen = now;
        weft_gen_server_cast(server, weft_self());
        expect_message(A(served));
    }
    return A(ok);
}

/* A server that has found nothing in its mailbox and is about to wait looks for signals
 * once more: what it takes in then is not to lie there until something else comes. */
PROCESS_TEST(a_trapped_exit_that_meets_a_server_going_to_rest_is_handled, "PROC-16")
{
    static int nothing;
    weft_pid server = weft_must(weft_gen_server_start(&trapping, weft_pointer(&nothing)));
    weft_pid caster = puppet_start();
    uint64_t random = 1;
    int n = scaled(300000);

    tell(caster, do_cast_in_each_turn, server);
    for (int i = 1; i <= n; i++) {
        WEFT_SCOPE;

        random = random * 6364136223846793005 + 1442695040888963407;
        atomic_store(&turn, i);
        for (uint64_t spin = random >> 54; spin > 0; spin--)
            atomic_signal_fence(memory_order_seq_cst);
        weft_exit_signal(server, weft_int(i));
        if (!check(weft_receive(weft_int(i), BOUND_MS, NULL)))
            break;
    }
    atomic_store(&turn, -1);
    puppet_stop(caster);
    weft_gen_server_stop(server, A(normal), BOUND_MS);
}

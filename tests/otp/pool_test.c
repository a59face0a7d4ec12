/* pool_test.c - who has a resource, who waits, and what comes back however it was left. */
#include <time.h>

#include "proc/process_test.h"

#include "weft/gen_server.h"
#include "weft/pool.h"
#include "weft/supervisor.h"
#include "weft/sys.h"

static _Atomic int n_opened, n_closed, n_checked, n_refused;
static _Atomic int may_open = 1, is_good = 1;

/* -- resources: numbers, and processes ------------------------------------------------ */

static bool number_open(weft_term arg, weft_pid pool, weft_term *resource)
{
    (void)pool;
    if (!atomic_load(&may_open)) {
        atomic_fetch_add(&n_refused, 1);
        *resource = A(refused);
        return false;
    }
    *resource = weft_tuple(arg, weft_int(atomic_fetch_add(&n_opened, 1)));
    return true;
}

static bool number_check(weft_term resource)
{
    (void)resource;
    atomic_fetch_add(&n_checked, 1);
    return atomic_load(&is_good);
}

static void number_close(weft_term resource)
{
    (void)resource;
    atomic_fetch_add(&n_closed, 1);
}

static const weft_pool_resource number = {.open = number_open, .close = number_close};
static const weft_pool_resource checked = {.open = number_open, .check = number_check, .close = number_close};

static bool worker_open(weft_term arg, weft_pid pool, weft_term *resource)
{
    (void)arg, (void)pool;
    atomic_fetch_add(&n_opened, 1);
    *resource = puppet_start();
    return true;
}

static const weft_pool_resource worker = {.open = worker_open};

static bool crash_open(weft_term arg, weft_pid pool, weft_term *resource)
{
    if (atomic_fetch_add(&n_refused, 1) < 2)
        weft_exit(A(crashed));
    return number_open(arg, pool, resource);
}

static const weft_pool_resource crashing = {.open = crash_open};

/* -- clients ----------------------------------------------------------------------------- */

static weft_term do_checkout(weft_term timeout_ms)
{
    return weft_pool_checkout(A(pool), weft_to_int(timeout_ms));
}

static weft_term do_checkin(weft_term resource)
{
    weft_pool_checkin(A(pool), resource);
    return A(ok);
}

static weft_term take_one(weft_pid puppet)
{
    return ask(puppet, do_checkout, weft_int(BOUND_MS));
}

/* Sends {:got, self, resource} and keeps it until told :give_back. */
static weft_term waits_for_one(weft_term to)
{
    weft_term resource = weft_pool_checkout(A(pool), BOUND_MS);

    weft_send(to, weft_tuple(A(got), weft_self(), resource));
    weft_receive(A(give_back), WEFT_INFINITY, NULL);
    weft_pool_checkin(A(pool), resource);
    weft_send(to, weft_tuple(A(gave), weft_self()));
    return A(ok);
}

static bool counts_are(int64_t idle, int64_t in_use, int64_t waiting)
{
    weft_pool_counts counts;

    return weft_pool_status(A(pool), &counts) && counts.idle == idle && counts.in_use == in_use &&
           counts.waiting == waiting;
}

/* The pool hears of some things by messages of others. */
#define await_counts(idle, in_use, waiting) await_counts_at((idle), (in_use), (waiting), TAP_HERE)
static void await_counts_at(int64_t idle, int64_t in_use, int64_t waiting, const char *file, int line)
{
    int64_t until_ms = now_ms() + BOUND_MS;

    while (!counts_are(idle, in_use, waiting) && now_ms() < until_ms)
        weft_yield();
    if (!tap_check(counts_are(idle, in_use, waiting), "the pool's counts", file, line)) {
        weft_pool_counts counts = {0, 0, 0, 0, 0};

        weft_pool_status(A(pool), &counts);
        diag("  idle %lld, in use %lld, waiting %lld, opening %lld", (long long)counts.idle,
             (long long)counts.in_use, (long long)counts.waiting, (long long)counts.opening);
    }
}

#define start(kind, ...) weft_must(weft_pool_start_link((kind), A(arg), .name = A(pool), __VA_ARGS__))

/* A client that waits in the queue: n are then. */
static weft_pid waiter(int64_t idle, int64_t in_use, int64_t n)
{
    weft_pid pid = weft_spawn(waits_for_one, weft_self());

    await_counts(idle, in_use, n);
    return pid;
}

static weft_term expect_got(weft_pid pid)
{
    weft_term resource = weft_none;

    expect_message(weft_tuple(A(got), pid, weft_bind(&resource)));
    return resource;
}

/* -- the plain way -------------------------------------------------------------------------- */

PROCESS_TEST(a_pool_opens_its_resources_and_hands_them_out_one_each)
{
    weft_term first, second;

    start(&number, .capacity = 2);
    await_counts(2, 0, 0);
    first = weft_pool_checkout(A(pool), BOUND_MS);
    second = weft_pool_checkout(A(pool), BOUND_MS);
    check(!weft_eq(first, second));
    check_term(weft_tuple_at(first, 0), A(arg));
    check(counts_are(0, 2, 0));
    weft_pool_checkin(A(pool), first);
    weft_pool_checkin(A(pool), second);
    check(counts_are(2, 0, 0));
    check_term(weft_pool_checkout(A(pool), BOUND_MS), second); /* the one used last */
    check_int(n_opened, 2);
    check_int(n_closed, 0);
}

static weft_pid await_opener(void)
{
    weft_pid opener = weft_none;

    while (weft_is_none(opener))
        weft_receive(weft_tuple(A(opener), weft_bind(&opener)), WEFT_INFINITY, NULL);
    return opener;
}

/* arg: who is told, and says when it is open. */
static bool told_open(weft_term arg, weft_pid pool, weft_term *resource)
{
    weft_send(arg, weft_tuple(A(opener), weft_self()));
    weft_receive(A(open), WEFT_INFINITY, NULL);
    return number_open(arg, pool, resource);
}

static const weft_pool_resource told = {.open = told_open, .close = number_close};

PROCESS_TEST(what_was_opened_while_the_pool_ended_is_closed)
{
    weft_pid pool, opener;
    weft_ref down, gone;

    weft_trap_exit(true);
    pool = weft_must(weft_pool_start_link(&told, weft_self(), .capacity = 1));
    opener = await_opener();
    down = weft_monitor(opener);
    weft_sys_suspend(pool, BOUND_MS); /* it will not see that it is open */
    weft_send(opener, A(open));
    for (int64_t until_ms = now_ms() + BOUND_MS; atomic_load(&n_opened) == 0 && now_ms() < until_ms;)
        weft_yield();
    gone = weft_monitor(pool);
    weft_gen_server_stop(pool, A(shutdown), BOUND_MS);
    await_down(gone);
    await_down(down);
    for (int64_t until_ms = now_ms() + BOUND_MS; atomic_load(&n_closed) == 0 && now_ms() < until_ms;)
        weft_yield();
    check_int(atomic_load(&n_opened), 1);
    check_int(atomic_load(&n_closed), 1);
}

PROCESS_TEST(a_lazy_pool_opens_one_when_it_is_needed)
{
    weft_pool_counts counts;

    start(&number, .capacity = 3, .lazy = true);
    check(weft_pool_status(A(pool), &counts));
    check_int(counts.opening, 0);
    weft_pool_checkin(A(pool), weft_pool_checkout(A(pool), BOUND_MS));
    weft_pool_checkin(A(pool), weft_pool_checkout(A(pool), BOUND_MS));
    check_int(n_opened, 1);
}

PROCESS_TEST(a_pool_is_a_child_of_a_supervisor)
{
    weft_child_spec children[] = {weft_pool_child(&number, A(arg), .name = A(pool), .capacity = 1)};
    weft_pid sup = weft_must(weft_supervisor_start_link(children, 1, .strategy = WEFT_ONE_FOR_ONE));

    check_term(children[0].id, A(pool));
    weft_pool_checkin(A(pool), weft_pool_checkout(A(pool), BOUND_MS));
    weft_supervisor_stop(sup, weft_none, BOUND_MS);
    check_int(n_closed, 1);
}

/* -- waiting --------------------------------------------------------------------------------- */

PROCESS_TEST(clients_that_wait_are_served_in_the_order_of_coming)
{
    weft_pid pids[10];
    weft_term resource;

    start(&number, .capacity = 1);
    resource = weft_pool_checkout(A(pool), BOUND_MS);
    for (size_t i = 0; i < COUNT(pids); i++)
        pids[i] = waiter(0, 1, (int64_t)i + 1);
    weft_pool_checkin(A(pool), resource);
    for (size_t i = 0; i < COUNT(pids); i++) {
        check_term(expect_got(pids[i]), resource);
        check_int(weft_message_queue_len(), 0);
        weft_send(pids[i], A(give_back));
        expect_message(weft_tuple(A(gave), pids[i]));
    }
    check(counts_are(1, 0, 0));
}

static weft_term checks_out_in_5_ms(weft_term arg)
{
    weft_pool_checkout(A(pool), 5);
    return arg;
}

PROCESS_TEST(a_time_that_is_over_exits_or_is_reported_and_leaves_nothing)
{
    weft_term resource, out = weft_none;
    weft_ref down;

    start(&number, .capacity = 1);
    resource = weft_pool_checkout(A(pool), BOUND_MS);
    check(!weft_pool_try_checkout(A(pool), 0, &out));
    check_term(out, A(timeout));
    check(!weft_pool_try_checkout(A(pool), 5, &out));
    check_term(out, A(timeout));
    weft_spawn(checks_out_in_5_ms, A(x), .monitor = &down);
    check_term(await_down(down),
               weft_tuple(A(timeout), weft_tuple(A(Pool), A(checkout), weft_list(A(pool), weft_int(5)))));
    check(counts_are(0, 1, 0));
    weft_pool_checkin(A(pool), resource);
    check(counts_are(1, 0, 0));
    check(weft_pool_try_checkout(A(pool), 0, &out));
}

PROCESS_TEST(a_waiter_that_ends_is_passed_over)
{
    weft_term resource;
    weft_pid first, second;

    start(&number, .capacity = 1);
    resource = weft_pool_checkout(A(pool), BOUND_MS);
    first = waiter(0, 1, 1);
    second = waiter(0, 1, 2);
    weft_kill(first);
    await_counts(0, 1, 1);
    weft_pool_checkin(A(pool), resource);
    check_term(expect_got(second), resource);
}

/* -- overflow ---------------------------------------------------------------------------------- */

PROCESS_TEST(overflow_is_opened_for_those_who_wait_and_closed_after_them)
{
    weft_term taken[3];

    start(&number, .capacity = 1, .max_overflow = 2);
    for (int i = 0; i < 3; i++)
        taken[i] = weft_pool_checkout(A(pool), BOUND_MS);
    check_int(n_opened, 3);
    waiter(0, 3, 1);
    check_int(n_opened, 3);
    for (int i = 0; i < 3; i++)
        weft_pool_checkin(A(pool), taken[i]);
    await_count(&n_closed, 2);
    check(counts_are(0, 1, 0));
    check_int(n_opened, 3);
}

/* -- clients that end ----------------------------------------------------------------------------- */

PROCESS_TEST(what_a_client_held_that_ended_is_closed_and_opened_anew)
{
    weft_pid client = puppet_start();
    weft_term resource;

    start(&number, .capacity = 1);
    resource = take_one(client);
    weft_kill(client);
    check(!weft_eq(weft_pool_checkout(A(pool), BOUND_MS), resource));
    await_count(&n_closed, 1);
    check_int(n_opened, 2);
}

PROCESS_TEST(what_a_client_held_that_ended_is_checked_when_it_can_be)
{
    weft_pid client = puppet_start();
    weft_term resource;

    start(&checked, .capacity = 1);
    resource = take_one(client);
    check_int(n_checked, 0);
    weft_kill(client);
    check_term(weft_pool_checkout(A(pool), BOUND_MS), resource);
    check_int(n_checked, 1);
    weft_pool_checkin(A(pool), resource);
    check_term(weft_pool_checkout(A(pool), BOUND_MS), resource);
    check_int(n_checked, 1);
}

static bool second_is_good(weft_term resource)
{
    return weft_to_int(weft_tuple_at(resource, 1)) > 0;
}

static const weft_pool_resource first_is_bad = {
    .open = number_open, .check = second_is_good, .close = number_close};

PROCESS_TEST(one_that_fails_its_check_is_replaced_before_anybody_has_it)
{
    weft_term resource;

    start(&first_is_bad, .capacity = 1, .check_after_ms = 0);
    await_counts(1, 0, 0);
    resource = weft_pool_checkout(A(pool), BOUND_MS);
    check_term(weft_tuple_at(resource, 1), weft_int(1));
    await_count(&n_closed, 1);
    check(counts_are(0, 1, 0));
}

PROCESS_TEST(a_discarded_one_is_replaced)
{
    start(&number, .capacity = 1);
    weft_pool_discard(A(pool), weft_pool_checkout(A(pool), BOUND_MS));
    check_term(weft_tuple_at(weft_pool_checkout(A(pool), BOUND_MS), 1), weft_int(1));
    await_count(&n_closed, 1);
}

/* -- transactions ------------------------------------------------------------------------------------ */

static weft_term second_part(weft_term resource, void *arg)
{
    *(int *)arg += 1;
    return weft_tuple_at(resource, 1);
}

static weft_term exits(weft_term resource, void *arg)
{
    (void)resource, (void)arg;
    weft_exit(A(gone));
}

static weft_term discards(weft_term resource, void *arg)
{
    (void)arg;
    weft_pool_discard(A(pool), resource);
    return A(discarded);
}

static weft_term exits_in_transaction(weft_term arg)
{
    return weft_pool_transaction(A(pool), BOUND_MS, exits, NULL), arg;
}

static weft_started start_exits_in_transaction(weft_term arg)
{
    weft_pool_transaction(A(pool), BOUND_MS, exits, NULL);
    return weft_started_error(arg);
}

PROCESS_TEST(a_transaction_gives_back_however_its_function_ends)
{
    weft_pid sup = weft_must(weft_supervisor_start_link(NULL, 0, .strategy = WEFT_ONE_FOR_ONE));
    weft_term result = weft_none;
    weft_ref down;
    int n = 0;

    start(&checked, .capacity = 1);
    check_term(weft_pool_transaction(A(pool), BOUND_MS, second_part, &n), weft_int(0));
    check_int(n, 1);
    check(counts_are(1, 0, 0));
    weft_spawn(exits_in_transaction, A(x), .monitor = &down);
    check_term(await_down(down), A(gone));
    await_counts(1, 0, 0);
    /* In a process that lives on. */
    check(!weft_supervisor_start_child(sup, weft_child(.id = A(a), .start = start_exits_in_transaction,
                                                       .arg = A(x))).ok);
    await_counts(1, 0, 0);
    check(weft_is_alive(sup));
    check(weft_pool_try_transaction(A(pool), BOUND_MS, discards, NULL, &result));
    check_term(result, A(discarded));
    await_counts(1, 0, 0);
    check_int(n_opened, 2);
}

/* -- processes as resources --------------------------------------------------------------------------- */

PROCESS_TEST(a_worker_that_ends_is_replaced_idle_or_in_use)
{
    weft_pid first, second;

    start(&worker, .capacity = 1);
    first = weft_pool_checkout(A(pool), BOUND_MS);
    check(weft_is_alive(first));
    weft_kill(first);
    await_counts(1, 0, 0);
    second = weft_pool_checkout(A(pool), BOUND_MS);
    check(!weft_eq(first, second));
    weft_pool_checkin(A(pool), second);
    weft_exit_signal(second, A(shutdown));
    await_end(second);
    await_count(&n_opened, 3);
    await_counts(1, 0, 0);
}

PROCESS_TEST(a_worker_stays_when_its_client_ends_and_goes_with_the_pool)
{
    weft_pid client = puppet_start(), it;
    weft_ref down;

    start(&worker, .capacity = 1);
    it = take_one(client);
    weft_kill(client);
    check_term(weft_pool_checkout(A(pool), BOUND_MS), it);
    down = weft_monitor(it);
    weft_gen_server_stop(A(pool), weft_none, BOUND_MS);
    check_term(await_down(down), A(shutdown));
    check_int(n_opened, 1);
}

/* -- opening that fails ---------------------------------------------------------------------------------- */

PROCESS_TEST(what_cannot_be_opened_is_tried_again_while_clients_wait)
{
    weft_pool_counts counts;

    atomic_store(&may_open, 0);
    start(&number, .capacity = 1, .retry_ms = 1);
    waiter(0, 0, 1);
    await_count(&n_refused, 3);
    check(weft_pool_status(A(pool), &counts));
    check_int(counts.waiting, 1);
    check(counts.failures >= 2);
    atomic_store(&may_open, 1);
    await_counts(0, 1, 0);
    check(weft_pool_status(A(pool), &counts));
    check_int(counts.failures, 0);
}

PROCESS_TEST(an_opener_that_crashes_is_missed)
{
    start(&crashing, .capacity = 1, .retry_ms = 1);
    check_term(weft_tuple_at(weft_pool_checkout(A(pool), BOUND_MS), 1), weft_int(0));
    check_int(n_refused, 3);
}

/* -- many ------------------------------------------------------------------------------- */

static int64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What it costs to give n of N resources back, those first that were taken first, of
 * the process's time: it runs one worker, and its watchdog. */
static int64_t cost_of_checkins(weft_term *taken, int n)
{
    int64_t begin = cpu_ns();

    for (int i = 0; i < n; i++)
        weft_pool_checkin(A(pool), taken[i]);
    return cpu_ns() - begin;
}

static weft_term gives_back_many_and_few(weft_term arg)
{
    enum { MANY = 8000, FEW = 500 };
    static weft_term taken[MANY];
    int64_t first, last;

    start(&number, .capacity = MANY);
    await_counts(MANY, 0, 0);
    for (int i = 0; i < MANY; i++)
        taken[i] = weft_pool_checkout(A(pool), BOUND_MS);
    first = cost_of_checkins(taken, FEW); /* all but all are leased */
    cost_of_checkins(taken + FEW, MANY - 2 * FEW);
    last = cost_of_checkins(taken + MANY - FEW, FEW);
    check_lt(first, 8 * last);
    await_counts(MANY, 0, 0);
    return arg;
}

TEST(a_checkin_costs_the_same_however_many_are_leased)
{
    run_in_runtime(gives_back_many_and_few, .workers = 1);
}

static weft_term ends_many_workers(weft_term arg)
{
    enum { MANY = 1000 };
    static weft_term taken[MANY];

    start(&worker, .capacity = MANY);
    await_counts(MANY, 0, 0);
    for (int i = 0; i < MANY; i++)
        taken[i] = weft_pool_checkout(A(pool), BOUND_MS);
    for (int i = 0; i < MANY; i += 2)
        weft_pool_checkin(A(pool), taken[i]);
    for (int i = 0; i < MANY; i += 3)
        weft_kill(taken[i]);
    for (int i = 0; i < MANY; i += 3)
        await_end(taken[i]);
    await_count(&n_opened, MANY + (MANY + 2) / 3);
    await_counts(MANY / 2 + MANY / 6 + 1, MANY / 2 - MANY / 6 - 1, 0);
    return arg;
}

TEST(of_many_workers_each_that_ends_is_missed)
{
    run_in_runtime(ends_many_workers, .workers = test_workers());
}

static weft_pid the_same;

static bool same_open(weft_term arg, weft_pid pool, weft_term *resource)
{
    (void)arg, (void)pool;
    atomic_fetch_add(&n_opened, 1);
    *resource = the_same;
    return true;
}

static const weft_pool_resource same = {.open = same_open};

PROCESS_TEST(a_worker_that_was_opened_twice_is_given_back_twice_and_goes_as_one)
{
    weft_pid first = puppet_start();
    weft_term resource;

    the_same = first;
    start(&same, .capacity = 2);
    await_counts(2, 0, 0);
    for (int i = 0; i < 2; i++) {
        check_term(weft_pool_checkout(A(pool), BOUND_MS), first);
        check_term(weft_pool_checkout(A(pool), BOUND_MS), first);
        weft_pool_checkin(A(pool), first);
        weft_pool_checkin(A(pool), first);
    }
    resource = weft_pool_checkout(A(pool), BOUND_MS);
    the_same = puppet_start();
    weft_kill(resource);
    await_count(&n_opened, 4);
    await_counts(2, 0, 0);
    check_term(weft_pool_checkout(A(pool), BOUND_MS), the_same);
}

/* -- mistakes ---------------------------------------------------------------------------------------------- */

static weft_term starts_with_capacity(weft_term n)
{
    weft_pool_start_link(&number, A(x), .capacity = weft_to_int(n));
    return n;
}

static weft_term starts_without_open(weft_term arg)
{
    static const weft_pool_resource nothing = {.name = "nothing"};

    weft_pool_start_link(&nothing, A(x), .capacity = 1);
    return arg;
}

static weft_term checks_out_of_a_number(weft_term arg)
{
    weft_pool_checkout(weft_int(7), BOUND_MS);
    return arg;
}

PROCESS_TEST(mistakes_are_named)
{
    weft_term out = weft_none;

    check_mistake(starts_with_capacity, weft_int(0), ".capacity is 0: from 1");
    check_mistake(starts_without_open, A(x), "no open function");
    check(!weft_pool_try_checkout(A(nowhere), BOUND_MS, &out));
    check_term(out, A(noproc));
    check_mistake(checks_out_of_a_number, A(x), "names no server");
    start(&number, .capacity = 1);
    check_mistake(do_checkin, A(nothing_of_it), "holds no such resource of this pool: :nothing_of_it");
}

/* spawn_test.c - making processes: what they are born with, how they end by
 * themselves, and that a pid is never used again. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/process_test.h"

/* -- starting ----------------------------------------------------------------------- */

static _Atomic int n_started;

static weft_term counts_itself(weft_term arg)
{
    (void)arg;
    atomic_fetch_add(&n_started, 1);
    return A(ok);
}

static weft_term spawns_and_looks(weft_term arg)
{
    int n_late = 0;

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_spawn(counts_itself, weft_none);
        n_late += atomic_load(&n_started) <= i;
    }
    /* A spawn that waited for its child would find each one started. */
    check_gt(n_late, 0);
    await_count(&n_started, 1000);
    return A(ok);
}

TEST(spawn_returns_before_the_child_has_run, "PROC-1")
{
    run_in_runtime(spawns_and_looks, .workers = 1);
}

static weft_term sends_back(weft_term arg)
{
    weft_send(weft_tuple_at(arg, 0), weft_tuple(weft_self(), weft_tuple_at(arg, 1)));
    return A(ok);
}

PROCESS_TEST(a_child_gets_a_copy_of_its_argument)
{
    weft_pid child;

    {
        WEFT_SCOPE;
        weft_term big = weft_list(weft_int(1), weft_str("two"), weft_float(3.0), weft_tuple(A(four)));

        child = weft_spawn(sends_back, weft_tuple(weft_self(), big));
    }
    {
        WEFT_SCOPE;

        /* Written over what the argument was built in. */
        for (int i = 0; i < 100; i++)
            weft_tuple(weft_int(i), weft_int(i), weft_int(i), weft_int(i));
    }
    expect_message(weft_tuple(child, weft_list(weft_int(1), weft_str("two"), weft_float(3.0),
                                               weft_tuple(A(four)))));
}

static _Atomic int none_seen;

static weft_term looks_for_none(weft_term arg)
{
    atomic_store(&none_seen, weft_is_none(arg) ? 1 : 2);
    return A(ok);
}

PROCESS_TEST(a_child_without_argument_gets_none)
{
    await_end(weft_spawn(looks_for_none, weft_none));
    check_int(atomic_load(&none_seen), 1);
}

static weft_term tells_self(weft_term parent)
{
    weft_send(parent, weft_tuple(A(self), weft_self()));
    return A(ok);
}

PROCESS_TEST(a_child_sees_the_pid_that_spawn_returned)
{
    weft_pid child = weft_spawn(tells_self, weft_self());

    check(weft_is_pid(child));
    check(!weft_eq(child, weft_self()));
    expect_message(weft_tuple(A(self), child));
}

/* Sum of the leaves of a tree of processes, ten children to each. */
static weft_term sums_a_tree(weft_term arg)
{
    weft_pid parent = weft_tuple_at(arg, 0);
    int64_t number = weft_to_int(weft_tuple_at(arg, 1));
    int64_t leaves = weft_to_int(weft_tuple_at(arg, 2));
    int64_t sum = 0;

    if (leaves == 1) {
        sum = number;
    } else {
        for (int64_t i = 0; i < 10; i++) {
            WEFT_SCOPE;
            weft_spawn(sums_a_tree, weft_tuple(weft_self(), weft_int(number + i * (leaves / 10)),
                                               weft_int(leaves / 10)));
        }
        for (int i = 0; i < 10; i++) {
            WEFT_SCOPE;
            int64_t part = 0;

            expect_message(weft_tuple(A(sum), weft_bind_int(&part)));
            sum += part;
        }
    }
    weft_send(parent, weft_tuple(A(sum), weft_int(sum)));
    return A(ok);
}

PROCESS_TEST(a_tree_of_processes_adds_up)
{
    int64_t leaves = SHARE == 1 ? 100000 : 1000, sum = 0;

    weft_spawn(sums_a_tree, weft_tuple(weft_self(), weft_int(0), weft_int(leaves)));
    expect_message(weft_tuple(A(sum), weft_bind_int(&sum)));
    check_int(sum, leaves * (leaves - 1) / 2);
}

PROCESS_TEST(ten_thousand_processes_live_at_once)
{
    int n = scaled(10000);
    weft_pid *pids = weft_alloc((size_t)n * sizeof *pids);

    for (int i = 0; i < n; i++)
        pids[i] = puppet_start();
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        if (!check_int(weft_to_int(ask(pids[i], do_nothing, weft_int(i))), i))
            return;
    }
    for (int i = 0; i < n; i++)
        puppet_stop(pids[i]);
}

/* -- ending by itself ------------------------------------------------------------------ */

static weft_term returns_a_tuple(weft_term arg)
{
    return weft_tuple(A(dropped), arg);
}

PROCESS_TEST(a_function_that_returns_ends_its_process_with_normal, "PROC-3")
{
    weft_ref down;

    weft_spawn(returns_a_tuple, weft_int(1), .monitor = &down);
    check_term(await_down(down), A(normal));
    expect_no_message(weft_any); /* what it returned went nowhere */
}

PROCESS_TEST(exit_ends_a_process_with_exactly_the_reason, "PROC-4")
{
    const weft_term reasons[] = {
        A(normal), A(shutdown), weft_tuple(A(shutdown), weft_str("why")), A(kill), A(killed),
        A(boom), weft_int(INT64_MIN), weft_float(0.5), weft_empty_list,
        weft_map(A(key), weft_list(weft_int(1), weft_str("text"))), weft_self(),
    };

    for (size_t i = 0; i < COUNT(reasons); i++) {
        weft_ref down;

        weft_spawn(ends_with, reasons[i], .monitor = &down);
        check_term(await_down(down), reasons[i]);
    }
}

static weft_term errs_with(weft_term what)
{
    weft_error(what);
}

PROCESS_TEST(error_ends_a_process_with_the_reason_and_a_trace, "PROC-4")
{
    const weft_term reasons[] = { A(boom), A(normal), A(kill), weft_tuple(A(badarg), weft_str("x")) };

    for (size_t i = 0; i < COUNT(reasons); i++) {
        weft_ref down;

        weft_spawn(errs_with, reasons[i], .monitor = &down);
        check_fits(await_down(down), weft_tuple(reasons[i], weft_any));
    }
}

static weft_term exits_from_deep_inside(weft_term depth)
{
    int64_t left = weft_to_int(depth);

    /* A pointer that changes is one the compiler does not see through: it
     * warns of a recursion without end otherwise. */
    weft_fn *volatile next = left > 0 ? exits_from_deep_inside : ends_with;

    next(left > 0 ? weft_int(left - 1) : A(from_below));
    return A(came_back);
}

PROCESS_TEST(exit_never_returns_however_deep_it_is_called, "PROC-4")
{
    weft_ref down;

    weft_spawn(exits_from_deep_inside, weft_int(100), .monitor = &down);
    check_term(await_down(down), A(from_below));
}

/* -- linked and monitored from the start ------------------------------------------------- */

PROCESS_TEST(a_linked_child_that_dies_at_once_is_heard_of_once, "PROC-5")
{
    int n = scaled(5000);

    weft_trap_exit(true);
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_pid child = weft_spawn(ends_with, weft_int(i), .link = true);
        weft_term reason = weft_none;

        expect_message(weft_tuple(A(EXIT), child, weft_bind(&reason)));
        if (!check_term(reason, weft_int(i)))
            return;
    }
    expect_no_message(weft_any);
}

PROCESS_TEST(a_monitored_child_that_dies_at_once_is_heard_of_once, "PROC-6")
{
    int n = scaled(5000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_pid child = weft_spawn(ends_with, weft_int(i), .monitor = &down);
        weft_term message = expect_message(weft_tuple(A(DOWN), weft_any, weft_any, weft_any, weft_any));

        if (!check_term(message, weft_tuple(A(DOWN), down, A(process), child, weft_int(i))))
            return;
    }
    expect_no_message(weft_any);
}

PROCESS_TEST(a_child_can_be_linked_and_monitored_in_one_step, "PROC-7")
{
    weft_ref down = weft_none;
    weft_pid child;

    weft_trap_exit(true);
    child = weft_spawn(ends_with, A(boom), .link = true, .monitor = &down);
    check(weft_is_ref(down));
    expect_message(weft_tuple(A(EXIT), child, A(boom)));
    check_term(await_down(down), A(boom));
    expect_no_message(weft_any);
}

PROCESS_TEST(without_options_a_child_is_neither_linked_nor_monitored)
{
    weft_pid child = weft_spawn(ends_with, A(boom));

    await_end(child);
    expect_no_message(weft_any);
}

/* -- what a new process has ------------------------------------------------------------------ */

static weft_term do_describe(weft_term arg)
{
    (void)arg;
    return weft_list(weft_bool(weft_trap_exit(false)),
                     weft_dict_get(A(inherited), A(no_value)),
                     info_of(weft_self(), A(registered_name)),
                     info_of(weft_self(), A(priority)));
}

PROCESS_TEST(trapping_name_dictionary_and_priority_are_not_inherited, "PROC-7")
{
    weft_pid parent = weft_spawn(puppet_run, weft_none, .priority = WEFT_HIGH);
    weft_pid child;

    ask(parent, do_trap, A(true));
    weft_register(A(a_parents_name), parent);

    /* The test's own process has the dictionary, the puppet the priority. */
    weft_trap_exit(true);
    weft_dict_put(A(inherited), weft_int(1));
    weft_register(A(the_tests_name), weft_self());
    child = puppet_start();
    check_term(ask(child, do_describe, A(nil)),
               weft_list(A(false), A(no_value), weft_empty_list, A(normal)));
    check_term(info_of(parent, A(priority)), A(high));
    puppet_stop(parent);
}

static weft_term do_spawn_a_puppet(weft_term arg)
{
    (void)arg;
    return puppet_start();
}

PROCESS_TEST(a_child_of_a_process_with_high_priority_has_the_normal_one, "PROC-7")
{
    weft_pid parent = weft_spawn(puppet_run, weft_none, .priority = WEFT_HIGH);
    weft_pid child = ask(parent, do_spawn_a_puppet, A(nil));

    check_term(info_of(child, A(priority)), A(normal));
}

PROCESS_TEST(a_process_of_each_priority_runs)
{
    weft_ref downs[3];

    weft_spawn(ends_with, A(high), .priority = WEFT_HIGH, .monitor = &downs[0]);
    weft_spawn(ends_with, A(normal), .priority = WEFT_NORMAL, .monitor = &downs[1]);
    weft_spawn(ends_with, A(low), .priority = WEFT_LOW, .monitor = &downs[2]);
    check_term(await_down(downs[0]), A(high));
    check_term(await_down(downs[1]), A(normal));
    check_term(await_down(downs[2]), A(low));
}

/* -- the other options ------------------------------------------------------------------------- */

/* Touch about n KiB of stack, and give way at its bottom. */
__attribute__((noinline))
static int64_t fills_stack(int64_t n)
{
    volatile char frame[1024];

    for (size_t i = 0; i < sizeof frame; i += 64)
        frame[i] = (char)n;
    if (n == 0)
        weft_yield();
    return (n > 0 ? fills_stack(n - 1) : 0) + (frame[0] == (char)n);
}

static weft_term uses_stack(weft_term kib)
{
    int64_t n = weft_to_int(kib);

    weft_exit(weft_int(fills_stack(n)));
}

PROCESS_TEST(a_process_has_the_stack_it_asked_for)
{
    /* KiB asked for; each frame above has some bytes beside its KiB. */
    static const size_t sizes[] = { 64, 256, 1024, 8192 };

    for (size_t i = 0; i < COUNT(sizes); i++) {
        int64_t used = (int64_t)sizes[i] / 2;
        weft_ref down;

        weft_spawn(uses_stack, weft_int(used), .stack_size = sizes[i] * 1024, .monitor = &down);
        check_term(await_down(down), weft_int(used + 1));
    }
}

PROCESS_TEST(a_process_that_asks_for_no_stack_size_has_some_60_KiB)
{
    weft_ref down;

    weft_spawn(uses_stack, weft_int(40), .monitor = &down);
    check_term(await_down(down), weft_int(41));
}

static weft_term stays_on_its_thread(weft_term arg)
{
    long thread = syscall(SYS_gettid);

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_yield();
        if (syscall(SYS_gettid) != thread)
            weft_exit(A(moved));
    }
    weft_sleep(2);
    if (syscall(SYS_gettid) != thread)
        weft_exit(A(moved_in_its_sleep));
    weft_receive(A(go), WEFT_INFINITY, NULL);
    if (syscall(SYS_gettid) != thread)
        weft_exit(A(moved_at_a_message));
    return A(ok);
}

PROCESS_TEST(a_sticky_process_stays_on_one_kernel_thread)
{
    weft_ref downs[20];

    for (size_t i = 0; i < COUNT(downs); i++) {
        weft_pid pid = weft_spawn(stays_on_its_thread, weft_none, .sticky = true, .monitor = &downs[i]);

        weft_send(pid, A(go));
    }
    for (size_t i = 0; i < COUNT(downs); i++)
        check_term(await_down(downs[i]), A(normal));
}

PROCESS_TEST(a_label_given_at_birth_is_copied)
{
    char text[] = "worker of the month";
    weft_pid pid = weft_spawn(puppet_run, weft_none, .label = text);

    memset(text, 'x', sizeof text - 1);
    check_has(weft_inspect(info_of(pid, A(label))), "worker of the month");
}

/* -- the limit of processes ------------------------------------------------------------------------ */

static weft_term spawns_past_the_limit(weft_term arg)
{
    weft_term report = weft_tuple_at(arg, 0);

    for (int64_t i = 0; i < 300; i++) {
        WEFT_SCOPE;
        weft_pid child = weft_spawn(waits_for_stop, weft_none);

        weft_send(report, weft_tuple(A(spawned), child));
    }
    return A(no_limit_met);
}

static weft_term meets_the_limit(weft_term arg)
{
    enum { LIMIT = 100 };
    weft_pid spawned[300];
    weft_ref down;
    weft_term reason;
    int n = 0;

    (void)arg;
    for (int round = 0; round < 3; round++, n = 0) {
        WEFT_SCOPE;

        weft_spawn(spawns_past_the_limit, weft_tuple(weft_self()), .monitor = &down);
        reason = await_down(down);
        check_fits(reason, weft_tuple(A(system_limit), weft_any));
        if (weft_is_tuple(reason))
            check_has(weft_text(weft_tuple_at(reason, 1)), "weft_spawn");

        /* Those before the limit live; when they are gone there is room again. */
        while (n < 300 && weft_receive(weft_tuple(A(spawned), weft_bind(&spawned[n])), 0, NULL))
            n++;
        check_gt(n, LIMIT / 2);
        check_le(n, LIMIT);
        for (int i = 0; i < n; i++)
            weft_send(spawned[i], A(stop));
        for (int i = 0; i < n; i++)
            await_end(spawned[i]);
    }
    return A(ok);
}

TEST(no_more_processes_live_than_max_processes)
{
    run_in_runtime(meets_the_limit, .workers = 2, .max_processes = 100);
}

/* -- pids of the dead -------------------------------------------------------------------------------- */

static int compare_pids(const void *a, const void *b)
{
    const weft_pid *x = a, *y = b;

    return (x->bits > y->bits) - (x->bits < y->bits);
}

PROCESS_TEST(no_two_processes_ever_have_the_same_pid, "PROC-2")
{
    int n = scaled(50000);
    weft_pid *pids = weft_alloc((size_t)n * sizeof *pids);

    for (int i = 0; i < n; i++) {
        pids[i] = weft_spawn(ends_with, A(normal));
        if (i % 100 == 99)
            await_end(pids[i]);
    }
    qsort(pids, (size_t)n, sizeof *pids, compare_pids);
    for (int i = 1; i < n; i++)
        if (!check(pids[i - 1].bits != pids[i].bits))
            return;
}

PROCESS_TEST(a_dead_pid_never_addresses_a_later_process, "PROC-2")
{
    enum { N = 200 };
    weft_pid dead[N], living[N];

    /* The dead first, so that the living come to sit where they sat. */
    for (int i = 0; i < N; i++)
        dead[i] = weft_spawn(ends_with, A(normal));
    for (int i = 0; i < N; i++)
        await_end(dead[i]);
    for (int i = 0; i < N; i++)
        living[i] = puppet_start();

    weft_trap_exit(true);
    for (int i = 0; i < N; i++) {
        WEFT_SCOPE;

        weft_send(dead[i], A(stray));
        check_int(weft_try_send(dead[i], A(stray)), 0);
        weft_exit_signal(dead[i], A(boom));
        weft_kill(dead[i]);
        check(!weft_is_alive(dead[i]));
        check(weft_is_none(weft_process_info(dead[i], A(status))));
        check_int(weft_try_register(A(name_of_the_dead), dead[i]), WEFT_ENOPROC);
        check_term(await_down(weft_monitor(dead[i])), A(noproc));
        weft_link(dead[i]);
        expect_message(weft_tuple(A(EXIT), dead[i], A(noproc)));
    }
    for (int i = 0; i < N; i++) {
        WEFT_SCOPE;

        check(weft_is_alive(living[i]));
        check_term(ask(living[i], do_take, A(nil)), A(nothing));
        check_term(info_of(living[i], A(links)), weft_empty_list);
        check_term(info_of(living[i], A(monitored_by)), weft_empty_list);
    }
}

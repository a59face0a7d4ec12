/* runtime_test.c - starting and stopping the runtime, running a program in it,
 * and what is left of it after fork. */
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counts.h"
#include "proc/process_test.h"

static weft_term returns_its_argument(weft_term arg)
{
    return weft_is_none(arg) ? A(nothing) : arg;
}

/* -- start and stop ---------------------------------------------------------------------- */

TEST(a_runtime_starts_and_stops)
{
    check_int(weft_runtime_start(), 0);
    check_str(weft_runtime_error(), "");
    check_int(weft_runtime_stop(), 0);
    check_str(weft_runtime_error(), "");
}

TEST(a_second_start_says_that_one_runs)
{
    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_start(.workers = 2), WEFT_EALREADY);
    check(weft_runtime_error()[0] != '\0');
    check_int(weft_runtime_run(returns_its_argument, weft_none, NULL), 0); /* the first is unharmed */
    check_int(weft_runtime_stop(), 0);
    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_stop(), 0);
}

TEST(a_stop_or_run_without_a_runtime_says_so)
{
    weft_term result = A(untouched);

    check_int(weft_runtime_stop(), WEFT_ESTOPPED);
    check(weft_runtime_error()[0] != '\0');
    check_int(weft_runtime_run(returns_its_argument, weft_none, &result), WEFT_ESTOPPED);
    check(weft_runtime_error()[0] != '\0');
    check_term(result, A(untouched));
    check_int(weft_runtime_start(.workers = 1), 0);
    check_int(weft_runtime_stop(), 0);
    check_int(weft_runtime_stop(), WEFT_ESTOPPED);
}

TEST(a_bad_option_is_named)
{
    check_int(weft_runtime_start(.workers = 1000000), WEFT_EINVAL);
    check_has(weft_runtime_error(), "workers");
    check_int(weft_runtime_start(.max_processes = 0), WEFT_EINVAL);
    check_has(weft_runtime_error(), "max_processes");
    check_int(weft_runtime_start(.max_processes = SIZE_MAX), WEFT_EINVAL);
    check_has(weft_runtime_error(), "max_processes");

    /* None of them runs now. */
    check_int(weft_runtime_run(returns_its_argument, weft_none, NULL), WEFT_ESTOPPED);
    check_int(weft_runtime_start(.workers = 1), 0);
    check_int(weft_runtime_stop(), 0);
}

TEST(options_of_an_older_program_are_shorter)
{
    struct weft_runtime_options options = { WEFT_RUNTIME_DEFAULTS };

    /* size and workers are all it knew; what is behind them is not read. */
    options.size = offsetof(struct weft_runtime_options, max_processes);
    options.workers = 1;
    options.max_processes = 0;
    options.max_blocking = 0;
    check_int(weft_runtime_start_opt(&options), 0);
    check_int(weft_runtime_run(returns_its_argument, weft_none, NULL), 0);
    check_int(weft_runtime_stop(), 0);
}

static long resident_kib(void)
{
    long pages = 0, ignored;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static weft_term makes_some_use_of_it(weft_term arg)
{
    weft_pid puppets[20];

    for (size_t i = 0; i < COUNT(puppets); i++)
        puppets[i] = puppet_start();
    for (size_t i = 0; i < COUNT(puppets); i++)
        ask(puppets[i], do_nothing, weft_str("some text"));
    weft_register(A(left_over), puppets[0]);
    weft_send(puppets[1], weft_bin(memset(weft_alloc(100000), 'x', 100000), 100000));
    return weft_is_none(arg) ? A(ok) : arg; /* stop ends the puppets */
}

TEST_WITH(a_runtime_starts_and_stops_a_thousand_times_without_a_leak, .deadline_s = 120)
{
    int threads = 0, files = 0, n = scaled(1000);
    long resident = 0;

    for (int i = 0; i < n; i++) {
        if (!check_int(weft_runtime_start(.workers = 4), 0)
            || !check_int(weft_runtime_run(makes_some_use_of_it, weft_none, NULL), 0)
            || !check_int(weft_runtime_stop(), 0)) {
            diag("  in turn %d: %s", i, weft_runtime_error());
            return;
        }
        check(weft_is_none(weft_whereis(A(left_over))));
        if (i == n / 10) {
            threads = await_threads(ONE_THREAD);
            files = count_files();
            resident = resident_kib();
        }
    }
    check_int(await_threads(threads), threads);
    check_files(files);
    diag("resident: %ld KiB after %d turns, %ld KiB after %d", resident, n / 10, resident_kib(), n);
#ifndef WEFT_ASAN
    check_lt(resident_kib() - resident, 32 * 1024);
#endif
}

TEST(no_thread_is_made_before_start)
{
#ifdef WEFT_TSAN
    skip("the sanitizer has a thread of its own");
#endif
    check_int(count_threads(), ONE_THREAD);
    check(weft_is_none(weft_self()));
}

/* -- run ------------------------------------------------------------------------------------ */

TEST(run_gives_what_the_function_returned)
{
    const weft_term values[] = {
        weft_int(42), A(ok), weft_str("text"), weft_tuple(A(error), weft_list(weft_int(1), weft_float(2))),
        weft_map(A(k), weft_str("v")), weft_empty_list,
    };

    check_int(weft_runtime_start(.workers = 2), 0);
    for (size_t i = 0; i < COUNT(values); i++) {
        weft_term result = weft_none;

        check_int(weft_runtime_run(returns_its_argument, values[i], &result), 0);
        check_term(result, values[i]);
    }
    runtime_down();
}

static weft_term spins_until_killed_by_its_link(weft_term arg)
{
    (void)arg;
    weft_spawn(ends_with, A(from_a_link), .link = true);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return A(ok);
}

static weft_term errs(weft_term arg)
{
    weft_error(arg);
}

TEST(run_gives_the_reason_of_an_exit)
{
    weft_term result = weft_none;

    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_run(ends_with, A(boom), &result), WEFT_ECANCELED);
    check_term(result, A(boom));
    check_int(weft_runtime_run(ends_with, weft_tuple(A(why), weft_str("text")), &result), WEFT_ECANCELED);
    check_term(result, weft_tuple(A(why), weft_str("text")));
    check_int(weft_runtime_run(errs, A(boom), &result), WEFT_ECANCELED);
    check_fits(result, weft_tuple(A(boom), weft_any));
    check_int(weft_runtime_run(spins_until_killed_by_its_link, weft_none, &result), WEFT_ECANCELED);
    check_term(result, A(from_a_link));
    check_int(weft_runtime_run(ends_with, A(normal), &result), 0);
    check_int(weft_runtime_run(ends_with, A(boom), NULL), WEFT_ECANCELED);
    runtime_down();
}

__attribute__((noinline))
static int64_t fills_stack(int64_t n)
{
    volatile char frame[1024];

    frame[0] = (char)n;
    return (n > 0 ? fills_stack(n - 1) : 0) + (frame[0] == (char)n);
}

static weft_term needs_much_stack(weft_term kib)
{
    return weft_int(fills_stack(weft_to_int(kib)));
}

TEST(run_gives_its_process_a_large_stack)
{
    weft_term result = weft_none;

    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_run(needs_much_stack, weft_int(4 * 1024), &result), 0);
    check_term(result, weft_int(4 * 1024 + 1));
    runtime_down();
}

static void *runs_some(void *arg)
{
    int64_t number = *(int *)arg;

    for (int64_t i = 0; i < 100; i++) {
        weft_term result = weft_none;

        check_int(weft_runtime_run(returns_its_argument, weft_tuple(weft_int(number), weft_int(i)), &result), 0);
        check_term(result, weft_tuple(weft_int(number), weft_int(i)));
    }
    return NULL;
}

TEST(several_threads_may_run_at_once)
{
    pthread_t threads[8];
    int numbers[8];

    check_int(weft_runtime_start(.workers = 4), 0);
    for (int i = 0; i < 8; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, runs_some, &numbers[i]);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    runtime_down();
}

static weft_term starts_a_runtime_inside(weft_term arg)
{
    (void)arg;
    return weft_int(weft_runtime_start(.workers = 2));
}

TEST(start_in_a_process_fails)
{
    weft_term result = weft_none;

    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_run(starts_a_runtime_inside, weft_none, &result), 0);
    check_term(result, weft_int(WEFT_EALREADY));
    runtime_down();
}

static _Atomic int n_counted;

static weft_term counts_and_ends(weft_term arg)
{
    (void)arg;
    atomic_fetch_add(&n_counted, 1);
    return A(ok);
}

static weft_term spawns_a_thousand(weft_term arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        weft_spawn(counts_and_ends, weft_none);
    await_count(&n_counted, 1000);
    return A(ok);
}

TEST(stop_leaves_no_thread)
{
    int before;

    /* A sanitizer's own thread comes with the first of the program. */
    check_int(weft_runtime_start(.workers = 1), 0);
    check_int(weft_runtime_stop(), 0);
    before = await_threads(ONE_THREAD);
    check_int(weft_runtime_start(.workers = 8), 0);
    check_int(weft_runtime_run(spawns_a_thousand, weft_none, NULL), 0);
    check_gt(count_threads(), before);
    check_int(weft_runtime_stop(), 0);
    check_int(await_threads(before), before);
}

TEST(a_runtime_of_any_number_of_workers_runs_processes)
{
    static const unsigned workers[] = { 1, 2, 3, 8, 33 };

    for (size_t i = 0; i < COUNT(workers); i++) {
        atomic_store(&n_counted, 0);
        run_in_runtime(spawns_a_thousand, .workers = workers[i], .bind = i % 2 == 0);
    }
}

/* -- stop ends what runs ------------------------------------------------------------------------ */

static _Atomic int n_ready, n_deferred, n_shutdowns;

static void counts_a_defer(void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_deferred, 1);
}

static weft_term parks_for_ever(weft_term arg)
{
    weft_defer(counts_a_defer, NULL);
    atomic_fetch_add(&n_ready, 1);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static weft_term sleeps_for_ever(weft_term arg)
{
    weft_defer(counts_a_defer, NULL);
    atomic_fetch_add(&n_ready, 1);
    weft_sleep(INT64_MAX / 2);
    return arg;
}

static weft_term yields_for_ever(weft_term arg)
{
    weft_defer(counts_a_defer, NULL);
    atomic_fetch_add(&n_ready, 1);
    for (;;)
        weft_yield();
    return arg;
}

/* Puts its affairs in order when it is told to shut down. */
static weft_term traps_and_obeys(weft_term arg)
{
    weft_term reason = weft_none;

    weft_defer(counts_a_defer, NULL);
    weft_trap_exit(true);
    atomic_fetch_add(&n_ready, 1);
    weft_receive(weft_tuple(A(EXIT), weft_any, weft_bind(&reason)), WEFT_INFINITY, NULL);
    if (weft_eq(reason, A(shutdown)))
        atomic_fetch_add(&n_shutdowns, 1);
    return arg;
}

/* Says no to every signal. */
static weft_term traps_and_stays(weft_term arg)
{
    weft_defer(counts_a_defer, NULL);
    weft_trap_exit(true);
    atomic_fetch_add(&n_ready, 1);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static weft_term spawns_some_of_each(weft_term arg)
{
    enum { EACH = 10 };
    weft_fn *kinds[] = { parks_for_ever, sleeps_for_ever, yields_for_ever, traps_and_obeys };

    for (int i = 0; i < EACH; i++)
        for (size_t k = 0; k < COUNT(kinds); k++)
            weft_spawn(kinds[k], weft_none);
    await_count(&n_ready, EACH * (int)COUNT(kinds));
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(stop_ends_every_process_with_shutdown_and_its_defers_run)
{
    int64_t began;

    check_int(weft_runtime_start(.workers = 4), 0);
    check_int(weft_runtime_run(spawns_some_of_each, weft_none, NULL), 0);
    began = now_ms();
    check_int(weft_runtime_stop(.timeout_ms = 20000), 0);
    check_lt(now_ms() - began, 10000); /* nobody had to be killed */
    check_int(atomic_load(&n_deferred), atomic_load(&n_ready));
    check_int(atomic_load(&n_shutdowns), 10);
}

static weft_term spawns_one_that_stays(weft_term arg)
{
    weft_spawn(traps_and_stays, weft_none, .label = "the one that stays");
    await_count(&n_ready, 1);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(stop_kills_who_traps_after_half_of_its_time)
{
    int64_t began, took;
    int code;

    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_run(spawns_one_that_stays, weft_none, NULL), 0);
    began = now_ms();
    code = weft_runtime_stop(.timeout_ms = 2000);
    took = now_ms() - began;
    check_ge(took, 1000);
    /* A second is left then, for which a machine may stand still. */
    check(code == 0 || (code == WEFT_ETIMEDOUT && took >= 2000));
    if (code != 0)
        runtime_down();
    check_int(atomic_load(&n_deferred), 1);
}

static weft_term spawns_and_spawns(weft_term arg)
{
    atomic_fetch_add(&n_ready, 1);
    for (;;) {
        weft_spawn(counts_and_ends, weft_none);
        weft_yield();
    }
    return arg;
}

static weft_term starts_a_spawner(weft_term arg)
{
    weft_spawn(spawns_and_spawns, weft_none);
    await_count(&n_ready, 1);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(stop_comes_to_an_end_though_processes_spawn_processes)
{
    check_int(weft_runtime_start(.workers = 4), 0);
    check_int(weft_runtime_run(starts_a_spawner, weft_none, NULL), 0);
    runtime_down();
}

static sem_t may_go_on;

static void *waits_for_the_semaphore(void *arg)
{
    atomic_fetch_add(&n_ready, 1);
    while (sem_wait(&may_go_on) != 0)
        ;
    return arg;
}

static weft_term sits_in_a_foreign_call(weft_term arg)
{
    weft_blocking(waits_for_the_semaphore, NULL);
    return arg;
}

static weft_term spawns_one_in_a_foreign_call(weft_term arg)
{
    weft_spawn(sits_in_a_foreign_call, weft_none, .label = "stuck in a call");
    await_count(&n_ready, 1);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(stop_names_what_did_not_end_and_may_be_called_again)
{
    sem_init(&may_go_on, 0, 0);
    check_int(weft_runtime_start(.workers = 2), 0);
    check_int(weft_runtime_run(spawns_one_in_a_foreign_call, weft_none, NULL), 0);
    check_int(weft_runtime_stop(.timeout_ms = 300), WEFT_ETIMEDOUT);
    check_has(weft_runtime_error(), "did not end in time");
    check_int(weft_runtime_start(.workers = 2), WEFT_EALREADY); /* it is still there */
    sem_post(&may_go_on);
    runtime_down();
}

/* -- fork ------------------------------------------------------------------------------------------ */

/* In the child of a fork: every call says that it has no runtime. */
static void check_forked(void)
{
    int code;

    check_int(weft_runtime_start(.workers = 2), WEFT_EFORKED);
    check_has(weft_runtime_error(), "fork");
    code = weft_runtime_run(returns_its_argument, weft_none, NULL);
    check(code == WEFT_ESTOPPED || code == WEFT_EFORKED);
    check_has(weft_runtime_error(), "fork");
    code = weft_runtime_stop();
    check(code == WEFT_ESTOPPED || code == WEFT_EFORKED);
    check_has(weft_runtime_error(), "fork");
    code = weft_try_send(A(somebody), A(hello));
    check(code == WEFT_ESTOPPED || code == WEFT_EFORKED);
    check(weft_is_none(weft_self()));
}

static int status_of(pid_t child)
{
    int status = -1;

    check_int(waitpid(child, &status, 0), child);
    return status;
}

TEST(the_child_of_a_fork_has_no_runtime_and_its_parent_still_has)
{
    pid_t child;

    check_int(weft_runtime_start(.workers = 2), 0);
    child = fork();
    if (child == 0) {
        check_forked();
        _exit(7);
    }
    check_int(WEXITSTATUS(status_of(child)), 7);
    check_int(weft_runtime_run(returns_its_argument, weft_none, NULL), 0);
    runtime_down();
}

TEST(a_fork_after_stop_may_start_a_runtime)
{
    pid_t child;

    check_int(weft_runtime_start(.workers = 2), 0);
    runtime_down();
    child = fork();
    if (child == 0) {
        check_int(weft_runtime_start(.workers = 2), 0);
        check_int(weft_runtime_run(returns_its_argument, weft_none, NULL), 0);
        runtime_down();
        _exit(7);
    }
    check_int(WEXITSTATUS(status_of(child)), 7);
}

static void *waits_for_child(void *arg)
{
    waitpid(*(pid_t *)arg, NULL, 0);
    return NULL;
}

static weft_term runs_a_program(weft_term arg)
{
    pid_t child = fork();

    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    check_gt(child, 0);
    weft_blocking(waits_for_child, &child);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(a_process_may_fork_and_exec)
{
    run_in_runtime(runs_a_program, .workers = 2);
}

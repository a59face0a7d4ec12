/* yield_test.c - giving way: yield, checkpoint, sleep, blocking calls, errno. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proc/process_test.h"

static _Atomic int n_turns, n_inside, n_inside_most, may_stop;

/* -- yield and checkpoint ----------------------------------------------------------------- */

static weft_term takes_turns(weft_term other_turns)
{
    _Atomic int *turns = weft_to_pointer(other_turns);

    for (int i = 0; i < 1000; i++) {
        atomic_fetch_add(turns, 1);
        weft_yield();
    }
    return A(ok);
}

static weft_term checks_that_turns_alternate(weft_term arg)
{
    static _Atomic int turns[2];
    weft_ref downs[2];
    int most = 0;

    for (int i = 0; i < 2; i++)
        weft_spawn(takes_turns, weft_pointer(&turns[i]), .monitor = &downs[i]);
    while (atomic_load(&turns[0]) < 1000 || atomic_load(&turns[1]) < 1000) {
        int apart = abs(atomic_load(&turns[0]) - atomic_load(&turns[1]));

        most = apart > most ? apart : most;
        weft_yield();
    }
    await_down(downs[0]);
    await_down(downs[1]);
    check_le(most, 100);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(processes_that_yield_on_one_worker_take_turns)
{
    run_in_runtime(checks_that_turns_alternate, .workers = 1);
}

static weft_term computes_with_checkpoints(weft_term arg)
{
    while (atomic_load(&may_stop) == 0)
        weft_checkpoint();
    return arg;
}

static weft_term computes_with_yields(weft_term arg)
{
    while (atomic_load(&may_stop) == 0)
        weft_yield();
    return arg;
}

static weft_term stops_them(weft_term arg)
{
    atomic_store(&may_stop, 1);
    return arg;
}

static weft_term starts_computing_and_who_stops_it(weft_term arg)
{
    weft_fn *const kinds[] = { computes_with_checkpoints, computes_with_yields };

    for (size_t i = 0; i < COUNT(kinds); i++) {
        weft_ref downs[3];

        atomic_store(&may_stop, 0);
        for (size_t j = 0; j < COUNT(downs); j++)
            weft_spawn(kinds[i], weft_none, .monitor = &downs[j]);
        weft_spawn(stops_them, weft_none);
        for (size_t j = 0; j < COUNT(downs); j++)
            check_term(await_down(downs[j]), A(normal));
    }
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(who_computes_with_checkpoints_lets_others_run_on_its_worker)
{
    run_in_runtime(starts_computing_and_who_stops_it, .workers = 1);
}

static weft_term talks_for_long(weft_term peer)
{
    (void)peer;
    while (atomic_load(&may_stop) == 0) {
        weft_send(weft_self(), A(again));
        weft_receive(A(again), WEFT_INFINITY, NULL);
    }
    return A(ok);
}

static weft_term starts_talking_and_who_stops_it(weft_term arg)
{
    weft_ref down;

    weft_spawn(talks_for_long, weft_none, .monitor = &down);
    weft_yield();
    weft_spawn(stops_them, weft_none);
    check_term(await_down(down), A(normal));
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(who_always_has_a_message_lets_others_run_on_its_worker)
{
    run_in_runtime(starts_talking_and_who_stops_it, .workers = 1);
}

/* How many messages the busy one had handled when another one, which it woke in
 * the middle, ran. */
enum { N_QUEUED = 20000, AT_MOST_BEHIND = 200 };

static _Atomic int n_heard;

static weft_term tells_how_far_it_is(weft_term parent)
{
    weft_receive(A(now), WEFT_INFINITY, NULL);
    weft_send(parent, weft_tuple(A(behind), weft_int(atomic_load(&n_heard) - N_QUEUED / 2)));
    return A(ok);
}

static void hear(weft_pid other)
{
    if (atomic_fetch_add(&n_heard, 1) + 1 == N_QUEUED / 2)
        weft_send(other, A(now));
}

static void check_how_far_behind(void)
{
    int64_t behind = -1;

    weft_receive(weft_tuple(A(behind), weft_bind_int(&behind)), WEFT_INFINITY, NULL);
    check_le(behind, AT_MOST_BEHIND);
}

static weft_term hears_all_at_once(weft_term arg)
{
    weft_pid other = weft_spawn(tells_how_far_it_is, weft_self());

    weft_yield(); /* it waits */
    for (int i = 0; i < N_QUEUED; i++)
        weft_send(weft_self(), weft_int(i));
    for (int i = 0; i < N_QUEUED; i++) {
        weft_receive(weft_int(i), WEFT_INFINITY, NULL);
        hear(other);
    }
    check_how_far_behind();
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(who_is_woken_does_not_wait_until_a_long_mailbox_is_empty)
{
    run_in_runtime(hears_all_at_once, .workers = 1);
}

static bool hears(void *state, weft_term other)
{
    (void)state;
    hear(other);
    return true;
}

static weft_term has_a_handler_hear(weft_term arg)
{
    weft_pid other = weft_spawn(tells_how_far_it_is, weft_self());
    weft_pid handler = weft_spawn_handler(hears, NULL);

    weft_yield();
    for (int i = 0; i < N_QUEUED; i++)
        weft_send(handler, other);
    check_how_far_behind();
    weft_kill(handler);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(who_is_woken_does_not_wait_until_a_handler_has_had_all_its_messages)
{
    run_in_runtime(has_a_handler_hear, .workers = 1);
}

/* -- sleep ------------------------------------------------------------------------------------ */

static weft_term sleeps_and_checks(weft_term ms)
{
    int64_t began = now_ns();

    weft_sleep(weft_to_int(ms));
    check_ge(now_ns() - began, weft_to_int(ms) * 1000000);
    atomic_fetch_add(&n_turns, 1);
    return A(ok);
}

PROCESS_TEST(sleep_is_never_early)
{
    for (int i = 0; i < 300; i++)
        weft_spawn(sleeps_and_checks, weft_int(i % 60));
    for (int ms = 0; ms < 10; ms++)
        sleeps_and_checks(weft_int(ms));
    await_count(&n_turns, 310);
}

PROCESS_TEST(a_thousand_sleep_at_once_in_the_time_of_one)
{
    int n = scaled(1000);
    int64_t began = now_ms();

    for (int i = 0; i < n; i++)
        weft_spawn(sleeps_and_checks, weft_int(100));
    await_count(&n_turns, n);
    check_lt(now_ms() - began, 100 * n / 5 + 2000);
}

PROCESS_TEST(messages_that_arrive_in_a_sleep_wait_and_do_not_wake)
{
    weft_pid puppet = puppet_start();

    for (int i = 0; i < 20; i++)
        tell(puppet, do_send, weft_tuple(weft_self(), weft_int(i)));
    sleeps_and_checks(weft_int(30));
    for (int i = 0; i < 20; i++)
        check_term(expect_message(weft_any), weft_int(i));
}

/* -- blocking calls ------------------------------------------------------------------------------ */

static void *reads_a_byte(void *arg)
{
    char byte = 0;

    while (read(*(int *)arg, &byte, 1) < 0 && errno == EINTR)
        ;
    return (void *)(uintptr_t)(unsigned char)byte;
}

static weft_term blocks_on_a_pipe(weft_term fd)
{
    int from = (int)weft_to_int(fd);

    weft_exit(weft_int((int64_t)(uintptr_t)weft_blocking(reads_a_byte, &from)));
}

static weft_term writes_while_another_blocks(weft_term arg)
{
    int ends[2];
    weft_ref down;

    check_int(pipe2(ends, O_CLOEXEC), 0);
    weft_spawn(blocks_on_a_pipe, weft_int(ends[0]), .monitor = &down);
    /* On the one worker: it is free again while the other reads. */
    for (int i = 0; i < 100; i++)
        weft_yield();
    ask(puppet_start(), do_nothing, A(nil));
    check_int(write(ends[1], "x", 1), 1);
    check_term(await_down(down), weft_int('x'));
    close(ends[0]);
    close(ends[1]);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(others_go_on_while_a_process_is_in_a_blocking_call)
{
    run_in_runtime(writes_while_another_blocks, .workers = 1);
}

enum { N_WORKERS = 2, MAX_BLOCKING = 8 };

static void *counts_who_is_inside(void *arg)
{
    struct timespec pause = { .tv_nsec = 2000000 };
    int inside = atomic_fetch_add(&n_inside, 1) + 1;
    int most = atomic_load(&n_inside_most);
    int64_t until = now_ms() + BOUND_MS / 2;

    while (inside > most && !atomic_compare_exchange_weak(&n_inside_most, &most, inside))
        ;
    do
        nanosleep(&pause, NULL);
    while (atomic_load(&n_inside_most) <= N_WORKERS && now_ms() < until); /* until others have come in */
    atomic_fetch_sub(&n_inside, 1);
    return arg;
}

static weft_term blocks_for_a_moment(weft_term arg)
{
    int on_the_stack = 0;

    check_ptr(weft_blocking(counts_who_is_inside, &on_the_stack), &on_the_stack);
    return arg;
}

static weft_term blocks_many_times(weft_term arg)
{
    enum { N = 200 };
    weft_ref downs[N];

    for (int i = 0; i < N; i++)
        weft_spawn(blocks_for_a_moment, weft_none, .monitor = &downs[i]);
    for (int i = 0; i < N; i++)
        check_term(await_down(downs[i]), A(normal));
    check_int(atomic_load(&n_inside), 0);
    check_gt(atomic_load(&n_inside_most), N_WORKERS);
    check_le(atomic_load(&n_inside_most), N_WORKERS + MAX_BLOCKING);
    diag("at most %d were in a blocking call at once", atomic_load(&n_inside_most));
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(no_more_threads_than_max_blocking_are_in_blocking_calls)
{
    run_in_runtime(blocks_many_times, .workers = N_WORKERS, .max_blocking = MAX_BLOCKING);
}

/* -- errno ------------------------------------------------------------------------------------------ */

static weft_term looks_at_errno(weft_term arg)
{
    for (int i = 0; i < 200; i++) {
        check_int(close(-1), -1);
        check_int(weft_errno(), EBADF);
        weft_yield();
        check_int(open("/no/such/file", O_RDONLY), -1);
        check_int(weft_errno(), ENOENT);
        weft_yield();
    }
    return arg;
}

PROCESS_TEST(errno_is_read_on_the_thread_that_runs_the_process)
{
    weft_ref downs[20];

    for (size_t i = 0; i < COUNT(downs); i++)
        weft_spawn(looks_at_errno, weft_none, .monitor = &downs[i]);
    for (size_t i = 0; i < COUNT(downs); i++)
        check_term(await_down(downs[i]), A(normal));
}

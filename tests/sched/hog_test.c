/* hog_test.c - C code that keeps its thread for long delays nobody else.
 *
 * A hog here does something that is not weft until it has lost its slot, or
 * until it is told: so nothing depends on how long anything takes.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/places.h"
#include "sched/hog.h"

static _Atomic int may_stop, n_running, n_lost;

/* CPU_: hogs that are on their core. */
#define HOG_TEST(sentence, ...) HOG_TEST_(sentence, (void)0, __VA_ARGS__)
#define CPU_HOG_TEST(sentence, ...) HOG_TEST_(sentence, SKIP_UNDER_TSAN, __VA_ARGS__)
#define HOG_TEST_(sentence, skip_it, ...) \
    FOUR_WORKERS_TEST(sentence, skip_it, (void)0, .max_hogs = 256, __VA_ARGS__)

static pid_t tid_here(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static int n_hogs(void)
{
    struct weft__sched *sched = the_sched();
    int n;

    pthread_mutex_lock(&sched->carriers.lock);
    n = (int)sched->hogs.n;
    pthread_mutex_unlock(&sched->carriers.lock);
    return n;
}

static void await_hogs(int n)
{
    int64_t until = now_ms() + BOUND_MS;

    while (n_hogs() != n && now_ms() < until)
        weft_sleep(1);
    check_int(n_hogs(), n);
}

/* -- kinds of hogs ------------------------------------------------------------------ */

static weft_term computes(weft_term arg)
{
    atomic_fetch_add(&n_running, 1);
    spin_until(&may_stop, 1);
    return arg;
}

static weft_term sleeps_outside(weft_term arg)
{
    atomic_fetch_add(&n_running, 1);
    while (atomic_load(&may_stop) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    return arg;
}

static int blocked_pipe[2];

static weft_term reads_outside(weft_term arg)
{
    char byte;

    atomic_fetch_add(&n_running, 1);
    check_int(read(blocked_pipe[0], &byte, 1), 0); /* until the other end is closed */
    return arg;
}

/* A library with calls of weft in it that never switch. */
static weft_term computes_and_sends(weft_term to)
{
    atomic_fetch_add(&n_running, 1);
    while (atomic_load(&may_stop) == 0) {
        WEFT_SCOPE;
        void *memory = weft_alloc(100);

        weft_send(to, weft_tuple(A(from_hog), weft_list(weft_int(1), weft_str("two"))));
        weft_free(memory);
        for (volatile int i = 0; i < 100000; i++)
            ;
    }
    return to;
}

/* Until its slot is somebody else's. */
static void lose_slot(void)
{
    int64_t until = now_ms() + BOUND_MS;

    /* Off its core: one that computes keeps the slot while nobody wants it. */
    while (weft__has_slot() && now_ms() < until)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    check(!weft__has_slot());
    atomic_fetch_add(&n_lost, 1);
}

static weft_term yields(weft_term arg)
{
    while (atomic_load(&may_stop) == 0)
        weft_yield();
    return arg;
}

static void keep_busy(weft_ref *downs, int n)
{
    for (int i = 0; i < n; i++)
        weft_spawn(yields, weft_none, .monitor = &downs[i]);
}

static void await_all(weft_ref *downs, int n)
{
    for (int i = 0; i < n; i++)
        check_term(await_down(downs[i]), A(normal));
}

/* -- others go on --------------------------------------------------------------------- */

static weft_term echo(weft_term arg)
{
    weft_receive_each (message)
        weft_send(weft_tuple_at(message, 0), weft_tuple_at(message, 1));
    return arg;
}

/* Two of a kind for each worker; meanwhile two processes talk, and timers fire. */
static void others_go_on_beside(weft_fn *kind)
{
    enum { HOGS = 8 };
    weft_ref downs[HOGS];
    weft_pid peer = weft_spawn(echo, weft_none, .link = true);

    for (int i = 0; i < HOGS; i++)
        weft_spawn(kind, weft_self(), .monitor = &downs[i]);
    await_count(&n_running, HOGS);
    for (int i = 0; i < 200; i++) {
        WEFT_SCOPE;

        weft_send(peer, weft_tuple(weft_self(), weft_int(i)));
        expect_message(weft_int(i));
    }
    for (int i = 0; i < 20; i++)
        weft_sleep(1);
    atomic_store(&may_stop, 1);
    if (blocked_pipe[1] > 0)
        close(blocked_pipe[1]);
    await_all(downs, HOGS);
    weft_unlink(peer);
    weft_kill(peer);
    await_hogs(0);
    check_ge((int)atomic_load(&the_sched()->hogs.n_taken), HOGS / 2);
}

CPU_HOG_TEST(others_go_on_while_each_worker_has_processes_that_compute)
{
    others_go_on_beside(computes);
}

HOG_TEST(others_go_on_while_each_worker_has_processes_that_sleep_in_plain_c)
{
    others_go_on_beside(sleeps_outside);
}

HOG_TEST(others_go_on_while_each_worker_has_processes_that_read_and_block)
{
    check_int(pipe(blocked_pipe), 0);
    others_go_on_beside(reads_outside);
}

CPU_HOG_TEST(others_go_on_while_processes_compute_and_send)
{
    others_go_on_beside(computes_and_sends);
}

static bool hog_handler(void *state, weft_term message)
{
    (void)state;
    lose_slot();
    weft_send(message, A(handled));
    return true;
}

HOG_TEST(a_handler_that_keeps_its_thread_goes_on_with_the_next_message)
{
    weft_pid handler = weft_spawn_handler(hog_handler, NULL);
    weft_ref downs[4];

    keep_busy(downs, 4);
    for (int i = 0; i < 5; i++)
        weft_send(handler, weft_self());
    for (int i = 0; i < 5; i++)
        expect_message(A(handled));
    weft_kill(handler);
    await_end(handler);
    atomic_store(&may_stop, 1);
    await_all(downs, 4);
    await_hogs(0);
}

/* -- what a hog can do ---------------------------------------------------------------------- */

static weft_term lives_without_a_slot(weft_term parent)
{
    weft_ref ref;
    pid_t tid = tid_here();
    char *memory = weft_alloc(64);

    lose_slot();
    /* Calls that never switch stay on the thread. */
    memory[63] = 1;
    memory = weft_realloc(memory, 20000);
    check_int(memory[63], 1);
    weft_free(memory);
    check_term(weft_self(), weft_self());
    weft_spawn(yields, weft_none, .monitor = &ref);
    weft_demonitor(ref, true);
    weft_dict_put(A(key), weft_int(5));
    weft_send(parent, weft_tuple(A(here), weft_int(tid_here() == tid)));
    check(!weft__has_slot());
    /* One that may park gives it a worker again. */
    weft_yield();
    check(weft__has_slot());
    check_term(weft_dict_get(A(key), weft_none), weft_int(5));
    return A(ok);
}

HOG_TEST(a_process_without_a_slot_stays_on_its_thread_until_it_may_park)
{
    weft_ref downs[4], down;
    weft_term stayed = weft_none;

    keep_busy(downs, 4);
    weft_spawn(lives_without_a_slot, weft_self(), .monitor = &down);
    expect_message(weft_tuple(A(here), weft_bind(&stayed)));
    check_term(stayed, weft_int(1));
    check_term(await_down(down), A(normal));
    atomic_store(&may_stop, 1);
    await_all(downs, 4);
}

static void *blocks(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return arg;
}

static void defers_lose_too(void *arg)
{
    (void)arg;
    lose_slot();
}

static weft_term parks_in_ways(weft_term how)
{
    weft_defer(defers_lose_too, NULL);
    lose_slot();
    switch (weft_to_int(how)) {
    case 0:
        return how; /* returns */
    case 1:
        weft_exit(A(normal));
    case 2:
        weft_sleep(1);
        break;
    case 3:
        weft_checkpoint();
        check(weft__has_slot());
        break;
    case 4:
        weft_blocking(blocks, NULL);
        break;
    case 5:
        check(!weft_receive(A(never), 1, &how));
        break;
    default:
        check(!weft_receive(A(never), 0, &how));
    }
    check(weft__has_slot());
    lose_slot();
    return A(ok);
}

HOG_TEST(a_process_without_a_slot_finds_one_in_every_call_that_may_park)
{
    enum { WAYS = 7, ROUNDS = 3 };
    weft_ref busy[4], downs[WAYS];

    keep_busy(busy, 4);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WAYS; i++)
            weft_spawn(parks_in_ways, weft_int(i), .monitor = &downs[i]);
        await_all(downs, WAYS);
    }
    atomic_store(&may_stop, 1);
    await_all(busy, 4);
    await_hogs(0);
    check_ge(atomic_load(&n_lost), WAYS * ROUNDS * 2);
}

HOG_TEST(a_killed_process_without_a_slot_ends_at_its_next_call)
{
    weft_ref busy[4], down;
    weft_pid pid;

    keep_busy(busy, 4);
    pid = weft_spawn(sleeps_outside, weft_none, .monitor = &down);
    await_hogs(1);
    weft_kill(pid);
    atomic_store(&may_stop, 1);
    check_fits(await_down(down), weft_any);
    await_all(busy, 4);
    await_hogs(0);
}

static weft_term computes_for_ever(weft_term arg)
{
    atomic_fetch_add(&n_running, 1);
    for (;;)
        atomic_load_explicit(&may_stop, memory_order_relaxed);
    return arg;
}

/* The signal finds it on the thread it kept. */
CPU_HOG_TEST(a_killed_process_that_computes_without_a_slot_is_ended_there)
{
    weft_ref busy[8], downs[4];
    weft_pid pids[4];

    for (int i = 0; i < 4; i++)
        pids[i] = weft_spawn(computes_for_ever, weft_none, .monitor = &downs[i]);
    keep_busy(busy, 8);
    await_hogs(4);
    for (int i = 0; i < 4; i++)
        weft_kill(pids[i]);
    for (int i = 0; i < 4; i++)
        check_term(await_down(downs[i]), A(killed));
    atomic_store(&may_stop, 1);
    await_all(busy, 8);
    await_hogs(0);
}

static weft_term loses_and_tells_nice(weft_term parent)
{
    lose_slot();
    weft_yield();
    weft_send(parent, weft_tuple(A(nice), weft_int(getpriority(PRIO_PROCESS, 0))));
    return parent;
}

HOG_TEST(threads_of_hogs_are_used_again_or_end)
{
    weft_ref busy[4], down;
    int usual = getpriority(PRIO_PROCESS, 0), before = 0;

    keep_busy(busy, 4);
    for (int i = 0; i < 30; i++) {
        WEFT_SCOPE;
        weft_term nice = weft_none;

        weft_spawn(loses_and_tells_nice, weft_self(), .monitor = &down);
        expect_message(weft_tuple(A(nice), weft_bind(&nice)));
        check_term(nice, weft_int(usual)); /* no worker is carried by a niced thread */
        await_down(down);
        if (i == 10)
            before = n_threads();
    }
    check_le(n_threads(), before + 2);
    atomic_store(&may_stop, 1);
    await_all(busy, 4);
}

/* -- what stays -------------------------------------------------------------------------------- */

/* Three of the four workers wait for theirs; what was queued there runs on the
 * fourth. */
HOG_TEST(at_the_bound_slots_wait_for_their_hogs, .max_hogs = 1)
{
    weft_ref downs[4], busy[8];

    keep_busy(busy, 8);
    for (int i = 0; i < 4; i++)
        weft_spawn(sleeps_outside, weft_none, .monitor = &downs[i]);
    await_count(&n_running, 4);
    while (atomic_load(&the_sched()->hogs.n_kept) < 3)
        weft_yield();
    check_int(n_hogs(), 1);
    atomic_store(&may_stop, 1);
    await_all(downs, 4);
    await_all(busy, 8);
}

static weft_term sleeps_on_its_thread(weft_term arg)
{
    pid_t tid = tid_here();

    sleeps_outside(arg);
    check(weft__has_slot());
    weft_yield();
    check_int(tid_here(), tid);
    return arg;
}

HOG_TEST(a_sticky_process_keeps_its_thread_and_its_slot)
{
    weft_ref down, busy[4];

    weft_spawn(sleeps_on_its_thread, weft_none, .sticky = true, .monitor = &down);
    keep_busy(busy, 4);
    while (atomic_load(&the_sched()->hogs.n_kept) < 1)
        weft_yield();
    atomic_store(&may_stop, 1);
    check_term(await_down(down), A(normal));
    await_all(busy, 4);
}

static weft_term checks_now_and_then(weft_term arg)
{
    int64_t until = now_ms() + 50;

    while (now_ms() < until)
        weft_checkpoint();
    return arg;
}

HOG_TEST(a_process_that_checks_often_is_no_hog)
{
    weft_ref downs[8];

    for (int i = 0; i < 8; i++)
        weft_spawn(checks_now_and_then, weft_none, .monitor = &downs[i]);
    await_all(downs, 8);
    check_le((int)atomic_load(&the_sched()->hogs.n_taken), 4); /* the machine may be slow */
}

/* -- what it waits in --------------------------------------------------------------------------- */

/* Of those that no handler makes the kernel go on with. */
static int waits(int way)
{
    struct timespec time = {.tv_nsec = 20000000}, rest;

    switch (way) {
    case 0:
        return nanosleep(&time, NULL);
    case 1:
        return nanosleep(&time, &rest);
    case 2:
        return usleep(20000);
    case 3:
        return poll(NULL, 0, 20);
    default:
        return ppoll(NULL, 0, &time, NULL);
    }
}

static weft_term waits_outside(weft_term way)
{
    for (int i = 0; i < 10; i++) {
        int64_t before = now_ns();

        check_int(waits((int)weft_to_int(way)), 0);
        check_ge((int)((now_ns() - before) / 1000000), 19);
        atomic_fetch_add(&n_lost, !weft__has_slot());
        weft_yield();
    }
    return way;
}

HOG_TEST(a_wait_is_not_cut_short_when_its_process_gives_the_slot_away)
{
    enum { WAYS = 5 };
    weft_ref downs[WAYS];

    for (int i = 0; i < WAYS; i++)
        weft_spawn(waits_outside, weft_int(i), .monitor = &downs[i]);
    await_all(downs, WAYS);
    check_ge(atomic_load(&n_lost), WAYS * 5);
}

/* It begins to wait at about the time when it is asked because it computes. Without its
 * slot it is niced, and there may be one core: so it does what it has time for. */
static weft_term computes_and_waits(weft_term arg)
{
    int rounds = scaled(400);
    int64_t end = now_ms() + BOUND_MS / 3;

    for (int i = 0; i < rounds && now_ms() < end; i++) {
        int64_t until = now_ns() + 1000000 + i % 16 * 50000;

        while (now_ns() < until)
            ;
        check_int(i % 2 ? usleep(50) : poll(NULL, 0, 1), 0);
        atomic_fetch_add(&n_lost, !weft__has_slot());
        weft_yield();
    }
    return arg;
}

HOG_TEST(a_wait_that_just_begins_is_not_cut_short_either)
{
    weft_ref downs[6], busy[4];

    keep_busy(busy, 4);
    for (int i = 0; i < 6; i++)
        weft_spawn(computes_and_waits, weft_none, .monitor = &downs[i]);
    await_all(downs, 6);
    atomic_store(&may_stop, 1);
    await_all(busy, 4);
    check_ge(atomic_load(&n_lost), 1);
}

enum { LONG_MS = 1500, LATE_MS = 400 };

static int long_wait_ms(void)
{
    int64_t before = now_ns();

    check_int(poll(NULL, 0, LONG_MS), 0);
    return (int)((now_ns() - before) / 1000000);
}

/* The same beside it, in a thread that nobody asks for anything: the machine may
 * stand still meanwhile. */
static void *waits_in_a_thread(void *ms)
{
    *(int *)ms = long_wait_ms();
    return NULL;
}

static weft_term waits_for_long(weft_term arg)
{
    pthread_t thread;
    int ms, thread_ms;

    check_int(pthread_create(&thread, NULL, waits_in_a_thread, &thread_ms), 0);
    atomic_fetch_add(&n_running, 1);
    ms = long_wait_ms();
    check(!weft__has_slot());
    pthread_join(thread, NULL);
    check_ge(ms, LONG_MS - 1);
    check_le(ms, thread_ms + LATE_MS - 1);
    return arg;
}

/* Its slot can only go when the place of another hog is free. */
HOG_TEST(a_time_out_goes_on_where_it_was, .max_hogs = 1)
{
    weft_ref first, second;

    weft_spawn(sleeps_outside, weft_none, .monitor = &first);
    await_hogs(1);
    weft_spawn(waits_for_long, weft_none, .monitor = &second);
    await_count(&n_running, 2);
    weft_sleep(LATE_MS);
    check_int((int)atomic_load(&the_sched()->hogs.n_taken), 1);
    atomic_store(&may_stop, 1);
    check_term(await_down(first), A(normal));
    check_term(await_down(second), A(normal));
    check_int((int)atomic_load(&the_sched()->hogs.n_taken), 2);
}

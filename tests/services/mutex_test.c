/* mutex_test.c - weft_mutex: one holder at a time, who waits is parked, and
 * what becomes of it when processes end. */
#include "proc/process_test.h"

#include <pthread.h>

#include "base/spin.h"
#include "weft/mutex.h"

static weft_mutex mutex;
static _Atomic int n_holding, n_waiting;

static void *volatile nowhere;

static weft_term do_lock(weft_term arg)
{
    (void)arg;
    return weft_int(weft_mutex_lock(&mutex));
}

static weft_term do_unlock(weft_term arg)
{
    weft_mutex_unlock(&mutex);
    return arg;
}

static weft_term do_try_lock(weft_term arg)
{
    (void)arg;
    return weft_int(weft_mutex_try_lock(&mutex));
}

static weft_term do_lock_within(weft_term ms)
{
    return weft_int(weft_mutex_lock_within(&mutex, weft_to_int(ms)));
}

static weft_term waits_for_it(weft_term arg)
{
    atomic_fetch_add(&n_waiting, 1);
    return weft_mutex_lock(&mutex) == 0 ? weft_receive(A(stop), WEFT_INFINITY, NULL), arg : arg;
}

/* Started, and parked in the list of those who wait. */
static weft_pid start_waiting(weft_ref *down)
{
    int before = atomic_load(&n_waiting);
    weft_pid pid = weft_spawn(waits_for_it, A(ok), .monitor = down);

    await_count(&n_waiting, before + 1);
    await_waiting(pid);
    return pid;
}

PROCESS_TEST(a_mutex_has_one_holder)
{
    weft_pid other = puppet_start();

    check_int(weft_mutex_lock(&mutex), 0);
    check(weft_mutex_is_held(&mutex));
    check_term(ask(other, do_try_lock, A(ok)), weft_int(WEFT_EBUSY));
    check_term(ask(other, do_lock_within, weft_int(0)), weft_int(WEFT_ETIMEDOUT));
    weft_mutex_unlock(&mutex);
    check(!weft_mutex_is_held(&mutex));
    check_term(ask(other, do_try_lock, A(ok)), weft_int(0));
    check_int(weft_mutex_try_lock(&mutex), WEFT_EBUSY);
    check_int(weft_mutex_lock_within(&mutex, 5), WEFT_ETIMEDOUT);
    ask(other, do_unlock, A(ok));
    check_int(weft_mutex_lock(&mutex), 0);
}

static weft_term lock_twice(weft_term arg)
{
    weft_mutex_lock(&mutex);
    weft_mutex_lock(&mutex);
    return arg;
}

PROCESS_TEST(misuse_ends_with_a_reason_in_words_and_releases_it)
{
    weft_ref down;

    weft_spawn(do_unlock, A(ok), .monitor = &down);
    check_has(weft_inspect(await_down(down)), "weft_mutex_unlock: the caller does not hold it");
    weft_spawn(lock_twice, A(ok), .monitor = &down);
    check_has(weft_inspect(await_down(down)), "weft_mutex_lock: the caller holds it already");
    check_int(weft_mutex_lock(&mutex), WEFT_EOWNERDEAD);
}

FAULTY static weft_term locks_and_faults(weft_term arg)
{
    weft_mutex_lock(&mutex);
    *(volatile int *)nowhere = 1;
    return arg;
}

static weft_term locks_and_exits(weft_term arg)
{
    weft_mutex_lock(&mutex);
    weft_exit(arg);
}

static weft_term locks_and_waits(weft_term arg)
{
    weft_mutex_lock(&mutex);
    atomic_fetch_add(&n_holding, 1);
    weft_receive(A(stop), WEFT_INFINITY, NULL);
    return arg;
}

PROCESS_TEST(the_end_of_its_holder_releases_it_and_the_next_one_is_told, "PROC-18")
{
    weft_fn *const ways[] = {locks_and_faults, locks_and_exits, locks_and_waits};

    for (size_t i = 0; i < COUNT(ways); i++) {
        weft_ref down;
        weft_pid pid = weft_spawn(ways[i], A(gone), .monitor = &down);

        if (ways[i] == locks_and_waits) {
            await_count(&n_holding, 1);
            weft_kill(pid);
        }
        await_down(down);
        check_int(weft_mutex_lock(&mutex), WEFT_EOWNERDEAD);
        weft_mutex_unlock(&mutex);
        check_int(weft_mutex_lock(&mutex), 0);
        weft_mutex_unlock(&mutex);
    }
}

PROCESS_TEST(a_holder_that_ends_wakes_who_waits, "PROC-18")
{
    weft_pid holder = puppet_start();
    weft_ref down;

    check_term(ask(holder, do_lock, A(ok)), weft_int(0));
    start_waiting(&down);
    weft_kill(holder);
    check_term(await_down(down), A(normal)); /* EOWNERDEAD: returned at once */
}

PROCESS_TEST(who_waits_longest_is_next)
{
    weft_ref down[3];
    weft_pid pids[3];

    check_int(weft_mutex_lock(&mutex), 0);
    for (int i = 0; i < 3; i++)
        pids[i] = start_waiting(&down[i]);
    weft_mutex_unlock(&mutex);
    for (int i = 0; i < 3; i++) {
        weft_send(pids[i], A(stop));
        check_term(await_down(down[i]), A(normal));
    }
}

static _Atomic int is_to_unlock, n_unlocking;

static weft_term locks_and_unlocks(weft_term arg)
{
    weft_mutex_lock(&mutex);
    atomic_fetch_add(&n_holding, 1);
    while (atomic_load(&is_to_unlock) == 0)
        weft_yield();
    atomic_fetch_add(&n_unlocking, 1);
    weft_mutex_unlock(&mutex);
    return arg;
}

/* The lock of its list, here held up in the middle of an unlock. */
static struct weft__spin *list_lock(void)
{
    return (struct weft__spin *)(void *)&mutex.weft__words[2];
}

PROCESS_TEST(one_that_comes_while_it_is_unlocked_does_not_overtake_who_waits)
{
    int code = WEFT_EBUSY;
    weft_pid waiting;
    weft_ref down;
    int64_t end;

    weft_spawn(locks_and_unlocks, A(ok));
    await_count(&n_holding, 1);
    waiting = start_waiting(&down);
    weft__spin_acquire(list_lock());
    atomic_store(&is_to_unlock, 1);
    spin_until(&n_unlocking, 1);
    for (end = now_ms() + 20; code == WEFT_EBUSY && now_ms() < end;)
        code = weft_mutex_try_lock(&mutex);
    weft__spin_release(list_lock());
    check_int(code, WEFT_EBUSY);
    if (code == 0)
        weft_mutex_unlock(&mutex);
    weft_send(waiting, A(stop)); /* it ends if it has it */
    check_term(await_down(down), A(normal));
}

PROCESS_TEST(one_killed_while_it_waits_leaves_the_others_their_turn)
{
    weft_ref down[3];
    weft_pid pids[3];

    check_int(weft_mutex_lock(&mutex), 0);
    for (int i = 0; i < 3; i++)
        pids[i] = start_waiting(&down[i]);
    weft_kill(pids[1]);
    check_term(await_down(down[1]), A(killed));
    weft_mutex_unlock(&mutex);
    for (int i = 0; i < 3; i += 2) {
        weft_send(pids[i], A(stop));
        check_term(await_down(down[i]), A(normal));
    }
    check_int(weft_mutex_lock(&mutex), WEFT_EOWNERDEAD); /* the last one returned with it */
}

static void unlock_in_defer(void *arg)
{
    weft_mutex_unlock(arg);
}

static weft_term defers_its_unlock(weft_term arg)
{
    weft_mutex_lock(&mutex);
    weft_defer(unlock_in_defer, &mutex);
    weft_exit(arg);
}

PROCESS_TEST(a_defer_may_unlock)
{
    weft_ref down;

    weft_spawn(defers_its_unlock, A(gone), .monitor = &down);
    check_term(await_down(down), A(gone));
    check_int(weft_mutex_lock(&mutex), 0);
}

static void *guest_locks(void *arg)
{
    *(int *)arg = weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
    return arg;
}

PROCESS_TEST(a_foreign_thread_may_lock_it_too)
{
    pthread_t thread;
    int got = -1;

    check_int(weft_mutex_lock(&mutex), 0);
    pthread_create(&thread, NULL, guest_locks, &got);
    weft_sleep(5);
    weft_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    check_int(got, 0);
}

enum { N_COUNTERS = 8, ROUNDS = 20000 };
static long counted;

static weft_term counts(weft_term rounds)
{
    for (int64_t i = weft_to_int(rounds); i > 0; i--) {
        weft_mutex_lock(&mutex);
        counted++; /* a plain one: the mutex orders it */
        if (i % 16 == 0)
            weft_yield();
        weft_mutex_unlock(&mutex);
    }
    return A(ok);
}

PROCESS_TEST(no_count_is_lost_under_contention)
{
    weft_ref down[N_COUNTERS];
    int rounds = scaled(ROUNDS);

    for (int i = 0; i < N_COUNTERS; i++)
        weft_spawn(counts, weft_int(rounds), .monitor = &down[i]);
    for (int i = 0; i < N_COUNTERS; i++)
        check_term(await_down(down[i]), A(normal));
    check_int(counted, (long)N_COUNTERS * rounds);
}

/* Locks, waits and is killed at any moment, over and over. */
static weft_term contends(weft_term arg)
{
    for (;;) {
        weft_mutex_lock(&mutex);
        weft_yield();
        weft_mutex_unlock(&mutex);
    }
    return arg;
}

PROCESS_TEST(kills_at_any_moment_leave_it_free)
{
    int rounds = scaled(2000);

    for (int i = 0; i < rounds; i++) {
        WEFT_SCOPE;
        weft_ref down[4];
        weft_pid pids[4];

        for (int k = 0; k < 4; k++)
            pids[k] = weft_spawn(contends, A(ok), .monitor = &down[k]);
        for (int k = 0; k < i % 7; k++)
            weft_yield();
        for (int k = 0; k < 4; k++)
            weft_kill(pids[k]);
        for (int k = 0; k < 4; k++)
            check_term(await_down(down[k]), A(killed));
        check_ne(weft_mutex_lock_within(&mutex, BOUND_MS), WEFT_ETIMEDOUT);
        weft_mutex_unlock(&mutex);
    }
}

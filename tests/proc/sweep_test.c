/* sweep_test.c - killed in the middle of every kind of call: processes that make
 * one call over and over, without a park point where the call has none, are
 * killed at moments of nobody's choosing, and all else goes on. And faults that
 * calls are led into by what they are given. */
#include "proc/process_test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "weft/log.h"
#include "weft/mutex.h"
#include "weft/pubsub.h"
#include "weft/registry.h"
#include "weft/task.h"
#include "weft/timer.h"

static weft_mutex mutex;
static weft_pid other, gone;

static void nothing(void *arg)
{
    (void)arg;
}

static weft_term returns(weft_term arg)
{
    return arg;
}

static void dispatches(weft_term entries, weft_pid from, weft_term message, void *arg)
{
    (void)entries, (void)from, (void)message, (void)arg;
}

/* Each makes its call a few times, so that the loop around it is most often in it. */
#define CALL(name, ...)                       \
    static weft_term call_##name(weft_term x) \
    {                                         \
        for (int i = 0; i < 4; i++) {         \
            __VA_ARGS__;                      \
        }                                     \
        return x;                             \
    }

CALL(tuple, weft_tuple(x, weft_int(i), weft_float(1.5)))
CALL(list, weft_list(x, x, weft_cons(x, weft_empty_list)))
CALL(map, weft_map_put(weft_map(A(a), x, A(b), weft_int(i)), A(c), x))
CALL(bin, weft_bin("some bytes", 10))
CALL(inspect, weft_inspect(weft_tuple(x, weft_str("text"), weft_self())))
CALL(match, weft_match(weft_tuple(x, x), weft_tuple(weft_any, weft_any)))
CALL(compare, (void)weft_eq(weft_tuple(x, x), weft_tuple(x, x)))
CALL(keep, weft_drop(weft_keep(weft_tuple(x, x))))
CALL(alloc, weft_free(weft_alloc(100 + (size_t)i)))
CALL(realloc, weft_free(weft_realloc(weft_alloc(10), 1000)))
CALL(defer, weft_defer(nothing, NULL); weft_undefer(nothing, NULL))
CALL(self, weft_self())
CALL(make_ref, weft_make_ref())
CALL(alias, weft_unalias(weft_alias(false)))
CALL(dict, weft_dict_put(A(key), x); weft_dict_get(A(key), A(none)); weft_dict_delete(A(key)))
/* To one that is gone, or with a checkpoint: else what fills the other's inbox would
 * be all there is to see. */
CALL(send, weft_send(gone, weft_tuple(A(drop), x)))
CALL(send_self, weft_send(weft_self(), A(drop)); weft_receive(A(drop), 0, NULL))
CALL(whereis, weft_whereis(A(nobody)))
CALL(try_register, (void)weft_try_register(A(sweep), weft_self()); (void)weft_try_unregister(A(sweep)))
CALL(spawn, weft_spawn(returns, x); weft_checkpoint())
CALL(monitor, weft_demonitor(weft_monitor(gone), true))
CALL(link, weft_link(other); weft_unlink(other); weft_checkpoint())
CALL(is_alive, (void)weft_is_alive(other))
CALL(checkpoint, weft_checkpoint())
CALL(yield, weft_yield())
CALL(sleep, weft_sleep(0))
CALL(receive, weft_receive(A(never), 0, NULL))
CALL(info, weft_process_info(other, A(status)))
CALL(timer, weft_cancel_timer(weft_send_after(other, A(drop), 60000)))
CALL(mutex, weft_mutex_lock(&mutex); weft_mutex_unlock(&mutex))
CALL(foreign, weft_foreign_enter(); weft_foreign_leave())
CALL(task, weft_task_await(weft_task_async(returns, x), 5000))
CALL(log, weft_log_debug("nobody hears %d", i))
CALL(subscribe, weft_pubsub_subscribe(A(sweep_ps), A(topic)); weft_pubsub_unsubscribe(A(sweep_ps), A(topic)))
CALL(broadcast, weft_pubsub_subscribe(A(sweep_ps), A(mine), .once = true);
     weft_pubsub_broadcast(A(sweep_ps), A(mine), weft_tuple(A(news), x));
     weft_receive(weft_tuple(A(news), weft_any), 0, NULL))
CALL(dispatch, weft_pubsub_dispatch(A(sweep_ps), weft_none, A(topic), x, dispatches, NULL))
CALL(registry, weft_registry_register(A(sweep_ps), weft_self(), x, NULL);
     weft_registry_lookup(A(sweep_ps), weft_self()); weft_registry_unregister(A(sweep_ps), weft_self()))

static const struct {
    const char *name;
    weft_fn *fn;
} calls[] = {
#define ROW(name) {#name, call_##name}
    ROW(tuple), ROW(list), ROW(map), ROW(bin), ROW(inspect), ROW(match), ROW(compare), ROW(keep), ROW(alloc),
    ROW(realloc), ROW(defer), ROW(self), ROW(make_ref), ROW(alias), ROW(dict), ROW(send), ROW(send_self),
    ROW(whereis), ROW(try_register), ROW(spawn), ROW(monitor), ROW(link), ROW(is_alive), ROW(checkpoint),
    ROW(yield), ROW(sleep), ROW(receive), ROW(info), ROW(timer), ROW(mutex), ROW(foreign), ROW(task),
    ROW(log), ROW(subscribe), ROW(broadcast), ROW(dispatch), ROW(registry),
};

static _Atomic int n_started;

static weft_term calls_for_ever(weft_term fn)
{
    weft_fn *call = (weft_fn *)(uintptr_t)weft_to_pointer(fn);

    atomic_fetch_add(&n_started, 1);
    for (;;) {
        WEFT_SCOPE;

        call(A(x));
    }
    return fn;
}

/* Lives on when one that it is linked to is killed. */
static bool drops_all(void *state, weft_term message)
{
    (void)state;
    weft_trap_exit(true);
    return !weft_eq(message, A(stop));
}

static void kill_in(weft_fn *fn, int delay_us)
{
    WEFT_SCOPE;
    int before = atomic_load(&n_started);
    int64_t until;
    weft_ref down;
    weft_pid pid = weft_spawn(calls_for_ever, weft_pointer((const void *)(uintptr_t)fn), .monitor = &down);

    await_count(&n_started, before + 1);
    for (until = now_ns() + delay_us * 1000; now_ns() < until;)
        weft_yield();
    weft_kill(pid);
    check_term(await_down(down), A(killed));
}

PROCESS_TEST(a_kill_in_the_middle_of_any_call_ends_that_process_alone, "PROC-18 PROC-19")
{
    uint32_t random = 1;
    int rounds = scaled(20);

#if defined(WEFT_TSAN)
    skip("the thread sanitizer holds signals back until a call that it knows");
#endif
    weft_log_set_level(WEFT_LOG_NONE);
    other = weft_spawn_handler(drops_all, NULL);
    weft_send(other, A(drop));
    gone = weft_spawn(returns, A(ok));
    await_end(gone);
    weft_must(weft_pubsub_start_link(.name = A(sweep_ps)));
    for (int i = 0; i < 100; i++)
        weft_pubsub_subscribe(A(sweep_ps), A(topic));
    for (size_t i = 0; i < COUNT(calls); i++)
        for (int k = 0; k < rounds; k++) {
            random = random * 1664525 + 1013904223;
            kill_in(calls[i].fn, (int)(random >> 16) % 300);
        }
    /* All that they shared is as it was. */
    check_ne(weft_mutex_lock_within(&mutex, BOUND_MS), WEFT_ETIMEDOUT);
    check(weft_is_none(weft_whereis(A(sweep))));
    check(weft_is_alive(other));
    check_term(info_of(other, A(links)), weft_empty_list);
    check_int(weft_pubsub_broadcast(A(sweep_ps), A(topic), A(drop)), 100);
    check_int(weft_registry_count(A(sweep_ps)), 100);
    check_term(weft_task_await(weft_task_async(returns, A(fine)), BOUND_MS), A(fine));
}

/* -- led into a fault ------------------------------------------------------------------- */

static void *volatile nowhere;

FAULTY static weft_term misled_bin(weft_term x)      { return weft_bin(nowhere, 100000), x; }
FAULTY static weft_term misled_inspect(weft_term x)  { return weft_inspect_to(nowhere, 100, x), x; }
FAULTY static weft_term misled_bind(weft_term x)     { return weft_match(x, weft_bind(nowhere)), x; }
FAULTY static weft_term misled_free(weft_term x)     { return weft_free((char *)nowhere + 64), x; }
FAULTY static weft_term misled_mutex(weft_term x)    { return weft_mutex_lock(nowhere), x; }
FAULTY static weft_term misled_handler(weft_term x)  { return weft_spawn_handler(drops_all, (char *)nowhere + 8, .state_size = 64), x; }
FAULTY static weft_term misled_receive(weft_term x)  { weft_send(weft_self(), x); return weft_receive(weft_any, 0, (weft_term *)((char *)nowhere + 8)), x; }

static weft_fn *const misled[] = {misled_bin, misled_inspect, misled_bind, misled_free, misled_mutex,
                                  misled_handler, misled_receive};

static void run_misled(void *arg)
{
    weft_term result = weft_none;

    if (weft_runtime_start(.workers = 2) != 0)
        _exit(99);
    weft_runtime_run((weft_fn *)(uintptr_t)arg, A(x), &result);
    fprintf(stderr, "it lived on: %s\n", weft_inspect(result));
}

TEST(a_call_led_into_a_fault_ends_the_program_and_says_where)
{
#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
    skip("the sanitizer tells first");
#endif
    for (size_t i = 0; i < COUNT(misled); i++) {
        struct tap_outcome outcome;

        tap_run(run_misled, (void *)(uintptr_t)misled[i], 20, &outcome);
        if (!check(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGSEGV) ||
            !check_has(outcome.output, "because    inside weft: "))
            diag("%zu: %s", i, outcome.output);
    }
}

/* process_test.h - tests whose body is a process.
 *
 *     PROCESS_TEST(a_killed_process_ends_with_killed, "PROC-14")
 *     {
 *         weft_pid victim = puppet_start();
 *         weft_ref down = weft_monitor(victim);
 *
 *         weft_kill(victim);
 *         check_term(await_down(down), A(killed));
 *     }
 *
 * In the child process that each test has (tap.h), the runtime is started with
 * 4 workers (WEFT_TEST_WORKERS says otherwise), the body runs in a process, and
 * the runtime is stopped. All three have to succeed, and the body has to end
 * with :normal.
 *
 * A wait is for a message, a monitor or a counter, and has a bound. Past it the
 * test says what it waited for and what is in the mailbox instead, and ends.
 *
 * A puppet is a process that does what it is asked to, one function at a time,
 * and leaves every other message in its mailbox for such a function to find.
 */
#ifndef WEFT_TESTS_PROC_PROCESS_TEST_H
#define WEFT_TESTS_PROC_PROCESS_TEST_H

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tap.h"
#include "weft/error.h"
#include "weft/process.h"
#include "weft/runtime.h"
#include "weft/term.h"

#define A(name) WEFT_ATOM(#name)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* How much of a number of processes or rounds this build can do in its time. */
#if defined(WEFT_TSAN)
enum { BOUND_MS = 60000, SHARE = 20 };
#elif defined(WEFT_ASAN)
enum { BOUND_MS = 30000, SHARE = 4 };
#else
enum { BOUND_MS = 10000, SHARE = 1 };
#endif

/* Long enough to see a message that must not come and comes all the same. A
 * slow machine makes such a test blind, never red. */
enum { QUIET_MS = 20 };

/* n, or as many of them as a build with a sanitizer has time for. */
static inline int scaled(int n)
{
    return n / SHARE > 0 ? n / SHARE : 1;
}

static inline int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

/* -- the runtime of a test ------------------------------------------------------ */

static inline unsigned test_workers(void)
{
    const char *text = getenv("WEFT_TEST_WORKERS");
    long n = text != NULL ? strtol(text, NULL, 10) : 0;

    return n > 0 ? (unsigned)n : 4;
}

static inline bool runtime_up(const struct weft_runtime_options *options)
{
    int started = weft_runtime_start_opt(options);

    if (!check_int(started, 0))
        diag("  weft_runtime_start: %s", weft_runtime_error());
    return started == 0;
}

static inline void runtime_down(void)
{
    if (!check_int(weft_runtime_stop(), 0))
        diag("  weft_runtime_stop: %s", weft_runtime_error());
}

/* Run body in a process, which has to end with :normal. */
static inline void run_body(weft_fn *body)
{
    weft_term result = weft_none;

    if (!check_int(weft_runtime_run(body, weft_none, &result), 0)) {
        char text[512];

        weft_inspect_to(text, sizeof text, result);
        diag("  the test's process ended with %s", text);
    }
}

static inline void run_in_runtime_opt(weft_fn *body, const struct weft_runtime_options *options)
{
    if (!runtime_up(options))
        return;
    run_body(body);
    runtime_down();
}

/* run_in_runtime(body, .workers = 1): a runtime for one body, with options. */
#define run_in_runtime(body, ...)                                             \
    WEFT_CALL_OPTIONS(run_in_runtime_opt((body),                              \
        WEFT_OPTIONS(weft_runtime_options, WEFT_RUNTIME_DEFAULTS, __VA_ARGS__)))

/* PROCESS_TEST(sentence, "RULE-1 RULE-2"), or by fields as TEST_WITH. */
#define PROCESS_TEST(sentence, ...) PROCESS_TEST_WITH(sentence, .rules = "" __VA_ARGS__)

#define PROCESS_TEST_WITH(sentence, ...)                        \
    static void sentence##_body(void);                          \
    static weft_term sentence##_process(weft_term arg)          \
    {                                                           \
        (void)arg;                                              \
        sentence##_body();                                      \
        return A(ok);                                           \
    }                                                           \
    TEST_WITH(sentence, __VA_ARGS__)                            \
    {                                                           \
        run_in_runtime(sentence##_process, .workers = test_workers()); \
    }                                                           \
    static void sentence##_body(void)

/* -- terms ------------------------------------------------------------------------ */

/* Equal by weft_eq; prints both when not. */
#define check_term(got, want) check_term_at((got), (want), #got, TAP_HERE)

static inline bool check_term_at(weft_term got, weft_term want,
                                 const char *expr, const char *file, int line)
{
    bool held = weft_eq(got, want);

    if (!tap_check(held, expr, file, line)) {
        char got_text[256], want_text[256];

        weft_inspect_to(got_text, sizeof got_text, got);
        weft_inspect_to(want_text, sizeof want_text, want);
        diag("  got %s, want %s", got_text, want_text);
    }
    return held;
}

/* The term fits a pattern; prints both when not. */
#define check_fits(got, pattern) check_fits_at((got), (pattern), #got, TAP_HERE)

static inline bool check_fits_at(weft_term got, weft_term pattern,
                                 const char *expr, const char *file, int line)
{
    bool held = weft_match_term(got, pattern);

    if (!tap_check(held, expr, file, line)) {
        char got_text[256], pattern_text[256];

        weft_inspect_to(got_text, sizeof got_text, got);
        weft_inspect_to(pattern_text, sizeof pattern_text, pattern);
        diag("  got %s, want it to fit %s", got_text, pattern_text);
    }
    return held;
}

/* -- waiting ------------------------------------------------------------------------ */

/* What is in the caller's mailbox; empties it. */
static inline void show_mailbox(void)
{
    enum { SHOWN = 20 };
    weft_term message;
    size_t n = 0;

    for (; weft_receive(weft_any, 0, &message); n++) {
        char text[256];

        if (n >= SHOWN)
            continue;
        weft_inspect_to(text, sizeof text, message);
        diag("    %s", text);
    }
    diag("    (%zu messages in the mailbox)", n);
}

/* The oldest message that fits. When none comes, the caller ends. */
#define expect_message(pattern) expect_message_at((pattern), #pattern, TAP_HERE)

static inline weft_term expect_message_at(weft_term pattern, const char *expr, const char *file, int line)
{
    weft_term message;
    char text[256];

    if (tap_check(weft_receive(pattern, BOUND_MS, &message), expr, file, line))
        return message;
    weft_inspect_to(text, sizeof text, pattern);
    diag("  nothing fits %s after %d ms; instead there is:", text, (int)BOUND_MS);
    show_mailbox();
    weft_exit(weft_tuple(A(test_gave_up), weft_int(line)));
}

/* No such message is there, nor comes within a moment. */
#define expect_no_message(pattern) expect_no_message_at((pattern), #pattern, TAP_HERE)

static inline void expect_no_message_at(weft_term pattern, const char *expr, const char *file, int line)
{
    weft_term message;
    char text[256];

    if (!tap_check(!weft_receive(pattern, QUIET_MS, &message), expr, file, line)) {
        weft_inspect_to(text, sizeof text, message);
        diag("  there is %s", text);
    }
}

/* The reason with which a monitored process ended. */
#define await_down(ref) await_down_at((ref), #ref, TAP_HERE)

static inline weft_term await_down_at(weft_ref ref, const char *expr, const char *file, int line)
{
    weft_term reason = weft_none;

    expect_message_at(weft_tuple(A(DOWN), ref, A(process), weft_any, weft_bind(&reason)), expr, file, line);
    return reason;
}

/* A process that runs fn(arg) ends with {:badarg, text}, which has those words. */
#define check_mistake(fn, arg, words) check_mistake_at((fn), (arg), (words), #fn, TAP_HERE)

static inline void check_mistake_at(weft_fn *fn, weft_term arg, const char *words,
                                    const char *expr, const char *file, int line)
{
    weft_ref down;
    weft_term text = weft_none;

    weft_spawn(fn, arg, .monitor = &down);
    if (check_fits_at(await_down_at(down, expr, file, line), weft_tuple(A(badarg), weft_bind(&text)),
                      expr, file, line))
        tap_check_has(weft_text(text), words, expr, file, line);
}

/* Wait for a process to be gone, however it ends. */
static inline void await_end(weft_pid pid)
{
    WEFT_SCOPE;

    await_down(weft_monitor(pid));
}

/* Wait until a counter has come to n; in a process. */
#define await_count(counter, n) await_count_at((counter), (n), #counter, TAP_HERE)

static inline bool await_count_at(_Atomic int *counter, int n, const char *expr, const char *file, int line)
{
    int64_t until = now_ms() + BOUND_MS;

    /* Acquire: what the counting side did before it counted is done. */
    while (atomic_load_explicit(counter, memory_order_acquire) < n && now_ms() < until)
        weft_yield();
    return tap_check_int(atomic_load(counter), TAP_GE, n, expr, file, line);
}

/* The same without weft: keeps the kernel thread; in any thread. */
static inline void spin_until(_Atomic int *counter, int n)
{
    int64_t until = now_ms() + BOUND_MS;

    while (atomic_load_explicit(counter, memory_order_acquire) < n && now_ms() < until)
        ;
}

/* n times a quarter of a microsecond, on the core: where other programs run as
 * well, sched_yield would give each of them a time slice, every time. */
static inline void pass_time(int n)
{
    int64_t until_ns = now_ns() + n * INT64_C(250);

    while (now_ns() < until_ns)
        ;
}

/* -- puppets ------------------------------------------------------------------------- */

static inline void puppet_turn(void)
{
    WEFT_SCOPE;
    weft_term caller, ref, fn, arg, result, message;
    weft_fn *run;

    weft_receive(weft_tuple(A(puppet), weft_bind(&caller), weft_bind(&ref), weft_bind(&fn), weft_bind(&arg)),
                 WEFT_INFINITY, &message);
    run = (weft_fn *)weft_to_pointer(fn);
    result = run(arg);
    if (weft_is_pid(caller))
        weft_send(caller, weft_tuple(A(done), ref, A(process), weft_self(), result));
}

static inline weft_term puppet_run(weft_term arg)
{
    for (;;)
        puppet_turn();
    return arg;
}

static inline weft_pid puppet_start(void)
{
    return weft_spawn(puppet_run, weft_none);
}

/* Have a puppet run fn(arg), and go on. */
static inline void tell(weft_pid puppet, weft_fn *fn, weft_term arg)
{
    WEFT_SCOPE;

    weft_send(puppet, weft_tuple(A(puppet), A(nil), A(nil), weft_pointer((const void *)fn), arg));
}

/* Have a puppet run fn(arg): what fn returned. A puppet that ends instead ends
 * the caller too. */
#define ask(puppet, fn, arg) ask_at((puppet), (fn), (arg), #fn, TAP_HERE)

static inline weft_term ask_at(weft_pid puppet, weft_fn *fn, weft_term arg,
                               const char *expr, const char *file, int line)
{
    weft_ref ref = weft_monitor(puppet);
    weft_term tag = weft_none, value = weft_none;

    weft_send(puppet, weft_tuple(A(puppet), weft_self(), ref, weft_pointer((const void *)fn), arg));
    expect_message_at(weft_tuple(weft_bind(&tag), ref, A(process), puppet, weft_bind(&value)),
                      expr, file, line);
    if (!tap_check(weft_eq(tag, A(done)), "the puppet answers", file, line)) {
        char text[256];

        weft_inspect_to(text, sizeof text, value);
        diag("  asked for %s it ended with %s", expr, text);
        weft_exit(weft_tuple(A(test_gave_up), weft_int(line)));
    }
    weft_demonitor(ref, true);
    return value;
}

/* What puppets are asked for most. */

static inline weft_term do_nothing(weft_term arg) { return arg; }
static inline weft_term do_exit(weft_term reason) { weft_exit(reason); }
static inline weft_term do_error(weft_term what) { weft_error(what); }
static inline weft_term do_trap(weft_term on) { return weft_bool(weft_trap_exit(weft_to_bool(on))); }
static inline weft_term do_link(weft_term pid) { return weft_link(pid), A(ok); }
static inline weft_term do_unlink(weft_term pid) { return weft_unlink(pid), A(ok); }
static inline weft_term do_monitor(weft_term target) { return weft_monitor(target); }
static inline weft_term do_kill(weft_term pid) { return weft_kill(pid), A(ok); }

/* {to, message} */
static inline weft_term do_send(weft_term arg)
{
    weft_send(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1));
    return A(ok);
}

/* {to, reason} */
static inline weft_term do_signal(weft_term arg)
{
    weft_exit_signal(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1));
    return A(ok);
}

/* The oldest message there is now, or :nothing. */
static inline weft_term do_take(weft_term arg)
{
    weft_term message;

    (void)arg;
    return weft_receive(weft_any, 0, &message) ? message : A(nothing);
}

/* Wait for a message that equals arg. */
static inline weft_term do_await(weft_term arg)
{
    return expect_message(arg);
}

/* {from, reason} of the oldest :EXIT message, for which it waits. */
static inline weft_term do_await_exit(weft_term arg)
{
    weft_term from = weft_none, reason = weft_none;

    (void)arg;
    expect_message(weft_tuple(A(EXIT), weft_bind(&from), weft_bind(&reason)));
    return weft_tuple(from, reason);
}

static inline weft_pid puppet_start_trapping(void)
{
    weft_pid puppet = puppet_start();

    ask(puppet, do_trap, A(true));
    return puppet;
}

/* End a puppet with :normal and see it gone. */
static inline void puppet_stop(weft_pid puppet)
{
    WEFT_SCOPE;
    weft_ref down = weft_monitor(puppet);

    tell(puppet, do_exit, A(normal));
    await_down(down);
}

/* Every signal that `from` sent to `to` so far has arrived: signals between two
 * processes keep their order, so a message behind them pushes them out. */
static inline void settle(weft_pid from, weft_pid to)
{
    WEFT_SCOPE;
    weft_term fence = weft_tuple(A(fence), weft_make_ref());

    ask(from, do_send, weft_tuple(to, fence));
    ask(to, do_await, fence);
}

/* Of a function that faults on purpose, which is no finding of a sanitizer's. */
#if defined(__clang__)
#define FAULTY __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define FAULTY __attribute__((noinline, no_sanitize("address", "undefined", "thread")))
#endif

/* -- other processes that tests need ---------------------------------------------------- */

/* Ends at once with the reason it is given. */
static inline weft_term ends_with(weft_term reason)
{
    weft_exit(reason);
}

/* Waits for the message :stop, and returns. */
static inline weft_term waits_for_stop(weft_term arg)
{
    (void)arg;
    weft_receive(A(stop), WEFT_INFINITY, NULL);
    return A(stopped);
}

/* One item of what is known of a process. */
static inline weft_term info_of(weft_pid pid, weft_atom item)
{
    return weft_process_info(pid, item);
}

/* Until it waits, and has nothing in its mailbox that it would wake up for. */
static inline void await_waiting(weft_pid pid)
{
    int64_t until = now_ms() + BOUND_MS;

    for (bool is_waiting = false; !is_waiting && check_lt(now_ms(), until); weft_yield()) {
        WEFT_SCOPE;

        is_waiting = weft_match_term(weft_process_info(pid, weft_list(A(status), A(message_queue_len))),
                                     weft_list(weft_tuple(A(status), A(waiting)),
                                               weft_tuple(A(message_queue_len), weft_int(0))));
    }
}

/* Whether pid is an element of a list, or the last part of a tuple in it. */
static inline bool is_listed(weft_term list, weft_pid pid)
{
    weft_list_each (element, list) {
        weft_term last = element;

        if (weft_is_tuple(element) && weft_tuple_size(element) > 0)
            last = weft_tuple_at(element, weft_tuple_size(element) - 1);
        if (weft_eq(last, pid))
            return true;
    }
    return false;
}

#endif

/* stop_test.c - how a program ends: by a signal, in order, by a deadline, and
 * what is said of that which does not end. Each program runs in a process of its
 * own; what it says is its order. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/process_test.h"
#include "proc/runtime.h"
#include "weft/gen_server.h"
#include "weft/supervisor.h"

/* -- programs -------------------------------------------------------------------- */

struct program {
    weft_fn *app;
    int64_t stop_timeout_ms;
    bool is_on_one_core;
};

static void runs_main(void *arg)
{
    const struct program *program = arg;
    char *argv[] = {"program", NULL};
    cpu_set_t one;

    /* As a terminal starts it; what runs the tests may have them ignored. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (program->is_on_one_core) {
        int core = sched_getcpu();

        CPU_ZERO(&one);
        CPU_SET((size_t)core, &one);
        sched_setaffinity(0, sizeof one, &one);
    }
    /* Not exit: what did not end is still there, and the leak checker would tell. */
    _exit(weft_main(1, argv, program->app, .stop_timeout_ms = program->stop_timeout_ms));
}

/* Run it, and see its status. */
static void check_ends(struct program program, int status, struct tap_outcome *outcome)
{
    tap_run(runs_main, &program, 0, outcome);
    check(WIFEXITED(outcome->status));
    if (!check_int(WEXITSTATUS(outcome->status), status))
        diag("  it said: %s", outcome->output);
}

/* These words are in the text, in this order. */
static void check_order(const char *text, const char *const *words, size_t n)
{
    const char *at = text;

    for (size_t i = 0; i < n; i++) {
        const char *found = strstr(at, words[i]);

        if (!check(found != NULL)) {
            diag("  \"%s\" is not there, or too early, in: %s", words[i], text);
            return;
        }
        at = found + strlen(words[i]);
    }
}
#define CHECK_ORDER(text, ...)                                                \
    check_order(text, (const char *const[]){__VA_ARGS__}, COUNT(((const char *const[]){__VA_ARGS__})))

static weft_term is_terminated(void)
{
    kill(getpid(), SIGTERM);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return weft_none;
}

/* -- a tree ---------------------------------------------------------------------------- */

static void say(const char *what, weft_term who)
{
    char line[128];
    int n = snprintf(line, sizeof line, "%s %s.\n", what, weft_atom_name(who));

    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        (void)line;
}

struct member { weft_term name; };

static weft_init_result member_init(weft_term name)
{
    struct member *member = weft_new(struct member);

    weft_trap_exit(true);
    member->name = weft_keep(name);
    return weft_init_ok(member);
}

static void member_ends(void *state, weft_term reason)
{
    (void)reason;
    say("ended", ((struct member *)state)->name);
}

static void member_never_ends(void *state, weft_term reason)
{
    (void)reason;
    say("began to end", ((struct member *)state)->name);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    __asm__ volatile("" ::: "memory"); /* no tail call: it stays on the stack */
}

static const weft_gen_server member_server = {.init = member_init, .terminate = member_ends};
static const weft_gen_server stubborn_server = {.init = member_init, .terminate = member_never_ends};

static weft_started member_start(weft_term name) { return weft_gen_server_start_link(&member_server, name); }
static weft_started stubborn_start(weft_term name) { return weft_gen_server_start_link(&stubborn_server, name); }

static weft_started inner_start(weft_term name)
{
    weft_child_spec children[] = {
        weft_child(.id = A(third), .start = member_start, .arg = A(third)),
        weft_child(.id = A(fourth), .start = member_start, .arg = A(fourth)),
    };

    (void)name;
    return weft_supervisor_start_link(children, COUNT(children), .strategy = WEFT_ONE_FOR_ONE);
}

static weft_started tree_start(weft_term arg)
{
    weft_child_spec children[] = {
        weft_child(.id = A(first), .start = member_start, .arg = A(first)),
        weft_child(.id = A(second), .start = member_start, .arg = A(second)),
        weft_child(.id = A(inner), .start = inner_start, .type = WEFT_SUPERVISOR),
        weft_child(.id = A(fifth), .start = member_start, .arg = A(fifth)),
    };

    (void)arg;
    return weft_supervisor_start_link(children, COUNT(children), .strategy = WEFT_ONE_FOR_ONE);
}

/* -- in order ------------------------------------------------------------------------------ */

static weft_term app_with_a_tree(weft_term args)
{
    (void)args;
    weft_must(tree_start(weft_none));
    return is_terminated();
}

static weft_term app_that_returns_beside_a_tree(weft_term args)
{
    (void)args;
    weft_must(tree_start(weft_none));
    return A(ok);
}

#define ORDER "ended fifth.", "ended fourth.", "ended third.", "ended second.", "ended first."

TEST(a_terminated_program_ends_its_tree_in_the_reverse_order_of_the_starts)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_with_a_tree, 8000, false}, 128 + SIGTERM, &outcome);
    CHECK_ORDER(outcome.output, ORDER);
    check(strstr(outcome.output, "did not end") == NULL);
}

TEST(a_program_whose_app_has_returned_ends_its_tree_in_order)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_that_returns_beside_a_tree, 8000, false}, 0, &outcome);
    CHECK_ORDER(outcome.output, ORDER);
}

/* Starts the tree and goes: nobody is linked to it, and it traps. */
static weft_term starts_a_tree_and_goes(weft_term arg)
{
    weft_started tree = tree_start(weft_none);

    weft_unlink(weft_must(tree));
    return arg;
}

static weft_term app_with_a_tree_of_nobody(weft_term args)
{
    weft_ref down;

    (void)args;
    weft_spawn(starts_a_tree_and_goes, weft_none, .monitor = &down);
    await_down(down);
    return is_terminated();
}

TEST(a_tree_that_nobody_is_linked_to_ends_in_order_too)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_with_a_tree_of_nobody, 8000, false}, 128 + SIGTERM, &outcome);
    CHECK_ORDER(outcome.output, ORDER);
    check(strstr(outcome.output, "did not end") == NULL);
}

static weft_term app_that_takes_its_time(weft_term args)
{
    weft_term from;
    weft_pid tree = weft_must(tree_start(weft_none));

    (void)args;
    weft_trap_exit(true);
    kill(getpid(), SIGINT);
    weft_receive(weft_tuple(A(EXIT), weft_bind(&from), A(interrupt)), WEFT_INFINITY, NULL);
    weft_supervisor_stop(tree, A(normal), WEFT_INFINITY);
    say("ended", A(app));
    return weft_int(3);
}

TEST(an_app_that_traps_is_told_once_and_ends_as_it_likes)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_that_takes_its_time, 8000, false}, 3, &outcome);
    CHECK_ORDER(outcome.output, ORDER, "ended app.");
}

/* -- a chain without links -------------------------------------------------------------------- */

static _Atomic int n_up;

/* Each starts the next one and tells of its end: parents come first. */
static weft_term link_of_a_chain(weft_term left)
{
    weft_term message;

    weft_trap_exit(true);
    if (weft_to_int(left) > 0)
        weft_spawn(link_of_a_chain, weft_int(weft_to_int(left) - 1));
    atomic_fetch_add(&n_up, 1);
    weft_receive(weft_tuple(A(EXIT), weft_any, A(shutdown)), WEFT_INFINITY, &message);
    check_int(atomic_fetch_sub(&n_up, 1), weft_to_int(left) + 1);
    return A(ok);
}

TEST(who_has_a_parent_is_told_when_that_has_ended)
{
    enum { N = 50 };

    if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
        return;
    weft_spawn(link_of_a_chain, weft_int(N - 1));
    spin_until(&n_up, N);
    runtime_down();
    check_int(atomic_load(&n_up), 0);
}

/* -- what does not end --------------------------------------------------------------------------- */

static weft_term app_with_one_that_does_not_end(weft_term args)
{
    weft_child_spec children[] = {
        weft_child(.id = A(first), .start = member_start, .arg = A(first)),
        weft_child(.id = A(stubborn), .start = stubborn_start, .arg = A(stubborn), .shutdown_ms = WEFT_INFINITY),
        weft_child(.id = A(last), .start = member_start, .arg = A(last)),
    };

    (void)args;
    weft_must(weft_supervisor_start_link(children, COUNT(children), .strategy = WEFT_ONE_FOR_ONE));
    return is_terminated();
}

TEST(a_program_names_what_does_not_end_with_its_stack_and_kills_it)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_with_one_that_does_not_end, 2000, false}, 128 + SIGTERM, &outcome);
    CHECK_ORDER(outcome.output, "ended last.", "began to end stubborn.", "did not end in time and will be killed",
                "weft: ");
    check_has(outcome.output, "  member_never_ends+");
    check(strstr(outcome.output, "weft_runtime_stop: ") == NULL);
}

static _Atomic int is_blocked;

__attribute__((noinline)) static void *blocks_in_c(void *arg)
{
    atomic_store(&is_blocked, 1);
    for (;;)
        pause();
    return arg;
}

static weft_term blocks(weft_term arg)
{
    weft_blocking(blocks_in_c, NULL);
    return arg;
}

static weft_term app_with_one_that_blocks(weft_term args)
{
    (void)args;
    weft_spawn(blocks, weft_none);
    await_count(&is_blocked, 1);
    return is_terminated();
}

TEST(a_program_ends_though_a_c_function_blocks_and_names_it)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_with_one_that_blocks, 600, false}, 128 + SIGTERM, &outcome);
    check_has(outcome.output, " blocks: runs in weft_blocking");
    check_has(outcome.output, "  blocks_in_c+");
    check_has(outcome.output, "  blocks+");
    check_has(outcome.output, "weft_runtime_stop: did not end in time: #PID<");
}

static void *terminates_when_it_spins(void *arg)
{
    spin_until(&is_blocked, 1);
    kill(getpid(), SIGTERM);
    return arg;
}

static weft_term app_that_spins(weft_term args)
{
    pthread_t thread;

    check_int(pthread_create(&thread, NULL, terminates_when_it_spins, NULL), 0);
    check_int(pthread_detach(thread), 0); /* nobody is left to join it */
    atomic_store(&is_blocked, 1);
    while (atomic_load(&is_blocked) == 1)
        ;
    return args;
}

TEST(a_program_ends_though_its_only_worker_is_held)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_that_spins, 1000, true}, 128 + SIGTERM, &outcome);
    check_has(outcome.output, " app_that_spins: runs on ");
#if !defined(WEFT_TSAN) /* which holds back the signal that asks */
    check_has(outcome.output, "  app_that_spins+");
#endif
}

/* -- once more ----------------------------------------------------------------------------------------- */

static weft_term app_that_does_not_listen(weft_term args)
{
    weft_trap_exit(true);
    kill(getpid(), SIGINT);
    weft_receive(weft_tuple(A(EXIT), weft_any, A(interrupt)), WEFT_INFINITY, NULL);
    kill(getpid(), SIGINT);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return args;
}

static weft_term app_that_is_terminated_and_interrupted(weft_term args)
{
    weft_trap_exit(true);
    kill(getpid(), SIGTERM);
    weft_receive(weft_tuple(A(EXIT), weft_any, A(terminate)), WEFT_INFINITY, NULL);
    kill(getpid(), SIGTERM); /* it knows */
    kill(getpid(), SIGINT);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return args;
}

TEST(a_second_interrupt_ends_a_program_at_once)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_that_does_not_listen, 3600000, false}, 128 + SIGINT, &outcome);
    check_has(outcome.output, "ends at once");
    check_ends((struct program){app_that_is_terminated_and_interrupted, 3600000, false}, 128 + SIGINT, &outcome);
    check_has(outcome.output, "ends at once");
}

/* -- ends that meet the end of the time ------------------------------------------------- */

static _Atomic int n_begun, n_let_go;

/* Ends by itself, some nanoseconds after it was let go. */
static weft_term ends_soon(weft_term loops)
{
    int number = atomic_fetch_add(&n_begun, 1);

    while (atomic_load(&n_let_go) <= number)
        continue;
    for (volatile int64_t i = weft_to_int(loops); i > 0; i--)
        continue;
    return loops;
}

static void check_some_live(int64_t n)
{
    check_ge(n, 1);
}

TEST(nobody_is_overdue_who_ends_as_the_time_does)
{
    if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
        return;
    for (int i = 0; i < scaled(5000); i++) {
        weft_pid pid = weft_spawn(ends_soon, weft_int(i % 2 == 0 ? i % 500 : 4 * i));
        int code;

        spin_until(&n_begun, i + 1);
        weft__runtime_no_error();
        atomic_store(&n_let_go, i + 1);
        code = weft__runtime_end_processes(weft__clock_ns(), 0, check_some_live);
        if (code != 0) {
            check_int(code, WEFT_ETIMEDOUT);
            check_has(weft_runtime_error(), " did not end in time");
        }
        while (weft_is_alive(pid))
            sched_yield();
    }
    check_int(weft_runtime_stop(), 0);
}

TEST(a_negative_time_is_refused)
{
    struct tap_outcome outcome;

    check_ends((struct program){app_that_spins, -1, false}, EXIT_FAILURE, &outcome);
    check_has(outcome.output, "weft_main: .stop_timeout_ms is negative (-1)");
}

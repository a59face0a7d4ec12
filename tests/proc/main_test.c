/* main_test.c - weft_main: what an app gets, and what a program's exit status
 * says of how it ended. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/process_test.h"
#include "weft/io.h"

static weft_term checks_its_arguments(weft_term args)
{
    check_term(args, weft_list(weft_str("first"), weft_str("second argument"), weft_str("")));
    return A(ok);
}

static weft_term has_no_arguments(weft_term args)
{
    check_term(args, weft_empty_list);
    return A(ok);
}

static weft_term app_returns_ok(weft_term args) { (void)args; return A(ok); }
static weft_term app_exits_ok(weft_term args) { (void)args; weft_exit(A(ok)); }
static weft_term app_exits_normal(weft_term args) { (void)args; weft_exit(A(normal)); }
static weft_term app_exits_zero(weft_term args) { (void)args; weft_exit(weft_int(0)); }
static weft_term app_exits_three(weft_term args) { (void)args; weft_exit(weft_int(3)); }
static weft_term app_exits_boom(weft_term args)
{
    (void)args;
    weft_exit(weft_tuple(A(boom), weft_str("in words")));
}
static weft_term app_errs(weft_term args) { (void)args; weft_error(A(the_error)); }

/* Gets this signal from itself; it ends it wherever it is. */
static weft_term app_interrupts_itself(weft_term args)
{
    kill(getpid(), SIGINT);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return args;
}

static weft_term app_terminates_itself(weft_term args)
{
    kill(getpid(), SIGTERM);
    weft_sleep(3600000);
    return args;
}

/* Makes a descriptor, which is not to be one of the three. */
static weft_term app_opens_a_pipe(weft_term args)
{
    int fds[2];

    (void)args;
    check_int(weft_pipe(fds), 0);
    check(fds[0] > 2 && fds[1] > 2);
    check(write(STDOUT_FILENO, "x", 1) < 0 && weft_errno() == EBADF);
    return A(ok);
}

/* Standard error is a pipe that it reads until the dump is there. */
static weft_term app_quits(weft_term args)
{
    char text[4096] = "";
    size_t n = 0;
    ssize_t more;
    int fds[2];

    (void)args;
    check_int(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    kill(getpid(), SIGQUIT);
    while (strstr(text, " app_quits: ") == NULL && n + 1 < sizeof text &&
           (more = read(fds[0], text + n, sizeof text - 1 - n)) > 0)
        text[n += (size_t)more] = 0;
    check_has(text, " app_quits: ");
    return A(ok);
}

struct program {
    weft_fn *app;
    int status;
    const char *output; /* what it says, or NULL */
};

/* As a terminal starts it; what runs the tests may have them ignored. */
static void default_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
}

static void runs_main(void *arg)
{
    const struct program *program = arg;
    char *argv[] = { "program", NULL };

    default_signals();
    exit(weft_main(1, argv, program->app));
}

static void check_program(weft_fn *app, int status, const char *output)
{
    struct program program = { app, status, output };
    struct tap_outcome outcome;

    tap_run(runs_main, &program, 0, &outcome);
    check(WIFEXITED(outcome.status));
    if (!check_int(WEXITSTATUS(outcome.status), status))
        diag("  it said: %s", outcome.output);
    if (output != NULL)
        check_has(outcome.output, output);
}

static void runs_main_with_arguments(void *arg)
{
    char *argv[] = { "program", "first", "second argument", "", NULL };

    (void)arg;
    exit(weft_main(4, argv, checks_its_arguments));
}

TEST(the_app_of_a_program_gets_its_arguments)
{
    struct tap_outcome outcome;

    tap_run(runs_main_with_arguments, NULL, 0, &outcome);
    check(WIFEXITED(outcome.status));
    check_int(WEXITSTATUS(outcome.status), 0);
    check_program(has_no_arguments, 0, NULL);
}

TEST(a_program_whose_app_returns_or_exits_with_ok_has_status_0)
{
    check_program(app_returns_ok, 0, NULL);
    check_program(app_exits_ok, 0, NULL);
    check_program(app_exits_normal, 0, NULL);
    check_program(app_exits_zero, 0, NULL);
}

TEST(a_program_whose_app_exits_with_an_integer_has_that_status)
{
    check_program(app_exits_three, 3, NULL);
}

TEST(a_program_whose_app_exits_otherwise_has_status_1_and_says_why)
{
    check_program(app_exits_boom, 1, "in words");
    check_program(app_errs, 1, "the_error");
}

TEST(a_program_that_is_interrupted_or_terminated_says_so_in_its_status)
{
    check_program(app_interrupts_itself, 130, NULL);
    check_program(app_terminates_itself, 143, NULL);
}

TEST(a_program_dumps_at_sigquit_and_goes_on)
{
    check_program(app_quits, 0, NULL);
}

static void runs_main_without_dumps(void *arg)
{
    struct rlimit no_core = { 0, 0 };
    char *argv[] = { "program", NULL };

    (void)arg;
    default_signals();
    setrlimit(RLIMIT_CORE, &no_core);
    exit(weft_main(1, argv, app_quits, .dump_on_quit = false));
}

TEST(a_program_that_does_not_want_dumps_ends_at_sigquit)
{
    struct tap_outcome outcome;

    tap_run(runs_main_without_dumps, NULL, 0, &outcome);
    check(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGQUIT);
}

/* None of these does anything. */
static weft_term app_that_is_signalled(weft_term args)
{
    (void)args;
    kill(getpid(), SIGINT);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGQUIT);
    weft_sleep(QUIET_MS);
    return weft_int(7);
}

static void runs_main_with_signals_ignored(void *arg)
{
    char *argv[] = { "program", NULL };

    (void)arg;
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    exit(weft_main(1, argv, app_that_is_signalled));
}

TEST(signals_that_are_ignored_when_a_program_begins_stay_so)
{
    struct tap_outcome outcome;

    tap_run(runs_main_with_signals_ignored, NULL, 0, &outcome);
    check(WIFEXITED(outcome.status));
    check_int(WEXITSTATUS(outcome.status), 7);
    check_str(outcome.output, "");
}

static _Atomic int is_blocked;

static void *holds_its_thread(void *arg)
{
    (void)arg;
    atomic_store(&is_blocked, 1);
    pause();
    return NULL;
}

static weft_term blocks(weft_term arg)
{
    weft_blocking(holds_its_thread, NULL);
    return arg;
}

static weft_term app_is_terminated_beside_one_that_blocks(weft_term args)
{
    weft_spawn(blocks, weft_none);
    await_count(&is_blocked, 1);
    kill(getpid(), SIGTERM);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return args;
}

static void runs_main_with_a_short_end(void *arg)
{
    char *argv[] = { "program", NULL };

    (void)arg;
    default_signals();
    /* The runtime is still there, which the leak checker would take for leaks. */
    _exit(weft_main(1, argv, app_is_terminated_beside_one_that_blocks, .stop_timeout_ms = 100));
}

TEST(a_terminated_program_names_what_does_not_end_in_time)
{
    struct tap_outcome outcome;

    tap_run(runs_main_with_a_short_end, NULL, 0, &outcome);
    check(WIFEXITED(outcome.status));
    check_int(WEXITSTATUS(outcome.status), 143);
    check_has(outcome.output, "did not end in time");
    check_has(outcome.output, " blocks: runs in weft_blocking");
}

static void runs_main_without_input_and_output(void *arg)
{
    char *argv[] = { "program", NULL };

    (void)arg;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    exit(weft_main(1, argv, app_opens_a_pipe));
}

TEST(a_program_without_standard_output_does_not_print_into_a_socket)
{
    struct tap_outcome outcome;

    tap_run(runs_main_without_input_and_output, NULL, 0, &outcome);
    check(WIFEXITED(outcome.status));
    check_int(WEXITSTATUS(outcome.status), 0);
}

static weft_term app_leaves_others_running(weft_term args)
{
    for (int i = 0; i < 10; i++)
        weft_spawn(waits_for_stop, weft_none);
    weft_yield();
    return weft_is_list(args) ? A(ok) : args;
}

TEST(a_program_ends_with_its_app_though_others_run)
{
    check_program(app_leaves_others_running, 0, NULL);
}

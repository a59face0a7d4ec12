/* main.c - weft_main: a program that is one weft application.
 *
 *     the main thread                      the thread of signals (os_signal.c)
 *     starts the app, waits for its end    SIGINT, SIGTERM: notes which, wakes the other;
 *     told of a signal: tells the app        from now on a SIGINT ends the program at once
 *     ends all processes (proc/stop.c)
 *     reports what is overdue
 *
 * Neither needs a worker, so a program whose workers are all held ends as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "services/os_signal.h"
#include "weft/error.h"
#include "weft/info.h"
#include "weft/runtime.h"

/* Of the one program that runs now; set before the signals are. */
static struct {
    weft_pid self;        /* the main thread's */
    int64_t timeout_ms;
    _Atomic int signo;    /* what asked it to end, or 0 */
} ending;

/* What ended the app: 0 and n are told by its result, a signal by its reason. */
static int status_of(weft_term result, bool is_ok)
{
    int64_t n;

    if (weft_try_to_int(result, &n))
        return (int)(n & 255);
    if (is_ok && (weft_eq(result, WEFT_ATOM("ok")) || weft_eq(result, WEFT_ATOM("normal"))))
        return EXIT_SUCCESS;
    if (weft_eq(result, WEFT_ATOM("interrupt")))
        return 128 + SIGINT;
    if (weft_eq(result, WEFT_ATOM("terminate")))
        return 128 + SIGTERM;
    if (!is_ok && (weft_eq(result, WEFT_ATOM("ok")) || weft_eq(result, WEFT_ATOM("shutdown"))))
        return EXIT_SUCCESS;
    fprintf(stderr, "weft: the program %s: %s\n", is_ok ? "returned" : "ended", weft_inspect(result));
    return EXIT_FAILURE;
}

/* -- being told to end -------------------------------------------------------------- */

static bool is_asked(void)
{
    /* Acquire is not needed: nothing comes with it. */
    return atomic_load_explicit(&ending.signo, memory_order_relaxed) != 0;
}

/* On the thread of signals. */
static void ask(int signo)
{
    int nobody = 0;

    /* Relaxed: the wake-up orders it. The first one counts. */
    atomic_compare_exchange_strong_explicit(&ending.signo, &nobody, signo, memory_order_relaxed,
                                            memory_order_relaxed);
    weft__os_signal_is_last(SIGINT);
    weft__proc_unpark(ending.self);
}

/* Whoever started the program may not want it to hear of one, as a shell that starts
 * it beside others. */
static bool is_ignored(int signo)
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN;
}

/* Without them the program runs as well. */
static void take_signals(bool dump_on_quit)
{
    if (!is_ignored(SIGINT))
        (void)weft__os_signal_act(SIGINT, ask);
    if (!is_ignored(SIGTERM))
        (void)weft__os_signal_act(SIGTERM, ask);
    if (dump_on_quit && !is_ignored(SIGQUIT))
        (void)weft_os_signal_dump(SIGQUIT);
}

static weft_atom reason_of(int signo)
{
    return signo == SIGINT ? WEFT_ATOM("interrupt") : WEFT_ATOM("terminate");
}

/* -- the end ------------------------------------------------------------------------------- */

static void say_overdue(int64_t n)
{
    fprintf(stderr, "weft: %" PRId64 " process%s did not end in time and will be killed; the program ends "
            "%" PRId64 " ms after it began to:\n", n, n == 1 ? "" : "es", ending.timeout_ms);
    (void)weft_dump(STDERR_FILENO);
}

/* End all that lives, the app too if it is there still. *result: what it ended
 * with; weft_none: it did not. */
static int end_program(const struct weft__run *run, weft_term *result, bool *is_ok)
{
    int64_t begin_ns = weft__clock_ns();
    int signo, code;

    if (!weft__run_has_ended(run)) {
        signo = atomic_load_explicit(&ending.signo, memory_order_relaxed);
        weft__runtime_tell_end(run->pid, reason_of(signo));
    }
    code = weft__runtime_end_processes(begin_ns, ending.timeout_ms, say_overdue);
    if (weft__run_has_ended(run))
        *is_ok = weft__run_take(run, result);
    return code;
}

/* -- the program ------------------------------------------------------------------------------ */

/* A program may be started without standard input, output or error. The next
 * socket would get that number, and what the program prints would go there. The
 * wrong way round, so that reading and writing fail as before. */
static void fill_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

static weft_term list_of(int argc, char **argv)
{
    weft_term args = weft_empty_list;

    for (int i = argc - 1; i > 0; i--)
        args = weft_cons(weft_str(argv[i]), args);
    return args;
}

/* With a runtime. The exit status. */
static int run_program(weft_fn *app, weft_term args)
{
    struct weft__run run;
    weft_term result = weft_none;
    bool is_ok = false;
    int status;

    if (weft__run_begin(&run, app, args) != 0) {
        fprintf(stderr, "%s\n", weft_runtime_error());
        return EXIT_FAILURE;
    }
    (void)weft__run_wait(&run, is_asked);
    if (end_program(&run, &result, &is_ok) != 0)
        fprintf(stderr, "%s\n", weft_runtime_error());
    status = weft_is_none(result) ? 128 + atomic_load_explicit(&ending.signo, memory_order_relaxed)
                                  : status_of(result, is_ok);
    return status;
}

int weft_main_opt(int argc, char **argv, weft_fn *app, const struct weft_main_options *given)
{
    struct weft_main_options room = {WEFT_MAIN_DEFAULTS};
    const struct weft_main_options *options = weft__options(given, &room, sizeof room);
    int status;

    if (app == NULL) {
        fprintf(stderr, "weft_main: the function is NULL\n");
        return EXIT_FAILURE;
    }
    if (options->stop_timeout_ms < 0) {
        fprintf(stderr, "weft_main: .stop_timeout_ms is negative (%" PRId64 ")\n", options->stop_timeout_ms);
        return EXIT_FAILURE;
    }
    fill_standard_fds();
    if (weft_runtime_start() != 0) {
        fprintf(stderr, "%s\n", weft_runtime_error());
        return EXIT_FAILURE;
    }
    ending.self = weft_self();
    ending.timeout_ms = options->stop_timeout_ms;
    atomic_store_explicit(&ending.signo, 0, memory_order_relaxed);
    take_signals(options->dump_on_quit);
    status = run_program(app, list_of(argc, argv));
    (void)weft_runtime_stop(.timeout_ms = 0); /* what could not be ended was named */
    return status;
}

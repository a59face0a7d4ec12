/* main.c - weft_main: a program that is one weft application. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/options.h"
#include "proc/runtime.h"
#include "services/os_signal.h"
#include "weft/error.h"
#include "weft/info.h"
#include "weft/runtime.h"

struct program {
    weft_fn *app;
    weft_term args;
};

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

/* In the app's process, before the app: it is to end by Ctrl-C, in order. */
static weft_term app_of_main(weft_term program)
{
    struct program *p = weft_to_pointer(program);

    weft__os_signal_exit(SIGINT, weft_self(), WEFT_ATOM("interrupt"));
    weft__os_signal_exit(SIGTERM, weft_self(), WEFT_ATOM("terminate"));
    return p->app(p->args);
}

/* A program may be started without standard input, output or error. The next
 * socket would get that number, and what the program prints would go there. The
 * wrong way round, so that reading and writing fail as before. */
static void fill_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int weft_main_opt(int argc, char **argv, weft_fn *app, const struct weft_main_options *given)
{
    struct weft_main_options room = {WEFT_MAIN_DEFAULTS};
    const struct weft_main_options *options = weft__options(given, &room, sizeof room);
    struct program program = {app, weft_empty_list};
    weft_term result = weft_none;
    int code, status;

    if (app == NULL) {
        fprintf(stderr, "weft_main: the function is NULL\n");
        return EXIT_FAILURE;
    }
    fill_standard_fds();
    code = weft_runtime_start();
    if (code != 0) {
        fprintf(stderr, "%s\n", weft_runtime_error());
        return EXIT_FAILURE;
    }
    if (options->dump_on_quit)
        (void)weft_os_signal_dump(SIGQUIT); /* without it the program runs as well */
    for (int i = argc - 1; i > 0; i--)
        program.args = weft_cons(weft_str(argv[i]), program.args);
    code = weft_runtime_run(app_of_main, weft_pointer(&program), &result);
    if (code != 0 && code != WEFT_ECANCELED) {
        fprintf(stderr, "%s\n", weft_runtime_error());
        weft_runtime_stop();
        return EXIT_FAILURE;
    }
    status = status_of(result, code == 0);
    if (weft_runtime_stop(.timeout_ms = options->stop_timeout_ms) != 0) {
        fprintf(stderr, "%s\n", weft_runtime_error());
        (void)weft_dump(STDERR_FILENO);
    }
    return status;
}

/* tap.c - runs the tests of one program, and keeps their score.
 *
 * The parent has one thread and never runs a test: it forks, waits on a pidfd
 * until the deadline, and prints the TAP line. The score is in memory that both
 * share, so that it outlives whatever becomes of the child.
 *
 * Lines are written by a single write(2) of less than PIPE_BUF bytes, which a
 * pipe never mixes with another; a lock would be left locked by a process that
 * is killed while it reports.
 */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(WEFT_TSAN)
#define DEADLINE_FACTOR 6
#elif defined(WEFT_ASAN)
#define DEADLINE_FACTOR 3
#else
#define DEADLINE_FACTOR 1
#endif

enum { DEADLINE_S = 60, REPORTS_MAX = 20, LINE_SIZE = 1024, REASON_SIZE = 200 };

/* What a test says of itself; the child's threads write, the parent reads when
 * the child is gone. */
struct score {
    _Atomic unsigned checks;
    _Atomic unsigned failures;
    _Atomic unsigned skipped; /* 1 when `skip` holds the reason */
    _Atomic unsigned todo;    /* likewise */
    _Atomic unsigned finished; /* 1 when the test returned */
    char skip_reason[REASON_SIZE];
    char todo_reason[REASON_SIZE];
};

static struct tap_test *tests;
static struct score *score;

/* -- the list -------------------------------------------------------------------- */

/* By line within a file: constructors promise no order. */
void tap_add(struct tap_test *test)
{
    struct tap_test **at = &tests;

    while (*at != NULL && (strcmp((*at)->file, test->file) != 0 || (*at)->line < test->line))
        at = &(*at)->next;
    test->next = *at;
    *at = test;
}

static void sentence(const struct tap_test *test, char *text, size_t size)
{
    bool has_rules = test->rules != NULL && test->rules[0] != '\0';
    size_t at = 0;

    for (; test->name[at] != '\0' && at + 1 < size; at++)
        text[at] = test->name[at] == '_' ? ' ' : test->name[at];
    text[at] = '\0';
    if (has_rules)
        snprintf(text + at, size - at, " (%s)", test->rules);
}

/* -- lines ------------------------------------------------------------------------ */

static void put(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);

        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
}

/* Print one line, cut off at LINE_SIZE; errno is left as it was. */
__attribute__((format(printf, 3, 0)))
static void put_line(int fd, const char *prefix, const char *format, va_list args)
{
    int saved = errno;
    char line[LINE_SIZE];
    size_t at = strlen(prefix);
    int n;

    memcpy(line, prefix, at);
    n = vsnprintf(line + at, sizeof line - at - 1, format, args);
    if (n > 0)
        at += (size_t)n < sizeof line - at - 1 ? (size_t)n : sizeof line - at - 2;
    line[at++] = '\n';
    put(fd, line, at);
    errno = saved;
}

__attribute__((format(printf, 1, 2)))
static void tap_line(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_line(STDOUT_FILENO, "", format, args);
    va_end(args);
}

void diag(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_line(STDERR_FILENO, "# ", format, args);
    va_end(args);
}

/* -- checks ------------------------------------------------------------------------ */

/* Relaxed throughout: the parent reads after waitpid, which orders. */
static bool count(bool held)
{
    atomic_fetch_add_explicit(&score->checks, 1, memory_order_relaxed);
    return held;
}

/* Count a failure: whether it is one of those to print. */
static bool failed(void)
{
    unsigned before = atomic_fetch_add_explicit(&score->failures, 1, memory_order_relaxed);

    if (before == REPORTS_MAX)
        diag("  (more checks failed; only the first %d are printed)", (int)REPORTS_MAX);
    return before < REPORTS_MAX;
}

bool tap_check(bool held, const char *expr, const char *file, int line)
{
    if (!count(held) && failed())
        diag("%s:%d: does not hold: %s", file, line, expr);
    return held;
}

static bool related(intmax_t got, enum tap_relation relation, intmax_t want)
{
    switch (relation) {
    case TAP_EQ: return got == want;
    case TAP_NE: return got != want;
    case TAP_LT: return got < want;
    case TAP_LE: return got <= want;
    case TAP_GT: return got > want;
    case TAP_GE: return got >= want;
    }
    return false;
}

bool tap_check_int(intmax_t got, enum tap_relation relation, intmax_t want,
                   const char *expr, const char *file, int line)
{
    static const char *const words[] = { "", "anything but ", "less than ", "at most ",
                                         "more than ", "at least " };
    bool held = count(related(got, relation, want));

    if (!held && failed())
        diag("%s:%d: %s: got %jd, want %s%jd", file, line, expr, got, words[relation], want);
    return held;
}

bool tap_check_uint(uintmax_t got, uintmax_t want, const char *expr, const char *file, int line)
{
    bool held = count(got == want);

    if (!held && failed())
        diag("%s:%d: %s: got %ju (0x%jx), want %ju (0x%jx)", file, line, expr, got, got, want, want);
    return held;
}

bool tap_check_ptr(const void *got, const void *want, const char *expr, const char *file, int line)
{
    bool held = count(got == want);

    if (!held && failed())
        diag("%s:%d: %s: got %p, want %p", file, line, expr, got, want);
    return held;
}

enum { SHOWN_SIZE = 320 };

/* A string as C writes it, cut off at SHOWN_SIZE; NULL without quotes. */
static const char *shown(const char *text, char buffer[SHOWN_SIZE])
{
    size_t at = 0;

    if (text == NULL)
        return "NULL";
    buffer[at++] = '"';
    for (; *text != '\0' && at < SHOWN_SIZE - 6; text++) {
        if (*text == '\n' || *text == '"' || *text == '\\')
            buffer[at++] = '\\';
        buffer[at++] = *text == '\n' ? 'n' : *text;
    }
    strcpy(buffer + at, *text == '\0' ? "\"" : "...");
    return buffer;
}

static void report_strings(const char *got, const char *verb, const char *want,
                           const char *expr, const char *file, int line)
{
    char got_buffer[SHOWN_SIZE], want_buffer[SHOWN_SIZE];

    diag("%s:%d: %s: got %s, want %s%s", file, line, expr, shown(got, got_buffer), verb, shown(want, want_buffer));
}

bool tap_check_str(const char *got, const char *want, const char *expr, const char *file, int line)
{
    bool same = got == NULL || want == NULL ? got == want : strcmp(got, want) == 0;
    bool held = count(same);

    if (!held && failed())
        report_strings(got, "", want, expr, file, line);
    return held;
}

bool tap_check_has(const char *got, const char *want, const char *expr, const char *file, int line)
{
    bool held = count(got != NULL && want != NULL && strstr(got, want) != NULL);

    if (!held && failed())
        report_strings(got, "it to have ", want, expr, file, line);
    return held;
}

bool tap_check_mem(const void *got, const void *want, size_t size,
                   const char *expr, const char *file, int line)
{
    const unsigned char *g = got, *w = want;
    size_t at = 0;

    while (at < size && g[at] == w[at])
        at++;
    if (!count(at == size) && failed())
        diag("%s:%d: %s: byte %zu of %zu: got 0x%02x, want 0x%02x", file, line, expr, at, size, g[at], w[at]);
    return at == size;
}

bool tap_check_near(double got, double want, double within,
                    const char *expr, const char *file, int line)
{
    bool held = count(fabs(got - want) <= within);

    if (!held && failed())
        diag("%s:%d: %s: got %.17g, want %.17g within %g", file, line, expr, got, want, within);
    return held;
}

void tap_skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(score->skip_reason, REASON_SIZE, format, args);
    va_end(args);
    atomic_store_explicit(&score->skipped, 1, memory_order_relaxed);
}

void todo(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(score->todo_reason, REASON_SIZE, format, args);
    va_end(args);
    atomic_store_explicit(&score->todo, 1, memory_order_relaxed);
}

/* -- children ------------------------------------------------------------------------ */

static void fatal(const char *what)
{
    tap_line("Bail out! %s: %s", what, strerror(errno));
    exit(255);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t deadline_ms(unsigned deadline_s)
{
    const char *scale = getenv("WEFT_TEST_DEADLINE_SCALE");
    double factor = scale != NULL ? strtod(scale, NULL) : 1;

    if (!(factor > 0))
        factor = 1;
    if (deadline_s == 0)
        deadline_s = DEADLINE_S;
    return now_ms() + (int64_t)(deadline_s * factor * DEADLINE_FACTOR * 1000);
}

/* Make a child that leads a process group of its own and dies with its parent:
 * 0 in the child, its pid in the parent. */
static pid_t fork_child(int out)
{
    pid_t parent = getpid();
    pid_t child;
    int null;

    fflush(NULL);
    child = fork();
    if (child < 0)
        fatal("fork");
    if (child > 0) {
        setpgid(child, child); /* both do it, so that it is done for both */
        return child;
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    null = open("/dev/null", O_RDONLY);
    if (null > 0)
        dup2(null, STDIN_FILENO), close(null);
    dup2(out, STDOUT_FILENO);
    return 0;
}

/* Take what the pipe holds: false at its end. What does not fit is dropped. */
static bool drain(int fd, struct tap_outcome *outcome)
{
    char spill[1024];

    for (;;) {
        size_t room = sizeof outcome->output - 1 - outcome->size;
        ssize_t n = read(fd, room > 0 ? outcome->output + outcome->size : spill,
                         room > 0 ? room : sizeof spill);

        if (n == 0 || (n < 0 && errno != EINTR))
            return n < 0;
        if (n > 0 && room > 0)
            outcome->size += (size_t)n;
    }
}

/* Wait for a child, then clear its process group: its status, or -1 when it
 * was still there at the deadline. Reads `pipe_fd` meanwhile unless that is -1. */
static int reap(pid_t child, int64_t until_ms, int pipe_fd, struct tap_outcome *outcome)
{
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd fds[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = pipe_fd, .events = POLLIN } };
    bool ended = false;
    int64_t left;
    int status;

    if (pidfd < 0)
        fatal("pidfd_open");
    while (!ended && (left = until_ms - now_ms()) > 0) {
        int n = poll(fds, 2, left < 1000000 ? (int)left : 1000000);

        if (n < 0 && errno != EINTR)
            fatal("poll");
        if (n <= 0)
            continue;
        if (fds[1].revents != 0 && !drain(pipe_fd, outcome))
            fds[1].fd = -1;
        ended = fds[0].revents != 0;
    }
    /* Before waitpid: until then nobody else can have this number. */
    kill(-child, SIGKILL);
    close(pidfd);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            fatal("waitpid");
    if (fds[1].fd >= 0)
        drain(pipe_fd, outcome);
    return ended ? status : -1;
}

void tap_run(void (*run)(void *arg), void *arg, unsigned deadline_s, struct tap_outcome *outcome)
{
    int ends[2];
    pid_t child;

    memset(outcome, 0, sizeof *outcome);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        fatal("pipe2");
    fcntl(ends[1], F_SETFL, 0); /* the writer waits, the reader does not */
    child = fork_child(ends[1]);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        run(arg);
        exit(0);
    }
    close(ends[1]);
    outcome->status = reap(child, deadline_ms(deadline_s), ends[0], outcome);
    close(ends[0]);
}

/* -- one test ------------------------------------------------------------------------ */

static void run_here(const struct tap_test *test)
{
    test->run();
    atomic_store_explicit(&score->finished, 1, memory_order_relaxed);
}

static int run_in_child(const struct tap_test *test)
{
    pid_t child = fork_child(STDERR_FILENO);

    if (child == 0) {
        run_here(test);
        exit(0); /* not _exit: leak checks run at exit */
    }
    return reap(child, deadline_ms(test->deadline_s), -1, NULL);
}

/* Why a test failed, in words; "" when it did not. */
static void judge(int status, char *why, size_t size)
{
    unsigned failures = atomic_load(&score->failures), checks = atomic_load(&score->checks);
    bool finished = atomic_load(&score->finished) != 0;

    why[0] = '\0';
    if (status == -1)
        snprintf(why, size, "hung: still running at its deadline");
    else if (WIFSIGNALED(status))
        snprintf(why, size, "killed by SIG%s (%s)", sigabbrev_np(WTERMSIG(status)),
                 strsignal(WTERMSIG(status)));
    else if (!finished)
        snprintf(why, size, "exited with status %d before its end", WEXITSTATUS(status));
    else if (failures > 0)
        snprintf(why, size, "%u of %u checks failed", failures, checks);
    else if (status != 0)
        snprintf(why, size, "exited with status %d after its end", WEXITSTATUS(status));
    else if (checks == 0 && atomic_load(&score->skipped) == 0)
        snprintf(why, size, "no check ran");
}

/* Run a test and print its line: whether it counts as passed. */
static bool run_test(const struct tap_test *test, unsigned number, bool here)
{
    char name[LINE_SIZE / 2], why[LINE_SIZE / 4];
    int status = 0;

    memset(score, 0, sizeof *score);
    sentence(test, name, sizeof name);
    if (here)
        run_here(test);
    else
        status = run_in_child(test);
    judge(status, why, sizeof why);

    if (atomic_load(&score->todo) != 0) {
        tap_line("%sok %u - %s # TODO %s", why[0] ? "not " : "", number, name, score->todo_reason);
        return true;
    }
    if (why[0] != '\0') {
        diag("%s:%d: %s: %s", test->file, test->line, name, why);
        tap_line("not ok %u - %s - %s", number, name, why);
        return false;
    }
    if (atomic_load(&score->skipped) != 0)
        tap_line("ok %u - %s # SKIP %s", number, name, score->skip_reason);
    else
        tap_line("ok %u - %s", number, name);
    return true;
}

/* -- the program ------------------------------------------------------------------------ */

static bool is_chosen(const struct tap_test *test, const char *part)
{
    char name[LINE_SIZE / 2];

    sentence(test, name, sizeof name);
    return part == NULL || strstr(name, part) != NULL || strstr(test->name, part) != NULL;
}

static int list_tests(const char *part)
{
    char name[LINE_SIZE / 2];

    for (struct tap_test *test = tests; test != NULL; test = test->next) {
        sentence(test, name, sizeof name);
        if (is_chosen(test, part))
            tap_line("%s", name);
    }
    return 0;
}

static int run_tests(const char *part, bool here)
{
    unsigned n_chosen = 0, number = 0, n_failed = 0;

    for (struct tap_test *test = tests; test != NULL; test = test->next)
        n_chosen += is_chosen(test, part);
    if (n_chosen == 0) {
        diag("no test has \"%s\" in its sentence", part != NULL ? part : "");
        return 2;
    }
    tap_line("1..%u", n_chosen);
    for (struct tap_test *test = tests; test != NULL; test = test->next)
        if (is_chosen(test, part))
            n_failed += !run_test(test, ++number, here);
    return n_failed > 0;
}

int main(int argc, char **argv)
{
    bool list = false, here = false;
    const char *part = NULL;

    score = mmap(NULL, sizeof *score, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (score == MAP_FAILED)
        fatal("mmap");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            list = true;
        else if (strcmp(argv[i], "--here") == 0)
            here = true;
        else
            part = argv[i];
    }
    return list ? list_tests(part) : run_tests(part, here);
}

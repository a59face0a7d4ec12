/* Tests of the tests: this program runs itself with WEFT_TAP_SAMPLES set, which
 * adds tests that fail in every way there is, and reads what that printed. */
#include "tap.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- samples: what is run and read -------------------------------------------------- */

static void passes(void) { check(1 + 1 == 2); }
static void says_both_values(void) { check_int(1 + 1, 3); }
static void does_not_hold(void) { check(1 > 2); }
static void crashes(void) { check(true); raise(SIGSEGV); }
static void aborts(void) { check(true); abort(); }
static void hangs(void) { check(true); for (;;) pause(); }
static void leaves(void) { check(true); exit(0); }
static void checks_nothing(void) { }
static void skips(void) { skip("no %s here", "elixir"); }
static void skips_after_failure(void) { check(false); skip("too late"); }
static void is_to_do(void) { todo("later"); check(false); }
static void prints(void) { printf("ok 99 - not a test\n"); check(true); }

static void fails_at_exit(void) { _exit(23); }

static void exits_badly(void)
{
    check(true);
    atexit(fails_at_exit);
}

static void reports_many(void)
{
    for (int i = 0; i < 100; i++)
        check_int(i, -1);
}

static void leaves_a_child(void)
{
    check(true);
    if (fork() == 0)
        for (;;)
            pause();
}

static void compares(void)
{
    const char bytes[] = "abc";

    check_uint(UINT64_MAX, 1);
    check_str("abc", "abd");
    check_str(NULL, "x");
    check_has("abc", "z");
    check_ptr(NULL, bytes);
    check_mem(bytes, "axc", 3);
    check_near(NAN, 1.0, 0.5);
    check_ge(1, 2);
    check_ne(7, 7);
}

static void answers(void)
{
    bool held = check_int(1, 2);

    check(!held);
    check(true);
}

static struct tap_test samples[] = {
    { .run = passes, .name = "passes", .rules = "TAP-1 TAP-2" },
    { .run = says_both_values, .name = "says_both_values" },
    { .run = does_not_hold, .name = "does_not_hold" },
    { .run = crashes, .name = "crashes" },
    { .run = aborts, .name = "aborts" },
    { .run = hangs, .name = "hangs", .deadline_s = 1 },
    { .run = leaves, .name = "leaves" },
    { .run = checks_nothing, .name = "checks_nothing" },
    { .run = skips, .name = "skips" },
    { .run = skips_after_failure, .name = "late_skip" },
    { .run = is_to_do, .name = "is_to_do" },
    { .run = prints, .name = "prints" },
    { .run = exits_badly, .name = "exits_badly" },
    { .run = reports_many, .name = "reports_many" },
    { .run = leaves_a_child, .name = "leaves_a_child" },
    { .run = compares, .name = "compares" },
    { .run = answers, .name = "answers" },
};

/* Their sentences start with "sample", so that one can be chosen by name. */
__attribute__((constructor)) static void add_samples(void)
{
    static char names[sizeof samples / sizeof *samples][64];

    if (getenv("WEFT_TAP_SAMPLES") == NULL)
        return;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        snprintf(names[i], sizeof names[i], "sample_%s", samples[i].name);
        samples[i].name = names[i];
        samples[i].file = "samples";
        samples[i].line = (int)i;
        tap_add(&samples[i]);
    }
}

static void run_self(void *part)
{
    setenv("WEFT_TAP_SAMPLES", "1", 1);
    setenv("WEFT_TEST_DEADLINE_SCALE", "0.2", 1); /* the sample that hangs: 0.2 s */
    execl("/proc/self/exe", "tap_test", part, (char *)NULL);
    _exit(127);
}

/* Run the sample: what it printed, and whether the program said that all passed. */
static const char *output_of(const char *sample, bool passed)
{
    static struct tap_outcome outcome;
    char part[64];

    snprintf(part, sizeof part, "sample %s", sample);
    tap_run(run_self, part, 20, &outcome);
    check_int(outcome.status, passed ? 0 : 1 << 8);
    return outcome.output;
}

/* -- tests ----------------------------------------------------------------------------- */

TEST(a_test_that_passes_is_one_line_with_its_rules)
{
    check_str(output_of("passes", true), "1..1\nok 1 - sample passes (TAP-1 TAP-2)\n");
}

TEST(a_failed_check_prints_both_values_and_its_place)
{
    const char *output = output_of("says both values", false);

    check_has(output, "tap_test.c:");
    check_has(output, "1 + 1: got 2, want 3\n");
    check_has(output, "\nnot ok 1 - sample says both values - 1 of 1 checks failed\n");
}

TEST(a_failed_expression_is_printed)
{
    check_has(output_of("does not hold", false), "does not hold: 1 > 2\n");
}

TEST(every_kind_of_check_prints_what_it_compared)
{
    const char *output = output_of("compares", false);

    check_has(output, "UINT64_MAX: got 18446744073709551615 (0xffffffffffffffff), want 1 (0x1)\n");
    check_has(output, "\"abc\": got \"abc\", want \"abd\"\n");
    check_has(output, "NULL: got NULL, want \"x\"\n");
    check_has(output, "\"abc\": got \"abc\", want it to have \"z\"\n");
    check_has(output, "NULL: got (nil), want 0x");
    check_has(output, "bytes: byte 1 of 3: got 0x62, want 0x78\n");
    check_has(output, "NAN: got nan, want 1 within 0.5\n");
    check_has(output, "1: got 1, want at least 2\n");
    check_has(output, "7: got 7, want anything but 7\n");
    check_has(output, "9 of 9 checks failed\n");
}

TEST(a_crash_costs_one_line_that_names_the_signal)
{
#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
    skip("the sanitizer takes the signal");
#endif
    check_has(output_of("crashes", false),
              "\nnot ok 1 - sample crashes - killed by SIGSEGV (Segmentation fault)\n");
}

TEST(an_abort_costs_one_line_that_names_the_signal)
{
#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
    skip("the sanitizer may take the signal");
#endif
    check_has(output_of("aborts", false), "\nnot ok 1 - sample aborts - killed by SIGABRT (Aborted)\n");
}

TEST(a_hang_costs_one_line_that_says_so)
{
    check_has(output_of("hangs", false), "\nnot ok 1 - sample hangs - hung: still running at its deadline\n");
}

TEST(a_test_that_exits_early_fails)
{
    check_has(output_of("leaves", false), "\nnot ok 1 - sample leaves - exited with status 0 before its end\n");
}

TEST(a_test_that_exits_badly_after_its_end_fails)
{
    check_has(output_of("exits badly", false),
              "\nnot ok 1 - sample exits badly - exited with status 23 after its end\n");
}

TEST(a_test_without_a_check_fails)
{
    check_has(output_of("checks nothing", false), "\nnot ok 1 - sample checks nothing - no check ran\n");
}

TEST(a_skipped_test_passes_and_gives_its_reason)
{
    check_str(output_of("skips", true), "1..1\nok 1 - sample skips # SKIP no elixir here\n");
}

TEST(a_failed_check_before_a_skip_counts)
{
    check_has(output_of("late skip", false), "\nnot ok 1 - sample late skip - 1 of 1 checks failed\n");
}

TEST(a_test_to_do_counts_as_passed)
{
    check_has(output_of("is to do", true), "\nnot ok 1 - sample is to do # TODO later\n");
}

TEST(what_a_test_prints_is_kept_out_of_the_tap)
{
    struct tap_outcome outcome;

    tap_run(run_self, "sample prints", 20, &outcome);
    check_has(outcome.output, "ok 99"); /* on standard error, with the rest here */
    check_has(outcome.output, "\nok 1 - sample prints\n");
}

TEST(a_flood_of_failures_is_cut_short_and_counted)
{
    const char *output = output_of("reports many", false);

    check_has(output, "got 19, want -1");
    check(strstr(output, "got 20, want -1") == NULL);
    check_has(output, "100 of 100 checks failed");
}

TEST(what_a_test_leaves_behind_is_killed)
{
    /* The child left behind holds the pipe open: the end of file says it is gone. */
    check_str(output_of("leaves a child", true), "1..1\nok 1 - sample leaves a child\n");
}

TEST(one_test_that_crashes_does_not_stop_the_others)
{
    struct tap_outcome outcome;

    tap_run(run_self, "sample", 30, &outcome);
    check_int(outcome.status, 1 << 8);
    check_has(outcome.output, "1..17\nok 1 - sample passes");
    check_has(outcome.output, "not ok 7 - sample leaves");
    check_has(outcome.output, "not ok 16 - sample compares");
}

TEST(a_name_that_nothing_has_is_an_error)
{
    struct tap_outcome outcome;

    tap_run(run_self, "no such sentence", 20, &outcome);
    check_int(outcome.status, 2 << 8);
}

static void *check_often(void *arg)
{
    for (int i = 0; i < 1000; i++)
        check_int(i, i);
    return arg;
}

TEST(checks_may_be_made_by_many_threads_at_once)
{
    pthread_t threads[8];

    for (int i = 0; i < 8; i++)
        check_int(pthread_create(&threads[i], NULL, check_often, NULL), 0);
    for (int i = 0; i < 8; i++)
        check_int(pthread_join(threads[i], NULL), 0);
}

TEST(a_check_says_whether_it_held)
{
    check(check_int(2, 2));
    check_has(output_of("answers", false), "1 of 3 checks failed");
}

static void print_a_line(void *arg)
{
    (void)arg;
    errno = ENOTTY;
    diag("a line of %d words", 5);
    exit(errno);
}

TEST(a_line_leaves_errno_alone)
{
    struct tap_outcome outcome;

    tap_run(print_a_line, NULL, 20, &outcome);
    check_int(WEXITSTATUS(outcome.status), ENOTTY);
    check_str(outcome.output, "# a line of 5 words\n");
}

static void exit_7(void *arg) { (void)arg; puts("bye"); exit(7); }
static void wait_for_ever(void *arg) { (void)arg; for (;;) pause(); }

TEST(a_function_can_be_run_apart_and_looked_at)
{
    struct tap_outcome outcome;

    setenv("WEFT_TEST_DEADLINE_SCALE", "0.2", 1);
    tap_run(exit_7, NULL, 20, &outcome);
    check_int(WEXITSTATUS(outcome.status), 7);
    check_str(outcome.output, "bye\n");
    tap_run(wait_for_ever, NULL, 1, &outcome);
    check_int(outcome.status, -1);
}

/* tap.h - tests that speak TAP, each in a child process with a deadline.
 *
 *     TEST(a_full_gate_turns_the_next_one_away, "TASK-12")
 *     {
 *         check_int(weft__gate_enter(&gate), WEFT_EAGAIN);
 *     }
 *
 * prints `ok 3 - a full gate turns the next one away (TASK-12)`. Tests run in
 * the order of the file; main() is in tap.c:
 *
 *     x_test                  run all
 *     x_test full             run those with `full` in their sentence
 *     x_test --list           print the sentences
 *     x_test --here full      run in this process, without deadline: for gdb
 *
 * A crash, an early exit or a hang costs one `not ok` line that says so. What a
 * test prints goes to standard error. What it started in its process group is
 * killed after it.
 *
 * A check that fails prints both values and its place, counts, and goes on: it
 * returns whether it held, and never jumps. Checks may be made from any thread
 * and any green process, parked or not in between: they take no lock, do not
 * allocate, leave errno alone, and write a line in one write(2). They need
 * some 8 KiB of stack when they fail. A test in which no check was made fails.
 *
 * Deadlines: 60 s unless TEST_WITH says otherwise, times 3 under ASan, 6 under
 * TSan, times WEFT_TEST_DEADLINE_SCALE.
 */
#ifndef WEFT_TESTS_TAP_H
#define WEFT_TESTS_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tap_test {
    /* Set once by the macros below. */
    void (*run)(void);
    const char *name;   /* the sentence, with underscores */
    const char *file;
    int line;
    const char *rules;  /* ids of the rules it proves, or "" */
    unsigned deadline_s; /* 0 = the default */
    /* tap.c's */
    struct tap_test *next;
};

/* TEST(sentence) or TEST(sentence, "RULE-1 RULE-2") */
#define TEST(sentence, ...) TEST_WITH(sentence, .rules = "" __VA_ARGS__)

/* The same by fields: TEST_WITH(sentence, .rules = "RULE-1", .deadline_s = 300) */
#define TEST_WITH(sentence, ...)                                        \
    static void sentence(void);                                         \
    __attribute__((constructor)) static void tap_add_##sentence(void)   \
    {                                                                   \
        static struct tap_test test = {                                 \
            .run = sentence,                                            \
            .name = #sentence,                                          \
            .file = __FILE__,                                           \
            .line = __LINE__,                                           \
            __VA_ARGS__                                                 \
        };                                                              \
        tap_add(&test);                                                 \
    }                                                                   \
    static void sentence(void)

void tap_add(struct tap_test *test);

/* -- checks: the value got comes first, the one wanted second ----------------- */

#define check(expr) tap_check((expr) ? true : false, #expr, TAP_HERE)

#define check_int(got, want) tap_check_int((intmax_t)(got), TAP_EQ, (intmax_t)(want), #got, TAP_HERE)
#define check_ne(got, want)  tap_check_int((intmax_t)(got), TAP_NE, (intmax_t)(want), #got, TAP_HERE)
#define check_lt(got, want)  tap_check_int((intmax_t)(got), TAP_LT, (intmax_t)(want), #got, TAP_HERE)
#define check_le(got, want)  tap_check_int((intmax_t)(got), TAP_LE, (intmax_t)(want), #got, TAP_HERE)
#define check_gt(got, want)  tap_check_int((intmax_t)(got), TAP_GT, (intmax_t)(want), #got, TAP_HERE)
#define check_ge(got, want)  tap_check_int((intmax_t)(got), TAP_GE, (intmax_t)(want), #got, TAP_HERE)

#define check_uint(got, want) tap_check_uint((uintmax_t)(got), (uintmax_t)(want), #got, TAP_HERE)
#define check_ptr(got, want)  tap_check_ptr((const void *)(got), (const void *)(want), #got, TAP_HERE)
#define check_str(got, want)  tap_check_str((got), (want), #got, TAP_HERE)
/* Strings: `want` occurs somewhere in `got`. */
#define check_has(got, want)  tap_check_has((got), (want), #got, TAP_HERE)
#define check_mem(got, want, size) tap_check_mem((got), (want), (size), #got, TAP_HERE)
/* Doubles at most `within` apart; NaN is near nothing. */
#define check_near(got, want, within) tap_check_near((got), (want), (within), #got, TAP_HERE)

#define TAP_HERE __FILE__, __LINE__

enum tap_relation { TAP_EQ, TAP_NE, TAP_LT, TAP_LE, TAP_GT, TAP_GE };

bool tap_check(bool held, const char *expr, const char *file, int line);
bool tap_check_int(intmax_t got, enum tap_relation relation, intmax_t want,
                   const char *expr, const char *file, int line);
bool tap_check_uint(uintmax_t got, uintmax_t want, const char *expr, const char *file, int line);
bool tap_check_ptr(const void *got, const void *want, const char *expr, const char *file, int line);
bool tap_check_str(const char *got, const char *want, const char *expr, const char *file, int line);
bool tap_check_has(const char *got, const char *want, const char *expr, const char *file, int line);
bool tap_check_mem(const void *got, const void *want, size_t size,
                   const char *expr, const char *file, int line);
bool tap_check_near(double got, double want, double within,
                    const char *expr, const char *file, int line);

/* -- what else a test may say --------------------------------------------------- */

/* Leave the test here: it cannot run on this machine, for the reason given.
 * From the function of the test itself; a helper calls tap_skip and returns. */
#define skip(...)              \
    do {                       \
        tap_skip(__VA_ARGS__); \
        return;                \
    } while (0)

void tap_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The test is known to fail, for the reason given: it counts as passed. */
void todo(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line for whoever reads the output. */
void diag(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -- looking at what ends a process ------------------------------------------------ */

struct tap_outcome {
    int status;        /* as from waitpid; -1 when the deadline had passed */
    size_t size;       /* bytes in output, without the NUL */
    char output[8192]; /* what it wrote to stdout and stderr, cut off there */
};

/* Run a function in a child of its own, which then exits with 0 unless the
 * function did otherwise. Checks made in the child count for the test. For
 * tests of asserts, of fork, of exit; call it while the test has one thread. */
void tap_run(void (*run)(void *arg), void *arg, unsigned deadline_s, struct tap_outcome *outcome);

#endif

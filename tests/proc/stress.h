/* stress.h - what stress programs share: arguments, a seed, and totals in TAP.
 *
 *     x [count] [workers]
 *
 * A stress program does so many of one thing, counts what went in and what
 * came out, and checks at the end that nothing was lost, doubled or invented.
 * What it does by chance follows from WEFT_SEED, which it prints; threads run
 * as they like all the same.
 *
 * A program that makes no more progress is ended after WEFT_STRESS_DEADLINE
 * seconds (600 by default) with "Bail out!".
 */
#ifndef WEFT_TESTS_PROC_STRESS_H
#define WEFT_TESTS_PROC_STRESS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "weft/error.h"
#include "weft/process.h"
#include "weft/runtime.h"
#include "weft/term.h"

#define A(name) WEFT_ATOM(#name)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A wait that takes longer found a lost wake-up. */
enum { BOUND_MS = 60000 };

struct stress {
    int64_t count;    /* of what the program does */
    unsigned workers;
    uint64_t seed;
    int64_t began_ns;
    int n_totals, n_wrong; /* lines printed; those of them not ok */
};

/* -- chance: splitmix64, one state to a process --------------------------------- */

static inline uint64_t chance_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* From 0 to n - 1. */
static inline unsigned chance_below(uint64_t *state, unsigned n)
{
    return (unsigned)(chance_next(state) % n);
}

/* The state of process number `number`. */
static inline uint64_t chance_for(const struct stress *stress, unsigned number)
{
    uint64_t state = stress->seed ^ (uint64_t)number << 32;

    chance_next(&state);
    return state;
}

/* -- the program ------------------------------------------------------------------ */

static inline int64_t stress_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void stress_bail_out(int signal)
{
    static const char line[] = "Bail out! no end in sight\n";

    (void)signal;
    if (write(STDOUT_FILENO, line, sizeof line - 1) < 0)
        _exit(2);
    _exit(1);
}

/* As many workers as are asked for, on however few cores. */
static inline void stress_lay_out(unsigned workers)
{
    char layout[64];

    snprintf(layout, sizeof layout, "pack:1 core:%u pu:1", workers);
    setenv("HWLOC_SYNTHETIC", layout, 0);
}

static inline void stress_begin(struct stress *stress, int argc, char **argv, int64_t count)
{
    const char *seed = getenv("WEFT_SEED"), *deadline = getenv("WEFT_STRESS_DEADLINE");

    memset(stress, 0, sizeof *stress);
    stress->count = argc > 1 ? (int64_t)strtod(argv[1], NULL) : count;
    stress->workers = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 4;
    stress->began_ns = stress_now_ns();
    stress->seed = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)stress->began_ns;
    if (stress->count < 1 || stress->workers < 1) {
        fprintf(stderr, "usage: %s [count] [workers]\n", argv[0]);
        exit(2);
    }
    stress_lay_out(stress->workers);
    signal(SIGALRM, stress_bail_out);
    alarm(deadline != NULL ? (unsigned)strtoul(deadline, NULL, 10) : 600);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# WEFT_SEED=%llu: %lld on %u workers\n", (unsigned long long)stress->seed,
           (long long)stress->count, stress->workers);
}

/* One line: what was counted, and that it is what it should be. */
static inline void stress_total(struct stress *stress, const char *what, int64_t got, int64_t want)
{
    bool same = got == want;

    printf("%sok %d - %s: %lld\n", same ? "" : "not ", ++stress->n_totals, what, (long long)got);
    if (!same) {
        stress->n_wrong++;
        printf("# %s: got %lld, want %lld\n", what, (long long)got, (long long)want);
    }
}

/* Run the body in a runtime of its own, and check that all of it ends well. */
static inline void stress_run(struct stress *stress, weft_fn *body)
{
    int code = weft_runtime_start(.workers = stress->workers, .seed = stress->seed);
    weft_term result = weft_none;

    stress_total(stress, "the runtime starts", code, 0);
    if (code != 0)
        return;
    code = weft_runtime_run(body, weft_pointer(stress), &result);
    stress_total(stress, "the first process ends normally", code, 0);
    if (code != 0)
        printf("# it ended with %s\n", weft_inspect(result));
    stress_total(stress, "the runtime stops", weft_runtime_stop(.timeout_ms = 60000), 0);
}

static inline int stress_end(struct stress *stress)
{
    double seconds = (double)(stress_now_ns() - stress->began_ns) / 1e9;

    printf("1..%d\n", stress->n_totals);
    printf("# %.2f s\n", seconds);
    return stress->n_wrong > 0;
}

/* Spin some hundred nanoseconds by chance, so that two sides meet in every
 * possible order. */
static inline void stress_dither(uint64_t *chance)
{
    for (unsigned n = chance_below(chance, 256); n > 0; n--)
        __asm__ volatile("" ::: "memory");
}

#endif

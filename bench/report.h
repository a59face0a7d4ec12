/* report.h - what every bench shares: a runtime to run in, samples, checks, and
 * the two lines a figure prints.
 *
 *     static void work(void *arg) { ... ops operations, and their check ... }
 *
 *     static weft_term bench(weft_term arg)
 *     {
 *         double taken[SAMPLES];
 *
 *         bench_ns_per_op(taken, SAMPLES, ops, work, NULL);
 *         bench_report("ring", "ns/op", taken, SAMPLES, "\"hops\":%d", hops);
 *         return arg;
 *     }
 *
 *     int main(int argc, char **argv) { return bench_main(argc, argv, 0, bench); }
 *
 * A figure is one line for people on stderr and the same as a line of JSON on
 * stdout, in the form that bench/run reads.
 */
#ifndef WEFT_BENCH_REPORT_H
#define WEFT_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/process.h"

/* Read the arguments (--quick: a tenth of the work), say what machine this is.
 * Ends the program with 2 when it does not know one. */
void bench_begin(int argc, char **argv);

/* Start the runtime with so many workers (0: one for each core the program may
 * use), run fn(weft_none) in a process, stop. What fails ends the program with 1. */
void bench_start(unsigned workers);
void bench_run(weft_fn *fn);
void bench_stop(void);

/* All of these in turn: the program's exit status. */
int bench_main(int argc, char **argv, unsigned workers, weft_fn *fn);

/* The amount of work: all of it, or a tenth with --quick. */
int64_t bench_scaled(int64_t full);

/* bench_check(ok, format, ...): end the program with 1 when the work was not
 * really done. What is to be said is made only then. */
#define bench_check(ok, ...) (__builtin_expect(!!(ok), 1) ? (void)0 : bench_fail(__VA_ARGS__))
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CPU time that the whole program has used, user and system. */
int64_t bench_cpu_ns(void);

/* Memory in use and the page tables that map it. */
int64_t bench_resident_bytes(void);

/* Run work(arg) once to warm up, then n times; taken[i] becomes the nanoseconds
 * per operation. work does `ops` operations and checks them; what it builds or
 * receives is given back after each run. */
void bench_ns_per_op(double *taken, size_t n, int64_t ops, void (*work)(void *arg), void *arg);

/* Sort doubles; the value a fraction of the way through them (nearest rank). */
void bench_sort(double *values, size_t n);
double bench_at(const double *sorted, size_t n, double fraction);

/* Print a figure. Sorts taken. params: what was run, as JSON members in a printf
 * format; workers and quick are added. */
void bench_report(const char *bench, const char *unit, double *taken, size_t n, const char *params, ...)
    __attribute__((format(printf, 5, 6)));

#endif

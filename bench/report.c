#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/runtime.h"
#include "weft/timer.h"

static struct {
    unsigned workers; /* of the runtime that ran last */
    bool is_quick;
} bench;

/* -- the program -------------------------------------------------------------------- */

/* The value of a "name : value" line, without the name; false: no such line. */
static bool file_value(const char *path, const char *name, char *value, size_t size)
{
    FILE *file = fopen(path, "r");
    char line[256];
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');

        if (colon == NULL || strncmp(line, name, strlen(name)) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(value, size, "%s", colon);
        found = true;
    }
    fclose(file);
    return found;
}

static void print_machine(void)
{
    struct utsname system;
    char model[128], memory[64];

    uname(&system);
    if (!file_value("/proc/cpuinfo", "model name", model, sizeof model))
        snprintf(model, sizeof model, "%s", system.machine);
    if (!file_value("/proc/meminfo", "MemTotal", memory, sizeof memory))
        snprintf(memory, sizeof memory, "0");
    fprintf(stderr, "%s, %ld MiB, %s %s\n", model, atol(memory) / 1024, system.sysname, system.release);
}

void bench_begin(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") != 0) {
            fprintf(stderr, "usage: %s [--quick]\n", argv[0]);
            exit(2);
        }
        bench.is_quick = true;
    }
    print_machine();
}

void bench_start(unsigned workers)
{
    int code = weft_runtime_start(.workers = workers);

    bench_check(code == 0, "weft does not start: %s (%s)", weft_runtime_error(), weft_error_name(code));
    bench.workers = weft__runtime()->sched->n_workers;
}

void bench_run(weft_fn *fn)
{
    weft_term result = weft_none;
    int code = weft_runtime_run(fn, weft_none, &result);

    bench_check(code == 0, "the bench ended with %s (%s)", weft_inspect(result), weft_error_name(code));
}

void bench_stop(void)
{
    int code = weft_runtime_stop(.timeout_ms = 30000);

    bench_check(code == 0, "weft does not stop: %s (%s)", weft_runtime_error(), weft_error_name(code));
}

int bench_main(int argc, char **argv, unsigned workers, weft_fn *fn)
{
    bench_begin(argc, argv);
    bench_start(workers);
    bench_run(fn);
    bench_stop();
    return 0;
}

int64_t bench_scaled(int64_t full)
{
    return bench.is_quick ? full / 10 : full;
}

_Noreturn void bench_fail(const char *format, ...)
{
    va_list args;

    fputs("check failed: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    /* Not exit(): threads of weft are running, and nothing is left to say. */
    _Exit(1);
}

/* -- what it used ----------------------------------------------------------------------- */

static int64_t timeval_ns(struct timeval time)
{
    return time.tv_sec * INT64_C(1000000000) + time.tv_usec * INT64_C(1000);
}

int64_t bench_cpu_ns(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return timeval_ns(used.ru_utime) + timeval_ns(used.ru_stime);
}

int64_t bench_resident_bytes(void)
{
    static const char *const parts[] = {"VmRSS", "VmPTE"};
    int64_t kib = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char value[64];

        bench_check(file_value("/proc/self/status", parts[i], value, sizeof value),
                    "/proc/self/status has no %s", parts[i]);
        kib += atoll(value);
    }
    return kib * 1024;
}

/* -- samples ------------------------------------------------------------------------------ */

static int64_t timed(void (*work)(void *arg), void *arg)
{
    int64_t start;

    WEFT_SCOPE;
    start = weft_monotonic_ns();
    work(arg);
    return weft_monotonic_ns() - start;
}

void bench_ns_per_op(double *taken, size_t n, int64_t ops, void (*work)(void *arg), void *arg)
{
    timed(work, arg);
    for (size_t i = 0; i < n; i++)
        taken[i] = (double)timed(work, arg) / (double)ops;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

void bench_sort(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
}

double bench_at(const double *sorted, size_t n, double fraction)
{
    return sorted[(size_t)(fraction * (double)(n - 1) + 0.5)];
}

void bench_report(const char *name, const char *unit, double *taken, size_t n, const char *params, ...)
{
    double median, p10, p90;
    char with[512];
    va_list args;

    va_start(args, params);
    vsnprintf(with, sizeof with, params, args);
    va_end(args);
    bench_sort(taken, n);
    median = bench_at(taken, n, 0.5);
    p10 = bench_at(taken, n, 0.1);
    p90 = bench_at(taken, n, 0.9);
    fprintf(stderr, "%-22s weft    %10.4g %s, p90 %.4g, range %.4g to %.4g, %zu samples, %u workers\n",
            name, median, unit, p90, taken[0], taken[n - 1], n, bench.workers);
    printf("{\"bench\":\"%s\",\"impl\":\"weft\",\"unit\":\"%s\",\"median\":%.9g,\"p10\":%.9g,\"p90\":%.9g,"
           "\"min\":%.9g,\"max\":%.9g,\"samples\":%zu,\"params\":{%s%s\"workers\":%u,\"quick\":%s}}\n",
           name, unit, median, p10, p90, taken[0], taken[n - 1], n, with, with[0] != '\0' ? "," : "",
           bench.workers, bench.is_quick ? "true" : "false");
    fflush(stdout);
}

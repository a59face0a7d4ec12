/* stress_faults.c - a million processes that fault, of all kinds, and nothing
 * grows: memory, descriptors, threads. WEFT_STRESS_FAULTS says how many instead
 * of the some thousands that a run of all tests has time for. */
#include "counts.h"
#include "proc/process_test.h"

#include <unistd.h>

#include "weft/log.h"

static void *volatile nowhere;
static volatile int zero;

FAULTY static weft_term null_write(weft_term x)
{
    weft_alloc(1000);
    *(volatile int *)nowhere = 1;
    return x;
}

FAULTY static weft_term null_call(weft_term x)
{
    ((weft_fn *)(uintptr_t)nowhere)(x);
    return x;
}

#if defined(__x86_64__) /* elsewhere a quotient by zero is 0, and a trap a breakpoint */
FAULTY static weft_term divides_by_zero(weft_term x)
{
    zero = 7 / zero;
    return x;
}
#endif

FAULTY static weft_term traps(weft_term x)
{
    (void)x;
    __builtin_trap();
}

FAULTY static weft_term calls_abort(weft_term x)
{
    (void)x;
    abort();
}

FAULTY static weft_term copies_from_nowhere(weft_term x)
{
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    char to[64];

    copy(to, nowhere, sizeof to);
    return weft_tuple(x, weft_int(to[0]));
}

FAULTY static weft_term overflows(weft_term x)
{
    volatile char frame[1000];

    frame[0] = (char)zero;
    if (zero == 0)
        x = overflows(x);
    frame[1] = frame[0];
    return x;
}

static const struct {
    weft_fn *fn;
    const char *tag;
} kinds[] = {
    {null_write, "sigsegv"},
    {null_call, "sigsegv"},
#if defined(__x86_64__)
    {divides_by_zero, "sigfpe"},
    {traps, "sigill"},
#else
    {traps, "sigtrap"},
#endif
    {calls_abort, "sigabrt"},
    {copies_from_nowhere, "sigsegv"},
    {overflows, "stack_overflow"},
};

/* SPARES: threads that a busy machine may have made meanwhile, for what kept its worker. */
enum { BATCH = 100, SPARES = 16 };

/* The caller's processes fault, all at once; how many had the right reason. */
static int batch(int first)
{
    WEFT_SCOPE;
    weft_ref down[BATCH];
    int n_right = 0;

    for (int i = 0; i < BATCH; i++)
        weft_spawn(kinds[(size_t)(first + i) % COUNT(kinds)].fn, weft_int(i), .monitor = &down[i]);
    for (int i = 0; i < BATCH; i++) {
        weft_term reason = await_down(down[i]);

        if (weft_is_tuple(reason))
            n_right += strcmp(weft_atom_name(weft_tuple_at(reason, 0)), kinds[(size_t)(first + i) % COUNT(kinds)].tag) == 0;
    }
    return n_right;
}

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (file != NULL)
        fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

PROCESS_TEST_WITH(many_faults_leave_nothing_behind, .deadline_s = 1800)
{
    const char *text = getenv("WEFT_STRESS_FAULTS");
    int total = text != NULL ? atoi(text) : scaled(20000), n_right = 0, n = 0;
    int n_files, n_threads;
    long kb;
    int64_t begin_ns;

    weft_log_set_level(WEFT_LOG_NONE);
    for (; n < total / 4; n += BATCH)
        n_right += batch(n);
    n_files = count_files();
    n_threads = count_threads();
    kb = resident_kb();
    begin_ns = now_ns();
    for (; n < total; n += BATCH)
        n_right += batch(n);
    diag("%d faults of %zu kinds, %.2f us each; %ld KiB before, %ld after", n, COUNT(kinds),
         (double)(now_ns() - begin_ns) / 1000 / (total - total / 4), kb, resident_kb());
    check_int(n_right, n);
    check_files(n_files);
    check_le(count_threads(), n_threads + SPARES);
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)
    check_lt(resident_kb(), kb + 4096);
#endif
}

/* How late does a process that sleeps a millisecond wake beside four that never yield?
 *
 * Each of the four computes on without a call of weft; there are two cores.
 */
#include <stdatomic.h>

#include "report.h"
#include "weft/timer.h"

#define HOGS 4
#define SAMPLES 5
#define WARM_UP 50 /* until the four were found out */

static _Atomic bool may_stop;

static weft_term hog(weft_term arg)
{
    /* Relaxed: there is nothing to see but the flag. */
    while (!atomic_load_explicit(&may_stop, memory_order_relaxed))
        ;
    return arg;
}

static double late_ms(void)
{
    int64_t due_ns = weft_monotonic_ns() + 1000000;
    double late;

    weft_sleep(1);
    late = (double)(weft_monotonic_ns() - due_ns) / 1e6;
    bench_check(late >= 0, "it woke %g ms early", -late);
    return late;
}

static weft_term bench(weft_term arg)
{
    size_t n = (size_t)bench_scaled(1000);
    double p50[SAMPLES], p99[SAMPLES], most[SAMPLES];
    double *late = weft_alloc(n * sizeof *late);
    weft_ref downs[HOGS];

    for (int i = 0; i < HOGS; i++)
        weft_spawn(hog, weft_none, .monitor = &downs[i]);
    for (int i = 0; i < WARM_UP; i++)
        late_ms();
    for (size_t s = 0; s < SAMPLES; s++) {
        for (size_t i = 0; i < n; i++)
            late[i] = late_ms();
        bench_sort(late, n);
        p50[s] = bench_at(late, n, 0.5);
        p99[s] = bench_at(late, n, 0.99);
        most[s] = late[n - 1];
    }
    atomic_store(&may_stop, true);
    for (int i = 0; i < HOGS; i++)
        weft_receive(weft_tuple(WEFT_ATOM("DOWN"), downs[i], weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    bench_report("fairness_p50", "ms", p50, SAMPLES, "\"hogs\":%d,\"sleeps\":%zu", HOGS, n);
    bench_report("fairness_p99", "ms", p99, SAMPLES, "\"hogs\":%d,\"sleeps\":%zu", HOGS, n);
    bench_report("fairness_max", "ms", most, SAMPLES, "\"hogs\":%d,\"sleeps\":%zu", HOGS, n);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How near to the work itself does a stream get whose items take 0 to 15 us of CPU?
 *
 * Item i spins by the clock for i * 7919 mod 15001 ns, 7.5 us on average.
 */
#include "report.h"
#include "weft/task.h"
#include "weft/timer.h"

#define SAMPLES 10
#define AT_ONCE 4

struct range {
    int64_t at, end;
};

static bool range_next(void *state, weft_term *item)
{
    struct range *range = state;

    if (range->at == range->end)
        return false;
    *item = weft_int(range->at++);
    return true;
}

static weft_term spin(weft_term arg)
{
    int64_t i = weft_to_int(arg), length_ns = i * 7919 % 15001, start = weft_monotonic_ns();

    while (weft_monotonic_ns() - start < length_ns)
        ;
    return weft_int(i + 1);
}

static void spin_all(void *arg)
{
    struct range range = {0, *(int64_t *)arg};
    weft_source source = {.next = range_next, .state = &range};
    weft_stream stream = weft_task_async_stream(source, spin, .max_concurrency = AT_ONCE);
    int64_t n = 0;

    weft_stream_each (item, &stream) {
        bench_check(item.ok && weft_to_int(item.value) == n + 1, "item %lld is %s", (long long)n,
                    weft_inspect(item.value));
        n++;
    }
    bench_check(n == range.end, "%lld items came", (long long)n);
}

static weft_term bench(weft_term arg)
{
    int64_t items = bench_scaled(20000);
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, items * 1000, spin_all, &items); /* a thousand ns: it is in us */
    bench_report("async_stream_skewed", "us/op", taken, SAMPLES, "\"items\":%lld,\"max_concurrency\":%d",
                 (long long)items, AT_ONCE);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

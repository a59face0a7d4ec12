/* What does an item cost in a stream of trivial tasks, four at once, ordered and unordered? */
#include "report.h"
#include "weft/task.h"

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

static weft_term trivial(weft_term i)
{
    return weft_int(weft_to_int(i) + 1);
}

static void ordered(void *arg)
{
    struct range range = {0, *(int64_t *)arg};
    weft_source source = {.next = range_next, .state = &range};
    weft_stream stream = weft_task_async_stream(source, trivial, .max_concurrency = AT_ONCE);
    int64_t n = 0;

    weft_stream_each (item, &stream) {
        bench_check(item.ok && weft_to_int(item.value) == n + 1, "item %lld is %s", (long long)n,
                    weft_inspect(item.value));
        n++;
    }
    bench_check(n == range.end, "%lld items came", (long long)n);
}

static void unordered(void *arg)
{
    struct range range = {0, *(int64_t *)arg};
    weft_source source = {.next = range_next, .state = &range};
    weft_stream stream =
        weft_task_async_stream(source, trivial, .max_concurrency = AT_ONCE, .ordered = false);
    int64_t n = 0, sum = 0;

    weft_stream_each (item, &stream) {
        bench_check(item.ok, "an item ended with %s", weft_inspect(item.reason));
        sum += weft_to_int(item.value);
        n++;
    }
    bench_check(n == range.end && sum == n * (n + 1) / 2, "%lld items summed up to %lld", (long long)n,
                (long long)sum);
}

static weft_term bench(weft_term arg)
{
    int64_t items = bench_scaled(200000);
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, items, ordered, &items);
    bench_report("async_stream", "ns/op", taken, SAMPLES, "\"items\":%lld,\"max_concurrency\":%d",
                 (long long)items, AT_ONCE);
    bench_ns_per_op(taken, SAMPLES, items, unordered, &items);
    bench_report("async_stream_unordered", "ns/op", taken, SAMPLES,
                 "\"items\":%lld,\"max_concurrency\":%d", (long long)items, AT_ONCE);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

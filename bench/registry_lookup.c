/* How long does a lookup in a registry of 100,000 names take, in each of two processes at once? */
#include "report.h"
#include "weft/registry.h"
#include "weft/task.h"

#define SAMPLES 20
#define NAMES 100000
#define READERS 2
#define STRIDE 7919 /* a prime: one name after the other, far apart */

/* {first, n} */
static weft_term looks_up(weft_term arg)
{
    int64_t name = weft_to_int(weft_tuple_at(arg, 0)), n = weft_to_int(weft_tuple_at(arg, 1)), found = 0;

    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;

        found += !weft_is_empty_list(weft_registry_lookup(WEFT_ATOM("names"), weft_int(name)));
        name = (name + STRIDE) % NAMES;
    }
    bench_check(found == n, "%lld of %lld names found", (long long)found, (long long)n);
    return arg;
}

static void lookups(void *arg)
{
    const int64_t *n = arg;
    weft_task tasks[READERS];

    for (int i = 0; i < READERS; i++)
        tasks[i] = weft_task_async(looks_up, weft_tuple(weft_int(i), weft_int(*n)));
    for (int i = 0; i < READERS; i++)
        weft_task_await(tasks[i], WEFT_INFINITY);
}

static weft_term bench(weft_term arg)
{
    int64_t n = bench_scaled(10000000) / SAMPLES;
    double taken[SAMPLES];

    weft_must(weft_registry_start_link(.name = WEFT_ATOM("names"), .keys = WEFT_UNIQUE));
    for (int64_t i = 0; i < NAMES; i++)
        weft_registry_register(WEFT_ATOM("names"), weft_int(i), weft_none, NULL);
    bench_ns_per_op(taken, SAMPLES, n, lookups, &n);
    bench_report("registry_lookup", "ns/op", taken, SAMPLES, "\"names\":%d,\"readers\":%d", NAMES, READERS);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

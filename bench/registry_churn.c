/* How long does it take to register a name and to take it back? */
#include "report.h"
#include "weft/registry.h"

#define SAMPLES 20

static void churn(void *arg)
{
    const int64_t *n = arg;

    for (int64_t i = 0; i < *n; i++) {
        int code = weft_registry_register(WEFT_ATOM("names"), weft_int(i), weft_none, NULL);
        size_t n_removed = weft_registry_unregister(WEFT_ATOM("names"), weft_int(i));

        bench_check(code == 0 && n_removed == 1, "name %lld: %d, %zu taken back", (long long)i, code, n_removed);
    }
    bench_check(weft_registry_count(WEFT_ATOM("names")) == 0, "names are left");
}

static weft_term bench(weft_term arg)
{
    int64_t n = bench_scaled(2000000) / SAMPLES;
    double taken[SAMPLES];

    weft_must(weft_registry_start_link(.name = WEFT_ATOM("names"), .keys = WEFT_UNIQUE));
    bench_ns_per_op(taken, SAMPLES, n, churn, &n);
    bench_report("registry_churn", "ns/op", taken, SAMPLES, "\"names\":%lld", (long long)n * SAMPLES);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How many pages of 1 KiB does a client on one core fetch in a second, 64 at once? */
#include <stdatomic.h>
#include <stdlib.h>

#include "report.h"
#include "weft/http.h"
#include "weft/timer.h"

#define SAMPLES 5
#define AT_ONCE 64
#define PAGE_SIZE 1024

static const char *url;
static int64_t pages;
static _Atomic int64_t taken, fetched;

static void fetch(weft_term page)
{
    weft_http_response response = weft_http_get(page, .max_body = PAGE_SIZE);

    bench_check(response.ok, "get: %s", weft_inspect(response.error));
    bench_check(response.status == 200, "status %d", response.status);
    bench_check(weft_bin_size(response.body) == PAGE_SIZE, "a page of %zu bytes", weft_bin_size(response.body));
    atomic_fetch_add_explicit(&fetched, 1, memory_order_relaxed);
}

/* Each fetcher takes pages from one counter until all are fetched. */
static weft_term fetcher(weft_term page)
{
    while (atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed) < pages) {
        WEFT_SCOPE;

        fetch(page);
    }
    return weft_none;
}

static void fetch_all(void)
{
    weft_ref done[AT_ONCE];
    WEFT_SCOPE;

    atomic_store(&taken, 0);
    atomic_store(&fetched, 0);
    for (int i = 0; i < AT_ONCE; i++)
        weft_spawn(fetcher, weft_str(url), .monitor = &done[i]);
    for (int i = 0; i < AT_ONCE; i++)
        weft_receive(weft_tuple(weft_any, done[i], weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    bench_check(atomic_load(&fetched) == pages, "%lld pages fetched", (long long)atomic_load(&fetched));
}

static weft_term bench(weft_term arg)
{
    double rate[SAMPLES], cpu[SAMPLES];

    url = getenv("WEFT_BENCH_URL");
    bench_check(url != NULL, "WEFT_BENCH_URL says which page to fetch");
    pages = bench_scaled(20000);
    fetch_all();
    for (int i = 0; i < SAMPLES; i++) {
        int64_t start = weft_monotonic_ns(), used = bench_cpu_ns();

        fetch_all();
        rate[i] = (double)pages * 1e9 / (double)(weft_monotonic_ns() - start);
        cpu[i] = (double)(bench_cpu_ns() - used) / 1e3 / (double)pages;
    }
    bench_report("http_fetch", "req/s", rate, SAMPLES, "\"pages\":%lld,\"at_once\":%d", (long long)pages, AT_ONCE);
    bench_report("http_fetch_cpu", "cpu_us/req", cpu, SAMPLES, "\"pages\":%lld,\"at_once\":%d", (long long)pages,
                 AT_ONCE);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How much memory does an idle server hold, its state of 16 bytes included, and how
 * fast do a million start?
 *
 * One sample a run, as in idle_memory. WEFT_BENCH_SERVERS says how many.
 */
#include <stdlib.h>

#include "call_server.h"
#include "weft/timer.h"

static int64_t n_servers(void)
{
    const char *text = getenv("WEFT_BENCH_SERVERS");

    return text != NULL ? atoll(text) : bench_scaled(1000000);
}

static weft_term bench(weft_term arg)
{
    int64_t idle = n_servers(), before, start;
    weft_pid *servers = weft_alloc((size_t)idle * sizeof *servers);
    double each, took, asked;

    for (int64_t i = 0; i < idle; i++)
        servers[i] = weft_none; /* touched here, so that the handles' own pages are not counted */
    before = bench_resident_bytes();
    start = weft_monotonic_ns();
    for (int64_t i = 0; i < idle; i++)
        servers[i] = weft_must(weft_gen_server_start(&counter_server, weft_none));
    took = (double)(weft_monotonic_ns() - start) / 1e9;
    each = (double)(bench_resident_bytes() - before) / (double)idle;
    start = weft_monotonic_ns();
    for (int64_t i = 0; i < idle; i++)
        bench_check(weft_to_int(weft_gen_server_call(servers[i], weft_int(i), 5000)) == i + 1,
                    "server %lld answers wrongly", (long long)i);
    asked = (double)(weft_monotonic_ns() - start) / 1e9;
    bench_report("servers_idle", "bytes", &each, 1, "\"idle\":%lld", (long long)idle);
    bench_report("servers_idle_start", "s", &took, 1, "\"idle\":%lld", (long long)idle);
    bench_report("servers_idle_call", "s", &asked, 1, "\"idle\":%lld", (long long)idle);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How much memory does an idle callback process hold, and how fast do a million start?
 *
 * One sample a run: memory given back stays with the runtime, so a second
 * sample in the same program would measure the first one's.
 */
#include "report.h"
#include "weft/timer.h"

struct server {
    int64_t sum;
};

/* A request is {from, n}; the answer is the sum so far. The first is the last. */
static bool serve(void *state, weft_term request)
{
    struct server *server = state;

    server->sum += weft_to_int(weft_tuple_at(request, 1));
    weft_send(weft_tuple_at(request, 0), weft_int(server->sum));
    return false;
}

static void ask_all(const weft_pid *servers, int64_t idle)
{
    for (int64_t i = 0; i < idle; i++) {
        weft_term answer;

        WEFT_SCOPE;
        weft_send(servers[i], weft_tuple(weft_self(), weft_int(i)));
        bench_check(weft_receive(weft_any, 5000, &answer), "process %lld does not answer", (long long)i);
        bench_check(weft_to_int(answer) == i, "process %lld answered %s", (long long)i,
                    weft_inspect(answer));
    }
}

static weft_term bench(weft_term arg)
{
    int64_t idle = bench_scaled(1000000), before, start;
    weft_pid *servers = weft_alloc((size_t)idle * sizeof *servers);
    struct server state = {0};
    double each, took;

    for (int64_t i = 0; i < idle; i++)
        servers[i] = weft_none; /* touched here, so that the handles' own pages are not counted */
    before = bench_resident_bytes();
    start = weft_monotonic_ns();
    for (int64_t i = 0; i < idle; i++)
        servers[i] = weft_spawn_handler(serve, &state, .state_size = sizeof state);
    took = (double)(weft_monotonic_ns() - start) / 1e9;
    each = (double)(bench_resident_bytes() - before) / (double)idle;
    ask_all(servers, idle);
    bench_report("idle_memory", "bytes", &each, 1, "\"idle\":%lld", (long long)idle);
    bench_report("idle_memory_start", "s", &took, 1, "\"idle\":%lld", (long long)idle);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How long does a call to a server take, from request to answer, with one client? */
#include "call_server.h"

#define SAMPLES 20

struct calls {
    weft_pid server;
    int64_t n;
};

static void call(void *arg)
{
    const struct calls *calls = arg;

    call_in_a_row(calls->server, calls->n);
}

static weft_term bench(weft_term arg)
{
    int64_t n = bench_scaled(1000000);
    struct calls calls = {weft_must(weft_gen_server_start_link(&counter_server, weft_none)), n / SAMPLES};
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, calls.n, call, &calls);
    bench_report("call", "ns/op", taken, SAMPLES, "\"calls\":%lld,\"clients\":1", (long long)n);
    weft_gen_server_stop(calls.server, weft_none, 5000);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

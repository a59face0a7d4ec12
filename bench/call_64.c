/* How long does a call to a server take, per call, with 64 clients at once? */
#include "call_server.h"
#include "weft/task.h"

#define SAMPLES 20
#define CLIENTS 64

struct calls {
    weft_pid server;
    int64_t n; /* each client makes */
};

/* {server, n} */
static weft_term client(weft_term arg)
{
    call_in_a_row(weft_tuple_at(arg, 0), weft_to_int(weft_tuple_at(arg, 1)));
    return arg;
}

static void call(void *arg)
{
    const struct calls *calls = arg;
    weft_task tasks[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        tasks[i] = weft_task_async(client, weft_tuple(calls->server, weft_int(calls->n)));
    for (int i = 0; i < CLIENTS; i++)
        weft_task_await(tasks[i], WEFT_INFINITY);
}

static weft_term bench(weft_term arg)
{
    int64_t n = bench_scaled(1000000);
    struct calls calls = {weft_must(weft_gen_server_start_link(&counter_server, weft_none)),
                          n / SAMPLES / CLIENTS};
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, calls.n * CLIENTS, call, &calls);
    bench_report("call_64", "ns/op", taken, SAMPLES, "\"calls\":%lld,\"clients\":%d", (long long)n, CLIENTS);
    weft_gen_server_stop(calls.server, weft_none, 5000);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How long is a round trip between two processes that block in receive? */
#include "report.h"

#define SAMPLES 20

struct trips {
    weft_pid pong;
    int64_t n;
};

static weft_term pong(weft_term ping)
{
    weft_receive_each (value)
        weft_send(ping, weft_int(weft_to_int(value) + 1));
    return ping;
}

static void play(void *arg)
{
    const struct trips *trips = arg;
    weft_term value = weft_int(0);

    for (int64_t i = 0; i < trips->n; i++) {
        weft_send(trips->pong, value);
        weft_receive(weft_any, WEFT_INFINITY, &value);
    }
    bench_check(weft_to_int(value) == trips->n, "%lld trips counted up to %lld", (long long)trips->n,
                (long long)weft_to_int(value));
}

static weft_term bench(weft_term arg)
{
    int64_t n = bench_scaled(2000000);
    struct trips trips = {weft_spawn(pong, weft_self(), .link = true), n / SAMPLES};
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, trips.n, play, &trips);
    bench_report("pingpong", "ns/op", taken, SAMPLES, "\"trips\":%lld", (long long)n);
    weft_unlink(trips.pong);
    weft_kill(trips.pong);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

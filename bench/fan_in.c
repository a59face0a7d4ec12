/* What does a message cost when a hundred processes send to one? */
#include "report.h"

#define SAMPLES 10
#define SENDERS 100

static weft_term feed(weft_term arg)
{
    weft_pid receiver = weft_tuple_at(arg, 0);
    int64_t each = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t i = 0; i < each; i++)
        weft_send(receiver, weft_int(i));
    return arg;
}

static void collect(void *arg)
{
    int64_t each = *(int64_t *)arg, sum = 0;

    for (int s = 0; s < SENDERS; s++)
        weft_spawn(feed, weft_tuple(weft_self(), weft_int(each)));
    for (int64_t i = 0; i < SENDERS * each; i++) {
        weft_term value;

        weft_receive(weft_any, WEFT_INFINITY, &value);
        sum += weft_to_int(value);
    }
    bench_check(sum == SENDERS * each * (each - 1) / 2, "%lld messages summed up to %lld",
                (long long)(SENDERS * each), (long long)sum);
}

static weft_term bench(weft_term arg)
{
    int64_t each = bench_scaled(20000);
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, SENDERS * each, collect, &each);
    bench_report("fan_in", "ns/op", taken, SAMPLES, "\"senders\":%d,\"each\":%lld", SENDERS,
                 (long long)each);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

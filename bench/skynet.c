/* How long until a tree of processes with a million leaves has summed itself up? */
#include "report.h"

#define SAMPLES 5
#define FAN_OUT 10

/* arg: {parent, first, size}. */
static weft_term node(weft_term arg)
{
    weft_pid parent = weft_tuple_at(arg, 0);
    int64_t first = weft_to_int(weft_tuple_at(arg, 1)), size = weft_to_int(weft_tuple_at(arg, 2));
    int64_t sum = 0;

    if (size == 1) {
        weft_send(parent, weft_int(first));
        return arg;
    }
    for (int i = 0; i < FAN_OUT; i++)
        weft_spawn(node, weft_tuple(weft_self(), weft_int(first + i * (size / FAN_OUT)),
                                    weft_int(size / FAN_OUT)));
    for (int i = 0; i < FAN_OUT; i++) {
        weft_term answer;

        weft_receive(weft_any, WEFT_INFINITY, &answer);
        sum += weft_to_int(answer);
    }
    weft_send(parent, weft_int(sum));
    return arg;
}

static void sum_up(void *arg)
{
    int64_t leaves = *(int64_t *)arg;
    weft_term sum;

    weft_spawn(node, weft_tuple(weft_self(), weft_int(0), weft_int(leaves)));
    weft_receive(weft_any, WEFT_INFINITY, &sum);
    bench_check(weft_to_int(sum) == leaves * (leaves - 1) / 2, "the leaves summed up to %lld",
                (long long)weft_to_int(sum));
}

static weft_term bench(weft_term arg)
{
    int64_t leaves = bench_scaled(1000000);
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, 1000000, sum_up, &leaves); /* a million ns: it is in ms */
    bench_report("skynet", "ms", taken, SAMPLES, "\"leaves\":%lld,\"fan_out\":%d", (long long)leaves,
                 FAN_OUT);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

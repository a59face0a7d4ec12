/* What does a turn cost when two processes yield to each other on one worker? */
#include "report.h"

#define SAMPLES 20

/* Written by both without locks: there is one worker, so they never run at once. */
static int64_t turns[2];

static weft_term take_turns(weft_term arg)
{
    weft_pid parent = weft_tuple_at(arg, 0);
    int64_t me = weft_to_int(weft_tuple_at(arg, 1)), each = weft_to_int(weft_tuple_at(arg, 2));

    for (int64_t i = 0; i < each; i++) {
        turns[me]++;
        weft_yield();
    }
    weft_send(parent, weft_int(turns[me] - turns[1 - me]));
    return arg;
}

static void both(void *arg)
{
    int64_t ops = *(int64_t *)arg;

    turns[0] = turns[1] = 0;
    for (int me = 0; me < 2; me++)
        weft_spawn(take_turns, weft_tuple(weft_self(), weft_int(me), weft_int(ops / 2)));
    for (int me = 0; me < 2; me++) {
        weft_term ahead;

        weft_receive(weft_any, WEFT_INFINITY, &ahead);
        bench_check(weft_to_int(ahead) <= 1, "one was %lld turns ahead of the other",
                    (long long)weft_to_int(ahead));
    }
}

static weft_term bench(weft_term arg)
{
    int64_t yields = bench_scaled(10000000), ops = yields / SAMPLES;
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, ops, both, &ops);
    bench_report("yield", "ns/op", taken, SAMPLES, "\"yields\":%lld", (long long)yields);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 1, bench);
}

/* What does a bare spawn cost whose only act is to send one integer back? */
#include "report.h"

#define SAMPLES 20
#define BATCH 1000

static weft_term child(weft_term arg)
{
    weft_send(weft_tuple_at(arg, 0), weft_tuple_at(arg, 1));
    return arg;
}

static void spawn_batch(void)
{
    int64_t sum = 0;

    WEFT_SCOPE;
    for (int i = 0; i < BATCH; i++)
        weft_spawn(child, weft_tuple(weft_self(), weft_int(i)));
    for (int i = 0; i < BATCH; i++) {
        weft_term answer;

        weft_receive(weft_any, WEFT_INFINITY, &answer);
        sum += weft_to_int(answer);
    }
    bench_check(sum == BATCH * (BATCH - 1) / 2, "a batch summed up to %lld", (long long)sum);
}

static void spawn(void *ops)
{
    for (int64_t done = 0; done < *(int64_t *)ops; done += BATCH)
        spawn_batch();
}

static weft_term bench(weft_term arg)
{
    int64_t spawns = bench_scaled(1000000), ops = spawns / SAMPLES;
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, ops, spawn, &ops);
    bench_report("spawn_raw", "ns/op", taken, SAMPLES, "\"spawns\":%lld,\"batch\":%d", (long long)spawns,
                 BATCH);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

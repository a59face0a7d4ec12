/* What does a process cost that ends abnormally, seen as a DOWN by who started it? */
#include "report.h"

#include "weft/log.h"

#define SAMPLES 20
#define BATCH 1000

static weft_term child(weft_term arg)
{
    weft_exit(weft_tuple(WEFT_ATOM("boom"), arg));
}

static void crash_batch(void)
{
    int64_t sum = 0;

    WEFT_SCOPE;
    for (int i = 0; i < BATCH; i++) {
        weft_ref down;

        weft_spawn(child, weft_int(i), .monitor = &down);
    }
    for (int i = 0; i < BATCH; i++) {
        weft_term message;

        weft_receive(weft_any, WEFT_INFINITY, &message);
        sum += weft_to_int(weft_tuple_at(weft_tuple_at(message, 4), 1));
    }
    bench_check(sum == BATCH * (BATCH - 1) / 2, "a batch's reasons summed up to %lld", (long long)sum);
}

static void crash(void *ops)
{
    for (int64_t done = 0; done < *(int64_t *)ops; done += BATCH)
        crash_batch();
}

static weft_term bench(weft_term arg)
{
    int64_t crashes = bench_scaled(200000), ops = crashes / SAMPLES;
    double taken[SAMPLES];

    weft_log_set_level(WEFT_LOG_NONE);
    bench_ns_per_op(taken, SAMPLES, ops, crash, &ops);
    bench_report("crash_exit", "ns/op", taken, SAMPLES, "\"crashes\":%lld,\"batch\":%d", (long long)crashes, BATCH);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* What does a process cost that writes through NULL, seen as a DOWN by who started
 * it, and does memory stay as it was? */
#include "report.h"

#include "weft/log.h"

#define SAMPLES 20
#define BATCH 1000
#define GROWTH_MAX (8 * 1024 * 1024) /* bytes, over all */

static int *volatile nowhere;

static weft_term child(weft_term arg)
{
    *nowhere = 1;
    return arg;
}

static void crash_batch(void)
{
    int n_faults = 0;

    WEFT_SCOPE;
    for (int i = 0; i < BATCH; i++) {
        weft_ref down;

        weft_spawn(child, weft_int(i), .monitor = &down);
    }
    for (int i = 0; i < BATCH; i++) {
        weft_term message, reason;

        weft_receive(weft_any, WEFT_INFINITY, &message);
        reason = weft_tuple_at(message, 4);
        n_faults += weft_is_tuple(reason) && weft_eq(weft_tuple_at(reason, 0), WEFT_ATOM("sigsegv"));
    }
    bench_check(n_faults == BATCH, "%d of %d ended with :sigsegv", n_faults, BATCH);
}

static void crash(void *ops)
{
    for (int64_t done = 0; done < *(int64_t *)ops; done += BATCH)
        crash_batch();
}

static weft_term bench(weft_term arg)
{
    int64_t crashes = bench_scaled(1000000), ops = crashes / SAMPLES;
    int64_t before, growth;
    double taken[SAMPLES];

    weft_log_set_level(WEFT_LOG_NONE);
    crash(&ops);
    before = bench_resident_bytes();
    bench_ns_per_op(taken, SAMPLES, ops, crash, &ops);
    growth = bench_resident_bytes() - before;
    bench_check(growth < GROWTH_MAX, "memory grew by %lld bytes", (long long)growth);
    for (int i = 0; i < SAMPLES; i++)
        taken[i] /= 1000;
    bench_report("crash_fault", "us/op", taken, SAMPLES, "\"crashes\":%lld,\"batch\":%d,\"growth_bytes\":%lld",
                 (long long)crashes, BATCH, (long long)growth);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

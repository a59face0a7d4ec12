/* What does it cost to start a task and collect its result, a thousand at a time? */
#include "report.h"
#include "weft/task.h"

#define SAMPLES 20
#define BATCH 1000

static weft_term next(weft_term i)
{
    return weft_int(weft_to_int(i) + 1);
}

static void join_batch(void)
{
    weft_task tasks[BATCH];
    weft_term values[BATCH];

    WEFT_SCOPE;
    for (int i = 0; i < BATCH; i++)
        tasks[i] = weft_task_async(next, weft_int(i));
    weft_task_await_many(tasks, BATCH, 5000, values);
    for (int i = 0; i < BATCH; i++)
        bench_check(weft_eq(values[i], weft_int(i + 1)), "task %d returned %s", i, weft_inspect(values[i]));
}

static void join(void *ops)
{
    for (int64_t done = 0; done < *(int64_t *)ops; done += BATCH)
        join_batch();
}

static weft_term bench(weft_term arg)
{
    int64_t tasks = bench_scaled(1000000), ops = tasks / SAMPLES;
    double taken[SAMPLES];

    bench_ns_per_op(taken, SAMPLES, ops, join, &ops);
    bench_report("spawn_join", "ns/op", taken, SAMPLES, "\"tasks\":%lld,\"batch\":%d", (long long)tasks,
                 BATCH);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How much memory does a process hold that waits in the middle of a function?
 *
 * One sample a run, as in idle_memory.
 */
#include <stdatomic.h>

#include "report.h"
#include "weft/timer.h"

static struct {
    weft_pid parent;
    int64_t idle;
    _Atomic int64_t n_started;
} all;

static __attribute__((noinline)) weft_term wait_inside(void)
{
    weft_term request;

    /* Relaxed: it is a count; the message to the parent orders the rest. */
    if (atomic_fetch_add_explicit(&all.n_started, 1, memory_order_relaxed) + 1 == all.idle)
        weft_send(all.parent, WEFT_ATOM("started"));
    weft_receive(weft_any, WEFT_INFINITY, &request);
    return request;
}

/* Has a frame of its own that must outlive the wait. */
static weft_term caller(weft_term arg)
{
    volatile int64_t kept[4] = {4, 3, 2, 1};
    weft_term request = wait_inside();
    int64_t got = weft_to_int(weft_tuple_at(request, 1));

    weft_send(weft_tuple_at(request, 0), weft_int(got + kept[got % 4] + got % 4 - 4));
    return arg;
}

static void ask_all(const weft_pid *processes, int64_t idle)
{
    for (int64_t i = 0; i < idle; i++) {
        weft_term answer;

        WEFT_SCOPE;
        weft_send(processes[i], weft_tuple(weft_self(), weft_int(i)));
        bench_check(weft_receive(weft_any, 5000, &answer), "process %lld does not answer", (long long)i);
        bench_check(weft_to_int(answer) == i, "process %lld answered %s", (long long)i,
                    weft_inspect(answer));
    }
}

static weft_term bench(weft_term arg)
{
    int64_t idle = bench_scaled(1000000), before, start;
    weft_pid *processes = weft_alloc((size_t)idle * sizeof *processes);
    double each, took;

    all.parent = weft_self();
    all.idle = idle;
    for (int64_t i = 0; i < idle; i++)
        processes[i] = weft_none; /* touched here, so that the handles' own pages are not counted */
    before = bench_resident_bytes();
    start = weft_monotonic_ns();
    for (int64_t i = 0; i < idle; i++)
        processes[i] = weft_spawn(caller, weft_none);
    weft_receive(WEFT_ATOM("started"), WEFT_INFINITY, NULL);
    took = (double)(weft_monotonic_ns() - start) / 1e9;
    each = (double)(bench_resident_bytes() - before) / (double)idle;
    ask_all(processes, idle);
    bench_report("idle_stacks", "bytes", &each, 1, "\"idle\":%lld", (long long)idle);
    bench_report("idle_stacks_start", "s", &took, 1, "\"idle\":%lld", (long long)idle);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

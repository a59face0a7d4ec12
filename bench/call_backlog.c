/* What does a call cost with many unrelated messages in the caller's mailbox?
 *
 * The calls without and with them take turns, so that noise falls on both; the
 * ratio is of their medians.
 */
#include "call_server.h"

#define SAMPLES 20

struct calls {
    weft_pid server;
    int64_t n;
};

static void call(void *arg)
{
    const struct calls *calls = arg;

    call_in_a_row(calls->server, calls->n);
}

static void fill(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        weft_send(weft_self(), weft_int(i));
}

static void empty(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        bench_check(weft_receive(weft_int(i), 0, NULL), "message %lld is lost", (long long)i);
}

static double median(double *taken)
{
    bench_sort(taken, SAMPLES);
    return bench_at(taken, SAMPLES, 0.5);
}

/* The cost with that many held, and as a part of that with none. */
static void measure(struct calls *calls, int64_t held, const char *name, const char *ratio_name)
{
    double none[SAMPLES], many[SAMPLES], ratio;

    for (int i = 0; i < SAMPLES; i++) {
        bench_ns_per_op(&none[i], 1, calls->n, call, calls);
        fill(held);
        bench_ns_per_op(&many[i], 1, calls->n, call, calls);
        empty(held);
    }
    ratio = median(many) / median(none);
    bench_report(name, "ns/op", many, SAMPLES, "\"held\":%lld", (long long)held);
    bench_report(ratio_name, "ratio", &ratio, 1, "\"held\":%lld", (long long)held);
}

static weft_term bench(weft_term arg)
{
    struct calls calls = {weft_must(weft_gen_server_start_link(&counter_server, weft_none)),
                          bench_scaled(200000) / SAMPLES};

    measure(&calls, 10000, "call_backlog_10k", "call_backlog_10k_ratio");
    measure(&calls, 500000, "call_backlog_500k", "call_backlog_500k_ratio");
    weft_gen_server_stop(calls.server, weft_none, 5000);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* How long from the crash of a child to the answer of the one that was started in its place? */
#include <stdatomic.h>

#include "report.h"
#include "weft/gen_server.h"
#include "weft/log.h"
#include "weft/supervisor.h"
#include "weft/timer.h"

#define SAMPLES 5

static _Atomic uint64_t child;    /* bits of its newest pid */

static weft_init_result init(weft_term arg)
{
    (void)arg;
    return weft_init_ok(NULL);
}

static weft_result answer(void *state, weft_term request, weft_from from)
{
    (void)state, (void)from;
    return weft_reply(request);
}

static weft_result crash(void *state, weft_term message)
{
    (void)state, (void)message;
    weft_exit(WEFT_ATOM("boom"));
}

static const weft_gen_server server = {.init = init, .handle_call = answer, .handle_cast = crash};

static weft_started start(weft_term arg)
{
    weft_started started = weft_gen_server_start_link(&server, arg);

    atomic_store_explicit(&child, started.pid.bits, memory_order_release);
    return started;
}

static weft_pid newest(void)
{
    return weft__term(atomic_load_explicit(&child, memory_order_acquire));
}

/* From the crash until a child answers again. */
static double restart_once(void)
{
    WEFT_SCOPE;
    weft_pid old = newest();
    int64_t begun = weft_monotonic_ns();
    weft_term got;

    weft_gen_server_cast(old, WEFT_ATOM("crash"));
    while (!weft_gen_server_try_call(newest(), WEFT_ATOM("hello"), 5000, &got))
        weft_yield();
    bench_check(newest().bits != old.bits, "the old child answered");
    return (double)(weft_monotonic_ns() - begun) / 1e3;
}

static weft_term bench(weft_term arg)
{
    int64_t restarts = bench_scaled(20000);
    weft_child_spec spec = weft_child(.id = WEFT_ATOM("child"), .start = start, .arg = WEFT_ATOM("x"));
    double p50[SAMPLES], p99[SAMPLES], *each = weft_alloc((size_t)restarts * sizeof *each);

    weft_log_set_level(WEFT_LOG_NONE);
    weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1000000000, .max_seconds = 1));
    for (int sample = -1; sample < SAMPLES; sample++) {
        for (int64_t i = 0; i < restarts; i++)
            each[i] = restart_once();
        if (sample < 0)
            continue;
        bench_sort(each, (size_t)restarts);
        p50[sample] = bench_at(each, (size_t)restarts, 0.5);
        p99[sample] = bench_at(each, (size_t)restarts, 0.99);
    }
    bench_report("restart_p50", "us", p50, SAMPLES, "\"restarts\":%lld", (long long)restarts);
    bench_report("restart_p99", "us", p99, SAMPLES, "\"restarts\":%lld", (long long)restarts);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

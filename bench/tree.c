/* How long does it take to start 100,000 children under a supervisor, and to stop them in order? */
#include "report.h"
#include "weft/dynamic_supervisor.h"
#include "weft/gen_server.h"
#include "weft/log.h"
#include "weft/timer.h"

#define SAMPLES 5

static weft_init_result init(weft_term arg)
{
    (void)arg;
    return weft_init_ok(NULL);
}

static const weft_gen_server server = {.init = init};

static weft_started start(void)
{
    return weft_gen_server_start_link(&server, weft_none);
}

static void start_all(weft_pid sup, int64_t children)
{
    for (int64_t i = 0; i < children; i++) {
        WEFT_SCOPE;
        weft_started started = weft_dynamic_supervisor_start_child(sup, weft_child(.start_bare = start));

        bench_check(started.ok, "start_child: %s", weft_inspect(started.reason));
    }
}

static weft_term bench(weft_term arg)
{
    int64_t children = bench_scaled(100000);
    double started[SAMPLES], stopped[SAMPLES];

    weft_log_set_level(WEFT_LOG_NONE);
    for (int sample = -1; sample < SAMPLES; sample++) {
        weft_pid sup = weft_must(weft_dynamic_supervisor_start_link());
        weft_child_counts counts;
        int64_t begun = weft_monotonic_ns(), up;

        start_all(sup, children);
        up = weft_monotonic_ns();
        bench_check(weft_dynamic_supervisor_count_children(sup, &counts) == 0 && counts.active == children,
                    "%lld children are active", (long long)counts.active);
        if (sample >= 0)
            started[sample] = (double)(up - begun) / 1e6;
        begun = weft_monotonic_ns();
        weft_dynamic_supervisor_stop(sup, WEFT_ATOM("normal"), WEFT_INFINITY);
        if (sample >= 0)
            stopped[sample] = (double)(weft_monotonic_ns() - begun) / 1e6;
    }
    bench_report("tree_start", "ms", started, SAMPLES, "\"children\":%lld", (long long)children);
    bench_report("tree_stop", "ms", stopped, SAMPLES, "\"children\":%lld", (long long)children);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

/* call_server.h - the server that the call rows ask: it counts its calls. */
#ifndef WEFT_BENCH_CALL_SERVER_H
#define WEFT_BENCH_CALL_SERVER_H

#include "report.h"
#include "weft/gen_server.h"

struct counter {
    int64_t n;
    int64_t sum;
};

static inline weft_init_result counter_init(weft_term arg)
{
    (void)arg;
    return weft_init_ok(weft_new(struct counter));
}

/* The answer is the request plus one. */
static inline weft_result counter_call(void *state, weft_term request, weft_from from)
{
    struct counter *counter = state;

    (void)from;
    counter->n++;
    counter->sum += weft_to_int(request);
    return weft_reply(weft_int(weft_to_int(request) + 1));
}

static const weft_gen_server counter_server = {.init = counter_init, .handle_call = counter_call};

/* n calls in a row, each with what the one before answered. */
static inline void call_in_a_row(weft_pid server, int64_t n)
{
    weft_term value = weft_int(0);

    for (int64_t i = 0; i < n; i++)
        value = weft_gen_server_call(server, value, 5000);
    bench_check(weft_to_int(value) == n, "%lld calls counted up to %lld", (long long)n,
                (long long)weft_to_int(value));
}

#endif

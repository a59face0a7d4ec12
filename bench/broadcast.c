/* What does it cost to broadcast to ten thousand subscribers, for each delivery and its receipt? */
#include "report.h"
#include "weft/pubsub.h"

#define A(name) WEFT_ATOM(#name)
#define SAMPLES 10
#define SUBSCRIBERS 10000

struct plan {
    weft_atom topic;
    int64_t rounds; /* broadcasts in a sample */
};

/* A message is {:news, i, teller}; at the last one of a sample, whose teller is a pid, a
 * subscriber says what it has received. */
static int64_t received(weft_term message, int64_t sum)
{
    sum += weft_to_int(weft_tuple_at(message, 1));
    if (!weft_is_pid(weft_tuple_at(message, 2)))
        return sum;
    weft_send(weft_tuple_at(message, 2), weft_int(sum));
    return 0;
}

/* One that waits in the middle of a function: {topic, who started it}. */
static weft_term reads(weft_term arg)
{
    int64_t sum = 0;

    weft_pubsub_subscribe(A(bench), weft_tuple_at(arg, 0));
    weft_send(weft_tuple_at(arg, 1), A(ready));
    weft_receive_each (message)
        sum = received(message, sum);
    return arg;
}

/* One that holds no stack between two messages, the first of which is as above. */
static bool handles(void *state, weft_term message)
{
    int64_t *sum = state;

    if (weft_tuple_size(message) == 2) {
        weft_pubsub_subscribe(A(bench), weft_tuple_at(message, 0));
        weft_send(weft_tuple_at(message, 1), A(ready));
    } else {
        *sum = received(message, *sum);
    }
    return true;
}

static void broadcast(void *arg)
{
    const struct plan *plan = arg;
    int64_t sum = 0;

    for (int64_t i = 1; i <= plan->rounds; i++) {
        WEFT_SCOPE;
        weft_term teller = i == plan->rounds ? weft_self() : A(nobody);

        weft_pubsub_broadcast(A(bench), plan->topic, weft_tuple(A(news), weft_int(i), teller));
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        weft_term value;

        weft_receive(weft_any, WEFT_INFINITY, &value);
        sum += weft_to_int(value);
    }
    bench_check(sum == SUBSCRIBERS * plan->rounds * (plan->rounds + 1) / 2, "what was received summed up to %lld",
                (long long)sum);
}

static void measure(const char *name, struct plan plan)
{
    double taken[SAMPLES];

    for (int i = 0; i < SUBSCRIBERS; i++)
        weft_receive(A(ready), WEFT_INFINITY, NULL);
    bench_ns_per_op(taken, SAMPLES, SUBSCRIBERS * plan.rounds, broadcast, &plan);
    bench_report(name, "ns/op", taken, SAMPLES, "\"subscribers\":%d,\"broadcasts\":%lld", SUBSCRIBERS,
                 (long long)(SAMPLES * plan.rounds));
}

static weft_term bench(weft_term arg)
{
    static int64_t sums[SUBSCRIBERS];
    struct plan readers = {A(readers), bench_scaled(20)}, handlers = {A(handlers), bench_scaled(20)};
    weft_term to_readers = weft_tuple(readers.topic, weft_self()), to_handlers = weft_tuple(handlers.topic, weft_self());

    weft_must(weft_pubsub_start_link(.name = A(bench)));
    for (int i = 0; i < SUBSCRIBERS; i++)
        weft_spawn(reads, to_readers);
    measure("broadcast", readers);
    for (int i = 0; i < SUBSCRIBERS; i++)
        weft_send(weft_spawn_handler(handles, &sums[i]), to_handlers);
    measure("broadcast_handlers", handlers);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

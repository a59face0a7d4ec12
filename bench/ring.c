/* How long does a token take from one process to the next around a ring of a thousand? */
#include "report.h"

#define SAMPLES 20
#define MEMBERS 1000

struct ring {
    weft_pid first;
    int64_t hops;
};

/* Passes the token on with one hop less; who gets it at zero reports. The first
 * message is the next member, all others are tokens. */
static weft_term member(weft_term arg)
{
    weft_pid done = weft_tuple_at(arg, 0), next;
    weft_term place = weft_tuple_at(arg, 1);

    weft_receive(weft_any, WEFT_INFINITY, &next);
    weft_receive_each (left) {
        if (weft_to_int(left) == 0)
            weft_send(done, place);
        else
            weft_send(next, weft_int(weft_to_int(left) - 1));
    }
    return arg;
}

static void go_round(void *arg)
{
    const struct ring *ring = arg;
    weft_term place;

    weft_send(ring->first, weft_int(ring->hops));
    weft_receive(weft_any, WEFT_INFINITY, &place);
    bench_check(weft_to_int(place) == ring->hops % MEMBERS, "%lld hops ended at %lld",
                (long long)ring->hops, (long long)weft_to_int(place));
}

static weft_term bench(weft_term arg)
{
    int64_t hops = bench_scaled(5000000);
    weft_pid members[MEMBERS];
    double taken[SAMPLES];
    struct ring ring;

    for (int i = 0; i < MEMBERS; i++)
        members[i] = weft_spawn(member, weft_tuple(weft_self(), weft_int(i)));
    for (int i = 0; i < MEMBERS; i++)
        weft_send(members[i], members[(i + 1) % MEMBERS]);
    ring = (struct ring){members[0], hops / SAMPLES};
    bench_ns_per_op(taken, SAMPLES, ring.hops, go_round, &ring);
    bench_report("ring", "ns/op", taken, SAMPLES, "\"hops\":%lld,\"members\":%d", (long long)hops, MEMBERS);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

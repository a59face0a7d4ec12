/* stress_pubsub.c - broadcasts while processes subscribe, unsubscribe and crash.
 *
 *     stress_pubsub [broadcasts] [workers]
 *
 * Steady ones are subscribed all the while: each receives every broadcast of every
 * sender, once and in the sender's order. Flighty ones subscribe, receive a little, and
 * take it back, or exit in the middle, or are killed: what a subscription brings them is in
 * order, none of it twice. Every message is a counted object: as many are destroyed as
 * were made. In the end the topics are as they should be, and when all have gone there are
 * none.
 */
#include "base/rand.h"
#include "otp/pubsub.h"
#include "otp/topics.h"
#include "proc/stress.h"
#include "weft/log.h"
#include "weft/pubsub.h"

#if defined(WEFT_TSAN)
enum { N_STEADY = 80, N_FLIGHTY = 24, N_SENDERS = 3 };
#else
enum { N_STEADY = 300, N_FLIGHTY = 60, N_SENDERS = 3 };
#endif

static _Atomic int64_t n_made, n_destroyed, n_steady, n_out_of_order, n_steady_received, n_flighty_received, n_lives;
static _Atomic int is_over;

static void destroyed(void *object)
{
    (void)object;
    atomic_fetch_add(&n_destroyed, 1);
}

static const weft_native_type counted = {.name = "counted", .destroy = destroyed};

/* {sender, number, object}: false: not what is due. */
static bool is_next(int64_t *last, weft_term message, bool is_steady)
{
    int64_t sender = weft_to_int(weft_tuple_at(message, 0)), number = weft_to_int(weft_tuple_at(message, 1));
    bool is_due = is_steady ? number == last[sender] + 1 : number > last[sender];

    last[sender] = number;
    return is_due;
}

static weft_term sends(weft_term arg)
{
    int64_t sender = weft_to_int(weft_tuple_at(arg, 0)), n = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t i = 1; i <= n; i++) {
        WEFT_SCOPE;

        atomic_fetch_add(&n_made, 1);
        weft_pubsub_broadcast(A(ps), A(topic), weft_tuple(weft_int(sender), weft_int(i), weft_native(&counted, NULL)));
    }
    return arg;
}

static weft_term is_there_all_the_while(weft_term arg)
{
    int64_t n = weft_to_int(arg) * N_SENDERS, last[N_SENDERS] = {0};

    weft_pubsub_subscribe(A(ps), A(topic));
    atomic_fetch_add(&n_steady, 1);
    while (n > 0) {
        WEFT_SCOPE;
        weft_term message;

        if (!weft_receive(weft_any, BOUND_MS, &message))
            break;
        if (!is_next(last, message, true))
            atomic_fetch_add(&n_out_of_order, 1);
        atomic_fetch_add(&n_steady_received, 1);
        n--;
    }
    return arg;
}

/* Subscribe, look at what comes for a while, and take it back or end in the middle. */
static void comes_and_goes(uint64_t *chance, int64_t *last)
{
    weft_term message;

    weft_pubsub_subscribe(A(ps), A(topic));
    for (unsigned n = chance_below(chance, 20); n > 0; n--) {
        WEFT_SCOPE;

        if (!weft_receive(weft_any, 1, &message))
            break;
        if (!is_next(last, message, false))
            atomic_fetch_add(&n_out_of_order, 1);
        atomic_fetch_add(&n_flighty_received, 1);
    }
    if (chance_below(chance, 4) == 0)
        weft_exit(A(normal));
    weft_pubsub_unsubscribe(A(ps), A(topic));
    while (weft_receive(weft_any, 0, &message))
        if (!is_next(last, message, false))
            atomic_fetch_add(&n_out_of_order, 1);
}

static weft_term is_flighty(weft_term arg)
{
    uint64_t chance = (uint64_t)weft_to_int(arg);
    int64_t last[N_SENDERS] = {0};

    while (!atomic_load(&is_over)) {
        WEFT_SCOPE;

        comes_and_goes(&chance, last);
    }
    return arg;
}

/* One after the other lives in this place, some of them until they are killed. */
static weft_term replaces(weft_term arg)
{
    uint64_t chance = (uint64_t)weft_to_int(arg);

    while (!atomic_load(&is_over)) {
        WEFT_SCOPE;
        weft_ref down;
        weft_pid pid = weft_spawn(is_flighty, weft_int((int64_t)(chance_next(&chance) >> 8)), .monitor = &down);
        weft_term pattern = weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any);

        atomic_fetch_add(&n_lives, 1);
        if (chance_below(&chance, 2) == 0) {
            weft_receive(pattern, (int64_t)chance_below(&chance, 5), NULL);
            weft_kill(pid);
            weft_demonitor(down, true);
            continue;
        }
        weft_receive(pattern, BOUND_MS, NULL);
    }
    return arg;
}

static void check_topics(int64_t *n_topics)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    const struct weft__registry *pubsub;

    weft__epoch_begin(epoch);
    pubsub = weft__pubsub_find(A(ps));
    for (uint32_t i = 0; i < pubsub->n_parts; i++) {
        weft__spin_acquire(&pubsub->parts[i]->lock);
        weft__topics_check_locked(pubsub->parts[i]->topics);
        weft__spin_release(&pubsub->parts[i]->lock);
        *n_topics += atomic_load(&pubsub->parts[i]->topics->table->n);
    }
    weft__epoch_end(epoch);
}

static void await_down(weft_ref down)
{
    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), BOUND_MS, NULL);
}

static weft_term body(weft_term arg)
{
    struct stress *stress = weft_to_pointer(arg);
    weft_ref steady[N_STEADY], senders[N_SENDERS], places[N_FLIGHTY];
    int64_t n_topics = 0;

    weft_log_set_level(WEFT_LOG_NONE);
    weft_pubsub_start_link(.name = A(ps), .pool_size = 2);
    for (int i = 0; i < N_STEADY; i++)
        weft_spawn(is_there_all_the_while, weft_int(stress->count), .monitor = &steady[i]);
    while (atomic_load(&n_steady) < N_STEADY)
        weft_yield();
    for (unsigned i = 0; i < N_FLIGHTY; i++)
        weft_spawn(replaces, weft_int((int64_t)(chance_for(stress, i) >> 8)), .monitor = &places[i]);
    for (int i = 0; i < N_SENDERS; i++)
        weft_spawn(sends, weft_tuple(weft_int(i), weft_int(stress->count)), .monitor = &senders[i]);
    for (int i = 0; i < N_SENDERS; i++)
        await_down(senders[i]);
    for (int i = 0; i < N_STEADY; i++)
        await_down(steady[i]);
    check_topics(&n_topics);
    atomic_store(&is_over, 1);
    for (int i = 0; i < N_FLIGHTY; i++)
        await_down(places[i]);
    n_topics = 0;
    for (int i = 0; i < BOUND_MS && weft_pubsub_subscribers(A(ps), A(topic)) > 0; i++)
        weft_sleep(1);
    check_topics(&n_topics);
    stress_total(stress, "subscriptions left", (int64_t)weft_pubsub_subscribers(A(ps), A(topic)), 0);
    stress_total(stress, "topics left", n_topics, 0);
    return A(ok);
}

int main(int argc, char **argv)
{
    struct stress stress;

    stress_begin(&stress, argc, argv, 2000);
    stress_run(&stress, body);
    stress_total(&stress, "received by those subscribed throughout", n_steady_received,
                 stress.count * N_SENDERS * N_STEADY);
    stress_total(&stress, "received twice or out of order", n_out_of_order, 0);
    stress_total(&stress, "messages destroyed", n_destroyed, n_made);
    printf("# %lld lives of others, who received %lld\n", (long long)n_lives, (long long)n_flighty_received);
    return stress_end(&stress);
}

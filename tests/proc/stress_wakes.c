/* stress_wakes.c - is a wake-up ever lost?
 *
 *     stress_wakes [races] [workers]             10^5 by default; 10^6 for long
 *
 * In each race one side parks in a receive, without a timeout, with one that
 * runs out about now, or with none at all, while the other side sends. The
 * message is what the receive returns, or is there after it timed out; the
 * answer that goes back is a race the other way. Most pairs are two processes;
 * in the last ones the sender is a thread that weft did not make. A wake-up
 * that is lost shows as a message that does not come within a minute.
 */
#include <pthread.h>

#include "proc/stress.h"

enum { PAIRS = 8, FOREIGN = 2 };

static struct stress stress;
static _Atomic int64_t n_sent, n_received, n_timeouts, n_waited, n_lost, n_wrong, n_strays;


/* The receiving side of {:race, number, from}: answers {:answer, number}. */
static weft_term parks(weft_term arg)
{
    uint64_t chance = chance_for(&stress, (unsigned)weft_to_int(weft_tuple_at(arg, 0)));
    int64_t n = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t next = 0; next < n; next++) {
        WEFT_SCOPE;
        int64_t number = -1;
        weft_pid from = weft_none;
        weft_term pattern = weft_tuple(A(race), weft_bind_int(&number), weft_bind(&from));
        unsigned way = chance_below(&chance, 64);
        int64_t timeout_ms = way == 0 ? 1 : way < 16 ? 0 : BOUND_MS;
        bool came;

        stress_dither(&chance);
        came = weft_receive(pattern, timeout_ms, NULL);
        if (!came && timeout_ms < BOUND_MS) {
            atomic_fetch_add(&n_timeouts, 1);
            came = weft_receive(pattern, BOUND_MS, NULL);
        } else {
            atomic_fetch_add(&n_waited, 1);
        }
        if (!came) {
            atomic_fetch_add(&n_lost, 1);
            break;
        }
        if (number != next)
            atomic_fetch_add(&n_wrong, 1);
        atomic_fetch_add(&n_received, 1);
        weft_send(from, weft_tuple(A(answer), weft_int(number)));
    }
    while (weft_receive(weft_any, 0, NULL))
        atomic_fetch_add(&n_strays, 1);
    return A(ok);
}

static void yield_until(int64_t time_ns)
{
    while (stress_now_ns() < time_ns)
        weft_yield();
}

/* The sending side, in a process or in a guest. */
static void races(weft_pid to, int64_t number, int64_t n)
{
    uint64_t chance = chance_for(&stress, (unsigned)number + 1000);

    for (int64_t next = 0; next < n; next++) {
        WEFT_SCOPE;
        unsigned way = chance_below(&chance, 64);

        /* About when a timeout of a millisecond runs out. */
        if (way == 0)
            yield_until(stress_now_ns() + 1000000 + (int64_t)chance_below(&chance, 100000));
        else if (way < 8)
            weft_yield();
        stress_dither(&chance);
        weft_send(to, weft_tuple(A(race), weft_int(next), weft_self()));
        atomic_fetch_add(&n_sent, 1);
        stress_dither(&chance);
        if (!weft_receive(weft_tuple(A(answer), weft_int(next)), BOUND_MS, NULL)) {
            atomic_fetch_add(&n_lost, 1);
            return;
        }
    }
}

static weft_term races_in_a_process(weft_term arg)
{
    races(weft_tuple_at(arg, 0), weft_to_int(weft_tuple_at(arg, 1)), weft_to_int(weft_tuple_at(arg, 2)));
    return A(ok);
}

struct foreign {
    pthread_t thread;
    weft_pid to;
    int64_t number, n;
};

static void *races_in_a_thread(void *arg)
{
    struct foreign *foreign = arg;

    races(foreign->to, foreign->number, foreign->n);
    return NULL;
}

static void *join(void *arg)
{
    struct foreign *foreign = arg;

    pthread_join(foreign->thread, NULL);
    return NULL;
}

static weft_term runs_pairs(weft_term arg)
{
    static struct foreign foreign[FOREIGN];
    weft_ref downs[PAIRS];
    int64_t each = stress.count / PAIRS + 1;

    for (int64_t i = 0; i < PAIRS; i++) {
        weft_pid to = weft_spawn(parks, weft_tuple(weft_int(i), weft_int(each)), .monitor = &downs[i]);

        if (i < PAIRS - FOREIGN) {
            weft_spawn(races_in_a_process, weft_tuple(to, weft_int(i), weft_int(each)));
        } else {
            struct foreign *thread = &foreign[i - (PAIRS - FOREIGN)];

            *thread = (struct foreign){ .to = to, .number = i, .n = each };
            stress_total(&stress, "a foreign thread starts",
                         pthread_create(&thread->thread, NULL, races_in_a_thread, thread), 0);
        }
    }
    for (int i = 0; i < PAIRS; i++) {
        WEFT_SCOPE;

        weft_receive(weft_tuple(A(DOWN), downs[i], weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    }
    for (int i = 0; i < FOREIGN; i++)
        weft_blocking(join, &foreign[i]);
    stress_total(&stress, "races", atomic_load(&n_received), each * PAIRS);
    return weft_is_pointer(arg) ? A(ok) : arg;
}

int main(int argc, char **argv)
{
    stress_begin(&stress, argc, argv, 100000);
    stress_run(&stress, runs_pairs);
    printf("# %lld receives waited, %lld timed out first\n", (long long)atomic_load(&n_waited),
           (long long)atomic_load(&n_timeouts));
    stress_total(&stress, "messages received", atomic_load(&n_received), atomic_load(&n_sent));
    stress_total(&stress, "messages that did not come", atomic_load(&n_lost), 0);
    stress_total(&stress, "messages out of their order", atomic_load(&n_wrong), 0);
    stress_total(&stress, "messages that came twice", atomic_load(&n_strays), 0);
    return stress_end(&stress);
}

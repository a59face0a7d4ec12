/*
 * embed.c - weft inside a program that has threads and a main of its own.
 *
 * A counter is one process with a name. Threads of the program ask it by
 * message: each becomes a guest process at its first call, with a pid that the
 * answer goes to, and waits for it on a futex of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

enum { N_THREADS = 8, N_ASKED = 1000 };

struct counter { int64_t n; };

/* Runs once for each message, one at a time: so the count needs no lock. */
static bool counter_handle(void *state, weft_term message)
{
    struct counter *counter = state;
    weft_pid from;
    weft_ref ref;

    if (weft_match(message, weft_tuple(A(incr), weft_bind_pid(&from), weft_bind(&ref))))
        weft_send(from, weft_tuple(ref, weft_int(++counter->n)));
    return true;                                        /* wait for the next one */
}

/* Ask the counter, and wait at most a second. false: it did not answer. */
static bool counter_incr(int64_t *n)
{
    weft_ref ref = weft_make_ref();                     /* tells this answer from a late one */

    return weft_try_send(A(counter), weft_tuple(A(incr), weft_self(), ref)) == 0 &&
           weft_receive(weft_tuple(ref, weft_bind_int(n)), 1000, NULL);
}

static void *foreign(void *failures)
{
    for (int i = 0; i < N_ASKED; i++) {
        WEFT_SCOPE;                                     /* terms of this turn are given back at its end */
        int64_t n;

        if (!counter_incr(&n))
            ++*(int *)failures;
    }
    return NULL;
}

/* The program's own main: weft is started, used and stopped. */
int main(void)
{
    struct counter zero = {0};
    pthread_t threads[N_THREADS];
    int failures[N_THREADS] = {0};
    int n_failures = 0;
    int64_t n = 0;

    if (weft_runtime_start(.workers = 4) != 0) {        /* 0, or a negative WEFT_E... */
        fprintf(stderr, "%s\n", weft_runtime_error());
        return 1;
    }
    /* The main thread is a guest, too. The process gets a copy of the state. */
    weft_register(A(counter), weft_spawn_handler(counter_handle, &zero, .state_size = sizeof zero));

    for (int i = 0; i < N_THREADS; i++)
        if (pthread_create(&threads[i], NULL, foreign, &failures[i]) != 0)
            return 1;
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        n_failures += failures[i];
    }

    if (counter_incr(&n))
        printf("%lld\n", (long long)n);                 /* 8001 */
    if (weft_runtime_stop(.timeout_ms = 5000) != 0) {   /* ends what still runs, in order */
        fprintf(stderr, "%s\n", weft_runtime_error());
        return 1;
    }
    return n_failures != 0 || n != N_THREADS * N_ASKED + 1;
}

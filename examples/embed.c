/*
 * embed.c - weft inside a program that has threads and a main of its own.
 *
 * A counter is a server with a name. Threads of the program call it: each becomes
 * a guest process at its first call, and waits for the answer on a futex.
 */
#include <pthread.h>
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

enum { N_THREADS = 8, N_CALLS = 1000 };

/* -- the server: its callbacks run one at a time, so the count needs no lock -------- */

struct counter { int64_t n; };

static weft_init_result counter_init(weft_term start)
{
    struct counter *c = weft_new(struct counter);       /* goes with the server */

    c->n = weft_to_int(start);
    return weft_init_ok(c);
}

static weft_result counter_call(void *state, weft_term request, weft_from from)
{
    (void)request, (void)from;
    return weft_reply(weft_int(++((struct counter *)state)->n));
}

static const weft_gen_server counter = { .init = counter_init, .handle_call = counter_call };

/* -- the program ----------------------------------------------------------------------- */

static void *foreign(void *failures)
{
    for (int i = 0; i < N_CALLS; i++) {
        WEFT_SCOPE;                                     /* a thread of yours is a guest process */
        weft_term n;

        if (!weft_gen_server_try_call(A(counter), A(incr), 1000, &n)) {
            fprintf(stderr, "counter: %s\n", weft_inspect(n));
            ++*(int *)failures;
        }
    }
    return NULL;
}

/* The program's own main: weft is started, used and stopped. */
int main(void)
{
    pthread_t threads[N_THREADS];
    int failures[N_THREADS] = {0}, n_failures = 0;
    weft_started started;
    weft_term n;

    if (weft_runtime_start(.workers = 4) != 0) {        /* 0, or a negative WEFT_E... */
        fprintf(stderr, "%s\n", weft_runtime_error());
        return 1;
    }
    started = weft_gen_server_start(&counter, weft_int(0), .name = A(counter)); /* the main thread is a guest, too */
    if (!started.ok) {
        fprintf(stderr, "counter: %s\n", weft_inspect(started.reason));
        return 1;
    }

    for (int i = 0; i < N_THREADS; i++)
        if (pthread_create(&threads[i], NULL, foreign, &failures[i]) != 0)
            return 1;
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        n_failures += failures[i];
    }

    if (weft_gen_server_try_call(A(counter), A(incr), 1000, &n))
        printf("%s\n", weft_inspect(n));                /* 8001 */
    if (weft_runtime_stop(.timeout_ms = 5000) != 0) {   /* ends what still runs, in order */
        fprintf(stderr, "%s\n", weft_runtime_error());
        return 1;
    }
    return n_failures != 0;
}

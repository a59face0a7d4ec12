/* stress_pool.c - clients of a pool are killed at random while they wait, hold, check and give
 * back: nobody ever shares a resource, and in the end all are there again and none
 * is open that nobody knows of.
 *
 * WEFT_TEST_POOL_MS: for how long (1500).  WEFT_SEED: of what is drawn. */
#include <stdlib.h>

#include "base/rand.h"
#include "proc/process_test.h"
#include "weft/gen_server.h"
#include "weft/pool.h"

enum { CAPACITY = 4, OVERFLOW = 3, N_CLIENTS = 24, N_MONKEYS = 2, N_NUMBERS = 1 << 20 };

static _Atomic int n_opened, n_closed, n_shared, n_uses, n_kills, n_over, is_over;
static _Atomic unsigned char users[N_NUMBERS]; /* of each resource that was ever opened */
static _Atomic uint64_t clients[N_CLIENTS];    /* bits of the newest pid of each */

static int64_t pool_ms(void)
{
    const char *text = getenv("WEFT_TEST_POOL_MS");

    return text != NULL ? atoll(text) : 1500;
}

static uint64_t seed;

static void set_seed(void)
{
    const char *text = getenv("WEFT_SEED");

    seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)now_ns();
    diag("seed %llu", (unsigned long long)seed);
}

/* -- resources -------------------------------------------------------------------------- */

static bool number_open(weft_term arg, weft_pid pool, weft_term *resource)
{
    int number = atomic_fetch_add(&n_opened, 1);

    (void)arg, (void)pool;
    if (number % 3 == 0)
        weft_yield();
    *resource = weft_int(number % N_NUMBERS);
    return true;
}

/* Whoever had it before is gone: from here on it is one's own. */
static bool number_check(weft_term resource)
{
    int64_t number = weft_to_int(resource);

    weft_yield();
    atomic_store(&users[number], 0);
    return number % 5 != 0;
}

static void number_close(weft_term resource)
{
    (void)resource;
    atomic_fetch_add(&n_closed, 1);
}

static const weft_pool_resource number = {.open = number_open, .check = number_check, .close = number_close};

/* -- clients ------------------------------------------------------------------------------ */

static weft_term use(weft_term resource, void *arg)
{
    int64_t it = weft_to_int(resource);

    if (atomic_fetch_add(&users[it], 1) != 0)
        atomic_fetch_add(&n_shared, 1);
    for (int i = 0; i < *(const int *)arg; i++)
        weft_yield();
    atomic_fetch_sub(&users[it], 1);
    atomic_fetch_add(&n_uses, 1);
    if (*(const int *)arg == 3)
        weft_pool_discard(A(pool), resource);
    return A(ok);
}

static weft_term uses_often(weft_term number_of_client)
{
    struct weft__rand rand;

    weft__rand_init(&rand, seed, (uint64_t)weft_to_int(number_of_client));
    while (!atomic_load(&is_over)) {
        WEFT_SCOPE;
        weft_term result;
        int n_yields = (int)weft__rand_below(&rand, 4);

        weft_pool_try_transaction(A(pool), weft__rand_below(&rand, 4), use, &n_yields, &result);
    }
    return A(ok);
}

/* Keeps one client alive: begins another when it was killed. */
static weft_term keeps_client(weft_term n)
{
    while (!atomic_load(&is_over)) {
        WEFT_SCOPE;
        weft_ref down;
        weft_pid pid = weft_spawn(uses_often, n, .monitor = &down);

        atomic_store(&clients[weft_to_int(n)], pid.bits);
        await_down(down);
    }
    atomic_fetch_add(&n_over, 1);
    return A(ok);
}

static weft_term kills(weft_term n)
{
    struct weft__rand rand;

    weft__rand_init(&rand, seed, 1000 + (uint64_t)weft_to_int(n));
    while (!atomic_load(&is_over)) {
        weft_pid pid = {atomic_load(&clients[weft__rand_below(&rand, N_CLIENTS)])};

        if (!weft_is_none(pid)) {
            weft_kill(pid);
            atomic_fetch_add(&n_kills, 1);
        }
        weft_sleep(weft__rand_below(&rand, 2));
    }
    atomic_fetch_add(&n_over, 1);
    return A(ok);
}

static bool is_settled(void)
{
    weft_pool_counts counts;

    return weft_pool_status(A(pool), &counts) && counts.idle == CAPACITY && counts.in_use == 0 &&
           counts.waiting == 0 && counts.opening == 0 && atomic_load(&n_opened) - atomic_load(&n_closed) == CAPACITY;
}

PROCESS_TEST(clients_killed_at_random_leave_a_pool_whole)
{
    set_seed();
    weft_must(weft_pool_start_link(&number, weft_none, .name = A(pool), .capacity = CAPACITY,
                                   .max_overflow = OVERFLOW));
    for (int i = 0; i < N_CLIENTS; i++)
        weft_spawn(keeps_client, weft_int(i));
    for (int i = 0; i < N_MONKEYS; i++)
        weft_spawn(kills, weft_int(i));
    weft_sleep(pool_ms());
    atomic_store(&is_over, 1);
    await_count(&n_over, N_CLIENTS + N_MONKEYS);
    for (int64_t until_ms = now_ms() + BOUND_MS; !is_settled() && now_ms() < until_ms;)
        weft_yield();
    check(is_settled());
    check_int(n_shared, 0);
    weft_gen_server_stop(A(pool), weft_none, BOUND_MS);
    check_int(n_opened, n_closed);
    diag("%d uses, %d kills, %d opened", n_uses, n_kills, n_opened);
}

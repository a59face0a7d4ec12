/*
 * rate_limiter.c - how often may each key do something? A token bucket for each key,
 * in servers that share the keys among them.
 *
 * A bucket holds so many tokens, one drips in every so often, and whoever acts takes some.
 * Buckets are made at first use and forgotten when they are full again: so the memory
 * is that of the keys that were busy lately.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

/* -- one server: the buckets of its keys -------------------------------------------------- */

enum { N_CHAINS = 1024, SWEEP_MS = 1000 };

struct bucket {
    struct bucket *next;
    weft_term key;              /* kept */
    double tokens;              /* as of at_ms */
    int64_t at_ms;
};

struct limiter {
    double per_ms, burst;
    struct bucket *chains[N_CHAINS];
};

static void fill(const struct limiter *limiter, struct bucket *bucket, int64_t now_ms)
{
    bucket->tokens += (double)(now_ms - bucket->at_ms) * limiter->per_ms;
    if (bucket->tokens > limiter->burst)
        bucket->tokens = limiter->burst;
    bucket->at_ms = now_ms;
}

/* The key's, full when it is new. */
static struct bucket *bucket_of(struct limiter *limiter, weft_term key, int64_t now_ms)
{
    struct bucket **chain = &limiter->chains[weft_hash(key) % N_CHAINS], *bucket;

    for (bucket = *chain; bucket != NULL; bucket = bucket->next)
        if (weft_eq(bucket->key, key))
            return bucket;
    bucket = weft_new(struct bucket);
    bucket->key = weft_keep(key);
    bucket->tokens = limiter->burst;
    bucket->at_ms = now_ms;
    bucket->next = *chain;
    *chain = bucket;
    return bucket;
}

/* Forget those that are full: a new one would be no other. */
static void sweep(struct limiter *limiter)
{
    int64_t now_ms = weft_monotonic_ms();

    for (int i = 0; i < N_CHAINS; i++)
        for (struct bucket **at = &limiter->chains[i]; *at != NULL;) {
            struct bucket *bucket = *at;

            fill(limiter, bucket, now_ms);
            if (bucket->tokens < limiter->burst) {
                at = &bucket->next;
                continue;
            }
            *at = bucket->next;
            weft_drop(bucket->key);
            weft_free(bucket);
        }
    weft_send_after(weft_self(), A(sweep), SWEEP_MS);
}

/* arg: {tokens in a second, burst} */
static weft_init_result limiter_init(weft_term arg)
{
    struct limiter *limiter = weft_new(struct limiter);

    limiter->per_ms = weft_to_float(weft_tuple_at(arg, 0)) / 1000;
    limiter->burst = weft_to_float(weft_tuple_at(arg, 1));
    weft_send_after(weft_self(), A(sweep), SWEEP_MS);
    return weft_init_ok(limiter);
}

/* request: {key, tokens}. Answers how many ms to wait for them; 0: they are taken. */
static weft_result limiter_call(void *state, weft_term request, weft_from from)
{
    struct limiter *limiter = state;
    double wanted = weft_to_float(weft_tuple_at(request, 1));
    int64_t now_ms = weft_monotonic_ms();
    struct bucket *bucket = bucket_of(limiter, weft_tuple_at(request, 0), now_ms);

    (void)from;
    fill(limiter, bucket, now_ms);
    if (bucket->tokens < wanted)
        return weft_reply(weft_int((int64_t)((wanted - bucket->tokens) / limiter->per_ms) + 1));
    bucket->tokens -= wanted;
    return weft_reply(weft_int(0));
}

static weft_result limiter_info(void *state, weft_term message)
{
    if (weft_eq(message, A(sweep)))
        sweep(state);
    return weft_noreply();
}

static const weft_gen_server limiter_server = {
    .init = limiter_init, .handle_call = limiter_call, .handle_info = limiter_info, .name = "limiter"};

/* -- all of them: each key belongs to one ---------------------------------------------------- */

static weft_started limiter_start_link(weft_term arg)
{
    return weft_gen_server_start_link(&limiter_server, arg);
}

static weft_started limiters_start_link(weft_atom name, double per_second, double burst)
{
    weft_child_spec child = weft_child(.id = A(limiter), .start = limiter_start_link,
                                       .arg = weft_tuple(weft_float(per_second), weft_float(burst)));

    return weft_partition_supervisor_start_link(.name = name, .child = &child);
}

/* 0: go ahead; else in how many milliseconds to come again. */
static int64_t limiter_take(weft_atom name, weft_term key, double tokens)
{
    return weft_to_int(weft_gen_server_call(weft_partition(name, key), weft_tuple(key, weft_float(tokens)),
                                            5000));
}

/* -- a program that uses it -------------------------------------------------------------------- */

static weft_term app(weft_term args)
{
    weft_term alice = weft_str("alice"), bob = weft_str("bob");
    int64_t n_allowed = 0, wait_ms = 0;

    (void)args;
    weft_must(limiters_start_link(A(logins), 10, 5));   /* 10 a second, 5 at once */
    for (int i = 0; i < 5; i++)
        n_allowed += limiter_take(A(logins), alice, 1) == 0;
    wait_ms = limiter_take(A(logins), alice, 5);
    printf("alice: %lld allowed, then %s\n", (long long)n_allowed, wait_ms > 0 ? "not at once" : "more");
    printf("bob: %s\n", limiter_take(A(logins), bob, 1) == 0 ? "allowed" : "not at once");
    weft_sleep(wait_ms);
    printf("alice, after the time she was told: %s\n",
           limiter_take(A(logins), alice, 5) == 0 ? "allowed" : "not at once");
    return A(ok);
}

int main(int argc, char **argv)
{
    return weft_main(argc, argv, app);
}

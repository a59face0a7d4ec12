/*
 * cache.c - a server that owns rows with a time to live, and cleans up after itself.
 *
 *     cache            fills a cache, waits until its rows are old, and looks again
 *
 * cache_put, cache_get and cache_size are what other processes see of it: they know
 * the server's name and nothing of its state. The rows are the server's own memory,
 * in a hash table that it alone touches, so there is no lock.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

enum { N_BUCKETS = 1024, CLEANUP_MS = 20 };

struct row {
    struct row *next;
    weft_term key, value;      /* kept: copies of the server's own */
    int64_t expires_at_ms;
};

struct cache {
    int64_t ttl_ms;
    int64_t n_rows;
    struct row *buckets[N_BUCKETS];
};

/* -- client side: runs in the caller's process ------------------------------------- */

/* true and the value, or false: there is none, or it is too old. */
static bool cache_get(weft_term key, weft_term *value)
{
    weft_term found = weft_gen_server_call(A(cache), weft_tuple(A(get), key), 5000);

    return weft_match(found, weft_tuple(A(ok), weft_bind(value)));
}

static void cache_put(weft_term key, weft_term value)
{
    weft_gen_server_cast(A(cache), weft_tuple(A(put), key, value));
}

static int64_t cache_size(void)
{
    return weft_to_int(weft_gen_server_call(A(cache), A(size), 5000));
}

/* -- the rows ------------------------------------------------------------------------- */

/* The place in its list of the row with that key; the list's end when there is none. */
static struct row **row_place(struct cache *c, weft_term key)
{
    struct row **at = &c->buckets[weft_hash(key) % N_BUCKETS];

    while (*at != NULL && !weft_eq((*at)->key, key))
        at = &(*at)->next;
    return at;
}

static void row_remove(struct cache *c, struct row **at)
{
    struct row *row = *at;

    *at = row->next;
    weft_drop(row->key);
    weft_drop(row->value);
    weft_free(row);
    c->n_rows--;
}

static void row_put(struct cache *c, weft_term key, weft_term value)
{
    struct row **at = row_place(c, key);

    if (*at == NULL) {
        *at = weft_new(struct row);
        (*at)->key = weft_keep(key);
        c->n_rows++;
    } else {
        weft_drop((*at)->value);
    }
    (*at)->value = weft_keep(value);
    (*at)->expires_at_ms = weft_monotonic_ms() + c->ttl_ms;
}

static void rows_expire(struct cache *c)
{
    int64_t now_ms = weft_monotonic_ms();

    for (int i = 0; i < N_BUCKETS; i++)
        for (struct row **at = &c->buckets[i]; *at != NULL;)
            if ((*at)->expires_at_ms <= now_ms)
                row_remove(c, at);
            else
                at = &(*at)->next;
}

/* -- server side: callbacks, one message at a time -------------------------------------- */

static weft_init_result cache_init(weft_term opts)
{
    struct cache *c = weft_new(struct cache);    /* owned by this process, freed when it ends, however it ends */

    c->ttl_ms = weft_to_int(weft_keyword(opts, A(ttl_ms), weft_int(5 * 60 * 1000)));
    weft_send_after(weft_self(), A(cleanup), CLEANUP_MS);
    return weft_init_ok(c);
}

static weft_result cache_handle_call(void *state, weft_term request, weft_from from)
{
    struct cache *c = state;
    weft_term key;

    (void)from;
    if (weft_eq(request, A(size)))
        return weft_reply(weft_int(c->n_rows));
    if (weft_match(request, weft_tuple(A(get), weft_bind(&key)))) {
        struct row *row = *row_place(c, key);

        return weft_reply(row != NULL && row->expires_at_ms > weft_monotonic_ms()
                              ? weft_tuple(A(ok), row->value)
                              : A(none));
    }
    return weft_stop(weft_tuple(A(bad_call), request));
}

static weft_result cache_handle_cast(void *state, weft_term message)
{
    weft_term key, value;

    if (weft_match(message, weft_tuple(A(put), weft_bind(&key), weft_bind(&value))))
        row_put(state, key, value);
    return weft_noreply();
}

static weft_result cache_handle_info(void *state, weft_term message)
{
    if (weft_eq(message, A(cleanup))) {
        rows_expire(state);
        weft_send_after(weft_self(), A(cleanup), CLEANUP_MS);
    }
    return weft_noreply();
}

static const weft_gen_server cache_server = {
    .init        = cache_init,
    .handle_call = cache_handle_call,
    .handle_cast = cache_handle_cast,
    .handle_info = cache_handle_info,
    .name        = "cache",
};

static weft_started cache_start_link(weft_term opts)
{
    return weft_gen_server_start_link(&cache_server, opts, .name = A(cache));
}

/* -- the program ---------------------------------------------------------------------------- */

static void show(weft_term key)
{
    weft_term value;

    if (cache_get(key, &value))
        printf("%s: %s\n", weft_inspect(key), weft_inspect(value));
    else
        printf("%s: nothing\n", weft_inspect(key));
}

static weft_term app(weft_term args)
{
    (void)args;
    weft_must(cache_start_link(weft_list(weft_tuple(A(ttl_ms), weft_int(1000)))));

    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;                                  /* what a turn builds goes at its end */

        cache_put(weft_tuple(A(square), weft_int(i)), weft_int((int64_t)i * i));
    }
    printf("%lld rows\n", (long long)cache_size());
    show(weft_tuple(A(square), weft_int(12)));
    show(weft_tuple(A(square), weft_int(1000)));

    while (cache_size() > 0)                         /* until the server has cleaned up */
        weft_sleep(10);
    show(weft_tuple(A(square), weft_int(12)));
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }

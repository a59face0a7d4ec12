/* stress_messages.c - are messages lost, doubled, reordered or damaged?
 *
 *     stress_messages [messages] [workers]       10^6 by default; 10^8 for long
 *
 * A tenth of the messages goes round a ring, as tokens that count their hops.
 * The rest goes from each of 64 processes to any other, in every shape that a
 * message can have, while the receivers take them in all the ways there are.
 * Each message carries its number among those from this sender to this
 * receiver; the numbers have to come without a gap. In the end what each was
 * sent and what it received are the same, and every object that travelled in a
 * message is destroyed.
 */
#include "proc/stress.h"

enum { PEERS = 64, RING = 100, TOKENS = 20 };

static struct stress stress;

/* Written by the process `from` or `to` alone, read when it is done. */
static uint32_t n_sent[PEERS][PEERS];     /* [from][to] */
static uint32_t n_received[PEERS][PEERS]; /* [to][from] */
static weft_pid peers[PEERS];

static _Atomic int64_t n_gaps, n_damaged, n_strays, n_missing;
static _Atomic int64_t n_objects, n_destroyed, n_hops, n_passed;

static void counts_destroyed(void *object)
{
    free(object);
    atomic_fetch_add(&n_destroyed, 1);
}
static const weft_native_type object_type = { .name = "object", .destroy = counts_destroyed };

/* -- the ring ------------------------------------------------------------------------- */

/* Passes {:token, left, hops} on until nothing is left; {:next, pid} first. */
static weft_term passes_tokens(weft_term parent)
{
    weft_pid next = weft_none;

    weft_receive(weft_tuple(A(next), weft_bind(&next)), WEFT_INFINITY, NULL);
    weft_receive_each (message) {
        int64_t left = 0, hops = 0;

        if (!weft_match(message, weft_tuple(A(token), weft_bind_int(&left), weft_bind_int(&hops))))
            break;
        atomic_fetch_add_explicit(&n_passed, 1, memory_order_relaxed);
        if (left > 0)
            weft_send(next, weft_tuple(A(token), weft_int(left - 1), weft_int(hops + 1)));
        else
            weft_send(parent, weft_tuple(A(token_home), weft_int(hops)));
    }
    return A(ok);
}

static int64_t run_ring(int64_t n_messages)
{
    weft_pid ring[RING];
    int64_t each = n_messages / TOKENS;

    for (int i = 0; i < RING; i++)
        ring[i] = weft_spawn(passes_tokens, weft_self());
    for (int i = 0; i < RING; i++)
        weft_send(ring[i], weft_tuple(A(next), ring[(i + 1) % RING]));
    for (int i = 0; i < TOKENS; i++)
        weft_send(ring[i * (RING / TOKENS)], weft_tuple(A(token), weft_int(each), weft_int(0)));
    for (int i = 0; i < TOKENS; i++) {
        WEFT_SCOPE;
        int64_t hops = 0;

        if (!weft_receive(weft_tuple(A(token_home), weft_bind_int(&hops)), WEFT_INFINITY, NULL))
            atomic_fetch_add(&n_missing, 1);
        atomic_fetch_add(&n_hops, hops);
    }
    for (int i = 0; i < RING; i++)
        weft_send(ring[i], A(stop));
    return each * TOKENS;
}

/* -- everyone to everyone ---------------------------------------------------------------- */

/* A body that can be told from its number alone: see is_whole. */
static weft_term make_body(int64_t number)
{
    static char text[8192];

    switch (number % 8) {
    case 0: return weft_int(number * 3);
    case 1: return weft_float((double)number / 2);
    case 2: return weft_tuple(weft_int(number), weft_list(weft_int(number + 1), weft_str("text")));
    case 3: return weft_bin(text, (size_t)(number % 300));
    case 4: return weft_bin(text, (size_t)(number % (int64_t)sizeof text));
    case 5: return weft_map(A(number), weft_int(number), weft_str("key"), weft_int(INT64_MAX - number));
    case 6: {
        int64_t *object = malloc(sizeof *object);

        *object = number;
        atomic_fetch_add(&n_objects, 1);
        return weft_native(&object_type, object);
    }
    default: return A(body);
    }
}

static bool is_whole(weft_term body, int64_t number)
{
    if (number % 8 == 3 || number % 8 == 4) {
        size_t size = (size_t)(number % (number % 8 == 3 ? 300 : 8192));
        const char *bytes;

        if (!weft_is_bin(body) || weft_bin_size(body) != size)
            return false;
        bytes = weft_bin_data(body);
        return size == 0 || (bytes[0] == 0 && bytes[size - 1] == 0);
    }
    if (number % 8 == 6)
        return weft_is_native(body, &object_type)
               && *(int64_t *)weft_native_object(body, &object_type) == number;
    return weft_eq(body, make_body(number));
}

struct peer {
    unsigned number;
    unsigned n_ended; /* peers that sent their :end */
    uint64_t chance;
};

static void send_one(struct peer *peer)
{
    WEFT_SCOPE;
    unsigned to = chance_below(&peer->chance, PEERS);
    int64_t number = n_sent[peer->number][to]++;

    weft_send(peers[to], weft_tuple(A(m), weft_int(peer->number), weft_int(number), make_body(number)));
}

static void take(struct peer *peer, weft_term message)
{
    int64_t from = 0, number = 0;
    weft_term body = weft_none;

    if (weft_match(message, weft_tuple(A(end), weft_any))) {
        peer->n_ended++;
        return;
    }
    if (!weft_match(message, weft_tuple(A(m), weft_bind_int(&from), weft_bind_int(&number), weft_bind(&body)))
        || from < 0 || from >= PEERS) {
        atomic_fetch_add(&n_strays, 1);
        return;
    }
    if (number != n_received[peer->number][from])
        atomic_fetch_add(&n_gaps, 1);
    if (!is_whole(body, number))
        atomic_fetch_add(&n_damaged, 1);
    n_received[peer->number][from]++;
}

/* Take what is there, as a rule all of it: who leaves too much gets slower by
 * it, and is sent even more per turn. */
static void take_some(struct peer *peer)
{
    weft_term message;
    unsigned way = chance_below(&peer->chance, 16);
    unsigned n = way < 3 ? chance_below(&peer->chance, 32) : UINT32_MAX;

    for (; n > 0; n--) {
        WEFT_SCOPE;
        weft_term pattern = weft_any;

        if (way == 0) /* only those of one sender */
            pattern = weft_tuple(A(m), weft_int(chance_below(&peer->chance, PEERS)), weft_any, weft_any);
        else if (way == 1) /* nobody sends this */
            pattern = weft_tuple(weft_make_ref(), weft_any);
        if (!weft_receive(pattern, 0, &message))
            break;
        take(peer, message);
    }
    if (way == 3)
        weft_yield();
    if (way == 4 && chance_below(&peer->chance, 64) == 0)
        weft_sleep(1);
}

static weft_term sends_and_receives(weft_term arg)
{
    struct peer peer = { .number = (unsigned)weft_to_int(weft_tuple_at(arg, 0)) };
    int64_t left = weft_to_int(weft_tuple_at(arg, 1));
    weft_term message;

    peer.chance = chance_for(&stress, peer.number);
    weft_receive(A(go), WEFT_INFINITY, NULL);
    while (left > 0) {
        for (unsigned n = chance_below(&peer.chance, 32); n > 0 && left > 0; n--, left--)
            send_one(&peer);
        take_some(&peer);
    }
    for (int i = 0; i < PEERS; i++)
        weft_send(peers[i], weft_tuple(A(end), weft_int(peer.number)));
    while (peer.n_ended < PEERS) {
        WEFT_SCOPE;

        if (!weft_receive(weft_any, BOUND_MS, &message)) {
            atomic_fetch_add(&n_missing, PEERS - peer.n_ended);
            break;
        }
        take(&peer, message);
    }
    return A(ok);
}

static int64_t run_peers(int64_t n_messages)
{
    weft_ref downs[PEERS];
    int64_t each = n_messages / PEERS;

    for (int i = 0; i < PEERS; i++)
        peers[i] = weft_spawn(sends_and_receives, weft_tuple(weft_int(i), weft_int(each)), .monitor = &downs[i]);
    for (int i = 0; i < PEERS; i++)
        weft_send(peers[i], A(go));
    for (int i = 0; i < PEERS; i++) {
        WEFT_SCOPE;

        weft_receive(weft_tuple(A(DOWN), downs[i], weft_any, weft_any, A(normal)), WEFT_INFINITY, NULL);
    }
    return each * PEERS;
}

/* -- the program ------------------------------------------------------------------------------ */

static void check_pairs(int64_t n_wanted)
{
    int64_t sent = 0, received = 0, n_unequal = 0;

    for (int from = 0; from < PEERS; from++)
        for (int to = 0; to < PEERS; to++) {
            sent += n_sent[from][to];
            received += n_received[to][from];
            n_unequal += n_sent[from][to] != n_received[to][from];
        }
    stress_total(&stress, "messages sent among peers", sent, n_wanted);
    stress_total(&stress, "messages received among peers", received, sent);
    stress_total(&stress, "pairs of which one sent what the other did not receive", n_unequal, 0);
}

static weft_term runs_all(weft_term arg)
{
    int64_t n_ring = run_ring(stress.count / 10);
    int64_t n_peers = run_peers(stress.count - stress.count / 10);

    stress_total(&stress, "hops of tokens in the ring", atomic_load(&n_hops), n_ring);
    stress_total(&stress, "tokens taken in the ring", atomic_load(&n_passed), n_ring + TOKENS);
    check_pairs(n_peers);
    return weft_is_pointer(arg) ? A(ok) : arg;
}

int main(int argc, char **argv)
{
    stress_begin(&stress, argc, argv, 1000000);
    stress_run(&stress, runs_all);
    stress_total(&stress, "messages that are missing", atomic_load(&n_missing), 0);
    stress_total(&stress, "messages out of their order", atomic_load(&n_gaps), 0);
    stress_total(&stress, "messages that are not what was sent", atomic_load(&n_damaged), 0);
    stress_total(&stress, "messages that nobody sent", atomic_load(&n_strays), 0);
    stress_total(&stress, "objects in messages destroyed", atomic_load(&n_destroyed), atomic_load(&n_objects));
    return stress_end(&stress);
}

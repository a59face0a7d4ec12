#include "sched/nursery.h"

void weft__nursery_init(struct weft__nursery *nursery)
{
    atomic_init(&nursery->word, 0);
    for (uint32_t i = 0; i < WEFT__NURSERY_SIZE; i++)
        atomic_init(&nursery->slots[i], NULL);
}

static inline struct weft__fiber *slot_read(const struct weft__nursery *nursery, uint32_t i)
{
    /* Relaxed: came with the word, whose exchange decides whether it counts. */
    return atomic_load_explicit(&nursery->slots[i % WEFT__NURSERY_SIZE], memory_order_relaxed);
}

/* The n oldest are the caller's, if nobody took any since `word` was read. */
static bool take_oldest(struct weft__nursery *nursery, uint64_t *word, uint32_t n)
{
    uint64_t first = (weft__nursery_first(*word) + n) % WEFT__NURSERY_SIZE;
    uint64_t turn = *word / WEFT__NURSERY_TURN + 1;
    uint64_t next = turn * WEFT__NURSERY_TURN | first << WEFT__NURSERY_FIRST_SHIFT |
                    (weft__nursery_count(*word) - n);

    /* B; acquire on failure: A, for the next try. */
    return atomic_compare_exchange_strong_explicit(&nursery->word, word, next, memory_order_release,
                                                   memory_order_acquire);
}

struct weft__fiber *weft__nursery_steal(struct weft__nursery *from, struct weft__nursery *to, uint32_t max)
{
    /* B, of `to`: thieves have read what is written over. */
    uint64_t mine = atomic_load_explicit(&to->word, memory_order_acquire);
    uint32_t place = weft__nursery_first(mine) + weft__nursery_count(mine);
    uint32_t room = WEFT__NURSERY_SIZE - weft__nursery_count(mine);
    /* A: the slots, and their fibers, are seen written. */
    uint64_t word = atomic_load_explicit(&from->word, memory_order_acquire);
    struct weft__fiber *newest;
    uint32_t n;

    if (max > room + 1)
        max = room + 1;
    do {
        uint32_t first = weft__nursery_first(word);

        n = (weft__nursery_count(word) + 1) / 2;
        if (n == 0 || max == 0)
            return NULL;
        if (n > max)
            n = max;
        for (uint32_t i = 0; i < n - 1; i++)
            /* Relaxed: offered by the word, below. */
            atomic_store_explicit(&to->slots[(place + i) % WEFT__NURSERY_SIZE], slot_read(from, first + i),
                                  memory_order_relaxed);
        newest = slot_read(from, first + n - 1);
    } while (!take_oldest(from, &word, n));
    if (n > 1)
        atomic_fetch_add_explicit(&to->word, n - 1, memory_order_release); /* A */
    return newest;
}

uint32_t weft__nursery_shed(struct weft__nursery *nursery, struct weft__fiber **fibers)
{
    uint64_t word = atomic_load_explicit(&nursery->word, memory_order_relaxed);
    uint32_t n;

    do {
        uint32_t first = weft__nursery_first(word);

        n = weft__nursery_count(word) / 2;
        for (uint32_t i = 0; i < n; i++)
            fibers[i] = slot_read(nursery, first + i);
    } while (n > 0 && !take_oldest(nursery, &word, n));
    return n;
}

/* nursery.h - a worker's new fibers: the newest first for itself, the oldest
 * first for thieves.
 *
 * Whoever starts many fibers that start many others goes deep before it goes
 * wide: a tree of a million is walked with some dozens of them alive, the
 * next one runs on memory that is in the cache still, and a thief gets the
 * oldest, which have the most before them. The price is order, so it is for
 * fibers that nobody waits for yet, and runq.c bounds what it does to others.
 *
 * One word says which slots are filled, and which turn this is:
 *
 *     turn (42 bits) | first slot (10) | how many (12)
 *
 *     owner, push              owner, pop                thief, take the n oldest
 *     1. write the slot        1. read the word          1. read the word (A)
 *        behind the last       2. read the last slot     2. read the n first slots
 *     2. word += 1 (A)         3. exchange the word:     3. exchange the word:
 *                                 one less, next turn       n less, first + n,
 *                                                           next turn (B)
 *
 * The place behind the last is the owner's: a thief changes `first` and `how
 * many` so that their sum stays. Every take is a turn, so what a thief read in
 * 2 is still there when its exchange succeeds: a slot can be written again
 * only after a take. 2^42 turns go by in some two days of nothing but starts
 * and takes; a thief would have to sleep for exactly that long.
 *
 *   field   written by         read by    pair
 *   word    owner and thieves  both       A: release / acquire - a slot and its fiber are written, then offered
 *                                         B: release / acquire - a slot is read, then written again
 *
 * Not done: Chase and Lev's deque, which saves the owner an exchange (2 ns),
 * but there a thief can take only one at a time. A list of the owner's own,
 * handed out on request: who starts a hundred and then computes for a second
 * would not answer.
 *
 * Invariant: a fiber that was pushed is popped or taken exactly once.
 */
#ifndef WEFT_SCHED_NURSERY_H
#define WEFT_SCHED_NURSERY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/fiber.h"

#define WEFT__NURSERY_SIZE 1024u /* a power of two, at most 1024 */
#define WEFT__NURSERY_FIRST_SHIFT 12
#define WEFT__NURSERY_TURN (UINT64_C(1) << 22)

struct weft__nursery {
    _Alignas(64) _Atomic uint64_t word;
    _Atomic(struct weft__fiber *) slots[WEFT__NURSERY_SIZE];
};

void weft__nursery_init(struct weft__nursery *nursery);

static inline uint32_t weft__nursery_count(uint64_t word)
{
    return (uint32_t)(word & ((1u << WEFT__NURSERY_FIRST_SHIFT) - 1));
}

static inline uint32_t weft__nursery_first(uint64_t word)
{
    return (uint32_t)(word >> WEFT__NURSERY_FIRST_SHIFT) % WEFT__NURSERY_SIZE;
}

/* Anyone. How many there are: exact to the owner as long as no thief comes. */
static inline uint32_t weft__nursery_size(const struct weft__nursery *nursery)
{
    /* Relaxed: a hint. Who must not miss a fiber has fences of its own. */
    return weft__nursery_count(atomic_load_explicit(&nursery->word, memory_order_relaxed));
}

/* Owner. false: it is full. A full fence when it is not, so that what is read
 * next (is anybody asleep?) is read after the fiber was offered. */
static inline bool weft__nursery_push(struct weft__nursery *nursery, struct weft__fiber *fiber)
{
    /* B: thieves have read what is written over. */
    uint64_t word = atomic_load_explicit(&nursery->word, memory_order_acquire);
    uint32_t count = weft__nursery_count(word);

    if (__builtin_expect(count == WEFT__NURSERY_SIZE, 0))
        return false;
    /* Relaxed: offered by the word. */
    atomic_store_explicit(&nursery->slots[(weft__nursery_first(word) + count) % WEFT__NURSERY_SIZE], fiber,
                          memory_order_relaxed);
    /* A; seq_cst for the reader of n_asleep (idle.c, P1 and P2 in one). */
    atomic_fetch_add_explicit(&nursery->word, 1, memory_order_seq_cst);
    return true;
}

/* Owner. The newest, or NULL. */
static inline struct weft__fiber *weft__nursery_pop(struct weft__nursery *nursery)
{
    uint64_t word = atomic_load_explicit(&nursery->word, memory_order_relaxed);
    struct weft__fiber *fiber;
    const char *next;

    do {
        uint32_t count = weft__nursery_count(word);

        if (count == 0)
            return NULL;
        /* Relaxed: the owner filled it. */
        fiber = atomic_load_explicit(
            &nursery->slots[(weft__nursery_first(word) + count - 1) % WEFT__NURSERY_SIZE], memory_order_relaxed);
        /* Relaxed: what the owner reads and writes needs no order with itself;
         * whoever pushes next reads the word again. */
    } while (!atomic_compare_exchange_weak_explicit(&nursery->word, &word, word + WEFT__NURSERY_TURN - 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    /* The next one, most likely: what it begins with, and its owner's next line. */
    next = (const char *)atomic_load_explicit(
        &nursery->slots[(weft__nursery_first(word) + weft__nursery_count(word) - 2) % WEFT__NURSERY_SIZE],
        memory_order_relaxed);
    __builtin_prefetch(next, 1);
    __builtin_prefetch(next + 64, 1);
    return fiber;
}

/* Owner of `to`, which may be full or the same: take the oldest half, at most
 * max and what fits, of `from`. The newest of them is returned, the others are
 * then in `to`, in their order. NULL: there is nothing. */
struct weft__fiber *weft__nursery_steal(struct weft__nursery *from, struct weft__nursery *to, uint32_t max);

/* Owner. The oldest half, into fibers[WEFT__NURSERY_SIZE / 2]; how many. */
uint32_t weft__nursery_shed(struct weft__nursery *nursery, struct weft__fiber **fibers);

#endif

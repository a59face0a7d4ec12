/* spin.h - a small lock for a few dozen instructions.
 *
 * For what is almost never contended and never held across anything that may
 * park, sleep or call user code. Who waits pauses some dozens of times and
 * then yields its kernel thread, so that a preempted holder gets to run.
 *
 * Ranks: a thread takes locks in falling order of the table below, so that no
 * two can wait for each other. Debug builds check it at every acquire.
 *
 * Invariant: at most one thread is between acquire and release.
 * Threads:   any; the thread that acquired releases.
 */
#ifndef WEFT_BASE_SPIN_H
#define WEFT_BASE_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Outer locks first: while one is held, only ones further down may be taken.
 *
 *   rank             guards                               under it, never
 *   WHEEL            a worker's timers                    call that wheel
 *   EPOCH            the lists of epochs                  run a deferred call
 *   OVERFLOW         a node's overflow queue              -
 *   LEAF             anything that takes no other lock    -
 */
enum weft__rank {
    WEFT__RANK_LEAF,
    WEFT__RANK_OVERFLOW,
    WEFT__RANK_EPOCH,
    WEFT__RANK_WHEEL,
    WEFT__N_RANKS
};

struct weft__spin {
    _Atomic uint32_t is_held; /* 0 or 1 */
    uint32_t rank;            /* enum weft__rank, set by init */
};

static inline void weft__spin_init(struct weft__spin *spin, enum weft__rank rank)
{
    atomic_init(&spin->is_held, 0);
    spin->rank = rank;
}

/* The lock is held by another: wait until it is ours. */
void weft__spin_wait(struct weft__spin *spin);

/* Debug builds keep the ranks that the thread holds: about to wait for one of
 * this rank, has one, gave one back. */
void weft__spin_note_wait(uint32_t rank);
void weft__spin_note_held(uint32_t rank);
void weft__spin_note_release(uint32_t rank);

static inline void weft__spin_acquire(struct weft__spin *spin)
{
    uint32_t is_held = 0;

#ifdef WEFT_DEBUG
    weft__spin_note_wait(spin->rank);
#endif
    /* Acquire, with the release below: what the last holder wrote is seen. */
    if (__builtin_expect(!atomic_compare_exchange_strong_explicit(
            &spin->is_held, &is_held, 1, memory_order_acquire, memory_order_relaxed), 0))
        weft__spin_wait(spin);
#ifdef WEFT_DEBUG
    weft__spin_note_held(spin->rank);
#endif
}

/* Take it if nobody has it. */
static inline bool weft__spin_try_acquire(struct weft__spin *spin)
{
    uint32_t is_held = 0;

    if (!atomic_compare_exchange_strong_explicit(
            &spin->is_held, &is_held, 1, memory_order_acquire, memory_order_relaxed))
        return false;
#ifdef WEFT_DEBUG
    weft__spin_note_held(spin->rank);
#endif
    return true;
}

static inline void weft__spin_release(struct weft__spin *spin)
{
#ifdef WEFT_DEBUG
    weft__spin_note_release(spin->rank);
#endif
    /* Release, with the acquire above. */
    atomic_store_explicit(&spin->is_held, 0, memory_order_release);
}

#endif

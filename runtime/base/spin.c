/* spin.c - the slow side of the lock, and the order of ranks. */
#include "base/spin.h"

#include <sched.h>

#include "base/assert.h"

/* What is done under these locks takes some tens of nanoseconds: a holder that
 * runs is done within so many pauses (40 to 140 cycles each), one that does not
 * is out for a time slice, so let it have the core. */
#define SPINS_BEFORE_YIELD 64

/* A bit per rank. A thread-local in a file of its own is safe here: it is read
 * and written within calls that never switch, and no lock is held across one. */
static _Thread_local uint32_t held_ranks;

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

void weft__spin_wait(struct weft__spin *spin)
{
    uint32_t spins = 0;

    for (;;) {
        uint32_t is_held = 0;

        /* Relaxed: only looks whether the exchange is worth a try, so that
         * waiting threads share the line instead of passing it around. */
        if (atomic_load_explicit(&spin->is_held, memory_order_relaxed) == 0
            && atomic_compare_exchange_weak_explicit(&spin->is_held, &is_held, 1,
                                                     memory_order_acquire, memory_order_relaxed))
            return;
        if (++spins % SPINS_BEFORE_YIELD == 0)
            sched_yield();
        else
            pause_briefly();
    }
}

void weft__spin_note_wait(uint32_t rank)
{
    uint32_t same_or_inner = (UINT32_C(2) << rank) - 1;

    weft__check(rank < WEFT__N_RANKS);
    weft__check((held_ranks & same_or_inner) == 0); /* locks out of order */
}

void weft__spin_note_held(uint32_t rank)
{
    held_ranks |= UINT32_C(1) << rank;
}

void weft__spin_note_release(uint32_t rank)
{
    weft__check((held_ranks >> rank & 1) != 0);
    held_ranks &= ~(UINT32_C(1) << rank);
}

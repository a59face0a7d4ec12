#include "services/holding.h"

#include "proc/life.h"
#include "proc/proc.h"
#include "proc/runtime.h"

#include <stdlib.h>

/* All that are registered; written before there are threads. */
static struct weft__holdings *all;

/* Whoever else asked to hear of ends. */
static void (*ending_next)(struct weft__proc *proc);

_Atomic(void *) *weft__holding_make(struct weft__holdings *holdings, uint32_t slot)
{
    _Atomic(void *) *leaf = calloc((size_t)1 << WEFT__HOLDING_BITS, sizeof *leaf);
    _Atomic(void *) *there = NULL;

    if (leaf == NULL)
        return NULL;
    if (!atomic_compare_exchange_strong_explicit(&holdings->leaves[slot >> WEFT__HOLDING_BITS], &there, leaf,
                                                 memory_order_acq_rel, memory_order_acquire))
        free(leaf);
    return weft__holding_find(holdings, slot);
}

static void process_ending(struct weft__proc *proc)
{
    uint32_t slot = weft__pid_slot(proc->pid);

    for (struct weft__holdings *holdings = all; holdings != NULL; holdings = holdings->next) {
        _Atomic(void *) *cell = weft__holding_find(holdings, slot);
        void *holding = cell != NULL ? atomic_load_explicit(cell, memory_order_acquire) : NULL;

        if (holding != NULL && !(holdings->stays && (proc->flags & WEFT__DISOWNED) != 0))
            holdings->ended(proc, holding);
    }
    if (ending_next != NULL)
        ending_next(proc);
}

static void leaf_stop(struct weft__holdings *holdings, uint32_t first_slot)
{
    for (uint32_t i = 0; i < 1u << WEFT__HOLDING_BITS; i++) {
        _Atomic(void *) *cell = weft__holding_find(holdings, first_slot + i);
        void *holding = atomic_load_explicit(cell, memory_order_acquire);

        if (holding != NULL)
            holdings->stopped(first_slot + i, holding);
    }
}

/* Leaves stay for the next runtime. */
static void runtime_stops(void)
{
    for (struct weft__holdings *holdings = all; holdings != NULL; holdings = holdings->next)
        for (uint32_t i = 0; i < WEFT__HOLDING_LEAVES; i++)
            if (atomic_load_explicit(&holdings->leaves[i], memory_order_acquire) != NULL)
                leaf_stop(holdings, i << WEFT__HOLDING_BITS);
}

void weft__holdings_register(struct weft__holdings *holdings)
{
    if (all == NULL) {
        ending_next = weft__life_ending;
        weft__life_ending = process_ending;
        weft__runtime_at_stop(runtime_stops);
    }
    holdings->next = all;
    all = holdings;
}

/* holding.h - what a service keeps for a process: a pointer per process.
 *
 * Processes are numbered by slots, so a service's notes about them are a table
 * by slot, made in leaves where they are needed. Few processes set timers or
 * open files: those that do not cost nothing, and the control block of a
 * process need not know of services.
 *
 * A service declares its holdings and registers them before a runtime starts.
 * When a process ends whose cell is not NULL, `ended` is called, which lets go
 * of what is held and clears the cell (by a release store, which the look at the
 * stop of the runtime reads), or leaves it for the next process there.
 *
 * Threads: a cell by its process alone, or under a lock of the service.
 */
#ifndef WEFT_SERVICES_HOLDING_H
#define WEFT_SERVICES_HOLDING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "term/term.h"

struct weft__proc;

#define WEFT__HOLDING_BITS 12 /* of a slot, within a leaf */
#define WEFT__HOLDING_LEAVES (1u << (WEFT__SLOT_BITS - WEFT__HOLDING_BITS))

struct weft__holdings {
    /* Set by whoever declares it. Called by whoever ends the process, after its
     * defers ran and before anybody hears of it. */
    void (*ended)(struct weft__proc *proc, void *holding);
    /* The same at the stop of the runtime, for what is left, before the workers
     * end; only guests are there, outside of weft. */
    void (*stopped)(uint32_t slot, void *holding);
    /* A process that is disowned (proc/disown.h) keeps it until its code is back. */
    bool stays;
    /* Set by register. */
    struct weft__holdings *next;
    /* By anyone. */
    _Atomic(_Atomic(void *) *) leaves[WEFT__HOLDING_LEAVES];
};

/* Once per program, before it has threads: from a constructor. */
void weft__holdings_register(struct weft__holdings *holdings);

_Atomic(void *) *weft__holding_make(struct weft__holdings *holdings, uint32_t slot);

/* The cell of a slot; NULL: none of its leaf was used yet. */
static inline _Atomic(void *) *weft__holding_find(struct weft__holdings *holdings, uint32_t slot)
{
    /* Acquire, with the release in holding_make: the leaf is cleared. */
    _Atomic(void *) *leaf =
        atomic_load_explicit(&holdings->leaves[slot >> WEFT__HOLDING_BITS], memory_order_acquire);

    return leaf != NULL ? &leaf[slot & ((1u << WEFT__HOLDING_BITS) - 1)] : NULL;
}

/* The cell of a slot; NULL: no memory. */
static inline _Atomic(void *) *weft__holding(struct weft__holdings *holdings, uint32_t slot)
{
    _Atomic(void *) *cell = weft__holding_find(holdings, slot);

    return __builtin_expect(cell != NULL, 1) ? cell : weft__holding_make(holdings, slot);
}

#endif

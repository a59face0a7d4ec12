/* table.h - where control blocks live.
 *
 * One reservation of address space cut into slots: a slot's index gives its
 * address without a look-up, and memory once used stays a control block until
 * the runtime stops. It is made accessible in steps, so that untouched slots
 * cost neither memory nor commit charge.
 *
 * A worker keeps free slots of its own, newest first, so that the next process
 * gets memory that is in the cache and on its node; too many or too few are
 * moved in batches, by way of one stack without locks.
 *
 * Invariant: a slot is never used, in a worker's list, in a batch, retired, or
 *            a process's.
 * Threads:   from anywhere; a worker's list by its worker.
 */
#ifndef WEFT_PROC_TABLE_H
#define WEFT_PROC_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "proc/proc.h"

#define WEFT__SLOT_BATCH_MAX 64

struct weft__pack;

/* A worker's own, and what it counts. In a cache line of its own: it is written
 * at each begin and end. */
struct weft__slots {
    _Alignas(64) struct weft__proc *first;
    uint32_t n;
    /* By its worker; read by anyone: begun less ended here, so only the sum
     * over all means something. */
    _Atomic int64_t n_alive;
    struct weft__pack *pack;     /* what it may add to (pack.h), or NULL */
    const struct weft__message *last_word; /* the plain one it sent last: an address, it may be gone */
};

struct weft__table {
    /* Set by init. */
    struct weft__proc *base;
    size_t max;
    size_t size;                 /* bytes reserved */
    uint32_t batch;              /* slots in a batch: fewer where there are few in all,
                                  * so that workers cannot hoard them */
    /* By anyone. */
    _Alignas(64) _Atomic size_t n_used; /* slots ever used; below are readable */
    _Alignas(64) _Atomic uint64_t batches;    /* full batches of free slots: a stack, see table.c */
    pthread_mutex_t lock;        /* guards growth and `shared` */
    size_t n_open;               /* slots made accessible */
    struct weft__slots shared;   /* what threads without a worker use */
};

/* 0, WEFT_ENOMEM. */
int weft__table_init(struct weft__table *table, size_t max, uint32_t n_workers);
void weft__table_destroy(struct weft__table *table);

/* What the two below do when the worker's list does not serve. */
struct weft__proc *weft__table_take_slow(struct weft__table *table, struct weft__slots *slots);
void weft__table_give_slow(struct weft__table *table, struct weft__slots *slots, struct weft__proc *proc);

static inline void weft__slots_count(struct weft__slots *slots, int64_t by)
{
    /* Relaxed, no read-modify-write: one writer (or the lock). */
    atomic_store_explicit(&slots->n_alive,
                          atomic_load_explicit(&slots->n_alive, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

/* A slot nobody lives in, or NULL: all in use, or no memory. slots: the
 * worker's, or NULL for a thread without one. */
static inline struct weft__proc *weft__table_take(struct weft__table *table, struct weft__slots *slots)
{
    struct weft__proc *proc, *next;

    if (__builtin_expect(slots == NULL || slots->first == NULL, 0))
        return weft__table_take_slow(table, slots);
    proc = slots->first;
    next = (struct weft__proc *)(void *)proc->fiber.next; /* the fiber comes first */
    slots->first = next;
    slots->n--;
    weft__slots_count(slots, 1);
    /* Who starts one most often starts another: it is not in the nearest cache
     * when many were alive since. */
    for (size_t line = 0; line < sizeof *next; line += 64)
        __builtin_prefetch((const char *)next + line, 1);
    return proc;
}

static inline void weft__table_give(struct weft__table *table, struct weft__slots *slots,
                                    struct weft__proc *proc)
{
    uint64_t serial = weft__state_serial(atomic_load_explicit(&proc->state, memory_order_relaxed));

    if (__builtin_expect(slots == NULL || slots->n + 1 >= 3 * table->batch ||
                             serial >> WEFT__SERIAL_BITS != 0, 0)) {
        weft__table_give_slow(table, slots, proc);
        return;
    }
    proc->fiber.next = slots->first != NULL ? &slots->first->fiber : NULL;
    slots->first = proc;
    slots->n++;
    weft__slots_count(slots, -1);
}

/* The control block of a slot index, or NULL when it was never used. */
static inline struct weft__proc *weft__table_at(struct weft__table *table, uint32_t slot)
{
    /* Acquire, with the release when slots are cut: they are accessible. */
    if (__builtin_expect(slot >= atomic_load_explicit(&table->n_used, memory_order_acquire), 0))
        return NULL;
    return &table->base[slot];
}

static inline uint32_t weft__table_slot(const struct weft__table *table, const struct weft__proc *proc)
{
    return (uint32_t)(proc - table->base);
}

#endif

#include "otp/partition_table.h"

#include <stdlib.h>

#include "base/spin.h"
#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/gen_server.h"
#include "weft/process.h"

#define CHAINS 256

static struct weft__spin lock; /* a leaf; guards claims, and so the growth of chains */
static _Atomic(struct weft__partition_table *) chains[CHAINS];

static _Atomic(struct weft__partition_table *) *chain_of(uint64_t pid)
{
    return &chains[(pid * 0x9E3779B97F4A7C15U) >> 56];
}

/* At the runtime's stop: nobody reads. */
static void free_all(void)
{
    for (size_t i = 0; i < CHAINS; i++) {
        struct weft__partition_table *table = atomic_load_explicit(&chains[i], memory_order_relaxed), *next;

        atomic_store_explicit(&chains[i], NULL, memory_order_relaxed);
        for (; table != NULL; table = next) {
            next = table->next;
            free(table);
        }
    }
}

static void leave(void *table)
{
    /* Release (A): a reader that still sees this owner saw its fields. */
    atomic_store_explicit(&((struct weft__partition_table *)table)->owner, 0, memory_order_release);
}

/* A free one in the chain, or a new one at its head. Under the lock. */
static struct weft__partition_table *take(_Atomic(struct weft__partition_table *) *chain, int64_t capacity)
{
    struct weft__partition_table *first = atomic_load_explicit(chain, memory_order_relaxed), *table;

    for (table = first; table != NULL; table = table->next)
        if (table->capacity >= capacity && atomic_load_explicit(&table->owner, memory_order_relaxed) == 0)
            return table;
    table = calloc(1, sizeof *table + (size_t)capacity * sizeof table->pids[0]);
    if (table == NULL)
        return NULL;
    table->capacity = capacity;
    table->next = first;
    /* Release: whoever walks the chain sees its fields. */
    atomic_store_explicit(chain, table, memory_order_release);
    return table;
}

struct weft__partition_table *weft__partition_table_claim(int64_t capacity)
{
    uint64_t self = weft_self().bits;
    struct weft__partition_table *table;

    weft__spin_acquire(&lock);
    weft__runtime_at_stop(free_all);
    table = take(chain_of(self), capacity);
    if (table != NULL) {
        atomic_store_explicit(&table->n, 0, memory_order_relaxed);
        /* Release (A): with n of 0. */
        atomic_store_explicit(&table->owner, self, memory_order_release);
    }
    weft__spin_release(&lock);
    if (table != NULL)
        weft_defer(leave, table);
    return table;
}

struct weft__partition_table *weft__partition_table_of(weft_pid supervisor)
{
    struct weft__partition_table *table = atomic_load_explicit(chain_of(supervisor.bits), memory_order_acquire);

    /* Acquire (A). */
    while (table != NULL && atomic_load_explicit(&table->owner, memory_order_acquire) != supervisor.bits)
        table = table->next;
    return table;
}

void weft__partition_table_set(struct weft__partition_table *table, int64_t partition, weft_pid pid)
{
    atomic_store_explicit(&table->pids[partition], pid.bits, memory_order_release); /* (B) */
}

void weft__partition_table_resize(struct weft__partition_table *table, int64_t n)
{
    atomic_store_explicit(&table->n, n, memory_order_release); /* (C) */
}

static uint64_t number_of(weft_term key)
{
    int64_t value;

    if (!weft_try_to_int(key, &value))
        return weft_hash(key);
    return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

int weft__partition_find(weft_server name, weft_term key, weft_pid *pid)
{
    struct weft__partition_table *table;
    weft_pid supervisor = name;
    uint64_t found;
    int64_t n;

    if (!weft_is_pid(name) && weft__name_find(name, &supervisor) != 0)
        return WEFT_ENOPROC;
    table = weft_is_pid(supervisor) ? weft__partition_table_of(supervisor) : NULL;
    if (table == NULL)
        return WEFT_ENOPROC;
    n = atomic_load_explicit(&table->n, memory_order_acquire); /* (C) */
    if (n == 0)
        return WEFT_ERANGE;
    found = atomic_load_explicit(&table->pids[number_of(key) % (uint64_t)n], memory_order_acquire); /* (B) */
    /* Acquire orders the load of the owner behind the others. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&table->owner, memory_order_relaxed) != supervisor.bits)
        return WEFT_ENOPROC;
    *pid = weft__term(found);
    return 0;
}

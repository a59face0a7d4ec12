/* partition_table.h - from a key to a process, past its supervisor.
 *
 * A table belongs to one partition supervisor, known by its pid, which is never
 * given twice. Tables hang in chains by a hash of that pid, and memory that is
 * a table stays one, in its chain, until the runtime stops: so a reader needs
 * neither lock nor epoch. It looks at the owner before and after; between two
 * looks at one and the same owner all it read was that owner's.
 *
 *   field   written by     read by   pair
 *   owner   claim, leave   readers   A: store release / load acquire - n and pids are this owner's
 *   pids    the owner      readers   B: store release / load acquire - the partition is up
 *   n       the owner      readers   C: store release / load acquire - those below n are set
 *
 * Threads:   find from anywhere; the rest by the supervisor.
 */
#ifndef WEFT_OTP_PARTITION_TABLE_H
#define WEFT_OTP_PARTITION_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "weft/term.h"

/* In the place of a registry in a via name. */
#define WEFT__PARTITIONS WEFT_ATOM("PartitionSupervisor")

struct weft__partition_table {
    /* Set once. */
    struct weft__partition_table *next;  /* in its chain */
    int64_t capacity;
    /* By the supervisor that has it. */
    _Atomic uint64_t owner;              /* pid bits; 0: free */
    _Atomic int64_t n;                   /* partitions that keys lead to */
    _Atomic uint64_t pids[];
};

/* One for the calling supervisor, with room for that many, none of them there
 * yet; given back when the process ends. NULL: no memory. */
struct weft__partition_table *weft__partition_table_claim(int64_t capacity);

/* That of a supervisor; NULL: it has none (any more). */
struct weft__partition_table *weft__partition_table_of(weft_pid supervisor);

void weft__partition_table_set(struct weft__partition_table *table, int64_t partition, weft_pid pid);
void weft__partition_table_resize(struct weft__partition_table *table, int64_t n);
static inline int64_t weft__partition_table_size(const struct weft__partition_table *table)
{
    return atomic_load_explicit(&table->n, memory_order_acquire); /* (C) */
}

/* The process a key leads to: 0 and *pid; WEFT_ENOPROC: no such supervisor;
 * WEFT_ERANGE: it has zero partitions. Never switches. */
int weft__partition_find(weft_server name, weft_term key, weft_pid *pid);

#endif

/* timer_table.h - the timers that processes of one slot have set, by reference.
 *
 * The references of a process count up, so timers set one after another have
 * neighbouring ones: a table holds them by groups of six, a cache line, which
 * keeps it small when the timers themselves, which fire in any order, fit no
 * cache. Who sets many in a row finds the group where the last one was, and a
 * timer knows its own: only cancel and read look for one. A table is a list
 * while it is short; then it is hashed, and grows by a bucket at a time (linear
 * hashing, Litwin 1980): many timers of one process never stop the others for
 * a rehash.
 *
 * Invariant: a timer that is not TAKEN is in one table, once.
 * Threads:   under the lock of whoever owns the table (timer.c).
 */
#ifndef WEFT_SERVICES_TIMER_TABLE_H
#define WEFT_SERVICES_TIMER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proc/bond.h"
#include "proc/message.h"
#include "sched/wheel.h"

#define WEFT__TIMER_GROUP 6u   /* references in a row: a group is a cache line */
#define WEFT__TIMER_BATCH 64   /* timers taken under one hold of the lock */
#define WEFT__TIMER_TAKEN 0x80 /* block.flags; no message has it once it is sent */

struct weft__timer_buckets;
struct weft__timer_group;

/* Behind the message's terms. */
struct weft__timer_tail {
    struct weft__timer timer;        /* first, for fire */
    struct weft__message *message;   /* this memory begins there */
    struct weft__timer_group *group; /* where it is in the table, until it is taken */
};

static inline struct weft__timer_tail *weft__timer_tail(struct weft__message *message)
{
    return (struct weft__timer_tail *)(void *)((char *)message + message->block.size -
                                               sizeof(struct weft__timer_tail));
}

/* The timers of references in a row: at least one is there. */
struct weft__timer_group {
    struct weft__timer_group *next; /* in its bucket */
    uint64_t key;                   /* of all of them */
    struct weft__message *timers[WEFT__TIMER_GROUP];
};

_Static_assert(sizeof(struct weft__timer_group) <= 64, "fire touches one line of a group");

/* All zero: empty. */
struct weft__timer_table {
    uint32_t n_timers;
    uint32_t n_groups;
    uint64_t highest;                    /* key that was ever there, or 0 */
    struct weft__timer_group *newest;    /* where the next reference probably belongs, or NULL */
    struct weft__timer_group *list;      /* while buckets is NULL */
    struct weft__timer_buckets *buckets;
};

/* Without the lock: it is empty, and nobody knows of it. */
void weft__timer_table_destroy(struct weft__timer_table *table);

/* The timer's reference is in message->ref. false: no memory. */
bool weft__timer_table_add(struct weft__timer_table *table, struct weft__message *message);
/* NULL: it is not there. */
struct weft__message *weft__timer_table_find(struct weft__timer_table *table, uint64_t ref);

static inline unsigned weft__timer_index(uint64_t ref)
{
    return (unsigned)(weft__ref_counter(weft__term(ref)) % WEFT__TIMER_GROUP);
}

static inline bool weft__timer_group_is_empty(const struct weft__timer_group *group)
{
    for (unsigned i = 0; i < WEFT__TIMER_GROUP; i++)
        if (group->timers[i] != NULL)
            return false;
    return true;
}

void weft__timer_group_remove(struct weft__timer_table *table, struct weft__timer_group *group);

/* Take one out: it is TAKEN then. Its group goes with its last one. */
static inline void weft__timer_table_take(struct weft__timer_table *table, struct weft__message *message)
{
    struct weft__timer_group *group = weft__timer_tail(message)->group;

    group->timers[weft__timer_index(message->ref)] = NULL;
    message->block.flags |= WEFT__TIMER_TAKEN;
    table->n_timers--;
    if (weft__timer_group_is_empty(group))
        weft__timer_group_remove(table, group);
}

/* All of them can be taken list by list, 0 to n_lists - 1, while none is added. */
uint64_t weft__timer_table_n_lists(const struct weft__timer_table *table);
/* Take some of list i that are for dest (weft_none: for anyone); how many. 0: no more. */
int weft__timer_table_take_some(struct weft__timer_table *table, uint64_t i, weft_term dest,
                                struct weft__message *taken[WEFT__TIMER_BATCH]);

/* What an empty table holds on to that is large, or NULL: to be freed without the lock. */
struct weft__timer_buckets *weft__timer_table_shrink(struct weft__timer_table *table);
void weft__timer_buckets_free(struct weft__timer_buckets *buckets);

#endif

/* registry_part.h - one partition of a registry: a hash table that is read without a
 * lock.
 *
 * Nouns. A record is one entry: a block of memory with the key, the value and the
 * owner's pid, which never change. Records hang in chains, doubly linked for
 * writers, and once more in the list of their tie: what one process has in one
 * partition.
 *
 * Writers hold the partition's lock. Readers open an epoch section (base/epoch.h)
 * and walk a chain; what a writer takes out stays in memory until every section
 * that was open then is over. That is the one use that weft has for ck_epoch.
 *
 * Growth. Each record has two links, for two sides. A table of chains has a side, and a
 * grown one the other: so it is built while readers walk the old one, whose links
 * nobody touches, and is then published whole. There are two sides only: the
 * table grows again when the old one has been freed, thus when nobody walks it.
 *
 *   field         written by  read by   pair
 *   table         writers     readers   A: store release / load acquire - its chains are complete
 *   first, next   writers     readers   B: store release / load acquire - the record is filled
 *   n             writers     anyone    relaxed: a count, from which nothing follows
 *   process       its own     anyone    relaxed as a hint; what counts is read under the lock
 *
 * Roads not taken: chains of keys with chains of entries (two more misses for a name,
 * where lookups are all there is); a table that is probed (removal moves entries
 * under readers' feet); a reader that tries again when the table grew meanwhile
 * (it waits for a writer, which may have lost its core).
 *
 * What a grown table replaced is put off in an epoch of the partition's own, used under its
 * lock: so whoever writes there next can see it freed.
 *
 * Lifetime: counted: by the registry, the process that runs the partition, and each tie.
 */
#ifndef WEFT_OTP_REGISTRY_PART_H
#define WEFT_OTP_REGISTRY_PART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/epoch.h"
#include "base/here.h"
#include "base/spin.h"
#include "term/region.h"
#include "weft/registry.h"

struct weft__part;
struct weft__row;
struct weft__tie;
struct weft__topics;

struct weft__record {
    struct weft__block block;
    _Atomic(struct weft__record *) next[2]; /* in its chain, by side */
    uint64_t hash;
    weft_term key;
    weft_pid pid;                           /* the first cache line ends here */
    weft_term value;
    struct weft__record *prev;              /* in its chain, of the table there is */
    struct weft__record *newer, *older;     /* of its tie */
    struct weft__tie *tie;                  /* or NULL: metadata */
    union {
        struct weft__epoch_entry end;       /* taken out */
        struct {                            /* in there, of a partition with topics: topics.h */
            struct weft__row *row;
            uint32_t seat;
        };
    };
};

/* What a process has in a partition: made by it, gone with its last record. */
struct weft__tie {
    struct weft__tie *next;       /* of the process; by it alone */
    struct weft__part *part;      /* set once */
    weft_pid process;             /* to which it is linked; by the process alone */
    struct weft__record *newest;  /* under the part's lock */
};

struct weft__chain {
    _Atomic(struct weft__record *) first;
    struct weft__record *last;    /* for writers */
};

struct weft__chains {
    struct weft__epoch_entry end;
    struct weft__part *part;      /* whose `old` it is; NULL: that one is gone */
    uint64_t mask;
    unsigned side;
    struct weft__chain chain[];
};

struct weft__part {
    /* Set once. */
    weft_atom registry;
    enum weft_registry_keys keys;
    uint32_t n_listeners;
    weft_atom *listeners;
    struct weft__topics *topics; /* of a PubSub; else NULL */
    /* By writers, read by all. */
    _Alignas(64) _Atomic(struct weft__chains *) table;
    _Atomic int64_t n;
    _Atomic uint64_t process; /* bits; 0: it is closed */
    /* By writers. */
    _Alignas(64) struct weft__spin lock; /* a leaf; guards what follows, and writing the table */
    uint32_t n_holders;                  /* see lifetime */
    struct weft__chains *old;            /* not freed yet, or NULL */
    struct weft__epoch *epoch;           /* of old tables */
};

/* One that is empty and closed, held once; NULL: no memory. */
struct weft__part *weft__part_new(weft_atom registry, enum weft_registry_keys keys, weft_term listeners);
void weft__part_hold_locked(struct weft__part *part);
/* The last one frees it. */
void weft__part_drop(struct weft__part *part);

/* -- reading ------------------------------------------------------------------------- */

struct weft__epoch *weft__registry_epoch_slow(struct weft__here *here);

/* The calling thread's, NULL: no memory. Nothing between begin and end of a section may
 * switch, exit, or be left otherwise. */
static inline struct weft__epoch *weft__registry_epoch(void)
{
    struct weft__here *here = weft__here();

    return __builtin_expect(here->epoch != NULL, 1) ? here->epoch : weft__registry_epoch_slow(here);
}
/* The same; waits for memory. */
struct weft__epoch *weft__registry_need_epoch(void);

/* In a section, or under the lock: the first record of that key, and the next one. */
struct weft__walk_key {
    const struct weft__record *at;
    uint64_t hash;
    weft_term key;
    unsigned side;
};
static inline const struct weft__record *weft__walk_key_here(struct weft__walk_key *walk)
{
    const struct weft__record *record = walk->at;

    /* Acquire (B). */
    while (record != NULL && (record->hash != walk->hash || !weft_eq(record->key, walk->key)))
        record = atomic_load_explicit(&record->next[walk->side], memory_order_acquire);
    return walk->at = record;
}
static inline const struct weft__record *weft__walk_key_first(struct weft__walk_key *walk,
                                                              const struct weft__part *part, uint64_t hash,
                                                              weft_term key)
{
    /* Acquire (A), (B). */
    struct weft__chains *table = atomic_load_explicit(&part->table, memory_order_acquire);

    walk->at = atomic_load_explicit(&table->chain[hash & table->mask].first, memory_order_acquire);
    walk->hash = hash;
    walk->key = key;
    walk->side = table->side;
    return weft__walk_key_here(walk);
}
static inline const struct weft__record *weft__walk_key_next(struct weft__walk_key *walk)
{
    walk->at = atomic_load_explicit(&walk->at->next[walk->side], memory_order_acquire); /* (B) */
    return weft__walk_key_here(walk);
}

/* -- writing --------------------------------------------------------------------------- */

/* A record of copies of both, in nobody's reach; NULL: no memory. The terms can be
 * copied. */
struct weft__record *weft__record_new(uint64_t hash, weft_term key, weft_term value, weft_pid pid);
void weft__record_free(struct weft__record *record);

/* Behind all others of its key, and to its tie. false: no memory; only where there are
 * topics. */
bool weft__part_add_locked(struct weft__part *part, struct weft__record *record, struct weft__tie *tie);
/* Out of its chain and its tie; free it by weft__records_end. */
void weft__part_remove_locked(struct weft__part *part, struct weft__record *record);
/* In the place of another, at once; free that one likewise. */
void weft__part_replace_locked(struct weft__part *part, struct weft__record *record,
                               struct weft__record *instead);
/* All there is: a list by `older`. */
struct weft__record *weft__part_clear_locked(struct weft__part *part);

/* More records than chains? */
static inline bool weft__part_is_full(struct weft__part *part, const struct weft__chains *table)
{
    return (uint64_t)atomic_load_explicit(&part->n, memory_order_relaxed) > table->mask + 1;
}

/* Grow if there is need, and no old table any more. The first one not under the lock. */
void weft__part_grow(struct weft__part *part);
void weft__part_grow_locked(struct weft__part *part);

/* Free a list of removed records (by `older`) when no reader can see them. */
void weft__records_end(struct weft__record *list);

#endif

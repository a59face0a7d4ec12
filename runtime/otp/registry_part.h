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
 *   line          writers     readers   C: version odd, release fence, words, version even by
 *                                          release / version by acquire, words, acquire fence,
 *                                          version - the words are of one moment, or not used
 *   n             writers     anyone    relaxed: a count, from which nothing follows
 *   process       its own     anyone    relaxed as a hint; what counts is read under the lock
 *
 * Lines. Memory decides what a lookup takes: with 100,000 names each cache line is a
 * miss. Most names are words under which nil is kept: they lie in a line for each
 * chain, beside it. Who finds the line being written walks the chain instead, and so
 * waits for nobody.
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
#include "term/term.h"
#include "weft/registry.h"

struct weft__part;
struct weft__row;
struct weft__tie;
struct weft__topics;

struct weft__record {
    struct weft__block block;               /* its tag: bits of the hash */
    _Atomic(struct weft__record *) next[2]; /* in its chain, by side */
    weft_term key;
    weft_pid pid;
    weft_term value;                        /* the first cache line ends here: all that readers need */
    uint64_t hash;
    struct weft__record *prev;              /* in its chain, of the table there is; of the first
                                             * one: the last */
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

/* Some of a chain of unique keys, where neither key nor value is memory: a copy, so
 * that a lookup looks at one cache line. */
struct weft__line {
    _Alignas(64) _Atomic uint32_t version; /* odd: it is being written */
    _Atomic uint32_t n_others;             /* records of the chain that are not in here */
    struct {
        _Atomic uint64_t key, pid, value;  /* bits; key 0: none */
    } word[2];
};

struct weft__chains {
    struct weft__epoch_entry end;
    struct weft__part *part;      /* whose `old` it is; NULL: that one is gone */
    uint64_t mask;
    unsigned side;
    struct weft__line *lines;     /* of each chain; NULL: keys are duplicate */
    _Atomic(struct weft__record *) first[]; /* of each chain */
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
static inline struct weft__epoch *weft__registry_epoch_on(struct weft__here *here)
{
    return __builtin_expect(here->epoch != NULL, 1) ? here->epoch : weft__registry_epoch_slow(here);
}
static inline struct weft__epoch *weft__registry_epoch(void)
{
    return weft__registry_epoch_on(weft__here());
}
/* The same; waits for memory. */
struct weft__epoch *weft__registry_need_epoch(void);

/* Bits that the choice of a chain does not look at. */
static inline uint16_t weft__record_tag(uint64_t hash)
{
    return (uint16_t)(hash >> 48);
}

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
    uint16_t tag = weft__record_tag(walk->hash);

    /* Acquire (B). */
    while (record != NULL && (record->block.tag != tag || !weft_eq(record->key, walk->key)))
        record = atomic_load_explicit(&record->next[walk->side], memory_order_acquire);
    return walk->at = record;
}
static inline const struct weft__record *weft__walk_key_first(struct weft__walk_key *walk,
                                                              const struct weft__part *part, uint64_t hash,
                                                              weft_term key)
{
    /* Acquire (A), (B). */
    struct weft__chains *table = atomic_load_explicit(&part->table, memory_order_acquire);

    walk->at = atomic_load_explicit(&table->first[hash & table->mask], memory_order_acquire);
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

/* In a section: of unique keys, and for a key that is no memory. What the line says. */
enum weft__look {
    WEFT__LOOK_FOUND,   /* *pid and *value */
    WEFT__LOOK_NOTHING, /* nobody has the key */
    WEFT__LOOK_FURTHER  /* walk the chain */
};
static inline enum weft__look weft__part_look(const struct weft__part *part, uint64_t hash, weft_term key,
                                              weft_pid *pid, weft_term *value)
{
    /* Acquire (A), (C). */
    struct weft__chains *table = atomic_load_explicit(&part->table, memory_order_acquire);
    struct weft__line *line = &table->lines[hash & table->mask];
    uint32_t version = atomic_load_explicit(&line->version, memory_order_acquire);
    uint32_t n_others = atomic_load_explicit(&line->n_others, memory_order_relaxed);
    /* Which of the two is in the line's memory, which may take long: no branch rests on
     * that, or what comes behind a wrong guess, the next lookup, would wait for it too. */
    unsigned second = atomic_load_explicit(&line->word[1].key, memory_order_relaxed) == key.bits;
    bool is_found = (atomic_load_explicit(&line->word[0].key, memory_order_relaxed) == key.bits) | second;

    pid->bits = atomic_load_explicit(&line->word[second].pid, memory_order_relaxed);
    value->bits = atomic_load_explicit(&line->word[second].value, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (version % 2 != 0 || atomic_load_explicit(&line->version, memory_order_relaxed) != version)
        return WEFT__LOOK_FURTHER;
    return is_found ? WEFT__LOOK_FOUND : n_others == 0 ? WEFT__LOOK_NOTHING : WEFT__LOOK_FURTHER;
}

/* The holder of a unique key and its value; false: nobody has it. In a section: the value may
 * be memory of the record's. */
static inline bool weft__part_find(const struct weft__part *part, uint64_t hash, weft_term key, weft_pid *pid,
                                   weft_term *value)
{
    const struct weft__record *record;
    struct weft__walk_key walk;

    /* Nobody has weft_none for a key, which would be found in a line's empty place. */
    if (!weft__is_memory(key) && !weft_is_none(key)) {
        enum weft__look look = weft__part_look(part, hash, key, pid, value);

        if (__builtin_expect(look != WEFT__LOOK_FURTHER, 1))
            return look == WEFT__LOOK_FOUND;
    }
    record = weft__walk_key_first(&walk, part, hash, key);
    if (record == NULL)
        return false;
    *pid = record->pid;
    *value = record->value;
    return true;
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

/* topics.h - who is subscribed to what: the entries of a partition by key, in arrays.
 *
 * A PubSub is a registry of duplicate keys (pubsub.h) whose partitions have this beside their
 * chains: for each key a topic, with a seat for each entry. A broadcast walks the seats, which
 * lie one behind the other, and needs of each a word: so what it will touch at the subscribers
 * can be brought near in time, which a walk along a chain of records cannot.
 *
 * Nouns. A row is a piece of memory with some seats; a topic's rows are a list, the oldest
 * seats first. Seats are filled in order and never again: who leaves clears the pid. Each seat
 * has a number, higher than those of all older ones of its partition, by which a walk that was
 * left goes on.
 *
 * Writers hold the partition's lock. Readers are in an epoch section. A row without anybody
 * in it is taken out of the list; two that follow each other and would fit into one half full
 * are replaced by one. What is taken out stays as it is until every section that was open
 * then is over: whoever stands on such a row goes on to the rows behind it as they
 * were, and meets each entry once.
 *
 *   field         written by  read by   pair
 *   next, first   writers     readers   A: store release / load acquire - the row is filled
 *   n_used        writers     readers   B: store release / load acquire - so many seats are filled
 *   pid           writers     readers   relaxed: a word; who sends to a pid looks whether it is there
 *   next_number   writers     readers   C: store release / load acquire - seats below were given before
 *
 * Memory is malloc's, so that it can be had and given back under a lock.
 *
 * Roads not taken: one array for a topic, copied when it is full (a million entries are
 * copied under the lock); entries as the only index (a cache miss, one after the other, for
 * each subscriber).
 */
#ifndef WEFT_OTP_TOPICS_H
#define WEFT_OTP_TOPICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "otp/registry_part.h"

struct weft__seat {
    _Atomic uint64_t pid;         /* bits; 0: it is left */
    uint64_t number;
    struct weft__record *record;  /* the entry; for writers, while the pid is there */
};

struct weft__row {
    struct weft__epoch_entry end;
    _Atomic(struct weft__row *) next; /* newer */
    struct weft__row *prev;           /* for writers */
    struct weft__topic *topic;        /* set once */
    uint32_t n_seats;                 /* set once */
    uint32_t n_live;                  /* for writers */
    _Atomic uint32_t n_used;
    struct weft__seat seats[];
};

struct weft__topic {
    struct weft__record record;        /* in the table: hash and key, whose copy is behind this struct */
    _Atomic(struct weft__row *) first; /* the oldest, or NULL */
    struct weft__row *last;            /* for writers */
    _Atomic int64_t n;                 /* entries: a count, from which nothing follows */
};

struct weft__topics {
    struct weft__part *table;     /* key to topic; nobody's, and used under the partition's lock */
    _Atomic uint64_t next_number; /* of the next seat */
};

/* NULL: no memory. */
struct weft__topics *weft__topics_new(weft_atom registry);
/* Nobody can see it, and it has no entries. NULL is allowed. */
void weft__topics_free(struct weft__topics *topics);

/* A seat for an entry, under the partition's lock; false: no memory. */
bool weft__topics_add_locked(struct weft__topics *topics, struct weft__record *record);
/* Its seat is left. */
void weft__topics_remove_locked(struct weft__topics *topics, struct weft__record *record);

/* In a section: the topic of a key, or NULL. */
static inline const struct weft__topic *weft__topics_find(const struct weft__topics *topics, uint64_t hash,
                                                          weft_term key)
{
    struct weft__walk_key walk;
    const struct weft__record *record = weft__walk_key_first(&walk, topics->table, hash, key);

    return (const struct weft__topic *)(const void *)record; /* it comes first */
}

/* Assert every invariant. */
void weft__topics_check_locked(const struct weft__topics *topics);

#endif

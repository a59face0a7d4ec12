/* epoch.h - when is it safe to free what others may still be reading?
 *
 * Readers bracket their reads by begin and end on a record of their own.
 * Writers unlink an object and defer its end: the function is called once
 * every section that was open then is over. Reading costs one exchange.
 *
 * This is ck_epoch, wrapped so that what race detectors must be told about it
 * is told here: end -> a deferred call is an edge that they cannot see.
 *
 * Invariant: a deferred call runs after the end of every section that began
 *            before the defer.
 * Threads:   a record is used by one thread at a time. Who may move between
 *            threads inside a section (a process that parks there) takes a
 *            record of its own for it and takes it along.
 */
#ifndef WEFT_BASE_EPOCH_H
#define WEFT_BASE_EPOCH_H

#include <ck_epoch.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/spin.h"

#if defined(__SANITIZE_THREAD__)
#define WEFT__EPOCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFT__EPOCH_TSAN 1
#endif
#endif
#ifdef WEFT__EPOCH_TSAN
void __tsan_acquire(void *at);
void __tsan_release(void *at);
#endif

/* Part of an object whose end is deferred. */
struct weft__epoch_entry {
    ck_epoch_entry_t ck;
    void (*call)(struct weft__epoch_entry *entry);
};

struct weft__epoch_record {
    ck_epoch_record_t ck;
    struct weft__epoch *epoch;            /* set once */
    struct weft__epoch_record *next_free; /* under the epoch's lock */
    struct weft__epoch_record *next_all;  /* set once */
};

struct weft__epoch {
    ck_epoch_t ck;
    struct weft__spin lock;           /* guards all below */
    struct weft__epoch_record *all;   /* every record there is */
    struct weft__epoch_record *free;  /* those in nobody's hands */
};

void weft__epoch_init(struct weft__epoch *epoch);
/* Make every deferred call and free the records. No section is open. */
void weft__epoch_destroy(struct weft__epoch *epoch);

/* A record for a worker, a guest or a long section: one given back before, or
 * a new one; NULL when memory is out. */
struct weft__epoch_record *weft__epoch_register(struct weft__epoch *epoch);
/* Give it back, outside any section. What it deferred is kept in it and called
 * by its next user's polls, or by weft__epoch_sweep. */
void weft__epoch_unregister(struct weft__epoch_record *record);

/* Open a section; sections of one record nest. Never parks or waits. */
static inline void weft__epoch_begin(struct weft__epoch_record *record)
{
    ck_epoch_begin(&record->ck, NULL);
}

static inline void weft__epoch_end(struct weft__epoch_record *record)
{
#ifdef WEFT__EPOCH_TSAN
    __tsan_release(record->epoch);
#endif
    (void)ck_epoch_end(&record->ck, NULL);
}

static inline bool weft__epoch_is_open(const struct weft__epoch_record *record)
{
    return record->ck.active != 0;
}

/* Call call(entry) when every section open now is over: from a later poll of
 * this record, outside of locks. The entry is out of readers' reach by now. */
void weft__epoch_defer(struct weft__epoch_record *record, struct weft__epoch_entry *entry,
                       void (*call)(struct weft__epoch_entry *entry));

/* How many calls this record has put off. */
static inline uint32_t weft__epoch_pending(const struct weft__epoch_record *record)
{
    return record->ck.n_pending;
}

/* Make the calls whose time has come; never waits. true: there was progress.
 * Not within a section of this record. */
bool weft__epoch_poll(struct weft__epoch_record *record);

/* Poll the records that are in nobody's hands; whoever has time, now and then. */
void weft__epoch_sweep(struct weft__epoch *epoch);

#endif

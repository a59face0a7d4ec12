/* epoch.h - when is it safe to free what others may still be reading?
 *
 * Readers bracket their reads by begin and end on an epoch of their own.
 * Writers unlink an object and defer its end: the function is called once
 * every section that was open then is over.
 *
 * The fence. A section's begin must be seen by others before it reads. Where the
 * kernel has membarrier, whoever polls makes that fence for all threads: one
 * system call for many ends, and a reader's stores go out when they may. A section
 * then costs three stores and its reads overlap with what is before it.
 *
 *     reader                              who polls
 *     R1  active = 1, epoch               W1  an object is out of reach; its end is deferred
 *     R2  (membarrier is a fence here)    W2  membarrier
 *     R3  reads                           W3  looks at all active and epoch
 *
 * Was R1 before W2, then W3 sees it; else R3 comes after W2 and finds nothing
 * that went at W1. Without membarrier R2 is a fence of the reader's own.
 *
 * A deferred call is noted under the number E of the epoch found after W1, and made
 * at E + 2. Each step of the number is a poll of its own, W2 to W3, and they come one
 * after the other: was the W2 of the second before the first step, a section that
 * began behind it would be missed by both. And a section that reads E + 1 must not
 * find the object: W1 is a full fence, and R1's number is read before all of R3.
 *
 * This is ck_epoch, wrapped so that what race detectors must be told about it
 * is told here: end -> a deferred call is an edge that they cannot see.
 *
 * Invariant: a deferred call runs after the end of every section that began
 *            before the defer.
 * Threads:   an epoch is used by one thread at a time. Who may move between
 *            threads inside a section (a process that parks there) takes one
 *            of its own for it and takes it along.
 */
#ifndef WEFT_BASE_EPOCH_H
#define WEFT_BASE_EPOCH_H

#include <ck_epoch.h>
#include <stdatomic.h>
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
/* Stands for the edge from a section's end to a deferred call. */
extern char weft__epoch_edge;
#endif

/* Part of an object whose end is deferred. */
struct weft__epoch_entry {
    ck_epoch_entry_t ck;
    void (*call)(struct weft__epoch_entry *entry);
};

struct weft__epoch {
    ck_epoch_record_t ck;
    struct weft__epochs *epochs;   /* set once */
    struct weft__epoch *next_free; /* under the epochs' lock */
    struct weft__epoch *next_all;  /* set once */
};

struct weft__epochs {
    ck_epoch_t ck;
    struct weft__spin lock;    /* guards the lists */
    struct weft__epoch *all;   /* every one there is */
    struct weft__epoch *free;  /* those in nobody's hands */
    _Atomic bool is_polled;    /* somebody is polling; acquire, release: one after the other */
};

/* NULL when memory is out. */
struct weft__epochs *weft__epochs_new(void);
/* Make every deferred call and free all epochs. No section is open. */
void weft__epochs_free(struct weft__epochs *epochs);

/* One for a worker, a guest or a long section: one that was given back, or a
 * new one; NULL when memory is out. */
struct weft__epoch *weft__epoch_register(struct weft__epochs *epochs);
/* Give it back, outside any section. What it deferred is kept in it and called
 * by its next user's polls, or by weft__epochs_sweep. */
void weft__epoch_unregister(struct weft__epoch *epoch);

/* Is there membarrier? Set before the first epoch is registered. */
extern _Atomic bool weft__epoch_has_barrier;

/* Open a section; sections of one epoch nest. Never parks or waits. */
static inline void weft__epoch_begin(struct weft__epoch *epoch)
{
    struct ck_epoch_record *ck = &epoch->ck;

    /* Relaxed: it was set before this epoch was made. */
    if (__builtin_expect(!atomic_load_explicit(&weft__epoch_has_barrier, memory_order_relaxed), 0)) {
        ck_epoch_begin(ck, NULL);
        return;
    }
    /* R1, as ck_epoch_begin does, but for its fence. */
    ck_pr_store_uint(&ck->active, ck->active + 1);
    if (ck->active == 1)
        ck_pr_store_uint(&ck->epoch, ck_pr_load_uint(&ck->global->epoch));
    atomic_signal_fence(memory_order_seq_cst); /* R2 */
    atomic_thread_fence(memory_order_acquire); /* the number, then R3 */
}

static inline void weft__epoch_end(struct weft__epoch *epoch)
{
#ifdef WEFT__EPOCH_TSAN
    __tsan_release(&weft__epoch_edge);
#endif
    (void)ck_epoch_end(&epoch->ck, NULL);
}

static inline bool weft__epoch_is_open(const struct weft__epoch *epoch)
{
    return epoch->ck.active != 0;
}

/* Call call(entry) when every section open now is over: from a later poll of
 * this epoch, outside of locks. The entry is out of readers' reach by now. */
void weft__epoch_defer(struct weft__epoch *epoch, struct weft__epoch_entry *entry,
                       void (*call)(struct weft__epoch_entry *entry));

/* How many calls this epoch has put off. */
static inline uint32_t weft__epoch_pending(const struct weft__epoch *epoch)
{
    return epoch->ck.n_pending;
}

/* Make the calls whose time has come; never waits. true: there was progress, but not
 * while another thread polls. Not within a section of this epoch. */
bool weft__epoch_poll(struct weft__epoch *epoch);

/* Poll the epochs that are in nobody's hands; whoever has time, now and then. */
void weft__epochs_sweep(struct weft__epochs *epochs);

/* Make every deferred call, those of epochs in use too: no section is open, and
 * nobody else uses an epoch meanwhile. */
void weft__epochs_flush(struct weft__epochs *epochs);

#endif

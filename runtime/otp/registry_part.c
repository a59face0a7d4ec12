#include "otp/registry_part.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "otp/topics.h"
#include "proc/runtime.h"
#include "term/copy.h"

#define FIRST_CHAINS 16
#define POLL_EACH 256 /* deferred calls of a thread, from one poll to the next */
#define LARGE_PAGE ((size_t)2 << 20)

/* -- epochs -------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static struct weft__epochs *epochs; /* set by once; lives as long as the program */

static void thread_ends(void *epoch)
{
    weft__here()->epoch = NULL;
    weft__epoch_unregister(epoch);
}

static void make_epochs(void)
{
    if (pthread_key_create(&thread_key, thread_ends) == 0)
        epochs = weft__epochs_new();
}

struct weft__epoch *weft__registry_epoch_slow(struct weft__here *here)
{
    struct weft__epoch *epoch;

    pthread_once(&once, make_epochs);
    epoch = epochs != NULL ? weft__epoch_register(epochs) : NULL;
    if (epoch == NULL)
        return NULL;
    if (pthread_setspecific(thread_key, epoch) != 0) {
        weft__epoch_unregister(epoch);
        return NULL;
    }
    here->epoch = epoch;
    return epoch;
}

struct weft__epoch *weft__registry_need_epoch(void)
{
    struct weft__epoch *epoch;

    while ((epoch = weft__registry_epoch()) == NULL)
        sched_yield();
    return epoch;
}

/* -- records ---------------------------------------------------------------------------- */

struct weft__record *weft__record_new(uint64_t hash, weft_term key, weft_term value, weft_pid pid)
{
    struct weft__copy_refusal refusal;
    size_t key_size = weft__copy_size(key, &refusal), value_size = weft__copy_size(value, &refusal);
    struct weft__block *block =
        weft__block_new(sizeof(struct weft__record) - sizeof *block + key_size + value_size);
    struct weft__record *record = (struct weft__record *)(void *)block; /* the block comes first */
    char *at = (char *)(record + 1);

    if (block == NULL)
        return NULL;
    atomic_init(&record->next[0], NULL);
    atomic_init(&record->next[1], NULL);
    record->hash = hash;
    record->block.tag = weft__record_tag(hash);
    record->key = weft__copy_into(key, at, &block->counted);
    record->value = weft__copy_into(value, at + key_size, &block->counted);
    record->pid = pid;
    record->prev = record->newer = record->older = NULL;
    record->tie = NULL;
    return record;
}

void weft__record_free(struct weft__record *record)
{
    weft__block_free(&record->block);
}

static void record_end(struct weft__epoch_entry *end)
{
    weft__record_free((struct weft__record *)(void *)((char *)end - offsetof(struct weft__record, end)));
}

void weft__records_end(struct weft__record *list)
{
    struct weft__epoch *epoch;
    bool is_time = false;

    if (list == NULL)
        return;
    epoch = weft__registry_need_epoch();
    while (list != NULL) {
        struct weft__record *record = list;

        list = record->older;
        weft__epoch_defer(epoch, &record->end, record_end);
        is_time |= weft__epoch_pending(epoch) % POLL_EACH == 0;
    }
    if (is_time)
        weft__epoch_poll(epoch);
}

/* -- a partition's life ------------------------------------------------------------------- */

/* By cache lines; what readers jump about in, by large pages. NULL: no memory. */
static void *zeroed(size_t size)
{
    size_t unit = size < LARGE_PAGE ? 64 : LARGE_PAGE;
    void *at = aligned_alloc(unit, (size + unit - 1) & ~(unit - 1));

    if (at == NULL)
        return NULL;
    if (unit == LARGE_PAGE)
        madvise(at, size, MADV_HUGEPAGE); /* a wish */
    return memset(at, 0, size);
}

static struct weft__chains *chains_new(struct weft__part *part, uint64_t n, unsigned side)
{
    struct weft__chains *table = zeroed(sizeof *table + n * sizeof(struct weft__record *));

    if (table == NULL)
        return NULL;
    table->part = part;
    table->mask = n - 1;
    table->side = side;
    if (part->keys != WEFT_UNIQUE)
        return table;
    table->lines = zeroed(n * sizeof table->lines[0]);
    if (table->lines != NULL)
        return table;
    free(table);
    return NULL;
}

static void chains_free(struct weft__chains *table)
{
    if (table == NULL)
        return;
    free(table->lines);
    free(table);
}

/* false: no memory. */
static bool take_listeners(struct weft__part *part, weft_term list)
{
    part->listeners = malloc((weft_list_size(list) + 1) * sizeof part->listeners[0]);
    if (part->listeners == NULL)
        return false;
    weft_list_each (name, list)
        part->listeners[part->n_listeners++] = name;
    return true;
}

struct weft__part *weft__part_new(weft_atom registry, enum weft_registry_keys keys, weft_term listeners)
{
    struct weft__part *part = aligned_alloc(64, (sizeof *part + 63) & ~(size_t)63);
    struct weft__chains *table;

    if (part == NULL)
        return NULL;
    memset(part, 0, sizeof *part);
    part->registry = registry;
    part->keys = keys;
    part->n_holders = 1;
    weft__spin_init(&part->lock, WEFT__RANK_LEAF);
    pthread_once(&once, make_epochs);
    part->epoch = epochs != NULL ? weft__epoch_register(epochs) : NULL;
    table = chains_new(part, FIRST_CHAINS, 0);
    atomic_init(&part->table, table);
    if (table != NULL && part->epoch != NULL && take_listeners(part, listeners))
        return part;
    if (part->epoch != NULL)
        weft__epoch_unregister(part->epoch);
    chains_free(table);
    free(part);
    return NULL;
}

/* Nobody can see it. */
static void part_free(struct weft__part *part)
{
    struct weft__record *list = weft__part_clear_locked(part), *record;

    while ((record = list) != NULL) {
        list = record->older;
        weft__record_free(record);
    }
    weft__topics_free(part->topics);
    if (part->old != NULL)
        part->old->part = NULL;
    weft__epoch_unregister(part->epoch);
    chains_free(atomic_load_explicit(&part->table, memory_order_relaxed));
    free(part->listeners);
    free(part);
}

void weft__part_hold_locked(struct weft__part *part)
{
    part->n_holders++;
}

void weft__part_drop(struct weft__part *part)
{
    bool is_last;

    weft__spin_acquire(&part->lock);
    is_last = --part->n_holders == 0;
    weft__spin_release(&part->lock);
    if (is_last)
        part_free(part);
}

/* -- chains ---------------------------------------------------------------------------------- */

static struct weft__chains *table_of(struct weft__part *part)
{
    /* Relaxed: under the lock. */
    return atomic_load_explicit(&part->table, memory_order_relaxed);
}

static _Atomic(struct weft__record *) *first_of(struct weft__chains *table, const struct weft__record *record)
{
    return &table->first[record->hash & table->mask];
}

static bool is_words(const struct weft__record *record)
{
    return !weft__is_memory(record->key) && !weft__is_memory(record->value);
}

/* Write the chain's line anew: unique keys, so the chain is short. */
static void fill_line(struct weft__chains *table, struct weft__record *first, struct weft__line *line)
{
    uint32_t version = atomic_load_explicit(&line->version, memory_order_relaxed), n = 0, n_others = 0;

    atomic_store_explicit(&line->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* (C) */
    for (; first != NULL; first = atomic_load_explicit(&first->next[table->side], memory_order_relaxed)) {
        if (n == 2 || !is_words(first)) {
            n_others++;
            continue;
        }
        atomic_store_explicit(&line->word[n].key, first->key.bits, memory_order_relaxed);
        atomic_store_explicit(&line->word[n].pid, first->pid.bits, memory_order_relaxed);
        atomic_store_explicit(&line->word[n].value, first->value.bits, memory_order_relaxed);
        n++;
    }
    for (; n < 2; n++)
        atomic_store_explicit(&line->word[n].key, 0, memory_order_relaxed);
    atomic_store_explicit(&line->n_others, n_others, memory_order_relaxed);
    atomic_store_explicit(&line->version, version + 2, memory_order_release); /* (C) */
}

/* The chain of that hash was changed. */
static void changed(struct weft__chains *table, uint64_t hash)
{
    uint64_t i = hash & table->mask;

    if (table->lines != NULL)
        fill_line(table, atomic_load_explicit(&table->first[i], memory_order_relaxed), &table->lines[i]);
}

static void append(struct weft__chains *table, struct weft__record *record)
{
    _Atomic(struct weft__record *) *at = first_of(table, record);
    struct weft__record *first = atomic_load_explicit(at, memory_order_relaxed);

    atomic_store_explicit(&record->next[table->side], NULL, memory_order_relaxed);
    if (first != NULL) {
        at = &first->prev->next[table->side];
        record->prev = first->prev;
        first->prev = record;
    } else {
        record->prev = record;
    }
    /* Release (B): a reader finds it filled. */
    atomic_store_explicit(at, record, memory_order_release);
    changed(table, record->hash);
}

static void add_n(struct weft__part *part, int64_t n)
{
    /* Relaxed: only the lock's holder writes it. */
    atomic_store_explicit(&part->n, atomic_load_explicit(&part->n, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void to_tie(struct weft__record *record, struct weft__tie *tie)
{
    record->tie = tie;
    record->newer = record->older = NULL;
    if (tie == NULL)
        return;
    record->older = tie->newest;
    if (tie->newest != NULL)
        tie->newest->newer = record;
    tie->newest = record;
}

static void from_tie(struct weft__record *record)
{
    if (record->newer != NULL)
        record->newer->older = record->older;
    else if (record->tie != NULL)
        record->tie->newest = record->older;
    if (record->older != NULL)
        record->older->newer = record->newer;
    record->newer = record->older = NULL;
    record->tie = NULL;
}

bool weft__part_add_locked(struct weft__part *part, struct weft__record *record, struct weft__tie *tie)
{
    if (part->topics != NULL && !weft__topics_add_locked(part->topics, record))
        return false;
    to_tie(record, tie);
    append(table_of(part), record);
    add_n(part, 1);
    return true;
}

void weft__part_remove_locked(struct weft__part *part, struct weft__record *record)
{
    struct weft__chains *table = table_of(part);
    _Atomic(struct weft__record *) *at = first_of(table, record);
    /* Relaxed: under the lock. Its own link stays for readers who stand on it. */
    struct weft__record *next = atomic_load_explicit(&record->next[table->side], memory_order_relaxed);
    struct weft__record *first = atomic_load_explicit(at, memory_order_relaxed);

    if (next != NULL)
        next->prev = record->prev;
    else if (first != record)
        first->prev = record->prev;
    /* Release (B): a reader comes to what is behind it this way for the first time. */
    atomic_store_explicit(first == record ? at : &record->prev->next[table->side], next, memory_order_release);
    changed(table, record->hash);
    if (part->topics != NULL)
        weft__topics_remove_locked(part->topics, record);
    from_tie(record);
    add_n(part, -1);
}

void weft__part_replace_locked(struct weft__part *part, struct weft__record *record,
                               struct weft__record *instead)
{
    struct weft__chains *table = table_of(part);
    _Atomic(struct weft__record *) *at = first_of(table, record);
    struct weft__record *next = atomic_load_explicit(&record->next[table->side], memory_order_relaxed);
    struct weft__record *first = atomic_load_explicit(at, memory_order_relaxed);

    to_tie(instead, record->tie);
    from_tie(record);
    instead->prev = record->prev != record ? record->prev : instead;
    atomic_store_explicit(&instead->next[table->side], next, memory_order_relaxed);
    if (next != NULL)
        next->prev = instead;
    else if (first != record)
        first->prev = instead;
    atomic_store_explicit(first == record ? at : &record->prev->next[table->side], instead,
                          memory_order_release); /* (B) */
    changed(table, record->hash);
}

struct weft__record *weft__part_clear_locked(struct weft__part *part)
{
    struct weft__chains *table = table_of(part);
    struct weft__record *list = NULL, *record;

    for (uint64_t i = 0; i <= table->mask; i++)
        while ((record = atomic_load_explicit(&table->first[i], memory_order_relaxed)) != NULL) {
            weft__part_remove_locked(part, record);
            record->older = list;
            list = record;
        }
    return list;
}

/* -- growing ------------------------------------------------------------------------------------ */

/* Nobody walks the old table any more: its side is free. Under the lock of its
 * partition, if that is there. */
static void chains_end(struct weft__epoch_entry *end)
{
    struct weft__chains *table = (struct weft__chains *)(void *)end; /* it comes first */

    if (table->part != NULL)
        table->part->old = NULL;
    chains_free(table);
}

/* Into the larger table, chain by chain, so in their order. */
static void move(struct weft__chains *from, struct weft__chains *to)
{
    for (uint64_t i = 0; i <= from->mask; i++) {
        struct weft__record *record = atomic_load_explicit(&from->first[i], memory_order_relaxed);

        for (; record != NULL; record = atomic_load_explicit(&record->next[from->side], memory_order_relaxed))
            append(to, record);
    }
}

void weft__part_grow_locked(struct weft__part *part)
{
    struct weft__chains *from, *to = NULL;

    if (part->old != NULL)
        weft__epoch_poll(part->epoch);
    from = table_of(part);
    /* No memory: longer chains, for now. */
    if (weft__part_is_full(part, from) && part->old == NULL)
        to = chains_new(part, (from->mask + 1) * 2, from->side ^ 1);
    if (to != NULL) {
        move(from, to);
        atomic_store_explicit(&part->table, to, memory_order_release); /* (A) */
        part->old = from;
        weft__epoch_defer(part->epoch, &from->end, chains_end);
    }
}

void weft__part_grow(struct weft__part *part)
{
    weft__spin_acquire(&part->lock);
    weft__part_grow_locked(part);
    weft__spin_release(&part->lock);
}

/* -- the runtime's stop ------------------------------------------------------------------------- */

/* No process is left, so no section is open: what was put off is done now. */
static void runtime_stops(void)
{
    if (epochs != NULL)
        weft__epochs_flush(epochs);
}

__attribute__((constructor)) static void hear_of_stops(void)
{
    weft__runtime_at_stop(runtime_stops);
}

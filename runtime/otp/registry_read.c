/* registry_read.c - looking up: copies of what is there, made in an epoch section.
 *
 * A section may neither exit nor be left otherwise, and building terms may exit when
 * memory is short. So the result is built in a block of its own: a first walk counts
 * bytes, a second one fills them, and the caller's region gets the block when the
 * section is closed. What comes between the walks and needs more makes it try again.
 */
#include "otp/registry.h"

#include <stdlib.h>

#include "otp/call.h"
#include "term/atom.h"
#include "term/copy.h"
#include "term/match.h"
#include "weft/error.h"

#define A(name) WEFT_ATOM(#name)

/* What is asked for, and what came of it. */
struct gather {
    const char *call;
    weft_atom name;
    bool of_key;             /* entries of one key: {pid, value}; else all: {key, pid, value} */
    uint64_t hash;
    weft_term key;
    int64_t part;            /* that partition alone; -1: all that may have some */
    size_t size;             /* bytes the first walk counted */
    struct weft__block *block;
    char *at, *end;          /* in the block; at is NULL while bytes are counted */
    weft_term first;         /* the list, and where its end is */
    weft_term *last;
};

/* -- a record's part of the list ------------------------------------------------------ */

static size_t line_size(const struct gather *gather, const struct weft__record *record)
{
    struct weft__copy_refusal refusal;
    size_t size = 2 * sizeof(weft_term) + sizeof(uint64_t) + (gather->of_key ? 2 : 3) * sizeof(weft_term);

    if (!gather->of_key)
        size += weft__copy_size(record->key, &refusal);
    return size + weft__copy_size(record->value, &refusal);
}

/* A copy behind the others. */
static weft_term copied(struct gather *gather, weft_term term)
{
    struct weft__copy_refusal refusal;
    size_t size = weft__copy_size(term, &refusal);
    weft_term copy = weft__copy_into(term, gather->at, &gather->block->counted);

    gather->at += size;
    return copy;
}

static void add_line(struct gather *gather, const struct weft__record *record)
{
    weft_term *cell = (weft_term *)(void *)gather->at;
    uint64_t *tuple = (uint64_t *)(void *)(cell + 2);
    weft_term *element = (weft_term *)(void *)(tuple + 1);

    *tuple = weft__header(WEFT__BOX_TUPLE, gather->of_key ? 2 : 3);
    gather->at = (char *)(element + (gather->of_key ? 2 : 3));
    if (!gather->of_key)
        *element++ = copied(gather, record->key);
    element[0] = record->pid;
    element[1] = copied(gather, record->value);
    cell[0] = weft__boxed(tuple);
    cell[1] = weft_empty_list;
    *gather->last = weft__term((uintptr_t)cell + WEFT__TAG_CELL);
    gather->last = &cell[1];
}

/* Count it, or add it; false: there is no room. */
static bool take(struct gather *gather, const struct weft__record *record)
{
    size_t size = line_size(gather, record);

    if (gather->at == NULL) {
        gather->size += size;
        return true;
    }
    if ((size_t)(gather->end - gather->at) < size)
        return false;
    add_line(gather, record);
    return true;
}

/* -- walks --------------------------------------------------------------------------------- */

static bool walk_key(struct gather *gather, const struct weft__part *part)
{
    struct weft__walk_key walk;
    const struct weft__record *record = weft__walk_key_first(&walk, part, gather->hash, gather->key);

    for (; record != NULL; record = weft__walk_key_next(&walk))
        if (!take(gather, record))
            return false;
    return true;
}

static bool walk_all(struct gather *gather, const struct weft__part *part)
{
    /* Acquire: as in registry_part.h, (A), (B). */
    const struct weft__chains *table = atomic_load_explicit(&part->table, memory_order_acquire);
    const struct weft__record *record;

    for (uint64_t i = 0; i <= table->mask; i++)
        for (record = atomic_load_explicit(&table->first[i], memory_order_acquire); record != NULL;
             record = atomic_load_explicit(&record->next[table->side], memory_order_acquire))
            if (!take(gather, record))
                return false;
    return true;
}

static bool walk(struct gather *gather, const struct weft__registry *registry)
{
    uint32_t at = 0, end = registry->n_parts;

    if (gather->of_key)
        weft__registry_parts_of(registry, gather->hash, &at, &end);
    if (gather->part >= 0) {
        at = at > (uint32_t)gather->part ? at : (uint32_t)gather->part;
        end = end < (uint32_t)gather->part + 1 ? end : (uint32_t)gather->part + 1;
    }
    for (; at < end; at++)
        if (!(gather->of_key ? walk_key : walk_all)(gather, registry->parts[at]))
            return false;
    return true;
}

/* -- the list -------------------------------------------------------------------------------- */

enum outcome { DONE, CHANGED, NO_MEMORY };

static enum outcome try_fill(struct gather *gather, const struct weft__registry *registry)
{
    gather->size = 0;
    gather->at = NULL;
    gather->block = NULL;
    gather->first = weft_empty_list;
    gather->last = &gather->first;
    walk(gather, registry);
    if (gather->size == 0)
        return DONE;
    gather->block = weft__block_new(gather->size);
    if (gather->block == NULL)
        return NO_MEMORY;
    gather->at = weft__block_data(gather->block);
    gather->end = gather->at + gather->size;
    if (walk(gather, registry))
        return DONE;
    weft__block_free(gather->block);
    return CHANGED;
}

/* The list, in the caller's scope. */
static weft_term gather_list(struct gather *gather)
{
    enum outcome outcome;

    weft__proc_need(gather->call);
    do {
        struct weft__epoch *epoch;
        const struct weft__registry *registry = weft__registry_enter(gather->call, gather->name, &epoch);

        outcome = try_fill(gather, registry);
        weft__epoch_end(epoch);
    } while (outcome == CHANGED);
    if (outcome == NO_MEMORY)
        weft__proc_system_limit(gather->call, "no memory");
    if (gather->block != NULL)
        weft__region_adopt(weft__region_here(), gather->block);
    return gather->first;
}

weft_term weft__registry_entries(const char *call, weft_atom registry, weft_term key, int64_t part)
{
    struct gather gather = {.call = call, .name = registry, .of_key = true, .hash = weft_hash(key), .key = key,
                            .part = part};

    return gather_list(&gather);
}

/* -- by key ------------------------------------------------------------------------------------- */

/* [{pid, value}] of a value that is a word. */
static weft_term list_of_one(struct weft__region *region, weft_pid pid, weft_term value)
{
    weft_term *cell = weft__region_alloc(region, 2 * sizeof *cell + 3 * sizeof(uint64_t));
    uint64_t *tuple = (uint64_t *)(void *)(cell + 2);

    tuple[0] = weft__header(WEFT__BOX_TUPLE, 2);
    tuple[1] = pid.bits;
    tuple[2] = value.bits;
    cell[0] = weft__boxed(tuple);
    cell[1] = weft_empty_list;
    return weft__term((uintptr_t)cell + WEFT__TAG_CELL);
}

/* What most lookups find: nothing, or one entry whose value takes no memory. */
static inline bool lookup_word(struct weft__here *here, weft_atom name, weft_term key, weft_pid *pid,
                               weft_term *value)
{
    uint64_t hash = weft_hash(key);
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter_on(here, "weft_registry_lookup", name, &epoch);
    bool is_word = registry->keys == WEFT_UNIQUE;

    if (!is_word || !weft__part_find(weft__registry_part(registry, hash, weft_none), hash, key, pid, value))
        *pid = weft_none;
    else
        is_word = !weft__is_memory(*value);
    weft__epoch_end(epoch);
    return is_word;
}

weft_term weft_registry_lookup(weft_atom registry, weft_term key)
{
    struct weft__here *here = weft__here(); /* nothing switches here */
    weft_term value;
    weft_pid pid;

    if (!lookup_word(here, registry, key, &pid, &value))
        return weft__registry_entries("weft_registry_lookup", registry, key, -1);
    if (weft_is_none(pid))
        return weft_empty_list;
    return list_of_one(here->region != NULL ? here->region : weft__region_here(), pid, value);
}

weft_pid weft_registry_whereis(weft_atom name, weft_term key)
{
    weft_pid pid;

    switch (weft__registry_whereis(name, weft_hash(key), key, &pid)) {
    case WEFT_ENOENT:
        weft__registry_unknown("weft_registry_whereis", name);
    case WEFT_ENOTSUP:
        weft__registry_not_unique("weft_registry_whereis", name);
    default:
        return pid;
    }
}

weft_term weft_registry_values(weft_atom registry, weft_term key, weft_pid pid)
{
    weft_term values = weft_empty_list;

    weft_list_each (entry, weft__registry_entries("weft_registry_values", registry, key, -1))
        if (weft_eq(weft_tuple_at(entry, 0), pid))
            values = weft_cons(weft_tuple_at(entry, 1), values);
    return weft_list_reverse(values);
}

weft_term weft_registry_match(weft_atom registry, weft_term key, weft_term pattern)
{
    weft_term found = weft_empty_list;

    weft_list_each (entry, weft__registry_entries("weft_registry_match", registry, key, -1))
        if (weft__match_fits(weft_tuple_at(entry, 1), pattern))
            found = weft_cons(entry, found);
    return weft_list_reverse(found);
}

size_t weft_registry_count_match(weft_atom registry, weft_term key, weft_term pattern)
{
    WEFT_SCOPE;

    return weft_list_size(weft_registry_match(registry, key, pattern));
}

/* -- all of it --------------------------------------------------------------------------------------- */

static weft_term all_of(const char *call, weft_atom registry)
{
    struct gather gather = {.call = call, .name = registry, .part = -1};

    return gather_list(&gather);
}

weft_term weft_registry_keys(weft_atom registry, weft_pid pid)
{
    weft_term keys = weft_empty_list;

    weft_list_each (line, all_of("weft_registry_keys", registry))
        if (weft_eq(weft_tuple_at(line, 1), pid))
            keys = weft_cons(weft_tuple_at(line, 0), keys);
    return keys;
}

weft_term weft_registry_select(weft_atom registry, weft_term pattern)
{
    weft_term found = weft_empty_list;

    if (!weft_eq(pattern, weft_any) && (!weft_is_tuple(pattern) || weft_tuple_size(pattern) != 3))
        weft__proc_badarg("weft_registry_select", "the pattern is %s: weft_any, or a tuple of three, for {key, pid, value}",
                          weft_inspect(pattern));
    weft_list_each (line, all_of("weft_registry_select", registry))
        if (weft__match_fits(line, pattern))
            found = weft_cons(line, found);
    return found;
}

size_t weft_registry_count_select(weft_atom registry, weft_term pattern)
{
    WEFT_SCOPE;

    return weft_list_size(weft_registry_select(registry, pattern));
}

size_t weft_registry_count(weft_atom name)
{
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter("weft_registry_count", name, &epoch);
    int64_t n = 0;

    /* Relaxed: each is a moment's truth. */
    for (uint32_t i = 0; i < registry->n_parts; i++)
        n += atomic_load_explicit(&registry->parts[i]->n, memory_order_relaxed);
    weft__epoch_end(epoch);
    return (size_t)n;
}

/* -- metadata ---------------------------------------------------------------------------------------- */

/* Set, or with NULL remove, the record of a key. In a section. */
static struct weft__record *meta_put_locked(struct weft__part *meta, uint64_t hash, weft_term key,
                                            struct weft__record *record)
{
    struct weft__walk_key walk;
    /* Not const: the lock is held. */
    struct weft__record *there = (struct weft__record *)weft__walk_key_first(&walk, meta, hash, key);

    if (there == NULL && record != NULL)
        weft__part_add_locked(meta, record, NULL);
    else if (there != NULL && record != NULL)
        weft__part_replace_locked(meta, there, record);
    else if (there != NULL)
        weft__part_remove_locked(meta, there);
    return there;
}

static bool meta_put(weft_atom name, uint64_t hash, weft_term key, struct weft__record *record)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    struct weft__record *old = NULL;
    struct weft__registry *registry;

    weft__epoch_begin(epoch);
    registry = weft__registry_find(name);
    if (registry != NULL) {
        weft__spin_acquire(&registry->meta->lock);
        old = meta_put_locked(registry->meta, hash, key, record);
        weft__spin_release(&registry->meta->lock);
        if (weft__part_is_full(registry->meta, atomic_load_explicit(&registry->meta->table, memory_order_acquire)))
            weft__part_grow(registry->meta);
    }
    weft__epoch_end(epoch);
    weft__records_end(old);
    return registry != NULL;
}

static void check_keepable(const char *call, const char *what, weft_term term)
{
    struct weft__copy_refusal refusal = {WEFT__COPY_NONE, weft_none};

    if (weft_is_none(term) || weft__copy_size(term, &refusal) == WEFT__COPY_REFUSED)
        weft__proc_badarg(call, "the %s cannot be kept: %s", what, weft__copy_words(&refusal));
}

void weft_registry_put_meta(weft_atom registry, weft_term key, weft_term value)
{
    uint64_t hash = weft_hash(key);
    struct weft__record *record;

    check_keepable("weft_registry_put_meta", "key", key);
    check_keepable("weft_registry_put_meta", "value", value);
    record = weft__record_new(hash, key, value, weft_none);
    if (record == NULL)
        weft__proc_system_limit("weft_registry_put_meta", "no memory");
    if (meta_put(registry, hash, key, record))
        return;
    weft__record_free(record);
    weft__registry_unknown("weft_registry_put_meta", registry);
}

void weft_registry_delete_meta(weft_atom registry, weft_term key)
{
    if (!meta_put(registry, weft_hash(key), key, NULL))
        weft__registry_unknown("weft_registry_delete_meta", registry);
}

/* A copy of the value in a block, or *word; false: no memory. In a section. */
static bool meta_copy(const struct weft__part *meta, uint64_t hash, weft_term key, struct weft__block **block,
                      weft_term *value)
{
    struct weft__walk_key walk;
    const struct weft__record *record = weft__walk_key_first(&walk, meta, hash, key);
    struct weft__copy_refusal refusal;

    *block = NULL;
    *value = record != NULL ? record->value : weft_none;
    if (record == NULL || !weft__is_memory(*value))
        return true;
    *block = weft__block_new(weft__copy_size(*value, &refusal));
    if (*block != NULL)
        *value = weft__copy_into(*value, weft__block_data(*block), &(*block)->counted);
    return *block != NULL;
}

weft_term weft_registry_meta(weft_atom name, weft_term key)
{
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter("weft_registry_meta", name, &epoch);
    struct weft__block *block;
    weft_term value;
    bool is_copied = meta_copy(registry->meta, weft_hash(key), key, &block, &value);

    weft__epoch_end(epoch);
    if (!is_copied)
        weft__proc_system_limit("weft_registry_meta", "no memory");
    if (block != NULL)
        weft__region_adopt(weft__region_here(), block);
    return value;
}

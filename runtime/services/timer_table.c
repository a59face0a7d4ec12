#include "services/timer_table.h"

#include <stdlib.h>

#include "base/memory.h"

#define GROUP WEFT__TIMER_GROUP
#define LIST_MAX 8u        /* groups in a table that is a list */
#define FIRST_BUCKETS 64u
#define N_SEGMENTS 32
#define KEEP_BUCKETS 1024u /* an empty table that is larger is given back */

/* Segment 0 has the first 64 buckets, segment k the 64 << (k - 1) after those
 * of all before: what was there stays where it is. */
struct weft__timer_buckets {
    uint32_t n;
    struct weft__timer_group **segments[N_SEGMENTS];
};

static uint64_t key_of(uint64_t ref)
{
    return weft__ref_counter(weft__term(ref)) / GROUP;
}

/* Eight keys in a row go to eight buckets in a row: one cache line. */
static uint64_t hash_of(uint64_t key)
{
    return (key >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 32 << 3 | (key & 7);
}

static struct weft__timer_group **bucket_at(struct weft__timer_buckets *buckets, uint64_t index)
{
    unsigned segment;

    if (index < FIRST_BUCKETS)
        return &buckets->segments[0][index];
    segment = 64u - (unsigned)__builtin_clzll(index / FIRST_BUCKETS);
    return &buckets->segments[segment][index - ((uint64_t)FIRST_BUCKETS << (segment - 1))];
}

/* The largest power of two that is not above n. */
static uint64_t level_of(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n));
}

/* The head of the list in which a group is, if it is. */
static struct weft__timer_group **list_of(struct weft__timer_table *table, uint64_t key)
{
    struct weft__timer_buckets *buckets = table->buckets;
    uint64_t level, index;

    if (buckets == NULL)
        return &table->list;
    level = level_of(buckets->n);
    index = hash_of(key) & (2 * level - 1);
    return bucket_at(buckets, index < buckets->n ? index : index - level);
}

static void list_push(struct weft__timer_group **list, struct weft__timer_group *group)
{
    group->next = *list;
    *list = group;
}

/* One bucket more: the next one in turn is split in two. Without memory for it
 * the lists get longer. */
static void buckets_grow(struct weft__timer_buckets *buckets)
{
    uint64_t n = buckets->n, level = level_of(n);
    struct weft__timer_group **low, **high, *group;

    if (n == level) { /* the first one of a segment */
        unsigned segment = 64u - (unsigned)__builtin_clzll(n / FIRST_BUCKETS);

        if (segment >= N_SEGMENTS)
            return;
        buckets->segments[segment] = calloc(level, sizeof(struct weft__timer_group *));
        if (buckets->segments[segment] == NULL)
            return;
    }
    buckets->n++;
    low = bucket_at(buckets, n - level);
    high = bucket_at(buckets, n);
    __builtin_prefetch(*bucket_at(buckets, buckets->n - level_of(buckets->n))); /* split next */
    group = *low;
    for (*low = NULL; group != NULL;) {
        struct weft__timer_group *next = group->next;

        list_push(hash_of(group->key) & level ? high : low, group);
        group = next;
    }
}

void weft__timer_buckets_free(struct weft__timer_buckets *buckets)
{
    for (int i = 0; buckets != NULL && i < N_SEGMENTS; i++)
        free(buckets->segments[i]);
    free(buckets);
}

/* From a list to buckets; without memory it stays a list. */
static void table_hash(struct weft__timer_table *table)
{
    struct weft__timer_buckets *buckets = calloc(1, sizeof *buckets);
    struct weft__timer_group *group = table->list;

    if (buckets == NULL)
        return;
    buckets->n = FIRST_BUCKETS;
    buckets->segments[0] = calloc(FIRST_BUCKETS, sizeof(struct weft__timer_group *));
    if (buckets->segments[0] == NULL) {
        free(buckets);
        return;
    }
    table->list = NULL;
    table->buckets = buckets;
    while (group != NULL) {
        struct weft__timer_group *next = group->next;

        list_push(list_of(table, group->key), group);
        group = next;
    }
}

/* What points to the group of a reference, or to the NULL where it would be. */
static struct weft__timer_group **table_find(struct weft__timer_table *table, uint64_t ref)
{
    uint64_t key = key_of(ref);
    struct weft__timer_group **at = list_of(table, key);

    while (*at != NULL && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

struct weft__message *weft__timer_table_find(struct weft__timer_table *table, uint64_t ref)
{
    const struct weft__timer_group *group = *table_find(table, ref);

    return group != NULL ? group->timers[weft__timer_index(ref)] : NULL;
}

static struct weft__timer_group *group_add(struct weft__timer_table *table, uint64_t ref)
{
    struct weft__timer_group *group = weft__memory_alloc(sizeof *group);

    if (group == NULL)
        return NULL;
    *group = (struct weft__timer_group){.key = key_of(ref)};
    if (table->highest < group->key)
        table->highest = group->key;
    if (table->buckets == NULL && table->n_groups >= LIST_MAX)
        table_hash(table);
    else if (table->buckets != NULL && table->n_groups >= table->buckets->n)
        buckets_grow(table->buckets);
    table->n_groups++;
    list_push(list_of(table, group->key), group);
    return group;
}

bool weft__timer_table_add(struct weft__timer_table *table, struct weft__message *message)
{
    struct weft__timer_group *group = table->newest;

    /* References count up: a key above all others is not there. */
    if (group == NULL || group->key != key_of(message->ref))
        group = key_of(message->ref) > table->highest ? NULL : *table_find(table, message->ref);
    if (group == NULL)
        group = group_add(table, message->ref);
    if (group == NULL)
        return false;
    group->timers[weft__timer_index(message->ref)] = message;
    weft__timer_tail(message)->group = group;
    table->newest = group;
    table->n_timers++;
    return true;
}

void weft__timer_group_remove(struct weft__timer_table *table, struct weft__timer_group *group)
{
    struct weft__timer_group **at = list_of(table, group->key);

    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    if (table->newest == group)
        table->newest = NULL;
    table->n_groups--;
    weft__memory_free(group, sizeof *group);
}

uint64_t weft__timer_table_n_lists(const struct weft__timer_table *table)
{
    return table->buckets != NULL ? table->buckets->n : 1;
}

int weft__timer_table_take_some(struct weft__timer_table *table, uint64_t i, weft_term dest,
                                struct weft__message *taken[WEFT__TIMER_BATCH])
{
    struct weft__timer_group **at = table->buckets != NULL ? bucket_at(table->buckets, i) : &table->list;
    int n = 0;

    while (*at != NULL && n <= WEFT__TIMER_BATCH - (int)GROUP) {
        struct weft__timer_group *group = *at, *next = group->next;

        /* The group goes with its last one, and is not looked at then. */
        for (unsigned k = 0; k < GROUP && *at == group; k++) {
            struct weft__message *message = group->timers[k];

            if (message == NULL || (!weft_is_none(dest) && message->to != dest.bits))
                continue;
            weft__timer_table_take(table, message);
            taken[n++] = message;
        }
        if (*at != next)
            at = &group->next; /* it is still there */
    }
    return n;
}

struct weft__timer_buckets *weft__timer_table_shrink(struct weft__timer_table *table)
{
    struct weft__timer_buckets *buckets = table->buckets;

    if (table->n_timers > 0 || buckets == NULL || buckets->n <= KEEP_BUCKETS)
        return NULL;
    table->buckets = NULL;
    return buckets;
}

void weft__timer_table_destroy(struct weft__timer_table *table)
{
    weft__timer_buckets_free(table->buckets);
}

#include "otp/topics.h"

#include <stdlib.h>

#include "base/assert.h"
#include "term/copy.h"

#define FIRST_SEATS 2 /* of a topic's first row; the next ones have four times as many each */
#define ROW_SEATS 62  /* up to here */
#define POLL_EACH 128 /* ends put off, from one time to the next that a writer makes those whose time has come */

/* -- all of it ------------------------------------------------------------------------ */

struct weft__topics *weft__topics_new(weft_atom registry)
{
    struct weft__topics *topics = calloc(1, sizeof *topics);

    if (topics == NULL)
        return NULL;
    topics->table = weft__part_new(registry, WEFT_UNIQUE, weft_empty_list);
    if (topics->table == NULL) {
        free(topics);
        return NULL;
    }
    atomic_init(&topics->next_number, 1);
    return topics;
}

void weft__topics_free(struct weft__topics *topics)
{
    if (topics == NULL)
        return;
    weft__part_drop(topics->table);
    free(topics);
}

/* What a writer has taken out goes when no reader can see it. */
static void put_off(struct weft__topics *topics, struct weft__epoch_entry *end,
                    void (*call)(struct weft__epoch_entry *end))
{
    weft__epoch_defer(topics->table->epoch, end, call);
    if (weft__epoch_pending(topics->table->epoch) % POLL_EACH == 0)
        weft__epoch_poll(topics->table->epoch);
}

/* -- a topic's life --------------------------------------------------------------------- */

static void topic_end(struct weft__epoch_entry *end)
{
    struct weft__topic *topic = (struct weft__topic *)(void *)((char *)end - offsetof(struct weft__topic, record.end));

    weft__counted_release(topic->record.block.counted, NULL);
    free(topic);
}

/* NULL: no memory. */
static struct weft__topic *topic_new(struct weft__topics *topics, uint64_t hash, weft_term key)
{
    struct weft__copy_refusal refusal;
    struct weft__topic *topic = calloc(1, sizeof *topic + weft__copy_size(key, &refusal));

    if (topic == NULL)
        return NULL;
    topic->record.hash = hash;
    topic->record.block.tag = weft__record_tag(hash);
    topic->record.key = weft__copy_into(key, (char *)(topic + 1), &topic->record.block.counted);
    weft__part_add_locked(topics->table, &topic->record, NULL);
    if (weft__part_is_full(topics->table, atomic_load_explicit(&topics->table->table, memory_order_relaxed)))
        weft__part_grow_locked(topics->table);
    return topic;
}

/* -- rows -------------------------------------------------------------------------------- */

static void row_end(struct weft__epoch_entry *end)
{
    free(end); /* it comes first */
}

static struct weft__row *row_new(struct weft__topic *topic, uint32_t n_seats)
{
    struct weft__row *row = calloc(1, sizeof *row + n_seats * sizeof row->seats[0]);

    if (row != NULL) {
        row->topic = topic;
        row->n_seats = n_seats;
    }
    return row;
}

/* Put a row, or NULL, in the place of those from first to last, which follow each other;
 * behind all others where there are none: first NULL. */
static void link_row(struct weft__topic *topic, struct weft__row *row, struct weft__row *first,
                     struct weft__row *last)
{
    struct weft__row *before = first != NULL ? first->prev : topic->last;
    /* Relaxed: under the lock. */
    struct weft__row *after = last != NULL ? atomic_load_explicit(&last->next, memory_order_relaxed) : NULL;
    struct weft__row *newest = row != NULL ? row : before, *oldest = row != NULL ? row : after;

    if (row != NULL) {
        row->prev = before;
        atomic_store_explicit(&row->next, after, memory_order_relaxed);
    }
    if (after != NULL)
        after->prev = newest;
    else
        topic->last = newest;
    /* Release (A). */
    atomic_store_explicit(before != NULL ? &before->next : &topic->first, oldest, memory_order_release);
}

static uint32_t used(const struct weft__row *row)
{
    /* Relaxed: under the lock. */
    return atomic_load_explicit(&row->n_used, memory_order_relaxed);
}

static uint64_t pid_at(const struct weft__row *row, uint32_t at)
{
    return atomic_load_explicit(&row->seats[at].pid, memory_order_relaxed);
}

/* The row has a free seat. */
static void seat(struct weft__row *row, struct weft__record *record, uint64_t number)
{
    uint32_t at = used(row);

    row->seats[at].number = number;
    row->seats[at].record = record;
    atomic_store_explicit(&row->seats[at].pid, record->pid.bits, memory_order_relaxed);
    row->n_live++;
    record->row = row;
    record->seat = at;
    atomic_store_explicit(&row->n_used, at + 1, memory_order_release); /* B */
}

/* Whoever sits in a row goes to another, which nobody sees yet. */
static void move_to(struct weft__row *to, const struct weft__row *from)
{
    for (uint32_t i = 0; i < used(from); i++)
        if (pid_at(from, i) != 0)
            seat(to, from->seats[i].record, from->seats[i].number);
}

/* Two rows that follow each other become one, if they would fill half of it at most. */
static bool merge(struct weft__topics *topics, struct weft__row *row, struct weft__row *next)
{
    struct weft__row *both;

    if (row == NULL || next == NULL || row->n_live + next->n_live > ROW_SEATS / 2)
        return false;
    both = row_new(row->topic, ROW_SEATS);
    if (both == NULL)
        return false; /* another time */
    move_to(both, row);
    move_to(both, next);
    link_row(row->topic, both, row, next);
    put_off(topics, &row->end, row_end);
    put_off(topics, &next->end, row_end);
    return true;
}

/* Somebody left it. */
static void thin_out(struct weft__topics *topics, struct weft__row *row)
{
    if (row->n_live == 0) {
        link_row(row->topic, NULL, row, row);
        put_off(topics, &row->end, row_end);
    } else if (row->n_seats == ROW_SEATS && row->n_live <= ROW_SEATS / 4 &&
               !merge(topics, row, atomic_load_explicit(&row->next, memory_order_relaxed))) {
        merge(topics, row->prev, row);
    }
}

/* -- entries ------------------------------------------------------------------------------- */

/* A row of the topic with a free seat, or NULL: no memory. */
static struct weft__row *row_with_room(struct weft__topic *topic)
{
    struct weft__row *last = topic->last, *row;
    uint32_t n_seats;

    if (last != NULL && used(last) < last->n_seats)
        return last;
    n_seats = last != NULL ? last->n_seats * 4 : FIRST_SEATS;
    row = row_new(topic, n_seats < ROW_SEATS ? n_seats : ROW_SEATS);
    if (row != NULL)
        link_row(topic, row, NULL, NULL);
    return row;
}

static void add_n(struct weft__topic *topic, int64_t n)
{
    /* Relaxed: only the lock's holder writes it. */
    atomic_store_explicit(&topic->n, atomic_load_explicit(&topic->n, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Nobody is in it: it costs nothing more. */
static void topic_close(struct weft__topics *topics, struct weft__topic *topic)
{
    weft__part_remove_locked(topics->table, &topic->record);
    put_off(topics, &topic->record.end, topic_end);
}

bool weft__topics_add_locked(struct weft__topics *topics, struct weft__record *record)
{
    /* Not const: the lock is held. */
    struct weft__topic *topic = (struct weft__topic *)weft__topics_find(topics, record->hash, record->key);
    struct weft__row *row;
    uint64_t number = atomic_load_explicit(&topics->next_number, memory_order_relaxed);

    if (topic == NULL)
        topic = topic_new(topics, record->hash, record->key);
    row = topic != NULL ? row_with_room(topic) : NULL;
    if (row == NULL) {
        if (topic != NULL && topic->last == NULL)
            topic_close(topics, topic);
        return false;
    }
    seat(row, record, number);
    add_n(topic, 1);
    atomic_store_explicit(&topics->next_number, number + 1, memory_order_release); /* C */
    return true;
}

void weft__topics_remove_locked(struct weft__topics *topics, struct weft__record *record)
{
    struct weft__row *row = record->row;
    struct weft__topic *topic = row->topic;

    /* Relaxed: who sees the pid sends to it, as if it had looked earlier. */
    atomic_store_explicit(&row->seats[record->seat].pid, 0, memory_order_relaxed);
    record->row = NULL;
    row->n_live--;
    add_n(topic, -1);
    thin_out(topics, row);
    if (topic->last == NULL)
        topic_close(topics, topic);
}

/* -- checks ----------------------------------------------------------------------------------- */

static int64_t check_row(const struct weft__row *row, uint64_t *number)
{
    int64_t n = 0;

    weft__check(row->n_live > 0 && used(row) <= row->n_seats);
    for (uint32_t i = 0; i < used(row); i++) {
        weft__check(row->seats[i].number > *number);
        *number = row->seats[i].number;
        if (pid_at(row, i) == 0)
            continue;
        weft__check(row->seats[i].record->row == row && row->seats[i].record->seat == i);
        n++;
    }
    weft__check(n == row->n_live);
    return n;
}

static void check_topic(const struct weft__topic *topic)
{
    const struct weft__row *row = atomic_load_explicit(&topic->first, memory_order_acquire), *before = NULL;
    uint64_t number = 0;
    int64_t n = 0;

    for (; row != NULL; before = row, row = atomic_load_explicit(&row->next, memory_order_acquire)) {
        weft__check(row->prev == before && row->topic == topic);
        n += check_row(row, &number);
    }
    weft__check(topic->last == before && n > 0);
    weft__check(n == atomic_load_explicit(&topic->n, memory_order_relaxed));
}

void weft__topics_check_locked(const struct weft__topics *topics)
{
    const struct weft__chains *table = atomic_load_explicit(&topics->table->table, memory_order_acquire);
    const struct weft__record *record;

    for (uint64_t i = 0; i <= table->mask; i++)
        for (record = atomic_load_explicit(&table->first[i], memory_order_acquire); record != NULL;
             record = atomic_load_explicit(&record->next[table->side], memory_order_acquire))
            check_topic((const struct weft__topic *)(const void *)record);
}

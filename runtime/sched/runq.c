/* runq.c - rings that owner and thieves use without locks.
 *
 * A ring is an array of 256 slots and two indices that only grow; a slot is
 * the index modulo 256. The owner alone writes slots and tail. head is moved
 * by whoever takes, by compare and exchange, which is what decides who has
 * the fibers:
 *
 *     owner, push                     thief or owner, take n
 *     1. read head: is there room?    1. read head, then tail
 *     2. write the slot at tail       2. read the slots from head on
 *     3. move tail (A)                3. move head by n if it is still what it
 *                                        was (B); else forget what was read
 *
 * What a thief reads in 2 may be overwritten meanwhile, but only after head
 * has moved (push 1), and then its step 3 fails. A head that moved can not
 * look unmoved: indices are 64 bits and never come round. (Go and Tokio keep
 * 32; there a thief that sleeps for 2^32 takes, some 20 seconds at our pace,
 * could be fooled.) A thief copies into slots of its own ring beyond its tail,
 * where nobody looks, and moves its tail when the fibers are its own.
 *
 *   field   written by          read by            pair
 *   tail    owner               thieves            A: release / acquire - a slot and its fiber are written, then offered
 *   head    owner and thieves   owner, thieves     B: release / acquire - a slot is read, then written again;
 *                                                     and a head that is seen comes with a tail not before it
 *   next    owner sets, all     thieves            C: release / acquire - a fiber is written, then offered
 *           take
 *   inbox   anyone              owner              D: release / acquire - likewise
 *
 * Not done: last in, first out for all: a server that two clients keep busy
 * would starve the rest. So it is for fibers that have not begun alone, in a
 * place of their own (nursery.h), and the others have turns between them.
 * Priorities as one heap: no.
 *
 * From: Go runtime/proc.go runqput, runqgrab; Tokio multi_thread/queue.rs.
 */
#include "sched/runq.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/clock.h"
#include "sched/stack.h"

void weft__fibers_append(struct weft__fibers *list, struct weft__fiber *fiber)
{
    fiber->next = NULL;
    if (list->first == NULL)
        list->first = fiber;
    else
        list->last->next = fiber;
    list->last = fiber;
    list->count++;
}

void weft__fibers_join(struct weft__fibers *list, struct weft__fibers *others)
{
    if (others->first == NULL)
        return;
    if (list->first == NULL)
        list->first = others->first;
    else
        list->last->next = others->first;
    list->last = others->last;
    list->count += others->count;
    *others = (struct weft__fibers){ 0 };
}

struct weft__fiber *weft__fibers_take(struct weft__fibers *list)
{
    struct weft__fiber *fiber = list->first;

    if (fiber == NULL)
        return NULL;
    list->first = fiber->next;
    list->count--;
    fiber->next = NULL;
    return fiber;
}

void weft__runq_init(struct weft__runq *q, uint64_t first)
{
    for (int p = 0; p < WEFT__N_PRIORITIES; p++) {
        atomic_init(&q->head[p], first);
        atomic_init(&q->tail[p], first);
        q->sticky[p] = (struct weft__fibers){ 0 };
        for (int i = 0; i < WEFT__RUNQ_SIZE; i++)
            atomic_init(&q->slots[p][i], NULL);
    }
    atomic_init(&q->next, NULL);
    atomic_init(&q->inbox, NULL);
    q->is_alone = false;
    q->has_others = false;
    weft__nursery_init(&q->nursery);
    q->n_next = 0;
    q->n_new = 0;
    q->max_new = WEFT__RUNQ_NEW_RUNS;
    q->new_began = 0;
    q->n_normal = 0;
    q->n_sticky = 0;
    q->n_turns = 0;
}

/* ---- a ring, by its owner ---- */

/* Relaxed: the owner wrote it. */
static inline uint64_t own_tail(const struct weft__runq *q, int p)
{
    return atomic_load_explicit(&q->tail[p], memory_order_relaxed);
}

/* Relaxed: thieves only make it emptier; taking is decided by the exchange. */
static inline bool ring_has(const struct weft__runq *q, int p)
{
    return atomic_load_explicit(&q->head[p], memory_order_relaxed) != own_tail(q, p);
}

static inline uint32_t ring_room(const struct weft__runq *q, int p)
{
    /* B: thieves have read what the owner will write over. */
    uint64_t head = atomic_load_explicit(&q->head[p], memory_order_acquire);

    return (uint32_t)(WEFT__RUNQ_SIZE - (own_tail(q, p) - head));
}

static inline void slot_write(struct weft__runq *q, int p, uint64_t index, struct weft__fiber *fiber)
{
    /* Relaxed: offered by the tail. */
    atomic_store_explicit(&q->slots[p][index % WEFT__RUNQ_SIZE], fiber, memory_order_relaxed);
}

static inline struct weft__fiber *slot_read(const struct weft__runq *q, int p, uint64_t index)
{
    /* Relaxed: came with the tail; the head decides whether it counts. */
    return atomic_load_explicit(&q->slots[p][index % WEFT__RUNQ_SIZE], memory_order_relaxed);
}

static inline bool ring_push(struct weft__runq *q, int p, struct weft__fiber *fiber)
{
    uint64_t tail = own_tail(q, p);

    if (__builtin_expect(ring_room(q, p) == 0, 0))
        return false;
    slot_write(q, p, tail, fiber);
    q->has_others |= p != WEFT__PRIORITY_NORMAL;
    atomic_store_explicit(&q->tail[p], tail + 1, memory_order_release); /* A */
    return true;
}

static inline struct weft__fiber *ring_pop(struct weft__runq *q, int p)
{
    uint64_t tail = own_tail(q, p);
    uint64_t head = atomic_load_explicit(&q->head[p], memory_order_relaxed);
    struct weft__fiber *fiber;

    do {
        if (head == tail)
            return NULL;
        fiber = slot_read(q, p, head);
        /* B. Relaxed on failure: the slots from there on are the owner's own
         * writing. */
    } while (!atomic_compare_exchange_weak_explicit(&q->head[p], &head, head + 1,
                                                    memory_order_release, memory_order_relaxed));
    return fiber;
}

#if !WEFT__STACK_TSAN && !WEFT__STACK_ASAN
static inline const struct weft__fiber *ahead(const struct weft__runq *q, uint64_t head, uint64_t n)
{
    /* Relaxed: as in pop_normal. */
    return atomic_load_explicit(&q->slots[WEFT__PRIORITY_NORMAL][(head + n) % WEFT__RUNQ_SIZE],
                                memory_order_relaxed);
}
#endif

/* What a fiber is part of, then the stack it holds, and then the frames it stopped in, while
 * others run. A thief may have taken it since and run it, so these are guesses; they do no
 * harm, since control blocks and the top pages of stacks stay memory while workers run.
 * Sanitizers would see the reads. */
void weft__runq_warm_far(const struct weft__runq *q, uint64_t head)
{
#if !WEFT__STACK_TSAN && !WEFT__STACK_ASAN
    const struct weft__fiber *next = ahead(q, head, 1), *near = ahead(q, head, 2);
    const struct weft__fiber *far = ahead(q, head, WEFT__RUNQ_FAR);
    /* Volatile: others may write there. */
    const struct weft__stack *stack = *(struct weft__stack *const volatile *)&near->stack;

    if (stack == NULL)
        return; /* where one holds none, others do not: 4 ns for what saves as much */
    __builtin_prefetch(stack, 1);
#pragma GCC unroll 4
    for (int line = 0; line < 4; line++)
        __builtin_prefetch((const char *)far + 64 * line, 1);
    stack = *(struct weft__stack *const volatile *)&next->stack;
    if (stack != NULL) {
        const char *sp = *(char *const volatile *)&stack->context.sp;
#pragma GCC unroll 8
        for (int line = 0; line < 8; line++)
            __builtin_prefetch(sp + 64 * line, 1);
    }
#else
    (void)q, (void)head;
#endif
}

/* ---- sticky fibers ---- */

static void sticky_append(struct weft__runq *q, struct weft__fiber *fiber)
{
    weft__fibers_append(&q->sticky[fiber->priority], fiber);
    q->n_sticky++;
    q->has_others = true;
}

void weft__runq_push_sticky(struct weft__runq *q, struct weft__fiber *fiber)
{
    struct weft__fiber *newest = atomic_load_explicit(&q->inbox, memory_order_relaxed);

    /* D. A fiber that was taken and came back to the same place does no harm:
     * only the whole chain is ever taken. */
    do
        fiber->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&q->inbox, &newest, fiber,
                                                  memory_order_release, memory_order_relaxed));
}

/* Move the inbox, oldest first, to the owner's lists. */
static void inbox_empty(struct weft__runq *q)
{
    struct weft__fiber *newest = atomic_exchange_explicit(&q->inbox, NULL, memory_order_acquire); /* D */
    struct weft__fiber *oldest = NULL;

    while (newest != NULL) {
        struct weft__fiber *older = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    while (oldest != NULL) {
        struct weft__fiber *newer = oldest->next;

        sticky_append(q, oldest);
        oldest = newer;
    }
}

/* One of this priority when sticky ones wait: in turn with the ring. */
static struct weft__fiber *take_in_turn(struct weft__runq *q, int p)
{
    struct weft__fiber *fiber = NULL;

    if (q->sticky[p].first == NULL)
        return ring_pop(q, p);
    if (q->n_turns++ % 2 != 0)
        fiber = ring_pop(q, p);
    if (fiber == NULL) {
        fiber = weft__fibers_take(&q->sticky[p]);
        q->n_sticky--;
    }
    return fiber;
}

static inline struct weft__fiber *take(struct weft__runq *q, int p)
{
    if (__builtin_expect(q->n_sticky != 0, 0))
        return take_in_turn(q, p);
    return ring_pop(q, p);
}

static inline bool has(const struct weft__runq *q, int p)
{
    return ring_has(q, p) || q->sticky[p].first != NULL;
}

/* ---- the owner's calls ---- */

bool weft__runq_push(struct weft__runq *q, struct weft__fiber *fiber)
{
    weft__assert(fiber->priority < WEFT__N_PRIORITIES);
    if (__builtin_expect(fiber->is_sticky, 0)) {
        sticky_append(q, fiber);
        return true;
    }
    return ring_push(q, fiber->priority, fiber);
}

struct weft__fiber *weft__runq_push_next(struct weft__runq *q, struct weft__fiber *fiber)
{
    struct weft__fiber *before;

    if (__builtin_expect(fiber->is_sticky || fiber->priority != WEFT__PRIORITY_NORMAL, 0))
        return weft__runq_push(q, fiber) ? NULL : fiber;
    /* Relaxed: only the owner fills it, so when it is seen empty it stays
     * empty, and a store does for an exchange. */
    if (atomic_load_explicit(&q->next, memory_order_relaxed) == NULL) {
        atomic_store_explicit(&q->next, fiber, memory_order_release); /* C */
        return NULL;
    }
    /* C. A thief may be quicker: then there is none that was next before. */
    before = atomic_exchange_explicit(&q->next, fiber, memory_order_release);
    if (before == NULL || ring_push(q, WEFT__PRIORITY_NORMAL, before))
        return NULL;
    return before;
}

uint32_t weft__runq_shed(struct weft__runq *q, enum weft__priority priority,
                         struct weft__fibers *list)
{
    uint64_t tail = own_tail(q, (int)priority);
    uint64_t head = atomic_load_explicit(&q->head[priority], memory_order_relaxed);
    uint32_t n = (uint32_t)(tail - head) / 2;

    /* B. The slots may be read after: nobody but the owner writes them. */
    if (n == 0
        || !atomic_compare_exchange_strong_explicit(&q->head[priority], &head, head + n,
                                                    memory_order_release, memory_order_relaxed))
        return 0;
    for (uint32_t i = 0; i < n; i++)
        weft__fibers_append(list, slot_read(q, (int)priority, head + i));
    return n;
}

/* The ring was full: this one and half of the ring go to the overflow queue,
 * in the order they would have run. How many; 0: there was room after all. */
static __attribute__((noinline)) uint32_t put_overflow(struct weft__runq *q, struct weft__fiber *fiber,
                                                       struct weft__overflow *overflow)
{
    struct weft__fibers list = { 0 };
    uint32_t n;

    while (weft__runq_shed(q, fiber->priority, &list) == 0)
        if (ring_push(q, fiber->priority, fiber))
            return 0;
    weft__fibers_append(&list, fiber);
    n = list.count;
    weft__overflow_push(overflow, fiber->priority, &list);
    return n;
}

uint32_t weft__runq_put(struct weft__runq *q, struct weft__fiber *fiber,
                        struct weft__overflow *overflow)
{
    if (__builtin_expect(weft__runq_push(q, fiber), 1))
        return 0;
    return put_overflow(q, fiber, overflow);
}

uint32_t weft__runq_put_next(struct weft__runq *q, struct weft__fiber *fiber,
                             struct weft__overflow *overflow)
{
    struct weft__fiber *homeless = weft__runq_push_next(q, fiber);

    if (__builtin_expect(homeless == NULL, 1))
        return 0;
    return put_overflow(q, homeless, overflow);
}

uint32_t weft__runq_put_new(struct weft__runq *q, struct weft__fiber *fiber,
                            struct weft__overflow *overflow)
{
    struct weft__fiber *oldest[WEFT__NURSERY_SIZE / 2];
    struct weft__fibers list = { 0 };
    uint32_t n;

    if (__builtin_expect(fiber->is_sticky || fiber->priority != WEFT__PRIORITY_NORMAL, 0))
        return weft__runq_put(q, fiber, overflow);
    if (__builtin_expect(weft__nursery_push(&q->nursery, fiber), 1))
        return 0;
    n = weft__nursery_shed(&q->nursery, oldest);
    for (uint32_t i = 0; i < n; i++)
        weft__fibers_append(&list, oldest[i]);
    if (n > 0)
        weft__overflow_push(overflow, WEFT__PRIORITY_NORMAL, &list);
    /* Only this thread fills it, so there is room now. */
    (void)weft__nursery_push(&q->nursery, fiber);
    return n;
}

/* One that has begun: next, or a fiber that has waited behind it for long enough. */
static inline struct weft__fiber *pop_begun(struct weft__runq *q)
{
    struct weft__fiber *next, *other;

    if (atomic_load_explicit(&q->next, memory_order_relaxed) == NULL) {
        q->n_next = 0;
        return take(q, WEFT__PRIORITY_NORMAL);
    }
    if (q->n_next >= WEFT__RUNQ_NEXT_RUNS) {
        q->n_next = 0;
        other = take(q, WEFT__PRIORITY_NORMAL);
        next = weft__runq_take_next(q);
        if (other == NULL)
            return next;
        if (next != NULL && !ring_push(q, WEFT__PRIORITY_NORMAL, next))
            atomic_store_explicit(&q->next, next, memory_order_release); /* C */
        return other;
    }
    next = weft__runq_take_next(q);
    if (next == NULL)
        return take(q, WEFT__PRIORITY_NORMAL);
    q->n_next++;
    return next;
}

/* How many wait that have begun. */
static inline uint32_t n_begun(const struct weft__runq *q)
{
    /* Relaxed, as in ring_has: thieves only make it fewer. */
    uint64_t head = atomic_load_explicit(&q->head[WEFT__PRIORITY_NORMAL], memory_order_relaxed);

    return (uint32_t)(own_tail(q, WEFT__PRIORITY_NORMAL) - head) + q->sticky[WEFT__PRIORITY_NORMAL].count +
           (atomic_load_explicit(&q->next, memory_order_relaxed) != NULL);
}

/* New ones first, but the more of the others wait, the sooner comes their turn.
 * Were it at fixed times, parents whose children have ended would pile up, each
 * with its stack, while their siblings begin.
 *
 * That many in a row is for those that are over in no time. Where they take
 * long (each sends 20,000 messages to one that waits here), it is one. How long
 * the last ones took tells. */
struct weft__fiber *weft__runq_pop_new(struct weft__runq *q)
{
    struct weft__fiber *fiber;

    if (q->n_new * n_begun(q) < q->max_new) {
        if (q->n_new++ == 0)
            q->new_began = weft__clock_ticks();
        fiber = weft__nursery_pop(&q->nursery);
        if (fiber != NULL)
            return fiber;
    }
    /* The others' turn: next's and the ring's in turn. */
    if (q->n_new > 0)
        q->max_new = (weft__clock_ticks() - q->new_began) / q->n_new < WEFT__RUNQ_SHORT
                         ? WEFT__RUNQ_NEW_RUNS : 1;
    q->n_new = 0;
    q->n_next += WEFT__RUNQ_NEXT_RUNS / 2;
    fiber = pop_begun(q);
    return fiber != NULL ? fiber : weft__nursery_pop(&q->nursery);
}

static inline struct weft__fiber *pop_normal(struct weft__runq *q)
{
    if (weft__nursery_size(&q->nursery) > 0)
        return weft__runq_pop_new(q);
    q->n_new = 0;
    return pop_begun(q);
}

/* The whole order; pop has the short way for when all are normal. */
struct weft__fiber *weft__runq_pop_slow(struct weft__runq *q)
{
    struct weft__fiber *fiber;

    /* Relaxed: a hint, emptied by an exchange that acquires. */
    if (__builtin_expect(atomic_load_explicit(&q->inbox, memory_order_relaxed) != NULL, 0))
        inbox_empty(q);
    if (__builtin_expect(has(q, WEFT__PRIORITY_HIGH), 0)) {
        fiber = take(q, WEFT__PRIORITY_HIGH);
        if (fiber != NULL)
            return fiber;
    }
    if (__builtin_expect(q->n_normal >= WEFT__RUNQ_LOW_SHARE - 1 && has(q, WEFT__PRIORITY_LOW), 0)) {
        fiber = take(q, WEFT__PRIORITY_LOW);
        if (fiber != NULL) {
            q->n_normal = 0;
            return fiber;
        }
    }
    q->has_others = q->n_sticky != 0 || has(q, WEFT__PRIORITY_LOW);
    fiber = pop_normal(q);
    if (fiber != NULL) {
        q->n_normal++;
        return fiber;
    }
    q->n_normal = 0;
    return take(q, WEFT__PRIORITY_LOW);
}

/* ---- thieves ---- */

static struct weft__fiber *ring_steal(struct weft__runq *victim, struct weft__runq *thief, int p,
                                      uint32_t max)
{
    uint64_t to = own_tail(thief, p);
    uint32_t room = ring_room(thief, p);
    struct weft__fiber *oldest;
    uint64_t head, n;

    do {
        /* B: the tail read next is not before this head. A: the slots below
         * the tail, and their fibers, are seen written. */
        head = atomic_load_explicit(&victim->head[p], memory_order_acquire);
        n = atomic_load_explicit(&victim->tail[p], memory_order_acquire) - head;
        if (n == 0)
            return NULL;
        if (n > WEFT__RUNQ_SIZE)
            continue; /* head moved on before tail was read: the exchange would fail */
        n -= n / 2;
        if (n > room + 1)
            n = room + 1;
        if (n > max)
            n = max;
        oldest = slot_read(victim, p, head);
        for (uint64_t i = 1; i < n; i++)
            slot_write(thief, p, to + i - 1, slot_read(victim, p, head + i));
        /* B. Relaxed on failure: all is read again. */
    } while (n > WEFT__RUNQ_SIZE
             || !atomic_compare_exchange_weak_explicit(&victim->head[p], &head, head + n,
                                                       memory_order_release, memory_order_relaxed));
    thief->has_others |= p != WEFT__PRIORITY_NORMAL;
    if (n > 1)
        atomic_store_explicit(&thief->tail[p], to + n - 1, memory_order_release); /* A */
    return oldest;
}

struct weft__fiber *weft__runq_steal(struct weft__runq *victim, struct weft__runq *thief,
                                     uint32_t max, bool is_last_pass)
{
    for (int p = 0; p < WEFT__N_PRIORITIES; p++) {
        struct weft__fiber *fiber = NULL;

        /* New ones before the others: nothing of theirs is in the victim's
         * cache but what they were given. */
        if (p == WEFT__PRIORITY_NORMAL)
            fiber = weft__nursery_steal(&victim->nursery, &thief->nursery, max);
        if (fiber == NULL)
            fiber = ring_steal(victim, thief, p, max);

        if (fiber != NULL)
            return fiber;
    }
    /* Relaxed: saves the exchange, and the line, when there is nothing. */
    if (!is_last_pass || atomic_load_explicit(&victim->next, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(&victim->next, NULL, memory_order_acquire); /* C */
}

/* Never too few: an index read later is not smaller. At worst head is old, and
 * what was taken since is counted too. */
static uint64_t ring_size(const struct weft__runq *q, int p)
{
    uint64_t head = atomic_load_explicit(&q->head[p], memory_order_acquire);
    uint64_t n = atomic_load_explicit(&q->tail[p], memory_order_acquire) - head;

    return n < WEFT__RUNQ_SIZE ? n : WEFT__RUNQ_SIZE;
}

bool weft__runq_is_empty(const struct weft__runq *q)
{
    /* next before the rings, in this order (acquire): the owner puts a new
     * fiber in next before it moves the old one to its ring, so a fiber that
     * moves is not missed in both. */
    if (atomic_load_explicit(&q->next, memory_order_acquire) != NULL)
        return false;
    for (int p = 0; p < WEFT__N_PRIORITIES; p++)
        if (ring_size(q, p) > 0)
            return false;
    return weft__nursery_size(&q->nursery) == 0;
}

bool weft__runq_has_sticky(const struct weft__runq *q)
{
    return q->n_sticky != 0 || atomic_load_explicit(&q->inbox, memory_order_relaxed) != NULL;
}

uint32_t weft__runq_size(const struct weft__runq *q)
{
    uint64_t n = (atomic_load_explicit(&q->next, memory_order_relaxed) != NULL) +
                 weft__nursery_size(&q->nursery);

    for (int p = 0; p < WEFT__N_PRIORITIES; p++)
        n += ring_size(q, p);
    return (uint32_t)n;
}

static void fibers_check(const struct weft__fibers *list, int p)
{
    const struct weft__fiber *last = NULL;
    uint32_t n = 0;

    for (const struct weft__fiber *fiber = list->first; fiber != NULL; fiber = fiber->next) {
        weft__check(fiber->priority == p);
        last = fiber;
        n++;
    }
    weft__check(n == list->count);
    weft__check(n == 0 || last == list->last);
}

void weft__runq_check(const struct weft__runq *q)
{
    const struct weft__fiber *next = atomic_load_explicit(&q->next, memory_order_relaxed);
    uint32_t n_sticky = 0;

    weft__check(next == NULL || (next->priority == WEFT__PRIORITY_NORMAL && !next->is_sticky));
    for (int p = 0; p < WEFT__N_PRIORITIES; p++) {
        uint64_t head = atomic_load_explicit(&q->head[p], memory_order_relaxed);

        weft__check(own_tail(q, p) - head <= WEFT__RUNQ_SIZE);
        for (; head != own_tail(q, p); head++)
            weft__check(slot_read(q, p, head)->priority == p && !slot_read(q, p, head)->is_sticky);
        fibers_check(&q->sticky[p], p);
        n_sticky += q->sticky[p].count;
    }
    weft__check(n_sticky == q->n_sticky);
    if (!q->has_others)
        weft__check(!has(q, WEFT__PRIORITY_HIGH) && !has(q, WEFT__PRIORITY_LOW) && n_sticky == 0);
}

/* ---- a node's queue ---- */

void weft__overflow_init(struct weft__overflow *overflow)
{
    weft__spin_init(&overflow->lock, WEFT__RANK_OVERFLOW);
    for (int p = 0; p < WEFT__N_PRIORITIES; p++) {
        atomic_init(&overflow->count[p], 0);
        overflow->lists[p] = (struct weft__fibers){ 0 };
    }
}

/* Relaxed: a hint; the lock orders the lists, and who must not miss a fiber
 * has fences of its own. */
static void publish_count(struct weft__overflow *overflow, int p)
{
    atomic_store_explicit(&overflow->count[p], overflow->lists[p].count, memory_order_relaxed);
}

void weft__overflow_push(struct weft__overflow *overflow, enum weft__priority priority,
                         struct weft__fibers *list)
{
    weft__spin_acquire(&overflow->lock);
    weft__fibers_join(&overflow->lists[priority], list);
    publish_count(overflow, (int)priority);
    weft__spin_release(&overflow->lock);
}

void weft__overflow_push_one(struct weft__overflow *overflow, struct weft__fiber *fiber)
{
    struct weft__fibers list = { 0 };

    weft__assert(!fiber->is_sticky);
    weft__fibers_append(&list, fiber);
    weft__overflow_push(overflow, fiber->priority, &list);
}

uint32_t weft__overflow_take(struct weft__overflow *overflow, enum weft__priority priority,
                             uint32_t max, struct weft__fibers *list)
{
    struct weft__fibers *from = &overflow->lists[priority];
    uint32_t n = 0;

    if (max == 0 || atomic_load_explicit(&overflow->count[priority], memory_order_relaxed) == 0)
        return 0;
    weft__spin_acquire(&overflow->lock);
    for (; n < max && from->first != NULL; n++)
        weft__fibers_append(list, weft__fibers_take(from));
    publish_count(overflow, (int)priority);
    weft__spin_release(&overflow->lock);
    return n;
}

uint32_t weft__overflow_size(const struct weft__overflow *overflow)
{
    uint32_t n = 0;

    for (int p = 0; p < WEFT__N_PRIORITIES; p++)
        n += atomic_load_explicit(&overflow->count[p], memory_order_relaxed);
    return n;
}

/* Would pop give something more urgent than this priority? */
static bool has_more_urgent(const struct weft__runq *q, int p)
{
    for (int other = 0; other < p; other++)
        if (has(q, other))
            return true;
    return p > WEFT__PRIORITY_NORMAL
           && (atomic_load_explicit(&q->next, memory_order_relaxed) != NULL
               || weft__nursery_size(&q->nursery) > 0);
}

struct weft__fiber *weft__runq_refill(struct weft__runq *q, struct weft__overflow *overflow,
                                      uint32_t max)
{
    struct weft__fiber *run = NULL;

    for (int p = 0; p < WEFT__N_PRIORITIES && max > 0; p++) {
        bool is_run_from = run == NULL && !has_more_urgent(q, p);
        uint32_t room = ring_room(q, p) + is_run_from;
        struct weft__fibers list = { 0 };

        max -= weft__overflow_take(overflow, (enum weft__priority)p, max < room ? max : room, &list);
        if (is_run_from)
            run = weft__fibers_take(&list);
        while (list.first != NULL)
            (void)ring_push(q, p, weft__fibers_take(&list));
    }
    return run;
}

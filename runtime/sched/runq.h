/* runq.h - what a worker has to run next, and how others take from it.
 *
 * The nouns:
 *   ring       256 fibers of one priority, first in first out; the owner puts
 *              in at the tail, the owner and thieves take at the head
 *   next       one fiber that runs before the ring: the process just woken,
 *              whose message is still warm; thieves take it only at last
 *   nursery    fibers that have not begun: the newest first for the owner, the
 *              oldest first for thieves (nursery.h)
 *   sticky     fibers that must not leave the owner's kernel thread: a list
 *              of the owner's, and an inbox where other threads put them
 *   overflow   a node's queue, for what finds a ring full and for what foreign
 *              threads wake
 *
 * Order of pop: high strictly first; then normal, with one low in eight while
 * both wait; low when there is nothing else. Among normal ones: new fibers
 * first, but one of n others that wait has a turn after WEFT__RUNQ_NEW_RUNS / n
 * of them in a row, or after each when they take long; next before the ring, but after WEFT__RUNQ_NEXT_RUNS in a
 * row it goes behind it (while new fibers wait, at every other of those turns).
 *
 * Invariant: a fiber that was pushed is popped, stolen or shed exactly once.
 * Threads:   "owner" is the thread that carries the worker; a hand-over of the
 *            worker to another thread is itself a release and an acquire.
 */
#ifndef WEFT_SCHED_RUNQ_H
#define WEFT_SCHED_RUNQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/spin.h"
#include "sched/fiber.h"
#include "sched/nursery.h"

#define WEFT__RUNQ_SIZE 256    /* fibers in a ring, a power of two */
#define WEFT__RUNQ_NEXT_RUNS 8 /* runs in a row from next while others wait */
#define WEFT__RUNQ_NEW_RUNS 16 /* runs in a row from the nursery while one other waits, if they are short */
#define WEFT__RUNQ_SHORT 3000  /* weft__clock_ticks: about a microsecond */
#define WEFT__RUNQ_LOW_SHARE 8 /* one in this many is low while normal waits */

/* Fibers joined by ->next, oldest first. Empty: first NULL and count 0. */
struct weft__fibers {
    struct weft__fiber *first;
    struct weft__fiber *last; /* last->next is NULL */
    uint32_t count;
};

struct weft__runq {
    /* Written by anyone. */
    _Alignas(64) _Atomic uint64_t head[WEFT__N_PRIORITIES]; /* oldest taken by none */
    _Atomic(struct weft__fiber *) next;  /* of normal priority, or NULL */
    _Atomic(struct weft__fiber *) inbox; /* sticky, newest first */
    /* Written by the owner, read by thieves. */
    _Alignas(64) _Atomic uint64_t tail[WEFT__N_PRIORITIES]; /* where the next goes */
    /* Owner only. */
    bool is_alone;      /* there are no thieves: set once, after init */
    bool has_others;    /* sticky, high or low ones may be in here; if not, pop need not look */
    uint32_t n_next;    /* runs in a row that came from next */
    uint32_t n_new;     /* runs in a row that came from the nursery */
    uint32_t max_new;   /* before the others' turn: 1 or WEFT__RUNQ_NEW_RUNS */
    uint64_t new_began; /* weft__clock_ticks at the first of them */
    uint32_t n_normal;  /* normal fibers popped since a low one */
    uint32_t n_sticky;  /* fibers in sticky, all priorities */
    uint32_t n_turns;   /* pops that had a sticky fiber to choose */
    struct weft__fibers sticky[WEFT__N_PRIORITIES];
    /* Slots between head and tail are thieves' to read; written by the owner. */
    _Alignas(64) _Atomic(struct weft__fiber *) slots[WEFT__N_PRIORITIES][WEFT__RUNQ_SIZE];
    struct weft__nursery nursery; /* of normal priority */
};

/* A node's queue. Push and take from anywhere. */
struct weft__overflow {
    struct weft__spin lock; /* guards lists */
    /* Written under the lock, read by anyone as a hint. */
    _Atomic uint32_t count[WEFT__N_PRIORITIES];
    struct weft__fibers lists[WEFT__N_PRIORITIES];
};

/* Append one fiber to a list, or the whole of another (which is emptied). */
void weft__fibers_append(struct weft__fibers *list, struct weft__fiber *fiber);
void weft__fibers_join(struct weft__fibers *list, struct weft__fibers *others);
/* The oldest, or NULL. */
struct weft__fiber *weft__fibers_take(struct weft__fibers *list);

/* Indices begin at first: 0, or in tests a little below where they wrap. */
void weft__runq_init(struct weft__runq *q, uint64_t first);

/* Owner. Put a fiber last of its priority (a sticky one: in the owner's list).
 * false: that ring is full, nothing happened; see shed and put. */
bool weft__runq_push(struct weft__runq *q, struct weft__fiber *fiber);

/* Owner. Run this one next; who was next before goes last in the ring. Only
 * normal, unsticky fibers go to next, others are pushed. Returns the fiber
 * that found the ring full, or NULL. */
struct weft__fiber *weft__runq_push_next(struct weft__runq *q, struct weft__fiber *fiber);

/* Owner. The same, but what finds no room goes to the overflow queue together
 * with half of the ring. Returns how many went there: above 0, others may want
 * to be woken. */
uint32_t weft__runq_put(struct weft__runq *q, struct weft__fiber *fiber,
                        struct weft__overflow *overflow);
uint32_t weft__runq_put_next(struct weft__runq *q, struct weft__fiber *fiber,
                             struct weft__overflow *overflow);

/* Owner. Put a fiber that has not begun into the nursery, half of which goes to
 * the overflow queue first when it is full. Returns how many went there. Only
 * normal, unsticky fibers go to the nursery, others as by put. */
uint32_t weft__runq_put_new(struct weft__runq *q, struct weft__fiber *fiber,
                            struct weft__overflow *overflow);

/* Anyone. Put a sticky fiber where the owner alone will find it; the caller
 * then sees to it that the owner wakes. */
void weft__runq_push_sticky(struct weft__runq *q, struct weft__fiber *fiber);

#define WEFT__RUNQ_FAR 6 /* turns ahead that are brought near */

/* Owner. Bring near those whose turn comes, where so many wait that they are not in the
 * cache. (Out of line: whoever has few to run has none of it in the way.) */
void weft__runq_warm_far(const struct weft__runq *q, uint64_t head);
static inline void weft__runq_warm(const struct weft__runq *q, uint64_t head, uint64_t tail)
{
    if (__builtin_expect(tail - head > WEFT__RUNQ_FAR, 0))
        weft__runq_warm_far(q, head);
}

/* Owner. Take the oldest of the ring of normal priority, or NULL. */
static inline struct weft__fiber *weft__runq_pop_normal(struct weft__runq *q)
{
    /* Relaxed: the owner wrote tail and the slots; the exchange decides. */
    uint64_t tail = atomic_load_explicit(&q->tail[WEFT__PRIORITY_NORMAL], memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&q->head[WEFT__PRIORITY_NORMAL], memory_order_relaxed);
    struct weft__fiber *fiber;

    do {
        if (head == tail)
            return NULL;
        fiber = atomic_load_explicit(&q->slots[WEFT__PRIORITY_NORMAL][head % WEFT__RUNQ_SIZE],
                                     memory_order_relaxed);
        if (q->is_alone) { /* nobody else takes: no exchange, which is 2 ns */
            atomic_store_explicit(&q->head[WEFT__PRIORITY_NORMAL], head + 1, memory_order_relaxed);
            weft__runq_warm(q, head, tail);
            return fiber;
        }
        /* B (runq.c). Relaxed on failure. */
    } while (!atomic_compare_exchange_weak_explicit(&q->head[WEFT__PRIORITY_NORMAL], &head, head + 1,
                                                    memory_order_release, memory_order_relaxed));
    weft__runq_warm(q, head, tail);
    return fiber;
}

/* Owner. Empty next: what was in it, or NULL. */
static inline struct weft__fiber *weft__runq_take_next(struct weft__runq *q)
{
    struct weft__fiber *next;

    /* Relaxed in both: the owner put it there itself, or finds nothing. */
    if (!q->is_alone)
        return atomic_exchange_explicit(&q->next, NULL, memory_order_relaxed);
    next = atomic_load_explicit(&q->next, memory_order_relaxed);
    atomic_store_explicit(&q->next, NULL, memory_order_relaxed);
    return next;
}

/* Owner. The same when it is that one that is in it. false: it is not any more. */
static inline bool weft__runq_take_next_back(struct weft__runq *q, struct weft__fiber *fiber)
{
    if (q->is_alone) {
        atomic_store_explicit(&q->next, NULL, memory_order_relaxed);
        return true;
    }
    /* Acquire: a thief may have had it in between, and put it back. Relaxed on failure. */
    return atomic_compare_exchange_strong_explicit(&q->next, &fiber, NULL, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Owner. A fiber runs now as if it came from next: may there be another such run after
 * it? Not while others wait, after so many in a row, as in pop. */
static inline bool weft__runq_count_next(struct weft__runq *q)
{
    /* Relaxed: the owner wrote tail; head only says that fewer wait. */
    if (atomic_load_explicit(&q->tail[WEFT__PRIORITY_NORMAL], memory_order_relaxed) ==
            atomic_load_explicit(&q->head[WEFT__PRIORITY_NORMAL], memory_order_relaxed) ||
        ++q->n_next < WEFT__RUNQ_NEXT_RUNS)
        return true;
    q->n_next = 0;
    return false;
}

struct weft__fiber *weft__runq_pop_slow(struct weft__runq *q);
/* The same where new fibers wait, and others that are all normal. */
struct weft__fiber *weft__runq_pop_new(struct weft__runq *q);

/* Owner. What to run now, or NULL. Inline wherever it stands: it is most of a
 * switch. */
__attribute__((always_inline))
static inline struct weft__fiber *weft__runq_pop(struct weft__runq *q)
{
    struct weft__fiber *next;

    /* Relaxed: hints, as in pop_slow. */
    if (__builtin_expect(q->has_others ||
                         atomic_load_explicit(&q->inbox, memory_order_relaxed) != NULL, 0))
        return weft__runq_pop_slow(q);
    if (weft__nursery_size(&q->nursery) > 0)
        return weft__runq_pop_new(q);
    q->n_new = 0;
    if (atomic_load_explicit(&q->next, memory_order_relaxed) == NULL) {
        q->n_next = 0;
        return weft__runq_pop_normal(q);
    }
    if (q->n_next >= WEFT__RUNQ_NEXT_RUNS)
        return weft__runq_pop_slow(q);
    next = weft__runq_take_next(q);
    if (__builtin_expect(next == NULL, 0))
        return weft__runq_pop_normal(q);
    q->n_next++;
    return next;
}

/* Owner. weft__runq_push of a normal fiber that is not sticky, where there is
 * room. false: nothing happened. */
static inline bool weft__runq_push_quick(struct weft__runq *q, struct weft__fiber *fiber)
{
    uint64_t tail = atomic_load_explicit(&q->tail[WEFT__PRIORITY_NORMAL], memory_order_relaxed);

    /* Acquire, with B (runq.c): thieves have read what is written over. */
    if (__builtin_expect(fiber->is_sticky || fiber->priority != WEFT__PRIORITY_NORMAL ||
                         tail - atomic_load_explicit(&q->head[WEFT__PRIORITY_NORMAL],
                                                     memory_order_acquire) >= WEFT__RUNQ_SIZE, 0))
        return false;
    atomic_store_explicit(&q->slots[WEFT__PRIORITY_NORMAL][tail % WEFT__RUNQ_SIZE], fiber,
                          memory_order_relaxed);
    atomic_store_explicit(&q->tail[WEFT__PRIORITY_NORMAL], tail + 1, memory_order_release); /* A */
    return true;
}

/* Owner of thief. Take half of a ring or of the nursery of victim's, at most max
 * fibers: one is returned, the others are then in the same place of thief's.
 * The victim's next is taken only on the last pass and when all else is empty.
 * NULL: nothing, or others were quicker each time. */
struct weft__fiber *weft__runq_steal(struct weft__runq *victim, struct weft__runq *thief,
                                     uint32_t max, bool is_last_pass);

/* Owner. Take the older half of a ring out and append it to list. Returns how
 * many: 0 when thieves got there first, so there is room now. */
uint32_t weft__runq_shed(struct weft__runq *q, enum weft__priority priority,
                         struct weft__fibers *list);

/* Anyone. Nothing here that a thief could take. Loads without order of their
 * own: the idle protocol needs a seq_cst fence on each side,
 *     pusher:  push;           fence; look for sleepers
 *     sleeper: say "asleep";   fence; look here
 * so that one of the two sees the other. Without, it is a hint. */
bool weft__runq_is_empty(const struct weft__runq *q);

/* The same without next: what a thief may take at any time. */
static inline bool weft__runq_rings_have_work(const struct weft__runq *q)
{
    for (int p = 0; p < WEFT__N_PRIORITIES; p++)
        /* Relaxed: the callers' fences order it. */
        if (atomic_load_explicit(&q->head[p], memory_order_relaxed) !=
            atomic_load_explicit(&q->tail[p], memory_order_relaxed))
            return true;
    /* Seq_cst: S4 (idle.c), as a push into the nursery has no fence but is one. */
    return weft__nursery_count(atomic_load_explicit(&q->nursery.word, memory_order_seq_cst)) > 0;
}

/* Owner. A sticky fiber waits, which is_empty does not count. The same fences
 * as above make the inbox part sure. */
bool weft__runq_has_sticky(const struct weft__runq *q);

/* Anyone. How many wait in the rings, the nursery and next; a hint. */
uint32_t weft__runq_size(const struct weft__runq *q);

/* Owner, no thieves about: assert every invariant. */
void weft__runq_check(const struct weft__runq *q);

void weft__overflow_init(struct weft__overflow *overflow);

/* Append a list (emptied thereby) whose fibers are all of this priority. */
void weft__overflow_push(struct weft__overflow *overflow, enum weft__priority priority,
                         struct weft__fibers *list);
void weft__overflow_push_one(struct weft__overflow *overflow, struct weft__fiber *fiber);

/* Move up to max of the oldest of this priority to the end of list; how many. */
uint32_t weft__overflow_take(struct weft__overflow *overflow, enum weft__priority priority,
                             uint32_t max, struct weft__fibers *list);

/* How many wait, all priorities: relaxed loads, no lock; fences as is_empty. */
uint32_t weft__overflow_size(const struct weft__overflow *overflow);

/* Owner. Take up to max of the overflow queue, most urgent priority first, as
 * far as there is room: one is returned to run now unless something in q is
 * more urgent, the others are then in q. NULL: pop. */
struct weft__fiber *weft__runq_refill(struct weft__runq *q, struct weft__overflow *overflow,
                                      uint32_t max);

#endif

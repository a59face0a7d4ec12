/* wheel.h - a worker's timers: set and cancel in constant time.
 *
 * Time is cut into ticks of 2^16 ns. Level k has 256 slots of 256^k ticks each;
 * a timer lies in the level of the highest 8-bit group in which its tick
 * differs from the wheel's, and moves down as the wheel gets there. The tick
 * the wheel is at is a list of its own, sorted, so timers fire in order of
 * their expiry in ns, and those of one expiry in order of creation.
 *
 * Reading the clock costs more than all else here, so add() does not: a timer
 * set for a delay is fresh until the owner's next turn, which brings a clock
 * reading from after and starts the delay there. It may be late by that
 * little, never early.
 *
 *     idle  -> fresh  add; add_at while others are fresh
 *     idle  -> set    add_at
 *     fresh -> set    turn
 *     set   -> idle   turn and help (then fire is called), cancel
 *     fresh -> idle   cancel
 *
 * Invariant: when cancel has said >= 0, fire is not and will not be called;
 *            when it has said -1, fire has returned.
 * Threads:   add and turn by the owner alone (its clock reading must come
 *            after its adds); add_at, cancel, left and help by anyone. Calls
 *            that set one timer are not concurrent with others on that timer.
 * Lock:      one per wheel, held while fire is called.
 */
#ifndef WEFT_SCHED_WHEEL_H
#define WEFT_SCHED_WHEEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/spin.h"

#define WEFT__WHEEL_TICK_SHIFT 16 /* a tick is 65.5 us */
#define WEFT__WHEEL_BITS 8        /* level 0 spans 17 ms, level 1 4.3 s */
#define WEFT__WHEEL_LEVELS 6      /* 16 + 6 * 8 bits: every time there is */
#define WEFT__WHEEL_SLOTS (WEFT__WHEEL_LEVELS << WEFT__WHEEL_BITS)

struct weft__wheel;

/* A ring of timers through their first member; empty: it points to itself. */
struct weft__timer_list {
    struct weft__timer_list *next;
    struct weft__timer_list *prev;
};

struct weft__timer;

/* What happens with timers of a kind. Both are called under the wheel's lock. */
struct weft__timer_kind {
    /* The timer is due: may wake processes and free the timer, must not call
     * the wheel. */
    void (*fire)(struct weft__timer *timer);
    /* It fires when some others have: bring what fire will touch into the
     * cache, and change nothing. May be NULL. */
    void (*warm)(const struct weft__timer *timer);
};

/* Lives in the caller's memory, often on a parked stack; not to be moved or
 * freed while fresh or set. */
struct weft__timer {
    /* Under the wheel's lock. */
    struct weft__timer_list link;
    int64_t when_ns;           /* expiry; while fresh with a delay: the delay */
    struct weft__wheel *wheel; /* where it was set last, or NULL */
    uint32_t state;            /* enum in wheel.c; 0 is idle */
    /* Set by init. */
    const struct weft__timer_kind *kind;
};

struct weft__wheel {
    /* Written under the lock, read by anyone. */
    _Atomic int64_t wake_ns; /* due_ns, or 0 while there are fresh timers */
    _Atomic int64_t due_ns;  /* nothing that is set is due before */
    /* All below under the lock. */
    struct weft__spin lock;
    uint32_t is_unsorted;             /* current wants sorting */
    uint32_t n_fresh;                 /* adds since fresh was empty */
    uint64_t tick;                    /* how far the wheel has turned */
    int64_t now_ns;                   /* latest clock reading seen */
    uint64_t occupied_words;          /* a bit per word of the next that is not 0 */
    uint64_t occupied[WEFT__WHEEL_SLOTS / 64]; /* a bit per slot that has timers */
    struct weft__timer_list fresh;    /* in order of creation */
    struct weft__timer_list moving;   /* on their way down, in order */
    struct weft__timer_list *back;    /* in moving: how far it is warm from its end */
    struct weft__timer_list current;  /* due at this tick or before */
    struct weft__timer_list slots[WEFT__WHEEL_SLOTS]; /* level by level */
};

void weft__wheel_init(struct weft__wheel *wheel, int64_t now_ns);

static inline void weft__timer_init(struct weft__timer *timer, const struct weft__timer_kind *kind)
{
    timer->wheel = NULL;
    timer->state = 0;
    timer->kind = kind;
}

/* Owner. Fire after delay_ns, counted from the next turn. The timer is idle.
 * The owner turns before it sleeps (wheel_next is 0 until then). Returns how
 * many were added since none was fresh: who sets hundreds in a row turns in
 * between, turn(wheel, now_ns, 0) if nothing may fire there, or they are late
 * by as long as that takes. */
uint32_t weft__wheel_add(struct weft__wheel *wheel, struct weft__timer *timer, int64_t delay_ns);

/* Anyone. Fire at when_ns or, if that is past, at the next turn. The timer is
 * idle. true: nothing was due before it, so an owner that sleeps must be woken
 * (with a seq_cst fence before looking whether it does). */
bool weft__wheel_add_at(struct weft__wheel *wheel, struct weft__timer *timer, int64_t when_ns);

/* Anyone. Take back: the ns left at now_ns (>= 0; of a fresh one its whole
 * delay), or -1 when it has fired or was not set. Who does not want to know
 * the time passes 0 and looks at the sign. */
int64_t weft__wheel_cancel(struct weft__timer *timer, int64_t now_ns);

/* Anyone. What cancel would say, changing nothing. */
int64_t weft__wheel_left(struct weft__timer *timer, int64_t now_ns);

/* What turn and help do when something is waiting; see there. */
uint32_t weft__wheel_turn_slow(struct weft__wheel *wheel, int64_t now_ns, uint32_t max);
uint32_t weft__wheel_help_slow(struct weft__wheel *wheel, int64_t now_ns, uint32_t max);

/* A time before which the owner has nothing to do: 0 while timers are fresh,
 * INT64_MAX when there are none. Right after a turn it is the next expiry
 * itself, unless many dozens wait in one far slot; a cancel leaves it too
 * early. Relaxed: a hint; who must be sure uses fences as in runq.h. */
static inline int64_t weft__wheel_next(const struct weft__wheel *wheel)
{
    return atomic_load_explicit(&wheel->wake_ns, memory_order_relaxed);
}

/* The same without the fresh ones: others see by it that the owner is late. */
static inline int64_t weft__wheel_due(const struct weft__wheel *wheel)
{
    return atomic_load_explicit(&wheel->due_ns, memory_order_relaxed);
}

/* Owner. Start the fresh timers and fire what is due at now_ns, at most max;
 * how many. now_ns was read after the owner's last add. Work that a turn puts
 * off so as not to starve others, timers or moving them down, shows as
 * wheel_next(wheel) <= now_ns: turn again soon. */
static inline uint32_t weft__wheel_turn(struct weft__wheel *wheel, int64_t now_ns, uint32_t max)
{
    if (__builtin_expect(now_ns < weft__wheel_next(wheel), 1))
        return 0;
    return weft__wheel_turn_slow(wheel, now_ns, max);
}

/* Anyone, for an owner that is late: fire what is due but leave fresh timers
 * be. 0 at once when another thread is at this wheel. */
static inline uint32_t weft__wheel_help(struct weft__wheel *wheel, int64_t now_ns, uint32_t max)
{
    if (__builtin_expect(now_ns < weft__wheel_due(wheel), 1))
        return 0;
    return weft__wheel_help_slow(wheel, now_ns, max);
}

/* How many are fresh or set. Walks all of them: for tests and shutdown. */
uint64_t weft__wheel_size(struct weft__wheel *wheel);

/* Assert every invariant. */
void weft__wheel_check(struct weft__wheel *wheel);

#endif

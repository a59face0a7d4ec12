/* wheel.c - where timers lie, and what a turn does.
 *
 * Nouns. tick: 2^16 ns. The wheel's tick: how far it has turned; never beyond
 * the clock. current: timers of that tick, sorted by expiry. group: the bits of
 * a tick that choose the slot in a level. Slot i of level k: timers whose tick
 * agrees with the wheel's above group k and has i there. fresh: set, not yet
 * started. moving: a slot of a higher level that the wheel has reached, on its
 * way down.
 *
 * Where a timer lies depends on its tick and the wheel's alone, never on when
 * it came. So timers of one expiry are always in one list, in order of
 * creation, and moving a list from front to back keeps that order. For the
 * same reason nothing enters or fires while moving is not empty: it would
 * overtake.
 *
 * A turn, under the lock:
 *   1. moving is taken down, as far as the turn's allowance goes
 *   2. what is due in current fires, at most max
 *   3. current empty: step to the next slot that begins before now (level 0:
 *      it becomes current; above: it becomes moving), and again from 1
 *   4. fresh timers get expiry = now + delay, and their place
 *   5. those of them that are due at once fire
 *   6. the hints are set
 *
 * Empty slots cost nothing: a step finds the next by the bitmap, whose lowest
 * bit is always the earliest slot, since what lies in a level comes before all
 * that lies above it.
 *
 *   field     written             read       order
 *   wake_ns   under the lock      anyone     relaxed: a hint. The owner sees its own adds; others
 *   due_ns    under the lock      anyone     that must not miss one fence as in runq.h
 *
 * Why 256 slots a level: a slot of level 1 then spans 17 ms. Its timers move
 * down once, cold, and are still in the cache when they fire, even when there
 * are 1,000,000 within two seconds. Where a slot of the lowest cold level spans
 * 67 ms (1,024 slots below) they are cold at both.
 *
 * Not done: rounding expiries up to ticks, without sorting. It would fire a
 * zero delay a tick late or let it overtake older timers of the same moment.
 * Not done: starting fresh timers in help(). The helper read the clock perhaps
 * before the owner's add, and the timer would be early.
 *
 * From: Varghese and Lauck 1987, scheme 7; the choice of level by the highest
 * bit that differs, FreeBSD's and William Ahern's timeout.c.
 */
#include "sched/wheel.h"

#include "base/assert.h"

enum {
    TIMER_IDLE,     /* in no list */
    TIMER_FRESH,    /* in fresh, when_ns is a delay */
    TIMER_FRESH_AT, /* in fresh, when_ns is a time */
    TIMER_SET       /* in current, moving or a slot */
};

#define BITS WEFT__WHEEL_BITS
#define GROUP_MASK ((1 << BITS) - 1)

/* Timers that one turn moves down and that it starts. The former are often not
 * in the cache (150 to 300 ns each), the latter are (15 ns): so that each takes
 * some 0.1 ms at most. */
#define MOVES_PER_TURN 512
#define STARTS_PER_TURN 4096

/* How many timers ahead of the one that fires are warmed: a miss takes as long
 * as two or three fires. */
#define WARM_AHEAD 4

/* How far into a slot to look for its first expiry: what is found lets an idle
 * worker sleep until then instead of until the slot begins. */
#define LOOK_INTO_SLOT 64

_Static_assert(sizeof(struct weft__timer) <= 48, "timers live on parked stacks");
_Static_assert(offsetof(struct weft__timer, link) == 0, "a link is its timer");

/* ---- lists ---- */

static inline struct weft__timer *timer_of(struct weft__timer_list *link)
{
    return (struct weft__timer *)(void *)link;
}

static inline void list_init(struct weft__timer_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_is_empty(const struct weft__timer_list *list)
{
    return list->next == list;
}

static inline void list_append(struct weft__timer_list *list, struct weft__timer_list *link)
{
    link->next = list;
    link->prev = list->prev;
    list->prev->next = link;
    list->prev = link;
}

static inline void list_remove(struct weft__timer_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

/* Move all of from to the end of to. */
static inline void list_move(struct weft__timer_list *to, struct weft__timer_list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

static bool list_is_sorted(const struct weft__timer_list *list)
{
    struct weft__timer_list *link = list->next;

    for (; link != list && link->next != list; link = link->next)
        if (timer_of(link)->when_ns > timer_of(link->next)->when_ns)
            return false;
    return true;
}

/* Two chains by next, ended by NULL: those of older come first in a tie. */
static struct weft__timer_list *chain_merge(struct weft__timer_list *older,
                                            struct weft__timer_list *newer)
{
    struct weft__timer_list *first = NULL;
    struct weft__timer_list **end = &first;

    while (older != NULL && newer != NULL) {
        struct weft__timer_list **from =
            timer_of(older)->when_ns <= timer_of(newer)->when_ns ? &older : &newer;

        *end = *from;
        end = &(*from)->next;
        *from = (*from)->next;
    }
    *end = older != NULL ? older : newer;
    return first;
}

/* Merge sort that keeps ties in order: bin i holds a sorted chain of 2^i, and
 * what a higher bin holds came before what a lower one does. */
static void list_sort(struct weft__timer_list *list)
{
    struct weft__timer_list *bins[48] = { 0 };
    struct weft__timer_list *chain = list->next, *sorted = NULL;

    if (list_is_sorted(list))
        return;
    list->prev->next = NULL;
    while (chain != NULL) {
        struct weft__timer_list *carry = chain;
        int i = 0;

        chain = chain->next;
        carry->next = NULL;
        for (; bins[i] != NULL; i++) {
            carry = chain_merge(bins[i], carry);
            bins[i] = NULL;
        }
        bins[i] = carry;
    }
    for (int i = 0; i < 48; i++)
        if (bins[i] != NULL)
            sorted = chain_merge(bins[i], sorted);
    list_init(list);
    while (sorted != NULL) {
        struct weft__timer_list *next = sorted->next;

        list_append(list, sorted);
        sorted = next;
    }
}

/* ---- places ---- */

static inline uint64_t tick_of(int64_t ns)
{
    return (uint64_t)ns >> WEFT__WHEEL_TICK_SHIFT;
}

void weft__wheel_init(struct weft__wheel *wheel, int64_t now_ns)
{
    atomic_init(&wheel->wake_ns, INT64_MAX);
    atomic_init(&wheel->due_ns, INT64_MAX);
    weft__spin_init(&wheel->lock, WEFT__RANK_WHEEL);
    wheel->is_unsorted = 0;
    wheel->n_fresh = 0;
    wheel->tick = tick_of(now_ns);
    wheel->now_ns = now_ns;
    list_init(&wheel->fresh);
    list_init(&wheel->moving);
    wheel->back = &wheel->moving;
    list_init(&wheel->current);
    wheel->occupied_words = 0;
    for (int i = 0; i < WEFT__WHEEL_SLOTS / 64; i++)
        wheel->occupied[i] = 0;
    for (int i = 0; i < WEFT__WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
}

static inline void slot_mark(struct weft__wheel *wheel, int slot)
{
    wheel->occupied[slot / 64] |= UINT64_C(1) << slot % 64;
    wheel->occupied_words |= UINT64_C(1) << slot / 64;
}

static inline void slot_unmark(struct weft__wheel *wheel, int slot)
{
    wheel->occupied[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    if (wheel->occupied[slot / 64] == 0)
        wheel->occupied_words &= ~(UINT64_C(1) << slot / 64);
}

/* The slot of a tick that the wheel has not reached. */
static inline int slot_of(const struct weft__wheel *wheel, uint64_t tick)
{
    int level = (63 - __builtin_clzll(tick ^ wheel->tick)) / BITS;

    return level << BITS | (int)(tick >> (BITS * level) & GROUP_MASK);
}

/* The tick at which a slot that the wheel has not reached begins. */
static inline uint64_t slot_begin(const struct weft__wheel *wheel, int slot)
{
    int shift = (slot >> BITS) * BITS;
    uint64_t above = wheel->tick >> shift >> BITS << BITS;

    return (above | (uint64_t)(slot & GROUP_MASK)) << shift;
}

static inline int64_t due_locked(const struct weft__wheel *wheel)
{
    return atomic_load_explicit(&wheel->due_ns, memory_order_relaxed);
}

static void set_hints(struct weft__wheel *wheel, int64_t due_ns)
{
    atomic_store_explicit(&wheel->due_ns, due_ns, memory_order_relaxed);
    atomic_store_explicit(&wheel->wake_ns, list_is_empty(&wheel->fresh) ? due_ns : 0,
                          memory_order_relaxed);
}

/* Put a timer where its expiry belongs. */
static void place(struct weft__wheel *wheel, struct weft__timer *timer)
{
    uint64_t tick = tick_of(timer->when_ns);
    struct weft__timer_list *last = wheel->current.prev;
    int slot;

    timer->state = TIMER_SET;
    if (tick <= wheel->tick) {
        if (last != &wheel->current && timer_of(last)->when_ns > timer->when_ns)
            wheel->is_unsorted = 1;
        list_append(&wheel->current, &timer->link);
        return;
    }
    slot = slot_of(wheel, tick);
    list_append(&wheel->slots[slot], &timer->link);
    slot_mark(wheel, slot);
}

/* Take a timer out of whatever list it is in. */
static void take_out(struct weft__wheel *wheel, struct weft__timer *timer)
{
    struct weft__timer_list *list = timer->link.next;
    uintptr_t slots = (uintptr_t)wheel->slots;

    if (wheel->back == &timer->link)
        wheel->back = timer->link.prev;
    list_remove(&timer->link);
    timer->state = TIMER_IDLE;
    if (!list_is_empty(list))
        return; /* a neighbour, or a list that has more */
    if (list == &wheel->fresh) {
        wheel->n_fresh = 0;
        set_hints(wheel, due_locked(wheel));
        return;
    }
    if ((uintptr_t)list - slots < sizeof wheel->slots) /* neither current nor moving */
        slot_unmark(wheel, (int)(((uintptr_t)list - slots) / sizeof *list));
}

/* ---- setting ---- */

uint32_t weft__wheel_add(struct weft__wheel *wheel, struct weft__timer *timer, int64_t delay_ns)
{
    uint32_t n_fresh;

    weft__assert(timer->state == TIMER_IDLE && delay_ns >= 0);
    timer->wheel = wheel;
    timer->when_ns = delay_ns;
    weft__spin_acquire(&wheel->lock);
    timer->state = TIMER_FRESH;
    list_append(&wheel->fresh, &timer->link);
    n_fresh = ++wheel->n_fresh;
    atomic_store_explicit(&wheel->wake_ns, 0, memory_order_relaxed);
    weft__spin_release(&wheel->lock);
    return n_fresh;
}

bool weft__wheel_add_at(struct weft__wheel *wheel, struct weft__timer *timer, int64_t when_ns)
{
    bool is_first;

    weft__assert(timer->state == TIMER_IDLE);
    timer->wheel = wheel;
    weft__spin_acquire(&wheel->lock);
    /* Past is past: so that of two past times the timer made first is first. */
    timer->when_ns = when_ns > wheel->now_ns ? when_ns : wheel->now_ns;
    if (list_is_empty(&wheel->fresh) && list_is_empty(&wheel->moving)) {
        is_first = timer->when_ns < due_locked(wheel);
        place(wheel, timer);
        if (is_first)
            set_hints(wheel, timer->when_ns);
    } else {
        is_first = true;
        timer->state = TIMER_FRESH_AT;
        list_append(&wheel->fresh, &timer->link);
        wheel->n_fresh++;
        set_hints(wheel, due_locked(wheel));
    }
    weft__spin_release(&wheel->lock);
    return is_first;
}

static int64_t left_locked(const struct weft__timer *timer, int64_t now_ns)
{
    if (timer->state == TIMER_IDLE)
        return -1;
    if (timer->state == TIMER_FRESH)
        return timer->when_ns;
    return timer->when_ns > now_ns ? timer->when_ns - now_ns : 0;
}

int64_t weft__wheel_cancel(struct weft__timer *timer, int64_t now_ns)
{
    struct weft__wheel *wheel = timer->wheel;
    int64_t left_ns;

    if (wheel == NULL)
        return -1;
    weft__spin_acquire(&wheel->lock);
    left_ns = left_locked(timer, now_ns);
    if (left_ns >= 0)
        take_out(wheel, timer);
    weft__spin_release(&wheel->lock);
    return left_ns;
}

int64_t weft__wheel_left(struct weft__timer *timer, int64_t now_ns)
{
    struct weft__wheel *wheel = timer->wheel;
    int64_t left_ns;

    if (wheel == NULL)
        return -1;
    weft__spin_acquire(&wheel->lock);
    left_ns = left_locked(timer, now_ns);
    weft__spin_release(&wheel->lock);
    return left_ns;
}

/* ---- turning ---- */

struct turn {
    struct weft__wheel *wheel;
    int64_t now_ns;
    uint32_t n_moves; /* timers it may still move down */
    uint32_t max;     /* timers it may fire in all */
    uint32_t n_fired;
    bool is_changed;  /* due_ns must be found anew */
};

/* Walking a list is one cache miss after the other. A second walk, from its
 * end, has its misses at the same time, and the first meets warm timers from
 * the middle on: from set to fired, a timer of 1,000,000 within two seconds
 * costs 180 ns instead of 360. */
static inline void warm_from_back(struct weft__wheel *wheel)
{
    if (wheel->back == &wheel->moving)
        return;
    wheel->back = wheel->back->prev;
    __builtin_prefetch(wheel->back, 1);
}

/* 1. false: the allowance is used up. */
static bool move_down(struct turn *turn)
{
    struct weft__wheel *wheel = turn->wheel;

    for (; !list_is_empty(&wheel->moving); turn->n_moves--) {
        struct weft__timer *timer = timer_of(wheel->moving.next);

        if (turn->n_moves == 0)
            return false;
        warm_from_back(wheel);
        if (wheel->back == &timer->link)
            wheel->back = &wheel->moving; /* they met */
        list_remove(&timer->link);
        place(wheel, timer);
    }
    return true;
}

static void sort_current(struct weft__wheel *wheel)
{
    if (wheel->is_unsorted)
        list_sort(&wheel->current);
    wheel->is_unsorted = 0;
}

/* Warm what fires soon; the next one to warm, or the list. */
static inline struct weft__timer_list *warm(const struct weft__timer_list *list,
                                            struct weft__timer_list *link)
{
    const struct weft__timer *timer = timer_of(link);

    if (link == list)
        return link;
    __builtin_prefetch(link->next);
    if (timer->kind->warm != NULL)
        timer->kind->warm(timer);
    return link->next;
}

/* 2. false: max have fired. */
static bool fire_current(struct turn *turn)
{
    struct weft__wheel *wheel = turn->wheel;
    struct weft__timer_list *ahead;

    sort_current(wheel);
    ahead = wheel->current.next;
    if (ahead == &wheel->current || timer_of(ahead)->when_ns > turn->now_ns)
        return true;
    for (int i = 0; i < WARM_AHEAD; i++)
        ahead = warm(&wheel->current, ahead);
    while (!list_is_empty(&wheel->current)) {
        struct weft__timer *timer = timer_of(wheel->current.next);

        if (timer->when_ns > turn->now_ns)
            return true;
        if (turn->n_fired == turn->max)
            return false;
        ahead = warm(&wheel->current, ahead);
        list_remove(&timer->link);
        timer->state = TIMER_IDLE;
        turn->n_fired++;
        turn->is_changed = true;
        timer->kind->fire(timer); /* the timer may be gone now */
    }
    return true;
}

/* The earliest slot that has timers, or -1. */
static inline int first_slot(const struct weft__wheel *wheel)
{
    int word;

    if (wheel->occupied_words == 0)
        return -1;
    word = __builtin_ctzll(wheel->occupied_words);
    return word * 64 + __builtin_ctzll(wheel->occupied[word]);
}

/* 3. Nothing is in current or moving. false: the wheel has caught up. */
static bool step(struct turn *turn)
{
    struct weft__wheel *wheel = turn->wheel;
    uint64_t now = tick_of(turn->now_ns);
    int slot = first_slot(wheel);
    uint64_t begin = slot >= 0 ? slot_begin(wheel, slot) : UINT64_MAX;

    if (begin > now) {
        wheel->tick = now;
        return false;
    }
    wheel->tick = begin;
    slot_unmark(wheel, slot);
    list_move(slot < 1 << BITS ? &wheel->current : &wheel->moving, &wheel->slots[slot]);
    wheel->back = wheel->moving.prev;
    wheel->is_unsorted = 1;
    turn->is_changed = true;
    return true;
}

/* 1 to 3, as far as the clock, the allowance and max go. */
static void run_due(struct turn *turn)
{
    do
        if (!move_down(turn) || !fire_current(turn))
            return;
    while (list_is_empty(&turn->wheel->current) && step(turn));
}

/* 4. */
static void start_fresh(struct turn *turn)
{
    struct weft__wheel *wheel = turn->wheel;

    for (int n = 0; !list_is_empty(&wheel->fresh) && n < STARTS_PER_TURN; n++) {
        struct weft__timer *timer = timer_of(wheel->fresh.next);

        list_remove(&timer->link);
        if (timer->state == TIMER_FRESH)
            timer->when_ns = timer->when_ns < INT64_MAX - turn->now_ns
                                 ? turn->now_ns + timer->when_ns
                                 : INT64_MAX;
        else if (timer->when_ns < turn->now_ns)
            timer->when_ns = turn->now_ns;
        place(wheel, timer);
        if (timer->when_ns < due_locked(wheel))
            atomic_store_explicit(&wheel->due_ns, timer->when_ns, memory_order_relaxed);
    }
    if (list_is_empty(&wheel->fresh))
        wheel->n_fresh = 0;
}

/* The first expiry of all that are set, or a time not after it. */
static int64_t find_due(struct weft__wheel *wheel)
{
    int64_t due_ns = INT64_MAX;
    const struct weft__timer_list *list;
    struct weft__timer_list *link;
    int slot, n = 0;

    if (!list_is_empty(&wheel->moving))
        return (int64_t)(wheel->tick << WEFT__WHEEL_TICK_SHIFT); /* past: go on soon */
    sort_current(wheel);
    if (!list_is_empty(&wheel->current))
        return timer_of(wheel->current.next)->when_ns;
    slot = first_slot(wheel);
    if (slot < 0)
        return INT64_MAX;
    list = &wheel->slots[slot];
    for (link = list->next; link != list; link = link->next) {
        if (n++ == LOOK_INTO_SLOT)
            return (int64_t)(slot_begin(wheel, slot) << WEFT__WHEEL_TICK_SHIFT);
        if (timer_of(link)->when_ns < due_ns)
            due_ns = timer_of(link)->when_ns;
    }
    return due_ns;
}

static struct turn turn_begin(struct weft__wheel *wheel, int64_t now_ns, uint32_t max)
{
    /* Another thread's reading may be later; it was a true one too. */
    if (wheel->now_ns < now_ns)
        wheel->now_ns = now_ns;
    return (struct turn){
        .wheel = wheel, .now_ns = wheel->now_ns, .n_moves = MOVES_PER_TURN, .max = max,
    };
}

static void turn_end(struct turn *turn)
{
    struct weft__wheel *wheel = turn->wheel;
    int64_t due_ns = due_locked(wheel);

    /* A hint in the past with nothing behind it: that timer was cancelled. */
    if (turn->is_changed || due_ns <= turn->now_ns)
        due_ns = find_due(wheel);
    set_hints(wheel, due_ns); /* 6 */
}

uint32_t weft__wheel_turn_slow(struct weft__wheel *wheel, int64_t now_ns, uint32_t max)
{
    struct turn turn;

    weft__spin_acquire(&wheel->lock);
    turn = turn_begin(wheel, now_ns, max);
    run_due(&turn);
    if (list_is_empty(&wheel->moving)) {
        start_fresh(&turn);
        if (due_locked(wheel) <= turn.now_ns)
            run_due(&turn); /* 5 */
    }
    turn_end(&turn);
    weft__spin_release(&wheel->lock);
    return turn.n_fired;
}

uint32_t weft__wheel_help_slow(struct weft__wheel *wheel, int64_t now_ns, uint32_t max)
{
    struct turn turn;

    if (!weft__spin_try_acquire(&wheel->lock))
        return 0;
    turn = turn_begin(wheel, now_ns, max);
    run_due(&turn);
    turn_end(&turn);
    weft__spin_release(&wheel->lock);
    return turn.n_fired;
}

/* ---- looking ---- */

static uint64_t list_size(const struct weft__timer_list *list)
{
    uint64_t n = 0;

    for (const struct weft__timer_list *link = list->next; link != list; link = link->next)
        n++;
    return n;
}

uint64_t weft__wheel_size(struct weft__wheel *wheel)
{
    uint64_t n;

    weft__spin_acquire(&wheel->lock);
    n = list_size(&wheel->fresh) + list_size(&wheel->moving) + list_size(&wheel->current);
    for (int slot = 0; slot < WEFT__WHEEL_SLOTS; slot++)
        n += list_size(&wheel->slots[slot]);
    weft__spin_release(&wheel->lock);
    return n;
}

/* Every timer of a list: linked both ways, in a state that fits, not due
 * before the hint. */
static void list_check(const struct weft__wheel *wheel, const struct weft__timer_list *list,
                       bool is_fresh, bool is_hinted)
{
    for (struct weft__timer_list *link = list->next; link != list; link = link->next) {
        struct weft__timer *timer = timer_of(link);

        weft__check(link->next->prev == link && link->prev->next == link);
        weft__check(timer->wheel == wheel);
        weft__check(is_fresh ? timer->state == TIMER_FRESH || timer->state == TIMER_FRESH_AT
                             : timer->state == TIMER_SET);
        weft__check(!is_hinted || timer->when_ns >= due_locked(wheel));
    }
}

static void slot_check(const struct weft__wheel *wheel, int slot)
{
    const struct weft__timer_list *list = &wheel->slots[slot];

    weft__check((wheel->occupied[slot / 64] >> slot % 64 & 1) == !list_is_empty(list));
    weft__check((wheel->occupied_words >> slot / 64 & 1) == (wheel->occupied[slot / 64] != 0));
    list_check(wheel, list, false, true);
    for (struct weft__timer_list *link = list->next; link != list; link = link->next) {
        uint64_t tick = tick_of(timer_of(link)->when_ns);

        weft__check(tick > wheel->tick && tick >= slot_begin(wheel, slot));
        weft__check(slot_of(wheel, tick) == slot);
    }
}

void weft__wheel_check(struct weft__wheel *wheel)
{
    weft__spin_acquire(&wheel->lock);
    weft__check(atomic_load_explicit(&wheel->wake_ns, memory_order_relaxed)
                == (list_is_empty(&wheel->fresh) ? due_locked(wheel) : 0));
    weft__check(wheel->tick <= tick_of(wheel->now_ns));
    weft__check(wheel->is_unsorted || list_is_sorted(&wheel->current));
    list_check(wheel, &wheel->fresh, true, false);
    list_check(wheel, &wheel->moving, false, true);
    weft__check(!list_is_empty(&wheel->moving) || wheel->back == &wheel->moving);
    list_check(wheel, &wheel->current, false, true);
    for (int slot = 0; slot < WEFT__WHEEL_SLOTS; slot++)
        slot_check(wheel, slot);
    weft__spin_release(&wheel->lock);
}

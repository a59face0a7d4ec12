/* room.c - the word, and the list of those who wait.
 *
 *     | serial, 35 bits | somebody waits | places taken, 27 bits |
 *
 *   field   written by            order
 *   word    anyone, by exchange   acq_rel: who gets a place sees what was done before it was free
 *   list    under the lock        the waiting bit says, under the lock too, that it is not empty
 *
 * Who waits is a node in the frame that waits, which stays until the end of its
 * process was told (weft__room_forget).
 */
#include "proc/room.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/spin.h"
#include "proc/runtime.h"
#include "weft/error.h"

#define COUNT_BITS 27
#define COUNT ((UINT64_C(1) << COUNT_BITS) - 1)
#define WAITING (UINT64_C(1) << COUNT_BITS)
#define SERIAL_SHIFT (COUNT_BITS + 1)

_Static_assert(WEFT__SERIAL_BITS + SERIAL_SHIFT <= 64, "a serial fits above the count");
_Static_assert(WEFT__ROOM_MAX == COUNT, "the count holds as many as there may be");

#define LEAF_BITS 12 /* of a slot, within a leaf */
#define N_LEAVES (1u << (WEFT__SLOT_BITS - LEAF_BITS))

struct weft__room_waiter {
    struct weft__room_waiter *next, *prev; /* under the room's lock */
    weft_pid pid;
    weft_pid of;                           /* whose room */
    _Atomic uint32_t answer;               /* TAKEN or GONE, out of the list; FULL: still in it */
};

struct room {
    /* By anyone. */
    _Alignas(64) _Atomic uint64_t word;
    _Atomic uint64_t n_refused;
    /* Set when the process begins; read by late senders as well. */
    _Atomic uint32_t max;
    _Atomic bool drops;
    struct weft__spin lock;                /* guards the list; rank LEAF is 0 */
    struct weft__room_waiter *first, *last; /* longest first */
};

static _Atomic(struct room *) leaves[N_LEAVES];

static struct room *room_of(weft_pid pid)
{
    uint32_t slot = weft__pid_slot(pid);
    /* Acquire, with the release in leaf_make: the leaf is cleared. */
    struct room *leaf = atomic_load_explicit(&leaves[slot >> LEAF_BITS], memory_order_acquire);

    return leaf != NULL ? &leaf[slot & ((1u << LEAF_BITS) - 1)] : NULL;
}

static bool leaf_make(uint32_t slot)
{
    size_t size = sizeof(struct room) << LEAF_BITS;
    struct room *leaf = aligned_alloc(_Alignof(struct room), size), *there = NULL;

    if (leaf == NULL)
        return false;
    memset((void *)leaf, 0, size);
    if (!atomic_compare_exchange_strong_explicit(&leaves[slot >> LEAF_BITS], &there, leaf, memory_order_acq_rel,
                                                 memory_order_acquire))
        free(leaf);
    return true;
}

void weft__room_check(const char *call, size_t max, enum weft_when_full when_full)
{
    if (max > WEFT__ROOM_MAX)
        weft__proc_badarg(call, ".max_queue is %zu, above %u", max, WEFT__ROOM_MAX);
    if (when_full != WEFT_FULL_REFUSE && when_full != WEFT_FULL_DROP)
        weft__proc_badarg(call, ".when_full is %d: it must be WEFT_FULL_REFUSE or WEFT_FULL_DROP", (int)when_full);
}

bool weft__room_make(struct weft__proc *proc, uint32_t max, bool drops)
{
    struct room *room = room_of(proc->pid);

    if (room == NULL) {
        if (!leaf_make(weft__pid_slot(proc->pid)))
            return false;
        room = room_of(proc->pid);
    }
    /* Relaxed: who has the pid got it later. */
    atomic_store_explicit(&room->max, max, memory_order_relaxed);
    atomic_store_explicit(&room->drops, drops, memory_order_relaxed);
    atomic_store_explicit(&room->n_refused, 0, memory_order_relaxed);
    atomic_store_explicit(&room->word, weft__pid_serial(proc->pid) << SERIAL_SHIFT, memory_order_release);
    proc->flags |= WEFT__HAS_ROOM;
    atomic_fetch_or_explicit(&proc->state, WEFT__BOUNDED, memory_order_relaxed);
    return true;
}

/* -- places --------------------------------------------------------------------------- */

/* A place, or FULL; with `waits` the word says then that somebody waits. */
static enum weft__room_answer take(struct room *room, weft_pid pid, bool waits)
{
    uint64_t word = atomic_load_explicit(&room->word, memory_order_acquire);
    uint32_t max = atomic_load_explicit(&room->max, memory_order_relaxed);
    bool has_place;

    do {
        if (word >> SERIAL_SHIFT != weft__pid_serial(pid))
            return WEFT__ROOM_GONE;
        has_place = (word & COUNT) < max;
        if (!has_place && !waits)
            return WEFT__ROOM_FULL;
    } while (!atomic_compare_exchange_weak_explicit(&room->word, &word, has_place ? word + 1 : word | WAITING,
                                                    memory_order_acq_rel, memory_order_acquire));
    return has_place ? WEFT__ROOM_TAKEN : WEFT__ROOM_FULL;
}

enum weft__room_answer weft__room_take(weft_pid pid)
{
    struct room *room = room_of(pid);
    enum weft__room_answer answer = take(room, pid, false);

    if (answer != WEFT__ROOM_FULL)
        return answer;
    /* Relaxed: a figure. */
    atomic_fetch_add_explicit(&room->n_refused, 1, memory_order_relaxed);
    return atomic_load_explicit(&room->drops, memory_order_relaxed) ? WEFT__ROOM_DROPS : WEFT__ROOM_FULL;
}

static void take_out_locked(struct room *room, struct weft__room_waiter *waiter)
{
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        room->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    else
        room->last = waiter->prev;
    if (room->first == NULL)
        /* Relaxed: the bit is read under the lock, or leads to it. */
        atomic_fetch_and_explicit(&room->word, ~WAITING, memory_order_relaxed);
}

/* The one who waits longest gets that answer; false: nobody waits. */
static bool answer_first(struct room *room, enum weft__room_answer answer)
{
    struct weft__room_waiter *first;
    weft_pid pid = weft_none;

    weft__spin_acquire(&room->lock);
    first = room->first;
    if (first != NULL) {
        pid = first->pid;
        take_out_locked(room, first);
        /* Release, with the acquire of who waits; its node may be gone from here on. */
        atomic_store_explicit(&first->answer, (uint32_t)answer, memory_order_release);
    }
    weft__spin_release(&room->lock);
    if (first != NULL)
        weft__proc_unpark(pid);
    return first != NULL;
}

void weft__room_give_back(weft_pid pid)
{
    struct room *room = room_of(pid);
    uint64_t word = atomic_load_explicit(&room->word, memory_order_relaxed);

    do {
        if (word >> SERIAL_SHIFT != weft__pid_serial(pid))
            return;
        if ((word & WAITING) != 0) {
            if (answer_first(room, WEFT__ROOM_TAKEN))
                return;
            word = atomic_load_explicit(&room->word, memory_order_relaxed);
            continue;
        }
    } while ((word & WAITING) != 0 ||
             !atomic_compare_exchange_weak_explicit(&room->word, &word, word - 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

void weft__room_left(struct weft__proc *proc, struct weft__message *message)
{
    message->block.flags &= (uint8_t)~WEFT__COUNTED;
    weft__room_give_back(proc->pid);
}

/* -- waiting for one ---------------------------------------------------------------------- */

/* Enter the list, unless there is a place after all. */
static enum weft__room_answer enter(struct room *room, struct weft__room_waiter *waiter)
{
    enum weft__room_answer answer;

    weft__spin_acquire(&room->lock);
    answer = take(room, waiter->of, true);
    if (answer == WEFT__ROOM_FULL) {
        waiter->next = NULL;
        waiter->prev = room->last;
        if (room->last != NULL)
            room->last->next = waiter;
        else
            room->first = waiter;
        room->last = waiter;
    }
    weft__spin_release(&room->lock);
    return answer;
}

/* Out of the list, if it is still in it: what it was answered, or TIMED_OUT. */
static enum weft__room_answer leave(struct weft__room_waiter *waiter)
{
    struct room *room = room_of(waiter->of);
    enum weft__room_answer answer;

    weft__spin_acquire(&room->lock);
    answer = (enum weft__room_answer)atomic_load_explicit(&waiter->answer, memory_order_relaxed);
    if (answer == WEFT__ROOM_FULL) {
        take_out_locked(room, waiter);
        answer = WEFT__ROOM_TIMED_OUT;
    }
    weft__spin_release(&room->lock);
    return answer;
}

static bool is_waiting(const struct weft__room_waiter *waiter)
{
    /* Acquire, with the release in answer_first: what was before the place was free. */
    return atomic_load_explicit(&waiter->answer, memory_order_acquire) == WEFT__ROOM_FULL;
}

enum weft__room_answer weft__room_wait(struct weft__proc *proc, weft_pid pid, int64_t timeout_ms)
{
    struct weft__room_waiter waiter = {.pid = proc->pid, .of = pid, .answer = WEFT__ROOM_FULL};
    struct room *room = room_of(pid);
    enum weft__room_answer answer = take(room, pid, false);
    struct weft__extra *extra;
    struct weft__wait wait;

    if (answer != WEFT__ROOM_FULL)
        return answer;
    if (pid.bits == proc->pid.bits)
        return WEFT__ROOM_ITSELF;
    extra = weft__proc_extra(proc);
    if (extra == NULL)
        weft__proc_system_limit("weft_send_wait", "no memory");
    answer = enter(room, &waiter);
    if (answer != WEFT__ROOM_FULL)
        return answer;
    extra->waits_for_room = &waiter;
    weft__wait_begin(&wait, proc, timeout_ms);
    while (is_waiting(&waiter) && weft__wait_once(&wait, false))
        ;
    weft__wait_end(&wait);
    answer = leave(&waiter);
    extra->waits_for_room = NULL;
    return answer;
}

/* -- the end --------------------------------------------------------------------------------- */

void weft__room_forget(struct weft__proc *proc)
{
    struct weft__room_waiter *waiter = proc->extra->waits_for_room;

    proc->extra->waits_for_room = NULL;
    if (leave(waiter) == WEFT__ROOM_TAKEN)
        weft__room_give_back(waiter->of);
}

void weft__room_close(struct weft__proc *proc)
{
    struct room *room = room_of(proc->pid);

    /* Under the lock: who enters the list later finds that it is gone. */
    weft__spin_acquire(&room->lock);
    atomic_store_explicit(&room->word, (weft__pid_serial(proc->pid) + 1) << SERIAL_SHIFT, memory_order_release);
    weft__spin_release(&room->lock);
    while (answer_first(room, WEFT__ROOM_GONE))
        ;
}

/* -- for senders --------------------------------------------------------------------------------- */

int weft__room_enter(struct weft__proc *proc, weft_pid pid, int64_t timeout_ms)
{
    switch (timeout_ms < 0 ? weft__room_take(pid) : weft__room_wait(proc, pid, timeout_ms)) {
    case WEFT__ROOM_TAKEN:
        return 0;
    case WEFT__ROOM_FULL:
        return WEFT_EFULL;
    case WEFT__ROOM_TIMED_OUT:
        return WEFT_ETIMEDOUT;
    case WEFT__ROOM_ITSELF:
        return WEFT_EDEADLK;
    case WEFT__ROOM_DROPS:
    case WEFT__ROOM_GONE:
        break;
    }
    return 1;
}

/* -- figures ------------------------------------------------------------------------------------ */

uint32_t weft__room_size(const struct weft__proc *proc)
{
    return atomic_load_explicit(&room_of(proc->pid)->max, memory_order_relaxed);
}

uint64_t weft__room_n_refused(const struct weft__proc *proc)
{
    return atomic_load_explicit(&room_of(proc->pid)->n_refused, memory_order_relaxed);
}

/* mutex.c - a lock that parks, and is given back when its holder ends.
 *
 * States. `owner` is a pid's bits, or 0.
 *
 *     free  -> held   lock, by compare and exchange: anyone
 *     held  -> held   unlock, or the holder's end, while others wait: the one who
 *                     waits longest has it, and nobody comes in between
 *     held  -> free   the same while nobody waits
 *     free  -> held   by whoever made it free, for one who came to wait meanwhile
 *
 * No lost wake-up. Who unlocks, and saw nobody wait: (1) owner = 0, (2) looks at
 * n_waiting again. Who waits: (3) enters the list and raises n_waiting, (4) tries
 * owner once more. All seq_cst: if (4) finds it held still, then (3) was before
 * (1), so (2) sees who waits. It takes the list's lock, and gives the mutex to the
 * first, unless somebody was quicker: then that one unlocks later, and sees who
 * waits before it does. So who waits is overtaken once, at most: nobody starves.
 *
 * What a process holds, and what it waits for, is in its note (services/holding.h),
 * which it alone writes; a waiter is a node in the frame that waits, which stays
 * until the process's end was told. So the end takes the node out of the list,
 * or passes on what it was just given, and unlocks what it holds.
 */
#include "weft/mutex.h"

#include <stdatomic.h>
#include <string.h>

#include "base/here.h"
#include "base/slab.h"
#include "base/spin.h"
#include "proc/proc.h"
#include "services/holding.h"
#include "weft/error.h"

/* In the words of a weft_mutex; all 0: free. */
struct mutex {
    _Atomic uint64_t owner;      /* by anyone */
    _Atomic uint32_t n_waiting;  /* in the list; written under the lock */
    uint32_t is_orphan;          /* its last holder ended while it held it; by the holder */
    struct weft__spin lock;      /* guards the list; rank LEAF is 0 */
    struct waiter *first, *last; /* longest first; under lock */
    struct mutex *next_held;     /* what else the holder has; by the holder */
};
_Static_assert(sizeof(struct mutex) <= sizeof(weft_mutex), "a weft_mutex has room for it");
_Static_assert(WEFT__RANK_LEAF == 0, "a mutex that is all 0 is ready");

/* One that waits, in its frame. */
struct waiter {
    struct waiter *next, *prev;  /* under the mutex's lock */
    weft_pid pid;
    struct mutex *mutex;
    _Atomic bool has_it;         /* it is the owner, and out of the list */
};

/* A process's own note. */
struct note {
    struct mutex *held;          /* newest first */
    struct waiter *waiter;
};

static void process_ended(struct weft__proc *proc, void *holding);
static void runtime_stopped(uint32_t slot, void *holding);

static struct weft__holdings notes = {.ended = process_ended, .stopped = runtime_stopped};

__attribute__((constructor)) static void register_notes(void)
{
    weft__holdings_register(&notes);
}

/* The caller's, made at first need; NULL: no memory. */
static struct note *note_of(const struct weft__proc *proc)
{
    _Atomic(void *) *cell = weft__holding(&notes, weft__pid_slot(proc->pid));
    struct note *note;

    if (cell == NULL)
        return NULL;
    /* Relaxed: this process wrote it. */
    note = atomic_load_explicit(cell, memory_order_relaxed);
    if (note == NULL) {
        note = weft__slab_alloc(NULL, sizeof *note);
        if (note == NULL)
            return NULL;
        memset(note, 0, sizeof *note);
        atomic_store_explicit(cell, note, memory_order_release);
    }
    return note;
}

/* -- the list of those who wait ------------------------------------------------------ */

static void append_locked(struct mutex *mutex, struct waiter *waiter)
{
    waiter->next = NULL;
    waiter->prev = mutex->last;
    if (mutex->last != NULL)
        mutex->last->next = waiter;
    else
        mutex->first = waiter;
    mutex->last = waiter;
    atomic_fetch_add_explicit(&mutex->n_waiting, 1, memory_order_seq_cst); /* (3) */
}

static void take_out_locked(struct mutex *mutex, struct waiter *waiter)
{
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        mutex->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    else
        mutex->last = waiter->prev;
    atomic_fetch_sub_explicit(&mutex->n_waiting, 1, memory_order_relaxed);
}

static bool try_own(struct mutex *mutex, weft_pid pid)
{
    uint64_t nobody = 0;

    /* Seq_cst: (4), which mostly fails, and with the release of the last holder's unlock. */
    return atomic_compare_exchange_strong_explicit(&mutex->owner, &nobody, pid.bits, memory_order_seq_cst,
                                                   memory_order_seq_cst);
}

/* The mutex is the caller's, or free, and some wait: give it to the first. */
static void pass_on(struct mutex *mutex, bool is_free)
{
    struct waiter *first;
    weft_pid pid = weft_none;

    weft__spin_acquire(&mutex->lock);
    first = mutex->first;
    if (first == NULL && !is_free) {
        /* They gave up. Who comes to wait now tries it after this, under the lock. */
        atomic_store_explicit(&mutex->owner, 0, memory_order_seq_cst);
    } else if (first != NULL && (!is_free || try_own(mutex, first->pid))) {
        pid = first->pid;
        /* Relaxed: nobody else writes it while it is not 0; with has_it it is seen. */
        atomic_store_explicit(&mutex->owner, pid.bits, memory_order_relaxed);
        take_out_locked(mutex, first);
        /* Release, with the acquire of who waits: its node may be gone from here on. */
        atomic_store_explicit(&first->has_it, true, memory_order_release);
    }
    weft__spin_release(&mutex->lock);
    if (!weft_is_none(pid))
        weft__proc_unpark(pid);
}

static void set_free(struct mutex *mutex)
{
    /* Seq_cst: the caller became the owner after those found it held who wait since. */
    if (__builtin_expect(atomic_load_explicit(&mutex->n_waiting, memory_order_seq_cst) > 0, 0)) {
        pass_on(mutex, false);
        return;
    }
    atomic_store_explicit(&mutex->owner, 0, memory_order_seq_cst); /* (1) */
    if (atomic_load_explicit(&mutex->n_waiting, memory_order_seq_cst) > 0) /* (2) */
        pass_on(mutex, true);
}

/* -- a process's end ------------------------------------------------------------------- */

static void let_go(struct note *note)
{
    struct waiter *waiter = note->waiter;
    struct mutex *mutex;

    if (waiter != NULL) {
        bool has_it;

        mutex = waiter->mutex;
        weft__spin_acquire(&mutex->lock);
        has_it = atomic_load_explicit(&waiter->has_it, memory_order_relaxed);
        if (!has_it)
            take_out_locked(mutex, waiter);
        weft__spin_release(&mutex->lock);
        if (has_it)
            set_free(mutex); /* it never ran with it: nothing is half done */
    }
    while ((mutex = note->held) != NULL) {
        note->held = mutex->next_held;
        mutex->is_orphan = true;
        set_free(mutex);
    }
    weft__slab_free(NULL, note, sizeof *note);
}

static void process_ended(struct weft__proc *proc, void *holding)
{
    atomic_store_explicit(weft__holding_find(&notes, weft__pid_slot(proc->pid)), NULL, memory_order_release);
    let_go(holding);
}

static void runtime_stopped(uint32_t slot, void *holding)
{
    atomic_store_explicit(weft__holding_find(&notes, slot), NULL, memory_order_release);
    let_go(holding);
}

/* -- public --------------------------------------------------------------------------------- */

static struct mutex *mutex_of(weft_mutex *mutex)
{
    return (struct mutex *)(void *)mutex;
}

/* The caller owns it. */
static int take(struct note *note, struct mutex *mutex)
{
    bool is_orphan = mutex->is_orphan;

    mutex->is_orphan = false;
    mutex->next_held = note->held;
    note->held = mutex;
    return is_orphan ? WEFT_EOWNERDEAD : 0;
}

static bool is_mine(struct mutex *mutex, const struct weft__proc *proc)
{
    /* Relaxed: only the process itself makes it its own pid, or another. */
    return atomic_load_explicit(&mutex->owner, memory_order_relaxed) == proc->pid.bits;
}

/* Wait in the list. true: the caller owns it. */
static bool wait_for(struct weft__proc *proc, struct note *note, struct mutex *mutex, int64_t timeout_ms)
{
    struct waiter waiter = {.pid = proc->pid, .mutex = mutex};
    struct weft__wait wait;
    bool has_it;

    weft__spin_acquire(&mutex->lock);
    append_locked(mutex, &waiter);
    has_it = try_own(mutex, proc->pid); /* (4) */
    if (has_it)
        take_out_locked(mutex, &waiter);
    weft__spin_release(&mutex->lock);
    if (has_it)
        return true;
    note->waiter = &waiter;
    weft__wait_begin(&wait, proc, timeout_ms);
    /* Acquire, with the release in pass_on: its holder's writes are seen. */
    while (!atomic_load_explicit(&waiter.has_it, memory_order_acquire) && weft__wait_once(&wait, false))
        ;
    weft__wait_end(&wait);
    weft__spin_acquire(&mutex->lock);
    has_it = atomic_load_explicit(&waiter.has_it, memory_order_relaxed);
    if (!has_it)
        take_out_locked(mutex, &waiter);
    weft__spin_release(&mutex->lock);
    note->waiter = NULL;
    return has_it;
}

static struct note *need_note(const char *call, struct weft__proc *proc)
{
    struct note *note = note_of(proc);

    if (note == NULL)
        weft__proc_system_limit(call, "no memory");
    return note;
}

int weft_mutex_lock_within(weft_mutex *given, int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_mutex_lock");
    struct note *note = need_note("weft_mutex_lock", proc);
    struct mutex *mutex = mutex_of(given);

    if (timeout_ms < 0)
        weft__proc_badarg("weft_mutex_lock_within", "the time is negative (%lld ms)", (long long)timeout_ms);
    if (is_mine(mutex, proc))
        weft__proc_badarg("weft_mutex_lock", "the caller holds it already, and would wait for itself");
    weft__proc_obey(proc);
    if (!try_own(mutex, proc->pid) && !wait_for(proc, note, mutex, timeout_ms))
        return WEFT_ETIMEDOUT;
    return take(note, mutex);
}

int weft_mutex_lock(weft_mutex *mutex)
{
    return weft_mutex_lock_within(mutex, WEFT_INFINITY);
}

int weft_mutex_try_lock(weft_mutex *given)
{
    struct weft__proc *proc = weft__proc_need("weft_mutex_try_lock");
    struct note *note = need_note("weft_mutex_try_lock", proc);
    struct mutex *mutex = mutex_of(given);

    return try_own(mutex, proc->pid) ? take(note, mutex) : WEFT_EBUSY;
}

void weft_mutex_unlock(weft_mutex *given)
{
    struct weft__proc *proc = weft__proc_need("weft_mutex_unlock");
    struct mutex *mutex = mutex_of(given), **link;
    struct note *note;

    if (!is_mine(mutex, proc))
        weft__proc_badarg("weft_mutex_unlock", "the caller does not hold it");
    note = need_note("weft_mutex_unlock", proc);
    for (link = &note->held; *link != mutex; link = &(*link)->next_held)
        ;
    *link = mutex->next_held;
    set_free(mutex);
}

bool weft_mutex_is_held(const weft_mutex *given)
{
    const struct weft__proc *proc = weft__proc_here();

    return proc != NULL && is_mine(mutex_of((weft_mutex *)(uintptr_t)given), proc);
}

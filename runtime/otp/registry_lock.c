/* registry_lock.c - a lock for each key: queues, whose first has the lock.
 *
 * Who wants a lock stands in a list, in the order of coming. Of those with equal keys
 * in one registry the first has the lock, the others wait. There is no other
 * state: a lock that nobody wants is nothing at all.
 *
 * Who leaves, for whatever cause (its function returned, it ends, its time is over), is
 * taken out; had it the lock, the next of that key is told by has_it and
 * woken. So a lock is never given to one that left, and the lock of one that ended
 * before it ran is passed on like any other.
 *
 * A place in the list lies in the frame that waits or runs fn. Each way out of that
 * frame takes it out: an end by a defer; an exit that is caught further out
 * (proc/catch.h), by a catch around fn; an exit of a server, which has its
 * terminate before it, by weft__registry_locks_left. The wait itself exits in no
 * other way.
 * The key is in the caller's scope, which is as old as the frame.
 *
 * The lists are by hash, and may hold other keys too: they are passed over, nobody waits
 * for them.
 */
#include "otp/registry.h"

#include "base/code.h"
#include "proc/catch.h"
#include "proc/owned.h"
#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/process.h"

#define N_LISTS 256

struct place {
    struct place *next, *prev;   /* under the list's lock */
    /* Set once. */
    struct list *list;
    weft_pid pid;
    weft_atom registry;
    uint64_t hash;
    weft_term key;
    /* Written under the list's lock. */
    _Atomic bool has_it;
};

struct list {
    struct weft__spin lock;      /* a leaf, all 0: guards the list */
    struct place *first, *last;
};

static struct list lists[N_LISTS];

static bool is_same(const struct place *place, const struct place *other)
{
    return place->hash == other->hash && place->registry.bits == other->registry.bits &&
           weft_eq(place->key, other->key);
}

/* The next one of that key, from `at` on; or NULL. */
static struct place *same_from(struct place *at, const struct place *place)
{
    while (at != NULL && !is_same(at, place))
        at = at->next;
    return at;
}

/* Who has the lock, or NULL: the one that just came does. */
static weft_pid enter(struct place *place)
{
    struct list *list = place->list;
    struct place *holder;
    weft_pid pid = weft_none;

    weft__spin_acquire(&list->lock);
    holder = same_from(list->first, place);
    place->prev = list->last;
    if (list->last != NULL)
        list->last->next = place;
    else
        list->first = place;
    list->last = place;
    if (holder != NULL)
        pid = holder->pid;
    else
        atomic_store_explicit(&place->has_it, true, memory_order_relaxed); /* by itself */
    weft__spin_release(&list->lock);
    return pid;
}

/* Also as a defer. */
static void leave(void *arg)
{
    struct place *place = arg, *next = NULL;
    struct list *list = place->list;
    weft_pid pid = weft_none;

    weft__spin_acquire(&list->lock);
    if (atomic_load_explicit(&place->has_it, memory_order_relaxed))
        next = same_from(place->next, place);
    if (place->prev != NULL)
        place->prev->next = place->next;
    else
        list->first = place->next;
    if (place->next != NULL)
        place->next->prev = place->prev;
    else
        list->last = place->prev;
    if (next != NULL) {
        pid = next->pid;
        /* Release, with the acquire of who waits: it sees what was done under the lock. Its
         * place may be gone as soon as the list is unlocked. */
        atomic_store_explicit(&next->has_it, true, memory_order_release);
    }
    weft__spin_release(&list->lock);
    if (!weft_is_none(pid))
        weft__proc_unpark(pid);
}

/* false: the time is over. May park. */
static bool wait_for(struct weft__proc *proc, struct place *place, int64_t timeout_ms)
{
    struct weft__wait wait;
    bool has_it, has_time = true;

    weft__wait_begin(&wait, proc, timeout_ms);
    /* Acquire, with the release in leave. */
    while (!(has_it = atomic_load_explicit(&place->has_it, memory_order_acquire)) && has_time)
        has_time = weft__wait_once(&wait, false);
    weft__wait_end(&wait);
    return has_it;
}

struct run {
    weft_term (*fn)(void *arg);
    void *arg;
    weft_term result;
};

WEFT__GATE static void run(void *arg)
{
    struct run *run = arg;

    run->result = run->fn(run->arg);
}

/* Give the place up, and what becomes of it at the caller's end. */
static void give_up(struct place *place)
{
    weft_undefer(leave, place);
    leave(place);
}

void weft__registry_locks_left(struct weft__proc *proc)
{
    void *place;

    while (weft__owned_take_defer(proc, leave, &place))
        leave(place);
}

WEFT__GATE static weft_term run_locked(struct weft__proc *proc, struct place *place,
                                       weft_term (*fn)(void *arg), void *arg)
{
    struct run call = {.fn = fn, .arg = arg};
    weft_term reason;

    if (!weft__catch_is_open(proc)) {
        run(&call);
        weft__proc_returned(proc);
    } else if (!weft__catch(proc, run, &call, &reason)) {
        give_up(place);
        weft__proc_exit(proc, reason);
    }
    give_up(place);
    return call.result;
}

/* Exits where none of that name runs. (noinline: a gate calls it, where the process may be
 * stopped at any moment, and a section must not be left open.) */
static __attribute__((noinline)) void need_registry(const char *call, weft_atom name)
{
    struct weft__epoch *epoch;

    (void)weft__registry_enter(call, name, &epoch);
    weft__epoch_end(epoch);
}

/* false: the time is over. */
WEFT__GATE static bool lock(const char *call, struct place *place, int64_t timeout_ms,
                            weft_term (*fn)(void *arg), void *arg, weft_term *result)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    weft_pid holder;

    if (fn == NULL)
        weft__proc_badarg(call, "the function is NULL");
    if (weft_is_none(place->key))
        weft__proc_badarg(call, "the key is weft_none, which is no value");
    if (timeout_ms < 0)
        weft__proc_badarg(call, "the time is negative (%lld ms)", (long long)timeout_ms);
    need_registry(call, place->registry);
    weft__proc_obey(proc);
    place->pid = proc->pid;
    place->hash = weft_hash(place->key);
    place->list = &lists[place->hash % N_LISTS];
    weft_defer(leave, place);
    holder = enter(place);
    if (holder.bits == proc->pid.bits) {
        give_up(place);
        weft__proc_badarg(call, "the caller holds the lock of %s already, and would wait for itself",
                          weft_inspect(place->key));
    }
    if (!weft_is_none(holder) && !wait_for(proc, place, timeout_ms)) {
        give_up(place);
        return false;
    }
    *result = run_locked(proc, place, fn, arg);
    return true;
}

WEFT__GATE weft_term weft_registry_lock(weft_atom registry, weft_term key, weft_term (*fn)(void *arg),
                                        void *arg)
{
    struct place place = {.registry = registry, .key = key};
    weft_term result;

    lock("weft_registry_lock", &place, WEFT_INFINITY, fn, arg, &result);
    return result;
}

WEFT__GATE bool weft_registry_try_lock(weft_atom registry, weft_term key, int64_t timeout_ms,
                                       weft_term (*fn)(void *arg), void *arg, weft_term *result)
{
    struct place place = {.registry = registry, .key = key};
    weft_term ignored;

    return lock("weft_registry_try_lock", &place, timeout_ms, fn, arg, result != NULL ? result : &ignored);
}

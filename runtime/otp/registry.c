/* registry.c - what a process registers, takes back and leaves behind. */
#include "otp/registry.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/code.h"
#include "base/memory.h"
#include "otp/call.h"
#include "proc/bond.h"
#include "proc/runtime.h"
#include "services/holding.h"
#include "term/atom.h"
#include "term/copy.h"
#include "term/match.h"
#include "weft/error.h"

#define A(name) WEFT_ATOM(#name)
#define END_BATCH 64 /* records that an end takes out in one turn of the lock */

bool weft__registry_is_live(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);

    /* Relaxed: KILLED is a moment's truth. */
    return proc != NULL && weft__proc_is_there(proc, pid) &&
           (atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__KILLED) == 0;
}

/* -- notes: what a process has -------------------------------------------------------- */

static void process_ended(struct weft__proc *proc, void *ties);
static void runtime_stopped(uint32_t slot, void *ties);

/* A cell is the newest of the process's ties. */
static struct weft__holdings notes = {.ended = process_ended, .stopped = runtime_stopped};

static int via_whereis(weft_term registry, weft_term key, weft_pid *pid);
static int via_register(weft_term registry, weft_term key, weft_term value, weft_pid *holder);
static const struct weft__via via = {via_whereis, via_register};

__attribute__((constructor)) static void register_notes(void)
{
    weft__holdings_register(&notes);
    weft__via = &via;
}

static void end_tie(struct weft__tie *tie)
{
    struct weft__part *part = tie->part;
    bool is_more = true;

    while (is_more) {
        struct weft__record *list = NULL, *record;

        weft__spin_acquire(&part->lock);
        for (int i = 0; i < END_BATCH && (record = tie->newest) != NULL; i++) {
            weft__part_remove_locked(part, record);
            record->older = list;
            list = record;
        }
        is_more = tie->newest != NULL;
        weft__spin_release(&part->lock);
        weft__records_end(list);
    }
    weft__part_drop(part);
    weft__memory_free(tie, sizeof *tie);
}

static void end_ties(_Atomic(void *) *cell, struct weft__tie *tie)
{
    struct weft__tie *next;

    atomic_store_explicit(cell, NULL, memory_order_release);
    for (; tie != NULL; tie = next) {
        next = tie->next;
        end_tie(tie);
    }
}

static void process_ended(struct weft__proc *proc, void *ties)
{
    end_ties(weft__holding_find(&notes, weft__pid_slot(proc->pid)), ties);
}

static void runtime_stopped(uint32_t slot, void *ties)
{
    end_ties(weft__holding_find(&notes, slot), ties);
}

/* The caller's with a partition, or NULL. */
static struct weft__tie *tie_find(const struct weft__proc *proc, const struct weft__part *part)
{
    _Atomic(void *) *cell = weft__holding_find(&notes, weft__pid_slot(proc->pid));
    /* Relaxed: this process wrote it. */
    struct weft__tie *tie = cell != NULL ? atomic_load_explicit(cell, memory_order_relaxed) : NULL;

    while (tie != NULL && tie->part != part)
        tie = tie->next;
    return tie;
}

/* A new one; the caller keeps the partition from being freed. NULL: no memory. */
static struct weft__tie *tie_new(const struct weft__proc *proc, struct weft__part *part)
{
    _Atomic(void *) *cell = weft__holding(&notes, weft__pid_slot(proc->pid));
    struct weft__tie *tie = cell != NULL ? weft__memory_alloc(sizeof *tie) : NULL;

    if (tie == NULL)
        return NULL;
    tie->part = part;
    tie->process = weft_none;
    tie->newest = NULL;
    tie->next = atomic_load_explicit(cell, memory_order_relaxed);
    weft__spin_acquire(&part->lock);
    weft__part_hold_locked(part);
    weft__spin_release(&part->lock);
    atomic_store_explicit(cell, tie, memory_order_release);
    return tie;
}

/* The last record of the tie is gone: so is the link. REG-28. May park. */
static void tie_drop(struct weft__proc *proc, struct weft__tie *tie)
{
    _Atomic(void *) *cell = weft__holding_find(&notes, weft__pid_slot(proc->pid));
    struct weft__tie *first = atomic_load_explicit(cell, memory_order_relaxed), **at = &first;
    weft_pid process = tie->process;

    while (*at != tie)
        at = &(*at)->next;
    *at = tie->next;
    atomic_store_explicit(cell, first, memory_order_release);
    weft__part_drop(tie->part);
    weft__memory_free(tie, sizeof *tie);
    if (!weft_is_none(process)) {
        weft__unlink(proc, process);
        if (proc->flags & WEFT__TRAPS)
            weft_unlink_flush(process);
    }
}

/* -- registering ------------------------------------------------------------------------- */

/* Who has a unique key, alive; or weft_none. In a section, or under the lock. */
static weft_pid holder_of(const struct weft__part *part, uint64_t hash, weft_term key)
{
    weft_term value;
    weft_pid pid;

    return weft__part_find(part, hash, key, &pid, &value) && weft__registry_is_live(pid) ? pid : weft_none;
}

/* The caller's tie with the partition of a key, made at need, and linked; or NULL: a live
 * process has that key, of unique ones. */
static struct weft__tie *tie_for(struct weft__proc *proc, const char *call, weft_atom name, uint64_t hash,
                                 weft_term key, weft_pid *holder)
{
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter(call, name, &epoch);
    struct weft__part *part = weft__registry_part(registry, hash, proc->pid);
    struct weft__tie *tie = tie_find(proc, part);
    weft_pid process;

    *holder = part->keys == WEFT_UNIQUE ? holder_of(part, hash, key) : weft_none;
    if (weft_is_none(*holder) && tie == NULL)
        tie = tie_new(proc, part);
    weft__epoch_end(epoch);
    if (!weft_is_none(*holder))
        return NULL;
    if (tie == NULL)
        weft__proc_system_limit(call, "no memory");
    process = weft__term(atomic_load_explicit(&part->process, memory_order_relaxed));
    if (weft_is_none(process))
        weft__registry_unknown(call, name);
    if (tie->process.bits != process.bits) {
        if (!weft_is_none(tie->process))
            weft__unlink(proc, tie->process); /* it has ended since, and found nothing of this process */
        tie->process = process;
        weft__link_half(proc, process);
    }
    return tie;
}

/* 0; WEFT_EALREADY and *holder; WEFT_ENOPROC: the partition is another's by now; WEFT_ENOMEM.
 * The record of a holder that has ended is taken out: *dead. */
static int add_locked(struct weft__tie *tie, struct weft__record *record, weft_pid *holder,
                      struct weft__record **dead)
{
    struct weft__part *part = tie->part;
    struct weft__walk_key walk;

    *dead = NULL;
    if (atomic_load_explicit(&part->process, memory_order_relaxed) != tie->process.bits)
        return WEFT_ENOPROC;
    if (part->keys == WEFT_UNIQUE) {
        /* Not const: the lock is held. */
        struct weft__record *there =
            (struct weft__record *)weft__walk_key_first(&walk, part, record->hash, record->key);

        if (there != NULL && weft__registry_is_live(there->pid)) {
            *holder = there->pid;
            return WEFT_EALREADY;
        }
        *dead = there;
        if (there != NULL)
            weft__part_remove_locked(part, there);
    }
    return weft__part_add_locked(part, record, tie) ? 0 : WEFT_ENOMEM;
}

static int add(struct weft__tie *tie, struct weft__record *record, weft_pid *holder)
{
    struct weft__part *part = tie->part;
    struct weft__record *dead;
    bool is_full;
    int code;

    weft__spin_acquire(&part->lock);
    code = add_locked(tie, record, holder, &dead);
    is_full = weft__part_is_full(part, atomic_load_explicit(&part->table, memory_order_relaxed));
    weft__spin_release(&part->lock);
    if (code != 0)
        weft__record_free(record); /* nobody saw it */
    weft__records_end(dead);
    if (__builtin_expect(is_full, 0))
        weft__part_grow(part);
    return code;
}

/* Listeners hear {what, registry, key, pid, value} or {what, registry, key, pid}. The names are
 * the partition's, which a tie or a section keeps. */
static void tell_listeners(const weft_atom *listeners, uint32_t n, weft_term message)
{
    for (uint32_t i = 0; i < n; i++)
        weft_try_send(listeners[i], message); /* REG-42: nobody has that name: it is skipped */
}

void weft__registry_check_sendable(const char *call, const char *what, weft_term term)
{
    struct weft__copy_refusal refusal = {WEFT__COPY_NONE, weft_none};

    if (weft_is_none(term) || weft__copy_size(term, &refusal) == WEFT__COPY_REFUSED)
        weft__proc_badarg(call, "the %s cannot be kept: %s", what, weft__copy_words(&refusal));
}

static bool is_empty(struct weft__tie *tie)
{
    bool is_empty;

    weft__spin_acquire(&tie->part->lock);
    is_empty = tie->newest == NULL;
    weft__spin_release(&tie->part->lock);
    return is_empty;
}

int weft__registry_register(const char *call, weft_atom name, weft_term key, weft_term value, weft_pid *who)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    uint64_t hash = weft_hash(key);
    struct weft__tie *tie;
    int code;

    weft__proc_obey(proc);
    do {
        struct weft__record *record;

        tie = tie_for(proc, call, name, hash, key, who);
        if (tie == NULL)
            return WEFT_EALREADY;
        record = weft__record_new(hash, key, value, proc->pid);
        if (record == NULL)
            weft__proc_system_limit(call, "no memory");
        code = add(tie, record, who);
    } while (code == WEFT_ENOPROC);
    if (code == 0) {
        weft__registry_wake(name, &hash);
        *who = tie->process;
        if (tie->part->n_listeners > 0)
            tell_listeners(tie->part->listeners, tie->part->n_listeners,
                           weft_tuple(A(register), name, key, proc->pid, value));
    } else if (is_empty(tie)) {
        tie_drop(proc, tie);
    }
    if (code == WEFT_ENOMEM)
        weft__proc_system_limit(call, "no memory");
    return code;
}

int weft_registry_register(weft_atom registry, weft_term key, weft_term value, weft_pid *who)
{
    weft_pid unused;

    if (weft_is_none(value))
        value = WEFT__A(nil);
    weft__registry_check_sendable("weft_registry_register", "key", key);
    weft__registry_check_sendable("weft_registry_register", "value", value);
    return weft__registry_register("weft_registry_register", registry, key, value, who != NULL ? who : &unused);
}

/* -- as a name -------------------------------------------------------------------------------- */

/* Is there such a registry, of unique keys? 0 or a code. In a section of the epoch. */
static int find_unique(weft_term name, const struct weft__registry **registry)
{
    *registry = weft__registry_find(name);
    if (*registry == NULL)
        return WEFT_ENOENT;
    return (*registry)->keys == WEFT_UNIQUE ? 0 : WEFT_ENOTSUP;
}

int weft__registry_whereis(weft_term name, uint64_t hash, weft_term key, weft_pid *pid)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    const struct weft__registry *registry;
    int code;

    *pid = weft_none;
    weft__epoch_begin(epoch);
    code = find_unique(name, &registry);
    if (code == 0)
        *pid = holder_of(weft__registry_part(registry, hash, weft_none), hash, key);
    weft__epoch_end(epoch);
    return code;
}

static int via_whereis(weft_term name, weft_term key, weft_pid *pid)
{
    int code = weft__registry_whereis(name, weft_hash(key), key, pid);

    return code == WEFT_ENOENT ? 0 : code;
}

static int via_check(weft_term name)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    const struct weft__registry *registry;
    int code;

    weft__epoch_begin(epoch);
    code = find_unique(name, &registry);
    weft__epoch_end(epoch);
    return code;
}

static int via_register(weft_term name, weft_term key, weft_term value, weft_pid *holder)
{
    int code = via_check(name);
    weft_pid who;

    if (code != 0)
        return code;
    code = weft__registry_register("weft_via", name, key, weft_is_none(value) ? WEFT__A(nil) : value, &who);
    if (code == WEFT_EALREADY)
        *holder = who;
    return code;
}

/* -- taking back ---------------------------------------------------------------------------------- */

/* The caller's tie that holds what it registered under the key, or NULL: it has nothing there.
 * (noinline, as replace_own: a gate calls it, where the process may be stopped at any moment.) */
static __attribute__((noinline)) struct weft__tie *own_tie(const struct weft__proc *proc, const char *call, weft_atom name, uint64_t hash)
{
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter(call, name, &epoch);
    struct weft__part *part = weft__registry_part(registry, hash, proc->pid);

    weft__epoch_end(epoch);
    return tie_find(proc, part); /* which holds it, if there is one */
}

/* Is the record of the caller's meant? pattern: or weft_none. */
static bool is_meant(const struct weft__record *record, uint64_t hash, weft_term key, weft_term pattern)
{
    return record->hash == hash && weft_eq(record->key, key) &&
           (weft_is_none(pattern) || weft__match_fits(record->value, pattern));
}

/* Take out what is meant: how many, and *list. */
static size_t remove_own(struct weft__tie *tie, uint64_t hash, weft_term key, weft_term pattern,
                         struct weft__record **list)
{
    struct weft__record *record, *older;
    size_t n = 0;

    *list = NULL;
    weft__spin_acquire(&tie->part->lock);
    for (record = tie->newest; record != NULL; record = older) {
        older = record->older;
        if (!is_meant(record, hash, key, pattern))
            continue;
        weft__part_remove_locked(tie->part, record);
        record->older = *list;
        *list = record;
        n++;
    }
    weft__spin_release(&tie->part->lock);
    return n;
}

bool weft__registry_has(const char *call, weft_atom name, weft_term key, weft_term pattern)
{
    uint64_t hash = weft_hash(key);
    struct weft__tie *tie = own_tie(weft__proc_need(call), call, name, hash);
    const struct weft__record *record = NULL;

    if (tie == NULL)
        return false;
    weft__spin_acquire(&tie->part->lock);
    for (record = tie->newest; record != NULL && !is_meant(record, hash, key, pattern);)
        record = record->older;
    weft__spin_release(&tie->part->lock);
    return record != NULL;
}

size_t weft__registry_unregister(const char *call, weft_atom name, weft_term key, weft_term pattern)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    uint64_t hash = weft_hash(key);
    struct weft__tie *tie = own_tie(proc, call, name, hash);
    struct weft__record *list;
    size_t n;

    weft__proc_obey(proc);
    if (tie == NULL)
        return 0;
    n = remove_own(tie, hash, key, pattern, &list);
    weft__records_end(list);
    if (n > 0 && tie->part->n_listeners > 0)
        tell_listeners(tie->part->listeners, tie->part->n_listeners,
                       weft_tuple(A(unregister), name, key, proc->pid));
    if (is_empty(tie))
        tie_drop(proc, tie);
    return n;
}

size_t weft_registry_unregister(weft_atom registry, weft_term key)
{
    return weft__registry_unregister("weft_registry_unregister", registry, key, weft_none);
}

size_t weft_registry_unregister_match(weft_atom registry, weft_term key, weft_term pattern)
{
    if (weft_is_none(pattern))
        weft__proc_badarg("weft_registry_unregister_match", "the pattern is weft_none, which fits nothing");
    return weft__registry_unregister("weft_registry_unregister_match", registry, key, pattern);
}

/* -- a new value ------------------------------------------------------------------------------------ */

#define UPDATE "weft_registry_update_value"

static int check_own(const struct weft__proc *proc, weft_atom name, weft_term key)
{
    weft_pid holder = weft_registry_whereis(name, key);

    if (weft_is_none(holder))
        return WEFT_ENOENT;
    return holder.bits == proc->pid.bits ? 0 : WEFT_ENOTOWNER;
}

/* Put instead in the place of the caller's record: that one, or NULL: it has none any more. */
static __attribute__((noinline)) struct weft__record *replace_own(struct weft__tie *tie, struct weft__record *instead)
{
    struct weft__walk_key walk;
    struct weft__record *there;

    weft__spin_acquire(&tie->part->lock);
    /* Not const: the lock is held. */
    there = (struct weft__record *)weft__walk_key_first(&walk, tie->part, instead->hash, instead->key);
    if (there != NULL && there->tie == tie)
        weft__part_replace_locked(tie->part, there, instead);
    else
        there = NULL;
    weft__spin_release(&tie->part->lock);
    return there;
}

WEFT__GATE int weft_registry_update_value(weft_atom registry, weft_term key,
                                          weft_term (*fn)(weft_term value, void *arg), void *arg,
                                          weft_term *before, weft_term *after)
{
    struct weft__proc *proc = weft__proc_need_parkable(UPDATE);
    uint64_t hash = weft_hash(key);
    struct weft__record *instead, *there;
    struct weft__tie *tie;
    weft_term old, new;
    int code = check_own(proc, registry, key);

    if (fn == NULL)
        weft__proc_badarg(UPDATE, "the function is NULL");
    if (code != 0)
        return code;
    old = weft_head(weft_registry_values(registry, key, proc->pid));
    new = fn(old, arg);
    weft__proc_returned(proc);
    weft__registry_check_sendable(UPDATE, "new value", new);
    tie = own_tie(proc, UPDATE, registry, hash);
    instead = tie != NULL ? weft__record_new(hash, key, new, proc->pid) : NULL;
    if (tie == NULL)
        return WEFT_ENOENT; /* fn took it back */
    if (instead == NULL)
        weft__proc_system_limit(UPDATE, "no memory");
    there = replace_own(tie, instead);
    if (there == NULL) {
        weft__record_free(instead);
        return WEFT_ENOENT;
    }
    there->older = NULL;
    weft__records_end(there);
    if (before != NULL)
        *before = old;
    if (after != NULL)
        *after = new;
    return 0;
}

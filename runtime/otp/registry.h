/* registry.h - a registry: its name, its partitions, and who registers in it.
 *
 * A registry is a supervisor with a process for each partition (registry_start.c). All that
 * lookups need hangs from its name, beside those processes: a struct weft__registry
 * in a chain by name, read in an epoch section, freed when the supervisor has ended
 * and nobody reads it.
 *
 * The processes of partitions do nothing but live: who registers is linked to one, so
 * that a registry's end is known to those who counted on it. When such a process ends,
 * it closes its partition first and empties it. Whom it is linked to the records say: a
 * link is half one (proc/bond.h) until then, so that to register and to take back sends
 * it nothing, and wakes nobody.
 *
 * An owner's end. What a process has registered hangs from a note in its slot
 * (services/holding.h). Whoever ends the process takes that out of the partitions before
 * links and monitors are told: so nobody who heard of the end finds an entry.
 *
 * Threads: a note by its process alone, and by who ends it.
 */
#ifndef WEFT_OTP_REGISTRY_H
#define WEFT_OTP_REGISTRY_H

#include "otp/registry_part.h"
#include "proc/proc.h"
#include "weft/pubsub.h"

struct weft__registry {
    /* Set once. */
    weft_atom name;
    enum weft_registry_keys keys;
    weft_pid supervisor;
    struct weft__part *meta;                  /* key and value, nobody's */
    bool is_pubsub;                           /* its partitions have topics */
    weft_pubsub_telemetry_fn *telemetry;      /* of a PubSub; or NULL */
    struct weft__epoch_entry end;
    /* Under the lock of names, read in sections. */
    _Atomic(struct weft__registry *) next;
    uint32_t n_parts;
    struct weft__part *parts[];
};

/* In a section: that of a name, or NULL. */
#define WEFT__REGISTRY_CHAINS 64
extern _Atomic(struct weft__registry *) weft__registries[WEFT__REGISTRY_CHAINS];

static inline _Atomic(struct weft__registry *) *weft__registry_chain(weft_atom name)
{
    return &weft__registries[(name.bits >> 4) % WEFT__REGISTRY_CHAINS];
}

static inline struct weft__registry *weft__registry_find(weft_atom name)
{
    /* Acquire, with the release in add: its fields are set. */
    struct weft__registry *registry = atomic_load_explicit(weft__registry_chain(name), memory_order_acquire);

    while (registry != NULL && registry->name.bits != name.bits)
        registry = atomic_load_explicit(&registry->next, memory_order_acquire);
    return registry;
}

_Noreturn void weft__registry_no_section(const char *call, weft_atom name, struct weft__epoch *epoch);

/* Open a section, and find a registry; exits for one that does not run. The section is
 * left by weft__epoch_end(*epoch). here: the calling thread's. */
static inline struct weft__registry *weft__registry_enter_on(struct weft__here *here, const char *call,
                                                             weft_atom name, struct weft__epoch **epoch)
{
    struct weft__registry *registry = NULL;

    *epoch = weft__registry_epoch_on(here);
    if (__builtin_expect(*epoch != NULL, 1)) {
        weft__epoch_begin(*epoch);
        registry = weft__registry_find(name);
    }
    if (__builtin_expect(registry == NULL, 0))
        weft__registry_no_section(call, name, *epoch);
    return registry;
}
static inline struct weft__registry *weft__registry_enter(const char *call, weft_atom name, struct weft__epoch **epoch)
{
    return weft__registry_enter_on(weft__here(), call, name, epoch);
}

_Noreturn void weft__registry_unknown(const char *call, weft_atom name);
_Noreturn void weft__registry_not_unique(const char *call, weft_atom name);

/* The public calls' work, in the name of `call`. Register: the terms can be kept. pattern: or
 * weft_none. */
int weft__registry_register(const char *call, weft_atom name, weft_term key, weft_term value, weft_pid *who);
size_t weft__registry_unregister(const char *call, weft_atom name, weft_term key, weft_term pattern);
/* Has the caller an entry under that key, whose value fits the pattern? weft_none: any value. */
bool weft__registry_has(const char *call, weft_atom name, weft_term key, weft_term pattern);
void weft__registry_check_sendable(const char *call, const char *what, weft_term term);
/* Start what pack, or the same of a PubSub, has made. */
weft_started weft__registry_start_packed(weft_term packed);
bool weft__registry_is_name(weft_term term);

/* The partition of what `owner` registers under a key of that hash. */
static inline struct weft__part *weft__registry_part(const struct weft__registry *registry, uint64_t hash,
                                                     weft_pid owner)
{
    uint64_t number = registry->keys == WEFT_DUPLICATE ? weft__pid_slot(owner) : hash >> 32;

    return registry->parts[registry->n_parts == 1 ? 0 : number % registry->n_parts];
}
/* Which partitions may have entries of a key: from *at to before *end. */
static inline void weft__registry_parts_of(const struct weft__registry *registry, uint64_t hash, uint32_t *at,
                                           uint32_t *end)
{
    bool is_anywhere = registry->keys == WEFT_DUPLICATE || registry->n_parts == 1;

    *at = is_anywhere ? 0 : (uint32_t)((hash >> 32) % registry->n_parts);
    *end = is_anywhere ? registry->n_parts : *at + 1;
}

/* Alive, as weft_is_alive without looking at one's own signals. Never switches. */
bool weft__registry_is_live(weft_pid pid);

/* A list of {pid, value} of a key, in the caller's scope: of that partition, or -1: of all.
 * Exits for an unknown registry. Never switches. */
weft_term weft__registry_entries(const char *call, weft_atom registry, weft_term key, int64_t part);

/* Who has a unique key, alive, or weft_none: 0; WEFT_ENOENT: no such registry; WEFT_ENOTSUP:
 * its keys are duplicate. From anywhere. Never switches. */
int weft__registry_whereis(weft_term name, uint64_t hash, weft_term key, weft_pid *pid);

/* It left the frames in which it had locks, and goes on: nobody else's turn waits for its
 * end. By the process itself (registry_lock.c). */
void weft__registry_locks_left(struct weft__proc *proc);

/* Somebody may wait for a key of that hash, which was just registered; with NULL: the
 * registry ends, which concerns whoever waits for a key of it (registry_await.c). */
void weft__registry_wake(weft_atom registry, const uint64_t *hash);

#endif

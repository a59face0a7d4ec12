/* registry.h - names that are values, and groups: a table from keys to processes.
 *
 *     weft_registry_start_link(.name = WEFT_ATOM("rooms"), .keys = WEFT_UNIQUE);
 *     weft_gen_server_start_link(&room, id, .name = weft_via(WEFT_ATOM("rooms"), id));
 *     weft_gen_server_call(weft_via(WEFT_ATOM("rooms"), id), WEFT_ATOM("enter"), 5000);
 *
 * A key is any term, and keys differ by weft_eq. In a registry of unique keys a key
 * stands for one process, in one of duplicate keys for any number of them. With
 * each entry there is a value. An entry belongs to the process that made it and
 * goes with it, however it ends: who has heard of the end finds no entry.
 *
 * Reading takes no lock and goes through no process. Who registers is linked to
 * the process of the entry's partition: when a registry ends, so do those in it
 * that do not trap exits. Start it before its users. Short tasks should not
 * register what is to last: their entries go with them. More than one partition
 * pays where many cores register at once; reading all entries gets dearer.
 *
 * A pid that a lookup gives may be of a process that is just ending: to be
 * sure, monitor it, or name it by weft_via, which never leads to a dead one.
 *
 * Where:   every call works in a process. Those that say so may park; the others
 *          never switch.
 * Exits:   {:badarg, "call: unknown registry ..."}   no registry of that name runs;
 *          {:badarg, ...} for other mistakes, {:system_limit, text} without memory
 * Meaning: Elixir's Registry; rules REG-1 to REG-54. weft's patterns stand for match
 *          specs; there are no guards.
 */
#ifndef WEFT_REGISTRY_H
#define WEFT_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/child.h"
#include "weft/gen_server.h"
#include "weft/options.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* -- starting ----------------------------------------------------------------------- */

enum weft_registry_keys {
    WEFT_UNIQUE = 1,      /* a key stands for one process */
    WEFT_DUPLICATE,       /* for any number; entries lie in their owner's partition */
    WEFT_DUPLICATE_BY_KEY /* the same; entries lie in their key's partition: for
                           * many keys with few entries each */
};

struct weft_registry_options {
    WEFT_OPTION(size_t, size, sizeof(weft_registry_options));
    WEFT_OPTION(weft_atom, name, {0});                   /* must be given: an atom */
    WEFT_OPTION(enum weft_registry_keys, keys, (enum weft_registry_keys)0); /* must be given */
    WEFT_OPTION(int64_t, partitions, 1);
    WEFT_OPTION(weft_term, listeners, {0});              /* a list of atoms: names of processes that
                                                          * are told of entries, see below */
    WEFT_OPTION(weft_term, meta, {0});                   /* a list of {key, value} */
};
#define WEFT_REGISTRY_DEFAULTS                                            \
    .size = sizeof(struct weft_registry_options), .name = {0},            \
    .keys = (enum weft_registry_keys)0, .partitions = 1, .listeners = {0}, .meta = {0}

/* Start one, linked to the caller: a supervisor, with one child for each
 * partition.
 *
 *   .listeners   processes of these names are sent {:register, registry, key, pid,
 *                value} and {:unregister, registry, key, pid}; of an owner's end
 *                they hear by monitors of their own. A name that nobody has is skipped
 *
 * Where:    in a process. May park.
 * Returns:  its pid; or not ok: {:already_started, pid}.
 * Exits:    {:badarg, text}   an option is missing or wrong, by name
 * Meaning:  REG-1 to REG-5, REG-39 to REG-42. */
#define weft_registry_start_link(...)                                     \
    WEFT_CALL_OPTIONS(weft_registry_start_link_opt(                       \
        WEFT_OPTIONS(weft_registry_options, WEFT_REGISTRY_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_registry_start_link_opt(const struct weft_registry_options *options);

/* The same as a child of a supervisor: its id is its name. Never switches. */
#define weft_registry_child(...)                                          \
    WEFT_CALL_OPTIONS(weft_registry_child_opt(                            \
        WEFT_OPTIONS(weft_registry_options, WEFT_REGISTRY_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_child_spec weft_registry_child_opt(const struct weft_registry_options *options);

/* -- registering ---------------------------------------------------------------------- */

/* Register the calling process, and no other, under a key.
 *
 *   value   kept with the entry; weft_none: the atom nil
 *   who     the partition's process, to which the caller is linked now; or who has
 *           the key, which may be the caller itself; or NULL
 *
 * Where:    in a process. May park.
 * Returns:  0: the entry is there, listeners' messages are on their way;
 *           WEFT_EALREADY: a live process has the key, of a registry of unique ones
 * Meaning:  REG-6 to REG-14. A key whose holder has ended is free. */
WEFT_API int weft_registry_register(weft_atom registry, weft_term key, weft_term value, weft_pid *who);

/* Take back all entries of the caller under a key. With the last one in a partition
 * the link with its process goes. May park. Returns how many there were. REG-26,
 * REG-28, REG-29. */
WEFT_API size_t weft_registry_unregister(weft_atom registry, weft_term key);

/* The same, of those only whose value fits the pattern; the key is none. May park.
 * REG-27. */
WEFT_API size_t weft_registry_unregister_match(weft_atom registry, weft_term key, weft_term pattern);

/* Replace the value of the caller's entry by fn(value, arg), which runs in the caller.
 *
 *   before, after   the two values, in the caller's scope, or NULL
 *
 * Where:    in a process. May park, if fn does.
 * Returns:  0; WEFT_ENOENT: nobody has the key; WEFT_ENOTOWNER: another process has;
 *           fn is not called then
 * Exits:    {:badarg, text}   a registry of duplicate keys
 * Meaning:  REG-30, REG-31. */
WEFT_API int weft_registry_update_value(weft_atom registry, weft_term key,
                                        weft_term (*fn)(weft_term value, void *arg), void *arg,
                                        weft_term *before, weft_term *after);

/* A name that registers with a value: where a process is started. weft_via gives it
 * nil. Never switches. REG-32. */
static inline weft_server weft_via_value(weft_atom registry, weft_term key, weft_term value)
{
    const weft_term elements[4] = {WEFT_ATOM("via"), registry, key, value};

    return weft_tuple_of(elements, 4);
}

/* -- looking up: none of these switches -------------------------------------------------
 *
 * Each never switches. Lists are in the caller's scope. */

/* A list of {pid, value}: entries of one process in the order they were made.
 * Never switches. REG-15, REG-16. */
WEFT_API weft_term weft_registry_lookup(weft_atom registry, weft_term key);

/* Who has the key, alive, of a registry of unique keys; or weft_none. Never
 * switches. REG-17. */
WEFT_API weft_pid weft_registry_whereis(weft_atom registry, weft_term key);

/* The keys of a process, each once for each entry. Reads all entries. Never
 * switches. REG-18. */
WEFT_API weft_term weft_registry_keys(weft_atom registry, weft_pid pid);

/* The values of a process under a key. Never switches. REG-19. */
WEFT_API weft_term weft_registry_values(weft_atom registry, weft_term key, weft_pid pid);

/* How many entries there are, in time independent of it. Never switches. REG-20. */
WEFT_API size_t weft_registry_count(weft_atom registry);

/* weft_registry_lookup, of those whose value fits the pattern; the key is none. Never
 * switches. REG-21 to REG-23. */
WEFT_API weft_term weft_registry_match(weft_atom registry, weft_term key, weft_term pattern);
WEFT_API size_t weft_registry_count_match(weft_atom registry, weft_term key, weft_term pattern);

/* A list of all {key, pid, value} that fit the pattern, which is weft_any or a tuple
 * of three. No snapshot: entries come and go meanwhile. Never switches. REG-24, REG-25. */
WEFT_API weft_term weft_registry_select(weft_atom registry, weft_term pattern);
WEFT_API size_t weft_registry_count_select(weft_atom registry, weft_term pattern);

/* -- waiting, dispatching ------------------------------------------------------------------ */

/* Wait until a live process has the key, of a registry of unique keys.
 *
 * Where:    in a process. May park.
 * Returns:  the process.
 * Exits:    {:timeout, {Registry, :await, [registry, key, timeout]}}   nobody came in time */
WEFT_API weft_pid weft_registry_await(weft_atom registry, weft_term key, int64_t timeout_ms);
/* The same, reporting: weft_none when nobody came in time. May park. */
WEFT_API weft_pid weft_registry_try_await(weft_atom registry, weft_term key, int64_t timeout_ms);

struct weft_registry_dispatch_options {
    WEFT_OPTION(size_t, size, sizeof(weft_registry_dispatch_options));
    WEFT_OPTION(bool, parallel, false);
};
#define WEFT_REGISTRY_DISPATCH_DEFAULTS .size = sizeof(struct weft_registry_dispatch_options), .parallel = false

/* Call fn([{pid, value}], arg) in the caller, once for each partition that has entries
 * of the key: at most once, unless the registry is WEFT_DUPLICATE.
 *
 *   .parallel   in a WEFT_DUPLICATE registry of several partitions these calls are made
 *               at once, each in a process of its own, linked to the caller. What arg
 *               points to is shared by them, and must outlive a caller that is killed
 *
 * Where:    in a process. May park.
 * Returns:  when all calls have. A crash in one ends the caller with its reason.
 * Meaning:  REG-36 to REG-38. */
#define weft_registry_dispatch(registry, key, fn, arg, ...)               \
    WEFT_CALL_OPTIONS(weft_registry_dispatch_opt((registry), (key), (fn), (arg), \
        WEFT_OPTIONS(weft_registry_dispatch_options, WEFT_REGISTRY_DISPATCH_DEFAULTS, __VA_ARGS__)))
WEFT_API void weft_registry_dispatch_opt(weft_atom registry, weft_term key,
                                         void (*fn)(weft_term entries, void *arg), void *arg,
                                         const struct weft_registry_dispatch_options *options);

/* -- locks -------------------------------------------------------------------------------------
 *
 * Each key is a lock of its own, which has nothing to do with entries of that key. Who
 * waits is served in the order of coming, however those before it end. A lock is kept
 * where its registry's name is: it outlives a restart of the registry. */

/* Run fn(arg) while the caller holds the lock of a key.
 *
 * Where:    in a process. May park, until all that came before have let go.
 * Returns:  what fn does. The lock is released then, as when fn exits, or the caller
 *           ends in any way.
 * Exits:    {:badarg, text}   the caller holds that lock already
 * Meaning:  REG-48 to REG-52. */
WEFT_API weft_term weft_registry_lock(weft_atom registry, weft_term key, weft_term (*fn)(void *arg), void *arg);

/* The same, for who waits no longer than that (0: not at all). false: the time is
 * over; fn was not called and nobody will grant the lock to the caller any more.
 * *result may be NULL. May park. */
WEFT_API bool weft_registry_try_lock(weft_atom registry, weft_term key, int64_t timeout_ms,
                                     weft_term (*fn)(void *arg), void *arg, weft_term *result);

/* -- metadata: each never switches ------------------------------------------------------------ */

/* What goes with the registry as a whole, for any process to read and change. _meta:
 * weft_none when there is none. Never switches. REG-39. */
WEFT_API void weft_registry_put_meta(weft_atom registry, weft_term key, weft_term value);
WEFT_API weft_term weft_registry_meta(weft_atom registry, weft_term key);
WEFT_API void weft_registry_delete_meta(weft_atom registry, weft_term key);

WEFT__END_C

#endif

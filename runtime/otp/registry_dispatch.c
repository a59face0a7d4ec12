/* registry_dispatch.c - what is to be done for all entries of a key: by the caller, or
 * by a process for each partition.
 *
 * In parallel, the caller starts one process for each partition that has entries, linked
 * and watched, and waits for their ends. Each reads its partition itself, so that
 * nothing is copied to it. A crash in one comes by its link to a caller that traps no
 * exits, and by its DOWN to one that does.
 */
#include "otp/registry.h"

#include "base/code.h"
#include "base/options.h"
#include "proc/runtime.h"
#include "weft/process.h"

#define A(name) WEFT_ATOM(#name)
#define CALL "weft_registry_dispatch"

/* What is called, with what. */
struct dispatch {
    weft_atom registry;
    weft_term key;
    void (*fn)(weft_term entries, void *arg);
    void *arg;
};

WEFT__GATE static void dispatch_part(const struct dispatch *dispatch, int64_t part)
{
    WEFT_SCOPE;
    weft_term entries = weft__registry_entries(CALL, dispatch->registry, dispatch->key, part);

    if (!weft_is_empty_list(entries))
        dispatch->fn(entries, dispatch->arg);
}

/* arg: {registry, key, part, fn, arg} */
WEFT__GATE static weft_term run_part(weft_term arg)
{
    /* Two casts: a function is no object to ISO C. */
    uintptr_t fn = (uintptr_t)weft_to_pointer(weft_tuple_at(arg, 3));
    struct dispatch dispatch = {
        .registry = weft_tuple_at(arg, 0),
        .key = weft_tuple_at(arg, 1),
        .fn = (void (*)(weft_term, void *))fn,
        .arg = weft_to_pointer(weft_tuple_at(arg, 4)),
    };

    dispatch_part(&dispatch, weft_to_int(weft_tuple_at(arg, 2)));
    return A(ok);
}

/* {pid, ref} */
static weft_term start_part(const struct dispatch *dispatch, uint32_t part)
{
    weft_ref ref;
    weft_pid pid = weft_spawn(run_part,
                              weft_tuple(dispatch->registry, dispatch->key, weft_int(part),
                                         weft_pointer((void *)(uintptr_t)dispatch->fn), weft_pointer(dispatch->arg)),
                              .link = true, .monitor = &ref);

    return weft_tuple(pid, ref);
}

/* One that was started. Its end; nothing of it is left behind. */
static void await_part(weft_term started)
{
    weft_pid pid = weft_tuple_at(started, 0);
    weft_term reason;

    weft_receive(weft_tuple(A(DOWN), weft_tuple_at(started, 1), A(process), pid, weft_bind(&reason)),
                 WEFT_INFINITY, NULL);
    weft_unlink_flush(pid);
    if (!weft_eq(reason, A(normal)))
        weft_exit(reason);
}

static bool has_entries(const struct dispatch *dispatch, uint64_t hash, uint32_t part)
{
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter(CALL, dispatch->registry, &epoch);
    struct weft__walk_key walk;
    /* One of that name that was started meanwhile may have fewer. */
    bool has_entries = part < registry->n_parts &&
                       weft__walk_key_first(&walk, registry->parts[part], hash, dispatch->key) != NULL;

    weft__epoch_end(epoch);
    return has_entries;
}

/* (noinline, as below: gates call them, where the process may be stopped at any moment.) */
static __attribute__((noinline)) void dispatch_parallel(const struct dispatch *dispatch, uint32_t at, uint32_t end)
{
    WEFT_SCOPE;
    weft_term started = weft_empty_list;
    uint64_t hash = weft_hash(dispatch->key);

    for (; at < end; at++)
        if (has_entries(dispatch, hash, at))
            started = weft_cons(start_part(dispatch, at), started);
    weft_list_each (one, started)
        await_part(one);
}

/* Which partitions may have entries, and does that layout make calls at once? */
static __attribute__((noinline)) bool parts_of(weft_atom name, weft_term key, uint32_t *at, uint32_t *end)
{
    struct weft__epoch *epoch;
    const struct weft__registry *registry = weft__registry_enter(CALL, name, &epoch);
    bool is_spread = registry->keys == WEFT_DUPLICATE && registry->n_parts > 1;

    weft__registry_parts_of(registry, weft_hash(key), at, end);
    weft__epoch_end(epoch);
    return is_spread;
}

WEFT__GATE void weft_registry_dispatch_opt(weft_atom registry, weft_term key,
                                           void (*fn)(weft_term entries, void *arg), void *arg,
                                           const struct weft_registry_dispatch_options *given)
{
    struct weft_registry_dispatch_options room = {WEFT_REGISTRY_DISPATCH_DEFAULTS};
    const struct weft_registry_dispatch_options *options = weft__options(given, &room, sizeof room);
    const struct dispatch dispatch = {.registry = registry, .key = key, .fn = fn, .arg = arg};
    bool is_spread;
    uint32_t at, end;

    weft__proc_obey(weft__proc_need_parkable(CALL));
    if (fn == NULL)
        weft__proc_badarg(CALL, "the function is NULL");
    is_spread = parts_of(registry, key, &at, &end);
    if (options->parallel && is_spread) {
        dispatch_parallel(&dispatch, at, end);
        return;
    }
    for (; at < end; at++)
        dispatch_part(&dispatch, at);
}

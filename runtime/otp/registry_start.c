/* registry_start.c - options, the supervisor, its partitions, and names. */
#include "otp/registry.h"

#include <sched.h>
#include <stdlib.h>

#include "base/options.h"
#include "otp/topics.h"
#include "otp/task.h"
#include "proc/bond.h"
#include "proc/runtime.h"
#include "term/copy.h"
#include "weft/supervisor.h"

#define A(name) WEFT_ATOM(#name)
#define CALL "weft_registry_start_link"
#define PARTITIONS_MAX 65536

/* -- names --------------------------------------------------------------------------- */

static struct weft__spin lock; /* a leaf, all 0: guards writing the chains */
_Atomic(struct weft__registry *) weft__registries[WEFT__REGISTRY_CHAINS];

static void add(struct weft__registry *registry)
{
    _Atomic(struct weft__registry *) *chain = weft__registry_chain(registry->name);

    weft__spin_acquire(&lock);
    atomic_store_explicit(&registry->next, atomic_load_explicit(chain, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(chain, registry, memory_order_release);
    weft__spin_release(&lock);
}

static void take_out(struct weft__registry *registry)
{
    _Atomic(struct weft__registry *) *at = weft__registry_chain(registry->name);

    weft__spin_acquire(&lock);
    while (atomic_load_explicit(at, memory_order_relaxed) != registry)
        at = &atomic_load_explicit(at, memory_order_relaxed)->next;
    /* Release: a reader comes to the next one this way for the first time. Its own link
     * stays for those who stand on it. */
    atomic_store_explicit(at, atomic_load_explicit(&registry->next, memory_order_relaxed), memory_order_release);
    weft__spin_release(&lock);
}

_Noreturn void weft__registry_unknown(const char *call, weft_atom name)
{
    weft__proc_badarg(call, "unknown registry %s: none of that name runs; start it before its users",
                      weft_inspect(name));
}

_Noreturn void weft__registry_not_unique(const char *call, weft_atom name)
{
    weft__proc_badarg(call, "not supported by registry %s: its keys are duplicate, and this is for unique ones",
                      weft_inspect(name));
}

void weft__registry_no_section(const char *call, weft_atom name, struct weft__epoch *epoch)
{
    if (epoch == NULL)
        weft__proc_system_limit(call, "no memory");
    weft__epoch_end(epoch);
    weft__registry_unknown(call, name);
}

/* -- a registry's life ------------------------------------------------------------------ */

static void registry_free(struct weft__registry *registry)
{
    for (uint32_t i = 0; i < registry->n_parts; i++)
        weft__part_drop(registry->parts[i]);
    if (registry->meta != NULL)
        weft__part_drop(registry->meta);
    free(registry);
}

static void registry_end(struct weft__epoch_entry *end)
{
    registry_free((struct weft__registry *)(void *)((char *)end - offsetof(struct weft__registry, end)));
}

/* NULL: no memory. */
static struct weft__part *part_new(weft_atom name, enum weft_registry_keys keys, weft_term listeners, bool has_topics)
{
    struct weft__part *part = weft__part_new(name, keys, listeners);

    if (part == NULL || !has_topics)
        return part;
    part->topics = weft__topics_new(name);
    if (part->topics != NULL)
        return part;
    weft__part_drop(part);
    return NULL;
}

/* NULL: no memory. */
static struct weft__registry *registry_new(weft_atom name, enum weft_registry_keys keys, uint32_t n_parts,
                                           weft_term listeners, bool is_pubsub)
{
    struct weft__registry *registry = calloc(1, sizeof *registry + n_parts * sizeof registry->parts[0]);

    if (registry == NULL)
        return NULL;
    registry->name = name;
    registry->keys = keys;
    registry->is_pubsub = is_pubsub;
    registry->supervisor = weft_self();
    registry->meta = weft__part_new(name, WEFT_UNIQUE, weft_empty_list);
    while (registry->n_parts < n_parts) {
        struct weft__part *part = part_new(name, keys, listeners, is_pubsub);

        if (part == NULL)
            break;
        registry->parts[registry->n_parts++] = part;
    }
    if (registry->meta != NULL && registry->n_parts == n_parts)
        return registry;
    registry_free(registry);
    return NULL;
}

/* A defer of the supervisor, before its name goes. */
static void registry_close(void *arg)
{
    struct weft__registry *registry = arg;
    struct weft__epoch *epoch = weft__registry_need_epoch();

    take_out(registry);
    weft__registry_wake(registry->name, NULL);
    weft__epoch_defer(epoch, &registry->end, registry_end);
    weft__epoch_poll(epoch);
}

/* -- a partition's process ------------------------------------------------------------------ */

/* Each owner of a record has half a link with the partition's process: the other halves,
 * by which they are told when it is over. */
static void link_owners(struct weft__proc *proc, const struct weft__record *list)
{
    for (; list != NULL; list = list->older)
        while (weft__bond_find(proc, list->pid.bits) == NULL &&
               weft__bond_add(proc, WEFT__BOND_LINK, list->pid.bits, list->pid.bits) == NULL)
            sched_yield();
}

/* A defer of it: whoever was there is told by its link afterwards. */
static void partition_close(void *arg)
{
    struct weft__part *part = arg;
    struct weft__record *list;

    weft__spin_acquire(&part->lock);
    atomic_store_explicit(&part->process, 0, memory_order_relaxed);
    list = weft__part_clear_locked(part);
    weft__spin_release(&part->lock);
    link_owners(weft__proc_need("weft_registry"), list);
    weft__records_end(list);
    weft__part_drop(part);
}

/* The partition of {name, number}, held for the caller, which is the process it opens
 * for; NULL: the registry ended meanwhile. */
static struct weft__part *partition_open(weft_atom name, int64_t number)
{
    struct weft__epoch *epoch = weft__registry_need_epoch();
    struct weft__registry *registry;
    struct weft__part *part = NULL;
    weft_pid parent = weft__proc_need("weft_registry")->parent, self = weft_self();

    weft__epoch_begin(epoch);
    registry = weft__registry_find(name);
    if (registry != NULL && registry->supervisor.bits == parent.bits) {
        part = registry->parts[number];
        weft__spin_acquire(&part->lock);
        weft__part_hold_locked(part);
        atomic_store_explicit(&part->process, self.bits, memory_order_relaxed);
        weft__spin_release(&part->lock);
    }
    weft__epoch_end(epoch);
    return part;
}

static weft_init_result partition_init(weft_term arg)
{
    struct weft__part *part;

    weft_trap_exit(true);
    part = partition_open(weft_tuple_at(arg, 0), weft_to_int(weft_tuple_at(arg, 1)));
    if (part == NULL)
        return weft_init_stop(A(shutdown));
    weft_defer(partition_close, part);
    return weft_init_ok(part);
}

/* Ends of those who registered: their entries are gone already. */
static weft_result partition_info(void *state, weft_term message)
{
    (void)state, (void)message;
    return weft_noreply();
}

static const weft_gen_server partition = {
    .init = partition_init, .handle_info = partition_info, .name = "Registry.Partition"};

static weft_started partition_start_link(weft_term arg)
{
    return weft_gen_server_start_link(&partition, arg);
}

/* -- the supervisor --------------------------------------------------------------------------- */

static void set_meta(struct weft__registry *registry, weft_term list)
{
    weft_list_each (pair, list)
        weft_registry_put_meta(registry->name, weft_tuple_at(pair, 0), weft_tuple_at(pair, 1));
}

/* arg: {name, keys, partitions, listeners, meta}; of a PubSub, and its telemetry. A unique key may be asked of any
 * partition's process, so they all begin anew together; duplicate ones alone. */
static weft_supervisor_init supervisor_init(weft_term arg)
{
    weft_atom name = weft_tuple_at(arg, 0);
    enum weft_registry_keys keys = (enum weft_registry_keys)weft_to_int(weft_tuple_at(arg, 1));
    size_t n = (size_t)weft_to_int(weft_tuple_at(arg, 2));
    bool is_pubsub = weft_tuple_size(arg) == 6;
    struct weft__registry *registry = registry_new(name, keys, (uint32_t)n, weft_tuple_at(arg, 3), is_pubsub);
    weft_child_spec *children;

    if (registry == NULL)
        weft__proc_system_limit(CALL, "no memory");
    if (is_pubsub)
        registry->telemetry = (weft_pubsub_telemetry_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 5));
    weft_defer(registry_close, registry);
    add(registry);
    set_meta(registry, weft_tuple_at(arg, 4));
    children = weft_alloc(n * sizeof *children);
    for (size_t i = 0; i < n; i++)
        children[i] = weft_child(.id = weft_int((int64_t)i), .start = partition_start_link,
                                 .arg = weft_tuple(name, weft_int((int64_t)i)));
    return weft_supervisor_init_ok(children, n,
                                   .strategy = keys == WEFT_UNIQUE ? WEFT_ONE_FOR_ALL : WEFT_ONE_FOR_ONE);
}

weft_started weft__registry_start_packed(weft_term packed)
{
    return weft_supervisor_start_link_init(supervisor_init, packed, weft_tuple_at(packed, 0));
}

/* -- options ----------------------------------------------------------------------------------- */

bool weft__registry_is_name(weft_term term)
{
    return weft_is_atom(term) && !weft_is_bool(term) && !weft_eq(term, A(nil)) && !weft_eq(term, A(undefined));
}

static bool is_proper_list(weft_term term)
{
    while (weft_is_list(term) && !weft_is_empty_list(term))
        term = weft_tail(term);
    return weft_is_empty_list(term);
}

static void check_lists(const char *call, weft_term listeners, weft_term meta)
{
    struct weft__copy_refusal refusal;

    if (!is_proper_list(listeners))
        weft__proc_badarg(call, ".listeners is %s: a list of atoms, the names of processes", weft_inspect(listeners));
    weft_list_each (name, listeners)
        if (!weft__registry_is_name(name))
            weft__proc_badarg(call, ".listeners has %s: atoms only, the names of processes", weft_inspect(name));
    if (!is_proper_list(meta) || weft__copy_size(meta, &refusal) == WEFT__COPY_REFUSED)
        weft__proc_badarg(call, ".meta is %s: a list of {key, value}", weft_inspect(meta));
    weft_list_each (pair, meta)
        if (!weft_is_tuple(pair) || weft_tuple_size(pair) != 2)
            weft__proc_badarg(call, ".meta has %s: {key, value} only", weft_inspect(pair));
}

/* {name, keys, partitions, listeners, meta}, checked. REG-2 */
static weft_term pack(const char *call, const struct weft_registry_options *given)
{
    struct weft_registry_options options = {WEFT_REGISTRY_DEFAULTS};
    weft_term listeners, meta;

    weft__options_take(&options, given);
    if (weft_is_none(options.name))
        weft__proc_badarg(call, ".name is missing: an atom");
    if (!weft__registry_is_name(options.name))
        weft__proc_badarg(call, ".name is %s: an atom other than nil, true, false and undefined",
                          weft_inspect(options.name));
    if ((int)options.keys == 0)
        weft__proc_badarg(call, ".keys is missing: WEFT_UNIQUE, WEFT_DUPLICATE or WEFT_DUPLICATE_BY_KEY");
    if ((unsigned)options.keys > WEFT_DUPLICATE_BY_KEY)
        weft__proc_badarg(call, ".keys is %d: WEFT_UNIQUE, WEFT_DUPLICATE or WEFT_DUPLICATE_BY_KEY",
                          (int)options.keys);
    if (options.partitions < 1 || options.partitions > PARTITIONS_MAX)
        weft__proc_badarg(call, ".partitions is %lld: from 1 to %d", (long long)options.partitions, PARTITIONS_MAX);
    listeners = weft_is_none(options.listeners) ? weft_empty_list : options.listeners;
    meta = weft_is_none(options.meta) ? weft_empty_list : options.meta;
    check_lists(call, listeners, meta);
    return weft_tuple(options.name, weft_int((int)options.keys), weft_int(options.partitions), listeners, meta);
}

weft_started weft_registry_start_link_opt(const struct weft_registry_options *options)
{
    return weft__registry_start_packed(pack(CALL, options));
}

weft_child_spec weft_registry_child_opt(const struct weft_registry_options *options)
{
    weft_term packed = pack("weft_registry_child", options);

    return weft_child(.id = weft_tuple_at(packed, 0), .start = weft__registry_start_packed, .arg = packed, .type = WEFT_SUPERVISOR);
}

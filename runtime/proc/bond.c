#include "proc/bond.h"

#include <string.h>

#include "base/here.h"
#include "base/memory.h"
#include "base/peek.h"
#include "proc/message.h"
#include "proc/proc.h"

#define LIST_MAX 6        /* bonds in the one list before there are buckets */
#define BUCKETS_KEPT 1024 /* not given back when the last bond goes: 8 KiB */
#define PEEKS_MAX 64      /* into a list that may change meanwhile */

static uint32_t bucket_of(uint64_t key, uint32_t n_buckets)
{
    /* The counter of a reference or the serial of a pid, and the slot, whose low
     * bits are spread. So the references that a process makes one after the
     * other lie one after the other, eight in a cache line. */
    return ((uint32_t)(key >> 2) + (uint32_t)(key >> 39) * UINT32_C(0x9E3779B1)) & (n_buckets - 1);
}

static struct weft__bond **list_of(struct weft__proc *proc, uint64_t key)
{
    if (proc->bonds.buckets == NULL)
        return &proc->bonds.one_list;
    return &proc->bonds.buckets[bucket_of(key, proc->bonds.n_buckets)];
}

static size_t buckets_size(uint32_t n)
{
    return n * sizeof(struct weft__bond *);
}

static void move_list(struct weft__bond *list, struct weft__bond **buckets, uint32_t n)
{
    struct weft__bond *next;

    for (; list != NULL; list = next) {
        struct weft__bond **at = &buckets[bucket_of(list->key, n)];

        next = list->next;
        list->next = *at;
        *at = list;
    }
}

/* More buckets; without memory the lists are longer, that is all. */
static void grow(struct weft__proc *proc)
{
    uint32_t n_before = proc->bonds.n_buckets;
    uint32_t n = n_before == 0 ? 4 * LIST_MAX / 3 * 2 : 2 * n_before;
    struct weft__bond **buckets;

    while ((n & (n - 1)) != 0)
        n += n & -n;
    buckets = weft__memory_alloc(buckets_size(n));
    if (buckets == NULL)
        return;
    memset(buckets, 0, buckets_size(n));
    move_list(proc->bonds.one_list, buckets, n);
    for (uint32_t i = 0; i < n_before; i++)
        move_list(proc->bonds.buckets[i], buckets, n);
    if (n_before != 0)
        weft__memory_free(proc->bonds.buckets, buckets_size(n_before));
    proc->bonds.one_list = NULL;
    proc->bonds.buckets = buckets;
    proc->bonds.n_buckets = n;
}

void weft__bond_put(struct weft__proc *proc, struct weft__bond *bond, enum weft__bond_kind kind,
                    uint64_t key, uint64_t peer)
{
    struct weft__bond **list;

    *bond = (struct weft__bond){.key = key, .peer = peer, .kind = (uint8_t)kind, .is_framed = true};
    if (++proc->bonds.n > LIST_MAX && proc->bonds.n > proc->bonds.n_buckets)
        grow(proc);
    list = list_of(proc, key);
    bond->next = *list;
    *list = bond;
}

struct weft__bond *weft__bond_add(struct weft__proc *proc, enum weft__bond_kind kind, uint64_t key,
                                  uint64_t peer)
{
    struct weft__bond *bond = weft__memory_alloc(sizeof *bond);

    if (bond == NULL)
        return NULL;
    weft__bond_put(proc, bond, kind, key, peer);
    bond->is_framed = false;
    return bond;
}

struct weft__bond *weft__bond_find(struct weft__proc *proc, uint64_t key)
{
    struct weft__bond *bond = *list_of(proc, key);

    while (bond != NULL && bond->key != key)
        bond = bond->next;
    return bond;
}

bool weft__bond_peek(const struct weft__proc *copy, uint64_t key, struct weft__bond *bond)
{
    uint32_t n_buckets = copy->bonds.n_buckets;
    const struct weft__bond *at = copy->bonds.one_list;

    /* A torn copy may have any number. */
    if (copy->bonds.buckets != NULL &&
        (n_buckets == 0 || !weft__peek(&at, &copy->bonds.buckets[bucket_of(key, n_buckets)], sizeof at)))
        return false;
    for (int i = 0; i < PEEKS_MAX && at != NULL && weft__peek(bond, at, sizeof *bond); i++) {
        if (bond->key == key)
            return true;
        at = bond->next;
    }
    return false;
}

struct task_search {
    uint64_t peer;
    struct weft__bond *found;
};

static void look_for_task(struct weft__proc *proc, struct weft__bond *bond, void *arg)
{
    struct task_search *search = arg;

    (void)proc;
    if (bond->kind == WEFT__BOND_TASK && bond->peer == search->peer && !bond->is_done)
        search->found = bond;
}

struct weft__bond *weft__bond_find_task(struct weft__proc *proc, uint64_t peer)
{
    struct task_search search = {.peer = peer};

    if (proc->bonds.n > 0)
        weft__bond_each(proc, look_for_task, &search);
    return search.found;
}

void weft__bond_remove(struct weft__proc *proc, struct weft__bond *bond)
{
    struct weft__bond **at = list_of(proc, bond->key);

    while (*at != bond)
        at = &(*at)->next;
    *at = bond->next;
    if (!bond->is_framed)
        weft__memory_free(bond, sizeof *bond);
    if (--proc->bonds.n == 0 && proc->bonds.n_buckets > BUCKETS_KEPT) {
        weft__memory_free(proc->bonds.buckets, buckets_size(proc->bonds.n_buckets));
        proc->bonds.buckets = NULL;
        proc->bonds.n_buckets = 0;
    }
}

static void each_in(struct weft__proc *proc, struct weft__bond *bond,
                    void (*visit)(struct weft__proc *, struct weft__bond *, void *), void *arg)
{
    struct weft__bond *next;

    for (; bond != NULL; bond = next) {
        next = bond->next;
        visit(proc, bond, arg);
    }
}

void weft__bond_each(struct weft__proc *proc,
                     void (*visit)(struct weft__proc *proc, struct weft__bond *bond, void *arg),
                     void *arg)
{
    /* The table is not replaced meanwhile: visit adds none, and the last
     * remove, which may drop the buckets, ends the walk. */
    uint32_t n_buckets = proc->bonds.n_buckets;

    each_in(proc, proc->bonds.one_list, visit, arg);
    for (uint32_t i = 0; i < n_buckets && proc->bonds.buckets != NULL; i++)
        each_in(proc, proc->bonds.buckets[i], visit, arg);
}

static void drop_below(struct weft__proc *proc, struct weft__bond *bond, void *frame)
{
    if (!bond->is_framed || (uintptr_t)bond >= (uintptr_t)frame)
        return;
    if (bond->message != NULL)
        weft__message_free(bond->message);
    weft__bond_remove(proc, bond);
}

void weft__bond_drop_frames(struct weft__proc *proc, void *frame)
{
    if (proc->bonds.n > 0)
        weft__bond_each(proc, drop_below, frame);
}

static void free_bond(struct weft__proc *proc, struct weft__bond *bond, void *arg)
{
    (void)proc;
    (void)arg;
    if (bond->kind == WEFT__BOND_REPLY && bond->message != NULL)
        weft__message_free(bond->message); /* it came too late for who waited */
    if (!bond->is_framed)
        weft__memory_free(bond, sizeof *bond);
}

void weft__bond_clear(struct weft__proc *proc)
{
    if (proc->bonds.n > 0)
        weft__bond_each(proc, free_bond, NULL);
    if (proc->bonds.buckets != NULL)
        weft__memory_free(proc->bonds.buckets, buckets_size(proc->bonds.n_buckets));
    memset(&proc->bonds, 0, sizeof proc->bonds);
}

/* registry_await.c - waiting for a name: by those few who do, in one list.
 *
 * No lost wake-up. Who waits: (1) is in the list, counted, (2) looks the key up. Who
 * registers: (3) the entry is there, (4) looks at the count. Both with a seq_cst
 * fence between: if (2) does not find the entry, (4) sees the waiter, and wakes
 * it; it looks again. A registry that ends does as who registers: it is out of
 * the names, then it looks, and wakes all who wait for a key of it.
 *
 * A waiter is in the frame that waits; a defer takes it out when the process ends
 * in there.
 */
#include "otp/registry.h"

#include "otp/call.h"
#include "otp/task.h"

#define A(name) WEFT_ATOM(#name)

struct waiter {
    struct waiter *next, *prev;
    weft_pid pid;
    weft_atom registry;
    uint64_t hash;
    bool is_woken; /* since it looked last */
};

static struct weft__spin lock; /* a leaf, all 0: guards the list */
static struct waiter *waiters;
static _Atomic uint32_t n_waiters;

static void add(struct waiter *waiter)
{
    weft__spin_acquire(&lock);
    waiter->prev = NULL;
    waiter->next = waiters;
    if (waiters != NULL)
        waiters->prev = waiter;
    waiters = waiter;
    atomic_fetch_add_explicit(&n_waiters, 1, memory_order_seq_cst); /* (1) */
    weft__spin_release(&lock);
}

static void take_out(void *arg)
{
    struct waiter *waiter = arg;

    weft__spin_acquire(&lock);
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        waiters = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    atomic_fetch_sub_explicit(&n_waiters, 1, memory_order_relaxed);
    weft__spin_release(&lock);
}

static void set_asleep(struct waiter *waiter)
{
    weft__spin_acquire(&lock);
    waiter->is_woken = false;
    weft__spin_release(&lock);
}

/* Someone of that hash, or with NULL of any, who has not been woken, who is woken now;
 * or weft_none. */
static weft_pid next_to_wake(weft_atom registry, const uint64_t *hash)
{
    struct waiter *waiter;
    weft_pid pid = weft_none;

    weft__spin_acquire(&lock);
    for (waiter = waiters; waiter != NULL && weft_is_none(pid); waiter = waiter->next)
        if (!waiter->is_woken && waiter->registry.bits == registry.bits && (hash == NULL || waiter->hash == *hash)) {
            waiter->is_woken = true;
            pid = waiter->pid;
        }
    weft__spin_release(&lock);
    return pid;
}

void weft__registry_wake(weft_atom registry, const uint64_t *hash)
{
    weft_pid pid;

    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&n_waiters, memory_order_relaxed) == 0) /* (4) */
        return;
    while (!weft_is_none(pid = next_to_wake(registry, hash)))
        weft__proc_unpark(pid);
}

/* The process, or weft_none; or the code of weft__registry_whereis. */
static int wait_for(struct weft__proc *proc, struct waiter *waiter, weft_term key, int64_t timeout_ms,
                    weft_pid *found)
{
    weft_atom registry = waiter->registry;
    weft_pid pid = weft_none;
    struct weft__wait wait;
    bool has_time = true;
    int code;

    weft__wait_begin(&wait, proc, timeout_ms);
    for (;;) {
        set_asleep(waiter);
        atomic_thread_fence(memory_order_seq_cst);
        code = weft__registry_whereis(registry, waiter->hash, key, &pid); /* (2) */
        if (!weft_is_none(pid) || code != 0 || !has_time)
            break;
        has_time = weft__wait_once(&wait, false);
    }
    weft__wait_end(&wait);
    *found = pid;
    return code;
}

weft_pid weft_registry_try_await(weft_atom registry, weft_term key, int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_registry_await");
    struct waiter waiter = {.pid = proc->pid, .registry = registry, .hash = weft_hash(key)};
    weft_pid pid;
    int code;

    if (timeout_ms < 0)
        weft__proc_badarg("weft_registry_await", "the time is negative (%lld ms)", (long long)timeout_ms);
    pid = weft_registry_whereis(registry, key);
    if (!weft_is_none(pid))
        return pid;
    weft_defer(take_out, &waiter);
    add(&waiter);
    code = wait_for(proc, &waiter, key, timeout_ms, &pid);
    weft_undefer(take_out, &waiter);
    take_out(&waiter);
    if (code != 0)
        weft__registry_unknown("weft_registry_await", registry);
    return pid;
}

weft_pid weft_registry_await(weft_atom registry, weft_term key, int64_t timeout_ms)
{
    weft_pid pid = weft_registry_try_await(registry, key, timeout_ms);

    if (weft_is_none(pid))
        weft_exit(weft_tuple(A(timeout), weft_tuple(A(Registry), A(await),
                                                    weft_list(registry, key, weft__call_timeout_term(timeout_ms)))));
    return pid;
}

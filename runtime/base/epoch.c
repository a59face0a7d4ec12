/* epoch.c - ck_epoch, its records kept so that they can be freed at the end.
 *
 * A record stays registered with ck for as long as the epochs live: one that
 * is in nobody's hands has no section open and so holds nothing up. That is
 * why ck's own unregister, which forgets what was deferred, is not used.
 */
#include "base/epoch.h"

#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

#ifdef WEFT__EPOCH_TSAN
char weft__epoch_edge;
#endif

_Atomic bool weft__epoch_has_barrier;

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* A program asks once; the kernel keeps it. Threads that race for it get the same answer. */
static void ask_for_barrier(void)
{
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0)
        atomic_store_explicit(&weft__epoch_has_barrier, true, memory_order_relaxed);
}

static size_t rounded_to_line(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

struct weft__epochs *weft__epochs_new(void)
{
    struct weft__epochs *epochs = aligned_alloc(64, rounded_to_line(sizeof *epochs));

    if (epochs == NULL)
        return NULL;
    ask_for_barrier();
    ck_epoch_init(&epochs->ck);
    weft__spin_init(&epochs->lock, WEFT__RANK_EPOCH);
    epochs->all = NULL;
    epochs->free = NULL;
    atomic_init(&epochs->is_polled, false);
    return epochs;
}

/* Relaxed: as in weft__epoch_begin. */
static bool make_barrier(void)
{
    return !atomic_load_explicit(&weft__epoch_has_barrier, memory_order_relaxed) ||
           membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

static bool poll(struct weft__epoch *epoch, bool with_barrier)
{
    struct weft__epochs *epochs = epoch->epochs;
    bool is_progress;

    weft__assert(!weft__epoch_is_open(epoch));
    /* Acquire, with the release below: W2 comes after the last step of the number. A
     * deferred call that polls finds it taken. */
    if (atomic_exchange_explicit(&epochs->is_polled, true, memory_order_acquire))
        return false;
    is_progress = (!with_barrier || make_barrier() /* W2 */) && ck_epoch_poll(&epoch->ck);
    atomic_store_explicit(&epochs->is_polled, false, memory_order_release);
    return is_progress;
}

bool weft__epoch_poll(struct weft__epoch *epoch)
{
    return poll(epoch, true);
}

void weft__epochs_flush(struct weft__epochs *epochs)
{
    bool is_busy = true;

    /* A deferred call may defer another. Nobody reads, so there is nobody to make a
     * fence for: should the kernel refuse it by now, all ends even so. */
    while (is_busy) {
        is_busy = false;
        for (struct weft__epoch *epoch = epochs->all; epoch != NULL; epoch = epoch->next_all) {
            weft__assert(!weft__epoch_is_open(epoch));
            is_busy |= weft__epoch_pending(epoch) > 0;
            poll(epoch, false);
        }
    }
}

void weft__epochs_free(struct weft__epochs *epochs)
{
    if (epochs == NULL)
        return;
    weft__epochs_flush(epochs);
    while (epochs->all != NULL) {
        struct weft__epoch *epoch = epochs->all;

        epochs->all = epoch->next_all;
        free(epoch);
    }
    free(epochs);
}

static struct weft__epoch *take_free(struct weft__epochs *epochs)
{
    struct weft__epoch *epoch;

    weft__spin_acquire(&epochs->lock);
    epoch = epochs->free;
    if (epoch != NULL)
        epochs->free = epoch->next_free;
    weft__spin_release(&epochs->lock);
    return epoch;
}

struct weft__epoch *weft__epoch_register(struct weft__epochs *epochs)
{
    struct weft__epoch *epoch = take_free(epochs);

    if (epoch != NULL)
        return epoch;
    epoch = aligned_alloc(64, rounded_to_line(sizeof *epoch));
    if (epoch == NULL)
        return NULL;
    ck_epoch_register(&epochs->ck, &epoch->ck, NULL);
    epoch->epochs = epochs;
    weft__spin_acquire(&epochs->lock);
    epoch->next_all = epochs->all;
    epochs->all = epoch;
    weft__spin_release(&epochs->lock);
    return epoch;
}

void weft__epoch_unregister(struct weft__epoch *epoch)
{
    struct weft__epochs *epochs = epoch->epochs;

    weft__assert(!weft__epoch_is_open(epoch));
    weft__spin_acquire(&epochs->lock);
    epoch->next_free = epochs->free;
    epochs->free = epoch;
    weft__spin_release(&epochs->lock);
}

static void make_call(ck_epoch_entry_t *ck)
{
    /* ck is the entry's first member. */
    struct weft__epoch_entry *entry = (struct weft__epoch_entry *)(void *)ck;

#ifdef WEFT__EPOCH_TSAN
    __tsan_acquire(&weft__epoch_edge);
#endif
    entry->call(entry);
}

void weft__epoch_defer(struct weft__epoch *epoch, struct weft__epoch_entry *entry,
                       void (*call)(struct weft__epoch_entry *entry))
{
    entry->call = call;
    /* W1. A release would let the number be read before the object is out of reach. */
    atomic_thread_fence(memory_order_seq_cst);
    ck_epoch_call(&epoch->ck, &entry->ck, make_call);
}

void weft__epochs_sweep(struct weft__epochs *epochs)
{
    struct weft__epoch *polled = NULL;
    struct weft__epoch *epoch;

    while ((epoch = take_free(epochs)) != NULL) {
        if (weft__epoch_pending(epoch) > 0)
            weft__epoch_poll(epoch);
        epoch->next_free = polled;
        polled = epoch;
    }
    while (polled != NULL) {
        epoch = polled;
        polled = epoch->next_free;
        weft__epoch_unregister(epoch);
    }
}

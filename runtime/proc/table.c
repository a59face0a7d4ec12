#include "proc/table.h"

#include <string.h>
#include <sys/mman.h>

#include "weft/error.h"

#define OPEN_STEP 16384 /* slots made accessible at a time: 4 MiB */

/* A batch is a list by fiber.next. Batches wait in a stack: its head is the number
 * of the newest one's first slot plus one, and above that the turn, which every
 * change moves on, so that who comes late with an old head fails. 2^32 turns are
 * hours of nothing but exchanged batches. The link is the first slot's task_ref,
 * which a free slot does not use; late senders touch only the inbox and the state.
 *
 *   batches   acquire / release: a batch's slots are written, then offered; a pop
 *             in between is an exchange and passes on what pushes before released
 */
#define TURN (UINT64_C(1) << 32)

static uint64_t next_turn(uint64_t head, uint64_t first)
{
    return head / TURN * TURN + TURN + first;
}

static void batch_push(struct weft__table *table, struct weft__proc *first)
{
    uint64_t head = atomic_load_explicit(&table->batches, memory_order_relaxed);

    do
        /* Relaxed: offered by the head. */
        atomic_store_explicit(&first->task_ref, head % TURN, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &table->batches, &head, next_turn(head, weft__table_slot(table, first) + UINT64_C(1)),
        memory_order_release, memory_order_relaxed));
}

/* The first slot of a batch, or NULL. */
static struct weft__proc *batch_pop(struct weft__table *table)
{
    uint64_t head = atomic_load_explicit(&table->batches, memory_order_acquire);
    struct weft__proc *first;
    uint64_t next;

    do {
        if (head % TURN == 0)
            return NULL;
        first = &table->base[head % TURN - 1];
        /* Relaxed: somebody else's by now, perhaps; then the exchange fails. */
        next = atomic_load_explicit(&first->task_ref, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&table->batches, &head, next_turn(head, next % TURN),
                                                    memory_order_acquire, memory_order_acquire));
    return first;
}

int weft__table_init(struct weft__table *table, size_t max, uint32_t n_workers)
{
    size_t batch = max / (8 * ((size_t)n_workers + 1));
    void *base;

    memset(table, 0, sizeof *table);
    table->max = max;
    table->batch = batch < 1 ? 1 : batch > WEFT__SLOT_BATCH_MAX ? WEFT__SLOT_BATCH_MAX : (uint32_t)batch;
    table->size = (max * sizeof(struct weft__proc) + 4095) & ~(size_t)4095;
    base = mmap(NULL, table->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return WEFT_ENOMEM;
    table->base = base;
    atomic_init(&table->batches, 0);
    pthread_mutex_init(&table->lock, NULL);
    return 0;
}

void weft__table_destroy(struct weft__table *table)
{
    if (table->base == NULL)
        return;
    pthread_mutex_destroy(&table->lock);
    munmap(table->base, table->size);
    table->base = NULL;
}

/* Cut a batch of slots that were never used. Under the lock. */
static struct weft__proc *cut_batch(struct weft__table *table, uint32_t *n)
{
    /* Relaxed: written under this lock alone. */
    size_t used = atomic_load_explicit(&table->n_used, memory_order_relaxed);
    size_t want = table->max - used < table->batch ? table->max - used : table->batch;
    struct weft__proc *first = NULL;

    if (want == 0)
        return NULL;
    if (used + want > table->n_open) {
        size_t open = table->n_open + OPEN_STEP < table->max ? table->n_open + OPEN_STEP : table->max;
        size_t bytes = (open * sizeof(struct weft__proc) + 4095) & ~(size_t)4095;

        if (mprotect(table->base, bytes, PROT_READ | PROT_WRITE) != 0)
            return NULL;
        table->n_open = open;
    }
    for (size_t i = used + want; i > used; i--) {
        table->base[i - 1].fiber.next = first != NULL ? &first->fiber : NULL;
        first = &table->base[i - 1];
    }
    *n = (uint32_t)want;
    /* Release, with the acquire in weft__table_at. */
    atomic_store_explicit(&table->n_used, used + want, memory_order_release);
    return first;
}

static bool refill(struct weft__table *table, struct weft__slots *slots)
{
    struct weft__proc *first = batch_pop(table);

    if (first != NULL) {
        slots->first = first;
        slots->n = table->batch;
        return true;
    }
    if (slots != &table->shared)
        pthread_mutex_lock(&table->lock);
    slots->first = cut_batch(table, &slots->n);
    if (slots != &table->shared)
        pthread_mutex_unlock(&table->lock);
    return slots->first != NULL;
}

static struct weft__proc *next_free(struct weft__proc *proc)
{
    return (struct weft__proc *)(void *)proc->fiber.next; /* the fiber comes first */
}

/* A batch of the newest leaves; what is older stays. */
static void shed(struct weft__table *table, struct weft__slots *slots)
{
    struct weft__proc *first = slots->first, *last = first;

    for (uint32_t i = 1; i < table->batch; i++)
        last = next_free(last);
    slots->first = next_free(last);
    slots->n -= table->batch;
    last->fiber.next = NULL;
    batch_push(table, first);
}

static struct weft__proc *take(struct weft__table *table, struct weft__slots *slots)
{
    struct weft__proc *proc;

    if (slots->first == NULL && !refill(table, slots))
        return NULL;
    proc = slots->first;
    slots->first = next_free(proc);
    slots->n--;
    weft__slots_count(slots, 1);
    return proc;
}

static void give(struct weft__table *table, struct weft__slots *slots, struct weft__proc *proc)
{
    weft__slots_count(slots, -1);
    if (weft__state_serial(atomic_load_explicit(&proc->state, memory_order_relaxed)) >>
            WEFT__SERIAL_BITS != 0)
        return; /* its serials are used up: retired */
    proc->fiber.next = slots->first != NULL ? &slots->first->fiber : NULL;
    slots->first = proc;
    if (++slots->n >= 3 * table->batch)
        shed(table, slots);
}

struct weft__proc *weft__table_take_slow(struct weft__table *table, struct weft__slots *slots)
{
    struct weft__proc *proc;

    if (slots != NULL)
        return take(table, slots);
    pthread_mutex_lock(&table->lock);
    proc = take(table, &table->shared);
    pthread_mutex_unlock(&table->lock);
    return proc;
}

void weft__table_give_slow(struct weft__table *table, struct weft__slots *slots, struct weft__proc *proc)
{
    if (slots != NULL) {
        give(table, slots, proc);
        return;
    }
    pthread_mutex_lock(&table->lock);
    give(table, &table->shared, proc);
    pthread_mutex_unlock(&table->lock);
}

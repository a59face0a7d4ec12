#include "proc/table.h"

#include <string.h>
#include <sys/mman.h>

#include "weft/error.h"

#define OPEN_STEP 16384 /* slots made accessible at a time: 4 MiB */

/* A batch is a list by fiber.next. Batches are linked through their first
 * slot's region, which a free slot does not use; late senders touch only the
 * inbox and the state. */
_Static_assert(sizeof(ck_stack_entry_t) <= sizeof(struct weft__region), "a batch's link fits");

static ck_stack_entry_t *batch_entry(struct weft__proc *first)
{
    return (ck_stack_entry_t *)(void *)&first->region;
}

static struct weft__proc *batch_first(ck_stack_entry_t *entry)
{
    return (struct weft__proc *)(void *)((char *)entry - offsetof(struct weft__proc, region));
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
    ck_stack_init(&table->batches);
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
    ck_stack_entry_t *entry = ck_stack_pop_upmc(&table->batches);

    if (entry != NULL) {
        slots->first = batch_first(entry);
        *entry = (ck_stack_entry_t){0}; /* a free slot is clean */
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
    ck_stack_push_upmc(&table->batches, batch_entry(first));
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

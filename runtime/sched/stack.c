/* stack.c - the reservation, its slots and their guards.
 *
 * A class's area is reserved without access at its first use, opened for
 * reading and writing from the bottom up in steps of 64 MiB (so that what is
 * not used does not count as committed, and the area is two mappings however
 * many slots it has), and a slot gets its guard when it is first used.
 *
 *     never used --slot_take--> in use <--get, put--> free --slot_retire--> cold
 *                                  ^                                         |
 *                                  +--------------- slot_take ---------------+
 *
 * Page tables. A stack that touches its top page costs that page and its share
 * of a page-table page, which maps 2 MiB: 16 slots of 128 KiB, 256 bytes each.
 * With a smaller guard the share is less (4 KiB inside a 64 KiB slot: 128
 * bytes), but the first large frame of a function built without stack probes
 * would step over it.
 *
 * Locks: area[c].lock guards a class's growth and cold slots; depot.lock a
 * node's free stacks; caches_lock the list of caches. None is held while
 * another is taken.
 */
#include "sched/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "weft/error.h"

#if WEFT__STACK_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if WEFT__STACK_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_include) && !defined(NVALGRIND)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#define RUNNING_ON_VALGRIND 0
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GUARD_SIZE (64 * KIB)
#define GUARD_OPENING (32 * KIB)
#define OPEN_STEP (64 * MIB)
#define PT_SPAN (2 * MIB) /* what one page-table page maps */
#define COLOURS 16
#define COLOUR_STEP 64
#define N_SLOTS_DEFAULT (1U << 23)
#define N_SLOTS_MAX (1U << 24)
#define N_SLOTS_MIN 16U
#define MAX_IDLE_DEFAULT 4096
/* A cold slot's entry: its number, and above that its guard. */
#define COLD_GUARD_SHIFT 28

static const struct {
    size_t usable;
    uint32_t slots_shift; /* fewer slots than the smallest class has, by 2^this */
    uint32_t cache_max;   /* free ones a worker keeps */
    uint32_t weight;      /* of one, in max_idle */
} classes[WEFT__STACK_CLASSES] = {
    {64 * KIB, 0, 64, 1},
    {256 * KIB, 2, 16, 4},
    {1 * MIB, 4, 4, 16},
    {8 * MIB, 6, 2, 128},
};

struct stack_area {
    /* Written once, under lock, and never again: read by find. */
    char *_Atomic at;  /* NULL: nothing of this class was asked for */
    uint32_t n_slots;
    char *mapped;      /* at is this, aligned */
    size_t mapped_size;
    uint32_t *cold;    /* [n_slots] */
    /* Under lock; n_used also read by find. */
    pthread_mutex_t lock;
    uint32_t n_open;           /* slots that can be written */
    _Atomic uint32_t n_used;   /* slots ever used */
    uint32_t n_cold;
} __attribute__((aligned(64)));

struct stack_depot {
    pthread_mutex_t lock;
    struct weft__stack *first[WEFT__STACK_CLASSES];
} __attribute__((aligned(64)));

struct weft__stack_space {
    struct stack_area area[WEFT__STACK_CLASSES];
    /* Set by new. */
    size_t page_size;
    uint32_t n_nodes;
    uint32_t n_slots; /* of the smallest class, at most */
    int64_t max_idle;
    void (*warn)(void *arg, const char *text);
    void *warn_arg;
    /* Written by anyone; figures and once-flags, so all relaxed: nothing is
     * published through them. */
    _Atomic int guard;             /* the best kind that still works */
    _Atomic int64_t n_guard_maps;  /* stacks that mprotect may still guard */
    _Atomic int64_t idle;          /* weight of what the depots hold */
    _Atomic size_t n_in_depots;
    _Atomic size_t n_guarded;
    _Atomic size_t n_unguarded;
    _Atomic size_t n_overflows;
    _Atomic bool has_warned;
    /* Under caches_lock. */
    pthread_mutex_t caches_lock;
    struct weft__stack_cache *caches;
    struct stack_depot depot[];
};

static size_t stride_of(uint32_t class)
{
    return GUARD_SIZE + classes[class].usable;
}

static char *slot_guard(char *at, uint32_t class, uint32_t slot)
{
    return at + (size_t)slot * stride_of(class);
}

static struct weft__stack *slot_stack(char *guard, uint32_t class, uint32_t slot)
{
    char *high = guard + stride_of(class);

    return (struct weft__stack *)(void *)(high - (slot % COLOURS) * COLOUR_STEP) - 1;
}

/* -- guards ----------------------------------------------------------------- */

/* Could the kernel read this address? Asks it, so that nothing faults. */
static bool is_readable(const char *at)
{
    return !(syscall(SYS_faccessat, AT_FDCWD, at, F_OK) != 0 && errno == EFAULT);
}

/* An emulator may accept the advice and do nothing: so look. */
static bool guard_install_works(size_t page_size)
{
    char *at = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool works;

    if (at == MAP_FAILED)
        return false;
    works = madvise(at, page_size, MADV_GUARD_INSTALL) == 0 && !is_readable(at) &&
            is_readable(at + page_size);
    munmap(at, 2 * page_size);
    return works;
}

/* How many stacks mprotect may guard: each takes two mappings, and half of
 * what a program may have is left to the rest of it. */
static int64_t mprotect_budget(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    long n = 0;

    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) > 0)
            n = strtol(text, NULL, 10);
        close(fd);
    }
    return (n > 0 ? n : 65530) / 4;
}

static void warn_once(struct weft__stack_space *space, const char *text)
{
    if (!atomic_exchange_explicit(&space->has_warned, true, memory_order_relaxed) && space->warn != NULL)
        space->warn(space->warn_arg, text);
}

/* Guard [at, at + GUARD_SIZE) as well as can be. */
static enum weft__stack_guard guard_install(struct weft__stack_space *space, char *at)
{
    int guard = atomic_load_explicit(&space->guard, memory_order_relaxed);

    if (guard == WEFT__GUARD_MADVISE) {
        if (madvise(at, GUARD_SIZE, MADV_GUARD_INSTALL) == 0)
            return WEFT__GUARD_MADVISE;
        guard = WEFT__GUARD_MPROTECT; /* for this one: memory may be short */
    }
    if (guard == WEFT__GUARD_MPROTECT) {
        if (atomic_fetch_sub_explicit(&space->n_guard_maps, 1, memory_order_relaxed) > 0 &&
            mprotect(at, GUARD_SIZE, PROT_NONE) == 0)
            return WEFT__GUARD_MPROTECT;
        atomic_fetch_add_explicit(&space->n_guard_maps, 1, memory_order_relaxed);
    }
    warn_once(space, "no more stacks can be guarded: an overflow of one may go unnoticed until its "
                     "process ends (raise vm.max_map_count, or use Linux 6.13 or newer)");
    return WEFT__GUARD_NONE;
}

size_t weft__stack_opening(void)
{
    return GUARD_OPENING;
}

bool weft__stack_open(struct weft__stack *stack)
{
    char *at = stack->low - GUARD_OPENING;

    if (stack->class == WEFT__STACK_NATIVE || stack->guard >= WEFT__GUARD_OPEN)
        return false;
    switch ((enum weft__stack_guard)stack->guard) {
    case WEFT__GUARD_MADVISE:
        if (madvise(at, GUARD_OPENING, MADV_GUARD_REMOVE) != 0)
            return false;
        break;
    case WEFT__GUARD_MPROTECT:
        if (mprotect(at, GUARD_OPENING, PROT_READ | PROT_WRITE) != 0)
            return false;
        break;
    default:
        break; /* it is open */
    }
    stack->guard = (uint8_t)(stack->guard + WEFT__GUARD_OPEN);
    return true;
}

void weft__stack_close(struct weft__stack_space *space, struct weft__stack *stack)
{
    char *at = stack->low - GUARD_OPENING;

    if (stack->guard < WEFT__GUARD_OPEN)
        return;
    stack->guard = (uint8_t)(stack->guard - WEFT__GUARD_OPEN);
    madvise(at, GUARD_OPENING, MADV_DONTNEED);
    if (stack->guard == WEFT__GUARD_MPROTECT && mprotect(at, GUARD_OPENING, PROT_NONE) == 0)
        return;
    if (stack->guard == WEFT__GUARD_MADVISE && madvise(at, GUARD_OPENING, MADV_GUARD_INSTALL) == 0)
        return;
    /* The lower half is still there, if there was one. */
    if (stack->guard != WEFT__GUARD_NONE)
        warn_once(space, "a stack's guard could not be closed again after an overflow");
}

/* An unguarded stack's gap was zero when it was handed out, and is read where
 * frames that overflow come first. */
static bool gap_is_clean(const struct weft__stack *stack, size_t page_size)
{
    const uint64_t *word = (const uint64_t *)(const void *)(stack->low - page_size);
    uint64_t any = 0;

    for (size_t i = 0; i < page_size / sizeof *word; i++)
        any |= word[i];
    return any == 0;
}

static void check_gap(struct weft__stack_space *space, struct weft__stack *stack)
{
    if (gap_is_clean(stack, space->page_size))
        return;
    atomic_fetch_add_explicit(&space->n_overflows, 1, memory_order_relaxed);
    madvise(stack->low - GUARD_SIZE, GUARD_SIZE, MADV_DONTNEED);
}

/* -- slots ------------------------------------------------------------------ */

/* Reserve the class's address space, less of it where the kernel refuses. */
static bool area_reserve_locked(struct weft__stack_space *space, uint32_t class)
{
    struct stack_area *area = &space->area[class];
    uint32_t n = space->n_slots >> classes[class].slots_shift;

    for (n = n > N_SLOTS_MIN ? n : N_SLOTS_MIN; n >= N_SLOTS_MIN; n /= 2) {
        size_t size = n * stride_of(class) + PT_SPAN;
        char *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        uint32_t *cold;

        if (at == MAP_FAILED)
            continue;
        cold = mmap(NULL, n * sizeof *cold, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (cold == MAP_FAILED) {
            munmap(at, size);
            continue;
        }
        /* A huge page would be 16 stacks' memory for one. Refused where the
         * kernel has no huge pages: as well. */
        (void)madvise(at, size, MADV_NOHUGEPAGE);
        area->mapped = at;
        area->mapped_size = size;
        area->n_slots = n;
        area->cold = cold;
        /* Release, with the acquire in find: the rest is there. */
        atomic_store_explicit(&area->at,
                              (char *)(((uintptr_t)at + PT_SPAN - 1) & ~(uintptr_t)(PT_SPAN - 1)),
                              memory_order_release);
        return true;
    }
    return false;
}

static bool area_open_locked(struct stack_area *area, uint32_t class)
{
    char *at = atomic_load_explicit(&area->at, memory_order_relaxed);
    uint32_t step = (uint32_t)(OPEN_STEP / stride_of(class));

    if (step == 0)
        step = 1;
    if (step > area->n_slots - area->n_open)
        step = area->n_slots - area->n_open;
    if (step == 0 ||
        mprotect(slot_guard(at, class, area->n_open), step * stride_of(class),
                 PROT_READ | PROT_WRITE) != 0)
        return false;
    area->n_open += step;
    return true;
}

/* What the sanitizers want to know of a stack that gets memory. */
static void stack_introduce(struct weft__stack *stack)
{
    stack->valgrind_id = (uint32_t)VALGRIND_STACK_REGISTER(stack->low, stack);
#if WEFT__STACK_TSAN
    stack->tsan_fiber = __tsan_create_fiber(0);
#endif
}

static void stack_dismiss(struct weft__stack *stack)
{
    VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
#if WEFT__STACK_TSAN
    __tsan_destroy_fiber(stack->tsan_fiber);
#endif
}

/* A slot without memory becomes a stack: a cold one, or one never used. */
static struct weft__stack *slot_take(struct weft__stack_space *space, uint32_t class, uint32_t node)
{
    struct stack_area *area = &space->area[class];
    enum weft__stack_guard guard = WEFT__GUARD_BEST;
    struct weft__stack *stack = NULL;
    uint32_t slot;
    char *at;

    pthread_mutex_lock(&area->lock);
    /* Relaxed: written under this lock alone. */
    if (atomic_load_explicit(&area->at, memory_order_relaxed) == NULL && !area_reserve_locked(space, class))
        goto out;
    slot = atomic_load_explicit(&area->n_used, memory_order_relaxed);
    if (area->n_cold > 0) {
        slot = area->cold[--area->n_cold];
        guard = (enum weft__stack_guard)(slot >> COLD_GUARD_SHIFT);
        slot &= (1U << COLD_GUARD_SHIFT) - 1;
    } else if (slot < area->n_open || area_open_locked(area, class)) {
        /* Release, with the acquire in find: it is open. */
        atomic_store_explicit(&area->n_used, slot + 1, memory_order_release);
    } else {
        goto out;
    }
    at = slot_guard(atomic_load_explicit(&area->at, memory_order_relaxed), class, slot);
    stack = slot_stack(at, class, slot);
out:
    pthread_mutex_unlock(&area->lock);
    if (stack == NULL)
        return NULL;
    if (guard == WEFT__GUARD_BEST) {
        guard = guard_install(space, at);
        atomic_fetch_add_explicit(guard == WEFT__GUARD_NONE ? &space->n_unguarded : &space->n_guarded, 1,
                                  memory_order_relaxed);
    }
    *stack = (struct weft__stack){
        .class = (uint8_t)class,
        .guard = (uint8_t)guard,
        .node = (uint16_t)node,
        .low = at + GUARD_SIZE,
        .size = (size_t)((char *)stack - (at + GUARD_SIZE)),
        .slot = slot,
    };
    stack_introduce(stack);
    return stack;
}

/* Give a free stack's memory back; keep its slot. */
static void slot_retire(struct weft__stack_space *space, struct weft__stack *stack)
{
    struct stack_area *area = &space->area[stack->class];
    uint32_t entry = stack->slot | (uint32_t)stack->guard << COLD_GUARD_SHIFT;

    stack_dismiss(stack);
    madvise(stack->low, classes[stack->class].usable, MADV_DONTNEED);
    pthread_mutex_lock(&area->lock);
    area->cold[area->n_cold++] = entry;
    pthread_mutex_unlock(&area->lock);
}

/* -- the space -------------------------------------------------------------- */

static enum weft__stack_guard guard_kind(enum weft__stack_guard wish, size_t page_size)
{
    if (wish != WEFT__GUARD_BEST && wish != WEFT__GUARD_MADVISE)
        return wish;
    /* Valgrind keeps its own map, which installed guards are not in: it would
     * fault itself where the program touches one. */
    if (RUNNING_ON_VALGRIND)
        return WEFT__GUARD_MPROTECT;
    return guard_install_works(page_size) ? WEFT__GUARD_MADVISE : WEFT__GUARD_MPROTECT;
}

static uint32_t slots_wanted(uint32_t wish)
{
    if (wish == 0)
        /* The thread sanitizer keeps its own books of all mapped memory, and
         * has 8,128 fibers at most. */
        return WEFT__STACK_TSAN ? 1U << 14 : N_SLOTS_DEFAULT;
    return wish > N_SLOTS_MAX ? N_SLOTS_MAX : wish;
}

int weft__stack_space_new(struct weft__stack_space **result, const struct weft__stack_options *options)
{
    static const struct weft__stack_options defaults;
    struct weft__stack_space *space;
    uint32_t n_nodes;
    size_t size;

    if (options == NULL)
        options = &defaults;
    n_nodes = options->n_nodes > 0 ? options->n_nodes : 1;
    size = sizeof *space + n_nodes * sizeof space->depot[0];
    space = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (space == NULL)
        return WEFT_ENOMEM;
    memset(space, 0, size);
    space->page_size = (size_t)sysconf(_SC_PAGESIZE);
    space->n_nodes = n_nodes;
    space->n_slots = slots_wanted(options->max_slots);
    space->max_idle = options->max_idle > 0 ? options->max_idle : MAX_IDLE_DEFAULT;
    space->warn = options->warn;
    space->warn_arg = options->warn_arg;
    atomic_init(&space->guard, (int)guard_kind(options->guard, space->page_size));
    atomic_init(&space->n_guard_maps, mprotect_budget());
    pthread_mutex_init(&space->caches_lock, NULL);
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++)
        pthread_mutex_init(&space->area[class].lock, NULL);
    for (uint32_t node = 0; node < n_nodes; node++)
        pthread_mutex_init(&space->depot[node].lock, NULL);
    *result = space;
    return 0;
}

static void depot_destroy(struct stack_depot *depot)
{
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++) {
        struct weft__stack *stack = depot->first[class];

        while (stack != NULL) {
            struct weft__stack *next = stack->next;

            stack_dismiss(stack);
            stack = next;
        }
    }
    pthread_mutex_destroy(&depot->lock);
}

void weft__stack_space_free(struct weft__stack_space *space)
{
    if (space == NULL)
        return;
    weft__assert(space->caches == NULL);
    for (uint32_t node = 0; node < space->n_nodes; node++)
        depot_destroy(&space->depot[node]);
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++) {
        struct stack_area *area = &space->area[class];

        if (area->mapped != NULL) {
            munmap(area->mapped, area->mapped_size);
            munmap(area->cold, area->n_slots * sizeof area->cold[0]);
        }
        pthread_mutex_destroy(&area->lock);
    }
    pthread_mutex_destroy(&space->caches_lock);
    free(space);
}

void weft__stack_counts(struct weft__stack_space *space, struct weft__stack_counts *counts)
{
    size_t n_used = 0;
    size_t n_idle;

    *counts = (struct weft__stack_counts){0};
    pthread_mutex_lock(&space->caches_lock);
    for (struct weft__stack_cache *cache = space->caches; cache != NULL; cache = cache->next) {
        for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++)
            counts->n_cached += atomic_load_explicit(&cache->class[class].n_free, memory_order_relaxed);
    }
    pthread_mutex_unlock(&space->caches_lock);
    counts->n_cached += atomic_load_explicit(&space->n_in_depots, memory_order_relaxed);
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++) {
        struct stack_area *area = &space->area[class];

        pthread_mutex_lock(&area->lock);
        n_used += atomic_load_explicit(&area->n_used, memory_order_relaxed);
        counts->n_cold += area->n_cold;
        pthread_mutex_unlock(&area->lock);
    }
    /* Owners go on meanwhile: the figures need not add up, but stay figures. */
    n_idle = counts->n_cached + counts->n_cold;
    counts->n_in_use = n_used > n_idle ? n_used - n_idle : 0;
    counts->n_guarded = atomic_load_explicit(&space->n_guarded, memory_order_relaxed);
    counts->n_unguarded = atomic_load_explicit(&space->n_unguarded, memory_order_relaxed);
    counts->n_overflows = atomic_load_explicit(&space->n_overflows, memory_order_relaxed);
}

bool weft__stack_find(const struct weft__stack_space *space, const void *address,
                      struct weft__stack_place *place)
{
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++) {
        const struct stack_area *area = &space->area[class];
        /* Acquire, with the release in reserve: n_slots is there. */
        char *at = atomic_load_explicit(&area->at, memory_order_acquire);
        size_t offset = (size_t)((uintptr_t)address - (uintptr_t)at);
        uint32_t slot;

        if (at == NULL || (uintptr_t)address < (uintptr_t)at || offset / stride_of(class) >= area->n_slots)
            continue;
        slot = (uint32_t)(offset / stride_of(class));
        place->guard = slot_guard(at, class, slot);
        place->low = place->guard + GUARD_SIZE;
        place->high = place->guard + stride_of(class);
        place->stack = slot_stack(place->guard, class, slot);
        place->in_guard = (const char *)address < place->low;
        /* Acquire, with the release in slot_take: it can be read. */
        place->is_fresh = slot >= atomic_load_explicit(&area->n_used, memory_order_acquire);
        return true;
    }
    return false;
}

/* -- caches ----------------------------------------------------------------- */

void weft__stack_cache_init(struct weft__stack_cache *cache, struct weft__stack_space *space,
                            uint32_t node)
{
    weft__assert(node < space->n_nodes);
    memset(cache, 0, sizeof *cache);
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++)
        cache->class[class].max_free = classes[class].cache_max;
    cache->node = node;
    cache->space = space;
    pthread_mutex_lock(&space->caches_lock);
    cache->next = space->caches;
    if (cache->next != NULL)
        cache->next->prev = cache;
    space->caches = cache;
    pthread_mutex_unlock(&space->caches_lock);
}

/* Room in the depots for n more of a class: how many may keep their memory. */
static uint32_t idle_claim(struct weft__stack_space *space, uint32_t class, uint32_t n)
{
    int64_t weight = classes[class].weight;
    /* The sum may pass the cap for a moment by what others claim; each who sees
     * that gives his excess back. */
    int64_t over = atomic_fetch_add_explicit(&space->idle, n * weight, memory_order_relaxed) +
                   n * weight - space->max_idle;
    uint32_t n_over = over <= 0 ? 0 : (uint32_t)((over + weight - 1) / weight);

    if (n_over > n)
        n_over = n;
    atomic_fetch_sub_explicit(&space->idle, n_over * weight, memory_order_relaxed);
    return n - n_over;
}

static void depot_push(struct stack_depot *depot, struct weft__stack *first, struct weft__stack *last)
{
    pthread_mutex_lock(&depot->lock);
    last->next = depot->first[first->class];
    depot->first[first->class] = first;
    pthread_mutex_unlock(&depot->lock);
}

/* Free stacks of one class that no cache wants: to their nodes' depots while
 * there is room; of the others only the slot is kept. */
static void stacks_release(struct weft__stack_cache *cache, struct weft__stack **stacks, uint32_t n)
{
    struct weft__stack_space *space = cache->space;
    struct weft__stack *first = NULL;
    struct weft__stack *last = NULL;
    uint32_t room = n > 0 ? idle_claim(space, stacks[0]->class, n) : 0;

    atomic_fetch_add_explicit(&space->n_in_depots, room, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++) {
        struct weft__stack *stack = stacks[i];

        if (i >= room) {
            slot_retire(space, stack);
        } else if (stack->node != cache->node) {
            depot_push(&space->depot[stack->node], stack, stack);
        } else {
            if (first == NULL)
                last = stack;
            stack->next = first;
            first = stack;
        }
    }
    if (first != NULL)
        depot_push(&space->depot[cache->node], first, last);
}

/* Keep the n_keep that were put last, release the others. */
static void cache_shrink(struct weft__stack_cache *cache, uint32_t class, uint32_t n_keep)
{
    struct weft__stack **stacks = cache->class[class].free;
    uint32_t n = atomic_load_explicit(&cache->class[class].n_free, memory_order_relaxed);
    uint32_t n_out = n > n_keep ? n - n_keep : 0;

    stacks_release(cache, stacks, n_out);
    memmove(stacks, stacks + n_out, (n - n_out) * sizeof stacks[0]);
    atomic_store_explicit(&cache->class[class].n_free, n - n_out, memory_order_relaxed);
}

void weft__stack_cache_destroy(struct weft__stack_cache *cache)
{
    struct weft__stack_space *space = cache->space;

    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++)
        cache_shrink(cache, class, 0);
    pthread_mutex_lock(&space->caches_lock);
    if (cache->next != NULL)
        cache->next->prev = cache->prev;
    if (cache->prev != NULL)
        cache->prev->next = cache->next;
    else
        space->caches = cache->next;
    pthread_mutex_unlock(&space->caches_lock);
}

/* Half a cache of free stacks from the node's depot, as far as it has them.
 * The cache is empty. */
static uint32_t cache_refill(struct weft__stack_cache *cache, uint32_t class)
{
    struct weft__stack_space *space = cache->space;
    struct stack_depot *depot = &space->depot[cache->node];
    uint32_t n_wanted = (cache->class[class].max_free + 1) / 2;
    uint32_t n = 0;

    pthread_mutex_lock(&depot->lock);
    while (n < n_wanted && depot->first[class] != NULL) {
        cache->class[class].free[n] = depot->first[class];
        depot->first[class] = depot->first[class]->next;
        n++;
    }
    pthread_mutex_unlock(&depot->lock);
    if (n > 0) {
        atomic_fetch_sub_explicit(&space->idle, (int64_t)n * classes[class].weight, memory_order_relaxed);
        atomic_fetch_sub_explicit(&space->n_in_depots, n, memory_order_relaxed);
    }
    return n;
}

struct weft__stack *weft__stack_get_slow(struct weft__stack_cache *cache, uint32_t class)
{
    uint32_t n = cache_refill(cache, class);

    if (n == 0)
        return slot_take(cache->space, class, cache->node);
    atomic_store_explicit(&cache->class[class].n_free, n - 1, memory_order_relaxed);
    return cache->class[class].free[n - 1];
}

void weft__stack_put_slow(struct weft__stack_cache *cache, struct weft__stack *stack)
{
    uint32_t class = stack->class;
    uint32_t n;

#if WEFT__STACK_ASAN
    __asan_unpoison_memory_region(stack->low, stack->size);
#endif
    weft__stack_close(cache->space, stack);
    if (stack->guard == WEFT__GUARD_NONE)
        check_gap(cache->space, stack);
    if (atomic_load_explicit(&cache->class[class].n_free, memory_order_relaxed) >=
        cache->class[class].max_free)
        cache_shrink(cache, class, cache->class[class].max_free / 2);
    n = atomic_load_explicit(&cache->class[class].n_free, memory_order_relaxed);
    cache->class[class].free[n] = stack;
    atomic_store_explicit(&cache->class[class].n_free, n + 1, memory_order_relaxed);
}

/* -- classes, and stacks of others -------------------------------------------- */

uint32_t weft__stack_class_for(size_t bytes)
{
    uint32_t class = 0;

    while (class < WEFT__STACK_CLASSES - 1 && classes[class].usable < bytes)
        class++;
    return class;
}

size_t weft__stack_class_size(uint32_t class)
{
    return classes[class].usable;
}

void weft__stack_native_init(struct weft__stack *stack)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;

    *stack = (struct weft__stack){.class = WEFT__STACK_NATIVE, .guard = WEFT__GUARD_MPROTECT};
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    stack->low = low;
    stack->size = size;
#if WEFT__STACK_TSAN
    stack->tsan_fiber = __tsan_get_current_fiber();
#endif
}

void weft__stack_native_destroy(struct weft__stack *stack)
{
    weft__assert(stack->class == WEFT__STACK_NATIVE);
    stack->low = NULL;
    stack->tsan_fiber = NULL; /* the thread's own: it goes with it */
}

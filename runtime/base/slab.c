/* slab.c - slabs, depots and the slow side of caches.
 *
 * From the kernel to a user:
 *
 *     chunk (16 MiB, bound to a node) > slab (1 MiB, one class, aligned) > block
 *
 * A slab begins with a header that names its depot, found by masking a block's
 * address. It is read only where a block must go home: frees without a cache,
 * and the last depot's end. The hot path never looks at it.
 *
 * Where a free block can be, per class and depot: in `full` (magazines filled
 * to the brim), in `loose` (single blocks, linked through their first word:
 * from frees without a cache, from caches that ended, and when no magazine
 * could be had), or not yet cut from the newest slab.
 *
 * Locks: depot->class[c].lock guards that class; depot->lock guards the chunks
 * and is taken under a class's; all_depots.lock guards the list of depots and
 * what is freed, is taken first. Nothing under them calls out but `place`.
 */
#include "base/slab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_include) && !defined(NVALGRIND)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#define SLAB_SIZE ((size_t)1 << 20)
#define CHUNK_SIZE ((size_t)16 << 20)
#define MAGAZINE_BYTES 32768 /* a magazine of large blocks holds no more */
#define MAGAZINE_MIN 4

struct slab {
    struct weft__depot *depot;
};

struct chunk {
    struct chunk *next;
    char *at;
};

struct loose {
    struct loose *next;
};

struct depot_class {
    pthread_mutex_t lock;
    struct weft__magazine *full;
    struct weft__magazine *empty;
    size_t n_full;
    struct loose *loose;
    char *cut_at; /* the newest slab: next block, and its end */
    char *cut_end;
    size_t cut; /* bytes */
} __attribute__((aligned(64)));

struct weft__depot {
    struct depot_class class[WEFT__SLAB_CLASSES];
    /* Set by new. */
    void (*place)(void *arg, void *at, size_t size);
    void *arg;
    /* Under lock. */
    pthread_mutex_t lock;
    struct chunk *chunks; /* newest first */
    char *slab_at;        /* the newest chunk: next slab, and its end */
    char *slab_end;
    size_t mapped;
    /* Under all_depots.lock. */
    struct weft__depot *next;
};

/* The shared depot must be there before and after any runtime; hence these
 * few words are the program's, not a runtime's. */
static struct {
    pthread_mutex_t lock;
    struct weft__depot *ended; /* freed, but their blocks may be in others */
    size_t n_alive;
    struct weft__depot *_Atomic shared;
} all_depots = {.lock = PTHREAD_MUTEX_INITIALIZER};

const uint16_t weft__slab_sizes[WEFT__SLAB_CLASSES] = {
    32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192,
};

/* [(size + 15) / 16]: the ranges are (larger class below, this class]. */
const uint8_t weft__slab_classes[WEFT__SLAB_MAX / 16 + 1] = {
    [0 ... 2] = 0,    [3] = 1,          [4] = 2,          [5 ... 6] = 3,
    [7 ... 8] = 4,    [9 ... 12] = 5,   [13 ... 16] = 6,  [17 ... 24] = 7,
    [25 ... 32] = 8,  [33 ... 48] = 9,  [49 ... 64] = 10, [65 ... 96] = 11,
    [97 ... 128] = 12, [129 ... 256] = 13, [257 ... 512] = 14,
};

/* Stands in a cache for a magazine it does not have: serves nothing, takes
 * nothing, is never written. */
static struct weft__magazine no_magazine;

static uint32_t class_of(size_t size)
{
    return weft__slab_classes[(size + 15) / 16];
}

static uint32_t magazine_capacity(uint32_t class)
{
    uint32_t n = MAGAZINE_BYTES / weft__slab_sizes[class];

    return n > WEFT__MAGAZINE_MAX ? WEFT__MAGAZINE_MAX : n < MAGAZINE_MIN ? MAGAZINE_MIN : n;
}

/* -- slabs ------------------------------------------------------------------ */

/* CHUNK_SIZE bytes, aligned to a slab; nothing of it is touched. */
static char *chunk_map(void)
{
    size_t size = CHUNK_SIZE + SLAB_SIZE;
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *aligned;

    if (at == MAP_FAILED)
        return NULL;
    aligned = (char *)(((uintptr_t)at + SLAB_SIZE - 1) & ~(uintptr_t)(SLAB_SIZE - 1));
    if (aligned > at)
        munmap(at, (size_t)(aligned - at));
    munmap(aligned + CHUNK_SIZE, (size_t)(at + size - (aligned + CHUNK_SIZE)));
    return aligned;
}

/* Whoever needs more than one chunk has a few hundred thousand blocks, and walks
 * them in any order: by pages of 2 MiB they take a two hundredth of the page
 * faults, and each look at a cold one misses once, not twice or three times. In
 * a small program a page of 2 MiB for a class would mostly lie idle. */
static void chunk_make_huge(char *at)
{
    /* A wish: a kernel without them says no. */
    madvise(at, CHUNK_SIZE, MADV_HUGEPAGE);
}

static char *slab_take(struct weft__depot *depot)
{
    char *slab = NULL;

    pthread_mutex_lock(&depot->lock);
    if (depot->slab_at == depot->slab_end) {
        struct chunk *chunk = malloc(sizeof *chunk);
        char *at = chunk != NULL ? chunk_map() : NULL;

        if (at == NULL) {
            free(chunk);
            goto out;
        }
        if (depot->place != NULL)
            depot->place(depot->arg, at, CHUNK_SIZE);
        if (depot->chunks != NULL)
            chunk_make_huge(at);
        *chunk = (struct chunk){.next = depot->chunks, .at = at};
        depot->chunks = chunk;
        depot->mapped += CHUNK_SIZE;
        depot->slab_at = at;
        depot->slab_end = at + CHUNK_SIZE;
    }
    slab = depot->slab_at;
    depot->slab_at += SLAB_SIZE;
    ((struct slab *)slab)->depot = depot;
out:
    pthread_mutex_unlock(&depot->lock);
    return slab;
}

/* Whose slab a block was cut from. */
static struct weft__depot *block_home(const void *block)
{
    return ((const struct slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1)))->depot;
}

/* -- a depot's class; the caller holds its lock ------------------------------- */

static void loose_push_locked(struct depot_class *dc, void *block)
{
    struct loose *loose = block;

    loose->next = dc->loose;
    dc->loose = loose;
}

/* One block from the newest slab, or from a new one. */
static void *block_cut_locked(struct weft__depot *depot, uint32_t class)
{
    struct depot_class *dc = &depot->class[class];
    size_t size = weft__slab_sizes[class];
    char *block;

    if ((size_t)(dc->cut_end - dc->cut_at) < size) {
        char *slab = slab_take(depot);

        if (slab == NULL)
            return NULL;
        /* The first block's place is the header's; of large classes the rest
         * of it is never touched. */
        dc->cut_at = slab + (size > 64 ? size : 64);
        dc->cut_end = slab + SLAB_SIZE;
    }
    block = dc->cut_at;
    dc->cut_at += size;
    dc->cut += size;
    return block;
}

static void *block_take_locked(struct weft__depot *depot, uint32_t class)
{
    struct depot_class *dc = &depot->class[class];
    struct loose *loose = dc->loose;

    if (loose == NULL)
        return block_cut_locked(depot, class);
    dc->loose = loose->next;
    return loose;
}

static struct weft__magazine *magazine_empty_locked(struct depot_class *dc, uint32_t class)
{
    uint32_t capacity = magazine_capacity(class);
    struct weft__magazine *magazine = dc->empty;

    if (magazine != NULL) {
        dc->empty = magazine->next;
        return magazine;
    }
    magazine = malloc(sizeof *magazine + capacity * sizeof magazine->block[0]);
    if (magazine != NULL)
        *magazine = (struct weft__magazine){.capacity = capacity};
    return magazine;
}

static void magazine_drop_locked(struct depot_class *dc, struct weft__magazine *magazine)
{
    if (magazine == &no_magazine)
        return;
    magazine->next = dc->empty;
    dc->empty = magazine;
}

/* -- the shared depot ------------------------------------------------------- */

static struct weft__depot *depot_make(void (*place)(void *arg, void *at, size_t size), void *arg)
{
    struct weft__depot *depot = aligned_alloc(64, (sizeof *depot + 63) & ~(size_t)63);

    if (depot == NULL)
        return NULL;
    memset(depot, 0, sizeof *depot);
    depot->place = place;
    depot->arg = arg;
    pthread_mutex_init(&depot->lock, NULL);
    for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++)
        pthread_mutex_init(&depot->class[class].lock, NULL);
    return depot;
}

static struct weft__depot *depot_shared(void)
{
    /* Acquire, with the release below: who sees it sees it made. */
    struct weft__depot *shared = atomic_load_explicit(&all_depots.shared, memory_order_acquire);

    if (shared != NULL)
        return shared;
    pthread_mutex_lock(&all_depots.lock);
    /* Relaxed: only written under this lock. */
    shared = atomic_load_explicit(&all_depots.shared, memory_order_relaxed);
    if (shared == NULL) {
        shared = depot_make(NULL, NULL);
        atomic_store_explicit(&all_depots.shared, shared, memory_order_release);
    }
    pthread_mutex_unlock(&all_depots.lock);
    return shared;
}

static void *shared_alloc(uint32_t class)
{
    struct weft__depot *depot = depot_shared();
    void *block;

    if (depot == NULL)
        return NULL;
    pthread_mutex_lock(&depot->class[class].lock);
    block = block_take_locked(depot, class);
    pthread_mutex_unlock(&depot->class[class].lock);
    return block;
}

/* Without a cache a block goes home, not into the shared depot: there it would
 * outlive its slab. */
static void block_send_home(void *block, uint32_t class)
{
    struct depot_class *dc = &block_home(block)->class[class];

    pthread_mutex_lock(&dc->lock);
    loose_push_locked(dc, block);
    pthread_mutex_unlock(&dc->lock);
}

/* -- depots ----------------------------------------------------------------- */

struct weft__depot *weft__depot_new(void (*place)(void *arg, void *at, size_t size), void *arg)
{
    struct weft__depot *depot = depot_make(place, arg);

    if (depot == NULL)
        return NULL;
    pthread_mutex_lock(&all_depots.lock);
    all_depots.n_alive++;
    pthread_mutex_unlock(&all_depots.lock);
    return depot;
}

/* Nobody else uses this depot any more: no locks but block_send_home's. */
static void depot_empty_class(struct weft__depot *depot, uint32_t class)
{
    struct weft__depot *shared = atomic_load_explicit(&all_depots.shared, memory_order_relaxed);
    struct depot_class *dc = &depot->class[class];
    struct weft__magazine *magazine;

    while ((magazine = dc->full) != NULL) {
        dc->full = magazine->next;
        for (uint32_t i = 0; i < magazine->n_blocks; i++) {
            if (block_home(magazine->block[i]) == shared)
                block_send_home(magazine->block[i], class);
        }
        free(magazine);
    }
    while ((magazine = dc->empty) != NULL) {
        dc->empty = magazine->next;
        free(magazine);
    }
    /* Loose blocks may be strangers too: a cache that ended left them here. */
    while (dc->loose != NULL) {
        struct loose *loose = dc->loose;

        dc->loose = loose->next;
        if (block_home(loose) == shared)
            block_send_home(loose, class);
    }
}

static void depot_unmap(struct weft__depot *depot)
{
    struct chunk *chunk;

    while ((chunk = depot->chunks) != NULL) {
        depot->chunks = chunk->next;
        munmap(chunk->at, CHUNK_SIZE);
        free(chunk);
    }
    pthread_mutex_destroy(&depot->lock);
    for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++)
        pthread_mutex_destroy(&depot->class[class].lock);
    free(depot);
}

void weft__depot_free(struct weft__depot *depot)
{
    struct weft__depot *all;

    if (depot == NULL)
        return;
    pthread_mutex_lock(&all_depots.lock);
    depot->next = all_depots.ended;
    all_depots.ended = depot;
    if (--all_depots.n_alive == 0) {
        /* First everybody's blocks are looked at, which needs all slabs; then
         * the slabs go. */
        for (all = all_depots.ended; all != NULL; all = all->next) {
            for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++)
                depot_empty_class(all, class);
        }
        while ((all = all_depots.ended) != NULL) {
            all_depots.ended = all->next;
            depot_unmap(all);
        }
    }
    pthread_mutex_unlock(&all_depots.lock);
}

void weft__depot_stats(struct weft__depot *depot, struct weft__depot_stats *stats)
{
    *stats = (struct weft__depot_stats){0};
    if (depot == NULL)
        depot = atomic_load_explicit(&all_depots.shared, memory_order_acquire);
    if (depot == NULL)
        return;
    for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++) {
        struct depot_class *dc = &depot->class[class];

        pthread_mutex_lock(&dc->lock);
        stats->cut += dc->cut;
        stats->n_magazines += dc->n_full;
        pthread_mutex_unlock(&dc->lock);
    }
    pthread_mutex_lock(&depot->lock);
    stats->mapped = depot->mapped;
    pthread_mutex_unlock(&depot->lock);
}

/* -- caches ----------------------------------------------------------------- */

struct weft__cache *weft__cache_new(struct weft__depot *depot)
{
    struct weft__cache *cache = aligned_alloc(64, (sizeof *cache + 63) & ~(size_t)63);

    if (cache == NULL)
        return NULL;
    for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++) {
        cache->stock[class].loaded = &no_magazine;
        cache->stock[class].spare = &no_magazine;
    }
    cache->depot = depot;
    return cache;
}

static void magazine_return(struct weft__depot *depot, uint32_t class, struct weft__magazine *magazine)
{
    struct depot_class *dc = &depot->class[class];

    if (magazine == &no_magazine)
        return;
    pthread_mutex_lock(&dc->lock);
    while (magazine->n_blocks > 0)
        loose_push_locked(dc, magazine->block[--magazine->n_blocks]);
    magazine_drop_locked(dc, magazine);
    pthread_mutex_unlock(&dc->lock);
}

void weft__cache_free(struct weft__cache *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++) {
        magazine_return(cache->depot, class, cache->stock[class].loaded);
        magazine_return(cache->depot, class, cache->stock[class].spare);
    }
    free(cache);
}

/* `loaded` is empty. Fill it: from spare, by exchange with a full one, from
 * loose blocks and fresh ones. Returns one block of it. */
static void *cache_refill(struct weft__cache *cache, uint32_t class)
{
    struct weft__magazine *loaded = cache->stock[class].loaded;
    struct weft__magazine *spare = cache->stock[class].spare;
    struct depot_class *dc = &cache->depot->class[class];
    void *block = NULL;

    if (spare->n_blocks > 0) {
        cache->stock[class].loaded = spare;
        cache->stock[class].spare = loaded;
        return spare->block[--spare->n_blocks];
    }
    pthread_mutex_lock(&dc->lock);
    if (dc->full != NULL) {
        magazine_drop_locked(dc, loaded);
        loaded = dc->full;
        dc->full = loaded->next;
        dc->n_full--;
    } else {
        if (loaded == &no_magazine)
            loaded = magazine_empty_locked(dc, class);
        if (loaded == NULL) { /* no magazine to be had: serve this one alone */
            block = block_take_locked(cache->depot, class);
            pthread_mutex_unlock(&dc->lock);
            return block;
        }
        /* Half: what follows may be frees. */
        while (loaded->n_blocks < loaded->capacity / 2) {
            block = block_take_locked(cache->depot, class);
            if (block == NULL)
                break;
            loaded->block[loaded->n_blocks++] = block;
        }
    }
    pthread_mutex_unlock(&dc->lock);
    cache->stock[class].loaded = loaded;
    return loaded->n_blocks > 0 ? loaded->block[--loaded->n_blocks] : NULL;
}

void *weft__slab_alloc_slow(struct weft__cache *cache, size_t size)
{
    if (size > WEFT__SLAB_MAX || RUNNING_ON_VALGRIND)
        return malloc(weft__slab_round(size));
    if (cache == NULL)
        return shared_alloc(class_of(size));
    return cache_refill(cache, class_of(size));
}

/* `loaded` takes no more. Put an empty one in its place: spare, or one of the
 * depot's for the full one. */
static void cache_make_room(struct weft__cache *cache, uint32_t class, void *block)
{
    struct weft__magazine *loaded = cache->stock[class].loaded;
    struct weft__magazine *spare = cache->stock[class].spare;
    struct depot_class *dc = &cache->depot->class[class];
    struct weft__magazine *empty;

    if (spare->n_blocks < spare->capacity) {
        cache->stock[class].loaded = spare;
        cache->stock[class].spare = loaded;
        spare->block[spare->n_blocks++] = block;
        return;
    }
    pthread_mutex_lock(&dc->lock);
    empty = magazine_empty_locked(dc, class);
    if (empty == NULL) {
        loose_push_locked(dc, block);
        pthread_mutex_unlock(&dc->lock);
        return;
    }
    /* The older full one goes: what was freed last is served first. */
    if (spare != &no_magazine) {
        spare->next = dc->full;
        dc->full = spare;
        dc->n_full++;
    }
    pthread_mutex_unlock(&dc->lock);
    cache->stock[class].spare = loaded;
    cache->stock[class].loaded = empty;
    empty->block[empty->n_blocks++] = block;
}

void weft__slab_free_slow(struct weft__cache *cache, void *block, size_t size)
{
    if (block == NULL)
        return;
    if (size > WEFT__SLAB_MAX || RUNNING_ON_VALGRIND) {
        free(block);
        return;
    }
    if (cache == NULL)
        block_send_home(block, class_of(size));
    else
        cache_make_room(cache, class_of(size), block);
}

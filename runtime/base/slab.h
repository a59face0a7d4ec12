/* slab.h - memory by size class, with a cache per worker.
 *
 * Messages, regions and process memory come and go millions of times a second
 * and are often freed by another worker than made them. A cache is a worker's
 * own stock: two magazines of free blocks per class, used without locks. A
 * full magazine goes to the node's depot, an empty one is exchanged there, so
 * that blocks which flow one way (one sender, one receiver) flow back by the
 * magazine, not one by one. Fresh memory is cut from slabs, which come from
 * the kernel in chunks that the depot's `place` may bind to a node; memory
 * that no block was cut from is never touched.
 *
 * The size is known at every free: no block has a header of ours.
 *
 * Depots. One per node, and the shared one, which is made at first need and
 * lives as long as the program: a NULL cache stands for it. Any cache may free
 * what another gave, so at the end of a runtime its depots hold blocks of each
 * other and of the shared one. Therefore a depot's memory goes back to the
 * kernel when the last depot but the shared one is freed, after the blocks of
 * the shared one went home.
 *
 * With address sanitizer, and under valgrind, every block is malloc's own, so
 * that a use after free is found where it happens.
 *
 * Invariant: a block is in one magazine, in one loose list, not yet cut from
 *            its slab, or in one user's hands.
 * Threads:   a cache by its owner alone; a depot, and thus a NULL cache, from
 *            anywhere (a lock per class).
 * Idea:      Bonwick and Adams, "Magazines and Vmem" (2001).
 */
#ifndef WEFT_BASE_SLAB_H
#define WEFT_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define WEFT__SLAB_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT__SLAB_PLAIN 1
#endif
#endif
#ifndef WEFT__SLAB_PLAIN
#define WEFT__SLAB_PLAIN 0
#endif

#define WEFT__SLAB_MAX 8192    /* above it, memory is malloc's */
#define WEFT__SLAB_CLASSES 15  /* 32 48 64 96 128 192 256 384 512 768 1024 .. 8192 */
#define WEFT__MAGAZINE_MAX 64

struct weft__depot; /* a node's: slabs, and magazines that wait */

/* Free blocks of one class. The number that fits depends on the class. */
struct weft__magazine {
    uint32_t n_blocks;
    uint32_t capacity; /* 0: the empty one that stands for "none yet" */
    struct weft__magazine *next;
    void *block[];
};

/* A worker's own stock. `loaded` serves; `spare` is full, empty, or the last
 * one served from: it keeps a run of frees after a run of allocs off the lock. */
struct weft__cache {
    struct {
        struct weft__magazine *loaded;
        struct weft__magazine *spare;
    } stock[WEFT__SLAB_CLASSES];
    struct weft__depot *depot;
};

/* What a depot has from the kernel, and what became of it. */
struct weft__depot_stats {
    size_t mapped;      /* bytes of address space, most of it untouched */
    size_t cut;         /* bytes given out at least once: an upper bound of what is in memory */
    size_t n_magazines; /* full ones that wait */
};

/* One depot per node; place is called for each chunk that comes from the
 * kernel, so that the caller can bind it (may be NULL). NULL: out of memory. */
struct weft__depot *weft__depot_new(void (*place)(void *arg, void *at, size_t size), void *arg);
/* The last one of the program's gives all slabs back to the kernel: by then no
 * block of any of them may be in use. NULL is allowed. */
void weft__depot_free(struct weft__depot *depot);
/* NULL asks about the shared one. */
void weft__depot_stats(struct weft__depot *depot, struct weft__depot_stats *stats);

/* NULL when memory is out. */
struct weft__cache *weft__cache_new(struct weft__depot *depot);
/* Hand all it holds to its depot. NULL is allowed. */
void weft__cache_free(struct weft__cache *cache);

/* The class of (size + 15) / 16, and what a class gives. */
extern const uint8_t weft__slab_classes[WEFT__SLAB_MAX / 16 + 1];
extern const uint16_t weft__slab_sizes[WEFT__SLAB_CLASSES];

static inline uint32_t weft__slab_class(size_t size)
{
    /* The small ones by arithmetic, which is no load, and nothing at all where
     * the compiler knows the size. */
    if (size > 16 && size <= 64)
        return (uint32_t)((size + 15) / 16) - 2;
    return weft__slab_classes[(size + 15) / 16];
}

/* What the two below do when a magazine does not serve, or none may. */
void *weft__slab_alloc_slow(struct weft__cache *cache, size_t size);
void weft__slab_free_slow(struct weft__cache *cache, void *block, size_t size);

/* At least size bytes, 16-aligned, not cleared; NULL when memory is out.
 * Above WEFT__SLAB_MAX it is malloc's. cache may be NULL. */
static inline void *weft__slab_alloc(struct weft__cache *cache, size_t size)
{
    if (WEFT__SLAB_PLAIN)
        return malloc(size > 0 ? size : 1);
    if (__builtin_expect(size <= WEFT__SLAB_MAX && cache != NULL, 1)) {
        struct weft__magazine *magazine =
            cache->stock[weft__slab_class(size)].loaded;

        if (__builtin_expect(magazine->n_blocks > 0, 1))
            return magazine->block[--magazine->n_blocks];
    }
    return weft__slab_alloc_slow(cache, size);
}

/* A block of that size will be wanted in a while: bring it nearer, since it may
 * lie in another core's cache, where it was freed. (always_inline: gcc 12 drops
 * calls of what only prefetches.) */
__attribute__((always_inline))
static inline void weft__slab_prefetch(const struct weft__cache *cache, size_t size)
{
    const struct weft__magazine *magazine = cache->stock[weft__slab_class(size)].loaded;

    if (magazine->n_blocks >= 8)
        __builtin_prefetch(magazine->block[magazine->n_blocks - 8], 1);
}

/* Bring what the next alloc of that size gives, two lines of it, into the cache:
 * for those who will want many, one after the other. */
static inline void weft__slab_warm(struct weft__cache *cache, size_t size)
{
    struct weft__magazine *magazine;

    if (WEFT__SLAB_PLAIN || cache == NULL || size > WEFT__SLAB_MAX)
        return;
    magazine = cache->stock[weft__slab_class(size)].loaded;
    if (magazine->n_blocks > 0) {
        const char *block = magazine->block[magazine->n_blocks - 1];

        __builtin_prefetch(block, 1);
        __builtin_prefetch(block + 64, 1);
    }
}

/* Give back what slab_alloc gave for the same size, or for one of its class.
 * block may be NULL. */
static inline void weft__slab_free(struct weft__cache *cache, void *block, size_t size)
{
    if (WEFT__SLAB_PLAIN) {
        free(block);
        return;
    }
    if (__builtin_expect(size <= WEFT__SLAB_MAX && cache != NULL && block != NULL, 1)) {
        struct weft__magazine *magazine =
            cache->stock[weft__slab_class(size)].loaded;

        if (__builtin_expect(magazine->n_blocks < magazine->capacity, 1)) {
            magazine->block[magazine->n_blocks++] = block;
            return;
        }
    }
    weft__slab_free_slow(cache, block, size);
}

/* What slab_alloc(size) really gives: callers may use all of it, and free with
 * either size. */
static inline size_t weft__slab_round(size_t size)
{
    if (WEFT__SLAB_PLAIN || size > WEFT__SLAB_MAX)
        return size;
    return weft__slab_sizes[weft__slab_classes[(size + 15) / 16]];
}

#endif

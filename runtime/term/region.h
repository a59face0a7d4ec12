/* region.h - where terms are built: bump memory that goes back a scope at a time.
 *
 * The nouns. A block is a piece of slab memory with terms in it: a chunk that a
 * region bumps through, or a message on its way. As both are the same, a
 * received message joins the receiver's innermost scope by one list push,
 * without a copy. A scope is a mark: the bump position, the newest block and
 * the newest counted term at its start. Leaving it frees what is newer. A
 * counted term is one that holds a count on something shared (a large binary,
 * a native object); it sits in a list, of its region or of its block, so that
 * the count can be given back when the memory goes. A block may also be a part
 * of a larger piece of memory that is counted (one of many messages made at
 * once): freeing it gives back a count of that.
 *
 * Invariants: blocks are newest first, and so are the counted terms; every
 *             scope's marks are in the lists of its region, outer ones further
 *             down; at <= limit, both NULL until the first chunk; the chunk that
 *             is bumped need not be the newest block, adopted ones may be newer.
 * Threads:    a region by whoever runs its owner, one at a time. A block that
 *             is in no region by whoever holds it.
 *
 * A scope may be abandoned (its process was killed): it holds nothing itself,
 * and destroying the region frees all there is.
 */
#ifndef WEFT_TERM_REGION_H
#define WEFT_TERM_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/here.h"
#include "base/slab.h"
#include "weft/term.h"

/* Under ASan memory beyond `at` is poisoned, so each allocation is told. */
#if defined(__SANITIZE_ADDRESS__)
#define WEFT__POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT__POISON 1
#endif
#endif

struct weft__counted;
struct weft__kept;
struct weft__shared;

struct weft__block {
    struct weft__block *next;      /* older one in a region; free to use elsewhere */
    struct weft__counted *counted; /* terms in here that hold a count; of a part: see below */
    uint32_t size;                 /* bytes, this header too: what slab_free is told */
    uint8_t kind;                  /* for whoever sends blocks about */
    uint8_t flags;
    uint16_t tag;
};

struct weft__region {
    char *at;                      /* next free byte, 8-aligned */
    char *limit;                   /* end of the chunk */
    struct weft__block *blocks;    /* newest first */
    struct weft__counted *counted; /* built here, newest first */
    struct weft_scope *scope;      /* innermost, or NULL */
    struct weft__kept *kept;       /* what weft_keep made and weft_drop did not take */
    uint16_t chunk_size;           /* of the next chunk; 0: the first one */
    bool is_watched;               /* the hook below is told before it grows */
    uint32_t waits_since;          /* of a process: weft__sched_moment when it last parked. It has
                                    * room here and nowhere else */
};

#define WEFT__CHUNK_FIRST 384u
#define WEFT__CHUNK_MAX 8192u
#define WEFT__CHUNK_KEEP 512u /* a first chunk up to here stays between scopes */
#define WEFT__BLOCK_MAX ((size_t)UINT32_MAX - 64u)

/* Who limits regions sets it, always to the same: called with the bytes that a
 * watched region is about to get. It need not return. */
extern void (*_Atomic weft__region_grows_hook)(struct weft__region *region, size_t size);

static inline void weft__region_watch(struct weft__region *region, size_t size)
{
    /* Set before any region is watched, and never changed. */
    if (__builtin_expect(region->is_watched, 0))
        atomic_load_explicit(&weft__region_grows_hook, memory_order_relaxed)(region, size);
}

/* Takes no memory. */
void weft__region_init(struct weft__region *region);
/* Free all of it, kept terms too; the region is as after init. */
void weft__region_destroy(struct weft__region *region);

/* Free all of it but kept terms, when no scope is open: its owner idles. */
void weft__region_trim(struct weft__region *region);

/* A block with room for size bytes after its header, its other fields 0; NULL
 * when memory is out or size is above WEFT__BLOCK_MAX. */
struct weft__block *weft__block_new(size_t size);
/* The same with the thread's cache at hand. */
static inline struct weft__block *weft__block_new_from(struct weft__cache *cache, size_t size)
{
    struct weft__block *block;

    if (__builtin_expect(size > WEFT__BLOCK_MAX - sizeof *block, 0))
        return NULL;
    block = (struct weft__block *)weft__slab_alloc(cache, size + sizeof *block);
    if (__builtin_expect(block != NULL, 1))
        *block = (struct weft__block){.size = (uint32_t)(size + sizeof *block)};
    return block;
}
/* Release its counted terms and free it. */
void weft__block_free(struct weft__block *block);

/* A part has no counted terms of its own; where others keep them it keeps what it
 * is a part of, with a bit that no address has. */
static inline void weft__block_make_part(struct weft__block *block, struct weft__shared *whole)
{
    block->counted = (struct weft__counted *)((uintptr_t)whole | 1);
}
/* What the block is a part of, or NULL. */
static inline struct weft__shared *weft__block_whole(const struct weft__block *block)
{
    uintptr_t word = (uintptr_t)block->counted;

    return (word & 1) != 0 ? (struct weft__shared *)(word - 1) : NULL;
}
/* The same with the thread's cache at hand. */
static inline void weft__block_free_to(struct weft__cache *cache, struct weft__block *block)
{
#if !defined(WEFT__POISON) && !defined(WEFT_DEBUG)
    if (__builtin_expect(block->counted == NULL, 1)) {
        weft__slab_free(cache, block, block->size);
        return;
    }
#endif
    (void)cache;
    weft__block_free(block);
}
static inline char *weft__block_data(struct weft__block *block)
{
    return (char *)(block + 1);
}

/* weft__region_destroy with the thread's cache at hand. */
static inline void weft__region_destroy_to(struct weft__cache *cache, struct weft__region *region)
{
    struct weft__block *block;

    /* What holds a count lies in the blocks, and may run code of users. */
    if (__builtin_expect(region->kept != NULL || region->counted != NULL, 0)) {
        weft__region_destroy(region);
        return;
    }
    while ((block = region->blocks) != NULL) {
        if (__builtin_expect(block->counted != NULL, 0)) {
            weft__region_destroy(region);
            return;
        }
        region->blocks = block->next;
        weft__block_free_to(cache, block);
    }
    *region = (struct weft__region){0};
}

void *weft__region_alloc_slow(struct weft__region *region, size_t size);

/* size bytes, a multiple of 8, 8-aligned, to the end of the innermost scope.
 * Never NULL: without memory it does not return (fail.h). */
static inline void *weft__region_alloc(struct weft__region *region, size_t size)
{
#if !defined(WEFT__POISON)
    char *at = region->at;

    if (__builtin_expect((size_t)(region->limit - at) >= size, 1)) {
        region->at = at + size;
        return at;
    }
#endif
    return weft__region_alloc_slow(region, size);
}

/* Give a block to the innermost scope. The block's own counted list stays. */
void weft__region_adopt(struct weft__region *region, struct weft__block *block);

/* Give all of from (blocks, counted, kept) to the innermost scope of into, and
 * leave from as after init. No scope of from may be open. */
void weft__region_join(struct weft__region *into, struct weft__region *from);

void weft__region_rewind_slow(const struct weft__pattern_mark *mark);

/* Give back what was bumped since the mark was taken. */
static inline void weft__region_rewind(const struct weft__pattern_mark *mark)
{
    struct weft__region *region = mark->region;
    uintptr_t size = (uintptr_t)region->at - (uintptr_t)mark->at;

    if (size == 0)
        return;
#if !defined(WEFT__POISON) && !defined(WEFT_DEBUG)
    /* The same chunk, and the newest counted term is not above the mark. */
    if (__builtin_expect(region->limit == mark->limit, 1) &&
        (uintptr_t)region->counted - (uintptr_t)mark->at >= size) {
        region->at = mark->at;
        return;
    }
#endif
    weft__region_rewind_slow(mark);
}

/* Scopes are entered and left with weft_scope_enter and _leave (weft/term.h),
 * or by these when the region is at hand. */
void weft__scope_enter(weft_scope *scope, struct weft__region *region);
void weft__scope_leave(weft_scope *scope);

/* Was memory at `at` given to this region, in a scope or kept, and not taken
 * back? For checks and reports, linear in the blocks. */
bool weft__region_owns(const struct weft__region *region, const void *at);

/* -- a region for any thread ------------------------------------------------ */

/* Give a thread that has none a region of its own, destroyed when the thread
 * ends. Who makes the thread a process later takes here->region over as it is. */
void weft__region_give_thread(struct weft__here *here);

/* The region to build terms in now: what the thread has, else one of its own. */
static inline struct weft__region *weft__region_here(void)
{
    struct weft__here *here = weft__here();

    if (__builtin_expect(here->region == NULL, 0))
        weft__region_give_thread(here);
    return here->region;
}

/* -- debug: pointers into memory that a scope gives back ------------------- */

typedef void weft__memory_visit(void *arg, const void *memory, size_t size);

/* Call visit for each piece of memory the region's owner has (its state, not
 * the terms). NULL, the default: scopes are left without a search. */
extern void (*weft__stale_memory_each)(struct weft__region *region,
                                       weft__memory_visit *visit, void *arg);

/* The word at `where` is a term (or address) in memory about to be given back.
 * NULL: printed as a warning. */
extern void (*weft__stale_found)(struct weft__region *region, const void *where,
                                 uint64_t word);

/* Search for words that point to what leaving the scope will give back, call
 * weft__stale_found for each, and return how many. Debug builds (WEFT_DEBUG)
 * do so at every leave when weft__stale_memory_each is set. */
size_t weft__region_find_stale(struct weft__region *region, const weft_scope *scope);

#endif

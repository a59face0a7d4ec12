#include "term/region.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/here.h"
#include "base/memory.h"
#include "term/keep.h"
#include "term/term.h"

#ifdef WEFT__POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* No header and no address looks like this: a use of it is seen at once. */
#define RELEASED_BYTE 0xd5

void (*weft__stale_memory_each)(struct weft__region *region, weft__memory_visit *visit,
                                void *arg);
void (*weft__stale_found)(struct weft__region *region, const void *where, uint64_t word);

static void poison(char *at, size_t size)
{
#ifdef WEFT_DEBUG
    if (size == 0)
        return;
    ASAN_UNPOISON_MEMORY_REGION(at, size);
    memset(at, RELEASED_BYTE, size);
#endif
    ASAN_POISON_MEMORY_REGION(at, size);
}

/* -- blocks ---------------------------------------------------------------- */

struct weft__block *weft__block_new(size_t size)
{
    return weft__block_new_from(WEFT__SLAB_PLAIN ? NULL : weft__here()->slot.cache, size);
}

void weft__block_free(struct weft__block *block)
{
    struct weft__shared *whole = weft__block_whole(block);

    if (whole) {
        weft__shared_drop(whole);
        return;
    }
    if (block->counted)
        weft__counted_release(block->counted, NULL);
    ASAN_UNPOISON_MEMORY_REGION(block, block->size);
#ifdef WEFT_DEBUG
    memset(block + 1, RELEASED_BYTE, block->size - sizeof *block);
#endif
    weft__memory_free(block, block->size);
}

static bool block_holds(const struct weft__block *block, const void *at)
{
    return (const char *)at >= (const char *)block &&
           (const char *)at < (const char *)block + block->size;
}

/* -- the region ------------------------------------------------------------ */

void weft__region_init(struct weft__region *region)
{
    *region = (struct weft__region){0};
}

void weft__region_destroy(struct weft__region *region)
{
    struct weft__block *block = region->blocks, *next;

    if (region->kept)
        weft__kept_release(&region->kept);
    if (region->counted)
        weft__counted_release(region->counted, NULL);
    for (; block; block = next) {
        next = block->next;
        weft__block_free(block);
    }
    weft__region_init(region);
}

void (*_Atomic weft__region_grows_hook)(struct weft__region *region, size_t size);

static struct weft__block *region_block(struct weft__region *region, size_t size)
{
    struct weft__block *block;

    weft__region_watch(region, size);
    block = weft__block_new(size);
    if (!block)
        weft__term_no_memory(size);
    block->next = region->blocks;
    region->blocks = block;
    return block;
}

/* Chunks double, so that a region's blocks stay few and a small one small. What
 * would waste much of a chunk gets a block of its own. */
static void region_chunk(struct weft__region *region)
{
    size_t size = region->chunk_size ? region->chunk_size : WEFT__CHUNK_FIRST;
    struct weft__block *block;

    size = weft__slab_round(size);
    block = region_block(region, size - sizeof *block);
    region->at = weft__block_data(block);
    region->limit = (char *)block + size;
    region->chunk_size = size * 2 < WEFT__CHUNK_MAX ? (uint16_t)(size * 2) : WEFT__CHUNK_MAX;
    ASAN_POISON_MEMORY_REGION(region->at, (size_t)(region->limit - region->at));
}

void *weft__region_alloc_slow(struct weft__region *region, size_t size)
{
    char *at;

    if ((size_t)(region->limit - region->at) < size) {
        size_t next = region->chunk_size ? region->chunk_size : WEFT__CHUNK_FIRST;

        if (size > next / 2 && size > WEFT__CHUNK_FIRST / 2)
            return weft__block_data(region_block(region, size));
        region_chunk(region);
    }
    at = region->at;
    region->at = at + size;
    ASAN_UNPOISON_MEMORY_REGION(at, size);
    return at;
}

void weft__region_adopt(struct weft__region *region, struct weft__block *block)
{
    block->next = region->blocks;
    region->blocks = block;
}

void weft__region_join(struct weft__region *into, struct weft__region *from)
{
    struct weft__block *block = from->blocks;
    struct weft__counted *counted = from->counted;

    if (block) {
        while (block->next)
            block = block->next;
        block->next = into->blocks;
        into->blocks = from->blocks;
    }
    if (counted) {
        while (counted->next)
            counted = counted->next;
        counted->next = into->counted;
        into->counted = from->counted;
    }
    weft__kept_move(&into->kept, &from->kept);
    weft__region_init(from);
}

bool weft__region_owns(const struct weft__region *region, const void *at)
{
    for (const struct weft__block *block = region->blocks; block; block = block->next)
        if (block_holds(block, at))
            return true;
    return weft__kept_holds(region->kept, at);
}

/* -- threads that have no region --------------------------------------------- */

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

static void thread_region_free(void *arg)
{
    struct weft__region *region = arg;

    if (weft__here()->region == region)
        weft__here()->region = NULL;
    weft__region_destroy(region);
    free(region);
}

static void thread_key_make(void)
{
    if (pthread_key_create(&thread_key, thread_region_free) != 0)
        weft__term_no_memory(sizeof(struct weft__region));
}

void weft__region_give_thread(struct weft__here *here)
{
    struct weft__region *region = malloc(sizeof *region);

    pthread_once(&thread_once, thread_key_make);
    if (!region || pthread_setspecific(thread_key, region) != 0)
        weft__term_no_memory(sizeof *region);
    weft__region_init(region);
    here->region = region;
}

/* -- giving back ----------------------------------------------------------- */

static void region_bump_back(struct weft__region *region, char *at)
{
    poison(at, (size_t)(region->at - at));
    region->at = at;
}

/* The counted terms that lie above `at` in the chunk: newest first, so they are
 * the first in the list. */
static void region_release_above(struct weft__region *region, const char *at)
{
    struct weft__counted *counted = region->counted;

    while (counted && (char *)counted >= at && (char *)counted < region->at)
        counted = counted->next;
    weft__counted_release(region->counted, counted);
    region->counted = counted;
}

void weft__region_rewind_slow(const struct weft__pattern_mark *mark)
{
    struct weft__region *region = mark->region;
    char *at = mark->at;

    if (region->limit != mark->limit) {
        /* The chunk is newer than the mark, so all in it is; it stays, empty,
         * for the next pattern. */
        struct weft__block *block = region->blocks;

        while (block && (char *)block + block->size != region->limit)
            block = block->next;
        if (!block)
            return;
        at = weft__block_data(block);
    }
    region_release_above(region, at);
    region_bump_back(region, at);
}

/* A chunk that was hardly used makes the next one smaller. */
static void region_shrink(struct weft__region *region, struct weft__block *chunk)
{
    size_t used = (size_t)(region->at - (char *)chunk);

    size_t next = used < chunk->size / 4 ? chunk->size / 2 : chunk->size;

    region->chunk_size = next > WEFT__CHUNK_MAX ? WEFT__CHUNK_MAX : next > WEFT__CHUNK_FIRST ? (uint16_t)next : 0;
}

static void region_free_blocks(struct weft__region *region, struct weft__block *until)
{
    struct weft__block *block = region->blocks, *next;

    region->blocks = until;
    for (; block != until; block = next) {
        next = block->next;
        if ((char *)block + block->size == region->limit)
            region_shrink(region, block);
        weft__block_free(block);
    }
}

/* The first chunk of a region stays, empty, when the scope goes in which it was
 * taken: the next scope would only take one again. false: there is a larger
 * one by now. */
static bool region_keep_chunk(struct weft__region *region, struct weft__block *until)
{
    struct weft__block **at = &region->blocks, *chunk;

    while ((char *)*at + (*at)->size != region->limit)
        at = &(*at)->next;
    chunk = *at;
    if (chunk->size > WEFT__CHUNK_KEEP)
        return false;
    *at = chunk->next;
    region_shrink(region, chunk);
    region_bump_back(region, weft__block_data(chunk));
    if (region->blocks != until)
        region_free_blocks(region, until);
    chunk->next = until;
    region->blocks = chunk;
    return true;
}

void weft__region_trim(struct weft__region *region)
{
    if (region->blocks == NULL || region->scope != NULL)
        return;
    weft__counted_release(region->counted, NULL);
    region->counted = NULL;
    region_free_blocks(region, NULL);
    region->at = region->limit = NULL;
    region->chunk_size = 0;
}

/* -- scopes ---------------------------------------------------------------- */

void weft__scope_enter(weft_scope *scope, struct weft__region *region)
{
    scope->region = region;
    scope->at = region->at;
    scope->limit = region->limit;
    scope->blocks = region->blocks;
    scope->counted = region->counted;
    scope->outer = region->scope;
    region->scope = scope;
}

static __attribute__((noinline)) void scope_give_back(weft_scope *scope, struct weft__region *region)
{
#ifdef WEFT_DEBUG
    if (weft__stale_memory_each)
        weft__region_find_stale(region, scope);
#endif
    if (region->counted != scope->counted) {
        weft__counted_release(region->counted, scope->counted);
        region->counted = scope->counted;
    }
    if (region->limit == scope->limit) {
        region_bump_back(region, scope->at);
    } else if (scope->limit) {
        poison(scope->at, (size_t)(scope->limit - scope->at));
    } else if (region_keep_chunk(region, scope->blocks)) {
        return;
    }
    if (region->blocks != scope->blocks)
        region_free_blocks(region, scope->blocks);
    region->at = scope->at;
    region->limit = scope->limit;
}

void weft__scope_leave(weft_scope *scope)
{
    struct weft__region *region = scope->region;

    region->scope = scope->outer;
#if !defined(WEFT__POISON) && !defined(WEFT_DEBUG)
    /* Most scopes: a part of a chunk, with nothing counted in it. */
    if (__builtin_expect(region->limit == scope->limit && region->blocks == scope->blocks &&
                             region->counted == scope->counted, 1)) {
        region->at = scope->at;
        return;
    }
#endif
    if (region->at != scope->at || region->blocks != scope->blocks)
        scope_give_back(scope, region);
}

void weft_scope_enter(weft_scope *scope)
{
    weft__scope_enter(scope, weft__region_here());
}

void weft_scope_leave(weft_scope *scope)
{
    weft__scope_leave(scope);
}

/* -- stale pointers -------------------------------------------------------- */

struct stale_search {
    struct weft__region *region;
    const weft_scope *scope;
    size_t n_found;
};

static bool stale_points(const struct stale_search *search, uint64_t word)
{
    const struct weft__region *region = search->region;
    const weft_scope *scope = search->scope;
    const char *at = (const char *)(uintptr_t)word;
    const char *top = region->limit == scope->limit ? region->at : scope->limit;

    if (word == 0)
        return false;
    if (at >= scope->at && at < top)
        return true;
    for (const struct weft__block *block = region->blocks; block != scope->blocks;
         block = block->next)
        if (block_holds(block, at))
            return true;
    return false;
}

static void stale_visit(void *arg, const void *memory, size_t size)
{
    struct stale_search *search = arg;
    const uint64_t *words = memory;

    for (size_t i = 0; i < size / sizeof *words; i++) {
        if (!stale_points(search, words[i]))
            continue;
        search->n_found++;
        if (weft__stale_found)
            weft__stale_found(search->region, &words[i], words[i]);
        else
            fprintf(stderr,
                    "weft: memory at %p points to %#llx, which its scope gives back: use "
                    "weft_keep\n",
                    (const void *)&words[i], (unsigned long long)words[i]);
    }
}

size_t weft__region_find_stale(struct weft__region *region, const weft_scope *scope)
{
    struct stale_search search = {.region = region, .scope = scope};

    if (weft__stale_memory_each)
        weft__stale_memory_each(region, stale_visit, &search);
    return search.n_found;
}

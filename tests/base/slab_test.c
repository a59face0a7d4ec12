#include "base/slab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/rand.h"
#include "tap.h"

TEST(a_block_holds_what_was_asked_for_and_is_aligned)
{
    struct weft__depot *depot = weft__depot_new(NULL, NULL);
    struct weft__cache *cache = weft__cache_new(depot);

    for (size_t size = 0; size <= 20000; size += size < 9000 ? 1 : 1000) {
        char *block = weft__slab_alloc(cache, size);

        if (block == NULL || (uintptr_t)block % 16 != 0 || weft__slab_round(size) < size) {
            check_uint((uintptr_t)block % 16, 0);
            check_ge(weft__slab_round(size), size);
            break;
        }
        memset(block, 0x5a, weft__slab_round(size) > 0 ? weft__slab_round(size) : 1);
        weft__slab_free(cache, block, size);
    }
    weft__cache_free(cache);
    weft__depot_free(depot);
    check(true);
}

TEST(classes_grow_by_half_at_most)
{
    check_int(weft__slab_sizes[weft__slab_classes[(32 + 15) / 16]], 32);
    check_int(weft__slab_sizes[weft__slab_classes[(33 + 15) / 16]], 48);
    check_int(weft__slab_sizes[weft__slab_classes[(320 + 15) / 16]], 384);
    check_int(weft__slab_sizes[weft__slab_classes[(4097 + 15) / 16]], 8192);
    check_int(weft__slab_sizes[weft__slab_classes[(8192 + 15) / 16]], 8192);
    for (size_t size = 1; size <= WEFT__SLAB_MAX; size++) {
        uint32_t class = weft__slab_classes[(size + 15) / 16];

        if (weft__slab_sizes[class] < size || (class > 0 && weft__slab_sizes[class - 1] >= size)) {
            check_int(weft__slab_sizes[class], size);
            break;
        }
    }
}

TEST(the_block_freed_last_is_served_first)
{
    struct weft__depot *depot;
    struct weft__cache *cache;
    void *first;

    if (WEFT__SLAB_PLAIN)
        skip("blocks are malloc's in this build");
    depot = weft__depot_new(NULL, NULL);
    cache = weft__cache_new(depot);
    first = weft__slab_alloc(cache, 100);
    weft__slab_free(cache, first, 100);
    check_ptr(weft__slab_alloc(cache, 128), first);
    weft__slab_free(cache, first, 128);
    weft__cache_free(cache);
    weft__depot_free(depot);
}

/* Take n blocks that fill themselves, look whether any two overlap. */
static void fill_and_look(struct weft__cache *cache, size_t size, size_t n)
{
    char **blocks = malloc(n * sizeof *blocks);
    size_t n_bad = 0;

    for (size_t i = 0; i < n; i++) {
        blocks[i] = weft__slab_alloc(cache, size);
        memset(blocks[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; at < size; at++)
            n_bad += blocks[i][at] != (char)(i % 251);
        weft__slab_free(cache, blocks[i], size);
    }
    check_int(n_bad, 0);
    free(blocks);
}

TEST(blocks_do_not_overlap_in_any_class)
{
    struct weft__depot *depot = weft__depot_new(NULL, NULL);
    struct weft__cache *cache = weft__cache_new(depot);

    for (uint32_t class = 0; class < WEFT__SLAB_CLASSES; class++)
        fill_and_look(cache, weft__slab_sizes[class], 1000);
    weft__cache_free(cache);
    weft__depot_free(depot);
}

TEST(blocks_are_used_again)
{
    struct weft__depot *depot = weft__depot_new(NULL, NULL);
    struct weft__cache *cache = weft__cache_new(depot);
    struct weft__depot_stats before;
    struct weft__depot_stats after;

    fill_and_look(cache, 256, 10000);
    weft__depot_stats(depot, &before);
    for (int round = 0; round < 10; round++)
        fill_and_look(cache, 256, 10000);
    weft__depot_stats(depot, &after);
    check_int(after.cut, before.cut);
    weft__cache_free(cache);
    weft__depot_free(depot);
}

TEST(without_a_cache_blocks_come_from_the_shared_depot)
{
    void *block = weft__slab_alloc(NULL, 64);
    void *large = weft__slab_alloc(NULL, 100000);

    check(block != NULL && large != NULL);
    memset(block, 1, 64);
    memset(large, 1, 100000);
    weft__slab_free(NULL, block, 64);
    weft__slab_free(NULL, large, 100000);
    weft__slab_free(NULL, NULL, 64);
}

/* A block of the shared depot goes through a cache whose depot then ends. */
TEST(a_shared_block_outlives_the_depot_it_was_freed_into)
{
    struct weft__depot *depot = weft__depot_new(NULL, NULL);
    struct weft__cache *cache = weft__cache_new(depot);
    struct weft__depot_stats before;
    struct weft__depot_stats after;
    char *shared[500];

    for (int i = 0; i < 500; i++)
        shared[i] = weft__slab_alloc(NULL, 64);
    weft__depot_stats(NULL, &before);
    for (int i = 0; i < 500; i++)
        weft__slab_free(cache, shared[i], 64);
    weft__cache_free(cache);
    weft__depot_free(depot);
    for (int i = 0; i < 500; i++) {
        shared[i] = weft__slab_alloc(NULL, 64);
        memset(shared[i], i, 64);
    }
    weft__depot_stats(NULL, &after);
    check_int(after.cut, before.cut);
    for (int i = 0; i < 500; i++)
        weft__slab_free(NULL, shared[i], 64);
}

TEST(a_block_freed_without_a_cache_goes_home)
{
    struct weft__depot *depot = weft__depot_new(NULL, NULL);
    struct weft__cache *cache = weft__cache_new(depot);
    void *block = weft__slab_alloc(cache, 64);

    weft__slab_free(NULL, block, 64);
    weft__cache_free(cache);
    weft__depot_free(depot);
    block = weft__slab_alloc(NULL, 64);
    memset(block, 1, 64); /* would fault if it were the ended depot's */
    weft__slab_free(NULL, block, 64);
    check(true);
}

TEST(depots_that_hold_each_others_blocks_end_together)
{
    struct weft__depot *depots[2] = {weft__depot_new(NULL, NULL), weft__depot_new(NULL, NULL)};
    struct weft__cache *caches[2] = {weft__cache_new(depots[0]), weft__cache_new(depots[1])};

    for (int i = 0; i < 1000; i++) {
        weft__slab_free(caches[1], weft__slab_alloc(caches[0], 64), 64);
        weft__slab_free(caches[0], weft__slab_alloc(caches[1], 64), 64);
    }
    weft__cache_free(caches[0]);
    weft__depot_free(depots[0]);
    weft__slab_free(caches[1], weft__slab_alloc(caches[1], 64), 64);
    weft__cache_free(caches[1]);
    weft__depot_free(depots[1]);
    check(true);
}

static void count_place(void *arg, void *at, size_t size)
{
    (void)at;
    *(size_t *)arg += size;
}

TEST(every_chunk_is_placed)
{
    size_t placed = 0;
    struct weft__depot *depot = weft__depot_new(count_place, &placed);
    struct weft__cache *cache = weft__cache_new(depot);
    struct weft__depot_stats stats;

    fill_and_look(cache, 8192, 5000);
    weft__depot_stats(depot, &stats);
    check_int(placed, stats.mapped);
    if (!WEFT__SLAB_PLAIN)
        check(placed > 0 || stats.cut == 0);
    weft__cache_free(cache);
    weft__depot_free(depot);
}

/* -- many threads ------------------------------------------------------------- */

#define N_THREADS 4
#define N_SLOTS 512

static void *_Atomic exchange[N_SLOTS];
static struct weft__depot *shared_depot;

static void stamp(void *block, size_t size)
{
    memset(block, (int)(size % 250) + 1, size);
    memcpy(block, &size, sizeof size);
}

static bool is_stamped(const unsigned char *block, size_t *size)
{
    memcpy(size, block, sizeof *size);
    for (size_t i = sizeof *size; i < *size; i++) {
        if (block[i] != (unsigned char)(*size % 250 + 1))
            return false;
    }
    return true;
}

static void *exchanger(void *arg)
{
    uint64_t user = (uint64_t)(uintptr_t)arg;
    /* The last thread works without a cache, as foreign threads do. */
    struct weft__cache *cache = user == N_THREADS - 1 ? NULL : weft__cache_new(shared_depot);
    struct weft__rand rand;
    size_t n_bad = 0;

    weft__rand_init(&rand, 1, user);
    for (int i = 0; i < 100000; i++) {
        size_t size = 16 + weft__rand_below(&rand, 600);
        void *block = weft__slab_alloc(cache, size);

        stamp(block, size);
        block = atomic_exchange(&exchange[weft__rand_below(&rand, N_SLOTS)], block);
        if (block != NULL) {
            n_bad += !is_stamped(block, &size);
            weft__slab_free(cache, block, size);
        }
    }
    weft__cache_free(cache);
    return (void *)n_bad;
}

TEST(blocks_go_from_thread_to_thread_whole)
{
    pthread_t threads[N_THREADS];
    void *n_bad;
    size_t size;

    shared_depot = weft__depot_new(NULL, NULL);
    for (uintptr_t i = 0; i < N_THREADS; i++)
        pthread_create(&threads[i], NULL, exchanger, (void *)i);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], &n_bad);
        check_int((uintptr_t)n_bad, 0);
    }
    for (int i = 0; i < N_SLOTS; i++) {
        if (exchange[i] != NULL) {
            check(is_stamped(exchange[i], &size));
            weft__slab_free(NULL, exchange[i], size);
        }
    }
    weft__depot_free(shared_depot);
}

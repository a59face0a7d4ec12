/* map.c - maps as sorted arrays of pairs.
 *
 * Keys stand in weft__order, so look-up is by halves, and two maps are equal
 * exactly when their arrays are. A change copies the array: maps in messages
 * and options are small, and large ones that change belong in a table.
 */
#include <stdlib.h>

#include "base/here.h"
#include "term/region.h"
#include "term/term.h"

struct pair {
    weft_term key, value;
};

static struct pair *map_pairs(weft_term map)
{
    return (struct pair *)weft__box_terms(map);
}

static uint64_t *map_alloc(size_t n_pairs)
{
    if (n_pairs > WEFT__BLOCK_MAX / sizeof(struct pair) - 1)
        weft__term_no_memory(n_pairs);
    return weft__region_alloc(weft__region_here(), 8 + n_pairs * sizeof(struct pair));
}

static void map_require(const char *call, weft_term map)
{
    if (!weft__is_map(map))
        weft__term_fail_kind(call, map, "a map");
}

/* Few pairs: by insertion, stable, so that the last of equal keys is found. */
static void pairs_insert_sort(struct pair *pairs, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct pair pair = pairs[i];
        size_t at = i;

        while (at > 0 && weft__order(pairs[at - 1].key, pair.key) > 0) {
            pairs[at] = pairs[at - 1];
            at--;
        }
        pairs[at] = pair;
    }
}

/* Many: by merging runs, stable too. spare has room for n pairs. */
static void pairs_merge_sort(struct pair *pairs, struct pair *spare, size_t n)
{
    size_t half = n / 2, left = 0, right = half;

    if (n <= 16) {
        pairs_insert_sort(pairs, n);
        return;
    }
    pairs_merge_sort(pairs, spare, half);
    pairs_merge_sort(pairs + half, spare, n - half);
    memcpy(spare, pairs, n * sizeof *pairs);
    for (size_t i = 0; i < n; i++) {
        bool from_left = right == n || (left < half && weft__order(spare[left].key,
                                                                   spare[right].key) <= 0);

        pairs[i] = from_left ? spare[left++] : spare[right++];
    }
}

static void pairs_sort(struct pair *pairs, size_t n)
{
    struct pair *spare;

    if (n <= 16) {
        pairs_insert_sort(pairs, n);
        return;
    }
    spare = malloc(n * sizeof *spare);
    if (!spare)
        weft__term_no_memory(n * sizeof *spare);
    pairs_merge_sort(pairs, spare, n);
    free(spare);
}

/* Of equal keys keep the last; returns how many are left. */
static size_t pairs_unique(struct pair *pairs, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && weft_eq(pairs[kept - 1].key, pairs[i].key))
            kept--;
        pairs[kept++] = pairs[i];
    }
    return kept;
}

weft_term weft_map_of(const weft_term *keys_and_values, size_t n_pairs)
{
    uint64_t *box = map_alloc(n_pairs);
    struct pair *pairs = (struct pair *)(box + 1);

    if (n_pairs > 0)
        memcpy(pairs, keys_and_values, n_pairs * sizeof *pairs);
    pairs_sort(pairs, n_pairs);
    box[0] = weft__header(WEFT__BOX_MAP, pairs_unique(pairs, n_pairs));
    return weft__boxed(box);
}

/* Keys that are words differ in their bits: in a small map looking at each is
 * faster than the order of atoms, which goes by their names. */
static bool map_find_word(const struct pair *pairs, size_t n, weft_term key, size_t *at)
{
    for (size_t i = 0; i < n; i++)
        if (pairs[i].key.bits == key.bits) {
            *at = i;
            return true;
        }
    return false;
}

bool weft__map_find(weft_term map, weft_term key, size_t *at)
{
    const struct pair *pairs = map_pairs(map);
    size_t low = 0, high = weft__box_size(map);

    if (high <= 16 && !weft__is_memory(key) && map_find_word(pairs, high, key, at))
        return true;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = weft__order(pairs[middle].key, key);

        if (order == 0) {
            *at = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return false;
}

weft_term weft_map_get(weft_term map, weft_term key, weft_term otherwise)
{
    size_t at;

    map_require("weft_map_get", map);
    return weft__map_find(map, key, &at) ? map_pairs(map)[at].value : otherwise;
}

bool weft_map_has(weft_term map, weft_term key)
{
    size_t at;

    map_require("weft_map_has", map);
    return weft__map_find(map, key, &at);
}

/* A copy with `skip` pairs at `at` left out and room for `add` there. */
static struct pair *map_splice(weft_term map, size_t at, size_t skip, size_t add,
                               uint64_t **box)
{
    const struct pair *from = map_pairs(map);
    size_t n = weft__box_size(map);
    struct pair *to;

    *box = map_alloc(n - skip + add);
    **box = weft__header(WEFT__BOX_MAP, n - skip + add);
    to = (struct pair *)(*box + 1);
    memcpy(to, from, at * sizeof *to);
    memcpy(to + at + add, from + at + skip, (n - at - skip) * sizeof *to);
    return to + at;
}

weft_term weft_map_put(weft_term map, weft_term key, weft_term value)
{
    uint64_t *box;
    bool has;
    size_t at;

    map_require("weft_map_put", map);
    has = weft__map_find(map, key, &at);
    *map_splice(map, at, has, 1, &box) = (struct pair){key, value};
    return weft__boxed(box);
}

weft_term weft_map_delete(weft_term map, weft_term key)
{
    uint64_t *box;
    size_t at;

    map_require("weft_map_delete", map);
    if (!weft__map_find(map, key, &at))
        return map;
    map_splice(map, at, 1, 0, &box);
    return weft__boxed(box);
}

bool weft_is_map(weft_term term)
{
    return weft__box_kind(term) == WEFT__BOX_MAP;
}

size_t weft_map_size(weft_term map)
{
    map_require("weft_map_size", map);
    return weft__box_size(map);
}

bool weft_map_next(weft_term map, size_t *at, weft_term *key, weft_term *value)
{
    map_require("weft_map_each", map);
    if (*at >= weft__box_size(map))
        return false;
    *key = map_pairs(map)[*at].key;
    *value = map_pairs(map)[*at].value;
    ++*at;
    return true;
}

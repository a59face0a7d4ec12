/* hash.c - hashes that agree with weft_eq.
 *
 * Each term gives a word, mixed into the sum in the order of the walk: kinds
 * and sizes come before parts, so nesting counts.
 */
#include "term/term.h"
#include "term/walk.h"

#define MIX_A UINT64_C(0x9e3779b97f4a7c15)
#define MIX_B UINT64_C(0xd1342543de82ef95)

/* A full product folded in half (wyhash's step): each bit of either word
 * reaches all of the result. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(a ^ MIX_A) * (b ^ MIX_B);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load_word(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

/* Up to 7 bytes, each of them at a place of its own or more than once. */
static inline uint64_t load_few(const uint8_t *data, size_t size)
{
    uint32_t first, last;

    if (size >= 4) {
        memcpy(&first, data, 4);
        memcpy(&last, data + size - 4, 4);
        return (uint64_t)first << 32 | last;
    }
    if (size == 0)
        return 0;
    return (uint64_t)data[0] << 16 | (uint64_t)data[size / 2] << 8 | data[size - 1];
}

/* The size is in the sum first, so the last word may overlap the one before. */
static uint64_t hash_bytes(const uint8_t *data, size_t size)
{
    uint64_t hash = size * MIX_B + 1;

    if (size < 8)
        return mix(hash, load_few(data, size));
    for (size_t at = 0; at + 8 < size; at += 8)
        hash = mix(hash, load_word(data + at));
    return mix(hash, load_word(data + size - 8));
}

static uint64_t hash_float(double value)
{
    uint64_t word;

    if (value == 0)
        value = 0; /* -0.0 too */
    if (value != value)
        value = __builtin_nan(""); /* NaN is NaN, whatever its bits */
    memcpy(&word, &value, sizeof word);
    return mix(word, WEFT__BOX_FLOAT);
}

/* The term's own word; its parts are left in the walk. */
static uint64_t hash_step(struct weft__walk *walk, weft_term term)
{
    const uint8_t *data;
    size_t size;

    if (!weft__is_memory(term))
        return term.bits;
    if (weft__is_cell(term)) {
        weft__walk_push(walk, (struct weft__frame){weft__cell(term), NULL, 2, 1, 0});
        return WEFT__TAG_CELL;
    }
    switch (weft__box_kind(term)) {
    case WEFT__BOX_BIN:
    case WEFT__BOX_SHARED_BIN:
        weft__bin_bytes(term, &data, &size);
        return hash_bytes(data, size);
    case WEFT__BOX_FLOAT:
        return hash_float(weft__box_float(term));
    case WEFT__BOX_TUPLE:
    case WEFT__BOX_MAP:
        size = weft__box_size(term) << (weft__box_kind(term) == WEFT__BOX_MAP);
        weft__walk_push(walk,
                        (struct weft__frame){weft__box_terms(term), NULL, size, 1, 0});
        return *weft__box(term);
    case WEFT__BOX_NATIVE:
        return (uintptr_t)((struct weft__counted *)weft__box(term))->shared;
    default:
        return weft__box(term)[1];
    }
}

__attribute__((noinline)) static uint64_t hash_memory(weft_term term)
{
    struct weft__walk walk;
    const weft_term *next, *unused;
    unsigned mode;
    uint64_t hash;

    weft__walk_begin(&walk);
    hash = mix(hash_step(&walk, term), MIX_A);
    while (weft__walk_next(&walk, &next, &unused, &mode))
        hash = mix(hash, hash_step(&walk, *next));
    weft__walk_end(&walk);
    return hash;
}

/* The same sum as hash_memory's, for tuples of words. */
static inline bool hash_flat_tuple(weft_term tuple, uint64_t *hash)
{
    const weft_term *terms = weft__box_terms(tuple);
    uint64_t sum = mix(*weft__box(tuple), MIX_A);

    for (size_t i = 0, n = weft__box_size(tuple); i < n; i++) {
        if ((terms[i].bits & 3) == 0)
            return false;
        sum = mix(sum, terms[i].bits);
    }
    *hash = sum;
    return true;
}

uint64_t weft_hash(weft_term term)
{
    uint64_t hash;

    if (!weft__is_memory(term))
        return mix(term.bits, MIX_A);
    if (weft__is_tuple(term) && hash_flat_tuple(term, &hash))
        return hash;
    return hash_memory(term);
}

void weft__walk_grow(struct weft__walk *walk)
{
    size_t cap = walk->cap * 4;
    struct weft__frame *frames = malloc(cap * sizeof *frames);

    if (!frames) {
        weft__walk_end(walk);
        weft__term_no_memory(cap * sizeof *frames);
    }
    memcpy(frames, walk->frames, walk->n * sizeof *frames);
    weft__walk_end(walk);
    walk->frames = frames;
    walk->cap = cap;
}

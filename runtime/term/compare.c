/* compare.c - equality, Erlang's order of terms, and hashes. */
#include <math.h>

#include "term/atom.h"
#include "term/term.h"
#include "term/walk.h"

enum rank {
    RANK_NUMBER,
    RANK_ATOM,
    RANK_REF,
    RANK_PID,
    RANK_TUPLE,
    RANK_MAP,
    RANK_NIL,
    RANK_LIST,
    RANK_BIN,
    RANK_POINTER,
    RANK_NATIVE,
    RANK_PATTERN,
    RANK_NONE
};

/* How numbers of different kinds compare. */
enum mode { BY_VALUE, BY_KIND };

static enum rank box_rank(weft_term term)
{
    switch (weft__box_kind(term)) {
    case WEFT__BOX_INT:
    case WEFT__BOX_FLOAT:
        return RANK_NUMBER;
    case WEFT__BOX_BIN:
    case WEFT__BOX_SHARED_BIN:
        return RANK_BIN;
    case WEFT__BOX_TUPLE:
        return RANK_TUPLE;
    case WEFT__BOX_MAP:
        return RANK_MAP;
    case WEFT__BOX_POINTER:
        return RANK_POINTER;
    case WEFT__BOX_NATIVE:
        return RANK_NATIVE;
    default:
        return RANK_NONE;
    }
}

static enum rank term_rank(weft_term term)
{
    switch (term.bits & 15) {
    case WEFT__TAG_ATOM:
        return RANK_ATOM;
    case WEFT__TAG_PID:
        return RANK_PID;
    case WEFT__TAG_POINTER:
        return RANK_POINTER;
    case WEFT__TAG_SPECIAL:
        return weft_is_empty_list(term) ? RANK_NIL : RANK_PATTERN;
    default:
        break;
    }
    if ((term.bits & 3) == WEFT__TAG_INT)
        return RANK_NUMBER;
    if ((term.bits & 3) == WEFT__TAG_REF)
        return RANK_REF;
    return weft__is_cell(term) ? RANK_LIST : box_rank(term);
}

static int compare_words(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* -- numbers --------------------------------------------------------------- */

static int compare_ints(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* NaN is last and equal to itself, so that this is an order. */
static int compare_floats(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

/* By exact value: a float of 2^53 and more is told from the integers near it. */
static int compare_int_float(int64_t a, double b)
{
    double whole;
    int order;

    if (isnan(b) || b >= 0x1p63)
        return -1;
    if (b < -0x1p63)
        return 1;
    whole = trunc(b);
    order = compare_ints(a, (int64_t)whole);
    return order != 0 ? order : compare_floats(whole, b);
}

static int compare_numbers(weft_term a, weft_term b, enum mode mode)
{
    bool a_is_int = weft_is_int(a), b_is_int = weft_is_int(b);

    if (a_is_int && b_is_int)
        return compare_ints(weft__int_value(a), weft__int_value(b));
    if (!a_is_int && !b_is_int)
        return compare_floats(weft__box_float(a), weft__box_float(b));
    if (mode == BY_KIND)
        return a_is_int ? -1 : 1;
    return a_is_int ? compare_int_float(weft__int_value(a), weft__box_float(b))
                    : -compare_int_float(weft__int_value(b), weft__box_float(a));
}

/* -- what has no parts ----------------------------------------------------- */

static int compare_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int order = common > 0 ? memcmp(a, b, common) : 0;

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_atoms(weft_term a, weft_term b)
{
    size_t a_size, b_size;
    const char *a_name = weft__atom_text(a, &a_size), *b_name = weft__atom_text(b, &b_size);

    return compare_bytes(a_name, a_size, b_name, b_size);
}

static int compare_bins(weft_term a, weft_term b)
{
    const uint8_t *a_data, *b_data;
    size_t a_size, b_size;

    weft__bin_bytes(a, &a_data, &a_size);
    weft__bin_bytes(b, &b_data, &b_size);
    return compare_bytes(a_data, a_size, b_data, b_size);
}

/* -- the order ------------------------------------------------------------- */

static void push_terms(struct weft__walk *walk, const weft_term *a, const weft_term *b,
                       size_t n, unsigned stride, unsigned mode)
{
    weft__walk_push(walk, (struct weft__frame){a, b, n, (uint16_t)stride, (uint16_t)mode});
}

/* Tuples, maps: by size; what they hold is left in the walk. */
static int compare_parts(struct weft__walk *walk, weft_term a, weft_term b, enum mode mode)
{
    size_t n = weft__box_size(a);
    const weft_term *a_terms = weft__box_terms(a), *b_terms = weft__box_terms(b);

    if (n != weft__box_size(b))
        return n < weft__box_size(b) ? -1 : 1;
    if (weft__is_tuple(a)) {
        push_terms(walk, a_terms, b_terms, n, 1, mode);
    } else {
        /* All keys first, then the values in their order. */
        push_terms(walk, a_terms + 1, b_terms + 1, n, 2, mode);
        push_terms(walk, a_terms, b_terms, n, 2, BY_KIND);
    }
    return 0;
}

/* One step: the order as far as it is known without the parts. */
static int compare_step(struct weft__walk *walk, weft_term a, weft_term b, enum mode mode)
{
    enum rank rank = term_rank(a), other = term_rank(b);

    if (rank != other)
        return rank < other ? -1 : 1;
    switch (rank) {
    case RANK_NUMBER:
        return compare_numbers(a, b, mode);
    case RANK_ATOM:
        return compare_atoms(a, b);
    case RANK_BIN:
        return compare_bins(a, b);
    case RANK_TUPLE:
    case RANK_MAP:
        return compare_parts(walk, a, b, mode);
    case RANK_LIST:
        push_terms(walk, weft__cell(a), weft__cell(b), 2, 1, mode);
        return 0;
    case RANK_POINTER:
        return compare_words((uintptr_t)weft_to_pointer(a), (uintptr_t)weft_to_pointer(b));
    case RANK_NATIVE:
        /* The count's own address: one for each weft_native, whatever it wraps. */
        return compare_words((uintptr_t)((struct weft__counted *)weft__box(a))->shared,
                             (uintptr_t)((struct weft__counted *)weft__box(b))->shared);
    default:
        return compare_words(a.bits, b.bits);
    }
}

static int compare(weft_term a, weft_term b, enum mode mode)
{
    struct weft__walk walk;
    const weft_term *next_a, *next_b;
    unsigned next_mode;
    int order = 0;

    if (a.bits == b.bits)
        return 0;
    weft__walk_begin(&walk);
    order = compare_step(&walk, a, b, mode);
    while (order == 0 && weft__walk_next(&walk, &next_a, &next_b, &next_mode))
        if (next_a->bits != next_b->bits)
            order = compare_step(&walk, *next_a, *next_b, (enum mode)next_mode);
    weft__walk_end(&walk);
    return order;
}

int weft__compare_slow(weft_term a, weft_term b)
{
    return compare(a, b, BY_VALUE);
}

int weft__order(weft_term a, weft_term b)
{
    if (a.bits == b.bits)
        return 0;
    /* Most keys of maps. */
    if (weft_is_atom(a) && weft_is_atom(b))
        return compare_atoms(a, b);
    return compare(a, b, BY_KIND);
}

/* Elements that are the same word, or words that differ, need no walk. */
enum same { SAME, DIFFERENT, NOT_KNOWN };

static enum same same_words(const weft_term *a, const weft_term *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i].bits == b[i].bits)
            continue;
        return ((a[i].bits | b[i].bits) & 3) != 0 ? DIFFERENT : NOT_KNOWN;
    }
    return SAME;
}

/* Two addresses. */
bool weft__eq_slow(weft_term a, weft_term b)
{
    uint64_t header;
    enum same same = NOT_KNOWN;

    if (weft__is_boxed(a) && weft__is_boxed(b)) {
        header = *weft__box(a);
        if (header != *weft__box(b))
            return weft_is_bin(a) && weft_is_bin(b) && compare_bins(a, b) == 0;
        if (weft__header_kind(header) == WEFT__BOX_BIN)
            return memcmp(weft__box(a) + 1, weft__box(b) + 1, weft__header_size(header)) ==
                   0;
        if (weft__header_kind(header) == WEFT__BOX_TUPLE)
            same = same_words(weft__box_terms(a), weft__box_terms(b),
                              weft__header_size(header));
    }
    return same == NOT_KNOWN ? compare(a, b, BY_KIND) == 0 : same == SAME;
}

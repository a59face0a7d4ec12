#include "term/term.h"

#include "base/here.h"
#include "term/atom.h"
#include "term/region.h"

/* Memory that holds terms but is never given as such, for one word kinds. */
static weft_term box_word(enum weft__kind kind, uint64_t word)
{
    uint64_t *box = weft__region_alloc(weft__region_here(), 16);

    box[0] = weft__header(kind, 1);
    box[1] = word;
    return weft__boxed(box);
}

#ifdef WEFT_DEBUG
void weft__check_header(weft_term term)
{
    if (!weft__is_header(*(const uint64_t *)(uintptr_t)term.bits))
        weft__term_fail(
            "weft_term",
            "the term at %#llx was released: its scope has ended, or it was dropped",
            (unsigned long long)term.bits);
}
#endif

/* -- numbers --------------------------------------------------------------- */

weft_term weft__int_boxed(int64_t value)
{
    return box_word(WEFT__BOX_INT, (uint64_t)value);
}

bool weft__is_boxed_int(weft_term term)
{
    return weft__box_kind(term) == WEFT__BOX_INT;
}

int64_t weft__to_int_slow(weft_term term)
{
    if (weft__box_kind(term) != WEFT__BOX_INT)
        weft__term_fail_kind("weft_to_int", term, "an integer");
    return weft__int_value(term);
}

bool weft_try_to_int(weft_term term, int64_t *out)
{
    if (!weft_is_int(term))
        return false;
    *out = weft__int_value(term);
    return true;
}

weft_term weft_float(double value)
{
    uint64_t word;

    memcpy(&word, &value, sizeof word);
    return box_word(WEFT__BOX_FLOAT, word);
}

bool weft_is_float(weft_term term)
{
    return weft__box_kind(term) == WEFT__BOX_FLOAT;
}

bool weft_is_number(weft_term term)
{
    return weft_is_int(term) || weft_is_float(term);
}

bool weft_try_to_float(weft_term term, double *out)
{
    if (weft_is_float(term))
        *out = weft__box_float(term);
    else if (weft_is_int(term))
        *out = (double)weft__int_value(term);
    else
        return false;
    return true;
}

double weft_to_float(weft_term term)
{
    double value;

    if (!weft_try_to_float(term, &value))
        weft__term_fail_kind("weft_to_float", term, "a number");
    return value;
}

bool weft_try_to_bool(weft_term term, bool *out)
{
    if (!weft_is_bool(term))
        return false;
    *out = term.bits == weft_bool(true).bits;
    return true;
}

bool weft_to_bool(weft_term term)
{
    if (!weft_is_bool(term))
        weft__term_fail_kind("weft_to_bool", term, "true or false");
    return term.bits == weft_bool(true).bits;
}

/* -- raw pointers ---------------------------------------------------------- */

weft_term weft_pointer(const void *pointer)
{
    uint64_t address = (uintptr_t)pointer;

    if (address >> 60)
        return box_word(WEFT__BOX_POINTER, address);
    return weft__term(address << 4 | WEFT__TAG_POINTER);
}

bool weft_try_to_pointer(weft_term term, void **out)
{
    if ((term.bits & 15) == WEFT__TAG_POINTER)
        *out = (void *)(uintptr_t)(term.bits >> 4);
    else if (weft__box_kind(term) == WEFT__BOX_POINTER)
        *out = (void *)(uintptr_t)weft__box(term)[1];
    else
        return false;
    return true;
}

void *weft_to_pointer(weft_term term)
{
    void *pointer;

    if (!weft_try_to_pointer(term, &pointer))
        weft__term_fail_kind("weft_to_pointer", term, "a pointer");
    return pointer;
}

bool weft_is_pointer(weft_term term)
{
    return (term.bits & 15) == WEFT__TAG_POINTER ||
           weft__box_kind(term) == WEFT__BOX_POINTER;
}

/* -- tuples ---------------------------------------------------------------- */

weft_term weft_tuple_of(const weft_term *elements, size_t n)
{
    uint64_t *box;

    if (n > WEFT__BLOCK_MAX / sizeof *elements)
        weft__term_no_memory(n);
    box = weft__region_alloc(weft__region_here(), 8 + n * sizeof *elements);
    box[0] = weft__header(WEFT__BOX_TUPLE, n);
    /* Nearly all tuples are of a few elements, where a call to memcpy would take
     * as long as all the rest. */
    switch (n) {
    case 4:
        box[4] = elements[3].bits; /* fall through */
    case 3:
        box[3] = elements[2].bits; /* fall through */
    case 2:
        box[2] = elements[1].bits; /* fall through */
    case 1:
        box[1] = elements[0].bits; /* fall through */
    case 0:
        break;
    default:
        memcpy(box + 1, elements, n * sizeof *elements);
    }
    return weft__boxed(box);
}

bool weft_is_tuple(weft_term term)
{
    return weft__is_tuple(term);
}

size_t weft_tuple_size(weft_term tuple)
{
    if (!weft__is_tuple(tuple))
        weft__term_fail_kind("weft_tuple_size", tuple, "a tuple");
    return weft__box_size(tuple);
}

weft_term weft_tuple_at(weft_term tuple, size_t index)
{
    if (!weft__is_tuple(tuple))
        weft__term_fail_kind("weft_tuple_at", tuple, "a tuple");
    if (index >= weft__box_size(tuple))
        weft__term_fail("weft_tuple_at", "has no element %zu in a tuple of %zu", index,
                        weft__box_size(tuple));
    return weft__box_terms(tuple)[index];
}

/* -- options --------------------------------------------------------------- */

static bool is_option(weft_term pair)
{
    return weft__is_tuple(pair) && weft__box_size(pair) == 2 &&
           weft_is_atom(weft__box_terms(pair)[0]);
}

weft_term weft_keyword(weft_term options, weft_atom key, weft_term otherwise)
{
    if (weft_is_none(options))
        return otherwise;
    if (weft__is_map(options))
        return weft_map_get(options, key, otherwise);
    while (weft__is_cell(options)) {
        weft_term pair = weft__cell(options)[0];

        if (!is_option(pair))
            weft__term_fail_kind("weft_keyword", pair, "an option {atom, value}");
        if (weft_eq(weft__box_terms(pair)[0], key))
            return weft__box_terms(pair)[1];
        options = weft__cell(options)[1];
    }
    if (!weft_is_empty_list(options))
        weft__term_fail_kind("weft_keyword", options, "a list of options or a map");
    return otherwise;
}

#include "base/here.h"
#include "term/region.h"
#include "term/term.h"

static weft_term cell_at(weft_term *cell, weft_term head, weft_term tail)
{
    cell[0] = head;
    cell[1] = tail;
    return weft__term((uintptr_t)cell | WEFT__TAG_CELL);
}

weft_term weft_cons(weft_term head, weft_term tail)
{
    return cell_at(weft__region_alloc(weft__region_here(), 16), head, tail);
}

weft_term weft_list_of(const weft_term *elements, size_t n)
{
    weft_term list = weft_empty_list;
    weft_term *cells;

    if (n > WEFT__BLOCK_MAX / 16)
        weft__term_no_memory(n);
    if (n == 0)
        return list;
    /* One piece, first cell first: read in order. */
    cells = weft__region_alloc(weft__region_here(), n * 16);
    while (n-- > 0)
        list = cell_at(&cells[2 * n], elements[n], list);
    return list;
}

weft_term weft_head(weft_term list)
{
    if (!weft__is_cell(list))
        weft__term_fail_kind("weft_head", list, "a list with elements");
    return weft__cell(list)[0];
}

weft_term weft_tail(weft_term list)
{
    if (!weft__is_cell(list))
        weft__term_fail_kind("weft_tail", list, "a list with elements");
    return weft__cell(list)[1];
}

bool weft_list_next(weft_term *rest, weft_term *element)
{
    if (!weft__is_cell(*rest)) {
        if (!weft_is_empty_list(*rest))
            weft__term_fail_kind("weft_list_each", *rest, "a proper list");
        return false;
    }
    *element = weft__cell(*rest)[0];
    *rest = weft__cell(*rest)[1];
    return true;
}

size_t weft_list_size(weft_term list)
{
    weft_term rest = list;
    size_t n = 0;

    for (; weft__is_cell(rest); n++)
        rest = weft__cell(rest)[1];
    if (!weft_is_empty_list(rest))
        weft__term_fail_kind("weft_list_size", list, "a proper list");
    return n;
}

weft_term weft_list_reverse(weft_term list)
{
    struct weft__region *region = weft__region_here();
    weft_term reversed = weft_empty_list;
    weft_term rest = list;

    for (; weft__is_cell(rest); rest = weft__cell(rest)[1])
        reversed = cell_at(weft__region_alloc(region, 16), weft__cell(rest)[0], reversed);
    if (!weft_is_empty_list(rest))
        weft__term_fail_kind("weft_list_reverse", list, "a proper list");
    return reversed;
}

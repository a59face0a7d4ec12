/* copy.c - deep copies, breadth first, with the copy itself as the list of
 * what is left to do.
 *
 * As in Cheney's collector: the root goes to the start of the new memory; then
 * one pass over the new memory, from its start to its growing end, turns each
 * address it meets into that of a copy it puts at the end. The headers tell
 * the pass what is no term. Lists come out in one piece, in order.
 */
#include "term/copy.h"

#include "base/here.h"
#include "term/region.h"
#include "term/walk.h"

/* -- how many bytes -------------------------------------------------------- */

struct sizing {
    struct weft__walk walk;
    uint64_t bytes;
    struct weft__copy_refusal refusal;
};

static void size_memory(struct sizing *sizing, weft_term term)
{
    uint64_t header;
    size_t n;

    if (weft__is_cell(term)) {
        sizing->bytes += 16;
        weft__walk_push(&sizing->walk, (struct weft__frame){weft__cell(term), NULL, 2, 1, 0});
        return;
    }
    header = *weft__box(term);
    sizing->bytes += weft__box_bytes(header);
    n = weft__header_size(header);
    if (weft__header_kind(header) == WEFT__BOX_MAP)
        n *= 2;
    else if (weft__header_kind(header) != WEFT__BOX_TUPLE)
        return;
    weft__walk_push(&sizing->walk, (struct weft__frame){weft__box_terms(term), NULL, n, 1, 0});
}

/* false: the term may not be copied. */
static bool size_step(struct sizing *sizing, weft_term term)
{
    if (weft__is_memory(term)) {
        size_memory(sizing, term);
        return true;
    }
    if (weft_is_none(term))
        sizing->refusal = (struct weft__copy_refusal){WEFT__COPY_NONE, term};
    else if (weft__is_pattern_part(term))
        sizing->refusal = (struct weft__copy_refusal){WEFT__COPY_PATTERN, term};
    return sizing->refusal.problem == WEFT__COPY_OK;
}

/* Nothing in it but plain words: the usual tuple. */
static bool is_flat_tuple(weft_term term)
{
    const weft_term *terms;

    if (weft__box_kind(term) != WEFT__BOX_TUPLE)
        return false;
    terms = weft__box_terms(term);
    for (size_t i = 0, n = weft__box_size(term); i < n; i++)
        if ((terms[i].bits & 3) == 0 || weft__is_special(terms[i]))
            return false;
    return true;
}

size_t weft__copy_size_memory(weft_term term, struct weft__copy_refusal *refusal)
{
    struct sizing sizing;
    const weft_term *next, *unused;
    unsigned mode;
    bool ok;

    if (is_flat_tuple(term))
        return weft__box_bytes(*weft__box(term));
    weft__walk_begin(&sizing.walk);
    sizing.bytes = 0;
    sizing.refusal = (struct weft__copy_refusal){WEFT__COPY_OK, weft_none};
    ok = size_step(&sizing, term);
    while (ok && weft__walk_next(&sizing.walk, &next, &unused, &mode))
        ok = size_step(&sizing, *next);
    weft__walk_end(&sizing.walk);
    if (ok && sizing.bytes > WEFT__BLOCK_MAX)
        sizing.refusal = (struct weft__copy_refusal){WEFT__COPY_TOO_BIG, term};
    if (sizing.refusal.problem == WEFT__COPY_OK)
        return (size_t)sizing.bytes;
    *refusal = sizing.refusal;
    return WEFT__COPY_REFUSED;
}

/* -- the copy -------------------------------------------------------------- */

/* What stands behind one address, to *end, which moves. */
static weft_term copy_one(weft_term term, char **end, struct weft__counted **counted)
{
    uint64_t *to = (uint64_t *)*end;
    const uint64_t *from;
    size_t bytes;

    if (weft__is_cell(term)) {
        memcpy(to, weft__cell(term), 16);
        *end += 16;
        return weft__term((uintptr_t)to | WEFT__TAG_CELL);
    }
    from = weft__box(term);
    bytes = weft__box_bytes(*from);
    for (size_t i = 0; i < bytes / 8; i++)
        to[i] = from[i];
    *end += bytes;
    if (weft__header_kind(*from) == WEFT__BOX_SHARED_BIN || weft__header_kind(*from) == WEFT__BOX_NATIVE) {
        struct weft__counted *copy = (struct weft__counted *)to;

        weft__shared_hold(copy->shared);
        copy->next = *counted;
        *counted = copy;
    }
    return weft__boxed(to);
}

/* Words from a header to the next word that is a header or a term. */
static size_t words_to_next(uint64_t header)
{
    switch (weft__header_kind(header)) {
    case WEFT__BOX_TUPLE:
    case WEFT__BOX_MAP:
        return 1;
    default:
        return weft__box_bytes(header) / 8;
    }
}

weft_term weft__copy_into_memory(weft_term term, char *at, struct weft__counted **counted)
{
    char *end = at;
    weft_term root = copy_one(term, &end, counted);

    for (uint64_t *word = (uint64_t *)at; (char *)word < end;) {
        if (weft__is_header(*word)) {
            word += words_to_next(*word);
            continue;
        }
        if ((*word & 3) == 0)
            *word = copy_one(weft__term(*word), &end, counted).bits;
        word++;
    }
    return root;
}

/* -- refusals -------------------------------------------------------------- */

const char *weft__pattern_part_name(weft_term term)
{
    static const char *const names[] = {
        [WEFT__SPECIAL_ANY] = "weft_any",
        [WEFT__SPECIAL_VAR] = "weft_var",
        [WEFT__SPECIAL_BIND] = "weft_bind",
        [WEFT__SPECIAL_BIND_INT] = "weft_bind_int",
        [WEFT__SPECIAL_BIND_FLOAT] = "weft_bind_float",
        [WEFT__SPECIAL_BIND_BOOL] = "weft_bind_bool",
        [WEFT__SPECIAL_BIND_TEXT] = "weft_bind_text",
        [WEFT__SPECIAL_BIND_PID] = "weft_bind_pid",
    };
    unsigned kind = weft__special_kind(term);

    return weft__is_special(term) && kind < sizeof names / sizeof *names ? names[kind] : NULL;
}

const char *weft__copy_words(const struct weft__copy_refusal *refusal)
{
    static const char *const words[] = {
        [WEFT__SPECIAL_ANY] = "a term with weft_any in it, which is a pattern part",
        [WEFT__SPECIAL_VAR] = "a term with weft_var in it, which is a pattern part",
        [WEFT__SPECIAL_BIND] = "a term with weft_bind in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_INT] = "a term with weft_bind_int in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_FLOAT] = "a term with weft_bind_float in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_BOOL] = "a term with weft_bind_bool in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_TEXT] = "a term with weft_bind_text in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_PID] = "a term with weft_bind_pid in it, which is a pattern part",
    };

    switch (refusal->problem) {
    case WEFT__COPY_NONE:
        return "a term with weft_none in it, which is no value";
    case WEFT__COPY_TOO_BIG:
        return "a term of more than 4 GiB";
    case WEFT__COPY_PATTERN:
        if (weft__pattern_part_name(refusal->part))
            return words[weft__special_kind(refusal->part)];
        return "a term with a pattern part in it";
    default:
        return "a term";
    }
}

void weft__copy_fail(const char *call, const struct weft__copy_refusal *refusal)
{
    weft__term_fail(call, "was given %s", weft__copy_words(refusal));
}

weft_term weft__copy_to_region(struct weft__region *region, weft_term term, const char *call)
{
    struct weft__copy_refusal refusal;
    size_t size = weft__copy_size(term, &refusal);
    struct weft__counted *counted = NULL, *oldest;
    weft_term copy;

    if (size == WEFT__COPY_REFUSED)
        weft__copy_fail(call, &refusal);
    if (size == 0)
        return term;
    copy = weft__copy_into(term, weft__region_alloc(region, size), &counted);
    if (counted) {
        for (oldest = counted; oldest->next;)
            oldest = oldest->next;
        oldest->next = region->counted;
        region->counted = counted;
    }
    return copy;
}

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

/* Recursion is the quick way, and bounded; what lies deeper waits in the walk. */
#define SIZE_DEPTH 24

struct sizing {
    uint64_t bytes;
    struct weft__copy_refusal refusal;
    struct weft__walk walk; /* runs of terms that were too deep */
};

static bool size_memory(struct sizing *sizing, weft_term term, unsigned depth);

/* What is no memory takes none; false: it may not be copied. */
static inline bool size_word(struct sizing *sizing, weft_term term)
{
    if (!weft__is_pattern_part(term))
        return true;
    sizing->refusal = (struct weft__copy_refusal){WEFT__COPY_PATTERN, term};
    return false;
}

static inline bool size_term(struct sizing *sizing, weft_term term, unsigned depth)
{
    return (term.bits & 3) != 0 ? size_word(sizing, term)
                                : size_memory(sizing, term, depth);
}

static bool size_run(struct sizing *sizing, const weft_term *terms, size_t n,
                     unsigned depth)
{
    if (depth == SIZE_DEPTH) {
        weft__walk_push(&sizing->walk, (struct weft__frame){terms, NULL, n, 1, 0});
        return true;
    }
    for (size_t i = 0; i < n; i++)
        if (!size_term(sizing, terms[i], depth + 1))
            return false;
    return true;
}

static bool size_box(struct sizing *sizing, weft_term term, unsigned depth)
{
    uint64_t header = *weft__box(term);
    size_t n = weft__header_size(header);

    sizing->bytes += weft__box_bytes(header);
    if (weft__header_kind(header) == WEFT__BOX_TUPLE)
        return size_run(sizing, weft__box_terms(term), n, depth);
    if (weft__header_kind(header) == WEFT__BOX_MAP)
        return size_run(sizing, weft__box_terms(term), 2 * n, depth);
    return true;
}

/* Any address, and weft_none. A list is a loop, however long. */
static bool size_memory(struct sizing *sizing, weft_term term, unsigned depth)
{
    while (weft__is_cell(term)) {
        const weft_term *cell = weft__cell(term);

        if (depth == SIZE_DEPTH) {
            sizing->bytes += 16;
            return size_run(sizing, cell, 2, depth);
        }
        sizing->bytes += 16;
        if (!size_term(sizing, cell[0], depth + 1))
            return false;
        term = cell[1];
    }
    if ((term.bits & 3) != 0)
        return size_word(sizing, term);
    if (!weft_is_none(term))
        return size_box(sizing, term, depth);
    sizing->refusal = (struct weft__copy_refusal){WEFT__COPY_NONE, term};
    return false;
}

/* Nothing in it but plain words: the usual tuple. */
static inline bool is_flat_tuple(weft_term term)
{
    const weft_term *terms;

    if (!weft__is_tuple(term))
        return false;
    terms = weft__box_terms(term);
    for (size_t i = 0, n = weft__box_size(term); i < n; i++)
        if ((terms[i].bits & 3) == 0 || weft__is_special(terms[i]))
            return false;
    return true;
}

__attribute__((noinline)) static size_t size_any(weft_term term,
                                                 struct weft__copy_refusal *refusal)
{
    struct sizing sizing = {.refusal = {WEFT__COPY_OK, weft_none}};
    bool ok;

    weft__walk_begin(&sizing.walk);
    ok = size_term(&sizing, term, 0);
    while (ok && sizing.walk.n > 0) {
        struct weft__frame run = sizing.walk.frames[--sizing.walk.n];

        ok = size_run(&sizing, run.a, run.left, 0);
    }
    weft__walk_end(&sizing.walk);
    if (ok && sizing.bytes > WEFT__BLOCK_MAX)
        sizing.refusal = (struct weft__copy_refusal){WEFT__COPY_TOO_BIG, term};
    if (sizing.refusal.problem == WEFT__COPY_OK)
        return (size_t)sizing.bytes;
    *refusal = sizing.refusal;
    return WEFT__COPY_REFUSED;
}

size_t weft__copy_size_memory(weft_term term, struct weft__copy_refusal *refusal)
{
    if (__builtin_expect(is_flat_tuple(term), 1))
        return 8 + 8 * weft__box_size(term);
    return size_any(term, refusal);
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
    if (weft__header_kind(*from) == WEFT__BOX_SHARED_BIN ||
        weft__header_kind(*from) == WEFT__BOX_NATIVE) {
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

__attribute__((noinline)) static weft_term copy_any(weft_term term, char *at,
                                                    struct weft__counted **counted)
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

weft_term weft__copy_into_memory(weft_term term, char *at, struct weft__counted **counted)
{
    uint64_t *to = (uint64_t *)at;
    const uint64_t *from;

    if (!weft__is_tuple(term))
        return copy_any(term, at, counted);
    from = weft__box(term);
    to[0] = from[0];
    for (size_t i = 1, n = weft__header_size(from[0]); i <= n; i++) {
        if (__builtin_expect((from[i] & 3) == 0, 0))
            return copy_any(term, at, counted);
        to[i] = from[i];
    }
    return weft__boxed(to);
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

    return weft__is_special(term) && kind < sizeof names / sizeof *names ? names[kind]
                                                                         : NULL;
}

const char *weft__copy_words(const struct weft__copy_refusal *refusal)
{
    static const char *const words[] = {
        [WEFT__SPECIAL_ANY] = "a term with weft_any in it, which is a pattern part",
        [WEFT__SPECIAL_VAR] = "a term with weft_var in it, which is a pattern part",
        [WEFT__SPECIAL_BIND] = "a term with weft_bind in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_INT] =
            "a term with weft_bind_int in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_FLOAT] =
            "a term with weft_bind_float in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_BOOL] =
            "a term with weft_bind_bool in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_TEXT] =
            "a term with weft_bind_text in it, which is a pattern part",
        [WEFT__SPECIAL_BIND_PID] =
            "a term with weft_bind_pid in it, which is a pattern part",
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

weft_term weft__copy_to_region(struct weft__region *region, weft_term term,
                               const char *call)
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

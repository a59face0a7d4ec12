/* copy.h - deep copies into flat memory: messages, rows, kept terms.
 *
 * Two steps: how many bytes, then the copy into memory the caller has found.
 * Immediate terms take no bytes. Counted things are shared: their terms go into
 * a list that whoever frees the memory gives back (weft__counted_release, or
 * weft__block_free when the list is a block's). Terms below the same root that
 * are the same memory become separate copies, as in Erlang.
 *
 * The memory is read-only from then on and refers to nothing outside itself but
 * counted things, so any thread may read it.
 *
 * Neither step recurses; lists and nesting of any depth are copied. Neither
 * switches, nor fails on the way.
 */
#ifndef WEFT_TERM_COPY_H
#define WEFT_TERM_COPY_H

#include <stddef.h>

#include "term/term.h"

/* Why a term cannot be copied. */
enum weft__copy_problem {
    WEFT__COPY_OK,
    WEFT__COPY_NONE,    /* weft_none is in it */
    WEFT__COPY_PATTERN, /* a pattern part is in it */
    WEFT__COPY_TOO_BIG  /* above WEFT__BLOCK_MAX bytes */
};

struct weft__copy_refusal {
    enum weft__copy_problem problem;
    weft_term part; /* the first such part */
};

#define WEFT__COPY_REFUSED SIZE_MAX

size_t weft__copy_size_memory(weft_term term, struct weft__copy_refusal *refusal);

/* Bytes that copy_into will need, a multiple of 8; or WEFT__COPY_REFUSED with
 * the refusal filled in (it is not touched otherwise). */
static inline size_t weft__copy_size(weft_term term, struct weft__copy_refusal *refusal)
{
    if ((term.bits & 3) != 0 && !weft__is_special(term))
        return 0;
    return weft__copy_size_memory(term, refusal);
}

weft_term weft__copy_into_memory(weft_term term, char *at, struct weft__counted **counted);

/* Copy into copy_size(term) bytes at `at` (8-aligned) and push the terms that
 * hold counts onto *counted. Returns the copy. */
static inline weft_term weft__copy_into(weft_term term, char *at,
                                        struct weft__counted **counted)
{
    return weft__is_memory(term) ? weft__copy_into_memory(term, at, counted) : term;
}

/* Words for a refusal, such as "weft_bind is a pattern part": static text. */
const char *weft__copy_words(const struct weft__copy_refusal *refusal);

/* The name of a pattern part's constructor ("weft_any"), or NULL. */
const char *weft__pattern_part_name(weft_term term);

/* Exit as `call` was given a term with that problem. */
_Noreturn void weft__copy_fail(const char *call, const struct weft__copy_refusal *refusal);

/* A copy in the region, which may be another process's when that one stands
 * still. Fails in the name of call. */
struct weft__region;
weft_term weft__copy_to_region(struct weft__region *region, weft_term term,
                               const char *call);

#endif

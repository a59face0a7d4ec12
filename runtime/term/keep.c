#include "term/keep.h"

#include "base/here.h"
#include "base/memory.h"
#include "term/copy.h"
#include "term/region.h"

#define SEAL UINT64_C(0x7765667473656100)

static uint64_t kept_seal(const struct weft__kept *kept)
{
    return (uint64_t)(uintptr_t)kept ^ SEAL;
}

static void kept_link(struct weft__kept **list, struct weft__kept *kept)
{
    kept->next = *list;
    kept->link = list;
    if (*list)
        (*list)->link = &kept->next;
    *list = kept;
}

static void kept_free(struct weft__kept *kept)
{
    weft__counted_release(kept->counted, NULL);
    kept->seal = 0;
    weft__memory_free(kept, kept->size);
}

weft_term weft__keep_in(struct weft__region *region, weft_term term, const char *call)
{
    struct weft__copy_refusal refusal;
    size_t size = weft__copy_size(term, &refusal);
    struct weft__kept *kept;

    if (size == WEFT__COPY_REFUSED)
        weft__copy_fail(call, &refusal);
    if (size == 0)
        return term;
    size += sizeof *kept;
    weft__region_watch(region, size);
    kept = weft__memory_alloc(size);
    if (!kept)
        weft__term_no_memory(size);
    kept->counted = NULL;
    kept->size = size;
    kept->seal = kept_seal(kept);
    kept_link(&region->kept, kept);
    return weft__copy_into(term, (char *)(kept + 1), &kept->counted);
}

weft_term weft_keep(weft_term term)
{
    return weft__keep_in(weft__region_here(), term, "weft_keep");
}

void weft_drop(weft_term term)
{
    struct weft__kept *kept;

    if (!weft__is_memory(term))
        return;
    /* The root of a kept copy comes right after the header. */
    kept = (struct weft__kept *)(uintptr_t)(term.bits & ~UINT64_C(7)) - 1;
    if (kept->seal != kept_seal(kept))
        weft__term_fail_kind("weft_drop", term, "a term that weft_keep returned");
    *kept->link = kept->next;
    if (kept->next)
        kept->next->link = kept->link;
    kept_free(kept);
}

void weft__kept_release(struct weft__kept **list)
{
    struct weft__kept *kept = *list, *next;

    *list = NULL;
    for (; kept; kept = next) {
        next = kept->next;
        kept_free(kept);
    }
}

void weft__kept_move(struct weft__kept **into, struct weft__kept **from)
{
    struct weft__kept *kept = *from, *next;

    *from = NULL;
    for (; kept; kept = next) {
        next = kept->next;
        kept_link(into, kept);
    }
}

bool weft__kept_holds(const struct weft__kept *list, const void *at)
{
    for (; list; list = list->next)
        if ((const char *)at >= (const char *)list &&
            (const char *)at < (const char *)list + list->size)
            return true;
    return false;
}

/* The scope outside frees what is between its mark and the inner one's: that is
 * where the copy goes, in a block of its own. Nothing above it moves, so terms
 * of the inner scope are good until it is left. */
weft_term weft_scope_return(weft_term term)
{
    struct weft__region *region = weft__region_here();
    weft_scope *scope = region->scope;
    struct weft__copy_refusal refusal;
    size_t size = weft__copy_size(term, &refusal);
    struct weft__block **link = &region->blocks, *block;

    if (!scope)
        weft__term_fail("weft_scope_return", "there is no WEFT_SCOPE to return from");
    if (size == WEFT__COPY_REFUSED)
        weft__copy_fail("weft_scope_return", &refusal);
    if (size == 0)
        return term;
    block = weft__block_new(size);
    if (!block)
        weft__term_no_memory(size);
    while (*link != scope->blocks)
        link = &(*link)->next;
    block->next = scope->blocks;
    *link = block;
    scope->blocks = block;
    return weft__copy_into(term, weft__block_data(block), &block->counted);
}

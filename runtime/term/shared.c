/* shared.c - what terms count: large binaries' buffers and native objects. */
#include <stdlib.h>

#include "base/here.h"
#include "term/region.h"
#include "term/term.h"

void weft__shared_drop_many(struct weft__shared *shared, uint64_t n)
{
    /* Release: what this holder did comes before the end of the object. */
    if (atomic_fetch_sub_explicit(&shared->count, n, memory_order_release) != n)
        return;
    /* Acquire, with the releases of all other holders (a load, which race
     * detectors follow, unlike a fence). */
    (void)atomic_load_explicit(&shared->count, memory_order_acquire);
    shared->release(shared);
}

void weft__shared_drop(struct weft__shared *shared)
{
    weft__shared_drop_many(shared, 1);
}

void weft__counted_release(struct weft__counted *from, struct weft__counted *until)
{
    while (from != until) {
        struct weft__counted *next = from->next;

        weft__shared_drop(from->shared);
        from = next;
    }
}

struct native {
    struct weft__shared shared;
    const weft_native_type *type;
    void *object;
};

void (*weft__native_destroy)(const weft_native_type *type, void *object);

static void native_release(struct weft__shared *shared)
{
    struct native *native = (struct native *)shared;

    if (native->type->destroy && weft__native_destroy)
        weft__native_destroy(native->type, native->object);
    else if (native->type->destroy)
        native->type->destroy(native->object);
    free(native);
}

static const struct native *native_of(weft_term term)
{
    return (const struct native *)((const struct weft__counted *)weft__box(term))->shared;
}

weft_term weft_native(const weft_native_type *type, void *object)
{
    struct weft__region *region = weft__region_here();
    struct weft__counted *counted;
    struct native *native;

    if (!type)
        weft__term_fail("weft_native", "was given no type");
    counted = weft__region_alloc(region, WEFT__COUNTED_SIZE(WEFT__BOX_NATIVE));
    native = malloc(sizeof *native);
    if (!native)
        weft__term_no_memory(sizeof *native);
    atomic_init(&native->shared.count, 1);
    native->shared.release = native_release;
    native->type = type;
    native->object = object;
    counted->header = weft__header(WEFT__BOX_NATIVE, 0);
    counted->shared = &native->shared;
    counted->next = region->counted;
    region->counted = counted;
    return weft__boxed(counted);
}

bool weft_is_native(weft_term term, const weft_native_type *type)
{
    return weft__box_kind(term) == WEFT__BOX_NATIVE &&
           (!type || native_of(term)->type == type);
}

const weft_native_type *weft__native_type(weft_term term)
{
    return native_of(term)->type;
}

void *weft__native_address(weft_term term)
{
    return native_of(term)->object;
}

void *weft_native_object(weft_term term, const weft_native_type *type)
{
    if (!weft_is_native(term, type))
        weft__term_fail_kind("weft_native_object", term,
                             type && type->name ? type->name : "a native object");
    return native_of(term)->object;
}

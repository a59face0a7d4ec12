/* memory.h - small memory from wherever the calling thread has it.
 *
 * From the cache of the slot it carries, or the shared depot. See slab.h for
 * the memory, here.h for the slot. Who is in a section anyway takes
 * here->slot.cache.
 *
 * Threads: any. Never switch.
 */
#ifndef WEFT_BASE_MEMORY_H
#define WEFT_BASE_MEMORY_H

#include "base/here.h"
#include "base/slab.h"

/* weft__slab_alloc: NULL when memory is out. */
static inline void *weft__memory_alloc(size_t size)
{
    struct weft__here *here;
    uint32_t was;
    void *block;

    if (WEFT__SLAB_PLAIN)
        return weft__slab_alloc(NULL, size);
    here = weft__here();
    was = weft__enter(here);
    block = weft__slab_alloc(here->slot.cache, size);
    weft__leave(here, was);
    return block;
}

/* weft__slab_free: of the size it was allocated with. block may be NULL. */
static inline void weft__memory_free(void *block, size_t size)
{
    struct weft__here *here;
    uint32_t was;

    if (WEFT__SLAB_PLAIN) {
        weft__slab_free(NULL, block, size);
        return;
    }
    here = weft__here();
    was = weft__enter(here);
    weft__slab_free(here->slot.cache, block, size);
    weft__leave(here, was);
}

#endif

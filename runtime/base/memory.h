/* memory.h - small memory from wherever the calling thread has it.
 *
 * From the cache of the slot it carries, or the shared depot. See slab.h for
 * the memory, here.h for the slot. Who has the struct of the thread anyway takes
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
    return weft__slab_alloc(WEFT__SLAB_PLAIN ? NULL : weft__here()->slot.cache, size);
}

/* weft__slab_free: of the size it was allocated with. block may be NULL. */
static inline void weft__memory_free(void *block, size_t size)
{
    weft__slab_free(WEFT__SLAB_PLAIN ? NULL : weft__here()->slot.cache, block, size);
}

#endif

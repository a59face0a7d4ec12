#include "proc/limit.h"

#include <stddef.h>

#include "proc/bond.h"
#include "proc/message.h"
#include "proc/owned.h"
#include "proc/proc.h"
#include "term/keep.h"

size_t weft__limit_memory(const struct weft__proc *proc)
{
    size_t size = sizeof *proc;

    for (struct weft__block *block = proc->region.blocks; block != NULL; block = block->next)
        size += block->size;
    for (struct weft__message *message = proc->mailbox.first; message != NULL;
         message = weft__message_next(message))
        size += message->block.size;
    for (struct weft__kept *kept = proc->region.kept; kept != NULL; kept = kept->next)
        size += kept->size;
    size += weft__owned_size(proc) + proc->bonds.n * sizeof(struct weft__bond);
    return size;
}

/* Has it too much, with size more? */
static bool is_over(struct weft__proc *proc, size_t size)
{
    struct weft__extra *extra = proc->extra;
    size_t has;

    if (size <= extra->memory_room) {
        extra->memory_room -= size;
        return false;
    }
    has = weft__limit_memory(proc);
    if (has > extra->memory_max || size > extra->memory_max - has)
        return true;
    extra->memory_room = extra->memory_max - has - size;
    return false;
}

static void doom(struct weft__proc *proc)
{
    proc->flags |= WEFT__DOOMED;
    proc->reason = WEFT_ATOM("killed");
    /* Relaxed: as for every fatal signal. */
    atomic_fetch_or_explicit(&proc->state, WEFT__KILLED, memory_order_relaxed);
}

void weft__limit_grow(struct weft__proc *proc, size_t size)
{
    /* Its end may need what it may not have. */
    if ((proc->flags & (WEFT__ENDS | WEFT__DOOMED)) != 0 || !is_over(proc, size))
        return;
    doom(proc);
    weft__proc_exit(proc, proc->reason);
}

void weft__limit_mail(struct weft__proc *proc, size_t size)
{
    /* They are there by now. */
    if ((proc->flags & (WEFT__ENDS | WEFT__DOOMED)) == 0 && size > proc->extra->memory_room) {
        proc->extra->memory_room = 0;
        if (is_over(proc, 1))
            doom(proc);
    } else if (size <= proc->extra->memory_room) {
        proc->extra->memory_room -= size;
    }
}

static void region_grows(struct weft__region *region, size_t size)
{
    weft__limit_grow((struct weft__proc *)(void *)((char *)region - offsetof(struct weft__proc, region)), size);
}

bool weft__limit_set(struct weft__proc *proc, size_t max_bytes)
{
    struct weft__extra *extra = weft__proc_extra(proc);

    if (extra == NULL)
        return false;
    extra->memory_max = max_bytes;
    extra->memory_room = 0;
    proc->flags |= WEFT__LIMITED;
    proc->region.is_watched = true;
    /* Relaxed: always the same. */
    atomic_store_explicit(&weft__region_grows_hook, region_grows, memory_order_relaxed);
    return true;
}

#include "proc/owned.h"

#include <string.h>

#include "base/code.h"
#include "base/here.h"
#include "base/memory.h"
#include "proc/guest.h"
#include "proc/limit.h"
#include "proc/proc.h"
#include "term/fail.h"

static struct weft__owned *owned_of(void *at)
{
    return (struct weft__owned *)at - 1;
}

static void **arg_of(struct weft__owned *owned)
{
    return (void **)(void *)(owned + 1);
}

static void push(struct weft__owned **list, struct weft__owned *owned)
{
    owned->prev = NULL;
    owned->next = *list;
    if (owned->next != NULL)
        owned->next->prev = owned;
    *list = owned;
}

static void take_out(struct weft__owned **list, struct weft__owned *owned)
{
    if (owned->prev != NULL)
        owned->prev->next = owned->next;
    else
        *list = owned->next;
    if (owned->next != NULL)
        owned->next->prev = owned->prev;
}

/* proc: whose list it is; NULL: a thread's own. */
static struct weft__owned *owned_new(struct weft__proc *proc, struct weft__owned **list, size_t size)
{
    struct weft__owned *owned;

    if (size > PTRDIFF_MAX - sizeof *owned)
        return NULL;
    if (proc != NULL && __builtin_expect((proc->flags & WEFT__LIMITED) != 0, 0))
        weft__limit_grow(proc, sizeof *owned + size);
    owned = weft__memory_alloc(sizeof *owned + size);
    if (owned == NULL)
        return NULL;
    owned->size = size;
    owned->run = NULL;
    push(list, owned);
    return owned;
}

static void owned_free(struct weft__owned **list, struct weft__owned *owned)
{
    take_out(list, owned);
    weft__memory_free(owned, sizeof *owned + owned->size);
}

void *weft__owned_alloc(struct weft__proc *proc, size_t size)
{
    struct weft__owned *owned = owned_new(proc, &proc->owned, size);

    return owned != NULL ? owned + 1 : NULL;
}

void weft__owned_free(struct weft__proc *proc, void *at)
{
    owned_free(&proc->owned, owned_of(at));
}

/* Put the defers before the memory, so that the newest is soon found. */
static void gather_defers(struct weft__owned **list)
{
    struct weft__owned *oldest = NULL, *owned, *next;

    for (owned = *list; owned != NULL; owned = next) {
        next = owned->next;
        if (owned->run == NULL)
            continue;
        take_out(list, owned);
        owned->next = oldest;
        oldest = owned;
    }
    for (owned = oldest; owned != NULL; owned = next) {
        next = owned->next;
        push(list, owned);
    }
}

static struct weft__owned *newest_defer(struct weft__owned *owned)
{
    while (owned != NULL && owned->run == NULL)
        owned = owned->next;
    return owned;
}

WEFT__GATE void weft__owned_run_defers(struct weft__proc *proc)
{
    struct weft__owned **list = &proc->owned;
    struct weft__owned *owned;

    gather_defers(list);
    while ((owned = newest_defer(*list)) != NULL) {
        void (*run)(void *) = owned->run;
        void *arg = *arg_of(owned);

        owned_free(list, owned); /* first: it runs once, even if it exits */
        run(arg);
        weft__proc_need_slot(proc);
    }
}

void weft__owned_part(struct weft__owned **from, struct weft__owned **to)
{
    struct weft__owned *owned = *from, *next, *last = NULL;

    *to = owned;
    *from = NULL;
    for (; owned != NULL; owned = next) {
        next = owned->next;
        if (owned->run == NULL || weft__code_of((const void *)(uintptr_t)owned->run) != WEFT__CODE_WEFT)
            continue;
        take_out(to, owned);
        owned->prev = last;
        owned->next = NULL;
        if (last != NULL)
            last->next = owned;
        else
            *from = owned;
        last = owned;
    }
}

bool weft__owned_take_defer(struct weft__proc *proc, void (*run)(void *arg), void **arg)
{
    struct weft__owned *owned = proc->owned;

    while (owned != NULL && owned->run != run)
        owned = owned->next;
    if (owned == NULL)
        return false;
    *arg = *arg_of(owned);
    owned_free(&proc->owned, owned);
    return true;
}

void weft__owned_clear(struct weft__owned **list)
{
    while (*list != NULL)
        owned_free(list, *list);
}

size_t weft__owned_size(const struct weft__proc *proc)
{
    size_t size = 0;

    for (const struct weft__owned *owned = proc->owned; owned != NULL; owned = owned->next)
        size += sizeof *owned + owned->size;
    return size;
}

/* -- public ------------------------------------------------------------------------- */

/* The caller's list: a process's, or a thread's own. */
static struct weft__owned **list_of(struct weft__proc *proc)
{
    return proc != NULL ? &proc->owned : &weft__guest_here()->owned;
}

void *weft_alloc(size_t size)
{
    struct weft__proc *proc = weft__proc_here();
    struct weft__owned *owned = owned_new(proc, list_of(proc), size);

    if (owned == NULL)
        weft__term_no_memory(size);
    return memset(owned + 1, 0, size);
}

void *weft_realloc(void *at, size_t size)
{
    struct weft__proc *proc = weft__proc_here();
    struct weft__owned **list = list_of(proc);
    struct weft__owned *before, *owned;

    if (at == NULL)
        return weft_alloc(size);
    before = owned_of(at);
    owned = owned_new(proc, list, size);
    if (owned == NULL)
        weft__term_no_memory(size);
    if (size > before->size)
        memset((char *)(owned + 1) + before->size, 0, size - before->size);
    memcpy(owned + 1, at, before->size < size ? before->size : size);
    owned_free(list, before);
    return owned + 1;
}

void weft_free(void *at)
{
    if (at != NULL)
        owned_free(list_of(weft__proc_here()), owned_of(at));
}

void weft_defer(void (*fn)(void *arg), void *arg)
{
    struct weft__proc *proc = weft__proc_need("weft_defer");
    struct weft__owned *owned;

    if (fn == NULL)
        weft__proc_badarg("weft_defer", "the function is NULL");
    owned = owned_new(proc, &proc->owned, sizeof(void *));
    if (owned == NULL)
        weft__term_no_memory(sizeof *owned);
    owned->run = fn;
    *arg_of(owned) = arg;
}

bool weft_undefer(void (*fn)(void *arg), void *arg)
{
    struct weft__proc *proc = weft__proc_need("weft_undefer");

    for (struct weft__owned *owned = proc->owned; owned != NULL; owned = owned->next)
        if (owned->run == fn && fn != NULL && *arg_of(owned) == arg) {
            owned_free(&proc->owned, owned);
            return true;
        }
    return false;
}

/* dict.c - what few processes have: dictionary, label, callers. */
#include <stdio.h>
#include <string.h>

#include "base/here.h"
#include "base/memory.h"
#include "proc/proc.h"
#include "term/copy.h"

struct weft__extra *weft__proc_extra(struct weft__proc *proc)
{
    if (proc->extra == NULL) {
        proc->extra = weft__memory_alloc(sizeof *proc->extra);
        if (proc->extra != NULL)
            memset(proc->extra, 0, sizeof *proc->extra);
    }
    return proc->extra;
}

void weft__extra_free(struct weft__proc *proc)
{
    weft__memory_free(proc->extra, sizeof *proc->extra);
    proc->extra = NULL;
}

static struct weft__extra *need_extra(const char *call)
{
    struct weft__extra *extra = weft__proc_extra(weft__proc_need(call));

    if (extra == NULL)
        weft__proc_system_limit(call, "no memory");
    return extra;
}

void weft_set_label(const char *text)
{
    struct weft__extra *extra = need_extra("weft_set_label");

    snprintf(extra->label, sizeof extra->label, "%s", text != NULL ? text : "");
}

/* -- the dictionary: a map that is kept ---------------------------------------------- */

static weft_term dictionary(struct weft__extra *extra)
{
    return weft_is_none(extra->dictionary) ? weft_map() : extra->dictionary;
}

static weft_term change(const char *call, struct weft__extra *extra, weft_term key, weft_term map)
{
    weft_term before = weft_map_get(dictionary(extra), key, weft_none);
    weft_term old = extra->dictionary;

    /* The value before goes into the caller's scope, as its map goes. */
    if (!weft_is_none(before))
        before = weft__copy_to_region(weft__region_here(), before, call);
    extra->dictionary = weft_keep(map);
    weft_drop(old);
    return before;
}

weft_term weft_dict_put(weft_term key, weft_term value)
{
    struct weft__extra *extra = need_extra("weft_dict_put");
    struct weft__copy_refusal refusal;

    if (weft__copy_size(key, &refusal) == WEFT__COPY_REFUSED ||
        weft__copy_size(value, &refusal) == WEFT__COPY_REFUSED)
        weft__copy_fail("weft_dict_put", &refusal);
    return change("weft_dict_put", extra, key, weft_map_put(dictionary(extra), key, value));
}

weft_term weft_dict_get(weft_term key, weft_term otherwise)
{
    struct weft__proc *proc = weft__proc_need("weft_dict_get");

    if (proc->extra == NULL || weft_is_none(proc->extra->dictionary))
        return otherwise;
    return weft_map_get(proc->extra->dictionary, key, otherwise);
}

weft_term weft_dict_delete(weft_term key)
{
    struct weft__extra *extra = need_extra("weft_dict_delete");

    return change("weft_dict_delete", extra, key, weft_map_delete(dictionary(extra), key));
}

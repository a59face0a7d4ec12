/* keep.h - terms that outlive their scope: kept by the process, or returned
 * to the scope outside.
 *
 * A kept term is a flat copy behind a struct weft__kept, in a list of the
 * region it was kept in; so a process that ends gives all of them back.
 */
#ifndef WEFT_TERM_KEEP_H
#define WEFT_TERM_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/term.h"

struct weft__counted;

struct weft__kept {
    struct weft__kept *next;
    struct weft__kept **link; /* what points here */
    struct weft__counted *counted;
    size_t size;   /* bytes, this header too */
    uint64_t seal; /* tells a kept term from others */
};

struct weft__region;

/* weft_keep, for whoever the region belongs to: a process that has not begun, say. */
weft_term weft__keep_in(struct weft__region *region, weft_term term, const char *call);

void weft__kept_release(struct weft__kept **list);
void weft__kept_move(struct weft__kept **into, struct weft__kept **from);
bool weft__kept_holds(const struct weft__kept *list, const void *at);

#endif

/* walk.h - the stack of those who walk through terms without recursion.
 *
 * Terms nest as deep as data does, and a process has 64 KiB of stack: so what
 * is left to do goes into frames, a few in the walker's own frame and more on
 * the heap. A frame is a run of terms (in one term, or in two that are compared).
 * Who takes the last term of a run drops the frame before it goes deeper, so a
 * list takes one frame however long it is.
 *
 * Nothing that walks may switch or exit before weft__walk_end.
 */
#ifndef WEFT_TERM_WALK_H
#define WEFT_TERM_WALK_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "term/fail.h"
#include "weft/term.h"

#define WEFT__WALK_INLINE 12

struct weft__frame {
    const weft_term *a, *b; /* next of the run, in either term */
    size_t left;            /* how many; at least 1 */
    uint16_t stride;        /* terms from one to the next */
    uint16_t mode;          /* the walker's */
};

struct weft__walk {
    struct weft__frame *frames;
    size_t n, cap;
    struct weft__frame own[WEFT__WALK_INLINE];
};

static inline void weft__walk_begin(struct weft__walk *walk)
{
    walk->frames = walk->own;
    walk->n = 0;
    walk->cap = WEFT__WALK_INLINE;
}

static inline void weft__walk_end(struct weft__walk *walk)
{
    if (__builtin_expect(walk->frames != walk->own, 0))
        free(walk->frames);
}

void weft__walk_grow(struct weft__walk *walk);

static inline void weft__walk_push(struct weft__walk *walk, struct weft__frame frame)
{
    if (frame.left == 0)
        return;
    if (__builtin_expect(walk->n == walk->cap, 0))
        weft__walk_grow(walk);
    walk->frames[walk->n++] = frame;
}

/* Step past the next term (or pair of terms): false when none is left. */
static inline bool weft__walk_next(struct weft__walk *walk, const weft_term **a,
                                   const weft_term **b, unsigned *mode)
{
    struct weft__frame *top;

    if (walk->n == 0)
        return false;
    top = &walk->frames[walk->n - 1];
    *a = top->a;
    *b = top->b;
    *mode = top->mode;
    if (--top->left == 0) {
        walk->n--;
    } else {
        top->a += top->stride;
        if (top->b)
            top->b += top->stride;
    }
    return true;
}

#endif

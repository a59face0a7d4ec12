/* owned.h - memory and last wishes of a process, in one list, newest first. */
#ifndef WEFT_PROC_OWNED_H
#define WEFT_PROC_OWNED_H

#include <stdbool.h>
#include <stddef.h>

struct weft__proc;

/* Before each piece of memory; a defer is a piece without memory. 32 bytes, so
 * that what follows is 16-aligned. */
struct weft__owned {
    struct weft__owned *next, *prev; /* prev NULL: the newest */
    size_t size;                     /* of what follows */
    void (*run)(void *arg);          /* a defer, run with `arg` below; or NULL */
};

/* Call the defers, last first; those they add as well. */
void weft__owned_run_defers(struct weft__proc *proc);
/* All but weft's own defers go to another list. Those run when the process is over for
 * everybody else, while its code may still be under way: none may call users or free what
 * they can look at. One that does so is a gate (base/code.h), and counts as a user's.
 * Async-signal-safe. */
void weft__owned_part(struct weft__owned **from, struct weft__owned **to);
/* Take out the newest defer of that function, which does not run then. false: none. */
bool weft__owned_take_defer(struct weft__proc *proc, void (*run)(void *arg), void **arg);
/* Bytes of memory a process has. */
size_t weft__owned_size(const struct weft__proc *proc);
/* Free all memory; defers that did not run never will. */
void weft__owned_clear(struct weft__owned **list);

#endif

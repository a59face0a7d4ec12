/* catch.h - run a function whose exit does not end the process.
 *
 * For code of users that runs inside a process which has to live on: a child's
 * start function in its supervisor, a callback in its server. What is caught is
 * an exit that the function makes itself: weft_exit, weft_error, a call used
 * wrongly, a fault that is contained. A fatal signal ends the process as ever
 * (PROC-17).
 *
 * The frames in between are dropped as they are, as at every exit: defers made
 * in them stay until the process ends, and so does weft_alloc memory.
 *
 * The destroy of a native object is called within a catch as well, a sealed one: it
 * runs wherever the last reference goes, between two steps of weft's that belong
 * together, maybe while the process ends. It must not exit; does it even so, that is
 * an error in the log, and what weft was doing goes on. A fault in it is fatal.
 *
 * Threads: by the process itself. Catches nest.
 */
#ifndef WEFT_PROC_CATCH_H
#define WEFT_PROC_CATCH_H

#include <stdbool.h>

#include "weft/term.h"

struct weft__proc;

/* true: fn(arg) returned. false: it ended with *reason, which lives as what it
 * built does: to the end of the caller's innermost scope. May park as fn may. */
bool weft__catch(struct weft__proc *proc, void (*fn)(void *arg), void *arg, weft_term *reason);

/* Would an exit now be caught? */
bool weft__catch_is_open(const struct weft__proc *proc);

/* The process exits: go back to its innermost catch, if there is one. */
void weft__catch_throw(struct weft__proc *proc, weft_term reason);

#endif

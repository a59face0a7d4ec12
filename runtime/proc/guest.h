/* guest.h - threads that weft did not make.
 *
 * A foreign thread gets a region at its first term (term/region.h), and a guest
 * process at its first call that needs one: pid, mailbox, links; it waits on a
 * futex in its control block. Both end with the thread; the process ends with
 * the runtime too, the region (and what was built there) does not: so nothing
 * in it may come from the runtime's memory, and a guest copies what it receives.
 */
#ifndef WEFT_PROC_GUEST_H
#define WEFT_PROC_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "proc/proc.h"

struct weft__guest {
    struct weft__owned *owned;      /* weft_alloc without a runtime */
    struct weft__proc *proc;        /* NULL: none now */
    uint64_t generation;            /* of the runtime it belongs to */
    struct weft__guest *next, **link; /* in the runtime's list while it has a process */
};

/* The calling thread's guest process; made when there is none. NULL: no runtime, or no slot. */
struct weft__proc *weft__guest_proc(void);
/* The calling thread's own things, without a process. Aborts when memory is out. */
struct weft__guest *weft__guest_here(void);

/* For state.c: let a guest's wait return; wait as weft__wait_once says. */
void weft__guest_wake(struct weft__proc *proc);
bool weft__guest_wait(struct weft__wait *wait, bool for_mail);

/* A call that ends a process was made in a foreign thread: log the reason, end
 * the thread, or in the main thread the program with status 1. */
_Noreturn void weft__guest_exit(weft_term reason);

/* At stop: end all guest processes, from any thread; their threads are not in weft. */
struct weft__runtime;
void weft__guests_end(struct weft__runtime *runtime);
#endif

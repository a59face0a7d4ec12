/* sight.h - what can be seen of a process from outside, without asking it.
 *
 * Nothing is stopped and no lock is taken: the control block is type-stable,
 * and all that it points to is read through the kernel (base/peek.h), so a
 * pointer that has become stale costs nothing but the figure it leads to. The
 * serial is looked at before and after; what was seen of a process that ended
 * meanwhile is thrown away.
 *
 * A stopped stack is unwound by its saved context and the chain of frame
 * pointers. Who parks leaves them valid; who runs on meanwhile is found out by
 * the second look at the context. The stack of one that a thread has is in
 * sight_thread.c.
 *
 * Threads:   from anywhere. Allocates nothing.
 */
#ifndef WEFT_PROC_SIGHT_H
#define WEFT_PROC_SIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/proc.h"

#define WEFT__SIGHT_FRAMES 32

enum weft__sight_status {
    WEFT__SIGHT_RUNNING,  /* on a worker */
    WEFT__SIGHT_READY,    /* in a queue */
    WEFT__SIGHT_WAITING,
    WEFT__SIGHT_HOG,      /* on a thread whose worker was taken away (sched/hog.c) */
    WEFT__SIGHT_BLOCKING, /* inside weft_blocking: has a thread for itself */
    WEFT__SIGHT_DISOWNED, /* what is left on the thread of one that ended so (disown.h): its parent */
    WEFT__SIGHT_ENDING,
    WEFT__SIGHT_FOREIGN,  /* a thread of the program's own */
    WEFT__SIGHT_UNSEEN    /* there, but the kernel lets nobody read memory */
};

struct weft__sight {
    weft_pid pid;
    enum weft__sight_status status;
    bool is_for_mail;          /* WAITING: a message ends it */
    bool has_timeout;
    weft_pid asked;            /* WAITING: whose answer it waits for, or weft_none */
    uint32_t worker;           /* RUNNING: which one */
    int64_t since_ns;          /* WAITING: for how long, to some 64 ms */
    struct weft__proc proc;    /* a copy; all zero of one UNSEEN */
    uint32_t n_unseen;         /* messages that it has not looked at; as many as were counted */
    bool unseen_is_least;
    char label[65];            /* "" for none */
    size_t memory;             /* bytes; 0: not to be told while it runs */
    bool memory_is_least;      /* it has more pieces than were counted */
    size_t stack_used, stack_size; /* 0: not to be seen */
    uint32_t n_frames;
    bool has_more_frames;
    const void *frames[WEFT__SIGHT_FRAMES]; /* innermost first; returns to */
};

struct weft__runtime;

/* What lives in that slot now. false: nobody. */
bool weft__sight_take(struct weft__runtime *runtime, uint32_t slot, struct weft__sight *sight);

/* Its stack, if a thread has it now: the frames in *sight, which has none yet. */
void weft__sight_take_thread(struct weft__runtime *runtime, const struct weft__proc *proc, struct weft__sight *sight);

#endif

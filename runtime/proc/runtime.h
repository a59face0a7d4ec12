/* runtime.h - the one runtime of a program, and what it holds. */
#ifndef WEFT_PROC_RUNTIME_H
#define WEFT_PROC_RUNTIME_H

#include <stdatomic.h>
#include <stdint.h>

#include "proc/name.h"
#include "proc/table.h"
#include "sched/sched.h"

struct weft__runtime {
    struct weft__sched *sched;
    struct weft__table table;
    struct weft__names names;
    struct weft__slots *slots;       /* per worker */
    uint64_t generation;             /* of this start, from 1; guests keep it */
    _Atomic uint32_t stopping;       /* futex: changes at each end of a process while it stops */
    pthread_mutex_t guests_lock;
    struct weft__guest *guests;      /* all that live */
};

extern _Atomic(struct weft__runtime *) weft__the_runtime;

/* The runtime that runs, or NULL: none, or this is the child of a fork. */
static inline struct weft__runtime *weft__runtime(void)
{
    /* Acquire, with the release when it is complete. */
    return atomic_load_explicit(&weft__the_runtime, memory_order_acquire);
}

/* Why there is none: WEFT_ESTOPPED or WEFT_EFORKED. */
int weft__runtime_missing(void);

/* Higher rooms that must do something when the runtime stops name it here,
 * once, before the first start: called last first, when no process is left. */
void weft__runtime_at_stop(void (*stop)(void));

/* weft_runtime_run, which calls meanwhile(app, arg) each time the calling thread
 * has looked at its mailbox: it may take messages out. May be NULL. */
int weft__runtime_run_with(weft_fn *fn, weft_term arg, weft_term *result,
                           void (*meanwhile)(weft_pid app, void *arg), void *meanwhile_arg);

/* Is the calling thread the one the program began with? */
bool weft__thread_is_main(void);

/* Processes that live now: a sum that may be stale. */
int64_t weft__runtime_n_alive(struct weft__runtime *runtime);

/* A process's slot was given back. */
void weft__runtime_process_ended(struct weft__runtime *runtime);

#endif

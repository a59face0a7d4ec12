/* runtime.h - the one runtime of a program, and what it holds. */
#ifndef WEFT_PROC_RUNTIME_H
#define WEFT_PROC_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proc/name.h"
#include "proc/table.h"
#include "sched/sched.h"
#include "weft/process.h"

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

/* A process that a thread started and hears of: weft_runtime_run in pieces. From
 * that thread alone. */
struct weft__run {
    weft_pid pid;
    weft_ref ref;
};
/* Start it: 0, or as weft_runtime_run. */
int weft__run_begin(struct weft__run *run, weft_fn *fn, weft_term arg);
/* Wait for its end: true. false: is_over (or NULL) said so first, which is asked
 * again whenever the thread is woken, by weft__proc_unpark say. */
bool weft__run_wait(const struct weft__run *run, bool (*is_over)(void));
/* Has it ended? Then take says how, once: *result is what it returned, or its
 * reason; true: it ended by itself. */
bool weft__run_has_ended(const struct weft__run *run);
bool weft__run_take(const struct weft__run *run, weft_term *result);

/* -- the end (stop.c) ------------------------------------------------------------ */

/* Send a process its exit signal because the program ends; the runtime's stop
 * will not tell it again. */
void weft__runtime_tell_end(weft_pid pid, weft_term reason);

/* End every process but guests, as weft_runtime_stop does, by begin_ns + timeout_ms.
 * overdue is told how many live when the rest is about to be killed; or NULL. From
 * a thread that is no process, with a runtime. 0 or WEFT_ETIMEDOUT. */
int weft__runtime_end_processes(int64_t begin_ns, int64_t timeout_ms, void (*overdue)(int64_t n));

/* -- between runtime.c and stop.c ---------------------------------------------------- */

extern pthread_mutex_t weft__runtime_lock; /* start and stop, one at a time */
/* The words of weft_runtime_error, for the calling thread. Returns the code. */
int weft__runtime_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
void weft__runtime_no_error(void);
void weft__runtime_run_stop_hooks(void);
/* Its memory; takes one that is half built. */
void weft__runtime_destroy(struct weft__runtime *runtime);

/* -- who lives ------------------------------------------------------------------------- */

/* Is the calling thread the one the program began with? */
bool weft__thread_is_main(void);

/* Processes that live now: a sum that may be stale. */
int64_t weft__runtime_n_alive(struct weft__runtime *runtime);

/* A process's slot was given back. */
void weft__runtime_process_ended(struct weft__runtime *runtime);

#endif

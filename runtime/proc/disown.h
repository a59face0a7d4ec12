/* disown.h - a process that was killed in code which cannot be cut short ends without
 * its thread.
 *
 * A kill ends a process where it may park, or where the coroner lets it be ended. One
 * that sits in a read, or in a function that qsort calls back, is neither. When
 * .disown_after_ms have gone by it ends all the same, as to everybody else: names,
 * links, monitors, its task's owner, mutexes. What its code may still look at stays
 * until that comes back: the frames, the memory, the descriptors, and defers do not
 * run before.
 *
 * Who goes on there? A new process, the remains: the thread has it in place of the old
 * one from a moment on at which no function of weft was under way. It is killed, has
 * a pid of its own and no name, and owns what must stay. So calls that never switch are
 * its own, and work; a fault ends it as any process; and at the first call that may
 * park, or when its function returns, it ends, and what it owns with it.
 *
 *     weft__disown_watch    the watchdog: that time is over, it may go
 *     weft__disown_take     its thread, in the handler of the interrupt
 *     weft__disown_tick     the watchdog: who ends the process is queued
 *     weft__disowned_end    a worker: the end, as of any process
 *     weft__remains_...     the thread is back
 *
 * Threads: as each says. The protocol is in disown.c.
 */
#ifndef WEFT_PROC_DISOWN_H
#define WEFT_PROC_DISOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/coroner.h"
#include "proc/proc.h"

struct weft__carrier;
struct weft__here;
struct weft__sched;

struct weft__disowned {
    /* By the watchdog, before it is offered. */
    struct weft__proc *remains;
    /* By the thread, as it takes the offer. */
    struct weft__proc *proc;
    struct weft__carrier *carrier;         /* the thread's */
    int64_t after_ms;                      /* since it was killed, as far as was seen */
    uint32_t n_frames;
    const void *frames[WEFT__AUTOPSY_FRAMES]; /* where it is, innermost first */
    /* By who ends the process. */
    struct weft__region region;            /* proc->region is the thread's */
    weft_term report;                      /* in it */
    bool has_ended, is_told;
    _Atomic bool is_over;                  /* release: proc is nobody's but the remains' */
    /* Under the lock. */
    struct weft__disowned *next;
};

/* -- start --------------------------------------------------------------------------- */

/* Before the threads. after_ms: WEFT_INFINITY: nobody ever is. */
void weft__disown_start(int64_t after_ms);

/* How many are not back yet. From anywhere. */
uint32_t weft__disowned_n(void);
/* Whose remains are those, and where do they stand? In words. false: they are none, or
 * gone. From anywhere but a signal handler. */
bool weft__disowned_describe(weft_pid remains, char *text, size_t size);

/* -- the watchdog ---------------------------------------------------------------------- */

/* The process that this thread has was killed, and goes on. true: for longer than it is
 * given, and *is_due: is it to be interrupted in this tick? Its carrier must be alive. */
bool weft__disown_watch(struct weft__carrier *carrier, struct weft__proc *proc, weft_pid pid, bool *is_due);
/* Has what is left there had a core since it was looked at last, which is some time
 * ago? */
bool weft__disown_has_run(struct weft__carrier *carrier);
/* Each tick, after these. In so many ns there is to be another; 0: for this, none. */
int64_t weft__disown_tick(struct weft__sched *sched);

/* -- the thread, in the handler: nothing here takes a lock or memory ----------------------- */

/* May this process go? A guess, from whatever process the thread seems to have. */
bool weft__disown_is_offered(const struct weft__proc *proc);
/* It may not go where it is. */
void weft__disown_refuse(void);
/* Leave the process, which is where the autopsy says. Only where it has no slot, and no
 * function of weft is under way but gates. */
void weft__disown_take(struct weft__here *here, const struct weft__autopsy *autopsy);

/* -- the end of the process, on a worker (remains.c) ---------------------------------------- */

/* fiber.run of one that was disowned. */
void weft__disowned_end(struct weft__fiber *fiber);
/* Where its end builds terms. */
struct weft__region *weft__disowned_region(const struct weft__proc *proc);
struct weft__disowned *weft__disowned_of(const struct weft__proc *proc);
/* Before what it points to is given back. */
void weft__disowned_unlist(struct weft__disowned *disowned);

/* -- what is left, on its thread (remains.c) ------------------------------------------------- */

/* Are they what runs on a thread without a worker, and do not end yet? */
static inline bool weft__remains_are_out(const struct weft__proc *proc)
{
    return proc->fiber.kind == WEFT__PROC_REMAINS && (proc->flags & (WEFT__LEFT | WEFT__ENDS)) == 0;
}

/* By the thread, in a call that may park, or a gate: they end, as by weft__proc_exit, once
 * the end of the process is over. */
_Noreturn void weft__remains_come_back(struct weft__proc *remains);
/* On a stack that has none of their frames. */
void weft__remains_end(struct weft__proc *remains);

#endif

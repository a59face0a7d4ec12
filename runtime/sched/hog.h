/* hog.h - fibers that keep their thread too long, and what becomes of the slot.
 *
 * The watchdog calls watch; carrier.c the last two, when such a fiber has left
 * the thread it had. The protocol is in hog.c.
 */
#ifndef WEFT_SCHED_HOG_H
#define WEFT_SCHED_HOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct weft__carrier;
struct weft__fiber;
struct weft__sched;
struct weft__worker;

/* A fiber that was found to be one, for reports. */
struct weft__hog {
    struct weft__sched *sched;
    struct weft__fiber *fiber; /* NULL: not known; it may have ended by now */
    pid_t tid;                 /* the thread it has */
    int64_t age_ns;            /* how long its run has lasted */
    bool is_off_cpu;           /* the kernel has it wait */
    const char *kept;          /* NULL: its slot was handed over; else why not */
    uint64_t pc;               /* off its core: where it called the kernel, or 0 */
    uint64_t who, code;        /* notes of note_hog */
};

/* Once for a runtime. false: this kernel has no membarrier, so slots stay where
 * they are. */
bool weft__hogs_init(struct weft__sched *sched);

/* The watchdog. This worker is in a run that was not seen before. */
void weft__hog_begin(struct weft__worker *worker, int64_t now_ns);
/* This worker has been in the same run since watch.since_ns: does
 * its slot have to go? had_warning: it was due to give way a moment ago. */
void weft__hog_watch(struct weft__worker *worker, int64_t now_ns, bool had_warning);

/* On its native stack: the fiber whose slot was taken has left this thread. */
void weft__hog_is_back(struct weft__carrier *carrier);
/* May it carry workers again? Under carriers.lock. */
bool weft__hog_recovers(struct weft__carrier *carrier);

#endif

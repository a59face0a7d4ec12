/* hog.h - fibers that keep their thread too long, and what becomes of the slot.
 *
 * The watchdog asks such a thread for its slot, and interrupts it; the thread
 * answers in the handler, which a higher room has (weft__sched_hooks.ask). The
 * protocol is in hog.c.
 *
 * Threads: as each says.
 */
#ifndef WEFT_SCHED_HOG_H
#define WEFT_SCHED_HOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct weft__carrier;
struct weft__fiber;
struct weft__here;
struct weft__sched;
struct weft__worker;

/* What the kernel has a thread wait in, as /proc tells it. */
struct weft__waits_in {
    long number;               /* of the system call; -1: none, or not known */
    uint64_t argument[6];
    uint64_t sp, pc;           /* of who called the kernel */
};

#define WEFT__HOG_FRAMES 16

/* A fiber that was found to be one, for reports. */
struct weft__hog {
    struct weft__fiber *fiber; /* it may have ended by now */
    int64_t since_ns;          /* when its run began, by the watchdog's eye */
    bool is_off_cpu;           /* the kernel has it wait */
    const char *kept;          /* NULL: its slot was handed over; else why not */
    /* By the thread, when it gives its slot away: */
    uint64_t who;              /* the process */
    uint32_t n_frames;
    const void *frames[WEFT__HOG_FRAMES]; /* its stack, innermost first */
};

/* weft__ask.state */
enum weft__ask_state {
    WEFT__ASK_NONE,
    WEFT__ASKED,     /* waits for its thread */
    WEFT__ANSWERING, /* the thread is at it */
    WEFT__GIVEN,
    WEFT__REFUSED    /* it was inside weft, or does something else by now */
};

/* To give a worker to another carrier; one for each worker. */
struct weft__ask {
    _Atomic uint32_t state;        /* enum weft__ask_state */
    /* By the watchdog before it is ASKED; by the thread while ANSWERING. */
    struct weft__carrier *carrier; /* who is asked */
    struct weft__carrier *spare;   /* who gets it */
    uint64_t run;                  /* in which run */
    struct weft__waits_in waits_in;
    int64_t waited_ns;             /* for so long at least, when it was asked */
    struct weft__hog hog;
};

/* With the workers, before the threads. */
void weft__hogs_init(struct weft__sched *sched);

/* -- the watchdog ------------------------------------------------------------------ */

/* This worker is in a run that was not seen before. */
void weft__hog_begin(struct weft__worker *worker, int64_t now_ns);
/* This worker has been in the same run since watch.since_ns: does its slot have to
 * go, and was not asked for yet? had_warning: it was due to give way a moment ago.
 * is_wanted: also when no work waits. */
void weft__hog_watch(struct weft__worker *worker, int64_t now_ns, bool had_warning, bool is_wanted);
/* The time its thread has had a core. Its carrier must be alive. */
int64_t weft__hog_cpu_ns(const struct weft__carrier *carrier);
/* The thread that had `from`, without a slot, has `to`. */
void weft__hog_rename(struct weft__sched *sched, struct weft__fiber *from, struct weft__fiber *to);
/* Does the kernel have that thread of the program wait, and in what? false: no, or it
 * cannot be read. */
bool weft__hog_waits_in(pid_t tid, struct weft__waits_in *in);
/* What came of the asks? true: look again in a moment. */
bool weft__hogs_settle(struct weft__sched *sched);
/* Wait for what is still asked, or withdraw it. */
void weft__hogs_end(struct weft__sched *sched);

/* -- the thread that is asked, in the handler ----------------------------------------- */

/* Is the thread's slot asked for? The ask, which it must answer then, or NULL. */
struct weft__ask *weft__hog_claim(const struct weft__here *here);
void weft__hog_refuse(struct weft__ask *ask);
/* Refuses as well where the thread does something else than it was asked in. Only where no function of weft is under way but gates (base/code.h). */
void weft__hog_give(struct weft__here *here, struct weft__ask *ask);

/* -- the thread, on its native stack ---------------------------------------------------- */

/* The fiber that gave its slot away has left this thread. */
void weft__hog_is_back(struct weft__here *here);
/* May it carry workers again? */
bool weft__hog_recovers(struct weft__carrier *carrier);

#endif

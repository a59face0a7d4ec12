/* here.h - what the calling kernel thread is doing now.
 *
 * The one thread-local that code of processes may reach. A process moves between kernel threads
 * at every call that may park, and a compiler may keep the address of a
 * thread-local across such a call; so the address is only ever had from
 * weft__here(), a function no compiler sees into, and never kept across
 * anything that may switch.
 *
 * A worker's thread has all of it set while it runs a process. A foreign
 * thread gets a region when it builds its first term, and a guest process when
 * it first needs one.
 *
 * The slot. What belongs to the worker rather than to the process (its queue,
 * its cache of memory, its free stacks) may go to another thread while this one
 * runs code that is not weft's (sched/hog.c). The thread itself gives it away, in
 * a signal's handler, and only where no function of weft is under way but gates
 * (base/code.h), which call users' code. So:
 *
 *   - inside weft here->slot does not change, but by a call that may park;
 *   - it may be empty, as inside weft_blocking: who cannot do without a worker
 *     asks for one (weft__need_slot), and everybody else does without;
 *   - a gate reads it again after it has called users' code.
 *
 * Invariant: only the thread itself reads or writes its struct.
 */
#ifndef WEFT_BASE_HERE_H
#define WEFT_BASE_HERE_H

#include <stdbool.h>
#include <stdint.h>

struct weft__cache;
struct weft__carrier;
struct weft__epoch;
struct weft__fiber;
struct weft__guest;
struct weft__here;
struct weft__proc;
struct weft__region;
struct weft__stack;
struct weft__worker;

/* How many messages ahead those who walk from one to the next prefetch: in the
 * time they take for so many, a line comes from another core. */
#define WEFT__PUSHED 8

/* here: of the thread it is called on. */
typedef void weft__after(struct weft__here *here, void *arg);

struct weft__here {
    /* What most calls look at, in one cache line. */
    _Alignas(64) struct weft__region *region; /* where terms are built now, or NULL */
    struct weft__stack *stack;   /* what it stands on, or NULL: a foreign thread's */
    struct weft__fiber *fiber;   /* what runs now, or NULL */
    struct weft__proc *proc;     /* the process that runs now, or NULL */
    struct weft__carrier *carrier; /* a thread of the runtime, or NULL */
    /* The slot the thread carries: see above. */
    struct {
        struct weft__worker *worker; /* or NULL */
        struct weft__cache *cache;   /* memory by size class; NULL: the shared one */
    } slot;
    int32_t ticks;               /* of a carrier: runs left until it looks around */
    bool is_hog;                 /* it gave the slot away when it was asked (sched/hog.c) */
    /* Done by whoever runs next on this thread, once the stack that asked for
     * it is left: publishing a parked fiber, giving a stack back. */
    weft__after *after;
    void *after_arg;
    void (*abandoned)(void *arg); /* what runs next on a fresh stack (weft__fiber_abandon) */
    struct weft__guest *guest;   /* a foreign thread's own things, or NULL */
    struct weft__epoch *epoch;   /* of its looks at what others may free; NULL: none yet */
    uint32_t n_pushed;
    /* The messages this thread pushed last, a ring: addresses to prefetch, which
     * may be gone (proc/post.h). */
    const void *pushed[WEFT__PUSHED];
};

/* The calling thread's struct. Never NULL, never switches; do not keep the
 * result across a call that may park. */
struct weft__here *weft__here(void);

#endif

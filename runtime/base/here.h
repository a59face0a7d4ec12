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
 * runs code that does not call weft (sched/hog.c). So it is used in sections:
 *
 *     struct weft__here *here = weft__here();
 *     uint32_t was = weft__enter(here);
 *     ... here->slot.worker, here->slot.cache: this thread's, or NULL ...
 *     weft__leave(here, was);
 *
 * A section costs two stores and a load. Sections nest, and hold no code of
 * users. What the scheduler does is one long section, and switches are always
 * made inside: a fiber that goes on finds itself in the section it parked in,
 * on whatever thread that is, and leaves it there.
 *
 * Invariant: only the thread itself reads or writes its struct, but for `inside` and `hold`,
 *            which the watchdog reads, and sets.
 */
#ifndef WEFT_BASE_HERE_H
#define WEFT_BASE_HERE_H

#include <stdatomic.h>
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

/* Has the thread a slot, and does somebody want to take it? weft__here.hold. */
enum weft__hold {
    WEFT__HOLDS_NONE,
    WEFT__HOLDS_SLOT,
    WEFT__HOLD_ASKED, /* the watchdog is about to take it */
    WEFT__HOLD_TAKEN  /* it has: somebody else's now */
};

struct weft__here {
    struct weft__region *region; /* where terms are built now, or NULL */
    struct weft__stack *stack;   /* what it stands on, or NULL: a foreign thread's */
    struct weft__fiber *fiber;   /* what runs now, or NULL */
    struct weft__proc *proc;     /* the process that runs now, or NULL */
    struct weft__guest *guest;   /* a foreign thread's own things, or NULL */
    struct weft__carrier *carrier; /* a thread of the runtime, or NULL */
    struct weft__epoch *epoch;   /* of its looks at what others may free; NULL: none yet */
    /* The slot the thread carries; looked at only between weft__enter and
     * weft__leave, since outside of them it may be taken away. */
    struct {
        struct weft__worker *worker; /* or NULL */
        struct weft__cache *cache;   /* memory by size class; NULL: the shared one */
    } slot;
    _Atomic uint32_t inside;     /* by the thread: between enter and leave */
    _Atomic uint32_t hold;       /* enum weft__hold; by the watchdog too */
    int32_t ticks;               /* of a carrier: runs left until it looks around */
    /* The messages this thread pushed last, a ring: addresses to prefetch, which
     * may be gone (proc/post.h). */
    const void *pushed[WEFT__PUSHED];
    uint32_t n_pushed;
    /* Done by whoever runs next on this thread, once the stack that asked for
     * it is left: publishing a parked fiber, giving a stack back. */
    weft__after *after;
    void *after_arg;
    void (*abandoned)(void *arg); /* what runs next on a fresh stack (weft__fiber_abandon) */
};

/* The calling thread's struct. Never NULL, never switches; do not keep the
 * result across a call that may park. */
struct weft__here *weft__here(void);

/* Somebody asked for the slot: refuse, or see that it is gone. */
void weft__here_settle(struct weft__here *here);

/* Begin a section: slot.worker and slot.cache are the thread's, or NULL, until
 * it ends. Never switches. */
static inline uint32_t weft__enter(struct weft__here *here)
{
    /* Relaxed: nobody else writes it. */
    uint32_t was = atomic_load_explicit(&here->inside, memory_order_relaxed);

    /* E1 and E2 of sched/hog.c. Relaxed, with a fence for the compiler alone:
     * the watchdog's membarrier is the fence on this side too. */
    atomic_store_explicit(&here->inside, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&here->hold, memory_order_relaxed) > WEFT__HOLDS_SLOT, 0))
        weft__here_settle(here);
    return was;
}

/* End it. `here` is the one of the thread this runs on now. */
static inline void weft__leave(struct weft__here *here, uint32_t was)
{
    /* E3. Release: who takes the slot sees what was done to it. */
    atomic_store_explicit(&here->inside, was, memory_order_release);
}

#endif

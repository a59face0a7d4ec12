/* stack.h - memory for stacks: a million of them, each guarded.
 *
 * Address space is reserved once per class and cut into slots, a guard below
 * each stack:
 *
 *     low address                                            high address
 *     | guard, 64 KiB | usable, 64 KiB ......... frames | struct weft__stack | colour |
 *                     ^ low                       top ^
 *
 * The descriptor lies at the top of the stack's own memory, so that an idle
 * stack costs the one page its frames are in. The colour (0 to 15 times 64
 * bytes, by slot) keeps the tops of neighbours out of the same cache set.
 *
 * Guards. One kind serves all stacks of a space as long as it can:
 *   madvise    MADV_GUARD_INSTALL (Linux 6.13): no mapping of its own
 *   mprotect   two mappings each, so only while a budget lasts
 *   none       the 64 KiB below are still nobody's: checked for writes when
 *              the stack is put back; one warning for the program
 * Failing to guard never fails a get.
 *
 * Free stacks: a worker's cache (last in, first out: still in the CPU's
 * cache), its node's depot, and beyond a cap for the whole space the slot
 * alone: its memory goes back to the kernel, the guard stays.
 *
 * Invariant: a slot is never used, cold, in a cache, in a depot, or in use;
 *            its guard is there from its first use on.
 * Threads:   a cache by its owner alone; the space from anywhere; find from
 *            signal handlers too.
 */
#ifndef WEFT_SCHED_STACK_H
#define WEFT_SCHED_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define WEFT__STACK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT__STACK_ASAN 1
#endif
#endif
#ifndef WEFT__STACK_ASAN
#define WEFT__STACK_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT__STACK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFT__STACK_TSAN 1
#endif
#endif
#ifndef WEFT__STACK_TSAN
#define WEFT__STACK_TSAN 0
#endif
/* Each put passes the slow side: what abandoned frames poisoned is cleaned. */
#define WEFT__STACK_CAREFUL WEFT__STACK_ASAN

#define WEFT__STACK_CLASSES 4 /* 64 KiB, 256 KiB, 1 MiB, 8 MiB usable */
#define WEFT__STACK_NATIVE UINT8_MAX

struct weft__stack_space;
struct weft__fiber;

enum weft__stack_guard {
    WEFT__GUARD_BEST, /* in options: whatever works here */
    WEFT__GUARD_NONE,
    WEFT__GUARD_MPROTECT,
    WEFT__GUARD_MADVISE,
    WEFT__GUARD_OPEN, /* in a stack, added to its kind: see weft__stack_open */
};

/* Of struct weft__context and of what it means; debugger scripts check it
 * through the symbol weft__context_layout. 1: pc, sp, fp, as in a frame that
 * stopped there. */
#define WEFT__CONTEXT_LAYOUT 1

/* Where a stopped stack goes on: see sched/context.h. */
struct weft__context {
    void *pc;
    void *sp;
    void *fp;
};

/* Two cache lines; the first is all that a switch and a free list need. */
struct weft__stack {
    /* Whoever runs on it, or holds it free. */
    struct weft__context context; /* stale while it runs */
    struct weft__stack *next;     /* in a list of free ones, or the user's */
    struct weft__fiber *fiber;    /* who uses it: the user's own note */
    void *cxx_caught;             /* C++: exceptions being handled here */
    uint32_t cxx_uncaught;
    /* Set when the slot gets memory. */
    uint8_t class;                /* or WEFT__STACK_NATIVE */
    uint8_t guard;                /* enum weft__stack_guard */
    uint16_t node;                /* where its memory most likely is */
    char *low;                    /* lowest usable byte; the guard ends here */
    size_t size;                  /* usable bytes from there */
    uint32_t slot;
    uint32_t valgrind_id;
    /* Sanitizers' own; NULL without them. */
    void *asan_fake;
    void *tsan_fiber;
    void (*entry)(void *arg);     /* what context_make was given */
    uint32_t n_makes;
} __attribute__((aligned(64)));

struct weft__stack_options {
    uint32_t n_nodes;       /* 0: 1 */
    uint32_t max_slots;     /* of the smallest class; 0: 2^23; halved until the kernel agrees */
    uint32_t max_idle;      /* free stacks that keep their memory, in depots; 0: 4096 */
    enum weft__stack_guard guard; /* no better one than this */
    void (*warn)(void *arg, const char *text); /* once, when a stack goes unguarded; may be NULL */
    void *warn_arg;
};

struct weft__stack_counts {
    size_t n_in_use;    /* with users */
    size_t n_cached;    /* free, with memory, in depots and caches */
    size_t n_cold;      /* free slots whose memory went back */
    size_t n_guarded;   /* slots ever used that have a guard */
    size_t n_unguarded;
    size_t n_overflows; /* unguarded ones found written below */
};

/* Which stack an address belongs to. */
struct weft__stack_place {
    struct weft__stack *stack; /* its descriptor, maybe not in memory: do not follow when is_fresh */
    char *low;                 /* lowest usable byte */
    char *high;                /* one past the highest */
    char *guard;               /* lowest byte of the guard; it ends at low */
    bool in_guard;             /* the address is below the usable part */
    bool is_fresh;             /* the slot was never used */
};

#define WEFT__STACK_CACHE_MAX 64

/* A worker's own free stacks; those put last are at the end. */
struct weft__stack_cache {
    struct {
        _Atomic uint32_t n_free; /* written by the owner, read by counts */
        uint32_t max_free;
        struct weft__stack *free[WEFT__STACK_CACHE_MAX];
    } class[WEFT__STACK_CLASSES];
    uint32_t node;
    struct weft__stack_space *space;
    struct weft__stack_cache *next, *prev; /* the space's list, under its lock */
};

/* *space, or WEFT_ENOMEM. A NULL options stands for all zeros. */
int weft__stack_space_new(struct weft__stack_space **space, const struct weft__stack_options *options);
/* No stack may be in use, no cache alive. NULL is allowed. */
void weft__stack_space_free(struct weft__stack_space *space);
/* Owners may run meanwhile: then each figure is right for itself alone. */
void weft__stack_counts(struct weft__stack_space *space, struct weft__stack_counts *counts);
/* Async-signal-safe. False: not an address of this space. */
bool weft__stack_find(const struct weft__stack_space *space, const void *address,
                      struct weft__stack_place *place);

/* Open the guard's upper part, so that a stack which has overflowed can still
 * run the few calls that end its process: false when that was done already, or
 * cannot be. Put closes it again. Async-signal-safe; by whoever runs on it. */
bool weft__stack_open(struct weft__stack *stack);
/* Close it; nobody may run in that part. */
void weft__stack_close(struct weft__stack_space *space, struct weft__stack *stack);
/* Bytes that weft__stack_open adds. */
size_t weft__stack_opening(void);

void weft__stack_cache_init(struct weft__stack_cache *cache, struct weft__stack_space *space,
                            uint32_t node);
/* Its free stacks go to the node's depot. */
void weft__stack_cache_destroy(struct weft__stack_cache *cache);

/* The smallest class with that many usable bytes (less the descriptor), or the
 * largest one; 0 asks for the default. */
uint32_t weft__stack_class_for(size_t bytes);
size_t weft__stack_class_size(uint32_t class);

struct weft__stack *weft__stack_get_slow(struct weft__stack_cache *cache, uint32_t class);
void weft__stack_put_slow(struct weft__stack_cache *cache, struct weft__stack *stack);

/* A stack to call weft__context_make on; NULL when memory or slots are out.
 * What an earlier user left below the descriptor is still there. */
static inline struct weft__stack *weft__stack_get(struct weft__stack_cache *cache, uint32_t class)
{
    /* Relaxed, here and below: the owner alone writes it, and who counts wants
     * a figure, not an order. */
    uint32_t n = atomic_load_explicit(&cache->class[class].n_free, memory_order_relaxed);

    if (__builtin_expect(n == 0, 0))
        return weft__stack_get_slow(cache, class);
    atomic_store_explicit(&cache->class[class].n_free, n - 1, memory_order_relaxed);
    return cache->class[class].free[n - 1];
}

/* Nobody may run on it any more. Any cache of the space will do. */
static inline void weft__stack_put(struct weft__stack_cache *cache, struct weft__stack *stack)
{
    uint32_t class = stack->class;
    uint32_t n = atomic_load_explicit(&cache->class[class].n_free, memory_order_relaxed);

    /* Unguarded, and opened ones, pass the slow side. */
    if (__builtin_expect(WEFT__STACK_CAREFUL ||
                             (unsigned)stack->guard - WEFT__GUARD_MPROTECT > WEFT__GUARD_MADVISE - WEFT__GUARD_MPROTECT ||
                             n >= cache->class[class].max_free,
                         0)) {
        weft__stack_put_slow(cache, stack);
        return;
    }
    cache->class[class].free[n] = stack;
    atomic_store_explicit(&cache->class[class].n_free, n + 1, memory_order_relaxed);
}

/* Describe the stack the kernel gave the calling thread, as a side of a
 * switch. The caller's storage; destroy in the same thread. */
void weft__stack_native_init(struct weft__stack *stack);
void weft__stack_native_destroy(struct weft__stack *stack);

/* One past the highest byte frames may use; 16-aligned where it is ours. */
static inline void *weft__stack_top(const struct weft__stack *stack)
{
    return stack->low + stack->size;
}

/* Is `address` in the part of this stack that frames may use? */
static inline bool weft__stack_holds(const struct weft__stack *stack, const void *address)
{
    return (uintptr_t)address - (uintptr_t)stack->low < stack->size;
}

#endif

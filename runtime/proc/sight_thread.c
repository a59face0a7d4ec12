/* sight_thread.c - the stack of a process that a thread has right now.
 *
 * On a core it is asked by a signal, whose handler unwinds it where it stands. One
 * that sits in the kernel is left alone, as a signal would cut a sleep short: the
 * kernel says where its stack ends, and the chain of frame pointers is looked for
 * from there on up. Most of the C library keeps none, so between the two lie some
 * frames of which only the places are seen that calls would come back to.
 */
#include "proc/sight.h"

#include <unistd.h>

#include "base/code.h"
#include "base/here.h"
#include "base/peek.h"
#include "base/symbol.h"
#include "proc/coroner.h"
#include "proc/fault.h"
#include "proc/registers.h"
#include "proc/runtime.h"
#include "sched/hog.h"
#include "sched/stack.h"

#define CARRIERS_MAX 4096        /* that are looked at */
#define CHAIN_MAX 200            /* frames of a chain */
#define SCAN_WORDS 2048          /* of the stack, up to where a chain begins */
#define CHUNK 64                 /* words that are read at once */

struct frame {
    uintptr_t up, returns_to;
};

/* -- which thread ------------------------------------------------------------------ */

/* The list changes under a lock, which whoever is held may hold; so this reads
 * beside it. 0: none has it now. */
static pid_t thread_of(const struct weft__sched *sched, const struct weft__proc *proc)
{
    const struct weft__carrier *at;
    struct weft__carrier carrier;
    struct weft__here here;

    if (!weft__peek(&at, &sched->carriers.all, sizeof at))
        return 0;
    for (int i = 0; at != NULL && i < CARRIERS_MAX && weft__peek(&carrier, at, sizeof carrier); i++) {
        const struct weft__here *its = atomic_load_explicit(&carrier.here, memory_order_relaxed);

        if (its != NULL && weft__peek(&here, its, sizeof here) && here.proc == proc)
            return carrier.tid;
        at = carrier.next_all;
    }
    return 0;
}

/* -- on a core --------------------------------------------------------------------------- */

static void take_answer(struct weft__sight *sight, const struct weft__autopsy *autopsy)
{
    for (uint32_t i = 0; i < autopsy->n_frames && i < WEFT__SIGHT_FRAMES; i++)
        /* Callers as they are elsewhere: where they go on. */
        sight->frames[sight->n_frames++] = (const char *)autopsy->frames[i] + (i > 0);
    sight->has_more_frames = autopsy->n_all > sight->n_frames;
}

/* -- in the kernel ------------------------------------------------------------------------ */

static bool is_return(uintptr_t address)
{
    return address > 8 && weft__symbol_is_code((const void *)(address - 8)) &&
           weft__symbol_is_code((const void *)address) && weft__registers_is_call(address);
}

/* The next frame of a chain: it lies above the one that it called. */
static bool climb(struct frame *frame, uintptr_t *at, uintptr_t high)
{
    uintptr_t up = frame->up;

    if (up <= *at || up % sizeof(uintptr_t) != 0 || up > high - sizeof *frame ||
        !weft__peek(frame, (const void *)up, sizeof *frame))
        return false;
    *at = up;
    return true;
}

/* Does a chain of frame pointers begin with the frame at `at`, and end at the base,
 * which is weft's? */
static bool is_chain(uintptr_t at, struct frame frame, uintptr_t high)
{
    uintptr_t outermost;
    int n = 0;

    do {
        if (!is_return(frame.returns_to))
            return false;
        outermost = frame.returns_to;
    } while (++n < CHAIN_MAX && climb(&frame, &at, high) && frame.returns_to != 0);
    return weft__code_of((const void *)outermost) != WEFT__CODE_OTHER;
}

static void add(struct weft__sight *sight, uintptr_t address)
{
    if (sight->n_frames < WEFT__SIGHT_FRAMES)
        sight->frames[sight->n_frames++] = (const void *)address;
    else
        sight->has_more_frames = true;
}

static void add_chain(struct weft__sight *sight, uintptr_t at, struct frame frame, uintptr_t high)
{
    for (int n = 0; n < CHAIN_MAX && frame.returns_to != 0; n++) {
        add(sight, frame.returns_to);
        if (!climb(&frame, &at, high))
            return;
    }
}

/* From sp on up: what looks like calls, to where the chain begins. */
static void scan(struct weft__sight *sight, uintptr_t sp, uintptr_t high)
{
    uintptr_t words[CHUNK];

    for (uintptr_t at = sp; at + sizeof(struct frame) <= high && at < sp + SCAN_WORDS * sizeof *words;
         at += (CHUNK - 1) * sizeof *words) {
        size_t n = (high - at) / sizeof *words < CHUNK ? (high - at) / sizeof *words : CHUNK;

        if (!weft__peek(words, (const void *)at, n * sizeof *words))
            return;
        for (size_t i = 0; i + 1 < n; i++) {
            struct frame frame = {words[i], words[i + 1]};
            uintptr_t here = at + i * sizeof *words;

            if (frame.up > here && frame.up < high && is_chain(here, frame, high)) {
                add_chain(sight, here, frame, high);
                return;
            }
            if (is_return(words[i]))
                add(sight, words[i]);
        }
    }
}

/* -- either ------------------------------------------------------------------------------------ */

static bool is_on_stack(struct weft__runtime *runtime, uintptr_t sp, struct weft__stack_place *place)
{
    return weft__stack_find(runtime->sched->stacks, (const void *)sp, place) && !place->in_guard && !place->is_fresh;
}

void weft__sight_take_thread(struct weft__runtime *runtime, const struct weft__proc *proc, struct weft__sight *sight)
{
    pid_t tid = thread_of(runtime->sched, proc);
    struct weft__stack_place place;
    struct weft__autopsy autopsy;
    struct weft__waits_in in;
    bool is_in_kernel;
    uintptr_t sp;

    if (tid == 0)
        return;
    /* On another stack it is in a handler's call: that is over soon. */
    is_in_kernel = tid != gettid() && weft__hog_waits_in(tid, &in) && is_on_stack(runtime, (uintptr_t)in.sp, &place);
    sp = (uintptr_t)in.sp;
    if (!is_in_kernel) {
        if (!weft__fault_look_at(tid, proc, &autopsy) || !is_on_stack(runtime, (uintptr_t)autopsy.sp, &place))
            return;
        sp = (uintptr_t)autopsy.sp;
    }
    sight->stack_used = (size_t)((uintptr_t)place.high - sp);
    sight->stack_size = (size_t)(place.high - place.low);
    if (!is_in_kernel) {
        take_answer(sight, &autopsy);
        return;
    }
    add(sight, (uintptr_t)in.pc);
    scan(sight, sp, (uintptr_t)place.high);
}

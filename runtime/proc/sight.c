#include "proc/sight.h"

#include <string.h>

#include "base/clock.h"
#include "base/peek.h"
#include "proc/bond.h"
#include "proc/message.h"
#include "proc/owned.h"
#include "proc/pack.h"
#include "proc/runtime.h"
#include "sched/stack.h"

#define TRIES 4         /* to see one that ends and begins meanwhile */
#define PIECES_MAX 256  /* of memory that are counted one by one, each a system call */

/* -- its stack -------------------------------------------------------------------- */

struct frame {
    const struct frame *up;
    const void *returns_to;
};

static void unwind(struct weft__sight *sight, const struct weft__context *context, const char *low,
                   const char *high)
{
    const struct frame *at = context->fp;
    struct frame frame;

    sight->frames[sight->n_frames++] = context->pc;
    /* Each frame lies above the one it called: so this ends. */
    while ((const char *)at >= low && (const char *)(at + 1) <= high && (uintptr_t)at % 8 == 0 &&
           weft__peek(&frame, at, sizeof frame) && frame.returns_to != NULL) {
        if (sight->n_frames == WEFT__SIGHT_FRAMES) {
            sight->has_more_frames = true;
            return;
        }
        sight->frames[sight->n_frames++] = frame.returns_to;
        low = (const char *)(at + 1);
        at = frame.up;
    }
}

static void take_stack(struct weft__runtime *runtime, struct weft__sight *sight, const struct weft__context *context)
{
    struct weft__stack_place place;
    const char *sp = context->sp;

    if (!weft__stack_find(runtime->sched->stacks, sp, &place) || place.in_guard || place.is_fresh)
        return;
    sight->stack_used = (size_t)(place.high - sp);
    sight->stack_size = (size_t)(place.high - place.low);
    unwind(sight, context, sp, place.high);
}

static void drop_stack(struct weft__sight *sight)
{
    sight->n_frames = 0;
    sight->has_more_frames = false;
    sight->stack_used = sight->stack_size = 0;
}

/* Did it go on since? */
static bool has_moved(const struct weft__proc *proc, const struct weft__stack *stack,
                      const struct weft__context *context)
{
    struct weft__stack *stack_now;
    struct weft__context now;

    return !weft__peek(&stack_now, &proc->fiber.stack, sizeof stack_now) || stack_now != stack ||
           !weft__peek(&now, &stack->context, sizeof now) || memcmp(&now, context, sizeof now) != 0;
}

/* -- its memory ------------------------------------------------------------------- */

/* The sizes of a chain of blocks; *n_left: how many more may be looked at. */
static size_t size_of_blocks(const struct weft__block *block, uint32_t *n_left)
{
    struct weft__block copy;
    size_t size = 0;

    for (; block != NULL && *n_left > 0 && weft__peek(&copy, block, sizeof copy); block = copy.next) {
        --*n_left;
        size += copy.size;
    }
    return size;
}

static size_t size_of_owned(const struct weft__owned *owned, uint32_t *n_left)
{
    struct weft__owned copy;
    size_t size = 0;

    for (; owned != NULL && *n_left > 0 && weft__peek(&copy, owned, sizeof copy); owned = copy.next) {
        --*n_left;
        size += copy.size + sizeof copy;
    }
    return size;
}

static void take_memory(struct weft__sight *sight)
{
    const struct weft__proc *proc = &sight->proc;
    uint32_t n_left = PIECES_MAX;

    sight->memory = sizeof *proc + sight->stack_used;
    sight->memory += size_of_blocks(proc->region.blocks, &n_left);
    sight->memory += size_of_owned(proc->owned, &n_left);
    if (proc->mailbox.first != NULL)
        sight->memory += size_of_blocks(&proc->mailbox.first->block, &n_left);
    sight->memory_is_least = n_left == 0;
}

/* -- its messages ------------------------------------------------------------------- */

/* The next in an inbox, after a copy of it. NULL: no more, or not to be read. */
static const struct weft__message *peek_message(struct weft__message *copy, const struct weft__message *at)
{
    return weft__peek(copy, at, sizeof *copy) ? weft__message_next(copy) : NULL;
}

static const struct weft__message *inbox_of(const struct weft__proc *proc)
{
    /* Relaxed: what it points to is read through the kernel. */
    const struct weft__message *first = atomic_load_explicit(&proc->inbox, memory_order_relaxed);

    return first != WEFT__WAITS_FOR_MAIL ? first : NULL;
}

/* Is that message still in the inbox? Then all behind it is, too. */
static bool is_in_inbox(const struct weft__proc *proc, const struct weft__message *message)
{
    const struct weft__message *at = inbox_of(proc);
    struct weft__message copy;

    for (int i = 0; i < PIECES_MAX && at != NULL && at != message; i++)
        at = peek_message(&copy, at);
    return at == message;
}

/* How many there are besides the first: of what may be no pack any more. */
static uint32_t packed_more(const struct weft__pack *pack)
{
    uint32_t n = weft__pack_count(pack);

    return n == 0 ? 0 : n < WEFT__PACK_MAX ? n - 1 : WEFT__PACK_MAX - 1;
}

static void take_inbox(const struct weft__proc *proc, struct weft__sight *sight)
{
    const struct weft__message *first = inbox_of(proc), *at = first;
    struct weft__message copy;
    uint32_t n_left = PIECES_MAX;

    while (at != NULL && n_left > 0) {
        const struct weft__message *here = at;
        struct weft__pack pack;

        at = peek_message(&copy, here);
        sight->n_unseen += copy.block.kind < WEFT__SIGNAL_EXIT;
        if (copy.block.kind == WEFT__MESSAGE_PACK && weft__peek(&pack, here, sizeof pack))
            sight->n_unseen += packed_more(&pack);
        n_left--;
    }
    sight->unseen_is_least = at != NULL;
    if (!is_in_inbox(proc, first))
        sight->n_unseen = 0; /* it looked at them meanwhile */
}

/* Whose answer it waits for: who makes a call makes no reference until it is over. */
static void take_asked(struct weft__sight *sight)
{
    const struct weft__proc *proc = &sight->proc;
    uint64_t newest = atomic_load_explicit(&proc->ref_counter, memory_order_relaxed);
    struct weft__bond bond;

    if (weft__bond_peek(proc, weft__ref_make(weft__pid_slot(sight->pid), newest).bits, &bond) &&
        bond.kind == WEFT__BOND_REPLY && !bond.is_done)
        sight->asked = weft__term(bond.peer);
}

/* -- its state ---------------------------------------------------------------------- */

/* Does it run on a thread whose worker went on to another? The list changes
 * under a lock, which whoever is held may hold; so this reads beside it. */
static bool is_hog(const struct weft__sched *sched, const struct weft__proc *proc)
{
    const struct weft__carrier *at;

    if (!weft__peek(&at, &sched->hogs.list, sizeof at))
        return false;
    for (int i = 0; at != NULL && i < PIECES_MAX; i++) {
        struct weft__carrier carrier;

        if (!weft__peek(&carrier, at, sizeof carrier))
            return false;
        if (carrier.hog == &proc->fiber)
            return true;
        at = carrier.next_hog;
    }
    return false;
}

/* The worker that runs it, as far as that can be said; UINT32_MAX: none. */
static uint32_t worker_of(const struct weft__sched *sched, const struct weft__proc *proc)
{
    for (uint32_t i = 0; i < sched->n_workers; i++) {
        struct weft__worker *worker = sched->workers[i];
        /* Relaxed, both: a moment's truth. */
        uint64_t runs = atomic_load_explicit(&worker->counts.runs, memory_order_relaxed);

        if (atomic_load_explicit(&worker->ran[runs % WEFT__WORKER_RAN], memory_order_relaxed) == &proc->fiber)
            return i;
    }
    return UINT32_MAX;
}

static enum weft__sight_status status_of(struct weft__runtime *runtime, const struct weft__proc *proc,
                                         uint64_t state, struct weft__sight *sight)
{
    const struct weft__proc *copy = &sight->proc;

    if ((state & WEFT__STATE_MASK) == WEFT__ENDING)
        return WEFT__SIGHT_ENDING;
    if (copy->fiber.kind == WEFT__PROC_GUEST)
        return WEFT__SIGHT_FOREIGN;
    if (copy->fiber.kind == WEFT__PROC_REMAINS)
        return WEFT__SIGHT_DISOWNED;
    sight->is_for_mail = atomic_load_explicit(&proc->inbox, memory_order_relaxed) == WEFT__WAITS_FOR_MAIL;
    if (sight->is_for_mail || (state & WEFT__STATE_MASK) == WEFT__PARKED)
        return WEFT__SIGHT_WAITING;
    if (copy->flags & WEFT__IN_BLOCKING)
        return WEFT__SIGHT_BLOCKING;
    if (copy->fiber.stack == NULL && is_hog(runtime->sched, proc))
        return WEFT__SIGHT_HOG;
    sight->worker = copy->fiber.stack == NULL ? worker_of(runtime->sched, proc) : UINT32_MAX;
    return sight->worker != UINT32_MAX ? WEFT__SIGHT_RUNNING : WEFT__SIGHT_READY;
}

static void take_label(struct weft__sight *sight)
{
    const struct weft__extra *extra = sight->proc.extra;

    if (extra == NULL || !weft__peek(sight->label, extra->label, sizeof sight->label))
        sight->label[0] = 0;
    sight->label[sizeof sight->label - 1] = 0;
    for (char *at = sight->label; *at != 0; at++)
        if ((unsigned char)*at < ' ')
            *at = ' '; /* half written, or the user's */
}

/* All but the looks at the serial. */
static void take(struct weft__runtime *runtime, const struct weft__proc *proc, uint64_t state,
                 struct weft__sight *sight)
{
    struct weft__stack *stack;
    struct weft__context context;

    if (!weft__peek(&sight->proc, proc, sizeof *proc))
        return;
    sight->status = status_of(runtime, proc, state, sight);
    if (sight->status == WEFT__SIGHT_ENDING)
        return; /* what it had is given back */
    take_label(sight);
    take_inbox(proc, sight);
    if (sight->status == WEFT__SIGHT_WAITING) {
        take_asked(sight);
        sight->has_timeout = sight->proc.wait != NULL;
        sight->since_ns = weft__sched_since_ns(sight->proc.region.waits_since);
    }
    stack = sight->proc.fiber.stack;
    if (stack != NULL && weft__peek(&context, &stack->context, sizeof context)) {
        take_stack(runtime, sight, &context);
        if (has_moved(proc, stack, &context))
            drop_stack(sight);
    }
    if (stack == NULL && (sight->status == WEFT__SIGHT_RUNNING || sight->status == WEFT__SIGHT_HOG ||
                          sight->status == WEFT__SIGHT_BLOCKING || sight->status == WEFT__SIGHT_DISOWNED))
        weft__sight_take_thread(runtime, proc, sight);
    if (sight->status == WEFT__SIGHT_WAITING)
        take_memory(sight);
}

bool weft__sight_take(struct weft__runtime *runtime, uint32_t slot, struct weft__sight *sight)
{
    struct weft__proc *proc = &runtime->table.base[slot];

    for (int i = 0; i < TRIES; i++) {
        /* Acquire, with the release in begin(): what is read is no older. */
        uint64_t state = atomic_load_explicit(&proc->state, memory_order_acquire), after;

        if ((state & WEFT__STATE_MASK) == WEFT__FREE ||
            (state & (WEFT__STATE_MASK | WEFT__DISOWNED)) == (WEFT__ENDING | WEFT__DISOWNED))
            return false; /* of the latter the remains are shown */
        memset(sight, 0, sizeof *sight);
        sight->pid = weft__pid_make(slot, weft__state_serial(state));
        sight->status = WEFT__SIGHT_UNSEEN;
        take(runtime, proc, state, sight);
        /* A read that no earlier one may follow, so one that writes: its release
         * half keeps all of the above before it. */
        after = atomic_fetch_or_explicit(&proc->state, 0, memory_order_acq_rel);
        if (weft__state_serial(after) == weft__state_serial(state) &&
            ((after & WEFT__STATE_MASK) != WEFT__ENDING || (state & WEFT__STATE_MASK) == WEFT__ENDING))
            return true;
    }
    return false;
}

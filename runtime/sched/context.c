/* context.c - what is the same on all platforms, and the sanitizers' side.
 *
 * A sanitizer must be told of each switch:
 *
 *   address  start_switch before, with the other stack's bounds; finish_switch
 *            as the first thing on the other side. Frames given up without
 *            returning leave their redzones poisoned: unpoisoned here.
 *   thread   switch_to_fiber before. It keeps a call stack per fiber, which
 *            frames given up would fill: such a fiber is replaced.
 */
#include "sched/context.h"

#include "base/code.h"

#if WEFT__STACK_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WEFT__STACK_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* Each context that is made anew leaves the frames of the one before in the
 * thread sanitizer's account of that fiber, which holds 65,536. */
#define TSAN_MAKES 500

const uint32_t weft__context_layout = WEFT__CONTEXT_LAYOUT;

/* What weft__context_start finds at its sp. */
struct context_base {
    void (*entry)(void *arg, struct weft__stack *stack);
    struct weft__stack *stack;
};

static struct weft__context context_at_base(struct weft__stack *stack,
                                            void (*entry)(void *arg, struct weft__stack *stack))
{
    struct context_base *base = (struct context_base *)weft__stack_top(stack) - 1;

    base->entry = entry;
    base->stack = stack;
    stack->cxx_caught = NULL;
    stack->cxx_uncaught = 0;
    return (struct weft__context){.pc = weft__context_start, .sp = base, .fp = NULL};
}

#if WEFT__STACK_TSAN
WEFT__CONTEXT_BARE
static void tsan_renew(struct weft__stack *stack, bool is_current)
{
    void *old = stack->tsan_fiber;

    stack->tsan_fiber = __tsan_create_fiber(0);
    stack->n_makes = 0;
    if (is_current)
        __tsan_switch_to_fiber(stack->tsan_fiber, 0);
    if (old != NULL)
        __tsan_destroy_fiber(old);
}
#endif

#if WEFT__STACK_ASAN
/* The frames of a stack are gone, none of them returned. */
WEFT__CONTEXT_BARE
static void asan_forget_frames(struct weft__stack *stack)
{
    __asan_unpoison_memory_region(stack->low, stack->size);
}
#endif

/* The first code on a new context: the sanitizer does not know of it yet. */
WEFT__CONTEXT_BARE WEFT__GATE
static void context_begin(void *arg, struct weft__stack *stack)
{
#if WEFT__STACK_ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    stack->entry(arg);
}

/* entry(arg) only, when nothing must be told. The second argument is more than
 * entry takes, which the ABIs served here allow. */
static void (*context_entry(struct weft__stack *stack, void (*entry)(void *arg)))(void *, struct weft__stack *)
{
    stack->entry = entry;
    return WEFT__CONTEXT_SANITIZED ? context_begin
                                   : (void (*)(void *, struct weft__stack *))(void (*)(void))entry;
}

void weft__context_make(struct weft__stack *stack, void (*entry)(void *arg))
{
#if WEFT__STACK_TSAN
    if (++stack->n_makes > TSAN_MAKES)
        tsan_renew(stack, false);
#endif
    stack->context = context_at_base(stack, context_entry(stack, entry));
}

#if WEFT__CONTEXT_SANITIZED

WEFT__CONTEXT_BARE
void *weft__switch(struct weft__stack *from, struct weft__stack *to, void *arg)
{
    weft__assert(to->context.pc != NULL);
    weft__context_cxx(from, to);
#if WEFT__STACK_ASAN
    __sanitizer_start_switch_fiber(&from->asan_fake, to->low, to->size);
#endif
#if WEFT__STACK_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
    arg = weft__context_swap(&from->context, &to->context, arg);
#if WEFT__STACK_ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake, NULL, NULL);
#endif
    return arg;
}

#endif

WEFT__CONTEXT_BARE
void weft__switch_last(struct weft__stack *from, struct weft__stack *to, void *arg)
{
    weft__assert(to->context.pc != NULL);
    weft__context_cxx(from, to);
#if WEFT__STACK_ASAN
    __asan_handle_no_return();
    asan_forget_frames(from);
    __sanitizer_start_switch_fiber(NULL, to->low, to->size);
#endif
#if WEFT__STACK_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
    weft__context_enter(&to->context, arg);
}

WEFT__CONTEXT_BARE
void weft__context_rebase(struct weft__stack *stack, void (*entry)(void *arg), void *arg)
{
    struct weft__context base;

    /* What was being caught on these frames is not any more. */
    if (__cxa_get_globals_fast != NULL)
        *__cxa_get_globals_fast() = (struct weft__cxx_globals){0};
#if WEFT__STACK_ASAN
    __asan_handle_no_return();
    asan_forget_frames(stack);
#endif
#if WEFT__STACK_TSAN
    tsan_renew(stack, true);
#endif
    /* Not context_begin: no switch is under way. */
    base = context_at_base(stack, (void (*)(void *, struct weft__stack *))(void (*)(void))entry);
    weft__context_enter(&base, arg);
}

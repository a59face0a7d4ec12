#include "sched/context.h"

#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

static struct weft__stack_space *space;
static struct weft__stack_cache cache;
static struct weft__stack native; /* the test's own side */
static struct weft__stack *side;  /* the other one */

static void begin(void)
{
    /* A small space: emulators are slow to note a large one. */
    check_int(weft__stack_space_new(&space, &(struct weft__stack_options){.max_slots = 64}), 0);
    weft__stack_cache_init(&cache, space, 0);
    weft__stack_native_init(&native);
    side = weft__stack_get(&cache, 0);
}

static void end(void)
{
    weft__stack_put(&cache, side);
    weft__stack_native_destroy(&native);
    weft__stack_cache_destroy(&cache);
    weft__stack_space_free(space);
}

/* -- plain switching ------------------------------------------------------------- */

static void add_ones(void *arg)
{
    for (;;)
        arg = weft__switch(side, &native, (void *)((uintptr_t)arg + 1));
}

TEST(what_one_side_says_the_other_gets)
{
    begin();
    weft__context_make(side, add_ones);
    for (uintptr_t i = 0; i < 1000; i++)
        check_uint((uintptr_t)weft__switch(&native, side, (void *)i), i + 1);
    end();
}

static void answer_42(void *arg)
{
    check_uint((uintptr_t)arg, 41);
    weft__switch_last(side, &native, (void *)42);
}

TEST(a_stack_whose_context_ended_can_be_made_anew)
{
    begin();
    for (int i = 0; i < 2000; i++) {
        weft__context_make(side, answer_42);
        if ((uintptr_t)weft__switch(&native, side, (void *)41) != 42) {
            check_int(i, 2000);
            break;
        }
    }
    end();
}

static void look_at_alignment(void *arg)
{
    _Alignas(64) char aligned[64];
    double number = 0.1;
    char text[64];

    (void)arg;
    memset(aligned, 1, sizeof aligned);
    check_uint((uintptr_t)aligned % 64, 0);
    check_uint((uintptr_t)__builtin_frame_address(0) % 16, 0);
    /* printf of a double faults on a misaligned stack. */
    snprintf(text, sizeof text, "%.3f", number * 3);
    check_str(text, "0.300");
    check(weft__stack_holds(side, __builtin_frame_address(0)));
    weft__switch_last(side, &native, NULL);
}

TEST(a_new_context_is_on_its_stack_and_aligned)
{
    begin();
    weft__context_make(side, look_at_alignment);
    weft__switch(&native, side, NULL);
    end();
}

/* -- registers ---------------------------------------------------------------------- */

/* More live values than there are registers, integer and floating, across a
 * switch to somebody who does the same. */
__attribute__((noinline))
static uint64_t churn(struct weft__stack *from, struct weft__stack *to, uint64_t seed, int n)
{
    uint64_t a = seed, b = seed * 3, c = seed * 5, d = seed * 7, e = seed * 11, f = seed * 13;
    uint64_t g = seed * 17, h = seed * 19, i = seed * 23, j = seed * 29, k = seed * 31;
    double x = (double)seed, y = x * 2, z = x * 3, w = x * 4;

    while (n-- > 0) {
        weft__switch(from, to, NULL);
        a += b; b ^= c; c += d; d ^= e; e += f; f ^= g;
        g += h; h ^= i; i += j; j ^= k; k += a;
        x += y; y -= z; z += w * 0.5; w -= x * 0.25;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ (uint64_t)(int64_t)(x + y + z + w);
}

#define N_CHURNS 20

static uint64_t churned_there;

static void churn_there(void *arg)
{
    (void)arg;
    churned_there = churn(side, &native, 99, N_CHURNS);
    weft__switch_last(side, &native, NULL);
}

static void churn_back(void *arg)
{
    (void)arg;
    for (;;)
        weft__switch(side, &native, NULL);
}

TEST(every_register_survives_a_switch)
{
    uint64_t here_alone;
    uint64_t there_alone;

    begin();
    /* Against somebody who does nothing... */
    weft__context_make(side, churn_back);
    here_alone = churn(&native, side, 7, N_CHURNS + 1);
    weft__context_make(side, churn_back);
    there_alone = churn(&native, side, 99, N_CHURNS);
    /* ... and against each other. */
    weft__context_make(side, churn_there);
    check_uint(churn(&native, side, 7, N_CHURNS + 1), here_alone);
    check_uint(churned_there, there_alone);
    end();
}

/* -- leaving frames ------------------------------------------------------------------- */

static int n_bases;

static void rebased(void *arg)
{
    char *marker = __builtin_frame_address(0);

    check_uint((uintptr_t)arg, 5);
    /* At the base again: far above the frames that were left. */
    check_lt((char *)weft__stack_top(side) - marker, WEFT__CONTEXT_SANITIZED ? 4096 : 128);
    n_bases++;
    weft__switch_last(side, &native, NULL);
}

__attribute__((noinline))
static int dive(int depth)
{
    volatile char frame[512];

    memset((void *)(uintptr_t)frame, depth, sizeof frame);
    if (depth < 0)
        return 0;
    if (depth == 0)
        weft__context_rebase(side, rebased, (void *)5);
    return dive(depth - 1) + frame[depth % 512];
}

static void dive_and_rebase(void *arg)
{
    check_int(dive((int)(uintptr_t)arg), -1); /* does not return */
}

TEST(rebase_abandons_all_frames)
{
    int n = WEFT__STACK_TSAN ? 20 : 500;

    begin();
    n_bases = 0;
    for (int i = 0; i < n; i++) {
        weft__context_make(side, dive_and_rebase);
        weft__switch(&native, side, (void *)(uintptr_t)(i % 32));
    }
    check_int(n_bases, n);
    end();
}

/* -- other threads ----------------------------------------------------------------------- */

static void count_threads(void *arg)
{
    struct weft__stack *back = arg;

    for (int i = 0; i < 10; i++) {
        struct weft__stack *next = weft__switch(side, back, (void *)(uintptr_t)i);

        back = next;
    }
    weft__switch_last(side, back, (void *)10);
}

static void *carry(void *arg)
{
    struct weft__stack own;
    void *result;

    (void)arg;
    weft__stack_native_init(&own);
    result = weft__switch(&own, side, &own);
    weft__stack_native_destroy(&own);
    return result;
}

TEST(a_context_goes_on_in_another_thread)
{
    begin();
    weft__context_make(side, count_threads);
    for (uintptr_t i = 0; i <= 10; i++) {
        pthread_t thread;
        void *result = NULL;

        pthread_create(&thread, NULL, carry, NULL);
        pthread_join(thread, &result);
        check_uint((uintptr_t)result, i);
    }
    end();
}

/* -- unwinding ------------------------------------------------------------------------------ */

static void *trace[64];
static int n_trace;

__attribute__((noinline))
static int deep(int depth)
{
    if (depth > 0)
        return deep(depth - 1) + 1;
    n_trace = backtrace(trace, 64);
    return 0;
}

static void trace_there(void *arg)
{
    check_int(deep(5), 5);
    (void)arg;
    weft__switch_last(side, &native, NULL);
}

TEST(a_backtrace_ends_at_the_base_of_the_stack)
{
    begin();
    backtrace(trace, 1); /* loads what it needs on the big stack */
    weft__context_make(side, trace_there);
    weft__switch(&native, side, NULL);
    /* deep x 6 (or fewer, where the compiler made a loop of it), trace_there,
     * context_start, and what a sanitizer adds; not the thread below. */
    check_ge(n_trace, 2);
    check_le(n_trace, 14);
    check_ge((char *)trace[n_trace - 1] - weft__context_start, 0);
    check_le((char *)trace[n_trace - 1] - weft__context_start, 64);
    end();
}

static void stop_deep(void *arg)
{
    weft__switch(side, &native, arg);
    weft__switch_last(side, &native, NULL);
}

/* What a debugger does: from the three saved words, by frame pointers. */
TEST(a_stopped_stack_is_walked_by_its_frame_pointers)
{
    void **frame;
    int n_frames = 0;

    begin();
    weft__context_make(side, stop_deep);
    weft__switch(&native, side, NULL);
    check_uint(weft__context_layout, WEFT__CONTEXT_LAYOUT);
    check(weft__stack_holds(side, side->context.sp));
    for (frame = side->context.fp; frame != NULL && n_frames < 10; frame = frame[0]) {
        if (!check(weft__stack_holds(side, frame)))
            break;
        n_frames++;
    }
    check_ptr(frame, NULL);
    weft__switch(&native, side, NULL);
    end();
}

/* -- C++ ---------------------------------------------------------------------------------- */

/* Stands for libstdc++'s: the test is a C program. */
static _Thread_local struct weft__cxx_globals cxx_globals;

struct weft__cxx_globals *__cxa_get_globals_fast(void)
{
    return &cxx_globals;
}

static void catch_there(void *arg)
{
    check_ptr(cxx_globals.caught, NULL);
    cxx_globals = (struct weft__cxx_globals){.caught = &native, .uncaught = 2};
    weft__switch(side, &native, arg);
    check_ptr(cxx_globals.caught, &native);
    check_int(cxx_globals.uncaught, 2);
    weft__switch_last(side, &native, NULL);
}

TEST(exceptions_being_handled_stay_with_their_stack)
{
    begin();
    cxx_globals = (struct weft__cxx_globals){.caught = &cache, .uncaught = 1};
    weft__context_make(side, catch_there);
    weft__switch(&native, side, NULL);
    check_ptr(cxx_globals.caught, &cache);
    check_int(cxx_globals.uncaught, 1);
    weft__switch(&native, side, NULL);
    check_ptr(cxx_globals.caught, &cache);
    check_int(cxx_globals.uncaught, 1);
    cxx_globals = (struct weft__cxx_globals){0};
    end();
}

#include "sched/stack.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "tap.h"

#define GUARD ((size_t)64 << 10)

/* A space with one cache, as a worker would have it. */
struct fixture {
    struct weft__stack_space *space;
    struct weft__stack_cache cache;
};

static void begin(struct fixture *fixture, const struct weft__stack_options *options)
{
    check_int(weft__stack_space_new(&fixture->space, options), 0);
    weft__stack_cache_init(&fixture->cache, fixture->space, 0);
}

static void end(struct fixture *fixture)
{
    weft__stack_cache_destroy(&fixture->cache);
    weft__stack_space_free(fixture->space);
}

static struct weft__stack_counts counts_of(struct fixture *fixture)
{
    struct weft__stack_counts counts;

    weft__stack_counts(fixture->space, &counts);
    return counts;
}

/* Does a write to this address fault? */
static sigjmp_buf fault_jump;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(fault_jump, 1);
}

static bool faults(volatile char *at)
{
    struct sigaction action = {.sa_handler = on_fault};
    struct sigaction before_segv;
    struct sigaction before_bus;
    bool has_faulted = true;

    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
    if (sigsetjmp(fault_jump, 1) == 0) {
        *at = 1;
        has_faulted = false;
    }
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGBUS, &before_bus, NULL);
    return has_faulted;
}

TEST(the_class_is_the_smallest_that_fits)
{
    check_int(weft__stack_class_for(0), 0);
    check_int(weft__stack_class_for(64 << 10), 0);
    check_int(weft__stack_class_for((64 << 10) + 1), 1);
    check_int(weft__stack_class_for(1 << 20), 2);
    check_int(weft__stack_class_for(8 << 20), 3);
    check_int(weft__stack_class_for((size_t)1 << 40), 3);
    check_int(weft__stack_class_size(3), 8 << 20);
}

TEST(all_of_a_stack_can_be_used)
{
    struct fixture fixture;

    begin(&fixture, NULL);
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++) {
        struct weft__stack *stack = weft__stack_get(&fixture.cache, class);

        check(stack != NULL);
        check_int(stack->class, class);
        check_uint((uintptr_t)weft__stack_top(stack) % 16, 0);
        check_ptr(weft__stack_top(stack), stack);
        check_ge(stack->size, weft__stack_class_size(class) - 2048);
        memset(stack->low, 1, stack->size);
        check(weft__stack_holds(stack, stack->low));
        check(!weft__stack_holds(stack, stack));
        weft__stack_put(&fixture.cache, stack);
    }
    end(&fixture);
}

TEST(the_stack_put_last_is_got_first)
{
    struct fixture fixture;
    struct weft__stack *first;
    struct weft__stack *second;

    begin(&fixture, NULL);
    first = weft__stack_get(&fixture.cache, 0);
    second = weft__stack_get(&fixture.cache, 0);
    check(first != second);
    weft__stack_put(&fixture.cache, second);
    weft__stack_put(&fixture.cache, first);
    check_ptr(weft__stack_get(&fixture.cache, 0), first);
    check_ptr(weft__stack_get(&fixture.cache, 0), second);
    weft__stack_put(&fixture.cache, second);
    weft__stack_put(&fixture.cache, first);
    end(&fixture);
}

static void look_below(enum weft__stack_guard limit, enum weft__stack_guard want)
{
    struct fixture fixture;
    struct weft__stack *stack;

    begin(&fixture, &(struct weft__stack_options){.guard = limit});
    stack = weft__stack_get(&fixture.cache, 0);
    if (want != WEFT__GUARD_BEST)
        check_int(stack->guard, want);
    check(faults(stack->low - 1));
    check(faults(stack->low - GUARD));
    check(!faults(stack->low));
    weft__stack_put(&fixture.cache, stack);
    end(&fixture);
}

TEST(a_write_below_a_stack_faults)
{
    look_below(WEFT__GUARD_BEST, WEFT__GUARD_BEST);
}

TEST(mprotect_guards_where_the_kernel_cannot_install_guards)
{
    look_below(WEFT__GUARD_MPROTECT, WEFT__GUARD_MPROTECT);
}

static void count_warning(void *arg, const char *text)
{
    diag("%s", text);
    ++*(int *)arg;
}

TEST(an_unguarded_stack_is_served_warned_of_once_and_checked)
{
    int n_warnings = 0;
    struct fixture fixture;
    struct weft__stack *stacks[3];

    begin(&fixture, &(struct weft__stack_options){
                        .guard = WEFT__GUARD_NONE, .warn = count_warning, .warn_arg = &n_warnings});
    for (int i = 0; i < 3; i++)
        stacks[i] = weft__stack_get(&fixture.cache, 0);
    check_int(n_warnings, 1);
    check_int(counts_of(&fixture).n_unguarded, 3);
    check_int(counts_of(&fixture).n_guarded, 0);
    memset(stacks[0]->low, 1, stacks[0]->size);
    weft__stack_put(&fixture.cache, stacks[0]);
    check_int(counts_of(&fixture).n_overflows, 0);
    stacks[1]->low[-8] = 1;
    weft__stack_put(&fixture.cache, stacks[1]);
    check_int(counts_of(&fixture).n_overflows, 1);
    check_ptr(weft__stack_get(&fixture.cache, 0), stacks[1]);
    weft__stack_put(&fixture.cache, stacks[1]);
    check_int(counts_of(&fixture).n_overflows, 1);
    weft__stack_put(&fixture.cache, stacks[2]);
    end(&fixture);
}

TEST(when_the_mprotect_budget_is_spent_stacks_still_come)
{
    enum { n = WEFT__STACK_TSAN ? 4000 : 40000 };
    static struct weft__stack *stacks[n];
    int n_warnings = 0;
    struct fixture fixture;
    struct weft__stack_counts counts;

    begin(&fixture, &(struct weft__stack_options){
                        .guard = WEFT__GUARD_MPROTECT, .warn = count_warning, .warn_arg = &n_warnings});
    for (int i = 0; i < n; i++) {
        stacks[i] = weft__stack_get(&fixture.cache, 0);
        if (stacks[i] == NULL) {
            check(stacks[i] != NULL);
            return;
        }
    }
    counts = counts_of(&fixture);
    check_int(counts.n_guarded + counts.n_unguarded, n);
    check_gt(counts.n_guarded, 0);
    check_int(n_warnings, counts.n_unguarded > 0);
    diag("%zu guarded, %zu not", counts.n_guarded, counts.n_unguarded);
    for (int i = 0; i < n; i++)
        weft__stack_put(&fixture.cache, stacks[i]);
    end(&fixture);
}

TEST(a_guard_survives_that_the_memory_goes_back)
{
    enum { n = 500 };
    struct weft__stack *stacks[n];
    struct fixture fixture;
    struct weft__stack_counts counts;
    int n_open = 0;

    begin(&fixture, &(struct weft__stack_options){.max_idle = 1});
    for (int i = 0; i < n; i++) {
        stacks[i] = weft__stack_get(&fixture.cache, 0);
        stacks[i]->low[0] = 1;
    }
    for (int i = 0; i < n; i++)
        weft__stack_put(&fixture.cache, stacks[i]);
    counts = counts_of(&fixture);
    check_int(counts.n_in_use, 0);
    check_ge(counts.n_cold, n - 65);
    check_int(counts.n_cold + counts.n_cached, n);
    for (int i = 0; i < n; i++)
        stacks[i] = weft__stack_get(&fixture.cache, 0);
    counts = counts_of(&fixture);
    check_int(counts.n_in_use, n);
    check_int(counts.n_cold, 0);
    check_int(counts.n_guarded + counts.n_unguarded, n);
    for (int i = 0; i < n; i++) {
        if (stacks[i]->guard != WEFT__GUARD_NONE)
            n_open += !faults(stacks[i]->low - 1);
    }
    check_int(n_open, 0);
    for (int i = 0; i < n; i++)
        weft__stack_put(&fixture.cache, stacks[i]);
    end(&fixture);
}

TEST(an_address_finds_its_stack_and_its_guard)
{
    struct fixture fixture;
    struct weft__stack_place place;
    int local;

    begin(&fixture, NULL);
    for (uint32_t class = 0; class < WEFT__STACK_CLASSES; class++) {
        struct weft__stack *stacks[20];

        for (int i = 0; i < 20; i++)
            stacks[i] = weft__stack_get(&fixture.cache, class);
        for (int i = 0; i < 20; i++) {
            struct weft__stack *stack = stacks[i];

            check(weft__stack_find(fixture.space, stack->low, &place));
            check_ptr(place.stack, stack);
            check_ptr(place.low, stack->low);
            check(!place.in_guard && !place.is_fresh);
            check(weft__stack_find(fixture.space, stack->low - 1, &place));
            check_ptr(place.stack, stack);
            check(place.in_guard);
            check(weft__stack_find(fixture.space, stack->low - GUARD, &place));
            check_ptr(place.stack, stack);
            check_ptr(place.guard, stack->low - GUARD);
            check(weft__stack_find(fixture.space, stack, &place));
            check_ptr(place.stack, stack);
        }
        for (int i = 0; i < 20; i++)
            weft__stack_put(&fixture.cache, stacks[i]);
    }
    check(!weft__stack_find(fixture.space, &local, &place));
    check(!weft__stack_find(fixture.space, NULL, &place));
    end(&fixture);
}

TEST(when_slots_are_out_get_says_so)
{
    struct weft__stack *stacks[16];
    struct fixture fixture;

    begin(&fixture, &(struct weft__stack_options){.max_slots = 16});
    for (int i = 0; i < 16; i++)
        check((stacks[i] = weft__stack_get(&fixture.cache, 0)) != NULL);
    check_ptr(weft__stack_get(&fixture.cache, 0), NULL);
    weft__stack_put(&fixture.cache, stacks[3]);
    check_ptr(weft__stack_get(&fixture.cache, 0), stacks[3]);
    for (int i = 0; i < 16; i++)
        weft__stack_put(&fixture.cache, stacks[i]);
    end(&fixture);
}

TEST(a_stack_put_elsewhere_comes_back_through_its_nodes_depot)
{
    enum { n = 200 };
    struct weft__stack *stacks[n];
    struct weft__stack_cache far;
    struct fixture fixture;
    struct weft__stack_counts counts;
    int n_far = 0;

    begin(&fixture, &(struct weft__stack_options){.n_nodes = 2});
    weft__stack_cache_init(&far, fixture.space, 1);
    for (int i = 0; i < n; i++)
        stacks[i] = weft__stack_get(&fixture.cache, 0);
    for (int i = 0; i < n; i++)
        weft__stack_put(&far, stacks[i]);
    weft__stack_cache_destroy(&far);
    counts = counts_of(&fixture);
    check_int(counts.n_in_use, 0);
    check_int(counts.n_cached, n);
    for (int i = 0; i < n; i++) {
        stacks[i] = weft__stack_get(&fixture.cache, 0);
        n_far += stacks[i]->node != 0;
    }
    check_int(n_far, 0);
    counts = counts_of(&fixture);
    check_int(counts.n_guarded + counts.n_unguarded, n);
    for (int i = 0; i < n; i++)
        weft__stack_put(&fixture.cache, stacks[i]);
    end(&fixture);
}

/* -- a million ----------------------------------------------------------------- */

/* Kilobytes, from a file of "name: value" lines. */
static long proc_kb(const char *file, const char *name)
{
    FILE *stream = fopen(file, "re");
    char line[256];
    long kb = 0;

    while (stream != NULL && fgets(line, sizeof line, stream) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            kb = strtol(line + strlen(name) + 1, NULL, 10);
    }
    if (stream != NULL)
        fclose(stream);
    return kb;
}

TEST_WITH(a_million_stacks_are_all_guarded_and_cost_little_more_than_a_page, .deadline_s = 180)
{
    enum { n = 1000000 };
    struct weft__stack **stacks;
    struct fixture fixture;
    struct weft__stack_counts counts;
    long before_kb;
    long after_kb;
    double each;

    if (WEFT__STACK_ASAN || WEFT__STACK_TSAN)
        skip("sanitizers need more memory than this is about");
    if (proc_kb("/proc/meminfo", "MemAvailable") < 6L << 20)
        skip("needs 6 GiB of free memory");
    stacks = malloc(n * sizeof *stacks);
    memset(stacks, 0, n * sizeof *stacks);
    begin(&fixture, NULL);
    before_kb = proc_kb("/proc/self/status", "VmRSS") + proc_kb("/proc/self/status", "VmPTE");
    for (int i = 0; i < n; i++) {
        stacks[i] = weft__stack_get(&fixture.cache, 0);
        if (stacks[i] == NULL) {
            check_int(i, n);
            return;
        }
    }
    after_kb = proc_kb("/proc/self/status", "VmRSS") + proc_kb("/proc/self/status", "VmPTE");
    counts = counts_of(&fixture);
    if (stacks[0]->guard != WEFT__GUARD_MADVISE)
        todo("this kernel has no MADV_GUARD_INSTALL: a part goes unguarded");
    check_int(counts.n_in_use, n);
    check_int(counts.n_guarded, n);
    each = (double)(after_kb - before_kb) * 1024 / (double)n;
    diag("%.0f bytes each, page tables included", each);
    check(each < 4400);
    for (int i = 0; i < n; i++)
        weft__stack_put(&fixture.cache, stacks[i]);
    counts = counts_of(&fixture);
    check_int(counts.n_in_use, 0);
    check_le(counts.n_cached, 4096 + 64);
    free(stacks);
    end(&fixture);
}

/* -- many threads ----------------------------------------------------------------- */

#define N_THREADS 4

static struct weft__stack_space *shared_space;
static struct weft__stack *_Atomic exchange[256];

static void *exchanger(void *arg)
{
    struct weft__stack_cache cache;
    struct weft__rand rand;
    size_t n_bad = 0;

    weft__stack_cache_init(&cache, shared_space, (uint32_t)((uintptr_t)arg % 2));
    weft__rand_init(&rand, 1, (uintptr_t)arg);
    for (int i = 0; i < 20000; i++) {
        struct weft__stack *stack = weft__stack_get(&cache, 0);
        uintptr_t *mark = (uintptr_t *)weft__stack_top(stack) - 4;

        *mark = (uintptr_t)stack;
        stack = atomic_exchange(&exchange[weft__rand_below(&rand, 256)], stack);
        if (stack != NULL) {
            mark = (uintptr_t *)weft__stack_top(stack) - 4;
            n_bad += *mark != (uintptr_t)stack;
            *mark = 0;
            weft__stack_put(&cache, stack);
        }
    }
    weft__stack_cache_destroy(&cache);
    return (void *)n_bad;
}

TEST(stacks_go_from_thread_to_thread_and_none_is_lost)
{
    pthread_t threads[N_THREADS];
    struct weft__stack_cache cache;
    struct weft__stack_counts counts;
    size_t n_held = 0;
    void *n_bad;

    check_int(weft__stack_space_new(&shared_space,
                                    &(struct weft__stack_options){.n_nodes = 2, .max_idle = 64}), 0);
    for (uintptr_t i = 0; i < N_THREADS; i++)
        pthread_create(&threads[i], NULL, exchanger, (void *)i);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], &n_bad);
        check_int((uintptr_t)n_bad, 0);
    }
    for (int i = 0; i < 256; i++)
        n_held += exchange[i] != NULL;
    weft__stack_counts(shared_space, &counts);
    check_int(counts.n_in_use, n_held);
    weft__stack_cache_init(&cache, shared_space, 0);
    for (int i = 0; i < 256; i++) {
        if (exchange[i] != NULL)
            weft__stack_put(&cache, exchange[i]);
    }
    weft__stack_counts(shared_space, &counts);
    check_int(counts.n_in_use, 0);
    check_int(counts.n_cached + counts.n_cold, counts.n_guarded + counts.n_unguarded);
    weft__stack_cache_destroy(&cache);
    weft__stack_space_free(shared_space);
}

TEST(the_threads_own_stack_can_be_a_side_too)
{
    struct weft__stack native;

    weft__stack_native_init(&native);
    check_int(native.class, WEFT__STACK_NATIVE);
    check(weft__stack_holds(&native, __builtin_frame_address(0)));
    check(!weft__stack_holds(&native, &exchange));
    weft__stack_native_destroy(&native);
}

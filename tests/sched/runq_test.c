/* runq_test.c - the run queue: its order, what thieves get, and that nothing
 * is lost or run twice when eight threads take from each other. */
#include "sched/runq.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rand.h"
#include "tap.h"

static struct weft__runq ours, theirs;
static struct weft__overflow overflow;
static struct weft__fiber fibers[1024];

static void set_up(uint64_t first)
{
    weft__runq_init(&ours, first);
    weft__runq_init(&theirs, first);
    weft__overflow_init(&overflow);
    for (size_t i = 0; i < sizeof fibers / sizeof fibers[0]; i++)
        fibers[i] = (struct weft__fiber){ .priority = WEFT__PRIORITY_NORMAL };
}

static struct weft__fiber *fiber(size_t i, enum weft__priority priority)
{
    fibers[i].priority = (uint8_t)priority;
    return &fibers[i];
}

/* Push fibers from..to-1 as they are; how many went in. */
static int push_some(struct weft__runq *q, size_t from, size_t to)
{
    int n = 0;

    for (size_t i = from; i < to; i++)
        n += weft__runq_push(q, &fibers[i]);
    return n;
}

/* Pop and say which it was; -1: none. */
static int pop(struct weft__runq *q)
{
    struct weft__fiber *got = weft__runq_pop(q);

    return got != NULL ? (int)(got - fibers) : -1;
}

static int steal(bool is_last_pass)
{
    struct weft__fiber *got = weft__runq_steal(&theirs, &ours, UINT32_MAX, is_last_pass);

    return got != NULL ? (int)(got - fibers) : -1;
}

TEST(fibers_come_out_in_the_order_they_went_in)
{
    set_up(0);
    check(weft__runq_is_empty(&ours));
    check_int(push_some(&ours, 0, 100), 100);
    check_int(weft__runq_size(&ours), 100);
    weft__runq_check(&ours);
    for (int i = 0; i < 100; i++)
        check_int(pop(&ours), i);
    check_int(pop(&ours), -1);
    check(weft__runq_is_empty(&ours));
}

TEST(a_full_ring_says_so_and_keeps_what_it_has)
{
    set_up(0);
    check_int(push_some(&ours, 0, WEFT__RUNQ_SIZE + 3), WEFT__RUNQ_SIZE);
    check_int(weft__runq_size(&ours), WEFT__RUNQ_SIZE);
    check_int(pop(&ours), 0);
    check(weft__runq_push(&ours, &fibers[WEFT__RUNQ_SIZE]));
    for (int i = 1; i <= WEFT__RUNQ_SIZE; i++)
        check_int(pop(&ours), i);
}

TEST(one_full_ring_leaves_room_in_those_of_other_priorities)
{
    set_up(0);
    push_some(&ours, 0, WEFT__RUNQ_SIZE);
    check(!weft__runq_push(&ours, &fibers[300]));
    check(weft__runq_push(&ours, fiber(301, WEFT__PRIORITY_HIGH)));
    check(weft__runq_push(&ours, fiber(302, WEFT__PRIORITY_LOW)));
    weft__runq_check(&ours);
}

TEST(shedding_takes_the_older_half_in_order)
{
    struct weft__fibers list = { 0 };

    set_up(0);
    push_some(&ours, 0, 10);
    check_int(weft__runq_shed(&ours, WEFT__PRIORITY_NORMAL, &list), 5);
    check_int(list.count, 5);
    for (int i = 0; i < 5; i++)
        check_ptr(weft__fibers_take(&list), &fibers[i]);
    check_ptr(weft__fibers_take(&list), NULL);
    check_int(pop(&ours), 5);
    check_int(weft__runq_shed(&ours, WEFT__PRIORITY_HIGH, &list), 0);
}

TEST(what_finds_the_ring_full_goes_to_the_overflow_queue_with_half_of_it)
{
    set_up(0);
    for (size_t i = 0; i < WEFT__RUNQ_SIZE; i++)
        check_int(weft__runq_put(&ours, &fibers[i], &overflow), 0);
    check_int(weft__runq_put(&ours, &fibers[WEFT__RUNQ_SIZE], &overflow), WEFT__RUNQ_SIZE / 2 + 1);
    check_int(weft__overflow_size(&overflow), WEFT__RUNQ_SIZE / 2 + 1);
    check_int(weft__runq_size(&ours), WEFT__RUNQ_SIZE / 2);
    check_int(pop(&ours), WEFT__RUNQ_SIZE / 2);
}

TEST(a_refill_runs_the_oldest_and_queues_the_others)
{
    set_up(0);
    for (size_t i = 0; i < 10; i++)
        weft__overflow_push_one(&overflow, &fibers[i]);
    check_ptr(weft__runq_refill(&ours, &overflow, 4), &fibers[0]);
    check_int(weft__overflow_size(&overflow), 6);
    for (int i = 1; i < 4; i++)
        check_int(pop(&ours), i);
    check_int(pop(&ours), -1);
    check_ptr(weft__runq_refill(&ours, &overflow, 100), &fibers[4]);
    check_int(weft__runq_size(&ours), 5);
    check_ptr(weft__runq_refill(&theirs, &overflow, 100), NULL);
}

TEST(a_refill_takes_no_more_than_there_is_room_for)
{
    set_up(0);
    push_some(&ours, 0, WEFT__RUNQ_SIZE);
    for (size_t i = 500; i < 510; i++)
        weft__overflow_push_one(&overflow, &fibers[i]);
    check_ptr(weft__runq_refill(&ours, &overflow, 10), &fibers[500]);
    check_int(weft__overflow_size(&overflow), 9);
    check_int(weft__runq_size(&ours), WEFT__RUNQ_SIZE);
}

TEST(a_refill_does_not_run_before_what_is_more_urgent)
{
    set_up(0);
    weft__runq_push(&ours, fiber(1, WEFT__PRIORITY_HIGH));
    weft__overflow_push_one(&overflow, &fibers[2]);
    weft__overflow_push_one(&overflow, fiber(3, WEFT__PRIORITY_LOW));
    check_ptr(weft__runq_refill(&ours, &overflow, 10), NULL);
    check_int(weft__overflow_size(&overflow), 0);
    check_int(pop(&ours), 1);
    check_int(pop(&ours), 2);
    check_int(pop(&ours), 3);
}

TEST(what_was_pushed_next_runs_before_the_ring)
{
    set_up(0);
    push_some(&ours, 0, 2);
    check_ptr(weft__runq_push_next(&ours, &fibers[7]), NULL);
    check(!weft__runq_is_empty(&ours));
    check_int(weft__runq_size(&ours), 3);
    check_int(pop(&ours), 7);
    check_int(pop(&ours), 0);
}

TEST(who_was_next_before_goes_behind_the_ring)
{
    set_up(0);
    push_some(&ours, 0, 1);
    weft__runq_push_next(&ours, &fibers[7]);
    check_ptr(weft__runq_push_next(&ours, &fibers[8]), NULL);
    check_int(pop(&ours), 8);
    check_int(pop(&ours), 0);
    check_int(pop(&ours), 7);
}

TEST(who_was_next_before_comes_back_when_the_ring_is_full)
{
    set_up(0);
    push_some(&ours, 0, WEFT__RUNQ_SIZE);
    check_ptr(weft__runq_push_next(&ours, &fibers[700]), NULL);
    check_ptr(weft__runq_push_next(&ours, &fibers[701]), &fibers[700]);
    check_int(weft__runq_put_next(&ours, &fibers[702], &overflow), WEFT__RUNQ_SIZE / 2 + 1);
    check_int(pop(&ours), 702);
}

TEST(next_gives_way_to_the_ring_after_some_runs)
{
    set_up(0);
    push_some(&ours, 0, 3);
    for (int i = 0; i < WEFT__RUNQ_NEXT_RUNS; i++) {
        weft__runq_push_next(&ours, &fibers[9]);
        check_int(pop(&ours), 9);
    }
    weft__runq_push_next(&ours, &fibers[9]);
    for (int i = 0; i < 3; i++)
        check_int(pop(&ours), i);
    check_int(pop(&ours), 9);
    check_int(pop(&ours), -1);
}

TEST(next_alone_runs_as_often_as_it_likes)
{
    set_up(0);
    for (int i = 0; i < 10 * WEFT__RUNQ_NEXT_RUNS; i++) {
        weft__runq_push_next(&ours, &fibers[9]);
        check_int(pop(&ours), 9);
    }
}

TEST(next_is_taken_back_once_and_not_when_a_thief_was_quicker)
{
    set_up(0);
    weft__runq_push_next(&ours, &fibers[9]);
    check(weft__runq_take_next_back(&ours, &fibers[9]));
    check(!weft__runq_take_next_back(&ours, &fibers[9]));
    check_int(pop(&ours), -1);
    weft__runq_push_next(&ours, &fibers[9]);
    check_ptr(weft__runq_steal(&ours, &theirs, 1, true), &fibers[9]);
    check(!weft__runq_take_next_back(&ours, &fibers[9]));
}

TEST(runs_that_count_as_from_next_end_when_others_had_to_wait_for_so_many)
{
    set_up(0);
    for (int i = 0; i < 10 * WEFT__RUNQ_NEXT_RUNS; i++)
        check(weft__runq_count_next(&ours));
    push_some(&ours, 0, 2);
    for (int i = 1; i < WEFT__RUNQ_NEXT_RUNS; i++)
        check(weft__runq_count_next(&ours));
    check(!weft__runq_count_next(&ours));
    check(weft__runq_count_next(&ours));
    check_int(pop(&ours), 0);
}

/* Put fibers from..to-1 into the nursery; how many were shed. */
static uint32_t put_new(size_t from, size_t to)
{
    uint32_t n_shed = 0;

    for (size_t i = from; i < to; i++)
        n_shed += weft__runq_put_new(&ours, &fibers[i], &overflow);
    return n_shed;
}

TEST(new_fibers_run_newest_first_and_before_those_that_have_begun)
{
    set_up(0);
    push_some(&ours, 0, 1);
    weft__runq_push_next(&ours, &fibers[1]);
    check_int(put_new(2, 5), 0);
    check(!weft__runq_is_empty(&ours));
    check_int(weft__runq_size(&ours), 5);
    for (int i = 4; i >= 0; i--)
        check_int(pop(&ours), i);
    check_int(pop(&ours), -1);
}

TEST(one_that_has_begun_waits_for_so_many_new_ones)
{
    set_up(0);
    check_int(put_new(1, 100), 0);
    push_some(&ours, 0, 1);
    for (int i = 0; i < WEFT__RUNQ_NEW_RUNS; i++)
        check_int(pop(&ours), 99 - i);
    check_int(pop(&ours), 0);
    check_int(pop(&ours), 99 - WEFT__RUNQ_NEW_RUNS);
}

TEST(the_more_have_begun_the_fewer_new_ones_come_before)
{
    set_up(0);
    check_int(put_new(100, 200), 0);
    push_some(&ours, 0, WEFT__RUNQ_NEW_RUNS);
    for (int i = 0; i < 3; i++) {
        int n_new = 0, got;

        while ((got = pop(&ours)) >= 100)
            n_new++;
        check_int(got, i);
        check_le(n_new, 2);
    }
}

/* Run so many new fibers that each takes a while. */
static void run_new(int n, int64_t each_ns)
{
    for (int i = 0; i < n; i++) {
        int64_t began_ns = weft__clock_ns();

        check_ge(pop(&ours), 100);
        while (weft__clock_ns() - began_ns < each_ns)
            ;
    }
}

TEST(one_that_has_begun_waits_for_one_new_fiber_when_they_take_long)
{
    set_up(0);
    check_int(put_new(100, 900), 0);
    push_some(&ours, 0, 1);
    run_new(WEFT__RUNQ_NEW_RUNS, 20000);
    check_int(pop(&ours), 0);
    push_some(&ours, 1, 2);
    run_new(1, 20000);
    check_int(pop(&ours), 1);
    /* Short ones come many in a row again; not if this thread was interrupted. */
    for (int i = 0; i < 50 && ours.max_new == 1; i++) {
        push_some(&ours, 2, 3);
        run_new(1, 0);
        check_int(pop(&ours), 2);
    }
    check_int(ours.max_new, WEFT__RUNQ_NEW_RUNS);
}

TEST(next_does_not_take_all_turns_between_new_fibers)
{
    int n_next = 0, n_ring = 0;

    set_up(0);
    check_int(put_new(100, 500), 0);
    push_some(&ours, 0, 90);
    weft__runq_push_next(&ours, &fibers[99]);
    for (int i = 0; i < 100; i++) {
        int got = pop(&ours);

        n_ring += got < 90;
        if (got == 99) {
            n_next++;
            weft__runq_push_next(&ours, &fibers[99]);
        }
    }
    check_gt(n_next, 0);
    check_gt(n_ring, 10);
}

TEST(half_of_a_full_nursery_goes_to_the_overflow_queue)
{
    set_up(0);
    check_int(put_new(0, WEFT__NURSERY_SIZE), 0);
    check_int(put_new(0, 1), WEFT__NURSERY_SIZE / 2);
    check_int(weft__overflow_size(&overflow), WEFT__NURSERY_SIZE / 2);
    check_int(weft__runq_size(&ours), WEFT__NURSERY_SIZE / 2 + 1);
    check_int(pop(&ours), 0);
    check_int(pop(&ours), WEFT__NURSERY_SIZE - 1);
}

TEST(new_fibers_that_are_not_normal_or_sticky_have_their_own_places)
{
    set_up(0);
    check_int(put_new(2, 3), 0);
    weft__runq_put_new(&ours, fiber(0, WEFT__PRIORITY_HIGH), &overflow);
    weft__runq_put_new(&ours, fiber(3, WEFT__PRIORITY_LOW), &overflow);
    fibers[1].is_sticky = 1;
    weft__runq_put_new(&ours, &fibers[1], &overflow);
    check_int(weft__nursery_size(&ours.nursery), 1);
    check_int(pop(&ours), 0);
    check_int(pop(&ours), 2);
    check_int(pop(&ours), 1);
    check_int(pop(&ours), 3);
}

TEST(a_thief_takes_new_fibers_before_those_that_have_begun)
{
    set_up(0);
    push_some(&theirs, 0, 4);
    for (size_t i = 10; i < 14; i++)
        weft__runq_put_new(&theirs, &fibers[i], &overflow);
    check_int(steal(false), 11);
    check_int(pop(&ours), 10);
    check_int(steal(false), 12);
    check_int(steal(false), 13);
    check_int(steal(false), 0);
    check_int(pop(&ours), 1);
}

TEST(only_normal_fibers_are_ever_next)
{
    set_up(0);
    weft__runq_push(&ours, &fibers[0]);
    check_ptr(weft__runq_push_next(&ours, fiber(1, WEFT__PRIORITY_LOW)), NULL);
    check_ptr(weft__runq_push_next(&ours, fiber(2, WEFT__PRIORITY_HIGH)), NULL);
    weft__runq_check(&ours);
    check_int(pop(&ours), 2);
    check_int(pop(&ours), 0);
    check_int(pop(&ours), 1);
}

TEST(high_runs_before_all_others)
{
    set_up(0);
    push_some(&ours, 0, 20);
    weft__runq_push_next(&ours, &fibers[50]);
    for (size_t i = 100; i < 120; i++)
        weft__runq_push(&ours, fiber(i, WEFT__PRIORITY_HIGH));
    for (int i = 100; i < 120; i++)
        check_int(pop(&ours), i);
    check_int(pop(&ours), 50);
}

TEST(one_in_eight_is_low_while_normal_waits)
{
    int n_low = 0;

    set_up(0);
    push_some(&ours, 0, 140);
    for (size_t i = 200; i < 240; i++)
        weft__runq_push(&ours, fiber(i, WEFT__PRIORITY_LOW));
    for (int i = 0; i < 160; i++)
        n_low += pop(&ours) >= 200;
    check_int(n_low, 20);
    for (int i = 0; i < 20; i++) /* no normal ones are left */
        check_int(pop(&ours), 220 + i);
}

TEST(a_thief_gets_the_older_half)
{
    set_up(0);
    push_some(&theirs, 0, 11);
    check_int(steal(false), 0);
    check_int(weft__runq_size(&theirs), 5);
    check_int(weft__runq_size(&ours), 5);
    weft__runq_check(&ours);
    for (int i = 1; i < 6; i++)
        check_int(pop(&ours), i);
    for (int i = 6; i < 11; i++)
        check_int(pop(&theirs), i);
    check_int(steal(true), -1);
}

TEST(a_thief_takes_the_last_one_too)
{
    set_up(0);
    push_some(&theirs, 0, 1);
    check_int(steal(false), 0);
    check(weft__runq_is_empty(&theirs));
    check(weft__runq_is_empty(&ours));
}

TEST(a_thief_takes_the_most_urgent_first)
{
    set_up(0);
    push_some(&theirs, 0, 2);
    weft__runq_push(&theirs, fiber(5, WEFT__PRIORITY_LOW));
    weft__runq_push(&theirs, fiber(6, WEFT__PRIORITY_HIGH));
    check_int(steal(false), 6);
    check_int(steal(false), 0);
    check_int(steal(false), 1);
    check_int(steal(false), 5);
}

TEST(a_thief_takes_no_more_than_it_has_room_for)
{
    set_up(0);
    push_some(&theirs, 0, 200);
    push_some(&ours, 300, 300 + WEFT__RUNQ_SIZE - 3);
    check_int(steal(false), 0);
    check_int(weft__runq_size(&ours), WEFT__RUNQ_SIZE);
    check_int(weft__runq_size(&theirs), 196);
    check_int(steal(false), 4); /* a full thief still runs one */
    check_int(pop(&theirs), 5);
}

TEST(next_is_stolen_only_on_the_last_pass)
{
    set_up(0);
    weft__runq_push_next(&theirs, &fibers[3]);
    check_int(steal(false), -1);
    check_int(steal(true), 3);
    check_int(pop(&theirs), -1);
}

TEST(sticky_fibers_are_not_stolen)
{
    set_up(0);
    fibers[1].is_sticky = 1;
    fibers[2].is_sticky = 1;
    fibers[3].is_sticky = 1;
    push_some(&theirs, 1, 2);
    check_ptr(weft__runq_push_next(&theirs, &fibers[2]), NULL);
    weft__runq_push_sticky(&theirs, &fibers[3]);
    check(weft__runq_is_empty(&theirs));
    check(weft__runq_has_sticky(&theirs));
    check_int(steal(true), -1);
    for (int i = 1; i < 4; i++)
        check_int(pop(&theirs), i);
    check(!weft__runq_has_sticky(&theirs));
}

TEST(sticky_fibers_and_others_take_turns)
{
    int n_sticky = 0;

    set_up(0);
    push_some(&ours, 0, 10);
    for (size_t i = 100; i < 110; i++) {
        fibers[i].is_sticky = 1;
        weft__runq_push_sticky(&ours, &fibers[i]);
    }
    for (int i = 0; i < 10; i++)
        n_sticky += pop(&ours) >= 100;
    check_int(n_sticky, 5);
    weft__runq_check(&ours);
    for (int i = 0; i < 10; i++)
        check_ge(pop(&ours), 5);
    check_int(pop(&ours), -1);
}

static void steal_around(uint64_t first)
{
    int expected = 0;

    set_up(first);
    for (int round = 0; round < 100; round++) {
        push_some(&theirs, 0, 10);
        check_int(steal(false), 0);
        for (int i = 1; i < 5; i++)
            check_int(pop(&ours), i);
        for (int i = 5; i < 10; i++)
            check_int(pop(&theirs), i);
        expected += pop(&ours) != -1 || pop(&theirs) != -1;
    }
    check_int(expected, 0);
}

TEST(stealing_is_right_where_indices_wrap)
{
    steal_around(UINT64_MAX - 333);
    steal_around(UINT32_MAX - UINT64_C(333));
}

/* ---- many threads ---- */

#define N_THREADS 8
#define N_FIBERS 4000
#define N_RUNS 100

struct job {
    struct weft__fiber fiber;    /* first */
    uint32_t n_runs;             /* plain: a race detector sees two runners */
    _Atomic uint32_t is_running;
};

static struct weft__runq queues[N_THREADS];
static struct job jobs[N_FIBERS];
static _Atomic uint32_t n_left, n_double, n_strayed, n_stolen;

static struct weft__fiber *find_fiber(uint32_t self, struct weft__rand *rand)
{
    struct weft__fiber *found = NULL;
    bool is_stolen = false;
    uint32_t what = weft__rand_below(rand, 16);

    if (what == 0)
        found = weft__runq_refill(&queues[self], &overflow, 1 + weft__rand_below(rand, 200));
    if (found == NULL && what < 12) /* else steal, though there may be work here */
        found = weft__runq_pop(&queues[self]);
    for (uint32_t i = 0; found == NULL && i < 2 * N_THREADS; i++) {
        uint32_t victim = weft__rand_below(rand, N_THREADS);

        if (victim != self)
            found = weft__runq_steal(&queues[victim], &queues[self],
                                     1 + weft__rand_below(rand, 300), i >= N_THREADS);
        is_stolen = found != NULL;
    }
    if (is_stolen)
        atomic_fetch_add_explicit(&n_stolen, 1, memory_order_relaxed);
    if (found == NULL)
        found = weft__runq_pop(&queues[self]);
    return found != NULL ? found : weft__runq_refill(&queues[self], &overflow, 8);
}

static void queue_again(uint32_t self, struct weft__fiber *one, struct weft__rand *rand)
{
    if (one->is_sticky && weft__rand_below(rand, 2) == 0)
        weft__runq_push_sticky(&queues[self], one);
    else if (weft__rand_below(rand, 3) == 0)
        weft__runq_put_next(&queues[self], one, &overflow);
    else if (weft__rand_below(rand, 3) == 0)
        weft__runq_put_new(&queues[self], one, &overflow);
    else
        weft__runq_put(&queues[self], one, &overflow);
}

static void run_fiber(uint32_t self, struct weft__fiber *one, struct weft__rand *rand)
{
    struct job *job = (struct job *)(void *)one;

    if (atomic_exchange_explicit(&job->is_running, 1, memory_order_relaxed) != 0)
        atomic_fetch_add(&n_double, 1);
    if (one->is_sticky && one->home != self)
        atomic_fetch_add(&n_strayed, 1);
    atomic_store_explicit(&job->is_running, 0, memory_order_relaxed);
    if (++job->n_runs == N_RUNS)
        atomic_fetch_sub_explicit(&n_left, 1, memory_order_relaxed);
    else
        queue_again(self, one, rand);
}

static void *work(void *arg)
{
    uint32_t self = (uint32_t)(uintptr_t)arg;
    struct weft__rand rand;

    weft__rand_init(&rand, 1, self);
    while (atomic_load_explicit(&n_left, memory_order_relaxed) > 0) {
        struct weft__fiber *one = find_fiber(self, &rand);

        if (one != NULL)
            run_fiber(self, one, &rand);
        else
            sched_yield();
    }
    return NULL;
}

/* Every job in the queue of one thread or its inbox, so that all must steal. */
static void hand_out_jobs(struct weft__rand *rand)
{
    for (uint32_t i = 0; i < N_FIBERS; i++) {
        struct weft__fiber *one = &jobs[i].fiber;

        one->priority = (uint8_t)weft__rand_below(rand, WEFT__N_PRIORITIES);
        one->is_sticky = weft__rand_below(rand, 10) == 0;
        one->home = weft__rand_below(rand, N_THREADS);
        if (one->is_sticky)
            weft__runq_push_sticky(&queues[one->home], one);
        else
            weft__runq_put_new(&queues[0], one, &overflow);
    }
}

static void stress(uint64_t first)
{
    pthread_t threads[N_THREADS];
    struct weft__rand rand;
    uint64_t n_runs = 0;

    weft__rand_init(&rand, 1, N_THREADS);
    weft__overflow_init(&overflow);
    memset(jobs, 0, sizeof jobs);
    for (uint32_t i = 0; i < N_THREADS; i++)
        weft__runq_init(&queues[i], first);
    hand_out_jobs(&rand);
    atomic_store(&n_left, N_FIBERS);
    for (uint32_t i = 0; i < N_THREADS; i++)
        check_int(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
    for (uint32_t i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < N_FIBERS; i++)
        n_runs += jobs[i].n_runs;
    check_int(n_runs, N_FIBERS * N_RUNS);
    check_int(n_double, 0);
    check_int(n_strayed, 0);
    check_int(weft__overflow_size(&overflow), 0);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        check(weft__runq_is_empty(&queues[i]));
        check(!weft__runq_has_sticky(&queues[i]));
        weft__runq_check(&queues[i]);
    }
    diag("%u runs, %u steals", (unsigned)n_runs, (unsigned)n_stolen);
}

TEST(every_fiber_pushed_is_popped_or_stolen_exactly_once)
{
    stress(0);
}

TEST(and_so_where_the_indices_wrap)
{
    stress(UINT64_MAX - 1000);
    stress(UINT32_MAX - UINT64_C(1000));
}

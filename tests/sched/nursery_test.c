/* nursery_test.c - the newest first for the owner, the oldest for thieves, and
 * each fiber once, also where slots are written again under a thief's eyes. */
#include "sched/nursery.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/rand.h"
#include "tap.h"

static struct weft__nursery ours, theirs;
static struct weft__fiber fibers[2 * WEFT__NURSERY_SIZE];

static void set_up(void)
{
    weft__nursery_init(&ours);
    weft__nursery_init(&theirs);
}

static void push_some(struct weft__nursery *nursery, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        check(weft__nursery_push(nursery, &fibers[i]));
}

/* Which it is; -1: none. */
static int number(const struct weft__fiber *fiber)
{
    return fiber != NULL ? (int)(fiber - fibers) : -1;
}

TEST(the_newest_comes_out_first)
{
    set_up();
    push_some(&ours, 0, 100);
    check_int(weft__nursery_size(&ours), 100);
    for (int i = 99; i >= 0; i--)
        check_int(number(weft__nursery_pop(&ours)), i);
    check_int(number(weft__nursery_pop(&ours)), -1);
}

TEST(a_full_nursery_says_so_and_keeps_what_it_has)
{
    set_up();
    push_some(&ours, 0, WEFT__NURSERY_SIZE);
    check(!weft__nursery_push(&ours, &fibers[WEFT__NURSERY_SIZE]));
    check_int(weft__nursery_size(&ours), WEFT__NURSERY_SIZE);
    check_int(number(weft__nursery_pop(&ours)), WEFT__NURSERY_SIZE - 1);
}

TEST(a_thief_gets_the_older_half_and_begins_with_the_newest_of_it)
{
    set_up();
    push_some(&theirs, 0, 9);
    check_int(number(weft__nursery_steal(&theirs, &ours, UINT32_MAX)), 4);
    for (int i = 3; i >= 0; i--)
        check_int(number(weft__nursery_pop(&ours)), i);
    for (int i = 8; i >= 5; i--)
        check_int(number(weft__nursery_pop(&theirs)), i);
    check_int(number(weft__nursery_steal(&theirs, &ours, UINT32_MAX)), -1);
}

TEST(a_thief_takes_the_last_one_too)
{
    set_up();
    push_some(&theirs, 7, 8);
    check_int(number(weft__nursery_steal(&theirs, &ours, UINT32_MAX)), 7);
    check_int(weft__nursery_size(&theirs), 0);
    check_int(weft__nursery_size(&ours), 0);
}

TEST(a_thief_takes_no_more_than_it_may_or_has_room_for)
{
    set_up();
    push_some(&theirs, 0, 100);
    check_int(number(weft__nursery_steal(&theirs, &ours, 3)), 2);
    check_int(weft__nursery_size(&ours), 2);
    check_int(weft__nursery_size(&theirs), 97);
    push_some(&ours, WEFT__NURSERY_SIZE, 2 * WEFT__NURSERY_SIZE - 3);
    check_int(number(weft__nursery_steal(&theirs, &ours, UINT32_MAX)), 4);
    check_int(weft__nursery_size(&ours), WEFT__NURSERY_SIZE);
    check_int(number(weft__nursery_steal(&theirs, &ours, UINT32_MAX)), 5);
    check_int(weft__nursery_size(&theirs), 94);
}

TEST(shedding_takes_the_older_half_in_order)
{
    struct weft__fiber *shed[WEFT__NURSERY_SIZE / 2];

    set_up();
    push_some(&ours, 0, WEFT__NURSERY_SIZE);
    check_int(weft__nursery_shed(&ours, shed), WEFT__NURSERY_SIZE / 2);
    for (int i = 0; i < (int)WEFT__NURSERY_SIZE / 2; i++)
        check_int(number(shed[i]), i);
    check_int(number(weft__nursery_pop(&ours)), WEFT__NURSERY_SIZE - 1);
    check_int(weft__nursery_size(&ours), WEFT__NURSERY_SIZE / 2 - 1);
}

TEST(slots_go_round)
{
    set_up();
    for (int round = 0; round < 5000; round++) {
        push_some(&theirs, 0, 7);
        check_int(number(weft__nursery_steal(&theirs, &ours, 2)), 1);
        check_int(number(weft__nursery_pop(&ours)), 0);
        for (int i = 6; i >= 2; i--)
            check_int(number(weft__nursery_pop(&theirs)), i);
    }
    check_int(weft__nursery_size(&theirs), 0);
}

/* A slot that is written again after its fiber was taken holds, for a thief that
 * reads late, another fiber than the one it saw counted: the turn tells. */
TEST(a_slot_that_was_filled_again_is_another_turn)
{
    uint64_t before, after;

    set_up();
    push_some(&ours, 0, 4);
    before = atomic_load(&ours.word);
    weft__nursery_pop(&ours);
    push_some(&ours, 10, 11);
    after = atomic_load(&ours.word);
    check_int(weft__nursery_count(after), weft__nursery_count(before));
    check_int(weft__nursery_first(after), weft__nursery_first(before));
    check(after != before);
}

/* ---- one owner, three thieves ---- */

#define N_ROUNDS 200000
#define N_THIEVES 3

static _Atomic uint32_t n_taken[2 * WEFT__NURSERY_SIZE];
static _Atomic bool is_over;
static _Atomic uint64_t n_stolen;

static void take(struct weft__fiber *fiber)
{
    atomic_fetch_add_explicit(&n_taken[fiber - fibers], 1, memory_order_relaxed);
}

static void *rob(void *arg)
{
    static struct weft__nursery of_thief[N_THIEVES];
    struct weft__nursery *mine = &of_thief[(uintptr_t)arg];
    struct weft__fiber *fiber;

    weft__nursery_init(mine);
    while (!atomic_load_explicit(&is_over, memory_order_acquire)) {
        fiber = weft__nursery_steal(&ours, mine, 5);
        for (; fiber != NULL; fiber = weft__nursery_pop(mine)) {
            take(fiber);
            atomic_fetch_add_explicit(&n_stolen, 1, memory_order_relaxed);
        }
    }
    return NULL;
}

TEST(each_fiber_is_popped_or_stolen_once_while_the_owner_goes_up_and_down)
{
    pthread_t thieves[N_THIEVES];
    uint64_t n_pushed[2 * WEFT__NURSERY_SIZE] = {0};
    struct weft__rand rand;
    struct weft__fiber *fiber;
    uint32_t next = 0;

    set_up();
    weft__rand_init(&rand, 1, 1);
    for (uintptr_t i = 0; i < N_THIEVES; i++)
        check_int(pthread_create(&thieves[i], NULL, rob, (void *)i), 0);
    for (int round = 0; round < N_ROUNDS; round++) {
        uint32_t n = 1 + weft__rand_below(&rand, 8);

        /* No fiber is in twice: there are twice as many as fit. */
        for (uint32_t i = 0; i < n; i++, next = (next + 1) % (2 * WEFT__NURSERY_SIZE)) {
            if (!weft__nursery_push(&ours, &fibers[next]))
                break;
            n_pushed[next]++;
        }
        for (uint32_t i = weft__rand_below(&rand, 9); i > 0; i--) {
            fiber = weft__nursery_pop(&ours);
            if (fiber != NULL)
                take(fiber);
        }
    }
    while ((fiber = weft__nursery_pop(&ours)) != NULL)
        take(fiber);
    atomic_store_explicit(&is_over, true, memory_order_release);
    for (int i = 0; i < N_THIEVES; i++)
        pthread_join(thieves[i], NULL);
    for (size_t i = 0; i < sizeof fibers / sizeof fibers[0]; i++)
        check_int(n_taken[i], n_pushed[i]);
    diag("%llu stolen", (unsigned long long)n_stolen);
}

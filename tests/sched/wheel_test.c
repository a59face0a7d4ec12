/* wheel_test.c - timers on a clock of steps: when they fire, in which order,
 * and a naive list of all of them to compare with. */
#include "sched/wheel.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/rand.h"
#include "tap.h"

#define MS INT64_C(1000000)
#define START_NS (INT64_C(123456789) * 1000)
#define ALL UINT32_MAX

struct alarm {
    struct weft__timer timer; /* first */
    int id;
};

static struct weft__wheel wheel;
static struct alarm alarms[4000];
static int fired[4000];
static int n_fired;

static void note(struct weft__timer *timer)
{
    fired[n_fired++] = ((struct alarm *)(void *)timer)->id;
}

static const struct weft__timer_kind note_kind = {.fire = note};

static void set_up(void)
{
    weft__wheel_init(&wheel, START_NS);
    n_fired = 0;
    for (int i = 0; i < 4000; i++) {
        weft__timer_init(&alarms[i].timer, &note_kind);
        alarms[i].id = i;
    }
}

static void add(int i, int64_t delay_ns)
{
    weft__wheel_add(&wheel, &alarms[i].timer, delay_ns);
}

static bool add_at(int i, int64_t when_ns)
{
    return weft__wheel_add_at(&wheel, &alarms[i].timer, when_ns);
}

/* All that there is to do at a time, which may take more than one turn. */
static uint32_t turn(int64_t now_ns)
{
    uint32_t n = 0;

    do {
        n += weft__wheel_turn(&wheel, now_ns, ALL);
        weft__wheel_check(&wheel);
    } while (weft__wheel_next(&wheel) <= now_ns && weft__wheel_size(&wheel) > 0);
    return n;
}

TEST(an_empty_wheel_has_nothing_to_do)
{
    set_up();
    check_int(weft__wheel_next(&wheel), INT64_MAX);
    check_int(turn(START_NS + 1000 * MS), 0);
    check_int(weft__wheel_size(&wheel), 0);
}

TEST(a_timer_fires_once_at_its_time_and_not_before)
{
    set_up();
    add(0, 5 * MS);
    check_int(turn(START_NS), 0);
    check_int(turn(START_NS + 5 * MS - 1), 0);
    check_int(turn(START_NS + 5 * MS), 1);
    check_int(turn(START_NS + 50 * MS), 0);
    check_int(n_fired, 1);
}

TEST(a_delay_counts_from_the_next_turn)
{
    set_up();
    add(0, 5 * MS);
    check_int(weft__wheel_next(&wheel), 0);
    check_int(turn(START_NS + 3 * MS), 0);
    check_int(weft__wheel_next(&wheel), START_NS + 8 * MS);
    check_int(turn(START_NS + 8 * MS - 1), 0);
    check_int(turn(START_NS + 8 * MS), 1);
}

TEST(a_turn_that_may_fire_nothing_starts_the_fresh_ones)
{
    set_up();
    check_int(weft__wheel_add(&wheel, &alarms[0].timer, 0), 1);
    check_int(weft__wheel_add(&wheel, &alarms[1].timer, 5 * MS), 2);
    check_int(weft__wheel_turn(&wheel, START_NS, 0), 0);
    weft__wheel_check(&wheel);
    check_int(weft__wheel_left(&alarms[1].timer, START_NS + MS), 4 * MS);
    check_int(weft__wheel_add(&wheel, &alarms[2].timer, 5 * MS), 1);
    check_int(turn(START_NS + MS), 1);
    check_int(fired[0], 0);
}

TEST(no_delay_fires_at_the_next_turn)
{
    set_up();
    add(0, 0);
    check_int(turn(START_NS + 1), 1);
}

TEST(a_time_in_the_past_fires_at_the_next_turn)
{
    set_up();
    check(add_at(0, 1));
    check(add_at(1, -1) == false);
    check_int(turn(START_NS + 1), 2);
    check_int(fired[0], 0);
}

TEST(timers_fire_in_order_of_expiry_to_the_nanosecond)
{
    set_up();
    for (int i = 0; i < 100; i++)
        add_at(i, START_NS + MS - i);
    add_at(100, START_NS + 3600000 * MS);
    add_at(101, START_NS + 1);
    check_int(turn(START_NS + 2 * MS), 101);
    check_int(fired[0], 101);
    for (int i = 0; i < 100; i++)
        check_int(fired[1 + i], 99 - i);
}

/* Timers for one expiry, set as time goes on: they enter at ever lower levels. */
TEST(timers_of_one_expiry_fire_in_order_of_creation, "PROC-66")
{
    int64_t when_ns = START_NS + 7200000 * MS;
    int64_t now_ns = START_NS;
    int n = 0;

    set_up();
    while (now_ns < when_ns) {
        add_at(n++, when_ns);
        add(n++, when_ns - now_ns);
        turn(now_ns);
        now_ns += (when_ns - now_ns) / 3 + 1;
    }
    add_at(n++, when_ns - 5);
    check_gt(n, 50);
    turn(when_ns);
    check_int(n_fired, n);
    check_int(fired[0], n - 1);
    for (int i = 0; i < n - 1; i++)
        check_int(fired[1 + i], i);
}

TEST(timers_of_one_delay_fire_in_order_of_creation, "PROC-66")
{
    set_up();
    for (int i = 0; i < 2000; i++)
        add(i, 100 * MS);
    turn(START_NS);
    turn(START_NS + 100 * MS);
    check_int(n_fired, 2000);
    for (int i = 0; i < n_fired; i++)
        check_int(fired[i], i);
}

TEST(a_cancelled_timer_never_fires)
{
    set_up();
    add(0, 5 * MS);
    check_int(weft__wheel_cancel(&alarms[0].timer, START_NS), 5 * MS);
    check_int(weft__wheel_next(&wheel), INT64_MAX);
    add(0, 5 * MS);
    turn(START_NS);
    check_int(weft__wheel_left(&alarms[0].timer, START_NS + MS), 4 * MS);
    check_int(weft__wheel_cancel(&alarms[0].timer, START_NS + 2 * MS), 3 * MS);
    check_int(weft__wheel_cancel(&alarms[0].timer, START_NS + 2 * MS), -1);
    check_int(turn(START_NS + 100 * MS), 0);
    check_int(weft__wheel_next(&wheel), INT64_MAX);
}

TEST(cancelling_says_whether_it_was_in_time)
{
    set_up();
    check_int(weft__wheel_cancel(&alarms[0].timer, START_NS), -1);
    check_int(weft__wheel_left(&alarms[0].timer, START_NS), -1);
    add(0, MS);
    turn(START_NS);
    check_int(weft__wheel_cancel(&alarms[0].timer, START_NS + 9 * MS), 0);
    add(0, MS);
    turn(START_NS + 10 * MS);
    turn(START_NS + 11 * MS);
    check_int(n_fired, 1);
    check_int(weft__wheel_cancel(&alarms[0].timer, START_NS), -1);
}

TEST(a_turn_fires_no_more_than_it_may)
{
    set_up();
    for (int i = 0; i < 10; i++)
        add(i, MS);
    turn(START_NS);
    check_int(weft__wheel_turn(&wheel, START_NS + 2 * MS, 4), 4);
    check_le(weft__wheel_next(&wheel), START_NS + 2 * MS);
    add(10, 0);
    check_int(weft__wheel_turn(&wheel, START_NS + 2 * MS, 4), 4);
    weft__wheel_check(&wheel);
    check_int(weft__wheel_turn(&wheel, START_NS + 2 * MS, 4), 3);
    check_gt(weft__wheel_next(&wheel), START_NS + 2 * MS);
    for (int i = 0; i < n_fired; i++)
        check_int(fired[i], i);
}

TEST(a_far_timer_costs_one_wake_up)
{
    int n_turns = 0;

    set_up();
    add(0, INT64_C(90) * 86400000 * MS + 12345);
    turn(START_NS);
    for (int64_t now_ns = START_NS; n_fired == 0; n_turns++) {
        now_ns = weft__wheel_next(&wheel);
        turn(now_ns);
    }
    check_int(n_turns, 1);
}

TEST(a_cancelled_timer_costs_one_wake_up_at_most)
{
    set_up();
    add(0, MS);
    add(1, 1000 * MS);
    turn(START_NS);
    weft__wheel_cancel(&alarms[0].timer, START_NS);
    check_int(turn(START_NS + MS), 0);
    check_int(weft__wheel_next(&wheel), START_NS + 1000 * MS);
}

TEST(the_farthest_times_are_far)
{
    set_up();
    add(0, INT64_MAX);
    add_at(1, INT64_MAX);
    add(2, INT64_MAX - 1);
    turn(START_NS);
    check_int(turn(INT64_MAX - 1), 0);
    check_int(turn(INT64_MAX), 3);
    check_int(fired[0], 0);
    check_int(fired[2], 2);
}

TEST(a_helper_fires_what_is_due_and_starts_no_fresh_ones)
{
    set_up();
    add_at(0, START_NS + MS);
    add(1, 0);
    check_int(weft__wheel_due(&wheel), START_NS + MS);
    check_int(weft__wheel_help(&wheel, START_NS + MS - 1, ALL), 0);
    check_int(weft__wheel_help(&wheel, START_NS + MS, ALL), 1);
    check_int(fired[0], 0);
    check_int(weft__wheel_next(&wheel), 0);
    check_int(turn(START_NS + MS), 1);
}

static int n_warmed, n_fired_cold;

/* Each is warmed once, in the order they fire in. */
static void warm_next(const struct weft__timer *timer)
{
    check_int(((const struct alarm *)(const void *)timer)->id, n_warmed);
    n_warmed++;
}

static void note_cold(struct weft__timer *timer)
{
    n_fired_cold += ((struct alarm *)(void *)timer)->id >= n_warmed;
    note(timer);
    free(timer);
}

static const struct weft__timer_kind cold_kind = {.fire = note_cold, .warm = warm_next};

TEST(a_timer_is_warmed_before_it_fires_and_not_after)
{
    set_up();
    for (int i = 0; i < 10; i++) {
        struct alarm *own = malloc(sizeof *own);

        weft__timer_init(&own->timer, &cold_kind);
        own->id = i;
        weft__wheel_add_at(&wheel, &own->timer, START_NS + MS + i);
    }
    check_int(weft__wheel_turn(&wheel, START_NS + 2 * MS, ALL), 10);
    check_int(n_warmed, 10);
    check_int(n_fired_cold, 0);
}

TEST(a_later_timer_does_not_ask_for_a_wake_up)
{
    set_up();
    check(add_at(0, START_NS + 10 * MS));
    check(!add_at(1, START_NS + 11 * MS));
    check(add_at(2, START_NS + 9 * MS));
    check_int(weft__wheel_next(&wheel), START_NS + 9 * MS);
}

static void free_it(struct weft__timer *timer)
{
    note(timer);
    free(timer);
}

static const struct weft__timer_kind free_it_kind = {.fire = free_it};

TEST(a_timer_may_be_freed_when_it_fires)
{
    set_up();
    for (int i = 0; i < 10; i++) {
        struct alarm *own = malloc(sizeof *own);

        weft__timer_init(&own->timer, &free_it_kind);
        own->id = i;
        weft__wheel_add(&wheel, &own->timer, MS);
    }
    turn(START_NS);
    check_int(turn(START_NS + MS), 10);
}

/* More than one turn may move down at once: none may overtake meanwhile. */
TEST(a_crowd_that_moves_down_in_parts_keeps_its_order)
{
    enum { N = 20000 };
    struct alarm *crowd = calloc(N, sizeof *crowd);
    int64_t when_ns = START_NS + 1000 * MS;
    static int got[N + 1];
    int n_turns = 0, n_wrong = 0;

    set_up();
    for (int i = 0; i < N; i++) {
        weft__timer_init(&crowd[i].timer, &note_kind);
        crowd[i].id = i;
        weft__wheel_add_at(&wheel, &crowd[i].timer, when_ns);
    }
    while (weft__wheel_size(&wheel) > 0) {
        n_fired = 0;
        weft__wheel_turn(&wheel, when_ns, 1000);
        weft__wheel_check(&wheel);
        if (++n_turns == 1) /* created last, so fires last */
            add_at(N % 4000, when_ns);
        for (int i = 0; i < n_fired; i++)
            got[N + 1 - (int)weft__wheel_size(&wheel) - n_fired + i] = fired[i];
    }
    for (int i = 0; i < N; i++)
        n_wrong += got[i] != i;
    check_int(n_wrong, 0);
    check_int(got[N], N % 4000);
    check_gt(n_turns, N / 1000);
    free(crowd);
}

TEST(timers_can_be_cancelled_and_freed_while_a_crowd_moves_down)
{
    enum { N = 3000 };
    struct alarm *crowd[N];
    int64_t when_ns = START_NS + 1000 * MS;
    struct weft__rand rand;
    int n_cancelled = 0;

    set_up();
    weft__rand_init(&rand, 4, 0);
    for (int i = 0; i < N; i++) {
        crowd[i] = malloc(sizeof *crowd[i]);
        weft__timer_init(&crowd[i]->timer, &note_kind);
        weft__wheel_add_at(&wheel, &crowd[i]->timer, when_ns + (int64_t)weft__rand_below(&rand, 10000000));
    }
    while (weft__wheel_size(&wheel) > 0) {
        for (int n = 0; n < 200; n++) {
            int i = n < 50 ? N - 1 - n_cancelled : (int)weft__rand_below(&rand, N);

            if (crowd[i] == NULL || weft__wheel_cancel(&crowd[i]->timer, 0) < 0)
                continue;
            free(crowd[i]);
            crowd[i] = NULL;
            n_cancelled++;
        }
        weft__wheel_turn(&wheel, when_ns + 10 * MS, ALL);
        weft__wheel_check(&wheel);
    }
    check_int(n_fired + n_cancelled, N);
    check_gt(n_cancelled, 500);
    for (int i = 0; i < N; i++)
        free(crowd[i]);
}

/* ---- against a list ---- */

struct model {
    enum { IDLE, FRESH, FRESH_AT, SET } state;
    int64_t when_ns;
    int64_t created;
    int id;
};

static struct model models[4000];
static int64_t now_ns, n_created;

static int64_t model_left(const struct model *model)
{
    if (model->state == IDLE)
        return -1;
    if (model->state == FRESH)
        return model->when_ns;
    return model->when_ns > now_ns ? model->when_ns - now_ns : 0;
}

static bool model_has_fresh(void)
{
    for (int i = 0; i < 4000; i++)
        if (models[i].state == FRESH || models[i].state == FRESH_AT)
            return true;
    return false;
}

static void model_start(struct model *model)
{
    if (model->state == FRESH)
        model->when_ns += now_ns;
    else if (model->when_ns < now_ns)
        model->when_ns = now_ns;
    model->state = SET;
}

static int by_expiry(const void *left, const void *right)
{
    const struct model *a = left, *b = right;

    if (a->when_ns != b->when_ns)
        return a->when_ns < b->when_ns ? -1 : 1;
    return a->created < b->created ? -1 : 1;
}

/* What a turn fires, in order; the time after it at which there is more. */
static int model_turn(struct model *due, int64_t *next_ns)
{
    int n = 0;

    *next_ns = INT64_MAX;
    for (int i = 0; i < 4000; i++) {
        if (models[i].state == FRESH || models[i].state == FRESH_AT)
            model_start(&models[i]);
        if (models[i].state == SET && models[i].when_ns <= now_ns) {
            due[n++] = models[i];
            models[i].state = IDLE;
        } else if (models[i].state == SET && models[i].when_ns < *next_ns) {
            *next_ns = models[i].when_ns;
        }
    }
    qsort(due, (size_t)n, sizeof *due, by_expiry);
    return n;
}

/* From nanoseconds to months, each size as likely. */
static int64_t some_time(struct weft__rand *rand)
{
    return (int64_t)(weft__rand_next(rand) >> (11 + weft__rand_below(rand, 53)));
}

static void set_random(struct weft__rand *rand, int i)
{
    struct model *model = &models[i];

    model->created = n_created++;
    if (weft__rand_below(rand, 2) == 0) {
        model->state = FRESH;
        model->when_ns = weft__rand_below(rand, 8) == 0 ? 0 : some_time(rand);
        add(i, model->when_ns);
    } else {
        bool has_fresh = model_has_fresh();
        int64_t when_ns = now_ns + some_time(rand) - 1000;

        model->state = has_fresh ? FRESH_AT : SET;
        /* Past is what the wheel has seen go by. */
        model->when_ns = when_ns > wheel.now_ns ? when_ns : wheel.now_ns;
        add_at(i, when_ns);
    }
}

static void compare_turn(struct weft__rand *rand)
{
    static struct model due[4000];
    int64_t next_ns;
    int n;

    if (weft__rand_below(rand, 4) == 0 && weft__wheel_next(&wheel) > now_ns
        && weft__wheel_next(&wheel) != INT64_MAX)
        now_ns = weft__wheel_next(&wheel);
    else
        now_ns += some_time(rand) >> weft__rand_below(rand, 20);
    n = model_turn(due, &next_ns);
    n_fired = 0;
    do {
        weft__wheel_turn(&wheel, now_ns, 1 + weft__rand_below(rand, 100));
        weft__wheel_check(&wheel);
    } while (weft__wheel_next(&wheel) <= now_ns);
    check_int(n_fired, n);
    for (int i = 0; i < n; i++)
        check_int(fired[i], due[i].id);
    check_le(weft__wheel_next(&wheel), next_ns);
}

static void compare_step(struct weft__rand *rand, uint32_t n_alarms)
{
    int i = (int)weft__rand_below(rand, n_alarms);
    uint32_t what = weft__rand_below(rand, 100);

    if (what < 60 && models[i].state == IDLE) {
        set_random(rand, i);
    } else if (what < 80) {
        check_int(weft__wheel_left(&alarms[i].timer, now_ns), model_left(&models[i]));
        check_int(weft__wheel_cancel(&alarms[i].timer, now_ns), model_left(&models[i]));
        models[i].state = IDLE;
    } else if (what >= 97) {
        compare_turn(rand);
    }
}

static void compare(uint64_t seed, uint32_t n_alarms, int n_steps)
{
    struct weft__rand rand;

    set_up();
    memset(models, 0, sizeof models);
    for (int i = 0; i < 4000; i++)
        models[i].id = i;
    now_ns = START_NS;
    weft__rand_init(&rand, seed, 0);
    for (int step = 0; step < n_steps; step++)
        compare_step(&rand, n_alarms);
}

TEST(few_timers_fire_as_a_sorted_list_says)
{
    for (uint64_t seed = 0; seed < 20; seed++)
        compare(seed, 10, 2000);
}

TEST(many_timers_fire_as_a_sorted_list_says)
{
    for (uint64_t seed = 100; seed < 103; seed++)
        compare(seed, 4000, 20000);
}

/* ---- many threads ---- */

#define N_CANCELLERS 7
#define N_SHARED 512
#define N_ADDS 200000

/* A timer set by the owner is claimed by at most one canceller; who gets it
 * from "set" makes it free again. */
enum { FREE, ARMED, CLAIMED };

struct shared {
    struct weft__timer timer; /* first */
    _Atomic int state;
    int64_t n_fired;          /* plain: seen after cancel says -1 */
};

static struct shared shared[N_SHARED];
static _Atomic int64_t clock_ns;
static _Atomic int is_over;
static _Atomic int64_t n_cancelled, n_lost, n_all_fired;

static void fire_shared(struct weft__timer *timer)
{
    struct shared *one = (struct shared *)(void *)timer;
    int armed = ARMED;

    one->n_fired++;
    atomic_fetch_add_explicit(&n_all_fired, 1, memory_order_relaxed);
    /* Fails when a canceller has it: that one frees it. */
    atomic_compare_exchange_strong(&one->state, &armed, FREE);
}

static const struct weft__timer_kind fire_shared_kind = {.fire = fire_shared};

static void cancel_one(struct shared *one)
{
    int armed = ARMED;
    int64_t before;

    if (!atomic_compare_exchange_strong(&one->state, &armed, CLAIMED))
        return;
    if (weft__wheel_cancel(&one->timer, 0) >= 0) {
        atomic_fetch_add_explicit(&n_cancelled, 1, memory_order_relaxed);
        before = one->n_fired;
    } else {
        before = one->n_fired - 1;
    }
    if (before < 0 || weft__wheel_cancel(&one->timer, 0) != -1)
        atomic_fetch_add(&n_lost, 1);
    atomic_store(&one->state, FREE);
}

static void *cancel_and_help(void *arg)
{
    struct weft__rand rand;

    weft__rand_init(&rand, 2, (uint64_t)(uintptr_t)arg);
    while (!atomic_load(&is_over)) {
        for (int i = 0; i < 20; i++)
            cancel_one(&shared[weft__rand_below(&rand, N_SHARED)]);
        weft__wheel_help(&wheel, atomic_load(&clock_ns), 10);
        sched_yield();
    }
    return NULL;
}

static int64_t own_wheel(void)
{
    struct weft__rand rand;
    int64_t n_added = 0;

    weft__rand_init(&rand, 2, N_CANCELLERS + 1);
    while (n_added < N_ADDS) {
        for (int i = 0; i < 50; i++) {
            struct shared *one = &shared[weft__rand_below(&rand, N_SHARED)];

            if (atomic_load(&one->state) != FREE)
                continue;
            /* Armed before it is set would let a canceller in too early. */
            weft__wheel_add(&wheel, &one->timer, weft__rand_below(&rand, 4000000));
            n_added++;
            atomic_store(&one->state, ARMED);
        }
        weft__wheel_turn(&wheel, atomic_fetch_add(&clock_ns, 100000), 20);
    }
    return n_added;
}

TEST(every_timer_is_fired_or_cancelled_exactly_once)
{
    pthread_t threads[N_CANCELLERS];
    int64_t n_added;

    weft__wheel_init(&wheel, START_NS);
    atomic_store(&clock_ns, START_NS);
    for (int i = 0; i < N_SHARED; i++)
        weft__timer_init(&shared[i].timer, &fire_shared_kind);
    for (uintptr_t i = 0; i < N_CANCELLERS; i++)
        check_int(pthread_create(&threads[i], NULL, cancel_and_help, (void *)i), 0);
    n_added = own_wheel();
    atomic_store(&is_over, 1);
    for (int i = 0; i < N_CANCELLERS; i++)
        pthread_join(threads[i], NULL);
    weft__wheel_check(&wheel);
    check_int(n_lost, 0);
    check_int(n_added, n_cancelled + n_all_fired + (int64_t)weft__wheel_size(&wheel));
    diag("%ld set, %ld cancelled, %ld fired", (long)n_added, (long)n_cancelled, (long)n_all_fired);
}

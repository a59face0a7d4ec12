/* stream_test.c - streams of tasks: order, bounds, timeouts, failures, stops. */
#include "proc/process_test.h"

#include "proc/runtime.h"
#include "weft/task.h"

/* -- what tasks do, and what is counted ------------------------------------------------ */

static _Atomic int n_started, n_done, n_alive, n_alive_max;
static _Atomic bool is_open;         /* lets waits_for_gate through */
static _Atomic uint64_t pids[4096];  /* of tasks, by their argument */
static _Atomic uint64_t ended[4096]; /* the same, once their end runs */

/* A defer. arg: its pid's place. */
static void note_end(void *arg)
{
    _Atomic uint64_t *pid = arg;

    atomic_store(&ended[pid - pids], atomic_load(pid));
}

static void count_start(weft_term arg)
{
    int alive = atomic_fetch_add(&n_alive, 1) + 1;
    int most = atomic_load(&n_alive_max);

    while (alive > most && !atomic_compare_exchange_weak(&n_alive_max, &most, alive))
        ;
    if (weft_is_int(arg) && (uint64_t)weft_to_int(arg) < COUNT(pids)) {
        weft_defer(note_end, &pids[weft_to_int(arg)]);
        atomic_store(&pids[weft_to_int(arg)], weft_self().bits);
    }
    atomic_fetch_add(&n_started, 1);
}

static void count_end(void)
{
    atomic_fetch_sub(&n_alive, 1);
    atomic_fetch_add(&n_done, 1);
}

static weft_pid pid_of(int i)
{
    return (weft_pid){atomic_load(&pids[i])};
}

/* Wait until tasks 0 to n - 1 have begun. */
static void await_started(int n)
{
    int64_t until = now_ms() + BOUND_MS;

    for (int i = 0; i < n; i++) {
        while (atomic_load(&pids[i]) == 0 && now_ms() < until)
            weft_yield();
        check(atomic_load(&pids[i]) != 0);
    }
}

static void forget_started(void)
{
    for (size_t i = 0; i < COUNT(pids); i++)
        atomic_store(&pids[i], 0);
}

static weft_term square(weft_term n)
{
    int64_t i = weft_to_int(n);

    return weft_int(i * i);
}

static weft_term counted(weft_term n)
{
    count_start(n);
    weft_yield();
    weft_yield();
    count_end();
    return n;
}

static weft_term who(weft_term arg)
{
    (void)arg;
    return weft_self();
}

static weft_term sleeps_ms(weft_term ms)
{
    weft_sleep(weft_to_int(ms));
    return ms;
}

static weft_term hangs(weft_term n)
{
    count_start(n);
    weft_sleep(WEFT_INFINITY);
    return n;
}

static weft_term hangs_and_traps(weft_term n)
{
    weft_trap_exit(true);
    count_start(n);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return n;
}

/* Item 0 hangs, the others are quick. */
static weft_term first_hangs(weft_term n)
{
    return weft_to_int(n) == 0 ? hangs(n) : counted(n);
}

static weft_term first_waits_for_gate(weft_term n)
{
    count_start(n);
    while (weft_to_int(n) == 0 && !atomic_load(&is_open))
        weft_sleep(1);
    count_end();
    return n;
}

/* Item 2 exits with {:boom, 2}, the others give their square. */
static weft_term third_fails(weft_term n)
{
    if (weft_to_int(n) == 2)
        weft_exit(weft_tuple(A(boom), n));
    return square(n);
}

static weft_term exits_normally(weft_term n)
{
    (void)n;
    weft_exit(A(normal));
}

/* -- helpers ------------------------------------------------------------------------------ */

static weft_term range(int n)
{
    weft_term list = weft_empty_list;

    while (n-- > 0)
        list = weft_cons(weft_int(n), list);
    return list;
}

/* A source that counts: 0, 1, 2, ... */
struct counter {
    int64_t next, end;
    weft_pid consumer;
    int max_concurrency;
    int fail_at;         /* -1: never */
    bool is_inside;
    int n_opened, n_closed, n_asked;
};

static bool counter_next(void *state, weft_term *item)
{
    struct counter *counter = state;

    check(!counter->is_inside);
    counter->is_inside = true;
    counter->n_asked++;
    if (!weft_is_none(counter->consumer))
        check_term(weft_self(), counter->consumer);
    if (counter->max_concurrency > 0)
        check_lt(atomic_load(&n_alive), counter->max_concurrency);
    if (counter->fail_at >= 0 && counter->next == counter->fail_at)
        weft_exit(A(source_failed));
    counter->is_inside = false;
    if (counter->next >= counter->end)
        return false;
    *item = weft_int(counter->next++);
    return true;
}

static void counter_open(void *state)
{
    struct counter *counter = state;

    counter->next = 0;
    counter->n_opened++;
}

static void counter_close(void *state)
{
    ((struct counter *)state)->n_closed++;
}

static struct counter counter_to(int64_t end)
{
    return (struct counter){.end = end, .fail_at = -1};
}

static weft_source source_of(struct counter *counter)
{
    return (weft_source){
        .next = counter_next, .close = counter_close, .state = counter, .open = counter_open};
}

static void check_nothing_left(void)
{
    weft_yield();
    if (!check_int(weft_message_queue_len(), 0))
        show_mailbox();
    check_term(info_of(weft_self(), A(links)), weft_empty_list);
    check_term(info_of(weft_self(), A(monitors)), weft_empty_list);
}

static weft_term end_of(weft_fn *fn, weft_term arg)
{
    weft_ref ref;

    weft_spawn(fn, arg, .monitor = &ref);
    return await_down(ref);
}

/* Dead, and not just killed: a process is not alive from the kill on. One that was
 * killed before it began left no pid. */
static void check_dead(int n)
{
    for (int i = 0; i < n; i++) {
        if (atomic_load(&pids[i]) == 0)
            continue;
        check(!weft_is_alive(pid_of(i)));
        check_uint(atomic_load(&ended[i]), pid_of(i).bits);
    }
}

/* -- shape and order --------------------------------------------------------------------------- */

PROCESS_TEST(creating_a_stream_starts_nothing_and_each_consumption_everything, "TASK-39")
{
    struct counter counter = counter_to(5);
    weft_stream stream = weft_task_async_stream(source_of(&counter), counted);

    weft_yield();
    check_int(counter.n_asked, 0);
    check_int(counter.n_opened, 0);
    check_int(atomic_load(&n_started), 0);
    for (int round = 1; round <= 2; round++) {
        int64_t i = 0;

        weft_stream_each (item, &stream)
            check_term(item.value, weft_int(i++));
        check_int(i, 5);
        check_int(atomic_load(&n_started), 5 * round);
        check_int(counter.n_opened, round);
        check_int(counter.n_closed, round);
    }
}

static weft_stream shared_stream;

static weft_term callers_here(weft_term arg)
{
    (void)arg;
    return weft_head(weft_task_callers());
}

static weft_term consumes_shared(weft_term arg)
{
    (void)arg;
    weft_stream_each (item, &shared_stream)
        check_term(item.value, weft_self());
    return A(ok);
}

PROCESS_TEST(the_consuming_process_owns_the_tasks, "TASK-39 TASK-5")
{
    shared_stream = weft_task_async_stream(range(3), callers_here);
    check_term(end_of(consumes_shared, weft_none), A(normal));
    consumes_shared(weft_none);
}

static weft_term makes_bad_stream(weft_term way)
{
    weft_term list = weft_empty_list;

    switch (weft_to_int(way)) {
    case 0: weft_task_async_stream(list, square, .max_concurrency = 0); break;
    case 1: weft_task_async_stream(list, square, .max_concurrency = -3); break;
    case 2: weft_task_async_stream(list, square, .timeout_ms = -1); break;
    case 3: weft_task_async_stream(list, square, .on_timeout = WEFT_IGNORE_TASK); break;
    case 4: weft_task_async_stream(list, square, .deadline_ms = -1); break;
    case 5: weft_task_async_stream(list, square, .max_buffered = 0); break;
    case 6: weft_task_async_stream(list, square, .stack_size = (size_t)1 << 40); break;
    case 7: weft_task_async_stream(list, square, .shutdown_ms = -5); break;
    case 8: weft_task_async_stream(A(nothing), square); break;
    default: weft_task_async_stream(list, (weft_task_fn *)NULL); break;
    }
    return A(ok);
}

PROCESS_TEST(bad_options_are_named_when_a_stream_is_made, "TASK-40")
{
    static const char *const words[] = {
        ".max_concurrency is 0", ".max_concurrency is -3", ".timeout_ms is -1", ".on_timeout",
        ".deadline_ms", ".max_buffered", ".stack_size", ".shutdown_ms", ":nothing is no list", "NULL"};

    for (size_t way = 0; way < COUNT(words); way++) {
        weft_term text = weft_none;

        if (check_fits(end_of(makes_bad_stream, weft_int((int64_t)way)),
                       weft_tuple(A(badarg), weft_bind(&text))))
            check_has(weft_text(text), words[way]);
    }
}

static weft_term consumes_by_default(weft_term arg)
{
    weft_stream stream = weft_task_async_stream(range(100), hangs, .timeout_ms = WEFT_INFINITY);

    (void)arg;
    weft_stream_each (item, &stream)
        check(item.ok);
    return A(ok);
}

PROCESS_TEST(by_default_there_is_a_task_for_each_worker, "TASK-40")
{
    int n_workers = (int)weft__runtime()->sched->n_workers;
    weft_pid consumer = weft_spawn(consumes_by_default, weft_none);

    await_count(&n_started, n_workers);
    weft_sleep(QUIET_MS);
    check_int(atomic_load(&n_started), n_workers);
    weft_kill(consumer);
}

PROCESS_TEST(items_are_values_or_reasons, "TASK-41")
{
    weft_stream stream = weft_task_async_stream(range(4), third_fails);
    int64_t i = 0;

    weft_trap_exit(true);
    weft_stream_each (item, &stream) {
        check_int(item.index, i);
        check_term(item.input, weft_int(i));
        check_int(item.ok, i != 2);
        if (item.ok) {
            check_term(item.value, weft_int(i * i));
            check(weft_is_none(item.reason));
        } else {
            check_term(item.reason, weft_tuple(A(boom), weft_int(2)));
            check(weft_is_none(item.value));
        }
        i++;
    }
    check_int(i, 4);
}

static void run_bounded(int max_concurrency, bool ordered)
{
    struct counter counter = counter_to(scaled(500));
    weft_stream stream;
    int n = 0;

    counter.max_concurrency = max_concurrency;
    stream = weft_task_async_stream(source_of(&counter), counted, .max_concurrency = max_concurrency,
                                    .ordered = ordered);
    atomic_store(&n_alive_max, 0);
    weft_stream_each (item, &stream)
        n += item.ok;
    check_int(n, scaled(500));
    check_le(atomic_load(&n_alive_max), max_concurrency);
}

PROCESS_TEST(no_more_tasks_live_than_allowed_and_the_source_waits_for_a_slot, "TASK-42")
{
    run_bounded(1, true);
    run_bounded(1, false);
    run_bounded(3, true);
    run_bounded(7, false);
}

PROCESS_TEST(the_source_runs_in_the_consumer_one_item_at_a_time_in_order, "TASK-43")
{
    struct counter counter = counter_to(200);
    weft_stream stream = weft_task_async_stream(source_of(&counter), counted, .max_concurrency = 8);
    int64_t i = 0;

    counter.consumer = weft_self();
    weft_stream_each (item, &stream)
        check_term(item.input, weft_int(i++));
    check_int(i, 200);
}

PROCESS_TEST(an_ordered_stream_delivers_in_the_order_of_its_input, "TASK-44")
{
    weft_term delays = weft_list(weft_int(30), weft_int(1), weft_int(15), weft_int(0));
    weft_stream stream = weft_task_async_stream(delays, sleeps_ms, .max_concurrency = 4);
    weft_term rest = delays;

    weft_stream_each (item, &stream) {
        check_term(item.value, weft_head(rest));
        rest = weft_tail(rest);
    }
    check(weft_is_empty_list(rest));
}

PROCESS_TEST(an_unordered_stream_delivers_as_tasks_end, "TASK-44")
{
    weft_stream stream = weft_task_async_stream(range(20), first_waits_for_gate, .max_concurrency = 4,
                                                .ordered = false);
    int n = 0;

    weft_stream_each (item, &stream) {
        if (n < 19)
            check_ne(item.index, 0);
        else
            check_int(item.index, 0);
        if (++n == 19)
            atomic_store(&is_open, true);
    }
    check_int(n, 20);
}

static weft_term first_waits_for_99(weft_term n)
{
    if (weft_to_int(n) == 0) {
        while (atomic_load(&n_done) < 99)
            weft_sleep(1);
    } else {
        count_start(n);
        count_end();
    }
    return n;
}

PROCESS_TEST(a_slow_head_does_not_hold_slots_of_what_ended_behind_it, "TASK-45")
{
    weft_stream stream = weft_task_async_stream(range(100), first_waits_for_99, .max_concurrency = 2);
    int n = 0;

    weft_stream_each (item, &stream)
        check_int(item.index, n++);
    check_int(n, 100);
}

static _Atomic int n_started_behind;

static weft_term first_looks_at_the_pile(weft_term n)
{
    if (weft_to_int(n) == 0) {
        await_count(&n_started, 1);
        weft_sleep(QUIET_MS);
        atomic_store(&n_started_behind, atomic_load(&n_started));
    } else {
        count_start(n);
        count_end();
    }
    return n;
}

PROCESS_TEST(max_buffered_stops_pulling_behind_a_slow_head, "TASK-45")
{
    weft_stream stream = weft_task_async_stream(range(100), first_looks_at_the_pile, .max_concurrency = 2,
                                                .max_buffered = 10);
    int n = 0;

    weft_stream_each (item, &stream)
        check_int(item.index, n++);
    check_int(n, 100);
    check_le(atomic_load(&n_started_behind), 10);
    check_gt(atomic_load(&n_started_behind), 0);
}

PROCESS_TEST(an_item_is_delivered_when_its_task_has_ended, "TASK-46")
{
    for (int ordered = 0; ordered < 2; ordered++) {
        weft_stream stream = weft_task_async_stream(range(scaled(500)), who, .max_concurrency = 4, .ordered = ordered);

        weft_stream_each (item, &stream)
            check(!weft_is_alive(item.value));
    }
}

PROCESS_TEST(an_empty_source_gives_nothing_and_an_infinite_one_can_be_stopped, "TASK-47")
{
    struct counter none = counter_to(0), all = counter_to(INT64_MAX);
    weft_stream empty = weft_task_async_stream(weft_empty_list, square);
    weft_stream empty_too = weft_task_async_stream(source_of(&none), square);
    weft_stream endless = weft_task_async_stream(source_of(&all), square, .max_concurrency = 3, .max_buffered = 5);
    int n = 0;

    weft_stream_each (item, &empty)
        check(!item.ok);
    weft_stream_each (item, &empty_too)
        check(!item.ok);
    check_int(none.n_closed, 1);
    weft_stream_each (item, &endless) {
        check_term(item.value, weft_int((int64_t)n * n));
        if (++n == 10)
            break;
    }
    check_int(n, 10);
    check_int(all.n_closed, 1);
    check_le(all.n_asked, 10 + 5 + 3); /* delivered, piled up, running */
    check_nothing_left();
}

PROCESS_TEST(two_streams_can_be_consumed_in_lockstep, "TASK-48")
{
    weft_stream squares = weft_task_async_stream(range(50), square);
    weft_stream same = weft_task_async_stream(range(50), counted, .ordered = true, .max_concurrency = 2);
    weft_stream_cursor a = weft_stream_open(&squares), b = weft_stream_open(&same);
    weft_stream_item left, right;
    int64_t i = 0;

    for (;; i++) {
        WEFT_SCOPE;
        bool has_left = weft_stream_next(&a, &left), has_right = weft_stream_next(&b, &right);

        check_int(has_left, has_right);
        if (!has_left || !has_right)
            break;
        check_term(left.value, weft_int(i * i));
        check_term(right.value, weft_int(i));
    }
    check_int(i, 50);
    check(!weft_stream_next(&a, &left));
    weft_stream_close(&a);
    weft_stream_close(&b);
    check_nothing_left();
}

PROCESS_TEST(while_the_consumer_pauses_tasks_go_on_and_none_starts, "TASK-48")
{
    struct counter counter = counter_to(50);
    weft_stream stream = weft_task_async_stream(source_of(&counter), counted, .max_concurrency = 4, .ordered = false);
    weft_stream_cursor cursor = weft_stream_open(&stream);
    weft_stream_item item;
    int n;

    weft_sleep(QUIET_MS);
    check_int(counter.n_asked, 0);
    check(weft_stream_next(&cursor, &item));
    n = counter.n_asked; /* each is a task that was started, or waits for its turn */
    check_ge(n, 4);
    check_le(n, 8);
    await_count(&n_done, n);
    weft_sleep(QUIET_MS);
    check_int(counter.n_asked, n);
    check_int(atomic_load(&n_started), n);
    weft_stream_close(&cursor);
}

PROCESS_TEST(streams_can_be_nested, "TASK-48")
{
    weft_stream outer = weft_task_async_stream(range(5), square), inner = weft_task_async_stream(range(4), square);
    int64_t sum = 0;

    weft_stream_each (i, &outer) {
        weft_stream_each (j, &inner) {
            if (j.index == 3)
                continue;
            sum += weft_to_int(i.value) * 100 + weft_to_int(j.value);
        }
    }
    check_int(sum, (0 + 1 + 4 + 9 + 16) * 300 + 5 * (0 + 1 + 4));
    check_nothing_left();
}

/* -- timeouts ---------------------------------------------------------------------------------- */

PROCESS_TEST(the_timeout_is_each_tasks_own, "TASK-49")
{
    weft_term delays = weft_empty_list;
    weft_stream stream;
    int n = 0;

    for (int i = 0; i < 8; i++)
        delays = weft_cons(weft_int(200), delays);
    /* A machine may stand still for a second. */
    stream = weft_task_async_stream(delays, sleeps_ms, .max_concurrency = 1, .timeout_ms = 1500);
    weft_stream_each (item, &stream)
        n += item.ok;
    check_int(n, 8); /* 1,600 ms in all */
}

PROCESS_TEST(a_slow_consumer_does_not_make_finished_tasks_late, "TASK-49")
{
    weft_stream stream = weft_task_async_stream(range(6), square, .max_concurrency = 3, .timeout_ms = 1500);
    int n = 0;

    weft_stream_each (item, &stream) {
        if (n++ < 1)
            weft_sleep(1600);
        check(item.ok);
    }
    check_int(n, 6);
}

static void check_late_item(weft_task_fn *fn)
{
    weft_stream stream = weft_task_async_stream(range(4), fn, .max_concurrency = 2, .timeout_ms = 1000,
                                                .on_timeout = WEFT_KILL_TASK);
    int64_t began = now_ms();
    int n = 0;

    weft_stream_each (item, &stream) {
        check_int(item.index, n);
        check_int(item.ok, n != 0);
        if (n == 0) {
            check_term(item.reason, A(timeout));
            check_ge(now_ms() - began, 1000);
            check_dead(1);
        }
        n++;
    }
    check_int(n, 4);
    check_nothing_left();
}

static weft_term first_hangs_and_traps(weft_term n)
{
    return weft_to_int(n) == 0 ? hangs_and_traps(n) : counted(n);
}

PROCESS_TEST(a_late_task_is_killed_and_its_item_says_so, "TASK-50")
{
    check_late_item(first_hangs);
    check_late_item(first_hangs_and_traps);
}

PROCESS_TEST(a_late_task_is_found_by_the_coarse_clock_too, "TASK-50")
{
    weft_stream stream = weft_task_async_stream(range(4), first_hangs, .timeout_ms = 1000, .ordered = false,
                                                .on_timeout = WEFT_KILL_TASK);
    int64_t began = now_ms();
    int n = 0;

    weft_stream_each (item, &stream) {
        if (!item.ok)
            check_ge(now_ms() - began, 1000);
        n++;
    }
    check_int(n, 4);
    check_lt(now_ms() - began, 1000 + BOUND_MS);
}

static weft_term waits_for_late_ones(weft_term arg)
{
    weft_stream stream = weft_task_async_stream(range(8), hangs_and_traps, .max_concurrency = 4, .timeout_ms = 50);

    (void)arg;
    weft_stream_each (item, &stream)
        check(!item.ok);
    return A(ok);
}

PROCESS_TEST(a_late_task_ends_the_consumer_once_all_tasks_are_dead, "TASK-51")
{
    weft_term text = weft_none;

    check_fits(end_of(waits_for_late_ones, weft_none),
               weft_tuple(A(timeout), weft_tuple(weft_bind(&text), weft_list(weft_int(50)))));
    check_le(atomic_load(&n_started), 4);
    check_dead(4);
    if (check(weft_is_bin(text))) {
        check_has(weft_text(text), "item 0");
        check_has(weft_text(text), ".on_timeout = WEFT_KILL_TASK");
    }
}

PROCESS_TEST(a_reason_can_come_with_its_input, "TASK-52")
{
    weft_stream fails = weft_task_async_stream(range(3), third_fails, .zip_input_on_exit = true);
    weft_stream late = weft_task_async_stream(range(1), hangs, .zip_input_on_exit = true, .timeout_ms = 10,
                                              .on_timeout = WEFT_KILL_TASK);

    weft_trap_exit(true);
    weft_stream_each (item, &fails) {
        if (item.index == 2)
            check_term(item.reason, weft_tuple(weft_int(2), weft_tuple(A(boom), weft_int(2))));
        else
            check(item.ok);
    }
    weft_stream_each (item, &late)
        check_term(item.reason, weft_tuple(weft_int(0), A(timeout)));
}

/* -- failures ------------------------------------------------------------------------------------ */

static weft_term consumes_third_fails(weft_term arg)
{
    weft_stream stream = weft_task_async_stream(range(100), third_fails);

    (void)arg;
    weft_stream_each (item, &stream)
        check(item.ok);
    return A(ok);
}

PROCESS_TEST(a_crash_ends_a_consumer_that_does_not_trap_with_its_reason, "TASK-53")
{
    check_term(end_of(consumes_third_fails, weft_none), weft_tuple(A(boom), weft_int(2)));
}

PROCESS_TEST(a_consumer_that_traps_gets_the_reason_and_no_message, "TASK-53")
{
    weft_stream stream = weft_task_async_stream(range(10), third_fails, .max_concurrency = 3);
    int n = 0;

    weft_trap_exit(true);
    weft_stream_each (item, &stream)
        n += item.ok;
    check_int(n, 9);
    check_nothing_left();
}

PROCESS_TEST(a_normal_exit_without_answer_is_a_failure, "TASK-54")
{
    weft_stream stream = weft_task_async_stream(range(3), exits_normally);
    int n = 0;

    weft_stream_each (item, &stream) {
        check(!item.ok);
        check_term(item.reason, A(normal));
        n++;
    }
    check_int(n, 3);
}

/* -- stopping --------------------------------------------------------------------------------------- */

static weft_term last_traps(weft_term n)
{
    return weft_to_int(n) == 0 ? counted(n) : weft_to_int(n) % 2 ? hangs_and_traps(n) : hangs(n);
}

static bool leaves_by_return(weft_stream *stream)
{
    weft_stream_each (item, stream) {
        await_started(5);
        return item.ok;
    }
    return false;
}

PROCESS_TEST(leaving_the_loop_kills_what_runs_and_sees_it_dead, "TASK-55")
{
    weft_stream stream = weft_task_async_stream(range(20), last_traps, .max_concurrency = 5);
    weft_stream_cursor cursor;
    weft_stream_item item;

    weft_stream_each (each, &stream) {
        check(each.ok);
        await_started(5);
        break;
    }
    check_dead(5);
    check_nothing_left();

    forget_started();
    check(leaves_by_return(&stream));
    check_dead(5);
    check_nothing_left();

    forget_started();
    cursor = weft_stream_open(&stream);
    check(weft_stream_next(&cursor, &item));
    await_started(5);
    weft_stream_close(&cursor);
    check_dead(5);
    check_nothing_left();
}

PROCESS_TEST(after_any_end_of_consumption_nothing_of_the_stream_is_left, "TASK-56")
{
    for (int traps = 0; traps < 2; traps++) {
        weft_stream squares = weft_task_async_stream(range(100), square, .ordered = traps);
        weft_stream slow = weft_task_async_stream(range(100), first_hangs, .timeout_ms = 10,
                                                  .on_timeout = WEFT_KILL_TASK);
        int n = 0;

        weft_trap_exit(traps);
        weft_stream_each (item, &squares)
            n += item.ok;
        check_int(n, 100);
        check_nothing_left();
        weft_stream_each (item, &slow)
            n++;
        check_int(n, 200);
        check_nothing_left();
        weft_stream_each (item, &squares)
            break;
        check_nothing_left();
    }
}

static struct counter shared_counter;

static weft_term consumes_a_failing_source(weft_term arg)
{
    weft_stream stream = weft_task_async_stream(source_of(&shared_counter), hangs_and_traps, .max_concurrency = 8);

    (void)arg;
    weft_stream_each (item, &stream)
        check(item.ok);
    return A(ok);
}

/* Tasks end soon after their consumer, whose end can be seen first. */
static void await_dead(int n)
{
    for (int i = 0; i < n; i++)
        if (atomic_load(&pids[i]) != 0)
            await_end(pid_of(i));
}

PROCESS_TEST(a_source_that_fails_ends_the_tasks_and_the_consumer, "TASK-57 TASK-59")
{
    shared_counter = counter_to(100);
    shared_counter.fail_at = 5;
    check_term(end_of(consumes_a_failing_source, weft_none), A(source_failed));
    await_dead(5);
    check_int(shared_counter.n_closed, 1);
}

static weft_term fails_in_the_body(weft_term reason)
{
    weft_stream stream = weft_task_async_stream(source_of(&shared_counter), last_traps, .max_concurrency = 5);

    weft_stream_each (item, &stream) {
        check(item.ok);
        await_started(5);
        weft_exit(reason);
    }
    return A(ok);
}

PROCESS_TEST(a_consumer_that_fails_stops_the_source_and_the_tasks, "TASK-58 TASK-59 TASK-60")
{
    shared_counter = counter_to(100);
    check_term(end_of(fails_in_the_body, A(boom)), A(boom));
    check_int(shared_counter.n_closed, 1);
    await_dead(5);
}

PROCESS_TEST(the_source_is_closed_once_at_the_end_and_at_an_early_stop, "TASK-59")
{
    struct counter counter = counter_to(10);
    weft_stream stream = weft_task_async_stream(source_of(&counter), square);
    weft_stream_cursor cursor;
    weft_stream_item item;

    weft_stream_each (each, &stream)
        check(each.ok);
    check_int(counter.n_closed, 1);
    weft_stream_each (each, &stream)
        break;
    check_int(counter.n_closed, 2);
    cursor = weft_stream_open(&stream);
    weft_stream_close(&cursor);
    weft_stream_close(&cursor);
    check_int(counter.n_closed, 3);
    cursor = weft_stream_open(&stream);
    while (weft_stream_next(&cursor, &item))
        ;
    weft_stream_close(&cursor);
    check_int(counter.n_closed, 4);
    check_int(counter.n_opened, 4);
}

static weft_term consumes_hanging_ones(weft_term traps)
{
    weft_stream stream = weft_task_async_stream(source_of(&shared_counter), weft_to_bool(traps) ? hangs_and_traps : hangs,
                                                .max_concurrency = 4, .timeout_ms = WEFT_INFINITY);

    weft_stream_each (item, &stream)
        check(item.ok);
    return A(ok);
}

/* What task 0 of a consumer ends with when the consumer gets that signal. */
static weft_term end_of_task(weft_term signal, bool traps)
{
    weft_pid consumer;
    weft_ref ref;

    forget_started();
    shared_counter = counter_to(100);
    consumer = weft_spawn(consumes_hanging_ones, weft_bool(traps));
    await_started(4);
    ref = weft_monitor(pid_of(0));
    weft_exit_signal(consumer, signal);
    await_end(consumer);
    await_dead(4);
    check_int(shared_counter.n_closed, 1);
    return await_down(ref);
}

PROCESS_TEST(a_consumer_takes_its_tasks_along_with_its_reason, "TASK-60")
{
    check_term(end_of_task(A(boom), false), A(boom));
    check_term(end_of_task(A(shutdown), false), A(shutdown));
    check_term(end_of_task(A(kill), false), A(killed));
    check_term(end_of_task(A(boom), true), A(killed)); /* it would not go otherwise */
}

static weft_term returns_with_an_open_cursor(weft_term arg)
{
    weft_stream stream = weft_task_async_stream(source_of(&shared_counter), last_traps, .max_concurrency = 5);
    weft_stream_cursor cursor = weft_stream_open(&stream);
    weft_stream_item item;

    (void)arg;
    weft_stream_next(&cursor, &item);
    await_started(5);
    return A(ok);
}

PROCESS_TEST(a_consumer_that_ends_normally_takes_its_tasks_along, "TASK-61 TASK-59")
{
    shared_counter = counter_to(100);
    check_term(end_of(fails_in_the_body, A(normal)), A(normal));
    await_dead(5);
    check_int(shared_counter.n_closed, 1);

    forget_started();
    shared_counter = counter_to(100);
    check_term(end_of(returns_with_an_open_cursor, weft_none), A(normal));
    await_dead(5);
    check_int(shared_counter.n_closed, 1);
}

/* Sends the owner what looks like the end of this task. */
static weft_term sends_look_alikes(weft_term owner)
{
    weft_ref ref = weft_make_ref();

    weft_send(owner, weft_tuple(A(DOWN), ref, A(process), weft_self(), A(fake)));
    weft_send(owner, weft_tuple(A(EXIT), weft_self(), A(fake)));
    weft_send(owner, weft_tuple(ref, A(fake)));
    return A(real);
}

PROCESS_TEST(foreign_messages_change_nothing_and_stay, "TASK-62")
{
    weft_term owners = weft_list(weft_self(), weft_self(), weft_self());
    weft_stream stream = weft_task_async_stream(owners, sends_look_alikes);
    weft_term message;
    int n = 0;

    weft_send(weft_self(), A(first));
    weft_stream_each (item, &stream) {
        check(item.ok);
        check_term(item.value, A(real));
        n++;
    }
    check_int(n, 3);
    check_int(weft_message_queue_len(), 10);
    check(weft_receive(weft_any, 0, &message));
    check_term(message, A(first));
    for (int i = 0; i < 3; i++) {
        expect_message(weft_tuple(A(DOWN), weft_any, A(process), weft_any, A(fake)));
        expect_message(weft_tuple(A(EXIT), weft_any, A(fake)));
        expect_message(weft_tuple(weft_any, A(fake)));
    }
    check_nothing_left();
}

/* -- beyond Elixir ------------------------------------------------------------------------------------ */

static weft_term times_out_in_all(weft_term arg)
{
    weft_stream stream = weft_task_async_stream(range(8), hangs, .max_concurrency = 2, .deadline_ms = 30,
                                                .timeout_ms = WEFT_INFINITY);

    (void)arg;
    weft_stream_each (item, &stream)
        check(item.ok);
    return A(ok);
}

PROCESS_TEST(a_deadline_covers_the_whole_stream)
{
    weft_stream stream = weft_task_async_stream(range(100), hangs, .max_concurrency = 3, .deadline_ms = 50,
                                                .timeout_ms = WEFT_INFINITY, .on_timeout = WEFT_KILL_TASK);
    int64_t began = now_ms();
    int n = 0;

    weft_stream_each (item, &stream) {
        check_term(item.reason, A(timeout));
        n++;
    }
    check_int(n, 3);
    check_ge(now_ms() - began, 50);
    check_dead(3);
    check_fits(end_of(times_out_in_all, weft_none),
               weft_tuple(A(timeout), weft_tuple(weft_any, weft_list(weft_int(30)))));
}

PROCESS_TEST(bail_makes_the_first_failure_the_last_item)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        struct counter counter = counter_to(INT64_MAX);
        weft_stream stream = weft_task_async_stream(source_of(&counter), third_fails, .bail = true, .ordered = ordered);
        bool was_ok = true;
        int n = 0;

        weft_trap_exit(true);
        weft_stream_each (item, &stream) {
            check(was_ok);
            was_ok = item.ok;
            n++;
        }
        check(!was_ok);
        if (ordered)
            check_int(n, 3);
        check_int(counter.n_closed, 1);
        check_nothing_left();
    }
}

PROCESS_TEST(durations_are_measured_when_asked_for)
{
    weft_stream with = weft_task_async_stream(weft_list(weft_int(20)), sleeps_ms, .durations = true);
    weft_stream without = weft_task_async_stream(weft_list(weft_int(1)), sleeps_ms);

    weft_stream_each (item, &with) {
        check_ge(item.duration_us, 20000);
        check_lt(item.duration_us, BOUND_MS * 1000);
    }
    weft_stream_each (item, &without)
        check_int(item.duration_us, 0);
}

static bool words_next(void *state, weft_term *item)
{
    int *n = state;
    char text[400];

    if (*n == 20)
        return false;
    memset(text, 'a' + *n, sizeof text);
    *item = weft_tuple(weft_int(*n), weft_bin(text, (size_t)*n * 20));
    ++*n;
    return true;
}

static weft_term size_of_word(weft_term pair)
{
    return weft_tuple(weft_tuple_at(pair, 1), weft_int((int64_t)weft_bin_size(weft_tuple_at(pair, 1))));
}

PROCESS_TEST(items_of_a_source_may_be_built_on_the_spot)
{
    int n = 0, seen = 0;
    weft_source source = {.next = words_next, .state = &n};
    weft_stream stream = weft_task_async_stream(source, size_of_word, .max_concurrency = 6);

    weft_stream_each (item, &stream) {
        check_term(weft_tuple_at(item.input, 0), weft_int(seen));
        check_term(item.value, weft_tuple(weft_tuple_at(item.input, 1), weft_int(seen * 20)));
        seen++;
    }
    check_int(seen, 20);
}

static weft_term consumes_a_strangers_cursor(weft_term address)
{
    weft_stream_item item;

    weft_stream_next(weft_to_pointer(address), &item);
    return A(ok);
}

PROCESS_TEST(a_cursor_belongs_to_the_process_that_opened_it)
{
    weft_stream stream = weft_task_async_stream(range(3), square);
    weft_stream_cursor cursor = weft_stream_open(&stream);
    weft_stream_item item;

    check_fits(end_of(consumes_a_strangers_cursor, weft_pointer(&cursor)), weft_tuple(A(badarg), weft_any));
    check(weft_stream_next(&cursor, &item));
    weft_stream_close(&cursor);
}

static bool asks_itself(void *state, weft_term *out)
{
    weft_stream_item item;

    (void)out;
    return weft_stream_next(state, &item);
}

static weft_term consumes_a_circle(weft_term arg)
{
    weft_stream_cursor cursor;
    weft_source source = {.next = asks_itself, .state = &cursor};
    weft_stream stream = weft_task_async_stream(source, square);
    weft_stream_item item;

    (void)arg;
    cursor = weft_stream_open(&stream);
    weft_stream_next(&cursor, &item);
    return A(ok);
}

PROCESS_TEST(a_source_that_asks_its_own_stream_is_a_mistake)
{
    check_fits(end_of(consumes_a_circle, weft_none), weft_tuple(A(badarg), weft_any));
}

static bool inner_next(void *state, weft_term *item)
{
    weft_stream_item inner;

    if (!weft_stream_next(state, &inner))
        return false;
    *item = inner.value;
    return true;
}

PROCESS_TEST(a_stream_can_be_the_source_of_another)
{
    weft_stream first = weft_task_async_stream(range(30), square);
    weft_stream_cursor cursor = weft_stream_open(&first);
    weft_source source = {.next = inner_next, .state = &cursor};
    weft_stream second = weft_task_async_stream(source, square);
    int64_t i = 0;

    weft_stream_each (item, &second) {
        check_term(item.value, weft_int(i * i * i * i));
        i++;
    }
    check_int(i, 30);
    check_nothing_left();
}

PROCESS_TEST(a_consumer_killed_at_any_moment_leaves_no_task, "TASK-60")
{
    for (int i = 0; i < scaled(200); i++) {
        WEFT_SCOPE;
        weft_pid consumer;
        weft_ref ref;

        shared_counter = counter_to(1000000);
        consumer = weft_spawn(i % 2 ? consumes_hanging_ones : consumes_a_failing_source, A(true), .monitor = &ref);
        for (int turns = i % 7; turns > 0; turns--)
            weft_yield();
        weft_kill(consumer);
        await_down(ref);
        check_le(shared_counter.n_closed, 1);
        check_int(shared_counter.n_closed, shared_counter.n_opened);
    }
    for (int64_t until = now_ms() + BOUND_MS; now_ms() < until;) {
        WEFT_SCOPE;

        if (weft_list_size(weft_processes()) <= 2)
            break;
        weft_yield();
    }
    check_le(weft_list_size(weft_processes()), 2); /* this one, and the thread's */
}

TEST(a_thread_of_the_program_can_consume_a_stream)
{
    struct weft_runtime_options options = {WEFT_RUNTIME_DEFAULTS};
    int from = 0, n = 0;

    if (!runtime_up(&options))
        return;
    {
        WEFT_SCOPE;
        weft_source source = {.next = words_next, .state = &from};
        weft_stream stream = weft_task_async_stream(source, size_of_word, .max_concurrency = 3);

        weft_stream_each (item, &stream) {
            check_term(weft_tuple_at(item.input, 0), weft_int(n));
            check_term(item.value, weft_tuple(weft_tuple_at(item.input, 1), weft_int((int64_t)n * 20)));
            if (++n == 15)
                break;
        }
    }
    check_int(n, 15);
    runtime_down();
}

/* remains_test.c - what is left on the thread of a process that was disowned: what it
 * may do, how it ends, and where it can be seen. */
#include "proc/disown_test.h"

#include "weft/gen_server.h"
#include "weft/info.h"
#include "weft/log.h"
#include "weft/mutex.h"
#include "weft/task.h"

static weft_mutex mutex;
static weft_pid witness;

/* -- what is left ---------------------------------------------------------------------------- */

static weft_term does_much_then_returns(weft_term arg)
{
    weft_pid self = weft_self();
    char *memory = weft_alloc(100);
    weft_term kept = weft_keep(weft_list(weft_int(7)));
    weft_pid child;

    weft_defer(counts, NULL);
    sit((int)weft_to_int(arg));
    check(!weft_eq(weft_self(), self));
    memory = weft_realloc(memory, 5000);
    memory[4999] = 1;
    weft_free(memory);
    weft_drop(kept);
    weft_alloc(300);
    weft_keep(weft_str("kept for good"));
    check(weft_undefer(counts, NULL));
    weft_defer(counts, NULL);
    weft_dict_put(A(key), weft_int(1));
    check_term(weft_dict_get(A(key), weft_none), weft_int(1));
    child = weft_spawn(waits_for_ever, weft_none, .link = true);
    {
        WEFT_SCOPE;
        weft_term item;

        check(weft_match(weft_tuple(A(a), child), weft_tuple(A(a), weft_bind(&item))));
        weft_send(witness, weft_tuple(A(from), weft_self(), weft_list(item)));
    }
    atomic_fetch_add(&phase, 1);
    return arg;
}

/* It is not the process that everybody has seen end. */
DISOWN_TEST(calls_that_never_switch_work_on_and_are_another_processes)
{
    weft_ref down, left_down, child_down;
    weft_pid pid, left = weft_none, child = weft_none;

    witness = weft_self();
    pid = start(does_much_then_returns, 0, &down);
    kill_stuck(pid, down);
    release(0);
    expect_message(weft_tuple(A(from), weft_bind(&left), weft_list(weft_bind(&child))));
    child_down = weft_monitor(child);
    left_down = weft_monitor(left);
    check(!weft_eq(left, pid));
    check(!weft_is_alive(left));
    check_fits(await_down(left_down), weft_any);
    check_fits(await_down(child_down), weft_any);
    await_disowned(0);
    check_int(atomic_load(&phase), 1);
    check_int(atomic_load(&n_defers), 1);
}

/* What it does when it is back, by number. */
static weft_term comes_back_by(weft_term arg)
{
    int way = (int)weft_to_int(arg);
    weft_term message;

    weft_defer(counts, NULL);
    sit(way);
    switch (way) {
    case 0:
        weft_yield();
        break;
    case 1:
        weft_checkpoint();
        break;
    case 2:
        weft_sleep(1);
        break;
    case 3:
        weft_receive(weft_any, WEFT_INFINITY, &message);
        break;
    case 4:
        weft_exit(A(other));
    case 5:
        weft_error(A(other));
    case 6:
        weft_blocking(sits_blocking, &way);
        break;
    case 7:
        weft_task_await(weft_task_async(waits_for_ever, arg), 10);
        break;
    case 8:
        weft_receive_each (one)
            weft_send(witness, one);
        break;
    case 9:
        weft_mutex_lock(&mutex);
        break;
    case 10:
        weft_gen_server_try_call(witness, A(nothing), 1, &message);
        break;
    default:
        return arg;
    }
    atomic_fetch_add(&phase, 1);
    return arg;
}

DISOWN_TEST(it_ends_at_the_first_call_that_may_park)
{
    enum { WAYS = 12 };
    weft_ref downs[WAYS];
    weft_pid pids[WAYS];

    witness = weft_self();
    for (int i = 0; i < WAYS; i++)
        pids[i] = start(comes_back_by, i, &downs[i]);
    for (int i = 0; i < WAYS; i++)
        weft_kill(pids[i]);
    for (int i = 0; i < WAYS; i++)
        check_term(await_down(downs[i]), A(killed));
    check_int(atomic_load(&n_defers), 0);
    for (int i = 0; i < WAYS; i++)
        release(i);
    await_count(&n_defers, WAYS);
    await_disowned(0);
    check_int(atomic_load(&phase), 0);
}

static int *volatile nowhere;

FAULTY static void write_nowhere(void)
{
    *nowhere = 1;
}

static weft_term faults_when_back(weft_term arg)
{
    weft_defer(counts, NULL);
    sit((int)weft_to_int(arg));
    write_nowhere();
    return arg;
}

DISOWN_TEST(a_fault_of_what_is_left_is_contained)
{
    weft_ref down;

    kill_stuck(start(faults_when_back, 0, &down), down);
    release(0);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static void exits_in_a_defer(void *arg)
{
    counts(arg);
    weft_exit(A(in_a_defer));
}

static void blocks_in_a_defer(void *arg)
{
    struct timespec time = {.tv_nsec = 10000000};

    nanosleep(&time, NULL);
    counts(arg);
}

static weft_term has_hard_defers(weft_term arg)
{
    weft_defer(counts, NULL);
    weft_defer(blocks_in_a_defer, NULL);
    weft_defer(exits_in_a_defer, NULL);
    sit((int)weft_to_int(arg));
    return arg;
}

DISOWN_TEST(its_defers_may_block_and_exit)
{
    weft_ref down;

    kill_stuck(start(has_hard_defers, 0, &down), down);
    release(0);
    await_count(&n_defers, 3);
    await_disowned(0);
}

struct thing {
    int *memory;
    bool exits;
};

static struct thing thing;
static _Atomic int seen_at_destroy;

static void thing_destroy(void *object)
{
    const struct thing *its = object;

    atomic_store(&seen_at_destroy, its->memory[0]);
    if (its->exits)
        weft_exit(A(mistake));
}

static const weft_native_type thing_type = {.name = "thing", .destroy = thing_destroy};

static weft_term has_a_thing(weft_term n)
{
    thing.memory = weft_alloc(64 << 20); /* given back to the kernel when it is freed */
    thing.memory[0] = 4711;
    weft_native(&thing_type, &thing);
    sit((int)weft_to_int(n));
    return n;
}

DISOWN_TEST(what_its_terms_hold_goes_before_its_memory)
{
    weft_ref down;

    seen_at_destroy = 0;
    thing.exits = false;
    kill_stuck(start(has_a_thing, 0, &down), down);
    check_int(atomic_load(&seen_at_destroy), 0);
    release(0);
    await_disowned(0);
    await_count(&seen_at_destroy, 1);
    check_int(atomic_load(&seen_at_destroy), 4711);
}

DISOWN_TEST(a_destroy_of_its_terms_that_exits_is_contained)
{
    weft_ref down;

    seen_at_destroy = 0;
    thing.exits = true;
    kill_stuck(start(has_a_thing, 0, &down), down);
    release(0);
    await_count(&seen_at_destroy, 4711);
    await_disowned(0);
}

/* -- the runtime's end, and what can be seen ---------------------------------------------------- */

static weft_term leaves_one_behind(weft_term arg)
{
    weft_ref down;

    set_up();
    kill_stuck(start(sits, 0, &down), down);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(the_runtime_does_not_stop_before_it_is_back_and_says_where_it_is)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    check_int(weft_runtime_start(.workers = 4, .disown_after_ms = GRACE_MS), 0);
    run_body(leaves_one_behind);
    check_int(weft_runtime_stop(.timeout_ms = 100), WEFT_ETIMEDOUT);
    check_has(weft_runtime_error(), "which was killed and disowned, is in ");
    check_has(weft_runtime_error(), "sits");
    check_int(atomic_load(&n_defers), 0);
    release(0);
    check_int(weft_runtime_stop(), 0);
    check_int(atomic_load(&n_defers), 1);
}

static weft_term leaves_one_stuck(weft_term arg)
{
    weft_ref down;

    set_up();
    start(sits, 0, &down);
    return weft_is_none(arg) ? A(ok) : arg;
}

/* Killed by the stop itself. */
TEST(a_stop_that_has_to_kill_it_says_where_it_is)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    check_int(weft_runtime_start(.workers = 4, .disown_after_ms = GRACE_MS), 0);
    run_body(leaves_one_stuck);
    check_int(weft_runtime_stop(.timeout_ms = 1000), WEFT_ETIMEDOUT);
    check_has(weft_runtime_error(), "which was killed and disowned, is in ");
    release(0);
    check_int(weft_runtime_stop(), 0);
    check_int(atomic_load(&n_defers), 1);
}

static weft_term leaves_one_alone(weft_term arg)
{
    set_up();
    open_pipe(0);
    weft_spawn(sits, weft_int(0));
    await_count(&n_in, 1);
    return weft_is_none(arg) ? A(ok) : arg;
}

/* Killed so late that it is not disowned before the stop gives up, or never. */
TEST(a_stop_says_where_one_is_that_is_waited_for)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    check_int(weft_runtime_start(.workers = 4, .disown_after_ms = WEFT_INFINITY), 0);
    run_body(leaves_one_alone);
    check_int(weft_runtime_stop(.timeout_ms = 200), WEFT_ETIMEDOUT);
    check_has(weft_runtime_error(), " is in ");
#if !defined(WEFT_TSAN) /* whose own frames lie in between, and are no chain */
    check_has(weft_runtime_error(), "sit");
#endif
    release(0);
    check_int(weft_runtime_stop(), 0);
}

/* The pid of the only remains. */
static weft_pid find_remains(void)
{
    struct weft__runtime *runtime = weft__runtime();

    for (size_t i = 0; i < atomic_load(&runtime->table.n_used); i++) {
        uint64_t state = atomic_load(&runtime->table.base[i].state);

        if ((state & WEFT__STATE_MASK) == WEFT__ACTIVE && runtime->table.base[i].fiber.kind == WEFT__PROC_REMAINS)
            return weft__pid_make((uint32_t)i, weft__state_serial(state));
    }
    return weft_none;
}

DISOWN_TEST(who_asks_it_what_it_is_gets_no_answer_at_once)
{
    weft_ref down;
    weft_pid left;

    kill_stuck(start(sits, 0, &down), down);
    left = find_remains();
    check(!weft_is_none(left));
    check(!weft_is_alive(left));
    check(weft_is_none(weft_process_info(left, A(status))));
    check_int(atomic_load(&n_out), 0);
    release(0);
    await_disowned(0);
}

static char text[65536];

DISOWN_TEST(a_dump_shows_it_with_its_stack)
{
    FILE *file = tmpfile();
    char pid_text[64];
    weft_ref down;
    weft_pid pid = start(sits, 0, &down);

    kill_stuck(pid, down);
    check_int(weft_dump(fileno(file)), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    weft_inspect_to(pid_text, sizeof pid_text, pid);
    check_has(text, "is what is left of #PID<");
    check_has(text, pid_text);
    check_has(text, ", 1 thread of processes that were disowned");
    check_has(text, "  read+");
#if !defined(WEFT_TSAN) /* whose own frames lie in between, and are no chain */
    check_has(text, "  sit");
#endif
    release(0);
    await_disowned(0);
}

static _Atomic int n_reports;
static char report[4096];

static void note_record(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "disowned") == NULL)
        return;
    weft_log_format(report, sizeof report, record);
    atomic_fetch_add(&n_reports, 1);
}

DISOWN_TEST(one_report_names_it_and_its_stack)
{
    weft_ref down;
    weft_pid pid;
    char pid_text[64];

    check_int(weft_log_set_handler(note_record, NULL, NULL), 0);
    pid = start(sits, 0, &down);
    kill_stuck(pid, down);
    await_count(&n_reports, 1);
    weft_log_set_handler(NULL, NULL, NULL);
    weft_inspect_to(pid_text, sizeof pid_text, pid);
    check_int(atomic_load(&n_reports), 1);
    check_has(report, pid_text);
    check_has(report, "disowned_after_ms");
    check_has(report, "sit");
    check_has(report, "reason=:killed");
    release(0);
    await_disowned(0);
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void take_what_is_held(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "disowned") == NULL)
        return;
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
    atomic_fetch_add(&n_reports, 1);
}

static weft_term sits_with_what_the_log_needs(weft_term n)
{
    pthread_mutex_lock(&held);
    sit((int)weft_to_int(n));
    pthread_mutex_unlock(&held);
    return n;
}

DISOWN_TEST(links_and_monitors_do_not_wait_for_a_log_that_waits_for_it)
{
    weft_ref down;

    n_reports = 0;
    check_int(weft_log_set_handler(take_what_is_held, NULL, NULL), 0);
    kill_stuck(start(sits_with_what_the_log_needs, 0, &down), down);
    check_int(atomic_load(&n_reports), 0);
    release(0);
    await_count(&n_reports, 1);
    weft_log_set_handler(NULL, NULL, NULL);
    await_disowned(0);
}

static void exits_in_the_log(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "disowned") == NULL)
        return;
    atomic_fetch_add(&n_reports, 1);
    weft_exit(A(mistake));
}

DISOWN_TEST(a_log_that_exits_on_its_report_ends_nothing_twice)
{
    weft_ref down;

    n_reports = 0;
    check_int(weft_log_set_handler(exits_in_the_log, NULL, NULL), 0);
    kill_stuck(start(sits, 0, &down), down);
    await_count(&n_reports, 1);
    release(0);
    await_disowned(0);
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(atomic_load(&n_reports), 1);
}

/* Those whose slot was not given away keep their worker until there is a place. */
DISOWN_TEST(no_more_than_max_hogs_are_out, .max_hogs = 2)
{
    weft_ref downs[3];
    weft_pid pids[3];
    int n = 0;

    for (int i = 0; i < 3; i++)
        pids[i] = start(sits, i, &downs[i]);
    for (int i = 0; i < 3; i++)
        weft_kill(pids[i]);
    await_disowned(2);
    weft_sleep(4 * GRACE_MS);
    check_int(weft__disowned_n(), 2);
    for (int i = 0; i < 3; i++)
        release(i);
    for (; n < 3; n++)
        check_fits(await_down(downs[n]), weft_any);
    await_disowned(0);
    check_int(atomic_load(&n_defers), 3);
}

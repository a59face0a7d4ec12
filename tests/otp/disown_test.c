/* disown_test.c - who waits for a server, a task or a mutex whose process is stuck, and
 * was killed, need not wait for its thread. */
#include "proc/disown_test.h"

#include "weft/gen_server.h"
#include "weft/log.h"
#include "weft/mutex.h"
#include "weft/supervisor.h"
#include "weft/task.h"

/* -- kinds of processes ------------------------------------------------------------------ */

static bool handles(void *state, weft_term message)
{
    (*(int *)state)++;
    sit((int)weft_to_int(message));
    return *(int *)state > 0;
}

DISOWN_TEST(a_handler_is_left)
{
    int state = 0;
    weft_pid pid = weft_spawn_handler(handles, &state, .state_size = sizeof state);
    weft_ref down = weft_monitor(pid);

    open_pipe(0);
    weft_send(pid, weft_int(0));
    await_count(&n_in, 1);
    kill_stuck(pid, down);
    release(0);
    await_disowned(0);
}

struct server {
    int n;
};

static weft_init_result server_init(weft_term arg)
{
    struct server *server = weft_new(struct server);

    server->n = (int)weft_to_int(arg);
    weft_defer(counts, NULL);
    return weft_init_ok(server);
}

static weft_result server_call(void *state, weft_term request, weft_from from)
{
    struct server *server = state;

    (void)from;
    if (!weft_eq(request, A(count)))
        sit(server->n);
    if (weft_eq(request, A(sit_and_stop)))
        return weft_stop_reply(A(normal), A(stopped));
    return weft_reply(weft_int(server->n++));
}

static void server_terminate(void *state, weft_term reason)
{
    (void)state;
    (void)reason;
    atomic_fetch_add(&phase, 1);
}

static const weft_gen_server stuck_server = {
    .init = server_init, .handle_call = server_call, .terminate = server_terminate};

static weft_term calls(weft_term server)
{
    return weft_gen_server_call(server, A(sit), WEFT_INFINITY);
}

DISOWN_TEST(the_callers_of_a_server_hear_of_it)
{
    weft_pid server, client;
    weft_ref down, client_down, late_down;

    weft_trap_exit(true);
    open_pipe(0);
    server = weft_must(weft_gen_server_start_link(&stuck_server, weft_int(0)));
    down = weft_monitor(server);
    client = weft_spawn(calls, server, .monitor = &client_down);
    await_count(&n_in, 1);
    weft_spawn(calls, server, .monitor = &late_down);
    kill_stuck(server, down);
    check_fits(await_down(client_down), weft_tuple(A(killed), weft_any));
    check_fits(await_down(late_down), weft_tuple(weft_any, weft_any));
    check(!weft_is_alive(client));
    check_int(atomic_load(&n_defers), 0);
    release(0);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static weft_term calls_to_stop(weft_term server)
{
    return weft_gen_server_call(server, A(sit_and_stop), WEFT_INFINITY);
}

/* It has ended: what its callback says is nobody's. */
DISOWN_TEST(a_callback_that_is_back_is_the_last_of_its_server)
{
    weft_pid server;
    weft_ref down;

    weft_trap_exit(true);
    open_pipe(0);
    server = weft_must(weft_gen_server_start_link(&stuck_server, weft_int(0)));
    down = weft_monitor(server);
    weft_spawn(calls_to_stop, server);
    await_count(&n_in, 1);
    kill_stuck(server, down);
    release(0);
    await_disowned(0);
    check_int(atomic_load(&n_defers), 1);
    check_int(atomic_load(&phase), 0);
}

static weft_started start_stuck(weft_term arg)
{
    (void)arg;
    return weft_gen_server_start_link(&stuck_server, weft_int(0), .name = A(child));
}

static void await_restarted(weft_pid before)
{
    int64_t until = now_ms() + BOUND_MS;
    weft_pid now;

    do {
        weft_sleep(1);
        now = weft_whereis(A(child));
    } while ((weft_is_none(now) || weft_eq(now, before)) && now_ms() < until);
    check(!weft_is_none(now) && !weft_eq(now, before));
    check_term(weft_gen_server_call(A(child), A(count), BOUND_MS), weft_int(0));
}

DISOWN_TEST(a_supervisor_starts_it_anew)
{
    weft_child_spec spec = weft_child(.id = A(child), .start = start_stuck);
    weft_pid sup, child;

    weft_trap_exit(true);
    open_pipe(0);
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    child = weft_whereis(A(child));
    weft_spawn(calls, child);
    await_count(&n_in, 1);
    weft_kill(child);
    await_restarted(child);
    weft_supervisor_stop(sup, A(normal), BOUND_MS);
    release(0);
    await_disowned(0);
}

static void stop_is_over_with(int64_t shutdown_ms)
{
    weft_child_spec spec = weft_child(.id = A(child), .start = start_stuck, .shutdown_ms = shutdown_ms);
    weft_pid sup;

    weft_trap_exit(true);
    open_pipe(0);
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    weft_spawn(calls, weft_whereis(A(child)));
    await_count(&n_in, 1);
    weft_supervisor_stop(sup, A(normal), BOUND_MS);
    check_int(atomic_load(&n_out), 0);
    release(0);
    await_disowned(0);
}

DISOWN_TEST(a_supervisor_that_kills_it_stops)
{
    stop_is_over_with(WEFT_BRUTAL_KILL);
}

DISOWN_TEST(a_supervisor_whose_child_is_late_stops)
{
    stop_is_over_with(20);
}

static weft_term task_sits(weft_term n)
{
    return sits(n);
}

DISOWN_TEST(who_awaits_a_task_hears_of_it)
{
    weft_task task;
    weft_term result = weft_none;

    weft_trap_exit(true);
    open_pipe(0);
    task = weft_task_async(task_sits, weft_int(0));
    await_count(&n_in, 1);
    weft_kill(task.pid);
    check(!weft_task_try_await(task, BOUND_MS, &result));
    check_has(weft_inspect(result), "killed");
    release(0);
    await_disowned(0);
}

static _Atomic uint64_t task_pid;

static weft_term owns_a_task(weft_term n)
{
    weft_task task = weft_task_async(waits_for_ever, weft_none);

    atomic_store(&task_pid, task.pid.bits);
    sit((int)weft_to_int(n));
    return n;
}

DISOWN_TEST(its_own_tasks_end)
{
    weft_ref down;
    weft_pid pid = start(owns_a_task, 0, &down);

    weft_ref task_down = weft_monitor((weft_pid){atomic_load(&task_pid)});

    weft_kill(pid);
    check_term(await_down(task_down), A(killed));
    check_term(await_down(down), A(killed));
    check_int(atomic_load(&n_out), 0);
    release(0);
    await_disowned(0);
}

static weft_mutex mutex;

static weft_term sits_with_the_mutex(weft_term n)
{
    check_int(weft_mutex_lock(&mutex), 0);
    return sits(n);
}

DISOWN_TEST(the_next_owner_of_its_mutex_is_told)
{
    weft_ref down;
    weft_pid pid = start(sits_with_the_mutex, 0, &down);

    weft_kill(pid);
    check_int(weft_mutex_lock(&mutex), WEFT_EOWNERDEAD);
    check_int(atomic_load(&n_out), 0);
    weft_mutex_unlock(&mutex);
    await_down(down);
    release(0);
    await_disowned(0);
}

/* -- catches, locks of a registry, gates with more to do ------------------------------------- */

static weft_result server_breaks(void *state, weft_term request, weft_from from)
{
    (void)state, (void)request, (void)from;
    weft_error(A(broken));
}

static void sits_in_terminate(void *state, weft_term reason)
{
    (void)reason;
    sit(((struct server *)state)->n);
}

static const weft_gen_server breaking_server = {
    .init = server_init, .handle_call = server_breaks, .terminate = sits_in_terminate};

/* Its callback's frames lie behind those of terminate, on another stack. */
DISOWN_TEST(a_server_that_crashed_is_left_in_terminate)
{
    weft_pid server;
    weft_ref down;

    weft_trap_exit(true);
    open_pipe(0);
    server = weft_must(weft_gen_server_start_link(&breaking_server, weft_int(0)));
    down = weft_monitor(server);
    weft_spawn(calls, server);
    await_count(&n_in, 1);
    kill_stuck(server, down);
    check_int(atomic_load(&n_defers), 0);
    release(0);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static weft_term sits_in_describe(void *state)
{
    sit(((struct server *)state)->n);
    return weft_none;
}

static const weft_gen_server described_server = {
    .init = server_init, .handle_call = server_breaks, .describe = sits_in_describe};

static _Atomic int n_terminating;

static void count_reports(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "GenServer terminating") != NULL)
        atomic_fetch_add(&n_terminating, 1);
}

DISOWN_TEST(a_server_that_is_left_in_describe_says_nothing_more)
{
    weft_pid server;
    weft_ref down;

    weft_trap_exit(true);
    open_pipe(0);
    n_terminating = 0;
    check_int(weft_log_set_handler(count_reports, NULL, NULL), 0);
    server = weft_must(weft_gen_server_start_link(&described_server, weft_int(0)));
    down = weft_monitor(server);
    weft_spawn(calls, server);
    await_count(&n_in, 1);
    kill_stuck(server, down);
    release(0);
    await_disowned(0);
    weft_log_set_handler(NULL, NULL, NULL);
    check_int(atomic_load(&n_terminating), 0);
}

static _Atomic int n_closed, n_out_at_close;

struct numbers {
    int next;
};

static bool numbers_next(void *state, weft_term *item)
{
    struct numbers *numbers = state;

    *item = weft_int(numbers->next);
    return numbers->next++ < 3;
}

static void numbers_close(void *state)
{
    atomic_store(&n_out_at_close, atomic_load(&n_out));
    atomic_fetch_add(&n_closed, 1);
    weft_free(state);
}

static weft_term maps(weft_term item)
{
    return item;
}

static weft_term consumes(weft_term n)
{
    struct numbers *numbers;
    weft_stream stream;

    weft_defer(counts, NULL);
    numbers = weft_new(struct numbers);
    stream = weft_task_async_stream(
        ((weft_source){.next = numbers_next, .close = numbers_close, .state = numbers}), maps);
    weft_stream_each (item, &stream) {
        (void)item;
        sit((int)weft_to_int(n));
        numbers->next++;
    }
    return n;
}

/* Not by who ends the process: close is users' code, and that of the stream may be under way. */
DISOWN_TEST(the_source_of_its_stream_is_closed_when_it_is_back)
{
    weft_ref down;

    n_closed = 0;
    kill_stuck(start(consumes, 0, &down), down);
    check_int(atomic_load(&n_closed), 0);
    check_int(atomic_load(&n_defers), 0);
    release(0);
    await_count(&n_closed, 1);
    await_disowned(0);
    check_int(atomic_load(&n_out_at_close), 1);
    check_int(atomic_load(&n_closed), 1);
    check_int(atomic_load(&n_defers), 1);
}

static weft_started start_that_sits(weft_term arg)
{
    (void)arg;
    sit(0);
    return weft_started_ignore();
}

static weft_term supervises(weft_term arg)
{
    weft_child_spec spec = weft_child(.id = A(child), .start = start_that_sits);

    weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE, .name = A(sup)));
    return arg;
}

DISOWN_TEST(a_supervisor_is_left_in_a_childs_start_function)
{
    weft_ref starter_down, down;
    weft_pid sup;

    open_pipe(0);
    weft_spawn(supervises, weft_none, .monitor = &starter_down);
    await_count(&n_in, 1);
    sup = weft_whereis(A(sup));
    down = weft_monitor(sup);
    kill_stuck(sup, down);
    check_fits(await_down(starter_down), weft_any);
    release(0);
    await_disowned(0);
}

/* agent_test.c - state behind a process, and functions that run there. */
#include <string.h>

#include "proc/process_test.h"
#include "weft/agent.h"
#include "weft/sys.h"
#include "weft/task.h"

static void *starts_with(weft_term n)
{
    int64_t *state = weft_new(int64_t);

    *state = weft_is_none(n) ? 0 : weft_to_int(n);
    return state;
}

static weft_term value_of(void *state, weft_term arg)
{
    (void)arg;
    return weft_int(*(int64_t *)state);
}

static void *adds(void *state, weft_term n)
{
    *(int64_t *)state += weft_to_int(n);
    return state;
}

static weft_agent_pair takes(void *state, weft_term n)
{
    int64_t before = *(int64_t *)state;

    *(int64_t *)state = before - weft_to_int(n);
    return weft_agent_make_pair(weft_int(before), state);
}

static weft_pid agent(int64_t n)
{
    return weft_must(weft_agent_start(starts_with, weft_int(n)));
}

static int64_t get(weft_server server)
{
    return weft_to_int(weft_agent_get(server, value_of, weft_none, BOUND_MS));
}

/* The reason with which fn(arg) ends a process of its own. */
static weft_term end_of(weft_fn *fn, weft_term arg)
{
    weft_ref down;

    weft_spawn(fn, arg, .monitor = &down);
    return await_down(down);
}

/* -- starting ------------------------------------------------------------------------ */

static weft_term tells_self(void *state, weft_term to)
{
    weft_send(to, weft_tuple(A(runs_in), weft_self()));
    return weft_int(*(int64_t *)state);
}

PROCESS_TEST(the_state_is_what_the_function_made_in_the_agent, "AG-1")
{
    weft_pid pid = agent(42);

    check_int(get(pid), 42);
    check_term(info_of(pid, A(links)), weft_empty_list);
    pid = weft_must(weft_agent_start_link(starts_with, weft_none));
    check_int(get(pid), 0);
    check_term(info_of(pid, A(links)), weft_list(weft_self()));
}

static void *crashing_init(weft_term what) { weft_error(what); }
static void *slow_init(weft_term arg)
{
    (void)arg;
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return NULL;
}

PROCESS_TEST(a_crash_of_the_function_fails_the_start, "AG-2")
{
    check_fits(weft_agent_start(crashing_init, A(boom)).reason, weft_tuple(A(boom), weft_any));
}

PROCESS_TEST(names_and_time_outs_are_a_servers, "AG-2")
{
    weft_pid first = weft_must(weft_agent_start(starts_with, weft_int(1), .name = A(counter)));

    check_term(weft_agent_start(starts_with, weft_int(2), .name = A(counter)).reason,
               weft_tuple(A(already_started), first));
    check_int(get(A(counter)), 1);
    check_term(weft_agent_start(slow_init, weft_none, .timeout_ms = 2).reason, A(timeout));
}

/* -- get and update ------------------------------------------------------------------------ */

PROCESS_TEST(get_returns_what_the_function_makes_of_the_state, "AG-3")
{
    weft_pid pid = agent(5);

    check_int(get(pid), 5);
    check_int(get(pid), 5);
}

PROCESS_TEST(update_returns_when_the_state_has_changed, "AG-4")
{
    weft_pid pid = agent(5);

    weft_agent_update(pid, adds, weft_int(3), BOUND_MS);
    check_int(get(pid), 8);
}

static void *replaces(void *state, weft_term n)
{
    (void)state;
    return starts_with(n);
}

PROCESS_TEST(an_update_may_give_another_state, "AG-4")
{
    weft_pid pid = agent(5);

    weft_agent_update(pid, replaces, weft_int(100), BOUND_MS);
    check_int(get(pid), 100);
}

PROCESS_TEST(get_and_update_does_both, "AG-5")
{
    weft_pid pid = agent(10);

    check_term(weft_agent_get_and_update(pid, takes, weft_int(3), BOUND_MS), weft_int(10));
    check_int(get(pid), 7);
}

static weft_agent_pair no_pair(void *state, weft_term arg)
{
    (void)state, (void)arg;
    return (weft_agent_pair){0};
}

PROCESS_TEST(another_return_of_get_and_update_ends_agent_and_caller, "AG-6")
{
    weft_pid pid = agent(1);
    weft_ref down = weft_monitor(pid);
    weft_term reason = weft_none;

    check(!weft_agent_try_get_and_update(pid, no_pair, weft_none, BOUND_MS, &reason));
    check_fits(reason, weft_tuple(A(bad_return_value), weft_any));
    check_term(await_down(down), reason);
}

PROCESS_TEST(a_cast_changes_the_state_later_and_reports_nothing, "AG-7")
{
    weft_pid pid = agent(1), dead = puppet_start();

    weft_agent_cast(pid, adds, weft_int(1));
    weft_agent_cast(pid, adds, weft_int(1));
    check_int(get(pid), 3);
    puppet_stop(dead);
    weft_agent_cast(dead, adds, weft_int(1));
    weft_agent_cast(A(no_agent), adds, weft_int(1));
}

PROCESS_TEST(functions_run_in_the_agents_process, "AG-8")
{
    weft_pid pid = agent(1);

    weft_agent_get(pid, tells_self, weft_self(), BOUND_MS);
    expect_message(weft_tuple(A(runs_in), pid));
}

static weft_term adds_often(weft_term pid)
{
    for (int i = 0; i < scaled(5000); i++) {
        WEFT_SCOPE;

        weft_agent_update(pid, adds, weft_int(1), 5000);
    }
    return A(ok);
}

PROCESS_TEST(functions_run_one_after_another, "AG-8")
{
    enum { CLIENTS = 8 };
    weft_pid pid = agent(0);
    weft_task tasks[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        tasks[i] = weft_task_async(adds_often, pid);
    for (int i = 0; i < CLIENTS; i++)
        weft_task_await(tasks[i], 3 * BOUND_MS);
    check_int(get(pid), CLIENTS * scaled(5000));
}

/* -- what goes wrong -------------------------------------------------------------------------- */

static weft_term crashing_get(void *state, weft_term what)
{
    (void)state;
    weft_error(what);
}

static void *crashing_update(void *state, weft_term what)
{
    (void)state;
    weft_error(what);
}

static weft_term gets_crash(weft_term pid)
{
    return weft_agent_get(pid, crashing_get, A(boom), BOUND_MS);
}

PROCESS_TEST(a_crash_in_a_function_ends_agent_and_caller, "AG-9")
{
    weft_pid pid = agent(1);
    weft_ref down = weft_monitor(pid);

    check_fits(end_of(gets_crash, pid),
               weft_tuple(weft_tuple(A(boom), weft_any), weft_tuple(WEFT_ATOM("GenServer"), A(call), weft_any)));
    check_fits(await_down(down), weft_tuple(A(boom), weft_any));
}

PROCESS_TEST(a_crash_in_a_cast_is_the_agents_alone, "AG-9")
{
    weft_pid pid = agent(1);
    weft_ref down = weft_monitor(pid);

    weft_agent_cast(pid, crashing_update, A(boom));
    check_fits(await_down(down), weft_tuple(A(boom), weft_any));
}

static void *adds_on_go(void *state, weft_term n)
{
    weft_receive(A(go), WEFT_INFINITY, NULL);
    return adds(state, n);
}

PROCESS_TEST(a_timed_out_update_still_runs_to_its_end, "AG-10")
{
    weft_pid pid = agent(1);
    weft_term why = weft_none;

    check(!weft_agent_try_update(pid, adds_on_go, weft_int(1), 2, &why));
    check_term(why, A(timeout));
    weft_send(pid, A(go));
    check_int(get(pid), 2);
    expect_no_message(weft_any);
}

static weft_term gets_from_itself(void *state, weft_term arg)
{
    (void)state, (void)arg;
    return weft_agent_get(weft_self(), value_of, weft_none, 100);
}

PROCESS_TEST(a_call_to_the_same_agent_inside_ends_it, "AG-11")
{
    weft_pid pid = agent(1);
    weft_ref down = weft_monitor(pid);
    weft_term why = weft_none;

    check(!weft_agent_try_get(pid, gets_from_itself, weft_none, BOUND_MS, &why));
    check_fits(why, weft_tuple(A(calling_self), weft_any));
    check_fits(await_down(down), weft_tuple(A(calling_self), weft_any));
}

PROCESS_TEST(stop_is_a_servers, "AG-12")
{
    weft_pid pid = weft_must(weft_agent_start(starts_with, weft_int(1), .name = A(counter)));
    weft_term why = weft_none;

    weft_agent_stop(A(counter), weft_none, BOUND_MS);
    check(!weft_is_alive(pid));
    check_term(weft_whereis(A(counter)), weft_none);
    check(!weft_agent_try_stop(pid, weft_none, BOUND_MS, &why));
    check_term(why, A(noproc));
}

PROCESS_TEST(a_child_spec_is_a_permanent_worker, "AG-13")
{
    weft_child_spec spec = weft_agent_child(starts_with, weft_int(3), A(by_spec));
    weft_started started = spec.start(spec.arg);

    check_term(spec.id, WEFT_ATOM("Agent"));
    check_int(spec.restart, WEFT_PERMANENT);
    check_int(spec.shutdown_ms, WEFT_SHUTDOWN_BY_TYPE);
    check_int(spec.type, WEFT_WORKER);
    check(started.ok);
    check_int(get(A(by_spec)), 3);
}

static void *adds_both(void *state, weft_term pair)
{
    *(int64_t *)state += weft_to_int(weft_tuple_at(pair, 0)) * weft_to_int(weft_tuple_at(pair, 1));
    return state;
}

PROCESS_TEST(functions_get_the_state_first_and_then_their_arguments, "AG-14")
{
    weft_pid pid = agent(1);

    weft_agent_update(pid, adds_both, weft_tuple(weft_int(6), weft_int(7)), BOUND_MS);
    check_int(get(pid), 43);
}

/* -- memory ---------------------------------------------------------------------------------------- */

static void *keeps(weft_term term)
{
    weft_term *kept = weft_new(weft_term);

    *kept = weft_keep(term);
    return kept;
}

static weft_term kept_term(void *state, weft_term arg)
{
    (void)arg;
    return *(weft_term *)state;
}

static void *keeps_other(void *state, weft_term term)
{
    weft_drop(*(weft_term *)state);
    *(weft_term *)state = weft_keep(term);
    return state;
}

PROCESS_TEST(what_get_returns_is_no_part_of_the_state, "AG-15")
{
    weft_term first = weft_list(weft_str("one"), weft_int(1)), got;
    weft_pid pid = weft_must(weft_agent_start(keeps, first));

    got = weft_agent_get(pid, kept_term, weft_none, BOUND_MS);
    weft_agent_update(pid, keeps_other, A(something_else), BOUND_MS);
    check_term(got, first);
    check_term(weft_agent_get(pid, kept_term, weft_none, BOUND_MS), A(something_else));
}

PROCESS_TEST(an_argument_is_copied_at_the_call, "AG-16")
{
    weft_pid pid = weft_must(weft_agent_start(keeps, A(nothing)));
    char text[] = "the text of the caller's own";

    {
        WEFT_SCOPE;
        weft_agent_cast(pid, keeps_other, weft_str(text));
        memset(text, 'x', sizeof text - 1);
    }
    check_term(weft_agent_get(pid, kept_term, weft_none, BOUND_MS), weft_str("the text of the caller's own"));
}

PROCESS_TEST(sys_get_state_gives_the_bare_state, "AG-17")
{
    weft_pid pid = weft_must(weft_agent_start(starts_with, weft_int(9), .describe = value_of));

    check_term(weft_sys_get_state(pid, BOUND_MS), weft_int(9));
    check(weft_is_pointer(weft_sys_get_state(agent(1), BOUND_MS)));
}

/* -- other requests ------------------------------------------------------------------------------- */

PROCESS_TEST(a_call_that_is_none_of_an_agents_crashes_it, "AG-9")
{
    weft_pid pid = agent(1);
    weft_term why = weft_none;

    check(!weft_gen_server_try_call(pid, A(hello), BOUND_MS, &why));
    check_fits(why, weft_tuple(weft_tuple(A(bad_call), A(hello)), weft_any));
}

static weft_term gets_with_null(weft_term pid)
{
    return weft_agent_get(pid, NULL, weft_none, 100);
}

PROCESS_TEST(a_function_that_is_null_is_a_mistake, "AG-3")
{
    weft_term text = weft_none;

    if (check_fits(end_of(gets_with_null, agent(1)), weft_tuple(A(badarg), weft_bind(&text))))
        check_has(weft_text(text), "weft_agent_get: the function is NULL");
}

/* Child specs: their fields, what is wrong with them in words, what a start gives. */
#include "otp/child_spec.h"
#include "proc/process_test.h"

static weft_pid some_pid(void)
{
    return weft__term(UINT64_C(5) << 39 | 9 << 4 | WEFT__TAG_PID);
}

static weft_started start_any(weft_term arg)
{
    (void)arg;
    return weft_started_ok(some_pid());
}

static weft_started start_bare(void)
{
    return weft_started_ignore();
}

/* The argument says what the start gives. */
static weft_started start_as_told(weft_term arg)
{
    weft_started started = {.ok = true, .pid = arg};

    if (weft_is_none(arg))
        return (weft_started){.ok = false};
    if (weft_is_tuple(arg))
        return weft_started_error(weft_tuple_at(arg, 1));
    return started;
}

/* What check says: the kind, then the words. */
static const char *problem_of(weft_child_spec spec)
{
    static char all[512];
    char text[256], kind[128];

    weft_inspect_to(kind, sizeof kind, weft__child_check(&spec, text, sizeof text));
    snprintf(all, sizeof all, "%s - %s", kind, text);
    return all;
}

static bool is_fine(weft_child_spec spec)
{
    char text[256] = "x";

    return weft_is_none(weft__child_check(&spec, text, sizeof text)) && text[0] == '\0';
}

/* -- fields ------------------------------------------------------------------------ */

TEST(a_child_has_the_defaults_of_elixir, "SUP-1")
{
    weft_child_spec spec = weft_child(.id = A(cache), .start = start_any);

    check(weft_eq(spec.id, A(cache)));
    check(spec.start == start_any);
    check(weft_is_none(spec.arg));
    check_int(spec.restart, WEFT_PERMANENT);
    check_int(weft__child_shutdown_ms(&spec), 5000);
    check_int(spec.type, WEFT_WORKER);
    check(!spec.significant);
    check(is_fine(spec));
}

TEST(a_supervisor_has_all_the_time_to_stop, "SUP-1")
{
    weft_child_spec spec = weft_child(.id = A(sup), .start = start_any, .type = WEFT_SUPERVISOR);

    check_int(weft__child_shutdown_ms(&spec), WEFT_INFINITY);
    spec.shutdown_ms = 10;
    check_int(weft__child_shutdown_ms(&spec), 10);
}

TEST(zero_and_false_can_be_said)
{
    weft_child_spec spec = weft_child(.id = weft_int(0), .start = start_any, .shutdown_ms = 0,
                                      .significant = false, .arg = weft_int(0));

    check_int(weft__child_shutdown_ms(&spec), 0);
    check(is_fine(spec));
}

TEST(children_stand_in_an_array)
{
    weft_child_spec children[] = {
        weft_child(.id = A(a), .start = start_any),
        weft_child(.id = A(b), .start_bare = start_bare, .restart = WEFT_TEMPORARY),
    };

    check_uint(WEFT_COUNT(children), 2);
    check(weft_is_none(weft__children_check(children, WEFT_COUNT(children), NULL, 0)));
    check_int(children[1].restart, WEFT_TEMPORARY);
}

TEST(a_field_of_a_ready_made_spec_is_overridden_by_assignment, "SUP-9")
{
    weft_child_spec spec = weft_child(.id = A(a), .start = start_any, .restart = WEFT_TRANSIENT);

    spec.id = A(b);
    spec.shutdown_ms = WEFT_BRUTAL_KILL;
    check(is_fine(spec));
    check(weft_eq(spec.id, A(b)));
    check_int(spec.restart, WEFT_TRANSIENT);
}

/* -- checks --------------------------------------------------------------------------- */

TEST(a_child_without_id_is_refused, "SUP-4")
{
    check_str(problem_of(weft_child(.start = start_any)),
              ":missing_id - child without .id: every child needs one, any term that no sibling has");
}

TEST(a_child_without_start_is_refused, "SUP-4")
{
    check_str(problem_of(weft_child(.id = A(cache))),
              ":missing_start - child :cache: it needs .start, the function that starts it");
}

TEST(a_start_that_does_not_fit_its_argument_is_refused, "SUP-4")
{
    check_str(problem_of(weft_child(.id = A(c), .start_bare = start_bare, .arg = weft_int(1))),
              "{:invalid_mfa, {\"start_bare\", [1]}} - "
              "child :c: it has .arg, but .start_bare takes none: use .start");
    check_has(problem_of(weft_child(.id = A(c), .start_bare = start_bare, .start = start_any)),
              "child :c: it has .start and .start_bare");
}

TEST(a_restart_that_is_none_is_refused, "SUP-2 SUP-4")
{
    check_str(problem_of(weft_child(.id = weft_str("a"), .start = start_any, .restart = (enum weft_restart)7)),
              "{:invalid_restart_type, 7} - "
              "child \"a\": .restart is 7, not WEFT_PERMANENT, WEFT_TRANSIENT or WEFT_TEMPORARY");
}

TEST(a_type_that_is_none_is_refused, "SUP-2 SUP-4")
{
    check_has(problem_of(weft_child(.id = A(a), .start = start_any, .type = (enum weft_child_type)2)),
              "{:invalid_child_type, 2} - child :a: .type is 2");
}

TEST(a_negative_time_to_stop_is_refused, "SUP-2 SUP-4")
{
    check_str(problem_of(weft_child(.id = A(a), .start = start_any, .shutdown_ms = -5)),
              "{:invalid_shutdown, -5} - "
              "child :a: .shutdown_ms is -5: not a time, WEFT_BRUTAL_KILL or WEFT_INFINITY");
    check(is_fine(weft_child(.id = A(a), .start = start_any, .shutdown_ms = WEFT_BRUTAL_KILL)));
    check(is_fine(weft_child(.id = A(a), .start = start_any, .shutdown_ms = WEFT_INFINITY)));
}

TEST(a_permanent_child_cannot_be_significant, "SUP-5")
{
    check_has(problem_of(weft_child(.id = A(a), .start = start_any, .significant = true)),
              "{:bad_combination, [restart: :permanent, significant: true]} - "
              "child :a: .significant is true, but .restart is WEFT_PERMANENT");
    check(is_fine(weft_child(.id = A(a), .start = start_any, .significant = true, .restart = WEFT_TRANSIENT)));
}

TEST(pattern_parts_are_refused_by_name)
{
    check_has(problem_of(weft_child(.id = A(a), .start = start_any, .arg = weft_tuple(weft_any))),
              "child :a: .arg is no value: a term with weft_any in it");
    check_has(problem_of(weft_child(.id = weft_tuple(weft_any), .start = start_any)), ".id is no value: a term with weft_any in it");
}

TEST(two_children_of_one_id_are_refused, "SUP-6")
{
    weft_child_spec children[] = {
        weft_child(.id = weft_str("a"), .start = start_any),
        weft_child(.id = weft_str("b"), .start = start_any),
        weft_child(.id = weft_str("a"), .start = start_any),
    };
    char text[256];
    weft_term problem = weft__children_check(children, 3, text, sizeof text);

    check_str(weft_inspect(problem), "{:duplicate_child_name, \"a\"}");
    check_str(text, "child \"a\": it is number 3 and has the .id of number 1: give each its own");
    check(weft_is_none(weft__children_check(children, 2, text, sizeof text)));
    check(weft_is_none(weft__children_check(NULL, 0, text, sizeof text)));
}

TEST(the_words_fit_the_room_there_is)
{
    weft_child_spec spec = weft_child(.id = A(cache));
    char text[16];

    check(weft_eq(weft__child_check(&spec, text, sizeof text), A(missing_start)));
    check_str(text, "child :cache: i");
    check(weft_eq(weft__child_check(&spec, text, 4), A(missing_start)));
    check_str(text, "chi");
    check(weft_eq(weft__child_check(&spec, NULL, 0), A(missing_start)));
}

/* -- starts ------------------------------------------------------------------------------ */

static weft_started start_told(weft_term arg)
{
    weft_child_spec spec = weft_child(.id = A(a), .start = start_as_told);

    spec.arg = arg;
    return weft__child_start(&spec, spec.arg);
}

PROCESS_TEST(a_start_gives_a_pid_or_is_ignored_or_fails, "SUP-12")
{
    weft_child_spec bare = weft_child(.id = A(a), .start_bare = start_bare);
    weft_started started = start_told(some_pid());

    check(started.ok && weft_eq(started.pid, some_pid()) && !weft_started_is_ignored(started));
    check(weft_started_is_ignored(weft__child_start(&bare, weft_none)));
    started = start_told(weft_tuple(A(error), A(boom)));
    check(!started.ok && weft_eq(started.reason, A(boom)));
}

PROCESS_TEST(a_start_that_gives_anything_else_has_failed, "SUP-12")
{
    weft_started started = start_told(weft_int(3));

    check(!started.ok);
    check_str(weft_inspect(started.reason), "{:bad_return_value, 3}");
    started = start_told(weft_none);
    check(!started.ok && weft_eq(started.reason, A(unknown)));
}

TEST(a_start_that_must_succeed_gives_its_pid)
{
    check(weft_eq(weft_must(weft_started_ok(some_pid())), some_pid()));
}

static weft_term must_fail(weft_term reason)
{
    weft_must(weft_started_error(reason));
    return reason;
}

static weft_term must_be_there(weft_term arg)
{
    weft_must(weft_started_ignore());
    return arg;
}

PROCESS_TEST(a_failed_start_ends_its_caller_with_the_reason)
{
    weft_ref down;

    weft_spawn(must_fail, weft_tuple(A(boom), weft_int(1)), .monitor = &down);
    check_str(weft_inspect(await_down(down)), "{:boom, 1}");
    weft_spawn(must_be_there, weft_none, .monitor = &down);
    check_term(await_down(down), A(ignore));
}

/* -- restarts ------------------------------------------------------------------------------- */

static bool restarts(enum weft_restart restart, weft_term reason)
{
    weft_child_spec spec = weft_child(.id = A(a), .start = start_any, .restart = restart);

    return weft__child_restarts(&spec, reason);
}

TEST(a_permanent_child_is_restarted_for_every_reason, "SUP-17")
{
    check(restarts(WEFT_PERMANENT, A(normal)));
    check(restarts(WEFT_PERMANENT, A(shutdown)));
    check(restarts(WEFT_PERMANENT, A(boom)));
}

TEST(a_transient_child_is_restarted_when_it_crashed, "SUP-18")
{
    check(!restarts(WEFT_TRANSIENT, A(normal)));
    check(!restarts(WEFT_TRANSIENT, A(shutdown)));
    check(!restarts(WEFT_TRANSIENT, weft_tuple(A(shutdown), A(boom))));
    check(restarts(WEFT_TRANSIENT, A(boom)));
    check(restarts(WEFT_TRANSIENT, A(killed)));
    check(restarts(WEFT_TRANSIENT, weft_tuple(A(shutdown))));
    check(restarts(WEFT_TRANSIENT, weft_tuple(A(shutdown), A(a), A(b))));
    check(restarts(WEFT_TRANSIENT, weft_tuple(A(normal), A(a))));
}

TEST(a_temporary_child_is_never_restarted, "SUP-19")
{
    check(!restarts(WEFT_TEMPORARY, A(normal)));
    check(!restarts(WEFT_TEMPORARY, A(boom)));
}

/* -- terms --------------------------------------------------------------------------------------- */

TEST(a_kept_spec_outlives_the_scope_of_its_terms)
{
    weft_child_spec kept;

    {
        WEFT_SCOPE;
        weft_child_spec spec =
            weft_child(.id = weft_str("a"), .start = start_any, .arg = weft_tuple(A(room), weft_str("b")));

        weft__child_keep(&kept, &spec);
    }
    check_str(weft_inspect(kept.id), "\"a\"");
    check_str(weft_inspect(kept.arg), "{:room, \"b\"}");
    weft__child_drop(&kept);
    check(weft_is_none(kept.id) && weft_is_none(kept.arg));
}

TEST(a_spec_is_shown_with_its_defaults_filled_in, "SUP-69")
{
    weft_child_spec spec = weft_child(.id = A(cache), .start = start_any, .arg = weft_int(7));

    check_str(weft_inspect(weft__child_term(&spec)),
              "%{id: :cache, restart: :permanent, shutdown: 5000, significant: false, "
              "start: {\"start_any\", [7]}, type: :worker}");
    spec = weft_child(.id = A(sup), .start_bare = start_bare, .type = WEFT_SUPERVISOR, .restart = WEFT_TRANSIENT);
    check_str(weft_inspect(weft__child_term(&spec)),
              "%{id: :sup, restart: :transient, shutdown: :infinity, significant: false, "
              "start: {\"start_bare\", []}, type: :supervisor}");
    spec.shutdown_ms = WEFT_BRUTAL_KILL;
    check_has(weft_inspect(weft__child_term(&spec)), "shutdown: :brutal_kill");
}

/* catch_test.c - exits that are caught, and what is not. */
#include <string.h>

#include "base/here.h"
#include "proc/catch.h"
#include "proc/proc.h"
#include "proc/process_test.h"
#include "weft/log.h"
#include "weft/registry.h"
#include "weft/timer.h"

static struct weft__proc *me(void)
{
    return weft__here()->proc;
}

static void exits_deep(void *arg)
{
    WEFT_SCOPE;
    weft_term reason = weft_tuple(A(boom), weft_str("built in an inner scope"));

    (void)arg;
    {
        WEFT_SCOPE;
        weft_exit(reason);
    }
}

static void returns(void *arg)
{
    *(int *)arg = 1;
}

static void errs(void *arg)
{
    (void)arg;
    weft_error(A(bad));
}

static void misuses(void *arg)
{
    (void)arg;
    weft_sleep(-1);
}

static void faults(void *arg)
{
    (void)arg;
    *(volatile int *)0 = 1;
}

static void is_killed(void *arg)
{
    (void)arg;
    weft_kill(weft_self());
}

static void parks_and_exits(void *arg)
{
    weft_receive(A(go), 5, NULL);
    weft_exit(*(weft_term *)arg);
}

static void catches_inside(void *arg)
{
    weft_term reason;

    check(!weft__catch(me(), errs, NULL, &reason));
    weft_exit(weft_tuple(A(outer), reason));
    (void)arg;
}

PROCESS_TEST(a_function_that_returns_is_not_caught)
{
    weft_term reason = weft_none;
    int ran = 0;

    check(weft__catch(me(), returns, &ran, &reason));
    check_int(ran, 1);
    check(weft_is_none(reason));
}

PROCESS_TEST(an_exit_out_of_inner_scopes_is_caught_with_its_reason)
{
    weft_term reason = weft_none;

    check(!weft__catch(me(), exits_deep, NULL, &reason));
    check_term(reason, weft_tuple(A(boom), weft_str("built in an inner scope")));
}

PROCESS_TEST(an_error_is_caught_with_its_stack, "PROC-4")
{
    weft_term reason = weft_none;

    check(!weft__catch(me(), errs, NULL, &reason));
    check(weft_match(reason, weft_tuple(A(bad), weft_any)));
}

PROCESS_TEST(a_call_used_wrongly_is_caught)
{
    weft_term reason = weft_none;

    check(!weft__catch(me(), misuses, NULL, &reason));
    check(weft_match(reason, weft_tuple(A(badarg), weft_any)));
}

PROCESS_TEST(a_fault_is_caught)
{
    weft_term reason = weft_none;

#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
    skip("faults are the sanitizer's");
#endif
    for (int i = 0; i < 100; i++) {
        check(!weft__catch(me(), faults, NULL, &reason));
        check(weft_match(reason, weft_tuple(weft_tuple(A(sigsegv), weft_any), weft_any)) ||
              weft_match(reason, weft_tuple(A(sigsegv), weft_any)));
    }
}

PROCESS_TEST(catches_nest)
{
    weft_term reason = weft_none;

    check(!weft__catch(me(), catches_inside, NULL, &reason));
    check(weft_match(reason, weft_tuple(A(outer), weft_tuple(A(bad), weft_any))));
}

PROCESS_TEST(after_a_wait_on_another_thread_an_exit_is_still_caught)
{
    for (int i = 0; i < scaled(200); i++) {
        WEFT_SCOPE;
        weft_term wanted = weft_tuple(A(round), weft_int(i)), reason = weft_none;

        weft_send_after(weft_self(), A(go), 0);
        check(!weft__catch(me(), parks_and_exits, &wanted, &reason));
        check_term(reason, wanted);
        weft_receive(A(go), 0, NULL);
    }
}

static weft_term catches_a_kill(weft_term arg)
{
    weft_term reason;

    weft__catch(me(), is_killed, NULL, &reason);
    weft_exit(A(survived));
    return arg;
}

static weft_term exits_later(weft_term arg)
{
    weft_term reason;

    weft__catch(me(), errs, NULL, &reason);
    weft_exit(A(later));
    return arg;
}

PROCESS_TEST(a_kill_is_not_caught, "PROC-14 PROC-17")
{
    weft_ref down;

    weft_spawn(catches_a_kill, weft_none, .monitor = &down);
    check_term(await_down(down), A(killed));
}

PROCESS_TEST(an_exit_after_the_catch_ends_the_process)
{
    weft_ref down;

    weft_spawn(exits_later, weft_none, .monitor = &down);
    check_term(await_down(down), A(later));
}

/* -- objects that are destroyed ------------------------------------------------------- */

static _Atomic int n_destroyed, n_told;

static void exits_destroyed(void *unused)
{
    (void)unused;
    atomic_fetch_add(&n_destroyed, 1);
    weft_exit(A(boom));
}

static void misuses_destroyed(void *unused)
{
    atomic_fetch_add(&n_destroyed, 1);
    misuses(unused);
}

static const weft_native_type exiting = {.name = "Exiting", .destroy = exits_destroyed},
                              misusing = {.name = "Misusing", .destroy = misuses_destroyed};

static void counts_told(const weft_log_record *record, void *unused)
{
    (void)unused;
    if (strstr(record->text, "the destroy of a native object, a ") != NULL &&
        (strstr(record->text, "Exiting, must not call weft, but ended: :boom") != NULL ||
         strstr(record->text, "Misusing, must not call weft, but ended: {:badarg, ") != NULL))
        atomic_fetch_add(&n_told, 1);
}

static void count_told(void)
{
    check_int(weft_log_set_handler(counts_told, NULL, NULL), 0);
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 0, 1), 0);
}

PROCESS_TEST(an_object_whose_destroy_exits_is_told_of_and_the_scope_ends)
{
    count_told();
    for (int i = 0; i < 10; i++) {
        WEFT_SCOPE;

        weft_native(&exiting, NULL);
        weft_native(&misusing, NULL);
        weft_native(&exiting, NULL);
    }
    check_int(atomic_load(&n_destroyed), 30);
    check_int(atomic_load(&n_told), 30);
}

static weft_term has_objects(weft_term arg)
{
    weft_native(&exiting, NULL);
    weft_keep(weft_native(&misusing, NULL));
    weft_native(&exiting, NULL);
    weft_send(weft_self(), weft_native(&exiting, NULL));
    return arg;
}

PROCESS_TEST(an_object_whose_destroy_exits_does_not_hold_up_the_end_of_its_process)
{
    weft_ref down;

    count_told();
    weft_spawn(has_objects, weft_none, .monitor = &down);
    check_term(await_down(down), A(normal));
    await_count(&n_destroyed, 4); /* memory goes after the word */
    await_count(&n_told, 4);
}

static weft_term sends_object(weft_term alias)
{
    weft_send(alias, weft_native(&exiting, NULL));
    return A(ok);
}

static weft_term waits_and_drops(weft_term arg)
{
    weft_ref alias = weft_alias(false);

    weft_unalias(alias);
    count_told();
    weft_spawn(sends_object, alias);
    check(!weft_receive(A(never), 300, NULL));
    check_int(atomic_load(&n_told), 1);
    return arg;
}

/* On one worker: so the sender has let go of the object when the receiver drops it. */
TEST(a_wait_that_drops_an_object_whose_destroy_exits_times_out_in_time)
{
    run_in_runtime(waits_and_drops, .workers = 1);
}

PROCESS_TEST(entries_with_objects_whose_destroy_exits_are_freed_all_the_same, "REG-26")
{
    int n = 2000;

    count_told();
    weft_must(weft_registry_start_link(.name = A(reg), .keys = WEFT_UNIQUE));
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;

        weft_registry_register(A(reg), weft_int(i), weft_native(&exiting, NULL), NULL);
        weft_registry_unregister(A(reg), weft_int(i));
    }
    check_ge(atomic_load(&n_destroyed), n / 2);
}

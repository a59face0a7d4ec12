/* catch_test.c - exits that are caught, and what is not. */
#include "base/here.h"
#include "proc/catch.h"
#include "proc/proc.h"
#include "proc/process_test.h"
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

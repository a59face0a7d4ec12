#ifndef WEFT_DEBUG
#define WEFT_DEBUG
#endif
#include "base/assert.h"
#include "tap.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static void break_check(void *arg)
{
    int places = -1;

    (void)arg;
    weft__check(places >= 0);
}

static void tell_context(char *text, size_t size)
{
    snprintf(text, size, "weft: worker 3, pid 0.17\n");
}

static void break_with_context(void *arg)
{
    weft__assert_set_context(tell_context);
    break_check(arg);
}

static void break_in_context(char *text, size_t size)
{
    (void)text;
    weft__check(size == 0);
}

static void break_twice(void *arg)
{
    weft__assert_set_context(break_in_context);
    break_check(arg);
}

TEST(what_holds_goes_on_and_is_evaluated_once)
{
    int n = 0;

    weft__check(++n == 1);
    weft__assert(++n == 2);
    check_int(n, 2);
}

TEST(a_broken_invariant_prints_expression_and_place_then_aborts)
{
    struct tap_outcome outcome;

    tap_run(break_check, NULL, 20, &outcome);
    check(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
    check_has(outcome.output, "assert_test.c:");
    check_has(outcome.output, "break_check: `places >= 0` does not hold\n");
}

TEST(a_higher_room_adds_where_the_thread_was)
{
    struct tap_outcome outcome;

    tap_run(break_with_context, NULL, 20, &outcome);
    check_has(outcome.output, "does not hold\nweft: worker 3, pid 0.17\n");
}

TEST(a_context_that_breaks_as_well_ends_after_its_own_report)
{
    struct tap_outcome outcome;

    tap_run(break_twice, NULL, 20, &outcome);
    check(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
    check_has(outcome.output, "`places >= 0`");
    check_has(outcome.output, "`size == 0`");
}

/* limit_test.c - a process that takes more memory than it may have is ended. */
#include "proc/process_test.h"

enum { LIMIT = 1000000 };

static weft_term builds_terms(weft_term arg)
{
    weft_term list = weft_empty_list;

    weft_trap_exit(true);
    for (int i = 0; i < LIMIT; i++)
        list = weft_cons(weft_int(i), list);
    return arg;
}

static weft_term allocates(weft_term arg)
{
    for (int i = 0; i < LIMIT / 100; i++)
        weft_alloc(1000);
    return arg;
}

static weft_term keeps(weft_term arg)
{
    for (int i = 0; i < LIMIT / 100; i++) {
        WEFT_SCOPE;

        weft_keep(weft_str("some text that is long enough to be worth keeping, a hundred times and more"));
    }
    return arg;
}

static weft_term never_takes(weft_term arg)
{
    weft_trap_exit(true);
    weft_receive(A(nothing), WEFT_INFINITY, NULL);
    return arg;
}

PROCESS_TEST(more_memory_than_its_limit_ends_a_process_with_killed, "PROC-8")
{
    weft_fn *const ways[] = {builds_terms, allocates, keeps};

    for (size_t i = 0; i < COUNT(ways); i++) {
        weft_ref down;

        weft_spawn(ways[i], A(ok), .monitor = &down, .max_memory = LIMIT);
        check_term(await_down(down), A(killed));
    }
}

PROCESS_TEST(messages_that_nobody_takes_count_too, "PROC-8")
{
    weft_ref down;
    weft_pid pid = weft_spawn(never_takes, A(ok), .monitor = &down, .max_memory = LIMIT);

    for (int i = 0; i < LIMIT / 64; i++) {
        WEFT_SCOPE;

        weft_send(pid, weft_tuple(A(more), weft_int(i)));
        if (i % 64 == 0)
            weft_yield();
    }
    check_term(await_down(down), A(killed));
}

static weft_term takes_and_gives_back(weft_term arg)
{
    for (int i = 0; i < 2000; i++) {
        WEFT_SCOPE;
        void *at = weft_alloc(LIMIT / 4);
        weft_term list = weft_empty_list;

        for (int k = 0; k < 1000; k++)
            list = weft_cons(weft_int(k), list);
        weft_free(at);
    }
    weft_exit(arg);
}

PROCESS_TEST(what_was_given_back_does_not_count, "PROC-8")
{
    weft_ref down;

    weft_spawn(takes_and_gives_back, A(done), .monitor = &down, .max_memory = LIMIT);
    check_term(await_down(down), A(done));
}

PROCESS_TEST(within_its_limit_a_process_lives)
{
    weft_ref down;

    weft_spawn(builds_terms, A(ok), .monitor = &down, .max_memory = 100 * (size_t)LIMIT);
    check_term(await_down(down), A(normal));
}

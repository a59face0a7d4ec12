/*
 * tasks.c - one-off concurrent work: async, await, await_many, yield, shutdown.
 *
 * A task is a green process. It is linked to the process that started it, so a
 * crash in the task takes its owner down too, unless the owner traps exits.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)        /* a program's own shorthand for an atom */

/* Every task has this shape: one term in, one term out. */
static weft_term square(weft_term n)
{
    int64_t i = weft_to_int(n);         /* wrong type: the task exits with a reason that says so */

    return weft_int(i * i);
}

static weft_term slow(weft_term ms)
{
    weft_sleep(weft_to_int(ms));        /* parks the process, never the core */
    return A(ok);
}

static weft_term app(weft_term args)
{
    enum { N = 1000 };
    weft_task tasks[N], task, late;
    weft_term squares[N], result;
    int64_t sum = 0;

    (void)args;

    /* one task */
    task = weft_task_async(square, weft_int(12));
    printf("12 * 12 = %s\n", weft_inspect(weft_task_await(task, 5000)));

    /* many tasks, one deadline for all of them, results in order */
    for (int i = 0; i < N; i++)
        tasks[i] = weft_task_async(square, weft_int(i));
    weft_task_await_many(tasks, N, 10000, squares);
    for (int i = 0; i < N; i++)
        sum += weft_to_int(squares[i]);
    printf("0 * 0 + ... + 999 * 999 = %lld\n", (long long)sum);

    /* look without waiting for ever; then give up on it */
    late = weft_task_async(slow, weft_int(60000));
    if (weft_task_yield(late, 100, &result) == WEFT_TASK_NONE &&
        weft_task_shutdown(late, WEFT_BRUTAL_KILL, NULL) == WEFT_TASK_NONE)
        printf("gave up on the slow one\n");

    return A(ok);
}

int main(int argc, char **argv)
{
    return weft_main(argc, argv, app);  /* one worker per core, app is the first process */
}

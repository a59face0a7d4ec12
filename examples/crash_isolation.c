/*
 * crash_isolation.c - tasks that fault, overflow their stack, fail an assert,
 * exit, or spin for ever.  Each ends alone: its supervisor and its caller see
 * a reason with the signal, the address and a backtrace, and go on.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

static weft_term null_write(weft_term x)    { *(volatile int *)0 = 1; return x; }
static weft_term bad_strlen(weft_term x)    { char *volatile nowhere = NULL; (void)x; return weft_int((int64_t)strlen(nowhere)); }
static weft_term overflow(weft_term x)      { volatile char frame[4096]; frame[0] = 1; if (frame[0]) x = overflow(x); frame[1] = frame[0]; return x; }
static weft_term failed_assert(weft_term x) { assert(!"invariant broken"); return x; }
static weft_term gives_up(weft_term x)      { weft_exit(weft_tuple(A(no_such_user), x)); }
static weft_term spins(weft_term x)         { for (volatile long i = 0; ; i++) ; return x; }

static weft_term app(weft_term args)
{
    (void)args;
    weft_pid sup = weft_must(weft_task_supervisor_start_link());
    weft_task_fn *bad[] = { null_write, bad_strlen, overflow, failed_assert, gives_up, spins };

    for (size_t i = 0; i < WEFT_COUNT(bad); i++) {
        WEFT_SCOPE;                                             /* terms of this turn are given back at its end */
        weft_task task = weft_task_supervisor_async_nolink(sup, bad[i], weft_int((int64_t)i));
        weft_term result;
        switch (weft_task_yield(task, 200, &result)) {          /* nothing after 200 ms: NONE */
        case WEFT_TASK_OK:   printf("ok      %s\n", weft_inspect(result)); break;
        case WEFT_TASK_EXIT: printf("crashed %s\n", weft_inspect(result)); break;   /* {:sigsegv, %{address: 0x0, stack: [...]}} */
        case WEFT_TASK_NONE: weft_task_shutdown(task, WEFT_BRUTAL_KILL, NULL);
                             printf("killed  %zu\n", i);           break;           /* even a loop that never yields */
        }
    }
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }

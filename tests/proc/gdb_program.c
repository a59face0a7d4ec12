/* gdb_program.c - what gdb_test.sh looks at: some processes that wait. It prints
 * the pid of the one with a stack to look at, once they all wait, and then waits
 * until it is killed. One more was killed while it read. */
#include <stdio.h>
#include <unistd.h>

#include "weft.h"

__attribute__((noinline)) static weft_term inner(weft_term arg)
{
    weft_receive(WEFT_ATOM("never"), WEFT_INFINITY, NULL);
    __asm__ volatile("" ::: "memory"); /* no tail call: it stays on the stack */
    return arg;
}

static weft_term outer(weft_term arg)
{
    weft_set_label("looked at");
    arg = inner(arg);
    __asm__ volatile("" ::: "memory");
    return arg;
}

static bool handles(void *state, weft_term message)
{
    (void)state;
    (void)message;
    return true;
}

static weft_term stuck(weft_term arg)
{
    int pipes[2];
    char byte;

    if (pipe(pipes) == 0)
        (void)!read(pipes[0], &byte, 1);
    return arg;
}

/* One that is killed in its read, and ends without its thread. */
static void leave_one_stuck(void)
{
    weft_ref down;
    weft_pid pid = weft_spawn(stuck, weft_none, .monitor = &down);

    weft_sleep(20);
    weft_kill(pid);
    weft_receive(weft_tuple(WEFT_ATOM("DOWN"), down, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
}

static weft_term app(weft_term args)
{
    weft_pid pid = weft_spawn(outer, weft_none);
    weft_term status = weft_none;

    weft_spawn_handler(handles, NULL);
    leave_one_stuck();
    while (!weft_eq(status, WEFT_ATOM("waiting"))) {
        weft_yield();
        status = weft_process_info(pid, WEFT_ATOM("status"));
    }
    printf("%s\n", weft_inspect(pid));
    fflush(stdout);
    weft_receive(WEFT_ATOM("never"), WEFT_INFINITY, NULL);
    return args;
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }

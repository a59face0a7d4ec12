/* gdb_program.c - what gdb_test.sh looks at: some processes that wait. It prints
 * the pid of the one with a stack to look at, once they all wait, and then waits
 * until it is killed. */
#include <stdio.h>

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

static weft_term app(weft_term args)
{
    weft_pid pid = weft_spawn(outer, weft_none);
    weft_term status = weft_none;

    weft_spawn_handler(handles, NULL);
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

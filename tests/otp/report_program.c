/* report_program.c - what report_test.sh looks at: abnormal ends of every kind, in
 * JSON on standard error. Then a storm of them, whose number is the argument. */
#include <stdio.h>
#include <stdlib.h>

#include "weft.h"

#define A(name) WEFT_ATOM(#name)

/* A function that faults; a sanitizer would find it first. */
#if defined(__clang__)
#define FAULTY __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define FAULTY __attribute__((noinline, no_sanitize("address", "undefined", "thread")))
#endif

/* -- ends ------------------------------------------------------------------------- */

__attribute__((noinline)) static void gives_up(weft_term reason)
{
    weft_error(reason);
}

static weft_term process_that_errs(weft_term reason)
{
    gives_up(reason);
    __asm__ volatile("" ::: "memory"); /* no tail call: it stays on the stack */
    return reason;
}

static weft_term task_that_exits(weft_term reason)
{
    weft_exit(reason);
}

FAULTY static bool handler_that_faults(void *state, weft_term message)
{
    (void)message;
    *(volatile int *)state = 1;
    return true;
}

static weft_init_result room_init(weft_term id)
{
    (void)id;
    return weft_init_ok(NULL);
}

static weft_result room_call(void *state, weft_term request, weft_from from)
{
    (void)state;
    (void)from;
    weft_exit(weft_tuple(A(bad_request), request));
}

static const weft_gen_server room_server = {.init = room_init, .handle_call = room_call, .name = "Room"};

static weft_started room_start(weft_term id)
{
    return weft_gen_server_start_link(&room_server, id, .name = A(the_room));
}

/* -- the program -------------------------------------------------------------------- */

static void await_end(weft_pid pid)
{
    weft_ref down = weft_monitor(pid);

    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
}

static void end_a_process(weft_term reason)
{
    await_end(weft_spawn(process_that_errs, reason));
}

static void fault_a_handler(void)
{
    weft_pid pid = weft_spawn_handler(handler_that_faults, NULL, .label = "the \"label\"");

    weft_send(pid, weft_tuple(A(open), weft_str("a \"quote\", a\nline"), weft_bin("\xff\x00", 2)));
    await_end(pid);
}

static void end_a_task(weft_term reason)
{
    weft_term result;

    weft_task_yield(weft_task_async(task_that_exits, reason), WEFT_INFINITY, &result);
}

/* Its server ends at the first request, and with the second all of it. */
static void end_a_tree(void)
{
    weft_child_spec room = weft_child(.id = weft_tuple(A(room), weft_str("7")), .start = room_start, .arg = A(seven));
    weft_pid tree = weft_must(weft_supervisor_start_link(&room, 1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1));
    weft_ref down = weft_monitor(tree);
    weft_term reply;

    for (int i = 0; i < 2; i++)
        while (weft_gen_server_try_call(A(the_room), weft_map(A(enter), weft_int(i)), WEFT_INFINITY, &reply) ||
               weft_match(reply, weft_tuple(A(noproc), weft_any)) || weft_eq(reply, A(noproc)))
            weft_yield();
    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
}

static weft_term a_large_text(void)
{
    size_t size = 100000;
    char *bytes = weft_alloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 26);
    return weft_bin(bytes, size);
}

static weft_term app(weft_term args)
{
    int n = atoi(weft_text(weft_head(args)));

    weft_trap_exit(true);
    end_a_process(weft_map(A(code), weft_int(7), A(words), weft_list(weft_str("a"), weft_float(1.5), A(nil))));
    fault_a_handler();
    end_a_task(weft_tuple(A(large), a_large_text()));
    end_a_tree();
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;

        end_a_task(weft_int(i));
    }
    return A(ok);
}

int main(int argc, char **argv)
{
    weft_log_set_format(WEFT_LOG_JSON, false);
    weft_log_set_limit(WEFT_LOG_EACH_PLACE, 10, 100); /* a sanitizer's storm is a breeze */
    return weft_main(argc, argv, app);
}

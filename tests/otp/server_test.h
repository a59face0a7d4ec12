/* server_test.h - a server that does what it is asked to.
 *
 *     weft_pid server = scripted();
 *     check_term(run_call(server, replies_with, A(hello)), A(hello));
 *
 * A script is a function run by the server in the callback that gets it: call,
 * cast, info or continue; its result is the callback's. The server counts and
 * tells the test of its end.
 */
#ifndef WEFT_TESTS_OTP_SERVER_TEST_H
#define WEFT_TESTS_OTP_SERVER_TEST_H

#include "proc/process_test.h"
#include "weft/gen_server.h"
#include "weft/sys.h"
#include "weft/timer.h"

#define SERVER_FN(fn) weft_pointer((const void *)(uintptr_t)(fn))

struct scripted {
    weft_pid test;
    int64_t n;
    weft_term kept; /* by weft_keep, or none */
};

typedef weft_result script(struct scripted *state, weft_term arg, weft_from from);

/* {script, arg} */
static inline weft_result run_script(void *state, weft_term request, weft_from from)
{
    script *run = (script *)(uintptr_t)weft_to_pointer(weft_tuple_at(request, 0));

    return run(state, weft_tuple_at(request, 1), from);
}

static inline bool is_script(weft_term term)
{
    return weft_is_tuple(term) && weft_tuple_size(term) == 2 && weft_is_pointer(weft_tuple_at(term, 0));
}

static inline weft_result scripted_call(void *state, weft_term request, weft_from from)
{
    return run_script(state, request, from);
}

static inline weft_result scripted_cast(void *state, weft_term request)
{
    return run_script(state, request, weft_none);
}

/* What is no script is told to the test as {:info, message}. */
static inline weft_result scripted_info(void *state, weft_term message)
{
    struct scripted *self = (struct scripted *)state;

    if (is_script(message))
        return run_script(state, message, weft_none);
    weft_send(self->test, weft_tuple(A(info), message));
    return weft_noreply();
}

static inline weft_init_result scripted_init(weft_term test)
{
    struct scripted *self = weft_new(struct scripted);

    self->test = test;
    return weft_init_ok(self);
}

/* Tells the test {:terminate, reason, n}. */
static inline void scripted_terminate(void *state, weft_term reason)
{
    struct scripted *self = (struct scripted *)state;

    weft_send(self->test, weft_tuple(A(terminate), reason, weft_int(self->n)));
}

static inline weft_term scripted_describe(void *state)
{
    return weft_int(((struct scripted *)state)->n);
}

static const weft_gen_server scripted_server = {
    .init = scripted_init,
    .handle_call = scripted_call,
    .handle_cast = scripted_cast,
    .handle_info = scripted_info,
    .handle_continue = scripted_cast,
    .terminate = scripted_terminate,
    .describe = scripted_describe,
};

static inline weft_pid scripted(void)
{
    return weft_must(weft_gen_server_start(&scripted_server, weft_self()));
}
static inline weft_pid scripted_link(void)
{
    return weft_must(weft_gen_server_start_link(&scripted_server, weft_self()));
}

static inline weft_term run_call(weft_server server, script *fn, weft_term arg)
{
    return weft_gen_server_call(server, weft_tuple(SERVER_FN(fn), arg), BOUND_MS);
}
static inline bool try_run_call(weft_server server, script *fn, weft_term arg, weft_term *result)
{
    return weft_gen_server_try_call(server, weft_tuple(SERVER_FN(fn), arg), BOUND_MS, result);
}
static inline void run_cast(weft_server server, script *fn, weft_term arg)
{
    weft_gen_server_cast(server, weft_tuple(SERVER_FN(fn), arg));
}
static inline void run_info(weft_server server, script *fn, weft_term arg)
{
    weft_send(server, weft_tuple(SERVER_FN(fn), arg));
}

/* -- scripts that many need -------------------------------------------------------- */

static inline weft_result replies_with(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_reply(arg);
}
static inline weft_result replies_self(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    return weft_reply(weft_self());
}
static inline weft_result counts_up(struct scripted *self, weft_term arg, weft_from from)
{
    (void)arg;
    self->n++;
    return weft_is_none(from) ? weft_noreply() : weft_reply(weft_int(self->n));
}
/* Tells the test, as a message. */
static inline weft_result tells(struct scripted *self, weft_term arg, weft_from from)
{
    weft_send(self->test, arg);
    return weft_is_none(from) ? weft_noreply() : weft_reply(A(told));
}
static inline weft_result crashes(struct scripted *self, weft_term what, weft_from from)
{
    (void)self, (void)from;
    weft_error(what);
}
static inline weft_result exits(struct scripted *self, weft_term reason, weft_from from)
{
    (void)self, (void)from;
    weft_exit(reason);
}
static inline weft_result stops(struct scripted *self, weft_term reason, weft_from from)
{
    (void)self, (void)from;
    return weft_stop(reason);
}
/* Never answers, as long as nobody does it in its place. */
static inline weft_result keeps_quiet(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)arg, (void)from;
    return weft_noreply();
}
/* Gives `from` to the test, as {:from, from}. */
static inline weft_result gives_from(struct scripted *self, weft_term arg, weft_from from)
{
    (void)arg;
    weft_send(self->test, weft_tuple(A(from), from));
    return weft_noreply();
}
static inline weft_result traps(struct scripted *self, weft_term arg, weft_from from)
{
    (void)self, (void)from;
    return weft_trap_exit(weft_to_bool(arg)), weft_reply(A(ok));
}
/* Says {:waiting, server} and goes on when it gets :go. */
static inline weft_result waits_for_go(struct scripted *self, weft_term arg, weft_from from)
{
    weft_send(self->test, weft_tuple(A(waiting), weft_self()));
    weft_receive(A(go), WEFT_INFINITY, NULL);
    return weft_is_none(from) ? weft_noreply() : weft_reply(arg);
}

/* {reason, {GenServer, function, _}} */
static inline weft_term failed_call(weft_term reason, weft_atom function)
{
    return weft_tuple(reason, weft_tuple(WEFT_ATOM("GenServer"), function, weft_any));
}

#endif

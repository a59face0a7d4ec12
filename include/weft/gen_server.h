/* gen_server.h - servers: a process that owns state and handles one message at
 * a time.
 *
 *     struct counter { int64_t n; };
 *
 *     static weft_init_result counter_init(weft_term start)
 *     {
 *         struct counter *c = weft_new(struct counter);
 *
 *         c->n = weft_to_int(start);
 *         return weft_init_ok(c);
 *     }
 *
 *     static weft_result counter_call(void *state, weft_term request, weft_from from)
 *     {
 *         return weft_reply(weft_int(++((struct counter *)state)->n));
 *     }
 *
 *     static const weft_gen_server counter = {.init = counter_init, .handle_call = counter_call};
 *
 *     weft_pid pid = weft_must(weft_gen_server_start_link(&counter, weft_int(0)));
 *     weft_term n = weft_gen_server_call(pid, WEFT_ATOM("next"), 5000);
 *
 * A program writes callbacks; weft owns the loop, replies, time-outs, names and
 * the end. The state is memory of the server's own (weft_new) and is changed in
 * place; it goes when the server ends. Between two messages a server holds no
 * stack: an idle one is a control block and its state.
 *
 * A server is named by its pid, by an atom it was started under, or by
 * weft_via(registry, key).
 *
 * "A mistake" below ends the caller with {:badarg, "call: what is wrong"}; the
 * _try_ forms hand that reason back instead. Guests (threads of your own) may
 * use everything here that is not for callbacks.
 *
 * Meaning: Elixir's GenServer; rules GS-1 to GS-62.
 */
#ifndef WEFT_GEN_SERVER_H
#define WEFT_GEN_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/child.h"
#include "weft/options.h"
#include "weft/process.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* Whom to answer: a term, to be kept or sent to another process, which may then
 * answer in the server's place. One answer counts. */
typedef weft_term weft_from;

/* The server that a registry knows under that key; anywhere a server is named.
 * A term of the caller's scope. */
static inline weft_server weft_via(weft_term registry, weft_term key)
{
    const weft_term elements[3] = {WEFT_ATOM("via"), registry, key};

    return weft_tuple_of(elements, 3);
}

/* -- what callbacks return -------------------------------------------------------- */

/* What the server does next, once the result stands: fields of the macros below.
 *
 *   .timeout_ms  when no message is handled for so long, handle_info(state,
 *                :timeout) runs, once; any message cancels it. 0: at once unless a
 *                message is there. GS-37 to GS-40
 *   .then        a term: handle_continue(state, term) runs before any message
 *                is looked at. GS-35, GS-36
 *   .hibernate   release what memory can be spared until the next message. (An
 *                idle server holds no stack and no scratch memory anyway.) GS-41
 *
 * More than one of them is a bad return. */
struct weft_next {
    WEFT_OPTION(size_t, size, sizeof(weft_next));
    WEFT_OPTION(int64_t, timeout_ms, INT64_MAX);
    WEFT_OPTION(weft_term, then, {0});
    WEFT_OPTION(bool, hibernate, false);
};
typedef struct weft_next weft_next;
#define WEFT_NEXT_DEFAULTS \
    .size = sizeof(struct weft_next), .timeout_ms = INT64_MAX, .then = {0}, .hibernate = false
#define WEFT__NEXT(...) WEFT_OPTIONS(weft_next, WEFT_NEXT_DEFAULTS, __VA_ARGS__)

/* A zeroed one is none of the results: a callback must say what it means. */
enum weft__result_kind {
    WEFT__RESULT_NONE,
    WEFT__RESULT_OK,       /* of init */
    WEFT__RESULT_IGNORE,   /* of init */
    WEFT__RESULT_ERROR,    /* of init */
    WEFT__RESULT_REPLY,
    WEFT__RESULT_NOREPLY,
    WEFT__RESULT_STOP,
    WEFT__RESULT_STOP_REPLY
};

struct weft_result {
    uint8_t kind;
    bool hibernate;
    weft_term term;     /* the reply, or none */
    weft_term reason;   /* STOP, STOP_REPLY */
    weft_term then;     /* or none */
    int64_t timeout_ms; /* INT64_MAX: none */
};
typedef struct weft_result weft_result;

struct weft_init_result {
    uint8_t kind;
    bool hibernate;
    void *state;        /* OK */
    weft_term reason;   /* STOP, ERROR */
    weft_term then;
    int64_t timeout_ms;
};
typedef struct weft_init_result weft_init_result;

static inline weft_result weft__result(enum weft__result_kind kind, weft_term term, weft_term reason,
                                       const weft_next *next)
{
    weft_result result;

    result.kind = (uint8_t)kind;
    result.hibernate = next->hibernate;
    result.term = term;
    result.reason = reason;
    result.then = next->then;
    result.timeout_ms = next->timeout_ms;
    return result;
}

static inline weft_init_result weft__init_result(enum weft__result_kind kind, void *state,
                                                 weft_term reason, const weft_next *next)
{
    weft_init_result result;

    result.kind = (uint8_t)kind;
    result.hibernate = next->hibernate;
    result.state = state;
    result.reason = reason;
    result.then = next->then;
    result.timeout_ms = next->timeout_ms;
    return result;
}

/* Of init: it is up, with that state (NULL is a state too). GS-2 */
#define weft_init_ok(state, ...)                                              \
    WEFT_CALL_OPTIONS(weft__init_result(WEFT__RESULT_OK, (state), weft__term(0), WEFT__NEXT(__VA_ARGS__)))
/* Of init: there is nothing to run. The start gives an ignored one. GS-3 */
#define weft_init_ignore()                                                    \
    WEFT_CALL_OPTIONS(weft__init_result(WEFT__RESULT_IGNORE, NULL, weft__term(0), WEFT__NEXT()))
/* Of init: the start fails with the reason, and the process ends with it. GS-4 */
#define weft_init_stop(reason)                                                \
    WEFT_CALL_OPTIONS(weft__init_result(WEFT__RESULT_STOP, NULL, (reason), WEFT__NEXT()))
/* The same, but the process ends with :normal: nobody linked is hurt. GS-5 */
#define weft_init_error(reason)                                               \
    WEFT_CALL_OPTIONS(weft__init_result(WEFT__RESULT_ERROR, NULL, (reason), WEFT__NEXT()))

/* Of handle_call: answer, and go on: weft_reply(value, .timeout_ms = 100). GS-29 */
#define weft_reply(value, ...)                                                \
    WEFT_CALL_OPTIONS(weft__result(WEFT__RESULT_REPLY, (value), weft__term(0), WEFT__NEXT(__VA_ARGS__)))
/* Of any but init: go on; a call is answered later, by weft_gen_server_reply. GS-30 */
#define weft_noreply(...)                                                     \
    WEFT_CALL_OPTIONS(weft__result(WEFT__RESULT_NOREPLY, weft__term(0), weft__term(0), WEFT__NEXT(__VA_ARGS__)))
/* End with the reason, after terminate. A call that waits exits with it. */
#define weft_stop(reason)                                                     \
    WEFT_CALL_OPTIONS(weft__result(WEFT__RESULT_STOP, weft__term(0), (reason), WEFT__NEXT()))
/* Of handle_call: the same, and the call is answered after terminate. GS-32 */
#define weft_stop_reply(reason, value)                                        \
    WEFT_CALL_OPTIONS(weft__result(WEFT__RESULT_STOP_REPLY, (value), (reason), WEFT__NEXT()))

/* -- callbacks ------------------------------------------------------------------------ */

/* What a server does. All run in its process, one after the other, and may
 * park; terms they are given or build live to their end. NULL stands for the
 * default. Lives as long as the program. */
struct weft_gen_server {
    /* Makes the state. NULL: none. GS-1 to GS-6 */
    weft_init_result (*init)(weft_term arg);
    /* A request that is waited for. NULL: crashes with {:bad_call, request}. GS-14, GS-28 */
    weft_result (*handle_call)(void *state, weft_term request, weft_from from);
    /* One that is not. NULL: crashes with {:bad_cast, request}. */
    weft_result (*handle_cast)(void *state, weft_term request);
    /* Any other message: sends, :DOWN, :EXIT, timers, :timeout. NULL: logged and
     * dropped. GS-26, GS-27 */
    weft_result (*handle_info)(void *state, weft_term message);
    /* What .then asked for. NULL: crashes with {:bad_continue, term}. */
    weft_result (*handle_continue)(void *state, weft_term term);
    /* Last words: after a stop, a crash of a callback, weft_gen_server_stop, and
     * the parent's exit signal when trapping. NULL: none. GS-42 to GS-48 */
    void (*terminate)(void *state, weft_term reason);
    /* The state as a term, for weft_sys_get_state and reports. NULL: its address. */
    weft_term (*describe)(void *state);
    /* What reports and weft_sys_get_status show: a map with some of the keys state,
     * message, reason, log; returns it with what is secret taken out. GS-59 */
    weft_term (*format_status)(weft_term status);
    /* Run terminate after a fault by a signal too, when the state may be half
     * written. GS-34 */
    bool terminate_after_fault;
    /* In child specs and reports; NULL: "GenServer". */
    const char *name;
    void *reserved[4]; /* zero */
};
typedef struct weft_gen_server weft_gen_server;

/* -- starting --------------------------------------------------------------------------- */

struct weft_gen_server_options {
    WEFT_OPTION(size_t, size, sizeof(weft_gen_server_options));
    WEFT_OPTION(weft_term, name, {0});            /* an atom, or weft_via(registry, key) */
    WEFT_OPTION(int64_t, timeout_ms, INT64_MAX);  /* for init, see GS-7; WEFT_INFINITY */
    WEFT_OPTION(weft_ref *, monitor, NULL);       /* monitored from the start: the reference */
    WEFT_OPTION(enum weft_priority, priority, WEFT_NORMAL);
    WEFT_OPTION(size_t, stack_size, 0);           /* bytes, for its callbacks; 0: 64 KiB */
    WEFT_OPTION(bool, sticky, false);             /* stays on one kernel thread */
    WEFT_OPTION(const char *, label, NULL);       /* shown in reports; copied */
    WEFT_OPTION(int64_t, hibernate_after_ms, INT64_MAX); /* accepted; see .hibernate */
    WEFT_OPTION(size_t, max_queue, 0);            /* as of weft_spawn: messages, casts and calls */
    WEFT_OPTION(enum weft_when_full, when_full, WEFT_FULL_REFUSE);
};
#define WEFT_GEN_SERVER_DEFAULTS                                              \
    .size = sizeof(struct weft_gen_server_options), .name = {0},              \
    .timeout_ms = INT64_MAX, .monitor = NULL, .priority = WEFT_NORMAL,        \
    .stack_size = 0, .sticky = false, .label = NULL, .hibernate_after_ms = INT64_MAX, \
    .max_queue = 0, .when_full = WEFT_FULL_REFUSE

/* Start a server and wait until its init has returned.
 *
 *   arg      for init; copied. weft_none: init gets weft_none
 *
 * _start_link links it to the caller, which is its parent; _start does neither.
 *
 * Where:    in a process. May park.
 * Returns:  .ok and its pid; .ok and no pid when init chose not to run; else the
 *           .reason: what init said; {:already_started, pid} when the name is
 *           taken (init does not run); :timeout; {:system_limit, text}. The
 *           process is gone and its name free when a start has failed.
 * Exits:    a mistake in an option, by name. A linked caller that does not trap
 *           ends with the server's reason when that is not :normal.
 * Meaning:  Elixir GenServer.start_link/3; rules GS-1 to GS-12.
 */
#define weft_gen_server_start_link(server, arg, ...)                          \
    WEFT_CALL_OPTIONS(weft_gen_server_start_link_opt((server), (arg),         \
        WEFT_OPTIONS(weft_gen_server_options, WEFT_GEN_SERVER_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_gen_server_start_link_opt(const weft_gen_server *server, weft_term arg,
                                                     const struct weft_gen_server_options *options);
#define weft_gen_server_start(server, arg, ...)                               \
    WEFT_CALL_OPTIONS(weft_gen_server_start_opt((server), (arg),              \
        WEFT_OPTIONS(weft_gen_server_options, WEFT_GEN_SERVER_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_gen_server_start_opt(const weft_gen_server *server, weft_term arg,
                                                const struct weft_gen_server_options *options);

/* A child of a supervisor that is such a server, with a name or weft_none. Its
 * id is server->name (as a binary), or the atom GenServer. Never switches. GS-13. */
WEFT_API weft_child_spec weft_gen_server_child(const weft_gen_server *server, weft_term arg,
                                               weft_term name);

/* -- asking ---------------------------------------------------------------------------------- */

/* Ask a server and wait for its answer.
 *
 *   server       pid, registered name (atom), or weft_via(registry, key)
 *   request      any term; copied before the call parks
 *   timeout_ms   from now; WEFT_INFINITY waits for ever
 *
 * Where:    in a process. May park: other processes run on this worker meanwhile.
 * Order:    requests from one process to one server are handled in the order made.
 * Returns:  the reply, in the caller's scope.
 * Cost:     the same however many messages the caller holds.
 * Exits:    {:timeout, {GenServer, :call, [server, request, timeout]}}   no answer
 *           in time; the server may still handle it, a late answer is dropped
 *           {:noproc, ...}          nobody there; if it ended before it answered,
 *           its own reason instead, :normal too
 *           {:calling_self, ...}    a server that waits for itself would wait for ever
 *           {:mailbox_full, ...}    it has a bound and is full (.max_queue)
 *           a mistake: a negative time, no server's name, a pattern part in request
 * Meaning:  Erlang gen_server:call/3; rules GS-14 to GS-24.
 */
WEFT_API weft_term weft_gen_server_call(weft_server server, weft_term request, int64_t timeout_ms);

/* The same, reporting: true and the reply in *result, or false and in *result the
 * bare reason (:timeout, :noproc, :calling_self, :mailbox_full, the server's own).
 * May park. */
WEFT_API bool weft_gen_server_try_call(weft_server server, weft_term request, int64_t timeout_ms,
                                       weft_term *result);

/* Tell a server; nobody waits. Nothing happens when it does not exist. In a
 * process. Never switches. Exits: a mistake, {:system_limit, text}, or
 * {:mailbox_full, server} when it has a bound, is full, and refuses. GS-25. */
WEFT_API void weft_gen_server_cast(weft_server server, weft_term request);

/* The same, reporting: 0, also when it does not exist; WEFT_EFULL: it is full, and
 * refuses. A mistake ends the caller all the same. Never switches. */
WEFT_API int weft_gen_server_try_cast(weft_server server, weft_term request);

/* The same, waiting for room where the server has a bound and is full: 0;
 * WEFT_ETIMEDOUT: there was none in time, and nothing is sent; WEFT_EDEADLK: the
 * server itself cast to itself, and is full. May park. As weft_send_wait. */
WEFT_API int weft_gen_server_cast_wait(weft_server server, weft_term request, int64_t timeout_ms);

/* Cast to a registered name: GS-61. Never switches. */
WEFT_API void weft_gen_server_abcast(weft_atom name, weft_term request);

/* Answer a call that a server left open, from any process, before or after its
 * callback returns. The first answer counts; a client that is gone is no
 * mistake. In a process. Never switches. GS-23, GS-24. */
WEFT_API void weft_gen_server_reply(weft_from from, weft_term value);

/* -- ending ------------------------------------------------------------------------------------ */

/* Have a server end with the reason (weft_none: :normal) once it has handled what
 * was sent before, and wait until it is gone and its name free.
 *
 * Where:    in a process. May park.
 * Exits:    {why, {GenServer, :stop, [server, reason, timeout]}}: :noproc,
 *           :calling_self, :timeout (it still ends, later), or the reason it
 *           ended with when that is another one; a mistake
 * Meaning:  Elixir GenServer.stop/3; rules GS-50 to GS-54.
 */
WEFT_API void weft_gen_server_stop(weft_server server, weft_term reason, int64_t timeout_ms);
/* The same, reporting: true, or false and the bare reason in *why. May park. */
WEFT_API bool weft_gen_server_try_stop(weft_server server, weft_term reason, int64_t timeout_ms,
                                       weft_term *why);

/* The pid that a server's name stands for now, dead or alive, or weft_none. In a
 * process. Never switches. Exits: a mistake. GS-12. */
WEFT_API weft_pid weft_gen_server_whereis(weft_server server);

WEFT__END_C

#endif

/* sys.h - look into a server that runs, and hold it: Erlang's sys.
 *
 *     weft_term state = weft_sys_get_state(WEFT_ATOM("cache"), 5000);
 *
 * For every weft_gen_server and what is built on it. The server handles these
 * requests between two callbacks, in the order of its mailbox, suspended or not;
 * they neither cancel nor postpone its idle time-out.
 *
 * Where:    every call works in a process, and may park.
 * Exits:    {why, {sys, function, [server, ...]}}: :timeout, :noproc, :calling_self, or
 *           the reason the server ended with; a mistake, {:badarg, text}.
 *           weft_sys_try reports instead
 * Meaning:  Erlang sys; rules GS-55 to GS-60.
 */
#ifndef WEFT_SYS_H
#define WEFT_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/gen_server.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* The state, as the describe callback has it; without one its address. GS-55 */
WEFT_API weft_term weft_sys_get_state(weft_server server, int64_t timeout_ms);

/* Runs in the server: the state from now on, mostly the one it was given. */
typedef void *weft_sys_replace_fn(void *state, weft_term arg);

/* Set the state to fn(state, arg); returns it as get_state does. When fn ends by
 * an exit the server goes on with the state it had, and the caller exits with
 * that reason. GS-55 */
WEFT_API weft_term weft_sys_replace_state(weft_server server, weft_sys_replace_fn *fn, weft_term arg,
                                          int64_t timeout_ms);

/* While suspended a server handles nothing but these requests and its parent's
 * exit; the rest waits in order. Twice is once. GS-56 */
WEFT_API void weft_sys_suspend(weft_server server, int64_t timeout_ms);
WEFT_API void weft_sys_resume(weft_server server, int64_t timeout_ms);

/* A map: status (:running or :suspended), pid, name (or nil), parent (or nil), module,
 * debug (a list of what is on), state and message through format_status. GS-58 */
WEFT_API weft_term weft_sys_get_status(weft_server server, int64_t timeout_ms);

/* Log a line for each message in, reply out and new state; and for each reply that
 * nobody waits for (any more), such as the second one to a call. GS-60, GS-24 */
WEFT_API void weft_sys_trace(weft_server server, bool on, int64_t timeout_ms);

/* Keep the last 10 such events; get_log gives them, oldest first: {:in, message},
 * {:out, reply}, {:state, state}, {:dropped, reply}. */
WEFT_API void weft_sys_log(weft_server server, bool on, int64_t timeout_ms);
WEFT_API weft_term weft_sys_get_log(weft_server server, int64_t timeout_ms);

/* Count messages in and replies out since it is on: a map with since_ms and now_ms
 * (weft_monotonic_ms), messages_in and messages_out; :no_statistics when off. */
WEFT_API void weft_sys_statistics(weft_server server, bool on, int64_t timeout_ms);
WEFT_API weft_term weft_sys_get_statistics(weft_server server, int64_t timeout_ms);

/* Trace, log and statistics off. */
WEFT_API void weft_sys_no_debug(weft_server server, int64_t timeout_ms);

/* Any of them, reporting: what is one of the atoms get_state, suspend, resume,
 * get_status, get_log, get_statistics, no_debug. true and the answer, or false and
 * the bare reason. */
WEFT_API bool weft_sys_try(weft_server server, weft_atom what, int64_t timeout_ms, weft_term *result);

WEFT__END_C

#endif

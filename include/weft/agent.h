/* agent.h - agents: state behind a process, for who needs only get and update.
 *
 *     static void *zero(weft_term arg) { (void)arg; return weft_new(int64_t); }
 *     static weft_term value(void *n, weft_term arg) { (void)arg; return weft_int(*(int64_t *)n); }
 *     static void *add(void *n, weft_term by) { *(int64_t *)n += weft_to_int(by); return n; }
 *
 *     weft_pid counter = weft_must(weft_agent_start_link(zero, weft_none));
 *     weft_agent_update(counter, add, weft_int(3), 5000);
 *     weft_term n = weft_agent_get(counter, value, weft_none, 5000);
 *
 * Functions are sent to the agent and run there, one at a time, in its process:
 * the state is theirs, and memory they take with weft_new or weft_keep goes with
 * the agent. A long function keeps every other client waiting. An agent is a
 * server (weft/gen_server.h): names, time-outs, links, ends and weft/sys.h are a
 * server's.
 *
 * Terms:    `arg` is copied when the call is made; weft_none: the function gets
 *           weft_none. What a get returns is copied, so it does not change with the
 *           state; a raw pointer in it is the function's own business.
 * Where:    every call works in a process, a guest too. All but cast may park.
 * Exits:    {why, {GenServer, :call, [agent, request, timeout]}}, why as for
 *           weft_gen_server_call: the reason of an agent that ended, {r, trace}
 *           when a function crashed, which ends the agent; :calling_self in a
 *           function of the agent's own. A mistake, {:badarg, text}. The _try_
 *           forms report the bare reason instead
 * Meaning:  Elixir's Agent; rules AG-1 to AG-17.
 */
#ifndef WEFT_AGENT_H
#define WEFT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/child.h"
#include "weft/gen_server.h"
#include "weft/options.h"
#include "weft/process.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* -- what runs in the agent ------------------------------------------------------- */

/* Makes the state. */
typedef void *weft_agent_init_fn(weft_term arg);
/* Looks at it: the value for the caller. */
typedef weft_term weft_agent_get_fn(void *state, weft_term arg);
/* Changes it: the state from now on, mostly the one it was given. */
typedef void *weft_agent_update_fn(void *state, weft_term arg);

/* Both: made by weft_agent_make_pair; a zeroed one is a bad return. */
struct weft_agent_pair {
    bool is_set;
    weft_term value;
    void *state;
};
typedef struct weft_agent_pair weft_agent_pair;
typedef weft_agent_pair weft_agent_get_and_update_fn(void *state, weft_term arg);

/* The value for the caller, and the state from now on. */
static inline weft_agent_pair weft_agent_make_pair(weft_term value, void *state)
{
    weft_agent_pair pair;

    pair.is_set = true;
    pair.value = value;
    pair.state = state;
    return pair;
}

/* -- starting ------------------------------------------------------------------------ */

struct weft_agent_options {
    WEFT_OPTION(size_t, size, sizeof(weft_agent_options));
    WEFT_OPTION(weft_term, name, {0});           /* an atom, or weft_via(registry, key) */
    WEFT_OPTION(int64_t, timeout_ms, INT64_MAX); /* for init */
    WEFT_OPTION(weft_ref *, monitor, NULL);      /* monitored from the start: the reference */
    WEFT_OPTION(enum weft_priority, priority, WEFT_NORMAL);
    WEFT_OPTION(size_t, stack_size, 0);          /* bytes; 0: 64 KiB */
    WEFT_OPTION(bool, sticky, false);            /* stays on one kernel thread */
    WEFT_OPTION(const char *, label, NULL);      /* shown in reports; copied */
    WEFT_OPTION(weft_agent_get_fn *, describe, NULL); /* the state for weft_sys_get_state and
                                                       * reports; gets weft_none. NULL: its address */
};
#define WEFT_AGENT_DEFAULTS                                                   \
    .size = sizeof(struct weft_agent_options), .name = {0},                   \
    .timeout_ms = INT64_MAX, .monitor = NULL, .priority = WEFT_NORMAL,        \
    .stack_size = 0, .sticky = false, .label = NULL, .describe = NULL

/* Start an agent whose state is init(arg); returns when that has returned, as
 * weft_gen_server_start does. AG-1, AG-2 */
#define weft_agent_start(init, arg, ...)                                      \
    WEFT_CALL_OPTIONS(weft_agent_start_opt((init), (arg),                     \
        WEFT_OPTIONS(weft_agent_options, WEFT_AGENT_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_agent_start_opt(weft_agent_init_fn *init, weft_term arg,
                                           const struct weft_agent_options *options);
#define weft_agent_start_link(init, arg, ...)                                 \
    WEFT_CALL_OPTIONS(weft_agent_start_link_opt((init), (arg),                \
        WEFT_OPTIONS(weft_agent_options, WEFT_AGENT_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_agent_start_link_opt(weft_agent_init_fn *init, weft_term arg,
                                                const struct weft_agent_options *options);

/* A child of a supervisor that is an agent, with a name or weft_none; its id is the
 * atom Agent. AG-13 */
WEFT_API weft_child_spec weft_agent_child(weft_agent_init_fn *init, weft_term arg, weft_term name);

/* -- using it ---------------------------------------------------------------------------- */

/* fn(state, arg), run in the agent. AG-3 */
WEFT_API weft_term weft_agent_get(weft_server agent, weft_agent_get_fn *fn, weft_term arg, int64_t timeout_ms);
WEFT_API bool weft_agent_try_get(weft_server agent, weft_agent_get_fn *fn, weft_term arg, int64_t timeout_ms,
                                 weft_term *result);

/* The state becomes fn(state, arg); returns when it has. AG-4 */
WEFT_API void weft_agent_update(weft_server agent, weft_agent_update_fn *fn, weft_term arg, int64_t timeout_ms);
WEFT_API bool weft_agent_try_update(weft_server agent, weft_agent_update_fn *fn, weft_term arg,
                                    int64_t timeout_ms, weft_term *why);

/* Both in one step. AG-5, AG-6 */
WEFT_API weft_term weft_agent_get_and_update(weft_server agent, weft_agent_get_and_update_fn *fn,
                                             weft_term arg, int64_t timeout_ms);
WEFT_API bool weft_agent_try_get_and_update(weft_server agent, weft_agent_get_and_update_fn *fn,
                                            weft_term arg, int64_t timeout_ms, weft_term *result);

/* weft_agent_update that nobody waits for; an agent that is not there is no
 * mistake. Never switches. AG-7 */
WEFT_API void weft_agent_cast(weft_server agent, weft_agent_update_fn *fn, weft_term arg);

/* As weft_gen_server_stop. AG-12 */
WEFT_API void weft_agent_stop(weft_server agent, weft_term reason, int64_t timeout_ms);
WEFT_API bool weft_agent_try_stop(weft_server agent, weft_term reason, int64_t timeout_ms, weft_term *why);

WEFT__END_C

#endif

/* timer.h - messages that come later, and the time.
 *
 *     weft_ref ref = weft_send_after(weft_self(), WEFT_ATOM("cleanup"), 60 * 1000);
 *
 * A timer is a message that is on its way until a moment has come. Setting and
 * cancelling one takes the same short time, however many there are.
 */
#ifndef WEFT_TIMER_H
#define WEFT_TIMER_H

#include "weft/process.h"

WEFT__BEGIN_C

struct weft_timer_options {
    WEFT_OPTION(size_t, size, sizeof(weft_timer_options));
    WEFT_OPTION(bool, abs, false); /* `ms` is a moment of weft_monotonic_ms() */
};
#define WEFT_TIMER_DEFAULTS .size = sizeof(struct weft_timer_options), .abs = false

/* Send a message later.
 *
 *   dest     a pid; or a name, an atom or weft_via(registry, key), looked up when
 *            the time has come
 *   message  copied now; large binaries and native objects are shared
 *   ms       from now; with .abs the moment itself, which may be past: the
 *            message is sent at once then
 *
 * Where:    in a process. Never switches.
 * Returns:  the reference by which any process may cancel it.
 * Order:    once, never early. Timers that one process set for one destination,
 *           and timers with .abs for one destination, come in the order set
 *           when they are due at the same moment.
 * Ends:     a timer to a pid is gone when that process ends; one to a name that
 *           nobody holds when it is due is dropped. The end of the process
 *           that set it means nothing to it.
 * Exits:    {:badarg, text}        dest is neither; a negative time without
 *           .abs; the message holds a pattern part or weft_none
 *           {:system_limit, text}  no memory
 * Meaning:  Erlang erlang:send_after; PROC-59, PROC-65, PROC-66. */
#define weft_send_after(dest, message, ms, ...)                           \
    WEFT_CALL_OPTIONS(weft_send_after_opt((dest), (message), (ms),        \
        WEFT_OPTIONS(weft_timer_options, WEFT_TIMER_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_ref weft_send_after_opt(weft_term dest, weft_term message, int64_t ms,
                                      const struct weft_timer_options *options);

/* The same, but what arrives is {:timeout, ref, message}: it can be told from
 * that of an earlier timer. In a process. Never switches. Erlang
 * erlang:start_timer; PROC-60. */
#define weft_start_timer(dest, message, ms, ...)                          \
    WEFT_CALL_OPTIONS(weft_start_timer_opt((dest), (message), (ms),       \
        WEFT_OPTIONS(weft_timer_options, WEFT_TIMER_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_ref weft_start_timer_opt(weft_term dest, weft_term message, int64_t ms,
                                       const struct weft_timer_options *options);

struct weft_cancel_timer_options {
    WEFT_OPTION(size_t, size, sizeof(weft_cancel_timer_options));
    WEFT_OPTION(bool, async, false); /* the answer comes as a message,
                                      * {:cancel_timer, ref, left | false} */
    WEFT_OPTION(bool, info, true);   /* false: no answer is wanted */
};
#define WEFT_CANCEL_TIMER_DEFAULTS \
    .size = sizeof(struct weft_cancel_timer_options), .async = false, .info = true

/* Take a timer back. Any process may.
 *
 * Where:    in a process. Never switches.
 * Returns:  the milliseconds that were left, rounded up, and the message will
 *           never arrive; -1 (Erlang's false) when the timer has fired, was
 *           cancelled, or never was: to its destination that means that the
 *           message is in the mailbox already. With .async or without .info: 0.
 * Exits:    {:badarg, text}   not a reference
 * Meaning:  Erlang erlang:cancel_timer; PROC-61 to PROC-63. */
#define weft_cancel_timer(ref, ...)                                       \
    WEFT_CALL_OPTIONS(weft_cancel_timer_opt((ref),                        \
        WEFT_OPTIONS(weft_cancel_timer_options, WEFT_CANCEL_TIMER_DEFAULTS, __VA_ARGS__)))
WEFT_API int64_t weft_cancel_timer_opt(weft_ref ref, const struct weft_cancel_timer_options *options);

/* The milliseconds left, rounded up, or -1; changes nothing. In a process.
 * Never switches. Exits {:badarg, text}: not a reference. PROC-64. */
WEFT_API int64_t weft_read_timer(weft_ref ref);

/* -- the time: from anywhere, never switch ------------------------------------- */

/* Since some moment before the program began; only goes forward. The first is
 * rounded down. */
WEFT_API int64_t weft_monotonic_ms(void);
WEFT_API int64_t weft_monotonic_ns(void);

/* Since 1970, UTC, as the system's clock has it: may jump. */
WEFT_API int64_t weft_system_time_ms(void);

WEFT__END_C

#endif

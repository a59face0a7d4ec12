/* child_stop.h - end one child, and see it dead.
 *
 * SUP-41 to SUP-46. What rests on is a monitor made for the stop, so a child
 * that removed its link is waited for as any other.
 */
#ifndef WEFT_OTP_CHILD_STOP_H
#define WEFT_OTP_CHILD_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "weft/child.h"

/* Stop the process by the spec's shutdown rule, for the calling supervisor. Its
 * {:EXIT, ...} is taken too. Returns what it ended with, in the caller's scope.
 * May park, as long as the rule says; a wait without end is told in the log. */
weft_term weft__child_stop(const weft_child_spec *spec, weft_pid pid);

/* Wait for the end of a process at most that long, by a monitor. NULL out: the
 * reason is not wanted. false: it lives. */
bool weft__child_await_end(weft_pid pid, weft_ref monitor, int64_t timeout_ms, weft_term *reason);

/* Is that how a child ends that was told to? */
bool weft__child_stopped_well(const weft_child_spec *spec, weft_term reason);

#endif

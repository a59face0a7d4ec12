#include "otp/sup_report.h"

#include "base/clock.h"
#include "otp/child_spec.h"
#include "proc/log.h"

#define A(name) WEFT_ATOM(#name)
#define SLOW_NS (5 * WEFT__NS_PER_S) /* a start that takes longer holds everybody up */

static weft_term pair(weft_atom key, weft_term value)
{
    return weft_tuple(key, weft_is_none(value) ? A(undefined) : value);
}

void weft__sup_report_end(weft_term supervisor, const weft_child_spec *spec, weft_pid pid, weft_term reason)
{
    if (spec->restart == WEFT_PERMANENT && weft_eq(reason, A(normal)))
        weft__log_report(WEFT_LOG_ERROR, "child ended :normal but is permanent: it is restarted; use WEFT_TRANSIENT",
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id), pair(A(pid), pid)));
    else if (weft__reason_is_quiet(reason))
        weft__log_report(WEFT_LOG_DEBUG, "child ended",
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id), pair(A(pid), pid),
                                   pair(A(reason), reason)));
    else
        weft__log_report(WEFT_LOG_ERROR, "child ended abnormally",
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id), pair(A(pid), pid),
                                   pair(A(reason), reason)));
}

void weft__sup_report_start(weft_term supervisor, const weft_child_spec *spec, weft_term reason, bool is_restart)
{
    if (is_restart)
        weft__log_report(WEFT_LOG_ERROR,
                         "child did not start again; each try counts as a restart, without delay: connect in "
                         "handle_continue and retry there, or give it .backoff_ms",
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id),
                                   pair(A(reason), reason)));
    else
        weft__log_report(WEFT_LOG_ERROR, "child did not start",
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id),
                                   pair(A(reason), reason)));
}

void weft__sup_report_stop(weft_term supervisor, const weft_child_spec *spec, weft_pid pid, weft_term reason)
{
    weft__log_report(WEFT_LOG_ERROR, "child did not stop as told",
                     weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id), pair(A(pid), pid),
                               pair(A(reason), reason)));
}

void weft__sup_report_stops(weft_term supervisor, weft_term reason, int64_t n)
{
    weft__log_report(WEFT_LOG_ERROR, "children did not stop as told",
                     weft_list(pair(A(supervisor), supervisor), pair(A(reason), reason), pair(A(children), weft_int(n))));
}

void weft__sup_report_intensity(weft_term supervisor, const struct weft__intensity *intensity)
{
    weft__log_report(WEFT_LOG_ERROR, "supervisor gives up: too many restarts",
                     weft_list(pair(A(supervisor), supervisor),
                               pair(A(max_restarts), weft_int(intensity->max_restarts)),
                               pair(A(max_seconds), weft_int(intensity->period_ns / WEFT__NS_PER_S)),
                               pair(A(restarts), weft_int((int64_t)intensity->n)),
                               /* {ms ago, child, reason} */
                               pair(A(endings), weft__intensity_endings(intensity))));
}

void weft__sup_report_budget(weft_term supervisor, const weft_child_spec *spec, weft_term reason)
{
    weft__log_report(WEFT_LOG_ERROR, "supervisor gives up: a child has used up its budget of restarts",
                     weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id),
                               pair(A(restart_budget), weft_int(spec->restart_budget)), pair(A(reason), reason)));
}

void weft__sup_report_message(weft_term supervisor, weft_term message)
{
    weft__log_report(WEFT_LOG_ERROR, "supervisor got a message that it does not expect",
                     weft_list(pair(A(supervisor), supervisor), pair(A(message), message)));
}

void weft__sup_report_time(weft_term supervisor, const weft_child_spec *spec, const char *verb, int64_t took_ns)
{
    if (took_ns > SLOW_NS)
        weft__log_report(WEFT_LOG_WARNING, "a child takes long; nothing else happens in its supervisor meanwhile",
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id),
                                   pair(A(what), weft_str(verb)),
                                   pair(A(took_ms), weft_int(took_ns / WEFT__NS_PER_MS))));
    else
        weft__log_report(WEFT_LOG_DEBUG, verb,
                         weft_list(pair(A(supervisor), supervisor), pair(A(child), spec->id),
                                   pair(A(took_us), weft_int(took_ns / WEFT__NS_PER_US))));
}

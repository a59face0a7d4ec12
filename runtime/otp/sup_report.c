#include "otp/sup_report.h"

#include "base/clock.h"
#include "otp/child_spec.h"
#include "proc/report.h"

#define A(name) WEFT_ATOM(#name)
#define SLOW_NS (5 * WEFT__NS_PER_S) /* a start that takes longer holds everybody up */

/* Of a child: its pid, or weft_none. */
static struct weft__report child_report(weft_term supervisor, const weft_child_spec *spec, weft_term pid,
                                        weft_term reason)
{
    return (struct weft__report){
        .what = A(child), .pid = pid, .name = weft_none, .child = weft_is_none(spec->id) ? A(undefined) : spec->id,
        .supervisor = supervisor, .reason = reason, .stack = weft_none, .last_message = weft_none, .more = weft_none,
    };
}

/* Of the calling supervisor itself; more: what is to be told. */
static struct weft__report own_report(weft_term supervisor, weft_term reason, weft_term more)
{
    return (struct weft__report){
        .what = A(supervisor), .pid = weft_self(), .name = weft_is_pid(supervisor) ? weft_none : supervisor,
        .child = weft_none, .supervisor = weft_none, .reason = reason, .stack = weft_none,
        .last_message = weft_none, .more = more,
    };
}

static weft_term pair(weft_atom key, weft_term value)
{
    return weft_tuple(key, weft_is_none(value) ? A(undefined) : value);
}

void weft__sup_report_end(weft_term supervisor, const weft_child_spec *spec, weft_pid pid, weft_term reason)
{
    if (spec->restart == WEFT_PERMANENT && weft_eq(reason, A(normal)))
        weft__report_log(WEFT_LOG_ERROR, "child ended :normal but is permanent: it is restarted; use WEFT_TRANSIENT",
                         child_report(supervisor, spec, pid, reason));
    else if (weft__reason_is_quiet(reason))
        weft__report_log(WEFT_LOG_DEBUG, "child ended", child_report(supervisor, spec, pid, reason));
    else
        weft__report_log(WEFT_LOG_ERROR, "child ended abnormally", child_report(supervisor, spec, pid, reason));
}

void weft__sup_report_start(weft_term supervisor, const weft_child_spec *spec, weft_term reason, bool is_restart)
{
    if (is_restart)
        weft__report_log(WEFT_LOG_ERROR,
                         "child did not start again; each try counts as a restart, without delay: connect in "
                         "handle_continue and retry there, or give it .backoff_ms",
                         child_report(supervisor, spec, weft_none, reason));
    else
        weft__report_log(WEFT_LOG_ERROR, "child did not start", child_report(supervisor, spec, weft_none, reason));
}

void weft__sup_report_stop(weft_term supervisor, const weft_child_spec *spec, weft_pid pid, weft_term reason)
{
    weft__report_log(WEFT_LOG_ERROR, "child did not stop as told", child_report(supervisor, spec, pid, reason));
}

void weft__sup_report_stops(weft_term supervisor, weft_term reason, int64_t n)
{
    weft__report_log(WEFT_LOG_ERROR, "children did not stop as told",
                     own_report(supervisor, reason, weft_list(pair(A(children), weft_int(n)))));
}

static weft_term intensity_facts(const struct weft__intensity *intensity)
{
    return weft_list(pair(A(max_restarts), weft_int(intensity->max_restarts)),
                     pair(A(max_seconds), weft_int(intensity->period_ns / WEFT__NS_PER_S)),
                     pair(A(restarts), weft_int((int64_t)intensity->n)),
                     /* {ms ago, child, reason} */
                     pair(A(endings), weft__intensity_endings(intensity)));
}

void weft__sup_report_intensity(weft_term supervisor, const struct weft__intensity *intensity)
{
    weft__report_log(WEFT_LOG_ERROR, "supervisor gives up: too many restarts",
                     own_report(supervisor, A(shutdown), intensity_facts(intensity)));
}

void weft__sup_report_budget(weft_term supervisor, const weft_child_spec *spec, weft_term reason)
{
    weft__report_log(WEFT_LOG_ERROR, "supervisor gives up: a child has used up its budget of restarts",
                     own_report(supervisor, A(shutdown),
                                weft_list(pair(A(last_child), spec->id), pair(A(last_reason), reason),
                                          pair(A(restart_budget), weft_int(spec->restart_budget)))));
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

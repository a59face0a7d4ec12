#include "otp/child_stop.h"

#include "base/clock.h"
#include "otp/child_spec.h"
#include "proc/log.h"

#define A(name) WEFT_ATOM(#name)
#define TELL_MS 10000 /* a wait without end is told this often */

bool weft__child_await_end(weft_pid pid, weft_ref monitor, int64_t timeout_ms, weft_term *reason)
{
    weft_term ended;

    if (!weft_receive(weft_tuple(A(DOWN), monitor, A(process), pid, weft_bind(&ended)), timeout_ms, NULL))
        return false;
    if (reason != NULL)
        *reason = ended;
    return true;
}

/* For ever, but not in silence. */
static void await_patiently(const weft_child_spec *spec, weft_pid pid, weft_ref monitor, weft_term *reason)
{
    int64_t since = weft__clock_ns();

    while (!weft__child_await_end(pid, monitor, TELL_MS, reason))
        weft__log_report(WEFT_LOG_WARNING, "supervisor waits for a child that does not stop",
                         weft_list(weft_tuple(A(child), spec->id), weft_tuple(A(pid), pid),
                                   weft_tuple(A(waited_s), weft_int((weft__clock_ns() - since) / WEFT__NS_PER_S))));
}

weft_term weft__child_stop(const weft_child_spec *spec, weft_pid pid)
{
    int64_t shutdown_ms = weft__child_shutdown_ms(spec);
    weft_ref monitor = weft_monitor(pid);
    weft_term reason = weft_none, exited;

    if (shutdown_ms == WEFT_BRUTAL_KILL)
        weft_kill(pid);
    else
        weft_exit_signal(pid, A(shutdown));
    if (shutdown_ms == WEFT_INFINITY) {
        await_patiently(spec, pid, monitor, &reason);
    } else if (shutdown_ms == WEFT_BRUTAL_KILL || !weft__child_await_end(pid, monitor, shutdown_ms, &reason)) {
        if (shutdown_ms != WEFT_BRUTAL_KILL)
            weft_kill(pid);
        await_patiently(spec, pid, monitor, &reason);
    }
    /* Links are told before monitors: its exit is here, if there was a link.
     * One that was dead before the monitor says there what it died of. */
    if (weft_receive(weft_tuple(A(EXIT), pid, weft_bind(&exited)), 0, NULL) && weft_eq(reason, A(noproc)))
        reason = exited;
    return reason;
}

bool weft__child_stopped_well(const weft_child_spec *spec, weft_term reason)
{
    if (weft_eq(reason, A(killed)))
        return weft__child_shutdown_ms(spec) == WEFT_BRUTAL_KILL;
    if (weft_eq(reason, A(normal)))
        return spec->restart != WEFT_PERMANENT;
    /* noproc: it had ended before, unlinked; nothing is known of how. */
    return weft__reason_is_quiet(reason) || weft_eq(reason, A(noproc));
}

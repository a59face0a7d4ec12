#include "otp/child.h"

#include "base/clock.h"
#include "otp/child_spec.h"
#include "otp/child_stop.h"
#include "otp/sup_report.h"
#include "proc/bond.h"
#include "proc/proc.h"
#include "weft/timer.h"

#define A(name) WEFT_ATOM(#name)

/* -- where it stands ------------------------------------------------------------- */

struct weft__child *weft__child_new(const weft_child_spec *spec)
{
    struct weft__child *child = weft_new(struct weft__child);

    weft__child_keep(&child->spec, spec);
    return child;
}

static void forget_retry(struct weft__child *child)
{
    weft_drop(child->reason);
    child->reason = child->retry = weft_none;
}

void weft__child_free(struct weft__child *child)
{
    forget_retry(child);
    weft__child_drop(&child->spec);
    weft_free(child);
}

void weft__child_forget_arg(struct weft__child *child)
{
    weft_drop(child->spec.arg);
    child->spec.arg = weft_none;
}

void weft__child_set_running(struct weft__child *child, weft_pid pid)
{
    forget_retry(child);
    child->state = WEFT__CHILD_RUNNING;
    child->pid = pid;
    child->since_ns = weft__clock_ns();
}

void weft__child_set_stopped(struct weft__child *child)
{
    forget_retry(child);
    child->state = WEFT__CHILD_STOPPED;
    child->pid = weft_none;
}

weft_term weft__child_line(const struct weft__child *child, weft_term id)
{
    weft_term pid = child->state == WEFT__CHILD_RUNNING   ? child->pid
                    : child->state == WEFT__CHILD_STOPPED ? A(undefined)
                                                          : A(restarting);

    return weft_tuple(id, pid, child->spec.type == WEFT_WORKER ? A(worker) : A(supervisor), weft_list());
}

/* -- start and end ------------------------------------------------------------------- */

/* Nobody would hear of the end of one that is not linked. What is dead already
 * has its {:EXIT, ...} in the mailbox, or gets it now. */
static bool is_heard_of(weft_pid pid)
{
    weft_term exit;

    if (weft__is_linked(weft__proc_need("weft_supervisor"), pid))
        return true;
    if (weft_is_alive(pid))
        return false;
    if (weft_receive(weft_tuple(A(EXIT), pid, weft_any), 0, &exit))
        weft_send(weft_self(), exit);
    else
        weft_link(pid);
    return true;
}

weft_started weft__child_run(struct weft__child *child, weft_term supervisor, weft_term arg)
{
    int64_t begun = weft__clock_ns();
    weft_started started = weft__child_start(&child->spec, arg);

    weft__sup_report_time(supervisor, &child->spec, "child started", weft__clock_ns() - begun);
    if (started.ok && weft_is_pid(started.pid) && !is_heard_of(started.pid)) {
        weft_kill(started.pid);
        started = weft_started_error(A(not_linked));
    }
    if (started.ok && weft_is_pid(started.pid))
        weft__child_set_running(child, started.pid);
    else
        weft__child_set_stopped(child);
    return started;
}

weft_started weft__child_run_again(struct weft__child *child, weft_term supervisor, weft_term arg)
{
    weft_started started = weft__child_run(child, supervisor, arg);
    int64_t shutdown_ms = weft__child_shutdown_ms(&child->spec);
    weft_pid holder;
    weft_ref monitor;

    if (started.ok || shutdown_ms <= 0 ||
        !weft_match(started.reason, weft_tuple(A(already_started), weft_bind_pid(&holder))))
        return started;
    monitor = weft_monitor(holder);
    if (weft__child_await_end(holder, monitor,
                              shutdown_ms < WEFT__CHILD_SHUTDOWN_MS ? shutdown_ms : WEFT__CHILD_SHUTDOWN_MS, NULL))
        return weft__child_run(child, supervisor, arg);
    weft_demonitor(monitor, true);
    return started;
}

void weft__child_end(struct weft__child *child, weft_term supervisor)
{
    if (child->state == WEFT__CHILD_RUNNING) {
        WEFT_SCOPE;
        int64_t begun = weft__clock_ns();
        weft_term reason = weft__child_stop(&child->spec, child->pid);

        if (!weft__child_stopped_well(&child->spec, reason))
            weft__sup_report_stop(supervisor, &child->spec, child->pid, reason);
        weft__sup_report_time(supervisor, &child->spec, "child stopped", weft__clock_ns() - begun);
    }
    weft__child_set_stopped(child);
}

/* -- once more ---------------------------------------------------------------------------- */

static void retry(struct weft__child *child, weft_term reason, int64_t delay_ms)
{
    weft_term kept = weft_keep(reason), message; /* reason may be what is forgotten next */

    forget_retry(child);
    child->state = WEFT__CHILD_RESTARTING;
    child->reason = kept;
    child->retry = weft_make_ref();
    message = weft_tuple(WEFT_ATOM("$restart"), weft_is_none(child->pid) ? A(nil) : child->pid, child->retry);
    if (delay_ms > 0)
        weft_send_after(weft_self(), message, delay_ms);
    else
        weft_send(weft_self(), message);
}

void weft__child_retry_soon(struct weft__child *child, weft_term reason)
{
    retry(child, reason, 0);
}

/* Half of the delay, and a part of the other half by chance. */
static int64_t delay_of(const struct weft__child *child, struct weft__rand *rand)
{
    int64_t delay_ms = child->spec.backoff_ms, max_ms = child->spec.backoff_max_ms;

    for (int64_t i = 0; i < child->n_in_row && delay_ms < max_ms; i++)
        delay_ms = delay_ms > max_ms / 2 ? max_ms : 2 * delay_ms;
    return delay_ms - (int64_t)(weft__rand_next(rand) % (uint64_t)(delay_ms / 2 + 1));
}

bool weft__child_retry_later(struct weft__child *child, weft_term reason, struct weft__rand *rand)
{
    int64_t up_ms = (weft__clock_ns() - child->since_ns) / WEFT__NS_PER_MS;

    if (child->state == WEFT__CHILD_RUNNING && up_ms >= child->spec.backoff_max_ms)
        child->n_in_row = 0;
    if (child->n_in_row >= child->spec.restart_budget)
        return false;
    retry(child, reason, delay_of(child, rand));
    child->n_in_row++;
    return true;
}

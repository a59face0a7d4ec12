/* dynamic_supervisor.c - a server whose state is a set of children, by pid.
 *
 * Every child is in by_pid: a RUNNING one by its pid, one that is RESTARTING by
 * its last one, which still names it (DSUP-26). The end and which_children walk
 * the list, so that what ends one after the other lies side by side in memory.
 *
 * The end. All children are told at the same moment and waited for together.
 * Whatever comes meanwhile is taken from the mailbox in order, so that a
 * hundred thousand ends cost as many steps; the next deadline is the least
 * .shutdown_ms among those that still live, and kills just those.
 */
#include "otp/dynamic_supervisor.h"

#include "base/clock.h"
#include "otp/child_spec.h"
#include "otp/child_stop.h"
#include "otp/sup_report.h"
#include "otp/supervisor.h"
#include "weft/log.h"

#define A(name) WEFT_ATOM(#name)
#define PERMANENT_WARN 100 /* permanent children for each restart allowed: too many */

/* -- the set of children ------------------------------------------------------------- */

static void count(struct weft__dynamic *dynamic, const struct weft__child *child, int by)
{
    if (child->spec.type == WEFT_SUPERVISOR)
        dynamic->n_supervisors += by;
    if (child->spec.restart == WEFT_PERMANENT)
        dynamic->n_permanent += by;
}

static void warn_of_many(struct weft__dynamic *dynamic)
{
    if (dynamic->has_warned || dynamic->intensity.max_restarts == 0 ||
        dynamic->n_permanent / PERMANENT_WARN <= dynamic->intensity.max_restarts)
        return;
    dynamic->has_warned = true;
    weft_log_warning("%s has %lld permanent children and ends with all of them after %lld restarts within "
                     "its .max_seconds: raise .max_restarts, make them WEFT_TEMPORARY, or give them a back-off",
                     weft_inspect(dynamic->name), (long long)dynamic->n_permanent,
                     (long long)dynamic->intensity.max_restarts);
}

static void list_push(struct weft__dynamic *dynamic, struct weft__child *child)
{
    child->older = dynamic->newest;
    child->newer = NULL;
    if (child->older != NULL)
        child->older->newer = child;
    dynamic->newest = child;
}

static void list_remove(struct weft__dynamic *dynamic, struct weft__child *child)
{
    if (child->older != NULL)
        child->older->newer = child->newer;
    if (child->newer != NULL)
        child->newer->older = child->older;
    else
        dynamic->newest = child->older;
}

void weft__dynamic_adopt(struct weft__dynamic *dynamic, struct weft__child *child)
{
    list_push(dynamic, child);
    weft__pid_map_put(&dynamic->by_pid, child->pid, child);
    count(dynamic, child, 1);
    warn_of_many(dynamic);
}

static void forget(struct weft__dynamic *dynamic, struct weft__child *child)
{
    count(dynamic, child, -1);
    list_remove(dynamic, child);
    weft__child_free(child);
}

/* What its start function gets. */
static weft_term argument_of(const struct weft__dynamic *dynamic, const struct weft__child *child)
{
    weft_term list;

    if (weft_is_none(dynamic->extra))
        return child->spec.arg;
    list = weft_is_none(child->spec.arg) ? weft_empty_list : weft_list(child->spec.arg);
    weft_list_each (element, weft_list_reverse(dynamic->extra))
        list = weft_cons(element, list);
    return list;
}

/* -- ends and restarts: false when the supervisor has to end ------------------------------ */

static bool give_up(struct weft__dynamic *dynamic, struct weft__child *child, weft_term reason, bool is_budget)
{
    if (is_budget)
        weft__sup_report_budget(dynamic->name, &child->spec, reason);
    else
        weft__sup_report_intensity(dynamic->name, &dynamic->intensity);
    forget(dynamic, child);
    return false;
}

/* Behind what waits, or after its back-off; it stays known by last. */
static bool retry(struct weft__dynamic *dynamic, struct weft__child *child, weft_pid last, weft_term reason)
{
    child->pid = last;
    if (!weft__child_has_backoff(child))
        weft__child_retry_soon(child, reason);
    else if (!weft__child_retry_later(child, reason, &dynamic->rand))
        return give_up(dynamic, child, reason, true);
    weft__pid_map_put(&dynamic->by_pid, last, child);
    dynamic->n_restarting++;
    return true;
}

/* Start it again, now. It is in no map. */
static bool revive(struct weft__dynamic *dynamic, struct weft__child *child)
{
    weft_pid last = child->pid;
    weft_started started;
    WEFT_SCOPE;

    started = weft__child_run_again(child, dynamic->name, argument_of(dynamic, child));
    if (started.ok && weft_started_is_ignored(started)) {
        forget(dynamic, child);
        return true;
    }
    if (started.ok) {
        weft__pid_map_put(&dynamic->by_pid, child->pid, child);
        return true;
    }
    weft__sup_report_start(dynamic->name, &child->spec, started.reason, true);
    return retry(dynamic, child, last, started.reason);
}

static bool revive_counted(struct weft__dynamic *dynamic, struct weft__child *child, weft_term reason)
{
    if (!weft__intensity_add(&dynamic->intensity, child->pid, reason))
        return give_up(dynamic, child, reason, false);
    return revive(dynamic, child);
}

static bool on_exit(struct weft__dynamic *dynamic, weft_pid pid, weft_term reason)
{
    struct weft__child *child = weft__pid_map_take(&dynamic->by_pid, pid);

    if (child == NULL)
        return true;
    if (child->state == WEFT__CHILD_RESTARTING) { /* an exit it was not the last to send */
        weft__pid_map_put(&dynamic->by_pid, pid, child);
        return true;
    }
    if (!child->reports_itself)
        weft__sup_report_end(dynamic->name, &child->spec, pid, reason);
    if (!weft__child_restarts(&child->spec, reason)) {
        forget(dynamic, child);
        return true;
    }
    return weft__child_has_backoff(child) ? retry(dynamic, child, pid, reason)
                                          : revive_counted(dynamic, child, reason);
}

static bool on_retry(struct weft__dynamic *dynamic, weft_pid last, weft_ref ref)
{
    struct weft__child *child = weft__pid_map_get(&dynamic->by_pid, last);

    if (child == NULL || !weft_eq(child->retry, ref))
        return true; /* terminated meanwhile */
    weft__pid_map_take(&dynamic->by_pid, last);
    dynamic->n_restarting--;
    return weft__child_has_backoff(child) ? revive(dynamic, child) : revive_counted(dynamic, child, child->reason);
}

/* -- requests ------------------------------------------------------------------------------ */

static weft_term error(weft_term reason)
{
    return weft_tuple(A(error), reason);
}

static weft_term on_start_child(struct weft__dynamic *dynamic, weft_term packed)
{
    weft_child_spec spec;
    struct weft__child *child;
    weft_started started;

    if (weft__dynamic_is_full(dynamic))
        return error(A(max_children));
    weft__child_unpack(&spec, packed);
    child = weft__child_new(&spec);
    started = weft__child_run(child, dynamic->name, argument_of(dynamic, child));
    if (!started.ok || weft_started_is_ignored(started)) {
        weft__child_free(child);
        return started.ok ? A(ignore) : error(started.reason);
    }
    if (spec.restart == WEFT_TEMPORARY)
        weft__child_forget_arg(child);
    weft__dynamic_adopt(dynamic, child);
    return weft_is_none(started.info) ? weft_tuple(A(ok), started.pid) : weft_tuple(A(ok), started.pid, started.info);
}

static weft_term on_terminate_child(struct weft__dynamic *dynamic, weft_term pid)
{
    struct weft__child *child = weft_is_pid(pid) ? weft__pid_map_take(&dynamic->by_pid, pid) : NULL;

    if (child == NULL)
        return error(A(not_found));
    if (child->state == WEFT__CHILD_RESTARTING)
        dynamic->n_restarting--;
    weft__child_end(child, dynamic->name);
    forget(dynamic, child);
    return A(ok);
}

static weft_term on_which_children(const struct weft__dynamic *dynamic)
{
    weft_term list = weft_empty_list;

    for (const struct weft__child *child = dynamic->newest; child != NULL; child = child->older)
        list = weft_cons(weft__child_line(child, A(undefined)), list);
    return list;
}

static weft_term on_count_children(const struct weft__dynamic *dynamic)
{
    int64_t n = (int64_t)dynamic->by_pid.n;

    return weft_tuple(weft_int(n), weft_int(n - dynamic->n_restarting), weft_int(dynamic->n_supervisors),
                      weft_int(n - dynamic->n_supervisors));
}

weft_term weft__dynamic_answer(struct weft__dynamic *dynamic, weft_term what, weft_term arg)
{
    if (weft_eq(what, A(start_child)))
        return on_start_child(dynamic, arg);
    if (weft_eq(what, A(terminate_child)))
        return on_terminate_child(dynamic, arg);
    if (weft_eq(what, A(which_children)))
        return on_which_children(dynamic);
    return weft_eq(what, A(count_children)) ? on_count_children(dynamic) : weft_none;
}

/* -- the end --------------------------------------------------------------------------------- */

/* Endings that were not as told, once for each reason (DSUP-35). */
#define ODD_MAX 16

struct ending {
    struct weft__dynamic *dynamic;
    int64_t n_left;        /* of those that were told */
    struct {
        weft_term reason;  /* kept */
        int64_t n;
    } odd[ODD_MAX];
    size_t n_odd;
    int64_t n_more;        /* of other reasons */
};

static void note_odd(struct ending *ending, weft_term reason)
{
    for (size_t i = 0; i < ending->n_odd; i++)
        if (weft_eq(ending->odd[i].reason, reason)) {
            ending->odd[i].n++;
            return;
        }
    if (ending->n_odd == ODD_MAX) {
        ending->n_more++;
        return;
    }
    ending->odd[ending->n_odd].reason = weft_keep(reason);
    ending->odd[ending->n_odd++].n = 1;
}

static void report_odd(struct ending *ending)
{
    for (size_t i = 0; i < ending->n_odd; i++) {
        WEFT_SCOPE;

        weft__sup_report_stops(ending->dynamic->name, ending->odd[i].reason, ending->odd[i].n);
        weft_drop(ending->odd[i].reason);
    }
    if (ending->n_more > 0)
        weft__sup_report_stops(ending->dynamic->name, A(other_reasons), ending->n_more);
}

/* Tell them to end, or kill them, the newest first. Those that are RESTARTING have
 * nothing to end. */
static void tell_all(struct ending *ending)
{
    for (const struct weft__child *child = ending->dynamic->newest; child != NULL; child = child->older) {
        if (child->state != WEFT__CHILD_RUNNING)
            continue;
        ending->n_left++;
        weft_monitor(child->pid);
        if (weft__child_shutdown_ms(&child->spec) == WEFT_BRUTAL_KILL)
            weft_kill(child->pid);
        else
            weft_exit_signal(child->pid, A(shutdown));
    }
}

/* Of those that live: kill the ones that were given up to `after_ms`, and say
 * when the next ones are due: milliseconds from the beginning. */
static int64_t kill_overdue(const struct weft__dynamic *dynamic, int64_t after_ms)
{
    int64_t next_ms = WEFT_INFINITY;

    for (const struct weft__child *child = dynamic->newest; child != NULL; child = child->older) {
        int64_t shutdown_ms = weft__child_shutdown_ms(&child->spec);

        if (child->state != WEFT__CHILD_RUNNING)
            continue;
        if (shutdown_ms <= after_ms)
            weft_kill(child->pid);
        else if (shutdown_ms < next_ms)
            next_ms = shutdown_ms;
    }
    return next_ms;
}

static void saw_end(struct ending *ending, weft_pid pid, weft_term reason)
{
    struct weft__child *child = weft__pid_map_take(&ending->dynamic->by_pid, pid);

    if (child == NULL || child->state != WEFT__CHILD_RUNNING)
        return;
    if (!weft__child_stopped_well(&child->spec, reason))
        note_odd(ending, reason);
    forget(ending->dynamic, child);
    ending->n_left--;
}

/* {:EXIT, pid, reason} or {:DOWN, ref, :process, pid, reason}. By hand: a pattern
 * for each of 100,000 ends costs as much as all else that is done about it. */
static bool is_end(weft_term message, weft_pid *pid, weft_term *reason)
{
    size_t n = weft_is_tuple(message) ? weft_tuple_size(message) : 0;

    if (!(n == 3 && weft_eq(weft_tuple_at(message, 0), A(EXIT))) &&
        !(n == 5 && weft_eq(weft_tuple_at(message, 0), A(DOWN))))
        return false;
    *pid = weft_tuple_at(message, n - 2);
    *reason = weft_tuple_at(message, n - 1);
    return weft_is_pid(*pid);
}

/* One message out of the mailbox: an exit says more than the DOWN that follows. */
static bool take_one(struct ending *ending, int64_t timeout_ms)
{
    weft_term message, reason;
    weft_pid pid;
    WEFT_SCOPE;

    if (!weft_receive(weft_any, timeout_ms, &message))
        return false;
    if (is_end(message, &pid, &reason))
        saw_end(ending, pid, reason);
    return true;
}

void weft__dynamic_terminate(void *state, weft_term reason)
{
    struct weft__dynamic *dynamic = state;
    struct ending ending = {.dynamic = dynamic};
    int64_t begun = weft__clock_ns(), next_ms;

    (void)reason;
    tell_all(&ending);
    next_ms = ending.n_left > 0 ? kill_overdue(dynamic, WEFT_BRUTAL_KILL) : WEFT_INFINITY;
    while (ending.n_left > 0) {
        int64_t now_ms = (weft__clock_ns() - begun) / WEFT__NS_PER_MS;
        int64_t left_ms = next_ms == WEFT_INFINITY ? WEFT_INFINITY : next_ms - now_ms;

        if (left_ms <= 0 || !take_one(&ending, left_ms))
            next_ms = kill_overdue(dynamic, next_ms);
    }
    report_odd(&ending);
}

/* -- the server -------------------------------------------------------------------------------- */

static weft_result handle_call(void *state, weft_term request, weft_from from)
{
    weft_term what, arg, answer = weft_none;

    (void)from;
    if (weft_match(request, weft_tuple(weft_bind(&what), weft_bind(&arg))))
        answer = weft__dynamic_answer(state, what, arg);
    return weft_reply(weft_is_none(answer) ? error(weft_tuple(A(bad_request), request)) : answer);
}

weft_result weft__dynamic_handle_cast(void *state, weft_term message)
{
    weft__sup_report_message(((struct weft__dynamic *)state)->name, message);
    return weft_noreply();
}

weft_result weft__dynamic_handle_info(void *state, weft_term message)
{
    struct weft__dynamic *dynamic = state;
    weft_term reason;
    weft_pid pid;
    weft_ref ref;
    bool goes_on = true;

    if (weft_match(message, weft_tuple(A(EXIT), weft_bind_pid(&pid), weft_bind(&reason))))
        goes_on = on_exit(dynamic, pid, reason);
    else if (weft_match(message, weft_tuple(WEFT_ATOM("$restart"), weft_bind_pid(&pid), weft_bind(&ref))))
        goes_on = on_retry(dynamic, pid, ref);
    else
        weft__sup_report_message(dynamic->name, message);
    return goes_on ? weft_noreply() : weft_stop(A(shutdown));
}

static const weft_gen_server dynamic_server = {
    .init = weft__dynamic_init,
    .handle_call = handle_call,
    .handle_cast = weft__dynamic_handle_cast,
    .handle_info = weft__dynamic_handle_info,
    .terminate = weft__dynamic_terminate,
    .name = "DynamicSupervisor",
};

weft_started weft__dynamic_start_link(weft_term arg, weft_term name)
{
    return weft_gen_server_start_link(&dynamic_server, arg, .name = name);
}

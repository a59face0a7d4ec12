/* supervisor.c - a server whose state is a list of children (otp/child.h).
 *
 * Children are in `children` in the order of their starts, and the RUNNING ones
 * in `by_pid`. A {:EXIT, ...} of who is not in by_pid is nobody's: so an exit
 * that a stop caused, and took with it, cannot restart anything (SUP-33).
 *
 * Nothing of the user's runs here but start functions, whose exits are caught
 * (otp/child_spec.h), and an init callback.
 */
#include "otp/supervisor.h"

#include "base/clock.h"
#include "base/rand.h"
#include "otp/child.h"
#include "otp/child_spec.h"
#include "otp/intensity.h"
#include "otp/pid_map.h"
#include "otp/sup_report.h"

#define A(name) WEFT_ATOM(#name)

struct supervisor {
    weft_term name;            /* for reports: kept, or the pid */
    enum weft_strategy strategy;
    enum weft_auto_shutdown auto_shutdown;
    struct weft__intensity intensity;
    struct weft__rand rand;    /* of delays */
    struct weft__child **children; /* in the order of their starts */
    size_t n, size;
    struct weft__pid_map by_pid;
    struct weft__partition_table *table; /* of a partition supervisor; else NULL */
};

/* -- the list of children -------------------------------------------------------- */

static size_t index_of(const struct supervisor *sup, const struct weft__child *child)
{
    size_t i = 0;

    while (sup->children[i] != child)
        i++;
    return i;
}

static struct weft__child *find(const struct supervisor *sup, weft_term id)
{
    for (size_t i = 0; i < sup->n; i++)
        if (weft_eq(sup->children[i]->spec.id, id))
            return sup->children[i];
    return NULL;
}

/* A copy of the spec, behind the last child. */
static struct weft__child *append(struct supervisor *sup, const weft_child_spec *spec)
{
    if (sup->n == sup->size) {
        sup->size = sup->size > 0 ? 2 * sup->size : 8;
        sup->children = weft_realloc(sup->children, sup->size * sizeof(struct weft__child *));
    }
    sup->children[sup->n] = weft__child_new(spec);
    return sup->children[sup->n++];
}

static void delete(struct supervisor *sup, struct weft__child *child)
{
    size_t i = index_of(sup, child);

    weft__child_free(child);
    for (sup->n--; i < sup->n; i++)
        sup->children[i] = sup->children[i + 1];
}

/* -- start and stop of one ----------------------------------------------------------- */

/* Not ok: it is STOPPED, and what else is the caller's. */
static weft_started start(struct supervisor *sup, struct weft__child *child, bool is_restart)
{
    weft_started started = is_restart ? weft__child_run_again(child, sup->name, child->spec.arg)
                                      : weft__child_run(child, sup->name, child->spec.arg);

    if (child->state == WEFT__CHILD_RUNNING) {
        weft__pid_map_put(&sup->by_pid, child->pid, child);
        if (sup->table != NULL)
            weft__partition_table_set(sup->table, weft_to_int(child->spec.id), child->pid);
    }
    if (!started.ok)
        weft__sup_report_start(sup->name, &child->spec, started.reason, is_restart);
    return started;
}

static void stop(struct supervisor *sup, struct weft__child *child)
{
    weft_pid pid = child->pid;

    weft__child_end(child, sup->name);
    weft__pid_map_take(&sup->by_pid, pid);
}

/* Stop those from `from` on, the last first; in a group restart the temporary
 * ones are forgotten with it (SUP-28). */
static void stop_from(struct supervisor *sup, size_t from, bool is_group)
{
    for (size_t i = sup->n; i-- > from;) {
        struct weft__child *child = sup->children[i];

        stop(sup, child);
        if (is_group && child->spec.restart == WEFT_TEMPORARY)
            delete(sup, child);
    }
}

/* Start n from `from` on, up to one that fails: that one, or NULL. */
static struct weft__child *start_from(struct supervisor *sup, size_t from, size_t n, weft_term *reason)
{
    for (size_t i = from; i < from + n; i++) {
        weft_started started = start(sup, sup->children[i], true);

        if (!started.ok) {
            *reason = started.reason;
            return sup->children[i];
        }
    }
    return NULL;
}

/* -- restarts: false when the supervisor has to end ---------------------------------------- */

/* After its back-off. */
static bool restart_later(struct supervisor *sup, struct weft__child *child, weft_term reason)
{
    if (weft__child_retry_later(child, reason, &sup->rand))
        return true;
    weft__sup_report_budget(sup->name, &child->spec, reason);
    return false;
}

/* Carry out the strategy for a child that is down. */
static bool restart_group(struct supervisor *sup, struct weft__child *child)
{
    size_t from = sup->strategy == WEFT_ONE_FOR_ALL ? 0 : index_of(sup, child);
    struct weft__child *failed;
    weft_term reason;
    WEFT_SCOPE;

    if (sup->strategy != WEFT_ONE_FOR_ONE)
        stop_from(sup, from, true);
    failed = start_from(sup, from, sup->strategy == WEFT_ONE_FOR_ONE ? 1 : sup->n - from, &reason);
    if (failed == NULL)
        return true;
    if (sup->strategy == WEFT_ONE_FOR_ALL)
        stop_from(sup, 0, true); /* of this round (SUP-31) */
    if (weft__child_has_backoff(failed))
        return restart_later(sup, failed, reason);
    weft__child_retry_soon(failed, reason);
    return true;
}

static bool restart_now(struct supervisor *sup, struct weft__child *child, weft_term reason)
{
    if (weft__intensity_add(&sup->intensity, child->spec.id, reason))
        return restart_group(sup, child);
    weft__sup_report_intensity(sup->name, &sup->intensity);
    return false;
}

/* -- ends --------------------------------------------------------------------------------- */

static bool runs_significant(const struct supervisor *sup)
{
    for (size_t i = 0; i < sup->n; i++)
        if (sup->children[i]->spec.significant && sup->children[i]->state != WEFT__CHILD_STOPPED)
            return true;
    return false;
}

/* A child is down for good. false: that ends the supervisor (SUP-62, SUP-63). */
static bool ended_for_good(struct supervisor *sup, struct weft__child *child)
{
    bool is_significant = child->spec.significant;

    if (child->spec.restart == WEFT_TEMPORARY)
        delete(sup, child);
    else
        weft__child_set_stopped(child);
    if (!is_significant || sup->auto_shutdown == WEFT_AUTO_SHUTDOWN_NEVER)
        return true;
    return sup->auto_shutdown == WEFT_ALL_SIGNIFICANT && runs_significant(sup);
}

static bool on_exit(struct supervisor *sup, weft_pid pid, weft_term reason)
{
    struct weft__child *child = weft__pid_map_take(&sup->by_pid, pid);

    if (child == NULL)
        return true;
    weft__sup_report_end(sup->name, &child->spec, pid, reason);
    if (!weft__child_restarts(&child->spec, reason))
        return ended_for_good(sup, child);
    if (weft__child_has_backoff(child) ? restart_later(sup, child, reason)
                                       : (weft__child_set_stopped(child), restart_now(sup, child, reason)))
        return true;
    weft__child_set_stopped(child); /* it is not to be stopped once more */
    return false;
}

static struct weft__child *find_retry(const struct supervisor *sup, weft_ref ref)
{
    for (size_t i = 0; i < sup->n; i++)
        if (weft_eq(sup->children[i]->retry, ref))
            return sup->children[i];
    return NULL;
}

/* The delay of a back-off is over; or a try failed, and this is the next. */
static bool on_retry(struct supervisor *sup, weft_ref ref)
{
    struct weft__child *child = find_retry(sup, ref);

    if (child == NULL)
        return true; /* stopped, deleted, or started with its group */
    return weft__child_has_backoff(child) ? restart_group(sup, child) : restart_now(sup, child, child->reason);
}

/* -- requests -------------------------------------------------------------------------------- */

static weft_term ok(weft_term value)
{
    return weft_tuple(A(ok), value);
}

static weft_term error(weft_term reason)
{
    return weft_tuple(A(error), reason);
}

/* What a start gave, as an answer. */
static weft_term answer_start(weft_started started)
{
    if (!started.ok)
        return error(started.reason);
    if (weft_started_is_ignored(started))
        return ok(A(undefined));
    return weft_is_none(started.info) ? ok(started.pid) : weft_tuple(A(ok), started.pid, started.info);
}

static weft_term on_start_child(struct supervisor *sup, weft_term packed)
{
    weft_child_spec spec;
    struct weft__child *child;
    weft_started started;

    weft__child_unpack(&spec, packed);
    child = find(sup, spec.id);
    if (child != NULL)
        return error(child->state == WEFT__CHILD_RUNNING ? weft_tuple(A(already_started), child->pid)
                                                   : A(already_present));
    if (spec.significant && sup->auto_shutdown == WEFT_AUTO_SHUTDOWN_NEVER)
        return error(weft__supervisor_bad_combination());
    child = append(sup, &spec);
    started = start(sup, child, false);
    if (!started.ok || (weft_started_is_ignored(started) && spec.restart == WEFT_TEMPORARY))
        delete(sup, child);
    return answer_start(started);
}

static weft_term on_terminate_child(struct supervisor *sup, weft_term id)
{
    struct weft__child *child = find(sup, id);

    if (child == NULL)
        return error(A(not_found));
    stop(sup, child);
    if (child->spec.restart == WEFT_TEMPORARY)
        delete(sup, child);
    return A(ok);
}

static weft_term on_restart_child(struct supervisor *sup, weft_term id)
{
    struct weft__child *child = find(sup, id);
    weft_started started;

    if (child == NULL)
        return error(A(not_found));
    if (child->state != WEFT__CHILD_STOPPED)
        return error(child->state == WEFT__CHILD_RUNNING ? A(running) : A(restarting));
    started = start(sup, child, false);
    return answer_start(started);
}

static weft_term on_delete_child(struct supervisor *sup, weft_term id)
{
    struct weft__child *child = find(sup, id);

    if (child == NULL)
        return error(A(not_found));
    if (child->state != WEFT__CHILD_STOPPED)
        return error(child->state == WEFT__CHILD_RUNNING ? A(running) : A(restarting));
    delete(sup, child);
    return A(ok);
}

static weft_term on_which_children(const struct supervisor *sup)
{
    weft_term list = weft_empty_list;

    for (size_t i = 0; i < sup->n; i++)
        list = weft_cons(weft__child_line(sup->children[i], sup->children[i]->spec.id), list);
    return list;
}

static weft_term on_count_children(const struct supervisor *sup)
{
    int64_t n_active = 0, n_supervisors = 0;

    for (size_t i = 0; i < sup->n; i++) {
        const struct weft__child *child = sup->children[i];

        n_active += child->state == WEFT__CHILD_RUNNING && weft_is_alive(child->pid);
        n_supervisors += child->spec.type == WEFT_SUPERVISOR;
    }
    return weft_tuple(weft_int((int64_t)sup->n), weft_int(n_active), weft_int(n_supervisors),
                      weft_int((int64_t)sup->n - n_supervisors));
}

static weft_term on_get_child_spec(const struct supervisor *sup, weft_term id)
{
    struct weft__child *child = find(sup, id);

    return child != NULL ? ok(weft__child_term(&child->spec)) : error(A(not_found));
}

/* PSUP-18: no key leads to a partition that is not up. */
static weft_term shrink(struct supervisor *sup, int64_t from, int64_t to)
{
    weft__partition_table_resize(sup->table, to);
    while (from > to)
        stop(sup, find(sup, weft_int(--from)));
    return A(ok);
}

static weft_term grow(struct supervisor *sup, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        struct weft__child *child = find(sup, weft_int(i));
        weft_started started = child->state == WEFT__CHILD_STOPPED ? start(sup, child, false) : weft_started_ignore();

        if (!started.ok)
            return error(started.reason);
    }
    weft__partition_table_resize(sup->table, to);
    return A(ok);
}

static weft_term on_resize(struct supervisor *sup, weft_term to)
{
    int64_t n = weft_to_int(to), before;
    weft_term done;

    if (sup->table == NULL)
        return error(A(not_partitioned));
    if (n < 0 || n > (int64_t)sup->n)
        return error(weft_tuple(A(out_of_range), weft_int((int64_t)sup->n)));
    before = weft__partition_table_size(sup->table);
    done = n < before ? shrink(sup, before, n) : grow(sup, before, n);
    return weft_eq(done, A(ok)) ? ok(weft_int(before)) : done;
}

static weft_term answer(struct supervisor *sup, weft_term what, weft_term arg)
{
    if (weft_eq(what, A(start_child)))
        return on_start_child(sup, arg);
    if (weft_eq(what, A(terminate_child)))
        return on_terminate_child(sup, arg);
    if (weft_eq(what, A(restart_child)))
        return on_restart_child(sup, arg);
    if (weft_eq(what, A(delete_child)))
        return on_delete_child(sup, arg);
    if (weft_eq(what, A(which_children)))
        return on_which_children(sup);
    if (weft_eq(what, A(count_children)))
        return on_count_children(sup);
    if (weft_eq(what, A(get_child_spec)))
        return on_get_child_spec(sup, arg);
    if (weft_eq(what, A(resize)))
        return on_resize(sup, arg);
    return error(weft_tuple(A(bad_request), what));
}

/* -- the server ------------------------------------------------------------------------------- */

static weft_result handle_call(void *state, weft_term request, weft_from from)
{
    weft_term what, arg;

    (void)from;
    if (weft_match(request, weft_tuple(weft_bind(&what), weft_bind(&arg))))
        return weft_reply(answer(state, what, arg));
    return weft_reply(error(weft_tuple(A(bad_request), request)));
}

static weft_result handle_cast(void *state, weft_term message)
{
    struct supervisor *sup = state;

    weft__sup_report_message(sup->name, message);
    return weft_noreply();
}

static weft_result handle_info(void *state, weft_term message)
{
    struct supervisor *sup = state;
    weft_term reason;
    weft_pid pid;
    weft_ref ref;
    bool goes_on = true;

    if (weft_match(message, weft_tuple(A(EXIT), weft_bind_pid(&pid), weft_bind(&reason))))
        goes_on = on_exit(sup, pid, reason);
    else if (weft_match(message, weft_tuple(WEFT_ATOM("$restart"), weft_any, weft_bind(&ref))))
        goes_on = on_retry(sup, ref);
    else
        weft__sup_report_message(sup->name, message);
    return goes_on ? weft_noreply() : weft_stop(A(shutdown));
}

static void terminate(void *state, weft_term reason)
{
    (void)reason;
    stop_from(state, 0, false);
}

/* Start what it was given, or stop what came up of it (SUP-14). */
static weft_init_result start_all(struct supervisor *sup, const weft_child_spec *children, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct weft__child *child = append(sup, &children[i]);
        weft_started started = start(sup, child, false);

        if (!started.ok) {
            weft_term why = weft_tuple(A(failed_to_start_child), child->spec.id, started.reason);

            stop_from(sup, 0, false);
            return weft_init_stop(weft_tuple(A(shutdown), why));
        }
        if (weft_started_is_ignored(started) && child->spec.restart == WEFT_TEMPORARY)
            delete(sup, child);
    }
    if (sup->table != NULL)
        weft__partition_table_resize(sup->table, (int64_t)n);
    return weft_init_ok(sup);
}

weft_init_result weft__supervisor_begin(weft_term name, const struct weft_supervisor_options *options,
                                        const weft_child_spec *children, size_t n,
                                        struct weft__partition_table *table)
{
    struct supervisor *sup = weft_new(struct supervisor);

    weft_trap_exit(true);
    sup->name = weft_is_none(name) ? weft_self() : weft_keep(name);
    sup->strategy = options->strategy;
    sup->table = table;
    sup->auto_shutdown = options->auto_shutdown;
    weft__intensity_init(&sup->intensity, options->max_restarts, options->max_seconds);
    weft__rand_init(&sup->rand, (uint64_t)weft__clock_ns(), weft_self().bits);
    return start_all(sup, children, n);
}

const weft_gen_server weft__supervisor_server = {
    .init = weft__supervisor_init,
    .handle_call = handle_call,
    .handle_cast = handle_cast,
    .handle_info = handle_info,
    .terminate = terminate,
    .name = "Supervisor",
};

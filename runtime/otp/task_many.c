/* task_many.c - await_many and yield_many: the ends of many tasks at once.
 *
 * A gather is a collector (proc/bond.h): while it waits, the ends of its tasks
 * do not go by way of the mailbox but straight to their places. An end is
 * taken apart where it is drained, so nothing is owed when the caller is
 * killed meanwhile: values are in its region, bonds are gone.
 *
 * Who waits for many short tasks would be woken by the first, park, be woken by
 * the second, and so on. So it gives way instead of parking, as long as that
 * brings ends: the tasks run meanwhile, and a look finds many ends at once.
 */
#include "otp/task.h"

#include "base/clock.h"
#include "base/here.h"
#include "term/atom.h"
#include "term/region.h"

struct gather {
    struct weft__collector collector;
    struct weft_task_result *results; /* of yield_many; or NULL */
    weft_term *values;                /* of await_many; or NULL */
    size_t n_ended;
    size_t n_given;                   /* ended with a value */
    weft_term failure;                /* what the first one without one ended with, or weft_none */
    size_t n_twice;                   /* handles that stand in the list before */
};

static void gather_put(struct gather *gather, size_t i, enum weft_task_outcome outcome, weft_term term)
{
    gather->n_ended++;
    if (outcome == WEFT_TASK_OK)
        gather->n_given++;
    else if (weft_is_none(gather->failure))
        gather->failure = term;
    if (gather->results != NULL)
        gather->results[i] = (struct weft_task_result){.outcome = outcome, .value = term};
    else if (outcome == WEFT_TASK_OK)
        gather->values[i] = term;
}

static void gather_put_end(struct gather *gather, struct weft__proc *proc, size_t i, struct weft__message *end)
{
    bool has_value;
    weft_term term = weft__task_unwrap(proc, end, &has_value);

    gather_put(gather, i, has_value ? WEFT_TASK_OK : WEFT_TASK_EXIT, term);
}

static void gather_ended(struct weft__collector *collector, struct weft__proc *proc, struct weft__bond *bond)
{
    struct gather *gather = (struct gather *)(void *)collector; /* it comes first */
    struct weft__message *end = bond->message;
    size_t i = bond->index;

    weft__bond_remove(proc, bond);
    gather_put_end(gather, proc, i, end);
}

static bool gather_has(const weft_task *tasks, size_t n, weft_ref ref, size_t *at)
{
    for (*at = 0; *at < n; (*at)++) {
        if (weft_eq(tasks[*at].ref, ref))
            return true;
    }
    return false;
}

/* Take what is there, and collect the rest from here on. */
static void gather_begin(struct gather *gather, struct weft__proc *proc, const weft_task *tasks, size_t n)
{
    size_t at;

    for (size_t i = 0; i < n; i++) {
        struct weft__bond *bond;

        if (weft__task_is_completed(tasks[i])) {
            gather_put(gather, i, WEFT_TASK_OK, tasks[i].value);
            continue;
        }
        bond = weft__task_bond(proc, tasks[i]);
        if (bond != NULL && bond->is_done) {
            gather_put_end(gather, proc, i, weft__task_take(proc, bond));
        } else if (bond != NULL && bond->collector == NULL) {
            bond->collector = &gather->collector;
            bond->index = (uint32_t)i;
        } else if (gather_has(tasks, i, tasks[i].ref, &at)) {
            gather->n_twice++;
        } else {
            gather_put(gather, i, WEFT_TASK_EXIT, WEFT_ATOM("already_awaited"));
        }
    }
}

/* Stop collecting. Bonds that are there still are those of tasks that run. */
static void gather_end(struct gather *gather, struct weft__proc *proc, const weft_task *tasks, size_t n)
{
    if (gather->n_ended + gather->n_twice >= n)
        return;
    for (size_t i = 0; i < n; i++) {
        struct weft__bond *bond = weft__task_bond(proc, tasks[i]);

        if (bond != NULL && bond->collector == &gather->collector)
            bond->collector = NULL;
    }
}

/* Give what came for a handle to where it stands in the list once more. */
static void gather_repeat(struct gather *gather, const weft_task *tasks, size_t n)
{
    size_t at;

    for (size_t i = 0; i < n && gather->n_twice > 0; i++) {
        if (!gather_has(tasks, i, tasks[i].ref, &at))
            continue;
        if (gather->results != NULL)
            gather->results[i] = gather->results[at];
        else
            gather->values[i] = gather->values[at];
    }
}

static bool gather_is_enough(const struct gather *gather, size_t target, bool stop_at_failure)
{
    return gather->n_ended >= target || (stop_at_failure && !weft_is_none(gather->failure));
}

/* Wait until target tasks have ended: false when the time is over. */
static bool gather_wait(struct gather *gather, struct weft__proc *proc, size_t target, bool stop_at_failure,
                        int64_t timeout_ms)
{
    int64_t now_ns = weft__clock_ns(), end_ns = weft__clock_after_ms(now_ns, timeout_ms);
    struct weft__wait wait;
    bool has_time = true;
    size_t n_before;

    weft__task_look(proc);
    if (timeout_ms == 0)
        return gather_is_enough(gather, target, stop_at_failure);
    do {
        if (gather_is_enough(gather, target, stop_at_failure))
            return true;
        n_before = gather->n_ended;
        weft_yield();
        weft__task_look(proc);
    } while (gather->n_ended != n_before);
    if (end_ns != INT64_MAX)
        now_ns = weft__clock_ns();
    if (now_ns >= end_ns)
        return gather_is_enough(gather, target, stop_at_failure);
    weft__wait_begin(&wait, proc,
                     end_ns == INT64_MAX ? WEFT_INFINITY
                                         : (end_ns - now_ns + WEFT__NS_PER_MS - 1) / WEFT__NS_PER_MS);
    while (!gather_is_enough(gather, target, stop_at_failure) && has_time) {
        has_time = weft__wait_once(&wait, true);
        weft__task_look(proc);
    }
    weft__wait_end(&wait);
    return gather_is_enough(gather, target, stop_at_failure);
}

static bool are_owned(struct weft__proc *proc, const char *call, const weft_task *tasks, size_t n,
                      weft_term *mistake)
{
    if (n > UINT32_MAX) {
        *mistake = weft__task_mistake(call, "%zu tasks are too many", n);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!weft__task_is_owner(proc, call, tasks[i], mistake))
            return false;
    }
    return true;
}

/* Kill those that run still, all at once, and see them dead. */
static void kill_rest(struct weft__proc *proc, const weft_task *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (weft__task_bond(proc, tasks[i]) != NULL)
            weft__task_kill(proc, tasks[i].pid, tasks[i].ref);
    }
    for (size_t i = 0; i < n; i++) {
        struct weft__bond *bond = weft__task_bond(proc, tasks[i]);

        if (bond != NULL)
            weft__task_wait(proc, bond, WEFT_INFINITY);
    }
}

/* -- await_many ------------------------------------------------------------------------- */

static weft_term many_reason(weft_term why, const weft_task *tasks, size_t n, int64_t timeout_ms)
{
    weft_term list = weft_empty_list;

    for (size_t i = n; i-- > 0;)
        list = weft_cons(weft_task_term(tasks[i]), list);
    return weft__task_reason(why, WEFT_ATOM("await_many"), list, timeout_ms);
}

static void clear(weft_term *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = weft_none;
}

/* true; or false and the reason to exit with. */
static bool await_many(struct weft__proc *proc, const char *call, const weft_task *tasks, size_t n,
                       int64_t timeout_ms, weft_term *values, const struct weft_await_options *given,
                       weft_term *reason)
{
    struct gather gather = {.collector.ended = gather_ended, .values = values};
    struct weft_await_options options = {WEFT_AWAIT_DEFAULTS};
    bool in_time;

    clear(values, n);
    weft__options_take(&options, given);
    if (!are_owned(proc, call, tasks, n, reason) || !weft__task_is_timeout(call, timeout_ms, reason))
        return false;
    gather_begin(&gather, proc, tasks, n);
    in_time = gather_wait(&gather, proc, n - gather.n_twice, true, timeout_ms);
    if (in_time && weft_is_none(gather.failure)) {
        gather_repeat(&gather, tasks, n);
        return true;
    }
    gather_end(&gather, proc, tasks, n);
    if (!in_time && options.stop_on_timeout)
        kill_rest(proc, tasks, n);
    for (size_t i = 0; i < n; i++)
        weft__task_forget(proc, tasks[i].ref.bits);
    clear(values, n);
    *reason = many_reason(in_time ? gather.failure : WEFT__A(timeout), tasks, n, timeout_ms);
    return false;
}

void weft_task_await_many_opt(const weft_task *tasks, size_t n, int64_t timeout_ms, weft_term *results,
                              const struct weft_await_options *options)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_task_await_many");
    weft_term reason;

    if (!await_many(proc, "weft_task_await_many", tasks, n, timeout_ms, results, options, &reason))
        weft__proc_exit(proc, reason);
}

bool weft_task_try_await_many_opt(const weft_task *tasks, size_t n, int64_t timeout_ms, weft_term *results,
                                  weft_term *reason, const struct weft_await_options *options)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_task_try_await_many");

    return await_many(proc, "weft_task_try_await_many", tasks, n, timeout_ms, results, options, reason);
}

/* -- yield_many -------------------------------------------------------------------------- */

/* Deal with those that did not answer in time. Killed ones may have answered
 * in between. */
static void drop_rest(struct weft__proc *proc, const weft_task *tasks, size_t n,
                      struct weft_task_result *results, enum weft_on_timeout on_timeout)
{
    if (on_timeout == WEFT_KILL_TASK)
        kill_rest(proc, tasks, n);
    for (size_t i = 0; i < n; i++) {
        if (weft__task_is_completed(tasks[i]) || weft__task_bond(proc, tasks[i]) == NULL)
            continue;
        results[i].outcome = on_timeout == WEFT_KILL_TASK
                                 ? weft_task_shutdown(tasks[i], WEFT_BRUTAL_KILL, &results[i].value)
                                 : weft_task_ignore(tasks[i], &results[i].value);
    }
}

static void check_yield_options(struct weft__proc *proc, const struct weft_yield_options *options)
{
    static const char *const call = "weft_task_yield_many";
    weft_term mistake;

    if (!weft__task_is_timeout(call, options->timeout_ms, &mistake))
        weft__proc_exit(proc, mistake);
    if (options->limit == 0)
        weft__proc_badarg(call, ".limit is 0: it must be at least 1");
    if (options->on_timeout != WEFT_LEAVE_TASK && options->on_timeout != WEFT_IGNORE_TASK &&
        options->on_timeout != WEFT_KILL_TASK)
        weft__proc_badarg(call, ".on_timeout is %d: it must be WEFT_LEAVE_TASK, WEFT_IGNORE_TASK or "
                                "WEFT_KILL_TASK", (int)options->on_timeout);
}

size_t weft_task_yield_many_opt(const weft_task *tasks, size_t n, struct weft_task_result *results,
                                const struct weft_yield_options *given)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_task_yield_many");
    struct gather gather = {.collector.ended = gather_ended, .results = results};
    struct weft_yield_options options = {WEFT_YIELD_DEFAULTS};
    size_t target, n_answered = 0;
    weft_term mistake;
    bool in_time;

    weft__options_take(&options, given);
    check_yield_options(proc, &options);
    if (!are_owned(proc, "weft_task_yield_many", tasks, n, &mistake))
        weft__proc_exit(proc, mistake);
    for (size_t i = 0; i < n; i++)
        results[i] = (struct weft_task_result){.outcome = WEFT_TASK_NONE};
    gather_begin(&gather, proc, tasks, n);
    target = n - gather.n_twice;
    if (target > options.limit)
        target = options.limit;
    in_time = gather_wait(&gather, proc, target, false, options.timeout_ms);
    gather_end(&gather, proc, tasks, n);
    if (!in_time && options.on_timeout != WEFT_LEAVE_TASK)
        drop_rest(proc, tasks, n, results, options.on_timeout);
    gather_repeat(&gather, tasks, n);
    for (size_t i = 0; i < n; i++)
        n_answered += results[i].outcome != WEFT_TASK_NONE;
    return n_answered;
}

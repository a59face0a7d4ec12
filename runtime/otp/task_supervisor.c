/* task_supervisor.c - a dynamic supervisor whose children are tasks.
 *
 * The start of a task for an owner:
 *
 *     owner                              supervisor                       task
 *     1  a TASK bond without a peer
 *     2  {:start_task, ...}   ------->
 *                                        3  spawns it, linked
 *        bond->peer = task  <------------4  TASK_BEGIN, as from the task
 *                                        5  lets it run  ------------->   6  runs, ends
 *     8  bond is done  <--------------------------------------------------7  TASK_END
 *     8' the handle    <-----------------5' the answer
 *
 * 4 comes before 5, so a task's end never comes to an owner that does not know
 * it. An owner that is gone drops TASK_BEGIN, and whoever drops it ends the task
 * with {:shutdown, reason} (proc/signal.c): it cannot run for nobody (TSUP-10).
 * 7 and 5' may come in either order.
 */

#include "weft/task_supervisor.h"

#include <sched.h>
#include <stdio.h>

#include "base/options.h"
#include "otp/child_spec.h"
#include "otp/dynamic_supervisor.h"
#include "otp/supervisor.h"
#include "otp/task.h"
#include "otp/stream.h"
#include "proc/signal.h"
#include "term/copy.h"
#include "weft/error.h"
#include "weft/log.h"

#define A(name) WEFT_ATOM(#name)

/* -- in the supervisor ----------------------------------------------------------- */

/* What a request to start one says. */
struct order {
    weft_task_fn *fn;
    weft_term arg;          /* or weft_none */
    weft_pid owner;
    uint64_t ref;
    weft_term callers;      /* of the owner */
    bool is_linked;         /* with the owner, too */
    int64_t shutdown_ms;
    struct weft_spawn_options spawn;
};

static weft_term order_pack(const struct order *order)
{
    return weft_tuple(weft_pointer((const void *)(uintptr_t)order->fn),
                      weft_is_none(order->arg) ? weft_list() : weft_list(order->arg), order->owner,
                      weft__term(order->ref), order->callers, weft_bool(order->is_linked),
                      weft_int(order->shutdown_ms), weft_int((int)order->spawn.priority),
                      weft_int((int64_t)order->spawn.stack_size));
}

static void order_unpack(struct order *order, weft_term packed)
{
    weft_term arg = weft_tuple_at(packed, 1);

    *order = (struct order){
        .fn = (weft_task_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(packed, 0)),
        .arg = weft_is_empty_list(arg) ? weft_none : weft_head(arg),
        .owner = weft_tuple_at(packed, 2),
        .ref = weft_tuple_at(packed, 3).bits,
        .callers = weft_tuple_at(packed, 4),
        .is_linked = weft_to_bool(weft_tuple_at(packed, 5)),
        .shutdown_ms = weft_to_int(weft_tuple_at(packed, 6)),
        .spawn = {
            .size = sizeof order->spawn,
            .link = true,
            .priority = (enum weft_priority)weft_to_int(weft_tuple_at(packed, 7)),
            .stack_size = (size_t)weft_to_int(weft_tuple_at(packed, 8)),
        },
    };
}

/* Nobody sees the task yet: make it its owner's. */
static void prepare(struct weft__proc *task, void *arg)
{
    const struct order *order = arg;
    struct weft__extra *extra;

    while ((extra = weft__proc_extra(task)) == NULL)
        sched_yield(); /* as signals do: without it the owner would wait for ever */
    extra->owner = order->owner;
    extra->callers = weft__copy_to_region(&task->region, weft_cons(order->owner, order->callers), "weft_task_supervisor");
    task->report = weft__task_report;
    /* Relaxed: nobody sees the task yet. */
    atomic_store_explicit(&task->task_ref, order->ref, memory_order_relaxed);
    task->flags |= order->is_linked ? WEFT__IS_TASK | WEFT__OWNER_LINK : WEFT__IS_TASK;
    if (!weft__signal_task_begin(task))
        weft__exit_signal(task, task->pid, weft_tuple(A(shutdown), A(noproc)));
}

static weft_pid spawn_task(struct order *order, int *code)
{
    const struct weft__spawn spawn = {
        .kind = WEFT__PROC_FUNCTION,
        .fn = order->fn,
        .arg = order->arg,
        .options = &order->spawn,
        .call = "weft_task_supervisor_async",
        .prepare = prepare,
        .prepare_arg = order,
    };

    return weft__proc_spawn(weft__proc_need("weft_task_supervisor"), &spawn, code);
}

/* {:ok, pid, max_children}, {:error, {:max_children, n}}, {:error, reason} */
static weft_term on_start_task(struct weft__dynamic *dynamic, weft_term packed)
{
    const weft_child_spec spec = {.id = A(undefined), .restart = WEFT_TEMPORARY, .type = WEFT_WORKER};
    struct weft__child *child;
    struct order order;
    weft_pid pid;
    int code;

    if (weft__dynamic_is_full(dynamic))
        return weft_tuple(A(error), weft_tuple(A(max_children), weft_int(dynamic->max_children)));
    order_unpack(&order, packed);
    child = weft__child_new(&spec);
    child->spec.shutdown_ms = order.shutdown_ms;
    child->reports_itself = true;
    pid = spawn_task(&order, &code);
    if (weft_is_none(pid)) {
        weft__child_free(child);
        return weft_tuple(A(error), weft_tuple(A(system_limit), weft_str(weft_error_text(code))));
    }
    weft__child_set_running(child, pid);
    weft__dynamic_adopt(dynamic, child);
    return weft_tuple(A(ok), pid, weft_int(dynamic->max_children));
}

static weft_term on_children(const struct weft__dynamic *dynamic)
{
    const struct weft__pid_map *map = &dynamic->by_pid;
    weft_term list = weft_empty_list;

    for (size_t i = 0; i < map->size; i++) {
        const struct weft__child *child = map->slots[i].value;

        if (map->slots[i].pid != 0 && child->state == WEFT__CHILD_RUNNING)
            list = weft_cons(child->pid, list);
    }
    return list;
}

static weft_result handle_call(void *state, weft_term request, weft_from from)
{
    struct weft__dynamic *dynamic = state;
    weft_term what, arg, answer = weft_none;

    (void)from;
    if (weft_match(request, weft_tuple(weft_bind(&what), weft_bind(&arg)))) {
        if (weft_eq(what, A(start_task)))
            answer = on_start_task(dynamic, arg);
        else if (weft_eq(what, A(children)))
            answer = on_children(dynamic);
        else
            answer = weft__dynamic_answer(dynamic, what, arg);
    }
    if (weft_is_none(answer))
        answer = weft_tuple(A(error), weft_tuple(A(bad_request), request));
    return weft_reply(answer);
}

static weft_init_result init(weft_term packed)
{
    struct weft_dynamic_supervisor_options options;

    weft__dynamic_unpack(&options, packed);
    return weft_init_ok(weft__dynamic_begin(options.name, &options));
}

static const weft_gen_server task_supervisor = {
    .init = init,
    .handle_call = handle_call,
    .handle_cast = weft__dynamic_handle_cast,
    .handle_info = weft__dynamic_handle_info,
    .terminate = weft__dynamic_terminate,
    .name = "Task.Supervisor",
};

/* -- starting it --------------------------------------------------------------------- */

static weft_started start_packed(weft_term packed)
{
    struct weft_dynamic_supervisor_options options;
    weft_term problem;

    weft__dynamic_unpack(&options, packed);
    problem = weft__dynamic_check(&options);
    if (!weft_is_none(problem))
        return weft_started_error(problem);
    return weft_gen_server_start_link(&task_supervisor, packed, .name = options.name);
}

/* As a dynamic supervisor's. */
static weft_term pack(const struct weft_task_supervisor_options *given, weft_term *name)
{
    struct weft_task_supervisor_options options = {WEFT_TASK_SUPERVISOR_DEFAULTS};
    struct weft_dynamic_supervisor_options dynamic = {WEFT_DYNAMIC_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    dynamic.name = *name = options.name;
    dynamic.max_children = options.max_children;
    dynamic.max_restarts = options.max_restarts;
    dynamic.max_seconds = options.max_seconds;
    return weft__dynamic_pack(&dynamic);
}

weft_started weft_task_supervisor_start_link_opt(const struct weft_task_supervisor_options *given)
{
    weft_term name;

    return start_packed(pack(given, &name));
}

weft_child_spec weft_task_supervisor_child_opt(const struct weft_task_supervisor_options *given)
{
    weft_term name, packed = pack(given, &name);

    return weft__dynamic_child(start_packed,
                               weft_is_none(name) ? WEFT_ATOM("Task.Supervisor") : weft__supervisor_name_id(name),
                               packed);
}

weft_term weft_task_supervisor_children(weft_server supervisor)
{
    weft_term answer;

    return weft__supervisor_ask(supervisor, A(children), A(all), &answer) ? answer : weft_none;
}

int weft_task_supervisor_terminate_child(weft_server supervisor, weft_pid pid)
{
    return weft_dynamic_supervisor_terminate_child(supervisor, pid);
}

/* -- tasks that answer ------------------------------------------------------------------- */

/* Words for a supervisor that is full. */
static weft_term full(const char *call, weft_server supervisor, weft_term limit)
{
    char text[300];

    snprintf(text, sizeof text, "%s: maximum number of tasks reached: %s has %lld, its .max_children", call,
             weft_inspect(supervisor, .max_bytes = 120), (long long)weft_to_int(limit));
    return weft_tuple(A(system_limit), weft_str(text));
}

/* Why there is no task. */
static weft_term why_not(const char *call, weft_server supervisor, bool is_answer, weft_term answer)
{
    weft_term reason, limit;

    if (!is_answer)
        return answer;
    if (!weft_match(answer, weft_tuple(A(error), weft_bind(&reason))))
        return weft_tuple(A(bad_return_value), answer);
    return weft_match(reason, weft_tuple(A(max_children), weft_bind(&limit))) ? full(call, supervisor, limit) : reason;
}

/* A pid, and its TASK bond under *ref; weft_none, and *reason. *limit: of the
 * supervisor's tasks. May park. */
static weft_pid start_task(struct weft__proc *proc, const char *call, weft_server supervisor, struct order *order,
                           weft_ref *ref, weft_term *limit, weft_term *reason)
{
    struct weft__bond *bond;
    weft_term answer;
    bool is_answer;
    weft_pid pid;

    *ref = weft__make_ref(proc);
    bond = weft__bond_add(proc, WEFT__BOND_TASK, ref->bits, 0);
    if (bond == NULL)
        weft__proc_system_limit(call, weft_error_text(WEFT_ENOMEM));
    bond->is_linked = order->is_linked;
    order->owner = proc->pid;
    order->ref = ref->bits;
    order->callers = weft__task_callers(proc);
    is_answer = weft__supervisor_ask(supervisor, A(start_task), order_pack(order), &answer);
    if (is_answer && weft_match(answer, weft_tuple(A(ok), weft_bind_pid(&pid), weft_bind(limit))))
        return pid;
    *reason = why_not(call, supervisor, is_answer, answer);
    weft__task_forget(proc, ref->bits);
    return weft_none;
}

/* What the public calls have in common. */
static bool try_async(const char *call, weft_server supervisor, weft_task_fn *fn, weft_term arg, bool link,
                      const struct weft_supervised_task_options *given, weft_task *task, weft_term *reason)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    struct weft_supervised_task_options options = {WEFT_SUPERVISED_TASK_DEFAULTS};
    struct order order = {.fn = fn, .arg = arg, .is_linked = link};
    struct weft__copy_refusal refusal;
    weft_term limit;
    weft_ref ref;
    weft_pid pid;

    weft__options_take(&options, given);
    if (fn == NULL)
        weft__proc_badarg(call, "the function is NULL");
    if (options.shutdown_ms < WEFT_BRUTAL_KILL)
        weft__proc_badarg(call, ".shutdown_ms is %lld: a time, WEFT_BRUTAL_KILL or WEFT_INFINITY",
                          (long long)options.shutdown_ms);
    if (!weft_is_none(arg) && weft__copy_size(arg, &refusal) == WEFT__COPY_REFUSED)
        weft__copy_fail(call, &refusal);
    weft__task_spawn_options(call, &order.spawn, options.priority, options.stack_size);
    order.shutdown_ms = options.shutdown_ms;
    pid = start_task(proc, call, supervisor, &order, &ref, &limit, reason);
    if (weft_is_none(pid))
        return false;
    *task = (weft_task){.pid = pid, .ref = ref, .owner = proc->pid};
    return true;
}

/* A handle that has ended with the reason, as if its task had. */
static weft_task ended_task(struct weft__proc *proc, weft_term reason)
{
    weft_ref ref = weft__make_ref(proc);
    struct weft__bond *bond = weft__bond_add(proc, WEFT__BOND_TASK, ref.bits, proc->pid.bits);
    struct weft__copy_refusal refusal;
    struct weft__message *end = weft__message_new(WEFT__SIGNAL_TASK_END, reason, &refusal);

    if (bond == NULL || end == NULL)
        weft__proc_system_limit("weft_task_supervisor_async", weft_error_text(WEFT_ENOMEM));
    end->ref = ref.bits;
    end->from = proc->pid.bits;
    weft__message_send(proc, proc->pid, end);
    weft__proc_drain(proc); /* so that the handle is done, and nothing is ever sent to its pid */
    return (weft_task){.pid = proc->pid, .ref = ref, .owner = proc->pid};
}

static weft_task async(const char *call, weft_server supervisor, weft_task_fn *fn, weft_term arg, bool link,
                       const struct weft_supervised_task_options *given)
{
    struct weft__proc *proc;
    weft_term reason;
    weft_task task;

    if (try_async(call, supervisor, fn, arg, link, given, &task, &reason))
        return task;
    proc = weft__proc_need(call);
    if (weft_match(reason, weft_tuple(A(system_limit), weft_any)))
        return ended_task(proc, reason);
    weft__proc_exit(proc, weft_tuple(reason, weft_tuple(WEFT_ATOM("Task.Supervisor"), A(async),
                                                        weft_list(supervisor))));
}

weft_task weft_task_supervisor_async_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                         const struct weft_supervised_task_options *options)
{
    return async("weft_task_supervisor_async", supervisor, fn, arg, true, options);
}

weft_task weft_task_supervisor_async_nolink_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                const struct weft_supervised_task_options *options)
{
    return async("weft_task_supervisor_async_nolink", supervisor, fn, arg, false, options);
}

bool weft_task_supervisor_try_async_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg, weft_task *task,
                                        weft_term *reason, const struct weft_supervised_task_options *options)
{
    return try_async("weft_task_supervisor_try_async", supervisor, fn, arg, true, options, task, reason);
}

bool weft_task_supervisor_try_async_nolink_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                               weft_task *task, weft_term *reason,
                                               const struct weft_supervised_task_options *options)
{
    return try_async("weft_task_supervisor_try_async_nolink", supervisor, fn, arg, false, options, task, reason);
}

/* -- tasks that do not ---------------------------------------------------------------------- */

/* The start of such a child; arg: {fn, [arg]}. */
static weft_started start_child_task(weft_term packed)
{
    weft_task_fn *fn = (weft_task_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(packed, 0));
    weft_term args = weft_tuple_at(packed, 1);

    return weft_task_start_link(fn, weft_is_empty_list(args) ? weft_none : weft_head(args));
}

weft_started weft_task_supervisor_start_child_opt(weft_server supervisor, weft_task_fn *fn, weft_term arg,
                                                  const struct weft_task_child_options *given)
{
    struct weft_task_child_options options = {WEFT_TASK_CHILD_DEFAULTS};

    weft__options_take(&options, given);
    if (fn == NULL)
        weft__proc_badarg("weft_task_supervisor_start_child", "the function is NULL");
    return weft_dynamic_supervisor_start_child(
        supervisor, weft_child(.id = A(undefined), .start = start_child_task,
                               .arg = weft_tuple(weft_pointer((const void *)(uintptr_t)fn),
                                                 weft_is_none(arg) ? weft_list() : weft_list(arg)),
                               .restart = options.restart, .shutdown_ms = options.shutdown_ms));
}

/* -- streams ----------------------------------------------------------------------------------- */

static weft_pid start_for_stream(const weft_stream *stream, struct weft__proc *proc, weft_term arg, bool link,
                                 weft_ref *ref, weft_term *reason)
{
    struct order order = {
        .fn = stream->fn,
        .arg = arg,
        .is_linked = link,
        .shutdown_ms = stream->options.shutdown_ms,
        .spawn = {.priority = stream->options.priority, .stack_size = stream->options.stack_size},
    };
    int64_t at_once = stream->options.max_concurrency;
    weft_term limit;
    weft_pid pid;

    pid = start_task(proc, stream->kind->call, stream->under, &order, ref, &limit, reason);
    if (!weft_is_none(pid) && at_once > weft_to_int(limit))
        weft_log_warning("%s: .max_concurrency is %lld, but %s takes only %lld tasks: it will be full", stream->kind->call,
                         (long long)at_once, weft_inspect(stream->under), (long long)weft_to_int(limit));
    return pid;
}

static weft_pid start_linked(const weft_stream *stream, struct weft__proc *proc, weft_term arg, weft_ref *ref,
                             weft_term *reason)
{
    return start_for_stream(stream, proc, arg, true, ref, reason);
}

static weft_pid start_nolink(const weft_stream *stream, struct weft__proc *proc, weft_term arg, weft_ref *ref,
                             weft_term *reason)
{
    return start_for_stream(stream, proc, arg, false, ref, reason);
}

static const struct weft__stream_kind linked = {"weft_task_supervisor_async_stream", start_linked};
static const struct weft__stream_kind nolink = {"weft_task_supervisor_async_stream_nolink", start_nolink};

weft_stream weft_task_supervisor_async_stream_list_opt(weft_server supervisor, weft_term list, weft_task_fn *fn,
                                                       bool link, const struct weft_stream_options *options)
{
    return weft__stream_make(link ? &linked : &nolink, NULL, list, fn, supervisor, options);
}

weft_stream weft_task_supervisor_async_stream_source_opt(weft_server supervisor, weft_source source,
                                                         weft_task_fn *fn, bool link,
                                                         const struct weft_stream_options *options)
{
    return weft__stream_make(link ? &linked : &nolink, &source, weft_empty_list, fn, supervisor, options);
}

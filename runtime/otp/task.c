/* task.c - tasks: start, await, yield, shutdown, ignore.
 *
 * The life of a handle is that of its TASK bond in the owner's table:
 *
 *     running   bond, not is_done
 *     ended     bond, is_done: the end is in bond->message
 *     used up   no bond, or one that is_silent until the end of its task comes
 *
 *     (none)  -> running    weft__task_spawn
 *     running -> ended      the task's end is drained (proc/bond.h)
 *     running -> used up    forget: await's timeout, ignore
 *     ended   -> used up    take: await, yield, shutdown, ignore
 *     ended   -> used up    the owner received {ref, value} and the DOWN itself
 *
 * So a second await is known as such without waiting, and nothing has to be
 * searched for in the mailbox. A task with a value ended with :normal: one
 * signal stands for both, and the value wins by itself (TASK-13).
 */
#include "otp/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/here.h"
#include "base/options.h"
#include "proc/log.h"
#include "term/atom.h"
#include "term/copy.h"
#include "term/region.h"
#include "weft/error.h"
#include "weft/log.h"

/* -- mistakes and reasons --------------------------------------------------------- */

weft_term weft__task_mistake(const char *call, const char *format, ...)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%s: ", call);
    va_list args;

    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    return weft_tuple(WEFT__A(badarg), weft_str(text));
}

bool weft__task_is_owner(struct weft__proc *proc, const char *call, weft_task task, weft_term *mistake)
{
    char pid[64], owner[64], caller[64];

    if (!weft_is_ref(task.ref)) {
        *mistake = weft__task_mistake(call, "this is no handle of a task");
        return false;
    }
    if (__builtin_expect(weft_eq(task.owner, proc->pid), 1))
        return true;
    weft_inspect_to(pid, sizeof pid, task.pid);
    weft_inspect_to(owner, sizeof owner, task.owner);
    weft_inspect_to(caller, sizeof caller, proc->pid);
    *mistake = weft__task_mistake(call,
                                  "task %s belongs to %s, and %s asks: only the process that "
                                  "started the task may await it",
                                  pid, owner, caller);
    return false;
}

bool weft__task_is_timeout(const char *call, int64_t timeout_ms, weft_term *mistake)
{
    if (__builtin_expect(timeout_ms >= 0, 1))
        return true;
    *mistake = weft__task_mistake(call, "the timeout is %lld ms: it must be 0 or more, or WEFT_INFINITY",
                                  (long long)timeout_ms);
    return false;
}

weft_term weft__task_timeout_term(int64_t timeout_ms)
{
    if (timeout_ms == WEFT_INFINITY)
        return WEFT__A(infinity);
    if (timeout_ms == WEFT_BRUTAL_KILL)
        return WEFT__A(brutal_kill);
    return weft_int(timeout_ms);
}

weft_term weft__task_reason(weft_term why, weft_atom call, weft_term what, int64_t timeout_ms)
{
    weft_term args = weft_list(what, weft__task_timeout_term(timeout_ms));

    return weft_tuple(why, weft_tuple(WEFT_ATOM("Task"), call, args));
}

weft_term weft_task_term(weft_task task)
{
    return weft_tuple(task.pid, task.ref, task.owner);
}

void weft__options_copy(void *into, size_t size, const void *given, size_t given_size)
{
    /* What a later program knows beyond `size` is not for this library. */
    memcpy(into, given, given_size < size ? given_size : size);
}

/* -- starting ----------------------------------------------------------------------- */

#define STACK_MAX ((size_t)8 << 20)

void weft__task_spawn_options(const char *call, struct weft_spawn_options *spawn,
                              enum weft_priority priority, size_t stack_size)
{
    if (__builtin_expect((unsigned)priority > WEFT_LOW, 0))
        weft__proc_badarg(call, ".priority is %d: it must be WEFT_HIGH, WEFT_NORMAL or WEFT_LOW",
                          (int)priority);
    if (__builtin_expect(stack_size > STACK_MAX, 0))
        weft__proc_badarg(call, ".stack_size is %zu: at most %zu", stack_size, STACK_MAX);
    *spawn = (struct weft_spawn_options){
        .size = sizeof *spawn,
        .priority = priority,
        .stack_size = stack_size,
    };
}

static bool is_task(const struct weft__proc *proc)
{
    return proc->fiber.kind == WEFT__PROC_FUNCTION && proc->report == weft__task_report;
}

/* A task knows its starter as its parent; only when the starter works for
 * others itself is there a list to keep, which goes with the child's memory. */
void weft__task_prepare(struct weft__proc *child, void *arg)
{
    struct weft__proc *starter = arg;

    child->report = weft__task_report;
    if (is_task(starter) || !weft_eq(child->parent, starter->pid)) {
        struct weft__extra *extra = weft__proc_extra(child);
        weft_term callers;

        WEFT_SCOPE;
        callers = weft_cons(starter->pid, weft__task_callers(starter));
        if (extra != NULL)
            extra->callers = weft__copy_to_region(&child->region, callers, "weft_task_async");
    }
}

weft_term weft__task_callers(struct weft__proc *proc)
{
    if (proc->extra != NULL && !weft_is_none(proc->extra->callers))
        return proc->extra->callers;
    if (is_task(proc))
        return weft_list(proc->parent);
    return weft_empty_list;
}

weft_term weft_task_callers(void)
{
    return weft__task_callers(weft__proc_need("weft_task_callers"));
}

/* A task without options, of one that is none itself: how nearly every one begins. weft_none:
 * not this way; nothing was done. */
static inline weft_pid spawn_quick(struct weft__proc *proc, weft_task_fn *fn, weft_term arg, bool link,
                                   weft_ref *ref)
{
    if (__builtin_expect(fn == NULL || ref == NULL || is_task(proc), 0))
        return weft_none;
    return weft__proc_spawn_task(weft__here(), proc, fn, arg, link, weft__task_report, ref);
}

static weft_pid spawn_any(struct weft__proc *proc, const char *call, weft_task_fn *fn, weft_term arg,
                          const struct weft_spawn_options *options, weft_ref *ref, int *code)
{
    const struct weft__spawn spawn = {
        .kind = WEFT__PROC_FUNCTION,
        .fn = fn,
        .arg = arg,
        .options = options,
        .call = call,
        .is_task = ref != NULL,
        .task_ref = ref,
        .prepare = weft__task_prepare,
        .prepare_arg = proc,
    };

    if (__builtin_expect(fn == NULL, 0))
        weft__proc_badarg(call, "the function is NULL");
    return weft__proc_spawn(proc, &spawn, code);
}

weft_pid weft__task_spawn(struct weft__proc *proc, const char *call, weft_task_fn *fn, weft_term arg,
                          const struct weft_spawn_options *options, weft_ref *ref, int *code)
{
    weft_pid pid = weft__spawn_is_plain(options) ? spawn_quick(proc, fn, arg, options->link, ref) : weft_none;

    if (__builtin_expect(!weft_is_none(pid), 1))
        return pid;
    return spawn_any(proc, call, fn, arg, options, ref, code);
}

_Noreturn void weft__task_fail_spawn(const char *call, weft_term arg, int code)
{
    struct weft__copy_refusal refusal;

    if (code == WEFT_EBADTERM && weft__copy_size(arg, &refusal) == WEFT__COPY_REFUSED)
        weft__copy_fail(call, &refusal);
    weft__proc_system_limit(call, weft_error_text(code));
}

/* The same for the public calls. */
static weft_pid spawn_by(struct weft__proc *proc, const char *call, weft_task_fn *fn, weft_term arg,
                         const struct weft_task_options *given, bool link, weft_ref *ref, int *code)
{
    static const struct weft_task_options defaults = {WEFT_TASK_DEFAULTS};
    struct weft_task_options room;
    const struct weft_task_options *options = weft__options_quick(given, &room, &defaults, sizeof room);
    struct weft_spawn_options spawn;
    weft_pid pid = weft_none;

    if (__builtin_expect(options->priority == WEFT_NORMAL && options->stack_size == 0 && !options->sticky &&
                             options->label == NULL, 1))
        pid = spawn_quick(proc, fn, arg, link, ref);
    if (__builtin_expect(!weft_is_none(pid), 1))
        return pid;
    weft__task_spawn_options(call, &spawn, options->priority, options->stack_size);
    spawn.sticky = options->sticky;
    spawn.label = options->label;
    spawn.link = link;
    return spawn_any(proc, call, fn, arg, &spawn, ref, code);
}

#ifdef WEFT_DEBUG
static void count_unawaited(struct weft__proc *proc, struct weft__bond *bond, void *arg)
{
    (void)proc;
    if (bond->kind == WEFT__BOND_TASK && !bond->is_silent && bond->collector == NULL)
        ++*(unsigned *)arg;
}

/* A defer of each owner: a handle that nobody awaited is mostly forgotten. */
static void tell_unawaited(void *owner)
{
    struct weft__proc *proc = owner;
    bool is_normal = (proc->flags & WEFT__RETURNED) || weft_eq(proc->reason, WEFT__A(normal));
    unsigned n = 0;

    if (is_normal)
        weft__bond_each(proc, count_unawaited, &n);
    if (n > 0)
        weft_log_warning("a process ended with %u task%s that it never awaited: await, yield, shutdown "
                         "or ignore each handle, or start with weft_task_start", n, n == 1 ? "" : "s");
}

static void watch_owner(struct weft__proc *proc)
{
    weft_undefer(tell_unawaited, proc);
    weft_defer(tell_unawaited, proc);
}
#else
static void watch_owner(struct weft__proc *proc) { (void)proc; }
#endif

weft_task weft_task_async_opt(weft_task_fn *fn, weft_term arg, const struct weft_task_options *options)
{
    struct weft__proc *proc = weft__proc_need("weft_task_async");
    weft_task task = {.owner = proc->pid};
    int code;

    task.pid = spawn_by(proc, "weft_task_async", fn, arg, options, true, &task.ref, &code);
    if (__builtin_expect(weft_is_none(task.pid), 0))
        weft__task_fail_spawn("weft_task_async", arg, code);
    watch_owner(proc);
    return task;
}

static weft_started start_by(const char *call, weft_task_fn *fn, weft_term arg,
                             const struct weft_task_options *options, bool link)
{
    struct weft__proc *proc = weft__proc_need(call);
    int code = 0;
    weft_pid pid = spawn_by(proc, call, fn, arg, options, link, NULL, &code);
    char text[128];

    if (!weft_is_none(pid))
        return (weft_started){.ok = true, .pid = pid};
    if (code == WEFT_EBADTERM)
        weft__task_fail_spawn(call, arg, code);
    snprintf(text, sizeof text, "%s: %s", call, weft_error_text(code));
    return (weft_started){.reason = weft_tuple(WEFT_ATOM("system_limit"), weft_str(text))};
}

weft_started weft_task_start_opt(weft_task_fn *fn, weft_term arg, const struct weft_task_options *options)
{
    return start_by("weft_task_start", fn, arg, options, false);
}

weft_started weft_task_start_link_opt(weft_task_fn *fn, weft_term arg,
                                      const struct weft_task_options *options)
{
    return start_by("weft_task_start_link", fn, arg, options, true);
}

/* arg: {function} or {function, argument}, as weft_none stands in no term. */
static weft_started start_child(weft_term arg)
{
    uintptr_t fn = (uintptr_t)weft_to_pointer(weft_tuple_at(arg, 0));

    return weft_task_start_link((weft_task_fn *)fn,
                                weft_tuple_size(arg) > 1 ? weft_tuple_at(arg, 1) : weft_none);
}

weft_child_spec weft_task_child(weft_task_fn *fn, weft_term arg)
{
    weft_term address = weft_pointer((const void *)(uintptr_t)fn);

    return weft_child(.id = WEFT_ATOM("Task"), .start = start_child,
                      .arg = weft_is_none(arg) ? weft_tuple(address) : weft_tuple(address, arg),
                      .restart = WEFT_TEMPORARY);
}

weft_task weft_task_completed(weft_term value)
{
    struct weft__proc *proc = weft__proc_need("weft_task_completed");

    if (weft_is_none(value))
        weft__proc_badarg("weft_task_completed", "weft_none is no value");
    return (weft_task){
        .pid = WEFT__A(nil), .ref = weft__make_ref(proc), .owner = proc->pid, .value = value};
}

/* -- ends ----------------------------------------------------------------------------- */

struct weft__bond *weft__task_bond(struct weft__proc *proc, weft_task task)
{
    struct weft__bond *bond = weft__bond_find(proc, task.ref.bits);

    return bond != NULL && bond->kind == WEFT__BOND_TASK && !bond->is_silent ? bond : NULL;
}

weft_term weft__task_adopt(struct weft__proc *proc, struct weft__block *block, weft_term term)
{
    if (weft__is_memory(term) && proc->fiber.kind != WEFT__PROC_GUEST) {
        weft__region_adopt(weft__region_here(), block);
        return term;
    }
    if (weft__is_memory(term))
        term = weft__copy_to_region(weft__region_here(), term, "weft_task_await");
    weft__block_free(block);
    return term;
}

weft_term weft__task_unwrap(struct weft__proc *proc, struct weft__message *end, bool *has_value)
{
    *has_value = (end->block.flags & WEFT__HAS_VALUE) != 0;
    return weft__task_adopt(proc, &end->block, end->root);
}

#ifdef WEFT_DEBUG
/* A server that waits for a task keeps its callers waiting. */
static void tell_long_wait(struct weft__proc *proc, int64_t began_ns)
{
    int64_t ms = (weft__clock_ns() - began_ns) / WEFT__NS_PER_MS;

    if (weft__proc_is_callback(proc) && ms > 1000)
        weft_log_warning("a server waited %lld ms for a task: its callers waited too; "
                         "start the task and handle its {ref, value} as a message",
                         (long long)ms);
}
#endif

bool weft__task_wait(struct weft__proc *proc, struct weft__bond *bond, int64_t timeout_ms)
{
    struct weft__wait wait;
    bool has_time = true;

    weft__task_look(proc);
    if (bond->is_done || timeout_ms == 0)
        return bond->is_done;
#ifdef WEFT_DEBUG
    int64_t began_ns = weft__clock_ns();
#endif
    weft__wait_begin(&wait, proc, timeout_ms);
    while (!bond->is_done && has_time) {
        has_time = weft__wait_once(&wait, true);
        weft__task_look(proc);
    }
    weft__wait_end(&wait);
#ifdef WEFT_DEBUG
    tell_long_wait(proc, began_ns);
#endif
    return bond->is_done;
}

void weft__task_signal(struct weft__proc *proc, weft_pid pid, weft_ref ref, weft_term reason)
{
    struct weft__bond *bond = weft__bond_find(proc, ref.bits);

    if (bond != NULL)
        weft__task_unlink(proc, bond);
    weft__exit_signal(proc, pid, reason);
}

void weft__task_kill(struct weft__proc *proc, weft_pid pid, weft_ref ref)
{
    weft__proc_mark_quiet(pid); /* on purpose: nothing to report */
    weft__task_signal(proc, pid, ref, WEFT__A(kill));
}

/* Kill a task whose end nobody wants, and see it dead. */
static void stop_quietly(struct weft__proc *proc, weft_task task, struct weft__bond *bond)
{
    weft__task_kill(proc, task.pid, task.ref);
    weft__task_wait(proc, bond, WEFT_INFINITY);
}

/* The end of a done task: OK and the value, or EXIT and the reason. */
static enum weft_task_outcome take_end(struct weft__proc *proc, struct weft__bond *bond, weft_term *term)
{
    bool has_value;

    *term = weft__task_unwrap(proc, weft__task_take(proc, bond), &has_value);
    return has_value ? WEFT_TASK_OK : WEFT_TASK_EXIT;
}

/* -- await ------------------------------------------------------------------------------ */

/* true and the value in *out, or false and the reason to exit with. */
static bool await(struct weft__proc *proc, const char *call, weft_task task, int64_t timeout_ms,
                  const struct weft_await_options *given, weft_term *out)
{
    struct weft_await_options options = {WEFT_AWAIT_DEFAULTS};
    weft_term why = WEFT__A(timeout);
    struct weft__bond *bond;

    weft__options_take(&options, given);
    if (!weft__task_is_owner(proc, call, task, out) || !weft__task_is_timeout(call, timeout_ms, out))
        return false;
    if (weft__task_is_completed(task)) {
        *out = task.value;
        return true;
    }
    bond = weft__task_bond(proc, task);
    if (bond == NULL) {
        why = WEFT_ATOM("already_awaited");
    } else if (weft__task_wait(proc, bond, timeout_ms)) {
        if (take_end(proc, bond, &why) == WEFT_TASK_OK) {
            *out = why;
            return true;
        }
    } else {
        if (options.stop_on_timeout)
            stop_quietly(proc, task, bond);
        weft__task_forget(proc, task.ref.bits);
    }
    *out = weft__task_reason(why, WEFT_ATOM("await"), weft_task_term(task), timeout_ms);
    return false;
}

weft_term weft_task_await_opt(weft_task task, int64_t timeout_ms, const struct weft_await_options *options)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_task_await");
    weft_term value;

    if (!await(proc, "weft_task_await", task, timeout_ms, options, &value))
        weft__proc_exit(proc, value);
    return value;
}

bool weft_task_try_await_opt(weft_task task, int64_t timeout_ms, weft_term *result,
                             const struct weft_await_options *options)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_task_try_await");

    return await(proc, "weft_task_try_await", task, timeout_ms, options, result);
}

/* -- yield, shutdown, ignore ---------------------------------------------------------------- */

/* The calling process, once it is sure that it may ask. */
static struct weft__proc *need_owner(const char *call, weft_task task)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    weft_term mistake;

    if (!weft__task_is_owner(proc, call, task, &mistake))
        weft__proc_exit(proc, mistake);
    return proc;
}

static enum weft_task_outcome give(weft_term *result, enum weft_task_outcome outcome, weft_term term)
{
    if (result != NULL)
        *result = term;
    return outcome;
}

enum weft_task_outcome weft_task_yield(weft_task task, int64_t timeout_ms, weft_term *result)
{
    struct weft__proc *proc = need_owner("weft_task_yield", task);
    struct weft__bond *bond;
    weft_term term;

    if (!weft__task_is_timeout("weft_task_yield", timeout_ms, &term))
        weft__proc_exit(proc, term);
    if (weft__task_is_completed(task))
        return give(result, WEFT_TASK_OK, task.value);
    bond = weft__task_bond(proc, task);
    if (bond == NULL)
        return give(result, WEFT_TASK_EXIT, WEFT_ATOM("already_awaited"));
    if (!weft__task_wait(proc, bond, timeout_ms))
        return WEFT_TASK_NONE;
    return give(result, take_end(proc, bond, &term), term);
}

enum weft_task_outcome weft_task_shutdown(weft_task task, int64_t timeout_ms, weft_term *result)
{
    struct weft__proc *proc = need_owner("weft_task_shutdown", task);
    bool is_brutal = timeout_ms == WEFT_BRUTAL_KILL;
    struct weft__bond *bond;
    weft_term term;

    if (!is_brutal && !weft__task_is_timeout("weft_task_shutdown", timeout_ms, &term))
        weft__proc_exit(proc, term);
    if (weft__task_is_completed(task))
        return give(result, WEFT_TASK_OK, task.value);
    bond = weft__task_bond(proc, task);
    if (bond == NULL)
        return give(result, WEFT_TASK_EXIT, WEFT__A(noproc));
    if (!bond->is_done) {
        if (!is_brutal)
            weft__task_signal(proc, task.pid, task.ref, WEFT__A(shutdown));
        if (is_brutal || !weft__task_wait(proc, bond, timeout_ms))
            weft__task_kill(proc, task.pid, task.ref);
        weft__task_wait(proc, bond, WEFT_INFINITY);
    }
    if (take_end(proc, bond, &term) == WEFT_TASK_OK)
        return give(result, WEFT_TASK_OK, term);
    if (weft_eq(term, is_brutal ? WEFT__A(killed) : WEFT__A(shutdown)))
        return WEFT_TASK_NONE;
    return give(result, WEFT_TASK_EXIT, term);
}

enum weft_task_outcome weft_task_ignore(weft_task task, weft_term *result)
{
    struct weft__proc *proc = need_owner("weft_task_ignore", task);
    struct weft__bond *bond;
    weft_term term;

    if (weft__task_is_completed(task))
        return give(result, WEFT_TASK_OK, task.value);
    bond = weft__task_bond(proc, task);
    if (bond == NULL)
        return WEFT_TASK_NONE;
    weft__task_unlink(proc, bond);
    if (weft__task_wait(proc, bond, 0))
        return give(result, take_end(proc, bond, &term), term);
    weft__task_forget(proc, task.ref.bits);
    return WEFT_TASK_NONE;
}

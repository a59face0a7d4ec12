/* process.c - spawn, give way, sleep, block, end: the calls. */
#include <errno.h>

#include "base/code.h"
#include "base/here.h"
#include "base/options.h"
#include "proc/report.h"
#include "proc/catch.h"
#include "proc/proc.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "term/copy.h"
#include "weft/error.h"

/* -- spawn ------------------------------------------------------------------------- */

static void check_options(const char *call, const struct weft_spawn_options *options)
{
    if ((unsigned)options->priority > WEFT_LOW)
        weft__proc_badarg(call, ".priority is %d, no priority", (int)options->priority);
    if (options->stack_size > weft__stack_class_size(WEFT__STACK_CLASSES - 1))
        weft__proc_badarg(call, ".stack_size is %zu, above %zu", options->stack_size,
                          weft__stack_class_size(WEFT__STACK_CLASSES - 1));
    weft__room_check(call, options->max_queue, options->when_full);
}

static weft_pid spawn(const struct weft__spawn *how)
{
    struct weft__proc *proc = weft__proc_need(how->call);
    struct weft__copy_refusal refusal;
    weft_pid pid;
    int code;

    check_options(how->call, how->options);
    pid = weft__proc_spawn(proc, how, &code);
    if (__builtin_expect(!weft_is_none(pid), 1))
        return pid;
    if (code == WEFT_EBADTERM) {
        weft__copy_size(how->arg, &refusal);
        weft__copy_fail(how->call, &refusal);
    }
    weft__proc_system_limit(how->call, code == WEFT_ELIMIT ? "no process is left (.max_processes)"
                                                           : "no memory for a process");
}

static __attribute__((noinline)) weft_pid spawn_function(weft_fn *fn, weft_term arg,
                                                         const struct weft_spawn_options *options)
{
    struct weft__spawn how = {
        .kind = WEFT__PROC_FUNCTION, .fn = fn, .arg = arg, .options = options, .call = "weft_spawn"};

    if (fn == NULL)
        weft__proc_badarg("weft_spawn", "the function is NULL");
    if (options->state_size != 0)
        weft__proc_badarg("weft_spawn", ".state_size is for weft_spawn_handler");
    return spawn(&how);
}

weft_pid weft_spawn_opt(weft_fn *fn, weft_term arg, const struct weft_spawn_options *given)
{
    static const struct weft_spawn_options defaults = {WEFT_SPAWN_DEFAULTS};
    struct weft_spawn_options room;
    const struct weft_spawn_options *options = weft__options_quick(given, &room, &defaults, sizeof room);
    struct weft__here *here = weft__here();
    struct weft__proc *proc = weft__proc_here_on(here);

    if (__builtin_expect(fn != NULL && proc != NULL && !options->link && weft__spawn_is_plain(options), 1)) {
        weft_pid pid = weft__proc_spawn_plain(here, proc, fn, arg);

        if (__builtin_expect(!weft_is_none(pid), 1))
            return pid;
    }
    return spawn_function(fn, arg, options);
}

weft_pid weft_spawn_handler_opt(weft_handler_fn *handler, void *state,
                                const struct weft_spawn_options *given)
{
    struct weft_spawn_options room = {WEFT_SPAWN_DEFAULTS};
    const struct weft_spawn_options *options = weft__options(given, &room, sizeof room);
    struct weft__spawn how = {
        .kind = WEFT__PROC_HANDLER, .handler = handler, .state = state, .options = options,
        .call = "weft_spawn_handler"};

    if (handler == NULL)
        weft__proc_badarg("weft_spawn_handler", "the handler is NULL");
    if (state == NULL && options->state_size != 0)
        weft__proc_badarg("weft_spawn_handler", ".state_size is %zu and the state is NULL",
                          options->state_size);
    return spawn(&how);
}

weft_pid weft_self(void)
{
    struct weft__proc *proc = weft__proc_here();

    return proc != NULL ? proc->pid : weft_none;
}

/* -- giving way ---------------------------------------------------------------------- */

void weft_yield(void)
{
    struct weft__here *here = weft__here();
    struct weft__proc *proc = weft__proc_need_parkable_on(&here, "weft_yield");

    weft__proc_obey(proc);
    if (proc->fiber.kind == WEFT__PROC_GUEST)
        return;
    weft__proc_enter_on(weft__fiber_yield(here), proc);
    weft__proc_obey(proc);
}

void weft_checkpoint(void)
{
    struct weft__here *here = weft__here();
    struct weft__proc *proc = here->proc;

    if (here->carrier == NULL || proc == NULL || (proc->flags & WEFT__IN_BLOCKING))
        return;
    if (__builtin_expect(weft__worker_is_due(here), 0))
        weft_yield();
    else if (atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__EVENT_SIGNAL)
        weft__proc_obey(proc);
}

void weft_sleep(int64_t ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_sleep");
    struct weft__wait wait;

    if (ms < 0)
        weft__proc_badarg("weft_sleep", "the time is negative (%lld ms)", (long long)ms);
    if (ms == 0) {
        weft_yield();
        return;
    }
    weft__proc_obey(proc);
    weft__wait_begin(&wait, proc, ms);
    while (weft__wait_once(&wait, false))
        ;
    weft__wait_end(&wait);
}

WEFT__GATE void *weft_blocking(void *(*fn)(void *arg), void *arg)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_blocking");
    void *result;

    if (fn == NULL)
        weft__proc_badarg("weft_blocking", "the function is NULL");
    if (proc->fiber.kind == WEFT__PROC_GUEST)
        return fn(arg);
    weft__proc_obey(proc);
    weft__blocking_enter();
    weft__proc_enter(proc); /* perhaps on another thread */
    proc->flags |= WEFT__IN_BLOCKING;
    result = fn(arg);
    weft__proc_need_slot(proc);
    proc->flags &= ~(uint32_t)WEFT__IN_BLOCKING;
    weft__proc_obey(proc);
    return result;
}

/* -- ending ---------------------------------------------------------------------------- */

static struct weft__report report_of(struct weft__proc *proc, weft_term reason)
{
    struct weft__report report = weft__report_of(proc, WEFT_ATOM("process"), reason);

    if (proc->fiber.kind == WEFT__PROC_HANDLER)
        report.last_message = proc->arg;
    if (proc->fiber.kind != WEFT__PROC_GUEST && proc->fiber.kind != WEFT__PROC_REMAINS)
        report.more = weft_list(weft_tuple(WEFT_ATOM("function"), weft__log_function(proc->entry.fn)));
    return report;
}

void weft__proc_crash(struct weft__proc *proc, weft_term reason)
{
    /* A task and a server report their own ends; what is caught, who caught it. */
    if (!weft__catch_is_open(proc) && proc->fiber.kind != WEFT__PROC_SERVER &&
        (proc->fiber.kind != WEFT__PROC_FUNCTION || proc->report == NULL))
        weft__report_log(WEFT_LOG_ERROR, "process crashed", report_of(proc, reason));
    weft__proc_exit(proc, reason);
}

void weft_error(weft_term what)
{
    struct weft__proc *proc = weft__proc_need("weft_error");
    struct weft__copy_refusal refusal = {WEFT__COPY_OK, weft_none};

    if (weft_is_none(what))
        weft__proc_badarg("weft_error", "weft_none is no reason");
    if (weft__copy_size(what, &refusal) == WEFT__COPY_REFUSED)
        weft__copy_fail("weft_error", &refusal);
    weft__proc_crash(proc, weft_tuple(what, weft_empty_list));
}

__attribute__((noinline)) int weft_errno(void)
{
    __asm__ volatile("" ::: "memory");
    return errno;
}

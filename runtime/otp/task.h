/* task.h - what task.c shares with its siblings: streams, task supervisors,
 * reports.
 *
 * A task is a process whose parent keeps a TASK bond (proc/bond.h) under the
 * handle's reference. The bond is the handle's state: see task.c.
 */
#ifndef WEFT_OTP_TASK_H
#define WEFT_OTP_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "proc/bond.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "weft/task.h"

/* -- mistakes and reasons --------------------------------------------------------- */

/* {:badarg, "call: words"}, as a term. */
weft_term weft__task_mistake(const char *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether proc may await the handle; false: *mistake says why not. */
bool weft__task_is_owner(struct weft__proc *proc, const char *call, weft_task task, weft_term *mistake);

/* Whether that is a time to wait; false: *mistake says so. */
bool weft__task_is_timeout(const char *call, int64_t timeout_ms, weft_term *mistake);

/* {why, {Task, call, [what, timeout]}} */
weft_term weft__task_reason(weft_term why, weft_atom call, weft_term what, int64_t timeout_ms);

/* Milliseconds as a term; :infinity, :brutal_kill. */
weft_term weft__task_timeout_term(int64_t timeout_ms);

/* The whole of an options struct: *into holds the defaults, and gets what the
 * caller knew of it. */
#define weft__options_take(into, given) weft__options_copy((into), sizeof *(into), (given), (given)->size)
void weft__options_copy(void *into, size_t size, const void *given, size_t given_size);

/* -- starting ----------------------------------------------------------------------- */

/* What weft__proc_spawn needs beside fn and arg; exits for a mistake. */
void weft__task_spawn_options(const char *call, struct weft_spawn_options *spawn,
                              enum weft_priority priority, size_t stack_size);

/* Start a task of proc: a pid, its TASK bond under *ref; weft_none and *code
 * when there is no process to be had. options->link links it. ref NULL: no
 * bond, its result is dropped. Never switches. */
weft_pid weft__task_spawn(struct weft__proc *proc, const char *call, weft_task_fn *fn, weft_term arg,
                          const struct weft_spawn_options *options, weft_ref *ref, int *code);

/* End the caller because spawn said code: for arg, or for want of a process. */
_Noreturn void weft__task_fail_spawn(const char *call, weft_term arg, int code);

/* For weft__spawn.prepare, arg the process it works for (which is the caller):
 * makes the child a task in reports and in weft_task_callers. */
void weft__task_prepare(struct weft__proc *child, void *starter);

/* The callers of proc, itself not: a list in the calling process's scope. */
weft_term weft__task_callers(struct weft__proc *proc);

/* Report the end of a task; weft__proc.report of every task. */
void weft__task_report(struct weft__proc *proc, weft_term reason);

/* -- ends ----------------------------------------------------------------------------- */

/* The bond of a handle; NULL: it is used up. */
struct weft__bond *weft__task_bond(struct weft__proc *proc, weft_task task);

/* Give a term and the block it lies in to the innermost scope of proc, which is
 * the caller; a guest's region takes no blocks, it gets a copy. */
weft_term weft__task_adopt(struct weft__proc *proc, struct weft__block *block, weft_term term);

/* The term of a task's end, in the innermost scope; the message is used up.
 * *has_value: it is the result, else the reason. */
weft_term weft__task_unwrap(struct weft__proc *proc, struct weft__message *end, bool *has_value);

/* Wait until the bond is done: false when the time is over. */
bool weft__task_wait(struct weft__proc *proc, struct weft__bond *bond, int64_t timeout_ms);

/* Unlink a task and send it the reason. Never switches, so that no kill comes
 * between the two (TASK-37). */
void weft__task_signal(struct weft__proc *proc, weft_pid pid, weft_ref ref, weft_term reason);

/* The same with :kill. */
void weft__task_kill(struct weft__proc *proc, weft_pid pid, weft_ref ref);

/* Act on all that was sent to proc so far; ends it when it is to end. */
static inline void weft__task_look(struct weft__proc *proc)
{
    if (weft__proc_has_inbox(proc))
        weft__proc_drain(proc);
    weft__proc_obey(proc);
}

static inline bool weft__task_is_completed(weft_task task)
{
    return !weft_is_pid(task.pid);
}

#endif

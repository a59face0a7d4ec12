/* caller.c - which process calls, and how a call says that it was misused. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/here.h"
#include "proc/guest.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/log.h"

struct weft__proc *weft__proc_here_slow(void)
{
    /* What a foreign thread had may belong to a runtime that is gone. */
    return weft__guest_proc();
}

_Noreturn void weft__proc_not_here(const char *call)
{
    char text[160];

    snprintf(text, sizeof text, "%s: %s", call, weft_error_text(weft__runtime_missing()));
    weft__guest_exit(weft_tuple(WEFT_ATOM("badarg"), weft_str(text)));
}

struct weft__proc *weft__proc_need_parkable_slow(const char *call)
{
    struct weft__proc *proc = weft__proc_need(call);

    if (proc->flags & WEFT__ENDS)
        weft__proc_badarg(call, "called in a defer, where nothing may park");
    if (proc->flags & WEFT__IN_BLOCKING)
        weft__proc_badarg(call, "called inside weft_blocking, where nothing may park");
    if (proc->fiber.kind != WEFT__PROC_GUEST)
        weft__proc_need_slot(proc);
    return proc;
}

struct weft__proc *weft__proc_slot(weft_pid pid)
{
    struct weft__runtime *runtime = weft__runtime();

    if (runtime == NULL || !weft_is_pid(pid))
        return NULL;
    return weft__table_at(&runtime->table, weft__pid_slot(pid));
}

/* -- misuse ------------------------------------------------------------------------- */

static _Noreturn void misuse(const char *kind, const char *text)
{
    weft_term reason = weft_tuple(weft_eq(weft_str(kind), weft_str("badarg")) ? WEFT_ATOM("badarg")
                                                                              : WEFT_ATOM("system_limit"),
                                  weft_str(text));
    struct weft__proc *proc = weft__proc_here();

    if (proc == NULL)
        weft__guest_exit(reason);
    weft__proc_exit(proc, reason);
}

_Noreturn void weft__proc_badarg(const char *call, const char *format, ...)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%s: ", call);
    va_list args;

    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    misuse("badarg", text);
}

_Noreturn void weft__proc_system_limit(const char *call, const char *what)
{
    char text[256];

    snprintf(text, sizeof text, "%s: %s", call, what);
    misuse("system_limit", text);
}

/* Hooks of the term room (term/fail.h). */
void weft__term_misused(const char *call, const char *mistake)
{
    weft__proc_badarg(call, "%s", mistake);
}

void weft__term_out_of_memory(size_t size)
{
    /* The reason must take no memory, or it would come here again. */
    struct weft__proc *proc = weft__proc_here();

    if (proc == NULL)
        return;
    weft_log_error("out of memory: %zu bytes", size);
    weft__proc_exit(proc, WEFT_ATOM("system_limit"));
}


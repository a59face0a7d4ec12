/* hog_report.c - name the process that keeps its thread for long. */
#include "proc/hog_report.h"

#include <stdio.h>

#include "base/clock.h"
#include "proc/proc.h"
#include "base/symbol.h"
#include "weft/log.h"

#define REPORTS_NS (5 * WEFT__NS_PER_S) /* at most one in so long */

/* The process is there, and neither ends nor begins meanwhile, or what is read
 * is not used (sched/hog.c): race detectors cannot know. */
#if defined(__SANITIZE_THREAD__) || defined(__clang__)
__attribute__((no_sanitize("thread")))
#endif
void weft__hog_note(struct weft__hog *hog)
{
    const struct weft__proc *proc = (const struct weft__proc *)(const void *)hog->fiber;

    if (proc == NULL)
        return;
    hog->who = proc->pid.bits;
    hog->code = proc->fiber.kind == WEFT__PROC_HANDLER ? (uint64_t)(uintptr_t)proc->entry.handler
                                                       : (uint64_t)(uintptr_t)proc->entry.fn;
}

void weft__hog_tell(const struct weft__hog *hog)
{
    /* By the watchdog alone. */
    static int64_t next_ns;
    static unsigned n_left_out;
    char pid[32] = "a process", function[128] = "", where[128] = "", others[48] = "";
    int64_t now_ns = weft__clock_ns();

    if (now_ns < next_ns) {
        n_left_out++;
        return;
    }
    next_ns = now_ns + REPORTS_NS;
    if (hog->who != 0)
        weft_inspect_to(pid, sizeof pid, weft__term(hog->who));
    if (hog->code != 0)
        weft__symbol_name(function, sizeof function, (const void *)(uintptr_t)hog->code);
    if (hog->pc != 0)
        weft__symbol_name(where, sizeof where, (const void *)(uintptr_t)hog->pc);
    if (n_left_out > 0)
        snprintf(others, sizeof others, " (and %u others before)", n_left_out);
    n_left_out = 0;
    weft_log_warning("%s%s%s has %s for %lld ms without a call that may park%s%s; %s%s%s", pid,
                     function[0] != 0 ? " in " : "", function, hog->is_off_cpu ? "blocked its thread" : "run",
                     (long long)(hog->age_ns / WEFT__NS_PER_MS), where[0] != 0 ? ", now in " : "", where,
                     hog->kept == NULL ? "other processes go on elsewhere" : "others wait for it, since ",
                     hog->kept == NULL ? "" : hog->kept, others);
}

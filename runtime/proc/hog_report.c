/* hog_report.c - name the process that keeps its thread for long. */
#include "proc/hog_report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/symbol.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "weft/log.h"

#define REPORTS_NS (5 * WEFT__NS_PER_S) /* at most one in so long */

void weft__hog_note(struct weft__hog *hog, const struct weft__proc *proc, const void *const *frames,
                    uint32_t n_frames)
{
    hog->who = proc->pid.bits;
    hog->n_frames = n_frames < WEFT__HOG_FRAMES ? n_frames : WEFT__HOG_FRAMES;
    memcpy(hog->frames, frames, hog->n_frames * sizeof *frames);
}

/* Whose slot stayed may have ended by now: whoever lives there. */
static weft_pid pid_of(const struct weft__hog *hog)
{
    struct weft__proc *proc = (struct weft__proc *)(void *)hog->fiber;

    if (hog->who != 0)
        return weft__term(hog->who);
    return weft__pid_make(weft__table_slot(&weft__runtime()->table, proc),
                          weft__state_serial(atomic_load_explicit(&proc->state, memory_order_relaxed)));
}

void weft__hog_tell(const struct weft__hog *hog)
{
    /* By the watchdog alone. */
    static int64_t next_ns;
    static unsigned n_left_out;
    char pid[32] = "", stack[512] = "", others[48] = "";
    int64_t now_ns = weft__clock_ns();

    if (weft__runtime() == NULL)
        return; /* it stops */
    if (now_ns < next_ns) {
        n_left_out++;
        return;
    }
    next_ns = now_ns + REPORTS_NS;
    weft_inspect_to(pid, sizeof pid, pid_of(hog));
    weft__symbol_stack(stack, sizeof stack, hog->frames, hog->n_frames);
    if (n_left_out > 0)
        snprintf(others, sizeof others, " (and %u others before)", n_left_out);
    n_left_out = 0;
    weft_log_warning("%s has %s for %lld ms without a call that may park; %s%s%s%s%s", pid,
                     hog->is_off_cpu ? "blocked its thread" : "run", (long long)((now_ns - hog->since_ns) / WEFT__NS_PER_MS),
                     hog->kept == NULL ? "other processes go on elsewhere" : "others wait for it, since ",
                     hog->kept == NULL ? "" : hog->kept, hog->n_frames > 0 ? "; it is in " : "", stack, others);
}

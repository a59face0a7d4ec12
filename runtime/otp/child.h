/* child.h - a child as its supervisor, of whatever kind, keeps it.
 *
 *     state        pid         retry
 *     RUNNING      its         none
 *     STOPPED      none        none     which_children: :undefined
 *     RESTARTING   its last    a ref    {:"$restart", pid, ref} is on its way, or a timer for it is
 *
 *     STOPPED    -> RUNNING      a start gave a pid
 *     RUNNING    -> STOPPED      it ended for good, or was stopped
 *     any        -> RESTARTING   weft__child_retry_soon, weft__child_retry_later
 *     RESTARTING -> RUNNING      a start again
 *     RESTARTING -> STOPPED      it was stopped meanwhile: the message finds another ref
 *
 * A retry is a message of the supervisor to itself, so that requests that wait
 * are answered between two tries (SUP-39).
 *
 * Threads: by the supervisor, whose memory it is.
 */
#ifndef WEFT_OTP_CHILD_H
#define WEFT_OTP_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "weft/child.h"

enum weft__child_state { WEFT__CHILD_STOPPED, WEFT__CHILD_RUNNING, WEFT__CHILD_RESTARTING };

struct weft__child {
    weft_child_spec spec;      /* terms kept */
    enum weft__child_state state;
    weft_pid pid;
    weft_ref retry;            /* RESTARTING */
    weft_term reason;          /* RESTARTING: kept, why */
    int64_t since_ns;          /* RUNNING: since when */
    int64_t n_in_row;          /* restarts by back-off without having stayed up */
    bool reports_itself;       /* a task: its crash is one report, its own */
    struct weft__child *older, *newer; /* by starts; of a dynamic supervisor */
};

/* Its terms are kept; it is STOPPED. Exits without memory. */
struct weft__child *weft__child_new(const weft_child_spec *spec);
void weft__child_free(struct weft__child *child);
/* It will not be started again: its argument need not be held (DSUP-22). */
void weft__child_forget_arg(struct weft__child *child);

void weft__child_set_running(struct weft__child *child, weft_pid pid);
void weft__child_set_stopped(struct weft__child *child);

/* Start it for the calling supervisor with arg (its own, mostly), and see that
 * what came up is linked. Ok with a pid: RUNNING; else STOPPED. Tells the log
 * how long it took. May park. */
weft_started weft__child_run(struct weft__child *child, weft_term supervisor, weft_term arg);

/* The same once more. A name that is still held by a process on its way out (of
 * a supervisor that was killed, say) is worth a wait: once, as long as the
 * child may take to stop. */
weft_started weft__child_run_again(struct weft__child *child, weft_term supervisor, weft_term arg);

/* End it if it runs, and see it dead; tells the log when it did not do as told,
 * and how long it took. STOPPED then. May park. */
void weft__child_end(struct weft__child *child, weft_term supervisor);

/* Try again, behind what waits. */
void weft__child_retry_soon(struct weft__child *child, weft_term reason);

static inline bool weft__child_has_backoff(const struct weft__child *child)
{
    return child->spec.backoff_ms > 0;
}
/* Try again after its back-off. false: its budget is used up, and it is as it was. */
bool weft__child_retry_later(struct weft__child *child, weft_term reason, struct weft__rand *rand);

/* {id, pid | :undefined | :restarting, type, []} */
weft_term weft__child_line(const struct weft__child *child, weft_term id);

#endif

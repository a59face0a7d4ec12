/* start.h - start a server and wait until it is up: OTP's proc_lib.
 *
 * The start is the first request that the new process handles: its serving.from
 * is the starter's reference from the beginning, so a process that ends before
 * it is up tells its starter why by the same way as any call that it owes. It
 * does so when its name is free and it is dead to everybody.
 *
 *     the child                        the starter gets
 *     weft__call_answer(:ok)           ok, the pid
 *     serving.answer = :ignore         ignored              (and ends with :normal)
 *     serving.answer = r, IS_DOWN      {:error, r}          (and ends with anything)
 *     ends with r                      {:error, r}
 */
#ifndef WEFT_OTP_START_H
#define WEFT_OTP_START_H

#include <stdint.h>

#include "otp/call.h"
#include "weft/child.h"

struct weft__start {
    const char *call;                         /* the public function, for mistakes */
    const struct weft__behaviour *behaviour;
    struct weft__serving *serving;            /* the behaviour's state; given to the child,
                                               * or back when no child came of it */
    weft_term *name_place;                    /* in that state: gets the name, in memory of the child */
    weft_term arg;                            /* the child's proc->arg; copied */
    weft_term name;                           /* or weft_none */
    int64_t timeout_ms;
    const struct weft_spawn_options *options; /* link and monitor too */
};

/* Exits for a name or a time that is none. */
void weft__start_check(const char *call, weft_term name, int64_t timeout_ms);

/* Start it and wait. *gave_back: the state is the caller's to free: there was no
 * child. May park. GS-1, GS-6 to GS-12. */
weft_started weft__start(struct weft__proc *proc, const struct weft__start *start, bool *gave_back);

#endif

/* restart.h - a system call that our signal cut short is made again.
 *
 * The handlers have SA_RESTART, with which the kernel goes on by itself with reads,
 * locks, waits for children and many more. Sleeps and waits with a time-out end
 * with EINTR all the same. The code that was interrupted knows nothing of the
 * signal, so it must not see that: the handler sets the registers back to the call.
 *
 * What is left of a time-out is counted on where the kernel says what it is
 * (select, ppoll, nanosleep with a place for it), where it is absolute, and else by
 * how long the call is known to have waited: it may end a tick of the watchdog too
 * late, never too early. Not restored: the time-outs of sockets (SO_RCVTIMEO), which
 * begin anew.
 *
 * On aarch64 the first argument is lost, unless it was known before the signal; on
 * x86-64 it is the number, which is then read from the code before the call. So it is
 * for a call that was known, but had been cut short by a stop of the program (SIGSTOP):
 * its time-out may begin anew then; on aarch64 such a one ends with EINTR.
 *
 * Threads: in a signal handler, on the context that it was given.
 */
#ifndef WEFT_PROC_RESTART_H
#define WEFT_PROC_RESTART_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <ucontext.h>

struct weft__waits_in;

/* in: what was known of the thread before the signal, perhaps of another call;
 * waited_ns: how long it had waited in that. left: the thread's own, for what is
 * left of a time-out while the call goes on. true: it is made again. */
bool weft__restart(ucontext_t *context, const struct weft__waits_in *in, int64_t waited_ns,
                   struct timespec *left);

#endif

/* fault.h - a process that faults ends; the others do not notice.
 *
 *   kernel       SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, and SIGABRT from abort
 *   on_fault     on the thread's alternate stack: is it a fault of a process?
 *   coroner      whose frames are on its stack: may the process end alone?
 *   yes          the saved context is changed, so that the handler returns to
 *                a call of weft__proc_exit, made where the process stopped
 *   no           a report on standard error; then the handler that was there
 *                before the runtime, or the end of the program, with the
 *                registers as they were: a core file shows the fault
 *   not ours     that handler, at once
 *
 * A process that runs for long although it was killed is interrupted by a
 * signal to its thread, under the same rules; when they say no, it goes on and
 * is interrupted again a little later.
 *
 * Threads: install and restore by whoever starts and stops the runtime, while
 *          no carrier runs; interrupt from anywhere.
 */
#ifndef WEFT_PROC_FAULT_H
#define WEFT_PROC_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct weft__carrier;
struct weft__proc;
struct weft__sched_hooks;

/* Per-thread alternate stacks, and interrupts of those that run too long. */
extern const struct weft__sched_hooks weft__fault_hooks;

/* Take the signals. max_per_second: more faults than this within a second are
 * fatal; 0: no limit. 0 or -errno. */
int weft__faults_install(uint32_t max_per_second);
/* Give them back. */
void weft__faults_restore(void);

/* End the process that runs on the carrier's thread, if it is proc, was killed,
 * and may be ended where it is. It may have ended since: nothing happens then.
 * The carrier's thread must be alive. Never switches. */
void weft__fault_interrupt(struct weft__carrier *carrier, struct weft__proc *proc);

struct weft__autopsy;

/* Where does the process stand that runs on that thread? It is interrupted for some
 * microseconds; frames, pc and sp of *autopsy are filled. false: another one runs
 * there, the thread does not answer soon, or somebody else asks just now. From
 * anywhere, but not by two at once. Takes no lock and no memory. Never switches. */
bool weft__fault_look_at(pid_t tid, const struct weft__proc *proc, struct weft__autopsy *autopsy);

#endif

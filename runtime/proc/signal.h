/* signal.h - sending signals (signal_send.c), what they do when they arrive
 * (signal.c), and the ends of tasks in a mailbox (task_end.c).
 *
 * Senders never fail: without memory a signal is made again until there is
 * some, since a lost exit signal hangs somebody for ever.
 */
#ifndef WEFT_PROC_SIGNAL_H
#define WEFT_PROC_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "proc/message.h"
#include "proc/proc.h"

/* As from proc, whose reason is set: it ends. */
void weft__signal_exit_by_link(struct weft__proc *proc, weft_pid to);
/* A task that a supervisor starts for its owner, which has a TASK bond without a
 * peer: by the supervisor, before anybody sees the task. false: the owner is
 * gone. */
bool weft__signal_task_begin(struct weft__proc *task);
void weft__signal_task_end(struct weft__proc *proc);
void weft__signal_down(struct weft__proc *proc, weft_pid to, uint64_t ref, weft_term reason);

void weft__signal_link(struct weft__proc *proc, weft_pid to);
/* false: the peer is gone, and no answer awaited. */
bool weft__signal_unlink(struct weft__proc *proc, weft_pid to, uint64_t number);
void weft__signal_monitor(struct weft__proc *proc, weft_pid to, uint64_t ref);
void weft__signal_demonitor(struct weft__proc *proc, weft_pid to, uint64_t ref);
void weft__signal_exit(struct weft__proc *proc, weft_pid to, weft_term reason);
/* The same because the program ends: a server that traps takes it as its parent's. */
void weft__signal_stop(struct weft__proc *proc, weft_pid to, weft_term reason);
/* The root of the answer is the caller's term. */
void weft__signal_reply(struct weft__proc *proc, weft_pid to, uint64_t ref, weft_term answer);

/* Tell proc itself what a dead peer cannot: {:EXIT, peer, :noproc}, or DOWN. */
void weft__signal_noproc_exit(struct weft__proc *proc, weft_pid peer);
void weft__signal_noproc_down(struct weft__proc *proc, weft_pid peer, uint64_t ref);

void weft__signal_call_over(struct weft__proc *proc, weft_pid to, uint64_t ref);
/* No answer to `ref` will come from `from`, for that reason. */
void weft__signal_call_down(weft_pid from, weft_pid to, uint64_t ref, weft_term reason);

/* An answer has come: to the bond that waits for it, or freed. By the process, or
 * by who has it while it waits. */
void weft__signal_take_reply(struct weft__proc *proc, struct weft__message *message);

/* ENDING: answer the requests in the mailbox, free all of it. */
void weft__signal_drop_mailbox(struct weft__proc *proc);

/* ENDING: take what is left in the inbox, answer what wants an answer, free it. */
void weft__signal_drop_inbox(struct weft__proc *proc);

/* What was taken out of the inbox, newest first: to the mailbox, or acted on. */
void weft__proc_take_in(struct weft__proc *proc, struct weft__message *newest);

/* The oldest message, plain or a pack: a task's end becomes {ref, value} and DOWN.
 * NULL: none. */
struct weft__message *weft__mailbox_first(struct weft__proc *proc);
/* Make this one plain; returns what stands in its place (its first part). */
struct weft__message *weft__mailbox_make_plain(struct weft__proc *proc, struct weft__message *message);

/* Answers an INFO: set by info.c. */
weft_term weft__info_answer(struct weft__proc *proc, weft_term item);

#endif

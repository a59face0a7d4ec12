/* fd.h - descriptors and whose they are, and what a process that uses them has.
 *
 * Each owned descriptor is in a list of its owner's, by way of a table with an
 * entry per descriptor number; whoever ends the process closes them. Lists are
 * under locks by owner, as a descriptor may be closed or given by others.
 *
 * The notes of a process, struct weft__io, hold the one waiter it can park with
 * (a parked stack is gone as soon as its process is killed, so waiters do not
 * live there) and the messages it was promised (weft_io_notify).
 *
 * Threads: from anywhere; nothing here switches.
 */
#ifndef WEFT_SERVICES_FD_H
#define WEFT_SERVICES_FD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/spin.h"
#include "sched/poll.h"
#include "weft/term.h"

struct weft__proc;
struct weft__notice;

/* What a process that uses descriptors has, until it ends. */
struct weft__io {
    /* Set once. */
    weft_pid pid;
    /* By the process, and while the waiter is set by the poller. */
    struct weft__poll_waiter waiter;
    _Atomic unsigned outcome;     /* WEFT__IO_PENDING, or the events it was fired with */
    /* Under weft__io_lock(pid). */
    int first_fd;                 /* -1: owns none */
    struct weft__notice *notices; /* promised messages */
};
#define WEFT__IO_PENDING (1u << 31)

/* The notes of the calling process; NULL: no memory. */
struct weft__io *weft__io_of(struct weft__proc *proc);

/* The lock over the lists of a process. Taken under a poller's locks; nothing
 * is taken under it. */
struct weft__spin *weft__io_lock(weft_pid pid);

/* Make the calling process (if there is one) the owner of a descriptor that
 * was opened just now. fd itself, or a negative code with fd closed; a negative
 * fd comes back as it is. */
int weft__fd_own(int fd);

/* weft_close, in a loop over descriptors that nobody else can have. */
int weft__fd_close(int fd);

/* notice.c: drop what a process was promised; it ends. */
void weft__notices_end(struct weft__io *io);

#endif

/* io.h - what the files of the I/O service share: waiting within a call.
 *
 * A call may be made by a process on a worker, which parks, or by any other
 * thread, which blocks in poll(2). Results are as in weft/io.h.
 */
#ifndef WEFT_SERVICES_IO_H
#define WEFT_SERVICES_IO_H

#include <stdbool.h>
#include <stdint.h>

/* What is left of a call's time. */
struct weft__io_time {
    int64_t timeout_ms; /* as given */
    int64_t until_ns;   /* its end; 0: the clock was not read yet */
};

/* Begins a call that may park. Does not return when the process is to end. */
void weft__io_enter(void);

/* Will waiting park a process, or block the thread? */
bool weft__io_can_park(void);

/* A call is done without having parked: let others run when it is their turn. */
void weft__io_give_way(void);

/* Wait for one of the events. The events that are there, WEFT_ETIMEDOUT, or
 * another code. Parks when the caller can. */
int weft__io_wait(int fd, unsigned events, struct weft__io_time *time);

/* Do nothing for ms, or for what is left of the time: 0, or WEFT_ETIMEDOUT. */
int weft__io_pause(int64_t ms, struct weft__io_time *time);

/* What is left, rounded up; WEFT_INFINITY stays. */
int64_t weft__io_left_ms(struct weft__io_time *time);

/* Run fn(arg) where it may block the thread: by weft_blocking, if that can be
 * left to it. */
void weft__io_blocking(void *(*fn)(void *arg), void *arg);

/* O_NONBLOCK, unless it is set. 0, or a code. */
int weft__io_unblock(int fd);

#endif

/* room.h - the room in a mailbox that has a bound.
 *
 * A process spawned with .max_queue has a room: so many places for what others
 * send it. A sender takes a place before it posts, and finds it free, or not; the
 * process gives the place back when the message leaves its mailbox. A message that
 * has a place is WEFT__COUNTED. Exits, replies, system requests and timers take
 * none, so they always get in.
 *
 * Who may wait for a place stands in a list. A place that is given back while
 * somebody waits never becomes free: it goes to the one who waits longest.
 *
 *     free -> taken    weft__room_take
 *     taken -> free    weft__room_give_back, nobody waits
 *     taken -> taken   weft__room_give_back, for the first in the list
 *
 * Rooms lie in an array by slot, beside the control blocks, made in leaves when
 * the first process of a leaf has a bound, and never freed: a late sender may look
 * at one at any time. Its word holds the serial of the process it is for, so who
 * comes too late takes no place of the next one's.
 *
 * No lost wake-up: count, "somebody waits" and serial are one word. Who waits sets
 * the bit by the same exchange that finds no place.
 *
 * Threads: take, wait and give_back by anyone; the rest by the process itself.
 */
#ifndef WEFT_PROC_ROOM_H
#define WEFT_PROC_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/message.h"
#include "proc/proc.h"

#define WEFT__ROOM_MAX ((UINT32_C(1) << 27) - 1)

enum weft__room_answer {
    WEFT__ROOM_TAKEN,   /* a place is the caller's */
    WEFT__ROOM_FULL,
    WEFT__ROOM_DROPS,   /* full, and what comes is to be dropped */
    WEFT__ROOM_GONE,    /* the process ends, or has ended */
    WEFT__ROOM_TIMED_OUT,
    WEFT__ROOM_ITSELF   /* would wait for itself */
};

/* The options .max_queue and .when_full: a mistake ends the caller, in the name of
 * the public call. */
void weft__room_check(const char *call, size_t max, enum weft_when_full when_full);

/* Before the process is seen: it has room for max messages. false: no memory. */
bool weft__room_make(struct weft__proc *proc, uint32_t max, bool drops);

/* A place in the mailbox of a process that weft__proc_is_bounded. Never switches. */
enum weft__room_answer weft__room_take(weft_pid pid);
/* The same for proc, waiting for one: 0 looks once. May park. */
enum weft__room_answer weft__room_wait(struct weft__proc *proc, weft_pid pid, int64_t timeout_ms);
/* Either: timeout_ms < 0 does not wait. 0: it is taken; 1: there is none, and what was
 * to be sent is to be dropped in silence; or a code for the sender. */
int weft__room_enter(struct weft__proc *proc, weft_pid pid, int64_t timeout_ms);
/* A place that was taken is free, or another's. Never switches. */
void weft__room_give_back(weft_pid pid);

/* A counted message of proc's goes: its place is given back. */
void weft__room_left(struct weft__proc *proc, struct weft__message *message);

/* How many places it has, and how often there was none. Of one with a bound. */
uint32_t weft__room_size(const struct weft__proc *proc);
uint64_t weft__room_n_refused(const struct weft__proc *proc);

/* proc ends, nobody's message is taken any more: who waits for a place hears. */
void weft__room_close(struct weft__proc *proc);
/* proc ends while it waits for a place. */
void weft__room_forget(struct weft__proc *proc);

#endif

/* alarm.h - mailboxes that have become long, and who hears of it.
 *
 *     quiet -> alarmed   weft__alarm_look   `over` messages or more: the log, the listener
 *     alarmed            weft__alarm_look   twice as many as when somebody heard last: the log
 *     alarmed -> quiet   weft__alarm_left   `under` or fewer: the listener
 *     alarmed -> quiet   weft__alarm_end    it ends
 *
 * A process counts its own messages as it takes them in, so what it has not looked
 * at counts for nothing yet, and a send costs nothing more.
 *
 * Threads: look, left and end by the process itself; the rest by anyone.
 */
#ifndef WEFT_PROC_ALARM_H
#define WEFT_PROC_ALARM_H

#include <stdatomic.h>
#include <stdint.h>

#include "proc/proc.h"

/* Messages that are too many; UINT32_MAX: no number is. Relaxed: a figure. */
extern _Atomic uint32_t weft__alarm_over;

/* When the runtime starts. under: 0 stands for half. */
void weft__alarm_start(size_t over, size_t under);

void weft__alarm_slow(struct weft__proc *proc);

/* It has taken messages in. */
static inline void weft__alarm_look(struct weft__proc *proc)
{
    if (__builtin_expect(proc->n_messages >= atomic_load_explicit(&weft__alarm_over, memory_order_relaxed), 0))
        weft__alarm_slow(proc);
}

/* One left; of one that is ALARMED. */
void weft__alarm_left(struct weft__proc *proc);
void weft__alarm_end(struct weft__proc *proc);

#endif

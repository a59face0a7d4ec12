/* life.h - how a process begins, runs and ends. */
#ifndef WEFT_PROC_LIFE_H
#define WEFT_PROC_LIFE_H

#include "proc/proc.h"

struct weft__runtime;

/* A control block, live, for a process that nobody spawns; NULL: none left. */
struct weft__proc *weft__life_begin_bare(struct weft__runtime *runtime, enum weft__proc_kind kind);

/* What is left of one whose end nobody hears of (any more): its memory, its slot. */
void weft__life_give_back(struct weft__runtime *runtime, struct weft__proc *proc);

/* End it, on a stack that holds none of its frames: defers, names, links,
 * monitors, memory, slot. It is not running anywhere. */
void weft__life_end(struct weft__proc *proc, weft_term reason);

/* Higher rooms that let go of something at every end name it here, once: run
 * before the names go, by whoever ends the process. */
extern void (*weft__life_ending)(struct weft__proc *proc);

#endif

/* pid_map.h - what a process knows of other processes, by pid.
 *
 * Open addressing with linear steps; a removal closes its gap, so that there
 * are no graves. Its memory is the calling process's own (weft_alloc) and goes
 * with it.
 *
 * Nobody goes through it in its order: who fills another map that way, or frees slots
 * of pids that the next map is filled with, has that one cluster.
 *
 * Invariant: at most three slots in four are used; size is a power of two or 0.
 * Threads:   by one process.
 */
#ifndef WEFT_OTP_PID_MAP_H
#define WEFT_OTP_PID_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "weft/term.h"

struct weft__pid_slot {
    uint64_t pid; /* bits; 0: free */
    void *value;
};

struct weft__pid_map {
    struct weft__pid_slot *slots;
    size_t n, size;
};

/* pid is not in it yet. Exits without memory. */
void weft__pid_map_put(struct weft__pid_map *map, weft_pid pid, void *value);
/* NULL: not there. */
void *weft__pid_map_get(const struct weft__pid_map *map, weft_pid pid);
/* The value that was there, or NULL. */
void *weft__pid_map_take(struct weft__pid_map *map, weft_pid pid);

#endif

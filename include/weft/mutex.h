/* mutex.h - locks, and what becomes of them when their holder ends.
 *
 * Processes share nothing, so few of them need a lock: for memory of a library,
 * or of the program around weft. A weft_mutex parks who waits, and is released
 * when its holder ends, however that happens; the next one to have it is told.
 *
 * Locks that weft does not know (a pthread_mutex, one inside a library) stay
 * locked when a process ends that holds one, and whoever wants it next waits
 * for ever. So a process says when it holds such a lock.
 */
#ifndef WEFT_MUTEX_H
#define WEFT_MUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "weft/api.h"

WEFT__BEGIN_C

/* -- a lock of weft's --------------------------------------------------------- */

/* In the caller's storage, which must stay while anybody holds it or waits. All
 * zero is ready to use: a static one, or WEFT_MUTEX_INIT. Nothing is to be freed. */
typedef struct weft_mutex {
    uint64_t weft__words[6];
} weft_mutex;
#define WEFT_MUTEX_INIT {{0}}

/* Have it for oneself.
 *
 * Where:    in a process. May park, until the holder unlocks it or ends.
 * Order:    whoever waits longest is next. One that comes just when it becomes free
 *           may be quicker than one that begins to wait at that moment, once.
 * Returns:  0, or WEFT_EOWNERDEAD: the caller has it, and the one before ended
 *           while it had it: what it guards may be half done. Said once.
 * Exits:    {:badarg, text}   the caller has it already
 * A process that is killed while it waits, waits no more. */
WEFT_API int weft_mutex_lock(weft_mutex *mutex);

/* The same, for a time at most (from now; WEFT_INFINITY: for ever; 0: at once):
 * WEFT_ETIMEDOUT when it is over. May park. */
WEFT_API int weft_mutex_lock_within(weft_mutex *mutex, int64_t timeout_ms);

/* The same, at once or not at all: WEFT_EBUSY when somebody has it. In a
 * process, defers too. Never switches. */
WEFT_API int weft_mutex_try_lock(weft_mutex *mutex);

/* Give it back. In the process that has it, defers too; else exits
 * {:badarg, text}. Never switches. */
WEFT_API void weft_mutex_unlock(weft_mutex *mutex);

/* Does the caller have it? From anywhere. Never switches. */
WEFT_API bool weft_mutex_is_held(const weft_mutex *mutex);

/* -- locks of others ----------------------------------------------------------- */

/* From here to the end of the block, the process holds a lock that weft does
 * not know:
 *
 *     {
 *         WEFT_FOREIGN_LOCK;
 *         pthread_mutex_lock(&table_lock);
 *         ...
 *         pthread_mutex_unlock(&table_lock);
 *     }
 *
 * Meanwhile exit signals wait, kills too, and take effect at the first call
 * that may park after the block; a fault ends the whole program, with a report. A
 * process that ends by itself in there (weft_exit, a misused call) leaves the
 * lock as it is. Blocks nest.
 *
 * Where:    in a process; does nothing elsewhere. Never switches. */
#define WEFT_FOREIGN_LOCK WEFT__FOREIGN_LOCK(WEFT__FOREIGN_CAT(weft__foreign_, __COUNTER__))

/* The same by hand, where the lock is not held for a block. Never switches. */
WEFT_API void weft_foreign_enter(void);
/* Once for each enter; else exits {:badarg, text}. Never switches. */
WEFT_API void weft_foreign_leave(void);

#define WEFT__FOREIGN_CAT(a, b) WEFT__FOREIGN_CAT_(a, b)
#define WEFT__FOREIGN_CAT_(a, b) a##b
#define WEFT__FOREIGN_LOCK(name)                                               \
    __attribute__((cleanup(weft__foreign_cleanup), unused)) char name = 0;     \
    weft_foreign_enter()

static inline void weft__foreign_cleanup(char *unused)
{
    (void)unused;
    weft_foreign_leave();
}

WEFT__END_C

#endif

/* mutex.h - locks, and what becomes of them when their holder ends.
 *
 * Locks that weft does not know (a pthread_mutex, one inside a library) stay
 * locked when a process ends that holds one, and whoever wants it next waits
 * for ever. So a process says when it holds such a lock.
 */
#ifndef WEFT_MUTEX_H
#define WEFT_MUTEX_H

#include "weft/api.h"

WEFT__BEGIN_C

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

/* The same by hand, where the lock is not held for a block. Leave once for each
 * enter; leave without one exits {:badarg, text}. */
WEFT_API void weft_foreign_enter(void);
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

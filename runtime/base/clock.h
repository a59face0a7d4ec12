/* clock.h - time that only goes forward.
 *
 * In nanoseconds since some moment before the program. Reading it costs about
 * 25 ns: the scheduler reads it once per turn, not once per message.
 *
 * Threads:   from anywhere, signal handlers too.
 */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include <stdint.h>

#define WEFT__NS_PER_US INT64_C(1000)
#define WEFT__NS_PER_MS INT64_C(1000000)
#define WEFT__NS_PER_S INT64_C(1000000000)

/* CLOCK_MONOTONIC. */
int64_t weft__clock_ns(void);
/* CLOCK_REALTIME, since 1970: for what people read. */
int64_t weft__clock_wall_ns(void);
/* CPU time of the calling kernel thread. */
int64_t weft__clock_thread_ns(void);

/* Goes up by one to five each nanosecond, and costs 10 ns where the CPU has such a
 * count: for telling short from long, on one thread. */
static inline uint64_t weft__clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return (uint64_t)weft__clock_ns();
#endif
}

/* The moment `ms` from `now_ns`; the farthest one when ms < 0 or it would not
 * fit. */
static inline int64_t weft__clock_after_ms(int64_t now_ns, int64_t ms)
{
    if (ms < 0 || ms > (INT64_MAX - now_ns) / WEFT__NS_PER_MS)
        return INT64_MAX;
    return now_ns + ms * WEFT__NS_PER_MS;
}

#endif

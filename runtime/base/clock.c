#include "base/clock.h"

#include <time.h>

static int64_t clock_read(clockid_t clock)
{
    struct timespec now;

    /* Cannot fail: the clocks exist and the pointer is good. */
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * WEFT__NS_PER_S + (int64_t)now.tv_nsec;
}

int64_t weft__clock_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

int64_t weft__clock_wall_ns(void)
{
    return clock_read(CLOCK_REALTIME);
}

int64_t weft__clock_thread_ns(void)
{
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

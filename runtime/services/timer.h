/* timer.h - timers of processes: weft_send_after and its kin. */
#ifndef WEFT_SERVICES_TIMER_H
#define WEFT_SERVICES_TIMER_H

#include <stdint.h>

/* How many there are: for tests. Takes every lock in turn. */
uint64_t weft__timers_count(void);

#endif

/* timer.h - timers of processes: weft_send_after and its kin. */
#ifndef WEFT_SERVICES_TIMER_H
#define WEFT_SERVICES_TIMER_H

#include <stdint.h>

/* Drop every timer that is left: at every stop of the runtime, after the last
 * process and before the workers' wheels go. Others may fire meanwhile. */
void weft__timers_stop(void);

/* How many there are: for tests. Takes every lock in turn. */
uint64_t weft__timers_count(void);

#endif

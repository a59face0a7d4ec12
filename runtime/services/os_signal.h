/* os_signal.h - what the runtime has of the system's signals. */
#ifndef WEFT_SERVICES_OS_SIGNAL_H
#define WEFT_SERVICES_OS_SIGNAL_H

#include "weft/os_signal.h"

/* Until the process `to` ends: a signal that nobody is subscribed to sends it
 * an exit signal with that reason. 0, or as weft_os_signal_subscribe. In a
 * process. May park. */
int weft__os_signal_exit(int signo, weft_pid to, weft_term reason);

/* Restore all dispositions and end the thread, if there is one. Called by the
 * runtime's stop, when its processes have ended and the thread may still be a
 * guest. May be called again, and does nothing in the child of a fork. */
void weft__os_signals_stop(void);

#endif

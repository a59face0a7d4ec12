/* os_signal.h - what the runtime has of the system's signals. */
#ifndef WEFT_SERVICES_OS_SIGNAL_H
#define WEFT_SERVICES_OS_SIGNAL_H

#include "weft/os_signal.h"

typedef void weft__os_signal_fn(int signo);

/* Until the runtime stops: at a signal that nobody is subscribed to, act is called
 * on a thread of its own, whatever the workers do. 0, or as
 * weft_os_signal_subscribe. From anywhere. Never switches. */
int weft__os_signal_act(int signo, weft__os_signal_fn *act);

/* From now on such a signal ends the program at once, by _exit. From anywhere. */
void weft__os_signal_is_last(int signo);

/* Restore all dispositions and end the thread, if there is one. Called by the
 * runtime's stop, when its processes have ended and the thread may still be a
 * guest. May be called again, and does nothing in the child of a fork. */
void weft__os_signals_stop(void);

#endif

/* os_signal.h - signals of the operating system as messages.
 *
 *     weft_os_signal_subscribe(SIGTERM);
 *     ...
 *     weft_receive(weft_tuple(WEFT_ATOM("signal"), WEFT_ATOM("sigterm")), WEFT_INFINITY, NULL);
 *
 * While anybody is subscribed to a signal it does nothing else: its disposition
 * before (the default, which may end the program, or a handler of the program)
 * is back when the last subscriber is gone, and when the runtime stops.
 *
 * A signal that comes again before the first one was told is told once, as the
 * kernel does. A thread that blocks a signal never takes it; one thread of the
 * program, the main one say, has to leave it unblocked: weft's own block all.
 */
#ifndef WEFT_OS_SIGNAL_H
#define WEFT_OS_SIGNAL_H

#include "weft/api.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* Send the caller {:signal, name} for each signal of that number from now on,
 * until it unsubscribes or ends. Twice is as once.
 *
 *   signo   SIGHUP SIGINT SIGQUIT SIGUSR1 SIGUSR2 SIGPIPE SIGALRM SIGTERM
 *           SIGCHLD SIGCONT SIGTSTP SIGTTIN SIGTTOU SIGXCPU SIGXFSZ
 *           SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR
 *
 * Where:    in a process. May park.
 * Returns:  0; when it does, the disposition is set.
 *           WEFT_EINVAL    no signal has that number
 *           WEFT_EPERM     SIGKILL, SIGSTOP: nobody can have them
 *           WEFT_ENOTSUP   faults and SIGABRT, which belong to the code that
 *                          caused them; SIGURG, with which weft interrupts
 *                          processes that were killed; any other not listed
 *           WEFT_ESTOPPED  no runtime
 *           WEFT_EAGAIN    no thread for it now; -errno otherwise
 * Meaning:  Erlang os:set_signal and erl_signal_server. */
WEFT_API int weft_os_signal_subscribe(int signo);

/* No more from now on; what is in the mailbox stays. In a process. May park.
 * 0, or WEFT_ENOENT: was not subscribed. */
WEFT_API int weft_os_signal_unsubscribe(int signo);

/* From now on a signal of that number writes weft_dump to standard error, and
 * nothing else: the program goes on. It does not need a worker that is free. Who
 * subscribes to it has it for so long. weft_main does it for SIGQUIT (Ctrl-\).
 *
 * Where:    anywhere. Never switches.
 * Returns:  0; as weft_os_signal_subscribe. Until the runtime stops. */
WEFT_API int weft_os_signal_dump(int signo);

/* :sigint for SIGINT and so on; weft_none for what cannot be subscribed to.
 * From anywhere. Never switches. */
WEFT_API weft_atom weft_os_signal_name(int signo);

/* Why a signal cannot be subscribed to, in words; NULL when it can. From
 * anywhere. Never switches. */
WEFT_API const char *weft_os_signal_refusal(int signo);

WEFT__END_C

#endif

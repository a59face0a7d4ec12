/* info.h - see what a program does right now. */
#ifndef WEFT_INFO_H
#define WEFT_INFO_H

#include "weft/api.h"

WEFT__BEGIN_C

/* Write what every process does to a descriptor, as text:
 *
 *     weft: 3 processes, 2 workers
 *     #PID<65.0> "importer" import: waits for 12.4 s in receive, for a message; 0 messages, 1392 bytes, 624 of ...
 *         0x55d0c8a0177a  weft__fiber_park+0x18c
 *         ...
 *         0x55d0c8a01234  import+0x2f
 *     #PID<7.3> :cache server: waits for 0:03:11, for a message; 1 message, 1088 bytes
 *     #PID<9.0> parse: runs on worker 1, for longer than a tick; 0 messages and 40 not looked at
 *     #PID<67.0> client: waits for 4.1 s in weft_gen_server_call, for an answer of #PID<7.3>; 0 messages, ...
 *
 * Nothing stops meanwhile: each process is shown as it was at some moment of the
 * call, and one that ends meanwhile is left out. One that has a core is interrupted
 * for some microseconds, to see its stack; one that sits in the kernel is not, and
 * of the functions between its own and the kernel some may be missing, or be those
 * of an earlier call. .contain_faults = false: those that run show no stack.
 * Times are right to a tenth of a second. The same comes on standard error at a signal: weft_os_signal_dump.
 *
 *   fd   where to; one that takes no more makes the call wait
 *
 * Where:    anywhere, whatever the workers do. Never switches: the thread is held
 *           while it writes. It takes no lock and no memory but 64 KiB of its own
 *           from the kernel; 8 KiB of stack.
 * Returns:  0; WEFT_ESTOPPED: no runtime; WEFT_EFORKED; -errno of write. */
WEFT_API int weft_dump(int fd);

WEFT__END_C

#endif

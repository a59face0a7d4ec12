/* error.h - error codes: their numbers, their names, their texts.
 *
 * A call that fails returns a negative code. A failure that the operating
 * system knows as well has its number: WEFT_EAGAIN is -EAGAIN, so what a system
 * call says travels as it is (`return -errno;`), and errno values without a
 * WEFT_ name here are codes too. What only weft knows lies beyond every errno,
 * from -10001 down. Numbers never change; new ones are appended.
 */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include <errno.h>

#include "weft/api.h"

WEFT__BEGIN_C

/* X(name, code, text): the one list behind the enum, the names and the texts. */
#define WEFT_ERROR_MAP(X)                                                       \
    X(EPERM, -EPERM, "operation not permitted")                                 \
    X(ENOENT, -ENOENT, "no such file or directory")                             \
    X(EINTR, -EINTR, "interrupted by a signal")                                 \
    X(EIO, -EIO, "input or output failed")                                      \
    X(E2BIG, -E2BIG, "argument list too long")                                  \
    X(EBADF, -EBADF, "not an open file or socket")                              \
    X(EAGAIN, -EAGAIN, "not now, try again")                                    \
    X(ENOMEM, -ENOMEM, "out of memory")                                         \
    X(EACCES, -EACCES, "permission denied")                                     \
    X(EFAULT, -EFAULT, "bad memory address")                                    \
    X(EBUSY, -EBUSY, "in use")                                                  \
    X(EEXIST, -EEXIST, "exists already")                                        \
    X(EINVAL, -EINVAL, "invalid argument")                                      \
    X(ENFILE, -ENFILE, "too many open files in the system")                     \
    X(EMFILE, -EMFILE, "too many open files")                                   \
    X(ENOSPC, -ENOSPC, "no space left on the device")                           \
    X(EPIPE, -EPIPE, "nobody reads the other end")                              \
    X(ERANGE, -ERANGE, "result out of range")                                   \
    X(EDEADLK, -EDEADLK, "would wait for itself")                               \
    X(ENAMETOOLONG, -ENAMETOOLONG, "name too long")                             \
    X(ENOSYS, -ENOSYS, "not offered by this kernel")                            \
    X(EOVERFLOW, -EOVERFLOW, "value too large")                                 \
    X(ENOTSOCK, -ENOTSOCK, "not a socket")                                      \
    X(EMSGSIZE, -EMSGSIZE, "message too long")                                  \
    X(EPROTONOSUPPORT, -EPROTONOSUPPORT, "protocol not supported")              \
    X(ENOTSUP, -ENOTSUP, "not supported")                                       \
    X(EAFNOSUPPORT, -EAFNOSUPPORT, "address family not supported")              \
    X(EADDRINUSE, -EADDRINUSE, "address already in use")                        \
    X(EADDRNOTAVAIL, -EADDRNOTAVAIL, "address not available")                   \
    X(ENETDOWN, -ENETDOWN, "network is down")                                   \
    X(ENETUNREACH, -ENETUNREACH, "network is unreachable")                      \
    X(ECONNABORTED, -ECONNABORTED, "connection aborted")                        \
    X(ECONNRESET, -ECONNRESET, "connection reset by peer")                      \
    X(ENOBUFS, -ENOBUFS, "no buffer space")                                     \
    X(EISCONN, -EISCONN, "connected already")                                   \
    X(ENOTCONN, -ENOTCONN, "not connected")                                     \
    X(EOWNERDEAD, -EOWNERDEAD, "the last holder ended while it had it")         \
    X(ETIMEDOUT, -ETIMEDOUT, "timed out")                                       \
    X(ECONNREFUSED, -ECONNREFUSED, "connection refused")                        \
    X(EHOSTUNREACH, -EHOSTUNREACH, "host is unreachable")                       \
    X(EALREADY, -EALREADY, "already done or under way")                         \
    X(EINPROGRESS, -EINPROGRESS, "in progress")                                 \
    X(ECANCELED, -ECANCELED, "canceled")                                        \
    X(ENOPROC, -10001, "no such process")                                       \
    X(ENOTPROC, -10002, "not called from a process")                            \
    X(ENOTOWNER, -10003, "belongs to another process")                          \
    X(ESTOPPED, -10004, "the runtime is not running")                           \
    X(EFORKED, -10005, "the runtime does not outlive fork()")                   \
    X(EEXITED, -10006, "the process ended")                                     \
    X(EKILLED, -10007, "the process was killed")                                \
    X(ELIMIT, -10008, "a limit was reached")                                    \
    X(ECLOSED, -10009, "closed")                                                \
    X(EOF, -10010, "end of file")                                               \
    X(EADDR, -10011, "address not understood")                                  \
    X(EHOST, -10012, "no such host")                                            \
    X(ERESOLVE, -10013, "the name service does not answer")                     \
    X(ENOMATCH, -10014, "no match")                                             \
    X(EBADTERM, -10015, "not a value that can be sent")                         \
    X(ETOOLONG, -10016, "more than there is room for")                          \
    X(EPROTOCOL, -10017, "the peer broke the protocol")                         \
    X(ETLS, -10018, "no secure connection")                                     \
    X(ESYS, -10019, "the system did what it should not")                        \
    X(EFULL, -10020, "the mailbox is full")

enum weft_error {
    WEFT_OK = 0,
#define WEFT_ERROR_ENUM(name, code, text) WEFT_##name = (code),
    WEFT_ERROR_MAP(WEFT_ERROR_ENUM)
#undef WEFT_ERROR_ENUM
};

/* The name of a code: "ENOPROC", "ECONNREFUSED"; "OK" for 0, "EUNKNOWN" for a
 * number that nobody gave a meaning.
 *
 * Where:    anywhere, signal handlers too. Never switches.
 * Returns:  a string that lives as long as the program.
 */
WEFT_API const char *weft_error_name(int code);

/* What a code means, in a few words without capital or full stop: "no such
 * process".  From anywhere. Never switches. Returns as weft_error_name.
 */
WEFT_API const char *weft_error_text(int code);

WEFT__END_C

#endif

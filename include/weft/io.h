/* io.h - descriptors: sockets, pipes, plain files, and waiting for them.
 *
 *     int listener = weft_listen("127.0.0.1", 8080);
 *
 *     for (;;) {
 *         int fd = weft_accept(listener, WEFT_INFINITY);
 *         if (fd >= 0)
 *             weft_give_fd(fd, weft_spawn(serve, weft_int(fd)));
 *     }
 *
 * A descriptor is a plain int. What would block parks the process instead, and
 * other processes run meanwhile.
 *
 * Results. Bytes or a descriptor (>= 0), or a negative code: what the system
 * said (-errno, which WEFT_E names have: WEFT_ECONNRESET), or
 *
 *     WEFT_ETIMEDOUT  the time was over; the call did not do what it was to do
 *     WEFT_ECANCELED  the descriptor was closed by weft_close meanwhile
 *     WEFT_EBUSY      another process waits for the same (to read, to write) of
 *                     this descriptor: one reader and one writer may wait at
 *                     a time
 *     WEFT_EBADF      not an open descriptor
 *     WEFT_EMFILE     this program, WEFT_ENFILE: the system, has no descriptor
 *                     left. A listener stays ready then: who accepts in a loop
 *                     should pause (weft_sleep) before the next try
 *
 * weft_error_text has words for each. Mistakes in the arguments are
 * WEFT_EINVAL; nothing here ends the caller.
 *
 * Time. timeout_ms bounds the whole call, from its begin: never early. 0: do
 * not wait; WEFT_INFINITY: for ever. Negative: WEFT_EINVAL.
 *
 * Where. In a process these calls may park where their comment says so. In any
 * other thread, guests and the inside of weft_blocking included, they work as
 * well, with or without a runtime, and block the kernel thread (poll(2)) instead
 * of parking; such a wait is not ended by weft_close.
 *
 * Owners. A descriptor that weft made belongs to the process that asked for it
 * and is closed when that process ends, however it ends; weft_give_fd hands it
 * on. A descriptor that weft made must be closed by weft_close, or given to
 * nobody first: the number means another file afterwards.
 *
 * Blocking mode. What weft makes is non-blocking and close-on-exec. Sockets made
 * elsewhere may be in either mode. Pipes, terminals and the like made elsewhere
 * are set to non-blocking when weft_read or weft_write first finds them
 * blocking; as that shows to every program that shares them, for a terminal
 * prefer weft_io_wait and read(2).
 *
 * SIGPIPE. A write that nobody reads is WEFT_EPIPE; no signal is seen.
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "weft/process.h"

WEFT__BEGIN_C

/* -- readiness ------------------------------------------------------------------ */

#define WEFT_READ 1u  /* data, a connection to accept, the end, or an error */
#define WEFT_WRITE 2u /* room to write, connected, or an error */

/* Wait until one of the events is there.
 *
 *   fd      any descriptor that poll(2) knows, made by whomever
 *   events  WEFT_READ, WEFT_WRITE, or both
 *
 * Where:    May park.
 * Returns:  the events that are there (> 0), or a code. A plain file is always
 *           ready. Ready may turn out to be wrong (others may have read
 *           first): use non-blocking calls and wait again. */
WEFT_API int weft_io_wait(int fd, unsigned events, int64_t timeout_ms);

/* Be told by a message, once, when one of the events is there:
 *
 *     {:io, tag, fd, events}
 *
 * with events 0 when the descriptor was closed by weft_close. So a process can
 * wait for messages and descriptors at the same time. With a reference of its
 * own as tag, weft_receive finds the message without looking at older ones.
 *
 *   tag     an atom, a reference, a pid or a small integer: one word
 *
 * Where:    in a process, guests included. Never switches.
 * Returns:  0, or a code: WEFT_EBUSY also when this process is to be told of
 *           one of the events already; WEFT_EPERM: a plain file, always ready.
 * Cost:     one system call; no memory of the process is used to wait. */
WEFT_API int weft_io_notify(int fd, unsigned events, weft_term tag);

/* Be not told, if it still can be helped.
 *
 * Where:    in the process that asked. Never switches.
 * Returns:  0: no message will come; WEFT_ENOENT: none was asked for, or it is
 *           in the mailbox already. */
WEFT_API int weft_io_cancel(int fd, unsigned events);

/* -- reading and writing -------------------------------------------------------- */

/* Read what is there, at least a byte and at most size. May park.
 * Returns: bytes; 0: the end (or size 0); or a code. */
WEFT_API int64_t weft_read(int fd, void *buffer, size_t size, int64_t timeout_ms);

/* Read until size bytes are there or the end has come. May park.
 * Returns: bytes, fewer than size only at the end; or a code: how much of the
 * buffer was filled is not known then, and the stream is best closed. */
WEFT_API int64_t weft_read_full(int fd, void *buffer, size_t size, int64_t timeout_ms);

/* Write some of it: at least a byte, unless size is 0. May park.
 * Returns: bytes taken, or a code. */
WEFT_API int64_t weft_write(int fd, const void *data, size_t size, int64_t timeout_ms);

/* Write all of it. May park.
 * Returns: size, or a code: how much was written is not known then. */
WEFT_API int64_t weft_write_all(int fd, const void *data, size_t size, int64_t timeout_ms);

/* The same for n pieces, in order, as one stream of bytes; n at most 64. May park. */
WEFT_API int64_t weft_write_all_parts(int fd, const struct iovec *parts, size_t n, int64_t timeout_ms);

/* -- owning and closing ---------------------------------------------------------- */

/* Close a descriptor. Who waits for it gets WEFT_ECANCELED; a message that
 * weft_io_notify promised comes, with events 0. Any process may. Never switches
 * (close(2) itself may take a while for plain files on slow disks).
 * Returns: 0, or a code; the descriptor is gone in either case. */
WEFT_API int weft_close(int fd);

/* Make another process the owner: it is closed when that one ends.
 *
 *   fd   the caller's; or one nobody owns (made elsewhere), which only the caller
 *        itself may be given first
 *   to   a pid, also the caller's; or weft_none: nobody owns it any more
 *
 * Where:    in a process. Never switches.
 * Returns:  0; WEFT_ENOPROC: that process has ended, the owner stays;
 *           WEFT_ENOTOWNER: it is not the caller's (the process it was meant for
 *           may have closed it already); WEFT_EBADF. */
WEFT_API int weft_give_fd(int fd, weft_pid to);

/* The owner, or weft_none. From anywhere. Never switches. */
WEFT_API weft_pid weft_fd_owner(int fd);

/* No more will be written: the peer reads the end, and may go on writing.
 * Never switches. 0, or a code. */
WEFT_API int weft_shutdown_write(int fd);

/* -- addresses and names ------------------------------------------------------------ */

/* Where a socket is bound or connected to; copied like any value. */
typedef struct weft_address {
    uint32_t size;       /* bytes of data used; 0: no address */
    uint32_t reserved;
    uint64_t data[16];   /* a struct sockaddr */
} weft_address;

/* Find the addresses of a host.
 *
 *   host     a name, or a numeric address, which needs no look-up
 *   port     is set in each of them
 *   found    room for max addresses; in the order to try them
 *
 * Where:    May park; getaddrinfo runs on a thread of its own, and one that
 *           hangs holds up nobody but itself. In a guest the time-out is not
 *           kept.
 * Returns:  how many (>= 1), or a code: WEFT_EHOST: no such host;
 *           WEFT_ERESOLVE: the name service does not answer; WEFT_ETIMEDOUT. */
WEFT_API int weft_resolve(const char *host, uint16_t port, int64_t timeout_ms, weft_address *found, size_t max);

/* A numeric address ("127.0.0.1", "::1", "fe80::1%eth0"), NULL or "" for any
 * address of this machine. From anywhere. Never switches. 0, or WEFT_EADDR. */
WEFT_API int weft_address_parse(const char *text, uint16_t port, weft_address *address);

/* "127.0.0.1:80", "[::1]:80", "unix:/run/x"; cut so that it fits size bytes with
 * its NUL. From anywhere. Never switches. Returns its length. */
WEFT_API size_t weft_address_text(const weft_address *address, char *text, size_t size);

/* The port, or 0. From anywhere. Never switches. */
WEFT_API uint16_t weft_address_port(const weft_address *address);

/* This end and the other end of a socket. Never switch. 0, or a code. */
WEFT_API int weft_local_address(int fd, weft_address *address);
WEFT_API int weft_peer_address(int fd, weft_address *address);

/* -- stream sockets -------------------------------------------------------------------- */

struct weft_listen_options {
    WEFT_OPTION(size_t, size, sizeof(weft_listen_options));
    WEFT_OPTION(int, backlog, 1024);       /* connections that wait to be accepted */
    WEFT_OPTION(bool, reuse_port, false);  /* several listeners share the port and its load */
    WEFT_OPTION(bool, v6_only, false);     /* "::" takes no IPv4 connections */
};
#define WEFT_LISTEN_DEFAULTS                                              \
    .size = sizeof(struct weft_listen_options), .backlog = 1024,          \
    .reuse_port = false, .v6_only = false

/* A socket that takes TCP connections.
 *
 *   address  numeric; NULL or "": every address of this machine, IPv4 and IPv6
 *   port     0: one that is free (weft_local_address tells which)
 *
 * Where:    Never switches.
 * Returns:  the descriptor, owned by the caller, or a code: WEFT_EADDRINUSE,
 *           WEFT_EACCES, WEFT_EADDR: not a numeric address. */
#define weft_listen(address, port, ...)                                   \
    WEFT_CALL_OPTIONS(weft_listen_opt((address), (port),                  \
        WEFT_OPTIONS(weft_listen_options, WEFT_LISTEN_DEFAULTS, __VA_ARGS__)))
WEFT_API int weft_listen_opt(const char *address, uint16_t port, const struct weft_listen_options *options);

/* The same for a path (at most 107 bytes; one that begins with '@' is an
 * abstract name). A path left over by a program that is gone is replaced. Never
 * switches. */
WEFT_API int weft_listen_unix(const char *path, int backlog);

/* The next connection. Those of weft_listen's sockets have TCP_NODELAY set.
 *
 * Where:    May park. Several processes may not accept from one descriptor at
 *           the same time (WEFT_EBUSY): give each a listener with .reuse_port,
 *           or have one accept for all.
 * Returns:  the descriptor, owned by the caller, or a code. Connections that
 *           broke before they were accepted are passed over. */
WEFT_API int weft_accept(int listener, int64_t timeout_ms);

/* Connect by TCP, with TCP_NODELAY set. All addresses of the host are tried in
 * turn until one answers; none may use up all the time as long as there are
 * others.
 *
 * Where:    May park.
 * Returns:  the descriptor, owned by the caller; or a code: weft_resolve's, or
 *           what the last address said (WEFT_ECONNREFUSED, ...). */
WEFT_API int weft_connect(const char *host, uint16_t port, int64_t timeout_ms);

/* Connect to one address, of any kind. As weft_connect: may park. */
WEFT_API int weft_connect_address(const weft_address *address, int64_t timeout_ms);

/* Connect to a path. As weft_connect: may park. */
WEFT_API int weft_connect_unix(const char *path, int64_t timeout_ms);

/* Small writes wait for company when off. Never switches. 0, or a code. */
WEFT_API int weft_set_no_delay(int fd, bool on);

/* Two ends of a stream, both owned by the caller. Never switch. 0, or a code. */
WEFT_API int weft_socket_pair(int fds[2]);
WEFT_API int weft_pipe(int fds[2]);    /* fds[0] reads, fds[1] writes */

/* -- datagrams --------------------------------------------------------------------------- */

/* A UDP socket bound to a numeric address (NULL or "": any) and port (0: one
 * that is free). Never switches. The descriptor, owned by the caller, or a code. */
WEFT_API int weft_udp_open(const char *address, uint16_t port);

/* One datagram. May park. Returns bytes, or a code; what does not fit in size
 * bytes is WEFT_EMSGSIZE. from may be NULL. */
WEFT_API int64_t weft_send_to(int fd, const void *data, size_t size, const weft_address *to, int64_t timeout_ms);
WEFT_API int64_t weft_receive_from(int fd, void *buffer, size_t size, weft_address *from, int64_t timeout_ms);

/* -- plain files ---------------------------------------------------------------------------
 *
 * A disk may take its time, and nothing tells when it is ready: so these run by
 * weft_blocking, on a kernel thread beside the workers. All of them may park.
 */

/* As open(2), with O_CLOEXEC; mode is for O_CREAT. The descriptor, owned by the
 * caller, or a code. weft_close closes it. */
WEFT_API int weft_file_open(const char *path, int flags, uint32_t mode);

/* At the file's own position. Read: at most size bytes, 0 at the end. Write:
 * all of it. Bytes, or a code. */
WEFT_API int64_t weft_file_read(int fd, void *buffer, size_t size);
WEFT_API int64_t weft_file_write(int fd, const void *data, size_t size);

/* At an offset; the file's own position stays. pread: fewer than size bytes
 * only at the end. */
WEFT_API int64_t weft_file_pread(int fd, void *buffer, size_t size, int64_t offset);
WEFT_API int64_t weft_file_pwrite(int fd, const void *data, size_t size, int64_t offset);

/* Until it is on the disk. 0, or a code. */
WEFT_API int weft_file_sync(int fd);

enum weft_file_kind { WEFT_FILE_PLAIN, WEFT_FILE_DIRECTORY, WEFT_FILE_OTHER };

typedef struct weft_file_info {
    int64_t size;         /* bytes */
    int64_t modified_ns;  /* since 1970 */
    enum weft_file_kind kind;
    uint32_t mode;        /* permissions: the lower 12 bits of st_mode */
} weft_file_info;

/* What a path leads to. 0, or a code: WEFT_ENOENT, ... */
WEFT_API int weft_file_stat(const char *path, weft_file_info *info);

/* The whole file as a binary that lives to the end of the scope. In a process
 * or any thread. 0, or a code; WEFT_ETOOLONG: more than max bytes (0: no bound). */
WEFT_API int weft_file_read_all(const char *path, size_t max, weft_term *content);

/* The whole file replaced: readers see the old content or the new one. mode
 * 0: 0666 less the umask. 0, or a code. */
WEFT_API int weft_file_write_all(const char *path, const void *data, size_t size, uint32_t mode);

WEFT__END_C

#endif

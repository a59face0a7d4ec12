/* net.c - sockets: listen, accept, connect, datagrams. */
#include "services/net.h"

#include "base/clock.h"
#include "services/fd.h"
#include "weft/error.h"
#include "weft/process.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline)) /* errno: see io.c */
#define ADDRESSES_MAX 16
#define CONNECT_SHARE_MS 2000 /* what an address gets at least, if there is as much */

/* -- making --------------------------------------------------------------------------- */

/* A socket that the caller owns, or a code. */
static NOINLINE int open_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return weft__fd_own(fd >= 0 ? fd : -errno);
}

static NOINLINE int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static NOINLINE int bind_to(int fd, const weft_address *address)
{
    return bind(fd, weft__sockaddr(address), address->size) == 0 ? 0 : -errno;
}

static NOINLINE int listen_on(int fd, int backlog)
{
    return listen(fd, backlog) == 0 ? 0 : -errno;
}

/* fd when code is 0; else it is closed, and the code. */
static int checked(int fd, int code)
{
    if (code == 0)
        return fd;
    weft_close(fd);
    return code;
}

int weft_set_no_delay(int fd, bool on)
{
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

static NOINLINE int pair_of(int fds[2], bool is_pipe)
{
    int code = is_pipe ? pipe2(fds, O_NONBLOCK | O_CLOEXEC)
                       : socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

    return code == 0 ? 0 : -errno;
}

static int own_pair(int fds[2], bool is_pipe)
{
    int code = pair_of(fds, is_pipe), both[2] = {fds[0], fds[1]};

    if (code != 0)
        return code;
    fds[0] = weft__fd_own(both[0]);
    fds[1] = weft__fd_own(both[1]);
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    code = fds[0] < 0 ? fds[0] : fds[1];
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            weft_close(fds[i]);
    return code;
}

int weft_socket_pair(int fds[2])
{
    return own_pair(fds, false);
}

int weft_pipe(int fds[2])
{
    return own_pair(fds, true);
}

/* -- this end and the other -------------------------------------------------------------- */

static NOINLINE int name_of(int fd, weft_address *address, bool is_peer)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    int code = is_peer ? getpeername(fd, (struct sockaddr *)&name, &size)
                       : getsockname(fd, (struct sockaddr *)&name, &size);

    if (code != 0)
        return -errno;
    weft__address_set(address, &name, size);
    return 0;
}

int weft_local_address(int fd, weft_address *address)
{
    return name_of(fd, address, false);
}

int weft_peer_address(int fd, weft_address *address)
{
    return name_of(fd, address, true);
}

NOINLINE int weft_shutdown_write(int fd)
{
    return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
}

/* -- listening ------------------------------------------------------------------------------ */

static int listen_at(const weft_address *address, const struct weft_listen_options *options)
{
    int fd = open_socket(weft__address_family(address), SOCK_STREAM), code;

    if (fd < 0)
        return fd;
    code = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (code == 0 && options->reuse_port)
        code = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (code == 0 && weft__address_family(address) == AF_INET6)
        code = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->v6_only);
    if (code == 0)
        code = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted ones have it from here */
    if (code == 0)
        code = bind_to(fd, address);
    if (code == 0)
        code = listen_on(fd, options->backlog);
    return checked(fd, code);
}

int weft_listen_opt(const char *text, uint16_t port, const struct weft_listen_options *options)
{
    bool is_any = text == NULL || text[0] == 0;
    weft_address address;
    int fd;

    if (options->backlog < 1)
        return WEFT_EINVAL;
    if (weft_address_parse(text, port, &address) != 0)
        return WEFT_EADDR;
    fd = listen_at(&address, options);
    /* A kernel without IPv6 has "any" for IPv4 alone. */
    if (is_any && (fd == WEFT_EAFNOSUPPORT || fd == WEFT_EADDRNOTAVAIL) &&
        weft_address_parse("0.0.0.0", port, &address) == 0)
        fd = listen_at(&address, options);
    return fd;
}

static NOINLINE int connect_now(int fd, const weft_address *address)
{
    return connect(fd, weft__sockaddr(address), address->size) == 0 ? 0 : -errno;
}

/* A socket in the file system that nobody listens to. */
static NOINLINE bool is_left_over(const char *path, const weft_address *address)
{
    struct stat about;
    bool is_alone;
    int fd;

    if (path[0] == '@' || lstat(path, &about) != 0 || !S_ISSOCK(about.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    is_alone = connect_now(fd, address) == WEFT_ECONNREFUSED;
    close(fd);
    return is_alone;
}

int weft_listen_unix(const char *path, int backlog)
{
    weft_address address;
    int code = weft__address_unix(path, &address), fd;

    if (code != 0 || backlog < 1)
        return code != 0 ? code : WEFT_EINVAL;
    fd = open_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return fd;
    code = bind_to(fd, &address);
    if (code == WEFT_EADDRINUSE && is_left_over(path, &address)) {
        unlink(path);
        code = bind_to(fd, &address);
    }
    if (code == 0)
        code = listen_on(fd, backlog);
    return checked(fd, code);
}

/* -- accepting -------------------------------------------------------------------------------- */

static NOINLINE int accept_now(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    return weft__fd_own(fd >= 0 ? fd : -errno);
}

/* The connection is at fault, not the listener: accept(2) lists them. */
static bool is_passed_over(int code)
{
    switch (-code) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM: /* a firewall */
        return true;
    default:
        return false;
    }
}

int weft_accept(int listener, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};
    int code;

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    code = weft__io_unblock(listener);
    if (code != 0)
        return code;
    for (;;) {
        int fd = accept_now(listener);

        if (fd >= 0) {
            weft__io_give_way();
            return fd;
        }
        if (is_passed_over(fd))
            continue;
        if (fd != WEFT_EAGAIN)
            return fd;
        if (timeout_ms == 0)
            return WEFT_ETIMEDOUT;
        code = weft__io_wait(listener, WEFT_READ, &time);
        if (code < 0)
            return code;
    }
}

/* -- connecting --------------------------------------------------------------------------------- */

static NOINLINE int connect_outcome(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return -errno;
    return -error;
}

/* 0 when it is connected. */
static int connect_within(int fd, const weft_address *address, struct weft__io_time *time)
{
    int64_t pause_ms = 1;
    int code;

    for (;;) {
        code = connect_now(fd, address);
        /* A unix listener's queue is full, and nothing tells when it is not. */
        if (code != WEFT_EAGAIN || weft__address_family(address) != AF_UNIX)
            break;
        code = weft__io_pause(pause_ms, time);
        if (code != 0)
            return code;
        pause_ms = pause_ms < 64 ? 2 * pause_ms : 64;
    }
    /* Interrupted, it goes on by itself. */
    if (code != WEFT_EINPROGRESS && code != WEFT_EINTR)
        return code;
    code = weft__io_wait(fd, WEFT_WRITE, time);
    return code < 0 ? code : connect_outcome(fd);
}

static int connect_to(const weft_address *address, struct weft__io_time *time)
{
    int family = weft__address_family(address), fd = open_socket(family, SOCK_STREAM), code;

    if (fd < 0)
        return fd;
    code = connect_within(fd, address, time);
    if (code == 0 && family != AF_UNIX)
        code = weft_set_no_delay(fd, true);
    if (code == WEFT_ECANCELED)
        return code; /* closed by another process */
    return checked(fd, code);
}

/* The time of one attempt when n addresses are left: an equal part of what is
 * left, but not a ridiculous one. */
static struct weft__io_time share_of(struct weft__io_time *time, int n)
{
    int64_t left_ms = weft__io_left_ms(time), share_ms = left_ms;

    if (n > 1 && left_ms != WEFT_INFINITY) {
        share_ms = left_ms / n;
        if (share_ms < CONNECT_SHARE_MS)
            share_ms = CONNECT_SHARE_MS < left_ms ? CONNECT_SHARE_MS : left_ms;
    }
    return (struct weft__io_time){.timeout_ms = share_ms};
}

int weft_connect(const char *host, uint16_t port, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};
    weft_address found[ADDRESSES_MAX];
    int n, fd = WEFT_EHOST;

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    n = weft__resolve(host, port, &time, found, ADDRESSES_MAX);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        struct weft__io_time share = share_of(&time, n - i);

        fd = connect_to(&found[i], &share);
        if (fd >= 0 || fd == WEFT_EMFILE || fd == WEFT_ENFILE || fd == WEFT_ENOMEM || fd == WEFT_ECANCELED)
            break;
        if (i + 1 < n && weft__io_left_ms(&time) == 0)
            return WEFT_ETIMEDOUT;
    }
    return fd;
}

int weft_connect_address(const weft_address *address, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};

    if (timeout_ms < 0 || address->size == 0)
        return WEFT_EINVAL;
    weft__io_enter();
    return connect_to(address, &time);
}

int weft_connect_unix(const char *path, int64_t timeout_ms)
{
    weft_address address;
    int code = weft__address_unix(path, &address);

    return code == 0 ? weft_connect_address(&address, timeout_ms) : code;
}

/* -- datagrams --------------------------------------------------------------------------------- */

int weft_udp_open(const char *text, uint16_t port)
{
    weft_address address;
    int fd;

    if (weft_address_parse(text, port, &address) != 0)
        return WEFT_EADDR;
    fd = open_socket(weft__address_family(&address), SOCK_DGRAM);
    if (fd == WEFT_EAFNOSUPPORT && (text == NULL || text[0] == 0) &&
        weft_address_parse("0.0.0.0", port, &address) == 0)
        fd = open_socket(AF_INET, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    if (weft__address_family(&address) == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return checked(fd, bind_to(fd, &address));
}

static NOINLINE int64_t send_now(int fd, const void *data, size_t size, const weft_address *to)
{
    ssize_t n = sendto(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, weft__sockaddr(to), to->size);

    return n >= 0 ? n : -errno;
}

int64_t weft_send_to(int fd, const void *data, size_t size, const weft_address *to, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};

    if (timeout_ms < 0 || to->size == 0)
        return WEFT_EINVAL;
    weft__io_enter();
    for (;;) {
        int64_t n = send_now(fd, data, size, to);
        int code;

        if (n == WEFT_EINTR)
            continue;
        if (n != WEFT_EAGAIN) {
            weft__io_give_way();
            return n;
        }
        if (timeout_ms == 0)
            return WEFT_ETIMEDOUT;
        code = weft__io_wait(fd, WEFT_WRITE, &time);
        if (code < 0)
            return code;
    }
}

static NOINLINE int64_t receive_now(int fd, void *buffer, size_t size, weft_address *from)
{
    struct sockaddr_storage name;
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);

    if (n < 0)
        return -errno;
    if (from != NULL)
        weft__address_set(from, &name, message.msg_namelen);
    return message.msg_flags & MSG_TRUNC ? WEFT_EMSGSIZE : n;
}

int64_t weft_receive_from(int fd, void *buffer, size_t size, weft_address *from, int64_t timeout_ms)
{
    struct weft__io_time time = {.timeout_ms = timeout_ms};

    if (timeout_ms < 0)
        return WEFT_EINVAL;
    weft__io_enter();
    for (;;) {
        int64_t n = receive_now(fd, buffer, size, from);
        int code;

        if (n == WEFT_EINTR)
            continue;
        if (n != WEFT_EAGAIN) {
            weft__io_give_way();
            return n;
        }
        if (timeout_ms == 0)
            return WEFT_ETIMEDOUT;
        code = weft__io_wait(fd, WEFT_READ, &time);
        if (code < 0)
            return code;
    }
}

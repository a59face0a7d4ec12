/* The lazily kept set of descriptors. */
#include "http/sockets.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"

/* A pair of connected sockets and a set. */
struct fixture {
    struct weft__http_sockets sockets;
    struct epoll_event events[4];
    int fds[2], n_seen;
};

static void set_up(struct fixture *f)
{
    check_int(weft__http_sockets_init(&f->sockets), 0);
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fds), 0);
}

static int ready(struct fixture *f)
{
    return weft__http_sockets_ready(&f->sockets, f->events, 4, &f->n_seen);
}

TEST(a_connection_that_goes_idle_and_is_wanted_again_costs_no_system_call)
{
    struct fixture f;

    set_up(&f);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ);
    check_uint(f.sockets.n_calls, 1);
    for (int i = 0; i < 100; i++) {
        weft__http_sockets_want(&f.sockets, f.fds[0], 0);
        weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ);
    }
    check_uint(f.sockets.n_calls, 1);
    check_int(write(f.fds[1], "x", 1), 1);
    check_int(ready(&f), 1);
    check_int(f.events[0].data.fd, f.fds[0]);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(an_event_that_nobody_wants_drops_the_descriptor)
{
    struct fixture f;

    set_up(&f);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ);
    weft__http_sockets_want(&f.sockets, f.fds[0], 0);
    close(f.fds[1]);
    check_int(ready(&f), 0);
    check_int(f.n_seen, 1);
    check_int(ready(&f), 0);
    check_int(f.n_seen, 0);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ);
    check_int(ready(&f), 1);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(an_idle_connection_is_not_waited_for_to_be_writable)
{
    struct fixture f;

    set_up(&f);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_WRITE);
    check_int(ready(&f), 1);
    weft__http_sockets_want(&f.sockets, f.fds[0], 0);
    check_int(ready(&f), 0); /* once it comes, and is dropped */
    check_int(ready(&f), 0);
    check_int(f.n_seen, 0);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ | WEFT__HTTP_WRITE);
    check_int(ready(&f), 1);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(a_number_that_is_used_again_is_another_socket)
{
    struct fixture f;
    int again[2];

    set_up(&f);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ);
    weft__http_sockets_forget(&f.sockets, f.fds[0]);
    close(f.fds[0]);
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, again), 0);
    check_int(again[0], f.fds[0]);
    check_int(weft__http_sockets_want(&f.sockets, again[0], WEFT__HTTP_READ), 0);
    check_int(write(again[1], "x", 1), 1);
    check_int(ready(&f), 1);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(a_socket_that_was_closed_unseen_does_not_speak_for_the_next)
{
    struct fixture f;
    int again[2];

    set_up(&f);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_WRITE);
    close(f.fds[0]);
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, again), 0);
    check_int(again[0], f.fds[0]);
    weft__http_sockets_opened(&f.sockets, again[0]);
    check_int(weft__http_sockets_want(&f.sockets, again[0], WEFT__HTTP_WRITE), 0);
    check_int(ready(&f), 1);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(a_socket_that_is_let_go_may_be_closed_and_the_kernel_is_not_asked)
{
    struct fixture f;
    uint64_t n_calls;

    set_up(&f);
    weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_WRITE);
    n_calls = f.sockets.n_calls;
    close(f.fds[0]);
    check_int(weft__http_sockets_want(&f.sockets, f.fds[0], 0), 0);
    check_int(f.sockets.n_calls, n_calls);
    check_int(ready(&f), 0);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(a_descriptor_that_is_closed_already_is_refused)
{
    struct fixture f;

    set_up(&f);
    close(f.fds[0]);
    check_lt(weft__http_sockets_want(&f.sockets, f.fds[0], WEFT__HTTP_READ), 0);
    check_lt(weft__http_sockets_want(&f.sockets, -1, WEFT__HTTP_READ), 0);
    weft__http_sockets_forget(&f.sockets, 100000);
    weft__http_sockets_destroy(&f.sockets);
}

TEST(a_large_number_makes_room_for_itself)
{
    struct fixture f;
    int high;

    set_up(&f);
    high = dup2(f.fds[0], 900);
    check_int(weft__http_sockets_want(&f.sockets, high, WEFT__HTTP_READ), 0);
    check_int(write(f.fds[1], "x", 1), 1);
    check_int(ready(&f), 1);
    check_int(f.events[0].data.fd, 900);
    weft__http_sockets_destroy(&f.sockets);
}

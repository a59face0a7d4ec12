/* net_test.c - sockets, addresses, names: weft/io.h. */
#include "proc/process_test.h"
#include "weft/io.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static uint16_t port_of(int fd)
{
    weft_address address;

    check_int(weft_local_address(fd, &address), 0);
    return weft_address_port(&address);
}

static int listen_somewhere(void)
{
    int fd = weft_listen("127.0.0.1", 0);

    check_ge(fd, 0);
    return fd;
}

/* A port of this machine at which nobody listens. */
static uint16_t closed_port(void)
{
    int fd = listen_somewhere();
    uint16_t port = port_of(fd);

    check_int(weft_close(fd), 0);
    return port;
}

/* -- addresses ------------------------------------------------------------------- */

static void check_text(const char *given, uint16_t port, const char *want)
{
    weft_address address;
    char text[128];

    check_int(weft_address_parse(given, port, &address), 0);
    weft_address_text(&address, text, sizeof text);
    check_str(text, want);
    check_int(weft_address_port(&address), port);
}

TEST(numeric_addresses_are_read_and_written)
{
    weft_address address;
    char text[8];

    check_text("127.0.0.1", 80, "127.0.0.1:80");
    check_text("::1", 443, "[::1]:443");
    check_text("2001:db8::7", 1, "[2001:db8::7]:1");
    check_text("fe80::1%lo", 9, "[fe80::1%lo]:9");
    check_text("::ffff:10.0.0.1", 7, "10.0.0.1:7");
    check_text(NULL, 5, "[::]:5");
    check_text("", 5, "[::]:5");
    check_int(weft_address_parse("example.org", 1, &address), WEFT_EADDR);
    check_int(weft_address_parse("1.2.3", 1, &address), WEFT_EADDR);
    check_int(weft_address_parse("1.2.3.4.5", 1, &address), WEFT_EADDR);
    check_int(weft_address_parse("fe80::1%nowhere", 1, &address), WEFT_EADDR);
    check_int(weft_address_parse("127.0.0.1", 12345, &address), 0);
    check_uint(weft_address_text(&address, text, sizeof text), 7);
    check_str(text, "127.0.0");
    check_uint(weft_address_text(&address, NULL, 0), 0);
}

PROCESS_TEST(a_numeric_host_needs_no_look_up)
{
    weft_address found[2];

    check_int(weft_resolve("127.0.0.1", 80, 0, found, 2), 1);
    check_int(weft_address_port(&found[0]), 80);
    check_int(weft_resolve("::1", 80, 0, found, 1), 1);
}

PROCESS_TEST(names_are_resolved_beside_the_workers)
{
    weft_address found[8];
    char text[128];
    int n = weft_resolve("localhost", 8080, WEFT_INFINITY, found, 8);

    if (!check_ge(n, 1))
        return;
    weft_address_text(&found[0], text, sizeof text);
    check_has(text, ":8080");
    check(strstr(text, "127.0.0.1") != NULL || strstr(text, "::1") != NULL);
    check_int(weft_resolve("localhost", 1, WEFT_INFINITY, found, 1), 1);
    check_uint(weft_message_queue_len(), 0);
}

PROCESS_TEST(a_look_up_that_gets_no_time_or_no_name_is_a_code)
{
    weft_address found[2];
    char long_name[2000];

    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    check_int(weft_resolve("localhost", 1, 0, found, 2), WEFT_ETIMEDOUT);
    check_int(weft_resolve("localhost", 1, -1, found, 2), WEFT_EINVAL);
    check_int(weft_resolve("", 1, 5, found, 2), WEFT_EINVAL);
    check_int(weft_resolve(NULL, 1, 5, found, 2), WEFT_EINVAL);
    check_int(weft_resolve("localhost", 1, 5, found, 0), WEFT_EINVAL);
    check_int(weft_resolve(long_name, 1, 5, found, 2), WEFT_ENAMETOOLONG);
    check_lt(weft_resolve("no such host.invalid", 1, 10000, found, 2), 0);
}

static weft_term resolves(weft_term arg)
{
    weft_address found[2];

    (void)arg;
    weft_resolve("localhost", 1, WEFT_INFINITY, found, 2);
    return A(ok);
}

PROCESS_TEST(a_process_may_be_killed_while_it_waits_for_a_name)
{
    for (int i = 0; i < 20; i++) {
        WEFT_SCOPE;
        weft_ref down;
        weft_pid pid = weft_spawn(resolves, A(x), .monitor = &down);

        for (int k = 0; k < i; k++)
            weft_yield();
        weft_kill(pid);
        await_down(down);
    }
}

/* -- TCP ------------------------------------------------------------------------------- */

static weft_term echoes_one_connection(weft_term listener)
{
    int fd = weft_accept((int)weft_to_int(listener), WEFT_INFINITY);
    char buffer[256];
    int64_t n;

    while ((n = weft_read(fd, buffer, sizeof buffer, WEFT_INFINITY)) > 0)
        weft_write_all(fd, buffer, (size_t)n, WEFT_INFINITY);
    return weft_int(n);
}

static bool has_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof value;

    return getsockopt(fd, level, name, &value, &size) == 0 && value != 0;
}

PROCESS_TEST(a_conversation_over_tcp_with_a_half_close)
{
    int listener = listen_somewhere(), fd;
    char buffer[16] = "";
    weft_address ours, theirs;
    weft_ref down;

    weft_spawn(echoes_one_connection, weft_int(listener), .monitor = &down);
    fd = weft_connect("127.0.0.1", port_of(listener), WEFT_INFINITY);
    check_ge(fd, 0);
    check_term(weft_fd_owner(fd), weft_self());
    check(has_option(fd, IPPROTO_TCP, TCP_NODELAY));
    check(fcntl(fd, F_GETFL) & O_NONBLOCK);
    check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    check_int(weft_peer_address(fd, &theirs), 0);
    check_int(weft_address_port(&theirs), port_of(listener));
    check_int(weft_local_address(fd, &ours), 0);
    check_int(weft_write_all(fd, "hello", 5, WEFT_INFINITY), 5);
    check_int(weft_shutdown_write(fd), 0);
    check_int(weft_read_full(fd, buffer, sizeof buffer, WEFT_INFINITY), 5);
    check_str(buffer, "hello");
    check_term(await_down(down), A(normal));
}

PROCESS_TEST(an_accepted_connection_is_the_callers)
{
    int listener = listen_somewhere();
    int fd = weft_connect("127.0.0.1", port_of(listener), WEFT_INFINITY);
    int accepted = weft_accept(listener, WEFT_INFINITY);

    check_ge(accepted, 0);
    check_term(weft_fd_owner(accepted), weft_self());
    check(has_option(accepted, IPPROTO_TCP, TCP_NODELAY));
    check(fcntl(accepted, F_GETFL) & O_NONBLOCK);
    check(fcntl(accepted, F_GETFD) & FD_CLOEXEC);
    check_int(weft_set_no_delay(accepted, false), 0);
    check(!has_option(accepted, IPPROTO_TCP, TCP_NODELAY));
    check_int(weft_close(fd), 0);
}

PROCESS_TEST(accept_keeps_to_its_time)
{
    int listener = listen_somewhere();
    int64_t begun = now_ns();

    check_int(weft_accept(listener, 0), WEFT_ETIMEDOUT);
    check_int(weft_accept(listener, 5), WEFT_ETIMEDOUT);
    check_ge(now_ns() - begun, 5 * 1000000);
    check_int(weft_accept(listener, -1), WEFT_EINVAL);
    check_int(weft_close(listener), 0);
    check_int(weft_accept(listener, 5), WEFT_EBADF);
}

static weft_term accepts(weft_term listener)
{
    return weft_int(weft_accept((int)weft_to_int(listener), WEFT_INFINITY));
}

PROCESS_TEST(closing_a_listener_wakes_who_accepts)
{
    weft_pid puppet = puppet_start();
    weft_ref ref = weft_make_ref();
    int listener = listen_somewhere();

    weft_send(puppet, weft_tuple(A(puppet), weft_self(), ref, weft_pointer((const void *)accepts), weft_int(listener)));
    await_waiting(puppet);
    check_int(weft_close(listener), 0);
    expect_message(weft_tuple(A(done), ref, A(process), puppet, weft_int(WEFT_ECANCELED)));
}

PROCESS_TEST(nobody_listens_is_a_code)
{
    check_int(weft_connect("127.0.0.1", closed_port(), WEFT_INFINITY), WEFT_ECONNREFUSED);
    check_int(weft_connect("127.0.0.1", 1, -1), WEFT_EINVAL);
    check_int(weft_connect("", 1, 5), WEFT_EINVAL);
}

PROCESS_TEST(a_connect_that_nobody_answers_is_over_in_time)
{
    /* A queue that is full drops what comes: nobody answers. */
    int listener = weft_listen("127.0.0.1", 0, .backlog = 1), fd = 0, n = 0;
    int64_t begun;

    while (n < 64 && (fd = weft_connect("127.0.0.1", port_of(listener), 50)) >= 0)
        n++;
    if (fd >= 0) {
        tap_skip("the queue of a listener does not fill up here");
        return;
    }
    check_int(fd, WEFT_ETIMEDOUT);
    begun = now_ns();
    check_int(weft_connect("127.0.0.1", port_of(listener), 20), WEFT_ETIMEDOUT);
    check_ge(now_ns() - begun, 20 * 1000000);
}

PROCESS_TEST(all_addresses_of_a_host_are_tried)
{
    int listener = listen_somewhere(); /* IPv4 alone; the name may have ::1 first */
    int fd = weft_connect("localhost", port_of(listener), WEFT_INFINITY);

    check_ge(fd, 0);
    check_int(weft_close(fd), 0);
}

PROCESS_TEST(any_address_takes_both_families)
{
    int listener = weft_listen(NULL, 0), fd;

    check_ge(listener, 0);
    fd = weft_connect("127.0.0.1", port_of(listener), WEFT_INFINITY);
    check_ge(fd, 0);
    check_ge(weft_accept(listener, WEFT_INFINITY), 0);
    fd = weft_connect("::1", port_of(listener), WEFT_INFINITY);
    if (fd == WEFT_EADDRNOTAVAIL || fd == WEFT_EAFNOSUPPORT || fd == WEFT_ENETUNREACH)
        diag("no IPv6 here");
    else
        check_ge(fd, 0);
}

PROCESS_TEST(a_taken_port_is_a_code_and_sharing_is_asked_for)
{
    int first = weft_listen("127.0.0.1", 0, .reuse_port = true);
    int second = weft_listen("127.0.0.1", port_of(first), .reuse_port = true);

    check_ge(second, 0);
    check_int(weft_listen("127.0.0.1", port_of(first)), WEFT_EADDRINUSE);
    check_int(weft_listen("localhost", 0), WEFT_EADDR);
    check_int(weft_listen("127.0.0.1", 0, .backlog = 0), WEFT_EINVAL);
    check_int(weft_listen("192.0.2.1", 0), WEFT_EADDRNOTAVAIL);
}

PROCESS_TEST(no_descriptor_left_is_a_code_and_the_listener_lives_on)
{
    struct rlimit before, now;
    int listener = listen_somewhere(), fd, last;

    fd = weft_connect("127.0.0.1", port_of(listener), WEFT_INFINITY);
    check_ge(fd, 0);
    check_int(weft_io_wait(listener, WEFT_READ, WEFT_INFINITY), WEFT_READ);
    last = dup(fd);
    close(last);
    getrlimit(RLIMIT_NOFILE, &before);
    now = before;
    now.rlim_cur = (rlim_t)last;
    check_int(setrlimit(RLIMIT_NOFILE, &now), 0);
    check_int(weft_accept(listener, WEFT_INFINITY), WEFT_EMFILE);
    check_int(weft_connect("127.0.0.1", port_of(listener), WEFT_INFINITY), WEFT_EMFILE);
    check_int(setrlimit(RLIMIT_NOFILE, &before), 0);
    check_ge(weft_accept(listener, WEFT_INFINITY), 0);
}

/* -- a server as one is written --------------------------------------------------------------- */

static weft_term serves_one(weft_term fd_term)
{
    int fd = (int)weft_to_int(fd_term);
    char buffer[64];
    int64_t n;

    while ((n = weft_read(fd, buffer, sizeof buffer, WEFT_INFINITY)) > 0)
        if (weft_write_all(fd, buffer, (size_t)n, WEFT_INFINITY) != n)
            break;
    weft_close(fd);
    return A(ok);
}

static weft_term serves(weft_term listener)
{
    for (;;) {
        int fd = weft_accept((int)weft_to_int(listener), WEFT_INFINITY);

        if (fd < 0)
            return weft_int(fd);
        weft_give_fd(fd, weft_spawn(serves_one, weft_int(fd)));
    }
}

static weft_term asks(weft_term arg)
{
    uint16_t port = (uint16_t)weft_to_int(weft_tuple_at(arg, 0));
    int rounds = (int)weft_to_int(weft_tuple_at(arg, 1));

    for (int i = 0; i < rounds; i++) {
        int fd = weft_connect("127.0.0.1", port, WEFT_INFINITY);
        char buffer[8];

        if (fd < 0 || weft_write_all(fd, "question", 8, WEFT_INFINITY) != 8 ||
            weft_read_full(fd, buffer, 8, WEFT_INFINITY) != 8 || memcmp(buffer, "question", 8) != 0)
            return weft_int(fd);
        weft_close(fd);
    }
    return A(ok);
}

PROCESS_TEST_WITH(a_server_with_a_process_for_each_connection, .deadline_s = 120)
{
    enum { N = 20 };
    int listener = listen_somewhere();
    weft_ref refs[N], down;
    weft_pid server = weft_spawn(serves, weft_int(listener), .monitor = &down);

    for (int i = 0; i < N; i++) {
        refs[i] = weft_make_ref();
        weft_send(puppet_start(), weft_tuple(A(puppet), weft_self(), refs[i], weft_pointer((const void *)asks),
                                             weft_tuple(weft_int(port_of(listener)), weft_int(scaled(100)))));
    }
    for (int i = 0; i < N; i++)
        expect_message(weft_tuple(A(done), refs[i], A(process), weft_any, A(ok)));
    weft_kill(server);
    await_down(down);
    check_int(weft_close(listener), 0);
}

/* -- unix -------------------------------------------------------------------------------------- */

PROCESS_TEST(unix_sockets_by_path_and_by_abstract_name)
{
    char directory[] = "/tmp/weft-net-XXXXXX", path[64], abstract[64], text[128], long_path[200];
    struct stat about;
    weft_address address;
    int listener, fd;

    check(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(abstract, sizeof abstract, "@weft-net-test-%d", (int)getpid());
    memset(long_path, 'p', sizeof long_path);
    long_path[sizeof long_path - 1] = 0;
    for (int i = 0; i < 2; i++) { /* the second one finds what the first left */
        listener = weft_listen_unix(path, 4);
        check_ge(listener, 0);
        check_int(weft_listen_unix(path, 4), WEFT_EADDRINUSE);
        fd = weft_connect_unix(path, WEFT_INFINITY);
        check_ge(fd, 0);
        check_ge(weft_accept(listener, WEFT_INFINITY), 0);
        check_int(weft_peer_address(fd, &address), 0);
        weft_address_text(&address, text, sizeof text);
        check_has(text, path);
        check_int(weft_close(listener), 0);
        check_int(stat(path, &about), 0);
        check_int(weft_connect_unix(path, WEFT_INFINITY), WEFT_ECONNREFUSED);
    }
    unlink(path);
    rmdir(directory);
    check_int(weft_connect_unix(path, WEFT_INFINITY), WEFT_ENOENT);
    check_int(weft_connect_unix(long_path, WEFT_INFINITY), WEFT_ENAMETOOLONG);
    check_int(weft_connect_unix("", WEFT_INFINITY), WEFT_EADDR);
    listener = weft_listen_unix(abstract, 4);
    check_ge(listener, 0);
    check_ge(weft_connect_unix(abstract, WEFT_INFINITY), 0);
    check_ge(weft_accept(listener, WEFT_INFINITY), 0);
}

static weft_term accepts_later(weft_term listener)
{
    weft_sleep(10);
    for (int i = 0; i < 4; i++)
        weft_accept((int)weft_to_int(listener), WEFT_INFINITY);
    return A(ok);
}

PROCESS_TEST(a_full_unix_listener_is_waited_for)
{
    char name[64];
    int listener, n = 0;

    snprintf(name, sizeof name, "@weft-full-%d", (int)getpid());
    listener = weft_listen_unix(name, 1);
    while (n < 50 && weft_connect_unix(name, 0) >= 0)
        n++;
    check_int(weft_connect_unix(name, 3), WEFT_ETIMEDOUT);
    weft_spawn(accepts_later, weft_int(listener));
    check_ge(weft_connect_unix(name, WEFT_INFINITY), 0);
}

/* -- datagrams ----------------------------------------------------------------------------------- */

PROCESS_TEST(datagrams_come_with_their_sender)
{
    int a = weft_udp_open("127.0.0.1", 0), b = weft_udp_open("127.0.0.1", 0);
    weft_address to_b, from;
    char buffer[8];

    check_ge(a, 0);
    check_ge(b, 0);
    check_int(weft_local_address(b, &to_b), 0);
    check_int(weft_receive_from(b, buffer, sizeof buffer, &from, 5), WEFT_ETIMEDOUT);
    check_int(weft_send_to(a, "hi", 2, &to_b, WEFT_INFINITY), 2);
    check_int(weft_receive_from(b, buffer, sizeof buffer, &from, WEFT_INFINITY), 2);
    check_int(weft_address_port(&from), port_of(a));
    check_int(weft_send_to(a, "too much for it", 15, &to_b, WEFT_INFINITY), 15);
    check_int(weft_receive_from(b, buffer, sizeof buffer, NULL, WEFT_INFINITY), WEFT_EMSGSIZE);
    check_int(weft_send_to(a, "", 0, &to_b, WEFT_INFINITY), 0);
    check_int(weft_receive_from(b, buffer, sizeof buffer, &from, WEFT_INFINITY), 0);
    check_int(weft_udp_open("127.0.0.1", port_of(a)), WEFT_EADDRINUSE);
    check_int(weft_udp_open("nowhere", 0), WEFT_EADDR);
}

PROCESS_TEST(a_datagram_socket_for_any_address_speaks_both_families)
{
    int any = weft_udp_open(NULL, 0), four = weft_udp_open("127.0.0.1", 0);
    weft_address to, from;
    char buffer[8], text[64];

    check_ge(any, 0);
    check_int(weft_address_parse("127.0.0.1", port_of(any), &to), 0);
    check_int(weft_send_to(four, "x", 1, &to, WEFT_INFINITY), 1);
    check_int(weft_receive_from(any, buffer, sizeof buffer, &from, WEFT_INFINITY), 1);
    weft_address_text(&from, text, sizeof text);
    check_has(text, "127.0.0.1:");
    check_int(weft_send_to(any, "y", 1, &from, WEFT_INFINITY), 1);
    check_int(weft_receive_from(four, buffer, sizeof buffer, NULL, WEFT_INFINITY), 1);
}

/* -- outside --------------------------------------------------------------------------------------- */

TEST(sockets_work_without_a_runtime)
{
    int listener = weft_listen("127.0.0.1", 0), fd, accepted;
    weft_address found[4];
    char byte;

    check_ge(listener, 0);
    fd = weft_connect("localhost", port_of(listener), 5000);
    check_ge(fd, 0);
    accepted = weft_accept(listener, 5000);
    check_ge(accepted, 0);
    check_int(weft_accept(listener, 5), WEFT_ETIMEDOUT);
    check_int(weft_close(fd), 0);
    check_int(weft_read(accepted, &byte, 1, 5000), 0);
    check_ge(weft_resolve("localhost", 1, 5000, found, 4), 1);
    check_int(weft_close(accepted), 0);
    check_int(weft_close(listener), 0);
}

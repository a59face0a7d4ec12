/* io_test.c - readiness, reading and writing, owners: weft/io.h. */
#include "counts.h"
#include "proc/process_test.h"
#include "weft/io.h"
#include "weft/timer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static void make_pair(int fds[2])
{
    check_int(weft_socket_pair(fds), 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* -- waiting --------------------------------------------------------------------- */

static weft_term waits_to_read(weft_term fd)
{
    return weft_int(weft_io_wait((int)weft_to_int(fd), WEFT_READ, WEFT_INFINITY));
}

static weft_term reads_a_line(weft_term fd)
{
    char buffer[100];
    int64_t n = weft_read((int)weft_to_int(fd), buffer, sizeof buffer, WEFT_INFINITY);

    return n >= 0 ? weft_bin(buffer, (size_t)n) : weft_int(n);
}

/* Have a puppet do something, without waiting for its end. */
static weft_ref begin(weft_pid puppet, weft_fn *fn, weft_term arg)
{
    weft_ref ref = weft_make_ref();

    weft_send(puppet, weft_tuple(A(puppet), weft_self(), ref, weft_pointer((const void *)fn), arg));
    return ref;
}

static weft_term end(weft_ref ref)
{
    weft_term result = weft_none;

    expect_message(weft_tuple(A(done), ref, A(process), weft_any, weft_bind(&result)));
    return result;
}

/* Until a process is parked. */
PROCESS_TEST(a_reader_parks_until_data_comes)
{
    weft_pid puppet = puppet_start();
    int fds[2];
    weft_ref ref;

    make_pair(fds);
    ref = begin(puppet, reads_a_line, weft_int(fds[0]));
    weft_sleep(2);
    check_int(weft_write(fds[1], "hello", 5, 0), 5);
    check_term(end(ref), weft_str("hello"));
}

PROCESS_TEST(readiness_says_which_event)
{
    int fds[2];

    make_pair(fds);
    check_int(weft_io_wait(fds[0], WEFT_WRITE, WEFT_INFINITY), WEFT_WRITE);
    check_int(weft_io_wait(fds[0], WEFT_READ | WEFT_WRITE, 1000), WEFT_WRITE);
    check_int(weft_io_wait(fds[0], WEFT_READ, 0), WEFT_ETIMEDOUT);
    check_int(weft_write(fds[1], "x", 1, 0), 1);
    check_int(weft_io_wait(fds[0], WEFT_READ, 0), WEFT_READ);
    check_int(weft_io_wait(fds[0], WEFT_READ, WEFT_INFINITY), WEFT_READ);
    check_int(weft_io_wait(fds[0], WEFT_READ | WEFT_WRITE, WEFT_INFINITY), WEFT_READ | WEFT_WRITE);
}

PROCESS_TEST(mistakes_in_arguments_are_codes)
{
    char byte;
    int fds[2], closed;

    make_pair(fds);
    closed = fds[1];
    check_int(weft_io_wait(fds[0], 0, 5), WEFT_EINVAL);
    check_int(weft_io_wait(fds[0], 4, 5), WEFT_EINVAL);
    check_int(weft_io_wait(fds[0], WEFT_READ, -1), WEFT_EINVAL);
    check_int(weft_read(fds[0], &byte, 1, -5), WEFT_EINVAL);
    check_int(weft_write(fds[0], &byte, 1, -5), WEFT_EINVAL);
    check_int(weft_close(closed), 0);
    check_int(weft_close(closed), WEFT_EBADF);
    check_int(weft_close(-1), WEFT_EBADF);
    check_int(weft_io_wait(closed, WEFT_READ, 5), WEFT_EBADF);
    check_int(weft_io_wait(closed, WEFT_READ, 0), WEFT_EBADF);
    check_int(weft_io_wait(-1, WEFT_READ, 5), WEFT_EBADF);
    check_int(weft_read(closed, &byte, 1, 5), WEFT_EBADF);
    check_int(weft_write(closed, &byte, 1, 5), WEFT_EBADF);
}

PROCESS_TEST(time_outs_are_never_early_and_bound_the_whole_call)
{
    int fds[2];
    char buffer[10];
    int64_t begun;

    make_pair(fds);
    for (int ms = 1; ms <= 8; ms *= 2) {
        begun = now_ns();
        check_int(weft_io_wait(fds[0], WEFT_READ, ms), WEFT_ETIMEDOUT);
        check_ge(now_ns() - begun, (int64_t)ms * 1000000);
    }
    check_int(weft_read(fds[0], buffer, 1, 0), WEFT_ETIMEDOUT);
    begun = now_ns();
    check_int(weft_write(fds[1], "abc", 3, 0), 3);
    check_int(weft_read_full(fds[0], buffer, 10, 20), WEFT_ETIMEDOUT);
    check_ge(now_ns() - begun, 20 * 1000000);
}

/* Writes a byte every few milliseconds, for longer than the reader will wait. */
static weft_term drips(weft_term fd)
{
    for (int i = 0; i < 20; i++) {
        if (weft_write((int)weft_to_int(fd), "x", 1, 0) != 1)
            break;
        weft_sleep(5);
    }
    return A(ok);
}

PROCESS_TEST(data_that_drips_in_does_not_put_the_deadline_off)
{
    int fds[2];
    char buffer[100];
    int64_t begun = now_ms();
    weft_ref dripping;

    make_pair(fds);
    dripping = begin(puppet_start(), drips, weft_int(fds[1]));
    check_int(weft_read_full(fds[0], buffer, sizeof buffer, 30), WEFT_ETIMEDOUT);
    check_ge(now_ms() - begun, 29);
    end(dripping); /* before the descriptors go with this process */
}

PROCESS_TEST(a_second_reader_is_told_that_it_is_busy)
{
    weft_pid puppet = puppet_start();
    int fds[2];
    weft_ref ref;

    make_pair(fds);
    ref = begin(puppet, waits_to_read, weft_int(fds[0]));
    await_waiting(puppet);
    check_int(weft_io_wait(fds[0], WEFT_READ, 1000), WEFT_EBUSY);
    check_int(weft_io_wait(fds[0], WEFT_WRITE, 1000), WEFT_WRITE);
    check_int(weft_write(fds[1], "x", 1, 0), 1);
    check_term(end(ref), weft_int(WEFT_READ));
}

PROCESS_TEST(a_close_wakes_who_waits)
{
    weft_pid puppet = puppet_start();
    int fds[2];
    weft_ref ref;

    make_pair(fds);
    ref = begin(puppet, reads_a_line, weft_int(fds[0]));
    await_waiting(puppet);
    check_int(weft_close(fds[0]), 0);
    check_term(end(ref), weft_int(WEFT_ECANCELED));
}

PROCESS_TEST(a_killed_waiter_leaves_nothing_behind, "PROC-18")
{
    int fds[2];

    make_pair(fds);
    for (int i = 0; i < 50; i++) {
        WEFT_SCOPE;
        weft_pid puppet = puppet_start();
        weft_ref down = weft_monitor(puppet);

        begin(puppet, waits_to_read, weft_int(fds[0]));
        if (i % 2 == 0)
            await_waiting(puppet);
        if (i % 3 == 0)
            (void)!write(fds[1], "x", 1); /* fires while it is killed */
        weft_kill(puppet);
        await_down(down);
        if (i % 3 == 0) {
            char byte;

            check_int(weft_read(fds[0], &byte, 1, 0), 1);
        }
        check_int(weft_io_wait(fds[0], WEFT_READ, 1), WEFT_ETIMEDOUT);
    }
}

PROCESS_TEST(a_plain_file_is_always_ready)
{
    int fd = weft_file_open("/dev/null", O_RDONLY, 0);
    char path[] = "/tmp/weft-io-XXXXXX";
    int plain = mkstemp(path);

    unlink(path);
    check_ge(fd, 0);
    check_int(weft_io_wait(plain, WEFT_READ, WEFT_INFINITY), WEFT_READ);
    check_int(weft_io_wait(plain, WEFT_READ | WEFT_WRITE, 0), WEFT_READ | WEFT_WRITE);
    check_int(weft_io_notify(plain, WEFT_READ, A(x)), WEFT_EPERM);
    close(plain);
}

/* -- being told by a message -------------------------------------------------------- */

static weft_term io_message(weft_term tag, int fd, unsigned events)
{
    return weft_tuple(A(io), tag, weft_int(fd), weft_int(events));
}

PROCESS_TEST(a_message_tells_of_readiness_once)
{
    int fds[2];
    weft_ref ref = weft_make_ref();

    make_pair(fds);
    check_int(weft_io_notify(fds[0], WEFT_READ, ref), 0);
    check_int(weft_io_notify(fds[0], WEFT_READ, ref), WEFT_EBUSY);
    check_int(weft_io_notify(fds[0], WEFT_WRITE, A(writable)), 0);
    expect_message(io_message(A(writable), fds[0], WEFT_WRITE));
    check_int(weft_write(fds[1], "xy", 2, 0), 2);
    expect_message(io_message(ref, fds[0], WEFT_READ));
    expect_no_message(weft_any);
    check_int(weft_io_notify(fds[0], WEFT_READ, weft_int(7)), 0);
    expect_message(io_message(weft_int(7), fds[0], WEFT_READ));
}

PROCESS_TEST(tags_are_one_word)
{
    int fds[2];

    make_pair(fds);
    check_int(weft_io_notify(fds[0], WEFT_READ, weft_str("text")), WEFT_EINVAL);
    check_int(weft_io_notify(fds[0], WEFT_READ, weft_none), WEFT_EINVAL);
    check_int(weft_io_notify(fds[0], WEFT_READ, weft_any), WEFT_EINVAL);
    check_int(weft_io_notify(fds[0], 0, A(x)), WEFT_EINVAL);
    check_int(weft_io_notify(-1, WEFT_READ, A(x)), WEFT_EBADF);
}

PROCESS_TEST(a_cancelled_message_never_comes)
{
    int fds[2];

    make_pair(fds);
    check_int(weft_io_cancel(fds[0], WEFT_READ), WEFT_ENOENT);
    check_int(weft_io_notify(fds[0], WEFT_READ, A(x)), 0);
    check_int(weft_io_cancel(fds[0], WEFT_WRITE), WEFT_ENOENT);
    check_int(weft_io_cancel(fds[0], WEFT_READ), 0);
    check_int(weft_io_cancel(fds[0], WEFT_READ), WEFT_ENOENT);
    check_int(weft_write(fds[1], "x", 1, 0), 1);
    expect_no_message(weft_any);
}

PROCESS_TEST(a_close_keeps_the_promise_with_no_events)
{
    int fds[2];

    make_pair(fds);
    check_int(weft_io_notify(fds[0], WEFT_READ, A(x)), 0);
    check_int(weft_close(fds[0]), 0);
    expect_message(io_message(A(x), fds[0], 0));
}

static weft_term asks_to_be_told(weft_term fd)
{
    return weft_int(weft_io_notify((int)weft_to_int(fd), WEFT_READ, A(mine)));
}

PROCESS_TEST(a_process_that_ends_is_told_nothing, "PROC-18")
{
    int fds[2];

    make_pair(fds);
    for (int i = 0; i < 50; i++) {
        weft_pid puppet = puppet_start();
        weft_ref down = weft_monitor(puppet);

        check_term(ask(puppet, asks_to_be_told, weft_int(fds[0])), weft_int(0));
        if (i % 2 == 0)
            (void)!write(fds[1], "x", 1);
        weft_kill(puppet);
        await_down(down);
        check_int(weft_io_notify(fds[0], WEFT_READ, A(now_me)), 0);
        if (i % 2 == 0) {
            char byte;

            expect_message(io_message(A(now_me), fds[0], WEFT_READ));
            check_int(weft_read(fds[0], &byte, 1, 0), 1);
        } else {
            check_int(weft_io_cancel(fds[0], WEFT_READ), 0);
        }
    }
}

/* -- reading and writing ---------------------------------------------------------------- */

enum { BULK = 3 * 1024 * 1024 + 17 };

static unsigned char bulk_byte(size_t at)
{
    return (unsigned char)(at * 31 + at / 4099);
}

static weft_term writes_bulk(weft_term fd)
{
    unsigned char *data = weft_alloc(BULK);

    for (size_t i = 0; i < BULK; i++)
        data[i] = bulk_byte(i);
    check_int(weft_write_all((int)weft_to_int(fd), data, BULK, WEFT_INFINITY), BULK);
    check_int(weft_shutdown_write((int)weft_to_int(fd)), 0);
    weft_free(data);
    return A(ok);
}

static void read_bulk(int fd)
{
    unsigned char *data = weft_alloc(BULK + 1);
    size_t wrong = 0;

    check_int(weft_read_full(fd, data, BULK + 1, WEFT_INFINITY), BULK);
    for (size_t i = 0; i < BULK; i++)
        wrong += data[i] != bulk_byte(i);
    check_uint(wrong, 0);
    weft_free(data);
}

PROCESS_TEST(much_data_goes_through_a_socket_whole)
{
    int fds[2];
    weft_ref ref;

    make_pair(fds);
    ref = begin(puppet_start(), writes_bulk, weft_int(fds[1]));
    read_bulk(fds[0]);
    check_term(end(ref), A(ok));
}

PROCESS_TEST(both_directions_of_one_descriptor_at_once)
{
    weft_pid writer = puppet_start(), echo = puppet_start();
    int fds[2];
    weft_ref mine, theirs;

    make_pair(fds);
    mine = begin(writer, writes_bulk, weft_int(fds[0]));
    theirs = begin(echo, writes_bulk, weft_int(fds[1]));
    (void)theirs;
    read_bulk(fds[0]); /* while `writer` writes to the same descriptor */
    read_bulk(fds[1]);
    check_term(end(mine), A(ok));
    check_term(end(theirs), A(ok));
}

PROCESS_TEST(pieces_are_written_as_one_stream)
{
    char text[64] = "";
    struct iovec parts[] = {
        {.iov_base = "one ", .iov_len = 4}, {.iov_base = "", .iov_len = 0}, {.iov_base = "two", .iov_len = 3}};
    int fds[2];

    make_pair(fds);
    check_int(weft_write_all_parts(fds[0], parts, 3, 0), 7);
    check_int(weft_write_all_parts(fds[0], parts, 0, 0), 0);
    check_int(weft_write_all_parts(fds[0], parts, 65, 0), WEFT_EINVAL);
    check_int(weft_read(fds[1], text, sizeof text, 0), 7);
    check_str(text, "one two");
    check_int(parts[0].iov_len, 4);
}

PROCESS_TEST(an_empty_read_or_write_is_nothing)
{
    int fds[2];

    make_pair(fds);
    check_int(weft_read(fds[0], NULL, 0, WEFT_INFINITY), 0);
    check_int(weft_read_full(fds[0], NULL, 0, WEFT_INFINITY), 0);
    check_int(weft_write(fds[0], NULL, 0, WEFT_INFINITY), 0);
    check_int(weft_write_all(fds[0], NULL, 0, WEFT_INFINITY), 0);
}

PROCESS_TEST(the_end_is_zero_bytes_and_a_broken_pipe_a_code)
{
    char byte;
    int fds[2], pipe_fds[2];

    make_pair(fds);
    check_int(weft_close(fds[1]), 0);
    check_int(weft_read(fds[0], &byte, 1, WEFT_INFINITY), 0);
    check_int(weft_write(fds[0], "x", 1, WEFT_INFINITY), WEFT_EPIPE);
    check_int(weft_pipe(pipe_fds), 0);
    check_int(weft_close(pipe_fds[0]), 0);
    check_int(weft_write(pipe_fds[1], "x", 1, WEFT_INFINITY), WEFT_EPIPE);
    check_int(weft_write_all(pipe_fds[1], "x", 1, WEFT_INFINITY), WEFT_EPIPE);
}

PROCESS_TEST(pipes_carry_much_data_too)
{
    int fds[2];
    weft_ref ref;

    check_int(weft_pipe(fds), 0);
    ref = begin(puppet_start(), reads_a_line, weft_int(fds[0]));
    check_int(weft_write(fds[1], "line", 4, WEFT_INFINITY), 4);
    check_term(end(ref), weft_str("line"));
}

PROCESS_TEST(blocking_descriptors_of_others_do_not_block)
{
    int sockets[2], pipes[2];
    char byte;

    check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    check_int(weft_read(sockets[0], &byte, 1, 5), WEFT_ETIMEDOUT);
    check_int(fcntl(sockets[0], F_GETFL) & O_NONBLOCK, 0);
    check_int(pipe(pipes), 0);
    check_int(weft_read(pipes[0], &byte, 1, 5), WEFT_ETIMEDOUT);
    check(fcntl(pipes[0], F_GETFL) & O_NONBLOCK);
    for (int i = 0; i < 2; i++) {
        close(sockets[i]);
        close(pipes[i]);
    }
}

PROCESS_TEST(a_full_pipe_makes_the_writer_wait)
{
    static char page[65536];
    char byte;
    int fds[2];

    check_int(weft_pipe(fds), 0);
    while (weft_write(fds[1], page, sizeof page, 0) > 0)
        ;
    check_int(weft_write(fds[1], page, 1, 3), WEFT_ETIMEDOUT);
    check_int(weft_read(fds[0], &byte, 1, 0), 1);
    for (int i = 0; i < 20; i++)
        weft_read(fds[0], page, sizeof page, 0);
    check_int(weft_write(fds[1], page, 1, WEFT_INFINITY), 1);
}

/* -- owners --------------------------------------------------------------------------------- */

static weft_term makes_a_pair(weft_term arg)
{
    int fds[2];

    (void)arg;
    check_int(weft_socket_pair(fds), 0);
    return weft_tuple(weft_int(fds[0]), weft_int(fds[1]));
}

PROCESS_TEST(what_a_process_opened_is_closed_at_its_end, "PROC-18")
{
    int n_before = count_files();

    for (int how = 0; how < 3; how++) {
        weft_pid puppet = puppet_start();
        weft_ref down = weft_monitor(puppet);
        weft_term pair = weft_none;

        for (int i = 0; i < 5; i++)
            pair = ask(puppet, makes_a_pair, A(x));
        check_files(n_before + 10);
        check_term(weft_fd_owner((int)weft_to_int(weft_tuple_at(pair, 0))), puppet);
        if (how == 0)
            weft_kill(puppet);
        else
            tell(puppet, how == 1 ? do_exit : do_error, A(normal));
        await_down(down);
        check_files(n_before);
    }
}

PROCESS_TEST(what_is_closed_or_given_away_is_not_closed_again, "PROC-18")
{
    weft_pid puppet = puppet_start();
    weft_term pair = ask(puppet, makes_a_pair, A(x));
    int first = (int)weft_to_int(weft_tuple_at(pair, 0)), second = (int)weft_to_int(weft_tuple_at(pair, 1));

    check_int(weft_close(first), 0); /* any process may */
    check_term(weft_fd_owner(first), weft_none);
    check_int(open("/dev/null", O_RDONLY), first); /* another file, and nobody's */
    check_int(weft_give_fd(first, puppet), WEFT_ENOTOWNER); /* late: it is not what it was */
    check_int(weft_give_fd(second, weft_self()), WEFT_ENOTOWNER);
    puppet_stop(puppet);
    check(is_open(first));
    check(!is_open(second));
    close(first);
}

static weft_term gives(weft_term arg)
{
    return weft_int(weft_give_fd((int)weft_to_int(weft_tuple_at(arg, 0)), weft_tuple_at(arg, 1)));
}

PROCESS_TEST(a_descriptor_is_given_to_another_process, "PROC-18")
{
    weft_pid giver = puppet_start(), taker = puppet_start();
    weft_term pair = ask(giver, makes_a_pair, A(x));
    int first = (int)weft_to_int(weft_tuple_at(pair, 0)), second = (int)weft_to_int(weft_tuple_at(pair, 1));

    check_term(ask(giver, gives, weft_tuple(weft_int(first), taker)), weft_int(0));
    check_term(weft_fd_owner(first), taker);
    check_term(ask(giver, gives, weft_tuple(weft_int(first), taker)), weft_int(WEFT_ENOTOWNER));
    check_term(ask(giver, gives, weft_tuple(weft_int(second), weft_int(3))), weft_int(WEFT_EINVAL));
    puppet_stop(giver);
    check(is_open(first));
    check(!is_open(second));
    weft_kill(taker);
    await_end(taker);
    check(!is_open(first));
}

PROCESS_TEST(a_dead_process_is_given_nothing)
{
    weft_pid dead = puppet_start();
    int fds[2];

    puppet_stop(dead);
    make_pair(fds);
    check_int(weft_give_fd(fds[0], dead), WEFT_ENOPROC);
    check_term(weft_fd_owner(fds[0]), weft_self());
    check_int(weft_give_fd(fds[0], weft_none), 0);
    check_term(weft_fd_owner(fds[0]), weft_none);
    check_int(weft_give_fd(fds[0], weft_self()), 0);
    check_int(weft_give_fd(999, weft_self()), WEFT_EBADF);
}

static weft_term receives_nothing(weft_term arg)
{
    return arg;
}

PROCESS_TEST_WITH(descriptors_given_to_processes_that_end_leak_nothing, .rules = "PROC-18", .deadline_s = 120)
{
    int n_before = count_files(), n = scaled(3000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        int fds[2];
        weft_ref down;
        weft_pid pid;

        make_pair(fds);
        pid = weft_spawn(receives_nothing, A(x), .monitor = &down);
        for (int k = 0; k < 2; k++)
            if (weft_give_fd(fds[k], pid) != 0)
                check_int(weft_close(fds[k]), 0);
        await_down(down);
    }
    /* One given at the last moment is closed with the next process there. */
    check_le(count_files(), n_before + 4);
    diag("%d more are open", count_files() - n_before);
}

PROCESS_TEST(a_number_closed_behind_our_back_is_the_new_owners, "PROC-18")
{
    weft_pid puppet = puppet_start();
    weft_term pair = ask(puppet, makes_a_pair, A(x));
    int first = (int)weft_to_int(weft_tuple_at(pair, 0)), fds[2];

    close(first);
    make_pair(fds);
    check_int(fds[0], first);
    check_term(weft_fd_owner(first), weft_self());
    puppet_stop(puppet);
    check(is_open(first));
}

/* -- at once ------------------------------------------------------------------------------------ */

static weft_term echoes(weft_term fd_term)
{
    int fd = (int)weft_to_int(fd_term);
    char buffer[64];
    int64_t n;

    check_int(weft_give_fd(fd, weft_self()), 0);
    while ((n = weft_read(fd, buffer, sizeof buffer, WEFT_INFINITY)) > 0)
        if (weft_write_all(fd, buffer, (size_t)n, WEFT_INFINITY) != n)
            break;
    return A(ok);
}

static weft_term pings(weft_term arg)
{
    int fd = (int)weft_to_int(weft_tuple_at(arg, 0)), n = (int)weft_to_int(weft_tuple_at(arg, 1));
    char ping[16], pong[16];

    for (int i = 0; i < n; i++) {
        snprintf(ping, sizeof ping, "%015d", i);
        if (weft_write_all(fd, ping, sizeof ping, WEFT_INFINITY) != sizeof ping ||
            weft_read_full(fd, pong, sizeof pong, WEFT_INFINITY) != sizeof pong ||
            memcmp(ping, pong, sizeof ping) != 0)
            return A(broken);
    }
    return A(ok);
}

PROCESS_TEST_WITH(many_conversations_at_once, .deadline_s = 120)
{
    enum { N = 50 };
    weft_ref refs[N];
    int fds[N][2], rounds = scaled(200);

    for (int i = 0; i < N; i++) {
        make_pair(fds[i]);
        check_int(weft_give_fd(fds[i][1], weft_none), 0);
        weft_spawn(echoes, weft_int(fds[i][1]));
        refs[i] = begin(puppet_start(), pings, weft_tuple(weft_int(fds[i][0]), weft_int(rounds)));
    }
    for (int i = 0; i < N; i++)
        check_term(end(refs[i]), A(ok));
}

/* -- outside ---------------------------------------------------------------------------------------- */

static void use_in_a_thread(void)
{
    int fds[2], pipes[2];
    char buffer[8];
    int64_t begun;

    check_int(weft_socket_pair(fds), 0);
    begun = now_ns();
    check_int(weft_read(fds[0], buffer, 1, 5), WEFT_ETIMEDOUT);
    check_ge(now_ns() - begun, 5 * 1000000);
    check_int(weft_write_all(fds[1], "hi", 2, WEFT_INFINITY), 2);
    check_int(weft_io_wait(fds[0], WEFT_READ, WEFT_INFINITY), WEFT_READ);
    check_int(weft_read_full(fds[0], buffer, 2, WEFT_INFINITY), 2);
    check_int(weft_pipe(pipes), 0);
    check_int(weft_close(pipes[0]), 0);
    check_int(weft_write(pipes[1], "x", 1, WEFT_INFINITY), WEFT_EPIPE); /* and no signal */
    check_int(weft_close(pipes[1]), 0);
    check_int(weft_close(fds[0]), 0);
    check_int(weft_close(fds[1]), 0);
}

TEST(descriptors_work_without_a_runtime)
{
    signal(SIGPIPE, SIG_DFL);
    use_in_a_thread();
}

static void *guest_thread(void *fds_arg)
{
    int *fds = fds_arg;
    weft_term message = weft_none;

    use_in_a_thread();
    check_int(weft_socket_pair(fds), 0);
    check_term(weft_fd_owner(fds[0]), weft_self());
    check_int(weft_io_notify(fds[0], WEFT_READ, A(mine)), 0);
    check_int(weft_write(fds[1], "x", 1, 0), 1);
    check(weft_receive(weft_any, BOUND_MS, &message));
    check_term(message, io_message(A(mine), fds[0], WEFT_READ));
    return NULL;
}

TEST(a_foreign_thread_owns_and_is_told_and_blocks)
{
    pthread_t thread;
    int fds[2];

    if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
        return;
    check_int(pthread_create(&thread, NULL, guest_thread, fds), 0);
    pthread_join(thread, NULL);
    check(!is_open(fds[0]));
    check(!is_open(fds[1]));
    check_int(weft_socket_pair(fds), 0);
    runtime_down();
    check(!is_open(fds[0]));
}

static void *reads_in_blocking(void *fds_arg)
{
    use_in_a_thread();
    return fds_arg;
}

PROCESS_TEST(inside_weft_blocking_calls_block)
{
    weft_blocking(reads_in_blocking, NULL);
}

static weft_term waits_for_ever(weft_term arg)
{
    int fds[2];
    char byte;

    (void)arg;
    weft_socket_pair(fds);
    weft_io_notify(fds[1], WEFT_READ, A(x));
    weft_read(fds[0], &byte, 1, WEFT_INFINITY);
    return A(ok);
}

static weft_term leaves_waiters(weft_term arg)
{
    for (int i = 0; i < 20; i++)
        weft_spawn(waits_for_ever, A(x));
    weft_sleep(2);
    return arg;
}

TEST(a_runtime_stops_with_waiters_again_and_again)
{
    int n_before = count_files();

    for (int i = 0; i < 20; i++) {
        if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
            return;
        run_body(leaves_waiters);
        runtime_down();
        check_files(n_before);
    }
}

/*
 * pool.c - a pool of connections: many processes share a few sockets to a server,
 * and whatever a process does, its socket comes back or is replaced.
 *
 * A small server squares numbers, a line for a line. It serves four connections, and
 * hangs up when it is told "quit".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

enum { WAIT_MS = 5000, LINE = 32 };

/* -- the server ------------------------------------------------------------------------ */

/* One line without its end, by single bytes: they are short. false: the other side is gone. */
static bool read_line(int fd, char line[LINE])
{
    for (size_t n = 0; n < LINE; n++) {
        if (weft_read(fd, &line[n], 1, WAIT_MS) != 1)
            return false;
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    return false;
}

static weft_term serve(weft_term fd)
{
    char line[LINE], answer[LINE];

    while (read_line((int)weft_to_int(fd), line) && strcmp(line, "quit") != 0) {
        long n = strtol(line, NULL, 10);
        int size = snprintf(answer, sizeof answer, "%ld\n", n * n);

        if (weft_write_all((int)weft_to_int(fd), answer, (size_t)size, WAIT_MS) < 0)
            break;
    }
    return A(ok);                                   /* the socket is closed with the process */
}

/* The listener is this process's, and goes with it. */
static weft_term accept_all(weft_term listener)
{
    for (;;) {
        int fd = weft_accept((int)weft_to_int(listener), WEFT_INFINITY);

        if (fd < 0)
            weft_exit(weft_str(weft_error_text(fd)));
        weft_give_fd(fd, weft_spawn(serve, weft_int(fd)));
    }
    return A(ok);
}

/* -- connections: what is in the pool --------------------------------------------------- */

/* The socket is the pool's from here on: it is closed when the pool ends, in any way. */
static bool open_connection(weft_term path, weft_pid pool, weft_term *connection)
{
    int fd = weft_connect_unix(weft_text(path), WAIT_MS);

    if (fd < 0) {
        *connection = weft_str(weft_error_text(fd)); /* the pool logs it, and tries again later */
        return false;
    }
    weft_give_fd(fd, pool);
    *connection = weft_int(fd);
    return true;
}

static bool ask(int fd, const char *question, char answer[LINE])
{
    return weft_write_all(fd, question, strlen(question), WAIT_MS) >= 0 && read_line(fd, answer);
}

/* Before it is used again, after a client ended with it: nothing is left to read, and the
 * server answers. */
static bool check_connection(weft_term connection)
{
    char answer[LINE];

    return ask((int)weft_to_int(connection), "1\n", answer) && strcmp(answer, "1") == 0;
}

static void close_connection(weft_term connection)
{
    weft_close((int)weft_to_int(connection));
}

static const weft_pool_resource connections = {
    .open = open_connection, .check = check_connection, .close = close_connection, .name = "connections"};

/* -- what the program does with them ------------------------------------------------------ */

/* Runs with a connection that is nobody else's meanwhile. */
static weft_term square_by(weft_term connection, void *number)
{
    char question[LINE], answer[LINE];

    snprintf(question, sizeof question, "%lld\n", (long long)*(const int64_t *)number);
    if (!ask((int)weft_to_int(connection), question, answer)) {
        weft_pool_discard(A(db), connection);           /* it is broken: the pool opens another */
        weft_exit(A(disconnected));
    }
    return weft_int(strtoll(answer, NULL, 10));
}

static weft_term square(weft_term number)
{
    int64_t n = weft_to_int(number);

    return weft_pool_transaction(A(db), WAIT_MS, square_by, &n);
}

/* Asks, does not wait for the answer, and ends: whoever came next would read it. */
static weft_term leaves_in_the_middle(weft_term connection, void *arg)
{
    (void)arg;
    weft_write_all((int)weft_to_int(connection), "7\n", 2, WAIT_MS);
    weft_exit(A(left));
}

static weft_term leaves(weft_term arg)
{
    return weft_pool_transaction(A(db), WAIT_MS, leaves_in_the_middle, NULL), arg;
}

static weft_term makes_the_server_hang_up(weft_term connection, void *arg)
{
    (void)arg;
    weft_write_all((int)weft_to_int(connection), "quit\n", 5, WAIT_MS);
    return A(ok);
}

static int64_t sum_of_squares(int64_t n)
{
    weft_term numbers = weft_empty_list;
    weft_stream squares;
    int64_t sum = 0;

    while (n > 0)
        numbers = weft_cons(weft_int(n--), numbers);
    squares = weft_task_async_stream(numbers, square, .max_concurrency = 50);
    weft_stream_each (one, &squares)
        sum += weft_to_int(one.value);
    return sum;
}

static weft_term app(weft_term args)
{
    char path[] = "/tmp/weft-pool-XXXXXX", socket[64];
    weft_pool_counts counts;
    weft_ref down;
    int listener;

    (void)args;
    if (mkdtemp(path) == NULL)
        weft_exit(A(no_directory));
    snprintf(socket, sizeof socket, "%s/db", path);
    listener = weft_listen_unix(socket, 64);
    weft_give_fd(listener, weft_spawn(accept_all, weft_int(listener)));

    weft_must(weft_pool_start_link(&connections, weft_str(socket), .name = A(db), .capacity = 3,
                                   .max_overflow = 1));
    printf("1 + 4 + ... + 1000000 = %lld\n", (long long)sum_of_squares(1000));

    /* A client that ends in the middle: its connection is not good any more. */
    weft_spawn(leaves, weft_none, .monitor = &down);
    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    printf("one left in the middle: 12 * 12 = %lld\n", (long long)weft_to_int(square(weft_int(12))));

    /* A connection that the server ended: whoever finds out discards it. */
    weft_pool_transaction(A(db), WAIT_MS, makes_the_server_hang_up, NULL);
    weft_spawn(square, weft_int(5), .monitor = &down);
    weft_receive(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    printf("one was hung up: 5 * 5 = %lld\n", (long long)weft_to_int(square(weft_int(5))));

    do
        weft_pool_status(A(db), &counts);
    while (counts.idle < 3);                            /* the last one is being opened */
    printf("%lld connections are idle, %lld in use\n", (long long)counts.idle, (long long)counts.in_use);
    unlink(socket);
    rmdir(path);
    return A(ok);
}

int main(int argc, char **argv)
{
    return weft_main(argc, argv, app);
}

/* The demo's server, by hand-written requests: what clients do to servers. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../examples/demo_server.h"
#include "proc/process_test.h"

static struct demo_server_counts counts;
static struct demo_server server;
static struct demo_server_options options = {.idle_ms = 20000, .write_ms = 5000};

static void serve(void)
{
    check_int(demo_server_start(&server, &counts, &options), 0);
}

static bool waited(_Atomic uint64_t *counter, uint64_t want)
{
    for (int64_t until = now_ms() + BOUND_MS; atomic_load(counter) != want && now_ms() < until;)
        weft_sleep(1);
    return atomic_load(counter) == want;
}

static int connected(void)
{
    int fd = weft_connect("127.0.0.1", server.port, BOUND_MS);

    check_ge(fd, 0);
    return fd;
}

static void say(int fd, const char *text)
{
    check_int(weft_write_all(fd, text, strlen(text), BOUND_MS), (int64_t)strlen(text));
}

/* All that comes until the end. */
static const char *hear(int fd)
{
    static char text[20000];
    int64_t n = weft_read_full(fd, text, sizeof text - 1, BOUND_MS);

    check_ge(n, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

PROCESS_TEST(requests_in_one_write_are_answered_in_order)
{
    int fd;
    const char *heard;

    serve();
    fd = connected();
    say(fd, "GET /bytes/3 HTTP/1.1\r\n\r\nGET /status/500 HTTP/1.1\r\n\r\n"
            "POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET /none HTTP/1.1\r\nConnection: close\r\n\r\n");
    heard = hear(fd);
    check_has(heard, "HTTP/1.1 200 OK");
    check_has(strstr(heard, "www") ? strstr(heard, "www") : "", "HTTP/1.1 500");
    check_has(strstr(heard, "500") ? strstr(heard, "500") : "", "abcd");
    check_has(strstr(heard, "abcd") ? strstr(heard, "abcd") : "", "HTTP/1.1 404");
    check_uint(atomic_load(&counts.requests), 4);
}

PROCESS_TEST(a_request_that_comes_byte_by_byte_is_understood)
{
    static const char request[] = "GET /bytes/3 HTTP/1.1\r\nConnection: close\r\n\r\n";
    int fd;

    serve();
    fd = connected();
    for (size_t i = 0; i < sizeof request - 1; i++) {
        check_int(weft_write_all(fd, request + i, 1, BOUND_MS), 1);
        weft_yield();
    }
    check_has(hear(fd), "\r\n\r\nwww");
}

PROCESS_TEST(a_body_that_no_answer_wants_is_passed_over)
{
    int fd;

    serve();
    fd = connected();
    say(fd, "POST /bytes/1 HTTP/1.1\r\nContent-Length: 20000\r\n\r\n");
    for (int i = 0; i < 2000; i++)
        say(fd, "0123456789");
    say(fd, "GET /bytes/2 HTTP/1.0\r\n\r\n");
    check_has(hear(fd), "\r\n\r\nww");
    check_uint(atomic_load(&counts.requests), 2);
}

PROCESS_TEST(who_stops_writing_still_gets_the_answer)
{
    int fd;

    serve();
    fd = connected();
    say(fd, "GET /bytes/1000 HTTP/1.1\r\n\r\n");
    check_int(weft_shutdown_write(fd), 0);
    check_gt(strlen(hear(fd)), 1000);
    check(waited(&counts.open, 0));
}

PROCESS_TEST(who_stops_in_the_middle_of_a_request_is_left)
{
    int fd;

    serve();
    fd = connected();
    say(fd, "GET /bytes/1000 HT");
    check_int(weft_shutdown_write(fd), 0);
    check_str(hear(fd), "");
    check(waited(&counts.open, 0));
}

PROCESS_TEST(nonsense_is_answered_with_400)
{
    int fd;

    serve();
    fd = connected();
    say(fd, "nonsense\r\n\r\n");
    check_has(hear(fd), "HTTP/1.1 400");
}

PROCESS_TEST(a_head_without_end_is_not_read_for_ever)
{
    char *line = weft_alloc(4097);
    int fd;

    serve();
    fd = connected();
    memset(line, 'x', 4096);
    say(fd, "GET / HTTP/1.1\r\nX: ");
    for (int i = 0; i < 3; i++)
        say(fd, line);
    /* The rest may meet a closed connection already. */
    weft_write_all(fd, line, 4096, BOUND_MS);
    check(waited(&counts.open, 0));
    check_uint(atomic_load(&counts.requests), 0);
}

PROCESS_TEST(who_says_nothing_is_left_after_a_while)
{
    options.idle_ms = 100;
    serve();
    check_str(hear(connected()), "");
    check(waited(&counts.open, 0));
}

PROCESS_TEST(a_reader_that_stops_is_left_after_a_while)
{
    options.write_ms = 200;
    serve();
    say(connected(), "GET /bytes/100000000 HTTP/1.1\r\n\r\n");
    check(waited(&counts.write_timeouts, 1));
    check(waited(&counts.open, 0));
}

static weft_term start_and_end(weft_term arg)
{
    serve();
    weft_send(arg, weft_tuple(A(serving), server.pid));
    connected();
    connected();
    waited(&counts.open, 2);
    weft_exit(A(enough));
}

PROCESS_TEST(the_server_and_its_connections_end_with_who_started_it)
{
    weft_pid pid;
    weft_ref down;

    weft_spawn(start_and_end, weft_self());
    expect_message(weft_tuple(A(serving), weft_bind_pid(&pid)));
    down = weft_monitor(pid);
    check_has(weft_inspect(await_down(down)), "");
    check(waited(&counts.open, 0));
    check_int(weft_connect("127.0.0.1", server.port, BOUND_MS), WEFT_ECONNREFUSED);
}

/* -- a crowd: clients in a program of their own, with descriptors of their own ------- */

struct crowd {
    pid_t child;
    int to_child, from_child;
};

static int join_server(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return fd;
}

static bool ask_and_read(int fd)
{
    static const char request[] = "GET /bytes/10 HTTP/1.1\r\n\r\n";
    char answer[300];
    ssize_t n = 0, more;

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
        return false;
    do {
        more = recv(fd, answer + n, sizeof answer - 1 - (size_t)n, 0);
        if (more <= 0)
            return false;
        n += more;
        answer[n] = '\0';
    } while (strstr(answer, "wwwwwwwwww") == NULL);
    return true;
}

/* Connect n times, ask on each, close all; with `few` closing each hundred
 * before the next can be expected to be accepted. Exits with 0 when all got an
 * answer. */
_Noreturn static void be_crowd(int from_parent, int n)
{
    uint16_t port;
    int *fds = calloc((size_t)n, sizeof *fds), n_bad = 0;

    if (read(from_parent, &port, sizeof port) != sizeof port)
        _exit(9);
    for (int i = 0; i < n; i++)
        n_bad += (fds[i] = join_server(port)) < 0;
    if (n_bad > 0) {
        fprintf(stderr, "# %d of %d could not connect: %s\n", n_bad, n, strerror(errno));
        _exit(1);
    }
    for (int i = 0; i < n; i++) {
        n_bad += !ask_and_read(fds[i]);
        /* From here on there is room for those that wait. */
        if (getenv("WEFT_CROWD_LEAVES"))
            close(fds[i]);
    }
    if (n_bad > 0)
        fprintf(stderr, "# %d of %d got no answer\n", n_bad, n);
    _exit(n_bad > 0);
}

static struct crowd crowd_of(int n)
{
    struct crowd crowd;
    int fds[2];

    check_int(pipe(fds), 0);
    crowd.child = fork();
    if (crowd.child == 0)
        be_crowd(fds[0], n);
    close(fds[0]);
    crowd.to_child = fds[1];
    return crowd;
}

static struct crowd crowd;

static void *wait_for_crowd(void *arg)
{
    waitpid(crowd.child, arg, 0);
    return NULL;
}

static weft_term serve_crowd(weft_term arg)
{
    int status = -1;

    serve();
    check_int(write(crowd.to_child, &server.port, sizeof server.port), sizeof server.port);
    weft_blocking(wait_for_crowd, &status);
    check_int(status, 0);
    check(waited(&counts.open, 0));
    return arg;
}

enum { CROWD = 10000 };

TEST_WITH(ten_thousand_connections_are_served, .deadline_s = 120)
{
    struct rlimit limit;
    int n = scaled(CROWD);

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)n + 100)
        skip("%d descriptors are allowed, %d needed", (int)limit.rlim_cur, n + 100);
    crowd = crowd_of(n);
    run_in_runtime(serve_crowd);
    check_uint(atomic_load(&counts.accepted), (uint64_t)n);
    check_uint(atomic_load(&counts.requests), (uint64_t)n);
}

TEST(without_a_free_descriptor_the_server_waits_and_goes_on)
{
    struct rlimit limit;

    setenv("WEFT_CROWD_LEAVES", "1", 1);
    crowd = crowd_of(300);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 60;
    setrlimit(RLIMIT_NOFILE, &limit);
    run_in_runtime(serve_crowd, .workers = 2);
    check_gt(atomic_load(&counts.refused), 0);
    check_uint(atomic_load(&counts.requests), 300);
}

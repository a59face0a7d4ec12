/* The client against the demo's server: what it gets, and what it says when the
 * world fails. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../examples/demo_server.h"
#include "counts.h"
#include "proc/process_test.h"
#include "weft/http.h"

static struct demo_server_counts counts;
static struct demo_server server;

static void serve(void)
{
    static const struct demo_server_options options = {.idle_ms = 20000, .write_ms = 5000};

    check_int(demo_server_start(&server, &counts, &options), 0);
}

/* http://127.0.0.1:port/path */
static weft_term at(const char *path)
{
    char url[2100];

    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server.port, path);
    return weft_str(url);
}

/* A port on which nobody listens. */
static uint16_t dead_port(void)
{
    int fd = weft_listen("127.0.0.1", 0);
    weft_address address = {.size = 0};

    weft_local_address(fd, &address);
    weft_close(fd);
    return weft_address_port(&address);
}

#define check_error(response, what) check_error_at((response), (what), TAP_HERE)

static const char *check_error_at(weft_http_response response, const char *what, const char *file, int line)
{
    weft_term kind = weft_none;
    const char *text = "";

    tap_check(!response.ok, "the request failed", file, line);
    tap_check(weft_is_none(response.body), "no body", file, line);
    weft_match(response.error, weft_tuple(weft_bind(&kind), weft_bind_text(&text)));
    tap_check_str(weft_is_atom(kind) ? weft_atom_name(kind) : "no error", what, "response.error", file, line);
    return text;
}

static bool waited(_Atomic uint64_t *counter, uint64_t want)
{
    for (int64_t until = now_ms() + BOUND_MS; atomic_load(counter) != want && now_ms() < until;)
        weft_sleep(1);
    return atomic_load(counter) == want;
}

/* -- what comes ------------------------------------------------------------------- */

PROCESS_TEST(a_page_comes_with_its_status_headers_and_body)
{
    weft_http_response response;

    serve();
    response = weft_http_get(at("/bytes/1000"));
    check(response.ok);
    check_int(response.status, 200);
    check_uint(weft_bin_size(response.body), 1000);
    check_int(((const char *)weft_bin_data(response.body))[999], 'w');
    check(weft_is_none(response.error));
    check_term(response.url, at("/bytes/1000"));
    check_term(response.headers, weft_list(weft_tuple(weft_str("server"), weft_str("weft-demo")),
                                           weft_tuple(weft_str("content-length"), weft_str("1000"))));
    check_term(weft_http_header(&response, "Content-LENGTH"), weft_str("1000"));
    check(weft_is_none(weft_http_header(&response, "content")));
    check_gt(response.timings.total_us, 0);
    check_ge(response.timings.total_us, response.timings.first_byte_us);
}

PROCESS_TEST(a_status_that_says_no_is_an_answer_as_any_other)
{
    weft_http_response response;

    serve();
    response = weft_http_get(at("/status/500"));
    check(response.ok);
    check_int(response.status, 500);
    check_int(weft_http_get(at("/not/there")).status, 404);
}

PROCESS_TEST(bodies_of_all_sizes_come_whole)
{
    static const size_t sizes[] = {0, 1, 255, 256, 257, 65536, 65537, 3000000};
    char path[64];

    serve();
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int chunked = 0; chunked < 2; chunked++) {
            weft_http_response response;
            const char *data;
            size_t wrong = 0;

            snprintf(path, sizeof path, "/%s/%zu", chunked ? "chunked" : "bytes", sizes[i]);
            response = weft_http_get(at(path));
            if (!check(response.ok) || !check_uint(weft_bin_size(response.body), sizes[i]))
                continue;
            data = weft_bin_data(response.body);
            for (size_t k = 0; k < sizes[i]; k++)
                wrong += data[k] != 'w';
            check_uint(wrong, 0);
        }
}

PROCESS_TEST(head_has_headers_and_no_body)
{
    weft_http_response response;

    serve();
    response = weft_http_request(.method = "HEAD", .url = at("/bytes/500"));
    check(response.ok);
    check_term(weft_http_header(&response, "content-length"), weft_str("500"));
    check_uint(weft_bin_size(response.body), 0);
    check(weft_http_get(at("/bytes/5")).ok);
}

PROCESS_TEST(a_body_is_sent_with_the_method_and_headers_named)
{
    weft_http_response response;

    serve();
    response = weft_http_request(.method = "POST", .url = at("/echo"), .body = weft_str("hello"));
    check(response.ok);
    check_str(weft_text(response.body), "hello");
    check_term(weft_http_header(&response, "x-method"), weft_str("POST"));
    response = weft_http_request(.method = "PUT", .url = at("/echo"), .body = weft_str(""));
    check_term(weft_http_header(&response, "x-method"), weft_str("PUT"));
    check_uint(weft_bin_size(response.body), 0);
    response = weft_http_request(.method = "DELETE", .url = at("/echo"));
    check_term(weft_http_header(&response, "x-method"), weft_str("DELETE"));
    response = weft_http_get(at("/seen"), .user_agent = "me/1",
                             .headers = weft_list(weft_tuple(weft_str("X-One"), weft_str("1")),
                                                  weft_tuple(weft_str("Accept"), weft_str(""))));
    check_has(weft_text(response.body), "X-One: 1\r\n");
    check_has(weft_text(response.body), "User-Agent: me/1\r\n");
    check(strstr(weft_text(response.body), "Accept") == NULL);
    /* The next one has its own. */
    response = weft_http_get(at("/seen"));
    check(strstr(weft_text(response.body), "X-One") == NULL);
    check_has(weft_text(response.body), "User-Agent: weft/");
}

PROCESS_TEST(a_large_body_goes_both_ways)
{
    size_t size = 5000000;
    char *data = weft_alloc(size);
    weft_http_response response;

    serve();
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31 % 251);
    response = weft_http_request(.method = "POST", .url = at("/echo"), .body = weft_bin(data, size));
    check(response.ok);
    if (check_uint(weft_bin_size(response.body), size))
        check_int(memcmp(weft_bin_data(response.body), data, size), 0);
}

PROCESS_TEST(requests_one_after_another_share_a_connection)
{
    serve();
    for (int i = 0; i < 50; i++) {
        WEFT_SCOPE;

        check(weft_http_get(at("/bytes/10")).ok);
    }
    check_uint(atomic_load(&counts.requests), 50);
    check_uint(atomic_load(&counts.accepted), 1);
}

/* -- redirects ----------------------------------------------------------------------- */

PROCESS_TEST(redirects_are_followed_so_many_and_no_more)
{
    weft_http_response response;
    const char *text;

    serve();
    response = weft_http_get(at("/redirect/3"));
    check(response.ok);
    check_int(response.status, 200);
    check_uint(response.n_redirects, 3);
    check_term(response.url, at("/bytes/64"));
    check(weft_http_get(at("/redirect/3"), .follow_redirects = 3).ok);
    response = weft_http_get(at("/redirect/3"), .follow_redirects = 2);
    text = check_error(response, "too_many_redirects");
    check_has(text, "2");
    response = weft_http_get(at("/redirect/3"), .follow_redirects = 0);
    check(response.ok);
    check_int(response.status, 302);
    check_term(weft_http_header(&response, "location"), weft_str("/redirect/2"));
    check_error(weft_http_get(at("/loop")), "too_many_redirects");
}

PROCESS_TEST(a_post_that_is_redirected_becomes_a_get)
{
    char path[200];
    weft_http_response response;

    serve();
    snprintf(path, sizeof path, "/go/http://127.0.0.1:%u/echo", server.port);
    response = weft_http_request(.method = "POST", .url = at(path), .body = weft_str("secret"));
    check(response.ok);
    check_term(weft_http_header(&response, "x-method"), weft_str("GET"));
    check_uint(weft_bin_size(response.body), 0);
}

PROCESS_TEST(who_the_caller_is_is_not_told_to_another_host)
{
    struct demo_server_counts other_counts = {.accepted = 0};
    struct demo_server other;
    weft_term headers = weft_list(weft_tuple(weft_str("Authorization"), weft_str("Bearer secret")),
                                  weft_tuple(weft_str("X-Else"), weft_str("fine")));
    weft_http_response response;
    char path[200];

    serve();
    check_int(demo_server_start(&other, &other_counts, NULL), 0);
    response = weft_http_get(at("/go//seen"), .headers = headers);
    check_has(weft_text(response.body), "Bearer secret");
    snprintf(path, sizeof path, "/go/http://127.0.0.1:%u/seen", other.port);
    response = weft_http_get(at(path), .headers = headers);
    check(response.ok);
    check(strstr(weft_text(response.body), "secret") == NULL);
    check_has(weft_text(response.body), "X-Else: fine");
    weft_unlink(other.pid);
    weft_kill(other.pid);
    await_end(other.pid);
}

PROCESS_TEST(a_redirect_to_no_http_url_is_a_bad_url)
{
    serve();
    check_error(weft_http_get(at("/go/ftp://127.0.0.1/x")), "bad_url");
    check_error(weft_http_get(at("/go/file:///etc/passwd")), "bad_url");
}

/* -- what goes wrong ------------------------------------------------------------------ */

PROCESS_TEST(a_url_that_does_not_parse_is_told_in_words)
{
    check_has(check_error(weft_http_get(weft_str("no url")), "bad_url"), "http://");
    check_error(weft_http_get(weft_str("")), "bad_url");
    check_error(weft_http_get(weft_bin("http://127.0.0.1/\0x", 19)), "bad_url");
    check_error(weft_http_get(weft_str("http://127.0.0.1:70000/")), "bad_url");
}

PROCESS_TEST(a_closed_port_is_told_in_words)
{
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u/", dead_port());
    check_has(check_error(weft_http_get(weft_str(url)), "connect"), "127.0.0.1");
}

/* A part of a name has 63 bytes at most, so nobody is asked for this one. */
#define NO_NAME "http://aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd.invalid/"

PROCESS_TEST(a_name_that_does_not_resolve_is_told_in_words)
{
    check_has(check_error(weft_http_get(weft_str(NO_NAME)), "resolve"), ".invalid: no such host");
    check_error(weft_http_get(weft_str(NO_NAME)), "resolve");
}

PROCESS_TEST(a_body_over_the_limit_is_not_read)
{
    serve();
    check_has(check_error(weft_http_get(at("/bytes/100000000"), .max_body = 1000), "too_large"), "1000");
    check_error(weft_http_get(at("/chunked/100000"), .max_body = 99999), "too_large");
    check(weft_http_get(at("/chunked/100000"), .max_body = 100000).ok);
    check(weft_http_get(at("/bytes/0"), .max_body = 0).ok);
}

PROCESS_TEST(a_server_that_never_answers_times_out)
{
    int64_t start = now_ms();

    serve();
    check_has(check_error(weft_http_get(at("/never"), .timeout_ms = 100), "timeout"), "100 ms");
    check_ge(now_ms() - start, 100);
    check_lt(now_ms() - start, BOUND_MS / 2);
    check_error(weft_http_get(at("/bytes/1"), .timeout_ms = 0), "timeout");
    /* Its connection is closed. */
    check(waited(&counts.open, 0));
    check(weft_http_get(at("/bytes/1")).ok);
    /* One time for all redirects together. */
    check_error(weft_http_get(at("/go//slow/5000"), .timeout_ms = 100), "timeout");
}

PROCESS_TEST(a_connection_that_ends_early_is_told_in_words)
{
    serve();
    check_int(weft_http_get(at("/drop")).status, 200);
    check_error(weft_http_get(at("/drop")), "closed");
}

PROCESS_TEST(what_is_not_http_is_told_in_words)
{
    serve();
    check_error(weft_http_get(at("/garbage")), "protocol");
}

PROCESS_TEST(a_server_without_tls_is_no_secure_connection)
{
    char url[64];

    serve();
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", server.port);
    check_error(weft_http_get(weft_str(url)), "tls");
}

PROCESS_TEST(a_connection_that_is_not_accepted_times_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fillers[8];
    char url[64];

    check_int(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    check_int(listen(listener, 0), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    for (size_t i = 0; i < COUNT(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    check_error(weft_http_get(weft_str(url), .connect_timeout_ms = 100, .timeout_ms = 60000), "timeout");
}

PROCESS_TEST(a_header_with_a_line_break_is_not_sent)
{
    weft_term split = weft_list(weft_tuple(weft_str("X"), weft_str("a\r\nHost: b")));

    serve();
    check_error(weft_http_get(at("/seen"), .headers = split), "bad_header");
    check_error(weft_http_get(at("/seen"), .headers = weft_list(weft_tuple(weft_str("a: b"), weft_str("c")))), "bad_header");
    check_error(weft_http_get(at("/seen"), .headers = weft_list(weft_tuple(weft_str(""), weft_str("c")))), "bad_header");
    check_uint(atomic_load(&counts.requests), 0);
}

PROCESS_TEST(a_proxy_is_asked_for_the_whole_url)
{
    char proxy[64];
    weft_http_response response;

    serve();
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", server.port);
    /* The name is the proxy's to resolve. */
    response = weft_http_get(weft_str(NO_NAME "x"), .proxy = proxy);
    check(response.ok);
    check_int(response.status, 404);
    check_error(weft_http_get(at("/x"), .proxy = "nonsense"), "bad_proxy");
    check_error(weft_http_get(at("/x"), .proxy = "http://127.0.0.1"), "bad_proxy");
}

/* -- mistakes ----------------------------------------------------------------------------- */

static weft_term get_with_negative_timeout(weft_term arg)
{
    return weft_http_get(arg, .timeout_ms = -5).body;
}

static weft_term get_an_integer(weft_term arg)
{
    (void)arg;
    return weft_http_get(weft_int(3)).body;
}

static weft_term request_with_odd_method(weft_term arg)
{
    return weft_http_request(.url = arg, .method = "GET / HTTP/1.1").body;
}

static weft_term get_with_odd_headers(weft_term arg)
{
    return weft_http_get(arg, .headers = weft_list(weft_int(1))).body;
}

PROCESS_TEST(without_a_free_descriptor_the_error_says_so)
{
    struct rlimit limit;
    int lowest;

    serve();
    check(weft_http_get(at("/bytes/1")).ok);
    lowest = dup(0);
    close(lowest);
    check_int(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)lowest;
    check_int(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_has(check_error(weft_http_get(weft_str("http://127.0.0.2:1/")), "connect"), "too many open files");
}

PROCESS_TEST(a_mistake_ends_the_caller_with_a_reason_that_names_it)
{
    static const struct {
        weft_fn *fn;
        const char *words;
    } mistakes[] = {
        {get_with_negative_timeout, "weft_http_get: .timeout_ms is negative (-5)"},
        {get_an_integer, "weft_http_get: .url is no binary: 3"},
        {request_with_odd_method, "weft_http_request: .method"},
        {get_with_odd_headers, "weft_http_get: .headers: 1"},
    };

    for (size_t i = 0; i < COUNT(mistakes); i++) {
        const char *text = "";
        weft_ref down;

        weft_spawn(mistakes[i].fn, weft_str("http://127.0.0.1/"), .monitor = &down);
        weft_match(await_down(down), weft_tuple(A(badarg), weft_bind_text(&text)));
        check_has(text, mistakes[i].words);
    }
}

TEST(without_a_runtime_it_says_so)
{
    weft_http_response response = weft_http_get(weft_str("http://127.0.0.1/"));

    check(!response.ok);
    check_has(weft_inspect(response.error), "runtime is not running");
}

/* -- many at once ------------------------------------------------------------------------- */

static weft_term fetch(weft_term url)
{
    weft_http_response response = weft_http_get(url, .timeout_ms = BOUND_MS);

    weft_exit(response.ok ? weft_int(response.status) : response.error);
}

PROCESS_TEST(who_waits_holds_up_nobody_else)
{
    weft_ref downs[64];
    int64_t start;

    serve();
    check(weft_http_get(at("/bytes/1")).ok);
    start = now_ms();
    for (size_t i = 0; i < COUNT(downs); i++)
        weft_spawn(fetch, at("/slow/200"), .monitor = &downs[i]);
    for (size_t i = 0; i < COUNT(downs); i++)
        check_term(await_down(downs[i]), weft_int(200));
    check_lt(now_ms() - start, 64 * 200 / 2);
}

PROCESS_TEST(two_thousand_at_once_all_get_their_page)
{
    int n = scaled(2000);
    weft_ref *downs = weft_alloc((size_t)n * sizeof *downs);

    serve();
    for (int i = 0; i < n; i++)
        weft_spawn(fetch, at("/bytes/100"), .monitor = &downs[i]);
    for (int i = 0; i < n; i++)
        check_term(await_down(downs[i]), weft_int(200));
    check_uint(atomic_load(&counts.requests), (uint64_t)n);
}

PROCESS_TEST(sixty_requests_by_one_name_all_resolve)
{
    weft_ref downs[60];
    char url[64];

    serve();
    snprintf(url, sizeof url, "http://localhost:%u/bytes/10", server.port);
    for (size_t i = 0; i < COUNT(downs); i++)
        weft_spawn(fetch, weft_str(url), .monitor = &downs[i]);
    for (size_t i = 0; i < COUNT(downs); i++)
        check_term(await_down(downs[i]), weft_int(200));
    check_uint(atomic_load(&counts.requests), 60);
}

/* -- ends ------------------------------------------------------------------------------------ */

PROCESS_TEST(a_killed_process_takes_its_request_with_it)
{
    weft_pid pids[20];

    serve();
    for (size_t i = 0; i < COUNT(pids); i++)
        pids[i] = weft_spawn(fetch, at("/never"));
    check(waited(&counts.requests, COUNT(pids)));
    for (size_t i = 0; i < COUNT(pids); i++)
        weft_kill(pids[i]);
    check(waited(&counts.open, 0));
    check(weft_http_get(at("/bytes/1")).ok);
}

PROCESS_TEST(killed_at_any_moment_nothing_is_left)
{
    int rounds = scaled(400);

    serve();
    for (int i = 0; i < rounds; i++) {
        weft_pid pids[8];
        WEFT_SCOPE;

        for (size_t k = 0; k < COUNT(pids); k++)
            pids[k] = weft_spawn(fetch, at(k % 2 ? "/bytes/100" : "/never"));
        for (int k = 0; k < i % 40; k++)
            weft_yield();
        for (size_t k = 0; k < COUNT(pids); k++)
            weft_kill(pids[k]);
    }
    check(weft_http_get(at("/bytes/1")).ok);
    /* Those idle in the pool stay; none of those that wait for an answer. */
    weft_kill(weft_whereis(A(weft_http)));
    check(waited(&counts.open, 0));
}

PROCESS_TEST(a_driver_that_is_killed_is_told_and_the_next_request_starts_another)
{
    weft_ref down;
    weft_pid driver;

    serve();
    weft_spawn(fetch, at("/never"), .monitor = &down);
    check(waited(&counts.requests, 1));
    driver = weft_whereis(A(weft_http));
    check(weft_is_pid(driver));
    weft_kill(driver);
    check_has(weft_inspect(await_down(down)), ":stopped");
    check(waited(&counts.open, 0));
    check(weft_http_get(at("/bytes/1")).ok);
    check(!weft_eq(weft_whereis(A(weft_http)), driver));
}

PROCESS_TEST(a_driver_that_is_killed_over_and_over_does_not_stop_requests)
{
    weft_ref downs[100], ends = weft_none;

    serve();
    for (size_t i = 0; i < COUNT(downs); i++) {
        weft_pid driver = weft_whereis(A(weft_http));

        weft_spawn(fetch, at("/bytes/100"), .monitor = &downs[i]);
        if (i % 3 == 0 && weft_is_pid(driver)) {
            ends = weft_monitor(driver);
            weft_kill(driver);
        }
        weft_yield();
    }
    for (size_t i = 0; i < COUNT(downs); i++) {
        weft_term reason = await_down(downs[i]);

        if (!weft_eq(reason, weft_int(200)))
            check_has(weft_inspect(reason), ":stopped");
    }
    /* The last one is killed where it next may be; then nobody is any more. */
    if (check(!weft_is_none(ends)))
        await_down(ends);
    check(weft_http_get(at("/bytes/1")).ok);
}

PROCESS_TEST(a_message_of_a_stranger_does_not_disturb_the_driver)
{
    serve();
    check(weft_http_get(at("/bytes/1")).ok);
    weft_send(A(weft_http), A(hello));
    weft_send(A(weft_http), weft_tuple(A(request), weft_int(1), A(nil)));
    weft_send(A(weft_http), weft_tuple(A(cancel), weft_str("x")));
    check(weft_http_get(at("/bytes/1")).ok);
}

/* -- other threads, other runtimes -------------------------------------------------------------- */

static void *fetch_from_thread(void *arg)
{
    weft_http_response response = weft_http_get(weft_str(arg));

    check(response.ok);
    check_uint(response.ok ? weft_bin_size(response.body) : 0, 500);
    return NULL;
}

static void *join_thread(void *arg)
{
    pthread_join(*(pthread_t *)arg, NULL);
    return NULL;
}

PROCESS_TEST(a_thread_of_the_program_s_own_can_fetch)
{
    pthread_t thread;

    serve();
    check_int(pthread_create(&thread, NULL, fetch_from_thread, (void *)(uintptr_t)weft_text(at("/bytes/500"))), 0);
    weft_blocking(join_thread, &thread);
}

/* Descriptors from 3 on that a program started now would inherit. */
static int n_inherited(void)
{
    int n = 0;

    for (int fd = 3; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        n += flags >= 0 && (flags & FD_CLOEXEC) == 0;
    }
    return n;
}

PROCESS_TEST(no_descriptor_of_the_client_is_inherited_by_a_program_that_is_started)
{
    int before = n_inherited();

    serve();
    check(weft_http_get(at("/bytes/10")).ok);
    check_int(n_inherited(), before);
}

static weft_term fetch_some(weft_term arg)
{
    serve();
    for (int i = 0; i < 5; i++)
        check(weft_http_get(at("/bytes/10")).ok);
    return arg;
}

TEST(runtimes_that_start_and_stop_leave_no_descriptor_behind)
{
    int before = 0;

    for (int i = 0; i < 20; i++) {
        weft_term result;

        if (!check_int(weft_runtime_start(.workers = 2), 0))
            break;
        check_int(weft_runtime_run(fetch_some, weft_none, &result), 0);
        check_int(weft_runtime_stop(), 0);
        if (i == 0)
            before = count_files();
    }
    check_le(count_files(), before);
}

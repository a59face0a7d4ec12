#include "http/driver.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/easy.h"
#include "http/sockets.h"
#include "weft/error.h"
#include "weft/io.h"
#include "weft/log.h"
#include "weft/mutex.h"
#include "weft/timer.h"

#define NAME WEFT_ATOM("weft_http")
#define STACK_SIZE (256u << 10)   /* curl with OpenSSL takes some 14 KiB; engines and certificates of others may take more */
#define IDLE_MS (120 * 1000)      /* without a request: it ends, and idle connections with it */
#define MAX_CONNECTIONS 8192
#define MAX_IDLE_CONNECTIONS 1024
#define MAX_EVENTS 128
#define MAX_BEGUN 3               /* times that a transfer is begun, when names were lost meanwhile */

struct driver {
    CURLM *multi;
    struct weft__http_sockets sockets;
    struct weft__http_easy_pool pool;
    struct weft__http_transfer *working; /* newest first */
    size_t n_working;
    int64_t due_ms;      /* when curl wants to be called; NEVER, or 0: now */
    weft_ref tag;        /* of the message that tells of sockets */
    bool is_told;        /* that message is promised */
};
#define NEVER INT64_MAX

/* -- terms ------------------------------------------------------------------------ */

static void transfer_release(void *object)
{
    weft__http_transfer_drop(object);
}

static const weft_native_type transfer_type = {"weft_http_transfer", transfer_release};

weft_term weft__http_transfer_term(struct weft__http_transfer *transfer)
{
    return weft_native(&transfer_type, transfer);
}

/* -- what curl calls: never switches ------------------------------------------------- */

static int want_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    struct driver *driver = arg;
    unsigned events = (what & CURL_POLL_IN ? (unsigned)WEFT__HTTP_READ : 0u) |
                      (what & CURL_POLL_OUT ? (unsigned)WEFT__HTTP_WRITE : 0u);

    (void)curl;
    (void)of_socket;
    if (what == CURL_POLL_REMOVE)
        events = 0;
    /* A socket that cannot be waited for would hang its request: curl fails
     * the transfer on -1. Taking one back cannot fail for want of memory. */
    return weft__http_sockets_want(&driver->sockets, fd, events) == 0 || events == 0 ? 0 : -1;
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct driver *driver = arg;

    (void)multi;
    driver->due_ms = timeout_ms < 0    ? NEVER
                     : timeout_ms == 0 ? 0
                                       : weft_monotonic_ms() + timeout_ms;
    return 0;
}

/* -- a transfer's life ----------------------------------------------------------------- */

static void link_transfer(struct driver *driver, struct weft__http_transfer *transfer)
{
    transfer->prev = NULL;
    transfer->next = driver->working;
    if (transfer->next != NULL)
        transfer->next->prev = transfer;
    driver->working = transfer;
    driver->n_working++;
}

static void unlink_transfer(struct driver *driver, struct weft__http_transfer *transfer)
{
    if (transfer->prev != NULL)
        transfer->prev->next = transfer->next;
    else
        driver->working = transfer->next;
    if (transfer->next != NULL)
        transfer->next->prev = transfer->prev;
    driver->n_working--;
}

/* It is not at work any more; the driver's count goes, and maybe its memory. */
static void let_go(struct driver *driver, struct weft__http_transfer *transfer)
{
    if (transfer->easy != NULL) {
        weft__http_easy_give(&driver->pool, transfer->easy);
        transfer->easy = NULL;
    }
    unlink_transfer(driver, transfer);
    weft_drop(transfer->body);
    transfer->body = weft_none;
    weft__http_transfer_drop(transfer);
}

static void answer(struct driver *driver, struct weft__http_transfer *transfer)
{
    weft_ref to = transfer->asked.answer_to;

    let_go(driver, transfer);
    weft_send(to, weft_tuple(WEFT_ATOM("done"), to, weft_int(0), weft_int(0), weft_int(0)));
}

static void begin(struct driver *driver, struct weft__http_transfer *transfer)
{
    bool has_body = !weft_is_none(transfer->body);
    CURLMcode code = CURLM_OUT_OF_MEMORY;

    transfer->n_begun++;
    transfer->easy = weft__http_easy_take(&driver->pool, transfer,
                                          has_body ? weft_bin_data(transfer->body) : NULL,
                                          has_body ? weft_bin_size(transfer->body) : 0);
    if (transfer->easy != NULL)
        code = curl_multi_add_handle(driver->multi, transfer->easy->curl);
    if (code == CURLM_OK)
        return;
    if (transfer->came.code == CURLE_OK)
        transfer->came.code = code == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_FAILED_INIT;
    answer(driver, transfer);
}

static void take_request(struct driver *driver, struct weft__http_transfer *transfer, weft_term body)
{
    /* Relaxed: a guess that saves work; the cancel message follows. */
    if (atomic_load_explicit(&transfer->is_cancelled, memory_order_relaxed))
        return;
    /* Relaxed: read by the asker when this process has ended, which the DOWN
     * orders. */
    atomic_store_explicit(&transfer->has_begun, true, memory_order_relaxed);
    weft__http_transfer_hold(transfer);
    transfer->body = weft_is_bin(body) ? weft_keep(body) : weft_none;
    link_transfer(driver, transfer);
    begin(driver, transfer);
}

/* A handle that is taken out in the middle has its connection closed, but for
 * HTTP/2, where the stream is. */
static void take_out(struct driver *driver, struct weft__http_transfer *transfer)
{
    curl_multi_remove_handle(driver->multi, transfer->easy->curl);
}

static void take_cancel(struct driver *driver, struct weft__http_transfer *transfer)
{
    if (transfer->easy == NULL)
        return; /* answered meanwhile */
    take_out(driver, transfer);
    let_go(driver, transfer);
}

static void finish(struct driver *driver, CURL *curl, CURLcode code)
{
    struct weft__http_easy *easy;
    struct weft__http_transfer *transfer;

    curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)(void *)&easy);
    transfer = easy->transfer;
    weft__http_easy_note(easy, code);
    take_out(driver, transfer);
    /* It waited so long for a connection that curl has forgotten the names it
     * was told: tell it again. */
    if (easy->was_unresolved && code != CURLE_OK && transfer->n_begun < MAX_BEGUN) {
        free(transfer->came.error);
        transfer->came.error = NULL;
        transfer->came.code = CURLE_OK;
        weft__http_easy_give(&driver->pool, easy);
        transfer->easy = NULL;
        begin(driver, transfer);
        return;
    }
    answer(driver, transfer);
}

/* -- a turn -------------------------------------------------------------------------------- */

static void take_message(struct driver *driver, weft_term message)
{
    weft_term what, transfer, body;

    if (weft_match(message, weft_tuple(WEFT_ATOM("request"), weft_bind(&transfer), weft_bind(&body)))) {
        if (weft_is_native(transfer, &transfer_type))
            take_request(driver, weft_native_object(transfer, &transfer_type), body);
    } else if (weft_match(message, weft_tuple(WEFT_ATOM("cancel"), weft_bind(&transfer)))) {
        if (weft_is_native(transfer, &transfer_type))
            take_cancel(driver, weft_native_object(transfer, &transfer_type));
    } else if (weft_match(message, weft_tuple(weft_bind(&what), driver->tag, weft_any, weft_any)))
        driver->is_told = false;
    /* Anything else was not meant for this process. */
}

static bool take_messages(struct driver *driver)
{
    bool any = false;

    for (;;) {
        WEFT_SCOPE;
        weft_term message;

        if (!weft_receive(weft_any, 0, &message))
            return any;
        take_message(driver, message);
        any = true;
    }
}

static int curl_events(uint32_t events)
{
    /* What hung up has its end to be read. */
    return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
           (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

static bool run_curl(struct driver *driver)
{
    struct epoll_event events[MAX_EVENTS];
    int n_seen, running, n = weft__http_sockets_ready(&driver->sockets, events, MAX_EVENTS, &n_seen);
    bool is_due = driver->due_ms != NEVER && (driver->due_ms == 0 || weft_monotonic_ms() >= driver->due_ms);

    if (is_due) {
        driver->due_ms = NEVER;
        curl_multi_socket_action(driver->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    for (int i = 0; i < n; i++)
        curl_multi_socket_action(driver->multi, events[i].data.fd, curl_events(events[i].events), &running);
    return is_due || n_seen > 0;
}

static void answer_finished(struct driver *driver)
{
    CURLMsg *message;
    int n_left;

    while ((message = curl_multi_info_read(driver->multi, &n_left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            WEFT_SCOPE;

            finish(driver, message->easy_handle, message->data.result);
        }
    }
}

/* false: there was nothing to do. */
static bool turn(struct driver *driver)
{
    bool any = take_messages(driver);

    any = run_curl(driver) || any;
    if (any)
        answer_finished(driver);
    return any;
}

/* Sleep until a message or a socket comes, or curl's time. false: nothing was
 * asked for so long that the driver may end. */
static bool rest(struct driver *driver)
{
    bool is_idle = driver->n_working == 0;
    int64_t timeout = is_idle ? IDLE_MS : WEFT_INFINITY;
    weft_term message;
    WEFT_SCOPE;

    if (!driver->is_told) {
        int code = weft_io_notify(driver->sockets.epoll, WEFT_READ, driver->tag);

        if (code != 0)
            weft_exit(weft_tuple(WEFT_ATOM("stopped"), weft_str(weft_error_text(code))));
        driver->is_told = true;
    }
    if (driver->due_ms != NEVER) {
        int64_t left = driver->due_ms - weft_monotonic_ms();

        if (left < timeout)
            timeout = left > 0 ? left : 0;
    }
    if (weft_receive(weft_any, timeout, &message)) {
        WEFT_FOREIGN_LOCK;

        take_message(driver, message);
        return true;
    }
    return !is_idle || driver->due_ms != NEVER;
}

/* -- its life ---------------------------------------------------------------------------------- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started;

static void start_curl(void)
{
    curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Half of the descriptors: the program has others. */
static long max_connections(void)
{
    struct rlimit limit;
    long max = MAX_CONNECTIONS;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 2 < (rlim_t)max)
        max = (long)(limit.rlim_cur / 2);
    return max > 8 ? max : 8;
}

static void close_on_exec(int fd)
{
    int domain = 0, flags = fcntl(fd, F_GETFD);
    socklen_t size = sizeof domain;

    if (flags >= 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX)
        fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* curl's handle holds a pair of sockets, to be woken by, which every program
 * started from here would inherit. It tells nobody their numbers; but they are
 * the lowest two that were free. Another thread may take one at that moment:
 * so what is there is looked at, and then at worst the pair stays as it was. */
static CURLM *multi_init(int any_fd)
{
    int lowest = fcntl(any_fd, F_DUPFD_CLOEXEC, 0), next = fcntl(any_fd, F_DUPFD_CLOEXEC, 0);
    CURLM *multi;

    if (lowest >= 0)
        close(lowest);
    if (next >= 0)
        close(next);
    multi = curl_multi_init();
    if (multi != NULL) {
        close_on_exec(lowest);
        close_on_exec(next);
    }
    return multi;
}

static CURLM *multi_new(struct driver *driver)
{
    CURLM *multi = multi_init(driver->sockets.epoll);
    long max = max_connections();

    if (multi == NULL)
        return NULL;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, driver);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, driver);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, max < MAX_IDLE_CONNECTIONS ? max : (long)MAX_IDLE_CONNECTIONS);
    return multi;
}

/* However the driver ends. Those who wait hear it by their monitors. */
static void driver_free(void *arg)
{
    struct driver *driver = arg;

    while (driver->working != NULL) {
        struct weft__http_transfer *transfer = driver->working;

        if (transfer->easy != NULL)
            curl_multi_remove_handle(driver->multi, transfer->easy->curl);
        let_go(driver, transfer);
    }
    if (driver->multi != NULL)
        curl_multi_cleanup(driver->multi);
    weft__http_easy_pool_destroy(&driver->pool);
    weft__http_sockets_destroy(&driver->sockets);
    free(driver);
}

static struct driver *driver_new(void)
{
    struct driver *driver = calloc(1, sizeof *driver);

    pthread_once(&curl_once, start_curl);
    if (driver == NULL || curl_started != CURLE_OK) {
        free(driver);
        return NULL;
    }
    driver->due_ms = NEVER;
    driver->pool.sockets = &driver->sockets;
    if (weft__http_sockets_init(&driver->sockets) == 0)
        driver->multi = multi_new(driver);
    if (driver->multi != NULL)
        return driver;
    weft__http_sockets_destroy(&driver->sockets);
    free(driver);
    return NULL;
}

static struct driver *begin_to_drive(void)
{
    struct driver *driver;
    WEFT_FOREIGN_LOCK;

    driver = driver_new();
    if (driver == NULL)
        return NULL;
    weft_defer(driver_free, driver);
    driver->tag = weft_make_ref();
    return driver;
}

static bool take_turn(struct driver *driver)
{
    WEFT_FOREIGN_LOCK;

    return turn(driver);
}

/* curl's handles, and the lists here, are whole only between two turns. So a
 * kill waits for the end of one, and a fault in one ends the program. */
static weft_term drive(weft_term arg)
{
    struct driver *driver;

    (void)arg;
    /* Another one was faster: who sent to this one asks again. */
    if (weft_try_register(NAME, weft_self()) != 0)
        return weft_none;
    driver = begin_to_drive();
    if (driver == NULL)
        weft_exit(weft_tuple(WEFT_ATOM("stopped"), weft_str("no memory or descriptor for libcurl's handle")));
    do {
        while (take_turn(driver))
            weft_yield();
    } while (rest(driver));
    return weft_none;
}

weft_pid weft__http_driver(void)
{
    weft_pid pid = weft_whereis(NAME);

    if (!weft_is_none(pid))
        return pid;
    return weft_spawn(drive, weft_none, .stack_size = STACK_SIZE, .label = "weft_http");
}

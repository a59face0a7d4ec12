#include "demo_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 16384       /* bytes of a request's headers */
#define BODY_MAX (16 << 20)
#define CHUNK 65536
#define PAUSE_MS 20          /* after a connection that could not be accepted */

/* What every process here knows; each has a copy. The keeper's own would be gone
 * a moment before those hear that the keeper is. */
struct server {
    struct demo_server_options options;
    struct demo_server_counts *counts;
    weft_pid keeper;
};

struct connection {
    const struct server *server;
    int fd;
    char *head;          /* HEAD_MAX bytes: what was read and not yet used */
    size_t n_read;
    bool keep_alive;
};

struct request {
    char method[16];
    char path[2048];
    const char *headers; /* lines, in connection.head */
    size_t headers_size;
    size_t size;         /* of the head in all, its empty line included */
    size_t body_size;
    bool is_head;
};

static char filler[CHUNK];

/* -- reading ------------------------------------------------------------------ */

/* Where the head ends (behind the empty line), or 0. */
static size_t end_of_head(const struct connection *connection)
{
    const char *end = memmem(connection->head, connection->n_read, "\r\n\r\n", 4);

    return end != NULL ? (size_t)(end - connection->head) + 4 : 0;
}

/* Read until a whole head is there: its size, or 0 at the end, however it came. */
static size_t read_head(struct connection *connection)
{
    size_t size;

    while ((size = end_of_head(connection)) == 0) {
        int64_t n;

        if (connection->n_read == HEAD_MAX)
            return 0;
        n = weft_read(connection->fd, connection->head + connection->n_read, HEAD_MAX - connection->n_read,
                      connection->server->options.idle_ms);
        /* A client that speaks TLS waits for an answer, and so would we. */
        if (n <= 0 || (unsigned char)connection->head[0] < ' ')
            return 0;
        connection->n_read += (size_t)n;
    }
    return size;
}

/* The value of a header as text that ends with its line, or NULL. */
static const char *header(const struct request *request, const char *name)
{
    const char *at = request->headers, *end = at + request->headers_size;
    size_t size = strlen(name);

    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));

        if ((size_t)(end - at) > size && strncasecmp(at, name, size) == 0 && at[size] == ':')
            return at + size + 1 + strspn(at + size + 1, " ");
        at = line_end != NULL ? line_end + 1 : end;
    }
    return NULL;
}

static bool parse(struct connection *connection, size_t size, struct request *request)
{
    char version;
    int used = 0;
    const char *value;

    connection->head[size - 1] = '\0'; /* the empty line's own */
    if (sscanf(connection->head, "%15[A-Z] %2047[^ \r\n] HTTP/1.%c%n", request->method, request->path, &version, &used) < 3)
        return false;
    request->headers = connection->head + used + 2;
    request->headers_size = size - (size_t)used - 4;
    request->size = size;
    request->is_head = strcmp(request->method, "HEAD") == 0;
    value = header(request, "content-length");
    request->body_size = value != NULL ? strtoul(value, NULL, 10) : 0;
    value = header(request, "connection");
    connection->keep_alive = version != '0' && (value == NULL || strncasecmp(value, "close", 5) != 0);
    return request->body_size <= BODY_MAX;
}

/* -- writing ---------------------------------------------------------------------- */

/* false: the connection is of no more use. */
static bool put(struct connection *connection, const void *data, size_t size)
{
    int64_t n = weft_write_all(connection->fd, data, size, connection->server->options.write_ms);

    if (n == WEFT_ETIMEDOUT)
        atomic_fetch_add_explicit(&connection->server->counts->write_timeouts, 1, memory_order_relaxed);
    return n >= 0;
}

static const char *phrase(int status)
{
    switch (status) {
    case 200: return "OK";
    case 302: return "Found";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 500: return "Internal Server Error";
    default: return "Whatever";
    }
}

/* A head with these further lines, and a body that may be NULL: then it is put later. */
static bool answer(struct connection *connection, const struct request *request, int status, const char *lines,
                   const void *body, size_t size)
{
    char head[4096];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nServer: weft-demo\r\nContent-Length: %zu\r\n%s%s\r\n", status,
                     phrase(status), size, connection->keep_alive ? "" : "Connection: close\r\n", lines);
    struct iovec parts[] = {{head, (size_t)n}, {(void *)(uintptr_t)body, body != NULL && !request->is_head ? size : 0}};
    int64_t code;

    if (n < 0 || (size_t)n >= sizeof head)
        return false;
    code = weft_write_all_parts(connection->fd, parts, 2, connection->server->options.write_ms);
    if (code == WEFT_ETIMEDOUT)
        atomic_fetch_add_explicit(&connection->server->counts->write_timeouts, 1, memory_order_relaxed);
    return code >= 0;
}

static bool answer_text(struct connection *connection, const struct request *request, int status, const char *text)
{
    return answer(connection, request, status, "", text, strlen(text));
}

static bool answer_bytes(struct connection *connection, const struct request *request, size_t size)
{
    if (size <= CHUNK)
        return answer(connection, request, 200, "", filler, size);
    if (!answer(connection, request, 200, "", NULL, size))
        return false;
    for (; size > 0 && !request->is_head; size -= size < CHUNK ? size : CHUNK)
        if (!put(connection, filler, size < CHUNK ? size : CHUNK))
            return false;
    return true;
}

static bool answer_chunked(struct connection *connection, size_t size)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    char line[32];

    if (!put(connection, head, sizeof head - 1))
        return false;
    while (size > 0) {
        size_t part = size < 1000 ? size : 1000;

        snprintf(line, sizeof line, "%zx\r\n", part);
        if (!put(connection, line, strlen(line)) || !put(connection, filler, part) || !put(connection, "\r\n", 2))
            return false;
        size -= part;
    }
    return put(connection, "0\r\n\r\n", 5);
}

static bool answer_redirect(struct connection *connection, const struct request *request, const char *to)
{
    char line[3000];

    snprintf(line, sizeof line, "Location: %s\r\n", to);
    return answer(connection, request, 302, line, "moved\n", 6);
}

/* The request's body again. Needs it whole: read what the head left over first. */
static bool answer_echo(struct connection *connection, struct request *request)
{
    size_t had = connection->n_read - request->size;
    char line[64], *body = weft_alloc(request->body_size + 1);
    bool is_fine = true;

    if (had > request->body_size)
        had = request->body_size;
    memcpy(body, connection->head + request->size, had);
    if (had < request->body_size)
        is_fine = weft_read_full(connection->fd, body + had, request->body_size - had,
                                 connection->server->options.idle_ms) == (int64_t)(request->body_size - had);
    snprintf(line, sizeof line, "X-Method: %s\r\n", request->method);
    is_fine = is_fine && answer(connection, request, 200, line, body, request->body_size);
    weft_free(body);
    request->size += had;
    request->body_size = 0;
    return is_fine;
}

/* Wait until the client has enough of it. */
static bool never(struct connection *connection)
{
    char byte;

    weft_read(connection->fd, &byte, 1, connection->server->options.idle_ms);
    return false;
}

static bool number_after(const char *path, const char *prefix, size_t *number)
{
    size_t size = strlen(prefix);
    char *end;

    if (strncmp(path, prefix, size) != 0)
        return false;
    *number = strtoul(path + size, &end, 10);
    return end != path + size && *end == '\0';
}

/* false: close the connection. */
static bool serve(struct connection *connection, struct request *request)
{
    const char *path = request->path;
    char to[64];
    size_t n;

    if (number_after(path, "/bytes/", &n))
        return answer_bytes(connection, request, n);
    if (number_after(path, "/chunked/", &n))
        return answer_chunked(connection, n);
    if (number_after(path, "/slow/", &n)) {
        weft_sleep((int64_t)n);
        return answer_text(connection, request, 200, "slow\n");
    }
    if (number_after(path, "/redirect/", &n)) {
        snprintf(to, sizeof to, n > 1 ? "/redirect/%zu" : "/bytes/64", n - 1);
        return answer_redirect(connection, request, to);
    }
    if (strcmp(path, "/loop") == 0)
        return answer_redirect(connection, request, "/loop");
    if (strncmp(path, "/go/", 4) == 0)
        return answer_redirect(connection, request, path + 4);
    if (number_after(path, "/status/", &n) && n >= 200 && n <= 599)
        return answer_text(connection, request, (int)n, "as you wish\n");
    if (strcmp(path, "/drop") == 0) {
        answer(connection, request, 200, "", NULL, 1000);
        put(connection, filler, 100);
        return false;
    }
    if (strcmp(path, "/never") == 0)
        return never(connection);
    if (strcmp(path, "/garbage") == 0) {
        put(connection, "what?\r\n\r\n", 9);
        return false;
    }
    if (strcmp(path, "/echo") == 0)
        return answer_echo(connection, request);
    if (strcmp(path, "/seen") == 0)
        return answer(connection, request, 200, "", request->headers, request->headers_size);
    return answer_text(connection, request, 404, "nothing here\n");
}

/* What was read beyond this request is the next one's begin. */
static bool pass_over(struct connection *connection, const struct request *request)
{
    size_t left = request->body_size, had = connection->n_read - request->size;

    if (had > left)
        had = left;
    connection->n_read -= request->size + had;
    memmove(connection->head, connection->head + request->size + had, connection->n_read);
    /* A body that no answer wanted. */
    for (left -= had; left > 0;) {
        int64_t n = weft_read(connection->fd, connection->head, left < HEAD_MAX ? left : HEAD_MAX,
                              connection->server->options.idle_ms);

        if (n <= 0)
            return false;
        left -= (size_t)n;
    }
    return true;
}

/* -- processes ------------------------------------------------------------------------
 *
 * The keeper is linked to who started the server, to the acceptor and to every
 * connection. It traps exits: a connection that crashes is no reason to stop,
 * and when one of the other two ends, it ends, and all with it.
 */

static void count_closed(void *arg)
{
    struct demo_server_counts *counts = arg;

    atomic_fetch_sub_explicit(&counts->open, 1, memory_order_relaxed);
}

/* {its copy of what the server knows, a descriptor}. */
static weft_term argument_of(const struct server *server, int fd)
{
    return weft_tuple(weft_bin(server, sizeof *server), weft_int(fd));
}

static struct server server_of(weft_term arg)
{
    struct server server;

    memcpy(&server, weft_bin_data(weft_tuple_at(arg, 0)), sizeof server);
    return server;
}

static weft_term serve_connection(weft_term arg)
{
    struct server server = server_of(arg);
    struct connection connection = {.server = &server,
                                    .fd = (int)weft_to_int(weft_tuple_at(arg, 1)),
                                    .keep_alive = true};
    struct demo_server_counts *counts = server.counts;
    size_t size;

    weft_defer(count_closed, counts);
    weft_link(server.keeper);
    connection.head = weft_alloc(HEAD_MAX);
    while (connection.keep_alive && (size = read_head(&connection)) > 0) {
        struct request request;

        if (!parse(&connection, size, &request)) {
            connection.keep_alive = false;
            answer_text(&connection, &(struct request){.is_head = false}, 400, "not understood\n");
            break;
        }
        atomic_fetch_add_explicit(&counts->requests, 1, memory_order_relaxed);
        if (!serve(&connection, &request) || !pass_over(&connection, &request))
            break;
    }
    weft_close(connection.fd);
    return weft_none;
}

static weft_term accept_all(weft_term arg)
{
    struct server server = server_of(arg);
    int listener = (int)weft_to_int(weft_tuple_at(arg, 1));

    for (;;) {
        int fd = weft_accept(listener, WEFT_INFINITY);
        WEFT_SCOPE;

        if (fd == WEFT_EMFILE || fd == WEFT_ENFILE || fd == WEFT_ENOBUFS || fd == WEFT_ENOMEM) {
            /* It stays in the listener's queue; a descriptor will be free soon. */
            atomic_fetch_add_explicit(&server.counts->refused, 1, memory_order_relaxed);
            weft_sleep(PAUSE_MS);
            continue;
        }
        if (fd < 0)
            weft_exit(weft_tuple(WEFT_ATOM("accept"), weft_str(weft_error_text(fd))));
        atomic_fetch_add_explicit(&server.counts->accepted, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&server.counts->open, 1, memory_order_relaxed);
        weft_give_fd(fd, weft_spawn(serve_connection, argument_of(&server, fd)));
    }
}

static weft_term keep_server(weft_term arg)
{
    struct server server = {.keeper = weft_self(), .counts = weft_to_pointer(weft_tuple_at(arg, 1))};
    weft_pid starter = weft_tuple_at(arg, 0), acceptor, from;
    struct demo_server_options *options = weft_to_pointer(weft_tuple_at(arg, 2));
    weft_address address;
    weft_term reason;
    int listener = weft_listen("127.0.0.1", 0, .backlog = 4096);

    weft_trap_exit(true);
    server.options = options != NULL ? *options : (struct demo_server_options){.idle_ms = 30000, .write_ms = 10000};
    if (listener >= 0)
        weft_local_address(listener, &address);
    weft_send(starter, weft_tuple(WEFT_ATOM("listening"), weft_self(),
                                  weft_int(listener < 0 ? listener : weft_address_port(&address))));
    if (listener < 0)
        return weft_none;
    acceptor = weft_spawn(accept_all, argument_of(&server, listener), .link = true);
    weft_receive_each (message)
        if (weft_match(message, weft_tuple(WEFT_ATOM("EXIT"), weft_bind_pid(&from), weft_bind(&reason))) &&
            (weft_eq(from, acceptor) || weft_eq(from, starter)))
            weft_exit(reason);
    return weft_none; /* never: the loop ends with the process */
}

int demo_server_start(struct demo_server *server, struct demo_server_counts *counts,
                      const struct demo_server_options *options)
{
    int64_t port;
    WEFT_SCOPE;

    memset(filler, 'w', sizeof filler);
    server->counts = counts;
    server->pid = weft_spawn(keep_server, weft_tuple(weft_self(), weft_pointer(counts), weft_pointer(options)),
                             .link = true, .label = "demo server");
    weft_receive(weft_tuple(WEFT_ATOM("listening"), server->pid, weft_bind_int(&port)), WEFT_INFINITY, NULL);
    server->port = (uint16_t)port;
    return port < 0 ? (int)port : 0;
}

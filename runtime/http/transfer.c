#include "http/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct weft__http_transfer *weft__http_transfer_new(void)
{
    struct weft__http_transfer *transfer = malloc(sizeof *transfer);

    if (transfer == NULL)
        return NULL;
    memset(transfer, 0, offsetof(struct weft__http_transfer, head_room));
    atomic_init(&transfer->n_holders, 1);
    transfer->came.head.at = transfer->head_room;
    transfer->came.head.room = sizeof transfer->head_room;
    return transfer;
}

void weft__http_transfer_hold(struct weft__http_transfer *transfer)
{
    /* Relaxed: who holds it already hands it on by other means. */
    atomic_fetch_add_explicit(&transfer->n_holders, 1, memory_order_relaxed);
}

void weft__http_transfer_drop(struct weft__http_transfer *transfer)
{
    /* Release: what this holder did comes before; acquire: the last one frees
     * what all of them wrote. */
    if (atomic_fetch_sub_explicit(&transfer->n_holders, 1, memory_order_acq_rel) != 1)
        return;
    curl_slist_free_all(transfer->asked.headers);
    curl_slist_free_all(transfer->asked.resolved);
    free(transfer->asked.text);
    free(transfer->came.redirect);
    free(transfer->came.error);
    if (transfer->came.head.at != transfer->head_room)
        free(transfer->came.head.at);
    free(transfer->came.body.at);
    free(transfer);
}

/* Room for size more bytes; `own` is where they may not be freed from. */
static bool make_room(struct weft__http_bytes *bytes, size_t size, size_t wished, const char *own)
{
    size_t room = bytes->room * 2;
    char *at;

    if (bytes->room - bytes->size >= size)
        return true;
    if (room < wished)
        room = wished;
    if (room < bytes->size + size)
        room = bytes->size + size;
    at = realloc(bytes->at == own ? NULL : bytes->at, room);
    if (at == NULL)
        return false;
    if (bytes->at == own && bytes->size > 0)
        memcpy(at, bytes->at, bytes->size);
    bytes->at = at;
    bytes->room = room;
    return true;
}

static void append(struct weft__http_bytes *bytes, const void *data, size_t size)
{
    if (size > 0)
        memcpy(bytes->at + bytes->size, data, size);
    bytes->size += size;
}

static bool is_status_line(const char *line, size_t size)
{
    return size >= 5 && memcmp(line, "HTTP/", 5) == 0;
}

/* Does the line say how long the body is? Then one allocation will do. */
static void note_length(struct weft__http_transfer *transfer, const char *line, size_t size)
{
    static const char name[] = "content-length:";
    uint64_t length = 0;
    size_t at = sizeof name - 1;

    if (size < at || strncasecmp(line, name, at) != 0)
        return;
    while (at < size && (line[at] == ' ' || line[at] == '\t'))
        at++;
    for (; at < size && line[at] >= '0' && line[at] <= '9' && length < UINT64_MAX / 16; at++)
        length = length * 10 + (uint64_t)(line[at] - '0');
    transfer->came.expected = length;
}

bool weft__http_transfer_head(struct weft__http_transfer *transfer, const char *line, size_t size)
{
    struct weft__http_bytes *head = &transfer->came.head;

    /* An interim answer (100 Continue) went before, or a proxy's. */
    if (is_status_line(line, size)) {
        head->size = 0;
        transfer->came.expected = 0;
    }
    if (head->size + size > WEFT__HTTP_HEAD_MAX) {
        transfer->came.stop = WEFT__HTTP_HEAD_TOO_LARGE;
        return false;
    }
    if (!make_room(head, size, 0, transfer->head_room)) {
        transfer->came.stop = WEFT__HTTP_NO_MEMORY;
        return false;
    }
    append(head, line, size);
    note_length(transfer, line, size);
    return true;
}

bool weft__http_transfer_body(struct weft__http_transfer *transfer, const void *data, size_t size)
{
    struct weft__http_bytes *body = &transfer->came.body;
    uint64_t max = transfer->asked.max_body;

    /* What the server announces is refused before it is read. */
    if (size > max - body->size || transfer->came.expected > max) {
        transfer->came.stop = WEFT__HTTP_BODY_TOO_LARGE;
        return false;
    }
    if (!make_room(body, size, transfer->came.expected < SIZE_MAX ? (size_t)transfer->came.expected : 0, NULL)) {
        transfer->came.stop = WEFT__HTTP_NO_MEMORY;
        return false;
    }
    append(body, data, size);
    return true;
}

char *weft__http_transfer_take_body(struct weft__http_transfer *transfer)
{
    struct weft__http_bytes *body = &transfer->came.body;
    char *at = body->at;

    if (body->size == 0)
        return NULL;
    /* A quarter more than needed may stay: cheaper than to move it. */
    if (body->room - body->size > body->size / 4) {
        char *less = realloc(at, body->size);

        if (less != NULL)
            at = less;
    }
    body->at = NULL;
    body->room = 0;
    return at;
}

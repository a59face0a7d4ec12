#include "url_source.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 65536

/* Read what is there. By hand and not by weft_read: that would make a terminal
 * non-blocking for everybody who shares it. */
static bool read_more(struct url_source *source)
{
    ssize_t n;

    if (source->at > 0)
        memmove(source->buffer, source->buffer + source->at, source->size - source->at);
    source->size -= source->at;
    source->at = 0;
    if (source->room - source->size < BLOCK) {
        source->room = source->size + 2 * BLOCK;
        source->buffer = weft_realloc(source->buffer, source->room);
    }
    do {
        int events = weft_io_wait(source->list_fd, WEFT_READ, WEFT_INFINITY);

        if (events < 0)
            weft_exit(weft_tuple(WEFT_ATOM("list"), weft_str(weft_error_text(events))));
        n = read(source->list_fd, source->buffer + source->size, BLOCK);
    } while (n < 0 && (weft_errno() == EINTR || weft_errno() == EAGAIN));
    if (n < 0)
        weft_exit(weft_tuple(WEFT_ATOM("list"), weft_str(weft_error_text(-weft_errno()))));
    source->size += (size_t)n;
    return n > 0;
}

/* The next line without its end; false behind the last one. */
static bool next_line(struct url_source *source, const char **line, size_t *size)
{
    size_t seen = 0;

    for (;;) {
        const char *start = source->buffer + source->at;
        size_t left = source->size - source->at;
        const char *end = left > seen ? memchr(start + seen, '\n', left - seen) : NULL;

        if (end != NULL || (source->is_at_end && left > 0)) {
            *line = start;
            *size = end != NULL ? (size_t)(end - start) : left;
            source->at += *size + (end != NULL);
            return true;
        }
        if (source->is_at_end)
            return false;
        seen = left;
        source->is_at_end = !read_more(source);
    }
}

static bool next_url(void *state, weft_term *item)
{
    struct url_source *source = state;
    const char *line;
    size_t size;

    if (source->next < source->n_urls) {
        *item = weft_str(source->urls[source->next++]);
        return true;
    }
    while (source->list_fd >= 0 && next_line(source, &line, &size)) {
        while (size > 0 && isspace((unsigned char)line[size - 1]))
            size--;
        while (size > 0 && isspace((unsigned char)*line))
            line++, size--;
        if (size > 0 && *line != '#') {
            *item = weft_bin(line, size);
            return true;
        }
    }
    return false;
}

weft_source url_source(struct url_source *source)
{
    return (weft_source){.next = next_url, .state = source};
}

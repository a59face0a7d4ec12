/* url_source.h - URLs of the command line, then those of a file, as a source.
 *
 * A file is read as the stream asks for its next URL, so a pipe may go on for
 * ever: waiting for its next line parks the process that consumes the stream.
 */
#ifndef WEFT_EXAMPLES_URL_SOURCE_H
#define WEFT_EXAMPLES_URL_SOURCE_H

#include <weft.h>

struct url_source {
    /* Set by the caller; the rest is zero. */
    char **urls;
    size_t n_urls;
    int list_fd;          /* -1: none */
    /* The source's own. */
    size_t next;
    char *buffer;         /* a line and what was read beyond it */
    size_t at, size, room;
    bool is_at_end;
};

weft_source url_source(struct url_source *source);

#endif

/* answer.h - a transfer that is over, as terms for who asked.
 *
 * Threads: in the process that asked; never switches.
 */
#ifndef WEFT_HTTP_ANSWER_H
#define WEFT_HTTP_ANSWER_H

#include <curl/curl.h>

#include "http/transfer.h"
#include "weft/term.h"

/* The list of {name, value} of the lines "name: value"; names are put into
 * small letters in place. */
weft_term weft__http_answer_headers(char *lines, size_t size);

/* The body as a binary; it is taken out of the transfer. */
weft_term weft__http_answer_body(struct weft__http_transfer *transfer);

/* {what, text} for a transfer that failed. */
weft_term weft__http_answer_error(const struct weft__http_transfer *transfer);

/* {what, text}, text made as by printf; cut at 500 bytes. */
weft_term weft__http_error(weft_atom what, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

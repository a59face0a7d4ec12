/* driver.h - the process that owns curl's multi handle and drives all requests.
 *
 * Messages to it:
 *     {:request, transfer, body}   a native object; a binary or nil
 *     {:cancel, transfer}          its asker gave up or ended
 *     {:io, tag, fd, events}       one of curl's sockets is ready
 * Its answer, to asked.answer_to, when the transfer is done:
 *     {:done, answer_to, 0, 0, 0}  (the shape of a DOWN, so that who waits for
 *                                  either needs one pattern)
 *
 * A turn: take all messages, hand the sockets that are ready to curl, answer
 * what is finished, and give way so that those answered can go on and ask
 * again. Only when a turn found nothing to do is the driver told by a message
 * of the next ready socket: one system call for a pause, none for a request.
 *
 * A transfer: asked -> at work (in `working`, has an easy) -> answered or
 * cancelled (its easy back in the pool, the driver's count gone).
 */
#ifndef WEFT_HTTP_DRIVER_H
#define WEFT_HTTP_DRIVER_H

#include "http/transfer.h"
#include "weft/process.h"

/* The driver's pid; one is started when there is none. In a process. Never
 * switches. One that is found may end before a message arrives: monitor it. */
weft_pid weft__http_driver(void);

/* A term that holds one of the transfer's counts, the caller's from before. */
weft_term weft__http_transfer_term(struct weft__http_transfer *transfer);

#endif

/* batch.h - one term to many processes: messages made at once, that share it.
 *
 * The nouns. A payload is a copy of the term, made once, that nobody changes. A batch is a
 * piece of memory with up to WEFT__BATCH_MAX messages in it, whose root is the payload's. So
 * a delivery costs a cache line of its batch, whatever the term's size, and no allocation.
 *
 * Lifetime. A message of a batch is a part of it (term/region.h): who frees the message, at
 * the end of the scope that it joined, gives back a count of the batch; the last one frees
 * that, and gives back a count of the payload. So receivers on several cores meet at the
 * counter of their batch, not at one for all; and a receiver that does not get to its message
 * holds up the memory of one batch, and the payload.
 *
 *     payload.count   its makers, and each batch
 *     batch.count     its messages, and whoever makes them
 *
 * Roads not taken: a message of its own for each (allocated by the sender, freed on
 * another core, and all of them count at the payload: that line then goes to and
 * fro); all messages in one batch (a slow receiver keeps 64 bytes for each of the others).
 *
 * Threads: a batch is filled by one; the counts are anyone's.
 */
#ifndef WEFT_PROC_BATCH_H
#define WEFT_PROC_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "proc/message.h"
#include "term/term.h"

struct weft__payload {
    struct weft__shared shared;
    /* Set once. */
    weft_term root;                /* a copy, behind this struct */
    struct weft__counted *counted; /* terms in it that hold a count */
    size_t size;                   /* bytes, of all of it */
};

struct weft__batch {
    struct weft__shared shared;
    /* Set once. */
    struct weft__payload *payload; /* or NULL: the root is no memory */
    weft_term root;
    uint32_t n_messages;
    /* By its maker. */
    uint32_t n_used;
    uint64_t unused[3];            /* the messages begin a cache line, where the batch does */
    struct weft__message messages[];
};

/* As many as fit in 4 KiB. */
#define WEFT__BATCH_MAX 63

/* A copy of a term, with one count; size: its weft__copy_size, above 0. NULL: no memory. */
struct weft__payload *weft__payload_new(weft_term term, size_t size);

/* Room for n messages, at most WEFT__BATCH_MAX, whose root is the payload's; or root, which
 * is no memory, when that is NULL. cache: the thread's. NULL: no memory. */
struct weft__batch *weft__batch_new(struct weft__cache *cache, struct weft__payload *payload, weft_term root,
                                    uint32_t n);

/* The next one of its messages, a plain one. There are more left. */
static inline struct weft__message *weft__batch_next(struct weft__batch *batch)
{
    struct weft__message *message = &batch->messages[batch->n_used++];

    weft__block_make_part(&message->block, &batch->shared);
    message->block.size = sizeof *message;
    message->block.kind = WEFT__MESSAGE;
    message->block.flags = 0;
    message->root = batch->root;
    return message;
}

/* No more are made: the rest of the room is nobody's. */
void weft__batch_close(struct weft__batch *batch);

#endif

/* message.h - a signal on its way: a block of memory with a term in it.
 *
 * Whatever one process tells another is one of these, in one queue, so the
 * order between two processes is kept for all kinds. A message's block joins
 * the receiver's scope as it is (term/region.h).
 */
#ifndef WEFT_PROC_MESSAGE_H
#define WEFT_PROC_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/slab.h"
#include "term/copy.h"
#include "term/region.h"
#include "term/term.h"

struct weft__proc;

/* block.kind of a message. From WEFT__SIGNAL_EXIT on: acted on when drained. */
enum weft__message_kind {
    WEFT__MESSAGE,          /* root */
    WEFT__MESSAGE_ALIAS,    /* root, by way of the alias `ref` */
    WEFT__MESSAGE_REPLY,    /* root, for whoever waits for `ref`: dropped when nobody does */
    WEFT__MESSAGE_CALL,     /* root: a request of `from`, who waits for a REPLY to `ref` */
    WEFT__MESSAGE_SYSTEM,   /* the same, for the behaviour and not for its callbacks */
    WEFT__MESSAGE_CAST,     /* root: a request that wants no answer */
    WEFT__MESSAGE_TASK,     /* in a mailbox: the end of a task nobody has awaited yet; see task bonds */
    WEFT__MESSAGE_PACK,     /* several plain messages in one: pack.h */
    WEFT__SIGNAL_EXIT,      /* root {:EXIT, from, reason}; from: ref; flags */
    WEFT__SIGNAL_LINK,      /* from */
    WEFT__SIGNAL_UNLINK,    /* from; ref: which of its unlinks */
    WEFT__SIGNAL_UNLINKED,  /* from did what UNLINK `ref` asked for */
    WEFT__SIGNAL_MONITOR,   /* from wants to hear; ref */
    WEFT__SIGNAL_DEMONITOR, /* ref */
    WEFT__SIGNAL_DOWN,      /* root {:DOWN, ref, :process, from, reason}; ref */
    WEFT__SIGNAL_INFO,      /* from asks item root; answer is a REPLY to ref */
    WEFT__SIGNAL_TASK_BEGIN, /* ref; from the task: a supervisor started it for `to` */
    WEFT__SIGNAL_TASK_END,  /* ref; from the task; root: its result, or its reason */
    WEFT__SIGNAL_CALL_OVER  /* ref: who made that call waits no more */
};
/* block.flags */
enum {
    WEFT__BY_LINK = 1,      /* EXIT: from a link, not from weft_exit_signal */
    WEFT__HAS_VALUE = 2,    /* TASK_END: root is the result; else the reason it ended with */
    WEFT__IS_EXIT = 4,      /* MESSAGE: an exit signal that was trapped */
    WEFT__IS_DOWN = 8,      /* DOWN, and the MESSAGE it becomes */
    WEFT__NO_ANSWER = 16,   /* REPLY: root is why there is none, and will be none */
    WEFT__AT_STOP = 32,     /* EXIT, and the MESSAGE it becomes: the program ends, and with it whoever
                             * has no parent that would say so */
    WEFT__COUNTED = 64      /* it has a place in the receiver's room (room.h) */
};

struct weft__message {
    struct weft__block block;    /* next: the inbox, then the mailbox, then the region */
    struct weft__message *prev;  /* in a mailbox */
    uint64_t to;                 /* pid bits it is for */
    uint64_t from;               /* pid bits, for signals; plain: an address to prefetch */
    uint64_t ref;                /* ref bits, by kind; plain: likewise, in a mailbox */
    weft_term root;
};

/* A message of that kind whose root is a copy of the term; weft_none: no root.
 * NULL: the term cannot be sent (*refusal says why), or there is no memory
 * (its problem is WEFT__COPY_OK then). */
struct weft__message *weft__message_new(enum weft__message_kind kind, weft_term term,
                                        struct weft__copy_refusal *refusal);
/* A message without a root yet, and room for its terms behind it. */
static inline struct weft__message *weft__message_alloc(struct weft__cache *cache,
                                                        enum weft__message_kind kind, size_t room)
{
    size_t size = sizeof(struct weft__message) + room;
    struct weft__message *message;

    if (__builtin_expect(size > WEFT__BLOCK_MAX, 0))
        return NULL;
    message = (struct weft__message *)weft__slab_alloc(cache, size);
    if (__builtin_expect(message == NULL, 0))
        return NULL;
    message->block.counted = NULL;
    message->block.size = (uint32_t)size;
    message->block.kind = (uint8_t)kind;
    message->block.flags = 0;
    message->from = 0;
    message->ref = 0;
    message->root = weft_none;
    return message;
}

/* A plain message that takes one cache line: its root is no memory. ref and from
 * are left as they are, and mean nothing in such a one. */
static inline struct weft__message *weft__message_of_word(struct weft__cache *cache, weft_term root)
{
    struct weft__message *message = (struct weft__message *)weft__slab_alloc(cache, sizeof *message);

    if (__builtin_expect(message == NULL, 0))
        return NULL;
    message->block.counted = NULL;
    message->block.size = sizeof *message;
    message->block.kind = WEFT__MESSAGE;
    message->block.flags = 0;
    message->root = root;
    return message;
}

#define WEFT__MESSAGE_TUPLE_MAX 8
/* The same with a tuple of n elements, each copied, as root: the tuple itself
 * need not be built first. */
struct weft__message *weft__message_tuple(enum weft__message_kind kind, const weft_term *elements,
                                          size_t n, struct weft__copy_refusal *refusal);
static inline struct weft__message *weft__message_next(struct weft__message *message)
{
    return (struct weft__message *)(void *)message->block.next; /* the block comes first */
}
static inline void weft__message_free(struct weft__message *message)
{
    weft__block_free(&message->block);
}
/* The same with the thread's cache at hand. */
static inline void weft__message_free_to(struct weft__cache *cache, struct weft__message *message)
{
    weft__block_free_to(cache, &message->block);
}

/* A call, a cast or a system request: in the mailbox of a server, where no
 * receive sees it. */
static inline bool weft__is_request(const struct weft__message *message)
{
    return message->block.kind >= WEFT__MESSAGE_CALL && message->block.kind <= WEFT__MESSAGE_CAST;
}
/* One that somebody waits for. */
static inline bool weft__wants_reply(const struct weft__message *message)
{
    return message->block.kind == WEFT__MESSAGE_CALL || message->block.kind == WEFT__MESSAGE_SYSTEM;
}

/* Put it in the inbox of `to`, which its pid names, and wake it when it must
 * be. Takes the message over in any case. false: `to` was not there (the
 * message may be dropped at any time, or has been): who wants an answer must
 * answer itself. Never switches. */
bool weft__message_send(struct weft__proc *to, weft_pid pid, struct weft__message *message);

#endif

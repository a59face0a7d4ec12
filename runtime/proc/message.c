#include "proc/message.h"

#include "base/assert.h"
#include "base/here.h"
#include "base/memory.h"
#include "proc/alarm.h"
#include "proc/mailbox.h"
#include "proc/pack.h"
#include "proc/room.h"

static struct weft__message *message_make(enum weft__message_kind kind, size_t size)
{
    return weft__message_alloc(weft__here()->slot.cache, kind, size);
}

struct weft__message *weft__message_new(enum weft__message_kind kind, weft_term term,
                                        struct weft__copy_refusal *refusal)
{
    struct weft__message *message;
    size_t size = 0;

    refusal->problem = WEFT__COPY_OK;
    if (!weft_is_none(term)) {
        size = weft__copy_size(term, refusal);
        if (__builtin_expect(size == WEFT__COPY_REFUSED, 0))
            return NULL;
    }
    message = message_make(kind, size);
    if (message != NULL)
        message->root = weft__copy_into(term, (char *)(message + 1), &message->block.counted);
    return message;
}

struct weft__message *weft__message_tuple(enum weft__message_kind kind, const weft_term *elements,
                                          size_t n, struct weft__copy_refusal *refusal)
{
    size_t size = sizeof(uint64_t) * (1 + n), part[WEFT__MESSAGE_TUPLE_MAX];
    struct weft__message *message;
    uint64_t *box;
    char *at;

    weft__assert(n <= WEFT__MESSAGE_TUPLE_MAX);
    refusal->problem = WEFT__COPY_OK;
    for (size_t i = 0; i < n; i++) {
        part[i] = weft__copy_size(elements[i], refusal);
        if (part[i] == WEFT__COPY_REFUSED)
            return NULL;
        size += part[i];
    }
    message = message_make(kind, size);
    if (message == NULL)
        return NULL;
    box = (uint64_t *)(message + 1);
    box[0] = weft__header(WEFT__BOX_TUPLE, n);
    at = (char *)(box + 1 + n);
    for (size_t i = 0; i < n; i++) {
        box[1 + i] = weft__copy_into(elements[i], at, &message->block.counted).bits;
        at += part[i];
    }
    message->root = weft__boxed(box);
    return message;
}

/* -- the mailbox -------------------------------------------------------------------- */

void weft__mailbox_left(struct weft__proc *proc, struct weft__message *message)
{
    if (message->block.flags & WEFT__COUNTED)
        weft__room_left(proc, message);
    if (proc->flags & WEFT__ALARMED)
        weft__alarm_left(proc);
}

void weft__mailbox_clear(struct weft__proc *proc)
{
    struct weft__message *message, *next;

    for (message = proc->mailbox.first; message != NULL; message = next) {
        next = weft__message_next(message);
        if (message->block.kind == WEFT__MESSAGE_PACK)
            weft__pack_done(weft__here()->slot.cache, weft__pack_of(message));
        else
            weft__message_free(message);
    }
    proc->mailbox.first = proc->mailbox.last = proc->mailbox.mark = NULL;
    proc->n_messages = 0;
}

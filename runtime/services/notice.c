/* notice.c - being told of readiness by a message: weft_io_notify.
 *
 * A notice is the message {:io, tag, fd, events} with a tail, as a timer is. It
 * is in the poller, and in a list of its process, and belongs to whoever takes
 * it out of the list, under the process's lock:
 *
 *   fire     poller's lock, then the process's: takes it out, sends it
 *   cancel   takes it from the poller, then out of the list, and frees it
 *   end      takes it out of the list, then from the poller, which waits for a
 *            fire under way, and frees it
 *   fire, of one that is out: does nothing
 */
#include "base/assert.h"
#include "base/here.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "services/fd.h"
#include "weft/error.h"
#include "weft/io.h"

struct weft__notice {
    struct weft__poll_waiter waiter;       /* first, for fire */
    struct weft__message *message;         /* this memory begins there */
    weft_pid pid;
    struct weft__notice *next, **link;     /* under the process's lock; link NULL: out of the list */
};

enum { NOTICE_TAG = 2, NOTICE_FD, NOTICE_EVENTS, NOTICE_WORDS };

static uint64_t *notice_words(struct weft__notice *notice)
{
    return (uint64_t *)(notice->message + 1);
}

static void notice_link(struct weft__io *io, struct weft__notice *notice)
{
    weft__spin_acquire(weft__io_lock(io->pid));
    notice->next = io->notices;
    notice->link = &io->notices;
    if (notice->next != NULL)
        notice->next->link = &notice->next;
    io->notices = notice;
    weft__spin_release(weft__io_lock(io->pid));
}

/* false: somebody else has. */
static bool notice_take(struct weft__notice *notice)
{
    bool is_mine;

    weft__spin_acquire(weft__io_lock(notice->pid));
    is_mine = notice->link != NULL;
    if (is_mine) {
        *notice->link = notice->next;
        if (notice->next != NULL)
            notice->next->link = notice->link;
        notice->link = NULL;
    }
    weft__spin_release(weft__io_lock(notice->pid));
    return is_mine;
}

static void notice_fire(struct weft__poll_waiter *waiter, unsigned events)
{
    struct weft__notice *notice = (struct weft__notice *)(void *)waiter;
    struct weft__proc *proc = weft__proc_slot(notice->pid);

    if (!notice_take(notice))
        return; /* its process ends and frees it */
    weft__assert(proc != NULL);
    notice_words(notice)[NOTICE_EVENTS] = weft_int(events).bits;
    weft__message_send(proc, notice->pid, notice->message);
}

static struct weft__notice *notice_new(weft_pid pid, int fd, unsigned events, weft_term tag)
{
    size_t words = NOTICE_WORDS * sizeof(uint64_t);
    struct weft__block *block = weft__block_new(sizeof(struct weft__message) - sizeof *block + words +
                                                sizeof(struct weft__notice));
    struct weft__message *message = (struct weft__message *)(void *)block;
    struct weft__notice *notice;
    uint64_t *tuple;

    if (block == NULL)
        return NULL;
    block->kind = WEFT__MESSAGE;
    message->prev = NULL;
    message->to = message->from = message->ref = 0;
    tuple = (uint64_t *)(message + 1);
    tuple[0] = weft__header(WEFT__BOX_TUPLE, NOTICE_WORDS - 1);
    tuple[1] = WEFT_ATOM("io").bits;
    tuple[NOTICE_TAG] = tag.bits;
    tuple[NOTICE_FD] = weft_int(fd).bits;
    tuple[NOTICE_EVENTS] = weft_int(0).bits;
    message->root = weft__boxed(tuple);
    notice = (struct weft__notice *)(void *)(tuple + NOTICE_WORDS);
    *notice = (struct weft__notice){
        .waiter = {.fd = fd, .events = events, .fire = notice_fire}, .message = message, .pid = pid,
    };
    return notice;
}

static void notice_free(struct weft__notice *notice)
{
    weft__message_free(notice->message);
}

static bool is_one_word(weft_term term)
{
    return (term.bits & 3) != 0 && !weft__is_special(term);
}

int weft_io_notify(int fd, unsigned events, weft_term tag)
{
    struct weft__proc *proc = weft__proc_here();
    struct weft__notice *notice;
    struct weft__io *io;
    int code;

    if (proc == NULL)
        return weft__runtime_missing();
    if (!is_one_word(tag) || events == 0 || (events & ~(WEFT_READ | WEFT_WRITE)) != 0)
        return WEFT_EINVAL;
    if (fd < 0)
        return WEFT_EBADF;
    io = weft__io_of(proc);
    notice = io != NULL ? notice_new(proc->pid, fd, events, tag) : NULL;
    if (notice == NULL)
        return WEFT_ENOMEM;
    notice_link(io, notice); /* first: it may fire at once */
    code = weft__poll_add(weft__runtime()->sched->poll, &notice->waiter);
    if (code != 0) {
        notice_take(notice);
        notice_free(notice);
        /* Being closed: so it is not open. */
        return code == WEFT_EAGAIN ? WEFT_EBADF : code;
    }
    /* Workers that sleep without a poller do not know that one is wanted now. */
    if (!weft__has_slot())
        weft__idle_notify(weft__runtime()->sched);
    return 0;
}

static bool is_notice_of(const struct weft__poll_waiter *waiter, void *arg)
{
    return waiter->fire == notice_fire &&
           ((const struct weft__notice *)(const void *)waiter)->pid.bits == ((const weft_pid *)arg)->bits;
}

/* Take the one for that event back. */
static bool cancel_notice(weft_pid pid, int fd, unsigned event)
{
    struct weft__poll_waiter *waiter =
        weft__poll_take(weft__runtime()->sched->poll, fd, event, is_notice_of, &pid);
    struct weft__notice *notice = (struct weft__notice *)(void *)waiter;

    if (waiter == NULL)
        return false;
    notice_take(notice);
    notice_free(notice);
    return true;
}

int weft_io_cancel(int fd, unsigned events)
{
    struct weft__proc *proc = weft__proc_here();
    bool is_cancelled = false;

    if (proc == NULL)
        return weft__runtime_missing();
    if (events == 0 || (events & ~(WEFT_READ | WEFT_WRITE)) != 0)
        return WEFT_EINVAL;
    if (fd < 0)
        return WEFT_EBADF;
    if (events & WEFT_READ)
        is_cancelled = cancel_notice(proc->pid, fd, WEFT_READ);
    if (events & WEFT_WRITE)
        is_cancelled |= cancel_notice(proc->pid, fd, WEFT_WRITE);
    return is_cancelled ? 0 : WEFT_ENOENT;
}

void weft__notices_end(struct weft__io *io)
{
    for (;;) {
        struct weft__notice *notice;

        weft__spin_acquire(weft__io_lock(io->pid));
        notice = io->notices;
        if (notice != NULL) {
            io->notices = notice->next;
            if (notice->next != NULL)
                notice->next->link = &io->notices;
            notice->link = NULL;
        }
        weft__spin_release(weft__io_lock(io->pid));
        if (notice == NULL)
            return;
        weft__poll_cancel(weft__runtime()->sched->poll, &notice->waiter); /* a fire under way is over then */
        notice_free(notice);
    }
}

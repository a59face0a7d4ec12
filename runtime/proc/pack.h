/* pack.h - one message that takes more words while it waits to be seen.
 *
 * The problem. Who sends many small messages to one that is busy makes a cache
 * line for each, which goes to the receiver's core and comes back when it is used
 * again, and an exchange on the inbox for each.
 *
 * The nouns. A pack is a message with room for further roots that are no memory.
 * A worker keeps the one it pushed last. As long as that is the newest in the
 * receiver's inbox, what the worker sends there is added to it, and the inbox is
 * only read. The receiver closes a pack when it takes it out of the inbox, and
 * takes its roots one by one, oldest first; a root that is wanted out of turn comes
 * first before it is taken. What is left of a closed pack is the owner's alone: an
 * add that comes too late writes behind it.
 *
 *     sender, add                             receiver
 *     1  read the inbox: the pack is newest   4  take the inbox by an exchange
 *     2  write the root behind the last       5  close: CLOSED into the word, which
 *     3  one more, by an exchange of the         says how many there are (A)
 *        word (A); it was not CLOSED: sent    6  take them
 *
 * No root is lost. (3) and (5) are exchanges of one word: what was added before
 * (5) the receiver counts, later ones see CLOSED and go another way. Nor is a
 * wake-up: where (3) succeeds the receiver has still to come to (5), in a drain
 * that it is in, or that it does before it parks, as its inbox is not empty.
 *
 * Order. A root that is added comes behind all that was in the inbox at (1), and
 * what is pushed after (3) comes behind it. So nobody can see that it was no push
 * of its own at (1).
 *
 * Lifetime. A pack has two holders, its worker and the message's owner; each says
 * when it is through (LEFT, DONE), the second one frees it (B). So a pack that a
 * worker keeps is no other message meanwhile, and (1) may compare addresses. At
 * most one pack per worker lives longer than its message.
 *
 *   field   written by          read by   pair
 *   word    worker and owner    both      A: release / acquire - roots are written, then counted
 *                                         B: acq_rel, both - each is through, then one frees
 *
 * Begun when a word is sent and the newest in the inbox is the last word of this
 * worker: two in a row, to one that has not looked in between. The address is
 * compared and not followed: another message that is there by now begins a pack, too.
 *
 * Roads not taken: adding where the pack is not the newest, so that each worker
 * has its place with a receiver: a process that goes on on another worker would
 * overtake itself. Terms that are memory: what a receiver keeps of one would keep
 * all of the pack. Plain messages in place of a pack, for who looks through it: they
 * take up to six times its memory, which may not be there.
 */
#ifndef WEFT_PROC_PACK_H
#define WEFT_PROC_PACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/slab.h"
#include "proc/mailbox.h"
#include "proc/message.h"
#include "proc/proc.h"

#define WEFT__PACK_MAX 23 /* a pack is four cache lines */

/* pack.word: how many roots below, then: */
#define WEFT__PACK_COUNT UINT32_C(0xffff)
#define WEFT__PACK_CLOSED (UINT32_C(1) << 16) /* nothing is added any more */
#define WEFT__PACK_LEFT (UINT32_C(1) << 17)   /* its worker is through with it */
#define WEFT__PACK_DONE (UINT32_C(1) << 18)   /* its owner is */

struct weft__pack {
    /* root: the oldest that is there. from: of one that is closed, how many there
     * were; ref: how many were taken. */
    struct weft__message message;
    _Atomic uint32_t word;
    weft_term roots[WEFT__PACK_MAX];
};
_Static_assert(sizeof(struct weft__pack) == 256, "a pack is four cache lines");

static inline struct weft__pack *weft__pack_of(struct weft__message *message)
{
    return (struct weft__pack *)(void *)message; /* the message comes first */
}

/* -- its worker ------------------------------------------------------------------- */

/* A pack with one root, to push; `pid` is who it is for. NULL: no memory. */
static inline struct weft__pack *weft__pack_new(struct weft__cache *cache, weft_pid pid, weft_term root)
{
    struct weft__pack *pack = weft__slab_alloc(cache, sizeof *pack);

    if (__builtin_expect(pack == NULL, 0))
        return NULL;
    pack->message.block.counted = NULL;
    pack->message.block.size = sizeof *pack;
    pack->message.block.kind = WEFT__MESSAGE_PACK;
    pack->message.block.flags = 0;
    pack->message.to = pid.bits;
    pack->message.from = 0;
    pack->message.ref = 0;
    pack->message.root = root;
    pack->roots[0] = root;
    atomic_store_explicit(&pack->word, 1, memory_order_relaxed); /* released by the push */
    return pack;
}

/* (2) and (3). false: it is full or closed. */
static inline bool weft__pack_add(struct weft__pack *pack, weft_term root)
{
    /* Relaxed: only this worker counts up; CLOSED is asked again below. */
    uint32_t word = atomic_load_explicit(&pack->word, memory_order_relaxed);

    if (__builtin_expect(word >= WEFT__PACK_MAX, 0)) /* closed ones, too */
        return false;
    pack->roots[word] = root;
    /* A. No compare: a count that comes after CLOSED is looked at by nobody. */
    return (atomic_fetch_add_explicit(&pack->word, 1, memory_order_release) & WEFT__PACK_CLOSED) == 0;
}

/* The worker keeps what is there no longer. */
static inline void weft__pack_let_go(struct weft__pack **kept, struct weft__cache *cache)
{
    struct weft__pack *pack = *kept;

    *kept = NULL;
    if (pack != NULL && atomic_fetch_or_explicit(&pack->word, WEFT__PACK_LEFT, memory_order_acq_rel) & WEFT__PACK_DONE) /* B */
        weft__message_free_to(cache, &pack->message);
}

/* How many are in one that is not closed. A moment's truth. */
static inline uint32_t weft__pack_count(const struct weft__pack *pack)
{
    return atomic_load_explicit(&pack->word, memory_order_relaxed) & WEFT__PACK_COUNT;
}

/* -- its owner --------------------------------------------------------------------- */

/* It is out of the inbox: (5). */
static inline void weft__pack_close(struct weft__pack *pack)
{
    uint32_t word = atomic_load_explicit(&pack->word, memory_order_acquire);

    /* A, here or there: who has left adds nothing. */
    if ((word & WEFT__PACK_LEFT) == 0)
        word = atomic_fetch_or_explicit(&pack->word, WEFT__PACK_CLOSED, memory_order_acquire);
    pack->message.from = word & WEFT__PACK_COUNT;
}

/* How many of a closed one were not taken yet. */
static inline uint32_t weft__pack_rest(const struct weft__pack *pack)
{
    return (uint32_t)(pack->message.from - pack->message.ref);
}

/* Its k-th of those left comes first, the others stay in order. */
static inline void weft__pack_raise(struct weft__pack *pack, uint32_t k)
{
    weft_term *left = pack->roots + pack->message.ref, root = left[k];

    memmove(left + 1, left, k * sizeof *left);
    pack->message.root = left[0] = root;
}

/* It was taken out of inbox or mailbox, and nobody looks at it any more. */
static inline void weft__pack_done(struct weft__cache *cache, struct weft__pack *pack)
{
#ifdef WEFT_DEBUG
    /* Who uses it nevertheless is to fall, even while its worker keeps it. */
    memset(&pack->message.block.next, 0xfd, sizeof pack->message.block.next);
    memset(&pack->message.prev, 0xfd, sizeof pack->message.prev);
    pack->message.root = weft_none;
#endif
    /* B. */
    if ((atomic_load_explicit(&pack->word, memory_order_acquire) & WEFT__PACK_LEFT) != 0 ||
        (atomic_fetch_or_explicit(&pack->word, WEFT__PACK_DONE, memory_order_acq_rel) & WEFT__PACK_LEFT) != 0)
        weft__message_free_to(cache, &pack->message);
}

/* -- in a mailbox -------------------------------------------------------------------- */

static inline void weft__mailbox_append_pack(struct weft__proc *proc, struct weft__pack *pack)
{
    weft__mailbox_append(proc, &pack->message);
    proc->n_messages += weft__pack_rest(pack) - 1;
}

/* The oldest of it, which is message.root, taken out of the mailbox. */
static inline weft_term weft__mailbox_take_packed(struct weft__cache *cache, struct weft__proc *proc,
                                                  struct weft__pack *pack)
{
    weft_term root = pack->message.root;

    if (weft__pack_rest(pack) > 1) {
        pack->message.root = pack->roots[++pack->message.ref];
        proc->n_messages--;
        if (__builtin_expect((proc->flags & WEFT__WATCHED) != 0, 0))
            weft__mailbox_left(proc, &pack->message);
    } else {
        weft__mailbox_remove(proc, &pack->message);
        weft__pack_done(cache, pack);
    }
    return root;
}

#endif

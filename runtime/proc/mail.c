/* mail.c - sending and receiving: the calls. */
#include "base/here.h"
#include "proc/alarm.h"
#include "proc/guest.h"
#include "proc/mailbox.h"
#include "proc/message.h"
#include "proc/pack.h"
#include "proc/post.h"
#include "proc/proc.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "proc/signal.h"
#include "term/match.h"
#include "term/region.h"
#include "weft/error.h"

#define SCAN_PIECE 16 /* messages that a receive looks at in one go */

/* -- send --------------------------------------------------------------------------- */

/* Where a message goes: its pid, and the alias it goes through or 0. A code
 * when `to` is none of what it may be. */
static int address(struct weft__runtime *runtime, weft_term to, weft_pid *pid, uint64_t *alias)
{
    int code;

    *alias = 0;
    if (__builtin_expect(weft_is_pid(to), 1)) {
        *pid = to;
        return 0;
    }
    if (weft_is_atom(to)) {
        pid->bits = weft__name_get(&runtime->names, to.bits);
        return pid->bits != 0 ? 0 : WEFT_ENOPROC;
    }
    if (weft_is_ref(to)) { /* an alias: its slot's process, whoever that is now */
        struct weft__proc *owner = weft__table_at(&runtime->table, weft__ref_slot(to));

        if (owner == NULL)
            return WEFT_EINVAL;
        *pid = weft__pid_make(weft__ref_slot(to),
                              weft__state_serial(atomic_load_explicit(&owner->state, memory_order_acquire)));
        *alias = to.bits;
        return 0;
    }
    code = weft__name_find(to, pid);
    return code == 0 && weft_is_none(*pid) ? WEFT_ENOPROC : code;
}

/* Where a message is to go, and whether it can. */
struct target {
    struct weft__proc *peer; /* NULL: nobody is there */
    weft_pid pid;
    uint64_t alias;          /* or 0 */
};

static int find_target(weft_term to, weft_term message, struct target *target,
                       struct weft__copy_refusal *refusal)
{
    struct weft__runtime *runtime = weft__runtime();
    int code = address(runtime, to, &target->pid, &target->alias);

    if (code != 0)
        return code;
    if (__builtin_expect(weft_is_none(message), 0)) {
        refusal->problem = WEFT__COPY_NONE;
        refusal->part = message;
        return WEFT_EBADTERM;
    }
    target->peer = weft__table_at(&runtime->table, weft__pid_slot(target->pid));
    if (target->peer != NULL && weft__proc_is_there(target->peer, target->pid))
        return 0;
    target->peer = NULL;
    return weft__copy_size(message, refusal) == WEFT__COPY_REFUSED ? WEFT_EBADTERM : 0;
}

/* flags: COUNTED, when it has a place there, or 0. */
static int post_to(const struct target *target, weft_term term, unsigned flags, struct weft__copy_refusal *refusal)
{
    struct weft__message *message =
        weft__message_new(target->alias != 0 ? WEFT__MESSAGE_ALIAS : WEFT__MESSAGE, term, refusal);

    if (__builtin_expect(message == NULL, 0)) {
        if (flags & WEFT__COUNTED)
            weft__room_give_back(target->pid);
        return refusal->problem == WEFT__COPY_OK ? WEFT_ENOMEM : WEFT_EBADTERM;
    }
    message->ref = target->alias;
    message->block.flags = (uint8_t)flags;
    weft__message_send(target->peer, target->pid, message);
    return 0;
}

/* To one that has a bound: timeout_ms < 0 does not wait. */
static int send_bounded(const struct target *target, weft_term message, int64_t timeout_ms,
                        struct weft__copy_refusal *refusal)
{
    int code;

    if (weft__copy_size(message, refusal) == WEFT__COPY_REFUSED)
        return WEFT_EBADTERM;
    code = weft__room_enter(weft__proc_here(), target->pid, timeout_ms);
    if (code != 0)
        return code < 0 ? code : 0;
    return post_to(target, message, WEFT__COUNTED, refusal);
}

static int send(weft_term to, weft_term message, struct weft__copy_refusal *refusal)
{
    struct target target;
    int code = find_target(to, message, &target, refusal);

    if (code != 0 || target.peer == NULL)
        return code;
    if (__builtin_expect(weft__proc_is_bounded(target.peer, target.pid), 0))
        return send_bounded(&target, message, -1, refusal);
    return post_to(&target, message, 0, refusal);
}

int weft_try_send(weft_term to, weft_term message)
{
    struct weft__copy_refusal refusal;

    if (weft__proc_here() == NULL)
        return weft__runtime_missing();
    return send(to, message, &refusal);
}

/* The same of a term that is memory. NULL: it cannot be, see send. */
static __attribute__((noinline)) struct weft__message *message_of_memory(struct weft__cache *cache,
                                                                         weft_term term)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;
    size_t size = weft__copy_size(term, &refusal);

    if (__builtin_expect(size == WEFT__COPY_REFUSED, 0))
        return NULL;
    message = weft__message_alloc(cache, WEFT__MESSAGE, size);
    if (__builtin_expect(message != NULL, 1))
        message->root = weft__copy_into(term, (char *)(message + 1), &message->block.counted);
    return message;
}

/* Begin a pack, and push it: see pack.h. false: nothing was done. */
static __attribute__((noinline)) bool send_pack(struct weft__here *here, struct weft__proc *peer, weft_pid to,
                                                weft_term term, struct weft__pack **kept)
{
    struct weft__pack *pack = weft__pack_new(here->slot.cache, to, term);

    weft__pack_let_go(kept, here->slot.cache);
    if (pack == NULL)
        return false;
    *kept = pack;
    weft__message_post(here, peer, to, &pack->message, false);
    weft__slab_warm(here->slot.cache, sizeof *pack);
    return true;
}

/* A term that is no memory, which many send in a row. false: nothing was done. */
static inline bool send_word(struct weft__here *here, struct weft__runtime *runtime, struct weft__proc *peer,
                             weft_pid to, weft_term term)
{
    struct weft__slots *slots = &runtime->slots[here->slot.worker->index];
    /* Relaxed: (1) in pack.h, compared and not followed. */
    const struct weft__message *newest = atomic_load_explicit(&peer->inbox, memory_order_relaxed);
    struct weft__pack *pack = slots->pack;
    struct weft__message *message;

    if (pack != NULL && newest == &pack->message && pack->message.to == to.bits) {
        if (__builtin_expect(weft__pack_add(pack, term), 1))
            return true;
        return send_pack(here, peer, to, term, &slots->pack);
    }
    if (newest != NULL && newest == slots->last_word)
        return send_pack(here, peer, to, term, &slots->pack);
    message = weft__message_of_word(here->slot.cache, term);
    if (__builtin_expect(message == NULL, 0))
        return false;
    slots->last_word = message;
    weft__message_post(here, peer, to, message, true);
    return true;
}

/* A live process, a pid that is not this slot's next life, a message that can
 * be sent: what nearly every send is. false: nothing was done. */
static inline bool send_quick(struct weft__here *here, weft_pid to, weft_term term)
{
    struct weft__runtime *runtime = weft__runtime();
    struct weft__message *message;
    struct weft__proc *peer;

    if (here->slot.worker == NULL || here->proc == NULL || !weft_is_pid(to))
        return false;
    peer = weft__table_at(&runtime->table, weft__pid_slot(to));
    if (peer == NULL || !weft__proc_takes_all(peer, to))
        return false;
    __builtin_prefetch(&peer->inbox, 1); /* to write it, while the message is made */
    if (__builtin_expect((term.bits & 3) != 0 && !weft__is_special(term), 1))
        return send_word(here, runtime, peer, to, term);
    message = message_of_memory(here->slot.cache, term);
    if (__builtin_expect(message == NULL, 0))
        return false;
    weft__message_post(here, peer, to, message, true);
    return true;
}

static __attribute__((noinline)) void send_or_exit(weft_term to, weft_term message)
{
    struct weft__copy_refusal refusal;
    int code;

    weft__proc_need("weft_send");
    code = send(to, message, &refusal);
    switch (code) {
    case 0:
        return;
    case WEFT_EBADTERM:
        weft__copy_fail("weft_send", &refusal);
    case WEFT_ENOMEM:
        weft__proc_system_limit("weft_send", "no memory for a message");
    case WEFT_EFULL:
        weft__proc_exit(weft__proc_here(), weft_tuple(WEFT_ATOM("mailbox_full"), to));
    case WEFT_ENOPROC:
        weft__proc_badarg("weft_send", "nobody is registered as %s", weft_inspect(to));
    case WEFT_ENOTSUP:
        weft__proc_badarg("weft_send", "%s names nobody: the keys of that registry are duplicate", weft_inspect(to));
    case WEFT_ERANGE:
        weft__proc_badarg("weft_send", "%s names nobody: there are zero partitions", weft_inspect(to));
    default:
        weft__proc_badarg("weft_send", "%s is neither a pid, an alias nor a name", weft_inspect(to));
    }
}

void weft_send(weft_term to, weft_term message)
{
    if (__builtin_expect(!send_quick(weft__here(), to, message), 0))
        send_or_exit(to, message);
}

int weft_send_wait(weft_term to, weft_term message, int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_send_wait");
    struct weft__copy_refusal refusal;
    struct target target;
    int code;

    if (timeout_ms < 0)
        weft__proc_badarg("weft_send_wait", "timeout_ms is negative (%lld)", (long long)timeout_ms);
    weft__proc_obey(proc);
    code = find_target(to, message, &target, &refusal);
    if (code != 0 || target.peer == NULL)
        return code;
    if (weft__proc_is_bounded(target.peer, target.pid))
        return send_bounded(&target, message, timeout_ms, &refusal);
    return post_to(&target, message, 0, &refusal);
}

/* -- receive ------------------------------------------------------------------------------- */

/* A message that was taken out of the mailbox: its terms live to the end of the
 * innermost scope. */
static inline weft_term keep_for_scope(struct weft__here *here, struct weft__proc *proc,
                                       struct weft__message *message)
{
    weft_term root = message->root;

    if (weft__is_memory(root))
        weft__region_adopt(&proc->region, &message->block);
    else
        weft__message_free_to(here->slot.cache, message);
    return root;
}

/* The same in a guest: a copy, see guest.h. */
static weft_term keep_for_guest(struct weft__message *message, weft_term pattern)
{
    weft_term root = weft__copy_to_region(weft__region_here(), message->root, "weft_receive");

    weft__message_free(message);
    weft_match_term(root, pattern); /* what was bound is bound to the copy */
    return root;
}

/* Does the pattern ask for the newest reference, to which the mark belongs? */
static bool asks_for_mark(struct weft__proc *proc, weft_term pattern)
{
    weft_ref newest = weft__ref_make(weft__pid_slot(proc->pid), 
                                    atomic_load_explicit(&proc->ref_counter, memory_order_relaxed));
    weft_term *elements;

    if (proc->mailbox.mark == NULL || weft__box_kind(pattern) != WEFT__BOX_TUPLE)
        return false;
    elements = weft__box_terms(pattern);
    for (size_t i = 0; i < weft__box_size(pattern) && i < 2; i++)
        if (elements[i].bits == newest.bits)
            return true;
    return false;
}

/* A task's end in the mailbox is two messages to a receive: which of them fits? */
static struct weft__message *match_task(struct weft__proc *proc, struct weft__message *message,
                                        weft_term pattern)
{
    bool has_value = (message->block.flags & WEFT__HAS_VALUE) != 0;
    weft_scope scope;
    bool is_it;

    /* Without binding: what is bound must live on, so the plain messages are
     * made first and matched again. */
    weft__scope_enter(&scope, weft__region_here());
    is_it = (has_value && weft__match_fits(weft_tuple(weft__term(message->ref), message->root), pattern)) ||
           weft__match_fits(weft_tuple(WEFT_ATOM("DOWN"), weft__term(message->ref), WEFT_ATOM("process"),
                                       weft__term(message->from),
                                       has_value ? WEFT_ATOM("normal") : message->root), pattern);
    weft__scope_leave(&scope);
    return is_it ? weft__mailbox_make_plain(proc, message) : NULL;
}

/* A process that always finds a message, or looks without waiting, would never
 * park: so after each receive others may have a turn. */
static inline struct weft__here *give_way(struct weft__here *here, struct weft__proc *proc)
{
    if (__builtin_expect(!weft__fiber_is_to_give_way(here), 1))
        return here;
    here = weft__fiber_yield(here);
    weft__proc_enter_on(here, proc);
    return here;
}

/* A long mailbox is looked through in pieces, after each of which others may have
 * a turn, and a kill its effect. */
static void take_a_breath(struct weft__proc *proc)
{
    if (proc->fiber.kind == WEFT__PROC_GUEST)
        return;
    give_way(weft__here(), proc);
    weft__proc_obey(proc);
}

/* Does one in the pack fit? It is the oldest there then. */
static bool find_packed(struct weft__pack *pack, weft_term pattern)
{
    uint32_t n = weft__pack_rest(pack);

    for (uint32_t k = 0; k < n; k++)
        if (weft_match_term(pack->roots[pack->message.ref + k], pattern)) {
            weft__pack_raise(pack, k);
            return true;
        }
    return false;
}

/* The oldest message from `at` on that fits, or the pack whose oldest it is by now:
 * to be taken out at once. Binds are bound. */
static struct weft__message *find(struct weft__proc *proc, struct weft__message *at, weft_term pattern)
{
    uint32_t n = 0;

    if (pattern.bits == weft_any.bits && at != NULL && at->block.kind == WEFT__MESSAGE)
        return at;
    while (at != NULL) {
        n += at->block.kind == WEFT__MESSAGE_PACK ? weft__pack_rest(weft__pack_of(at)) : 1;
        if (__builtin_expect(n >= SCAN_PIECE, 0)) {
            n = 0;
            take_a_breath(proc);
        }
        if (at->block.kind == WEFT__MESSAGE_PACK) {
            if (find_packed(weft__pack_of(at), pattern))
                return at;
        } else if (__builtin_expect(at->block.kind == WEFT__MESSAGE_TASK, 0)) {
            struct weft__message *plain = match_task(proc, at, pattern);

            if (plain != NULL) {
                at = plain;
                continue;
            }
        } else if (!weft__is_request(at) && weft_match_term(at->root, pattern)) {
            return at;
        }
        at = weft__message_next(at);
    }
    return NULL;
}

/* More has come meanwhile, and may do so for ever: let others have a turn, and
 * the time run out. false: it has. */
static bool go_on_looking(struct weft__wait *wait)
{
    if (wait->proc->fiber.kind == WEFT__PROC_GUEST)
        return weft__wait_once(wait, true);
    give_way(weft__here(), wait->proc);
    return weft__wait_is_on(wait);
}

/* The oldest message after `seen` that fits, waiting for it; NULL: no time. */
static struct weft__message *wait_for(struct weft__proc *proc, struct weft__message *seen,
                                      weft_term pattern, int64_t timeout_ms)
{
    struct weft__message *message = NULL;
    struct weft__wait wait;
    bool has_time = true;

    weft__wait_begin(&wait, proc, timeout_ms);
    for (;;) {
        if (weft__proc_has_inbox(proc)) {
            weft__proc_drain(proc);
            weft__proc_obey(proc);
        }
        weft__alarm_look(proc); /* one by one they come without a drain */
        if (proc->mailbox.last != seen) {
            message = find(proc, seen != NULL ? weft__message_next(seen) : proc->mailbox.first, pattern);
            if (message != NULL)
                break;
            seen = proc->mailbox.last;
        }
        if (!has_time || timeout_ms == 0)
            break;
        has_time = weft__proc_has_inbox(proc) ? go_on_looking(&wait) : weft__wait_once(&wait, true);
    }
    weft__wait_end(&wait);
    return message;
}

/* The one plain message that has come, which then never was in the mailbox.
 * NULL: nothing, or more than that, which is in the mailbox now. */
static inline struct weft__message *take_mail(struct weft__proc *proc)
{
    struct weft__message *newest;

    if (!weft__proc_has_inbox(proc))
        return NULL;
    /* Acquire, with the senders' release: what they wrote is there. */
    newest = atomic_exchange_explicit(&proc->inbox, NULL, memory_order_acquire);
    if (newest->block.next == NULL && newest->block.kind == WEFT__MESSAGE &&
        newest->to == proc->pid.bits && (proc->flags & WEFT__WATCHED) == 0)
        return newest;
    weft__proc_take_in(proc, newest);
    return NULL;
}

static inline bool fits(const struct weft__message *message, weft_term pattern)
{
    return pattern.bits == weft_any.bits || weft_match_term(message->root, pattern);
}

/* With an empty mailbox and no time-out: the message that comes next, if it
 * comes alone and fits. NULL: look in the mailbox. */
static inline struct weft__message *receive_quick(struct weft__here **here, struct weft__proc *proc,
                                                  weft_term pattern)
{
    struct weft__message *message;

    while ((message = take_mail(proc)) == NULL) {
        if (proc->mailbox.first != NULL)
            return NULL;
        *here = weft__proc_wait_for_mail(*here, proc);
        /* What wakes a process has mostly handed its message over. */
        message = proc->mailbox.first;
        if (message == NULL)
            continue;
        if (message->block.kind != WEFT__MESSAGE || !fits(message, pattern))
            return NULL;
        weft__mailbox_remove(proc, message);
        return message;
    }
    if (fits(message, pattern))
        return message;
    weft__mailbox_append(proc, message);
    return NULL;
}

/* The oldest, when it is there and plain, or NULL. */
static inline struct weft__message *first_plain(struct weft__proc *proc)
{
    struct weft__message *first = proc->mailbox.first;

    return first != NULL && first->block.kind == WEFT__MESSAGE ? first : NULL;
}

/* Take out the oldest, a plain one; bring near what will be the oldest soon. */
static inline struct weft__message *take_first(struct weft__proc *proc, struct weft__message *first)
{
    __builtin_prefetch((const void *)(uintptr_t)first->ref, 1);
    weft__mailbox_remove(proc, first);
    return first;
}

/* The oldest, when it is in a pack and fits: its root, taken out of the mailbox. */
static inline bool take_packed(struct weft__here *here, struct weft__proc *proc, weft_term pattern, weft_term *root)
{
    struct weft__message *first = proc->mailbox.first;

    if (first == NULL || first->block.kind != WEFT__MESSAGE_PACK || !fits(first, pattern))
        return false;
    *root = weft__mailbox_take_packed(here->slot.cache, proc, weft__pack_of(first));
    return true;
}

/* What `find` found, taken out of the mailbox: its root. */
static weft_term take_found(struct weft__proc *proc, struct weft__message *message, weft_term pattern)
{
    struct weft__here *here = weft__here();

    if (message->block.kind == WEFT__MESSAGE_PACK)
        return weft__mailbox_take_packed(here->slot.cache, proc, weft__pack_of(message));
    weft__mailbox_remove(proc, message);
    return proc->fiber.kind == WEFT__PROC_GUEST ? keep_for_guest(message, pattern)
                                                : keep_for_scope(here, proc, message);
}

/* The oldest that fits, wherever it is; weft_none: no time. */
static __attribute__((noinline)) weft_term receive_any_way(struct weft__proc *proc, weft_term pattern,
                                                           int64_t timeout_ms)
{
    struct weft__message *seen = NULL, *message = first_plain(proc);

    if (pattern.bits == weft_any.bits && message != NULL && proc->fiber.kind != WEFT__PROC_GUEST)
        return keep_for_scope(weft__here(), proc, take_first(proc, message));
    if (asks_for_mark(proc, pattern))
        seen = proc->mailbox.mark;
    message = find(proc, seen != NULL ? weft__message_next(seen) : proc->mailbox.first, pattern);
    if (message == NULL)
        message = wait_for(proc, proc->mailbox.last, pattern, timeout_ms);
    return message != NULL ? take_found(proc, message, pattern) : weft_none;
}

static inline bool receive(struct weft__here *here, struct weft__proc *proc, weft_term pattern,
                           int64_t timeout_ms, weft_term *out)
{
    bool is_guest = proc->fiber.kind == WEFT__PROC_GUEST;
    struct weft__message *message = NULL;
    weft_term root;

    weft__proc_obey(proc);
    if (proc->mailbox.first == NULL && timeout_ms == WEFT_INFINITY && !is_guest)
        message = receive_quick(&here, proc, pattern);
    if (message != NULL) {
        root = keep_for_scope(here, proc, message);
    } else if (!take_packed(here, proc, pattern, &root)) {
        root = receive_any_way(proc, pattern, timeout_ms);
        here = weft__here();
    }
    give_way(here, proc);
    if (__builtin_expect(weft_is_none(root), 0))
        return false;
    if (out != NULL)
        *out = root;
    return true;
}

bool weft_receive(weft_term pattern, int64_t timeout_ms, weft_term *out)
{
    struct weft__here *here = weft__here();
    struct weft__proc *proc = weft__proc_need_parkable_on(&here, "weft_receive");

    if (timeout_ms < 0)
        weft__proc_badarg("weft_receive", "timeout_ms is negative (%lld)", (long long)timeout_ms);
    if (weft_is_none(pattern))
        weft__proc_badarg("weft_receive", "the pattern is weft_none, which fits nothing");
    return receive(here, proc, pattern, timeout_ms, out);
}

/* Leave the scope of the body before, enter that of the next. */
static inline void next_scope(struct weft__receive_each *each, struct weft__region *region)
{
    if (each->scope.region != NULL) {
        /* Nothing was built nor received: it can serve again. */
        if (region->scope == &each->scope && region->at == each->scope.at &&
            region->blocks == each->scope.blocks && region->counted == each->scope.counted)
            return;
        weft__scope_leave(&each->scope);
    }
    weft__scope_enter(&each->scope, region);
}

weft_term weft__receive_each_next(struct weft__receive_each *each)
{
    struct weft__here *here = weft__here();
    struct weft__proc *proc = weft__proc_need_parkable_on(&here, "weft_receive_each");
    struct weft__message *first = first_plain(proc);
    weft_term message;

    next_scope(each, &proc->region);
    if (first != NULL && proc->fiber.kind != WEFT__PROC_GUEST) {
        weft__proc_obey(proc);
        take_first(proc, first);
        message = keep_for_scope(give_way(here, proc), proc, first);
    } else {
        receive(here, proc, weft_any, WEFT_INFINITY, &message);
    }
    each->in_body = true;
    return message;
}

void weft__receive_each_end(struct weft__receive_each *each)
{
    if (each->scope.region != NULL)
        weft_scope_leave(&each->scope);
}

size_t weft_message_queue_len(void)
{
    struct weft__proc *proc = weft__proc_need("weft_message_queue_len");
    size_t n = proc->n_messages;

    /* A task's end is one in the list and two to its reader. */
    for (struct weft__message *message = proc->mailbox.first; message != NULL;
         message = weft__message_next(message))
        n += message->block.kind == WEFT__MESSAGE_TASK && (message->block.flags & WEFT__HAS_VALUE);
    return n;
}

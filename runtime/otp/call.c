#include "otp/call.h"

#include <sched.h>

#include "base/clock.h"
#include "base/here.h"
#include "otp/partition_table.h"
#include "otp/server.h"
#include "otp/task.h"
#include "proc/alarm.h"
#include "proc/post.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "proc/signal.h"
#include "term/atom.h"
#include "weft/error.h"
#include "weft/log.h"

/* Part of a call that every call takes: never a frame of its own. */
#define QUICK __attribute__((always_inline)) inline

const struct weft__via *weft__via;

/* -- who is meant -------------------------------------------------------------------- */

static bool is_via(weft_term name)
{
    return weft__is_tuple(name) && (weft__box_size(name) == 3 || weft__box_size(name) == 4) &&
           weft__box_terms(name)[0].bits == WEFT_ATOM("via").bits;
}

bool weft__is_name(weft_term name)
{
    return weft_is_atom(name) ? !weft_is_bool(name) && name.bits != WEFT__A(nil).bits &&
                                    name.bits != WEFT__A(undefined).bits
                              : is_via(name);
}

/* What proc/name.h asks of us. */
static int via_whereis(weft_term via, weft_pid *pid)
{
    const weft_term *part = weft__box_terms(via);
    int code;

    *pid = weft_none;
    if (!weft_eq(part[1], WEFT__PARTITIONS))
        return weft__via != NULL ? weft__via->whereis(part[1], part[2], pid) : 0;
    if (!weft_is_tuple(part[2]) || weft_tuple_size(part[2]) != 2)
        return 0;
    code = weft__partition_find(weft_tuple_at(part[2], 0), weft_tuple_at(part[2], 1), pid);
    return code == WEFT_ERANGE ? code : 0;
}

__attribute__((constructor)) static void find_vias(void)
{
    weft__name_via = via_whereis;
}

/* Of a via name: what it stands for; false: it can stand for nothing. */
static bool via_find(const char *call, weft_term via, weft_pid *pid, weft_term *mistake)
{
    int code = via_whereis(via, pid);

    if (code == WEFT_ERANGE)
        *mistake = weft__task_mistake(call, "the partition supervisor %s has zero partitions",
                                      weft_inspect(weft_tuple_at(weft_tuple_at(via, 2), 0)));
    if (code == WEFT_ENOTSUP)
        *mistake = weft__task_mistake(call, "not supported by registry %s: its keys are duplicate, and a name has a unique one",
                                      weft_inspect(weft_tuple_at(via, 1)));
    return code == 0;
}

bool weft__server_find(const char *call, weft_server server, weft_pid *pid, weft_term *mistake)
{
    char text[160];

    if (__builtin_expect(weft_is_pid(server), 1)) {
        *pid = server;
        return true;
    }
    if (weft_is_atom(server)) {
        *pid = weft_whereis(server);
        return true;
    }
    if (is_via(server))
        return via_find(call, server, pid, mistake);
    weft_inspect_to(text, sizeof text, server);
    *mistake = weft__task_mistake(call, "%s names no server: a pid, a registered atom or "
                                  "weft_via(registry, key) does", text);
    return false;
}

int weft__server_register(weft_term name, weft_pid *holder)
{
    weft_pid self = weft_self();
    int code;

    *holder = weft_none;
    if (is_via(name)) {
        weft_term *part = weft__box_terms(name);

        if (weft_eq(part[1], WEFT__PARTITIONS))
            return WEFT_ENOTSUP;
        return weft__via != NULL
                   ? weft__via->register_self(part[1], part[2], weft__box_size(name) == 4 ? part[3] : weft_none, holder)
                   : WEFT_ENOENT;
    }
    do {
        code = weft_try_register(name, self);
        if (code != WEFT_EALREADY)
            return code;
        *holder = weft_whereis(name);
    } while (weft_is_none(*holder)); /* it is gone: the name is free */
    return code;
}

/* -- asking ---------------------------------------------------------------------------- */

#define FEW_BONDS 4 /* one list then, and its newest is at hand */

void weft__call_begin(struct weft__proc *proc, struct weft__bond *bond, weft_pid peer)
{
    uint64_t ref = weft__make_ref(proc).bits;

    if (__builtin_expect(proc->bonds.buckets != NULL || proc->bonds.n >= FEW_BONDS, 0)) {
        weft__bond_put(proc, bond, WEFT__BOND_REPLY, ref, peer.bits);
        return;
    }
    *bond = (struct weft__bond){.next = proc->bonds.one_list, .key = ref, .peer = peer.bits,
                                .kind = WEFT__BOND_REPLY, .is_framed = true};
    proc->bonds.one_list = bond;
    proc->bonds.n++;
}

static inline void remove_bond(struct weft__proc *proc, struct weft__bond *bond)
{
    if (__builtin_expect(proc->bonds.buckets == NULL && proc->bonds.one_list == bond, 1)) {
        proc->bonds.one_list = bond->next;
        proc->bonds.n--;
    } else {
        weft__bond_remove(proc, bond);
    }
}

bool weft__call_wait(struct weft__proc *proc, struct weft__bond *bond, int64_t timeout_ms)
{
    struct weft__wait wait;
    bool has_time = true;

    weft__wait_begin(&wait, proc, timeout_ms);
    for (;;) {
        if (weft__proc_has_inbox(proc))
            weft__proc_drain(proc);
        weft__proc_obey(proc);
        if (bond->is_done || !has_time)
            break;
        has_time = weft__wait_once(&wait, true);
    }
    weft__wait_end(&wait);
    return bond->is_done;
}

/* The same for a process, inline: the fewer frames stand between the caller and
 * the switch, the fewer returns are mispredicted when it goes on. */
static QUICK void wait_quick(struct weft__here *here, struct weft__proc *proc, struct weft__bond *bond,
                             int64_t timeout_ms)
{
    struct weft__wait wait;

    if (timeout_ms == 0 || proc->fiber.kind == WEFT__PROC_GUEST) {
        weft__call_wait(proc, bond, timeout_ms);
        return;
    }
    weft__wait_begin(&wait, proc, timeout_ms);
    if (wait.timeout_ns > 0) {
        weft__wait_arm(&wait);
        here = weft__here();
    }
    do {
        here = weft__proc_wait_for_mail(here, proc);
        if (__builtin_expect(weft__proc_has_inbox(proc), 0)) {
            weft__proc_drain(proc);
            weft__proc_obey(proc);
        }
        weft__alarm_look(proc); /* what came was handed over, one by one */
        /* Acquire: as in wait_once. */
    } while (__builtin_expect(!bond->is_done, 0) &&
             !atomic_load_explicit(&wait.is_over, memory_order_acquire));
    if (wait.is_set)
        weft__wait_end(&wait);
}

static QUICK enum weft__call_outcome end_call(struct weft__proc *proc, struct weft__bond *bond, weft_term *out)
{
    struct weft__message *reply = bond->message;
    bool is_answer;

    /* Only an answer of the peer's own settles it there. */
    if (__builtin_expect(!bond->is_done || bond->is_foreign, 0))
        weft__call_over(proc, bond);
    bond->message = NULL;
    remove_bond(proc, bond);
    if (!bond->is_done) {
        *out = WEFT__A(timeout);
        return WEFT__TIMED_OUT;
    }
    if (reply == NULL) {
        *out = bond->value;
        return WEFT__ANSWERED;
    }
    is_answer = (reply->block.flags & WEFT__NO_ANSWER) == 0;
    *out = weft__task_adopt(proc, &reply->block, reply->root);
    return is_answer ? WEFT__ANSWERED : WEFT__ENDED;
}

enum weft__call_outcome weft__call_end(struct weft__proc *proc, struct weft__bond *bond, weft_term *out)
{
    return end_call(proc, bond, out);
}

static QUICK bool post_request(struct weft__here *here, struct weft__proc *peer, weft_pid pid,
                               struct weft__message *message)
{
    if (__builtin_expect(weft__proc_take_waiting(peer), 1)) {
        /* What its drain would do, while the server is this thread's. */
        if (__builtin_expect(peer->fiber.kind == WEFT__PROC_SERVER && peer->pid.bits == pid.bits, 1)) {
            message->to = pid.bits;
            weft__mailbox_append(peer, message);
            weft__proc_make_ready(here, peer);
            return true;
        }
        weft__message_post(here, peer, pid, message, false);
        weft__proc_make_ready(here, peer);
    } else {
        weft__message_post(here, peer, pid, message, false);
    }
    /* After the push: what is dropped later is answered by whoever drops it. */
    return weft__proc_is_there(peer, pid);
}

bool weft__post_request(struct weft__proc *peer, weft_pid pid, struct weft__message *message)
{
    return post_request(weft__here(), peer, pid, message);
}

static inline bool is_word(weft_term term)
{
    return (term.bits & 3) != 0 && !weft__is_special(term);
}

/* The request as a message; NULL: it cannot be sent, *mistake says why. Ends proc
 * when there is no memory. */
static inline struct weft__message *make_request(struct weft__here *here, struct weft__proc *proc,
                                                 const char *call, enum weft__message_kind kind,
                                                 weft_term request, weft_term *mistake)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;

    if (__builtin_expect(is_word(request), 1)) {
        message = weft__message_alloc(here->slot.cache, kind, 0);
        if (__builtin_expect(message != NULL, 1))
            message->root = request;
    } else {
        if (!weft__is_sendable(call, request, mistake))
            return NULL;
        message = weft__message_new(kind, request, &refusal);
    }
    if (__builtin_expect(message == NULL, 0))
        weft__proc_system_limit(call, "no memory for a request");
    message->from = proc->pid.bits;
    return message;
}

/* A server that asks itself: in words, with what it was doing. GS-16 */
static void tell_calling_self(const char *call, weft_term request)
{
    weft_log_error("%s: the process calls itself and would wait for itself for ever; the request is %s",
                   call, weft_inspect(request));
}

/* The peer is not there, or has a bound: then there is a place, taken, or not. What
 * a system asks for takes none. */
static __attribute__((noinline)) bool take_place(struct weft__proc *peer, weft_pid pid, struct weft__message *message)
{
    enum weft__room_answer answer;

    if (!weft__proc_is_there(peer, pid))
        return false;
    if (!weft__proc_is_bounded(peer, pid) || message->block.kind != WEFT__MESSAGE_CALL)
        return true;
    answer = weft__room_take(pid);
    if (answer == WEFT__ROOM_TAKEN)
        message->block.flags |= WEFT__COUNTED;
    return answer == WEFT__ROOM_TAKEN;
}

/* A server that waits for a message and holds no stack: it can be run right away. */
static inline bool takes_directly(const struct weft__proc *peer, weft_pid pid)
{
    const struct weft__server *server = peer->state_of_handler;

    return peer->pid.bits == pid.bits && peer->fiber.kind == WEFT__PROC_SERVER && peer->fiber.stack == NULL &&
           peer->fiber.stack_class == 0 && !peer->fiber.is_sticky &&
           peer->fiber.priority == WEFT__PRIORITY_NORMAL && !server->is_suspended && peer->mailbox.first == NULL;
}

/* To a server with nothing to do: it runs at once, in the caller's place. A request that
 * is no memory comes without a message, in its hands. true: the caller goes on, with the
 * answer or for no reason; false: nothing was done. */
static QUICK bool call_directly(struct weft__here *here, struct weft__proc *proc, weft_pid pid,
                                weft_term request, struct weft__message *message, struct weft__bond *bond)
{
    struct weft__proc *peer = weft__table_at(&weft__runtime()->table, weft__pid_slot(pid));

    if (peer == NULL || !weft__fiber_can_lend(here, &proc->fiber) || !weft__proc_take_waiting(peer))
        return false;
    if (__builtin_expect(!takes_directly(peer, pid), 0)) {
        weft__proc_make_ready(here, peer); /* for no reason */
        return false;
    }
    weft__call_begin(proc, bond, pid);
    if (__builtin_expect(message == NULL, 1)) {
        struct weft__serving *serving = peer->state_of_handler;

        serving->from = weft__term(bond->key);
        serving->client = proc->pid;
        serving->handed = request;
    } else {
        message->ref = bond->key;
        message->to = pid.bits;
        weft__mailbox_append(peer, message);
    }
    here = weft__fiber_lend(here, &peer->fiber);
    weft__proc_enter_on(here, proc);
    return true;
}

/* Of a time that began to run at that moment: what is left, in ms. The watchdog's clock
 * may be behind, so this is too much by LAG_NS at most, and never too little unless the
 * watchdog had no core for that long. */
#define LAG_NS (8 * WEFT__COARSE_NS)

static int64_t time_left(int64_t timeout_ms, uint32_t moment)
{
    int64_t gone_ms = (weft__sched_since_ns(moment) - LAG_NS) / WEFT__NS_PER_MS;

    if (timeout_ms == WEFT_INFINITY || gone_ms <= 0)
        return timeout_ms;
    return gone_ms < timeout_ms ? timeout_ms - gone_ms : 0;
}

static QUICK enum weft__call_outcome call_quick(struct weft__proc *proc, const char *call,
                                               weft_server server, enum weft__message_kind kind,
                                               weft_term request, int64_t timeout_ms, weft_term *out)
{
    struct weft__here *here;
    struct weft__message *message;
    struct weft__proc *peer;
    struct weft__bond bond;
    weft_pid pid;
    uint32_t began;

    if (!weft__server_find(call, server, &pid, out) || !weft__task_is_timeout(call, timeout_ms, out))
        return WEFT__MISTAKEN;
    weft__proc_obey(proc);
    here = weft__here(); /* nothing switches from here to the wait */
    message = NULL;
    if (__builtin_expect(!is_word(request) || kind != WEFT__MESSAGE_CALL, 0)) {
        message = make_request(here, proc, call, kind, request, out);
        if (message == NULL)
            return WEFT__MISTAKEN;
    }
    began = weft__sched_moment(weft__runtime()->sched);
    if (__builtin_expect(timeout_ms > 0, 1) && call_directly(here, proc, pid, request, message, &bond)) {
        if (__builtin_expect(!bond.is_done, 0)) /* the server may have kept the worker long */
            weft__call_wait(proc, &bond, time_left(timeout_ms, began));
        else if (__builtin_expect(weft__proc_has_inbox(proc), 0))
            weft__proc_drain(proc); /* as in any wait: or one that only calls never sees what came */
        return end_call(proc, &bond, out);
    }
    if (message == NULL)
        message = make_request(here, proc, call, kind, request, out);
    if (__builtin_expect(pid.bits == proc->pid.bits, 0)) {
        weft__message_free(message);
        tell_calling_self(call, request);
        *out = WEFT__A(calling_self);
        return WEFT__ITSELF;
    }
    peer = weft__proc_slot(pid);
    if (__builtin_expect(peer != NULL && (weft__proc_takes_all(peer, pid) || take_place(peer, pid, message)), 1)) {
        weft__call_begin(proc, &bond, pid);
        message->ref = bond.key;
        if (__builtin_expect(post_request(here, peer, pid, message), 1)) {
            wait_quick(here, proc, &bond, timeout_ms);
            return end_call(proc, &bond, out);
        }
        /* Whoever drops it may answer too: to a reference nobody waits for. */
        remove_bond(proc, &bond);
    } else {
        bool is_full = peer != NULL && weft__proc_is_there(peer, pid);

        weft__message_free(message);
        if (is_full) {
            *out = WEFT__A(mailbox_full);
            return WEFT__FULL;
        }
    }
    *out = WEFT__A(noproc);
    return WEFT__NOBODY;
}

enum weft__call_outcome weft__call(struct weft__proc *proc, const char *call, weft_server server,
                                   enum weft__message_kind kind, weft_term request,
                                   int64_t timeout_ms, weft_term *out)
{
    return call_quick(proc, call, server, kind, request, timeout_ms, out);
}

weft_term weft__call_timeout_term(int64_t timeout_ms)
{
    return timeout_ms == WEFT_INFINITY ? WEFT__A(infinity) : weft_int(timeout_ms);
}

_Noreturn void weft__call_exit(struct weft__proc *proc, enum weft__call_outcome outcome, weft_term out,
                               weft_atom module, weft_atom function, weft_term args)
{
    weft__proc_exit(proc, outcome == WEFT__MISTAKEN ? out : weft_tuple(out, weft_tuple(module, function, args)));
}

bool weft__is_sendable(const char *call, weft_term request, weft_term *mistake)
{
    struct weft__copy_refusal refusal = {WEFT__COPY_NONE, weft_none};

    if (__builtin_expect(!weft_is_none(request) && weft__copy_size(request, &refusal) != WEFT__COPY_REFUSED, 1))
        return true;
    *mistake = weft__task_mistake(call, "the request cannot be sent: %s", weft__copy_words(&refusal));
    return false;
}

bool weft_gen_server_try_call(weft_server server, weft_term request, int64_t timeout_ms, weft_term *result)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_gen_server_try_call");

    return call_quick(proc, "weft_gen_server_try_call", server, WEFT__MESSAGE_CALL, request, timeout_ms,
                      result) == WEFT__ANSWERED;
}

weft_term weft_gen_server_call(weft_server server, weft_term request, int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_gen_server_call");
    weft_term out;
    enum weft__call_outcome outcome =
        call_quick(proc, "weft_gen_server_call", server, WEFT__MESSAGE_CALL, request, timeout_ms, &out);

    if (__builtin_expect(outcome != WEFT__ANSWERED, 0))
        weft__call_exit(proc, outcome, out, WEFT_ATOM("GenServer"), WEFT__A(call),
                        weft_list(server, request, weft__call_timeout_term(timeout_ms)));
    return out;
}

/* -- answering --------------------------------------------------------------------------- */

struct weft__message *weft__call_prepare(struct weft__proc *proc, const char *call, weft_ref from,
                                         weft_term value, unsigned flags)
{
    struct weft__copy_refusal refusal = {WEFT__COPY_NONE, weft_none};
    struct weft__message *message = NULL;

    if (weft_is_none(value))
        weft__copy_fail(call, &refusal);
    /* As signals: an answer that is lost hangs somebody. */
    while ((message = weft__message_new(WEFT__MESSAGE_REPLY, value, &refusal)) == NULL) {
        if (refusal.problem != WEFT__COPY_OK)
            weft__copy_fail(call, &refusal);
        sched_yield();
    }
    message->from = proc->pid.bits;
    message->ref = from.bits;
    message->block.flags = (uint8_t)flags;
    return message;
}

/* The process in the slot that made the reference, alive, and its pid: whoever that
 * is, only the one who waits for it takes an answer. NULL: nobody. */
static inline struct weft__proc *find_client(uint64_t ref, weft_pid *pid)
{
    uint32_t slot = weft__ref_slot(weft__term(ref));
    struct weft__proc *client = weft__table_at(&weft__runtime()->table, slot);

    if (client == NULL)
        return NULL;
    *pid = weft__pid_make(slot, weft__state_serial(atomic_load_explicit(&client->state, memory_order_acquire)));
    return weft__proc_is_there(client, *pid) ? client : NULL;
}

/* Is the client this thread's now? It waits, or is next in turn here. */
static inline bool take_client(struct weft__here *here, struct weft__proc *client)
{
    return weft__fiber_take_back(here, &client->fiber) || weft__proc_take_waiting(client);
}

/* The client, to be made ready; NULL: it was told otherwise, or is not there. */
static struct weft__proc *post(struct weft__here *here, struct weft__message *message)
{
    weft_pid pid;
    struct weft__proc *client = find_client(message->ref, &pid);

    if (client == NULL) {
        weft__message_free(message);
        return NULL;
    }
    if (!take_client(here, client)) {
        weft__message_post(here, client, pid, message, false);
        return NULL;
    }
    /* What its drain would do, while it is this thread's. */
    weft__proc_prefetch_stack(client);
    message->to = pid.bits;
    weft__signal_take_reply(client, message);
    return client;
}

static void post_alone(struct weft__message *message)
{
    struct weft__here *here = weft__here();
    struct weft__proc *client = post(here, message);

    if (client != NULL)
        weft__proc_make_ready(here, client);
}

static inline struct weft__bond *find_bond(struct weft__proc *proc, uint64_t key)
{
    struct weft__bond *newest = proc->bonds.one_list;

    if (__builtin_expect(newest != NULL && newest->key == key, 1))
        return newest;
    return weft__bond_find(proc, key);
}

/* Can that many bytes be had there without more memory? Under ASan each allocation
 * takes some. */
static inline bool has_room(const struct weft__region *region, size_t size)
{
#if defined(WEFT__POISON)
    (void)region, (void)size;
    return false;
#else
    return (size_t)(region->limit - region->at) >= size;
#endif
}

/* To a client that is this thread's now, and stands still: straight into its bond, as
 * a copy in its scope where there is room, else as a message. size: of the copy. One
 * that has an answer, or does not wait for this one, gets nothing. */
static inline void give(struct weft__proc *client, struct weft__proc *proc, const char *call, weft_ref from,
                        weft_term value, size_t size)
{
    struct weft__bond *bond = find_bond(client, from.bits);

    if (__builtin_expect(bond == NULL || bond->kind != WEFT__BOND_REPLY || bond->is_done, 0))
        return;
    bond->is_done = true;
    bond->is_foreign = bond->peer != proc->pid.bits;
    if (__builtin_expect(size == 0, 1))
        bond->value = value;
    else if (client->fiber.kind != WEFT__PROC_GUEST && has_room(&client->region, size))
        bond->value = weft__copy_to_region(&client->region, value, call);
    else
        bond->message = weft__call_prepare(proc, call, from, value, 0);
}

/* The client that was given its answer, to be made ready. NULL: it does not wait here,
 * and nothing was done. */
static inline struct weft__proc *answer(struct weft__here *here, struct weft__proc *proc, const char *call,
                                        weft_ref from, weft_term value, size_t size)
{
    weft_pid pid;
    struct weft__proc *client = find_client(from.bits, &pid);

    if (client == NULL || !take_client(here, client))
        return NULL;
    weft__proc_prefetch_stack(client);
    give(client, proc, call, from, value, size);
    return client;
}

/* Bytes of its copy; ends proc when there can be none. */
static inline size_t answer_size(const char *call, weft_term value)
{
    struct weft__copy_refusal refusal = {WEFT__COPY_NONE, weft_none};
    size_t size = is_word(value) ? 0 : weft_is_none(value) ? WEFT__COPY_REFUSED : weft__copy_size(value, &refusal);

    if (__builtin_expect(size == WEFT__COPY_REFUSED, 0))
        weft__copy_fail(call, &refusal);
    return size;
}

/* It owes that answer no more. */
static void settle(struct weft__proc *proc, weft_ref from)
{
    struct weft__bond *bond;

    if (proc->fiber.kind == WEFT__PROC_SERVER) {
        struct weft__serving *serving = proc->state_of_handler;

        if (serving->from.bits == from.bits) {
            serving->from = weft_none;
            return;
        }
    }
    if (proc->bonds.n == 0)
        return;
    bond = weft__bond_find(proc, from.bits);
    if (bond != NULL && bond->kind == WEFT__BOND_CALLER)
        weft__bond_remove(proc, bond);
}

void weft__call_answer(struct weft__proc *proc, const char *call, weft_ref from, weft_term value)
{
    size_t size = answer_size(call, value);
    struct weft__here *here = weft__here();
    struct weft__proc *client;

    settle(proc, from);
    client = answer(here, proc, call, from, value, size);
    if (client != NULL)
        weft__proc_make_ready(here, client);
    else
        post_alone(weft__call_prepare(proc, call, from, value, 0));
}

struct weft__proc *weft__call_answer_last(struct weft__proc *proc, struct weft__serving *serving, weft_term value)
{
    size_t size = answer_size("weft_reply", value);
    struct weft__here *here = weft__here();
    weft_ref from = serving->from;
    struct weft__proc *client;

    serving->from = weft_none;
    client = answer(here, proc, "weft_reply", from, value, size);
    return __builtin_expect(client != NULL, 1)
               ? client
               : post(here, weft__call_prepare(proc, "weft_reply", from, value, 0));
}

void weft__serving_defer(struct weft__proc *proc, struct weft__serving *serving)
{
    if (weft__waits_for(serving->from.bits))
        while (weft__bond_add(proc, WEFT__BOND_CALLER, serving->from.bits, serving->client.bits) == NULL)
            sched_yield();
    serving->from = weft_none;
}

void weft__serving_end(struct weft__proc *proc, struct weft__serving *serving)
{
    if (serving->answer != NULL)
        post_alone(serving->answer);
    else if (!weft_is_none(serving->from))
        weft__signal_call_down(proc->pid, serving->client, serving->from.bits, proc->reason);
    serving->answer = NULL;
    serving->from = weft_none;
}

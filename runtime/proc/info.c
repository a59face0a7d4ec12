/* info.c - what is known of a process. The process itself answers, from its
 * drain, so that the answer reflects every signal that came before the
 * question. */
#include <string.h>

#include "base/here.h"
#include "proc/bond.h"
#include "proc/limit.h"
#include "proc/message.h"
#include "proc/owned.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "proc/signal.h"

/* -- the answer --------------------------------------------------------------------- */

struct bond_list {
    enum weft__bond_kind kind;
    weft_term list;
};

static void add_peer(struct weft__proc *proc, struct weft__bond *bond, void *arg)
{
    struct bond_list *list = arg;
    bool is_task = bond->kind == WEFT__BOND_TASK && !bond->is_done &&
                   ((list->kind == WEFT__BOND_MONITOR && !bond->is_silent) ||
                    (list->kind == WEFT__BOND_LINK && bond->is_linked));

    (void)proc;
    if (bond->kind == list->kind || is_task)
        list->list = weft_cons(bond->kind == WEFT__BOND_MONITOR && !weft_is_none(bond->name)
                                   ? bond->name : weft__term(bond->peer), list->list);
}

static weft_term peers(struct weft__proc *proc, enum weft__bond_kind kind)
{
    struct bond_list list = {kind, weft_empty_list};

    if (proc->bonds.n > 0)
        weft__bond_each(proc, add_peer, &list);
    /* A task's owner hears of its end without a bond of the task's. */
    if (kind == WEFT__BOND_LINK && (proc->flags & WEFT__OWNER_LINK))
        list.list = weft_cons(weft__task_owner(proc), list.list);
    if (kind == WEFT__BOND_WATCHER && (proc->flags & WEFT__IS_TASK))
        list.list = weft_cons(weft__task_owner(proc), list.list);
    return list.list;
}

/* A handler between two messages waits too. */
static bool waits(const struct weft__proc *proc)
{
    return (proc->flags & WEFT__WAITS) != 0 ||
           (weft__proc_is_callback(proc) && proc->region.scope == NULL);
}

static weft_term one(struct weft__proc *proc, weft_atom item)
{
    const char *name = weft_atom_name(item);
    struct weft__extra *extra = proc->extra;
    uint64_t atom;

    if (strcmp(name, "message_queue_len") == 0)
        return weft_int(proc->n_messages);
    if (strcmp(name, "links") == 0)
        return peers(proc, WEFT__BOND_LINK);
    if (strcmp(name, "monitors") == 0)
        return peers(proc, WEFT__BOND_MONITOR);
    if (strcmp(name, "monitored_by") == 0)
        return peers(proc, WEFT__BOND_WATCHER);
    if (strcmp(name, "registered_name") == 0) {
        atom = atomic_load_explicit(&proc->name, memory_order_relaxed);
        return atom != 0 ? weft__term(atom) : weft_empty_list;
    }
    if (strcmp(name, "trap_exit") == 0)
        return weft_bool((proc->flags & WEFT__TRAPS) != 0);
    if (strcmp(name, "status") == 0)
        return waits(proc) ? WEFT_ATOM("waiting") : WEFT_ATOM("running");
    if (strcmp(name, "parent") == 0)
        return weft_is_none(proc->parent) ? WEFT_ATOM("undefined") : proc->parent;
    if (strcmp(name, "dictionary") == 0)
        return extra == NULL || weft_is_none(extra->dictionary) ? weft_map() : extra->dictionary;
    if (strcmp(name, "label") == 0)
        return extra == NULL ? WEFT_ATOM("nil")
               : extra->label[0] != 0 ? weft_str(extra->label) : WEFT_ATOM("nil");
    if (strcmp(name, "memory") == 0)
        return weft_int((int64_t)weft__limit_memory(proc));
    if (strcmp(name, "priority") == 0)
        return proc->fiber.priority == WEFT_HIGH     ? WEFT_ATOM("high")
               : proc->fiber.priority == WEFT_NORMAL ? WEFT_ATOM("normal")
                                                     : WEFT_ATOM("low");
    if (strcmp(name, "max_queue") == 0)
        return proc->flags & WEFT__HAS_ROOM ? weft_int(weft__room_size(proc)) : WEFT_ATOM("infinity");
    if (strcmp(name, "messages_refused") == 0)
        return weft_int(proc->flags & WEFT__HAS_ROOM ? (int64_t)weft__room_n_refused(proc) : 0);
    return weft_none; /* the caller's item was checked */
}

static weft_term pairs(struct weft__proc *proc, weft_term items)
{
    weft_term item, list = weft_empty_list;

    while (weft_list_next(&items, &item))
        list = weft_cons(weft_tuple(item, one(proc, item)), list);
    return weft_list_reverse(list);
}

weft_term weft__info_answer(struct weft__proc *proc, weft_term items)
{
    return weft_is_atom(items) ? one(proc, items) : pairs(proc, items);
}

/* -- the question --------------------------------------------------------------------- */

/* What is left of one that was disowned? It answers nobody, and may not be back for long.
 * The slot may have another life by now: then it is gone, whatever this says. Race
 * detectors cannot know. */
#if defined(__SANITIZE_THREAD__) || defined(__clang__)
__attribute__((no_sanitize("thread")))
#endif
static bool is_remains(const struct weft__proc *peer)
{
    return peer->fiber.kind == WEFT__PROC_REMAINS;
}

/* Ask, wait for the reply; none when the process is gone. */
static weft_term ask(struct weft__proc *proc, weft_pid pid, weft_term items)
{
    struct weft__proc *peer = weft__proc_slot(pid);
    weft_ref ref = weft__make_ref(proc);
    struct weft__copy_refusal refusal;
    struct weft__message *question;
    struct weft__bond *bond;
    struct weft__wait wait;
    weft_term answer = weft_none;

    if (peer == NULL || !weft__proc_is_there(peer, pid) || is_remains(peer))
        return weft_none;
    question = weft__message_new(WEFT__SIGNAL_INFO, items, &refusal);
    bond = weft__bond_add(proc, WEFT__BOND_REPLY, ref.bits, pid.bits);
    if (question == NULL || bond == NULL)
        weft__proc_system_limit("weft_process_info", "no memory");
    question->from = proc->pid.bits;
    question->ref = ref.bits;
    weft__wait_begin(&wait, proc, WEFT_INFINITY);
    if (weft__message_send(peer, pid, question))
        for (;;) {
            weft__proc_drain(proc);
            weft__proc_obey(proc);
            if (bond->is_done)
                break;
            weft__wait_once(&wait, true);
        }
    weft__wait_end(&wait);
    if (bond->is_done) {
        struct weft__message *reply = bond->message;

        if (!weft_is_none(reply->root)) /* it ended: weft__signal_drop_inbox answered */
            answer = weft__copy_to_region(weft__region_here(), reply->root, "weft_process_info");
        weft__message_free(reply);
    }
    weft__bond_remove(proc, bond);
    return answer;
}

static void check_item(weft_term item)
{
    static const char *const known[] = {"message_queue_len", "links", "monitors", "monitored_by",
                                        "registered_name", "trap_exit", "status", "parent",
                                        "dictionary", "label", "memory", "priority", "max_queue",
                                        "messages_refused"};

    if (weft_is_atom(item))
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(weft_atom_name(item), known[i]) == 0)
                return;
    weft__proc_badarg("weft_process_info", "there is no item %s", weft_inspect(item));
}

weft_term weft_process_info(weft_pid pid, weft_term items)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_process_info");

    if (!weft_is_pid(pid))
        weft__proc_badarg("weft_process_info", "%s is no pid", weft_inspect(pid));
    if (weft_is_list(items)) {
        weft_list_each (each, items)
            check_item(each);
    } else {
        check_item(items);
    }
    weft__proc_drain(proc);
    weft__proc_obey(proc);
    if (pid.bits == proc->pid.bits)
        return weft__info_answer(proc, items);
    return ask(proc, pid, items);
}

bool weft_is_alive(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_is_alive");
    struct weft__proc *peer = weft__proc_slot(pid);
    uint64_t state;

    if (!weft_is_pid(pid))
        weft__proc_badarg("weft_is_alive", "%s is no pid", weft_inspect(pid));
    weft__proc_obey(proc);
    if (pid.bits == proc->pid.bits)
        return true;
    if (peer == NULL || !weft__proc_is_there(peer, pid))
        return false;
    state = atomic_load_explicit(&peer->state, memory_order_seq_cst);
    if (state & WEFT__KILLED)
        return false;
    /* A signal that may be fatal waits: the process itself must look at it. */
    if (state & WEFT__EVENT_SIGNAL)
        return !weft_is_none(ask(proc, pid, WEFT_ATOM("trap_exit")));
    return true;
}

weft_term weft_processes(void)
{
    struct weft__runtime *runtime;
    weft_term list = weft_empty_list;
    size_t n_used;

    weft__proc_need("weft_processes");
    runtime = weft__runtime();
    n_used = atomic_load_explicit(&runtime->table.n_used, memory_order_acquire);
    for (size_t i = n_used; i > 0; i--) {
        uint64_t state = atomic_load_explicit(&runtime->table.base[i - 1].state, memory_order_acquire);
        uint64_t run = state & WEFT__STATE_MASK;

        if (run != WEFT__FREE && run != WEFT__ENDING && !(state & WEFT__KILLED))
            list = weft_cons(weft__pid_make((uint32_t)(i - 1), weft__state_serial(state)), list);
    }
    return list;
}

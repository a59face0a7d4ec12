/* life.c - how a process begins, runs and ends.
 *
 * The end, in this order:
 *   1  it stands at a stack's base; frames it left by an exit lie on another
 *      stack, untouched, until all of this is done
 *   2  its defers run; it is still linked, but is_alive says no
 *   3  its name is free; a task's abnormal end is reported
 *   4  ENDING: nobody's signal is taken any more; those that came are answered
 *   5  exit signals to links, its result to its owner, DOWN to monitors; those
 *      it monitors itself forget it
 *   6  its memory goes, its slot is free under the next serial
 *
 * Defers come first, because whoever hears of the end may start a successor at
 * once, and what the process held (a port, a file) should be free by then.
 */
#include "proc/life.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/code.h"
#include "base/here.h"
#include "proc/alarm.h"
#include "proc/bond.h"
#include "proc/catch.h"
#include "proc/disown.h"
#include "proc/guest.h"
#include "proc/limit.h"
#include "proc/mailbox.h"
#include "proc/message.h"
#include "proc/owned.h"
#include "proc/pack.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "proc/signal.h"
#include "term/keep.h"
#include "weft/error.h"
#include "weft/log.h"

void (*weft__life_ending)(struct weft__proc *proc);

static struct weft__slots *slots_of(struct weft__runtime *runtime, const struct weft__worker *worker)
{
    return worker != NULL ? &runtime->slots[worker->index] : NULL;
}

/* -- the end ----------------------------------------------------------------------- */

static void tell_bond(struct weft__proc *proc, struct weft__bond *bond, void *arg)
{
    enum weft__bond_kind kind = *(enum weft__bond_kind *)arg;

    if (kind == WEFT__BOND_LINK && bond->kind == WEFT__BOND_TASK && bond->is_linked && !bond->is_done)
        weft__signal_exit_by_link(proc, weft__term(bond->peer));
    /* Who waits for this process hears with those who watch it. */
    if (kind == WEFT__BOND_WATCHER && bond->kind == WEFT__BOND_CALLER)
        weft__signal_call_down(proc->pid, weft__term(bond->peer), bond->key, proc->reason);
    if (kind == WEFT__BOND_MONITOR && bond->kind == WEFT__BOND_REPLY && !bond->is_done)
        weft__call_over(proc, bond);
    if (bond->kind != kind)
        return;
    switch (kind) {
    case WEFT__BOND_LINK:
        if (!bond->is_half)
            weft__signal_exit_by_link(proc, weft__term(bond->peer));
        break;
    case WEFT__BOND_WATCHER:
        weft__signal_down(proc, weft__term(bond->peer), bond->key, proc->reason);
        break;
    case WEFT__BOND_MONITOR:
        weft__signal_demonitor(proc, weft__term(bond->peer), bond->key);
        break;
    default:
        break;
    }
}

static void tell(struct weft__proc *proc, enum weft__bond_kind kind)
{
    if (proc->bonds.n > 0)
        weft__bond_each(proc, tell_bond, &kind);
}

/* Both leave all as begin wants to find it. */
static inline void clean_mail(struct weft__proc *proc)
{
    if (proc->mailbox.first != NULL)
        weft__mailbox_clear(proc);
    if (proc->bonds.n > 0 || proc->bonds.buckets != NULL)
        weft__bond_clear(proc);
}

static inline void clean_memory(struct weft__proc *proc)
{
    weft__region_destroy_to(weft__here()->slot.cache, &proc->region);
    if (proc->owned != NULL)
        weft__owned_clear(&proc->owned);
    if (proc->extra != NULL)
        weft__extra_free(proc);
}

/* Its memory goes, its slot is free under the next serial. One that was disowned keeps
 * what its thread may look at, the slot too. */
static inline void give_back(struct weft__runtime *runtime, struct weft__proc *proc)
{
    uint64_t free_state = (weft__pid_serial(proc->pid) + 1) << WEFT__SERIAL_SHIFT | WEFT__FREE;

    clean_mail(proc);
    if (__builtin_expect((proc->flags & WEFT__DISOWNED) != 0, 0))
        return;
    clean_memory(proc);
    /* Release: who sees the new serial sees no more of the old life. Nobody has
     * to be kept from anything, as in ENDING nobody is let in. */
    atomic_store_explicit(&proc->state, free_state, memory_order_release);
    weft__table_give(&runtime->table, slots_of(runtime, weft__here()->slot.worker), proc);
}

/* Nobody's message is taken any more. */
static void unwatch(struct weft__proc *proc)
{
    if (proc->flags & WEFT__HAS_ROOM)
        weft__room_close(proc);
    if (proc->flags & WEFT__ALARMED)
        weft__alarm_end(proc);
    proc->flags &= ~(uint32_t)WEFT__WATCHED;
}

static void tell_report(struct weft__proc *proc, weft_term reason)
{
    proc->report(proc, reason); /* the program's log handler */
    weft__proc_need_slot(proc);
}

/* The struct of the thread it ends on. */
WEFT__GATE static struct weft__here *end(struct weft__proc *proc, weft_term reason)
{
    struct weft__runtime *runtime = weft__runtime();
    uint64_t serial = weft__pid_serial(proc->pid);
    bool is_quiet;

    weft__proc_need_slot(proc);
    proc->reason = reason;
    proc->flags |= WEFT__ENDS;
    if (proc->wait != NULL)
        weft__wait_end(proc->wait);
    if (proc->extra != NULL && proc->extra->waits_for_room != NULL)
        weft__room_forget(proc);
    if (proc->owned != NULL) {
        atomic_fetch_or_explicit(&proc->state, WEFT__KILLED, memory_order_seq_cst);
        weft__owned_run_defers(proc);
    }
    if (weft__life_ending != NULL)
        weft__life_ending(proc);
    if (atomic_load_explicit(&proc->name, memory_order_relaxed) != 0)
        weft__register_end(proc);

    if (weft__proc_has_inbox(proc))
        weft__proc_drain(proc); /* links and monitors that were asked for in time */
    is_quiet = (atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__QUIET) != 0;
    /* Before anybody can hear of the end, one who asks too late included. */
    if (proc->fiber.kind == WEFT__PROC_FUNCTION && proc->report != NULL &&
        !(proc->flags & WEFT__RETURNED) &&
        !(is_quiet && weft_eq(reason, WEFT_ATOM("killed"))))
        tell_report(proc, reason);
    /* Seq_cst, (2)'s counterpart: who pushed before this is drained below, who
     * pushes later sees it. */
    atomic_store_explicit(&proc->state,
                          serial << WEFT__SERIAL_SHIFT | WEFT__ENDING | (proc->flags & WEFT__DISOWNED),
                          memory_order_seq_cst);
    if (__builtin_expect((proc->flags & WEFT__WATCHED) != 0, 0))
        unwatch(proc);
    /* A name that came since: who registers looks at the state afterwards. */
    if (atomic_load_explicit(&proc->name, memory_order_seq_cst) != 0)
        weft__register_end(proc);
    /* Seq_cst, after the state: (1) and (2) of a sender who came in time. */
    if (atomic_load_explicit(&proc->inbox, memory_order_seq_cst) != NULL)
        weft__signal_drop_inbox(proc);

    tell(proc, WEFT__BOND_LINK);
    if (proc->flags & WEFT__IS_TASK)
        weft__signal_task_end(proc);
    tell(proc, WEFT__BOND_WATCHER);
    tell(proc, WEFT__BOND_MONITOR);
    if (proc->fiber.kind == WEFT__PROC_SERVER) {
        proc->entry.behaviour->ended(proc);
        weft__signal_drop_mailbox(proc);
        if ((proc->flags & WEFT__DISOWNED) == 0)
            proc->entry.behaviour->gone(proc);
    }

    if (proc->fiber.is_sticky)
        weft__worker_add_sticky(runtime->sched->workers[proc->fiber.home], -1);
    give_back(runtime, proc);
    /* Relaxed: as in process_ended. */
    if (__builtin_expect(atomic_load_explicit(&runtime->stopping, memory_order_relaxed) != 0, 0))
        weft__runtime_process_ended(runtime);
    return weft__here();
}

WEFT__GATE void weft__life_end(struct weft__proc *proc, weft_term reason)
{
    end(proc, reason);
}

/* -- running ------------------------------------------------------------------------- */

WEFT__GATE static void run_function(struct weft__fiber *fiber)
{
    struct weft__proc *proc = (struct weft__proc *)(void *)fiber;
    struct weft__here *here;
    weft_term reason;

    weft__proc_enter_on(weft__here(), proc);
    if (__builtin_expect(weft__proc_is_doomed(proc), 0)) {
        reason = proc->reason;
    } else {
        reason = proc->entry.fn(proc->arg);
        weft__proc_need_slot(proc);
        if (proc->flags & WEFT__IS_TASK)
            proc->flags |= WEFT__RETURNED;
        else
            reason = WEFT_ATOM("normal");
    }
    here = end(proc, reason);
    here->proc = NULL;
    here->region = NULL;
}

/* One message; false: the process is to end, normally. */
WEFT__GATE static bool handle(struct weft__proc *proc, struct weft__message *message)
{
    weft_term root = message->root;
    weft_scope scope;
    bool goes_on;

    weft__scope_enter(&scope, &proc->region);
    if (message->block.kind == WEFT__MESSAGE_PACK) {
        weft__mailbox_take_packed(weft__here()->slot.cache, proc, weft__pack_of(message));
    } else {
        weft__mailbox_remove(proc, message);
        weft__region_adopt(&proc->region, &message->block);
    }
    proc->arg = root; /* for reports */
    goes_on = proc->entry.handler(proc->state_of_handler, root);
    weft__proc_need_slot(proc);
    weft__scope_leave(&scope);
    return goes_on;
}

WEFT__GATE static void run_handler(struct weft__fiber *fiber)
{
    struct weft__proc *proc = (struct weft__proc *)(void *)fiber;

    weft__proc_enter(proc);
    for (;;) {
        struct weft__message *message;

        if (weft__proc_is_doomed(proc)) {
            weft__life_end(proc, proc->reason);
            break;
        }
        if (proc->mailbox.first == NULL)
            weft__proc_drain(proc);
        if (weft__proc_is_doomed(proc))
            continue;
        message = weft__mailbox_first(proc);
        if (message == NULL) {
            /* It holds no stack: it parks by leaving. From here on another
             * thread may run it. */
            weft__proc_take_token(proc);
            weft__region_trim(&proc->region);
            weft__proc_leave();
            if (weft__proc_commit_park(proc, true))
                return;
            weft__proc_enter(proc);
            continue;
        }
        if (!handle(proc, message)) {
            weft__life_end(proc, WEFT_ATOM("normal"));
            break;
        }
        if (weft__fiber_is_to_give_way(weft__here())) {
            weft__proc_leave();
            weft__fiber_ready(weft__runtime()->sched, fiber, WEFT__READY_LAST);
            return;
        }
    }
    weft__proc_leave();
}

WEFT__GATE static void end_abandoned(void *arg)
{
    struct weft__proc *proc = arg;

    if (proc->fiber.kind == WEFT__PROC_SERVER && (proc->flags & WEFT__ENDS) == 0) {
        proc->entry.behaviour->left(proc);
        return;
    }
    if (proc->fiber.kind == WEFT__PROC_REMAINS) {
        weft__remains_end(proc);
        return;
    }
    if (proc->flags & WEFT__DISOWNED) {
        weft__disowned_end(&proc->fiber);
        return;
    }
    weft__life_end(proc, proc->reason);
    weft__proc_leave();
}

_Noreturn void weft__proc_exit(struct weft__proc *proc, weft_term reason)
{
    if (proc->flags & WEFT__IN_BLOCKING) {
        proc->flags &= ~(uint32_t)WEFT__IN_BLOCKING;
        proc->reason = reason;
        weft__blocking_leave();
        weft__proc_enter(proc);
    }
    weft__catch_throw(proc, reason);
    if (proc->fiber.kind == WEFT__PROC_GUEST)
        weft__guest_exit(reason);
    if (weft__remains_are_out(proc))
        weft__remains_come_back(proc);
    weft__proc_need_slot(proc);
    if (proc->flags & WEFT__ENDS) {
        /* In a defer: that one is over, the others and the end go on. */
        proc->flags &= ~(uint32_t)WEFT__LEFT;
        weft_log_error("a function given to weft_defer ended: %s", weft_inspect(reason));
    } else {
        proc->flags |= WEFT__LEFT;
        proc->reason = reason;
    }
    weft__fiber_abandon(end_abandoned, proc);
}

bool weft__proc_look(struct weft__proc *proc)
{
    /* Relaxed: a signal that comes later is seen at the next look. */
    if (atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__EVENT_SIGNAL)
        weft__proc_drain(proc);
    /* One that holds a foreign lock would leave it locked: it ends later. */
    return (proc->flags & WEFT__DOOMED) != 0 && proc->flags < WEFT__FOREIGN_ONE;
}

/* -- the beginning ------------------------------------------------------------------------ */

/* What the end of the life before left. */
static __attribute__((unused)) bool is_clean(const struct weft__proc *proc)
{
    const char *at = (const char *)proc + offsetof(struct weft__proc, owned);
    const char *end = (const char *)proc + offsetof(struct weft__proc, ref_counter);

    while (at < end && *at == 0)
        at++;
    return at == end;
}

static inline void begin(struct weft__proc *proc, struct weft__runtime *runtime)
{
    uint64_t serial = weft__state_serial(atomic_load_explicit(&proc->state, memory_order_relaxed));

    weft__assert(is_clean(proc));
    proc->flags = 0;
    proc->n_messages = 0;
    proc->pid = weft__pid_make(weft__table_slot(&runtime->table, proc), serial);
    proc->parent = weft_none;
    proc->report = NULL;
    proc->arg = weft_none;
    proc->reason = weft_none;
    atomic_store_explicit(&proc->task_ref, 0, memory_order_relaxed);
    proc->fiber.next = NULL;
    proc->fiber.stack = NULL;
    proc->fiber.is_sticky = 0;
    proc->fiber.stack_class = 0;
    atomic_store_explicit(&proc->name, 0, memory_order_relaxed);
    /* Whatever late senders left for the one before: the first drain drops it.
     * Release, with the look of a sender; who has the pid got it later. */
    atomic_store_explicit(&proc->state, serial << WEFT__SERIAL_SHIFT | WEFT__ACTIVE, memory_order_release);
}

struct weft__proc *weft__life_begin_bare(struct weft__runtime *runtime, enum weft__proc_kind kind)
{
    struct weft__proc *proc = weft__table_take(&runtime->table, NULL);

    if (proc == NULL)
        return NULL;
    proc->fiber.kind = (uint8_t)kind;
    begin(proc, runtime);
    return proc;
}

void weft__life_give_back(struct weft__runtime *runtime, struct weft__proc *proc)
{
    give_back(runtime, proc);
}

/* The parent awaits the child: 0 or WEFT_ENOMEM. */
static inline int tie_task(struct weft__proc *parent, struct weft__proc *child, bool link, weft_ref *ref)
{
    struct weft__bond *bond;

    *ref = weft__make_ref(parent);
    bond = weft__bond_add(parent, WEFT__BOND_TASK, ref->bits, child->pid.bits);
    if (__builtin_expect(bond == NULL, 0))
        return WEFT_ENOMEM;
    bond->is_linked = link;
    child->flags |= link ? WEFT__IS_TASK | WEFT__OWNER_LINK : WEFT__IS_TASK;
    atomic_store_explicit(&child->task_ref, ref->bits, memory_order_relaxed);
    return 0;
}

/* The two sides of what ties child and parent from the start. 0 or WEFT_ENOMEM. */
static int tie(struct weft__proc *parent, struct weft__proc *child, const struct weft__spawn *spawn)
{
    uint64_t parent_bits = parent->pid.bits, child_bits = child->pid.bits;

    if (spawn->options->link && !spawn->is_task) {
        if (weft__bond_add(parent, WEFT__BOND_LINK, child_bits, child_bits) == NULL ||
            weft__bond_add(child, WEFT__BOND_LINK, parent_bits, parent_bits) == NULL)
            return WEFT_ENOMEM;
    }
    if (spawn->options->monitor != NULL) {
        weft_ref ref = weft__make_ref(parent);

        if (weft__bond_add(parent, WEFT__BOND_MONITOR, ref.bits, child_bits) == NULL ||
            weft__bond_add(child, WEFT__BOND_WATCHER, ref.bits, parent_bits) == NULL)
            return WEFT_ENOMEM;
        *spawn->options->monitor = ref;
    }
    return spawn->is_task ? tie_task(parent, child, spawn->options->link, spawn->task_ref) : 0;
}

/* The argument goes to memory of the child's region. */
static inline int copy_arg(struct weft__here *here, struct weft__proc *child, weft_term arg)
{
    struct weft__copy_refusal refusal;
    struct weft__block *block;
    size_t size;

    child->arg = arg;
    if (!weft__is_memory(arg) && !weft__is_special(arg))
        return 0;
    size = weft__copy_size(arg, &refusal);
    if (size == WEFT__COPY_REFUSED)
        return WEFT_EBADTERM;
    if (size == 0)
        return 0;
    block = weft__block_new_from(here->slot.cache, size);
    if (block == NULL)
        return WEFT_ENOMEM;
    child->arg = weft__copy_into(arg, weft__block_data(block), &block->counted);
    weft__region_adopt(&child->region, block);
    return 0;
}

/* A supervisor that runs a child's start function: what it spawns is that child. */
static bool take_child_id(struct weft__proc *parent, struct weft__proc *child)
{
    struct weft__extra *extra;

    if (weft_is_none(parent->extra->starting))
        return true;
    extra = weft__proc_extra(child);
    if (extra != NULL)
        extra->child_id = weft__keep_in(&child->region, parent->extra->starting, "weft_spawn");
    return extra != NULL;
}

static int fill(struct weft__proc *parent, struct weft__proc *child, const struct weft__spawn *spawn,
                const struct weft__worker *worker)
{
    const struct weft_spawn_options *options = spawn->options;
    int code;

    child->parent = parent->pid;
    if (__builtin_expect(parent->extra != NULL, 0) && !take_child_id(parent, child))
        return WEFT_ENOMEM;
    child->fiber.priority = (uint8_t)options->priority;
    child->fiber.home = worker != NULL ? worker->index : 0;
    child->fiber.is_sticky = options->sticky;
    if (__builtin_expect(options->stack_size > 0, 0))
        child->fiber.stack_class = (uint8_t)weft__stack_class_for(options->stack_size);
    if (spawn->kind == WEFT__PROC_SERVER) {
        child->entry.behaviour = spawn->behaviour;
        child->fiber.run = spawn->behaviour->run;
        child->state_of_handler = spawn->state;
    } else if (spawn->kind == WEFT__PROC_HANDLER) {
        child->entry.handler = spawn->handler;
        child->fiber.run = run_handler;
        child->state_of_handler = spawn->state;
        if (options->state_size > 0) {
            child->state_of_handler = weft__owned_alloc(child, options->state_size);
            if (child->state_of_handler == NULL)
                return WEFT_ENOMEM;
            memcpy(child->state_of_handler, spawn->state, options->state_size);
        }
    } else {
        child->entry.fn = spawn->fn;
        child->fiber.run = run_function;
    }
    if (spawn->kind != WEFT__PROC_HANDLER) {
        code = copy_arg(weft__here(), child, spawn->arg);
        if (__builtin_expect(code != 0, 0))
            return code;
    }
    if (options->max_memory > 0 && !weft__limit_set(child, options->max_memory))
        return WEFT_ENOMEM;
    if (options->max_queue > 0 &&
        !weft__room_make(child, (uint32_t)options->max_queue, options->when_full == WEFT_FULL_DROP))
        return WEFT_ENOMEM;
    if (options->label != NULL) {
        struct weft__extra *extra = weft__proc_extra(child);

        if (extra == NULL)
            return WEFT_ENOMEM;
        snprintf(extra->label, sizeof extra->label, "%s", options->label);
    }
    return tie(parent, child, spawn);
}

static void forget_watcher(struct weft__proc *child, struct weft__bond *bond, void *parent)
{
    struct weft__bond *monitor = weft__bond_find(parent, bond->key);

    (void)child;
    if (bond->kind == WEFT__BOND_WATCHER && monitor != NULL)
        weft__bond_remove(parent, monitor);
}

/* Nobody has seen it: no signals, but the parent's bonds with it go. */
static void unmake(struct weft__runtime *runtime, struct weft__proc *parent, struct weft__proc *child,
                   const struct weft__spawn *spawn)
{
    struct weft__bond *bond = weft__bond_find(parent, child->pid.bits);
    uint64_t task_ref = atomic_load_explicit(&child->task_ref, memory_order_relaxed);

    if (bond != NULL)
        weft__bond_remove(parent, bond);
    if (spawn->options->monitor != NULL && child->bonds.n > 0)
        weft__bond_each(child, forget_watcher, parent);
    if (task_ref != 0 && (bond = weft__bond_find(parent, task_ref)) != NULL)
        weft__bond_remove(parent, bond);
    give_back(runtime, child);
}

/* worker: the calling thread's, or NULL. */
static weft_pid spawn_inside(struct weft__worker *worker, struct weft__proc *parent,
                             const struct weft__spawn *spawn, int *code)
{
    struct weft__runtime *runtime = weft__runtime();
    struct weft__proc *child = weft__table_take(&runtime->table, slots_of(runtime, worker));
    weft_pid pid;

    if (child == NULL) {
        *code = WEFT_ELIMIT;
        return weft_none;
    }
    child->fiber.kind = (uint8_t)spawn->kind;
    begin(child, runtime);
    *code = fill(parent, child, spawn, worker);
    if (__builtin_expect(*code != 0, 0)) {
        unmake(runtime, parent, child, spawn);
        return weft_none;
    }
    if (spawn->prepare != NULL)
        spawn->prepare(child, spawn->prepare_arg);
    pid = child->pid;
    if (child->fiber.is_sticky)
        weft__worker_add_sticky(runtime->sched->workers[child->fiber.home], 1);
    /* A handler with no mail has nothing to run: it is born waiting. */
    if (spawn->kind == WEFT__PROC_HANDLER && weft__proc_commit_park(child, true))
        return pid;
    if (spawn->kind == WEFT__PROC_SERVER) /* who starts it waits for it at once */
        weft__fiber_ready(runtime->sched, &child->fiber, WEFT__READY_NEXT);
    else
        weft__fiber_ready_new(runtime->sched, worker, &child->fiber);
    return pid;
}

/* A function's process with no options, filled and not yet queued. NULL: not this way. */
static inline struct weft__proc *begin_plain(struct weft__here *here, struct weft__runtime *runtime,
                                             struct weft__proc *parent, weft_fn *fn, weft_term arg)
{
    struct weft__worker *worker = here->slot.worker;
    struct weft__proc *child;

    if (__builtin_expect(worker == NULL || parent->extra != NULL, 0))
        return NULL;
    child = weft__table_take(&runtime->table, &runtime->slots[worker->index]);
    if (__builtin_expect(child == NULL, 0))
        return NULL;
    child->fiber.kind = WEFT__PROC_FUNCTION;
    begin(child, runtime);
    child->parent = parent->pid;
    child->fiber.priority = WEFT__PRIORITY_NORMAL;
    child->fiber.home = worker->index;
    child->fiber.run = run_function;
    child->entry.fn = fn;
    if (__builtin_expect(copy_arg(here, child, arg) == 0, 1))
        return child;
    give_back(runtime, child);
    return NULL;
}

weft_pid weft__proc_spawn_plain(struct weft__here *here, struct weft__proc *parent, weft_fn *fn, weft_term arg)
{
    struct weft__runtime *runtime = weft__runtime();
    struct weft__proc *child = begin_plain(here, runtime, parent, fn, arg);
    weft_pid pid;

    if (__builtin_expect(child == NULL, 0))
        return weft_none;
    pid = child->pid;
    weft__fiber_ready_new(runtime->sched, here->slot.worker, &child->fiber);
    return pid;
}

weft_pid weft__proc_spawn_task(struct weft__here *here, struct weft__proc *parent, weft_fn *fn, weft_term arg,
                               bool link, void (*report)(struct weft__proc *proc, weft_term reason), weft_ref *ref)
{
    struct weft__runtime *runtime = weft__runtime();
    struct weft__proc *child = begin_plain(here, runtime, parent, fn, arg);
    weft_pid pid;

    if (__builtin_expect(child == NULL, 0))
        return weft_none;
    pid = child->pid;
    if (__builtin_expect(tie_task(parent, child, link, ref) != 0, 0)) {
        give_back(runtime, child);
        return weft_none;
    }
    child->report = report;
    weft__fiber_ready_new(runtime->sched, here->slot.worker, &child->fiber);
    return pid;
}

weft_pid weft__proc_spawn(struct weft__proc *parent, const struct weft__spawn *spawn, int *code)
{
    return spawn_inside(weft__here()->slot.worker, parent, spawn, code);
}

/* link.c - links, monitors, aliases, exit signals: the calls. */
#include <stdio.h>

#include "base/here.h"
#include "base/options.h"
#include "proc/bond.h"
#include "proc/mailbox.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "proc/signal.h"
#include "weft/error.h"

static struct weft__bond *add(struct weft__proc *proc, enum weft__bond_kind kind, uint64_t key,
                              uint64_t peer, const char *call)
{
    struct weft__bond *bond = weft__bond_add(proc, kind, key, peer);

    if (bond == NULL)
        weft__proc_system_limit(call, "no memory");
    return bond;
}

/* -- references ------------------------------------------------------------------ */

weft_ref weft__make_ref(struct weft__proc *proc)
{
    /* Relaxed: one writer; who reads it learns the rest from a signal (bond.h). */
    uint64_t counter = atomic_load_explicit(&proc->ref_counter, memory_order_relaxed) + 1;
    weft_ref ref = weft__ref_make(weft__pid_slot(proc->pid), counter);

    atomic_store_explicit(&proc->ref_counter, counter, memory_order_relaxed);

    /* What is in the mailbox now is older than the reference: a receive that
     * asks for it may begin after that. */
    proc->mailbox.mark = proc->mailbox.last;
    return ref;
}

bool weft__waits_for(uint64_t ref)
{
    struct weft__proc *proc = weft__table_at(&weft__runtime()->table, weft__ref_slot(weft__term(ref)));
    uint64_t mask = (UINT64_C(1) << WEFT__COUNTER_BITS) - 1;

    if (proc == NULL)
        return false;
    /* Relaxed: a signal that was drained brought what was written before it. */
    return (atomic_load_explicit(&proc->ref_counter, memory_order_relaxed) & mask) ==
           weft__ref_counter(weft__term(ref));
}

void weft__call_over(struct weft__proc *proc, struct weft__bond *bond)
{
    weft__make_ref(proc); /* first: see bond.h */
    weft__signal_call_over(proc, weft__term(bond->peer), bond->key);
}

weft_ref weft_make_ref(void)
{
    return weft__make_ref(weft__proc_need("weft_make_ref"));
}

/* -- links -------------------------------------------------------------------------- */

bool weft__is_linked(struct weft__proc *proc, weft_pid peer)
{
    struct weft__bond *bond;

    bond = weft__bond_find(proc, peer.bits);
    if ((bond != NULL && bond->kind == WEFT__BOND_LINK) || weft__is_linked_owner(proc, peer.bits))
        return true;
    bond = weft__bond_find_task(proc, peer.bits);
    return bond != NULL && bond->is_linked;
}

/* This side of a link; NULL: there is a link already. */
static struct weft__bond *begin_link(struct weft__proc *proc, weft_pid peer)
{
    struct weft__bond *bond;

    if (peer.bits == proc->pid.bits || weft__is_linked(proc, peer))
        return NULL;
    bond = weft__bond_find(proc, peer.bits);
    if (bond == NULL)
        return add(proc, WEFT__BOND_LINK, peer.bits, peer.bits, "weft_link");
    bond->kind = WEFT__BOND_LINK; /* the answer to an unlink is still awaited */
    return bond;
}

void weft__link(struct weft__proc *proc, weft_pid peer)
{
    if (begin_link(proc, peer) != NULL)
        weft__signal_link(proc, peer);
}

void weft__link_half(struct weft__proc *proc, weft_pid peer)
{
    struct weft__bond *bond = begin_link(proc, peer);

    if (bond != NULL)
        bond->is_half = true;
}

void weft_link(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_need("weft_link");

    if (!weft_is_pid(pid))
        weft__proc_badarg("weft_link", "%s is no pid", weft_inspect(pid));
    weft__proc_obey(proc);
    weft__link(proc, pid);
    weft__proc_obey(proc); /* :noproc may have come */
}

/* What is left of a link that this side gives up; bond: the link's, or NULL. */
static void cut(struct weft__proc *proc, struct weft__bond *bond, weft_pid peer)
{
    if (bond == NULL)
        bond = weft__bond_add(proc, WEFT__BOND_CUT, peer.bits, peer.bits);
    if (bond == NULL) {
        weft__signal_unlink(proc, peer, 0); /* no memory: links that cross it are not told apart */
        return;
    }
    bond->kind = WEFT__BOND_CUT;
    bond->cut++;
    if (!weft__signal_unlink(proc, peer, bond->cut))
        weft__bond_remove(proc, bond);
}

void weft__bond_unlink(struct weft__proc *proc, struct weft__bond *bond)
{
    bond->is_half = false;
    if (bond->cut != 0)
        bond->kind = WEFT__BOND_CUT;
    else
        weft__bond_remove(proc, bond);
}

void weft__unlink(struct weft__proc *proc, weft_pid peer)
{
    struct weft__bond *bond = weft__bond_find(proc, peer.bits), *task;

    if (bond != NULL && bond->kind == WEFT__BOND_LINK && bond->is_half) {
        weft__bond_unlink(proc, bond);
        return;
    }
    if (bond == NULL || bond->kind != WEFT__BOND_LINK) {
        task = weft__bond_find_task(proc, peer.bits);
        if (weft__is_linked_owner(proc, peer.bits))
            proc->flags &= ~(uint32_t)WEFT__OWNER_LINK;
        else if (task != NULL && task->is_linked)
            task->is_linked = false;
        else
            return;
    }
    cut(proc, bond, peer);
}

void weft__task_unlink(struct weft__proc *proc, struct weft__bond *bond)
{
    if (!bond->is_linked)
        return;
    bond->is_linked = false;
    cut(proc, weft__bond_find(proc, bond->peer), weft__term(bond->peer));
}

static void need_pid(const char *call, weft_term pid)
{
    if (!weft_is_pid(pid))
        weft__proc_badarg(call, "%s is no pid", weft_inspect(pid));
}

void weft_unlink(weft_pid pid)
{
    need_pid("weft_unlink", pid);
    weft__unlink(weft__proc_need("weft_unlink"), pid);
}

bool weft__flush_exit(struct weft__proc *proc, weft_pid peer)
{
    for (struct weft__message *message = proc->mailbox.first; message != NULL;
         message = weft__message_next(message))
        if ((message->block.flags & WEFT__IS_EXIT) && message->from == peer.bits) {
            weft__mailbox_remove(proc, message);
            weft__message_free(message);
            return true;
        }
    return false;
}

void weft_unlink_flush(weft_pid pid)
{
    struct weft__proc *proc = weft__proc_need("weft_unlink_flush");

    need_pid("weft_unlink_flush", pid);
    weft__unlink(proc, pid);
    weft__proc_drain(proc);
    weft__proc_obey(proc);
    weft__flush_exit(proc, pid);
}

/* -- exit signals ----------------------------------------------------------------------- */

void weft__exit_signal(struct weft__proc *proc, weft_pid to, weft_term reason)
{
    weft__signal_exit(proc, to, reason);
}

static void check_reason(const char *call, weft_term reason)
{
    struct weft__copy_refusal refusal = {WEFT__COPY_OK, weft_none};

    if (weft_is_none(reason))
        weft__proc_badarg(call, "weft_none is no reason");
    if (weft__copy_size(reason, &refusal) == WEFT__COPY_REFUSED)
        weft__proc_badarg(call, "%s", weft__copy_words(&refusal));
}

static void exit_signal(const char *call, weft_pid to, weft_term reason)
{
    struct weft__proc *proc = weft__proc_need(call);

    need_pid(call, to);
    check_reason(call, reason);
    weft__exit_signal(proc, to, reason);
    if (to.bits == proc->pid.bits)
        weft__proc_obey(proc);
}

void weft_exit_signal(weft_pid to, weft_term reason)
{
    exit_signal("weft_exit_signal", to, reason);
}

void weft_kill(weft_pid to)
{
    exit_signal("weft_kill", to, WEFT_ATOM("kill"));
}

void weft_exit(weft_term reason)
{
    struct weft__proc *proc = weft__proc_need("weft_exit");

    check_reason("weft_exit", reason);
    weft__proc_exit(proc, reason);
}

bool weft_trap_exit(bool on)
{
    struct weft__proc *proc = weft__proc_need("weft_trap_exit");
    bool before = (proc->flags & WEFT__TRAPS) != 0;

    weft__proc_drain(proc);
    weft__proc_obey(proc);
    proc->flags = on ? proc->flags | WEFT__TRAPS : proc->flags & ~(uint32_t)WEFT__TRAPS;
    return before;
}

/* -- monitors ------------------------------------------------------------------------------ */

weft_ref weft_monitor_opt(weft_term target, const struct weft_monitor_options *given)
{
    struct weft_monitor_options room = {WEFT_MONITOR_DEFAULTS};
    const struct weft_monitor_options *options = weft__options(given, &room, sizeof room);
    struct weft__proc *proc = weft__proc_need("weft_monitor");
    weft_pid pid = target;
    int code = weft_is_pid(target) ? 0 : weft__name_find(target, &pid);
    weft_ref ref;
    struct weft__bond *bond;

    if (code == WEFT_ENOTSUP)
        weft__proc_badarg("weft_monitor", "%s names nobody: the keys of that registry are duplicate", weft_inspect(target));
    if (code == WEFT_ERANGE)
        weft__proc_badarg("weft_monitor", "%s names nobody: there are zero partitions", weft_inspect(target));
    if (code != 0)
        weft__proc_badarg("weft_monitor", "%s is neither a pid nor a name", weft_inspect(target));
    if (!weft_is_none(options->tag) && !weft_is_atom(options->tag))
        weft__proc_badarg("weft_monitor", ".tag is %s, not an atom", weft_inspect(options->tag));
    if ((unsigned)options->alias > WEFT_ALIAS_REPLY_DEMONITOR)
        weft__proc_badarg("weft_monitor", ".alias is %d, no alias mode", (int)options->alias);
    ref = weft__make_ref(proc);
    if (pid.bits == proc->pid.bits && options->alias == WEFT_ALIAS_NONE)
        return ref; /* never fires */
    bond = add(proc, WEFT__BOND_MONITOR, ref.bits, pid.bits, "weft_monitor");
    bond->alias = (uint8_t)options->alias;
    bond->tag = options->tag;
    if (weft_is_atom(target))
        bond->name = target;
    if (weft_is_none(pid))
        weft__signal_noproc_down(proc, target, ref.bits);
    else if (pid.bits != proc->pid.bits)
        weft__signal_monitor(proc, pid, ref.bits);
    return ref;
}

static bool flush_down(struct weft__proc *proc, weft_ref ref)
{
    for (struct weft__message *message = proc->mailbox.first; message != NULL;
         message = weft__message_next(message))
        if ((message->block.flags & WEFT__IS_DOWN) && message->ref == ref.bits) {
            weft__mailbox_remove(proc, message);
            weft__message_free(message);
            return true;
        }
    return false;
}

bool weft_demonitor(weft_ref ref, bool flush)
{
    struct weft__proc *proc = weft__proc_need("weft_demonitor");
    struct weft__bond *bond;

    if (!weft_is_ref(ref))
        weft__proc_badarg("weft_demonitor", "%s is no reference", weft_inspect(ref));
    /* A DOWN that is here already counts as fired. */
    weft__proc_drain(proc);
    weft__proc_obey(proc);
    bond = weft__bond_find(proc, ref.bits);
    if (bond != NULL && bond->kind == WEFT__BOND_MONITOR) {
        weft__signal_demonitor(proc, weft__term(bond->peer), ref.bits);
        if (bond->alias == WEFT_ALIAS_EXPLICIT)
            bond->kind = WEFT__BOND_ALIAS;
        else
            weft__bond_remove(proc, bond);
        return true;
    }
    if (flush)
        flush_down(proc, ref);
    return false;
}

/* -- aliases --------------------------------------------------------------------------------- */

weft_ref weft_alias(bool until_reply)
{
    struct weft__proc *proc = weft__proc_need("weft_alias");
    weft_ref ref = weft__make_ref(proc);
    struct weft__bond *bond = add(proc, WEFT__BOND_ALIAS, ref.bits, 0, "weft_alias");

    bond->alias = until_reply ? WEFT_ALIAS_REPLY_DEMONITOR : WEFT_ALIAS_EXPLICIT;
    return ref;
}

bool weft_unalias(weft_ref alias)
{
    struct weft__proc *proc = weft__proc_need("weft_unalias");
    struct weft__bond *bond;

    if (!weft_is_ref(alias))
        weft__proc_badarg("weft_unalias", "%s is no reference", weft_inspect(alias));
    weft__proc_drain(proc);
    weft__proc_obey(proc);
    bond = weft__bond_find(proc, alias.bits);
    if (bond == NULL || bond->alias == WEFT_ALIAS_NONE)
        return false;
    if (bond->kind == WEFT__BOND_ALIAS)
        weft__bond_remove(proc, bond);
    else
        bond->alias = WEFT_ALIAS_NONE; /* the monitor stays */
    return true;
}

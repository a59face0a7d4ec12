/* bond.h - what ties a process to others: links, monitors, aliases, tasks.
 *
 * Each side keeps its own record and signals keep the two in step, so no
 * record is shared. A process's bonds are in one hash table by key: a pid for
 * links, a reference for the rest. Few bonds are one short list.
 */
#ifndef WEFT_PROC_BOND_H
#define WEFT_PROC_BOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/term.h"

struct weft__proc;
struct weft__message;

enum weft__bond_kind {
    WEFT__BOND_LINK,    /* key: peer's pid */
    WEFT__BOND_CUT,     /* key: peer's pid; unlinked, and the peer has not said so yet */
    WEFT__BOND_MONITOR, /* key: ref; this process watches peer */
    WEFT__BOND_WATCHER, /* key: ref; peer watches this process */
    WEFT__BOND_ALIAS,   /* key: ref; alias */
    WEFT__BOND_TASK,    /* key: ref; peer is a task of this process: a monitor
                         * whose end carries the result, and its link */
    WEFT__BOND_REPLY,   /* key: ref; this process waits for one REPLY of peer */
    WEFT__BOND_CALLER   /* key: ref; peer waits for a REPLY of this process */
};

struct weft__bond {
    struct weft__bond *next;
    uint64_t key;                    /* bits */
    uint64_t peer;                   /* pid bits */
    uint8_t kind;
    uint8_t alias;                   /* MONITOR, ALIAS: enum weft_alias_mode */
    uint8_t is_silent;               /* TASK: its end is dropped when it comes */
    uint8_t is_done;                 /* TASK, REPLY: `message` is here */
    uint8_t is_linked;               /* TASK: linked too; the task has OWNER_LINK */
    uint8_t is_foreign;              /* REPLY: done, but not by peer */
    uint8_t is_framed;               /* in memory of its user, not to be freed */
    uint8_t is_half;                 /* LINK: the peer has none; see below */
    uint32_t index;                  /* TASK: the collector's own */
    union {
        weft_atom tag;               /* MONITOR: in place of :DOWN, or none */
        weft_term value;             /* REPLY: done without a message: no memory */
    };
    union {
        weft_atom name;              /* MONITOR: asked for by name */
        uint64_t cut;                /* LINK, CUT: the unlink whose answer is awaited, or 0 */
        struct weft__message *message; /* TASK: its end, in the mailbox or, with
                                      * a collector, outside of it */
    };
    struct weft__collector *collector; /* TASK: who gathers its end, or NULL */
};

/* -- links ------------------------------------------------------------------------------
 *
 * Each side has a LINK bond. Who unlinks tells the peer, who answers; until then
 * the bond is a CUT. A LINK signal that meets a CUT is older than the peer's
 * answer: the peer will find the unlink behind it in its inbox, and has no link
 * then. Taken for a new link it would stay here alone. One that comes after the
 * answer is a new link.
 *
 *     A: link(B)     A: LINK ->                 B: link(A)     <- LINK :B
 *     A: unlink(B)   A: UNLINK 1 ->, CUT 1
 *     A drains LINK: it has a CUT, so drops it
 *                                               B drains LINK: it is linked
 *                                               B drains UNLINK 1: it is not; <- UNLINKED 1
 *     A drains UNLINKED 1: the CUT goes
 *
 * A link made anew meanwhile is a LINK bond that still awaits the answer (cut).
 * For one who has ended, whoever drops the UNLINK answers; twice does no harm.
 * The links of a task and its owner are not bonds: unlinked they are CUT as well.
 * As in OTP since release 23 (ERTS, "Link Protocol").
 *
 * Half a link is this process's side alone, for a peer that knows otherwise whom it
 * would be linked to, and when it ends makes the other halves, before its links are told
 * (a registry's partition). So no signal goes when it is made, cut, or when this side ends.
 */

/* Who gathers the ends of several tasks: they do not go to the mailbox. Called
 * while draining, by the process itself: may not park or allocate terms; the
 * bond stays until bond_remove. The message belongs to the bond. */
struct weft__collector {
    void (*ended)(struct weft__collector *collector, struct weft__proc *proc, struct weft__bond *bond);
};

/* A new bond in proc's table; NULL: no memory. There is none with that key. */
struct weft__bond *weft__bond_add(struct weft__proc *proc, enum weft__bond_kind kind, uint64_t key,
                                  uint64_t peer);
/* The same in memory that stays until it is removed, or the process has ended. */
void weft__bond_put(struct weft__proc *proc, struct weft__bond *bond, enum weft__bond_kind kind,
                    uint64_t key, uint64_t peer);
struct weft__bond *weft__bond_find(struct weft__proc *proc, uint64_t key);
/* The TASK bond with that peer that is not done, if there is one: linear. */
struct weft__bond *weft__bond_find_task(struct weft__proc *proc, uint64_t peer);
/* Take it out and free it (its message is the caller's). */
void weft__bond_remove(struct weft__proc *proc, struct weft__bond *bond);
/* visit(bond, arg) for each; visit may remove that bond alone. */
void weft__bond_each(struct weft__proc *proc, void (*visit)(struct weft__proc *proc, struct weft__bond *bond, void *arg),
                     void *arg);

/* The frames below `frame` are left for good: take out the bonds in them. */
void weft__bond_drop_frames(struct weft__proc *proc, void *frame);

/* Copy the bond with that key, as seen from outside: through the kernel, by a copy
 * of the control block. false: none is to be seen. Of any process. */
bool weft__bond_peek(const struct weft__proc *copy, uint64_t key, struct weft__bond *bond);

/* Free them all, without telling anybody. */
void weft__bond_clear(struct weft__proc *proc);

/* -- the verbs behind process.h, for the behaviours --------------------------------- */

void weft__link(struct weft__proc *proc, weft_pid peer);   /* ends proc when peer is gone and it does not trap */
/* Half a link, unless there is one. */
void weft__link_half(struct weft__proc *proc, weft_pid peer);
/* Is there a link, as far as proc has looked? */
bool weft__is_linked(struct weft__proc *proc, weft_pid peer);
void weft__unlink(struct weft__proc *proc, weft_pid peer); /* drops the bond, tells the peer */
/* What is left of a LINK bond without the link: nothing, or a CUT whose answer is awaited. */
void weft__bond_unlink(struct weft__proc *proc, struct weft__bond *bond);
weft_ref weft__make_ref(struct weft__proc *proc);
/* Send an exit signal as from proc. */
void weft__exit_signal(struct weft__proc *proc, weft_pid to, weft_term reason);
/* Take the queued {:EXIT, peer, _} out of the mailbox and free it; false: none. */
bool weft__flush_exit(struct weft__proc *proc, weft_pid peer);

/* -- calls ------------------------------------------------------------------------------
 *
 * The caller has a REPLY bond, whose key is the reference that the request
 * carries; the server owes an answer. While the request waits in the mailbox,
 * or is being handled, nothing but itself says so: when the server ends, it is
 * answered with the reason (signal.c; weft__behaviour.ended). A server that
 * puts the answer off has a CALLER bond from then on, told at its end as well.
 *
 * Such a bond must go when the caller stops waiting otherwise than by an answer
 * of that server (time out, end, an answer by a third process). It then first
 * makes a newer reference and then sends SIGNAL_CALL_OVER. The server adds the
 * bond only when weft__waits_for says yes:
 *
 *     the signal was drained before   the reference was newer before: it says no
 *     the signal comes later          it takes the bond away
 */

/* Is `ref` the newest reference of the process whose slot made it? A caller
 * makes none while it waits. Of any process; never switches. */
bool weft__waits_for(uint64_t ref);

/* The call that `bond` stands for is over without the peer's answer: tell the
 * peer. The bond stays. */
void weft__call_over(struct weft__proc *proc, struct weft__bond *bond);

/* -- tasks ------------------------------------------------------------------------------
 *
 * weft__proc_spawn with is_task: the parent has a TASK bond under *task_ref,
 * which is_linked when options->link says so; the child remembers parent, ref
 * and link in its control block, and has no bond for them. When the child ends, one signal TASK_END carries its result (or the reason) and stands
 * for the DOWN and the link's exit at once. At the parent, when drained:
 *
 *   no TASK bond       dropped but for the link part
 *   is_silent          the same, and the bond goes
 *   with a collector   bond->message = it; is_done; collector->ended
 *   else               appended to the mailbox as MESSAGE_TASK, bond->message
 *                      = it, is_done; weft_receive sees {ref, value} and then
 *                      {:DOWN, ref, :process, pid, :normal} (or the DOWN alone)
 *   link part          when it is linked: an abnormal reason ends a parent that does not trap; one that traps gets an {:EXIT, pid, reason}
 *                      message (between the two when in the mailbox; none with
 *                      a collector or is_silent)
 */

/* Cut the link with a task, if there is one; the bond stays. */
void weft__task_unlink(struct weft__proc *proc, struct weft__bond *bond);

/* Stop watching the task: its bond goes and what came of it, the mailbox
 * included; the link stays. false: no such bond (used up). */
bool weft__task_forget(struct weft__proc *proc, uint64_t ref);

/* Take the end of a done task out (of the mailbox too), bond included, the
 * task's {:EXIT, ...} as well. The message is the caller's:
 * block.flags & WEFT__HAS_VALUE: root is the value, else the reason. */
struct weft__message *weft__task_take(struct weft__proc *proc, struct weft__bond *bond);

#endif

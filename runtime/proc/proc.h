/* proc.h - a process: a fiber with a pid, a mailbox, signals and memory.
 *
 * Control blocks are type-stable: a slot is a control block for as long as the
 * runtime lives, so a sender needs neither lock nor count. What keeps that
 * sound:
 *
 *   - A pid is (slot, serial); the slot's serial is in `state`. Who sends looks
 *     at it first. A slot goes on to the next serial when its process ends; a
 *     slot whose serials are used up is never used again.
 *   - A message names the pid it is for. One that comes to a slot too late is
 *     dropped by whoever drains that slot's inbox: the process that ends, or
 *     the next one that lives there. A signal that wants an answer is answered
 *     when it is dropped.
 *   - Who sent a signal that wants an answer looks at `state` again afterwards;
 *     when the target is gone, it answers itself. Both may answer: references
 *     make the second answer harmless.
 *
 * The state word: serial above, events and the run state below.
 *
 *     FREE     nobody lives here
 *     ACTIVE   queued, running, or waiting for mail
 *     PARKED   parked for something else: messages do not wake it
 *     ENDING   its last words: takes no more signals
 *
 *     FREE -> ACTIVE     begin (life.c)           a new serial is live
 *     ACTIVE -> PARKED   weft__proc_commit_park   after its stack is left
 *     PARKED -> ACTIVE   set_event: who wins the CAS queues it
 *     ACTIVE -> ENDING -> FREE   weft__life_end   serial + 1; of one that was disowned
 *                                                 (disown.h) the slot waits in between
 *
 * The inbox: messages, newest first; NULL; or the mark WAITS_FOR_MAIL, which
 * says that nothing is there and the process waits for it.
 *
 *     NULL -> mark       weft__proc_commit_park   after its stack is left
 *     mark -> NULL       weft__message_post, set_event, take_back: who wins the
 *                        CAS has the process, and queues it
 *
 * So one CAS by the sender finds the process waiting and takes it. A plain
 * message then goes straight to the mailbox, which is the sender's as long as
 * it has the process: nothing that came before can be missing there, since the
 * inbox was empty. Any other signal takes the mark's place in the inbox.
 *
 * No lost wake-up. Mail: mark and messages are in one word, so no sender can
 * push past the mark. What is no mail is an event bit, in the state word:
 *
 *     waker                            park
 *     1  set the bit by CAS;           3  NULL -> mark by CAS
 *        PARKED: to ACTIVE with it     4  read the state: an event;
 *     2  read the inbox: the mark;        take the mark back by CAS
 *        take it by CAS
 *
 * All four seq_cst: if (2) comes before (3), then (1) comes before (4), which
 * sees the event; else (2) sees the mark. Both may see: one CAS wins. Against
 * PARKED no such look is needed, as event and run state are one word.
 *
 * The mark does not say which wait it is for, nor which life. Whoever takes one
 * that is not the one it saw wakes a process for no reason, which every wait
 * allows; a message for an earlier life that is handed over so is freed.
 */
#ifndef WEFT_PROC_PROC_H
#define WEFT_PROC_PROC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/here.h"
#include "sched/fiber.h"
#include "sched/wheel.h"
#include "term/region.h"
#include "term/term.h"
#include "weft/process.h"

struct weft__bond;
struct weft__extra;
struct weft__message;
struct weft__owned;
struct weft__room_waiter;
struct weft__runtime;

/* -- the state word ----------------------------------------------------------- */

enum weft__state {
    WEFT__FREE,
    WEFT__ACTIVE,
    WEFT__PARKED,
    WEFT__ENDING
};
#define WEFT__STATE_MASK UINT64_C(3)
#define WEFT__BOUNDED (UINT64_C(1) << 2)      /* its mailbox has a bound: proc/room.h */
#define WEFT__EVENT_SIGNAL (UINT64_C(1) << 3) /* something in the inbox must be handled even when not in receive */
#define WEFT__EVENT_TOKEN (UINT64_C(1) << 4)  /* weft__proc_unpark */
#define WEFT__KILLED (UINT64_C(1) << 5)       /* will end: is_alive says no */
#define WEFT__QUIET (UINT64_C(1) << 6)        /* killed on purpose by its owner: no report */
#define WEFT__TOLD (UINT64_C(1) << 7)         /* that the program ends: once is enough */
#define WEFT__DISOWNED 256u                   /* its thread goes on without it: disown.h. In flags as well */
#define WEFT__SERIAL_SHIFT 9

/* In an inbox: see above. No message has this address. */
#define WEFT__WAITS_FOR_MAIL ((struct weft__message *)(uintptr_t)1)

static inline uint64_t weft__state_serial(uint64_t state) { return state >> WEFT__SERIAL_SHIFT; }

/* -- the control block ---------------------------------------------------------- */

/* What a process is (fiber.kind). */
enum weft__proc_kind {
    WEFT__PROC_FUNCTION, /* runs fn(arg) once */
    WEFT__PROC_HANDLER,  /* runs handler(state, message) for each message */
    WEFT__PROC_SERVER,   /* runs as its behaviour does, and takes requests */
    WEFT__PROC_GUEST,    /* a foreign thread */
    WEFT__PROC_REMAINS   /* what is left on the thread of one that was disowned: disown.h */
};

/* flags; by the process alone */
enum {
    WEFT__TRAPS = 1,          /* trap_exit */
    WEFT__IN_BLOCKING = 2,    /* inside weft_blocking */
    WEFT__DOOMED = 4,         /* a fatal signal was accepted; `reason` says which */
    WEFT__IS_TASK = 8,        /* tells its end to its parent, under task_ref */
    WEFT__RETURNED = 16,      /* of a task: `reason` is its result */
    WEFT__ENDS = 32,          /* its end is under way */
    WEFT__OWNER_LINK = 128,   /* of a task: linked with its owner, without a bond */
    WEFT__WAITS = 64,         /* inside a wait: what process_info calls waiting */
    /* 256: WEFT__DISOWNED */
    WEFT__FAULTED = 512,      /* its code was left at a fault: what it was changing may be half written */
    WEFT__LEFT = 1024,        /* it ends, and the frames it left are behind the stack it ends on */
    WEFT__HAS_ROOM = 2048,    /* its mailbox has a bound: room.h */
    WEFT__ALARMED = 4096,     /* its mailbox is long, and somebody heard: alarm.h */
    WEFT__LIMITED = 8192,     /* its memory has a limit: see limit.h */
    WEFT__FOREIGN_ONE = 1 << 16 /* from here up: how many foreign locks it says it holds */
};

/* Something is to be done when a message leaves its mailbox. */
#define WEFT__WATCHED (WEFT__HAS_ROOM | WEFT__ALARMED)

/* What a higher room makes of a process that holds no stack between messages,
 * and keeps in state_of_handler. */
struct weft__behaviour {
    /* Run it at a stack's base, as fiber.run; it has something to do. */
    void (*run)(struct weft__fiber *fiber);
    /* It left its frames with an exit, proc->reason; called on another stack, in
     * the process: weft__life_end ends it, weft__fiber_ready lets it go on. */
    void (*left)(struct weft__proc *proc);
    /* It ends, with proc->reason: tell who waits for an answer. Never switches. */
    void (*ended)(struct weft__proc *proc);
    /* Nobody is in its callbacks any more: give back what state_of_handler points to.
     * After ended; long after it, where the process was disowned. Never switches. */
    void (*gone)(struct weft__proc *proc);
};

struct weft__proc {
    /* By whoever holds the fiber. */
    struct weft__fiber fiber;
    /* By anyone, seldom; the inbox, which senders write all the time, is last. */
    _Atomic uint64_t state;
    _Atomic uint64_t name;              /* bits of the atom it is registered as, or 0 */
    /* By the process alone from here on (its worker, while it runs). A short life
     * writes the second cache line and looks at the others. */
    uint32_t flags;
    uint32_t n_messages;                /* in the mailbox */
    /* Set when it begins. */
    weft_pid pid;
    weft_pid parent;
    union {
        weft_fn *fn;
        weft_handler_fn *handler;
        const struct weft__behaviour *behaviour;
    } entry;
    union {
        void *state_of_handler;
        void (*report)(struct weft__proc *proc, weft_term reason); /* of a function: how its
                                         * end is reported, or NULL */
    };
    weft_term arg;                      /* of a function, in memory of the region; of a handler,
                                         * the message that it handles */
    weft_term reason;                   /* DOOMED or ending: in memory of the region */
    _Atomic uint64_t task_ref;          /* IS_TASK: the reference its owner knows; relaxed, as
                                         * it is atomic only for free slots' sake (table.c) */
    /* All zero in a free slot, but for the counter. */
    struct weft__owned *owned;          /* memory, keeps and defers, newest first */
    struct weft__region region;
    struct weft__extra *extra;          /* what few processes have */
    struct {                            /* oldest first, two ways */
        struct weft__message *first, *last;
        struct weft__message *mark;     /* the last one there when the newest reference was made */
    } mailbox;
    struct weft__wait *wait;            /* whose timer is set, or NULL */
    struct {                            /* links, monitors, aliases: bond.h */
        struct weft__bond **buckets;    /* NULL: one_list is all there is */
        struct weft__bond *one_list;
        uint32_t n, n_buckets;
    } bonds;
    _Atomic uint64_t ref_counter;       /* never goes back, over all serials. Others read it:
                                         * see weft__waits_for in bond.h */
    /* By anyone: newest first; or WAITS_FOR_MAIL. In another cache line than what
     * a process that receives looks at: its senders may be on other cores. */
    _Atomic(struct weft__message *) inbox;
};

/* What few processes have; made at first need. */
struct weft__extra {
    char label[65];
    weft_term dictionary;      /* a kept map, or weft_none */
    weft_term callers;         /* a kept list of pids: who this works for; or weft_none */
    weft_term initial_call;    /* kept; for reports */
    size_t memory_max;         /* LIMITED: bytes it may have, and may get before */
    size_t memory_room;        /* the next count */
    weft_pid owner;            /* of a task that a supervisor started: who awaits it; or weft_none */
    weft_term starting;        /* of a supervisor: the id of the child whose start function runs; or weft_none */
    weft_term child_id;        /* of what that spawned: the same, kept; or weft_none */
    struct weft__catch *catcher; /* the innermost, in the process's frames; or NULL */
    struct weft__room_waiter *waits_for_room; /* in its frames: for a place in another's mailbox; or NULL */
    uint32_t alarm_next;       /* ALARMED: the length at which somebody hears again */
};

/* Who hears of a task's end: who started it, or had it started. */
static inline weft_pid weft__task_owner(const struct weft__proc *proc)
{
    return proc->extra != NULL && proc->extra->owner.bits != 0 ? proc->extra->owner : proc->parent;
}

static inline bool weft__is_linked_owner(const struct weft__proc *proc, uint64_t peer)
{
    return (proc->flags & WEFT__OWNER_LINK) != 0 && peer == weft__task_owner(proc).bits;
}

/* -- life -------------------------------------------------------------------------- */

/* How a process is to begin. */
struct weft__spawn {
    enum weft__proc_kind kind;
    weft_fn *fn;
    weft_handler_fn *handler;
    const struct weft__behaviour *behaviour; /* of a server */
    void *state;
    weft_term arg;                      /* copied; weft_none: none; of a function or a server */
    const struct weft_spawn_options *options; /* complete */
    const char *call;                   /* the public function, for reasons */
    bool is_task;                       /* the caller keeps a task bond */
    weft_ref *task_ref;
    /* Runs in the caller when the control block is filled and nobody can see
     * it: for what must be there before it starts. May be NULL. */
    void (*prepare)(struct weft__proc *child, void *arg);
    void *prepare_arg;
};
/* A pid, or weft_none and *code: WEFT_ENOMEM or WEFT_ELIMIT. Never switches. */
weft_pid weft__proc_spawn(struct weft__proc *parent, const struct weft__spawn *spawn, int *code);
/* The same for a function and no options, which is what most spawns are; and for a task of
 * such a one, with the reference under *ref. weft_none: not this way; nothing was done. */
weft_pid weft__proc_spawn_plain(struct weft__here *here, struct weft__proc *parent, weft_fn *fn, weft_term arg);
weft_pid weft__proc_spawn_task(struct weft__here *here, struct weft__proc *parent, weft_fn *fn, weft_term arg,
                               bool link, void (*report)(struct weft__proc *proc, weft_term reason), weft_ref *ref);
/* Is nothing asked for but what everybody gets, and perhaps a link? In one comparison. */
static inline bool weft__spawn_is_plain(const struct weft_spawn_options *options)
{
    return ((size_t)options->sticky | (size_t)options->monitor | options->stack_size | (size_t)options->label |
            options->state_size | options->max_memory | options->max_queue |
            (size_t)(options->priority != WEFT_NORMAL) | (size_t)(options->when_full != WEFT_FULL_REFUSE)) == 0;
}

struct weft__proc *weft__proc_here_slow(void);
_Noreturn void weft__proc_not_here(const char *call);
struct weft__proc *weft__proc_need_parkable_slow(const char *call);

/* The calling process; a foreign thread becomes a guest. NULL: no runtime.
 * _on: the thread's struct is at hand. */
static inline struct weft__proc *weft__proc_here_on(struct weft__here *here)
{
    /* On a thread of the runtime, what runs is a process or nothing. */
    if (__builtin_expect(here->carrier != NULL, 1))
        return here->proc;
    return weft__proc_here_slow();
}
static inline struct weft__proc *weft__proc_here(void)
{
    return weft__proc_here_on(weft__here());
}

/* The same, for a call that cannot do without: never NULL. `call` is the public
 * function's name. */
static inline struct weft__proc *weft__proc_need(const char *call)
{
    struct weft__proc *proc = weft__proc_here();

    if (__builtin_expect(proc == NULL, 0))
        weft__proc_not_here(call);
    return proc;
}

/* The same for a call that may park: not inside weft_blocking, not in a defer. A
 * process that gave its slot away queues itself, and has one when this returns, on
 * another thread: *here is that one's. */
static inline struct weft__proc *weft__proc_need_parkable_on(struct weft__here **here, const char *call)
{
    struct weft__proc *proc = (*here)->proc;

    if (__builtin_expect((*here)->slot.worker == NULL || proc == NULL ||
                             (proc->flags & (WEFT__IN_BLOCKING | WEFT__ENDS)) != 0, 0)) {
        proc = weft__proc_need_parkable_slow(call);
        /* Not there: its address would be known elsewhere, and a caller could make
         * no tail call; each frame more costs a mispredicted return, 11 ns. */
        *here = weft__here();
    }
    return proc;
}
static inline struct weft__proc *weft__proc_need_parkable(const char *call)
{
    struct weft__here *here = weft__here();

    return weft__proc_need_parkable_on(&here, call);
}

/* Does it hold no stack between two messages? */
static inline bool weft__proc_is_callback(const struct weft__proc *proc)
{
    return proc->fiber.kind == WEFT__PROC_HANDLER || proc->fiber.kind == WEFT__PROC_SERVER;
}

/* The live process of a pid, for those who check its serial themselves: the
 * control block of the slot; NULL when pid is no local pid of this runtime. */
struct weft__proc *weft__proc_slot(weft_pid pid);
/* Is that serial's process there, not yet ending? A moment's truth. */
static inline bool weft__proc_is_there(struct weft__proc *proc, weft_pid pid)
{
    /* Seq_cst: the look again after a push (see above). */
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_seq_cst);

    return weft__state_serial(state) == weft__pid_serial(pid) &&
           (state & WEFT__STATE_MASK) != WEFT__FREE && (state & WEFT__STATE_MASK) != WEFT__ENDING;
}
/* The same, and is its mailbox without a bound: does it take whatever comes? */
static inline bool weft__proc_takes_all(struct weft__proc *proc, weft_pid pid)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_seq_cst);

    return weft__state_serial(state) == weft__pid_serial(pid) &&
           (state & (WEFT__STATE_MASK | WEFT__BOUNDED)) - WEFT__ACTIVE <= WEFT__PARKED - WEFT__ACTIVE;
}
/* Has that serial's process a bound? A moment's truth; what it had it keeps. */
static inline bool weft__proc_is_bounded(struct weft__proc *proc, weft_pid pid)
{
    /* Relaxed: who has the pid got it after the bit was set. */
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);

    return (state & WEFT__BOUNDED) != 0 && weft__state_serial(state) == weft__pid_serial(pid);
}

/* End the calling process. Never return. */
_Noreturn void weft__proc_exit(struct weft__proc *proc, weft_term reason);
/* The same, with a report, unless its kind has one of its own. */
_Noreturn void weft__proc_crash(struct weft__proc *proc, weft_term reason);
/* {:badarg, "call: words"}; in the words of a printf format. */
_Noreturn void weft__proc_badarg(const char *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void weft__proc_system_limit(const char *call, const char *what);

/* -- the state word's verbs (state.c) --------------------------------------------------- */

/* Publish a parked process: it waits for mail, or it is PARKED. false: something
 * is there for it already and it is still the caller's, to run or queue; true:
 * another thread may run it from now on. */
bool weft__proc_commit_park(struct weft__proc *proc, bool for_mail);
/* Does it park or wait for mail? A moment's truth, unless nobody wakes it. */
static inline bool weft__proc_is_parked(struct weft__proc *proc)
{
    /* Acquire: what it did before. */
    return atomic_load_explicit(&proc->inbox, memory_order_acquire) == WEFT__WAITS_FOR_MAIL ||
           (atomic_load_explicit(&proc->state, memory_order_acquire) & WEFT__STATE_MASK) == WEFT__PARKED;
}
/* Take back a park that was committed. false: somebody was quicker, and wakes it. */
bool weft__proc_take_back(struct weft__proc *proc, bool for_mail);
/* This thread, whose struct is at hand, runs that process now. */
static inline void weft__proc_enter_on(struct weft__here *here, struct weft__proc *proc)
{
    here->proc = proc;
    here->region = &proc->region;
}
/* This thread runs that process now; it runs none. */
void weft__proc_enter(struct weft__proc *proc);
void weft__proc_leave(void);
/* Have a worker: a process that gave its own away, in code of users, queues itself,
 * and goes on when it has another. What is left of one that was disowned does not
 * come back from here. May switch. */
void weft__proc_need_slot(struct weft__proc *proc);
void weft__proc_returned_slow(struct weft__proc *proc);
/* By a gate (base/code.h) to which code of users has returned, and which goes on with
 * its process at once: it may have been disowned meanwhile, and somebody else ends it.
 * Then this does not come back. weft__proc_need_slot looks as well. */
static inline void weft__proc_returned(struct weft__proc *proc)
{
    /* Relaxed: this thread would have set it. */
    if (__builtin_expect((atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__DISOWNED) != 0, 0))
        weft__proc_returned_slow(proc);
}
/* A fatal signal is on its way that nothing can hold up: is_alive says no. */
void weft__proc_mark_killed(struct weft__proc *proc, weft_pid pid);
/* It is told that the program ends. */
void weft__proc_mark_told(weft_pid pid);
/* Its owner is about to kill it: nothing to report. A stale pid is no mistake. */
void weft__proc_mark_quiet(weft_pid pid);

/* -- waiting ------------------------------------------------------------------------- */

/* Park the calling process until
 *   a message is in its inbox     (for_mail)
 *   weft__proc_unpark             the token
 *   a signal must be handled
 * or until the timer fires, where timeout_ns >= 0 (< 0: for ever). Ends the
 * process when it is doomed, and says whether the time is over; messages are
 * the caller's to drain. May return for no reason: callers look again. The timer is
 * kept over such returns: begin one wait with weft__wait_begin, end it with
 * weft__wait_end. */
struct weft__wait {
    struct weft__timer timer;
    struct weft__proc *proc;
    int64_t timeout_ns;    /* left to set; -1: for ever */
    bool is_set;
    _Atomic bool is_over;  /* the timer fired */
};
void weft__wait_begin(struct weft__wait *wait, struct weft__proc *proc, int64_t timeout_ms);
/* true: go on waiting is possible; false: the time is over. */
bool weft__wait_once(struct weft__wait *wait, bool for_mail);
/* The same of who does not park, since there is something to do. Not in a guest. */
bool weft__wait_is_on(struct weft__wait *wait);
void weft__wait_end(struct weft__wait *wait);
/* Set the timer of a wait that has a time-out, once: for who parks without
 * wait_once, with weft__proc_wait_for_mail. Not in a guest. May switch. */
void weft__wait_arm(struct weft__wait *wait);

/* The same without a time-out or a wait, not in a guest; may return for no
 * reason. The struct of the thread it goes on. */
struct weft__here *weft__proc_wait_for_mail(struct weft__here *here, struct weft__proc *proc);

/* Let the process that parks (or will park next) go on. From any thread. A
 * stale pid is no mistake. Never switches. */
void weft__proc_unpark(weft_pid pid);

/* Take the token if it is there. By the process itself. */
bool weft__proc_take_token(struct weft__proc *proc);

/* The hooks of the term room (term/fail.h). */
void weft__term_misused(const char *call, const char *mistake);
void weft__term_out_of_memory(size_t size);

/* -- signals --------------------------------------------------------------------------- */

/* Move the inbox to the mailbox, act on signals. By the process itself. Does
 * not end it: see obey. */
void weft__proc_drain(struct weft__proc *proc);

/* Has anything come since the last drain? By the process itself, whose inbox has
 * no mark while it runs. Relaxed: parking looks again. */
static inline bool weft__proc_has_inbox(struct weft__proc *proc)
{
    return atomic_load_explicit(&proc->inbox, memory_order_relaxed) != NULL;
}

/* What obey and is_doomed do when there is something. */
bool weft__proc_look(struct weft__proc *proc);

/* Was a fatal signal accepted? Looks at the inbox first when a signal came. */
static inline bool weft__proc_is_doomed(struct weft__proc *proc)
{
    /* Relaxed: as in look. */
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);

    if (__builtin_expect(((state & WEFT__EVENT_SIGNAL) | (proc->flags & WEFT__DOOMED)) == 0, 1))
        return false;
    return weft__proc_look(proc);
}

/* End the process if a fatal signal was accepted: every call that may park
 * calls this. */
static inline void weft__proc_obey(struct weft__proc *proc)
{
    if (__builtin_expect(weft__proc_is_doomed(proc), 0))
        weft__proc_exit(proc, proc->reason);
}

/* -- what it owns ------------------------------------------------------------------------ */

void *weft__owned_alloc(struct weft__proc *proc, size_t size); /* NULL: out of memory; not cleared */
void weft__owned_free(struct weft__proc *proc, void *at);

struct weft__extra *weft__proc_extra(struct weft__proc *proc); /* made at need; NULL: no memory */
void weft__extra_free(struct weft__proc *proc);

/* Give its name back, before anybody hears of its end (register.c). */
void weft__register_end(struct weft__proc *proc);

#endif

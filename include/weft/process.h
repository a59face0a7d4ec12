/* process.h - processes: spawn, send, receive, link, monitor, exit, names.
 *
 * A process is a function with a mailbox and memory of its own. It costs a few
 * hundred bytes, holds a stack only while it needs one, shares nothing, and
 * ends with a reason that its links and monitors hear.
 *
 * Every call here is one of two kinds, and its comment says which:
 *
 *   May park        other processes may run on this worker before it returns,
 *                   this process may go on on another kernel thread, and exit
 *                   signals, kills and preemption take effect here
 *   Never switches  returns on the same kernel thread; safe under a mutex
 *
 * A process that makes no call of the first kind for long, since it computes or
 * since a library blocks, keeps its kernel thread, but not its worker: that goes on
 * on another thread after a millisecond, or ten where others can help, for up to
 * .max_hogs processes at once (weft/runtime.h). weft_checkpoint and weft_blocking
 * are cheaper.
 *
 * "Where: in a process" includes guests: a thread that weft did not make
 * becomes a guest process at its first use. In a guest only the _try_ forms
 * report; a call that would end a process with a reason logs the reason and
 * ends the thread as pthread_exit does (in the main thread the program, with
 * status 1).
 *
 * A mistake (not in a process, wrong type, bad option) ends the process with
 * {:badarg, "call: what is wrong"}.
 */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/options.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* Wait for ever. Times are milliseconds from the call, 64 bits. */
#define WEFT_INFINITY INT64_MAX

enum weft_priority { WEFT_HIGH, WEFT_NORMAL, WEFT_LOW };

/* What a message meets that finds a mailbox full (.max_queue). */
enum weft_when_full {
    WEFT_FULL_REFUSE, /* its sender is told, or ends: weft_send */
    WEFT_FULL_DROP    /* it is dropped, and nobody hears */
};

/* What a process runs: one term in; what it returns is dropped (a task's is
 * its result). When it returns, the process ends with :normal. */
typedef weft_term weft_fn(weft_term arg);

/* What a callback process runs, once for each message; the message's terms
 * live to its end. true to go on, false to end with :normal. */
typedef bool weft_handler_fn(void *state, weft_term message);

/* -- spawn ----------------------------------------------------------------- */

struct weft_spawn_options {
    WEFT_OPTION(size_t, size, sizeof(weft_spawn_options));
    WEFT_OPTION(bool, link, false);         /* linked to the caller */
    WEFT_OPTION(weft_ref *, monitor, NULL); /* monitored: the reference */
    WEFT_OPTION(enum weft_priority, priority, WEFT_NORMAL);
    WEFT_OPTION(size_t, stack_size, 0);     /* bytes; 0: 64 KiB. At most 8 MiB */
    WEFT_OPTION(bool, sticky, false);       /* stays on one kernel thread */
    WEFT_OPTION(const char *, label, NULL); /* shown in reports; copied */
    WEFT_OPTION(size_t, state_size, 0);     /* weft_spawn_handler: copy this
                                             * many bytes of state into memory
                                             * of the process; 0: the pointer */
    WEFT_OPTION(size_t, max_memory, 0);     /* bytes of terms, mailbox and
                                             * weft_alloc; more end it with
                                             * :killed (PROC-8). 0: no limit */
    WEFT_OPTION(size_t, max_queue, 0);      /* messages that wait at once, at most;
                                             * 0: no bound. See below */
    WEFT_OPTION(enum weft_when_full, when_full, WEFT_FULL_REFUSE);
};
#define WEFT_SPAWN_DEFAULTS                                                \
    .size = sizeof(struct weft_spawn_options), .link = false,              \
    .monitor = NULL, .priority = WEFT_NORMAL, .stack_size = 0,             \
    .sticky = false, .label = NULL, .state_size = 0, .max_memory = 0,      \
    .max_queue = 0, .when_full = WEFT_FULL_REFUSE

/* A bound for the mailbox. With .max_queue = n, n messages wait at most that were
 * sent with weft_send, weft_gen_server_cast or weft_gen_server_call; the next one
 * finds the mailbox full until one is taken out. Then
 *
 *   weft_send, _cast        with WEFT_FULL_REFUSE end the sender with
 *                           {:mailbox_full, to}; the _try_ forms report WEFT_EFULL.
 *                           With WEFT_FULL_DROP the message is dropped, and the
 *                           send looks like any other
 *   weft_gen_server_call    fails at once with :mailbox_full, in both cases
 *   weft_send_wait          waits for room, in both cases, longest first
 *
 * What always gets in: exit signals, :DOWN, replies, tasks' results, system
 * requests (weft_sys_*, weft_gen_server_stop), and timers' messages. They do not
 * count either. A place is free again when the message is taken out of the mailbox,
 * so a selective receive that leaves messages lying keeps it full.
 *
 * weft_process_info tells max_queue, and messages_refused: how often there was no
 * place. */

/* Start a process that runs fn(arg).
 *
 *   arg      copied; weft_none: fn gets weft_none
 *   .link, .monitor   made in the same step: the child cannot die unseen
 *
 * Where:    in a process. Never switches; the child starts later.
 * Returns:  its pid.
 * Exits:    {:badarg, text}   a bad option, by name
 *           {:system_limit, text}   no process or no memory left; the
 *           runtime's .max_processes bounds them
 * Meaning:  Erlang spawn_opt; rules PROC-1, PROC-5 to PROC-7. */
#define weft_spawn(fn, arg, ...)                                          \
    WEFT_CALL_OPTIONS(weft_spawn_opt((fn), (arg),                         \
        WEFT_OPTIONS(weft_spawn_options, WEFT_SPAWN_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_pid weft_spawn_opt(weft_fn *fn, weft_term arg,
                                 const struct weft_spawn_options *options);

/* Start a process that runs handler(state, message) for each message and
 * holds no stack between them: an idle one is a control block and its state.
 *
 *   state    the pointer handed to each call; with .state_size = n its first
 *            n bytes are copied into memory that the process owns
 *
 * Never switches. As weft_spawn otherwise. */
#define weft_spawn_handler(handler, state, ...)                           \
    WEFT_CALL_OPTIONS(weft_spawn_handler_opt((handler), (state),          \
        WEFT_OPTIONS(weft_spawn_options, WEFT_SPAWN_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_pid weft_spawn_handler_opt(weft_handler_fn *handler, void *state,
                                         const struct weft_spawn_options *options);

/* The caller's own pid. In a process (makes a guest of a foreign thread); a
 * thread without a runtime gets weft_none. Never switches. */
WEFT_API weft_pid weft_self(void);

/* -- send and receive ------------------------------------------------------ */

/* Send a message.
 *
 *   to       a pid, an alias, or a name: a registered atom or weft_via(registry, key)
 *   message  copied; large binaries and native objects are shared
 *
 * Where:    in a process. Never switches, never waits for the receiver.
 * Order:    signals from one process to another arrive as they were sent.
 * Exits:    {:badarg, text}   nobody has that name; `to` is none of these;
 *           the message holds a pattern part or weft_none
 *           A dead pid or an ended alias is no mistake: nothing happens.
 *           {:mailbox_full, to}   its mailbox has a bound, is full, and refuses
 *           (.max_queue)
 * Meaning:  Erlang send/2; PROC-40, PROC-48, PROC-50 to PROC-53. */
WEFT_API void weft_send(weft_term to, weft_term message);

/* The same, reporting: 0; WEFT_ENOPROC: nobody has that name; WEFT_EBADTERM:
 * the message holds a pattern part or weft_none; WEFT_EINVAL: `to` is no pid,
 * alias or name; WEFT_EFULL: its mailbox is full, and refuses; WEFT_ENOMEM;
 * WEFT_ESTOPPED: no runtime. Never switches. */
WEFT_API int weft_try_send(weft_term to, weft_term message);

/* Send a message, and wait for room where the mailbox has a bound and is full
 * (.max_queue): back-pressure. To one without a bound, a plain send.
 *
 *   timeout_ms  from now; 0 looks once; WEFT_INFINITY waits for ever
 *
 * Where:    in a process. May park.
 * Order:    who waits longest is first; a plain send meanwhile finds no room.
 * Returns:  0: it is sent, or nobody is there (any more). WEFT_ETIMEDOUT: there was
 *           no room in time, and it is not sent. WEFT_EDEADLK: the caller's own
 *           mailbox is full. Else as weft_try_send.
 * Exits:    {:badarg, text}   a negative timeout */
WEFT_API int weft_send_wait(weft_term to, weft_term message, int64_t timeout_ms);

/* Take the oldest message that fits the pattern; the others stay in order.
 *
 *   pattern     weft_any takes any message; binds are written when it fits
 *   timeout_ms  from now; 0 looks once; WEFT_INFINITY waits for ever
 *   out         the whole message, or NULL; its terms live to the end of the
 *               innermost scope
 *
 * Where:    in a process. May park.
 * Returns:  false when the time is over: never early.
 * Cost:     a pattern {ref, ...} or {_, ref, ...} with a reference this
 *           process made skips the messages that were there before it.
 * Exits:    {:badarg, text}   a negative timeout
 * Meaning:  Erlang receive; PROC-54 to PROC-58. */
WEFT_API bool weft_receive(weft_term pattern, int64_t timeout_ms, weft_term *out);

/* For each message, for ever: `message` is a weft_term, oldest first, and its
 * terms live to the end of the body. break and return leave the loop. May
 * park between the bodies. */
#define weft_receive_each(message) \
    WEFT__RECEIVE_EACH(WEFT__CAT(weft__each_, __COUNTER__), message)
/* The inner loop runs once; its body ended by break leaves in_body set, and
 * then the outer one ends too. */
#define WEFT__RECEIVE_EACH(each, message)                                     \
    for (struct weft__receive_each each                                       \
             __attribute__((cleanup(weft__receive_each_end))) =               \
                 weft__receive_each_begin();                                  \
         !each.in_body;)                                                      \
        for (weft_term message = weft__receive_each_next(&each);              \
             each.in_body; each.in_body = false)

/* Messages that wait now, as far as this process has looked. In a process.
 * Never switches. */
WEFT_API size_t weft_message_queue_len(void);

/* -- giving way ------------------------------------------------------------- */

/* Let other processes run first. In a process; in a guest it does nothing.
 * May park. */
WEFT_API void weft_yield(void);

/* In a long loop: gives way when this process has had the worker for long or
 * is to end; costs a load and a branch otherwise. May park. */
WEFT_API void weft_checkpoint(void);

/* Do nothing for at least that long; never early. 0 is weft_yield. May park.
 * Exits {:badarg, text} for a negative time. */
WEFT_API void weft_sleep(int64_t ms);

/* Run fn(arg) where it may block the kernel thread (a slow read, a library
 * that waits): the worker's queue goes on on another thread meanwhile. It runs
 * on the stack of the process, which may not call weft in it but for calls
 * that never switch.
 *
 * Where:    in a process; in a guest it is a plain call. May park.
 * Returns:  what fn returns. Threads: bounded by the runtime's .max_blocking;
 *           beyond, the process waits its turn. */
WEFT_API void *weft_blocking(void *(*fn)(void *arg), void *arg);

/* -- ending ------------------------------------------------------------------ */

/* End this process with the reason; links and monitors hear it. What the
 * process owns is freed, its defers run, its C frames are left as they are.
 * In a process. Never returns. PROC-4. */
WEFT__NORETURN WEFT_API void weft_exit(weft_term reason);

/* End it as a crash: the reason is {what, stack} and it is reported. In a
 * process. Never returns. PROC-4. */
WEFT__NORETURN WEFT_API void weft_error(weft_term what);

/* Send an exit signal to another process (or to oneself). What it does to the
 * receiver: PROC-12 to PROC-16; :kill cannot be trapped, :normal is ignored by
 * a process that does not trap. A dead pid is no mistake. In a process. Never
 * switches, unless `to` is the caller itself: then may park. */
WEFT_API void weft_exit_signal(weft_pid to, weft_term reason);

/* weft_exit_signal(to, :kill). One that sits in code which cannot be cut short ends a
 * second later without its thread (.disown_after_ms, weft/runtime.h). Never switches,
 * unless `to` is the caller: then it never returns. */
WEFT_API void weft_kill(weft_pid to);

/* Exit signals become messages {:EXIT, from, reason}; returns the setting
 * before. In a process. May park: signals that came before are acted on by
 * the old setting. PROC-28, PROC-29. */
WEFT_API bool weft_trap_exit(bool on);

/* true until a fatal signal is accepted or the process ends. In a process. May
 * park: signals that this process sent to it before count. PROC-20. */
WEFT_API bool weft_is_alive(weft_pid pid);

/* -- links and monitors ------------------------------------------------------ */

/* Link the two; a link is symmetric and single. Linking oneself does nothing.
 * A dead pid: a caller that traps gets {:EXIT, pid, :noproc}, another exits
 * with :noproc. In a process. May park. PROC-22 to PROC-24. */
WEFT_API void weft_link(weft_pid pid);

/* After it returns that link cannot touch the caller; an {:EXIT, ...} that
 * is queued already stays. Not linked: nothing. In a process. Never switches.
 * PROC-25, PROC-26. */
WEFT_API void weft_unlink(weft_pid pid);

/* weft_unlink, and takes a queued {:EXIT, pid, _} out. May park. */
WEFT_API void weft_unlink_flush(weft_pid pid);

enum weft_alias_mode {
    WEFT_ALIAS_NONE,
    WEFT_ALIAS_EXPLICIT,          /* until weft_unalias */
    WEFT_ALIAS_DEMONITOR,         /* as long as the monitor */
    WEFT_ALIAS_REPLY_DEMONITOR    /* the first message ends both */
};

struct weft_monitor_options {
    WEFT_OPTION(size_t, size, sizeof(weft_monitor_options));
    WEFT_OPTION(enum weft_alias_mode, alias, WEFT_ALIAS_NONE); /* PROC-43 to 45 */
    WEFT_OPTION(weft_term, tag, {0});  /* an atom in place of :DOWN. PROC-39 */
};
#define WEFT_MONITOR_DEFAULTS \
    .size = sizeof(struct weft_monitor_options), .alias = WEFT_ALIAS_NONE, .tag = {0}

/* Hear once when the target ends: {:DOWN, ref, :process, pid, reason}; a name
 * is resolved now, and its DOWN carries the name, if that is an atom. Nobody there:
 * :noproc. In a process. Never switches. PROC-30 to PROC-34. */
#define weft_monitor(target, ...)                                         \
    WEFT_CALL_OPTIONS(weft_monitor_opt((target),                          \
        WEFT_OPTIONS(weft_monitor_options, WEFT_MONITOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_ref weft_monitor_opt(weft_term target,
                                   const struct weft_monitor_options *options);

/* After it returns no DOWN of ref will be queued; one that is stays, unless
 * flush. true if the monitor was there and is now removed; false if it had
 * fired (with flush: its DOWN is gone too), was removed, or is not this
 * process's. In a process. May park. PROC-35 to PROC-37. */
WEFT_API bool weft_demonitor(weft_ref ref, bool flush);

/* A reference, never made again in this runtime. In a process. Never switches. */
WEFT_API weft_ref weft_make_ref(void);

/* A reference to which messages for this process can be sent until
 * weft_unalias, or with `until_reply` until the first one. In a process.
 * Never switches. PROC-40 to PROC-42. */
WEFT_API weft_ref weft_alias(bool until_reply);

/* true when it was an active alias of this process. Messages that are queued
 * stay. In a process. May park. */
WEFT_API bool weft_unalias(weft_ref alias);

/* -- names --------------------------------------------------------------------- */

/* Give a process a name, one each. In a process. Never switches.
 * Returns 0; WEFT_EALREADY: the name is taken; WEFT_EEXIST: the process has a
 * name; WEFT_ENOPROC: it is dead; WEFT_EINVAL: nil, true, false, undefined or
 * no atom. PROC-46. */
WEFT_API int weft_try_register(weft_atom name, weft_pid pid);
/* The same; exits {:badarg, text} naming the cause. Never switches. */
WEFT_API void weft_register(weft_atom name, weft_pid pid);

/* Take a name back; any process may. 0, or WEFT_ENOPROC when nobody has it;
 * weft_unregister exits {:badarg, text} then. In a process. Never switches.
 * PROC-49. */
WEFT_API int weft_try_unregister(weft_atom name);
WEFT_API void weft_unregister(weft_atom name);

/* The pid, or weft_none. From anywhere. Never switches, takes no lock. PROC-47. */
WEFT_API weft_pid weft_whereis(weft_atom name);

/* -- what a process owns --------------------------------------------------------- */

/* Memory that is freed when the process ends, however it ends; 16-aligned,
 * zeroed. Exits {:system_limit, text} when there is none. In a process; a
 * thread without a runtime gets it until the thread ends. Never switches.
 * PROC-18. */
WEFT_API void *weft_alloc(size_t size);
WEFT_API void *weft_realloc(void *at, size_t size);
WEFT_API void weft_free(void *at);      /* before that; NULL does nothing */
#ifdef __cplusplus
#define weft_new(type) static_cast<type *>(weft_alloc(sizeof(type)))
#else
#define weft_new(type) ((type *)weft_alloc(sizeof(type)))
#endif

/* Run fn(arg) when the process ends, however it ends; last first, on a clean
 * stack, before its memory goes. It may call whatever never switches.
 * weft_undefer takes the newest such pair back; false when there is none. In a
 * process. Never switches. */
WEFT_API void weft_defer(void (*fn)(void *arg), void *arg);
WEFT_API bool weft_undefer(void (*fn)(void *arg), void *arg);

/* The process dictionary: private, gone with it. put and delete return the
 * value before, or weft_none; values live until the next change of the key.
 * In a process. Never switches. PROC-69. */
WEFT_API weft_term weft_dict_put(weft_term key, weft_term value);
WEFT_API weft_term weft_dict_get(weft_term key, weft_term otherwise);
WEFT_API weft_term weft_dict_delete(weft_term key);

/* A name for reports; text is copied (64 bytes at most are kept). Never switches. */
WEFT_API void weft_set_label(const char *text);

/* errno of the kernel thread that runs the process now. A compiler may keep
 * the address of `errno` across a call that parks; this it cannot. From
 * anywhere. Never switches. */
WEFT_API int weft_errno(void);

/* -- looking --------------------------------------------------------------------- */

/* What is known of a process: item is an atom, one of message_queue_len,
 * links, monitors, monitored_by, registered_name, trap_exit, status, parent,
 * dictionary, label, memory, priority, max_queue (:infinity: no bound),
 * messages_refused; or a list of them (a keyword list comes
 * back). weft_none for a dead process. Reflects every signal the caller sent
 * to it before. In a process. May park. PROC-67, PROC-68. */
WEFT_API weft_term weft_process_info(weft_pid pid, weft_term item);

/* Long mailboxes. A process that takes in its messages and then has more than the
 * runtime's .long_queue is reported in the log: who it is, how many there are, what
 * the oldest one is (of a tuple the first element); and again whenever they have
 * doubled. The alarm is over when .long_queue_under or fewer are left.
 *
 * `listener` hears of both: {:monitor, pid, :long_message_queue, true} and the same
 * with false, which also comes when the process ends. There is one listener;
 * weft_none: nobody. Gives the one before. In a process. Never switches.
 * Meaning: Erlang system_monitor/2 with long_message_queue. */
WEFT_API weft_pid weft_monitor_queues(weft_pid listener);

/* How many alarms are on now, and in *so_far (or NULL) how many went on since the
 * runtime started. From anywhere. Never switches. */
WEFT_API size_t weft_long_queues(uint64_t *so_far);

/* The pids of all processes alive, as a list. In a process. Never switches. */
WEFT_API weft_term weft_processes(void);

/* -- what the macros stand on ------------------------------------------------------ */

struct weft__receive_each {
    struct weft_scope scope; /* of the body; region NULL: not entered */
    bool in_body;
};
static inline struct weft__receive_each weft__receive_each_begin(void)
{
    struct weft__receive_each each;

    each.scope.region = NULL;
    each.in_body = false;
    return each;
}
WEFT_API weft_term weft__receive_each_next(struct weft__receive_each *each);
WEFT_API void weft__receive_each_end(struct weft__receive_each *each);

WEFT__END_C

#endif

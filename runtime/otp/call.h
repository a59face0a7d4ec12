/* call.h - a request and its answer: what stands behind every call.
 *
 * A request is a message kind of its own with the caller's pid and a reference
 * in its header, so the receiver needs no tuple, and no monitor: whoever drops
 * the request, or ends owing the answer, says so (proc/bond.h, calls). A
 * reference names one wait of one process; an answer to another is dropped.
 *
 * The caller:                           The server:
 *   a reference, a REPLY bond             takes the request out of its mailbox
 *   the request                           weft__serving holds who asks
 *   waits for the bond to be done         weft__call_answer, at once or later
 */
#ifndef WEFT_OTP_CALL_H
#define WEFT_OTP_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "proc/bond.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "weft/gen_server.h"

/* -- who is meant ------------------------------------------------------------------ */

/* What registries do for names; set by the one there is. */
struct weft__via {
    /* 0 and the pid, or weft_none; WEFT_ENOTSUP: its keys name nobody. Never switches. */
    int (*whereis)(weft_term registry, weft_term key, weft_pid *pid);
    /* Register the calling process, with a value or weft_none: 0; WEFT_EALREADY and *holder;
     * WEFT_ENOENT: there is no such registry; WEFT_ENOTSUP: its keys name nobody. May park. */
    int (*register_self)(weft_term registry, weft_term key, weft_term value, weft_pid *holder);
};
extern const struct weft__via *weft__via;

/* A registered atom, {:via, registry, key} or {:via, registry, key, value}; no name: weft_none is none. */
bool weft__is_name(weft_term name);

/* The pid of a server, or weft_none when the name stands for nobody. false: it
 * names none in any way, *mistake says so. Never switches. */
bool weft__server_find(const char *call, weft_server server, weft_pid *pid, weft_term *mistake);

/* Register the calling process under a name that weft__is_name: 0; WEFT_EALREADY
 * and *holder (weft_none when that one is gone by now); another code. */
int weft__server_register(weft_term name, weft_pid *holder);

/* -- asking ------------------------------------------------------------------------- */

/* The begin of a wait for an answer of peer: the bond, in the caller's frame. */
void weft__call_begin(struct weft__proc *proc, struct weft__bond *bond, weft_pid peer);

/* Wait until the bond is done; false: the time is over. May park; ends proc when
 * it is to end. */
bool weft__call_wait(struct weft__proc *proc, struct weft__bond *bond, int64_t timeout_ms);

/* What came of it, and what *out is then, in the innermost scope. */
enum weft__call_outcome {
    WEFT__ANSWERED,  /* the answer */
    WEFT__ENDED,     /* the reason: the peer ended first */
    WEFT__NOBODY,    /* :noproc: it was not there */
    WEFT__TIMED_OUT, /* :timeout */
    WEFT__ITSELF,    /* :calling_self */
    WEFT__FULL,      /* :mailbox_full */
    WEFT__MISTAKEN   /* {:badarg, text} */
};

/* The end: take the bond away; without an answer the peer is told. */
enum weft__call_outcome weft__call_end(struct weft__proc *proc, struct weft__bond *bond, weft_term *out);

/* All of it: ask a server. kind: CALL or SYSTEM. May park. */
enum weft__call_outcome weft__call(struct weft__proc *proc, const char *call, weft_server server,
                                   enum weft__message_kind kind, weft_term request,
                                   int64_t timeout_ms, weft_term *out);

/* Milliseconds as a term, or :infinity. */
weft_term weft__call_timeout_term(int64_t timeout_ms);

/* The caller of a call that failed exits: with a mistake as it is, else with
 * {out, {module, function, args}}. */
_Noreturn void weft__call_exit(struct weft__proc *proc, enum weft__call_outcome outcome, weft_term out,
                               weft_atom module, weft_atom function, weft_term args);
/* Give a request, CALL, SYSTEM or CAST, to peer, which pid names. false: it was not
 * there; the message is dropped. Never switches. */
bool weft__post_request(struct weft__proc *peer, weft_pid pid, struct weft__message *message);

/* Is the request one that can be sent? false: *mistake. */
bool weft__is_sendable(const char *call, weft_term request, weft_term *mistake);

/* -- answering ---------------------------------------------------------------------- */

/* What a server is handling: the head of what state_of_handler points to. */
struct weft__serving {
    weft_ref from;                /* whom it owes an answer, or weft_none */
    weft_pid client;
    struct weft__message *answer; /* to be sent at its end, in place of the reason; or NULL */
    weft_term handed;             /* a request of `from` that never was a message; or weft_none */
};

/* Answer, from any process. The term is copied; one that cannot be sent ends proc
 * with a reason that names the call. Never switches. */
void weft__call_answer(struct weft__proc *proc, const char *call, weft_ref from, weft_term value);

/* The same by a server that answers what it is serving, and is done with it: the
 * client when it is this thread's now, to be made ready by the caller or run after
 * it (weft__fiber_run_after); or NULL. */
struct weft__proc *weft__call_answer_last(struct weft__proc *proc, struct weft__serving *serving, weft_term value);

/* The answer as a message that waits: for serving.answer. flags: WEFT__NO_ANSWER, or 0. */
struct weft__message *weft__call_prepare(struct weft__proc *proc, const char *call, weft_ref from,
                                         weft_term value, unsigned flags);

/* Put the answer off: the handler returned without one. */
void weft__serving_defer(struct weft__proc *proc, struct weft__serving *serving);

/* The server ends: what it owes. */
void weft__serving_end(struct weft__proc *proc, struct weft__serving *serving);

#endif

/* server.h - what runs a weft_gen_server: its state, its loop, its end.
 *
 * A server is a callback process with a behaviour (proc/proc.h): server_run is
 * called at a stack's base when there is something to do, and returns when there
 * is not. A callback that parks keeps that stack, as any process does.
 *
 *     phase        what happens              a callback's exit leads to
 *     STARTING     name, init                the end, the starter is told
 *     RUNNING      callbacks                 terminate
 *     TERMINATING  terminate                 the report, with that exit's reason
 *     REPORTING    describe, format_status   the report without the state
 *
 *     STARTING -> RUNNING        begin        init said ok
 *     RUNNING -> TERMINATING     server_stop  a stop, a crash, a bad return, the
 *                                             parent's end, a system request
 *     TERMINATING -> REPORTING   server_finish  terminate is done, or crashed
 *     any -> ended               weft__life_end, which calls server_ended
 *
 * An exit in a callback abandons its frames; server_left goes on on another
 * stack (life.c). So each phase is entered before user code runs, and what it
 * needs afterwards is in struct weft__server, not in a frame.
 *
 * Files: server.c the loop; server_end.c the end and its report; server_sys.c
 * system requests; gen_server.c the calls of weft/gen_server.h.
 */
#ifndef WEFT_OTP_SERVER_H
#define WEFT_OTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "otp/call.h"
#include "sched/wheel.h"
#include "weft/gen_server.h"

enum weft__server_phase { WEFT__STARTING, WEFT__RUNNING, WEFT__TERMINATING, WEFT__REPORTING };

/* Which callback runs, or ran last. */
enum weft__callback {
    WEFT__IN_INIT,
    WEFT__IN_CALL,
    WEFT__IN_CAST,
    WEFT__IN_INFO,
    WEFT__IN_CONTINUE,
    WEFT__IN_SYSTEM /* none: a system request */
};

struct weft__server {
    struct weft__serving serving; /* first: call.h */
    const weft_gen_server *callbacks;
    void *state;
    weft_term name;               /* kept, or weft_none */
    weft_term last;               /* what is being handled: in the callback's scope */
    union {
        weft_term then;           /* RUNNING: kept, for handle_continue; or weft_none */
        weft_term reason;         /* later: what it ends with */
    };
    struct weft__server_more *more; /* what few servers need, or NULL */
    uint8_t phase;
    uint8_t in;                   /* enum weft__callback */
    bool has_parent;
    bool is_suspended;
    bool by_parent;               /* TERMINATING: its parent told it to, and waits */
    struct weft__message *seen;   /* suspended: no system request up to here */
    struct weft__proc *held;      /* between two steps: who was answered, this thread's to let run; or NULL */
};

/* -- what few servers need ------------------------------------------------------------ */

enum weft__event_kind {
    WEFT__EVENT_IN,
    WEFT__EVENT_OUT,
    WEFT__EVENT_STATE,
    WEFT__EVENT_DROPPED /* a reply to who has one, or waits no more: GS-24 */
};
#define WEFT__EVENTS_KEPT 10

struct weft__server_more {
    struct weft__timer timer;  /* the idle time-out */
    weft_pid pid;
    int64_t timeout_ns;        /* wanted, not set yet; -1: none */
    bool is_set;
    _Atomic bool is_over;      /* the timer fired */
    /* sys */
    bool has_debug;            /* any of those below */
    bool traces;
    bool keeps_log;
    bool counts;
    int64_t counting_since_ms;
    uint64_t n_in, n_out;
    weft_term log[WEFT__EVENTS_KEPT]; /* kept; a ring */
    uint64_t n_logged;
    uint64_t answered[WEFT__EVENTS_KEPT]; /* whom it answered last; a ring */
    uint64_t n_answered;
};

/* Made at need; NULL: no memory. */
struct weft__server_more *weft__server_more(struct weft__proc *proc, struct weft__server *server);

/* -- between the files ------------------------------------------------------------------- */

extern const struct weft__behaviour weft__server_behaviour;

static inline struct weft__server *weft__server_of(struct weft__proc *proc)
{
    return proc->state_of_handler;
}

/* What a step of the loop has come to. */
enum weft__step {
    WEFT__STEP_ON,     /* done, look for more */
    WEFT__STEP_PARKED, /* another thread may run it: do not touch it */
    WEFT__STEP_ENDED   /* it is no more */
};

/* What stands behind weft_gen_server_start and _start_link, and _cast, in the name
 * of another public call. */
weft_started weft__gen_server_start(const char *call, const weft_gen_server *callbacks, weft_term arg,
                                    const struct weft_gen_server_options *options, bool link);
void weft__gen_server_cast(const char *call, weft_server server, weft_term request);

/* End the server: terminate, and then finish. On a stack's base or on the stack
 * that server_left was given. */
void weft__server_stop(struct weft__proc *proc, struct weft__server *server, weft_term reason);
/* The report and the end, when terminate is done; server->reason is set. */
void weft__server_finish(struct weft__proc *proc, struct weft__server *server);
/* A callback was left by an exit with proc->reason: what its phase says. */
void weft__server_left(struct weft__proc *proc);
void weft__server_ended(struct weft__proc *proc);
void weft__server_gone(struct weft__proc *proc);

/* The name that the callback has in C: "handle_call". */
const char *weft__callback_name(enum weft__callback in);
/* The server in a report: its name or pid. */
weft_term weft__server_term(struct weft__proc *proc, const struct weft__server *server);
/* Its state as describe has it. Runs the program's code. */
weft_term weft__server_describe(struct weft__server *server);

/* Handle a system request: the message is in the innermost scope. server_sys.c */
enum weft__step weft__server_system(struct weft__proc *proc, struct weft__server *server,
                                    struct weft__message *message);
/* Note an event where somebody looks: more->has_debug. */
void weft__server_note(struct weft__proc *proc, struct weft__server *server, enum weft__event_kind kind,
                       weft_term term);
/* The same for a reply, sent or dropped; waits: somebody waited for it, before it went. */
void weft__server_note_reply(struct weft__proc *proc, struct weft__server *server, weft_ref from, weft_term value,
                             bool waits);
/* The same for the state as it is now. Runs the program's code. */
void weft__server_note_state(struct weft__proc *proc, struct weft__server *server);

#endif

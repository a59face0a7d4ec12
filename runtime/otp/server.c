/* server.c - the loop of a server: one message, one callback, its result.
 *
 * Whatever stands between a stack's base and a callback is a gate (base/code.h):
 * a fault in the callback ends the server alone.
 */
#include "otp/server.h"

#include <string.h>

#include "base/code.h"
#include "base/here.h"
#include "base/memory.h"
#include "otp/start.h"
#include "otp/task.h"
#include "proc/life.h"
#include "proc/log.h"
#include "proc/mailbox.h"
#include "proc/pack.h"
#include "proc/post.h"
#include "proc/runtime.h"
#include "proc/signal.h"
#include "term/atom.h"
#include "term/region.h"
#include "weft/error.h"

/* Part of a gate: never a function of its own. */
#define WEFT__GATE_PART __attribute__((always_inline)) inline

/* -- the idle time-out --------------------------------------------------------------- */

static void idle_fired(struct weft__timer *timer)
{
    struct weft__server_more *more = (struct weft__server_more *)(void *)timer; /* comes first */

    /* Release, with the acquire in take_timeout: it is set before the wake. */
    atomic_store_explicit(&more->is_over, true, memory_order_release);
    weft__proc_unpark(more->pid);
}

static const struct weft__timer_kind idle_kind = {.fire = idle_fired};

struct weft__server_more *weft__server_more(struct weft__proc *proc, struct weft__server *server)
{
    struct weft__server_more *more = server->more;

    if (more != NULL)
        return more;
    more = weft__memory_alloc(sizeof *more);
    if (more == NULL)
        return NULL;
    memset(more, 0, sizeof *more);
    weft__timer_init(&more->timer, &idle_kind);
    more->pid = proc->pid;
    more->timeout_ns = -1;
    server->more = more;
    return more;
}

static void disarm(struct weft__server_more *more)
{
    more->timeout_ns = -1;
    if (!more->is_set)
        return;
    weft__wheel_cancel(&more->timer, 0); /* fired or not, it does not fire any more */
    more->is_set = false;
    atomic_store_explicit(&more->is_over, false, memory_order_relaxed);
}

static void arm(struct weft__proc *proc, struct weft__server *server, int64_t timeout_ms)
{
    struct weft__server_more *more = weft__server_more(proc, server);

    if (more == NULL)
        weft__proc_system_limit("weft_noreply", "no memory for a time-out");
    more->timeout_ns = timeout_ms > INT64_MAX / 1000000 ? INT64_MAX : timeout_ms * 1000000;
}

/* Nothing is in the mailbox: is it time for handle_info(:timeout)? Sets the timer
 * when it is wanted and not set. */
static bool take_timeout(struct weft__proc *proc, struct weft__server_more *more)
{
    if (more->is_set) {
        if (!atomic_load_explicit(&more->is_over, memory_order_acquire))
            return false;
    } else if (more->timeout_ns > 0) {
        weft__proc_need_slot(proc);
        more->is_set = true;
        weft__wheel_add(&weft__here()->slot.worker->wheel, &more->timer, more->timeout_ns);
        return false;
    } else if (more->timeout_ns < 0) {
        return false;
    }
    disarm(more);
    return true;
}

/* -- results --------------------------------------------------------------------------- */

const char *weft__callback_name(enum weft__callback in)
{
    static const char *const names[] = {"init", "handle_call", "handle_cast", "handle_info",
                                        "handle_continue", "a system request"};

    return names[in];
}

/* {:bad_return_value, what} for a result that this callback may not give. */
static weft_term bad_return(enum weft__callback in, const weft_result *result)
{
    static const char *const kinds[] = {"none", "ok", "ignore", "error", "reply", "noreply", "stop", "stop_reply"};
    size_t kind = result->kind < sizeof kinds / sizeof *kinds ? result->kind : 0;
    weft_term what = weft_tuple(weft_str(kinds[kind]), weft_str(weft__callback_name(in)));

    if (kind == WEFT__RESULT_REPLY && !weft_is_none(result->term))
        what = weft_tuple(WEFT__A(reply), result->term);
    weft_log_error("%s returned %s, which it may not: %s", weft__callback_name(in),
                   kind == 0 ? "no result" : kinds[kind],
                   in == WEFT__IN_CALL ? "weft_reply, weft_noreply, weft_stop and weft_stop_reply are its results"
                   : in == WEFT__IN_INIT ? "weft_init_ok, weft_init_ignore, weft_init_stop and weft_init_error are its results"
                                         : "weft_noreply and weft_stop are its results");
    return weft_tuple(WEFT_ATOM("bad_return_value"), what);
}

/* Is what it asks for next one thing at most? */
static bool is_one_next(bool hibernate, weft_term then, int64_t timeout_ms)
{
    return timeout_ms >= 0 && hibernate + !weft_is_none(then) + (timeout_ms != INT64_MAX) <= 1;
}

static void set_next(struct weft__proc *proc, struct weft__server *server, weft_term then, int64_t timeout_ms)
{
    if (!weft_is_none(then))
        server->then = weft_keep(then);
    if (timeout_ms != INT64_MAX)
        arm(proc, server, timeout_ms);
}

static void send_reply(struct weft__proc *proc, struct weft__server *server, weft_term value)
{
    bool has_debug = server->more != NULL && server->more->has_debug;
    weft_ref from = server->serving.from;
    bool waits = has_debug && !weft_is_none(from) && weft__waits_for(from.bits);

    if (!weft_is_none(from)) /* else answered by the callback itself: the first one counts */
        weft__call_answer(proc, "weft_reply", from, value);
    if (__builtin_expect(has_debug, 0))
        weft__server_note_reply(proc, server, from, value, waits);
}

WEFT__GATE static enum weft__step stop(struct weft__proc *proc, struct weft__server *server, weft_term reason)
{
    weft__server_stop(proc, server, reason);
    return WEFT__STEP_ENDED;
}

/* Do what the callback said. In its scope. */
WEFT__GATE static enum weft__step apply(struct weft__proc *proc, struct weft__server *server, const weft_result *result)
{
    bool in_call = server->in == WEFT__IN_CALL;
    struct weft__serving *serving = &server->serving;

    switch (result->kind) {
    case WEFT__RESULT_REPLY:
        if (!in_call || !is_one_next(result->hibernate, result->then, result->timeout_ms))
            break;
        send_reply(proc, server, result->term);
        set_next(proc, server, result->then, result->timeout_ms);
        return WEFT__STEP_ON;
    case WEFT__RESULT_NOREPLY:
        if (!is_one_next(result->hibernate, result->then, result->timeout_ms))
            break;
        if (!weft_is_none(serving->from))
            weft__serving_defer(proc, serving);
        set_next(proc, server, result->then, result->timeout_ms);
        return WEFT__STEP_ON;
    case WEFT__RESULT_STOP_REPLY:
        if (!in_call)
            break;
        if (!weft_is_none(serving->from))
            serving->answer = weft__call_prepare(proc, "weft_stop_reply", serving->from, result->term, 0);
        return stop(proc, server, result->reason);
    case WEFT__RESULT_STOP:
        return stop(proc, server, result->reason);
    default:
        break;
    }
    return stop(proc, server, bad_return(server->in, result));
}

/* -- the start ---------------------------------------------------------------------------- */

/* It will not run: the starter gets the answer, and it ends with the reason. */
WEFT__GATE static enum weft__step refuse(struct weft__proc *proc, struct weft__server *server, weft_term answer,
                              unsigned flags, weft_term reason)
{
    server->serving.answer = weft__call_prepare(proc, "weft_init_error", server->serving.from, answer, flags);
    weft__life_end(proc, reason);
    return WEFT__STEP_ENDED;
}

/* Its name, before init. false: it ends. GS-10, GS-11 */
WEFT__GATE static bool take_name(struct weft__proc *proc, struct weft__server *server)
{
    weft_pid holder;
    weft_term answer;
    int code;

    if (weft_is_none(server->name))
        return true;
    server->name = weft_keep(server->name);
    code = weft__server_register(server->name, &holder);
    if (code == 0)
        return true;
    if (code == WEFT_EALREADY)
        answer = weft_tuple(WEFT__A(already_started), holder);
    else
        answer = weft__task_mistake("weft_gen_server_start", "the name %s cannot be registered: %s",
                                    weft_inspect(server->name), code == WEFT_ENOENT ? "there is no such registry"
                                                                                    : weft_error_text(code));
    if (server->has_parent)
        weft__unlink(proc, proc->parent); /* it was never started, so nothing is linked */
    refuse(proc, server, answer, WEFT__NO_ANSWER, WEFT__A(normal));
    return false;
}

WEFT__GATE static enum weft__step apply_init(struct weft__proc *proc, struct weft__server *server,
                                  const weft_init_result *result)
{
    const weft_result as_result = {.kind = result->kind};

    switch (result->kind) {
    case WEFT__RESULT_OK:
        if (!is_one_next(result->hibernate, result->then, result->timeout_ms))
            break;
        server->state = result->state;
        server->phase = WEFT__RUNNING;
        weft__call_answer(proc, "weft_init_ok", server->serving.from, WEFT__A(ok));
        set_next(proc, server, result->then, result->timeout_ms);
        return WEFT__STEP_ON;
    case WEFT__RESULT_IGNORE:
        return refuse(proc, server, WEFT__A(ignore), 0, WEFT__A(normal));
    case WEFT__RESULT_ERROR:
        return refuse(proc, server, result->reason, WEFT__NO_ANSWER, WEFT__A(normal));
    case WEFT__RESULT_STOP:
        proc->reason = result->reason;
        weft__server_left(proc);
        return WEFT__STEP_ENDED;
    default:
        break;
    }
    proc->reason = bad_return(WEFT__IN_INIT, &as_result);
    weft__server_left(proc);
    return WEFT__STEP_ENDED;
}

WEFT__GATE static enum weft__step begin(struct weft__proc *proc, struct weft__server *server)
{
    weft_init_result result = weft_init_ok(NULL);
    weft_scope scope;
    enum weft__step step;

    weft__scope_enter(&scope, &proc->region);
    if (!take_name(proc, server))
        return WEFT__STEP_ENDED;
    server->in = WEFT__IN_INIT;
    if (server->callbacks->init != NULL)
        result = server->callbacks->init(proc->arg);
    weft__proc_returned(proc);
    step = apply_init(proc, server, &result);
    if (step == WEFT__STEP_ON)
        weft__scope_leave(&scope);
    return step;
}

/* -- messages -------------------------------------------------------------------------------- */

WEFT__GATE static enum weft__step go_on(struct weft__proc *proc, struct weft__server *server)
{
    weft_term then = server->then;
    weft_result result;
    weft_scope scope;
    enum weft__step step;

    weft__scope_enter(&scope, &proc->region);
    server->then = weft_none;
    server->in = WEFT__IN_CONTINUE;
    server->last = then;
    if (server->callbacks->handle_continue == NULL)
        weft_error(weft_tuple(WEFT_ATOM("bad_continue"), then));
    result = server->callbacks->handle_continue(server->state, then);
    weft__proc_returned(proc);
    step = apply(proc, server, &result);
    if (step != WEFT__STEP_ON)
        return step;
    weft__scope_leave(&scope);
    weft_drop(then);
    return step;
}

/* Nobody handles it: GS-27 */
static void tell_unhandled(struct weft__proc *proc, struct weft__server *server, weft_term message)
{
    weft__log_report(WEFT_LOG_ERROR, "GenServer received a message that it does not handle",
                     weft_list(weft_tuple(WEFT_ATOM("server"), weft__server_term(proc, server)),
                               weft_tuple(WEFT__A(message), message)));
}

static bool is_parents_exit(struct weft__proc *proc, struct weft__server *server,
                            const struct weft__message *message)
{
    /* At the program's end the runtime stands for a parent that is gone, or never was. */
    return (message->block.flags & WEFT__IS_EXIT) != 0 && message->block.kind == WEFT__MESSAGE &&
           ((message->block.flags & WEFT__AT_STOP) != 0 ||
            (server->has_parent && message->from == proc->parent.bits));
}

/* What nearly every call comes to: an answer, and nothing else. */
static inline bool is_plain_reply(const struct weft__server *server, const weft_result *result)
{
    return result->kind == WEFT__RESULT_REPLY && !weft_is_none(server->serving.from) &&
           weft_is_none(result->then) && !result->hibernate && result->timeout_ms == INT64_MAX &&
           server->more == NULL;
}

/* Before a callback: its message cancels the time-out. */
static void note_begin(struct weft__proc *proc, struct weft__server *server, weft_term root)
{
    disarm(server->more);
    if (server->more->has_debug)
        weft__server_note(proc, server, WEFT__EVENT_IN, root);
}

/* After it. */
WEFT__GATE static enum weft__step finish(struct weft__proc *proc, struct weft__server *server,
                                         const weft_result *result)
{
    enum weft__step step = apply(proc, server, result);

    if (step == WEFT__STEP_ON && server->more != NULL && server->more->has_debug)
        weft__server_note_state(proc, server);
    return step;
}

/* The callbacks. Results are not copied: that costs as much as the callback. */
static WEFT__GATE_PART enum weft__step handle_call(struct weft__proc *proc, struct weft__server *server,
                                                   weft_term request, weft_ref from, weft_pid client)
{
    server->in = WEFT__IN_CALL;
    server->last = request;
    server->serving.from = from;
    server->serving.client = client;
    if (__builtin_expect(server->callbacks->handle_call == NULL, 0))
        weft_error(weft_tuple(WEFT_ATOM("bad_call"), request));

    const weft_result result = server->callbacks->handle_call(server->state, request, from);

    weft__proc_returned(proc);
    if (__builtin_expect(!is_plain_reply(server, &result), 0))
        return finish(proc, server, &result);
    server->held = weft__call_answer_last(proc, &server->serving, result.term);
    return WEFT__STEP_ON;
}

/* The server goes on: who was answered runs when its turn comes. Not in run-next,
 * for which the server would have to give way, at the cost of its other clients. */
static inline void let_client_go(struct weft__server *server)
{
    struct weft__proc *client = server->held;

    if (client == NULL)
        return;
    server->held = NULL;
    if (__builtin_expect(client->fiber.kind == WEFT__PROC_GUEST, 0))
        weft__proc_make_ready(weft__here(), client);
    else
        weft__fiber_ready_behind(weft__here(), &client->fiber);
}

static WEFT__GATE_PART enum weft__step handle_cast(struct weft__proc *proc, struct weft__server *server,
                                                   weft_term request)
{
    server->in = WEFT__IN_CAST;
    server->last = request;
    if (__builtin_expect(server->callbacks->handle_cast == NULL, 0))
        weft_error(weft_tuple(WEFT_ATOM("bad_cast"), request));

    const weft_result result = server->callbacks->handle_cast(server->state, request);

    weft__proc_returned(proc);
    return finish(proc, server, &result);
}

static WEFT__GATE_PART enum weft__step handle_info(struct weft__proc *proc, struct weft__server *server,
                                                   weft_term message)
{
    server->in = WEFT__IN_INFO;
    server->last = message;
    if (server->callbacks->handle_info == NULL) {
        tell_unhandled(proc, server, message);
        return WEFT__STEP_ON;
    }

    const weft_result result = server->callbacks->handle_info(server->state, message);

    weft__proc_returned(proc);
    return finish(proc, server, &result);
}

/* A call, a cast or another message; its memory goes with the scope. */
static WEFT__GATE_PART enum weft__step handle_mail(struct weft__proc *proc, struct weft__server *server,
                                                   struct weft__message *message)
{
    enum weft__message_kind kind = (enum weft__message_kind)message->block.kind;
    weft_term root = message->root;
    weft_ref ref = weft__term(message->ref);
    weft_pid from = weft__term(message->from);

    if (weft__is_memory(root))
        weft__region_adopt(&proc->region, &message->block);
    else if (kind == WEFT__MESSAGE_PACK)
        weft__mailbox_take_packed(weft__here()->slot.cache, proc, weft__pack_of(message));
    else
        weft__message_free(message);
    if (__builtin_expect(server->more != NULL, 0))
        note_begin(proc, server, root);
    if (__builtin_expect(kind == WEFT__MESSAGE_CALL, 1))
        return handle_call(proc, server, root, ref, from);
    if (kind == WEFT__MESSAGE_CAST)
        return handle_cast(proc, server, root);
    return handle_info(proc, server, root);
}

static WEFT__GATE_PART enum weft__step handle_parents_exit(struct weft__proc *proc, struct weft__server *server,
                                                           struct weft__message *message)
{
    weft__region_adopt(&proc->region, &message->block);
    server->last = message->root;
    server->by_parent = true;
    return stop(proc, server, weft_tuple_at(message->root, 2));
}

/* One message, which is out of the mailbox, or the oldest of a pack. */
WEFT__GATE static enum weft__step handle(struct weft__proc *proc, struct weft__server *server,
                                         struct weft__message *message)
{
    weft_scope scope;
    enum weft__step step;

    weft__scope_enter(&scope, &proc->region);
    if (__builtin_expect(message->block.kind == WEFT__MESSAGE_SYSTEM, 0)) {
        weft__region_adopt(&proc->region, &message->block);
        step = weft__server_system(proc, server, message);
    } else if (__builtin_expect(is_parents_exit(proc, server, message), 0)) {
        step = handle_parents_exit(proc, server, message);
    } else {
        step = handle_mail(proc, server, message);
    }
    if (step == WEFT__STEP_ON)
        weft__scope_leave(&scope);
    return step;
}

/* A request that its client handed over, running the server in its own place. */
WEFT__GATE static enum weft__step handle_handed(struct weft__proc *proc, struct weft__server *server)
{
    weft_term request = server->serving.handed;
    weft_scope scope;
    enum weft__step step;

    server->serving.handed = weft_none;
    weft__scope_enter(&scope, &proc->region);
    if (__builtin_expect(server->more != NULL, 0))
        note_begin(proc, server, request);
    step = handle_call(proc, server, request, server->serving.from, server->serving.client);
    if (step == WEFT__STEP_ON)
        weft__scope_leave(&scope);
    return step;
}

WEFT__GATE static enum weft__step timed_out(struct weft__proc *proc, struct weft__server *server)
{
    weft_scope scope;
    enum weft__step step;

    weft__scope_enter(&scope, &proc->region);
    step = handle_info(proc, server, WEFT__A(timeout));
    if (step == WEFT__STEP_ON)
        weft__scope_leave(&scope);
    return step;
}

/* The next message, taken out, or the pack that it is in; NULL: none. Suspended: a system request or the
 * parent's exit, wherever it stands. GS-45, GS-56 */
static struct weft__message *next_suspended(struct weft__proc *proc, struct weft__server *server)
{
    struct weft__message *message;

    weft__proc_drain(proc);
    if (weft__proc_is_doomed(proc))
        return NULL;
    message = server->seen != NULL ? weft__message_next(server->seen) : proc->mailbox.first;
    for (; message != NULL; message = weft__message_next(message)) {
        if (message->block.kind == WEFT__MESSAGE_SYSTEM || is_parents_exit(proc, server, message)) {
            weft__mailbox_remove(proc, message);
            return message;
        }
        server->seen = message;
    }
    return NULL;
}

static struct weft__message *next_message(struct weft__proc *proc, struct weft__server *server)
{
    struct weft__message *message;

    if (__builtin_expect(server->is_suspended, 0))
        return next_suspended(proc, server);
    if (proc->mailbox.first == NULL && weft__proc_has_inbox(proc)) {
        weft__proc_drain(proc);
        if (weft__proc_is_doomed(proc))
            return NULL;
    }
    message = proc->mailbox.first;
    if (message == NULL)
        return NULL;
    if (message->block.kind == WEFT__MESSAGE_PACK)
        return message;
    if (message->block.kind == WEFT__MESSAGE_TASK)
        message = weft__mailbox_make_plain(proc, message);
    weft__mailbox_remove(proc, message);
    return message;
}

/* When this worker is left, it goes on with the client. */
static void run_after(struct weft__proc *client)
{
    const struct weft__here *here = weft__here();

    if (client->fiber.kind == WEFT__PROC_GUEST || client->fiber.is_sticky ||
        client->fiber.priority != WEFT__PRIORITY_NORMAL)
        weft__proc_make_ready(weft__here(), client);
    else
        weft__fiber_run_after(here, &client->fiber);
}

/* Has something come into the mailbox since next_message found nothing? A look for
 * signals takes in all that is in the inbox, messages too. */
static bool has_news(const struct weft__proc *proc, const struct weft__server *server)
{
    return proc->mailbox.last != (server->is_suspended ? server->seen : NULL);
}

/* Nothing to do. It holds no stack: it parks by returning. Who was answered last runs
 * next then, without a way through the queue. */
static WEFT__GATE_PART enum weft__step rest(struct weft__proc *proc, struct weft__server *server)
{
    struct weft__proc *client;

    if (weft__proc_is_doomed(proc) || has_news(proc, server))
        return WEFT__STEP_ON;
    /* First the token, then what it stands for: a timer that fires in between
     * leaves the token, and parking fails. */
    weft__proc_take_token(proc);
    if (server->more != NULL) {
        let_client_go(server);
        if (!server->is_suspended && take_timeout(proc, server->more))
            return timed_out(proc, server);
    }
    weft__region_trim(&proc->region);
    if (!weft__has_slot())
        let_client_go(server);
    weft__proc_need_slot(proc);
    client = server->held;
    server->held = NULL;
    weft__proc_leave();
    if (weft__proc_commit_park(proc, true)) {
        if (client != NULL)
            run_after(client);
        return WEFT__STEP_PARKED;
    }
    server->held = client;
    weft__proc_enter(proc);
    return WEFT__STEP_ON;
}

static WEFT__GATE_PART enum weft__step step(struct weft__proc *proc, struct weft__server *server)
{
    struct weft__message *message;

    if (__builtin_expect(weft__proc_is_doomed(proc), 0)) {
        let_client_go(server);
        weft__life_end(proc, proc->reason);
        return WEFT__STEP_ENDED;
    }
    if (__builtin_expect(server->phase == WEFT__STARTING, 0))
        return begin(proc, server);
    if (__builtin_expect(!weft_is_none(server->serving.handed), 0))
        return handle_handed(proc, server);
    if (__builtin_expect(!weft_is_none(server->then), 0)) {
        let_client_go(server);
        return go_on(proc, server);
    }
    message = next_message(proc, server);
    if (message == NULL)
        return rest(proc, server);
    let_client_go(server);
    return handle(proc, server, message);
}

WEFT__GATE static void server_run(struct weft__fiber *fiber)
{
    struct weft__proc *proc = (struct weft__proc *)(void *)fiber;
    struct weft__server *server = weft__server_of(proc);

    weft__proc_enter(proc);
    do {
        switch (step(proc, server)) {
        case WEFT__STEP_ON:
            break;
        case WEFT__STEP_PARKED:
            return;
        case WEFT__STEP_ENDED:
            weft__proc_leave();
            return;
        }
    } while (!weft__fiber_is_to_give_way(weft__here())); /* GS-62 */
    let_client_go(server);
    weft__proc_need_slot(proc);
    weft__proc_leave();
    weft__fiber_ready(weft__runtime()->sched, fiber, WEFT__READY_LAST);
}

const struct weft__behaviour weft__server_behaviour = {
    .run = server_run,
    .left = weft__server_left,
    .ended = weft__server_ended,
    .gone = weft__server_gone,
};

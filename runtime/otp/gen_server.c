/* gen_server.c - the calls of weft/gen_server.h. */
#include "weft/gen_server.h"

#include <stdio.h>
#include <string.h>

#include "base/here.h"
#include "base/memory.h"
#include "otp/server.h"
#include "otp/start.h"
#include "otp/task.h"
#include "proc/log.h"
#include "proc/post.h"
#include "proc/room.h"
#include "proc/runtime.h"
#include "proc/signal.h"
#include "term/atom.h"
#include "term/copy.h"
#include "weft/error.h"

/* -- starting --------------------------------------------------------------------------- */

static struct weft__server *server_new(const weft_gen_server *callbacks, bool link)
{
    struct weft__server *server = weft__memory_alloc(sizeof *server);

    if (server == NULL)
        return NULL;
    memset(server, 0, sizeof *server);
    server->callbacks = callbacks;
    server->phase = WEFT__STARTING;
    server->has_parent = link;
    return server;
}

weft_started weft__gen_server_start(const char *call, const weft_gen_server *callbacks, weft_term arg,
                                    const struct weft_gen_server_options *given, bool link)
{
    struct weft__proc *proc = weft__proc_need_parkable(call);
    struct weft_gen_server_options options = {WEFT_GEN_SERVER_DEFAULTS};
    struct weft_spawn_options spawn;
    struct weft__server *server;
    weft_started started;
    bool gave_back;

    weft__options_take(&options, given);
    if (callbacks == NULL)
        weft__proc_badarg(call, "the callbacks are NULL");
    weft__start_check(call, options.name, options.timeout_ms);
    weft__task_spawn_options(call, &spawn, options.priority, options.stack_size);
    spawn.sticky = options.sticky;
    spawn.label = options.label;
    spawn.link = link;
    spawn.monitor = options.monitor;
    spawn.max_queue = options.max_queue;
    spawn.when_full = options.when_full;
    weft__room_check(call, spawn.max_queue, spawn.when_full);
    weft__proc_obey(proc);
    server = server_new(callbacks, link);
    if (server == NULL)
        weft__proc_system_limit(call, "no memory for a server");
    started = weft__start(proc,
                          &(const struct weft__start){
                              .call = call,
                              .behaviour = &weft__server_behaviour,
                              .serving = &server->serving,
                              .name_place = &server->name,
                              .arg = arg,
                              .name = options.name,
                              .timeout_ms = options.timeout_ms,
                              .options = &spawn,
                          },
                          &gave_back);
    if (gave_back)
        weft__memory_free(server, sizeof *server);
    return started;
}

weft_started weft_gen_server_start_opt(const weft_gen_server *server, weft_term arg,
                                       const struct weft_gen_server_options *options)
{
    return weft__gen_server_start("weft_gen_server_start", server, arg, options, false);
}

weft_started weft_gen_server_start_link_opt(const weft_gen_server *server, weft_term arg,
                                            const struct weft_gen_server_options *options)
{
    return weft__gen_server_start("weft_gen_server_start_link", server, arg, options, true);
}

/* arg: {callbacks, name or nil} or {callbacks, name or nil, argument}. */
static weft_started start_child(weft_term arg)
{
    const weft_gen_server *server = weft_to_pointer(weft_tuple_at(arg, 0));
    weft_term name = weft_tuple_at(arg, 1);

    return weft_gen_server_start_link(server, weft_tuple_size(arg) > 2 ? weft_tuple_at(arg, 2) : weft_none,
                                      .name = weft_eq(name, WEFT__A(nil)) ? weft_none : name);
}

weft_child_spec weft_gen_server_child(const weft_gen_server *server, weft_term arg, weft_term name)
{
    weft_term address, its_name = weft_is_none(name) ? WEFT__A(nil) : name;

    if (server == NULL)
        weft__proc_badarg("weft_gen_server_child", "the callbacks are NULL");
    address = weft_pointer(server);
    return weft_child(.id = server->name != NULL ? weft_str(server->name) : WEFT_ATOM("GenServer"),
                      .start = start_child,
                      .arg = weft_is_none(arg) ? weft_tuple(address, its_name)
                                               : weft_tuple(address, its_name, arg));
}

/* -- asking: calls are in call.c ------------------------------------------------------------ */

static int cast(struct weft__proc *proc, const char *call, weft_server server, weft_term request, int64_t timeout_ms)
{
    struct weft__copy_refusal refusal;
    struct weft__message *message;
    struct weft__proc *peer;
    unsigned flags = 0;
    weft_term mistake;
    weft_pid pid;

    if (!weft__server_find(call, server, &pid, &mistake) || !weft__is_sendable(call, request, &mistake))
        weft__proc_exit(proc, mistake);
    peer = weft__proc_slot(pid);
    if (peer == NULL || !weft__proc_is_there(peer, pid))
        return 0;
    if (__builtin_expect(weft__proc_is_bounded(peer, pid), 0)) {
        int code = weft__room_enter(proc, pid, timeout_ms);

        if (code != 0)
            return code < 0 ? code : 0;
        flags = WEFT__COUNTED;
    }
    message = weft__message_new(WEFT__MESSAGE_CAST, request, &refusal);
    if (message == NULL) {
        if (flags & WEFT__COUNTED)
            weft__room_give_back(pid);
        weft__proc_system_limit(call, "no memory for a request");
    }
    message->block.flags = (uint8_t)flags;
    weft__post_request(peer, pid, message);
    return 0;
}

void weft__gen_server_cast(const char *call, weft_server server, weft_term request)
{
    struct weft__proc *proc = weft__proc_need(call);

    if (cast(proc, call, server, request, -1) == WEFT_EFULL)
        weft__proc_exit(proc, weft_tuple(WEFT__A(mailbox_full), server));
}

void weft_gen_server_cast(weft_server server, weft_term request)
{
    weft__gen_server_cast("weft_gen_server_cast", server, request);
}

int weft_gen_server_try_cast(weft_server server, weft_term request)
{
    return cast(weft__proc_need("weft_gen_server_try_cast"), "weft_gen_server_try_cast", server, request, -1);
}

int weft_gen_server_cast_wait(weft_server server, weft_term request, int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_gen_server_cast_wait");

    if (timeout_ms < 0)
        weft__proc_badarg("weft_gen_server_cast_wait", "timeout_ms is negative (%lld)", (long long)timeout_ms);
    weft__proc_obey(proc);
    return cast(proc, "weft_gen_server_cast_wait", server, request, timeout_ms);
}

void weft_gen_server_abcast(weft_atom name, weft_term request)
{
    weft__gen_server_cast("weft_gen_server_abcast", name, request);
}

void weft_gen_server_reply(weft_from from, weft_term value)
{
    struct weft__proc *proc = weft__proc_need("weft_gen_server_reply");

    if (!weft_is_ref(from))
        weft__proc_badarg("weft_gen_server_reply", "%s is not what handle_call was given as `from`",
                          weft_inspect(from));
    if (proc->fiber.kind == WEFT__PROC_SERVER) {
        struct weft__server *server = weft__server_of(proc);

        if (__builtin_expect(server->more != NULL && server->more->has_debug, 0)) {
            bool waits = weft__waits_for(from.bits);

            weft__call_answer(proc, "weft_gen_server_reply", from, value);
            weft__server_note_reply(proc, server, from, value, waits);
            return;
        }
    }
    weft__call_answer(proc, "weft_gen_server_reply", from, value);
}

/* -- ending ------------------------------------------------------------------------------------ */

/* The request asks for its end: it is answered by that end alone. ANSWERED: it
 * ended with that reason. */
static enum weft__call_outcome stop(struct weft__proc *proc, const char *call, weft_server server,
                                    weft_term reason, int64_t timeout_ms, weft_term *out)
{
    enum weft__call_outcome outcome =
        weft__call(proc, call, server, WEFT__MESSAGE_SYSTEM, weft_tuple(WEFT_ATOM("terminate"), reason),
                   timeout_ms, out);

    return outcome == WEFT__ENDED && weft_eq(*out, reason) ? WEFT__ANSWERED : outcome;
}

bool weft_gen_server_try_stop(weft_server server, weft_term reason, int64_t timeout_ms, weft_term *why)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_gen_server_try_stop");

    if (weft_is_none(reason))
        reason = WEFT__A(normal);
    return stop(proc, "weft_gen_server_try_stop", server, reason, timeout_ms, why) == WEFT__ANSWERED;
}

void weft_gen_server_stop(weft_server server, weft_term reason, int64_t timeout_ms)
{
    struct weft__proc *proc = weft__proc_need_parkable("weft_gen_server_stop");
    enum weft__call_outcome outcome;
    weft_term out;

    if (weft_is_none(reason))
        reason = WEFT__A(normal);
    outcome = stop(proc, "weft_gen_server_stop", server, reason, timeout_ms, &out);
    if (outcome != WEFT__ANSWERED)
        weft__call_exit(proc, outcome, out, WEFT_ATOM("GenServer"), WEFT__A(stop),
                        weft_list(server, reason, weft__call_timeout_term(timeout_ms)));
}

weft_pid weft_gen_server_whereis(weft_server server)
{
    struct weft__proc *proc = weft__proc_need("weft_gen_server_whereis");
    weft_term mistake;
    weft_pid pid;

    if (!weft__server_find("weft_gen_server_whereis", server, &pid, &mistake))
        weft__proc_exit(proc, mistake);
    return pid;
}

/*
 * sessions.c - a session store, and rooms that are there while somebody is in them.
 *
 *     sessions         two people log in, meet in a room, and go
 *
 * A session is a process, found by its token in a registry. It ends when its owner logs out,
 * or when nobody has used it for a while; nobody has to clean up after it. A room is started
 * by the first who enters it, watches those in it, and ends with the last. What is said
 * in a room is broadcast to its topic: a session hears what its room's topic brings.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

enum { IDLE_MS = 1000, CALL_MS = 5000 };

static weft_server session_name(weft_term token) { return weft_via(A(sessions), token); }
static weft_server room_name(weft_term id) { return weft_via(A(rooms), id); }
static weft_term room_topic(weft_term id) { return weft_tuple(A(room), id); }

/* -- rooms ----------------------------------------------------------------------------- */

struct room { int64_t n_members; };

static weft_init_result room_init(weft_term id)
{
    (void)id;
    return weft_init_ok(weft_new(struct room), .timeout_ms = IDLE_MS);
}

static weft_result room_call(void *state, weft_term enter, weft_from from)
{
    (void)from;
    weft_monitor(weft_tuple_at(enter, 1));                   /* {:enter, session} */
    return weft_reply(weft_int(++((struct room *)state)->n_members));
}

/* A session that was in it has ended; or who started it never came. */
static weft_result room_info(void *state, weft_term message)
{
    struct room *room = state;

    if (!weft_eq(message, A(timeout)))
        room->n_members--;
    return room->n_members > 0 ? weft_noreply() : weft_stop(A(normal));
}

static const weft_gen_server room_server = { .init = room_init, .handle_call = room_call, .handle_info = room_info };

static weft_started room_start_link(weft_term id)
{
    return weft_gen_server_start_link(&room_server, id, .name = room_name(id));
}

/* The caller is in the room, which is started if there is none: how many are. Somebody may
 * start it at the same moment, and it may end before it is asked: then again. */
static weft_term room_enter(weft_term id)
{
    weft_term n;

    do {
        weft_dynamic_supervisor_start_child(A(room_supervisor),
                weft_child(.id = id, .start = room_start_link, .arg = id, .restart = WEFT_TEMPORARY));
    } while (!weft_gen_server_try_call(room_name(id), weft_tuple(A(enter), weft_self()), CALL_MS, &n));
    return n;
}

/* -- sessions ------------------------------------------------------------------------------ */

struct session { weft_term name, room, heard; };             /* kept, or weft_none */

static weft_init_result session_init(weft_term arg)          /* {token, name} */
{
    struct session *session = weft_new(struct session);

    session->name = weft_keep(weft_tuple_at(arg, 1));
    return weft_init_ok(session, .timeout_ms = IDLE_MS);
}

static weft_result session_call(void *state, weft_term request, weft_from from)
{
    struct session *session = state;
    weft_term id, text;

    (void)from;
    if (weft_match(request, weft_tuple(A(join), weft_bind(&id))) && weft_is_none(session->room)) {
        session->room = weft_keep(id);
        weft_pubsub_subscribe(A(talk), room_topic(id));
        return weft_reply(room_enter(id), .timeout_ms = IDLE_MS);
    }
    if (weft_match(request, weft_tuple(A(say), weft_bind(&text))) && !weft_is_none(session->room)) {
        size_t n = weft_pubsub_broadcast_from(A(talk), weft_self(), room_topic(session->room),
                                              weft_tuple(A(said), session->name, text));

        return weft_reply(weft_int((int64_t)n), .timeout_ms = IDLE_MS);
    }
    if (weft_eq(request, A(heard)))
        return weft_reply(weft_is_none(session->heard) ? A(nothing) : session->heard, .timeout_ms = IDLE_MS);
    if (weft_eq(request, A(logout)))
        return weft_stop_reply(A(normal), A(ok));
    return weft_reply(weft_tuple(A(error), request), .timeout_ms = IDLE_MS);
}

static weft_result session_info(void *state, weft_term message)
{
    struct session *session = state;
    weft_term who, text;

    if (weft_eq(message, A(timeout)))
        return weft_stop(A(normal));                         /* nobody has used it */
    if (weft_match(message, weft_tuple(A(said), weft_bind(&who), weft_bind(&text)))) {
        if (!weft_is_none(session->heard))
            weft_drop(session->heard);
        session->heard = weft_keep(weft_tuple(who, text));
    }
    return weft_noreply(.timeout_ms = IDLE_MS);
}

static const weft_gen_server session_server = {
    .init = session_init, .handle_call = session_call, .handle_info = session_info };

static weft_started session_start_link(weft_term arg)
{
    return weft_gen_server_start_link(&session_server, arg, .name = session_name(weft_tuple_at(arg, 0)));
}

/* The token of a new session. A real one would be drawn by chance. */
static weft_term login(const char *token, const char *name)
{
    weft_must(weft_dynamic_supervisor_start_child(A(session_supervisor),
            weft_child(.id = weft_str(token), .start = session_start_link, .restart = WEFT_TEMPORARY,
                       .arg = weft_tuple(weft_str(token), weft_str(name)))));
    return weft_str(token);
}

/* What a session answers; :no_session for a token that is none, or is none any more. */
static weft_term ask(weft_term token, weft_term request)
{
    weft_term answer;

    return weft_gen_server_try_call(session_name(token), request, CALL_MS, &answer) ? answer : A(no_session);
}

/* -- the tree, and two people ------------------------------------------------------------------- */

static weft_started app_start_link(void)
{
    weft_child_spec children[] = {
        weft_pubsub_child(.name = A(talk)),
        weft_registry_child(.name = A(rooms), .keys = WEFT_UNIQUE),
        weft_registry_child(.name = A(sessions), .keys = WEFT_UNIQUE),
        weft_dynamic_supervisor_child(.name = A(room_supervisor)),
        weft_dynamic_supervisor_child(.name = A(session_supervisor)),
    };

    return weft_supervisor_start_link(children, WEFT_COUNT(children), .strategy = WEFT_REST_FOR_ONE);
}

static void show(const char *what, weft_term value)
{
    printf("%s: %s\n", what, weft_inspect(value));
}

static weft_term app(weft_term args)
{
    weft_term ada, grace, lobby = weft_str("lobby");
    weft_ref room, session;

    (void)args;
    weft_must(app_start_link());
    ada = login("t-1", "ada");
    grace = login("t-2", "grace");
    show("ada is in the lobby with", ask(ada, weft_tuple(A(join), lobby)));             /* 1, herself */
    show("grace is in the lobby with", ask(grace, weft_tuple(A(join), lobby)));         /* 2 */
    show("ada speaks to", ask(ada, weft_tuple(A(say), weft_str("hello"))));             /* 1 */
    show("grace heard", ask(grace, A(heard)));                                          /* {"ada", "hello"} */

    room = weft_monitor(weft_registry_whereis(A(rooms), lobby));
    session = weft_monitor(weft_registry_whereis(A(sessions), grace));
    show("ada logs out", ask(ada, A(logout)));                                          /* :ok */
    show("ada asks again", ask(ada, A(heard)));                                         /* :no_session */
    weft_receive(weft_tuple(A(DOWN), session, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    weft_receive(weft_tuple(A(DOWN), room, weft_any, weft_any, weft_any), WEFT_INFINITY, NULL);
    show("later, grace asks", ask(grace, A(heard)));                                    /* :no_session */
    printf("sessions: %zu, rooms: %zu\n", weft_registry_count(A(sessions)), weft_registry_count(A(rooms)));
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }

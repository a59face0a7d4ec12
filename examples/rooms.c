/*
 * rooms.c - a supervision tree: a registry, rooms started on demand under a
 * dynamic supervisor, a task supervisor, and a cache.  A room that crashes is
 * restarted and found again under its name.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

/* What is to outlive a room's crash is not in the room: visits in all, kept by an agent. */
static void *cache_init(weft_term opts) { (void)opts; return weft_new(int64_t); }
static void *cache_count(void *visits, weft_term arg) { (void)arg; ++*(int64_t *)visits; return visits; }
static weft_term cache_visits(void *visits, weft_term arg) { (void)arg; return weft_int(*(int64_t *)visits); }

static weft_started cache_start_link(weft_term opts)
{
    return weft_agent_start_link(cache_init, opts, .name = A(cache));
}

struct room { weft_term id; int64_t visits; };

static weft_init_result room_init(weft_term id)
{
    struct room *room = weft_new(struct room);
    room->id = weft_keep(id);                       /* copied into memory this process owns */
    return weft_init_ok(room);
}

static weft_result room_handle_call(void *state, weft_term request, weft_from from)
{
    struct room *room = state;
    (void)from;
    if (weft_eq(request, A(enter))) {
        weft_agent_update(A(cache), cache_count, weft_none, 5000);
        return weft_reply(weft_int(++room->visits));
    }
    if (weft_eq(request, A(crash)))
        *(volatile int *)0 = 1;                     /* ends this room, nothing else */
    return weft_stop(weft_tuple(A(bad_call), request));
}

static const weft_gen_server room_server = { .init = room_init, .handle_call = room_handle_call };

static weft_server room_name(weft_term id) { return weft_via(A(rooms), id); }

static weft_started room_start_link(weft_term id)
{
    return weft_gen_server_start_link(&room_server, id, .name = room_name(id));
}

static weft_started room_open(weft_term id)
{
    return weft_dynamic_supervisor_start_child(A(room_supervisor),
            weft_child(.id = id, .start = room_start_link, .arg = id, .restart = WEFT_PERMANENT));
}

static weft_started app_start_link(void)
{
    weft_child_spec children[] = {                  /* started in order, stopped in reverse */
        weft_child(.id = A(cache), .start = cache_start_link),
        weft_registry_child(.name = A(rooms), .keys = WEFT_UNIQUE),
        weft_dynamic_supervisor_child(.name = A(room_supervisor), .max_children = 10000),
        weft_task_supervisor_child(.name = A(tasks)),
    };
    return weft_supervisor_start_link(children, WEFT_COUNT(children),
            .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 3, .max_seconds = 5);
}

static weft_term app(weft_term args)
{
    (void)args;
    weft_must(app_start_link());
    weft_term lobby = weft_str("lobby"), visits;
    weft_must(room_open(lobby));

    weft_gen_server_call(room_name(lobby), A(enter), 5000);                    /* 1 */
    weft_gen_server_try_call(room_name(lobby), A(crash), 5000, &visits);       /* false: it crashed, visits is the reason */

    weft_registry_await(A(rooms), lobby, 1000);                                /* until its restart has registered it again */
    visits = weft_gen_server_call(room_name(lobby), A(enter), 5000);
    printf("visits since the restart: %s\n", weft_inspect(visits));            /* 1 */
    printf("visits in all: %s\n", weft_inspect(weft_agent_get(A(cache), cache_visits, weft_none, 5000)));    /* 2 */
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }

/* pool_process.c - the processes of a pool that open a resource, or close one: either may
 * park, and the pool itself does not wait.
 */
#include "base/code.h"
#include "otp/pool.h"
#include "proc/proc.h"
#include "weft/process.h"

#define A(name) WEFT_ATOM(#name)

/* A resource is its opener's until the pool has said that it took it: a pool that
 * ends first leaves it to the opener to close. */
struct opening {
    const weft_pool_resource *kind;
    weft_term resource;
    bool is_ours;
};

/* arg: {kind, resource} */
WEFT__GATE static weft_term close_one(weft_term arg)
{
    const weft_pool_resource *kind = WEFT__POOL_KIND(weft_tuple_at(arg, 0));
    weft_term resource = weft_tuple_at(arg, 1);

    if (kind->close != NULL)
        kind->close(resource);
    else if (weft_is_pid(resource))
        weft_exit_signal(resource, A(shutdown));
    return A(ok);
}

void weft__pool_spawn_closer(const weft_pool_resource *kind, weft_term resource)
{
    weft_spawn(close_one, weft_tuple(weft_pointer(kind), resource), .label = "pool closer");
}

/* The opener is ended. A defer may not park, close may. (A gate, so that it counts with
 * the defers of users where the opener is disowned: open may still run then.) */
WEFT__GATE static void leave_to_closer(void *arg)
{
    const struct opening *opening = arg;

    if (opening->is_ours)
        weft__pool_spawn_closer(opening->kind, opening->resource);
}

/* false: the pool has ended. */
static bool await_taken(weft_pid pool)
{
    weft_receive_each (message) {
        if (weft_eq(message, A(taken)))
            return true;
        if (weft_match(message, weft_tuple(A(EXIT), pool, weft_any)))
            return false;
    }
    return false;
}

/* arg: {pool, kind, arg}. Says {:opened, self, resource} or {:failed, self, reason}. */
WEFT__GATE static weft_term open_one(weft_term arg)
{
    struct opening opening = {.kind = WEFT__POOL_KIND(weft_tuple_at(arg, 1)), .resource = weft_none};
    struct weft__proc *proc = weft__proc_here();
    weft_pid pool = weft_tuple_at(arg, 0);
    weft_term given = weft_tuple_at(arg, 2);

    weft_defer(leave_to_closer, &opening);
    opening.is_ours = opening.kind->open(weft_eq(given, A(none)) ? weft_none : given, pool, &opening.resource);
    weft__proc_returned(proc);
    weft_trap_exit(true); /* to hear first what the pool said before it ended */
    weft_send(pool, weft_tuple(opening.is_ours ? A(opened) : A(failed), weft_self(),
                               weft_is_none(opening.resource) ? A(none) : opening.resource));
    if (opening.is_ours && await_taken(pool))
        opening.is_ours = false;
    weft_undefer(leave_to_closer, &opening);
    if (opening.is_ours)
        close_one(weft_tuple(weft_pointer(opening.kind), opening.resource));
    return A(ok);
}

weft_pid weft__pool_spawn_opener(const weft_pool_resource *kind, weft_term arg)
{
    return weft_spawn(open_one, weft_tuple(weft_self(), weft_pointer(kind), arg), .link = true,
                      .label = "pool opener");
}

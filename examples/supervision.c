/*
 * supervision.c - a tree that heals: counters that crash and are started again,
 * a group that falls and rises together, a child that needs time, and a
 * supervisor that gives up and is replaced by the one above it.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

/* -- a counter, under a name ------------------------------------------------------ */

struct counter { int64_t n; };

static weft_init_result counter_init(weft_term arg)
{
    (void)arg;
    return weft_init_ok(weft_new(struct counter));
}

static weft_result counter_call(void *state, weft_term request, weft_from from)
{
    struct counter *counter = state;

    (void)from;
    if (weft_eq(request, A(incr)))
        return weft_reply(weft_int(++counter->n));
    weft_exit(weft_tuple(A(bad_request), request));     /* ends this counter, and nothing else */
}

static const weft_gen_server counter = {.init = counter_init, .handle_call = counter_call};

static weft_started counter_start_link(weft_term name)
{
    return weft_gen_server_start_link(&counter, weft_none, .name = name);
}

/* -- the tree ---------------------------------------------------------------------- */

static weft_child_spec counter_child(weft_term name)
{
    return weft_child(.id = name, .start = counter_start_link, .arg = name);
}

/* Two that make sense only together: when one falls, both start anew. */
static weft_started pair_start_link(void)
{
    weft_child_spec children[] = { counter_child(A(left)), counter_child(A(right)) };

    return weft_supervisor_start_link(children, WEFT_COUNT(children), .name = A(pair),
                                      .strategy = WEFT_ONE_FOR_ALL, .max_restarts = 1);
}

static weft_started tree_start_link(void)
{
    weft_child_spec children[] = {                      /* started in order, stopped in reverse */
        counter_child(A(alone)),
        weft_child(.id = A(pair), .start_bare = pair_start_link, .type = WEFT_SUPERVISOR),
    };

    return weft_supervisor_start_link(children, WEFT_COUNT(children), .name = A(tree),
                                      .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 10);
}

/* -- a story -------------------------------------------------------------------------- */

/* The next number, however often the counter has to be started for it. */
static int64_t next(weft_term name)
{
    weft_term n;

    while (!weft_gen_server_try_call(name, A(incr), 1000, &n))
        weft_sleep(1);
    return weft_to_int(n);
}

/* Have it crash, and wait until its name stands for another process. */
static void crash(weft_term name)
{
    weft_pid old = weft_whereis(name);
    weft_term reason;

    weft_gen_server_try_call(name, A(no_such_request), 1000, &reason);
    printf("  %s ended with %s\n", weft_atom_name(name), weft_inspect(reason));
    while (!weft_is_pid(weft_whereis(name)) || weft_eq(weft_whereis(name), old))
        weft_sleep(1);
}

static weft_term app(weft_term args)
{
    weft_pid pair;

    (void)args;
    weft_log_set_level(WEFT_LOG_CRITICAL);              /* the reports are told here in words */
    weft_must(tree_start_link());

    printf("one for one\n");
    next(A(alone)), next(A(left));
    crash(A(alone));
    printf("  alone begins anew at %d, left goes on with %d\n", (int)next(A(alone)), (int)next(A(left)));

    printf("one for all\n");
    next(A(right));
    crash(A(left));
    printf("  left begins anew at %d, and so does right at %d\n", (int)next(A(left)), (int)next(A(right)));

    printf("too many restarts: the pair's supervisor gives up, and the tree starts another\n");
    pair = weft_whereis(A(pair));
    crash(A(left));
    while (!weft_is_pid(weft_whereis(A(pair))) || weft_eq(weft_whereis(A(pair)), pair))
        weft_sleep(1);
    printf("  left begins anew at %d, right at %d, alone goes on with %d\n", (int)next(A(left)),
           (int)next(A(right)), (int)next(A(alone)));

    weft_supervisor_stop(A(tree), A(normal), 5000);     /* in reverse order; all are gone when it returns */
    printf("stopped: alone is %s\n", weft_is_pid(weft_whereis(A(alone))) ? "there" : "gone");
    return A(ok);
}

int main(int argc, char **argv) { return weft_main(argc, argv, app); }

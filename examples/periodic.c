/*
 * periodic.c - a job that runs at every so many milliseconds, whatever happens to it.
 *
 * The moments are fixed in advance (.abs), so they do not drift by the time that jobs
 * take. A job runs in a task of its own: one that crashes is logged and the next one
 * runs; one that takes too long is ended; and as long as one runs no other begins, the
 * moments it misses are counted.
 */
#include <stdio.h>
#include <weft.h>

#define A(name) WEFT_ATOM(#name)

/* -- the worker ---------------------------------------------------------------------------- */

struct periodic {
    weft_fn *job;
    weft_term arg;                                  /* kept; for the job */
    int64_t every_ms, limit_ms, next_ms;
    weft_task task;                                 /* the job that runs now: its .ref, or weft_none */
    int64_t n_runs, n_crashes, n_missed;
};

static void wait_for_next(struct periodic *periodic)
{
    periodic->next_ms += periodic->every_ms;
    weft_send_after(weft_self(), A(tick), periodic->next_ms, .abs = true);
}

/* arg: {job, its argument, every_ms, limit_ms} */
static weft_init_result periodic_init(weft_term arg)
{
    struct periodic *periodic = weft_new(struct periodic);

    periodic->job = (weft_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(arg, 0));
    periodic->arg = weft_keep(weft_tuple_at(arg, 1));
    periodic->every_ms = weft_to_int(weft_tuple_at(arg, 2));
    periodic->limit_ms = weft_to_int(weft_tuple_at(arg, 3));
    periodic->next_ms = weft_monotonic_ms();
    wait_for_next(periodic);
    return weft_init_ok(periodic);
}

static void tick(struct periodic *periodic)
{
    wait_for_next(periodic);
    if (!weft_is_none(periodic->task.ref)) {
        periodic->n_missed++;
        return;
    }
    periodic->n_runs++;
    periodic->task = weft_task_supervisor_async_nolink(A(jobs), periodic->job, periodic->arg);
    weft_send_after(weft_self(), weft_tuple(A(limit), periodic->task.ref), periodic->limit_ms);
}

static weft_result periodic_info(void *state, weft_term message)
{
    struct periodic *periodic = state;
    weft_term ref, reason;

    if (weft_eq(message, A(tick))) {
        tick(periodic);
    } else if (weft_match(message, weft_tuple(A(limit), weft_bind(&ref)))) {
        if (weft_eq(ref, periodic->task.ref)) {         /* it runs still */
            weft_task_shutdown(periodic->task, WEFT_BRUTAL_KILL, NULL);
            periodic->n_crashes++;
            periodic->task.ref = weft_none;
        }
    } else if (weft_match(message, weft_tuple(A(DOWN), weft_bind(&ref), weft_any, weft_any, weft_bind(&reason)))) {
        if (weft_eq(ref, periodic->task.ref)) {
            periodic->n_crashes += !weft_eq(reason, A(normal));
            periodic->task.ref = weft_none;
        }
    }                                               /* {ref, result}: its end follows */
    return weft_noreply();
}

static weft_result periodic_call(void *state, weft_term request, weft_from from)
{
    struct periodic *periodic = state;

    (void)request, (void)from;
    return weft_reply(weft_map(A(runs), weft_int(periodic->n_runs), A(crashes), weft_int(periodic->n_crashes),
                               A(missed), weft_bool(periodic->n_missed > 0)));
}

static const weft_gen_server periodic_server = {
    .init = periodic_init, .handle_call = periodic_call, .handle_info = periodic_info, .name = "periodic"};

static weft_started periodic_start_link(weft_term arg)
{
    return weft_gen_server_start_link(&periodic_server, arg, .name = A(cleaner));
}

/* -- a job that does well, crashes and takes too long --------------------------------------------- */

static _Atomic int n_begun;

static weft_term clean_up(weft_term to)
{
    int n = ++n_begun;

    weft_send(to, weft_tuple(A(run), weft_int(n)));
    if (n == 2)
        weft_exit(A(disk_is_full));
    if (n == 3)
        weft_sleep(60000);
    return A(ok);
}

static weft_started app_start_link(weft_term to)
{
    weft_child_spec children[] = {
        weft_task_supervisor_child(.name = A(jobs)),
        weft_child(.id = A(cleaner), .start = periodic_start_link,
                   .arg = weft_tuple(weft_pointer((const void *)(uintptr_t)clean_up), to, weft_int(10),
                                     weft_int(50))),
    };

    return weft_supervisor_start_link(children, WEFT_COUNT(children), .strategy = WEFT_ONE_FOR_ONE);
}

static weft_term app(weft_term args)
{
    weft_pid sup = weft_must(app_start_link(weft_self()));
    weft_term status;

    (void)args;
    for (int n = 1; n <= 4; n++) {
        weft_receive(weft_tuple(A(run), weft_int(n)), WEFT_INFINITY, NULL);
        printf("run %d\n", n);
    }
    do
        status = weft_gen_server_call(A(cleaner), A(status), 5000);
    while (weft_to_int(weft_map_get(status, A(runs), weft_int(0))) < 4);
    printf("crashes or too long: %lld, moments missed meanwhile: %s\n",
           (long long)weft_to_int(weft_map_get(status, A(crashes), weft_int(0))),
           weft_to_bool(weft_map_get(status, A(missed), weft_bool(false))) ? "some" : "none");
    weft_supervisor_stop(sup, weft_none, 5000);
    return A(ok);
}

int main(int argc, char **argv)
{
    return weft_main(argc, argv, app);
}

/* partition_supervisor.c - a supervisor whose children are told apart by number.
 *
 * The children are the given one, n times, with the ids 0 to n - 1; that is all
 * a supervisor needs. Beside it there is a table (otp/partition_table.h) that
 * the supervisor keeps, and that whoever has a key reads.
 */
#include "otp/child_spec.h"
#include "otp/partition_table.h"
#include "otp/supervisor.h"
#include "otp/task.h"
#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/partition_supervisor.h"

#define A(name) WEFT_ATOM(#name)
#define CALL "weft_partition_supervisor_start_link"

weft_server weft_partition(weft_server name, weft_term key)
{
    return weft_via(WEFT__PARTITIONS, weft_tuple(name, key));
}

/* -- starting ------------------------------------------------------------------------ */

static void check(const struct weft_partition_supervisor_options *options)
{
    if (weft_is_none(options->name))
        weft__proc_badarg(CALL, ".name is missing: an atom, or weft_via(registry, key)");
    if (options->child == NULL)
        weft__proc_badarg(CALL, ".child is missing: what each partition runs");
    if (options->partitions < 0)
        weft__proc_badarg(CALL, ".partitions is %lld: at least 1, or 0 for one a worker",
                          (long long)options->partitions);
}

static weft_term argument_of(const struct weft_partition_supervisor_options *options, int64_t partition)
{
    weft_term arg;

    if (options->with_argument == NULL)
        return options->child->arg;
    arg = options->with_argument(options->child->arg, partition);
    if (weft_is_none(arg))
        weft__proc_badarg(CALL, ".with_argument gave nothing for partition %lld", (long long)partition);
    return arg;
}

weft_started weft_partition_supervisor_start_link_opt(const struct weft_partition_supervisor_options *given)
{
    struct weft_partition_supervisor_options options = {WEFT_PARTITION_SUPERVISOR_DEFAULTS};
    struct weft_supervisor_options flags = {WEFT_SUPERVISOR_DEFAULTS};
    weft_child_spec *children;
    weft_started started;
    size_t n;

    weft__options_take(&options, given);
    check(&options);
    n = options.partitions > 0 ? (size_t)options.partitions : weft__runtime()->sched->n_workers;
    children = weft_alloc(n * sizeof *children);
    for (size_t i = 0; i < n; i++) {
        children[i] = *options.child;
        children[i].id = weft_int((int64_t)i);
        children[i].arg = argument_of(&options, (int64_t)i);
    }
    flags.name = options.name;
    flags.strategy = options.strategy;
    flags.max_restarts = options.max_restarts;
    flags.max_seconds = options.max_seconds;
    started = weft__supervisor_start(CALL, children, n, &flags, true);
    weft_free(children);
    return started;
}

/* -- as a child --------------------------------------------------------------------------- */

static weft_started start_packed(weft_term packed)
{
    weft_child_spec child;

    weft__child_unpack(&child, weft_tuple_at(packed, 1));
    return weft_partition_supervisor_start_link(
        .name = weft_tuple_at(packed, 0), .child = &child, .partitions = weft_to_int(weft_tuple_at(packed, 2)),
        .strategy = (enum weft_strategy)weft_to_int(weft_tuple_at(packed, 3)),
        .max_restarts = weft_to_int(weft_tuple_at(packed, 4)), .max_seconds = weft_to_int(weft_tuple_at(packed, 5)),
        .with_argument = (weft_partition_argument_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(packed, 6)));
}

weft_child_spec weft_partition_supervisor_child_opt(const struct weft_partition_supervisor_options *given)
{
    struct weft_partition_supervisor_options options = {WEFT_PARTITION_SUPERVISOR_DEFAULTS};

    weft__options_take(&options, given);
    check(&options);
    return weft_child(.id = weft__supervisor_name_id(options.name), .start = start_packed,
                      .arg = weft_tuple(options.name, weft__child_pack(options.child), weft_int(options.partitions),
                                        weft_int((int)options.strategy), weft_int(options.max_restarts),
                                        weft_int(options.max_seconds),
                                        weft_pointer((const void *)(uintptr_t)options.with_argument)),
                      .type = WEFT_SUPERVISOR);
}

/* -- questions ---------------------------------------------------------------------------------- */

static _Noreturn void exit_noproc(weft_atom function, weft_term args)
{
    weft_exit(weft_tuple(A(noproc), weft_tuple(WEFT__PARTITIONS, function, args)));
}

static struct weft__partition_table *table_of(weft_server name, weft_atom function, weft_term args)
{
    weft_pid supervisor = weft_gen_server_whereis(name);
    struct weft__partition_table *table = weft_is_pid(supervisor) ? weft__partition_table_of(supervisor) : NULL;

    if (table == NULL)
        exit_noproc(function, args);
    return table;
}

int64_t weft_partition_supervisor_partitions(weft_server name)
{
    return weft__partition_table_size(table_of(name, A(partitions), weft_list(name)));
}

void weft_partition_supervisor_each(weft_server name, void (*fn)(int64_t partition, weft_pid pid, void *arg),
                                    void *arg)
{
    int64_t n = weft__partition_table_size(table_of(name, A(each), weft_list(name)));

    for (int64_t i = 0; i < n; i++) {
        weft_pid pid;

        if (weft__partition_find(name, weft_int(i), &pid) == 0)
            fn(i, pid, arg);
    }
}

int64_t weft_partition_supervisor_resize(weft_server name, int64_t n)
{
    weft_term answer, reason, most;
    bool is_answer = weft__supervisor_ask(name, A(resize), weft_int(n), &answer);
    int64_t before;

    if (!is_answer)
        exit_noproc(A(resize), weft_list(name, weft_int(n)));
    if (weft_match(answer, weft_tuple(A(ok), weft_bind_int(&before))))
        return before;
    weft_match(answer, weft_tuple(A(error), weft_bind(&reason)));
    if (weft_match(reason, weft_tuple(A(out_of_range), weft_bind(&most))))
        weft__proc_badarg("weft_partition_supervisor_resize", "the number of partitions is %lld: from 0 to %lld, those it began with",
                          (long long)n, (long long)weft_to_int(most));
    weft_exit(reason);
}

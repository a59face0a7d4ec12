/* partition_supervisor.h - n copies of one child, and a way to one of them by key.
 *
 *     weft_child_spec task_supervisor = weft_task_supervisor_child();
 *     weft_partition_supervisor_start_link(.name = WEFT_ATOM("tasks"),
 *             .child = &task_supervisor, .partitions = 8);
 *     weft_task_supervisor_async(weft_partition(WEFT_ATOM("tasks"), weft_self()), fn, arg);
 *
 * It removes the bottleneck of a single process (a dynamic supervisor, a
 * counter, a task supervisor) when the work can be split by key. State that a
 * partition holds is in that partition alone. The way from a key to a process
 * is a few loads: it does not go through the supervisor.
 *
 * Where:   every call works in a process. Those that say so may park; the others
 *          never switch.
 * Meaning: Elixir's PartitionSupervisor; rules PSUP-1 to PSUP-22.
 */
#ifndef WEFT_PARTITION_SUPERVISOR_H
#define WEFT_PARTITION_SUPERVISOR_H

#include "weft/supervisor.h"

WEFT__BEGIN_C

/* The partition that key belongs to; anywhere a server is named: to call, cast,
 * stop, start children, start tasks. An integer key goes to partition
 * |key| rem n, any other one to a hash of it: equal keys to equal partitions as
 * long as n is the same, and in this run of the program alone. A term of the
 * caller's scope. After a partition crashed its key leads to the dead process
 * until the new one is up. PSUP-7 to PSUP-11. */
WEFT_API weft_server weft_partition(weft_server name, weft_term key);

typedef weft_term weft_partition_argument_fn(weft_term arg, int64_t partition);

struct weft_partition_supervisor_options {
    WEFT_OPTION(size_t, size, sizeof(weft_partition_supervisor_options));
    WEFT_OPTION(weft_server, name, {0});     /* must be given: an atom or weft_via(...) */
    WEFT_OPTION(const weft_child_spec *, child, NULL); /* must be given; copied; its .id is not looked at */
    WEFT_OPTION(int64_t, partitions, 0);     /* at least 1; 0: as many as the runtime has workers */
    WEFT_OPTION(enum weft_strategy, strategy, WEFT_ONE_FOR_ONE);
    WEFT_OPTION(int64_t, max_restarts, 3);
    WEFT_OPTION(int64_t, max_seconds, 5);
    /* Called once for each partition, in the caller: what its start function gets
     * in place of .child's .arg. weft_none is a mistake. */
    WEFT_OPTION(weft_partition_argument_fn *, with_argument, NULL);
};

#define WEFT_PARTITION_SUPERVISOR_DEFAULTS                                \
    .size = sizeof(struct weft_partition_supervisor_options), .name = {0}, \
    .child = NULL, .partitions = 0, .strategy = WEFT_ONE_FOR_ONE,         \
    .max_restarts = 3, .max_seconds = 5, .with_argument = NULL

/* Start one, linked to the caller, with its partitions as children of the ids 0
 * to n - 1, in that order.
 *
 * Where:    in a process. May park until the last one is up.
 * Returns:  its pid; or not ok: {:already_started, pid}, and what
 *           weft_supervisor_start_link gives.
 * Exits:    {:badarg, text}   .name or .child is missing, .partitions is no number of
 *           at least 1, .with_argument gave nothing
 * Meaning:  PSUP-1 to PSUP-5. */
#define weft_partition_supervisor_start_link(...)                         \
    WEFT_CALL_OPTIONS(weft_partition_supervisor_start_link_opt(           \
        WEFT_OPTIONS(weft_partition_supervisor_options, WEFT_PARTITION_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_partition_supervisor_start_link_opt(
    const struct weft_partition_supervisor_options *options);

/* The same as a child of a supervisor; its id is its name. PSUP-6. */
#define weft_partition_supervisor_child(...)                              \
    WEFT_CALL_OPTIONS(weft_partition_supervisor_child_opt(                \
        WEFT_OPTIONS(weft_partition_supervisor_options, WEFT_PARTITION_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_child_spec weft_partition_supervisor_child_opt(
    const struct weft_partition_supervisor_options *options);

/* How many partitions keys are spread over now. In a process. Never switches.
 * Exits {:noproc, {PartitionSupervisor, :partitions, [name]}}. PSUP-14. */
WEFT_API int64_t weft_partition_supervisor_partitions(weft_server name);

/* fn(partition, pid, arg) for each, in order, in the caller. In a process. Exits
 * as above. */
WEFT_API void weft_partition_supervisor_each(weft_server name,
                                             void (*fn)(int64_t partition, weft_pid pid, void *arg), void *arg);

/* Spread keys over n partitions from now on, at most as many as there were at
 * the start, 0 too: then no key leads anywhere. Any key may move, and what a
 * stopped partition held is lost.
 *
 * Where:    in a process. May park: new partitions are up before any key leads to
 *           them, and no key leads to one that is being stopped.
 * Returns:  how many there were.
 * Exits:    {:badarg, text} names the range and the value; {:noproc, ...}; what a
 *           partition's start failed with
 * Meaning:  PSUP-17 to PSUP-22. */
WEFT_API int64_t weft_partition_supervisor_resize(weft_server name, int64_t n);

/* weft_supervisor_which_children, _count_children and _stop serve it as well.
 * PSUP-15, PSUP-16. */

WEFT__END_C

#endif

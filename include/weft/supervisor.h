/* supervisor.h - a process that keeps other processes alive.
 *
 *     weft_child_spec children[] = {            // started in order, stopped in reverse
 *         weft_child(.id = WEFT_ATOM("cache"), .start = cache_start_link),
 *         weft_child(.id = WEFT_ATOM("web"), .start = web_start_link, .arg = port),
 *     };
 *     weft_supervisor_start_link(children, WEFT_COUNT(children), .strategy = WEFT_ONE_FOR_ONE);
 *
 * It starts its children one after the other, restarts them when they end, by
 * a fixed policy, gives up when they end too often, and stops them in reverse.
 *
 * Restart intensity. .max_restarts in .max_seconds counts the restarts of all
 * children together: 3 in 5 seconds suits a handful of children that hardly
 * ever fail. A sizing rule: as many restarts as children may fail for one and
 * the same cause at once, in the time that cause takes to go away. Children
 * that depend on what may be away for long connect in handle_continue, or get
 * a back-off (weft_child's .backoff_ms).
 *
 * A child is started by a function that returns when the child is ready (a
 * weft_..._start_link); what it returns before that, later children may miss.
 * One that returns a process that is not linked to the supervisor is refused.
 *
 * A group restart (WEFT_ONE_FOR_ALL, WEFT_REST_FOR_ONE) starts every child of
 * the group again: also a WEFT_TRANSIENT one that had ended normally, and one
 * that was stopped by weft_supervisor_terminate_child.
 *
 * Where:   every call on a supervisor works in a process, and may park: it is
 *          answered in its turn, behind a start or a stop in progress, however
 *          long that takes. None exits when the supervisor is not there: they
 *          say so. A child that calls its own supervisor while that one waits
 *          for it (in its init, or while it is being stopped) is refused with
 *          {:calling_supervisor_while_it_waits, id}.
 *
 * Meaning: Erlang's supervisor and Elixir's Supervisor; rules SUP-1 to SUP-69.
 */
#ifndef WEFT_SUPERVISOR_H
#define WEFT_SUPERVISOR_H

#include "weft/api.h"
#include "weft/child.h"
#include "weft/options.h"
#include "weft/process.h"

WEFT__BEGIN_C

enum weft_strategy {
    WEFT_ONE_FOR_ONE = 1, /* the child that ended is started again */
    WEFT_ONE_FOR_ALL,     /* all are stopped, and started again */
    WEFT_REST_FOR_ONE     /* so are those that were started after it */
};

/* Does the supervisor end when a significant child has ended for good? */
enum weft_auto_shutdown {
    WEFT_AUTO_SHUTDOWN_NEVER,
    WEFT_ANY_SIGNIFICANT,  /* with the first one */
    WEFT_ALL_SIGNIFICANT   /* with the last one */
};

struct weft_supervisor_options {
    WEFT_OPTION(size_t, size, sizeof(weft_supervisor_options));
    WEFT_OPTION(enum weft_strategy, strategy, (enum weft_strategy)0); /* must be given */
    WEFT_OPTION(int64_t, max_restarts, 3);
    WEFT_OPTION(int64_t, max_seconds, 5);
    WEFT_OPTION(enum weft_auto_shutdown, auto_shutdown, WEFT_AUTO_SHUTDOWN_NEVER);
    WEFT_OPTION(weft_server, name, {0});
};
#define WEFT_SUPERVISOR_DEFAULTS                                          \
    .size = sizeof(struct weft_supervisor_options),                       \
    .strategy = (enum weft_strategy)0, .max_restarts = 3, .max_seconds = 5, \
    .auto_shutdown = WEFT_AUTO_SHUTDOWN_NEVER, .name = {0}

/* Start a supervisor, linked to the caller, with n children.
 *
 *   children   copied; started in order, each when the one before is ready
 *   .strategy  required
 *   .name      an atom or weft_via(...), registered before the first child starts
 *
 * Where:    in a process. May park until the last child is up.
 * Returns:  its pid; or not ok, and no child of this attempt is alive:
 *   {:badarg, text}                     .strategy is not given
 *   {:supervisor_data, {:invalid_strategy | :invalid_intensity | :invalid_period |
 *                       :invalid_auto_shutdown, value}}
 *   {:start_spec, problem}              a spec is wrong, before anything started: :missing_id,
 *                                       :missing_start, {:invalid_mfa, x}, {:invalid_restart_type, x},
 *                                       {:invalid_child_type, x}, {:invalid_shutdown, x},
 *                                       {:invalid_backoff, x}, {:bad_combination, settings},
 *                                       {:duplicate_child_name, id}
 *   {:already_started, pid}             the name is taken
 *   {:shutdown, {:failed_to_start_child, id, reason}}
 * Meaning:  Supervisor.start_link/2; SUP-3 to SUP-7, SUP-10 to SUP-16. */
#define weft_supervisor_start_link(children, n, ...)                      \
    WEFT_CALL_OPTIONS(weft_supervisor_start_link_opt((children), (n),     \
        WEFT_OPTIONS(weft_supervisor_options, WEFT_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_started weft_supervisor_start_link_opt(const weft_child_spec *children, size_t n,
                                                     const struct weft_supervisor_options *options);

/* -- by a callback ------------------------------------------------------------ */

/* What an init callback wants: made by the two functions below. (Without default
 * initialisers, as functions of C return it.) */
struct weft_supervisor_init {
    int kind; /* 0: made by neither */
    const weft_child_spec *children; /* must outlive the callback: static, or memory of the process (weft_alloc) */
    size_t n;
    enum weft_strategy strategy;
    int64_t max_restarts, max_seconds;
    enum weft_auto_shutdown auto_shutdown;
};
typedef struct weft_supervisor_init weft_supervisor_init;

/* Runs in the new supervisor. */
typedef weft_supervisor_init weft_supervisor_init_fn(weft_term arg);

#define weft_supervisor_init_ok(children, n, ...)                         \
    WEFT_CALL_OPTIONS(weft_supervisor_init_ok_opt((children), (n),        \
        WEFT_OPTIONS(weft_supervisor_options, WEFT_SUPERVISOR_DEFAULTS, __VA_ARGS__)))
WEFT_API weft_supervisor_init weft_supervisor_init_ok_opt(const weft_child_spec *children, size_t n,
                                                          const struct weft_supervisor_options *options);
WEFT_API weft_supervisor_init weft_supervisor_init_ignore(void);

/* Start a supervisor whose flags and children init(arg) says, at each restart
 * anew. As weft_supervisor_start_link, and
 *
 *   arg       copied
 *   name      an atom, weft_via(...), or weft_none
 *
 * Returns:  ignored (weft_started_is_ignored) when init says so;
 *           {:bad_return, {:weft_supervisor, :init, what}} for what no function above made;
 *           what init ends with, as for a server's init. SUP-8. */
WEFT_API weft_started weft_supervisor_start_link_init(weft_supervisor_init_fn *init, weft_term arg,
                                                      weft_server name);

/* -- children at run time --------------------------------------------------------- */

/* Add a child behind the last one, and start it.
 *
 * Returns:  its pid, or ignored; or not ok, and nothing has changed:
 *   a problem with the spec, as above
 *   {:already_started, pid}   a child with that id runs
 *   :already_present          one is there and does not
 *   its own reason            it did not start
 *   :noproc, or what the supervisor ended with
 * Meaning:  SUP-49 to SUP-52. */
WEFT_API weft_started weft_supervisor_start_child(weft_server supervisor, weft_child_spec spec);

/* Stop a child by its .shutdown_ms; its spec stays (a WEFT_TEMPORARY one's
 * goes). 0, also when it did not run; WEFT_ENOENT: no child has that id;
 * WEFT_EDEADLK: a child that the supervisor waits for asks; WEFT_ENOPROC: no
 * supervisor. SUP-53 to SUP-55. */
WEFT_API int weft_supervisor_terminate_child(weft_server supervisor, weft_term id);

/* Start a stopped child again, in its old place. Not ok: :running,
 * :restarting, :not_found, or its own reason: the spec stays. SUP-56. */
WEFT_API weft_started weft_supervisor_restart_child(weft_server supervisor, weft_term id);

/* Forget a stopped child. 0; WEFT_EBUSY: it runs; WEFT_EINPROGRESS: it is being
 * restarted; WEFT_ENOENT, WEFT_EDEADLK, WEFT_ENOPROC as above. SUP-57. */
WEFT_API int weft_supervisor_delete_child(weft_server supervisor, weft_term id);

/* -- questions ------------------------------------------------------------------------ */

/* A list of {id, pid | :undefined | :restarting, :worker | :supervisor, []},
 * latest started first; weft_none: no supervisor answered. SUP-58. */
WEFT_API weft_term weft_supervisor_which_children(weft_server supervisor);

struct weft_child_counts {
    int64_t specs;       /* children known, running or not */
    int64_t active;      /* with a process that lives */
    int64_t supervisors; /* specs of that type */
    int64_t workers;
};
typedef struct weft_child_counts weft_child_counts;

/* 0 and *counts, or WEFT_ENOPROC, WEFT_EDEADLK. SUP-59. */
WEFT_API int weft_supervisor_count_children(weft_server supervisor, weft_child_counts *counts);

/* The spec as a map with defaults filled in; weft_none: no such child. SUP-69. */
WEFT_API weft_term weft_supervisor_get_child_spec(weft_server supervisor, weft_term id);

/* -- its end ----------------------------------------------------------------------------- */

/* Stop the children in reverse order, then the supervisor with that reason;
 * returns when it is dead.
 *
 * Where:    in a process. May park.
 * Exits:    :noproc            nobody there
 *           :timeout           not in time; it goes on stopping
 *           the reason it ended with, when that is another one
 * Meaning:  SUP-47. weft_supervisor_try_stop reports: true, or false and *why. */
WEFT_API void weft_supervisor_stop(weft_server supervisor, weft_term reason, int64_t timeout_ms);
WEFT_API bool weft_supervisor_try_stop(weft_server supervisor, weft_term reason, int64_t timeout_ms,
                                       weft_term *why);

WEFT__END_C

#endif

/* child.h - how a supervisor is to start, restart and stop a process.
 *
 *     weft_child_spec children[] = {
 *         weft_child(.id = WEFT_ATOM("cache"), .start = cache_start_link),
 *         weft_child(.id = id, .start = room_start_link, .arg = id, .restart = WEFT_TRANSIENT),
 *     };
 *
 * A spec is a plain struct: a field that a ready-made one has otherwise is
 * changed by assignment. Its terms live as any others; a supervisor keeps
 * copies of its own. Nothing is checked when it is made: who is given it
 * checks it, before anything starts, and says what is wrong in words.
 *
 * Meaning: Elixir's child specification; rules SUP-1, SUP-2, SUP-9, SUP-12.
 */
#ifndef WEFT_CHILD_H
#define WEFT_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/options.h"
#include "weft/process.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* -- what a start gives ------------------------------------------------------- */

/* The outcome of a start: the process is up, or chose not to run, or failed. */
struct weft_started {
    bool ok;          /* false: it failed, see reason */
    weft_pid pid;     /* ok: the process; weft_none: the start was ignored */
    weft_term info;   /* ok: more that the start has to say, or weft_none */
    weft_term reason; /* not ok: why. Terms live to the end of the caller's scope */
};
typedef struct weft_started weft_started;

static inline weft_started weft_started_ok(weft_pid pid)
{
    weft_started started = {true, pid, weft_none, weft_none};

    return started;
}
static inline weft_started weft_started_ignore(void)
{
    weft_started started = {true, weft_none, weft_none, weft_none};

    return started;
}
static inline weft_started weft_started_error(weft_term reason)
{
    weft_started started = {false, weft_none, weft_none, reason};

    return started;
}
static inline bool weft_started_is_ignored(weft_started started)
{
    return started.ok && weft_is_none(started.pid);
}

/* The pid of a start that cannot fail, or is not to.
 *
 * Where:    in a process. May park when it exits, as all exits.
 * Returns:  started.pid.
 * Exits:    started.reason; :ignore when the start was ignored
 */
WEFT_API weft_pid weft_must(weft_started started);

/* -- child specs ----------------------------------------------------------------- */

enum weft_restart {
    WEFT_PERMANENT, /* restarted whatever the reason of its end */
    WEFT_TRANSIENT, /* unless it ends with :normal, :shutdown or {:shutdown, _} */
    WEFT_TEMPORARY  /* never restarted, and forgotten when it ends */
};

enum weft_child_type { WEFT_WORKER, WEFT_SUPERVISOR };

/* In place of a number of milliseconds: end it with :kill at once. */
#define WEFT_BRUTAL_KILL INT64_C(-1)
/* 5000 for a worker, WEFT_INFINITY for a supervisor. */
#define WEFT_SHUTDOWN_BY_TYPE INT64_C(-2)

/* Starts a process that is linked to the caller, as every _start_link, and
 * returns when it is ready. Called by the supervisor, at each start with the
 * same argument; weft_none when the spec has none. */
typedef weft_started weft_start_fn(weft_term arg);
typedef weft_started weft_start_bare_fn(void);

struct weft_child_spec {
    weft_term id;                /* any term that no sibling has */
    weft_start_fn *start;        /* one of these two */
    weft_start_bare_fn *start_bare; /* for one without an argument */
    weft_term arg;               /* for .start */
    enum weft_restart restart;   /* WEFT_PERMANENT */
    int64_t shutdown_ms;         /* from :shutdown to :kill; WEFT_BRUTAL_KILL; WEFT_INFINITY */
    enum weft_child_type type;   /* WEFT_WORKER */
    bool significant;            /* false; true: its end may end the supervisor, see .auto_shutdown */
    /* Beyond OTP, off at first. With a back-off a child is started again after
     * .backoff_ms, then twice, four times ... as long, up to .backoff_max_ms;
     * each delay is between half of that and all of it, by chance, so that
     * children that fell together do not rise together. A child that has run
     * for .backoff_max_ms begins anew. Its restarts do not count in the
     * supervisor's intensity, but in a budget of the child's own: after so many
     * in a row the supervisor ends, as when its intensity is reached. */
    int64_t backoff_ms;          /* 0: started again at once */
    int64_t backoff_max_ms;      /* 30000 */
    int64_t restart_budget;      /* 10; WEFT_INFINITY: it is tried for ever */
};
typedef struct weft_child_spec weft_child_spec;

/* weft_child(.id = ..., .start = ..., ...): a spec by fields, with the defaults
 * above and WEFT_SHUTDOWN_BY_TYPE. Inside a function. In C++ in the order of
 * the struct. */
#ifdef __cplusplus
#define weft_child(...) (weft__child_fields{__VA_ARGS__}.spec())
#else
#define weft_child(...) \
    WEFT_CALL_OPTIONS(((struct weft_child_spec){WEFT_CHILD_DEFAULTS, __VA_ARGS__}))
#define WEFT_CHILD_DEFAULTS                                                   \
    .id = {0}, .start = NULL, .start_bare = NULL, .arg = {0},                 \
    .restart = WEFT_PERMANENT, .shutdown_ms = WEFT_SHUTDOWN_BY_TYPE,          \
    .type = WEFT_WORKER, .significant = false, .backoff_ms = 0,               \
    .backoff_max_ms = 30000, .restart_budget = 10
#endif

/* Elements of an array. */
#define WEFT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

WEFT__END_C

#ifdef __cplusplus
/* The spec itself has no default initialisers: functions of C return it. */
struct weft__child_fields {
    weft_term id = {0};
    weft_start_fn *start = NULL;
    weft_start_bare_fn *start_bare = NULL;
    weft_term arg = {0};
    enum weft_restart restart = WEFT_PERMANENT;
    int64_t shutdown_ms = WEFT_SHUTDOWN_BY_TYPE;
    enum weft_child_type type = WEFT_WORKER;
    bool significant = false;
    int64_t backoff_ms = 0;
    int64_t backoff_max_ms = 30000;
    int64_t restart_budget = 10;

    weft_child_spec spec() const
    {
        return weft_child_spec{id, start, start_bare, arg, restart, shutdown_ms, type, significant,
                               backoff_ms, backoff_max_ms, restart_budget};
    }
};
#endif

#endif

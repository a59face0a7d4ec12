/* log.h - records of what happened: a text, fields, a level.
 *
 *     weft_log_warning("room %s is full", name);
 *     weft_log_event(WEFT_LOG_ERROR, "request failed",
 *                    weft_list(weft_tuple(WEFT_ATOM("room"), id),
 *                              weft_tuple(WEFT_ATOM("reason"), reason)));
 *
 * A record is made where it is logged, on the calling thread: its arguments are
 * looked at only when its level is high enough and its place has not logged
 * too often, and the terms they build are given back at once. It gets the time,
 * the caller's pid and label, and its place, and goes to one handler. The
 * first handler writes a line to standard error:
 *
 *     2026-05-17T09:30:12.042Z [error] #PID<0.81.0> (room 7) request failed room=7 reason=:timeout
 *
 * Where:   every call here works in a process and in any thread, with or
 *          without a runtime, not in a signal handler. Never switches; with
 *          the first handler it blocks the kernel thread as long as standard
 *          error does.
 * Bounds:  a text of 2,047 bytes, a value of a field the same, 64 fields, a
 *          line of 4,096 bytes (so that a pipe keeps lines whole). What is
 *          cut ends in "...". The text has its room before the fields have.
 * errno:   left as it was.
 *
 * Reports. An abnormal end is one record of level error, made by what ended (a
 * process that faulted or called weft_error, a task, a server) and, when it was a
 * supervisor's child, one by that. Its fields are a list with these keys, without
 * those of which nothing is known:
 *
 *     what           :process, :task, :server, :child, :supervisor
 *     pid, name      of what ended
 *     child          its id in the spec
 *     supervisor     whose it is
 *     reason         what it ended with; the stack of a fault apart
 *     stack          functions of the program, innermost first: pointers
 *     last_message   what a server or a handler was handling
 *
 * and then what is known of its kind: function, args, started_from, module, client,
 * state, max_restarts, endings and others. Each kind of report is a place of its
 * own for the limits below: a storm of one hides no other, and how many were left
 * out is told.
 */
#ifndef WEFT_LOG_H
#define WEFT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/term.h"

WEFT__BEGIN_C

/* Meanings as in syslog and Elixir's Logger. */
enum weft_log_level {
    WEFT_LOG_DEBUG,
    WEFT_LOG_INFO,
    WEFT_LOG_NOTICE,   /* normal, but worth a look */
    WEFT_LOG_WARNING,
    WEFT_LOG_ERROR,
    WEFT_LOG_CRITICAL,
    WEFT_LOG_NONE      /* as a threshold: nothing is logged; no record has it */
};

/* -- logging ----------------------------------------------------------------- */

/* weft_log(level, format, ...): a text as printf makes it. Control characters
 * and bytes that are no UTF-8 are written as escapes, so that a record stays a line. */
#define weft_log(level, ...)                                                  \
    WEFT__LOG(WEFT__CAT(weft__site_, __COUNTER__), WEFT__CAT(weft__level_, __COUNTER__), \
              level, weft_log_at, __VA_ARGS__)
#define weft_log_debug(...) weft_log(WEFT_LOG_DEBUG, __VA_ARGS__)
#define weft_log_info(...) weft_log(WEFT_LOG_INFO, __VA_ARGS__)
#define weft_log_notice(...) weft_log(WEFT_LOG_NOTICE, __VA_ARGS__)
#define weft_log_warning(...) weft_log(WEFT_LOG_WARNING, __VA_ARGS__)
#define weft_log_error(...) weft_log(WEFT_LOG_ERROR, __VA_ARGS__)
#define weft_log_critical(...) weft_log(WEFT_LOG_CRITICAL, __VA_ARGS__)

/* weft_log_event(level, text, fields): a text as it is, best the same each
 * time, and what differs as fields: a list of {key, value} tuples or a map.
 * weft_none and the empty list are no fields; any other term is logged as it
 * is, under the key `fields`: a logger does not end its caller. */
#define weft_log_event(level, ...)                                            \
    WEFT__LOG(WEFT__CAT(weft__site_, __COUNTER__), WEFT__CAT(weft__level_, __COUNTER__), \
              level, weft_log_event_at, __VA_ARGS__)

/* A place in a program that logs; zero but for the first three. It lives as
 * long as the program. The rest is the limit's own. */
struct weft_log_site {
    const char *file;
    const char *function;
    int line;
    uint64_t due_ns;      /* when the next record would come at the set rate */
    uint64_t n_left_out;  /* since the last one that was written */
};

#define WEFT__LOG(site, given, level, write, ...)                             \
    do {                                                                      \
        static struct weft_log_site site = {__FILE__, __func__, __LINE__, 0, 0}; \
        enum weft_log_level given = (level);                                  \
        if (weft_log_admit(&site, given)) {                                   \
            WEFT_SCOPE;                                                       \
            write(&site, given, __VA_ARGS__);                                 \
        }                                                                     \
    } while (0)

/* Should a record of this place be made now? A refusal by the limit is counted
 * and told with the next record. site NULL: no place, no limit of its own. */
WEFT_API bool weft_log_admit(struct weft_log_site *site, enum weft_log_level level);

/* What the macros call once admitted. site may be NULL. */
WEFT_API void weft_log_at(struct weft_log_site *site, enum weft_log_level level,
                          const char *format, ...) __attribute__((format(printf, 3, 4)));
WEFT_API void weft_log_event_at(struct weft_log_site *site, enum weft_log_level level,
                                const char *text, weft_term fields);

/* -- which records --------------------------------------------------------------- */

/* Levels below are not logged; WEFT_LOG_INFO at first. Returns the level
 * before, or WEFT_EINVAL. Takes effect in other threads soon, not at once. */
WEFT_API int weft_log_set_level(enum weft_log_level level);
WEFT_API bool weft_log_enabled(enum weft_log_level level);

/* "debug" to "critical"; "unknown" for another number. */
WEFT_API const char *weft_log_level_name(enum weft_log_level level);

/* How often records are written: `burst` at once, and per_second from then on;
 * per_second 0: no limit. What is left out is counted and told. At first each
 * place has 500 a second and a burst of 500, the program has no limit.
 * 0, or WEFT_EINVAL: burst 0, or a number above 1,000,000,000. */
enum weft_log_limit {
    WEFT_LOG_EACH_PLACE, /* each weft_log in the source by itself */
    WEFT_LOG_PROGRAM     /* all together */
};
WEFT_API int weft_log_set_limit(enum weft_log_limit limit, uint32_t per_second, uint32_t burst);

/* Records that were left out and not yet told. */
WEFT_API uint64_t weft_log_left_out(void);

/* -- where they go ------------------------------------------------------------------ */

/* What a handler is given, to the end of its call. */
struct weft_log_record {
    size_t size;                /* of this struct, as the library knows it */
    enum weft_log_level level;
    int64_t time_ns;            /* since 1970, UTC */
    const char *text;           /* with a NUL after it */
    size_t text_size;           /* without */
    weft_term fields;           /* as given, or weft_none */
    weft_pid pid;               /* who logs, or weft_none */
    const char *label;          /* its label, or NULL */
    const char *file;           /* NULL: no place */
    const char *function;
    int line;
    uint64_t n_left_out;        /* records of this place that were not written before this one */
};
typedef struct weft_log_record weft_log_record;

/* Called on the thread or process that logs, by several at once. It must not
 * park, exit or wait for somebody who logs; what it logs itself goes to
 * standard error. */
typedef void weft_log_fn(const weft_log_record *record, void *arg);

struct weft_log_handler {
    weft_log_fn *fn; /* NULL: the first one, lines on standard error */
    void *arg;
};

/* Set the handler; the one before is stored in *old unless that is NULL. When
 * it returns 0, nobody is in the old one and nobody will be: its arg may go.
 *
 * 0, or, with nothing changed:
 *   WEFT_EDEADLK    called from within a handler
 *   WEFT_ENOMEM
 * or, with the new one set:
 *   WEFT_ETIMEDOUT  somebody has been in the old one for 5 s: keep its arg */
WEFT_API int weft_log_set_handler(weft_log_fn *fn, void *arg, struct weft_log_handler *old);

/* How the first handler and weft_log_format write a record. */
enum weft_log_format_kind {
    WEFT_LOG_READABLE,
    WEFT_LOG_JSON      /* an object a line: time, level, pid, label, function, file, line, left_out, text,
                        * fields, cut; what does not apply is not there. Lists are arrays; maps, and
                        * lists of pairs, are objects; one that is too large is text, and cut */
};
/* with_place: file and line in readable lines too. 0, or WEFT_EINVAL. At
 * first: readable, without. */
WEFT_API int weft_log_set_format(enum weft_log_format_kind kind, bool with_place);

/* The record as a line, its newline and a NUL included, in `size` bytes at
 * most; below 256 there is only what fits of the line's begin. Returns the
 * bytes without the NUL; size 0 writes none. */
WEFT_API size_t weft_log_format(char *buffer, size_t size, const weft_log_record *record);

WEFT__END_C

#endif

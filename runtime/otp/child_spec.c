#include "otp/child_spec.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/code.h"
#include "proc/catch.h"
#include "proc/log.h"
#include "proc/proc.h"
#include "term/copy.h"

#define A(name) WEFT_ATOM(#name)

/* -- what a start gives ------------------------------------------------------------ */

weft_pid weft_must(weft_started started)
{
    if (!started.ok)
        weft_exit(weft_is_none(started.reason) ? A(unknown) : started.reason);
    if (weft_started_is_ignored(started))
        weft_exit(A(ignore));
    return started.pid;
}

/* -- checks ---------------------------------------------------------------------------- */

/* Where the words go; a child is named by its id. */
struct words {
    const weft_child_spec *spec;
    char *text;
    size_t size;
};

/* "child :cache: ..." */
__attribute__((format(printf, 2, 3)))
static void say(const struct words *words, const char *format, ...)
{
    char id[128];
    va_list args;
    int n;

    if (words->size == 0)
        return;
    weft_inspect_to(id, sizeof id, words->spec->id);
    n = snprintf(words->text, words->size, weft_is_none(words->spec->id) ? "child without .id: " : "child %s: ", id);
    if (n < 0 || (size_t)n >= words->size)
        return;
    va_start(args, format);
    vsnprintf(words->text + n, words->size - (size_t)n, format, args);
    va_end(args);
}

/* Its function and arguments, as reports show them. */
static weft_term start_term(const weft_child_spec *spec)
{
    const void *address = spec->start_bare != NULL ? (const void *)(uintptr_t)spec->start_bare
                                                   : (const void *)(uintptr_t)spec->start;

    return weft_tuple(weft__log_function_at(address),
                      weft_is_none(spec->arg) ? weft_empty_list : weft_list(spec->arg));
}

/* A term that a supervisor can keep. */
static bool check_term(const struct words *words, const char *field, weft_term term)
{
    struct weft__copy_refusal refusal;

    if (weft_is_none(term) || weft__copy_size(term, &refusal) != WEFT__COPY_REFUSED)
        return true;
    say(words, "%s is no value: %s", field, weft__copy_words(&refusal));
    return false;
}

static weft_term check_id(const struct words *words)
{
    if (weft_is_none(words->spec->id)) {
        say(words, "every child needs one, any term that no sibling has");
        return A(missing_id);
    }
    return check_term(words, ".id", words->spec->id) ? weft_none : weft_tuple(A(invalid_id), A(pattern));
}

static weft_term check_start(const struct words *words)
{
    const weft_child_spec *spec = words->spec;

    if (spec->start == NULL && spec->start_bare == NULL) {
        say(words, "it needs .start, the function that starts it");
        return A(missing_start);
    }
    if (!check_term(words, ".arg", spec->arg))
        return weft_tuple(A(invalid_mfa), A(pattern));
    if (spec->start != NULL && spec->start_bare != NULL)
        say(words, "it has .start and .start_bare: one of them, please");
    else if (spec->start_bare != NULL && !weft_is_none(spec->arg))
        say(words, "it has .arg, but .start_bare takes none: use .start");
    else
        return weft_none;
    return weft_tuple(A(invalid_mfa), start_term(spec));
}

static weft_term check_numbers(const struct words *words)
{
    const weft_child_spec *spec = words->spec;

    if ((unsigned)spec->restart > WEFT_TEMPORARY) {
        say(words, ".restart is %d, not WEFT_PERMANENT, WEFT_TRANSIENT or WEFT_TEMPORARY", (int)spec->restart);
        return weft_tuple(A(invalid_restart_type), weft_int((int)spec->restart));
    }
    if ((unsigned)spec->type > WEFT_SUPERVISOR) {
        say(words, ".type is %d, not WEFT_WORKER or WEFT_SUPERVISOR", (int)spec->type);
        return weft_tuple(A(invalid_child_type), weft_int((int)spec->type));
    }
    if (spec->shutdown_ms < WEFT_SHUTDOWN_BY_TYPE) {
        say(words, ".shutdown_ms is %lld: not a time, WEFT_BRUTAL_KILL or WEFT_INFINITY",
            (long long)spec->shutdown_ms);
        return weft_tuple(A(invalid_shutdown), weft_int(spec->shutdown_ms));
    }
    if (spec->significant && spec->restart == WEFT_PERMANENT) {
        say(words, ".significant is true, but .restart is WEFT_PERMANENT: it never ends for good");
        return weft_tuple(A(bad_combination), weft_list(weft_tuple(A(restart), A(permanent)),
                                                        weft_tuple(A(significant), weft_bool(true))));
    }
    return weft_none;
}

static weft_term check_backoff(const struct words *words)
{
    const weft_child_spec *spec = words->spec;

    if (spec->backoff_ms < 0 || spec->backoff_max_ms < spec->backoff_ms) {
        say(words, ".backoff_ms is %lld and .backoff_max_ms %lld: times, the second not below the first",
            (long long)spec->backoff_ms, (long long)spec->backoff_max_ms);
        return weft_tuple(A(invalid_backoff), weft_int(spec->backoff_ms));
    }
    if (spec->restart_budget < 0) {
        say(words, ".restart_budget is %lld: 0 or more, or WEFT_INFINITY", (long long)spec->restart_budget);
        return weft_tuple(A(invalid_backoff), weft_int(spec->restart_budget));
    }
    return weft_none;
}

weft_term weft__child_check(const weft_child_spec *spec, char *text, size_t size)
{
    const struct words words = {spec, text, size};
    weft_term problem;

    if (size > 0)
        text[0] = '\0';
    problem = check_id(&words);
    if (weft_is_none(problem))
        problem = check_start(&words);
    if (weft_is_none(problem))
        problem = check_numbers(&words);
    return weft_is_none(problem) ? check_backoff(&words) : problem;
}

weft_term weft__children_check(const weft_child_spec *specs, size_t n, char *text, size_t size)
{
    for (size_t i = 0; i < n; i++) {
        weft_term problem = weft__child_check(&specs[i], text, size);

        if (!weft_is_none(problem))
            return problem;
        /* Each with each: lists are written by hand, and ids mostly a word. */
        for (size_t k = 0; k < i; k++) {
            if (!weft_eq(specs[k].id, specs[i].id))
                continue;
            say(&(const struct words){&specs[i], text, size},
                "it is number %zu and has the .id of number %zu: give each its own", i + 1, k + 1);
            return weft_tuple(A(duplicate_child_name), specs[i].id);
        }
    }
    return weft_none;
}

/* -- life ---------------------------------------------------------------------------------- */

static weft_term keep(weft_term term)
{
    return weft_is_none(term) ? term : weft_keep(term);
}

void weft__child_keep(weft_child_spec *kept, const weft_child_spec *spec)
{
    *kept = *spec;
    kept->id = keep(spec->id);
    kept->arg = keep(spec->arg);
}

void weft__child_drop(weft_child_spec *kept)
{
    weft_drop(kept->id);
    weft_drop(kept->arg);
    kept->id = kept->arg = weft_none;
}

/* -- packed ---------------------------------------------------------------------------------- */

/* What may be weft_none, which no message holds. */
static weft_term pack_maybe(weft_term term)
{
    return weft_is_none(term) ? weft_empty_list : weft_list(term);
}

static weft_term unpack_maybe(weft_term packed)
{
    return weft_is_empty_list(packed) ? weft_none : weft_head(packed);
}

weft_term weft__child_pack(const weft_child_spec *spec)
{
    return weft_tuple(pack_maybe(spec->id), weft_pointer((const void *)(uintptr_t)spec->start),
                      weft_pointer((const void *)(uintptr_t)spec->start_bare), pack_maybe(spec->arg),
                      weft_int((int)spec->restart), weft_int(spec->shutdown_ms), weft_int((int)spec->type),
                      weft_bool(spec->significant), weft_int(spec->backoff_ms), weft_int(spec->backoff_max_ms),
                      weft_int(spec->restart_budget));
}

void weft__child_unpack(weft_child_spec *spec, weft_term packed)
{
    *spec = (weft_child_spec){
        .id = unpack_maybe(weft_tuple_at(packed, 0)),
        .start = (weft_start_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(packed, 1)),
        .start_bare = (weft_start_bare_fn *)(uintptr_t)weft_to_pointer(weft_tuple_at(packed, 2)),
        .arg = unpack_maybe(weft_tuple_at(packed, 3)),
        .restart = (enum weft_restart)weft_to_int(weft_tuple_at(packed, 4)),
        .shutdown_ms = weft_to_int(weft_tuple_at(packed, 5)),
        .type = (enum weft_child_type)weft_to_int(weft_tuple_at(packed, 6)),
        .significant = weft_to_bool(weft_tuple_at(packed, 7)),
        .backoff_ms = weft_to_int(weft_tuple_at(packed, 8)),
        .backoff_max_ms = weft_to_int(weft_tuple_at(packed, 9)),
        .restart_budget = weft_to_int(weft_tuple_at(packed, 10)),
    };
}

/* -- starting -------------------------------------------------------------------------------- */

struct start {
    const weft_child_spec *spec;
    weft_term arg;
    weft_started started;
};

WEFT__GATE static void run_start(void *arg)
{
    struct start *start = arg;
    const weft_child_spec *spec = start->spec;

    start->started = spec->start != NULL ? spec->start(start->arg) : spec->start_bare();
}

static bool is_value(weft_term given)
{
    struct weft__copy_refusal refusal;

    return weft__copy_size(given, &refusal) != WEFT__COPY_REFUSED;
}

/* The supervisor keeps a reason and hands it on, which it cannot with weft_none or a
 * pattern in it: then it is told as text. */
static weft_started bad_return(weft_term given)
{
    weft_term shown = is_value(given) ? given : weft_str(weft_inspect(given));

    return weft_started_error(weft_tuple(A(bad_return_value), shown));
}

weft_started weft__child_start(const weft_child_spec *spec, weft_term arg)
{
    struct weft__proc *proc = weft__proc_need("weft_supervisor");
    struct weft__extra *extra = weft__proc_extra(proc);
    struct start start = {.spec = spec, .arg = arg};
    bool returned;
    weft_term reason;

    /* Without an id of its own there is nothing to tell what it spawns. */
    if (extra != NULL && !weft_eq(spec->id, A(undefined)))
        extra->starting = spec->id;
    returned = weft__catch(proc, run_start, &start, &reason);
    if (extra != NULL)
        extra->starting = weft_none;
    if (!returned)
        return weft_started_error(reason);
    reason = start.started.reason;
    if (!start.started.ok && !weft_is_none(reason) && !is_value(reason))
        return bad_return(reason);
    if (!start.started.ok)
        return weft_started_error(weft_is_none(reason) ? A(unknown) : reason);
    if (!weft_is_pid(start.started.pid) && !weft_is_none(start.started.pid))
        return bad_return(start.started.pid);
    return start.started;
}

int64_t weft__child_shutdown_ms(const weft_child_spec *spec)
{
    if (spec->shutdown_ms != WEFT_SHUTDOWN_BY_TYPE)
        return spec->shutdown_ms;
    return spec->type == WEFT_SUPERVISOR ? WEFT_INFINITY : WEFT__CHILD_SHUTDOWN_MS;
}

bool weft__reason_is_quiet(weft_term reason)
{
    if (weft_is_tuple(reason))
        return weft_tuple_size(reason) == 2 && weft_eq(weft_tuple_at(reason, 0), A(shutdown));
    return weft_eq(reason, A(normal)) || weft_eq(reason, A(shutdown));
}

bool weft__child_restarts(const weft_child_spec *spec, weft_term reason)
{
    return spec->restart == WEFT_PERMANENT ||
           (spec->restart == WEFT_TRANSIENT && !weft__reason_is_quiet(reason));
}

/* -- as a term -------------------------------------------------------------------------------- */

static weft_term restart_term(enum weft_restart restart)
{
    return restart == WEFT_PERMANENT ? A(permanent) : restart == WEFT_TRANSIENT ? A(transient) : A(temporary);
}

static weft_term shutdown_term(int64_t shutdown_ms)
{
    if (shutdown_ms == WEFT_BRUTAL_KILL)
        return A(brutal_kill);
    return shutdown_ms == WEFT_INFINITY ? A(infinity) : weft_int(shutdown_ms);
}

weft_term weft__child_term(const weft_child_spec *spec)
{
    return weft_map(A(id), spec->id, A(restart), restart_term(spec->restart), A(shutdown),
                    shutdown_term(weft__child_shutdown_ms(spec)), A(significant), weft_bool(spec->significant),
                    A(start), start_term(spec), A(type), spec->type == WEFT_WORKER ? A(worker) : A(supervisor));
}

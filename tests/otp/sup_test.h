/* sup_test.h - children for tests of supervisors.
 *
 * A child is known by a small number, which is its .arg and in its id. What its
 * start does is set beforehand in `plans`; what happens is told to the tester:
 *
 *     {:event, {:start, n}}       the start function was called, in the supervisor
 *     {:event, {:stop, n, how}}   the child was told to end with `how`, and does (one that traps)
 *
 * So starts and stops of several children come in their order. A child does
 * what it is sent: {:exit, reason}, {:run, function, arg}.
 */
#ifndef WEFT_TESTS_OTP_SUP_TEST_H
#define WEFT_TESTS_OTP_SUP_TEST_H

#include "proc/process_test.h"
#include "weft/child.h"
#include "weft/supervisor.h"
#include "weft/timer.h"

enum { N_PLANS = 64 };

enum child_kind {
    TRAPPING,        /* tells of its end, then ends with what it was told */
    PLAIN,           /* does not trap */
    STUBBORN,        /* traps, and ignores all but a kill */
    ODD_ENDING,      /* traps, and ends with :odd when it is told to end */
    UNLINKING        /* not linked any more when its start returns */
};

enum start_kind { STARTS, IGNORES, FAILS, EXITS, CRASHES, STARTS_UNLINKED };

struct plan {
    _Atomic int kind, start;
    _Atomic int n_starts;     /* so far */
    _Atomic int n_good;       /* starts that go well before `start` counts; -1: no such limit */
    _Atomic uint64_t pid;     /* of the newest, bits */
};

static struct plan plans[N_PLANS];
static weft_pid tester;

/* To be called first in each test. */
static inline void set_up(void)
{
    tester = weft_self();
    weft_trap_exit(true);
}

/* -- the child ------------------------------------------------------------------------ */

static inline void obey(weft_term message)
{
    weft_term arg, fn;

    if (weft_match(message, weft_tuple(A(exit), weft_bind(&arg))))
        weft_exit(arg);
    if (weft_match(message, weft_tuple(A(run), weft_bind(&fn), weft_bind(&arg))))
        weft_send(tester, weft_tuple(A(ran), ((weft_fn *)weft_to_pointer(fn))(arg)));
}

static inline weft_term child_main(weft_term arg)
{
    int n = (int)weft_to_int(weft_tuple_at(arg, 0));
    int kind = plans[n].kind;
    weft_pid parent = weft_tuple_at(arg, 1);

    weft_trap_exit(kind != PLAIN);
    if (kind == UNLINKING)
        weft_unlink(parent);
    weft_send(parent, weft_tuple(A(up), weft_self()));
    weft_receive_each (message) {
        weft_term how;

        if (weft_match(message, weft_tuple(A(EXIT), weft_any, weft_bind(&how)))) {
            if (kind == STUBBORN)
                continue;
            weft_send(tester, weft_tuple(A(event), weft_tuple(A(stop), weft_int(n), how)));
            weft_exit(kind == ODD_ENDING ? A(odd) : how);
        }
        obey(message);
    }
    return A(ok);
}

static inline bool goes_well(struct plan *plan)
{
    return plan->start == STARTS || (plan->n_good > 0 && plan->n_starts <= plan->n_good);
}

/* The start function of all of them: .arg is the number, alone or {number, ...}. */
static inline weft_started child_start(weft_term arg)
{
    weft_term number = weft_is_tuple(arg) ? weft_tuple_at(arg, 0) : arg;
    struct plan *plan = &plans[weft_to_int(number)];
    weft_pid pid;

    plan->n_starts++;
    weft_send(tester, weft_tuple(A(event), weft_tuple(A(start), number)));
    if (!goes_well(plan)) {
        switch (plan->start) {
        case IGNORES:
            return weft_started_ignore();
        case FAILS:
            return weft_started_error(A(will_not));
        case EXITS:
            weft_exit(A(exited));
        case CRASHES:
            weft_error(A(crashed));
        default:
            break;
        }
    }
    pid = weft_spawn(child_main, weft_tuple(number, weft_self()),
                     .link = goes_well(plan) || plan->start != STARTS_UNLINKED);
    weft_receive(weft_tuple(A(up), pid), BOUND_MS, NULL);
    plan->pid = pid.bits;
    return weft_started_ok(pid);
}

/* A start that holds its supervisor up, {:busy, supervisor}, until it is sent :go_on. */
static inline weft_started takes_its_time(weft_term arg)
{
    weft_send(tester, weft_tuple(A(busy), weft_self()));
    weft_receive(A(go_on), BOUND_MS, NULL);
    return child_start(arg);
}

/* A spec of child n. */
#define child_spec(n, ...) weft_child(.id = child_id(n), .start = child_start, .arg = weft_int(n), ##__VA_ARGS__)

static inline weft_term child_id(int n)
{
    return weft_tuple(A(child), weft_int(n));
}

static inline weft_pid child_pid(int n)
{
    return weft__term(plans[n].pid);
}

/* -- what the tester waits for ------------------------------------------------------------ */

#define expect_start(n) expect_message(weft_tuple(A(event), weft_tuple(A(start), weft_int(n))))
#define expect_stop(n, how) expect_message(weft_tuple(A(event), weft_tuple(A(stop), weft_int(n), (how))))

/* Starts and stops that were told so far, oldest first, as text: "+0 +1 -1 -0". */
static inline const char *events(void)
{
    static char text[1024];
    size_t at = 0;
    weft_term what;
    int64_t n;

    text[0] = '\0';
    for (;;) {
        WEFT_SCOPE;
        weft_term message;
        bool is_start;

        /* Whatever comes first of the two; the rest is somebody else's. */
        if (!weft_receive(weft_tuple(A(event), weft_bind(&what)), 0, &message))
            return text;
        is_start = weft_match(what, weft_tuple(A(start), weft_bind_int(&n)));
        if (!is_start)
            weft_match(what, weft_tuple(A(stop), weft_bind_int(&n), weft_any));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%d", at > 0 ? " " : "", is_start ? '+' : '-', (int)n);
    }
}

/* Have child n end with the reason, and wait for its supervisor to have dealt
 * with that: it answers behind it. */
static inline void end_child(weft_pid supervisor, int n, weft_term reason)
{
    weft_ref down = weft_monitor(child_pid(n));
    weft_child_counts counts;

    weft_send(child_pid(n), weft_tuple(A(exit), reason));
    await_down(down);
    weft_supervisor_count_children(supervisor, &counts);
}

/* The place of child n in which_children: pid, :undefined, :restarting; none: not there. */
static inline weft_term place_of(weft_pid supervisor, weft_term id)
{
    weft_list_each (line, weft_supervisor_which_children(supervisor))
        if (weft_eq(weft_tuple_at(line, 0), id))
            return weft_tuple_at(line, 1);
    return weft_none;
}

#endif

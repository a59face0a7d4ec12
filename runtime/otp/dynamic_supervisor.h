/* dynamic_supervisor.h - the parts that a task supervisor is made of as well. */
#ifndef WEFT_OTP_DYNAMIC_SUPERVISOR_H
#define WEFT_OTP_DYNAMIC_SUPERVISOR_H

#include "otp/child.h"
#include "otp/intensity.h"
#include "otp/pid_map.h"
#include "weft/dynamic_supervisor.h"
#include "weft/gen_server.h"

struct weft__dynamic {
    weft_term name;               /* for reports: kept, or the pid */
    int64_t max_children;
    weft_term extra;              /* kept list, or weft_none */
    struct weft__intensity intensity;
    struct weft__rand rand;       /* of delays */
    struct weft__pid_map by_pid;  /* every child; one that is RESTARTING by its last pid */
    struct weft__child *newest;   /* the same, in the order of their first starts */
    int64_t n_restarting, n_supervisors;
    bool has_warned;              /* of many permanent children */
    int64_t n_permanent;
};

/* In init: a state without children. The options were checked. */
struct weft__dynamic *weft__dynamic_begin(weft_term name, const struct weft_dynamic_supervisor_options *options);

/* weft_none, or {:supervisor_data, ...}. */
weft_term weft__dynamic_check(const struct weft_dynamic_supervisor_options *options);

/* Room for one more? */
static inline bool weft__dynamic_is_full(const struct weft__dynamic *dynamic)
{
    return (int64_t)dynamic->by_pid.n >= dynamic->max_children;
}

/* A process that runs, linked, becomes a child. Exits without memory. */
void weft__dynamic_adopt(struct weft__dynamic *dynamic, struct weft__child *child);

/* The answer to {what, arg}, or weft_none: not a request of these. */
weft_term weft__dynamic_answer(struct weft__dynamic *dynamic, weft_term what, weft_term arg);
weft_result weft__dynamic_handle_cast(void *state, weft_term message);
weft_result weft__dynamic_handle_info(void *state, weft_term message);
void weft__dynamic_terminate(void *state, weft_term reason);

/* -- dynamic_supervisor_start.c ---------------------------------------------------- */

weft_init_result weft__dynamic_init(weft_term arg);
/* A server of its own kind, that init makes of arg. */
weft_started weft__dynamic_start_link(weft_term arg, weft_term name);

/* A child spec for a supervisor of such a kind: start(arg) with arg its options. */
weft_child_spec weft__dynamic_child(weft_start_fn *start, weft_term id, weft_term arg);

/* Its options as a term, and back. */
weft_term weft__dynamic_pack(const struct weft_dynamic_supervisor_options *options);
void weft__dynamic_unpack(struct weft_dynamic_supervisor_options *options, weft_term packed);

#endif

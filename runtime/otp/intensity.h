/* intensity.h - how often children were restarted lately, and why.
 *
 * SUP-34: each restart is recorded; records older than the period are
 * forgotten; more than max_restarts of them are too many. What is remembered
 * is what a report needs to show the first cause, not only the last.
 *
 * Invariant: the records are in the order of their time, at most
 *            max_restarts + 1 of them.
 * Threads:   by one process, whose memory they are.
 */
#ifndef WEFT_OTP_INTENSITY_H
#define WEFT_OTP_INTENSITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/term.h"

struct weft__ending {
    int64_t at_ns;      /* monotonic */
    weft_term id;       /* kept */
    weft_term reason;   /* kept */
};

struct weft__intensity {
    int64_t max_restarts, period_ns;
    struct weft__ending *endings; /* a ring */
    size_t first, n, size;
};

void weft__intensity_init(struct weft__intensity *intensity, int64_t max_restarts, int64_t max_seconds);

/* A child ended and is to be started again now: true when it may. */
bool weft__intensity_add(struct weft__intensity *intensity, weft_term id, weft_term reason);

/* [{milliseconds ago, id, reason}], oldest first, in the caller's scope. */
weft_term weft__intensity_endings(const struct weft__intensity *intensity);

#endif

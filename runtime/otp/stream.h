/* stream.h - what runs a stream, and how a task supervisor runs its own.
 *
 * A weft_stream says what to do; a run is one consumption of it. The run
 * belongs to the consuming process: it lies outside every scope, and a defer
 * of that process takes it apart when the process ends in mid-stream.
 */
#ifndef WEFT_OTP_STREAM_H
#define WEFT_OTP_STREAM_H

#include <stdbool.h>

#include "otp/task.h"
#include "weft/task.h"

struct weft__stream_run;

/* Who starts the tasks of a stream. Lives as long as the program. */
struct weft__stream_kind {
    const char *call; /* the public function, for reasons */
    /* Start stream->fn(arg) as a task of proc: a pid, and its TASK bond under
     * *ref; or weft_none, and *reason says why the consumer has to end. May
     * park. NULL: a task linked to the consumer. */
    weft_pid (*start)(const weft_stream *stream, struct weft__proc *proc, weft_term arg, weft_ref *ref,
                      weft_term *reason);
};

/* A stream over a list, or with source->next over a source. Exits for a
 * mistake in an option, in the name of kind->call. */
weft_stream weft__stream_make(const struct weft__stream_kind *kind, const weft_source *source,
                              weft_term list, weft_task_fn *fn, weft_term under,
                              const struct weft_stream_options *options);

/* -- stream_run.c --------------------------------------------------------------------- */

/* Never switches, unless the source's open does. Exits without memory. */
struct weft__stream_run *weft__stream_run_new(struct weft__proc *proc, const weft_stream *stream);

/* Start what may start, and wait until an item can be delivered: false at the
 * end. May park; exits. */
bool weft__stream_run_ready(struct weft__stream_run *run);

/* After ready: the item, its terms in the innermost scope. true when it is the
 * last one (.bail). Never switches. */
bool weft__stream_run_deliver(struct weft__stream_run *run, weft_stream_item *item);

/* Kill its tasks, see them dead, close the source, free the run. May park. */
void weft__stream_run_close(struct weft__stream_run *run);

/* Who consumes it. */
struct weft__proc *weft__stream_run_proc(const struct weft__stream_run *run);

#endif

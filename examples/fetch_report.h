/* fetch_report.h - what parallel_fetch tells: progress, a line a URL, a summary. */
#ifndef WEFT_EXAMPLES_FETCH_REPORT_H
#define WEFT_EXAMPLES_FETCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What became of a URL. */
struct fetch_result {
    const char *url;
    bool ok;              /* a whole answer with a status below 400 */
    int status;           /* 0: no answer */
    uint64_t bytes;
    int64_t us;           /* it took so long */
    const char *kind;     /* not ok: "timeout", "connect", "status 404", ... */
    const char *text;     /* and in words, or NULL */
};

struct fetch_report {
    /* Set by the caller. */
    bool json, quiet;
    bool has_progress;    /* standard error is a terminal */
    /* The report's own. */
    int64_t start_ns;
    uint64_t n_done, n_failed, bytes;
    int output_error;     /* why standard output takes no more, as -errno; or 0 */
    uint32_t *latencies;  /* microseconds, n_done of them */
    size_t room;
    struct {
        char kind[32];
        uint64_t n;
    } kinds[32];
    size_t n_kinds;
};

/* Begin: the time runs. */
void fetch_report_begin(struct fetch_report *report);
/* Count one and print its line, which may wait in a buffer. */
void fetch_report_add(struct fetch_report *report, const struct fetch_result *result);
/* Let out what waits in the buffer. */
void fetch_report_flush(struct fetch_report *report);
/* Write the progress line over the last one; `started` were begun so far. */
void fetch_report_progress(struct fetch_report *report, uint64_t started);
/* The summary. why: "" or how it came to its end. */
void fetch_report_end(struct fetch_report *report, const char *why);

#endif

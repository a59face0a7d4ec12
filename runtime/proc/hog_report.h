/* hog_report.h - hogs (sched/hog.h), in words of processes. */
#ifndef WEFT_PROC_HOG_REPORT_H
#define WEFT_PROC_HOG_REPORT_H

#include "sched/hog.h"

struct weft__proc;

/* Fill in who it is, and its stack. By its thread, in the handler. */
void weft__hog_note(struct weft__hog *hog, const struct weft__proc *proc, const void *const *frames,
                    uint32_t n_frames);

/* One line in the log, now and then. By the watchdog. */
void weft__hog_tell(const struct weft__hog *hog);

#endif

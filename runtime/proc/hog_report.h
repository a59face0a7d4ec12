/* hog_report.h - hogs (sched/hog.h), in words of processes. */
#ifndef WEFT_PROC_HOG_REPORT_H
#define WEFT_PROC_HOG_REPORT_H

#include "sched/hog.h"

/* Fill who and code. The fiber's thread must not have entered weft since. */
void weft__hog_note(struct weft__hog *hog);

/* One line in the log, now and then. By the watchdog. */
void weft__hog_tell(const struct weft__hog *hog);

#endif

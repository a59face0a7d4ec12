/* sup_report.h - what supervisors of all kinds tell the log. SUP-66 to SUP-68. */
#ifndef WEFT_OTP_SUP_REPORT_H
#define WEFT_OTP_SUP_REPORT_H

#include <stdint.h>

#include "otp/intensity.h"
#include "weft/child.h"

/* A child ended with the reason; `what` says what comes of it. Quiet reasons
 * are for the log's debug level, but for a permanent child's :normal. */
void weft__sup_report_end(weft_term supervisor, const weft_child_spec *spec, weft_pid pid, weft_term reason);
/* It did not start; is_restart: again. */
void weft__sup_report_start(weft_term supervisor, const weft_child_spec *spec, weft_term reason, bool is_restart);
/* It ended otherwise than it was told to, or overstayed. */
void weft__sup_report_stop(weft_term supervisor, const weft_child_spec *spec, weft_pid pid, weft_term reason);
/* n of them ended so when they were told to stop. */
void weft__sup_report_stops(weft_term supervisor, weft_term reason, int64_t n);
/* Too many restarts: the supervisor ends. */
void weft__sup_report_intensity(weft_term supervisor, const struct weft__intensity *intensity);
/* A child's own budget is used up: the supervisor ends. */
void weft__sup_report_budget(weft_term supervisor, const weft_child_spec *spec, weft_term reason);
/* A message that nobody expected was dropped. */
void weft__sup_report_message(weft_term supervisor, weft_term message);
/* `verb` took so long: debug, or a warning past some seconds. */
void weft__sup_report_time(weft_term supervisor, const weft_child_spec *spec, const char *verb, int64_t took_ns);

#endif

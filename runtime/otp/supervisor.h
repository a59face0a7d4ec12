/* supervisor.h - between the supervisor's process and those who call it. */
#ifndef WEFT_OTP_SUPERVISOR_H
#define WEFT_OTP_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>

#include "otp/partition_table.h"
#include "weft/gen_server.h"
#include "weft/supervisor.h"

/* -- supervisor.c: the server ---------------------------------------------------- */

extern const weft_gen_server weft__supervisor_server;

/* In init, in the new process: make the state and start the children, which
 * were checked. name: for reports, or weft_none. table: of a partition
 * supervisor, whose children have the ids 0 to n - 1; else NULL. */
weft_init_result weft__supervisor_begin(weft_term name, const struct weft_supervisor_options *options,
                                        const weft_child_spec *children, size_t n,
                                        struct weft__partition_table *table);

/* -- supervisor_start.c: starting it --------------------------------------------------- */

weft_init_result weft__supervisor_init(weft_term arg);
/* Check and start one; is_partitioned: its children are partitions. */
weft_started weft__supervisor_start(const char *call, const weft_child_spec *children, size_t n,
                                    const struct weft_supervisor_options *options, bool is_partitioned);

/* weft_none, or {:supervisor_data, ...}. */
weft_term weft__supervisor_check_intensity(int64_t max_restarts, int64_t max_seconds);
/* {:bad_combination, [auto_shutdown: :never, significant: true]} */
weft_term weft__supervisor_bad_combination(void);

/* The id of a child that has a name: the name, or what a via name has inside. */
weft_term weft__supervisor_name_id(weft_term name);

/* -- supervisor_call.c: asking it --------------------------------------------------------- */

/* Ask any kind of supervisor {what, arg}, for as long as it takes: true and the
 * answer, or false and why it has none: :noproc, what it ended with, or
 * :calling_supervisor_while_it_waits. A mistake in the server's name exits. */
bool weft__supervisor_ask(weft_server supervisor, weft_atom what, weft_term arg, weft_term *answer);

/* The answer to a start, or why there is none, as a start gives it. */
weft_started weft__supervisor_started(bool is_answer, weft_term answer);

/* 0, or the code for {:error, reason}, or for no answer. */
int weft__supervisor_code(bool is_answer, weft_term answer);

#endif

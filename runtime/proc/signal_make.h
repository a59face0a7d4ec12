/* signal_make.h - signals as messages, for those who send them and who act on them.
 *
 * A signal is never lost for want of memory: it is made again until there is
 * some, which others will give back.
 */
#ifndef WEFT_PROC_SIGNAL_MAKE_H
#define WEFT_PROC_SIGNAL_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/message.h"

/* With a copy of the term, or of a tuple of these, as its root. */
struct weft__message *weft__signal_new(enum weft__message_kind kind, weft_term term);
struct weft__message *weft__signal_tuple(enum weft__message_kind kind, const weft_term *elements, size_t n);

/* {:EXIT, from, reason}, as a signal. */
struct weft__message *weft__signal_exit_new(weft_pid from, weft_term reason, bool by_link);
/* The answer to the UNLINK of that number. */
struct weft__message *weft__signal_unlinked_new(weft_pid from, uint64_t number);
/* {:DOWN, ref, :process, from, reason}, as a signal. */
struct weft__message *weft__signal_down_new(weft_term from, uint64_t ref, weft_term reason);

/* To a pid that is there, or nowhere: freed at once when the slot is another's.
 * false: nobody took it. */
bool weft__signal_give(weft_pid to, struct weft__message *message);

#endif

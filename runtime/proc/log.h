/* log.h - what the runtime tells the logger, and reports.
 *
 * A report is a record that the runtime makes: a fixed title, and fields. Its
 * place is the line in the runtime that makes it, so each kind of report has a
 * limit of its own, and a million crashes of one kind hide no other.
 *
 *     weft__log_report(WEFT_LOG_ERROR, "Task terminating",
 *                      weft_list(weft_tuple(WEFT_ATOM("pid"), pid), ...));
 */
#ifndef WEFT_PROC_LOG_H
#define WEFT_PROC_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "weft/log.h"

/* The fields are evaluated only when the report is written, in a scope of
 * their own. Never switches. */
#define weft__log_report(level, title, fields) weft_log_event(level, title, fields)

/* Who logs, on the calling thread. */
struct weft__log_caller {
    weft_pid pid;      /* weft_none: no process */
    const char *label; /* NULL: none; lives as long as the record */
};

/* The process layer says who logs: it fills *caller, which is zero before, and
 * makes no guest of a thread that is none. NULL takes it away. It must not
 * park, lock or log. From any thread. */
void weft__log_set_caller(void (*find)(struct weft__log_caller *caller));

/* A function as a term for a report: its name, as a binary in the caller's
 * scope. fn: any pointer to a function. */
#define weft__log_function(fn) weft__log_function_at((const void *)(uintptr_t)(fn))
weft_term weft__log_function_at(const void *address);

/* Write a record about what was left out and never told, if there is any: when
 * the runtime stops. */
void weft__log_tell(void);

/* -- between log.c and log_format.c -------------------------------------------- */

#define WEFT__LOG_LINE 4096  /* bytes of a line, its NUL too; PIPE_BUF: a pipe takes it whole */
#define WEFT__LOG_TEXT 2048  /* bytes of a text or of a field's value, its NUL too */

/* End text, which has no room left at `size` bytes, in "..." and a NUL, without
 * half a character before. Returns its length. */
size_t weft__log_cut(char *text, size_t size);

#endif

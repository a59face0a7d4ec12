/* fail.h - what happens when a term function is misused or memory runs out.
 *
 * The term room knows no process, so whoever does sets the hooks: a process
 * that misuses a call exits with a reason in words. Without hooks, and where a
 * hook returns, the mistake is printed and the program aborts.
 *
 * Threads: the hooks are set before any process runs; calls from anywhere.
 */
#ifndef WEFT_TERM_FAIL_H
#define WEFT_TERM_FAIL_H

#include <stddef.h>

#include "weft/term.h"

/* call: the public function's name; mistake: a sentence, gone after the call. */
extern void (*weft__term_fail_hook)(const char *call, const char *mistake);

/* size: the bytes that were asked for. */
extern void (*weft__term_no_memory_hook)(size_t size);

/* Never switches; ends the process, or the program. */
_Noreturn void weft__term_fail(const char *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void weft__term_no_memory(size_t size);

/* "weft_to_int was given :ok, not an integer". */
_Noreturn void weft__term_fail_kind(const char *call, weft_term got, const char *wanted);

#endif

/* fault_report.h - a fault in words: for who hears of the end, or on standard
 * error when the program ends. */
#ifndef WEFT_PROC_FAULT_REPORT_H
#define WEFT_PROC_FAULT_REPORT_H

#include <ucontext.h>

#include "proc/coroner.h"
#include "weft/term.h"

struct weft__proc;
struct weft__worker;

/* The exit reason, in the caller's region:
 *
 *   {:sigsegv, %{address: a, pc: p, stack: [p, ...], build_id: "...", base: b}}
 *   {:stack_overflow, %{function: f, size: n, ...}}
 *
 * Addresses are pointers, which print as functions of this program; the build
 * id and the base are of the object that pc is in, for other programs. */
weft_term weft__fault_reason(const struct weft__autopsy *autopsy);

/* Why it could not be contained, and all that is known. In a signal handler:
 * takes no memory, and of locks the dynamic linker's alone. */
void weft__fault_report(const struct weft__autopsy *autopsy, const ucontext_t *context,
                        const struct weft__proc *proc, const struct weft__worker *worker);

#endif

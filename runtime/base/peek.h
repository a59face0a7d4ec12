/* peek.h - read memory that others write, or that may not be there.
 *
 * The kernel copies, so what is not mapped is an error and no fault, and what
 * is freed or written meanwhile is garbage and no race that detectors see. It
 * costs a system call: for whoever looks at a living program, not for its work.
 *
 * Threads:   from anywhere, signal handlers too.
 */
#ifndef WEFT_BASE_PEEK_H
#define WEFT_BASE_PEEK_H

#include <stdbool.h>
#include <stddef.h>

/* Copy size bytes. false: not all of them are there, or the kernel lets the program
 * neither read itself (a seccomp filter) nor open a pipe; `to` may be half written
 * then. */
bool weft__peek(void *to, const void *from, size_t size);

#endif

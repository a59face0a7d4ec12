/* limit.h - the memory that a process may have, where it has a limit (PROC-8).
 *
 * A process with a limit has WEFT__LIMITED in its flags. What it is given is
 * added up; only when that could have brought it over the limit is everything
 * counted that it has, and the sum begins anew with what is left. What was given
 * back in between makes the next count come early, never late.
 *
 * Counted: terms, messages in the mailbox, weft_alloc, kept terms, links and
 * monitors. Not: the stack, and what is shared (large binaries, native objects).
 *
 * Threads: by the process itself.
 */
#ifndef WEFT_PROC_LIMIT_H
#define WEFT_PROC_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

struct weft__proc;

/* Before it runs. false: no memory. */
bool weft__limit_set(struct weft__proc *proc, size_t max_bytes);

/* It is about to get size bytes: ends it with :killed when that is too much.
 * For a process with a limit. */
void weft__limit_grow(struct weft__proc *proc, size_t size);

/* Messages of so many bytes are in its mailbox now: as above, but it ends at
 * its next look at signals. */
void weft__limit_mail(struct weft__proc *proc, size_t size);

/* Everything counted. */
size_t weft__limit_memory(const struct weft__proc *proc);

#endif

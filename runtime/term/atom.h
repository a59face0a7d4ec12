/* atom.h - the one table of atoms: names to indices and back.
 *
 * An atom is an index. Entries are never freed, so a name is good for ever and
 * reading takes no lock. The table belongs to the program, not to a runtime; it
 * is usable at any time from any thread, and in the child after a fork.
 *
 * The runtime's own atoms have fixed indices, so they are constants:
 * WEFT__A(ok) is a term without a look-up.
 */
#ifndef WEFT_TERM_ATOM_H
#define WEFT_TERM_ATOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/term.h"

#define WEFT__ATOMS(X)                                                          \
    X(false) X(true) X(nil) X(ok) X(error) X(undefined) X(infinity) X(timeout)  \
    X(normal) X(shutdown) X(kill) X(killed) X(noproc) X(noconnection)           \
    X(EXIT) X(DOWN) X(process) X(calling_self) X(already_started) X(mailbox_full) \
    X(badarg) X(badarith) X(badmatch) X(function_clause) X(undef) X(nocatch)    \
    X(sigsegv) X(sigbus) X(sigfpe) X(sigill) X(sigabrt) X(stack_overflow)       \
    X(out_of_memory) X(misuse) X(address) X(pc) X(stack) X(self) X(message)     \
    X(name) X(id) X(start) X(restart) X(type) X(modules) X(reason)              \
    X(not_found) X(ignore) X(stop) X(continue) X(reply) X(noreply) X(hibernate) \
    X(brutal_kill) X(permanent) X(transient) X(temporary) X(worker)             \
    X(supervisor) X(one_for_one) X(one_for_all) X(rest_for_one) X(max_restarts) \
    X(max_seconds) X(max_children) X(call) X(cast) X(link) X(monitor) X(alias)

enum weft__atom_index {
#define WEFT__ATOM_ENTRY(name) WEFT__ATOM_INDEX_##name,
    WEFT__ATOMS(WEFT__ATOM_ENTRY)
#undef WEFT__ATOM_ENTRY
    WEFT__N_OWN_ATOMS
};

#define WEFT__ATOM_CAP (1u << 20)
#define WEFT__ATOM_NAME_MAX 1020u

static inline weft_atom weft__atom_of_index(uint32_t index)
{
    return weft__term((uint64_t)index << 4 | WEFT__TAG_ATOM);
}
static inline uint32_t weft__atom_index(weft_atom atom) { return (uint32_t)(atom.bits >> 4); }

/* One of the runtime's own: WEFT__A(ok). */
#define WEFT__A(name) (weft__atom_of_index(WEFT__ATOM_INDEX_##name))

/* The atom of that name, made if need be: false when the table is full or the
 * name too long. Only for names from a closed set; there is no way back. */
bool weft__atom_intern(const char *name, size_t size, weft_atom *atom);

/* The atom of that name if there is one. */
bool weft__atom_find(const char *name, size_t size, weft_atom *atom);

/* Name and its bytes; a NUL follows them. */
const char *weft__atom_text(weft_atom atom, size_t *size);

/* How many there are. */
uint32_t weft__atom_count(void);

#endif

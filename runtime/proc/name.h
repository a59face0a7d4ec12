/* name.h - registered names: which process an atom stands for.
 *
 * Atoms are numbered from 0 and there is a cap on them, so names need no hash
 * table: a directory of pages, one word an atom, holding the pid's bits or 0.
 * A page is made at the first name in it and lives as long as the table, so
 * readers need neither lock nor epoch.
 *
 * Invariant: a word changes only 0 -> pid (set) and pid -> 0 (unset).
 * Threads:   set, unset and get from anywhere; init and destroy while unshared.
 */
#ifndef WEFT_PROC_NAME_H
#define WEFT_PROC_NAME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weft/term.h"

#define WEFT__NAME_PAGE 512 /* names in a page: 4 KiB */

struct weft__name_page {
    _Atomic uint64_t pids[WEFT__NAME_PAGE]; /* pid bits, 0: free */
};

struct weft__names {
    _Atomic(struct weft__name_page *) *pages; /* for every atom there can be */
};

/* 0 or WEFT_ENOMEM. */
int weft__names_init(struct weft__names *names);
/* Accepts one whose init failed, or zeroes. */
void weft__names_destroy(struct weft__names *names);

/* 0; WEFT_EALREADY: somebody has it; WEFT_ENOMEM. Release: who gets the pid
 * sees what was written before. */
int weft__name_set(struct weft__names *names, uint64_t atom_bits, uint64_t pid_bits);

/* Free the name if pid_bits holds it, or with 0 whoever does. Returns the bits
 * of the pid that held it; 0: nothing happened. Once it has returned, no get
 * that starts finds that pid. */
uint64_t weft__name_unset(struct weft__names *names, uint64_t atom_bits, uint64_t pid_bits);

/* The pid's bits, or 0. Two loads. */
uint64_t weft__name_get(const struct weft__names *names, uint64_t atom_bits);

/* -- names that are values ----------------------------------------------------------
 *
 * {:via, registry, key} is looked up by a room above, which sets this: 0 and the
 * pid, or weft_none for a name that nobody has; WEFT_EINVAL: it is no such name;
 * WEFT_ENOTSUP or WEFT_ERANGE: it names nobody ever. Never switches. */
extern int (*weft__name_via)(weft_term name, weft_pid *pid);

/* Has the term the form of a name? Whether it names somebody is another matter. */
bool weft__name_is(weft_term term);

/* The pid of an atom or a via name, with those codes. Never switches. */
int weft__name_find(weft_term name, weft_pid *pid);

#endif

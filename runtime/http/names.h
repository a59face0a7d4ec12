/* names.h - addresses of hosts, asked for once and known for a while.
 *
 * A name that is not known is resolved by a process of its own, which all who
 * want that name wait for; so sixty requests to one host make one look-up, and
 * one that is killed while it waits disturbs nobody. What came of it, failures
 * too, is kept in a small table for all.
 *
 * An entry: free -> asked (pid of the process that resolves it) -> known (until
 * a moment) -> asked ... A process that ended without an answer leaves `asked`
 * behind; who waited for it sees that its pid is still there, and asks anew.
 *
 * Threads: from anywhere; the table has a lock, which is held for a few copies.
 */
#ifndef WEFT_HTTP_NAMES_H
#define WEFT_HTTP_NAMES_H

#include <stddef.h>
#include <stdint.h>

#define WEFT__HTTP_ADDRESSES_MAX 512

/* The addresses of a host as curl takes them: "10.0.0.1,[fe80::1]".
 *
 * Where:    in a process. May park.
 * Returns:  0, or WEFT_EHOST, WEFT_ERESOLVE, WEFT_ETIMEDOUT, ... */
int weft__http_names_find(const char *host, int64_t timeout_ms, char addresses[WEFT__HTTP_ADDRESSES_MAX]);

/* Forget the host: its addresses did not answer. Never switches. */
void weft__http_names_forget(const char *host);

#endif

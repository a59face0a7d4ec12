/* match.h - matching for those who need more than a yes: rows, selective receive.
 *
 * A pattern is matched in one pass that only reads and logs what each bind and
 * each variable met; the log is applied when all of it fits.
 */
#ifndef WEFT_TERM_MATCH_H
#define WEFT_TERM_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "weft/term.h"

/* Does the term fit? No bind is stored, variables hold. */
bool weft__match_fits(weft_term term, weft_term pattern);

/* The same; and vars[n - 1] is set to what weft_var(n) met, for n up to n_vars
 * (others stay as they are), when it fits. Binds are not stored. */
bool weft__match_vars(weft_term term, weft_term pattern, weft_term *vars, size_t n_vars);

/* Does the term hold a pattern part anywhere? */
bool weft__has_pattern_part(weft_term term);

#endif

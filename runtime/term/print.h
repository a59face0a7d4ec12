/* print.h - numbers and names as text, for the printer of terms and for logs. */
#ifndef WEFT_TERM_PRINT_H
#define WEFT_TERM_PRINT_H

#include <stdbool.h>
#include <stddef.h>

/* The shortest text that reads back as the same float, written as Elixir does:
 * 1.0, 0.1, 1.0e22, -2.5e-7; inf, -inf, nan. At most 31 bytes and a NUL; in any
 * locale. Returns its length. */
size_t weft__float_text(double value, char text[32]);

/* Where the character at text[0] ends, 1 to 4; 0: not UTF-8. */
size_t weft__utf8_size(const char *text, size_t size);

/* The same, and it is one that String.printable? accepts. */
size_t weft__utf8_printable(const char *text, size_t size);

/* How an atom is written: bare, in quotes, or (its first 7 bytes left out) as a
 * module's alias. */
enum weft__atom_form { WEFT__ATOM_BARE, WEFT__ATOM_QUOTED, WEFT__ATOM_ALIAS };
enum weft__atom_form weft__atom_form(const char *name, size_t size);

#endif

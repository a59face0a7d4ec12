/* symbol.h - the name of the function at an address, for reports.
 *
 * dladdr knows what an object exports. The functions that people give to weft
 * are mostly static, so the object's own file is asked as well, whose table of
 * symbols has them unless it was stripped.
 *
 * Threads:   from anywhere but signal handlers: it takes the dynamic linker's
 *            lock and maps a file. Never switches. Some 50 us: for reports.
 */
#ifndef WEFT_BASE_SYMBOL_H
#define WEFT_BASE_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>

/* A function as an address; fn may be any pointer to a function. */
#define weft__address(fn) ((const void *)(uintptr_t)(fn))

/* Write the name into buffer, cut to size with its NUL, and return its length:
 *
 *   room_start_link           the function that begins there
 *   room_start_link+0x1c      inside one (a return address)
 *   libroom.so+0x1c40         no name known: for addr2line
 *   0x7f12a0001c40            no object there; or NULL: "NULL" */
size_t weft__symbol_name(char *buffer, size_t size, const void *address);

/* A stack as one line, innermost first, "read < fill < parse_file", cut as above where
 * room is short. 0 and an empty text: there are no frames. */
size_t weft__symbol_stack(char *buffer, size_t size, const void *const *frames, size_t n_frames);

/* Is it in the code of an object (the program, a library)? Takes no lock;
 * async-signal-safe. */
bool weft__symbol_is_code(const void *address);

/* The build id of the object at an address, as hexadecimal digits, and where the
 * object lies (*base): for whoever looks for symbols elsewhere. Returns the
 * length: 0 when the object has none, or is not known. */
size_t weft__symbol_build_id(char *buffer, size_t size, const void *address, const void **base);

#endif

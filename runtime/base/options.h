/* options.h - complete a caller's options.
 *
 * A public options struct begins with its size in the program that was
 * compiled. A smaller one, of an older program, is completed with defaults; of
 * a larger one only what this library knows is read.
 */
#ifndef WEFT_BASE_OPTIONS_H
#define WEFT_BASE_OPTIONS_H

#include <stddef.h>
#include <string.h>

/* The given options when they are of this library's size, else `room`, which
 * holds the defaults and is completed by what is given. */
static inline const void *weft__options(const void *given, void *room, size_t size)
{
    size_t given_size;

    memcpy(&given_size, given, sizeof given_size);
    if (__builtin_expect(given_size == size, 1))
        return given;
    memcpy(room, given, given_size < size ? given_size : size);
    memcpy(room, &size, sizeof size);
    return room;
}

/* The same with room that nothing is in yet: for calls that are made millions of
 * times a second, nearly always with options of this library's size. */
static inline const void *weft__options_quick(const void *given, void *room, const void *defaults, size_t size)
{
    size_t given_size;

    memcpy(&given_size, given, sizeof given_size);
    if (__builtin_expect(given_size == size, 1))
        return given;
    memcpy(room, defaults, size);
    return weft__options(given, room, size);
}

#endif

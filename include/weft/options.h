/* options.h - keyword options by designated initialisers.
 *
 *     weft_spawn(fn, arg, .link = true, .priority = WEFT_HIGH)
 *
 * A call that takes options is a macro over a plain function with the suffix
 * _opt, which takes a pointer to a struct of them; function pointers and other
 * languages use that one. The macro writes the defaults first and the caller's
 * fields after them, so 0 and false can be said. `size` is the struct's size
 * in the program that was compiled: the library never reads past it, so that
 * options can be added at the end without breaking programs.
 *
 * In C++20 the defaults are default member initialisers, and the fields stand
 * in the order of their declaration, as C++ asks.
 */
#ifndef WEFT_OPTIONS_H
#define WEFT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WEFT_OPTION(type, name, value) type name = value
namespace weft_detail {
template <class T> inline const T *options(const T &given) { return &given; }
}
#define WEFT_OPTIONS(type, defaults, ...) \
    weft_detail::options(type{__VA_ARGS__})
#define WEFT_CALL_OPTIONS(call) (call)
#else
#define WEFT_OPTION(type, name, value) type name
/* A later initialiser for the same field wins: that is the point here. */
#define WEFT_OPTIONS(type, defaults, ...) (&(const struct type){defaults, __VA_ARGS__})
#define WEFT_CALL_OPTIONS(call)                                      \
    __extension__({                                                  \
        _Pragma("GCC diagnostic push")                               \
        _Pragma("GCC diagnostic ignored \"-Woverride-init\"")        \
        call;                                                        \
        _Pragma("GCC diagnostic pop")                                \
    })
#endif

#endif

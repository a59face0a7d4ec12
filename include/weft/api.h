/* api.h - what every public header of weft needs to declare things. */
#ifndef WEFT_API_H
#define WEFT_API_H

/* Seen by programs that link the library; all else is hidden. */
#define WEFT_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define WEFT__BEGIN_C extern "C" {
#define WEFT__END_C }
#define WEFT__NORETURN [[noreturn]]
#else
#define WEFT__BEGIN_C
#define WEFT__END_C
#define WEFT__NORETURN __attribute__((noreturn))
#endif

/* The function does not look at what its argument n points to. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define WEFT__NO_ACCESS(n) __attribute__((access(none, n)))
#else
#define WEFT__NO_ACCESS(n)
#endif

#define WEFT__CAT_(a, b) a##b
#define WEFT__CAT(a, b) WEFT__CAT_(a, b)

#endif

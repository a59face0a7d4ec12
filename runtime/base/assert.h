/* assert.h - a broken invariant ends the program.
 *
 * weft__check tests always: for what would corrupt memory if it went on.
 * weft__assert tests in debug builds; elsewhere its expression is looked at by
 * the compiler and never evaluated.
 *
 * A failure prints the expression, its place and what the context function
 * adds (worker, pid, the last traced events), then aborts.
 */
#ifndef WEFT_BASE_ASSERT_H
#define WEFT_BASE_ASSERT_H

#include <stddef.h>

#define weft__check(expr)              \
    (__builtin_expect(!!(expr), 1)     \
         ? (void)0                     \
         : weft__assert_fail(#expr, __FILE__, __LINE__, __func__))

#ifdef WEFT_DEBUG
#define weft__assert(expr) weft__check(expr)
#else
#define weft__assert(expr) ((void)sizeof(!(expr)))
#endif

/* Write lines about where the thread is, at most `size` bytes with the NUL
 * that ends them; each line ends in a newline. Must not allocate nor lock. */
typedef void weft__assert_context(char *text, size_t size);

/* A higher room names the function that tells the context; NULL takes it away.
 * From any thread. */
void weft__assert_set_context(weft__assert_context *context);

_Noreturn void weft__assert_fail(const char *expr, const char *file, int line, const char *function);

#endif

#include "base/assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Program-wide, unlike other state: a failure must find it from any thread, even
 * before a runtime is started and after it stopped. */
static _Atomic(weft__assert_context *) assert_context;

void weft__assert_set_context(weft__assert_context *context)
{
    /* Release, with the acquire in fail(): what the function reads is there. */
    atomic_store_explicit(&assert_context, context, memory_order_release);
}

__attribute__((cold, noinline))
_Noreturn void weft__assert_fail(const char *expr, const char *file, int line, const char *function)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "weft: %s:%d: %s: `%s` does not hold\n", file, line, function, expr);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    /* Taken, not read: a context function that fails itself finds none and
     * cannot come back here for ever. */
    weft__assert_context *context = atomic_exchange_explicit(&assert_context, NULL, memory_order_acquire);
    ssize_t written = write(STDERR_FILENO, text, length);

    if (context != NULL) {
        text[0] = '\0';
        context(text, sizeof text);
        written = write(STDERR_FILENO, text, strnlen(text, sizeof text));
    }
    (void)written; /* nobody is left to tell */
    abort();
}

#include "term/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void (*weft__term_fail_hook)(const char *call, const char *mistake);
void (*weft__term_no_memory_hook)(size_t size);

void weft__term_fail(const char *call, const char *format, ...)
{
    char mistake[512];
    va_list args;

    va_start(args, format);
    vsnprintf(mistake, sizeof mistake, format, args);
    va_end(args);
    if (weft__term_fail_hook)
        weft__term_fail_hook(call, mistake);
    fprintf(stderr, "weft: %s: %s\n", call, mistake);
    abort();
}

void weft__term_no_memory(size_t size)
{
    if (weft__term_no_memory_hook)
        weft__term_no_memory_hook(size);
    fprintf(stderr, "weft: no memory for %zu bytes of terms\n", size);
    abort();
}

void weft__term_fail_kind(const char *call, weft_term got, const char *wanted)
{
    char text[256];

    weft_inspect_to(text, sizeof text, got);
    weft__term_fail(call, "was given %s, not %s", text, wanted);
}

/* error.c - names and texts of error codes.
 *
 * Two switches made from one list: no table to keep in order, nothing to
 * initialise, safe in a signal handler.
 */
#include "weft/error.h"

#include <limits.h>
#include <string.h>

const char *weft_error_name(int code)
{
    const char *name = NULL;

    switch (code) {
    case WEFT_OK:
        return "OK";
#define ERROR_NAME(name, number, text) \
    case number:                       \
        return #name;
        WEFT_ERROR_MAP(ERROR_NAME)
#undef ERROR_NAME
    default:
        if (code < 0 && code > INT_MIN)
            name = strerrorname_np(-code);
        return name != NULL ? name : "EUNKNOWN";
    }
}

const char *weft_error_text(int code)
{
    const char *text = NULL;

    switch (code) {
    case WEFT_OK:
        return "no error";
#define ERROR_TEXT(name, number, text) \
    case number:                       \
        return text;
        WEFT_ERROR_MAP(ERROR_TEXT)
#undef ERROR_TEXT
    default:
        if (code < 0 && code > INT_MIN)
            text = strerrordesc_np(-code);
        return text != NULL ? text : "unknown error";
    }
}

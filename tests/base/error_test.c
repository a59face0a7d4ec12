#include "tap.h"
#include "weft/error.h"

#include <limits.h>

TEST(a_code_has_its_name_and_text)
{
    check_str(weft_error_name(WEFT_ENOPROC), "ENOPROC");
    check_str(weft_error_text(WEFT_ENOPROC), "no such process");
    check_str(weft_error_name(WEFT_EOF), "EOF");
    check_str(weft_error_name(0), "OK");
    check_str(weft_error_text(0), "no error");
}

TEST(what_a_system_call_says_is_a_code_as_it_is)
{
    check_int(WEFT_EAGAIN, -EAGAIN);
    check_str(weft_error_name(-ECONNREFUSED), "ECONNREFUSED");
    check_str(weft_error_text(-ECONNREFUSED), "connection refused");
    check_str(weft_error_name(-EXDEV), "EXDEV"); /* not in weft's own list */
    check_has(weft_error_text(-EXDEV), "cross-device");
}

TEST(a_number_without_meaning_says_so)
{
    const int strangers[] = { 1, -9999, -20000, INT_MIN, INT_MAX };

    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        check_str(weft_error_name(strangers[i]), "EUNKNOWN");
        check_str(weft_error_text(strangers[i]), "unknown error");
    }
}

TEST(every_code_is_negative_and_told_apart_from_an_errno)
{
#define LOOK_AT(name, code, text)                             \
    check_lt(WEFT_##name, 0);                                 \
    check(WEFT_##name > -134 || WEFT_##name <= -10001);       \
    check_str(weft_error_name(WEFT_##name), #name);           \
    check_str(weft_error_text(WEFT_##name), text);
    WEFT_ERROR_MAP(LOOK_AT)
#undef LOOK_AT
}

/* text.c - how floats and names are written. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/print.h"

/* -- floats ---------------------------------------------------------------- */

/* The digits of a positive float, as few as read back the same, and the place
 * of the point: 0.DIGITS x 10^place. %e in any locale has the digits in order. */
static size_t float_digits(double value, char digits[20], int *place)
{
    char text[40];
    size_t n = 0;

    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (precision == 16 || strtod(text, NULL) == value)
            break;
    }
    *place = atoi(strchr(text, 'e') + 1) + 1;
    for (const char *c = text; *c != 'e'; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return n;
}

static int write_exponent(char *to, const char *digits, size_t n, int place)
{
    return snprintf(to, 31, "%c.%se%d", digits[0], n > 1 ? digits + 1 : "0", place - 1);
}

/* Whole numbers up to 1.0e16 in full, as Elixir's Inspect; of others whichever
 * of 0.001 and 1.0e-3 is shorter, as Erlang's io_lib_format. */
static int write_float(char *to, double value)
{
    char digits[20], exponent[8];
    int place, n, cost;

    if (value >= 1 && value < 1e16 && trunc(value) == value)
        return snprintf(to, 31, "%lld.0", (long long)value);
    n = (int)float_digits(value, digits, &place);
    cost = snprintf(exponent, sizeof exponent, "%d", place - 1) + 1 + (n == 1 ? 2 : 1);
    if (value >= 0x1p53)
        return write_exponent(to, digits, (size_t)n, place);
    if (place < 0 && 2 - place > cost)
        return write_exponent(to, digits, (size_t)n, place);
    if (place <= 0)
        return snprintf(to, 31, "0.%.*s%s", -place, "0000000000000000", digits);
    /* Not whole, so the point is among the digits. */
    return snprintf(to, 31, "%.*s.%s", place, digits, digits + place);
}

size_t weft__float_text(double value, char text[32])
{
    int sign = signbit(value) && !isnan(value);

    if (isnan(value))
        return (size_t)snprintf(text, 32, "nan");
    if (isinf(value))
        return (size_t)snprintf(text, 32, sign ? "-inf" : "inf");
    if (value == 0)
        return (size_t)snprintf(text, 32, sign ? "-0.0" : "0.0");
    text[0] = '-';
    return (size_t)(sign + write_float(text + sign, fabs(value)));
}

/* -- characters ------------------------------------------------------------ */

/* Bytes of the character that begins with this one; 0: none begins so. */
static size_t utf8_length(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static size_t utf8_decode(const char *text, size_t size, uint32_t *code)
{
    const uint8_t *byte = (const uint8_t *)text;
    size_t n = utf8_length(byte[0]);

    if (n == 0 || n > size)
        return 0;
    *code = n == 1 ? byte[0] : byte[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (byte[i] & 0x3f);
    }
    if ((n == 3 && *code < 0x800) || (n == 4 && *code < 0x10000) || *code > 0x10ffff ||
        (*code >= 0xd800 && *code < 0xe000))
        return 0;
    return n;
}

size_t weft__utf8_size(const char *text, size_t size)
{
    uint32_t code;

    return utf8_decode(text, size, &code);
}

size_t weft__utf8_printable(const char *text, size_t size)
{
    uint32_t code;
    size_t n = utf8_decode(text, size, &code);

    if (n == 0)
        return 0;
    if (n == 1)
        return (code >= 32 && code <= 126) || (code >= 7 && code <= 13) || code == 27 ||
               code == 127;
    return code >= 0xa0 && code != 0xfffe && code != 0xffff ? n : 0;
}

/* -- names ----------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_name_char(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

/* Elixir.Foo.Bar: parts that begin with a capital. */
static bool is_alias(const char *name, size_t size)
{
    if (size < 8 || memcmp(name, "Elixir.", 7) != 0)
        return false;
    for (size_t i = 7; i < size; i++) {
        if (name[i - 1] == '.' && !(name[i] >= 'A' && name[i] <= 'Z'))
            return false;
        if ((name[i] != '.' && !is_name_char(name[i])) || (name[i] & 0x80))
            return false;
    }
    return name[size - 1] != '.';
}

static bool is_operator(const char *name, size_t size)
{
    static const char *const operators[] = {
        "+", "-", "*", "/", "=", "==", "!=", "===", "!==", "<", ">", "<=", ">=", "<>", "++", "--", "&&", "||",
        "!", "&", "|", "|>", "=~", "<-", "->", "\\\\", "::", "..", "...", "^", "@", "%{}", "{}", "%", "<<>>",
        "+++", "---", "&&&", "|||", "<<<", ">>>", "<<~", "~>>", "<~", "~>", "<~>", "**", "~~~", ".", "..//",
    };

    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strlen(operators[i]) == size && memcmp(operators[i], name, size) == 0)
            return true;
    return false;
}

static bool is_identifier(const char *name, size_t size)
{
    if (size == 0 || !is_letter(name[0]))
        return false;
    if (size > 1 && (name[size - 1] == '?' || name[size - 1] == '!'))
        size--;
    for (size_t i = 0; i < size;) {
        size_t n = weft__utf8_printable(name + i, size - i);

        if (n == 0 || !(is_name_char(name[i]) || name[i] == '@'))
            return false;
        i += n;
    }
    return true;
}

enum weft__atom_form weft__atom_form(const char *name, size_t size)
{
    if (is_alias(name, size))
        return WEFT__ATOM_ALIAS;
    return is_identifier(name, size) || is_operator(name, size) ? WEFT__ATOM_BARE
                                                                : WEFT__ATOM_QUOTED;
}

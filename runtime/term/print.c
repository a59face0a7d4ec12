/* print.c - terms as text, as Elixir writes them.
 *
 * Bounded in every direction: elements by a limit, nesting by a depth, text by
 * bytes; so the recursion is bounded as well, and nothing is allocated while
 * printing. An inspect into the scope prints twice, the first time to count.
 */
#include "term/print.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/here.h"
#include "base/symbol.h"
#include "term/atom.h"
#include "term/copy.h"
#include "term/region.h"
#include "term/term.h"

#define MAX_DEPTH 64
#define TEXT_BYTES 4096 /* shown of one binary */

struct out {
    char *text; /* room for cap bytes and a NUL */
    size_t cap; /* bytes stored; what is beyond is only counted */
    size_t n;   /* bytes so far */
    size_t max_bytes;
    size_t limit, max_depth;
    bool is_cut; /* max_bytes were not enough: nothing more is taken */
};

static void put_bytes(struct out *out, const char *bytes, size_t size)
{
    size_t room = out->max_bytes - out->n;

    if (out->is_cut)
        return;
    if (size > room) {
        out->is_cut = true;
        size = room;
    }
    if (out->n < out->cap && size > 0)
        memcpy(out->text + out->n, bytes,
               size < out->cap - out->n ? size : out->cap - out->n);
    out->n += size;
}

static void put(struct out *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct out *out,
                                                             const char *format, ...)
{
    char text[96];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(out, text);
}

/* The end of the text: its NUL, and dots where it was cut, not in a character. */
static size_t out_finish(struct out *out)
{
    size_t end = out->n < out->cap ? out->n : out->cap;

    if (out->is_cut && end >= 3) {
        size_t dots = end - 3;

        while (dots > 0 && ((uint8_t)out->text[dots] & 0xc0) == 0x80)
            dots--;
        memcpy(out->text + dots, "...", 3);
        end = dots + 3;
    }
    out->text[end] = 0;
    return end;
}

/* -- text ------------------------------------------------------------------ */

/* One character inside quotes. */
static void put_escaped(struct out *out, const char *text, size_t size, size_t n)
{
    static const char plain[] = "\a\b\t\n\v\f\r";
    static const char letters[] = "abtnvfr";
    char c = text[0];
    const char *found = n == 1 && c != 0 ? strchr(plain, c) : NULL;

    if (found)
        put_format(out, "\\%c", letters[found - plain]);
    else if (c == '"' || c == '\\')
        put_format(out, "\\%c", c);
    else if (c == '#' && size > 1 && text[1] == '{')
        put(out, "\\#");
    else if (c == 27)
        put(out, "\\e");
    else if (c == 127)
        put(out, "\\d");
    else if (c == 0)
        put(out, "\\0");
    else if (n == 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        put(out, "\\uFEFF"); /* a byte order mark would not be seen */
    else if (n == 0 || (uint8_t)c < 32)
        put_format(out, "\\x%02X", (uint8_t)c);
    else
        put_bytes(out, text, n);
}

static void put_quoted(struct out *out, const char *text, size_t size)
{
    put(out, "\"");
    for (size_t i = 0; i < size && !out->is_cut;) {
        size_t n = weft__utf8_size(text + i, size - i);

        put_escaped(out, text + i, size - i, n);
        i += n ? n : 1;
    }
    put(out, "\"");
}

/* How much of the binary is printable text: all of it, or as much as is shown;
 * 0 when it is not text. */
static size_t printable_size(const char *text, size_t size)
{
    size_t i = 0;

    while (i < size && i < TEXT_BYTES) {
        size_t n = weft__utf8_printable(text + i, size - i);

        if (n == 0)
            return 0;
        i += n;
    }
    return i;
}

static void print_bin(struct out *out, weft_term term)
{
    const uint8_t *data;
    size_t size, shown;

    weft__bin_bytes(term, &data, &size);
    shown = printable_size((const char *)data, size);
    if (size == 0 || shown > 0) {
        put_quoted(out, (const char *)data, shown);
        put(out, shown < size ? " <> ..." : "");
        return;
    }
    put(out, "<<");
    for (size_t i = 0; i < size && !out->is_cut; i++) {
        put(out, i ? ", " : "");
        if (i == out->limit) {
            put(out, "...");
            break;
        }
        put_format(out, "%u", data[i]);
    }
    put(out, ">>");
}

static void print_atom(struct out *out, weft_term term)
{
    size_t size;
    const char *name = weft__atom_text(term, &size);

    if (weft__atom_index(term) <= WEFT__ATOM_INDEX_nil) {
        put(out, name);
        return;
    }
    switch (weft__atom_form(name, size)) {
    case WEFT__ATOM_ALIAS:
        put_bytes(out, name + 7, size - 7);
        break;
    case WEFT__ATOM_BARE:
        put(out, ":");
        put_bytes(out, name, size);
        break;
    case WEFT__ATOM_QUOTED:
        put(out, ":");
        put_quoted(out, name, size);
        break;
    }
}

/* -- collections ----------------------------------------------------------- */

static void print_term(struct out *out, weft_term term, size_t depth);

/* May it stand before a colon, as in [a: 1]? */
static bool is_keyword_key(weft_term term)
{
    size_t size;
    const char *name;

    if (!weft_is_atom(term))
        return false;
    name = weft__atom_text(term, &size);
    return weft__atom_form(name, size) != WEFT__ATOM_ALIAS;
}

static void print_keyword(struct out *out, weft_term key, weft_term value, size_t depth)
{
    size_t size;
    const char *name = weft__atom_text(key, &size);

    if (weft__atom_form(name, size) == WEFT__ATOM_BARE)
        put_bytes(out, name, size);
    else
        put_quoted(out, name, size);
    put(out, ": ");
    print_term(out, value, depth);
}

/* Every element that will be shown is {key, value}. */
static bool is_keyword_list(const struct out *out, weft_term list)
{
    for (size_t i = 0; i < out->limit && weft__is_cell(list); i++) {
        weft_term pair = weft__cell(list)[0];

        if (!weft__is_tuple(pair) || weft__box_size(pair) != 2 ||
            !is_keyword_key(weft__box_terms(pair)[0]))
            return false;
        list = weft__cell(list)[1];
    }
    return weft_is_list(list);
}

static void print_list(struct out *out, weft_term list, size_t depth)
{
    bool is_keyword = is_keyword_list(out, list);

    put(out, "[");
    for (size_t i = 0; weft__is_cell(list) && !out->is_cut; i++) {
        const weft_term *cell = weft__cell(list);

        put(out, i ? ", " : "");
        if (i == out->limit) {
            put(out, "...");
            list = weft_empty_list;
            break;
        }
        if (is_keyword)
            print_keyword(out, weft__box_terms(cell[0])[0], weft__box_terms(cell[0])[1],
                          depth);
        else
            print_term(out, cell[0], depth);
        list = cell[1];
    }
    if (!weft_is_list(list)) {
        put(out, " | ");
        print_term(out, list, depth);
    }
    put(out, "]");
}

static void print_tuple(struct out *out, weft_term tuple, size_t depth)
{
    size_t n = weft__box_size(tuple);

    put(out, "{");
    for (size_t i = 0; i < n && !out->is_cut; i++) {
        put(out, i ? ", " : "");
        if (i == out->limit) {
            put(out, "...");
            break;
        }
        print_term(out, weft__box_terms(tuple)[i], depth);
    }
    put(out, "}");
}

static void print_map(struct out *out, weft_term map, size_t depth)
{
    const weft_term *pairs = weft__box_terms(map);
    size_t n = weft__box_size(map);
    bool is_keyword = true;

    for (size_t i = 0; i < n && is_keyword; i++)
        is_keyword = is_keyword_key(pairs[2 * i]);
    put(out, "%{");
    for (size_t i = 0; i < n && !out->is_cut; i++) {
        put(out, i ? ", " : "");
        if (i == out->limit) {
            put(out, "...");
            break;
        }
        if (is_keyword) {
            print_keyword(out, pairs[2 * i], pairs[2 * i + 1], depth);
            continue;
        }
        print_term(out, pairs[2 * i], depth);
        put(out, " => ");
        print_term(out, pairs[2 * i + 1], depth);
    }
    put(out, "}");
}

/* -- all kinds ------------------------------------------------------------- */

static void print_special(struct out *out, weft_term term)
{
    const char *name = weft__pattern_part_name(term);

    if (weft_is_empty_list(term))
        put(out, "[]");
    else if (weft__special_kind(term) == WEFT__SPECIAL_VAR)
        put_format(out, "weft_var(%llu)", (unsigned long long)weft__special_payload(term));
    else
        put(out, name ? name : "#Unknown");
}

static void print_native(struct out *out, weft_term term)
{
    const char *name = weft__native_type(term)->name;

    put(out, "#");
    put(out, name ? name : "Native");
    put_format(out, "<0x%llx>", (unsigned long long)(uintptr_t)weft__native_address(term));
}

static void print_float(struct out *out, weft_term term)
{
    char text[32];

    weft__float_text(weft__box_float(term), text);
    put(out, text);
}

/* Code is told by its name: function+0x1c. */
static void print_pointer(struct out *out, uintptr_t address)
{
    char name[280];

    if (weft__symbol_is_code((const void *)address)) {
        weft__symbol_name(name, sizeof name, (const void *)address);
        put(out, name);
    } else {
        put_format(out, "0x%llx", (unsigned long long)address);
    }
}

static void print_boxed(struct out *out, weft_term term, size_t depth)
{
    switch (weft__box_kind(term)) {
    case WEFT__BOX_INT:
        put_format(out, "%lld", (long long)weft__int_value(term));
        break;
    case WEFT__BOX_FLOAT:
        print_float(out, term);
        break;
    case WEFT__BOX_POINTER:
        print_pointer(out, (uintptr_t)weft__box(term)[1]);
        break;
    case WEFT__BOX_BIN:
    case WEFT__BOX_SHARED_BIN:
        print_bin(out, term);
        break;
    case WEFT__BOX_TUPLE:
        print_tuple(out, term, depth + 1);
        break;
    case WEFT__BOX_MAP:
        print_map(out, term, depth + 1);
        break;
    case WEFT__BOX_NATIVE:
        print_native(out, term);
        break;
    default:
        put(out, "#Unknown");
    }
}

static bool is_collection(weft_term term)
{
    return weft__is_cell(term) || weft__is_tuple(term) || weft__is_map(term);
}

static void print_term(struct out *out, weft_term term, size_t depth)
{
    if (out->is_cut)
        return;
    if (depth >= out->max_depth && is_collection(term)) {
        put(out, "...");
        return;
    }
    if (weft_is_none(term))
        put(out, "weft_none");
    else if (weft_is_atom(term))
        print_atom(out, term);
    else if (weft_is_pid(term))
        put_format(out, "#PID<%u.%llu>", weft__pid_slot(term),
                   (unsigned long long)weft__pid_serial(term));
    else if (weft_is_ref(term))
        put_format(out, "#Reference<%u.%llu>", weft__ref_slot(term),
                   (unsigned long long)weft__ref_counter(term));
    else if (weft__is_special(term))
        print_special(out, term);
    else if ((term.bits & 3) == WEFT__TAG_INT)
        put_format(out, "%lld", (long long)weft_to_int(term));
    else if ((term.bits & 15) == WEFT__TAG_POINTER)
        print_pointer(out, (uintptr_t)(term.bits >> 4));
    else if (weft__is_cell(term))
        print_list(out, term, depth + 1);
    else
        print_boxed(out, term, depth);
}

/* -- public ---------------------------------------------------------------- */

static struct out out_of_options(const weft_inspect_options *options)
{
    weft_inspect_options all = {WEFT_INSPECT_DEFAULTS};

    if (options)
        memcpy(&all, options, options->size < sizeof all ? options->size : sizeof all);
    return (struct out){
        .limit = all.limit,
        .max_depth = all.max_depth < MAX_DEPTH ? all.max_depth : MAX_DEPTH,
        .max_bytes =
            all.max_bytes < WEFT__BLOCK_MAX / 2 ? all.max_bytes : WEFT__BLOCK_MAX / 2,
    };
}

size_t weft_inspect_to(char *buffer, size_t size, weft_term term)
{
    struct out out = out_of_options(NULL);

    if (size == 0)
        return 0;
    out.text = buffer;
    out.cap = out.max_bytes = size - 1;
    print_term(&out, term, 0);
    return out_finish(&out);
}

const char *weft_inspect_opt(weft_term term, const weft_inspect_options *options)
{
    char first[512];
    struct out counted = out_of_options(options), out = counted;

    counted.text = first;
    counted.cap = sizeof first - 1;
    print_term(&counted, term, 0);
    out.cap = counted.n;
    out.text = weft__region_alloc(weft__region_here(), (counted.n + 8) & ~(size_t)7);
    if (counted.n <= counted.cap) {
        memcpy(out.text, first, counted.n);
        out.n = counted.n;
        out.is_cut = counted.is_cut;
    } else {
        print_term(&out, term, 0);
    }
    out_finish(&out);
    return out.text;
}

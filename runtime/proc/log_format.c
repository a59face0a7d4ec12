/* log_format.c - a record as a line.
 *
 *   readable   time [level] pid (label) file:line text key=value ... (+n left out)
 *   JSON       {"time":...,"level":...,"pid":...,"label":...,"function":...,"file":...,"line":...,
 *               "left_out":...,"text":...,"fields":{...},"cut":true}
 *
 * A line has a fixed size, and whatever is too long is cut where it stands, so
 * that a huge term costs its own end and nothing else: the text may take half
 * of what is left, then each field all but what small ones after it need, and
 * room is kept for the end. In JSON that keeps the object whole.
 *
 * Text is written character by character. What would leave the line or steer
 * a terminal (C0, DEL, C1) is escaped, and so is what is no UTF-8.
 */
#include "proc/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/here.h"
#include "base/memory.h"
#include "weft/error.h"

#define FIELDS_MAX 64
#define FIELD_MIN 24      /* bytes without which a field is not begun */
#define FIELD_SMALL 128   /* bytes that are kept for each later one, where there are */
#define END_ROOM 48       /* for what comes after the fields */
#define DEPTH_MAX 6       /* of lists and maps in JSON; deeper ones are text */
#define MEMBERS_MAX 256   /* of a list that is looked at to tell an object */
#define TEXT_CHECKED 1024 /* bytes of a binary that are looked at to tell text */

static struct {
    _Atomic int kind;
    _Atomic bool with_place;
} format;

int weft_log_set_format(enum weft_log_format_kind kind, bool with_place)
{
    if ((unsigned)kind > WEFT_LOG_JSON)
        return WEFT_EINVAL;
    /* Relaxed: a line in between may have some of both. */
    atomic_store_explicit(&format.kind, (int)kind, memory_order_relaxed);
    atomic_store_explicit(&format.with_place, with_place, memory_order_relaxed);
    return 0;
}

/* -- a line being written ---------------------------------------------------------- */

struct line {
    char *at;
    char *limit;   /* first byte not to be written */
    bool is_json;
    bool is_cut;
    char *scratch; /* for inspected terms */
    size_t scratch_size;
};

static size_t line_room(const struct line *line)
{
    return line->at < line->limit ? (size_t)(line->limit - line->at) : 0;
}

/* All of it or nothing. */
static bool line_put(struct line *line, const char *bytes, size_t size)
{
    if (size > line_room(line)) {
        line->is_cut = true;
        return false;
    }
    memcpy(line->at, bytes, size);
    line->at += size;
    return true;
}

__attribute__((format(printf, 2, 3)))
static bool line_print(struct line *line, const char *text, ...)
{
    char buffer[128];
    va_list args;
    int n;

    va_start(args, text);
    n = vsnprintf(buffer, sizeof buffer, text, args);
    va_end(args);
    return n >= 0 && (size_t)n < sizeof buffer && line_put(line, buffer, (size_t)n);
}

/* -- characters ----------------------------------------------------------------------- */

/* Bytes of the character at `at` and its code, or 0: no UTF-8, or cut off. */
static size_t utf8_decode(const uint8_t *at, size_t size, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

    if (n == 0 || n > size)
        return 0;
    *code = n == 1 ? at[0] : at[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (at[i] & 0x3f);
    }
    return *code >= smallest[n] && *code <= 0x10ffff && (*code & 0xfffff800) != 0xd800 ? n : 0;
}

/* The escape for a code that cannot stand as it is; "" for one that can. */
static int escape(bool is_json, uint32_t code, char text[16])
{
    const char *common = code == '\n' ? "\\n" : code == '\r' ? "\\r" : code == '\t' ? "\\t" : NULL;

    if (common != NULL)
        return snprintf(text, 16, "%s", common);
    if (is_json && (code == '"' || code == '\\'))
        return snprintf(text, 16, "\\%c", (char)code);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return snprintf(text, 16, is_json ? "\\u%04x" : "\\x%02X", (unsigned)code);
    return 0;
}

/* The next character of text as it is to be written: its bytes, or those of an
 * escape made in `buffer`. Returns how many bytes of the text it was. */
static size_t next_character(bool is_json, const char *text, size_t size, char buffer[16], const char **out,
                             size_t *out_size)
{
    uint32_t code = 0;
    size_t n = utf8_decode((const uint8_t *)text, size, &code);
    int escaped;

    if (n == 0)
        escaped = is_json ? snprintf(buffer, 16, "\\ufffd") : snprintf(buffer, 16, "\\x%02X", (uint8_t)text[0]);
    else
        escaped = escape(is_json, code, buffer);
    *out = escaped > 0 ? buffer : text;
    *out_size = escaped > 0 ? (size_t)escaped : n;
    return n > 0 ? n : 1;
}

/* Write text, at most `room` bytes of it; cut, it ends in "...". */
static void put_text(struct line *line, const char *text, size_t size, size_t room)
{
    size_t left = room < line_room(line) ? room : line_room(line);
    char *safe = left >= 3 ? line->at : NULL; /* the last place where "..." still fits */

    while (size > 0) {
        char buffer[16];
        const char *out;
        size_t out_size, n = next_character(line->is_json, text, size, buffer, &out, &out_size);

        if (out_size > left) {
            line->is_cut = true;
            if (safe != NULL) {
                line->at = safe;
                (void)line_put(line, "...", 3);
            }
            return;
        }
        memcpy(line->at, out, out_size);
        line->at += out_size;
        left -= out_size;
        if (left >= 3)
            safe = line->at;
        text += n;
        size -= n;
    }
}

/* -- values ------------------------------------------------------------------------------ */

/* A term as Elixir writes it. */
static void put_inspected(struct line *line, weft_term term, size_t room)
{
    size_t n = weft_inspect_to(line->scratch, line->scratch_size, term);

    if (n + 1 >= line->scratch_size) {
        line->is_cut = true;
        n = weft__log_cut(line->scratch, line->scratch_size);
    }
    put_text(line, line->scratch, n, room);
}

static bool is_text(weft_term term)
{
    const uint8_t *bytes = weft_bin_data(term);
    size_t size = weft_bin_size(term), at = 0;
    bool is_part = size > TEXT_CHECKED;

    if (is_part)
        size = TEXT_CHECKED;
    while (at < size) {
        uint32_t code;
        size_t n = utf8_decode(bytes + at, size - at, &code);

        if (n == 0)
            return is_part && size - at < 4; /* cut off by us */
        at += n;
    }
    return true;
}

/* "text" in JSON; room counts the quotes. */
static void put_quoted(struct line *line, const char *text, size_t size, size_t room)
{
    if (!line_put(line, "\"", 1))
        return;
    line->limit--; /* the closing one has its place */
    put_text(line, text, size, room > 2 ? room - 2 : 0);
    line->limit++;
    (void)line_put(line, "\"", 1);
}

static void put_quoted_inspected(struct line *line, weft_term term, size_t room)
{
    if (!line_put(line, "\"", 1))
        return;
    line->limit--;
    put_inspected(line, term, room > 2 ? room - 2 : 0);
    line->limit++;
    (void)line_put(line, "\"", 1);
}

static bool is_pair(weft_term term)
{
    return weft_is_tuple(term) && weft_tuple_size(term) == 2;
}

/* What is neither a list nor a map: numbers, booleans, null and text as JSON has
 * them, the rest as text. */
static void put_scalar(struct line *line, weft_term term, size_t room)
{
    bool truth;

    if (weft_is_int(term))
        (void)line_print(line, "%" PRId64, weft_to_int(term));
    else if (weft_is_float(term) && isfinite(weft_to_float(term)))
        (void)line_print(line, "%.17g", weft_to_float(term));
    else if (weft_try_to_bool(term, &truth))
        (void)line_print(line, "%s", truth ? "true" : "false");
    else if (weft_eq(term, WEFT_ATOM("nil")))
        (void)line_put(line, "null", 4);
    else if (weft_is_atom(term))
        put_quoted(line, weft_atom_name(term), strlen(weft_atom_name(term)), room);
    else if (weft_is_bin(term) && is_text(term))
        put_quoted(line, weft_bin_data(term), weft_bin_size(term), room);
    else
        put_quoted_inspected(line, term, room);
}

static void put_key(struct line *line, weft_term key, size_t room);
static bool put_nested(struct line *line, weft_term term, unsigned depth);

/* Numbers, booleans, null, text, lists and maps as JSON has them, the rest as text;
 * so are lists and maps of which not all can be had. */
static void put_json(struct line *line, weft_term term, size_t room, unsigned depth)
{
    if (weft_is_list(term) || weft_is_map(term)) {
        char *begin = line->at, *limit = line->limit;
        bool was_cut = line->is_cut, is_whole;

        if (room < line_room(line))
            line->limit = line->at + room;
        line->is_cut = false;
        is_whole = put_nested(line, term, depth) && !line->is_cut;
        line->limit = limit;
        line->is_cut = was_cut;
        if (is_whole)
            return;
        line->at = begin;
    }
    put_scalar(line, term, room);
}

static bool is_key(weft_term term)
{
    return weft_is_atom(term) || weft_is_bin(term);
}

static bool put_member(struct line *line, weft_term key, weft_term value, bool is_first, unsigned depth)
{
    if (!line_put(line, is_first ? "\"" : ",\"", is_first ? 1 : 2))
        return false;
    put_key(line, key, line_room(line));
    if (!line_put(line, "\":", 2))
        return false;
    put_json(line, value, line_room(line), depth);
    return !line->is_cut;
}

/* A list of pairs whose keys are atoms. */
static bool is_keywords(weft_term list)
{
    size_t n = 0;

    for (; !weft_is_empty_list(list); list = weft_tail(list), n++)
        if (n == MEMBERS_MAX || !weft_is_list(list) || !is_pair(weft_head(list)) ||
            !weft_is_atom(weft_tuple_at(weft_head(list), 0)))
            return false;
    return n > 0;
}

static bool put_map(struct line *line, weft_term map, unsigned depth)
{
    weft_term key, value;
    bool is_first = true;

    for (size_t at = 0; weft_map_next(map, &at, &key, &value); is_first = false)
        if (!is_key(key) || !put_member(line, key, value, is_first, depth))
            return false;
    return true;
}

static bool put_keywords(struct line *line, weft_term list, unsigned depth)
{
    for (bool is_first = true; !weft_is_empty_list(list); list = weft_tail(list), is_first = false)
        if (!put_member(line, weft_tuple_at(weft_head(list), 0), weft_tuple_at(weft_head(list), 1), is_first, depth))
            return false;
    return true;
}

static bool put_elements(struct line *line, weft_term list, unsigned depth)
{
    for (bool is_first = true; !weft_is_empty_list(list); list = weft_tail(list), is_first = false) {
        if (!weft_is_list(list) || (!is_first && !line_put(line, ",", 1)))
            return false; /* improper, or too long */
        put_json(line, weft_head(list), line_room(line), depth);
        if (line->is_cut)
            return false;
    }
    return true;
}

/* An object or an array, whole or not at all. */
static bool put_nested(struct line *line, weft_term term, unsigned depth)
{
    bool is_object = weft_is_map(term) || is_keywords(term);
    bool is_whole;

    if (depth == DEPTH_MAX || !line_put(line, is_object ? "{" : "[", 1) || line_room(line) == 0)
        return false;
    line->limit--; /* the closing one has its place */
    is_whole = weft_is_map(term) ? put_map(line, term, depth + 1)
               : is_object       ? put_keywords(line, term, depth + 1)
                                 : put_elements(line, term, depth + 1);
    line->limit++;
    return is_whole && line_put(line, is_object ? "}" : "]", 1);
}

/* -- fields ------------------------------------------------------------------------------- */

/* Pairs of a keyword list or a map, one after the other. Anything goes: what
 * is no pair comes with the key `fields`. */
struct fields {
    weft_term rest; /* the map, or what is left of the list */
    size_t at;      /* in the map */
};

static bool fields_next(struct fields *fields, weft_term *key, weft_term *value)
{
    weft_term first = fields->rest;

    if (weft_is_none(first) || weft_is_empty_list(first))
        return false;
    if (weft_is_map(first))
        return weft_map_next(first, &fields->at, key, value);
    if (weft_is_list(first)) {
        fields->rest = weft_tail(first);
        first = weft_head(first);
    } else {
        fields->rest = weft_none; /* no list, or the tail of an improper one */
    }
    *key = is_pair(first) ? weft_tuple_at(first, 0) : WEFT_ATOM("fields");
    *value = is_pair(first) ? weft_tuple_at(first, 1) : first;
    return true;
}

static size_t fields_count(struct fields fields)
{
    weft_term key, value;
    size_t n = 0;

    while (n <= FIELDS_MAX && fields_next(&fields, &key, &value))
        n++;
    return n;
}

static void put_key(struct line *line, weft_term key, size_t room)
{
    if (weft_is_atom(key))
        put_text(line, weft_atom_name(key), strlen(weft_atom_name(key)), room);
    else if (weft_is_bin(key) && is_text(key))
        put_text(line, weft_bin_data(key), weft_bin_size(key), room);
    else
        put_inspected(line, key, room);
}

/* One field in `room` bytes, FIELD_MIN at least: whole JSON, also when cut. */
static void put_field(struct line *line, weft_term key, weft_term value, bool is_first, size_t room)
{
    char *limit = line->limit, *begin;

    if (room < line_room(line))
        line->limit = line->at + room;
    if (line->is_json)
        (void)line_put(line, is_first ? "\"" : ",\"", is_first ? 1 : 2);
    else
        (void)line_put(line, " ", 1);
    /* Half of the room at most: a value says more than the end of its key. */
    put_key(line, key, line_room(line) / 2);
    (void)line_put(line, line->is_json ? "\":" : "=", line->is_json ? 2 : 1);
    begin = line->at;
    if (line->is_json)
        put_json(line, value, line_room(line), 0);
    else
        put_inspected(line, value, line_room(line));
    if (line->at == begin) /* a number that does not fit */
        (void)line_put(line, "\"...\"", line->is_json ? 5 : 0);
    line->limit = limit;
}

/* What the first of n fields may take of `room`: all but what small ones need. */
static size_t field_room(size_t room, size_t n)
{
    size_t kept = room / (2 * n);

    kept = (n - 1) * (kept < FIELD_MIN ? FIELD_MIN : kept < FIELD_SMALL ? kept : FIELD_SMALL);
    return room > kept + FIELD_MIN ? room - kept : FIELD_MIN;
}

static void put_fields(struct line *line, weft_term term)
{
    struct fields fields = {term, 0};
    size_t n = fields_count(fields), i = 0;
    weft_term key, value;

    while (i < n && i < FIELDS_MAX && line_room(line) >= FIELD_MIN && fields_next(&fields, &key, &value)) {
        put_field(line, key, value, i == 0, field_room(line_room(line), n - i));
        i++;
    }
    if (i < n) {
        line->is_cut = true;
        if (!line->is_json)
            (void)line_put(line, " ...", 4);
    }
}

/* -- the whole line --------------------------------------------------------------------------- */

/* 2026-05-17T09:30:12.042Z. By hand: gmtime_r may take a lock and read a file. */
static void put_time(struct line *line, int64_t time_ns)
{
    int64_t ms = time_ns / WEFT__NS_PER_MS - (time_ns % WEFT__NS_PER_MS < 0);
    int64_t day = ms / 86400000 - (ms % 86400000 < 0), in_day = ms - day * 86400000;
    /* Days since 1 March 0000: leap days end a year (Hinnant, "date algorithms"). */
    int64_t z = day + 719468, era = z / 146097 - (z % 146097 < 0), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2);

    (void)line_print(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, (int)month,
                     (int)(doy - (153 * mp + 2) / 5 + 1), (int)(in_day / 3600000),
                     (int)(in_day / 60000 % 60), (int)(in_day / 1000 % 60), (int)(in_day % 1000));
}

static void put_readable(struct line *line, const weft_log_record *record)
{
    put_time(line, record->time_ns);
    (void)line_print(line, " [%s] ", weft_log_level_name(record->level));
    if (!weft_is_none(record->pid)) {
        put_inspected(line, record->pid, 64);
        (void)line_put(line, " ", 1);
    }
    if (record->label != NULL) {
        (void)line_put(line, "(", 1);
        put_text(line, record->label, strlen(record->label), 128);
        (void)line_put(line, ") ", 2);
    }
    if (record->file != NULL && atomic_load_explicit(&format.with_place, memory_order_relaxed)) {
        put_text(line, record->file, strlen(record->file), 256);
        (void)line_print(line, ":%d ", record->line);
    }
    /* Without fields the text may have it all. */
    put_text(line, record->text, record->text_size,
             fields_count((struct fields){record->fields, 0}) > 0 ? line_room(line) / 2 : line_room(line));
    put_fields(line, record->fields);
    line->limit += END_ROOM;
    if (record->n_left_out > 0)
        (void)line_print(line, " (+%" PRIu64 " left out)", record->n_left_out);
}

static void put_json_metadata(struct line *line, const weft_log_record *record)
{
    if (!weft_is_none(record->pid)) {
        (void)line_put(line, ",\"pid\":", 7);
        put_quoted_inspected(line, record->pid, 64);
    }
    if (record->label != NULL) {
        (void)line_put(line, ",\"label\":", 9);
        put_quoted(line, record->label, strlen(record->label), 128);
    }
    if (record->function != NULL) {
        (void)line_put(line, ",\"function\":", 12);
        put_quoted(line, record->function, strlen(record->function), 128);
    }
    if (record->file != NULL) {
        (void)line_put(line, ",\"file\":", 8);
        put_quoted(line, record->file, strlen(record->file), 256);
        (void)line_print(line, ",\"line\":%d", record->line);
    }
    if (record->n_left_out > 0)
        (void)line_print(line, ",\"left_out\":%" PRIu64, record->n_left_out);
}

static void put_object(struct line *line, const weft_log_record *record)
{
    bool has_fields = fields_count((struct fields){record->fields, 0}) > 0;

    (void)line_put(line, "{\"time\":\"", 9);
    put_time(line, record->time_ns);
    (void)line_print(line, "\",\"level\":\"%s\"", weft_log_level_name(record->level));
    put_json_metadata(line, record);
    (void)line_put(line, ",\"text\":", 8);
    put_quoted(line, record->text, record->text_size, has_fields ? line_room(line) / 2 : line_room(line));
    if (has_fields && line_put(line, ",\"fields\":{", 11)) {
        put_fields(line, record->fields);
        line->limit += 1; /* of END_ROOM */
        (void)line_put(line, "}", 1);
        line->limit -= 1;
    }
    line->limit += END_ROOM;
    if (line->is_cut)
        (void)line_put(line, ",\"cut\":true", 11);
    (void)line_put(line, "}", 1);
}

size_t weft_log_format(char *buffer, size_t size, const weft_log_record *record)
{
    char small[256]; /* when there is no memory */
    struct line line = {.at = buffer};

    if (size == 0)
        return 0;
    if (size <= END_ROOM + 2) {
        buffer[0] = '\0';
        return 0;
    }
    line.limit = buffer + size - 2 - END_ROOM;
    line.is_json = atomic_load_explicit(&format.kind, memory_order_relaxed) == WEFT_LOG_JSON;
    line.scratch = weft__memory_alloc(WEFT__LOG_TEXT);
    line.scratch_size = WEFT__LOG_TEXT;
    if (line.scratch == NULL) {
        line.scratch = small;
        line.scratch_size = sizeof small;
    }
    if (line.is_json)
        put_object(&line, record);
    else
        put_readable(&line, record);
    if (line.scratch != small)
        weft__memory_free(line.scratch, WEFT__LOG_TEXT);
    *line.at++ = '\n';
    *line.at = '\0';
    return (size_t)(line.at - buffer);
}

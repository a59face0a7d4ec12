#include "term/match.h"

#include "base/here.h"
#include "term/region.h"
#include "term/term.h"
#include "term/walk.h"

#define LOG_INLINE 8

/* What a bind or a variable met. */
struct met {
    weft_term part, value;
};

struct matching {
    struct met *log; /* one for each part that differs, in order */
    size_t n, cap;
    struct met own[LOG_INLINE];
    struct weft__walk walk; /* pairs of term and pattern, each of them memory */
};

static inline void matching_begin(struct matching *m)
{
    m->log = m->own;
    m->n = 0;
    m->cap = LOG_INLINE;
}

static inline void matching_end(struct matching *m)
{
    if (__builtin_expect(m->log != m->own, 0))
        free(m->log);
}

static void log_grow(struct matching *m)
{
    size_t cap = m->cap * 4;
    struct met *log = malloc(cap * sizeof *log);

    if (!log) {
        weft__walk_end(&m->walk);
        matching_end(m);
        weft__term_no_memory(cap * sizeof *log);
    }
    memcpy(log, m->log, m->n * sizeof *log);
    if (m->log != m->own)
        free(m->log);
    m->log = log;
    m->cap = cap;
}

/* The same part again fits what it met first. */
static inline bool log_fits(struct matching *m, weft_term part, weft_term value)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->log[i].part.bits == part.bits)
            return weft_eq(m->log[i].value, value);
    if (__builtin_expect(m->n == m->cap, 0))
        log_grow(m);
    m->log[m->n++] = (struct met){part, value};
    return true;
}

/* May a part of that kind meet the term? */
static bool kind_fits(unsigned kind, weft_term term)
{
    switch (kind) {
    case WEFT__SPECIAL_VAR:
    case WEFT__SPECIAL_BIND:
        return !weft_is_none(term);
    case WEFT__SPECIAL_BIND_INT:
        return weft_is_int(term);
    case WEFT__SPECIAL_BIND_FLOAT:
        return weft_is_number(term);
    case WEFT__SPECIAL_BIND_BOOL:
        return weft_is_bool(term);
    case WEFT__SPECIAL_BIND_TEXT:
        return weft_is_bin(term);
    case WEFT__SPECIAL_BIND_PID:
        return weft_is_pid(term);
    default:
        return false;
    }
}

/* A pattern that is a word of its own. */
static inline bool word_fits(struct matching *m, weft_term term, weft_term pattern)
{
    if (!weft__is_pattern_part(pattern))
        return term.bits == pattern.bits && !weft_is_none(pattern);
    if (pattern.bits == weft_any.bits)
        return !weft_is_none(term);
    return kind_fits(weft__special_kind(pattern), term) && log_fits(m, pattern, term);
}

/* A part of a collection: words are looked at now, collections later. */
static inline bool part_fits(struct matching *m, const weft_term *term,
                             const weft_term *pattern)
{
    if (!weft__is_memory(*pattern))
        return word_fits(m, *term, *pattern);
    if (!weft__is_memory(*term))
        return false;
    weft__walk_push(&m->walk, (struct weft__frame){term, pattern, 1, 1, 0});
    return true;
}

static bool map_fits(struct matching *m, weft_term term, weft_term pattern)
{
    const weft_term *pairs = weft__box_terms(pattern), *values = weft__box_terms(term);
    size_t at;

    for (size_t i = 0, n = weft__box_size(pattern); i < n; i++)
        if (!weft__map_find(term, pairs[2 * i], &at) ||
            !part_fits(m, &values[2 * at + 1], &pairs[2 * i + 1]))
            return false;
    return true;
}

/* Along the list, as far as both are cells. */
static bool list_fits(struct matching *m, weft_term term, weft_term pattern)
{
    while (weft__is_cell(pattern) && weft__is_cell(term)) {
        const weft_term *cell = weft__cell(term), *wanted = weft__cell(pattern);

        if (!part_fits(m, &cell[0], &wanted[0]))
            return false;
        if (!weft__is_cell(wanted[1]))
            return part_fits(m, &cell[1], &wanted[1]);
        term = cell[1];
        pattern = wanted[1];
    }
    return false;
}

/* A pattern that is memory, and so is the term. */
static bool memory_fits(struct matching *m, weft_term term, weft_term pattern)
{
    const weft_term *terms, *patterns;

    if (weft__is_cell(pattern))
        return list_fits(m, term, pattern);
    if (weft__is_cell(term))
        return false;
    switch (weft__box_kind(pattern)) {
    case WEFT__BOX_TUPLE:
        if (*weft__box(term) != *weft__box(pattern))
            return false;
        terms = weft__box_terms(term);
        patterns = weft__box_terms(pattern);
        for (size_t i = 0, n = weft__box_size(pattern); i < n; i++)
            if (!part_fits(m, &terms[i], &patterns[i]))
                return false;
        return true;
    case WEFT__BOX_MAP:
        return weft__is_map(term) && map_fits(m, term, pattern);
    default:
        return weft_eq(term, pattern);
    }
}

static bool match_run(struct matching *m, weft_term term, weft_term pattern)
{
    const weft_term *next_term, *next_pattern;
    unsigned mode;
    bool fits;

    if (!weft__is_memory(pattern))
        return word_fits(m, term, pattern);
    if (!weft__is_memory(term))
        return false;
    weft__walk_begin(&m->walk);
    fits = memory_fits(m, term, pattern);
    while (fits && weft__walk_next(&m->walk, &next_term, &next_pattern, &mode))
        fits = memory_fits(m, *next_term, *next_pattern);
    weft__walk_end(&m->walk);
    return fits;
}

/* -- binding --------------------------------------------------------------- */

static void met_store(weft_term part, weft_term value)
{
    void *to = (void *)(uintptr_t)weft__special_payload(part);

    switch (weft__special_kind(part)) {
    case WEFT__SPECIAL_BIND:
    case WEFT__SPECIAL_BIND_PID:
        *(weft_term *)to = value;
        break;
    case WEFT__SPECIAL_BIND_INT:
        *(int64_t *)to = weft__int_value(value);
        break;
    case WEFT__SPECIAL_BIND_FLOAT:
        *(double *)to = weft_to_float(value);
        break;
    case WEFT__SPECIAL_BIND_BOOL:
        *(bool *)to = weft_to_bool(value);
        break;
    case WEFT__SPECIAL_BIND_TEXT:
        *(const char **)to = weft_text(value);
        break;
    default:
        break;
    }
}

/* Any pattern. With a mark the pattern goes before binds are stored: a text may
 * take memory, where the pattern was. */
__attribute__((noinline)) static bool match_any(weft_term term, weft_term pattern,
                                                const weft__pattern_mark *mark)
{
    struct matching m;
    bool fits;

    matching_begin(&m);
    fits = match_run(&m, term, pattern);
    if (mark)
        weft__region_rewind(mark);
    for (size_t i = 0; fits && i < m.n; i++)
        met_store(m.log[i].part, m.log[i].value);
    matching_end(&m);
    return fits;
}

/* -- the short way ----------------------------------------------------------- */

/* Nearly all patterns are tuples of words, weft_any, weft_bind and weft_bind_int.
 * For them the log is a bit for each element that binds: half the time of
 * match_any. What is not of that shape is left to it. */
enum flat { FITS, FITS_NOT, NOT_FLAT };

static inline bool same_bind_before(const weft_term *terms, const weft_term *patterns,
                                    size_t i, uint64_t binds)
{
    for (; binds != 0; binds &= binds - 1)
        if (patterns[__builtin_ctzll(binds)].bits == patterns[i].bits)
            return !weft_eq(terms[__builtin_ctzll(binds)], terms[i]);
    return false;
}

static inline enum flat flat_fits(const weft_term *terms, const weft_term *patterns,
                                  size_t n, uint64_t *binds)
{
    for (size_t i = 0; i < n; i++) {
        weft_term term = terms[i], pattern = patterns[i];

        if ((pattern.bits & 3) == 0)
            return NOT_FLAT;
        if (!weft__is_pattern_part(pattern)) {
            if (term.bits != pattern.bits)
                return FITS_NOT;
            continue;
        }
        if (weft_is_none(term))
            return FITS_NOT;
        if (pattern.bits == weft_any.bits)
            continue;
        if (weft__special_kind(pattern) == WEFT__SPECIAL_BIND_INT) {
            if (!weft_is_int(term))
                return FITS_NOT;
        } else if (weft__special_kind(pattern) != WEFT__SPECIAL_BIND) {
            return NOT_FLAT;
        }
        if (same_bind_before(terms, patterns, i, *binds))
            return FITS_NOT;
        *binds |= UINT64_C(1) << i;
    }
    return FITS;
}

static inline void flat_store(const weft_term *terms, const weft_term *patterns,
                              uint64_t binds)
{
    for (; binds != 0; binds &= binds - 1) {
        size_t i = (size_t)__builtin_ctzll(binds);
        void *to = (void *)(uintptr_t)weft__special_payload(patterns[i]);

        if (weft__special_kind(patterns[i]) == WEFT__SPECIAL_BIND)
            *(weft_term *)to = terms[i];
        else
            *(int64_t *)to = weft__int_value(terms[i]);
    }
}

static inline enum flat match_flat(weft_term term, weft_term pattern)
{
    const weft_term *terms, *patterns;
    uint64_t binds = 0;
    enum flat flat;

    if (!weft__is_tuple(pattern) || weft__box_size(pattern) > 64)
        return NOT_FLAT;
    if (!weft__is_boxed(term) || *weft__box(term) != *weft__box(pattern))
        return FITS_NOT;
    terms = weft__box_terms(term);
    patterns = weft__box_terms(pattern);
    flat = flat_fits(terms, patterns, weft__box_size(pattern), &binds);
    if (flat == FITS)
        flat_store(terms, patterns, binds);
    return flat;
}

weft__pattern_mark weft__pattern_begin(void)
{
    struct weft__region *region = weft__region_here();

    return (weft__pattern_mark){region, region->at, region->limit};
}

bool weft__match(weft_term term, weft_term pattern, const weft__pattern_mark *mark)
{
    enum flat flat = match_flat(term, pattern);

    if (__builtin_expect(flat == NOT_FLAT, 0))
        return match_any(term, pattern, mark);
    weft__region_rewind(mark);
    return flat == FITS;
}

bool weft_match_term(weft_term term, weft_term pattern)
{
    enum flat flat = match_flat(term, pattern);

    return __builtin_expect(flat == NOT_FLAT, 0) ? match_any(term, pattern, NULL)
                                                 : flat == FITS;
}

/* -- for those who need more ----------------------------------------------- */

bool weft__match_fits(weft_term term, weft_term pattern)
{
    return weft__match_vars(term, pattern, NULL, 0);
}

bool weft__match_vars(weft_term term, weft_term pattern, weft_term *vars, size_t n_vars)
{
    struct matching m;
    bool fits;

    matching_begin(&m);
    fits = match_run(&m, term, pattern);
    for (size_t i = 0; fits && i < m.n; i++) {
        uint64_t var = weft__special_payload(m.log[i].part);

        if (weft__special_kind(m.log[i].part) == WEFT__SPECIAL_VAR && var - 1 < n_vars)
            vars[var - 1] = m.log[i].value;
    }
    matching_end(&m);
    return fits;
}

static bool part_or_push(struct weft__walk *walk, weft_term term)
{
    size_t n;

    if (!weft__is_memory(term))
        return weft__is_pattern_part(term);
    if (weft__is_cell(term)) {
        weft__walk_push(walk, (struct weft__frame){weft__cell(term), NULL, 2, 1, 0});
    } else if (weft__is_tuple(term) || weft__is_map(term)) {
        n = weft__box_size(term) << weft__is_map(term);
        weft__walk_push(walk, (struct weft__frame){weft__box_terms(term), NULL, n, 1, 0});
    }
    return false;
}

bool weft__has_pattern_part(weft_term term)
{
    struct weft__walk walk;
    const weft_term *next, *unused;
    unsigned mode;
    bool found;

    weft__walk_begin(&walk);
    found = part_or_push(&walk, term);
    while (!found && weft__walk_next(&walk, &next, &unused, &mode))
        found = part_or_push(&walk, *next);
    weft__walk_end(&walk);
    return found;
}

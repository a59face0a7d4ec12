/* term.h - values: what messages, replies, reasons, names and rows are made of.
 *
 * A weft_term is one word. Small integers, atoms, pids, references, the empty
 * list, pattern parts and raw pointers are the word itself; floats, binaries,
 * tuples, lists, maps and native objects are memory it points to. Terms never
 * change once built.
 *
 * Lifetime: a term lives to the end of the innermost scope it was built or
 * received in: the callback, a WEFT_SCOPE, or the body of a weft_..._each over
 * messages or results. weft_keep and weft_scope_return let one out.
 *
 * Where:   every function here works in a process and in any thread, before
 *          the runtime starts as well, and never switches.
 * Errors:  a call given the wrong kind of term exits the process with a reason
 *          that names the call and the mistake in words; each conversion has a
 *          weft_try_ form that reports. Outside a process it ends the program.
 *          So does memory that has run out.
 * Meaning: Erlang's terms; maps and printing as in Elixir.
 */
#ifndef WEFT_TERM_H
#define WEFT_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/options.h"

typedef struct weft_term {
    uint64_t bits; /* read it with the functions below, never by hand */
} weft_term;

/* Terms all, the names tell a reader which kind is meant. */
typedef weft_term weft_pid;    /* a process: is_pid */
typedef weft_term weft_ref;    /* unique in one run of the program: is_ref */
typedef weft_term weft_atom;   /* a name that is its own value: is_atom */
typedef weft_term weft_server; /* a pid, a registered atom, or weft_via(...) */

/* How the word is cut. Programs use the functions; these are for them.
 *
 *   ...000  memory with a header word      ...01  integer of 62 bits
 *   ...100  a list cell {head, tail}       ...10  reference
 *   ..0011  atom                           ..0111  pid
 *   ..1011  raw pointer of 60 bits         ..1111  special, its kind above
 */
enum {
    WEFT__TAG_CELL = 4,
    WEFT__TAG_INT = 1,
    WEFT__TAG_REF = 2,
    WEFT__TAG_ATOM = 3,
    WEFT__TAG_PID = 7,
    WEFT__TAG_POINTER = 11,
    WEFT__TAG_SPECIAL = 15
};
enum {
    WEFT__SPECIAL_NIL, /* the empty list */
    WEFT__SPECIAL_ANY, /* from here on: pattern parts */
    WEFT__SPECIAL_VAR,
    WEFT__SPECIAL_BIND,
    WEFT__SPECIAL_BIND_INT,
    WEFT__SPECIAL_BIND_FLOAT,
    WEFT__SPECIAL_BIND_BOOL,
    WEFT__SPECIAL_BIND_TEXT,
    WEFT__SPECIAL_BIND_PID,
    WEFT__SPECIAL_HEADER = 15 /* never a term: begins boxed memory */
};
enum { WEFT__ATOM_FALSE, WEFT__ATOM_TRUE, WEFT__ATOM_NIL };

static inline weft_term weft__term(uint64_t bits)
{
    weft_term term;

    term.bits = bits;
    return term;
}

static inline weft_term weft__special(unsigned kind, uint64_t payload)
{
    return weft__term(payload << 8 | (uint64_t)kind << 4 | WEFT__TAG_SPECIAL);
}

WEFT__BEGIN_C

/* -- none ---------------------------------------------------------------- */

/* "Not given". Never a value: refused in messages, matches no pattern. */
#define weft_none (weft__term(0))

static inline bool weft_is_none(weft_term term) { return term.bits == 0; }

/* -- numbers ------------------------------------------------------------- */

WEFT_API weft_term weft__int_boxed(int64_t value);
WEFT_API bool weft__is_boxed_int(weft_term term);
WEFT_API int64_t weft__to_int_slow(weft_term term);

/* Any int64_t; beyond 62 bits it takes memory of the scope. */
static inline weft_term weft_int(int64_t value)
{
    uint64_t bits = (uint64_t)value << 2;

    if (__builtin_expect((int64_t)bits >> 2 != value, 0))
        return weft__int_boxed(value);
    return weft__term(bits | WEFT__TAG_INT);
}

/* NaN and the infinities are values too; they print as nan, inf and -inf. */
WEFT_API weft_term weft_float(double value);

static inline bool weft_is_int(weft_term term)
{
    return (term.bits & 3) == WEFT__TAG_INT || weft__is_boxed_int(term);
}
WEFT_API bool weft_is_float(weft_term term);
WEFT_API bool weft_is_number(weft_term term);

/* The value of an integer. Exits: anything else. */
static inline int64_t weft_to_int(weft_term term)
{
    if (__builtin_expect((term.bits & 3) == WEFT__TAG_INT, 1))
        return (int64_t)term.bits >> 2;
    return weft__to_int_slow(term);
}

/* The value of a float, or of an integer as the nearest one. Exits: anything else. */
WEFT_API double weft_to_float(weft_term term);

/* true and *out set, or false and *out untouched. */
WEFT_API bool weft_try_to_int(weft_term term, int64_t *out);
WEFT_API bool weft_try_to_float(weft_term term, double *out);

/* -- atoms --------------------------------------------------------------- */

WEFT_API uint64_t weft__atom_site(uint64_t *site, const char *name, size_t size);

/* The atom of a string literal, at most 1,020 bytes. Looked up once for each
 * place in the program. Atoms live as long as the program, and there are at
 * most 1,048,576: names made from data belong in a Registry.
 * Exits: the table is full. */
#ifdef __cplusplus
#define WEFT_ATOM(literal)                                                     \
    ([]() -> weft_term {                                                       \
        static uint64_t weft__site;                                            \
        uint64_t weft__bits = __atomic_load_n(&weft__site, __ATOMIC_ACQUIRE);  \
        return weft__term(weft__bits ? weft__bits                              \
                                     : weft__atom_site(&weft__site, "" literal, sizeof(literal) - 1)); \
    }())
#else
#define WEFT_ATOM(literal)                                                     \
    (__extension__({                                                           \
        static uint64_t weft__site;                                            \
        /* Acquire, with the release in atom_site: the name is there to read. */ \
        uint64_t weft__bits = __atomic_load_n(&weft__site, __ATOMIC_ACQUIRE);  \
        weft__term(__builtin_expect(weft__bits != 0, 1)                        \
                       ? weft__bits                                            \
                       : weft__atom_site(&weft__site, "" literal, sizeof(literal) - 1)); \
    }))
#endif

static inline bool weft_is_atom(weft_term term)
{
    return (term.bits & 15) == WEFT__TAG_ATOM;
}

/* The atom's name, for as long as the program runs. Exits: not an atom. */
WEFT_API const char *weft_atom_name(weft_atom atom);

/* The atoms true and false. */
static inline weft_term weft_bool(bool value)
{
    return weft__term((uint64_t)(value ? WEFT__ATOM_TRUE : WEFT__ATOM_FALSE) << 4 | WEFT__TAG_ATOM);
}
static inline bool weft_is_bool(weft_term term)
{
    return term.bits == weft_bool(true).bits || term.bits == weft_bool(false).bits;
}
/* Exits: neither of the atoms true and false. */
WEFT_API bool weft_to_bool(weft_term term);
WEFT_API bool weft_try_to_bool(weft_term term, bool *out);

/* -- pids and references: made by the runtime ---------------------------- */

static inline bool weft_is_pid(weft_term term)
{
    return (term.bits & 15) == WEFT__TAG_PID;
}
static inline bool weft_is_ref(weft_term term)
{
    return (term.bits & 3) == WEFT__TAG_REF;
}

/* -- binaries: bytes, and text as UTF-8 ---------------------------------- */

/* The bytes of a C string, or size bytes at data; copied. Up to 256 bytes stand
 * in the term, more are counted and shared by every copy. */
WEFT_API weft_term weft_str(const char *text);
WEFT_API weft_term weft_bin(const void *data, size_t size);

/* Take over size bytes at data without a copy. release(data, arg) runs when the
 * last term that holds them is gone, on any thread, and must not call weft; it
 * may be NULL for memory that is never freed. The bytes must not change. */
WEFT_API weft_term weft_bin_wrap(const void *data, size_t size, void (*release)(void *data, void *arg),
                                 void *arg);

/* size bytes from offset on; of a counted binary without a copy.
 * Exits: not a binary; past its end. */
WEFT_API weft_term weft_bin_slice(weft_term bin, size_t offset, size_t size);

/* The bytes, as long as the term lives, and how many. Exits: not a binary. */
WEFT_API const void *weft_bin_data(weft_term bin);
WEFT_API size_t weft_bin_size(weft_term bin);

/* The bytes with a NUL after them, to the end of the scope at least.
 * Exits: not a binary. */
WEFT_API const char *weft_text(weft_term bin);

WEFT_API bool weft_is_bin(weft_term term);

/* -- tuples -------------------------------------------------------------- */

/* weft_tuple(a, b, ...): any number of terms, none too. */
WEFT_API weft_term weft_tuple_of(const weft_term *elements, size_t n);

/* Element index, counted from 0. Exits: not a tuple; no such element. */
WEFT_API weft_term weft_tuple_at(weft_term tuple, size_t index);
WEFT_API size_t weft_tuple_size(weft_term tuple);
WEFT_API bool weft_is_tuple(weft_term term);

/* -- lists --------------------------------------------------------------- */

#define weft_empty_list (weft__special(WEFT__SPECIAL_NIL, 0))

/* weft_list(a, b, ...): a proper list of any number of terms, none too. */
WEFT_API weft_term weft_list_of(const weft_term *elements, size_t n);

/* A list whose first element is head; improper unless tail is a list. */
WEFT_API weft_term weft_cons(weft_term head, weft_term tail);

/* Exits: not a list, or an empty one. */
WEFT_API weft_term weft_head(weft_term list);
WEFT_API weft_term weft_tail(weft_term list);

/* Elements, counted in time linear in them. Exits: not a proper list. */
WEFT_API size_t weft_list_size(weft_term list);
WEFT_API weft_term weft_list_reverse(weft_term list);

static inline bool weft_is_empty_list(weft_term term)
{
    return term.bits == weft_empty_list.bits;
}
static inline bool weft_is_list(weft_term term)
{
    return (term.bits & 7) == WEFT__TAG_CELL || weft_is_empty_list(term);
}

/* Set *element to the next one and step past it; false at the end.
 * Exits: not a proper list. */
WEFT_API bool weft_list_next(weft_term *rest, weft_term *element);

/* weft_list_each (x, list) { ... }: the body once for each element; break,
 * continue and return work as in any loop. */
#define weft_list_each(element, list) WEFT__LIST_EACH(WEFT__CAT(weft__rest_, __COUNTER__), element, list)
#define WEFT__LIST_EACH(rest, element, list)                                   \
    for (weft_term rest = (list), element = weft__term(0); weft_list_next(&rest, &element);)

/* -- maps: keys differ by weft_eq ---------------------------------------- */

/* weft_map(key, value, ...): of equal keys the last one counts. n_pairs pairs
 * of key and value in turn. */
WEFT_API weft_term weft_map_of(const weft_term *keys_and_values, size_t n_pairs);

/* The value of key, or otherwise. Logarithmic. Exits: not a map, as all here. */
WEFT_API weft_term weft_map_get(weft_term map, weft_term key, weft_term otherwise);
WEFT_API bool weft_map_has(weft_term map, weft_term key);

/* A map with that key changed, added or left out; linear in its size. */
WEFT_API weft_term weft_map_put(weft_term map, weft_term key, weft_term value);
WEFT_API weft_term weft_map_delete(weft_term map, weft_term key);
WEFT_API size_t weft_map_size(weft_term map);
WEFT_API bool weft_is_map(weft_term term);

/* Pair number *at (begin with 0) in the order of keys; false past the last. */
WEFT_API bool weft_map_next(weft_term map, size_t *at, weft_term *key, weft_term *value);

/* weft_map_each (key, value, map) { ... }: in the order of keys. */
#define weft_map_each(key, value, map) WEFT__MAP_EACH(WEFT__CAT(weft__map_, __COUNTER__), key, value, map)
#define WEFT__MAP_EACH(cursor, key, value, map)                                \
    for (weft_term cursor[2] = {(map), {0}}, key = weft__term(0), value = weft__term(0); \
         weft__map_step(cursor, &key, &value);)
static inline bool weft__map_step(weft_term cursor[2], weft_term *key, weft_term *value)
{
    size_t at = (size_t)cursor[1].bits;
    bool more = weft_map_next(cursor[0], &at, key, value);

    cursor[1].bits = at;
    return more;
}

/* An option: the value of key in a list of {atom, value} tuples (the first that
 * has it counts), in a map, or otherwise. The empty list and weft_none hold no
 * option. Exits: any other term. */
WEFT_API weft_term weft_keyword(weft_term options, weft_atom key, weft_term otherwise);

/* -- raw pointers and native objects ------------------------------------- */

/* An address as a value; nothing is owned or checked. */
WEFT_API weft_term weft_pointer(const void *pointer) WEFT__NO_ACCESS(1);
WEFT_API void *weft_to_pointer(weft_term term);
WEFT_API bool weft_try_to_pointer(weft_term term, void **out);
WEFT_API bool weft_is_pointer(weft_term term);

/* What a native object is; lives as long as the program, told by its address. */
struct weft_native_type {
    const char *name;             /* printed as #name<address> */
    void (*destroy)(void *object); /* once, when the last term that holds the object
                                    * is gone; on any thread, must not call weft (an exit
                                    * in it is an error in the log); NULL: nothing to do */
};
typedef struct weft_native_type weft_native_type;

/* A term that holds object, which is counted from now on: copies of the term
 * share it, in messages, rows and kept memory alike. Wrap an object once. */
WEFT_API weft_term weft_native(const weft_native_type *type, void *object);

/* The object. Exits: not a native object, or of another type. */
WEFT_API void *weft_native_object(weft_term term, const weft_native_type *type);

/* Of that type; of any when type is NULL. */
WEFT_API bool weft_is_native(weft_term term, const weft_native_type *type);

/* -- order, equality, hash ----------------------------------------------- */

WEFT_API bool weft__eq_slow(weft_term a, weft_term b);
WEFT_API int weft__compare_slow(weft_term a, weft_term b);

/* Erlang's =:= . The same kind and value: 1 is not 1.0. 0.0 is -0.0, and NaN is
 * NaN, so that any term equals itself. */
static inline bool weft_eq(weft_term a, weft_term b)
{
    if (a.bits == b.bits)
        return true;
    /* A word that is no address has one form only. */
    if (((a.bits | b.bits) & 3) != 0)
        return false;
    return weft__eq_slow(a, b);
}

/* Erlang's order of terms: below 0, 0, above 0. Numbers by exact value (so 1
 * and 1.0 give 0, as ==, though weft_eq tells them apart; NaN comes last), then
 *
 *   number < atom < reference < pid < tuple < map < empty list < list <
 *   binary < pointer < native
 *
 * Atoms go by their bytes; tuples and maps by size first, then what they hold;
 * references, pids, pointers and native objects in an order that only this run
 * of the program keeps. */
static inline int weft_compare(weft_term a, weft_term b)
{
    if (((a.bits & b.bits) & 3) == WEFT__TAG_INT && ((a.bits | b.bits) & 3) == WEFT__TAG_INT)
        return ((int64_t)a.bits > (int64_t)b.bits) - ((int64_t)a.bits < (int64_t)b.bits);
    return weft__compare_slow(a, b);
}

/* Equal (weft_eq) terms have equal hashes; good to use bit by bit. Not the same
 * in another run. */
WEFT_API uint64_t weft_hash(weft_term term);

/* -- patterns ------------------------------------------------------------ */

/* A pattern is a term with parts that fit more than one value: these, inside
 * tuples, lists and as values of maps. Only matching takes them; a message, a
 * reply or a row with such a part is refused by name. */

/* Fits anything. */
#define weft_any (weft__special(WEFT__SPECIAL_ANY, 0))

/* Fits anything, the same value wherever n is the same; n from 1 to 65,535. */
static inline weft_term weft_var(unsigned n)
{
    return weft__special(WEFT__SPECIAL_VAR, n);
}

/* Fit a value and store it when the whole pattern fits; the term itself, an
 * integer, a number, true or false, a binary's weft_text, a pid. The same place
 * named twice fits equal values only. Values live as long as the matched term. */
static inline weft_term weft_bind(weft_term *to)
{
    return weft__special(WEFT__SPECIAL_BIND, (uintptr_t)to);
}
static inline weft_term weft_bind_int(int64_t *to)
{
    return weft__special(WEFT__SPECIAL_BIND_INT, (uintptr_t)to);
}
static inline weft_term weft_bind_float(double *to)
{
    return weft__special(WEFT__SPECIAL_BIND_FLOAT, (uintptr_t)to);
}
static inline weft_term weft_bind_bool(bool *to)
{
    return weft__special(WEFT__SPECIAL_BIND_BOOL, (uintptr_t)to);
}
static inline weft_term weft_bind_text(const char **to)
{
    return weft__special(WEFT__SPECIAL_BIND_TEXT, (uintptr_t)to);
}
static inline weft_term weft_bind_pid(weft_pid *to)
{
    return weft__special(WEFT__SPECIAL_BIND_PID, (uintptr_t)to);
}

/* bool weft_match(term, pattern): does the term fit? Plain parts fit what they
 * equal (weft_eq); a map fits when it has at least the pattern's keys, and fits
 * them. All binds happen or none. weft_none fits no pattern.
 *
 * What the second argument builds is given back when the match is done, fit or
 * not; a pattern built before, in a variable, stays and can be used again. */
typedef struct weft__pattern_mark {
    struct weft__region *region;
    char *at, *limit;
} weft__pattern_mark;
WEFT_API weft__pattern_mark weft__pattern_begin(void);
WEFT_API bool weft__match(weft_term term, weft_term pattern, const weft__pattern_mark *mark);

/* The function behind it: what the pattern was built from stays. */
WEFT_API bool weft_match_term(weft_term term, weft_term pattern);

/* -- scopes and what outlives them --------------------------------------- */

typedef struct weft_scope {
    struct weft__region *region;
    char *at, *limit;
    struct weft__block *blocks;
    struct weft__counted *counted;
    struct weft_scope *outer;
} weft_scope;

WEFT_API void weft_scope_enter(weft_scope *scope);
WEFT_API void weft_scope_leave(weft_scope *scope);
/* WEFT_SCOPE; is a declaration: terms built or received from here on are given
 * back where the block ends, by whichever way it ends. */
#define WEFT_SCOPE WEFT__SCOPE(WEFT__CAT(weft__scope_, __COUNTER__))
#define WEFT__SCOPE(name)                                                      \
    __attribute__((cleanup(weft_scope_leave))) weft_scope name;                \
    weft_scope_enter(&name)

/* Copy the term to the scope outside the innermost one, to return it from
 * there: `return weft_scope_return(t);`. Exits: there is no scope to leave;
 * a pattern part or weft_none in the term. */
WEFT_API weft_term weft_scope_return(weft_term term);

/* Copy the term into memory the process owns, until weft_drop or its end.
 * Exits: a pattern part or weft_none in the term. */
WEFT_API weft_term weft_keep(weft_term term);

/* Give back what weft_keep returned. Terms that need no memory and weft_none
 * may be dropped as well. Exits: the term was not made by weft_keep. */
WEFT_API void weft_drop(weft_term kept);

/* -- printing ------------------------------------------------------------ */

/* Bounds of what is printed. */
typedef struct weft_inspect_options {
    WEFT_OPTION(size_t, size, sizeof(weft_inspect_options)); /* of this struct; set by the macro */
    WEFT_OPTION(size_t, limit, 50);       /* elements shown of each list, tuple, map and binary of bytes */
    WEFT_OPTION(size_t, max_depth, 16);   /* collections inside collections; at most 64 */
    WEFT_OPTION(size_t, max_bytes, 4096); /* of text in all, without the NUL */
} weft_inspect_options;

/* weft_inspect(term, .limit = 5): the term as Elixir writes it, what is left out
 * as "...": text that lives to the end of the scope. Any term can be inspected,
 * pattern parts and weft_none too. Lists of small integers are printed as
 * lists, not as charlists. */
WEFT_API const char *weft_inspect_opt(weft_term term, const weft_inspect_options *options);

/* The same into buffer, cut so that it fits size bytes with its NUL. Allocates
 * nothing. Returns the bytes written, without the NUL; size 0 writes none. */
WEFT_API size_t weft_inspect_to(char *buffer, size_t size, weft_term term);

WEFT__END_C

/* -- the variadic forms --------------------------------------------------- */

#ifdef __cplusplus

template <class... Terms> inline weft_term weft_tuple(Terms... terms)
{
    const weft_term elements[sizeof...(terms) + 1] = {terms...};

    return weft_tuple_of(elements, sizeof...(terms));
}
template <class... Terms> inline weft_term weft_list(Terms... terms)
{
    const weft_term elements[sizeof...(terms) + 1] = {terms...};

    return weft_list_of(elements, sizeof...(terms));
}
template <class... Terms> inline weft_term weft_map(Terms... terms)
{
    static_assert(sizeof...(terms) % 2 == 0, "weft_map takes keys and values in turn");
    const weft_term elements[sizeof...(terms) + 1] = {terms...};

    return weft_map_of(elements, sizeof...(terms) / 2);
}

/* Braces evaluate in order: the mark is taken before the pattern is built. */
struct weft__matching {
    weft_term term;
    weft__pattern_mark mark;
    weft_term pattern;
};
inline bool weft__match_run(const weft__matching &m)
{
    return weft__match(m.term, m.pattern, &m.mark);
}
#define weft_match(term, pattern) weft__match_run(weft__matching{(term), weft__pattern_begin(), (pattern)})

#else

/* Numbered names: nested uses do not shadow each other. */
#define weft_tuple(...) WEFT__OF(weft_tuple_of, 1, WEFT__CAT(weft__of_, __COUNTER__), __VA_ARGS__)
#define weft_list(...) WEFT__OF(weft_list_of, 1, WEFT__CAT(weft__of_, __COUNTER__), __VA_ARGS__)
#define weft_map(...) WEFT__OF(weft_map_of, 2, WEFT__CAT(weft__of_, __COUNTER__), __VA_ARGS__)
#define WEFT__OF(make, each, elements, ...)                                    \
    (__extension__({                                                           \
        const weft_term elements[] = {__VA_ARGS__};                            \
        _Static_assert(sizeof elements / sizeof(weft_term) % (each) == 0,      \
                       "weft_map takes keys and values in turn");              \
        make(elements, sizeof elements / sizeof(weft_term) / (each));          \
    }))

#define weft_match(term, pattern)                                              \
    WEFT__MATCH(WEFT__CAT(weft__term_, __COUNTER__), WEFT__CAT(weft__mark_, __COUNTER__), term, pattern)
#define WEFT__MATCH(matched, mark, term, pattern)                              \
    (__extension__({                                                           \
        weft_term matched = (term);                                            \
        weft__pattern_mark mark = weft__pattern_begin();                       \
        weft__match(matched, (pattern), &mark);                                \
    }))

#endif

#define WEFT_INSPECT_DEFAULTS \
    .size = sizeof(weft_inspect_options), .limit = 50, .max_depth = 16, .max_bytes = 4096
#define weft_inspect(term, ...)                                                \
    WEFT_CALL_OPTIONS(weft_inspect_opt(                                        \
        (term), WEFT_OPTIONS(weft_inspect_options, WEFT_INSPECT_DEFAULTS, __VA_ARGS__)))

#endif

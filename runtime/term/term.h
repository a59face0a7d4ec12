/* term.h - how terms lie in memory, and the terms only the runtime makes.
 *
 * Boxed memory begins with a header word: the low byte is 0xff (no term ends
 * so), then a byte for the kind, then 48 bits of size. A list cell is two terms
 * without a header. So flat memory full of terms can be read from its start:
 * a word is either a header or a term. The deep copy rests on that (copy.c).
 *
 *   INT, FLOAT, POINTER   header, 64 bits
 *   BIN                   header (size in bytes), bytes, NUL, up to 8-aligned
 *   TUPLE                 header (elements), terms
 *   MAP                   header (pairs), key, value, ... sorted by weft__order
 *   SHARED_BIN            struct weft__counted: header (1: a NUL follows), next, buffer, data, size
 *   NATIVE                struct weft__counted: header, next, object
 *
 * Forms are canonical: an integer is boxed only beyond 62 bits, and so on. Two
 * words that are no addresses are equal terms if and only if they are the same.
 */
#ifndef WEFT_TERM_TERM_H
#define WEFT_TERM_TERM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "term/fail.h"
#include "weft/term.h"

enum weft__kind {
    WEFT__BOX_INT = 1,
    WEFT__BOX_FLOAT,
    WEFT__BOX_POINTER,
    WEFT__BOX_BIN,
    WEFT__BOX_SHARED_BIN,
    WEFT__BOX_TUPLE,
    WEFT__BOX_MAP,
    WEFT__BOX_NATIVE
};

/* What more than one term may hold: begins a buffer or a native object. */
struct weft__shared {
    _Atomic uint64_t count;                       /* terms, anywhere, that hold it */
    void (*release)(struct weft__shared *shared); /* the last one is gone */
};

/* A boxed term that holds a count. The last two fields only of binaries. */
struct weft__counted {
    uint64_t header;
    struct weft__counted *next; /* older one in the same region, or any in a block */
    struct weft__shared *shared;
    const uint8_t *data;
    size_t size;
};
#define WEFT__COUNTED_SIZE(kind)                                                \
    ((kind) == WEFT__BOX_NATIVE ? offsetof(struct weft__counted, data) : sizeof(struct weft__counted))

/* Binaries up to here stand in the term, larger ones are counted. */
#define WEFT__BIN_INLINE 256u

static inline uint64_t weft__header(enum weft__kind kind, uint64_t size)
{
    return size << 16 | (uint64_t)kind << 8 | 0xff;
}
static inline unsigned weft__header_kind(uint64_t header) { return header >> 8 & 0xff; }
static inline size_t weft__header_size(uint64_t header) { return (size_t)(header >> 16); }
static inline bool weft__is_header(uint64_t word) { return (word & 0xff) == 0xff; }

/* -- looking at words ------------------------------------------------------ */

static inline bool weft__is_boxed(weft_term term)
{
    return (term.bits & 7) == 0 && term.bits != 0;
}
static inline bool weft__is_cell(weft_term term) { return (term.bits & 7) == WEFT__TAG_CELL; }

/* An address of either sort; weft_none is not. */
static inline bool weft__is_memory(weft_term term) { return (term.bits & 3) == 0 && term.bits != 0; }
static inline bool weft__is_special(weft_term term) { return (term.bits & 15) == WEFT__TAG_SPECIAL; }
static inline unsigned weft__special_kind(weft_term term) { return term.bits >> 4 & 15; }
static inline uint64_t weft__special_payload(weft_term term) { return term.bits >> 8; }
static inline bool weft__is_pattern_part(weft_term term)
{
    return weft__is_special(term) && weft__special_kind(term) != WEFT__SPECIAL_NIL;
}

#ifdef WEFT_DEBUG
void weft__check_header(weft_term term); /* fails: this term was released */
#else
static inline void weft__check_header(weft_term term) { (void)term; }
#endif

/* The boxed memory, header first. Only of a term that is_boxed. */
static inline uint64_t *weft__box(weft_term term)
{
    weft__check_header(term);
    return (uint64_t *)(uintptr_t)term.bits;
}
static inline unsigned weft__box_kind(weft_term term)
{
    return weft__is_boxed(term) ? weft__header_kind(*weft__box(term)) : 0;
}
static inline bool weft__is_tuple(weft_term term) { return weft__box_kind(term) == WEFT__BOX_TUPLE; }
static inline bool weft__is_map(weft_term term) { return weft__box_kind(term) == WEFT__BOX_MAP; }
static inline size_t weft__box_size(weft_term term) { return weft__header_size(*weft__box(term)); }
static inline weft_term *weft__box_terms(weft_term term) { return (weft_term *)(weft__box(term) + 1); }
static inline weft_term *weft__cell(weft_term term)
{
    return (weft_term *)(uintptr_t)(term.bits - WEFT__TAG_CELL);
}
static inline weft_term weft__boxed(const void *box) { return weft__term((uintptr_t)box); }

static inline double weft__box_float(weft_term term)
{
    double value;

    memcpy(&value, weft__box(term) + 1, sizeof value);
    return value;
}
static inline int64_t weft__int_value(weft_term term) /* of a term that is_int */
{
    return (term.bits & 3) == WEFT__TAG_INT ? (int64_t)term.bits >> 2 : (int64_t)weft__box(term)[1];
}

/* Bytes of boxed memory with that header, a multiple of 8. */
static inline size_t weft__box_bytes(uint64_t header)
{
    size_t size = weft__header_size(header);
    unsigned kind = weft__header_kind(header);

    if (kind == WEFT__BOX_TUPLE)
        return 8 + size * 8;
    if (kind == WEFT__BOX_BIN)
        return 8 + ((size + 8) & ~(size_t)7);
    if (kind == WEFT__BOX_MAP)
        return 8 + size * 16;
    if (kind == WEFT__BOX_SHARED_BIN || kind == WEFT__BOX_NATIVE)
        return WEFT__COUNTED_SIZE(kind);
    return 16;
}

/* Bytes of a binary; false when the term is none. Good while the term lives. */
bool weft__bin_bytes(weft_term term, const uint8_t **data, size_t *size);

/* -- pids and references ----------------------------------------------------- */

#define WEFT__SLOT_BITS 25
#define WEFT__SERIAL_BITS 35
#define WEFT__COUNTER_BITS 37

static inline weft_pid weft__pid_make(uint32_t slot, uint64_t serial)
{
    return weft__term((uint64_t)slot << 39 | (serial & ((UINT64_C(1) << WEFT__SERIAL_BITS) - 1)) << 4 |
                      WEFT__TAG_PID);
}
static inline uint32_t weft__pid_slot(weft_pid pid) { return (uint32_t)(pid.bits >> 39); }
static inline uint64_t weft__pid_serial(weft_pid pid)
{
    return pid.bits >> 4 & ((UINT64_C(1) << WEFT__SERIAL_BITS) - 1);
}

static inline weft_ref weft__ref_make(uint32_t slot, uint64_t counter)
{
    return weft__term((uint64_t)slot << 39 |
                      (counter & ((UINT64_C(1) << WEFT__COUNTER_BITS) - 1)) << 2 | WEFT__TAG_REF);
}
static inline uint32_t weft__ref_slot(weft_ref ref) { return (uint32_t)(ref.bits >> 39); }
static inline uint64_t weft__ref_counter(weft_ref ref)
{
    return ref.bits >> 2 & ((UINT64_C(1) << WEFT__COUNTER_BITS) - 1);
}

/* -- counts ------------------------------------------------------------------ */

static inline void weft__shared_hold(struct weft__shared *shared)
{
    /* Relaxed: who copies a count holds one, so the object cannot go meanwhile. */
    atomic_fetch_add_explicit(&shared->count, 1, memory_order_relaxed);
}
void weft__shared_drop(struct weft__shared *shared);
/* The same of n, above 0, at once. */
void weft__shared_drop_many(struct weft__shared *shared, uint64_t n);

/* Give back the counts from `from` down to, not with, `until`. */
void weft__counted_release(struct weft__counted *from, struct weft__counted *until);

/* Of a native object's term. */
const weft_native_type *weft__native_type(weft_term term);
void *weft__native_address(weft_term term);
/* Calls its type's destroy, so that it returns whatever that does; set by who knows of
 * exits (proc/catch.c) before there is any object. */
extern void (*weft__native_destroy)(const weft_native_type *type, void *object);

/* -- order ------------------------------------------------------------------- */

/* A total order that is 0 only for terms that weft_eq, as maps keep their keys:
 * weft_compare's, but any integer comes before any float. */
int weft__order(weft_term a, weft_term b);

/* Position of key in a sorted map: true and its pair, or false and where it
 * would stand. */
bool weft__map_find(weft_term map, weft_term key, size_t *at);

#endif

/* term_gen.h - seeded random terms for tests of properties. */
#ifndef WEFT_TESTS_TERM_GEN_H
#define WEFT_TESTS_TERM_GEN_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "term/term.h"
#include "weft/term.h"

struct gen {
    uint64_t state;
};

static inline struct gen gen_seeded(uint64_t salt)
{
    const char *seed = getenv("WEFT_SEED");

    return (struct gen){
        (seed ? strtoull(seed, NULL, 0) : 1) * UINT64_C(0x9e3779b97f4a7c15) + salt};
}

static inline uint64_t gen_next(struct gen *gen)
{
    uint64_t z = gen->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline unsigned gen_below(struct gen *gen, unsigned n)
{
    return (unsigned)(gen_next(gen) % n);
}

/* Few values of each kind, so that equal ones meet; the awkward ones too. */
static inline weft_term gen_leaf(struct gen *gen)
{
    static const int64_t ints[] = {0,
                                   1,
                                   -1,
                                   7,
                                   INT64_MAX,
                                   INT64_MIN,
                                   (int64_t)1 << 53,
                                   ((int64_t)1 << 53) + 1,
                                   (int64_t)1 << 61,
                                   -((int64_t)1 << 61),
                                   -((int64_t)1 << 61) - 1};
    static const double floats[] = {0.0,    -0.0,   1.0,     -1.0,     7.5,       0x1p53,
                                    0x1p61, 0x1p63, -0x1p63, HUGE_VAL, -HUGE_VAL, NAN};
    static const char bytes[700] = "abcabd";

    switch (gen_below(gen, 10)) {
    case 0:
    case 1:
        return weft_int(ints[gen_below(gen, sizeof ints / sizeof *ints)]);
    case 2:
    case 3:
        return weft_float(floats[gen_below(gen, sizeof floats / sizeof *floats)]);
    case 4:
        switch (gen_below(gen, 4)) {
        case 0:
            return WEFT_ATOM("a");
        case 1:
            return WEFT_ATOM("ab");
        case 2:
            return WEFT_ATOM("ok");
        default:
            return weft_bool(false);
        }
    case 5:
        return weft__pid_make(gen_below(gen, 2), gen_below(gen, 3));
    case 6:
        return weft__ref_make(gen_below(gen, 2), gen_below(gen, 3));
    case 7:
        return weft_bin(bytes + gen_below(gen, 4), gen_below(gen, 3));
    case 8:
        return weft_bin(bytes, 300 + gen_below(gen, 2));
    default:
        return gen_below(gen, 2)
                   ? weft_empty_list
                   : weft_pointer(
                         (void *)(uintptr_t)(gen_below(gen, 2) ? 8 : UINT64_C(1) << 62));
    }
}

static inline weft_term gen_term(struct gen *gen, unsigned depth)
{
    weft_term parts[8];
    unsigned n = gen_below(gen, 4), kind = gen_below(gen, 6);

    if (depth == 0 || kind < 2)
        return gen_leaf(gen);
    for (unsigned i = 0; i < 2 * n; i++)
        parts[i] = gen_term(gen, depth - 1);
    switch (kind) {
    case 2:
        return weft_tuple_of(parts, n);
    case 3:
        return weft_list_of(parts, n);
    case 4:
        return weft_map_of(parts, n);
    default:
        return weft_cons(gen_term(gen, depth - 1), gen_term(gen, depth - 1));
    }
}

#endif

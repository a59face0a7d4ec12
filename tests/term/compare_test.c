#include "weft/term.h"

#include <math.h>

#include "tap.h"
#include "term/region.h"
#include "term_gen.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

TEST(kinds_come_in_erlangs_order)
{
    static const weft_native_type type = {.name = "T"};
    weft_term terms[] = {
        weft_int(5),
        WEFT_ATOM("a"),
        weft__ref_make(1, 1),
        weft__pid_make(1, 1),
        weft_tuple(),
        weft_map(),
        weft_empty_list,
        weft_list(weft_int(1)),
        weft_str(""),
        weft_pointer(terms),
        weft_native(&type, terms),
    };

    for (int i = 0; i < 11; i++)
        for (int j = 0; j < 11; j++)
            check_int(sign(weft_compare(terms[i], terms[j])), sign(i - j));
}

TEST(numbers_compare_by_exact_value)
{
    check_int(weft_compare(weft_int(1), weft_float(1.0)), 0);
    check(!weft_eq(weft_int(1), weft_float(1.0)));
    check_lt(weft_compare(weft_int(1), weft_float(1.5)), 0);
    check_gt(weft_compare(weft_int(-1), weft_float(-1.5)), 0);
    check_lt(weft_compare(weft_float(-1.5), weft_int(-1)), 0);
    check_gt(weft_compare(weft_int(((int64_t)1 << 53) + 1), weft_float(0x1p53)), 0);
    check_lt(weft_compare(weft_int(INT64_MAX), weft_float(0x1p63)), 0);
    check_int(weft_compare(weft_int(INT64_MIN), weft_float(-0x1p63)), 0);
    check_gt(weft_compare(weft_int(INT64_MIN), weft_float(-HUGE_VAL)), 0);
    check_lt(weft_compare(weft_float(HUGE_VAL), weft_float(NAN)), 0);
    check_gt(weft_compare(weft_float(NAN), weft_int(INT64_MAX)), 0);
}

TEST(zeros_and_nans_equal_themselves)
{
    check(weft_eq(weft_float(0.0), weft_float(-0.0)));
    check_uint(weft_hash(weft_float(0.0)), weft_hash(weft_float(-0.0)));
    check(weft_eq(weft_float(NAN), weft_float(-NAN)));
    check_uint(weft_hash(weft_float(NAN)), weft_hash(weft_float(-NAN)));
}

TEST(integers_compare_across_all_sizes)
{
    static const int64_t values[] = {
        INT64_MIN, -((int64_t)1 << 61) - 1, -((int64_t)1 << 61), -1,       0,
        1,         ((int64_t)1 << 61) - 1,  (int64_t)1 << 61,    INT64_MAX};

    for (int i = 0; i < 9; i++)
        for (int j = 0; j < 9; j++) {
            check_int(sign(weft_compare(weft_int(values[i]), weft_int(values[j]))),
                      sign(i - j));
            check_int(weft_eq(weft_int(values[i]), weft_int(values[j])), i == j);
        }
}

TEST(tuples_and_maps_go_by_size_first_lists_by_elements)
{
    weft_term one = weft_int(1), two = weft_int(2), nine = weft_int(9);

    check_lt(weft_compare(weft_tuple(nine), weft_tuple(one, two)), 0);
    check_lt(weft_compare(weft_tuple(one, two), weft_tuple(one, nine)), 0);
    check_lt(weft_compare(weft_list(one, two), weft_list(nine)), 0);
    check_lt(weft_compare(weft_list(one), weft_list(one, two)), 0);
    check_lt(weft_compare(weft_map(nine, nine), weft_map(one, one, two, two)), 0);
    /* keys before values; an integer key before any float key */
    check_lt(weft_compare(weft_map(one, nine), weft_map(two, one)), 0);
    check_lt(weft_compare(weft_map(one, one, two, nine), weft_map(one, two, two, one)), 0);
    check_lt(weft_compare(weft_map(two, one), weft_map(weft_float(1.0), one)), 0);
    check_int(weft_compare(weft_map(one, one), weft_map(one, weft_float(1.0))), 0);
    /* elements by value, as == */
    check_int(weft_compare(weft_tuple(one, weft_list(two)),
                           weft_tuple(weft_float(1), weft_list(weft_float(2)))),
              0);
}

TEST(atoms_and_binaries_go_by_bytes)
{
    check_lt(weft_compare(WEFT_ATOM("zz1"), WEFT_ATOM("zz2")), 0);
    check_lt(weft_compare(WEFT_ATOM("zz"), WEFT_ATOM("zz1")), 0);
    check_gt(weft_compare(WEFT_ATOM("b"), WEFT_ATOM("ab")), 0);
    check_lt(weft_compare(weft_str("ab"), weft_str("b")), 0);
    check_lt(weft_compare(weft_str("a"), weft_str("ab")), 0);
    check_lt(weft_compare(weft_str("a"), weft_str("\xff")), 0);
}

TEST(order_equality_and_hash_agree_on_random_terms)
{
    struct gen gen = gen_seeded(2);
    int n_equal = 0, n_wrong = 0;

    for (int round = 0; round < 3000; round++) {
        WEFT_SCOPE;
        weft_term terms[12];

        for (int i = 0; i < 12; i++)
            terms[i] = gen_term(&gen, gen_below(&gen, 4));
        for (int i = 0; i < 12; i++)
            for (int j = 0; j < 12; j++) {
                bool equal = weft_eq(terms[i], terms[j]);

                n_equal += equal && i != j;
                n_wrong += equal != (weft__order(terms[i], terms[j]) == 0);
                n_wrong += equal && weft_compare(terms[i], terms[j]) != 0;
                n_wrong += equal && weft_hash(terms[i]) != weft_hash(terms[j]);
                n_wrong += sign(weft_compare(terms[i], terms[j])) !=
                           -sign(weft_compare(terms[j], terms[i]));
                n_wrong += sign(weft__order(terms[i], terms[j])) !=
                           -sign(weft__order(terms[j], terms[i]));
            }
    }
    check_int(n_wrong, 0);
    check_gt(n_equal, 1000);
}

TEST(both_orders_are_transitive_on_random_terms)
{
    struct gen gen = gen_seeded(3);
    int n_wrong = 0;

    for (int round = 0; round < 30000; round++) {
        WEFT_SCOPE;
        weft_term a = gen_term(&gen, 2), b = gen_term(&gen, 2), c = gen_term(&gen, 2);

        n_wrong +=
            weft_compare(a, b) <= 0 && weft_compare(b, c) <= 0 && weft_compare(a, c) > 0;
        n_wrong +=
            weft__order(a, b) <= 0 && weft__order(b, c) <= 0 && weft__order(a, c) > 0;
    }
    check_int(n_wrong, 0);
}

TEST(hashes_of_small_keys_spread_in_their_low_bits)
{
    int buckets[1024] = {0}, most = 0;

    for (int i = 0; i < 8192; i++) {
        int n = ++buckets[weft_hash(weft_int(i)) & 1023];

        most = n > most ? n : most;
    }
    check_lt(most, 32);
}

TEST(compare_and_hash_take_any_length_and_depth)
{
    weft_term a = weft_empty_list, b = weft_empty_list, deep = weft_int(1),
              deeper = weft_int(1);

    for (int i = 0; i < 1000000; i++) {
        a = weft_cons(weft_int(i), a);
        b = weft_cons(weft_int(i), b);
    }
    for (int i = 0; i < 100000; i++) {
        deep = weft_tuple(weft_int(1), deep, weft_int(2));
        deeper = weft_list(deeper, weft_int(2));
    }
    check(weft_eq(a, b));
    check_uint(weft_hash(a), weft_hash(b));
    check_int(weft_compare(deep, deep), 0);
    check(!weft_eq(deep, weft_tuple(weft_int(1), deep, weft_int(2))));
    check_ne(weft_hash(deep), weft_hash(deeper));
}

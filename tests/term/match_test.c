#include "term/match.h"

#include "base/here.h"

#include "tap.h"
#include "term/region.h"
#include "term_gen.h"

#define A(name) WEFT_ATOM(#name)

TEST(plain_patterns_fit_what_they_equal)
{
    struct gen gen = gen_seeded(5);
    int n_wrong = 0, n_fit = 0;

    for (int round = 0; round < 20000; round++) {
        WEFT_SCOPE;
        struct gen same = gen;
        weft_term term = gen_term(&gen, 3), pattern = gen_term(round % 3 ? &gen : &same, 3);
        bool fits = weft_match_term(term, pattern);

        n_fit += fits;
        /* Maps fit by part of their keys. */
        n_wrong += weft_eq(term, pattern) && !fits;
        n_wrong += fits && !weft_eq(term, pattern) && !strstr(weft_inspect(pattern), "%{");
    }
    check_int(n_wrong, 0);
    check_gt(n_fit, 5000);
}

TEST(a_match_binds_parts)
{
    weft_term message = weft_tuple(A(ping), weft__pid_make(3, 4), weft_int(7)), key;
    weft_pid from;
    int64_t n;

    check(
        weft_match(message, weft_tuple(A(ping), weft_bind_pid(&from), weft_bind_int(&n))));
    check(weft_eq(from, weft__pid_make(3, 4)));
    check_int(n, 7);
    check(weft_match(message, weft_bind(&key)));
    check(weft_eq(key, message));
    check(weft_match(message, weft_tuple(weft_any, weft_any, weft_any)));
    check(!weft_match(message, weft_tuple(weft_any, weft_any)));
}

TEST(nothing_is_bound_unless_all_of_it_fits)
{
    weft_term first = A(untouched);
    int64_t n = -1;

    check(!weft_match(weft_tuple(weft_int(1), weft_int(2), A(c)),
                      weft_tuple(weft_bind(&first), weft_bind_int(&n), A(d))));
    check(weft_eq(first, A(untouched)));
    check_int(n, -1);
    check(!weft_match(weft_tuple(weft_int(1), A(b)),
                      weft_tuple(weft_bind(&first), weft_bind_int(&n))));
    check(weft_eq(first, A(untouched)));
}

TEST(each_bind_fits_its_kind)
{
    int64_t i;
    double d;
    bool b;
    const char *text;
    weft_pid pid;

    check(weft_match(weft_int(INT64_MIN), weft_bind_int(&i)) && i == INT64_MIN);
    check(!weft_match(weft_float(1), weft_bind_int(&i)));
    check(weft_match(weft_float(2.5), weft_bind_float(&d)) && d == 2.5);
    check(weft_match(weft_int(2), weft_bind_float(&d)) && d == 2.0);
    check(!weft_match(A(a), weft_bind_float(&d)));
    check(weft_match(weft_bool(true), weft_bind_bool(&b)) && b);
    check(!weft_match(A(nil), weft_bind_bool(&b)));
    check(weft_match(weft_str("hi"), weft_bind_text(&text)));
    check_str(text, "hi");
    check(!weft_match(A(hi), weft_bind_text(&text)));
    check(!weft_match(weft_int(1), weft_bind_pid(&pid)));
}

TEST(a_bound_text_of_a_slice_outlives_the_pattern)
{
    static char data[600];
    const char *text, *other;
    weft_term slice;

    memset(data, 'q', sizeof data);
    slice = weft_bin_slice(weft_bin(data, sizeof data), 1, 300);
    check(weft_match(weft_tuple(slice, slice),
                     weft_tuple(weft_bind_text(&text), weft_bind_text(&other))));
    (void)weft_tuple(weft_int(1), weft_int(2), weft_int(3), weft_int(4));
    check_uint(strlen(text), 300);
    check_uint(strlen(other), 300);
}

TEST(a_variable_is_the_same_everywhere)
{
    weft_term x;

    check(weft_match(weft_tuple(weft_int(1), weft_int(1)),
                     weft_tuple(weft_var(1), weft_var(1))));
    check(!weft_match(weft_tuple(weft_int(1), weft_float(1)),
                      weft_tuple(weft_var(1), weft_var(1))));
    check(weft_match(weft_tuple(weft_int(1), weft_int(2)),
                     weft_tuple(weft_var(1), weft_var(2))));
    check(weft_match(weft_tuple(weft_str("a"), weft_list(weft_str("a"))),
                     weft_tuple(weft_var(9), weft_list(weft_var(9)))));
    check(weft_match(weft_tuple(weft_int(1), weft_int(1)),
                     weft_tuple(weft_bind(&x), weft_bind(&x))));
    check(!weft_match(weft_tuple(weft_int(1), weft_int(2)),
                      weft_tuple(weft_bind(&x), weft_bind(&x))));
}

TEST(more_binds_than_the_log_has_room_for)
{
    weft_term terms[100], parts[100], bound[100];

    for (int i = 0; i < 100; i++) {
        terms[i] = weft_int(i);
        parts[i] = weft_bind(&bound[i]);
    }
    check(weft_match_term(weft_tuple_of(terms, 100), weft_tuple_of(parts, 100)));
    for (int i = 0; i < 100; i++)
        check_int(weft_to_int(bound[i]), i);
}

TEST(a_map_pattern_fits_by_its_own_keys)
{
    weft_term map =
        weft_map(A(a), weft_int(1), A(b), weft_tuple(weft_int(2), weft_int(3)), A(c), A(d));
    int64_t n;

    check(weft_match(map, weft_map(A(b), weft_tuple(weft_any, weft_bind_int(&n)))));
    check_int(n, 3);
    check(weft_match(map, weft_map()));
    check(!weft_match(map, weft_map(A(x), weft_any)));
    check(!weft_match(map, weft_map(A(a), weft_int(2))));
    check(!weft_match(weft_empty_list, weft_map()));
}

TEST(lists_match_by_head_and_tail)
{
    weft_term list = weft_list(weft_int(1), weft_int(2), weft_int(3)), head, tail;

    check(weft_match(list, weft_cons(weft_bind(&head), weft_bind(&tail))));
    check_str(weft_inspect(weft_tuple(head, tail)), "{1, [2, 3]}");
    check(weft_match(list, weft_list(weft_any, weft_int(2), weft_any)));
    check(!weft_match(list, weft_list(weft_any, weft_any)));
    check(!weft_match(list, weft_list(weft_any, weft_any, weft_any, weft_any)));
    check(!weft_match(weft_empty_list, weft_cons(weft_any, weft_any)));
    check(weft_match(weft_empty_list, weft_list()));
}

TEST(weft_none_fits_nothing)
{
    weft_term x = A(untouched);

    check(!weft_match(weft_none, weft_any));
    check(!weft_match(weft_none, weft_bind(&x)));
    check(!weft_match(weft_none, weft_none));
    check(!weft_match(weft_none, weft_tuple(weft_any)));
    check(weft_eq(x, A(untouched)));
}

TEST(a_match_gives_the_patterns_memory_back)
{
    struct weft__region *region = weft__region_here();
    weft_term term = weft_tuple(A(put), weft_int(1), weft_int(2)), x;
    char *at = region->at;

    for (int i = 0; i < 100000; i++) {
        weft_match(term, weft_tuple(A(put), weft_bind(&x),
                                    weft_tuple(weft_int(2), weft_float(2))));
        weft_match(term, weft_tuple(A(put), weft_bind(&x), weft_int(2)));
    }
    check_ptr(region->at, at);
}

TEST(a_pattern_at_the_end_of_a_chunk_is_given_back_too)
{
    struct weft__region region, *old = weft__region_here();

    weft__region_init(&region);
    weft__here()->region = &region;
    {
        weft_term term = weft_tuple(weft_int(1), weft_int(2));
        struct weft__block *blocks;

        while ((size_t)(region.limit - region.at) >= 24)
            weft_tuple(weft_int(1));
        weft_match(term, weft_tuple(weft_any, weft_any, weft_any, weft_any));
        blocks = region.blocks;
        for (int i = 0; i < 10000; i++)
            weft_match(term, weft_tuple(weft_any, weft_any, weft_any, weft_any));
        check_ptr(region.blocks, blocks);
    }
    weft__region_destroy(&region);
    weft__here()->region = old;
}

static int n_released;
static void count_release(void *data, void *arg)
{
    (void)data, (void)arg;
    n_released++;
}

TEST(counted_terms_of_a_pattern_are_released_with_it)
{
    static char data[500];
    weft_term term = weft_tuple(weft_bin(data, sizeof data), weft_int(1));

    check(weft_match(
        term, weft_tuple(weft_bin_wrap(data, sizeof data, count_release, NULL), weft_any)));
    check_int(n_released, 1);
    check(!weft_match(term,
                      weft_tuple(weft_bin_wrap(data, 400, count_release, NULL), weft_any)));
    check_int(n_released, 2);
}

TEST(a_pattern_in_a_variable_can_be_used_again)
{
    weft_term x, pattern = weft_tuple(A(put), weft_bind(&x));

    for (int i = 0; i < 10; i++) {
        check(weft_match(weft_tuple(A(put), weft_int(i)), pattern));
        check_int(weft_to_int(x), i);
    }
}

TEST(variables_are_reported_by_number)
{
    weft_term vars[3] = {weft_none, weft_none, weft_none};
    weft_term row = weft_tuple(weft_int(1), weft_int(2), weft_int(3));

    check(weft__match_vars(row, weft_tuple(weft_var(2), weft_any, weft_var(1)), vars, 3));
    check_int(weft_to_int(vars[0]), 3);
    check_int(weft_to_int(vars[1]), 1);
    check(weft_is_none(vars[2]));
    check(weft__match_fits(row, weft_tuple(weft_var(65535), weft_var(7), weft_any)));
}

TEST(pattern_parts_are_found_at_any_depth)
{
    check(weft__has_pattern_part(weft_any));
    check(weft__has_pattern_part(
        weft_list(weft_int(1), weft_map(weft_int(1), weft_tuple(weft_var(1))))));
    check(!weft__has_pattern_part(
        weft_list(weft_int(1), weft_map(weft_int(1), weft_tuple(weft_str("a"))))));
}

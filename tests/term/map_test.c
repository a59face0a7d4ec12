#include "weft/term.h"

#include "tap.h"
#include "term_gen.h"

TEST(a_map_finds_what_was_put_in)
{
    weft_term map = weft_map(WEFT_ATOM("a"), weft_int(1), weft_int(1), weft_int(2),
                             weft_str("a"), weft_int(3));

    check_uint(weft_map_size(map), 3);
    check_int(weft_to_int(weft_map_get(map, WEFT_ATOM("a"), weft_none)), 1);
    check_int(weft_to_int(weft_map_get(map, weft_int(1), weft_none)), 2);
    check_int(weft_to_int(weft_map_get(map, weft_str("a"), weft_none)), 3);
    check(weft_is_none(weft_map_get(map, weft_float(1), weft_none)));
    check(weft_map_has(map, weft_int(1)) && !weft_map_has(map, weft_int(2)));
    check_uint(weft_map_size(weft_map()), 0);
}

TEST(of_equal_keys_the_last_one_counts)
{
    weft_term pairs[200];
    weft_term map = weft_map(weft_int(1), weft_int(10), weft_int(1), weft_int(11),
                             weft_int(1), weft_int(12));

    check_uint(weft_map_size(map), 1);
    check_int(weft_to_int(weft_map_get(map, weft_int(1), weft_none)), 12);
    for (int i = 0; i < 100; i++) {
        pairs[2 * i] = weft_int(i % 30);
        pairs[2 * i + 1] = weft_int(i);
    }
    map = weft_map_of(pairs, 100);
    check_uint(weft_map_size(map), 30);
    for (int i = 0; i < 30; i++)
        check_int(weft_to_int(weft_map_get(map, weft_int(i), weft_none)),
                  i < 10 ? 90 + i : 60 + i);
}

TEST(putting_and_deleting_make_new_maps)
{
    weft_term one = weft_map(weft_int(1), weft_int(10));
    weft_term two = weft_map_put(one, weft_int(2), weft_int(20));
    weft_term changed = weft_map_put(two, weft_int(1), weft_int(11));

    check_uint(weft_map_size(one), 1);
    check_str(weft_inspect(two), "%{1 => 10, 2 => 20}");
    check_str(weft_inspect(changed), "%{1 => 11, 2 => 20}");
    check_str(weft_inspect(weft_map_delete(changed, weft_int(1))), "%{2 => 20}");
    check(weft_eq(weft_map_delete(two, weft_int(9)), two));
    check(weft_eq(weft_map_delete(two, weft_int(2)), one));
}

TEST(maps_are_equal_in_whatever_order_they_were_made)
{
    struct gen gen = gen_seeded(1);

    for (int round = 0; round < 500; round++) {
        WEFT_SCOPE;
        weft_term keys[40], forward = weft_map(), backward = weft_map();
        unsigned n = gen_below(&gen, 40);

        for (unsigned i = 0; i < n; i++)
            keys[i] = gen_term(&gen, 2);
        for (unsigned i = 0; i < n; i++)
            forward = weft_map_put(forward, keys[i], weft_int(1));
        for (unsigned i = n; i-- > 0;)
            backward = weft_map_put(backward, keys[i], weft_int(1));
        check(weft_eq(forward, backward));
        check_uint(weft_hash(forward), weft_hash(backward));
        for (unsigned i = 0; i < n; i++)
            check(weft_map_has(forward, keys[i]));
        for (unsigned i = 0; i < n; i++)
            forward = weft_map_delete(forward, keys[i]);
        check_uint(weft_map_size(forward), 0);
    }
}

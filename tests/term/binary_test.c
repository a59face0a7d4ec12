/* Binaries and native objects: what is copied, what is counted, when it goes. */
#include "weft/term.h"

#include <stdlib.h>

#include "tap.h"
#include "term/region.h"
#include "term/term.h"

static int n_released;

static void count_release(void *data, void *arg)
{
    (void)data;
    ++*(int *)arg;
}

static void count_destroy(void *object)
{
    (void)object;
    n_released++;
}

static const weft_native_type counted_type = {.name = "Counted", .destroy = count_destroy};
static const weft_native_type other_type = {.name = "Other"};

TEST(binaries_of_all_sizes_come_back_with_a_nul)
{
    static char data[1000];

    memset(data, 'x', sizeof data);
    for (size_t size = 0; size < sizeof data; size += size < 300 ? 1 : 97) {
        weft_term bin = weft_bin(data, size);

        check(weft_is_bin(bin));
        check_uint(weft_bin_size(bin), size);
        check(memcmp(weft_bin_data(bin), data, size) == 0);
        check_uint(strlen(weft_text(bin)), size);
        check_ptr(weft_text(bin), weft_bin_data(bin));
    }
}

TEST(a_binary_may_hold_nul_bytes)
{
    weft_term bin = weft_bin("a\0b", 3);

    check_uint(weft_bin_size(bin), 3);
    check_mem(weft_bin_data(bin), "a\0b", 3);
    check(!weft_eq(bin, weft_str("a")));
}

TEST(a_slice_of_a_large_binary_shares_its_bytes)
{
    static char data[1000] = "0123456789";
    weft_term bin = weft_bin(data, sizeof data), slice = weft_bin_slice(bin, 5, 500);

    check_ptr(weft_bin_data(slice), (const char *)weft_bin_data(bin) + 5);
    check_uint(weft_bin_size(slice), 500);
    check(weft_bin_data(weft_bin_slice(slice, 1, 400)) ==
          (const char *)weft_bin_data(bin) + 6);
    check_uint(weft_bin_size(weft_bin_slice(bin, 1000, 0)), 0);
}

TEST(a_slice_has_a_text_that_ends_where_it_ends)
{
    char data[400];
    weft_term slice;

    memset(data, 'y', sizeof data);
    slice = weft_bin_slice(weft_bin(data, sizeof data), 10, 300);
    check_uint(strlen(weft_text(slice)), 300);
    check_uint(strlen(weft_text(weft_bin_slice(weft_bin(data, sizeof data), 100, 300))),
               300);
    check_str(weft_text(weft_bin_slice(weft_str("hello"), 1, 3)), "ell");
}

TEST(wrapped_memory_is_released_once_when_its_scope_ends)
{
    static const char data[] = "somebody else's";
    int n = 0;

    {
        WEFT_SCOPE;
        weft_term bin = weft_bin_wrap(data, sizeof data - 1, count_release, &n);
        weft_term slice = weft_bin_slice(bin, 0, 10);

        check_ptr(weft_bin_data(bin), data);
        check_str(weft_text(bin), data);
        check_str(weft_text(slice), "somebody e");
        check_int(n, 0);
    }
    check_int(n, 1);
}

TEST(wrapped_memory_may_be_empty_or_never_freed)
{
    weft_term empty = weft_bin_wrap(NULL, 0, NULL, NULL);

    check(weft_eq(empty, weft_str("")));
    check_uint(weft_hash(empty), weft_hash(weft_str("")));
    check_str(weft_text(empty), "");
}

TEST(equal_bytes_are_equal_however_they_are_held)
{
    char data[600];
    weft_term large, wrapped, slice;

    memset(data, 'z', sizeof data);
    large = weft_bin(data, 300);
    wrapped = weft_bin_wrap(data, 300, NULL, NULL);
    slice = weft_bin_slice(weft_bin(data, 600), 100, 300);
    check(weft_eq(large, wrapped) && weft_eq(slice, wrapped));
    check_uint(weft_hash(large), weft_hash(wrapped));
    check_uint(weft_hash(large), weft_hash(slice));
    check(weft_eq(weft_bin_wrap(data, 5, NULL, NULL), weft_str("zzzzz")));
}

TEST(a_native_object_goes_with_the_last_term_that_holds_it)
{
    weft_term kept;
    int object;

    {
        WEFT_SCOPE;
        weft_term native = weft_native(&counted_type, &object);

        check_ptr(weft_native_object(native, &counted_type), &object);
        kept = weft_keep(weft_tuple(native, native));
    }
    check_int(n_released, 0);
    check_ptr(weft_native_object(weft_tuple_at(kept, 1), &counted_type), &object);
    weft_drop(kept);
    check_int(n_released, 1);
}

TEST(a_native_object_has_one_type)
{
    int object;
    weft_term native = weft_native(&counted_type, &object);

    check(weft_is_native(native, &counted_type) && weft_is_native(native, NULL));
    check(!weft_is_native(native, &other_type) && !weft_is_native(weft_int(1), NULL));
}

TEST(native_terms_are_equal_when_they_hold_one_object)
{
    int object;
    weft_term native = weft_native(&counted_type, &object), copy = weft_keep(native);

    check(weft_eq(native, copy));
    check_uint(weft_hash(native), weft_hash(copy));
    check(!weft_eq(native, weft_native(&other_type, &object)));
    weft_drop(copy);
}

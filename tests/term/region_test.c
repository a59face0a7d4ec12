/* Regions, scopes, kept terms. */
#include "term/region.h"

#include <string.h>

#include "base/here.h"
#include "tap.h"
#include "term/copy.h"
#include "term/keep.h"
#include "term/term.h"
#include "term_gen.h"

static int n_released;

static void count_release(void *data, void *arg)
{
    (void)data, (void)arg;
    n_released++;
}

static weft_term counted_bin(void)
{
    static const char data[] = "counted";

    return weft_bin_wrap(data, 7, count_release, NULL);
}

/* A fresh region for the test, as a process would have. */
static struct weft__region *fresh(struct weft__region *region)
{
    weft__region_init(region);
    weft__here()->region = region;
    return region;
}

TEST(a_region_takes_no_memory_before_it_is_used)
{
    struct weft__region region;

    fresh(&region);
    {
        WEFT_SCOPE;
        (void)weft_tuple_size;
        check_ptr(region.blocks, NULL);
    }
    check_ptr(region.blocks, NULL);
    (void)weft_tuple(weft_int(1));
    check(region.blocks != NULL);
    weft__region_destroy(&region);
    check_ptr(region.blocks, NULL);
}

TEST(a_scope_gives_back_what_was_built_in_it)
{
    struct weft__region region;
    weft_term outside;
    char *at;

    fresh(&region);
    outside = weft_tuple(weft_int(1));
    at = region.at;
    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;
        for (int j = 0; j < i; j++)
            (void)weft_tuple(weft_int(1), weft_int(2), weft_int(3));
    }
    check_ptr(region.at, at);
    check_ptr(region.blocks->next, NULL);
    check_int(weft_to_int(weft_tuple_at(outside, 0)), 1);
    weft__region_destroy(&region);
}

static int leave_by(int how)
{
    for (int i = 0; i < 3; i++) {
        WEFT_SCOPE;
        counted_bin();
        if (how == 0)
            break;
        if (how == 1)
            return i;
        if (how == 2)
            continue;
        if (how == 3)
            goto out;
    }
out:
    return -1;
}

TEST(a_scope_ends_by_break_return_continue_and_goto)
{
    leave_by(0);
    check_int(n_released, 1);
    leave_by(1);
    check_int(n_released, 2);
    leave_by(2);
    check_int(n_released, 5);
    leave_by(3);
    check_int(n_released, 6);
}

TEST(scopes_nest)
{
    WEFT_SCOPE;
    weft_term outer = counted_bin();

    {
        WEFT_SCOPE;
        counted_bin();
        {
            WEFT_SCOPE;
            counted_bin();
        }
        check_int(n_released, 1);
    }
    check_int(n_released, 2);
    check_str(weft_text(outer), "counted");
}

TEST(a_region_destroyed_with_scopes_open_frees_all)
{
    struct weft__region region;
    weft_scope abandoned;

    fresh(&region);
    counted_bin();
    weft_scope_enter(&abandoned);
    counted_bin();
    weft_keep(counted_bin());
    (void)weft_bin("x", 1);
    weft__region_destroy(&region);
    check_int(n_released, 3);
    check_ptr(region.scope, NULL);
}

static weft_term build(int n)
{
    WEFT_SCOPE;
    weft_term list = weft_empty_list;

    for (int i = n; i > 0; i--)
        list = weft_cons(weft_int(i), list);
    return weft_scope_return(weft_tuple(list, counted_bin()));
}

TEST(a_returned_term_lives_in_the_scope_outside)
{
    {
        WEFT_SCOPE;
        weft_term small = build(3), large = build(2000), again;

        check_uint(weft_list_size(weft_tuple_at(large, 0)), 2000);
        check_str(weft_inspect(weft_tuple_at(small, 0)), "[1, 2, 3]");
        check_int(n_released, 0);
        {
            WEFT_SCOPE;
            again = weft_scope_return(weft_scope_return(build(2)));
        }
        check_str(weft_inspect(again), "{[1, 2], \"counted\"}");
    }
    check_int(n_released, 3);
}

TEST(terms_of_the_inner_scope_are_good_after_a_return_of_one)
{
    WEFT_SCOPE;
    weft_term a = weft_none, b = weft_none;

    {
        WEFT_SCOPE;
        weft_term here = weft_tuple(weft_int(1));

        a = weft_scope_return(here);
        here = weft_tuple(here, weft_int(2));
        b = weft_scope_return(here);
        check_str(weft_inspect(here), "{{1}, 2}");
    }
    check_str(weft_inspect(weft_list(a, b)), "[{1}, {{1}, 2}]");
}

TEST(kept_terms_outlive_scopes_until_dropped)
{
    weft_term kept[3];

    for (int i = 0; i < 3; i++) {
        WEFT_SCOPE;
        kept[i] = weft_keep(weft_list(weft_int(i), counted_bin()));
    }
    check_int(n_released, 0);
    check_str(weft_inspect(kept[1]), "[1, \"counted\"]");
    weft_drop(kept[1]);
    check_int(n_released, 1);
    weft_drop(kept[0]);
    weft_drop(kept[2]);
    check_int(n_released, 3);
    weft_drop(weft_keep(weft_int(1)));
    weft_drop(weft_none);
}

TEST(kept_terms_go_with_their_region)
{
    struct weft__region region;

    fresh(&region);
    for (int i = 0; i < 5; i++)
        weft_keep(weft_tuple(counted_bin(), weft_int(i)));
    check(weft__region_owns(&region, region.kept));
    weft__region_destroy(&region);
    check_int(n_released, 10 - 5);
}

TEST(an_adopted_block_belongs_to_the_innermost_scope)
{
    struct weft__copy_refusal refusal;
    weft_term message = weft_tuple(weft_int(1), counted_bin());

    {
        WEFT_SCOPE;
        struct weft__block *block = weft__block_new(weft__copy_size(message, &refusal));
        weft_term received =
            weft__copy_into(message, weft__block_data(block), &block->counted);

        weft__region_adopt(weft__region_here(), block);
        (void)weft_tuple(weft_int(1));
        check(weft_eq(received, message));
        check(weft__region_owns(weft__region_here(), block));
    }
    check_str(weft_text(weft_tuple_at(message, 1)), "counted");
}

TEST(a_region_joined_to_another_leaves_it_all)
{
    struct weft__region into, from;
    weft_term theirs, kept;

    fresh(&from);
    theirs = weft_list(weft_int(1), counted_bin());
    kept = weft_keep(weft_tuple(weft_int(2)));
    fresh(&into);
    {
        WEFT_SCOPE;
        counted_bin();
        weft__region_join(&into, &from);
        check_ptr(from.blocks, NULL);
        check_str(weft_inspect(theirs), "[1, \"counted\"]");
    }
    check_int(n_released, 2);
    check_str(weft_inspect(kept), "{2}");
    weft_drop(kept);
    weft__region_destroy(&into);
}

TEST(large_terms_get_a_block_of_their_own)
{
    struct weft__region region;
    static weft_term elements[5000];

    fresh(&region);
    for (int i = 0; i < 5000; i++)
        elements[i] = weft_int(i);
    {
        WEFT_SCOPE;
        weft_term big = weft_tuple_of(elements, 5000), small = weft_tuple_of(elements, 2);

        check_int(weft_to_int(weft_tuple_at(big, 4999)), 4999);
        check_int(weft_to_int(weft_tuple_at(small, 1)), 1);
    }
    /* The first chunk stays for the next scope, what was large is gone. */
    check(region.blocks == NULL ||
          (region.blocks->next == NULL && region.blocks->size <= WEFT__CHUNK_KEEP));
    weft__region_destroy(&region);
}

TEST(a_chunk_shrinks_again_when_little_is_used)
{
    struct weft__region region;

    fresh(&region);
    for (int i = 0; i < 10; i++) {
        WEFT_SCOPE;
        for (int j = 0; j < 1000; j++)
            (void)weft_tuple(weft_int(1));
    }
    check_ge(region.chunk_size, 4096);
    for (int i = 0; i < 10; i++) {
        WEFT_SCOPE;
        (void)weft_tuple(weft_int(1));
    }
    check_le(region.chunk_size, WEFT__CHUNK_FIRST);
    weft__region_destroy(&region);
}

TEST(random_scopes_and_returns_keep_all_terms_whole)
{
    struct gen gen = gen_seeded(6);
    int n_wrong = 0;

    for (int round = 0; round < 3000; round++) {
        WEFT_SCOPE;
        weft_term held[8], kept[8];
        uint64_t hashes[8];
        unsigned n = 1 + gen_below(&gen, 8);

        for (unsigned i = 0; i < n; i++) {
            WEFT_SCOPE;
            weft_term term = gen_term(&gen, 4);

            hashes[i] = weft_hash(term);
            kept[i] = weft_keep(term);
            held[i] = weft_scope_return(term);
        }
        for (unsigned i = 0; i < n; i++) {
            n_wrong += weft_hash(held[i]) != hashes[i] || weft_hash(kept[i]) != hashes[i];
            weft_drop(kept[i]);
        }
    }
    check_int(n_wrong, 0);
}

/* -- stale pointers ------------------------------------------------------------ */

static uint64_t owned[4];
static int n_stale;

static void each_owned(struct weft__region *region, weft__memory_visit *visit, void *arg)
{
    (void)region;
    visit(arg, owned, sizeof owned);
}

static void stale_found(struct weft__region *region, const void *where, uint64_t word)
{
    (void)region;
    n_stale++;
    check(where == &owned[2] || where == &owned[3]);
    check(word == owned[2] || word == owned[3]);
}

TEST(pointers_into_a_scope_are_found_before_it_ends)
{
    struct weft__region region;
    weft_scope scope;

    fresh(&region);
    weft__stale_memory_each = each_owned;
    weft__stale_found = stale_found;
    owned[0] = weft_tuple(weft_int(1)).bits;
    owned[1] = weft_keep(weft_tuple(weft_int(1))).bits;
    weft_scope_enter(&scope);
    check_uint(weft__region_find_stale(&region, &scope), 0);
    owned[2] = weft_tuple(weft_int(1)).bits;
    for (int i = 0; i < 100; i++)
        owned[3] = weft_cons(weft_int(1), weft_empty_list).bits;
    check_uint(weft__region_find_stale(&region, &scope), 2);
    check_int(n_stale, 2);
    owned[2] = owned[3] = 0;
    weft_scope_leave(&scope);
    weft__region_destroy(&region);
}

#if defined(WEFT__POISON) || defined(WEFT_DEBUG)
static void use_stale(void *arg)
{
    weft_term stale;

    (void)arg;
    (void)weft_tuple(weft_int(0)); /* the chunk stays */
    {
        WEFT_SCOPE;
        stale = weft_tuple(weft_int(1), weft_int(2));
    }
    (void)weft_tuple_size(stale);
}

TEST(a_term_used_after_its_scope_is_reported)
{
    struct tap_outcome outcome;

    tap_run(use_stale, NULL, 20, &outcome);
    check(outcome.status != 0);
#ifdef WEFT__POISON
    check_has(outcome.output, "use-after-poison");
#else
    check_has(outcome.output, "was released: its scope has ended");
#endif
}
#endif

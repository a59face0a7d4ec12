#include "term/copy.h"

#include <pthread.h>
#include <stdlib.h>

#include "tap.h"
#include "term/region.h"
#include "term_gen.h"

struct flat {
    char *memory;
    size_t size;
    struct weft__counted *counted;
    weft_term term;
};

static struct flat flat_copy(weft_term term)
{
    struct weft__copy_refusal refusal;
    struct flat flat = {.size = weft__copy_size(term, &refusal)};

    /* Exactly the size: ASan sees a byte too many. */
    flat.memory = malloc(flat.size ? flat.size : 1);
    flat.term = weft__copy_into(term, flat.memory, &flat.counted);
    return flat;
}

static void flat_free(struct flat *flat)
{
    weft__counted_release(flat->counted, NULL);
    free(flat->memory);
}

TEST(words_need_no_memory)
{
    struct weft__copy_refusal refusal;

    check_uint(weft__copy_size(weft_int(1), &refusal), 0);
    check_uint(weft__copy_size(WEFT_ATOM("a"), &refusal), 0);
    check_uint(weft__copy_size(weft_empty_list, &refusal), 0);
    check_uint(weft__copy_size(weft__pid_make(1, 2), &refusal), 0);
    check_uint(weft__copy_size(weft_tuple(weft_int(1)), &refusal), 16);
    check_uint(weft__copy_size(weft_list(weft_int(1), weft_int(2)), &refusal), 32);
}

TEST(a_copy_of_any_term_is_equal_and_its_own)
{
    struct gen gen = gen_seeded(4);
    int n_wrong = 0;

    for (int round = 0; round < 20000; round++) {
        struct flat flat;

        {
            WEFT_SCOPE;
            weft_term term = gen_term(&gen, 5);

            flat = flat_copy(term);
            n_wrong += !weft_eq(term, flat.term);
            n_wrong += weft_hash(term) != weft_hash(flat.term);
        }
        {
            /* The first one is gone; a copy of the copy still reads all of it. */
            struct flat again = flat_copy(flat.term);

            n_wrong += !weft_eq(again.term, flat.term) || again.size != flat.size;
            flat_free(&flat);
            n_wrong += weft_hash(again.term) == 0;
            flat_free(&again);
        }
    }
    check_int(n_wrong, 0);
}

TEST(what_is_no_value_is_refused_by_name)
{
    struct weft__copy_refusal refusal;
    weft_term x;
    int64_t i;

    check(weft__copy_size(weft_none, &refusal) == WEFT__COPY_REFUSED);
    check_int(refusal.problem, WEFT__COPY_NONE);
    check(weft__copy_size(weft_any, &refusal) == WEFT__COPY_REFUSED);
    check(weft__copy_size(weft_tuple(weft_int(1), weft_bind(&x)), &refusal) ==
          WEFT__COPY_REFUSED);
    check_int(refusal.problem, WEFT__COPY_PATTERN);
    check_str(weft__copy_words(&refusal),
              "a term with weft_bind in it, which is a pattern part");
    check(
        weft__copy_size(weft_list(weft_str("a"), weft_map(weft_int(1), weft_bind_int(&i))),
                        &refusal) == WEFT__COPY_REFUSED);
    check_str(weft__pattern_part_name(refusal.part), "weft_bind_int");
    check(weft__copy_size(weft_cons(weft_int(1), weft_none), &refusal) ==
          WEFT__COPY_REFUSED);
    check_int(refusal.problem, WEFT__COPY_NONE);
}

/* In the 64 KiB a process has. */
static void *copy_deep(void *arg)
{
    weft_term list = weft_empty_list, tuple = weft_int(1), nested = weft_empty_list,
              map = weft_int(1);
    struct flat flat;

    (void)arg;
    for (int i = 0; i < 1000000; i++)
        list = weft_cons(weft_int(i), list);
    for (int i = 0; i < 100000; i++) {
        tuple = weft_tuple(weft_int(1), tuple, weft_int(2));
        nested = weft_list(nested, weft_int(2));
        map = weft_map(weft_int(1), map, weft_int(2), weft_int(3));
    }
    flat = flat_copy(weft_tuple(list, tuple, nested, map));
    check(weft_eq(flat.term, weft_tuple(list, tuple, nested, map)));
    check_uint(weft_hash(flat.term), weft_hash(weft_tuple(list, tuple, nested, map)));
    check(weft_match(flat.term, weft_tuple(list, tuple, nested, map)));
    check(strlen(weft_inspect(flat.term)) > 10);
    flat_free(&flat);
    return NULL;
}

TEST(long_and_deep_terms_fit_a_stack_of_64_kib)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    pthread_create(&thread, &attr, copy_deep, NULL);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

static int n_freed;
static void count_free(void *data, void *arg)
{
    (void)arg;
    free(data);
    n_freed++;
}

TEST(a_message_carries_its_counts_into_the_scope_that_adopts_it)
{
    struct weft__copy_refusal refusal;

    {
        WEFT_SCOPE;
        weft_term received;

        {
            WEFT_SCOPE;
            weft_term bin = weft_bin_wrap(calloc(1, 500), 500, count_free, NULL);
            weft_term message = weft_list(bin, weft_bin_slice(bin, 100, 100), weft_int(1));
            size_t size = weft__copy_size(message, &refusal);
            struct weft__block *block = weft__block_new(size);

            received = weft__copy_into(message, weft__block_data(block), &block->counted);
            /* It goes to the scope outside, as a receive after this one would. */
            weft__region_adopt(weft__region_here(), block);
            received = weft_scope_return(received);
        }
        check_int(n_freed, 0);
        check_uint(weft_bin_size(weft_head(received)), 500);
    }
    check_int(n_freed, 1);
}

TEST(a_block_never_received_gives_its_counts_back)
{
    struct weft__copy_refusal refusal;
    struct weft__block *block;

    {
        WEFT_SCOPE;
        weft_term bin = weft_bin_wrap(calloc(1, 500), 500, count_free, NULL);

        block = weft__block_new(weft__copy_size(bin, &refusal));
        weft__copy_into(bin, weft__block_data(block), &block->counted);
    }
    check_int(n_freed, 0);
    weft__block_free(block);
    check_int(n_freed, 1);
}

TEST(a_copy_to_a_region_joins_its_counts)
{
    struct weft__region region;

    weft__region_init(&region);
    {
        WEFT_SCOPE;
        weft_term bin = weft_bin_wrap(calloc(1, 500), 500, count_free, NULL);
        weft_term copy = weft__copy_to_region(&region, weft_tuple(bin, bin), "weft_test");

        check(weft_eq(copy, weft_tuple(bin, bin)));
        check(weft__region_owns(&region, (void *)(uintptr_t)copy.bits));
    }
    check_int(n_freed, 0);
    weft__region_destroy(&region);
    check_int(n_freed, 1);
}

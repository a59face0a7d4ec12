/* Numbers, atoms as booleans, pointers, tuples, lists, options. */
#include "weft/term.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/here.h"
#include "tap.h"
#include "term/fail.h"
#include "term/region.h"
#include "term/term.h"

TEST(integers_of_all_sizes_come_back)
{
    static const int64_t values[] = {0,
                                     1,
                                     -1,
                                     INT64_MAX,
                                     INT64_MIN,
                                     ((int64_t)1 << 61) - 1,
                                     (int64_t)1 << 61,
                                     -((int64_t)1 << 61),
                                     -((int64_t)1 << 61) - 1};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        weft_term term = weft_int(values[i]);
        int64_t out = 5;

        check(weft_is_int(term) && weft_is_number(term) && !weft_is_float(term));
        check_int(weft_to_int(term), values[i]);
        check(weft_try_to_int(term, &out));
        check_int(out, values[i]);
    }
}

TEST(an_integer_needs_memory_only_beyond_62_bits)
{
    check(!weft__is_memory(weft_int(((int64_t)1 << 61) - 1)));
    check(!weft__is_memory(weft_int(-((int64_t)1 << 61))));
    check(weft__is_memory(weft_int((int64_t)1 << 61)));
}

TEST(floats_come_back_and_integers_turn_into_them)
{
    double out = 5;

    check(weft_to_float(weft_float(0.1)) == 0.1);
    check(weft_to_float(weft_int(3)) == 3.0);
    check(weft_is_float(weft_float(1)) && !weft_is_int(weft_float(1)));
    check(!weft_try_to_float(WEFT_ATOM("x"), &out));
    check(out == 5);
}

TEST(a_failed_try_leaves_the_result_alone)
{
    int64_t i = 5;
    bool b = true;
    void *p = &i;

    check(!weft_try_to_int(weft_float(1), &i));
    check_int(i, 5);
    check(!weft_try_to_bool(weft_int(0), &b));
    check(b);
    check(!weft_try_to_pointer(weft_int(0), &p));
    check_ptr(p, &i);
}

TEST(booleans_are_the_atoms_true_and_false)
{
    check(weft_eq(weft_bool(true), WEFT_ATOM("true")));
    check(weft_eq(weft_bool(false), WEFT_ATOM("false")));
    check(weft_is_atom(weft_bool(true)) && weft_is_bool(weft_bool(false)));
    check(weft_to_bool(WEFT_ATOM("true")) && !weft_to_bool(WEFT_ATOM("false")));
    check(!weft_is_bool(WEFT_ATOM("nil")));
}

TEST(pointers_of_60_and_of_64_bits_come_back)
{
    int here;

    check_ptr(weft_to_pointer(weft_pointer(&here)), &here);
    check_ptr(weft_to_pointer(weft_pointer(NULL)), NULL);
    check(!weft__is_memory(weft_pointer(&here)));
    check_ptr(weft_to_pointer(weft_pointer((void *)(UINTPTR_MAX - 7))),
              (void *)(UINTPTR_MAX - 7));
    check(weft_is_pointer(weft_pointer((void *)UINTPTR_MAX)));
    check(weft_eq(weft_pointer((void *)UINTPTR_MAX), weft_pointer((void *)UINTPTR_MAX)));
}

TEST(pids_and_references_hold_their_parts)
{
    weft_pid pid = weft__pid_make((1u << 25) - 1, (UINT64_C(1) << 35) - 1);
    weft_ref ref = weft__ref_make((1u << 25) - 2, (UINT64_C(1) << 37) - 1);

    check(weft_is_pid(pid) && !weft_is_ref(pid) && !weft_is_int(pid));
    check(weft_is_ref(ref) && !weft_is_pid(ref) && !weft_is_atom(ref));
    check_uint(weft__pid_slot(pid), (1u << 25) - 1);
    check_uint(weft__pid_serial(pid), (UINT64_C(1) << 35) - 1);
    check_uint(weft__ref_slot(ref), (1u << 25) - 2);
    check_uint(weft__ref_counter(ref), (UINT64_C(1) << 37) - 1);
}

TEST(weft_none_is_of_no_kind)
{
    weft_term none = weft_none;

    check(weft_is_none(none));
    check(!weft_is_int(none) && !weft_is_float(none) && !weft_is_atom(none) &&
          !weft_is_pid(none));
    check(!weft_is_ref(none) && !weft_is_bin(none) && !weft_is_tuple(none) &&
          !weft_is_list(none));
    check(!weft_is_map(none) && !weft_is_pointer(none) && !weft_is_native(none, NULL));
    check(!weft_is_none(weft_empty_list) && !weft_is_none(weft_int(0)));
}

TEST(tuples_of_any_size)
{
    weft_term many[100], big;

    for (int i = 0; i < 100; i++)
        many[i] = weft_int(i);
    big = weft_tuple_of(many, 100);
    check_uint(weft_tuple_size(big), 100);
    check_int(weft_to_int(weft_tuple_at(big, 99)), 99);
    check_uint(weft_tuple_size(weft_tuple()), 0);
    check_uint(weft_tuple_size(weft_tuple(weft_int(1))), 1);
    check_int(weft_to_int(weft_tuple_at(
                  weft_tuple(weft_int(1), weft_tuple(weft_int(2)), weft_int(3)), 2)),
              3);
    for (size_t n = 0; n < 7; n++)
        for (size_t i = 0; i < n; i++)
            check_int(weft_to_int(weft_tuple_at(weft_tuple_of(many, n), i)), (int64_t)i);
}

TEST(lists_are_cells)
{
    weft_term list = weft_list(weft_int(1), weft_int(2), weft_int(3));
    int64_t sum = 0;

    check_uint(weft_list_size(list), 3);
    check_int(weft_to_int(weft_head(list)), 1);
    check_int(weft_to_int(weft_head(weft_tail(list))), 2);
    check(weft_is_empty_list(weft_list()) && weft_is_list(weft_list()));
    check(weft_eq(weft_cons(weft_int(1), weft_tail(list)), list));
    weft_list_each (x, list)
        sum = sum * 10 + weft_to_int(x);
    check_int(sum, 123);
    sum = 0;
    weft_list_each (x, weft_list_reverse(list))
        sum = sum * 10 + weft_to_int(x);
    check_int(sum, 321);
    check_uint(weft_list_size(weft_empty_list), 0);
}

TEST(loops_over_lists_and_maps_nest_break_and_continue)
{
    weft_term lists =
        weft_list(weft_list(weft_int(1), weft_int(2)), weft_list(weft_int(3)));
    weft_term map = weft_map(weft_int(2), weft_int(20), weft_int(1), weft_int(10),
                             weft_int(3), weft_int(30));
    int64_t sum = 0;

    weft_list_each (list, lists)
        weft_list_each (x, list) {
            if (weft_to_int(x) == 1)
                continue;
            sum += weft_to_int(x);
        }
    check_int(sum, 5);
    sum = 0;
    weft_map_each (key, value, map) {
        if (weft_to_int(key) == 3)
            break;
        sum = sum * 100 + weft_to_int(value);
    }
    check_int(sum, 1020);
}

TEST(options_are_found_in_lists_maps_and_nowhere)
{
    weft_term key = WEFT_ATOM("ttl"), none = weft_int(-1);
    weft_term list = weft_list(weft_tuple(WEFT_ATOM("a"), weft_int(1)),
                               weft_tuple(key, weft_int(2)), weft_tuple(key, weft_int(3)));

    check_int(weft_to_int(weft_keyword(list, key, none)), 2);
    check_int(weft_to_int(weft_keyword(list, WEFT_ATOM("other"), none)), -1);
    check_int(weft_to_int(weft_keyword(weft_map(key, weft_int(4)), key, none)), 4);
    check_int(weft_to_int(weft_keyword(weft_empty_list, key, none)), -1);
    check_int(weft_to_int(weft_keyword(weft_none, key, none)), -1);
}

/* -- misuse ends the program in words ---------------------------------------- */

static void misuse(void *arg)
{
    weft_term none[1] = {weft_none};

    switch (*(int *)arg) {
    case 0: weft_to_int(WEFT_ATOM("put")); break;
    case 1: weft_tuple_at(weft_tuple(weft_int(1)), 1); break;
    case 2: weft_tuple_size(weft_int(5)); break;
    case 3: weft_head(weft_empty_list); break;
    case 4: weft_list_size(weft_cons(weft_int(1), weft_int(2))); break;
    case 5: weft_map_get(weft_empty_list, weft_int(1), none[0]); break;
    case 6: weft_bin_slice(weft_str("abc"), 2, 2); break;
    case 7: weft_keyword(weft_list(weft_int(1)), WEFT_ATOM("a"), none[0]); break;
    case 8: weft_atom_name(weft_str("a")); break;
    case 9: weft_text(weft_none); break;
    case 10: weft_to_bool(weft_int(1)); break;
    case 11: weft_keep(weft_tuple(weft_any)); break;
    case 12: weft_scope_return(weft_int(1)); break;
    case 13: weft_drop(weft_tuple(weft_int(1), weft_int(2))); break;
    case 14: weft_keep(weft_none); break;
    case 15: weft_to_float(weft_str("1")); break;
    case 16: weft_list_reverse(weft_int(1)); break;
    default: break;
    }
}

TEST(misuse_names_the_call_and_the_mistake)
{
    static const char *const wanted[] = {
        "weft_to_int: was given :put, not an integer",
        "weft_tuple_at: has no element 1 in a tuple of 1",
        "weft_tuple_size: was given 5, not a tuple",
        "weft_head: was given [], not a list with elements",
        "weft_list_size: was given [1 | 2], not a proper list",
        "weft_map_get: was given [], not a map",
        "weft_bin_slice: asks for 2 bytes from 2 on of a binary of 3",
        "weft_keyword: was given 1, not an option {atom, value}",
        "weft_atom_name: was given \"a\", not an atom",
        "weft_text: was given weft_none, not a binary",
        "weft_to_bool: was given 1, not true or false",
        "weft_keep: was given a term with weft_any in it, which is a pattern part",
        "weft_scope_return: there is no WEFT_SCOPE to return from",
        "weft_drop: was given {1, 2}, not a term that weft_keep returned",
        "weft_keep: was given a term with weft_none in it, which is no value",
        "weft_to_float: was given \"1\", not a number",
        "weft_list_reverse: was given 1, not a proper list",
    };

    for (int i = 0; i < (int)(sizeof wanted / sizeof *wanted); i++) {
        struct tap_outcome outcome;

        tap_run(misuse, &i, 10, &outcome);
        check(outcome.status != 0);
        check_has(outcome.output, wanted[i]);
    }
}

static void exit_by_hook(const char *call, const char *mistake)
{
    printf("hook %s | %s\n", call, mistake);
    fflush(stdout);
    _Exit(7);
}

static void misuse_with_hook(void *arg)
{
    (void)arg;
    weft__term_fail_hook = exit_by_hook;
    weft_to_int(weft_str("x"));
}

TEST(a_hook_hears_of_misuse_instead)
{
    struct tap_outcome outcome;

    tap_run(misuse_with_hook, NULL, 10, &outcome);
    check_int(WEXITSTATUS(outcome.status), 7);
    check_has(outcome.output, "hook weft_to_int | was given \"x\", not an integer");
}

static void *build_in_thread(void *arg)
{
    weft_term list = weft_list(weft_int(1), weft_float(2.5), weft_str("three"));

    *(size_t *)arg = weft_list_size(list);
    check_str(weft_inspect(list), "[1, 2.5, \"three\"]");
    return NULL;
}

TEST(any_thread_builds_terms_without_a_runtime)
{
    pthread_t thread;
    size_t size = 0;

    pthread_create(&thread, NULL, build_in_thread, &size);
    pthread_join(thread, NULL);
    check_uint(size, 3);
}

/* dict_test.c - the process dictionary. */
#include "proc/process_test.h"

PROCESS_TEST(put_returns_the_value_before_or_none, "PROC-69")
{
    check(weft_is_none(weft_dict_put(A(key), weft_int(1))));
    check_term(weft_dict_put(A(key), weft_str("two")), weft_int(1));
    check_term(weft_dict_put(A(key), A(three)), weft_str("two"));
    check_term(weft_dict_get(A(key), A(no_value)), A(three));
}

PROCESS_TEST(get_takes_a_default, "PROC-69")
{
    check_term(weft_dict_get(A(key), A(otherwise)), A(otherwise));
    check(weft_is_none(weft_dict_get(A(key), weft_none)));
    weft_dict_put(A(key), A(nil));
    check_term(weft_dict_get(A(key), A(otherwise)), A(nil));
}

PROCESS_TEST(delete_returns_the_value_and_takes_it_out, "PROC-69")
{
    check(weft_is_none(weft_dict_delete(A(key))));
    weft_dict_put(A(key), weft_list(weft_int(1)));
    check_term(weft_dict_delete(A(key)), weft_list(weft_int(1)));
    check(weft_is_none(weft_dict_delete(A(key))));
    check_term(weft_dict_get(A(key), A(gone)), A(gone));
    check(weft_is_none(weft_dict_put(A(key), weft_int(2))));
}

PROCESS_TEST(any_term_is_a_key_and_equal_ones_are_one, "PROC-69")
{
    const weft_term keys[] = {
        weft_int(1), weft_float(1.0), weft_int(INT64_MAX), A(atom), weft_str("atom"), weft_tuple(),
        weft_tuple(A(a), weft_list(weft_str("b"))), weft_empty_list, weft_map(A(k), weft_int(1)), weft_self(),
    };

    for (size_t i = 0; i < COUNT(keys); i++)
        check(weft_is_none(weft_dict_put(keys[i], weft_int((int64_t)i))));
    for (size_t i = 0; i < COUNT(keys); i++)
        check_term(weft_dict_get(keys[i], weft_none), weft_int((int64_t)i));
    check_term(weft_dict_get(weft_tuple(A(a), weft_list(weft_str("b"))), weft_none), weft_int(6));
    check_term(weft_dict_delete(weft_str("atom")), weft_int(4));
    check_term(weft_dict_get(A(atom), weft_none), weft_int(3));
}

PROCESS_TEST(values_outlive_the_scope_they_were_put_in, "PROC-69")
{
    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;

        weft_dict_put(weft_tuple(A(key), weft_int(i)), weft_tuple(weft_str("value"), weft_int(i)));
    }
    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;

        weft_yield();
        check_term(weft_dict_get(weft_tuple(A(key), weft_int(i)), weft_none),
                   weft_tuple(weft_str("value"), weft_int(i)));
    }
    for (int i = 0; i < 1000; i += 2)
        weft_dict_delete(weft_tuple(A(key), weft_int(i)));
    for (int i = 0; i < 1000; i++)
        check_int(weft_is_none(weft_dict_get(weft_tuple(A(key), weft_int(i)), weft_none)), i % 2 == 0);
}

static weft_term do_put(weft_term pair)
{
    weft_term before = weft_dict_put(weft_tuple_at(pair, 0), weft_tuple_at(pair, 1));

    return weft_is_none(before) ? A(nil) : before;
}

static weft_term do_get(weft_term key)
{
    return weft_dict_get(key, A(no_value));
}

PROCESS_TEST(a_dictionary_is_private_to_its_process, "PROC-69")
{
    weft_pid first = puppet_start(), second = puppet_start();

    ask(first, do_put, weft_tuple(A(key), A(of_first)));
    check_term(ask(second, do_get, A(key)), A(no_value));
    check_term(ask(second, do_put, weft_tuple(A(key), A(of_second))), A(nil));
    check_term(ask(first, do_get, A(key)), A(of_first));
    check_term(weft_dict_get(A(key), A(no_value)), A(no_value));
}

static _Atomic int n_destroyed;
static void counts_destroyed(void *object) { free(object), atomic_fetch_add(&n_destroyed, 1); }
static const weft_native_type counted_type = { .name = "counted", .destroy = counts_destroyed };

static weft_term do_put_a_native(weft_term key)
{
    WEFT_SCOPE;

    weft_dict_put(key, weft_list(weft_native(&counted_type, malloc(1))));
    return A(ok);
}

PROCESS_TEST(a_dictionary_is_gone_with_its_process, "PROC-69")
{
    weft_pid puppet = puppet_start();

    ask(puppet, do_put_a_native, A(key));
    check_int(atomic_load(&n_destroyed), 0);
    weft_kill(puppet);
    await_count(&n_destroyed, 1);
}

static weft_term do_put_over(weft_term key)
{
    WEFT_SCOPE;

    check_int(atomic_load(&n_destroyed), 0);
    check(weft_is_list(weft_dict_put(key, A(something_else))));
    weft_dict_put(key, A(something_else)); /* the change of the key that ends the value before */
    return A(ok);
}

PROCESS_TEST(a_value_that_is_put_over_is_given_back, "PROC-69")
{
    weft_pid puppet = puppet_start();

    ask(puppet, do_put_a_native, A(key));
    ask(puppet, do_put_over, A(key));
    await_count(&n_destroyed, 1);
}

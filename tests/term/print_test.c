#include "term/print.h"

#include <math.h>
#include <stdlib.h>

#include "tap.h"
#include "term_gen.h"

#define A(name) WEFT_ATOM(#name)

TEST(numbers)
{
    check_str(weft_inspect(weft_int(-42)), "-42");
    check_str(weft_inspect(weft_int(INT64_MIN)), "-9223372036854775808");
    check_str(weft_inspect(weft_float(0.1)), "0.1");
    check_str(weft_inspect(weft_pointer(NULL)), "0x0");
    check_str(weft_inspect(weft_pointer((void *)0xff)), "0xff");
}

TEST(floats_are_written_as_elixir_writes_them)
{
    static const struct {
        double value;
        const char *text;
    } floats[] = {
        {1.0, "1.0"},
        {-1.5, "-1.5"},
        {100.0, "100.0"},
        {1000.0, "1000.0"},
        {1200.0, "1200.0"},
        {12345.678, "12345.678"},
        {1e10, "10000000000.0"},
        {123456789012.0, "123456789012.0"},
        {0.001, "0.001"},
        {0.0001, "0.0001"},
        {0.00001, "1.0e-5"},
        {0.0012, "0.0012"},
        {0.00012, "1.2e-4"},
        {0.01, "0.01"},
        {0.5, "0.5"},
        {1e22, "1.0e22"},
        {1e-7, "1.0e-7"},
        {9007199254740992.0, "9007199254740992.0"},
        {1e16, "1.0e16"},
        {12345678901234567.0, "1.2345678901234568e16"},
        {123456.5, "123456.5"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {5e-324, "5.0e-324"},
        {3.141592653589793, "3.141592653589793"},
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {HUGE_VAL, "inf"},
        {-HUGE_VAL, "-inf"},
    };
    char text[32];

    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        check_uint(weft__float_text(floats[i].value, text), strlen(floats[i].text));
        check_str(text, floats[i].text);
    }
    weft__float_text(NAN, text);
    check_str(text, "nan");
}

TEST(every_float_reads_back_as_itself)
{
    struct gen gen = gen_seeded(7);
    int n_wrong = 0;

    for (int i = 0; i < 100000; i++) {
        uint64_t bits = gen_next(&gen);
        char text[32];
        double value;

        memcpy(&value, &bits, sizeof value);
        if (i % 2)
            value = (double)gen_below(&gen, 1000000) / 1000;
        if (isnan(value))
            continue;
        n_wrong +=
            weft__float_text(value, text) != strlen(text) || strtod(text, NULL) != value;
    }
    check_int(n_wrong, 0);
}

TEST(atoms)
{
    check_str(weft_inspect(A(ok)), ":ok");
    check_str(weft_inspect(A(DOWN)), ":DOWN");
    check_str(weft_inspect(WEFT_ATOM("nil")), "nil");
    check_str(weft_inspect(weft_bool(true)), "true");
    check_str(weft_inspect(WEFT_ATOM("ok?")), ":ok?");
    check_str(weft_inspect(WEFT_ATOM("a b")), ":\"a b\"");
    check_str(weft_inspect(WEFT_ATOM("")), ":\"\"");
    check_str(weft_inspect(WEFT_ATOM("1a")), ":\"1a\"");
    check_str(weft_inspect(WEFT_ATOM("a@b_1")), ":a@b_1");
    check_str(weft_inspect(WEFT_ATOM("a?b")), ":\"a?b\"");
    check_str(weft_inspect(WEFT_ATOM("+")), ":+");
    check_str(weft_inspect(WEFT_ATOM("Elixir.GenServer")), "GenServer");
    check_str(weft_inspect(WEFT_ATOM("Elixir.Task.Supervisor")), "Task.Supervisor");
    check_str(weft_inspect(WEFT_ATOM("Elixir.foo")), ":\"Elixir.foo\"");
    check_str(weft_inspect(WEFT_ATOM("say \"x\"")), ":\"say \\\"x\\\"\"");
}

TEST(binaries_are_text_when_printable)
{
    check_str(weft_inspect(weft_str("hello")), "\"hello\"");
    check_str(weft_inspect(weft_str("")), "\"\"");
    check_str(weft_inspect(weft_str("a\"b\\c\n\t\x1b")), "\"a\\\"b\\\\c\\n\\t\\e\"");
    check_str(weft_inspect(weft_str("#{x} #")), "\"\\#{x} #\"");
    check_str(weft_inspect(weft_str("h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80")),
              "\"h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80\"");
    check_str(weft_inspect(weft_bin("\0\1\xff", 3)), "<<0, 1, 255>>");
    check_str(weft_inspect(weft_str("\xef\xbb\xbf")), "\"\\uFEFF\"");
    check_str(weft_inspect(weft_str("\xc3")), "<<195>>");
    check_str(weft_inspect(weft_str("\xed\xa0\x80")), "<<237, 160, 128>>");
}

TEST(collections)
{
    check_str(weft_inspect(weft_tuple()), "{}");
    check_str(weft_inspect(weft_tuple(A(pong), weft_int(0))), "{:pong, 0}");
    check_str(weft_inspect(weft_list(weft_int(1), weft_list(), weft_tuple(A(a)))),
              "[1, [], {:a}]");
    check_str(weft_inspect(weft_cons(weft_int(1), weft_cons(weft_int(2), weft_int(3)))),
              "[1, 2 | 3]");
    check_str(weft_inspect(weft_map()), "%{}");
    check_str(weft_inspect(weft_map(A(b), weft_int(2), A(a), weft_int(1))),
              "%{a: 1, b: 2}");
    check_str(weft_inspect(weft_map(A(a), weft_int(1), weft_int(2), weft_str("x"))),
              "%{2 => \"x\", :a => 1}");
}

TEST(lists_of_pairs_are_keywords)
{
    weft_term pair = weft_tuple(A(a), weft_int(1));

    check_str(weft_inspect(weft_list(pair)), "[a: 1]");
    check_str(weft_inspect(weft_list(pair, weft_tuple(WEFT_ATOM("b c"), pair))),
              "[a: 1, \"b c\": {:a, 1}]");
    check_str(weft_inspect(weft_list(weft_tuple(weft_bool(true), weft_int(1)))),
              "[true: 1]");
    check_str(weft_inspect(weft_list(pair, weft_int(1))), "[{:a, 1}, 1]");
    check_str(weft_inspect(weft_list(weft_tuple(WEFT_ATOM("Elixir.Foo"), weft_int(1)))),
              "[{Foo, 1}]");
    check_str(weft_inspect(weft_cons(pair, weft_int(1))), "[{:a, 1} | 1]");
    check_str(weft_inspect(weft_list(weft_tuple(weft_str("a"), weft_int(1)))),
              "[{\"a\", 1}]");
}

TEST(what_the_runtime_makes)
{
    static const weft_native_type type = {.name = "Socket"};
    weft_term x;
    int64_t i;

    check_str(weft_inspect(weft__pid_make(12, 34)), "#PID<12.34>");
    check_str(weft_inspect(weft__ref_make(12, 34)), "#Reference<12.34>");
    check_str(weft_inspect(weft_native(&type, (void *)0x10)), "#Socket<0x10>");
    check_str(weft_inspect(weft_none), "weft_none");
    check_str(
        weft_inspect(weft_tuple(weft_any, weft_var(2), weft_bind(&x), weft_bind_int(&i))),
        "{weft_any, weft_var(2), weft_bind, weft_bind_int}");
}

TEST(what_is_left_out_is_shown_by_dots)
{
    weft_term numbers[100], nested = weft_int(1), pairs[200];

    for (int i = 0; i < 100; i++) {
        numbers[i] = weft_int(i);
        pairs[2 * i] = pairs[2 * i + 1] = weft_int(i);
    }
    check_has(weft_inspect(weft_list_of(numbers, 100)), "48, 49, ...]");
    check_str(weft_inspect(weft_list_of(numbers, 100), .limit = 2), "[0, 1, ...]");
    check_str(weft_inspect(weft_tuple_of(numbers, 100), .limit = 2), "{0, 1, ...}");
    check_str(weft_inspect(weft_map_of(pairs, 100), .limit = 2), "%{0 => 0, 1 => 1, ...}");
    check_str(weft_inspect(weft_bin("\0\1\2\3", 4), .limit = 2), "<<0, 1, ...>>");
    check_str(weft_inspect(weft_list_of(numbers, 2), .limit = 2), "[0, 1]");
    check_str(weft_inspect(weft_list_of(numbers, 2), .limit = 0), "[...]");
    for (int i = 0; i < 5; i++)
        nested = weft_tuple(nested);
    check_str(weft_inspect(nested), "{{{{{1}}}}}");
    check_str(weft_inspect(nested, .max_depth = 2), "{{...}}");
    check_str(weft_inspect(weft_str("abcdefgh"), .max_bytes = 6), "\"ab...");
    check_uint(strlen(weft_inspect(weft_list_of(numbers, 100), .max_bytes = 20)), 20);
}

TEST(a_cut_does_not_divide_a_character)
{
    check_str(weft_inspect(weft_str("a\xe2\x82\xac\xe2\x82\xac"), .max_bytes = 6),
              "\"a...");
}

TEST(long_text_is_bounded)
{
    static char text[10000];
    const char *shown;

    memset(text, 'x', sizeof text);
    shown = weft_inspect(weft_bin(text, sizeof text), .max_bytes = 9000);
    check_uint(strlen(shown), 4096 + 2 + 7);
    check_has(shown, "x\" <> ...");
    check_uint(strlen(weft_inspect(weft_bin(text, sizeof text))), 4096);
    check_uint(strlen(weft_inspect(weft_bin(text, 3000))), 3002);
}

TEST(a_buffer_of_any_size_takes_what_fits)
{
    weft_term term = weft_tuple(A(hello), weft_str("world"));
    char buffer[32];

    for (size_t size = 0; size < sizeof buffer; size++) {
        size_t n;

        memset(buffer, '!', sizeof buffer);
        n = weft_inspect_to(buffer, size, term);
        check(n < size || size == 0);
        if (size > 0)
            check_uint(strlen(buffer), n);
        check_int(buffer[size], '!');
        if (size > 17)
            check_str(buffer, "{:hello, \"world\"}");
    }
}

TEST(any_random_term_prints_within_its_bounds)
{
    struct gen gen = gen_seeded(8);
    int n_wrong = 0;

    for (int round = 0; round < 20000; round++) {
        WEFT_SCOPE;
        weft_term term = gen_term(&gen, 5);
        const char *full = weft_inspect(term);
        size_t max = 1 + gen_below(&gen, 100);
        char buffer[101];
        size_t n = weft_inspect_to(buffer, max, term);

        n_wrong += strlen(full) > 4096 || n != strlen(buffer) || n >= max + (max == 0);
        n_wrong += strlen(full) < max && strcmp(full, buffer) != 0;
    }
    check_int(n_wrong, 0);
}

/* The logger, as seen by a handler and on standard error. */
#include "proc/log.h"
#include "base/symbol.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "proc/process_test.h"

/* -- a handler that keeps the last record ------------------------------------------- */

static struct {
    int n;
    enum weft_log_level level;
    char text[WEFT__LOG_TEXT];
    char fields[1024];
    uint64_t n_left_out;
    int line;
    bool has_site;
} seen;

static void see(const weft_log_record *record, void *arg)
{
    (void)arg;
    seen.n++;
    seen.level = record->level;
    snprintf(seen.text, sizeof seen.text, "%s", record->text);
    weft_inspect_to(seen.fields, sizeof seen.fields, record->fields);
    seen.n_left_out = record->n_left_out;
    seen.line = record->line;
    seen.has_site = record->file != NULL;
}

static void watch(void)
{
    check_int(weft_log_set_handler(see, NULL, NULL), 0);
}

/* 2026-05-17T09:30:12.042Z */
#define TIME_NS (INT64_C(1779010212) * 1000000000 + 42999999)

static const char *line_of(const char *text, weft_term fields)
{
    static char line[WEFT__LOG_LINE];
    weft_log_record record = {
        .size = sizeof record, .level = WEFT_LOG_ERROR, .time_ns = TIME_NS, .text = text,
        .text_size = strlen(text), .fields = fields,
    };
    size_t n = weft_log_format(line, sizeof line, &record);

    check_uint(n, strlen(line));
    return line;
}

/* What a function writes to standard error. */
static const char *output_of(void (*run)(void *arg), void *arg)
{
    static struct tap_outcome outcome;

    tap_run(run, arg, 30, &outcome);
    check_int(outcome.status, 0);
    return outcome.output;
}

static weft_term long_text(size_t size)
{
    char *bytes = malloc(size);
    weft_term bin;

    memset(bytes, 'x', size);
    bin = weft_bin(bytes, size);
    free(bytes);
    return bin;
}

/* Is it one JSON object, and nothing after it but a newline? Strings, numbers,
 * words, nested objects and arrays; enough for what the logger writes. */
static const char *json_value(const char *at)
{
    if (*at == '"') {
        for (at++; *at != '"'; at++) {
            if ((unsigned char)*at < 0x20)
                return "";
            if (*at == '\\' && *++at == 'u')
                for (int i = 0; i < 4; i++)
                    if (!strchr("0123456789abcdef", *++at) || *at == '\0')
                        return "";
        }
        return at + 1;
    }
    if (*at == '{') {
        do {
            at = *++at == '}' ? at : json_value(at);
            if (*at == ':')
                at = json_value(at + 1);
        } while (*at == ',');
        return *at == '}' ? at + 1 : "";
    }
    if (*at == '[') {
        do
            at = *++at == ']' ? at : json_value(at);
        while (*at == ',');
        return *at == ']' ? at + 1 : "";
    }
    return at + strspn(at, "-+.0123456789eaflnrstu");
}

static void check_json(const char *line)
{
    check_str(json_value(line), "\n");
}

/* -- levels ------------------------------------------------------------------------------ */

TEST(a_record_below_the_level_is_not_made)
{
    int n = 0;

    watch();
    check_int(weft_log_set_level(WEFT_LOG_WARNING), WEFT_LOG_INFO);
    weft_log_notice("%d", ++n);
    check_int(n, 0);
    check_int(seen.n, 0);
    weft_log_warning("%d", ++n);
    check_int(n, 1);
    check_str(seen.text, "1");
    check_int(seen.level, WEFT_LOG_WARNING);
}

TEST(debug_records_are_not_logged_at_first)
{
    watch();
    check(!weft_log_enabled(WEFT_LOG_DEBUG));
    weft_log_debug("no");
    weft_log_info("yes");
    check_int(seen.n, 1);
}

TEST(the_level_none_silences_all)
{
    watch();
    weft_log_set_level(WEFT_LOG_NONE);
    weft_log_critical("no");
    check_int(seen.n, 0);
    check(!weft_log_enabled(WEFT_LOG_NONE));
}

TEST(a_level_that_is_none_is_refused)
{
    check_int(weft_log_set_level((enum weft_log_level)7), WEFT_EINVAL);
    check_int(weft_log_set_level(WEFT_LOG_INFO), WEFT_LOG_INFO);
    check_str(weft_log_level_name(WEFT_LOG_CRITICAL), "critical");
    check_str(weft_log_level_name(WEFT_LOG_NONE), "unknown");
}

/* -- records ------------------------------------------------------------------------------- */

TEST(a_record_knows_its_place_and_fields)
{
    watch();
    weft_log_event(WEFT_LOG_NOTICE, "100% full", weft_list(weft_tuple(A(room), weft_int(7))));
    check_int(seen.line, __LINE__ - 1);
    check_str(seen.text, "100% full");
    check_str(seen.fields, "[room: 7]");
}

TEST(a_record_may_be_made_without_a_place)
{
    watch();
    weft_log_at(NULL, WEFT_LOG_ERROR, "%s", "from elsewhere");
    check(!seen.has_site);
    check_str(seen.text, "from elsewhere");
}

TEST(a_long_text_is_cut_and_marked)
{
    char text[5000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    watch();
    weft_log_info("%s", text);
    check_uint(strlen(seen.text), WEFT__LOG_TEXT - 1);
    check_str(seen.text + WEFT__LOG_TEXT - 5, "x...");
}

TEST(a_text_is_cut_between_characters)
{
    char text[16] = "abc\xe2\x82\xac\xe2\x82\xac";

    check_uint(weft__log_cut(text, 9), 6);
    check_str(text, "abc...");
    check_uint(weft__log_cut(text, 3), 0);
}

TEST(errno_is_left_alone_and_can_be_printed)
{
    watch();
    errno = ENOENT;
    weft_log_error("%m");
    check_int(errno, ENOENT);
    check_str(seen.text, "No such file or directory");
    weft_log_event(WEFT_LOG_ERROR, "x", weft_none);
    check_int(errno, ENOENT);
}

static void name_a_process(struct weft__log_caller *caller)
{
    caller->pid = weft__term(UINT64_C(5) << 39 | 9 << 4 | WEFT__TAG_PID);
    caller->label = "room 7";
}

static void log_as_a_process(void *arg)
{
    (void)arg;
    weft__log_set_caller(name_a_process);
    weft_log_error("full");
}

TEST(a_record_names_its_process_and_label)
{
    const char *output = output_of(log_as_a_process, NULL);

    check_has(output, " [error] #PID<");
    check_has(output, "> (room 7) full\n");
}

static weft_pid seen_pid;
static char seen_label[65];

static void see_caller(const weft_log_record *record, void *arg)
{
    (void)arg;
    seen_pid = record->pid;
    snprintf(seen_label, sizeof seen_label, "%s", record->label != NULL ? record->label : "");
}

PROCESS_TEST(a_process_logs_under_its_own_pid_and_label)
{
    check_int(weft_log_set_handler(see_caller, NULL, NULL), 0);
    weft_log_error("without a label");
    check_term(seen_pid, weft_self());
    check_str(seen_label, "");
    weft_set_label("room 7");
    weft_log_error("with one");
    check_str(seen_label, "room 7");
}

TEST(a_thread_does_not_become_a_guest_by_logging)
{
    check_int(weft_log_set_handler(see_caller, NULL, NULL), 0);
    weft_log_error("no runtime");
    check(weft_is_none(seen_pid));
    check_int(weft_runtime_start(.workers = 1), 0);
    weft_log_error("no guest");
    check(weft_is_none(seen_pid));
    runtime_down();
}

static weft_term log_much(weft_term arg)
{
    for (int i = 0; i < 100; i++) {
        weft_log_at(NULL, WEFT_LOG_INFO, "%d", i);
        if (i % 10 == 0)
            weft_yield();
    }
    atomic_fetch_add((_Atomic int *)weft_to_pointer(arg), 1);
    return arg;
}

static _Atomic int n_records;

static void count_only(const weft_log_record *record, void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_records, record->pid.bits != 0);
}

PROCESS_TEST(many_processes_log_at_once)
{
    enum { PROCESSES = 200 };
    _Atomic int n_ended = 0;

    check_int(weft_log_set_handler(count_only, NULL, NULL), 0);
    for (int i = 0; i < PROCESSES; i++)
        weft_spawn(log_much, weft_pointer(&n_ended));
    await_count(&n_ended, PROCESSES);
    check_int(atomic_load(&n_records), PROCESSES * 100);
}

/* -- the readable line ----------------------------------------------------------------------- */

TEST(a_readable_line_has_time_level_text_and_fields)
{
    check_str(line_of("request failed", weft_list(weft_tuple(A(room), weft_int(7)),
                                                  weft_tuple(A(reason), A(timeout)))),
              "2026-05-17T09:30:12.042Z [error] request failed room=7 reason=:timeout\n");
    check_str(line_of("x", weft_map(A(a), weft_str("b c"))), "2026-05-17T09:30:12.042Z [error] x a=\"b c\"\n");
    check_str(line_of("x", weft_none), "2026-05-17T09:30:12.042Z [error] x\n");
    check_str(line_of("x", weft_empty_list), "2026-05-17T09:30:12.042Z [error] x\n");
}

TEST(the_place_is_shown_when_asked_for)
{
    char line[512];
    weft_log_record record = {.text = "full", .text_size = 4, .file = "room.c", .line = 12, .n_left_out = 3};

    weft_log_set_format(WEFT_LOG_READABLE, true);
    weft_log_format(line, sizeof line, &record);
    check_str(line, "1970-01-01T00:00:00.000Z [debug] room.c:12 full (+3 left out)\n");
}

TEST(times_are_right_in_leap_years_and_before_1970)
{
    static const struct { int64_t s; const char *text; } times[] = {
        {951782399, "2000-02-28T23:59:59.000Z"}, {951782400, "2000-02-29T00:00:00.000Z"},
        {951868800, "2000-03-01T00:00:00.000Z"}, {4107542400, "2100-03-01T00:00:00.000Z"},
        {1735689599, "2024-12-31T23:59:59.000Z"}, {-1, "1969-12-31T23:59:59.000Z"},
        {-2208988800, "1900-01-01T00:00:00.000Z"},
    };
    char line[256];

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        weft_log_record record = {.text = "", .time_ns = times[i].s * 1000000000};

        weft_log_format(line, sizeof line, &record);
        line[24] = '\0';
        check_str(line, times[i].text);
    }
}

TEST(a_record_stays_a_line_whatever_is_in_it)
{
    const char *line = line_of("a\nb\x1b[31m\x7f\xc2\x9b\xff\t", weft_list(weft_tuple(A(k), weft_str("c\nd"))));

    check_str(line, "2026-05-17T09:30:12.042Z [error] a\\nb\\x1B[31m\\x7F\\x9B\\xFF\\t k=\"c\\nd\"\n");
    check_has(line_of("\xe2\x82\xac \xf0\x9f\x8e\x89", weft_none), "] \xe2\x82\xac \xf0\x9f\x8e\x89\n");
    check_has(line_of("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", weft_none),
              "] \\xC0\\xAF\\xED\\xA0\\x80\\xF4\\x90\\x80\\x80\\xE2\\x82\n");
}

TEST(fields_of_any_shape_are_logged)
{
    check_has(line_of("x", weft_int(5)), "] x fields=5\n");
    check_has(line_of("x", weft_list(A(odd), weft_tuple(A(a), weft_int(1)))), "] x fields=:odd a=1\n");
    check_has(line_of("x", weft_cons(weft_tuple(A(a), weft_int(1)), A(tail))), "] x a=1 fields=:tail\n");
    check_has(line_of("x", weft_map(weft_str("k"), weft_int(1))), "] x k=1\n");
    check_has(line_of("x", weft_map(weft_int(3), weft_int(1))), "] x 3=1\n");
    check_has(line_of("x", weft_list(weft_tuple(A(a), weft_any))), "] x a=weft_any\n");
}

TEST(a_huge_term_costs_neither_the_text_nor_other_fields)
{
    const char *line = line_of("request failed", weft_list(weft_tuple(A(big), long_text(100000)),
                                                           weft_tuple(A(more), long_text(100000)),
                                                           weft_tuple(A(room), weft_int(7))));

    check_le(strlen(line), WEFT__LOG_LINE - 1);
    check_has(line, "] request failed big=\"xxx");
    check_has(line, "... more=\"xxx");
    check_has(line, "... room=7\n");
}

TEST(a_huge_text_leaves_room_for_fields)
{
    static char text[WEFT__LOG_TEXT];
    const char *line;

    memset(text, '\n', sizeof text - 1);
    line = line_of(text, weft_list(weft_tuple(A(room), weft_int(7))));
    check_le(strlen(line), WEFT__LOG_LINE - 1);
    check_has(line, "\\n... room=7\n");
}

TEST(more_fields_than_there_is_room_for_are_marked)
{
    weft_term fields = weft_empty_list;

    for (int i = 0; i < 1000; i++)
        fields = weft_cons(weft_tuple(A(key), weft_int(i)), fields);
    check_has(line_of("x", fields), "] x key=999 key=998 ");
    check_has(line_of("x", fields), "key=936 ...\n");
}

TEST(every_size_of_buffer_is_kept_to)
{
    static char buffer[1024];
    weft_log_record record = {
        .text = "some text", .text_size = 9, .file = "file.c", .label = "label", .function = "f", .line = 1,
        .fields = weft_list(weft_tuple(A(text), weft_str("some \"text\"")), weft_tuple(A(n), weft_int(INT64_MIN))),
        .n_left_out = UINT64_MAX,
    };

    for (int kind = WEFT_LOG_READABLE; kind <= WEFT_LOG_JSON; kind++) {
        weft_log_set_format((enum weft_log_format_kind)kind, true);
        for (size_t size = 0; size < 512; size++) {
            size_t n;

            memset(buffer, 'Z', sizeof buffer);
            n = weft_log_format(buffer, size, &record);
            check(n == 0 ? size < 64 : n < size && buffer[n] == '\0' && buffer[n - 1] == '\n');
            check_int(buffer[size], 'Z');
            if (kind == WEFT_LOG_JSON && size >= 256)
                check_json(buffer);
        }
    }
}

/* -- JSON ----------------------------------------------------------------------------------------- */

TEST(a_json_line_has_typed_values)
{
    weft_log_set_format(WEFT_LOG_JSON, false);
    check_str(line_of("a \"b\"\n\\", weft_list(weft_tuple(A(i), weft_int(-7)), weft_tuple(A(f), weft_float(1.5)),
                                               weft_tuple(A(t), weft_bool(true)), weft_tuple(A(n), A(nil)),
                                               weft_tuple(A(a), A(ok)), weft_tuple(A(s), weft_str("\xe2\x82\xac")),
                                               weft_tuple(A(l), weft_list(weft_int(1), weft_str("x"))),
                                               weft_tuple(A(b), weft_bin("\xff\x00", 2)))),
              "{\"time\":\"2026-05-17T09:30:12.042Z\",\"level\":\"error\",\"text\":\"a \\\"b\\\"\\n\\\\\","
              "\"fields\":{\"i\":-7,\"f\":1.5,\"t\":true,\"n\":null,\"a\":\"ok\",\"s\":\"\xe2\x82\xac\","
              "\"l\":[1,\"x\"],\"b\":\"<<255, 0>>\"}}\n");
}

TEST(lists_and_maps_are_arrays_and_objects_in_json)
{
    weft_term deep = weft_int(1);
    const char *line;

    weft_log_set_format(WEFT_LOG_JSON, false);
    line = line_of("x", weft_list(weft_tuple(A(m), weft_map(A(k), weft_list(weft_int(1), weft_map()))),
                                  weft_tuple(A(w), weft_list(weft_tuple(A(a), weft_int(1)), weft_tuple(A(b), A(nil)))),
                                  weft_tuple(A(e), weft_empty_list),
                                  weft_tuple(A(t), weft_list(weft_tuple(weft_int(1), weft_int(2)))),
                                  weft_tuple(A(i), weft_cons(weft_int(1), weft_int(2))),
                                  weft_tuple(A(o), weft_map(weft_int(1), weft_int(2)))));
    check_has(line, "\"fields\":{\"m\":{\"k\":[1,{}]},\"w\":{\"a\":1,\"b\":null},\"e\":[],\"t\":[\"{1, 2}\"],"
                    "\"i\":\"[1 | 2]\",\"o\":\"%{1 => 2}\"}");
    check_json(line);
    for (int i = 0; i < 20; i++)
        deep = weft_list(deep);
    line = line_of("x", weft_list(weft_tuple(A(deep), deep)));
    check_has(line, "\"deep\":[[[[[[\"[[[");
    check_json(line);
    line = line_of("x", weft_list(weft_tuple(A(big), weft_list(long_text(3000), long_text(3000))),
                                  weft_tuple(A(n), weft_int(7))));
    check_has(line, "\"big\":\"[");
    check_has(line, "...\",\"n\":7},\"cut\":true}");
    check_json(line);
}

TEST(a_json_line_without_fields_is_whole)
{
    weft_log_set_format(WEFT_LOG_JSON, false);
    check_str(line_of("x\x01\xff", weft_none), "{\"time\":\"2026-05-17T09:30:12.042Z\",\"level\":\"error\","
                                               "\"text\":\"x\\u0001\\ufffd\"}\n");
}

TEST(a_json_line_that_is_cut_is_still_json)
{
    weft_term fields = weft_empty_list;
    const char *line;

    weft_log_set_format(WEFT_LOG_JSON, false);
    line = line_of("x", weft_list(weft_tuple(A(big), long_text(100000)), weft_tuple(A(room), weft_int(7))));
    check_has(line, "...\",\"room\":7},\"cut\":true}\n");
    check_json(line);
    for (int i = 0; i < 64; i++)
        fields = weft_cons(weft_tuple(long_text(50), weft_int(INT64_MIN)),
                           weft_cons(weft_tuple(A(text), long_text(80)), fields));
    line = line_of("x", fields);
    check_json(line);
    check_has(line, "},\"cut\":true}\n");
    check_le(strlen(line), WEFT__LOG_LINE - 1);
}

TEST(a_json_line_tells_place_and_process)
{
    char line[1024];
    weft_log_record record = {
        .text = "full", .text_size = 4, .file = "a\\b.c", .function = "enter", .line = 12, .label = "room \"7\"",
        .n_left_out = 3, .pid = weft__term(UINT64_C(5) << 39 | 9 << 4 | WEFT__TAG_PID),
    };

    weft_log_set_format(WEFT_LOG_JSON, false);
    weft_log_format(line, sizeof line, &record);
    check_json(line);
    check_has(line, "\",\"label\":\"room \\\"7\\\"\",\"function\":\"enter\",\"file\":\"a\\\\b.c\",\"line\":12,"
                    "\"left_out\":3,\"text\":\"full\"}\n");
    check_has(line, ",\"pid\":\"#PID<");
}

TEST(a_format_that_is_none_is_refused)
{
    check_int(weft_log_set_format((enum weft_log_format_kind)2, false), WEFT_EINVAL);
}

/* -- standard error --------------------------------------------------------------------------------- */

#define LINES 200
#define THREADS 8

static void *log_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        weft_log_info("thread %d line %d %s", *(int *)arg, i,
                      "a tail that makes the line long enough to be torn apart if it could be");
    return NULL;
}

static void log_from_threads(void *arg)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    dup2(*(int *)arg, STDERR_FILENO);
    weft_log_set_limit(WEFT_LOG_EACH_PLACE, 0, 1);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, log_lines, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void *count_lines(void *arg)
{
    FILE *file = fdopen(*(int *)arg, "r");
    char line[WEFT__LOG_LINE];
    intptr_t n = 0;

    while (fgets(line, sizeof line, file) != NULL)
        n += strstr(line, " [info] thread ") == line + 24 && strstr(line, " if it could be\n") != NULL;
    fclose(file);
    return (void *)n;
}

TEST(lines_of_many_threads_stay_whole)
{
    struct tap_outcome outcome;
    pthread_t reader;
    int ends[2];
    void *n;

    check_int(pipe(ends), 0);
    /* Room for all: the test has one thread while it forks. */
    check_ge(fcntl(ends[1], F_SETPIPE_SZ, 512 << 10), 512 << 10);
    tap_run(log_from_threads, &ends[1], 30, &outcome);
    check_int(outcome.status, 0);
    close(ends[1]);
    check_int(pthread_create(&reader, NULL, count_lines, &ends[0]), 0);
    pthread_join(reader, &n);
    check_int((intptr_t)n, THREADS * LINES);
}

static void fill_standard_error(void *arg)
{
    int ends[2];

    check_int(pipe2(ends, O_NONBLOCK), 0);
    while (write(ends[1], arg, 1) > 0)
        ;
    dup2(ends[1], STDERR_FILENO);
    weft_log_info("nobody reads this");
    check_uint(weft_log_left_out(), 1);
}

TEST(a_standard_error_that_takes_nothing_costs_the_record)
{
    output_of(fill_standard_error, "x");
}

/* -- handlers ------------------------------------------------------------------------------------------ */

TEST(the_handler_before_is_given_back)
{
    struct weft_log_handler old = {see, &old};

    check_int(weft_log_set_handler(see, &seen, &old), 0);
    check(old.fn == NULL);
    check_int(weft_log_set_handler(NULL, NULL, &old), 0);
    check(old.fn == see);
    check_ptr(old.arg, &seen);
}

static int set_again;

static void log_inside(const weft_log_record *record, void *arg)
{
    (void)record;
    (void)arg;
    set_again = weft_log_set_handler(NULL, NULL, NULL);
    weft_log_error("from inside");
}

static void log_inside_handler(void *arg)
{
    (void)arg;
    weft_log_set_handler(log_inside, NULL, NULL);
    weft_log_error("from outside");
    check_int(set_again, WEFT_EDEADLK);
    weft_log_error("again");
}

TEST(what_a_handler_logs_goes_to_standard_error)
{
    const char *output = output_of(log_inside_handler, NULL);

    check_has(output, " [error] from inside\n");
    check_has(strchr(output, '\n'), " [error] from inside\n");
    check(strstr(output, "from outside") == NULL);
}

struct gate {
    _Atomic int inside, open;
};

static void wait_in_handler(const weft_log_record *record, void *arg)
{
    struct gate *gate = arg;

    (void)record;
    atomic_store(&gate->inside, 1);
    while (!atomic_load(&gate->open))
        usleep(100);
    atomic_store(&gate->inside, 0);
}

static void *log_one(void *arg)
{
    (void)arg;
    weft_log_error("wait");
    return NULL;
}

static void *open_soon(void *arg)
{
    struct gate *gate = arg;

    usleep(20000);
    atomic_store(&gate->open, 1);
    return NULL;
}

TEST(a_handler_is_unused_once_another_is_set)
{
    struct gate gate = {0, 0};
    pthread_t inside, opener;

    check_int(weft_log_set_handler(wait_in_handler, &gate, NULL), 0);
    pthread_create(&inside, NULL, log_one, NULL);
    while (!atomic_load(&gate.inside))
        usleep(100);
    pthread_create(&opener, NULL, open_soon, &gate);
    check_int(weft_log_set_handler(NULL, NULL, NULL), 0);
    check_int(atomic_load(&gate.inside), 0);
    pthread_join(inside, NULL);
    pthread_join(opener, NULL);
}

TEST(a_handler_that_does_not_return_is_reported)
{
    struct gate gate = {0, 0};
    pthread_t inside;

    check_int(weft_log_set_handler(wait_in_handler, &gate, NULL), 0);
    pthread_create(&inside, NULL, log_one, NULL);
    while (!atomic_load(&gate.inside))
        usleep(100);
    check_int(weft_log_set_handler(see, NULL, NULL), WEFT_ETIMEDOUT);
    weft_log_error("the new one is set");
    check_str(seen.text, "the new one is set");
    atomic_store(&gate.open, 1);
    pthread_join(inside, NULL);
}

struct counter {
    _Atomic bool is_freed;
    _Atomic long n;
};

static _Atomic long n_handled, n_after;
static _Atomic bool is_over;

static void count_record(const weft_log_record *record, void *arg)
{
    struct counter *counter = arg;

    (void)record;
    if (atomic_load(&counter->is_freed))
        atomic_fetch_add(&n_after, 1);
    atomic_fetch_add(&counter->n, 1);
    atomic_fetch_add(&n_handled, 1);
}

static void *log_until_over(void *arg)
{
    long *n = arg;

    while (!atomic_load(&is_over)) {
        weft_log_at(NULL, WEFT_LOG_INFO, "%ld", *n);
        ++*n;
    }
    return NULL;
}

TEST(handlers_change_while_many_log)
{
    enum { CHANGES = 200 };
    static struct counter counters[CHANGES];
    pthread_t threads[4];
    long n_logged[4] = {0}, all = 0, counted = 0;

    check_int(weft_log_set_handler(count_record, &counters[0], NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_until_over, &n_logged[i]);
    for (int i = 1; i < CHANGES; i++) {
        struct weft_log_handler old;

        while (atomic_load(&counters[i - 1].n) == 0)
            sched_yield();
        check_int(weft_log_set_handler(count_record, &counters[i], &old), 0);
        atomic_store(&((struct counter *)old.arg)->is_freed, true);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        all += n_logged[i];
    }
    for (int i = 0; i < CHANGES; i++)
        counted += atomic_load(&counters[i].n);
    check_int(atomic_load(&n_after), 0);
    check_int(atomic_load(&n_handled), all);
    check_int(counted, all);
    check_gt(all, 0);
    diag("%ld records, %d changes", all, CHANGES);
}

/* -- limits --------------------------------------------------------------------------------------------- */

static void log_here(int i)
{
    weft_log_info("%d", i);
}

TEST(a_place_that_logs_too_often_is_left_out_and_told)
{
    watch();
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 100, 5), 0);
    for (int i = 0; i < 1000; i++)
        log_here(i);
    check_ge(seen.n, 5);
    check_le(seen.n, 50);
    check_uint(weft_log_left_out() + seen.n_left_out, (uint64_t)(1000 - seen.n));
    weft_log_info("another place");
    check_str(seen.text, "another place");
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 0, 1), 0);
    log_here(1000);
    check_str(seen.text, "1000");
    check_gt(seen.n_left_out, 900);
    check_uint(weft_log_left_out(), 0);
}

TEST(a_place_may_log_again_when_time_has_passed)
{
    int n;

    watch();
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 50, 1), 0);
    log_here(1);
    log_here(2);
    n = seen.n;
    usleep(50000);
    log_here(3);
    check_int(seen.n, n + 1);
    check_str(seen.text, "3");
}

TEST(the_program_can_be_limited_as_a_whole)
{
    watch();
    check_int(weft_log_set_limit(WEFT_LOG_PROGRAM, 1, 2), 0);
    for (int i = 0; i < 20; i++)
        weft_log_info("%d", i);
    check_ge(seen.n, 2);
    check_le(seen.n, 10); /* one more for each second in which the machine stood still */
    check_uint(weft_log_left_out(), (uint64_t)(20 - seen.n));
}

TEST(what_no_place_told_is_told_at_the_end)
{
    char told[100];

    watch();
    weft__log_tell();
    check_int(seen.n, 0);
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 1, 1), 0);
    for (int i = 0; i < 20; i++)
        log_here(i);
    check_gt(weft_log_left_out(), 10);
    snprintf(told, sizeof told, "%d records were left out by the limits of the log", (int)weft_log_left_out());
    weft__log_tell();
    check_str(seen.text, told);
    check_uint(weft_log_left_out(), 0);
}

TEST(the_arguments_of_what_is_left_out_are_not_looked_at)
{
    int n = 0;

    watch();
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 1, 1), 0);
    for (int i = 0; i < 10; i++)
        weft_log_event(WEFT_LOG_INFO, "x", weft_list(weft_tuple(A(n), weft_int(++n))));
    check_int(n, seen.n);
    check_lt(n, 10);
}

TEST(a_bad_limit_is_refused)
{
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 1, 0), WEFT_EINVAL);
    check_int(weft_log_set_limit((enum weft_log_limit)2, 1, 1), WEFT_EINVAL);
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 1000000001, 1), WEFT_EINVAL);
    check_int(weft_log_set_limit(WEFT_LOG_EACH_PLACE, 1, 1000000000), 0);
}

/* -- reports and names ------------------------------------------------------------------------------------- */

static weft_term nearby(weft_term arg)
{
    return arg;
}

TEST(a_report_has_a_title_and_fields)
{
    watch();
    weft__log_report(WEFT_LOG_ERROR, "Task terminating",
                     weft_list(weft_tuple(A(function), weft__log_function(nearby)), weft_tuple(A(reason), A(boom))));
    check_str(seen.text, "Task terminating");
    check_str(seen.fields, "[function: \"nearby\", reason: :boom]");
}

static const char *name_of(const void *address)
{
    static char name[512];
    size_t n = weft__symbol_name(name, sizeof name, address);

    check_uint(n, strlen(name));
    return name;
}

TEST(a_static_function_has_a_name)
{
    check_str(name_of(weft__address(nearby)), "nearby");
    check_has(name_of((const char *)weft__address(nearby) + 1), "nearby+0x1");
}

TEST(a_function_of_a_library_has_a_name)
{
    check_has(name_of(weft__address(strtoll)), "strto"); /* one of its aliases */
}

TEST(an_address_without_a_name_is_told_in_hex)
{
    static char name[8];
    void *heap = calloc(1, 16);

    check_has(name_of(heap), "0x");
    check_str(name_of(NULL), "NULL");
    check_uint(weft__symbol_name(name, 4, weft__address(nearby)), 3);
    check_str(name, "nea");
    check_uint(weft__symbol_name(name, 0, weft__address(nearby)), 0);
    free(heap);
}

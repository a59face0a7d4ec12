/* alarm_test.c - mailboxes that have become long: the listener, the log, the count. */
#include <string.h>

#include "proc/process_test.h"
#include "weft/log.h"

enum { OVER = 100, UNDER = 20 };

static _Atomic int n_records;
static char last_record[1024];

/* One writer at a time here: one process has a long mailbox. */
static void note_record(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strcmp(record->text, "Long mailbox") != 0)
        return;
    weft_inspect_to(last_record, sizeof last_record, record->fields);
    atomic_fetch_add_explicit(&n_records, 1, memory_order_release);
}

/* Takes n messages for each {:EXIT, _, n}, and says so. */
static weft_term takes(weft_term test)
{
    weft_term n = weft_none;

    weft_set_label("slow one");
    weft_trap_exit(true);
    weft_send(test, A(ready));
    for (;;) {
        weft_receive(weft_tuple(A(EXIT), weft_any, weft_bind(&n)), WEFT_INFINITY, NULL);
        for (int64_t i = 0; i < weft_to_int(n); i++)
            weft_receive(weft_tuple(A(job), weft_any), WEFT_INFINITY, NULL);
        weft_send(test, A(took));
    }
    return test;
}

static void take(weft_pid pid, int n)
{
    weft_exit_signal(pid, weft_int(n));
    expect_message(A(took));
}

static void send_jobs(weft_pid pid, int n)
{
    for (int i = 0; i < n; i++)
        weft_send(pid, weft_tuple(A(job), weft_int(i)));
}

static void expect_alarm(weft_pid pid, bool is_on)
{
    expect_message(weft_tuple(A(monitor), pid, A(long_message_queue), weft_bool(is_on)));
}

static void expect_no_alarm(void)
{
    expect_no_message(weft_tuple(A(monitor), weft_any, weft_any, weft_any));
}

static void test_body(void (*body)(weft_pid pid))
{
    weft_pid pid;

    check_int(weft_log_set_handler(note_record, NULL, NULL), 0);
    pid = weft_spawn(takes, weft_self());
    expect_message(A(ready));
    check(weft_is_none(weft_monitor_queues(weft_self())));
    body(pid);
    weft_kill(pid);
    await_end(pid);
    check_term(weft_monitor_queues(weft_none), weft_self());
    weft_log_set_handler(NULL, NULL, NULL);
}

/* A test whose body has a process that takes messages when it is told to. */
#define ALARM_TEST(sentence, ...)                                              \
    static void sentence##_body(weft_pid pid);                                 \
    static weft_term sentence##_process(weft_term arg)                         \
    {                                                                          \
        test_body(sentence##_body);                                            \
        return arg;                                                            \
    }                                                                          \
    TEST_WITH(sentence, __VA_ARGS__)                                           \
    {                                                                          \
        run_in_runtime(sentence##_process, .workers = test_workers(),          \
                       .long_queue = OVER, .long_queue_under = UNDER);         \
    }                                                                          \
    static void sentence##_body(weft_pid pid)

/* What tells the process to take is in its mailbox too: one more than the jobs. */
ALARM_TEST(a_long_mailbox_is_told_once_and_again_when_it_is_short)
{
    uint64_t so_far;

    send_jobs(pid, OVER - 2);
    take(pid, 0);
    expect_no_alarm();
    check_uint(weft_long_queues(&so_far), 0);
    send_jobs(pid, 1);
    take(pid, 0);
    expect_alarm(pid, true);
    check_uint(weft_long_queues(&so_far), 1);
    check_uint(so_far, 1);
    /* Between the marks nothing is told, whichever way it goes. */
    take(pid, 40);
    send_jobs(pid, 41);
    take(pid, 0);
    take(pid, OVER - UNDER - 1);
    expect_no_alarm();
    check_uint(weft_long_queues(NULL), 1);
    take(pid, 1);
    expect_alarm(pid, false);
    check_uint(weft_long_queues(&so_far), 0);
    check_uint(so_far, 1);
    send_jobs(pid, OVER - 1 - UNDER);
    take(pid, 0);
    expect_alarm(pid, true);
    take(pid, OVER - 1);
    expect_alarm(pid, false);
}

ALARM_TEST(the_log_names_the_process_its_label_and_its_oldest_message_at_each_doubling)
{
    send_jobs(pid, OVER - 1);
    take(pid, 0);
    check_int(atomic_load(&n_records), 1);
    check(strstr(last_record, "slow one") != NULL);
    check(strstr(last_record, ":job") != NULL);
    check(strstr(last_record, "100") != NULL);
    send_jobs(pid, OVER - 1);
    take(pid, 0);
    check_int(atomic_load(&n_records), 1);
    send_jobs(pid, 1);
    take(pid, 0);
    check_int(atomic_load(&n_records), 2);
    check(strstr(last_record, "200") != NULL);
    send_jobs(pid, 2 * OVER);
    take(pid, 0);
    check_int(atomic_load(&n_records), 3);
}

static weft_term sends_one(weft_term arg)
{
    weft_send(weft_tuple_at(arg, 0), weft_tuple(A(job), weft_tuple_at(arg, 1)));
    return A(ok);
}

ALARM_TEST(messages_that_come_one_by_one_to_one_that_waits_for_another_are_seen)
{
    for (int i = 0; i < OVER; i++) {
        weft_ref down;

        weft_spawn(sends_one, weft_tuple(pid, weft_int(i)), .monitor = &down);
        await_down(down);
    }
    expect_alarm(pid, true);
}

ALARM_TEST(a_process_that_ends_with_a_long_mailbox_ends_its_alarm)
{
    send_jobs(pid, OVER - 1);
    take(pid, 0);
    expect_alarm(pid, true);
    weft_kill(pid);
    expect_alarm(pid, false);
    check_uint(weft_long_queues(NULL), 0);
}

static weft_term nothing(weft_term arg)
{
    return arg;
}

TEST(a_mark_for_the_end_that_is_not_below_the_one_for_the_begin_is_a_mistake)
{
    check_int(weft_runtime_start(.long_queue = 10, .long_queue_under = 10), WEFT_EINVAL);
    check(strstr(weft_runtime_error(), ".long_queue_under") != NULL);
    run_in_runtime(nothing, .long_queue = 0);
}

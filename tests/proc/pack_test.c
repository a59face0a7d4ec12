/* pack_test.c - many small messages to one that has not looked yet: they are on
 * their way together, and nobody can tell. */
#include "proc/pack.h"
#include "proc/process_test.h"
#include "proc/runtime.h"

enum { N_WORDS = 100 }; /* more than a few packs */

/* Sends 0 to n - 1; arg is {to, n}. */
static weft_term do_count(weft_term arg)
{
    weft_term to = weft_tuple_at(arg, 0);
    int64_t n = weft_to_int(weft_tuple_at(arg, 1));

    for (int64_t i = 0; i < n; i++)
        weft_send(to, weft_int(i));
    return A(ok);
}

static void count_to_myself(int64_t n)
{
    do_count(weft_tuple(weft_self(), weft_int(n)));
}

static void expect_words(int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        if (!check_term(expect_message(weft_any), weft_int(i)))
            return;
}

/* -- what is in a pack -------------------------------------------------------------------- */

/* How many are in the newest message of my inbox, which is the `which`-th there; 0: it
 * is another one, or no pack. */
static uint32_t packed(int which)
{
    struct weft__message *newest = atomic_load(&weft__proc_here()->inbox);
    int n = 0;

    for (struct weft__message *message = newest; message != NULL; message = weft__message_next(message))
        n++;
    return n == which && newest->block.kind == WEFT__MESSAGE_PACK ? weft__pack_count(weft__pack_of(newest)) : 0;
}

static bool words_in_a_row_share(void)
{
    bool one, next;

    count_to_myself(1 + WEFT__PACK_MAX);
    one = packed(2) == WEFT__PACK_MAX;
    weft_send(weft_self(), weft_int(1 + WEFT__PACK_MAX)); /* it is full */
    next = packed(3) == 1;
    expect_words(0, 2 + WEFT__PACK_MAX);
    return one && next;
}

PROCESS_TEST(words_sent_in_a_row_to_one_that_is_busy_share_a_message)
{
    int n_left = 20; /* a worker may lose its slot in between, and what it began */

    while (!words_in_a_row_share() && --n_left > 0)
        ;
    check(n_left > 0);
}

PROCESS_TEST(a_word_between_other_messages_is_a_plain_one)
{
    for (int i = 0; i < 10; i++) {
        weft_send(weft_self(), weft_tuple(weft_int(i)));
        weft_send(weft_self(), weft_int(i));
    }
    for (struct weft__message *message = atomic_load(&weft__proc_here()->inbox); message != NULL;
         message = weft__message_next(message))
        check_int(message->block.kind, WEFT__MESSAGE);
}

PROCESS_TEST(every_word_arrives_once_and_in_its_place, "PROC-52 PROC-54")
{
    for (int64_t n = 1; n <= N_WORDS; n++) {
        count_to_myself(n);
        expect_words(0, n);
    }
    expect_no_message(weft_any);
}

PROCESS_TEST(a_word_is_received_out_of_turn_and_the_others_stay_in_order, "PROC-54")
{
    count_to_myself(N_WORDS);
    check_int(weft_to_int(expect_message(weft_int(50))), 50);
    check_int(weft_to_int(expect_message(weft_int(N_WORDS - 1))), N_WORDS - 1);
    check(!weft_receive(A(never_sent), 0, NULL));
    expect_words(0, 50);
    expect_words(51, N_WORDS - 1);
    expect_no_message(weft_any);
}

PROCESS_TEST(a_pattern_binds_the_oldest_word, "PROC-54")
{
    int64_t number = -1;

    count_to_myself(N_WORDS);
    for (int i = 0; i < N_WORDS; i++) {
        check(weft_receive(weft_bind_int(&number), 0, NULL));
        check_int(number, i);
    }
}

PROCESS_TEST(words_that_wait_are_counted_one_by_one)
{
    count_to_myself(N_WORDS);
    check(weft_receive(weft_int(0), 0, NULL));
    check_int(weft_message_queue_len(), N_WORDS - 1);
    for (int i = 1; i < N_WORDS; i++) {
        check_int(weft_message_queue_len(), N_WORDS - i);
        expect_message(weft_any);
    }
    count_to_myself(N_WORDS);
    expect_message(weft_int(2)); /* out of a pack's middle */
    check_int(weft_message_queue_len(), N_WORDS - 1);
    check_term(info_of(weft_self(), A(message_queue_len)), weft_int(N_WORDS - 1));
}

PROCESS_TEST(to_look_through_words_takes_no_memory, "PROC-8")
{
    weft_term before;

    count_to_myself(100 * N_WORDS);
    check(!weft_receive(A(never_sent), 0, NULL));
    before = info_of(weft_self(), A(memory));
    check(weft_receive(weft_int(50 * N_WORDS), 0, NULL));
    check(!weft_receive(A(never_sent), 0, NULL));
    check_term(info_of(weft_self(), A(memory)), before);
    check(weft_to_int(before) < 64 * 100 * N_WORDS / 4);
    expect_words(0, 50 * N_WORDS);
    expect_words(50 * N_WORDS + 1, 100 * N_WORDS);
}

static bool each_way_out(int64_t first, int64_t second)
{
    count_to_myself(WEFT__PACK_MAX + 2);
    if (!weft_receive(weft_int(first), 0, NULL) || !weft_receive(weft_int(second), 0, NULL))
        return check(false);
    for (int64_t i = 0; i < WEFT__PACK_MAX + 2; i++)
        if (i != first && i != second && !check_term(expect_message(weft_any), weft_int(i)))
            return false;
    return true;
}

PROCESS_TEST(each_two_words_can_be_received_out_of_turn, "PROC-54")
{
    for (int64_t first = 0; first < WEFT__PACK_MAX + 2; first++)
        for (int64_t second = 0; second < WEFT__PACK_MAX + 2; second++)
            if (first != second && !each_way_out(first, second))
                return;
    expect_no_message(weft_any);
}

/* -- order ----------------------------------------------------------------------------------- */

PROCESS_TEST(words_and_other_messages_keep_their_order, "PROC-52")
{
    weft_pid quiet = puppet_start();

    weft_trap_exit(true);
    for (int i = 0; i < 3 * N_WORDS; i++) {
        if (i % 7 == 3)
            weft_send(weft_self(), weft_tuple(weft_int(i)));
        else if (i % 11 == 5)
            weft_exit_signal(weft_self(), weft_int(i));
        else if (i % 13 == 8)
            weft_send(quiet, weft_int(i));
        else
            weft_send(weft_self(), weft_int(i));
    }
    for (int i = 0; i < 3 * N_WORDS; i++) {
        weft_term want = i % 7 == 3 ? weft_tuple(weft_int(i))
                         : i % 11 == 5 ? weft_tuple(A(EXIT), weft_self(), weft_int(i)) : weft_int(i);

        if (i % 7 != 3 && i % 11 != 5 && i % 13 == 8)
            continue;
        if (!check_term(expect_message(weft_any), want))
            return;
    }
}

PROCESS_TEST(a_receive_for_a_reference_begins_after_the_words_that_are_older)
{
    weft_ref first, second;

    count_to_myself(N_WORDS);
    check(weft_receive(weft_int(0), 0, NULL)); /* the others are in the mailbox */
    first = weft_make_ref();
    weft_send(weft_self(), weft_tuple(first, A(answer)));
    check_term(expect_message(weft_tuple(first, weft_any)), weft_tuple(first, A(answer)));
    second = weft_make_ref();
    check(weft_receive(weft_int(N_WORDS - 1), 0, NULL)); /* out of the one that the mark is at */
    weft_send(weft_self(), weft_tuple(second, A(answer)));
    check_term(expect_message(weft_tuple(second, weft_any)), weft_tuple(second, A(answer)));
    expect_words(1, N_WORDS - 1);
    expect_no_message(weft_any);
}

/* -- who receives ------------------------------------------------------------------------------ */

static bool passes_on(void *state, weft_term message)
{
    weft_send(*(weft_pid *)state, weft_tuple(message));
    return true;
}

PROCESS_TEST(a_handler_is_called_for_each_word)
{
    weft_pid self = weft_self(), handler = weft_spawn_handler(passes_on, &self, .state_size = sizeof self);

    do_count(weft_tuple(handler, weft_int(N_WORDS)));
    for (int64_t i = 0; i < N_WORDS; i++)
        check_term(expect_message(weft_any), weft_tuple(weft_int(i)));
}

PROCESS_TEST(a_receive_each_has_a_turn_for_each_word)
{
    int64_t n = 0;

    count_to_myself(N_WORDS);
    weft_receive_each (message) {
        check_term(message, weft_int(n));
        if (++n == N_WORDS)
            break;
    }
    expect_no_message(weft_any);
}

static weft_term counts_for_guest(weft_term guest)
{
    do_count(weft_tuple(guest, weft_int(N_WORDS)));
    weft_send(guest, A(done));
    return A(ok);
}

TEST(a_foreign_thread_receives_each_word)
{
    if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
        return;
    weft_spawn(counts_for_guest, weft_self());
    for (int64_t i = 0; i < N_WORDS; i++)
        check_term(expect_message(weft_any), weft_int(i));
    check_term(expect_message(weft_any), A(done));
    runtime_down();
}

/* -- ends ---------------------------------------------------------------------------------------- */

PROCESS_TEST(words_to_one_that_ends_are_dropped_and_the_next_one_there_sees_none)
{
    weft_pid victims[20];

    for (size_t i = 0; i < COUNT(victims); i++) {
        victims[i] = weft_spawn(waits_for_stop, weft_none);
        do_count(weft_tuple(victims[i], weft_int(N_WORDS)));
        weft_send(victims[i], A(stop));
        do_count(weft_tuple(victims[i], weft_int(N_WORDS))); /* while it ends */
    }
    for (size_t i = 0; i < COUNT(victims); i++)
        await_end(victims[i]);
    for (size_t i = 0; i < COUNT(victims); i++)
        check_term(info_of(puppet_start(), A(message_queue_len)), weft_int(0));
}

TEST(a_runtime_that_stops_gives_back_the_packs_of_its_workers)
{
    for (int i = 0; i < 3; i++) {
        if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
            return;
        weft_spawn(counts_for_guest, weft_spawn(waits_for_stop, weft_none));
        runtime_down();
    }
}

/* -- many ------------------------------------------------------------------------------------------ */

enum { N_SENDERS = 8 };

/* Sends its number + 8 * i, and now and then waits until it is told to go on. */
static weft_term counts_in_turns(weft_term arg)
{
    weft_pid to = weft_tuple_at(arg, 0);
    int64_t number = weft_to_int(weft_tuple_at(arg, 1)), n = weft_to_int(weft_tuple_at(arg, 2));

    for (int64_t i = 0; i < n; i++) {
        weft_send(to, weft_int(number + N_SENDERS * i));
        if (i % 64 == number)
            weft_yield();
        if (i % 1024 == 1023) {
            WEFT_SCOPE;
            weft_send(to, weft_tuple(weft_self(), A(wait)));
            expect_message(A(go_on));
        }
    }
    return A(ok);
}

/* The next of its sender? Whoever waits goes on. */
static bool take_one(int64_t *next)
{
    weft_pid waits = weft_none;
    weft_term message;
    int64_t value;

    WEFT_SCOPE;
    message = expect_message(weft_any);
    if (weft_match(message, weft_tuple(weft_bind(&waits), A(wait)))) {
        weft_send(waits, A(go_on));
        return true;
    }
    value = weft_to_int(message);
    return check_int(value / N_SENDERS, next[value % N_SENDERS]++);
}

PROCESS_TEST(words_of_senders_on_all_workers_come_in_the_order_of_each, "PROC-52")
{
    int64_t next[N_SENDERS] = {0}, n = scaled(200000);

    for (int i = 0; i < N_SENDERS; i++)
        weft_spawn(counts_in_turns, weft_tuple(weft_self(), weft_int(i), weft_int(n)));
    for (int64_t i = 0; i < N_SENDERS * (n + n / 1024); i++)
        if (!take_one(next))
            return;
    expect_no_message(weft_any);
}

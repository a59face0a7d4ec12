/* memory_test.c - what a process owns is given back on every ending: memory,
 * defers, kept terms, messages nobody read. */
#include <string.h>
#include <unistd.h>

#include "proc/process_test.h"

/* -- every ending ----------------------------------------------------------------------- */

/* Where the process is and how it ends from there. */
enum ending {
    RETURNS,
    EXITS,
    EXITS_NORMALLY,
    ERRS,
    MISTAKES,          /* a wrong call */
    SIGNALLED_IN_RECEIVE,
    KILLED_IN_RECEIVE,
    KILLED_IN_TIMED_RECEIVE,
    SIGNALLED_IN_SLEEP,
    KILLED_IN_SLEEP,
    KILLED_IN_YIELDS,
    SIGNALLED_IN_CHECKPOINTS,
    LINK_ENDS,
    N_ENDINGS
};

static weft_term goes_to_its_end(enum ending ending)
{
    switch (ending) {
    case RETURNS: return A(ok);
    case EXITS: weft_exit(A(boom));
    case EXITS_NORMALLY: weft_exit(A(normal));
    case ERRS: weft_error(A(boom));
    case MISTAKES: return weft_receive(weft_any, -1, NULL), A(ok);
    case KILLED_IN_TIMED_RECEIVE: return weft_receive(A(never), 3600000, NULL), A(ok);
    case SIGNALLED_IN_SLEEP:
    case KILLED_IN_SLEEP: return weft_sleep(3600000), A(ok);
    case KILLED_IN_YIELDS:
        for (;;)
            weft_yield();
    case SIGNALLED_IN_CHECKPOINTS:
        for (;;)
            weft_checkpoint();
    default: return weft_receive(A(never), WEFT_INFINITY, NULL), A(ok);
    }
}

static void send_its_end(weft_pid pid, enum ending ending)
{
    switch (ending) {
    case SIGNALLED_IN_RECEIVE:
    case SIGNALLED_IN_SLEEP:
    case SIGNALLED_IN_CHECKPOINTS: weft_exit_signal(pid, A(boom)); break;
    case KILLED_IN_RECEIVE:
    case KILLED_IN_TIMED_RECEIVE:
    case KILLED_IN_SLEEP:
    case KILLED_IN_YIELDS: weft_kill(pid); break;
    case LINK_ENDS: {
        weft_pid peer = puppet_start();

        ask(peer, do_link, pid);
        tell(peer, do_exit, A(boom));
        break;
    }
    default: break;
    }
}

/* Run fn({ending, the test's pid}), which sends :ready and goes to its end. */
static void end_it(weft_fn *fn, enum ending ending)
{
    WEFT_SCOPE;
    weft_ref down = weft_none;
    weft_pid pid = weft_spawn(fn, weft_tuple(weft_int((int64_t)ending), weft_self()), .monitor = &down);

    expect_message(A(ready));
    send_its_end(pid, ending);
    await_down(down);
}

static weft_term ready_for_the_end(weft_term arg)
{
    weft_send(weft_tuple_at(arg, 1), A(ready));
    return goes_to_its_end((enum ending)weft_to_int(weft_tuple_at(arg, 0)));
}

/* -- defers ---------------------------------------------------------------------------------- */

static _Atomic int n_deferred, n_wrong;

struct note {
    int number;
    char text[64];
};

/* Its memory is still there, and the one deferred last runs first. */
static void reads_its_note(void *arg)
{
    struct note *note = arg;

    if (note->number != 2 - atomic_load(&n_deferred) || strcmp(note->text, "still here") != 0)
        atomic_fetch_add(&n_wrong, 1);
    note->number = -1;
    atomic_fetch_add(&n_deferred, 1);
}

static weft_term defers_three(weft_term arg)
{
    for (int i = 0; i < 3; i++) {
        struct note *note = weft_new(struct note);

        note->number = i;
        strcpy(note->text, "still here");
        weft_defer(reads_its_note, note);
    }
    return ready_for_the_end(arg);
}

PROCESS_TEST(defers_run_on_every_ending_last_first_before_memory_goes, "PROC-18")
{
    for (int ending = 0; ending < N_ENDINGS; ending++) {
        atomic_store(&n_deferred, 0);
        end_it(defers_three, (enum ending)ending);
        if (!await_count(&n_deferred, 3) || !check_int(atomic_load(&n_wrong), 0))
            diag("  ending %d", ending);
    }
}

static void sends_last_words(void *arg)
{
    weft_term *to = arg;

    weft_send(*to, weft_tuple(A(last_words), weft_self(), weft_str("good bye")));
}

static weft_term defers_a_send(weft_term arg)
{
    weft_term *to = weft_new(weft_term);

    *to = weft_tuple_at(arg, 1);
    weft_defer(sends_last_words, to);
    return ready_for_the_end(arg);
}

PROCESS_TEST(a_defer_may_call_what_never_switches, "PROC-18")
{
    for (int ending = 0; ending < N_ENDINGS; ending++) {
        WEFT_SCOPE;

        end_it(defers_a_send, (enum ending)ending);
        expect_message(weft_tuple(A(last_words), weft_any, weft_str("good bye")));
    }
}

/* Some 40 KiB of frames: more than is left of the victim's stack below it. */
static void uses_a_clean_stack(void *arg)
{
    volatile char frame[40 * 1024];

    for (size_t i = 0; i < sizeof frame; i += 512)
        frame[i] = (char)i;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

__attribute__((noinline))
static weft_term waits_deep_down(int depth, weft_term arg)
{
    volatile char frame[1024];
    weft_term result;

    frame[0] = 1;
    result = depth > 0 ? waits_deep_down(depth - 1, arg) : ready_for_the_end(arg);
    frame[1] = frame[0];
    return result;
}

static weft_term defers_and_waits_deep_down(weft_term arg)
{
    weft_defer(uses_a_clean_stack, &n_deferred);
    return waits_deep_down(36, arg);
}

PROCESS_TEST(a_defer_runs_on_a_clean_stack, "PROC-18")
{
    end_it(defers_and_waits_deep_down, KILLED_IN_RECEIVE);
    await_count(&n_deferred, 1);
    end_it(defers_and_waits_deep_down, SIGNALLED_IN_SLEEP);
    await_count(&n_deferred, 2);
    end_it(defers_and_waits_deep_down, EXITS);
    await_count(&n_deferred, 3);
}

static char order[8];
static void notes_a(void *arg) { (void)arg, strcat(order, "a"); }
static void notes_b(void *arg) { (void)arg, strcat(order, "b"); }

static weft_term takes_defers_back(weft_term arg)
{
    static int x, y;

    check(!weft_undefer(notes_a, &x));
    weft_defer(notes_a, &x);
    weft_defer(notes_b, &x);
    weft_defer(notes_a, &y);
    weft_defer(notes_a, &x);
    weft_defer(notes_b, &y);
    check(weft_undefer(notes_a, &x)); /* the newest such pair, not the first */
    check(weft_undefer(notes_a, &y));
    check(!weft_undefer(notes_a, &y));
    check(weft_undefer(notes_b, &y));
    weft_defer(notes_b, &y);
    return arg;
}

static void counts_a_defer(void *arg) { atomic_fetch_add((_Atomic int *)arg, 1); }

static weft_term takes_defers_back_and_tells(weft_term arg)
{
    weft_defer(counts_a_defer, &n_deferred); /* runs last */
    return takes_defers_back(arg);
}

PROCESS_TEST(undefer_takes_the_newest_such_pair_back)
{
    weft_spawn(takes_defers_back_and_tells, weft_none);
    await_count(&n_deferred, 1);
    check_str(order, "bba");
}

static weft_term defers_a_thousand(weft_term arg)
{
    for (int i = 0; i < 1000; i++)
        weft_defer(counts_a_defer, &n_deferred);
    return ready_for_the_end(arg);
}

PROCESS_TEST(a_thousand_defers_run_each_once, "PROC-18")
{
    end_it(defers_a_thousand, RETURNS);
    await_count(&n_deferred, 1000);
    end_it(defers_a_thousand, KILLED_IN_SLEEP);
    await_count(&n_deferred, 2000);
    check_int(atomic_load(&n_deferred), 2000);
}

/* -- memory ------------------------------------------------------------------------------------ */

PROCESS_TEST(memory_is_zeroed_and_aligned)
{
    static const size_t sizes[] = { 1, 15, 16, 17, 100, 1000, 5000, 8192, 8193, 70000, 3000000 };
    static const char zeros[3000000];
    char *blocks[COUNT(sizes)];

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            blocks[i] = weft_alloc(sizes[i]);
            check_uint((uintptr_t)blocks[i] % 16, 0);
            check_mem(blocks[i], zeros, sizes[i]);
            memset(blocks[i], 0xff, sizes[i]);
        }
        for (size_t i = 0; i < COUNT(sizes); i++)
            weft_free(blocks[i]); /* the next round gets them again, dirty as they are */
    }
    weft_free(NULL);
}

PROCESS_TEST(realloc_keeps_what_was_there)
{
    char *block = weft_realloc(NULL, 10);

    memcpy(block, "ninechars", 10);
    for (size_t size = 10; size < 1000000; size = size * 3 / 2) {
        block = weft_realloc(block, size);
        check_uint((uintptr_t)block % 16, 0);
        check_str(block, "ninechars");
    }
    block = weft_realloc(block, 12);
    check_str(block, "ninechars");
    weft_free(block);
}

PROCESS_TEST(new_gives_memory_for_a_type)
{
    struct note *note = weft_new(struct note);

    check_int(note->number, 0);
    check_str(note->text, "");
    weft_free(note);
}

static weft_term owns_much(weft_term arg)
{
    weft_term big;
    char *block;

    memset(weft_alloc(512 * 1024), 1, 512 * 1024);
    for (int i = 0; i < 256; i++)
        memset(weft_alloc(1024), 2, 1024);
    block = weft_alloc(100);
    block = weft_realloc(block, 128 * 1024);
    memset(block, 3, 128 * 1024);
    big = weft_bin(block, 128 * 1024);
    weft_keep(weft_tuple(A(kept), big));
    weft_dict_put(A(key), weft_list(big, weft_bin(block, 64 * 1024)));
    for (int i = 0; i < 100; i++)
        weft_send(weft_self(), weft_tuple(weft_int(i), weft_bin(block, 1000)));
    return ready_for_the_end(arg);
}

/* A sanitizer keeps what was freed for a while; its leak check sees the rest. */
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)

/* Resident memory, in MiB. */
static long resident_mib(void)
{
    long pages = 0, ignored;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / (1024 * 1024);
}

/* Each owns about a MiB. */
static void check_leaves_nothing(enum ending ending)
{
    int n = scaled(600);
    long before, after;

    for (int i = 0; i < n / 10; i++)
        end_it(owns_much, ending);
    before = resident_mib();
    for (int i = 0; i < n; i++)
        end_it(owns_much, ending);
    after = resident_mib();
    if (!check_lt(after - before, n / 4))
        diag("  ending %d, %d processes", (int)ending, n);
}

PROCESS_TEST(a_process_that_returns_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(RETURNS);
}

PROCESS_TEST(a_process_that_exits_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(EXITS);
}

PROCESS_TEST(a_process_that_errs_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(ERRS);
}

PROCESS_TEST(a_process_that_is_killed_in_receive_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(KILLED_IN_RECEIVE);
}

PROCESS_TEST(a_process_that_is_killed_in_sleep_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(KILLED_IN_SLEEP);
}

PROCESS_TEST(a_process_that_is_killed_while_it_runs_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(KILLED_IN_YIELDS);
}

PROCESS_TEST(a_process_that_is_signalled_leaves_no_memory_behind, "PROC-18")
{
    check_leaves_nothing(SIGNALLED_IN_RECEIVE);
}
#else
PROCESS_TEST(no_ending_leaves_memory_behind, "PROC-18")
{
    for (int ending = 0; ending < N_ENDINGS; ending++)
        end_it(owns_much, (enum ending)ending);
    check(true);
}
#endif

/* -- objects that count --------------------------------------------------------------------------- */

static _Atomic int n_destroyed;
static void counts_destroyed(void *object) { free(object), atomic_fetch_add(&n_destroyed, 1); }
static const weft_native_type counted_type = { .name = "counted", .destroy = counts_destroyed };
enum { N_HELD = 6 };

static weft_term counted(void)
{
    return weft_native(&counted_type, malloc(1));
}

/* One object in each place where a term can be. */
static weft_term holds_objects(weft_term arg)
{
    weft_term kept;

    weft_tuple(counted(), A(in_the_region));
    kept = weft_keep(weft_list(counted()));
    weft_dict_put(A(key), weft_map(A(in_the_dictionary), counted()));
    weft_send(weft_self(), weft_tuple(A(unread), counted()));
    weft_send(weft_self(), weft_tuple(A(looked_at), counted()));
    weft_send(weft_self(), weft_tuple(A(received), counted()));
    weft_receive(weft_tuple(A(received), weft_any), 0, NULL);
    (void)kept;
    return ready_for_the_end(arg);
}

PROCESS_TEST(every_object_a_process_held_is_destroyed_on_every_ending, "PROC-18")
{
    for (int ending = 0; ending < N_ENDINGS; ending++) {
        atomic_store(&n_destroyed, 0);
        end_it(holds_objects, (enum ending)ending);
        if (!await_count(&n_destroyed, N_HELD))
            diag("  ending %d", ending);
        check_int(atomic_load(&n_destroyed), N_HELD);
    }
}

static weft_term exits_with_an_object(weft_term arg)
{
    (void)arg;
    weft_exit(weft_tuple(A(boom), counted()));
}

PROCESS_TEST(an_object_in_an_exit_reason_lives_as_long_as_the_reason)
{
    {
        WEFT_SCOPE;
        weft_ref down = weft_none;
        weft_term reason;

        weft_spawn(exits_with_an_object, weft_none, .monitor = &down);
        reason = await_down(down);
        check(weft_is_native(weft_tuple_at(reason, 1), &counted_type));
        check_int(atomic_load(&n_destroyed), 0);
    }
    await_count(&n_destroyed, 1);
}

static weft_term dies_before_it_runs(weft_term arg)
{
    return arg;
}

PROCESS_TEST(an_argument_of_a_process_that_is_killed_before_it_runs_is_given_back, "PROC-18")
{
    int n = scaled(1000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_kill(weft_spawn(dies_before_it_runs, counted()));
    }
    await_count(&n_destroyed, n);
    check_int(atomic_load(&n_destroyed), n);
}

/* By whoever began to: the last one may be ended before it runs. */
static _Atomic int n_sent_to_the_dead;

static weft_term sends_an_object(weft_term to)
{
    atomic_fetch_add(&n_sent_to_the_dead, 1);
    weft_send(to, counted());
    return A(ok);
}

static weft_term sends_to_the_dead(weft_term arg)
{
    int n = scaled(2000);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        weft_pid victim = weft_spawn(ends_with, A(normal));

        /* Before, while and after it ends. */
        weft_spawn(sends_an_object, victim);
        if (i % 3 == 0)
            weft_yield();
        sends_an_object(victim);
        await_end(victim);
        sends_an_object(victim);
    }
    return weft_is_none(arg) ? A(ok) : arg;
}

/* What was pushed while its receiver ended may lie there until the place is
 * used again, at the latest until the runtime stops. */
TEST(a_message_to_the_dead_is_given_back, "PROC-18 PROC-48")
{
    run_in_runtime(sends_to_the_dead, .workers = test_workers());
    check_ge(atomic_load(&n_sent_to_the_dead), 2 * scaled(2000));
    check_int(atomic_load(&n_destroyed), atomic_load(&n_sent_to_the_dead));
}

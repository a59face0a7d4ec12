/* cycles_test.c - the runtime starts and stops over and over, and each time all
 * kinds of things are in it when it stops; afterwards the program has as much
 * of everything as before: memory, descriptors, threads, mappings.
 *
 * Figures are taken after a tenth of the turns, when what lives as long as the
 * program is there, and at the end. The turns are run by a thread that has
 * ended by then: malloc keeps up to seven freed pieces of each size for the
 * thread that freed them, and counts those as given out.
 *
 * WEFT_TEST_CYCLES: how many turns (1000; a tenth of it under TSan). */
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include "counts.h"
#include "proc/process_test.h"
#include "weft/timer.h"

static int n_cycles(void)
{
    const char *text = getenv("WEFT_TEST_CYCLES");

#if defined(WEFT_TSAN)
    return text != NULL ? atoi(text) : 100;
#else
    return text != NULL ? atoi(text) : scaled(1000);
#endif
}

/* -- figures ------------------------------------------------------------------------ */

struct figures {
    long n_threads, n_files, n_mappings, mapped_kib, resident_kib;
    size_t heap; /* bytes that malloc has given out */
};

/* A line of /proc/self/status. */
static long status_of(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    size_t length = strlen(name);
    char line[256];
    long value = -1;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            value = strtol(line + length + 1, NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

static long count_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    long n = 0;
    int c;

    while (file != NULL && (c = getc(file)) != EOF)
        n += c == '\n';
    if (file != NULL)
        fclose(file);
    return n;
}

static struct figures figures_now(void)
{
    struct mallinfo2 heap = mallinfo2();

    return (struct figures){
        .n_threads = await_threads(ONE_THREAD),
        .n_files = count_files(),
        .n_mappings = count_lines("/proc/self/maps"),
        .mapped_kib = status_of("VmSize"),
        .resident_kib = status_of("VmRSS"),
        .heap = heap.uordblks + heap.hblkhd,
    };
}

static void check_figures(struct figures before, struct figures after)
{
    check_int(after.n_threads, before.n_threads);
    check_int(after.n_files, before.n_files);
    diag("threads %ld, files %ld; mappings %ld -> %ld; mapped %ld -> %ld KiB; resident %ld -> %ld KiB; "
         "malloc %zu -> %zu bytes", after.n_threads, after.n_files, before.n_mappings, after.n_mappings,
         before.mapped_kib, after.mapped_kib, before.resident_kib, after.resident_kib, before.heap, after.heap);
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)
    /* A sanitizer's own books grow. malloc's arenas for threads come and go by
     * two mappings each; a leak would be one or more in each of 900 turns. */
    check_le(after.n_mappings, before.n_mappings + 32);
    check_le(after.mapped_kib, before.mapped_kib + 256 * 1024);
    check_le(after.resident_kib, before.resident_kib + 16 * 1024);
    /* The log's first line takes some KiB that stay, and comes at any time: a slow
     * machine makes a hog of a process (sched/hog.c). A leak is 900 pieces. */
    check_le(after.heap, before.heap + 16 * 1024);
#endif
}

/* -- turns ---------------------------------------------------------------------------- */

struct turns {
    bool (*turn)(int i);
    int from, to; /* one past the last */
    bool held;
};

static void *take_turns(void *arg)
{
    struct turns *turns = arg;

    turns->held = true;
    for (int i = turns->from; i < turns->to && turns->held; i++)
        if (!(turns->held = turns->turn(i)))
            diag("  in turn %d: %s", i, weft_runtime_error());
    return NULL;
}

static bool on_a_thread(bool (*turn)(int i), int from, int to)
{
    struct turns turns = { .turn = turn, .from = from, .to = to };
    pthread_t thread;

    if (!check_int(pthread_create(&thread, NULL, take_turns, &turns), 0))
        return false;
    pthread_join(thread, NULL);
    return turns.held;
}

/* n turns, of which the first n_before may leave something for good. */
static void check_turns(bool (*turn)(int i), int n_before, int n)
{
    struct figures before;

    if (!on_a_thread(turn, 0, n_before))
        return;
    before = figures_now();
    if (on_a_thread(turn, n_before, n))
        check_figures(before, figures_now());
}

/* -- one turn --------------------------------------------------------------------------- */

static bool parks_in_its_callback(void *state, weft_term message)
{
    (void)state;
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return !weft_is_none(message);
}

static bool answers(void *state, weft_term message)
{
    ++*(int *)state;
    weft_send(weft_tuple_at(message, 0), weft_tuple(A(answer), weft_tuple_at(message, 1)));
    return true;
}

static weft_term sleeps_long(weft_term arg)
{
    weft_sleep(INT64_MAX / 2);
    return arg;
}

static weft_term owns_things(weft_term arg)
{
    weft_keep(weft_tuple(A(kept), arg));
    weft_dict_put(A(key), weft_list(arg, arg));
    weft_set_label("owns things");
    memset(weft_alloc(50000), 1, 50000);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static void *returns(void *arg)
{
    return arg;
}

static weft_term leaves_things_behind(weft_term turn)
{
    int zero = 0;
    weft_term large = weft_bin(memset(weft_alloc(20000), 'x', 20000), 20000);
    weft_pid handler = weft_spawn_handler(answers, &zero, .state_size = sizeof zero), other;

    weft_send(handler, weft_tuple(weft_self(), turn));
    expect_message(weft_tuple(A(answer), turn));
    weft_register(A(left_over), handler);
    for (int i = 0; i < 5; i++) {
        weft_send(weft_spawn_handler(parks_in_its_callback, NULL), large);
        weft_spawn(sleeps_long, A(nil));
        other = weft_spawn(owns_things, large, .link = i % 2 == 0);
        weft_monitor(other);
        weft_send(other, weft_tuple(A(unread), large));
        weft_send_after(other, weft_tuple(A(late), large), 3600 * 1000);
    }
    weft_blocking(returns, NULL);
    weft_unlink(other);
    await_end(weft_spawn(ends_with, A(boom)));
    return turn;
}

/* A thread that is a guest, with mail that it never reads. */
static void *visits(void *arg)
{
    weft_pid self = weft_self();

    check(weft_is_pid(self));
    weft_send(self, weft_tuple(A(unread), weft_str("text that is some bytes long, and longer")));
    check_int(weft_try_send(A(left_over), A(from_a_guest)), 0);
    return arg;
}

static bool turn(int i)
{
    WEFT_SCOPE;
    pthread_t guest;

    if (!check_int(weft_runtime_start(.workers = (unsigned)(1 + i % 6)), 0)
        || !check_int(weft_runtime_run(leaves_things_behind, weft_int(i), NULL), 0)
        || !check_int(pthread_create(&guest, NULL, visits, NULL), 0))
        return false;
    pthread_join(guest, NULL);
    return check_int(weft_runtime_stop(), 0);
}

TEST_WITH(a_program_starts_and_stops_the_runtime_without_losing_anything, .deadline_s = 120)
{
    /* Layout by layout: as many workers as are asked for. */
    setenv("HWLOC_SYNTHETIC", "pack:1 core:6 pu:1", 1);
    check_turns(turn, n_cycles() / 10, n_cycles());
}

/* A start that fails leaves nothing either. */
static bool is_refused(int i)
{
    (void)i;
    return check_int(weft_runtime_start(.workers = 100000), WEFT_EINVAL)
        && check_int(weft_runtime_stop(), WEFT_ESTOPPED);
}

TEST(a_start_that_is_refused_leaves_nothing)
{
    check_turns(is_refused, 100, 1100);
}

/* Threads beyond the workers, for blocking calls, end with the runtime. */
static _Atomic int n_inside;

static void *waits_for_others(void *arg)
{
    atomic_fetch_add(&n_inside, 1);
    spin_until(&n_inside, 8);
    return arg;
}

static weft_term blocks(weft_term arg)
{
    weft_blocking(waits_for_others, NULL);
    return arg;
}

static weft_term blocks_in_many(weft_term arg)
{
    weft_ref downs[8];

    atomic_store(&n_inside, 0);
    for (size_t i = 0; i < COUNT(downs); i++)
        weft_spawn(blocks, A(nil), .monitor = &downs[i]);
    for (size_t i = 0; i < COUNT(downs); i++)
        check_term(await_down(downs[i]), A(normal));
    return arg;
}

static bool blocks_and_stops(int i)
{
    (void)i;
    return check_int(weft_runtime_start(.workers = 2), 0)
        && check_int(weft_runtime_run(blocks_in_many, A(nil), NULL), 0)
        && check_int(weft_runtime_stop(), 0);
}

TEST_WITH(threads_of_blocking_calls_end_with_the_runtime, .deadline_s = 120)
{
    int n = n_cycles() / 10 > 20 ? n_cycles() / 10 : 20;

    check_turns(blocks_and_stops, n / 2, n);
}

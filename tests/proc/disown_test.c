/* disown_test.c - a process that is killed in code which cannot be cut short ends all
 * the same, and what it had comes back later. What happens on its thread meanwhile is in
 * remains_test.c, what becomes of servers and tasks in otp/disown_test.c. */
#include "counts.h"
#include "proc/disown_test.h"

#include "weft/io.h"
#include "weft/mutex.h"

/* -- links, monitors, names --------------------------------------------------------- */

DISOWN_TEST(monitors_hear_of_one_that_is_killed_while_it_reads)
{
    weft_ref down;
    weft_pid pid = start(sits, 0, &down);

    kill_stuck(pid, down);
    check_int(atomic_load(&n_out), 0);
    check_int(weft__disowned_n(), 1);
    check(!weft_is_alive(pid));
    check(weft_is_none(info_of(pid, A(status))));
    check(!is_listed(weft_processes(), pid));
    check_int(weft_list_size(weft_processes()), 2); /* the caller, and the program's thread */
    release(0);
    await_disowned(0);
}

DISOWN_TEST(links_hear_of_it)
{
    weft_pid pid;

    weft_trap_exit(true);
    open_pipe(0);
    pid = weft_spawn(sits, weft_int(0), .link = true);
    await_count(&n_in, 1);
    weft_kill(pid);
    expect_message(weft_tuple(A(EXIT), pid, A(killed)));
    release(0);
    await_disowned(0);
}

static weft_term sits_with_a_name(weft_term n)
{
    weft_register(A(stuck), weft_self());
    return sits(n);
}

DISOWN_TEST(its_name_is_free)
{
    weft_ref down;

    kill_stuck(start(sits_with_a_name, 0, &down), down);
    check(weft_is_none(weft_whereis(A(stuck))));
    weft_register(A(stuck), weft_self());
    release(0);
    await_disowned(0);
    check_term(weft_whereis(A(stuck)), weft_self());
}

/* -- what waits until it is back ------------------------------------------------------ */

static weft_term reads_into_its_memory(weft_term arg)
{
    WEFT_SCOPE;
    int n = (int)weft_to_int(arg);
    weft_term list = weft_list(weft_int(1), weft_str("a text"));
    char *memory = weft_alloc(4096), frame[16] = "";

    weft_defer(counts, NULL);
    memset(memory, 'm', 4096);
    snprintf(frame, sizeof frame, "in a frame");
    {
        WEFT_SCOPE;
        weft_term inner = weft_tuple(weft_str("inner"), list);

        sit(n);
        check_fits(inner, weft_tuple(weft_str("inner"), list));
    }
    check_int(memory[4095], 'm');
    check_str(frame, "in a frame");
    check_str(weft_text(weft_head(weft_tail(list))), "a text");
    atomic_fetch_add(&phase, 1);
    return arg;
}

DISOWN_TEST(what_its_code_may_look_at_stays_until_that_is_back)
{
    weft_ref down;
    weft_pid pid = start(reads_into_its_memory, 0, &down);

    kill_stuck(pid, down);
    check_int(atomic_load(&n_defers), 0);
    for (int i = 0; i < 300; i++) { /* others use what is free */
        weft_ref other;

        weft_spawn(do_nothing, weft_list(weft_str("some text"), weft_int(i)), .monitor = &other);
        await_down(other);
    }
    check_int(atomic_load(&n_defers), 0);
    release(0);
    await_count(&phase, 1);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static _Atomic int its_fd;

static weft_term sits_with_a_descriptor(weft_term n)
{
    int fds[2];

    check_int(weft_pipe(fds), 0);
    atomic_store(&its_fd, fds[0]);
    sit((int)weft_to_int(n));
    atomic_store(&phase, fcntl(fds[0], F_GETFD) >= 0 ? 1 : 2);
    return n;
}

DISOWN_TEST(its_descriptors_are_open_until_it_is_back)
{
    weft_ref down;

    kill_stuck(start(sits_with_a_descriptor, 0, &down), down);
    check_ge(fcntl(atomic_load(&its_fd), F_GETFD), 0);
    release(0);
    await_disowned(0);
    check_int(atomic_load(&phase), 1);
    check_int(fcntl(atomic_load(&its_fd), F_GETFD), -1);
}

/* Some at a time, over and over. */
DISOWN_TEST(what_it_had_comes_back_round_after_round)
{
    enum { AT_ONCE = 4 };
    int rounds = scaled(40), threads = 0, descriptors = 0;
    int64_t alive = 0;

    for (int round = 0; round < rounds; round++) {
        WEFT_SCOPE;
        weft_ref downs[AT_ONCE];
        weft_pid pids[AT_ONCE];

        for (int i = 0; i < AT_ONCE; i++)
            pids[i] = start(round % 2 ? sits_with_a_descriptor : reads_into_its_memory, i, &downs[i]);
        for (int i = 0; i < AT_ONCE; i++)
            weft_kill(pids[i]);
        for (int i = 0; i < AT_ONCE; i++)
            check_term(await_down(downs[i]), A(killed));
        check_int(weft__disowned_n(), AT_ONCE);
        for (int i = 0; i < AT_ONCE; i++)
            release(i);
        await_disowned(0);
        while (n_hogs() > 0)
            weft_yield();
        if (round == 1) {
            threads = n_threads();
            descriptors = count_files();
            alive = weft__runtime_n_alive(weft__runtime());
        }
    }
    check_le(n_threads(), threads + AT_ONCE);
    check_files(descriptors);
    check_le(weft__runtime_n_alive(weft__runtime()), alive + 1); /* one may be made for another that was killed */
}

/* -- where it may sit ------------------------------------------------------------------ */

static int spins_in_qsort(const void *a, const void *b)
{
    (void)a;
    (void)b;
    atomic_store(&n_in, 1);
    while (atomic_load_explicit(&may_stop, memory_order_relaxed) == 0)
        ;
    return 0;
}

static weft_term sorts(weft_term arg)
{
    int numbers[2] = {2, 1};

    weft_defer(counts, NULL);
    qsort(numbers, 2, sizeof *numbers, spins_in_qsort);
    atomic_fetch_add(&n_out, 1);
    return arg;
}

CPU_DISOWN_TEST(one_that_computes_where_the_c_library_called_it_is_left_as_well)
{
    weft_ref down;
    weft_pid pid = weft_spawn(sorts, weft_none, .monitor = &down);

    await_count(&n_in, 1);
    kill_stuck(pid, down);
    check_int(atomic_load(&n_defers), 0);
    atomic_store(&may_stop, 1);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static weft_term sorts_and_spins(weft_term arg)
{
    sorts(arg);
    for (;;)
        atomic_load_explicit(&may_stop, memory_order_relaxed);
    return arg;
}

CPU_DISOWN_TEST(what_is_left_is_ended_as_soon_as_it_can_be)
{
    weft_ref down;
    weft_pid pid = weft_spawn(sorts_and_spins, weft_none, .monitor = &down);

    await_count(&n_in, 1);
    kill_stuck(pid, down);
    atomic_store(&may_stop, 1);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static weft_term blocks(weft_term arg)
{
    int n = (int)weft_to_int(arg);

    weft_defer(counts, NULL);
    weft_blocking(sits_blocking, &n);
    atomic_fetch_add(&phase, 1);
    return arg;
}

DISOWN_TEST(one_in_weft_blocking_is_left_as_well)
{
    weft_ref down;

    kill_stuck(start(blocks, 0, &down), down);
    check_int(atomic_load(&n_defers), 0);
    release(0);
    await_count(&n_defers, 1);
    await_disowned(0);
    check_int(atomic_load(&phase), 0);
    while (n_hogs() > 0)
        weft_yield();
}

static weft_term sits_with_a_foreign_lock(weft_term arg)
{
    weft_defer(counts, NULL);
    {
        WEFT_FOREIGN_LOCK;
        sit((int)weft_to_int(arg));
    }
    sit((int)weft_to_int(arg));
    return arg;
}

DISOWN_TEST(one_that_holds_a_foreign_lock_is_waited_for)
{
    weft_ref down;
    weft_pid pid = start(sits_with_a_foreign_lock, 0, &down);
    weft_term reason;

    weft_kill(pid);
    check(!weft_receive(weft_tuple(A(DOWN), down, A(process), weft_any, weft_bind(&reason)), 4 * GRACE_MS, NULL));
    release(0);
    check_term(await_down(down), A(killed));
    check_int(atomic_load(&n_out), 1);
    release(0);
    await_disowned(0);
}

DISOWN_TEST(those_that_are_waited_for_do_not_hold_up_others)
{
    enum { N_OTHERS = 24 };
    weft_ref down, downs[N_OTHERS];
    weft_pid pid = start(sits, 0, &down), others[N_OTHERS];

    while (n_hogs() < 1) /* the oldest, which those that come later stand before */
        weft_yield();
    for (int i = 0; i < N_OTHERS; i++) {
        others[i] = start(sits_with_a_foreign_lock, i + 1, &downs[i]);
        while (n_hogs() < i + 2)
            weft_yield();
    }
    for (int i = 0; i < N_OTHERS; i++)
        weft_kill(others[i]);
    weft_sleep(2 * GRACE_MS);
    kill_stuck(pid, down);
    release(0);
    for (int i = 0; i < N_OTHERS; i++) {
        release(i + 1);
        release(i + 1);
    }
    for (int i = 0; i < N_OTHERS; i++)
        await_down(downs[i]);
    await_disowned(0);
}

static _Atomic int victim_tid;

static weft_term sits_with_a_foreign_lock_on_a_thread(weft_term arg)
{
    atomic_store(&victim_tid, gettid());
    return sits_with_a_foreign_lock(arg);
}

/* How often the kernel has put that thread to sleep: in its read, once for each signal. */
static int n_sleeps(int tid)
{
    char path[64], text[4096], *at;
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    file = fopen(path, "r");
    n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    at = strstr(text, "\nvoluntary_ctxt_switches:");
    return at != NULL ? atoi(strchr(at, ':') + 1) : -1;
}

DISOWN_TEST(one_that_is_waited_for_is_interrupted_ever_more_seldom)
{
    weft_ref down;
    weft_pid pid = start(sits_with_a_foreign_lock_on_a_thread, 0, &down);
    int before;

    weft_kill(pid);
    weft_sleep(20 * GRACE_MS);
    before = n_sleeps(atomic_load(&victim_tid));
    check(before > 0);
    weft_sleep(500);
    check_lt(n_sleeps(atomic_load(&victim_tid)) - before, 50);
    release(0);
    check_term(await_down(down), A(killed));
    release(0);
    await_disowned(0);
}

DISOWN_TEST(with_infinity_it_is_waited_for, .disown_after_ms = WEFT_INFINITY)
{
    weft_ref down;
    weft_pid pid = start(sits, 0, &down);

    weft_kill(pid);
    expect_no_message(weft_tuple(A(DOWN), down, A(process), weft_any, weft_any));
    release(0);
    check_fits(await_down(down), weft_any);
    check_int(atomic_load(&n_out), 1);
    check_int(weft__disowned_n(), 0);
}

DISOWN_TEST(with_no_time_it_ends_at_once, .disown_after_ms = 0)
{
    weft_ref down;

    kill_stuck(start(sits, 0, &down), down);
    release(0);
    await_disowned(0);
}

TEST(a_negative_time_is_refused)
{
    check_int(weft_runtime_start(.disown_after_ms = -1), WEFT_EINVAL);
    check_str(weft_runtime_error(), "weft_runtime_start: .disown_after_ms is negative (-1)");
}

static weft_pid witness;

/* -- at any moment --------------------------------------------------------------------------------- */

/* Released by a thread of its own at about the time when the kill's grace is over: so that
 * the return from the read falls before, into, and after all that happens then. */
static void *releases_late(void *arg)
{
    int *plan = arg;

    nanosleep(&(struct timespec){.tv_nsec = plan[1] * 1000L}, NULL);
    release(plan[0]);
    return NULL;
}

static weft_term sits_and_works(weft_term arg)
{
    WEFT_SCOPE;
    weft_term list = weft_list(arg, weft_str("text"));
    char *memory = weft_alloc(200);

    weft_defer(counts, NULL);
    memset(memory, 1, 200);
    sit((int)weft_to_int(arg));
    weft_free(memory);
    if (weft_to_int(arg) % 3 == 0)
        weft_send(witness, weft_tuple(A(out), weft_list(list)));
    if (weft_to_int(arg) % 3 == 1)
        weft_yield();
    return weft_head(list);
}

DISOWN_TEST(released_at_any_moment_it_ends_once, .disown_after_ms = 2)
{
    enum { AT_ONCE = 8 };
    int rounds = scaled(150), n_victims = 0;
    uint64_t seed = 42;

    witness = weft_self();
    for (int round = 0; round < rounds; round++) {
        WEFT_SCOPE;
        weft_ref downs[AT_ONCE];
        weft_pid pids[AT_ONCE];
        pthread_t threads[AT_ONCE];
        int plans[AT_ONCE][2];
        weft_term message;

        for (int i = 0; i < AT_ONCE; i++, n_victims++)
            pids[i] = start(sits_and_works, i, &downs[i]);
        for (int i = 0; i < AT_ONCE; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            plans[i][0] = i;
            plans[i][1] = (int)(seed >> 33) % 15000;
            check_int(pthread_create(&threads[i], NULL, releases_late, plans[i]), 0);
        }
        for (int i = 0; i < AT_ONCE; i++)
            weft_kill(pids[i]);
        for (int i = 0; i < AT_ONCE; i++) {
            weft_term reason = await_down(downs[i]);

            /* It may have returned before the kill was looked at. */
            if (!weft_eq(reason, A(normal)))
                check_term(reason, A(killed));
            check(!weft_receive(weft_tuple(A(DOWN), downs[i], weft_any, weft_any, weft_any), 0, NULL));
        }
        for (int i = 0; i < AT_ONCE; i++)
            check_int(pthread_join(threads[i], NULL), 0);
        await_disowned(0);
        while (weft_receive(weft_tuple(A(out), weft_any), 0, &message))
            ;
    }
    await_count(&n_defers, n_victims);
}

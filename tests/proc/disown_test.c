/* disown_test.c - a process that is killed in code which cannot be cut short ends all
 * the same, and what it had comes back later.
 *
 * A victim reads a pipe that is empty, or computes where qsort called it, until the
 * test lets it go. So nothing depends on how long anything takes, but for the grace
 * time, which is short.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/places.h"
#include "proc/disown.h"
#include "weft/gen_server.h"
#include "weft/info.h"
#include "weft/io.h"
#include "weft/log.h"
#include "weft/mutex.h"
#include "weft/supervisor.h"
#include "weft/task.h"

enum { GRACE_MS = 30, N_PIPES = 64 };

#if defined(WEFT_TSAN)
#define SKIP_UNDER_TSAN skip("TSan delivers a signal when its thread next waits, so who computes does not answer")
#else
#define SKIP_UNDER_TSAN (void)0
#endif

#define DISOWN_TEST(sentence, ...) DISOWN_TEST_(sentence, (void)0, __VA_ARGS__)
/* Of victims that are on their core. */
#define CPU_DISOWN_TEST(sentence, ...) DISOWN_TEST_(sentence, SKIP_UNDER_TSAN, __VA_ARGS__)
#define DISOWN_TEST_(sentence, skip_it, ...)               \
    static void sentence##_body(void);                     \
    static weft_term sentence##_process(weft_term arg)     \
    {                                                      \
        set_up();                                          \
        sentence##_body();                                 \
        return weft_is_none(arg) ? A(ok) : arg;            \
    }                                                      \
    TEST(sentence)                                         \
    {                                                      \
        skip_it;                                           \
        setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1); \
        run_in_runtime(sentence##_process, .workers = 4, .disown_after_ms = GRACE_MS, __VA_ARGS__); \
    }                                                      \
    static void sentence##_body(void)

/* -- victims ---------------------------------------------------------------------- */

static int pipes[N_PIPES][2];
static _Atomic int n_in, n_out, n_defers, may_stop, phase;

static void set_up(void)
{
    n_in = n_out = n_defers = may_stop = phase = 0;
}

/* In plain C, until release(n). */
__attribute__((noinline)) static void sit(int n)
{
    char byte;

    atomic_fetch_add(&n_in, 1);
    while (read(pipes[n][0], &byte, 1) != 1)
        ;
    atomic_fetch_add(&n_out, 1);
}

static void open_pipe(int n)
{
    if (pipes[n][1] == 0)
        check_int(pipe2(pipes[n], O_CLOEXEC), 0);
}

static void release(int n)
{
    check_int(write(pipes[n][1], "x", 1), 1);
}

static void counts(void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_defers, 1);
}

static weft_term sits(weft_term n)
{
    weft_defer(counts, NULL);
    sit((int)weft_to_int(n));
    return n;
}

/* A process that is in its read. */
static weft_pid start(weft_fn *fn, int n, weft_ref *down)
{
    int before = atomic_load(&n_in);
    weft_pid pid;

    open_pipe(n);
    pid = weft_spawn(fn, weft_int(n), .monitor = down);
    await_count(&n_in, before + 1);
    return pid;
}

static void await_disowned(uint32_t n)
{
    int64_t until = now_ms() + BOUND_MS;

    while (weft__disowned_n() != n && now_ms() < until)
        weft_sleep(1);
    if (!check_int(weft__disowned_n(), n))
        weft_dump(2);
}

/* Kill it, and see it gone; it is still in its read. */
static void kill_stuck(weft_pid pid, weft_ref down)
{
    weft_kill(pid);
    check_term(await_down(down), A(killed));
}

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

static int n_threads(void)
{
    struct weft__sched *sched = the_sched();
    int n;

    pthread_mutex_lock(&sched->carriers.lock);
    n = (int)sched->carriers.n_threads;
    pthread_mutex_unlock(&sched->carriers.lock);
    return n;
}

static int n_hogs(void)
{
    struct weft__sched *sched = the_sched();
    int n;

    pthread_mutex_lock(&sched->carriers.lock);
    n = (int)(sched->hogs.n + sched->carriers.n_blocking);
    pthread_mutex_unlock(&sched->carriers.lock);
    return n;
}

static int n_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
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
            descriptors = n_descriptors();
            alive = weft__runtime_n_alive(weft__runtime());
        }
    }
    check_le(n_threads(), threads + AT_ONCE);
    check_int(n_descriptors(), descriptors);
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

static void *sits_blocking(void *arg)
{
    sit(*(int *)arg);
    return arg;
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

/* -- kinds of processes ------------------------------------------------------------------ */

static bool handles(void *state, weft_term message)
{
    (*(int *)state)++;
    sit((int)weft_to_int(message));
    return *(int *)state > 0;
}

DISOWN_TEST(a_handler_is_left)
{
    int state = 0;
    weft_pid pid = weft_spawn_handler(handles, &state, .state_size = sizeof state);
    weft_ref down = weft_monitor(pid);

    open_pipe(0);
    weft_send(pid, weft_int(0));
    await_count(&n_in, 1);
    kill_stuck(pid, down);
    release(0);
    await_disowned(0);
}

struct server {
    int n;
};

static weft_init_result server_init(weft_term arg)
{
    struct server *server = weft_new(struct server);

    server->n = (int)weft_to_int(arg);
    weft_defer(counts, NULL);
    return weft_init_ok(server);
}

static weft_result server_call(void *state, weft_term request, weft_from from)
{
    struct server *server = state;

    (void)from;
    if (weft_eq(request, A(sit)))
        sit(server->n);
    return weft_reply(weft_int(server->n++));
}

static const weft_gen_server stuck_server = {.init = server_init, .handle_call = server_call};

static weft_term calls(weft_term server)
{
    return weft_gen_server_call(server, A(sit), WEFT_INFINITY);
}

DISOWN_TEST(the_callers_of_a_server_hear_of_it)
{
    weft_pid server, client;
    weft_ref down, client_down, late_down;

    weft_trap_exit(true);
    open_pipe(0);
    server = weft_must(weft_gen_server_start_link(&stuck_server, weft_int(0)));
    down = weft_monitor(server);
    client = weft_spawn(calls, server, .monitor = &client_down);
    await_count(&n_in, 1);
    weft_spawn(calls, server, .monitor = &late_down);
    kill_stuck(server, down);
    check_fits(await_down(client_down), weft_tuple(A(killed), weft_any));
    check_fits(await_down(late_down), weft_tuple(weft_any, weft_any));
    check(!weft_is_alive(client));
    check_int(atomic_load(&n_defers), 0);
    release(0);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static weft_started start_stuck(weft_term arg)
{
    (void)arg;
    return weft_gen_server_start_link(&stuck_server, weft_int(0), .name = A(child));
}

static void await_restarted(weft_pid before)
{
    int64_t until = now_ms() + BOUND_MS;
    weft_pid now;

    do {
        weft_sleep(1);
        now = weft_whereis(A(child));
    } while ((weft_is_none(now) || weft_eq(now, before)) && now_ms() < until);
    check(!weft_is_none(now) && !weft_eq(now, before));
    check_term(weft_gen_server_call(A(child), A(count), BOUND_MS), weft_int(0));
}

DISOWN_TEST(a_supervisor_starts_it_anew)
{
    weft_child_spec spec = weft_child(.id = A(child), .start = start_stuck);
    weft_pid sup, child;

    weft_trap_exit(true);
    open_pipe(0);
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    child = weft_whereis(A(child));
    weft_spawn(calls, child);
    await_count(&n_in, 1);
    weft_kill(child);
    await_restarted(child);
    weft_supervisor_stop(sup, A(normal), BOUND_MS);
    release(0);
    await_disowned(0);
}

static void stop_is_over_with(int64_t shutdown_ms)
{
    weft_child_spec spec = weft_child(.id = A(child), .start = start_stuck, .shutdown_ms = shutdown_ms);
    weft_pid sup;

    weft_trap_exit(true);
    open_pipe(0);
    sup = weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE));
    weft_spawn(calls, weft_whereis(A(child)));
    await_count(&n_in, 1);
    weft_supervisor_stop(sup, A(normal), BOUND_MS);
    check_int(atomic_load(&n_out), 0);
    release(0);
    await_disowned(0);
}

DISOWN_TEST(a_supervisor_that_kills_it_stops)
{
    stop_is_over_with(WEFT_BRUTAL_KILL);
}

DISOWN_TEST(a_supervisor_whose_child_is_late_stops)
{
    stop_is_over_with(20);
}

static weft_term task_sits(weft_term n)
{
    return sits(n);
}

DISOWN_TEST(who_awaits_a_task_hears_of_it)
{
    weft_task task;
    weft_term result = weft_none;

    weft_trap_exit(true);
    open_pipe(0);
    task = weft_task_async(task_sits, weft_int(0));
    await_count(&n_in, 1);
    weft_kill(task.pid);
    check(!weft_task_try_await(task, BOUND_MS, &result));
    check_has(weft_inspect(result), "killed");
    release(0);
    await_disowned(0);
}

static weft_term waits_for_ever(weft_term arg)
{
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static _Atomic uint64_t task_pid;

static weft_term owns_a_task(weft_term n)
{
    weft_task task = weft_task_async(waits_for_ever, weft_none);

    atomic_store(&task_pid, task.pid.bits);
    sit((int)weft_to_int(n));
    return n;
}

DISOWN_TEST(its_own_tasks_end)
{
    weft_ref down;
    weft_pid pid = start(owns_a_task, 0, &down);

    weft_ref task_down = weft_monitor((weft_pid){atomic_load(&task_pid)});

    weft_kill(pid);
    check_term(await_down(task_down), A(killed));
    check_term(await_down(down), A(killed));
    check_int(atomic_load(&n_out), 0);
    release(0);
    await_disowned(0);
}

static weft_mutex mutex;

static weft_term sits_with_the_mutex(weft_term n)
{
    check_int(weft_mutex_lock(&mutex), 0);
    return sits(n);
}

DISOWN_TEST(the_next_owner_of_its_mutex_is_told)
{
    weft_ref down;
    weft_pid pid = start(sits_with_the_mutex, 0, &down);

    weft_kill(pid);
    check_int(weft_mutex_lock(&mutex), WEFT_EOWNERDEAD);
    check_int(atomic_load(&n_out), 0);
    weft_mutex_unlock(&mutex);
    await_down(down);
    release(0);
    await_disowned(0);
}

/* -- what is left ---------------------------------------------------------------------------- */

static weft_pid witness;

static weft_term does_much_then_returns(weft_term arg)
{
    weft_pid self = weft_self();
    char *memory = weft_alloc(100);
    weft_term kept = weft_keep(weft_list(weft_int(7)));
    weft_pid child;

    weft_defer(counts, NULL);
    sit((int)weft_to_int(arg));
    check(!weft_eq(weft_self(), self));
    memory = weft_realloc(memory, 5000);
    memory[4999] = 1;
    weft_free(memory);
    weft_drop(kept);
    weft_alloc(300);
    weft_keep(weft_str("kept for good"));
    check(weft_undefer(counts, NULL));
    weft_defer(counts, NULL);
    weft_dict_put(A(key), weft_int(1));
    check_term(weft_dict_get(A(key), weft_none), weft_int(1));
    child = weft_spawn(waits_for_ever, weft_none, .link = true);
    {
        WEFT_SCOPE;
        weft_term item;

        check(weft_match(weft_tuple(A(a), child), weft_tuple(A(a), weft_bind(&item))));
        weft_send(witness, weft_tuple(A(from), weft_self(), weft_list(item)));
    }
    atomic_fetch_add(&phase, 1);
    return arg;
}

/* It is not the process that everybody has seen end. */
DISOWN_TEST(calls_that_never_switch_work_on_and_are_another_processes)
{
    weft_ref down, left_down, child_down;
    weft_pid pid, left = weft_none, child = weft_none;

    witness = weft_self();
    pid = start(does_much_then_returns, 0, &down);
    kill_stuck(pid, down);
    release(0);
    expect_message(weft_tuple(A(from), weft_bind(&left), weft_list(weft_bind(&child))));
    child_down = weft_monitor(child);
    left_down = weft_monitor(left);
    check(!weft_eq(left, pid));
    check(!weft_is_alive(left));
    check_fits(await_down(left_down), weft_any);
    check_fits(await_down(child_down), weft_any);
    await_disowned(0);
    check_int(atomic_load(&phase), 1);
    check_int(atomic_load(&n_defers), 1);
}

/* What it does when it is back, by number. */
static weft_term comes_back_by(weft_term arg)
{
    int way = (int)weft_to_int(arg);
    weft_term message;

    weft_defer(counts, NULL);
    sit(way);
    switch (way) {
    case 0:
        weft_yield();
        break;
    case 1:
        weft_checkpoint();
        break;
    case 2:
        weft_sleep(1);
        break;
    case 3:
        weft_receive(weft_any, WEFT_INFINITY, &message);
        break;
    case 4:
        weft_exit(A(other));
    case 5:
        weft_error(A(other));
    case 6:
        weft_blocking(sits_blocking, &way);
        break;
    case 7:
        weft_task_await(weft_task_async(waits_for_ever, arg), 10);
        break;
    case 8:
        weft_receive_each (one)
            weft_send(witness, one);
        break;
    case 9:
        weft_mutex_lock(&mutex);
        break;
    case 10:
        weft_gen_server_try_call(witness, A(nothing), 1, &message);
        break;
    default:
        return arg;
    }
    atomic_fetch_add(&phase, 1);
    return arg;
}

DISOWN_TEST(it_ends_at_the_first_call_that_may_park)
{
    enum { WAYS = 12 };
    weft_ref downs[WAYS];
    weft_pid pids[WAYS];

    witness = weft_self();
    for (int i = 0; i < WAYS; i++)
        pids[i] = start(comes_back_by, i, &downs[i]);
    for (int i = 0; i < WAYS; i++)
        weft_kill(pids[i]);
    for (int i = 0; i < WAYS; i++)
        check_term(await_down(downs[i]), A(killed));
    check_int(atomic_load(&n_defers), 0);
    for (int i = 0; i < WAYS; i++)
        release(i);
    await_count(&n_defers, WAYS);
    await_disowned(0);
    check_int(atomic_load(&phase), 0);
}

#if defined(__clang__)
#define FAULTY __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define FAULTY __attribute__((noinline, no_sanitize("address", "undefined", "thread")))
#endif

static int *volatile nowhere;

FAULTY static void write_nowhere(void)
{
    *nowhere = 1;
}

static weft_term faults_when_back(weft_term arg)
{
    weft_defer(counts, NULL);
    sit((int)weft_to_int(arg));
    write_nowhere();
    return arg;
}

DISOWN_TEST(a_fault_of_what_is_left_is_contained)
{
    weft_ref down;

    kill_stuck(start(faults_when_back, 0, &down), down);
    release(0);
    await_count(&n_defers, 1);
    await_disowned(0);
}

static void exits_in_a_defer(void *arg)
{
    counts(arg);
    weft_exit(A(in_a_defer));
}

static void blocks_in_a_defer(void *arg)
{
    struct timespec time = {.tv_nsec = 10000000};

    nanosleep(&time, NULL);
    counts(arg);
}

static weft_term has_hard_defers(weft_term arg)
{
    weft_defer(counts, NULL);
    weft_defer(blocks_in_a_defer, NULL);
    weft_defer(exits_in_a_defer, NULL);
    sit((int)weft_to_int(arg));
    return arg;
}

DISOWN_TEST(its_defers_may_block_and_exit)
{
    weft_ref down;

    kill_stuck(start(has_hard_defers, 0, &down), down);
    release(0);
    await_count(&n_defers, 3);
    await_disowned(0);
}

/* -- catches, locks of a registry, gates with more to do ------------------------------------- */

static weft_started start_that_sits(weft_term arg)
{
    (void)arg;
    sit(0);
    return weft_started_ignore();
}

static weft_term supervises(weft_term arg)
{
    weft_child_spec spec = weft_child(.id = A(child), .start = start_that_sits);

    weft_must(weft_supervisor_start_link(&spec, 1, .strategy = WEFT_ONE_FOR_ONE, .name = A(sup)));
    return arg;
}

DISOWN_TEST(a_supervisor_is_left_in_a_childs_start_function)
{
    weft_ref starter_down, down;
    weft_pid sup;

    open_pipe(0);
    weft_spawn(supervises, weft_none, .monitor = &starter_down);
    await_count(&n_in, 1);
    sup = weft_whereis(A(sup));
    down = weft_monitor(sup);
    kill_stuck(sup, down);
    check_fits(await_down(starter_down), weft_any);
    release(0);
    await_disowned(0);
}

/* -- the runtime's end, and what can be seen ---------------------------------------------------- */

static weft_term leaves_one_behind(weft_term arg)
{
    weft_ref down;

    set_up();
    kill_stuck(start(sits, 0, &down), down);
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(the_runtime_does_not_stop_before_it_is_back_and_says_where_it_is)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    check_int(weft_runtime_start(.workers = 4, .disown_after_ms = GRACE_MS), 0);
    run_body(leaves_one_behind);
    check_int(weft_runtime_stop(.timeout_ms = 100), WEFT_ETIMEDOUT);
    check_has(weft_runtime_error(), "which was killed and disowned, is in ");
    check_has(weft_runtime_error(), "sits");
    check_int(atomic_load(&n_defers), 0);
    release(0);
    check_int(weft_runtime_stop(), 0);
    check_int(atomic_load(&n_defers), 1);
}

static weft_term leaves_one_stuck(weft_term arg)
{
    weft_ref down;

    set_up();
    start(sits, 0, &down);
    return weft_is_none(arg) ? A(ok) : arg;
}

/* Killed by the stop itself. */
TEST(a_stop_that_has_to_kill_it_says_where_it_is)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:4 pu:1", 1);
    check_int(weft_runtime_start(.workers = 4, .disown_after_ms = GRACE_MS), 0);
    run_body(leaves_one_stuck);
    check_int(weft_runtime_stop(.timeout_ms = 1000), WEFT_ETIMEDOUT);
    check_has(weft_runtime_error(), "which was killed and disowned, is in ");
    release(0);
    check_int(weft_runtime_stop(), 0);
    check_int(atomic_load(&n_defers), 1);
}

static char text[65536];

DISOWN_TEST(a_dump_shows_it_with_its_stack)
{
    FILE *file = tmpfile();
    char pid_text[64];
    weft_ref down;
    weft_pid pid = start(sits, 0, &down);

    kill_stuck(pid, down);
    check_int(weft_dump(fileno(file)), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    weft_inspect_to(pid_text, sizeof pid_text, pid);
    check_has(text, "is what is left of #PID<");
    check_has(text, pid_text);
    check_has(text, ", 1 thread of processes that were disowned");
    check_has(text, "  read+");
#if !defined(WEFT_TSAN) /* whose own frames lie in between, and are no chain */
    check_has(text, "  sit");
#endif
    release(0);
    await_disowned(0);
}

static _Atomic int n_reports;
static char report[4096];

static void note_record(const weft_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "disowned") == NULL)
        return;
    weft_log_format(report, sizeof report, record);
    atomic_fetch_add(&n_reports, 1);
}

DISOWN_TEST(one_report_names_it_and_its_stack)
{
    weft_ref down;
    weft_pid pid;
    char pid_text[64];

    check_int(weft_log_set_handler(note_record, NULL, NULL), 0);
    pid = start(sits, 0, &down);
    kill_stuck(pid, down);
    weft_log_set_handler(NULL, NULL, NULL);
    weft_inspect_to(pid_text, sizeof pid_text, pid);
    check_int(atomic_load(&n_reports), 1);
    check_has(report, pid_text);
    check_has(report, "disowned_after_ms");
    check_has(report, "sit");
    check_has(report, "reason=:killed");
    release(0);
    await_disowned(0);
}

/* Those whose slot was not given away keep their worker until there is a place. */
DISOWN_TEST(no_more_than_max_hogs_are_out, .max_hogs = 2)
{
    weft_ref downs[3];
    weft_pid pids[3];
    int n = 0;

    for (int i = 0; i < 3; i++)
        pids[i] = start(sits, i, &downs[i]);
    for (int i = 0; i < 3; i++)
        weft_kill(pids[i]);
    await_disowned(2);
    weft_sleep(4 * GRACE_MS);
    check_int(weft__disowned_n(), 2);
    for (int i = 0; i < 3; i++)
        release(i);
    for (; n < 3; n++)
        check_fits(await_down(downs[n]), weft_any);
    await_disowned(0);
    check_int(atomic_load(&n_defers), 3);
}

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

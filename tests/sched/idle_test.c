/* idle_test.c - an idle runtime does nothing: no thread of it runs, so none
 * makes a system call.
 *
 * The kernel counts how often it let each thread run (schedstat) and how often
 * it took the core away (status): after some seconds with 1,000 parked
 * processes these counts are what they were. idle_test.sh has the same program
 * traced, and sees that there is no system call between two marks.
 *
 * WEFT_TEST_IDLE_S: for how long (3).
 */
#include <dirent.h>
#include <unistd.h>

#include "sched/places.h"
#include "weft/timer.h"

enum { N_PARKED = 1000, THREADS_MAX = 64 };

static int idle_s(void)
{
    const char *text = getenv("WEFT_TEST_IDLE_S");
    int n = text != NULL ? atoi(text) : 3;

    return n > 0 ? n : 3;
}

/* -- what the kernel counts ----------------------------------------------------------- */

struct thread {
    int tid;
    char state;                /* S: it sleeps */
    unsigned long long n_runs; /* times it was given a core */
};

struct threads {
    int n;
    struct thread thread[THREADS_MAX];
};

static bool read_thread(int tid, struct thread *thread)
{
    char path[64], name[64];
    unsigned long long cpu_ns, waited_ns;
    bool is_ok = false;
    FILE *file;

    thread->tid = tid;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", tid);
    file = fopen(path, "r");
    if (file != NULL) {
        is_ok = fscanf(file, "%llu %llu %llu", &cpu_ns, &waited_ns, &thread->n_runs) == 3;
        fclose(file);
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    file = fopen(path, "r");
    if (file != NULL) {
        is_ok = is_ok && fscanf(file, "%*d (%63[^)]) %c", name, &thread->state) == 2;
        fclose(file);
    }
    return is_ok && file != NULL;
}

/* All but the caller. */
static bool read_threads(struct threads *threads)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    bool is_ok = dir != NULL;

    threads->n = 0;
    while (is_ok && (entry = readdir(dir)) != NULL && threads->n < THREADS_MAX) {
        int tid = atoi(entry->d_name);

        if (tid > 0 && tid != gettid())
            is_ok = read_thread(tid, &threads->thread[threads->n++]);
    }
    if (dir != NULL)
        closedir(dir);
    return is_ok && threads->n > 0;
}

/* Every worker is on the list of those asleep, the watchdog has put itself to
 * sleep for good, and the kernel says that all of them do sleep. */
static bool all_sleep(struct threads *threads)
{
    struct weft__sched *sched = the_sched();

    if (atomic_load(&sched->watchdog.word) != 0 || atomic_load(&sched->idle.n_asleep) != sched->n_workers)
        return false;
    if (!read_threads(threads))
        return false;
    for (int i = 0; i < threads->n; i++)
        if (threads->thread[i].state != 'S')
            return false;
    return true;
}

/* A mark for whoever traces. */
static void mark(const char *text)
{
    ssize_t ignored = write(-1, text, strlen(text));

    (void)ignored;
}

/* Be idle for that long, between two marks; from the thread that started the
 * runtime. */
static void stay_idle(int seconds)
{
    struct threads before, after;
    struct timespec pause = { seconds, 0 };
    int64_t until = now_ms() + BOUND_MS;

    while (!all_sleep(&before) && now_ms() < until)
        sched_yield();
    if (!check(all_sleep(&before)))
        return;
    mark("weft is idle from here");
    nanosleep(&pause, NULL); /* what is looked for is that nothing happens */
    mark("weft is idle to here");
    check(read_threads(&after));
    check_int(after.n, before.n);
    for (int i = 0; i < after.n && i < before.n; i++) {
        check_int(after.thread[i].tid, before.thread[i].tid);
        check_int(after.thread[i].n_runs, before.thread[i].n_runs);
    }
    diag("%d threads, %d s: none of them ran", after.n, seconds);
}

/* -- who is idle -------------------------------------------------------------------------- */

static _Atomic int n_parked;

static weft_term parks(weft_term arg)
{
    atomic_fetch_add(&n_parked, 1);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static bool waits(void *state, weft_term message)
{
    (void)state;
    atomic_fetch_add(&n_parked, 1);
    return weft_is_atom(message);
}

static weft_term parks_many(weft_term arg)
{
    for (int i = 0; i < N_PARKED / 2; i++) {
        weft_spawn(parks, A(nil));
        weft_send(weft_spawn_handler(waits, NULL), A(hello));
    }
    await_count(&n_parked, N_PARKED);
    return arg;
}

TEST(an_idle_runtime_with_1000_parked_processes_makes_no_system_call)
{
    struct threads threads;

#ifdef WEFT_TSAN
    skip("the sanitizer has threads of its own, which run ten times a second");
#endif
    check_int(weft_runtime_start(.workers = 4), 0);
    if (!read_threads(&threads)) {
        runtime_down();
        skip("the kernel does not count runs (CONFIG_SCHED_INFO)");
    }
    check_int(weft_runtime_run(parks_many, A(nil), NULL), 0);
    stay_idle(idle_s());
    /* Traced, each of the thousand takes its time to end. */
    check_int(weft_runtime_stop(.timeout_ms = BOUND_MS), 0);
}

/* It wakes up from that as well as ever: the watchdog too, which looks after a
 * worker that is late with a timer. */
static weft_term keeps_a_worker_from_its_timers(weft_term arg)
{
    int64_t until = now_ms() + BOUND_MS;
    weft_pid parker = weft_spawn(parks, A(nil));
    weft_ref down = weft_monitor(parker);

    await_count(&n_parked, 1);
    weft_send_after(parker, A(never), 5);
    while (atomic_load(&the_sched()->watchdog.word) != 1 && now_ms() < until)
        ;
    check_int(atomic_load(&the_sched()->watchdog.word), 1);
    check_term(await_down(down), A(normal));
    return arg;
}

TEST(a_runtime_that_slept_deeply_wakes_up_watchdog_and_all)
{
    struct threads threads;
    int64_t until;

    check_int(weft_runtime_start(.workers = 2), 0);
    for (int i = 0; i < 2; i++) {
        until = now_ms() + BOUND_MS;
        while (!all_sleep(&threads) && now_ms() < until)
            sched_yield();
        check_int(atomic_load(&the_sched()->watchdog.word), 0);
        atomic_store(&n_parked, 0);
        check_int(weft_runtime_run(keeps_a_worker_from_its_timers, A(nil), NULL), 0);
    }
    runtime_down();
}

/* A timer that is far off does not keep anybody awake; nor does a descriptor. */
static weft_term waits_for_a_far_timer(weft_term arg)
{
    weft_send_after(weft_spawn(parks, A(nil)), A(never), 24 * 3600 * 1000);
    for (int i = 0; i < N_PARKED; i++)
        weft_send_after(weft_self(), A(never), 3600 * 1000 + i);
    return arg;
}

TEST(timers_that_are_far_off_wake_nobody)
{
    struct threads threads;

#ifdef WEFT_TSAN
    skip("the sanitizer has threads of its own, which run ten times a second");
#endif
    check_int(weft_runtime_start(.workers = 4), 0);
    if (!read_threads(&threads)) {
        runtime_down();
        skip("the kernel does not count runs (CONFIG_SCHED_INFO)");
    }
    check_int(weft_runtime_run(waits_for_a_far_timer, A(nil), NULL), 0);
    stay_idle(1);
    runtime_down();
}

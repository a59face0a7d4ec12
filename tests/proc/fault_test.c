/* fault_test.c - faults of processes: which end the process alone, with what
 * reason, and which end the program, with what report. */
#include "proc/process_test.h"

#include <assert.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "weft/mutex.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* -- ways to fault ------------------------------------------------------------------ */

static void *volatile nowhere;
static volatile int zero;

FAULTY static weft_term null_write(weft_term x)
{
    *(volatile int *)nowhere = 1;
    return x;
}

FAULTY static weft_term null_call(weft_term x)
{
    ((weft_fn *)(uintptr_t)nowhere)(x);
    return x;
}

FAULTY static weft_term jumps_into_data(weft_term x)
{
    static char data[64];

    ((weft_fn *)(uintptr_t)data)(x);
    return x;
}

#if defined(__x86_64__) /* elsewhere a quotient by zero is 0 */
FAULTY static weft_term divides_by_zero(weft_term x)
{
    zero = 7 / zero;
    return x;
}
#endif

FAULTY static weft_term traps(weft_term x)
{
    (void)x;
    __builtin_trap();
}

FAULTY static weft_term breaks(weft_term x)
{
#if defined(__x86_64__)
    __asm__ volatile("int3");
#else
    __asm__ volatile("brk #0");
#endif
    return x;
}

FAULTY static weft_term reads_beyond_a_file(weft_term x)
{
    FILE *file = tmpfile();
    volatile char *at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fileno(file), 0);

    fclose(file);
    return weft_int(at[5000] + (weft_is_int(x) ? 1 : 0));
}

FAULTY static weft_term fails_an_assert(weft_term x)
{
    assert(zero != 0);
    return x;
}

FAULTY static weft_term calls_abort(weft_term x)
{
    (void)x;
    abort();
}

FAULTY static weft_term measures_nothing(weft_term x)
{
    size_t (*volatile measure)(const char *) = strlen;

    (void)x;
    return weft_int((int64_t)measure(nowhere));
}

FAULTY static weft_term copies_from_nowhere(weft_term x)
{
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    char to[64];

    copy(to, nowhere, sizeof to);
    return weft_tuple(x, weft_int(to[0]));
}

FAULTY static weft_term formats_nothing(weft_term x)
{
    int (*volatile format)(char *, size_t, const char *, ...) = snprintf;
    char to[64];

    format(to, sizeof to, "%s", (const char *)nowhere + 8);
    return weft_tuple(x, weft_int(to[0]));
}

FAULTY static weft_term overflows(weft_term x)
{
    volatile char frame[256];

    frame[0] = (char)zero;
    if (zero == 0)
        x = overflows(x);
    frame[1] = frame[0];
    return x;
}

struct fault {
    weft_fn *fn;
    const char *kind; /* the reason's tag */
    const char *has;  /* in the reason as it prints */
};

static const struct fault contained[] = {
    {null_write, "sigsegv", "pc: null_write"},
    {null_call, "sigsegv", "null_call+"},
    {jumps_into_data, "sigsegv", "jumps_into_data+"},
#if defined(__x86_64__) /* elsewhere a trap is a breakpoint */
    {divides_by_zero, "sigfpe", "pc: divides_by_zero+"},
    {traps, "sigill", "pc: traps"},
#else
    {traps, "sigtrap", "pc: traps"},
#endif
    {breaks, "sigtrap", "pc: breaks"},
    {reads_beyond_a_file, "sigbus", "pc: reads_beyond_a_file+"},
    {fails_an_assert, "sigabrt", "fails_an_assert+"},
    {calls_abort, "sigabrt", "calls_abort+"},
    {measures_nothing, "sigsegv", "measures_nothing+"},
    {copies_from_nowhere, "sigsegv", "copies_from_nowhere+"},
    {formats_nothing, "sigsegv", "formats_nothing+"},
    {overflows, "stack_overflow", "function: overflows"},
};

/* The reason with which a process ends that runs fn. */
static weft_term reason_of(weft_fn *fn)
{
    weft_ref down;

    weft_spawn(fn, weft_int(1), .monitor = &down);
    return await_down(down);
}

static bool check_reason(weft_term reason, const char *kind)
{
    weft_term tag = weft_is_tuple(reason) ? weft_tuple_at(reason, 0) : A(nothing);

    return check_str(weft_atom_name(tag), kind);
}

static bool runtime_with_one_worker(void)
{
    struct weft_runtime_options options = {WEFT_RUNTIME_DEFAULTS};

    options.workers = 1;
    return runtime_up(&options);
}

/* -- contained ------------------------------------------------------------------------- */

PROCESS_TEST(a_fault_ends_its_process_alone_with_a_reason_that_tells_where)
{
    for (size_t i = 0; i < COUNT(contained); i++) {
        WEFT_SCOPE;
        weft_term reason = reason_of(contained[i].fn);

        if (check_reason(reason, contained[i].kind))
            check_has(weft_inspect(reason, .max_bytes = 4000), contained[i].has);
    }
}

PROCESS_TEST(the_reason_of_a_fault_has_raw_addresses_and_the_build_id)
{
    weft_term reason = reason_of(null_write), facts = weft_tuple_at(reason, 1);
    weft_term pc = weft_map_get(facts, A(pc), weft_none);
    uintptr_t at = (uintptr_t)weft_to_pointer(pc) - (uintptr_t)null_write;

    check_ptr(weft_to_pointer(weft_map_get(facts, A(address), weft_none)), NULL);
    check_lt(at, 64);
    check_term(weft_head(weft_map_get(facts, A(stack), weft_none)), pc);
    check(weft_is_bin(weft_map_get(facts, A(build_id), weft_none)));
    check_gt((uintptr_t)null_write, (uintptr_t)weft_to_pointer(weft_map_get(facts, A(base), weft_none)));
}

static weft_term links_and_faults(weft_term peer)
{
    weft_link(peer);
    return null_write(peer);
}

PROCESS_TEST(links_hear_of_a_fault_as_of_any_exit, "PROC-10")
{
    weft_pid trapping = puppet_start_trapping(), plain = puppet_start();
    weft_ref down = weft_monitor(plain);

    weft_spawn(links_and_faults, trapping);
    check_fits(ask(trapping, do_await_exit, A(ok)),
               weft_tuple(weft_any, weft_tuple(A(sigsegv), weft_any)));
    weft_spawn(links_and_faults, plain);
    check_reason(await_down(down), "sigsegv");
    puppet_stop(trapping);
}

static _Atomic int n_deferred;

static void count_defer(void *arg)
{
    /* It gets what lies in the frames that faulted. */
    if (*(int *)arg == 42)
        atomic_fetch_add(&n_deferred, 1);
}

static weft_term defers_and_runs(weft_term fn)
{
    int local = 42;

    weft_alloc(100000);
    weft_defer(count_defer, &local);
    return ((weft_fn *)(uintptr_t)weft_to_pointer(fn))(fn);
}

PROCESS_TEST(defers_run_after_a_fault_while_its_frames_are_there, "PROC-18")
{
    for (size_t i = 0; i < COUNT(contained); i++) {
        WEFT_SCOPE;
        weft_ref down;

        weft_spawn(defers_and_runs, weft_pointer((const void *)(uintptr_t)contained[i].fn), .monitor = &down);
        check_reason(await_down(down), contained[i].kind);
        check_int(atomic_load(&n_deferred), i + 1);
    }
}

static void faulting_defer(void *arg)
{
    (void)arg;
    null_write(weft_none);
}

static weft_term defers_a_fault(weft_term arg)
{
    static int local = 42;

    weft_defer(count_defer, &local);
    weft_defer(faulting_defer, NULL);
    weft_defer(count_defer, &local);
    weft_exit(arg);
}

PROCESS_TEST(a_defer_that_faults_is_over_and_the_others_run, "PROC-18")
{
    check_term(reason_of(defers_a_fault), weft_int(1));
    check_int(atomic_load(&n_deferred), 2);
}

static bool faults_on_message(void *state, weft_term message)
{
    (void)state;
    null_write(message);
    return true;
}

PROCESS_TEST(a_callback_process_that_faults_ends_alone)
{
    weft_ref down;
    weft_pid pid = weft_spawn_handler(faults_on_message, NULL, .monitor = &down);

    weft_send(pid, A(hello));
    check_reason(await_down(down), "sigsegv");
}

static void *blocks_and_faults(void *arg)
{
    null_write(weft_none);
    return arg;
}

static weft_term faults_in_blocking(weft_term arg)
{
    weft_blocking(blocks_and_faults, NULL);
    return arg;
}

static void *blocks_and_overflows(void *arg)
{
    overflows(weft_none);
    return arg;
}

static weft_term overflows_in_blocking(weft_term arg)
{
    weft_blocking(blocks_and_overflows, NULL);
    return arg;
}

PROCESS_TEST(a_fault_inside_a_blocking_call_ends_the_process_alone)
{
    for (int i = 0; i < 20; i++) {
        check_reason(reason_of(faults_in_blocking), "sigsegv");
        check_reason(reason_of(overflows_in_blocking), "stack_overflow");
    }
}

TEST(a_fault_of_the_app_process_ends_the_run_with_the_reason)
{
    weft_term result = weft_none;

    if (!runtime_up(&(struct weft_runtime_options){WEFT_RUNTIME_DEFAULTS}))
        return;
    check_int(weft_runtime_run(null_write, weft_none, &result), WEFT_ECANCELED);
    check_reason(result, "sigsegv");
    check_int(weft_runtime_run(overflows, weft_none, &result), WEFT_ECANCELED);
    check_reason(result, "stack_overflow");
    check_int(weft_runtime_run(do_nothing, A(ok), &result), 0);
    runtime_down();
}

/* -- stacks -------------------------------------------------------------------------------- */

PROCESS_TEST(a_guard_is_closed_again_after_an_overflow)
{
    for (int i = 0; i < 200; i++) {
        WEFT_SCOPE;

        check_reason(reason_of(overflows), "stack_overflow");
    }
}

/* Goes down to where the guard begins, and faults otherwise. */
FAULTY static weft_term deep_fault(const char *low, weft_term x)
{
    volatile char frame[64];

    frame[0] = 1;
    if ((const char *)(uintptr_t)frame - low < 1500)
        null_write(x);
    if (zero == 0)
        x = deep_fault(low, x);
    frame[1] = frame[0];
    return x;
}

static weft_term faults_with_little_stack(weft_term x)
{
    char here;
    uintptr_t low = ((uintptr_t)&here & ~(uintptr_t)0x1ffff) + 0x10000; /* 64 KiB guard, 64 KiB stack */

    return deep_fault((const char *)low, x);
}

PROCESS_TEST(a_fault_with_hardly_any_stack_left_is_told_from_an_overflow)
{
    if (SANITIZED) /* frames are larger there */
        return (void)check(true);
    check_reason(reason_of(faults_with_little_stack), "sigsegv");
}

/* -- floating point --------------------------------------------------------------------------- */

static weft_term spoils_rounding(weft_term x)
{
    fesetround(FE_UPWARD);
    return null_write(x);
}

static weft_term reads_rounding(weft_term x)
{
    (void)x;
    weft_exit(weft_int(fegetround()));
}

TEST(what_a_fault_left_in_the_floating_point_unit_is_put_back)
{
    weft_term result = weft_none;

    if (!runtime_with_one_worker())
        return;
    weft_runtime_run(spoils_rounding, weft_none, &result);
    weft_runtime_run(reads_rounding, weft_none, &result);
    check_term(result, weft_int(FE_TONEAREST));
    runtime_down();
}

/* -- kills ------------------------------------------------------------------------------------- */

static _Atomic int n_spinning;

FAULTY static weft_term spins(weft_term x)
{
    atomic_fetch_add(&n_spinning, 1);
    for (;;)
        zero = 0;
    return x;
}

FAULTY static weft_term spins_in_leaves(weft_term x)
{
    static char text[100000];

    memset(text, 'a', sizeof text - 1);
    atomic_fetch_add(&n_spinning, 1);
    for (;;)
        zero = (int)strlen(text) * 0;
    return x;
}

/* Mostly inside malloc and free: interrupted again and again, until it is not. */
FAULTY static weft_term spins_in_the_allocator(weft_term x)
{
    atomic_fetch_add(&n_spinning, 1);
    for (;;) {
        void *volatile at = malloc(100);

        free(at);
    }
    return x;
}

#if defined(WEFT_TSAN)
enum { HELD_BACK = true };
#define SKIP_WHERE_SIGNALS_ARE_HELD_BACK skip("the thread sanitizer holds signals back until a call that it knows")
#else
enum { HELD_BACK = false };
#define SKIP_WHERE_SIGNALS_ARE_HELD_BACK (void)0
#endif

static void kill_spinning(weft_fn *fn)
{
    int before = atomic_load(&n_spinning);
    weft_ref down;
    weft_pid pid = weft_spawn(fn, weft_none, .monitor = &down);

    await_count(&n_spinning, before + 1);
    weft_kill(pid);
    check_term(await_down(down), A(killed));
}

PROCESS_TEST(a_kill_ends_a_process_that_spins, "PROC-19")
{
    SKIP_WHERE_SIGNALS_ARE_HELD_BACK;
    kill_spinning(spins);
    kill_spinning(spins_in_leaves);
    /* Where a leak is a finding, this is one: the process ends between the two. */
    for (int i = 0; i < 10 && !SANITIZED; i++)
        kill_spinning(spins_in_the_allocator);
}

PROCESS_TEST(other_exit_signals_wait_for_a_park_point, "PROC-19")
{
    weft_ref down;
    weft_pid pid;

    SKIP_WHERE_SIGNALS_ARE_HELD_BACK;
    pid = weft_spawn(spins, weft_none, .monitor = &down);
    await_count(&n_spinning, 1);
    weft_exit_signal(pid, A(boom));
    expect_no_message(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any));
    weft_kill(pid);
    check_term(await_down(down), A(boom));
}

static _Atomic int n_left;

FAULTY static weft_term spins_with_a_foreign_lock(weft_term x)
{
    (void)x;
    {
        WEFT_FOREIGN_LOCK;

        weft_yield(); /* as other calls that may park */
        atomic_fetch_add(&n_spinning, 1);
        while (atomic_load(&n_left) == 0)
            zero = 0;
        weft_yield();
        atomic_fetch_add(&n_left, 1);
    }
    weft_yield();
    atomic_fetch_add(&n_left, 100);
    return x;
}

PROCESS_TEST(a_kill_waits_while_a_foreign_lock_is_held, "PROC-19")
{
    weft_ref down;
    weft_pid pid = weft_spawn(spins_with_a_foreign_lock, weft_none, .monitor = &down);

    await_count(&n_spinning, 1);
    weft_kill(pid);
    check(!weft_is_alive(pid));
    expect_no_message(weft_tuple(A(DOWN), down, weft_any, weft_any, weft_any));
    atomic_store(&n_left, 1);
    check_term(await_down(down), A(killed));
    check_int(atomic_load(&n_left), 2);
}

static weft_term leaves_too_often(weft_term x)
{
    weft_foreign_enter();
    weft_foreign_leave();
    weft_foreign_leave();
    return x;
}

PROCESS_TEST(leaving_a_foreign_lock_that_was_not_entered_is_a_mistake)
{
    weft_ref down;

    weft_spawn(leaves_too_often, A(ok), .monitor = &down);
    check_fits(await_down(down), weft_tuple(A(badarg), weft_any));
}

/* -- fatal ----------------------------------------------------------------------------------------- */

FAULTY static weft_term frees_nothing(weft_term x)
{
    void (*volatile release)(void *) = free;

    release((char *)nowhere + 16);
    return x;
}

FAULTY static weft_term frees_twice(weft_term x)
{
    void (*volatile release)(void *) = free;
    void *at = malloc(24);

    release(at);
    release(at);
    return x;
}

FAULTY static weft_term misleads_weft(weft_term x)
{
    return weft_tuple(x, weft_bin(nowhere, 100000));
}

FAULTY static int faulting_compare(const void *a, const void *b)
{
    (void)a;
    *(volatile int *)nowhere = 1;
    return b != NULL;
}

FAULTY static weft_term sorts_and_faults(weft_term x)
{
    int numbers[] = {3, 2, 1};

    qsort(numbers, 3, sizeof *numbers, faulting_compare);
    return x;
}

FAULTY static weft_term prints_nothing(weft_term x)
{
    int (*volatile print)(const char *, ...) = printf;

    print("%s %d", (const char *)nowhere + 8, 5);
    return x;
}

#if !defined(__clang__)
#define PROTECTED __attribute__((noinline, optimize("stack-protector-all")))

PROTECTED static void smash(volatile char *at)
{
    for (int i = 0; i < 64; i++)
        at[i] = 1;
}

PROTECTED FAULTY static weft_term smashes_its_stack(weft_term x)
{
    char small[8];

    smash(small);
    return weft_tuple(x, weft_int(small[0]));
}
#endif

/* What -D_FORTIFY_SOURCE makes of a memcpy into too small a buffer. */
extern void *__memcpy_chk(void *to, const void *from, size_t size, size_t room);

FAULTY static weft_term overruns_a_buffer(weft_term x)
{
    void *(*volatile copy)(void *, const void *, size_t, size_t) = __memcpy_chk;
    char to[8];

    copy(to, "more than that", 15, sizeof to);
    return weft_tuple(x, weft_int(to[0]));
}

#if defined(__x86_64__)
FAULTY static weft_term loses_its_frame(weft_term x)
{
    __asm__ volatile("movl $64, %%ebp\n\tmovl $0, 0" ::: "memory");
    return x;
}
#endif

static weft_term faults_with_a_foreign_lock(weft_term x)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    WEFT_FOREIGN_LOCK;

    pthread_mutex_lock(&lock);
    null_write(x);
    pthread_mutex_unlock(&lock);
    return x;
}

static void destroy_and_fault(void *object)
{
    null_write(weft_pointer(object));
}

static weft_term drops_a_faulting_native(weft_term x)
{
    static const weft_native_type type = {.name = "Faulty", .destroy = destroy_and_fault};
    WEFT_SCOPE;

    weft_native(&type, (void *)(uintptr_t)&zero);
    return x;
}

static const struct {
    weft_fn *fn;
    int signo;
    const char *because;
    bool in_sanitizers; /* they leave it to us */
} fatal[] = {
    {frees_nothing, SIGSEGV, "inside the allocator", false},
    {frees_twice, SIGABRT, "inside the allocator", false},
    {misleads_weft, SIGSEGV, "inside weft: weft_bin", false},
    {sorts_and_faults, SIGSEGV, "the C library was calling back", false},
    {prints_nothing, SIGSEGV, "inside the C library, in a function that may hold a lock", false},
    {faults_with_a_foreign_lock, SIGSEGV, "it holds a foreign lock", true},
    {drops_a_faulting_native, SIGSEGV, "weft was calling back into the program", true},
#if defined(__x86_64__)
    {loses_its_frame, SIGSEGV, "the stack", !HELD_BACK}, /* faults in the handler */
#endif
#if !defined(__clang__)
    {smashes_its_stack, SIGABRT, "the C library itself gave up", false},
#endif
    {overruns_a_buffer, SIGABRT, "the C library itself gave up", false},
};

static void run_fatal(void *arg)
{
    weft_term result = weft_none;

    if (weft_runtime_start(.workers = 2) != 0)
        _exit(99);
    weft_runtime_run((weft_fn *)(uintptr_t)arg, weft_none, &result);
    fprintf(stderr, "it lived on: %s\n", weft_inspect(result));
}

TEST(a_fault_that_may_have_broken_more_ends_the_program_and_says_why)
{
    for (size_t i = 0; i < COUNT(fatal); i++) {
        struct tap_outcome outcome;

        if (SANITIZED && !fatal[i].in_sanitizers)
            continue;
        tap_run(run_fatal, (void *)(uintptr_t)fatal[i].fn, 20, &outcome);
        /* The handler before ours is the sanitizer's, which exits. */
        if ((!SANITIZED && (!check(WIFSIGNALED(outcome.status)) ||
                            !check_int(WTERMSIG(outcome.status), fatal[i].signo))) ||
            !check_has(outcome.output, fatal[i].because))
            diag("%s", outcome.output);
        check_has(outcome.output, "process    #PID<");
        check_has(outcome.output, "registers");
        check_has(outcome.output, "stack      0x");
        check_has(outcome.output, "newest first:");
    }
}

/* -- what is not ours ------------------------------------------------------------------------------- */

static void *foreign_fault(void *arg)
{
    null_write(weft_none);
    return arg;
}

static void run_foreign(void *arg)
{
    pthread_t thread;

    if (weft_runtime_start(.workers = 2) != 0)
        _exit(99);
    pthread_create(&thread, NULL, foreign_fault, arg);
    pthread_join(thread, NULL);
}

TEST(a_fault_in_a_foreign_thread_is_left_alone)
{
    struct tap_outcome outcome;

    if (SANITIZED)
        skip("the sanitizer reports it and exits");
    tap_run(run_foreign, NULL, 20, &outcome);
    check(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGSEGV);
    check_str(outcome.output, "");
}

static void own_handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    _exit(info->si_addr == NULL ? signo : 98);
}

static void set_own_handler(void)
{
    struct sigaction action = {.sa_sigaction = own_handler, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
}

static void run_foreign_with_handler(void *arg)
{
    set_own_handler();
    run_foreign(arg);
}

static void run_fatal_with_handler(void *arg)
{
    set_own_handler();
    run_fatal(arg);
}

TEST(the_handler_that_was_there_before_gets_what_is_not_contained)
{
    struct tap_outcome outcome;

    tap_run(run_foreign_with_handler, NULL, 20, &outcome);
    check(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == SIGSEGV);
    check_str(outcome.output, "");
    tap_run(run_fatal_with_handler, (void *)(uintptr_t)drops_a_faulting_native, 20, &outcome);
    check(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == SIGSEGV);
    check_has(outcome.output, "because    weft was calling back");
}

TEST(stop_puts_back_the_handlers_that_start_replaced)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGURG};
    struct sigaction now;

    set_own_handler();
    for (int round = 0; round < 3; round++) {
        if (!runtime_with_one_worker())
            return;
        sigaction(SIGSEGV, NULL, &now);
        check(now.sa_sigaction != own_handler);
        runtime_down();
        sigaction(SIGSEGV, NULL, &now);
        check(now.sa_sigaction == own_handler);
    }
    for (size_t i = 1; i < COUNT(signals) && !SANITIZED; i++) {
        sigaction(signals[i], NULL, &now);
        check(now.sa_handler == SIG_DFL);
    }
}

static void run_without(void *arg)
{
    weft_term result;

    (void)arg;
    if (weft_runtime_start(.workers = 2, .contain_faults = false) == 0)
        weft_runtime_run(null_write, weft_none, &result);
}

TEST(with_contain_faults_off_no_signal_is_taken)
{
    struct tap_outcome outcome;

    if (SANITIZED)
        skip("the sanitizer reports it and exits");
    tap_run(run_without, NULL, 20, &outcome);
    check(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGSEGV);
    check_str(outcome.output, "");
}

static void run_limited(void *arg)
{
    weft_term result = weft_none;

    (void)arg;
    if (weft_runtime_start(.workers = 2, .max_faults_per_second = 5) != 0)
        _exit(99);
    /* Until there are more than 5 in a second. */
    for (;;)
        weft_runtime_run(null_write, weft_none, &result);
}

TEST(more_faults_within_a_second_than_allowed_end_the_program)
{
    struct tap_outcome outcome;

    tap_run(run_limited, NULL, 20, &outcome);
    check(!WIFEXITED(outcome.status) || WEXITSTATUS(outcome.status) != 0);
    check_has(outcome.output, "more faults came within a second than .max_faults_per_second allows");
}

static void run_fork(void *arg)
{
    int status = 0;
    pid_t child;

    (void)arg;
    if (weft_runtime_start(.workers = 2) != 0)
        _exit(99);
    child = fork();
    if (child == 0) {
        null_write(weft_none);
        _exit(0);
    }
    waitpid(child, &status, 0);
    weft_runtime_stop();
    _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 0 : 1);
}

TEST(after_a_fork_a_fault_of_the_child_ends_the_child)
{
    struct tap_outcome outcome;

    if (SANITIZED)
        skip("the sanitizer reports it and exits");
    tap_run(run_fork, NULL, 20, &outcome);
    check(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    check_str(outcome.output, "");
}

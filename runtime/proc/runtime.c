/* runtime.c - start and stop. */
#include "proc/runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "base/options.h"
#include "proc/bond.h"
#include "proc/coroner.h"
#include "proc/fault.h"
#include "proc/guest.h"
#include "proc/hog_report.h"
#include "proc/life.h"
#include "proc/log.h"
#include "proc/message.h"
#include "proc/signal.h"
#include "term/fail.h"
#include "weft/error.h"
#include "weft/runtime.h"

#define STOP_HOOKS_MAX 8

_Atomic(struct weft__runtime *) weft__the_runtime;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER; /* start and stop, one at a time */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool has_forked;
static uint64_t generations;
static void (*stop_hooks[STOP_HOOKS_MAX])(void);
static unsigned n_stop_hooks;
static _Thread_local char error_text[256]; /* never read across a switch: start, run and stop are for threads */

/* -- who asks ------------------------------------------------------------------------ */

int weft__runtime_missing(void)
{
    return atomic_load_explicit(&has_forked, memory_order_relaxed) ? WEFT_EFORKED : WEFT_ESTOPPED;
}

const char *weft_runtime_error(void)
{
    return error_text;
}

bool weft__thread_is_main(void)
{
    return getpid() == (pid_t)syscall(SYS_gettid);
}

static int fail(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return code;
}

/* -- once in the program ---------------------------------------------------------------- */

static void in_fork_child(void)
{
    struct weft__here *here = weft__here();

    if (weft__runtime() == NULL)
        return;
    atomic_store_explicit(&has_forked, true, memory_order_relaxed);
    atomic_store_explicit(&weft__the_runtime, NULL, memory_order_relaxed);
    /* The thread that forked may be a worker's: it is nobody's here. */
    here->slot.worker = NULL;
    here->slot.cache = NULL;
    atomic_store_explicit(&here->hold, WEFT__HOLDS_NONE, memory_order_relaxed);
    here->proc = NULL;
    here->carrier = NULL;
    pthread_mutex_init(&start_lock, NULL);
}

static void find_log_caller(struct weft__log_caller *caller)
{
    struct weft__proc *proc = weft__here()->proc;

    if (proc == NULL || weft__runtime() == NULL)
        return;
    caller->pid = proc->pid;
    if (proc->extra != NULL && proc->extra->label[0] != 0)
        caller->label = proc->extra->label;
}

static void prepare_program(void)
{
    pthread_atfork(NULL, NULL, in_fork_child);
    weft__term_fail_hook = weft__term_misused;
    weft__term_no_memory_hook = weft__term_out_of_memory;
    weft__log_set_caller(find_log_caller);
}

void weft__runtime_at_stop(void (*stop)(void))
{
    for (unsigned i = 0; i < n_stop_hooks; i++)
        if (stop_hooks[i] == stop)
            return;
    if (n_stop_hooks == STOP_HOOKS_MAX)
        abort();
    stop_hooks[n_stop_hooks++] = stop;
}

/* -- start ------------------------------------------------------------------------------ */

static int check_options(const struct weft_runtime_options *options)
{
    if (options->workers > 1024)
        return fail(WEFT_EINVAL, "weft_runtime_start: .workers is %u, above 1024", options->workers);
    if (options->max_processes < 16 || options->max_processes > (size_t)1 << WEFT__SLOT_BITS)
        return fail(WEFT_EINVAL, "weft_runtime_start: .max_processes is %zu, not from 16 to %zu",
                    options->max_processes, (size_t)1 << WEFT__SLOT_BITS);
    if (options->max_blocking < 1 || options->max_blocking > 65536)
        return fail(WEFT_EINVAL, "weft_runtime_start: .max_blocking is %u, not from 1 to 65536",
                    options->max_blocking);
    if (options->max_hogs > 65536)
        return fail(WEFT_EINVAL, "weft_runtime_start: .max_hogs is %u, above 65536", options->max_hogs);
    return 0;
}

static void warn(void *arg, const char *text)
{
    (void)arg;
    weft_log_warning("%s", text);
}

/* Takes one that is half built. */
static void destroy(struct weft__runtime *runtime)
{
    if (runtime->sched != NULL)
        weft__sched_free(runtime->sched);
    weft__names_destroy(&runtime->names);
    weft__table_destroy(&runtime->table);
    pthread_mutex_destroy(&runtime->guests_lock);
    free(runtime->slots);
    free(runtime);
}

static int start(const struct weft_runtime_options *options)
{
    const char *problem = options->contain_faults ? weft__coroner_prepare() : NULL;
    struct weft__sched_options sched = {
        .n_workers = options->workers, .max_blocking = options->max_blocking, .max_hogs = options->max_hogs,
        .seed = options->seed != 0 ? options->seed : (uint64_t)weft__clock_ns() ^ (uint64_t)getpid() << 32,
        .max_cached_stacks = (uint32_t)options->max_cached_stacks, .bind = options->bind, .warn = warn,
        .hooks = &weft__fault_hooks, .note_hog = weft__hog_note, .on_hog = weft__hog_tell};
    struct weft__runtime *runtime = calloc(1, sizeof *runtime);
    int code = WEFT_ENOMEM;

    if (runtime == NULL)
        return fail(code, "weft_runtime_start: no memory");
    pthread_mutex_init(&runtime->guests_lock, NULL);
    runtime->generation = ++generations;
    code = weft__sched_new(&runtime->sched, &sched);
    if (code != 0)
        goto failed;
    code = WEFT_ENOMEM;
    if (weft__table_init(&runtime->table, options->max_processes, runtime->sched->n_workers) != 0 ||
        weft__names_init(&runtime->names) != 0)
        goto failed;
    runtime->slots = aligned_alloc(64, (runtime->sched->n_workers * sizeof *runtime->slots + 63) & ~(size_t)63);
    if (runtime->slots == NULL)
        goto failed;
    memset(runtime->slots, 0, runtime->sched->n_workers * sizeof *runtime->slots);
    code = options->contain_faults ? weft__faults_install(options->max_faults_per_second) : 0;
    if (code != 0)
        goto failed;
    if (problem != NULL)
        weft_log_warning("faults in processes will end the program: %s", problem);
    /* Before the threads: timers and descriptors may wake processes at once. */
    atomic_store_explicit(&weft__the_runtime, runtime, memory_order_release);
    code = weft__sched_start(runtime->sched);
    if (code == 0)
        return 0;
    atomic_store_explicit(&weft__the_runtime, NULL, memory_order_release);
    weft__faults_restore();
failed:
    destroy(runtime);
    return fail(code, "weft_runtime_start: %s", weft_error_text(code));
}

int weft_runtime_start_opt(const struct weft_runtime_options *given)
{
    struct weft_runtime_options room = {WEFT_RUNTIME_DEFAULTS};
    const struct weft_runtime_options *options = weft__options(given, &room, sizeof room);
    int code;

    error_text[0] = 0;
    pthread_once(&once, prepare_program);
    if (weft__here()->carrier != NULL)
        return fail(WEFT_EALREADY, "weft_runtime_start: called inside the runtime");
    if (atomic_load_explicit(&has_forked, memory_order_relaxed))
        return fail(WEFT_EFORKED, "weft_runtime_start: %s", weft_error_text(WEFT_EFORKED));
    code = check_options(options);
    if (code != 0)
        return code;
    pthread_mutex_lock(&start_lock);
    if (weft__runtime() != NULL)
        code = fail(WEFT_EALREADY, "weft_runtime_start: a runtime runs already");
    else
        code = start(options);
    pthread_mutex_unlock(&start_lock);
    return code;
}

/* -- run --------------------------------------------------------------------------------- */

static bool take_result(struct weft__proc *proc, weft_ref ref, weft_term *result)
{
    struct weft__bond *bond = weft__bond_find(proc, ref.bits);
    struct weft__message *message = weft__task_take(proc, bond);
    bool is_ok = (message->block.flags & WEFT__HAS_VALUE) ||
                 weft_eq(message->root, WEFT_ATOM("normal"));

    if (result != NULL)
        *result = weft__copy_to_region(weft__region_here(), message->root, "weft_runtime_run");
    weft__message_free(message);
    return is_ok;
}

int weft__runtime_run_with(weft_fn *fn, weft_term arg, weft_term *result,
                           void (*meanwhile)(weft_pid app, void *arg), void *meanwhile_arg)
{
    struct weft_spawn_options options = {WEFT_SPAWN_DEFAULTS};
    weft_ref ref;
    struct weft__spawn how = {.kind = WEFT__PROC_FUNCTION, .fn = fn, .arg = arg, .options = &options,
                              .call = "weft_runtime_run", .is_task = true, .task_ref = &ref};
    struct weft__proc *proc;
    struct weft__bond *bond;
    struct weft__wait wait;
    weft_pid pid;
    int code;

    error_text[0] = 0;
    if (weft__here()->carrier != NULL)
        return fail(WEFT_EINVAL, "weft_runtime_run: called inside the runtime");
    proc = weft__proc_here();
    if (proc == NULL)
        return fail(weft__runtime_missing(), "weft_runtime_run: %s",
                    weft_error_text(weft__runtime_missing()));
    options.stack_size = weft__stack_class_size(WEFT__STACK_CLASSES - 1);
    pid = weft__proc_spawn(proc, &how, &code);
    if (weft_is_none(pid))
        return fail(code, "weft_runtime_run: %s", weft_error_text(code));
    bond = weft__bond_find(proc, ref.bits);
    weft__wait_begin(&wait, proc, WEFT_INFINITY);
    for (;;) {
        weft__proc_drain(proc);
        if (bond->is_done)
            break;
        if (meanwhile != NULL)
            meanwhile(pid, meanwhile_arg);
        weft__wait_once(&wait, true);
    }
    weft__wait_end(&wait);
    return take_result(proc, ref, result) ? 0 : WEFT_ECANCELED;
}

int weft_runtime_run(weft_fn *fn, weft_term arg, weft_term *result)
{
    return weft__runtime_run_with(fn, arg, result, NULL, NULL);
}

/* -- stop ---------------------------------------------------------------------------------- */

int64_t weft__runtime_n_alive(struct weft__runtime *runtime)
{
    int64_t n = atomic_load_explicit(&runtime->table.shared.n_alive, memory_order_relaxed);

    for (uint32_t i = 0; i < runtime->sched->n_workers; i++)
        n += atomic_load_explicit(&runtime->slots[i].n_alive, memory_order_relaxed);
    return n;
}

void weft__runtime_process_ended(struct weft__runtime *runtime)
{
    /* Relaxed: the stopper's waits have a bound, so one that is missed costs
     * some milliseconds. */
    if (__builtin_expect(atomic_load_explicit(&runtime->stopping, memory_order_relaxed) == 0, 1))
        return;
    atomic_fetch_add_explicit(&runtime->stopping, 1, memory_order_relaxed);
    syscall(SYS_futex, &runtime->stopping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* An exit signal to every process but guests. */
static void signal_all(struct weft__runtime *runtime, struct weft__proc *self, weft_term reason)
{
    size_t n = atomic_load_explicit(&runtime->table.n_used, memory_order_acquire);

    for (size_t i = 0; i < n; i++) {
        struct weft__proc *proc = &runtime->table.base[i];
        uint64_t state = atomic_load_explicit(&proc->state, memory_order_acquire);

        if ((state & WEFT__STATE_MASK) != WEFT__FREE && proc->fiber.kind != WEFT__PROC_GUEST)
            weft__signal_exit(self, weft__pid_make((uint32_t)i, weft__state_serial(state)), reason);
    }
}

static int64_t n_guests(struct weft__runtime *runtime)
{
    int64_t n = 0;

    pthread_mutex_lock(&runtime->guests_lock);
    for (struct weft__guest *guest = runtime->guests; guest != NULL; guest = guest->next)
        n++;
    pthread_mutex_unlock(&runtime->guests_lock);
    return n;
}

static bool is_one_alive(struct weft__runtime *runtime)
{
    size_t n = atomic_load_explicit(&runtime->table.n_used, memory_order_acquire);

    for (size_t i = 0; i < n; i++) {
        struct weft__proc *proc = &runtime->table.base[i];
        uint64_t state = atomic_load_explicit(&proc->state, memory_order_acquire);

        if ((state & WEFT__STATE_MASK) != WEFT__FREE && proc->fiber.kind != WEFT__PROC_GUEST)
            return true;
    }
    return false;
}

/* true: none but guests is left. */
static bool wait_for_ends(struct weft__runtime *runtime, int64_t deadline_ns)
{
    for (;;) {
        uint32_t seen = atomic_load_explicit(&runtime->stopping, memory_order_seq_cst);
        int64_t left_ns = deadline_ns - weft__clock_ns();
        struct timespec pause = {0, 5000000};

        /* The sum is no snapshot, so it only says when to look. */
        if (weft__runtime_n_alive(runtime) <= n_guests(runtime) && !is_one_alive(runtime))
            return true;
        if (left_ns <= 0)
            return false;
        if (left_ns < pause.tv_nsec)
            pause.tv_nsec = left_ns;
        syscall(SYS_futex, &runtime->stopping, FUTEX_WAIT_PRIVATE, seen, &pause, NULL, 0);
    }
}

static void name_one_alive(struct weft__runtime *runtime)
{
    size_t n = atomic_load_explicit(&runtime->table.n_used, memory_order_acquire);

    for (size_t i = 0; i < n; i++) {
        struct weft__proc *proc = &runtime->table.base[i];
        uint64_t state = atomic_load_explicit(&proc->state, memory_order_acquire);
        uint64_t name = atomic_load_explicit(&proc->name, memory_order_acquire);
        char text[64];

        if ((state & WEFT__STATE_MASK) == WEFT__FREE || proc->fiber.kind == WEFT__PROC_GUEST)
            continue;
        weft_inspect_to(text, sizeof text, name != 0 ? weft__term(name)
                                                     : weft__pid_make((uint32_t)i, weft__state_serial(state)));
        fail(0, "weft_runtime_stop: %s did not end in time", text);
        return;
    }
}

static int stop(struct weft__runtime *runtime, int64_t timeout_ms)
{
    struct weft__proc *self = weft__proc_here();
    int64_t begin_ns = weft__clock_ns();
    int64_t deadline_ns = weft__clock_after_ms(begin_ns, timeout_ms);
    int64_t half_ns = begin_ns + (deadline_ns - begin_ns) / 2;

    if (self == NULL)
        return fail(WEFT_ENOMEM, "weft_runtime_stop: %s", weft_error_text(WEFT_ENOMEM));
    atomic_store_explicit(&runtime->stopping, 1, memory_order_seq_cst);
    signal_all(runtime, self, WEFT_ATOM("shutdown"));
    if (!wait_for_ends(runtime, half_ns)) {
        signal_all(runtime, self, WEFT_ATOM("kill"));
        if (!wait_for_ends(runtime, deadline_ns)) {
            atomic_store_explicit(&runtime->stopping, 0, memory_order_seq_cst);
            name_one_alive(runtime);
            return WEFT_ETIMEDOUT;
        }
    }
    for (unsigned i = n_stop_hooks; i > 0; i--)
        stop_hooks[i - 1]();
    weft__sched_stop(runtime->sched);
    weft__faults_restore();
    weft__guests_end(runtime);
    for (size_t i = 0, n = atomic_load(&runtime->table.n_used); i < n; i++)
        weft__signal_drop_inbox(&runtime->table.base[i]); /* what late senders left */
    weft__log_tell();
    atomic_store_explicit(&weft__the_runtime, NULL, memory_order_release);
    weft__here()->proc = NULL;
    destroy(runtime);
    return 0;
}

int weft_runtime_stop_opt(const struct weft_runtime_stop_options *given)
{
    struct weft_runtime_stop_options room = {WEFT_RUNTIME_STOP_DEFAULTS};
    const struct weft_runtime_stop_options *options = weft__options(given, &room, sizeof room);
    struct weft__runtime *runtime;
    int code;

    error_text[0] = 0;
    if (weft__here()->carrier != NULL)
        return fail(WEFT_EINVAL, "weft_runtime_stop: called inside the runtime");
    if (options->timeout_ms < 0)
        return fail(WEFT_EINVAL, "weft_runtime_stop: .timeout_ms is negative (%lld)",
                    (long long)options->timeout_ms);
    pthread_mutex_lock(&start_lock);
    runtime = weft__runtime();
    code = runtime != NULL ? stop(runtime, options->timeout_ms)
                           : fail(weft__runtime_missing(), "weft_runtime_stop: %s",
                                  weft_error_text(weft__runtime_missing()));
    pthread_mutex_unlock(&start_lock);
    return code;
}

/* runtime.c - start, and run. Stop is in stop.c. */
#include "proc/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
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
#include "proc/alarm.h"
#include "proc/bond.h"
#include "proc/coroner.h"
#include "proc/disown.h"
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
pthread_mutex_t weft__runtime_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool has_forked;
static uint64_t generations;
static void (*stop_hooks[STOP_HOOKS_MAX])(void);
static unsigned n_stop_hooks;
static _Thread_local char error_text[640]; /* never read across a switch: start, run and stop are for threads */

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

void weft__runtime_no_error(void)
{
    error_text[0] = 0;
}

int weft__runtime_fail(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return code;
}

/* -- once in the program ---------------------------------------------------------------- */

static sigset_t mask_at_start; /* of the thread that started the runtime */

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
    here->is_hog = false;
    if (here->carrier != NULL) /* which takes no signals, but the child has no other thread */
        pthread_sigmask(SIG_SETMASK, &mask_at_start, NULL);
    here->proc = NULL;
    here->carrier = NULL;
    pthread_mutex_init(&weft__runtime_lock, NULL);
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

void weft__runtime_run_stop_hooks(void)
{
    for (unsigned i = n_stop_hooks; i > 0; i--)
        stop_hooks[i - 1]();
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
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_start: .workers is %u, above 1024",
                                  options->workers);
    if (options->max_processes < 16 || options->max_processes > (size_t)1 << WEFT__SLOT_BITS)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_start: .max_processes is %zu, not from 16 to %zu",
                                  options->max_processes, (size_t)1 << WEFT__SLOT_BITS);
    if (options->max_blocking < 1 || options->max_blocking > 65536)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_start: .max_blocking is %u, not from 1 to 65536",
                                  options->max_blocking);
    if (options->max_hogs > 65536)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_start: .max_hogs is %u, above 65536",
                                  options->max_hogs);
    if (options->disown_after_ms < 0)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_start: .disown_after_ms is negative (%lld)",
                                  (long long)options->disown_after_ms);
    if (options->long_queue_under != 0 && options->long_queue_under >= options->long_queue)
        return weft__runtime_fail(WEFT_EINVAL,
                                  "weft_runtime_start: .long_queue_under is %zu, not below .long_queue, %zu",
                                  options->long_queue_under, options->long_queue);
    return 0;
}

static void warn(void *arg, const char *text)
{
    (void)arg;
    weft_log_warning("%s", text);
}

/* Takes one that is half built. */
void weft__runtime_destroy(struct weft__runtime *runtime)
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
        .n_workers = options->workers, .max_blocking = options->max_blocking, 
        .max_hogs = options->contain_faults && problem == NULL ? options->max_hogs : 0,
        .seed = options->seed != 0 ? options->seed : (uint64_t)weft__clock_ns() ^ (uint64_t)getpid() << 32,
        .max_cached_stacks = (uint32_t)options->max_cached_stacks, .bind = options->bind, .warn = warn,
        .hooks = &weft__fault_hooks, .on_hog = weft__hog_tell};
    struct weft__runtime *runtime = calloc(1, sizeof *runtime);
    int code = WEFT_ENOMEM;

    if (runtime == NULL)
        return weft__runtime_fail(code, "weft_runtime_start: no memory");
    pthread_sigmask(SIG_SETMASK, NULL, &mask_at_start);
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
    weft__alarm_start(options->long_queue, options->long_queue_under);
    weft__disown_start(options->disown_after_ms);
    /* Before the threads: timers and descriptors may wake processes at once. */
    atomic_store_explicit(&weft__the_runtime, runtime, memory_order_release);
    code = weft__sched_start(runtime->sched);
    if (code == 0)
        return 0;
    atomic_store_explicit(&weft__the_runtime, NULL, memory_order_release);
    weft__faults_restore();
failed:
    weft__runtime_destroy(runtime);
    return weft__runtime_fail(code, "weft_runtime_start: %s", weft_error_text(code));
}

int64_t weft__runtime_n_alive(struct weft__runtime *runtime)
{
    int64_t n = atomic_load_explicit(&runtime->table.shared.n_alive, memory_order_relaxed);

    for (uint32_t i = 0; i < runtime->sched->n_workers; i++)
        n += atomic_load_explicit(&runtime->slots[i].n_alive, memory_order_relaxed);
    return n;
}

int weft_runtime_start_opt(const struct weft_runtime_options *given)
{
    struct weft_runtime_options room = {WEFT_RUNTIME_DEFAULTS};
    const struct weft_runtime_options *options = weft__options(given, &room, sizeof room);
    int code;

    weft__runtime_no_error();
    pthread_once(&once, prepare_program);
    if (weft__here()->carrier != NULL)
        return weft__runtime_fail(WEFT_EALREADY, "weft_runtime_start: called inside the runtime");
    if (atomic_load_explicit(&has_forked, memory_order_relaxed))
        return weft__runtime_fail(WEFT_EFORKED, "weft_runtime_start: %s", weft_error_text(WEFT_EFORKED));
    code = check_options(options);
    if (code != 0)
        return code;
    pthread_mutex_lock(&weft__runtime_lock);
    if (weft__runtime() != NULL)
        code = weft__runtime_fail(WEFT_EALREADY, "weft_runtime_start: a runtime runs already");
    else
        code = start(options);
    pthread_mutex_unlock(&weft__runtime_lock);
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

int weft__run_begin(struct weft__run *run, weft_fn *fn, weft_term arg)
{
    struct weft_spawn_options options = {WEFT_SPAWN_DEFAULTS};
    struct weft__spawn how = {.kind = WEFT__PROC_FUNCTION, .fn = fn, .arg = arg, .options = &options,
                              .call = "weft_runtime_run", .is_task = true, .task_ref = &run->ref};
    struct weft__proc *proc;
    int code;

    weft__runtime_no_error();
    if (weft__here()->carrier != NULL)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_run: called inside the runtime");
    proc = weft__proc_here();
    if (proc == NULL)
        return weft__runtime_fail(weft__runtime_missing(), "weft_runtime_run: %s",
                                  weft_error_text(weft__runtime_missing()));
    options.stack_size = weft__stack_class_size(WEFT__STACK_CLASSES - 1);
    run->pid = weft__proc_spawn(proc, &how, &code);
    if (weft_is_none(run->pid))
        return weft__runtime_fail(code, "weft_runtime_run: %s", weft_error_text(code));
    return 0;
}

bool weft__run_wait(const struct weft__run *run, bool (*is_over)(void))
{
    struct weft__proc *proc = weft__proc_here();
    struct weft__bond *bond = weft__bond_find(proc, run->ref.bits);
    struct weft__wait wait;

    weft__wait_begin(&wait, proc, WEFT_INFINITY);
    for (;;) {
        weft__proc_drain(proc);
        if (bond->is_done || (is_over != NULL && is_over()))
            break;
        weft__wait_once(&wait, true);
    }
    weft__wait_end(&wait);
    return bond->is_done;
}

bool weft__run_has_ended(const struct weft__run *run)
{
    struct weft__proc *proc = weft__proc_here();

    weft__proc_drain(proc);
    return weft__bond_find(proc, run->ref.bits)->is_done;
}

bool weft__run_take(const struct weft__run *run, weft_term *result)
{
    struct weft__proc *proc = weft__proc_here();

    return take_result(proc, run->ref, result);
}

int weft_runtime_run(weft_fn *fn, weft_term arg, weft_term *result)
{
    struct weft__run run;
    int code = weft__run_begin(&run, fn, arg);

    if (code != 0)
        return code;
    weft__run_wait(&run, NULL);
    return weft__run_take(&run, result) ? 0 : WEFT_ECANCELED;
}

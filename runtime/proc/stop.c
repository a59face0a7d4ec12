/* stop.c - the runtime's stop: every process ends, in order, by a deadline.
 *
 * Who has a living parent is its parent's to end: a supervisor ends its children
 * one after the other, the last first, and a link or the parent's own care does
 * the rest. So only those are told :shutdown who have none, or whose parent was a
 * foreign thread; and when a process has ended, those are looked for again whom it
 * leaves behind. A tree ends from its root this way, and its supervisors decide
 * in which order.
 *
 *     begin       tell those without a parent; again as processes end
 *     last part   overdue: what lives is reported, and killed
 *     deadline    what does not end even so is named
 *
 * Each look goes over all slots. Looks are as far apart as four of them take, so
 * that a hundred thousand ends are not held up by one look for each.
 *
 * Not by the order of the starts: nothing knows of it once processes start each
 * other on several workers. Trees that have to end one after the other belong
 * under one supervisor.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "base/options.h"
#include "base/symbol.h"
#include "proc/disown.h"
#include "proc/fault.h"
#include "proc/guest.h"
#include "proc/log.h"
#include "proc/pack.h"
#include "proc/runtime.h"
#include "proc/sight.h"
#include "proc/signal.h"
#include "weft/error.h"
#include "weft/runtime.h"

#define LAST_NS (1 * WEFT__NS_PER_S)   /* of the time: for those that are killed; half, if that is less */
#define PAUSE_NS (5 * WEFT__NS_PER_MS) /* between two looks at most */
#define LOOK_SHARE 4                   /* looks take a fifth of the time at most */

void weft__runtime_process_ended(struct weft__runtime *runtime)
{
    /* Relaxed: the stopper's waits have a bound, so one that is missed costs
     * some milliseconds. */
    if (__builtin_expect(atomic_load_explicit(&runtime->stopping, memory_order_relaxed) == 0, 1))
        return;
    atomic_fetch_add_explicit(&runtime->stopping, 1, memory_order_relaxed);
    syscall(SYS_futex, &runtime->stopping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* -- looking ------------------------------------------------------------------------ */

/* The process of that slot may have ended since, and another one begin: then this is the
 * one's kind or the other's, and the next look will tell. Race detectors cannot know. */
#if defined(__SANITIZE_THREAD__) || defined(__clang__)
__attribute__((no_sanitize("thread")))
#endif
static bool is_guest(const struct weft__proc *proc)
{
    return proc->fiber.kind == WEFT__PROC_GUEST;
}

/* The live process of a slot, no guest: its pid and its state; or weft_none. */
static weft_pid process_at(struct weft__runtime *runtime, size_t slot, uint64_t *state)
{
    struct weft__proc *proc = &runtime->table.base[slot];

    /* Acquire, with the release in begin(): what kind it is. */
    *state = atomic_load_explicit(&proc->state, memory_order_acquire);
    if ((*state & WEFT__STATE_MASK) == WEFT__FREE || is_guest(proc))
        return weft_none;
    if ((*state & (WEFT__STATE_MASK | WEFT__DISOWNED)) == (WEFT__ENDING | WEFT__DISOWNED))
        return weft_none; /* but its remains live */
    return weft__pid_make((uint32_t)slot, weft__state_serial(*state));
}

static size_t n_slots(struct weft__runtime *runtime)
{
    /* Acquire, with the release when slots are cut: they are accessible. */
    return atomic_load_explicit(&runtime->table.n_used, memory_order_acquire);
}

/* Of one that begins right now this may be weft_none still; a word is never half
 * written. Race detectors cannot know that it does not matter. */
#if defined(__SANITIZE_THREAD__) || defined(__clang__)
__attribute__((no_sanitize("thread")))
#endif
static weft_pid parent_of(const struct weft__proc *proc)
{
    return proc->parent;
}

/* Will nobody else tell it to end? */
static bool is_on_its_own(struct weft__runtime *runtime, size_t slot)
{
    weft_pid parent = parent_of(&runtime->table.base[slot]);
    uint64_t state;

    if (weft_is_none(parent))
        return false; /* it begins: the next look will tell */
    return !weft_eq(process_at(runtime, weft__pid_slot(parent), &state), parent);
}

/* Tell those who are on their own; how many live. */
static int64_t tell_orphans(struct weft__runtime *runtime)
{
    int64_t n = 0;

    for (size_t i = 0, n_all = n_slots(runtime); i < n_all; i++) {
        uint64_t state;
        weft_pid pid = process_at(runtime, i, &state);

        if (weft_is_none(pid))
            continue;
        n++;
        if ((state & WEFT__TOLD) == 0 && is_on_its_own(runtime, i))
            weft__runtime_tell_end(pid, WEFT_ATOM("shutdown"));
    }
    return n;
}

static int64_t kill_all(struct weft__runtime *runtime)
{
    int64_t n = 0;

    for (size_t i = 0, n_all = n_slots(runtime); i < n_all; i++) {
        uint64_t state;
        weft_pid pid = process_at(runtime, i, &state);

        if (weft_is_none(pid))
            continue;
        n++;
        if ((state & WEFT__KILLED) == 0)
            weft__signal_exit(weft__proc_here(), pid, WEFT_ATOM("kill"));
    }
    return n;
}

void weft__runtime_tell_end(weft_pid pid, weft_term reason)
{
    weft__proc_mark_told(pid);
    weft__signal_stop(weft__proc_here(), pid, reason);
}

/* -- waiting --------------------------------------------------------------------------- */

static int64_t n_guests(struct weft__runtime *runtime)
{
    int64_t n = 0;

    pthread_mutex_lock(&runtime->guests_lock);
    for (struct weft__guest *guest = runtime->guests; guest != NULL; guest = guest->next)
        n++;
    pthread_mutex_unlock(&runtime->guests_lock);
    return n;
}

/* The sum is no snapshot, so it only says when to look. */
static bool seems_empty(struct weft__runtime *runtime)
{
    return weft__runtime_n_alive(runtime) <= n_guests(runtime);
}

/* Until a process ends, for so long at most. */
static void await_an_end(struct weft__runtime *runtime, uint32_t seen, int64_t ns)
{
    struct timespec pause = {0, ns < PAUSE_NS ? ns : PAUSE_NS};

    if (ns > 0)
        syscall(SYS_futex, &runtime->stopping, FUTEX_WAIT_PRIVATE, seen, &pause, NULL, 0);
}

/* look over and over, as processes end. true: none is left. */
static bool look_until(struct weft__runtime *runtime, int64_t (*look)(struct weft__runtime *), int64_t until_ns)
{
    for (;;) {
        /* Before the look: who ends after it was seen changes this. */
        uint32_t seen = atomic_load_explicit(&runtime->stopping, memory_order_seq_cst);
        int64_t begin_ns = weft__clock_ns(), now_ns;

        if (look(runtime) == 0)
            return true;
        now_ns = weft__clock_ns();
        if (now_ns >= until_ns)
            return false;
        await_an_end(runtime, seen, until_ns - now_ns);
        for (int64_t next_ns = now_ns + LOOK_SHARE * (now_ns - begin_ns); now_ns < next_ns && !seems_empty(runtime);
             now_ns = weft__clock_ns())
            nanosleep(&(struct timespec){.tv_nsec = next_ns - now_ns < PAUSE_NS ? next_ns - now_ns : PAUSE_NS}, NULL);
    }
}

/* -- the end ----------------------------------------------------------------------------- */

/* "#PID<5.1> is in read < fill < parse_file": the stack, if a thread has it. */
static void describe(struct weft__runtime *runtime, size_t slot, weft_term who, char *text, size_t size)
{
    size_t at = weft_inspect_to(text, size, who);
    struct weft__sight sight;

    if (!weft__sight_take(runtime, (uint32_t)slot, &sight) || sight.n_frames == 0 || at + 8 >= size)
        return;
    /* The call, which may be the last thing in its function. */
    for (uint32_t i = 1; i < sight.n_frames; i++)
        sight.frames[i] = (const char *)sight.frames[i] - 1;
    at += (size_t)snprintf(text + at, size - at, " is in ");
    weft__symbol_stack(text + at, size - at, sight.frames, sight.n_frames);
}

/* In weft_runtime_error. false: none is alive, by now. */
static bool name_one_alive(struct weft__runtime *runtime)
{
    for (size_t i = 0, n_all = n_slots(runtime); i < n_all; i++) {
        uint64_t name = atomic_load_explicit(&runtime->table.base[i].name, memory_order_acquire), state;
        weft_pid pid = process_at(runtime, i, &state);
        char text[512];

        if (weft_is_none(pid))
            continue;
        if (!weft__disowned_describe(pid, text, sizeof text))
            describe(runtime, i, name != 0 ? weft__term(name) : pid, text, sizeof text);
        weft__runtime_fail(0, "weft_runtime_stop: did not end in time: %s", text);
        return true;
    }
    return false;
}

/* The time for an orderly end is over: report and kill those that live. true: none
 * does in the end. */
static bool end_the_rest(struct weft__runtime *runtime, int64_t deadline_ns, void (*overdue)(int64_t n))
{
    int64_t n = tell_orphans(runtime);

    if (n > 0 && overdue != NULL)
        overdue(n);
    return n == 0 || look_until(runtime, kill_all, deadline_ns);
}

static int end_processes(struct weft__runtime *runtime, int64_t begin_ns, int64_t timeout_ms,
                         void (*overdue)(int64_t n))
{
    int64_t deadline_ns = weft__clock_after_ms(begin_ns, timeout_ms), half_ns = (deadline_ns - begin_ns) / 2;
    bool is_done;

    atomic_store_explicit(&runtime->stopping, 1, memory_order_seq_cst);
    is_done = look_until(runtime, tell_orphans, deadline_ns - (half_ns < LAST_NS ? half_ns : LAST_NS));
    if (!is_done)
        is_done = end_the_rest(runtime, deadline_ns, overdue);
    atomic_store_explicit(&runtime->stopping, 0, memory_order_seq_cst);
    return is_done || !name_one_alive(runtime) ? 0 : WEFT_ETIMEDOUT;
}

static int end_processes_here(struct weft__runtime *runtime, int64_t begin_ns, int64_t timeout_ms,
                              void (*overdue)(int64_t n))
{
    if (weft__proc_here() == NULL)
        return weft__runtime_fail(WEFT_ENOMEM, "weft_runtime_stop: %s", weft_error_text(WEFT_ENOMEM));
    return end_processes(runtime, begin_ns, timeout_ms, overdue);
}

int weft__runtime_end_processes(int64_t begin_ns, int64_t timeout_ms, void (*overdue)(int64_t n))
{
    int code;

    pthread_mutex_lock(&weft__runtime_lock);
    code = end_processes_here(weft__runtime(), begin_ns, timeout_ms, overdue);
    pthread_mutex_unlock(&weft__runtime_lock);
    return code;
}

static int stop(struct weft__runtime *runtime, int64_t timeout_ms)
{
    int code = end_processes_here(runtime, weft__clock_ns(), timeout_ms, NULL);

    if (code != 0)
        return code;
    weft__runtime_run_stop_hooks();
    weft__sched_stop(runtime->sched);
    weft__faults_restore();
    weft__guests_end(runtime);
    weft__here()->proc = NULL; /* this thread's has ended, and is to get nothing any more */
    for (uint32_t i = 0; i < runtime->sched->n_workers; i++)
        weft__pack_let_go(&runtime->slots[i].pack, NULL);
    for (size_t i = 0, n = n_slots(runtime); i < n; i++)
        weft__signal_drop_inbox(&runtime->table.base[i]); /* what late senders left */
    weft__log_tell();
    atomic_store_explicit(&weft__the_runtime, NULL, memory_order_release);
    weft__runtime_destroy(runtime);
    return 0;
}

int weft_runtime_stop_opt(const struct weft_runtime_stop_options *given)
{
    struct weft_runtime_stop_options room = {WEFT_RUNTIME_STOP_DEFAULTS};
    const struct weft_runtime_stop_options *options = weft__options(given, &room, sizeof room);
    struct weft__runtime *runtime;
    int code;

    weft__runtime_no_error();
    if (weft__here()->carrier != NULL)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_stop: called inside the runtime");
    if (options->timeout_ms < 0)
        return weft__runtime_fail(WEFT_EINVAL, "weft_runtime_stop: .timeout_ms is negative (%lld)",
                                  (long long)options->timeout_ms);
    pthread_mutex_lock(&weft__runtime_lock);
    runtime = weft__runtime();
    code = runtime != NULL ? stop(runtime, options->timeout_ms)
                           : weft__runtime_fail(weft__runtime_missing(), "weft_runtime_stop: %s",
                                                weft_error_text(weft__runtime_missing()));
    pthread_mutex_unlock(&weft__runtime_lock);
    return code;
}

/* os_signal.c - signals of the operating system as messages.
 *
 *   on_signal   the handler, on whatever thread the kernel picks: sets the
 *               signal's bit and wakes the watcher; nothing more is allowed there
 *   watcher     a thread, "weft-signals", from the first subscription to the
 *               runtime's stop: turns bits into {:signal, n} for the keeper. It
 *               is a thread because it sits in read(2), and a guest process
 *   keeper      a callback process with a name, started at the first
 *               subscription: has the list of who wants what, watches them,
 *               tells them, and sets and restores the dispositions
 *
 * What is done at a signal without a process (a dump, the begin of the program's
 * end) the watcher does by itself, so it works while every worker is held. Who
 * subscribes to such a signal has it meanwhile.
 *
 * All requests and endings come to the keeper as messages, one after the other,
 * so the list needs no lock. What a keeper set it restores when it ends,
 * however it ends; a new one may be there by then, so each disposition
 * remembers whose it is.
 *
 * The descriptor. A handler may be between reading its number and writing to
 * it while the runtime stops, on another thread; so handlers count themselves
 * in and out, and stop hides the number, then waits for the count:
 *
 *   on_signal   1  n_inside + 1                stop   1  wake_fd = -1
 *               2  fd = wake_fd; -1: go               2  wait for n_inside == 0
 *               3  write(fd)                          3  close
 *               4  n_inside - 1
 *
 * seq_cst on both: a handler whose count stop did not see reads -1.
 *
 * After fork() the child has the handlers and the descriptor but not the
 * thread: the handler looks whose child it is in, and puts back what was there
 * before, to which the signal goes.
 *
 * Not signalfd: it needs the signal blocked in every thread of the program,
 * those too that are not ours.
 */
#include "services/os_signal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proc/runtime.h"
#include "weft/error.h"
#include "weft/info.h"
#include "weft/process.h"

#define A(name) WEFT_ATOM(#name)
#define KEEPER WEFT_ATOM("weft.os_signals")
#define WATCHER UINT64_C(1)     /* no pid: the watcher acts on it */
#define N_SIGNALS 32            /* the classic ones, 1 to 31 */
#define WATCHER_STACK (256 * 1024)
#define TRIES 100               /* to find a keeper that is not about to end */

#define SIGNALS(X)                                                                      \
    X(SIGHUP, "sighup") X(SIGINT, "sigint") X(SIGQUIT, "sigquit") X(SIGUSR1, "sigusr1") \
    X(SIGUSR2, "sigusr2") X(SIGPIPE, "sigpipe") X(SIGALRM, "sigalrm")                   \
    X(SIGTERM, "sigterm") X(SIGCHLD, "sigchld") X(SIGCONT, "sigcont")                   \
    X(SIGTSTP, "sigtstp") X(SIGTTIN, "sigttin") X(SIGTTOU, "sigttou")                   \
    X(SIGXCPU, "sigxcpu") X(SIGXFSZ, "sigxfsz")                                         \
    X(SIGVTALRM, "sigvtalrm") X(SIGPROF, "sigprof") X(SIGWINCH, "sigwinch")             \
    X(SIGIO, "sigio") X(SIGPWR, "sigpwr")

/* -- which signals ----------------------------------------------------------------- */

weft_atom weft_os_signal_name(int signo)
{
    switch (signo) {
#define SIGNAL_NAME(number, name) \
    case number:                  \
        return WEFT_ATOM(name);
        SIGNALS(SIGNAL_NAME)
#undef SIGNAL_NAME
    default:
        return weft_none;
    }
}

static bool is_accepted(int signo)
{
    return !weft_is_none(weft_os_signal_name(signo));
}

/* 0, or the code of the refusal, which the words explain. */
static int refusal(int signo, const char **words)
{
    *words = NULL;
    if (is_accepted(signo))
        return 0;
    switch (signo) {
    case SIGKILL:
    case SIGSTOP:
        *words = "the kernel hands this signal to nobody";
        return WEFT_EPERM;
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
        *words = "this signal is a fault of the code that runs: it ends that process, and links and monitors hear of it";
        return WEFT_ENOTSUP;
    case SIGABRT:
        *words = "this signal is abort(): the code that called it cannot go on";
        return WEFT_ENOTSUP;
    case SIGURG:
        *words = "weft itself interrupts processes with this signal";
        return WEFT_ENOTSUP;
    default:
        *words = signo > 0 && signo <= SIGRTMAX ? "only the classic signals can be subscribed to, no real-time ones"
                                                : "no signal has this number";
        return signo > 0 && signo <= SIGRTMAX ? WEFT_ENOTSUP : WEFT_EINVAL;
    }
}

const char *weft_os_signal_refusal(int signo)
{
    const char *words;

    (void)refusal(signo, &words);
    return words;
}

/* -- the kernel's side -------------------------------------------------------------- */

/* The program's, as dispositions are. */
static struct {
    /* By handlers. */
    _Atomic uint32_t pending;  /* bit n: signal n came */
    /* By who sets dispositions, under the lock; read by the watcher. */
    _Atomic uint32_t acted_on; /* bit n: the watcher acts on signal n, and nobody is subscribed */
    _Atomic uint32_t last;     /* bit n: signal n ends the program at once, if acted_on */
    _Atomic int n_inside;      /* handlers between their first and last step */
    /* By the keeper and stop; read by handlers. */
    _Atomic int wake_fd;       /* an eventfd, or -1 */
    _Atomic pid_t owner;       /* the program that has the watcher */
    /* Under the lock. */
    pthread_mutex_t lock;      /* never held while parked */
    bool has_watcher;
    _Atomic bool is_over;      /* the watcher is to end */
    pthread_t watcher;
    struct {
        uint64_t keeper;       /* pid bits of who set it, or WATCHER; 0: not set */
        struct sigaction before;
        bool acts;             /* the watcher does, when nobody is subscribed */
        _Atomic(weft__os_signal_fn *) act; /* what it does; read by the watcher */
    } set[N_SIGNALS];
} os = {.wake_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Relaxed: who sets them has seen a signal before. */
static bool is_the_last(int signo)
{
    return (atomic_load_explicit(&os.last, memory_order_relaxed) &
            atomic_load_explicit(&os.acted_on, memory_order_relaxed)) >> signo & 1;
}

_Noreturn static void end_at_once(int signo)
{
    static const char text[] = "weft: a signal again: the program ends at once\n";

    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        (void)text; /* nobody is there to read it */
    _exit(128 + signo);
}

/* In the child of a fork, where nobody reads what came: the signal is again what it
 * was before, and comes once more as that. */
static void hand_back(int signo)
{
    if (sigaction(signo, &os.set[signo].before, NULL) == 0)
        raise(signo);
}

static void on_signal(int signo)
{
    int before = errno, fd;

    /* Relaxed: set before any handler was. */
    if (getpid() != atomic_load_explicit(&os.owner, memory_order_relaxed)) {
        hand_back(signo);
        errno = before;
        return;
    }
    if (is_the_last(signo))
        end_at_once(signo);
    atomic_fetch_add(&os.n_inside, 1);
    fd = atomic_load(&os.wake_fd);
    if (fd >= 0) {
        uint64_t one = 1;

        /* Release, with the watcher's exchange; the write wakes it after. */
        atomic_fetch_or_explicit(&os.pending, UINT32_C(1) << signo, memory_order_release);
        /* Cannot fail but when it is full, and then it wakes as well. */
        if (write(fd, &one, sizeof one) < 0)
            (void)one;
    }
    atomic_fetch_sub(&os.n_inside, 1);
    errno = before;
}

/* Do what no process is needed for; the signals that are left. */
static uint32_t act_on(uint32_t signals)
{
    /* Acquire, with the release of who set it: the function is there. */
    uint32_t own = signals & atomic_load_explicit(&os.acted_on, memory_order_acquire);

    for (int signo = 1; signo < N_SIGNALS; signo++)
        if (own >> signo & 1)
            atomic_load_explicit(&os.set[signo].act, memory_order_relaxed)(signo);
    return signals & ~own;
}

/* Tell the keeper what came. */
static void tell_keeper(uint32_t signals)
{
    for (int signo = 1; signo < N_SIGNALS; signo++) {
        WEFT_SCOPE;

        /* Nobody has the name: nobody is subscribed any more. */
        if (signals >> signo & 1)
            (void)weft_try_send(KEEPER, weft_tuple(A(signal), weft_int(signo)));
    }
}

static void *watch(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint64_t n;

    pthread_setname_np(pthread_self(), "weft-signals");
    for (;;) {
        if (read(fd, &n, sizeof n) < 0 && errno != EINTR)
            return NULL;
        if (atomic_load(&os.is_over))
            return NULL;
        tell_keeper(act_on(atomic_exchange_explicit(&os.pending, 0, memory_order_acquire)));
    }
}

/* The watcher takes no signals; faults are its own and stay unblocked. */
static int watcher_create(int fd)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t all, before;
    pthread_attr_t attributes;
    int failed;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    failed = pthread_attr_init(&attributes);
    if (failed)
        return -failed;
    pthread_attr_setstacksize(&attributes, WATCHER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&os.watcher, &attributes, watch, (void *)(intptr_t)fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -failed;
}

static int watcher_start_locked(void)
{
    int fd, failed;

    if (os.has_watcher)
        return 0;
    fd = eventfd(0, EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    atomic_store(&os.is_over, false);
    failed = watcher_create(fd);
    if (failed) {
        close(fd);
        return failed;
    }
    os.has_watcher = true;
    atomic_store_explicit(&os.owner, getpid(), memory_order_relaxed);
    atomic_store(&os.wake_fd, fd);
    return 0;
}

/* Is it the watcher's from now on? Lock held. */
static void note_watcher_locked(int signo, bool is_its)
{
    uint32_t bit = UINT32_C(1) << signo;

    /* Release, with the watcher's acquire. */
    if (is_its)
        atomic_fetch_or_explicit(&os.acted_on, bit, memory_order_release);
    else
        atomic_fetch_and_explicit(&os.acted_on, ~bit, memory_order_release);
}

static int set_locked(int signo, uint64_t keeper)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    int failed = watcher_start_locked();

    if (failed)
        return failed;
    sigemptyset(&action.sa_mask);
    if (os.set[signo].keeper == 0 && sigaction(signo, &action, &os.set[signo].before) != 0)
        return -errno;
    os.set[signo].keeper = keeper;
    note_watcher_locked(signo, keeper == WATCHER);
    return 0;
}

static void restore_locked(int signo)
{
    struct sigaction now;

    if (os.set[signo].keeper == 0)
        return;
    if (os.set[signo].acts) {
        os.set[signo].keeper = WATCHER;
        note_watcher_locked(signo, true);
        return;
    }
    os.set[signo].keeper = 0;
    /* The program may have set another one meanwhile: that is its own. */
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == on_signal)
        (void)sigaction(signo, &os.set[signo].before, NULL);
}

/* Restore what that keeper set; 0: any. */
static void restore_all_locked(uint64_t keeper)
{
    for (int signo = 1; signo < N_SIGNALS; signo++)
        if (keeper == 0 || os.set[signo].keeper == keeper)
            restore_locked(signo);
}

/* The watcher may be about to call it: the function stays where it was. */
static void forget_act_locked(int signo)
{
    note_watcher_locked(signo, false);
    atomic_fetch_and_explicit(&os.last, ~(UINT32_C(1) << signo), memory_order_relaxed);
    os.set[signo].acts = false;
}

void weft__os_signals_stop(void)
{
    uint64_t one = 1;
    int fd;

    pthread_mutex_lock(&os.lock);
    if (os.has_watcher && atomic_load_explicit(&os.owner, memory_order_relaxed) == getpid()) {
        for (int signo = 1; signo < N_SIGNALS; signo++)
            forget_act_locked(signo);
        restore_all_locked(0);
        fd = atomic_exchange(&os.wake_fd, -1);
        while (atomic_load(&os.n_inside) > 0)
            sched_yield();
        atomic_store(&os.is_over, true);
        while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
        pthread_join(os.watcher, NULL);
        close(fd);
        atomic_store_explicit(&os.pending, 0, memory_order_relaxed);
        os.has_watcher = false;
    }
    pthread_mutex_unlock(&os.lock);
}

/* Only a pointer is put down, and only in programs that link this file. */
__attribute__((constructor)) static void stop_with_the_runtime(void)
{
    weft__runtime_at_stop(weft__os_signals_stop);
}

/* -- the keeper ------------------------------------------------------------------------ */

/* Who wants what. One who wants two signals has two. */
struct entry {
    weft_pid pid;
    weft_ref monitor;
    int signo;
};

struct keeper {
    struct entry *entries; /* weft_alloc: the process owns them */
    size_t n_entries;
    size_t room;
    bool has_begun;
};

/* The keeper ended; arg: its pid's bits. */
static void keeper_ends(void *arg)
{
    pthread_mutex_lock(&os.lock);
    restore_all_locked((uintptr_t)arg);
    pthread_mutex_unlock(&os.lock);
}

static struct entry *entry_find(struct keeper *keeper, weft_pid pid, int signo)
{
    for (size_t i = 0; i < keeper->n_entries; i++) {
        struct entry *entry = &keeper->entries[i];

        if (weft_eq(entry->pid, pid) && entry->signo == signo)
            return entry;
    }
    return NULL;
}

static bool is_wanted(const struct keeper *keeper, int signo)
{
    for (size_t i = 0; i < keeper->n_entries; i++)
        if (keeper->entries[i].signo == signo)
            return true;
    return false;
}

static int entry_add(struct keeper *keeper, weft_pid pid, int signo)
{
    int failed;

    if (entry_find(keeper, pid, signo) != NULL)
        return 0;
    pthread_mutex_lock(&os.lock);
    failed = set_locked(signo, weft_self().bits);
    pthread_mutex_unlock(&os.lock);
    if (failed)
        return failed;
    if (keeper->n_entries == keeper->room) {
        keeper->room = keeper->room > 0 ? 2 * keeper->room : 8;
        keeper->entries = weft_realloc(keeper->entries, keeper->room * sizeof *keeper->entries);
    }
    keeper->entries[keeper->n_entries++] = (struct entry){.pid = pid, .monitor = weft_monitor(pid), .signo = signo};
    return 0;
}

static void entry_remove(struct keeper *keeper, struct entry *entry)
{
    int signo = entry->signo;

    *entry = keeper->entries[--keeper->n_entries];
    if (is_wanted(keeper, signo))
        return;
    pthread_mutex_lock(&os.lock);
    restore_locked(signo);
    pthread_mutex_unlock(&os.lock);
}

static int unsubscribe(struct keeper *keeper, weft_pid pid, int signo)
{
    struct entry *entry = entry_find(keeper, pid, signo);

    if (entry == NULL)
        return WEFT_ENOENT;
    weft_demonitor(entry->monitor, true);
    entry_remove(keeper, entry);
    return 0;
}

static void forget_monitor(struct keeper *keeper, weft_ref monitor)
{
    for (size_t i = 0; i < keeper->n_entries; i++) {
        if (!weft_eq(keeper->entries[i].monitor, monitor))
            continue;
        entry_remove(keeper, &keeper->entries[i]);
        return;
    }
}

static void deliver(struct keeper *keeper, int signo)
{
    weft_term message = weft_tuple(A(signal), weft_os_signal_name(signo));

    for (size_t i = 0; i < keeper->n_entries; i++)
        if (keeper->entries[i].signo == signo)
            weft_send(keeper->entries[i].pid, message);
}

/* The keeper's callback. Requests are {op, ref, from, signo}. */
static bool keep(void *state, weft_term message)
{
    struct keeper *keeper = state;
    weft_term op, ref, from;
    int64_t signo;
    int code;

    if (!keeper->has_begun) {
        keeper->has_begun = true;
        weft_defer(keeper_ends, (void *)(uintptr_t)weft_self().bits);
    }
    if (weft_match(message, weft_tuple(A(signal), weft_bind_int(&signo)))) {
        if (is_accepted((int)signo))
            deliver(keeper, (int)signo);
    } else if (weft_match(message, weft_tuple(A(DOWN), weft_bind(&ref), weft_any, weft_any, weft_any))) {
        forget_monitor(keeper, ref);
    } else if (weft_match(message, weft_tuple(weft_bind(&op), weft_bind(&ref), weft_bind_pid(&from),
                                              weft_bind_int(&signo))) &&
               is_accepted((int)signo)) {
        code = weft_eq(op, A(unsubscribe)) ? unsubscribe(keeper, from, (int)signo)
                                           : entry_add(keeper, from, (int)signo);
        weft_send(from, weft_tuple(A(done), ref, A(process), weft_self(), weft_int(code)));
    }
    return true;
}

/* -- the caller's side ------------------------------------------------------------------ */

/* The keeper, started when there is none. Two that start one at once: one gets
 * the name, the other one's goes. */
static weft_pid keeper_find(void)
{
    struct keeper begin = {0};
    weft_pid keeper = weft_whereis(KEEPER);

    if (!weft_is_none(keeper))
        return keeper;
    keeper = weft_spawn_handler(keep, &begin, .state_size = sizeof begin, .label = "signals of the system");
    if (weft_try_register(KEEPER, keeper) == 0)
        return keeper;
    weft_kill(keeper);
    return weft_whereis(KEEPER);
}

/* One request: true and *code, or false when the keeper ended before it answered. */
static bool ask(weft_pid keeper, weft_atom op, int signo, int *code)
{
    weft_ref ref = weft_monitor(keeper);
    weft_term tag, value;

    weft_send(keeper, weft_tuple(op, ref, weft_self(), weft_int(signo)));
    /* The answer has the shape of a DOWN: either of them ends the wait. */
    weft_receive(weft_tuple(weft_bind(&tag), ref, weft_any, weft_any, weft_bind(&value)), WEFT_INFINITY, NULL);
    if (weft_eq(tag, A(DOWN)))
        return false;
    weft_demonitor(ref, true);
    *code = (int)weft_to_int(value);
    return true;
}

static int request(weft_atom op, int signo)
{
    int code;

    if (weft_is_none(weft_self()))
        return WEFT_ESTOPPED;
    for (int i = 0; i < TRIES; i++) {
        WEFT_SCOPE;
        weft_pid keeper = keeper_find();

        if (!weft_is_none(keeper) && ask(keeper, op, signo, &code))
            return code;
        weft_yield();
    }
    return WEFT_ESTOPPED;
}

int weft_os_signal_subscribe(int signo)
{
    const char *words;
    int refused = refusal(signo, &words);

    return refused ? refused : request(A(subscribe), signo);
}

int weft_os_signal_unsubscribe(int signo)
{
    const char *words;
    int refused = refusal(signo, &words);

    return refused ? refused : request(A(unsubscribe), signo);
}

/* -- what the watcher does --------------------------------------------------------------- */

int weft__os_signal_act(int signo, weft__os_signal_fn *act)
{
    const char *words;
    int failed = refusal(signo, &words);

    if (failed)
        return failed;
    if (weft__runtime() == NULL)
        return weft__runtime_missing();
    pthread_mutex_lock(&os.lock);
    atomic_store_explicit(&os.set[signo].act, act, memory_order_relaxed);
    if (os.set[signo].keeper == 0)
        failed = set_locked(signo, WATCHER);
    os.set[signo].acts = !failed;
    pthread_mutex_unlock(&os.lock);
    return failed;
}

void weft__os_signal_is_last(int signo)
{
    atomic_fetch_or_explicit(&os.last, UINT32_C(1) << signo, memory_order_relaxed);
}

static void dump(int signo)
{
    (void)signo;
    (void)weft_dump(STDERR_FILENO);
}

int weft_os_signal_dump(int signo)
{
    return weft__os_signal_act(signo, dump);
}

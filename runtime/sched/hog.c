/* hog.c - a thread that does not let its worker go: have it give it away.
 *
 * A fiber that runs C code which does not call weft (a loop, a blocking read, a
 * slow library) cannot be switched out safely. Its slot can: the worker, with
 * queue, timers and caches, is given to another carrier, while the fiber goes
 * on on its thread, which is then without a worker, as inside weft_blocking.
 * At its next call that may park it leaves the thread and queues itself.
 *
 *     carrying --gives its slot away--> alone --weft__need_slot--> spare
 *
 * A hog is out on a system call, or on its core. The first is asked always; the
 * second only when work waits: after a millisecond when no worker is idle, else
 * after ten, since others may steal meanwhile.
 *
 * Whose is the slot? It costs the thread nothing to use it: nobody else ever
 * takes it. The watchdog W asks, and interrupts the thread T by a signal; T gives
 * it away itself, in the handler, between two instructions of whatever it does.
 * The handler unwinds the stack: a frame of weft there that is no gate may hold
 * the worker in a register, and T refuses. Else no function of weft will go on
 * that has looked at here->slot, and those that begin later see it empty: the
 * state that weft_blocking makes. Where a lock of the C library is held, or its
 * heap half changed, does not matter, as T goes on from there.
 *
 * The ask has a state, of which each change is one CAS or is made by its owner.
 * Who made it ANSWERING owns it, and W does, when it is neither that nor ASKED.
 *
 *     NONE -> ASKED            W   all of it is filled; then the signal
 *     ASKED -> ANSWERING       T   claim: what is in it is T's
 *     ANSWERING -> GIVEN       T   after the spare has the worker
 *     ANSWERING -> REFUSED     T
 *     ASKED -> NONE            W   withdrawn: see 3
 *     GIVEN, REFUSED -> NONE   W   settle
 *
 *   1. W asks for the slot of worker w, and has a place among .max_hogs and a spare
 *      thread for it by then. Each interrupt, whatever it is for, has its thread look
 *      at the ask of the worker that it has: signals that are on their way already
 *      swallow others. So who claims has w, and cannot do anything else until it has
 *      answered.
 *   2. T refuses where it has not the run that W saw, or is not the carrier: what W
 *      has against it is over.
 *   3. No answer: who was asked has no slot any more; then w is in another run. Or it
 *      takes no signals. W withdraws, which a claim may forestall: then T answers.
 *   4. W gives the place back when T refused. When T gave, T itself gives the place
 *      back as it leaves the fiber's stack, maybe before W has seen GIVEN: the ask
 *      lies in the worker, and outlives the carrier.
 *   5. A carrier may end after it gave its slot away. W alone frees carriers, and
 *      not while it looks at one.
 *
 * System calls. A signal ends some of them early even with SA_RESTART: sleeps and
 * waits with a time-out mostly. W notes in which one T waits, and the handler has T
 * make it again (proc/restart.h).
 *
 * The hog's thread is niced, so that the carrier gets the core at once when it
 * has work. Who may not be made less nice again (RLIMIT_NICE, CAP_SYS_NICE) is no
 * carrier afterwards: the thread ends, another takes its place.
 *
 * Roads not taken: sections, in which the thread says that it uses the slot, and
 * outside of which the watchdog takes it, with membarrier for a fence: 2 ns each,
 * a dozen of them for a call of a server. Taking the slot of a blocked thread from
 * outside: it may wake at any time, and use what it has just read.
 *
 * Idea: Go's sysmon, handoffp and asynchronous preemption.
 */
#include "sched/hog.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "sched/sched.h"

#define WEFT__HOG_NS (1 * WEFT__NS_PER_MS)        /* when nobody is idle */
#define WEFT__HOG_IDLE_NS (10 * WEFT__NS_PER_MS)  /* when others can help */
#define WEFT__HOG_WARNED_NS (50 * INT64_C(1000))  /* of its core, to come to a call that may park */
#define WEFT__HOG_PATIENCE_NS (50 * WEFT__NS_PER_MS) /* then the ask is withdrawn */
#define WEFT__HOG_TOLD_NS (100 * WEFT__NS_PER_MS) /* then it is told of */
#define WEFT__HOG_SOON 20 /* asks of a run in quick succession; then one in a tick */
#define WEFT__HOG_NICE 10 /* a tenth of what the carrier gets: less could starve it */

void weft__hogs_init(struct weft__sched *sched)
{
    weft__runq_init(&sched->hogs.queue, 0);
    sched->hogs.usual_nice = getpriority(PRIO_PROCESS, 0);
    CPU_ZERO(&sched->hogs.cores);
    sched_getaffinity(0, sizeof sched->hogs.cores, &sched->hogs.cores);
}

/* -- what is it doing? ------------------------------------------------------------ */

/* Acquire, with the thread's start: its tid. */
static bool has_begun(const struct weft__carrier *carrier)
{
    return atomic_load_explicit(&carrier->here, memory_order_acquire) != NULL;
}

/* Reads text such as "0 0x3 0x7fb068610000 ... 0x7ffc51609c48 0x7fb06878a2ad". */
static bool parse_waits_in(char *text, struct weft__waits_in *in)
{
    uint64_t *into[8] = {&in->argument[0], &in->argument[1], &in->argument[2], &in->argument[3],
                         &in->argument[4], &in->argument[5], &in->sp, &in->pc};
    char *at = text, *end;
    int first = 0;

    in->number = strtol(at, &end, 10);
    if (end == at)
        return false; /* "running" */
    if (in->number < 0) {
        in->number = -1;
        first = 6; /* it waits for a page: sp and pc are all there is */
    }
    for (int i = first; i < 8; i++) {
        at = end;
        *into[i] = strtoull(at, &end, 16);
        if (end == at)
            return false;
    }
    return true;
}

bool weft__hog_waits_in(pid_t tid, struct weft__waits_in *in)
{
    char path[64], text[256];
    ssize_t n;
    int fd;

    memset(in, 0, sizeof *in);
    in->number = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return parse_waits_in(text, in);
}

/* The time its thread has had a core. */
int64_t weft__hog_cpu_ns(const struct weft__carrier *carrier)
{
    struct timespec time;
    clockid_t clock;

    if (pthread_getcpuclockid(carrier->thread, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return time.tv_sec * WEFT__NS_PER_S + time.tv_nsec;
}

/* -- asking ------------------------------------------------------------------------- */

static void tell(struct weft__sched *sched, const struct weft__hog *hog)
{
    if (sched->on_hog != NULL)
        sched->on_hog(hog);
}

/* One that has been without a slot for long, and was not told of: false: none. */
static bool take_untold(struct weft__sched *sched, int64_t now_ns, struct weft__hog *hog)
{
    bool is_found = false;

    pthread_mutex_lock(&sched->carriers.lock);
    for (struct weft__carrier *carrier = sched->hogs.list; carrier != NULL && !is_found; carrier = carrier->next_hog) {
        if (!carrier->is_untold || now_ns - carrier->report.since_ns < WEFT__HOG_TOLD_NS)
            continue;
        carrier->is_untold = false;
        *hog = carrier->report;
        is_found = true;
    }
    pthread_mutex_unlock(&sched->carriers.lock);
    return is_found;
}

/* The slot stays. What waits there and may run elsewhere goes to the node's
 * queue, at which all workers look now and then, however busy they are. */
static void shed(struct weft__worker *worker)
{
    struct weft__runq *own = &worker->sched->hogs.queue;
    struct weft__fiber *fiber;
    uint32_t n = 0;

    while ((fiber = weft__runq_steal(&worker->queue, own, 64, true)) != NULL)
        for (; fiber != NULL; fiber = weft__runq_pop(own), n++)
            weft__overflow_push_one(&worker->node->overflow, fiber);
    if (n > 0)
        weft__idle_notify(worker->sched);
}

static void keep(struct weft__worker *worker, struct weft__hog *hog, const char *why)
{
    shed(worker);
    if (worker->watch.is_told)
        return; /* once for each run */
    worker->watch.is_told = true;
    hog->kept = why;
    /* Relaxed: counts. */
    atomic_fetch_add_explicit(&worker->sched->hogs.n_kept, 1, memory_order_relaxed);
    tell(worker->sched, hog);
}

/* Among .max_hogs; false: all are taken. */
static bool take_place(struct weft__carrier *carrier, struct weft__fiber *fiber)
{
    struct weft__sched *sched = carrier->sched;
    bool is_free;

    pthread_mutex_lock(&sched->carriers.lock);
    is_free = sched->hogs.n < sched->max_hogs;
    if (is_free) {
        sched->hogs.n++;
        carrier->hog = fiber;
        carrier->is_untold = false;
        carrier->next_hog = sched->hogs.list;
        sched->hogs.list = carrier;
    }
    pthread_mutex_unlock(&sched->carriers.lock);
    return is_free;
}

static void give_place_back(struct weft__carrier *carrier)
{
    struct weft__sched *sched = carrier->sched;
    struct weft__carrier **at = &sched->hogs.list;

    pthread_mutex_lock(&sched->carriers.lock);
    sched->hogs.n--;
    while (*at != carrier)
        at = &(*at)->next_hog;
    *at = carrier->next_hog;
    carrier->hog = NULL;
    pthread_mutex_unlock(&sched->carriers.lock);
}

void weft__hog_rename(struct weft__sched *sched, struct weft__fiber *from, struct weft__fiber *to)
{
    pthread_mutex_lock(&sched->carriers.lock);
    for (struct weft__carrier *carrier = sched->carriers.all; carrier != NULL; carrier = carrier->next_all) {
        if (carrier->hog == from)
            carrier->hog = to;
        if (atomic_load_explicit(&carrier->blocking, memory_order_relaxed) == from)
            atomic_store_explicit(&carrier->blocking, to, memory_order_relaxed);
    }
    pthread_mutex_unlock(&sched->carriers.lock);
}

static void ask(struct weft__worker *worker, struct weft__carrier *carrier, struct weft__hog *hog,
                const struct weft__waits_in *in, int64_t now_ns)
{
    struct weft__sched *sched = worker->sched;
    struct weft__ask *ask = &worker->ask;

    if (atomic_load_explicit(&worker->n_sticky, memory_order_relaxed) > 0) {
        keep(worker, hog, "sticky processes live on its thread");
        return;
    }
    if (!take_place(carrier, hog->fiber)) {
        keep(worker, hog, "there are .max_hogs such threads");
        return;
    }
    ask->spare = weft__carrier_take_spare(sched);
    if (ask->spare == NULL) {
        give_place_back(carrier);
        keep(worker, hog, "no thread could be made");
        return;
    }
    ask->carrier = carrier;
    ask->run = worker->watch.runs;
    ask->waits_in = *in;
    ask->waited_ns = hog->is_off_cpu ? now_ns - worker->watch.still_ns : 0;
    ask->hog = *hog;
    /* Release, with the claim's acquire. */
    atomic_store_explicit(&ask->state, WEFT__ASKED, memory_order_release);
    sched->hooks->ask(carrier);
    worker->watch.asked_ns = weft__clock_ns();
    worker->watch.asked_cpu_ns = weft__hog_cpu_ns(carrier);
}

/* -- what came of it ------------------------------------------------------------------ */

static void take_back(struct weft__worker *worker)
{
    give_place_back(worker->ask.carrier);
    weft__carrier_give_back(worker->ask.spare);
    worker->watch.n_refused++;
    worker->watch.refused_cpu_ns = weft__hog_cpu_ns(worker->ask.carrier);
}

/* Has the signal not come, although the thread waits, or has had a core? One that
 * wants a core and has none will answer when it gets one. */
static bool is_overdue(const struct weft__worker *worker, int64_t now_ns)
{
    const struct weft__carrier *carrier = worker->ask.carrier;
    struct weft__waits_in in;

    return now_ns - worker->watch.asked_ns >= WEFT__HOG_PATIENCE_NS &&
           (weft__hog_cpu_ns(carrier) - worker->watch.asked_cpu_ns >= WEFT__HOG_NS ||
            weft__hog_waits_in(carrier->tid, &in));
}

/* Is it about what is over? */
static bool is_void(struct weft__worker *worker)
{
    /* Relaxed: a hint, like all about runs here. */
    return atomic_load_explicit(&worker->counts.runs, memory_order_relaxed) != worker->ask.run ||
           atomic_load_explicit(&worker->carrier, memory_order_relaxed) != worker->ask.carrier;
}

static bool withdraw(struct weft__ask *ask)
{
    uint32_t asked = WEFT__ASKED;

    /* Relaxed: the thread has not touched it. */
    return atomic_compare_exchange_strong_explicit(&ask->state, &asked, WEFT__ASK_NONE,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* It has the place still, or is back. */
static void note_given(struct weft__sched *sched, const struct weft__ask *ask)
{
    pthread_mutex_lock(&sched->carriers.lock);
    for (struct weft__carrier *carrier = sched->hogs.list; carrier != NULL; carrier = carrier->next_hog)
        if (carrier == ask->carrier && carrier->hog == ask->hog.fiber) {
            carrier->report = ask->hog;
            carrier->is_untold = true;
        }
    pthread_mutex_unlock(&sched->carriers.lock);
}

/* true: it may be otherwise in a moment. */
static bool settle(struct weft__worker *worker, int64_t now_ns)
{
    struct weft__ask *ask = &worker->ask;
    bool is_late;

    /* Acquire, with the answer's release. */
    switch (atomic_load_explicit(&ask->state, memory_order_acquire)) {
    case WEFT__ASKED:
        is_late = !is_void(worker);
        if ((is_late && !is_overdue(worker, now_ns)) || !withdraw(ask))
            return now_ns - worker->watch.asked_ns < WEFT__HOG_NS;
        take_back(worker);
        if (is_late)
            keep(worker, &ask->hog, "its thread takes no signal");
        return false;
    case WEFT__ANSWERING:
        return true;
    case WEFT__GIVEN:
        note_given(worker->sched, ask);
        atomic_store_explicit(&ask->state, WEFT__ASK_NONE, memory_order_relaxed);
        return false;
    case WEFT__REFUSED:
        take_back(worker);
        atomic_store_explicit(&ask->state, WEFT__ASK_NONE, memory_order_relaxed);
        return worker->watch.n_refused <= WEFT__HOG_SOON;
    default:
        return false;
    }
}

bool weft__hogs_settle(struct weft__sched *sched)
{
    int64_t now_ns = weft__clock_ns();
    struct weft__hog hog;
    bool is_soon = false;

    for (uint32_t i = 0; i < sched->n_workers; i++)
        is_soon |= settle(sched->workers[i], now_ns);
    while (take_untold(sched, now_ns, &hog))
        tell(sched, &hog);
    return is_soon;
}

void weft__hogs_end(struct weft__sched *sched)
{
    for (uint32_t i = 0; i < sched->n_workers; i++) {
        struct weft__worker *worker = sched->workers[i];

        if (withdraw(&worker->ask))
            take_back(worker);
        while (atomic_load_explicit(&worker->ask.state, memory_order_relaxed) != WEFT__ASK_NONE)
            if (settle(worker, 0))
                sched_yield();
    }
}

/* -- watching ------------------------------------------------------------------------- */

/* Fibers, and timers that only the owner can start: fresh ones, which next says
 * by 0. Those that are due others fire. */
static bool has_work(struct weft__worker *worker)
{
    return weft__wheel_next(&worker->wheel) == 0 || !weft__runq_is_empty(&worker->queue) || weft__overflow_size(&worker->node->overflow) > 0;
}

void weft__hog_begin(struct weft__worker *worker, int64_t now_ns)
{
    struct weft__carrier *carrier = atomic_load_explicit(&worker->carrier, memory_order_acquire);

    worker->watch.since_ns = worker->watch.still_ns = now_ns;
    worker->watch.is_told = false;
    worker->watch.n_refused = 0;
    if (carrier != NULL && has_begun(carrier))
        worker->watch.cpu_ns = worker->watch.since_cpu_ns = worker->watch.warned_cpu_ns = weft__hog_cpu_ns(carrier);
}

/* It was asked where it waits, and refused. It would refuse again, and the call be
 * made anew each time. */
static bool has_refused_here(const struct weft__worker *worker)
{
    return worker->watch.n_refused > 0 && worker->watch.cpu_ns == worker->watch.refused_cpu_ns;
}

/* On its core: has it been due to give way while it could? A thread that has not had
 * the core is no hog: others have it. */
static bool has_ignored_warning(const struct weft__worker *worker)
{
    return worker->watch.cpu_ns - worker->watch.since_cpu_ns >= WEFT__HOG_NS / 2 &&
           worker->watch.cpu_ns - worker->watch.warned_cpu_ns >= WEFT__HOG_WARNED_NS;
}

void weft__hog_watch(struct weft__worker *worker, int64_t now_ns, bool had_warning, bool is_wanted)
{
    struct weft__sched *sched = worker->sched;
    /* Acquire, with the release when it was given. Its struct stays: see 5. */
    struct weft__carrier *carrier = atomic_load_explicit(&worker->carrier, memory_order_acquire);
    uint64_t run = worker->watch.runs;
    struct weft__hog hog = {.since_ns = worker->watch.since_ns};
    struct weft__waits_in in = {.number = -1};
    int64_t cpu_ns, used_ns;

    if (sched->max_hogs == 0 || sched->hooks == NULL || sched->hooks->ask == NULL ||
        now_ns - hog.since_ns < WEFT__HOG_NS || carrier == NULL || !has_begun(carrier) ||
        atomic_load_explicit(&worker->ask.state, memory_order_relaxed) != WEFT__ASK_NONE)
        return;
    hog.fiber = atomic_load_explicit(&worker->ran[run % WEFT__WORKER_RAN], memory_order_relaxed);
    if (hog.fiber == NULL)
        return; /* nothing has run yet */
    cpu_ns = weft__hog_cpu_ns(carrier);
    used_ns = cpu_ns - worker->watch.cpu_ns;
    if (used_ns != 0)
        worker->watch.still_ns = now_ns;
    worker->watch.cpu_ns = cpu_ns;
    /* Half of a tick's core is not waiting; /proc is asked about the others. */
    if (used_ns < WEFT__HOG_NS / 2 && weft__hog_waits_in(carrier->tid, &in)) {
        hog.is_off_cpu = true;
        if (!has_refused_here(worker))
            ask(worker, carrier, &hog, &in, now_ns);
        return;
    }
    if (!had_warning)
        worker->watch.warned_cpu_ns = cpu_ns;
    /* Relaxed: a hint. */
    if (is_wanted ||
        (had_warning && has_ignored_warning(worker) && has_work(worker) &&
         (now_ns - hog.since_ns >= WEFT__HOG_IDLE_NS ||
          atomic_load_explicit(&sched->idle.n_asleep, memory_order_relaxed) == 0)))
        ask(worker, carrier, &hog, &in, now_ns);
}

/* -- answering: in the handler, so nothing here takes a lock or memory ------------------- */

struct weft__ask *weft__hog_claim(const struct weft__here *here)
{
    struct weft__ask *ask = here->slot.worker != NULL ? &here->slot.worker->ask : NULL;
    uint32_t asked = WEFT__ASKED;

    /* Acquire: what is in it. Relaxed on failure: nothing is read. */
    if (ask == NULL || !atomic_compare_exchange_strong_explicit(&ask->state, &asked, WEFT__ANSWERING,
                                                                memory_order_acquire, memory_order_relaxed))
        return NULL;
    return ask;
}

void weft__hog_refuse(struct weft__ask *ask)
{
    /* Release, with settle: it is the watchdog's again. */
    atomic_store_explicit(&ask->state, WEFT__REFUSED, memory_order_release);
}

/* This thread is nobody's carrier for now: any core, and only when others do not
 * want it. */
static void let_go(struct weft__carrier *carrier)
{
    carrier->is_niced = setpriority(PRIO_PROCESS, (id_t)carrier->tid, WEFT__HOG_NICE) == 0;
    if (carrier->sched->bind)
        sched_setaffinity(0, sizeof carrier->sched->hogs.cores, &carrier->sched->hogs.cores);
    prctl(PR_SET_NAME, "weft-hog");
}

void weft__hog_give(struct weft__here *here, struct weft__ask *ask)
{
    struct weft__worker *worker = here->slot.worker;

    /* Relaxed: counted by this thread. */
    if (ask->carrier != here->carrier || here->fiber == NULL || here->fiber->is_sticky ||
        atomic_load_explicit(&worker->counts.runs, memory_order_relaxed) != ask->run) {
        weft__hog_refuse(ask);
        return;
    }
    here->slot.worker = NULL;
    here->slot.cache = NULL;
    here->is_hog = true;
    ask->hog.fiber = here->fiber;
    /* Relaxed: a count. */
    atomic_fetch_add_explicit(&worker->sched->hogs.n_taken, 1, memory_order_relaxed);
    weft__carrier_give(ask->spare, worker);
    let_go(here->carrier);
    /* Release, with settle. */
    atomic_store_explicit(&ask->state, WEFT__GIVEN, memory_order_release);
}

/* -- coming back ------------------------------------------------------------------------ */

void weft__hog_is_back(struct weft__here *here)
{
    here->is_hog = false;
    give_place_back(here->carrier);
}

bool weft__hog_recovers(struct weft__carrier *carrier)
{
    if (!carrier->is_niced)
        return true;
    carrier->is_niced = false;
    return setpriority(PRIO_PROCESS, (id_t)carrier->tid, carrier->sched->hogs.usual_nice) == 0;
}

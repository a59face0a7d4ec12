/* hog.c - a thread that does not let its slot go: take it away.
 *
 * A fiber that runs C code which does not call weft (a loop, a blocking read, a
 * slow library) cannot be switched out safely. Its slot can: the worker, with
 * queue, timers and caches, is given to another carrier, while the fiber goes
 * on on its thread, which is then without a worker, as inside weft_blocking.
 * At its next call that may park it leaves the thread and queues itself.
 *
 *     carrying --watchdog takes the slot--> alone --weft__find_slot--> spare
 *
 * A hog is out on a system call, or on its core. The first is taken always; the
 * second only when work waits: after a millisecond when no worker is idle, else
 * after ten, since others may steal meanwhile.
 *
 * Whose is the slot? The thread T uses it in sections (base/here.h), and must
 * not lose it inside one. The watchdog W takes it only outside of them:
 *
 *   E1  inside = 1                        W1  CAS hold: SLOT -> ASKED
 *   E2  read hold;                        W2  membarrier: a full fence on every
 *       ASKED, TAKEN: E4                      thread of the program that runs
 *       ... the section ...               W3  read inside; 1: CAS hold back to
 *   E3  inside = 0                            SLOT, and leave it
 *   E4  CAS hold: ASKED -> SLOT;          W4  CAS hold: ASKED -> TAKEN; it failed:
 *       it failed: TAKEN, so                  refused, leave it
 *       forget the slot                   W5  give the worker to another carrier
 *
 *   E1 and E2 are plain: no fence, since W2 is one for T too, at some point of
 *   what T does. If that point comes before E2, then T's E2 reads what W1 wrote
 *   or later, and T goes to E4; there one CAS wins, E4 or W4. If it comes after
 *   E2, it comes after E1, so W3 reads 1, unless T did E3 since; then that
 *   section is over, and W3 (acquire, with the release of E3) sees all of it.
 *   So W4 wins only when no section is under way, and the next one begins with
 *   E4 that loses. A thread that does not run went through a full fence when it
 *   was switched out, and goes through one before it runs again.
 *
 *   What T gives up by itself (a blocking call, the runtime's stop) it gives up
 *   inside a section, hold = NONE, which W's CASes refuse. W asks for the slot
 *   of a carrier; that this is the worker it means is looked at between W1 and
 *   W4, when it cannot change.
 *
 * The hog's thread is niced, so that the carrier gets the core at once when it
 * has work. Who may not be made less nice again (RLIMIT_NICE, CAP_SYS_NICE) is no
 * carrier afterwards: the thread ends, another takes its place.
 *
 * Idea: Go's sysmon and handoffp; asymmetric fences as in liburcu, Java's
 * biased locks before them.
 */
#include "sched/hog.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "sched/sched.h"

#define WEFT__HOG_NS (1 * WEFT__NS_PER_MS)        /* when nobody is idle */
#define WEFT__HOG_IDLE_NS (10 * WEFT__NS_PER_MS)  /* when others can help */
#define WEFT__HOG_NICE 19

/* -- fences -------------------------------------------------------------------- */

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

bool weft__hogs_init(struct weft__sched *sched)
{
    /* Once for the program; a second time does nothing. */
    sched->hogs.can_take =
        sched->max_hogs > 0 && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
    weft__runq_init(&sched->hogs.queue, 0);
    sched->hogs.usual_nice = getpriority(PRIO_PROCESS, 0);
    return sched->hogs.can_take || sched->max_hogs == 0;
}

/* -- what is it doing? ------------------------------------------------------------ */

/* Acquire, with the thread's start: its tid. NULL: it has not begun. */
static struct weft__here *here_of(const struct weft__carrier *carrier)
{
    return atomic_load_explicit(&carrier->here, memory_order_acquire);
}

/* Does the kernel have it wait? 'S' and 'D' of its state, 'R' if that cannot be
 * read. */
static bool is_off_cpu(pid_t tid)
{
    char path[64], text[512];
    const char *end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    end = strrchr(text, ')'); /* of its name, which may hold anything */
    return end != NULL && end[1] == ' ' && (end[2] == 'S' || end[2] == 'D');
}

/* Where in the program it called the kernel; 0: it cannot be read, or runs. */
static uint64_t pc_of(pid_t tid)
{
    char path[64], text[256];
    unsigned long long pc = 0;
    const char *last;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    last = strrchr(text, ' ');
    return last != NULL && sscanf(last, " 0x%llx", &pc) == 1 ? pc : 0;
}

/* The time its thread has had a core. */
static int64_t cpu_ns_of(const struct weft__carrier *carrier)
{
    struct timespec time;
    clockid_t clock;

    if (pthread_getcpuclockid(carrier->thread, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return time.tv_sec * WEFT__NS_PER_S + time.tv_nsec;
}

/* -- taking ------------------------------------------------------------------------- */

/* What runs there, for the report, read while the thread is outside: should it
 * go on meanwhile, it refuses the slot, and what was read is not used. Race
 * detectors cannot know that. */
#if defined(__SANITIZE_THREAD__) || defined(__clang__)
__attribute__((no_sanitize("thread")))
#endif
static struct weft__fiber *fiber_of(const struct weft__carrier *carrier)
{
    return here_of(carrier)->fiber;
}

/* W1 to W4. */
static bool take_slot(struct weft__worker *worker, struct weft__carrier *carrier, struct weft__hog *hog)
{
    struct weft__here *here = here_of(carrier);
    uint32_t hold = WEFT__HOLDS_SLOT;

    /* W1. Seq_cst, before the fence; acquire: what the thread carries. */
    if (!atomic_compare_exchange_strong_explicit(&here->hold, &hold, WEFT__HOLD_ASKED,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    hold = WEFT__HOLD_ASKED;
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0 && /* W2 */
        atomic_load_explicit(&here->inside, memory_order_acquire) == 0 && /* W3 */
        atomic_load_explicit(&carrier->carries, memory_order_relaxed) == worker &&
        atomic_load_explicit(&worker->counts.runs, memory_order_relaxed) == worker->watch.runs) {
        hog->fiber = fiber_of(carrier);
        hog->tid = carrier->tid;
        hog->pc = hog->is_off_cpu ? pc_of(carrier->tid) : 0;
        if (carrier->sched->note_hog != NULL)
            carrier->sched->note_hog(hog);
        /* W4. */
        return atomic_compare_exchange_strong_explicit(&here->hold, &hold, WEFT__HOLD_TAKEN,
                                                       memory_order_acq_rel, memory_order_relaxed);
    }
    /* Relaxed: nothing was done. It fails when the thread has refused. */
    atomic_compare_exchange_strong_explicit(&here->hold, &hold, WEFT__HOLDS_SLOT,
                                            memory_order_relaxed, memory_order_relaxed);
    return false;
}

/* Its thread is nobody's carrier for now: any core, and only when others do not
 * want it. Under carriers.lock, which the thread takes before it is a spare. */
static void let_go(struct weft__carrier *carrier)
{
    cpu_set_t cores;

    carrier->is_niced = setpriority(PRIO_PROCESS, (id_t)carrier->tid, WEFT__HOG_NICE) == 0;
    if (carrier->sched->bind && sched_getaffinity(0, sizeof cores, &cores) == 0)
        sched_setaffinity(carrier->tid, sizeof cores, &cores);
    pthread_setname_np(carrier->thread, "weft-hog");
}

/* true: the worker has no carrier now. */
static bool take(struct weft__worker *worker, struct weft__carrier *carrier, struct weft__hog *hog)
{
    struct weft__sched *sched = worker->sched;
    bool is_taken = false;

    pthread_mutex_lock(&sched->carriers.lock);
    if (sched->hogs.n < sched->max_hogs && take_slot(worker, carrier, hog)) {
        is_taken = true;
        sched->hogs.n++;
        carrier->hog = hog->fiber;
        carrier->next_hog = sched->hogs.list;
        sched->hogs.list = carrier;
        let_go(carrier);
    }
    pthread_mutex_unlock(&sched->carriers.lock);
    return is_taken;
}

static bool is_full(struct weft__sched *sched)
{
    bool is_full;

    pthread_mutex_lock(&sched->carriers.lock);
    is_full = sched->hogs.n >= sched->max_hogs;
    pthread_mutex_unlock(&sched->carriers.lock);
    return is_full;
}

static void tell(struct weft__sched *sched, const struct weft__hog *hog)
{
    if (sched->on_hog != NULL)
        sched->on_hog(hog);
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

static void refuse(struct weft__worker *worker, struct weft__hog *hog, const char *why)
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

static void hand_over(struct weft__worker *worker, struct weft__carrier *carrier, struct weft__hog *hog)
{
    struct weft__sched *sched = worker->sched;
    struct weft__carrier *spare;

    if (atomic_load_explicit(&worker->n_sticky, memory_order_relaxed) > 0) {
        refuse(worker, hog, "sticky processes live on its thread");
        return;
    }
    if (is_full(sched)) {
        refuse(worker, hog, "there are .max_hogs such threads");
        return;
    }
    spare = weft__carrier_take_spare(sched);
    if (spare == NULL) {
        refuse(worker, hog, "no thread could be made");
        return;
    }
    if (!take(worker, carrier, hog)) { /* it is inside weft just now: at the next tick, perhaps */
        weft__carrier_give_back(spare);
        return;
    }
    weft__carrier_give(spare, worker);
    atomic_fetch_add_explicit(&sched->hogs.n_taken, 1, memory_order_relaxed);
    worker->watch.since_ns = 0; /* its new thread begins now */
    tell(sched, hog);
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

    worker->watch.since_ns = now_ns;
    worker->watch.is_told = false;
    if (carrier != NULL && here_of(carrier) != NULL)
        worker->watch.cpu_ns = worker->watch.since_cpu_ns = cpu_ns_of(carrier);
}

void weft__hog_watch(struct weft__worker *worker, int64_t now_ns, bool had_warning)
{
    /* Acquire, with the release when it was given. Its struct stays: a carrier
     * ends only after its slot was taken, which this thread does. */
    struct weft__carrier *carrier = atomic_load_explicit(&worker->carrier, memory_order_acquire);
    int64_t age_ns = now_ns - worker->watch.since_ns;
    struct weft__hog hog = {.sched = worker->sched, .age_ns = age_ns};
    bool has_had_core;
    int64_t cpu_ns;

    if (!worker->sched->hogs.can_take || age_ns < WEFT__HOG_NS || carrier == NULL || here_of(carrier) == NULL)
        return;
    cpu_ns = cpu_ns_of(carrier);
    /* Half of a tick's core is not waiting; /proc is asked about the others. */
    if (cpu_ns - worker->watch.cpu_ns < WEFT__HOG_NS / 2 && is_off_cpu(carrier->tid)) {
        hog.is_off_cpu = true;
        hand_over(worker, carrier, &hog);
        return;
    }
    /* A thread that has not had the core is no hog: others have it. Relaxed: a
     * hint. */
    has_had_core = cpu_ns - worker->watch.since_cpu_ns >= WEFT__HOG_NS / 2;
    worker->watch.cpu_ns = cpu_ns;
    if (had_warning && has_had_core && has_work(worker) &&
        (age_ns >= WEFT__HOG_IDLE_NS ||
         atomic_load_explicit(&worker->sched->idle.n_asleep, memory_order_relaxed) == 0))
        hand_over(worker, carrier, &hog);
}

/* -- coming back ------------------------------------------------------------------------ */

void weft__hog_is_back(struct weft__carrier *carrier)
{
    struct weft__sched *sched = carrier->sched;
    struct weft__carrier **at = &sched->hogs.list;

    atomic_store_explicit(&here_of(carrier)->hold, WEFT__HOLDS_NONE, memory_order_relaxed);
    pthread_mutex_lock(&sched->carriers.lock);
    sched->hogs.n--;
    while (*at != carrier)
        at = &(*at)->next_hog;
    *at = carrier->next_hog;
    carrier->hog = NULL;
    pthread_mutex_unlock(&sched->carriers.lock);
}

bool weft__hog_recovers(struct weft__carrier *carrier)
{
    if (!carrier->is_niced)
        return true;
    carrier->is_niced = false;
    return setpriority(PRIO_PROCESS, (id_t)carrier->tid, carrier->sched->hogs.usual_nice) == 0;
}

/* carrier.c - the kernel threads, and who carries which worker.
 *
 * A carrier waits on its futex until it is given a worker (or, for sticky
 * company's sake, a single fiber). It then leaves its own, native stack for a
 * base and comes back to it when the worker was handed on, or is to stop.
 *
 * A blocking call. The fiber's thread gives its worker to a spare carrier, or
 * to a new one, and goes on alone: without a worker, standing on the fiber's
 * stack. Afterwards it leaves that stack for its native one, puts the fiber
 * in a queue, and is a spare itself. Where the worker has sticky fibers, which
 * must not change threads, the fiber goes to the other thread instead.
 *
 *     carrying --blocking_enter--> alone --blocking_leave--> spare
 *     spare --given a worker--> carrying
 *     spare --given a fiber--> alone
 *     carrying --stop--> gone;   spare --stop--> gone
 *
 * At most max_blocking threads are alone at once; a fiber beyond that waits
 * for a permit, parked, in order.
 *
 * Lock: carriers.lock guards the lists and counts; nothing else is taken under
 * it and nobody parks under it.
 */
#include "base/here.h"
#include "sched/context.h"
#include "sched/sched.h"
#include "weft/error.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALLED_NOT, CALLED_GIVEN, CALLED_TO_END };

/* -- give and be given --------------------------------------------------------------- */

static void call(struct weft__carrier *carrier, uint32_t what)
{
    /* Release, with the acquire in wait_for_call: what it was given is there. */
    atomic_store_explicit(&carrier->called, what, memory_order_release);
    syscall(SYS_futex, &carrier->called, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static uint32_t wait_for_call(struct weft__carrier *carrier)
{
    uint32_t what;

    while ((what = atomic_load_explicit(&carrier->called, memory_order_acquire)) == CALLED_NOT)
        syscall(SYS_futex, &carrier->called, FUTEX_WAIT_PRIVATE, CALLED_NOT, NULL, NULL, 0);
    if (what == CALLED_GIVEN)
        atomic_store_explicit(&carrier->called, CALLED_NOT, memory_order_relaxed);
    return what;
}

/* It is somebody else's from here on, or nobody's. */
static void give_up_slot(struct weft__here *here)
{
    here->slot.worker = NULL;
    here->slot.cache = NULL;
}

static void carry(struct weft__carrier *carrier, struct weft__worker *worker)
{
    struct weft__here *here = weft__here();
    struct weft__stack *stack;
    char name[16];

    snprintf(name, sizeof name, "weft-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    if (carrier->sched->bind)
        weft__topology_bind_thread(&carrier->sched->topology, worker->index, false);
    here->slot.worker = worker;
    here->slot.cache = worker->cache;
    stack = weft__worker_base_stack(worker, 0);
    here->stack = stack;
    weft__switch(&carrier->native, stack, NULL);
    /* Back: the worker is somebody else's, or stops. */
}

static void run_alone(struct weft__carrier *carrier, struct weft__fiber *fiber)
{
    struct weft__here *here = weft__here();

    here->fiber = fiber;
    here->stack = fiber->stack;
    fiber->stack = NULL;
    atomic_store_explicit(&carrier->blocking, fiber, memory_order_relaxed);
    weft__switch(&carrier->native, here->stack, NULL);
}

/* What the fiber that was left here wants done: see blocking_leave. */
static void after_return(struct weft__here *here)
{
    weft__after *after = here->after;

    here->after = NULL;
    if (after != NULL)
        after(here, here->after_arg);
    give_up_slot(here);
    here->stack = NULL;
    here->fiber = NULL;
    here->proc = NULL;
    here->region = NULL;
}

/* false: it can carry nothing any more, and ends. */
static bool become_spare(struct weft__carrier *carrier)
{
    struct weft__sched *sched = carrier->sched;

    pthread_mutex_lock(&sched->carriers.lock);
    carrier->has_ended = !weft__hog_recovers(carrier);
    if (carrier->has_ended) {
        carrier->next = sched->carriers.ended;
        sched->carriers.ended = carrier;
        sched->carriers.n_threads--;
    } else {
        carrier->next = sched->carriers.spares;
        sched->carriers.spares = carrier;
    }
    pthread_cond_broadcast(&sched->carriers.gone);
    pthread_mutex_unlock(&sched->carriers.lock);
    return !carrier->has_ended;
}

static void *carrier_main(void *arg)
{
    struct weft__carrier *carrier = arg;
    struct weft__sched *sched = carrier->sched;
    struct weft__here *here = weft__here();

    here->carrier = carrier;
    carrier->tid = (pid_t)syscall(SYS_gettid);
    weft__stack_native_init(&carrier->native);
    if (sched->hooks != NULL && sched->hooks->thread_begins != NULL)
        sched->hooks->thread_begins(carrier);
    /* Release, with the watchdog's acquire: tid, and what the hooks noted. */
    atomic_store_explicit(&carrier->here, here, memory_order_release);
    for (;;) {
        struct weft__worker *worker;
        struct weft__fiber *fiber;

        if (wait_for_call(carrier) == CALLED_TO_END)
            break;
        worker = carrier->worker;
        fiber = carrier->fiber;
        carrier->worker = NULL;
        carrier->fiber = NULL;
        if (worker != NULL)
            carry(carrier, worker);
        else
            run_alone(carrier, fiber);
        after_return(here);
        if (!become_spare(carrier))
            break;
        pthread_setname_np(pthread_self(), "weft-spare");
    }
    if (sched->hooks != NULL && sched->hooks->thread_ends != NULL)
        sched->hooks->thread_ends(carrier);
    weft__stack_native_destroy(&carrier->native);
    return NULL;
}

void weft__carriers_bury(struct weft__sched *sched)
{
    struct weft__carrier *carrier, *next, **at;

    pthread_mutex_lock(&sched->carriers.lock);
    carrier = sched->carriers.ended;
    sched->carriers.ended = NULL;
    for (at = &sched->carriers.all; *at != NULL;)
        if ((*at)->has_ended)
            *at = (*at)->next_all;
        else
            at = &(*at)->next_all;
    pthread_mutex_unlock(&sched->carriers.lock);
    for (; carrier != NULL; carrier = next) {
        next = carrier->next;
        pthread_join(carrier->thread, NULL);
        free(carrier);
    }
}

/* A carrier that waits, made if there is none; NULL: no thread to be had. */
struct weft__carrier *weft__carrier_take_spare(struct weft__sched *sched)
{
    struct weft__carrier *carrier;
    sigset_t all, before;
    int failed;

    pthread_mutex_lock(&sched->carriers.lock);
    carrier = sched->carriers.spares;
    if (carrier != NULL)
        sched->carriers.spares = carrier->next;
    pthread_mutex_unlock(&sched->carriers.lock);
    if (carrier != NULL)
        return carrier;

    carrier = calloc(1, sizeof *carrier);
    if (carrier == NULL)
        return NULL;
    carrier->sched = sched;
    /* Signals for the program are taken by the program's threads. Faults, and
     * what interrupts a process, are this thread's own and stay unblocked. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGTRAP);
    sigdelset(&all, WEFT__INTERRUPT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&carrier->thread, NULL, carrier_main, carrier);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(carrier);
        return NULL;
    }
    pthread_mutex_lock(&sched->carriers.lock);
    carrier->next_all = sched->carriers.all;
    sched->carriers.all = carrier;
    sched->carriers.n_threads++;
    pthread_mutex_unlock(&sched->carriers.lock);
    return carrier;
}

void weft__carrier_give(struct weft__carrier *spare, struct weft__worker *worker)
{
    spare->worker = worker;
    /* Here, so that nobody finds the one before, whose thread may end, later. */
    atomic_store_explicit(&worker->carrier, spare, memory_order_release);
    call(spare, CALLED_GIVEN);
}

void weft__carrier_give_back(struct weft__carrier *spare)
{
    struct weft__sched *sched = spare->sched;

    pthread_mutex_lock(&sched->carriers.lock);
    spare->next = sched->carriers.spares;
    sched->carriers.spares = spare;
    pthread_cond_broadcast(&sched->carriers.gone);
    pthread_mutex_unlock(&sched->carriers.lock);
}

/* -- start and stop ------------------------------------------------------------------------ */

int weft__carriers_start(struct weft__sched *sched)
{
    for (uint32_t i = 0; i < sched->n_workers; i++) {
        struct weft__carrier *carrier = weft__carrier_take_spare(sched);

        if (carrier == NULL)
            return WEFT_EAGAIN;
        weft__carrier_give(carrier, sched->workers[i]);
    }
    return 0;
}

void weft__carriers_stop(struct weft__sched *sched)
{
    struct weft__carrier *carrier, *next;

    pthread_mutex_lock(&sched->carriers.lock);
    for (;;) {
        uint32_t n_spare = 0;

        for (carrier = sched->carriers.spares; carrier != NULL; carrier = carrier->next)
            n_spare++;
        if (n_spare == sched->carriers.n_threads)
            break;
        pthread_cond_wait(&sched->carriers.gone, &sched->carriers.lock);
    }
    pthread_mutex_unlock(&sched->carriers.lock);
    weft__carriers_bury(sched);
    for (carrier = sched->carriers.all; carrier != NULL; carrier = next) {
        next = carrier->next_all;
        call(carrier, CALLED_TO_END);
        pthread_join(carrier->thread, NULL);
        free(carrier);
    }
    sched->carriers.all = sched->carriers.spares = NULL;
    sched->carriers.n_threads = 0;
}

/* -- blocking calls ---------------------------------------------------------------------------- */

/* Commit of a fiber that waits for a permit. */
static void wait_for_permit(struct weft__here *here, void *arg)
{
    struct weft__fiber *fiber = arg;
    struct weft__sched *sched = here->slot.worker->sched;
    bool has_permit = false;

    pthread_mutex_lock(&sched->carriers.lock);
    if (sched->carriers.n_blocking < sched->max_blocking) {
        sched->carriers.n_blocking++;
        has_permit = true;
    } else {
        fiber->next = NULL;
        *sched->carriers.waiting_end = fiber;
        sched->carriers.waiting_end = &fiber->next;
    }
    pthread_mutex_unlock(&sched->carriers.lock);
    if (has_permit)
        weft__fiber_ready(sched, fiber, WEFT__READY_NEXT);
}

static void take_permit(struct weft__sched *sched)
{
    bool has_permit;

    pthread_mutex_lock(&sched->carriers.lock);
    has_permit = sched->carriers.n_blocking < sched->max_blocking;
    sched->carriers.n_blocking += has_permit;
    pthread_mutex_unlock(&sched->carriers.lock);
    if (!has_permit)
        weft__fiber_park(weft__here(), wait_for_permit); /* comes back with one */
}

/* To the one who waits longest, or back to the pool. */
static void give_permit(struct weft__sched *sched)
{
    struct weft__fiber *fiber;

    pthread_mutex_lock(&sched->carriers.lock);
    fiber = sched->carriers.waiting;
    if (fiber == NULL) {
        sched->carriers.n_blocking--;
    } else {
        sched->carriers.waiting = fiber->next;
        if (fiber->next == NULL)
            sched->carriers.waiting_end = &sched->carriers.waiting;
    }
    pthread_mutex_unlock(&sched->carriers.lock);
    if (fiber != NULL)
        weft__fiber_ready(sched, fiber, WEFT__READY_NEXT);
}

/* Commit of a fiber that goes to another thread; the carrier is its home. */
static void go_to_carrier(struct weft__here *here, void *arg)
{
    struct weft__fiber *fiber = arg;
    struct weft__carrier *carrier = (struct weft__carrier *)(void *)fiber->next;

    (void)here;
    fiber->next = NULL;
    carrier->fiber = fiber;
    call(carrier, CALLED_GIVEN);
}

void weft__blocking_enter(void)
{
    struct weft__here *here = weft__here();
    struct weft__fiber *self = here->fiber;
    struct weft__worker *worker;
    struct weft__carrier *spare;

    if (self->is_sticky)
        return; /* its thread is its own: it blocks */
    if (weft__need_slot())
        here = weft__here();
    take_permit(here->slot.worker->sched);
    here = weft__here();
    worker = here->slot.worker;
    spare = weft__carrier_take_spare(worker->sched);
    if (spare == NULL) { /* no thread to be had: this one blocks, worker and all */
        give_permit(worker->sched);
        return;
    }
    if (atomic_load_explicit(&worker->n_sticky, memory_order_relaxed) > 0) {
        self->next = (struct weft__fiber *)(void *)spare;
        weft__fiber_park(here, go_to_carrier);
        return;
    }
    give_up_slot(here);
    atomic_store_explicit(&here->carrier->blocking, self, memory_order_relaxed);
    pthread_setname_np(pthread_self(), "weft-blocking");
    if (worker->sched->bind)
        weft__topology_bind_thread(&worker->sched->topology, worker->index, true);
    weft__carrier_give(spare, worker);
}

void weft__blocking_leave(void)
{
    weft__need_slot();
}

/* -- with and without a worker ----------------------------------------------------------- */

bool weft__has_slot(void)
{
    return weft__here()->slot.worker != NULL;
}

/* On the native stack, when the fiber's is left. */
static void queue_again(struct weft__here *here, void *arg)
{
    struct weft__fiber *fiber = arg;

    if (here->is_hog) {
        weft__hog_is_back(here);
    } else {
        atomic_store_explicit(&here->carrier->blocking, NULL, memory_order_relaxed);
        give_permit(here->carrier->sched);
    }
    weft__fiber_ready(here->carrier->sched, fiber, WEFT__READY_LAST);
}

bool weft__need_slot(void)
{
    struct weft__here *here = weft__here();
    struct weft__fiber *self = here->fiber;

    if (here->slot.worker != NULL || here->carrier == NULL)
        return false;
    self->stack = here->stack;
    here->after = queue_again;
    here->after_arg = self;
    weft__switch(self->stack, &here->carrier->native, NULL);
    weft__worker_arrive();
    return true;
}

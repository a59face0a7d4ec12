#include "proc/guest.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "proc/life.h"
#include "proc/message.h"
#include "proc/owned.h"
#include "proc/runtime.h"
#include "term/fail.h"
#include "weft/log.h"

static pthread_key_t guest_key;
static pthread_once_t guest_once = PTHREAD_ONCE_INIT;

/* -- the process ---------------------------------------------------------------- */

static void unlist(struct weft__runtime *runtime, struct weft__guest *guest)
{
    pthread_mutex_lock(&runtime->guests_lock);
    if (guest->link != NULL) {
        *guest->link = guest->next;
        if (guest->next != NULL)
            guest->next->link = guest->link;
        guest->link = NULL;
    }
    pthread_mutex_unlock(&runtime->guests_lock);
}

static void list(struct weft__runtime *runtime, struct weft__guest *guest)
{
    pthread_mutex_lock(&runtime->guests_lock);
    guest->next = runtime->guests;
    guest->link = &runtime->guests;
    if (guest->next != NULL)
        guest->next->link = &guest->next;
    runtime->guests = guest;
    pthread_mutex_unlock(&runtime->guests_lock);
}

struct weft__proc *weft__guest_proc(void)
{
    struct weft__runtime *runtime = weft__runtime();
    struct weft__here *here = weft__here();
    struct weft__guest *guest;

    if (runtime == NULL) {
        here->proc = NULL;
        return NULL;
    }
    guest = weft__guest_here();
    here = weft__here();
    if (guest->proc == NULL || guest->generation != runtime->generation) {
        struct weft__proc *proc = weft__life_begin_bare(runtime, WEFT__PROC_GUEST);

        if (proc == NULL)
            return NULL;
        guest->proc = proc;
        guest->generation = runtime->generation;
        list(runtime, guest);
    }
    here->proc = guest->proc;
    return guest->proc;
}

void weft__guests_end(struct weft__runtime *runtime)
{
    struct weft__guest *guest;

    while ((guest = runtime->guests) != NULL) {
        struct weft__proc *proc = guest->proc;

        unlist(runtime, guest);
        guest->proc = NULL;
        weft__life_end(proc, WEFT_ATOM("shutdown"));
    }
}

/* -- the thread ------------------------------------------------------------------- */

static void thread_ends(void *arg)
{
    struct weft__guest *guest = arg;
    struct weft__runtime *runtime = weft__runtime();
    struct weft__here *here = weft__here();

    here->guest = guest;
    if (guest->proc != NULL && runtime != NULL && guest->generation == runtime->generation) {
        here->proc = guest->proc;
        unlist(runtime, guest);
        weft__life_end(guest->proc, WEFT_ATOM("normal"));
    }
    weft__owned_clear(&guest->owned);
    here->proc = NULL;
    here->guest = NULL;
    free(guest);
}

_Noreturn void weft__guest_exit(weft_term reason)
{
    struct weft__guest *guest = weft__guest_here();
    struct weft__runtime *runtime = weft__runtime();

    weft_log_error("a thread outside of weft ends: %s", weft_inspect(reason));
    if (runtime != NULL && guest->proc != NULL && guest->generation == runtime->generation) {
        struct weft__proc *proc = guest->proc;

        unlist(runtime, guest);
        guest->proc = NULL;
        weft__life_end(proc, reason);
        weft__here()->proc = NULL;
    }
    if (weft__thread_is_main())
        exit(1);
    pthread_exit(NULL);
}

static void make_key(void)
{
    if (pthread_key_create(&guest_key, thread_ends) != 0)
        abort();
}

struct weft__guest *weft__guest_here(void)
{
    struct weft__here *here = weft__here();
    struct weft__guest *guest = here->guest;

    if (guest != NULL)
        return guest;
    pthread_once(&guest_once, make_key);
    guest = calloc(1, sizeof *guest);
    if (guest == NULL || pthread_setspecific(guest_key, guest) != 0)
        weft__term_no_memory(sizeof *guest);
    here->guest = guest;
    return guest;
}

/* -- waiting ------------------------------------------------------------------------ */

void weft__guest_wake(struct weft__proc *proc)
{
    /* Release: what the waker did before; the word's futex is in memory that
     * stays a control block, so a thread that is gone by now does no harm. */
    atomic_store_explicit(&proc->fiber.word, 1, memory_order_release);
    syscall(SYS_futex, &proc->fiber.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Back from a wait that perhaps nobody ended: take the park back, or wait for
 * the waker that was quicker. */
static void take_back(struct weft__proc *proc, bool for_mail)
{
    if (weft__proc_take_back(proc, for_mail))
        return;
    while (atomic_load_explicit(&proc->fiber.word, memory_order_acquire) == 0)
        syscall(SYS_futex, &proc->fiber.word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

/* How long a thread sleeps at most before it looks again. The thread sanitizer
 * runs the handler of a signal at the next call or atomic operation it knows
 * of, and a thread that sleeps in a bare futex makes none. */
#if WEFT__STACK_TSAN
#define NAP_NS (WEFT__NS_PER_S / 20)
#else
#define NAP_NS INT64_MAX
#endif

bool weft__guest_wait(struct weft__wait *wait, bool for_mail)
{
    struct weft__proc *proc = wait->proc;
    int64_t now_ns = weft__clock_ns();

    /* A thread may read the clock: when_ns is the deadline once it is set. */
    if (!wait->is_set) {
        wait->is_set = true;
        wait->timer.when_ns = wait->timeout_ns < 0 || wait->timeout_ns > INT64_MAX - now_ns
                                  ? INT64_MAX : now_ns + wait->timeout_ns;
    }
    if (now_ns >= wait->timer.when_ns)
        return false;
    atomic_store_explicit(&proc->fiber.word, 0, memory_order_relaxed);
    if (weft__proc_commit_park(proc, for_mail)) {
        int64_t left_ns = wait->timer.when_ns == INT64_MAX ? NAP_NS : wait->timer.when_ns - now_ns;
        struct timespec left;

        left_ns = left_ns < NAP_NS ? left_ns : NAP_NS;
        left = (struct timespec){left_ns / WEFT__NS_PER_S, left_ns % WEFT__NS_PER_S};
        syscall(SYS_futex, &proc->fiber.word, FUTEX_WAIT_PRIVATE, 0,
                left_ns == INT64_MAX ? NULL : &left, NULL, 0);
        take_back(proc, for_mail);
    }
    weft__proc_take_token(proc);
    weft__proc_obey(proc);
    return weft__clock_ns() < wait->timer.when_ns;
}

#include "proc/restart.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/symbol.h"
#include "proc/registers.h"
#include "sched/hog.h"

/* What a call says of how long to wait, in which argument. */
enum timeout {
    AS_IT_IS,   /* nothing, an absolute time, or what the kernel counts down in place */
    IN_MS,      /* a number; below 0: for ever */
    IN_TIME,    /* where a struct timespec is, or NULL */
    IN_SLEEP,   /* the same, and in the next argument where to say what is left, or NULL */
    IN_CLOCK,   /* the same; the argument before has flags */
    IN_FUTEX    /* absolute, but for one operation */
};

struct call {
    long number;
    enum timeout timeout;
    int argument;
};

/* Those that may end with EINTR although the handler has SA_RESTART: signal(7). No
 * close, which has closed by then. */
static const struct call calls[] = {
    {SYS_nanosleep, IN_SLEEP, 0},
    {SYS_clock_nanosleep, IN_CLOCK, 2},
    {SYS_futex, IN_FUTEX, 3},
    {SYS_ppoll, AS_IT_IS, 0},
    {SYS_pselect6, AS_IT_IS, 0},
    {SYS_epoll_pwait, IN_MS, 3},
    {SYS_rt_sigtimedwait, IN_TIME, 2},
    {SYS_rt_sigsuspend, AS_IT_IS, 0},
    {SYS_semtimedop, IN_TIME, 3},
    {SYS_msgrcv, AS_IT_IS, 0},
    {SYS_msgsnd, AS_IT_IS, 0},
    {SYS_io_getevents, IN_TIME, 4},
    {SYS_read, AS_IT_IS, 0},
    {SYS_readv, AS_IT_IS, 0},
    {SYS_write, AS_IT_IS, 0},
    {SYS_writev, AS_IT_IS, 0},
    {SYS_accept, AS_IT_IS, 0},
    {SYS_accept4, AS_IT_IS, 0},
    {SYS_connect, AS_IT_IS, 0},
    {SYS_recvfrom, AS_IT_IS, 0},
    {SYS_recvmsg, AS_IT_IS, 0},
    {SYS_recvmmsg, AS_IT_IS, 0},
    {SYS_sendto, AS_IT_IS, 0},
    {SYS_sendmsg, AS_IT_IS, 0},
    {SYS_sendmmsg, AS_IT_IS, 0},
#ifdef SYS_poll
    {SYS_poll, IN_MS, 2},
#endif
#ifdef SYS_select
    {SYS_select, AS_IT_IS, 0},
#endif
#ifdef SYS_epoll_wait
    {SYS_epoll_wait, IN_MS, 3},
#endif
#ifdef SYS_pause
    {SYS_pause, AS_IT_IS, 0},
#endif
#ifdef SYS_semop
    {SYS_semop, AS_IT_IS, 0},
#endif
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, IN_TIME, 3},
#endif
#ifdef SYS_io_pgetevents
    {SYS_io_pgetevents, IN_TIME, 4},
#endif
#ifdef SYS_io_uring_enter
    {SYS_io_uring_enter, AS_IT_IS, 0},
#endif
#ifdef SYS_futex_waitv
    {SYS_futex_waitv, AS_IT_IS, 0},
#endif
};

static const struct call *find(long number)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == number)
            return &calls[i];
    return NULL;
}

/* -- which call was it? ------------------------------------------------------------ */

/* The call that was known before: made from the same place, with the same arguments. */
static bool is_that(const ucontext_t *context, const struct weft__waits_in *in)
{
    if (in->number < 0 || in->pc != weft__registers_pc(context) || in->sp != weft__registers_sp(context))
        return false;
    for (int i = WEFT__FIRST_KEPT; i < 6; i++)
        if (in->argument[i] != weft__registers_argument(context, i))
            return false;
    return true;
}

static const struct call *which(const ucontext_t *context, const struct weft__waits_in *in)
{
    long number;

    if (!weft__symbol_is_code((const void *)(weft__registers_pc(context) - WEFT__CODE_BEFORE)) ||
        !weft__registers_is_cut_short(context))
        return NULL;
    /* One that was under way when the program was stopped, or had a debugger, is gone on
     * with by a call of the kernel's own, which has nothing to go on with after a signal. */
    if (is_that(context, in) && in->number != SYS_restart_syscall)
        return find(in->number);
    for (int nth = 0; (number = weft__registers_guess_call(context, nth)) >= 0; nth++)
        if (find(number) != NULL)
            return find(number);
    return NULL;
}

/* -- how long has it still to wait? -------------------------------------------------- */

static uint64_t less_ms(uint64_t argument, int64_t waited_ns)
{
    int64_t ms = (int)argument, waited_ms = waited_ns / WEFT__NS_PER_MS;

    if (ms <= 0)
        return argument;
    return (uint64_t)(ms > waited_ms ? ms - waited_ms : 0);
}

static uint64_t less_time(uint64_t argument, int64_t waited_ns, struct timespec *left)
{
    const struct timespec *time = (const struct timespec *)(uintptr_t)argument;
    int64_t ns;

    if (time == NULL || waited_ns < WEFT__NS_PER_MS || time->tv_sec > INT64_MAX / WEFT__NS_PER_S - 1)
        return argument;
    ns = time->tv_sec * WEFT__NS_PER_S + time->tv_nsec - waited_ns;
    if (ns < 0)
        ns = 0;
    left->tv_sec = ns / WEFT__NS_PER_S;
    left->tv_nsec = ns % WEFT__NS_PER_S;
    return (uintptr_t)left;
}

static void count_on(ucontext_t *context, const struct call *call, int64_t waited_ns, struct timespec *left)
{
    int n = call->argument;
    uint64_t argument = weft__registers_argument(context, n), rest;

    switch (call->timeout) {
    case AS_IT_IS:
        return;
    case IN_MS:
        argument = less_ms(argument, waited_ns);
        break;
    case IN_CLOCK:
        if (weft__registers_argument(context, n - 1) & TIMER_ABSTIME)
            return;
        /* fall through */
    case IN_SLEEP:
        rest = weft__registers_argument(context, n + 1);
        argument = rest != 0 ? rest : less_time(argument, waited_ns, left);
        break;
    case IN_FUTEX:
        if (((int)weft__registers_argument(context, 1) & FUTEX_CMD_MASK) != FUTEX_WAIT)
            return;
        /* fall through */
    case IN_TIME:
        argument = less_time(argument, waited_ns, left);
        break;
    }
    weft__registers_set_argument(context, n, argument);
}

bool weft__restart(ucontext_t *context, const struct weft__waits_in *in, int64_t waited_ns,
                   struct timespec *left)
{
    const struct call *call = which(context, in);

    if (call == NULL)
        return false;
    if (!is_that(context, in)) {
        if (WEFT__FIRST_KEPT > 0)
            return false; /* what the first argument was, nobody knows */
        waited_ns = 0;
    }
    for (int i = 0; i < WEFT__FIRST_KEPT; i++)
        weft__registers_set_argument(context, i, in->argument[i]);
    count_on(context, call, waited_ns, left);
    weft__registers_call_again(context, call->number);
    return true;
}

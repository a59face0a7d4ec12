/* fault.c - the handlers, and what they lead to. The way is in fault.h.
 *
 * Ending. The handler of a contained fault returns into end_faulted, which runs
 * right below the frames that stopped, as if they had called weft_exit: so
 * everything that must hold when a process exits holds, and the frames stay
 * until the defers have run. Where there is no room below, because the stack
 * has overflowed or nearly so, the upper half of its guard is opened first; it
 * is closed when the stack is put away.
 *
 * Nested faults. The handlers of faults do not block their signals. One that comes while
 * a thread is in here is the coroner's, who met a damaged stack: it goes back
 * to where the look began, and the verdict is fatal.
 */
#include "proc/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "proc/catch.h"
#include "proc/coroner.h"
#include "proc/disown.h"
#include "proc/fault_report.h"
#include "proc/hog_report.h"
#include "proc/proc.h"
#include "proc/registers.h"
#include "proc/restart.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "weft/error.h"

#define SIGNAL_STACK (64 * 1024) /* beside what the kernel puts there */
#define END_ROOM (20 * 1024)     /* of stack, that an end needs at most */
#define RETRY_NS 30000           /* until a process that may not be ended here is interrupted again */
#define RETRIES 1000             /* so often; then the watchdog's ticks will do */
#define RETRIES_SLOWER 200       /* after so many, twice as long: it must get on meanwhile */
#define RETRY_LATE 4             /* and not sooner than so often the time that the last one was late */
#define RETRY_MAX_NS (20 * WEFT__NS_PER_MS)

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, WEFT__INTERRUPT};
#define N_SIGNALS (sizeof signals / sizeof *signals)

/* A thread's own: at the low end of what its alternate stack is mapped in. */
struct fault_thread {
    stack_t before;          /* its alternate stack until then */
    size_t size;             /* of the mapping */
    pid_t tid;
    bool has_timer;
    timer_t timer;           /* interrupts the thread */
    uint32_t n_retries;      /* since the watchdog last did; by the handler */
    _Atomic int64_t due_ns;  /* when the timer interrupts, or 0; by the handler */
    sigjmp_buf *recover;     /* a look is under way; by the thread's handlers alone */
    struct weft__autopsy fault;     /* read by end_faulted */
    struct weft__autopsy interrupt; /* one of these may come before it has */
    const struct weft__proc *remains; /* that it got in place of a process that was disowned */
    uint64_t remains_serial;
    struct timespec left;    /* of the time that a call the thread is in is to wait */
};

/* The program's, as dispositions are. */
static struct {
    struct sigaction before[N_SIGNALS];
    bool is_installed[N_SIGNALS]; /* ours is there, or behind another's */
    bool is_on;                   /* the runtime that runs wants it */
    uint32_t max_per_second;
    _Atomic uint64_t window;      /* a second's number << 32 | faults in it */
} faults;

/* -- threads ---------------------------------------------------------------------- */

static size_t signal_stack_size(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = SIGNAL_STACK + getauxval(AT_MINSIGSTKSZ);

    return (size + page - 1) & ~(page - 1);
}

/* Without one, the next try is the watchdog's. */
static void make_timer(struct fault_thread *thread)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WEFT__INTERRUPT,
                             .sigev_value.sival_ptr = thread};

    event._sigev_un._tid = thread->tid;
    thread->has_timer = timer_create(CLOCK_MONOTONIC, &event, &thread->timer) == 0;
}

/* Without an alternate stack the thread's faults are not ours. */
static void thread_begins(struct weft__carrier *carrier)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = signal_stack_size();
    char *at;
    struct fault_thread *thread;
    stack_t stack = {.ss_size = size};

    if (!faults.is_on)
        return;
    at = mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return;
    thread = (struct fault_thread *)(void *)at;
    stack.ss_sp = at + 2 * page;
    if (mprotect(at + page, page, PROT_NONE) != 0 || sigaltstack(&stack, &thread->before) != 0) {
        munmap(at, size + 2 * page);
        return;
    }
    thread->size = size + 2 * page;
    thread->tid = (pid_t)syscall(SYS_gettid);
    make_timer(thread);
    atomic_store_explicit(&carrier->faults, thread, memory_order_release);
}

static void thread_ends(struct weft__carrier *carrier)
{
    struct fault_thread *thread = atomic_load_explicit(&carrier->faults, memory_order_acquire);

    if (thread == NULL)
        return;
    atomic_store_explicit(&carrier->faults, NULL, memory_order_release);
    if (thread->has_timer)
        timer_delete(thread->timer);
    (void)sigaltstack(&thread->before, NULL);
    munmap(thread, thread->size);
}

/* By itself, and soon. It may have slept past the time. */
static bool will_look_again(const struct fault_thread *thread)
{
    /* Relaxed: an interrupt too many or, for a tick, too few is no error. */
    int64_t due_ns = thread != NULL ? atomic_load_explicit(&thread->due_ns, memory_order_relaxed) : 0;

    return due_ns != 0 && weft__clock_ns() < due_ns + RETRY_MAX_NS;
}

/* true: its time is over (disown.h). is_left_alone: until then. */
static bool look_after(struct weft__carrier *carrier, struct weft__fiber *fiber, bool is_left_alone)
{
    /* The fiber comes first; all fibers are processes. */
    struct weft__proc *proc = (struct weft__proc *)(void *)fiber;
    struct fault_thread *thread = atomic_load_explicit(&carrier->faults, memory_order_acquire);
    /* Seq_cst: who kills it sets the state, then wakes the watchdog if it sleeps; which
     * says that it does before it looks here (sched/watchdog.c). */
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_seq_cst);
    bool is_over, is_due = !is_left_alone;
    weft_pid pid;

    if ((state & WEFT__KILLED) == 0 || (state & (WEFT__STATE_MASK | WEFT__DISOWNED)) != WEFT__ACTIVE || thread == NULL)
        return false;
    pid = weft__pid_make(weft__table_slot(&weft__runtime()->table, proc), weft__state_serial(state));
    if (pid.bits == carrier->killed.remains) {
        if (weft__disown_has_run(carrier))
            weft__fault_interrupt(carrier, proc);
        return false;
    }
    is_over = weft__disown_watch(carrier, proc, pid, &is_due);
    if (is_due && !will_look_again(thread))
        weft__fault_interrupt(carrier, proc);
    return is_over;
}

static bool runs_long(struct weft__carrier *carrier, struct weft__fiber *fiber)
{
    return look_after(carrier, fiber, false);
}

/* What it announced is not interrupted before. */
static void blocks(struct weft__carrier *carrier, struct weft__fiber *fiber)
{
    look_after(carrier, fiber, true);
}

/* -- the end ------------------------------------------------------------------------ */

/* What code that is given up had set is nobody's wish. */
static void forget_its_state(void)
{
    weft__registers_reset_float();
#if WEFT__STACK_TSAN
    /* Its frames stay in the sanitizer's account of this stack, which is made
     * anew at the next use when it has had too many. */
    weft__here()->stack->n_makes = UINT32_MAX / 2;
#endif
}

/* On the stack that stopped, below its frames. */
static void end_faulted(void *arg)
{
    struct fault_thread *thread = arg;
    struct weft__proc *proc = weft__here()->proc;

    forget_its_state();
    proc->flags |= WEFT__FAULTED;
    weft__proc_crash(proc, weft__fault_reason(&thread->fault));
}

static void end_killed(void *arg)
{
    struct weft__proc *proc = weft__here()->proc;

    (void)arg;
    forget_its_state();
    weft__proc_obey(proc); /* an earlier exit signal's reason counts */
    proc->flags |= WEFT__DOOMED;
    weft__proc_exit(proc, WEFT_ATOM("killed"));
}

/* Have the handler return to fn, with room below it. */
static bool go_on_with(ucontext_t *context, struct weft__stack *stack, void (*fn)(void *), void *arg)
{
    uintptr_t low = (uintptr_t)stack->low, sp = weft__registers_sp(context);

    /* Below the usable part is nothing that anybody needs. */
    sp = sp < low + WEFT__RED_ZONE ? low : sp - WEFT__RED_ZONE;
    if (sp - low < END_ROOM && !weft__stack_open(stack))
        return false;
    weft__registers_call(context, fn, arg, sp);
    return true;
}

/* -- questions ------------------------------------------------------------------------- */

static bool is_fault(int signo, const siginfo_t *info)
{
    if (signo == SIGABRT)
        return info->si_code == SI_TKILL && info->si_pid == getpid();
    return info->si_code > 0; /* the kernel's */
}

/* The process that runs here, on a stack of weft; NULL: none. */
static struct weft__proc *process_here(const struct weft__here *here)
{
    return here->stack != NULL && here->stack->class != WEFT__STACK_NATIVE && weft__runtime() != NULL ? here->proc
                                                                                                  : NULL;
}

static bool is_guard_of(const struct weft__stack *stack, const void *address)
{
    struct weft__stack_place place;

    return weft__stack_find(weft__runtime()->sched->stacks, address, &place) && place.in_guard &&
           !place.is_fresh && place.low == stack->low;
}

static bool is_over_the_limit(void)
{
    uint64_t second = (uint64_t)weft__clock_ns() / WEFT__NS_PER_S << 32, window;

    if (faults.max_per_second == 0)
        return false;
    /* Relaxed: a count that nothing is published through. Two that meet at a
     * second's beginning may both begin it: one fault more is let through. */
    window = atomic_load_explicit(&faults.window, memory_order_relaxed);
    if (window >> 32 != second >> 32) {
        atomic_store_explicit(&faults.window, second + 1, memory_order_relaxed);
        return false;
    }
    window = atomic_fetch_add_explicit(&faults.window, 1, memory_order_relaxed);
    return (uint32_t)window >= faults.max_per_second;
}

/* -- looking ------------------------------------------------------------------------------ */

__attribute__((noinline))
static void look(struct fault_thread *thread, struct weft__autopsy *autopsy, ucontext_t *context,
                 const struct weft__stack *stack,
                 void (*question)(struct weft__autopsy *, ucontext_t *, const struct weft__stack *))
{
    sigjmp_buf recover;

    /* A race detector may put a signal off, and have it handled on the stack that it
     * should have interrupted: the context is an old one. */
    if (weft__stack_holds(stack, __builtin_frame_address(0))) {
        autopsy->why = "the signal came late";
        return;
    }
    if (sigsetjmp(recover, 0) == 0) {
        thread->recover = &recover;
        question(autopsy, context, stack);
    } else {
        /* The context may be as the look left it: pc and sp are noted. */
        weft__registers_restore(context, (uintptr_t)autopsy->pc, (uintptr_t)autopsy->sp);
        if (autopsy->why == NULL)
            autopsy->why = "the stack is damaged: looking at it faulted";
    }
    thread->recover = NULL;
}

static void begin_autopsy(struct weft__autopsy *autopsy, int signo, const siginfo_t *info,
                          const ucontext_t *context, const struct weft__stack *stack)
{
    *autopsy = (struct weft__autopsy){
        .signo = signo,
        .code = info->si_code,
        .address = signo == SIGABRT || signo == WEFT__INTERRUPT ? NULL : info->si_addr,
        .pc = (const void *)weft__registers_pc(context),
        .sp = (const void *)weft__registers_sp(context),
        .is_interrupt = signo == WEFT__INTERRUPT,
    };
    if (signo == SIGSEGV || signo == SIGBUS)
        autopsy->is_overflow = is_guard_of(stack, info->si_addr);
}

/* true: the process ends alone, and the context leads there. */
static bool contain(struct fault_thread *thread, struct weft__here *here, struct weft__proc *proc,
                    int signo, const siginfo_t *info, ucontext_t *context)
{
    struct weft__autopsy *autopsy = &thread->fault;

    begin_autopsy(autopsy, signo, info, context, here->stack);
    autopsy->is_caught = weft__catch_is_open(proc);
    look(thread, autopsy, context, here->stack, weft__coroner_look);
    if (autopsy->why == NULL && proc->flags >= WEFT__FOREIGN_ONE)
        autopsy->why = "it holds a foreign lock (weft_foreign_enter), which would stay locked";
    if (autopsy->why == NULL && is_over_the_limit())
        autopsy->why = "more faults came within a second than .max_faults_per_second allows";
    if (autopsy->why != NULL)
        return false;
    if (go_on_with(context, here->stack, end_faulted, thread))
        return true;
    autopsy->why = "the stack has overflowed twice";
    return false;
}

/* -- the handlers ------------------------------------------------------------------------- */

static size_t place_of(int signo)
{
    size_t i = 0;

    while (signals[i] != signo)
        i++;
    return i;
}

/* What the program would have had without us. The context is untouched. */
static void hand_on(int signo, siginfo_t *info, void *context)
{
    struct sigaction *before = &faults.before[place_of(signo)];
    void (*handler)(int, siginfo_t *, void *) = before->sa_sigaction;
    bool is_plain = (before->sa_flags & SA_SIGINFO) == 0;
    sigset_t mask;

    if (is_plain && before->sa_handler == SIG_IGN && (signo == WEFT__INTERRUPT || info->si_code <= 0))
        return;
    if (is_plain && (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)) {
        struct sigaction plain = {.sa_handler = SIG_DFL};

        if (signo == WEFT__INTERRUPT)
            return; /* ignored, by default */
        /* Returning repeats the fault, or lets abort go on; what was sent must
         * be sent again. */
        (void)sigaction(signo, &plain, NULL);
        if (info->si_code <= 0 && signo != SIGABRT)
            (void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signo);
        return;
    }
    if (before->sa_flags & (int)SA_RESETHAND)
        *before = (struct sigaction){.sa_handler = SIG_DFL};
    mask = before->sa_mask;
    if ((before->sa_flags & SA_NODEFER) == 0)
        sigaddset(&mask, signo);
    /* The return from this handler puts the mask back. */
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    if (is_plain)
        ((void (*)(int))(void (*)(void))handler)(signo);
    else
        handler(signo, info, context);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    int errno_before = errno;
    struct weft__here *here = weft__here();
    struct fault_thread *thread = here->carrier != NULL
                                      ? atomic_load_explicit(&here->carrier->faults, memory_order_acquire)
                                      : NULL;
    struct weft__proc *proc;

    if (thread != NULL && thread->recover != NULL && is_fault(signo, info))
        siglongjmp(*thread->recover, 1);
    proc = thread != NULL && is_fault(signo, info) ? process_here(here) : NULL;
    if (proc == NULL || !contain(thread, here, proc, signo, info, context)) {
        if (proc != NULL)
            weft__fault_report(&thread->fault, context, proc, here->slot.worker);
        hand_on(signo, info, context);
    }
    errno = errno_before;
}

static bool is_killed(const struct weft__proc *proc)
{
    /* Relaxed: whoever kills it tells the watchdog, which interrupts again. */
    return (atomic_load_explicit(&proc->state, memory_order_relaxed) & WEFT__KILLED) != 0;
}

/* Is it this life of it that is to end, and does not do so already? */
static bool is_wanted(const struct weft__proc *proc)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);

    return (proc->flags & WEFT__ENDS) == 0 && weft__state_serial(state) == weft__pid_serial(proc->pid);
}

/* By how much this interrupt is late, if it is the timer's; which is not set
 * any more. */
static int64_t lateness(struct fault_thread *thread, bool is_timer)
{
    /* Relaxed, here and below: see will_look_again. */
    int64_t due_ns = atomic_exchange_explicit(&thread->due_ns, 0, memory_order_relaxed);

    return is_timer && due_ns != 0 ? weft__clock_ns() - due_ns : 0;
}

/* It could not be ended here. Most of its time may go by in calls that cannot be
 * cut short: so look again soon, a good many times. Where the way to this
 * handler and back takes longer than that, it would never get out of the call:
 * it has most of the time for itself. */
static void try_again(struct fault_thread *thread, int64_t late_ns)
{
    int64_t pause_ns = RETRY_NS << thread->n_retries / RETRIES_SLOWER;
    struct itimerspec soon = {0};

    if (!thread->has_timer || thread->n_retries++ >= RETRIES)
        return;
    if (pause_ns < RETRY_LATE * late_ns)
        pause_ns = RETRY_LATE * late_ns;
    if (pause_ns > RETRY_MAX_NS)
        pause_ns = RETRY_MAX_NS;
    atomic_store_explicit(&thread->due_ns, weft__clock_ns() + pause_ns, memory_order_relaxed);
    soon.it_value.tv_nsec = pause_ns;
    timer_settime(thread->timer, 0, &soon, NULL);
}

/* -- questions -------------------------------------------------------------------------------- */

/* Where a process stands, one question at a time in the program.
 *
 *     FREE -> ASKED           who asks, by CAS        release: which process
 *     ASKED -> ANSWERING      the handler, by CAS     acquire
 *     ANSWERING -> ANSWERED   the handler             release: the autopsy
 *     ASKED -> FREE           who asked, by CAS: no answer came
 *     ANSWERED -> FREE        who asked
 */
enum { FREE, ASKED, ANSWERING, ANSWERED };

static struct {
    _Atomic int state;
    _Atomic(const struct weft__proc *) proc; /* relaxed: looked at before it is claimed */
    struct weft__autopsy autopsy;
    bool is_there;
} question;

#define ANSWER_NS (20 * WEFT__NS_PER_MS) /* a thread that has a core answers sooner */
#define ANSWER_LOOK_NS 20000

/* Also in an interrupt that is for something else: that swallows a question's. */
static bool is_asked_here(const struct weft__here *here)
{
    return atomic_load_explicit(&question.state, memory_order_acquire) == ASKED &&
           atomic_load_explicit(&question.proc, memory_order_relaxed) == process_here(here);
}

static void answer_question(struct fault_thread *thread, struct weft__here *here, const siginfo_t *info,
                            ucontext_t *context)
{
    int asked = ASKED;

    if (!atomic_compare_exchange_strong_explicit(&question.state, &asked, ANSWERING, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    question.is_there = thread != NULL && thread->recover == NULL &&
                        process_here(here) == atomic_load_explicit(&question.proc, memory_order_relaxed);
    if (question.is_there) {
        begin_autopsy(&question.autopsy, WEFT__INTERRUPT, info, context, here->stack);
        look(thread, &question.autopsy, context, here->stack, weft__coroner_look);
    }
    atomic_store_explicit(&question.state, ANSWERED, memory_order_release);
}

static void interrupt_thread(pid_t tid, const void *why)
{
    siginfo_t info = {.si_signo = WEFT__INTERRUPT, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)why;
    (void)syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, WEFT__INTERRUPT, &info);
}

/* true: the answer is there. */
static bool await_answer(void)
{
    int64_t until_ns = weft__clock_ns() + ANSWER_NS;
    int asked = ASKED;

    while (atomic_load_explicit(&question.state, memory_order_acquire) != ANSWERED) {
        if (weft__clock_ns() > until_ns &&
            atomic_compare_exchange_strong_explicit(&question.state, &asked, FREE, memory_order_relaxed,
                                                    memory_order_relaxed))
            return false;
        asked = ASKED;
        nanosleep(&(struct timespec){.tv_nsec = ANSWER_LOOK_NS}, NULL);
    }
    return true;
}

bool weft__fault_look_at(pid_t tid, const struct weft__proc *proc, struct weft__autopsy *autopsy)
{
    int nobody = FREE;
    bool is_there;

    /* Acquire, with the release of who was before. ANSWERING: nobody may answer yet. */
    if (!faults.is_on || !atomic_compare_exchange_strong_explicit(&question.state, &nobody, ANSWERING,
                                                                  memory_order_acquire, memory_order_relaxed))
        return false;
    atomic_store_explicit(&question.proc, proc, memory_order_relaxed);
    atomic_store_explicit(&question.state, ASKED, memory_order_release);
    interrupt_thread(tid, &question);
    if (!await_answer())
        return false;
    *autopsy = question.autopsy;
    is_there = question.is_there;
    atomic_store_explicit(&question.state, FREE, memory_order_release);
    return is_there;
}

/* -- interrupts -------------------------------------------------------------------------------- */

/* The process here was killed: end it, if it may be ended where it is. true: it does. */
static bool end_here(struct fault_thread *thread, struct weft__here *here, struct weft__proc *proc,
                     const siginfo_t *info, ucontext_t *context, int64_t late_ns)
{
    struct weft__autopsy *autopsy = &thread->interrupt;

    begin_autopsy(autopsy, WEFT__INTERRUPT, info, context, here->stack);
    look(thread, autopsy, context, here->stack, weft__coroner_look);
    /* Nothing of it is looked at before, but its state: on its way from one process
     * to the next the thread has here->proc of one that may run elsewhere by now.
     * Such a way is inside weft. */
    if (autopsy->why == NULL) {
        if (!is_wanted(proc))
            return false;
        if (proc->flags < WEFT__FOREIGN_ONE && go_on_with(context, here->stack, end_killed, thread))
            return true;
    }
    try_again(thread, late_ns);
    return false;
}

/* Is the thread's slot asked for (sched/hog.h)? It gives it where no function of weft
 * could miss it, and goes on. */
static void answer(struct fault_thread *thread, struct weft__here *here, struct weft__proc *proc,
                   const siginfo_t *info, ucontext_t *context, struct weft__waits_in *in, int64_t *waited_ns)
{
    struct weft__autopsy *autopsy = &thread->interrupt;
    struct weft__ask *ask = weft__hog_claim(here);

    if (ask == NULL)
        return;
    *in = ask->waits_in;
    *waited_ns = ask->waited_ns;
    if (proc != NULL) {
        begin_autopsy(autopsy, WEFT__INTERRUPT, info, context, here->stack);
        look(thread, autopsy, context, here->stack, weft__coroner_look_for_weft);
    }
    if (proc != NULL && autopsy->why == NULL) {
        weft__hog_note(&ask->hog, proc, autopsy->frames, autopsy->n_frames);
        weft__hog_give(here, ask);
    } else {
        weft__hog_refuse(ask);
    }
}

/* Are those the remains that this thread has had last? */
static bool is_what_was_left(const struct fault_thread *thread, const struct weft__proc *proc)
{
    uint64_t state = atomic_load_explicit(&proc->state, memory_order_relaxed);

    return proc == thread->remains && weft__state_serial(state) == thread->remains_serial;
}

/* It is waited for: nor is there any hurry. */
static void refuse_offer(struct fault_thread *thread)
{
    weft__disown_refuse();
    thread->n_retries = RETRIES;
}

/* The time of the process here is over: leave it, where that may be. */
static void answer_offer(struct fault_thread *thread, struct weft__here *here, struct weft__proc *proc,
                          const siginfo_t *info, ucontext_t *context)
{
    struct weft__autopsy *autopsy = &thread->interrupt;

    if (here->slot.worker != NULL) {
        refuse_offer(thread);
        return;
    }
    begin_autopsy(autopsy, WEFT__INTERRUPT, info, context, here->stack);
    look(thread, autopsy, context, here->stack, weft__coroner_look_for_weft);
    /* As in end_here: the process is looked at only afterwards. */
    if (autopsy->why == NULL && is_wanted(proc) && proc->flags < WEFT__FOREIGN_ONE &&
        proc->fiber.kind != WEFT__PROC_REMAINS)
        weft__disown_take(here, autopsy);
    else
        refuse_offer(thread);
    if (here->proc == proc)
        return;
    thread->remains = here->proc;
    thread->remains_serial = weft__pid_serial(here->proc->pid);
}

/* Interrupts of the timer are for whoever was killed, others for this one; NULL: it is
 * an ask. */
static void interrupted(struct fault_thread *thread, struct weft__here *here, const struct weft__proc *meant,
                        bool is_timer, const siginfo_t *info, ucontext_t *context)
{
    struct weft__proc *proc = thread->recover == NULL ? process_here(here) : NULL;
    int64_t late_ns = lateness(thread, is_timer), waited_ns = 0;
    struct weft__waits_in in = {.number = -1};

    if (proc != NULL && (is_timer || meant == proc) && is_killed(proc)) {
        if (!is_timer)
            thread->n_retries = 0;
        if (is_what_was_left(thread, proc))
            thread->n_retries = RETRIES; /* no hurry */
        if (end_here(thread, here, proc, info, context, late_ns))
            return;
    }
    /* Also where it is none, as one interrupt swallows the other. */
    answer(thread, here, proc, info, context, &in, &waited_ns);
    if (proc != NULL && weft__disown_is_offered(proc))
        answer_offer(thread, here, proc, info, context);
    if (meant == NULL || in.number >= 0)
        weft__restart(context, &in, waited_ns, &thread->left);
}

static void on_interrupt(int signo, siginfo_t *info, void *context)
{
    int errno_before = errno;
    struct weft__here *here = weft__here();
    struct fault_thread *thread = here->carrier != NULL
                                      ? atomic_load_explicit(&here->carrier->faults, memory_order_acquire)
                                      : NULL;
    bool is_timer = info->si_code == SI_TIMER && thread != NULL && info->si_value.sival_ptr == thread;
    bool is_question = !is_timer && info->si_value.sival_ptr == &question;

    if (!is_timer && (info->si_code != SI_QUEUE || info->si_pid != getpid())) {
        hand_on(signo, info, context);
        errno = errno_before;
        return;
    }
    if (is_question || (thread != NULL && thread->recover == NULL && is_asked_here(here)))
        answer_question(thread, here, info, context);
    if (thread != NULL && is_question)
        weft__restart(context, &(struct weft__waits_in){.number = -1}, 0, &thread->left);
    else if (thread != NULL)
        interrupted(thread, here, info->si_value.sival_ptr, is_timer, info, context);
    errno = errno_before;
}

static void interrupt(struct weft__carrier *carrier, const void *why)
{
    struct fault_thread *thread = atomic_load_explicit(&carrier->faults, memory_order_acquire);

    if (thread != NULL)
        interrupt_thread(thread->tid, why);
}

void weft__fault_interrupt(struct weft__carrier *carrier, struct weft__proc *proc)
{
    interrupt(carrier, proc);
}

static void ask(struct weft__carrier *carrier)
{
    interrupt(carrier, NULL);
}

const struct weft__sched_hooks weft__fault_hooks = {
    .thread_begins = thread_begins, .thread_ends = thread_ends, .runs_long = runs_long, .blocks = blocks,
    .tick = weft__disown_tick, .ask = ask};

/* -- install and restore ------------------------------------------------------------------------ */

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 &&
           (action->sa_sigaction == on_fault || action->sa_sigaction == on_interrupt);
}

int weft__faults_install(uint32_t max_per_second)
{
    faults.max_per_second = max_per_second;
    for (size_t i = 0; i < N_SIGNALS; i++) {
        struct sigaction action = {.sa_sigaction = signals[i] == WEFT__INTERRUPT ? on_interrupt : on_fault,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};

        if (faults.is_installed[i])
            continue; /* left behind another's: see restore */
        sigemptyset(&action.sa_mask);
        /* The next one may be there before this one has returned, where all is
         * slow (traced, or on a busy machine): they would pile up. */
        if (signals[i] == WEFT__INTERRUPT)
            sigaddset(&action.sa_mask, WEFT__INTERRUPT);
        if (sigaction(signals[i], &action, &faults.before[i]) != 0) {
            int failed = errno;

            weft__faults_restore();
            return -failed;
        }
        faults.is_installed[i] = true;
    }
    faults.is_on = true;
    return 0;
}

void weft__faults_restore(void)
{
    faults.is_on = false;
    for (size_t i = 0; i < N_SIGNALS; i++) {
        struct sigaction now;

        /* One that was set meanwhile may lead to ours: it stays, and hands on. */
        if (!faults.is_installed[i] || sigaction(signals[i], NULL, &now) != 0 || !is_ours(&now))
            continue;
        (void)sigaction(signals[i], &faults.before[i], NULL);
        faults.is_installed[i] = false;
    }
}

/* Signals of the operating system: who hears them, and what is left behind. */
#include "services/os_signal.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counts.h"
#include "proc/process_test.h"

static _Atomic int n_handled;

static void count_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&n_handled, 1);
}

/* The program's own handler, as before any subscription. */
static void set_own_handler(int signo)
{
    struct sigaction action = {.sa_handler = count_signal};

    check_int(sigaction(signo, &action, NULL), 0);
}

static bool has_own_handler(int signo)
{
    struct sigaction now;

    check_int(sigaction(signo, NULL, &now), 0);
    return now.sa_handler == count_signal;
}

/* The keeper hears of an ended subscriber a little later than we do. */
static void await_own_handler(int signo)
{
    int64_t until = now_ms() + BOUND_MS;

    while (!has_own_handler(signo) && now_ms() < until)
        weft_yield();
    check(has_own_handler(signo));
}

#if defined(WEFT_TSAN)
/* TSan holds a signal back until its thread makes a call that TSan knows to
 * block; weft's threads wait in the kernel without its knowledge. So one that
 * sleeps in such a call takes the signals. */
static pthread_t taker;
static _Atomic int has_taker;

static void *take_signals(void *arg)
{
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    for (;;)
        usleep(1000);
    return arg;
}

static void raise_here(int signo)
{
    if (atomic_exchange(&has_taker, 1) == 0)
        check_int(pthread_create(&taker, NULL, take_signals, NULL), 0);
    check_int(pthread_kill(taker, signo), 0);
}
#else
static void raise_here(int signo)
{
    check_int(kill(getpid(), signo), 0);
}
#endif

static weft_term signal_of(int signo)
{
    return weft_tuple(A(signal), weft_os_signal_name(signo));
}

static weft_term do_subscribe(weft_term signo)
{
    return weft_int(weft_os_signal_subscribe((int)weft_to_int(signo)));
}

static weft_term do_unsubscribe(weft_term signo)
{
    return weft_int(weft_os_signal_unsubscribe((int)weft_to_int(signo)));
}

static weft_pid subscriber_start(int signo)
{
    weft_pid puppet = puppet_start();

    check_term(ask(puppet, do_subscribe, weft_int(signo)), weft_int(0));
    return puppet;
}

/* -- messages ----------------------------------------------------------------------- */

PROCESS_TEST(a_signal_becomes_a_message)
{
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    raise_here(SIGUSR1);
    expect_message(weft_tuple(A(signal), A(sigusr1)));
    raise_here(SIGUSR1);
    expect_message(weft_tuple(A(signal), A(sigusr1)));
}

PROCESS_TEST(every_signal_on_the_list_can_be_had)
{
    int n = 0;

    for (int signo = 1; signo < 32; signo++) {
        if (weft_is_none(weft_os_signal_name(signo)))
            continue;
        check_int(weft_os_signal_subscribe(signo), 0);
        raise_here(signo);
        expect_message(signal_of(signo));
        n++;
    }
    check_int(n, 20);
}

PROCESS_TEST(every_subscriber_is_told)
{
    weft_pid puppets[5];

    for (size_t i = 0; i < COUNT(puppets); i++)
        puppets[i] = subscriber_start(SIGUSR2);
    raise_here(SIGUSR2);
    for (size_t i = 0; i < COUNT(puppets); i++)
        check_term(ask(puppets[i], do_await, signal_of(SIGUSR2)), signal_of(SIGUSR2));
}

PROCESS_TEST(subscribing_twice_is_as_once)
{
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    raise_here(SIGUSR1);
    expect_message(signal_of(SIGUSR1));
    expect_no_message(signal_of(SIGUSR1));
    check_int(weft_os_signal_unsubscribe(SIGUSR1), 0);
    check_int(weft_os_signal_unsubscribe(SIGUSR1), WEFT_ENOENT);
}

PROCESS_TEST(nothing_of_a_subscription_is_left_in_the_mailbox)
{
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    check_int(weft_os_signal_unsubscribe(SIGUSR1), 0);
    expect_no_message(weft_any);
}

static void *guest(void *arg)
{
    weft_term message;

    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    raise_here(SIGUSR1);
    check(weft_receive(weft_tuple(A(signal), A(sigusr1)), BOUND_MS, &message));
    check_int(weft_os_signal_unsubscribe(SIGUSR1), 0);
    return arg;
}

TEST(a_thread_that_is_a_guest_can_subscribe)
{
    struct weft_runtime_options options = {WEFT_RUNTIME_DEFAULTS};
    pthread_t thread;

    options.workers = 2;
    if (!runtime_up(&options))
        return;
    pthread_create(&thread, NULL, guest, NULL);
    pthread_join(thread, NULL);
    runtime_down();
}

/* -- dispositions ---------------------------------------------------------------------- */

PROCESS_TEST(the_handler_of_the_program_is_back_after_the_last_subscriber)
{
    weft_pid other;

    set_own_handler(SIGUSR1);
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    other = subscriber_start(SIGUSR1);
    check(!has_own_handler(SIGUSR1));
    check_int(weft_os_signal_unsubscribe(SIGUSR1), 0);
    check(!has_own_handler(SIGUSR1));
    check_term(ask(other, do_unsubscribe, weft_int(SIGUSR1)), weft_int(0));
    check(has_own_handler(SIGUSR1));
    raise_here(SIGUSR1);
    await_count(&n_handled, 1);
    expect_no_message(weft_any);
}

PROCESS_TEST(a_subscription_ends_with_its_process)
{
    weft_pid puppet;

    set_own_handler(SIGUSR1);
    puppet = subscriber_start(SIGUSR1);
    puppet_stop(puppet);
    await_own_handler(SIGUSR1);
}

PROCESS_TEST(a_subscription_ends_with_a_killed_process)
{
    weft_pid puppet;

    set_own_handler(SIGUSR1);
    puppet = subscriber_start(SIGUSR1);
    check_int(weft_os_signal_subscribe(SIGUSR2), 0);
    weft_kill(puppet);
    await_end(puppet);
    await_own_handler(SIGUSR1);
    raise_here(SIGUSR2);
    expect_message(signal_of(SIGUSR2));
}

PROCESS_TEST(a_handler_that_the_program_set_meanwhile_stays)
{
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    set_own_handler(SIGUSR1);
    check_int(weft_os_signal_unsubscribe(SIGUSR1), 0);
    check(has_own_handler(SIGUSR1));
}

PROCESS_TEST(dispositions_are_restored_when_the_keeper_is_killed)
{
    set_own_handler(SIGUSR1);
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    weft_kill(weft_whereis(WEFT_ATOM("weft.os_signals")));
    await_own_handler(SIGUSR1);
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    raise_here(SIGUSR1);
    expect_message(signal_of(SIGUSR1));
}

static weft_term subscribe_and_return(weft_term arg)
{
    (void)arg;
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    raise_here(SIGUSR1);
    expect_message(signal_of(SIGUSR1));
    return A(ok);
}

/* Threads of the program with that name; the mask of signals the last one blocks. */
static int threads_named(const char *name, uint64_t *blocked)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *task;
    int n = 0;

    while ((task = readdir(folder)) != NULL) {
        char path[300], line[128];
        FILE *file;
        bool is_it = false;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        file = task->d_name[0] != '.' ? fopen(path, "r") : NULL;
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            unsigned long long mask;

            line[strcspn(line, "\n")] = '\0';
            if (strncmp(line, "Name:\t", 6) == 0)
                n += is_it = strcmp(line + 6, name) == 0;
            if (is_it && sscanf(line, "SigBlk: %llx", &mask) == 1)
                *blocked = mask;
        }
        if (file != NULL)
            fclose(file);
    }
    closedir(folder);
    return n;
}

/* The kernel lists a thread for a moment after it was joined. */
static void check_no_thread_left(void)
{
    int64_t until = now_ms() + BOUND_MS;
    uint64_t blocked;

    while (threads_named("weft-signals", &blocked) > 0 && now_ms() < until)
        sched_yield();
    check_int(threads_named("weft-signals", &blocked), 0);
}

TEST(nothing_is_left_when_the_runtime_has_stopped)
{
    int before = 0;

    set_own_handler(SIGUSR1);
    for (int i = 0; i < scaled(20); i++) {
        run_in_runtime(subscribe_and_return, .workers = 2);
        check(has_own_handler(SIGUSR1));
        check_no_thread_left();
        if (i == 0)
            before = count_files();
    }
    check_files(before);
}

PROCESS_TEST(one_thread_watches_and_takes_no_signals)
{
    uint64_t blocked = 0;
    int64_t until = now_ms() + BOUND_MS;

    check_int(threads_named("weft-signals", &blocked), 0);
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    check_int(weft_os_signal_subscribe(SIGTERM), 0);
    while (threads_named("weft-signals", &blocked) == 0 && now_ms() < until)
        weft_yield();
    check_int(threads_named("weft-signals", &blocked), 1);
    for (int signo = 1; signo < 32; signo++)
        if (!weft_is_none(weft_os_signal_name(signo)))
            check(blocked >> (signo - 1) & 1);
}

/* -- refusals ------------------------------------------------------------------------------ */

PROCESS_TEST(signals_that_cannot_be_had_are_refused)
{
    static const struct { int signo, code; const char *words; } refused[] = {
        {SIGKILL, WEFT_EPERM, "the kernel hands this signal to nobody"},
        {SIGSTOP, WEFT_EPERM, "the kernel hands this signal to nobody"},
        {SIGSEGV, WEFT_ENOTSUP, "a fault of the code that runs"}, {SIGBUS, WEFT_ENOTSUP, "a fault"},
        {SIGFPE, WEFT_ENOTSUP, "a fault"}, {SIGILL, WEFT_ENOTSUP, "a fault"}, {SIGTRAP, WEFT_ENOTSUP, "a fault"},
        {SIGSYS, WEFT_ENOTSUP, "a fault"}, {SIGABRT, WEFT_ENOTSUP, "abort()"}, {SIGURG, WEFT_ENOTSUP, "weft itself"},
        {34, WEFT_ENOTSUP, "no real-time ones"}, {0, WEFT_EINVAL, "no signal has this number"},
        {-1, WEFT_EINVAL, "no signal"}, {1000, WEFT_EINVAL, "no signal"},
    };

    for (size_t i = 0; i < COUNT(refused); i++) {
        check_int(weft_os_signal_subscribe(refused[i].signo), refused[i].code);
        check_int(weft_os_signal_unsubscribe(refused[i].signo), refused[i].code);
        check_has(weft_os_signal_refusal(refused[i].signo), refused[i].words);
        check(weft_is_none(weft_os_signal_name(refused[i].signo)));
    }
    check(weft_os_signal_refusal(SIGINT) == NULL);
}

TEST(without_a_runtime_nothing_can_be_subscribed_to)
{
    check_int(weft_os_signal_subscribe(SIGUSR1), WEFT_ESTOPPED);
    weft__os_signals_stop();
}

/* -- acts in place of messages ------------------------------------------------------------------ */

static _Atomic int n_acts;
static _Atomic uint64_t acts_for; /* pid bits */

static void wakes_a_process(int signo)
{
    atomic_fetch_add(&n_acts, 1);
    weft_try_send(weft__term(atomic_load(&acts_for)), weft_tuple(A(act), weft_int(signo)));
}

PROCESS_TEST(a_signal_that_nobody_wants_can_be_acted_on_without_a_process)
{
    atomic_store(&acts_for, weft_self().bits);
    check_int(weft__os_signal_act(SIGTERM, wakes_a_process), 0);
    check_int(weft__os_signal_act(SIGKILL, wakes_a_process), WEFT_EPERM);
    raise_here(SIGTERM);
    expect_message(weft_tuple(A(act), weft_int(SIGTERM)));
    check_int(atomic_load(&n_acts), 1);
}

PROCESS_TEST(a_subscriber_has_a_signal_that_is_acted_on_meanwhile)
{
    atomic_store(&acts_for, weft_self().bits);
    check_int(weft__os_signal_act(SIGTERM, wakes_a_process), 0);
    check_int(weft_os_signal_subscribe(SIGTERM), 0);
    raise_here(SIGTERM);
    expect_message(signal_of(SIGTERM));
    check_int(atomic_load(&n_acts), 0);
    check_int(weft_os_signal_unsubscribe(SIGTERM), 0);
    raise_here(SIGTERM);
    expect_message(weft_tuple(A(act), weft_int(SIGTERM)));
}

static weft_term makes_it_the_last(weft_term arg)
{
    check_int(weft__os_signal_act(SIGTERM, wakes_a_process), 0);
    weft__os_signal_is_last(SIGTERM);
    check_int(weft_os_signal_subscribe(SIGTERM), 0);
    raise_here(SIGTERM);
    expect_message(signal_of(SIGTERM)); /* it is the subscriber's */
    check_int(weft_os_signal_unsubscribe(SIGTERM), 0);
    raise_here(SIGTERM);
    weft_receive(A(never), WEFT_INFINITY, NULL);
    return arg;
}

static void ends_by_its_last_signal(void *arg)
{
    (void)arg;
    run_in_runtime(makes_it_the_last, .workers = 1);
}

TEST(the_last_signal_ends_the_program_at_once)
{
    struct tap_outcome outcome;

    tap_run(ends_by_its_last_signal, NULL, 0, &outcome);
    check(WIFEXITED(outcome.status));
    check_int(WEXITSTATUS(outcome.status), 128 + SIGTERM);
    check_has(outcome.output, "ends at once");
}

/* -- fork, storms --------------------------------------------------------------------------------- */

/* How a child of a fork ends that gets the signal. */
static int status_of_child(int signo)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        raise(signo);
        _exit(7);
    }
    check_int(waitpid(child, &status, 0), child);
    return status;
}

PROCESS_TEST(in_the_child_of_a_fork_a_signal_is_what_it_was_before)
{
    int status;

#if defined(WEFT_TSAN)
    skip("the thread sanitizer calls no handlers in the child of a fork");
#endif
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    status = status_of_child(SIGUSR1);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    signal(SIGUSR2, SIG_IGN);
    check_int(weft_os_signal_subscribe(SIGUSR2), 0);
    status = status_of_child(SIGUSR2);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    expect_no_message(signal_of(SIGUSR1));
    expect_no_message(signal_of(SIGUSR2));
}

static _Atomic int is_over;

static void *send_signals(void *arg)
{
    while (!atomic_load(&is_over)) {
        raise_here(SIGUSR1);
        usleep(10);
    }
    return arg;
}

PROCESS_TEST(subscribers_come_and_go_in_a_storm_of_signals)
{
    pthread_t threads[2];

    set_own_handler(SIGUSR1);
    raise_here(SIGUSR1);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_create(&threads[i], NULL, send_signals, NULL);
    for (int i = 0; i < scaled(100); i++) {
        WEFT_SCOPE;
        weft_pid puppet = subscriber_start(SIGUSR1);

        check_term(ask(puppet, do_await, signal_of(SIGUSR1)), signal_of(SIGUSR1));
        if (i % 2 == 0)
            check_term(ask(puppet, do_unsubscribe, weft_int(SIGUSR1)), weft_int(0));
        weft_kill(puppet);
        await_end(puppet);
    }
    atomic_store(&is_over, 1);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    await_own_handler(SIGUSR1);
}

/* dump_test.c - weft_dump: what it says of processes that wait, run, are gone. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/process_test.h"
#include "weft/gen_server.h"
#include "weft/info.h"
#include "weft/os_signal.h"
#include "weft/timer.h"

/* -- reading it ---------------------------------------------------------------- */

/* The text of a dump, NUL-terminated, in memory of the caller's; and how it went. */
static char *dump_text(int *code)
{
    char path[] = "/tmp/weft-dump-XXXXXX";
    int fd = mkstemp(path);
    size_t size;
    char *text;

    unlink(path);
    *code = weft_dump(fd);
    size = (size_t)lseek(fd, 0, SEEK_END);
    text = malloc(size + 1);
    if (pread(fd, text, size, 0) != (ssize_t)size)
        diag("the file with the dump cannot be read");
    text[size] = 0;
    close(fd);
    return text;
}

/* What a dump says of one process: its line and its frames; "" for nothing. */
static const char *dumped(weft_pid pid)
{
    static _Thread_local char said[4096]; /* not read across a switch */
    char begin[64];
    size_t n;
    int code;
    char *text, *at;

    weft_inspect_to(begin, sizeof begin - 1, pid);
    n = strlen(begin);
    text = dump_text(&code);
    check_int(code, 0);
    for (at = text; (at = strstr(at, begin)) != NULL; at++)
        if ((at == text || at[-1] == '\n') && (at[n] == ' ' || at[n] == ':'))
            break;
    said[0] = 0;
    if (at != NULL) {
        char *end = at;

        do
            end += strcspn(end, "\n") + 1;
        while (strncmp(end, "    ", 4) == 0);
        snprintf(said, sizeof said, "%.*s", (int)(end - at), at);
    }
    free(text);
    return said;
}

/* Until it waits, and has looked at n messages. */
static void await_waiting_with(weft_pid pid, int n)
{
    int64_t until = now_ms() + BOUND_MS;

    for (bool is_waiting = false; !is_waiting && check_lt(now_ms(), until); weft_yield()) {
        WEFT_SCOPE;

        is_waiting = weft_match_term(weft_process_info(pid, weft_list(A(status), A(message_queue_len))),
                                     weft_list(weft_tuple(A(status), A(waiting)),
                                               weft_tuple(A(message_queue_len), weft_int(n))));
    }
}

/* -- what waits ------------------------------------------------------------------ */

__attribute__((noinline)) static weft_term waits_in_a_function_of_its_own(weft_term arg)
{
    weft_term message;

    weft_receive(A(go_on), WEFT_INFINITY, &message);
    __asm__ volatile("" ::: "memory"); /* no tail call: it stays on the stack */
    return arg;
}

static weft_term waiter(weft_term arg)
{
    weft_set_label("who \n waits");
    weft_try_register(A(the_waiter), weft_self());
    arg = waits_in_a_function_of_its_own(arg);
    __asm__ volatile("" ::: "memory");
    return arg;
}

PROCESS_TEST(a_dump_shows_a_process_that_waits_with_its_stack_and_what_it_waits_in)
{
    weft_pid pid = weft_spawn(waiter, weft_none);
    const char *said;

    weft_send(pid, A(first));
    weft_send(pid, A(second));
    await_waiting_with(pid, 2);
    said = dumped(pid);
    check_has(said, ":the_waiter \"who   waits\" waiter: waits for ");
    check_has(said, " in ");
    check_has(said, "receive, for a message;");
    check_has(said, "; 2 messages, ");
    check_has(said, " on its stack of ");
    check_has(said, "  waits_in_a_function_of_its_own+");
    check_has(said, "  waiter+");
    weft_send(pid, A(go_on));
    await_end(pid);
    check_str(dumped(pid), "");
}

static weft_term sleeper(weft_term arg)
{
    weft_sleep(3600000);
    return arg;
}

PROCESS_TEST(a_dump_tells_a_sleep_from_a_wait_for_messages)
{
    weft_pid pid = weft_spawn(sleeper, weft_none);
    const char *said;

    await_waiting(pid);
    said = dumped(pid);
    check_has(said, " in weft_sleep, with a time-out;");
    weft_kill(pid);
    await_end(pid);
}

static bool handles(void *state, weft_term message)
{
    (void)state;
    return !weft_eq(message, A(stop));
}

PROCESS_TEST(a_dump_shows_a_handler_which_has_no_stack)
{
    weft_pid pid = weft_spawn_handler(handles, NULL, .label = "a handler");
    const char *said = dumped(pid);

    check_has(said, "\"a handler\" handles: waits for ");
    check_has(said, ", for a message; 0 messages, ");
    check(strchr(said, '\n') != NULL && strchr(said, '\n')[1] == 0);
    weft_send(pid, A(stop));
    await_end(pid);
}

static weft_term waits_long(weft_term arg)
{
    weft_receive(A(go_on), WEFT_INFINITY, NULL);
    return arg;
}

PROCESS_TEST(a_dump_says_since_when_a_process_waits)
{
    weft_pid pid = weft_spawn(waits_long, weft_none);
    int64_t begin_ms;

    await_waiting(pid);
    /* The clock it goes by is late by up to a tenth of a second, never early. */
    begin_ms = now_ms();
    while (strstr(dumped(pid), "waits for 0.0") != NULL && now_ms() < begin_ms + BOUND_MS)
        weft_yield();
    check(strstr(dumped(pid), "waits for ") != NULL);
    weft_send(pid, A(go_on));
    await_end(pid);
}

static weft_init_result silent_init(weft_term arg)
{
    (void)arg;
    return weft_init_ok(NULL);
}

static weft_result never_answers(void *state, weft_term request, weft_from from)
{
    (void)state;
    (void)request;
    (void)from;
    return weft_noreply();
}

static const weft_gen_server silent_server = {.init = silent_init, .handle_call = never_answers};

static weft_term asks(weft_term server)
{
    /* More bonds than one list holds. */
    for (int i = 0; i < 20; i++)
        weft_monitor(server);
    return weft_gen_server_call(server, A(question), WEFT_INFINITY);
}

PROCESS_TEST(a_dump_says_whose_answer_a_process_waits_for)
{
    weft_started server = weft_gen_server_start_link(&silent_server, weft_int(0));
    weft_pid pid = weft_spawn(asks, server.pid);
    char want[80];

    await_waiting(pid);
    snprintf(want, sizeof want, " in weft_gen_server_call, for an answer of %s; 0 messages, ", weft_inspect(server.pid));
    check_has(dumped(pid), want);
    weft_kill(pid);
    await_end(pid);
    weft_gen_server_stop(server.pid, A(normal), WEFT_INFINITY);
}

/* -- what runs --------------------------------------------------------------------- */

static _Atomic int n_spinning, n_to_go;

/* One of two workers may spin, whatever the machine has, and keeps it. */
static void run_on_two(weft_fn *body)
{
    setenv("HWLOC_SYNTHETIC", "pack:1 core:2 pu:1", 1);
    run_in_runtime(body, .workers = 2, .max_hogs = 0);
}

static weft_term spins(weft_term arg)
{
    atomic_fetch_add(&n_spinning, 1);
    while (atomic_load(&n_to_go) == 0)
        ;
    return arg;
}

/* Its stack shows that function. It is of this moment, and may not be had when the
 * thread has no core for long: so look again. */
static void check_runs_in(weft_pid pid, const char *function)
{
    int64_t until = now_ms() + BOUND_MS;
    char want[64];

    snprintf(want, sizeof want, "  %s+", function);
#if !defined(WEFT_TSAN) /* which holds signals back */
    const char *said;

    while (strstr(said = dumped(pid), want) == NULL && now_ms() < until)
        ;
    check_has(said, want);
#else
    (void)pid, (void)until;
#endif
}

static weft_term two_spin(weft_term arg)
{
    weft_pid pid = weft_spawn(spins, weft_none);

    await_count(&n_spinning, 1);
    check_has(dumped(pid), " spins: runs on worker ");
    check_runs_in(pid, "spins");
    check_has(dumped(weft_self()), " two_spin: runs on worker ");
    check_runs_in(weft_self(), "two_spin");
    atomic_store(&n_to_go, 1);
    await_end(pid);
    return arg;
}

TEST(a_dump_says_on_which_worker_a_process_runs)
{
    run_on_two(two_spin);
}

static _Atomic int n_blocked;
static int pipe_fds[2];

__attribute__((noinline)) static void *reads_in_c(void *arg)
{
    char byte;

    atomic_fetch_add(&n_blocked, 1);
    /* Not read(): before that stands a sanitizer's own, with a large frame. */
    check_int(syscall(SYS_read, pipe_fds[0], &byte, 1), 1);
    return arg;
}

__attribute__((noinline)) static weft_term blocks(weft_term arg)
{
    weft_blocking(reads_in_c, NULL);
    __asm__ volatile("" ::: "memory");
    return arg;
}

PROCESS_TEST(a_dump_shows_the_stack_of_one_that_blocks_in_c)
{
    int64_t until = now_ms() + BOUND_MS;
    weft_pid pid;
    const char *said;

    check_int(pipe(pipe_fds), 0);
    pid = weft_spawn(blocks, weft_none);
    await_count(&n_blocked, 1);
    /* Until it is in the kernel. */
    while (strstr(said = dumped(pid), "  reads_in_c+") == NULL && now_ms() < until)
        usleep(1000);
    check_has(said, " blocks: runs in weft_blocking, ");
    check_has(said, "  reads_in_c+");
    check_has(said, "  blocks+");
    check_has(said, " on its stack of ");
    check_int(write(pipe_fds[1], "x", 1), 1);
    await_end(pid);
}

static weft_term sends_to_one_that_spins(weft_term arg)
{
    weft_pid pid = weft_spawn(spins, weft_none);

    await_count(&n_spinning, 1);
    for (int i = 0; i < 3; i++)
        weft_send(pid, weft_int(i));
    check_has(dumped(pid), "; 0 messages and 3 not looked at");
    for (int i = 0; i < 97; i++)
        weft_send(pid, weft_int(i)); /* several to a message */
    check_has(dumped(pid), "; 0 messages and 100 not looked at");
    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;
        weft_send(pid, weft_tuple(weft_int(i)));
    }
    check_has(dumped(pid), "; 0 messages and at least 256 not looked at");
    atomic_store(&n_to_go, 1);
    await_end(pid);
    return arg;
}

TEST(a_dump_counts_the_messages_that_a_process_has_not_looked_at)
{
    run_on_two(sends_to_one_that_spins);
}

static weft_term spins_alone(weft_term arg)
{
    weft_spawn(waits_long, weft_none);
    weft_yield();
    return spins(arg);
}

static weft_term spins_beside_others(weft_term arg)
{
    weft_pid pid = weft_spawn(spins, weft_none);
    int64_t until = now_ms() + BOUND_MS;

    /* It is on the only worker, which this one then needs. */
    await_count(&n_spinning, 1);
    while (strstr(dumped(pid), " spins: runs on a thread of its own") == NULL && check_lt(now_ms(), until))
        weft_yield();
    check_runs_in(pid, "spins");
    atomic_store(&n_to_go, 1);
    await_end(pid);
    return arg;
}

TEST(a_dump_shows_a_process_whose_worker_was_taken_away)
{
#if defined(WEFT_TSAN)
    skip("TSan delivers a signal when its thread next waits, so who computes does not give its worker away");
#endif
    run_in_runtime(spins_beside_others, .workers = 1, .max_hogs = 256);
}

static void *dumps_from_outside(void *arg)
{
    int code;
    char *text;

    (void)arg;
    spin_until(&n_spinning, 1);
    text = dump_text(&code);
    check_int(code, 0);
    check_has(text, " spins_alone: runs on worker 0");
    check_has(text, " waits_long: ");
    free(text);
    atomic_store(&n_to_go, 1);
    return NULL;
}

TEST(a_foreign_thread_dumps_while_the_only_worker_is_held)
{
    pthread_t thread;

    check_int(pthread_create(&thread, NULL, dumps_from_outside, NULL), 0);
    run_in_runtime(spins_alone, .workers = 1, .max_hogs = 0);
    pthread_join(thread, NULL);
}

/* -- while others come and go ---------------------------------------------------------- */

static _Atomic int is_over;

static weft_term short_life(weft_term arg)
{
    weft_set_label("short");
    weft_receive(A(never), 0, NULL);
    weft_list(arg, arg, arg);
    return arg;
}

static weft_term churns(weft_term arg)
{
    while (atomic_load(&is_over) == 0) {
        WEFT_SCOPE;
        weft_ref down;

        weft_spawn(short_life, weft_int(1), .monitor = &down);
        weft_receive(weft_tuple(A(DOWN), down, A(process), weft_any, weft_any), WEFT_INFINITY, NULL);
    }
    return arg;
}

static weft_term dumps_often(weft_term arg)
{
    enum { N = 8 };
    weft_ref downs[N];

    for (int i = 0; i < N; i++)
        weft_spawn(churns, weft_none, .monitor = &downs[i]);
    for (int i = 0; i < scaled(300); i++) {
        int code;
        char *text = dump_text(&code);

        check_int(code, 0);
        check_has(text, "churns: ");
        free(text);
        weft_yield();
    }
    atomic_store(&is_over, 1);
    for (int i = 0; i < N; i++)
        await_down(downs[i]);
    return arg;
}

TEST(dumps_go_on_while_processes_begin_and_end)
{
    run_in_runtime(dumps_often, .workers = 4, .max_hogs = 0);
}

/* -- where the system lets the program read no memory --------------------------------------- */

/* From now on these calls of the system fail with EPERM, in threads to come too. */
static void refuse(uint32_t call, uint32_t other)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {COUNT(code), code};

    check_int(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    check_int(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static weft_term is_seen_waiting(weft_term arg)
{
    weft_pid pid = weft_spawn(waiter, weft_none);
    const char *said;

    await_waiting(pid);
    said = dumped(pid);
    check_has(said, ":the_waiter \"who   waits\" waiter: waits for ");
    check_has(said, "  waits_in_a_function_of_its_own+");
    weft_send(pid, A(go_on));
    await_end(pid);
    return arg;
}

TEST(a_dump_shows_all_where_the_call_that_reads_memory_is_refused)
{
    refuse(SYS_process_vm_readv, SYS_process_vm_readv);
    run_in_runtime(is_seen_waiting, .workers = test_workers());
}

static weft_term is_not_seen(weft_term arg)
{
    weft_pid pid = weft_spawn(waiter, weft_none);

    await_waiting(pid);
    check_has(dumped(pid), ": cannot be seen, as the system ");
    check(strstr(dumped(pid), "messages") == NULL);
    weft_send(pid, A(go_on));
    await_end(pid);
    return arg;
}

TEST(a_dump_says_of_whom_it_can_see_nothing)
{
    refuse(SYS_process_vm_readv, SYS_pipe2);
    run_in_runtime(is_not_seen, .workers = test_workers());
}

/* -- errors ------------------------------------------------------------------------------ */

PROCESS_TEST(a_dump_to_a_descriptor_that_cannot_be_written_says_why)
{
    int fds[2];

    check_int(weft_dump(-1), -EBADF);
    check_int(pipe(fds), 0);
    close(fds[0]);
    signal(SIGPIPE, SIG_IGN);
    check_int(weft_dump(fds[1]), -EPIPE);
    close(fds[1]);
}

TEST(a_dump_without_a_runtime_says_so)
{
    check_int(weft_dump(STDERR_FILENO), WEFT_ESTOPPED);
}

/* -- at a signal --------------------------------------------------------------------------- */

static void await_text(int fd, const char *want, char *text, size_t size)
{
    size_t n = 0;
    ssize_t more;

    text[0] = 0;
    while (strstr(text, want) == NULL && n + 1 < size && (more = read(fd, text + n, size - 1 - n)) > 0) {
        n += (size_t)more;
        text[n] = 0;
    }
    check_has(text, want);
}

/* Standard error of this program is a pipe from now on: its other end. */
static int catch_standard_error(int *before)
{
    int fds[2];

    check_int(pipe(fds), 0);
    *before = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    return fds[0];
}

static void *quits_while_it_spins(void *arg)
{
    int fd = *(int *)arg;
    char text[4096];

    spin_until(&n_spinning, 1);
    kill(getpid(), SIGQUIT);
    await_text(fd, " spins_alone_and_dumps: runs on worker 0", text, sizeof text);
    atomic_store(&n_to_go, 1);
    return NULL;
}

static weft_term spins_alone_and_dumps(weft_term arg)
{
    check_int(weft_os_signal_dump(SIGQUIT), 0);
    return spins(arg);
}

TEST(a_signal_dumps_while_the_only_worker_is_held_and_the_program_goes_on)
{
    struct sigaction first, last;
    pthread_t thread;
    int before, fd = catch_standard_error(&before);

    check_int(sigaction(SIGQUIT, NULL, &first), 0);
    check_int(pthread_create(&thread, NULL, quits_while_it_spins, &fd), 0);
    run_in_runtime(spins_alone_and_dumps, .workers = 1, .max_hogs = 0);
    pthread_join(thread, NULL);
    dup2(before, STDERR_FILENO);
    check_int(sigaction(SIGQUIT, NULL, &last), 0);
    check(last.sa_handler == first.sa_handler);
}

static weft_term subscriber(weft_term arg)
{
    int before, fd = catch_standard_error(&before);
    char text[4096];

    (void)arg;
    check_int(weft_os_signal_dump(SIGUSR1), 0);
    check_int(weft_os_signal_subscribe(SIGUSR1), 0);
    kill(getpid(), SIGUSR1);
    expect_message(weft_tuple(A(signal), A(sigusr1)));
    check_int(weft_os_signal_unsubscribe(SIGUSR1), 0);
    kill(getpid(), SIGUSR1);
    await_text(fd, " subscriber: ", text, sizeof text);
    check_has(text, "weft: ");
    dup2(before, STDERR_FILENO);
    return A(ok);
}

TEST(a_signal_that_dumps_is_a_subscribers_meanwhile)
{
    run_in_runtime(subscriber, .workers = 2);
}

PROCESS_TEST(a_signal_that_cannot_be_taken_does_not_dump)
{
    check_int(weft_os_signal_dump(SIGKILL), WEFT_EPERM);
    check_int(weft_os_signal_dump(SIGSEGV), WEFT_ENOTSUP);
    check_int(weft_os_signal_dump(0), WEFT_EINVAL);
}

/* stress_chaos.c - a tree of a thousand servers, whose processes are killed and
 * crashed at random while clients ask them: in the end all is there again, every
 * server answers, and when the tree stops nothing of it is left.
 *
 * WEFT_TEST_CHAOS_MS: for how long (2000).  WEFT_SEED: of what is drawn. */
#include <stdlib.h>

#include "base/rand.h"
#include "proc/process_test.h"
#include "weft/dynamic_supervisor.h"
#include "weft/gen_server.h"
#include "weft/log.h"
#include "weft/supervisor.h"
#include "weft/timer.h"

#if defined(WEFT_TSAN)
enum { N_GROUPS = 3, N_IN_GROUP = 10, N_DYNAMIC = 70 };
#else
enum { N_GROUPS = 10, N_IN_GROUP = 20, N_DYNAMIC = 800 };
#endif
enum { N_SERVERS = N_GROUPS * N_IN_GROUP + N_DYNAMIC, N_CLIENTS = 8, N_MONKEYS = 3 };

static _Atomic uint64_t servers[N_SERVERS]; /* bits of the newest pid of each */
static _Atomic int is_over, n_alive, n_started;
static _Atomic uint64_t n_answers, n_failures, n_ends[5];

static int64_t chaos_ms(void)
{
    const char *text = getenv("WEFT_TEST_CHAOS_MS");

    return text != NULL ? atoll(text) : 2000;
}

static uint64_t seed;

static void set_seed(void)
{
    const char *text = getenv("WEFT_SEED");

    seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)now_ns();
    diag("seed %llu", (unsigned long long)seed);
}

/* -- a server that counts itself ---------------------------------------------------- */

static void goes(void *arg)
{
    (void)arg;
    n_alive--;
}

static weft_init_result server_init(weft_term number)
{
    n_alive++;
    n_started++;
    weft_defer(goes, NULL);
    if (weft_to_int(number) % 3 == 0)
        weft_trap_exit(true);
    return weft_init_ok(NULL);
}

static weft_result server_call(void *state, weft_term request, weft_from from)
{
    (void)state, (void)from;
    return weft_reply(request);
}

static weft_result server_cast(void *state, weft_term what)
{
    (void)state;
    if (weft_eq(what, A(exit)))
        weft_exit(A(chaos));
    if (weft_eq(what, A(error)))
        weft_error(A(chaos));
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)
    if (weft_eq(what, A(fault)))
        *(volatile int *)0 = 1;
#endif
    return weft_stop(A(chaos));
}

static const weft_gen_server server = {.init = server_init, .handle_call = server_call, .handle_cast = server_cast};

static weft_started server_start_link(weft_term number)
{
    weft_started started = weft_gen_server_start_link(&server, number);

    if (started.ok)
        servers[weft_to_int(number)] = started.pid.bits;
    return started;
}

static weft_child_spec server_child(int number)
{
    return weft_child(.id = weft_int(number), .start = server_start_link, .arg = weft_int(number));
}

/* -- the tree ---------------------------------------------------------------------------- */

static weft_started group_start_link(weft_term group)
{
    int first = (int)weft_to_int(group) * N_IN_GROUP;
    weft_child_spec children[N_IN_GROUP];

    for (int i = 0; i < N_IN_GROUP; i++)
        children[i] = server_child(first + i);
    return weft_supervisor_start_link(children, N_IN_GROUP,
                                      .strategy = (enum weft_strategy)(WEFT_ONE_FOR_ONE + first / N_IN_GROUP % 3),
                                      .max_restarts = 1000000000);
}

static weft_started tree_start_link(void)
{
    weft_child_spec children[N_GROUPS + 1];

    for (int i = 0; i < N_GROUPS; i++)
        children[i] = weft_child(.id = weft_int(i), .start = group_start_link, .arg = weft_int(i), .type = WEFT_SUPERVISOR);
    children[N_GROUPS] = weft_dynamic_supervisor_child(.name = A(dynamic), .max_restarts = 1000000000);
    return weft_supervisor_start_link(children, N_GROUPS + 1, .strategy = WEFT_ONE_FOR_ONE, .max_restarts = 1000000000);
}

/* -- who asks, and who breaks --------------------------------------------------------------- */

static weft_term asks(weft_term number)
{
    struct weft__rand rand;

    weft__rand_init(&rand, seed, (uint64_t)weft_to_int(number));
    while (!is_over) {
        WEFT_SCOPE;
        weft_term answer;

        if (weft_gen_server_try_call(weft__term(servers[weft__rand_below(&rand, N_SERVERS)]), number, 1000, &answer))
            n_answers++;
        else
            n_failures++;
    }
    return A(ok);
}

static void break_one(struct weft__rand *rand)
{
    weft_pid pid = weft__term(servers[weft__rand_below(rand, N_SERVERS)]);
    uint32_t how = weft__rand_below(rand, 5);

    switch (how) {
    case 0: weft_kill(pid); break;
    case 1: weft_exit_signal(pid, A(chaos)); break;
    case 2: weft_gen_server_cast(pid, A(exit)); break;
    case 3: weft_gen_server_cast(pid, A(error)); break;
    default: weft_gen_server_cast(pid, A(fault)); break;
    }
    n_ends[how]++;
}

static weft_term breaks(weft_term number)
{
    struct weft__rand rand;

    weft__rand_init(&rand, seed, 1000 + (uint64_t)weft_to_int(number));
    while (!is_over) {
        WEFT_SCOPE;

        break_one(&rand);
        if (weft__rand_below(&rand, 8) == 0)
            weft_sleep(1);
        else
            weft_yield();
    }
    return A(ok);
}

/* -- the test -------------------------------------------------------------------------------- */

/* Every supervisor has dealt with what had come to it: it answers behind it. */
static void settle_tree(weft_pid tree)
{
    weft_list_each (line, weft_supervisor_which_children(tree)) {
        WEFT_SCOPE;

        weft_supervisor_which_children(weft_tuple_at(line, 1));
    }
}

static int n_up(void)
{
    int n = 0;

    for (int i = 0; i < N_SERVERS; i++) {
        WEFT_SCOPE;
        weft_term answer;

        n += weft_gen_server_try_call(weft__term(servers[i]), weft_int(i), BOUND_MS, &answer) &&
             weft_eq(answer, weft_int(i));
    }
    return n;
}

static void run_chaos(void)
{
    weft_ref downs[N_CLIENTS + N_MONKEYS];

    for (int i = 0; i < N_CLIENTS + N_MONKEYS; i++)
        weft_spawn(i < N_CLIENTS ? asks : breaks, weft_int(i), .monitor = &downs[i]);
    weft_sleep(chaos_ms());
    is_over = 1;
    for (int i = 0; i < N_CLIENTS + N_MONKEYS; i++)
        await_down(downs[i]);
}

static size_t n_processes(void)
{
    return weft_list_size(weft_processes());
}

PROCESS_TEST_WITH(a_tree_heals_whatever_is_killed_in_it_and_leaves_nothing, .deadline_s = 300)
{
    size_t before = n_processes();
    weft_pid tree;
    int up = 0;

    weft_log_set_level(WEFT_LOG_NONE);
    set_seed();
    tree = weft_must(tree_start_link());
    for (int i = N_GROUPS * N_IN_GROUP; i < N_SERVERS; i++)
        check(weft_dynamic_supervisor_start_child(A(dynamic), server_child(i)).ok);
    check_int(n_alive, N_SERVERS);
    run_chaos();
    /* What was still on its way arrives; then all are there. */
    for (int64_t until = now_ms() + BOUND_MS; up != N_SERVERS && now_ms() < until;) {
        settle_tree(tree);
        up = n_up();
    }
    check_int(up, N_SERVERS);
    check_int(n_alive, N_SERVERS);
    diag("%d started; %llu killed, %llu told to exit, %llu exits, %llu errors, %llu faults; %llu answers, %llu calls of the dead",
         n_started, (unsigned long long)n_ends[0], (unsigned long long)n_ends[1], (unsigned long long)n_ends[2],
         (unsigned long long)n_ends[3], (unsigned long long)n_ends[4], (unsigned long long)n_answers,
         (unsigned long long)n_failures);
    weft_supervisor_stop(tree, A(normal), WEFT_INFINITY);
    check_int(n_alive, 0);
    check_int(n_processes(), before);
}

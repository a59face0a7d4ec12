/* guest_test.c - threads that weft did not make, and become guest processes at
 * their first use of it. */
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>

#include "proc/process_test.h"

/* -- foreign threads ---------------------------------------------------------------------- */

struct foreign {
    pthread_t thread;
    void (*run)(struct foreign *foreign);
    weft_pid test; /* the test's process */
    int number;
    _Atomic int is_past; /* 1 when run returned */
};

static void *foreign_main(void *arg)
{
    struct foreign *foreign = arg;

    foreign->run(foreign);
    atomic_store(&foreign->is_past, 1);
    return NULL;
}

static void foreign_start(struct foreign *foreign, void (*run)(struct foreign *foreign), int number)
{
    memset(foreign, 0, sizeof *foreign);
    foreign->run = run;
    foreign->test = weft_self();
    foreign->number = number;
    check_int(pthread_create(&foreign->thread, NULL, foreign_main, foreign), 0);
}

static void *join(void *arg)
{
    struct foreign *foreign = arg;

    pthread_join(foreign->thread, NULL);
    return NULL;
}

/* In a process: other processes go on meanwhile. */
static void foreign_join(struct foreign *foreign)
{
    weft_blocking(join, foreign);
}

/* Run one thread to its end. */
static void run_foreign(void (*run)(struct foreign *foreign))
{
    struct foreign foreign;

    foreign_start(&foreign, run, 0);
    foreign_join(&foreign);
}

/* Tell the test who this thread is, and wait until it says :go. */
static void meet(struct foreign *foreign)
{
    weft_send(foreign->test, weft_tuple(A(guest), weft_self()));
    expect_message(A(go));
}

static weft_pid expect_guest(void)
{
    weft_pid guest = weft_none;

    expect_message(weft_tuple(A(guest), weft_bind_pid(&guest)));
    return guest;
}

/* -- what a guest can do -------------------------------------------------------------------- */

static void knows_itself(struct foreign *foreign)
{
    weft_pid self = weft_self();

    check(weft_is_pid(self));
    check(!weft_eq(self, foreign->test));
    check_term(weft_self(), self);
    check(weft_is_alive(self));
    check(weft_is_alive(foreign->test));
    check(is_listed(weft_processes(), self));
}

PROCESS_TEST(a_foreign_thread_becomes_a_process_at_its_first_use) { run_foreign(knows_itself); }

static void asks_a_puppet(struct foreign *foreign)
{
    weft_pid puppet = puppet_start();

    (void)foreign;
    for (int i = 0; i < 1000; i++) {
        WEFT_SCOPE;
        weft_term value = weft_tuple(weft_int(i), weft_str("a text that takes some memory"));

        if (!check_term(ask(puppet, do_nothing, value), value))
            return;
    }
    puppet_stop(puppet);
}

PROCESS_TEST(a_guest_spawns_sends_receives_and_monitors) { run_foreign(asks_a_puppet); }

static void receives_selectively(struct foreign *foreign)
{
    (void)foreign;
    for (int i = 0; i < 10; i++)
        weft_send(weft_self(), weft_int(i));
    expect_message(weft_int(5));
    check(!weft_receive(weft_int(5), 0, NULL));
    check_uint(weft_message_queue_len(), 9);
    for (int i = 0; i < 10; i++)
        if (i != 5)
            check_term(expect_message(weft_any), weft_int(i));
    for (int i = 0; i < 10; i++)
        weft_send(weft_self(), weft_int(i));
    weft_receive_each (message)
        if (weft_to_int(message) == 9)
            break;
    check_uint(weft_message_queue_len(), 0);
}

PROCESS_TEST(a_guest_receives_selectively, "PROC-54") { run_foreign(receives_selectively); }

static void times_out(struct foreign *foreign)
{
    (void)foreign;
    for (int64_t ms = 0; ms <= 30; ms += 5) {
        int64_t began = now_ns();

        check(!weft_receive(A(never), ms, NULL));
        check_ge(now_ns() - began, ms * 1000000);
        began = now_ns();
        weft_sleep(ms);
        check_ge(now_ns() - began, ms * 1000000);
    }
    weft_yield();
    weft_checkpoint();
}

PROCESS_TEST(a_guest_times_out_and_sleeps_and_never_early, "PROC-56") { run_foreign(times_out); }

static void traps_and_links(struct foreign *foreign)
{
    weft_pid puppet = puppet_start();

    (void)foreign;
    check(!weft_trap_exit(true));
    weft_link(puppet);
    tell(puppet, do_exit, A(boom));
    expect_message(weft_tuple(A(EXIT), puppet, A(boom)));
    weft_link(puppet);
    expect_message(weft_tuple(A(EXIT), puppet, A(noproc)));
    puppet = weft_spawn(ends_with, A(boom), .link = true);
    expect_message(weft_tuple(A(EXIT), puppet, A(boom)));
}

PROCESS_TEST(a_guest_traps_exits_and_links, "PROC-5 PROC-10 PROC-24") { run_foreign(traps_and_links); }

static void uses_aliases_and_dictionary(struct foreign *foreign)
{
    weft_pid puppet = puppet_start();
    weft_ref alias = weft_alias(true);

    (void)foreign;
    ask(puppet, do_send, weft_tuple(alias, A(first)));
    ask(puppet, do_send, weft_tuple(alias, A(second)));
    expect_message(A(first));
    expect_no_message(weft_any);
    check(weft_is_none(weft_dict_put(A(key), weft_int(1))));
    check_term(weft_dict_get(A(key), weft_none), weft_int(1));
    check_int(weft_try_send(A(nobody_is_called_this), A(hello)), WEFT_ENOPROC);
    check_int(weft_try_send(weft_int(1), A(hello)), WEFT_EINVAL);
    puppet_stop(puppet);
}

PROCESS_TEST(a_guest_has_aliases_and_a_dictionary, "PROC-42 PROC-69")
{
    run_foreign(uses_aliases_and_dictionary);
}

static void *returns_its_argument(void *arg)
{
    return arg;
}

static void blocks(struct foreign *foreign)
{
    check_ptr(weft_blocking(returns_its_argument, foreign), foreign);
}

PROCESS_TEST(a_blocking_call_in_a_guest_is_a_plain_one) { run_foreign(blocks); }

/* -- what others see of it ------------------------------------------------------------------- */

static void meets(struct foreign *foreign)
{
    meet(foreign);
}

PROCESS_TEST(a_guest_ends_normally_with_its_thread, "PROC-30")
{
    struct foreign foreign;
    weft_pid guest;
    weft_ref down;

    foreign_start(&foreign, meets, 0);
    guest = expect_guest();
    down = weft_monitor(guest);
    check(weft_is_alive(guest));
    weft_send(guest, A(go));
    check_term(await_down(down), A(normal));
    check(!weft_is_alive(guest));
    check_term(await_down(weft_monitor(guest)), A(noproc));
    foreign_join(&foreign);
}

PROCESS_TEST(a_guest_that_ends_signals_its_links, "PROC-9 PROC-27")
{
    struct foreign foreign;
    weft_pid guest;

    weft_trap_exit(true);
    foreign_start(&foreign, meets, 0);
    guest = expect_guest();
    weft_link(guest);
    weft_send(guest, A(go));
    expect_message(weft_tuple(A(EXIT), guest, A(normal)));
    foreign_join(&foreign);
}

static void has_a_name(struct foreign *foreign)
{
    weft_register(A(a_guest), weft_self());
    meet(foreign);
}

PROCESS_TEST(a_guest_has_a_name_which_is_free_when_it_ended, "PROC-46 PROC-47")
{
    struct foreign foreign;
    weft_pid guest;
    weft_ref down;

    foreign_start(&foreign, has_a_name, 0);
    guest = expect_guest();
    check_term(weft_whereis(A(a_guest)), guest);
    down = weft_monitor(A(a_guest));
    weft_send(A(a_guest), A(go));
    check_term(await_down(down), A(normal));
    check(weft_is_none(weft_whereis(A(a_guest))));
    foreign_join(&foreign);
}

PROCESS_TEST(a_guest_that_waits_is_woken_by_a_message)
{
    struct foreign foreign;

    for (int i = 0; i < 100; i++) {
        foreign_start(&foreign, meets, i);
        /* Sometimes before it waits, sometimes after. */
        if (i % 2 == 0)
            weft_sleep(1);
        weft_send(expect_guest(), A(go));
        foreign_join(&foreign);
        check_int(atomic_load(&foreign.is_past), 1);
    }
}

static void waits_in_vain(struct foreign *foreign)
{
    weft_send(foreign->test, weft_tuple(A(guest), weft_self()));
    weft_receive(A(never), WEFT_INFINITY, NULL);
}

PROCESS_TEST(a_guest_that_waits_is_ended_by_a_kill, "PROC-14 PROC-19")
{
    struct foreign foreign;
    weft_pid guest;
    weft_ref down;

    foreign_start(&foreign, waits_in_vain, 0);
    guest = expect_guest();
    down = weft_monitor(guest);
    weft_kill(guest);
    check(!weft_is_alive(guest));
    check_term(await_down(down), A(killed));
    foreign_join(&foreign); /* the thread is gone */
    check_int(atomic_load(&foreign.is_past), 0);
}

static void exits(struct foreign *foreign)
{
    meet(foreign);
    weft_exit(A(boom));
}

static void crashes(struct foreign *foreign)
{
    meet(foreign);
    weft_error(A(boom));
}

static void makes_a_mistake(struct foreign *foreign)
{
    meet(foreign);
    weft_receive(weft_any, -1, NULL);
}

PROCESS_TEST(an_exit_in_a_guest_ends_the_thread_with_the_reason, "PROC-4")
{
    struct foreign foreign;
    weft_pid guest;
    weft_ref down;

    foreign_start(&foreign, exits, 0);
    guest = expect_guest();
    down = weft_monitor(guest);
    weft_send(guest, A(go));
    check_term(await_down(down), A(boom));
    foreign_join(&foreign);
    check_int(atomic_load(&foreign.is_past), 0);
}

/* What is reported has no stack: a foreign thread's cannot be walked. */
PROCESS_TEST(a_guest_that_crashes_is_reported_and_ends_alone, "PROC-4")
{
    struct foreign foreign;
    weft_pid guest;
    weft_ref down;

    foreign_start(&foreign, crashes, 0);
    guest = expect_guest();
    down = weft_monitor(guest);
    weft_send(guest, A(go));
    check_fits(await_down(down), weft_tuple(A(boom), weft_any));
    foreign_join(&foreign);
    check_int(atomic_load(&foreign.is_past), 0);
}

PROCESS_TEST(a_mistake_in_a_guest_ends_the_thread_with_badarg)
{
    struct foreign foreign;
    weft_pid guest;
    weft_ref down;

    foreign_start(&foreign, makes_a_mistake, 0);
    guest = expect_guest();
    down = weft_monitor(guest);
    weft_send(guest, A(go));
    check_fits(await_down(down), weft_tuple(A(badarg), weft_any));
    foreign_join(&foreign);
    check_int(atomic_load(&foreign.is_past), 0);
}

/* -- what it owns ------------------------------------------------------------------------------- */

static _Atomic int n_deferred, n_destroyed;
static void counts_a_defer(void *arg) { (void)arg, atomic_fetch_add(&n_deferred, 1); }
static void counts_destroyed(void *object) { free(object), atomic_fetch_add(&n_destroyed, 1); }
static const weft_native_type counted_type = { .name = "counted", .destroy = counts_destroyed };

static void owns_things(struct foreign *foreign)
{
    memset(weft_alloc(100000), 1, 100000);
    weft_defer(counts_a_defer, NULL);
    weft_keep(weft_tuple(weft_native(&counted_type, malloc(1))));
    weft_dict_put(A(key), weft_native(&counted_type, malloc(1)));
    weft_send(weft_self(), weft_native(&counted_type, malloc(1)));
    if (foreign->number == 1)
        weft_exit(A(boom));
}

PROCESS_TEST(what_a_guest_owned_is_given_back_with_its_thread, "PROC-18")
{
    struct foreign foreign;

    for (int i = 0; i < 2; i++) {
        foreign_start(&foreign, owns_things, i);
        foreign_join(&foreign);
        await_count(&n_deferred, i + 1);
        await_count(&n_destroyed, 3 * (i + 1));
    }
}

/* -- many ------------------------------------------------------------------------------------------ */

static void asks_the_server(struct foreign *foreign)
{
    weft_pid server = weft_whereis(A(the_server));

    for (int i = 0; i < scaled(200); i++) {
        WEFT_SCOPE;
        weft_term value = weft_tuple(weft_int(foreign->number), weft_int(i));

        if (!check_term(ask(server, do_nothing, value), value))
            return;
    }
}

PROCESS_TEST(many_threads_are_guests_at_once)
{
    enum { N = 50 };
    static struct foreign threads[N];
    weft_pid server = puppet_start();

    weft_register(A(the_server), server);
    for (int i = 0; i < N; i++)
        foreign_start(&threads[i], asks_the_server, i);
    for (int i = 0; i < N; i++) {
        foreign_join(&threads[i]);
        check_int(atomic_load(&threads[i].is_past), 1);
    }
    check_term(info_of(server, A(monitored_by)), weft_empty_list);
}

enum { REFS = 500 };
static weft_ref refs[8][REFS];

static void makes_references(struct foreign *foreign)
{
    for (int i = 0; i < REFS; i++)
        refs[foreign->number][i] = i % 2 == 0 ? weft_make_ref() : weft_monitor(A(nobody_is_called_this));
}

static int compare_refs(const void *a, const void *b)
{
    const weft_ref *x = a, *y = b;

    return (x->bits > y->bits) - (x->bits < y->bits);
}

PROCESS_TEST(no_two_threads_make_the_same_reference, "PROC-30")
{
    static struct foreign threads[8];
    weft_ref *all = &refs[0][0];

    for (int i = 0; i < 8; i++)
        foreign_start(&threads[i], makes_references, i);
    for (int i = 0; i < 8; i++)
        foreign_join(&threads[i]);
    qsort(all, 8 * REFS, sizeof *all, compare_refs);
    for (int i = 1; i < 8 * REFS; i++)
        if (!check(all[i - 1].bits != all[i].bits))
            return;
}

static void tells_who_it_is(struct foreign *foreign)
{
    weft_send(foreign->test, weft_tuple(A(guest), weft_self()));
}

PROCESS_TEST(each_thread_is_a_new_process_and_leaves_no_trace, "PROC-2")
{
    int n = scaled(300);
    weft_pid *pids = weft_alloc((size_t)n * sizeof *pids);
    size_t before = weft_list_size(weft_processes());
    struct foreign foreign;

    for (int i = 0; i < n; i++) {
        foreign_start(&foreign, tells_who_it_is, i);
        pids[i] = expect_guest();
        foreign_join(&foreign);
        await_end(pids[i]);
        for (int j = 0; j < i; j++)
            if (!check(!weft_eq(pids[j], pids[i])))
                return;
    }
    check_uint(weft_list_size(weft_processes()), before);
}

static weft_term sends_to_whom_it_may_concern(weft_term arg)
{
    weft_pid to = weft_tuple_at(arg, 0);

    for (int64_t n = weft_to_int(weft_tuple_at(arg, 1)); n > 0; n--)
        weft_send(to, weft_tuple(A(late), weft_native(&counted_type, malloc(1))));
    return A(ok);
}

static int n_sent;

static weft_term sends_to_ending_guests(weft_term arg)
{
    enum { EACH = 20 };
    int n = scaled(200);

    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        struct foreign foreign;
        weft_pid guest;

        foreign_start(&foreign, meets, i);
        guest = expect_guest();
        weft_spawn(sends_to_whom_it_may_concern, weft_tuple(guest, weft_int(EACH)));
        if (i % 2 == 0)
            weft_yield();
        weft_send(guest, A(go));
        foreign_join(&foreign);
    }
    n_sent = n * EACH;
    return weft_is_none(arg) ? A(ok) : arg;
}

TEST(messages_to_a_guest_that_ends_meanwhile_are_given_back, "PROC-18 PROC-48")
{
    run_in_runtime(sends_to_ending_guests, .workers = test_workers());
    check_int(atomic_load(&n_destroyed), n_sent);
}

/* -- guests and the runtime ---------------------------------------------------------------------------- */

TEST(the_main_thread_may_be_a_guest)
{
    weft_pid puppet;

    check(weft_is_none(weft_self()));
    if (check_int(weft_runtime_start(.workers = 2), 0)) {
        check(weft_is_pid(weft_self()));
        puppet = puppet_start();
        check_term(ask(puppet, do_nothing, weft_int(1)), weft_int(1));
        runtime_down();
        check(weft_is_none(weft_self()));
    }
}

TEST(a_guest_of_one_runtime_is_another_process_in_the_next, "PROC-2")
{
    weft_pid pids[20];

    for (size_t i = 0; i < COUNT(pids); i++) {
        if (!check_int(weft_runtime_start(.workers = 2), 0))
            return;
        pids[i] = weft_self();
        check(weft_is_alive(pids[i]));
        check(!weft_receive(weft_any, 0, NULL));
        weft_send(weft_self(), A(not_for_the_next));
        check(weft_is_none(weft_dict_put(A(key), weft_int(1))));
        runtime_down();
        check_int(weft_try_send(pids[i], A(hello)), WEFT_ESTOPPED);
    }
}

static void uses_weft_without_a_runtime(struct foreign *foreign)
{
    char *block = weft_alloc(1000);

    (void)foreign;
    check(weft_is_none(weft_self()));
    check_int(block[999], 0);
    memset(block, 1, 1000);
    check_term(weft_tuple(weft_int(1), weft_str("text")), weft_tuple(weft_int(1), weft_str("text")));
    check_int(weft_try_send(weft_int(1), A(hello)), WEFT_ESTOPPED);
    check(weft_is_none(weft_whereis(A(somebody))));
}

TEST(a_thread_without_a_runtime_has_terms_and_memory)
{
    struct foreign foreign = { .run = uses_weft_without_a_runtime };

    check_int(pthread_create(&foreign.thread, NULL, foreign_main, &foreign), 0);
    pthread_join(foreign.thread, NULL);
    check_int(atomic_load(&foreign.is_past), 1);
}

static void main_exits(void *arg)
{
    (void)arg;
    weft_runtime_start(.workers = 2);
    weft_exit(A(the_main_thread_gave_up));
}

TEST(an_exit_in_the_main_thread_ends_the_program_with_status_1)
{
    struct tap_outcome outcome;

    tap_run(main_exits, NULL, 0, &outcome);
    check(WIFEXITED(outcome.status));
    check_int(WEXITSTATUS(outcome.status), 1);
    check_has(outcome.output, "the_main_thread_gave_up");
}

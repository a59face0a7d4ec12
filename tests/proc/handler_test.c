/* handler_test.c - callback processes: called once for each message, without a
 * stack in between. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/process_test.h"

struct counter {
    int64_t n;
    char text[100];
};

/* {from, :add, n} adds and answers with the sum; :stop ends. */
static bool counts(void *state, weft_term message)
{
    struct counter *counter = state;
    weft_pid from = weft_none;
    int64_t n = 0;

    if (weft_eq(message, A(stop)))
        return false;
    if (weft_match(message, weft_tuple(weft_bind_pid(&from), A(add), weft_bind_int(&n)))) {
        counter->n += n;
        weft_send(from, weft_tuple(A(sum), weft_self(), weft_int(counter->n)));
    }
    return true;
}

static int64_t add(weft_pid handler, int64_t n)
{
    WEFT_SCOPE;
    int64_t sum = -1;

    weft_send(handler, weft_tuple(weft_self(), A(add), weft_int(n)));
    expect_message(weft_tuple(A(sum), handler, weft_bind_int(&sum)));
    return sum;
}

PROCESS_TEST(a_handler_is_called_for_each_message_with_its_state)
{
    struct counter *counter = weft_new(struct counter);
    weft_pid handler = weft_spawn_handler(counts, counter);

    check_int(add(handler, 1), 1);
    check_int(add(handler, 2), 3);
    weft_send(handler, A(something_else));
    check_int(add(handler, 4), 7);
    check_int(counter->n, 7); /* the pointer itself was handed over */
}

PROCESS_TEST(a_state_with_a_size_is_copied)
{
    struct counter counter = { .n = 10, .text = "copied" };
    weft_pid handler = weft_spawn_handler(counts, &counter, .state_size = sizeof counter);
    weft_pid second = weft_spawn_handler(counts, &counter, .state_size = sizeof counter);

    counter.n = 1000;
    check_int(add(handler, 1), 11);
    check_int(add(handler, 1), 12);
    check_int(add(second, 1), 11);
    check_int(counter.n, 1000);
}

static bool checks_its_state(void *state, weft_term from)
{
    unsigned char *bytes = state;
    bool same = (uintptr_t)bytes % 16 == 0;

    for (size_t i = 0; i < 3000; i++)
        same = same && bytes[i] == (unsigned char)i;
    weft_send(from, weft_bool(same));
    return true;
}

PROCESS_TEST(a_state_of_any_size_is_copied_whole_and_aligned)
{
    unsigned char bytes[3000];
    weft_pid handler;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    handler = weft_spawn_handler(checks_its_state, bytes, .state_size = sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    weft_send(handler, weft_self());
    expect_message(A(true));
}

PROCESS_TEST(a_handler_that_returns_false_ends_with_normal, "PROC-3")
{
    struct counter counter = { .n = 0 };
    weft_ref down;
    weft_pid handler = weft_spawn_handler(counts, &counter, .state_size = sizeof counter, .monitor = &down);

    weft_send(handler, A(stop));
    weft_send(handler, weft_tuple(weft_self(), A(add), weft_int(1))); /* never handled */
    check_term(await_down(down), A(normal));
    expect_no_message(weft_any);
}

static bool gives_its_messages_to(void *state, weft_term message)
{
    weft_pid to = { *(uint64_t *)state };

    weft_send(to, weft_tuple(weft_self(), message));
    return true;
}

PROCESS_TEST(a_handler_gets_its_messages_in_order, "PROC-52")
{
    weft_pid self = weft_self();
    weft_pid handler = weft_spawn_handler(gives_its_messages_to, &self, .state_size = sizeof self);
    int n = scaled(20000);

    for (int i = 0; i < n; i++)
        weft_send(handler, weft_int(i));
    for (int i = 0; i < n; i++) {
        WEFT_SCOPE;
        if (!check_term(expect_message(weft_any), weft_tuple(handler, weft_int(i))))
            return;
    }
}

/* What happens to it depends on the message. */
static bool does_what_it_is_told(void *state, weft_term message)
{
    weft_term reason = weft_none;

    (void)state;
    if (weft_match(message, weft_tuple(A(exit), weft_bind(&reason))))
        weft_exit(reason);
    if (weft_match(message, weft_tuple(A(error), weft_bind(&reason))))
        weft_error(reason);
    if (weft_eq(message, A(trap)))
        weft_trap_exit(true);
    if (weft_match(message, weft_tuple(A(EXIT), weft_any, weft_bind(&reason))))
        weft_exit(weft_tuple(A(told), reason));
    if (weft_eq(message, A(sleep)))
        weft_sleep(3600000);
    if (weft_eq(message, A(receive)))
        weft_receive(A(never), WEFT_INFINITY, NULL);
    return true;
}

static void await_info(weft_pid pid, weft_atom item, weft_term value)
{
    int64_t until = now_ms() + BOUND_MS;

    while (!weft_eq(info_of(pid, item), value) && now_ms() < until)
        weft_yield();
    check_term(info_of(pid, item), value);
}

static weft_term ends_when_told(weft_term message, weft_term signal)
{
    weft_ref down;
    weft_pid handler = weft_spawn_handler(does_what_it_is_told, NULL, .monitor = &down);

    if (!weft_is_none(message))
        weft_send(handler, message);
    if (!weft_is_none(signal)) {
        await_info(handler, A(message_queue_len), weft_int(0));
        if (!weft_is_none(message) && weft_eq(message, A(trap)))
            await_info(handler, A(trap_exit), A(true));
        weft_exit_signal(handler, signal);
    }
    return await_down(down);
}

PROCESS_TEST(a_handler_ends_as_any_process_does, "PROC-4 PROC-14 PROC-15 PROC-19")
{
    check_term(ends_when_told(weft_tuple(A(exit), A(boom)), weft_none), A(boom));
    check_fits(ends_when_told(weft_tuple(A(error), A(boom)), weft_none), weft_tuple(A(boom), weft_any));
    check_term(ends_when_told(weft_none, A(boom)), A(boom));
    check_term(ends_when_told(weft_none, A(kill)), A(killed));
    check_term(ends_when_told(A(sleep), A(boom)), A(boom));
    check_term(ends_when_told(A(sleep), A(kill)), A(killed));
    check_term(ends_when_told(A(receive), A(boom)), A(boom));
    check_term(ends_when_told(A(receive), A(kill)), A(killed));
    check_term(ends_when_told(A(trap), A(boom)), weft_tuple(A(told), A(boom)));
    check_term(ends_when_told(A(trap), A(kill)), A(killed));
}

PROCESS_TEST(a_handler_can_be_linked_from_the_start, "PROC-5")
{
    weft_pid handler;

    weft_trap_exit(true);
    handler = weft_spawn_handler(does_what_it_is_told, NULL, .link = true);
    weft_send(handler, weft_tuple(A(exit), A(boom)));
    expect_message(weft_tuple(A(EXIT), handler, A(boom)));
}

/* -- a callback that parks ------------------------------------------------------------------------- */

static _Atomic int n_moved;

/* {from, n}: receives n messages {:part, i} inside the callback, adds them up
 * and answers. */
static bool parks_inside(void *state, weft_term message)
{
    struct counter *counter = state;
    weft_pid from = weft_none;
    int64_t n = 0, sum = 0;
    char local[200];
    long thread = syscall(SYS_gettid);

    if (!weft_match(message, weft_tuple(weft_bind_pid(&from), weft_bind_int(&n))))
        return true;
    memset(local, 'l', sizeof local);
    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;
        int64_t part = 0;

        expect_message(weft_tuple(A(part), weft_bind_int(&part)));
        sum += part;
    }
    for (size_t i = 0; i < sizeof local; i++)
        if (local[i] != 'l')
            sum = -1;
    if (syscall(SYS_gettid) != thread)
        atomic_fetch_add(&n_moved, 1);
    counter->n += sum;
    /* The message it was called with is still there. */
    check_fits(message, weft_tuple(from, weft_int(n)));
    weft_send(from, weft_tuple(A(sum), weft_self(), weft_int(counter->n)));
    return true;
}

PROCESS_TEST(a_handler_may_park_inside_its_callback)
{
    struct counter counter = { .n = 0 };
    weft_pid handler = weft_spawn_handler(parks_inside, &counter, .state_size = sizeof counter);

    for (int round = 1; round <= 3; round++) {
        weft_send(handler, weft_tuple(weft_self(), weft_int(10)));
        weft_send(handler, A(not_for_the_receive_inside));
        for (int i = 0; i < 10; i++)
            weft_send(handler, weft_tuple(A(part), weft_int(i)));
        expect_message(weft_tuple(A(sum), handler, weft_int(45 * round)));
    }
}

PROCESS_TEST(a_thousand_handlers_park_inside_their_callbacks_at_once)
{
    int n = scaled(1000);
    struct counter counter = { .n = 0 };
    weft_pid *handlers = weft_alloc((size_t)n * sizeof *handlers);

    for (int i = 0; i < n; i++) {
        handlers[i] = weft_spawn_handler(parks_inside, &counter, .state_size = sizeof counter);
        weft_send(handlers[i], weft_tuple(weft_self(), weft_int(3)));
    }
    for (int part = 1; part <= 3; part++)
        for (int i = n - 1; i >= 0; i--)
            weft_send(handlers[i], weft_tuple(A(part), weft_int(part * i)));
    for (int i = 0; i < n; i++)
        expect_message(weft_tuple(A(sum), handlers[i], weft_int(6 * i)));
    diag("%d of %d went on on another kernel thread", atomic_load(&n_moved), n);

    /* Back on the hot stack, each is as good as before. */
    for (int i = 0; i < n; i++)
        weft_send(handlers[i], weft_tuple(weft_self(), weft_int(0)));
    for (int i = 0; i < n; i++)
        expect_message(weft_tuple(A(sum), handlers[i], weft_int(6 * i)));
}

PROCESS_TEST(a_thousand_handlers_that_wait_hold_no_stack)
{
    int n = scaled(1000);
    struct counter counter = { .n = 0 };
    weft_pid *handlers = weft_alloc((size_t)n * sizeof *handlers);

    for (int i = 0; i < n; i++)
        handlers[i] = weft_spawn_handler(counts, &counter, .state_size = sizeof counter);
    for (int round = 1; round <= 3; round++)
        for (int i = 0; i < n; i++)
            if (!check_int(add(handlers[i], i), (int64_t)round * i))
                return;
    /* A control block and its state: far from a page of stack. */
    check_lt(weft_to_int(info_of(handlers[0], A(memory))), 4096);
    for (int i = 0; i < n; i++)
        weft_kill(handlers[i]);
    for (int i = 0; i < n; i++)
        await_end(handlers[i]);
}

/* Asks the next one and adds its own; the last answers. */
struct link {
    weft_pid next;
    int64_t number;
};

static bool asks_the_next(void *state, weft_term message)
{
    struct link *link = state;
    weft_pid from = weft_none;
    weft_ref ref = weft_none;
    int64_t sum = 0;

    if (!weft_match(message, weft_tuple(weft_bind_pid(&from), weft_bind(&ref))))
        return true;
    if (!weft_is_none(link->next)) {
        weft_ref own = weft_make_ref();

        weft_send(link->next, weft_tuple(weft_self(), own));
        expect_message(weft_tuple(own, weft_bind_int(&sum)));
    }
    weft_send(from, weft_tuple(ref, weft_int(sum + link->number)));
    return true;
}

PROCESS_TEST(handlers_that_ask_each_other_in_a_chain_all_answer)
{
    enum { N = 200 };
    struct link link = { .next = weft_none };

    for (int64_t i = 1; i <= N; i++) {
        link.number = i;
        link.next = weft_spawn_handler(asks_the_next, &link, .state_size = sizeof link);
    }
    for (int round = 0; round < scaled(100); round++) {
        WEFT_SCOPE;
        weft_ref ref = weft_make_ref();

        weft_send(link.next, weft_tuple(weft_self(), ref));
        expect_message(weft_tuple(ref, weft_int(N * (N + 1) / 2)));
    }
}

/* -- memory -------------------------------------------------------------------------------------------- */

static _Atomic int n_destroyed, n_deferred;
static void counts_destroyed(void *object) { free(object), atomic_fetch_add(&n_destroyed, 1); }
static void counts_a_defer(void *arg) { (void)arg, atomic_fetch_add(&n_deferred, 1); }
static const weft_native_type counted_type = { .name = "counted", .destroy = counts_destroyed };

static bool makes_objects(void *state, weft_term message)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        weft_tuple(weft_native(&counted_type, malloc(1)), message);
    return true;
}

PROCESS_TEST(terms_of_a_callback_are_given_back_at_its_end)
{
    weft_pid handler = weft_spawn_handler(makes_objects, NULL);

    for (int i = 1; i <= 100; i++) {
        weft_send(handler, weft_native(&counted_type, malloc(1)));
        /* Ten of the callback; ours goes with our scope, at the end. */
        await_count(&n_destroyed, 10 * i);
    }
    check(weft_is_alive(handler));
}

static bool owns_something(void *state, weft_term message)
{
    struct counter *counter = state;

    if (counter->n++ == 0) {
        weft_defer(counts_a_defer, NULL);
        weft_keep(weft_native(&counted_type, malloc(1)));
        memset(weft_alloc(10000), 1, 10000);
        weft_send(message, A(begun));
    }
    return !weft_eq(message, A(stop));
}

PROCESS_TEST(what_a_handler_owns_is_given_back_however_it_ends, "PROC-18")
{
    const weft_term signals[] = { weft_none, A(boom), A(kill) };
    struct counter counter = { .n = 0 };

    for (int i = 0; i < 3; i++) {
        weft_ref down;
        weft_pid handler = weft_spawn_handler(owns_something, &counter, .state_size = sizeof counter,
                                              .monitor = &down);

        weft_send(handler, weft_self());
        expect_message(A(begun));
        weft_send(handler, weft_is_none(signals[i]) ? A(stop) : A(go_on));
        if (!weft_is_none(signals[i]))
            weft_exit_signal(handler, signals[i]);
        await_down(down);
        await_count(&n_deferred, i + 1);
        await_count(&n_destroyed, i + 1);
    }
}

/* poll_test.c - waiters on pipes and sockets, and what becomes of them when
 * descriptors are closed, reused and duplicated behind the poller's back. */
#include "sched/poll.h"

#include "base/clock.h"
#include "tap.h"
#include "weft/error.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct counted {
    struct weft__poll_waiter waiter;
    _Atomic int n_fired;
    _Atomic unsigned events;
};

static void on_fire(struct weft__poll_waiter *waiter, unsigned events)
{
    struct counted *counted = (struct counted *)(void *)waiter;

    atomic_store(&counted->events, events);
    atomic_fetch_add(&counted->n_fired, 1);
}

static struct counted waiter_for(int fd, unsigned events)
{
    return (struct counted){.waiter = {.fd = fd, .events = events, .fire = on_fire}};
}

static struct weft__poll *poll_start(void)
{
    struct weft__poll *poll = NULL;

    check_int(weft__poll_new(&poll), 0);
    return poll;
}

static void make_pipe(int fds[2])
{
    check_int(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void put_byte(int fd)
{
    check_int(write(fd, "x", 1), 1);
}

static void make_pair(int fds[2])
{
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

/* Poll until it has fired, or a second is over. */
static void poll_until_fired(struct weft__poll *poll, struct counted *counted)
{
    int64_t until = weft__clock_ns() + WEFT__NS_PER_S;

    while (atomic_load(&counted->n_fired) == 0 && weft__clock_ns() < until)
        weft__poll_wait(poll, 10 * WEFT__NS_PER_MS);
}

TEST(a_waiter_fires_once_when_data_comes)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted counted;

    make_pipe(fds);
    counted = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &counted.waiter), 0);
    check_uint(weft__poll_n_waiting(poll), 1);
    check_int(weft__poll_wait(poll, 0), 0);
    put_byte(fds[1]);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_uint(counted.events, WEFT__POLL_READ);
    check_uint(weft__poll_n_waiting(poll), 0);
    check_int(weft__poll_wait(poll, 0), 0);
    check_int(counted.n_fired, 1);
    weft__poll_free(poll);
}

TEST(what_is_ready_already_fires_at_the_next_wait)
{
    struct weft__poll *poll = poll_start();
    int fds[2];

    make_pipe(fds);
    put_byte(fds[1]);
    for (int i = 0; i < 3; i++) {
        struct counted counted = waiter_for(fds[0], WEFT__POLL_READ);

        check_int(weft__poll_add(poll, &counted.waiter), 0);
        check_int(weft__poll_wait(poll, 0), 1);
    }
    weft__poll_free(poll);
}

TEST(a_reader_and_a_writer_of_one_descriptor_fire_apart)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted reader, writer;

    make_pair(fds);
    reader = waiter_for(fds[0], WEFT__POLL_READ);
    writer = waiter_for(fds[0], WEFT__POLL_WRITE);
    check_int(weft__poll_add(poll, &reader.waiter), 0);
    check_int(weft__poll_add(poll, &writer.waiter), 0);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_int(writer.n_fired, 1);
    check_int(reader.n_fired, 0);
    put_byte(fds[1]);
    poll_until_fired(poll, &reader);
    check_int(reader.n_fired, 1);
    check_uint(reader.events, WEFT__POLL_READ);
    weft__poll_free(poll);
}

TEST(one_waiter_for_both_events_fires_once)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted both;

    make_pair(fds);
    put_byte(fds[1]);
    both = waiter_for(fds[0], WEFT__POLL_READ | WEFT__POLL_WRITE);
    check_int(weft__poll_add(poll, &both.waiter), 0);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_int(both.n_fired, 1);
    check_uint(both.events, WEFT__POLL_READ | WEFT__POLL_WRITE);
    check_uint(weft__poll_n_waiting(poll), 0);
    weft__poll_free(poll);
}

TEST(the_end_of_a_stream_is_something_to_read)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted reader;

    make_pipe(fds);
    reader = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &reader.waiter), 0);
    close(fds[1]);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_uint(reader.events, WEFT__POLL_READ);
    weft__poll_free(poll);
}

TEST(a_second_waiter_for_the_same_event_is_refused)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted first, second, writer;

    make_pair(fds);
    first = waiter_for(fds[0], WEFT__POLL_READ);
    second = waiter_for(fds[0], WEFT__POLL_READ | WEFT__POLL_WRITE);
    writer = waiter_for(fds[0], WEFT__POLL_WRITE);
    check_int(weft__poll_add(poll, &first.waiter), 0);
    check_int(weft__poll_add(poll, &second.waiter), WEFT_EBUSY);
    check_int(weft__poll_add(poll, &writer.waiter), 0);
    check_uint(weft__poll_n_waiting(poll), 2);
    put_byte(fds[1]);
    poll_until_fired(poll, &first);
    check_int(first.n_fired, 1);
    check_int(second.n_fired, 0);
    weft__poll_free(poll);
}

TEST(a_cancelled_waiter_never_fires)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted counted, again;

    make_pipe(fds);
    counted = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &counted.waiter), 0);
    check(weft__poll_cancel(poll, &counted.waiter));
    check(!weft__poll_cancel(poll, &counted.waiter));
    put_byte(fds[1]);
    check_int(weft__poll_wait(poll, 0), 0);
    check_int(counted.n_fired, 0);
    again = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &again.waiter), 0);
    check_int(weft__poll_wait(poll, 0), 1);
    check(!weft__poll_cancel(poll, &again.waiter));
    weft__poll_free(poll);
}

TEST(plain_files_bad_numbers_and_no_events_are_refused)
{
    struct weft__poll *poll = poll_start();
    char path[] = "/tmp/weft-poll-XXXXXX";
    int fd = mkstemp(path);
    struct counted file = waiter_for(fd, WEFT__POLL_READ);
    struct counted closed = waiter_for(fd + 100, WEFT__POLL_READ);
    struct counted negative = waiter_for(-1, WEFT__POLL_READ);
    struct counted huge = waiter_for(INT32_MAX, WEFT__POLL_READ);
    struct counted none = waiter_for(0, 0);

    unlink(path);
    check_int(weft__poll_add(poll, &file.waiter), WEFT_EPERM);
    check_int(weft__poll_add(poll, &closed.waiter), WEFT_EBADF);
    check_int(weft__poll_add(poll, &negative.waiter), WEFT_EBADF);
    check_lt(weft__poll_add(poll, &huge.waiter), 0);
    check_int(weft__poll_add(poll, &none.waiter), WEFT_EINVAL);
    check_uint(weft__poll_n_waiting(poll), 0);
    weft__poll_free(poll);
}

TEST(closing_by_the_poller_fires_who_waits)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted reader, writer;

    make_pair(fds);
    reader = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &reader.waiter), 0);
    check_int(weft__poll_close(poll, fds[0]), 0);
    check_int(reader.n_fired, 1);
    check_uint(reader.events, 0);
    check_uint(weft__poll_n_waiting(poll), 0);
    writer = waiter_for(fds[0], WEFT__POLL_WRITE);
    check_int(weft__poll_add(poll, &writer.waiter), WEFT_EBADF);
    check_int(weft__poll_close(poll, fds[0]), WEFT_EBADF);
    weft__poll_free(poll);
}

TEST(a_number_reused_behind_its_back_is_the_new_file_alone)
{
    struct weft__poll *poll = poll_start();
    int old[2], new[2];
    struct counted stale, fresh;

    make_pipe(old);
    make_pipe(new);
    stale = waiter_for(old[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &stale.waiter), 0);
    check_int(dup2(new[0], old[0]), old[0]); /* closes the old one */
    fresh = waiter_for(old[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &fresh.waiter), 0);
    check_int(stale.n_fired, 1);
    check_uint(stale.events, 0);
    check_int(fresh.n_fired, 0);
    put_byte(new[1]);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_uint(fresh.events, WEFT__POLL_READ);
    weft__poll_free(poll);
}

TEST(a_file_that_lives_on_elsewhere_does_not_fire_its_old_number)
{
    struct weft__poll *poll = poll_start();
    int old[2], new[2], copy;
    struct counted stale, fresh;

    make_pipe(old);
    make_pipe(new);
    copy = dup(old[0]);
    stale = waiter_for(old[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &stale.waiter), 0);
    check_int(dup2(new[0], old[0]), old[0]);
    fresh = waiter_for(old[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &fresh.waiter), 0);
    put_byte(old[1]); /* the kernel still has the registration of the old file */
    check_int(weft__poll_wait(poll, 0), 0);
    check_int(fresh.n_fired, 0);
    put_byte(new[1]);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_int(fresh.n_fired, 1);
    close(copy);
    weft__poll_free(poll);
}

TEST(a_file_that_comes_back_to_its_number_is_known)
{
    struct weft__poll *poll = poll_start();
    int fds[2], copy;
    struct counted first, second;

    make_pipe(fds);
    copy = dup(fds[0]);
    first = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &first.waiter), 0);
    check_int(weft__poll_close(poll, fds[0]), 0); /* the copy keeps the registration */
    check_int(dup2(copy, fds[0]), fds[0]);
    second = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &second.waiter), 0);
    put_byte(fds[1]);
    check_int(weft__poll_wait(poll, WEFT__NS_PER_S), 1);
    check_int(second.n_fired, 1);
    weft__poll_free(poll);
}

TEST(a_waiter_of_a_file_closed_without_a_word_makes_room)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    struct counted stale, late;

    make_pipe(fds);
    stale = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &stale.waiter), 0);
    close(fds[0]);
    late = waiter_for(fds[0], WEFT__POLL_READ);
    check_int(weft__poll_add(poll, &late.waiter), WEFT_EBADF);
    check_int(stale.n_fired, 1);
    check_uint(weft__poll_n_waiting(poll), 0);
    weft__poll_free(poll);
}

TEST(an_event_found_before_a_cancel_is_not_the_next_waiters)
{
    struct weft__poll *poll = poll_start();
    int fds[2];
    char byte;

    make_pipe(fds);
    for (int i = 0; i < 100; i++) {
        struct counted first = waiter_for(fds[0], WEFT__POLL_READ);
        struct counted second = first;

        check_int(weft__poll_add(poll, &first.waiter), 0);
        put_byte(fds[1]);
        check(weft__poll_cancel(poll, &first.waiter));
        check_int(read(fds[0], &byte, 1), 1);
        check_int(weft__poll_add(poll, &second.waiter), 0);
        check_int(weft__poll_wait(poll, 0), 0);
        check(weft__poll_cancel(poll, &second.waiter));
    }
    weft__poll_free(poll);
}

TEST(waits_are_never_short_and_keep_to_parts_of_a_millisecond)
{
    struct weft__poll *poll = poll_start();
    int64_t best = INT64_MAX;

    for (int i = 0; i < 20; i++) {
        int64_t begin = weft__clock_ns(), took;

        weft__poll_wait(poll, 200 * WEFT__NS_PER_US);
        took = weft__clock_ns() - begin;
        check_ge(took, 200 * WEFT__NS_PER_US);
        best = took < best ? took : best;
    }
    diag("200 us took %lld us at best", (long long)(best / 1000));
    weft__poll_free(poll);
}

static void *wait_for_ever(void *poll)
{
    weft__poll_wait(poll, -1);
    return NULL;
}

TEST(a_wake_ends_a_wait_from_another_thread_or_the_next_one)
{
    struct weft__poll *poll = poll_start();
    pthread_t thread;

    weft__poll_wake(poll);
    weft__poll_wait(poll, 0); /* a look leaves the wake to the one that blocks */
    weft__poll_wait(poll, -1);
    for (int i = 0; i < 200; i++) {
        check_int(pthread_create(&thread, NULL, wait_for_ever, poll), 0);
        weft__poll_wake(poll);
        for (int k = 0; k < i % 7; k++)
            weft__poll_wait(poll, 0);
        pthread_join(thread, NULL);
    }
    weft__poll_free(poll);
}

/* -- several threads at once ---------------------------------------------------- */

/* A thread's rounds end when it has done so many, or after so long: a loaded
 * machine has few. */
enum { N_PAIRS = 32, ROUNDS = 20000, CROWD_S = 3 };

struct crowd {
    struct weft__poll *poll;
    int fds[N_PAIRS][2];
    int64_t until_ns;
    _Atomic bool stop;
    _Atomic uint64_t n_added, n_fired;
};

static struct crowd crowd;

static void crowd_fire(struct weft__poll_waiter *waiter, unsigned events)
{
    (void)events;
    free(waiter);
    atomic_fetch_add(&crowd.n_fired, 1);
}

static void *crowd_poll(void *unused)
{
    (void)unused;
    while (!atomic_load(&crowd.stop))
        weft__poll_wait(crowd.poll, 0);
    return NULL;
}

/* A thread has a descriptor of its own, and adds as soon as the last one fired. */
static void *crowd_user(void *arg)
{
    int *pair = arg;
    unsigned seed = (unsigned)pair[0];

    for (int i = 0; i < ROUNDS && weft__clock_ns() < crowd.until_ns; i++) {
        struct weft__poll_waiter *waiter = calloc(1, sizeof *waiter);
        int code;

        waiter->fd = pair[0];
        waiter->events = rand_r(&seed) % 2 ? WEFT__POLL_READ : WEFT__POLL_READ | WEFT__POLL_WRITE;
        waiter->fire = crowd_fire;
        code = weft__poll_add(crowd.poll, waiter);
        if (code != 0) { /* the one before has not fired yet */
            check_int(code, WEFT_EBUSY);
            free(waiter);
            (void)!write(pair[1], "x", 1);
            i--;
            sched_yield();
            continue;
        }
        atomic_fetch_add(&crowd.n_added, 1);
    }
    return NULL;
}

TEST(what_is_set_fires_once_with_many_threads_at_it)
{
    enum { USERS = 4, POLLERS = 2 };
    pthread_t users[USERS], pollers[POLLERS];

    crowd.poll = poll_start();
    crowd.until_ns = weft__clock_ns() + CROWD_S * WEFT__NS_PER_S;
    for (int i = 0; i < USERS; i++)
        make_pair(crowd.fds[i]);
    for (int i = 0; i < POLLERS; i++)
        pthread_create(&pollers[i], NULL, crowd_poll, NULL);
    for (int i = 0; i < USERS; i++)
        pthread_create(&users[i], NULL, crowd_user, crowd.fds[i]);
    for (int i = 0; i < USERS; i++)
        pthread_join(users[i], NULL);
    for (int i = 0; i < USERS; i++)
        (void)!write(crowd.fds[i][1], "x", 1);
    for (int64_t until = weft__clock_ns() + 10 * WEFT__NS_PER_S;
         weft__poll_n_waiting(crowd.poll) > 0 && weft__clock_ns() < until;)
        sched_yield();
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < POLLERS; i++)
        pthread_join(pollers[i], NULL);
    check_gt(crowd.n_added, 0);
    check_uint(crowd.n_fired, crowd.n_added);
    weft__poll_free(crowd.poll);
}

static void *crowd_canceller(void *arg)
{
    int *pair = arg;
    char byte[8];

    for (int i = 0; i < ROUNDS && weft__clock_ns() < crowd.until_ns; i++) {
        struct counted counted = waiter_for(pair[0], WEFT__POLL_READ);

        if (!check_int(weft__poll_add(crowd.poll, &counted.waiter), 0))
            break;
        (void)!write(pair[1], "x", 1);
        if (weft__poll_cancel(crowd.poll, &counted.waiter))
            check_int(counted.n_fired, 0);
        else
            check_int(counted.n_fired, 1);
        (void)!read(pair[0], byte, sizeof byte);
    }
    return NULL;
}

TEST(a_cancel_and_an_event_at_once_agree_who_was_first)
{
    enum { USERS = 2, POLLERS = 2 };
    pthread_t users[USERS], pollers[POLLERS];

    crowd.poll = poll_start();
    crowd.until_ns = weft__clock_ns() + CROWD_S * WEFT__NS_PER_S;
    atomic_store(&crowd.stop, false);
    for (int i = 0; i < USERS; i++)
        make_pair(crowd.fds[i]);
    for (int i = 0; i < POLLERS; i++)
        pthread_create(&pollers[i], NULL, crowd_poll, NULL);
    for (int i = 0; i < USERS; i++)
        pthread_create(&users[i], NULL, crowd_canceller, crowd.fds[i]);
    for (int i = 0; i < USERS; i++)
        pthread_join(users[i], NULL);
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < POLLERS; i++)
        pthread_join(pollers[i], NULL);
    check_uint(weft__poll_n_waiting(crowd.poll), 0);
    weft__poll_free(crowd.poll);
}

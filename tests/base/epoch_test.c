/* epoch_test.c - deferred calls: after every section that was open, and none
 * forgotten. */
#include "base/epoch.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tap.h"

struct object {
    struct weft__epoch_entry entry; /* first */
    int value;
};

static int n_ended;

static void end_object(struct weft__epoch_entry *entry)
{
    (void)entry;
    n_ended++;
}

static void poll_often(struct weft__epoch *epoch)
{
    for (int i = 0; i < 10; i++)
        weft__epoch_poll(epoch);
}

TEST(a_deferred_call_is_made_when_nobody_reads)
{
    struct weft__epochs *epochs = weft__epochs_new();
    struct weft__epoch *writer = weft__epoch_register(epochs);
    struct object object;

    weft__epoch_defer(writer, &object.entry, end_object);
    check_int(n_ended, 0);
    check_uint(weft__epoch_pending(writer), 1);
    poll_often(writer);
    check_int(n_ended, 1);
    check_uint(weft__epoch_pending(writer), 0);
    weft__epochs_free(epochs);
}

TEST(a_deferred_call_waits_for_sections_that_were_open)
{
    struct weft__epochs *epochs = weft__epochs_new();
    struct weft__epoch *writer = weft__epoch_register(epochs);
    struct weft__epoch *reader = weft__epoch_register(epochs);
    struct object object;

    weft__epoch_begin(reader);
    weft__epoch_begin(reader);
    weft__epoch_defer(writer, &object.entry, end_object);
    poll_often(writer);
    weft__epoch_end(reader);
    check(weft__epoch_is_open(reader));
    poll_often(writer);
    check_int(n_ended, 0);
    weft__epoch_end(reader);
    check(!weft__epoch_is_open(reader));
    poll_often(writer);
    check_int(n_ended, 1);
    weft__epochs_free(epochs);
}

TEST(what_a_thread_deferred_before_it_left_is_not_forgotten)
{
    struct weft__epochs *epochs = weft__epochs_new();
    struct weft__epoch *writer = weft__epoch_register(epochs);
    struct weft__epoch *reader = weft__epoch_register(epochs);
    struct object objects[2];

    weft__epoch_begin(reader);
    weft__epoch_defer(writer, &objects[0].entry, end_object);
    weft__epoch_unregister(writer);
    weft__epochs_sweep(epochs);
    check_int(n_ended, 0);
    weft__epoch_end(reader);
    for (int i = 0; i < 10; i++)
        weft__epochs_sweep(epochs);
    check_int(n_ended, 1);
    check_ptr(weft__epoch_register(epochs), writer);
    weft__epoch_defer(writer, &objects[1].entry, end_object);
    weft__epochs_free(epochs);
    check_int(n_ended, 2);
}

/* As a sandbox that the program enters when it has set itself up. */
static void refuse_barriers(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof code[0], code};

    check_int(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    check_int(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST(when_the_kernel_makes_no_fence_any_more_all_ends_with_the_last_reader)
{
    struct weft__epochs *epochs = weft__epochs_new();
    struct weft__epoch *writer = weft__epoch_register(epochs);
    struct object object;

    if (!atomic_load(&weft__epoch_has_barrier))
        skip("readers make the fence here");
    refuse_barriers();
    weft__epoch_defer(writer, &object.entry, end_object);
    poll_often(writer);
    check_int(n_ended, 0); /* a reader may be there for all one knows */
    weft__epochs_flush(epochs);
    check_int(n_ended, 1);
    weft__epochs_free(epochs);
}

/* ---- many threads: one pointer that all read and all replace ---- */

#define N_THREADS 8
#define N_STEPS 20000

static _Atomic(struct object *) current;
static _Atomic int64_t n_made, n_freed, n_wrong;

static struct object *make(void)
{
    struct object *object = malloc(sizeof *object);

    object->value = 42;
    atomic_fetch_add(&n_made, 1);
    return object;
}

static void free_object(struct weft__epoch_entry *entry)
{
    struct object *object = (struct object *)(void *)entry;

    object->value = 0; /* plain: a race with a reader that is not over is seen */
    free(object);
    atomic_fetch_add(&n_freed, 1);
}

static void *read_and_replace(void *arg)
{
    struct weft__epochs *epochs = arg;
    struct weft__epoch *epoch = weft__epoch_register(epochs);

    for (int step = 0; step < N_STEPS; step++) {
        weft__epoch_begin(epoch);
        if (atomic_load(&current)->value != 42)
            atomic_fetch_add(&n_wrong, 1);
        if (step % 4096 == 0)
            sched_yield(); /* a long section */
        weft__epoch_end(epoch);
        if (step % 4 == 0)
            weft__epoch_defer(epoch, &atomic_exchange(&current, make())->entry, free_object);
        if (step % 64 == 0)
            weft__epoch_poll(epoch);
        if (step % 1000 == 0) {
            weft__epoch_unregister(epoch);
            weft__epochs_sweep(epochs);
            epoch = weft__epoch_register(epochs);
        }
    }
    weft__epoch_unregister(epoch);
    return NULL;
}

TEST(nothing_is_freed_under_a_reader_and_all_is_in_the_end)
{
    struct weft__epochs *epochs = weft__epochs_new();
    pthread_t threads[N_THREADS];

    atomic_store(&current, make());
    for (int i = 0; i < N_THREADS; i++)
        check_int(pthread_create(&threads[i], NULL, read_and_replace, epochs), 0);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    diag("%ld made, %ld freed before the end", (long)n_made, (long)n_freed);
    weft__epochs_free(epochs);
    free(atomic_load(&current));
    check_int(n_wrong, 0);
    check_int(n_freed, n_made - 1);
}

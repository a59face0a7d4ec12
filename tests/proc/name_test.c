/* name_test.c - registered names: who has one, and what readers see while
 * others take and drop it. */
#include "proc/name.h"

#include <pthread.h>
#include <sched.h>

#include "base/rand.h"
#include "tap.h"
#include "term/atom.h"
#include "weft/error.h"

static struct weft__names names;

static uint64_t atom(uint32_t index)
{
    return weft__atom_of_index(index).bits;
}

TEST(a_name_stands_for_the_process_that_took_it)
{
    check_int(weft__names_init(&names), 0);
    check_uint(weft__name_get(&names, atom(7)), 0);
    check_int(weft__name_set(&names, atom(7), 701), 0);
    check_int(weft__name_set(&names, atom(8), 801), 0);
    check_uint(weft__name_get(&names, atom(7)), 701);
    check_uint(weft__name_get(&names, atom(8)), 801);
    check_uint(weft__name_get(&names, atom(9)), 0);
    weft__names_destroy(&names);
}

TEST(a_name_that_is_taken_is_not_given_again, "PROC-46")
{
    check_int(weft__names_init(&names), 0);
    check_int(weft__name_set(&names, atom(7), 701), 0);
    check_int(weft__name_set(&names, atom(7), 702), WEFT_EALREADY);
    check_int(weft__name_set(&names, atom(7), 701), WEFT_EALREADY);
    check_uint(weft__name_get(&names, atom(7)), 701);
    weft__names_destroy(&names);
}

TEST(a_name_given_up_can_be_taken, "PROC-49")
{
    check_int(weft__names_init(&names), 0);
    weft__name_set(&names, atom(7), 701);
    check_uint(weft__name_unset(&names, atom(7), 702), 0);
    check_uint(weft__name_get(&names, atom(7)), 701);
    check_uint(weft__name_unset(&names, atom(7), 701), 701);
    check_uint(weft__name_get(&names, atom(7)), 0);
    check_int(weft__name_set(&names, atom(7), 702), 0);
    check_uint(weft__name_unset(&names, atom(7), 0), 702);
    check_uint(weft__name_unset(&names, atom(7), 0), 0);
    check_uint(weft__name_unset(&names, atom(99999), 0), 0);
    weft__names_destroy(&names);
}

TEST(every_atom_there_can_be_may_be_a_name)
{
    check_int(weft__names_init(&names), 0);
    for (uint32_t index = 0; index < WEFT__ATOM_CAP; index += 511)
        check_int(weft__name_set(&names, atom(index), index + 1), 0);
    check_int(weft__name_set(&names, atom(WEFT__ATOM_CAP - 1), 5), 0);
    for (uint32_t index = 0; index < WEFT__ATOM_CAP; index += 511)
        check_uint(weft__name_get(&names, atom(index)), index + 1);
    weft__names_destroy(&names);
}

TEST(destroying_what_was_never_made_is_harmless)
{
    struct weft__names none = { 0 };

    weft__names_destroy(&none);
    check_ptr(none.pages, NULL);
}

/* ---- many threads: few names, each held by at most one ---- */

#define N_THREADS 8
#define N_NAMES 40
#define N_STEPS 50000

static _Atomic int n_wrong;
static _Atomic uint64_t n_taken, n_dropped;
/* What a process wrote before it took a name: whoever finds it sees this. */
static uint64_t processes[N_THREADS + 1];
static int held_by[N_NAMES]; /* plain: only the holder may touch it */

static uint64_t far_atom(uint32_t i)
{
    return atom(i * 700);
}

static void take_or_drop(uint64_t self, uint32_t i, bool *has)
{
    if (!*has && weft__name_set(&names, far_atom(i), self) == 0) {
        *has = true;
        if (held_by[i]++ != 0)
            atomic_fetch_add(&n_wrong, 1);
        atomic_fetch_add(&n_taken, 1);
    } else if (*has) {
        held_by[i]--;
        if (weft__name_unset(&names, far_atom(i), self) != self)
            atomic_fetch_add(&n_wrong, 1);
        *has = false;
        atomic_fetch_add(&n_dropped, 1);
    }
}

static void *compete(void *arg)
{
    uint64_t self = (uint64_t)(uintptr_t)arg;
    bool has[N_NAMES] = { false };
    struct weft__rand rand;

    weft__rand_init(&rand, 3, self);
    processes[self] = self * 1000;
    for (int step = 0; step < N_STEPS; step++) {
        uint64_t pid = weft__name_get(&names, far_atom(weft__rand_below(&rand, N_NAMES)));
        uint32_t i = weft__rand_below(&rand, N_NAMES);

        if (pid > N_THREADS || (pid != 0 && processes[pid] != pid * 1000))
            atomic_fetch_add(&n_wrong, 1);
        take_or_drop(self, i, &has[i]);
        if (step % 1000 == 0)
            sched_yield();
    }
    for (uint32_t i = 0; i < N_NAMES; i++)
        if (has[i])
            take_or_drop(self, i, &has[i]);
    return NULL;
}

TEST(a_name_has_one_holder_at_a_time_whoever_else_tries)
{
    pthread_t threads[N_THREADS];

    check_int(weft__names_init(&names), 0);
    for (uintptr_t i = 0; i < N_THREADS; i++)
        check_int(pthread_create(&threads[i], NULL, compete, (void *)(i + 1)), 0);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    check_int(n_wrong, 0);
    check_uint(n_taken, n_dropped);
    for (uint32_t i = 0; i < N_NAMES; i++)
        check_uint(weft__name_get(&names, far_atom(i)), 0);
    diag("%lu taken and dropped", (unsigned long)n_taken);
    weft__names_destroy(&names);
}

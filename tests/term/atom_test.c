#include "term/atom.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "term/term.h"

#ifdef __SANITIZE_THREAD__
/* The child of a fork has lost its parent's threads, which is no leak. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_thread_leaks=0";
}
#endif

#define N_THREADS 4
#define N_NAMES 20000

static weft_term site(void)
{
    return WEFT_ATOM("some name");
}

TEST(one_name_is_one_atom)
{
    check(weft_eq(WEFT_ATOM("put"), WEFT_ATOM("put")));
    check(!weft_eq(WEFT_ATOM("put"), WEFT_ATOM("get")));
    check(weft_eq(site(), site()));
    check_str(weft_atom_name(site()), "some name");
    check_str(weft_atom_name(WEFT_ATOM("")), "");
    check(weft_is_atom(site()) && !weft_is_pid(site()) && !weft_is_ref(site()));
}

TEST(the_runtimes_own_atoms_are_constants)
{
    check(weft_eq(WEFT__A(ok), WEFT_ATOM("ok")));
    check(weft_eq(WEFT__A(EXIT), WEFT_ATOM("EXIT")));
    check(weft_eq(WEFT__A(alias), WEFT_ATOM("alias")));
    check_str(weft_atom_name(WEFT__A(noproc)), "noproc");
}

TEST(own_atoms_have_names_before_any_look_up)
{
    check_str(weft_atom_name(weft_bool(true)), "true");
    check_uint(weft__atom_count(), WEFT__N_OWN_ATOMS);
}

TEST(finding_makes_no_atom)
{
    weft_atom atom = weft_none;

    check(weft__atom_find("ok", 2, &atom));
    check(weft_eq(atom, WEFT__A(ok)));
    check(!weft__atom_find("never made", 10, &atom));
    check(!weft__atom_find("never made", 10, &atom));
    check(weft__atom_intern("never made", 10, &atom));
    check(weft__atom_find("never made", 10, &atom));
}

TEST(a_name_may_have_1020_bytes_and_no_more)
{
    char name[1021] = {0};
    weft_atom atom;

    memset(name, 'n', sizeof name);
    check(weft__atom_intern(name, 1020, &atom));
    check_uint(strlen(weft_atom_name(atom)), 1020);
    check(!weft__atom_intern(name, 1021, &atom));
}

static weft_term made[N_THREADS][N_NAMES];

static void *make_names(void *arg)
{
    int me = *(int *)arg;

    for (int i = 0; i < N_NAMES; i++) {
        /* Each thread from another place on, so that they meet. */
        int number = (i + me * 1000) % N_NAMES;
        char name[32];
        int size = snprintf(name, sizeof name, "name %d", number);

        weft__atom_intern(name, (size_t)size, &made[me][number]);
    }
    return NULL;
}

TEST(threads_that_make_the_same_names_get_the_same_atoms)
{
    pthread_t threads[N_THREADS];
    int ids[N_THREADS], n_wrong = 0;
    uint32_t before;
    weft_atom first;

    weft__atom_find("ok", 2, &first);
    before = weft__atom_count();
    for (int i = 0; i < N_THREADS; i++) {
        ids[i] = i;
        pthread_create(&threads[i], NULL, make_names, &ids[i]);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int number = 0; number < N_NAMES; number++) {
        char name[32];

        snprintf(name, sizeof name, "name %d", number);
        n_wrong += strcmp(weft_atom_name(made[0][number]), name) != 0;
        for (int i = 1; i < N_THREADS; i++)
            n_wrong += made[i][number].bits != made[0][number].bits;
    }
    check_int(n_wrong, 0);
    check_uint(weft__atom_count() - before, N_NAMES);
}

static void *make_for_ever(void *arg)
{
    for (int i = 0; !__atomic_load_n((bool *)arg, __ATOMIC_RELAXED) && i < 900000; i++) {
        char name[32];
        weft_atom atom;

        weft__atom_intern(name, (size_t)snprintf(name, sizeof name, "thread %d", i), &atom);
    }
    return NULL;
}

TEST(the_child_of_a_fork_makes_atoms)
{
    static bool stop;
    pthread_t thread;

    pthread_create(&thread, NULL, make_for_ever, &stop);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        int status = -1;

        if (child == 0) {
            weft_atom atom;

            alarm(10);
            _exit(weft__atom_intern("child's", 7, &atom) &&
                          weft__atom_find("child's", 7, &atom)
                      ? 0
                      : 1);
        }
        waitpid(child, &status, 0);
        check_int(status, 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

static void fill_table(void *arg)
{
    (void)arg;
    for (int i = 0;; i++) {
        char name[32];
        weft_atom atom;

        if (!weft__atom_intern(name, (size_t)snprintf(name, sizeof name, "filler %d", i),
                               &atom))
            break;
    }
    check_uint(weft__atom_count(), WEFT__ATOM_CAP);
    check(weft_eq(WEFT_ATOM("ok"), WEFT__A(ok)));
    (void)WEFT_ATOM("one too many");
}

TEST(a_full_table_says_so)
{
    struct tap_outcome outcome;

    tap_run(fill_table, NULL, 50, &outcome);
    check(outcome.status != 0);
    check_has(outcome.output,
              "cannot make :one too many, the table is full with 1048576 atoms");
}

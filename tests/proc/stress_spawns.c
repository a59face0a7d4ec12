/* stress_spawns.c - does every process end once, for a reason it had?
 *
 *     stress_spawns [spawns] [workers]           10^5 by default; 10^7 for long
 *
 * Drivers spawn children of every kind, linked and monitored, and send them
 * messages, signals and kills while they start, run, wait and end. Each child
 * gives exactly one DOWN, and exactly one EXIT where it was linked, with one of
 * the reasons that its kind and its fate allow. What the children owned is
 * given back.
 */
#include "proc/stress.h"

enum { DRIVERS = 8, WINDOW = 64 };

enum kind { RETURNS, EXITS, ERRS, WAITS, SLEEPS, TRAPS, YIELDS, HAS_A_CHILD, HANDLES, N_KINDS };
enum fate { LEFT_ALONE, STOPPED, SIGNALLED, SIGNALLED_NORMAL, KILLED, N_FATES };

struct child {
    weft_pid pid;
    weft_ref down; /* weft_none: the place is free */
    enum kind kind;
    enum fate fate;
    int64_t number;
    bool is_linked;
};

struct driver {
    uint64_t chance;
    int64_t number;
    int64_t n_spawned, n_downs;
    struct child children[WINDOW];
};

static struct stress stress;
static _Atomic int64_t n_spawned, n_downs, n_exits, n_linked;
static _Atomic int64_t n_wrong_reasons, n_strays, n_missing, n_owned, n_given_back;
static _Atomic int64_t n_of_kind[N_KINDS], n_of_fate[N_FATES];

static const char *const kind_names[N_KINDS] = {
    "return", "exit", "err", "wait", "sleep", "trap", "yield", "have a child", "handle"
};

/* -- children ----------------------------------------------------------------------------- */

static void gives_back(void *arg)
{
    int64_t *block = arg;

    if (*block != 0x5eed)
        atomic_fetch_add(&n_wrong_reasons, 1);
    atomic_fetch_add(&n_given_back, 1);
}

/* Never switches until it is done, so that what is counted is deferred. */
static void own_something(void)
{
    int64_t *block = weft_alloc(sizeof *block);

    *block = 0x5eed;
    weft_defer(gives_back, block);
    atomic_fetch_add(&n_owned, 1);
}

static weft_term waits_for_stop(weft_term arg)
{
    weft_receive(A(stop), WEFT_INFINITY, NULL);
    return arg;
}

/* Lives as arg = {kind, number} says. */
static weft_term lives(weft_term arg)
{
    enum kind kind = (enum kind)weft_to_int(weft_tuple_at(arg, 0));
    weft_term number = weft_tuple_at(arg, 1);

    own_something();
    switch (kind) {
    case EXITS: weft_exit(weft_tuple(A(boom), number));
    case ERRS: weft_error(weft_tuple(A(oops), number));
    case WAITS: return waits_for_stop(arg);
    case SLEEPS: return weft_sleep(weft_to_int(number) % 3), A(ok);
    case TRAPS:
        weft_trap_exit(true);
        weft_receive_each (message)
            if (weft_eq(message, A(stop)) || weft_match(message, weft_tuple(A(EXIT), weft_any, weft_any)))
                break;
        return A(ok);
    case YIELDS:
        for (int i = 0; i < 10; i++)
            weft_yield();
        return A(ok);
    case HAS_A_CHILD:
        weft_spawn(waits_for_stop, weft_none, .link = true); /* goes along, or is left */
        return weft_receive(A(stop), WEFT_INFINITY, NULL), weft_exit(A(shutdown)), A(ok);
    default: return A(ok);
    }
}

static bool handles(void *state, weft_term message)
{
    int64_t *n_handled = state;

    if ((*n_handled)++ == 0)
        own_something();
    return !weft_eq(message, A(stop));
}

/* -- drivers -------------------------------------------------------------------------------- */

static bool ends_by_itself(enum kind kind)
{
    return kind == RETURNS || kind == EXITS || kind == ERRS || kind == SLEEPS || kind == YIELDS;
}

/* What its driver does to a child, once. */
static void seal_fate(struct child *child)
{
    atomic_fetch_add(&n_of_fate[child->fate], 1);
    switch (child->fate) {
    case STOPPED: weft_send(child->pid, A(stop)); break;
    case SIGNALLED: weft_exit_signal(child->pid, weft_tuple(A(signalled), weft_int(child->number))); break;
    case SIGNALLED_NORMAL:
        weft_exit_signal(child->pid, A(normal));
        weft_send(child->pid, A(stop));
        break;
    case KILLED: weft_kill(child->pid); break;
    default: break;
    }
}

static void spawn_one(struct driver *driver, struct child *child)
{
    WEFT_SCOPE;
    int64_t n_handled = 0;

    child->kind = (enum kind)chance_below(&driver->chance, N_KINDS);
    child->fate = (enum fate)chance_below(&driver->chance, N_FATES);
    if (child->fate == LEFT_ALONE && !ends_by_itself(child->kind))
        child->fate = STOPPED;
    child->is_linked = chance_below(&driver->chance, 2) == 0;
    child->number = driver->number++;
    if (child->kind == HANDLES)
        child->pid = weft_spawn_handler(handles, &n_handled, .link = child->is_linked, .monitor = &child->down,
                                        .state_size = sizeof n_handled);
    else
        child->pid = weft_spawn(lives, weft_tuple(weft_int((int64_t)child->kind), weft_int(child->number)),
                                .link = child->is_linked, .monitor = &child->down);
    driver->n_spawned++;
    atomic_fetch_add(&n_of_kind[child->kind], 1);
    atomic_fetch_add(&n_linked, child->is_linked);

    if (chance_below(&driver->chance, 4) == 0)
        weft_yield();
    stress_dither(&driver->chance);
    seal_fate(child);
}

/* Whether the child, being what it was, can have ended so. */
static bool is_plausible(const struct child *child, weft_term reason)
{
    weft_term number = weft_int(child->number);

    if (child->fate == KILLED && weft_eq(reason, A(killed)))
        return true;
    if (child->fate == SIGNALLED && weft_eq(reason, weft_tuple(A(signalled), number)))
        return true;
    switch (child->kind) {
    case EXITS: return weft_eq(reason, weft_tuple(A(boom), number));
    case ERRS: return weft_match(reason, weft_tuple(weft_tuple(A(oops), number), weft_any));
    case HAS_A_CHILD: return child->fate != KILLED && child->fate != SIGNALLED && weft_eq(reason, A(shutdown));
    case WAITS:
    case HANDLES: return child->fate != KILLED && child->fate != SIGNALLED && weft_eq(reason, A(normal));
    case TRAPS: return child->fate != KILLED && weft_eq(reason, A(normal));
    default: return weft_eq(reason, A(normal));
    }
}

static struct child *find_child(struct driver *driver, weft_ref down)
{
    for (int i = 0; i < WINDOW; i++)
        if (!weft_is_none(driver->children[i].down) && weft_eq(driver->children[i].down, down))
            return &driver->children[i];
    return NULL;
}

/* One DOWN, and the EXIT before it where there is a link: PROC-72. */
static bool take_one(struct driver *driver)
{
    WEFT_SCOPE;
    weft_ref down = weft_none;
    weft_pid pid = weft_none;
    weft_term reason = weft_none, exit_reason = weft_none;
    struct child *child;

    if (!weft_receive(weft_tuple(A(DOWN), weft_bind(&down), A(process), weft_bind(&pid), weft_bind(&reason)),
                      BOUND_MS, NULL))
        return false;
    driver->n_downs++;
    child = find_child(driver, down);
    if (child == NULL) {
        atomic_fetch_add(&n_strays, 1);
        return true;
    }
    if (!weft_eq(child->pid, pid) || !is_plausible(child, reason)) {
        if (atomic_fetch_add(&n_wrong_reasons, 1) < 10)
            printf("# a child that should %s with fate %d ended with %s\n", kind_names[child->kind],
                   (int)child->fate, weft_inspect(reason));
    }
    if (child->is_linked) {
        if (!weft_receive(weft_tuple(A(EXIT), pid, weft_bind(&exit_reason)), 0, NULL)
            || !weft_eq(exit_reason, reason))
            atomic_fetch_add(&n_missing, 1);
        else
            atomic_fetch_add(&n_exits, 1);
    }
    child->down = weft_none;
    return true;
}

static weft_term drives(weft_term arg)
{
    struct driver *driver = weft_new(struct driver);
    int64_t n = weft_to_int(weft_tuple_at(arg, 1));
    weft_term stray;

    driver->chance = chance_for(&stress, (unsigned)weft_to_int(weft_tuple_at(arg, 0)));
    weft_trap_exit(true);
    while (driver->n_downs < n) {
        int at = 0;

        while (at < WINDOW && !weft_is_none(driver->children[at].down))
            at++;
        if (driver->n_spawned < n && at < WINDOW && chance_below(&driver->chance, 8) != 0)
            spawn_one(driver, &driver->children[at]);
        else if (driver->n_spawned > driver->n_downs && !take_one(driver)) {
            atomic_fetch_add(&n_missing, driver->n_spawned - driver->n_downs);
            break;
        }
    }
    /* Nothing is left over, nothing comes twice. */
    while (weft_receive(weft_any, 20, &stray)) {
        printf("# a stray message: %s\n", weft_inspect(stray));
        atomic_fetch_add(&n_strays, 1);
    }
    atomic_fetch_add(&n_spawned, driver->n_spawned);
    atomic_fetch_add(&n_downs, driver->n_downs);
    return A(ok);
}

/* -- the program ----------------------------------------------------------------------------- */

static weft_term runs_drivers(weft_term arg)
{
    weft_ref downs[DRIVERS];
    int64_t each = stress.count / DRIVERS + 1;

    for (int i = 0; i < DRIVERS; i++)
        weft_spawn(drives, weft_tuple(weft_int(i), weft_int(each)), .monitor = &downs[i]);
    for (int i = 0; i < DRIVERS; i++) {
        WEFT_SCOPE;
        weft_term reason = weft_none;

        weft_receive(weft_tuple(A(DOWN), downs[i], weft_any, weft_any, weft_bind(&reason)), WEFT_INFINITY, NULL);
        stress_total(&stress, "a driver ends normally", weft_eq(reason, A(normal)), 1);
    }
    stress_total(&stress, "children spawned", atomic_load(&n_spawned), each * DRIVERS);
    return weft_is_pointer(arg) ? A(ok) : arg;
}

int main(int argc, char **argv)
{
    stress_begin(&stress, argc, argv, 100000);
    stress_run(&stress, runs_drivers);
    for (int i = 0; i < N_KINDS; i++)
        printf("# children that %s: %lld\n", kind_names[i], (long long)atomic_load(&n_of_kind[i]));
    stress_total(&stress, "DOWN messages", atomic_load(&n_downs), atomic_load(&n_spawned));
    stress_total(&stress, "EXIT messages", atomic_load(&n_exits), atomic_load(&n_linked));
    stress_total(&stress, "messages that are missing", atomic_load(&n_missing), 0);
    stress_total(&stress, "messages that should not be", atomic_load(&n_strays), 0);
    stress_total(&stress, "reasons that cannot be", atomic_load(&n_wrong_reasons), 0);
    stress_total(&stress, "things owned given back", atomic_load(&n_given_back), atomic_load(&n_owned));
    return stress_end(&stress);
}

/* log.c - which records are made, and whose they are.
 *
 * Admission. A threshold, then up to two limits, each a bucket kept as one
 * number: the moment the next record would be due if records came at the set
 * rate (GCRA). A record may come while that moment is less than a burst away,
 * and moves it on. One CAS, no timer, nothing to refill. A refusal is counted
 * twice: at its place, which tells it with its next record, and in n_untold,
 * which is what no place has told yet and weft__log_tell tells at the end.
 *
 * The handler. It may be changed while others log, and its arg freed then, so
 * who calls it sits down first:
 *
 *   logger                               setter (one at a time)
 *   1  take a free seat                  1  exchange the handler
 *   2  read the handler                  2  for each seat: when taken, wait
 *   3  call it                              until it is free or was left since
 *   4  leave: count the turn, free it    3  the old one is unused
 *
 * Seat and handler are seq_cst on both sides: a logger whose seat the setter
 * found free sat down after that look, and so after the exchange; it reads the
 * new handler. Waiting for "free, or another turn" and not for "free" alone
 * keeps a thread that logs all the time from holding a setter up.
 *
 * A seat names its thread and process. A record made inside a handler finds
 * its own seat and goes to standard error; a setter inside a handler, which
 * would wait for itself, is refused. A process that crashed inside a handler
 * leaves its seat taken: the next one on that thread is another process, and
 * takes it over.
 *
 * Not a lock, because loggers would then write each line one after the other,
 * and the reader's side of a lock would not know who is inside.
 */
#include "proc/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/here.h"
#include "base/memory.h"
#include "base/symbol.h"
#include "weft/error.h"

#define SEATS 64             /* handlers that run at once; more wait for a seat */
#define SETTER_PATIENCE_NS (5 * WEFT__NS_PER_S)
#define WRITE_PATIENCE_MS 100 /* for room in a standard error that does not block */
#define RATE_MAX 1000000000u

struct seat {
    _Alignas(64) _Atomic(struct weft__here *) thread; /* NULL: free. Compared, never followed */
    _Atomic uint64_t pid;                             /* of the process in it, by its thread */
    _Atomic uint64_t n_turns;
};

/* A handler that was set. */
struct installed {
    struct weft_log_handler handler;
    struct installed *next; /* in `stuck` */
};

/* All of it is the program's, not a runtime's: records are made before one is
 * started and after it stopped. */
static struct {
    _Atomic int threshold;
    struct {
        _Atomic int64_t interval_ns; /* 0: no limit */
        _Atomic int64_t burst_ns;
    } limit[2];                      /* by enum weft_log_limit */
    struct weft_log_site no_place;   /* counts for records without one */
    uint64_t program_due_ns;         /* the program's bucket */
    _Atomic uint64_t n_untold;
    _Atomic(void (*)(struct weft__log_caller *)) find_caller;

    _Atomic(struct installed *) handler; /* NULL: standard error */
    struct seat seats[SEATS];
    pthread_mutex_t setter;  /* guards `stuck`, and lets one setter in. Held while it waits for seats */
    struct installed *stuck; /* old ones that somebody was still in when their setter gave up */
} logger = {
    .threshold = WEFT_LOG_INFO,
    .limit = {{WEFT__NS_PER_S / 500, WEFT__NS_PER_S}, {0, 0}},
    .setter = PTHREAD_MUTEX_INITIALIZER,
};

/* -- which records ------------------------------------------------------------------ */

int weft_log_set_level(enum weft_log_level level)
{
    if ((unsigned)level > WEFT_LOG_NONE)
        return WEFT_EINVAL;
    /* Relaxed: nothing else hangs on it. */
    return atomic_exchange_explicit(&logger.threshold, (int)level, memory_order_relaxed);
}

bool weft_log_enabled(enum weft_log_level level)
{
    return (int)level >= atomic_load_explicit(&logger.threshold, memory_order_relaxed) &&
           (unsigned)level < WEFT_LOG_NONE;
}

const char *weft_log_level_name(enum weft_log_level level)
{
    static const char *const names[] = {"debug", "info", "notice", "warning", "error", "critical"};

    return (unsigned)level < WEFT_LOG_NONE ? names[level] : "unknown";
}

int weft_log_set_limit(enum weft_log_limit limit, uint32_t per_second, uint32_t burst)
{
    int64_t interval_ns = per_second > 0 ? WEFT__NS_PER_S / per_second : 0;

    if ((unsigned)limit > WEFT_LOG_PROGRAM || burst == 0 || burst > RATE_MAX || per_second > RATE_MAX)
        return WEFT_EINVAL;
    /* Relaxed, and not together: a record in between is let in or left out by
     * a mixture of both settings, which does no harm. */
    atomic_store_explicit(&logger.limit[limit].burst_ns, interval_ns * burst, memory_order_relaxed);
    atomic_store_explicit(&logger.limit[limit].interval_ns, interval_ns, memory_order_relaxed);
    return 0;
}

/* Take a place in a bucket. The number is plain, for C++; relaxed, as it is all
 * there is to the bucket. */
static bool bucket_take(uint64_t *due_ns, enum weft_log_limit limit, int64_t now_ns)
{
    int64_t interval_ns = atomic_load_explicit(&logger.limit[limit].interval_ns, memory_order_relaxed);
    int64_t burst_ns = atomic_load_explicit(&logger.limit[limit].burst_ns, memory_order_relaxed);
    uint64_t due = __atomic_load_n(due_ns, __ATOMIC_RELAXED);
    int64_t next;

    if (interval_ns == 0)
        return true;
    do {
        next = ((int64_t)due > now_ns ? (int64_t)due : now_ns) + interval_ns;
        if (next - now_ns > burst_ns)
            return false;
    } while (!__atomic_compare_exchange_n(due_ns, &due, (uint64_t)next, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

static void leave_out(struct weft_log_site *site)
{
    if (site == NULL)
        site = &logger.no_place;
    __atomic_fetch_add(&site->n_left_out, 1, __ATOMIC_RELAXED);
    atomic_fetch_add_explicit(&logger.n_untold, 1, memory_order_relaxed);
}

/* n of them are told; more than there are when weft__log_tell was before. */
static void count_told(uint64_t n)
{
    uint64_t untold = atomic_load_explicit(&logger.n_untold, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(&logger.n_untold, &untold, untold > n ? untold - n : 0,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

/* What the place left out, which its record tells now. */
static uint64_t take_left_out(struct weft_log_site *site)
{
    uint64_t *count = site != NULL ? &site->n_left_out : &logger.no_place.n_left_out;
    uint64_t n = __atomic_load_n(count, __ATOMIC_RELAXED);

    if (n == 0)
        return 0;
    n = __atomic_exchange_n(count, 0, __ATOMIC_RELAXED);
    count_told(n);
    return n;
}

bool weft_log_admit(struct weft_log_site *site, enum weft_log_level level)
{
    int64_t now_ns;

    if (!weft_log_enabled(level))
        return false;
    now_ns = weft__clock_ns();
    if ((site == NULL || bucket_take(&site->due_ns, WEFT_LOG_EACH_PLACE, now_ns)) &&
        bucket_take(&logger.program_due_ns, WEFT_LOG_PROGRAM, now_ns))
        return true;
    leave_out(site);
    return false;
}

uint64_t weft_log_left_out(void)
{
    return atomic_load_explicit(&logger.n_untold, memory_order_relaxed);
}

/* -- the first handler --------------------------------------------------------------- */

/* Write a whole line, if standard error takes it. */
static bool write_line(const char *line, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, line, size);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

            if (poll(&room, 1, WRITE_PATIENCE_MS) == 0)
                return false;
        } else if (n < 0 && errno != EINTR) {
            return false;
        } else if (n > 0) {
            line += n;
            size -= (size_t)n;
        }
    }
    return true;
}

static void write_record(const weft_log_record *record)
{
    char small[512]; /* when there is no memory */
    char *line = weft__memory_alloc(WEFT__LOG_LINE);
    size_t size = line != NULL ? WEFT__LOG_LINE : sizeof small;

    size = weft_log_format(line != NULL ? line : small, size, record);
    if (!write_line(line != NULL ? line : small, size))
        leave_out(NULL);
    weft__memory_free(line, WEFT__LOG_LINE);
}

/* -- handlers ------------------------------------------------------------------------- */

static size_t seat_of(const struct weft__here *thread)
{
    return (size_t)((uintptr_t)thread * UINT64_C(0x9E3779B97F4A7C15) >> 32) % SEATS;
}

/* Is the process on the seat's thread the one that took it? A thread without a
 * process, which may have become a guest since, does not crash by itself. */
static bool seat_is_of(struct seat *seat, weft_pid pid)
{
    uint64_t bits = atomic_load_explicit(&seat->pid, memory_order_relaxed);

    return bits == pid.bits || bits == 0;
}

/* The calling thread's own seat, when its process or one before took one. */
static struct seat *seat_find(const struct weft__here *thread)
{
    /* Relaxed: only the thread itself writes its address there. */
    for (size_t i = 0; i < SEATS; i++)
        if (atomic_load_explicit(&logger.seats[i].thread, memory_order_relaxed) == thread)
            return &logger.seats[i];
    return NULL;
}

/* A seat for the process on this thread; NULL: it is inside a handler now, or
 * all seats have been taken for long. */
static struct seat *seat_take(struct weft__here *thread, weft_pid pid)
{
    struct seat *seat = seat_find(thread);

    if (seat != NULL) {
        if (seat_is_of(seat, pid))
            return NULL;
        /* Who sat here crashed. Another turn: a setter need not wait for it. */
        atomic_fetch_add(&seat->n_turns, 1);
        atomic_store_explicit(&seat->pid, pid.bits, memory_order_relaxed);
        return seat;
    }
    for (size_t i = seat_of(thread), tries = 1; tries < SEATS * 2000; i = (i + 1) % SEATS, tries++) {
        struct weft__here *nobody = NULL;

        /* seq_cst: see the head of the file. */
        if (atomic_compare_exchange_strong(&logger.seats[i].thread, &nobody, thread)) {
            atomic_store_explicit(&logger.seats[i].pid, pid.bits, memory_order_relaxed);
            return &logger.seats[i];
        }
        if (tries % SEATS == 0)
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return NULL;
}

static void seat_leave(struct seat *seat)
{
    atomic_fetch_add(&seat->n_turns, 1);
    /* Release, with the setter's load: what the handler did is done. */
    atomic_store(&seat->thread, NULL);
}

static void handle(const weft_log_record *record)
{
    const struct installed *now;
    struct seat *seat;

    /* Relaxed: without a handler there is nothing to keep alive. */
    if (atomic_load_explicit(&logger.handler, memory_order_relaxed) == NULL) {
        write_record(record);
        return;
    }
    seat = seat_take(weft__here(), record->pid);
    now = seat != NULL ? atomic_load(&logger.handler) : NULL;
    if (now != NULL)
        now->handler.fn(record, now->handler.arg);
    else
        write_record(record);
    if (seat != NULL)
        seat_leave(seat);
}

static bool seat_wait(struct seat *seat, int64_t until_ns)
{
    uint64_t n_turns = atomic_load(&seat->n_turns);

    while (atomic_load(&seat->thread) != NULL && atomic_load(&seat->n_turns) == n_turns) {
        if (weft__clock_ns() > until_ns)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return true;
}

static bool seats_wait(void)
{
    int64_t until_ns = weft__clock_ns() + SETTER_PATIENCE_NS;

    for (size_t i = 0; i < SEATS; i++)
        if (!seat_wait(&logger.seats[i], until_ns))
            return false;
    return true;
}

static void find_caller(struct weft__log_caller *caller)
{
    void (*find)(struct weft__log_caller *) =
        atomic_load_explicit(&logger.find_caller, memory_order_acquire);

    *caller = (struct weft__log_caller){weft_none, NULL};
    if (find != NULL)
        find(caller);
}

static bool is_in_handler(void)
{
    struct seat *seat = seat_find(weft__here());
    struct weft__log_caller caller;

    find_caller(&caller);
    return seat != NULL && seat_is_of(seat, caller.pid);
}

/* Free what was replaced, this and earlier ones, once nobody is in them. */
static bool retire_locked(struct installed *before)
{
    if (before == NULL)
        return true;
    before->next = logger.stuck;
    logger.stuck = before;
    if (!seats_wait())
        return false;
    while (logger.stuck != NULL) {
        before = logger.stuck;
        logger.stuck = before->next;
        free(before);
    }
    return true;
}

int weft_log_set_handler(weft_log_fn *fn, void *arg, struct weft_log_handler *old)
{
    struct installed *now = NULL, *before;
    bool is_unused;

    if (is_in_handler())
        return WEFT_EDEADLK;
    if (fn != NULL && (now = malloc(sizeof *now)) == NULL)
        return WEFT_ENOMEM;
    if (now != NULL)
        *now = (struct installed){{fn, arg}, NULL};
    pthread_mutex_lock(&logger.setter);
    before = atomic_exchange(&logger.handler, now);
    if (old != NULL)
        *old = before != NULL ? before->handler : (struct weft_log_handler){NULL, NULL};
    is_unused = retire_locked(before);
    pthread_mutex_unlock(&logger.setter);
    return is_unused ? 0 : WEFT_ETIMEDOUT;
}

/* -- records ----------------------------------------------------------------------------- */

void weft__log_set_caller(void (*find)(struct weft__log_caller *caller))
{
    /* Release, with the acquire in find_caller: what it reads is there. */
    atomic_store_explicit(&logger.find_caller, find, memory_order_release);
}

/* Add what every record has, and hand it on. */
static void emit(struct weft_log_site *site, weft_log_record *record)
{
    struct weft__log_caller caller;

    find_caller(&caller);
    record->size = sizeof *record;
    record->time_ns = weft__clock_wall_ns();
    record->pid = caller.pid;
    record->label = caller.label;
    if (site != NULL) {
        record->file = site->file;
        record->function = site->function;
        record->line = site->line;
    }
    record->n_left_out = take_left_out(site);
    handle(record);
}

size_t weft__log_cut(char *text, size_t size)
{
    size_t at;

    if (size < 4) {
        if (size > 0)
            text[0] = '\0';
        return 0;
    }
    at = size - 4;
    /* Back over bytes that continue a character, at most three. */
    for (int i = 0; i < 3 && at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80; i++)
        at--;
    memcpy(text + at, "...", 4);
    return at + 3;
}

/* noinline, here and below: a caller that parks must not get the address of
 * errno that a compiler keeps. */
__attribute__((noinline))
void weft_log_at(struct weft_log_site *site, enum weft_log_level level, const char *format, ...)
{
    int before = errno;
    char small[512]; /* when there is no memory */
    char *large = weft__memory_alloc(WEFT__LOG_TEXT);
    char *text = large != NULL ? large : small;
    size_t size = large != NULL ? WEFT__LOG_TEXT : sizeof small;
    weft_log_record record = {.level = level, .fields = weft_none, .text = text};
    va_list args;
    int n;

    errno = before; /* %m */
    va_start(args, format);
    n = vsnprintf(text, size, format, args);
    va_end(args);
    if (n < 0) {
        record.text = format;
        record.text_size = strlen(format);
    } else {
        record.text_size = (size_t)n < size ? (size_t)n : weft__log_cut(text, size);
    }
    emit(site, &record);
    weft__memory_free(large, WEFT__LOG_TEXT);
    errno = before;
}

__attribute__((noinline))
void weft_log_event_at(struct weft_log_site *site, enum weft_log_level level, const char *text,
                       weft_term fields)
{
    int before = errno;
    weft_log_record record = {.level = level, .fields = fields, .text = text != NULL ? text : ""};

    record.text_size = strlen(record.text);
    emit(site, &record);
    errno = before;
}

weft_term weft__log_function_at(const void *address)
{
    char name[512];

    return weft_bin(name, weft__symbol_name(name, sizeof name, address));
}

void weft__log_tell(void)
{
    uint64_t n = atomic_exchange_explicit(&logger.n_untold, 0, memory_order_relaxed);

    if (n > 0)
        weft_log_at(NULL, WEFT_LOG_WARNING, "%llu records were left out by the limits of the log",
                    (unsigned long long)n);
}

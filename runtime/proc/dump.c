/* dump.c - weft_dump: all processes, in words. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/code.h"
#include "base/symbol.h"
#include "proc/disown.h"
#include "proc/runtime.h"
#include "proc/sight.h"
#include "weft/error.h"
#include "weft/info.h"

/* -- writing ----------------------------------------------------------------------- */

/* Names found so far, by address: a look into an object's file takes long, and
 * many processes stand at the same places. */
struct known {
    const void *at;
    char name[120];
};
#define N_KNOWN 512

struct dump {
    int fd;
    int code;             /* 0, or why no more is written */
    size_t n;
    struct known *known;  /* N_KNOWN, or NULL: no memory */
    char text[1024];
};

static void dump_flush(struct dump *dump)
{
    for (size_t done = 0; done < dump->n && dump->code == 0;) {
        ssize_t n = write(dump->fd, dump->text + done, dump->n - done);
        struct pollfd ready = {.fd = dump->fd, .events = POLLOUT};

        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            (void)poll(&ready, 1, -1);
        else if (errno != EINTR)
            dump->code = -errno;
    }
    dump->n = 0;
}

/* A line, or a part of one: at most 512 bytes. */
__attribute__((format(printf, 2, 3)))
static void say(struct dump *dump, const char *format, ...)
{
    va_list args;
    int n;

    if (sizeof dump->text - dump->n < 512)
        dump_flush(dump);
    va_start(args, format);
    n = vsnprintf(dump->text + dump->n, 512, format, args);
    va_end(args);
    if (n > 0)
        dump->n += n < 512 ? (size_t)n : 511;
}

static void dump_begin(struct dump *dump, int fd)
{
    void *known = mmap(NULL, N_KNOWN * sizeof(struct known), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *dump = (struct dump){.fd = fd, .known = known != MAP_FAILED ? known : NULL};
}

static int dump_end(struct dump *dump)
{
    dump_flush(dump);
    if (dump->known != NULL)
        munmap(dump->known, N_KNOWN * sizeof(struct known));
    return dump->code;
}

/* -- names --------------------------------------------------------------------------- */

/* The function around an address; lives until the next call. */
static const char *name_of(struct dump *dump, struct known *room, const void *at)
{
    struct known *known = dump->known != NULL ? &dump->known[((uintptr_t)at >> 2) % N_KNOWN] : room;

    if (known == room || known->at != at) {
        known->at = at;
        weft__symbol_name(known->name, sizeof known->name, at);
    }
    return known->name;
}

/* Where the call is that this frame waits for: one that does not return may be
 * the last thing in its function. */
static const void *call_of(const struct weft__sight *sight, uint32_t i)
{
    return i == 0 ? sight->frames[0] : (const char *)sight->frames[i] - 1;
}

/* The call of weft that user's code made, if it did; into name. A public one,
 * unless it left its frame to another function of weft. */
static bool find_wait(struct dump *dump, const struct weft__sight *sight, char *name, size_t size)
{
    struct known room;
    bool has_public = false, has_any = false;

    for (uint32_t i = 0; i < sight->n_frames; i++) {
        const char *at;
        bool is_public;

        if (weft__code_is_known() && weft__code_of(sight->frames[i]) == WEFT__CODE_OTHER)
            break;
        at = name_of(dump, &room, call_of(sight, i));
        is_public = strncmp(at, "weft_", 5) == 0 && at[5] != '_';
        if (is_public || !has_public)
            snprintf(name, size, "%.*s", (int)strcspn(at, "+."), at);
        has_public |= is_public;
        has_any = true;
    }
    return has_any;
}

/* Frames without the base, which is the same for all. */
static uint32_t n_frames_to_show(const struct weft__sight *sight)
{
    uint32_t n = sight->n_frames;

    if (!weft__code_is_known() || sight->has_more_frames)
        return n;
    while (n > 0 && weft__code_of(sight->frames[n - 1]) != WEFT__CODE_OTHER)
        n--;
    return n > 0 ? n : sight->n_frames;
}

/* -- one process ----------------------------------------------------------------------- */

static void say_since(struct dump *dump, int64_t ns)
{
    int64_t s = ns / WEFT__NS_PER_S;

    if (s < 60)
        say(dump, " for %lld.%01lld s", (long long)s, (long long)(ns / (WEFT__NS_PER_S / 10) % 10));
    else
        say(dump, " for %lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
}

static void say_wait(struct dump *dump, const struct weft__sight *sight)
{
    char name[80];

    say(dump, "waits");
    say_since(dump, sight->since_ns);
    if (find_wait(dump, sight, name, sizeof name))
        say(dump, " in %s", name);
    if (!weft_is_none(sight->asked)) {
        weft_inspect_to(name, sizeof name, sight->asked);
        say(dump, ", for an answer of %s", name);
    } else if (sight->is_for_mail) {
        say(dump, ", for a message");
    }
    if (sight->has_timeout)
        say(dump, ", with a time-out");
}

/* Has the run that goes on there lasted a tick? */
static bool runs_long(const struct weft__worker *worker)
{
    /* Relaxed: a hint from the watchdog; a run's number never comes again. */
    return atomic_load_explicit(&worker->due_run, memory_order_relaxed) ==
           atomic_load_explicit(&worker->counts.runs, memory_order_relaxed);
}

static void say_status(struct dump *dump, struct weft__runtime *runtime, const struct weft__sight *sight)
{
    char pid[48];

    switch (sight->status) {
    case WEFT__SIGHT_RUNNING:
        say(dump, "runs on worker %u", sight->worker);
        if (runs_long(runtime->sched->workers[sight->worker]))
            say(dump, ", for longer than a tick");
        break;
    case WEFT__SIGHT_READY:
        say(dump, "is ready to run");
        break;
    case WEFT__SIGHT_WAITING:
        say_wait(dump, sight);
        break;
    case WEFT__SIGHT_HOG:
        say(dump, "runs on a thread of its own, since it kept a worker too long");
        break;
    case WEFT__SIGHT_BLOCKING:
        say(dump, "runs in weft_blocking, on a thread of its own");
        break;
    case WEFT__SIGHT_DISOWNED:
        weft_inspect_to(pid, sizeof pid, sight->proc.parent);
        say(dump, "is what is left of %s, which was killed and disowned: its thread is not back", pid);
        break;
    case WEFT__SIGHT_ENDING:
        say(dump, "is about to end");
        break;
    case WEFT__SIGHT_FOREIGN:
        say(dump, "is a thread of the program's own");
        break;
    case WEFT__SIGHT_UNSEEN:
        say(dump, "cannot be seen, as the system lets the program read no memory by its calls");
        break;
    }
}

/* What it is called, and what it runs. */
static void say_who(struct dump *dump, const struct weft__sight *sight)
{
    uint64_t name = atomic_load_explicit(&sight->proc.name, memory_order_relaxed);
    struct known room;
    char text[80];

    if (name != 0) {
        weft_inspect_to(text, sizeof text, weft__term(name));
        say(dump, " %s", text);
    }
    if (sight->label[0] != 0)
        say(dump, " \"%s\"", sight->label);
    if (sight->proc.fiber.kind == WEFT__PROC_FUNCTION && sight->proc.entry.fn != NULL)
        say(dump, " %s", name_of(dump, &room, (const void *)(uintptr_t)sight->proc.entry.fn));
    if (sight->proc.fiber.kind == WEFT__PROC_HANDLER)
        say(dump, " %s", name_of(dump, &room, (const void *)(uintptr_t)sight->proc.entry.handler));
    if (sight->proc.fiber.kind == WEFT__PROC_SERVER)
        say(dump, " server");
}

static void say_frames(struct dump *dump, const struct weft__sight *sight)
{
    uint32_t n = n_frames_to_show(sight);
    struct known room;

    for (uint32_t i = 0; i < n; i++)
        say(dump, "    %p  %s\n", sight->frames[i], name_of(dump, &room, call_of(sight, i)));
    if (sight->has_more_frames)
        say(dump, "    and more\n");
}

static void say_messages(struct dump *dump, const struct weft__sight *sight)
{
    if (sight->status == WEFT__SIGHT_UNSEEN)
        return;
    say(dump, "; %u message%s", sight->proc.n_messages, sight->proc.n_messages == 1 ? "" : "s");
    if (sight->n_unseen > 0)
        say(dump, " and %s%u not looked at", sight->unseen_is_least ? "at least " : "", sight->n_unseen);
}

static void say_process(struct dump *dump, struct weft__runtime *runtime, const struct weft__sight *sight)
{
    char pid[48];

    weft_inspect_to(pid, sizeof pid, sight->pid);
    say(dump, "%s", pid);
    say_who(dump, sight);
    say(dump, ": ");
    say_status(dump, runtime, sight);
    say_messages(dump, sight);
    if (sight->memory > 0)
        say(dump, ", %s%zu bytes", sight->memory_is_least ? "at least " : "", sight->memory);
    if (sight->stack_size > 0)
        say(dump, ", %zu%s on its stack of %zu", sight->stack_used, sight->memory > 0 ? " of them" : " bytes",
            sight->stack_size);
    say(dump, "\n");
    say_frames(dump, sight);
}

/* -- all of them ------------------------------------------------------------------------- */

static void say_head(struct dump *dump, struct weft__runtime *runtime)
{
    uint32_t n = weft__disowned_n();

    /* Of one that was disowned there are two: what it was called by, and what is left. */
    say(dump, "weft: %lld processes, %u workers", (long long)weft__runtime_n_alive(runtime) - n,
        runtime->sched->n_workers);
    if (n > 0)
        say(dump, ", %u thread%s of processes that were disowned", n, n == 1 ? "" : "s");
    say(dump, "\n");
}

static void say_all(struct dump *dump, struct weft__runtime *runtime)
{
    /* Acquire, with the release when slots are cut: they are accessible. */
    size_t n = atomic_load_explicit(&runtime->table.n_used, memory_order_acquire);
    struct weft__sight sight;

    for (size_t i = 0; i < n && dump->code == 0; i++)
        if (weft__sight_take(runtime, (uint32_t)i, &sight))
            say_process(dump, runtime, &sight);
}

int weft_dump(int fd)
{
    struct weft__runtime *runtime = weft__runtime();
    struct dump dump;

    if (runtime == NULL)
        return weft__runtime_missing();
    dump_begin(&dump, fd);
    say_head(&dump, runtime);
    say_all(&dump, runtime);
    return dump_end(&dump);
}

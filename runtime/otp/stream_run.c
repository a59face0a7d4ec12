/* stream_run.c - one consumption of a stream: the engine.
 *
 * The nouns. An entry is an item on its way, from the start of its task until
 * it is delivered. The consumer does everything itself, when it asks for the
 * next item: it looks for ends, expires what is late, asks the source, starts
 * tasks, and delivers or waits. Between its calls running tasks go on and
 * nothing new starts.
 *
 *     state     lists                              counted in
 *     FREE      free                               -
 *     STARTING  -           has no task yet        -
 *     RUNNING   running, in the order of start     n_running
 *     DYING     -           killed, not yet dead   n_running
 *     ENDED     -                                  n_buffered
 *
 *     FREE -> STARTING -> RUNNING   run_start
 *     RUNNING -> DYING    run_kill          too late, or the stream stops
 *     RUNNING, DYING -> ENDED   run_ended   its end was drained
 *     ENDED -> FREE       weft__stream_run_deliver
 *
 * Beside that each entry is in `out`, the order of delivery: from its start
 * when the stream is ordered, else from its end.
 *
 * The invariants:
 *   n_running <= max_concurrency; a task counts until its end was seen
 *   a RUNNING or DYING entry has a TASK bond whose collector is the run
 *   an entry's end and the memory of its input belong to the run
 *
 * Ends come by way of a collector, so they never enter the mailbox and no
 * message of anybody's can look like one.
 *
 * Timeouts. All tasks have the same, and they start in order, so the first of
 * `running` is the next one that can be late: one look at it, with a clock
 * reading that the start of a task needs anyway. Where milliseconds do not
 * matter the clock is the kernel's coarse one, which costs a fifth; an entry
 * expires one of its steps later then, so never early.
 *
 * Memory. Entries are an array that grows by doubling and is reused; nothing
 * is allocated for an item but what the task itself needs.
 */
#include "otp/stream.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/code.h"
#include "base/here.h"
#include "base/memory.h"
#include "proc/signal.h"
#include "term/atom.h"
#include "term/copy.h"
#include "term/region.h"
#include "weft/error.h"

#define NOBODY UINT32_MAX
#define FIRST_ENTRIES 8
#define COARSE_FROM_MS 1000 /* timeouts from here on need no precise clock */

enum entry_state { ENTRY_FREE, ENTRY_STARTING, ENTRY_RUNNING, ENTRY_DYING, ENTRY_ENDED };

struct entry {
    weft_pid pid;
    weft_ref ref;                    /* STARTING under a supervisor, too */
    weft_term input;
    struct weft__block *input_block; /* what input lies in; NULL: nothing of ours */
    struct weft__message *end;       /* ENDED */
    uint64_t index;
    int64_t started_ns, ended_ns;
    uint32_t next, prev;             /* in running; next: in free */
    uint32_t next_out;
    uint8_t state;
    bool is_late;                    /* delivered as :timeout, whatever its end says */
};

struct weft__stream_run {
    struct weft__collector collector; /* first: run_ended finds the run by it */
    /* Set once. */
    struct weft__proc *proc;
    weft_stream stream;
    struct weft_spawn_options spawn;
    int64_t timeout_ns;   /* INT64_MAX: none */
    int64_t deadline_ns;  /* when all has to be over; INT64_MAX: never */
    bool has_clock, is_coarse;
    /* By the consumer, as it goes. */
    bool is_dry;          /* nothing more is asked of the source */
    bool is_pulling;      /* inside the source's next */
    bool has_yielded;     /* gave way since the last end */
    weft_term rest;       /* of the list */
    struct entry *entries;
    uint32_t n_entries;
    uint32_t free;
    uint32_t running, running_last;
    uint32_t out, out_last;
    uint32_t n_running, n_buffered;
    uint64_t n_pulled;
};

/* -- the clock ------------------------------------------------------------------------- */

static int64_t coarse_step_ns(void)
{
    struct timespec step = {.tv_nsec = 0};

    clock_getres(CLOCK_MONOTONIC_COARSE, &step);
    return step.tv_sec * WEFT__NS_PER_S + step.tv_nsec;
}

static int64_t run_now_ns(const struct weft__stream_run *run)
{
    struct timespec now;

    if (!run->has_clock)
        return 0;
    if (!run->is_coarse)
        return weft__clock_ns();
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * WEFT__NS_PER_S + now.tv_nsec;
}

static void run_set_clock(struct weft__stream_run *run)
{
    const __typeof__(run->stream.options) *options = &run->stream.options;
    bool has_timeout = options->timeout_ms != WEFT_INFINITY;
    bool has_deadline = options->deadline_ms != WEFT_INFINITY;

    run->has_clock = has_timeout || has_deadline || options->durations;
    run->is_coarse = !has_deadline && !options->durations && options->timeout_ms >= COARSE_FROM_MS;
    run->timeout_ns = weft__clock_after_ms(0, options->timeout_ms);
    if (run->is_coarse && has_timeout && run->timeout_ns < INT64_MAX - WEFT__NS_PER_S)
        run->timeout_ns += coarse_step_ns();
    run->deadline_ns = has_deadline ? weft__clock_after_ms(weft__clock_ns(), options->deadline_ms) : INT64_MAX;
}

/* -- lists of entries ------------------------------------------------------------------- */

/* A free entry, or NOBODY: no memory. */
static uint32_t run_take_entry(struct weft__stream_run *run)
{
    uint32_t i = run->free, n = run->n_entries;

    if (__builtin_expect(i == NOBODY, 0)) {
        uint32_t n_new = n == 0 ? FIRST_ENTRIES : 2 * n;
        struct entry *entries = weft__memory_alloc(n_new * sizeof *entries);

        if (entries == NULL)
            return NOBODY;
        if (n > 0)
            memcpy(entries, run->entries, n * sizeof *entries);
        weft__memory_free(run->entries, n * sizeof *entries);
        for (i = n; i < n_new; i++)
            entries[i] = (struct entry){.next = i + 1 < n_new ? i + 1 : NOBODY};
        run->entries = entries;
        run->n_entries = n_new;
        i = n;
    }
    run->free = run->entries[i].next;
    return i;
}

static void run_give_entry(struct weft__stream_run *run, uint32_t i)
{
    run->entries[i].state = ENTRY_FREE;
    run->entries[i].next = run->free;
    run->free = i;
}

static void running_append(struct weft__stream_run *run, uint32_t i)
{
    struct entry *entry = &run->entries[i];

    entry->next = NOBODY;
    entry->prev = run->running_last;
    if (run->running_last == NOBODY)
        run->running = i;
    else
        run->entries[run->running_last].next = i;
    run->running_last = i;
}

static void running_remove(struct weft__stream_run *run, const struct entry *entry)
{
    if (entry->prev == NOBODY)
        run->running = entry->next;
    else
        run->entries[entry->prev].next = entry->next;
    if (entry->next == NOBODY)
        run->running_last = entry->prev;
    else
        run->entries[entry->next].prev = entry->prev;
}

static void out_append(struct weft__stream_run *run, uint32_t i)
{
    run->entries[i].next_out = NOBODY;
    if (run->out == NOBODY)
        run->out = i;
    else
        run->entries[run->out_last].next_out = i;
    run->out_last = i;
}

/* -- ends ---------------------------------------------------------------------------------- */

static void run_end_entry(struct weft__stream_run *run, uint32_t i, struct weft__message *end)
{
    struct entry *entry = &run->entries[i];

    if (entry->state == ENTRY_RUNNING)
        running_remove(run, entry);
    entry->state = ENTRY_ENDED;
    entry->end = end;
    if (run->stream.options.durations)
        entry->ended_ns = weft__clock_ns();
    if (run->stream.options.bail && (entry->is_late || (end->block.flags & WEFT__HAS_VALUE) == 0))
        run->is_dry = true;
    if (!run->stream.options.ordered)
        out_append(run, i);
    run->n_running--;
    run->n_buffered++;
    run->has_yielded = false;
}

static void run_ended(struct weft__collector *collector, struct weft__proc *proc, struct weft__bond *bond)
{
    struct weft__stream_run *run = (struct weft__stream_run *)(void *)collector;
    struct weft__message *end = bond->message;
    uint32_t i = bond->index;

    weft__bond_remove(proc, bond);
    run_end_entry(run, i, end);
}

/* It counts until its end comes; then it is gone from links and bonds. */
static void run_kill(struct weft__stream_run *run, uint32_t i)
{
    struct entry *entry = &run->entries[i];

    running_remove(run, entry);
    entry->state = ENTRY_DYING;
    weft__task_kill(run->proc, entry->pid, entry->ref);
}

/* -- waiting --------------------------------------------------------------------------------- */

/* Until an end may have come. Giving way first lets short tasks run, so that
 * many ends are found at once and none of them has to wake the consumer. */
static void run_wait_for_end(struct weft__stream_run *run, int64_t timeout_ms)
{
    struct weft__wait wait;

    if (!run->has_yielded) {
        run->has_yielded = true;
        weft_yield();
    } else {
        weft__wait_begin(&wait, run->proc, timeout_ms);
        weft__wait_once(&wait, true);
        weft__wait_end(&wait);
    }
    weft__task_look(run->proc);
}

/* Kill what runs, and see it dead. */
static void run_stop(struct weft__stream_run *run)
{
    run->is_dry = true;
    while (run->running != NOBODY)
        run_kill(run, run->running);
    while (run->n_running > 0)
        run_wait_for_end(run, WEFT_INFINITY);
}

/* -- the end of a run ---------------------------------------------------------------------- */

static void entry_free(struct entry *entry)
{
    if (entry->state == ENTRY_FREE)
        return;
    if (entry->state == ENTRY_ENDED)
        weft__message_free(entry->end);
    if (entry->input_block != NULL)
        weft__block_free(entry->input_block);
}

/* Free it and close the source, which comes last: it may never return. A defer of the
 * consumer as well: a gate, so that it counts with those of users where the consumer is
 * disowned, whose code may look at what the source has. */
WEFT__GATE static void run_free(void *arg)
{
    struct weft__stream_run *run = arg;
    weft_source_fn *close = run->stream.source.close;
    void *state = run->stream.source.state;

    for (uint32_t i = 0; i < run->n_entries; i++)
        entry_free(&run->entries[i]);
    weft__memory_free(run->entries, run->n_entries * sizeof *run->entries);
    weft__memory_free(run, sizeof *run);
    if (close != NULL)
        close(state);
}

/* The consumer ends in mid-stream, as a defer of it: its tasks go too, with its
 * reason as linked ones do; those that trap exits, or would live on after a
 * :normal one, by :kill. A part of the end also of one that is disowned: the run itself
 * stays for its code. */
static void run_abandon(void *arg)
{
    struct weft__stream_run *run = arg;
    struct weft__proc *proc = run->proc;

    for (uint32_t i = 0; i < run->n_entries; i++) {
        struct entry *entry = &run->entries[i];
        struct weft__bond *bond;

        if (entry->state == ENTRY_FREE || entry->state == ENTRY_ENDED)
            continue;
        bond = weft__bond_find(proc, entry->ref.bits);
        if (bond == NULL)
            continue;
        /* By its bond, as one that a supervisor has just started may not be known
         * otherwise. One whose begin has yet to come is told when it does (proc/signal.c). */
        weft__signal_exit_by_link(proc, weft__term(bond->peer));
        weft__task_kill(proc, weft__term(bond->peer), entry->ref);
        bond->collector = NULL;
    }
}

void weft__stream_run_close(struct weft__stream_run *run)
{
    if (run->is_pulling)
        weft__proc_badarg("weft_stream_close", "the stream's own source may not close it");
    run_stop(run);
    weft_undefer(run_abandon, run);
    weft_undefer(run_free, run);
    run_free(run);
}

/* Close, then end the consumer. */
static _Noreturn void run_fail(struct weft__stream_run *run, weft_term reason)
{
    struct weft__proc *proc = run->proc;

    weft__stream_run_close(run);
    weft__proc_exit(proc, reason);
}

static _Noreturn void run_fail_spawn(struct weft__stream_run *run, weft_term input, int code)
{
    const char *call = run->stream.kind->call;

    if (code == WEFT_ENOMEM || code == WEFT_ELIMIT)
        weft__stream_run_close(run); /* else input is in it: the defer closes it */
    weft__task_fail_spawn(call, input, code);
}

static _Noreturn void run_fail_timeout(struct weft__stream_run *run, uint64_t index, bool is_deadline)
{
    const __typeof__(run->stream.options) *options = &run->stream.options;
    int64_t timeout_ms = is_deadline ? options->deadline_ms : options->timeout_ms;
    char text[256];
    weft_term where;

    snprintf(text, sizeof text,
             "%s: item %llu was not done after %s = %lld; .on_timeout = WEFT_KILL_TASK gives such an "
             "item as {:exit, :timeout} instead",
             run->stream.kind->call, (unsigned long long)index,
             is_deadline ? ".deadline_ms" : ".timeout_ms", (long long)timeout_ms);
    where = weft_tuple(weft_str(text), weft_list(weft__task_timeout_term(timeout_ms)));
    run_fail(run, weft_tuple(WEFT__A(timeout), where));
}

/* -- a run ------------------------------------------------------------------------------------ */

struct weft__stream_run *weft__stream_run_new(struct weft__proc *proc, const weft_stream *stream)
{
    void *state = stream->source.state;
    struct weft__stream_run *run;

    if (stream->source.open != NULL)
        stream->source.open(state);
    run = weft__memory_alloc(sizeof *run);
    if (run == NULL) {
        if (stream->source.close != NULL)
            stream->source.close(state);
        weft__task_fail_spawn(stream->kind->call, weft_none, WEFT_ENOMEM);
    }
    *run = (struct weft__stream_run){
        .collector.ended = run_ended,
        .proc = proc,
        .stream = *stream,
        .rest = stream->list,
        .free = NOBODY,
        .running = NOBODY,
        .running_last = NOBODY,
        .out = NOBODY,
        .out_last = NOBODY,
    };
    weft__task_spawn_options(stream->kind->call, &run->spawn, stream->options.priority,
                             stream->options.stack_size);
    run->spawn.link = true;
    run_set_clock(run);
    weft_defer(run_free, run);
    weft_defer(run_abandon, run);
    return run;
}

struct weft__proc *weft__stream_run_proc(const struct weft__stream_run *run)
{
    return run->proc;
}

/* All of it took too long: nothing new starts. */
static void run_look_at_deadline(struct weft__stream_run *run)
{
    if (run->deadline_ns == INT64_MAX || run_now_ns(run) < run->deadline_ns)
        return;
    if (!run->is_dry && run->running == NOBODY && run->stream.options.on_timeout == WEFT_EXIT_CALLER)
        run_fail_timeout(run, run->n_pulled, true);
    run->is_dry = true;
}

/* What is too late is killed, or ends the consumer. */
static void run_expire(struct weft__stream_run *run, int64_t now_ns)
{
    while (run->running != NOBODY) {
        uint32_t i = run->running;
        struct entry *entry = &run->entries[i];
        bool is_deadline = now_ns >= run->deadline_ns;

        if (!is_deadline && now_ns - entry->started_ns < run->timeout_ns)
            return;
        if (run->stream.options.on_timeout == WEFT_EXIT_CALLER)
            run_fail_timeout(run, entry->index, is_deadline);
        entry->is_late = true;
        run_kill(run, i);
    }
}

/* When the next running task is late; INT64_MAX: never. */
static int64_t run_next_ns(const struct weft__stream_run *run)
{
    int64_t next_ns = run->deadline_ns;

    if (run->running == NOBODY)
        return INT64_MAX; /* those that are dying come in any case */
    if (run->timeout_ns != INT64_MAX && run->entries[run->running].started_ns + run->timeout_ns < next_ns)
        next_ns = run->entries[run->running].started_ns + run->timeout_ns;
    return next_ns;
}

/* Until an end may have come or a task is late. */
static void run_wait(struct weft__stream_run *run)
{
    int64_t next_ns = run_next_ns(run), now_ns, left_ns;

    if (next_ns == INT64_MAX) {
        run_wait_for_end(run, WEFT_INFINITY);
        return;
    }
    now_ns = run_now_ns(run);
    left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    run_wait_for_end(run, (left_ns + WEFT__NS_PER_MS - 1) / WEFT__NS_PER_MS);
    run_expire(run, run_now_ns(run));
}

/* The next item of a source; what is no immediate goes to a block of its own. */
static bool run_ask_source(struct weft__stream_run *run, weft_term *input, struct weft__block **block)
{
    struct weft__copy_refusal refusal;
    size_t size;
    bool has_item;

    WEFT_SCOPE;
    *input = weft_none;
    run->is_pulling = true;
    has_item = run->stream.source.next(run->stream.source.state, input);
    run->is_pulling = false;
    if (!has_item)
        return false;
    size = weft__copy_size(*input, &refusal);
    if (size == WEFT__COPY_REFUSED)
        weft__copy_fail(run->stream.kind->call, &refusal);
    if (size > 0) {
        *block = weft__block_new(size);
        if (*block == NULL)
            run_fail_spawn(run, weft_none, WEFT_ENOMEM);
        *input = weft__copy_into(*input, weft__block_data(*block), &(*block)->counted);
    }
    return true;
}

static weft_pid run_spawn(struct weft__stream_run *run, weft_term input, weft_ref *ref)
{
    const struct weft__stream_kind *kind = run->stream.kind;
    weft_term reason;
    weft_pid pid;
    int code;

    if (kind->start != NULL) {
        pid = kind->start(&run->stream, run->proc, input, ref, &reason);
        if (weft_is_none(pid))
            run_fail(run, reason);
    } else {
        pid = weft__task_spawn(run->proc, kind->call, run->stream.fn, input, &run->spawn, ref, &code);
        if (__builtin_expect(weft_is_none(pid), 0))
            run_fail_spawn(run, input, code);
    }
    return pid;
}

/* Start a task for the item. */
static void run_start(struct weft__stream_run *run, weft_term input, struct weft__block *block, int64_t now_ns)
{
    uint32_t i = run_take_entry(run);
    struct weft__bond *bond;
    struct entry *entry;
    weft_pid pid;

    if (i == NOBODY) {
        if (block != NULL)
            weft__block_free(block);
        run_fail_spawn(run, weft_none, WEFT_ENOMEM);
    }
    entry = &run->entries[i];
    entry->input = input;
    entry->input_block = block;
    entry->index = run->n_pulled++;
    entry->started_ns = now_ns;
    entry->is_late = false;
    entry->end = NULL;
    entry->ref = weft_none;
    entry->state = ENTRY_STARTING; /* from here on its block is freed with the run */
    pid = run_spawn(run, input, &entry->ref);
    /* It may have parked: others may have ended, but none was added. */
    entry->pid = pid;
    entry->state = ENTRY_RUNNING;
    running_append(run, i);
    if (run->stream.options.ordered)
        out_append(run, i);
    run->n_running++;
    bond = weft__bond_find(run->proc, entry->ref.bits);
    weft__check(bond != NULL);
    if (__builtin_expect(bond->is_done, 0)) {
        run_end_entry(run, i, weft__task_take(run->proc, bond));
        return;
    }
    bond->collector = &run->collector;
    bond->index = i;
}

static bool run_may_start(const struct weft__stream_run *run)
{
    return !run->is_dry && run->n_running < run->stream.options.max_concurrency &&
           run->n_buffered < run->stream.options.max_buffered;
}

/* Ask for items and start their tasks, as long as there is room. What the
 * clock said last; 0 when nothing started. */
static int64_t run_fill(struct weft__stream_run *run)
{
    int64_t now_ns = 0;

    while (run_may_start(run)) {
        struct weft__block *block = NULL;
        bool is_list = run->stream.source.next == NULL;
        weft_term input;

        if (!(is_list ? weft_list_next(&run->rest, &input) : run_ask_source(run, &input, &block))) {
            run->is_dry = true;
            break;
        }
        if (now_ns == 0 || !is_list) /* a source may have taken its time */
            now_ns = run_now_ns(run);
        run_start(run, input, block, now_ns);
    }
    return now_ns;
}

static bool run_has_item(const struct weft__stream_run *run)
{
    return run->out != NOBODY && run->entries[run->out].state == ENTRY_ENDED;
}

bool weft__stream_run_ready(struct weft__stream_run *run)
{
    if (run->is_pulling)
        weft__proc_badarg("weft_stream_next", "the stream's own source may not ask it");
    weft__task_look(run->proc);
    for (;;) {
        int64_t now_ns;

        run_look_at_deadline(run);
        now_ns = run_fill(run);
        if (now_ns != 0)
            run_expire(run, now_ns);
        if (run_has_item(run))
            return true;
        if (run->is_dry && run->n_running == 0)
            return false;
        run_wait(run);
    }
}

/* The end of an entry as the reason of an item. */
static weft_term run_reason(const struct weft__stream_run *run, const struct entry *entry, weft_term why)
{
    if (entry->is_late)
        why = WEFT__A(timeout);
    return run->stream.options.zip_input_on_exit ? weft_tuple(entry->input, why) : why;
}

bool weft__stream_run_deliver(struct weft__stream_run *run, weft_stream_item *item)
{
    uint32_t i = run->out;
    struct entry *entry = &run->entries[i];
    weft_term term;
    bool has_value;

    if (entry->input_block != NULL)
        entry->input = weft__task_adopt(run->proc, entry->input_block, entry->input);
    term = weft__task_unwrap(run->proc, entry->end, &has_value);
    *item = (weft_stream_item){
        .ok = has_value && !entry->is_late,
        .input = entry->input,
        .index = entry->index,
    };
    if (run->stream.options.durations)
        item->duration_us = (entry->ended_ns - entry->started_ns) / WEFT__NS_PER_US;
    if (item->ok)
        item->value = term;
    else
        item->reason = run_reason(run, entry, term);
    run->out = entry->next_out;
    run->n_buffered--;
    run_give_entry(run, i);
    return !item->ok && run->stream.options.bail;
}

/* timer.c - a message that waits in a wheel.
 *
 * A timer is one piece of memory: the message as it will be sent, and behind
 * its terms the wheel's part. When it fires, the message goes off and takes the
 * rest along as slack, to be freed by the receiver's scope. Until then the
 * message's own fields say, so that most timers fit two cache lines:
 *
 *     ref    the reference       from   when it is due, in ns
 *     to     the destination     flags  TAKEN: it is out of its table
 *
 * Two places know a timer: the wheel of a worker, for when, and a table of the
 * slot of the process that set it, by reference, for cancel and read. When a
 * process ends, those in its slot's table that it had set for itself (nearly
 * all, in practice) go with it. Those for others stay there until they are due,
 * also when the slot's next process begins, which has other references; those
 * that others had set for it say false from then on.
 *
 * Who ends a timer: whoever takes it out of the table, under the lock of the
 * slot's shard.
 *
 *   fire       wheel's lock, then shard's lock: takes it out, sends, unlocks
 *   cancel     shard's lock: takes it out, unlocks; then takes it out of the
 *              wheel, which waits for a fire under way, and frees it
 *   fire, of one that is taken: does nothing
 *
 * Fire sends before it unlocks: a destination that gets false from cancel has
 * the message in its inbox. Nobody takes a wheel's lock under a shard's: so
 * what is left is told from the timer's own copy of its expiry.
 *
 * Order. A creator's timers are all in one wheel as long as any is pending,
 * even if it goes on on another worker meanwhile, and expire at readings of
 * the clock that never go back: so those of one moment fire in the order set.
 * Timers for a moment (.abs) may have the same one though different processes
 * set them: they are in a wheel chosen by destination.
 */
#include "services/timer.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/here.h"
#include "base/memory.h"
#include "base/slab.h"
#include "base/spin.h"
#include "proc/bond.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "services/holding.h"
#include "services/timer_table.h"
#include "weft/timer.h"

#define N_SHARDS 256u
#define LATE_NS 250000     /* who sets timers fires those that are this late */
#define FIRE_MAX 256

/* What a slot has whose process set timers; made by that process. */
struct table {
    struct weft__worker *worker;     /* in whose wheel the pending ones are; by the process */
    struct weft__timer_table timers; /* under the shard's lock */
};

struct shard {
    _Alignas(64) struct weft__spin lock; /* guards the tables of its slots */
    uint64_t n_timers;
};

static struct shard shards[N_SHARDS] = {
    /* As high as it can be: queues are locked under it, when a message wakes. */
    [0 ... N_SHARDS - 1] = {.lock = {.rank = WEFT__RANK_EPOCH}}
};

static void process_ended(struct weft__proc *proc, void *holding);
static void runtime_stopped(uint32_t slot, void *holding);

static struct weft__holdings tables = {.ended = process_ended, .stopped = runtime_stopped};

__attribute__((constructor)) static void register_tables(void)
{
    weft__holdings_register(&tables);
}

static struct shard *shard_of(uint32_t slot)
{
    return &shards[slot % N_SHARDS];
}

static uint32_t slot_of(uint64_t ref)
{
    return weft__ref_slot(weft__term(ref));
}

/* Out of its table, under the lock. */
static void take_locked(struct shard *shard, struct table *table, struct weft__message *message)
{
    weft__timer_table_take(&table->timers, message);
    shard->n_timers--;
}

/* The table of a slot, by anyone. */
static struct table *table_at(uint32_t slot)
{
    _Atomic(void *) *cell = weft__holding_find(&tables, slot);

    return cell != NULL ? atomic_load_explicit(cell, memory_order_relaxed) : NULL;
}

/* -- firing ---------------------------------------------------------------------------- */

/* Whom a timer is for now, or weft_none. Not under the shard's lock, as registries have
 * theirs; nobody frees the message while it fires. */
static weft_pid destination(const struct weft__message *message)
{
    weft_term dest = weft__term(message->to);
    weft_pid pid;

    if (weft_is_pid(dest))
        return dest;
    return weft__name_find(dest, &pid) == 0 ? pid : weft_none;
}

/* false: nobody is there; the message is still the caller's. */
static bool deliver(struct weft__message *message, weft_pid pid)
{
    struct weft__proc *proc = weft__proc_slot(pid);

    if (proc == NULL || !weft__proc_is_there(proc, pid))
        return false;
    message->block.flags = 0;
    message->ref = message->from = 0;
    weft__message_send(proc, pid, message);
    return true;
}

static void timer_fire(struct weft__timer *fired)
{
    struct weft__message *message = ((struct weft__timer_tail *)(void *)fired)->message, *dropped = NULL;
    uint32_t slot = slot_of(message->ref);
    struct shard *shard = shard_of(slot);
    weft_pid pid = destination(message);

    weft__spin_acquire(&shard->lock);
    if (!(message->block.flags & WEFT__TIMER_TAKEN)) {
        struct table *table = table_at(slot);

        take_locked(shard, table, message);
        if (!deliver(message, pid))
            dropped = message;
    }
    weft__spin_release(&shard->lock);
    if (dropped != NULL)
        weft__message_free(dropped);
}

/* The message's fields, and the line of its group. */
static void timer_warm(const struct weft__timer *timer)
{
    const struct weft__timer_tail *tail = (const struct weft__timer_tail *)(const void *)timer;

    __builtin_prefetch(tail->message, 1);
    __builtin_prefetch(tail->group, 1);
}

static const struct weft__timer_kind timer_kind = {.fire = timer_fire, .warm = timer_warm};

/* One that the caller has taken out of its table. */
static void timer_end(struct weft__message *message)
{
    weft__wheel_cancel(&weft__timer_tail(message)->timer, 0); /* a fire under way is over then */
    weft__message_free(message);
}

/* -- tables and processes ------------------------------------------------------------------- */

/* By a process, of its own slot; NULL: no memory. */
static struct table *table_make(struct weft__proc *proc)
{
    uint32_t slot = weft__pid_slot(proc->pid);
    _Atomic(void *) *cell = weft__holding(&tables, slot);
    struct table *table;

    if (cell == NULL)
        return NULL;
    table = atomic_load_explicit(cell, memory_order_relaxed);
    if (table != NULL)
        return table;
    table = weft__memory_alloc(sizeof *table);
    if (table == NULL)
        return NULL;
    *table = (struct table){.worker = NULL};
    weft__spin_acquire(&shard_of(slot)->lock);
    atomic_store_explicit(cell, table, memory_order_relaxed);
    weft__spin_release(&shard_of(slot)->lock);
    return table;
}

static void table_free(struct table *table)
{
    weft__timer_table_destroy(&table->timers);
    weft__memory_free(table, sizeof *table);
}

/* End all timers of a table that are for dest. No more are set. */
static void end_all(struct shard *shard, struct table *table, weft_term dest)
{
    uint64_t n_lists = weft__timer_table_n_lists(&table->timers);
    struct weft__message *taken[WEFT__TIMER_BATCH];

    for (uint64_t i = 0; i < n_lists;) {
        int n = 0;

        weft__spin_acquire(&shard->lock);
        if (table->timers.n_timers == 0)
            i = n_lists;
        else
            n = weft__timer_table_take_some(&table->timers, i, dest, taken);
        shard->n_timers -= (uint64_t)n;
        weft__spin_release(&shard->lock);
        for (int k = 0; k < n; k++)
            timer_end(taken[k]);
        if (n == 0)
            i++;
    }
}

/* By whoever ends the process. Others may fire and cancel. */
static void process_ended(struct weft__proc *proc, void *holding)
{
    uint32_t slot = weft__pid_slot(proc->pid);
    struct shard *shard = shard_of(slot);
    struct table *table = holding;
    bool is_empty;

    end_all(shard, table, proc->pid);
    weft__spin_acquire(&shard->lock);
    is_empty = table->timers.n_timers == 0;
    if (is_empty) /* release, with the stop's look at the cell */
        atomic_store_explicit(weft__holding_find(&tables, slot), NULL, memory_order_release);
    weft__spin_release(&shard->lock);
    if (is_empty)
        table_free(table);
}

/* -- setting --------------------------------------------------------------------------------- */

static uint32_t worker_for(const struct weft__sched *sched, weft_term dest)
{
    uint64_t bits = weft__is_memory(dest) ? weft_hash(dest) : dest.bits;

    return (uint32_t)((bits >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 40) % sched->n_workers;
}

/* In whose wheel it goes: see Order, at the top. */
static struct weft__worker *choose_worker(struct table *table, weft_term dest, bool is_abs, bool has_pending)
{
    struct weft__sched *sched = weft__runtime()->sched;
    struct weft__worker *here = weft__here()->slot.worker;

    if (is_abs)
        return sched->workers[worker_for(sched, dest)];
    if (!has_pending || table->worker == NULL)
        table->worker = here != NULL ? here : sched->workers[worker_for(sched, dest)];
    return table->worker;
}

/* The message {:timeout, ref, term} or the term itself, as a timer that is
 * nowhere yet. */
static struct weft__message *timer_new(const char *call, weft_term dest, weft_term term, uint64_t ref,
                                       bool is_wrapped)
{
    struct weft__copy_refusal refusal;
    size_t size = weft__copy_size(term, &refusal), head = is_wrapped ? 4 * sizeof(uint64_t) : 0;
    size_t name_size = weft__copy_size(dest, &refusal); /* none, but of a via name */
    struct weft__block *block;
    struct weft__message *message;
    uint64_t *tuple;

    if (size == WEFT__COPY_REFUSED || name_size == WEFT__COPY_REFUSED)
        weft__copy_fail(call, &refusal);
    block = weft__block_new(sizeof *message - sizeof *block + head + size + name_size +
                            sizeof(struct weft__timer_tail));
    if (block == NULL)
        weft__proc_system_limit(call, "no memory");
    block->kind = WEFT__MESSAGE;
    message = (struct weft__message *)(void *)block;
    tuple = (uint64_t *)(message + 1);
    message->to = weft__copy_into(dest, (char *)tuple + head + size, &block->counted).bits;
    message->ref = ref;
    message->root = weft__copy_into(term, (char *)tuple + head, &block->counted);
    if (is_wrapped) {
        tuple[0] = weft__header(WEFT__BOX_TUPLE, 3);
        tuple[1] = WEFT_ATOM("timeout").bits;
        tuple[2] = ref;
        tuple[3] = message->root.bits;
        message->root = weft__boxed(tuple);
    }
    weft__timer_init(&weft__timer_tail(message)->timer, &timer_kind);
    weft__timer_tail(message)->message = message;
    return message;
}

/* Into the wheel. Who sets many in a row may keep its worker from looking around
 * for long: so it fires itself what is late there. Otherwise the watchdog would,
 * on another core and with the lock of the wheel that this one is to have. */
static void timer_start(struct weft__worker *worker, struct weft__timer *timer, int64_t when_ns, int64_t now_ns)
{
    bool is_first = weft__wheel_add_at(&worker->wheel, timer, when_ns);

    if (worker != weft__here()->slot.worker) {
        if (is_first)
            weft__idle_call(worker);
    } else if (weft__wheel_due(&worker->wheel) < now_ns - LATE_NS) {
        weft__wheel_turn(&worker->wheel, now_ns, FIRE_MAX);
    }
}

static weft_ref set(const char *call, weft_term dest, weft_term term, int64_t ms, bool is_abs, bool is_wrapped)
{
    struct weft__proc *proc = weft__proc_need(call);
    struct weft__timer_buckets *emptied = NULL;
    struct weft__message *message;
    struct table *table;
    struct shard *shard;
    bool has_pending, is_added;
    int64_t now_ns, when_ns;
    weft_ref ref;

    if (!weft_is_pid(dest) && !weft__name_is(dest))
        weft__proc_badarg(call, "the destination is neither a pid nor a name");
    if (ms < 0 && !is_abs)
        weft__proc_badarg(call, "a negative time: %lld ms", (long long)ms);
    table = table_make(proc);
    if (table == NULL)
        weft__proc_system_limit(call, "no memory");
    ref = weft__make_ref(proc);
    message = timer_new(call, dest, term, ref.bits, is_wrapped);
    now_ns = weft__clock_ns();
    when_ns = weft__clock_after_ms(is_abs ? 0 : now_ns, is_abs && ms < 0 ? 0 : ms);
    message->from = (uint64_t)when_ns;

    shard = shard_of(slot_of(ref.bits));
    weft__spin_acquire(&shard->lock);
    has_pending = table->timers.n_timers > 0;
    if (!has_pending)
        emptied = weft__timer_table_shrink(&table->timers);
    is_added = weft__timer_table_add(&table->timers, message);
    shard->n_timers += is_added;
    weft__spin_release(&shard->lock);
    if (emptied != NULL)
        weft__timer_buckets_free(emptied);
    if (!is_added) {
        weft__message_free(message);
        weft__proc_system_limit(call, "no memory");
    }
    /* Nobody knows the reference yet: only the wheel can end it. */
    weft__slab_warm(weft__here()->slot.cache, message->block.size);
    timer_start(choose_worker(table, dest, is_abs, has_pending), &weft__timer_tail(message)->timer, when_ns,
                now_ns);
    return ref;
}

weft_ref weft_send_after_opt(weft_term dest, weft_term message, int64_t ms,
                             const struct weft_timer_options *options)
{
    return set("weft_send_after", dest, message, ms, options != NULL && options->abs, false);
}

weft_ref weft_start_timer_opt(weft_term dest, weft_term message, int64_t ms,
                              const struct weft_timer_options *options)
{
    return set("weft_start_timer", dest, message, ms, options != NULL && options->abs, true);
}

/* -- cancelling and looking -------------------------------------------------------------- */

static int64_t left_ms(const struct weft__message *message)
{
    int64_t left_ns = (int64_t)message->from - weft__clock_ns();

    return left_ns > 0 ? left_ns / WEFT__NS_PER_MS + (left_ns % WEFT__NS_PER_MS != 0) : 0;
}

/* Will it find somebody, as far as can be said now? A name is looked up when
 * the time has come. */
static bool is_live(const struct weft__message *message)
{
    weft_term dest = weft__term(message->to);
    struct weft__proc *proc;

    if (!weft_is_pid(dest))
        return true;
    proc = weft__proc_slot(dest);
    return proc != NULL && weft__proc_is_there(proc, dest);
}

/* The milliseconds left, or -1. */
static int64_t look(uint64_t ref, bool is_cancel)
{
    uint32_t slot = slot_of(ref);
    struct shard *shard = shard_of(slot);
    struct weft__message *message = NULL;
    struct table *table;
    int64_t left = -1;

    weft__spin_acquire(&shard->lock);
    table = table_at(slot);
    if (table != NULL)
        message = weft__timer_table_find(&table->timers, ref);
    if (message != NULL && is_live(message))
        left = left_ms(message);
    if (message != NULL && is_cancel)
        take_locked(shard, table, message);
    weft__spin_release(&shard->lock);
    if (message != NULL && is_cancel)
        timer_end(message);
    return left;
}

static void answer(struct weft__proc *proc, weft_ref ref, int64_t left)
{
    weft_term elements[] = {WEFT_ATOM("cancel_timer"), ref, left >= 0 ? weft_int(left) : weft_bool(false)};
    struct weft__copy_refusal refusal;
    struct weft__message *message = weft__message_tuple(WEFT__MESSAGE, elements, 3, &refusal);

    if (message == NULL)
        weft__proc_system_limit("weft_cancel_timer", "no memory");
    weft__message_send(proc, proc->pid, message);
}

int64_t weft_cancel_timer_opt(weft_ref ref, const struct weft_cancel_timer_options *options)
{
    struct weft__proc *proc = weft__proc_need("weft_cancel_timer");
    bool is_async = options != NULL && options->async;
    bool has_info = options == NULL || options->info;
    int64_t left;

    if (!weft_is_ref(ref))
        weft__proc_badarg("weft_cancel_timer", "not a reference");
    left = look(ref.bits, true);
    if (is_async && has_info)
        answer(proc, ref, left);
    return is_async || !has_info ? 0 : left;
}

int64_t weft_read_timer(weft_ref ref)
{
    weft__proc_need("weft_read_timer");
    if (!weft_is_ref(ref))
        weft__proc_badarg("weft_read_timer", "not a reference");
    return look(ref.bits, false);
}

/* -- the end of the runtime ------------------------------------------------------------- */

/* Workers go on meanwhile: timers may fire. */
static void runtime_stopped(uint32_t slot, void *holding)
{
    struct table *table = holding;

    end_all(shard_of(slot), table, weft_none);
    /* Nobody looks for it any more. */
    atomic_store_explicit(weft__holding_find(&tables, slot), NULL, memory_order_relaxed);
    table_free(table);
}

uint64_t weft__timers_count(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < N_SHARDS; i++) {
        weft__spin_acquire(&shards[i].lock);
        n += shards[i].n_timers;
        weft__spin_release(&shards[i].lock);
    }
    return n;
}

/* -- the time ---------------------------------------------------------------------------------- */

int64_t weft_monotonic_ns(void)
{
    return weft__clock_ns();
}

int64_t weft_monotonic_ms(void)
{
    return weft__clock_ns() / WEFT__NS_PER_MS;
}

int64_t weft_system_time_ms(void)
{
    return weft__clock_wall_ns() / WEFT__NS_PER_MS;
}

/* timer.c - a message that waits in a wheel.
 *
 * A timer is one piece of memory: the message as it will be sent, and behind
 * its terms what is needed until then. When it fires, the message goes off and
 * takes the rest along as slack, to be freed by the receiver's scope.
 *
 * Three places know a timer:
 *   - the wheel of a worker, for when
 *   - a table by reference, for cancel and read: 256 shards by the slot of the
 *     process that set it, each with a lock
 *   - a list of its creator's pending timers, under the same lock. When a
 *     process ends, those it had set for itself (nearly all, in practice) go
 *     with it. Those that others had set for it stay until they are due and
 *     say false meanwhile.
 *
 * Who ends a timer. Whoever takes it out of the table, under the shard's lock:
 *
 *   fire       wheel's lock, then shard's lock: takes it out, sends, unlocks
 *   cancel     shard's lock: takes it out, marks it taken, unlocks; then takes
 *              it out of the wheel, which waits for a fire under way, and
 *              frees it
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
 *
 * The table of a shard grows by a bucket at a time (linear hashing, Litwin
 * 1980): a million timers of one process never stop the others that share its
 * shard for a rehash. It shrinks when the runtime stops.
 */
#include "services/timer.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/here.h"
#include "base/slab.h"
#include "base/spin.h"
#include "proc/bond.h"
#include "proc/message.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "services/holding.h"
#include "weft/timer.h"

#include <stdlib.h>

#define N_SHARDS 256u
#define FIRST_BUCKETS 64u
#define N_SEGMENTS 32
#define BATCH 64 /* timers taken under one lock when a process ends */

struct timer {
    struct weft__timer timer;      /* the wheel's; first, for fire */
    int64_t when_ns;
    struct timer *next;            /* in its bucket */
    uint64_t ref;                  /* bits */
    weft_term dest;                /* a pid or an atom */
    struct weft__message *message; /* this memory begins there */
    struct timer *older, *newer;   /* its creator's, a ring with `list` below */
    bool is_taken;                 /* under the shard's lock: somebody cancels it */
};

/* What a process that set timers has: in its cell, by the process alone but
 * for the ring. */
struct creator {
    weft_pid pid;
    struct weft__worker *worker;   /* in whose wheel the pending ones are */
    struct timer list;             /* its ring; under the shard's lock */
};

/* Segment 0 has the first 64 buckets, segment k the 64 << (k - 1) after those
 * of all before: what was there stays where it is. */
struct shard {
    _Alignas(64) struct weft__spin lock; /* guards all of it */
    uint32_t n_timers;
    uint32_t n_buckets;
    struct timer **segments[N_SEGMENTS];
};

static struct shard shards[N_SHARDS] = {
    /* As high as it can be: queues are locked under it, when a message wakes. */
    [0 ... N_SHARDS - 1] = {.lock = {.rank = WEFT__RANK_EPOCH}}
};

/* -- a shard's table: under its lock --------------------------------------------- */

static struct shard *shard_of(uint64_t ref)
{
    return &shards[weft__ref_slot(weft__term(ref)) % N_SHARDS];
}

/* References of one process count up: eight in a row share a cache line of
 * buckets, the rest is scattered. */
static uint64_t hash_of(uint64_t bits)
{
    uint64_t counter = weft__ref_counter(weft__term(bits));
    uint64_t mixed = (counter >> 3) + ((uint64_t)(weft__ref_slot(weft__term(bits)) / N_SHARDS) << 34);

    mixed *= UINT64_C(0x9E3779B97F4A7C15);
    return mixed >> 32 << 3 | (counter & 7);
}

static struct timer **bucket_at(struct shard *shard, uint64_t index)
{
    unsigned segment;

    if (index < FIRST_BUCKETS)
        return &shard->segments[0][index];
    segment = 64u - (unsigned)__builtin_clzll(index / FIRST_BUCKETS);
    return &shard->segments[segment][index - ((uint64_t)FIRST_BUCKETS << (segment - 1))];
}

/* The largest power of two that is not above n. */
static uint64_t level_of(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n));
}

static struct timer **bucket_of(struct shard *shard, uint64_t ref)
{
    uint64_t level = level_of(shard->n_buckets);
    uint64_t index = hash_of(ref) & (2 * level - 1);

    return bucket_at(shard, index < shard->n_buckets ? index : index - level);
}

/* One bucket more: the next one in turn is split in two. Without memory for it
 * the chains get longer. */
static void shard_grow(struct shard *shard)
{
    uint64_t n = shard->n_buckets, level = level_of(n);
    struct timer **low, **high, *timer;

    if (n == level) { /* the first one of a segment */
        unsigned segment = 64u - (unsigned)__builtin_clzll(n / FIRST_BUCKETS);

        if (segment >= N_SEGMENTS)
            return;
        shard->segments[segment] = calloc(level, sizeof(struct timer *));
        if (shard->segments[segment] == NULL)
            return;
    }
    shard->n_buckets++;
    low = bucket_at(shard, n - level);
    high = bucket_at(shard, n);
    timer = *low;
    for (*low = NULL; timer != NULL;) {
        struct timer *next = timer->next;
        struct timer **to = hash_of(timer->ref) & level ? high : low;

        timer->next = *to;
        *to = timer;
        timer = next;
    }
}

static bool shard_add(struct shard *shard, struct timer *timer)
{
    struct timer **bucket;

    if (shard->n_buckets == 0) {
        shard->segments[0] = calloc(FIRST_BUCKETS, sizeof(struct timer *));
        if (shard->segments[0] == NULL)
            return false;
        shard->n_buckets = FIRST_BUCKETS;
    }
    if (shard->n_timers++ >= shard->n_buckets)
        shard_grow(shard);
    bucket = bucket_of(shard, timer->ref);
    timer->next = *bucket;
    *bucket = timer;
    return true;
}

static struct timer *shard_find(struct shard *shard, uint64_t ref)
{
    struct timer *timer = shard->n_timers > 0 ? *bucket_of(shard, ref) : NULL;

    while (timer != NULL && timer->ref != ref)
        timer = timer->next;
    return timer;
}

static void ring_remove(struct timer *timer)
{
    timer->older->newer = timer->newer;
    timer->newer->older = timer->older;
    timer->older = timer->newer = timer;
}

static void ring_append(struct timer *list, struct timer *timer)
{
    timer->newer = list;
    timer->older = list->older;
    list->older->newer = timer;
    list->older = timer;
}

/* Out of the table and its creator's ring. */
static void shard_take(struct shard *shard, struct timer *timer)
{
    struct timer **at = bucket_of(shard, timer->ref);

    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    shard->n_timers--;
    ring_remove(timer);
    timer->is_taken = true;
}

/* -- firing -------------------------------------------------------------------------- */

/* false: nobody is there; the message is still the caller's. */
static bool deliver(struct timer *timer)
{
    struct weft__message *message = timer->message;
    weft_pid pid = weft_is_atom(timer->dest) ? weft_whereis(timer->dest) : timer->dest;
    struct weft__proc *proc = weft__proc_slot(pid);

    if (proc == NULL || !weft__proc_is_there(proc, pid))
        return false;
    /* The timer is the receiver's memory from here on. */
    weft__message_send(proc, pid, message);
    return true;
}

static void timer_fire(struct weft__timer *fired)
{
    struct timer *timer = (struct timer *)(void *)fired;
    struct shard *shard = shard_of(timer->ref);
    struct weft__message *dropped = NULL;

    weft__spin_acquire(&shard->lock);
    if (!timer->is_taken) {
        shard_take(shard, timer);
        if (!deliver(timer))
            dropped = timer->message;
    }
    weft__spin_release(&shard->lock);
    if (dropped != NULL)
        weft__message_free(dropped);
}

/* A timer that shard_take has given to the caller. */
static void timer_end(struct timer *timer)
{
    weft__wheel_cancel(&timer->timer, 0); /* a fire under way is over then */
    weft__message_free(timer->message);
}

/* -- setting ------------------------------------------------------------------------- */

static void creator_ended(struct weft__proc *proc, void *holding);

static struct weft__holdings creators = {.ended = creator_ended, .stopped = weft__timers_stop};

__attribute__((constructor)) static void register_creators(void)
{
    weft__holdings_register(&creators);
}

static struct creator *creator_of(struct weft__proc *proc)
{
    _Atomic(void *) *cell = weft__holding(&creators, weft__pid_slot(proc->pid));
    struct creator *creator;

    if (cell == NULL)
        return NULL;
    /* Relaxed: a process's own. */
    creator = atomic_load_explicit(cell, memory_order_relaxed);
    if (creator != NULL)
        return creator;
    creator = weft__slab_alloc(weft__here()->cache, sizeof *creator);
    if (creator == NULL)
        return NULL;
    creator->pid = proc->pid;
    creator->worker = NULL;
    creator->list.older = creator->list.newer = &creator->list;
    atomic_store_explicit(cell, creator, memory_order_relaxed);
    return creator;
}

/* By whoever ends the process: no more are set. Others may fire and cancel. */
static void creator_ended(struct weft__proc *proc, void *holding)
{
    struct creator *creator = holding;
    struct shard *shard = &shards[weft__pid_slot(proc->pid) % N_SHARDS];
    struct timer *own[BATCH];
    int n;

    do {
        n = 0;
        weft__spin_acquire(&shard->lock);
        for (int i = 0; i < BATCH && creator->list.newer != &creator->list; i++) {
            struct timer *timer = creator->list.newer;

            if (timer->dest.bits == creator->pid.bits) {
                shard_take(shard, timer);
                own[n++] = timer;
            } else {
                ring_remove(timer);
            }
        }
        holding = creator->list.newer != &creator->list ? creator : NULL;
        weft__spin_release(&shard->lock);
        for (int i = 0; i < n; i++)
            timer_end(own[i]);
    } while (holding != NULL);
    atomic_store_explicit(weft__holding_find(&creators, weft__pid_slot(proc->pid)), NULL, memory_order_relaxed);
    weft__slab_free(weft__here()->cache, creator, sizeof *creator);
}

static uint32_t worker_for(const struct weft__sched *sched, weft_term dest)
{
    return (uint32_t)((dest.bits >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 40) % sched->n_workers;
}

/* In whose wheel it goes: see Order, at the top. */
static struct weft__worker *choose_worker(struct creator *creator, weft_term dest, bool is_abs, bool has_pending)
{
    struct weft__sched *sched = weft__runtime()->sched;
    struct weft__worker *here = weft__here()->worker;

    if (is_abs)
        return sched->workers[worker_for(sched, dest)];
    if (!has_pending)
        creator->worker = here != NULL ? here : sched->workers[worker_for(sched, creator->pid)];
    return creator->worker;
}

/* The message {:timeout, ref, message} or the message itself, with a timer
 * behind it that is nowhere yet. */
static struct timer *timer_new(const char *call, weft_term dest, weft_term term, uint64_t ref, bool is_wrapped)
{
    struct weft__copy_refusal refusal;
    size_t size = weft__copy_size(term, &refusal), head = is_wrapped ? 4 * sizeof(uint64_t) : 0;
    struct weft__block *block;
    struct weft__message *message;
    struct timer *timer;
    char *at;

    if (size == WEFT__COPY_REFUSED)
        weft__copy_fail(call, &refusal);
    block = weft__block_new(sizeof *message - sizeof *block + head + size + sizeof *timer);
    if (block == NULL)
        weft__proc_system_limit(call, "no memory");
    message = (struct weft__message *)(void *)block;
    block->kind = WEFT__MESSAGE;
    message->prev = NULL;
    message->to = message->from = message->ref = 0;
    at = (char *)(message + 1);
    message->root = weft__copy_into(term, at + head, &block->counted);
    if (is_wrapped) {
        uint64_t *tuple = (uint64_t *)(void *)at;

        tuple[0] = weft__header(WEFT__BOX_TUPLE, 3);
        tuple[1] = WEFT_ATOM("timeout").bits;
        tuple[2] = ref;
        tuple[3] = message->root.bits;
        message->root = weft__boxed(tuple);
    }
    timer = (struct timer *)(void *)(at + head + size);
    weft__timer_init(&timer->timer, timer_fire);
    timer->ref = ref;
    timer->dest = dest;
    timer->message = message;
    timer->is_taken = false;
    return timer;
}

static weft_ref set(const char *call, weft_term dest, weft_term message, int64_t ms, bool is_abs,
                    bool is_wrapped)
{
    struct weft__proc *proc = weft__proc_need(call);
    struct weft__worker *worker;
    struct creator *creator;
    struct shard *shard;
    struct timer *timer;
    bool has_pending, is_added;
    weft_ref ref;

    if (!weft_is_pid(dest) && !weft_is_atom(dest))
        weft__proc_badarg(call, "the destination is neither a pid nor a name");
    if (ms < 0 && !is_abs)
        weft__proc_badarg(call, "a negative time: %lld ms", (long long)ms);
    creator = creator_of(proc);
    if (creator == NULL)
        weft__proc_system_limit(call, "no memory");
    ref = weft__make_ref(proc);
    timer = timer_new(call, dest, message, ref.bits, is_wrapped);
    timer->when_ns = weft__clock_after_ms(is_abs ? 0 : weft__clock_ns(), is_abs && ms < 0 ? 0 : ms);

    shard = shard_of(ref.bits);
    weft__spin_acquire(&shard->lock);
    has_pending = creator->list.newer != &creator->list;
    is_added = shard_add(shard, timer);
    if (is_added)
        ring_append(&creator->list, timer);
    weft__spin_release(&shard->lock);
    if (!is_added) {
        weft__message_free(timer->message);
        weft__proc_system_limit(call, "no memory");
    }
    /* Nobody knows the reference yet: the wheel is the only one to end it. */
    worker = choose_worker(creator, dest, is_abs, has_pending);
    if (weft__wheel_add_at(&worker->wheel, &timer->timer, timer->when_ns) && worker != weft__here()->worker)
        weft__idle_call(worker);
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

static int64_t left_ms(int64_t when_ns)
{
    int64_t left_ns = when_ns - weft__clock_ns();

    return left_ns > 0 ? left_ns / WEFT__NS_PER_MS + (left_ns % WEFT__NS_PER_MS != 0) : 0;
}

/* Will it find somebody, as far as can be said now? A name is looked up when
 * the time has come. */
static bool is_live(const struct timer *timer)
{
    struct weft__proc *proc;

    if (weft_is_atom(timer->dest))
        return true;
    proc = weft__proc_slot(timer->dest);
    return proc != NULL && weft__proc_is_there(proc, timer->dest);
}

/* The milliseconds left, or -1. */
static int64_t cancel(uint64_t ref)
{
    struct shard *shard = shard_of(ref);
    struct timer *timer;
    int64_t left = -1;

    weft__spin_acquire(&shard->lock);
    timer = shard_find(shard, ref);
    if (timer != NULL) {
        shard_take(shard, timer);
        if (is_live(timer))
            left = left_ms(timer->when_ns);
    }
    weft__spin_release(&shard->lock);
    if (timer != NULL)
        timer_end(timer);
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
    left = cancel(ref.bits);
    if (is_async && has_info)
        answer(proc, ref, left);
    return is_async || !has_info ? 0 : left;
}

int64_t weft_read_timer(weft_ref ref)
{
    struct shard *shard;
    struct timer *timer;
    int64_t left = -1;

    weft__proc_need("weft_read_timer");
    if (!weft_is_ref(ref))
        weft__proc_badarg("weft_read_timer", "not a reference");
    shard = shard_of(ref.bits);
    weft__spin_acquire(&shard->lock);
    timer = shard_find(shard, ref.bits);
    if (timer != NULL && is_live(timer))
        left = left_ms(timer->when_ns);
    weft__spin_release(&shard->lock);
    return left;
}

/* -- the end of the runtime --------------------------------------------------------------- */

/* Any of a shard's, taken out; NULL: it is empty. */
static struct timer *take_any(struct shard *shard, uint32_t *from)
{
    struct timer *timer = NULL;

    weft__spin_acquire(&shard->lock);
    for (; shard->n_timers > 0 && *from < shard->n_buckets; ++*from) {
        timer = *bucket_at(shard, *from);
        if (timer != NULL) {
            shard_take(shard, timer);
            break;
        }
    }
    weft__spin_release(&shard->lock);
    return timer;
}

void weft__timers_stop(void)
{
    for (unsigned i = 0; i < N_SHARDS; i++) {
        struct shard *shard = &shards[i];
        struct timer *timer;
        uint32_t from = 0;

        while ((timer = take_any(shard, &from)) != NULL)
            timer_end(timer);
        weft__assert(shard->n_timers == 0);
        shard->n_buckets = 0;
        for (int k = 0; k < N_SEGMENTS; k++) {
            free(shard->segments[k]);
            shard->segments[k] = NULL;
        }
    }
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

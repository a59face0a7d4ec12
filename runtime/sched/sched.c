#include "sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "weft/error.h"

static void place_on_node(void *arg, void *at, size_t size)
{
    struct weft__node *node = arg;

    weft__topology_bind_memory(&node->sched->topology, node->index, at, size);
}

static int nodes_new(struct weft__sched *sched)
{
    sched->n_nodes = sched->topology.n_nodes;
    sched->nodes = calloc(sched->n_nodes, sizeof *sched->nodes);
    if (sched->nodes == NULL)
        return WEFT_ENOMEM;
    for (uint32_t i = 0; i < sched->n_nodes; i++) {
        struct weft__node *node = &sched->nodes[i];

        node->sched = sched;
        node->index = i;
        weft__overflow_init(&node->overflow);
        node->depot = weft__depot_new(sched->n_nodes > 1 ? place_on_node : NULL, node);
        if (node->depot == NULL)
            return WEFT_ENOMEM;
    }
    return 0;
}

static int worker_new(struct weft__sched *sched, uint32_t index)
{
    struct weft__worker *worker = aligned_alloc(WEFT__CACHE_LINE, sizeof *worker);

    if (worker == NULL)
        return WEFT_ENOMEM;
    memset(worker, 0, sizeof *worker);
    sched->workers[index] = worker;
    worker->sched = sched;
    worker->index = index;
    worker->node = &sched->nodes[weft__topology_node_of(&sched->topology, index)];
    worker->cache = weft__cache_new(worker->node->depot);
    if (worker->cache == NULL)
        return WEFT_ENOMEM;
    weft__rand_init(&worker->rand, sched->seed, index);
    weft__runq_init(&worker->queue, 0);
    worker->queue.is_alone = sched->n_workers == 1;
    worker->loot.max = UINT32_MAX;
    weft__wheel_init(&worker->wheel, weft__clock_ns());
    weft__stack_cache_init(&worker->stacks, sched->stacks, worker->node->index);
    atomic_init(&worker->due_run, UINT64_MAX);
    return 0;
}

static int workers_new(struct weft__sched *sched)
{
    sched->n_workers = sched->topology.n_workers;
    sched->workers = calloc(sched->n_workers, sizeof(struct weft__worker *));
    if (sched->workers == NULL)
        return WEFT_ENOMEM;
    for (uint32_t i = 0; i < sched->n_workers; i++) {
        int code = worker_new(sched, i);

        if (code != 0)
            return code;
    }
    return 0;
}

int weft__sched_new(struct weft__sched **made, const struct weft__sched_options *options)
{
    struct weft__topology_options topology = {.n_workers = options->n_workers};
    struct weft__stack_options stacks = {.max_idle = options->max_cached_stacks,
                                         .guard = WEFT__GUARD_MADVISE, .warn = options->warn};
    struct weft__sched *sched = aligned_alloc(WEFT__CACHE_LINE, sizeof *sched);
    int code;

    if (sched == NULL)
        return WEFT_ENOMEM;
    memset(sched, 0, sizeof *sched);
    sched->max_blocking = options->max_blocking;
    sched->max_hogs = options->max_hogs;
    sched->on_hog = options->on_hog;
    sched->warn = options->warn;
    sched->seed = options->seed;
    sched->hooks = options->hooks;
    weft__spin_init(&sched->idle.lock, WEFT__RANK_LEAF);
    pthread_mutex_init(&sched->carriers.lock, NULL);
    pthread_cond_init(&sched->carriers.gone, NULL);
    sched->carriers.waiting_end = &sched->carriers.waiting;
    code = weft__topology_load(&sched->topology, &topology);
    if (code == 0) {
        stacks.n_nodes = sched->topology.n_nodes;
        sched->bind = options->bind && !sched->topology.is_synthetic;
        code = weft__stack_space_new(&sched->stacks, &stacks);
    }
    if (code == 0)
        code = weft__poll_new(&sched->poll);
    if (code == 0)
        code = nodes_new(sched);
    if (code == 0)
        code = workers_new(sched);
    if (code != 0) {
        weft__sched_free(sched);
        return code;
    }
    *made = sched;
    return 0;
}

int weft__sched_start(struct weft__sched *sched)
{
    int code;

    weft__hogs_init(sched);
    code = weft__watchdog_start(sched);
    if (code == 0)
        code = weft__carriers_start(sched);
    if (code != 0)
        weft__sched_stop(sched);
    return code;
}

void weft__sched_stop(struct weft__sched *sched)
{
    /* Seq_cst: who goes to sleep after the notify sees it (idle.c, S4). */
    atomic_store_explicit(&sched->stopping, true, memory_order_seq_cst);
    weft__idle_notify_all(sched);
    weft__watchdog_stop(sched); /* first: it looks at carriers */
    weft__carriers_stop(sched);
}

void weft__sched_free(struct weft__sched *sched)
{
    for (uint32_t i = 0; sched->workers != NULL && i < sched->n_workers; i++) {
        struct weft__worker *worker = sched->workers[i];

        if (worker == NULL)
            continue;
        if (worker->stacks.space != NULL)
            weft__stack_cache_destroy(&worker->stacks);
        weft__cache_free(worker->cache);
        free(worker);
    }
    free(sched->workers);
    for (uint32_t i = 0; sched->nodes != NULL && i < sched->n_nodes; i++)
        weft__depot_free(sched->nodes[i].depot);
    free(sched->nodes);
    weft__poll_free(sched->poll);
    weft__stack_space_free(sched->stacks);
    weft__topology_free(&sched->topology);
    pthread_cond_destroy(&sched->carriers.gone);
    pthread_mutex_destroy(&sched->carriers.lock);
    free(sched);
}

/* topology.h - which cores the program may use, and how far apart they are.
 *
 * One worker per core (per processing unit, as hwloc says) that the program
 * may use: the affinity mask, the CPU quota of every cgroup above us that we
 * can see, rounded up, or the option, whichever is least. Workers are numbered
 * so that neighbours share caches, and chosen so that a program with less than
 * the whole machine has one worker per core before it has two on one.
 *
 * HWLOC_SYNTHETIC (or HWLOC_XMLFILE) replaces the machine: then nothing is
 * bound, and affinity and quota do not count: a test can lay out 8 nodes.
 *
 * Invariant: read-only after load.
 * Threads:   load and free by one; the rest from anywhere.
 */
#ifndef WEFT_SCHED_TOPOLOGY_H
#define WEFT_SCHED_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far a thief is from a victim. */
enum weft__distance {
    WEFT__DISTANCE_CACHE, /* a shared cache: L3, or L2 where there is none */
    WEFT__DISTANCE_NODE,  /* the same memory */
    WEFT__DISTANCE_NEAR,  /* the nearest other nodes */
    WEFT__DISTANCE_FAR,   /* the rest */
    WEFT__DISTANCES,
};

/* What made the number of workers what it is. */
enum weft__topology_limit {
    WEFT__LIMIT_MACHINE,  /* all it has */
    WEFT__LIMIT_AFFINITY,
    WEFT__LIMIT_QUOTA,
    WEFT__LIMIT_OPTION,
};

struct weft__topology_options {
    uint32_t n_workers;      /* at most so many; 0: no wish */
    const char *cgroup_root; /* NULL: ""; see weft__cgroup_quota */
};

/* One worker's place. */
struct weft__topology_place {
    uint32_t os_index; /* the processing unit, as sched_setaffinity counts */
    uint32_t core;     /* 0.., the same for units of one core */
    uint32_t cache;    /* 0.., the same for units that share one */
    uint32_t node;     /* 0.., only nodes that have workers are counted */
};

struct weft__topology {
    uint32_t n_workers;
    uint32_t n_nodes;            /* at least 1 */
    enum weft__topology_limit limit;
    bool is_synthetic;           /* not this machine: nothing is bound */
    double quota;                /* CPUs that the cgroups allow; 0: no limit */
    struct weft__topology_place *place; /* per worker */
    uint32_t *node_os_index;     /* per node, as the kernel counts */
    uint8_t *distance;           /* [a * n_workers + b], enum weft__distance */
    uint16_t *victims;           /* [a * (n_workers - 1) ..], nearest first */
    uint16_t *ring;              /* [a * WEFT__DISTANCES + d]: end of the victims at distance d */
    void *hwloc;                 /* hwloc_topology_t */
    void *mask;                  /* hwloc_bitmap_t: the affinity found at load, or NULL */
};

/* 0, WEFT_ENOMEM, or WEFT_ESYS when hwloc cannot read the machine. options may
 * be NULL. Counts the affinity mask of the calling thread. */
int weft__topology_load(struct weft__topology *topology, const struct weft__topology_options *options);
void weft__topology_free(struct weft__topology *topology);

static inline uint32_t weft__topology_node_of(const struct weft__topology *topology, uint32_t worker)
{
    return topology->place[worker].node;
}

static inline enum weft__distance weft__topology_distance(const struct weft__topology *topology,
                                                          uint32_t a, uint32_t b)
{
    return (enum weft__distance)topology->distance[(size_t)a * topology->n_workers + b];
}

/* All other workers, nearest first. Those at distance d end before ring_end(d)
 * and begin at ring_end(d - 1), the nearest ones at 0. */
static inline const uint16_t *weft__topology_victims(const struct weft__topology *topology, uint32_t worker)
{
    return topology->victims + (size_t)worker * (topology->n_workers - 1);
}

static inline uint32_t weft__topology_ring_end(const struct weft__topology *topology, uint32_t worker,
                                               enum weft__distance distance)
{
    return topology->ring[(size_t)worker * WEFT__DISTANCES + distance];
}

/* Let the calling kernel thread run on worker's unit alone, or, for
 * whole_node, anywhere in its node as far as the program may. True: done;
 * false: not possible here, and nothing changed. */
bool weft__topology_bind_thread(const struct weft__topology *topology, uint32_t worker, bool whole_node);

/* Prefer node for memory that is touched from now on. A wish: no result. */
void weft__topology_bind_memory(const struct weft__topology *topology, uint32_t node,
                                void *at, size_t size);

/* "machine", "affinity", "quota" or "option". */
const char *weft__topology_limit_name(enum weft__topology_limit limit);

#endif

/* topology.c - what hwloc and the cgroups say, made into tables.
 *
 * 1. Units: all that hwloc lists, less what the affinity mask of the calling
 *    thread leaves out.
 * 2. How many: the least of units, quota and option.
 * 3. Which: the first unit of each core, then the second; cores in hwloc's
 *    logical order, so that a part of the machine is a compact part.
 * 4. In which order: hwloc's, so that worker i and i + 1 share what they can.
 *
 * Distance between nodes: by the latency matrix where the machine has one,
 * else by how deep in the tree two nodes meet. The nearest others of a node
 * are NEAR, all else is FAR: two grades are all that a thief can use.
 */
#include "sched/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/cgroup.h"
#include "weft/error.h"

/* A unit while it is being chosen. */
struct unit {
    hwloc_obj_t obj;
    uint32_t pass; /* 0: the first of its core */
};

/* -- choosing units ----------------------------------------------------------- */

static int unit_compare_pass(const void *left, const void *right)
{
    const struct unit *a = left;
    const struct unit *b = right;

    if (a->pass != b->pass)
        return a->pass < b->pass ? -1 : 1;
    return a->obj->logical_index < b->obj->logical_index ? -1 : 1;
}

static int unit_compare_order(const void *left, const void *right)
{
    const struct unit *a = left;
    const struct unit *b = right;

    return a->obj->logical_index < b->obj->logical_index ? -1 : 1;
}

static hwloc_obj_t core_of(hwloc_topology_t hwloc, hwloc_obj_t pu)
{
    hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_CORE, pu);

    return core != NULL ? core : pu;
}

/* The affinity mask of the calling thread; NULL: no mask, or not this machine. */
static hwloc_bitmap_t affinity_of(hwloc_topology_t hwloc, bool is_synthetic)
{
    hwloc_bitmap_t mask;

    if (is_synthetic)
        return NULL;
    mask = hwloc_bitmap_alloc();
    if (mask != NULL && hwloc_get_cpubind(hwloc, mask, HWLOC_CPUBIND_THREAD) != 0) {
        hwloc_bitmap_free(mask);
        return NULL;
    }
    return mask;
}

/* All units the program may use, in hwloc's order; n of them. */
static struct unit *units_collect(hwloc_topology_t hwloc, hwloc_const_bitmap_t mask, uint32_t *n)
{
    int n_all = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU);
    struct unit *units = calloc(n_all > 0 ? (size_t)n_all : 1, sizeof *units);
    hwloc_obj_t last_core = NULL;
    uint32_t pass = 0;

    *n = 0;
    for (int i = 0; units != NULL && i < n_all; i++) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, (unsigned)i);
        hwloc_obj_t core = core_of(hwloc, pu);

        if (mask != NULL && !hwloc_bitmap_isset(mask, pu->os_index))
            continue;
        pass = core == last_core ? pass + 1 : 0;
        last_core = core;
        units[(*n)++] = (struct unit){.obj = pu, .pass = pass};
    }
    return units;
}

static uint32_t quota_workers(double quota)
{
    uint32_t n = (uint32_t)quota;

    return n + (quota > (double)n + 1e-9 || n == 0 ? 1 : 0);
}

/* How many of n units get a worker, and why no more. */
static uint32_t count_workers(struct weft__topology *topology, uint32_t n, uint32_t option)
{
    topology->limit = WEFT__LIMIT_MACHINE;
    if (!topology->is_synthetic && sysconf(_SC_NPROCESSORS_ONLN) > (long)n)
        topology->limit = WEFT__LIMIT_AFFINITY;
    if (topology->quota > 0 && quota_workers(topology->quota) < n) {
        n = quota_workers(topology->quota);
        topology->limit = WEFT__LIMIT_QUOTA;
    }
    if (option > 0 && option < n) {
        n = option;
        topology->limit = WEFT__LIMIT_OPTION;
    }
    return n < UINT16_MAX ? n : UINT16_MAX;
}

/* -- places ------------------------------------------------------------------- */

/* The nearest thing that units share: L3, else L2, else nothing but the core. */
static hwloc_obj_t cache_of(hwloc_topology_t hwloc, hwloc_obj_t pu)
{
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_L3CACHE, pu);

    if (cache == NULL)
        cache = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_L2CACHE, pu);
    return cache != NULL ? cache : core_of(hwloc, pu);
}

static uint32_t node_number(struct weft__topology *topology, hwloc_obj_t pu)
{
    int first = hwloc_bitmap_first(pu->nodeset);
    uint32_t os_index = first < 0 ? 0 : (uint32_t)first;
    uint32_t node = 0;

    while (node < topology->n_nodes && topology->node_os_index[node] != os_index)
        node++;
    if (node == topology->n_nodes)
        topology->node_os_index[topology->n_nodes++] = os_index;
    return node;
}

static void places_fill(struct weft__topology *topology, const struct unit *units)
{
    hwloc_topology_t hwloc = topology->hwloc;
    hwloc_obj_t last_core = NULL;
    hwloc_obj_t last_cache = NULL;
    uint32_t core = 0;
    uint32_t cache = 0;

    for (uint32_t i = 0; i < topology->n_workers; i++) {
        hwloc_obj_t pu = units[i].obj;

        core += i > 0 && core_of(hwloc, pu) != last_core;
        cache += i > 0 && cache_of(hwloc, pu) != last_cache;
        last_core = core_of(hwloc, pu);
        last_cache = cache_of(hwloc, pu);
        topology->place[i] = (struct weft__topology_place){
            .os_index = pu->os_index,
            .core = core,
            .cache = cache,
            .node = node_number(topology, pu),
        };
    }
}

/* -- distances ---------------------------------------------------------------- */

/* How far node b is from node a, in units that only compare with each other:
 * the kernel's latency, or how high in the tree the two meet. */
static uint64_t node_far(struct weft__topology *topology, struct hwloc_distances_s *matrix,
                         uint32_t a, uint32_t b)
{
    hwloc_topology_t hwloc = topology->hwloc;
    hwloc_obj_t from = hwloc_get_numanode_obj_by_os_index(hwloc, topology->node_os_index[a]);
    hwloc_obj_t to = hwloc_get_numanode_obj_by_os_index(hwloc, topology->node_os_index[b]);
    int row = matrix != NULL ? hwloc_distances_obj_index(matrix, from) : -1;
    int column = matrix != NULL ? hwloc_distances_obj_index(matrix, to) : -1;

    if (row >= 0 && column >= 0)
        return matrix->values[(unsigned)row * matrix->nbobjs + (unsigned)column];
    if (from == NULL || to == NULL)
        return 0;
    /* Nodes hang beside the tree: it is their parents that meet in it. */
    return (uint64_t)(hwloc_topology_get_depth(hwloc) -
                      hwloc_get_common_ancestor_obj(hwloc, from->parent, to->parent)->depth);
}

/* near[a * n + b]: is b among the nearest other nodes of a? */
static void nodes_grade(struct weft__topology *topology, bool *near)
{
    struct hwloc_distances_s *matrix = NULL;
    uint32_t n = topology->n_nodes;
    unsigned n_matrices = 1;

    if (hwloc_distances_get_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, &n_matrices, &matrix,
                                    HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 || n_matrices == 0)
        matrix = NULL;
    for (uint32_t a = 0; a < n; a++) {
        uint64_t nearest = UINT64_MAX;

        for (uint32_t b = 0; b < n; b++) {
            if (b != a && node_far(topology, matrix, a, b) < nearest)
                nearest = node_far(topology, matrix, a, b);
        }
        for (uint32_t b = 0; b < n; b++)
            near[a * n + b] = b != a && node_far(topology, matrix, a, b) == nearest;
    }
    if (matrix != NULL)
        hwloc_distances_release(topology->hwloc, matrix);
}

static enum weft__distance place_distance(const struct weft__topology *topology, const bool *near,
                                          uint32_t a, uint32_t b)
{
    const struct weft__topology_place *from = &topology->place[a];
    const struct weft__topology_place *to = &topology->place[b];

    if (from->cache == to->cache)
        return WEFT__DISTANCE_CACHE;
    if (from->node == to->node)
        return WEFT__DISTANCE_NODE;
    return near[from->node * topology->n_nodes + to->node] ? WEFT__DISTANCE_NEAR : WEFT__DISTANCE_FAR;
}

/* Rings begin with the worker after the thief, so that thieves who go by the
 * order do not all go to the same victim. */
static void victims_fill(struct weft__topology *topology, uint32_t thief)
{
    uint32_t n = topology->n_workers;
    uint16_t *victims = topology->victims + (size_t)thief * (n - 1);
    uint32_t n_victims = 0;

    for (uint32_t distance = 0; distance < WEFT__DISTANCES; distance++) {
        for (uint32_t i = 1; i < n; i++) {
            uint32_t victim = (thief + i) % n;

            if (weft__topology_distance(topology, thief, victim) == distance)
                victims[n_victims++] = (uint16_t)victim;
        }
        topology->ring[(size_t)thief * WEFT__DISTANCES + distance] = (uint16_t)n_victims;
    }
}

static int distances_fill(struct weft__topology *topology)
{
    uint32_t n = topology->n_workers;
    bool *near = calloc((size_t)topology->n_nodes * topology->n_nodes, sizeof *near);

    if (near == NULL)
        return WEFT_ENOMEM;
    nodes_grade(topology, near);
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b < n; b++)
            topology->distance[(size_t)a * n + b] = (uint8_t)place_distance(topology, near, a, b);
    }
    for (uint32_t thief = 0; thief < n; thief++)
        victims_fill(topology, thief);
    free(near);
    return 0;
}

/* -- the topology --------------------------------------------------------------- */

static int hwloc_read(struct weft__topology *topology)
{
    hwloc_topology_t hwloc;

    if (hwloc_topology_init(&hwloc) != 0)
        return WEFT_ENOMEM;
    if (hwloc_topology_load(hwloc) != 0) {
        hwloc_topology_destroy(hwloc);
        return WEFT_ESYS;
    }
    topology->hwloc = hwloc;
    topology->is_synthetic = !hwloc_topology_is_thissystem(hwloc);
    return 0;
}

static int tables_alloc(struct weft__topology *topology)
{
    size_t n = topology->n_workers;

    topology->place = calloc(n, sizeof *topology->place);
    topology->node_os_index = calloc(n, sizeof *topology->node_os_index);
    topology->distance = calloc(n * n, sizeof *topology->distance);
    topology->victims = calloc(n * n, sizeof *topology->victims);
    topology->ring = calloc(n * WEFT__DISTANCES, sizeof *topology->ring);
    if (topology->place == NULL || topology->node_os_index == NULL || topology->distance == NULL ||
        topology->victims == NULL || topology->ring == NULL)
        return WEFT_ENOMEM;
    return 0;
}

int weft__topology_load(struct weft__topology *topology, const struct weft__topology_options *options)
{
    static const struct weft__topology_options defaults;
    struct unit *units = NULL;
    uint32_t n_units;
    int error;

    if (options == NULL)
        options = &defaults;
    memset(topology, 0, sizeof *topology);
    error = hwloc_read(topology);
    if (error != 0)
        return error;
    topology->mask = affinity_of(topology->hwloc, topology->is_synthetic);
    if (!topology->is_synthetic)
        topology->quota = weft__cgroup_quota(options->cgroup_root);
    error = WEFT_ENOMEM;
    units = units_collect(topology->hwloc, topology->mask, &n_units);
    if (units == NULL)
        goto fail;
    error = WEFT_ESYS;
    topology->n_workers = count_workers(topology, n_units, options->n_workers);
    if (topology->n_workers == 0)
        goto fail;
    error = tables_alloc(topology);
    if (error != 0)
        goto fail;
    qsort(units, n_units, sizeof *units, unit_compare_pass);
    qsort(units, topology->n_workers, sizeof *units, unit_compare_order);
    places_fill(topology, units);
    error = distances_fill(topology);
    if (error != 0)
        goto fail;
    free(units);
    return 0;

fail:
    free(units);
    weft__topology_free(topology);
    return error;
}

void weft__topology_free(struct weft__topology *topology)
{
    free(topology->place);
    free(topology->node_os_index);
    free(topology->distance);
    free(topology->victims);
    free(topology->ring);
    if (topology->mask != NULL)
        hwloc_bitmap_free(topology->mask);
    if (topology->hwloc != NULL)
        hwloc_topology_destroy(topology->hwloc);
    memset(topology, 0, sizeof *topology);
}

bool weft__topology_bind_thread(const struct weft__topology *topology, uint32_t worker, bool whole_node)
{
    const struct weft__topology_place *place = &topology->place[worker];
    hwloc_bitmap_t set;
    bool is_bound;

    if (topology->is_synthetic)
        return false;
    set = hwloc_bitmap_alloc();
    if (set == NULL)
        return false;
    hwloc_bitmap_only(set, place->os_index);
    if (whole_node) {
        hwloc_obj_t node =
            hwloc_get_numanode_obj_by_os_index(topology->hwloc, topology->node_os_index[place->node]);

        if (node != NULL)
            hwloc_bitmap_copy(set, node->cpuset);
        if (topology->mask != NULL)
            hwloc_bitmap_and(set, set, topology->mask);
    }
    is_bound = hwloc_set_cpubind(topology->hwloc, set, HWLOC_CPUBIND_THREAD) == 0;
    hwloc_bitmap_free(set);
    return is_bound;
}

void weft__topology_bind_memory(const struct weft__topology *topology, uint32_t node,
                                void *at, size_t size)
{
    hwloc_bitmap_t set;

    if (topology->is_synthetic || topology->n_nodes < 2)
        return;
    set = hwloc_bitmap_alloc();
    if (set == NULL)
        return;
    hwloc_bitmap_only(set, topology->node_os_index[node]);
    /* Without STRICT this is a preference: a full node does not fail anybody. */
    (void)hwloc_set_area_membind(topology->hwloc, at, size, set, HWLOC_MEMBIND_BIND,
                                 HWLOC_MEMBIND_BYNODESET);
    hwloc_bitmap_free(set);
}

const char *weft__topology_limit_name(enum weft__topology_limit limit)
{
    switch (limit) {
    case WEFT__LIMIT_MACHINE:
        return "machine";
    case WEFT__LIMIT_AFFINITY:
        return "affinity";
    case WEFT__LIMIT_QUOTA:
        return "quota";
    case WEFT__LIMIT_OPTION:
        return "option";
    }
    return "unknown";
}

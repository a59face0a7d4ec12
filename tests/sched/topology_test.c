#include "sched/topology.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sched/cgroup.h"
#include "tap.h"

/* -- a tree of fake files ----------------------------------------------------- */

static char root[64];

static void tree_begin(void)
{
    snprintf(root, sizeof root, "/tmp/weft-topology-XXXXXX");
    check(mkdtemp(root) != NULL);
}

static void tree_put(const char *path, const char *text)
{
    char full[512];
    FILE *file;

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0777);
        *slash = '/';
    }
    file = fopen(full, "w");
    if (check(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
}

static void tree_end(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", root);
    check_int(system(command), 0);
}

/* -- quotas ---------------------------------------------------------------------- */

TEST(a_version_2_quota_is_found)
{
    tree_begin();
    tree_put("/proc/self/cgroup", "0::/app\n");
    tree_put("/proc/self/mountinfo", "30 23 0:26 / /cg rw,relatime shared:4 - cgroup2 cgroup2 rw\n");
    tree_put("/cg/app/cpu.max", "150000 100000\n");
    check_near(weft__cgroup_quota(root), 1.5, 1e-9);
    tree_end();
}

TEST(the_least_quota_of_all_ancestors_counts)
{
    tree_begin();
    tree_put("/proc/self/cgroup", "0::/a/b/c\n");
    tree_put("/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    tree_put("/cg/a/cpu.max", "200000 100000\n");
    tree_put("/cg/a/b/cpu.max", "max 100000\n");
    tree_put("/cg/a/b/c/cpu.max", "800000 100000\n");
    check_near(weft__cgroup_quota(root), 2, 1e-9);
    tree_end();
}

TEST(a_version_1_quota_is_found)
{
    tree_begin();
    tree_put("/proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/a\n0::/a\n");
    tree_put("/proc/self/mountinfo",
             "32 31 0:28 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
             "33 31 0:29 / /cg/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
             "34 31 0:30 / /cg/unified rw - cgroup2 cgroup2 rw\n");
    tree_put("/cg/cpuset/x/cpu.cfs_quota_us", "1\n"); /* not the cpu hierarchy */
    tree_put("/cg/cpuset/x/cpu.cfs_period_us", "100000\n");
    tree_put("/cg/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    tree_put("/cg/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    tree_put("/cg/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    tree_put("/cg/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    check_near(weft__cgroup_quota(root), 2.5, 1e-9);
    tree_end();
}

TEST(a_mount_that_shows_a_part_of_the_tree_is_understood)
{
    tree_begin();
    tree_put("/proc/self/cgroup", "0::/docker/abc/inner\n");
    tree_put("/proc/self/mountinfo", "30 23 0:26 /docker/abc /my\\040cg rw - cgroup2 cgroup2 rw\n");
    tree_put("/my cg/cpu.max", "300000 100000\n");
    tree_put("/my cg/inner/cpu.max", "max 100000\n");
    check_near(weft__cgroup_quota(root), 3, 1e-9);
    tree_end();
}

TEST(a_group_outside_of_what_is_mounted_counts_what_can_be_seen)
{
    tree_begin();
    tree_put("/proc/self/cgroup", "0::/../other\n");
    tree_put("/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    tree_put("/cg/cpu.max", "400000 100000\n");
    check_near(weft__cgroup_quota(root), 4, 1e-9);
    tree_end();
}

TEST(without_quota_files_there_is_no_limit)
{
    tree_begin();
    check_near(weft__cgroup_quota(root), 0, 0);
    tree_put("/proc/self/cgroup", "0::/\nnonsense\n:::\n");
    tree_put("/proc/self/mountinfo", "nonsense\n30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n - \n");
    check_near(weft__cgroup_quota(root), 0, 0);
    tree_put("/cg/cpu.max", "banana\n");
    check_near(weft__cgroup_quota(root), 0, 0);
    tree_end();
}

/* -- this machine ------------------------------------------------------------------ */

static uint32_t n_allowed(void)
{
    cpu_set_t set;

    sched_getaffinity(0, sizeof set, &set);
    return (uint32_t)CPU_COUNT(&set);
}

static void on_this_machine(void)
{
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_XMLFILE");
}

TEST(there_is_a_worker_for_every_unit_the_program_may_use)
{
    struct weft__topology topology;

    on_this_machine();
    tree_begin(); /* no control groups */
    check_int(weft__topology_load(&topology, &(struct weft__topology_options){.cgroup_root = root}), 0);
    check_int(topology.n_workers, n_allowed());
    check_ge(topology.n_nodes, 1);
    check(!topology.is_synthetic);
    weft__topology_free(&topology);
    tree_end();
}

TEST(affinity_limits_the_workers)
{
    struct weft__topology topology;
    cpu_set_t set;
    cpu_set_t one;
    size_t last = 0;

    on_this_machine();
    if (n_allowed() < 2)
        skip("needs two CPUs");
    sched_getaffinity(0, sizeof set, &set);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        last = CPU_ISSET(cpu, &set) ? cpu : last;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    check_int(sched_setaffinity(0, sizeof one, &one), 0);
    check_int(weft__topology_load(&topology, NULL), 0);
    check_int(topology.n_workers, 1);
    check_int(topology.place[0].os_index, last);
    check_str(weft__topology_limit_name(topology.limit), "affinity");
    weft__topology_free(&topology);
}

TEST(a_quota_limits_the_workers_rounded_up)
{
    struct weft__topology topology;

    on_this_machine();
    if (n_allowed() < 2)
        skip("needs two CPUs");
    tree_begin();
    tree_put("/proc/self/cgroup", "0::/\n");
    tree_put("/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    tree_put("/cg/cpu.max", "20000 100000\n");
    check_int(weft__topology_load(&topology, &(struct weft__topology_options){.cgroup_root = root}), 0);
    check_int(topology.n_workers, 1);
    check_near(topology.quota, 0.2, 1e-9);
    check_str(weft__topology_limit_name(topology.limit), "quota");
    weft__topology_free(&topology);
    tree_put("/cg/cpu.max", "110000 100000\n");
    check_int(weft__topology_load(&topology, &(struct weft__topology_options){.cgroup_root = root}), 0);
    check_int(topology.n_workers, 2);
    weft__topology_free(&topology);
    tree_end();
}

TEST(a_thread_is_bound_to_its_workers_unit)
{
    struct weft__topology topology;

    on_this_machine();
    check_int(weft__topology_load(&topology, NULL), 0);
    if (check(weft__topology_bind_thread(&topology, topology.n_workers - 1, false)))
        check_int(n_allowed(), 1);
    check_int(sched_getcpu(), topology.place[topology.n_workers - 1].os_index);
    if (check(weft__topology_bind_thread(&topology, 0, true)))
        check_ge(n_allowed(), 1);
    weft__topology_free(&topology);
}

/* -- machines that are not here ------------------------------------------------------ */

static void load(struct weft__topology *topology, const char *description, uint32_t n_workers)
{
    setenv("HWLOC_SYNTHETIC", description, 1);
    check_int(weft__topology_load(topology, &(struct weft__topology_options){.n_workers = n_workers}), 0);
}

/* All others once, rings in order, each at the distance its ring says. */
static void check_victims(const struct weft__topology *topology)
{
    size_t n_wrong = 0;

    for (uint32_t thief = 0; thief < topology->n_workers; thief++) {
        const uint16_t *victims = weft__topology_victims(topology, thief);
        bool *is_seen = calloc(topology->n_workers, sizeof *is_seen);
        uint32_t at = 0;

        for (uint32_t distance = 0; distance < WEFT__DISTANCES; distance++) {
            uint32_t ring_end = weft__topology_ring_end(topology, thief, (enum weft__distance)distance);

            for (; at < ring_end; at++) {
                n_wrong += is_seen[victims[at]] || victims[at] == thief;
                n_wrong += weft__topology_distance(topology, thief, victims[at]) != distance;
                is_seen[victims[at]] = true;
            }
        }
        n_wrong += at != topology->n_workers - 1;
        free(is_seen);
    }
    check_int(n_wrong, 0);
}

TEST(eight_nodes_can_be_laid_out)
{
    struct weft__topology topology;

    load(&topology, "pack:2 numa:4 l3:2 core:2 pu:2", 0);
    check(topology.is_synthetic);
    check_int(topology.n_workers, 64);
    check_int(topology.n_nodes, 8);
    check_int(weft__topology_node_of(&topology, 0), 0);
    check_int(weft__topology_node_of(&topology, 8), 1);
    check_int(weft__topology_node_of(&topology, 63), 7);
    check_int(weft__topology_distance(&topology, 0, 3), WEFT__DISTANCE_CACHE);
    check_int(weft__topology_distance(&topology, 0, 4), WEFT__DISTANCE_NODE);
    check_int(weft__topology_distance(&topology, 0, 8), WEFT__DISTANCE_NEAR);
    check_int(weft__topology_distance(&topology, 0, 31), WEFT__DISTANCE_NEAR);
    check_int(weft__topology_distance(&topology, 0, 32), WEFT__DISTANCE_FAR);
    check_int(topology.place[0].core, topology.place[1].core);
    check_ne(topology.place[1].core, topology.place[2].core);
    check_int(topology.place[0].cache, topology.place[3].cache);
    check_ne(topology.place[3].cache, topology.place[4].cache);
    check_victims(&topology);
    check(!weft__topology_bind_thread(&topology, 0, false));
    weft__topology_bind_memory(&topology, 1, NULL, 0); /* does nothing */
    weft__topology_free(&topology);
}

TEST(nodes_that_are_all_alike_are_all_near)
{
    struct weft__topology topology;

    load(&topology, "numa:8 core:1 pu:1", 0);
    check_int(topology.n_nodes, 8);
    for (uint32_t other = 1; other < 8; other++)
        check_int(weft__topology_distance(&topology, 0, other), WEFT__DISTANCE_NEAR);
    check_victims(&topology);
    weft__topology_free(&topology);
}

TEST(fewer_workers_than_units_take_a_core_each)
{
    struct weft__topology topology;

    load(&topology, "numa:2 core:4 pu:2", 4);
    check_int(topology.n_workers, 4);
    check_str(weft__topology_limit_name(topology.limit), "option");
    for (uint32_t worker = 0; worker < 4; worker++)
        check_int(topology.place[worker].os_index, worker * 2);
    check_int(topology.n_nodes, 1);
    weft__topology_free(&topology);

    load(&topology, "numa:2 core:4 pu:2", 10);
    check_int(topology.n_workers, 10);
    check_int(topology.n_nodes, 2);
    check_int(topology.place[0].core, topology.place[1].core);
    check_int(topology.place[2].core, topology.place[3].core);
    check_ne(topology.place[4].core, topology.place[5].core);
    check_victims(&topology);
    weft__topology_free(&topology);
}

TEST(one_worker_has_no_victims)
{
    struct weft__topology topology;

    load(&topology, "numa:1 core:1 pu:1", 0);
    check_int(topology.n_workers, 1);
    check_str(weft__topology_limit_name(topology.limit), "machine");
    check_int(weft__topology_ring_end(&topology, 0, WEFT__DISTANCE_FAR), 0);
    weft__topology_free(&topology);
}

TEST(a_thousand_units_are_no_trouble)
{
    struct weft__topology topology;

    load(&topology, "pack:8 numa:2 l3:4 core:8 pu:2", 0);
    check_int(topology.n_workers, 1024);
    check_int(topology.n_nodes, 16);
    check_victims(&topology);
    weft__topology_free(&topology);
}

/* cgroup.c - how much CPU the control groups allow this process.
 *
 * Which group we are in is in /proc/self/cgroup, one line per hierarchy:
 *
 *     4:cpu,cpuacct:/a/b      version 1, by controller
 *     0::/a/b                 version 2
 *
 * Where a hierarchy is mounted is in /proc/self/mountinfo; the mount may show
 * only a part of it (its root field), as in a container. From our group's
 * directory every one up to the mount point may hold a quota; the least of all
 * counts, for a parent's quota binds its children.
 */
#include "sched/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hierarchy {
    bool is_v2;
    char group[PATH_MAX]; /* our path in it; "" when we are in none */
};

/* One line of mountinfo, as far as it matters. */
struct mount {
    char root[PATH_MAX];
    char point[PATH_MAX];
    char type[64];
    char options[256];
};

/* The first line of a file; false when it cannot be read. */
static bool file_line(const char *directory, const char *name, char *line, int size)
{
    char *path;
    FILE *file;
    bool is_read;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return false;
    file = fopen(path, "re");
    free(path);
    if (file == NULL)
        return false;
    is_read = fgets(line, size, file) != NULL;
    fclose(file);
    return is_read;
}

/* CPUs one group directory allows; 0: does not say. */
static double directory_quota(const char *directory, bool is_v2)
{
    char line[64];
    long long quota = 0;
    long long period = 0;

    if (is_v2) {
        /* "max 100000" has no number where the quota is */
        if (!file_line(directory, "cpu.max", line, sizeof line) ||
            sscanf(line, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else {
        if (!file_line(directory, "cpu.cfs_quota_us", line, sizeof line))
            return 0;
        quota = strtoll(line, NULL, 10);
        if (!file_line(directory, "cpu.cfs_period_us", line, sizeof line))
            return 0;
        period = strtoll(line, NULL, 10);
    }
    /* Version 1 says -1 for none. */
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

static double least(double a, double b)
{
    if (a <= 0 || (b > 0 && b < a))
        return b;
    return a;
}

/* Is word one of a list set apart by commas? */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (list != NULL) {
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
        list = strchr(list, ',');
        if (list != NULL)
            list++;
    }
    return false;
}

/* Our group in the hierarchy with the cpu controller, of one version. */
static void group_find(const char *root, struct hierarchy *hierarchy)
{
    char path[PATH_MAX];
    char line[PATH_MAX];
    FILE *file;

    hierarchy->group[0] = '\0';
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (hierarchy->is_v2 ? strcmp(line, "0:") == 0 : list_has(controllers + 1, "cpu"))
            snprintf(hierarchy->group, sizeof hierarchy->group, "%s", group);
    }
    if (file != NULL)
        fclose(file);
}

/* Spaces and their like are in mountinfo as \040. */
static void octal_decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
            from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* 36 35 98:0 /root /point rw,noatime master:1 - type source options */
static bool mount_parse(const char *line, struct mount *mount)
{
    const char *tail = strstr(line, " - ");

    if (tail == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", mount->root, mount->point) != 2 ||
        sscanf(tail, " - %63s %*s %255s", mount->type, mount->options) != 2)
        return false;
    octal_decode(mount->root);
    octal_decode(mount->point);
    return true;
}

/* The part of group below what the mount shows; "" when it shows none of it:
 * then the mount point is the nearest that can be seen. */
static const char *group_below(const char *group, const char *mount_root)
{
    size_t length = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);

    if (strncmp(group, "/..", 3) == 0 || strncmp(group, mount_root, length) != 0 ||
        (group[length] != '/' && group[length] != '\0'))
        return "";
    return group + length;
}

/* The least of all directories from our group's up to the mount point. */
static double mount_quota(const char *root, const struct mount *mount, const struct hierarchy *hierarchy)
{
    char directory[3 * PATH_MAX];
    size_t top = (size_t)snprintf(directory, sizeof directory, "%s%s", root, mount->point);
    double quota = 0;
    char *slash;

    snprintf(directory + top, sizeof directory - top, "%s", group_below(hierarchy->group, mount->root));
    do {
        quota = least(quota, directory_quota(directory, hierarchy->is_v2));
        slash = strrchr(directory, '/');
        if (slash != NULL && slash >= directory + top)
            *slash = '\0';
        else
            slash = NULL;
    } while (slash != NULL);
    return quota;
}

static double hierarchy_quota(const char *root, bool is_v2)
{
    struct hierarchy hierarchy = {.is_v2 = is_v2};
    struct mount mount;
    char path[PATH_MAX];
    char *line = NULL;
    size_t size = 0;
    double quota = 0;
    FILE *file;

    group_find(root, &hierarchy);
    if (hierarchy.group[0] == '\0')
        return 0;
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    file = fopen(path, "re");
    while (file != NULL && getline(&line, &size, file) > 0) {
        if (!mount_parse(line, &mount) ||
            strcmp(mount.type, is_v2 ? "cgroup2" : "cgroup") != 0 ||
            (!is_v2 && !list_has(mount.options, "cpu")))
            continue;
        quota = least(quota, mount_quota(root, &mount, &hierarchy));
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return quota;
}

double weft__cgroup_quota(const char *root)
{
    if (root == NULL)
        root = "";
    return least(hierarchy_quota(root, false), hierarchy_quota(root, true));
}

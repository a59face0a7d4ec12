#include "otp/pid_map.h"

#include "weft/process.h"

#define FIRST_SIZE 16

static size_t home_of(const struct weft__pid_map *map, uint64_t pid)
{
    /* Fibonacci's multiplier; its uppermost bits, which all of the pid reaches: most
     * pids differ in the slot alone, which is at the top. */
    return (size_t)(pid * 0x9E3779B97F4A7C15U >> __builtin_clzll(map->size - 1));
}

/* Where pid is, or the free slot where it would go. */
static size_t find(const struct weft__pid_map *map, uint64_t pid)
{
    size_t i = home_of(map, pid);

    while (map->slots[i].pid != 0 && map->slots[i].pid != pid)
        i = (i + 1) & (map->size - 1);
    return i;
}

static void grow(struct weft__pid_map *map)
{
    struct weft__pid_map larger = {.n = map->n, .size = map->size > 0 ? 2 * map->size : FIRST_SIZE};

    larger.slots = weft_alloc(larger.size * sizeof *larger.slots);
    for (size_t i = 0; i < map->size; i++)
        if (map->slots[i].pid != 0)
            larger.slots[find(&larger, map->slots[i].pid)] = map->slots[i];
    weft_free(map->slots);
    *map = larger;
}

void weft__pid_map_put(struct weft__pid_map *map, weft_pid pid, void *value)
{
    if (4 * (map->n + 1) > 3 * map->size)
        grow(map);
    map->slots[find(map, pid.bits)] = (struct weft__pid_slot){pid.bits, value};
    map->n++;
}

void *weft__pid_map_get(const struct weft__pid_map *map, weft_pid pid)
{
    size_t i;

    if (map->n == 0)
        return NULL;
    i = find(map, pid.bits);
    return map->slots[i].pid != 0 ? map->slots[i].value : NULL;
}

/* Slot i is free: whoever stands behind it and would find it before its own
 * slot moves up. */
static void close_gap(struct weft__pid_map *map, size_t i)
{
    size_t mask = map->size - 1;

    for (size_t j = (i + 1) & mask; map->slots[j].pid != 0; j = (j + 1) & mask) {
        size_t home = home_of(map, map->slots[j].pid);

        if (((j - home) & mask) < ((j - i) & mask))
            continue;
        map->slots[i] = map->slots[j];
        i = j;
    }
    map->slots[i] = (struct weft__pid_slot){0, NULL};
}

void *weft__pid_map_take(struct weft__pid_map *map, weft_pid pid)
{
    void *value;
    size_t i;

    if (map->n == 0)
        return NULL;
    i = find(map, pid.bits);
    if (map->slots[i].pid == 0)
        return NULL;
    value = map->slots[i].value;
    close_gap(map, i);
    map->n--;
    return value;
}

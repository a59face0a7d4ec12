/* counts.h - the threads and files that this program has. */
#ifndef WEFT_TESTS_COUNTS_H
#define WEFT_TESTS_COUNTS_H

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

/* Of a program that has made none; a sanitizer may have one more. */
#if defined(WEFT_TSAN)
enum { ONE_THREAD = 2 };
#else
enum { ONE_THREAD = 1 };
#endif

static inline int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    int n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* Once they are as few as `want`: the kernel lists one for a moment after it was
 * joined. */
static inline int await_threads(int want)
{
    int n;

    for (int turn = 0; (n = count_threads()) > want && turn < 1000000; turn++)
        sched_yield();
    return n;
}

/* What descriptor `fd` is of. false: it is not open, or a file in /proc, into which the
 * watchdog may look at any moment, and who counts. */
static inline bool is_counted_file(const char *fd, char *file, size_t size)
{
    char path[300];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/self/fd/%s", fd);
    length = readlink(path, file, size - 1);
    file[length > 0 ? length : 0] = '\0';
    return length > 0 && strncmp(file, "/proc/", 6) != 0;
}

/* Open descriptors; is_told: with a line about each. */
static inline int look_at_files(bool is_told)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    char file[256];
    int n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (!is_counted_file(entry->d_name, file, sizeof file))
            continue;
        n++;
        if (is_told)
            diag("  %s is %s", entry->d_name, file);
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

static inline int count_files(void)
{
    return look_at_files(false);
}

/* As many as before; else it says which. */
#define check_files(before) check_files_at((before), TAP_HERE)

static inline void check_files_at(int before, const char *file, int line)
{
    if (!tap_check_int(count_files(), TAP_EQ, before, "count_files()", file, line))
        look_at_files(true);
}

#endif

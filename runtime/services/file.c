/* file.c - plain files, on a kernel thread beside the workers.
 *
 * A process that is killed while such a call blocks ends right after it: so
 * what the call made (a descriptor, a buffer) is put where the process's end
 * finds it before the call is over.
 */
#include "services/fd.h"
#include "services/io.h"
#include "weft/error.h"
#include "weft/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_FIRST ((size_t)64 * 1024) /* of a file that does not say its size */

/* What a call hands to the thread; all of it on the caller's stack. */
struct request {
    int fd;
    int flags;
    mode_t mode;
    const char *path;
    char *buffer;
    const char *data;
    size_t size;
    int64_t offset;
    int64_t result;
    weft_file_info *info;
    weft_term content;
};

static int64_t run(void *(*fn)(void *request), struct request *request)
{
    weft__io_enter();
    weft__io_blocking(fn, request);
    return request->result;
}

/* -- open, sync, stat --------------------------------------------------------------- */

static void *do_open(void *arg)
{
    struct request *request = arg;
    int fd;

    do
        fd = open(request->path, request->flags | O_CLOEXEC, request->mode);
    while (fd < 0 && errno == EINTR);
    request->result = weft__fd_own(fd >= 0 ? fd : -errno);
    return NULL;
}

int weft_file_open(const char *path, int flags, uint32_t mode)
{
    struct request request = {.path = path, .flags = flags, .mode = (mode_t)mode};

    return path != NULL ? (int)run(do_open, &request) : WEFT_EINVAL;
}

static void *do_sync(void *arg)
{
    struct request *request = arg;

    request->result = fsync(request->fd) == 0 ? 0 : -errno;
    return NULL;
}

int weft_file_sync(int fd)
{
    struct request request = {.fd = fd};

    return (int)run(do_sync, &request);
}

static void *do_stat(void *arg)
{
    struct request *request = arg;
    struct stat about;

    if (stat(request->path, &about) != 0) {
        request->result = -errno;
        return NULL;
    }
    request->result = 0;
    *request->info = (weft_file_info){
        .size = about.st_size,
        .modified_ns = about.st_mtim.tv_sec * INT64_C(1000000000) + about.st_mtim.tv_nsec,
        .kind = S_ISREG(about.st_mode)   ? WEFT_FILE_PLAIN
                : S_ISDIR(about.st_mode) ? WEFT_FILE_DIRECTORY
                                         : WEFT_FILE_OTHER,
        .mode = about.st_mode & 07777,
    };
    return NULL;
}

int weft_file_stat(const char *path, weft_file_info *info)
{
    struct request request = {.path = path, .info = info};

    return path != NULL ? (int)run(do_stat, &request) : WEFT_EINVAL;
}

/* -- reading ------------------------------------------------------------------------------ */

static void *do_read(void *arg)
{
    struct request *request = arg;
    ssize_t n;

    do
        n = read(request->fd, request->buffer, request->size);
    while (n < 0 && errno == EINTR);
    request->result = n >= 0 ? n : -errno;
    return NULL;
}

int64_t weft_file_read(int fd, void *buffer, size_t size)
{
    struct request request = {.fd = fd, .buffer = buffer, .size = size};

    return run(do_read, &request);
}

static void *do_pread(void *arg)
{
    struct request *request = arg;
    size_t done = 0;

    while (done < request->size) {
        ssize_t n = pread(request->fd, request->buffer + done, request->size - done,
                          request->offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            request->result = -errno;
            return NULL;
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    request->result = (int64_t)done;
    return NULL;
}

int64_t weft_file_pread(int fd, void *buffer, size_t size, int64_t offset)
{
    struct request request = {.fd = fd, .buffer = buffer, .size = size, .offset = offset};

    return run(do_pread, &request);
}

/* -- writing -------------------------------------------------------------------------------- */

/* All of it, at `offset` or (-1) at the file's position: 0, or a code. */
static int write_fully(int fd, const char *data, size_t size, int64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = offset < 0 ? write(fd, data + done, size - done)
                               : pwrite(fd, data + done, size - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static void *do_write(void *arg)
{
    struct request *request = arg;
    int code = write_fully(request->fd, request->data, request->size, request->offset);

    request->result = code == 0 ? (int64_t)request->size : code;
    return NULL;
}

int64_t weft_file_write(int fd, const void *data, size_t size)
{
    struct request request = {.fd = fd, .data = data, .size = size, .offset = -1};

    return run(do_write, &request);
}

int64_t weft_file_pwrite(int fd, const void *data, size_t size, int64_t offset)
{
    struct request request = {.fd = fd, .data = data, .size = size, .offset = offset};

    return offset >= 0 ? run(do_write, &request) : WEFT_EINVAL;
}

/* -- whole files ------------------------------------------------------------------------------ */

static void release(void *data, void *arg)
{
    (void)arg;
    free(data);
}

/* Grow the buffer to at least one byte beyond `size`, so that the end is seen. */
static char *more_room(char *buffer, size_t *room, size_t size)
{
    char *larger;

    if (*room > size)
        return buffer;
    *room = *room < READ_FIRST ? READ_FIRST : 2 * *room;
    larger = realloc(buffer, *room);
    if (larger == NULL)
        free(buffer);
    return larger;
}

/* Everything from fd on into *result: bytes, or a code. max 0: no bound. */
static int64_t slurp(int fd, size_t room, size_t max, char **result)
{
    char *buffer = malloc(room);
    size_t size = 0;

    while (buffer != NULL) {
        ssize_t n;

        buffer = more_room(buffer, &room, size);
        if (buffer == NULL)
            break;
        n = read(fd, buffer + size, room - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (n > 0 && max > 0 && size + (size_t)n > max)) {
            int code = n < 0 ? -errno : WEFT_ETOOLONG;

            free(buffer);
            return code;
        }
        if (n == 0) {
            *result = buffer;
            return (int64_t)size;
        }
        size += (size_t)n;
    }
    return WEFT_ENOMEM;
}

static void *do_read_all(void *arg)
{
    struct request *request = arg;
    struct stat about;
    char *buffer = NULL;
    int fd;

    do
        fd = open(request->path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        request->result = -errno;
        return NULL;
    }
    if (fstat(fd, &about) != 0)
        request->result = -errno;
    else if (request->size > 0 && about.st_size > 0 && (uint64_t)about.st_size > request->size)
        request->result = WEFT_ETOOLONG;
    else
        request->result = slurp(fd, about.st_size > 0 ? (size_t)about.st_size + 1 : READ_FIRST, request->size,
                                &buffer);
    close(fd);
    if (request->result >= 0) {
        request->content = weft_bin_wrap(buffer, (size_t)request->result, release, NULL);
        request->result = 0;
    }
    return NULL;
}

int weft_file_read_all(const char *path, size_t max, weft_term *content)
{
    struct request request = {.path = path, .size = max};
    int code = path != NULL ? (int)run(do_read_all, &request) : WEFT_EINVAL;

    if (code == 0)
        *content = request.content;
    return code;
}

/* A file beside the path, with a name that nobody has. */
static int open_beside(const char *path, mode_t mode, char *name, size_t size)
{
    static _Atomic unsigned counter;
    int fd, n;

    do {
        n = snprintf(name, size, "%s.%d.%u.new", path, (int)getpid(),
                     atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed));
        if (n < 0 || (size_t)n >= size)
            return WEFT_ENAMETOOLONG;
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode != 0 ? mode : 0666);
    } while (fd < 0 && (errno == EEXIST || errno == EINTR));
    return fd >= 0 ? fd : -errno;
}

static void *do_write_all(void *arg)
{
    struct request *request = arg;
    char name[PATH_MAX];
    int fd = open_beside(request->path, request->mode, name, sizeof name), code;

    request->result = fd;
    if (fd < 0)
        return NULL;
    code = write_fully(fd, request->data, request->size, -1);
    /* The name must not be there before the content is. */
    if (code == 0 && fsync(fd) != 0)
        code = -errno;
    if (close(fd) != 0 && code == 0)
        code = -errno;
    if (code == 0 && rename(name, request->path) != 0)
        code = -errno;
    if (code != 0)
        unlink(name);
    request->result = code;
    return NULL;
}

int weft_file_write_all(const char *path, const void *data, size_t size, uint32_t mode)
{
    struct request request = {.path = path, .data = data, .size = size, .mode = (mode_t)mode};

    return path != NULL ? (int)run(do_write_all, &request) : WEFT_EINVAL;
}

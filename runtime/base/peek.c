#include "base/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE 4096 /* what a pipe takes at once, however little the kernel gives it */

/* All calls not through the C library: sanitizers look into its. */

static bool copy_through(const int ends[2], char *to, const char *from, size_t size)
{
    for (size_t done = 0, n; done < size; done += n) {
        n = size - done < PIECE ? size - done : PIECE;
        /* Where the write stops at memory that is not there, it says fewer, or EFAULT. */
        if (syscall(SYS_write, ends[1], from + done, n) != (long)n ||
            syscall(SYS_read, ends[0], to + done, n) != (long)n)
            return false;
    }
    return true;
}

/* Memory goes through a pipe, if the kernel refuses the call that is made for it. */
static bool peek_by_pipe(void *to, const void *from, size_t size)
{
    int ends[2];
    bool is_read;

    if (syscall(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    is_read = copy_through(ends, to, from, size);
    syscall(SYS_close, ends[0]);
    syscall(SYS_close, ends[1]);
    return is_read;
}

bool weft__peek(void *to, const void *from, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    int before = errno;
    long n = syscall(SYS_process_vm_readv, getpid(), &local, 1UL, &remote, 1UL, 0UL);
    bool is_read = n >= 0 ? (size_t)n == size : errno != EFAULT && peek_by_pipe(to, from, size);

    errno = before;
    return is_read;
}

#include "base/peek.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

bool weft__peek(void *to, const void *from, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    int before = errno;
    /* Not through the C library: sanitizers look into its calls. */
    long n = syscall(SYS_process_vm_readv, getpid(), &local, 1UL, &remote, 1UL, 0UL);

    errno = before;
    return n >= 0 && (size_t)n == size;
}

/* fd.c - the table of owners.
 *
 *   own     fd free of an owner -> in the caller's list
 *   give    in a list -> in another's, or in none
 *   close   in a list, or in none -> in none, then closed
 *   end     all of a list -> closed
 *
 * An entry's owner changes under the lock of the owner that is, or is to be;
 * who wants to take a descriptor from its owner reads the owner, takes that
 * lock, and reads again.
 *
 * A descriptor is out of all lists before it is closed: as soon as it is, the
 * number may be opened and owned by another process.
 *
 * A process may be given a descriptor when it is about to end, after it let go
 * of all it had but before that is seen: then the notes it leaves are found,
 * and closed, by the next process in its slot, or at the stop of the runtime.
 */
#include "services/fd.h"

#include "base/here.h"
#include "base/memory.h"
#include "proc/proc.h"
#include "proc/runtime.h"
#include "sched/sched.h"
#include "services/holding.h"
#include "weft/error.h"
#include "weft/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define N_LOCKS 64u
#define CHUNK_SIZE 1024
#define N_CHUNKS 16384

struct owned_fd {
    _Atomic uint64_t owner; /* pid bits, or 0 */
    int previous, next;     /* in its owner's list, or -1 */
};

static struct weft__spin locks[N_LOCKS];                  /* rank LEAF */
static _Atomic(struct owned_fd *) chunks[N_CHUNKS];       /* live as long as the program */

static void process_ended(struct weft__proc *proc, void *holding);
static void runtime_stopped(uint32_t slot, void *holding);

static struct weft__holdings notes = {.ended = process_ended, .stopped = runtime_stopped, .stays = true};

__attribute__((constructor)) static void register_notes(void)
{
    weft__holdings_register(&notes);
}

static struct weft__spin *lock_of(uint32_t slot)
{
    return &locks[slot % N_LOCKS];
}

struct weft__spin *weft__io_lock(weft_pid pid)
{
    return lock_of(weft__pid_slot(pid));
}

/* -- the table ------------------------------------------------------------------- */

static struct owned_fd *chunk_make(size_t index)
{
    struct owned_fd *chunk = calloc(CHUNK_SIZE, sizeof *chunk), *there = NULL;

    if (chunk == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&chunks[index], &there, chunk, memory_order_acq_rel,
                                                memory_order_acquire))
        return chunk;
    free(chunk);
    return there;
}

/* NULL: no descriptor near that one was ever owned. */
static struct owned_fd *entry_find(int fd)
{
    size_t index = (size_t)fd / CHUNK_SIZE;
    struct owned_fd *chunk;

    if (fd < 0 || index >= N_CHUNKS)
        return NULL;
    /* Acquire, with the release in chunk_make: it is cleared. */
    chunk = atomic_load_explicit(&chunks[index], memory_order_acquire);
    return chunk != NULL ? &chunk[(size_t)fd % CHUNK_SIZE] : NULL;
}

static struct owned_fd *entry_make(int fd)
{
    struct owned_fd *entry = entry_find(fd);
    struct owned_fd *chunk;

    if (entry != NULL || fd < 0 || (size_t)fd / CHUNK_SIZE >= N_CHUNKS)
        return entry;
    chunk = chunk_make((size_t)fd / CHUNK_SIZE);
    return chunk != NULL ? &chunk[(size_t)fd % CHUNK_SIZE] : NULL;
}

/* -- a process's notes -------------------------------------------------------------- */

static struct weft__io *io_at(weft_pid pid)
{
    _Atomic(void *) *cell = weft__holding_find(&notes, weft__pid_slot(pid));

    return cell != NULL ? atomic_load_explicit(cell, memory_order_acquire) : NULL;
}

static struct weft__io *io_new(weft_pid pid)
{
    struct weft__io *io = weft__memory_alloc(sizeof *io);

    if (io == NULL)
        return NULL;
    *io = (struct weft__io){.pid = pid, .waiter.fd = -1, .first_fd = -1};
    atomic_init(&io->outcome, 0);
    return io;
}

static void clear_notes(uint32_t slot, weft_pid keep);

/* The notes of a process that lives; NULL: no memory. */
static struct weft__io *io_make(weft_pid pid)
{
    uint32_t slot = weft__pid_slot(pid);
    _Atomic(void *) *cell = weft__holding(&notes, slot);
    struct weft__io *io = cell != NULL ? io_new(pid) : NULL, *there;

    if (io == NULL)
        return NULL;
    for (;;) {
        clear_notes(slot, pid);
        weft__spin_acquire(lock_of(slot));
        there = atomic_load_explicit(cell, memory_order_relaxed);
        /* Release: whoever finds them without the lock sees them filled in. */
        if (there == NULL)
            atomic_store_explicit(cell, io, memory_order_release);
        weft__spin_release(lock_of(slot));
        if (there == NULL)
            return io;
        if (there->pid.bits == pid.bits)
            break; /* somebody else made them */
    }
    weft__memory_free(io, sizeof *io);
    return there;
}

struct weft__io *weft__io_of(struct weft__proc *proc)
{
    struct weft__io *io = io_at(proc->pid);

    return io != NULL && io->pid.bits == proc->pid.bits ? io : io_make(proc->pid);
}

/* -- lists: under the owner's lock ---------------------------------------------------- */

static void link_locked(struct weft__io *io, int fd, struct owned_fd *entry)
{
    entry->previous = -1;
    entry->next = io->first_fd;
    if (io->first_fd >= 0)
        entry_find(io->first_fd)->previous = fd;
    io->first_fd = fd;
    atomic_store_explicit(&entry->owner, io->pid.bits, memory_order_relaxed);
}

static void unlink_locked(struct weft__io *io, struct owned_fd *entry)
{
    if (entry->previous >= 0)
        entry_find(entry->previous)->next = entry->next;
    else
        io->first_fd = entry->next;
    if (entry->next >= 0)
        entry_find(entry->next)->previous = entry->previous;
    /* Release, with the acquire in disown: the number may be opened by another
     * process next, under another lock. */
    atomic_store_explicit(&entry->owner, 0, memory_order_release);
}

/* Take a descriptor from its owner; who it was, or weft_none. With `only`, from
 * that one alone. */
static weft_pid disown(int fd, weft_pid only)
{
    struct owned_fd *entry = entry_find(fd);

    for (;;) {
        weft_pid owner = entry != NULL ? weft__term(atomic_load_explicit(&entry->owner, memory_order_acquire))
                                       : weft_none;
        bool is_taken = false;

        if (weft_is_none(owner) || (!weft_is_none(only) && owner.bits != only.bits))
            return owner;
        weft__spin_acquire(weft__io_lock(owner));
        if (atomic_load_explicit(&entry->owner, memory_order_relaxed) == owner.bits) {
            unlink_locked(io_at(owner), entry);
            is_taken = true;
        }
        weft__spin_release(weft__io_lock(owner));
        if (is_taken)
            return owner;
    }
}

/* 0, WEFT_ENOMEM, or WEFT_ENOPROC. Nobody owns it. */
static int own(int fd, weft_pid pid)
{
    struct owned_fd *entry = entry_make(fd);
    struct weft__proc *proc = weft__proc_slot(pid);
    struct weft__io *io;
    int code = 0;

    if (proc == NULL || !weft__proc_is_there(proc, pid))
        return WEFT_ENOPROC;
    io = io_at(pid);
    if (io == NULL || io->pid.bits != pid.bits)
        io = io_make(pid);
    if (entry == NULL || io == NULL)
        return WEFT_ENOMEM;
    weft__spin_acquire(weft__io_lock(pid));
    io = io_at(pid); /* it may have ended since */
    if (io != NULL && io->pid.bits == pid.bits && weft__proc_is_there(proc, pid))
        link_locked(io, fd, entry);
    else
        code = WEFT_ENOPROC;
    weft__spin_release(weft__io_lock(pid));
    return code;
}

/* -- the end --------------------------------------------------------------------------- */

static void io_free(struct weft__io *io)
{
    if (io->waiter.fd >= 0)
        weft__poll_cancel(weft__runtime()->sched->poll, &io->waiter); /* a fire under way is over then */
    weft__notices_end(io);
    weft__memory_free(io, sizeof *io);
}

/* Close all that a slot's process owns and free its notes, unless they are the
 * notes of `keep`. They can be found until their list is empty. */
static void clear_notes(uint32_t slot, weft_pid keep)
{
    _Atomic(void *) *cell = weft__holding_find(&notes, slot);
    struct weft__io *io;
    int fd;

    do {
        fd = -1;
        weft__spin_acquire(lock_of(slot));
        io = atomic_load_explicit(cell, memory_order_relaxed);
        if (io != NULL && io->pid.bits == keep.bits)
            io = NULL;
        if (io != NULL) {
            fd = io->first_fd;
            if (fd >= 0)
                unlink_locked(io, entry_find(fd));
            else
                atomic_store_explicit(cell, NULL, memory_order_release); /* with the stop's look */
        }
        weft__spin_release(lock_of(slot));
        if (fd >= 0)
            weft__poll_close(weft__runtime()->sched->poll, fd);
    } while (fd >= 0);
    if (io != NULL)
        io_free(io);
}

static void process_ended(struct weft__proc *proc, void *holding)
{
    (void)holding;
    clear_notes(weft__pid_slot(proc->pid), weft_none);
}

static void runtime_stopped(uint32_t slot, void *holding)
{
    (void)holding;
    clear_notes(slot, weft_none);
}

/* -- verbs -------------------------------------------------------------------------------- */

int weft__fd_own(int fd)
{
    struct weft__proc *proc = fd >= 0 ? weft__proc_here() : NULL;
    int code;

    if (proc == NULL)
        return fd;
    disown(fd, weft_none); /* whoever had the number, and closed it behind our back */
    code = own(fd, proc->pid);
    if (code == 0)
        return fd;
    close(fd);
    return code;
}

int weft__fd_close(int fd)
{
    struct weft__runtime *runtime = weft__runtime();

    if (fd < 0)
        return WEFT_EBADF;
    if (runtime == NULL)
        return close(fd) == 0 ? 0 : -errno;
    disown(fd, weft_none);
    return weft__poll_close(runtime->sched->poll, fd);
}

int weft_close(int fd)
{
    return weft__fd_close(fd);
}

int weft_give_fd(int fd, weft_pid to)
{
    struct weft__proc *proc = weft__proc_need("weft_give_fd");
    weft_pid owner;
    int code;

    if (!weft_is_none(to) && !weft_is_pid(to))
        return WEFT_EINVAL;
    if (fcntl(fd, F_GETFD) < 0)
        return WEFT_EBADF;
    owner = disown(fd, proc->pid);
    /* One that nobody owns is given to nobody but the caller: it may have been
     * closed just now, by the process it is meant for, and its number be that of
     * what a third one opens. */
    if (owner.bits != proc->pid.bits &&
        (!weft_is_none(owner) || (!weft_is_none(to) && to.bits != proc->pid.bits)))
        return WEFT_ENOTOWNER;
    if (weft_is_none(to))
        return 0;
    code = own(fd, to);
    if (code != 0 && !weft_is_none(owner))
        own(fd, owner); /* had notes a moment ago, and is the caller: it succeeds */
    return code;
}

weft_pid weft_fd_owner(int fd)
{
    struct owned_fd *entry = entry_find(fd);

    return entry != NULL ? weft__term(atomic_load_explicit(&entry->owner, memory_order_relaxed)) : weft_none;
}

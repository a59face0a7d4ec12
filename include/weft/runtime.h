/* runtime.h - starting and stopping weft.
 *
 * One runtime per program. Nothing is installed when the library is loaded;
 * start makes the threads, stop ends them, a thousand times over if you like.
 * After fork() the child has no runtime, and every call there says so.
 */
#ifndef WEFT_RUNTIME_H
#define WEFT_RUNTIME_H

#include "weft/process.h"

WEFT__BEGIN_C

struct weft_runtime_options {
    WEFT_OPTION(size_t, size, sizeof(weft_runtime_options));
    WEFT_OPTION(unsigned, workers, 0);        /* 0: one for each core the program
                                               * may use (affinity, cgroup quota) */
    WEFT_OPTION(size_t, max_processes, 16777216); /* at once */
    WEFT_OPTION(unsigned, max_blocking, 256); /* threads beside the workers */
    WEFT_OPTION(uint64_t, seed, 0);           /* of all randomness; 0: by chance */
    WEFT_OPTION(size_t, max_cached_stacks, 1024); /* free stacks that keep their memory */
    WEFT_OPTION(bool, bind, true);            /* workers stay on their core */
    WEFT_OPTION(bool, contain_faults, true);  /* see below; false: no signal is taken */
    WEFT_OPTION(unsigned, max_faults_per_second, 0); /* more end the program; 0: no limit */
    WEFT_OPTION(unsigned, max_hogs, 256);     /* threads that processes may keep which run
                                               * for long without a call of weft, while
                                               * others go on; 0: they keep their worker */
    WEFT_OPTION(size_t, long_queue, 1000000); /* messages in a mailbox that are reported:
                                               * weft_monitor_queues; 0: no number is */
    WEFT_OPTION(size_t, long_queue_under, 0); /* so few that it is over; 0: half of it */
    WEFT_OPTION(int64_t, disown_after_ms, 1000); /* from a kill to the end of a process whose
                                               * thread does not come back; see below. 0: as
                                               * soon as may be; WEFT_INFINITY: it is waited for */
};
#define WEFT_RUNTIME_DEFAULTS                                             \
    .size = sizeof(struct weft_runtime_options), .workers = 0,            \
    .max_processes = 16777216, .max_blocking = 256, .seed = 0,            \
    .max_cached_stacks = 1024, .bind = true, .contain_faults = true,      \
    .max_faults_per_second = 0, .max_hogs = 256,                          \
    .long_queue = 1000000, .long_queue_under = 0, .disown_after_ms = 1000

/* Faults. A SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP in a process, a failed
 * assert or an abort, ends that process alone, with a reason such as
 *
 *   {:sigsegv, %{address: 0x0, pc: null_write+0x4, stack: [null_write+0x4, ...],
 *                build_id: "6b1f...", base: 0x55d0c8a00000}}
 *   {:sigabrt, %{pc: ..., stack: ..., ...}}
 *   {:stack_overflow, %{function: parse+0x0, size: 65280, ...}}
 *
 * Addresses are pointers that print as functions. Links and monitors hear of it
 * as of any exit; defers run, and what the process owns is released.
 *
 * Processes share an address space: memory may be damaged before a fault is
 * noticed, and what the process was about to do to memory it shares stays half
 * done. So a fault ends the whole program, after a report on standard error, by
 * the handler that was there before or by the signal, where more than the process
 * is broken: inside the allocator, the dynamic loader, weft, or a function of the
 * C library that may hold a lock; in a function that the C library called back
 * (of qsort); when the C library itself gives up (a broken heap, a smashed
 * stack); when the process says that it holds a foreign lock (weft/mutex.h); and
 * when its stack cannot be unwound.
 *
 * Faults in other threads are not touched. weft_runtime_start sets handlers for
 * these signals, and for SIGURG; weft_runtime_stop puts back what was there.
 *
 * A kill of a process that does not park ends it where it is, under the same
 * rules. One that they keep alive - it sits in a read, or in a function that qsort
 * calls back, or in weft_blocking - ends .disown_after_ms later all the same:
 * links and monitors hear :killed, its names go, mutexes and its task's owner are
 * told, a supervisor starts another. Its thread cannot be ended: what that may
 * still look at stays until it comes back, the stack, the memory of weft_alloc and
 * of terms, the descriptors that it owns, and its defers run then. A report names
 * it and its stack. Meanwhile its code goes on as another process, which is killed
 * as well: calls that never switch work, weft_self says another pid, the process
 * dictionary is empty. At the first call that may park, or when its
 * function returns, that ends. So do a fault and an exit. Such threads count among
 * .max_hogs and .max_blocking, and hold two of .max_processes; weft_dump shows them.
 * The runtime does not stop before they are back: weft_runtime_stop gives up when its
 * time is over, and says where one is.
 *
 * Mutexes. The next owner hears WEFT_EOWNERDEAD (weft/mutex.h) while that code is still
 * between the lock and the unlock, and may go on to change what the mutex protects. Its
 * weft_mutex_unlock, also in a defer, is then a mistake as anybody's who does not hold
 * it: an error, which in a defer is logged.
 *
 * It is waited for, as long as it takes: one that holds a foreign lock
 * (weft/mutex.h), that is sticky, that kept its worker (.max_hogs), that is in a
 * defer; any, while there is no place left among .max_processes; and with
 * .contain_faults off.
 *
 * SIGURG interrupts the thread of a process that does not park: one that was killed,
 * and one whose worker others need (.max_hogs). Its code does not notice: a system
 * call that it is in goes on, or is made again with what is left of its time-out.
 * What may be seen is a short count, as where any signal comes: of a write to a pipe
 * or socket that is full, of recv with MSG_WAITALL. weft_blocking knows no such
 * signals, unless its process was killed, .disown_after_ms ago: then a call in it may end
 * with EINTR, several times, until the process is disowned. With .contain_faults off, and
 * where faults cannot be contained, no worker is taken from a process that
 * does not park. */

struct weft_main_options {
    WEFT_OPTION(size_t, size, sizeof(weft_main_options));
    WEFT_OPTION(bool, dump_on_quit, true);    /* SIGQUIT writes weft_dump to standard
                                               * error; false: it does what it did */
    WEFT_OPTION(int64_t, stop_timeout_ms, 8000); /* from the signal, or app's end, to the end of
                                               * the program */
};
#define WEFT_MAIN_DEFAULTS                                                \
    .size = sizeof(struct weft_main_options), .dump_on_quit = true,       \
    .stop_timeout_ms = 8000

/* Run a program: app is the first process, its argument the list of
 * arguments (binaries, without the program's name). From a thread that is no
 * process: it blocks it until app has ended.
 *
 * Returns the exit status: 0 when app returns or exits with :ok or :normal, n
 * for an integer, else 1, with the reason on standard error. SIGINT and
 * SIGTERM end app with the reason :interrupt or :terminate, and the status is
 * 130 or 143, unless app asked for these signals (weft_os_signal_subscribe) or
 * traps exits and ends otherwise.
 *
 * The program then ends in order, as by weft_runtime_stop, .stop_timeout_ms after
 * the signal or app's end at the latest. The last second of it (half, when that is
 * less) is for what has to be killed, after a weft_dump on standard error that shows
 * it; what cannot be killed is named, and the program ends all the same. SIGINT
 * while it ends, after a SIGINT or a SIGTERM, ends the program at once. Those of
 * SIGINT, SIGTERM and SIGQUIT that the program was started with ignored stay so. */
#define weft_main(argc, argv, app, ...)                                   \
    WEFT_CALL_OPTIONS(weft_main_opt((argc), (argv), (app),                \
        WEFT_OPTIONS(weft_main_options, WEFT_MAIN_DEFAULTS, __VA_ARGS__)))
WEFT_API int weft_main_opt(int argc, char **argv, weft_fn *app,
                           const struct weft_main_options *options);

/* Start the runtime. From a thread that is no process, which it blocks. 0, or
 * WEFT_EALREADY: one runs; WEFT_EINVAL: a bad option (weft_runtime_error says
 * which); WEFT_EFORKED: in the child of a fork; WEFT_ENOMEM, -errno. */
#define weft_runtime_start(...)                                           \
    WEFT_CALL_OPTIONS(weft_runtime_start_opt(                             \
        WEFT_OPTIONS(weft_runtime_options, WEFT_RUNTIME_DEFAULTS, __VA_ARGS__)))
WEFT_API int weft_runtime_start_opt(const struct weft_runtime_options *options);

/* Why the last start, run or stop failed, in words; "" if it did not. From
 * anywhere. Never switches. */
WEFT_API const char *weft_runtime_error(void);

/* Run fn(arg) in a new process (with an 8 MiB stack) and wait for its end.
 * From a thread that is no process: it blocks it. result gets what fn returned, or its exit
 * reason, in memory of the calling thread's scope. 0 when it ended by itself,
 * WEFT_ECANCELED when it ended with another reason than :normal,
 * WEFT_ESTOPPED without a runtime. */
WEFT_API int weft_runtime_run(weft_fn *fn, weft_term arg, weft_term *result);

struct weft_runtime_stop_options {
    WEFT_OPTION(size_t, size, sizeof(weft_runtime_stop_options));
    WEFT_OPTION(int64_t, timeout_ms, 5000);
};
#define WEFT_RUNTIME_STOP_DEFAULTS \
    .size = sizeof(struct weft_runtime_stop_options), .timeout_ms = 5000

/* End every process, then the threads. From a thread that is no process, which it
 * blocks.
 *
 * Processes end in order: who has a parent that lives is left to it (a supervisor
 * ends its children, the last started first); the others are told :shutdown, and so
 * are those that an end leaves behind. A server takes that as its parent's word, and
 * ends by terminate also when it traps exits. The last second of the time, or half
 * when that is less, is for those that live on: they are killed.
 *
 * 0; WEFT_ESTOPPED: none runs; WEFT_ETIMEDOUT: something did not end
 * (weft_runtime_error names it): the runtime is still there, stop may be called
 * again. */
#define weft_runtime_stop(...)                                            \
    WEFT_CALL_OPTIONS(weft_runtime_stop_opt(                              \
        WEFT_OPTIONS(weft_runtime_stop_options, WEFT_RUNTIME_STOP_DEFAULTS, __VA_ARGS__)))
WEFT_API int weft_runtime_stop_opt(const struct weft_runtime_stop_options *options);

WEFT__END_C

#endif

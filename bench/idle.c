/* How many system calls does a runtime make whose thousand processes all wait?
 *
 * The program is watched by strace, which must be installed, from a child that
 * was forked before weft began: from the third second on, for ten seconds.
 * Then each process is asked, so that none can be missing.
 */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE 1000

static weft_pid processes[IDLE];
static int to_watcher[2], from_watcher[2];

/* -- the watcher ---------------------------------------------------------------------- */

/* Lines of `strace -c -U name,calls`: a call's name and how often it was made. */
static long count_calls(FILE *table)
{
    char line[128], name[64];
    long n, total = 0;

    while (fgets(line, sizeof line, table) != NULL) {
        if (sscanf(line, "%63s %ld", name, &n) != 2 || strcmp(name, "total") == 0)
            continue;
        fprintf(stderr, "  %s: %ld\n", name, n);
        total += n;
    }
    return total;
}

/* Watch the parent for so many seconds; -1: strace is not there or may not. */
static long watch(int seconds)
{
    char file[] = "/tmp/weft-idle-XXXXXX", command[256];
    int fd = mkstemp(file), status;
    FILE *table;
    long n = -1;

    if (fd < 0)
        return -1;
    snprintf(command, sizeof command,
             "timeout -s INT %d strace -q -f -c -U name,calls -o %s -p %ld 2>/dev/null", seconds, file,
             (long)getppid());
    status = system(command);
    table = fdopen(fd, "r");
    /* 124: timeout ended it, as it should. */
    if (table != NULL && WIFEXITED(status) && WEXITSTATUS(status) == 124)
        n = count_calls(table);
    unlink(file);
    return n;
}

static void watcher(int seconds)
{
    char go;
    long n;

    if (read(to_watcher[0], &go, 1) != 1)
        _exit(0);
    sleep(2); /* the watchdog ticks for a second and a little */
    n = watch(seconds);
    _exit(write(from_watcher[1], &n, sizeof n) != sizeof n);
}

/* -- the watched ---------------------------------------------------------------------- */

static weft_term wait_inside(weft_term parent)
{
    weft_term from;

    weft_send(parent, WEFT_ATOM("waits"));
    weft_receive(weft_bind(&from), WEFT_INFINITY, NULL);
    weft_send(from, weft_self());
    return parent;
}

static bool wait_outside(void *state, weft_term from)
{
    (void)state;
    weft_send(from, weft_self());
    return false;
}

/* Half of them wait in a function, half are callback processes. */
static weft_term park_all(weft_term arg)
{
    for (int i = 0; i < IDLE; i += 2) {
        processes[i] = weft_spawn(wait_inside, weft_self());
        processes[i + 1] = weft_spawn_handler(wait_outside, NULL);
    }
    for (int i = 0; i < IDLE; i += 2)
        weft_receive(WEFT_ATOM("waits"), WEFT_INFINITY, NULL);
    return arg;
}

static weft_term ask_all(weft_term arg)
{
    for (int i = 0; i < IDLE; i++) {
        weft_send(processes[i], weft_self());
        bench_check(weft_receive(processes[i], 5000, NULL), "process %d does not answer", i);
    }
    return arg;
}

int main(int argc, char **argv)
{
    int seconds;
    double calls;
    pid_t child;
    long n;

    bench_begin(argc, argv);
    seconds = (int)bench_scaled(10);
    bench_check(pipe(to_watcher) == 0 && pipe(from_watcher) == 0, "no pipes");
    child = fork();
    bench_check(child >= 0, "no fork");
    if (child == 0)
        watcher(seconds);
    /* Where only parents may trace, the child may as well. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);

    bench_start(0);
    bench_run(park_all);
    bench_check(write(to_watcher[1], "", 1) == 1, "the watcher is gone");
    /* This thread waits here meanwhile, in a call that is no call of weft. */
    bench_check(read(from_watcher[0], &n, sizeof n) == sizeof n, "the watcher is gone");
    waitpid(child, NULL, 0);
    bench_check(n >= 0, "strace does not run; on Debian: apt-get install strace");
    bench_run(ask_all);
    calls = (double)n;
    bench_report("idle", "syscalls", &calls, 1, "\"idle\":%d,\"seconds\":%d", IDLE, seconds);
    bench_stop();
    return 0;
}

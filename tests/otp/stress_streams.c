/* stress_streams.c - do streams lose items, tasks or memory?
 *
 *     stress_streams [items] [workers]           10^5 by default; 10^7 for long
 *
 * A stream of all the items runs through, ordered and not, with values and
 * inputs of every size and some tasks that fail. Then thousands of short ones
 * are left early, lose their consumer to a kill, or their source to an exit.
 * Every item that was asked for comes back once, sources are closed as often as
 * they were opened, memory stays flat, and at the end no task is alive and
 * nothing is in the mailbox.
 */
#include "proc/stress.h"

#include "weft/log.h"
#include "weft/task.h"

/* A sanitizer keeps what was freed, and notes of what was used. */
#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
enum { FLAT_BYTES = 400 << 20, SHARE_OF_SHORT = 200 };
#else
enum { FLAT_BYTES = 16 << 20, SHARE_OF_SHORT = 200 };
#endif

static struct stress stress;
static _Atomic int64_t n_opened, n_closed;

/* -- memory -------------------------------------------------------------------------- */

static int64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long long pages = 0, resident = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%lld %lld", &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

/* -- the source: numbers, bare or with bytes beside them --------------------------------- */

struct source {
    int64_t next, end;
    int64_t fail_at; /* -1: never */
    uint64_t chance;
};

static weft_term dress(int64_t number, unsigned size)
{
    char bytes[600];

    if (size == 0)
        return weft_int(number);
    memset(bytes, (int)(number & 0x7f), size);
    return weft_tuple(weft_int(number), weft_bin(bytes, size));
}

static int64_t number_of(weft_term term)
{
    return weft_to_int(weft_is_tuple(term) ? weft_tuple_at(term, 0) : term);
}

static bool source_next(void *state, weft_term *item)
{
    struct source *source = state;
    unsigned roll = chance_below(&source->chance, 16);

    if (source->next == source->fail_at)
        weft_exit(A(source_failed));
    if (source->next == source->end)
        return false;
    *item = dress(source->next++, roll < 12 ? 0 : roll < 15 ? chance_below(&source->chance, 200) : 600);
    return true;
}

static void source_open(void *state)
{
    ((struct source *)state)->next = 0;
    atomic_fetch_add(&n_opened, 1);
}

static void source_close(void *state)
{
    (void)state;
    atomic_fetch_add(&n_closed, 1);
}

static weft_source source_over(struct source *source)
{
    return (weft_source){.next = source_next, .close = source_close, .state = source, .open = source_open};
}

/* -- tasks ---------------------------------------------------------------------------------- */

/* Now and then one that takes its time, or fails. */
static weft_term echo(weft_term item)
{
    int64_t number = number_of(item);

    if (number % 1021 == 1020)
        weft_yield();
    if (number % 4099 == 4098)
        weft_sleep(1);
    if (number % 1009 == 1008)
        weft_exit(weft_tuple(A(shutdown), item)); /* not reported */
    return item;
}

static weft_term lingers(weft_term item)
{
    int64_t number = number_of(item);

    weft_trap_exit(number % 3 == 0);
    if (number % 2 == 0)
        weft_receive(A(never), WEFT_INFINITY, NULL);
    return item;
}

/* -- one long stream ------------------------------------------------------------------------------ */

static void run_long(bool ordered, int64_t max_concurrency)
{
    struct source source = {.end = stress.count, .fail_at = -1, .chance = chance_for(&stress, ordered)};
    weft_stream stream = weft_task_async_stream(source_over(&source), echo, .max_concurrency = max_concurrency,
                                                .ordered = ordered, .max_buffered = 1000);
    int64_t n = 0, sum = 0, n_failed = 0, n_wrong = 0, warm = 0;

    weft_stream_each (item, &stream) {
        int64_t number = number_of(item.input);

        n_wrong += (uint64_t)number != item.index || (ordered && number != n);
        if (item.ok)
            n_wrong += !weft_eq(item.value, item.input);
        else
            n_failed++;
        sum += number;
        if (++n % (stress.count / 4 > 0 ? stress.count / 4 : 1) == 0) {
            warm = warm != 0 ? warm : resident_bytes();
            printf("# resident after %lld items: %lld KiB\n", (long long)n, (long long)resident_bytes() / 1024);
        }
    }
    stress_total(&stress, ordered ? "items, in order" : "items, as they end", n, stress.count);
    stress_total(&stress, "sum of their numbers", sum, stress.count * (stress.count - 1) / 2);
    stress_total(&stress, "failures", n_failed, stress.count / 1009);
    stress_total(&stress, "items that are not what they should be", n_wrong, 0);
    stress_total(&stress, "times that memory grew", resident_bytes() - warm > FLAT_BYTES, 0);
}

/* -- many short ones ------------------------------------------------------------------------------- */

static void leave_early(uint64_t *chance)
{
    struct source source = {.end = 1000, .fail_at = -1, .chance = chance_next(chance)};
    weft_stream stream = weft_task_async_stream(source_over(&source), echo, .ordered = chance_below(chance, 2) == 0,
                                                .max_concurrency = 1 + chance_below(chance, 16));
    unsigned left = chance_below(chance, 40);

    weft_stream_each (item, &stream)
        if (left-- == 0)
            break;
}

/* Consumes tasks of which half hang; ends by a kill, or by its source. */
static weft_term consumes_lingering(weft_term arg)
{
    struct source source = {.end = 1000, .fail_at = weft_to_int(weft_tuple_at(arg, 0)),
                            .chance = (uint64_t)weft_to_int(weft_tuple_at(arg, 1))};
    weft_stream stream = weft_task_async_stream(source_over(&source), lingers, .max_concurrency = 8,
                                                .ordered = false, .timeout_ms = 30000);

    weft_stream_each (item, &stream)
        weft_yield();
    return A(ok);
}

/* 1 when it ended for the reason it should. */
static int64_t lose_consumer(uint64_t *chance)
{
    bool by_source = chance_below(chance, 2) == 0;
    weft_term fail_at = weft_int(by_source ? (int64_t)chance_below(chance, 8) : -1), reason = weft_none;
    weft_ref down;
    weft_pid consumer = weft_spawn(consumes_lingering,
                                   weft_tuple(fail_at, weft_int((int64_t)chance_below(chance, 1 << 30))),
                                   .monitor = &down);

    if (!by_source) {
        for (unsigned turns = chance_below(chance, 20); turns > 0; turns--)
            weft_yield();
        stress_dither(chance);
        weft_kill(consumer);
    }
    weft_receive(weft_tuple(A(DOWN), down, A(process), consumer, weft_bind(&reason)), BOUND_MS, NULL);
    return weft_eq(reason, by_source ? A(source_failed) : A(killed));
}

static void run_short(void)
{
    uint64_t chance = chance_for(&stress, 99);
    int64_t n = stress.count / SHARE_OF_SHORT, n_right = 0, warm = 0;

    for (int64_t i = 0; i < n; i++) {
        WEFT_SCOPE;

        if (i == n / 4)
            warm = resident_bytes();
        leave_early(&chance);
        n_right += lose_consumer(&chance);
    }
    stress_total(&stress, "consumers that ended as they should", n_right, n);
    stress_total(&stress, "times that memory grew", resident_bytes() - warm > FLAT_BYTES, 0);
}

/* Processes beside this one and the thread's; waits for those on their way. */
static int64_t n_processes_left(void)
{
    for (int64_t until = stress_now_ns() + (int64_t)BOUND_MS * 1000000;;) {
        WEFT_SCOPE;
        int64_t n = (int64_t)weft_list_size(weft_processes()) - 2;

        if (n <= 0 || stress_now_ns() > until)
            return n > 0 ? n : 0;
        weft_yield();
    }
}

static weft_term body(weft_term arg)
{
    (void)arg;
    weft_log_set_level(WEFT_LOG_NONE); /* thousands of tasks are killed */
    weft_trap_exit(true);
    run_long(true, 16);
    run_long(false, 16);
    weft_trap_exit(false);
    run_short();
    stress_total(&stress, "tasks alive", n_processes_left(), 0);
    stress_total(&stress, "messages in the mailbox", (int64_t)weft_message_queue_len(), 0);
    stress_total(&stress, "sources closed, of those opened", atomic_load(&n_closed), atomic_load(&n_opened));
    return A(ok);
}

int main(int argc, char **argv)
{
    stress_begin(&stress, argc, argv, 100000);
    stress_run(&stress, body);
    return stress_end(&stress);
}

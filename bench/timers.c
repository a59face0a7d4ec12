/* What CPU do a million timed messages take, and how late do a hundred thousand arrive?
 *
 * A delay is a whole number of milliseconds, hashed over 0..2000, so that they
 * are not set in the order they are due.
 */
#include "report.h"
#include "weft/timer.h"

#define SAMPLES 3
#define SPREAD_MS 2000

static int64_t delay_ms(int64_t i)
{
    return i * 7919 % (SPREAD_MS + 1);
}

static weft_term next_message(void)
{
    weft_term message;

    bench_check(weft_receive(weft_any, SPREAD_MS + 10000, &message), "a message is missing");
    return message;
}

/* CPU time from the first timer set to the last message received. */
static double cpu_seconds(int64_t timers)
{
    int64_t before = bench_cpu_ns(), sum = 0;
    double used;

    for (int64_t i = 0; i < timers; i++)
        weft_send_after(weft_self(), weft_int(i), delay_ms(i));
    for (int64_t i = 0; i < timers; i++)
        sum += weft_to_int(next_message());
    used = (double)(bench_cpu_ns() - before) / 1e9;
    bench_check(sum == timers * (timers - 1) / 2, "%lld messages summed up to %lld", (long long)timers,
                (long long)sum);
    return used;
}

/* By how much each message was late when it was received, sorted. */
static void lateness_ms(double *late, int64_t timers)
{
    for (int64_t i = 0; i < timers; i++) {
        int64_t due_ns = weft_monotonic_ns() + delay_ms(i) * 1000000;

        weft_send_after(weft_self(), weft_int(due_ns), delay_ms(i));
    }
    for (int64_t i = 0; i < timers; i++) {
        int64_t due_ns = weft_to_int(next_message());

        late[i] = (double)(weft_monotonic_ns() - due_ns) / 1e6;
    }
    bench_sort(late, (size_t)timers);
    bench_check(late[0] >= 0, "a message came %g ms early", -late[0]);
}

static weft_term bench(weft_term arg)
{
    int64_t many = bench_scaled(1000000), few = bench_scaled(100000);
    size_t n = many == 1000000 ? SAMPLES : 1;
    double cpu[SAMPLES], p50[SAMPLES], p99[SAMPLES];
    double *late = weft_alloc((size_t)few * sizeof *late);

    cpu_seconds(many / 10);
    for (size_t i = 0; i < n; i++) {
        cpu[i] = cpu_seconds(many);
        lateness_ms(late, few);
        p50[i] = bench_at(late, (size_t)few, 0.5);
        p99[i] = bench_at(late, (size_t)few, 0.99);
    }
    bench_report("timers_cpu", "s", cpu, n, "\"timers\":%lld,\"spread_ms\":%d", (long long)many, SPREAD_MS);
    bench_report("timers_late_p50", "ms", p50, n, "\"timers\":%lld,\"spread_ms\":%d", (long long)few,
                 SPREAD_MS);
    bench_report("timers_late_p99", "ms", p99, n, "\"timers\":%lld,\"spread_ms\":%d", (long long)few,
                 SPREAD_MS);
    return arg;
}

int main(int argc, char **argv)
{
    return bench_main(argc, argv, 0, bench);
}

#include "fetch_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static double seconds_since(int64_t start_ns)
{
    return (double)(weft_monotonic_ns() - start_ns) / 1e9;
}

void fetch_report_begin(struct fetch_report *report)
{
    report->start_ns = weft_monotonic_ns();
}

/* -- counting ------------------------------------------------------------------ */

static void count_kind(struct fetch_report *report, const char *kind)
{
    size_t i = 0;

    while (i < report->n_kinds && strcmp(report->kinds[i].kind, kind) != 0)
        i++;
    if (i == report->n_kinds) {
        if (i == sizeof report->kinds / sizeof report->kinds[0])
            return;
        snprintf(report->kinds[i].kind, sizeof report->kinds[i].kind, "%s", kind);
        report->n_kinds++;
    }
    report->kinds[i].n++;
}

static void count(struct fetch_report *report, const struct fetch_result *result)
{
    if (report->n_done == report->room) {
        report->room = report->room ? report->room * 2 : 4096;
        report->latencies = weft_realloc(report->latencies, report->room * sizeof *report->latencies);
    }
    report->latencies[report->n_done++] = result->us < UINT32_MAX ? (uint32_t)result->us : UINT32_MAX;
    report->bytes += result->bytes;
    if (!result->ok) {
        report->n_failed++;
        count_kind(report, result->kind);
    }
}

/* -- lines -------------------------------------------------------------------------- */

static void clear_progress(const struct fetch_report *report)
{
    if (report->has_progress)
        fputs("\r\033[K", stderr);
}

/* Bytes of the UTF-8 character at text and its number; 0: it is none. */
static size_t utf8_decode(const char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t size = *byte < 0x80 ? 1 : *byte < 0xc0 ? 0 : *byte < 0xe0 ? 2 : *byte < 0xf0 ? 3 : *byte < 0xf8 ? 4 : 0;

    *code = size == 1 ? *byte : *byte & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((byte[i] & 0xc0) != 0x80) /* the NUL at the end, too */
            return 0;
        *code = *code << 6 | (byte[i] & 0x3f);
    }
    return size != 0 && *code >= least[size] && *code <= 0x10ffff && *code >> 11 != 0x1b ? size : 0;
}

/* Text as a JSON string. Bytes that are no UTF-8 are written as if they were
 * Latin-1: the line stays JSON whatever a stranger sent. */
static void put_json(const char *text)
{
    putchar('"');
    while (*text != '\0') {
        uint32_t code;
        size_t size = utf8_decode(text, &code);

        if (size == 0) {
            code = (unsigned char)*text;
            size = 1;
        }
        if (code == '"' || code == '\\')
            printf("\\%c", (char)code);
        else if (code < 32 || (size == 1 && code >= 127))
            printf("\\u%04x", code);
        else
            fwrite(text, 1, size, stdout);
        text += size;
    }
    putchar('"');
}

static void put_json_line(const struct fetch_result *result)
{
    fputs("{\"url\":", stdout);
    put_json(result->url);
    printf(",\"ok\":%s,\"status\":%d,\"bytes\":%llu,\"ms\":%.3f", result->ok ? "true" : "false", result->status,
           (unsigned long long)result->bytes, (double)result->us / 1e3);
    if (!result->ok) {
        fputs(",\"error\":", stdout);
        put_json(result->kind);
        fputs(",\"text\":", stdout);
        put_json(result->text != NULL ? result->text : "");
    }
    fputs("}\n", stdout);
}

/* A URL or text of a stranger must not move the cursor. */
static void put_plain(const char *text)
{
    while (*text != '\0') {
        uint32_t code;
        size_t size = utf8_decode(text, &code);

        if (size == 0 || code < 32 || (code >= 127 && code < 160))
            putchar('?');
        else
            fwrite(text, 1, size, stdout);
        text += size > 0 ? size : 1;
    }
}

static void put_line(const struct fetch_result *result)
{
    if (result->status != 0)
        printf("%3d %10llu %9.2f ms  ", result->status, (unsigned long long)result->bytes, (double)result->us / 1e3);
    else
        printf("  - %10s %9.2f ms  ", "-", (double)result->us / 1e3);
    put_plain(result->url);
    if (result->text != NULL) {
        printf(": %s: ", result->kind);
        put_plain(result->text);
    }
    putchar('\n');
}

/* Right after output: errno says why it was refused. */
static void note_error(struct fetch_report *report)
{
    if (ferror(stdout) && report->output_error == 0)
        report->output_error = -weft_errno();
}

void fetch_report_flush(struct fetch_report *report)
{
    fflush(stdout);
    note_error(report);
}

void fetch_report_add(struct fetch_report *report, const struct fetch_result *result)
{
    count(report, result);
    if (report->quiet)
        return;
    clear_progress(report);
    if (report->json)
        put_json_line(result);
    else
        put_line(result);
    note_error(report);
}

void fetch_report_progress(struct fetch_report *report, uint64_t started)
{
    double seconds = seconds_since(report->start_ns);

    if (!report->has_progress)
        return;
    /* Lines first: both may go to the same terminal. */
    fetch_report_flush(report);
    fprintf(stderr, "\r\033[K%.0f/s  %llu done  %llu failed  %llu in flight", (double)report->n_done / seconds,
            (unsigned long long)report->n_done, (unsigned long long)report->n_failed,
            (unsigned long long)(started - report->n_done));
}

/* -- the summary ------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;

    return (one > two) - (one < two);
}

/* Milliseconds below which that part of all stayed (nearest rank). */
static double percentile(const struct fetch_report *report, unsigned percent)
{
    uint64_t rank = (report->n_done * percent + 99) / 100;

    return report->n_done > 0 ? (double)report->latencies[rank > 0 ? rank - 1 : 0] / 1e3 : 0;
}

static void put_summary(const struct fetch_report *report, double seconds, const char *why)
{
    printf("\n%llu URL%s in %.2f s, %.0f/s: %llu fetched, %llu failed%s\n", (unsigned long long)report->n_done,
           report->n_done == 1 ? "" : "s", seconds, (double)report->n_done / seconds,
           (unsigned long long)(report->n_done - report->n_failed), (unsigned long long)report->n_failed, why);
    for (size_t i = 0; i < report->n_kinds; i++)
        printf("%8llu  %s\n", (unsigned long long)report->kinds[i].n, report->kinds[i].kind);
    printf("latency   p50 %.2f ms   p90 %.2f ms   p99 %.2f ms\n", percentile(report, 50), percentile(report, 90),
           percentile(report, 99));
    printf("bytes     %llu\n", (unsigned long long)report->bytes);
}

static void put_json_summary(const struct fetch_report *report, double seconds, const char *why)
{
    printf("{\"summary\":{\"urls\":%llu,\"fetched\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,"
           "\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"bytes\":%llu,\"complete\":%s,\"failures\":{",
           (unsigned long long)report->n_done, (unsigned long long)(report->n_done - report->n_failed),
           (unsigned long long)report->n_failed, seconds, (double)report->n_done / seconds, percentile(report, 50),
           percentile(report, 90), percentile(report, 99), (unsigned long long)report->bytes,
           *why == '\0' ? "true" : "false");
    for (size_t i = 0; i < report->n_kinds; i++) {
        if (i > 0)
            putchar(',');
        put_json(report->kinds[i].kind);
        printf(":%llu", (unsigned long long)report->kinds[i].n);
    }
    fputs("}}}\n", stdout);
}

void fetch_report_end(struct fetch_report *report, const char *why)
{
    double seconds = seconds_since(report->start_ns);

    clear_progress(report);
    qsort(report->latencies, report->n_done, sizeof *report->latencies, by_size);
    if (report->json)
        put_json_summary(report, seconds, why);
    else
        put_summary(report, seconds, why);
    fetch_report_flush(report);
}

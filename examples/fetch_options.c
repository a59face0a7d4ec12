#include "fetch_options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: parallel_fetch [options] [URL... | -]\n"
    "\n"
    "Fetches URLs, many at once, and tells of each one in a line. Without any URL\n"
    "it fetches 2,000 from a server of its own, some of which have to fail.\n"
    "\n"
    "  -                      read URLs from standard input, one a line; so does -f -\n"
    "  -f, --file FILE        read them from a file; lines that begin with # are left out\n"
    "  -c, --concurrency N    so many at once (10; the demo: 64)\n"
    "  -t, --timeout SECONDS  for each URL, redirects included (10; the demo: 2)\n"
    "  -m, --max-body BYTES   a larger body is an error (67108864; the demo: 1048576)\n"
    "  -j, --json             a JSON object a line\n"
    "  -q, --quiet            the summary alone\n"
    "  -h, --help             this\n"
    "\n"
    "Exit status: 0 all were fetched (the demo: just those failed that had to),\n"
    "1 some failed, or answered with a status of 400 or more, or the lines could not\n"
    "be written, 2 a mistake in the arguments, 130 stopped by Ctrl-C.\n";

static int mistake(const char *what, const char *detail)
{
    fprintf(stderr, "parallel_fetch: %s%s (--help tells the options)\n", what, detail);
    return 2;
}

/* A number within bounds; `scale` 1000 reads seconds as milliseconds. */
static bool read_number(const char *text, double scale, double min, double max, double *number)
{
    char *end;

    errno = 0;
    *number = strtod(text, &end) * scale;
    return end != text && *end == '\0' && errno == 0 && *number >= min && *number <= max;
}

static int open_list(struct fetch_options *options, const char *path)
{
    if (options->list_fd > STDIN_FILENO)
        close(options->list_fd);
    options->list_fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (options->list_fd < 0) {
        fprintf(stderr, "parallel_fetch: cannot read '%s': %s\n", path, strerror(errno));
        return 2;
    }
    return -1;
}

static int read_option(struct fetch_options *options, int letter, const char *value)
{
    double number;

    switch (letter) {
    case 'c':
        if (!read_number(value, 1, 1, 100000, &number))
            return mistake("-c takes a number from 1 to 100000, not ", value);
        options->concurrency = (int64_t)number;
        return -1;
    case 't':
        if (!read_number(value, 1000, 1, 86400000, &number))
            return mistake("-t takes seconds from 0.001 to 86400, not ", value);
        options->timeout_ms = (int64_t)number;
        return -1;
    case 'm':
        if (!read_number(value, 1, 0, 1e12, &number))
            return mistake("-m takes a number of bytes, not ", value);
        options->max_body = (uint64_t)number;
        return -1;
    case 'f':
        return open_list(options, value);
    case 'j':
        options->json = true;
        return -1;
    default:
        options->quiet = true;
        return -1;
    }
}

/* "-" among the URLs is standard input. */
static void take_urls(struct fetch_options *options, char **urls, size_t n)
{
    options->urls = urls;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(urls[i], "-") == 0)
            open_list(options, "-");
        else
            urls[options->n_urls++] = urls[i];
    }
    options->is_demo = options->n_urls == 0 && options->list_fd < 0;
}

static void set_defaults(struct fetch_options *options)
{
    if (options->concurrency == 0)
        options->concurrency = options->is_demo ? 64 : 10;
    if (options->timeout_ms == 0)
        options->timeout_ms = options->is_demo ? 2000 : 10000;
    if (options->max_body == UINT64_MAX)
        options->max_body = options->is_demo ? 1 << 20 : 64 << 20;
}

int fetch_options_read(struct fetch_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"file", required_argument, NULL, 'f'},     {"concurrency", required_argument, NULL, 'c'},
        {"timeout", required_argument, NULL, 't'},  {"max-body", required_argument, NULL, 'm'},
        {"json", no_argument, NULL, 'j'},           {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    int letter, status;

    *options = (struct fetch_options){.list_fd = -1, .max_body = UINT64_MAX};
    opterr = 0;
    while ((letter = getopt_long(argc, argv, ":f:c:t:m:jqh", known, NULL)) != -1) {
        char short_name[3] = {'-', (char)optopt, '\0'};

        switch (letter) {
        case 'h':
            fputs(usage, stdout);
            return 0;
        case ':':
            return mistake("a value is missing after ", argv[optind - 1]);
        case '?':
            /* A short one may stand among others in its argument. */
            return mistake("unknown option ", optopt != 0 ? short_name : argv[optind - 1]);
        default:
            status = read_option(options, letter, optarg);
            if (status >= 0)
                return status;
        }
    }
    take_urls(options, argv + optind, (size_t)(argc - optind));
    set_defaults(options);
    return -1;
}

/* fetch_options.h - the command line of parallel_fetch. */
#ifndef WEFT_EXAMPLES_FETCH_OPTIONS_H
#define WEFT_EXAMPLES_FETCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch_options {
    int64_t concurrency;
    int64_t timeout_ms;
    uint64_t max_body;
    bool json, quiet;
    int list_fd;          /* URLs, one a line; -1: none */
    char **urls;          /* those of the command line */
    size_t n_urls;
    bool is_demo;         /* no URL and no list: the demo */
};

/* Read the arguments. Returns -1 to go on, else the status to exit with: 0
 * after --help, 2 after a mistake, which was told on standard error. */
int fetch_options_read(struct fetch_options *options, int argc, char **argv);

#endif

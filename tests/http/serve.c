/* The demo's server as a program, for scripts: prints its port and serves until
 * its standard input ends. */
#include <stdio.h>
#include <unistd.h>

#include "../../examples/demo_server.h"

static weft_term app(weft_term arguments)
{
    static struct demo_server_counts counts;
    struct demo_server server;
    char byte;

    (void)arguments;
    if (demo_server_start(&server, &counts, NULL) != 0)
        return weft_int(1);
    printf("%u\n", server.port);
    fflush(stdout);
    while (weft_read(STDIN_FILENO, &byte, 1, WEFT_INFINITY) > 0)
        continue;
    return weft_int(0);
}

int main(int argc, char **argv)
{
    return weft_main(argc, argv, app);
}

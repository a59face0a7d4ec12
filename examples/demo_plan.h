/* demo_plan.h - the 2,000 URLs of the demo, and which of them have to fail, how. */
#ifndef WEFT_EXAMPLES_DEMO_PLAN_H
#define WEFT_EXAMPLES_DEMO_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <weft.h>

#define DEMO_URLS 2000

struct demo_plan {
    uint16_t port;       /* of the server */
    uint16_t dead_port;  /* where nobody listens */
    uint64_t next;
    uint64_t n_wrong;    /* did not come out as planned */
};

/* Its URLs in turn. */
weft_source demo_plan_source(struct demo_plan *plan);

/* URL number `index` came out so; kind NULL: well. Counts and tells those that
 * should not have. */
void demo_plan_check(struct demo_plan *plan, uint64_t index, const char *url, const char *kind);

#endif

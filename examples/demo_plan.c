#include "demo_plan.h"

#include <stdio.h>
#include <string.h>

/* Of each hundred URLs, by number: what is asked for, and how it has to fail. */
struct step {
    unsigned until;       /* numbers below this one (and not below the last step's) */
    const char *path;     /* NULL: the dead port; %u: a number that differs */
    const char *kind;     /* NULL: it has to come */
};
static const struct step steps[] = {
    {82, "/bytes/%u", NULL},
    {86, "/slow/%u", NULL},
    {89, "/redirect/3", NULL},
    {90, "/chunked/5000", NULL},
    {92, "/status/404", "status 404"},
    {94, "/status/500", "status 500"},
    {95, "/drop", "closed"},
    {96, "/bytes/2000000", "too_large"},
    {97, "/loop", "too_many_redirects"},
    {98, "/never", "timeout"},
    {99, NULL, "connect"},
    {100, "not a URL", "bad_url"},
};

static const struct step *step_of(uint64_t index)
{
    /* Spread them: neighbours differ. */
    unsigned number = (unsigned)(index * 37 % 100);
    const struct step *step = steps;

    while (number >= step->until)
        step++;
    return step;
}

static bool next_url(void *state, weft_term *item)
{
    struct demo_plan *plan = state;
    const struct step *step;
    char path[64] = "", url[128];
    unsigned varied;

    if (plan->next == DEMO_URLS)
        return false;
    step = step_of(plan->next);
    varied = (unsigned)(plan->next * 7919 % 200) + 10;
    plan->next++;
    if (step->path != NULL && strncmp(step->path, "/bytes/%", 8) == 0)
        snprintf(path, sizeof path, "/bytes/%u", varied * 100);
    else if (step->path != NULL && strncmp(step->path, "/slow/%", 7) == 0)
        snprintf(path, sizeof path, "/slow/%u", varied);
    else if (step->path != NULL)
        snprintf(path, sizeof path, "%s", step->path);
    if (step->path != NULL && *path != '/')
        snprintf(url, sizeof url, "%s", path);
    else
        snprintf(url, sizeof url, "http://127.0.0.1:%u%s", step->path != NULL ? plan->port : plan->dead_port, path);
    *item = weft_str(url);
    return true;
}

weft_source demo_plan_source(struct demo_plan *plan)
{
    return (weft_source){.next = next_url, .state = plan};
}

void demo_plan_check(struct demo_plan *plan, uint64_t index, const char *url, const char *kind)
{
    const char *planned = step_of(index)->kind;

    if (planned == NULL ? kind == NULL : kind != NULL && strcmp(kind, planned) == 0)
        return;
    plan->n_wrong++;
    fprintf(stderr, "parallel_fetch: %s should have %s%s, but %s%s\n", url, planned ? "failed with " : "come",
            planned ? planned : "", kind ? "failed with " : "came", kind ? kind : "");
}

#include "otp/intensity.h"

#include "base/clock.h"
#include "weft/process.h"

#define FIRST_SIZE 4

void weft__intensity_init(struct weft__intensity *intensity, int64_t max_restarts, int64_t max_seconds)
{
    *intensity = (struct weft__intensity){
        .max_restarts = max_restarts,
        .period_ns = max_seconds > INT64_MAX / WEFT__NS_PER_S ? INT64_MAX : max_seconds * WEFT__NS_PER_S,
    };
}

static struct weft__ending *at(const struct weft__intensity *intensity, size_t i)
{
    return &intensity->endings[(intensity->first + i) % intensity->size];
}

static void forget_first(struct weft__intensity *intensity)
{
    struct weft__ending *ending = at(intensity, 0);

    weft_drop(ending->id);
    weft_drop(ending->reason);
    intensity->first = (intensity->first + 1) % intensity->size;
    intensity->n--;
}

static void grow(struct weft__intensity *intensity)
{
    size_t size = intensity->size > 0 ? 2 * intensity->size : FIRST_SIZE;
    struct weft__ending *endings = weft_alloc(size * sizeof *endings);

    for (size_t i = 0; i < intensity->n; i++)
        endings[i] = *at(intensity, i);
    weft_free(intensity->endings);
    intensity->endings = endings;
    intensity->first = 0;
    intensity->size = size;
}

bool weft__intensity_add(struct weft__intensity *intensity, weft_term id, weft_term reason)
{
    int64_t now = weft__clock_ns();

    while (intensity->n > 0 && now - at(intensity, 0)->at_ns > intensity->period_ns)
        forget_first(intensity);
    if (intensity->n == intensity->size)
        grow(intensity);
    *at(intensity, intensity->n++) = (struct weft__ending){now, weft_keep(id), weft_keep(reason)};
    return (int64_t)intensity->n <= intensity->max_restarts;
}

weft_term weft__intensity_endings(const struct weft__intensity *intensity)
{
    int64_t now = weft__clock_ns();
    weft_term list = weft_empty_list;

    for (size_t i = intensity->n; i-- > 0;) {
        const struct weft__ending *ending = at(intensity, i);

        list = weft_cons(weft_tuple(weft_int((now - ending->at_ns) / WEFT__NS_PER_MS), ending->id, ending->reason),
                         list);
    }
    return list;
}

/* rand.h - numbers that look random, from a seed.
 *
 * Every choice the scheduler draws (victims, jitter) comes from one of these,
 * and each of these from the runtime's one seed, so that a run can be had
 * again. Not for secrets.
 *
 * Threads:   one user each; there is nothing shared.
 * Idea:      splitmix64 (Steele, Lea, Flood 2014) to spread seeds,
 *            xorshift64* (Vigna 2016) to draw.
 */
#ifndef WEFT_BASE_RAND_H
#define WEFT_BASE_RAND_H

#include <stdint.h>

struct weft__rand {
    uint64_t state; /* never 0 */
};

/* Two users of one seed get numbers that have nothing to do with each other. */
static inline void weft__rand_init(struct weft__rand *rand, uint64_t seed, uint64_t user)
{
    uint64_t z = seed + (user + 1) * 0x9E3779B97F4A7C15U;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    rand->state = z != 0 ? z : 1;
}

static inline uint64_t weft__rand_next(struct weft__rand *rand)
{
    uint64_t x = rand->state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    rand->state = x;
    return x * 0x2545F4914F6CDD1DU;
}

/* 0 <= result < n, or 0 when n is 0. By multiplication, which is cheaper than
 * a remainder; the bias is below n / 2^32. */
static inline uint32_t weft__rand_below(struct weft__rand *rand, uint32_t n)
{
    return (uint32_t)(((weft__rand_next(rand) >> 32) * n) >> 32);
}

#endif

/*
 * random.c - random numbers that are the same on every machine.
 *
 * xoshiro256++ 1.0: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM
 * TOMS 47(4), 2021, and the reference code at https://prng.di.unimi.it/xoshiro256plusplus.c.
 */
#include "base/base.h"

#include <math.h>

#define PI 3.14159265358979323846

/* The finaliser of SplitMix64 (https://prng.di.unimi.it/splitmix64.c), a bijection. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t splitmix_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

void seki_random_seed(struct seki_random *random, uint64_t seed, uint64_t stream)
{
    /* Mixed twice, so that neighbouring seeds and streams have nothing in common, and, mix being
     * a bijection, two streams of one seed never start alike. */
    uint64_t state = mix(splitmix_next(&seed) ^ stream);

    for (int i = 0; i < 4; i++)
        random->state[i] = splitmix_next(&state);
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t seki_random_next(struct seki_random *random)
{
    uint64_t *s = random->state;
    const uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019. */
uint32_t seki_random_below(struct seki_random *random, uint32_t bound)
{
    uint64_t product;
    uint32_t threshold;

    if (bound == 0)
        SEKI_BUG("a random number below 0");
    product = (seki_random_next(random) >> 32) * bound;
    if ((uint32_t)product < bound) {
        threshold = -bound % bound;
        while ((uint32_t)product < threshold)
            product = (seki_random_next(random) >> 32) * bound;
    }
    return (uint32_t)(product >> 32);
}

double seki_random_uniform(struct seki_random *random)
{
    return (double)(seki_random_next(random) >> 11) * 0x1.0p-53;
}

double seki_random_normal(struct seki_random *random)
{
    /* 1 - u lies in (0, 1], where the logarithm is finite. The second number of the pair is not
     * kept: the generator's state is then all there is. */
    double radius = sqrt(-2.0 * log(1.0 - seki_random_uniform(random)));

    return radius * cos(2.0 * PI * seki_random_uniform(random));
}

void seki_random_shuffle(struct seki_random *random, uint32_t *indices, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = seki_random_below(random, i);
        uint32_t kept = indices[i - 1];

        indices[i - 1] = indices[j];
        indices[j] = kept;
    }
}

uint64_t seki_hash_string(const char *string)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *string; string++)
        hash = (hash ^ (unsigned char)*string) * UINT64_C(0x100000001b3);
    return hash;
}

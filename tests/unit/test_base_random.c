/*
 * test_base_random.c - random numbers: against the published generator, and their distributions.
 */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* The first outputs of the reference xoshiro256plusplus.c from the state {1, 2, 3, 4}. */
static void next_is_xoshiro256plusplus(void **state)
{
    static const uint64_t expected[] = {
        UINT64_C(41943041),
        UINT64_C(58720359),
        UINT64_C(3588806011781223),
        UINT64_C(3591011842654386),
        UINT64_C(9228616714210784205),
        UINT64_C(9973669472204895162),
        UINT64_C(14011001112246962877),
        UINT64_C(12406186145184390807),
        UINT64_C(15849039046786891736),
        UINT64_C(10450023813501588000),
    };
    struct seki_random random = {.state = {1, 2, 3, 4}};

    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(seki_random_next(&random), expected[i]);
}

/* Runs go on from a seed and a position: what a seed gives must never change. */
static void a_seed_gives_the_same_numbers_for_ever(void **state)
{
    static const struct {
        uint64_t seed, stream, first;
    } cases[] = {
        {0, 0, UINT64_C(18353448787882852715)},
        {0, 1, UINT64_C(3921124197515952312)},
        {1, 0, UINT64_C(8770077814761700327)},
        {UINT64_MAX, UINT64_MAX, UINT64_C(11208222116820968387)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_random random;

        seki_random_seed(&random, cases[i].seed, cases[i].stream);
        assert_int_equal(seki_random_next(&random), cases[i].first);
    }
}

/* Bits of neighbouring seeds and streams agree in half of their places, as chance has it. */
static void neighbouring_streams_have_nothing_in_common(void **state)
{
    long differing = 0;
    const uint64_t pairs = 4000;

    (void)state;
    for (uint64_t i = 0; i < pairs; i++) {
        struct seki_random a, b;
        uint64_t x;

        seki_random_seed(&a, i / 2, i);
        seki_random_seed(&b, i / 2 + i % 2, i + 1 - i % 2);
        x = seki_random_next(&a) ^ seki_random_next(&b);
        for (; x; x &= x - 1)
            differing++;
    }
    /* Binomial with n = 64 * 4000: deviation 253. */
    assert_in_range(differing, 128000 - 1265, 128000 + 1265);
}

static void below_is_uniform(void **state)
{
    static const uint32_t bounds[] = {1, 2, 3, 7, 10};
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 3, 0);
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        long counts[10] = {0};
        const long draws = 100000;
        double expected = (double)draws / bounds[b], chi_squared = 0;

        for (long i = 0; i < draws; i++) {
            uint32_t drawn = seki_random_below(&random, bounds[b]);

            assert_true(drawn < bounds[b]);
            counts[drawn]++;
        }
        for (uint32_t i = 0; i < bounds[b]; i++)
            chi_squared += pow((double)counts[i] - expected, 2) / expected;
        assert_true(chi_squared < 35); /* 9 degrees of freedom: chance 6e-5 */
    }
}

/* Without the rejection, a bound of 3 * 2^30 would give multiples of 3 twice as often. */
static void below_has_no_bias_at_large_bounds(void **state)
{
    struct seki_random random;
    long thirds[3] = {0};

    (void)state;
    seki_random_seed(&random, 4, 0);
    for (int i = 0; i < 90000; i++)
        thirds[seki_random_below(&random, 3u << 30) % 3]++;
    for (int i = 0; i < 3; i++)
        assert_in_range(thirds[i], 30000 - 700, 30000 + 700); /* five deviations */
}

static void uniform_and_normal_have_their_moments(void **state)
{
    struct seki_random random;
    const int draws = 200000;
    double sum = 0, normal = 0, squares = 0, fourth = 0;

    (void)state;
    seki_random_seed(&random, 5, 0);
    for (int i = 0; i < draws; i++) {
        double u = seki_random_uniform(&random), x = seki_random_normal(&random);

        assert_true(u >= 0 && u < 1);
        assert_true(isfinite(x));
        sum += u;
        normal += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(sum / draws - 0.5) < 0.0033); /* five deviations each */
    assert_true(fabs(normal / draws) < 0.0112);
    assert_true(fabs(squares / draws - 1) < 0.0159);
    assert_true(fabs(fourth / draws - 3) < 0.11);
}

static void shuffle_gives_every_order_equally(void **state)
{
    long counts[6] = {0};
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 6, 0);
    for (int i = 0; i < 60000; i++) {
        uint32_t order[3] = {0, 1, 2};

        seki_random_shuffle(&random, order, 3);
        assert_int_equal(order[0] + order[1] + order[2], 3);
        assert_true(order[0] != order[1] && order[1] != order[2]);
        counts[order[0] * 2 + (order[1] > order[2])]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 10000 - 460, 10000 + 460); /* five deviations */
    seki_random_shuffle(&random, NULL, 0);
}

/* The values of draft-eastlake-fnv, appendix C. */
static void hash_is_fnv_1a(void **state)
{
    (void)state;
    assert_int_equal(seki_hash_string(""), UINT64_C(0xcbf29ce484222325));
    assert_int_equal(seki_hash_string("a"), UINT64_C(0xaf63dc4c8601ec8c));
    assert_int_equal(seki_hash_string("foobar"), UINT64_C(0x85944171f73967e8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_is_xoshiro256plusplus),
        cmocka_unit_test(a_seed_gives_the_same_numbers_for_ever),
        cmocka_unit_test(neighbouring_streams_have_nothing_in_common),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(below_has_no_bias_at_large_bounds),
        cmocka_unit_test(uniform_and_normal_have_their_moments),
        cmocka_unit_test(shuffle_gives_every_order_equally),
        cmocka_unit_test(hash_is_fnv_1a),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

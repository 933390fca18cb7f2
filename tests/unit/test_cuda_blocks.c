/*
 * test_cuda_blocks.c - the GPU backend on every block of backend_cases.h and on blocks drawn at
 * random: on a GPU where there is one, and on the grid that tests/cuda puts in a GPU's place.
 */
#include "backend_random.h"
#include "gpu_fixture.h"

/* ---- Beside ref ----------------------------------------------------------------------------- */

static void check_precision(enum seki_precision precision)
{
    struct seki_backend *gpu = open_gpu(precision), *ref = open_backend("ref");

    agrees_with_ref(ref, gpu);
    seki_backend_close(ref);
    seki_backend_close(gpu);
}

static void test_fp32_agrees_with_ref(void **state)
{
    (void)state;
    check_precision(SEKI_FP32);
}

static void test_tf32_agrees_with_ref(void **state)
{
    (void)state;
    check_precision(SEKI_TF32);
}

static void test_bf16_agrees_with_ref(void **state)
{
    (void)state;
    check_precision(SEKI_BF16);
}

static void test_random_blocks_agree_with_ref(void **state)
{
    (void)state;
    for (int precision = SEKI_FP32; precision <= SEKI_BF16; precision++) {
        struct seki_backend *gpu = open_gpu((enum seki_precision)precision),
                            *ref = open_backend("ref");

        agrees_at_random(ref, gpu, &random_from_ref[precision], RANDOM_BLOCKS);
        seki_backend_close(ref);
        seki_backend_close(gpu);
    }
}

/* ---- By itself ------------------------------------------------------------------------------ */

static void test_a_call_repeats_to_the_byte(void **state)
{
    (void)state;
    for (int precision = SEKI_FP32; precision <= SEKI_BF16; precision++) {
        struct seki_backend *gpu = open_gpu((enum seki_precision)precision);

        repeats_to_the_byte(gpu);
        seki_backend_close(gpu);
    }
}

static void test_nan_comes_through(void **state)
{
    struct seki_backend *gpu = open_gpu(SEKI_FP32), *ref = open_backend("ref");

    (void)state;
    lets_nan_through(ref, gpu);
    seki_backend_close(ref);
    seki_backend_close(gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp32_agrees_with_ref),
        cmocka_unit_test(test_tf32_agrees_with_ref),
        cmocka_unit_test(test_bf16_agrees_with_ref),
        cmocka_unit_test(test_random_blocks_agree_with_ref),
        cmocka_unit_test(test_a_call_repeats_to_the_byte),
        cmocka_unit_test(test_nan_comes_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

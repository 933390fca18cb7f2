/*
 * test_cuda_cudnn.c - dense convolutions of many channels, which the GPU backend leaves to cuDNN:
 * on a GPU where there is one, and on what tests/cuda puts in cuDNN's place.
 */
#include "backend_compare.h"
#include "gpu_fixture.h"

#include <stdlib.h>

/* Wide enough for cuDNN. */
static const struct block_case wide[] = {
    {"3x3 of one pixel, one image",
     {CONV(3, 1, 1), .in = {1, 64, 1, 1}, .out_channels = 64, .relu_first = true, .norm = true},
     .images = 1},
    {"5x5 of an odd picture, 72 to 64 channels, no ReLU, no BN",
     {CONV(5, 1, 2), .in = {1, 72, 5, 3}, .out_channels = 64},
     .images = 2,
     .add_dx = true},
    {"3x3 of stride 2, two parts of 32 channels",
     {CONV(3, 2, 1), .in = {2, 32, 4, 7}, .out_channels = 80, .relu_first = true, .norm = true,
      .affine = true},
     .images = 3,
     .keep = true},
    {"7x1, no dx wanted",
     {.kind = SEKI_BLOCK_CONV,
      KERNEL(7, 1),
      STRIDE(1, 1),
      PADDING(3, 0),
      .in = {1, 64, 4, 2},
      .out_channels = 64,
      .norm = true},
     .images = 2,
     .no_dx = true},
};

static void agree(const char *what)
{
    struct seki_backend *gpu = open_gpu(SEKI_BF16), *ref = open_backend("ref");

    print_message("%s\n", what);
    for (size_t i = 0; i < COUNT(wide); i++)
        for (int mode = SEKI_MODE_TRAIN; mode <= SEKI_MODE_INFER; mode++)
            compare(ref, gpu, &from_ref[SEKI_BF16], &wide[i], (enum seki_mode)mode, 400 + i);
    seki_backend_close(ref);
    seki_backend_close(gpu);
}

static void test_wide_convolutions_agree_with_ref(void **state)
{
    (void)state;
    agree("with cuDNN");
}

/* Both round at the same places, and but for the order of sums compute the same: each value is to
 * be within a step of bf16. */
static void test_with_cudnn_and_without_give_the_same(void **state)
{
    static const struct tolerance a_step = {
        {largest_distance, 0.01}, {largest_distance, 0.01}, {largest_distance, 0.01}, false};
    struct seki_backend *gpu = open_gpu(SEKI_BF16);
    struct seki_error error;
    struct seki_backend *own = seki_backend_open("cuda-own", 0, SEKI_BF16, &error);

    (void)state;
    assert_non_null(own);
    for (size_t i = 0; i < COUNT(wide); i++)
        compare(own, gpu, &a_step, &wide[i], SEKI_MODE_TRAIN, 500 + i);
    seki_backend_close(own);
    seki_backend_close(gpu);
}

/* ---- Where there is none: the stand-in alone can be told ---------------------------------------
 */

static void needs_stand_in(void)
{
    struct seki_backend *gpu = open_gpu(SEKI_BF16);

    seki_backend_close(gpu);
    if (getenv("SEKI_STAND_IN") == NULL)
        skip();
}

static int open_wide(const char *name, struct seki_error *error)
{
    struct seki_backend *gpu = seki_backend_open(name, 0, SEKI_BF16, error);
    size_t saved, scratch;

    assert_non_null(gpu);
    struct seki_block *block = gpu->ops->block_open(gpu, &wide[0].spec, error);

    assert_non_null(block);
    const int status = gpu->ops->block_prepare(block, 1, SEKI_MODE_TRAIN, &saved, &scratch, error);

    gpu->ops->block_close(block);
    seki_backend_close(gpu);
    return status;
}

static void test_a_cudnn_that_cannot_be_used_is_told(void **state)
{
    static const struct {
        const char *how, *message;
    } cases[] = {{"old", "cuDNN 90700 is there, 9.8 or later is needed"},
                 {"broken", "cuDNN failed at its start: CUDNN_STATUS_NOT_INITIALIZED"}};

    (void)state;
    needs_stand_in();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct seki_error error;

        setenv("STAND_IN_CUDNN", cases[i].how, 1);
        assert_int_equal(open_wide("cuda", &error), -1);
        assert_int_equal(error.kind, SEKI_NO_RESOURCE);
        assert_non_null(strstr(error.message, cases[i].message));
        assert_non_null(strstr(error.message, "--backend cuda-own"));
        assert_int_equal(open_wide("cuda-own", &error), 0);
        unsetenv("STAND_IN_CUDNN");
    }
}

static void test_own_kernels_do_what_no_engine_can(void **state)
{
    (void)state;
    needs_stand_in();
    setenv("STAND_IN_CUDNN", "none", 1);
    agree("without an engine");
    unsetenv("STAND_IN_CUDNN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_convolutions_agree_with_ref),
        cmocka_unit_test(test_with_cudnn_and_without_give_the_same),
        cmocka_unit_test(test_a_cudnn_that_cannot_be_used_is_told),
        cmocka_unit_test(test_own_kernels_do_what_no_engine_can),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

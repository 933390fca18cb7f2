/*
 * test_cuda_pictures.c - batches that the GPU backend makes of the bytes it holds: to the bit those
 * that the host makes.
 */
#include "data_fixture.h"
#include "gpu_fixture.h"

#include <math.h>

#include "training/training_internal.h"

/* Those of test_augment.c's kinds that a recipe has, and some that leave the picture. */
static const struct seki_augmentation augmentations[] = {
    {4, true, 16}, {0, true, 0}, {40, true, 0}, {2, false, 5}, {0, false, 1000},
};

struct batch {
    struct seki_shape shape;
    size_t floats; /* of a picture */
    void *tensor;
    float *expected, *got;
};

static void compare_batch(struct seki_backend *gpu, const struct held *held,
                          struct seki_dataset *dataset, const struct batch *b,
                          const struct seki_normalisation *normalisation,
                          const struct seki_augmentation *augmentation, uint64_t epoch)
{
    static const uint32_t indices[] = {5, 3, 11, 5, 7, 4};
    enum { COUNT = sizeof indices / sizeof *indices };
    int32_t labels[COUNT];
    struct batch_memory memory;
    struct seki_error error;

    assert_int_equal(
        seki_batch_memory_open(&memory, COUNT, seki_held_picture(held, dataset), &error), 0);
    seki_batch_memory_fill(&memory, held, dataset, SEKI_TRAIN_SPLIT, indices, COUNT, normalisation,
                           augmentation, 42, epoch);
    seki_batch_fill(dataset, SEKI_TRAIN_SPLIT, indices, COUNT, normalisation, augmentation, 42,
                    epoch, b->expected, labels);
    assert_memory_equal(memory.labels, labels, sizeof labels);
    const struct seki_window window = {b->tensor, b->shape, 0, 1};
    const struct seki_pictures_call call = {COUNT, window, held->bytes, held->values, memory.crops};

    assert_int_equal(gpu->ops->pictures(gpu, &call, &error), 0);
    seki_batch_memory_close(&memory); /* a call that is to come has its own copy */
    assert_int_equal(gpu->ops->tensor_read(gpu, b->got, &window, COUNT, &error), 0);
    for (size_t i = 0; i < COUNT * b->floats; i++) {
        const float nearest = gpu->precision == SEKI_BF16 ? fabsf(b->expected[i]) / 256.0f : 0.0f;

        if (!(fabsf(b->got[i] - b->expected[i]) <= nearest))
            fail_msg("picture %zu, float %zu: %g, not %g", i / b->floats, i % b->floats,
                     (double)b->got[i], (double)b->expected[i]);
    }
}

static void check_dataset(struct seki_backend *gpu, bool cifar)
{
    char *folder = fixture_folder();
    const struct seki_normalisation normalisation = {
        cifar ? 3 : 1, {0.49F, 0.48F, 0.45F}, {0.25F, 0.24F, 0.26F}};
    struct seki_error error;
    struct held held;

    if (cifar)
        fixture_cifar10_folder(folder);
    else
        fixture_idx_folder(folder);
    struct seki_dataset *dataset = seki_dataset_open(folder, &error);

    if (dataset == NULL)
        fail_msg("%s", error.message);
    /* From the fourth picture on. */
    assert_int_equal(
        seki_held_open(&held, gpu, dataset, SEKI_TRAIN_SPLIT, 3, 9, &normalisation, &error), 0);
    assert_non_null(held.bytes);
    struct batch b = {.shape = {1, seki_dataset_channels(dataset), seki_dataset_height(dataset),
                                seki_dataset_width(dataset), false}};

    b.floats = (size_t)(b.shape.channels * b.shape.height * b.shape.width);
    b.tensor = gpu->ops->memory(gpu, gpu->ops->tensor_bytes(gpu, &b.shape, 6), &error);
    b.expected = calloc(6 * b.floats, sizeof(float));
    b.got = calloc(6 * b.floats, sizeof(float));
    assert_true(b.tensor && b.expected && b.got);
    compare_batch(gpu, &held, dataset, &b, &normalisation, NULL, 0);
    for (size_t a = 0; a < sizeof augmentations / sizeof *augmentations; a++)
        for (uint64_t epoch = 0; epoch < 4; epoch++)
            compare_batch(gpu, &held, dataset, &b, &normalisation, &augmentations[a], epoch);
    free(b.expected);
    free(b.got);
    gpu->ops->release(gpu, b.tensor);
    seki_held_close(&held);
    seki_dataset_close(dataset);
    fixture_remove(folder);
}

static void test_batches_are_those_of_the_host(void **state)
{
    (void)state;
    for (int precision = SEKI_FP32; precision <= SEKI_BF16; precision++) {
        struct seki_backend *gpu = open_gpu((enum seki_precision)precision);

        check_dataset(gpu, true);
        check_dataset(gpu, false);
        seki_backend_close(gpu);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_are_those_of_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

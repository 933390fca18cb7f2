/*
 * test_augment.c - normalisation, augmentation and batches, against plain versions of themselves
 * and against what their distributions must be.
 */
#include "data_fixture.h"

#include "data/data.h"
#include "data/data_internal.h"

#include <math.h>

#define TRAIN SEKI_TRAIN_SPLIT

/* A data set of CIFAR pictures (15) or of IDX pictures of 5x7 (12). */
static struct seki_dataset *open_fixture(bool cifar)
{
    struct seki_error error = {0};
    struct seki_buffer bytes;
    char *folder = fixture_folder();
    seki_buffer_init(&bytes, (size_t)1 << 20);
    if (cifar) {
        fixture_cifar10_folder(folder);
    } else {
        fixture_idx_images(&bytes, 12, 5, 7);
        fixture_write(folder, "train-images-idx3-ubyte", bytes.data, bytes.length);
        fixture_write(folder, "t10k-images-idx3-ubyte", bytes.data, bytes.length);
        seki_buffer_clear(&bytes);
        fixture_idx_labels(&bytes, 12, 4);
        fixture_write(folder, "train-labels-idx1-ubyte", bytes.data, bytes.length);
        fixture_write(folder, "t10k-labels-idx1-ubyte", bytes.data, bytes.length);
    }
    struct seki_dataset *dataset = seki_dataset_open(folder, &error);
    if (!dataset)
        fail_msg("%s", error.message);
    seki_buffer_free(&bytes);
    fixture_remove(folder);
    return dataset;
}

static size_t floats(const struct seki_dataset *dataset)
{
    return (size_t)(seki_dataset_channels(dataset) * seki_dataset_height(dataset) *
                    seki_dataset_width(dataset));
}

/* ---- Normalisation ---- */

static void normalisation_is_that_of_two_plain_passes(void **state)
{
    (void)state;
    struct seki_dataset *dataset = open_fixture(true);
    struct seki_normalisation normalisation;
    const long first = 3, count = 7;
    seki_normalisation_measure(dataset, first, count, &normalisation);
    assert_int_equal(normalisation.channels, 3);
    for (int c = 0; c < 3; c++) {
        double mean = 0, variance = 0;
        for (int pass = 0; pass < 2; pass++)
            for (long i = first; i < first + count; i++) {
                const uint8_t *plane = seki_dataset_picture(dataset, TRAIN, i, NULL) + c * 1024;
                for (int at = 0; at < 1024; at++) {
                    double value = plane[at] / 255.0;
                    if (pass == 0)
                        mean += value / (1024.0 * count);
                    else
                        variance += (value - mean) * (value - mean) / (1024.0 * count);
                }
            }
        assert_true(fabs(normalisation.mean[c] - mean) < 1e-6);
        assert_true(fabs(normalisation.deviation[c] - sqrt(variance)) < 1e-6);
    }
    seki_dataset_close(dataset);
}

static void a_constant_channel_has_deviation_one(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 77, 254, 255};
    for (size_t v = 0; v < sizeof(values); v++) {
        struct seki_error error = {0};
        struct seki_normalisation normalisation;
        uint8_t record[1 + CIFAR_PICTURE];
        char *folder = fixture_folder();
        memset(record, values[v], sizeof(record));
        record[0] = 3;
        record[1 + 2048] ^= 1; /* the blue channel is not constant */
        for (int file = 0; file < 6; file++)
            fixture_write(folder, fixture_cifar10[file], record, sizeof(record));
        struct seki_dataset *dataset = seki_dataset_open(folder, &error);
        assert_non_null(dataset);
        seki_normalisation_measure(dataset, 0, 5, &normalisation);
        assert_true(fabs(normalisation.mean[0] - values[v] / 255.0) < 1e-6);
        assert_true(normalisation.deviation[0] == 1.0F);
        assert_true(normalisation.deviation[2] > 0 && normalisation.deviation[2] < 0.01F);
        seki_dataset_close(dataset);
        fixture_remove(folder);
    }
}

/* ---- Batches ---- */

/* The same in the plain way: a padded picture of bytes, cropped, mirrored, normalised, cut. */
static float plain_pixel(const uint8_t *plane, int height, int width, float mean, float deviation,
                         const struct seki_augmentation_plan *plan, int y, int x)
{
    int row = y + plan->shift_y;
    int column = (plan->flip ? width - 1 - x : x) + plan->shift_x;
    bool inside = row >= 0 && row < height && column >= 0 && column < width;
    float byte = inside ? plane[row * width + column] : 0;
    if (y >= plan->cut_top && y < plan->cut_bottom && x >= plan->cut_left && x < plan->cut_right)
        return 0;
    return (byte / 255.0F - mean) / deviation;
}

static const struct batch_case {
    const char *what;
    bool cifar, augmented;
    struct seki_augmentation augmentation;
} batch_cases[] = {
    {"normalised only", true, false, {0, false, 0}},
    {"nothing done", true, true, {0, false, 0}},
    {"crop", true, true, {4, false, 0}},
    {"flip", true, true, {0, true, 0}},
    {"cutout", true, true, {0, false, 16}},
    {"the DARTS recipe", true, true, {4, true, 16}},
    {"one channel, odd sides", false, true, {2, true, 3}},
    {"padding wider than the picture", false, true, {9, true, 0}},
    {"cutout wider than the picture", false, true, {1, true, 40}},
    {"cutout of one pixel", false, true, {0, false, 1}},
};

static void check_batch_case(const struct batch_case *batch_case)
{
    static const uint32_t indices[] = {5, 0, 11, 5, 7, 2};
    enum { COUNT = sizeof(indices) / sizeof(*indices), EPOCHS = 12 };
    const struct seki_normalisation normalisation = {
        batch_case->cifar ? 3 : 1, {0.49F, 0.48F, 0.45F}, {0.25F, 0.24F, 0.26F}};
    struct seki_dataset *dataset = open_fixture(batch_case->cifar);
    int height = seki_dataset_height(dataset), width = seki_dataset_width(dataset);
    size_t size = floats(dataset), plane = (size_t)height * (size_t)width;
    float *images = calloc(COUNT * size + 1, sizeof(*images));
    int32_t labels[COUNT];
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        images[COUNT * size] = 12345; /* what lies behind the batch stays as it is */
        seki_batch_fill(dataset, TRAIN, indices, COUNT, &normalisation,
                        batch_case->augmented ? &batch_case->augmentation : NULL, 42, epoch, images,
                        labels);
        assert_true(images[COUNT * size] == 12345);
        for (size_t i = 0; i < COUNT; i++) {
            int label;
            struct seki_augmentation_plan plan = {0};
            const uint8_t *picture = seki_dataset_picture(dataset, TRAIN, indices[i], &label);
            if (batch_case->augmented)
                seki_augmentation_draw(&batch_case->augmentation, height, width, 42, epoch,
                                       indices[i], &plan);
            assert_int_equal(labels[i], label);
            for (size_t at = 0; at < size; at++) {
                size_t c = at / plane;
                float wanted = plain_pixel(picture + c * plane, height, width,
                                           normalisation.mean[c], normalisation.deviation[c], &plan,
                                           (int)(at % plane) / width, (int)(at % plane) % width);
                if (images[i * size + at] != wanted)
                    fail_msg("%s: picture %u, float %zu: %g, not %g", batch_case->what, indices[i],
                             at, (double)images[i * size + at], (double)wanted);
            }
        }
    }
    free(images);
    seki_dataset_close(dataset);
}

static void batches_are_those_of_the_plain_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(batch_cases) / sizeof(*batch_cases); i++)
        check_batch_case(&batch_cases[i]);
}

static void a_picture_is_augmented_alike_wherever_it_stands(void **state)
{
    (void)state;
    static const uint32_t many[] = {1, 8, 3, 8}, one[] = {8};
    const struct seki_normalisation normalisation = {3, {0.5F, 0.5F, 0.5F}, {0.2F, 0.2F, 0.2F}};
    const struct seki_augmentation augmentation = {4, true, 16};
    struct seki_dataset *dataset = open_fixture(true);
    size_t size = floats(dataset), bytes = size * sizeof(float);
    float *batch = malloc(4 * bytes), *alone = malloc(bytes);
    int32_t labels[4];
    int same_epoch = 0, same_seed = 0;
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        seki_batch_fill(dataset, TRAIN, many, 4, &normalisation, &augmentation, 7, epoch, batch,
                        labels);
        seki_batch_fill(dataset, TRAIN, one, 1, &normalisation, &augmentation, 7, epoch, alone,
                        labels);
        assert_memory_equal(batch + size, alone, bytes);
        assert_memory_equal(batch + 3 * size, alone, bytes);
        seki_batch_fill(dataset, TRAIN, one, 1, &normalisation, &augmentation, 7, epoch + 1, batch,
                        labels);
        same_epoch += memcmp(batch, alone, bytes) == 0;
        seki_batch_fill(dataset, TRAIN, one, 1, &normalisation, &augmentation, 8, epoch, batch,
                        labels);
        same_seed += memcmp(batch, alone, bytes) == 0;
    }
    assert_true(same_epoch <= 1);
    assert_true(same_seed <= 1);
    free(batch);
    free(alone);
    seki_dataset_close(dataset);
}

/* ---- What is drawn ---- */

/* Each of `places` equally likely within five standard deviations of a binomial count. */
static void assert_uniform(const long *counts, int places, long draws, const char *what)
{
    double expected = (double)draws / places;
    double deviation = sqrt(expected * (1 - 1.0 / places));
    for (int i = 0; i < places; i++)
        if (fabs((double)counts[i] - expected) > 5 * deviation)
            fail_msg("%s %d was drawn %ld times, not about %.0f", what, i, counts[i], expected);
}

static void crops_flips_and_cuts_are_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 64000 };
    const struct seki_augmentation augmentation = {4, true, 16};
    long places[81] = {0}, flips[2] = {0}, tops[32] = {0}, both[18] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct seki_augmentation_plan plan;
        seki_augmentation_draw(&augmentation, 32, 32, 1, i / 1000, i % 1000, &plan);
        int place = (plan.shift_y + 4) * 9 + plan.shift_x + 4;
        assert_in_range(place, 0, 80);
        places[place]++;
        flips[plan.flip]++;
        both[(plan.shift_x + 4) * 2 + plan.flip]++;
        /* The centre, from the side that is not clipped: a square of 16 reaches 8 above it. */
        int centre = plan.cut_top > 0 ? plan.cut_top + 8 : plan.cut_bottom - 8;
        assert_in_range(centre, 0, 31);
        tops[centre]++;
        assert_in_range(plan.cut_right - plan.cut_left, 8, 16);
        assert_in_range(plan.cut_bottom - plan.cut_top, 8, 16);
    }
    assert_uniform(places, 81, DRAWS, "crop");
    assert_uniform(flips, 2, DRAWS, "flip");
    assert_uniform(tops, 32, DRAWS, "cutout row");
    assert_uniform(both, 18, DRAWS, "crop column with flip");
}

static void leaving_one_out_changes_none_of_the_others(void **state)
{
    (void)state;
    const struct seki_augmentation all = {4, true, 16}, no_flip = {4, false, 16},
                                   no_crop = {0, true, 16}, no_cutout = {4, true, 0};
    for (uint32_t i = 0; i < 200; i++) {
        struct seki_augmentation_plan whole, part;
        seki_augmentation_draw(&all, 32, 32, 9, 5, i, &whole);
        seki_augmentation_draw(&no_flip, 32, 32, 9, 5, i, &part);
        assert_false(part.flip);
        assert_int_equal(part.shift_x, whole.shift_x);
        assert_int_equal(part.cut_left, whole.cut_left);
        seki_augmentation_draw(&no_crop, 32, 32, 9, 5, i, &part);
        assert_true(part.shift_x == 0 && part.shift_y == 0);
        assert_int_equal(part.flip, whole.flip);
        assert_int_equal(part.cut_top, whole.cut_top);
        seki_augmentation_draw(&no_cutout, 32, 32, 9, 5, i, &part);
        assert_true(part.cut_bottom == 0 && part.cut_right == 0);
        assert_int_equal(part.shift_y, whole.shift_y);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalisation_is_that_of_two_plain_passes),
        cmocka_unit_test(a_constant_channel_has_deviation_one),
        cmocka_unit_test(batches_are_those_of_the_plain_way),
        cmocka_unit_test(a_picture_is_augmented_alike_wherever_it_stands),
        cmocka_unit_test(crops_flips_and_cuts_are_uniform),
        cmocka_unit_test(leaving_one_out_changes_none_of_the_others),
    };
    return cmocka_run_group_tests_name("augmentation", tests, NULL, NULL);
}

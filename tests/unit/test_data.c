/* test_data.c - the formats of data sets: what is read from them. */
#include "data_fixture.h"

#include "data/data.h"

#include <math.h>

#define TRAIN SEKI_TRAIN_SPLIT
#define TEST  SEKI_TEST_SPLIT

/* ---- Helpers ---- */

static struct seki_dataset *open_well(const char *path)
{
    struct seki_error error = {0};
    struct seki_dataset *dataset = seki_dataset_open(path, &error);
    if (!dataset)
        fail_msg("%s", error.message);
    return dataset;
}

static long load_well(struct seki_dataset *dataset, enum seki_split split)
{
    struct seki_error error = {0};
    long count = -1;
    if (seki_dataset_load(dataset, split, &count, &error) < 0)
        fail_msg("%s", error.message);
    return count;
}

static void assert_picture(const struct seki_dataset *dataset, enum seki_split split, long index,
                           int file, int record)
{
    int label = -1;
    const uint8_t *picture = seki_dataset_picture(dataset, split, index, &label);
    for (int place = 0; place < CIFAR_PICTURE; place++)
        if (picture[place] != fixture_pixel(file, record, place))
            fail_msg("picture %ld differs at byte %d", index, place);
    assert_int_equal(label, (file + record) % seki_dataset_classes(dataset));
}

/* All of what fixture_cifar10_folder made, in the order of its files. */
static void assert_whole_cifar10(struct seki_dataset *dataset)
{
    long index = 0;
    assert_string_equal(seki_dataset_format(dataset), "cifar10");
    assert_int_equal(seki_dataset_classes(dataset), 10);
    assert_int_equal(seki_dataset_channels(dataset), 3);
    assert_int_equal(seki_dataset_height(dataset), 32);
    assert_int_equal(seki_dataset_width(dataset), 32);
    assert_int_equal(load_well(dataset, TRAIN), 1 + 2 + 3 + 4 + 5);
    for (int file = 0; file < 5; file++)
        for (int record = 0; record <= file; record++)
            assert_picture(dataset, TRAIN, index++, file, record);
    assert_int_equal(load_well(dataset, TEST), 6);
    for (int record = 0; record < 6; record++)
        assert_picture(dataset, TEST, record, 5, record);
}

/* ---- What is read ---- */

static void a_cifar10_folder_is_read_in_the_order_of_its_files(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    fixture_cifar10_folder(folder);
    struct seki_dataset *dataset = open_well(folder);
    assert_whole_cifar10(dataset);
    seki_dataset_close(dataset);
    fixture_remove(folder);
}

static void the_folder_above_a_cifar10_folder_will_do(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    char *inner = strdup(fixture_path(folder, "cifar-10-batches-bin"));
    assert_int_equal(mkdir(inner, 0755), 0);
    fixture_cifar10_folder(inner);
    struct seki_dataset *dataset = open_well(folder);
    assert_whole_cifar10(dataset);
    seki_dataset_close(dataset);
    free(inner);
    fixture_remove(folder);
}

static void a_cifar10_archive_gives_what_its_folder_gives(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    struct seki_buffer tar;
    fixture_cifar10_tar(&tar);
    fixture_write_gzip(folder, "archive.tar.gz", tar.data, tar.length);
    fixture_write(folder, "archive.tar", tar.data, tar.length);
    seki_buffer_free(&tar);
    for (int i = 0; i < 2; i++) {
        struct seki_dataset *dataset =
            open_well(fixture_path(folder, i == 0 ? "archive.tar.gz" : "archive.tar"));
        assert_whole_cifar10(dataset);
        seki_dataset_close(dataset);
    }
    fixture_remove(folder);
}

/* More pictures than are read at once. Gzipped, the file is smaller than what is in it: the room
 * that its size asked for grows. */
static void cifar100_gives_the_fine_labels(void **state)
{
    (void)state;
    enum { COUNT = 700 };
    for (int gzipped = 0; gzipped < 2; gzipped++) {
        char *folder = fixture_folder();
        struct seki_buffer bytes;
        seki_buffer_init(&bytes, (size_t)64 << 20);
        fixture_cifar_records(&bytes, 0, COUNT, 2);
        (gzipped ? fixture_write_gzip : fixture_write)(folder, "train.bin", bytes.data,
                                                       bytes.length);
        seki_buffer_free(&bytes);
        fixture_cifar_file(folder, "test.bin", 1, 3, 2);
        struct seki_dataset *dataset = open_well(folder);
        assert_string_equal(seki_dataset_format(dataset), "cifar100");
        assert_int_equal(seki_dataset_classes(dataset), 100);
        assert_int_equal(load_well(dataset, TRAIN), COUNT);
        for (int record = 0; record < COUNT; record++)
            assert_picture(dataset, TRAIN, record, 0, record);
        assert_int_equal(load_well(dataset, TEST), 3);
        assert_picture(dataset, TEST, 2, 1, 2);
        seki_dataset_close(dataset);
        fixture_remove(folder);
    }
}

static void idx_files_are_read_plain_or_gzipped_under_either_name(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    int label = -1;
    fixture_idx_folder(folder);
    struct seki_dataset *dataset = open_well(folder);
    assert_string_equal(seki_dataset_format(dataset), "idx");
    assert_int_equal(seki_dataset_classes(dataset), 4);
    assert_int_equal(seki_dataset_channels(dataset), 1);
    assert_int_equal(seki_dataset_height(dataset), 5);
    assert_int_equal(seki_dataset_width(dataset), 7);
    assert_int_equal(load_well(dataset, TRAIN), 12);
    assert_int_equal(load_well(dataset, TEST), 3);
    const uint8_t *picture = seki_dataset_picture(dataset, TRAIN, 11, &label);
    for (int i = 0; i < 35; i++)
        assert_int_equal(picture[i], (uint8_t)((11 * 35 + i) * 5));
    assert_int_equal(label, 3);
    seki_dataset_picture(dataset, TEST, 2, &label);
    assert_int_equal(label, 2);
    seki_dataset_close(dataset);
    fixture_remove(folder);
}

/* ---- Published data sets, where they are ---- */

/* Means and deviations as published for torchvision's use: 0.2860, 0.3530. */
static void fashion_mnist_has_its_published_mean_and_deviation(void **state)
{
    (void)state;
    const char *folder = "/usr/share/datasets/fashion-mnist";
    struct seki_normalisation normalisation;
    struct stat status;
    long of_class[10] = {0};
    if (stat(folder, &status) < 0) {
        print_message("skipped: %s is not there (Debian package dataset-fashion-mnist)\n", folder);
        skip();
    }
    struct seki_dataset *dataset = open_well(folder);
    assert_int_equal(load_well(dataset, TRAIN), 60000);
    assert_int_equal(load_well(dataset, TEST), 10000);
    assert_int_equal(seki_dataset_classes(dataset), 10);
    assert_int_equal(seki_dataset_height(dataset), 28);
    assert_int_equal(seki_dataset_width(dataset), 28);
    seki_normalisation_measure(dataset, 0, 60000, &normalisation);
    assert_true(fabs(normalisation.mean[0] - 0.2860) < 0.0001);
    assert_true(fabs(normalisation.deviation[0] - 0.3530) < 0.0001);
    for (long i = 0; i < 10000; i++) {
        int label;
        seki_dataset_picture(dataset, TEST, i, &label);
        of_class[label]++;
    }
    for (int label = 0; label < 10; label++)
        assert_int_equal(of_class[label], 1000);
    seki_dataset_close(dataset);
}

/* Within what re-encoding as JPEG changes; constants: quark0/darts, cnn/utils.py. */
static void cifar10_has_its_published_mean_and_deviation(void **state)
{
    (void)state;
    static const double mean[] = {0.49139968, 0.48215827, 0.44653124};
    static const double deviation[] = {0.24703233, 0.24348505, 0.26158768};
    const char *folder = getenv("SEKI_TEST_CIFAR10");
    struct seki_normalisation normalisation;
    if (!folder || !*folder) {
        print_message("skipped: SEKI_TEST_CIFAR10 names no folder of CIFAR-10, binary version\n");
        skip();
    }
    struct seki_dataset *dataset = open_well(folder);
    assert_int_equal(load_well(dataset, TRAIN), 50000);
    assert_int_equal(load_well(dataset, TEST), 10000);
    seki_normalisation_measure(dataset, 0, 50000, &normalisation);
    for (int c = 0; c < 3; c++) {
        assert_true(fabs(normalisation.mean[c] - mean[c]) < 0.002);
        assert_true(fabs(normalisation.deviation[c] - deviation[c]) < 0.004);
    }
    seki_dataset_close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cifar10_folder_is_read_in_the_order_of_its_files),
        cmocka_unit_test(the_folder_above_a_cifar10_folder_will_do),
        cmocka_unit_test(a_cifar10_archive_gives_what_its_folder_gives),
        cmocka_unit_test(cifar100_gives_the_fine_labels),
        cmocka_unit_test(idx_files_are_read_plain_or_gzipped_under_either_name),
        cmocka_unit_test(fashion_mnist_has_its_published_mean_and_deviation),
        cmocka_unit_test(cifar10_has_its_published_mean_and_deviation),
    };
    return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}

/* test_data_refused.c - damaged data sets: each is refused, with place, count and what to do. */
#include "data_fixture.h"

#include "data/data.h"

/* ---- Helpers ---- */

/* Opening `path`, or loading its test split, fails so, in words that hold all of `words`. */
static void assert_refused(const char *path, enum seki_error_kind kind, const char *const *words,
                           const char *what)
{
    struct seki_error error = {0};
    struct seki_dataset *dataset = seki_dataset_open(path, &error);
    if (dataset && seki_dataset_load(dataset, SEKI_TEST_SPLIT, NULL, &error) == 0)
        fail_msg("%s: was accepted", what);
    seki_dataset_close(dataset);
    if (error.kind != kind || strcmp(error.code, "data") != 0)
        fail_msg("%s: kind %d, code %s: %s", what, error.kind, error.code, error.message);
    for (int i = 0; i < 4 && words[i]; i++)
        if (!strstr(error.message, words[i]))
            fail_msg("%s: no '%s' in: %s", what, words[i], error.message);
}

/* ---- Folders ---- */

static void write_idx_header(const char *folder, const char *name, int sizes, const uint32_t *size)
{
    struct seki_buffer bytes;
    seki_buffer_init(&bytes, 1024);
    fixture_big_endian(&bytes, 0x00000800 + (uint32_t)sizes);
    for (int i = 0; i < sizes; i++)
        fixture_big_endian(&bytes, size[i]);
    fixture_write(folder, name, bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

static void spoil_nothing_there(const char *folder)
{
    fixture_empty(folder);
}

static void spoil_short_cifar(const char *folder)
{
    fixture_resize(folder, "data_batch_3.bin", -1);
}

static void spoil_long_cifar(const char *folder)
{
    fixture_resize(folder, "data_batch_2.bin", 1);
}

static void spoil_empty_cifar(const char *folder)
{
    fixture_write(folder, "data_batch_1.bin", "", 0);
}

static void spoil_cifar_label(const char *folder)
{
    fixture_poke(folder, "data_batch_4.bin", 3073 * 2, 10);
}

static void spoil_missing_batch(const char *folder)
{
    unlink(fixture_path(folder, "data_batch_4.bin"));
}

static void spoil_missing_test(const char *folder)
{
    unlink(fixture_path(folder, "test_batch.bin"));
}

static void spoil_short_test(const char *folder)
{
    fixture_resize(folder, "test_batch.bin", -3000);
}

static void spoil_batch_is_a_folder(const char *folder)
{
    unlink(fixture_path(folder, "data_batch_4.bin"));
    mkdir(fixture_path(folder, "data_batch_4.bin"), 0755);
}

static void spoil_two_data_sets(const char *folder)
{
    fixture_cifar_file(folder, "train.bin", 0, 1, 2);
    fixture_cifar_file(folder, "test.bin", 0, 1, 2);
}

static void spoil_python_version(const char *folder)
{
    fixture_empty(folder);
    fixture_write(folder, "data_batch_1", "\x80\x02", 2);
}

static void spoil_cifar100_is_cifar10(const char *folder)
{
    fixture_empty(folder);
    fixture_cifar_file(folder, "train.bin", 0, 2, 2);
    fixture_cifar_file(folder, "test.bin", 0, 1, 2);
    fixture_poke(folder, "train.bin", 3074, 20);
}

static void spoil_short_idx(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_resize(folder, "train-images-idx3-ubyte", -1);
}

static void spoil_long_idx(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_resize(folder, "train-images-idx3-ubyte", 1);
}

static void spoil_long_labels(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_resize(folder, "train-labels-idx1-ubyte", 2);
}

static void spoil_idx_header_cut(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_resize(folder, "train-images-idx3-ubyte", -(12 * 35 + 1));
}

static void spoil_idx_kind(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_write(folder, "train-images-idx3-ubyte", "<!DOCTYPE html>", 15);
}

static void spoil_idx_empty(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_write(folder, "train-labels-idx1-ubyte", "", 0);
}

static void spoil_idx_overflow(const char *folder)
{
    fixture_idx_folder(folder);
    write_idx_header(folder, "train-images-idx3-ubyte", 3,
                     (uint32_t[]){UINT32_MAX, UINT32_MAX, UINT32_MAX});
}

static void spoil_idx_too_many(const char *folder)
{
    fixture_idx_folder(folder);
    write_idx_header(folder, "train-images-idx3-ubyte", 3, (uint32_t[]){UINT32_MAX, 1, 1});
}

static void spoil_idx_promises_much(const char *folder)
{
    fixture_idx_folder(folder);
    write_idx_header(folder, "train-images-idx3-ubyte", 3, (uint32_t[]){4096, 1024, 1024});
}

static void spoil_idx_no_pictures(const char *folder)
{
    fixture_idx_folder(folder);
    write_idx_header(folder, "train-images-idx3-ubyte", 3, (uint32_t[]){0, 28, 28});
}

static void spoil_idx_count(const char *folder)
{
    struct seki_buffer bytes;
    fixture_idx_folder(folder);
    seki_buffer_init(&bytes, 1024);
    fixture_idx_labels(&bytes, 11, 4);
    fixture_write(folder, "train-labels-idx1-ubyte", bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

static void spoil_idx_one_class(const char *folder)
{
    struct seki_buffer bytes;
    fixture_idx_folder(folder);
    seki_buffer_init(&bytes, 1024);
    fixture_idx_labels(&bytes, 12, 1);
    fixture_write(folder, "train-labels-idx1-ubyte", bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

static void spoil_idx_test_shape(const char *folder)
{
    struct seki_buffer bytes;
    fixture_idx_folder(folder);
    seki_buffer_init(&bytes, 1024);
    fixture_idx_images(&bytes, 3, 7, 5);
    fixture_write_gzip(folder, "t10k-images-idx3-ubyte.gz", bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

static void spoil_idx_test_label(const char *folder)
{
    struct seki_buffer bytes;
    fixture_idx_folder(folder);
    seki_buffer_init(&bytes, 1024);
    fixture_idx_labels(&bytes, 3, 3);
    bytes.data[9] = 4;
    fixture_write_gzip(folder, "t10k-labels.idx1-ubyte.gz", bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

static void spoil_idx_missing(const char *folder)
{
    fixture_idx_folder(folder);
    unlink(fixture_path(folder, "t10k-labels.idx1-ubyte.gz"));
}

static void spoil_gzip_cut(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_resize(folder, "t10k-images-idx3-ubyte.gz", -20);
}

static void spoil_gzip_trailer_cut(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_resize(folder, "t10k-images-idx3-ubyte.gz", -1);
}

static void spoil_gzip_checksum(const char *folder)
{
    fixture_idx_folder(folder);
    fixture_poke(folder, "t10k-images-idx3-ubyte.gz", -8, 0x55);
}

static const struct refusal {
    const char *what;
    bool cifar; /* the folder begins as a whole CIFAR-10 */
    void (*spoil)(const char *folder);
    const char *words[4];
} refusals[] = {
    {"an empty folder",
     true,
     spoil_nothing_there,
     {"expected a folder with data_batch_1.bin", "a folder without them"}},
    {"a CIFAR file a byte short",
     true,
     spoil_short_cifar,
     {"data_batch_3.bin: expected a whole number of records of 3073 bytes", "found 9218 bytes",
      "3072 more than 2 records", "fetch it again"}},
    {"a CIFAR file a byte long",
     true,
     spoil_long_cifar,
     {"data_batch_2.bin", "found 6147 bytes", "1 more than 2 records"}},
    {"an empty CIFAR file", true, spoil_empty_cifar, {"data_batch_1.bin", "found 0 bytes"}},
    {"a CIFAR label out of range",
     true,
     spoil_cifar_label,
     {"data_batch_4.bin: record 3: expected a label of 0 to 9, found 10"}},
    {"a missing batch", true, spoil_missing_batch, {"found no data_batch_4.bin", "put it there"}},
    {"a missing test batch", true, spoil_missing_test, {"found no test_batch.bin"}},
    {"a short test batch", true, spoil_short_test, {"test_batch.bin", "found 15438 bytes"}},
    {"a folder in a file's place", true, spoil_batch_is_a_folder, {"found no data_batch_4.bin"}},
    {"two data sets in one folder",
     true,
     spoil_two_data_sets,
     {"expected one data set, found two", "CIFAR-10", "CIFAR-100"}},
    {"the Python version", true, spoil_python_version, {"found the Python version"}},
    {"a coarse label out of range",
     true,
     spoil_cifar100_is_cifar10,
     {"train.bin: record 2: expected a coarse label of 0 to 19, found 20"}},
    {"IDX pictures a byte short",
     false,
     spoil_short_idx,
     {"train-images-idx3-ubyte: expected 436 bytes", "12 pictures of 5x7", "found 435",
      "cut short"}},
    {"IDX pictures a byte long",
     false,
     spoil_long_idx,
     {"train-images-idx3-ubyte: expected 436 bytes", "found 437"}},
    {"IDX labels two bytes long",
     false,
     spoil_long_labels,
     {"train-labels-idx1-ubyte: expected 20 bytes", "found 22"}},
    {"an IDX header that is cut",
     false,
     spoil_idx_header_cut,
     {"train-images-idx3-ubyte: expected an IDX header of 16 bytes, found 15"}},
    {"HTML as IDX",
     false,
     spoil_idx_kind,
     {"train-images-idx3-ubyte: expected an IDX file", "begins 00 00 08 03", "found 3c 21 44 4f"}},
    {"an empty IDX file",
     false,
     spoil_idx_empty,
     {"train-labels-idx1-ubyte: expected an IDX file", "found no bytes"}},
    {"IDX sizes whose product overflows",
     false,
     spoil_idx_overflow,
     {"expected pictures of 1x1 to 1024x1024 pixels, found 4294967295x4294967295"}},
    {"more IDX pictures than indices",
     false,
     spoil_idx_too_many,
     {"expected 1 to 2147483647 pictures", "found 4294967295"}},
    {"an IDX header that promises 4 GiB",
     false,
     spoil_idx_promises_much,
     {"expected 4294967312 bytes", "found 16"}},
    {"no IDX pictures", false, spoil_idx_no_pictures, {"found 0 in the header"}},
    {"fewer labels than pictures",
     false,
     spoil_idx_count,
     {"train-labels-idx1-ubyte: expected 12 labels", "found 11"}},
    {"one class", false, spoil_idx_one_class, {"train-labels-idx1-ubyte", "at least 2 classes"}},
    {"test pictures of another shape",
     false,
     spoil_idx_test_shape,
     {"expected test pictures of 1x5x7", "found 1x7x5"}},
    {"a test label that training lacks",
     false,
     spoil_idx_test_label,
     {"test picture 2: expected a label of 0 to 3", "found 4"}},
    {"a missing IDX file", false, spoil_idx_missing, {"found no t10k-labels-idx1-ubyte[.gz]"}},
    {"a gzip file that is cut",
     false,
     spoil_gzip_cut,
     {"t10k-images-idx3-ubyte.gz: expected 121 bytes", "cut short", "fetch it again"}},
    {"a gzip file without its last byte",
     false,
     spoil_gzip_trailer_cut,
     {"t10k-images-idx3-ubyte.gz: expected 121 bytes unpacked, found 121", "cut short"}},
    {"a gzip file whose checksum is wrong",
     false,
     spoil_gzip_checksum,
     {"t10k-images-idx3-ubyte.gz: the gzip data is corrupt", "fetch it again"}},
};

static void damaged_folders_are_refused_with_place_and_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        char *folder = fixture_folder();
        if (refusals[i].cifar)
            fixture_cifar10_folder(folder);
        refusals[i].spoil(folder);
        assert_refused(folder, SEKI_BAD_INPUT, refusals[i].words, refusals[i].what);
        fixture_remove(folder);
    }
}

static void a_path_that_is_not_there_is_wrong_use(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    assert_refused(fixture_path(folder, "nothing"), SEKI_BAD_USE,
                   (const char *const[]){"nothing: expected a data set, found no such file", NULL},
                   "nothing");
    fixture_remove(folder);
}

static void the_words_for_an_unknown_folder_are_not_cut(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    assert_refused(folder, SEKI_BAD_INPUT,
                   (const char *const[]){"(CIFAR-10 binary version)", "(CIFAR-100 binary version)",
                                         "(IDX), or the .tar.gz of",
                                         "; found a folder without them", NULL},
                   "empty folder");
    fixture_remove(folder);
}

/* ---- Archives and other files ---- */

static void an_archive_cut_anywhere_is_refused(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    struct seki_buffer tar;
    struct stat status;
    fixture_cifar10_tar(&tar);
    fixture_write_gzip(folder, "whole", tar.data, tar.length);
    assert_int_equal(stat(fixture_path(folder, "whole"), &status), 0);
    for (long cut = 1; cut < status.st_size - 2; cut += 97) {
        fixture_write_gzip(folder, "cut", tar.data, tar.length);
        fixture_resize(folder, "cut", -cut);
        assert_refused(fixture_path(folder, "cut"), SEKI_BAD_INPUT,
                       (const char *const[]){"cut: ", NULL}, "a cut .tar.gz");
    }
    fixture_write_gzip(folder, "cut", tar.data, tar.length);
    fixture_resize(folder, "cut", 60 - status.st_size); /* hardly more than gzip's own header */
    assert_refused(
        fixture_path(folder, "cut"), SEKI_BAD_INPUT,
        (const char *const[]){"cut: expected the end mark of a gzip file", "after 60 bytes", NULL},
        "a .tar.gz of 60 bytes");
    for (size_t cut = 1024; cut < tar.length; cut += 1511) {
        fixture_write(folder, "cut", tar.data, tar.length - cut);
        assert_refused(fixture_path(folder, "cut"), SEKI_BAD_INPUT,
                       (const char *const[]){"cut: ", NULL}, "a cut tar");
    }
    seki_buffer_free(&tar);
    fixture_remove(folder);
}

/* An archive of the given bytes is refused in these words. */
static void assert_archive_refused(struct seki_buffer *tar, const char *what,
                                   const char *const *words)
{
    char *folder = fixture_folder();
    fixture_write_gzip(folder, "a.tar.gz", tar->data, tar->length);
    assert_refused(fixture_path(folder, "a.tar.gz"), SEKI_BAD_INPUT, words, what);
    seki_buffer_free(tar);
    fixture_remove(folder);
}

static void a_damaged_header_in_an_archive_is_refused(void **state)
{
    (void)state;
    struct seki_buffer tar;
    fixture_cifar10_tar(&tar);
    tar.data[512 * 3 + 7] ^= 1; /* the name of the third member */
    assert_archive_refused(&tar, "checksum",
                           (const char *const[]){"a.tar.gz: byte 1536: expected a tar header",
                                                 "wrong checksum", NULL});
}

static void an_archive_of_something_else_is_refused(void **state)
{
    (void)state;
    struct seki_buffer tar;
    seki_buffer_init(&tar, (size_t)1 << 20);
    fixture_tar_member(&tar, "holiday/beach.jpg", '0', "JFIF", 4);
    fixture_tar_end(&tar);
    assert_archive_refused(
        &tar, "holiday",
        (const char *const[]){"a.tar.gz: expected an archive of CIFAR-10 or CIFAR-100", NULL});
}

static void an_archive_with_a_missing_or_doubled_or_foreign_file_is_refused(void **state)
{
    (void)state;
    struct seki_buffer tar, record;
    seki_buffer_init(&record, 8192);
    fixture_cifar_records(&record, 0, 1, 1);
    seki_buffer_init(&tar, (size_t)1 << 20);
    fixture_tar_member(&tar, "data_batch_1.bin", '0', record.data, record.length);
    fixture_tar_end(&tar);
    assert_archive_refused(&tar, "missing",
                           (const char *const[]){"a.tar.gz: ", "found no data_batch_2.bin", NULL});
    seki_buffer_init(&tar, (size_t)1 << 20);
    fixture_tar_member(&tar, "data_batch_1.bin", '0', record.data, record.length);
    fixture_tar_member(&tar, "./data_batch_1.bin", '0', record.data, record.length);
    fixture_tar_end(&tar);
    assert_archive_refused(
        &tar, "doubled",
        (const char *const[]){"a.tar.gz: ./data_batch_1.bin: ", "found it twice", NULL});
    seki_buffer_init(&tar, (size_t)1 << 20);
    fixture_tar_member(&tar, "data_batch_1.bin", '0', record.data, record.length);
    fixture_tar_member(&tar, "train.bin", '0', record.data, record.length);
    fixture_tar_end(&tar);
    assert_archive_refused(
        &tar, "foreign",
        (const char *const[]){"expected files of cifar10 alone, found one of cifar100", NULL});
    seki_buffer_free(&record);
}

static void a_member_with_a_byte_too_few_is_named(void **state)
{
    (void)state;
    struct seki_buffer tar, record;
    seki_buffer_init(&record, 8192);
    fixture_cifar_records(&record, 0, 1, 1);
    seki_buffer_init(&tar, (size_t)1 << 20);
    fixture_tar_member(&tar, "x/data_batch_1.bin", '0', record.data, record.length - 1);
    fixture_tar_end(&tar);
    assert_archive_refused(
        &tar, "short member",
        (const char *const[]){"a.tar.gz: x/data_batch_1.bin: ", "found 3072 bytes", NULL});
    seki_buffer_free(&record);
}

static void a_single_file_of_another_kind_is_refused(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    fixture_write(folder, "notes.txt", "hello\n", 6);
    assert_refused(fixture_path(folder, "notes.txt"), SEKI_BAD_INPUT,
                   (const char *const[]){"notes.txt: expected ", "another kind of file", NULL},
                   "a text");
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_folders_are_refused_with_place_and_count),
        cmocka_unit_test(a_path_that_is_not_there_is_wrong_use),
        cmocka_unit_test(the_words_for_an_unknown_folder_are_not_cut),
        cmocka_unit_test(an_archive_cut_anywhere_is_refused),
        cmocka_unit_test(a_damaged_header_in_an_archive_is_refused),
        cmocka_unit_test(an_archive_of_something_else_is_refused),
        cmocka_unit_test(an_archive_with_a_missing_or_doubled_or_foreign_file_is_refused),
        cmocka_unit_test(a_member_with_a_byte_too_few_is_named),
        cmocka_unit_test(a_single_file_of_another_kind_is_refused),
    };
    return cmocka_run_group_tests_name("data refused", tests, NULL, NULL);
}

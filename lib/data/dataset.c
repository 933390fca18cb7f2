/* dataset.c - which format a path holds, and the splits of a data set in memory. */
#include "data/data_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All formats: a new one is a row here. */
static const struct seki_data_format *const formats[] = {
    &seki_format_cifar10,
    &seki_format_cifar100,
    &seki_format_idx,
    &seki_format_cifar_archive,
};
#define FORMATS (sizeof(formats) / sizeof(*formats))

struct seki_dataset {
    char *path;
    const struct seki_data_format *format;
    struct seki_pictures splits[2]; /* count 0: not loaded */
};

static int check_there(const char *path, struct seki_error *error)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return seki_fail(error, SEKI_BAD_USE, "data",
                             "%s: expected a data set, found no such file or folder", path);
        return seki_fail_errno(error, "data", "%s: cannot look at it", path);
    }
    /* A folder that may not be searched would else look like an empty one. */
    if (access(path, S_ISDIR(status.st_mode) ? R_OK | X_OK : R_OK) < 0)
        return seki_fail_errno(error, "data", "%s: cannot read", path);
    return 0;
}

/* What people have lying about: the version for Python, which is a pickle. */
static bool is_python_version(const char *path)
{
    return seki_data_is_file(path, "data_batch_1") ||
           seki_data_is_file(path, "cifar-10-batches-py/data_batch_1") ||
           seki_data_is_file(path, "cifar-100-python/train");
}

/* A file that cannot be unpacked is said to be that, rather than of another kind. */
static int check_readable(const char *path, struct seki_error *error)
{
    uint8_t block[512];
    size_t got;
    struct seki_source *source = seki_source_open(path, error);
    int result = source ? seki_source_fill(source, block, sizeof(block), &got, error) : -1;
    seki_source_close(source);
    return result;
}

static int not_recognised(const char *path, struct seki_error *error)
{
    char layouts[320] = "";
    size_t length = 0;
    bool folder = seki_data_is_folder(path);
    if (is_python_version(path))
        return seki_fail(
            error, SEKI_BAD_INPUT, "data",
            "%s: expected the binary version of CIFAR, found the Python version; fetch "
            "the binary one (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)",
            path);
    if (!folder && check_readable(path, error) < 0)
        return -1;
    for (size_t i = 0; i < FORMATS && length < sizeof(layouts); i++)
        length += (size_t)snprintf(layouts + length, sizeof(layouts) - length, "%s%s",
                                   i == 0            ? ""
                                   : i + 1 < FORMATS ? ", "
                                                     : ", or ",
                                   formats[i]->layout);
    return seki_fail(error, SEKI_BAD_INPUT, "data", "%s: expected %s; found %s", path, layouts,
                     folder ? "a folder without them"
                            : "another kind of file: give the folder, or the archive");
}

static const struct seki_data_format *recognise(const char *path, struct seki_error *error)
{
    const struct seki_data_format *format = NULL;
    for (size_t i = 0; i < FORMATS; i++) {
        if (!formats[i]->found(path))
            continue;
        if (format) {
            seki_fail(error, SEKI_BAD_INPUT, "data",
                      "%s: expected one data set, found two: %s, and %s; give the folder of one",
                      path, format->layout, formats[i]->layout);
            return NULL;
        }
        format = formats[i];
    }
    if (!format)
        not_recognised(path, error);
    return format;
}

/* The test split must have the shape and the classes of the training split. */
static int check_test(const struct seki_dataset *dataset, const struct seki_pictures *test,
                      struct seki_error *error)
{
    const struct seki_pictures *train = &dataset->splits[SEKI_TRAIN_SPLIT];
    if (test->channels != train->channels || test->height != train->height ||
        test->width != train->width)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected test pictures of %dx%dx%d as the training pictures are, "
                         "found %dx%dx%d; are all files of one data set?",
                         dataset->path, train->channels, train->height, train->width,
                         test->channels, test->height, test->width);
    for (long i = 0; i < test->count; i++)
        if (seki_pictures_label(test, i) >= train->classes)
            return seki_fail(error, SEKI_BAD_INPUT, "data",
                             "%s: test picture %ld: expected a label of 0 to %d as the training "
                             "pictures have, found %d; are all files of one data set?",
                             dataset->path, i + 1, train->classes - 1,
                             seki_pictures_label(test, i));
    return 0;
}

static int read_split(struct seki_dataset *dataset, enum seki_split split, struct seki_error *error)
{
    struct seki_pictures read[2] = {0};
    int result = dataset->format->load(dataset->path, split, read, error);
    for (int i = 0; result == 0 && i < 2; i++) {
        if (read[i].count == 0 || dataset->splits[i].count > 0)
            continue;
        if (i == SEKI_TEST_SPLIT)
            result = check_test(dataset, &read[i], error);
        if (result == 0)
            result = seki_pictures_join(&dataset->splits[i], &read[i], dataset->path, error);
    }
    seki_pictures_free(&read[SEKI_TRAIN_SPLIT]);
    seki_pictures_free(&read[SEKI_TEST_SPLIT]);
    return result;
}

struct seki_dataset *seki_dataset_open(const char *path, struct seki_error *error)
{
    if (check_there(path, error) < 0)
        return NULL;
    const struct seki_data_format *format = recognise(path, error);
    if (!format || format->check(path, error) < 0)
        return NULL;
    struct seki_dataset *dataset = seki_allocate(1, sizeof(*dataset), error);
    if (!dataset)
        return NULL;
    dataset->format = format;
    dataset->path = strdup(path);
    if (!dataset->path)
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory", path);
    if (!dataset->path || read_split(dataset, SEKI_TRAIN_SPLIT, error) < 0) {
        seki_dataset_close(dataset);
        return NULL;
    }
    return dataset;
}

void seki_dataset_close(struct seki_dataset *dataset)
{
    if (!dataset)
        return;
    seki_pictures_free(&dataset->splits[SEKI_TRAIN_SPLIT]);
    seki_pictures_free(&dataset->splits[SEKI_TEST_SPLIT]);
    free(dataset->path);
    free(dataset);
}

const char *seki_dataset_format(const struct seki_dataset *dataset)
{
    return dataset->splits[SEKI_TRAIN_SPLIT].format;
}

int seki_dataset_classes(const struct seki_dataset *dataset)
{
    return dataset->splits[SEKI_TRAIN_SPLIT].classes;
}

int seki_dataset_channels(const struct seki_dataset *dataset)
{
    return dataset->splits[SEKI_TRAIN_SPLIT].channels;
}

int seki_dataset_height(const struct seki_dataset *dataset)
{
    return dataset->splits[SEKI_TRAIN_SPLIT].height;
}

int seki_dataset_width(const struct seki_dataset *dataset)
{
    return dataset->splits[SEKI_TRAIN_SPLIT].width;
}

int seki_dataset_load(struct seki_dataset *dataset, enum seki_split split, long *count,
                      struct seki_error *error)
{
    if (dataset->splits[split].count == 0 && read_split(dataset, split, error) < 0)
        return -1;
    if (count)
        *count = dataset->splits[split].count;
    return 0;
}

const uint8_t *seki_dataset_picture(const struct seki_dataset *dataset, enum seki_split split,
                                    long index, int *label)
{
    const struct seki_pictures *pictures = &dataset->splits[split];
    if (index < 0 || index >= pictures->count)
        SEKI_BUG("a picture outside its split, or of a split that is not loaded");
    if (label)
        *label = seki_pictures_label(pictures, index);
    return seki_pictures_at(pictures, index);
}

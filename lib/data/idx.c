/*
 * idx.c - IDX files, as MNIST and Fashion-MNIST have them: pictures and labels in two files for
 * each split. Format (big-endian): 0, 0, type 8 (unsigned byte), number of dimensions; a 32-bit
 * size for each dimension; the bytes. Source: Y. LeCun's MNIST page, "The IDX file format".
 */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

#define IMAGE_HEADER 16
#define LABEL_HEADER 8
#define CHUNK        ((size_t)1 << 20)   /* bytes read before more memory is asked for */
#define MOST_EXTRA   ((uint64_t)1 << 30) /* how far a file that is too long is measured */

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Reads the magic number and the sizes of `dimensions` dimensions. */
static int read_header(struct seki_source *source, int dimensions, uint32_t *sizes,
                       struct seki_error *error)
{
    uint8_t header[IMAGE_HEADER] = {0};
    size_t length = 4 + 4 * (size_t)dimensions, got;
    if (seki_source_fill(source, header, length, &got, error) < 0)
        return -1;
    if (got < 4 || header[0] != 0 || header[1] != 0 || header[2] != 8 || header[3] != dimensions) {
        char found[32] = "";
        for (size_t i = 0; i < got && i < 4; i++)
            snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%02x",
                     i > 0 ? " " : "", header[i]);
        return seki_fail(
            error, SEKI_BAD_INPUT, "data",
            "%s: expected an IDX file of unsigned bytes with %d dimension%s, which begins "
            "00 00 08 %02x, found %s; is it another kind of file?",
            source->name, dimensions, dimensions > 1 ? "s" : "", dimensions,
            got > 0 ? found : "no bytes");
    }
    if (got < length)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected an IDX header of %zu bytes, found %zu: the file is cut "
                         "short; fetch it again",
                         source->name, length, got);
    for (int i = 0; i < dimensions; i++)
        sizes[i] = big_endian(header + 4 + 4 * i);
    return 0;
}

static int check_sizes(const struct seki_source *source, const uint32_t *sizes,
                       struct seki_error *error)
{
    uint32_t count = sizes[0], height = sizes[1], width = sizes[2];
    if (height < 1 || width < 1 || height > SEKI_MAX_PICTURE_SIDE || width > SEKI_MAX_PICTURE_SIDE)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected pictures of 1x1 to %dx%d pixels, found %ux%u in the header",
                         source->name, SEKI_MAX_PICTURE_SIDE, SEKI_MAX_PICTURE_SIDE,
                         (unsigned)height, (unsigned)width);
    uint64_t most = SEKI_MAX_SPLIT_BYTES / ((uint64_t)height * width);
    if (most > INT32_MAX)
        most = INT32_MAX;
    if (count < 1 || count > most)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected 1 to %llu pictures of %ux%u pixels, found %u in the header",
                         source->name, (unsigned long long)most, (unsigned)height, (unsigned)width,
                         (unsigned)count);
    return 0;
}

/* Refuses a stream that ended before `expected` bytes, or that goes on after them. */
static int check_length(struct seki_source *source, const char *contents, struct seki_error *error)
{
    uint64_t extra;
    if (source->position == source->expected) {
        if (seki_source_skip(source, MOST_EXTRA, &extra, error) < 0)
            return -1;
        if (extra == 0)
            return 0;
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected %llu bytes (%s), found %llu%s: bytes are left over; "
                         "fetch the file again",
                         source->name, (unsigned long long)source->expected, contents,
                         (unsigned long long)source->position,
                         extra == MOST_EXTRA ? " or more" : "");
    }
    return seki_fail(
        error, SEKI_BAD_INPUT, "data",
        "%s: expected %llu bytes (%s), found %llu: the file is cut short; fetch it again",
        source->name, (unsigned long long)source->expected, contents,
        (unsigned long long)source->position);
}

static int read_pixels(struct seki_source *source, long count, struct seki_pictures *pictures,
                       struct seki_error *error)
{
    size_t bytes = seki_pictures_bytes(pictures), got;
    long step = (long)(CHUNK / bytes) + 1;
    while (pictures->count < count) {
        long more = count - pictures->count < step ? count - pictures->count : step;
        if (seki_pictures_grow(pictures, more, source->name, error) < 0)
            return -1;
        uint8_t *to = pictures->records + (size_t)pictures->count * bytes;
        if (seki_source_fill(source, to, (size_t)more * bytes, &got, error) < 0)
            return -1;
        if (got < (size_t)more * bytes)
            break;
        pictures->count += more;
    }
    return 0;
}

int seki_idx_read_images(struct seki_source *source, struct seki_pictures *pictures,
                         struct seki_error *error)
{
    uint32_t sizes[3] = {0};
    char contents[96];
    if (read_header(source, 3, sizes, error) < 0 || check_sizes(source, sizes, error) < 0)
        return -1;
    pictures->format = "idx";
    pictures->channels = 1;
    pictures->height = (int)sizes[1];
    pictures->width = (int)sizes[2];
    source->expected = IMAGE_HEADER + (uint64_t)sizes[0] * seki_pictures_bytes(pictures);
    snprintf(contents, sizeof(contents), "a header of %d and %u pictures of %ux%u", IMAGE_HEADER,
             (unsigned)sizes[0], (unsigned)sizes[1], (unsigned)sizes[2]);
    if (read_pixels(source, (long)sizes[0], pictures, error) < 0)
        return -1;
    return check_length(source, contents, error);
}

int seki_idx_read_labels(struct seki_source *source, struct seki_pictures *pictures, int *highest,
                         struct seki_error *error)
{
    uint32_t count = 0;
    size_t got;
    char contents[64];
    if (read_header(source, 1, &count, error) < 0)
        return -1;
    if (count != (uint32_t)pictures->count)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected %ld labels, one for each picture, found %u in the header; "
                         "are both files of one data set?",
                         source->name, pictures->count, (unsigned)count);
    source->expected = LABEL_HEADER + (uint64_t)count;
    snprintf(contents, sizeof(contents), "a header of %d and %u labels", LABEL_HEADER,
             (unsigned)count);
    if (seki_source_fill(source, pictures->labels, count, &got, error) < 0 ||
        check_length(source, contents, error) < 0)
        return -1;
    *highest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (pictures->labels[i] > *highest)
            *highest = pictures->labels[i];
    return 0;
}

/* ---- The folder ---- */

/* What is looked for, the first one there being taken: the published name, and the one that some
 * unpackers make of it. */
static const char *const endings[2][4] = {
    {"-images-idx3-ubyte", "-images-idx3-ubyte.gz", "-images.idx3-ubyte", "-images.idx3-ubyte.gz"},
    {"-labels-idx1-ubyte", "-labels-idx1-ubyte.gz", "-labels.idx1-ubyte", "-labels.idx1-ubyte.gz"},
};
static const char *const beginnings[2] = {[SEKI_TRAIN_SPLIT] = "train", [SEKI_TEST_SPLIT] = "t10k"};
enum { IMAGES, LABELS };

/* The name of a file of the data set as it is in the folder; false: not there. */
static bool find_name(const char *folder, enum seki_split split, int which, char name[64])
{
    for (size_t i = 0; i < sizeof(endings[0]) / sizeof(*endings[0]); i++) {
        snprintf(name, 64, "%s%s", beginnings[split], endings[which][i]);
        if (seki_data_is_file(folder, name))
            return true;
    }
    return false;
}

static bool found(const char *path)
{
    char name[64];
    for (int i = 0; i < 4; i++)
        if (find_name(path, (enum seki_split)(i / 2), i % 2, name))
            return true;
    return false;
}

static int check(const char *path, struct seki_error *error)
{
    char name[64];
    for (int i = 0; i < 4; i++)
        if (!find_name(path, (enum seki_split)(i / 2), i % 2, name))
            return seki_fail(error, SEKI_BAD_INPUT, "data",
                             "%s: expected the four files of an IDX data set, found no %s%s[.gz]; "
                             "put it there",
                             path, beginnings[i / 2], endings[i % 2][0]);
    return 0;
}

static struct seki_source *open_file(const char *folder, enum seki_split split, int which,
                                     struct seki_error *error)
{
    char name[64];
    if (!find_name(folder, split, which, name)) {
        check(folder, error);
        return NULL;
    }
    char *path = seki_data_path(folder, name, error);
    struct seki_source *source = path ? seki_source_open(path, error) : NULL;
    free(path);
    return source;
}

static int load(const char *path, enum seki_split split, struct seki_pictures splits[2],
                struct seki_error *error)
{
    struct seki_pictures *pictures = &splits[split];
    int highest = 0, result = -1;
    struct seki_source *images = open_file(path, split, IMAGES, error);
    struct seki_source *labels = images ? open_file(path, split, LABELS, error) : NULL;
    if (labels && seki_idx_read_images(images, pictures, error) == 0)
        result = seki_idx_read_labels(labels, pictures, &highest, error);
    /* The number of classes stands nowhere in the files. */
    pictures->classes = highest + 1;
    if (result == 0 && split == SEKI_TRAIN_SPLIT && highest < 1)
        result = seki_fail(error, SEKI_BAD_INPUT, "data",
                           "%s: expected labels of at least 2 classes, found only 0", labels->name);
    seki_source_close(images);
    seki_source_close(labels);
    return result;
}

const struct seki_data_format seki_format_idx = {
    .layout = "train-images-idx3-ubyte[.gz] and its three companions (IDX)",
    .found = found,
    .check = check,
    .load = load,
};

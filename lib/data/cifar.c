/*
 * cifar.c - the binary versions of CIFAR-10 and CIFAR-100, as a folder of files or as the .tar.gz
 * of it. A record is the label (CIFAR-100: the coarse label, then the fine one, which is used),
 * then 3,072 bytes: red, green and blue planes of 32 rows of 32. Source: A. Krizhevsky's CIFAR
 * page, "Binary version".
 */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

#define SIDE       32
#define CHANNELS   3
#define MOST_FILES 6
#define RECORDS    340 /* read at once, 1 MB: zlib copies smaller pieces of a plain file twice */

struct layout {
    const char *format, *folder;
    int classes;
    int coarse_classes;                /* 0: a record has no coarse label */
    int train_files;                   /* the first of `files`; the last is the test split */
    const char *files[MOST_FILES + 1]; /* then NULL */
};

static const struct layout layouts[] = {
    {"cifar10",
     "cifar-10-batches-bin",
     10,
     0,
     5,
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
      "data_batch_5.bin", "test_batch.bin"}},
    {"cifar100", "cifar-100-binary", 100, 20, 1, {"train.bin", "test.bin"}},
};
#define CIFAR10  (&layouts[0])
#define CIFAR100 (&layouts[1])

static const char *const remedy = "fetch it again, or keep whole records";

/* ---- Records ---- */

static int check_label(const char *name, long record, const char *what, int label, int classes,
                       struct seki_error *error)
{
    if (label < classes)
        return 0;
    return seki_fail(
        error, SEKI_BAD_INPUT, "data",
        "%s: record %ld: expected a %s of 0 to %d, found %d; is it another kind of file?", name,
        record + 1, what, classes - 1, label);
}

/* How many bytes of a record are labels. */
static int label_bytes(const struct layout *layout)
{
    return layout->coarse_classes > 0 ? 2 : 1;
}

static void set_layout(struct seki_pictures *pictures, const struct layout *layout)
{
    pictures->format = layout->format;
    pictures->classes = layout->classes;
    pictures->channels = CHANNELS;
    pictures->height = pictures->width = SIDE;
    pictures->before = label_bytes(layout);
}

/* Of the records from pictures->count to end-1; a file's are counted from `first`. */
static int check_labels(const struct layout *layout, const char *name,
                        const struct seki_pictures *pictures, long first, long end,
                        struct seki_error *error)
{
    for (long i = pictures->count; i < end; i++) {
        const uint8_t *picture = seki_pictures_at(pictures, i);
        if ((layout->coarse_classes > 0 && check_label(name, i - first, "coarse label", picture[-2],
                                                       layout->coarse_classes, error) < 0) ||
            check_label(name, i - first, "label", picture[-1], layout->classes, error) < 0)
            return -1;
    }
    return 0;
}

/* Appends the records of one file, read to where they stay. */
static int read_records(const struct layout *layout, struct seki_source *source,
                        struct seki_pictures *pictures, struct seki_error *error)
{
    set_layout(pictures, layout);
    size_t record = seki_pictures_record(pictures), wanted, got;
    long first = pictures->count;
    do {
        if (pictures->count == pictures->capacity &&
            seki_pictures_grow(pictures, RECORDS, source->name, error) < 0)
            return -1;
        long room = pictures->capacity - pictures->count;
        wanted = (size_t)(room < RECORDS ? room : RECORDS) * record;
        uint8_t *to = pictures->records + (size_t)pictures->count * record;
        if (seki_source_fill(source, to, wanted, &got, error) < 0)
            return -1;
        long end = pictures->count + (long)(got / record);
        if (check_labels(layout, source->name, pictures, first, end, error) < 0)
            return -1;
        pictures->count = end;
    } while (got == wanted);
    long count = pictures->count - first;
    if (got % record != 0 || count == 0)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected a whole number of records of %zu bytes (10000 of them are "
                         "%zu bytes), found %llu bytes, %zu more than %ld records; %s",
                         source->name, record, (layout->train_files > 1 ? 1 : 5) * 10000 * record,
                         (unsigned long long)source->position, got % record, count, remedy);
    return 0;
}

/* ---- A folder ---- */

static bool holds_any(const struct layout *layout, const char *folder)
{
    for (int i = 0; layout->files[i]; i++)
        if (seki_data_is_file(folder, layout->files[i]))
            return true;
    return false;
}

/* The folder that holds the files: `path` itself or the published folder in it; to be freed. */
static char *find_folder(const struct layout *layout, const char *path, struct seki_error *error)
{
    char *inner = seki_data_path(path, layout->folder, error);
    if (!inner || !holds_any(layout, path))
        return inner;
    free(inner);
    return seki_data_path(path, "", error);
}

static bool found(const struct layout *layout, const char *path)
{
    char *folder = find_folder(layout, path, NULL);
    bool any = folder && holds_any(layout, folder);
    free(folder);
    return any;
}

static int missing(const struct layout *layout, const char *where, const char *name,
                   struct seki_error *error)
{
    return seki_fail(error, SEKI_BAD_INPUT, "data",
                     "%s: expected the %d files of %s (binary version), found no %s; put it there",
                     where, layout->train_files + 1, layout->format, name);
}

static int check(const struct layout *layout, const char *path, struct seki_error *error)
{
    int result = 0;
    char *folder = find_folder(layout, path, error);
    if (!folder)
        return -1;
    for (int i = 0; result == 0 && layout->files[i]; i++)
        if (!seki_data_is_file(folder, layout->files[i]))
            result = missing(layout, folder, layout->files[i], error);
    free(folder);
    return result;
}

static int load_file(const struct layout *layout, const char *folder, const char *name,
                     struct seki_pictures *pictures, struct seki_error *error)
{
    char *path = seki_data_path(folder, name, error);
    struct seki_source *source = path ? seki_source_open(path, error) : NULL;
    int result = source ? read_records(layout, source, pictures, error) : -1;
    seki_source_close(source);
    free(path);
    return result;
}

/* Room for the records of files first..end-1, and for one more, so that the last file's end shows
 * without growing. */
static int reserve(const struct layout *layout, const char *folder, int first, int end,
                   struct seki_pictures *pictures, struct seki_error *error)
{
    uint64_t bytes = 0;
    for (int i = first; i < end; i++)
        bytes += seki_data_file_bytes(folder, layout->files[i]);
    set_layout(pictures, layout);
    if (bytes > SEKI_MAX_SPLIT_BYTES)
        bytes = SEKI_MAX_SPLIT_BYTES; /* what is too much shows when it is read */
    return seki_pictures_reserve(pictures, (long)(bytes / seki_pictures_record(pictures)) + 1,
                                 folder, error);
}

static int load(const struct layout *layout, const char *path, enum seki_split split,
                struct seki_pictures splits[2], struct seki_error *error)
{
    int first = split == SEKI_TRAIN_SPLIT ? 0 : layout->train_files;
    int end = split == SEKI_TRAIN_SPLIT ? layout->train_files : layout->train_files + 1;
    char *folder = find_folder(layout, path, error);
    if (!folder)
        return -1;
    int result = reserve(layout, folder, first, end, &splits[split], error);
    for (int i = first; result == 0 && i < end; i++)
        result = load_file(layout, folder, layout->files[i], &splits[split], error);
    free(folder);
    return result;
}

/* ---- An archive ---- */

/* Members come in any order (the published one is 1, 3, 4, test, 5, 2); the pictures' order must be
 * a folder's, so each file is kept apart until all are there. */
struct parts {
    const struct layout *layout; /* NULL until a member told it */
    struct seki_pictures of_file[MOST_FILES];
};

/* Which file of which data set a member is, by the last part of its name. */
static const struct layout *recognise(const char *name, int *file)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++)
        for (*file = 0; layouts[i].files[*file]; ++*file)
            if (strcmp(last, layouts[i].files[*file]) == 0)
                return &layouts[i];
    return NULL;
}

static int take_member(struct seki_tar *tar, struct parts *parts, struct seki_error *error)
{
    int file;
    const struct layout *layout = recognise(tar->name, &file);
    if (!layout || !tar->regular)
        return 0;
    if (parts->layout && parts->layout != layout)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected files of %s alone, found one of %s", tar->label,
                         parts->layout->format, layout->format);
    if (parts->of_file[file].count > 0)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected this file once, found it twice", tar->label);
    parts->layout = layout;
    return read_records(layout, &tar->member, &parts->of_file[file], error);
}

static int join_parts(struct parts *parts, const char *name, struct seki_pictures splits[2],
                      struct seki_error *error)
{
    const struct layout *layout = parts->layout;
    if (!layout)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected an archive of CIFAR-10 or CIFAR-100, binary version, found "
                         "no data_batch_1.bin and no train.bin in it",
                         name);
    for (int i = 0; layout->files[i]; i++)
        if (parts->of_file[i].count == 0)
            return missing(layout, name, layout->files[i], error);
    for (int i = 0; layout->files[i]; i++) {
        enum seki_split split = i < layout->train_files ? SEKI_TRAIN_SPLIT : SEKI_TEST_SPLIT;
        if (seki_pictures_join(&splits[split], &parts->of_file[i], name, error) < 0)
            return -1;
    }
    return 0;
}

int seki_cifar_read_archive(struct seki_source *source, struct seki_pictures splits[2],
                            struct seki_error *error)
{
    struct seki_tar tar;
    struct parts parts = {0};
    int next;
    seki_tar_init(&tar, source);
    while ((next = seki_tar_next(&tar, error)) > 0)
        if (take_member(&tar, &parts, error) < 0) {
            next = -1;
            break;
        }
    int result = next == 0 ? join_parts(&parts, source->name, splits, error) : -1;
    for (int i = 0; i < MOST_FILES; i++)
        seki_pictures_free(&parts.of_file[i]);
    return result;
}

static bool archive_found(const char *path)
{
    uint8_t block[512];
    size_t got = 0;
    struct seki_source *source = seki_source_open(path, NULL);
    bool is = source && seki_source_fill(source, block, sizeof(block), &got, NULL) == 0 &&
              got == sizeof(block) && seki_tar_is_header(block);
    seki_source_close(source);
    return is;
}

/* Only reading the archive tells what it holds; both splits are read in that one pass. */
static int archive_check(const char *path, struct seki_error *error)
{
    (void)path;
    (void)error;
    return 0;
}

static int archive_load(const char *path, enum seki_split split, struct seki_pictures splits[2],
                        struct seki_error *error)
{
    (void)split;
    struct seki_source *source = seki_source_open(path, error);
    int result = source ? seki_cifar_read_archive(source, splits, error) : -1;
    seki_source_close(source);
    return result;
}

/* ---- The rows of the table ---- */

static bool cifar10_found(const char *path)
{
    return found(CIFAR10, path);
}

static int cifar10_check(const char *path, struct seki_error *error)
{
    return check(CIFAR10, path, error);
}

static int cifar10_load(const char *path, enum seki_split split, struct seki_pictures splits[2],
                        struct seki_error *error)
{
    return load(CIFAR10, path, split, splits, error);
}

static bool cifar100_found(const char *path)
{
    return found(CIFAR100, path);
}

static int cifar100_check(const char *path, struct seki_error *error)
{
    return check(CIFAR100, path, error);
}

static int cifar100_load(const char *path, enum seki_split split, struct seki_pictures splits[2],
                         struct seki_error *error)
{
    return load(CIFAR100, path, split, splits, error);
}

const struct seki_data_format seki_format_cifar10 = {
    .layout =
        "a folder with data_batch_1.bin to _5.bin and test_batch.bin (CIFAR-10 binary version)",
    .found = cifar10_found,
    .check = cifar10_check,
    .load = cifar10_load,
};

const struct seki_data_format seki_format_cifar100 = {
    .layout = "train.bin and test.bin (CIFAR-100 binary version)",
    .found = cifar100_found,
    .check = cifar100_check,
    .load = cifar100_load,
};

const struct seki_data_format seki_format_cifar_archive = {
    .layout = "the .tar.gz of a CIFAR binary version",
    .found = archive_found,
    .check = archive_check,
    .load = archive_load,
};

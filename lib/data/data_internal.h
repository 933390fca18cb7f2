/*
 * data_internal.h - what the files of lib/data share: streams of bytes, the pictures of a split,
 * and the table of formats. A new format is one .c file with a `found` and a `load`, and one row of
 * the table in dataset.c.
 */
#ifndef SEKI_DATA_INTERNAL_H
#define SEKI_DATA_INTERNAL_H

#include "data/data.h"

/* Limits that hold whatever a header claims; memory grows only with bytes that really come. */
#define SEKI_MAX_SPLIT_BYTES   ((uint64_t)4 << 30) /* pixels of one split */
#define SEKI_MAX_ARCHIVE_BYTES ((uint64_t)8 << 30) /* an archive, unpacked */
#define SEKI_MAX_PICTURE_SIDE  1024                /* height and width, pixels */

/* ---- Bytes in (source.c) ---- */

/*
 * A stream of bytes with the name that messages give it. `read` gives 1..count bytes, 0 at the end,
 * -1 on failure. A reader that knows how many bytes there must be says so in `expected`, and the
 * message of a stream that is cut short tells it.
 */
struct seki_source {
    const char *name;
    long (*read)(struct seki_source *source, void *bytes, size_t count, struct seki_error *error);
    uint64_t position; /* bytes given so far */
    uint64_t expected; /* bytes in all; 0: not known */
};

/* A regular file, unpacked where it is gzipped (told by its first bytes, not by its name). */
struct seki_source *seki_source_open(const char *path, struct seki_error *error);
void seki_source_close(struct seki_source *source); /* for seki_source_open only */

/* Bytes in memory, borrowed. */
struct seki_memory_source {
    struct seki_source source;
    const uint8_t *bytes;
    size_t length;
};
void seki_memory_source_init(struct seki_memory_source *memory, const char *name, const void *bytes,
                             size_t length);

/* Reads until count bytes are there or the stream ends; *got says how many. */
int seki_source_fill(struct seki_source *source, void *bytes, size_t count, size_t *got,
                     struct seki_error *error);
/* Passes over at most count bytes; *passed says how many there were. */
int seki_source_skip(struct seki_source *source, uint64_t count, uint64_t *passed,
                     struct seki_error *error);

/* "folder/name", to be freed; NULL and *error when out of memory. */
char *seki_data_path(const char *folder, const char *name, struct seki_error *error);
bool seki_data_is_folder(const char *path);
bool seki_data_is_file(const char *folder, const char *name);
/* Of a file there; 0 where it cannot be told. */
uint64_t seki_data_file_bytes(const char *folder, const char *name);

/* ---- The pictures of one split (pictures.c) ---- */

/*
 * Records one after the other: `before` bytes, of which the last is the label, then the picture's
 * C x H x W. That is how CIFAR's files have them, so that they are read to where they stay. With
 * `before` 0 the labels are an array of their own.
 */
struct seki_pictures {
    const char *format; /* "cifar10", "cifar100", "idx" */
    int classes, channels, height, width;
    int before;
    long count, capacity; /* records */
    uint8_t *records;
    uint8_t *labels; /* count; NULL where `before` is not 0 */
};

size_t seki_pictures_bytes(const struct seki_pictures *pictures);  /* of one picture: C*H*W */
size_t seki_pictures_record(const struct seki_pictures *pictures); /* with what stands before it */
const uint8_t *seki_pictures_at(const struct seki_pictures *pictures, long index);
int seki_pictures_label(const struct seki_pictures *pictures, long index);
/* Room for `count` pictures in all, in memory whose first touch is cheap; for numbers that a file's
 * own size vouches for. */
int seki_pictures_reserve(struct seki_pictures *pictures, long count, const char *name,
                          struct seki_error *error);
/* Makes room for `more` further pictures; fails past SEKI_MAX_SPLIT_BYTES, naming `name`. */
int seki_pictures_grow(struct seki_pictures *pictures, long more, const char *name,
                       struct seki_error *error);
/* Moves the pictures of *part to the end of *pictures and frees *part. */
int seki_pictures_join(struct seki_pictures *pictures, struct seki_pictures *part, const char *name,
                       struct seki_error *error);
void seki_pictures_free(struct seki_pictures *pictures);

/* ---- Formats ---- */

struct seki_data_format {
    const char *layout; /* what it looks like, for the message that nothing was recognised */
    bool (*found)(const char *path); /* whether `path` looks like it, going by names alone */
    /* Whether all files are there, so that a missing test set shows before the training. */
    int (*check)(const char *path, struct seki_error *error);
    /* Reads `split`; a format that reads both splits in one pass fills both. */
    int (*load)(const char *path, enum seki_split split, struct seki_pictures splits[2],
                struct seki_error *error);
};

extern const struct seki_data_format seki_format_cifar10, seki_format_cifar100,
    seki_format_cifar_archive, seki_format_idx;

/* ---- tar (tar.c) ---- */

/*
 * The members of a tar archive, one after the other, with no memory but a header's. ustar and GNU
 * long names are understood; pax headers are passed over.
 */
struct seki_tar {
    struct seki_source member; /* the bytes of the current member */
    struct seki_source *archive;
    char name[512];   /* of the current member; a longer one is cut at its front */
    char label[1024]; /* "archive: member", for messages */
    uint64_t size, left;
    unsigned padding; /* after the member, up to a whole block */
    bool regular;     /* a file, not a folder or a link */
};

void seki_tar_init(struct seki_tar *tar, struct seki_source *archive);
/* 1: a member; 0: the end, with the archive read to its last byte; -1: failed. */
int seki_tar_next(struct seki_tar *tar, struct seki_error *error);
/* Whether the first 512 bytes of a file are the header of a tar archive. */
bool seki_tar_is_header(const uint8_t block[512]);

/* ---- Readers over a stream, for the formats and for fuzzing ---- */

/* IDX (idx.c): pictures->count, height, width, pixels from one file; labels from the other. */
int seki_idx_read_images(struct seki_source *source, struct seki_pictures *pictures,
                         struct seki_error *error);
/* Reads pictures->count labels into `labels`; *highest is the greatest. */
int seki_idx_read_labels(struct seki_source *source, struct seki_pictures *pictures, int *highest,
                         struct seki_error *error);

/* CIFAR (cifar.c): both splits of an archive. */
int seki_cifar_read_archive(struct seki_source *source, struct seki_pictures splits[2],
                            struct seki_error *error);

/* ---- Augmentation (augment.c) ---- */

#endif

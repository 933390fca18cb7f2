/*
 * data.h - pictures with labels: datasets in the formats that they are published in, normalisation,
 * augmentation, batches.
 *
 * A dataset holds its pictures in memory as bytes, planes of channels (C, H, W). Formats, told by
 * looking: CIFAR-10 and CIFAR-100 binary version (a folder, the folder above it, or the .tar.gz
 * itself), IDX as MNIST and Fashion-MNIST have it (a folder of the four files, gzipped or not).
 * A file that is short, long, corrupt, missing or of another kind is refused (SEKI_BAD_INPUT,
 * "data") with the byte count expected and found; a path that is not there is SEKI_BAD_USE.
 *
 *     struct seki_dataset *data = seki_dataset_open(path, error);
 *     seki_dataset_load(data, SEKI_TRAIN_SPLIT, &count, error);
 *     seki_normalisation_measure(data, 0, count / 2, &normalisation);
 *     seki_batch_fill(data, SEKI_TRAIN_SPLIT, indices, 96, &normalisation, &augmentation, seed,
 *                     epoch, images, labels);
 *
 * Threads: functions that take a const dataset may run at the same time on one dataset.
 */
#ifndef SEKI_DATA_H
#define SEKI_DATA_H

#include "base/base.h"

enum seki_split { SEKI_TRAIN_SPLIT, SEKI_TEST_SPLIT };

struct seki_dataset;

/* Reads the training split, and sees to it that the test split's files are there; those are read at
 * seki_dataset_load. (A .tar.gz is one stream: both splits are read now.) */
struct seki_dataset *seki_dataset_open(const char *path, struct seki_error *error);
void seki_dataset_close(struct seki_dataset *dataset);
const char *seki_dataset_format(const struct seki_dataset *dataset); /* cifar10, cifar100, idx */
/* CIFAR: 10 or 100 (the fine labels); IDX: the greatest training label + 1, at least 2. */
int seki_dataset_classes(const struct seki_dataset *dataset);
int seki_dataset_channels(const struct seki_dataset *dataset);
int seki_dataset_height(const struct seki_dataset *dataset);
int seki_dataset_width(const struct seki_dataset *dataset);
/* Reads a split unless it is there already; *count (may be NULL) is the number of its pictures. */
int seki_dataset_load(struct seki_dataset *dataset, enum seki_split split, long *count,
                      struct seki_error *error);
/* C*H*W bytes of picture `index` of a split that is loaded, and its label (may be NULL),
 * 0 .. classes-1. An index outside the split is SEKI_BUG. */
const uint8_t *seki_dataset_picture(const struct seki_dataset *dataset, enum seki_split split,
                                    long index, int *label);

/* ---- Normalisation: (byte / 255 - mean) / deviation, for each channel ---- */

#define SEKI_MAX_CHANNELS 4

struct seki_normalisation {
    int channels;
    float mean[SEKI_MAX_CHANNELS], deviation[SEKI_MAX_CHANNELS]; /* of bytes / 255 */
};

/* Over pictures first .. first+count-1 of the training split, count >= 1, from exact sums;
 * deviation of the population; a constant channel gets deviation 1. */
void seki_normalisation_measure(const struct seki_dataset *dataset, long first, long count,
                                struct seki_normalisation *normalisation);

/* What every byte becomes: values[channels][256]. */
void seki_normalisation_values(const struct seki_normalisation *normalisation, float *values);

/* ---- Augmentation, batches ---- */

/*
 * As the DARTS recipe has it (pt.darts cnn/utils.py): padding with black pixels (bytes of 0, before
 * normalisation) and a random crop back to the picture's size, a horizontal flip with chance 1/2,
 * normalisation, then a square of zeros of side `cutout` whose centre is uniform over the pixels,
 * clipped at the borders (DeVries, Taylor 2017, arXiv 1708.04552). 0 or false: not done, and
 * what the others do stays the same.
 */
struct seki_augmentation {
    int padding; /* 4; pixels on each side, 0 .. 1024 */
    bool flip;
    int cutout; /* 16; pixels, 0 .. 1024 */
};

/* What is done to one picture, in pixels. Crop: (y, x) shows input (y + shift_y, x + shift_x);
 * zeros: rows cut_top .. cut_bottom-1 in columns cut_left .. cut_right-1. */
struct seki_augmentation_plan {
    int shift_y, shift_x;
    bool flip; /* mirrored left to right after the crop */
    int cut_top, cut_bottom, cut_left, cut_right;
};

/* What follows from (seed, epoch, index) for a picture of height x width. */
void seki_augmentation_draw(const struct seki_augmentation *augmentation, int height, int width,
                            uint64_t seed, uint64_t epoch, uint32_t index,
                            struct seki_augmentation_plan *plan);

/*
 * Fills images[count][C][H][W] and labels[count] with the pictures that `indices` names, from a
 * split that is loaded. With augmentation, what is done to picture i follows from (seed, epoch, i)
 * alone, not from its place in a batch or from threads; epoch < 2^32. augmentation NULL: normalised
 * only. The normalisation has as many channels as the pictures (else SEKI_BUG), and no deviation of
 * 0.
 */
void seki_batch_fill(const struct seki_dataset *dataset, enum seki_split split,
                     const uint32_t *indices, int count,
                     const struct seki_normalisation *normalisation,
                     const struct seki_augmentation *augmentation, uint64_t seed, uint64_t epoch,
                     float *images, int32_t *labels);

#endif

/*
 * batch.c - pictures of a data set as the floats that a network takes. It must never starve a
 * training step: bytes go through a table of normalised values, a row at a time, with no choice
 * made for each pixel.
 */
#include "data/data_internal.h"

#include <string.h>

/* The normalised value of every byte, for each channel. */
struct tables {
    float value[SEKI_MAX_CHANNELS][256];
};

void seki_normalisation_values(const struct seki_normalisation *normalisation, float *values)
{
    for (int c = 0; c < normalisation->channels; c++)
        for (int byte = 0; byte < 256; byte++)
            values[c * 256 + byte] =
                ((float)byte / 255.0F - normalisation->mean[c]) / normalisation->deviation[c];
}

static void fill_value(float *row, int from, int to, float value)
{
    for (int x = from; x < to; x++)
        row[x] = value;
}

/* Output columns from..to-1 of an unflipped row show input columns from+shift..to+shift-1; the rest
 * is padding, which is black before it is normalised, as torchvision's RandomCrop pads. */
static void crop_row(const uint8_t *row, const float *table, int width, int shift, bool flip,
                     float *out)
{
    int from = shift < 0 ? -shift : 0, to = shift > 0 ? width - shift : width;
    if (from >= to) {
        fill_value(out, 0, width, table[0]);
        return;
    }
    if (flip) {
        const uint8_t *last = row + shift + width - 1; /* what output column 0 shows */
        fill_value(out, 0, width - to, table[0]);
        for (int x = width - to; x < width - from; x++)
            out[x] = table[*(last - x)];
        fill_value(out, width - from, width, table[0]);
        return;
    }
    fill_value(out, 0, from, table[0]);
    for (int x = from; x < to; x++)
        out[x] = table[row[x + shift]];
    fill_value(out, to, width, table[0]);
}

static void fill_plane(const uint8_t *plane, const float *table, int height, int width,
                       const struct seki_augmentation_plan *plan, float *out)
{
    for (int y = 0; y < height; y++, out += width) {
        int row = y + plan->shift_y;
        if (row < 0 || row >= height)
            fill_value(out, 0, width, table[0]);
        else
            crop_row(plane + (size_t)row * (size_t)width, table, width, plan->shift_x, plan->flip,
                     out);
    }
}

static void cut_plane(float *out, int width, const struct seki_augmentation_plan *plan)
{
    size_t count = (size_t)(plan->cut_right - plan->cut_left);
    for (int y = plan->cut_top; y < plan->cut_bottom; y++)
        memset(out + (size_t)y * (size_t)width + plan->cut_left, 0, count * sizeof(*out));
}

void seki_batch_fill(const struct seki_dataset *dataset, enum seki_split split,
                     const uint32_t *indices, int count,
                     const struct seki_normalisation *normalisation,
                     const struct seki_augmentation *augmentation, uint64_t seed, uint64_t epoch,
                     float *images, int32_t *labels)
{
    int channels = seki_dataset_channels(dataset);
    int height = seki_dataset_height(dataset), width = seki_dataset_width(dataset);
    size_t plane = (size_t)height * (size_t)width;
    struct tables tables;
    if (normalisation->channels != channels || channels > SEKI_MAX_CHANNELS)
        SEKI_BUG("normalisation of another number of channels than the pictures have");
    seki_normalisation_values(normalisation, &tables.value[0][0]);
    for (int i = 0; i < count; i++) {
        struct seki_augmentation_plan plan = {0};
        int label;
        const uint8_t *picture = seki_dataset_picture(dataset, split, (long)indices[i], &label);
        if (augmentation)
            seki_augmentation_draw(augmentation, height, width, seed, epoch, indices[i], &plan);
        labels[i] = label;
        for (int c = 0; c < channels; c++, picture += plane, images += plane) {
            fill_plane(picture, tables.value[c], height, width, &plan, images);
            cut_plane(images, width, &plan);
        }
    }
}

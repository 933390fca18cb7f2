/* normalise.c - mean and deviation of each channel of the training pictures. */
#include "data/data_internal.h"

#include <math.h>

struct sums {
    uint64_t values, squares; /* exact: at most 2^32 bytes of at most 255 */
};

static void add_plane(const uint8_t *plane, int height, int width, struct sums *sums)
{
    for (int y = 0; y < height; y++, plane += width) {
        /* 32 bits hold a row (1024 x 255^2 < 2^27), and let the compiler use vectors. */
        uint32_t values = 0, squares = 0;
        for (int x = 0; x < width; x++) {
            uint32_t value = plane[x];
            values += value;
            squares += value * value;
        }
        sums->values += values;
        sums->squares += squares;
    }
}

void seki_normalisation_measure(const struct seki_dataset *dataset, long first, long count,
                                struct seki_normalisation *normalisation)
{
    int channels = seki_dataset_channels(dataset);
    int height = seki_dataset_height(dataset), width = seki_dataset_width(dataset);
    size_t plane = (size_t)height * (size_t)width;
    struct sums sums[SEKI_MAX_CHANNELS] = {0};
    if (count < 1 || channels > SEKI_MAX_CHANNELS)
        SEKI_BUG("normalisation over no pictures, or of too many channels");
    for (long i = first; i < first + count; i++) {
        const uint8_t *picture = seki_dataset_picture(dataset, SEKI_TRAIN_SPLIT, i, NULL);
        for (int c = 0; c < channels; c++)
            add_plane(picture + (size_t)c * plane, height, width, &sums[c]);
    }
    double pixels = (double)count * (double)plane;
    *normalisation = (struct seki_normalisation){.channels = channels};
    for (int c = 0; c < channels; c++) {
        double mean = (double)sums[c].values / pixels;
        double variance = (double)sums[c].squares / pixels - mean * mean;
        normalisation->mean[c] = (float)(mean / 255.0);
        normalisation->deviation[c] = variance > 0 ? (float)(sqrt(variance) / 255.0) : 1.0F;
    }
}

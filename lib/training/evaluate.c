/* evaluate.c - a selected network over many pictures, in batches. */
#include "training/training_internal.h"

#include <stdlib.h>

int seki_batches_open(struct batches *batches, struct seki_error *error)
{
    const struct seki_dataset *dataset = batches->dataset;
    size_t picture = (size_t)seki_dataset_channels(dataset) * (size_t)seki_dataset_height(dataset) *
                     (size_t)seki_dataset_width(dataset);
    size_t batch = (size_t)batches->batch;
    batches->indices = seki_allocate(batch, sizeof *batches->indices, error);
    batches->pictures = seki_allocate(batch, picture * sizeof *batches->pictures, error);
    batches->labels = seki_allocate(batch, sizeof *batches->labels, error);
    return batches->indices && batches->pictures && batches->labels ? 0 : -1;
}

void seki_batches_close(struct batches *batches)
{
    free(batches->indices);
    free(batches->pictures);
    free(batches->labels);
    batches->indices = NULL;
    batches->pictures = NULL;
    batches->labels = NULL;
}

int seki_batches_evaluate(struct batches *batches, struct seki_network *network,
                          enum seki_mode mode, struct seki_score *score, struct seki_error *error)
{
    double began = seki_clock(), loss = 0;
    long correct = 0, done = 0, whole = (batches->count + batches->batch - 1) / batches->batch;
    for (long b = 0; b < whole; b++) {
        /* Batches of equal size, to one picture: batch statistics of a small rest would be another
         * measure. */
        int images = (int)(batches->count / whole + (b < batches->count % whole));
        for (int i = 0; i < images; i++)
            batches->indices[i] = (uint32_t)(batches->first + done + i);
        seki_batch_fill(batches->dataset, batches->split, batches->indices, images,
                        batches->normalisation, NULL, 0, 0, batches->pictures, batches->labels);
        struct seki_batch batch = {images, batches->pictures, batches->labels};
        struct seki_batch_result result;
        if (seki_network_evaluate(network, &batch, mode, NULL, &result, error) < 0)
            return -1;
        loss += result.loss;
        correct += result.correct;
        done += images;
    }
    *score = (struct seki_score){.accuracy = 100.0 * (double)correct / (double)batches->count,
                                 .loss = loss / (double)batches->count,
                                 .images = batches->count,
                                 .seconds = seki_clock() - began};
    return 0;
}

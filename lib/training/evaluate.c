/* evaluate.c - a selected network over many pictures, in batches. */
#include "training/training_internal.h"

#include <stdlib.h>

int seki_batches_open(struct batches *batches, struct seki_backend *backend,
                      struct seki_error *error)
{
    if (!batches->held) {
        batches->held = &batches->own;
        if (seki_held_open(&batches->own, backend, batches->dataset, batches->split, batches->first,
                           batches->count, batches->normalisation, error) < 0)
            return -1;
    }
    batches->indices = seki_allocate((size_t)batches->batch, sizeof *batches->indices, error);
    if (!batches->indices)
        return -1;
    return seki_batch_memory_open(&batches->memory, batches->batch,
                                  seki_held_picture(batches->held, batches->dataset), error);
}

void seki_batches_close(struct batches *batches)
{
    free(batches->indices);
    batches->indices = NULL;
    seki_batch_memory_close(&batches->memory);
    seki_held_close(&batches->own);
}

/* Where the evaluation of a run of batches stands. */
struct progress {
    long next, whole; /* batches */
    long done;        /* pictures */
};

static struct progress begin(const struct batches *batches)
{
    return (struct progress){.whole = (batches->count + batches->batch - 1) / batches->batch};
}

/* Fills the next batch; false after the last. Filling takes a thousandth of the network's time, so
 * that pictures are kept as bytes (docs/decisions.md). */
static bool fill_next(struct batches *batches, struct progress *at, struct seki_batch *batch)
{
    if (at->next == at->whole)
        return false;
    /* Batches of equal size, to one picture: batch statistics of a small rest would be another
     * measure. */
    int images = (int)(batches->count / at->whole + (at->next < batches->count % at->whole));
    for (int i = 0; i < images; i++)
        batches->indices[i] = (uint32_t)(batches->first + at->done + i);
    seki_batch_memory_fill(&batches->memory, batches->held, batches->dataset, batches->split,
                           batches->indices, images, batches->normalisation, NULL, 0, 0);
    *batch = seki_batch_memory_batch(&batches->memory, batches->held);
    at->next++;
    at->done += images;
    return true;
}

static void add(struct seki_batch_result *sum, const struct seki_batch_result *result)
{
    sum->loss += result->loss;
    sum->correct += result->correct;
    sum->seconds += result->seconds;
}

static struct seki_score mean(const struct batches *batches, const struct seki_batch_result *sum)
{
    return (struct seki_score){.accuracy = 100.0 * (double)sum->correct / (double)batches->count,
                               .loss = sum->loss / (double)batches->count,
                               .images = batches->count,
                               .seconds = sum->seconds};
}

int seki_batches_evaluate(struct batches *batches, struct seki_network *network,
                          enum seki_mode mode, struct seki_score *score, struct seki_error *error)
{
    struct progress at = begin(batches);
    struct seki_batch batch;
    struct seki_batch_result sum = {0}, result;
    double began = seki_clock();
    while (fill_next(batches, &at, &batch)) {
        if (seki_network_evaluate(network, &batch, mode, NULL, &result, error) < 0)
            return -1;
        add(&sum, &result);
    }
    sum.seconds = seki_clock() - began;
    *score = mean(batches, &sum);
    return 0;
}

int seki_batches_score(struct batches *batches, struct seki_network *network,
                       const struct seki_genotype *genotypes, int count, struct seki_score *scores,
                       struct seki_error *error)
{
    struct progress at = begin(batches);
    struct seki_batch batch;
    struct seki_batch_result sums[SEKI_SCORED_TOGETHER] = {0}, results[SEKI_SCORED_TOGETHER];
    if (count > SEKI_SCORED_TOGETHER)
        SEKI_BUG("more genotypes than are scored together");
    while (fill_next(batches, &at, &batch)) {
        if (seki_network_score(network, &batch, genotypes, count, results, error) < 0)
            return -1;
        for (int i = 0; i < count; i++)
            add(&sums[i], &results[i]);
    }
    for (int i = 0; i < count; i++)
        scores[i] = mean(batches, &sums[i]);
    return 0;
}

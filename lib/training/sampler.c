/* sampler.c - which pictures a step trains on, and how they come: a step's batch from its number.
 */
#include "training/training_internal.h"

#include <stdlib.h>

int seki_sampler_open(struct sampler *sampler, struct seki_error *error)
{
    sampler->shuffled = -1;
    sampler->order = seki_allocate((size_t)sampler->count, sizeof *sampler->order, error);
    return sampler->order ? 0 : -1;
}

void seki_sampler_close(struct sampler *sampler)
{
    free(sampler->order);
    sampler->order = NULL;
}

/* A rest of one picture has no batch statistics: it is left out. */
long seki_sampler_steps(const struct sampler *sampler)
{
    return sampler->count / sampler->batch + (sampler->count % sampler->batch > 1);
}

int seki_sampler_images(const struct sampler *sampler, long step)
{
    long left = sampler->count - step * sampler->batch;
    return left < sampler->batch ? (int)left : sampler->batch;
}

static void shuffle(struct sampler *sampler, long epoch)
{
    struct seki_random random;
    for (long i = 0; i < sampler->count; i++)
        sampler->order[i] = (uint32_t)i;
    seki_random_seed(&random, sampler->seed, seki_stream("order", (uint64_t)epoch));
    seki_random_shuffle(&random, sampler->order, (uint32_t)sampler->count);
    sampler->shuffled = epoch;
}

int seki_sampler_fill(void *context, long number, struct batch_memory *batch,
                      struct seki_error *error)
{
    struct sampler *sampler = context;
    long steps = seki_sampler_steps(sampler), epoch = number / steps, step = number % steps;
    (void)error; /* the pictures are in memory: nothing can fail */
    if (epoch >= sampler->epochs)
        return 0;
    if (epoch != sampler->shuffled)
        shuffle(sampler, epoch);
    seki_batch_memory_fill(batch, sampler->held, sampler->dataset, SEKI_TRAIN_SPLIT,
                           sampler->order + step * sampler->batch,
                           seki_sampler_images(sampler, step), sampler->normalisation,
                           sampler->augmentation, sampler->seed, (uint64_t)epoch);
    return 1;
}

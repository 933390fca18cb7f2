/* held.c - pictures as bytes in the memory of a backend that makes its batches by itself, and what
 * the host says of a batch: crops of those, or floats. */
#include "training/training_internal.h"

#include <stdlib.h>

static size_t picture_bytes(const struct seki_dataset *dataset)
{
    return (size_t)seki_dataset_channels(dataset) * (size_t)seki_dataset_height(dataset) *
           (size_t)seki_dataset_width(dataset);
}

static int copy_pictures(struct held *held, const struct seki_dataset *dataset,
                         enum seki_split split, struct seki_error *error)
{
    const size_t picture = picture_bytes(dataset);
    for (long i = 0; i < held->count; i++)
        if (held->backend->ops->write(held->backend, held->bytes + (size_t)i * picture,
                                      seki_dataset_picture(dataset, split, held->first + i, NULL),
                                      picture, error) < 0)
            return -1;
    return 0;
}

int seki_held_open(struct held *held, struct seki_backend *backend,
                   const struct seki_dataset *dataset, enum seki_split split, long first,
                   long count, const struct seki_normalisation *normalisation,
                   struct seki_error *error)
{
    float values[SEKI_MAX_CHANNELS][256];
    *held = (struct held){.backend = backend, .first = first, .count = count};
    if (!backend->ops->pictures)
        return 0;
    const size_t bytes = (size_t)count * picture_bytes(dataset);
    const size_t value_bytes = (size_t)normalisation->channels * sizeof values[0];
    held->bytes = backend->ops->memory(backend, bytes, error);
    held->values = backend->ops->memory(backend, value_bytes, error);
    if (!held->bytes || !held->values || copy_pictures(held, dataset, split, error) < 0)
        return -1;
    seki_normalisation_values(normalisation, &values[0][0]);
    return backend->ops->write(backend, held->values, values, value_bytes, error);
}

void seki_held_close(struct held *held)
{
    if (!held->backend)
        return;
    held->backend->ops->release(held->backend, held->bytes);
    held->backend->ops->release(held->backend, held->values);
    *held = (struct held){0};
}

size_t seki_held_bytes(const struct held *held, const struct seki_dataset *dataset)
{
    return held->bytes ? (size_t)held->count * picture_bytes(dataset) : 0;
}

size_t seki_held_picture(const struct held *held, const struct seki_dataset *dataset)
{
    return held->bytes ? 0 : picture_bytes(dataset);
}

int seki_batch_memory_open(struct batch_memory *memory, int images, size_t picture,
                           struct seki_error *error)
{
    const size_t count = (size_t)images;
    *memory = (struct batch_memory){.images = images};
    if (picture == 0)
        memory->crops = seki_allocate(count, sizeof *memory->crops, error);
    else
        memory->pictures = seki_allocate(count, picture * sizeof *memory->pictures, error);
    memory->labels = seki_allocate(count, sizeof *memory->labels, error);
    return (memory->crops || memory->pictures) && memory->labels ? 0 : -1;
}

void seki_batch_memory_close(struct batch_memory *memory)
{
    free(memory->crops);
    free(memory->pictures);
    free(memory->labels);
    *memory = (struct batch_memory){0};
}

static struct seki_crop crop_of(const struct held *held, uint32_t index,
                                const struct seki_augmentation_plan *plan)
{
    return (struct seki_crop){.picture = index - (uint32_t)held->first,
                              .shift_y = plan->shift_y,
                              .shift_x = plan->shift_x,
                              .flip = plan->flip,
                              .cut_top = plan->cut_top,
                              .cut_bottom = plan->cut_bottom,
                              .cut_left = plan->cut_left,
                              .cut_right = plan->cut_right};
}

void seki_batch_memory_fill(struct batch_memory *memory, const struct held *held,
                            const struct seki_dataset *dataset, enum seki_split split,
                            const uint32_t *indices, int images,
                            const struct seki_normalisation *normalisation,
                            const struct seki_augmentation *augmentation, uint64_t seed,
                            uint64_t epoch)
{
    memory->images = images;
    if (!memory->crops) {
        seki_batch_fill(dataset, split, indices, images, normalisation, augmentation, seed, epoch,
                        memory->pictures, memory->labels);
        return;
    }
    for (int i = 0; i < images; i++) {
        struct seki_augmentation_plan plan = {0};
        int label;
        if (indices[i] < held->first || indices[i] >= held->first + held->count)
            SEKI_BUG("a picture that is not held");
        seki_dataset_picture(dataset, split, (long)indices[i], &label);
        if (augmentation)
            seki_augmentation_draw(augmentation, seki_dataset_height(dataset),
                                   seki_dataset_width(dataset), seed, epoch, indices[i], &plan);
        memory->labels[i] = label;
        memory->crops[i] = crop_of(held, indices[i], &plan);
    }
}

struct seki_batch seki_batch_memory_batch(const struct batch_memory *memory,
                                          const struct held *held)
{
    return (struct seki_batch){.images = memory->images,
                               .pictures = memory->pictures,
                               .labels = memory->labels,
                               .bytes = held->bytes,
                               .values = held->values,
                               .crops = memory->crops};
}

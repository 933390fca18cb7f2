/* score.c - candidates on a trained supernet, and trained networks on a split. */
#include "training/training_internal.h"

#include <stdlib.h>
#include <string.h>

struct seki_scorer {
    struct seki_network *network;
    struct seki_normalisation normalisation;
    struct batches batches;
};

static int check_pictures(const struct seki_network_config *config,
                          const struct seki_dataset *dataset, struct seki_error *error)
{
    int channels = seki_dataset_channels(dataset), height = seki_dataset_height(dataset),
        width = seki_dataset_width(dataset), classes = seki_dataset_classes(dataset);
    if (channels != config->image_channels || height != config->image_height ||
        width != config->image_width || classes != config->classes)
        return seki_fail(
            error, SEKI_BAD_USE, "data",
            "trained on pictures of %d x %d x %d in %d classes, the data has %d x %d x %d in "
            "%d: give the data that it was trained on",
            config->image_channels, config->image_height, config->image_width, config->classes,
            channels, height, width, classes);
    return 0;
}

/* The validation half of the pictures that the supernet was given. */
static int validation_half(const struct seki_checkpoint *checkpoint, struct seki_dataset *dataset,
                           long images, struct batches *batches, struct seki_error *error)
{
    long given = 0, all;
    if (seki_settings_count(checkpoint, "images", INT32_MAX, &given, error) < 0 ||
        seki_dataset_load(dataset, SEKI_TRAIN_SPLIT, &all, error) < 0)
        return -1;
    if (given > all)
        return seki_fail(error, SEKI_BAD_USE, "data",
                         "the supernet was given the first %ld pictures, the data has %ld", given,
                         all);
    if (given > 0)
        all = given;
    *batches = (struct batches){.dataset = dataset,
                                .split = SEKI_TRAIN_SPLIT,
                                .first = all / 2,
                                .count = all - all / 2,
                                .batch = SCORE_BATCH};
    if (images > batches->count)
        return seki_fail(error, SEKI_BAD_USE, "images",
                         "%ld pictures asked for, the validation half has %ld", images,
                         batches->count);
    if (images > 0)
        batches->count = images;
    if (batches->count < 2)
        return seki_fail(error, SEKI_BAD_USE, "images",
                         "batch statistics need two pictures at least");
    if (batches->batch > batches->count)
        batches->batch = (int)batches->count;
    return 0;
}

static int open_scorer(struct seki_scorer *scorer, struct seki_backend *backend,
                       struct seki_dataset *dataset, const struct seki_checkpoint *checkpoint,
                       long images, struct seki_error *error)
{
    const char *kind = seki_checkpoint_text(checkpoint, "seki");
    struct seki_network_config config;
    if (!kind || strcmp(kind, "supernet") != 0)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "the file is no supernet; seki-supernet writes one");
    if (seki_settings_config(checkpoint, &config, error) < 0 ||
        seki_settings_normalisation(checkpoint, config.image_channels, &scorer->normalisation,
                                    error) < 0 ||
        check_pictures(&config, dataset, error) < 0 ||
        validation_half(checkpoint, dataset, images, &scorer->batches, error) < 0)
        return -1;
    scorer->batches.normalisation = &scorer->normalisation;
    if (seki_batches_open(&scorer->batches, backend, error) < 0)
        return -1;
    scorer->network = seki_network_open(backend, &config, NULL, error);
    if (!scorer->network || seki_checkpoint_load(checkpoint, scorer->network, error) < 0)
        return -1;
    return seki_network_prepare(scorer->network, scorer->batches.batch, SEKI_MODE_SCORE, error);
}

struct seki_scorer *seki_scorer_open(struct seki_backend *backend, struct seki_dataset *dataset,
                                     const char *supernet, long images, struct seki_error *error)
{
    struct seki_checkpoint *checkpoint = seki_checkpoint_open(supernet, error);
    if (!checkpoint)
        return NULL;
    struct seki_scorer *scorer = seki_allocate(1, sizeof *scorer, error);
    if (scorer && open_scorer(scorer, backend, dataset, checkpoint, images, error) < 0) {
        seki_fail_within(error, "%s", supernet);
        seki_scorer_close(scorer);
        scorer = NULL;
    }
    seki_checkpoint_close(checkpoint);
    return scorer;
}

enum seki_space seki_scorer_space(const struct seki_scorer *scorer)
{
    return seki_network_get_config(scorer->network)->space;
}

int seki_scorer_score(struct seki_scorer *scorer, const struct seki_genotype *genotypes, int count,
                      struct seki_score *scores, struct seki_error *error)
{
    return seki_batches_score(&scorer->batches, scorer->network, genotypes, count, scores, error);
}

void seki_scorer_close(struct seki_scorer *scorer)
{
    if (!scorer)
        return;
    seki_batches_close(&scorer->batches);
    seki_network_close(scorer->network);
    free(scorer);
}

static int score_network(struct seki_network *network, struct seki_dataset *dataset,
                         enum seki_split split, const struct seki_normalisation *normalisation,
                         long images, struct seki_score *score, struct seki_error *error)
{
    long all;
    if (seki_dataset_load(dataset, split, &all, error) < 0)
        return -1;
    if (images > all)
        return seki_fail(error, SEKI_BAD_USE, "images", "%ld pictures asked for, the split has %ld",
                         images, all);
    struct batches batches = {.dataset = dataset,
                              .split = split,
                              .normalisation = normalisation,
                              .count = images > 0 ? images : all,
                              .batch = SCORE_BATCH};
    if (batches.batch > batches.count)
        batches.batch = (int)batches.count;
    int status = seki_batches_open(&batches, seki_network_backend(network), error);
    if (status == 0)
        status = seki_network_prepare(network, batches.batch, SEKI_MODE_INFER, error);
    if (status == 0)
        status = seki_batches_evaluate(&batches, network, SEKI_MODE_INFER, score, error);
    seki_batches_close(&batches);
    return status;
}

int seki_score_weights(struct seki_backend *backend, struct seki_dataset *dataset,
                       enum seki_split split, const struct seki_checkpoint *weights,
                       const struct seki_genotype *genotype,
                       const struct seki_network_config *config,
                       const struct seki_normalisation *normalisation, long images,
                       struct seki_score *score, struct seki_error *error)
{
    struct seki_network_config shape = *config;
    struct seki_normalisation constants = *normalisation;
    if (seki_checkpoint_text(weights, "seki") &&
        (seki_settings_config(weights, &shape, error) < 0 ||
         seki_settings_normalisation(weights, shape.image_channels, &constants, error) < 0))
        return -1;
    shape.auxiliary = false;
    if (check_pictures(&shape, dataset, error) < 0)
        return -1;
    struct seki_network *network = seki_network_open(backend, &shape, genotype, error);
    int status = network ? seki_checkpoint_load(weights, network, error) : -1;
    if (status == 0)
        status = score_network(network, dataset, split, &constants, images, score, error);
    seki_network_close(network);
    return status;
}

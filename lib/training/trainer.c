/* trainer.c - a trainer opened and closed: what is trained on what, and where it stands. */
#include "training/training_internal.h"

#include <stdlib.h>

uint64_t seki_stream(const char *purpose, uint64_t number)
{
    return seki_hash_string(purpose) + number;
}

static int divide_pictures(struct seki_trainer *trainer, struct seki_error *error)
{
    struct seki_training_settings *settings = &trainer->settings;
    long all;
    if (seki_dataset_load(trainer->dataset, SEKI_TRAIN_SPLIT, &all, error) < 0)
        return -1;
    if (settings->images > all)
        return seki_fail(error, SEKI_BAD_USE, "images",
                         "%ld pictures asked for, the training split has %ld", settings->images,
                         all);
    if (settings->images > 0)
        all = settings->images;
    settings->images = all;
    long trained = settings->supernet ? all / 2 : all;
    if (trained < settings->recipe.batch)
        return seki_fail(error, SEKI_BAD_USE, "images",
                         "%ld training pictures are fewer than a batch of %d", trained,
                         settings->recipe.batch);
    trainer->sampler = (struct sampler){.dataset = trainer->dataset,
                                        .normalisation = &trainer->normalisation,
                                        .augmentation = &settings->recipe.augmentation,
                                        .held = &trainer->held,
                                        .seed = settings->seed,
                                        .count = trained,
                                        .epochs = settings->recipe.epochs,
                                        .batch = settings->recipe.batch};
    trainer->valid = (struct batches){.dataset = trainer->dataset,
                                      .split = SEKI_TRAIN_SPLIT,
                                      .normalisation = &trainer->normalisation,
                                      .held = &trainer->held,
                                      .first = trained,
                                      .count = all - trained,
                                      .batch = SCORE_BATCH};
    if (trainer->valid.count < VALID_GENOTYPES * SCORE_BATCH)
        trainer->valid.batch = (int)(trainer->valid.count / VALID_GENOTYPES);
    if (settings->supernet && trainer->valid.batch < 2)
        return seki_fail(error, SEKI_BAD_USE, "images",
                         "%ld validation pictures are too few: %d at least", trainer->valid.count,
                         2 * VALID_GENOTYPES);
    return 0;
}

static int open_memory(struct seki_trainer *trainer, struct seki_backend *backend,
                       struct seki_error *error)
{
    const struct seki_dataset *dataset = trainer->dataset;
    if (seki_held_open(&trainer->held, backend, dataset, SEKI_TRAIN_SPLIT, 0,
                       trainer->settings.images, &trainer->normalisation, error) < 0 ||
        seki_sampler_open(&trainer->sampler, error) < 0)
        return -1;
    trainer->prefetch =
        seki_prefetch_open(trainer->sampler.batch, seki_held_picture(&trainer->held, dataset),
                           seki_sampler_fill, &trainer->sampler, error);
    if (!trainer->prefetch)
        return -1;
    return trainer->settings.supernet ? seki_batches_open(&trainer->valid, backend, error) : 0;
}

static int open_network(struct seki_trainer *trainer, struct seki_backend *backend,
                        struct seki_error *error)
{
    const struct seki_training_settings *settings = &trainer->settings;
    struct seki_network_config config = {
        .space = settings->space,
        .channels = settings->channels,
        .layers = settings->layers,
        .classes = seki_dataset_classes(trainer->dataset),
        .image_channels = seki_dataset_channels(trainer->dataset),
        .image_height = seki_dataset_height(trainer->dataset),
        .image_width = seki_dataset_width(trainer->dataset),
        .auxiliary = settings->recipe.auxiliary > 0,
    };
    int last = seki_sampler_images(&trainer->sampler, seki_sampler_steps(&trainer->sampler) - 1);
    trainer->network =
        seki_network_open(backend, &config, settings->supernet ? NULL : &settings->genotype, error);
    if (!trainer->network || seki_network_initialise(trainer->network, settings->seed, error) < 0)
        return -1;
    if (settings->supernet &&
        seki_network_prepare(trainer->network, trainer->valid.batch, SEKI_MODE_SCORE, error) < 0)
        return -1;
    /* The larger first: memory is taken once. */
    if (seki_network_prepare(trainer->network, settings->recipe.batch, SEKI_MODE_TRAIN, error) <
            0 ||
        seki_network_prepare(trainer->network, last, SEKI_MODE_TRAIN, error) < 0)
        return -1;
    trainer->optimiser = seki_optimiser_open(trainer->network, error);
    return trainer->optimiser ? seki_copies_open(trainer, error) : -1;
}

struct seki_trainer *seki_trainer_open(struct seki_backend *backend, struct seki_dataset *dataset,
                                       const struct seki_training_settings *settings,
                                       struct seki_error *error)
{
    if (seki_recipe_check(&settings->recipe, error) < 0)
        return NULL;
    struct seki_trainer *trainer = seki_allocate(1, sizeof *trainer, error);
    if (!trainer)
        return NULL;
    trainer->settings = *settings;
    trainer->dataset = dataset;
    int status = divide_pictures(trainer, error);
    if (status == 0) {
        seki_normalisation_measure(dataset, 0, trainer->sampler.count, &trainer->normalisation);
        status = open_memory(trainer, backend, error);
    }
    if (status == 0)
        status = open_network(trainer, backend, error);
    if (status < 0) {
        seki_trainer_close(trainer);
        return NULL;
    }
    return trainer;
}

void seki_trainer_close(struct seki_trainer *trainer)
{
    if (!trainer)
        return;
    seki_prefetch_close(trainer->prefetch);
    seki_sampler_close(&trainer->sampler);
    seki_optimiser_close(trainer->optimiser);
    seki_network_close(trainer->network);
    seki_batches_close(&trainer->valid);
    seki_held_close(&trainer->held);
    free(trainer->copies.data);
    free(trainer);
}

int seki_trainer_epochs_done(const struct seki_trainer *trainer)
{
    return trainer->epochs_done;
}

int seki_trainer_epochs(const struct seki_trainer *trainer)
{
    return trainer->settings.recipe.epochs;
}

long seki_trainer_steps_done(const struct seki_trainer *trainer)
{
    return trainer->steps_done;
}

long seki_trainer_steps(const struct seki_trainer *trainer)
{
    return seki_sampler_steps(&trainer->sampler);
}

double seki_trainer_images_left(const struct seki_trainer *trainer)
{
    const struct sampler *sampler = &trainer->sampler;
    long done = trainer->steps_done * sampler->batch, rest = sampler->count - done;
    int epochs = trainer->settings.recipe.epochs - trainer->epochs_done;
    return epochs == 0
               ? 0
               : (double)(epochs - 1) * (double)sampler->count + (double)(rest > 0 ? rest : 0);
}

struct seki_network *seki_trainer_network(struct seki_trainer *trainer)
{
    return trainer->network;
}

struct seki_trainer_memory seki_trainer_memory(struct seki_trainer *trainer)
{
    size_t parameters, statistics;
    seki_network_parameters(trainer->network, &parameters);
    seki_network_statistics(trainer->network, &statistics);
    return (struct seki_trainer_memory){
        .activations = seki_network_activation_bytes(trainer->network),
        .parameters = (3 * parameters + statistics) * sizeof(float),
        .pictures = seki_held_bytes(&trainer->held, trainer->dataset)};
}

int seki_trainer_test(struct seki_trainer *trainer, double *accuracy, double *loss,
                      struct seki_error *error)
{
    long count;
    if (seki_dataset_load(trainer->dataset, SEKI_TEST_SPLIT, &count, error) < 0)
        return -1;
    struct batches test = {.dataset = trainer->dataset,
                           .split = SEKI_TEST_SPLIT,
                           .normalisation = &trainer->normalisation,
                           .count = count,
                           .batch = count < SCORE_BATCH ? (int)count : SCORE_BATCH};
    struct seki_score score = {0};
    int status = seki_batches_open(&test, seki_network_backend(trainer->network), error);
    if (status == 0)
        status = seki_network_prepare(trainer->network, test.batch, SEKI_MODE_INFER, error);
    if (status == 0)
        status = seki_batches_evaluate(&test, trainer->network, SEKI_MODE_INFER, &score, error);
    seki_batches_close(&test);
    if (status < 0)
        return -1;
    *accuracy = score.accuracy;
    *loss = score.loss;
    return 0;
}

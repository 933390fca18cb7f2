/* trainer.c - the epoch loop of supernet and final network. */
#include "training/training_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VALID_GENOTYPES 10 /* validated after each supernet epoch */

/* Independent random streams of one seed. */
static uint64_t stream(const char *purpose, uint64_t number)
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
    trainer->train = (struct batches){.dataset = trainer->dataset,
                                      .split = SEKI_TRAIN_SPLIT,
                                      .normalisation = &trainer->normalisation,
                                      .count = trained,
                                      .batch = settings->recipe.batch};
    trainer->valid = trainer->train;
    trainer->valid.first = trained;
    trainer->valid.count = all - trained;
    trainer->valid.batch = SCORE_BATCH;
    if (trainer->valid.count < VALID_GENOTYPES * SCORE_BATCH)
        trainer->valid.batch = (int)(trainer->valid.count / VALID_GENOTYPES);
    if (settings->supernet && trainer->valid.batch < 2)
        return seki_fail(error, SEKI_BAD_USE, "images",
                         "%ld validation pictures are too few: %d at least", trainer->valid.count,
                         2 * VALID_GENOTYPES);
    return 0;
}

static int open_memory(struct seki_trainer *trainer, struct seki_error *error)
{
    trainer->order = seki_allocate((size_t)trainer->train.count, sizeof *trainer->order, error);
    if (!trainer->order || seki_batches_open(&trainer->train, error) < 0)
        return -1;
    return trainer->settings.supernet ? seki_batches_open(&trainer->valid, error) : 0;
}

/* How many pictures the last batch of an epoch has. A rest of one picture has no batch statistics:
 * it is left out. */
static int last_batch(const struct seki_trainer *trainer)
{
    long rest = trainer->train.count % trainer->train.batch;
    return rest > 1 ? (int)rest : trainer->train.batch;
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
    trainer->network =
        seki_network_open(backend, &config, settings->supernet ? NULL : &settings->genotype, error);
    if (!trainer->network || seki_network_initialise(trainer->network, settings->seed, error) < 0)
        return -1;
    if (settings->supernet &&
        seki_network_prepare(trainer->network, trainer->valid.batch, SEKI_MODE_SCORE, error) < 0)
        return -1;
    if (seki_network_prepare(trainer->network, last_batch(trainer), SEKI_MODE_TRAIN, error) < 0 ||
        seki_network_prepare(trainer->network, settings->recipe.batch, SEKI_MODE_TRAIN, error) < 0)
        return -1;
    trainer->optimiser = seki_optimiser_open(trainer->network, error);
    return trainer->optimiser ? 0 : -1;
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
    if (divide_pictures(trainer, error) < 0 || open_memory(trainer, error) < 0 ||
        open_network(trainer, backend, error) < 0) {
        seki_trainer_close(trainer);
        return NULL;
    }
    seki_normalisation_measure(dataset, 0, trainer->train.count, &trainer->normalisation);
    return trainer;
}

void seki_trainer_close(struct seki_trainer *trainer)
{
    if (!trainer)
        return;
    seki_optimiser_close(trainer->optimiser);
    seki_network_close(trainer->network);
    seki_batches_close(&trainer->train);
    seki_batches_close(&trainer->valid);
    free(trainer->order);
    free(trainer);
}

int seki_trainer_epochs_done(const struct seki_trainer *trainer)
{
    return trainer->epochs_done;
}

double seki_trainer_images_left(const struct seki_trainer *trainer)
{
    return (double)(trainer->settings.recipe.epochs - trainer->epochs_done) *
           (double)trainer->train.count;
}

struct seki_network *seki_trainer_network(struct seki_trainer *trainer)
{
    return trainer->network;
}

/* ---- An epoch ----------------------------------------------------------------------------- */

static void shuffle_order(struct seki_trainer *trainer)
{
    struct seki_random random;
    for (long i = 0; i < trainer->train.count; i++)
        trainer->order[i] = (uint32_t)(trainer->train.first + i);
    seki_random_seed(&random, trainer->settings.seed,
                     stream("order", (uint64_t)trainer->epochs_done));
    seki_random_shuffle(&random, trainer->order, (uint32_t)trainer->train.count);
}

long seki_trainer_steps(const struct seki_trainer *trainer)
{
    long whole = trainer->train.count / trainer->train.batch;
    return whole + (trainer->train.count % trainer->train.batch > 1);
}

static int sample_path(struct seki_trainer *trainer, uint64_t step, struct seki_error *error)
{
    struct seki_random random;
    struct seki_genotype genotype;
    seki_random_seed(&random, trainer->settings.seed, stream("genotype", step));
    seki_genotype_sample(trainer->settings.space, &random, &genotype);
    return seki_network_select(trainer->network, &genotype, error);
}

/* One step on pictures first .. first+images-1 of the epoch's order. */
static int train_step(struct seki_trainer *trainer, long step, long first, int images,
                      struct seki_epoch_report *report, struct seki_error *error)
{
    const struct seki_training_settings *settings = &trainer->settings;
    const struct seki_recipe *recipe = &settings->recipe;
    struct batches *train = &trainer->train;
    long steps = seki_trainer_steps(trainer);
    uint64_t epoch = (uint64_t)trainer->epochs_done;
    uint64_t number = epoch * (uint64_t)steps + (uint64_t)step;
    if (settings->supernet && sample_path(trainer, number, error) < 0)
        return -1;
    seki_batch_fill(train->dataset, train->split, trainer->order + first, images,
                    train->normalisation, &recipe->augmentation, settings->seed, epoch,
                    train->pictures, train->labels);
    struct seki_batch batch = {images, train->pictures, train->labels};
    struct seki_drop_path drop_path = {recipe->drop_path * (double)epoch / recipe->epochs,
                                       settings->seed, stream("drop path", number)};
    struct seki_batch_result result;
    if (seki_network_gradients(trainer->network, &batch, recipe->auxiliary,
                               settings->supernet ? NULL : &drop_path, &result, error) < 0)
        return -1;
    double at = (double)epoch + (recipe->rate_each_step ? (double)step / (double)steps : 0);
    double norm = seki_optimiser_step(trainer->optimiser, recipe, seki_rate(recipe, at));
    if (!isfinite(result.loss) || !isfinite(norm))
        return seki_fail(
            error, SEKI_BAD_INPUT, "diverged",
            "training diverged: the loss of epoch %d, step %ld is not finite; try a lower "
            "learning rate",
            trainer->epochs_done + 1, step + 1);
    report->train_loss += result.loss;
    report->train_accuracy += (double)result.correct;
    report->gradient_norm += norm;
    return 0;
}

/* The supernet's quality: sampled genotypes, the same after each epoch, each on its own pictures.
 */
static int validate(struct seki_trainer *trainer, struct seki_epoch_report *report,
                    struct seki_error *error)
{
    report->valid_loss = report->valid_accuracy = NAN;
    if (!trainer->settings.supernet)
        return 0;
    double loss = 0, accuracy = 0;
    for (int i = 0; i < VALID_GENOTYPES; i++) {
        struct seki_random random;
        struct seki_genotype genotype;
        struct seki_score score;
        struct batches one = trainer->valid;
        one.first += (long)i * one.batch;
        one.count = one.batch;
        seki_random_seed(&random, trainer->settings.seed, stream("validation", (uint64_t)i));
        seki_genotype_sample(trainer->settings.space, &random, &genotype);
        if (seki_network_select(trainer->network, &genotype, error) < 0 ||
            seki_batches_evaluate(&one, trainer->network, SEKI_MODE_SCORE, &score, error) < 0)
            return -1;
        loss += score.loss;
        accuracy += score.accuracy;
    }
    report->valid_loss = loss / VALID_GENOTYPES;
    report->valid_accuracy = accuracy / VALID_GENOTYPES;
    return 0;
}

int seki_trainer_epoch(struct seki_trainer *trainer, const struct seki_trainer_hooks *hooks,
                       struct seki_epoch_report *report, struct seki_error *error)
{
    double began = seki_clock();
    long steps = seki_trainer_steps(trainer), done = 0;
    *report = (struct seki_epoch_report){
        .epoch = trainer->epochs_done + 1,
        .rate = seki_rate(&trainer->settings.recipe, trainer->epochs_done),
    };
    shuffle_order(trainer);
    for (long step = 0; step < steps; step++) {
        long left = trainer->train.count - done;
        int images = left < trainer->train.batch ? (int)left : trainer->train.batch;
        if (train_step(trainer, step, done, images, report, error) < 0)
            return -1;
        done += images;
        trainer->images_done += images;
        if (hooks && hooks->progress)
            hooks->progress(hooks->context, trainer->images_done);
    }
    report->train_loss /= (double)done;
    report->train_accuracy *= 100.0 / (double)done;
    report->gradient_norm /= (double)steps;
    report->seconds = seki_clock() - began;
    report->images_per_second = (double)done / report->seconds;
    if (validate(trainer, report, error) < 0)
        return -1;
    report->activation_bytes = seki_network_activation_bytes(trainer->network);
    trainer->epochs_done++;
    return 0;
}

/* One epoch of a run: trained, told, kept. In this order, so that a run that is killed between the
 * last two trains the epoch again instead of keeping one that nobody was told of. Where it could
 * not be told, the work of the epoch is kept all the same. */
static int run_epoch(struct seki_trainer *trainer, const char *path,
                     const struct seki_trainer_hooks *hooks, struct seki_record *record,
                     struct seki_error *error)
{
    struct seki_epoch_report report;
    int told = 0;
    if (seki_trainer_epoch(trainer, hooks, &report, error) < 0)
        return -1;
    if (hooks && hooks->epoch) {
        told = seki_epoch_report_record(&report, record, error);
        if (told == 0)
            told = hooks->epoch(hooks->context, record, error);
    }
    int kept = seki_trainer_save(trainer, path, told < 0 ? NULL : error);
    return told < 0 || kept == 0 ? told : kept;
}

int seki_trainer_run(struct seki_trainer *trainer, const char *path,
                     const struct seki_trainer_hooks *hooks, struct seki_error *error)
{
    int status = 0;
    trainer->images_done = 0;
    while (status == 0 && trainer->epochs_done < trainer->settings.recipe.epochs) {
        struct seki_record *record = seki_record_new(error);
        status = record ? run_epoch(trainer, path, hooks, record, error) : -1;
        seki_record_free(record);
    }
    return status;
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
    int status = seki_batches_open(&test, error);
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

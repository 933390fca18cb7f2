/* epoch.c - a step of supernet or final network, and what an epoch of them comes to. */
#include "training/training_internal.h"

#include <math.h>

static int sample_path(struct seki_trainer *trainer, uint64_t number, struct seki_error *error)
{
    struct seki_random random;
    struct seki_genotype genotype;
    seki_random_seed(&random, trainer->settings.seed, seki_stream("genotype", number));
    seki_genotype_sample(trainer->settings.space, &random, &genotype);
    return seki_network_select(trainer->network, &genotype, error);
}

/* The pictures of that step, prepared while the step before was computed. */
static int next_batch(struct seki_trainer *trainer, uint64_t number, struct seki_batch *batch,
                      struct seki_error *error)
{
    const struct batch_memory *memory;
    struct seki_prefetch *prefetch = trainer->prefetch;
    if (!seki_prefetch_running(prefetch) && seki_prefetch_start(prefetch, (long)number, error) < 0)
        return -1;
    int status = seki_prefetch_next(prefetch, &memory, &trainer->sums.data_seconds, error);
    if (status == 0)
        SEKI_BUG("a step after the last");
    if (status < 0)
        return -1;
    *batch = seki_batch_memory_batch(memory, &trainer->held);
    return 0;
}

/* How long a step may go unlooked at: what it came to is waited for as seldom as that, since a
 * backend that computes later loses time with each wait, and at the latest before anything is told
 * or kept. */
#define COLLECT_SECONDS 0.05

/* Adds what the steps came to that are not in the sums yet. */
static int collect(struct seki_trainer *trainer, struct seki_error *error)
{
    struct seki_tally tallies[SEKI_MAX_PENDING];
    int count = seki_network_pending(trainer->network);
    if (seki_network_collect(trainer->network, tallies, error) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        if (!isfinite(tallies[i].loss) || !isfinite(tallies[i].norm))
            return seki_fail(
                error, SEKI_BAD_INPUT, "diverged",
                "training diverged: the loss of epoch %d, step %ld is not finite; try a lower "
                "learning rate",
                trainer->epochs_done + 1, trainer->steps_done - count + i + 1);
        trainer->sums.loss += tallies[i].loss;
        trainer->sums.correct += (double)tallies[i].correct;
        trainer->sums.norm += tallies[i].norm;
    }
    trainer->collected_at = seki_clock();
    return 0;
}

int seki_trainer_collect(struct seki_trainer *trainer, struct seki_error *error)
{
    double began = seki_clock();
    int status = collect(trainer, error);
    trainer->sums.seconds += seki_clock() - began;
    return status;
}

static int collect_if_due(struct seki_trainer *trainer, struct seki_error *error)
{
    if (seki_network_pending(trainer->network) < SEKI_MAX_PENDING &&
        seki_clock() - trainer->collected_at < COLLECT_SECONDS)
        return 0;
    return collect(trainer, error);
}

static int train_step(struct seki_trainer *trainer, struct seki_error *error)
{
    const struct seki_training_settings *settings = &trainer->settings;
    const struct seki_recipe *recipe = &settings->recipe;
    long steps = seki_trainer_steps(trainer), step = trainer->steps_done;
    uint64_t epoch = (uint64_t)trainer->epochs_done;
    uint64_t number = epoch * (uint64_t)steps + (uint64_t)step;
    struct seki_batch batch;
    if (settings->supernet && sample_path(trainer, number, error) < 0)
        return -1;
    if (next_batch(trainer, number, &batch, error) < 0)
        return -1;
    struct seki_drop_path drop_path = {recipe->drop_path * (double)epoch / recipe->epochs,
                                       settings->seed, seki_stream("drop path", number)};
    double at = (double)epoch + (recipe->rate_each_step ? (double)step / (double)steps : 0);
    if (seki_optimiser_step(trainer->optimiser, &batch, recipe, seki_rate(recipe, at),
                            settings->supernet ? NULL : &drop_path, NULL, error) < 0)
        return -1;
    trainer->images_done += batch.images;
    trainer->steps_done++;
    return collect_if_due(trainer, error);
}

int seki_trainer_step(struct seki_trainer *trainer, struct seki_error *error)
{
    double began = seki_clock();
    int status = train_step(trainer, error);
    trainer->sums.seconds += seki_clock() - began;
    return status;
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
        seki_random_seed(&random, trainer->settings.seed, seki_stream("validation", (uint64_t)i));
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

int seki_trainer_report(struct seki_trainer *trainer, struct seki_epoch_report *report,
                        struct seki_error *error)
{
    const struct sums *sums = &trainer->sums;
    long steps = seki_trainer_steps(trainer);
    if (seki_trainer_collect(trainer, error) < 0)
        return -1;
    double images = (double)(steps - 1) * trainer->sampler.batch +
                    seki_sampler_images(&trainer->sampler, steps - 1);
    *report = (struct seki_epoch_report){
        .epoch = trainer->epochs_done + 1,
        .rate = seki_rate(&trainer->settings.recipe, trainer->epochs_done),
        .train_loss = sums->loss / images,
        .train_accuracy = sums->correct * (100.0 / images),
        .gradient_norm = sums->norm / (double)steps,
        .seconds = sums->seconds,
        .images_per_second = images / sums->seconds,
        .data_seconds = sums->data_seconds,
        .activation_bytes = seki_network_activation_bytes(trainer->network),
    };
    return validate(trainer, report, error);
}

void seki_trainer_end_epoch(struct seki_trainer *trainer)
{
    trainer->epochs_done++;
    trainer->steps_done = 0;
    trainer->sums = (struct sums){0};
}

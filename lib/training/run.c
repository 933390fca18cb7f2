/* run.c - a run from where it stands to its last epoch: what is told, what is kept, when it stops.
 */
#include "training/training_internal.h"

/* By the clock: so many seconds of work are lost at most, and so little of the time is spent. */
#define SAVE_SECONDS 60.0
#define SAVE_SHARE   0.01

struct run {
    struct seki_trainer *trainer;
    const char *path;
    const struct seki_trainer_hooks *hooks;
    long unsaved;    /* steps since the last save */
    double saved_at; /* when it was done */
    double took;     /* how long it took, seconds */
};

static int save(struct run *run, struct seki_error *error)
{
    double began = seki_clock();
    if (seki_trainer_save(run->trainer, run->path, error) < 0)
        return -1;
    run->saved_at = seki_clock();
    run->took = run->saved_at - began;
    run->unsaved = 0;
    return 0;
}

static bool save_is_due(const struct run *run)
{
    long every = run->trainer->settings.save_every;
    if (every > 0)
        return run->unsaved >= every;
    double since = seki_clock() - run->saved_at;
    return since >= SAVE_SECONDS && since * SAVE_SHARE >= run->took;
}

/* The steps that are left of the epoch. 1: the run is to end there, and is saved. */
static int run_steps(struct run *run, struct seki_error *error)
{
    struct seki_trainer *trainer = run->trainer;
    const struct seki_trainer_hooks *hooks = run->hooks;
    long steps = seki_trainer_steps(trainer);
    while (trainer->steps_done < steps) {
        if (seki_trainer_step(trainer, error) < 0)
            return -1;
        run->unsaved++;
        if (hooks && hooks->progress)
            hooks->progress(hooks->context, trainer->images_done);
        bool stop = hooks && hooks->stop && hooks->stop(hooks->context);
        if ((stop || save_is_due(run)) && save(run, error) < 0)
            return -1;
        if (stop)
            return 1;
    }
    return 0;
}

/* One epoch of a run: trained, told, kept. In this order, so that a run that is killed between the
 * last two tells the epoch again instead of keeping one that nobody was told of. Where it could not
 * be told, its steps are kept and not its end: a run that goes on tells it first. */
static int run_epoch(struct run *run, struct seki_record *record, struct seki_error *error)
{
    const struct seki_trainer_hooks *hooks = run->hooks;
    struct seki_epoch_report report;
    int told = run_steps(run, error);
    if (told != 0)
        return told;
    if (seki_trainer_report(run->trainer, &report, error) < 0)
        return -1;
    if (hooks && hooks->epoch) {
        told = seki_epoch_report_record(&report, record, error);
        if (told == 0)
            told = hooks->epoch(hooks->context, record, error);
    }
    if (told == 0)
        seki_trainer_end_epoch(run->trainer);
    int kept = save(run, told < 0 ? NULL : error);
    return told < 0 || kept == 0 ? told : kept;
}

int seki_trainer_run(struct seki_trainer *trainer, const char *path,
                     const struct seki_trainer_hooks *hooks, struct seki_error *error)
{
    struct run run = {.trainer = trainer, .path = path, .hooks = hooks, .saved_at = seki_clock()};
    int status = 0;
    trainer->images_done = 0;
    while (status == 0 && trainer->epochs_done < trainer->settings.recipe.epochs) {
        struct seki_record *record = seki_record_new(error);
        status = record ? run_epoch(&run, record, error) : -1;
        seki_record_free(record);
    }
    seki_prefetch_stop(trainer->prefetch);
    return status;
}

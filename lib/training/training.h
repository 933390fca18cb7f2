/*
 * training.h - training and scoring: the optimiser, the schedule, the epoch loop, checkpoints.
 *
 * One trainer serves the supernet (a genotype sampled uniformly for each step) and the final
 * network. All that is random in a step follows from the seed, the epoch's number and the step's,
 * so that a run goes on from a checkpoint, which may be of any step, exactly as if it had never
 * stopped.
 *
 *     trainer = seki_trainer_open(backend, dataset, &settings, &error);
 *     if (resume)
 *         seki_trainer_resume(trainer, path, &error);
 *     seki_trainer_run(trainer, path, &hooks, &error);
 */
#ifndef SEKI_TRAINING_H
#define SEKI_TRAINING_H

#include "base/base.h"
#include "data/data.h"
#include "genotype/genotype.h"
#include "network/network.h"
#include "nn/backend.h"
#include "record/record.h"

/* ---- Recipes ------------------------------------------------------------------------------ */

struct seki_recipe {
    int epochs, batch;
    double rate,
        rate_end; /* cosine from rate to rate_end over all epochs (Loshchilov, Hutter 2017) */
    bool rate_each_step; /* moves with each step, else with each epoch */
    double momentum, decay;
    bool nesterov;
    double clip;      /* global L2 norm of the gradient; 0: not clipped */
    double auxiliary; /* weight of the auxiliary head's loss; 0: no head */
    double
        drop_path; /* its probability grows linearly from 0 to this (DARTS: 0.2 * epoch / epochs) */
    struct seki_augmentation augmentation;
};

/* Final network. darts: 600 epochs of pt.darts cnn/train.py; nas201: the 200 epochs of
 * NAS-Bench-201. */
void seki_recipe_final(enum seki_space space, struct seki_recipe *recipe);
/* Supernet: 50 epochs of pt.darts cnn/train_search.py's setting; seki's choice for single-path
 * training. */
void seki_recipe_supernet(enum seki_space space, struct seki_recipe *recipe);
/* SEKI_BAD_USE ("recipe"): a value that makes no sense, named. */
int seki_recipe_check(const struct seki_recipe *recipe, struct seki_error *error);

/* ---- Training ----------------------------------------------------------------------------- */

struct seki_training_settings {
    bool supernet;
    struct seki_genotype genotype; /* final network */
    enum seki_space space;
    int channels, layers;
    struct seki_recipe recipe;
    long images; /* first so many of the training split; 0: all. The supernet trains on the first
                  * half of them and is validated, as candidates are, on the second */
    uint64_t seed;
    long save_every; /* steps from one save to the next inside an epoch; 0: by the clock, once a
                      * minute, or as seldom as it takes to spend at most 1 % of the time */
};

struct seki_trainer;

/* backend and dataset are borrowed until seki_trainer_close. */
struct seki_trainer *seki_trainer_open(struct seki_backend *backend, struct seki_dataset *dataset,
                                       const struct seki_training_settings *settings,
                                       struct seki_error *error);
void seki_trainer_close(struct seki_trainer *trainer);
int seki_trainer_epochs_done(const struct seki_trainer *trainer);
int seki_trainer_epochs(const struct seki_trainer *trainer); /* in all */
/* Steps of the epoch after those done that are done, too, and steps of an epoch. */
long seki_trainer_steps_done(const struct seki_trainer *trainer);
long seki_trainer_steps(const struct seki_trainer *trainer);
struct seki_network *seki_trainer_network(struct seki_trainer *trainer);
/* Of the backend's memory, in bytes. */
struct seki_trainer_memory {
    size_t activations; /* with their gradients and what lives during one block */
    size_t parameters;  /* with gradients, momenta and running statistics */
    size_t pictures;    /* where the backend holds them */
};
struct seki_trainer_memory seki_trainer_memory(struct seki_trainer *trainer);

struct seki_epoch_report {
    int epoch;                         /* from 1 */
    double rate;                       /* at the epoch's beginning */
    double train_loss, train_accuracy; /* mean over the epoch's images; accuracy in percent */
    double valid_loss,
        valid_accuracy;   /* supernet: mean over ten sampled genotypes, the same in each epoch, each
                           * on up to 250 pictures of the validation half; final: not finite */
    double gradient_norm; /* mean over steps, before clipping */
    double seconds, images_per_second; /* of training alone, in all runs that had a part in it */
    double data_seconds; /* of these, how long a step waited for its pictures: they are prepared
                          * in a thread of their own, and 0 is what to expect */
    size_t activation_bytes;
};

/* What a run tells whoever watches it; any may be NULL. */
struct seki_trainer_hooks {
    void *context;
    void (*progress)(void *context,
                     long images); /* after each step: pictures trained on in this run */
    /* After each epoch, before its checkpoint is written: its figures as a record, borrowed. 1 ends
     * the run there, -1 with an error. */
    int (*epoch)(void *context, struct seki_record *record, struct seki_error *error);
    /* After each step: true ends the run there, once the step is saved. */
    bool (*stop)(void *context);
};
/* Its figures as the members of a JSON object; what is not finite is left out. */
int seki_epoch_report_record(const struct seki_epoch_report *report, struct seki_record *record,
                             struct seki_error *error);

/* All that is left, the checkpoint written to `path` after each epoch and, as settings.save_every
 * has it, in between. An epoch whose hook fails or ends the run is saved as one that has yet to
 * end. 0: all epochs are done; 1: a hook ended the run. A loss that is not finite
 * ends it with SEKI_BAD_INPUT, "diverged". */
int seki_trainer_run(struct seki_trainer *trainer, const char *path,
                     const struct seki_trainer_hooks *hooks, struct seki_error *error);
/* Pictures that seki_trainer_run has yet to train on. */
double seki_trainer_images_left(const struct seki_trainer *trainer);

/* Accuracy (percent) and mean loss of the final network on the test split, running statistics. */
int seki_trainer_test(struct seki_trainer *trainer, double *accuracy, double *loss,
                      struct seki_error *error);

/* Whole or not at all. Until the last epoch the momenta are in the file too, and within an epoch
 * its sums so far. Nothing is allocated for the numbers themselves. */
int seki_trainer_save(struct seki_trainer *trainer, const char *path, struct seki_error *error);
/* Goes on from a file of the same settings (else SEKI_BAD_USE, "resume", the first difference
 * named). 0: no such file. 1: read. */
int seki_trainer_resume(struct seki_trainer *trainer, const char *path, struct seki_error *error);

/* ---- Checkpoints: safetensors -------------------------------------------------------------- */

/*
 * A file of named tensors (huggingface safetensors format: header length, JSON header, bytes) and a
 * map of strings. Everything about it is checked when it is opened: that each tensor lies within
 * the file, that none overlap, that no byte is left over, that floats are finite; and the
 * checksums, where it has them, as seki's own files do: `crc32`, the JSON object {name: CRC-32 of
 * the tensor's bytes, 8 hex digits}, and `settings_crc32`, the same of all other strings as one
 * compact JSON object with sorted keys. SEKI_BAD_INPUT ("checkpoint") names the tensor.
 */
struct seki_checkpoint;
struct seki_checkpoint *seki_checkpoint_open(const char *path, struct seki_error *error);
void seki_checkpoint_close(struct seki_checkpoint *checkpoint);
/* A string of the file's `__metadata__`, or NULL. */
const char *seki_checkpoint_text(const struct seki_checkpoint *checkpoint, const char *key);
/* Fills a network's parameters and statistics; a tensor that is missing or of another shape is an
 * error. The auxiliary head's may be missing where the network has none. */
int seki_checkpoint_load(const struct seki_checkpoint *checkpoint, struct seki_network *network,
                         struct seki_error *error);

/* ---- Scoring ------------------------------------------------------------------------------ */

/* A trained supernet with validation pictures: what seki-eval asks. */
struct seki_scorer;

/* images: first so many of the validation half; 0: all. dataset and backend are borrowed. */
struct seki_scorer *seki_scorer_open(struct seki_backend *backend, struct seki_dataset *dataset,
                                     const char *supernet, long images, struct seki_error *error);
enum seki_space seki_scorer_space(const struct seki_scorer *scorer);
struct seki_score {
    double accuracy; /* percent */
    double loss;     /* mean cross entropy */
    long images;
    double seconds;
};
/* So many candidates share the work that is the same for all of them. */
#define SEKI_SCORED_TOGETHER 8
/*
 * Scores of up to SEKI_SCORED_TOGETHER candidates; each is what it is alone, to the bit. Batch
 * statistics of the candidate itself; the supernet is not changed. Strict genotypes of the
 * supernet's space.
 */
int seki_scorer_score(struct seki_scorer *scorer, const struct seki_genotype *genotypes, int count,
                      struct seki_score *scores, struct seki_error *error);
void seki_scorer_close(struct seki_scorer *scorer);

/* A trained final network on a split, running statistics. The checkpoint gives channels, layers and
 * normalisation; where it has none (written by PyTorch), `config` and `normalisation` do. */
int seki_score_weights(struct seki_backend *backend, struct seki_dataset *dataset,
                       enum seki_split split, const struct seki_checkpoint *weights,
                       const struct seki_genotype *genotype,
                       const struct seki_network_config *config,
                       const struct seki_normalisation *normalisation, long images,
                       struct seki_score *score, struct seki_error *error);

#endif

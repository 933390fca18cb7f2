/* training_internal.h - what the rooms of lib/training share. */
#ifndef SEKI_TRAINING_INTERNAL_H
#define SEKI_TRAINING_INTERNAL_H

#include "training/training.h"

#define SCORE_BATCH 250

/* ---- settings.c: settings as pairs of strings, for checkpoints ---------------------------- */

struct setting {
    char key[32];
    char value[SEKI_GENOTYPE_TEXT];
};
#define SETTING_COUNT 32
/* `format` printed under that key, as the next one. */
void seki_setting_put(struct setting **next, const char *key, const char *format, ...)
    SEKI_PRINTF(3, 4);
/* Fills out[SETTING_COUNT]; returns how many, which leaves STATE_COUNT free. */
#define STATE_COUNT 8
int seki_settings_text(const struct seki_training_settings *settings,
                       const struct seki_network_config *config,
                       const struct seki_normalisation *normalisation,
                       enum seki_precision precision, struct setting *out);
/* `count` finite numbers separated by commas, nothing else. */
int seki_settings_numbers(const struct seki_checkpoint *checkpoint, const char *key, double *values,
                          int count, struct seki_error *error);
/* One, whole, 0 to `most`. */
int seki_settings_count(const struct seki_checkpoint *checkpoint, const char *key, long most,
                        long *value, struct seki_error *error);
/* Network config and normalisation from a checkpoint's strings. */
int seki_settings_config(const struct seki_checkpoint *checkpoint,
                         struct seki_network_config *config, struct seki_error *error);
int seki_settings_normalisation(const struct seki_checkpoint *checkpoint, int channels,
                                struct seki_normalisation *normalisation, struct seki_error *error);

/* ---- optimiser.c -------------------------------------------------------------------------- */

struct seki_optimiser;
struct seki_optimiser *seki_optimiser_open(struct seki_network *network, struct seki_error *error);
void seki_optimiser_close(struct seki_optimiser *optimiser);
float *seki_optimiser_momenta(struct seki_optimiser *optimiser);
/* One step of the recipe on the batch at that learning rate; drop_path and result as
 * seki_network_step has them. */
int seki_optimiser_step(struct seki_optimiser *optimiser, const struct seki_batch *batch,
                        const struct seki_recipe *recipe, double rate,
                        const struct seki_drop_path *drop_path, struct seki_batch_result *result,
                        struct seki_error *error);

/* ---- recipe.c ------------------------------------------------------------------------------ */

/* epoch may have a fraction. */
double seki_rate(const struct seki_recipe *recipe, double epoch);

/* ---- safetensors.c: the file format ------------------------------------------------------- */

/* One tensor to write. */
struct tensor_out {
    const char *prefix; /* "" or "momentum." */
    char name[96];
    int dimensions; /* 0: a scalar */
    int size[4];
    bool integer; /* int64, else float */
    const void *data;
    size_t count;
};
/* With a checksum of each tensor and one of the settings. */
int seki_safetensors_write(const char *path, const struct tensor_out *tensors, int count,
                           const struct setting *settings, int setting_count,
                           struct seki_error *error);

/* Values of a float tensor of that name and shape, or NULL with *error. */
const float *seki_checkpoint_floats(const struct seki_checkpoint *checkpoint, const char *prefix,
                                    const struct seki_tensor_entry *entry,
                                    struct seki_error *error);
/* The same into a host array laid out as the network's parameters or momenta; statistics too where
 * not NULL. */
int seki_checkpoint_gather(const struct seki_checkpoint *checkpoint, const char *prefix,
                           const struct seki_network *network, float *parameters, float *statistics,
                           struct seki_error *error);

/* ---- held.c: pictures that a backend holds ------------------------------------------------ */

/* Pictures first .. first+count-1 of a split as bytes, in the memory of a backend that makes its
 * batches of them by itself; in that of others nothing is kept. */
struct held {
    struct seki_backend *backend;
    long first, count;
    uint8_t *bytes; /* NULL: batches are floats of the host's */
    float *values;
};
int seki_held_open(struct held *held, struct seki_backend *backend,
                   const struct seki_dataset *dataset, enum seki_split split, long first,
                   long count, const struct seki_normalisation *normalisation,
                   struct seki_error *error);
void seki_held_close(struct held *held);
/* Of the backend's memory. */
size_t seki_held_bytes(const struct held *held, const struct seki_dataset *dataset);
/* Floats that the host needs for a picture: none of one that is held. */
size_t seki_held_picture(const struct held *held, const struct seki_dataset *dataset);

/* What a batch is made of, on the host: crops of pictures that are held, or floats. */
struct batch_memory {
    int images;
    float *pictures;
    struct seki_crop *crops;
    int32_t *labels;
};
/* For `images` pictures of so many floats; 0: crops. */
int seki_batch_memory_open(struct batch_memory *memory, int images, size_t picture,
                           struct seki_error *error);
void seki_batch_memory_close(struct batch_memory *memory);
/* The pictures that `indices` names; see seki_batch_fill. */
void seki_batch_memory_fill(struct batch_memory *memory, const struct held *held,
                            const struct seki_dataset *dataset, enum seki_split split,
                            const uint32_t *indices, int images,
                            const struct seki_normalisation *normalisation,
                            const struct seki_augmentation *augmentation, uint64_t seed,
                            uint64_t epoch);
struct seki_batch seki_batch_memory_batch(const struct batch_memory *memory,
                                          const struct held *held);

/* ---- evaluate.c --------------------------------------------------------------------------- */

/* Pictures first .. first+count-1 of a split, in batches; the host memory for one batch. */
struct batches {
    const struct seki_dataset *dataset;
    enum seki_split split;
    const struct seki_normalisation *normalisation;
    const struct held *held; /* NULL before it is opened: its own */
    struct held own;
    long first, count;
    int batch;
    uint32_t *indices;
    struct batch_memory memory;
};
/* It must not move afterwards where it holds its own pictures. */
int seki_batches_open(struct batches *batches, struct seki_backend *backend,
                      struct seki_error *error);
void seki_batches_close(struct batches *batches);
/* Accuracy and mean loss over all of them of each genotype, batch by batch; see seki_network_score.
 * At most SEKI_SCORED_TOGETHER. */
int seki_batches_score(struct batches *batches, struct seki_network *network,
                       const struct seki_genotype *genotypes, int count, struct seki_score *scores,
                       struct seki_error *error);
/* Accuracy and mean loss of the selected network over all of them. */
int seki_batches_evaluate(struct batches *batches, struct seki_network *network,
                          enum seki_mode mode, struct seki_score *score, struct seki_error *error);

/* ---- prefetch.c: batches made ready by a thread of their own ------------------------------ */

/* Fills the memory with batch `number`: 1; 0: there is none of that number; -1 with *error. Runs in
 * the thread, in the order of the numbers. */
typedef int (*seki_prefetch_fill)(void *context, long number, struct batch_memory *batch,
                                  struct seki_error *error);
struct seki_prefetch;
/* Memory for two batches of so many images; see seki_batch_memory_open. */
struct seki_prefetch *seki_prefetch_open(int images, size_t picture, seki_prefetch_fill fill,
                                         void *context, struct seki_error *error);
/* Starts the thread, with that batch; one that runs is stopped before. */
int seki_prefetch_start(struct seki_prefetch *prefetch, long number, struct seki_error *error);
bool seki_prefetch_running(const struct seki_prefetch *prefetch);
/* The next batch, valid until the next call. 1: *batch is set; 0: there is no more; -1: the batch
 * failed, *error is what fill said. The seconds that were spent waiting are added to *waited. */
int seki_prefetch_next(struct seki_prefetch *prefetch, const struct batch_memory **batch,
                       double *waited, struct seki_error *error);
/* Ends the thread, which finishes the batch that it is at. */
void seki_prefetch_stop(struct seki_prefetch *prefetch);
void seki_prefetch_close(struct seki_prefetch *prefetch);

/* ---- sampler.c: a step's batch from its number ------------------------------------------- */

/* The first `count` pictures of the training split, in another order in each epoch. */
struct sampler {
    const struct seki_dataset *dataset;
    const struct seki_normalisation *normalisation;
    const struct seki_augmentation *augmentation;
    const struct held *held;
    uint64_t seed;
    long count, epochs;
    int batch;
    uint32_t *order; /* of epoch `shuffled` */
    long shuffled;
};
/* All but the last two members are set before. */
int seki_sampler_open(struct sampler *sampler, struct seki_error *error);
void seki_sampler_close(struct sampler *sampler);
/* Steps of an epoch, and the images of one. */
long seki_sampler_steps(const struct sampler *sampler);
int seki_sampler_images(const struct sampler *sampler, long step);
/* A seki_prefetch_fill; `number` counts the steps from the first epoch on. */
int seki_sampler_fill(void *context, long number, struct batch_memory *batch,
                      struct seki_error *error);

/* ---- trainer.c ---------------------------------------------------------------------------- */

/* Over the steps of an epoch that are done. */
struct sums {
    double loss, correct, norm;
    double seconds, data_seconds;
};

/* Host copies of what a checkpoint holds: parameters, statistics, momenta, one after the other. */
struct copies {
    size_t parameters, statistics; /* floats */
    float *data;
};

struct seki_trainer {
    struct seki_training_settings settings;
    struct seki_dataset *dataset;
    struct seki_network *network;
    struct seki_optimiser *optimiser;
    struct seki_normalisation normalisation;
    struct held held;
    struct sampler sampler; /* the prefetch thread's while it runs */
    struct seki_prefetch *prefetch;
    struct batches valid;
    struct copies copies; /* made at the beginning: a save in the tenth hour lacks no memory */
    int epochs_done;
    long steps_done;  /* of the epoch after them; all of them: validation is what is left of it */
    struct sums sums; /* of the steps that are collected */
    double collected_at;
    long images_done; /* in this run */
};

/* Validated after each supernet epoch. */
#define VALID_GENOTYPES 10

/* Independent random streams of one seed: the number of a purpose's `number`-th. */
uint64_t seki_stream(const char *purpose, uint64_t number);

/* ---- epoch.c ------------------------------------------------------------------------------ */

/* The next step of the epoch. What it came to may be known later only: a loss that is not finite
 * ends training (SEKI_BAD_INPUT, "diverged") here or in seki_trainer_collect. */
int seki_trainer_step(struct seki_trainer *trainer, struct seki_error *error);
/* Waits until the sums are those of all steps done. */
int seki_trainer_collect(struct seki_trainer *trainer, struct seki_error *error);
/* After its last step: validates, fills the report. */
int seki_trainer_report(struct seki_trainer *trainer, struct seki_epoch_report *report,
                        struct seki_error *error);
/* Goes on to the next epoch. */
void seki_trainer_end_epoch(struct seki_trainer *trainer);

/* ---- state.c ------------------------------------------------------------------------------ */

int seki_copies_open(struct seki_trainer *trainer, struct seki_error *error);

#endif

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
#define SETTING_COUNT 24
/* Fills settings[SETTING_COUNT]; returns how many. */
int seki_settings_text(const struct seki_training_settings *settings,
                       const struct seki_network_config *config,
                       const struct seki_normalisation *normalisation, struct setting *out);
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
/* Clips the gradients that the last seki_network_gradients left, as torch clip_grad_norm_ does, and
 * takes one step on their parameters. Returns the norm before clipping. */
double seki_optimiser_step(struct seki_optimiser *optimiser, const struct seki_recipe *recipe,
                           double rate);

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

/* ---- evaluate.c --------------------------------------------------------------------------- */

/* Pictures first .. first+count-1 of a split, in batches; the host memory for one batch. */
struct batches {
    const struct seki_dataset *dataset;
    enum seki_split split;
    const struct seki_normalisation *normalisation;
    long first, count;
    int batch;
    uint32_t *indices;
    float *pictures;
    int32_t *labels;
};
int seki_batches_open(struct batches *batches, struct seki_error *error);
void seki_batches_close(struct batches *batches);
/* Accuracy and mean loss over all of them of each genotype, batch by batch; see seki_network_score.
 * At most SEKI_SCORED_TOGETHER. */
int seki_batches_score(struct batches *batches, struct seki_network *network,
                       const struct seki_genotype *genotypes, int count, struct seki_score *scores,
                       struct seki_error *error);
/* Accuracy and mean loss of the selected network over all of them. */
int seki_batches_evaluate(struct batches *batches, struct seki_network *network,
                          enum seki_mode mode, struct seki_score *score, struct seki_error *error);

/* ---- trainer.c, state.c ------------------------------------------------------------------- */

struct seki_trainer {
    struct seki_training_settings settings;
    struct seki_dataset *dataset;
    struct seki_network *network;
    struct seki_optimiser *optimiser;
    struct seki_normalisation normalisation;
    struct batches train; /* its indices hold one epoch's order */
    struct batches valid;
    uint32_t *order;
    int epochs_done;
    long images_done; /* in this run */
};

long seki_trainer_steps(const struct seki_trainer *trainer); /* an epoch */

#endif

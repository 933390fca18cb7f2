/* state.c - a trainer's state as a checkpoint: saved at any step, gone on from after a stop. */
#include "training/training_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOMENTUM "momentum." /* before a parameter's name: its momentum */

static const struct seki_network_config *config_of(const struct seki_trainer *trainer)
{
    return seki_network_get_config(trainer->network);
}

static int copy_state(struct seki_trainer *trainer, struct seki_error *error)
{
    struct seki_network *network = trainer->network;
    struct seki_backend *backend = seki_network_backend(network);
    struct copies *copies = &trainer->copies;
    float *at = copies->data;
    if (backend->ops->read(backend, at, seki_network_parameters(network, &copies->parameters),
                           copies->parameters * sizeof *at, error) < 0)
        return -1;
    at += copies->parameters;
    if (backend->ops->read(backend, at, seki_network_statistics(network, &copies->statistics),
                           copies->statistics * sizeof *at, error) < 0)
        return -1;
    at += copies->statistics;
    return backend->ops->read(backend, at, seki_optimiser_momenta(trainer->optimiser),
                              copies->parameters * sizeof *at, error);
}

int seki_copies_open(struct seki_trainer *trainer, struct seki_error *error)
{
    struct copies *copies = &trainer->copies;
    seki_network_parameters(trainer->network, &copies->parameters);
    seki_network_statistics(trainer->network, &copies->statistics);
    copies->data = seki_allocate(2 * copies->parameters + copies->statistics, sizeof(float), error);
    return copies->data ? copy_state(trainer, error) : -1; /* so that its pages are there, too */
}

/* A file with such numbers could not be read back, and would replace one that can. */
static int check_finite(const struct seki_trainer *trainer, struct seki_error *error)
{
    const struct copies *copies = &trainer->copies;
    size_t count = 2 * copies->parameters + copies->statistics;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(copies->data[i]))
            return seki_fail(error, SEKI_BAD_INPUT, "diverged",
                             "training diverged: after epoch %d, step %ld a weight or its momentum "
                             "is not finite; try a lower learning rate",
                             trainer->epochs_done, trainer->steps_done);
    return 0;
}

static struct tensor_out tensor_of(const struct seki_tensor_entry *entry, const char *prefix,
                                   const float *data)
{
    struct tensor_out tensor = {.prefix = prefix,
                                .dimensions = entry->dimensions,
                                .data = data + entry->offset,
                                .count = entry->count};
    memcpy(tensor.name, entry->name, sizeof tensor.name);
    memcpy(tensor.size, entry->size, sizeof tensor.size);
    return tensor;
}

/* PyTorch counts batches beside each pair of running statistics. */
static struct tensor_out batch_count_of(const struct seki_tensor_entry *variance,
                                        const int64_t *batches)
{
    struct tensor_out tensor = {.prefix = "", .integer = true, .data = batches, .count = 1};
    size_t stem = strlen(variance->name) - strlen("running_var");
    snprintf(tensor.name, sizeof tensor.name, "%.*snum_batches_tracked", (int)stem, variance->name);
    return tensor;
}

static int list_tensors(struct seki_trainer *trainer, const int64_t *batches,
                        struct tensor_out *tensors)
{
    const struct copies *copies = &trainer->copies;
    const float *parameters = copies->data, *statistics = parameters + copies->parameters,
                *momenta = statistics + copies->statistics;
    bool unfinished = trainer->epochs_done < trainer->settings.recipe.epochs;
    int entries = seki_network_tensor_count(trainer->network), count = 0;
    for (int i = 0; i < entries; i++) {
        struct seki_tensor_entry entry;
        seki_network_tensor(trainer->network, i, &entry);
        tensors[count++] = tensor_of(&entry, "", entry.statistic ? statistics : parameters);
        if (entry.statistic && strstr(entry.name, "running_var"))
            tensors[count++] = batch_count_of(&entry, batches);
        if (!entry.statistic && unfinished)
            tensors[count++] = tensor_of(&entry, MOMENTUM, momenta);
    }
    return count;
}

/* Where it stands. The order of the pictures, their augmentation, the sampled genotypes and drop
 * path's masks are drawn anew from the seed and these numbers, and so is the learning rate: neither
 * has a state besides. */
static int put_state(const struct seki_trainer *trainer, struct setting *settings)
{
    const struct sums *sums = &trainer->sums;
    struct setting *next = settings;
    seki_setting_put(&next, "epoch", "%d", trainer->epochs_done);
    seki_setting_put(&next, "step", "%ld", trainer->steps_done);
    if (trainer->steps_done > 0) /* seventeen digits give a double back exactly */
        seki_setting_put(&next, "sums", "%.17g,%.17g,%.17g,%.17g,%.17g", sums->loss, sums->correct,
                         sums->norm, sums->seconds, sums->data_seconds);
    if (next - settings > STATE_COUNT)
        SEKI_BUG("more state than room");
    return (int)(next - settings);
}

int seki_trainer_save(struct seki_trainer *trainer, const char *path, struct seki_error *error)
{
    size_t room = 2 * (size_t)seki_network_tensor_count(trainer->network);
    struct tensor_out *tensors = seki_allocate(room, sizeof *tensors, error);
    struct setting *settings = seki_allocate(SETTING_COUNT, sizeof *settings, error);
    int64_t batches = trainer->epochs_done * seki_trainer_steps(trainer) + trainer->steps_done;
    int status = -1;
    if (tensors && settings && seki_trainer_collect(trainer, error) == 0 &&
        copy_state(trainer, error) == 0 && check_finite(trainer, error) == 0) {
        int count =
            seki_settings_text(&trainer->settings, config_of(trainer), &trainer->normalisation,
                               seki_network_backend(trainer->network)->precision, settings);
        count += put_state(trainer, settings + count);
        int tensor_count = list_tensors(trainer, &batches, tensors);
        status = seki_safetensors_write(path, tensors, tensor_count, settings, count, error);
    }
    free(tensors);
    free(settings);
    return status;
}

static int check_settings(struct seki_trainer *trainer, const struct seki_checkpoint *checkpoint,
                          struct seki_error *error)
{
    struct setting *settings = seki_allocate(SETTING_COUNT, sizeof *settings, error);
    if (!settings)
        return -1;
    int count = seki_settings_text(&trainer->settings, config_of(trainer), &trainer->normalisation,
                                   seki_network_backend(trainer->network)->precision, settings);
    int status = 0;
    for (int i = 0; i < count && status == 0; i++) {
        const char *found = seki_checkpoint_text(checkpoint, settings[i].key);
        if (!found || strcmp(found, settings[i].value) != 0)
            status =
                seki_fail(error, SEKI_BAD_USE, "resume",
                          "it was trained with %s %.100s, this run has %.100s: give the same, or "
                          "another output file",
                          settings[i].key, found ? found : "missing", settings[i].value);
    }
    free(settings);
    return status;
}

static int read_position(struct seki_trainer *trainer, const struct seki_checkpoint *checkpoint,
                         struct seki_error *error)
{
    double sums[5] = {0};
    long epoch = 0, step = 0, epochs = trainer->settings.recipe.epochs;
    if (seki_settings_count(checkpoint, "epoch", epochs, &epoch, error) < 0 ||
        seki_settings_count(checkpoint, "step", epoch < epochs ? seki_trainer_steps(trainer) : 0,
                            &step, error) < 0)
        return -1;
    if (step > 0 && seki_settings_numbers(checkpoint, "sums", sums, 5, error) < 0)
        return -1;
    trainer->epochs_done = (int)epoch;
    trainer->steps_done = step;
    trainer->sums = (struct sums){sums[0], sums[1], sums[2], sums[3], sums[4]};
    return 0;
}

static int read_momenta(struct seki_trainer *trainer, const struct seki_checkpoint *checkpoint,
                        struct seki_error *error)
{
    struct seki_backend *backend = seki_network_backend(trainer->network);
    size_t count = trainer->copies.parameters;
    float *host = trainer->copies.data;
    memset(host, 0, count * sizeof *host); /* what lies between the tensors */
    if (seki_checkpoint_gather(checkpoint, MOMENTUM, trainer->network, host, NULL, error) < 0)
        return -1;
    return backend->ops->write(backend, seki_optimiser_momenta(trainer->optimiser), host,
                               count * sizeof *host, error);
}

static int read_state(struct seki_trainer *trainer, const struct seki_checkpoint *checkpoint,
                      struct seki_error *error)
{
    if (seki_checkpoint_load(checkpoint, trainer->network, error) < 0 ||
        read_position(trainer, checkpoint, error) < 0)
        return -1;
    if (trainer->epochs_done == trainer->settings.recipe.epochs)
        return 0;
    return read_momenta(trainer, checkpoint, error);
}

int seki_trainer_resume(struct seki_trainer *trainer, const char *path, struct seki_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file && errno != ENOENT)
        return seki_fail_errno(error, "file", "%s: cannot open", path);
    if (!file)
        return 0; /* nothing there yet */
    fclose(file);
    struct seki_checkpoint *checkpoint = seki_checkpoint_open(path, error);
    if (!checkpoint)
        return -1;
    seki_prefetch_stop(trainer->prefetch);
    struct seki_tally overtaken[SEKI_MAX_PENDING];
    int status = check_settings(trainer, checkpoint, error);
    if (status == 0)
        status = seki_network_collect(trainer->network, overtaken, error);
    if (status == 0)
        status = read_state(trainer, checkpoint, error);
    seki_checkpoint_close(checkpoint);
    if (status < 0) {
        seki_fail_within(error, "%s", path);
        return -1;
    }
    return 1;
}

/* state.c - a trainer's state as a checkpoint: saved after an epoch, gone on from after a stop. */
#include "training/training_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct seki_network_config *config_of(const struct seki_trainer *trainer)
{
    return seki_network_get_config(trainer->network);
}

/* Host copies of what a checkpoint holds: parameters, statistics, momenta, one after the other. */
struct copies {
    size_t parameters, statistics;
    float *data;
};

static int copy_state(struct seki_trainer *trainer, struct copies *copies, struct seki_error *error)
{
    struct seki_network *network = trainer->network;
    struct seki_backend *backend = seki_network_backend(network);
    const float *parameters = seki_network_parameters(network, &copies->parameters);
    const float *statistics = seki_network_statistics(network, &copies->statistics);
    copies->data = seki_allocate(2 * copies->parameters + copies->statistics, sizeof(float), error);
    if (!copies->data)
        return -1;
    float *at = copies->data;
    if (backend->ops->read(backend, at, parameters, copies->parameters * sizeof *at, error) < 0)
        return -1;
    at += copies->parameters;
    if (backend->ops->read(backend, at, statistics, copies->statistics * sizeof *at, error) < 0)
        return -1;
    at += copies->statistics;
    return backend->ops->read(backend, at, seki_optimiser_momenta(trainer->optimiser),
                              copies->parameters * sizeof *at, error);
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

static int list_tensors(struct seki_trainer *trainer, const struct copies *copies,
                        const int64_t *batches, struct tensor_out *tensors)
{
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
            tensors[count++] = tensor_of(&entry, "momentum.", momenta);
    }
    return count;
}

int seki_trainer_save(struct seki_trainer *trainer, const char *path, struct seki_error *error)
{
    struct copies copies = {0};
    size_t room = 2 * (size_t)seki_network_tensor_count(trainer->network);
    struct tensor_out *tensors = seki_allocate(room, sizeof *tensors, error);
    struct setting *settings = seki_allocate(SETTING_COUNT + 1, sizeof *settings, error);
    int64_t batches = trainer->epochs_done * seki_trainer_steps(trainer);
    int status = -1;
    if (tensors && settings && copy_state(trainer, &copies, error) == 0) {
        int count = seki_settings_text(&trainer->settings, config_of(trainer),
                                       &trainer->normalisation, settings);
        snprintf(settings[count].key, sizeof settings[count].key, "epoch");
        snprintf(settings[count].value, sizeof settings[count].value, "%d", trainer->epochs_done);
        int tensor_count = list_tensors(trainer, &copies, &batches, tensors);
        status = seki_safetensors_write(path, tensors, tensor_count, settings, count + 1, error);
    }
    free(copies.data);
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
                                   settings);
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

static int read_state(struct seki_trainer *trainer, const struct seki_checkpoint *checkpoint,
                      struct seki_error *error)
{
    const char *text = seki_checkpoint_text(checkpoint, "epoch");
    char *end = NULL;
    long epoch = text ? strtol(text, &end, 10) : -1;
    if (epoch < 0 || epoch > trainer->settings.recipe.epochs || *end)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "'epoch' is \"%.20s\": 0 to %d was expected", text ? text : "",
                         trainer->settings.recipe.epochs);
    if (seki_checkpoint_load(checkpoint, trainer->network, error) < 0)
        return -1;
    trainer->epochs_done = (int)epoch;
    if (epoch == trainer->settings.recipe.epochs)
        return 0;
    struct seki_backend *backend = seki_network_backend(trainer->network);
    size_t count;
    seki_network_parameters(trainer->network, &count);
    float *host = seki_allocate(count, sizeof *host, error);
    if (!host)
        return -1;
    int status =
        seki_checkpoint_gather(checkpoint, "momentum.", trainer->network, host, NULL, error);
    if (status == 0)
        status = backend->ops->write(backend, seki_optimiser_momenta(trainer->optimiser), host,
                                     count * sizeof *host, error);
    free(host);
    return status;
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
    int status = check_settings(trainer, checkpoint, error);
    if (status == 0)
        status = read_state(trainer, checkpoint, error);
    seki_checkpoint_close(checkpoint);
    if (status < 0) {
        seki_fail_within(error, "%s", path);
        return -1;
    }
    return 1;
}

/*
 * logits.c - a program on libseki: the logits that a trained network, or a genotype on a supernet,
 * has for the first N training pictures, a line each. With `supernet` normalisation is by the
 * statistics of these pictures, with `network` by running ones.
 *
 *     logits network.safetensors DATA network|supernet CHANNELS LAYERS MEANS DEVIATIONS N GENOTYPE
 */
#include "data/data.h"
#include "network/network.h"
#include "training/training.h"

#include <stdlib.h>
#include <string.h>

struct task {
    const char *file, *data;
    bool supernet;
    int channels, layers, images;
    struct seki_normalisation normalisation;
    struct seki_genotype genotype;
};

/* All that is opened on the way. */
struct opened {
    struct seki_dataset *dataset;
    struct seki_backend *backend;
    struct seki_checkpoint *checkpoint;
    struct seki_network *network;
    float *pictures, *logits;
    int32_t *labels;
    uint32_t *indices;
};

/* "0.5,0.5,0.5" */
static int read_floats(const char *text, float *values)
{
    int count = 0;
    char *end;
    for (; count < SEKI_MAX_CHANNELS; text = end + 1) {
        values[count++] = strtof(text, &end);
        if (end == text || *end != ',')
            break;
    }
    return count;
}

static int open_network(const struct task *task, struct opened *o, struct seki_error *error)
{
    struct seki_network_config config = {
        .space = task->genotype.space, .channels = task->channels, .layers = task->layers};
    o->dataset = seki_dataset_open(task->data, error);
    if (!o->dataset || seki_dataset_load(o->dataset, SEKI_TRAIN_SPLIT, NULL, error) < 0)
        return -1;
    config.classes = seki_dataset_classes(o->dataset);
    config.image_channels = seki_dataset_channels(o->dataset);
    config.image_height = seki_dataset_height(o->dataset);
    config.image_width = seki_dataset_width(o->dataset);
    o->backend = seki_backend_open(getenv("SEKI_BACKEND") ? getenv("SEKI_BACKEND") : "auto", 1,
                                   SEKI_FP32, error);
    o->checkpoint = o->backend ? seki_checkpoint_open(task->file, error) : NULL;
    if (!o->checkpoint)
        return -1;
    o->network =
        seki_network_open(o->backend, &config, task->supernet ? NULL : &task->genotype, error);
    if (!o->network || seki_checkpoint_load(o->checkpoint, o->network, error) < 0)
        return -1;
    enum seki_mode mode = task->supernet ? SEKI_MODE_SCORE : SEKI_MODE_INFER;
    if (seki_network_prepare(o->network, task->images, mode, error) < 0)
        return -1;
    return task->supernet ? seki_network_select(o->network, &task->genotype, error) : 0;
}

static int print_logits(const struct task *task, struct opened *o, struct seki_error *error)
{
    const struct seki_network_config *config = seki_network_get_config(o->network);
    size_t images = (size_t)task->images, classes = (size_t)config->classes;
    size_t picture =
        (size_t)config->image_channels * (size_t)config->image_height * (size_t)config->image_width;
    o->pictures = seki_allocate(images, picture * sizeof *o->pictures, error);
    o->logits = seki_allocate(images, classes * sizeof *o->logits, error);
    o->labels = seki_allocate(images, sizeof *o->labels, error);
    o->indices = seki_allocate(images, sizeof *o->indices, error);
    if (!o->pictures || !o->logits || !o->labels || !o->indices)
        return -1;
    for (uint32_t i = 0; i < images; i++)
        o->indices[i] = i;
    seki_batch_fill(o->dataset, SEKI_TRAIN_SPLIT, o->indices, task->images, &task->normalisation,
                    NULL, 0, 0, o->pictures, o->labels);
    struct seki_batch batch = {
        .images = task->images, .pictures = o->pictures, .labels = o->labels};
    struct seki_batch_result result;
    if (seki_network_evaluate(o->network, &batch,
                              task->supernet ? SEKI_MODE_SCORE : SEKI_MODE_INFER, o->logits,
                              &result, error) < 0)
        return -1;
    for (size_t i = 0; i < images * classes; i++)
        printf("%.9g%c", o->logits[i], (i + 1) % classes ? ' ' : '\n');
    return 0;
}

static void close_all(struct opened *o)
{
    free(o->pictures);
    free(o->logits);
    free(o->labels);
    free(o->indices);
    seki_network_close(o->network);
    seki_checkpoint_close(o->checkpoint);
    seki_backend_close(o->backend);
    seki_dataset_close(o->dataset);
}

int main(int argc, char **argv)
{
    const struct seki_log log = {.program = "logits"};
    struct seki_error error;
    struct opened opened = {0};
    struct task task;

    if (argc != 10) {
        seki_log_error(&log, "nine arguments are needed");
        return 2;
    }
    task = (struct task){.file = argv[1],
                         .data = argv[2],
                         .supernet = strcmp(argv[3], "supernet") == 0,
                         .channels = atoi(argv[4]),
                         .layers = atoi(argv[5]),
                         .images = atoi(argv[8])};
    task.normalisation.channels = read_floats(argv[6], task.normalisation.mean);
    read_floats(argv[7], task.normalisation.deviation);
    int status = seki_genotype_parse(argv[9], SEKI_LAX, &task.genotype, &error);
    if (status == 0)
        status = open_network(&task, &opened, &error);
    if (status == 0)
        status = print_logits(&task, &opened, &error);
    close_all(&opened);
    if (status == 0)
        return 0;
    seki_log_error(&log, "%s", error.message);
    return seki_error_status(&error);
}

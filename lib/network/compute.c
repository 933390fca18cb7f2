/* compute.c - forward, loss and backward of the selected program. */
#include "network/network_internal.h"

#include <string.h>

static struct seki_window window(const struct seki_network *network, int tensor, bool gradient,
                                 int part, int parts)
{
    const struct tensor *t = &network->program.tensors[tensor];
    return (struct seki_window){network->arena + (gradient ? t->gradient_offset : t->offset),
                                t->shape, part, parts};
}

static struct seki_block_call block_call(const struct seki_network *network,
                                         const struct step *step)
{
    const struct module *module = &network->modules[step->module];
    struct seki_block_call call = {
        .images = network->program.images,
        .mode = network->program.mode,
        .y = window(network, step->y, false, step->y_part, 1),
        .add_y = step->add_y,
        .parameters = network->parameters + module->parameters,
        .statistics = network->statistics + module->statistics,
        .saved = network->arena + step->saved_offset,
        .scratch = network->scratch,
    };
    if (step->x >= 0)
        call.x = window(network, step->x, false, step->x_part, step->x_parts);
    return call;
}

static const float *keep_row(const struct seki_network *network, const struct step *step,
                             bool dropping)
{
    if (!dropping || step->keep < 0)
        return NULL;
    return network->keep + (size_t)step->keep * (size_t)network->program.images;
}

/* Steps first..end-1. */
static int run_forward(struct seki_network *network, int first, int end, bool dropping,
                       struct seki_error *error)
{
    const struct program *program = &network->program;
    for (int i = first; i < end; i++) {
        const struct step *step = &program->steps[i];
        if (!step->live)
            continue;
        struct seki_block_call call = block_call(network, step);
        call.keep = keep_row(network, step, dropping);
        if (network->backend->ops->forward(network->modules[step->module].block, &call, error) < 0)
            return -1;
    }
    return 0;
}

static int run_backward(struct seki_network *network, bool dropping, struct seki_error *error)
{
    const struct program *program = &network->program;
    for (int i = program->step_count - 1; i >= 0; i--) {
        const struct step *step = &program->steps[i];
        if (!step->backward)
            continue;
        const struct module *module = &network->modules[step->module];
        struct seki_block_call call = block_call(network, step);
        call.keep = keep_row(network, step, dropping);
        call.dy = window(network, step->y, true, step->y_part, 1);
        if (step->want_dx)
            call.dx = window(network, step->x, true, step->x_part, step->x_parts);
        call.add_dx = step->add_dx;
        call.gradients = network->gradients + module->parameters;
        if (network->backend->ops->backward(module->block, &call, error) < 0)
            return -1;
    }
    return 0;
}

static int check_labels(const struct seki_network *network, const struct seki_batch *batch,
                        struct seki_error *error)
{
    for (int n = 0; n < batch->images; n++)
        if (batch->labels[n] < 0 || batch->labels[n] >= network->config.classes)
            return seki_fail(error, SEKI_BAD_INPUT, "label",
                             "picture %d of the batch has label %d, expected 0 to %d", n,
                             (int)batch->labels[n], network->config.classes - 1);
    return 0;
}

/* The pictures become tensor 0, the labels go to the backend. */
static int put_batch(struct seki_network *network, const struct seki_batch *batch,
                     enum seki_mode mode, struct seki_error *error)
{
    if (!network->selected)
        SEKI_BUG("no genotype is selected");
    if (batch->images > network->max_images)
        SEKI_BUG("a batch larger than any that was prepared");
    if (check_labels(network, batch, error) < 0 ||
        seki_schedule(network, batch->images, mode, error) < 0 ||
        seki_reserve_program(network, error) < 0)
        return -1;
    struct seki_backend *backend = network->backend;
    struct seki_window pictures = window(network, 0, false, 0, 1);
    const struct seki_pictures_call held = {batch->images, pictures, batch->bytes, batch->values,
                                            batch->crops};
    int status = batch->crops ? backend->ops->pictures(backend, &held, error)
                              : backend->ops->tensor_write(backend, &pictures, batch->images,
                                                           batch->pictures, error);
    if (status < 0)
        return -1;
    return backend->ops->write(backend, network->labels, batch->labels,
                               (size_t)batch->images * sizeof *batch->labels, error);
}

static int put_masks(struct seki_network *network, const struct seki_drop_path *drop_path,
                     struct seki_error *error)
{
    const struct program *program = &network->program;
    struct seki_random random;
    seki_random_seed(&random, drop_path->seed, drop_path->step);
    size_t count = (size_t)program->keep_count * (size_t)program->images;
    float kept = (float)(1.0 / (1.0 - drop_path->probability));
    for (size_t i = 0; i < count; i++)
        network->keep_host[i] = seki_random_uniform(&random) < drop_path->probability ? 0.0f : kept;
    return network->backend->ops->write(network->backend, network->keep, network->keep_host,
                                        count * sizeof(float), error);
}

static int take_loss(struct seki_network *network, int tensor, float weight, bool gradient,
                     int tally, struct seki_error *error)
{
    struct seki_loss_call loss = {.images = network->program.images,
                                  .classes = network->config.classes,
                                  .logits = window(network, tensor, false, 0, 1),
                                  .labels = network->labels,
                                  .weight = weight,
                                  .tally = network->tallies + tally};
    if (gradient)
        loss.dlogits = window(network, tensor, true, 0, 1);
    return network->backend->ops->loss(network->backend, &loss, error);
}

/* Tallies first..first+count-1, once they are there. */
static int read_tallies(struct seki_network *network, int first, int count,
                        struct seki_tally *tallies, struct seki_error *error)
{
    return network->backend->ops->read(network->backend, tallies, network->tallies + first,
                                       (size_t)count * sizeof *tallies, error);
}

struct seki_tally *seki_network_tally(struct seki_network *network)
{
    return network->tallies + network->tally;
}

int seki_network_pending(const struct seki_network *network)
{
    return network->pending;
}

int seki_network_collect(struct seki_network *network, struct seki_tally *tallies,
                         struct seki_error *error)
{
    int count = network->pending;
    network->pending = 0;
    return count > 0 ? read_tallies(network, 0, count, tallies, error) : 0;
}

static int read_result(struct seki_network *network, int tally, struct seki_batch_result *result,
                       struct seki_error *error)
{
    struct seki_tally read;
    if (read_tallies(network, tally, 1, &read, error) < 0)
        return -1;
    *result = (struct seki_batch_result){.loss = read.loss, .correct = (long)read.correct};
    return 0;
}

int seki_network_gradients(struct seki_network *network, const struct seki_batch *batch,
                           double auxiliary_weight, const struct seki_drop_path *drop_path,
                           struct seki_batch_result *result, struct seki_error *error)
{
    struct seki_backend *backend = network->backend;
    bool dropping = drop_path && drop_path->probability > 0;
    if (put_batch(network, batch, SEKI_MODE_TRAIN, error) < 0)
        return -1;
    if (dropping && put_masks(network, drop_path, error) < 0)
        return -1;
    if (!result && network->pending == SEKI_MAX_PENDING)
        SEKI_BUG("more steps are due than can be collected");
    network->tally = result ? TALLY_NOW : network->pending++;
    if (backend->ops->clear(backend, network->gradients, network->active, network->active_count,
                            error) < 0 ||
        run_forward(network, 0, network->program.step_count, dropping, error) < 0)
        return -1;
    if (network->program.auxiliary_logits >= 0 &&
        take_loss(network, network->program.auxiliary_logits, (float)auxiliary_weight, true,
                  TALLY_AUXILIARY, error) < 0)
        return -1;
    if (take_loss(network, network->program.logits, 1, true, network->tally, error) < 0 ||
        run_backward(network, dropping, error) < 0)
        return -1;
    return result ? read_result(network, network->tally, result, error) : 0;
}

/* The steps from `first` on, and the loss. */
static int run_rest(struct seki_network *network, int first, int tally, struct seki_error *error)
{
    if (run_forward(network, first, network->program.step_count, false, error) < 0)
        return -1;
    return take_loss(network, network->program.logits, 1, false, tally, error);
}

int seki_network_evaluate(struct seki_network *network, const struct seki_batch *batch,
                          enum seki_mode mode, float *logits, struct seki_batch_result *result,
                          struct seki_error *error)
{
    if (put_batch(network, batch, mode, error) < 0 || run_rest(network, 0, TALLY_NOW, error) < 0 ||
        read_result(network, TALLY_NOW, result, error) < 0)
        return -1;
    if (!logits)
        return 0;
    struct seki_window all = window(network, network->program.logits, false, 0, 1);
    return network->backend->ops->tensor_read(network->backend, logits, &all, batch->images, error);
}

/* The program of the genotype; where the arena had to grow for it, what was in it is lost. */
static int choose(struct seki_network *network, const struct seki_genotype *genotype, int images,
                  bool *lost, struct seki_error *error)
{
    size_t before = network->arena_bytes;
    if (seki_network_select(network, genotype, error) < 0 ||
        seki_schedule(network, images, SEKI_MODE_SCORE, error) < 0 ||
        seki_reserve_program(network, error) < 0)
        return -1;
    *lost = network->arena_bytes != before;
    return 0;
}

int seki_network_score(struct seki_network *network, const struct seki_batch *batch,
                       const struct seki_genotype *genotypes, int count,
                       struct seki_batch_result *results, struct seki_error *error)
{
    double common = 0;
    for (int i = 0; i < count; i++) {
        bool lost;
        double began = seki_clock();
        if (choose(network, &genotypes[i], batch->images, &lost, error) < 0)
            return -1;
        if (i == 0 || lost) {
            if (put_batch(network, batch, SEKI_MODE_SCORE, error) < 0 ||
                run_forward(network, 0, network->program.common_count, false, error) < 0)
                return -1;
            double now = seki_clock();
            common += now - began;
            began = now;
        }
        if (run_rest(network, network->program.common_count, TALLY_NOW, error) < 0 ||
            read_result(network, TALLY_NOW, &results[i], error) < 0)
            return -1;
        results[i].seconds = seki_clock() - began;
    }
    for (int i = 0; i < count; i++)
        results[i].seconds += common / count;
    return 0;
}

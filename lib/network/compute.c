/* compute.c - forward, loss and backward of the selected program. */
#include "network/network_internal.h"

#include <string.h>

/* What is held is the same for all lanes; of the rest each has its own. */
static char *address(const struct seki_network *network, size_t offset)
{
    const size_t held = network->program.held_bytes;
    if (network->lane == 0 || offset < held)
        return network->arena + offset;
    return network->lane_memory[network->lane] + (offset - held);
}

static char *scratch(const struct seki_network *network)
{
    const struct program *program = &network->program;
    return network->lane == 0 ? network->scratch : address(network, program->arena_bytes);
}

static struct seki_window window(const struct seki_network *network, int tensor, bool gradient,
                                 int part, int parts)
{
    const struct tensor *t = &network->program.tensors[tensor];
    return (struct seki_window){address(network, gradient ? t->gradient_offset : t->offset),
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
        .saved = address(network, step->saved_offset),
        .scratch = scratch(network),
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

int seki_compute_forward(struct seki_network *network, int first, int end, bool dropping,
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

static int compute_backward(struct seki_network *network, bool dropping, struct seki_error *error)
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
int seki_compute_batch(struct seki_network *network, const struct seki_batch *batch,
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

int seki_compute_loss(struct seki_network *network, int tensor, float weight, bool gradient,
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

static int compute_gradients(struct seki_network *network, const struct pass_kind *kind, int tally,
                             struct seki_error *error)
{
    const struct program *program = &network->program;
    struct seki_backend *backend = network->backend;
    if (backend->ops->clear(backend, network->gradients, network->active, network->active_count,
                            error) < 0 ||
        seki_compute_forward(network, 0, program->step_count, kind->dropping, error) < 0)
        return -1;
    if (program->auxiliary_logits >= 0 &&
        seki_compute_loss(network, program->auxiliary_logits, kind->auxiliary_weight, true,
                          TALLY_AUXILIARY, error) < 0)
        return -1;
    return seki_compute_loss(network, program->logits, 1, true, tally, error) < 0
               ? -1
               : compute_backward(network, kind->dropping, error);
}

static int compute_sgd(struct seki_network *network, const struct seki_sgd *sgd, int tally,
                       struct seki_error *error)
{
    const struct seki_sgd_call call = {.sgd = *sgd,
                                       .ranges = network->active,
                                       .count = network->active_count,
                                       .weights = network->parameters,
                                       .gradients = network->gradients,
                                       .tally = network->tallies + tally};
    return network->backend->ops->sgd(network->backend, &call, error);
}

int seki_compute_pass(struct seki_network *network, const struct pass_kind *kind, int tally,
                      struct seki_error *error)
{
    if (kind->pass == PASS_FORWARD)
        return seki_compute_forward(network, 0, network->program.step_count, kind->dropping, error);
    if (compute_gradients(network, kind, tally, error) < 0)
        return -1;
    return kind->pass == PASS_STEP ? compute_sgd(network, &kind->sgd, tally, error) : 0;
}

/* Tallies first..first+count-1, once they are there. */
static int read_tallies(struct seki_network *network, int first, int count,
                        struct seki_tally *tallies, struct seki_error *error)
{
    return network->backend->ops->read(network->backend, tallies, network->tallies + first,
                                       (size_t)count * sizeof *tallies, error);
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

int seki_compute_results(struct seki_network *network, int first, int count,
                         struct seki_batch_result *results, struct seki_error *error)
{
    struct seki_tally tallies[TALLIES];
    if (read_tallies(network, first, count, tallies, error) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        results[i] = (struct seki_batch_result){
            .loss = tallies[i].loss, .correct = (long)tallies[i].correct, .norm = tallies[i].norm};
    return 0;
}

/* Of what `kind` says all but whether paths are dropped. */
static int train(struct seki_network *network, const struct seki_batch *batch,
                 struct pass_kind *kind, const struct seki_drop_path *drop_path,
                 struct seki_batch_result *result, struct seki_error *error)
{
    kind->dropping = drop_path && drop_path->probability > 0;
    if (seki_compute_batch(network, batch, SEKI_MODE_TRAIN, error) < 0)
        return -1;
    if (kind->dropping && put_masks(network, drop_path, error) < 0)
        return -1;
    if (!result && network->pending == SEKI_MAX_PENDING)
        SEKI_BUG("more steps are due than can be collected");
    network->tally = result ? TALLY_NOW : network->pending++;
    if (seki_run_pass(network, kind, error) < 0)
        return -1;
    return result ? seki_compute_results(network, network->tally, 1, result, error) : 0;
}

int seki_network_gradients(struct seki_network *network, const struct seki_batch *batch,
                           double auxiliary_weight, const struct seki_drop_path *drop_path,
                           struct seki_batch_result *result, struct seki_error *error)
{
    struct pass_kind kind = {.pass = PASS_GRADIENTS, .auxiliary_weight = (float)auxiliary_weight};
    if (!result)
        SEKI_BUG("gradients without a result");
    return train(network, batch, &kind, drop_path, result, error);
}

int seki_network_step(struct seki_network *network, const struct seki_batch *batch,
                      double auxiliary_weight, const struct seki_drop_path *drop_path,
                      const struct seki_sgd *sgd, struct seki_batch_result *result,
                      struct seki_error *error)
{
    struct pass_kind kind = {
        .pass = PASS_STEP, .auxiliary_weight = (float)auxiliary_weight, .sgd = *sgd};
    return train(network, batch, &kind, drop_path, result, error);
}

int seki_network_evaluate(struct seki_network *network, const struct seki_batch *batch,
                          enum seki_mode mode, float *logits, struct seki_batch_result *result,
                          struct seki_error *error)
{
    const struct pass_kind kind = {.pass = PASS_FORWARD};
    if (seki_compute_batch(network, batch, mode, error) < 0 ||
        seki_run_pass(network, &kind, error) < 0 ||
        seki_compute_loss(network, network->program.logits, 1, false, TALLY_NOW, error) < 0 ||
        seki_compute_results(network, TALLY_NOW, 1, result, error) < 0)
        return -1;
    if (!logits)
        return 0;
    struct seki_window all = window(network, network->program.logits, false, 0, 1);
    return network->backend->ops->tensor_read(network->backend, logits, &all, batch->images, error);
}

/* engine_network.c - a network's step as a piece of work: training, scoring, inference. The step is
 * that of lib/training without its pictures: select, gradients, clip, SGD. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"
#include "network/network.h"

#define CLASSES 10
#define SIDE    32 /* CIFAR-10's pictures, 3 x 32 x 32 */

struct network_work {
    const struct bench_options *options;
    struct seki_network *network;
    struct seki_genotype *genotypes;
    float *pictures;
    float *momenta, *rate; /* the backend's memory */
    int32_t *labels;
    enum seki_mode mode;
    uint64_t steps;
};

static void network_close(void *state)
{
    struct network_work *work = state;
    if (work->network) {
        struct seki_backend *backend = seki_network_backend(work->network);
        backend->ops->release(backend, work->momenta);
        backend->ops->release(backend, work->rate);
    }
    seki_network_close(work->network);
    free(work->genotypes);
    free(work->pictures);
    free(work->labels);
    free(work);
}

static int network_wait(void *state, struct seki_error *error)
{
    struct network_work *work = state;
    struct seki_tally tallies[SEKI_MAX_PENDING];
    int count = seki_network_pending(work->network);
    if (seki_network_collect(work->network, tallies, error) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (!isfinite(tallies[i].loss))
            return seki_fail(error, SEKI_BAD_INPUT, "diverged", "the loss is not finite");
    return 0;
}

static int network_run(void *state, int item, struct seki_error *error)
{
    struct network_work *work = state;
    const struct bench_options *o = work->options;
    struct seki_batch batch = {
        .images = (int)o->batch, .pictures = work->pictures, .labels = work->labels};
    struct seki_batch_result result;
    if (o->supernet && seki_network_select(work->network, &work->genotypes[item], error) < 0)
        return -1;
    if (work->mode != SEKI_MODE_TRAIN)
        return seki_network_evaluate(work->network, &batch, work->mode, NULL, &result, error);
    struct seki_drop_path drop_path = {o->drop_path, 0, work->steps++};
    if (seki_network_pending(work->network) == SEKI_MAX_PENDING && network_wait(work, error) < 0)
        return -1;
    const struct seki_sgd sgd = {.momenta = work->momenta,
                                 .rate = work->rate,
                                 .momentum = 0.9f,
                                 .decay = (float)o->decay,
                                 .nesterov = o->nesterov,
                                 .clip = o->clip};
    return seki_network_step(work->network, &batch, o->auxiliary,
                             o->drop_path > 0 ? &drop_path : NULL, &sgd, NULL, error);
}

static int read_genotypes(struct work *all, struct network_work *work,
                          const struct seki_network_config *config, char **lines,
                          struct seki_error *error)
{
    work->genotypes = seki_allocate((size_t)all->count, sizeof *work->genotypes, error);
    if (!work->genotypes)
        return -1;
    for (int i = 0; i < all->count; i++) {
        struct seki_cost cost;
        if (seki_genotype_parse(lines[i], SEKI_LAX, &work->genotypes[i], error) < 0 ||
            seki_network_cost(config, &work->genotypes[i], &cost, error) < 0)
            return seki_fail_within(error, "%s:%d", work->options->items, i + 1);
        all->macs[i] = cost.macs;
    }
    return 0;
}

static int make_batch(struct network_work *work, struct seki_error *error)
{
    size_t images = (size_t)work->options->batch;
    work->pictures = bench_noise(images * 3 * SIDE * SIDE, 1, error);
    work->labels = seki_allocate(images, sizeof *work->labels, error);
    if (!work->pictures || !work->labels)
        return -1;
    for (size_t i = 0; i < images; i++)
        work->labels[i] = (int32_t)(i % CLASSES);
    return 0;
}

static int open_network(struct network_work *work, struct seki_backend *backend,
                        const struct seki_network_config *config, struct seki_error *error)
{
    const struct bench_options *o = work->options;
    work->network = seki_network_open(backend, config, o->supernet ? NULL : work->genotypes, error);
    if (!work->network || seki_network_initialise(work->network, 0, error) < 0 ||
        seki_network_prepare(work->network, (int)o->batch, work->mode, error) < 0)
        return -1;
    if (work->mode != SEKI_MODE_TRAIN)
        return 0;
    size_t count;
    seki_network_parameters(work->network, &count);
    const float rate = (float)o->rate;
    work->momenta = backend->ops->memory(backend, count * sizeof *work->momenta, error);
    if (!work->momenta)
        return -1;
    work->rate = backend->ops->memory(backend, sizeof *work->rate, error);
    if (!work->rate)
        return -1;
    return backend->ops->write(backend, work->rate, &rate, sizeof rate, error);
}

int bench_network_open(struct work *all, struct seki_backend *backend,
                       const struct bench_options *options, char **lines, struct seki_error *error)
{
    struct seki_network_config config = {.channels = (int)options->channels,
                                         .layers = (int)options->layers,
                                         .classes = CLASSES,
                                         .image_channels = 3,
                                         .image_height = SIDE,
                                         .image_width = SIDE,
                                         .auxiliary = options->auxiliary > 0};
    if (!options->supernet && all->count > 1)
        return seki_fail(error, SEKI_BAD_USE, "items", "a final network has one genotype, not %d",
                         all->count);
    if (seki_space_parse(options->space, &config.space, error) < 0)
        return -1;
    struct network_work *work = seki_allocate(1, sizeof *work, error);
    if (!work)
        return -1;
    work->options = options;
    work->mode = strcmp(options->work, "train") == 0   ? SEKI_MODE_TRAIN
                 : strcmp(options->work, "score") == 0 ? SEKI_MODE_SCORE
                                                       : SEKI_MODE_INFER;
    all->state = work;
    all->run = network_run;
    all->wait = network_wait;
    all->close = network_close;
    if (read_genotypes(all, work, &config, lines, error) < 0 || make_batch(work, error) < 0 ||
        open_network(work, backend, &config, error) < 0) {
        network_close(work);
        return -1;
    }
    return 0;
}

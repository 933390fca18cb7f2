/* optimiser.c - SGD with momentum over the parameters that a step touches. */
#include "training/training_internal.h"

#include <math.h>
#include <stdlib.h>

struct seki_optimiser {
    struct seki_network *network;
    float *momenta; /* the backend's memory, as the network's parameters */
    float *rate;    /* the backend's memory */
    float known;    /* what *rate is; NAN: nothing yet */
};

struct seki_optimiser *seki_optimiser_open(struct seki_network *network, struct seki_error *error)
{
    struct seki_optimiser *optimiser = seki_allocate(1, sizeof *optimiser, error);
    if (!optimiser)
        return NULL;
    struct seki_backend *backend = seki_network_backend(network);
    size_t count;
    seki_network_parameters(network, &count);
    optimiser->network = network;
    optimiser->known = NAN;
    optimiser->momenta = backend->ops->memory(backend, count * sizeof(float), error);
    if (optimiser->momenta)
        optimiser->rate = backend->ops->memory(backend, sizeof *optimiser->rate, error);
    if (!optimiser->rate) {
        seki_optimiser_close(optimiser);
        return NULL;
    }
    return optimiser;
}

void seki_optimiser_close(struct seki_optimiser *optimiser)
{
    if (!optimiser)
        return;
    struct seki_backend *backend = seki_network_backend(optimiser->network);
    backend->ops->release(backend, optimiser->momenta);
    backend->ops->release(backend, optimiser->rate);
    free(optimiser);
}

float *seki_optimiser_momenta(struct seki_optimiser *optimiser)
{
    return optimiser->momenta;
}

static int put_rate(struct seki_optimiser *optimiser, float rate, struct seki_error *error)
{
    struct seki_backend *backend = seki_network_backend(optimiser->network);
    if (rate == optimiser->known)
        return 0;
    if (backend->ops->write(backend, optimiser->rate, &rate, sizeof rate, error) < 0)
        return -1;
    optimiser->known = rate;
    return 0;
}

int seki_optimiser_step(struct seki_optimiser *optimiser, const struct seki_batch *batch,
                        const struct seki_recipe *recipe, double rate,
                        const struct seki_drop_path *drop_path, struct seki_batch_result *result,
                        struct seki_error *error)
{
    const struct seki_sgd sgd = {.momenta = optimiser->momenta,
                                 .rate = optimiser->rate,
                                 .momentum = (float)recipe->momentum,
                                 .decay = (float)recipe->decay,
                                 .nesterov = recipe->nesterov,
                                 .clip = recipe->clip};
    if (put_rate(optimiser, (float)rate, error) < 0)
        return -1;
    return seki_network_step(optimiser->network, batch, recipe->auxiliary, drop_path, &sgd, result,
                             error);
}

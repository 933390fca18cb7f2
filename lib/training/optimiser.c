/* optimiser.c - SGD with momentum over the parameters that a step has touched. */
#include "training/training_internal.h"

#include <stdlib.h>

struct seki_optimiser {
    struct seki_network *network;
    float *momenta; /* the backend's memory, as the network's parameters */
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
    optimiser->momenta = backend->ops->memory(backend, count * sizeof(float), error);
    if (!optimiser->momenta) {
        free(optimiser);
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
    free(optimiser);
}

float *seki_optimiser_momenta(struct seki_optimiser *optimiser)
{
    return optimiser->momenta;
}

int seki_optimiser_step(struct seki_optimiser *optimiser, const struct seki_recipe *recipe,
                        double rate, double *norm, struct seki_error *error)
{
    struct seki_network *network = optimiser->network;
    struct seki_backend *backend = seki_network_backend(network);
    struct seki_tally tally;
    size_t all;
    struct seki_sgd_call call = {.weights = seki_network_parameters(network, &all),
                                 .gradients = seki_network_gradient_array(network),
                                 .momenta = optimiser->momenta,
                                 .rate = (float)rate,
                                 .momentum = (float)recipe->momentum,
                                 .decay = (float)recipe->decay,
                                 .nesterov = recipe->nesterov,
                                 .clip = recipe->clip,
                                 .tally = seki_network_tally(network)};
    call.ranges = seki_network_active(network, &call.count);
    if (backend->ops->sgd(backend, &call, error) < 0)
        return -1;
    if (!norm)
        return 0;
    if (backend->ops->read(backend, &tally, call.tally, sizeof tally, error) < 0)
        return -1;
    *norm = tally.norm;
    return 0;
}

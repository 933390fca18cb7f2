/* optimiser.c - SGD with momentum over the parameters that a step has touched. */
#include "training/training_internal.h"

#include <math.h>
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

double seki_optimiser_step(struct seki_optimiser *optimiser, const struct seki_recipe *recipe,
                           double rate)
{
    struct seki_network *network = optimiser->network;
    struct seki_backend *backend = seki_network_backend(network);
    float *gradients = seki_network_gradient_array(network);
    int count;
    const struct seki_range *active = seki_network_active(network, &count);
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += backend->ops->square_sum(backend, gradients + active[i].offset, active[i].count);
    double norm = sqrt(sum);
    double scale =
        recipe->clip > 0 && norm + 1e-6 > recipe->clip ? recipe->clip / (norm + 1e-6) : 1;
    struct seki_sgd sgd = {(float)rate, (float)recipe->momentum, (float)recipe->decay, (float)scale,
                           recipe->nesterov};
    size_t all;
    float *parameters = seki_network_parameters(network, &all);
    for (int i = 0; i < count; i++)
        backend->ops->sgd(backend, parameters + active[i].offset, gradients + active[i].offset,
                          optimiser->momenta + active[i].offset, active[i].count, &sgd);
    return norm;
}

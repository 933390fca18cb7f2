/*
 * sgd.c - the optimiser's step, and the norm that gradient clipping needs.
 */
#include "nn/ref/ref_internal.h"

double seki_ref_square_sum(struct seki_backend *backend, const float *values, size_t count)
{
    double sum = 0.0;

    (void)backend;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sum;
}

void seki_ref_sgd(struct seki_backend *backend, float *weights, const float *gradients,
                  float *momenta, size_t count, const struct seki_sgd *sgd)
{
    (void)backend;
    for (size_t i = 0; i < count; i++) {
        float gradient = sgd->scale * gradients[i] + sgd->decay * weights[i];

        momenta[i] = sgd->momentum * momenta[i] + gradient;
        float step = sgd->nesterov ? gradient + sgd->momentum * momenta[i] : momenta[i];

        weights[i] -= sgd->rate * step;
    }
}

/*
 * sgd.c - the optimiser's step, and the norm that gradient clipping needs.
 */
#include "nn/ref/ref_internal.h"

static double square_sum(struct seki_backend *backend, const float *values, size_t count)
{
    double sum = 0.0;

    (void)backend;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sum;
}

static void sgd(struct seki_backend *backend, float *weights, const float *gradients,
                float *momenta, size_t count, const struct seki_sgd_factors *s)
{
    (void)backend;
    for (size_t i = 0; i < count; i++) {
        float gradient = s->scale * gradients[i] + s->decay * weights[i];

        momenta[i] = s->momentum * momenta[i] + gradient;
        float step = s->nesterov ? gradient + s->momentum * momenta[i] : momenta[i];

        weights[i] -= s->rate * step;
    }
}

int seki_ref_sgd(struct seki_backend *backend, const struct seki_sgd_call *call,
                 struct seki_error *error)
{
    static const struct seki_sgd_parts parts = {square_sum, sgd};

    (void)error;
    seki_sgd_on_host(backend, call, &parts);
    return 0;
}

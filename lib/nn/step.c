/*
 * step.c - the optimiser's step of backends whose memory is the host's.
 */
#include <math.h>
#include <string.h>

#include "nn/nn_internal.h"

void seki_clear_on_host(float *array, const struct seki_range *ranges, int count)
{
    for (int i = 0; i < count; i++)
        memset(array + ranges[i].offset, 0, ranges[i].count * sizeof *array);
}

void seki_sgd_on_host(struct seki_backend *backend, const struct seki_sgd_call *call,
                      const struct seki_sgd_parts *parts)
{
    const struct seki_sgd *how = &call->sgd;
    struct seki_sgd_factors sgd = {*how->rate, how->momentum, how->decay, 1.0f, how->nesterov};
    double sum = 0.0;

    for (int i = 0; i < call->count; i++)
        sum += parts->square_sum(backend, call->gradients + call->ranges[i].offset,
                                 call->ranges[i].count);
    const double norm = sqrt(sum);

    /* The 1e-6 is clip_grad_norm_'s. */
    if (how->clip > 0.0 && norm + 1e-6 > how->clip)
        sgd.scale = (float)(how->clip / (norm + 1e-6));
    for (int i = 0; i < call->count; i++) {
        const size_t offset = call->ranges[i].offset;

        parts->sgd(backend, call->weights + offset, call->gradients + offset, how->momenta + offset,
                   call->ranges[i].count, &sgd);
    }
    call->tally->norm = norm;
}

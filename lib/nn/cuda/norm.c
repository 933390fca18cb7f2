/*
 * norm.c - batch normalisation between kernels: where its moments and sums lie, and which kernel
 * finds them.
 */
#include "nn/cuda/cuda_internal.h"

struct cuda_norm seki_cuda_norm_take(struct cuda_work *work, int repeat, int first, int channels,
                                     long long count, int blocks, int gradient_blocks)
{
    const size_t width = (size_t)channels;
    struct cuda_norm norm = {
        .repeat = repeat, .first = first, .channels = channels, .count = count};

    norm.coefficients = seki_cuda_take(cuda_kept(work), width, sizeof *norm.coefficients);
    norm.partial = seki_cuda_take(&work->scratch, (size_t)blocks * width, sizeof *norm.partial);
    if (!work->train)
        return norm;
    norm.means = seki_cuda_take(&work->scratch, width, sizeof *norm.means);
    norm.partial_means =
        seki_cuda_take(&work->scratch, (size_t)gradient_blocks * width, sizeof *norm.partial_means);
    return norm;
}

/* From the norm's first channel on. */
static const float *from_first(const struct cuda_norm *norm, const float *values)
{
    return values != NULL ? values + norm->first : NULL;
}

static float *to_first(const struct cuda_norm *norm, float *values)
{
    return values != NULL ? values + norm->first : NULL;
}

static struct cuda_moments moments(const struct seki_block *block, const struct cuda_work *work,
                                   const struct cuda_norm *norm)
{
    return (struct cuda_moments){
        .partial = norm->partial,
        .counters = block->backend->counters,
        .channels = norm->channels,
        .count = norm->count,
        .epsilon = SEKI_NORM_EPSILON,
        .momentum = SEKI_NORM_MOMENTUM,
        .scale = from_first(norm, seki_cuda_parameter(block, work, SEKI_SCALE, norm->repeat)),
        .shift = from_first(norm, seki_cuda_parameter(block, work, SEKI_SHIFT, norm->repeat)),
        .coefficients = norm->coefficients,
    };
}

static void add_running(const struct seki_block *block, const struct cuda_work *work,
                        const struct cuda_norm *norm, struct cuda_moments *moments)
{
    moments->running_mean =
        to_first(norm, seki_cuda_statistic(block, work, SEKI_RUNNING_MEAN, norm->repeat));
    moments->running_variance =
        to_first(norm, seki_cuda_statistic(block, work, SEKI_RUNNING_VARIANCE, norm->repeat));
}

struct cuda_moments seki_cuda_norm_moments(const struct seki_block *block,
                                           const struct cuda_work *work,
                                           const struct cuda_norm *norm)
{
    struct cuda_moments m = moments(block, work, norm);

    if (work->call->mode == SEKI_MODE_INFER)
        return (struct cuda_moments){0};
    if (work->train)
        add_running(block, work, norm, &m);
    return m;
}

cudaError_t seki_cuda_norm_infer(const struct seki_block *block, const struct cuda_work *work,
                                 const struct cuda_norm *norm)
{
    struct cuda_moments m = moments(block, work, norm);

    if (work->call->mode != SEKI_MODE_INFER)
        return cudaSuccess;
    add_running(block, work, norm, &m);
    return seki_cuda_infer(&block->backend->queue, &m);
}

struct cuda_gradient_sums seki_cuda_norm_sums(const struct seki_block *block,
                                              const struct cuda_work *work,
                                              const struct cuda_norm *norm)
{
    return (struct cuda_gradient_sums){
        .partial = norm->partial_means,
        .counters = block->backend->counters,
        .channels = norm->channels,
        .count = norm->count,
        .dscale = to_first(norm, seki_cuda_gradient(block, work, SEKI_SCALE, norm->repeat)),
        .dshift = to_first(norm, seki_cuda_gradient(block, work, SEKI_SHIFT, norm->repeat)),
        .means = norm->means,
    };
}

cudaError_t seki_cuda_find_means(const struct seki_block *block, const struct cuda_work *work,
                                 const struct cuda_norm *norm, struct cuda_gradient *gradient)
{
    const struct cuda_unmap call = {.images = work->images,
                                    .channels = norm->channels,
                                    .gradient = *gradient,
                                    .sums = seki_cuda_norm_sums(block, work, norm)};

    gradient->means = norm->means;
    return seki_cuda_gradient_means(&block->backend->queue, block->backend->type, &call);
}

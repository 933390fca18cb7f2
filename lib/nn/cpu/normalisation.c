/*
 * normalisation.c - batch normalisation (Ioffe, Szegedy 2015, arXiv 1502.03167): the batch's
 * moments, the coefficients that follow, the gradients.
 */
#include "nn/cpu/cpu_internal.h"

#include <math.h>

struct cpu_norm_state seki_cpu_norm_take(struct cpu_arena *arena, int channels)
{
    const size_t count = (size_t)channels;

    return (struct cpu_norm_state){
        .mean = seki_cpu_take_floats(arena, count),
        .scale = seki_cpu_take_floats(arena, count),
        .shift = seki_cpu_take_floats(arena, count),
        .inverse = seki_cpu_take_floats(arena, count),
    };
}

struct cpu_norm_parameters seki_cpu_norm_parameters(const struct seki_block *block,
                                                    const struct seki_block_call *call, int repeat,
                                                    int first)
{
    struct cpu_norm_parameters p = {
        .running_mean = seki_cpu_statistic(block, call, SEKI_RUNNING_MEAN, repeat) + first,
        .running_variance = seki_cpu_statistic(block, call, SEKI_RUNNING_VARIANCE, repeat) + first,
    };

    if (block->spec.affine) {
        p.scale = seki_cpu_parameter(block, call, SEKI_SCALE, repeat) + first;
        p.shift = seki_cpu_parameter(block, call, SEKI_SHIFT, repeat) + first;
        if (call->gradients != NULL) {
            p.dscale = seki_cpu_gradient(block, call, SEKI_SCALE, repeat) + first;
            p.dshift = seki_cpu_gradient(block, call, SEKI_SHIFT, repeat) + first;
        }
    }
    return p;
}

/* Doubles between the sums of two parts. */
static size_t sums_stride(int channels)
{
    return (3 * (size_t)channels + 63) / 64 * 64 + CPU_APART / sizeof(double);
}

/* Sums of all parts, then offset and slope of backward. */
struct scratch {
    double *sums;
    float *offset, *slope;
};

static struct scratch take_scratch(struct cpu_arena *arena, const struct cpu_backend *backend,
                                   int channels)
{
    const size_t sums = (size_t)backend->base.threads * sums_stride(channels);

    return (struct scratch){
        .sums = seki_cpu_take(arena, sums * sizeof(double)),
        .offset = seki_cpu_take_floats(arena, (size_t)channels),
        .slope = seki_cpu_take_floats(arena, (size_t)channels),
    };
}

void *seki_cpu_norm_scratch(struct cpu_arena *arena, const struct cpu_backend *backend,
                            int channels)
{
    char *base = arena->base != NULL ? arena->base + arena->used : NULL;

    take_scratch(arena, backend, channels);
    return base;
}

struct moments {
    double mean, variance;
};

/* Channel c's moments from those of all parts (Chan, Golub, LeVeque 1983). */
static struct moments merged(const struct cpu_norm *norm, int parts, int c)
{
    double mean = 0, squares = 0, seen = 0;

    for (int part = 0; part < parts; part++) {
        const double *sums = norm->sums + (size_t)part * norm->sums_stride;
        double n = sums[2 * norm->channels], delta = sums[c] - mean;
        if (n == 0)
            continue;
        mean += delta * n / (seen + n);
        squares += sums[norm->channels + c] + delta * delta * seen * n / (seen + n);
        seen += n;
    }
    return (struct moments){mean, squares / seen};
}

/* running = 0.9 running + 0.1 batch. The variance is of the sample; a single value has none. */
static void update_running(const struct cpu_norm_parameters *p, int c, size_t pixels,
                           const struct moments *batch)
{
    const double momentum = (double)SEKI_NORM_MOMENTUM, n = (double)pixels;
    double variance = n > 1 ? batch->variance * n / (n - 1) : batch->variance;

    p->running_mean[c] =
        (float)((1 - momentum) * (double)p->running_mean[c] + momentum * batch->mean);
    p->running_variance[c] =
        (float)((1 - momentum) * (double)p->running_variance[c] + momentum * variance);
}

static void set_coefficients(const struct cpu_norm_parameters *parameters, int c,
                             const struct moments *m, const struct cpu_norm_state *state)
{
    const double inverse = 1 / sqrt(m->variance + (double)SEKI_NORM_EPSILON);

    state->mean[c] = (float)m->mean;
    state->inverse[c] = (float)inverse;
    state->scale[c] =
        (float)(parameters->scale != NULL ? (double)parameters->scale[c] * inverse : inverse);
    state->shift[c] = parameters->shift != NULL ? parameters->shift[c] : 0;
}

void seki_cpu_norm_attach(const struct cpu_backend *backend, struct cpu_norm *norm,
                          const struct cpu_norm_state *state, void *scratch)
{
    struct cpu_arena arena = {scratch, 0};
    struct scratch own = take_scratch(&arena, backend, norm->channels);

    norm->sums = own.sums;
    norm->sums_stride = sums_stride(norm->channels);
    norm->offset = own.offset;
    norm->slope = own.slope;
    norm->mean = state->mean;
    norm->scale = state->scale;
    norm->shift = state->shift;
}

static void start(const struct cpu_backend *backend, struct cpu_norm *norm,
                  const struct cpu_norm_parameters *parameters, enum seki_mode mode,
                  const struct cpu_norm_state *state, void *scratch)
{
    seki_cpu_norm_attach(backend, norm, state, scratch);
    norm->known = mode == SEKI_MODE_INFER;
    for (int c = 0; norm->known && c < norm->channels; c++) {
        struct moments m = {parameters->running_mean[c], parameters->running_variance[c]};
        set_coefficients(parameters, c, &m, state);
    }
}

static void finish(const struct cpu_backend *backend, const struct cpu_norm *norm,
                   const struct cpu_norm_parameters *parameters, enum seki_mode mode,
                   const struct cpu_norm_state *state)
{
    for (int c = 0; !norm->known && c < norm->channels; c++) {
        struct moments m = merged(norm, backend->base.threads, c);
        if (mode == SEKI_MODE_TRAIN)
            update_running(parameters, c, (size_t)norm->images * norm->pixels, &m);
        set_coefficients(parameters, c, &m, state);
    }
}

void seki_cpu_norm_forward(const struct cpu_backend *backend, struct cpu_norm *norm,
                           const struct cpu_norm_parameters *parameters, enum seki_mode mode,
                           const struct cpu_norm_state *state, void *scratch, cpu_kernel *kernel,
                           const void *work)
{
    start(backend, norm, parameters, mode, state, scratch);
    seki_cpu_parallel(backend, kernel, work);
    if (norm->known)
        return;
    finish(backend, norm, parameters, mode, state);
    if (norm->y.data != NULL)
        seki_cpu_parallel(backend, backend->kernels->normalise, norm);
}

void seki_cpu_norm_coefficients(const struct cpu_backend *backend, struct cpu_norm *norm,
                                const struct cpu_norm_parameters *parameters, enum seki_mode mode,
                                const struct cpu_norm_state *state, void *scratch)
{
    start(backend, norm, parameters, mode, state, scratch);
    if (!norm->known)
        seki_cpu_parallel(backend, backend->kernels->moments, norm);
    finish(backend, norm, parameters, mode, state);
}

/*
 * With xhat = (z - mean) * inverse over n values of a channel (the paper, section 3):
 *   dshift = sum g,  dscale = sum g xhat,
 *   dz = scale * (g - dshift / n - xhat * dscale / n), `scale` having 1 / deviation in it.
 */
void seki_cpu_norm_gradients(const struct cpu_backend *backend, const struct cpu_norm *norm,
                             const struct cpu_norm_parameters *parameters,
                             const struct cpu_norm_state *state)
{
    const double n = (double)norm->images * (double)norm->pixels;

    for (int c = 0; c < norm->channels; c++) {
        double sum = 0, products = 0, inverse = (double)state->inverse[c];
        for (int part = 0; part < backend->base.threads; part++) {
            const double *sums = norm->sums + (size_t)part * norm->sums_stride;
            sum += sums[c];
            products += sums[norm->channels + c];
        }
        products *= inverse;
        if (parameters->dscale != NULL) {
            parameters->dscale[c] += (float)products;
            parameters->dshift[c] += (float)sum;
        }
        /* dz is 0 and not the rounding of its terms; z - mean, which `scale` multiplies too, is. */
        if (n == 1)
            state->scale[c] = 0;
        norm->offset[c] = (float)((double)state->scale[c] * sum / n);
        norm->slope[c] = (float)((double)state->scale[c] * inverse * products / n);
    }
}

void seki_cpu_norm_sums(const struct cpu_backend *backend, struct cpu_norm *norm,
                        const struct cpu_norm_parameters *parameters,
                        const struct cpu_norm_state *state, void *scratch)
{
    seki_cpu_norm_attach(backend, norm, state, scratch);
    seki_cpu_parallel(backend, backend->kernels->norm_sums, norm);
    seki_cpu_norm_gradients(backend, norm, parameters, state);
}

void seki_cpu_norm_backward(const struct cpu_backend *backend, struct cpu_norm *norm,
                            const struct cpu_norm_parameters *parameters,
                            const struct cpu_norm_state *state, void *scratch)
{
    seki_cpu_norm_sums(backend, norm, parameters, state, scratch);
    if (norm->dz.data != NULL)
        seki_cpu_parallel(backend, backend->kernels->norm_backward, norm);
}

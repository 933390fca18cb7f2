/*
 * optimiser.c - what is done to parameters and gradients as plain arrays.
 */
#include "nn/cpu/cpu_internal.h"

/* Shorter arrays are not worth waking threads for. */
#define SHORT ((size_t)16384)

struct array_call {
    const struct cpu_kernels *kernels;
    float *weights, *momenta;
    const float *values;
    size_t count;
    const struct seki_sgd_factors *sgd;
    double *sums; /* one a part */
};

enum { MAX_PARTS = 1024 };

static void square_sum_part(const void *call, int part, int parts)
{
    const struct array_call *a = call;
    const size_t first = cpu_first(a->count, part, parts);

    a->sums[part] =
        a->kernels->square_sum(a->values + first, cpu_first(a->count, part + 1, parts) - first);
}

static double square_sum(struct seki_backend *backend, const float *values, size_t count)
{
    double sums[MAX_PARTS], sum = 0;
    struct array_call call = {
        .kernels = cpu_backend(backend)->kernels, .values = values, .count = count, .sums = sums};

    if (count < SHORT || backend->threads > MAX_PARTS)
        return call.kernels->square_sum(values, count);
    seki_cpu_parallel(cpu_backend(backend), square_sum_part, &call);
    for (int part = 0; part < backend->threads; part++)
        sum += sums[part];
    return sum;
}

static void sgd_part(const void *call, int part, int parts)
{
    const struct array_call *a = call;
    const size_t first = cpu_first(a->count, part, parts);

    a->kernels->sgd(a->weights + first, a->values + first, a->momenta + first,
                    cpu_first(a->count, part + 1, parts) - first, a->sgd);
}

static void sgd(struct seki_backend *backend, float *weights, const float *gradients,
                float *momenta, size_t count, const struct seki_sgd_factors *s)
{
    const struct array_call call = {.kernels = cpu_backend(backend)->kernels,
                                    .weights = weights,
                                    .momenta = momenta,
                                    .values = gradients,
                                    .count = count,
                                    .sgd = s};

    if (count < SHORT)
        sgd_part(&call, 0, 1);
    else
        seki_cpu_parallel(cpu_backend(backend), sgd_part, &call);
}

int seki_cpu_sgd(struct seki_backend *backend, const struct seki_sgd_call *call,
                 struct seki_error *error)
{
    static const struct seki_sgd_parts parts = {square_sum, sgd};

    (void)error;
    seki_sgd_on_host(backend, call, &parts);
    return 0;
}

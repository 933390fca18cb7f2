/*
 * dense.c - dense convolutions of stride 1 with the normalisation behind them: scratch, the
 * weights' panels, the sum of the parts' dW. The work itself is in set_dense.h.
 */
#include "nn/cpu/cpu_internal.h"

static size_t taps_of(const struct cpu_dense *d)
{
    return (size_t)d->kernel_height * (size_t)d->kernel_width;
}

static size_t weight_floats(const struct cpu_dense *d)
{
    return taps_of(d) * (size_t)d->in_channels * cpu_panel(d->out_channels);
}

static size_t workspace_floats(const struct cpu_dense *d, bool train, bool bf16)
{
    const size_t x = (size_t)(d->height + 2 * d->padding_height) *
                     (size_t)(d->width + 2 * d->padding_width) * cpu_even(d->in_channels);
    const size_t dz = (size_t)(d->out_height + 2 * (d->kernel_height - 1 - d->padding_height)) *
                      (size_t)(d->out_width + 2 * (d->kernel_width - 1 - d->padding_width)) *
                      cpu_panel(d->out_channels);

    /* Units of two pixels: of x twice, of dz; a last pixel of a row has a unit of its own. */
    const size_t units = 3 * SEKI_CPU_LANES + x / 2 + dz / 2 +
                         (size_t)(d->height + 2 * d->padding_height) * cpu_even(d->in_channels) +
                         (size_t)d->out_height * cpu_panel(d->out_channels);

    return cpu_whole_vectors(x) + cpu_dense_tile(d) +
           (train ? cpu_whole_vectors(dz) + weight_floats(d) + (bf16 ? units : 0) : 0);
}

void seki_cpu_dense_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                         struct cpu_dense *d)
{
    const size_t parts = (size_t)backend->base.threads, weights = weight_floats(d);

    d->workspace_bytes =
        (workspace_floats(d, train, backend->kernels->element < sizeof(float)) * sizeof(float) +
         63) /
            64 * 64 +
        CPU_APART;
    d->workspace = seki_cpu_take(arena, parts * d->workspace_bytes);
    d->weights = seki_cpu_take_floats(arena, weights);
    if (!train)
        return;
    d->back_weights = seki_cpu_take_floats(arena, taps_of(d) * (size_t)d->out_channels *
                                                      cpu_panel(d->in_channels));
    d->sums_stride = weights + CPU_APART / sizeof(double);
    d->sums = seki_cpu_take(arena, parts * d->sums_stride * sizeof(double));
}

void seki_cpu_dense_pack(const struct cpu_backend *backend, const struct cpu_dense *d,
                         const float *weights)
{
    const ptrdiff_t taps = (ptrdiff_t)taps_of(d);
    const struct cpu_pack forward = {.from = weights,
                                     .to = d->weights,
                                     .taps = (int)taps,
                                     .rows = d->in_channels,
                                     .columns = d->out_channels,
                                     .tap = 1,
                                     .row = taps,
                                     .column = taps * d->in_channels};

    seki_cpu_pack(backend, &forward);
}

void seki_cpu_dense_pack_back(const struct cpu_backend *backend, const struct cpu_dense *d,
                              const float *weights)
{
    const ptrdiff_t taps = (ptrdiff_t)taps_of(d);
    const struct cpu_pack back = {.from = weights + taps - 1,
                                  .to = d->back_weights,
                                  .taps = (int)taps,
                                  .rows = d->out_channels,
                                  .columns = d->in_channels,
                                  .tap = -1,
                                  .row = taps * d->in_channels,
                                  .column = taps};

    seki_cpu_pack(backend, &back);
}

void seki_cpu_dense_gradient(const struct cpu_backend *backend, const struct cpu_dense *d,
                             float *dweights)
{
    const size_t taps = taps_of(d), in = (size_t)d->in_channels, out = (size_t)d->out_channels;
    const size_t panel = cpu_panel(d->out_channels);

    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t t = 0; t < taps; t++) {
                double sum = 0;
                for (size_t part = 0; part < (size_t)backend->base.threads; part++)
                    sum += d->sums[part * d->sums_stride + (t * in + i) * panel + o];
                dweights[(o * in + i) * taps + t] += (float)sum;
            }
}

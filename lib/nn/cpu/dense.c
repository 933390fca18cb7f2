/*
 * dense.c - dense convolutions with the normalisation behind them: scratch, the weights' panels,
 * the sum of the parts' dW. The work itself is in set_pointwise.h, set_separable.h and set_dense.h.
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

/* Floats that a part of a 1x1 convolution works in: see pointwise, backward_room, separable_room.
 */
static size_t pointwise_floats(const struct cpu_dense *d, bool train, size_t most)
{
    const size_t in = cpu_panel(d->in_channels), out = cpu_panel(d->out_channels);
    const size_t run = cpu_backward_run(d->out_channels), row = (run > most ? run : most) + 1;
    const size_t forward = cpu_forward_run(d->in_channels) * (in + out);
    const size_t alone = run * (out + 2 * CPU_BLOCK) + (run + 1) * (out + CPU_BLOCK);
    const size_t separable = row * (2 * out + in);
    const size_t backward = weight_floats(d) + (alone > separable ? alone : separable);

    return train && backward > forward ? backward : forward;
}

/* The same of a larger one: see dense_start. */
static size_t larger_floats(const struct cpu_dense *d, bool train, bool bf16)
{
    const size_t rows = (size_t)(d->height + 2 * d->padding_height);
    const size_t in = cpu_even(d->in_channels), out = cpu_panel(d->out_channels);
    const size_t x = rows * (size_t)(d->width + 2 * d->padding_width) * in;
    const size_t dz = (size_t)(d->out_height + 2 * (d->kernel_height - 1 - d->padding_height)) *
                      (size_t)(d->out_width + 2 * (d->kernel_width - 1 - d->padding_width)) * out;
    /* Units of two pixels: of x twice, of dz; a last pixel of a row has a unit of its own. */
    const size_t units =
        3 * SEKI_CPU_LANES + x / 2 + dz / 2 + rows * in + (size_t)d->out_height * out;

    return cpu_whole_vectors(x) + cpu_dense_tile(d) +
           (train ? cpu_whole_vectors(dz) + weight_floats(d) + (bf16 ? units : 0) : 0);
}

void seki_cpu_dense_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                         int row, struct cpu_dense *d)
{
    const bool bf16 = backend->kernels->element < sizeof(float);
    const size_t parts = (size_t)backend->base.threads, weights = weight_floats(d);
    const size_t floats =
        taps_of(d) == 1 ? pointwise_floats(d, train, (size_t)row) : larger_floats(d, train, bf16);

    d->workspace_bytes = (floats * sizeof(float) + 63) / 64 * 64 + CPU_APART;
    d->workspace = seki_cpu_take(arena, parts * d->workspace_bytes);
    d->weights = seki_cpu_take_floats(arena, weights);
    if (!train)
        return;
    d->back_weights = seki_cpu_take_floats(arena, taps_of(d) * (size_t)d->out_channels *
                                                      cpu_panel(d->in_channels));
    d->sums_stride = weights + CPU_APART / sizeof(double);
    d->sums = seki_cpu_take(arena, parts * d->sums_stride * sizeof(double));
}

/* Few weights are not worth waking the other threads. */
static void with_weights(const struct cpu_backend *backend, const struct cpu_dense *d,
                         cpu_kernel *work, const void *call)
{
    if (taps_of(d) * (size_t)d->in_channels * (size_t)d->out_channels < 4096)
        work(call, 0, 1);
    else
        seki_cpu_parallel(backend, work, call);
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

    with_weights(backend, d, backend->kernels->pack, &forward);
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

    with_weights(backend, d, backend->kernels->pack, &back);
}

struct gather {
    const struct cpu_dense *dense;
    float *dweights; /* (out, in, kH, kW) += */
    int parts;       /* whose sums there are */
};

static void gather_part(const void *call, int part, int parts)
{
    const struct gather *g = call;
    const struct cpu_dense *d = g->dense;
    const size_t taps = taps_of(d), in = (size_t)d->in_channels, out = (size_t)d->out_channels;
    const size_t panel = cpu_panel(d->out_channels), end = cpu_first(out, part + 1, parts);

    for (size_t o = cpu_first(out, part, parts); o < end; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t t = 0; t < taps; t++) {
                double sum = 0;
                for (size_t p = 0; p < (size_t)g->parts; p++)
                    sum += d->sums[p * d->sums_stride + (t * in + i) * panel + o];
                g->dweights[(o * in + i) * taps + t] += (float)sum;
            }
}

void seki_cpu_dense_gradient(const struct cpu_backend *backend, const struct cpu_dense *d,
                             float *dweights)
{
    const struct gather g = {d, dweights, backend->base.threads};

    with_weights(backend, d, gather_part, &g);
}

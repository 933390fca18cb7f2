/*
 * depthwise.c - depthwise convolutions: scratch, the weights' order, the sum of the parts' dW. The
 * work itself is in width_depthwise.h.
 */
#include "nn/cpu/cpu_internal.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Vectors that a part needs: see the heads of depthwise, depthwise_dx and depthwise_dw. */
static size_t workspace_vectors(const struct cpu_depthwise *d, bool train)
{
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;
    const size_t rows = (size_t)depthwise_ring_rows(d);
    const size_t in_row = (size_t)depthwise_row_length(d, d->out_width, d->stride_width);
    const size_t dy_row = (size_t)depthwise_row_length(d, d->width, 1);

    if (!train)
        return taps + rows * in_row;
    return taps + larger(in_row + (size_t)depthwise_run_rows(d) * in_row,
                         (size_t)d->width + rows * dy_row);
}

void seki_cpu_depthwise_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                             struct cpu_depthwise *d)
{
    const size_t parts = (size_t)backend->base.threads;
    const size_t weights = (size_t)d->kernel_height * (size_t)d->kernel_width * (size_t)d->channels;

    /* 512 bytes between threads: see sums_stride in normalisation.c. */
    d->workspace_bytes =
        (workspace_vectors(d, train) * SEKI_CPU_LANES * sizeof(float) + 63) / 64 * 64 + 512;
    d->workspace = seki_cpu_take(arena, parts * d->workspace_bytes);
    d->weights = seki_cpu_take_floats(arena, weights);
    d->flipped = seki_cpu_take_floats(arena, weights);
    d->sums_stride = (weights + 7) / 8 * 8 + 64;
    if (train)
        d->sums = seki_cpu_take(arena, parts * d->sums_stride * sizeof(double));
}

/* (C, kH * kW) → (kH * kW, C), the taps in reverse if `flip`. */
static void transpose(const struct cpu_depthwise *d, const float *weights, bool flip, float *to)
{
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;
    const size_t channels = (size_t)d->channels;

    for (size_t k = 0; k < taps; k++)
        for (size_t c = 0; c < channels; c++)
            to[k * channels + c] = weights[c * taps + (flip ? taps - 1 - k : k)];
}

void seki_cpu_depthwise_weights(const struct cpu_depthwise *d, const float *weights, bool backward)
{
    transpose(d, weights, backward, backward ? d->flipped : d->weights);
}

void seki_cpu_depthwise_gradient(const struct cpu_backend *backend, const struct cpu_depthwise *d,
                                 float *dweights)
{
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;
    const size_t channels = (size_t)d->channels;

    for (size_t c = 0; c < channels; c++) {
        for (size_t k = 0; k < taps; k++) {
            double sum = 0;
            for (size_t part = 0; part < (size_t)backend->base.threads; part++)
                sum += d->sums[part * d->sums_stride + k * channels + c];
            dweights[c * taps + k] += (float)sum;
        }
    }
}

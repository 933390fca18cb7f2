/*
 * depthwise.c - depthwise convolutions: scratch, the weights' order, the sum of the parts' dW. The
 * work itself is in set_depthwise.h.
 */
#include "nn/cpu/cpu_internal.h"

static size_t plane_floats(const struct plane_size *size, size_t panel)
{
    return (size_t)size->rows * (size_t)size->columns * panel;
}

/* Floats that a part needs: see depthwise_start. */
static size_t workspace_floats(const struct cpu_depthwise *d, bool train)
{
    const struct plane_size x = cpu_input_planes(d), dy = cpu_gradient_planes(d);
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;
    const size_t panel = cpu_panel(d->channels);
    const size_t y = (size_t)d->out_height * (size_t)d->out_width * panel;
    const size_t forward = taps * SEKI_CPU_LANES + y + plane_floats(&x, panel);

    return train ? forward + plane_floats(&dy, panel) + (size_t)d->width * SEKI_CPU_LANES : forward;
}

void seki_cpu_depthwise_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                             struct cpu_depthwise *d)
{
    const size_t parts = (size_t)backend->base.threads;
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;
    const size_t weights = taps * cpu_panel(d->channels);

    d->workspace_bytes = (workspace_floats(d, train) * sizeof(float) + 63) / 64 * 64 + CPU_APART;
    d->workspace = seki_cpu_take(arena, parts * d->workspace_bytes);
    d->weights = seki_cpu_take_floats(arena, weights);
    d->flipped = seki_cpu_take_floats(arena, weights);
    d->sums_stride = weights + CPU_APART / sizeof(double);
    if (train)
        d->sums = seki_cpu_take(arena, parts * d->sums_stride * sizeof(double));
}

/* (C, kH * kW) → (kH * kW, panel of C), the taps in reverse if `flip`. */
static void transpose(const struct cpu_depthwise *d, const float *weights, bool flip, float *to)
{
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;
    const size_t channels = (size_t)d->channels, panel = cpu_panel(d->channels);

    for (size_t k = 0; k < taps; k++)
        for (size_t c = 0; c < panel; c++)
            to[k * panel + c] = c < channels ? weights[c * taps + (flip ? taps - 1 - k : k)] : 0;
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

/*
 * pointwise.c - 1x1 convolutions with the normalisation behind them: scratch, the weights' panels,
 * the sum of the parts' dW. The work itself is in set_pointwise.h and set_separable.h.
 */
#include "nn/cpu/cpu_internal.h"

static size_t panel_count(int rows, int columns)
{
    return (size_t)rows * cpu_panel(columns);
}

/* Floats that a part works in. */
static size_t workspace_floats(const struct cpu_pointwise *w, bool train, size_t most)
{
    const size_t in = cpu_panel(w->in_channels), out = cpu_panel(w->out_channels);
    const size_t run = cpu_backward_run(w->out_channels), row = (run > most ? run : most) + 1;
    const size_t forward = cpu_forward_run(w->in_channels) * (in + out);
    const size_t alone = run * (out + 2 * CPU_BLOCK) + (run + 1) * (out + CPU_BLOCK);
    const size_t separable = row * (2 * out + in);
    const size_t backward =
        panel_count(w->in_channels, w->out_channels) + (alone > separable ? alone : separable);

    return train && backward > forward ? backward : forward;
}

void seki_cpu_pointwise_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                             int row, struct cpu_pointwise *w)
{
    const size_t parts = (size_t)backend->base.threads;
    const size_t forward = panel_count(w->in_channels, w->out_channels);

    w->workspace_bytes =
        (workspace_floats(w, train, (size_t)row) * sizeof(float) + 63) / 64 * 64 + CPU_APART;
    w->workspace = seki_cpu_take(arena, parts * w->workspace_bytes);
    w->weights = seki_cpu_take_floats(arena, forward);
    if (!train)
        return;
    w->back_weights = seki_cpu_take_floats(arena, panel_count(w->out_channels, w->in_channels));
    w->sums_stride = forward + CPU_APART / sizeof(double);
    w->sums = seki_cpu_take(arena, parts * w->sums_stride * sizeof(double));
}

void seki_cpu_pack(const struct cpu_backend *backend, const struct cpu_pack *pack)
{
    /* Few weights are not worth waking the other threads. */
    if (pack->taps * pack->rows * pack->columns < 4096)
        backend->kernels->pack(pack, 0, 1);
    else
        seki_cpu_parallel(backend, backend->kernels->pack, pack);
}

void seki_cpu_pointwise_pack(const struct cpu_backend *backend, const struct cpu_pointwise *w,
                             const float *weights)
{
    const struct cpu_pack forward = {.from = weights,
                                     .to = w->weights,
                                     .taps = 1,
                                     .rows = w->in_channels,
                                     .columns = w->out_channels,
                                     .row = 1,
                                     .column = w->in_channels};

    seki_cpu_pack(backend, &forward);
}

void seki_cpu_pointwise_pack_back(const struct cpu_backend *backend, const struct cpu_pointwise *w,
                                  const float *weights)
{
    const struct cpu_pack back = {.from = weights,
                                  .to = w->back_weights,
                                  .taps = 1,
                                  .rows = w->out_channels,
                                  .columns = w->in_channels,
                                  .row = w->in_channels,
                                  .column = 1};

    seki_cpu_pack(backend, &back);
}

struct gather {
    const struct cpu_pointwise *pointwise;
    float *dweights; /* (out, in) += */
    int parts;       /* whose sums there are */
};

static void gather_part(const void *call, int part, int parts)
{
    const struct gather *g = call;
    const struct cpu_pointwise *w = g->pointwise;
    const size_t in = (size_t)w->in_channels, out = (size_t)w->out_channels;
    const size_t panel = cpu_panel(w->out_channels), end = cpu_first(out, part + 1, parts);

    for (size_t o = cpu_first(out, part, parts); o < end; o++)
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (size_t p = 0; p < (size_t)g->parts; p++)
                sum += w->sums[p * w->sums_stride + i * panel + o];
            g->dweights[o * in + i] += (float)sum;
        }
}

void seki_cpu_pointwise_gradient(const struct cpu_backend *backend, const struct cpu_pointwise *w,
                                 float *dweights)
{
    const struct gather g = {w, dweights, backend->base.threads};

    if (w->in_channels * w->out_channels < 4096)
        gather_part(&g, 0, 1);
    else
        seki_cpu_parallel(backend, gather_part, &g);
}

/*
 * set_separable.h - template: depthwise and pointwise convolution, an image at a time: what the one
 * gives the other goes no further than the second cache. Backward computes it again, which costs
 * less than keeping it in memory would. Included once by kernel_set.h.
 */

/* The depthwise convolution's output of an image: a part's own, dense. */
static void depthwise_image(const struct cpu_depthwise *d, size_t image, float *y, char *workspace)
{
    EACH_WIDTH(d->channels, depthwise, d, (int)image, c, y + c, workspace);
}

static void separable(const void *call, int part, int parts)
{
    const struct cpu_separable *s = call;
    const struct cpu_depthwise *d = s->depthwise;
    const struct cpu_norm *m = s->pointwise->norm;
    char *own = d->workspace + (size_t)part * d->workspace_bytes;
    float *workspace =
        (float *)(s->pointwise->workspace + (size_t)part * s->pointwise->workspace_bytes);
    double *sums = m->sums + (size_t)part * m->sums_stride;
    const size_t first = cpu_first((size_t)d->images, part, parts);
    const size_t end = cpu_first((size_t)d->images, part + 1, parts);
    const size_t run = (size_t)cpu_forward_run(d->channels), channels = (size_t)d->channels;
    float *y = workspace, *tile = y + m->pixels * channels;

    for (size_t image = first; image < end; image++) {
        depthwise_image(d, image, y, own);
        for (size_t at = 0, count; at < m->pixels; at += count) {
            count = m->pixels - at < run ? m->pixels - at : run;
            forward_run(s->pointwise, y + at * channels, channels, image * m->pixels + at, count,
                        image == first && at == 0, tile, sums);
        }
    }
    if (!m->known)
        finish_moments(m, (end - first) * m->pixels, sums);
}

/* dW of the pointwise convolution, and the gradient of its input, which dd gets as a panel. */
static void separable_gradients(const struct cpu_pointwise *w, size_t image, const float *d,
                                float *dz, float *dd, struct weight_sums *sums)
{
    const size_t channels = (size_t)w->in_channels;
    const size_t out = cpu_panel(w->out_channels), in = cpu_panel(w->in_channels);
    const size_t pixels = w->norm->pixels, run = (size_t)cpu_backward_run(w->out_channels);

    for (size_t at = 0, count; at < pixels; at += count) {
        const size_t first = image * pixels + at;
        count = pixels - at < run ? pixels - at : run;
        gradient_run(w->norm, first, count, dz, out);
        transposed_product(d + at * channels, channels, dz, sums->few, (int)count, w->in_channels,
                           (int)(out / LANES));
        product(dz, out, w->back_weights, in, dd + at * in, in, (int)count, (size_t)w->out_channels,
                (int)(in / LANES));
        weight_sums_count(sums, count);
    }
}

static void separable_backward(const void *call, int part, int parts)
{
    const struct cpu_separable *s = call;
    const struct cpu_depthwise *d = s->depthwise;
    const struct cpu_pointwise *w = s->pointwise;
    char *own = d->workspace + (size_t)part * d->workspace_bytes;
    float *workspace = (float *)(w->workspace + (size_t)part * w->workspace_bytes);
    struct weight_sums sums =
        weight_sums_start(workspace, w->sums + (size_t)part * w->sums_stride,
                          (size_t)w->in_channels * cpu_panel(w->out_channels));
    float *dz = workspace + sums.count;
    float *dd = dz + (size_t)cpu_backward_run(w->out_channels) * cpu_panel(w->out_channels);
    float *y = dd + w->norm->pixels * cpu_panel(w->in_channels);
    const size_t end = cpu_first((size_t)d->images, part + 1, parts);

    depthwise_backward_start(d, part);
    for (size_t image = cpu_first((size_t)d->images, part, parts); image < end; image++) {
        depthwise_image(d, image, y, own);
        separable_gradients(w, image, y, dz, dd, &sums);
        depthwise_backward_image(d, (int)image, dd, part, own);
    }
    weight_sums_move(&sums);
}

/*
 * set_pointwise.h - template: 1x1 convolutions, forward and both gradients in one pass over memory.
 * Included once by kernel_set.h.
 *
 * The unit of work is a run of pixels, so short that all that is made of it stays in the nearest
 * cache: inputs through ReLU, the product with the weights, the sums for the normalisation behind;
 * backward the normalisation's gradient, dW's product, dX's product, ReLU's mask. Memory sees x, z,
 * dy once, and dx once.
 */

/* Consecutive pixels of a run whose inputs lie `step` apart. Of `count`, the last ones may have
 * none: they are outside. */
struct segment {
    size_t input, inside, count;
};

static struct segment segment_at(const struct cpu_pointwise *w, size_t pixel, size_t left)
{
    const size_t pixels = (size_t)w->out_height * (size_t)w->out_width;
    const size_t image = pixel / pixels, at = pixel % pixels;
    const size_t input = image * (size_t)w->height * (size_t)w->width;

    if (w->step == 1)
        return (struct segment){input + at, left, left};
    const int row = w->step * (int)(at / (size_t)w->out_width) + w->odd;
    const int column = (int)(at % (size_t)w->out_width);
    const int columns = (w->width - w->odd + w->step - 1) / w->step;
    const size_t count = (size_t)(w->out_width - column);
    struct segment s = {
        input + (size_t)row * (size_t)w->width + (size_t)(w->step * column + w->odd), 0, count};

    s.count = left < count ? left : count;
    if (row < w->height && column < columns)
        s.inside = (size_t)(columns - column) < s.count ? (size_t)(columns - column) : s.count;
    return s;
}

/* Channels channel .. end-1 that lie in one part: where they begin, how many. */
static size_t part_channels(const struct cpu_view *view, int channel, int end, element **data)
{
    const size_t left = view->stride - (size_t)channel % view->stride;

    *data = (element *)view->data + (size_t)channel / view->stride * view->apart +
            (size_t)channel % view->stride;
    return left < (size_t)(end - channel) ? left : (size_t)(end - channel);
}

static void gather_part(const struct cpu_pointwise *w, size_t first, size_t count, const element *x,
                        int channels, float *tile, size_t stride)
{
    const size_t pixel = (size_t)w->step * w->x.stride;

    for (size_t done = 0; done < count;) {
        struct segment s = segment_at(w, first + done, count - done);
        const element *from = x + s.input * w->x.stride;
        if (s.inside > 0)
            EACH_WIDTH(channels, gather, from + c, pixel, s.inside, w->relu, tile + c, stride);
        for (size_t i = s.inside; i < s.count; i++)
            memset(tile + i * stride, 0, (size_t)channels * sizeof(*tile));
        done += s.count;
        tile += s.count * stride;
    }
}

/* Channels channel .. end-1 of a run of pixels into a tile. */
static void gather_run(const struct cpu_pointwise *w, size_t first, size_t count, int channel,
                       int end, float *tile, size_t stride)
{
    for (size_t now; channel < end; channel += (int)now, tile += now) {
        element *x;
        now = part_channels(&w->x, channel, end, &x);
        gather_part(w, first, count, x, (int)now, tile, stride);
    }
}

static void scatter_part(const struct cpu_pointwise *w, size_t first, size_t count, element *dx,
                         int channels, const float *gradients, size_t stride, const float *inputs,
                         size_t inputs_stride)
{
    const size_t pixel = (size_t)w->step * w->dx.stride;

    for (size_t done = 0; done < count;) {
        struct segment s = segment_at(w, first + done, count - done);
        element *to = dx + s.input * w->dx.stride;
        if (s.inside > 0)
            EACH_WIDTH(channels, scatter, gradients + c, stride, inputs + c, inputs_stride,
                       s.inside, w->relu, to + c, pixel, w->add_dx);
        done += s.count;
        gradients += s.count * stride;
        inputs += s.count * inputs_stride;
    }
}

/* The gradients of a run's inputs, channels channel .. end-1, out of a tile. */
static void scatter_run(const struct cpu_pointwise *w, size_t first, size_t count, int channel,
                        int end, const float *gradients, size_t stride, const float *inputs,
                        size_t inputs_stride)
{
    for (size_t now; channel < end; channel += (int)now, gradients += now, inputs += now) {
        element *dx;
        now = part_channels(&w->dx, channel, end, &dx);
        scatter_part(w, first, count, dx, (int)now, gradients, stride, inputs, inputs_stride);
    }
}

/* What becomes of a run's results: y at once where the coefficients are known and y is wanted, else
 * z, and its moments where they are not known. */
static void finish_run(const struct cpu_norm *m, const float *tile, size_t stride, size_t first,
                       size_t count, bool begin, double *sums)
{
    if (m->known && m->y.data == NULL)
        EACH_WIDTH(m->channels, spread, tile + c, stride, count, elements(&m->z, first, c),
                   m->z.stride);
    else if (m->known)
        EACH_WIDTH(m->channels, normalise_tile, m, tile + c, stride, first, count, c,
                   kept(m->keep, first / m->pixels));
    else
        EACH_WIDTH(m->channels, keep_result, tile + c, stride, elements(&m->z, first, c),
                   m->z.stride, count, begin, m->channels, sums + c);
}

/* The results of a run whose inputs stand in a[][stride]; `tile` is room for them. */
static void forward_run(const struct cpu_pointwise *w, const float *a, size_t stride, size_t first,
                        size_t count, bool begin, float *tile, double *sums)
{
    const size_t out = cpu_panel(w->out_channels);

    product(a, stride, w->weights, out, tile, out, (int)count, (size_t)w->in_channels,
            (int)(out / LANES));
    finish_run(w->norm, tile, out, first, count, begin, sums);
}

static void pointwise(const void *call, int part, int parts)
{
    const struct cpu_pointwise *w = call;
    const struct cpu_norm *m = w->norm;
    const size_t most = cpu_forward_run(w->in_channels), panel = cpu_panel(w->in_channels);
    const bool direct = !BF16 && !w->relu && w->step == 1 && w->x.stride == (size_t)w->in_channels;
    float *inputs = (float *)(w->workspace + (size_t)part * w->workspace_bytes);
    double *sums = m->sums + (size_t)part * m->sums_stride;
    struct run run = run_start(m->images, m->pixels, part, parts);
    const size_t begin = run.first;

    while (run_next(&run, m->pixels, most)) {
        const float *a = direct ? (const float *)w->x.data + run.first * w->x.stride : inputs;
        if (!direct)
            gather_run(w, run.first, run.count, 0, w->in_channels, inputs, panel);
        forward_run(w, a, direct ? w->x.stride : panel, run.first, run.count, run.first == begin,
                    inputs + most * panel, sums);
    }
    if (!m->known)
        finish_moments(m, run.end - begin, sums);
}

/* ---- Backward ----------------------------------------------------------------------------- */

/* A part's dW while it is summed: in float over some thousand pixels, then in double. */
struct weight_sums {
    float *few;
    double *all;
    size_t count, pixels;
};

static struct weight_sums weight_sums_start(float *few, double *all, size_t count)
{
    struct weight_sums s = {few, all, count, 0};

    memset(s.few, 0, s.count * sizeof(*s.few));
    memset(s.all, 0, s.count * sizeof(*s.all));
    return s;
}

static void weight_sums_move(struct weight_sums *s)
{
    for (size_t i = 0; i < s->count; i++) {
        s->all[i] += (double)s->few[i];
        s->few[i] = 0;
    }
    s->pixels = 0;
}

static void weight_sums_count(struct weight_sums *s, size_t pixels)
{
    s->pixels += pixels;
    if (s->pixels >= 4096)
        weight_sums_move(s);
}

/* The gradient before the normalisation, of a run. */
static void gradient_run(const struct cpu_norm *m, size_t first, size_t count, float *tile,
                         size_t stride)
{
    EACH_WIDTH(m->channels, norm_backward_tile, m, first, count, c,
               kept(m->keep, first / m->pixels), tile + c, stride);
}

static void backward_run(const struct cpu_pointwise *w, size_t first, size_t count,
                         float *workspace, struct weight_sums *sums)
{
    const size_t out = cpu_panel(w->out_channels), in = cpu_panel(w->in_channels);
    const int vectors = (int)(out / LANES);
    float *dz = workspace, *x = dz + count * out, *dx = x + count * CPU_BLOCK;

    gradient_run(w->norm, first, count, dz, out);
    for (int k = 0; k < w->in_channels; k += CPU_BLOCK) {
        const int end = w->in_channels - k < CPU_BLOCK ? w->in_channels : k + CPU_BLOCK;
        const size_t panel = cpu_panel(end - k);
        gather_run(w, first, count, k, end, x, CPU_BLOCK);
        transposed_product(x, CPU_BLOCK, dz, sums->few + (size_t)k * out, (int)count, end - k,
                           vectors);
        if (w->dx.data == NULL)
            continue;
        product(dz, out, w->back_weights + k, in, dx, panel, (int)count, (size_t)w->out_channels,
                (int)(panel / LANES));
        scatter_run(w, first, count, k, end, dx, panel, x, CPU_BLOCK);
    }
}

static void pointwise_backward(const void *call, int part, int parts)
{
    const struct cpu_pointwise *w = call;
    const size_t pixels = w->norm->pixels;
    float *workspace = (float *)(w->workspace + (size_t)part * w->workspace_bytes);
    struct weight_sums sums =
        weight_sums_start(workspace, w->sums + (size_t)part * w->sums_stride,
                          (size_t)w->in_channels * cpu_panel(w->out_channels));
    struct run run = run_start(w->norm->images, pixels, part, parts);

    while (run_next(&run, pixels, cpu_backward_run(w->out_channels))) {
        backward_run(w, run.first, run.count, workspace + sums.count, &sums);
        weight_sums_count(&sums, run.count);
    }
    weight_sums_move(&sums);
}

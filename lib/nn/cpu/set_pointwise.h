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

static struct segment segment_at(const struct cpu_dense *w, size_t pixel, size_t left)
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

static void gather_part(const struct cpu_dense *w, size_t first, size_t count, const element *x,
                        int channels, element *tile, size_t stride)
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
static void gather_run(const struct cpu_dense *w, size_t first, size_t count, int channel, int end,
                       element *tile, size_t stride)
{
    for (size_t now; channel < end; channel += (int)now, tile += now) {
        element *x;
        now = part_channels(&w->x, channel, end, &x);
        gather_part(w, first, count, x, (int)now, tile, stride);
    }
}

static void scatter_part(const struct cpu_dense *w, size_t first, size_t count, const element *x,
                         element *dx, int channels, const float *gradients, size_t stride)
{
    const size_t x_pixel = (size_t)w->step * w->x.stride, pixel = (size_t)w->step * w->dx.stride;

    for (size_t done = 0; done < count;) {
        struct segment s = segment_at(w, first + done, count - done);
        element *to = dx + s.input * w->dx.stride;
        if (s.inside > 0)
            EACH_WIDTH(channels, scatter, gradients + c, stride, x + s.input * w->x.stride + c,
                       x_pixel, s.inside, w->relu, to + c, pixel, w->add_dx);
        done += s.count;
        gradients += s.count * stride;
    }
}

/* The gradients of a run's inputs, channels channel .. end-1, out of a tile. */
static void scatter_run(const struct cpu_dense *w, size_t first, size_t count, int channel, int end,
                        const float *gradients, size_t stride)
{
    for (size_t now; channel < end; channel += (int)now, gradients += now) {
        element *x, *dx;
        part_channels(&w->x, channel, end, &x);
        now = part_channels(&w->dx, channel, end, &dx);
        scatter_part(w, first, count, x, dx, (int)now, gradients, stride);
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

/* A last channel without a neighbour is multiplied with one that must be 0. */
static void fill_last_unit(element *tile, size_t stride, size_t count, int channels)
{
    if (channels % (int)UNIT == 0)
        return;
    for (size_t i = 0; i < count; i++)
        write_1(tile + i * stride + channels, 0);
}

/* The results of a run whose inputs stand in a[][stride]; `tile` is room for them. */
static void forward_run(const struct cpu_dense *w, const element *a, size_t stride, size_t first,
                        size_t count, bool begin, float *tile, double *sums)
{
    const size_t out = cpu_panel(w->out_channels);

    product((const unit *)a, stride / UNIT, w->weights, out, tile, out, (int)count,
            units((size_t)w->in_channels), (int)(out / LANES));
    finish_run(w->norm, tile, out, first, count, begin, sums);
}

static void pointwise(const void *call, int part, int parts)
{
    const struct cpu_dense *w = call;
    const struct cpu_norm *m = w->norm;
    const size_t most = cpu_forward_run(w->in_channels), panel = cpu_panel(w->in_channels);
    const bool direct = !w->relu && w->step == 1 && w->x.stride == (size_t)w->in_channels &&
                        w->x.stride % UNIT == 0;
    float *tile = (float *)(w->workspace + (size_t)part * w->workspace_bytes);
    element *inputs = (element *)(tile + most * cpu_panel(w->out_channels));
    double *sums = m->sums + (size_t)part * m->sums_stride;
    struct run run = run_start(m->images, m->pixels, part, parts);
    const size_t begin = run.first;

    while (run_next(&run, m->pixels, most)) {
        const element *a = direct ? elements(&w->x, run.first, 0) : inputs;
        if (!direct) {
            gather_run(w, run.first, run.count, 0, w->in_channels, inputs, panel);
            fill_last_unit(inputs, panel, run.count, w->in_channels);
        }
        forward_run(w, a, direct ? w->x.stride : panel, run.first, run.count, run.first == begin,
                    tile, sums);
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
static void gradient_run(const struct cpu_norm *m, size_t first, size_t count, element *tile,
                         size_t stride)
{
    EACH_WIDTH(m->channels, norm_backward_tile, m, first, count, c,
               kept(m->keep, first / m->pixels), tile + c, stride);
    fill_last_unit(tile, stride, count, m->channels);
}

/* The pixels of a tile as units for a transposed product: with bf16 made in `room`, of as many
 * floats as the tile has elements, and one pixel's more. */
static const unit *pixel_units(const element *tile, size_t stride, size_t count, int channels,
                               void *room)
{
#if BF16
    unit *to = room;
    EACH_WIDTH(channels, pair_run, tile + c, stride, count, to + c, stride);
    return to;
#else
    (void)stride;
    (void)count;
    (void)channels;
    (void)room;
    return tile;
#endif
}

/* Tiles of a run that backward works on. */
struct backward_room {
    element *dz, *x;
    float *dx;
    unit *dz_units, *x_units;
};

/* For runs of so many pixels. */
static struct backward_room backward_room(float *at, size_t most, size_t out)
{
    struct backward_room room = {.dx = at};

    at += most * CPU_BLOCK;
    room.x = (element *)at;
    at += most * CPU_BLOCK;
    room.dz = (element *)at;
    at += most * out;
    room.x_units = (unit *)at;
    room.dz_units = room.x_units + units(most) * CPU_BLOCK;
    return room;
}

static void backward_run(const struct cpu_dense *w, size_t first, size_t count,
                         const struct backward_room *room, struct weight_sums *sums)
{
    const size_t out = cpu_panel(w->out_channels), in = cpu_panel(w->in_channels);
    const int vectors = (int)(out / LANES);
    element *dz = room->dz, *x = room->x;
    float *dx = room->dx;

    gradient_run(w->norm, first, count, dz, out);
    const unit *dz_units = pixel_units(dz, out, count, w->out_channels, room->dz_units);
    for (int k = 0; k < w->in_channels; k += CPU_BLOCK) {
        const int end = w->in_channels - k < CPU_BLOCK ? w->in_channels : k + CPU_BLOCK;
        const size_t panel = cpu_panel(end - k);
        gather_run(w, first, count, k, end, x, CPU_BLOCK);
        transposed_product(pixel_units(x, CPU_BLOCK, count, end - k, room->x_units), CPU_BLOCK,
                           dz_units, sums->few + (size_t)k * out, (int)units(count), end - k,
                           vectors);
        if (w->dx.data == NULL)
            continue;
        product((const unit *)dz, out / UNIT, (const unit *)w->back_weights + k, in, dx, panel,
                (int)count, units((size_t)w->out_channels), (int)(panel / LANES));
        scatter_run(w, first, count, k, end, dx, panel);
    }
}

static void pointwise_backward(const void *call, int part, int parts)
{
    const struct cpu_dense *w = call;
    const size_t pixels = w->norm->pixels;
    float *workspace = (float *)(w->workspace + (size_t)part * w->workspace_bytes);
    struct weight_sums sums =
        weight_sums_start(workspace, w->sums + (size_t)part * w->sums_stride,
                          (size_t)w->in_channels * cpu_panel(w->out_channels));
    const size_t most = cpu_backward_run(w->out_channels);
    const struct backward_room room =
        backward_room(workspace + sums.count, most, cpu_panel(w->out_channels));
    struct run run = run_start(w->norm->images, pixels, part, parts);

    while (run_next(&run, pixels, most)) {
        backward_run(w, run.first, run.count, &room, &sums);
        weight_sums_count(&sums, run.count);
    }
    weight_sums_move(&sums);
}

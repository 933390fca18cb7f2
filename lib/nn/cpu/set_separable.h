/*
 * set_separable.h - template: depthwise and pointwise convolution, an image at a time: what the one
 * gives the other goes no further than the second cache. Backward computes it again, which costs
 * less than keeping it in memory would. Included once by kernel_set.h.
 */

static void separable(const void *call, int part, int parts)
{
    const struct cpu_separable *s = call;
    const struct cpu_depthwise *d = s->depthwise;
    const struct cpu_norm *m = s->pointwise->norm;
    const size_t first = cpu_first((size_t)d->images, part, parts);
    const size_t end = cpu_first((size_t)d->images, part + 1, parts);
    const size_t run = cpu_forward_run(d->channels), panel = cpu_panel(d->channels);
    const struct depthwise_work w = depthwise_start(d, part, false);
    float *tile = (float *)(s->pointwise->workspace + (size_t)part * s->pointwise->workspace_bytes);
    double *sums = m->sums + (size_t)part * m->sums_stride;

    for (size_t image = first; image < end; image++) {
        depthwise_image(d, image, &w);
        for (size_t at = 0, count; at < m->pixels; at += count) {
            count = m->pixels - at < run ? m->pixels - at : run;
            forward_run(s->pointwise, w.y + at * panel, panel, image * m->pixels + at, count,
                        image == first && at == 0, tile, sums);
        }
    }
    if (!m->known)
        finish_moments(m, (end - first) * m->pixels, sums);
}

/* Room for what is made of a run of rows. */
struct separable_room {
    element *dz;
    unit *dz_units, *y_units;
};

static struct separable_room separable_room(const struct cpu_dense *w, size_t width, float *at)
{
    const size_t run = cpu_backward_run(w->out_channels), most = run > width ? run : width;
    const size_t out = cpu_panel(w->out_channels);
    struct separable_room room = {.dz = (element *)at};

    room.dz_units = (unit *)(at + most * out);
    room.y_units = room.dz_units + units(most) * out;
    return room;
}

/* dW of the pointwise convolution, and the gradient of its input into the planes of dY. */
static void separable_gradients(const struct cpu_separable *s, size_t image,
                                const struct depthwise_work *work,
                                const struct separable_room *room, struct weight_sums *sums)
{
    const struct cpu_depthwise *d = s->depthwise;
    const struct cpu_dense *w = s->pointwise;
    const size_t out = cpu_panel(w->out_channels), in = cpu_panel(w->in_channels);
    const size_t width = (size_t)d->out_width, most = cpu_backward_run(w->out_channels) / width;

    for (int i = 0, rows; i < d->out_height; i += rows) {
        const size_t at = (size_t)i * width;
        rows = d->out_height - i < (int)most ? d->out_height - i : most > 0 ? (int)most : 1;
        const size_t count = (size_t)rows * width;
        gradient_run(w->norm, image * w->norm->pixels + at, count, room->dz, out);
        transposed_product(pixel_units(work->y + at * in, in, count, w->in_channels, room->y_units),
                           in, pixel_units(room->dz, out, count, w->out_channels, room->dz_units),
                           sums->few, (int)units(count), w->in_channels, (int)(out / LANES));
        for (int r = 0; r < rows; r++)
            product_into_planes((const unit *)room->dz + (size_t)r * width * out / UNIT, out / UNIT,
                                w->back_weights, in, plane_at(&work->dy, &work->dy_size, i + r, 0),
                                (size_t)work->dy_size.step_width * LANES, work->dy.plane,
                                d->out_width, units((size_t)w->out_channels), work->vectors);
        weight_sums_count(sums, count);
    }
}

static void separable_backward(const void *call, int part, int parts)
{
    const struct cpu_separable *s = call;
    const struct cpu_depthwise *d = s->depthwise;
    const struct cpu_dense *w = s->pointwise;
    const size_t end = cpu_first((size_t)d->images, part + 1, parts);
    const size_t count = (size_t)w->in_channels * cpu_panel(w->out_channels);
    const struct depthwise_work work = depthwise_start(d, part, true);
    float *few = (float *)(w->workspace + (size_t)part * w->workspace_bytes);
    struct weight_sums sums =
        weight_sums_start(few, w->sums + (size_t)part * w->sums_stride, count);
    const struct separable_room room = separable_room(w, (size_t)d->out_width, few + count);

    depthwise_sums_start(d, part);
    for (size_t image = cpu_first((size_t)d->images, part, parts); image < end; image++) {
        depthwise_image(d, image, &work);
        separable_gradients(s, image, &work, &room, &sums);
        depthwise_backward_image(d, image, part, &work);
    }
    weight_sums_move(&sums);
}

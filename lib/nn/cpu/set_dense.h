/*
 * set_dense.h - template: dense convolutions of stride 1, an image at a time, forward and both
 * gradients. The image stands in the second cache with its padding around it; the convolution is a
 * sum over taps of products, of which each sees the image shifted. Included once by kernel_set.h.
 */

/* A padded image: rows x columns pixels of `channels` elements, of which the picture is in the
 * middle. */
struct padded {
    element *data;
    size_t rows, columns, channels, top, left;
};

/* Room for it at *at, filled with zeros. */
static struct padded padded_image(float **at, int height, int width, size_t channels, int top,
                                  int left)
{
    struct padded p = {(element *)*at,
                       (size_t)(height + 2 * top),
                       (size_t)(width + 2 * left),
                       channels,
                       (size_t)top,
                       (size_t)left};
    const size_t count = p.rows * p.columns * channels;

    memset(p.data, 0, count * sizeof(element));
    *at += cpu_whole_vectors(count / UNIT);
    return p;
}

/* Row i of the picture. */
static element *padded_row(const struct padded *p, size_t i)
{
    return p->data + ((i + p->top) * p->columns + p->left) * p->channels;
}

struct dense_work {
    struct padded x, dz;
    float *tile, *few;
    size_t x_taps[CPU_MAX_TAPS], dz_taps[CPU_MAX_TAPS]; /* in units */
    /* For dW, units of neighbouring pixels: of the padded picture from column 0 on and, where a
     * unit has two pixels, from column 1 on; of the gradients without their padding. A line is a
     * row of them. */
    unit *x_units[2], *dz_units;
    size_t x_line, dz_line;
};

static void find_taps(const struct cpu_dense *d, const struct padded *p, size_t *offsets)
{
    for (int r = 0; r < d->kernel_height; r++)
        for (int c = 0; c < d->kernel_width; c++)
            *offsets++ = ((size_t)r * p->columns + (size_t)c) * p->channels / UNIT;
}

static void dense_units_start(const struct cpu_dense *d, struct dense_work *w, float **at)
{
#if BF16
    w->x_line = units(w->x.columns) * w->x.channels;
    w->dz_line = units((size_t)d->out_width) * w->dz.channels;
    for (int i = 0; i < 2; i++) {
        w->x_units[i] = (unit *)*at;
        *at += w->x.rows * w->x_line;
    }
    w->dz_units = (unit *)*at;
    *at += (size_t)d->out_height * w->dz_line;
#else
    (void)d;
    (void)at;
    w->x_units[0] = w->x.data;
    w->x_line = w->x.columns * w->x.channels;
    w->dz_units = padded_row(&w->dz, 0);
    w->dz_line = w->dz.columns * w->dz.channels;
#endif
}

static struct dense_work dense_start(const struct cpu_dense *d, int part, bool backward)
{
    float *at = (float *)(d->workspace + (size_t)part * d->workspace_bytes);
    struct dense_work w = {.x = padded_image(&at, d->height, d->width, cpu_even(d->in_channels),
                                             d->padding_height, d->padding_width)};

    find_taps(d, &w.x, w.x_taps);
    if (backward) {
        w.dz = padded_image(&at, d->out_height, d->out_width, cpu_panel(d->out_channels),
                            d->kernel_height - 1 - d->padding_height,
                            d->kernel_width - 1 - d->padding_width);
        find_taps(d, &w.dz, w.dz_taps);
        dense_units_start(d, &w, &at);
    }
    w.tile = at;
    w.few = at + cpu_dense_tile(d);
    return w;
}

static void pad_image(const struct cpu_dense *d, size_t image, const struct padded *p)
{
    const size_t line = (size_t)d->width * d->x.stride;
    const element *x = (const element *)d->x.data + image * (size_t)d->height * line;

    for (size_t i = 0; i < (size_t)d->height; i++) {
        element *row = padded_row(p, i);
        EACH_WIDTH(d->in_channels, gather, x + i * line + c, d->x.stride, (size_t)d->width, d->relu,
                   row + c, p->channels);
    }
}

static void dense(const void *call, int part, int parts)
{
    const struct cpu_dense *d = call;
    const struct cpu_norm *m = d->norm;
    const size_t first = cpu_first((size_t)m->images, part, parts);
    const size_t end = cpu_first((size_t)m->images, part + 1, parts);
    const size_t panel = cpu_panel(d->out_channels), width = (size_t)d->out_width;
    double *sums = m->sums + (size_t)part * m->sums_stride;
    struct dense_work w = dense_start(d, part, false);
    const struct taps taps = {w.x_taps, d->kernel_height * d->kernel_width,
                              units((size_t)d->in_channels)};

    for (size_t image = first; image < end; image++) {
        pad_image(d, image, &w.x);
        for (size_t i = 0, rows; i < (size_t)d->out_height; i += rows) {
            rows = cpu_dense_rows(d, (int)i);
            for (size_t r = 0; r < rows; r++)
                product_of_taps((const unit *)w.x.data +
                                    (i + r) * w.x.columns * w.x.channels / UNIT,
                                w.x.channels / UNIT, d->weights, panel, w.tile + r * width * panel,
                                panel, (int)width, &taps, (int)(panel / LANES));
            finish_run(m, w.tile, panel, image * m->pixels + i * width, rows * width,
                       image == first && i == 0, sums);
        }
    }
    if (!m->known)
        finish_moments(m, (end - first) * m->pixels, sums);
}

static void make_units(const struct cpu_dense *d, const struct dense_work *w)
{
#if BF16
    for (size_t i = 0; i < 2; i++)
        for (size_t r = 0; r < w->x.rows; r++)
            EACH_WIDTH(d->in_channels, pair_run,
                       w->x.data + (r * w->x.columns + i) * w->x.channels + c, w->x.channels,
                       w->x.columns - i, w->x_units[i] + r * w->x_line + c, w->x.channels);
    for (size_t r = 0; r < (size_t)d->out_height; r++)
        EACH_WIDTH(d->out_channels, pair_run, padded_row(&w->dz, r) + c, w->dz.channels,
                   (size_t)d->out_width, w->dz_units + r * w->dz_line + c, w->dz.channels);
#else
    (void)d;
    (void)w;
#endif
}

/* dW += of an image whose inputs and gradients are in their places. */
static void dense_dweights(const struct cpu_dense *d, const struct dense_work *w, float *few)
{
    const size_t panel = w->dz.channels, in = (size_t)d->in_channels;
    const struct lines lines = {d->out_height, (int)units((size_t)d->out_width),
                                w->x.channels, panel,
                                w->x_line,     w->dz_line};

    make_units(d, w);
    for (size_t r = 0; r < (size_t)d->kernel_height; r++)
        for (size_t c = 0; c < (size_t)d->kernel_width; c++, few += in * panel)
            transposed_lines(&lines,
                             w->x_units[c % UNIT] + r * w->x_line + c / UNIT * w->x.channels,
                             w->dz_units, few, d->in_channels, (int)(panel / LANES));
}

static void dense_dx(const struct cpu_dense *d, const struct dense_work *w, size_t image)
{
    const size_t panel = cpu_panel(d->in_channels), width = (size_t)d->width;
    const struct taps taps = {w->dz_taps, d->kernel_height * d->kernel_width,
                              units((size_t)d->out_channels)};
    element *dx = elements(&d->dx, image * (size_t)d->height * width, 0);

    for (size_t i = 0; i < (size_t)d->height; i++, dx += width * d->dx.stride) {
        const element *inputs = padded_row(&w->x, i);
        product_of_taps((const unit *)w->dz.data + i * w->dz.columns * w->dz.channels / UNIT,
                        w->dz.channels / UNIT, d->back_weights, panel, w->tile, panel, (int)width,
                        &taps, (int)(panel / LANES));
        EACH_WIDTH(d->in_channels, scatter, w->tile + c, panel, inputs + c, w->x.channels, width,
                   d->relu, dx + c, d->dx.stride, d->add_dx);
    }
}

static void dense_backward(const void *call, int part, int parts)
{
    const struct cpu_dense *d = call;
    const struct cpu_norm *m = d->norm;
    const size_t end = cpu_first((size_t)m->images, part + 1, parts);
    const size_t count = (size_t)(d->kernel_height * d->kernel_width) * (size_t)d->in_channels *
                         cpu_panel(d->out_channels);
    struct dense_work w = dense_start(d, part, true);
    struct weight_sums sums =
        weight_sums_start(w.few, d->sums + (size_t)part * d->sums_stride, count);

    for (size_t image = cpu_first((size_t)m->images, part, parts); image < end; image++) {
        pad_image(d, image, &w.x);
        for (size_t i = 0; i < (size_t)d->out_height; i++)
            gradient_run(m, image * m->pixels + i * (size_t)d->out_width, (size_t)d->out_width,
                         padded_row(&w.dz, i), w.dz.channels);
        dense_dweights(d, &w, sums.few);
        weight_sums_count(&sums, m->pixels);
        if (d->dx.data != NULL)
            dense_dx(d, &w, image);
    }
    weight_sums_move(&sums);
}

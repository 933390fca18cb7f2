/*
 * width_pointwise.h - template: copies, ReLU and normalisation of W channels over a run of pixels
 * that lie in one image. `first` and `count` say which pixels, `channel` which channels.
 */

static void V(map)(const struct cpu_map *m, size_t first, size_t count, int channel, float keep)
{
    float *y = m->y.data + first * m->y.stride + channel;
    const size_t x_stride = m->x.stride, y_stride = m->y.stride;
    const bool relu = m->relu, add = m->add;

    if (m->x.data == NULL) {
        const V(vector) zero = {0};
        for (size_t i = 0; i < count; i++)
            V(put)(y + i * y_stride, zero, add);
        return;
    }
    const float *x = m->x.data + first * m->x.stride + channel;
    if (m->mask.data != NULL) {
        const float *mask = m->mask.data + first * m->mask.stride + channel;
        for (size_t i = 0; i < count; i++)
            V(put)
        (y + i * y_stride,
         keep * V(where_positive)(V(load)(mask + i * m->mask.stride), V(load)(x + i * x_stride)),
         add);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        V(vector) v = V(load)(x + i * x_stride);
        V(put)(y + i * y_stride, keep * (relu ? V(relu)(v) : v), add);
    }
}

/* Row `row` of the smaller picture. */
static void V(subsample)(const struct cpu_subsample *s, const float *x, float *y, int columns,
                         int channel)
{
    for (int i = 0; i < columns; i++)
        V(store)
    (y + (size_t)i * (size_t)s->channels + channel,
     V(relu)(V(load)(x + (size_t)i * 2 * s->x.stride + channel)));
}

static void V(subsample_backward)(const struct cpu_subsample *s, float *x, const float *mask,
                                  const float *y, int columns, int channel)
{
    for (int i = 0; i < columns; i++) {
        V(vector) g = V(load)(y + (size_t)i * (size_t)s->channels + channel);
        V(vector) open = V(load)(mask + (size_t)i * 2 * s->mask.stride + channel);
        V(put)(x + (size_t)i * 2 * s->x.stride + channel, V(where_positive)(open, g), s->add);
    }
}

/* Merges mean and sum of squared deviations of `count` values into those of `before` others (Chan,
 * Golub, LeVeque 1983). The sums are of x - about. */
static inline void V(merge)(double *mean, double *squares, size_t before, size_t count,
                            V(vector) about, V(vector) sum, V(vector) sum_squares)
{
    const double n = (double)count, all = (double)(before + count);

    for (int i = 0; i < W; i++) {
        double s = V(lane)(&sum, i), chunk_mean = V(lane)(&about, i) + s / n;
        double delta = chunk_mean - mean[i];
        mean[i] += delta * n / all;
        squares[i] +=
            V(lane)(&sum_squares, i) - s * s / n + delta * delta * (double)before * n / all;
    }
}

/* Two sweeps over a run that the first has brought to the nearest cache. `before`: pixels seen so
 * far. */
static void V(moments)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                       size_t before, double *sums)
{
    const float *z = m->z.data + first * m->z.stride + channel;
    const size_t stride = m->z.stride;
    V(vector) a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, s0 = {0}, s1 = {0}, mean;
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        a0 += V(load)(z + i * stride);
        a1 += V(load)(z + (i + 1) * stride);
        a2 += V(load)(z + (i + 2) * stride);
        a3 += V(load)(z + (i + 3) * stride);
    }
    for (; i < count; i++)
        a0 += V(load)(z + i * stride);
    mean = ((a0 + a1) + (a2 + a3)) * (1.0f / (float)count);
    a0 = a1 = s0;
    for (i = 0; i + 2 <= count; i += 2) {
        V(vector) d0 = V(load)(z + i * stride) - mean, d1 = V(load)(z + (i + 1) * stride) - mean;
        a0 += d0;
        a1 += d1;
        s0 += d0 * d0;
        s1 += d1 * d1;
    }
    if (i < count) {
        V(vector) d0 = V(load)(z + i * stride) - mean;
        a0 += d0;
        s0 += d0 * d0;
    }
    V(merge)(sums + channel, sums + m->channels + channel, before, count, mean, a0 + a1, s0 + s1);
}

static void V(normalise)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                         float keep)
{
    const float *z = m->z.data + first * m->z.stride + channel;
    float *y = m->y.data + first * m->y.stride + channel;
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel);
    const size_t z_stride = m->z.stride, y_stride = m->y.stride;
    const bool relu = m->relu, add = m->add;

    for (size_t i = 0; i < count; i++) {
        V(vector) v = (V(load)(z + i * z_stride) - mean) * scale + shift;
        V(put)(y + i * y_stride, keep * (relu ? V(relu)(v) : v), add);
    }
}

static void V(norm_sums)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                         float keep, double *sums)
{
    const float *z = m->z.data + first * m->z.stride + channel;
    const float *dy = m->dy.data + first * m->dy.stride + channel;
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel);
    const size_t z_stride = m->z.stride, dy_stride = m->dy.stride;
    const bool relu = m->relu;
    V(vector) a0 = {0}, a1 = {0}, b0 = {0}, b1 = {0};
    size_t i = 0;

    for (; i + 2 <= count; i += 2) {
        V(vector)
        d0 = V(load)(z + i * z_stride) - mean, d1 = V(load)(z + (i + 1) * z_stride) - mean;
        V(vector) g0 = V(load)(dy + i * dy_stride), g1 = V(load)(dy + (i + 1) * dy_stride);
        if (relu) {
            g0 = V(where_positive)(d0 * scale + shift, g0);
            g1 = V(where_positive)(d1 * scale + shift, g1);
        }
        a0 += g0;
        a1 += g1;
        b0 += g0 * d0;
        b1 += g1 * d1;
    }
    if (i < count) {
        V(vector) d0 = V(load)(z + i * z_stride) - mean, g0 = V(load)(dy + i * dy_stride);
        if (relu)
            g0 = V(where_positive)(d0 * scale + shift, g0);
        a0 += g0;
        b0 += g0 * d0;
    }
    a0 += a1;
    b0 += b1;
    for (int lane = 0; lane < W; lane++) {
        sums[channel + lane] += (double)V(lane)(&a0, lane) * (double)keep;
        sums[m->channels + channel + lane] += (double)V(lane)(&b0, lane) * (double)keep;
    }
}

static void V(norm_backward)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                             float keep)
{
    const float *z = m->z.data + first * m->z.stride + channel;
    const float *dy = m->dy.data + first * m->dy.stride + channel;
    float *dz = m->dz.data + first * m->dz.stride + channel;
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel), offset = V(load)(m->offset + channel),
                    slope = V(load)(m->slope + channel), factor = scale * keep;
    const size_t z_stride = m->z.stride, dy_stride = m->dy.stride, dz_stride = m->dz.stride;
    const bool relu = m->relu, add = m->add;

    for (size_t i = 0; i < count; i++) {
        V(vector) d = V(load)(z + i * z_stride) - mean, g = V(load)(dy + i * dy_stride);
        if (relu)
            g = V(where_positive)(d * scale + shift, g);
        V(put)(dz + i * dz_stride, factor * g - offset - d * slope, add);
    }
}

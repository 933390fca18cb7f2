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

/* A part's moments: [3][channels] a value near the mean, the sum of deviations from it, the sum of
 * their squares. The first run of values gives its own mean as that value. */
static V(vector) V(moments_about)(const float *values, size_t stride, size_t count, bool first,
                                  int channels, double *sums)
{
    V(vector) about = {0};

    if (!first) {
        for (int lane = 0; lane < W; lane++)
            V(set_lane)(&about, lane, (float)sums[lane]);
        return about;
    }
    for (size_t i = 0; i < count; i++)
        about += V(load)(values + i * stride);
    about *= 1.0f / (float)count;
    for (int lane = 0; lane < W; lane++) {
        sums[lane] = (double)V(lane)(&about, lane);
        sums[channels + lane] = sums[2 * channels + lane] = 0;
    }
    return about;
}

/* Adds a run of values to the moments; with z not NULL they are stored there on the way. */
static inline __attribute__((always_inline)) void
V(pass_moments)(const float *values, size_t stride, float *z, size_t z_stride, size_t count,
                bool first, int channels, double *sums)
{
    const V(vector) about = V(moments_about)(values, stride, count, first, channels, sums);
    V(vector) sum[2], squares[2];
    size_t i = 0;

    memset(sum, 0, sizeof(sum));
    memset(squares, 0, sizeof(squares));
    for (; i + 2 <= count; i += 2)
        UNROLL(2)
    for (size_t n = 0; n < 2; n++) {
        const V(vector) value = V(load)(values + (i + n) * stride), d = value - about;
        if (z != NULL) {
            __builtin_prefetch(z + (i + n + count) * z_stride, 1);
            V(store)(z + (i + n) * z_stride, value);
        }
        sum[n] += d;
        squares[n] += d * d;
    }
    if (i < count) {
        const V(vector) value = V(load)(values + i * stride), d = value - about;
        if (z != NULL)
            V(store)(z + i * z_stride, value);
        sum[0] += d;
        squares[0] += d * d;
    }
    sum[0] += sum[1];
    squares[0] += squares[1];
    for (int lane = 0; lane < W; lane++) {
        sums[channels + lane] += (double)V(lane)(&sum[0], lane);
        sums[2 * channels + lane] += (double)V(lane)(&squares[0], lane);
    }
}

static void V(add_moments)(const float *z, size_t stride, size_t count, bool first, int channels,
                           double *sums)
{
    V(pass_moments)(z, stride, NULL, 0, count, first, channels, sums);
}

static void V(keep_result)(const float *tile, size_t tile_stride, float *z, size_t z_stride,
                           size_t count, bool first, int channels, double *sums)
{
    V(pass_moments)(tile, tile_stride, z, z_stride, count, first, channels, sums);
}

/* y (+)= keep * f((z - mean) * scale + shift) for a run of values of z. */
static void V(normalise)(const struct cpu_norm *m, const float *z, size_t z_stride, size_t first,
                         size_t count, int channel, float keep)
{
    float *y = m->y.data + first * m->y.stride + channel;
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel);
    const size_t y_stride = m->y.stride;
    const bool relu = m->relu, add = m->add;

    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(z + (i + 16) * z_stride);
        __builtin_prefetch(y + (i + 16) * y_stride, 1);
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

/* dz (+)= its gradient, for a run of pixels from `first` on; dz: the first one's. */
static void V(norm_backward)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                             float keep, float *dz, size_t dz_stride, bool add)
{
    const float *z = m->z.data + first * m->z.stride + channel;
    const float *dy = m->dy.data + first * m->dy.stride + channel;
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel), offset = V(load)(m->offset + channel),
                    slope = V(load)(m->slope + channel), factor = scale * keep;
    const size_t z_stride = m->z.stride, dy_stride = m->dy.stride;
    const bool relu = m->relu;

    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(z + (i + count) * z_stride);
        __builtin_prefetch(dy + (i + count) * dy_stride);
        V(vector) d = V(load)(z + i * z_stride) - mean, g = V(load)(dy + i * dy_stride);
        if (relu)
            g = V(where_positive)(d * scale + shift, g);
        V(put)(dz + i * dz_stride, factor * g - offset - d * slope, add);
    }
}

/* A run of pixels, `pixel` floats apart, into a tile, through ReLU or not. */
static void V(gather)(const float *x, size_t pixel, size_t count, bool relu, float *tile,
                      size_t stride)
{
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(x + (i + count) * pixel);
        V(vector) v = V(load)(x + i * pixel);
        V(store)(tile + i * stride, relu ? V(relu)(v) : v);
    }
}

/* dx (+)= the tile's gradients, with ReLU where its inputs (a tile too) were positive. */
static void V(scatter)(const float *gradients, size_t stride, const float *inputs,
                       size_t inputs_stride, size_t count, bool relu, float *dx, size_t pixel,
                       bool add)
{
    for (size_t i = 0; i < count; i++) {
        V(vector) g = V(load)(gradients + i * stride);
        if (add)
            __builtin_prefetch(dx + (i + count) * pixel, 1);
        if (relu)
            g = V(where_positive)(V(load)(inputs + i * inputs_stride), g);
        V(put)(dx + i * pixel, g, add);
    }
}

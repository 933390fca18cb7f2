/*
 * width_pointwise.h - template: copies, ReLU and normalisation of W channels over a run of pixels
 * that lie in one image. `first` and `count` say which pixels, `channel` which channels.
 */

/* Value i of floats or of elements. */
static inline __attribute__((always_inline)) V(vector)
    V(value)(const void *values, size_t i, bool full)
{
    if (full)
        return V(load)((const float *)values + i);
    return V(fetch)((const element *)values + i);
}

static void V(map)(const struct cpu_map *m, size_t first, size_t count, int channel, float keep)
{
    const size_t x = first * m->x.stride + (size_t)channel;
    const size_t mask = first * m->mask.stride + (size_t)channel;
    const size_t y = first * m->y.stride + (size_t)channel;
    const bool relu = m->relu;

    for (size_t i = 0; i < count; i++) {
        V(vector) v = {0};
        if (m->x.data != NULL)
            v = V(value)(m->x.data, x + i * m->x.stride, m->x.full);
        if (m->mask.data != NULL)
            v = V(where_positive)(V(value)(m->mask.data, mask + i * m->mask.stride, m->mask.full),
                                  v);
        v = keep * (relu ? V(relu)(v) : v);
        if (!m->y.full) {
            V(put)(elements(&m->y, first + i, channel), v, m->add);
            continue;
        }
        float *to = (float *)m->y.data + y + i * m->y.stride;
        if (m->add)
            v += V(load)(to);
        V(store)(to, v);
    }
}

/* A part's moments: [3][channels] a value near the mean, the sum of deviations from it, the sum of
 * their squares. The first run of values gives its own mean as that value. */
static inline __attribute__((always_inline)) V(vector)
    V(moments_about)(const void *values, bool full, size_t stride, size_t count, bool first,
                     int channels, double *sums)
{
    V(vector) about = {0};

    if (!first) {
        for (int lane = 0; lane < W; lane++)
            V(set_lane)(&about, lane, (float)sums[lane]);
        return about;
    }
    for (size_t i = 0; i < count; i++)
        about += V(value)(values, i * stride, full);
    about *= 1.0f / (float)count;
    for (int lane = 0; lane < W; lane++) {
        sums[lane] = (double)V(lane)(&about, lane);
        sums[channels + lane] = sums[2 * channels + lane] = 0;
    }
    return about;
}

/* Adds a run of values to the moments; with z not NULL they are stored there on the way, and the
 * moments are of what stands there. */
static inline __attribute__((always_inline)) void
V(pass_moments)(const void *values, bool full, size_t stride, element *z, size_t z_stride,
                size_t count, bool first, int channels, double *sums)
{
    const V(vector) about = V(moments_about)(values, full, stride, count, first, channels, sums);
    V(vector) sum[2], squares[2];
    size_t i = 0;

    memset(sum, 0, sizeof(sum));
    memset(squares, 0, sizeof(squares));
    for (; i + 2 <= count; i += 2)
        UNROLL(2)
    for (size_t n = 0; n < 2; n++) {
        V(vector) d = V(value)(values, (i + n) * stride, full);
        if (z != NULL) {
            __builtin_prefetch(z + (i + n + count) * z_stride, 1);
            d = V(write)(z + (i + n) * z_stride, d);
        }
        d -= about;
        sum[n] += d;
        squares[n] += d * d;
    }
    if (i < count) {
        V(vector) d = V(value)(values, i * stride, full);
        if (z != NULL)
            d = V(write)(z + i * z_stride, d);
        d -= about;
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

static void V(add_moments)(const element *z, size_t stride, size_t count, bool first, int channels,
                           double *sums)
{
    V(pass_moments)(z, false, stride, NULL, 0, count, first, channels, sums);
}

static void V(keep_result)(const float *tile, size_t tile_stride, element *z, size_t z_stride,
                           size_t count, bool first, int channels, double *sums)
{
    V(pass_moments)(tile, true, tile_stride, z, z_stride, count, first, channels, sums);
}

/* y (+)= keep * f((z - mean) * scale + shift) for a run of values of z. */
static inline __attribute__((always_inline)) void
V(normalise_values)(const struct cpu_norm *m, const void *z, bool full, size_t z_stride,
                    size_t first, size_t count, int channel, float keep)
{
    element *y = elements(&m->y, first, channel);
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel);
    const size_t y_stride = m->y.stride;
    const bool relu = m->relu, add = m->add;

    for (size_t i = 0; i < count; i++) {
        if (!full)
            __builtin_prefetch((const element *)z + (i + 16) * z_stride);
        __builtin_prefetch(y + (i + 16) * y_stride, 1);
        V(vector) v = (V(value)(z, i * z_stride, full) - mean) * scale + shift;
        V(put)(y + i * y_stride, keep * (relu ? V(relu)(v) : v), add);
    }
}

static void V(normalise)(const struct cpu_norm *m, const element *z, size_t z_stride, size_t first,
                         size_t count, int channel, float keep)
{
    V(normalise_values)(m, z, false, z_stride, first, count, channel, keep);
}

/* The same, z being a tile. */
static void V(normalise_tile)(const struct cpu_norm *m, const float *z, size_t z_stride,
                              size_t first, size_t count, int channel, float keep)
{
    V(normalise_values)(m, z, true, z_stride, first, count, channel, keep);
}

static void V(norm_sums)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                         float keep, double *sums)
{
    const element *z = elements(&m->z, first, channel), *dy = elements(&m->dy, first, channel);
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel);
    const size_t z_stride = m->z.stride, dy_stride = m->dy.stride;
    const bool relu = m->relu;
    V(vector) a0 = {0}, a1 = {0}, b0 = {0}, b1 = {0};
    size_t i = 0;

    for (; i + 2 <= count; i += 2) {
        V(vector)
        d0 = V(fetch)(z + i * z_stride) - mean, d1 = V(fetch)(z + (i + 1) * z_stride) - mean;
        V(vector) g0 = V(fetch)(dy + i * dy_stride), g1 = V(fetch)(dy + (i + 1) * dy_stride);
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
        V(vector) d0 = V(fetch)(z + i * z_stride) - mean, g0 = V(fetch)(dy + i * dy_stride);
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

/* dz (+)= its gradient, for a run of pixels from `first` on; dz, elements or a tile: the first
 * one's. */
static inline __attribute__((always_inline)) void
V(norm_gradient)(const struct cpu_norm *m, size_t first, size_t count, int channel, float keep,
                 void *dz, bool full, size_t dz_stride, bool add)
{
    const element *z = elements(&m->z, first, channel), *dy = elements(&m->dy, first, channel);
    const V(vector) mean = V(load)(m->mean + channel), scale = V(load)(m->scale + channel),
                    shift = V(load)(m->shift + channel), offset = V(load)(m->offset + channel),
                    slope = V(load)(m->slope + channel), factor = scale * keep;
    const size_t z_stride = m->z.stride, dy_stride = m->dy.stride;
    const bool relu = m->relu;

    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(z + (i + count) * z_stride);
        __builtin_prefetch(dy + (i + count) * dy_stride);
        V(vector) d = V(fetch)(z + i * z_stride) - mean, g = V(fetch)(dy + i * dy_stride);
        if (relu)
            g = V(where_positive)(d * scale + shift, g);
        g = factor * g - offset - d * slope;
        if (full)
            V(store)((float *)dz + i * dz_stride, g);
        else
            V(put)((element *)dz + i * dz_stride, g, add);
    }
}

static void V(norm_backward)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                             float keep)
{
    V(norm_gradient)
    (m, first, count, channel, keep, elements(&m->dz, first, channel), false, m->dz.stride, m->add);
}

static void V(norm_backward_tile)(const struct cpu_norm *m, size_t first, size_t count, int channel,
                                  float keep, element *tile, size_t stride)
{
    V(norm_gradient)(m, first, count, channel, keep, tile, false, stride, false);
}

static void V(norm_backward_floats)(const struct cpu_norm *m, size_t first, size_t count,
                                    int channel, float keep, float *to, size_t stride)
{
    V(norm_gradient)(m, first, count, channel, keep, to, true, stride, false);
}

/* A run of pixels, `pixel` elements apart, into a tile, through ReLU or not. */
static void V(gather)(const element *x, size_t pixel, size_t count, bool relu, element *tile,
                      size_t stride)
{
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(x + (i + count) * pixel);
        V(copy)(x + i * pixel, relu, tile + i * stride);
    }
}

/* A run of pixels into floats. */
static void V(widen_run)(const element *x, size_t pixel, size_t count, float *to, size_t stride)
{
    for (size_t i = 0; i < count; i++)
        V(store)(to + i * stride, V(fetch)(x + i * pixel));
}

/* Results into a run of pixels. */
static void V(spread)(const float *results, size_t stride, size_t count, element *y, size_t pixel)
{
    for (size_t i = 0; i < count; i++)
        V(write)(y + i * pixel, V(load)(results + i * stride));
}

/* dx (+)= gradients, with ReLU where its inputs were positive. */
static inline __attribute__((always_inline)) void
V(scatter_values)(const void *gradients, const void *inputs, bool inputs_full, bool gradients_full,
                  size_t stride, size_t inputs_stride, size_t count, bool relu, element *dx,
                  size_t pixel, bool add)
{
    for (size_t i = 0; i < count; i++) {
        V(vector) g = V(value)(gradients, i * stride, gradients_full);
        if (add)
            __builtin_prefetch(dx + (i + count) * pixel, 1);
        if (relu)
            g = V(where_positive)(V(value)(inputs, i * inputs_stride, inputs_full), g);
        V(put)(dx + i * pixel, g, add);
    }
}

/* Gradients that a product gave; inputs are elements. */
static void V(scatter)(const float *gradients, size_t stride, const element *inputs,
                       size_t inputs_stride, size_t count, bool relu, element *dx, size_t pixel,
                       bool add)
{
    V(scatter_values)
    (gradients, inputs, false, true, stride, inputs_stride, count, relu, dx, pixel, add);
}

/* A row of elements' gradients; inputs are floats, through ReLU. */
static void V(scatter_row)(const element *gradients, size_t stride, const float *inputs,
                           size_t count, element *dx, size_t pixel, bool add)
{
    V(scatter_values)(gradients, inputs, true, false, stride, stride, count, true, dx, pixel, add);
}

#if BF16
/* Each two pixels of a tile as units; a last one with 0. */
static void V(pair_run)(const element *tile, size_t stride, size_t count, unit *to,
                        size_t to_stride)
{
    static const element none[W];

    for (size_t i = 0; i < count; i += 2)
        V(pair)
    (tile + i * stride, i + 1 < count ? tile + (i + 1) * stride : none, to + i / 2 * to_stride);
}
#endif

/*
 * width_depthwise.h - template: the ends of depthwise convolutions, where W channels of a row of
 * pixels come from memory and go there.
 */

/* A row of inputs, through normalisation and ReLU, into a plane. */
static void V(fill_row)(const struct cpu_depthwise *d, size_t pixel, int channel, float *to,
                        size_t to_stride)
{
    const element *x = elements(&d->x, pixel, channel);
    const size_t stride = d->x.stride, width = (size_t)d->width;

    if (d->mean != NULL) {
        const V(vector) mean = V(load)(d->mean + channel), scale = V(load)(d->scale + channel),
                        shift = V(load)(d->shift + channel);
        for (size_t i = 0; i < width; i++) {
            __builtin_prefetch(x + (i + width) * stride);
            V(store)
            (to + i * to_stride, V(relu)((V(fetch)(x + i * stride) - mean) * scale + shift));
        }
        return;
    }
    for (size_t i = 0; i < width; i++) {
        __builtin_prefetch(x + (i + width) * stride);
        V(store)(to + i * to_stride, V(relu)(V(fetch)(x + i * stride)));
    }
}

/* dx (+)= a row of dX where ReLU, whose results are `inputs`, was open; sums[2][LANES] += what the
 * gradient of the normalisation before it needs: see norm_sums. */
static void V(put_dx_and_sums)(const struct cpu_depthwise *d, size_t pixel, int channel,
                               const element *row, const float *inputs, size_t stride, float *sums)
{
    const element *x = elements(&d->x, pixel, channel);
    element *dx = elements(&d->dx, pixel, channel);
    const size_t x_stride = d->x.stride, dx_stride = d->dx.stride, width = (size_t)d->width;
    const V(vector) mean = V(load)(d->mean + channel);
    const bool add = d->add_dx;
    V(vector) sum = V(load)(sums), products = V(load)(sums + LANES);

    for (size_t i = 0; i < width; i++) {
        __builtin_prefetch(dx + (i + width) * dx_stride, 1);
        V(vector) g = V(where_positive)(V(load)(inputs + i * stride), V(fetch)(row + i * stride));
        sum += g;
        products += g * (V(fetch)(x + i * x_stride) - mean);
        V(put)(dx + i * dx_stride, g, add);
    }
    V(store)(sums, sum);
    V(store)(sums + LANES, products);
}

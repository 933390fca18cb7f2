/*
 * width_depthwise.h - template: depthwise convolution of W channels of one image, forward and
 * backward.
 *
 * Input rows are copied, through normalisation and ReLU, into a ring of rows in the nearest cache,
 * with the padding around them, so that the sums themselves meet no border. dX is the same sum over
 * dY with the taps in reverse; a stride puts zeros between the elements of dY (`spacing`).
 */

/* A picture as the sums see it. */
struct V(picture) {
    const float *data; /* of these channels */
    size_t stride;     /* between pixels */
    int height, width;
    int spacing_height, spacing_width; /* 1, or the elements stand so far apart, zeros between */
    int padding_height, padding_width; /* may be negative: cut off */
    bool relu, normalised;
    V(vector) mean, scale, shift;
    V(vector) * ring; /* ring_rows rows of row_length vectors; zero where no element falls */
    int ring_rows, row_length;
    int next; /* first row not yet copied */
};

static void V(copy_row)(struct V(picture) * p, int row)
{
    V(vector) *to = p->ring + (size_t)(row % p->ring_rows) * (size_t)p->row_length;
    const float *from = p->data + (size_t)row * (size_t)p->width * p->stride;
    const size_t stride = p->stride;
    const int step = p->spacing_width;
    int first = 0, last = p->width;

    while (first < last && first * step + p->padding_width < 0)
        first++;
    while (last > first && (last - 1) * step + p->padding_width >= p->row_length)
        last--;
    to += p->padding_width;
    if (p->normalised) {
        const V(vector) mean = p->mean, scale = p->scale, shift = p->shift;
        const float *ahead = from + (size_t)p->width * stride;
        for (int i = first; i < last; i++) {
            __builtin_prefetch(ahead + (size_t)i * stride);
            to[i * step] = V(relu)((V(load)(from + (size_t)i * stride) - mean) * scale + shift);
        }
    } else if (p->relu) {
        const float *ahead = from + (size_t)p->width * stride;
        for (int i = first; i < last; i++) {
            __builtin_prefetch(ahead + (size_t)i * stride);
            to[i * step] = V(relu)(V(load)(from + (size_t)i * stride));
        }
    } else {
        for (int i = first; i < last; i++)
            to[i * step] = V(load)(from + (size_t)i * stride);
    }
}

/* Where the kernel_height rows lie that the output row at `top` (in padded rows) looks at; NULL:
 * all zero. */
static void V(find_rows)(struct V(picture) * p, int top, int kernel_height, int dilation,
                         const V(vector) * *rows)
{
    const int lowest = (top - p->padding_height + p->spacing_height - 1) / p->spacing_height;

    if (p->next < lowest)
        p->next = lowest; /* nobody looks at the rows between */
    for (int k = 0; k < kernel_height; k++) {
        int at = top - p->padding_height + k * dilation, row = at / p->spacing_height;
        rows[k] = NULL;
        if (at < 0 || at % p->spacing_height != 0 || row >= p->height)
            continue;
        for (; p->next <= row; p->next++)
            V(copy_row)(p, p->next);
        rows[k] = p->ring + (size_t)(row % p->ring_rows) * (size_t)p->row_length;
    }
}

/* One output row: sums over kernel rows and taps, SEKI_CPU_TILE pixels at a time. K, D, S are
 * constants where it is inlined. */
static inline __attribute__((always_inline)) void
V(correlate)(const V(vector) *const *rows, int kernel_height, const V(vector) * weights,
             const int K, const int D, const int S, int columns, float *out, size_t out_stride)
{
    for (int x = 0; x < columns; x += SEKI_CPU_TILE) {
        V(vector) sum[SEKI_CPU_TILE];
#pragma GCC unroll 8
        for (int i = 0; i < SEKI_CPU_TILE; i++)
            sum[i] = (V(vector)){0};
        for (int k = 0; k < kernel_height; k++) {
            const V(vector) *in = rows[k], *w = weights + k * K;
            if (in == NULL)
                continue;
            in += x * S;
#pragma GCC unroll 64
            for (int i = 0; i < S * (SEKI_CPU_TILE - 1) + (K - 1) * D + 1; i++) {
                const V(vector) value = in[i];
#pragma GCC unroll 8
                for (int tap = 0; tap < K; tap++)
                    if (i >= tap * D && (i - tap * D) % S == 0 && (i - tap * D) / S < SEKI_CPU_TILE)
                        sum[(i - tap * D) / S] += value * w[tap];
            }
        }
        if (columns - x >= SEKI_CPU_TILE) {
#pragma GCC unroll 8
            for (int i = 0; i < SEKI_CPU_TILE; i++)
                V(store)(out + (size_t)(x + i) * out_stride, sum[i]);
        } else {
#pragma GCC unroll 8
            for (int i = 0; i < SEKI_CPU_TILE; i++)
                if (i < columns - x)
                    V(store)(out + (size_t)(x + i) * out_stride, sum[i]);
        }
    }
}

/* The same for any kernel, dilation and stride. */
static void V(correlate_any)(const V(vector) *const *rows, int kernel_height,
                             const V(vector) * weights, int K, int D, int S, int columns,
                             float *out, size_t out_stride)
{
    for (int x = 0; x < columns; x++) {
        V(vector) sum = {0};
        for (int k = 0; k < kernel_height; k++)
            for (int tap = 0; rows[k] != NULL && tap < K; tap++)
                sum += rows[k][x * S + tap * D] * weights[k * K + tap];
        V(store)(out + (size_t)x * out_stride, sum);
    }
}

#define CORRELATE(K, D, S)                                                                         \
    case CASE(K, D, S):                                                                            \
        V(correlate)(rows, kernel_height, weights, K, D, S, columns, out, out_stride);             \
        break

static void V(correlate_row)(const V(vector) *const *rows, int kernel_height,
                             const V(vector) * weights, int K, int D, int S, int columns,
                             float *out, size_t out_stride)
{
    switch (CASE(K, D, S)) {
        CORRELATE(3, 1, 1);
        CORRELATE(3, 1, 2);
        CORRELATE(3, 2, 1);
        CORRELATE(3, 2, 2);
        CORRELATE(5, 1, 1);
        CORRELATE(5, 1, 2);
        CORRELATE(5, 2, 1);
        CORRELATE(5, 2, 2);
        CORRELATE(7, 1, 1);
        CORRELATE(7, 1, 2);
    default:
        V(correlate_any)(rows, kernel_height, weights, K, D, S, columns, out, out_stride);
    }
}

#undef CORRELATE

/* A run of rows of dY, and for each the kernel_height rows of inputs that its outputs saw. */
struct V(products) {
    const V(vector) *const *rows; /* [count][kernel_height] */
    int count, kernel_height, columns;
    const float *dy;
    size_t dy_pixel, dy_row; /* strides */
    V(vector) * sums;        /* [kernel_height][K] */
};

/* sums[k..k+R-1][K] += products of dY with those inputs. */
static inline __attribute__((always_inline)) void V(sum_products)(const struct V(products) * p,
                                                                  int k, const int R, const int K,
                                                                  const int D, const int S)
{
    const int columns = p->columns;
    const size_t dy_pixel = p->dy_pixel;
    V(vector) sum[25]; /* R * K of them */

#pragma GCC unroll 32
    for (int i = 0; i < R * K; i++)
        sum[i] = p->sums[k * K + i];
    for (int n = 0; n < p->count; n++) {
        const V(vector) *const *rows = p->rows + n * p->kernel_height + k;
        const float *dy = p->dy + (size_t)n * p->dy_row;
        for (int x = 0; x < columns; x++) {
            const V(vector) g = V(load)(dy + (size_t)x * dy_pixel);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++)
#pragma GCC unroll 8
                for (int tap = 0; tap < K; tap++)
                    sum[r * K + tap] += rows[r][x * S + tap * D] * g;
        }
    }
#pragma GCC unroll 32
    for (int i = 0; i < R * K; i++)
        p->sums[k * K + i] = sum[i];
}

/* The same for any kernel, dilation and stride, of kernel row k. */
static void V(sum_products_any)(const struct V(products) * p, int k, int K, int D, int S)
{
    for (int tap = 0; tap < K; tap++) {
        V(vector) sum = p->sums[k * K + tap];
        for (int n = 0; n < p->count; n++) {
            const V(vector) *row = p->rows[n * p->kernel_height + k] + tap * D;
            const float *dy = p->dy + (size_t)n * p->dy_row;
            for (int x = 0; x < p->columns; x++)
                sum += row[x * S] * V(load)(dy + (size_t)x * p->dy_pixel);
        }
        p->sums[k * K + tap] = sum;
    }
}

/* Kernel rows at a time: as many sums as there are registers for. */
#define ROWS3 3
#define ROWS5 (LANES == 16 ? 5 : 2)
#define PRODUCTS(K, D, S, R)                                                                       \
    case CASE(K, D, S):                                                                            \
        for (; k + (R) <= p->kernel_height; k += (R))                                              \
            V(sum_products)(p, k, R, K, D, S);                                                     \
        for (; k < p->kernel_height; k++)                                                          \
            V(sum_products)(p, k, 1, K, D, S);                                                     \
        break

static void V(sum_all_products)(const struct V(products) * p, int K, int D, int S)
{
    int k = 0;

    switch (CASE(K, D, S)) {
        PRODUCTS(3, 1, 1, ROWS3);
        PRODUCTS(3, 1, 2, ROWS3);
        PRODUCTS(3, 2, 1, ROWS3);
        PRODUCTS(3, 2, 2, ROWS3);
        PRODUCTS(5, 1, 1, ROWS5);
        PRODUCTS(5, 1, 2, ROWS5);
        PRODUCTS(5, 2, 1, ROWS5);
        PRODUCTS(5, 2, 2, ROWS5);
        PRODUCTS(7, 1, 1, 1);
        PRODUCTS(7, 1, 2, 1);
    default:
        for (; k < p->kernel_height; k++)
            V(sum_products_any)(p, k, K, D, S);
    }
}

#undef PRODUCTS
#undef ROWS5
#undef ROWS3

/* x as forward and dW see it; the ring is zeroed. */
static void V(input_picture)(const struct cpu_depthwise *d, int image, int channel, int ring_rows,
                             struct V(picture) * p, V(vector) * ring)
{
    size_t pixels = (size_t)d->height * (size_t)d->width;

    *p = (struct V(picture)){
        .data = d->x.data + (size_t)image * pixels * d->x.stride + channel,
        .stride = d->x.stride,
        .height = d->height,
        .width = d->width,
        .spacing_height = 1,
        .spacing_width = 1,
        .padding_height = d->padding_height,
        .padding_width = d->padding_width,
        .relu = true,
        .normalised = d->mean != NULL,
        .ring = ring,
        .ring_rows = ring_rows,
        .row_length = depthwise_row_length(d, d->out_width, d->stride_width),
    };
    if (p->normalised) {
        p->mean = V(load)(d->mean + channel);
        p->scale = V(load)(d->scale + channel);
        p->shift = V(load)(d->shift + channel);
    }
    memset(ring, 0, (size_t)p->ring_rows * (size_t)p->row_length * sizeof(*ring));
}

static void V(load_weights)(const struct cpu_depthwise *d, const float *from, int channel,
                            V(vector) * weights)
{
    for (int k = 0; k < d->kernel_height * d->kernel_width; k++)
        weights[k] = V(load)(from + (size_t)k * (size_t)d->channels + channel);
}

/* y: the image's, this channel's first. */
static void V(depthwise)(const struct cpu_depthwise *d, int image, int channel, float *y,
                         char *workspace)
{
    const V(vector) * rows[MAX_KERNEL];
    V(vector) *weights = (V(vector) *)workspace;
    V(vector) *ring = weights + d->kernel_height * d->kernel_width;
    const size_t row = (size_t)d->out_width * (size_t)d->channels;
    struct V(picture) x;

    V(load_weights)(d, d->weights, channel, weights);
    V(input_picture)(d, image, channel, depthwise_ring_rows(d), &x, ring);
    for (int i = 0; i < d->out_height; i++) {
        V(find_rows)(&x, i * d->stride_height, d->kernel_height, d->dilation, rows);
        V(correlate_row)
        (rows, d->kernel_height, weights, d->kernel_width, d->dilation, d->stride_width,
         d->out_width, y + (size_t)i * row, (size_t)d->channels);
    }
}

/* dx (+)= a row of dX where ReLU was open. Behind a normalisation `sums` gets what its gradient
 * needs: see norm_sums. */
static void V(put_dx)(const struct cpu_depthwise *d, size_t pixel, int channel,
                      const V(vector) * row, V(vector) sums[2])
{
    const float *x = d->x.data + pixel * d->x.stride + channel;
    float *dx = d->dx.data + pixel * d->dx.stride + channel;
    const size_t x_stride = d->x.stride, dx_stride = d->dx.stride, width = (size_t)d->width;
    const bool add = d->add_dx;

    if (d->mean != NULL) {
        const V(vector) mean = V(load)(d->mean + channel), scale = V(load)(d->scale + channel),
                        shift = V(load)(d->shift + channel);
        V(vector) g_sum = sums[0], product_sum = sums[1];
        for (size_t i = 0; i < width; i++) {
            __builtin_prefetch(x + (i + width) * x_stride);
            __builtin_prefetch(dx + (i + width) * dx_stride, 1);
            V(vector) deviation = V(load)(x + i * x_stride) - mean;
            V(vector) g = V(where_positive)(deviation * scale + shift, row[i]);
            g_sum += g;
            product_sum += g * deviation;
            V(put)(dx + i * dx_stride, g, add);
        }
        sums[0] = g_sum;
        sums[1] = product_sum;
        return;
    }
    for (size_t i = 0; i < width; i++) {
        __builtin_prefetch(x + (i + width) * x_stride);
        __builtin_prefetch(dx + (i + width) * dx_stride, 1);
        V(put)(dx + i * dx_stride, V(where_positive)(V(load)(x + i * x_stride), row[i]), add);
    }
}

/* dy: the image's, this channel's first, d->dy_stride between pixels. */
static void V(depthwise_dx)(const struct cpu_depthwise *d, int image, int channel, const float *dy,
                            char *workspace, double *norm_sums)
{
    const V(vector) * rows[MAX_KERNEL];
    V(vector) *weights = (V(vector) *)workspace;
    V(vector) *row = weights + d->kernel_height * d->kernel_width;
    V(vector) *ring = row + d->width;
    V(vector) sums[2];
    struct V(picture) picture = {
        .data = dy,
        .stride = d->dy_stride,
        .height = d->out_height,
        .width = d->out_width,
        .spacing_height = d->stride_height,
        .spacing_width = d->stride_width,
        .padding_height = (d->kernel_height - 1) * d->dilation - d->padding_height,
        .padding_width = (d->kernel_width - 1) * d->dilation - d->padding_width,
        .ring = ring,
        .ring_rows = depthwise_ring_rows(d),
        .row_length = depthwise_row_length(d, d->width, 1),
    };

    memset(sums, 0, sizeof(sums));
    memset(ring, 0, (size_t)picture.ring_rows * (size_t)picture.row_length * sizeof(*ring));
    V(load_weights)(d, d->flipped, channel, weights);
    for (int i = 0; i < d->height; i++) {
        V(find_rows)(&picture, i, d->kernel_height, d->dilation, rows);
        V(correlate_row)
        (rows, d->kernel_height, weights, d->kernel_width, d->dilation, 1, d->width, (float *)row,
         W);
        V(put_dx)
        (d, ((size_t)image * (size_t)d->height + (size_t)i) * (size_t)d->width, channel, row, sums);
    }
    for (int lane = 0; d->mean != NULL && lane < W; lane++) {
        norm_sums[channel + lane] += (double)V(lane)(&sums[0], lane);
        norm_sums[d->channels + channel + lane] += (double)V(lane)(&sums[1], lane);
    }
}

static void V(depthwise_dw)(const struct cpu_depthwise *d, int image, int channel, const float *dy,
                            char *workspace, double *sums)
{
    const int taps = d->kernel_height * d->kernel_width, run = depthwise_run(d);
    const V(vector) * rows[SEKI_CPU_RUN_ROWS * MAX_KERNEL];
    V(vector) *products = (V(vector) *)workspace, *zeros = products + taps;
    V(vector) *ring = zeros + depthwise_row_length(d, d->out_width, d->stride_width);
    const size_t row = (size_t)d->out_width * d->dy_stride;
    struct V(picture) x;
    struct V(products) p = {.rows = rows,
                            .kernel_height = d->kernel_height,
                            .columns = d->out_width,
                            .dy = dy,
                            .dy_pixel = d->dy_stride,
                            .dy_row = row,
                            .sums = products};

    V(input_picture)(d, image, channel, depthwise_run_rows(d), &x, ring);
    memset(products, 0, (size_t)taps * sizeof(*products));
    memset(zeros, 0, (size_t)x.row_length * sizeof(*zeros));
    for (int i = 0; i < d->out_height; i += p.count, p.dy += (size_t)p.count * row) {
        p.count = d->out_height - i < run ? d->out_height - i : run;
        for (int n = 0; n < p.count; n++)
            V(find_rows)
        (&x, (i + n) * d->stride_height, d->kernel_height, d->dilation,
         rows + n * d->kernel_height);
        for (int k = 0; k < p.count * d->kernel_height; k++)
            if (rows[k] == NULL)
                rows[k] = zeros;
        V(sum_all_products)(&p, d->kernel_width, d->dilation, d->stride_width);
    }
    for (int k = 0; k < taps; k++)
        for (int lane = 0; lane < W; lane++)
            sums[(size_t)k * (size_t)d->channels + (size_t)(channel + lane)] +=
                (double)V(lane)(&products[k], lane);
}

static void V(depthwise_backward)(const struct cpu_depthwise *d, int image, int channel,
                                  const float *dy, char *workspace, double *sums, double *norm_sums)
{
    if (d->dx.data != NULL)
        V(depthwise_dx)(d, image, channel, dy, workspace, norm_sums);
    V(depthwise_dw)(d, image, channel, dy, workspace, sums);
}

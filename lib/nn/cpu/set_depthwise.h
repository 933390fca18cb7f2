/*
 * set_depthwise.h - template: depthwise convolutions of an image, forward and both gradients.
 * Included once by kernel_set.h.
 *
 * What a convolution reads stands in the second cache as planes: for each vector of channels the
 * picture, with zeros around it, so that the sums themselves meet no border. The input's planes are
 * filled through normalisation and ReLU. dX is the same sum over dY with the taps in reverse; a
 * stride leaves zeros between the elements of dY.
 */
#define W LANES

struct planes {
    float *data;        /* [vectors][rows][columns][LANES] */
    size_t line, plane; /* floats between rows, between planes */
};

/* The place of the picture's element (row, column) in the first plane. */
static float *plane_at(const struct planes *p, const struct plane_size *size, int row, int column)
{
    return p->data + (size_t)(size->top + row * size->step_height) * p->line +
           (size_t)(size->left + column * size->step_width) * LANES;
}

/* Where output (or, for dY's planes, input) row i begins to look. */
static const float *plane_look(const struct planes *p, const struct plane_size *size, size_t i)
{
    return p->data + (i + (size_t)size->look_top) * p->line + (size_t)size->look_left * LANES;
}

static struct planes planes_start(const struct plane_size *size, int vectors, float **at)
{
    struct planes p = {*at, (size_t)size->columns * LANES, 0};

    p.plane = (size_t)size->rows * p.line;
    *at += (size_t)vectors * p.plane;
    memset(p.data, 0, (size_t)vectors * p.plane * sizeof(float));
    return p;
}

/* A part's memory. */
struct depthwise_work {
    struct plane_size x_size, dy_size;
    struct planes x, dy;
    element *y;     /* [pixels][panel] */
    float *weights; /* [taps][LANES] */
    element *row;   /* [width][LANES] */
    int vectors;
};

static struct depthwise_work depthwise_start(const struct cpu_depthwise *d, int part, bool backward)
{
    float *at = (float *)(d->workspace + (size_t)part * d->workspace_bytes);
    struct depthwise_work w = {.x_size = cpu_input_planes(d),
                               .vectors = (d->channels + LANES - 1) / LANES};

    w.weights = at;
    at += (size_t)(d->kernel_height * d->kernel_width) * LANES;
    w.y = (element *)at;
    at += (size_t)d->out_height * (size_t)d->out_width * cpu_panel(d->channels);
    w.x = planes_start(&w.x_size, w.vectors, &at);
    if (backward) {
        w.dy_size = cpu_gradient_planes(d);
        w.dy = planes_start(&w.dy_size, w.vectors, &at);
        w.row = (element *)at;
    }
    return w;
}

/* ---- Forward ------------------------------------------------------------------------------ */

/* Calls NAME_w(…) for the channels of vector v, which begin at `channel`; `c` counts within it. */
#define EACH_WIDTH_OF_VECTOR(d, v, NAME, ...)                                                      \
    do {                                                                                           \
        const int channel = (v)*LANES, left = (d)->channels - channel;                             \
        EACH_WIDTH(left < LANES ? left : LANES, NAME, __VA_ARGS__);                                \
    } while (0)

static void fill_planes(const struct cpu_depthwise *d, size_t image, const struct depthwise_work *w)
{
    const size_t pixels = (size_t)d->height * (size_t)d->width;

    for (int v = 0; v < w->vectors; v++)
        for (int i = 0; i < d->height; i++) {
            const size_t pixel = image * pixels + (size_t)i * (size_t)d->width;
            float *to = plane_at(&w->x, &w->x_size, i, 0) + (size_t)v * w->x.plane;
            EACH_WIDTH_OF_VECTOR(d, v, fill_row, d, pixel, channel + c, to + c, LANES);
        }
}

/* One row of outputs: sums over kernel rows and taps, SEKI_CPU_TILE pixels at a time. K, D, S are
 * constants where it is inlined. */
static inline __attribute__((always_inline)) void
correlate(const V(vector) * in, size_t line, int kernel_height, const V(vector) * weights,
          const int K, const int D, const int S, int columns, element *out, size_t out_stride)
{
    for (int x = 0; x < columns; x += SEKI_CPU_TILE, in += SEKI_CPU_TILE * S) {
        V(vector) sum[SEKI_CPU_TILE];
        UNROLL(8)
        for (int i = 0; i < SEKI_CPU_TILE; i++)
            sum[i] = (V(vector)){0};
        for (int k = 0; k < kernel_height; k++) {
            const V(vector) *row = in + (size_t)k * line, *w = weights + k * K;
            UNROLL(64)
            for (int i = 0; i < S * (SEKI_CPU_TILE - 1) + (K - 1) * D + 1; i++) {
                const V(vector) value = row[i];
                UNROLL(8)
                for (int tap = 0; tap < K; tap++)
                    if (i >= tap * D && (i - tap * D) % S == 0 && (i - tap * D) / S < SEKI_CPU_TILE)
                        sum[(i - tap * D) / S] += value * w[tap];
            }
        }
        if (columns - x >= SEKI_CPU_TILE) {
            UNROLL(8)
            for (int i = 0; i < SEKI_CPU_TILE; i++)
                V(write)(out + (size_t)(x + i) * out_stride, sum[i]);
        } else {
            UNROLL(8)
            for (int i = 0; i < SEKI_CPU_TILE; i++)
                if (i < columns - x)
                    V(write)(out + (size_t)(x + i) * out_stride, sum[i]);
        }
    }
}

/* The same for any kernel, dilation and stride. */
static void correlate_any(const V(vector) * in, size_t line, int kernel_height,
                          const V(vector) * weights, int K, int D, int S, int columns, element *out,
                          size_t out_stride)
{
    for (int x = 0; x < columns; x++) {
        V(vector) sum = {0};
        for (int k = 0; k < kernel_height; k++)
            for (int tap = 0; tap < K; tap++)
                sum += in[(size_t)k * line + (size_t)(x * S + tap * D)] * weights[k * K + tap];
        V(write)(out + (size_t)x * out_stride, sum);
    }
}

#define CORRELATE(K, D, S)                                                                         \
    case CASE(K, D, S):                                                                            \
        correlate(in, line, d->kernel_height, weights, K, D, S, columns, out, out_stride);         \
        break

/* `from`: where the row begins to look; `floats` between the rows of its planes. */
static void correlate_row(const struct cpu_depthwise *d, const float *from, size_t floats,
                          const float *taps, int stride, int columns, element *out,
                          size_t out_stride)
{
    const V(vector) *in = (const V(vector) *)from, *weights = (const V(vector) *)taps;
    const size_t line = floats / LANES * (size_t)d->dilation;

    switch (CASE(d->kernel_width, d->dilation, stride)) {
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
        correlate_any(in, line, d->kernel_height, weights, d->kernel_width, d->dilation, stride,
                      columns, out, out_stride);
    }
}

#undef CORRELATE

static void load_taps(const struct cpu_depthwise *d, const float *from, int vector, float *taps)
{
    const size_t panel = cpu_panel(d->channels);

    for (int k = 0; k < d->kernel_height * d->kernel_width; k++)
        V(store)(taps + k * LANES, V(load)(from + (size_t)k * panel + (size_t)vector * LANES));
}

/* An image's output into w->y; its inputs stay in w->x. */
static void depthwise_image(const struct cpu_depthwise *d, size_t image,
                            const struct depthwise_work *w)
{
    const size_t panel = cpu_panel(d->channels), row = (size_t)d->out_width * panel;

    fill_planes(d, image, w);
    for (int v = 0; v < w->vectors; v++) {
        load_taps(d, d->weights, v, w->weights);
        for (size_t i = 0; i < (size_t)d->out_height; i++)
            correlate_row(d,
                          plane_look(&w->x, &w->x_size, i * (size_t)d->stride_height) +
                              (size_t)v * w->x.plane,
                          w->x.line, w->weights, d->stride_width, d->out_width,
                          w->y + i * row + (size_t)v * LANES, panel);
    }
}

/* ---- Backward ----------------------------------------------------------------------------- */

/* An image's gradients of one vector of channels, and the inputs that its outputs saw. */
struct products {
    const V(vector) * x, *dy;
    size_t x_row, x_line, dy_line; /* between kernel rows; between rows of outputs */
    int rows, columns, dy_pixel;
    V(vector) * sums; /* [kernel_height][K] */
};

/* sums[k..k+R-1][K] += products of dY with those inputs. */
static inline __attribute__((always_inline)) void
sum_products(const struct products *p, int k, const int R, const int K, const int D, const int S)
{
    const int columns = p->columns, dy_pixel = p->dy_pixel;
    const size_t x_row = p->x_row;
    V(vector) sum[25]; /* R * K of them */

    UNROLL(32)
    for (int i = 0; i < R * K; i++)
        sum[i] = p->sums[k * K + i];
    for (int n = 0; n < p->rows; n++) {
        const V(vector) *dy = p->dy + (size_t)n * p->dy_line;
        const V(vector) *x = p->x + (size_t)n * p->x_line + (size_t)k * x_row;
        for (int i = 0; i < columns; i++, dy += dy_pixel, x += S) {
            const V(vector) g = *dy;
            UNROLL(8)
            for (int r = 0; r < R; r++)
                UNROLL(8)
            for (int tap = 0; tap < K; tap++)
                sum[r * K + tap] += x[(size_t)r * x_row + (size_t)(tap * D)] * g;
        }
    }
    UNROLL(32)
    for (int i = 0; i < R * K; i++)
        p->sums[k * K + i] = sum[i];
}

/* The same for any kernel, dilation and stride, of kernel row k. */
static void sum_products_any(const struct products *p, int k, int K, int D, int S)
{
    for (int tap = 0; tap < K; tap++) {
        V(vector) sum = p->sums[k * K + tap];
        for (int n = 0; n < p->rows; n++) {
            const V(vector) *dy = p->dy + (size_t)n * p->dy_line;
            const V(vector) *x =
                p->x + (size_t)n * p->x_line + (size_t)k * p->x_row + (size_t)(tap * D);
            for (int i = 0; i < p->columns; i++)
                sum += x[i * S] * dy[i * p->dy_pixel];
        }
        p->sums[k * K + tap] = sum;
    }
}

/* Kernel rows at a time: as many sums as there are registers for. */
#define ROWS3 3
#define ROWS5 (LANES == 16 ? 5 : 2)
#define PRODUCTS(K, D, S, R)                                                                       \
    case CASE(K, D, S):                                                                            \
        for (; k + (R) <= d->kernel_height; k += (R))                                              \
            sum_products(p, k, R, K, D, S);                                                        \
        for (; k < d->kernel_height; k++)                                                          \
            sum_products(p, k, 1, K, D, S);                                                        \
        break

static void sum_all_products(const struct cpu_depthwise *d, const struct products *p)
{
    int k = 0;

    switch (CASE(d->kernel_width, d->dilation, d->stride_width)) {
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
        for (; k < d->kernel_height; k++)
            sum_products_any(p, k, d->kernel_width, d->dilation, d->stride_width);
    }
}

#undef PRODUCTS
#undef ROWS5
#undef ROWS3

static void depthwise_dx(const struct cpu_depthwise *d, size_t image, int v,
                         const struct depthwise_work *w, double *norm_sums)
{
    const size_t width = (size_t)d->width, pixels = (size_t)d->height * width;
    float sums[2 * LANES] = {0};

    load_taps(d, d->flipped, v, w->weights);
    for (int i = 0; i < d->height; i++) {
        const float *inputs = plane_at(&w->x, &w->x_size, i, 0) + (size_t)v * w->x.plane;
        const size_t pixel = image * pixels + (size_t)i * width;
        correlate_row(d, plane_look(&w->dy, &w->dy_size, (size_t)i) + (size_t)v * w->dy.plane,
                      w->dy.line, w->weights, 1, d->width, w->row, LANES);
        if (d->mean != NULL)
            EACH_WIDTH_OF_VECTOR(d, v, put_dx_and_sums, d, pixel, channel + c, w->row + c,
                                 inputs + c, LANES, sums + c);
        else
            EACH_WIDTH_OF_VECTOR(d, v, scatter_row, w->row + c, LANES, inputs + c, width,
                                 elements(&d->dx, pixel, channel + c), d->dx.stride, d->add_dx);
    }
    for (int c = 0; d->mean != NULL && c < LANES && v * LANES + c < d->channels; c++) {
        norm_sums[v * LANES + c] += (double)sums[c];
        norm_sums[d->channels + v * LANES + c] += (double)sums[LANES + c];
    }
}

static void depthwise_dweights(const struct cpu_depthwise *d, int v, const struct depthwise_work *w,
                               double *sums)
{
    const int taps = d->kernel_height * d->kernel_width;
    const struct products p = {
        .x = (const V(vector) *)(plane_look(&w->x, &w->x_size, 0) + (size_t)v * w->x.plane),
        .dy = (const V(vector) *)(plane_at(&w->dy, &w->dy_size, 0, 0) + (size_t)v * w->dy.plane),
        .x_row = w->x.line / LANES * (size_t)d->dilation,
        .x_line = w->x.line / LANES * (size_t)d->stride_height,
        .dy_line = w->dy.line / LANES * (size_t)w->dy_size.step_height,
        .rows = d->out_height,
        .columns = d->out_width,
        .dy_pixel = w->dy_size.step_width,
        .sums = (V(vector) *)w->weights,
    };

    memset(w->weights, 0, (size_t)taps * LANES * sizeof(float));
    sum_all_products(d, &p);
    for (int k = 0; k < taps; k++)
        for (int c = 0; c < LANES && v * LANES + c < d->channels; c++)
            sums[k * d->channels + v * LANES + c] += (double)w->weights[k * LANES + c];
}

static void depthwise_sums_start(const struct cpu_depthwise *d, int part)
{
    const size_t taps = (size_t)d->kernel_height * (size_t)d->kernel_width;

    memset(d->sums + (size_t)part * d->sums_stride, 0,
           taps * (size_t)d->channels * sizeof(*d->sums));
    if (d->mean != NULL)
        memset(d->norm_sums + (size_t)part * d->norm_sums_stride, 0,
               2 * (size_t)d->channels * sizeof(*d->norm_sums));
}

/* The gradients of an image, whose inputs are in w->x and output gradients in w->dy. */
static void depthwise_backward_image(const struct cpu_depthwise *d, size_t image, int part,
                                     const struct depthwise_work *w)
{
    double *norm_sums = d->mean != NULL ? d->norm_sums + (size_t)part * d->norm_sums_stride : NULL;

    for (int v = 0; v < w->vectors; v++) {
        if (d->dx.data != NULL)
            depthwise_dx(d, image, v, w, norm_sums);
        depthwise_dweights(d, v, w, d->sums + (size_t)part * d->sums_stride);
    }
}

#undef W

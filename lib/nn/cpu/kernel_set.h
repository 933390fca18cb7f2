/*
 * kernel_set.h - template: all kernels of one instruction set, from the width_*.h templates.
 * Included by kernels_*.c, which define SET (the table's name), SET_NAME, LANES (16, 8 or 4) and
 * BF16 (whether elements are bf16), and choose the instruction set.
 */
#include "nn/cpu/kernels.h"

#include <string.h>

#include "nn/backend.h"

#if !defined(__clang__)
/* It keeps values for the next turns of a loop, and runs out of registers in dW's, which is full of
 * sums. */
#pragma GCC optimize("no-predictive-commoning")
#endif

/* Before a loop with a constant count, which must vanish for its sums to stay in registers. */
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define UNROLL(count) PRAGMA(clang loop unroll(full))
#else
#define UNROLL(count) PRAGMA(GCC unroll count)
#endif

#define JOIN(a, b)    a##b
#define WIDE(name, w) JOIN(name, w)
#define V(name)       WIDE(name##_, W)

#define MAX_KERNEL    SEKI_CPU_MAX_KERNEL
#define CASE(K, D, S) (((K) << 8) + ((D) << 4) + (S))

/* ---- What the templates share -------------------------------------------------------------- */

/* What a tensor and the products' matrices are made of; and what a product multiplies with another:
 * one float, or two bf16, whose products are added. */
#if BF16
typedef uint16_t element;
typedef uint32_t unit __attribute__((may_alias));
/* As integers, what ReLU makes 0 is up to here; behind are the NaNs with a sign, then all others.
 */
#define BF16_NEGATIVE ((int16_t)0xff80)
#else
typedef float element;
typedef float unit;
#endif

#define UNIT (sizeof(unit) / sizeof(element))

static inline size_t units(size_t elements)
{
    return (elements + UNIT - 1) / UNIT;
}

/* That channel of a pixel. */
static inline element *elements(const struct cpu_view *view, size_t pixel, int channel)
{
    return (element *)view->data + pixel * view->stride + channel;
}

struct span {
    int first, end;
};

/* The rows (or columns) of a picture of `size` that output i looks at. */
static inline struct span pool_span(int i, int stride, int padding, int kernel, int size)
{
    int first = i * stride - padding, end = first + kernel;
    return (struct span){first < 0 ? 0 : first, end > size ? size : end};
}

/* The outputs that look at row (or column) i. */
static inline struct span pool_outputs(int i, int stride, int padding, int kernel, int outputs)
{
    int lowest = i + padding - kernel + 1, last = i + padding;

    lowest = lowest < 0 ? 0 : lowest;
    if (stride > 1) { /* a division for each pixel is felt */
        lowest = (lowest + stride - 1) / stride;
        last /= stride;
    }
    return (struct span){lowest, last >= outputs ? outputs : last + 1};
}

/* 1 / count; a division for each pixel is felt. */
static inline float pool_reciprocal(int count)
{
    return count == 3 ? 1.0f / 3 : count == 2 ? 0.5f : 1.0f / (float)count;
}

static inline float pool_share(int i, int stride, int padding, int kernel, int size)
{
    struct span span = pool_span(i, stride, padding, kernel, size);
    return pool_reciprocal(span.end - span.first);
}

/* ---- Widths ------------------------------------------------------------------------------- */

#define W 1
#include "nn/cpu/width_all.h"
#undef W
#define W 4
#include "nn/cpu/width_all.h"
#undef W
#if LANES >= 8
#define W 8
#include "nn/cpu/width_all.h"
#undef W
#define IF8(...) __VA_ARGS__
#else
#define IF8(...)
#endif
#if LANES >= 16
#define W 16
#include "nn/cpu/width_all.h"
#undef W
#define IF16(...) __VA_ARGS__
#else
#define IF16(...)
#endif

/* Calls NAME_w(…) for the channels in turn, as many at a time as there are vectors for. In the
 * arguments `c` is the first channel. */
#define EACH_WIDTH(channels, NAME, ...)                                                            \
    do {                                                                                           \
        int c = 0;                                                                                 \
        IF16(for (; c + 16 <= (channels); c += 16) NAME##_16(__VA_ARGS__);)                        \
        IF8(for (; c + 8 <= (channels); c += 8) NAME##_8(__VA_ARGS__);)                            \
        for (; c + 4 <= (channels); c += 4)                                                        \
            NAME##_4(__VA_ARGS__);                                                                 \
        for (; c < (channels); c++)                                                                \
            NAME##_1(__VA_ARGS__);                                                                 \
    } while (0)

/* ---- Pixels, in runs that the nearest cache holds ------------------------------------------- */

struct run {
    size_t first, count, end; /* pixels, counted over all images */
    size_t image;
};

static struct run run_start(int images, size_t pixels, int part, int parts)
{
    size_t all = (size_t)images * pixels;
    return (struct run){.first = cpu_first(all, part, parts),
                        .end = cpu_first(all, part + 1, parts)};
}

/* Pixels whose values the nearest cache holds. */
static size_t run_length(int channels)
{
    return channels < 256 ? 2048 / (size_t)channels : 8;
}

/* The next run of pixels of one image, so many at most; false at the end. */
static bool run_next(struct run *run, size_t pixels, size_t most)
{
    size_t left;

    run->first += run->count;
    if (run->first >= run->end)
        return false;
    run->image = run->first / pixels;
    left = (run->image + 1) * pixels;
    left = (left < run->end ? left : run->end) - run->first;
    run->count = left < most ? left : most;
    return true;
}

static inline float kept(const float *keep, size_t image)
{
    return keep != NULL ? keep[image] : 1.0f;
}

static void map(const void *call, int part, int parts)
{
    const struct cpu_map *m = call;
    struct run run = run_start(m->images, m->pixels, part, parts);

    while (run_next(&run, m->pixels, run_length(m->channels)))
        EACH_WIDTH(m->channels, map, m, run.first, run.count, c, kept(m->keep, run.image));
}

/* The moments of a part of so many values from its sums: [3][channels] mean, sum of squared
 * deviations from it, then how many values. */
static void finish_moments(const struct cpu_norm *m, size_t count, double *sums)
{
    const size_t channels = (size_t)m->channels;
    const double n = (double)count;

    for (size_t c = 0; c < channels && count > 0; c++) {
        const double sum = sums[channels + c], squares = sums[2 * channels + c] - sum * sum / n;
        sums[c] += sum / n;
        sums[channels + c] = squares < 0 ? 0 : squares; /* NaN stays */
    }
    sums[2 * channels] = n;
}

static void moments(const void *call, int part, int parts)
{
    const struct cpu_norm *m = call;
    struct run run = run_start(m->images, m->pixels, part, parts);
    const size_t begin = run.first;
    double *sums = m->sums + (size_t)part * m->sums_stride;

    while (run_next(&run, m->pixels, run_length(m->channels)))
        EACH_WIDTH(m->channels, add_moments, elements(&m->z, run.first, c), m->z.stride, run.count,
                   run.first == begin, m->channels, sums + c);
    finish_moments(m, run.end - begin, sums);
}

static void normalise(const void *call, int part, int parts)
{
    const struct cpu_norm *m = call;
    struct run run = run_start(m->images, m->pixels, part, parts);

    while (run_next(&run, m->pixels, run_length(m->channels)))
        EACH_WIDTH(m->channels, normalise, m, elements(&m->z, run.first, c), m->z.stride, run.first,
                   run.count, c, kept(m->keep, run.image));
}

static void norm_sums(const void *call, int part, int parts)
{
    const struct cpu_norm *m = call;
    struct run run = run_start(m->images, m->pixels, part, parts);
    double *sums = m->sums + (size_t)part * m->sums_stride;

    memset(sums, 0, 2 * (size_t)m->channels * sizeof(*sums));
    while (run_next(&run, m->pixels, run_length(m->channels)))
        EACH_WIDTH(m->channels, norm_sums, m, run.first, run.count, c, kept(m->keep, run.image),
                   sums);
}

static void norm_backward(const void *call, int part, int parts)
{
    const struct cpu_norm *m = call;
    struct run run = run_start(m->images, m->pixels, part, parts);

    while (run_next(&run, m->pixels, run_length(m->channels)))
        EACH_WIDTH(m->channels, norm_backward, m, run.first, run.count, c,
                   kept(m->keep, run.image));
}

/* ---- Convolutions ------------------------------------------------------------------------- */

static void pack(const void *call, int part, int parts)
{
    const struct cpu_pack *p = call;
    const size_t panel = cpu_panel(p->columns), rows = units((size_t)p->rows);
    const size_t count = (size_t)p->taps * rows, end = cpu_first(count, part + 1, parts);

    for (size_t i = cpu_first(count, part, parts); i < end; i++) {
        const size_t row = i % rows * UNIT;
        const float *from = p->from + (ptrdiff_t)(i / rows) * p->tap + (ptrdiff_t)row * p->row;
        element *to = (element *)p->to + i * panel * UNIT;
        for (size_t c = 0; c < panel; c++)
            for (size_t r = 0; r < UNIT; r++) {
                const bool inside = c < (size_t)p->columns && row + r < (size_t)p->rows;
                const ptrdiff_t at = (ptrdiff_t)r * p->row + (ptrdiff_t)c * p->column;
                write_1(to + c * UNIT + r, inside ? from[at] : 0);
            }
    }
}

#include "nn/cpu/set_matrix.h"
#include "nn/cpu/set_pointwise.h"
#include "nn/cpu/set_depthwise.h"
#include "nn/cpu/set_separable.h"
#include "nn/cpu/set_dense.h"

/* ---- Pooling ------------------------------------------------------------------------------ */

static void pool(const void *call, int part, int parts)
{
    const struct cpu_pool *p = call;
    const struct cpu_norm *m = p->norm;
    char *workspace = p->workspace + (size_t)part * p->workspace_bytes;
    const size_t pixels = (size_t)p->out_height * (size_t)p->out_width;
    const size_t first = cpu_first((size_t)p->images, part, parts);
    const size_t end = cpu_first((size_t)p->images, part + 1, parts);
    double *sums = m != NULL ? m->sums + (size_t)part * m->sums_stride : NULL;

    for (size_t image = first; image < end; image++) {
        const float keep = kept(p->keep, image);
        element *y = elements(&p->y, image * pixels, 0);
        if (p->maximum)
            EACH_WIDTH(p->channels, max_pool, p, (int)image, c, y + c, p->y.stride, keep, p->add,
                       workspace);
        else
            EACH_WIDTH(p->channels, average_pool, p, (int)image, c, y + c, p->y.stride, keep,
                       p->add, workspace);
        if (m != NULL && m->known)
            EACH_WIDTH(p->channels, normalise, m, y + c, p->y.stride, image * pixels, pixels, c,
                       kept(m->keep, image));
        else if (m != NULL)
            EACH_WIDTH(p->channels, add_moments, y + c, p->y.stride, pixels, image == first,
                       p->channels, sums + c);
    }
    if (m != NULL && !m->known)
        finish_moments(m, (end - first) * pixels, sums);
}

static void pool_backward(const void *call, int part, int parts)
{
    const struct cpu_pool *p = call;
    const struct cpu_norm *m = p->norm;
    float *dz = (float *)(p->workspace + (size_t)part * p->workspace_bytes);
    const size_t pixels = (size_t)p->out_height * (size_t)p->out_width;
    const size_t panel = cpu_panel(p->channels);
    char *workspace = (char *)(dz + pixels * panel);
    const size_t end = cpu_first((size_t)p->images, part + 1, parts);

    for (size_t image = cpu_first((size_t)p->images, part, parts); image < end; image++) {
        if (m != NULL)
            EACH_WIDTH(p->channels, norm_backward_floats, m, image * pixels, pixels, c,
                       kept(m->keep, image), dz + c, panel);
        else
            EACH_WIDTH(p->channels, widen_run, elements(&p->dy, image * pixels, c), p->dy.stride,
                       pixels, dz + c, panel);
        if (p->maximum)
            EACH_WIDTH(p->channels, max_pool_backward, p, (int)image, c, dz + c, panel,
                       kept(p->keep, image), workspace);
        else
            EACH_WIDTH(p->channels, average_pool_backward, p, (int)image, c, dz + c, panel,
                       kept(p->keep, image), workspace);
    }
}

/* ---- Classifier --------------------------------------------------------------------------- */

static void head_mean(const void *call, int part, int parts)
{
    const struct cpu_head *h = call;
    const size_t images = (size_t)h->images;

    for (size_t n = cpu_first(images, part, parts); n < cpu_first(images, part + 1, parts); n++)
        for (int channel = 0, now; channel < h->channels; channel += now) {
            element *x;
            now = (int)part_channels(&h->x, channel, h->channels, &x);
            x += n * h->pixels * h->x.stride;
            EACH_WIDTH(now, head_mean, h, n, channel + c, x + c);
        }
}

static void head_linear(const void *call, int part, int parts)
{
    const struct cpu_head *h = call;
    const size_t images = (size_t)h->images, channels = (size_t)h->channels;

    for (size_t n = cpu_first(images, part, parts); n < cpu_first(images, part + 1, parts); n++) {
        float *y = (float *)h->y.data + n * h->y.stride;
        for (int k = 0; k < h->classes; k++) {
            const float *a = h->mean + n * channels, *b = h->weights + (size_t)k * channels;
            double sum = h->bias[k];
            EACH_WIDTH(h->channels, sum += (double)head_dot, a + c, b + c);
            y[k] = (float)sum * kept(h->keep, n) + (h->add ? y[k] : 0.0f);
        }
    }
}

static void head_dmean(const void *call, int part, int parts)
{
    const struct cpu_head *h = call;
    const size_t images = (size_t)h->images;

    for (size_t n = cpu_first(images, part, parts); n < cpu_first(images, part + 1, parts); n++)
        EACH_WIDTH(h->channels, head_dmean, h, n, c);
}

static void head_dweights(const void *call, int part, int parts)
{
    const struct cpu_head *h = call;
    const size_t classes = (size_t)h->classes;

    for (size_t k = cpu_first(classes, part, parts); k < cpu_first(classes, part + 1, parts); k++) {
        double sum = 0;
        EACH_WIDTH(h->channels, head_dweights, h, (int)k, c);
        for (size_t n = 0; n < (size_t)h->images; n++)
            sum += (double)((const float *)h->dy.data)[n * h->dy.stride + k] *
                   (double)kept(h->keep, n);
        h->dbias[k] += (float)sum;
    }
}

static void head_dx(const void *call, int part, int parts)
{
    const struct cpu_head *h = call;
    const size_t images = (size_t)h->images;

    for (size_t n = cpu_first(images, part, parts); n < cpu_first(images, part + 1, parts); n++)
        for (int channel = 0, now; channel < h->channels; channel += now) {
            element *dx;
            now = (int)part_channels(&h->dx, channel, h->channels, &dx);
            dx += n * h->pixels * h->dx.stride;
            EACH_WIDTH(now, head_dx, h, n, channel + c, dx + c);
        }
}

/* ---- Parameters --------------------------------------------------------------------------- */

static double square_sum(const float *values, size_t count)
{
    double sums[LANES] = {0}, sum = 0;
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += (double)values[i + lane] * (double)values[i + lane];
    for (; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    for (size_t lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    return sum;
}

static void sgd(float *restrict weights, const float *restrict gradients, float *restrict momenta,
                size_t count, const struct seki_sgd_factors *sgd)
{
    const float rate = sgd->rate, momentum = sgd->momentum, decay = sgd->decay, scale = sgd->scale;
    const bool nesterov = sgd->nesterov;

    for (size_t i = 0; i < count; i++) {
        float g = scale * gradients[i] + decay * weights[i], m = momentum * momenta[i] + g;
        momenta[i] = m;
        weights[i] -= rate * (nesterov ? g + momentum * m : m);
    }
}

const struct cpu_kernels SET = {
    .name = SET_NAME,
    .element = sizeof(element),
    .map = map,
    .moments = moments,
    .normalise = normalise,
    .norm_sums = norm_sums,
    .norm_backward = norm_backward,
    .pack = pack,
    .pointwise = pointwise,
    .pointwise_backward = pointwise_backward,
    .dense = dense,
    .dense_backward = dense_backward,
    .separable = separable,
    .separable_backward = separable_backward,
    .pool = pool,
    .pool_backward = pool_backward,
    .head_mean = head_mean,
    .head_linear = head_linear,
    .head_dmean = head_dmean,
    .head_dweights = head_dweights,
    .head_dx = head_dx,
    .square_sum = square_sum,
    .sgd = sgd,
};

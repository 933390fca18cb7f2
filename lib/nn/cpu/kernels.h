/*
 * kernels.h - the loops that the compiler turns into vector code, as one table of functions per
 * instruction set.
 *
 * The sources of a set are the templates width_*.h, written for vectors of any width; kernel_set.h
 * puts them together for the widths that the set has, so that 36 channels are 16 + 16 + 4 with
 * AVX-512. A kernel does one `part` of `parts` of its work, split by position alone: the same
 * number of parts gives the same bytes. No kernel knows of threads. Layout: channels innermost
 * (NHWC).
 */
#ifndef SEKI_CPU_KERNELS_H
#define SEKI_CPU_KERNELS_H

#include <string.h>

#include "nn/nn_internal.h"

/* The widest vector of any set, in floats: workspaces are sized for it. */
#define SEKI_CPU_LANES 16
/* Pixels of a row that the depthwise kernels compute at a time. */
#define SEKI_CPU_TILE 8
/* The longest side of a maximum pooling's kernel. */
#define SEKI_CPU_MAX_KERNEL 64

/* A range of channels in all pixels of a tensor of elements, floats or bf16 as the set has them:
 * pixel p's begin at element p * stride. Where a kernel takes several parts of a tensor, their
 * channels count on: the next part's lie `apart` elements behind, and each has `stride` channels.
 * `full`: they are floats in every set; `map` and the classifier's results alone know of that. */
struct cpu_view {
    void *data;
    size_t stride, apart;
    bool full;
};

/* y (+)= keep[n] * f(x), f the identity or ReLU; x.data NULL is a tensor of zeros. With `mask`:
 * y (+)= keep[n] * x where mask > 0, else 0. */
struct cpu_map {
    int images, channels;
    size_t pixels; /* of an image */
    struct cpu_view x, y, mask;
    const float *keep;
    bool relu, add;
};

/* Batch normalisation over images * pixels. Coefficients are arrays of `channels` floats:
 * y (+)= keep[n] * f((z - mean) * scale + shift), f the identity or ReLU. */
struct cpu_norm {
    int images, channels;
    size_t pixels;
    struct cpu_view z, y;
    const float *keep;
    const float *mean, *scale, *shift;
    bool relu, add;
    bool known; /* mean, scale, shift are, before z is: only z or, where it is wanted, y is written
                 */
    /* backward, in two steps: sums over pixels of g and of g * (z - mean), where g is keep[n] * dy
     * (0 where ReLU was shut), then dz (+)= scale * g - offset - (z - mean) * slope */
    struct cpu_view dy, dz;
    float *offset, *slope;
    /* A part's sums, [3][channels]: see finish_moments; backward the two */
    double *sums;
    size_t sums_stride; /* doubles between two parts' sums */
};

/* Depthwise convolution of an image, f(x), f being ReLU, or ReLU of a normalisation (mean not
 * NULL). */
struct cpu_depthwise {
    int images, channels;
    int height, width, out_height, out_width;
    int kernel_height, kernel_width, stride_height, stride_width;
    int padding_height, padding_width, dilation;
    struct cpu_view x;
    const float *mean, *scale, *shift;
    float *weights, *flipped; /* [taps][panel of channels]; the last tap first */
    struct cpu_view dx;       /* data NULL: not wanted */
    bool add_dx;
    double *sums; /* a part's dW: [kernel_height * kernel_width][channels] */
    size_t sums_stride;
    double *norm_sums; /* mean not NULL: a part's sums for its backward; see struct cpu_norm */
    size_t norm_sums_stride;
    char *workspace; /* workspace_bytes for each part */
    size_t workspace_bytes;
};

/* Weights for the products of matrices: of each tap a matrix of rows x columns, whose element is at
 * from[t * tap + r * row + c * column]. Packed they are elements, [taps][rows][panel of columns],
 * those of bf16 with each two rows' side by side, [taps][rows / 2][panel of columns][2]; what is
 * over the matrix is 0. Room for as many floats as the first form has is enough for either. */
struct cpu_pack {
    const float *from;
    void *to;
    int taps, rows, columns;
    ptrdiff_t tap, row, column;
};

/* Dense convolution of f(x), f the identity or ReLU, and what the normalisation behind it needs:
 * either 1x1, where output (i, j) reads x at (step i + odd, step j + odd), zeros outside of it, and
 * x and dx may have several parts; or larger, with stride 1 and one part. */
struct cpu_dense {
    int in_channels, out_channels;
    int height, width, out_height, out_width;
    int kernel_height, kernel_width, padding_height, padding_width;
    int step, odd;
    bool relu;
    struct cpu_view x;
    void *weights;               /* packed: in rows, out columns; see struct cpu_pack */
    const struct cpu_norm *norm; /* of its output: forward writes z and the moments, or if they are
                                    `known` y; backward reads z, dy, keep and all coefficients */
    /* backward */
    void *back_weights; /* packed: out rows, in columns, the last tap first */
    struct cpu_view dx; /* data NULL: not wanted */
    bool add_dx;
    double *sums; /* a part's dW: [tap][in][panel of out] */
    size_t sums_stride;
    char *workspace; /* workspace_bytes for each part */
    size_t workspace_bytes;
};

/* The most taps of one. */
#define CPU_MAX_TAPS 9

/* Depthwise, then pointwise convolution; pointwise->x, dx and relu have no meaning. */
struct cpu_separable {
    const struct cpu_depthwise *depthwise;
    const struct cpu_dense *pointwise;
};

/* Pooling of f(x), f the identity or ReLU, and what a normalisation behind it needs. */
struct cpu_pool {
    int images, channels;
    int height, width, out_height, out_width;
    int kernel_height, kernel_width, stride_height, stride_width;
    int padding_height, padding_width;
    bool maximum, relu, add;
    const float *keep;           /* norm NULL */
    const struct cpu_norm *norm; /* or NULL; forward finds the moments, or if they are `known`
                                    writes its y; backward reads its dy, not this one's */
    struct cpu_view x, y;        /* y: with norm its z */
    struct cpu_view dx, dy;
    char *workspace; /* workspace_bytes for each part */
    size_t workspace_bytes;
};

/* mean over pixels → linear. x and dx may have several parts; y and dy are full. */
struct cpu_head {
    int images, channels, classes;
    size_t pixels;
    struct cpu_view x, y, dx, dy;
    const float *weights, *bias, *keep;
    float *mean;     /* [images][channels] */
    float *dmean;    /* [images][channels]: backward's scratch */
    float *dweights; /* += */
    float *dbias;    /* += */
    bool add;        /* to y, or to dx */
};

static inline float cpu_bf16_to_float(uint16_t bf16)
{
    const uint32_t bits = (uint32_t)bf16 << 16;
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* The nearest, of two the even one; NaN stays NaN. */
static inline uint16_t cpu_bf16_from_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    if (value != value)
        return (uint16_t)((bits | 0x400000) >> 16);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Does its part of what `call`, one of the records above, describes. */
typedef void cpu_kernel(const void *call, int part, int parts);

struct seki_sgd_factors;

struct cpu_kernels {
    const char *name;
    size_t element; /* bytes of an element: 4 float, 2 bf16 */
    /* struct cpu_map */
    cpu_kernel *map;
    /* struct cpu_norm */
    cpu_kernel *moments;
    cpu_kernel *normalise;
    cpu_kernel *norm_sums;
    cpu_kernel *norm_backward;
    /* struct cpu_pack */
    cpu_kernel *pack;
    /* struct cpu_dense: 1x1; larger */
    cpu_kernel *pointwise;
    cpu_kernel *pointwise_backward;
    cpu_kernel *dense;
    cpu_kernel *dense_backward;
    /* struct cpu_separable */
    cpu_kernel *separable;
    cpu_kernel *separable_backward;
    /* struct cpu_pool */
    cpu_kernel *pool;
    cpu_kernel *pool_backward;
    /* struct cpu_head */
    cpu_kernel *head_mean;
    cpu_kernel *head_linear;
    cpu_kernel *head_dmean;
    cpu_kernel *head_dweights;
    cpu_kernel *head_dx;
    /* plain arrays */
    double (*square_sum)(const float *values, size_t count);
    void (*sgd)(float *weights, const float *gradients, float *momenta, size_t count,
                const struct seki_sgd_factors *sgd);
};

/* What the compiler's flags allow: SSE2, NEON; with elements of bf16 too. */
extern const struct cpu_kernels seki_cpu_kernels_base, seki_cpu_kernels_base_bf16;
#if defined(__x86_64__)
extern const struct cpu_kernels seki_cpu_kernels_v3;      /* x86-64-v3: AVX2, FMA */
extern const struct cpu_kernels seki_cpu_kernels_v4;      /* x86-64-v4: AVX-512 */
extern const struct cpu_kernels seki_cpu_kernels_v4_bf16; /* AVX-512 with AVX512_BF16 */
#endif

/* The first of `count` items that part `part` of `parts` does; it ends where the next begins. */
static inline size_t cpu_first(size_t count, int part, int parts)
{
    size_t each = count / (size_t)parts, rest = count % (size_t)parts, i = (size_t)part;
    return each * i + (i < rest ? i : rest);
}

static inline size_t cpu_whole_vectors(size_t floats)
{
    return (floats + SEKI_CPU_LANES - 1) / SEKI_CPU_LANES * SEKI_CPU_LANES;
}

/* Columns of a panel: so many channels, rounded up to whole vectors of the widest set. */
static inline size_t cpu_panel(int channels)
{
    return cpu_whole_vectors((size_t)channels);
}

/* Input channels that the pointwise backward takes at a time. */
#define CPU_BLOCK 64

/* Pixels that it takes at a time, so that inputs, results and gradients stay in the nearest cache.
 */
static inline size_t cpu_pointwise_run(size_t floats, size_t least, size_t most)
{
    size_t run = 8192 / floats / 8 * 8;

    return run < least ? least : run > most ? most : run;
}

static inline size_t cpu_forward_run(int in_channels)
{
    return cpu_pointwise_run(cpu_panel(in_channels), 24, 32);
}

static inline size_t cpu_backward_run(int out_channels)
{
    return cpu_pointwise_run(cpu_panel(out_channels) + 2 * CPU_BLOCK, 16, 24);
}

/* Channels of the dense kernel's padded pictures: bf16 goes by pairs. */
static inline size_t cpu_even(int channels)
{
    return ((size_t)channels + 1) / 2 * 2;
}

/* Rows of output that the dense kernel takes at a time from row i on, and room for their results or
 * for a row of input gradients. */
static inline size_t cpu_dense_rows(const struct cpu_dense *d, int i)
{
    const int most = d->out_width < 64 ? 64 / d->out_width : 1, left = d->out_height - i;

    return (size_t)(left < most ? left : most);
}

static inline size_t cpu_dense_tile(const struct cpu_dense *d)
{
    const size_t forward = cpu_dense_rows(d, 0) * (size_t)d->out_width * cpu_panel(d->out_channels);
    const size_t backward = (size_t)d->width * cpu_panel(d->in_channels);

    return forward > backward ? forward : backward;
}

/* How a depthwise convolution's picture stands in its planes: the picture's first element at (top,
 * left), the others step apart; the first output looks at (look_top, look_left) and on. */
struct plane_size {
    int rows, columns, top, left, step_height, step_width, look_top, look_left;
};

static inline int cpu_larger(int a, int b)
{
    return a > b ? a : b;
}

/* Columns that a row of so many outputs looks over, the last tile's overhang included. */
static inline int cpu_look_width(const struct cpu_depthwise *d, int outputs, int stride)
{
    const int tiles = (outputs + SEKI_CPU_TILE - 1) / SEKI_CPU_TILE;

    return stride * (tiles * SEKI_CPU_TILE - 1) + (d->kernel_width - 1) * d->dilation + 1;
}

static inline struct plane_size cpu_input_planes(const struct cpu_depthwise *d)
{
    const int look =
        (d->out_height - 1) * d->stride_height + (d->kernel_height - 1) * d->dilation + 1;

    return (struct plane_size){
        .rows = cpu_larger(look, d->padding_height + d->height),
        .columns = cpu_larger(cpu_look_width(d, d->out_width, d->stride_width),
                              d->padding_width + d->width),
        .top = d->padding_height,
        .left = d->padding_width,
        .step_height = 1,
        .step_width = 1,
    };
}

/* dY's planes, which dX looks at. With more padding than a kernel reaches over, dX looks further
 * in.
 */
static inline struct plane_size cpu_gradient_planes(const struct cpu_depthwise *d)
{
    const int top = (d->kernel_height - 1) * d->dilation - d->padding_height;
    const int left = (d->kernel_width - 1) * d->dilation - d->padding_width;
    struct plane_size size = {
        .top = cpu_larger(top, 0),
        .left = cpu_larger(left, 0),
        .step_height = d->stride_height,
        .step_width = d->stride_width,
        .look_top = cpu_larger(-top, 0),
        .look_left = cpu_larger(-left, 0),
    };

    size.rows = cpu_larger(size.look_top + d->height + (d->kernel_height - 1) * d->dilation,
                           size.top + (d->out_height - 1) * d->stride_height + 1);
    size.columns = cpu_larger(size.look_left + cpu_look_width(d, d->width, 1),
                              size.left + (d->out_width - 1) * d->stride_width + 1);
    return size;
}

#endif

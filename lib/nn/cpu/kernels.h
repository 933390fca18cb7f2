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

#include "base/base.h"

/* The widest vector of any set, in floats: workspaces are sized for it. */
#define SEKI_CPU_LANES 16
/* Pixels of a row that the depthwise kernels compute at a time. */
#define SEKI_CPU_TILE 8
/* The longest side of a depthwise kernel. */
#define SEKI_CPU_MAX_KERNEL 64

/* A range of channels in all pixels of a tensor: pixel p's begin at data[p * stride]. */
struct cpu_view {
    float *data;
    size_t stride;
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

/* Copies every second pixel, from (odd, odd) on, out of x with ReLU (zeros outside the picture),
 * and back: x (+)= y where `mask` > 0. y is dense, out_height * out_width pixels. */
struct cpu_subsample {
    int images, channels, height, width, out_height, out_width, odd;
    struct cpu_view x, mask;
    float *y;
    bool add;
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
    /* backward, in two steps: sums over pixels of g and of g * (z - mean), where g is keep[n] * dy
     * (0 where ReLU was shut), then dz (+)= scale * g - offset - (z - mean) * slope */
    struct cpu_view dy, dz;
    const float *offset, *slope;
    /* A part's sums: moments: mean, then sum of squared deviations; backward: the two sums;
     * [2][channels] */
    double *sums;
    size_t sums_stride; /* doubles between two parts' sums */
};

/* Depthwise convolution of f(x), f being ReLU, or ReLU of a normalisation (mean not NULL). */
struct cpu_depthwise {
    int images, channels;
    int height, width, out_height, out_width;
    int kernel_height, kernel_width, stride_height, stride_width;
    int padding_height, padding_width, dilation;
    struct cpu_view x;
    const float *mean, *scale, *shift;
    float *weights;     /* [kernel_height * kernel_width][channels]; backward: the last tap first */
    float *y;           /* dense */
    const float *dy;    /* dense */
    struct cpu_view dx; /* data NULL: not wanted */
    bool add_dx;
    double *sums; /* a part's dW: [kernel_height * kernel_width][channels] */
    size_t sums_stride;
    char *workspace; /* workspace_bytes for each part */
    size_t workspace_bytes;
};

/* Pooling of f(x), f the identity or ReLU. */
struct cpu_pool {
    int images, channels;
    int height, width, out_height, out_width;
    int kernel_height, kernel_width, stride_height, stride_width;
    int padding_height, padding_width;
    bool relu, add;
    const float *keep;
    struct cpu_view x, y; /* backward: x as in forward, y: max pooling's result */
    struct cpu_view dx, dy;
    char *workspace; /* workspace_bytes for each part */
    size_t workspace_bytes;
};

/* mean over pixels → linear. */
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

/* Does its part of what `call`, one of the records above, describes. */
typedef void cpu_kernel(const void *call, int part, int parts);

struct seki_sgd;

struct cpu_kernels {
    const char *name;
    /* struct cpu_map */
    cpu_kernel *map;
    /* struct cpu_subsample */
    cpu_kernel *subsample;
    cpu_kernel *subsample_backward;
    /* struct cpu_norm */
    cpu_kernel *moments;
    cpu_kernel *normalise;
    cpu_kernel *norm_sums;
    cpu_kernel *norm_backward;
    /* struct cpu_depthwise */
    cpu_kernel *depthwise;
    cpu_kernel *depthwise_backward;
    /* struct cpu_pool */
    cpu_kernel *max_pool;
    cpu_kernel *max_pool_backward;
    cpu_kernel *average_pool;
    cpu_kernel *average_pool_backward;
    /* struct cpu_head */
    cpu_kernel *head_mean;
    cpu_kernel *head_linear;
    cpu_kernel *head_dmean;
    cpu_kernel *head_dweights;
    cpu_kernel *head_dx;
    /* plain arrays */
    double (*square_sum)(const float *values, size_t count);
    void (*sgd)(float *weights, const float *gradients, float *momenta, size_t count,
                const struct seki_sgd *sgd);
};

extern const struct cpu_kernels
    seki_cpu_kernels_base; /* what the compiler's flags allow: SSE2, NEON */
#if defined(__x86_64__)
extern const struct cpu_kernels seki_cpu_kernels_v3; /* x86-64-v3: AVX2, FMA */
extern const struct cpu_kernels seki_cpu_kernels_v4; /* x86-64-v4: AVX-512 */
#endif

/* The first of `count` items that part `part` of `parts` does; it ends where the next begins. */
static inline size_t cpu_first(size_t count, int part, int parts)
{
    size_t each = count / (size_t)parts, rest = count % (size_t)parts, i = (size_t)part;
    return each * i + (i < rest ? i : rest);
}

/* The depthwise kernels' ring of input rows: as many as one output row looks over. */
static inline int depthwise_ring_rows(const struct cpu_depthwise *d)
{
    return (d->kernel_height - 1) * d->dilation + 1;
}

/* Vectors of a row of it, with padding and the last tile's overhang, for so many columns of output.
 */
static inline int depthwise_row_length(const struct cpu_depthwise *d, int columns, int stride)
{
    int tiles = (columns + SEKI_CPU_TILE - 1) / SEKI_CPU_TILE;

    return stride * (tiles * SEKI_CPU_TILE - 1) + (d->kernel_width - 1) * d->dilation + 1;
}

/* dW goes over several short rows of dY at a time, so that its sums stay in registers for longer.
 */
#define SEKI_CPU_RUN_ROWS 8

static inline int depthwise_run(const struct cpu_depthwise *d)
{
    int rows = 64 / d->out_width;

    return rows < 1 ? 1 : rows > SEKI_CPU_RUN_ROWS ? SEKI_CPU_RUN_ROWS : rows;
}

/* The ring's rows then. */
static inline int depthwise_run_rows(const struct cpu_depthwise *d)
{
    return depthwise_ring_rows(d) + (depthwise_run(d) - 1) * d->stride_height;
}

#endif

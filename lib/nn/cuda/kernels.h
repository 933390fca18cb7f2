/*
 * kernels.h - what the host asks of the device: one struct a kernel, one function that launches it.
 *
 * Kernels and host meet here only: the .cu files hold the kernels, the .c files know blocks. Every
 * function puts its work on the queue and returns at once; pointers are the device's. Nothing is
 * allocated, and no result depends on the order in which blocks run: sums over blocks are added
 * by the one that ends last, in an order that follows from their number alone.
 */
#ifndef SEKI_CUDA_KERNELS_H
#define SEKI_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How elements are kept and multiplied. */
enum cuda_type {
    CUDA_FP32, /* floats, multiplied as floats */
    CUDA_TF32, /* floats, multiplied with 10 bits after the point */
    CUDA_BF16,
};

/* Blocks of a grid whose results are summed up, at most: the same on every card, so that the sums
 * are, too. */
#define CUDA_MAX_BLOCKS 512
/* Where a block has little to do beside them. */
#define CUDA_BLOCKS 256
/* A grid that goes over all pixels in strides counts so far past the last one, at most. */
#define CUDA_BEYOND (1 << 20)
/* Channels that a block works on at a time, at most. */
#define CUDA_GROUP 64
/* Counters of blocks that have ended, one for each group of channels of a grid. */
#define CUDA_COUNTERS 1024

/* Where kernels are put, in order. */
struct cuda_queue {
    cudaStream_t stream;
    bool overlapping; /* a kernel's blocks may be let on before the one before it has ended */
};

/* A tensor as rows of pixels: channel c of pixel p lies at data[p * stride + c]. */
struct cuda_view {
    void *data; /* NULL: none */
    int stride; /* elements */
};

/* ---- Normalisation ------------------------------------------------------------------------- */

/* Of a channel: y = (z - mean) * factor + shift; factor = scale * inverse. */
struct __attribute__((aligned(16))) cuda_coefficients {
    float mean, inverse, factor, shift;
};

/* Of a channel, over a block's pixels. */
struct cuda_moment {
    float count, mean, squares; /* squares: sum of the squared distances from the mean */
};

/* What a kernel that writes z does about its moments: the last block turns all blocks' into
 * coefficients. partial NULL: nothing. */
struct cuda_moments {
    struct cuda_moment *partial; /* blocks x channels */
    unsigned *counters;
    int channels;
    long long count; /* values of a channel */
    float epsilon, momentum;
    const float *scale, *shift;             /* NULL: 1 and 0 */
    float *running_mean, *running_variance; /* NULL: left as they are */
    struct cuda_coefficients *coefficients; /* out */
};

/* f(x): [BN] -> [ReLU] of what lies in x. */
struct cuda_source {
    struct cuda_view x;
    const struct cuda_coefficients *coefficients; /* NULL: no BN */
    bool relu;
};

/* The mean of a channel's gradient, and of its product with the normalised value. */
struct __attribute__((aligned(8))) cuda_gradient_means {
    float gradient, product;
};

/*
 * The gradient of what the last convolution of a block gave, from that of the block's result:
 * keep[image] * dy, through ReLU where the block ends with one, through BN where means are known:
 *     dz = factor * (g - mean(g) - normalised * mean(g normalised)),  normalised = (z - mean) *
 * inverse (Ioffe, Szegedy 2015, section 3, gathered).
 */
struct cuda_gradient {
    struct cuda_view dy;
    const float *keep;                            /* one an image, or NULL */
    int pixels;                                   /* of an image */
    struct cuda_view z;                           /* not read where there is neither ReLU nor BN */
    const struct cuda_coefficients *coefficients; /* NULL: no BN */
    const struct cuda_gradient_means *means;      /* NULL: not yet known, dy through ReLU alone */
    bool relu;
};

/* What a kernel that gives the gradient after a BN does about its means: the last block ends them,
 * and adds to the gradients of scale and shift. partial NULL: nothing. */
struct cuda_gradient_sums {
    struct cuda_gradient_means *partial; /* blocks x channels: sums */
    unsigned *counters;
    int channels;
    long long count;                   /* values of a channel */
    float *dscale, *dshift;            /* NULL: none */
    struct cuda_gradient_means *means; /* out */
};

/* ---- Convolutions -------------------------------------------------------------------------- */

/* How a kernel slides: output (y, x) sees input (y * stride - padding + tap * dilation, …). */
struct cuda_window {
    int images;
    int height, width; /* of the input */
    int out_height, out_width;
    int kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width,
        dilation;
};

/* to += the sum of the parts, each (rows, columns), in a fixed order; `to` is the other
 * way round, (columns, rows). */
struct cuda_parts {
    const float *partial;
    float *to;
    int parts, rows, columns;
};
/* Several sums at once. */
enum { CUDA_MOST_SUMS = 4 };
struct cuda_sums {
    struct cuda_parts each[CUDA_MOST_SUMS];
    int count;
};
cudaError_t seki_cuda_add_parts(const struct cuda_queue *queue, const struct cuda_sums *call);

/* Depthwise: every channel by itself. weight: (channels, 1, kH, kW). */
struct cuda_depthwise {
    struct cuda_window window;
    int channels;
    const float *weight;
    struct cuda_source source; /* what is filtered */
    struct cuda_view y;
    /* backward */
    struct cuda_view dy;
    struct cuda_view dx; /* of source.x, through its ReLU but not its BN; NULL: not wanted */
    bool add_dx;
    float *partial;                 /* blocks x taps x channels */
    float *dweight;                 /* what the sum of the parts is added to */
    struct cuda_gradient_sums sums; /* of dx, where source has a BN */
};
cudaError_t seki_cuda_depthwise(const struct cuda_queue *queue, enum cuda_type type,
                                const struct cuda_depthwise *call);
cudaError_t seki_cuda_depthwise_backward(const struct cuda_queue *queue, enum cuda_type type,
                                         const struct cuda_depthwise *call);
/* Blocks that share out the pixels. */
int seki_cuda_depthwise_blocks(const struct cuda_depthwise *call);
/* What backward leaves of the weights' gradient, to be added. */
struct cuda_parts seki_cuda_depthwise_parts(const struct cuda_depthwise *call);

/* Dense: weight (outputs, inputs, kH, kW). dilation is 1. */
struct cuda_dense {
    struct cuda_window window;
    int inputs, outputs;
    const float *weight;
    struct cuda_source source;
    struct cuda_view z;
    struct cuda_moments moments;
    /* backward */
    struct cuda_gradient gradient;
    struct cuda_view dx; /* of source.x, through its ReLU; NULL: not wanted */
    bool add_dx;
    float *partial; /* splits x outputs x inputs x taps */
    float *dweight; /* what the sum of the parts is added to */
};
cudaError_t seki_cuda_dense(const struct cuda_queue *queue, enum cuda_type type,
                            const struct cuda_dense *call);
cudaError_t seki_cuda_dense_data(const struct cuda_queue *queue, enum cuda_type type,
                                 const struct cuda_dense *call);
cudaError_t seki_cuda_dense_weights(const struct cuda_queue *queue, enum cuda_type type,
                                    const struct cuda_dense *call);
/* Blocks that share out the pixels of z, forward and in the weights' gradient. */
int seki_cuda_dense_blocks(const struct cuda_dense *call);
int seki_cuda_dense_splits(const struct cuda_dense *call);
/* What seki_cuda_dense_weights leaves, to be added. */
struct cuda_parts seki_cuda_dense_parts(const struct cuda_dense *call);

/* ---- Pooling ------------------------------------------------------------------------------- */

struct cuda_pool {
    struct cuda_window window;
    int channels;
    bool maximum;
    struct cuda_source source;
    struct cuda_view z;
    uint8_t *winners; /* maximum, training: which tap won, one a value of z; taps < 255 */
    struct cuda_moments moments;
    /* backward */
    struct cuda_gradient gradient;
    struct cuda_view dx;
    bool add_dx;
};
cudaError_t seki_cuda_pool(const struct cuda_queue *queue, enum cuda_type type,
                           const struct cuda_pool *call);
cudaError_t seki_cuda_pool_backward(const struct cuda_queue *queue, enum cuda_type type,
                                    const struct cuda_pool *call);
int seki_cuda_pool_blocks(const struct cuda_pool *call);

/* ---- What is done to each value by itself -------------------------------------------------- */

/* y = or += keep * f(x). */
struct cuda_map {
    int images, pixels, channels;
    struct cuda_source source;
    const float *keep;
    struct cuda_view y;
    bool add_y;
};
cudaError_t seki_cuda_map(const struct cuda_queue *queue, enum cuda_type type,
                          const struct cuda_map *call);

/* y = or += the gradient; with sums instead: their means alone. */
struct cuda_unmap {
    int images, channels;
    struct cuda_gradient gradient;
    struct cuda_view y;
    bool add_y;
    struct cuda_gradient_sums sums;
};
cudaError_t seki_cuda_unmap(const struct cuda_queue *queue, enum cuda_type type,
                            const struct cuda_unmap *call);
cudaError_t seki_cuda_gradient_means(const struct cuda_queue *queue, enum cuda_type type,
                                     const struct cuda_unmap *call);
int seki_cuda_gradient_blocks(const struct cuda_unmap *call);

/* Moments of x alone: a BN before which nothing is computed. */
struct cuda_measure {
    int rows, channels;
    struct cuda_view x;
    struct cuda_moments moments;
};
cudaError_t seki_cuda_measure(const struct cuda_queue *queue, enum cuda_type type,
                              const struct cuda_measure *call);
int seki_cuda_measure_blocks(const struct cuda_measure *call);
/* Coefficients from running statistics. */
cudaError_t seki_cuda_infer(const struct cuda_queue *queue, const struct cuda_moments *call);

/* y = 0. */
cudaError_t seki_cuda_clear(const struct cuda_queue *queue, enum cuda_type type, size_t rows,
                            int channels, struct cuda_view y);

/* ---- Classifier, loss, optimiser ----------------------------------------------------------- */

struct cuda_head {
    int images, pixels, channels, classes;
    struct cuda_view x;
    const float *weight, *bias; /* (classes, channels), (classes) */
    float *mean;                /* images x channels */
    struct cuda_view y;         /* floats */
    bool add_y;
    const float *keep;
    /* backward */
    struct cuda_view dy; /* floats */
    float *dweight, *dbias;
    struct cuda_view dx;
    bool add_dx;
};
cudaError_t seki_cuda_head(const struct cuda_queue *queue, enum cuda_type type,
                           const struct cuda_head *call);
cudaError_t seki_cuda_head_backward(const struct cuda_queue *queue, enum cuda_type type,
                                    const struct cuda_head *call);

struct cuda_loss {
    int images, classes;
    struct cuda_view logits, dlogits;
    const int32_t *labels;
    float weight;
    double *loss; /* out */
    int64_t *correct;
};
cudaError_t seki_cuda_loss(const struct cuda_queue *queue, const struct cuda_loss *call);

/* Ranges of arrays, cut into equal chunks: a block has chunks blockIdx.x, blockIdx.x + gridDim.x, …
 */
struct cuda_chunk {
    unsigned long long first; /* element */
    unsigned count;
};
enum { CUDA_CHUNK = 2048 };
struct cuda_chunks {
    const struct cuda_chunk *chunks;
    int count;
};

struct cuda_sgd {
    struct cuda_chunks chunks;
    float *weights, *momenta;
    const float *gradients;
    const float *rate;
    float momentum, decay;
    bool nesterov;
    double clip;
    double *partial; /* CUDA_MAX_BLOCKS */
    unsigned *counter;
    double *norm; /* out; the step reads it */
};
/* The norm, then the step. */
cudaError_t seki_cuda_sgd(const struct cuda_queue *queue, const struct cuda_sgd *call);
cudaError_t seki_cuda_clear_chunks(const struct cuda_queue *queue, const struct cuda_chunks *chunks,
                                   float *array);

/* ---- Pictures ------------------------------------------------------------------------------ */

struct cuda_crop {
    unsigned picture;
    int shift_y, shift_x, flip;
    int cut_top, cut_bottom, cut_left, cut_right;
};
struct cuda_pictures {
    int images, channels, height, width;
    const uint8_t *bytes;
    const float *values; /* channels x 256 */
    const struct cuda_crop *crops;
    struct cuda_view x;
};
cudaError_t seki_cuda_pictures(const struct cuda_queue *queue, enum cuda_type type,
                               const struct cuda_pictures *call);

/* ---- Tensors in and out -------------------------------------------------------------------- */

/* Between (images, channels, pixels) floats and a tensor. */
struct cuda_layout {
    int images, pixels, channels;
    float *plain;
    struct cuda_view view;
    bool full; /* view is of floats whatever the type */
    bool out;  /* from view to plain */
};
cudaError_t seki_cuda_layout(const struct cuda_queue *queue, enum cuda_type type,
                             const struct cuda_layout *call);

#ifdef __cplusplus
}
#endif

#endif

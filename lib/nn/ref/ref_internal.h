/*
 * ref_internal.h - the readable backend: plain C, one thread, one function forward and one backward
 * an operation. It is what every other backend is held against, so it prefers the formula to speed
 * and sums in double precision.
 *
 * A tensor is plain NCHW floats; a part is a range of channels. A block (block_*.c) is a row of
 * operations (the other files) with intermediate tensors in the caller's memory: what backward
 * needs in `saved`, the rest in `scratch`.
 */
#ifndef SEKI_REF_INTERNAL_H
#define SEKI_REF_INTERNAL_H

#include "nn/backend.h"
#include "nn/nn_internal.h"

/* ---- Tensors ------------------------------------------------------------------------------ */

/* A range of channels of each image: (images, channels, height, width), images `image_stride`
 * floats apart. */
struct ref_tensor {
    float *data;
    int images, channels, height, width;
    size_t image_stride;
};

static inline size_t ref_pixels(const struct ref_tensor *tensor)
{
    return (size_t)tensor->height * (size_t)tensor->width;
}

/* Channel `channel` of image `image`: height x width floats. */
static inline float *ref_plane(const struct ref_tensor *tensor, int image, int channel)
{
    return tensor->data + (size_t)image * tensor->image_stride +
           (size_t)channel * ref_pixels(tensor);
}

struct ref_tensor seki_ref_from_window(const struct seki_window *window, int images);
/* Channels first .. first+count-1. */
struct ref_tensor seki_ref_channels(const struct ref_tensor *tensor, int first, int count);

/* ---- Memory of a call --------------------------------------------------------------------- */

/* Gives out pieces of a piece of memory; with base NULL it only counts, which is how block_prepare
 * learns what the same code will take. */
struct ref_arena {
    char *base;
    size_t used;
};

struct ref_memory {
    struct ref_arena saved, scratch;
    bool train; /* otherwise nothing is saved: scratch gives all */
};

struct ref_tensor seki_ref_saved(struct ref_memory *memory, int images, int channels, int height,
                                 int width);
struct ref_tensor seki_ref_scratch(struct ref_memory *memory, int images, int channels, int height,
                                   int width);
/* A tensor of that one's shape in scratch. */
struct ref_tensor seki_ref_scratch_like(struct ref_memory *memory, const struct ref_tensor *like);
/* Mean and 1 / deviation of each channel. */
double *seki_ref_saved_statistics(struct ref_memory *memory, int channels);

/* ---- Operations --------------------------------------------------------------------------- */

/* y and x, or dx and dy, may be one tensor where the comment says "in place". Elsewhere y and dx
 * are written without being read; gradients of weights accumulate. */

/* y = max(x, 0); NaN stays NaN. In place. */
void seki_ref_relu_forward(const struct ref_tensor *x, const struct ref_tensor *y);
void seki_ref_relu_backward(const struct ref_tensor *x, const struct ref_tensor *dy,
                            const struct ref_tensor *dx);

/* How a kernel slides over a picture: output (oy, ox) sees input (oy * stride - padding + ky *
 * dilation, …). */
struct ref_kernel {
    int height, width;
    int stride_height, stride_width;
    int padding_height, padding_width; /* -1: the picture without its first row or column */
    int dilation;
    int groups; /* convolution */
};

/* weight: (y's channels, x's channels / groups, kernel height, kernel width). Outside of the
 * picture is 0. */
void seki_ref_convolution_forward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                  const float *weight, const struct ref_tensor *y);
/* dx NULL: not wanted. */
void seki_ref_convolution_backward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                   const float *weight, const struct ref_tensor *dy,
                                   const struct ref_tensor *dx, float *dweight);

/* Of equals the first in scan order wins, and NaN wins over numbers, as in PyTorch. */
void seki_ref_max_pool_forward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                               const struct ref_tensor *y);
void seki_ref_max_pool_backward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                const struct ref_tensor *dy, const struct ref_tensor *dx);

/* The mean of the pixels inside the picture. */
void seki_ref_avg_pool_forward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                               const struct ref_tensor *y);
void seki_ref_avg_pool_backward(const struct ref_kernel *kernel, const struct ref_tensor *dy,
                                const struct ref_tensor *dx);

/* Batch normalisation (Ioffe, Szegedy 2015): y = scale * (x - mean) / sqrt(variance + eps) + shift,
 * a channel. */
struct ref_norm {
    const float *scale, *shift; /* NULL: 1 and 0 */
    float *dscale, *dshift;     /* backward; NULL as scale and shift are */
    float *running_mean, *running_variance;
    double *statistics; /* (channels, 2): mean and 1 / deviation that forward used */
};

/* In place but for TRAIN, whose backward wants x. */
void seki_ref_norm_forward(const struct ref_norm *norm, enum seki_mode mode,
                           const struct ref_tensor *x, const struct ref_tensor *y);
/* Through the batch's mean and variance too (the paper, section 3). In place. */
void seki_ref_norm_backward(const struct ref_norm *norm, const struct ref_tensor *x,
                            const struct ref_tensor *dy, const struct ref_tensor *dx);

/* Global mean: y is (images, channels, 1, 1). */
void seki_ref_mean_forward(const struct ref_tensor *x, const struct ref_tensor *y);
void seki_ref_mean_backward(const struct ref_tensor *dy, const struct ref_tensor *dx);

/* y = weight x + bias for (images, channels, 1, 1) tensors; weight: (y's channels, x's channels).
 */
void seki_ref_linear_forward(const struct ref_tensor *x, const float *weight, const float *bias,
                             const struct ref_tensor *y);
void seki_ref_linear_backward(const struct ref_tensor *x, const float *weight,
                              const struct ref_tensor *dy, const struct ref_tensor *dx,
                              float *dweight, float *dbias);

/* ---- Blocks ------------------------------------------------------------------------------- */

/* The functions of one kind of block. */
struct ref_block_ops {
    /* Takes from memory all that forward and backward take; nothing is written. */
    void (*measure)(const struct seki_block *block, int images, struct ref_memory *memory);
    void (*forward)(const struct seki_block *block, const struct seki_block_call *call,
                    struct ref_memory *memory);
    void (*backward)(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory);
};

struct seki_block {
    const struct ref_block_ops *ops;
    struct seki_block_spec spec;
    struct seki_block_info info;
};

extern const struct ref_block_ops seki_ref_block_conv, seki_ref_block_separable,
    seki_ref_block_reduce, seki_ref_block_pool, seki_ref_block_norm, seki_ref_block_identity,
    seki_ref_block_zero, seki_ref_block_head;

/* The parameter, its gradient (NULL where call has none), the statistic of that role; NULL where
 * the block has none. */
const float *seki_ref_parameter(const struct seki_block *block, const struct seki_block_call *call,
                                enum seki_parameter_role role, int repeat);
float *seki_ref_gradient(const struct seki_block *block, const struct seki_block_call *call,
                         enum seki_parameter_role role, int repeat);
struct ref_norm seki_ref_norm_of(const struct seki_block *block, const struct seki_block_call *call,
                                 int repeat, double *statistics);

struct ref_kernel seki_ref_kernel_of(const struct seki_block_spec *spec);

/* The ends of a call: y = or += keep * result; gradient = keep * dy; dx = or += gradient. */
void seki_ref_give_result(const struct seki_block_call *call, const struct ref_tensor *result);
void seki_ref_take_gradient(const struct seki_block_call *call, const struct ref_tensor *gradient);
void seki_ref_give_gradient(const struct seki_block_call *call, const struct ref_tensor *gradient);

/* ---- Outside of blocks -------------------------------------------------------------------- */

int seki_ref_loss(struct seki_backend *backend, const struct seki_loss_call *call,
                  struct seki_error *error);
int seki_ref_sgd(struct seki_backend *backend, const struct seki_sgd_call *call,
                 struct seki_error *error);

#endif

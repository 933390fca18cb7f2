/*
 * cpu_internal.h - the CPU backend among its own files.
 *
 * Layout of a tensor: (parts, N, H, W, channels) elements, dense: a part is a tensor of its own, so
 * that what works on one goes through memory in order. Most blocks see one part at a time; the 1x1
 * convolutions and the classifier take several as one range of channels, for all others block.c
 * brings them together first. oneDNN, which does some dense convolutions, is given dense floats
 * alone.
 *
 * An element is a float, or in SEKI_BF16 a bf16; logits are always floats. What is no tensor -
 * parameters, gradients, statistics, coefficients, sums - is float or double.
 *
 * Repeatability: every loop is cut into as many parts as the backend has threads, by position; sums
 * of the parts are added in their order, in double precision. Which thread does a part makes no
 * difference.
 */
#ifndef SEKI_CPU_INTERNAL_H
#define SEKI_CPU_INTERNAL_H

#include "nn/backend.h"
#include "nn/cpu/kernels.h"
#include "nn/nn_internal.h"

/* ---- The backend -------------------------------------------------------------------------- */

struct cpu_dnnl;        /* oneDNN's engine and stream */
struct cpu_convolution; /* oneDNN's primitives for one shape of convolution */

struct cpu_backend {
    struct seki_backend base;
    const struct cpu_kernels *kernels;
    struct cpu_dnnl *dnnl;
    struct cpu_convolution *convolutions; /* in use, by blocks of equal shape together */
    unsigned memories;                    /* given out so far */
};

static inline struct cpu_backend *cpu_backend(struct seki_backend *backend)
{
    return (struct cpu_backend *)backend;
}

/* Runs work(call, part, parts) for every part, parts being the backend's threads. */
void seki_cpu_parallel(const struct cpu_backend *backend, cpu_kernel *work, const void *call);

/* oneDNN runs on as many threads as OpenMP would give the calling thread. These set that to the
 * backend's number and back, around every call that reaches oneDNN. */
int seki_cpu_threads_enter(const struct cpu_backend *backend);
void seki_cpu_threads_leave(int before);

/* ---- Memory ------------------------------------------------------------------------------- */

void *seki_cpu_memory(struct seki_backend *backend, size_t bytes, struct seki_error *error);
void seki_cpu_release(struct seki_backend *backend, void *memory);
int seki_cpu_clear(struct seki_backend *backend, float *array, const struct seki_range *ranges,
                   int count, struct seki_error *error);
int seki_cpu_write(struct seki_backend *backend, void *memory, const void *host, size_t bytes,
                   struct seki_error *error);
int seki_cpu_read(struct seki_backend *backend, void *host, const void *memory, size_t bytes,
                  struct seki_error *error);

/* Bytes between what two threads write. Neighbouring lines are fetched in pairs, so sums of two
 * threads that lie side by side slow each other down even where no line is shared. */
#define CPU_APART 512

/* Gives out pieces of a piece of memory, 64-byte aligned; with base NULL it only counts, so that
 * one function says both how much is needed and where it lies. */
struct cpu_arena {
    char *base;
    size_t used;
};

void *seki_cpu_take(struct cpu_arena *arena, size_t bytes);
float *seki_cpu_take_floats(struct cpu_arena *arena, size_t count);
void *seki_cpu_take_elements(struct cpu_arena *arena, const struct cpu_backend *backend,
                             size_t count);

/* ---- Tensors ------------------------------------------------------------------------------ */

size_t seki_cpu_tensor_bytes(const struct seki_backend *backend, const struct seki_shape *shape,
                             int images);
int seki_cpu_tensor_write(struct seki_backend *backend, const struct seki_window *window,
                          int images, const float *host, struct seki_error *error);
int seki_cpu_tensor_read(struct seki_backend *backend, float *host,
                         const struct seki_window *window, int images, struct seki_error *error);

struct cpu_view seki_cpu_view(const struct cpu_backend *backend, const struct seki_window *window,
                              int images);

/* A dense tensor of elements. */
static inline struct cpu_view cpu_dense(void *data, int channels)
{
    return (struct cpu_view){.data = data, .stride = (size_t)channels};
}

/* A dense tensor of floats. */
static inline struct cpu_view cpu_full(float *data, int channels)
{
    return (struct cpu_view){.data = data, .stride = (size_t)channels, .full = true};
}

/* The view from so many elements on. */
static inline struct cpu_view cpu_view_from(const struct cpu_backend *backend, struct cpu_view view,
                                            size_t elements)
{
    view.data = (char *)view.data + elements * backend->kernels->element;
    return view;
}

/* ---- Convolutions (oneDNN) ---------------------------------------------------------------- */

int seki_cpu_dnnl_open(struct cpu_backend *backend, struct seki_error *error);
void seki_cpu_dnnl_close(struct cpu_backend *backend);

struct cpu_convolution_shape {
    int images, in_channels, out_channels, height, width;
    int kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
    int backward; /* 1: primitives for backward too */
};

/* The convolution of that shape, shared with whoever else has it open. */
struct cpu_convolution *seki_cpu_convolution_open(struct cpu_backend *backend,
                                                  const struct cpu_convolution_shape *shape,
                                                  struct seki_error *error);
void seki_cpu_convolution_close(struct cpu_backend *backend, struct cpu_convolution *convolution);
/* Scratch of the largest of the calls below. */
size_t seki_cpu_convolution_scratch(const struct cpu_convolution *convolution);
/* x, y, dx, dy are dense NHWC, weights plain (O, I, kH, kW). */
int seki_cpu_convolution_forward(struct cpu_backend *backend, struct cpu_convolution *convolution,
                                 const float *x, const float *weights, float *y, void *scratch,
                                 struct seki_error *error);
int seki_cpu_convolution_dx(struct cpu_backend *backend, struct cpu_convolution *convolution,
                            const float *dy, const float *weights, float *dx, void *scratch,
                            struct seki_error *error);
/* dweights += */
int seki_cpu_convolution_dweights(struct cpu_backend *backend, struct cpu_convolution *convolution,
                                  const float *x, const float *dy, float *dweights, void *scratch,
                                  struct seki_error *error);

/* ---- Depthwise convolutions (own kernels) -------------------------------------------------- */

/* Takes what the functions below need, for a depthwise convolution whose sizes are set, and points
 * it there. */
void seki_cpu_depthwise_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                             struct cpu_depthwise *depthwise);
/* Brings weights (C, 1, kH, kW) into the order of the kernels. */
void seki_cpu_depthwise_weights(const struct cpu_depthwise *d, const float *weights, bool backward);
/* dweights += what the parts of separable_backward have summed. */
void seki_cpu_depthwise_gradient(const struct cpu_backend *backend, const struct cpu_depthwise *d,
                                 float *dweights);

/* ---- Dense convolutions (own kernels) -------------------------------------------------------- */

/* As seki_cpu_depthwise_take. row: of 1x1, pixels of a row that is worked on whole, or 0. */
void seki_cpu_dense_take(struct cpu_arena *arena, const struct cpu_backend *backend, bool train,
                         int row, struct cpu_dense *dense);
/* Weights (out, in, kH, kW) for forward, for backward. */
void seki_cpu_dense_pack(const struct cpu_backend *backend, const struct cpu_dense *dense,
                         const float *weights);
void seki_cpu_dense_pack_back(const struct cpu_backend *backend, const struct cpu_dense *dense,
                              const float *weights);
/* dweights += what the parts of a backward have summed. */
void seki_cpu_dense_gradient(const struct cpu_backend *backend, const struct cpu_dense *dense,
                             float *dweights);

/* ---- Blocks ------------------------------------------------------------------------------- */

/* A block made ready for a number of images; `train`: backward will follow. */
struct cpu_plan {
    struct cpu_plan *next;
    int images;
    bool train;
    struct cpu_convolution *convolutions[2];
    size_t saved, scratch;
};

struct cpu_block_ops {
    bool wide; /* takes an x of several parts as it is */
    /* The convolutions of a plan; NULL: none. */
    int (*prepare)(struct seki_block *block, struct cpu_plan *plan, struct seki_error *error);
    /* Takes from the arenas all that a call will. */
    void (*measure)(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch);
    int (*forward)(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error);
    int (*backward)(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error);
};

struct seki_block {
    struct cpu_backend *backend;
    const struct cpu_block_ops *ops;
    struct seki_block_spec spec;
    struct seki_block_info info;
    int in_channels;
    struct cpu_plan *plans;
};

extern const struct cpu_block_ops seki_cpu_block_conv, seki_cpu_block_pointwise,
    seki_cpu_block_dense, seki_cpu_block_separable, seki_cpu_block_reduce, seki_cpu_block_pool,
    seki_cpu_block_norm, seki_cpu_block_copy, seki_cpu_block_head;

struct seki_block *seki_cpu_block_open(struct seki_backend *backend,
                                       const struct seki_block_spec *spec,
                                       struct seki_error *error);
void seki_cpu_block_close(struct seki_block *block);
int seki_cpu_block_prepare(struct seki_block *block, int images, enum seki_mode mode, size_t *saved,
                           size_t *scratch, struct seki_error *error);
int seki_cpu_forward(struct seki_block *block, const struct seki_block_call *call,
                     struct seki_error *error);
int seki_cpu_backward(struct seki_block *block, const struct seki_block_call *call,
                      struct seki_error *error);

/* The parameter, its gradient, the statistic of that role; NULL where the block has none. */
const float *seki_cpu_parameter(const struct seki_block *block, const struct seki_block_call *call,
                                enum seki_parameter_role role, int repeat);
float *seki_cpu_gradient(const struct seki_block *block, const struct seki_block_call *call,
                         enum seki_parameter_role role, int repeat);
float *seki_cpu_statistic(const struct seki_block *block, const struct seki_block_call *call,
                          enum seki_parameter_role role, int repeat);

static inline size_t cpu_pixels(const struct seki_shape *shape)
{
    return (size_t)shape->height * (size_t)shape->width;
}

/* ---- Normalisation ------------------------------------------------------------------------ */

/* One BN of a block: coefficients that forward finds and backward reads, `channels` floats each:
 * mean, scale, shift, 1 / deviation. */
struct cpu_norm_state {
    float *mean, *scale, *shift, *inverse;
};

struct cpu_norm_state seki_cpu_norm_take(struct cpu_arena *arena, int channels);

struct cpu_norm_parameters {
    const float *scale, *shift; /* NULL: 1 and 0 */
    float *dscale, *dshift;     /* backward; NULL as scale and shift are */
    float *running_mean, *running_variance;
};

/* Those of a repeat, from channel `first` on (REDUCE's halves). */
struct cpu_norm_parameters seki_cpu_norm_parameters(const struct seki_block *block,
                                                    const struct seki_block_call *call, int repeat,
                                                    int first);

/* Scratch of the functions below. */
void *seki_cpu_norm_scratch(struct cpu_arena *arena, const struct cpu_backend *backend,
                            int channels);

/* Points norm at its coefficients and its room for sums; channels must be set. */
void seki_cpu_norm_attach(const struct cpu_backend *backend, struct cpu_norm *norm,
                          const struct cpu_norm_state *state, void *scratch);
/* A forward of what ends in a normalisation: the kernel, which writes z and sums its moments, the
 * coefficients, and y if it is wanted. From running statistics the coefficients are `known` before
 * the kernel, which then writes y itself. `work` points at norm. */
void seki_cpu_norm_forward(const struct cpu_backend *backend, struct cpu_norm *norm,
                           const struct cpu_norm_parameters *parameters, enum seki_mode mode,
                           const struct cpu_norm_state *state, void *scratch, cpu_kernel *kernel,
                           const void *work);
/* The coefficients alone, for what stands in norm->z. */
void seki_cpu_norm_coefficients(const struct cpu_backend *backend, struct cpu_norm *norm,
                                const struct cpu_norm_parameters *parameters, enum seki_mode mode,
                                const struct cpu_norm_state *state, void *scratch);
/* dscale, dshift += and backward's coefficients, from norm->sums as norm_sums leaves them. */
void seki_cpu_norm_gradients(const struct cpu_backend *backend, const struct cpu_norm *norm,
                             const struct cpu_norm_parameters *parameters,
                             const struct cpu_norm_state *state);
/* The same, summed from norm->z and norm->dy. */
void seki_cpu_norm_sums(const struct cpu_backend *backend, struct cpu_norm *norm,
                        const struct cpu_norm_parameters *parameters,
                        const struct cpu_norm_state *state, void *scratch);
/* The same, and dz from dy, if dz.data is not NULL. norm: images, channels, pixels, z, keep, relu,
 * dy, dz, add. */
void seki_cpu_norm_backward(const struct cpu_backend *backend, struct cpu_norm *norm,
                            const struct cpu_norm_parameters *parameters,
                            const struct cpu_norm_state *state, void *scratch);

/* ---- Outside of blocks -------------------------------------------------------------------- */

int seki_cpu_loss(struct seki_backend *backend, const struct seki_loss_call *call,
                  struct seki_error *error);
int seki_cpu_sgd(struct seki_backend *backend, const struct seki_sgd_call *call,
                 struct seki_error *error);

#endif

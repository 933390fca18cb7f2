/*
 * cuda_internal.h - the GPU backend's host side: what its files share.
 *
 * A tensor is rows of pixels, an image after the other, all its parts' channels side by side
 * (NHWC): a part is a range of channels, so that a node of a cell writes its slice of the cell's
 * output and a 1x1 convolution reads all slices as one matrix. Elements are float or bf16, logits
 * float.
 *
 * All work goes to one stream, in order, but for that of lanes (lanes.c). The host waits for it
 * only where it must tell a number: read, tensor_read. A kernel's failure shows there at the
 * latest.
 */
#ifndef SEKI_CUDA_INTERNAL_H
#define SEKI_CUDA_INTERNAL_H

#include <cuda_runtime_api.h>

#include "nn/cuda/plans.h"
#include "nn/cuda/kernels.h"
#include "nn/nn_internal.h"

/* What the host sends lies in page-locked memory until the device has taken it: sections are
 * filled one after the other, and one is filled again when its event has passed. */
#define CUDA_SECTIONS 4
struct cuda_ring {
    char *memory;
    size_t section, used; /* bytes of a section, of the current one taken */
    int current;
    cudaEvent_t passed[CUDA_SECTIONS];
};

/* A row of work, and its counters (CUDA_COUNTERS), which are 0 between kernels. */
struct cuda_lane {
    cudaStream_t stream;
    unsigned *counters;
    cudaEvent_t reached;
};

struct cuda_backend {
    struct seki_backend base;
    enum cuda_type type;
    struct cuda_lane lanes[SEKI_MAX_LANES];
    int forked;                       /* lanes at work beside lane 0 */
    struct seki_recording *recording; /* at work; NULL: none */
    /* Of the lane that is chosen. */
    struct cuda_queue queue;
    unsigned *counters;
    struct cuda_ring ring;
    double *partial;     /* CUDA_MAX_BLOCKS */
    cudaError_t failed;  /* of a call that could not say so; told by the next that can */
    const char *because; /* more than its number says, static; NULL: nothing */
    bool with_cudnn;
    struct cuda_cudnn *cudnn; /* NULL: not used yet */
};

static inline struct cuda_backend *cuda_backend(struct seki_backend *backend)
{
    return (struct cuda_backend *)backend;
}

/* -1 (SEKI_NO_RESOURCE, "device") where status, or a call before, is no success. */
int seki_cuda_check(struct cuda_backend *backend, cudaError_t status, const char *what,
                    struct seki_error *error);
/* Waits for all work. */
int seki_cuda_wait(struct cuda_backend *backend, struct seki_error *error);

/* ---- lanes.c: streams beside each other, and graphs of kernels ----------------------------- */

int seki_cuda_lanes_open(struct cuda_backend *backend, struct seki_error *error);
void seki_cuda_lanes_close(struct cuda_backend *backend);
int seki_cuda_fork(struct seki_backend *backend, int lanes, struct seki_error *error);
void seki_cuda_lane(struct seki_backend *backend, int lane);
int seki_cuda_join(struct seki_backend *backend, struct seki_error *error);
int seki_cuda_record(struct seki_backend *backend, struct seki_error *error);
struct seki_recording *seki_cuda_recorded(struct seki_backend *backend, struct seki_error *error);
int seki_cuda_replay(struct seki_backend *backend, struct seki_recording *recording,
                     struct seki_error *error);
void seki_cuda_forget(struct seki_recording *recording);
/* `bytes` of page-locked memory for what kernels of the recording at work read: it is there as long
 * as the recording. */
void *seki_cuda_record_take(struct cuda_backend *backend, size_t bytes, struct seki_error *error);

/* ---- memory.c ------------------------------------------------------------------------------ */

int seki_cuda_ring_open(struct cuda_backend *backend, struct seki_error *error);
void seki_cuda_ring_close(struct cuda_backend *backend);
/* `bytes` of page-locked memory that no work in the stream reads any more; valid for work that is
 * put there before the next call. */
void *seki_cuda_ring_take(struct cuda_backend *backend, size_t bytes, struct seki_error *error);

void *seki_cuda_memory(struct seki_backend *backend, size_t bytes, struct seki_error *error);
void seki_cuda_release(struct seki_backend *backend, void *memory);
int seki_cuda_write(struct seki_backend *backend, void *memory, const void *host, size_t bytes,
                    struct seki_error *error);
int seki_cuda_read(struct seki_backend *backend, void *host, const void *memory, size_t bytes,
                   struct seki_error *error);
int seki_cuda_copy(struct seki_backend *backend, void *to, const void *from, size_t bytes,
                   struct seki_error *error);

/* ---- tensor.c ------------------------------------------------------------------------------ */

size_t seki_cuda_tensor_bytes(const struct seki_backend *backend, const struct seki_shape *shape,
                              int images);
int seki_cuda_tensor_write(struct seki_backend *backend, const struct seki_window *window,
                           int images, const float *host, struct seki_error *error);
int seki_cuda_tensor_read(struct seki_backend *backend, float *host,
                          const struct seki_window *window, int images, struct seki_error *error);

int seki_cuda_backend_pictures(struct seki_backend *backend, const struct seki_pictures_call *call,
                               struct seki_error *error);

size_t seki_cuda_element(const struct cuda_backend *backend); /* bytes */
struct cuda_view seki_cuda_view(const struct cuda_backend *backend,
                                const struct seki_window *window);

static inline int cuda_pixels(const struct seki_shape *shape)
{
    return shape->height * shape->width;
}

/* ---- Memory of a call ---------------------------------------------------------------------- */

/* Gives out pieces; with base NULL it only counts, which is how block_prepare learns what the same
 * code will take. */
struct cuda_arena {
    char *base;
    size_t used;
};
void *seki_cuda_take(struct cuda_arena *arena, size_t count, size_t size);
/* Rows of so many channels, side by side. */
struct cuda_view seki_cuda_take_rows(struct cuda_arena *arena, const struct cuda_backend *backend,
                                     size_t rows, int channels);

/* A call, its memory, and where forward leaves what backward needs. */
struct cuda_work {
    const struct seki_block_call *call; /* NULL: only memory is counted */
    int images;
    bool train;
    struct cuda_arena saved, scratch;
    struct cuda_sums sums; /* of the weights' gradients, at the end of backward */
};
/* The parts lie in scratch of their own till then. */
void seki_cuda_sum_later(struct cuda_work *work, struct cuda_parts parts);
static inline struct cuda_arena *cuda_kept(struct cuda_work *work)
{
    return work->train ? &work->saved : &work->scratch;
}

/* ---- Blocks -------------------------------------------------------------------------------- */

struct cuda_block_ops {
    /* What takes time and is done once for a number of images; NULL: nothing. */
    int (*prepare)(const struct seki_block *block, int images, enum seki_mode mode,
                   struct seki_error *error);
    /* Takes all memory of both directions; nothing is launched. */
    void (*measure)(const struct seki_block *block, struct cuda_work *work);
    cudaError_t (*forward)(const struct seki_block *block, struct cuda_work *work);
    cudaError_t (*backward)(const struct seki_block *block, struct cuda_work *work);
};

struct seki_block {
    struct cuda_backend *backend;
    const struct cuda_block_ops *ops;
    struct seki_block_spec spec;
    struct seki_block_info info;
    int in_channels; /* of all parts */
};

extern const struct cuda_block_ops seki_cuda_block_conv, seki_cuda_block_separable,
    seki_cuda_block_reduce, seki_cuda_block_pool, seki_cuda_block_norm, seki_cuda_block_identity,
    seki_cuda_block_zero, seki_cuda_block_head;

struct seki_block *seki_cuda_block_open(struct seki_backend *backend,
                                        const struct seki_block_spec *spec,
                                        struct seki_error *error);
void seki_cuda_block_close(struct seki_block *block);
int seki_cuda_block_prepare(struct seki_block *block, int images, enum seki_mode mode,
                            size_t *saved, size_t *scratch, struct seki_error *error);
int seki_cuda_forward(struct seki_block *block, const struct seki_block_call *call,
                      struct seki_error *error);
int seki_cuda_backward(struct seki_block *block, const struct seki_block_call *call,
                       struct seki_error *error);

/* The parameter, its gradient, the statistic of that role; NULL where the block has none. */
const float *seki_cuda_parameter(const struct seki_block *block, const struct cuda_work *work,
                                 enum seki_parameter_role role, int repeat);
float *seki_cuda_gradient(const struct seki_block *block, const struct cuda_work *work,
                          enum seki_parameter_role role, int repeat);
float *seki_cuda_statistic(const struct seki_block *block, const struct cuda_work *work,
                           enum seki_parameter_role role, int repeat);

struct cuda_window seki_cuda_window(const struct seki_block *block, int images);

/* BN of `channels` channels from `first` on of repeat `repeat`. */
struct cuda_norm {
    int repeat, first, channels;
    long long count;                        /* values of a channel */
    struct cuda_coefficients *coefficients; /* kept */
    struct cuda_moment *partial;            /* scratch */
    struct cuda_gradient_means *means, *partial_means;
};
/* `blocks`, `gradient_blocks`: of the kernels that leave sums. */
struct cuda_norm seki_cuda_norm_take(struct cuda_work *work, int repeat, int first, int channels,
                                     long long count, int blocks, int gradient_blocks);
/* What the kernel before it is to do about moments: nothing in INFER, for which
 * seki_cuda_norm_infer has been called. */
struct cuda_moments seki_cuda_norm_moments(const struct seki_block *block,
                                           const struct cuda_work *work,
                                           const struct cuda_norm *norm);
cudaError_t seki_cuda_norm_infer(const struct seki_block *block, const struct cuda_work *work,
                                 const struct cuda_norm *norm);
struct cuda_gradient_sums seki_cuda_norm_sums(const struct seki_block *block,
                                              const struct cuda_work *work,
                                              const struct cuda_norm *norm);

/* The ends of a call: y = or += keep * f(z). */
cudaError_t seki_cuda_give(const struct seki_block *block, const struct cuda_work *work,
                           const struct cuda_source *source);
/* The gradient of z from that of y; with BN after its means, which the first call finds. norm NULL:
 * none. */
struct cuda_gradient seki_cuda_gradient_of(const struct seki_block *block,
                                           const struct cuda_work *work, struct cuda_view z,
                                           const struct cuda_norm *norm, bool relu);
cudaError_t seki_cuda_find_means(const struct seki_block *block, const struct cuda_work *work,
                                 const struct cuda_norm *norm, struct cuda_gradient *gradient);

/* cudnn_dense.c: a convolution that cuDNN does, and its memory. forward, data NULL: it does not,
 * our own kernel does. */
struct cuda_cudnn_dense {
    const struct cuda_plan *forward, *data;
    struct cuda_view x;       /* f(x) forward; the gradient of f(x) on the way back */
    struct cuda_view dz;      /* the gradient of z */
    struct cuda_view weights; /* kept */
    void *workspace;
};
int seki_cudnn_dense_prepare(const struct seki_block *block, int images, enum seki_mode mode,
                             struct seki_error *error);
struct cuda_cudnn_dense seki_cudnn_dense_take(const struct seki_block *block,
                                              struct cuda_work *work);
cudaError_t seki_cudnn_dense_forward(const struct seki_block *block, const struct cuda_work *work,
                                     const struct cuda_cudnn_dense *dense,
                                     const struct cuda_dense *call);
/* As seki_cuda_dense_data; call->gradient is then what it has made of it. */
cudaError_t seki_cudnn_dense_data(const struct seki_block *block, const struct cuda_work *work,
                                  const struct cuda_cudnn_dense *dense, struct cuda_dense *call);

/* The first that is no success; the call after a failure is not made. */
#define CUDA_TRY(call)                                                                             \
    do {                                                                                           \
        const cudaError_t try_status = (call);                                                     \
                                                                                                   \
        if (try_status != cudaSuccess)                                                             \
            return try_status;                                                                     \
    } while (0)

/* ---- Outside of blocks --------------------------------------------------------------------- */

int seki_cuda_backend_loss(struct seki_backend *backend, const struct seki_loss_call *call,
                           struct seki_error *error);
int seki_cuda_backend_clear(struct seki_backend *backend, float *array,
                            const struct seki_range *ranges, int count, struct seki_error *error);
int seki_cuda_backend_sgd(struct seki_backend *backend, const struct seki_sgd_call *call,
                          struct seki_error *error);

#endif

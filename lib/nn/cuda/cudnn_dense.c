/*
 * cudnn_dense.c - a dense convolution through cuDNN: which ones go there, what is laid out for it
 * before, and what is left to do after.
 *
 * cuDNN multiplies plain tensors, so that ReLU, BN's moments and the gradient on its way through
 * both cost a pass over memory each, which our own kernel (dense.cu) does on the way. That is
 * little against the arithmetic of many channels and taps, and much against that of few. The
 * gradient of the weights stays with our own kernel: cuDNN gives that of bf16 tensors in bf16
 * alone.
 */
#include "nn/cuda/cuda_internal.h"

/* Channels on both sides from which on it is cuDNN's. */
enum { FROM_CHANNELS = 64 };

static bool wanted(const struct seki_block *block)
{
    const struct seki_block_spec *spec = &block->spec;

    return block->backend->type == CUDA_BF16 && block->backend->with_cudnn &&
           spec->kernel_height * spec->kernel_width > 1 && block->in_channels >= FROM_CHANNELS &&
           spec->out_channels >= FROM_CHANNELS && block->in_channels % 8 == 0 &&
           spec->out_channels % 8 == 0;
}

static struct cuda_convolution convolution_of(const struct seki_block *block, int images,
                                              enum cuda_direction direction)
{
    return (struct cuda_convolution){.window = seki_cuda_window(block, images),
                                     .inputs = block->in_channels,
                                     .outputs = block->spec.out_channels,
                                     .direction = direction};
}

static size_t piece(size_t rows, int channels)
{
    return (rows * (size_t)channels * sizeof(uint16_t) + 255) / 256 * 256;
}

/* On memory of its own: what a library does once, as loading its kernels, may not come in the
 * middle of a recording. */
static int run_once(struct cuda_backend *backend, const struct cuda_plan *plan,
                    struct seki_error *error)
{
    const struct cuda_convolution *c = &plan->convolution;
    const struct cuda_window *w = &c->window;
    const size_t images = (size_t)w->images,
                 x = piece(images * (size_t)w->height * (size_t)w->width, c->inputs),
                 k = piece((size_t)c->outputs * (size_t)w->kernel_height * (size_t)w->kernel_width,
                           c->inputs),
                 z = piece(images * (size_t)w->out_height * (size_t)w->out_width, c->outputs);
    char *memory = seki_cuda_memory(&backend->base, x + k + z + plan->workspace, error);

    if (memory == NULL)
        return -1;
    const cudnnStatus_t status = seki_cudnn_run(backend->cudnn, backend->queue.stream, plan, memory,
                                                memory + x, memory + x + k, memory + x + k + z);

    seki_cuda_release(&backend->base, memory);
    if (status != CUDNN_STATUS_SUCCESS)
        return seki_fail(
            error, SEKI_NO_RESOURCE, "device",
            "cuDNN failed at a convolution: %s; --backend cuda-own computes without it",
            cudnnGetErrorString(status));
    return seki_cuda_check(backend, cudaSuccess, "a convolution of cuDNN's", error);
}

/* A plan for the convolution, tried, where there is none yet. */
static int prepare_plan(struct cuda_backend *backend, const struct cuda_convolution *convolution,
                        struct seki_error *error)
{
    if (seki_cudnn_plan(backend->cudnn, convolution) != NULL)
        return 0;
    if (seki_cudnn_make_plan(backend->cudnn, convolution, error) < 0)
        return -1;
    const struct cuda_plan *plan = seki_cudnn_plan(backend->cudnn, convolution);

    return plan->plan != NULL ? run_once(backend, plan, error) : 0;
}

int seki_cudnn_dense_prepare(const struct seki_block *block, int images, enum seki_mode mode,
                             struct seki_error *error)
{
    struct cuda_backend *backend = block->backend;
    const enum cuda_direction last = mode == SEKI_MODE_TRAIN ? CUDA_DATA : CUDA_FORWARD;

    if (!wanted(block))
        return 0;
    if (backend->cudnn == NULL)
        backend->cudnn = seki_cudnn_open(0, error);
    if (backend->cudnn == NULL)
        return -1;
    for (int direction = CUDA_FORWARD; direction <= (int)last; direction++) {
        const struct cuda_convolution convolution =
            convolution_of(block, images, (enum cuda_direction)direction);

        if (prepare_plan(backend, &convolution, error) < 0)
            return -1;
    }
    return 0;
}

/* A plan that there is, or NULL. */
static const struct cuda_plan *find(const struct seki_block *block, int images,
                                    enum cuda_direction direction)
{
    const struct cuda_convolution convolution = convolution_of(block, images, direction);
    const struct cuda_plan *plan = seki_cudnn_plan(block->backend->cudnn, &convolution);

    return plan != NULL && plan->plan != NULL ? plan : NULL;
}

struct cuda_cudnn_dense seki_cudnn_dense_take(const struct seki_block *block,
                                              struct cuda_work *work)
{
    const size_t in = (size_t)cuda_pixels(&block->spec.in) * (size_t)work->images,
                 out = (size_t)cuda_pixels(&block->info.out) * (size_t)work->images;
    struct cuda_cudnn_dense dense = {.forward = NULL};

    if (!wanted(block))
        return dense;
    dense.forward = find(block, work->images, CUDA_FORWARD);
    dense.data = work->train ? find(block, work->images, CUDA_DATA) : NULL;
    if (dense.forward == NULL && dense.data == NULL)
        return dense;
    dense.x = seki_cuda_take_rows(&work->scratch, block->backend, in, block->in_channels);
    dense.weights =
        seki_cuda_take_rows(cuda_kept(work), block->backend,
                            (size_t)block->spec.out_channels * (size_t)block->spec.kernel_height *
                                (size_t)block->spec.kernel_width,
                            block->in_channels);
    if (dense.data != NULL)
        dense.dz =
            seki_cuda_take_rows(&work->scratch, block->backend, out, block->spec.out_channels);
    const size_t forward = dense.forward != NULL ? dense.forward->workspace : 0,
                 data = dense.data != NULL ? dense.data->workspace : 0;

    dense.workspace = seki_cuda_take(&work->scratch, forward > data ? forward : data, 1);
    return dense;
}

/* (outputs, inputs, kH, kW) floats to (outputs, kH, kW, inputs). */
static cudaError_t lay_out_weights(const struct seki_block *block,
                                   const struct cuda_cudnn_dense *dense,
                                   const struct cuda_dense *call)
{
    const struct cuda_layout layout = {.images = call->outputs,
                                       .pixels =
                                           call->window.kernel_height * call->window.kernel_width,
                                       .channels = call->inputs,
                                       /* Is only read: the copy goes the other way. */
                                       .plain = (float *)call->weight,
                                       .view = dense->weights};

    return seki_cuda_layout(&block->backend->queue, block->backend->type, &layout);
}

static cudaError_t run(const struct seki_block *block, const struct cuda_cudnn_dense *dense,
                       const struct cuda_plan *plan, struct cuda_view pictures,
                       struct cuda_view result)
{
    struct cuda_backend *backend = block->backend;
    const cudnnStatus_t status =
        seki_cudnn_run(backend->cudnn, backend->queue.stream, plan, pictures.data,
                       dense->weights.data, result.data, dense->workspace);

    if (status == CUDNN_STATUS_SUCCESS)
        return cudaSuccess;
    backend->because = cudnnGetErrorString(status);
    return cudaErrorUnknown;
}

cudaError_t seki_cudnn_dense_forward(const struct seki_block *block, const struct cuda_work *work,
                                     const struct cuda_cudnn_dense *dense,
                                     const struct cuda_dense *call)
{
    const struct cuda_backend *backend = block->backend;
    const struct cuda_map map = {.images = work->images,
                                 .pixels = cuda_pixels(&block->spec.in),
                                 .channels = call->inputs,
                                 .source = call->source,
                                 .y = dense->x};
    const struct cuda_measure measure = {.rows = work->images * cuda_pixels(&block->info.out),
                                         .channels = call->outputs,
                                         .x = call->z,
                                         .moments = call->moments};

    const bool direct = !call->source.relu && call->source.x.stride == call->inputs;

    if (!direct)
        CUDA_TRY(seki_cuda_map(&backend->queue, backend->type, &map));
    CUDA_TRY(lay_out_weights(block, dense, call));
    CUDA_TRY(run(block, dense, dense->forward, direct ? call->source.x : dense->x, call->z));
    if (call->moments.partial == NULL)
        return cudaSuccess;
    return seki_cuda_measure(&backend->queue, backend->type, &measure);
}

cudaError_t seki_cudnn_dense_data(const struct seki_block *block, const struct cuda_work *work,
                                  const struct cuda_cudnn_dense *dense, struct cuda_dense *call)
{
    const struct cuda_backend *backend = block->backend;
    const struct cuda_unmap before = {.images = work->images,
                                      .channels = call->outputs,
                                      .gradient = call->gradient,
                                      .y = dense->dz};
    const struct cuda_unmap after = {.images = work->images,
                                     .channels = call->inputs,
                                     .gradient = {.dy = dense->x,
                                                  .pixels = cuda_pixels(&block->spec.in),
                                                  .z = call->source.x,
                                                  .relu = call->source.relu},
                                     .y = call->dx,
                                     .add_y = call->add_dx};

    const bool direct = !call->source.relu && !call->add_dx && call->dx.stride == call->inputs;

    CUDA_TRY(seki_cuda_unmap(&backend->queue, backend->type, &before));
    if (dense->forward == NULL) /* else they lie there since forward */
        CUDA_TRY(lay_out_weights(block, dense, call));
    CUDA_TRY(run(block, dense, dense->data, direct ? call->dx : dense->x, dense->dz));
    if (!direct)
        CUDA_TRY(seki_cuda_unmap(&backend->queue, backend->type, &after));
    /* It has gone through ReLU and BN: the weights' gradient need not go again. */
    call->gradient =
        (struct cuda_gradient){.dy = dense->dz, .pixels = cuda_pixels(&block->info.out)};
    return cudaSuccess;
}

/*
 * block_simple.c - the blocks without a kernel of their own: NORM (BN -> [ReLU]), IDENTITY, ZERO.
 */
#include "nn/cuda/cuda_internal.h"

/* ---- NORM ---------------------------------------------------------------------------------- */

static struct cuda_norm take_norm(const struct seki_block *block, struct cuda_work *work)
{
    const int rows = work->images * cuda_pixels(&block->info.out);
    const struct cuda_measure whole = {.rows = rows, .channels = block->in_channels};

    return seki_cuda_norm_take(work, 0, 0, block->in_channels, rows,
                               seki_cuda_measure_blocks(&whole), CUDA_MAX_BLOCKS);
}

static void norm_measure(const struct seki_block *block, struct cuda_work *work)
{
    take_norm(block, work);
}

static cudaError_t norm_forward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_backend *backend = block->backend;
    const struct cuda_norm norm = take_norm(block, work);
    const struct cuda_source result = {seki_cuda_view(backend, &work->call->x), norm.coefficients,
                                       block->spec.relu_last};
    const struct cuda_measure measure = {.rows = (int)norm.count,
                                         .channels = norm.channels,
                                         .x = result.x,
                                         .moments = seki_cuda_norm_moments(block, work, &norm)};

    CUDA_TRY(seki_cuda_norm_infer(block, work, &norm));
    if (measure.moments.partial != NULL)
        CUDA_TRY(seki_cuda_measure(&backend->queue, backend->type, &measure));
    return seki_cuda_give(block, work, &result);
}

static cudaError_t give_gradient(const struct seki_block *block, const struct cuda_work *work,
                                 const struct cuda_gradient *gradient)
{
    const struct cuda_unmap call = {.images = work->images,
                                    .channels = block->in_channels,
                                    .gradient = *gradient,
                                    .y = seki_cuda_view(block->backend, &work->call->dx),
                                    .add_y = work->call->add_dx};

    return call.y.data != NULL
               ? seki_cuda_unmap(&block->backend->queue, block->backend->type, &call)
               : cudaSuccess;
}

static cudaError_t norm_backward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_norm norm = take_norm(block, work);
    struct cuda_gradient gradient = seki_cuda_gradient_of(
        block, work, seki_cuda_view(block->backend, &work->call->x), &norm, block->spec.relu_last);

    CUDA_TRY(seki_cuda_find_means(block, work, &norm, &gradient));
    return give_gradient(block, work, &gradient);
}

const struct cuda_block_ops seki_cuda_block_norm = {NULL, norm_measure, norm_forward,
                                                    norm_backward};

/* ---- IDENTITY ------------------------------------------------------------------------------ */

static void no_memory(const struct seki_block *block, struct cuda_work *work)
{
    (void)block;
    (void)work;
}

static cudaError_t identity_forward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_source x = {.x = seki_cuda_view(block->backend, &work->call->x)};

    return seki_cuda_give(block, work, &x);
}

static cudaError_t identity_backward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_gradient gradient =
        seki_cuda_gradient_of(block, work, (struct cuda_view){0}, NULL, false);

    return give_gradient(block, work, &gradient);
}

const struct cuda_block_ops seki_cuda_block_identity = {NULL, no_memory, identity_forward,
                                                        identity_backward};

/* ---- ZERO ---------------------------------------------------------------------------------- */

static cudaError_t clear(const struct seki_block *block, const struct cuda_work *work,
                         const struct seki_window *window)
{
    return seki_cuda_clear(&block->backend->queue, block->backend->type,
                           (size_t)work->images * (size_t)cuda_pixels(&window->shape),
                           window->parts * window->shape.channels,
                           seki_cuda_view(block->backend, window));
}

static cudaError_t zero_forward(const struct seki_block *block, struct cuda_work *work)
{
    return work->call->add_y ? cudaSuccess : clear(block, work, &work->call->y);
}

static cudaError_t zero_backward(const struct seki_block *block, struct cuda_work *work)
{
    const struct seki_block_call *call = work->call;

    return call->dx.data != NULL && !call->add_dx ? clear(block, work, &call->dx) : cudaSuccess;
}

const struct cuda_block_ops seki_cuda_block_zero = {NULL, no_memory, zero_forward, zero_backward};

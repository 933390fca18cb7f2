/*
 * block_head.c - HEAD: mean over all pixels -> linear with bias.
 */
#include "nn/cuda/cuda_internal.h"

static struct cuda_head take(const struct seki_block *block, struct cuda_work *work)
{
    const size_t count = (size_t)work->images * (size_t)block->in_channels;

    return (struct cuda_head){.images = work->images,
                              .pixels = cuda_pixels(&block->spec.in),
                              .channels = block->in_channels,
                              .classes = block->spec.out_channels,
                              .mean = seki_cuda_take(cuda_kept(work), count, sizeof(float))};
}

static void measure(const struct seki_block *block, struct cuda_work *work)
{
    take(block, work);
}

static struct cuda_head connected(const struct seki_block *block, struct cuda_work *work)
{
    struct cuda_head head = take(block, work);

    head.weight = seki_cuda_parameter(block, work, SEKI_WEIGHT, 0);
    head.bias = seki_cuda_parameter(block, work, SEKI_BIAS, 0);
    head.keep = work->call->keep;
    return head;
}

static cudaError_t forward(const struct seki_block *block, struct cuda_work *work)
{
    struct cuda_head head = connected(block, work);

    head.x = seki_cuda_view(block->backend, &work->call->x);
    head.y = seki_cuda_view(block->backend, &work->call->y);
    head.add_y = work->call->add_y;
    return seki_cuda_head(&block->backend->queue, block->backend->type, &head);
}

static cudaError_t backward(const struct seki_block *block, struct cuda_work *work)
{
    struct cuda_head head = connected(block, work);

    head.dy = seki_cuda_view(block->backend, &work->call->dy);
    head.dweight = seki_cuda_gradient(block, work, SEKI_WEIGHT, 0);
    head.dbias = seki_cuda_gradient(block, work, SEKI_BIAS, 0);
    head.dx = seki_cuda_view(block->backend, &work->call->dx);
    head.add_dx = work->call->add_dx;
    return seki_cuda_head_backward(&block->backend->queue, block->backend->type, &head);
}

const struct cuda_block_ops seki_cuda_block_head = {NULL, measure, forward, backward};

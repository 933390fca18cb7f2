/*
 * block_pool.c - MAX_POOL, AVG_POOL: [ReLU] -> pooling -> [BN].
 */
#include "nn/cuda/cuda_internal.h"

struct pieces {
    struct cuda_pool pool;
    struct cuda_norm norm;
};

static struct pieces take(const struct seki_block *block, struct cuda_work *work)
{
    const struct seki_block_spec *spec = &block->spec;
    const int channels = block->in_channels;
    const size_t rows = (size_t)work->images * (size_t)cuda_pixels(&block->info.out);
    struct pieces p = {.pool = {.window = seki_cuda_window(block, work->images),
                                .channels = channels,
                                .maximum = spec->kind == SEKI_BLOCK_MAX_POOL}};

    /* Without BN backward does not look at it. */
    p.pool.z = seki_cuda_take_rows(spec->norm ? cuda_kept(work) : &work->scratch, block->backend,
                                   rows, channels);
    if (spec->norm)
        p.norm = seki_cuda_norm_take(work, 0, 0, channels, (long long)rows,
                                     seki_cuda_pool_blocks(&p.pool), CUDA_MAX_BLOCKS);
    if (work->train && p.pool.maximum)
        p.pool.winners = seki_cuda_take(&work->saved, rows * (size_t)channels, 1);
    return p;
}

static void measure(const struct seki_block *block, struct cuda_work *work)
{
    take(block, work);
}

static void connect(const struct seki_block *block, const struct cuda_work *work,
                    struct cuda_pool *pool)
{
    pool->source = (struct cuda_source){.x = seki_cuda_view(block->backend, &work->call->x),
                                        .relu = block->spec.relu_first};
}

static cudaError_t forward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_backend *backend = block->backend;
    struct pieces p = take(block, work);
    const struct cuda_source result = {p.pool.z, block->spec.norm ? p.norm.coefficients : NULL,
                                       false};

    connect(block, work, &p.pool);
    if (block->spec.norm) {
        p.pool.moments = seki_cuda_norm_moments(block, work, &p.norm);
        CUDA_TRY(seki_cuda_norm_infer(block, work, &p.norm));
    }
    CUDA_TRY(seki_cuda_pool(&backend->queue, backend->type, &p.pool));
    return seki_cuda_give(block, work, &result);
}

static cudaError_t backward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_backend *backend = block->backend;
    struct pieces p = take(block, work);

    connect(block, work, &p.pool);
    p.pool.gradient =
        seki_cuda_gradient_of(block, work, p.pool.z, block->spec.norm ? &p.norm : NULL, false);
    if (block->spec.norm)
        CUDA_TRY(seki_cuda_find_means(block, work, &p.norm, &p.pool.gradient));
    p.pool.dx = seki_cuda_view(backend, &work->call->dx);
    p.pool.add_dx = work->call->add_dx;
    return p.pool.dx.data != NULL ? seki_cuda_pool_backward(&backend->queue, backend->type, &p.pool)
                                  : cudaSuccess;
}

const struct cuda_block_ops seki_cuda_block_pool = {NULL, measure, forward, backward};

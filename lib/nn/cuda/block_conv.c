/*
 * block_conv.c - CONV: [ReLU] -> convolution -> [BN] -> [ReLU].
 */
#include "nn/cuda/cuda_internal.h"

struct pieces {
    struct cuda_dense dense;
    struct cuda_cudnn_dense cudnn;
    struct cuda_norm norm;
};

static struct pieces take(const struct seki_block *block, struct cuda_work *work)
{
    const struct seki_block_spec *spec = &block->spec;
    const int out = spec->out_channels;
    const size_t rows = (size_t)work->images * (size_t)cuda_pixels(&block->info.out);
    struct pieces p = {.dense = {.window = seki_cuda_window(block, work->images),
                                 .inputs = block->in_channels,
                                 .outputs = out}};

    p.dense.z = seki_cuda_take_rows(cuda_kept(work), block->backend, rows, out);
    if (spec->norm)
        p.norm =
            seki_cuda_norm_take(work, 0, 0, out, (long long)rows, CUDA_MAX_BLOCKS, CUDA_MAX_BLOCKS);
    p.cudnn = seki_cudnn_dense_take(block, work);
    if (work->train)
        p.dense.partial =
            seki_cuda_take(&work->scratch,
                           (size_t)seki_cuda_dense_splits(&p.dense) *
                               seki_block_parameter(&block->info, SEKI_WEIGHT, 0)->count,
                           sizeof(float));
    return p;
}

static void measure(const struct seki_block *block, struct cuda_work *work)
{
    take(block, work);
}

static void connect(const struct seki_block *block, const struct cuda_work *work,
                    struct cuda_dense *dense)
{
    dense->weight = seki_cuda_parameter(block, work, SEKI_WEIGHT, 0);
    dense->source = (struct cuda_source){.x = seki_cuda_view(block->backend, &work->call->x),
                                         .relu = block->spec.relu_first};
}

static cudaError_t forward(const struct seki_block *block, struct cuda_work *work)
{
    const struct seki_block_spec *spec = &block->spec;
    struct pieces p = take(block, work);
    const struct cuda_source result = {p.dense.z, spec->norm ? p.norm.coefficients : NULL,
                                       spec->relu_last};

    connect(block, work, &p.dense);
    if (spec->norm) {
        p.dense.moments = seki_cuda_norm_moments(block, work, &p.norm);
        CUDA_TRY(seki_cuda_norm_infer(block, work, &p.norm));
    }
    CUDA_TRY(p.cudnn.forward != NULL
                 ? seki_cudnn_dense_forward(block, work, &p.cudnn, &p.dense)
                 : seki_cuda_dense(&block->backend->queue, block->backend->type, &p.dense));
    return seki_cuda_give(block, work, &result);
}

static cudaError_t backward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_backend *backend = block->backend;
    const struct seki_block_spec *spec = &block->spec;
    struct pieces p = take(block, work);

    connect(block, work, &p.dense);
    p.dense.gradient =
        seki_cuda_gradient_of(block, work, p.dense.z, spec->norm ? &p.norm : NULL, spec->relu_last);
    if (spec->norm)
        CUDA_TRY(seki_cuda_find_means(block, work, &p.norm, &p.dense.gradient));
    p.dense.dx = seki_cuda_view(backend, &work->call->dx);
    p.dense.add_dx = work->call->add_dx;
    p.dense.dweight = seki_cuda_gradient(block, work, SEKI_WEIGHT, 0);
    if (p.dense.dx.data != NULL)
        CUDA_TRY(p.cudnn.data != NULL
                     ? seki_cudnn_dense_data(block, work, &p.cudnn, &p.dense)
                     : seki_cuda_dense_data(&backend->queue, backend->type, &p.dense));
    seki_cuda_sum_later(work, seki_cuda_dense_parts(&p.dense));
    return seki_cuda_dense_weights(&backend->queue, backend->type, &p.dense);
}

const struct cuda_block_ops seki_cuda_block_conv = {seki_cudnn_dense_prepare, measure, forward,
                                                    backward};

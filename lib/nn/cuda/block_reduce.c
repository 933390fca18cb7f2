/*
 * block_reduce.c - REDUCE (FactorizedReduce): two 1x1 convolutions of stride 2, of the pixels of
 * even row and column and of those of odd row and column, each with its half of the channels and
 * of BN.
 */
#include "nn/cuda/cuda_internal.h"

struct pieces {
    struct cuda_dense half[2];
    struct cuda_norm norm[2];
    struct cuda_view z;
    struct cuda_coefficients *coefficients; /* of both halves */
};

static const enum seki_parameter_role roles[2] = {SEKI_WEIGHT, SEKI_WEIGHT_ODD};

static struct cuda_window window_of(const struct seki_block *block, int images, int half)
{
    struct cuda_window window = seki_cuda_window(block, images);

    window.kernel_height = window.kernel_width = 1;
    window.stride_height = window.stride_width = 2;
    window.padding_height = window.padding_width = -half;
    return window;
}

static struct pieces take(const struct seki_block *block, struct cuda_work *work)
{
    const int out = block->spec.out_channels / 2;
    const size_t rows = (size_t)work->images * (size_t)cuda_pixels(&block->info.out);
    struct pieces p = {.z = seki_cuda_take_rows(cuda_kept(work), block->backend, rows, 2 * out)};

    p.coefficients = seki_cuda_take(cuda_kept(work), 2 * (size_t)out, sizeof *p.coefficients);
    for (int half = 0; half < 2; half++) {
        struct cuda_dense *dense = &p.half[half];
        struct cuda_norm *norm = &p.norm[half];

        *dense = (struct cuda_dense){.window = window_of(block, work->images, half),
                                     .inputs = block->in_channels,
                                     .outputs = out,
                                     .z = p.z};
        *norm = seki_cuda_norm_take(work, 0, half * out, out, (long long)rows,
                                    seki_cuda_dense_blocks(dense), CUDA_MAX_BLOCKS);
        if (work->train)
            dense->partial = seki_cuda_take(&work->scratch,
                                            (size_t)seki_cuda_dense_splits(dense) * (size_t)out *
                                                (size_t)block->in_channels,
                                            sizeof(float));
    }
    return p;
}

static void measure(const struct seki_block *block, struct cuda_work *work)
{
    take(block, work);
}

static void connect(const struct seki_block *block, const struct cuda_work *work, struct pieces *p)
{
    for (int half = 0; half < 2; half++) {
        struct cuda_dense *dense = &p->half[half];

        dense->weight = seki_cuda_parameter(block, work, roles[half], 0);
        dense->source =
            (struct cuda_source){.x = seki_cuda_view(block->backend, &work->call->x), .relu = true};
        dense->z.data = (char *)p->z.data +
                        (size_t)half * (size_t)dense->outputs * seki_cuda_element(block->backend);
        p->norm[half].coefficients = p->coefficients + half * dense->outputs;
    }
}

static cudaError_t forward(const struct seki_block *block, struct cuda_work *work)
{
    struct pieces p = take(block, work);
    const struct cuda_source result = {p.z, p.coefficients, false};

    connect(block, work, &p);
    for (int half = 0; half < 2; half++) {
        p.half[half].moments = seki_cuda_norm_moments(block, work, &p.norm[half]);
        CUDA_TRY(seki_cuda_norm_infer(block, work, &p.norm[half]));
        CUDA_TRY(seki_cuda_dense(&block->backend->queue, block->backend->type, &p.half[half]));
    }
    return seki_cuda_give(block, work, &result);
}

static cudaError_t backward_half(const struct seki_block *block, struct cuda_work *work,
                                 struct pieces *p, int half)
{
    const struct cuda_backend *backend = block->backend;
    struct cuda_dense *dense = &p->half[half];

    dense->gradient = seki_cuda_gradient_of(block, work, dense->z, &p->norm[half], false);
    dense->gradient.dy.data =
        (char *)dense->gradient.dy.data +
        (size_t)half * (size_t)dense->outputs * seki_cuda_element(block->backend);
    CUDA_TRY(seki_cuda_find_means(block, work, &p->norm[half], &dense->gradient));
    dense->dx = seki_cuda_view(backend, &work->call->dx);
    dense->add_dx = half == 1 || work->call->add_dx;
    dense->dweight = seki_cuda_gradient(block, work, roles[half], 0);
    if (dense->dx.data != NULL)
        CUDA_TRY(seki_cuda_dense_data(&backend->queue, backend->type, dense));
    seki_cuda_sum_later(work, seki_cuda_dense_parts(dense));
    return seki_cuda_dense_weights(&backend->queue, backend->type, dense);
}

static cudaError_t backward(const struct seki_block *block, struct cuda_work *work)
{
    struct pieces p = take(block, work);

    connect(block, work, &p);
    CUDA_TRY(backward_half(block, work, &p, 0));
    return backward_half(block, work, &p, 1);
}

const struct cuda_block_ops seki_cuda_block_reduce = {NULL, measure, forward, backward};

/*
 * block_separable.c - SEPARABLE: once or twice ReLU -> depthwise -> pointwise -> BN. Between two
 * repeats the BN is not written out: the second depthwise convolution normalises as it reads, and
 * its backward finds the means that the BN's needs.
 */
#include "nn/cuda/cuda_internal.h"

/* One repeat. */
struct stage {
    struct cuda_depthwise depthwise;
    struct cuda_dense pointwise; /* its source is what the depthwise one gave */
    struct cuda_norm norm;
};

struct pieces {
    struct stage stages[2];
    struct cuda_view dfiltered; /* of what the depthwise convolution gave */
    struct cuda_view dmiddle;   /* of the first repeat's result */
};

static void size_stage(const struct seki_block *block, int images, int repeat,
                       const struct stage *before, struct stage *stage)
{
    const struct cuda_window *last = &before->depthwise.window;
    struct cuda_window window = seki_cuda_window(block, images), point;

    window.dilation = block->spec.dilation;
    if (repeat > 0) {
        window.height = last->out_height;
        window.width = last->out_width;
        window.stride_height = window.stride_width = 1;
    }
    window.out_height = seki_sliding_size(window.height, window.kernel_height, window.stride_height,
                                          window.padding_height, window.dilation);
    window.out_width = seki_sliding_size(window.width, window.kernel_width, window.stride_width,
                                         window.padding_width, window.dilation);
    point = (struct cuda_window){images,
                                 window.out_height,
                                 window.out_width,
                                 window.out_height,
                                 window.out_width,
                                 1,
                                 1,
                                 1,
                                 1,
                                 0,
                                 0,
                                 1};
    stage->depthwise = (struct cuda_depthwise){.window = window, .channels = block->in_channels};
    stage->pointwise =
        (struct cuda_dense){.window = point,
                            .inputs = block->in_channels,
                            .outputs = repeat == block->spec.repeats - 1 ? block->spec.out_channels
                                                                         : block->in_channels};
}

static size_t rows_of(const struct cuda_window *window)
{
    return (size_t)window->images * (size_t)window->out_height * (size_t)window->out_width;
}

static void take_stage(const struct seki_block *block, struct cuda_work *work, int repeat,
                       struct pieces *p)
{
    struct stage *stage = &p->stages[repeat];
    struct cuda_dense *pointwise = &stage->pointwise;

    size_stage(block, work->images, repeat, &p->stages[0], stage);
    const size_t rows = rows_of(&pointwise->window), in = (size_t)block->in_channels;

    stage->depthwise.y =
        seki_cuda_take_rows(cuda_kept(work), block->backend, rows, block->in_channels);
    pointwise->z = seki_cuda_take_rows(cuda_kept(work), block->backend, rows, pointwise->outputs);
    stage->norm = seki_cuda_norm_take(work, repeat, 0, pointwise->outputs, (long long)rows,
                                      seki_cuda_dense_blocks(pointwise), CUDA_MAX_BLOCKS);
    if (!work->train)
        return;
    const int blocks = seki_cuda_depthwise_blocks(&stage->depthwise);
    const size_t taps = (size_t)block->spec.kernel_height * (size_t)block->spec.kernel_width;

    stage->depthwise.partial =
        seki_cuda_take(&work->scratch, (size_t)blocks * taps * in, sizeof(float));
    pointwise->partial = seki_cuda_take(
        &work->scratch, (size_t)seki_cuda_dense_splits(pointwise) * in * (size_t)pointwise->outputs,
        sizeof(float));
}

static struct pieces take(const struct seki_block *block, struct cuda_work *work)
{
    struct pieces p = {0};

    for (int r = 0; r < block->spec.repeats; r++)
        take_stage(block, work, r, &p);
    if (!work->train)
        return p;
    const size_t rows = rows_of(&p.stages[0].pointwise.window);

    p.dfiltered = seki_cuda_take_rows(&work->scratch, block->backend, rows, block->in_channels);
    p.dmiddle = seki_cuda_take_rows(&work->scratch, block->backend,
                                    block->spec.repeats == 2 ? rows : 0, block->in_channels);
    return p;
}

static void measure(const struct seki_block *block, struct cuda_work *work)
{
    take(block, work);
}

/* What a repeat reads: x, or the repeat before it, not yet normalised. */
static void connect(const struct seki_block *block, const struct cuda_work *work, struct pieces *p)
{
    for (int r = 0; r < block->spec.repeats; r++) {
        struct stage *stage = &p->stages[r];

        stage->depthwise.weight = seki_cuda_parameter(block, work, SEKI_DEPTHWISE, r);
        stage->depthwise.source =
            r == 0 ? (struct cuda_source){.x = seki_cuda_view(block->backend, &work->call->x),
                                          .relu = true}
                   : (struct cuda_source){p->stages[0].pointwise.z, p->stages[0].norm.coefficients,
                                          true};
        stage->pointwise.weight = seki_cuda_parameter(block, work, SEKI_WEIGHT, r);
        stage->pointwise.source = (struct cuda_source){.x = stage->depthwise.y};
    }
}

static cudaError_t forward(const struct seki_block *block, struct cuda_work *work)
{
    const struct cuda_backend *backend = block->backend;
    struct pieces p = take(block, work);
    const struct stage *last = &p.stages[block->spec.repeats - 1];
    const struct cuda_source result = {last->pointwise.z, last->norm.coefficients, false};

    connect(block, work, &p);
    for (int r = 0; r < block->spec.repeats; r++) {
        struct stage *stage = &p.stages[r];

        stage->pointwise.moments = seki_cuda_norm_moments(block, work, &stage->norm);
        CUDA_TRY(seki_cuda_norm_infer(block, work, &stage->norm));
        CUDA_TRY(seki_cuda_depthwise(&backend->queue, backend->type, &stage->depthwise));
        CUDA_TRY(seki_cuda_dense(&backend->queue, backend->type, &stage->pointwise));
    }
    return seki_cuda_give(block, work, &result);
}

/* From the gradient of the repeat's result, whose means are known, to that of what it read. */
static cudaError_t backward_stage(const struct seki_block *block, struct cuda_work *work,
                                  struct pieces *p, int repeat)
{
    const struct cuda_backend *backend = block->backend;
    struct stage *stage = &p->stages[repeat];
    struct cuda_dense *pointwise = &stage->pointwise;
    struct cuda_depthwise *depthwise = &stage->depthwise;

    pointwise->dx = depthwise->dy = p->dfiltered;
    pointwise->dweight = seki_cuda_gradient(block, work, SEKI_WEIGHT, repeat);
    depthwise->dweight = seki_cuda_gradient(block, work, SEKI_DEPTHWISE, repeat);
    if (repeat > 0) {
        depthwise->dx = p->dmiddle;
        depthwise->sums = seki_cuda_norm_sums(block, work, &p->stages[0].norm);
    } else {
        depthwise->dx = seki_cuda_view(backend, &work->call->dx);
        depthwise->add_dx = work->call->add_dx;
    }
    seki_cuda_sum_later(work, seki_cuda_dense_parts(pointwise));
    seki_cuda_sum_later(work, seki_cuda_depthwise_parts(depthwise));
    CUDA_TRY(seki_cuda_dense_data(&backend->queue, backend->type, pointwise));
    CUDA_TRY(seki_cuda_dense_weights(&backend->queue, backend->type, pointwise));
    return seki_cuda_depthwise_backward(&backend->queue, backend->type, depthwise);
}

static cudaError_t backward(const struct seki_block *block, struct cuda_work *work)
{
    struct pieces p = take(block, work);
    const int last = block->spec.repeats - 1;
    struct stage *stage = &p.stages[last];

    connect(block, work, &p);
    stage->pointwise.gradient =
        seki_cuda_gradient_of(block, work, stage->pointwise.z, &stage->norm, false);
    CUDA_TRY(seki_cuda_find_means(block, work, &stage->norm, &stage->pointwise.gradient));
    if (last > 0) {
        struct stage *first = &p.stages[0];

        CUDA_TRY(backward_stage(block, work, &p, 1));
        first->pointwise.gradient = (struct cuda_gradient){.dy = p.dmiddle,
                                                           .pixels = 1,
                                                           .z = first->pointwise.z,
                                                           .coefficients = first->norm.coefficients,
                                                           .means = first->norm.means};
    }
    return backward_stage(block, work, &p, 0);
}

const struct cuda_block_ops seki_cuda_block_separable = {NULL, measure, forward, backward};

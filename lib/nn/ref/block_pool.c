/*
 * block_pool.c - [ReLU] -> max or average pooling -> [BN].
 */
#include "nn/ref/ref_internal.h"

struct tensors {
    struct ref_tensor activated; /* ReLU of x, where the block begins with one */
    struct ref_tensor pooled;    /* saved */
    double *statistics;          /* saved, with BN */
    struct ref_tensor result;    /* with BN; otherwise it is pooled */
    struct ref_tensor gradient;  /* of the result, then of pooled */
    struct ref_tensor dx;
};

static struct tensors plan(const struct seki_block *block, int images, struct ref_memory *memory)
{
    const struct seki_block_spec *spec = &block->spec;
    const struct seki_shape *in = &spec->in, *out = &block->info.out;
    struct tensors t = {0};

    t.dx = seki_ref_scratch(memory, images, in->parts * in->channels, in->height, in->width);
    if (spec->relu_first)
        t.activated = seki_ref_scratch_like(memory, &t.dx);
    t.pooled = seki_ref_saved(memory, images, out->channels, out->height, out->width);
    t.result = t.pooled;
    if (spec->norm) {
        t.statistics = seki_ref_saved_statistics(memory, out->channels);
        t.result = seki_ref_scratch_like(memory, &t.pooled);
    }
    t.gradient = seki_ref_scratch_like(memory, &t.pooled);
    return t;
}

static void measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    plan(block, images, memory);
}

/* What the pooling sees: x, or ReLU of it. */
static struct ref_tensor input_of(const struct seki_block *block,
                                  const struct seki_block_call *call, const struct tensors *t)
{
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    if (!block->spec.relu_first)
        return x;
    seki_ref_relu_forward(&x, &t->activated);
    return t->activated;
}

static void forward(const struct seki_block *block, const struct seki_block_call *call,
                    struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);
    struct ref_kernel kernel = seki_ref_kernel_of(&block->spec);
    struct ref_tensor input = input_of(block, call, &t);

    if (block->spec.kind == SEKI_BLOCK_MAX_POOL)
        seki_ref_max_pool_forward(&kernel, &input, &t.pooled);
    else
        seki_ref_avg_pool_forward(&kernel, &input, &t.pooled);
    if (block->spec.norm) {
        struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);

        seki_ref_norm_forward(&norm, call->mode, &t.pooled, &t.result);
    }
    seki_ref_give_result(call, &t.result);
}

static void backward(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);
    struct ref_kernel kernel = seki_ref_kernel_of(&block->spec);
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    seki_ref_take_gradient(call, &t.gradient);
    if (block->spec.norm) {
        struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);

        seki_ref_norm_backward(&norm, &t.pooled, &t.gradient, &t.gradient);
    }
    if (block->spec.kind == SEKI_BLOCK_MAX_POOL) {
        struct ref_tensor input = input_of(block, call, &t);

        seki_ref_max_pool_backward(&kernel, &input, &t.gradient, &t.dx);
    } else {
        seki_ref_avg_pool_backward(&kernel, &t.gradient, &t.dx);
    }
    if (block->spec.relu_first)
        seki_ref_relu_backward(&x, &t.dx, &t.dx);
    seki_ref_give_gradient(call, &t.dx);
}

const struct ref_block_ops seki_ref_block_pool = {measure, forward, backward};

/*
 * block_norm.c - BN -> [ReLU].
 */
#include "nn/ref/ref_internal.h"

struct tensors {
    double *statistics;           /* saved */
    struct ref_tensor normalised; /* saved */
    struct ref_tensor result;     /* ReLU of it, where the block ends with one; otherwise it */
    struct ref_tensor gradient;   /* of the result, then of normalised, then of x */
};

static struct tensors plan(const struct seki_block *block, int images, struct ref_memory *memory)
{
    const struct seki_shape *out = &block->info.out;
    struct tensors t;

    t.statistics = seki_ref_saved_statistics(memory, out->channels);
    t.normalised = seki_ref_saved(memory, images, out->channels, out->height, out->width);
    t.result = block->spec.relu_last ? seki_ref_scratch_like(memory, &t.normalised) : t.normalised;
    t.gradient = seki_ref_scratch_like(memory, &t.normalised);
    return t;
}

static void measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    plan(block, images, memory);
}

static void forward(const struct seki_block *block, const struct seki_block_call *call,
                    struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);
    struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    seki_ref_norm_forward(&norm, call->mode, &x, &t.normalised);
    if (block->spec.relu_last)
        seki_ref_relu_forward(&t.normalised, &t.result);
    seki_ref_give_result(call, &t.result);
}

static void backward(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);
    struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    seki_ref_take_gradient(call, &t.gradient);
    if (block->spec.relu_last)
        seki_ref_relu_backward(&t.normalised, &t.gradient, &t.gradient);
    seki_ref_norm_backward(&norm, &x, &t.gradient, &t.gradient);
    seki_ref_give_gradient(call, &t.gradient);
}

const struct ref_block_ops seki_ref_block_norm = {measure, forward, backward};

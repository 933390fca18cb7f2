/*
 * block_head.c - the classifier: mean over all pixels -> linear with bias.
 */
#include "nn/ref/ref_internal.h"

struct tensors {
    struct ref_tensor mean; /* saved */
    struct ref_tensor result;
    struct ref_tensor gradient; /* of the result */
    struct ref_tensor dmean, dx;
};

static struct tensors plan(const struct seki_block *block, int images, struct ref_memory *memory)
{
    const struct seki_shape *in = &block->spec.in;
    int channels = in->parts * in->channels;
    struct tensors t;

    t.mean = seki_ref_saved(memory, images, channels, 1, 1);
    t.result = seki_ref_scratch(memory, images, block->spec.out_channels, 1, 1);
    t.gradient = seki_ref_scratch_like(memory, &t.result);
    t.dmean = seki_ref_scratch_like(memory, &t.mean);
    t.dx = seki_ref_scratch(memory, images, channels, in->height, in->width);
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
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    seki_ref_mean_forward(&x, &t.mean);
    seki_ref_linear_forward(&t.mean, seki_ref_parameter(block, call, SEKI_WEIGHT, 0),
                            seki_ref_parameter(block, call, SEKI_BIAS, 0), &t.result);
    seki_ref_give_result(call, &t.result);
}

static void backward(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);

    seki_ref_take_gradient(call, &t.gradient);
    seki_ref_linear_backward(&t.mean, seki_ref_parameter(block, call, SEKI_WEIGHT, 0), &t.gradient,
                             &t.dmean, seki_ref_gradient(block, call, SEKI_WEIGHT, 0),
                             seki_ref_gradient(block, call, SEKI_BIAS, 0));
    seki_ref_mean_backward(&t.dmean, &t.dx);
    seki_ref_give_gradient(call, &t.dx);
}

const struct ref_block_ops seki_ref_block_head = {measure, forward, backward};

/*
 * block_copy.c - the blocks that compute nothing: identity (skip_connect) and zero (none).
 */
#include "nn/ref/ref_internal.h"

static struct ref_tensor plan_gradient(const struct seki_block *block, int images,
                                       struct ref_memory *memory)
{
    const struct seki_shape *in = &block->spec.in;

    return seki_ref_scratch(memory, images, in->parts * in->channels, in->height, in->width);
}

static void identity_measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    plan_gradient(block, images, memory);
}

static void identity_forward(const struct seki_block *block, const struct seki_block_call *call,
                             struct ref_memory *memory)
{
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    (void)block;
    (void)memory;
    seki_ref_give_result(call, &x);
}

static void identity_backward(const struct seki_block *block, const struct seki_block_call *call,
                              struct ref_memory *memory)
{
    struct ref_tensor gradient = plan_gradient(block, call->images, memory);

    seki_ref_take_gradient(call, &gradient);
    seki_ref_give_gradient(call, &gradient);
}

static void zero_measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    (void)block;
    (void)images;
    (void)memory;
}

static void clear(const struct seki_window *window, int images)
{
    struct ref_tensor tensor = seki_ref_from_window(window, images);

    for (int n = 0; n < images; n++)
        for (size_t i = 0; i < (size_t)tensor.channels * ref_pixels(&tensor); i++)
            ref_plane(&tensor, n, 0)[i] = 0.0f;
}

static void zero_forward(const struct seki_block *block, const struct seki_block_call *call,
                         struct ref_memory *memory)
{
    (void)block;
    (void)memory;
    if (!call->add_y)
        clear(&call->y, call->images);
}

static void zero_backward(const struct seki_block *block, const struct seki_block_call *call,
                          struct ref_memory *memory)
{
    (void)block;
    (void)memory;
    if (call->dx.data != NULL && !call->add_dx)
        clear(&call->dx, call->images);
}

const struct ref_block_ops seki_ref_block_identity = {identity_measure, identity_forward,
                                                      identity_backward};
const struct ref_block_ops seki_ref_block_zero = {zero_measure, zero_forward, zero_backward};

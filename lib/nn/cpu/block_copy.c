/*
 * block_copy.c - IDENTITY and ZERO.
 */
#include "nn/cpu/cpu_internal.h"

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    (void)block;
    (void)plan;
    (void)saved;
    (void)scratch;
}

/* y (+)= x, or 0. */
static void copy(const struct seki_block *block, const struct seki_block_call *call,
                 const struct seki_shape *shape, const struct seki_window *x,
                 const struct seki_window *y, bool add)
{
    struct cpu_map map = {.images = call->images,
                          .channels = block->in_channels,
                          .pixels = cpu_pixels(shape),
                          .y = seki_cpu_view(block->backend, y, call->images),
                          .keep = call->keep,
                          .add = add};

    if (block->spec.kind == SEKI_BLOCK_IDENTITY)
        map.x = seki_cpu_view(block->backend, x, call->images);
    else if (add)
        return;
    seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    (void)plan;
    (void)error;
    copy(block, call, &block->info.out, &call->x, &call->y, call->add_y);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    (void)plan;
    (void)error;
    if (call->dx.data != NULL)
        copy(block, call, &block->spec.in, &call->dy, &call->dx, call->add_dx);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_copy = {
    .measure = measure, .forward = forward, .backward = backward};
